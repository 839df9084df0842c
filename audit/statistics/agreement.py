"""Whether raters, people or classifiers, see the same: what no agreement supports cannot be measured.

Labels are a matrix raters × images of class numbers 0 … k−1, with −1 where a rater gave no class.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.intervals import Floats
from audit.statistics.noise import Estimate, counts

Classes = npt.NDArray[np.int64]

USABLE, TENTATIVE = 0.80, 0.67
"""From which α labels are usable, and from which conclusions are tentative (Krippendorff 2004)."""


class Alpha(NamedTuple):
    """Krippendorff's α of raters."""

    value: float
    low: float
    high: float
    images: int
    """Images with two labels or more."""


class DawidSkene(NamedTuple):
    """What raters would have to be like for their labels to be most likely."""

    shares: Floats
    """k shares of the latent classes."""
    errors: Floats
    """raters × k × k: P(rater says c | latent class y); NaN rows where a rater has no label."""
    classes: Floats
    """images × k: probability of each latent class."""


def krippendorff(
    labels: npt.ArrayLike,
    k: int,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    rng: np.random.Generator,
) -> Alpha:
    """Nominal α = 1 − D_o/D_e of raters with missing labels (Krippendorff 2004), its interval by resampling images.

    With n_uc the raters that give image u class c, m_u their number and n_c, n the totals over images with m_u ≥ 2:
    D_o = Σ_u (m_u² − Σ_c n_uc²)/(n (m_u − 1)), D_e = (n² − Σ_c n_c²)/(n (n − 1)). 1: all agree; 0: as by chance.
    The interval holds the middle quantiles of α over images drawn with replacement.

    Args:
        labels: raters × images, class numbers, −1 where missing.
        k: number of classes.
        level: confidence level.
        resamples: how often the images are drawn.
        rng: random numbers.

    Returns:
        α and its interval; NaN where all labels are of one class: nothing shows that raters tell classes apart.

    Raises:
        ValueError: if there are fewer than 2 raters, they have no image in common, or a label is no class.
    """
    given = _labels(labels, k)
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1 (got {level:g}).")
    counted = (given[:, :, None] == np.arange(k)).sum(axis=0).astype(np.float64)
    counted = counted[counted.sum(axis=1) >= 2]
    if len(counted) == 0:
        raise ValueError(
            f"raters have no image in common ({given.shape[0]} raters, {given.shape[1]} images, none with two labels). "
            "Have some images labelled by two raters."
        )
    value = float(_alpha(np.ones((1, len(counted))), counted)[0])
    if value != value:
        return Alpha(value, value, value, len(counted))
    drawn = rng.multinomial(len(counted), np.full(len(counted), 1 / len(counted)), size=resamples)
    spread = _alpha(drawn.astype(np.float64), counted)
    low, high = np.nanquantile(spread, [(1 - level) / 2, (1 + level) / 2])
    return Alpha(value, min(float(low), value), max(float(high), value), len(counted))


def reading(alpha: float) -> str:
    """What an α allows: `usable` from .80, `tentative` from .67, else `not_measurable` (Krippendorff 2004).

    Args:
        alpha: α, or NaN.

    Returns:
        One of the three words; NaN is not measurable.
    """
    if alpha >= USABLE:
        return "usable"
    return "tentative" if alpha >= TENTATIVE else "not_measurable"


def compare_labels(a: npt.ArrayLike, b: npt.ArrayLike, k: int) -> Classes:
    """How often one rater says a class and another says a class, for the images that both gave one.

    Args:
        a: class numbers of the images by the first rater, −1 where missing.
        b: the same by the second.
        k: number of classes.

    Returns:
        k × k counts, rows the first rater's classes.

    Raises:
        ValueError: if the numbers of images differ or a label is no class.
    """
    first, second = np.asarray(a), np.asarray(b)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"both raters need a label, or −1, for every image (got {first.shape} and {second.shape}).")
    given = _labels(np.stack([first, second]), k)
    both = (given >= 0).all(axis=0)
    table = np.zeros((k, k), dtype=np.int64)
    np.add.at(table, (given[0, both], given[1, both]), 1)
    return table


def percent_agreement(confusion: npt.ArrayLike) -> float:
    """Part of the images to which two raters give the same class.

    Args:
        confusion: k × k counts.

    Returns:
        The part; NaN without an image.

    Raises:
        ValueError: if the table is not square or a count is negative.
    """
    table = _confusion(confusion)
    return float(np.trace(table) / table.sum()) if table.sum() else float("nan")


