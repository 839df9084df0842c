"""Shares of classes and how uncertain they are.

Everything is vectorised: `x` holds counts of any shape, `n` the images they are out of, and both broadcast. Never a
Wald interval: at n = 20 its coverage falls to 33 %.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """Two ends of an interval, arrays of the shape of what they enclose."""

    low: Floats
    high: Floats


def shares(x: npt.ArrayLike) -> Floats:
    """Shares x / n of k classes per probe.

    Args:
        x: counts, J × k (or any shape with the classes last).

    Returns:
        Shares of the same shape; NaN where a probe has no labelled image.

    Raises:
        ValueError: if a count is negative.
    """
    counts = _counts(x)
    n = counts.sum(axis=-1, keepdims=True)
    return np.where(n > 0, counts / np.maximum(n, 1), np.nan)


def wilson(x: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Score interval of one share: the p with |p̂ − p| ≤ z·sqrt(p(1−p)/n) (Wilson 1927).

    Its mean coverage is the nominal one; for single p it may lie a few points below (use `clopper_pearson` for a
    guarantee).

    Args:
        x: counts.
        n: images they are out of; broadcast with `x`.
        level: confidence level.

    Returns:
        The ends, in the broadcast shape; (0, 1) where n = 0.

    Raises:
        ValueError: if a count is negative or above n, or the level is not between 0 and 1.
    """
    x_, n_ = _pair(x, n)
    z2 = special.ndtri((1 + _level(level)) / 2) ** 2
    m = np.maximum(n_, 1)
    p = x_ / m
    middle = (p + z2 / (2 * m)) / (1 + z2 / m)
    half = np.sqrt(z2 * p * (1 - p) / m + z2 * z2 / (4 * m * m)) / (1 + z2 / m)
    return _ends(x_, n_, middle - half, middle + half)


def clopper_pearson(x: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Exact interval of one share, which covers at least at its level for every p (Clopper & Pearson 1934).

    The ends are Beta(x, n−x+1) at (1−level)/2 and Beta(x+1, n−x) at (1+level)/2.

    Args:
        x: counts.
        n: images they are out of; broadcast with `x`.
        level: confidence level.

    Returns:
        The ends, in the broadcast shape; (0, 1) where n = 0.

    Raises:
        ValueError: if a count is negative or above n, or the level is not between 0 and 1.
    """
    x_, n_ = _pair(x, n)
    tail = (1 - _level(level)) / 2
    low = _beta_quantile(np.maximum(x_, 1), n_ - x_ + 1, tail)
    high = _beta_quantile(x_ + 1, np.maximum(n_ - x_, 1), 1 - tail)
    return _ends(x_, n_, low, high)


def jeffreys(x: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Equal-tailed interval of Beta(x+½, n−x+½), its end 0 at x = 0 and 1 at x = n (Brown, Cai & DasGupta 2001).

    Args:
        x: counts.
        n: images they are out of; broadcast with `x`.
        level: confidence level.

    Returns:
        The ends, in the broadcast shape; (0, 1) where n = 0.

    Raises:
        ValueError: if a count is negative or above n, or the level is not between 0 and 1.
    """
    x_, n_ = _pair(x, n)
    tail = (1 - _level(level)) / 2
    low = _beta_quantile(x_ + 0.5, n_ - x_ + 0.5, tail)
    high = _beta_quantile(x_ + 0.5, n_ - x_ + 0.5, 1 - tail)
    return _ends(x_, n_, low, high)


def simultaneous(x: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Intervals that enclose all k shares of a probe at once: Jeffreys at α/k (Bonferroni).

    Coverage of all k at once is 94–97 % at the nominal 95 %; Sison–Glaz falls to 77 % at n = 20. Two classes are one
    statement (their shares add up to 1), so for k = 2 the level is not divided. A class that never occurs keeps its
    upper bound.

    Args:
        x: counts, J × k (or any shape with the classes last).
        level: confidence level for all classes of a probe together.

    Returns:
        The ends, in the shape of `x`; (0, 1) for a probe with no labelled image.

    Raises:
        ValueError: if a count is negative or the level is not between 0 and 1.
    """
    counts = _counts(x)
    k = counts.shape[-1]
    statements = k if k > 2 else 1
    return jeffreys(counts, counts.sum(axis=-1, keepdims=True), 1 - (1 - _level(level)) / statements)


def worst_case(x: npt.ArrayLike, n: npt.ArrayLike, asked: npt.ArrayLike) -> Interval:
    """Bounds of a share if the images that were lost all showed, or none of them showed, the class (Manski 1989).

    With m the lost part (asked − n)/asked: p·(1−m) and p·(1−m)+m, that is x/asked and (x + asked − n)/asked.

    Args:
        x: counts of the class.
        n: images labelled with some class.
        asked: images asked for; broadcast with the others.

    Returns:
        The bounds; (0, 1) where nothing was asked for.

    Raises:
        ValueError: if a count is negative or above n, or n is above `asked`.
    """
    x_, n_ = _pair(x, n)
    n_, asked_ = _pair(n_, asked)
    x_, asked_ = np.broadcast_arrays(x_, asked_)
    whole = np.maximum(asked_, 1)
    return Interval(
        np.where(asked_ > 0, x_ / whole, 0.0),
        np.where(asked_ > 0, (x_ + asked_ - n_) / whole, 1.0),
    )


def whole_numbers(counts: Floats) -> Floats:
    """The counts themselves, checked.

    Args:
        counts: of any shape.

    Returns:
        The same array.

    Raises:
        ValueError: if one is negative, fractional or not finite.
    """
    wrong = ~((counts >= 0) & (counts == np.floor(counts)) & np.isfinite(counts))
    if wrong.any():
        got = f"{counts[wrong][0]:g}"
        raise ValueError(f"counts must be whole numbers of 0 or more (got {got}). Count each image once.")
    return counts


def _counts(x: npt.ArrayLike) -> Floats:
    return whole_numbers(np.asarray(x, dtype=np.float64))


def _pair(x: npt.ArrayLike, n: npt.ArrayLike) -> tuple[Floats, Floats]:
    x_, n_ = np.broadcast_arrays(_counts(x), _counts(n))
    if np.any(x_ > n_):
        worst = np.unravel_index(np.argmax(x_ - n_), x_.shape)
        raise ValueError(f"a count must not exceed the images it is out of (got {x_[worst]:g} of {n_[worst]:g}).")
    return x_, n_


def _level(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1 (got {level:g}).")
    return level


def _ends(x: Floats, n: Floats, low: Floats, high: Floats) -> Interval:
    """The ends clipped to 0 … 1, exactly 0 at x = 0 and exactly 1 at x = n, both at n = 0."""
    return Interval(np.where(x == 0, 0.0, np.clip(low, 0, 1)), np.where(x == n, 1.0, np.clip(high, 0, 1)))


def _beta_quantile(a: Floats, b: Floats, q: float) -> Floats:
    """Quantile of Beta(a, b). Counts repeat, so each pair is inverted once: 4 times faster for 150 probes."""
    pairs, back = np.unique(a + 1j * b, return_inverse=True)
    values = np.asarray(special.betaincinv(pairs.real, pairs.imag, q), dtype=np.float64)
    return values[back].reshape(np.shape(a))
