"""Oracles: statsmodels' proportion_confint, scipy.stats, closed forms; coverage by enumeration."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from audit.statistics.intervals import clopper_pearson, jeffreys, shares, simultaneous, wilson, worst_case

COUNTS = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
EVERY = [(x, n) for n in (1, 2, 7, 20, 50, 333) for x in sorted({0, 1, n // 3, n // 2, n - 1, n})]


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(wilson, "wilson"), (clopper_pearson, "beta"), (jeffreys, "jeffreys")],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_agrees_with_statsmodels(ours, theirs, level):
    x, n = np.array(EVERY).T
    low, high = ours(x, n, level)
    expected_low, expected_high = proportion_confint(x, n, 1 - level, method=theirs)
    inside_low, inside_high = x > 0, x < n  # at the ends we give exactly 0 and 1
    np.testing.assert_allclose(low[inside_low], np.asarray(expected_low)[inside_low], atol=1e-9)
    np.testing.assert_allclose(high[inside_high], np.asarray(expected_high)[inside_high], atol=1e-9)
    assert (low[x == 0] == 0).all()
    assert (high[x == n] == 1).all()


def test_simultaneous_is_jeffreys_at_alpha_over_k_but_two_classes_are_one_statement():
    seven = np.array([[20, 10, 5, 5, 0, 0, 10]])
    low, high = simultaneous(seven)
    tail = 0.025 / 7
    np.testing.assert_allclose(low[0, 0], stats.beta.ppf(tail, 20.5, 30.5))
    np.testing.assert_allclose(high[0, 4], stats.beta.ppf(1 - tail, 0.5, 50.5))
    two = simultaneous([[15, 35]])
    np.testing.assert_allclose(two.low[0, 0], stats.beta.ppf(0.025, 15.5, 35.5))
    np.testing.assert_allclose(two.low[0, 0], 1 - two.high[0, 1])


def test_no_images_is_no_error():
    for function in (wilson, clopper_pearson, jeffreys):
        assert function(0, 0) == (0, 1)
    low, high = simultaneous([[0, 0, 0], [1, 2, 3]])
    assert (low[0] == 0).all()
    assert (high[0] == 1).all()
    share = shares([[0, 0, 0], [1, 2, 3]])
    assert np.isnan(share[0]).all()
    np.testing.assert_allclose(share[1], [1 / 6, 1 / 3, 1 / 2])


@given(COUNTS, st.floats(0.5, 0.999))
def test_encloses_the_share_mirrors_and_widens(count, level):
    x, n = count
    for function in (wilson, clopper_pearson, jeffreys):
        low, high = function(x, n, level)
        assert 0 <= low <= high <= 1
        if n:
            assert low - 1e-12 <= x / n <= high + 1e-12
        mirrored = function(n - x, n, level)
        np.testing.assert_allclose([1 - mirrored.high, 1 - mirrored.low], [low, high], atol=1e-9)
        wider = function(x, n, (1 + level) / 2)
        assert wider.low <= low + 1e-12
        assert wider.high >= high - 1e-12


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=4, max_size=4), min_size=1, max_size=5), st.permutations(range(4))
)
def test_simultaneous_does_not_depend_on_the_order_of_classes(x, order):
    there, back = simultaneous(x), simultaneous(np.array(x)[:, order])
    np.testing.assert_array_equal(there.low[:, order], back.low)
    np.testing.assert_array_equal(there.high[:, order], back.high)


def test_clopper_pearson_covers_everywhere_and_wilson_on_average():
    """Exact coverage, summed over all counts."""
    wilsons = []
    for n in (10, 20, 50, 100):
        x = np.arange(n + 1)
        exact, score = clopper_pearson(x, n), wilson(x, n)
        for p in np.linspace(0.01, 0.99, 99):
            chance = stats.binom.pmf(x, n, p)
            assert chance[(exact.low <= p) & (p <= exact.high)].sum() >= 0.95
            wilsons.append(chance[(score.low <= p) & (p <= score.high)].sum())
    assert 0.945 <= np.mean(wilsons) <= 0.965


def test_simultaneous_covers_all_classes_at_once():
    rng = np.random.default_rng(1)
    truth = np.array([0.4, 0.25, 0.12, 0.1, 0.06, 0.05, 0.02])
    for n in (20, 50, 200):
        low, high = simultaneous(rng.multinomial(n, truth, size=4000))
        covered = ((low <= truth) & (truth <= high)).all(axis=1).mean()
        assert 0.93 <= covered <= 0.985


def test_worst_case_is_what_the_lost_images_could_do():
    low, high = worst_case([57, 0, 10, 0], [60, 0, 10, 0], [62, 10, 10, 0])
    np.testing.assert_allclose(low, [57 / 62, 0, 1, 0])
    np.testing.assert_allclose(high, [59 / 62, 1, 1, 1])
    share, miss = 57 / 60, 2 / 62
    np.testing.assert_allclose([low[0], high[0]], [share * (1 - miss), share * (1 - miss) + miss])


def test_bad_counts_are_refused():
    with pytest.raises(ValueError, match="got 5 of 4"):
        wilson([1, 5], [4, 4])
    with pytest.raises(ValueError, match="got -1"):
        shares([[-1, 2]])
    with pytest.raises(ValueError, match="between 0 and 1"):
        jeffreys(1, 2, 95)
    with pytest.raises(ValueError, match="got 5 of 4"):
        worst_case(1, 5, 4)


def test_a_table_of_150_probes_takes_no_time():
    rng = np.random.default_rng(0)
    tables = [rng.multinomial(50, np.ones(k) / k, size=150) for k in (2, 9, 7)]

    def once() -> float:
        start = time.perf_counter()
        for x in tables:
            wilson(x, x.sum(axis=1, keepdims=True))
            simultaneous(x)
        return time.perf_counter() - start

    assert min(once() for _ in range(5)) < 0.02
