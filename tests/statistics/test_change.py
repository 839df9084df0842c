"""Oracles: statsmodels (mcnemar, SquareTable, StratifiedTable), scipy (permutation_test, hypergeom), enumeration."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import SquareTable, StratifiedTable, mcnemar

from audit.statistics.change import (
    _lengths,
    cochran_mantel_haenszel,
    marginal_homogeneity,
    mcnemar_midp,
    sign_flip,
    stratified_permutation,
)

COUNTS = st.integers(0, 30)


def rng(seed=0):
    return np.random.default_rng(seed)


def tolerance(p, draws):
    return 4 * np.sqrt(p * (1 - p) / draws) + 2 / draws


@given(COUNTS, COUNTS)
def test_midp_is_the_exact_test_less_half_of_what_was_seen(one, other):
    """The exact test of statsmodels and scipy; mid-p takes the observed outcome half on each side."""
    p = mcnemar_midp(one, other)
    if one == other:
        assert p == 1
        return
    exact = mcnemar([[0, one], [other, 0]], exact=True).pvalue
    assert exact == pytest.approx(stats.binomtest(one, one + other).pvalue)
    assert p == pytest.approx(exact - stats.binom.pmf(one, one + other, 0.5), abs=1e-8)
    assert p == pytest.approx(float(mcnemar_midp(other, one)))


def test_midp_takes_whole_lists():
    np.testing.assert_allclose(mcnemar_midp([0, 3, 9], [0, 3, 1]), [1, 1, 2 * 11 / 1024 - 10 / 1024])
    with pytest.raises(ValueError, match=r"whole numbers of 0 or more \(got 2.5\)"):
        mcnemar_midp(2.5, 1)


TABLES = np.array([[[5, 2, 1], [0, 4, 0], [1, 0, 3]], [[2, 4, 0], [0, 2, 3], [1, 0, 1]]])


def exact_flips(table):
    """p-value over all flips of the pairs that disagree, with the statistic of statsmodels."""
    table = table.astype(float)
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b for _ in range(int(table[a, b]))]
    observed = SquareTable(table, shift_zeros=False).homogeneity().statistic
    found = []
    for flips in product((False, True), repeat=len(pairs)):
        flipped = np.diag(np.diag(table))
        for (a, b), flip in zip(pairs, flips, strict=True):
            flipped[(b, a) if flip else (a, b)] += 1
        found.append(SquareTable(flipped, shift_zeros=False).homogeneity().statistic)
    return np.mean(np.array(found) >= observed - 1e-9)


def test_flipped_pairs_agree_with_enumeration():
    draws = 20_000
    found = marginal_homogeneity(TABLES, draws, rng())
    for p, table in zip(found, TABLES, strict=True):
        expected = exact_flips(table)
        assert 0.02 < expected < 0.98
        assert p == pytest.approx(expected, abs=tolerance(expected, draws))


def test_flipped_pairs_agree_with_stuart_and_maxwell_in_large_tables():
    table = rng(1).multinomial(2000, rng(2).dirichlet(np.full(16, 20))).reshape(1, 4, 4)
    expected = SquareTable(table[0], shift_zeros=False).homogeneity().pvalue
    assert 0.01 < expected < 0.99
    assert marginal_homogeneity(table, 4000, rng())[0] == pytest.approx(expected, abs=0.035)


def test_two_classes_flipped_are_the_exact_mcnemar_test():
    p = marginal_homogeneity([[[3, 9], [2, 4]]], 40_000, rng())[0]
    expected = mcnemar([[0, 9], [2, 0]], exact=True).pvalue
    assert p == pytest.approx(expected, abs=tolerance(expected, 40_000))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("prompts", [5, 9])
def test_flipped_signs_of_few_prompts_are_scipys_exact_test(prompts, seed):
    d = rng(seed).normal(0.3, 1, size=prompts)
    expected = stats.permutation_test((d,), np.mean, permutation_type="samples", alternative="two-sided").pvalue
    assert sign_flip(d, 1, rng()) == pytest.approx(expected, abs=1e-12)
    assert sign_flip(np.column_stack([d, -d]), 1, rng()) == pytest.approx(expected, abs=1e-12)


def test_flipped_signs_of_vectors_are_the_enumeration():
    d = rng(3).normal(0.2, 1, size=(8, 3))
    inverse = np.linalg.inv(d.T @ d)
    lengths = [s @ inverse @ s for s in (np.array(signs) @ d for signs in product((1, -1), repeat=8))]
    assert sign_flip(d, 1, rng()) == pytest.approx(np.mean(lengths >= d.sum(axis=0) @ inverse @ d.sum(axis=0) - 1e-9))


def test_flipped_signs_of_many_prompts_are_drawn():
    d = rng(4).normal(0.3, 1, size=16)
    every = np.abs(np.array(list(product((1, -1), repeat=16))) @ d)
    expected = np.mean(every >= abs(d.sum()) - 1e-9)
    assert sign_flip([*d, np.nan], 20_000, rng()) == pytest.approx(expected, abs=tolerance(expected, 20_000))


def test_flipped_signs_of_nothing():
    assert np.isnan(sign_flip([np.nan], 9, rng()))
    assert sign_flip(np.zeros(20), 99, rng()) == 1
    assert sign_flip([0.5, 0.5, 0.5], 9, rng()) == 0.25


@pytest.mark.parametrize("seed", range(3))
def test_cmh_agrees_with_statsmodels(seed):
    draw = rng(seed)
    n_a, n_b = draw.integers(5, 30, size=(2, 6))
    share = draw.uniform(0.2, 0.8, size=6)
    x_a, x_b = draw.binomial(n_a, share), draw.binomial(n_b, np.minimum(share + 0.1, 1))
    tables = [np.array([[a, n - a], [b, m - b]]) for a, n, b, m in zip(x_a, n_a, x_b, n_b, strict=True)]
    expected = StratifiedTable([t.astype(float) for t in tables]).test_null_odds(correction=False)
    statistic, p = cochran_mantel_haenszel(x_a, n_a, x_b, n_b)
    assert statistic == pytest.approx(expected.statistic, abs=1e-8)
    assert p == pytest.approx(expected.pvalue, abs=1e-8)


def test_cmh_leaves_out_prompts_that_show_one_class_only():
    whole = cochran_mantel_haenszel([3, 0, 5], [9, 4, 5], [6, 0, 7], [9, 6, 7])
    assert whole == pytest.approx(cochran_mantel_haenszel([3], [9], [6], [9]))
    assert cochran_mantel_haenszel([0, 4], [5, 4], [0, 3], [5, 3]) == (0.0, 1.0)
    assert cochran_mantel_haenszel([1], [1], [0], [0]) == (0.0, 1.0)


@pytest.mark.parametrize(("n", "most"), [(10, 0.05), (20, 0.055), (50, 0.06)])
def test_cmh_of_one_prompt_keeps_its_size_and_a_continuity_correction_is_too_careful(n, most):
    """All outcomes of two runs with equal shares. The corrected test is statsmodels' correction=True."""
    x = np.arange(n + 1)
    p = np.array([[cochran_mantel_haenszel(a, n, b, n)[1] for b in x] for a in x])
    pmf = stats.binom.pmf(x[:, None], n, np.linspace(0.05, 0.5, 10))
    size = np.einsum("as,bs,ab->s", pmf, pmf, p <= 0.05)
    assert size.max() <= most
    off = np.maximum(np.abs(x[:, None] - x) / 2 - 0.5, 0)
    m = x[:, None] + x
    corrected = off**2 / np.maximum(m * (2 * n - m) / (4 * (2 * n - 1)), 1e-12)
    careful = np.einsum("as,bs,ab->s", pmf, pmf, stats.chi2.sf(corrected, 1) <= 0.05)
    assert careful.max() < 0.04
    assert careful[-1] < 0.75 * size[-1]


