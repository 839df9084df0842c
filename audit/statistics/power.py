"""How many images answer a question about one probe: power of the tests that an audit makes, computed exactly.

Power is the chance that a test speaks up if there is what it looks for. Whole distributions are added up, no normal
approximation is made. For gaps over many probes see `power_gap`, for corrected shares `power_noise`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.intervals import Floats

MOST = 1_000_000
"""More images than this are not planned."""
SMOOTH = 5_000
"""From so many images on the teeth of an exact test's power are below half a point."""
MANY = 300
"""Up to so many probes tested together the number of rejections is summed over."""
_TIES = 1e-9
_TINY = 1e-8
"""Counts less probable than this are left out of sums."""


def power_of_test(
    share: npt.ArrayLike, reference: npt.ArrayLike, images: npt.ArrayLike, *, alpha: npt.ArrayLike = 0.05
) -> Floats:
    """Chance that the exact binomial test of `significance.binomial` finds p ≤ α.

    The probability, at the true share, of all counts that the test at the reference's share rejects.

    Args:
        share: true share of the class.
        reference: its share in the reference.
        images: labelled images of the probe.
        alpha: level of the test; all four broadcast.

    Returns:
        Power in the broadcast shape; 0 without an image.

    Raises:
        ValueError: if a share or level lies outside 0 … 1, or images are not whole numbers of 0 or more.
    """
    p, r, n, level = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (share, reference, images, alpha)))
    for name, values in (("shares", p), ("shares of a reference", r), ("alpha", level)):
        check_share(name, values)
    if np.any((n < 0) | (n != np.floor(n))):
        raise ValueError(f"images must be whole numbers of 0 or more (got {n.min():g}).")
    result = np.empty(p.shape)
    asked, place = np.unique(np.stack([p.ravel(), r.ravel(), n.ravel()]), axis=1, return_inverse=True)
    for i, (one, against, number) in enumerate(asked.T):
        here = (place == i).reshape(p.shape)
        result[here] = _power(float(one), float(against), int(number), level[here])
    return np.minimum(result, 1.0)


def level_of_many(
    share: float, reference: float, images: int, probes: int, *, differing: float = 0.5, alpha: float = 0.05
) -> float:
    """Level at which Benjamini and Hochberg's procedure tests one of many probes on average.

    The largest t ≤ α with t = α·(1 + (J−1)·(f·power(t) + (1−f)·size(t)))/J: the share of tests rejected when this one
    is and a part f of the other probes differs as much as it does (after Genovese & Wasserman 2002). Between
    Bonferroni's α/J (no other probe differs, and no false alarm) and α (all do, and are found).

    Args:
        share: true share of the class in the probes that differ.
        reference: share in the reference.
        images: labelled images a probe.
        probes: probes tested together, J.
        differing: part of the other probes that differ, f.
        alpha: false discovery rate.

    Returns:
        The level.

    Raises:
        ValueError: as `power_of_test`; or if there is no probe.
    """
    check_share("the part of probes that differ", np.asarray(differing))
    if probes < 1:
        raise ValueError(f"probes must be 1 or more (got {probes}).")
    level = alpha
    while True:
        found = differing * float(_power(share, reference, images, level))
        wrong = (1 - differing) * float(_power(reference, reference, images, level))
        lower = alpha * (1 + (probes - 1) * (found + wrong)) / probes
        if lower >= level * (1 - 1e-9):
            return level
        level = lower


