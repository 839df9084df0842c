"""Oracles: scipy's binomial tests where two classes make them exact; simulated prompts that lie at the limit."""

import numpy as np
import pytest
from scipy import stats

from audit.statistics.worst_gap import bound_of_worst_gap

HALF = [0.5, 0.5]


@pytest.mark.parametrize("x", [50, 58, 63, 70, 80])
def test_two_classes_against_half_are_the_binomial_test(x):
    """A gap of .3 is a share of .65 or of .35."""
    decision = bound_of_worst_gap([[x, 100 - x]], HALF, 0.3, draws=20_000)
    below = stats.binomtest(x, 100, 0.65, alternative="less").pvalue
    above = stats.binomtest(x, 100, 0.65, alternative="greater").pvalue
    assert decision.verdict == ("pass" if below <= 0.05 else "fail" if above <= 0.05 else "inconclusive")
    if x > 65:
        assert decision.p_value == pytest.approx(above, abs=0.008)
        ends = stats.binomtest(x, 100, alternative="less").proportion_ci(0.95)
        assert decision.high == pytest.approx(2 * ends.high - 1, abs=0.03)


@pytest.mark.parametrize(("n", "k", "limit"), [(50, 2, 0.3), (50, 3, 0.5), (40, 7, 0.5)])
def test_prompts_at_the_limit_are_rarely_decided_wrongly(n, k, limit):
    rng = np.random.default_rng(n + k)
    r = np.full(k, 1 / k)
    counts = rng.multinomial(n, r + limit * (np.eye(k)[0] - r), size=120)
    verdicts = [bound_of_worst_gap(x[None], r, limit, draws=199, seed=i).verdict for i, x in enumerate(counts)]
    for verdict, most in (("pass", 0.08), ("fail", 0.06)):
        assert verdicts.count(verdict) / 120 <= most + 4 * np.sqrt(most * (1 - most) / 120)


def test_the_worst_prompt_decides():
    fair, tilted = [25, 25], [46, 4]
    assert bound_of_worst_gap([fair, fair], HALF, 0.5).verdict == "pass"
    found = bound_of_worst_gap([fair, tilted, [1, 0]], HALF, 0.5)
    assert found.verdict == "fail"
    assert found.low > 0.5
    assert found.low <= found.worsening <= found.high
    assert found.worsening == pytest.approx(np.sqrt(bound_of_worst_gap([tilted], HALF, 0.5).worsening ** 2))
    unclear = bound_of_worst_gap([fair, [35, 15]], HALF, 0.5)
    assert unclear.verdict == "inconclusive"
    assert unclear.images_needed > 50


def test_one_prompt_among_hundreds_can_fail():
    x = np.array([[86, 14]] + 399 * [[50, 50]])
    found = bound_of_worst_gap(x, HALF, 0.3)
    exact = 400 * stats.binomtest(86, 100, 0.65, alternative="greater").pvalue
    assert found.verdict == "fail"
    assert 0 < found.p_value < exact + 0.005
    assert exact < 0.005


def test_other_prompts_and_names_of_classes_do_not_matter():
    x, r = np.array([[20, 12, 8], [11, 14, 15]]), np.array([0.2, 0.3, 0.5])
    for ordered in (False, True):
        both = bound_of_worst_gap(x, r, 0.6, ordered=ordered)
        alone = bound_of_worst_gap(x[:1], r, 0.6, ordered=ordered)
        assert both[:4] == alone[:4]
    turned = bound_of_worst_gap(x[:, ::-1], r[::-1], 0.6)
    assert turned.worsening == pytest.approx(bound_of_worst_gap(x, r, 0.6).worsening)
    assert turned.high == pytest.approx(bound_of_worst_gap(x, r, 0.6).high, abs=0.03)


def test_nothing_to_decide_and_bad_input():
    nothing = bound_of_worst_gap([[1, 0]], HALF, 0.3)
    assert nothing.verdict == "inconclusive"
    assert np.isnan(nothing.worsening)
    with pytest.raises(ValueError, match="limit lies above 0"):
        bound_of_worst_gap([[5, 5]], HALF, 0.0)
    with pytest.raises(ValueError, match="draws must be 1 or more"):
        bound_of_worst_gap([[5, 5]], HALF, 0.3, draws=0)
