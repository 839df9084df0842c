"""Oracles: scipy's binomtest and binom, statsmodels' power of a proportion, simulated audits with planted shares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import binom_test_reject_interval

from audit.statistics.gap import distance_variance, squared_distance
from audit.statistics.multiplicity import benjamini_hochberg
from audit.statistics.noise import lang_reiczigel
from audit.statistics.power import (
    first_from_which,
    images_for_equivalence,
    images_for_test,
    level_of_many,
    power_among_many,
    power_of_equivalence,
    power_of_test,
)
from audit.statistics.power_gap import (
    Change,
    _Moments,
    _power_of_t,
    changed,
    images_for_gap,
    power_of_gap_change,
    power_of_gate,
    probes_for_gap,
    squared_gap,
    typical_shares,
)
from audit.statistics.power_noise import noise_factor, power_with_noise

HALF = np.array([0.5, 0.5])


@pytest.mark.parametrize("reference", [0.5, 0.2, 0.03])
@pytest.mark.parametrize("n", [1, 5, 40, 83])
def test_power_is_the_chance_of_counts_that_scipy_rejects(n, reference):
    rejected = np.array([stats.binomtest(x, n, reference).pvalue <= 0.05 for x in range(n + 1)])
    for share in (0.0, 0.1, 0.6, 1.0):
        expected = stats.binom.pmf(np.arange(n + 1), n, share)[rejected].sum()
        assert power_of_test(share, reference, n) == pytest.approx(expected, abs=1e-10)
    assert power_of_test(reference, reference, n) <= 0.05


def test_images_are_the_first_from_which_the_power_stays():
    for share, reference in ((0.6, 0.5), (0.15, 0.05), (0.75, 0.9)):
        images = images_for_test(share, reference, power=0.8)
        power = power_of_test(share, reference, np.arange(images - 1, images + 60))
        assert power[0] < 0.8 and (power[1:] >= 0.8).all()


def test_statsmodels_rejects_the_same_counts_for_a_symmetric_null():
    low, high = binom_test_reject_interval(0.5, 100, alpha=0.05)
    expected = stats.binom.cdf(low, 100, 0.62) + stats.binom.sf(high - 1, 100, 0.62)
    assert power_of_test(0.62, 0.5, 100) == pytest.approx(expected, abs=1e-10)


def test_many_probes_lie_between_bonferroni_and_one_probe_alone():
    few, half, all_ = (power_among_many(0.7, 0.5, 60, 50, differing=f) for f in (0.0, 0.5, 1.0))
    bonferroni, alone = power_of_test(0.7, 0.5, 60, alpha=0.05 / 50), power_of_test(0.7, 0.5, 60)
    assert bonferroni <= few < half <= all_ <= alone
    assert power_among_many(0.7, 0.5, 60, 1) == pytest.approx(alone)
    assert level_of_many(0.7, 0.5, 60, 1) == 0.05
    assert level_of_many(0.95, 0.5, 500, 50, differing=1.0) == pytest.approx(0.05)


def test_two_probes_by_hand():
    n, x = 30, np.arange(31)
    p = np.array([stats.binomtest(i, n, 0.5).pvalue for i in x])
    first, second = stats.binom.pmf(x, n, 0.75), 0.4 * stats.binom.pmf(x, n, 0.75) + 0.6 * stats.binom.pmf(x, n, 0.5)
    declared = (p[:, None] <= 0.025) | ((p[:, None] <= 0.05) & (p <= 0.05))
    expected = first @ declared @ second
    assert power_among_many(0.75, 0.5, n, 2, differing=0.4) == pytest.approx(expected, abs=1e-12)


def test_among_very_many_the_number_of_rejections_hardly_varies():
    level = level_of_many(0.65, 0.5, 100, 300, differing=0.5)
    assert power_among_many(0.65, 0.5, 100, 300, differing=0.5) == pytest.approx(
        float(power_of_test(0.65, 0.5, 100, alpha=level)), abs=0.02
    )


@pytest.mark.parametrize(("share", "images", "differing"), [(0.7, 60, 0.5), (0.65, 100, 0.2), (0.75, 40, 0.9)])
def test_power_among_many_is_that_of_simulated_portfolios(share, images, differing):
    rng, probes, repeats = np.random.default_rng(5), 50, 600
    truth = np.where(np.arange(probes) < round(differing * probes), share, 0.5)
    x = rng.binomial(images, truth, size=(repeats, probes))
    p = np.array([stats.binomtest(i, images, 0.5).pvalue for i in range(images + 1)])[x]
    found = np.array([benjamini_hochberg(row) <= 0.05 for row in p])[:, truth == share].mean()
    assert power_among_many(share, 0.5, images, probes, differing=differing) == pytest.approx(found, abs=0.03)


def test_equivalence_is_the_chance_that_both_one_sided_tests_reject():
    n, reference, delta = 400, 0.5, 0.08
    x = np.arange(n + 1)
    low = [stats.binomtest(i, n, reference - delta, alternative="greater").pvalue <= 0.05 for i in x]
    high = [stats.binomtest(i, n, reference + delta, alternative="less").pvalue <= 0.05 for i in x]
    expected = stats.binom.pmf(x, n, 0.52)[np.array(low) & np.array(high)].sum()
    assert power_of_equivalence(0.52, reference, n, delta=delta) == pytest.approx(expected, abs=1e-10)
    images = images_for_equivalence(0.02, delta=0.05, power=0.8)
    assert power_of_equivalence(0.02, 0.02, images) >= 0.8 > power_of_equivalence(0.02, 0.02, images - 1)


def test_noise_factor_is_the_ratio_of_variances():
    p, se, sp = 0.3, 0.85, 0.95
    q = p * se + (1 - p) * (1 - sp)
    assert noise_factor(p, se, sp) == pytest.approx(q * (1 - q) / (se + sp - 1) ** 2 / (p * (1 - p)))
    assert noise_factor([0.1, 0.5], 1, 1) == pytest.approx([1, 1])
    assert noise_factor(0.3, 0.5, 0.5) == np.inf


def test_power_with_noise_is_that_of_simulated_corrections():
    rng, repeats = np.random.default_rng(8), 20_000
    share, reference, images, se, sp, labels = 0.7, 0.5, 150, 0.9, 0.85, 120
    x = rng.binomial(images, share * se + (1 - share) * (1 - sp), repeats)
    shown = round(labels * share)
    tp, tn = rng.binomial(shown, se, repeats), rng.binomial(labels - shown, sp, repeats)
    ends = lang_reiczigel(x, images, tp, shown, tn, labels - shown)
    found = ((ends.low > reference) | (ends.high < reference)).mean()
    planned = power_with_noise(share, reference, images, sensitivity=se, specificity=sp, labels=labels)
    assert planned == pytest.approx(found, abs=0.015)


def test_more_images_cannot_make_up_for_few_labels():
    def found(images, labels):
        return power_with_noise(0.6, 0.5, images, sensitivity=0.9, specificity=0.9, labels=labels)

    assert found(1000, 30) < 0.5 and found(20_000, 30) < 0.6
    assert found(1000, 1000) > 0.9


@given(st.integers(1, 4900), st.integers(0, 3))
def test_first_from_which_is_found_behind_gaps(threshold, gap):
    found = first_from_which(lambda n: n >= threshold and n != threshold + gap, window=8)
    assert found == threshold + gap + 1


def test_first_from_which_gives_up():
    assert first_from_which(lambda n: False, most=1000) is None
    assert first_from_which(lambda n: True) == 1


@pytest.mark.parametrize(("gap", "between", "reference"), [(0.3, 0.2, 0.5), (0.1, 0.0, 0.2), (0.6, 0.4, 0.7)])
def test_typical_shares_have_the_gap_and_its_split(gap, between, reference):
    shares = typical_shares(gap, between, reference)
    r = np.array([reference, 1 - reference])
    assert squared_gap(shares, r) == pytest.approx(gap**2)
    assert (shares[:, 0] - reference).std() / max(r) == pytest.approx(between, abs=0.004)
    assert squared_gap(changed(shares, r, 0.5), r) == pytest.approx(gap**2 / 4)
    assert ((changed(shares, r, 50) >= 0) & (changed(shares, r, 50) <= 1)).all()


def test_the_gap_of_the_planner_is_the_gap_of_the_audit():
    rng = np.random.default_rng(2)
    shares = rng.dirichlet([1, 1, 1], 6)
    r = np.array([0.2, 0.3, 0.5])
    for ordered in (False, True):
        counts = shares * 10**7
        largest = squared_distance([[10**7, 0, 0], [0, 0, 10**7]], r, ordered=ordered).max()
        if not ordered:
            largest = 1 - 2 * r.min() + (r**2).sum()
        expected = squared_distance(counts, r, ordered=ordered).mean() / largest
        assert squared_gap(shares, r, ordered=ordered) == pytest.approx(expected, abs=1e-5)


def simulated(change, probes, images, repeats, rng):
    """Differences of squared distances between runs with other seeds, repeats × probes."""
    rows = rng.integers(len(change.before), size=(repeats, probes)) if probes else np.arange(len(change.before))
    both = []
    for shares in (change.before, change.after):
        x = rng.binomial(images, shares[rows, 0])
        counts = np.column_stack([x.ravel(), images - x.ravel()])
        both.append(squared_distance(counts, change.reference).reshape(x.shape) / 0.5)
    return both[1] - both[0]


def test_power_for_such_probes_is_that_of_simulated_t_tests():
    rng = np.random.default_rng(1)
    before = typical_shares(0.4, 0.3)
    change = Change(before, changed(before, HALF, 0.8), HALF)
    for probes in (15, 40):
        d = simulated(change, probes, 60, 4000, rng)
        found = (stats.ttest_1samp(d, 0, axis=1).pvalue <= 0.05).mean()
        assert power_of_gap_change(change, probes, 60, claim="population") == pytest.approx(found, abs=0.03)


def test_power_of_t_is_the_noncentral_one_for_normal_differences():
    moments = _Moments(0.4, 1.0, 0.0, 3.0)
    for probes in (5, 20, 200):
        shift, t = 0.4 * np.sqrt(probes), stats.t.ppf(0.975, probes - 1)
        expected = stats.nct.sf(t, probes - 1, shift) + stats.nct.cdf(-t, probes - 1, shift)
        assert _power_of_t(moments, probes, 0.025) == pytest.approx(expected, abs=1e-6)


def test_more_probes_beat_more_images_in_a_claim_about_such_probes():
    before = typical_shares(0.3, 0.2)
    change = Change(before, changed(before, HALF, 0.35 / 0.3), HALF)
    few, many = (power_of_gap_change(change, probes, 10_000 // probes, claim="population") for probes in (10, 100))
    assert many > few + 0.3
    assert power_of_gap_change(change, 5, 10**6, claim="population") < 0.4
    assert images_for_gap(change, 5, claim="population") is None


def test_planned_numbers_are_the_smallest():
    before = typical_shares(0.3, 0.2)
    change = Change(before, changed(before, HALF, 0.35 / 0.3), HALF)
    for claim in ("list", "population"):
        images = images_for_gap(change, 50, claim=claim)
        assert power_of_gap_change(change, 50, images, claim=claim) >= 0.9
        assert power_of_gap_change(change, 50, images - 1, claim=claim) < 0.9
        probes = probes_for_gap(change, images, claim=claim)
        assert probes <= 50 and power_of_gap_change(change, probes, images, claim=claim) >= 0.9
    same = change._replace(after=before)
    images = images_for_gap(same, 50, tolerance=0.05)
    assert power_of_gate(same, 50, images) >= 0.9 > power_of_gate(same, 50, images - 1)


def test_equal_seeds_save_images():
    before = typical_shares(0.3, 0.2)
    change = Change(before, changed(before, HALF, 0.35 / 0.3), HALF)
    needed = [images_for_gap(change._replace(correlation=rho), 50) for rho in (0.0, 0.5, 0.9)]
    assert needed == sorted(needed, reverse=True) and needed[2] < needed[0] / 3


def test_without_a_change_the_power_is_the_level():
    shares = np.random.default_rng(4).dirichlet([2, 2, 2], 40)
    same = Change(shares, shares, np.full(3, 1 / 3))
    assert power_of_gap_change(same, 40, 200) == pytest.approx(0.05, abs=0.004)
    assert power_of_gap_change(same, 40, 200, claim="population") == pytest.approx(0.05, abs=0.006)
    assert power_of_gate(same, 40, 10**6) == pytest.approx(1)


def test_variance_is_split_into_its_linear_and_quadratic_part():
    shares, r = np.random.default_rng(6).dirichlet([1, 2, 3], 5), np.array([0.2, 0.3, 0.5])
    for ordered in (False, True):
        two, three, ten = (distance_variance(shares, np.full(5, n), r, ordered=ordered) for n in (2, 3, 10))
        linear = 6 * three - 2 * two
        np.testing.assert_allclose(linear / 10 + (2 * two - linear) / 90, ten, rtol=1e-10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power_of_test(1.2, 0.5, 10), r"shares must lie between 0 and 1 \(got 1.2\)"),
        (lambda: power_of_test(0.2, 0.5, 1.5), r"images must be whole numbers of 0 or more \(got 1.5\)"),
        (lambda: images_for_test(0.5, 0.5), r"a share of 0.5 does not differ from the reference's"),
        (lambda: images_for_test(0.5, 0.4, power=1), r"power must lie between 0 and 1 \(got 1\)"),
        (lambda: images_for_equivalence(0.5, share=0.6), r"0.6 is not within 0.5 ± 0.05: it cannot be shown"),
        (lambda: level_of_many(0.5, 0.4, 10, 0), r"probes must be 1 or more \(got 0\)"),
        (lambda: power_with_noise(0.6, 0.5, 9, sensitivity=0.9, specificity=0.9, labels=1), r"need 2 human labels"),
        (lambda: noise_factor(0.5, 2, 0.5), r"sensitivities must lie between 0 and 1 \(got 2\)"),
        (lambda: typical_shares(0.3, 0.4), r"a spread between probes from 0 to the gap"),
        (lambda: typical_shares(1, 0.99), r"Give a smaller spread between probes"),
        (lambda: changed([[0.5, 0.5]], HALF, -1), r"a factor must be 0 or more \(got -1\)"),
        (lambda: power_of_gap_change(Change(HALF[None], HALF[None], HALF), 5, 9, claim="x"), r"list or population"),
        (lambda: power_of_gap_change(Change(HALF[None], HALF[None], HALF), 5, 1), r"2 images of it or more"),
        (lambda: power_of_gate(Change(HALF[None], HALF[None], HALF), 5, 9, tolerance=0), r"tolerance lies between"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
