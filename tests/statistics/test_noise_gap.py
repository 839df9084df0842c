"""The noise-corrected gap. Oracles: `gap_of_list` for a perfect classifier, enumeration of all tables of labels,
brute-force simulation of images and labels."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audit.statistics.gap import gap_of_list, gap_of_population, largest_squared_distance
from audit.statistics.noisy_gap import corrected_gap


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), k=st.integers(2, 7), ordered=st.booleans())
def test_a_perfect_classifier_gives_the_raw_gap(seed: int, k: int, ordered: bool) -> None:
    rng = np.random.default_rng(seed)
    x, r = rng.poisson(6, size=(6, k)) + 1, rng.dirichlet(np.ones(k))
    found = corrected_gap(x, 20 * np.eye(k), r, k=k, ordered=ordered)
    raw = gap_of_list(x, r, ordered=ordered)
    assert found.squared == pytest.approx(raw.squared, abs=1e-8)
    assert found.value == pytest.approx(raw.gap, abs=1e-6)
    assert found.low <= found.value <= found.high


def test_by_subject_it_weighs_as_the_gap_of_the_population() -> None:
    x, r = np.random.default_rng(1).poisson(9, size=(7, 3)), [0.2, 0.5, 0.3]
    subjects = ["a", "a", "b", "c", "c", "c", "d"]
    found = corrected_gap(x, 1e9 * np.eye(3), r, k=3, subjects=subjects)
    raw = gap_of_population(x, r, subjects)
    assert found.squared == pytest.approx(raw.squared)
    assert found.high == pytest.approx(raw.high, abs=1e-4) and found.low == pytest.approx(raw.low, abs=1e-4)


def test_labels_leave_no_bias_to_second_order() -> None:
    """All tables with 60 labels a class, images without number."""
    se, sp, m = 0.9, 0.85, 60
    for p in (0.5, 0.7, 0.2):
        q = p * se + (1 - p) * (1 - sp)
        x = np.round(1e9 * np.array([[q, 1 - q]]))
        mean = plugin = 0.0
        for right, wrong in product(range(44, m + 1), range(0, 21)):
            chance = stats.binom.pmf(right, m, se) * stats.binom.pmf(wrong, m, 1 - sp)
            if chance > 1e-6:
                table = np.array([[right, m - right], [wrong, m - wrong]], dtype=float)
                mean += chance * corrected_gap(x, table, [0.5, 0.5], k=2).squared
                inverse = (x[0, 0] / 1e9 - wrong / m) / (right / m - wrong / m)
                plugin += chance * (2 * inverse - 1) ** 2
        truth = (2 * p - 1) ** 2
        assert abs(mean - truth) < 0.002
        assert abs(mean - truth) < 0.2 * abs(plugin - truth)


@pytest.mark.parametrize("tilt", [0.0, 1.0])
def test_intervals_cover_and_the_raw_ones_do_not(tilt: float) -> None:
    rng = np.random.default_rng(4)
    matrix = np.array([[0.95, 0.05], [0.15, 0.85]])
    p = np.linspace(0.5 - 0.3 * tilt, 0.5 + 0.45 * tilt, 30)
    p = np.stack([p, 1 - p], axis=1)
    truth = float(((2 * p[:, 0] - 1) ** 2).mean())
    held = raw_held = 0
    squared = []
    for _ in range(300):
        table = np.stack([rng.multinomial(100, row) for row in matrix])
        x = rng.multinomial(60, p @ matrix)
        found, raw = corrected_gap(x, table, [0.5, 0.5], k=2), gap_of_list(x, [0.5, 0.5])
        held += found.low**2 - 1e-12 <= truth <= found.high**2 + 1e-12
        raw_held += raw.low**2 - 1e-12 <= truth <= raw.high**2 + 1e-12
        squared.append(found.squared)
    assert held / 300 > 0.93 - 4 * 0.014
    assert raw_held / 300 < 0.92
    assert abs(np.mean(squared) - truth) < 4 * np.std(squared) / np.sqrt(300) + 0.001


def test_answers_without_a_class_are_left_out_as_in_the_shares() -> None:
    matrix = np.array([[0.70, 0.05, 0.25], [0.05, 0.90, 0.05], [0.02, 0.03, 0.95]])
    truth = np.array([[0.6, 0.2, 0.2], [0.1, 0.5, 0.4]])
    x = np.round(1e6 * truth @ matrix)
    p = truth[:, :2] / truth[:, :2].sum(axis=1, keepdims=True)
    expected = ((p - 0.5) ** 2).sum(axis=1).mean() / largest_squared_distance([0.5, 0.5])[0]
    assert corrected_gap(x, 1e6 * matrix, [0.5, 0.5], k=2).squared == pytest.approx(expected, abs=1e-4)


def test_neither_order_of_probes_nor_names_of_classes_matter() -> None:
    rng = np.random.default_rng(6)
    x, table, r = rng.poisson(9, size=(5, 4)), 20 * np.eye(4) + rng.poisson(1, size=(4, 4)), rng.dirichlet(np.ones(4))
    order = rng.permutation(4)
    one = corrected_gap(x, table, r, k=4)
    other = corrected_gap(x[::-1][:, order], table[order][:, order], r[order], k=4)
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_what_cannot_be_said_is_not_said() -> None:
    alike = corrected_gap([[30, 30]], [[10, 10], [10, 10]], [0.5, 0.5], k=2)
    assert np.isnan(alike.value) and (alike.low, alike.high) == (0, 1)
    empty = corrected_gap([[1, 0]], np.eye(2), [0.5, 0.5], k=2)
    assert np.isnan(empty.value) and empty.probes == 0
    one_subject = corrected_gap([[10, 20], [9, 8]], np.eye(2), [0.5, 0.5], k=2, subjects=["a", "a"])
    assert np.isnan(one_subject.low) and one_subject.value >= 0


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        corrected_gap([[1, 2]], np.eye(2), [0.5, 0.6], k=2)
    with pytest.raises(ValueError, match="one table of labels for all probes"):
        corrected_gap([[1, 2]], np.eye(2)[None], [0.5, 0.5], k=2)
    with pytest.raises(ValueError, match="each probe needs one subject"):
        corrected_gap([[1, 2]], np.eye(2), [0.5, 0.5], k=2, subjects=["a", "b"])
