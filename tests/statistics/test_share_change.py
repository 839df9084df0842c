"""Whether a share rose over a list of prompts: error rates by simulation, and scipy's and the definition's figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from audit.statistics.difference import difference_unpaired
from audit.statistics.share_change import decide_share_change

PROMPTS, IMAGES = 40, 30


def pairs_of(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Tables of pairs, J × 2 × 2."""
    return np.stack([[((old == a) & (new == b)).sum(axis=1) for b in (0, 1)] for a in (0, 1)]).transpose(2, 0, 1)


def verdicts(rate: float, rise: float, *, paired: bool, times: int = 400, seed: int = 5) -> list[str]:
    """Verdicts where the share is `rate` in the old and `rate + rise` in the new run; pairs share three quarters."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(times):
        p = np.clip(rate * rng.gamma(4, 0.25, PROMPTS), 0, 0.6)[:, None]
        shared = rng.random((PROMPTS, IMAGES)) < (0.75 if paired else 0)
        u, v = rng.random((2, PROMPTS, IMAGES))
        old, new = u < p, np.where(shared, u, v) < p + rise
        tables = pairs_of(old, new) if paired else None
        sums = new.sum(axis=1), IMAGES, old.sum(axis=1), IMAGES
        found.append(decide_share_change(*sums, paired=tables).verdict)
    return found


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("rate", [0.03, 0.2])
def test_false_alarms_and_wrong_passes_are_rare(rate: float, paired: bool) -> None:
    limit = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert np.mean([each == "fail" for each in verdicts(rate, 0, paired=paired)]) <= limit
    assert np.mean([each == "pass" for each in verdicts(rate, 0.05, paired=paired)]) <= limit
    assert np.mean([each == "fail" for each in verdicts(rate, 0.1, paired=paired, times=60)]) > 0.9


def test_one_prompt_is_the_score_interval_of_its_difference() -> None:
    decision = decide_share_change(9, 40, 4, 50, delta=0.3)
    ends = difference_unpaired(9, 40, 4, 50, 0.9)
    assert decision.worsening == pytest.approx(9 / 40 - 4 / 50)
    assert (decision.low, decision.high) == pytest.approx((float(ends.low), float(ends.high)))
    assert decision.verdict == ("pass" if ends.high < 0.3 else "fail" if ends.low > 0 else "inconclusive")


def test_the_same_run_against_itself_passes() -> None:
    lost = np.array([3, 0, 30])
    same = np.zeros((3, 2, 2))
    same[:, 1, 1], same[:, 0, 0] = lost, 30 - lost
    decision = decide_share_change(lost, 30, lost, 30, paired=same, same=True)
    assert (decision.verdict, decision.worsening, decision.images_needed) == ("pass", 0, None)


@pytest.mark.parametrize(("prompts", "images", "verdict"), [(1, 20, "inconclusive"), (3, 30, "pass"), (1, 59, "pass")])
def test_where_no_pair_of_other_models_differs_the_bound_is_exact(prompts: int, images: int, verdict: str) -> None:
    """The oracle: no image of all pairs is lost in the new run alone, with that chance (scipy's binomial test)."""
    none = np.zeros((prompts, 2, 2))
    none[:, 0, 0] = images
    nothing = np.zeros(prompts)
    decision = decide_share_change(nothing, images, nothing, images, paired=none)
    exact = stats.binomtest(0, prompts * images, alternative="less").proportion_ci(0.95).high
    assert decision.high == pytest.approx(exact)
    assert (decision.verdict, decision.p_value) == (verdict, 1)
    if decision.images_needed is not None:
        assert 0.95**decision.images_needed < 0.05 <= 0.95 ** (decision.images_needed - 1)


def test_a_fifth_of_the_images_lost_fails() -> None:
    rng = np.random.default_rng(3)
    decision = decide_share_change(rng.binomial(25, 0.2, 20), 25, np.zeros(20), 25)
    assert decision.verdict == "fail"
    assert decision.low > 0.1


def test_images_that_would_decide_do_mostly_decide() -> None:
    rng = np.random.default_rng(4)
    first = decide_share_change(np.full(10, 4), 20, np.full(10, 3), 20)
    assert first.verdict == "inconclusive"
    n = first.images_needed
    assert n is not None and n > 20
    runs = [decide_share_change(rng.binomial(n, 0.2, 10), n, rng.binomial(n, 0.15, 10), n) for _ in range(200)]
    assert np.mean([run.verdict != "inconclusive" for run in runs]) > 0.7


def test_without_an_image_nothing_is_decided() -> None:
    decision = decide_share_change([0, 0], [0, 0], [0, 1], [0, 5])
    assert decision.verdict == "inconclusive" and np.isnan(decision.worsening) and decision.images_needed is None


@given(
    arrays(np.int64, (6, 2), elements=st.integers(0, 20)),
    st.permutations(range(6)),
)
def test_the_order_of_prompts_does_not_matter(counts: np.ndarray, order: list[int]) -> None:
    here = decide_share_change(counts[:, 0], 20, counts[:, 1], 20)
    there = decide_share_change(counts[order, 0], 20, counts[order, 1], 20)
    assert here[:2] == pytest.approx(there[:2]) if here.verdict != there.verdict else True
    np.testing.assert_allclose([here.low, here.high], [there.low, there.high], atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"delta": 0}, "must be above 0"), ({"alpha": 0.6}, "between 0 and ½"), ({"paired": np.zeros((2, 2))}, "2 × 2")],
)
def test_nonsense_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decide_share_change(3, 10, 1, 10, **changes)  # type: ignore[arg-type]
