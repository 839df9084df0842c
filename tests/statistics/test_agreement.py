"""Agreement of raters. Oracles: Krippendorff's published example (nominal α = .743), α by all pairs of labels,
statsmodels' Cohen's κ, an explicit bootstrap, brute-force simulation for Dawid–Skene."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa

from audit.statistics.agreement import (
    cohen_kappa,
    compare_labels,
    dawid_skene,
    krippendorff,
    percent_agreement,
    reading,
)

PUBLISHED = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
"""Krippendorff (2011), Computing Krippendorff's Alpha-Reliability: four observers, twelve units."""
EXAMPLE = np.array([[int(c) - 1 if c != "." else -1 for c in row.split()] for row in PUBLISHED.split("\n")[1:-1]])


def alpha_by_pairs(labels: np.ndarray) -> float:
    coincidences: dict[tuple[int, int], float] = {}
    for unit in labels.T:
        given_labels = [int(c) for c in unit if c >= 0]
        for i, one in enumerate(given_labels):
            for j, other in enumerate(given_labels):
                if i != j:
                    pair = (one, other)
                    coincidences[pair] = coincidences.get(pair, 0) + 1 / (len(given_labels) - 1)
    n = sum(coincidences.values())
    totals: dict[int, float] = {}
    for (one, _), weight in coincidences.items():
        totals[one] = totals.get(one, 0) + weight
    observed = sum(weight for (one, other), weight in coincidences.items() if one != other) / n
    expected = sum(totals[a] * totals[b] for a in totals for b in totals if a != b) / (n * (n - 1))
    return 1 - observed / expected


def test_the_published_example() -> None:
    found = krippendorff(EXAMPLE, 5, rng=np.random.default_rng(0))
    assert round(found.value, 3) == 0.743
    assert found.images == 11 and found.low < 0.743 < found.high


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), raters=st.integers(2, 5), k=st.integers(2, 5))
def test_alpha_is_that_of_all_pairs_whatever_the_names_and_the_order(seed: int, raters: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, k, size=(raters, 12))
    labels[:, 0], labels[:, 1] = 0, 1
    found = krippendorff(labels, k, rng=rng, resamples=10).value
    assert found == pytest.approx(alpha_by_pairs(labels), abs=1e-10)
    names = np.append(rng.permutation(k), -1)
    moved = names[labels][rng.permutation(raters)][:, rng.permutation(12)]
    assert krippendorff(moved, k, rng=rng, resamples=10).value == pytest.approx(found, abs=1e-10)


def test_the_interval_is_that_of_images_drawn_again() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, size=80)
    labels = np.where(rng.random((3, 80)) < 0.8, truth, rng.integers(0, 3, size=(3, 80)))
    found = krippendorff(labels, 3, rng=rng, resamples=4000)
    drawn = [alpha_by_pairs(labels[:, rng.integers(0, 80, size=80)]) for _ in range(1000)]
    np.testing.assert_allclose([found.low, found.high], np.quantile(drawn, [0.025, 0.975]), atol=0.02)


def test_full_agreement_is_one_and_one_class_says_nothing() -> None:
    rng = np.random.default_rng(0)
    assert krippendorff([[0, 1, 2, 0], [0, 1, 2, 0]], 3, rng=rng).value == 1
    assert np.isnan(krippendorff([[1, 1, 1], [1, 1, 1]], 3, rng=rng).value)


@pytest.mark.parametrize(
    ("alpha", "word"),
    [(0.8, "usable"), (0.79, "tentative"), (0.67, "tentative"), (0.66, "not_measurable"), (np.nan, "not_measurable")],
)
def test_what_an_alpha_allows(alpha: float, word: str) -> None:
    assert reading(alpha) == word


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), k=st.integers(2, 6))
def test_kappa_is_that_of_statsmodels(seed: int, k: int) -> None:
    table = np.random.default_rng(seed).poisson(4, size=(k, k)) + 3 * np.eye(k)
    found, expected = cohen_kappa(table), cohens_kappa(table)
    assert found.value == pytest.approx(expected.kappa, abs=1e-10)
    assert found.low == pytest.approx(max(-1, expected.kappa_low), abs=1e-8)
    assert found.high == pytest.approx(min(1, expected.kappa_upp), abs=1e-8)
    assert percent_agreement(table) == pytest.approx(np.trace(table) / table.sum())


def test_labels_of_two_raters_make_a_table_of_those_that_both_gave() -> None:
    table = compare_labels([0, 1, 1, -1, 2], [0, 1, 2, 2, -1], 3)
    np.testing.assert_array_equal(table, [[1, 0, 0], [0, 1, 1], [0, 0, 0]])
    nothing = cohen_kappa(np.zeros((2, 2)))
    assert np.isnan(nothing.value) and np.isnan(percent_agreement(np.zeros((2, 2))))
    assert np.isnan(cohen_kappa([[5, 0], [0, 0]]).value)


def test_dawid_and_skene_find_the_raters_that_made_the_labels() -> None:
    rng = np.random.default_rng(7)
    shares, errors = np.array([0.6, 0.3, 0.1]), []
    truth = rng.choice(3, size=4000, p=shares)
    labels = np.empty((4, 4000), dtype=int)
    for rater, right in enumerate((0.95, 0.9, 0.85, 0.7)):
        matrix = right * np.eye(3) + (1 - right) / 2 * (1 - np.eye(3))
        errors.append(matrix)
        labels[rater] = [rng.choice(3, p=matrix[y]) for y in truth]
    labels[rng.random(labels.shape) < 0.2] = -1
    found = dawid_skene(labels, 3)
    np.testing.assert_allclose(found.shares, shares, atol=0.03)
    np.testing.assert_allclose(found.errors, errors, atol=0.06)
    assert (found.classes.argmax(axis=1) == truth).mean() > 0.95


def test_dawid_and_skene_leave_full_agreement_as_it_is() -> None:
    found = dawid_skene([[0, 1, 1, 1], [0, 1, 1, 1], [-1, -1, -1, -1]], 2)
    np.testing.assert_allclose(found.shares, [0.25, 0.75], atol=1e-8)
    np.testing.assert_allclose(found.errors[:2], [np.eye(2)] * 2, atol=1e-8)
    assert np.isnan(found.errors[2]).all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0, -1], [-1, 1]], r"raters have no image in common \(2 raters, 2 images, none with two labels\)"),
        ([[0, 1]], "2 raters or more"),
        ([[0, 7], [0, 1]], r"class numbers 0 to 2, or −1 where missing \(got 7\)"),
        ([[0, -3], [0, 1]], r"got -3"),
        ([[0.5, 1], [0, 1]], "got a fraction"),
        ([[np.nan, 1], [0, 1]], "got a fraction or NaN"),
    ],
)
def test_labels_that_make_no_sense_are_refused(labels: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        krippendorff(labels, 3, rng=np.random.default_rng(0))


def test_other_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="square table"):
        cohen_kappa([[1, 2, 3], [4, 5, 6]])
    with pytest.raises(ValueError, match="a label, or −1, for every image"):
        compare_labels([0, 1], [0], 2)
    with pytest.raises(ValueError, match="there is no label"):
        dawid_skene([[-1, -1], [-1, -1]], 2)
    with pytest.raises(ValueError, match="2 classes or more"):
        krippendorff([[0], [0]], 1, rng=np.random.default_rng(0))
