"""How many probes and images show that a gap changed, or that it did not worsen: power of statements about many probes.

A plan needs an idea of the shares of the probes: those of a pilot run, or `typical_shares`. The change is tested on
the squared scale, where the estimate is unbiased: D = G²after − G²before. Its variance is

    list         mean over probes of Var(U_after − U_before)/d⁴max, over J        images are drawn again
    population   that plus the variance of the true differences of probes, over J  probes are drawn again too

so that with more images the second never falls below its last term: more probes beat more images.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.gap import distance_variance, largest_squared_distance
from audit.statistics.intervals import Floats
from audit.statistics.power import MOST, first_from_which

_LEAST = 1e-300


class Change(NamedTuple):
    """What is assumed of the probes before and after, for two models or two versions of one."""

    before: Floats
    """Shares, rows × k: each row stands for an equal part of the probes."""
    after: Floats
    """Shares of the same probes after."""
    reference: Floats
    """Reference shares, rows × k (or k)."""
    correlation: float = 0.0
    """Correlation of the classes of two images with the same seed; 0 for other seeds."""
    ordered: bool = False


def typical_shares(gap: float, between: float, reference: float = 0.5, rows: int = 200) -> Floats:
    """Shares of two classes in probes with a given gap: quantiles of a beta distribution.

    Its mean is the reference's share plus the shared tilt sqrt(G² − s²), its standard deviation s, both in units of
    max(r, 1−r), the farthest a share can be.

    Args:
        gap: gap G of the probes from the reference, 0 to 1.
        between: standard deviation s of the tilt between probes, 0 to G.
        reference: the first class's share in the reference.
        rows: number of quantiles.

    Returns:
        Shares, rows × 2, with this gap.

    Raises:
        ValueError: if there are no shares with such a gap and spread.
    """
    if not (0 < reference < 1 and 0 <= between <= gap <= 1):
        raise ValueError(
            "a plan needs a reference share between 0 and 1 and a spread between probes from 0 to the gap, which is at "
            f"most 1 (got reference share {reference:g}, spread {between:g}, gap {gap:g})."
        )
    farthest = max(reference, 1 - reference)
    tilt = np.sqrt(gap**2 - between**2) * farthest * (1 if reference <= 0.5 else -1)
    mean, variance = reference + tilt, (between * farthest) ** 2
    if variance == 0:
        share = np.full(rows, mean)
    else:
        size = mean * (1 - mean) / variance - 1
        if size <= 0:
            raise ValueError(
                f"shares with mean {mean:.3g} cannot have a standard deviation of {np.sqrt(variance):.3g}. "
                "Give a smaller spread between probes."
            )
        share = special.betaincinv(mean * size, (1 - mean) * size, (np.arange(rows) + 0.5) / rows)
        # A grid of quantiles lacks the outermost tails: stretched, it has this gap.
        share = np.clip(
            reference + (share - reference) * gap * farthest / np.sqrt(((share - reference) ** 2).mean()), 0, 1
        )
    return np.column_stack([share, 1 - share])


def changed(shares: npt.ArrayLike, reference: npt.ArrayLike, factor: float) -> Floats:
    """Shares whose differences from the reference, and so their gap, are multiplied by a factor.

    Args:
        shares: rows × k.
        reference: rows × k (or k).
        factor: below 1 towards the reference, above 1 away from it.

    Returns:
        The shares after; where one would leave 0 … 1, the row goes as far as it can.

    Raises:
        ValueError: if the factor is negative.
    """
    if factor < 0:
        raise ValueError(f"a factor must be 0 or more (got {factor:g}).")
    p = np.asarray(shares, dtype=np.float64)
    r = np.broadcast_to(np.asarray(reference, dtype=np.float64), p.shape)
    off = p - r
    room = np.divide(np.where(off < 0, -r, 1 - r), off, out=np.full(p.shape, np.inf), where=off != 0)
    most = np.minimum(factor, room.min(axis=1, keepdims=True))
    after: Floats = np.clip(r + most * off, 0, 1)
    return after


def squared_gap(shares: npt.ArrayLike, reference: npt.ArrayLike, *, ordered: bool = False) -> float:
    """True squared gap of probes with these shares: mean of ‖p − r‖²/d²max.

    Args:
        shares: rows × k.
        reference: rows × k (or k).
        ordered: whether the classes are ordered.

    Returns:
        The squared gap.
    """
    return float(_squared(np.asarray(shares, dtype=np.float64), reference, ordered).mean())


def power_of_gap_change(change: Change, probes: int, images: int, *, claim: str = "list", alpha: float = 0.05) -> float:
    """Chance that a two-sided test of D = G²after − G²before at level α finds the change.

    For this list of probes D over its standard error of `gap_change.gap_change`, normal; for such probes Student's t
    over their differences. Images with the same seed are correlated: that takes 2ρ from the linear and 2ρ² from the
    quadratic part of the variance of U.

    Args:
        change: what is assumed of the probes.
        probes: number of probes.
        images: labelled images a probe, in each of the two runs.
        claim: `list` (about these probes) or `population` (about such probes).
        alpha: level of the test.

    Returns:
        The power.

    Raises:
        ValueError: if the claim is unknown or a number too small.
    """
    if claim not in ("list", "population"):
        raise ValueError(f"claim must be list or population (got {claim!r}).")
    errors = _errors(change, probes, images)
    if claim == "list":
        reach = special.ndtri(1 - alpha / 2) * errors.shown
        return float(
            special.ndtr((errors.effect - reach) / errors.true) + special.ndtr((-errors.effect - reach) / errors.true)
        )
    if probes < 2:
        raise ValueError(f"a claim about such probes needs 2 of them or more (got {probes}).")
    return _power_of_t(_Moments.of(change, images), probes, alpha / 2)


def power_of_gate(change: Change, probes: int, images: int, *, tolerance: float = 0.05, alpha: float = 0.05) -> float:
    """Chance to pass `noninferiority.decide_worsening`: the upper bound of G after − G before lies below the tolerance.

    It does if D + z·se is below δ·sqrt(2S − δ²), where S = G²after + G²before is taken at its lower bound (and never
    below δ²). The chance is that of two normal variables, D and S, integrated over S.

    Args:
        change: what is assumed of the probes; the same shares before and after for a model that did not worsen.
        probes: number of probes.
        images: labelled images a probe, in each of the two runs.
        tolerance: tolerated worsening δ of the gap.
        alpha: level of the one-sided bound.

    Returns:
        The chance to pass, for the claim about this list of probes.

    Raises:
        ValueError: if the tolerance is not above 0 or a number too small.
    """
    if not 0 < tolerance < 1:
        raise ValueError(f"a tolerance lies between 0 and 1 (got {tolerance:g}).")
    errors = _errors(change, probes, images)
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    total = errors.total + nodes * errors.total_true
    # Standard errors are estimated too: their linear part goes with the squared gaps.
    scale = np.maximum(total, 0) / errors.total if errors.total > 0 else np.ones(nodes.size)
    z = special.ndtri(1 - alpha)
    reach = z * np.sqrt(errors.quick + scale * (errors.shown**2 - errors.quick))
    reach_total = z * np.sqrt(errors.total_quick + scale * (errors.total_shown**2 - errors.total_quick))
    least = np.maximum(total - reach_total, tolerance**2)
    bound = tolerance * np.sqrt(2 * least - tolerance**2) - reach
    mean = errors.effect + errors.correlation * errors.true * nodes
    rest = errors.true * np.sqrt(max(1 - errors.correlation**2, 1e-12))
    return float(weights @ special.ndtr((bound - mean) / rest) / weights.sum())


def images_for_gap(
    change: Change, probes: int, *, power: float = 0.9, claim: str = "list", alpha: float = 0.05, tolerance: float = 0.0
) -> int | None:
    """Images a probe, in each run, that show the change with this power; with a tolerance, that let the gate pass.

    Args:
        change: what is assumed of the probes.
        probes: number of probes.
        power: chance to find the change (or to pass).
        claim: `list` or `population`.
        alpha: level.
        tolerance: 0 for `power_of_gap_change`, else δ of `power_of_gate`.

    Returns:
        The number of images, or None if no number is enough: then ask more probes.

    Raises:
        ValueError: as the two.
    """
    return first_from_which(
        lambda images: _power(change, probes, images, claim, alpha, tolerance) >= power, first=2, most=MOST
    )


def probes_for_gap(
    change: Change, images: int, *, power: float = 0.9, claim: str = "list", alpha: float = 0.05, tolerance: float = 0.0
) -> int | None:
    """Probes, with so many images each, that show the change with this power; with a tolerance, that let the gate pass.

    Args:
        change: what is assumed of the probes.
        images: labelled images a probe, in each of the two runs.
        power: chance to find the change (or to pass).
        claim: `list` or `population`.
        alpha: level.
        tolerance: 0 for `power_of_gap_change`, else δ of `power_of_gate`.

    Returns:
        The number of probes, or None if none is enough.

    Raises:
        ValueError: as the two.
    """
    return first_from_which(
        lambda probes: _power(change, probes, images, claim, alpha, tolerance) >= power, first=2, most=MOST
    )


def _power(change: Change, probes: int, images: int, claim: str, alpha: float, tolerance: float) -> float:
    if tolerance > 0:
        return power_of_gate(change, probes, images, tolerance=tolerance, alpha=alpha)
    return power_of_gap_change(change, probes, images, claim=claim, alpha=alpha)


class _Errors(NamedTuple):
    """The true change and standard errors of its estimate."""

    effect: float
    """D = G²after − G²before."""
    true: float
    """Standard error of its estimate for this list of probes."""
    shown: float
    """The same as `gap_change` states it, which adds the square of what one image of another class would change."""
    quick: float
    """The part of the variance that falls with the square of the number of images."""
    total: float
    """S = G²after + G²before."""
    total_true: float
    total_shown: float
    total_quick: float
    correlation: float
    """Of the estimates of D and S."""


def _errors(change: Change, probes: int, images: int) -> _Errors:
    if images < 2 or probes < 1:
        raise ValueError(f"a gap needs a probe and 2 images of it or more (got {probes} and {images}).")
    before, after = (_parts(shares, change) for shares in (change.before, change.after))
    n, m = images, images * (images - 1)
    own_before, own_after = (float((each.linear / n + each.quadratic / m).mean()) for each in (before, after))
    slow, quick = _shared(change.correlation, before, after)
    shared, quick_shared = float((slow / n + quick / m).mean()), float(quick.mean()) / m
    variance, total_variance = (max(own_after + own_before + sign * 2 * shared, _LEAST) for sign in (-1, 1))
    quick_both = float((after.quadratic + before.quadratic).mean()) / m
    one = float((after.one if change.correlation else after.one + before.one).mean()) / n**2 / probes
    difference = after.squared - before.squared
    return _Errors(
        effect=float(difference.mean()),
        true=float(np.sqrt(variance / probes)),
        shown=float(np.sqrt((variance + one) / probes)),
        quick=float(np.clip(quick_both - 2 * quick_shared, 0.0, variance)) / probes,
        total=float((after.squared + before.squared).mean()),
        total_true=float(np.sqrt(total_variance / probes)),
        total_shown=float(np.sqrt((total_variance + one) / probes)),
        total_quick=min(quick_both + 2 * quick_shared, total_variance) / probes,
        correlation=(own_after - own_before) / float(np.sqrt(variance * total_variance)),
    )


def _shared(correlation: float, before: _Parts, after: _Parts) -> tuple[Floats, Floats]:
    """Linear and quadratic part of the covariance of U before and after."""
    return (
        correlation * np.sqrt(after.linear * before.linear),
        correlation**2 * np.sqrt(after.quadratic * before.quadratic),
    )


class _Parts(NamedTuple):
    """Var(U/d²max) = linear/n + quadratic/(n(n−1)) of each row."""

    linear: Floats
    quadratic: Floats
    squared: Floats
    """True U/d²max."""
    one: Floats
    """n² times the square of what one image of another class would change."""


def _parts(shares: Floats, change: Change) -> _Parts:
    largest = np.broadcast_to(largest_squared_distance(change.reference, ordered=change.ordered), len(shares))
    two, three = (
        distance_variance(shares, np.full(len(shares), n), change.reference, ordered=change.ordered) / largest**2
        for n in (2, 3)
    )
    linear = np.maximum(6 * three - 2 * two, 0)
    along = shares - change.reference
    if change.ordered:
        along = along.cumsum(axis=1)[:, :-1][:, ::-1].cumsum(axis=1)
        along = np.column_stack([along, np.zeros(len(along))])
    return _Parts(
        linear,
        np.maximum(2 * two - linear, 0),
        _squared(shares, change.reference, change.ordered),
        4 * (np.ptp(along, axis=1) / largest) ** 2,
    )


def _squared(shares: Floats, reference: npt.ArrayLike, ordered: bool) -> Floats:
    r = np.asarray(reference, dtype=np.float64)
    off = shares - r
    if ordered:
        off = off.cumsum(axis=1)[:, :-1]
    squared: Floats = (off**2).sum(axis=1) / largest_squared_distance(r, ordered=ordered)
    return squared


class _Moments(NamedTuple):
    """Moments of the estimated difference U_after − U_before of one probe drawn at random."""

    mean: float
    deviation: float
    skewness: float
    kurtosis: float

    @classmethod
    def of(cls, change: Change, images: int) -> _Moments:
        """Differences between probes, and images that are normal around them."""
        before, after = (_parts(shares, change) for shares in (change.before, change.after))
        slow, quick = _shared(change.correlation, before, after)
        linear, quadratic = after.linear + before.linear - 2 * slow, after.quadratic + before.quadratic - 2 * quick
        v = np.maximum(linear / images + quadratic / (images * (images - 1)), 0)
        mean = float((after.squared - before.squared).mean())
        off = after.squared - before.squared - mean
        variance = max(float((off**2 + v).mean()), _LEAST)
        third = float((off**3 + 3 * off * v).mean()) / variance**1.5
        fourth = float((off**4 + 6 * off**2 * v + 3 * v**2).mean()) / variance**2
        return cls(mean, float(np.sqrt(variance)), third, fourth)


def _power_of_t(d: _Moments, probes: int, alpha: float) -> float:
    """Power of the two-sided t-test of a mean, α on each side.

    That of the noncentral t distribution, corrected for skewness γ and kurtosis κ (Edgeworth; Hall 1992): √J·mean −
    t·deviation of a sample has the variance 1 − tγ/√J + t²(κ−1)/(4J) in place of a normal sample's 1 + t²/(2J), and the
    skewness γ/√J − 3t(κ−3)/(2J). Within 3 points from some 15 probes on.
    """
    t = float(special.stdtrit(probes - 1, 1 - alpha))
    power = 0.0
    for sign in (1, -1):
        shift = sign * d.mean / d.deviation * np.sqrt(probes)
        if abs(shift) > 30:
            power += float(shift > 0)
            continue
        normal = special.ndtri(np.clip(1 - special.nctdtr(probes - 1, shift, t), 1e-15, 1 - 1e-15))
        lean = sign * d.skewness / np.sqrt(probes)
        spread = 1 - t * lean + t**2 * (d.kurtosis - 1) / (4 * probes)
        skewness = lean - 1.5 * t * (d.kurtosis - 3) / probes
        z = normal * np.sqrt((1 + t**2 / (2 * probes)) / max(spread, 0.3))
        density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        power += float(np.clip(special.ndtr(z) + skewness / 6 * (z**2 - 1) * density, 0, 1))
    return min(power, 1.0)
