"""Oracles: statsmodels' GLM, scipy's optimiser on Firth's penalised likelihood, leave-one-out by hand, simulation."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special, stats

from audit.statistics.amplification import CLAMP, amplification, quasi_binomial_glm


def portfolio(rng, subjects, slope=1.5, tilt=0.7, n=60):
    r = rng.uniform(0.02, 0.98, size=subjects)
    p = special.expit(0.2 + slope * special.logit(r) + tilt * rng.standard_normal(subjects))
    images = rng.integers(n // 2, 3 * n // 2, size=subjects)
    return rng.binomial(images, p), images, r


@pytest.mark.parametrize("seed", range(5))
def test_regression_agrees_with_statsmodels(seed):
    x, n, z = portfolio(np.random.default_rng(seed), 30)
    ours = quasi_binomial_glm(x, n, z)
    theirs = sm.GLM(x / n, sm.add_constant(z), family=sm.families.Binomial(), var_weights=n).fit(scale="X2", tol=1e-14)
    np.testing.assert_allclose(ours, [*theirs.params, *theirs.bse, theirs.scale], rtol=1e-8, atol=1e-10)


def test_regression_leaves_out_what_is_missing_and_gives_nothing_where_nothing_can_be_said():
    x, n, z = portfolio(np.random.default_rng(1), 20)
    more = quasi_binomial_glm([*x, 5, 0], [*n, 9, 0], [*z, np.nan, 0.5])
    np.testing.assert_allclose(more, quasi_binomial_glm(x, n, z), rtol=1e-12)
    separated = quasi_binomial_glm([0, 0, 20, 20], [20] * 4, [0.1, 0.2, 0.7, 0.9])
    constant = quasi_binomial_glm([3, 4, 5], [20] * 3, [0.5] * 3)
    assert np.isnan([*separated, *constant, *quasi_binomial_glm([3, 4], [20] * 2, [0.4, 0.5])]).all()


@pytest.mark.parametrize("separated", [False, True])
def test_slope_is_the_maximum_of_firths_penalised_likelihood(separated):
    x, n, r = portfolio(np.random.default_rng(2), 12, n=15)
    if separated:
        x = np.where(r < 0.5, 0, n)
    design = np.column_stack([np.ones_like(r), special.logit(r)])

    def loss(b):
        eta = design @ b
        p = special.expit(eta)
        information = design.T @ (design * (n * p * (1 - p))[:, None])
        return -(x @ eta - n @ np.logaddexp(0, eta)) - np.linalg.slogdet(information)[1] / 2

    best = optimize.minimize(loss, [0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-11, "fatol": 1e-14}).x
    found = amplification(x, n, r)
    np.testing.assert_allclose([found.intercept, found.slope], best, atol=1e-6)
    assert np.isfinite(found[:12]).all()
    assert found.slope_low < found.slope < found.slope_high
    if separated:  # few images cannot show less than binomial variance
        assert found.dispersion < 1
        assert found.slope_high - found.slope_low > 1


@given(st.integers(0, 10_000))
def test_slope_is_finite_wherever_the_reference_varies(seed):
    rng = np.random.default_rng(seed)
    subjects = int(rng.integers(3, 12))
    n = rng.integers(2, 500, size=subjects)
    r = rng.uniform(0.45, 0.55, size=subjects) if seed % 2 else rng.beta(0.3, 0.3, size=subjects)
    if np.ptp(np.clip(r, CLAMP, 1 - CLAMP)) < 1e-6:
        return
    x = np.where(r > 0.5, n, 0) if seed % 3 else rng.binomial(n, rng.uniform(size=subjects))
    found = amplification(x, n, r)
    assert found.slope_low < found.slope < found.slope_high
    assert 0 <= found.slope_p_value <= 1


@pytest.mark.parametrize("seed", range(6))
def test_slope_interval_and_p_value_are_students_t_with_the_larger_error(seed):
    x, n, r = portfolio(np.random.default_rng(seed), 40, n=3_000_000)  # so many images that the penalty is nothing
    z = special.logit(r)
    model = sm.GLM(x / n, sm.add_constant(z), family=sm.families.Binomial(), var_weights=n)
    fit = model.fit(scale="X2", tol=1e-14)
    residual = (x - n * fit.fittedvalues) / (1 - fit.get_hat_matrix_diag())
    bread = fit.cov_params() / fit.scale
    robust = np.sqrt(((sm.add_constant(z) @ bread[1] * residual) ** 2).sum())
    error = max(fit.bse[1], robust)
    found = amplification(x, n, r)
    half = stats.t.ppf(0.975, 38) * error
    slope = fit.params[1]
    np.testing.assert_allclose(
        [found.slope, found.slope_low, found.slope_high], [slope, slope - half, slope + half], rtol=1e-5
    )
    assert found.slope_p_value == pytest.approx(2 * stats.t.sf(abs(slope - 1) / error, 38), rel=1e-4)
    assert found.dispersion == pytest.approx(fit.scale, rel=1e-5)


@pytest.mark.parametrize("even", [0.5, 0.2])
def test_excess_is_without_bias(even):
    """Exact: the mean over all counts of one probe, three times over."""
    n, r = 6, 0.7
    x = np.arange(n + 1)
    for p in (0.1, 0.5, 0.9):
        chance = stats.binom.pmf(x, n, p)
        found = np.array([amplification([i] * 3, [n] * 3, [r] * 3, even=even).excess for i in x])
        assert chance @ found == pytest.approx(((p - even) ** 2 - (r - even) ** 2) / max(even, 1 - even) ** 2)


def test_excess_against_a_reference_of_few_images_is_without_bias():
    n, m, p, r = 5, 4, 0.8, 0.3
    x, y = np.arange(n + 1), np.arange(m + 1)
    chance = np.outer(stats.binom.pmf(x, n, p), stats.binom.pmf(y, m, r))
    found = [[amplification([i] * 3, [n] * 3, [j / m] * 3, reference_n=[m] * 3).excess for j in y] for i in x]
    assert (chance * found).sum() == pytest.approx(((p - 0.5) ** 2 - (r - 0.5) ** 2) / 0.25)


def test_excess_and_its_interval_are_over_subjects():
    x, n, r = portfolio(np.random.default_rng(4), 12)
    names = np.array(list("aaabbccdefgh"))
    d = 4 * (x * (x - 1) / (n * (n - 1)) - x / n + 0.25 - (r - 0.5) ** 2)
    means = np.array([d[names == name].mean() for name in "abcdefgh"])
    found = amplification(x, n, r, subjects=names)
    low, high = stats.t.interval(0.95, 7, means.mean(), stats.sem(means))
    np.testing.assert_allclose([found.excess, found.excess_low, found.excess_high], [means.mean(), low, high])


def test_templates_of_a_subject_are_pooled():
    x, n, r = portfolio(np.random.default_rng(5), 10)
    pooled = amplification(x, n, r)
    halves = amplification(
        np.r_[x // 2, x - x // 2], np.r_[n // 2, n - n // 2], np.r_[r, r], subjects=[*range(10), *range(10)]
    )
    names = ("slope", "slope_low", "slope_high", "intercept", "correlation", "correlation_low", "images")
    np.testing.assert_allclose([getattr(halves, v) for v in names], [getattr(pooled, v) for v in names], rtol=1e-9)
    assert halves.probes == 20


def test_correlation_is_pearsons_with_the_jackknife():
    x, n, r = portfolio(np.random.default_rng(6), 15)
    p = x / n
    z = np.arctanh(stats.pearsonr(p, r).statistic)
    alone = [np.arctanh(stats.pearsonr(np.delete(p, i), np.delete(r, i)).statistic) for i in range(15)]
    half = stats.t.ppf(0.975, 13) * np.sqrt(14 * np.var(alone))
    found = amplification(x, n, r)
    np.testing.assert_allclose(
        [found.correlation, found.correlation_low, found.correlation_high], np.tanh([z, z - half, z + half]), rtol=1e-9
    )


@given(st.integers(0, 10_000), st.booleans())
def test_the_rest_instead_of_the_class_says_the_same(seed, few):
    rng = np.random.default_rng(seed)
    x, n, r = portfolio(rng, 8, n=6 if few else 40)
    there, back = amplification(x, n, r), amplification(n - x, n, 1 - r)
    names = ("slope", "slope_low", "slope_high", "slope_p_value", "excess", "excess_low", "excess_high", "correlation")
    np.testing.assert_allclose(
        [getattr(there, v) for v in names], [getattr(back, v) for v in names], rtol=1e-6, atol=1e-8
    )
    assert there.intercept == pytest.approx(-back.intercept, abs=1e-6)


def test_a_model_that_follows_its_reference_has_slope_1_and_no_excess():
    rng = np.random.default_rng(8)
    slopes, excesses, alarms = [], [], 0
    for _ in range(300):
        r = rng.uniform(0.05, 0.95, size=30)
        found = amplification(rng.binomial(40, r), [40] * 30, r)
        slopes.append(found.slope)
        excesses.append(found.excess)
        alarms += found.slope_p_value < 0.05
    assert np.mean(slopes) == pytest.approx(1, abs=4 * np.std(slopes) / np.sqrt(300) + 0.005)
    assert np.mean(excesses) == pytest.approx(0, abs=4 * np.std(excesses) / np.sqrt(300))
    assert alarms / 300 < 0.09


def test_shares_of_0_and_1_are_kept_at_the_clamp():
    x, n = [1, 5, 10, 18, 20], [20] * 5
    assert amplification(x, n, [0, 0.3, 0.5, 0.8, 1])[:6] == pytest.approx(
        amplification(x, n, [CLAMP, 0.3, 0.5, 0.8, 1 - CLAMP])[:6]
    )


def test_probes_without_reference_or_images_are_left_out_and_two_say_nothing():
    x, n, r = portfolio(np.random.default_rng(9), 6)
    alone = amplification(x, n, r)
    more = amplification([*x, 3, 1, 0], [*n, 9, 1, 0], [*r, np.nan, 0.5, 0.5])
    assert more == alone
    assert (alone.probes, alone.images) == (6, n.sum())
    two = amplification(x[:2], n[:2], r[:2])
    assert np.isnan(two[:12]).all()
    assert two.probes == 2
    one_subject = amplification(x, n, r, subjects=["a"] * 6)
    assert np.isfinite(one_subject.excess)
    assert np.isnan([one_subject.slope, one_subject.excess_low, one_subject.correlation]).all()
    same = amplification(x, n, [0.4] * 6)
    assert np.isnan([same.slope, same.correlation]).all()
    assert np.isfinite([same.excess, same.excess_low]).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        amplification([1, 2, 3], [4, 4, 4], [0.1, 0.2, 30])
    with pytest.raises(ValueError, match="at most the images"):
        amplification([1, 5, 3], [4, 4, 4], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="one value of each kind"):
        quasi_binomial_glm([1, 2], [4, 4, 4], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="one subject"):
        amplification([1, 2, 3], [4, 4, 4], [0.1, 0.2, 0.3], subjects=["a"])
    with pytest.raises(ValueError, match="between 0 and 1"):
        amplification([1, 2, 3], [4, 4, 4], [0.1, 0.2, 0.3], even=1.0)
