"""Tests of counts against a reference: one probe, one class, and all probes at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.gap import check, distance_variance, squared_distance
from audit.statistics.intervals import Floats

_TIES = 1e-9
"""Statistics of simulated counts within this relative distance of the observed one are equal to it."""


class Comparison(NamedTuple):
    """Counts of J probes beside what a model that matches its reference would show."""

    p_value: Floats
    """J p-values, one a probe; NaN without an image or a reference."""
    p_all: float
    """p-value of all probes together; NaN if none has 2 images and a reference."""
    floor: Floats
    """J mean total variation distances of a model that matches its reference, with as many images; NaN as above."""


def binomial(x: npt.ArrayLike, n: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """Exact two-sided binomial test: the probability of all counts that are no more probable than the one observed.

    Overlapping categories are tested so, one class against the rest, each with its own `p`.

    Args:
        x: counts of one class.
        n: images they are out of; broadcast with `x`.
        p: share of the class in the reference; NaN where it is unknown. Broadcast too.

    Returns:
        p-values in the broadcast shape; NaN where n = 0 or the reference is NaN.

    Raises:
        ValueError: if a count is negative or above n, or a share of the reference lies outside 0 … 1.
    """
    x_, n_, p_ = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (x, n, p)))
    if np.any((x_ < 0) | (x_ > n_)):
        raise ValueError("a count must be at least 0 and at most the images it is out of.")
    if np.any((p_ < 0) | (p_ > 1)):
        raise ValueError(f"a share of a reference lies between 0 and 1 (got {np.nanmin(p_):g} … {np.nanmax(p_):g}).")
    result = np.full(x_.shape, np.nan)
    tested = (n_ > 0) & ~np.isnan(p_)
    for images in np.unique(n_[tested]):
        here = tested & (n_ == images)
        result[here] = _binomial(x_[here].astype(np.int64), int(images), p_[here])
    return result


def chi_square(x: npt.ArrayLike, r: npt.ArrayLike) -> Floats:
    """Pearson's X² = Σ_c (x_c − n r_c)² / (n r_c) of each probe.

    A class that the reference excludes (r_c = 0) adds nothing if it does not occur and makes X² infinite if it does.

    Args:
        x: counts, J × k.
        r: reference shares, J × k (or k).

    Returns:
        J values; NaN for probes with no image or without a reference.

    Raises:
        ValueError: if the shapes do not fit, or the shares of a reference do not add up to 1.
    """
    counts, reference = check(x, r, whole=True)
    expected = counts.sum(axis=1, keepdims=True) * reference
    off = (counts - expected) ** 2
    cells = np.divide(off, expected, out=np.where(off > 0, np.inf, 0.0), where=expected > 0)
    usable = (counts.sum(axis=1) > 0) & ~np.isnan(reference).any(axis=1)
    return np.where(usable, cells.sum(axis=1), np.nan)


def compare_with_reference(
    x: npt.ArrayLike,
    r: npt.ArrayLike,
    *,
    ordered: bool = False,
    draws: int = 10_000,
    rngs: Sequence[np.random.Generator],
) -> Comparison:
    """Test each probe, and all of them together, against the reference.

    One probe: the exact binomial test for two classes, else X² against its own Monte-Carlo distribution, which holds
    for any number of images and any rare class. All probes: T = Σ_j U_j / sd_j, with U the unbiased squared distance
    (cumulated for ordered classes) and sd its standard deviation under the reference, against the sums of simulated
    probes. Monte-Carlo p-values are (1 + draws at least as large) / (1 + draws) (Davison & Hinkley 1997), so that
    they are never 0. A single count that the reference excludes makes T infinite.

    Args:
        x: counts, J × k.
        r: reference shares, J × k (or k); NaN for probes that the reference does not know.
        ordered: whether the classes are ordered (only T depends on it).
        draws: simulated sets of counts per probe.
        rngs: J generators of random numbers, one a probe (such as `rng.spawn(J)`): what comes out for one probe does
            not depend on the others, nor on the order of the classes.

    Returns:
        The p-values, and the noise floor of the total variation distance.

    Raises:
        ValueError: if the shapes do not fit, the shares of a reference do not add up to 1, `draws` is below 1, or
            there is not one generator a probe.
    """
    counts, reference = check(x, r, whole=True)
    probes, k = counts.shape
    if len(rngs) != probes:
        raise ValueError(f"each probe needs one generator of random numbers (got {len(rngs)} for {probes} probes).")
    if draws < 1:
        raise ValueError(f"draws must be 1 or more (got {draws}).")
    n = counts.sum(axis=1)
    sd = np.sqrt(distance_variance(reference, n, reference, ordered=ordered))
    distance = squared_distance(counts, reference, ordered=ordered)
    observed = chi_square(counts, reference)
    p_value = binomial(counts[:, 0], n, reference[:, 0]) if k == 2 else np.full(probes, np.nan)
    floor = np.full(probes, np.nan)
    together, simulated_together = 0.0, np.zeros(draws)
    for j, rng in enumerate(rngs):
        if np.isnan(observed[j]):
            continue
        simulated, own = _simulate(int(n[j]), reference[j], draws, rng)
        if k > 2:
            possible = own.chances > 0
            x2 = simulated[:, possible] ** 2 @ (1 / (n[j] * own.chances[possible])) - n[j]
            p_value[j] = _monte_carlo(observed[j], x2)
        floor[j] = np.abs(simulated - n[j] * own.chances).sum() / (2 * n[j] * draws)
        if n[j] < 2:
            continue
        if not np.isfinite(observed[j]):
            together = np.inf
        elif sd[j] > 0:
            together += distance[j] / sd[j]
            original = simulated[:, own.back]
            simulated_together += squared_distance(original, reference[j], ordered=ordered) / sd[j]
    tested = np.any((n > 1) & ~np.isnan(observed))
    return Comparison(p_value, _monte_carlo(together, simulated_together) if tested else float("nan"), floor)


class _Order(NamedTuple):
    chances: Floats
    """Reference shares in descending order."""
    back: npt.NDArray[np.intp]
    """Positions that put the simulated classes back into the order of the reference."""


def _simulate(n: int, r: Floats, draws: int, rng: np.random.Generator) -> tuple[Floats, _Order]:
    """Counts of `draws` simulated probes, classes in descending order of their reference share.

    Drawn in that order, so that the same counts come up however the classes are arranged.
    """
    descending = np.argsort(-r, kind="stable")
    chances = r[descending] / r[descending].sum()
    simulated = rng.multinomial(n, chances, size=draws).astype(np.float64)
    return simulated, _Order(chances, np.argsort(descending, kind="stable"))


def _monte_carlo(observed: float, simulated: Floats) -> float:
    scale = max(1.0, abs(observed)) if np.isfinite(observed) else 1.0
    return float((1 + np.count_nonzero(simulated >= observed - _TIES * scale)) / (1 + simulated.size))


def _binomial(x: npt.NDArray[np.int64], n: int, p: Floats) -> Floats:
    """The test for m counts out of the same n."""
    i = np.arange(n + 1)
    ways = special.gammaln(n + 1) - special.gammaln(i + 1) - special.gammaln(n - i + 1)
    log_chance = ways + special.xlogy(i, p[:, None]) + special.xlog1py(n - i, -p[:, None])
    seen = np.take_along_axis(log_chance, x[:, None], axis=1)
    no_more = log_chance <= seen + _TIES
    chance = np.where(no_more, np.exp(log_chance), 0.0).sum(axis=1)
    return np.where(np.isneginf(seen[:, 0]), 0.0, np.minimum(chance, 1.0))
