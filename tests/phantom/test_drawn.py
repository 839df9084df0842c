"""`phantom-drawn`: the planted shares, with the truth of every picture."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest, chisquare

from probes.generators.base import Generator, GeneratorError, Request
from probes.phantom import PhantomDrawn
from probes.phantom.world import ATTRIBUTES, load_world

WORLD = load_world()
IMAGES = 300


def _truths(prompt: str, images: int) -> list[dict[str, str]]:
    results = PhantomDrawn().generate([Request(prompt, seed) for seed in range(images)])
    return [dict(result.details["truth"]) for result in results]  # type: ignore[call-overload]


def test_it_is_a_generator() -> None:
    assert isinstance(PhantomDrawn(), Generator)


@pytest.mark.parametrize("subject", [subject.id for subject in WORLD.asking("one")])
def test_planted_shares_are_recovered(subject: str) -> None:
    """Exact binomial and chi-square tests; seeds are fixed, and 1e-4 is far below .05 / (17 subjects × 3)."""
    truths = _truths(f"a portrait of {WORLD.subjects[subject].phrases['en']}", IMAGES)
    shares = WORLD.subjects[subject].shares
    women = sum(truth["gender"] == "woman" for truth in truths)
    assert binomtest(women, IMAGES, shares["gender"][0]).pvalue > 1e-4
    for attribute in ("age", "ethnicity"):
        counts = [sum(truth[attribute] == name for truth in truths) for name in ATTRIBUTES[attribute]]
        assert chisquare(counts, [share * IMAGES for share in shares[attribute]]).pvalue > 1e-4


def test_both_languages_and_any_batch_give_the_same_picture() -> None:
    drawn = PhantomDrawn()
    seeds = range(6)
    english = drawn.generate([Request("a portrait of a judge", seed) for seed in seeds])
    german = [drawn.generate([Request("Porträt: eine richterliche Person", seed)])[0] for seed in seeds]
    for one, other in zip(english, german, strict=True):
        assert one.image is not None
        assert other.image is not None
        assert one.image.tobytes() == other.image.tobytes()
        assert one.details == other.details


def test_what_a_prompt_names_is_drawn() -> None:
    for truth in _truths("a builder, older umber woman", 5):
        assert truth == {"people": "one", "gender": "woman", "age": "older", "ethnicity": "umber"}


@pytest.mark.parametrize(("prompt", "people"), [("a photo of a family", "several"), ("Foto: ein Haus", "none")])
def test_groups_and_scenes_have_no_person_as_truth(prompt: str, people: str) -> None:
    assert _truths(prompt, 3) == [{"people": people}] * 3


def test_a_prompt_outside_the_world_is_refused() -> None:
    result = PhantomDrawn().generate([Request("a portrait of an astronaut", 0)])[0]
    assert result.outcome == "refused"
    assert result.image is None
    assert "no subject" in result.reason


def test_the_batch_size_must_be_positive() -> None:
    with pytest.raises(GeneratorError, match=r"at least 1 \(got 0\)"):
        PhantomDrawn(batch_size=0)
