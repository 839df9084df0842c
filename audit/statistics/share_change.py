"""Has a share worsened by δ or more over a list of prompts: the share of lost images, or of a class? For the gate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.difference import difference_paired, difference_unpaired, mean_difference
from audit.statistics.noninferiority import (
    INCONCLUSIVE,
    POWER,
    Decision,
    fewest,
    quantile,
    undecided,
    verdict_of,
)


def decide_share_change(
    x_new: npt.ArrayLike,
    n_new: npt.ArrayLike,
    x_old: npt.ArrayLike,
    n_old: npt.ArrayLike,
    *,
    paired: npt.ArrayLike | None = None,
    same: bool = False,
    delta: float = 0.05,
    alpha: float = 0.05,
) -> Decision:
    """Whether the mean share of a list of prompts rose: against δ to pass, against 0 to fail.

    The mean over prompts of p̂_new − p̂_old with the ends of `difference.mean_difference` at one-sided level 1 − α: score
    intervals of each prompt (Miettinen & Nurminen 1985), or those of pairs (Bonett & Price 2012). Where all images are
    paired and no pair differs, the difference is 0 and certain if both runs asked the same model. Of different models
    the bound is exact: with m pairs a prompt and J prompts, a mean rise q leaves no pair that differs in at most
    (1 − q)^(J·m) of the cases (Jensen's inequality), so that q is at most 1 − α^(1/(J·m)).

    Args:
        x_new: counts of the new run, J.
        n_new: images they are out of; prompts without an image in a run are left out.
        x_old: counts of the old run.
        n_old: images they are out of.
        paired: J × 2 × 2 tables of pairs, old (not, with) × new (not, with); None without pairs.
        same: whether both runs asked the same model for the same images.
        delta: rise that is tolerated.
        alpha: chance of a wrong pass at a rise of δ, and of a false alarm without one.

    Returns:
        The decision; `worsening` is the mean difference. Inconclusive, with NaN, where no prompt can be used.

    Raises:
        ValueError: if δ is not above 0, `alpha` is not between 0 and ½, or a count is negative or above n.
    """
    z = quantile(alpha)
    if not delta > 0:
        raise ValueError(
            f"the tolerated worsening must be above 0 (got {delta:g}). Give .05 to let a share rise by .05."
        )
    new, n, old, n_ = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(each, dtype=np.float64)) for each in (x_new, n_new, x_old, n_old))
    )
    used = (n > 0) & (n_ > 0)
    if not used.any():
        return undecided()
    difference = np.where(used, new / np.where(used, n, 1) - old / np.where(used, n_, 1), np.nan)
    level = 1 - 2 * alpha
    if paired is None:
        ends = difference_unpaired(new, n, old, n_, level)
    else:
        pairs = np.asarray(paired, dtype=np.float64)
        if pairs.shape != (used.size, 2, 2):
            raise ValueError(f"tables of pairs must be prompts × 2 × 2 {(used.size, 2, 2)} (got {pairs.shape}).")
        if not (pairs[:, 0, 1] + pairs[:, 1, 0]).any() and np.array_equal(pairs.sum(axis=(1, 2)), n):
            return _none_differs(int(used.sum()), float(n[used].min()), same, delta, alpha)
        ends = difference_paired(pairs[:, 1, 1], pairs[:, 0, 1], pairs[:, 1, 0], pairs[:, 0, 0], level)
    mean, whole = mean_difference(difference, ends)
    low, high = float(whole.low), float(whole.high)
    p_value = float(special.ndtr(-z * mean / (mean - low))) if mean > low else 1.0
    verdict = verdict_of(high < delta, p_value <= alpha)
    needed = None
    if verdict == INCONCLUSIVE:
        needed = _needed(mean, low, high, float(n[used].mean()), delta, z)
    return Decision(verdict, mean, low, high, p_value, needed)


def _none_differs(prompts: int, images: float, same: bool, delta: float, alpha: float) -> Decision:
    """All pairs agree: `images` of a prompt, of some prompts."""
    bound = 0.0 if same else 1 - alpha ** (1 / (prompts * images))
    needed = None if bound < delta else int(np.log(alpha) / np.log1p(-delta) / prompts) + 1
    return Decision(verdict_of(bound < delta, False), 0.0, -bound, bound, 1.0, needed)


def _needed(mean: float, low: float, high: float, images: float, delta: float, z: float) -> int | None:
    """Images a prompt and run that decide with a chance of 80 % if the estimate is true: widths fall with √n."""
    sure = 1 + quantile(1 - POWER) / z
    below, above = (mean - low) * sure, (high - mean) * sure

    def decides(f: float) -> bool:
        return bool(mean + above / np.sqrt(f) < delta or mean - below / np.sqrt(f) > 0)

    return fewest(images, decides)
