"""Oracles: the profile searched over a fine grid, scipy's binomial tests, simulated decisions with planted gaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from audit.statistics.gap import gap_of_list
from audit.statistics.gap_change import GapChange, gap_change
from audit.statistics.noninferiority import (
    Decision,
    bound_of_gap,
    bound_of_share,
    combine,
    decide_worsening,
    with_holm,
    worsening,
)

HALF = [0.5, 0.5]


def change(old, new, error, total_error, images=50.0):
    """A change with these estimates, its variance falling with n."""
    numbers = {"squared": new - old, "error": error, "total": new + old, "total_error": total_error}
    numbers |= {"old": old, "new": new, "quick": 0.0, "total_quick": 0.0, "images": images}
    return GapChange(**{name: np.array([value]) for name, value in numbers.items()}, probes=np.array([50]))


@pytest.mark.parametrize("old", [0.0, 0.004, 0.09, 0.5])
@pytest.mark.parametrize("d", [-0.05, -0.004, 0.0, 0.003, 0.04])
def test_bounds_are_the_worst_over_all_gaps_that_fit(old, d):
    """A grid of all pairs of gaps whose squares differ by the bound of D and add up to what S may be."""
    new = max(old + d, 0.0)
    error, total_error = 0.008, 0.009
    found = worsening(change(old, new, error, total_error))
    z = stats.norm.ppf(0.95)
    side = np.linspace(0, 1, 20_001)
    for bound, reach, pick in ((found.high[0], z * error, np.max), (found.low[0], -z * error, np.min)):
        square = new - old + reach
        before, after = (side, np.sqrt(side**2 + square)) if square > 0 else (np.sqrt(side**2 - square), side)
        possible = np.abs(before**2 + after**2 - new - old) <= z * total_error
        if possible.any():
            expected = pick(after[possible] - before[possible])
        else:  # the two squares cannot both be 0 or more: one of them is 0
            expected = np.sign(square) * np.sqrt(abs(square))
        assert bound == pytest.approx(expected, abs=1e-3)


@given(st.floats(0, 0.6), st.floats(-0.3, 0.3), st.floats(1e-4, 0.1), st.floats(1e-4, 0.1))
def test_low_and_high_enclose_the_estimate_and_swapping_runs_turns_them(old, d, error, total_error):
    new = max(old + d, 0.0)
    found, back = worsening(change(old, new, error, total_error)), worsening(change(new, old, error, total_error))
    assert found.low[0] <= found.value[0] + 1e-9
    assert found.value[0] <= found.high[0] + 1e-9
    np.testing.assert_allclose([back.low[0], back.high[0]], [-found.high[0], -found.low[0]], atol=1e-9)
    assert (found.low[0] > 0) == (new - old > stats.norm.ppf(0.95) * error)


def test_three_verdicts():
    passed = decide_worsening(change(0.09, 0.09, 0.005, 0.01))
    assert passed.verdict == "pass"
    assert passed.high < 0.05
    assert passed.images_needed is None
    failed = decide_worsening(change(0.09, 0.16, 0.02, 0.02))
    assert failed.verdict == "fail"
    assert failed.worsening == pytest.approx(0.1)
    assert failed.low > 0
    assert failed.p_value == pytest.approx(stats.norm.sf(3.5))
    unclear = decide_worsening(change(0.09, 0.10, 0.02, 0.02))
    assert unclear.verdict == "inconclusive"
    assert unclear.low < 0 < 0.05 < unclear.high
    # a small worsening that is sure, but tolerated, passes: that is tested first
    small = decide_worsening(change(0.25, 0.26, 0.001, 0.001))
    assert small.verdict == "pass"
    assert small.p_value < 1e-9


def runs(old, new, lists, rng, n=50, probes=50):
    """Counts of lists of probes with these gaps from one half."""
    sign = rng.choice([-1, 1], size=(lists, probes))
    return [np.stack([x, n - x], axis=-1) for x in (rng.binomial(n, (1 + sign * gap) / 2) for gap in (old, new))]


def test_same_run_passes_against_itself():
    rng = np.random.default_rng(0)
    for n, probes in ((50, 50), (4, 2)):
        (x,), _ = runs(0.4, 0.4, 1, rng, n, probes)
        decision = decide_worsening(gap_change(x, x, HALF, paired=x[:, :, None] * np.eye(2), same=True))
        assert decision.verdict == "pass"
        assert decision[1:5] == (0, 0, 0, 1)


def test_few_pairs_of_other_models_rarely_pass_because_none_differs():
    """Eight pairs of each of four probes, as alike as shares allow that worsen G by .05: a third show no difference."""
    rng = np.random.default_rng(2)
    stay, turn = 0.65, 0.025
    tables = rng.multinomial(8, [stay, 0, turn, 1 - stay - turn], size=(2000, 4)).reshape(-1, 4, 2, 2).astype(float)
    alike = (tables[:, :, 0, 1] + tables[:, :, 1, 0]).sum(axis=1) == 0
    assert alike.mean() > 0.3
    changes = [gap_change(each.sum(axis=1), each.sum(axis=2), HALF, paired=each) for each in tables]
    passed = np.mean([decide_worsening(change).verdict == "pass" for change in changes])
    assert passed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize(("old", "new"), [(0.3, 0.34), (0.3, 0.3), (0.1, 0.13), (0.0, 0.0)])
def test_images_needed_decide_four_times_in_five(old, new):
    """With as many images as it says for the true gaps, 80 % of the runs have the likelier verdict, ± 8 points; more
    where both gaps are 0: the part of the variance that falls with n instead of n² is overestimated there."""
    rng = np.random.default_rng(1)
    before, after = runs(old, new, 400, rng, n=20)
    average = gap_change(after.reshape(-1, 2), before.reshape(-1, 2), HALF, lists=400)
    middle = average._replace(
        old=np.array([old**2]),
        new=np.array([new**2]),
        squared=np.array([new**2 - old**2]),
        total=np.array([new**2 + old**2]),
        probes=np.array([50]),
        images=np.array([20.0]),
        **{name: np.array([np.sqrt((getattr(average, name) ** 2).mean())]) for name in ("error", "total_error")},
        **{name: np.array([getattr(average, name).mean()]) for name in ("quick", "total_quick")},
    )
    decision = decide_worsening(middle)
    assert decision.verdict == "inconclusive"
    n = decision.images_needed
    before, after = runs(old, new, 600, rng, n=n)
    many = gap_change(after.reshape(-1, 2), before.reshape(-1, 2), HALF, lists=600)
    found = worsening(many)
    decided = max(np.mean(found.high < 0.05), np.mean(found.low > 0))
    assert decided > 0.9 if old == new == 0 else decided == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize("old", [0.0, 0.3, 0.6])
def test_false_alarms_and_wrong_passes_are_rare(old):
    rng = np.random.default_rng(2)
    lists = 2000
    for new, rare in ((old, "fail"), (old + 0.05, "pass")):
        before, after = runs(old, new, lists, rng)
        found = worsening(gap_change(after.reshape(-1, 2), before.reshape(-1, 2), HALF, lists=lists))
        wrong = found.low > 0 if rare == "fail" else found.high < 0.05
        assert wrong.mean() <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / lists)


def test_bound_of_a_gap():
    rng = np.random.default_rng(3)
    x = rng.multinomial(60, [0.5, 0.3, 0.2], size=20)
    r = [0.2, 0.3, 0.5]
    gap = gap_of_list(x, r, level=0.9)
    for limit, verdict in ((0.9, "pass"), (0.1, "fail"), (gap.gap, "inconclusive")):
        decision = bound_of_gap(x, r, limit)
        assert decision.verdict == verdict
        assert decision[1:4] == pytest.approx((gap.gap, gap.low, gap.high))
    assert decision.images_needed is None  # no number decides a gap that is the limit
    near = bound_of_gap(x, r, gap.high - 0.001)
    assert near.verdict == "inconclusive"
    assert near.images_needed > 60
    nothing = bound_of_gap([[1, 0]], HALF, 0.3)
    assert nothing.verdict == "inconclusive"
    assert np.isnan(nothing.worsening)


def test_bound_of_a_gap_is_rarely_wrong_at_the_limit():
    rng = np.random.default_rng(4)
    verdicts = [bound_of_gap(x[0], HALF, 0.3).verdict for x in (runs(0.3, 0.3, 1, rng)[0] for _ in range(600))]
    for verdict in ("pass", "fail"):
        assert verdicts.count(verdict) / 600 <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 600)


@pytest.mark.parametrize(("x", "n", "limit"), [(0, 100, 0.05), (3, 100, 0.05), (12, 100, 0.05), (80, 80, 0.9)])
def test_bound_of_a_share_is_the_exact_binomial_test(x, n, limit):
    decision = bound_of_share(x, n, limit)
    above = stats.binomtest(x, n, limit, alternative="greater")
    below = stats.binomtest(x, n, limit, alternative="less")
    assert decision.p_value == pytest.approx(above.pvalue, abs=1e-10)
    assert decision.verdict == ("pass" if below.pvalue < 0.05 else "fail" if above.pvalue <= 0.05 else "inconclusive")
    assert decision.low == pytest.approx(above.proportion_ci(0.95).low)
    assert decision.high == pytest.approx(below.proportion_ci(0.95).high)


def test_worst_prompt_decides():
    assert bound_of_share([0, 1, 0], 100, 0.05).verdict == "pass"
    assert bound_of_share([0, 14, 0], 100, 0.05).verdict == "fail"
    # one prompt of 20 at p = .03 alone is no failure after Holm
    alone = bound_of_share([10], 100, 0.05)
    many = bound_of_share([10] + [0] * 19, 100, 0.05)
    assert (alone.verdict, many.verdict) == ("fail", "inconclusive")
    assert many.p_value == pytest.approx(20 * alone.p_value)
    assert many.images_needed > 100
    unknown = bound_of_share([0, 0], [100, 0], 0.05)
    assert unknown.verdict == "inconclusive"
    assert bound_of_share([0], [0], 0.05).verdict == "inconclusive"
    assert bound_of_share([30, 0], [100, 0], 0.05).verdict == "fail"


@pytest.mark.parametrize("n", [30, 200])
def test_bound_of_a_share_never_errs_more_than_alpha(n):
    x = np.arange(n + 1)
    for limit in (0.02, 0.1, 0.5):
        verdicts = np.array([bound_of_share(i, n, limit).verdict for i in x])
        chance = stats.binom.pmf(x, n, limit)
        assert chance[verdicts == "pass"].sum() <= 0.05
        assert chance[verdicts == "fail"].sum() <= 0.05


def line(verdict, p):
    return Decision(verdict, 0.1, 0.0, 0.2, p, None)


def test_fail_holds_for_all_lines_together():
    assert combine([line("pass", 0.9), line("pass", 0.001)]) == "pass"
    assert combine([line("pass", 0.9), line("fail", 0.02)]) == "fail"
    assert combine([line("pass", 0.9), line("inconclusive", 0.2)]) == "inconclusive"
    assert combine([line("inconclusive", 0.3), line("fail", 0.02), line("fail", 0.001)]) == "fail"
    # three lines at .02 to .04: none is below .05/3
    lines = [line("fail", 0.02), line("fail", 0.03), line("fail", 0.04)]
    assert combine(lines) == "inconclusive"
    adjusted = with_holm(lines)
    assert [each.verdict for each in adjusted] == ["inconclusive"] * 3
    assert [each.p_value for each in adjusted] == pytest.approx([0.06, 0.06, 0.06])
    assert combine([line("inconclusive", float("nan")), line("pass", 0.5)]) == "inconclusive"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: combine([]), "a line or more"),
        (lambda: decide_worsening(change(0.1, 0.1, 0.1, 0.1), delta=0), "above 0"),
        (lambda: decide_worsening(change(0.1, 0.1, 0.1, 0.1), alpha=0.7), "between 0 and ½"),
        (lambda: decide_worsening(gap_change([[5, 5]] * 2, [[5, 5]] * 2, HALF, lists=2)), "one list"),
        (lambda: bound_of_gap([[5, 5]], HALF, 1.5), "limit lies above 0"),
        (lambda: bound_of_share(5, 4, 0.1), "at most the images"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_nothing_to_decide_is_inconclusive():
    decision = decide_worsening(gap_change([[1, 0]], [[1, 0]], HALF))
    assert decision.verdict == "inconclusive"
    assert np.isnan(decision.high)
    assert decision.images_needed is None
