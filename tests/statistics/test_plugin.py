"""Oracles: all counts enumerated, scipy's entropy, the figures by hand, simulation."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from audit.statistics.plugin import floor, plug_in


def outcomes(n, p):
    x = np.array([c for c in product(range(n + 1), repeat=len(p)) if sum(c) == n])
    return x, stats.multinomial.pmf(x, n, p)


@pytest.mark.parametrize("r", [[0.5, 0.5], [0.9, 0.1], [0.2, 0.5, 0.3], [0.6, 0.4, 0.0], [1.0, 0.0]])
@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_floors_are_the_means_over_all_counts(n, r):
    x, chance = outcomes(n, r)
    found = plug_in(x, r)
    assert chance @ found.mad == pytest.approx(found.mad_floor[0], abs=1e-12)
    assert chance @ (np.abs(x / n - r).sum(axis=1) / 2) == pytest.approx(floor([n], [r])[0], abs=1e-12)
    k = len(r)
    x, chance = outcomes(n, np.full(k, 1 / k))
    even = plug_in(x, np.full(k, 1 / k))
    assert chance @ even.uneven == pytest.approx(even.uneven_floor[0], abs=1e-12)
    assert chance @ even.entropy == pytest.approx(even.entropy_floor[0], abs=1e-12)


def test_floor_of_heims_design_is_as_published_here():
    assert floor([8], [[0.5, 0.5]])[0] == pytest.approx(0.1367, abs=1e-4)
    simulated = np.random.default_rng(0).multinomial(50, np.ones(7) / 7, size=40_000) / 50
    tvd = np.abs(simulated - 1 / 7).sum(axis=1) / 2
    assert floor([50], [np.ones(7) / 7])[0] == pytest.approx(tvd.mean(), abs=4 * tvd.std() / 200)


def test_figures_are_those_of_the_other_tools():
    x, r = np.array([[7, 1], [3, 5]]), np.array([[0.4, 0.6], [0.5, 0.5]])
    found = plug_in(x, r)
    np.testing.assert_allclose(found.mad, np.abs(x / 8 - r).mean(axis=1))  # DALL-Eval
    np.testing.assert_allclose(found.uneven, np.abs(x[:, 0] / 8 - 0.5))  # HEIM
    for counts, entropy in zip(x, found.entropy, strict=True):
        assert entropy == pytest.approx((stats.entropy(counts / 8) + 1 / 16) / np.log(2))
    assert plug_in([[9, 0, 0]], [0.2, 0.3, 0.5]).entropy[0] == 0


def test_entropy_is_nearly_without_bias_for_even_shares():
    plain = stats.entropy(np.random.default_rng(1).multinomial(30, np.ones(4) / 4, size=5_000), axis=1) / np.log(4)
    corrected = plug_in([[10, 8, 6, 6]], np.ones(4) / 4).entropy_floor[0]
    assert abs(corrected - 1) < 0.1 * abs(plain.mean() - 1)


@given(arrays(np.int64, (4, 3), elements=st.integers(0, 30)), st.permutations(range(3)))
def test_names_of_classes_are_irrelevant(x, order):
    r = np.array([0.2, 0.3, 0.5])
    for there, back in zip(plug_in(x, r), plug_in(x[:, order], r[order]), strict=True):
        np.testing.assert_allclose(there, back, atol=1e-12)


def test_what_cannot_be_said_is_nan():
    found = plug_in([[0, 0], [3, 1]], [[0.5, 0.5], [np.nan, np.nan]])
    assert np.isnan([values[0] for values in found]).all()
    assert np.isnan([found.mad[1], found.mad_floor[1]]).all()
    assert np.isfinite([found.uneven[1], found.entropy[1]]).all()
    with pytest.raises(ValueError, match="add up to 1"):
        plug_in([[1, 2]], [0.5, 0.6])
