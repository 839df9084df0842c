"""Oracles: scipy.stats, statsmodels' proportions_chisquare, exact enumeration, the Fair Diffusion counts."""

import csv
import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportions_chisquare

from audit.statistics.gap import squared_distance
from audit.statistics.multiplicity import benjamini_hochberg
from audit.statistics.significance import binomial, chi_square, compare_with_reference


def rngs(seed, probes):
    return np.random.default_rng(seed).spawn(probes)


@pytest.mark.parametrize("p", [0.0, 0.02, 0.3, 0.5, 0.87, 1.0])
@pytest.mark.parametrize("n", [1, 8, 50, 211])
def test_binomial_agrees_with_scipy(n, p):
    x = np.arange(n + 1)
    expected = [stats.binomtest(int(i), n, p).pvalue for i in x]
    np.testing.assert_allclose(binomial(x, n, p), expected, rtol=1e-7, atol=1e-200)


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0.01, 0.99))
def test_binomial_mirrors(x, more, p):
    n = x + more
    there, back = binomial(x, n, p), binomial(more, n, 1 - p)
    assert np.isnan(there) if n == 0 else 0 < there <= 1
    np.testing.assert_allclose(there, back, rtol=1e-6)


def test_one_class_against_the_rest_where_categories_overlap():
    """The four categories of the US labour statistics add up to more than 1; each is one test."""
    x, n = np.array([[30, 8, 3, 9], [0, 0, 0, 0]]), np.array([[50], [0]])
    reference = np.array([[0.77, 0.13, np.nan, 0.19], [0.77, 0.13, 0.07, 0.19]])
    p = binomial(x, n, reference)
    assert p[0, 0] == pytest.approx(stats.binomtest(30, 50, 0.77).pvalue)
    assert p[0, 3] == pytest.approx(stats.binomtest(9, 50, 0.19).pvalue)
    assert np.isnan(p[0, 2])
    assert np.isnan(p[1]).all()


def test_fair_diffusion_counts(shared_data):
    """153 occupations, 250 images each: 141 differ from one half, 141 after BH, 125 after Bonferroni."""
    text = (shared_data / "oracles/fair-diffusion/results_fairface_generated_1-5.txt").read_text()
    counts = np.array(re.findall(r"man: (\d+), woman: (\d+)", text), dtype=int)
    assert len(counts) == 153
    p = binomial(counts[:, 1], counts.sum(axis=1), 0.5)
    assert (p < 0.05).sum() == 141
    assert (benjamini_hochberg(p) < 0.05).sum() == 141
    assert (p < 0.05 / 153).sum() == 125


def test_chi_square_agrees_with_scipy_and_statsmodels():
    rng = np.random.default_rng(0)
    x = rng.multinomial(60, np.ones(5) / 5, size=4)
    r = rng.dirichlet(np.full(5, 3))
    expected = [stats.chisquare(row, 60 * r).statistic for row in x]
    np.testing.assert_allclose(chi_square(x, r), expected)
    statistic, _, _ = proportions_chisquare(17, 60, value=0.4)
    assert chi_square([[17, 43]], [0.4, 0.6])[0] == pytest.approx(statistic)


def test_chi_square_of_the_sd3_ethics_counts(shared_data):
    """Published: 27.2213 for gender; ethnicity is 83.05 once "unclear" is no class (published with it: 600.168)."""
    with (shared_data / "oracles/sd3-ethics/processed_bias_data.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = {"gender": ("Female", "Male"), "ethnicity": ("Asian", "Black", "Hispanic", "White")}
    total = {name: [sum(float(row[c] or 0) for row in rows) for c in cells] for name, cells in columns.items()}
    assert chi_square([total["gender"]], [0.5, 0.5])[0] == pytest.approx(27.2213, abs=1e-4)
    assert chi_square([total["ethnicity"]], [0.25] * 4)[0] == pytest.approx(83.05, abs=0.005)


def test_chi_square_of_classes_that_the_reference_excludes():
    found = chi_square([[5, 5, 0], [5, 4, 1], [0, 0, 0]], [0.5, 0.5, 0.0])
    assert found[0] == 0
    assert np.isinf(found[1])
    assert np.isnan(found[2])


def exact(x, r):
    """Exact p-value of X² by enumerating all outcomes, and the mean total variation distance."""
    n = int(x.sum())
    every = np.array([c for c in product(range(n + 1), repeat=len(r)) if sum(c) == n])
    chance = stats.multinomial.pmf(every, n, r)
    p = chance[chi_square(every, r) >= chi_square([x], r)[0] - 1e-9].sum()
    return p, chance @ np.abs(every / n - r).sum(axis=1) / 2


def test_monte_carlo_agrees_with_exact_enumeration():
    r = np.array([[0.5, 0.3, 0.2], [0.9, 0.08, 0.02], [0.6, 0.4, 0.0]])
    x = np.array([[3, 3, 4], [7, 2, 1], [2, 8, 0]])
    found = compare_with_reference(x, r, draws=40_000, rngs=rngs(1, 3))
    for j in range(3):
        p, floor = exact(x[j], r[j])
        assert found.p_value[j] == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 40_000) + 1e-4)
        assert found.floor[j] == pytest.approx(floor, abs=0.003)


