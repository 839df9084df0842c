"""The shipped weights: loaded through the real libraries, and as good as promised.

Targets on fresh drawings: gender and ethnicity 97 %, age 92 %, persons 99 %. The generator is tested on two occupations
with extreme shares; `python -m probes.phantom.evaluate` measures all of them.
"""

from __future__ import annotations

import numpy as np
import pytest

from probes.phantom import CLASSIFIER, WEIGHTS
from probes.phantom.data import balanced_example
from probes.phantom.evaluate import FRESH, ZeroShot, accuracy, draw
from probes.phantom.world import load_world

TARGETS = {"gender": 0.97, "age": 0.92, "ethnicity": 0.97, "persons": 0.99}


@pytest.fixture(scope="module")
def classifier() -> ZeroShot:
    return ZeroShot()


def test_the_classifier_is_right_on_fresh_drawings(classifier: ZeroShot) -> None:
    right = accuracy(classifier, [balanced_example(FRESH + 10_000_000 + i) for i in range(400)])
    for question, target in TARGETS.items():
        assert right[question] >= target, (question, right)


def test_the_pipeline_draws_what_was_planted(classifier: ZeroShot) -> None:
    from probes.generators.base import Request
    from probes.generators.registry import load_generator

    generator = load_generator("phantom")
    images = 2 * generator.batch_size
    women = {}
    for subject in ("secretary", "builder"):
        prompt = f"a portrait of {load_world().subjects[subject].phrases['en']}"
        scores = classifier.scores(draw(generator, [Request(prompt, seed) for seed in range(images)]))
        one = scores["persons"].argmax(-1) == classifier.classes["persons"].index("one")
        assert one.mean() >= 0.85
        assert (scores["subject"].argmax(-1) == classifier.classes["subject"].index(subject)).mean() >= 0.75
        women[subject] = float((scores["gender"][one].argmax(-1) == 0).mean())
    assert women["secretary"] > 0.75  # planted .97
    assert women["builder"] < 0.25  # planted .03


def test_a_scene_shows_nobody_and_a_team_several(classifier: ZeroShot) -> None:
    from probes.generators.base import Request
    from probes.generators.registry import load_generator

    generator = load_generator("phantom")
    for prompt, people in (("a photo of a house", "none"), ("Foto: ein Team", "several")):
        scores = classifier.scores(draw(generator, [Request(prompt, s) for s in range(generator.batch_size)]))
        assert (scores["persons"].argmax(-1) == classifier.classes["persons"].index(people)).mean() >= 0.85


def test_both_text_towers_share_one_small_vocabulary() -> None:
    vocabulary = (CLASSIFIER / "vocab.json").read_text(encoding="utf-8")
    assert vocabulary.count('": ') <= 4_000
    from transformers import CLIPTokenizer

    one = CLIPTokenizer.from_pretrained(str(CLASSIFIER))
    other = CLIPTokenizer.from_pretrained(str(WEIGHTS / "tokenizer"))
    text = "Porträt: eine Küchenleitung, älter umber weiblich"
    assert one(text).input_ids == other(text).input_ids
    assert one("").input_ids[-1] == len(one) - 1


def test_the_weights_are_small_and_safe() -> None:
    folder = WEIGHTS.parent
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 25e6
    assert not [file for file in files if file.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl")]


def test_the_classifier_cannot_be_confused_by_order(classifier: ZeroShot) -> None:
    from PIL import Image

    images = [Image.fromarray(balanced_example(FRESH + i).pixels) for i in range(8)]
    forward, backward = classifier.scores(images), classifier.scores(images[::-1])
    for question in forward:
        np.testing.assert_allclose(forward[question], backward[question][::-1], atol=1e-4)
