"""Oracles: scipy's chi2_contingency and fisher_exact, Bergsma's formula, simulation under equal and unequal shares."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from audit.statistics.heterogeneity import at_least, cramers_v, prompts_differ, random_tables


def test_chi_square_agrees_with_scipy_and_v_with_bergsma():
    x = np.random.default_rng(0).multinomial(30, [0.5, 0.3, 0.2], size=12)
    found = prompts_differ(x, 100, np.random.default_rng(0))
    expected = stats.chi2_contingency(x, correction=False)
    assert found.chi_square == pytest.approx(expected.statistic, rel=1e-10)
    n = 360
    off = max(0, expected.statistic / n - 11 * 2 / (n - 1))
    rows, columns = 12 - 11**2 / (n - 1), 3 - 2**2 / (n - 1)
    assert found.cramers_v == pytest.approx(np.sqrt(off / (min(rows, columns) - 1)), rel=1e-10)
    assert (found.probes, found.images) == (12, n)


@pytest.mark.parametrize("table", [[[7, 2], [3, 9]], [[10, 0], [6, 5]], [[4, 4], [4, 4]]])
def test_two_probes_and_classes_agree_with_the_enumerated_tables(table):
    x = np.array(table)
    rows, columns = x.sum(axis=1), x.sum(axis=0)
    first = np.arange(max(0, rows[0] - columns[1]), min(rows[0], columns[0]) + 1)
    chance = stats.hypergeom.pmf(first, x.sum(), columns[0], rows[0])
    off = np.abs(first - rows[0] * columns[0] / x.sum())
    exact = chance[off >= off[first == x[0, 0]] - 1e-9].sum()
    draws = 20_000
    p = prompts_differ(x, draws, np.random.default_rng(1)).p_value
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / draws) + 1 / draws)


def test_p_agrees_with_scipys_permutations():
    x = np.array([[9, 1, 0], [5, 3, 2], [4, 5, 3], [6, 0, 1]])
    theirs = stats.chi2_contingency(
        x, correction=False, method=stats.PermutationMethod(n_resamples=9_999, rng=np.random.default_rng(2))
    )
    ours = prompts_differ(x, 20_000, np.random.default_rng(3)).p_value
    assert ours == pytest.approx(theirs.pvalue, abs=0.02)


def test_size_is_the_level_with_rare_classes_and_few_images():
    rng = np.random.default_rng(4)
    truth = [0.6, 0.3, 0.08, 0.02]
    p = np.array([prompts_differ(rng.multinomial(8, truth, size=10), 199, rng).p_value for _ in range(1_000)])
    assert 0.03 < (p <= 0.05).mean() < 0.073
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_v_has_no_floor_and_sees_what_differs():
    rng = np.random.default_rng(5)
    alike = [prompts_differ(rng.multinomial(10, np.ones(7) / 7, size=50), 1, rng).cramers_v for _ in range(100)]
    assert np.mean(alike) < 0.05  # without the correction about .31
    different = prompts_differ(rng.multinomial(50, rng.dirichlet(np.ones(3), size=30)).reshape(-1, 3), 999, rng)
    assert different.p_value == 0.001
    assert different.cramers_v > 0.3
    assert prompts_differ([[200, 0], [0, 200]], 99, rng).cramers_v == pytest.approx(1, abs=1e-9)


@given(arrays(np.int64, (5, 4), elements=st.integers(0, 9)), st.permutations(range(4)), st.permutations(range(5)))
def test_order_of_classes_and_probes_and_empty_ones_are_irrelevant(x, classes, probes):
    there = prompts_differ(x, 5, np.random.default_rng(0))
    padded = np.pad(x[probes][:, classes], ((0, 1), (1, 0)))
    back = prompts_differ(padded, 5, np.random.default_rng(0))
    names = ("chi_square", "cramers_v", "probes", "images")
    np.testing.assert_allclose([getattr(there, v) for v in names], [getattr(back, v) for v in names], atol=1e-9)
    assert np.isnan(there.chi_square) or (there.chi_square >= -1e-9 and 0 < there.p_value <= 1)


def test_one_probe_or_one_class_says_nothing():
    rng = np.random.default_rng(0)
    for x in ([[3, 4]], [[3, 0], [5, 0]], [[0, 0], [0, 0]]):
        found = prompts_differ(x, 10, rng)
        assert np.isnan([found.chi_square, found.p_value, found.cramers_v]).all()
    assert np.isnan(cramers_v(1.0, (2, 2), 1))


def test_tables_have_the_margins_and_come_in_blocks():
    rows, columns = np.full(400, 5), np.array([900, 600, 500])
    blocks = list(random_tables(rows, columns, 2_000, np.random.default_rng(0)))
    assert len(blocks) > 1
    assert sum(len(block) for block in blocks) == 2_000
    for block in blocks:
        assert (block.sum(axis=2) == rows).all()
        assert (block.sum(axis=1) == columns).all()


def test_equal_values_count_as_at_least_as_large():
    assert at_least(2.0, [np.array([2.0 - 1e-12, 1.0]), np.array([3.0])], 3) == 0.75
    assert at_least(9.0, [np.array([1.0, 2.0])], 2) == pytest.approx(1 / 3)


def test_bad_input_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"whole numbers of 0 or more \(got 2.5\)"):
        prompts_differ([[1, 2.5], [1, 1]], 10, rng)
    with pytest.raises(ValueError, match="whole numbers"):
        prompts_differ([[1, -2], [1, 1]], 10, rng)
    with pytest.raises(ValueError, match="2 axes"):
        prompts_differ([1, 2], 10, rng)
    with pytest.raises(ValueError, match="draws must be 1 or more"):
        prompts_differ([[1, 2], [2, 2]], 0, rng)


def test_150_probes_and_9_classes_take_seconds_at_most():
    x = np.random.default_rng(0).multinomial(100, np.ones(9) / 9, size=150)
    start = time.process_time()
    prompts_differ(x, 1_000, np.random.default_rng(0))
    assert time.process_time() - start < 10
