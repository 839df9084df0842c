"""Oracles: scipy.stats.bootstrap and Student's t; all resamples of three values enumerated; multinomial moments."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from audit.statistics.resampling import bootstrap, resampled_means, weights


@pytest.mark.parametrize(("method", "theirs"), [("bca", "BCa"), ("percentile", "percentile")])
def test_agrees_with_scipy_within_monte_carlo_error(method, theirs):
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.exponential(size=60), rng.normal(3, 2, size=60), rng.random(60) < 0.1])
    ours = bootstrap(values, 40_000, np.random.default_rng(1), method=method)
    low, high = stats.bootstrap(
        (values,), np.mean, axis=0, n_resamples=40_000, method=theirs, vectorized=True, rng=np.random.default_rng(2)
    ).confidence_interval
    width = high - low
    np.testing.assert_allclose(ours.mean, values.mean(axis=0))
    assert (np.abs(ours.low - low) < 0.02 * width).all()
    assert (np.abs(ours.high - high) < 0.02 * width).all()


def test_correction_moves_both_ends_of_a_skewed_mean_up():
    values = np.random.default_rng(3).exponential(size=30) ** 2
    plain, corrected = (bootstrap(values, 20_000, np.random.default_rng(4), method=m) for m in ("percentile", "bca"))
    assert corrected.low[0] > plain.low[0]
    assert corrected.high[0] > plain.high[0]


def test_resamples_are_those_of_drawing_with_replacement():
    values = np.array([0.0, 1.0, 5.0])
    every = [np.mean(drawn) for drawn in product(values, repeat=3)]
    means, expected = np.unique(np.round(every, 9), return_counts=True)
    found = np.round(resampled_means(values, 60_000, np.random.default_rng(5))[:, 0], 9)
    seen, counts = np.unique(found, return_counts=True)
    np.testing.assert_array_equal(seen, means)
    assert stats.chisquare(counts, expected / 27 * 60_000).pvalue > 1e-3


@pytest.mark.parametrize("units", [1, 7, 70_000])
def test_weights_are_multinomial_counts(units):
    made = weights(units, 40, np.random.default_rng(6))
    assert made.shape == (40, units)
    assert (made.sum(axis=1) == units).all()
    assert (made >= 0).all()
    if units > 1000:
        assert made.var() == pytest.approx(1, abs=0.02)
        assert made[:, -1000:].mean() == pytest.approx(1, abs=0.05)


@given(arrays(np.float64, (8, 2), elements=st.floats(-5, 5)), st.floats(-3, 3), st.floats(0.1, 3))
def test_shift_and_scale_pass_through(values, shift, scale):
    there = bootstrap(values, 200, np.random.default_rng(7))
    back = bootstrap(shift + scale * values, 200, np.random.default_rng(7))
    np.testing.assert_allclose(back.mean, shift + scale * there.mean, atol=1e-9)
    assert (there.low <= there.high).all()
    assert (values.min(axis=0) - 1e-9 <= there.low).all()
    assert (there.high <= values.max(axis=0) + 1e-9).all()


def test_covers_the_mean():
    rng = np.random.default_rng(8)
    lists = rng.beta(2, 5, size=(40, 800))
    found = bootstrap(lists, 1_500, rng)
    assert 0.92 <= np.mean((found.low <= 2 / 7) & (found.high >= 2 / 7)) <= 0.98


def test_equal_values_have_no_width_and_one_value_has_no_interval():
    same = bootstrap(np.full((5, 2), 0.3), 100, np.random.default_rng(0))
    np.testing.assert_allclose([same.low, same.high, same.mean], 0.3)
    alone = bootstrap([[0.3, 0.4]], 100, np.random.default_rng(0))
    np.testing.assert_array_equal(alone.mean, [0.3, 0.4])
    assert np.isnan([alone.low, alone.high]).all()


def test_blocks_are_only_about_memory():
    values = np.random.default_rng(9).normal(size=(3_000, 2))
    assert resampled_means(values, 50, np.random.default_rng(0)).std() == pytest.approx(3_000**-0.5, rel=0.3)


def test_bad_input_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="finite"):
        bootstrap([1.0, np.nan], 10, rng)
    with pytest.raises(ValueError, match="draws must be 1 or more"):
        bootstrap([1.0, 2.0], 0, rng)
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap([1.0, 2.0], 10, rng, 95)
    with pytest.raises(ValueError, match="bca or percentile"):
        bootstrap([1.0, 2.0], 10, rng, method="basic")
    with pytest.raises(ValueError, match="units × statistics"):
        bootstrap(np.ones((2, 2, 2)), 10, rng)
