"""What label noise costs: images and human labels for a statement about a corrected share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audit.statistics.intervals import Floats
from audit.statistics.noise import lang_reiczigel
from audit.statistics.power import chances_of, check_share

_TINY = 1e-8
"""Counts less probable than this are left out, as three are combined."""


def noise_factor(share: npt.ArrayLike, sensitivity: npt.ArrayLike, specificity: npt.ArrayLike) -> Floats:
    """How many times as many images a corrected share needs as labels without error would, error rates known exactly.

    q(1−q) / (J² p(1−p)) with q = p·Se + (1−p)(1−Sp) and J = Se + Sp − 1 (Rogan & Gladen 1978). Error rates that are
    themselves estimated from human labels add a variance that no number of images removes.

    Args:
        share: true share of the class.
        sensitivity: part of the true images of the class that the classifier finds.
        specificity: part of the other images that it leaves.

    Returns:
        The factor, 1 or more, in the broadcast shape; infinite for an instrument that is no better than chance.

    Raises:
        ValueError: if a number lies outside 0 … 1.
    """
    p, se, sp = (np.asarray(v, dtype=np.float64) for v in (share, sensitivity, specificity))
    for name, values in (("shares", p), ("sensitivities", se), ("specificities", sp)):
        check_share(name, values)
    seen = p * se + (1 - p) * (1 - sp)
    gain = np.maximum(se + sp - 1, 0)
    clean = gain**2 * p * (1 - p)
    factor = np.divide(seen * (1 - seen), clean, out=np.full(np.shape(clean), np.inf), where=clean > 0)
    return np.asarray(factor, dtype=np.float64)


def power_with_noise(
    share: float,
    reference: float,
    images: int,
    *,
    sensitivity: float,
    specificity: float,
    labels: int,
    labelled_share: float | None = None,
    alpha: float = 0.05,
) -> float:
    """Chance that the interval of the corrected share (`noise.lang_reiczigel`) leaves the reference out.

    All counts of images and of right human labels are added up with their probabilities.

    Args:
        share: true share of the class.
        reference: share in the reference.
        images: images of the probe that the classifier gives a class.
        sensitivity: part of the true images of the class that the classifier finds.
        specificity: part of the other images that it leaves.
        labels: images that people labelled, drawn at random from images of which this part shows the class:
        labelled_share: by default as in the probe.
        alpha: 1 − level of the interval.

    Returns:
        The power.

    Raises:
        ValueError: if a number lies outside 0 … 1, or there are fewer than 2 labels.
    """
    rates = np.array([share, reference, sensitivity, specificity, share if labelled_share is None else labelled_share])
    check_share("shares, sensitivity and specificity", rates)
    if labels < 2:
        raise ValueError(f"error rates need 2 human labels or more (got {labels}).")
    shown = int(np.clip(round(labels * rates[4]), 1, labels - 1))
    x, of_x = _likely(images, share * sensitivity + (1 - share) * (1 - specificity))
    tp, of_tp = _likely(shown, sensitivity)
    tn, of_tn = _likely(labels - shown, specificity)
    chance = of_x[:, None, None] * of_tp[:, None] * of_tn
    ends = lang_reiczigel(x[:, None, None], images, tp[:, None], shown, tn, labels - shown, 1 - alpha)
    return float(chance[(ends.low > reference) | (ends.high < reference)].sum())


def _likely(images: int, share: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """Counts that are not all but impossible, with their chances."""
    chances = chances_of(images, share)
    likely = np.flatnonzero(chances > _TINY)
    return likely, chances[likely]
