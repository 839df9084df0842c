"""How much the gap changed between two runs of the same probes: what the gate tests.

Everything is on the squared scale, where the estimate has no bias. Equal seeds pair the images of the two runs; the
covariance of pairs makes the change more precise than either gap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audit.statistics.gap import check, largest_squared_distance, products, squared_distance
from audit.statistics.intervals import Floats

FEWEST = 4
"""Images that a probe needs in each run: a variance without bias takes four different ones."""


class GapChange(NamedTuple):
    """Squared gaps of lists of probes in two runs. Arrays, one number a list; NaN where no probe can be used."""

    squared: Floats
    """D = G²new − G²old, not clipped: its expectation is the true difference."""
    error: Floats
    """Standard error of D."""
    total: Floats
    """S = G²new + G²old, not clipped."""
    total_error: Floats
    """Standard error of S."""
    old: Floats
    """G²old, not clipped."""
    new: Floats
    """G²new, not clipped."""
    quick: Floats
    """The part of the variance of D that falls with the square of the number of images."""
    total_quick: Floats
    """The same for S."""
    probes: npt.NDArray[np.int64]
    """Probes used: those with a reference and at least 4 labelled images in each run."""
    images: Floats
    """Mean number of labelled images a probe and run."""


class _Parts(NamedTuple):
    """What each probe contributes, J numbers each."""

    used: npt.NDArray[np.bool_]
    old: Floats
    new: Floats
    variance: Floats
    """Of the difference, without bias, not clipped."""
    total_variance: Floats
    quick: Floats
    total_quick: Floats
    one: Floats
    """Square of what one image of another class would change."""
    equal: npt.NDArray[np.bool_]
    """Whether all images are paired and every pair agrees."""
    images: Floats


def gap_change(
    x_new: npt.ArrayLike,
    x_old: npt.ArrayLike,
    r: npt.ArrayLike,
    *,
    paired: npt.ArrayLike | None = None,
    ordered: bool = False,
    lists: int = 1,
    same: bool = False,
) -> GapChange:
    """Change of the squared gap of a list of probes, D = mean of (U_new − U_old)/d²max, with its standard error.

    The claim is about this very list: errors hold the sampling of images. Cov(U_old, U_new) of a probe is estimated as
    U_old·U_new minus the mean of h(i, j)·h(l, m) over pairs i, j of old and l, m of new images that share no seed,
    where h is the product of two images' vectors: exactly without bias (Hoeffding 1948). The variance of D is that of
    U_old plus that of U_new less twice the covariance, never below its part that falls with n², plus the square of
    what one image of another class would change: probes that show one class only keep a width.

    Where all images are paired and every pair agrees, the error is 0 if both runs asked the same model. Few images of
    different models can agree by chance: they keep the width of one image.

    Args:
        x_new: counts of the new run, J × k.
        x_old: counts of the old run, J × k.
        r: reference shares, J × k (or k); NaN for probes that the reference does not know.
        paired: tables of pairs with equal seeds that both runs labelled, J × k (old) × k (new); None without pairs.
        ordered: whether the classes are ordered.
        lists: lists of equal length that the probes make up, one after the other.
        same: whether both runs asked the same model for the same images.

    Returns:
        The change of each list. Probes with fewer than 4 images in a run or without a reference are left out.

    Raises:
        ValueError: if the shapes do not fit, a table has more pairs than images, the shares of a reference do not add
            up to 1, or the probes do not make up so many lists.
    """
    parts = _parts(x_new, x_old, r, paired, ordered)
    if lists < 1 or parts.used.size % lists:
        raise ValueError(f"{parts.used.size} probes do not make up {lists} lists of equal length. Give all of them.")

    def added(values: Floats) -> Floats:
        summed: Floats = np.where(parts.used, values, 0.0).reshape(lists, -1).sum(axis=1)
        return summed

    probes = added(np.ones(parts.used.size))
    m = np.where(probes > 0, probes, np.nan)
    old, new = added(parts.old) / m, added(parts.new) / m
    moved = (added((~parts.equal).astype(np.float64)) > 0) | (not same)
    quick, total_quick = added(parts.quick) / m**2, added(parts.total_quick) / m**2
    one = added(parts.one) / m**3
    variance = np.where(moved, np.maximum(added(parts.variance) / m**2, quick) + one, 0.0 * m)
    total_variance = np.maximum(added(parts.total_variance) / m**2, total_quick) + one
    return GapChange(
        squared=new - old,
        error=np.sqrt(variance),
        total=new + old,
        total_error=np.sqrt(total_variance),
        old=old,
        new=new,
        quick=quick,
        total_quick=total_quick,
        probes=probes.astype(np.int64),
        images=added(parts.images) / m,
    )


def _parts(
    x_new: npt.ArrayLike, x_old: npt.ArrayLike, r: npt.ArrayLike, paired: npt.ArrayLike | None, ordered: bool
) -> _Parts:
    new, reference = check(x_new, r)
    old, _ = check(x_old, r)
    if new.shape != old.shape:
        raise ValueError(f"both runs need counts of the same probes (got shapes {new.shape} and {old.shape}).")
    pairs = _pairs(paired, old, new)
    n_old, n_new, m = old.sum(axis=1), new.sum(axis=1), pairs.sum(axis=(1, 2))
    used = (n_old >= FEWEST) & (n_new >= FEWEST) & ~np.isnan(reference).any(axis=1)
    some = np.full(old.shape[1], 1 / old.shape[1])
    reference = np.where(used[:, None], reference, some)
    largest = largest_squared_distance(reference, ordered=ordered)
    kernel = products(reference, ordered) / largest[:, None, None]
    own_old, own_new = _diagonal(old), _diagonal(new)
    with np.errstate(divide="ignore", invalid="ignore"):
        var = _covariance(own_old, old, old, kernel) + _covariance(own_new, new, new, kernel)
        cov = _covariance(pairs, old, new, kernel)
        quick = _quick(own_old, n_old, n_old, kernel) + _quick(own_new, n_new, n_new, kernel)
        quick_cov = _quick(pairs, n_old, n_new, kernel)
        one = _one_image(new, kernel) + np.where(m > 0, 0.0, _one_image(old, kernel))
    return _Parts(
        used=used,
        old=squared_distance(old, reference, ordered=ordered) / largest,
        new=squared_distance(new, reference, ordered=ordered) / largest,
        variance=var - 2 * cov,
        total_variance=var + 2 * cov,
        quick=quick - 2 * quick_cov,
        total_quick=quick + 2 * quick_cov,
        one=one,
        equal=~used | ((np.einsum("jaa->j", pairs) == n_old) & (n_old == n_new)),
        images=(n_old + n_new) / 2,
    )


def _pairs(paired: npt.ArrayLike | None, old: Floats, new: Floats) -> Floats:
    probes, k = old.shape
    if paired is None:
        return np.zeros((probes, k, k))
    pairs = np.asarray(paired, dtype=np.float64)
    if pairs.shape != (probes, k, k):
        raise ValueError(f"tables of pairs must be probes × old × new classes {(probes, k, k)} (got {pairs.shape}).")
    if pairs.size and pairs.min() < 0:
        raise ValueError(f"pairs must be 0 or more (got {pairs.min():g}).")
    if np.any(pairs.sum(axis=2) > old) or np.any(pairs.sum(axis=1) > new):
        raise ValueError("a table has more pairs of a class than a run has images of it. Count each pair once.")
    return pairs


def _diagonal(counts: Floats) -> Floats:
    """Each image paired with itself."""
    return counts[:, :, None] * np.eye(counts.shape[1])


def _covariance(pairs: Floats, old: Floats, new: Floats, kernel: Floats) -> Floats:
    """Covariance of the squared distances of two sets of images of which some are paired, without bias."""
    own = np.einsum("jaa->ja", kernel)
    along_old = np.einsum("jab,jb->ja", kernel, old) - own
    along_new = np.einsum("jab,jb->ja", kernel, new) - own
    together = (old * along_old).sum(axis=1) * (new * along_new).sum(axis=1)
    shared = np.einsum("jab,ja,jb->j", pairs, along_old, along_new)
    both = (pairs.swapaxes(1, 2) @ kernel @ pairs * kernel).sum(axis=(1, 2)) - np.einsum(
        "jab,ja,jb->j", pairs, own, own
    )
    n, n_, m = old.sum(axis=1), new.sum(axis=1), pairs.sum(axis=(1, 2))
    every = n * (n - 1) * n_ * (n_ - 1)
    apart = every - 4 * m * (n - 1) * (n_ - 1) + 2 * m * (m - 1)
    covariance: Floats = together / every - (together - 4 * shared + 2 * both) / apart
    return covariance


def _quick(pairs: Floats, n: Floats, n_: Floats, kernel: Floats) -> Floats:
    """The part 2 tr(ΣΣ')·m(m−1)/(n(n−1)n'(n'−1)) of a covariance, with Σ of the m pairs."""
    m = pairs.sum(axis=(1, 2))
    part = pairs / np.maximum(m, 1)[:, None, None]
    centred = [_centred(kernel, part.sum(axis=axis)) for axis in (2, 1)]
    trace = (part.swapaxes(1, 2) @ centred[0] @ part * centred[1]).sum(axis=(1, 2)) * (m / np.maximum(m - 1, 1)) ** 2
    quick: Floats = 2 * trace * m * (m - 1) / (n * (n - 1) * n_ * (n_ - 1))
    return quick


def _centred(kernel: Floats, part: Floats) -> Floats:
    """The kernel of vectors from which their mean is taken."""
    along = np.einsum("jab,jb->ja", kernel, part)
    length = (part * along).sum(axis=1)
    centred: Floats = kernel - along[:, :, None] - along[:, None, :] + length[:, None, None]
    return centred


def _one_image(counts: Floats, kernel: Floats) -> Floats:
    n = counts.sum(axis=1)
    along = np.einsum("jab,jb->ja", kernel, counts) / n[:, None]
    one: Floats = (2 * np.ptp(along, axis=1) / n) ** 2
    return one
