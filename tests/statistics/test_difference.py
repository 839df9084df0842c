"""Oracles: the likelihood maximised by scipy, published intervals, all outcomes enumerated.

statsmodels' score interval for differences is no oracle: its restricted shares are not the most likely ones.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special, stats

from audit.statistics.difference import difference_paired, difference_unpaired, mean_difference
from audit.statistics.intervals import Interval

CASES = [(3, 10, 5, 10), (2, 10, 9, 10), (1, 10, 2, 12), (40, 50, 3, 10), (25, 50, 20, 50), (130, 200, 11, 40)]


def score(xa, na, xb, nb, d):
    """The score statistic, with the likelihood maximised by scipy instead of by the root of a cubic."""

    def unlikely(q):
        terms = special.xlogy([xa, na - xa, xb, nb - xb], [q + d, 1 - q - d, q, 1 - q])
        return -terms.sum()

    bounds = (max(0, -d) + 1e-12, min(1, 1 - d) - 1e-12)
    q = optimize.minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    n = na + nb
    return (xa / na - xb / nb - d) / np.sqrt(((q + d) * (1 - q - d) / na + q * (1 - q) / nb) * n / (n - 1))


@pytest.mark.parametrize("case", [*CASES, (0, 10, 0, 12), (9, 9, 0, 4)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_ends_are_where_the_score_test_turns(case, level):
    low, high = (float(end) for end in difference_unpaired(*case, level))
    z = stats.norm.ppf((1 + level) / 2)
    assert score(*case, low) == pytest.approx(z, abs=1e-6)
    if high < 1:
        assert score(*case, high) == pytest.approx(-z, abs=1e-6)


@pytest.mark.parametrize(
    ("case", "published"), [((56, 70, 48, 80), (0.0528, 0.3382)), ((9, 10, 3, 10), (0.1700, 0.8406))]
)
def test_is_the_published_interval(case, published):
    """Newcombe 1998, table II, method 6 (Miettinen & Nurminen)."""
    np.testing.assert_allclose(difference_unpaired(*case), published, atol=6e-5)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_holds_the_difference_and_mirrors(a, more, b, other):
    n, m = a + more, b + other
    low, high = difference_unpaired(a, n, b, m)
    assert -1 <= low <= high <= 1
    if n and m:
        assert low - 1e-9 <= a / n - b / m <= high + 1e-9
    np.testing.assert_allclose(difference_unpaired(b, m, a, n), (-high, -low), atol=1e-9)
    np.testing.assert_allclose(difference_unpaired(more, n, other, m), (-high, -low), atol=1e-9)


def test_extremes():
    np.testing.assert_allclose(difference_unpaired([0, 1], [0, 1], [1, 0], [2, 0]), [[-1, -1], [1, 1]])
    low, high = difference_unpaired(10, 10, 0, 10)
    assert high == pytest.approx(1)
    assert 0.5 < low < 1
    low, high = difference_unpaired(10, 10, 10, 10)
    assert high == pytest.approx(-low)


def wald(x, n, y, m):
    half = 1.96 * np.sqrt(x / n * (1 - x / n) / n + y / m * (1 - y / m) / m)
    return Interval(x / n - y / m - half, x / n - y / m + half)


@pytest.mark.parametrize(("n", "m"), [(10, 10), (10, 40), (30, 30)])
def test_covers_and_wald_does_not(n, m):
    x, y = np.arange(n + 1), np.arange(m + 1)
    grid = np.linspace(0.02, 0.98, 21)
    one, other = (stats.binom.pmf(z[:, None], size, grid) for z, size in ((x, n), (y, m)))
    truth = grid[:, None] - grid
    covered = {}
    for method in (difference_unpaired, wald):
        ends = method(x[:, None], n, y[None, :], m)
        holds = (ends.low[..., None, None] <= truth + 1e-9) & (ends.high[..., None, None] >= truth - 1e-9)
        covered[method] = np.einsum("xp,yq,xypq->pq", one, other, holds)
    assert covered[difference_unpaired].min() >= 0.91
    assert 0.945 <= covered[difference_unpaired].mean() <= 0.965
    assert covered[wald].min() < 0.75


def pairs(n, cells):
    """All tables of n pairs that matter to the difference: n10, n01 and the rest."""
    x = np.array([(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)])
    return x, stats.multinomial.pmf(x, n, cells)


@pytest.mark.parametrize("n", [10, 50])
def test_paired_interval_covers(n):
    covered = []
    for p in (0.02, 0.1, 0.3, 0.6):
        for q in (0.0, 0.02, 0.1, 0.3):
            x, chance = pairs(n, [p, q, 1 - p - q])
            ends = difference_paired(x[:, 2], x[:, 0], x[:, 1], 0)
            covered.append(chance @ ((ends.low <= p - q + 1e-9) & (ends.high >= p - q - 1e-9)))
    assert min(covered) >= 0.93
    assert 0.945 <= np.mean(covered) <= 0.98


def test_paired_interval_is_the_published_formula():
    """Bonett & Price: Wald's interval of the margins of a table with a pair more in each cell that disagrees."""
    n11, n10, n01, n00 = 59, 6, 16, 80
    n = 161 + 2
    table = np.array([[n11, n10 + 1], [n01 + 1, n00]]) / n
    d = table.sum(axis=1)[0] - table.sum(axis=0)[0]
    disagree = table[0, 1] + table[1, 0]
    half = stats.norm.ppf(0.975) * np.sqrt((disagree - d**2) / n)
    np.testing.assert_allclose(difference_paired(n11, n10, n01, n00), (d - half, d + half), atol=1e-12)
    assert tuple(difference_paired(0, 0, 0, 0)) == (-1, 1)
    assert difference_paired(0, 3, 0, 0).high == 1


def test_mean_of_one_is_itself_and_of_equals_narrower_by_the_root():
    ends = Interval(np.array([-0.1]), np.array([0.5]))
    mean, whole = mean_difference([0.2], ends)
    assert (mean, *whole) == pytest.approx((0.2, -0.1, 0.5))
    mean, whole = mean_difference([0.2] * 9 + [np.nan], Interval(np.full(10, -0.1), np.full(10, 0.5)))
    assert (mean, *whole) == pytest.approx((0.2, 0.1, 0.3))
    mean, whole = mean_difference([np.nan], ends)
    assert np.isnan(mean)
    assert tuple(whole) == (-1, 1)


@pytest.mark.parametrize(("probes", "n"), [(5, 10), (40, 10), (40, 50)])
def test_interval_of_the_mean_covers(probes, n):
    rng = np.random.default_rng(probes + n)
    shape = (1000, probes)
    p = rng.beta(0.6, 0.6, size=shape)
    q = np.clip(p + rng.normal(0.1, 0.2, size=shape), 0, 1)
    x, y = rng.binomial(n, q), rng.binomial(n, p)
    ends = difference_unpaired(x, n, y, n)
    covered = 0
    for i in range(len(p)):
        _, whole = mean_difference((x - y)[i] / n, Interval(ends.low[i], ends.high[i]))
        covered += whole.low <= (q - p)[i].mean() <= whole.high
    assert 0.935 - 0.02 <= covered / len(p) <= 0.985


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: difference_unpaired(5, 4, 1, 2), "at most the images"),
        (lambda: difference_unpaired(1, 4, 1, 2, level=1.0), "confidence level"),
        (lambda: difference_paired(1, -4, 1, 2), "0 or more"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()
