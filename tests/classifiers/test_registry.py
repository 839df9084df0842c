"""From a name to a classifier, and every way in which a name can be wrong."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from audit.classifiers.base import Classifier, ClassifierError, EmbeddingClassifier, KeyedClassifier
from audit.classifiers.registry import classifier_names, load_classifier

IMAGES = [Image.new("RGB", (4, 4))] * 2


def refusal(name: str, **options: object) -> str:
    with pytest.raises(ClassifierError) as error:
        load_classifier(name, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-L-14/opena", "Did you mean 'openai'?"),
        ("ViT-L14/openai", "Did you mean ViT-L-14?"),
        ("ViT-B-32", "names no checkpoint. Say which, such as ViT-B-32/openai"),
        ("ViT-B-32/no/such/file.safetensors", "there is no such file"),
        ("face", "Did you mean 'faces'?"),
        ("phantm", "Did you mean 'phantom'?"),
        ("zzzz", "Known: phantom, faces"),
        ("local-dir:no/such/folder", "there is no such folder"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    assert message in refusal(name)


def test_options_that_cannot_be_used(small_clip: Path) -> None:
    model = f"local-dir:{small_clip}"
    assert "Did you mean 'gender'?" in refusal(model, attributes=["gendr"])
    assert "each once" in refusal(model, attributes=["age", "age"])
    assert "Did you mean 'default'?" in refusal(model, wordings="defualt")
    assert "margin must be at least 0 and below 1 (got 1.5)" in refusal(model, margin=1.5)
    assert "one of fp32, bf16 (got 'int8')" in refusal(model, dtype="int8")
    assert "batch_size of a classifier must be at least 1 (got 0)" in refusal(model, batch_size=0)


def test_folders_that_are_no_model(small_clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    assert "no open_clip_config.json" in refusal(f"local-dir:{folder}")
    shutil.copy(small_clip / "open_clip_config.json", folder)
    assert "the folder has no weights. It needs open_clip_model.safetensors" in refusal(f"local-dir:{folder}")
    weights = (small_clip / "open_clip_model.safetensors").read_bytes()
    (folder / "open_clip_model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert "open_clip_model.safetensors is damaged or cut short" in refusal(f"local-dir:{folder}")
    (folder / "open_clip_config.json").write_text("[1, 2]")
    assert "is not a model's configuration" in refusal(f"local-dir:{folder}")


def test_weights_of_another_architecture(small_clip: Path, vit_b_32: Path) -> None:
    import numpy as np

    weights = small_clip / "open_clip_model.safetensors"
    wrong = load_classifier(f"ViT-B-32/{weights}")
    for way in (lambda: wrong.label([]), lambda: wrong.label_embeddings(np.zeros((1, 512), np.float16))):  # type: ignore[attr-defined]
        with pytest.raises(ClassifierError, match="do not fit the model or cannot be read"):
            way()


def test_pickled_weights_are_read_without_running_them(small_clip: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "pickled"
    folder.mkdir()
    shutil.copy(small_clip / "open_clip_config.json", folder)
    state = load_file(small_clip / "open_clip_model.safetensors")
    torch.save(
        {"state_dict": {f"module.{key}": value for key, value in state.items()}}, folder / "open_clip_pytorch_model.bin"
    )
    pickled, safe = load_classifier(f"local-dir:{folder}"), load_classifier(f"local-dir:{small_clip}")
    import numpy as np

    rows = np.eye(48, dtype=np.float16)
    ours, theirs = (each.label_embeddings(rows)[0] for each in (pickled, safe))  # type: ignore[attr-defined]
    assert ours.answer == theirs.answer
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ClassifierError, match="cannot be read"):
        load_classifier(f"local-dir:{folder}").label([])


@pytest.mark.parametrize("name", ["ViT-B-32/laion2b_s34b_b79k", "hf-hub:nobody/nothing"])
def test_weights_that_are_not_here_and_no_internet(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    message = refusal(name)
    assert f"the weights of {name} are not on this machine and could not be downloaded" in message
    assert "Connect to the internet once" in message


def test_openai_weights_get_quickgelu_under_the_plain_name(vit_b_32: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from audit.classifiers.checkpoint import find_checkpoint

    monkeypatch.setattr("open_clip.pretrained.download_pretrained", lambda tag: str(vit_b_32))
    assert find_checkpoint("ViT-B-32/openai").config["quick_gelu"] is True
    assert find_checkpoint("ViT-B-32/laion2b_s34b_b79k").config["quick_gelu"] is False
    siglip = find_checkpoint("ViT-B-16-SigLIP/webli").preprocess
    assert (siglip["mean"], siglip["resize_mode"]) == ((0.5, 0.5, 0.5), "squash")


PLUGIN = """
import numpy as np
from audit.classifiers.base import Labels, Question

class Coin:
    name = "coin"
    questions = (Question("gender", ("woman", "man")),)
    def __init__(self, margin=None):
        self.margin = margin
    def fingerprint(self):
        return {"kind": "coin", "margin": self.margin}
    def card(self):
        return {"source": "a coin", "construct": "chance", "caveats": [], "known_error": {"gender": "a half"}}
    def label(self, images):
        return [Labels("gender", ("woman", "man"), ("man",) * len(images), np.full((len(images), 2), .5, np.float32))]

def nothing(**options):
    return options

def raises():
    raise OSError("the weights\\nare not here")

def but(**changes):
    return type("Odd", (Coin,), changes)

