"""Oracles: geometric series, simulated sums of normal numbers, scipy's binomial distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from audit.statistics.looks import look_sizes, total_rate
from audit.statistics.noninferiority import INCONCLUSIVE, PASS, at_rates, bound_of_share


@given(st.integers(1, 500), st.integers(1, 5000), st.integers(1, 8))
def test_looks_rise_from_the_first_number_to_the_most(first, most, looks):
    sizes = look_sizes(first, most, looks)
    assert sizes[0] == first
    assert len(sizes) <= looks
    assert list(sizes) == sorted(set(sizes))
    assert sizes[-1] == (most if most > first and looks > 1 else first)
    exact = np.geomspace(first, max(first, most), max(looks, 2))
    assert all(np.abs(exact - size).min() <= 0.5 for size in sizes)


def test_looks_double_where_they_can():
    assert look_sizes(50, 200, 3) == (50, 100, 200)
    assert look_sizes(3, 4, 5) == (3, 4)
    with pytest.raises(ValueError, match="got 0 and 3"):
        look_sizes(0, 10, 3)


def test_the_total_counts_every_number_of_images_once():
    assert total_rate({50: 0.05 / 3}, (100, 200), 0.05 / 3) == pytest.approx(0.05)
    assert total_rate({50: 0.05}, (100, 200), 0.05 / 3) == pytest.approx(0.05 + 0.1 / 3)
    assert total_rate({50: 0.4, 100: 0.4, 200: 0.4}, (), 0.1) == 1.0


def test_looks_at_growing_sums_keep_the_rate_and_numbers_chosen_by_what_they_show_do_not():
    """20,000 paths of normal numbers. A second number of images that is fitted to the first look (the one at which the
    conditional chance of an alarm is largest) errs more often at the very same level."""
    rng = np.random.default_rng(2)
    alpha, first = 0.05, 50
    z = stats.norm.ppf(1 - alpha / 2)
    start = rng.normal(size=20_000) * np.sqrt(first)
    step = rng.normal(size=start.size)
    sizes = np.geomspace(51, 2000, 60).round()
    chance = (z * np.sqrt(sizes) - start[:, None]) / np.sqrt(sizes - first)
    chosen = sizes[chance.argmin(axis=1)]

    def alarms(n):
        return np.mean((start > z * np.sqrt(first)) | (start + step * np.sqrt(n - first) > z * np.sqrt(n)))

    limit = stats.binom.ppf(0.9999, start.size, alpha) / start.size
    assert all(alarms(n) <= limit for n in look_sizes(first, 200, 2)[1:])
    assert alarms(chosen) > limit


@given(
    st.integers(0, 60), st.floats(0.05, 0.95), st.sampled_from([0.01, 0.05, 0.2]), st.sampled_from([0.01, 0.05, 0.2])
)
def test_a_line_passes_at_one_rate_and_fails_at_the_other(x, limit, alpha, wrong_pass):
    """scipy's binomial distribution: passes if so few, fails if so many are rarer than the rate at the limit."""
    found = at_rates(lambda rate: bound_of_share(x, 60, limit, alpha=rate), alpha, wrong_pass)
    few, many = stats.binom.cdf(x, 60, limit), stats.binom.sf(x - 1, 60, limit)
    if abs(few - wrong_pass) > 1e-9 and abs(many - alpha) > 1e-9:
        assert (found.verdict == PASS) == (few < wrong_pass)
        assert (found.verdict == "fail") == (many < alpha)
    assert found.high == pytest.approx(bound_of_share(x, 60, limit, alpha=wrong_pass).high)
    assert found.low == pytest.approx(bound_of_share(x, 60, limit, alpha=alpha).low)
    assert (found.images_needed is None) or found.verdict == INCONCLUSIVE


def test_the_stricter_rate_says_how_many_images_are_needed():
    strict, lax = (bound_of_share(5, 60, 0.12, alpha=rate).images_needed for rate in (0.01, 0.05))
    assert strict > lax
    assert at_rates(lambda rate: bound_of_share(5, 60, 0.12, alpha=rate), 0.05, 0.01).images_needed == strict
