"""Do prompts differ from each other? One test for all, and how strongly, corrected for chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from audit.statistics.intervals import Floats

_BLOCK = 2_000_000
"""Cells simulated at once, so that the memory needed does not grow with the number of draws."""


class Heterogeneity(NamedTuple):
    """How the shares of J probes differ from each other. All NaN with fewer than 2 probes or 2 classes that occur."""

    chi_square: float
    """Pearson's X² of the table of probes × classes against equal shares."""
    p_value: float
    cramers_v: float
    """From 0, all probes alike, to 1, each shows one class only; 0 on average (before clipping) if they are alike."""
    probes: int
    """Probes with a labelled image."""
    images: int


def prompts_differ(x: npt.ArrayLike, draws: int, rng: np.random.Generator) -> Heterogeneity:
    """Test whether all probes share one distribution of classes, and measure how far they do not.

    X² = Σ (x_jc − e_jc)²/e_jc with e_jc = n_j·x_c/N, against its distribution over tables with the same margins
    (Patefield 1981): it holds for any number of images and any rare class. p is (1 + draws at least as large)/(1 +
    draws). The size of the effect is Cramér's V corrected for its bias (Bergsma 2013): with
    φ̃² = max(0, X²/N − (J−1)(k−1)/(N−1)) and m̃ = m − (m−1)²/(N−1) for m = J and k, V = sqrt(φ̃²/(min(J̃, k̃) − 1)).

    Args:
        x: counts, J × k. Probes without images and classes that never occur are left out.
        draws: simulated tables.
        rng: source of random numbers.

    Returns:
        The figures.

    Raises:
        ValueError: if a count is not a whole number of 0 or more, the shape is wrong, or `draws` is below 1.
    """
    counts = whole_counts(x, 2)
    if draws < 1:
        raise ValueError(f"draws must be 1 or more (got {draws}).")
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    probes, images = counts.shape[0], int(counts.sum())
    if min(counts.shape) < 2:
        return Heterogeneity(float("nan"), float("nan"), float("nan"), probes, images)
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    observed = float(_chi_square(counts[None], rows, columns)[0])
    simulated = (_chi_square(tables, rows, columns) for tables in random_tables(rows, columns, draws, rng))
    p_value = at_least(observed, simulated, draws)
    return Heterogeneity(observed, p_value, cramers_v(observed, counts.shape, images), probes, images)


def cramers_v(chi_square: float, shape: tuple[int, ...], images: int) -> float:
    """Cramér's V corrected for its bias (Bergsma 2013).

    Args:
        chi_square: Pearson's X² of the table.
        shape: its rows and columns, those that occur.
        images: what it adds up to.

    Returns:
        0 … 1; NaN where the table is too small for the correction.
    """
    rows, columns = shape
    if images < 2:
        return float("nan")
    off = max(0.0, chi_square / images - (rows - 1) * (columns - 1) / (images - 1))
    least = min(m - (m - 1) ** 2 / (images - 1) for m in (rows, columns))
    return float(np.sqrt(min(1.0, off / (least - 1)))) if least > 1 else float("nan")


def at_least(observed: float, simulated: Iterable[Floats], draws: int, enough: int | None = None) -> float:
    """Monte-Carlo p-value (1 + values at least as large)/(1 + draws) (Davison & Hinkley 1997).

    With `enough` = h it stops at the h-th value at least as large, at draw l, and gives h/l (Besag & Clifford 1991): as
    valid, and where there is nothing to find a few draws do.

    Args:
        observed: the statistic.
        simulated: blocks of simulated ones, `draws` in all; those within 1e-9 (relatively) of the observed are equal.
        draws: how many there are.
        enough: values at least as large after which the answer is clear; by default all draws are used.

    Returns:
        The p-value, never 0.
    """
    least = observed - 1e-9 * max(1.0, abs(observed))
    seen = before = 0
    for block in simulated:
        large = np.flatnonzero(block >= least)
        if enough is not None and seen + large.size >= enough:
            return enough / (before + int(large[enough - seen - 1]) + 1)
        seen += large.size
        before += block.size
    return (1 + seen) / (1 + draws)


def whole_counts(x: npt.ArrayLike, dimensions: int) -> npt.NDArray[np.int64]:
    """Counts as whole numbers, checked.

    Args:
        x: counts.
        dimensions: number of axes that they must have.

    Returns:
        The counts.

    Raises:
        ValueError: if the number of axes is wrong, or a count is no whole number of 0 or more.
    """
    given = np.asarray(x, dtype=np.float64)
    if given.ndim != dimensions:
        raise ValueError(f"counts must have {dimensions} axes, the first for probes (got shape {given.shape}).")
    wrong = ~((given >= 0) & (given == np.floor(given)) & np.isfinite(given))
    if wrong.any():
        raise ValueError(f"counts must be whole numbers of 0 or more (got {given[wrong][0]:g}). Count each image once.")
    return given.astype(np.int64)


def _chi_square(tables: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Floats:
    """X² of tables with these margins: N·(Σ x²/(n_j n_c) − 1)."""
    squares = tables.reshape(len(tables), -1).astype(np.float64) ** 2
    chi_square: Floats = rows.sum() * (squares @ (1 / np.outer(rows, columns)).ravel() - 1)
    return chi_square


def random_tables(
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    draws: int,
    rng: np.random.Generator,
    first: int | None = None,
) -> Iterator[npt.NDArray[np.int64]]:
    """Tables with these margins as they arise where rows and columns are independent, in blocks.

    Args:
        rows: sums of the rows.
        columns: sums of the columns.
        draws: tables.
        rng: source of random numbers.
        first: size of the first block, which then doubles; by default blocks are as large as memory allows.

    Yields:
        Blocks of tables, so that the memory needed does not grow with `draws`.
    """
    most = max(1, _BLOCK // (rows.size * columns.size))
    block, made = min(first or most, most), 0
    while made < draws:
        size = min(block, draws - made)
        yield np.asarray(stats.random_table(rows, columns).rvs(size=size, random_state=rng), dtype=np.int64)
        made, block = made + size, min(2 * block, most)
