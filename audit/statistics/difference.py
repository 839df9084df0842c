"""Differences of two shares with their intervals: other seeds, equal seeds, and the mean over prompts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.intervals import Floats, Interval

_HALVINGS = 50


def difference_unpaired(
    x_a: npt.ArrayLike, n_a: npt.ArrayLike, x_b: npt.ArrayLike, n_b: npt.ArrayLike, level: float = 0.95
) -> Interval:
    """Score interval of p_a − p_b, images with other seeds (Miettinen & Nurminen 1985).

    All d with |p̂_a − p̂_b − d| ≤ z·sqrt((p̃_a(1 − p̃_a)/n_a + p̃_b(1 − p̃_b)/n_b)·N/(N − 1)), where p̃ are the most likely
    shares that differ by d, the root of a cubic. Its coverage is 91–99 % for 10 images a run, that of Newcombe's
    falls to 88 %, that of Wald's to 18 %.

    Args:
        x_a: counts of the class in the one run.
        n_a: images they are out of; all are broadcast.
        x_b: counts in the other run.
        n_b: images they are out of.
        level: confidence level.

    Returns:
        The ends, in the broadcast shape; (−1, 1) where a run has no image.

    Raises:
        ValueError: if a count is negative or above n, or the level is not between 0 and 1.
    """
    z = _z(level)
    xa, na, xb, nb = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (x_a, n_a, x_b, n_b)))
    if np.any((xa < 0) | (xa > na) | (xb < 0) | (xb > nb)):
        raise ValueError("a count must be at least 0 and at most the images it is out of. Count each image once.")
    known = (na > 0) & (nb > 0)
    na, nb = np.where(known, na, 1), np.where(known, nb, 1)
    ends = []
    for end in (-1.0, 1.0):
        inside, outside = xa / na - xb / nb, np.full(xa.shape, end)
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            kept = _within(middle, xa, na, xb, nb, z)
            inside, outside = np.where(kept, middle, inside), np.where(kept, outside, middle)
        ends.append(np.where(known, (inside + outside) / 2, end))
    return Interval(*ends)


def difference_paired(
    n11: npt.ArrayLike, n10: npt.ArrayLike, n01: npt.ArrayLike, n00: npt.ArrayLike, level: float = 0.95
) -> Interval:
    """Interval of p_a − p_b, pairs of images with equal seeds (Bonett & Price 2012).

    With p = (n₁₀ + 1)/(n + 2), q = (n₀₁ + 1)/(n + 2): p − q ± z·sqrt((p + q − (p − q)²)/(n + 2)), clipped to −1 … 1.

    Args:
        n11: pairs with the class in both runs; all are broadcast.
        n10: pairs with the class in the one run (a) only.
        n01: pairs with the class in the other run (b) only.
        n00: pairs with the class in neither.
        level: confidence level.

    Returns:
        The ends, in the broadcast shape; (−1, 1) where there is no pair.

    Raises:
        ValueError: if a count is negative or the level is not between 0 and 1.
    """
    cells = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (n11, n10, n01, n00)))
    if any(cell.size and cell.min() < 0 for cell in cells):
        raise ValueError(f"counts of pairs must be 0 or more (got {min(float(cell.min()) for cell in cells):g}).")
    n = np.asarray(sum(cells))
    p, q = (cells[1] + 1) / (n + 2), (cells[2] + 1) / (n + 2)
    half = _z(level) * np.sqrt((p + q - (p - q) ** 2) / (n + 2))
    known = n > 0
    return Interval(
        np.where(known, np.maximum(p - q - half, -1.0), -1.0), np.where(known, np.minimum(p - q + half, 1.0), 1.0)
    )


def mean_difference(difference: npt.ArrayLike, ends: Interval) -> tuple[float, Interval]:
    """Mean of independent differences over prompts, with its interval: the squares of the distances to the ends add.

    d ∓ sqrt(Σ_j (d_j − end_j)²)/J (method of variance estimates recovery; Zou & Donner 2008). For a claim about this
    list: it holds the sampling of images only.

    Args:
        difference: J differences; NaN where a prompt lacks images. These are left out.
        ends: their intervals, at the level wanted for the mean.

    Returns:
        The mean and its interval; NaN and (−1, 1) without a difference.
    """
    d = np.asarray(difference, dtype=np.float64)
    known = ~np.isnan(d)
    if not known.any():
        return float("nan"), Interval(np.array(-1.0), np.array(1.0))
    mean = float(d[known].mean())
    low = np.sqrt(((d - ends.low)[known] ** 2).sum()) / known.sum()
    high = np.sqrt(((ends.high - d)[known] ** 2).sum()) / known.sum()
    return mean, Interval(np.asarray(mean - low), np.asarray(mean + high))


def _within(d: Floats, xa: Floats, na: Floats, xb: Floats, nb: Floats, z: float) -> npt.NDArray[np.bool_]:
    """Whether the score test keeps the difference d."""
    n, x = na + nb, xa + xb
    square = ((na + 2 * nb) * d - n - x) / (3 * n)
    linear = (nb * d - n - 2 * xb) * d + x
    turn = square**3 - linear * square / (2 * n) + xb * d * (1 - d) / (2 * n)
    scale = np.copysign(np.sqrt(np.maximum(square**2 - linear / (3 * n), 0)), turn)
    cosine = np.divide(turn, scale**3, out=np.ones_like(turn), where=scale != 0)
    pb = 2 * scale * np.cos((np.pi + np.arccos(np.clip(cosine, -1, 1))) / 3) - square
    pb = np.clip(pb, np.maximum(0, -d), np.minimum(1, 1 - d))
    pa = np.clip(pb + d, 0, 1)
    variance = (pa * (1 - pa) / na + pb * (1 - pb) / nb) * n / (n - 1)
    within: npt.NDArray[np.bool_] = (xa / na - xb / nb - d) ** 2 <= z**2 * variance
    return within


def _z(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1 (got {level:g}).")
    return float(special.ndtri((1 + level) / 2))
