"""Label noise: error matrices and inverses. Oracles: formulas written out with `math`, scipy's constrained optimiser,
numpy's solver, a dense grid of error rates, brute-force simulation of stratified labels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from audit.statistics.bands import declared_band
from audit.statistics.intervals import wilson
from audit.statistics.noise import (
    band,
    error_matrix,
    lang_reiczigel,
    likely_composition,
    predictive_values,
    reweighted,
    rogan_gladen,
    unconstrained_inverse,
)


def lang_reiczigel_by_hand(x: float, n: float, tp: float, n1: float, tn: float, n0: float) -> tuple[float, float]:
    z = stats.norm.ppf(0.975)
    q = (x + z**2 / 2) / (n + z**2)
    se, sp = (tp + 1) / (n1 + 2), (tn + 1) / (n0 + 2)
    j = se + sp - 1
    p = (q + sp - 1) / j
    shift = 2 * z**2 * (p * se * (1 - se) / (n1 + 2) - (1 - p) * sp * (1 - sp) / (n0 + 2))
    parts = q * (1 - q) / (n + z**2) + p**2 * se * (1 - se) / (n1 + 2) + (1 - p) ** 2 * sp * (1 - sp) / (n0 + 2)
    half = z * math.sqrt(parts) / j
    return min(max(p + shift - half, 0), 1), min(max(p + shift + half, 0), 1)


@given(p=st.floats(0, 1), se=st.floats(0.6, 1), sp=st.floats(0.6, 1))
def test_rogan_gladen_undoes_known_error_rates(p: float, se: float, sp: float) -> None:
    assert rogan_gladen(p * se + (1 - p) * (1 - sp), se, sp) == pytest.approx(p, abs=1e-12)


@pytest.mark.parametrize(
    "numbers", [(30, 100, 45, 50, 40, 50), (0, 100, 20, 25, 70, 75), (98, 100, 90, 100, 90, 100), (7, 20, 3, 4, 9, 9)]
)
def test_lang_reiczigel_is_its_formula(numbers: tuple[int, ...]) -> None:
    found = lang_reiczigel(*numbers)
    low, high = lang_reiczigel_by_hand(*numbers)
    assert found.low == pytest.approx(min(low, float(found.value)), abs=1e-12)
    assert found.high == pytest.approx(max(high, float(found.value)), abs=1e-12)


def test_lang_reiczigel_treats_both_classes_alike() -> None:
    x = np.arange(0, 101, 10)
    one, other = lang_reiczigel(x, 100, 45, 50, 80, 90), lang_reiczigel(100 - x, 100, 80, 90, 45, 50)
    np.testing.assert_allclose(one.value, 1 - other.value, atol=1e-12)
    np.testing.assert_allclose(one.low, 1 - other.high, atol=1e-12)


def test_lang_reiczigel_of_a_useless_classifier_or_no_image_knows_nothing() -> None:
    useless, empty = lang_reiczigel(30, 100, 20, 50, 25, 50), lang_reiczigel(0, 0, 45, 50, 45, 50)
    assert (useless.low, useless.high, useless.value) == (0, 1, 0.3)
    assert (empty.low, empty.high) == (0, 1) and np.isnan(empty.value)


def test_rows_and_columns_of_a_table() -> None:
    table = [[8, 2, 0], [1, 8, 1], [0, 0, 0]]
    matrix = error_matrix(table)
    np.testing.assert_allclose(matrix[:2], [[0.8, 0.2, 0], [0.1, 0.8, 0.1]])
    assert np.isnan(matrix[2]).all()
    np.testing.assert_allclose(predictive_values(table)[:, 0], [8.5 / 10.5, 1.5 / 10.5, 0.5 / 10.5])
    assert np.isnan(predictive_values([[1, 0], [0, 0]], pseudo=0)[:, 1]).all()


def test_equal_sampling_probabilities_leave_a_table_as_it_is() -> None:
    table = np.array([[40.0, 3, 1], [2, 30, 0], [0, 0, 0]])
    np.testing.assert_allclose(reweighted(table, [0.01, 0.01, 0.01]), table, atol=1e-9)
    np.testing.assert_allclose(reweighted([table, 2 * table], [0.5, 0.5]), 3 * table, atol=1e-9)


def test_weights_bring_back_the_rates_that_stratified_labels_distort() -> None:
    joint = np.array([0.1, 0.9])[:, None] * np.array([[0.9, 0.1], [0.1, 0.9]])
    said = joint.sum(axis=0)
    table = 1e6 * joint / said
    np.testing.assert_allclose(error_matrix(reweighted(table, 1 / said)), [[0.9, 0.1], [0.1, 0.9]], atol=1e-9)
    assert error_matrix(table)[0, 0] > 0.97


def test_effective_labels_carry_the_simulated_variance_of_a_rate() -> None:
    rng = np.random.default_rng(1)
    joint = np.array([0.2, 0.8])[:, None] * np.array([[0.9, 0.1], [0.1, 0.9]])
    said = joint.sum(axis=0)
    tables = np.stack([rng.multinomial(1000, joint[:, c] / said[c], size=400) for c in range(2)], axis=2)
    weighted = np.stack([reweighted(table, 1000 / said) for table in tables])
    rates = error_matrix(weighted)[:, 0, 0]
    effective = weighted.sum(axis=2)[:, 0].mean()
    assert effective == pytest.approx(0.9 * 0.1 / rates.var(), rel=0.25)
    assert effective < 0.7 * tables.sum(axis=2)[:, 0].mean()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), k=st.integers(2, 6))
def test_the_likely_composition_is_the_constrained_maximum(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = 0.7 * np.eye(k) + 0.3 * rng.dirichlet(np.ones(k), size=k)
    x = rng.multinomial(60, rng.dirichlet(np.full(k, 0.5)), size=1)

    def loss(p: np.ndarray) -> float:
        return -float((x[0] * np.log(np.maximum(p @ matrix, 1e-300))).sum())

    found = likely_composition(x, matrix)[0]
    best = optimize.minimize(
        loss, np.full(k, 1 / k), bounds=[(0, 1)] * k, constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
        method="SLSQP", options={"ftol": 1e-12, "maxiter": 500},
    )  # fmt: skip
    assert found.min() >= 0 and found.sum() == pytest.approx(1)
    assert loss(found) <= best.fun + 1e-4  # EM comes to an end on the boundary slowly


def test_an_inner_composition_is_the_inverse() -> None:
    matrix = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9]])
    x = [[30, 40, 30], [25, 25, 50]]
    expected = np.linalg.solve(matrix.T, (np.array(x) / 100).T).T
    np.testing.assert_allclose(likely_composition(x, matrix), expected, atol=1e-10)
    np.testing.assert_allclose(unconstrained_inverse(x, matrix), expected, atol=1e-10)
    assert np.isnan(likely_composition([[0, 0, 0]], matrix)).all()


def test_a_composition_exists_where_no_inverse_does() -> None:
    matrix = [[0.5, 0.5], [0.5, 0.5]]
    assert likely_composition([[10, 10]], matrix).sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="cannot be inverted: the classifier answers two classes alike"):
        unconstrained_inverse([[10, 10]], matrix)


def test_the_band_holds_every_classifier_with_such_rates_and_no_more() -> None:
    ends = band([20, 50], 100, sensitivity=(0.85, 0.95), specificity=(0.9, 0.98))
    inner = wilson([20, 50], 100)
    grid = [(se, sp) for se in np.linspace(0.85, 0.95, 41) for sp in np.linspace(0.9, 0.98, 41)]
    np.testing.assert_allclose(ends.low, np.min([rogan_gladen(inner.low, *rates) for rates in grid], axis=0))
    np.testing.assert_allclose(ends.high, np.max([rogan_gladen(inner.high, *rates) for rates in grid], axis=0))
    assert band(0, 0, sensitivity=(0.9, 1), specificity=(0.9, 1)) == (0, 1)


def test_a_band_of_two_classes_is_alike_by_matrix_and_by_rates() -> None:
    matrices = [[[se, 1 - se], [1 - sp, sp]] for se in (0.85, 0.95) for sp in (0.9, 0.98)]
    x = [[20, 80], [50, 50]]
    by_matrix = declared_band(x, 2, matrices)
    by_rates = band([20, 50], 100, sensitivity=(0.85, 0.95), specificity=(0.9, 0.98))
    np.testing.assert_allclose(by_matrix.low[:, 0], by_rates.low, atol=1e-5)
    np.testing.assert_allclose(by_matrix.high[:, 0], by_rates.high, atol=1e-5)


def test_a_perfect_matrix_gives_the_wilson_band() -> None:
    x = np.array([[5, 0, 15], [1, 18, 1]])
    ends, expected = declared_band(x, 3, np.eye(3)), wilson(x, x.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(ends.low, expected.low, atol=1e-5)
    np.testing.assert_allclose(ends.high, expected.high, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rogan_gladen(0.5, 0.5, 0.5), r"sensitivity \+ specificity must exceed 1 \(got 1\)"),
        (lambda: rogan_gladen(0.5, 1.5, 0.5), r"a sensitivity lies between 0 and 1 \(got 1.5\)"),
        (lambda: lang_reiczigel(5, 4, 1, 2, 1, 2), r"must not exceed what it is out of \(got 5 of 4\)"),
        (lambda: lang_reiczigel(1, 4, 1, 2, 1, 2, level=1), "confidence level"),
        (lambda: error_matrix([[1, -2], [0, 1]]), r"counts must be 0 or more \(got -2\)"),
        (lambda: error_matrix([1, 2]), "a table of labels is"),
        (lambda: reweighted([[1, 2], [3, 4]], [0.1]), "one sampling probability"),
        (lambda: reweighted([[1, 2], [3, 4]], [0.1, 0]), "sampling probability above 0"),
        (lambda: unconstrained_inverse([[1, 2]], np.eye(3)), r"error matrix of 2 × 2 \(got shape \(3, 3\)\)"),
        (lambda: likely_composition([[1, 2]], np.eye(3)), "column for each of the 2 answers"),
        (lambda: band(1, 2, sensitivity=(0.9, 0.8), specificity=(0.9, 1)), r"ascends .* \(got 0.9 to 0.8\)"),
        (lambda: declared_band([[1, 2, 3]], 3, [[0.9, 0.1, 0.1], [0, 1, 0], [0, 0, 1]]), "adds up to 1.1"),
        (lambda: declared_band([[1, 2, 3]], 3, np.full((3, 3), 1 / 3)), "cannot be inverted"),
        (lambda: declared_band([[1, 2, 3]], 3, np.eye(2)), "a matrix with a row for each"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()
