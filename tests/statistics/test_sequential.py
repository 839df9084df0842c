"""Oracles: all outcomes enumerated, scipy's dirichlet_multinomial and betabinom, Brent's root finder, simulation."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize, stats

from audit.statistics.sequential import (
    bernoulli_log_e,
    confidence_sequence,
    decide,
    decide_each,
    multinomial_log_e,
    paired_log_e,
    simultaneous_sequence,
)

REFERENCES = [np.array([0.5, 0.5]), np.array([0.2, 0.5, 0.3]), np.array([0.9, 0.05, 0.05]), np.array([0.4, 0.6, 0.0])]


def outcomes(n, k):
    return np.array([c for c in product(range(n + 1), repeat=k) if sum(c) == n])


@pytest.mark.parametrize("r", REFERENCES)
def test_e_is_a_martingale_of_single_images(r):
    for n in range(5):
        x = outcomes(n, r.size)
        x = x[(x[:, r == 0] == 0).all(axis=1)]
        now = np.exp(multinomial_log_e(x, r))
        later = sum(r[c] * np.exp(multinomial_log_e(x + np.eye(r.size)[c], r)) for c in np.flatnonzero(r))
        lost = np.zeros(len(x))
        if not r.all():  # the mixture gives a class that the reference excludes some of its weight
            a = np.maximum(0.5, 10 * r)
            lost = now * a[-1] / (a.sum() + n)
        np.testing.assert_allclose(later + lost, now, rtol=1e-10)
    assert np.exp(multinomial_log_e(np.zeros((1, r.size)), r)) == pytest.approx(1)


@pytest.mark.parametrize("p", [0.02, 0.5, 0.93])
def test_e_of_one_share_is_a_martingale_of_single_images(p):
    n = np.arange(30)[:, None]
    x = np.minimum(np.arange(30), n)
    now, one, none = (np.exp(bernoulli_log_e(x + more, n + m, p)) for more, m in ((0, 0), (1, 1), (0, 1)))
    np.testing.assert_allclose(p * one + (1 - p) * none, now, rtol=1e-10)


@pytest.mark.parametrize("r", REFERENCES[:3])
def test_is_a_ratio_of_likelihoods(r):
    x = outcomes(7, r.size)
    mixed = stats.dirichlet_multinomial.logpmf(x, np.maximum(0.5, 10 * r), 7)
    np.testing.assert_allclose(multinomial_log_e(x, r), mixed - stats.multinomial.logpmf(x, 7, r), atol=1e-10)


def test_one_share_is_a_ratio_of_likelihoods():
    x, n = np.arange(41), 40
    for p in (0.01, 0.5, 0.8):
        expected = stats.betabinom.logpmf(x, n, 0.5, 0.5) - stats.binom.logpmf(x, n, p)
        np.testing.assert_allclose(bernoulli_log_e(x, n, p), expected, atol=1e-8)


def test_counts_that_the_reference_excludes():
    assert multinomial_log_e([[3, 1, 1]], [0.5, 0.5, 0])[0] == np.inf
    assert np.isfinite(multinomial_log_e([[3, 1, 0]], [0.5, 0.5, 0])[0])
    assert bernoulli_log_e(1, 9, 0) == np.inf and bernoulli_log_e(0, 9, 0) < 0
    assert bernoulli_log_e(8, 9, 1) == np.inf and bernoulli_log_e(9, 9, 1) < 0
    assert np.isnan(multinomial_log_e([[3, 1]], [np.nan, np.nan])[0]) and np.isnan(bernoulli_log_e(3, 4, np.nan))


def test_pairs_are_the_discordant_ones_against_half():
    first, second = np.array([0, 5, 30]), np.array([0, 1, 12])
    np.testing.assert_allclose(paired_log_e(first, second), bernoulli_log_e(first, first + second, 0.5))
    np.testing.assert_allclose(paired_log_e(first, second), paired_log_e(second, first))


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_ends_are_where_e_reaches_its_bound(level):
    bound = -np.log(1 - level)
    for n in (1, 2, 7, 100, 10_000):
        for x in sorted({0, 1, n // 3, n // 2, n - 1, n}):
            low, high = confidence_sequence(x, n, level)

            def over(p, x=x, n=n):
                return float(bernoulli_log_e(x, n, p)) - bound

            expected_low = optimize.brentq(over, 1e-30, x / n, xtol=1e-30, rtol=1e-13) if x else 0.0
            expected_high = optimize.brentq(over, x / n, 1 - 1e-15, xtol=1e-15) if x < n else 1.0
            assert low == pytest.approx(expected_low, rel=1e-8)
            assert high == pytest.approx(expected_high, rel=1e-8)


def test_ends_hold_for_extreme_counts():
    low, high = confidence_sequence([0, 1, 10**9, 5 * 10**8, 0], [10**9, 10**9, 10**9, 10**9, 0])
    assert np.isfinite([low, high]).all()
    assert low[0] == 0 and 0 < low[1] < 1e-9 < high[1] and high[2] == 1 and low[2] > 1 - 1e-6
    assert low[3] < 0.5 < high[3] and high[3] - low[3] < 2e-4
    assert (low[4], high[4]) == (0, 1)


COUNTS = arrays(np.int64, (5, 4), elements=st.integers(0, 200))
ROWS = arrays(np.float64, (5, 4), elements=st.floats(0.01, 1)).map(lambda a: a / a.sum(axis=1, keepdims=True))


@given(COUNTS, ROWS, st.permutations(range(4)), st.permutations(range(5)))
def test_names_of_classes_and_order_of_probes_are_irrelevant(x, r, classes, probes):
    there, back = decide(x, r), decide(x[probes][:, classes], r[probes][:, classes])
    np.testing.assert_allclose(there.log_e[probes], back.log_e, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(there.low[probes][:, classes], back.low)
    near = np.abs(there.log_e - np.log(20)) < 1e-9
    assert (there.state[probes] == back.state)[~near[probes]].all()


@given(COUNTS)
def test_sequences_hold_the_shares_and_are_wider_than_those_of_one_class(x):
    every, one = simultaneous_sequence(x), confidence_sequence(x, x.sum(axis=1, keepdims=True))
    share = x / np.maximum(x.sum(axis=1, keepdims=True), 1)
    some = x.sum(axis=1) > 0
    assert ((every.low <= one.low + 1e-12) & (one.low <= share + 1e-12))[some].all()
    assert ((every.high >= one.high - 1e-12) & (one.high >= share - 1e-12))[some].all()


def test_two_classes_differ_exactly_where_the_sequence_excludes_the_reference():
    n = 60
    x = np.arange(n + 1)
    found = decide(np.column_stack([x, n - x]), [0.3, 0.7])
    excluded = (found.low[:, 0] > 0.3) | (found.high[:, 0] < 0.3)
    np.testing.assert_array_equal(found.state == "differs", excluded)
    np.testing.assert_allclose(found.low[:, 0], 1 - found.high[:, 1], atol=1e-12)


def test_states():
    counts = [[18, 2], [50, 50], [3000, 3000], [0, 200], [9, 9]]
    found = decide(counts, [*[[0.5, 0.5]] * 3, [0.01, 0.99], [np.nan] * 2])
    assert found.state.tolist() == ["differs", "open", "close", "close", "open"]
    assert decide([[3000, 3000]], [0.5, 0.5], delta=0).state.tolist() == ["open"]
    assert decide([[50, 50, 1]], [0.5, 0.5, 0]).state.tolist() == ["differs"]


def test_overlapping_classes_are_decided_one_by_one():
    x = np.array([[30, 5, 65], [0, 0, 0]])
    p0 = np.array([[0.1, 0.06, np.nan], [0.1, 0.06, np.nan]])
    found = decide_each(x, p0)
    single = np.exp(bernoulli_log_e(x[0, :2], 100, p0[0, :2]))
    np.testing.assert_allclose(np.exp(found.log_e), [single.mean(), 1])
    assert found.state.tolist() == ["differs", "open"]
    assert np.isnan(decide_each(x, np.full((2, 3), np.nan)).log_e).all()


@pytest.mark.parametrize("r", [np.array([0.5, 0.5]), np.array([0.2, 0.5, 0.3]), np.array([0.96, 0.02, 0.01, 0.01])])
def test_a_reference_that_is_true_is_rarely_ever_rejected_nor_missed(r):
    rng = np.random.default_rng(3)
    paths, images = 1000, 300
    x = rng.multinomial(1, r, size=(paths, images)).cumsum(axis=1).reshape(-1, r.size)
    found = decide(x, r)
    ever = (found.state == "differs").reshape(paths, images).any(axis=1).mean()
    missed = ((found.low > r) | (found.high < r)).any(axis=1).reshape(paths, images).any(axis=1).mean()
    error = 4 * np.sqrt(0.05 * 0.95 / paths)
    assert ever <= 0.05 + error
    assert missed <= 0.05 + error
    assert ever > 0  # the test can fail: looking this often does reject sometimes


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bernoulli_log_e(2.5, 4, 0.5), r"whole numbers of 0 or more \(got 2.5\). Count each image once"),
        (lambda: bernoulli_log_e(-1, 4, 0.5), r"whole numbers of 0 or more \(got -1\)"),
        (lambda: bernoulli_log_e(5, 4, 0.5), r"must not exceed the images it is out of \(got 5 of 4\)"),
        (lambda: bernoulli_log_e(1, 4, 1.5), r"lies between 0 and 1 \(got 1.5"),
        (lambda: multinomial_log_e([[1, 2]], [0.5, 0.6]), r"must add up to 1 \(got 1.1\)"),
        (lambda: multinomial_log_e([[1, 2.5]], [0.5, 0.5]), r"whole numbers"),
        (lambda: paired_log_e(3, -2), r"whole numbers of 0 or more \(got -2\)"),
        (lambda: confidence_sequence(1, 2, 1.0), r"confidence level lies between 0 and 1 \(got 1\)"),
        (lambda: decide([[1, 2]], [0.5, 0.5], alpha=0), r"alpha and delta lie between 0 and 1 \(got 0 and 0.05\)"),
        (lambda: decide_each([[1, 2]], [0.5, 0.5]), r"must fit counts of shape \(1, 2\)"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
