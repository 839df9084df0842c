"""Corrected shares of probes. Oracles: the score equation written out in loops and scanned for its ends, Wilson's
interval, `lang_reiczigel`, brute-force simulation of classifier and labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audit.statistics.double_sampling import post_stratified_classes
from audit.statistics.intervals import shares, wilson
from audit.statistics.inversion import IN_VALUE, corrected_shares, score_interval
from audit.statistics.noise import lang_reiczigel


def smoothed(x: np.ndarray, table: np.ndarray, right: float, wrong: float) -> np.ndarray:
    k = len(table)
    added = table.astype(float).copy()
    for y in range(k):
        others = sum(x[c] + 1 for c in range(k) if c != y)
        for c in range(k):
            added[y, c] += right if c == y else wrong * (x[c] + 1) / others
    return added


def accepted(t: float, y: int, x: np.ndarray, table: np.ndarray) -> bool:
    """The score test of p_y = t, written out for classes alone."""
    k, n, z = len(x), x.sum(), stats.norm.ppf(0.975)
    centre = smoothed(x, table, *IN_VALUE)
    shown = np.linalg.solve((centre / centre.sum(axis=1, keepdims=True)).T, x / n)
    labels = smoothed(x, table, 1.0, 1 + 0.4 * (k - 2))
    matrix = labels / labels.sum(axis=1, keepdims=True)
    inverse = np.linalg.inv(matrix)
    other = np.clip(x / n @ inverse, 0, None)
    other[y] = 0
    p = (1 - t) * other / other.sum()
    p[y] = t
    variance = 0.0
    for j in range(k):
        square = sum(matrix[j, c] * (inverse[c, y] - t) ** 2 for c in range(k))
        mean = (1.0 if j == y else 0.0) - t
        variance += p[j] * square / n + p[j] ** 2 * (square - mean**2) / labels[j].sum()
    return bool((shown[y] - t) ** 2 <= z**2 * variance)


def test_the_interval_is_what_the_score_test_does_not_reject() -> None:
    rng = np.random.default_rng(3)
    for k, m in ((2, 60), (3, 80), (7, 300)):
        matrix = 0.85 * np.eye(k) + 0.15 / k
        table = np.stack([rng.multinomial(m // k, row) for row in matrix])
        x = rng.multinomial(100, rng.dirichlet(np.ones(k)) @ matrix)
        ends = score_interval(x[None], table, k=k)
        for y in range(k):
            low, high = ends.low[0, y], ends.high[0, y]
            assert accepted((low + high) / 2, y, x, table)
            for inside, outside in ((low + 1e-6, low - 1e-6), (high - 1e-6, high + 1e-6)):
                assert not 0 < inside < 1 or accepted(inside, y, x, table)
                assert not 0 < outside < 1 or not accepted(outside, y, x, table)


def test_a_perfect_classifier_with_labels_without_number_gives_wilson() -> None:
    x = np.array([[3, 40, 7, 0], [20, 1, 1, 2]])
    ends, expected = score_interval(x, 1e10 * np.eye(4), k=4), wilson(x, x.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(ends.low, expected.low, atol=1e-7)
    np.testing.assert_allclose(ends.high, expected.high, atol=1e-7)


def test_two_classes_take_lang_and_reiczigel() -> None:
    found = corrected_shares([[30, 70, 0], [5, 95, 0]], [[45, 5, 0], [4, 60, 0]], k=2)
    expected = lang_reiczigel([30, 5], 100, 45, 50, 60, 64)
    np.testing.assert_allclose(found.low[:, 0], expected.low)
    np.testing.assert_allclose(found.high[:, 0], expected.high)
    np.testing.assert_allclose(found.low[:, 1], 1 - expected.high)
    assert found.method.tolist() == ["lang_reiczigel"] * 2


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), k=st.integers(2, 7), other=st.booleans())
def test_a_perfect_classifier_changes_nothing(seed: int, k: int, other: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.poisson(8, size=(5, k + 3 * other)) + 1
    table = np.diag(rng.poisson(9, size=k + 3 * other)).astype(float)
    found = corrected_shares(x, table, k=k)
    np.testing.assert_allclose(found.value, shares(x[:, :k]), atol=1e-8)
    assert (found.low <= found.value).all() and (found.value <= found.high).all()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), k=st.integers(2, 6))
def test_neither_names_of_classes_nor_order_of_probes_matter(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    classes, probes = rng.permutation(k), rng.permutation(4)
    columns = np.append(classes, [k, k + 1])
    table = 12 * np.eye(k + 1, k + 2) + rng.poisson(1.0, size=(k + 1, k + 2))
    x = rng.poisson(10, size=(4, k + 2))
    found = corrected_shares(x, table, k=k)
    moved = corrected_shares(x[probes][:, columns], table[np.append(classes, k)][:, columns], k=k)
    for one, other in zip(found[:3], moved[:3], strict=True):
        np.testing.assert_allclose(one[probes][:, classes], other, atol=1e-7)


def test_a_table_a_probe_is_one_probe_at_a_time() -> None:
    rng = np.random.default_rng(0)
    x, tables = rng.poisson(10, size=(3, 5)), 9 * np.eye(4, 5) + rng.poisson(1, size=(3, 4, 5))
    found = corrected_shares(x, tables, k=4)
    for j in range(3):
        alone = corrected_shares(x[[j]], tables[j], k=4)
        for one, other in zip(found[:3], alone[:3], strict=True):
            np.testing.assert_allclose(one[[j]], other, atol=1e-9)


def test_answers_without_a_class_are_given_back_to_the_class_that_loses_them() -> None:
    matrix = np.array([[0.70, 0.05, 0.25], [0.05, 0.90, 0.05], [0.02, 0.03, 0.95]])
    truth = np.array([0.4, 0.4, 0.2])
    x = np.round(1e6 * truth @ matrix)[None]
    with_row = corrected_shares(x, 1e5 * matrix, k=2)
    np.testing.assert_allclose(with_row.value, [[0.5, 0.5]], atol=1e-4)
    classes_only = corrected_shares(np.round(1e6 * truth[:2] @ matrix[:2])[None], 1e5 * matrix[:2], k=2)
    np.testing.assert_allclose(classes_only.value, [[0.5, 0.5]], atol=1e-4)
    assert with_row.method[0] == classes_only.method[0] == "score_inversion"
    assert ((with_row.low < 0.5) & (with_row.high > 0.5)).all() and (with_row.high - with_row.low).max() < 0.02


def test_what_cannot_be_inverted_gives_a_wide_interval() -> None:
    alike = np.array([[10, 10, 0], [10, 10, 0], [0, 0, 20]])
    found = corrected_shares([[30, 30, 40]], alike, k=3)
    assert found.low[0, 0] < 0.01 and found.high[0, 0] > 0.55
    assert found.low[0, 2] > 0.25 and found.high[0, 2] < 0.6


def test_a_class_that_people_never_gave_does_not_break_the_others() -> None:
    table = np.array([[60, 4, 0], [4, 60, 0], [0, 0, 0]])
    found = corrected_shares([[48, 48, 4], [0, 0, 0]], table, k=3)
    assert np.isfinite(found.value[0]).all() and found.high[0, 0] - found.low[0, 0] < 0.45
    assert np.isnan(found.value[1]).all() and (found.low[1] == 0).all() and (found.high[1] == 1).all()


def test_probes_with_twenty_labels_of_their_own_use_them() -> None:
    x = np.array([[40, 60], [40, 60]])
    own = np.array([[[8, 1], [1, 10]], [[3, 0], [1, 4]]])
    found = corrected_shares(x, own.sum(axis=0), k=2, labelled=own)
    assert found.method.tolist() == ["post_stratified", "lang_reiczigel"]
    expected = post_stratified_classes(x[0], own[0], 2)
    np.testing.assert_allclose(found.value[0], expected.value)
    np.testing.assert_allclose(found.high[0], expected.high)


def test_intervals_cover_rare_classes_with_few_labels() -> None:
    rng = np.random.default_rng(5)
    k, p = 7, np.array([0.45, 0.2, 0.13, 0.1, 0.07, 0.03, 0.02])
    matrix = 0.825 * np.eye(k) + 0.175 / k
    tables = rng.multinomial(50, (p[:, None] * matrix).ravel(), size=2000).reshape(2000, k, k)
    x = rng.multinomial(100, p @ matrix, size=2000)
    found, naive = corrected_shares(x, tables, k=k), wilson(x, 100)
    coverage = ((found.low <= p) & (p <= found.high)).mean(axis=0)
    assert coverage.min() > 0.93 - 4 * 0.006 and coverage.mean() < 0.995
    assert ((naive.low <= p) & (p <= naive.high)).mean(axis=0).min() < 0.85


@pytest.mark.parametrize(
    ("x", "table", "k", "message"),
    [
        ([[1.5, 2]], np.eye(2), 2, r"counts must be whole numbers \(got 1.5\). Count each image once."),
        ([[-1, 2]], np.eye(2), 2, "counts must be 0 or more"),
        ([[1, 2, 3]], np.eye(2), 2, "same columns"),
        ([[1, 2]], np.eye(2), 3, "same columns, 3 or more"),
        ([1, 2], np.eye(2), 2, "probes × answers"),
        ([[1, 2]], np.eye(2), 1, "2 classes or more"),
    ],
)
def test_what_makes_no_sense_is_refused(x: list[list[float]], table: np.ndarray, k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corrected_shares(x, table, k=k)


def test_labels_by_probe_must_fit() -> None:
    with pytest.raises(ValueError, match="labels by probe must fit"):
        corrected_shares([[1, 2]], np.eye(2), k=2, labelled=np.eye(2))


def test_answers_that_no_composition_explains_are_wide_not_certain() -> None:
    """Labels by which six in ten images get no class, whoever is in them, and a probe where eight in ten got one."""
    table = np.array([[18, 1, 4, 24, 3], [0, 10, 6, 10, 1], [5, 3, 7, 6, 2]], dtype=float)
    x = np.array([[6, 2, 1, 0, 1], [60, 20, 10, 0, 10]])
    found = corrected_shares(x, table, k=2)
    at_best = wilson(x[:, 0], x[:, :2].sum(axis=1))  # if the classifier were right whenever it gives a class
    assert (found.high[:, 0] - found.low[:, 0] > at_best.high - at_best.low).all()


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_an_interval_is_never_a_point(a: int, b: int, none: int, seed: int) -> None:
    table = np.random.default_rng(seed).integers(0, 20, (3, 3)).astype(float) + np.diag([5, 5, 0])
    found = corrected_shares([[a, b, none]], table, k=2)
    assert (found.high - found.low > 1e-3).all()


def test_answers_that_every_share_is_rejected_by_are_not_certain() -> None:
    """All are called women, though by the labels three in ten women are called men."""
    table = np.array([[140, 60, 4], [40, 160, 4], [2, 2, 20]], dtype=float)
    found = corrected_shares([[60, 0, 0]], table, k=2)
    assert found.value[0, 0] == pytest.approx(1)
    assert found.low[0, 0] < 0.9
