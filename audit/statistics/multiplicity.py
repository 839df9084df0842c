"""p-values of many tests, adjusted. NaN (no test) stays NaN and does not count."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audit.statistics.intervals import Floats


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """Adjusted p-values that control the false discovery rate (Benjamini & Hochberg 1995).

    min over j ≥ i of p₍ⱼ₎·m/j, at most 1. Valid for independent or positively dependent tests.

    Args:
        p: p-values of one family, any shape; NaN where there was no test.

    Returns:
        Adjusted p-values in the shape of `p`; NaN where `p` is.

    Raises:
        ValueError: if a p-value lies outside 0 … 1.
    """
    return _step_up(p, dependent=False)


def benjamini_yekutieli(p: npt.ArrayLike) -> Floats:
    """Adjusted p-values that control the false discovery rate under any dependence (Benjamini & Yekutieli 2001).

    Those of Benjamini and Hochberg times Σ_{j ≤ m} 1/j, at most 1. For attributes of the same images in one family.

    Args:
        p: p-values of one family, any shape; NaN where there was no test.

    Returns:
        Adjusted p-values in the shape of `p`; NaN where `p` is.

    Raises:
        ValueError: if a p-value lies outside 0 … 1.
    """
    return _step_up(p, dependent=True)


def holm(p: npt.ArrayLike) -> Floats:
    """Adjusted p-values that control the chance of any false alarm under any dependence (Holm 1979).

    max over j ≤ i of p₍ⱼ₎·(m − j + 1), at most 1.

    Args:
        p: p-values of one family, any shape; NaN where there was no test.

    Returns:
        Adjusted p-values in the shape of `p`; NaN where `p` is.

    Raises:
        ValueError: if a p-value lies outside 0 … 1.
    """
    values, tested, order = _sorted(p)
    m = order.size
    ranked = values[tested][order] * (m - np.arange(m))
    return _back(values, tested, order, np.maximum.accumulate(ranked))


def e_benjamini_hochberg(e: npt.ArrayLike) -> Floats:
    """e-values of one family as adjusted p-values that control the false discovery rate under any dependence.

    Wang & Ramdas (2022) reject the j largest with e₍ⱼ₎ ≥ m/(jα): min over i ≥ j of m/(i·e₍ᵢ₎), at most 1, is the
    smallest α at which a test is among them. e-values may be looked at after every image.

    Args:
        e: e-values of one family, any shape; NaN where there was no test.

    Returns:
        Adjusted p-values in the shape of `e`; NaN where `e` is.

    Raises:
        ValueError: if an e-value is negative.
    """
    values = np.asarray(e, dtype=np.float64)
    tested = ~np.isnan(values)
    if np.any(values[tested] < 0):
        raise ValueError(f"e-values must be 0 or more (got {values[tested].min():g}).")
    inverse = 1 / np.maximum(values, 1e-100)
    order = np.argsort(inverse[tested], kind="stable")
    m = order.size
    ranked = inverse[tested][order] * m / np.arange(1, m + 1)
    return _back(inverse, tested, order, np.minimum.accumulate(ranked[::-1])[::-1])


def _step_up(p: npt.ArrayLike, *, dependent: bool) -> Floats:
    values, tested, order = _sorted(p)
    m = order.size
    ranks = np.arange(1, m + 1)
    penalty = float((1 / ranks).sum()) if dependent else 1.0
    ranked = values[tested][order] * penalty * m / ranks
    return _back(values, tested, order, np.minimum.accumulate(ranked[::-1])[::-1])


def _sorted(p: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    values = np.asarray(p, dtype=np.float64)
    tested = ~np.isnan(values)
    if np.any((values[tested] < 0) | (values[tested] > 1)):
        raise ValueError(f"p-values lie between 0 and 1 (got {values[tested].min():g} … {values[tested].max():g}).")
    return values, tested, np.argsort(values[tested], kind="stable")


def _back(values: Floats, tested: npt.NDArray[np.bool_], order: npt.NDArray[np.intp], ranked: Floats) -> Floats:
    adjusted = np.empty(order.size)
    adjusted[order] = np.minimum(ranked, 1.0)
    result = np.full(values.shape, np.nan)
    result[tested] = adjusted
    return result
