"""Labels of some of the audited images. Oracles: Tenenbein's formulas written out, enumeration of a finite population,
brute-force simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audit.statistics.double_sampling import post_stratified, post_stratified_classes
from audit.statistics.intervals import shares

MATRIX = np.array([[0.8, 0.1, 0.1], [0.15, 0.8, 0.05], [0.05, 0.15, 0.8]])


def test_value_and_width_are_those_of_tenenbein() -> None:
    p = np.array([0.3, 0.45, 0.25])
    joint = p[:, None] * MATRIX
    table, predicted = np.round(40_000 * joint), np.round(1e6 * joint.sum(axis=0))
    q, m = predicted / predicted.sum(), table.sum(axis=0)
    within = table / m
    value = within @ q
    for finite in (False, True):
        found = post_stratified_classes(predicted, table, 3, finite=finite)
        variance = (q**2 * within * (1 - within) / m * (1 - finite * m / predicted)).sum(axis=1)
        variance = variance + (0 if finite else (q * (within - value[:, None]) ** 2).sum(axis=1) / predicted.sum())
        np.testing.assert_allclose(found.value, value, atol=1e-12)
        np.testing.assert_allclose(found.high - found.low, 2 * stats.norm.ppf(0.975) * np.sqrt(variance), rtol=2e-3)


def test_shares_of_classes_are_shares_among_them() -> None:
    table = np.array([[30, 2, 5], [1, 40, 4], [2, 0, 20]])
    predicted = np.array([500, 600, 300])
    everything, classes = post_stratified(predicted, table), post_stratified_classes(predicted, table, 2)
    np.testing.assert_allclose(classes.value, everything.value[:2] / everything.value[:2].sum())
    assert everything.value.sum() == pytest.approx(1)
    np.testing.assert_allclose(classes.low, 1 - classes.high[::-1], atol=1e-6)


def test_when_all_images_are_labelled_nothing_is_left_open() -> None:
    table = np.array([[40, 5], [6, 60]])
    found = post_stratified_classes(table.sum(axis=0), table, 2, finite=True)
    np.testing.assert_allclose(found.low, [45 / 111, 66 / 111], atol=1e-6)
    np.testing.assert_allclose(found.high, found.low, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), k=st.integers(2, 6))
def test_a_perfect_classifier_changes_nothing(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.poisson(30, size=(3, k)) + 1
    found = post_stratified_classes(predicted, (predicted[:, None, :] // 3) * np.eye(k), k)
    np.testing.assert_allclose(found.value, shares(predicted), atol=1e-8)
    assert (found.low <= found.value).all() and (found.value <= found.high).all()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), k=st.integers(2, 5))
def test_names_of_classes_do_not_matter(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.poisson(4, size=(k + 1, k + 2)) + 6 * np.eye(k + 1, k + 2)
    predicted = table.sum(axis=0) * 5 + rng.poisson(3, size=k + 2)
    order = rng.permutation(k)
    found = post_stratified_classes(predicted, table, k)
    columns = np.append(order, [k, k + 1])
    moved = post_stratified_classes(predicted[columns], table[np.append(order, k)][:, columns], k)
    for one, other in zip(found, moved, strict=True):
        np.testing.assert_allclose(one[order], other, atol=1e-7)


def test_many_tables_are_one_table_at_a_time() -> None:
    tables = np.random.default_rng(2).poisson(5, size=(4, 3, 3))
    predicted = tables.sum(axis=1) * 7
    found = post_stratified_classes(predicted, tables, 3)
    for j in range(4):
        for one, other in zip(found, post_stratified_classes(predicted[j], tables[j], 3), strict=True):
            np.testing.assert_allclose(one[j], other, atol=1e-9)


def test_an_answer_without_labels_is_taken_at_its_word_but_not_in_the_interval() -> None:
    found = post_stratified_classes([900, 100], [[50, 0], [0, 0]], 2)
    np.testing.assert_allclose(found.value, [0.9, 0.1])
    assert found.low[1] == pytest.approx(0, abs=1e-3) and found.high[1] > 0.1
    nothing = post_stratified_classes([0, 0], [[0, 0], [0, 0]], 2)
    assert np.isnan(nothing.value).all() and (nothing.low == 0).all() and (nothing.high == 1).all()


@pytest.mark.parametrize("finite", [False, True])
def test_intervals_cover_a_rare_class_with_fifty_labels(finite: bool) -> None:
    rng = np.random.default_rng(8)
    p = np.array([0.04, 0.3, 0.66])
    joint = (p[:, None] * MATRIX).ravel()
    labelled = rng.multinomial(50, joint, size=3000).reshape(-1, 3, 3)
    whole = labelled + rng.multinomial(450, joint, size=3000).reshape(-1, 3, 3)
    truth = whole.sum(axis=2) / 500 if finite else p
    found = post_stratified_classes(whole.sum(axis=1), labelled, 3, finite=finite)
    coverage = ((found.low <= truth) & (truth <= found.high)).mean(axis=0)
    assert coverage.min() > 0.93 - 4 * 0.005 and coverage.max() < 0.995


@pytest.mark.parametrize(
    ("predicted", "table", "k", "message"),
    [
        ([10, 10], [[20, 0], [0, 5]], 2, r"cannot have labelled more images than there are \(by 10 for one answer\)"),
        ([10, 10, 1], [[2, 0], [0, 5]], 2, "same columns"),
        ([10, 10], [[2, 0], [0, 5]], 3, "a row and a column for each of 2 classes or more"),
        ([10.5, 10], [[2, 0], [0, 5]], 2, "whole numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(predicted: list[float], table: list[list[int]], k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        post_stratified_classes(predicted, table, k)
