"""Bands over error rates that are declared and not measured: for a classifier that nobody checked on these images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from audit.statistics.intervals import Interval
from audit.statistics.inversion import score_interval
from audit.statistics.noise import counts

KNOWN = 1e9
"""Labels that stand for a matrix known without error."""


def declared_band(
    x: npt.ArrayLike, k: int, error_matrices: npt.ArrayLike | Sequence[npt.ArrayLike], *, level: float = 0.95
) -> Interval:
    """Ends of the shares of k classes over declared confusion matrices, sampling error included.

    The union of the intervals that each matrix gives if it is the true one (`inversion.score_interval`). Error rates of
    single classes do not make a band for more than two classes: where the errors go matters as much as how many.

    Args:
        x: the classifier's answers, J × C: the k classes, then others.
        k: number of classes.
        error_matrices: one k × k matrix P(says c | people say y), or several (M × k × k), rows adding up to 1; a
            further column holds what the classifier leaves without a class.
        level: confidence level of the sampling error.

    Returns:
        The ends, J × k; (0, 1) for a probe without images.

    Raises:
        ValueError: if the shapes do not fit, a row does not add up to 1, or a matrix cannot be inverted.
    """
    answers = counts(x)
    matrices = np.asarray(error_matrices, dtype=np.float64)
    matrices = matrices[None] if matrices.ndim == 2 else matrices
    if k < 2 or answers.ndim != 2 or answers.shape[1] < k or matrices.ndim != 3 or matrices.shape[1] != k:
        raise ValueError(
            f"a band needs answers for {k} classes and a matrix with a row for each "
            f"(got shapes {answers.shape} and {matrices.shape})."
        )
    if not k <= matrices.shape[2] <= k + 1:
        raise ValueError(
            f"a matrix has a column for each of the {k} classes, and at most one more for other answers "
            f"(got {matrices.shape[2]})."
        )
    off = np.abs(matrices.sum(axis=2) - 1)
    if matrices.size == 0 or matrices.min() < 0 or off.max() > 1e-6:
        worst = matrices.sum(axis=2).flat[off.argmax()] if matrices.size else 0.0
        raise ValueError(
            f"rows of an error matrix are shares that add up to 1 (got a row that adds up to {worst:.6g})."
        )
    if max(np.linalg.cond(each) for each in matrices[:, :, :k]) > 1e8:
        raise ValueError("an error matrix cannot be inverted: it answers two classes alike. Merge these classes.")
    padded = np.zeros((len(matrices), k, k + 1))
    padded[:, :, : matrices.shape[2]] = matrices
    merged = np.column_stack([answers[:, :k], answers[:, k:].sum(axis=1)])
    ends = [score_interval(merged, each * KNOWN, k=k, level=level) for each in padded]
    return Interval(np.min([each.low for each in ends], axis=0), np.max([each.high for each in ends], axis=0))
