"""The gate's mathematics: has the gap worsened by δ or more, is a bound kept? Three verdicts for each line of a policy.

`pass`: the upper 95 % bound lies below what is tolerated (tested first). Else `fail`: the lower 95 % bound lies above
what must not be exceeded. Else `inconclusive`, with the number of images that would decide it.

The worsening w = G_new − G_old is tested on the squared scale, where D = G²new − G²old has an estimate without bias.
As w = D/(G_new + G_old), a bound for D is a bound for w only together with S = G²new + G²old, which is nearly
uncorrelated with D: w = D/sqrt(S + sqrt(S² − D²)). The bound is the worst over all S in its interval (profiling), which
holds where G_old is near 0 and the delta method, which takes the root of an estimate, passes wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.gap import check, distance_variance, largest_squared_distance, squared_distance
from audit.statistics.gap_change import GapChange
from audit.statistics.intervals import Floats, clopper_pearson
from audit.statistics.multiplicity import holm

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
POWER = 0.8
"""Chance that `images_needed` decides, if what was estimated is true."""
_MOST = 10**7


class Worsening(NamedTuple):
    """How much the gaps of lists worsened. Arrays, one number a list."""

    value: Floats
    """sqrt(max(0, G²new)) − sqrt(max(0, G²old))."""
    low: Floats
    """One-sided lower bound."""
    high: Floats
    """One-sided upper bound."""


class Decision(NamedTuple):
    """One line of a policy."""

    verdict: str
    """`pass`, `fail` or `inconclusive`. A single line: see `combine` for several."""
    worsening: float
    """Estimate of what the line bounds: G_new − G_old; for an absolute bound the gap or share itself."""
    low: float
    """One-sided lower bound of it."""
    high: float
    """One-sided upper bound of it."""
    p_value: float
    """Of the hypothesis that it is within bounds; small where the line fails."""
    images_needed: int | None
    """Images a probe and run that would decide it with a chance of 80 % if the estimate is true; None if decided, or if
    no number would."""


def worsening(change: GapChange, alpha: float = 0.05) -> Worsening:
    """Bounds of G_new − G_old, each at the one-sided level 1 − α.

    With D ± z·se and S within ± z·se of it, z = z_{1−α}, the bound is the least favourable D/sqrt(S + sqrt(S² − D²)).
    As D and S are nearly uncorrelated, it errs in at most α of the cases: 1–5 % at α = .05, up to 6.3 % where G_old is
    near 0 and 95 % of the pairs agree.

    Args:
        change: from `gap_change`.
        alpha: chance that a bound does not hold.

    Returns:
        Estimates and bounds, one a list; NaN where no probe can be used.

    Raises:
        ValueError: if `alpha` is not between 0 and ½.
    """
    z = quantile(alpha)
    value = np.sqrt(np.maximum(change.new, 0)) - np.sqrt(np.maximum(change.old, 0))
    low, high = _bounds(change.squared, change.total, z * change.error, z * change.total_error)
    return Worsening(value, low, high)


def decide_worsening(change: GapChange, *, delta: float = 0.05, alpha: float = 0.05) -> Decision:
    """Whether the gap of one list worsened: against δ to pass, against 0 to fail.

    The same run against itself passes: D and its error are 0.

    Args:
        change: from `gap_change`, of a single list.
        delta: worsening of G that is tolerated.
        alpha: chance of a wrong pass at a worsening of δ, and of a false alarm without one.

    Returns:
        The decision; inconclusive, with NaN, where no probe can be used.

    Raises:
        ValueError: if δ is not above 0, `alpha` is not between 0 and ½ or there are several lists.
    """
    if change.squared.size != 1:
        raise ValueError(f"a line of a policy is about one list of probes (got {change.squared.size}).")
    if not delta > 0:
        raise ValueError(f"the tolerated worsening must be above 0 (got {delta:g}). Give .05 to let G worsen by .05.")
    estimate, low, high = (float(each[0]) for each in worsening(change, alpha))
    d, error = float(change.squared[0]), float(change.error[0])
    p_value = _p_value(d, error)
    verdict = verdict_of(high < delta, p_value <= alpha)
    needed = None if verdict != INCONCLUSIVE else _images_for_worsening(change, delta, alpha)
    return Decision(verdict, estimate, low, high, p_value, needed)


def bound_of_gap(
    x: npt.ArrayLike, r: npt.ArrayLike, limit: float, *, ordered: bool = False, alpha: float = 0.05
) -> Decision:
    """Whether the gap of a list is below a limit, on the squared scale: mean U/d²max ± z·se against limit².

    The standard error is that of `gap.gap_of_list`. For many prompts: see `worst_gap` for single ones.

    Args:
        x: counts, J × k.
        r: reference shares, J × k (or k); NaN for probes that the reference does not know.
        limit: the gap must be below it, above 0 and at most 1.
        ordered: whether the classes are ordered.
        alpha: chance of a wrong pass, and of a false alarm, at the limit.

    Returns:
        The decision; inconclusive, with NaN, where no probe has 2 images and a reference.

    Raises:
        ValueError: if the shapes do not fit, the shares of a reference do not add up to 1, the limit is not within
            0 … 1, or `alpha` is not between 0 and ½.
    """
    z = quantile(alpha)
    check_limit(limit)
    counts, reference = check(x, r)
    used = (counts.sum(axis=1) > 1) & ~np.isnan(reference).any(axis=1)
    if not used.any():
        return undecided()
    counts, reference = counts[used], reference[used]
    n, k = counts.sum(axis=1), counts.shape[1]
    largest = largest_squared_distance(reference, ordered=ordered)
    squared = float((squared_distance(counts, reference, ordered=ordered) / largest).mean())
    smoothed = (counts + 1 / k) / (n + 1)[:, None]

    def error(images: Floats) -> float:
        variance = distance_variance(smoothed, images, reference, ordered=ordered) / largest**2
        return float(np.sqrt(variance.sum()) / n.size)

    se = error(n)
    p_value = _p_value(squared - limit**2, se)
    verdict = verdict_of(squared + z * se < limit**2, p_value <= alpha)
    sure = z + quantile(1 - POWER)
    needed = None
    if verdict == INCONCLUSIVE:
        needed = fewest(n.mean(), lambda f: abs(squared - limit**2) > sure * error(n * f))
    low, high = np.sqrt(np.clip([squared - z * se, squared + z * se], 0, 1))
    return Decision(verdict, float(np.sqrt(max(0.0, squared))), float(low), float(high), p_value, needed)


def bound_of_share(x: npt.ArrayLike, n: npt.ArrayLike, limit: float, *, alpha: float = 0.05) -> Decision:
    """Whether a share (of lost images, of a class) is below a limit, in each of J prompts or in one: the worst decides.

    Exact: with one-sided Clopper–Pearson bounds. It passes if every prompt's upper bound is below the limit (each at
    level α: all must be shown) and fails if the smallest binomial p-value is significant after Holm.

    Args:
        x: counts, J or a single one.
        n: images they are out of.
        limit: the share must be below it, above 0 and at most 1.
        alpha: chance of a wrong pass, and of a false alarm, at the limit.

    Returns:
        The decision about the largest share, with the bounds of the prompt that has it.

    Raises:
        ValueError: if a count is negative or above n, the limit is not within 0 … 1, or `alpha` is not between 0 and ½.
    """
    quantile(alpha)
    check_limit(limit)
    counts, images = (np.atleast_1d(each) for each in np.broadcast_arrays(*(np.asarray(v, float) for v in (x, n))))
    if np.any((counts < 0) | (counts > images)):
        raise ValueError("a count must be at least 0 and at most the images it is out of. Count each image once.")
    low, high = clopper_pearson(counts, images, 1 - 2 * alpha)
    if not np.any(images > 0):
        return undecided()
    p_value = np.where(images > 0, _at_least(counts, images, limit), np.nan)
    least = float(np.nanmin(holm(p_value)))
    verdict = verdict_of(bool((high < limit).all()), least <= alpha)
    share = counts / np.where(images > 0, images, np.nan)
    worst = int(np.nanargmax(share))
    needed = None
    if verdict == INCONCLUSIVE:
        needed = _images_for_share(float(share[worst]), float(images[worst]), limit, alpha)
    return Decision(verdict, float(share[worst]), float(low[worst]), float(high[worst]), least, needed)


def at_rates(judge: Callable[[float], Decision], alpha: float, wrong_pass: float) -> Decision:
    """A line with two error rates: it passes at the one, fails at the other.

    Args:
        judge: the decision with the same rate for both.
        alpha: chance of a false alarm.
        wrong_pass: chance of a wrong pass.

    Returns:
        The decision: its lower bound at level 1 − alpha, its upper one at level 1 − wrong_pass. The images needed are
        those that decide at the stricter rate.
    """
    fails = judge(alpha)
    if wrong_pass == alpha:
        return fails
    passes = judge(wrong_pass)
    verdict = verdict_of(passes.verdict == PASS, fails.p_value <= alpha)
    needed = [each.images_needed for each in (passes, fails) if each.images_needed is not None]
    return fails._replace(
        verdict=verdict,
        high=passes.high,
        images_needed=max(needed, default=None) if verdict == INCONCLUSIVE else None,
    )


def with_holm(decisions: Sequence[Decision], alpha: float = 0.05) -> tuple[Decision, ...]:
    """The lines of one policy: `fail` holds for all of them together (Holm 1979), `pass` for each.

    Args:
        decisions: lines decided one by one.
        alpha: chance of any false alarm.

    Returns:
        The same with p-values adjusted over all lines; a line that fails alone but not so becomes inconclusive.
    """
    adjusted = holm([each.p_value for each in decisions])
    return tuple(
        each._replace(p_value=float(p), verdict=each.verdict if each.verdict == PASS else verdict_of(False, p <= alpha))
        for each, p in zip(decisions, adjusted, strict=True)
    )


def combine(decisions: Sequence[Decision], alpha: float = 0.05) -> str:
    """The verdict of a policy: `pass` if every line passes, `fail` if one fails after Holm, else `inconclusive`.

    Args:
        decisions: lines decided one by one.
        alpha: chance of any false alarm.

    Returns:
        The verdict.

    Raises:
        ValueError: if there is no line.
    """
    if not decisions:
        raise ValueError("a policy needs a line or more (got none). Bound a gap, a share or a worsening.")
    verdicts = {each.verdict for each in with_holm(decisions, alpha)}
    return FAIL if FAIL in verdicts else INCONCLUSIVE if INCONCLUSIVE in verdicts else PASS


def _bounds(d: Floats, total: Floats, reach: Floats, reach_total: Floats) -> tuple[Floats, Floats]:
    """Least and largest worsening for D and S within their reach."""
    least, most = np.maximum(total - reach_total, 0), total + reach_total
    low, high = d - reach, d + reach
    return _root(low, np.where(low > 0, most, least)), _root(high, np.where(high > 0, least, most))


def _root(d: Floats, total: Floats) -> Floats:
    """D/(G_new + G_old), with S at least |D|, clipped to −1 … 1."""
    s = np.maximum(total, np.abs(d))
    sums = np.sqrt(s + np.sqrt(np.maximum(s**2 - d**2, 0)))
    root: Floats = np.clip(np.divide(d, sums, out=np.zeros_like(d), where=~(sums == 0)), -1, 1)
    return root


def verdict_of(passes: bool, fails: bool) -> str:
    """The verdict of one line: whether it passes is asked first."""
    return PASS if passes else FAIL if fails else INCONCLUSIVE


def _p_value(off: float, error: float) -> float:
    """One-sided: the chance of an estimate so far above."""
    if error == 0:
        return 0.0 if off > 0 else 1.0
    return float(special.ndtr(-off / error))


def _images_for_worsening(change: GapChange, delta: float, alpha: float) -> int | None:
    """Images with which the estimates of D and S, if true, are decided with a chance of 80 %."""
    if np.isnan(change.squared[0]):
        return None
    slow = change.error**2 - change.quick, change.total_error**2 - change.total_quick
    power = quantile(1 - POWER)

    def decides(f: float) -> bool:
        error = np.sqrt(np.maximum(slow[0], 0) / f + np.maximum(change.quick, 0) / f**2)
        total_error = np.sqrt(np.maximum(slow[1], 0) / f + np.maximum(change.total_quick, 0) / f**2)
        z = quantile(alpha) + power
        _, high = _bounds(change.squared, change.total, z * error, quantile(alpha) * total_error)
        return bool((high[0] < delta) | (change.squared[0] > z * error[0]))

    return fewest(float(change.images[0]), decides)


def fewest(images: float, decides: Callable[[float], bool]) -> int | None:
    """Smallest number of images, as a multiple of those there are, that decides; None beyond ten million."""
    few, many = 1.0, 2.0
    while not decides(many):
        few, many = many, 2 * many
        if many * images > _MOST:
            return None
    while many - few > 1e-3 * many:
        middle = (few + many) / 2
        few, many = (few, middle) if decides(middle) else (middle, many)
    return int(np.ceil(many * images))


def _images_for_share(share: float, images: float, limit: float, alpha: float) -> int | None:
    """The same for one share by the normal approximation, and one image for the steps of an exact test."""
    z, power = quantile(alpha), quantile(1 - POWER)

    def decides(f: float) -> bool:
        n = images * f
        spread = z * np.sqrt(limit * (1 - limit)) + power * np.sqrt(share * (1 - share))
        return bool(abs(share - limit) > spread / np.sqrt(n) + 1 / n)

    return fewest(images, decides)


def _at_least(x: Floats, n: Floats, p: float) -> Floats:
    """Chance of x or more of n."""
    chance: Floats = np.where(x > 0, special.betainc(np.maximum(x, 1), n - x + 1, p), 1.0)
    return chance


def undecided() -> Decision:
    """What is decided without images: nothing."""
    nan = float("nan")
    return Decision(INCONCLUSIVE, nan, nan, nan, nan, None)


def quantile(alpha: float) -> float:
    """z_{1−α}.

    Raises:
        ValueError: if `alpha` is not between 0 and ½.
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must be between 0 and ½ (got {alpha:g}). The usual one is .05.")
    return float(special.ndtri(1 - alpha))


def check_limit(limit: float) -> None:
    """Refuse a limit of a gap or share that is not within 0 … 1.

    Raises:
        ValueError: if it is not above 0 and at most 1.
    """
    if not 0 < limit <= 1:
        raise ValueError(f"a limit lies above 0 and is at most 1 (got {limit:g}).")