def power_among_many(
    share: float, reference: float, images: int, probes: int, *, differing: float = 0.5, alpha: float = 0.05
) -> float:
    """Chance that one of J probes is declared after Benjamini and Hochberg's adjustment.

    It is if p ≤ α(R+1)/J, where R of the others are rejected with it (Ferreira & Zwinderman 2006). The chance of each R
    comes from counting, level by level from the highest, how many of the others have p-values as small as that; each
    differs with probability f. For more than `MANY` probes R hardly varies: then the power at `level_of_many`.

    Args:
        share: true share of the class in the probes that differ.
        reference: share in the reference.
        images: labelled images a probe.
        probes: probes tested together.
        differing: part of the other probes that differ; 0 comes to Bonferroni's level but for false
            alarms.
        alpha: false discovery rate.

    Returns:
        The power.

    Raises:
        ValueError: as `level_of_many`.
    """
    if probes > MANY:
        level = level_of_many(share, reference, images, probes, differing=differing, alpha=alpha)
        return float(power_of_test(share, reference, images, alpha=level))
    levels = alpha * np.arange(1, probes + 1) / probes
    power = power_of_test(share, reference, images, alpha=levels)
    chance = differing * power + (1 - differing) * power_of_test(reference, reference, images, alpha=levels)
    still = _thinned((np.arange(probes) == probes - 1).astype(np.float64), chance[-1])
    total = 0.0
    for rejected in range(probes - 1, -1, -1):
        # Of the others, as many as `rejected` or more have p-values at this level: all of them are rejected.
        total += float(still[rejected:].sum() * power[rejected])
        still[rejected:] = 0.0
        if rejected and chance[rejected - 1] < chance[rejected]:
            still = _thinned(still, chance[rejected - 1] / chance[rejected])
    return min(total, 1.0)


def _thinned(still: Floats, chance: float) -> Floats:
    """Chances of each count once every member stays with this chance."""
    rows = np.flatnonzero(still > _TINY)
    x = np.arange(still.size)
    stay = min(chance, 1 - 1e-15)
    logs = _ways(still.size)[rows] + special.xlogy(x, stay) + special.xlog1py(rows[:, None] - x, -stay)
    thinned: Floats = still[rows] @ np.exp(logs)
    return thinned


@lru_cache(maxsize=8)
def _ways(size: int) -> Floats:
    """Logarithm of the ways to choose so many (columns) out of so many (rows)."""
    n, x = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    rest = np.maximum(n - x, 0)
    return np.where(x <= n, special.gammaln(n + 1) - special.gammaln(x + 1) - special.gammaln(rest + 1), -np.inf)


def images_for_test(
    share: float,
    reference: float,
    *,
    power: float = 0.9,
    alpha: float = 0.05,
    probes: int = 1,
    differing: float = 0.5,
) -> int | None:
    """Images a probe from which on the test finds the difference with this power, alone or as one of many.

    Power of an exact test rises in a saw-tooth; the number returned is the first from which it stays above the target.

    Args:
        share: true share of the class.
        reference: share in the reference.
        power: chance to find the difference.
        alpha: level of the test, or false discovery rate of many.
        probes: probes tested together.
        differing: part of the other probes that differ, as in `level_of_many`.

    Returns:
        The number of images, or None if `MOST` are not enough.

    Raises:
        ValueError: as `power_of_test`; or if the share is that of the reference.
    """
    _check_target(power, alpha)
    if share == reference:
        raise ValueError(f"a share of {share:g} does not differ from the reference's: there is nothing to find.")

    def enough(images: int) -> bool:
        return power_among_many(share, reference, images, probes, differing=differing, alpha=alpha) >= power

    return first_from_which(enough, window=_tooth(abs(share - reference), min(reference, 1 - reference)))


def images_for_equivalence(
    reference: float, *, delta: float = 0.05, share: float | None = None, power: float = 0.9, alpha: float = 0.05
) -> int | None:
    """Images that show a share to lie within reference ± δ, by two one-sided exact tests at α (Schuirmann 1987).

    Args:
        reference: share in the reference.
        delta: what counts as close.
        share: true share; by default that of the reference.
        power: chance to show it.
        alpha: level of each of the two tests.

    Returns:
        The number of images, or None if `MOST` are not enough.

    Raises:
        ValueError: if the true share is not within δ, or a number lies outside 0 … 1.
    """
    _check_target(power, alpha)
    true = reference if share is None else share
    check_share("shares", np.array([reference, true]))
    if not 0 < delta < 1 or abs(true - reference) >= delta:
        raise ValueError(f"a true share of {true:g} is not within {reference:g} ± {delta:g}: it cannot be shown.")

    def enough(images: int) -> bool:
        return power_of_equivalence(true, reference, images, delta=delta, alpha=alpha) >= power

    return first_from_which(enough, window=_tooth(delta - abs(true - reference), min(reference, 1 - reference)))


