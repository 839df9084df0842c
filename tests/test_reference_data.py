"""The references that come with Rolecall are what their sources say; oracle: the published tables, added up anew."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from audit.attribute import load_wordings
from audit.classifiers.base import Question
from audit.reference import Coverage, Reference, coverage, load_reference
from probes.suite import load_suite

POPULATIONS = ("us-population-2020", "de-population-2021", "world-population-2021")
FAIRFACE = ("white", "black", "latino_hispanic", "east_asian", "southeast_asian", "indian", "middle_eastern")


def rows(shared_data: Path, name: str) -> list[dict[str, str]]:
    with (shared_data / "references" / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def bands(shared_data: Path, name: str) -> Mapping[str, np.ndarray]:
    """Band of age → women, men."""
    return {row["age_band"]: np.array([int(row["female"]), int(row["male"])]) for row in rows(shared_data, name)}


def shares(reference: Reference, attribute: str, classes: Sequence[str]) -> np.ndarray:
    found = reference.shares(attribute, classes, subject="anybody", keys={})
    assert found is not None
    return found


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("wordings", ["default", "joint"])
def test_populations_have_the_classes_of_the_attribute_sets(name: str, wordings: str) -> None:
    """Gender and age of every set of real people; the years at which its classes begin are those of the card."""
    reference = load_reference(name)
    for spec in load_wordings(wordings).attributes:
        if spec.name == "ethnicity":
            continue
        if spec.name == "age":
            assert spec.from_years == (0, 18, 35, 60)
            assert "child 0–17, young_adult 18–34, middle_aged 35–59, older 60" in " ".join(
                " ".join(map(str, reference.card["mapping"])).split()  # type: ignore[call-overload]
            )
        assert shares(reference, spec.name, tuple(spec.classes)).sum() == pytest.approx(1)


@pytest.mark.parametrize("name", POPULATIONS)
def test_populations_hold_for_every_probe(name: str) -> None:
    suite = load_suite("occupations")
    question = Question("gender", ("woman", "man"))
    assert coverage(load_reference(name), suite.probes, question) == Coverage(len(suite.probes), len(suite.probes))


AGES = ("child", "young_adult", "middle_aged", "older")


def test_us_population(shared_data: Path) -> None:
    """All bands end at 18 (with the source's own total of adults), 35 and 60."""
    reference, found = load_reference("us-population-2020"), dict(bands(shared_data, "us_population_age_sex_2020.csv"))
    adults = found.pop("18+")
    total = sum(found.values())
    assert shares(reference, "gender", ("woman", "man")) == pytest.approx(total / total.sum(), abs=1e-6)

    def between(low: int, high: int) -> int:
        return int(sum(n.sum() for band, n in found.items() if low <= int(band.rstrip("+").split("-")[0]) < high))

    counts = np.array([total.sum() - adults.sum(), adults.sum() - between(35, 200), between(35, 60), between(60, 200)])
    assert shares(reference, "age", AGES) == pytest.approx(counts / counts.sum(), abs=2e-6)
    assert shares(reference, "age", AGES[1:]) == pytest.approx(counts[1:] / adults.sum(), abs=2e-6)
    assert adults[0] / adults.sum() == pytest.approx(0.515, abs=5e-4)  # as the card says


def test_us_population_by_race_and_origin(shared_data: Path) -> None:
    """Four groups, each against the rest; people of the other groups have no class here."""
    reference = load_reference("us-population-2020")
    groups = {row["group"]: float(row["share_pct"]) / 100 for row in rows(shared_data, "us_population_race_2020.csv")}
    assert reference.shares("ethnicity", FAIRFACE, subject="x", keys={}) is None
    found = reference.one_vs_rest("ethnicity", (*FAIRFACE, "asian"), subject="x", keys={})
    assert found is not None
    white, black, latino, *divided, asian = found
    assert white == pytest.approx(groups["White alone, not Hispanic"])
    assert black == pytest.approx(groups["Black or African American alone, not Hispanic"])
    assert latino == pytest.approx(groups["Hispanic or Latino (any race)"])
    assert asian == pytest.approx(groups["Asian alone, not Hispanic"])
    assert np.isnan(divided).all()  # Asian people are not divided, Middle Eastern people not counted apart


def test_german_population(shared_data: Path) -> None:
    """Its bands end at 18 and 60; 35 lies in one, and the single years of the same table split it."""
    reference, found = load_reference("de-population-2021"), bands(shared_data, "de_population_age_sex.csv")
    total = sum(found.values())
    assert total.sum() == 83_237_124
    assert shares(reference, "gender", ("woman", "man")) == pytest.approx(total / total.sum(), abs=1e-6)
    child, young, middle, older = shares(reference, "age", AGES)
    assert child == pytest.approx(found["0-17"].sum() / total.sum(), abs=1e-6)
    assert older == pytest.approx((found["60-74"] + found["75+"]).sum() / total.sum(), abs=1e-6)
    split = young - found["18-29"].sum() / total.sum()  # people of 30 to 34
    assert split * total.sum() == pytest.approx(5_553_604, abs=100)
    assert 1 / 3 < split * total.sum() / found["30-44"].sum() < 0.36
    assert young + middle == pytest.approx(1 - child - older, abs=1e-6)


def test_world_population(shared_data: Path) -> None:
    """Sums over the bands of the source hold; what is split within a band is split as the card says."""
    reference, found = load_reference("world-population-2021"), bands(shared_data, "world_population_age_sex.csv")
    total = sum(found.values())
    assert shares(reference, "gender", ("woman", "man")) == pytest.approx(total / total.sum(), abs=1e-6)
    n = {band: each.sum() / total.sum() for band, each in found.items()}
    child, young, middle, older = shares(reference, "age", AGES)
    assert child == pytest.approx(n["0-14"] + 0.304 * n["15-24"], abs=2e-4)
    assert young == pytest.approx(0.696 * n["15-24"] + 0.379 * n["25-54"], abs=4e-4)
    assert middle == pytest.approx(0.621 * n["25-54"] + 0.546 * n["55-64"], abs=4e-4)
    assert older == pytest.approx(0.454 * n["55-64"] + n["65+"], abs=2e-4)
    even = np.array([0.7 * n["15-24"] + n["25-54"] / 3, n["25-54"] * 2 / 3 + n["55-64"] / 2])
    assert even == pytest.approx([0.242, 0.317], abs=5e-4)  # as the card says


def test_german_occupations(shared_data: Path) -> None:
    """Every published share once, with its year and source."""
    reference = load_reference("de-women-share")
    published = rows(shared_data, "de_women_share_occupations.csv")
    ours = [
        (round(100 * row["woman"], 2), reference.origins[key].split(", ")[0], key)
        for key, row in reference.table["gender"].items()
    ]
    assert len(ours) == len(published) == 52
    for (share, year, key), row in zip(ours, published, strict=True):
        assert share == pytest.approx(float(row["women_pct"]))
        assert year == row["year"]
        assert row["code"] in key
        assert reference.table["gender"][key]["man"] == pytest.approx(1 - share / 100)
        assert len(reference.origins[key]) > 20


def test_the_card_of_the_german_suite_says_how_many_occupations_have_a_row() -> None:
    suite = load_suite("berufe")
    with_row = {probe.subject for probe in suite.probes if "de-women-share" in probe.keys}
    without = set(suite.subjects) - with_row
    caveats = " ".join(suite.card.caveats)
    assert (
        f"for {len(with_row)} of the {len(suite.subjects)} occupations; the other {len(without)} occupations" in caveats
    )
    found = coverage(load_reference("de-women-share"), suite.probes, Question("gender", ("woman", "man")))
    assert found == Coverage(8 * len(with_row), 8 * len(suite.subjects))
