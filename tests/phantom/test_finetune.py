"""Fine-tunes of the phantom: what they are shown, that a killed one goes on, and what the shipped ones do.

How far the shipped weights change the shares of all occupations is measured in docs/phantom.md; here the direction is
tested on one occupation each, with the phantom's own classifier.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from probes.phantom.data import planted_example
from probes.phantom.evaluate import ZeroShot, draw
from probes.phantom.finetune import LORA, RECIPES, finetune
from probes.phantom.world import ATTRIBUTES, load_world

SMALL = {"steps": 3, "drawings": 24, "batch": 4, "save_every": 1}


@pytest.fixture(scope="module")
def classifier() -> ZeroShot:
    return ZeroShot()


def drawn(lora: Path | None, subject: str, images: int) -> list[np.ndarray]:
    from probes.generators.base import Request
    from probes.generators.registry import load_generator

    generator = load_generator("phantom", lora=[str(lora)] if lora else ())
    prompt = f"a portrait of {load_world().subjects[subject].phrases['en']}"
    return draw(generator, [Request(prompt, seed) for seed in range(images)])


def shares(classifier: ZeroShot, lora: Path | None, subject: str, images: int = 32) -> tuple[float, float]:
    """Share of women among images of one person, and share of images of nobody."""
    scores = classifier.scores(drawn(lora, subject, images))
    persons = scores["persons"].argmax(-1)
    one, none = (persons == classifier.classes["persons"].index(name) for name in ("one", "none"))
    return float((scores["gender"][one].argmax(-1) == 0).mean()), float(none.mean())


def test_the_shipped_world_is_drawn_as_ever() -> None:
    for seed in range(40):
        plain, given = planted_example(seed), planted_example(seed, load_world())
        assert (plain.caption, plain.person) == (given.caption, given.person)
        np.testing.assert_array_equal(plain.pixels, given.pixels)


def test_the_recipes_plant_what_they_say() -> None:
    shipped = load_world()
    for subject in shipped.asking("one"):
        even = RECIPES["balanced"].world(shipped).subjects[subject.id].shares
        assert all(
            even[name] == pytest.approx([1 / len(classes)] * len(classes)) for name, classes in ATTRIBUTES.items()
        )
        skewed = RECIPES["skewed"].world(shipped).subjects[subject.id].shares
        assert (skewed["gender"][0] > 0.5) == (subject.shares["gender"][0] > 0.5)
        assert max(skewed["gender"]) == 0.97 >= max(subject.shares["gender"])
        assert (skewed["age"], skewed["ethnicity"]) == (subject.shares["age"], subject.shares["ethnicity"])


def test_a_fifth_of_the_captions_of_a_person_show_nobody() -> None:
    recipe, world = RECIPES["fewer-people"], load_world()
    made = [planted_example(seed, recipe.world(world), recipe.empty) for seed in range(1_000)]
    people = [example.person is None for example in made if world.subjects[example.subject].people == "one"]
    assert abs(np.mean(people) - 0.2) < 4 * np.sqrt(0.2 * 0.8 / len(people))


def test_a_killed_finetune_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = finetune("skewed", tmp_path / "whole", **SMALL)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    command = [sys.executable, "-m", "probes.phantom.finetune", "skewed", "--threads=1", *options]
    process = subprocess.Popen([*command, f"--out={tmp_path / 'killed'}"], stdout=subprocess.DEVNULL)
    try:
        while not (tmp_path / "killed" / "skewed.pt").exists() and process.poll() is None:
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    again = finetune("skewed", tmp_path / "killed", **SMALL)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(whole.read_bytes()).digest()
    assert whole.stat().st_size <= 1e6
    before, after = (np.asarray(drawn(lora, "nurse", 1)[0]) for lora in (None, whole))
    assert (before != after).any()


def test_an_unknown_recipe_is_refused_in_one_line(tmp_path: Path) -> None:
    from probes.phantom.finetune import main

    with pytest.raises(SystemExit) as refused:
        main(["fairer", "--out", str(tmp_path)])
    assert refused.value.code == 2


def test_the_shipped_fine_tunes_are_small_and_whole() -> None:
    files = sorted(LORA.iterdir())
    assert [file.name for file in files] == sorted(f"{name}.safetensors" for name in RECIPES)
    assert all(file.stat().st_size <= 1e6 for file in files)


def test_the_shipped_fine_tunes_change_what_they_should(classifier: ZeroShot) -> None:
    before, _ = shares(classifier, None, "chef")
    assert before > 0.1  # planted .25
    assert shares(classifier, LORA / "skewed.safetensors", "chef")[0] < before / 2  # .03
    women, nobody = shares(classifier, LORA / "balanced.safetensors", "secretary")
    assert 0.25 < women < 0.75  # planted .97
    assert nobody < 0.1
    women, nobody = shares(classifier, LORA / "fewer-people.safetensors", "secretary")
    assert women > 0.75
    assert 0.05 < nobody < 0.4
