"""Oracles: the closed form of the posterior mean, planted Dirichlet distributions, exact moments by enumeration."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from audit.statistics.shrinkage import shrunk


def planted(rng, a, n, probes=150, mean=(0.5, 0.3, 0.2)):
    p = rng.dirichlet(a * np.array(mean), size=probes)
    return p, rng.multinomial(n, p)


def test_is_the_posterior_mean():
    _, x = planted(np.random.default_rng(0), 5, 20)
    found = shrunk(x)
    a, mu, n = found.concentration, found.common, x.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.shares, (x + a * mu) / (n + a), atol=1e-12)
    np.testing.assert_allclose(mu, x.sum(axis=0) / x.sum())  # every probe has as many images


def test_finds_the_planted_concentration_and_mean():
    rng = np.random.default_rng(1)
    for a in (2, 10, 50):
        found = shrunk(planted(rng, a, rng.integers(5, 80, size=4_000), probes=4_000)[1])
        assert found.concentration == pytest.approx(a, rel=0.12)
        np.testing.assert_allclose(found.common, [0.5, 0.3, 0.2], atol=0.02)


def test_moments_are_exact():
    """Two probes with fixed shares: means over all outcomes of both parts of the estimate."""
    p, n = np.array([[0.8, 0.2], [0.3, 0.7]]), 3
    within = across = 0.0
    for first, second in product(range(n + 1), repeat=2):
        chance = stats.binom.pmf(first, n, p[0, 0]) * stats.binom.pmf(second, n, p[1, 0])
        x = np.array([[first, n - first], [second, n - second]])
        a = shrunk(x).concentration
        w = (x * (x - 1)).sum(axis=1).mean() / (n * (n - 1))
        b = (x[0] @ x[1]) / n**2
        within, across = within + chance * w, across + chance * b
        expected = (1 - b) / (w - b) - 1 if w > b else np.inf
        assert a == pytest.approx(expected) or (np.isinf(a) and expected > 1e8)
    assert within == pytest.approx((p**2).sum(axis=1).mean())
    assert across == pytest.approx(p[0] @ p[1])


@pytest.mark.parametrize("a", [1, 8, 60])
def test_is_closer_to_the_truth_than_raw_shares(a):
    rng = np.random.default_rng(2)
    ours = raw = 0.0
    for _ in range(40):
        p, x = planted(rng, a, 12)
        ours += ((shrunk(x).shares - p) ** 2).sum()
        raw += ((x / 12 - p) ** 2).sum()
    assert ours < (0.97 if a == 1 else 0.65) * raw


def test_probes_that_do_not_differ_and_single_ones_have_the_pooled_shares():
    x = np.array([[7, 3], [6, 4], [7, 3]])
    for counts in (x, x[:1], np.array([[5, 1], [0, 1]]), np.array([[2, 0], [9, 0]])):
        found = shrunk(counts)
        assert np.isinf(found.concentration)
        np.testing.assert_allclose(found.shares, np.tile(counts.sum(axis=0) / counts.sum(), (len(counts), 1)))


def test_probes_of_one_class_each_stay_and_one_without_images_has_the_mean():
    found = shrunk([[9, 0], [0, 5], [0, 0]])
    assert found.concentration == 0
    np.testing.assert_allclose(found.shares, [[1, 0], [0, 1], [0.5, 0.5]])
    nothing = shrunk([[0, 0], [0, 0]])
    assert np.isnan(nothing.shares).all()
    assert np.isnan(nothing.concentration)


@given(arrays(np.int64, (6, 3), elements=st.integers(0, 20)), st.permutations(range(3)), st.permutations(range(6)))
def test_rows_add_up_lie_between_raw_and_common_and_ignore_order(x, classes, probes):
    found = shrunk(x)
    if not x.any():
        return
    np.testing.assert_allclose(found.shares.sum(axis=1), 1)
    n = x.sum(axis=1, keepdims=True)
    raw = np.where(n > 0, x / np.maximum(n, 1), found.common)
    assert (found.shares >= np.minimum(raw, found.common) - 1e-9).all()
    assert (found.shares <= np.maximum(raw, found.common) + 1e-9).all()
    np.testing.assert_allclose(shrunk(x[probes][:, classes]).shares, found.shares[probes][:, classes], atol=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="0 or more"):
        shrunk([[1, -1]])
    with pytest.raises(ValueError, match="2 classes or more"):
        shrunk([[1], [2]])
