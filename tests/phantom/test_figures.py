"""The figures: equal seeds give equal pixels, and every class changes the picture."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.phantom.figures import draw_group, draw_person, draw_scene
from probes.phantom.outfits import OUTFITS
from probes.phantom.people import AGES, ETHNICITIES, GENDERS, Person
from probes.phantom.scenes import BACKDROPS, SCENES

PERSONS = st.builds(Person, st.sampled_from(GENDERS), st.sampled_from(AGES), st.sampled_from(ETHNICITIES))
OCCUPATIONS = st.sampled_from([None, *OUTFITS])
SEEDS = st.integers(0, 2**63 - 1)


@given(PERSONS, OCCUPATIONS, SEEDS)
def test_a_person_follows_from_its_seed(person: Person, occupation: str | None, seed: int) -> None:
    first, second = (draw_person(person, occupation, np.random.default_rng(seed)) for _ in range(2))
    assert first.mode == "RGB"
    assert first.size == (64, 64)
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("occupation", [None, *OUTFITS])
def test_every_marker_shows_under_every_hat(occupation: str | None) -> None:
    """Two persons who differ in one class differ visibly, in the same pose: 30 pixels by 30 levels or more."""
    drawn = {
        classes: np.asarray(draw_person(Person(*classes), occupation, np.random.default_rng(0)), dtype=int)
        for classes in product(GENDERS, AGES, ETHNICITIES)
    }
    for first, second in combinations(drawn, 2):
        if sum(a != b for a, b in zip(first, second, strict=True)) == 1:
            changed = (np.abs(drawn[first] - drawn[second]).max(axis=-1) > 30).sum()
            assert changed > 30, (first, second, changed)


def test_every_occupation_has_a_backdrop_and_looks_like_no_other() -> None:
    assert set(OUTFITS) == set(BACKDROPS)
    person = Person("woman", "young", "copper")
    drawn = [np.asarray(draw_person(person, o, np.random.default_rng(1)), dtype=int) for o in (None, *OUTFITS)]
    assert min(np.abs(a - b).mean() for a, b in combinations(drawn, 2)) > 5


@pytest.mark.parametrize("scene", list(SCENES))
def test_a_scene_follows_from_its_seed(scene: str) -> None:
    first, second, other = (draw_scene(scene, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.tobytes() == second.tobytes()
    assert first.tobytes() != other.tobytes()


@given(st.lists(PERSONS, min_size=2, max_size=3), SEEDS)
def test_a_group_follows_from_its_seed(people: list[Person], seed: int) -> None:
    first, second = (draw_group(people, np.random.default_rng(seed)) for _ in range(2))
    assert first.size == (64, 64)
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_group_of_another_size_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=rf"2 or 3 people \(got {count}\)"):
        draw_group([Person("man", "young", "ivory")] * count, np.random.default_rng(0))