def test_all_probes_together_agree_with_exact_enumeration():
    r = np.array([[0.5, 0.5], [0.3, 0.7]])
    x = np.array([[5, 1], [3, 2]])
    n = x.sum(axis=1)
    sums, chances = np.zeros(1), np.ones(1)
    observed = 0.0
    for j in range(2):
        every = np.array([[i, n[j] - i] for i in range(n[j] + 1)])
        chance = stats.binom.pmf(every[:, 0], n[j], r[j, 0])
        u = squared_distance(every, r[j])
        sd = np.sqrt(chance @ u**2)
        sums = (sums[:, None] + u / sd).ravel()
        chances = (chances[:, None] * chance).ravel()
        observed += squared_distance(x[[j]], r[j])[0] / sd
    p = chances[sums >= observed - 1e-9].sum()
    found = compare_with_reference(x, r, draws=40_000, rngs=rngs(2, 2))
    assert found.p_all == pytest.approx(p, abs=0.01)


def test_two_classes_are_tested_exactly():
    x = np.array([[40, 10], [25, 25], [0, 0]])
    found = compare_with_reference(x, [0.5, 0.5], draws=100, rngs=rngs(0, 3))
    assert found.p_value[0] == pytest.approx(stats.binomtest(40, 50, 0.5).pvalue)
    assert found.p_value[1] == pytest.approx(1)
    assert np.isnan(found.p_value[2])
    assert np.isnan(found.floor[2])


def test_what_the_reference_excludes_is_as_significant_as_it_gets():
    found = compare_with_reference([[9, 0, 1], [5, 5, 0]], [0.5, 0.5, 0.0], draws=999, rngs=rngs(0, 2))
    assert found.p_value[0] == 1 / 1000
    assert found.p_value[1] > 0.5
    assert found.p_all == 1 / 1000
    certain = compare_with_reference([[10, 0, 0]], [1.0, 0.0, 0.0], draws=99, rngs=rngs(0, 1))
    assert certain.p_value[0] == 1
    assert certain.p_all == 1
    assert certain.floor[0] == 0


def test_probes_without_images_or_reference_change_nothing():
    x = np.array([[9, 3, 1], [0, 0, 0], [4, 4, 4], [6, 1, 1]])
    r = np.array([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [np.nan] * 3, [0.2, 0.4, 0.4]])
    found = compare_with_reference(x, r, draws=500, rngs=rngs(4, 4))
    fewer = compare_with_reference(x[[0, 3]], r[[0, 3]], draws=500, rngs=[rngs(4, 4)[j] for j in (0, 3)])
    np.testing.assert_array_equal(found.p_value[[0, 3]], fewer.p_value)
    assert np.isnan(found.p_value[[1, 2]]).all()
    assert found.p_all == fewer.p_all
    nothing = compare_with_reference(x[1:3], r[1:3], draws=10, rngs=rngs(0, 2))
    assert np.isnan(nothing.p_all)


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=1, max_size=3),
    st.permutations(range(4)),
    st.booleans(),
)
def test_names_of_classes_are_irrelevant(x, order, even):
    x = np.array(x)
    r = np.full(4, 0.25) if even else np.array([0.4, 0.3, 0.2, 0.1])
    there = compare_with_reference(x, r, draws=50, rngs=rngs(6, len(x)))
    back = compare_with_reference(x[:, order], r[order], draws=50, rngs=rngs(6, len(x)))
    np.testing.assert_array_equal(there.p_value, back.p_value)
    np.testing.assert_array_equal(there.floor, back.floor)
    np.testing.assert_array_equal(there.p_all, back.p_all)


@pytest.mark.parametrize("ordered", [False, True])
def test_false_alarms_are_as_rare_as_promised(ordered):
    rng = np.random.default_rng(8)
    r = rng.dirichlet(np.full(4, 2), size=10)
    single, together = [], []
    for trial in range(150):
        x = np.array([rng.multinomial(15, row) for row in r])
        found = compare_with_reference(x, r, ordered=ordered, draws=199, rngs=rngs(trial, 10))
        single.extend(found.p_value)
        together.append(found.p_all)
    assert 0.03 <= np.mean(np.array(single) <= 0.05) <= 0.065
    assert np.mean(np.array(together) <= 0.05) <= 0.11  # 150 trials: three standard errors above .05


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one generator"):
        compare_with_reference([[1, 2]], [0.5, 0.5], rngs=rngs(0, 2))
    with pytest.raises(ValueError, match="draws must be 1 or more"):
        compare_with_reference([[1, 2]], [0.5, 0.5], draws=0, rngs=rngs(0, 1))
    with pytest.raises(ValueError, match="at most the images"):
        binomial(3, 2, 0.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        binomial(1, 2, 1.5)