def cohen_kappa(confusion: npt.ArrayLike, level: float = 0.95) -> Estimate:
    """Cohen's κ = (p_o − p_e)/(1 − p_e) of two raters (Cohen 1960), normal interval (Fleiss, Cohen & Everitt 1969).

    Args:
        confusion: k × k counts, rows the first rater's classes.
        level: confidence level.

    Returns:
        κ and its interval, clipped to −1 … 1, as arrays of no dimension; NaN without an image, or if both raters gave
        all images one and the same class.

    Raises:
        ValueError: if the table is not square, a count is negative, or the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1 (got {level:g}).")
    table = _confusion(confusion)
    total = table.sum()
    nan = np.array(np.nan)
    if total == 0:
        return Estimate(nan, nan, nan)
    p = table / total
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, expected = float(np.trace(p)), float(rows @ columns)
    if expected > 1 - 1e-12:
        return Estimate(nan, nan, nan)
    kappa = (observed - expected) / (1 - expected)
    diagonal = (np.diag(p) * (1 - (rows + columns) * (1 - kappa)) ** 2).sum()
    cells = p * (columns[:, None] + rows[None, :]) ** 2
    off = (1 - kappa) ** 2 * (cells.sum() - np.trace(cells))
    variance = (diagonal + off - (kappa - expected * (1 - kappa)) ** 2) / (total * (1 - expected) ** 2)
    half = special.ndtri((1 + level) / 2) * np.sqrt(max(variance, 0.0))
    return Estimate(np.array(kappa), np.array(max(-1.0, kappa - half)), np.array(min(1.0, kappa + half)))


def dawid_skene(labels: npt.ArrayLike, k: int, *, steps: int = 500) -> DawidSkene:
    """Latent classes and each rater's error matrix by EM from the majority (Dawid & Skene 1979).

    A sensitivity check beside the labels as given: it trusts raters that agree with the others, and assumes that their
    errors are independent given the latent class.

    Args:
        labels: raters × images, class numbers, −1 where missing.
        k: number of classes.
        steps: EM steps at most.

    Returns:
        Shares, error matrices and probabilities. Images without a label are as likely as the shares say.

    Raises:
        ValueError: if there are fewer than 2 raters, there is no label, or a label is no class.
    """
    given = _labels(labels, k)
    said = (given[:, :, None] == np.arange(k)).astype(np.float64)
    votes = said.sum(axis=0)
    if not votes.any():
        raise ValueError("there is no label among the raters' labels.")
    total = votes.sum(axis=1, keepdims=True)
    classes = np.where(total > 0, votes / np.maximum(total, 1), 1 / k)
    shares, errors = _maximised(classes, said)
    for _ in range(steps):
        with np.errstate(divide="ignore"):
            scores = np.log(shares) + np.einsum("ruc,ryc->uy", said, np.log(np.maximum(errors, 1e-300)))
        updated = np.exp(scores - special.logsumexp(scores, axis=1, keepdims=True))
        change = np.abs(updated - classes).max()
        classes = updated
        shares, errors = _maximised(classes, said)
        if change < 1e-10:
            break
    silent = errors.sum(axis=2, keepdims=True) == 0
    return DawidSkene(shares, np.where(silent, np.nan, errors), classes)


def _alpha(weights: Floats, counted: Floats) -> Floats:
    """α with images counted so many times, resamples × images; NaN where all labels are of one class."""
    raters = counted.sum(axis=1)
    differing = (raters**2 - (counted**2).sum(axis=1)) / (raters - 1)
    totals = weights @ counted
    labels = totals.sum(axis=1)
    observed = weights @ differing
    expected = (labels**2 - (totals**2).sum(axis=1)) / (labels - 1)
    known = expected > 0
    return np.where(known, 1 - observed / np.where(known, expected, 1.0), np.nan)


def _maximised(classes: Floats, said: Floats) -> tuple[Floats, Floats]:
    joint = np.einsum("uy,ruc->ryc", classes, said)
    size = joint.sum(axis=2, keepdims=True)
    errors: Floats = joint / np.where(size > 0, size, 1.0)
    shares: Floats = classes.mean(axis=0)
    return shares, errors


def _labels(labels: npt.ArrayLike, k: int) -> Classes:
    given = np.asarray(labels)
    if k < 2:
        raise ValueError(f"agreement needs 2 classes or more (got {k}).")
    if given.ndim != 2 or given.shape[0] < 2:
        raise ValueError(f"agreement needs 2 raters or more, as raters × images (got shape {given.shape}).")
    if given.size and not (given == np.round(given)).all():
        raise ValueError("labels must be class numbers, −1 where missing (got a fraction or NaN).")
    if given.size and not (given.min() >= -1 and given.max() < k):
        strange = given.min() if given.min() < -1 else given.max()
        raise ValueError(f"labels must be class numbers 0 to {k - 1}, or −1 where missing (got {strange}).")
    return given.astype(np.int64)


def _confusion(confusion: npt.ArrayLike) -> Floats:
    table = counts(confusion, whole=False)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"two raters' classes make a square table (got shape {table.shape}).")
    return table
