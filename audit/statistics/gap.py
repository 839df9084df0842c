"""The gap: how far distributions of classes lie from their references, 0 to 1, without a floor from small samples.

A plug-in distance of a model that matches its reference exactly is not 0: with 8 images a prompt |f − ½| is .137 on
average. The squared distance has an estimator without that bias, and the gap is built from it.

With y the vector a_c − Σ_c r_c a_c of an image of class c (a_c the unit vector of the class; for ordered classes its
cumulated form, 1 from position c on), the squared distance ‖E y‖² is the mean of y₁·y₂ over pairs of different images
(a U-statistic of order 2), and all that is needed of the vectors is the k × k matrix of their products.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.intervals import Floats, shares, whole_numbers


class Gap(NamedTuple):
    """The gap of one list of probes, or of the population that they stand for. All NaN where no probe can be used."""

    gap: float
    """Root of `squared`, clipped to 0 and 1."""
    low: float
    high: float
    squared: float
    """Mean of U_j / d²max_j, not clipped: its expectation is the true squared gap."""
    shared_tilt: float
    """Length of the mean tilt of all probes: the part of the gap that all of them share."""
    between: float
    """Variance of the tilt between probes, not clipped: squared = shared_tilt² + between where that is not clipped."""
    direction: int
    """Position of the class most over-represented on average; −1 where none is."""
    total_variation: float
    """Mean plug-in distance ½ Σ|p̂ − r|: this part of the images would have to change. It has a floor: see
    `significance.compare_with_reference`."""
    probes: int
    """Probes used: those with a reference and at least 2 labelled images."""
    images: int
    """Labelled images of these probes."""


def squared_distance(x: npt.ArrayLike, r: npt.ArrayLike, *, ordered: bool = False) -> Floats:
    """Squared distance of each probe from its reference, estimated without bias.

    U = Σ_c [x_c(x_c−1)/(n(n−1)) − 2 r_c x_c/n + r_c²], with E U = ‖p − r‖²; for ordered classes the same on cumulated
    shares. Single values may be negative: average before you clip.

    Args:
        x: counts, J × k.
        r: reference shares, J × k (or k, the same for all probes).
        ordered: whether the classes are ordered.

    Returns:
        J values; NaN for probes with fewer than 2 images or without a reference.

    Raises:
        ValueError: if the shapes do not fit, or the shares of a reference do not add up to 1.
    """
    counts, reference = check(x, r)
    axes = _axes(counts.shape[1], ordered)
    n = counts.sum(axis=1)
    total, centre = counts @ axes, reference @ axes
    lengths = counts @ (axes**2).sum(axis=1) - 2 * (total * centre).sum(axis=1) + n * (centre**2).sum(axis=1)
    pairs = ((total - n[:, None] * centre) ** 2).sum(axis=1) - lengths
    return np.where(n > 1, pairs / np.maximum(n * (n - 1), 1), np.nan)


def largest_squared_distance(r: npt.ArrayLike, *, ordered: bool = False) -> Floats:
    """Squared distance of the class that is farthest from the reference: what a gap of 1 means.

    d²max = 1 − 2 min r + Σ r²; for ordered classes the largest cumulated distance of any class.

    Args:
        r: reference shares, J × k (or k).
        ordered: whether the classes are ordered.

    Returns:
        J values; NaN where the reference is.

    Raises:
        ValueError: if the shares of a reference do not add up to 1.
    """
    reference = np.atleast_2d(np.asarray(r, dtype=np.float64))
    _check_reference(reference)
    largest: Floats = np.einsum("jaa->ja", products(reference, ordered)).max(axis=1)
    return largest


def distance_variance(p: npt.ArrayLike, n: npt.ArrayLike, r: npt.ArrayLike, *, ordered: bool = False) -> Floats:
    """Variance of `squared_distance` for n images drawn with shares p (exact; Hoeffding 1948).

    With μ and Σ the mean and covariance of one image's vector y: Var U = 4 μ'Σμ/n + 2 tr(Σ²)/(n(n−1)).

    Args:
        p: true shares, J × k.
        n: images, J.
        r: reference shares, J × k (or k).
        ordered: whether the classes are ordered.

    Returns:
        J variances; NaN where n < 2 or there is no reference.

    Raises:
        ValueError: if the shapes do not fit, or the shares of a reference do not add up to 1.
    """
    truth, reference = check(p, r)
    images = np.broadcast_to(np.asarray(n, dtype=np.float64), truth.shape[:1])
    kernel = products(reference, ordered)
    along = np.einsum("jab,jb->ja", kernel, truth)
    length = (truth * along).sum(axis=1)
    spread = (truth * along**2).sum(axis=1) - length**2
    centred = kernel - along[:, :, None] - along[:, None, :] + length[:, None, None]
    trace = np.einsum("ja,jab,jb->j", truth, centred**2, truth)
    usable = images > 1
    m = np.where(usable, images, 2.0)
    variance = 4 * np.maximum(spread, 0) / m + 2 * trace / (m * (m - 1))
    return np.where(usable, variance, np.nan)


def estimated_variance(x: npt.ArrayLike, r: npt.ArrayLike, *, ordered: bool = False) -> Floats:
    """Variance of `squared_distance`, estimated from the counts without bias.

    With y the vectors of different images: the means of (y₁·y₂)², (y₁·y₂)(y₁·y₃) and (y₁·y₂)(y₃·y₄) in the place of
    their expectations in 4 μ'Σμ/n + 2 tr(Σ²)/(n(n−1)). Single values may be negative: add up before you clip.

    Args:
        x: counts, J × k.
        r: reference shares, J × k (or k).
        ordered: whether the classes are ordered.

    Returns:
        J values; NaN for probes with fewer than 4 images or without a reference.

    Raises:
        ValueError: if the shapes do not fit, or the shares of a reference do not add up to 1.
    """
    counts, reference = check(x, r)
    n = counts.sum(axis=1)
    m = np.maximum(n, 4)
    kernel = products(reference, ordered)
    own = np.einsum("jaa->ja", kernel)
    others = np.einsum("jab,jb->ja", kernel, counts) - own
    squares = np.einsum("jab,jb->ja", kernel**2, counts) - own**2
    two = (counts * squares).sum(axis=1)
    three = (counts * (others**2 - squares)).sum(axis=1)
    four = (counts * others).sum(axis=1) ** 2 - 2 * two - 4 * three
    two, three, four = two / (m * (m - 1)), three / (m * (m - 1) * (m - 2)), four / (m * (m - 1) * (m - 2) * (m - 3))
    variance = 4 * (three - four) / m + 2 * (two - 2 * three + four) / (m * (m - 1))
    return np.where(n > 3, variance, np.nan)


def total_variation(x: npt.ArrayLike, r: npt.ArrayLike) -> Floats:
    """Plug-in total variation distance of each probe, ½ Σ_c |p̂_c − r_c|.

    The part of its images that would have to change to match the reference. Biased upwards in small samples.

    Args:
        x: counts, J × k.
        r: reference shares, J × k (or k).

    Returns:
        J values from 0 to 1; NaN for probes with no image or without a reference.

    Raises:
        ValueError: if the shapes do not fit, or the shares of a reference do not add up to 1.
    """
    counts, reference = check(x, r)
    distance: Floats = np.abs(shares(counts) - reference).sum(axis=1) / 2
    return distance


def gap_of_list(x: npt.ArrayLike, r: npt.ArrayLike, *, ordered: bool = False, level: float = 0.95) -> Gap:
    """Gap of these probes: G = sqrt(max(0, mean of U_j/d²max_j)), for a claim about this very list.

    0: every probe matches its reference; 1: every probe shows only the class farthest from it. The interval holds the
    sampling of images only: normal on the squared scale, then the root. Its variance is the larger of two sums over
    probes: of `distance_variance` at the shares (x + 1/k)/(n + 1), and of `estimated_variance`. The smoothing keeps a
    width where all images of a probe show one class; the plug-in 4 μ'Σμ/n overstates the variance near 0, so that the
    lower end of a model that matches its reference stays 0; far from 0 it is too small for 10 images a probe.

    Args:
        x: counts, J × k.
        r: reference shares, J × k (or k); NaN for probes that the reference does not know.
        ordered: whether the classes are ordered.
        level: confidence level.

    Returns:
        The gap. Probes with fewer than 2 images or without a reference are left out.

    Raises:
        ValueError: if the shapes do not fit, or the shares of a reference do not add up to 1.
    """
    parts = _parts(x, r, ordered)
    probes = parts.squared.size
    if probes == 0:
        return _no_gap()
    weights = np.full(probes, 1 / probes)
    half = _half_width(parts, weights, ordered, level)
    whole = parts.tilt.sum(axis=0)
    shared = float(whole @ whole - (parts.tilt**2).sum() + parts.squared.sum()) / probes**2
    return _gap(parts, weights, (half, half), shared)


def gap_of_population(
    x: npt.ArrayLike, r: npt.ArrayLike, subjects: npt.ArrayLike, *, ordered: bool = False, level: float = 0.95
) -> Gap:
    """Gap of probes such as these: the subject is the unit, its templates and languages are one cluster.

    The mean of U/d²max over the probes of each subject, then over subjects, with an interval by Student's t over the
    subjects' means on the squared scale. It holds the sampling of images and of subjects; intervals from images alone
    cover 43–47 % here. Squared distances are skewed, so the upper end is that of t corrected for skewness (Hall 1992)
    where it is higher; and no end is closer than that for the list. A kind of subject so rare that none was drawn
    cannot be in any interval: 10 subjects miss one in ten 35 % of the time. The shared tilt is that of products between
    different subjects.

    Args:
        x: counts, J × k.
        r: reference shares, J × k (or k); NaN for probes that the reference does not know.
        subjects: J names of subjects.
        ordered: whether the classes are ordered.
        level: confidence level.

    Returns:
        The gap. Probes with fewer than 2 images or without a reference are left out. With fewer than 2 subjects there
        is no interval (NaN) and no split.

    Raises:
        ValueError: if the shapes do not fit, or the shares of a reference do not add up to 1.
    """
    parts = _parts(x, r, ordered)
    if parts.squared.size == 0:
        return _no_gap()
    names = np.asarray(subjects)
    if names.shape != parts.used.shape:
        raise ValueError(f"each probe needs one subject (got {names.size} for {parts.used.size} probes).")
    _, member, size = np.unique(names[parts.used], return_inverse=True, return_counts=True)
    number = size.size
    weights = 1 / (number * size[member])
    shared = float("nan")
    halves = (shared, shared)
    if number > 1:
        means: Floats = np.bincount(member, parts.squared / size[member]).astype(np.float64)
        below, above = _students_t(means, level)
        least = _half_width(parts, weights, ordered, level)
        halves = (max(below, least), max(above, least))
        tilts = np.zeros((number, parts.tilt.shape[1]))
        np.add.at(tilts, member, parts.tilt / size[member][:, None])
        whole = tilts.sum(axis=0)
        shared = float(whole @ whole - (tilts**2).sum()) / (number * (number - 1))
    return _gap(parts, weights, halves, shared)


def check(x: npt.ArrayLike, r: npt.ArrayLike, *, whole: bool = False) -> tuple[Floats, Floats]:
    """Counts and references as J × k arrays, checked.

    Args:
        x: counts, J × k.
        r: reference shares, J × k, or k for all probes.
        whole: whether counts must be whole numbers.

    Returns:
        Both as arrays of one shape.

    Raises:
        ValueError: if there are fewer than 2 classes, a number is negative, or not whole where it must be, the shapes
            do not fit, or the shares of a reference do not add up to 1.
    """
    counts = np.asarray(x, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[1] < 2:
        raise ValueError(f"counts must be probes × classes, with 2 classes or more (got shape {counts.shape}).")
    if whole:
        whole_numbers(counts)
    elif counts.size and counts.min() < 0:
        raise ValueError(f"shares must be 0 or more (got {counts.min():g}).")
    given = np.asarray(r, dtype=np.float64)
    if given.shape not in (counts.shape, counts.shape[1:]):
        raise ValueError(f"references must fit counts of shape {counts.shape} (got shape {given.shape}).")
    reference = np.broadcast_to(given, counts.shape)
    _check_reference(reference)
    return counts, reference


class _Parts(NamedTuple):
    """What the used probes contribute."""

    used: npt.NDArray[np.bool_]
    counts: Floats
    reference: Floats
    largest: Floats
    squared: Floats
    """U / d²max."""
    tilt: Floats
    """(p̂ − r)/d_max as vectors, one row a probe. Their squared lengths are biased; `squared` is not."""


def _parts(x: npt.ArrayLike, r: npt.ArrayLike, ordered: bool) -> _Parts:
    counts, reference = check(x, r, whole=True)
    used = (counts.sum(axis=1) > 1) & ~np.isnan(reference).any(axis=1)
    counts, reference = counts[used], reference[used]
    if not used.any():
        return _Parts(used, counts, reference, np.empty(0), np.empty(0), np.empty((0, 0)))
    largest = largest_squared_distance(reference, ordered=ordered)
    squared = squared_distance(counts, reference, ordered=ordered) / largest
    tilt = (shares(counts) - reference) @ _axes(counts.shape[1], ordered) / np.sqrt(largest)[:, None]
    return _Parts(used, counts, reference, largest, squared, tilt)


def _half_width(parts: _Parts, weights: Floats, ordered: bool, level: float) -> float:
    """Half the width of the interval that holds the sampling of images, on the squared scale."""
    n, k = parts.counts.sum(axis=1), parts.counts.shape[1]
    smoothed = distance_variance((parts.counts + 1 / k) / (n + 1)[:, None], n, parts.reference, ordered=ordered)
    unbiased = estimated_variance(parts.counts, parts.reference, ordered=ordered)
    scale = (weights / parts.largest) ** 2
    variance = max(float(scale @ smoothed), float(scale @ np.where(n > 3, unbiased, smoothed)))
    return float(special.ndtri((1 + level) / 2) * np.sqrt(variance))


def _students_t(values: Floats, level: float) -> tuple[float, float]:
    """How far the ends of an interval by Student's t lie below and above the mean, the upper corrected for skewness.

    Hall (1992): with a the skewness over √S, t is replaced by 3/a·(1 − ∛(1 − a(t + a/6))), if that is more.
    """
    number = values.size
    error = float(values.std(ddof=1) / np.sqrt(number))
    t = float(special.stdtrit(number - 1, (1 + level) / 2))
    off = values - values.mean()
    spread = float((off**2).mean())
    a = float((off**3).mean() / spread**1.5 / np.sqrt(number)) if spread > 1e-24 else 0.0
    corrected = float(3 / a * (1 - np.cbrt(1 - a * (t + a / 6)))) if a > 1e-6 else t
    return t * error, max(t, corrected) * error


def _gap(parts: _Parts, weights: Floats, halves: tuple[float, float], shared: float) -> Gap:
    """The gap with weights that add up to 1, the widths of its interval to both sides and the squared shared tilt."""
    below, above = halves
    squared = float(weights @ parts.squared)
    over = weights @ (shares(parts.counts) - parts.reference)
    clipped = min(max(0.0, squared), 1.0)  # 1.0000000000000004 is rounding
    return Gap(
        gap=float(np.sqrt(clipped)),
        low=float(np.sqrt(max(0.0, min(squared, 1.0) - below))) if below == below else float("nan"),
        high=float(np.sqrt(min(1.0, clipped + above))) if above == above else float("nan"),
        squared=squared,
        shared_tilt=float(np.sqrt(min(max(0.0, shared), 1.0))) if shared == shared else float("nan"),
        between=squared - shared,
        direction=int(np.argmax(over)) if over.max() > 1e-12 else -1,
        total_variation=float(weights @ total_variation(parts.counts, parts.reference)),
        probes=int(parts.squared.size),
        images=int(parts.counts.sum()),
    )


def _no_gap() -> Gap:
    nan = float("nan")
    return Gap(nan, nan, nan, nan, nan, nan, -1, nan, 0, 0)


def _axes(k: int, ordered: bool) -> Floats:
    """Vectors a_c of the k classes as rows: unit vectors, or cumulated ones for ordered classes."""
    if not ordered:
        return np.eye(k)
    return (np.arange(k)[:, None] <= np.arange(k - 1)).astype(np.float64)


def products(reference: Floats, ordered: bool) -> Floats:
    """Products of the vectors a_c − Σ r_c a_c of all pairs of classes: all that squared distances need of the classes.

    Args:
        reference: reference shares, J × k.
        ordered: whether the classes are ordered.

    Returns:
        J × k × k.
    """
    axes = _axes(reference.shape[1], ordered)
    vectors = axes - (reference @ axes)[:, None, :]
    return vectors @ vectors.swapaxes(1, 2)


def _check_reference(reference: Floats) -> None:
    known = reference[~np.isnan(reference).any(axis=1)]
    if known.size and known.min() < 0:
        raise ValueError(f"shares of a reference must be 0 or more (got {known.min():g}).")
    off = np.abs(known.sum(axis=1) - 1)
    if off.size and off.max() > 1e-6:
        total = known.sum(axis=1)[off.argmax()]
        raise ValueError(f"shares of a reference must add up to 1 (got {total:.6g}). Give a share for every class.")