MAN = ("woman", "man")
NONE = np.full((2, 2), np.nan, np.float32)
said = lambda answer, scores=NONE, attribute="gender", classes=MAN: (
    lambda self, images: [Labels(attribute, classes, answer, scores)]
)
mute = type("Mute", (), {k: v for k, v in vars(Coin).items() if k not in ("label", "card")})
odd_name = but(name="../coin")
taken_name = but(name="people")
no_question = but(questions=())
twice = but(questions=Coin.questions * 2)
one_class = but(questions=(Question("gender", ("woman",)),))
unclear_class = but(questions=(Question("gender", ("woman", "unclear")),))
short = but(label=said(("man",)))
strange = but(label=said(("man", "boy")))
silent = but(label=lambda self, images: [])
tuples = but(label=lambda self, images: [("man", "man")])
other = but(label=said(("man", "man"), attribute="age"))
flat = but(label=said(("man", "man"), np.zeros(2, np.float32)))
percent = but(label=said(("man", "man"), np.full((2, 2), 50, np.float32)))
breaks = but(label=lambda self, images: 1 / 0)
bare_card = but(card=lambda self: {"source": "a coin", "construct": "chance"})
no_json = but(fingerprint=lambda self: {"weights": NONE})
no_dict = but(fingerprint=lambda self: "coin")
tower = but(
    embedding_name="e", embed=lambda self, i: np.zeros((2, 3)), label_embeddings=lambda self, e: Coin.label(self, e)
)
keyed = but(label_keys=lambda self, keys: Coin.label(self, keys))
"""
POINTS = re.findall(r"^(?:def )?(\w+)(?:\(| = (?:but|type)\()", PLUGIN, re.M)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution of many classifiers, on the path."""
    (tmp_path / "coin_plugin.py").write_text(PLUGIN)
    metadata = tmp_path / "coin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: coin\nVersion: 1.0\n")
    points = ["coin = coin_plugin:Coin", "gone = coin_plugin:gone", "missing = nowhere:Coin"]
    points += [f"{name} = coin_plugin:{name}" for name in POINTS if name != "Coin"]
    (metadata / "entry_points.txt").write_text("\n".join(["[rolecall.classifiers]", *points]))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "coin_plugin", raising=False)
    return tmp_path


def test_entry_points_are_classifiers(plugin: Path) -> None:
    coin = load_classifier("coin", margin=0.2)
    assert isinstance(coin, Classifier)
    assert not isinstance(coin, EmbeddingClassifier | KeyedClassifier)
    assert json.loads(json.dumps(coin.fingerprint())) == {"kind": "coin", "margin": 0.2}
    assert [labels.answer for labels in coin.label(IMAGES)] == [("man", "man")]
    assert "coin" in classifier_names()
    assert isinstance(load_classifier("tower"), EmbeddingClassifier)
    keyed = load_classifier("keyed")
    assert isinstance(keyed, KeyedClassifier)
    assert keyed.label_keys(["a", "b"])[0].answer == ("man", "man")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "gave dict, which is no classifier: it lacks name, questions, fingerprint, card, label"),
        ("mute", "gave Mute, which is no classifier: it lacks card, label"),
        ("gone", "could not be loaded: module 'coin_plugin' has no attribute 'gone'"),
        ("missing", "could not be loaded: No module named 'nowhere'"),
        ("raises", "could not be loaded: the weights are not here"),
        ("odd_name", "has the name '../coin'"),
        ("taken_name", "has the name 'people'"),
        ("no_question", "must have questions"),
        ("twice", "asks for an attribute twice"),
        ("one_class", "two different classes or more in 'gender'"),
        ("unclear_class", "these are answers, and no class"),
    ],
)
def test_what_is_no_classifier_is_refused(plugin: Path, name: str, message: str) -> None:
    said = refusal(name)
    target = {"missing": "nowhere:Coin"}.get(name, f"coin_plugin:{name}")
    assert said.startswith(f"the classifier '{name}' of {target} (distribution coin 1.0) ")
    assert message in said


def use(classifier: Classifier) -> None:
    classifier.card()
    classifier.fingerprint()
    if isinstance(classifier, EmbeddingClassifier):
        classifier.embed(IMAGES)
    classifier.label(IMAGES)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("short", "gave 1 answers in 'gender' for 2 images"),
        ("strange", "answered 'boy' in 'gender'; it may answer man, no_person, several_people, unclear, woman"),
        ("silent", "must give a list of 1 Labels, one a question (got 0)"),
        ("tuples", "must give Labels for 'gender' (got tuple)"),
        ("other", "answered 'age' ('woman', 'man') where it asks 'gender'"),
        ("flat", "gave scores of shape (2,) (float32) in 'gender'"),
        ("percent", "gave scores outside 0 to 1"),
        ("breaks", "failed in label: ZeroDivisionError: division by zero"),
        ("bare_card", "has a card without caveats, known_error"),
        ("no_json", "gave a fingerprint that JSON cannot hold"),
        ("no_dict", "must give its fingerprint as a dict (got str)"),
        ("tower", "must embed 2 images as 2 rows of float16 (got (2, 3), float64)"),
    ],
)
def test_what_an_entry_point_gives_is_checked(plugin: Path, name: str, message: str) -> None:
    classifier = load_classifier(name)
    with pytest.raises(ClassifierError) as error:
        use(classifier)
    assert message in str(error.value)
    assert f"'{name}' of coin_plugin:{name} (distribution coin 1.0)" in str(error.value)


def test_one_name_of_two_distributions_is_refused(plugin: Path) -> None:
    other = plugin / "dime-2.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: dime\nVersion: 2.0\n")
    (other / "entry_points.txt").write_text("[rolecall.classifiers]\ncoin = coin_plugin:Coin\n")
    assert re.search(
        r"^2 distributions offer a classifier 'coin': (coin 1.0, dime 2.0|dime 2.0, coin 1.0)\.", refusal("coin")
    )