def power_of_equivalence(
    share: float, reference: float, images: int, *, delta: float = 0.05, alpha: float = 0.05
) -> float:
    """Chance that two one-sided exact tests at α both say that a share lies within reference ± δ (Schuirmann 1987).

    Args:
        share: true share.
        reference: share in the reference.
        images: labelled images.
        delta: what counts as close.
        alpha: level of each of the two tests.

    Returns:
        The power.
    """
    x = np.arange(images + 1)
    low, high = reference - delta, reference + delta
    above = _upper_tail(x, images, low) <= alpha if low > 0 else np.ones(x.size, dtype=bool)
    below = special.bdtr(x, images, high) <= alpha if high < 1 else np.ones(x.size, dtype=bool)
    return float(chances_of(images, share)[above & below].sum())


def first_from_which(enough: Callable[[int], bool], *, window: int = 1, first: int = 1, most: int = MOST) -> int | None:
    """The first whole number that is enough, as are the `window` ones after it (not looked at beyond `SMOOTH`).

    Args:
        enough: a condition that holds for all large numbers, with gaps shorter than the window where it begins.
        window: numbers checked after it.
        first: where to begin.
        most: where to give up.

    Returns:
        The number, or None if `most` is not enough.
    """
    high = first
    while not enough(high):
        if high >= most:
            return None
        high = min(2 * high, most)
    low = high // 2 if high > first else first - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    if low > SMOOTH:
        return high
    last = low
    for number in range(max(first, low - window), high + window + 1):
        if not enough(number):
            last = max(last, number)
    return last + 1


def _tooth(difference: float, rare: float) -> int:
    """Images over which the saw-tooth of an exact test can fall back, as more of them outweigh a step."""
    return int(min(400, np.ceil(2 / difference + 1 / max(rare, 0.01))))


def _power(share: float, reference: float, images: int, alpha: npt.ArrayLike) -> Floats:
    """Chance of a p-value of alpha or less."""
    if images == 0:
        return np.zeros(np.shape(alpha))
    values, chance = _steps(images, reference, share)
    power: Floats = chance[np.searchsorted(values, np.asarray(alpha) * (1 + 1e-12), side="right")]
    return power


@lru_cache(maxsize=64)
def _steps(images: int, reference: float, share: float) -> tuple[Floats, Floats]:
    """p-values in ascending order, and the chance of one among the first 0, 1, 2, … of them."""
    values = _p_values(images, reference)
    order = np.argsort(values)
    return values[order], np.concatenate([[0.0], chances_of(images, share)[order].cumsum()])


@lru_cache(maxsize=64)
def _p_values(images: int, reference: float) -> Floats:
    """p-values of all counts 0 … n: cumulated chances in ascending order, ties (within rounding) counted whole."""
    chance = _log_chances(images, reference)
    order = np.argsort(chance)
    ranked = chance[order]
    total = np.exp(ranked).cumsum()
    last = np.searchsorted(ranked, ranked + _TIES, side="right") - 1
    values = np.empty(images + 1)
    values[order] = np.where(np.isneginf(ranked), 0.0, np.minimum(total[last], 1.0))
    return values


def chances_of(images: int, share: float) -> Floats:
    """Chances of the counts 0 … n of a class with this share in n images."""
    chances: Floats = np.exp(_log_chances(images, share))
    return chances


def _log_chances(images: int, share: float) -> Floats:
    x = np.arange(images + 1)
    ways = special.gammaln(images + 1) - special.gammaln(x + 1) - special.gammaln(images - x + 1)
    chances: Floats = ways + special.xlogy(x, share) + special.xlog1py(images - x, -share)
    return chances


def _upper_tail(x: npt.NDArray[np.int64], images: int, share: float) -> Floats:
    """P(X ≥ x)."""
    tail: Floats = np.where(x == 0, 1.0, special.bdtrc(np.maximum(x - 1, 0), images, share))
    return tail


def check_share(name: str, values: Floats) -> None:
    """Refuse values that are no shares.

    Raises:
        ValueError: if one lies outside 0 … 1.
    """
    if np.any(~((values >= 0) & (values <= 1))):
        off = values[~((values >= 0) & (values <= 1))]
        raise ValueError(f"{name} must lie between 0 and 1 (got {off[0]:g}).")


def _check_target(power: float, alpha: float) -> None:
    for name, value in (("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1 (got {value:g}).")
