"""The bootstrap of means, done as one product of matrices: how often each unit was drawn × what it shows.

A resample of J units is a row of J counts that add up to J. All resampled means of all statistics are then
`weights @ values / J`: nothing is copied per resample, and the statistics of one resample come from the same units.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.intervals import Floats

_BLOCK = 50_000
"""Weights made at once: so few that they stay in the processor's cache."""


class Bootstrap(NamedTuple):
    """Means of m statistics, with intervals."""

    mean: Floats
    low: Floats
    high: Floats


def bootstrap(
    values: npt.ArrayLike,
    draws: int,
    rng: np.random.Generator,
    level: float = 0.95,
    *,
    method: str = "bca",
) -> Bootstrap:
    """Means over units, with bootstrap intervals (Efron 1987).

    `bca` corrects the percentiles for bias and skewness: the level of each end is Φ(z₀ + (z₀ + z)/(1 − a(z₀ + z))),
    with z₀ = Φ⁻¹(share of resampled means below the mean, ties counted half) and a = Σ d³/(6 (Σ d²)^1.5), d the
    distances from the mean (the jackknife's, in closed form). `percentile` takes the ends as they are. Both are
    somewhat short for fewer than 20 units.

    Args:
        values: one row a unit (a probe, a subject, an image), one column a statistic: J × m, or J.
        draws: resamples.
        rng: source of random numbers.
        level: confidence level.
        method: `bca` or `percentile`.

    Returns:
        m means with their ends; an interval of no width where all units are equal, NaN where there are fewer than 2.

    Raises:
        ValueError: if a value is not finite, `draws` is below 1, or the method or level is unknown.
    """
    table = _table(values)
    _check(draws, level)
    if method not in ("bca", "percentile"):
        raise ValueError(f"method must be bca or percentile (got {method!r}).")
    units, statistics = table.shape
    nan = np.full(statistics, np.nan)
    if units < 2:
        return Bootstrap(table.mean(axis=0) if units else nan, nan, nan)
    mean = table.mean(axis=0)
    off = table - mean
    resampled = np.ascontiguousarray(resampled_means(off, draws, rng).T)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    levels = _bca_levels(off, resampled, tails) if method == "bca" else np.tile(tails, (statistics, 1))
    low, high = _quantiles(resampled, levels).T
    return Bootstrap(mean, mean + low, mean + high)


def resampled_means(values: npt.ArrayLike, draws: int, rng: np.random.Generator) -> Floats:
    """Means of `draws` resamples of the rows, drawn with replacement.

    Args:
        values: J × m.
        draws: resamples.
        rng: source of random numbers.

    Returns:
        draws × m means.

    Raises:
        ValueError: if a value is not finite or `draws` is below 1.
    """
    table = _table(values)
    _check(draws, 0.95)
    units = table.shape[0]
    means = np.empty((draws, table.shape[1]))
    block = max(1, _BLOCK // max(units, 1))
    for start in range(0, draws, block):
        stop = min(start + block, draws)
        np.matmul(weights(units, stop - start, rng), table, out=means[start:stop])
    means /= units
    return means


def weights(units: int, draws: int, rng: np.random.Generator) -> Floats:
    """How often each of J units occurs in each of `draws` resamples of J units: multinomial counts.

    Args:
        units: J.
        draws: resamples.
        rng: source of random numbers.

    Returns:
        draws × J counts; each row adds up to J.
    """
    kind = np.uint16 if units <= 1 << 16 else np.int64
    drawn = rng.integers(units, size=(draws, units), dtype=kind) + (np.arange(draws) * units)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * units).reshape(draws, units).astype(np.float64)


def _bca_levels(off: Floats, resampled: Floats, tails: Floats) -> Floats:
    """Levels of the two ends, m × 2, from distances from the mean: of the units, of the resampled means (m × draws)."""
    largest = np.abs(off).max(axis=0)
    tie = largest[:, None] * 1e-12
    below = np.count_nonzero(resampled < -tie, axis=1) + np.count_nonzero(resampled <= tie, axis=1)
    draws = resampled.shape[1]
    bias = special.ndtri(np.clip(below / (2 * draws), 0.5 / draws, 1 - 0.5 / draws))
    unit = off / np.where(largest > 0, largest, 1)
    acceleration = (unit**3).sum(axis=0) / (6 * np.maximum((unit**2).sum(axis=0), 1) ** 1.5)
    shifted = bias[:, None] + special.ndtri(tails)
    levels: Floats = special.ndtr(bias[:, None] + shifted / (1 - acceleration[:, None] * shifted))
    return levels


def _quantiles(rows: Floats, levels: Floats) -> Floats:
    """Quantiles of each row at its own levels (linear between order statistics), m × 2. The rows are rearranged."""
    last = rows.shape[1] - 1
    place = np.clip(levels, 0, 1) * last
    under = np.floor(place).astype(np.intp)
    over = np.minimum(under + 1, last)
    ends = np.empty_like(levels)
    for c, row in enumerate(rows):
        row.partition(np.unique([under[c], over[c]]))
        ends[c] = row[under[c]] + (place[c] - under[c]) * (row[over[c]] - row[under[c]])
    return ends


def _table(values: npt.ArrayLike) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2:
        raise ValueError(f"values must be units × statistics (got shape {table.shape}).")
    if not np.isfinite(table).all():
        raise ValueError("values must be finite (got NaN or infinity). Leave out the units without a value.")
    return table


def _check(draws: int, level: float) -> None:
    if draws < 1:
        raise ValueError(f"draws must be 1 or more (got {draws}).")
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1 (got {level:g}).")