def exact_permutation(a, b):
    """p-value of one or two prompts by enumerating their tables, with scipy's multivariate hypergeometric."""
    both = a + b
    mean = (a.sum(axis=1, keepdims=True) * both / both.sum(axis=1, keepdims=True)).sum(axis=0)
    tables = []
    for colours, n in zip(both, a.sum(axis=1), strict=True):
        rows = [row for row in product(*(range(c + 1) for c in colours)) if sum(row) == n]
        tables.append([(np.array(row), stats.multivariate_hypergeom.pmf(row, colours, n)) for row in rows])
    covariance = sum(
        stats.multivariate_hypergeom.cov(colours, n) for colours, n in zip(both, a.sum(axis=1), strict=True)
    )
    inverse = np.linalg.pinv(covariance, rcond=1e-10)
    observed = _lengths(a.sum(axis=0) - mean, inverse)
    p = 0.0
    for rows in product(*tables):
        off = sum(row for row, _ in rows) - mean
        p += np.prod([chance for _, chance in rows]) * (_lengths(off, inverse) >= observed - 1e-9)
    return p


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([[4, 1, 2]], [[1, 3, 4]]),
        ([[3, 2, 1], [4, 0, 1]], [[1, 1, 4], [2, 2, 3]]),
        ([[7, 1], [4, 3]], [[3, 4], [2, 6]]),
    ],
)
def test_permutation_agrees_with_enumeration(a, b):
    a, b = np.array(a), np.array(b)
    found = stratified_permutation(a, b, 20_000, rng())
    expected = exact_permutation(a, b)
    assert 0.02 < expected < 0.98
    assert found.p_all == pytest.approx(expected, abs=tolerance(expected, 20_000))
    for j, p in enumerate(found.p_value):
        expected = exact_permutation(a[[j]], b[[j]])
        assert p == pytest.approx(expected, abs=tolerance(expected, 20_000 if expected < 0.05 else 999))


