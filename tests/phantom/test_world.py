"""The planted world: valid as shipped, refused when it is not, and asked in words that are understood."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from probes.phantom.captions import TEMPLATES, phrase, understand
from probes.phantom.outfits import OUTFITS
from probes.phantom.scenes import SCENES
from probes.phantom.world import ATTRIBUTES, LANGUAGES, WorldError, load_world

WORLD = load_world()
SHIPPED = Path(__file__).resolve().parents[2] / "probes" / "phantom" / "world.yaml"
NAMED = st.fixed_dictionaries({}, optional={name: st.sampled_from(classes) for name, classes in ATTRIBUTES.items()})


def test_shares_add_up_to_one_and_every_class_is_planted() -> None:
    totals: dict[tuple[str, str], float] = {}
    for subject, attribute, name, share in WORLD.planted():
        assert name in ATTRIBUTES[attribute]
        totals[subject, attribute] = totals.get((subject, attribute), 0) + share
    assert set(totals) == {(s.id, a) for s in WORLD.asking("one") for a in ATTRIBUTES}
    assert all(abs(total - 1) < 1e-9 for total in totals.values())


def test_occupations_span_the_range_of_gender() -> None:
    women = [subject.shares["gender"][0] for subject in WORLD.asking("one") if subject.kind == "occupation"]
    assert len(women) >= 12
    assert min(women) <= 0.05
    assert max(women) >= 0.95


def test_everything_in_the_world_can_be_drawn() -> None:
    assert {s.id for s in WORLD.subjects.values() if s.kind == "occupation"} == set(OUTFITS)
    assert {s.id for s in WORLD.asking("none")} == set(SCENES)


@given(st.sampled_from(list(WORLD.subjects)), st.sampled_from(LANGUAGES), st.data())
def test_every_caption_is_understood(subject: str, language: str, data: st.DataObject) -> None:
    named = data.draw(NAMED) if WORLD.subjects[subject].people == "one" else {}
    template = data.draw(st.sampled_from(TEMPLATES[language]))
    asked = understand(WORLD, template.format(subject=phrase(WORLD, subject, language, named)))
    assert asked is not None
    assert asked.subject == subject
    assert dict(asked.named) == named


@pytest.mark.parametrize("prompt", ["", "a portrait of an astronaut", "nurses"])
def test_other_prompts_are_not_understood(prompt: str) -> None:
    assert understand(WORLD, prompt) is None


def test_words_of_the_classes_are_no_words_of_subjects() -> None:
    from probes.phantom.captions import NAMES

    words = {word for s in WORLD.subjects.values() for text in s.phrases.values() for word in text.lower().split()}
    for language, attribute in product(LANGUAGES, ATTRIBUTES):
        assert not words & set(NAMES[language][attribute].values())


@given(st.sampled_from([s.id for s in WORLD.asking("one")]), NAMED, st.integers(0, 2**32))
def test_what_is_named_is_drawn(subject: str, named: dict[str, str], seed: int) -> None:
    person = WORLD.draw_person(subject, named, np.random.default_rng(seed))
    assert {key: getattr(person, key) for key in named} == named


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("occupations", "nurse", "age"), [0.5, 0.2, 0.2], "shares of age of nurse must be 3 numbers"),
        (("occupations", "nurse", "ethnicity"), [0.5, 0.5], "shares of ethnicity of nurse must be 4 numbers"),
        (("occupations", "nurse", "gender"), 1.2, "shares of gender of nurse"),
        (("occupations", "nurse", "hat"), "white", "nurse has a missing or unknown key 'hat'"),
        (("scenes", "house"), {"en": "a house"}, "house has a missing or unknown key 'de'"),
        (("animals",), {}, "unknown key 'animals'"),
    ],
)
def test_a_wrong_world_is_refused_in_one_line(
    tmp_path: Path, path: tuple[str, ...], value: object, message: str
) -> None:
    world = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    at = world
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    file = tmp_path / "world.yaml"
    file.write_text(yaml.safe_dump(world), encoding="utf-8")
    with pytest.raises(WorldError, match=message) as caught:
        load_world(file)
    assert "\n" not in str(caught.value)


def test_a_world_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "world.yaml"
    file.write_text("- nurse\n", encoding="utf-8")
    with pytest.raises(WorldError, match="must hold a mapping"):
        load_world(file)
