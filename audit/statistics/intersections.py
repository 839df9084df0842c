"""Several attributes of the same images: the cells (woman × 60–69), what their margins alone give, and what is left.

The cells are classes like any other: `intervals.simultaneous` and `gap.squared_distance` hold for the flattened counts.
Here is what separates the margins from the interaction. Joint counts are J × k₁ × k₂ (× k₃), images that have all the
attributes labelled.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audit.statistics.heterogeneity import at_least, random_tables, whole_counts
from audit.statistics.intervals import Floats

Ints = npt.NDArray[np.int64]


def expected(joint: npt.ArrayLike) -> Floats:
    """Shares of the cells if the attributes had nothing to do with each other: products of the margins.

    Args:
        joint: counts, J × k₁ × k₂ (× k₃).

    Returns:
        Shares of the same shape, each probe's adding up to 1; NaN for probes with no image.

    Raises:
        ValueError: if a count is not a whole number of 0 or more, or there are not 2 attributes or more.
    """
    counts = _joint(joint)
    n = counts.reshape(len(counts), -1).sum(axis=1).astype(np.float64)
    n = np.where(n > 0, n, np.nan).reshape(-1, *[1] * (counts.ndim - 1))
    product = np.ones_like(n)
    for axis in range(1, counts.ndim):
        others = tuple(a for a in range(1, counts.ndim) if a != axis)
        product = product * (counts.sum(axis=others, keepdims=True) / n)
    return product


def interaction(joint: npt.ArrayLike) -> Floats:
    """Squared distance of the cells of two attributes from the product of their margins, estimated without bias.

    The mean of Σ_ab (p_ab − p_a p_b)² from falling factorials of the counts; it is the Hilbert–Schmidt independence
    criterion of equality of classes (Song et al. 2012). 0 on average where the attributes are independent; single
    values may be negative: average before you clip.

    Args:
        joint: counts, J × k₁ × k₂.

    Returns:
        J values; NaN for probes with fewer than 4 images.

    Raises:
        ValueError: if a count is not a whole number of 0 or more, or there are not 2 attributes.
    """
    counts = whole_counts(joint, 3).astype(np.float64)
    n = counts.sum(axis=(1, 2))
    m = np.maximum(n, 4)
    first, second = counts.sum(axis=2), counts.sum(axis=1)
    same = (counts * (counts - 1)).sum(axis=(1, 2))
    either = (first * (first - 1)).sum(axis=1) * (second * (second - 1)).sum(axis=1)
    through = np.einsum("jab,ja,jb->j", counts, first - 1, second - 1)
    value = (same + either / ((m - 1) * (m - 2)) - 2 * through / (m - 2)) / (m * (m - 3))
    return np.where(n >= 4, value, np.nan)


def independence(joint: npt.ArrayLike, draws: int, rng: np.random.Generator, *, enough: int | None = None) -> Floats:
    """Test for each probe whether the attributes of its images are independent, given their margins.

    X² = Σ (x − e)²/e with e the product of the margins, against tables with the same margins as they arise by chance:
    it holds for any number of images and any empty cell. p is (1 + draws at least as large)/(1 + draws). For three
    attributes it is mutual independence.

    Args:
        joint: counts, J × k₁ × k₂ (× k₃).
        draws: simulated tables for each probe, at most.
        enough: tables at least as far from independence after which the test of a probe ends, with p = enough/draws so
            far (Besag & Clifford 1991); by default it never ends early.
        rng: source of random numbers; each probe gets a generator of its own.

    Returns:
        J p-values; NaN where fewer than two attributes of the probe vary.

    Raises:
        ValueError: if a count is not a whole number of 0 or more, there are not 2 attributes or more, or `draws` is
            below 1.
    """
    counts = _joint(joint)
    if draws < 1:
        raise ValueError(f"draws must be 1 or more (got {draws}).")
    return np.array(
        [_independence(table, draws, own, enough) for table, own in zip(counts, rng.spawn(len(counts)), strict=True)]
    )


def _independence(table: Ints, draws: int, rng: np.random.Generator, enough: int | None) -> float:
    margins = [table.sum(axis=tuple(a for a in range(table.ndim) if a != axis)) for axis in range(table.ndim)]
    used = [np.flatnonzero(margin) for margin in margins]
    varying = sorted((axis for axis in range(table.ndim) if used[axis].size > 1), key=lambda axis: -used[axis].size)
    if len(varying) < 2:
        return float("nan")
    constant = tuple(axis for axis in range(table.ndim) if axis not in varying)
    seen = table[np.ix_(*used)].squeeze(axis=constant) if constant else table[np.ix_(*used)]
    left = [axis for axis in range(table.ndim) if axis not in constant]
    seen = seen.transpose([left.index(axis) for axis in varying])
    sums = [margins[axis][used[axis]] for axis in varying]
    product = np.ones(1)
    for margin in sums:
        product = np.outer(product, margin / seen.sum()).ravel()
    one_over = 1 / (seen.sum() * product)
    observed = float(seen.ravel().astype(np.float64) ** 2 @ one_over)
    simulated = (_many_ways(tables, sums[2:], rng) for tables in random_tables(sums[0], sums[1], draws, rng, enough))
    return at_least(observed, (tables.astype(np.float64) ** 2 @ one_over for tables in simulated), draws, enough)


def _many_ways(tables: Ints, more: list[Ints], rng: np.random.Generator) -> Ints:
    """Tables of two attributes, flattened, with the labels of further attributes dealt to their images at random."""
    groups = tables.reshape(len(tables), -1)
    for margin in more:
        groups = _deal(groups, margin, rng).reshape(len(tables), -1)
    return groups


def _deal(groups: Ints, margin: Ints, rng: np.random.Generator) -> Ints:
    """Deal labels of k classes, `margin` of each, to the images of R groups: D × R → D × R × k."""
    dealt = np.zeros((*groups.shape, margin.size), dtype=np.int64)
    left = groups.copy()
    for c in range(margin.size - 1):
        after = left.sum(axis=1)
        wanted = np.full(len(groups), margin[c])
        for g in range(groups.shape[1]):
            after = after - left[:, g]
            dealt[:, g, c] = rng.hypergeometric(left[:, g], after, wanted)
            wanted = wanted - dealt[:, g, c]
        left -= dealt[:, :, c]
    dealt[:, :, -1] = left
    return dealt


def _joint(joint: npt.ArrayLike) -> Ints:
    given = np.asarray(joint)
    if given.ndim < 3:
        raise ValueError(f"joint counts must be probes × 2 attributes or more (got shape {given.shape}).")
    return whole_counts(given, given.ndim)
