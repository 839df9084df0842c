"""From a name to a classifier, and every way in which a name can be wrong."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from audit.classifiers.base import Classifier, ClassifierError
from audit.classifiers.registry import classifier_names, load_classifier


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
"""


def test_entry_points_are_classifiers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "coin_plugin.py").write_text(PLUGIN)
    metadata = tmp_path / "coin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: coin\nVersion: 1.0\n")
    points = ["coin = coin_plugin:Coin", "nothing = coin_plugin:nothing", "gone = coin_plugin:gone"]
    (metadata / "entry_points.txt").write_text("\n".join(["[rolecall.classifiers]", *points]))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "coin_plugin", raising=False)
    coin = load_classifier("coin", margin=0.2)
    assert isinstance(coin, Classifier)
    assert json.loads(json.dumps(coin.fingerprint())) == {"kind": "coin", "margin": 0.2}
    assert "coin" in classifier_names()
    assert "gave dict, which is no classifier" in refusal("nothing")
    assert "could not be loaded" in refusal("gone")