def test_many_images_of_three_classes_are_tested_as_cochran_mantel_haenszel_tests_are():
    """The oracle: permutations of all images, one by one, and the statistic by its own formula."""
    draw = rng(6)
    a, b = (draw.multinomial(30, shares, size=8).astype(float) for shares in ([0.3, 0.5, 0.2], [0.42, 0.4, 0.18]))
    found = stratified_permutation(a, b, 400, rng())
    images = [np.repeat(np.arange(3), (one + two).astype(int)) for one, two in zip(a, b, strict=True)]
    mean, total = (a + b).sum(axis=0) / 2, np.zeros((3, 3))
    for row in a + b:
        total += 30 * 30 / 59 * (np.diag(row / 60) - np.outer(row, row) / 3600)

    def length(counts):
        off = (counts - mean)[:2]
        return off @ np.linalg.solve(total[:2, :2], off)

    def shuffled():
        return sum(np.bincount(draw.permutation(each)[:30], minlength=3) for each in images)

    exact = np.mean([length(shuffled()) >= length(a.sum(axis=0)) for _ in range(4000)])
    assert 0.001 < exact < 0.2
    assert found.p_all == pytest.approx(exact, abs=tolerance(exact, 4000) + 0.004)


def test_permutation_of_two_classes_is_cmh_where_there_are_many_images():
    draw = rng(5)
    a, b = (np.column_stack([x, 80 - x]) for x in (draw.binomial(80, 0.42, 12), draw.binomial(80, 0.45, 12)))
    expected = cochran_mantel_haenszel(a[:, 0], 80, b[:, 0], 80)[1]
    assert stratified_permutation(a, b, 5000, rng()).p_all == pytest.approx(expected, abs=0.035)


def test_nothing_to_permute():
    found = stratified_permutation([[3, 0, 0], [0, 0, 0]], [[5, 0, 0], [1, 2, 0]], 99, rng())
    assert found.p_all == 1
    np.testing.assert_array_equal(found.p_value, [1, np.nan])
    assert np.isnan(stratified_permutation([[0, 0, 0]], [[1, 2, 0]], 99, rng()).p_all)
    assert marginal_homogeneity(np.diag([3, 4, 5])[None], 99, rng())[0] == 1


@given(st.integers(0, 2**32 - 1), st.permutations(range(3)))
def test_names_of_classes_do_not_matter(seed, order):
    """The statistics are exactly those of the other order; only the draws differ."""
    draw = rng(seed)
    a, b = draw.integers(0, 9, size=(2, 4, 3))
    if a.sum() and b.sum():
        one, other = (stratified_permutation(x, y, 400, rng(1)).p_all for x, y in ((a, b), (a[:, order], b[:, order])))
        assert one == pytest.approx(other, abs=0.2, nan_ok=True)
    d = draw.normal(size=(7, 3))
    assert sign_flip(d, 1, rng()) == pytest.approx(sign_flip(d[:, order], 1, rng()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cochran_mantel_haenszel([5], [4], [1], [2]), "must not exceed"),
        (lambda: marginal_homogeneity(np.ones((2, 3, 2)), 9, rng()), "classes × classes"),
        (lambda: marginal_homogeneity(np.ones((1, 2, 2)), 0, rng()), "draws must be 1 or more"),
        (lambda: marginal_homogeneity(-np.ones((1, 2, 2)), 9, rng()), "0 or more"),
        (lambda: stratified_permutation([[1, 2]], [[1, 2, 3]], 9, rng()), "both runs need counts"),
        (lambda: sign_flip(np.ones((2, 2, 2)), 9, rng()), "prompts × classes"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
