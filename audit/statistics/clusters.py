"""A share of persons who come in clusters, such as the people in one picture: they are not independent of each other.

Everything is vectorised over J groups. For each group of n clusters, cluster i has m_i members of whom x_i have the
property; the five sums Σx, Σm, Σx², Σxm, Σm² are all that is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.intervals import Floats, Interval


class Sums(NamedTuple):
    """Sums over the clusters of each group, arrays of one shape; clusters without members do not count."""

    clusters: npt.ArrayLike
    """n, clusters with at least one member."""
    x: npt.ArrayLike
    """Σx: members with the property."""
    m: npt.ArrayLike
    """Σm: members."""
    xx: npt.ArrayLike
    """Σx²."""
    xm: npt.ArrayLike
    """Σxm."""
    mm: npt.ArrayLike
    """Σm²."""


def ratio_variance(sums: Sums) -> Floats:
    """Variance of the ratio p = Σx/Σm by linearisation: n/(n − 1) · Σ(x − pm)² / (Σm)² (Cochran 1977, § 6.13).

    Returns:
        The variance; NaN for fewer than 2 clusters.
    """
    n, x, m, xx, xm, mm = _floats(sums)
    p = x / np.maximum(m, 1)
    squares = np.maximum(xx - 2 * p * xm + p * p * mm, 0)
    return np.where(n > 1, n / np.maximum(n - 1, 1) * squares / np.maximum(m, 1) ** 2, np.nan)


def effective_size(sums: Sums) -> Floats:
    """Independent persons who would tell as much: Σm over the design effect, never more than Σm.

    The design effect is the variance of the ratio over p(1 − p)/(Σm − 1), that of as many independent persons. Where
    it cannot be seen (p of 0 or 1, or one cluster) the members of a cluster are taken to be all alike: (Σm)²/Σm²
    (Kish 1965).

    Returns:
        The effective numbers; 0 without members.
    """
    n, x, m, _, _, mm = _floats(sums)
    p = x / np.maximum(m, 1)
    alone = p * (1 - p) / np.maximum(m - 1, 1)
    seen = (n > 1) & (alone > 0)
    effect = np.where(seen, ratio_variance(sums) / np.where(seen, alone, 1), mm / np.maximum(m, 1))
    return np.where(m > 0, m / np.maximum(effect, 1), 0.0)


def clustered_share(sums: Sums, level: float = 0.95) -> Interval:
    """Interval of a share of persons by the score method with the effective size, made smaller by the squared ratio of
    Student's quantiles for Σm − 1 and g − 1 degrees of freedom (Korn & Graubard 1998, with Wilson's interval in the
    place of Clopper and Pearson's as Dean & Pagano 2015 recommend). g = (Σm)²/Σm² ≤ n: a few large clusters weigh like
    fewer clusters (Carter, Schnepel & Steigerwald 2017). With one person a cluster it is Wilson's interval.

    Args:
        sums: of the clusters.
        level: confidence level.

    Returns:
        The ends, in the shape of the sums; (0, 1) without members.

    Raises:
        ValueError: if the level is not between 0 and 1, or a group has more members with the property than members.
    """
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1 (got {level:g}).")
    n, x, m, *_, mm = _floats(sums)
    if np.any(x > m) or np.any(n > m):
        raise ValueError("a count must not exceed the persons it is out of, nor clusters the persons in them.")
    tail = (1 + level) / 2
    groups = m**2 / np.maximum(mm, 1)
    few, many = special.stdtrit(np.maximum(groups - 1, 1), tail), special.stdtrit(np.maximum(m - 1, 1), tail)
    size = effective_size(sums) * np.where(n > 1, (many / few) ** 2, 1.0)
    z2 = special.ndtri(tail) ** 2
    p, whole = x / np.maximum(m, 1), np.where(m > 0, size, 1.0)
    middle = (p + z2 / (2 * whole)) / (1 + z2 / whole)
    half = np.sqrt(z2 * p * (1 - p) / whole + z2 * z2 / (4 * whole**2)) / (1 + z2 / whole)
    low, high = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
    return Interval(np.where(x == 0, 0.0, low), np.where(x == m, 1.0, high))


def _floats(sums: Sums) -> list[Floats]:
    return [np.asarray(each) for each in np.broadcast_arrays(*(np.asarray(each, np.float64) for each in sums))]
