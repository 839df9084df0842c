"""Figures of other tools, for comparison with what they published. They are plug-in figures: each has a noise floor.

A plug-in figure puts the observed shares in the place of the true ones. A model that matches its reference exactly then
scores above 0, the more so the fewer images there are (|f − ½| is .137 on average at 8 images), and figures from
different numbers of images cannot be compared. The floors here are exact expectations; subtracting one does not make
the figure unbiased elsewhere. `gap` has no floor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.gap import check, total_variation
from audit.statistics.intervals import Floats, shares


class PlugIn(NamedTuple):
    """Plug-in figures of J probes, each beside its mean for a model that matches what it is compared with."""

    mad: Floats
    """Mean absolute deviation from the reference, (1/k) Σ|p̂ − r| = 2·TVD/k (DALL-Eval)."""
    mad_floor: Floats
    uneven: Floats
    """Distance from even shares, ½ Σ|p̂ − 1/k|: for two classes |f − ½| (HEIM)."""
    uneven_floor: Floats
    """Mean of `uneven` for a model with even shares."""
    entropy: Floats
    """Entropy over log k, with the correction of Miller (1955) and Madow, + (classes that occur − 1)/(2n): 1 for even
    shares, 0 for one class only. The correction may carry it slightly above 1."""
    entropy_floor: Floats
    """Mean of `entropy` for a model with even shares: 1 but for what the correction leaves."""


def plug_in(x: npt.ArrayLike, r: npt.ArrayLike) -> PlugIn:
    """Plug-in figures with their noise floors.

    Args:
        x: counts, J × k.
        r: reference shares, J × k (or k).

    Returns:
        The figures; NaN for probes with no image, and without a reference for the mean absolute deviation.

    Raises:
        ValueError: if the shapes do not fit, a count is negative, or the shares of a reference do not add up to 1.
    """
    counts, reference = check(x, r)
    k = counts.shape[1]
    even = np.full(counts.shape, 1 / k)
    n = counts.sum(axis=1)
    return PlugIn(
        mad=2 * total_variation(counts, reference) / k,
        mad_floor=2 * floor(n, reference) / k,
        uneven=total_variation(counts, even),
        uneven_floor=floor(n, even),
        entropy=_entropy(counts),
        entropy_floor=_even_entropy(n, k),
    )


def floor(n: npt.ArrayLike, r: npt.ArrayLike) -> Floats:
    """Mean total variation distance ½ Σ|p̂ − r| of a model that matches its reference, exactly.

    De Moivre's mean absolute deviation of a binomial count, E|X − nr| = 2m·C(n, m)·r^m·(1−r)^(n−m+1) with m = ⌊nr⌋ + 1
    (Diaconis & Zabell 1991), summed over the classes.

    Args:
        n: J numbers of images.
        r: reference shares, J × k.

    Returns:
        J means; NaN where there is no image or no reference.
    """
    images = np.asarray(n, dtype=np.float64)[:, None]
    share = np.asarray(r, dtype=np.float64)
    m = np.minimum(np.floor(images * share) + 1, images)
    ways = special.gammaln(images + 1) - special.gammaln(m + 1) - special.gammaln(images - m + 1)
    log_chance = ways + special.xlogy(m, share) + special.xlog1py(images - m + 1, -share)
    deviation = np.where((share > 0) & (share < 1), 2 * m * np.exp(log_chance), share * 0)
    return np.where(images[:, 0] > 0, deviation.sum(axis=1) / (2 * np.maximum(images[:, 0], 1)), np.nan)


def _entropy(counts: Floats) -> Floats:
    n = counts.sum(axis=1)
    correction = ((counts > 0).sum(axis=1) - 1) / (2 * np.maximum(n, 1))
    entropy = special.entr(shares(counts)).sum(axis=1) + correction
    return np.where(n > 0, entropy / np.log(counts.shape[1]), np.nan)


def _even_entropy(n: Floats, k: int) -> Floats:
    """Mean of `_entropy` for even shares: a sum over the binomial counts of one class, once for each n."""
    result = np.full(n.shape, np.nan)
    for images in np.unique(n[n > 0]):
        i = np.arange(images + 1)
        ways = special.gammaln(images + 1) - special.gammaln(i + 1) - special.gammaln(images - i + 1)
        chance = np.exp(ways - i * np.log(k) + (images - i) * np.log1p(-1 / k))
        occurring = k * (1 - (1 - 1 / k) ** images)
        entropy = k * (chance @ special.entr(i / images)) + (occurring - 1) / (2 * images)
        result[n == images] = entropy / np.log(k)
    return result
