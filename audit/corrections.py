"""What people's labels, or declared error rates, say of a classifier's shares; and what may be concluded from a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from audit.counts import Counts
from audit.statistics.bands import declared_band
from audit.statistics.double_sampling import post_stratified, post_stratified_classes
from audit.statistics.intervals import Floats, Interval, shares, wilson
from audit.statistics.inversion import corrected_shares
from audit.statistics.multiplicity import benjamini_hochberg
from audit.statistics.noise import Estimate, band
from audit.statistics.noisy_gap import CorrectedGap, corrected_gap

if TYPE_CHECKING:
    from audit.calibration import Calibration
    from audit.rates import Rates

OVERALL = (
    *("classifier", "attribute", "class", "probes", "count", "n", "share", "share_low", "share_high"),
    *("corrected", "corrected_low", "corrected_high", "images_share", "images_low", "images_high"),
    *("human_labels", "method", "status"),
)
"""Columns of overall.csv."""


@dataclass(frozen=True)
class Evidence:
    """What is known of the errors of one instrument in one attribute."""

    calibration: Calibration | None = None
    """What people answered beside what the classifier answered."""
    rates: Rates | None = None
    """Declared error rates: used where there is no calibration."""
    people: bool = False
    """True if the labels are people's own answers: there is no classifier to correct."""


NOTHING = Evidence()


class Correction(NamedTuple):
    """Shares with label error taken into account, probes × classes; NaN where nothing is known."""

    value: Floats
    low: Floats
    high: Floats
    band_low: Floats
    band_high: Floats


def correct(counts: Counts, evidence: Evidence, *, alpha: float) -> Correction:
    """Corrected shares from people's labels, or a band over declared error rates.

    Args:
        counts: answers of the classifier.
        evidence: what is known of its errors.
        alpha: intervals are at level 1 − alpha.

    Returns:
        The corrected shares, or the band, or NaN.
    """
    x = counts.array()
    nothing = np.full(x.shape, np.nan)
    calibration = evidence.calibration
    if calibration is not None:
        found = corrected_shares(
            counts.answers(),
            calibration.rows(),
            k=len(counts.classes),
            labelled=_own_labels(counts, calibration),
            level=1 - alpha,
        )
        return Correction(found.value, found.low, found.high, nothing, nothing)
    if evidence.rates is not None:
        ends = _band(x, evidence.rates, alpha)
        return Correction(nothing, nothing, nothing, ends.low, ends.high)
    return Correction(nothing, nothing, nothing, nothing, nothing)


def _own_labels(counts: Counts, calibration: Calibration) -> Floats | None:
    """Labels of each probe's own images; None where they were sampled with unequal chances."""
    if not calibration.by_probe or calibration.weighted:
        return None
    own = np.zeros((len(counts.table), *calibration.table.shape))
    for j, probe in enumerate(counts.table["probe_id"]):
        if probe in calibration.by_probe:
            own[j] = calibration.by_probe[probe]
    return own


def correct_gap(
    counts: Counts, reference: Floats, evidence: Evidence, *, subjects: npt.ArrayLike | None, alpha: float
) -> CorrectedGap | None:
    """The gap with label error taken out, or None where people have labelled nothing.

    Args:
        counts: answers of the classifier.
        reference: shares of the reference, probes × classes.
        evidence: what is known of the classifier's errors.
        subjects: subject of each probe, for the claim about a population.
        alpha: the interval is at level 1 − alpha.
    """
    if evidence.calibration is None or np.isnan(reference).all():
        return None
    return corrected_gap(
        counts.answers(),
        evidence.calibration.rows(),
        reference,
        k=len(counts.classes),
        ordered=counts.ordered,
        subjects=subjects,
        level=1 - alpha,
    )


def overall(
    counts: Counts, used: npt.NDArray[np.bool_], evidence: Evidence, *, alpha: float, declared: bool
) -> pd.DataFrame:
    """Shares over all images of all probes that ask for one person, with people's labels where there are any."""
    x = counts.array()[used]
    n = x.sum()
    whole = x.sum(axis=0)
    ends = wilson(whole, n, 1 - alpha)
    k = len(counts.classes)
    nothing = np.full(k, np.nan)
    corrected = these = Estimate(nothing, nothing, nothing)
    labels, method = 0, ""
    calibration = evidence.calibration
    answers = counts.answers()[used].sum(axis=0)
    if evidence.people and answers.any():
        these = Estimate(*3 * (whole / answers.sum(),))
    elif calibration is not None and calibration.by_probe:
        names = set(counts.table["probe_id"].to_numpy()[used])
        labels, table = calibration.labelled(names), calibration.columns(names)
        if labels:
            corrected = post_stratified_classes(answers, table, k, level=1 - alpha)
            these = shares_of_images(answers, table, k, alpha=alpha)
            method = "post_stratified"
    columns: dict[str, Any] = {
        "classifier": counts.classifier,
        "attribute": counts.attribute,
        "class": list(counts.classes),
        "probes": int(used.sum()),
        "count": whole.astype(np.int64),
        "n": int(n),
        "share": shares(whole[None])[0],
        "share_low": ends.low,
        "share_high": ends.high,
        "corrected": corrected.value,
        "corrected_low": corrected.low,
        "corrected_high": corrected.high,
        "images_share": these.value,
        "images_low": these.low,
        "images_high": these.high,
        "human_labels": labels,
        "method": method,
        "status": status(declared),
    }
    return pd.DataFrame(columns)


def shares_of_images(predicted: Floats, table: Floats, k: int, *, alpha: float) -> Estimate:
    """Of all these images, those of which people would say that they show one person of each class.

    A statement about these very images, whatever the classifier answered (`post_stratified` with the variance of a
    finite population): labelled images are known, so that with all of them labelled it is what people said. Images of
    which people say that they show several people, nobody or something unclear belong to the whole and to no class,
    and may be among the others even if there are none among those labelled.

    Args:
        predicted: … × C counts of the classifier's answers to all images.
        table: … × Y × C labels of some of them: the k classes, then people's other answers.
        k: number of classes.
        alpha: intervals are at level 1 − alpha.

    Returns:
        Shares of the k classes and their ends, … × k.
    """
    rows = table if table.shape[-2] > k else np.concatenate([table, np.zeros_like(table[..., :1, :])], axis=-2)
    found = post_stratified(predicted, rows, k=k, finite=True, level=1 - alpha)
    return Estimate(found.value[..., :k], found.low[..., :k], found.high[..., :k])


def corrected_p(correction: Correction, reference: Floats, alpha: float) -> Floats:
    """p-values of corrected shares against the reference, adjusted over all probes (Benjamini–Hochberg).

    Normal, with the standard error that the interval's half on the side of the reference implies; a probe's p-value is
    that of its most telling class times the number of classes (two classes are one statement).
    """
    above = correction.value > reference
    half = np.where(above, correction.value - correction.low, correction.high - correction.value)
    z = float(special.ndtri(1 - alpha / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.abs(correction.value - reference) * z / half
    score = np.where(np.abs(correction.value - reference) < 1e-12, 0.0, score)
    p = 2 * special.ndtr(-score)
    k = p.shape[1]
    smallest = np.full(len(p), np.nan)
    known = ~np.isnan(p).all(axis=1)
    smallest[known] = np.minimum(np.nanmin(p[known], axis=1) * (k if k > 2 else 1), 1.0)
    adjusted = benjamini_hochberg(smallest)
    return np.where(np.isnan(p), np.nan, adjusted[:, None])


def conclude(
    interval: Interval,
    reference: Floats,
    p_adjusted: Floats,
    correction: Correction,
    evidence: Evidence,
    *,
    alpha: float,
    delta: float,
) -> npt.NDArray[np.object_]:
    """What may be said of each share beside its reference: `higher`, `lower`, `close`, `inconclusive`, or nothing.

    A difference is claimed only if the test, adjusted for all probes, says so, and so does the interval that holds the
    label error: the corrected one where people have labelled images; the whole band where error rates are declared;
    where nothing is known of the errors, the share must differ by more than `delta` beyond its interval. `close`: that
    interval lies within `delta` of the reference.

    Args:
        interval: interval of the share as the classifier gives it, probes × classes.
        reference: shares of the reference, NaN where there is none.
        p_adjusted: adjusted p-values of the shares as the classifier gives them.
        correction: corrected shares or band.
        evidence: what is known of the errors.
        alpha: level of the tests.
        delta: largest difference that does not matter.

    Returns:
        One word a probe and class; empty without a reference or without an image.
    """
    low, high, p, margin = interval.low, interval.high, p_adjusted, 0.0
    if evidence.calibration is not None:
        low, high, p = correction.low, correction.high, corrected_p(correction, reference, alpha)
    elif evidence.rates is not None:
        low, high = correction.band_low, correction.band_high
    elif not evidence.people:
        margin = delta
    found = p < alpha
    words = np.full(reference.shape, "inconclusive", dtype=object)
    words[(low >= reference - delta) & (high <= reference + delta)] = "close"
    words[found & (low > reference + margin)] = "higher"
    words[found & (high < reference - margin)] = "lower"
    words[np.isnan(reference) | np.isnan(p_adjusted)] = ""
    return words


def basis(evidence: Evidence) -> str:
    """What conclusions rest on: `people`, `calibration`, `declared` error rates, or `classifier` alone."""
    if evidence.people:
        return "people"
    if evidence.calibration is not None:
        return "calibration"
    return "declared" if evidence.rates is not None else "classifier"


def status(declared: bool) -> str:
    """`declared` for what was declared before the first image, `exploratory` for all else."""
    return "declared" if declared else "exploratory"


def evidence_of(known: Mapping[tuple[str, str], Evidence], counts: Counts) -> Evidence:
    """What is known of the instrument that made these counts."""
    return known.get((counts.classifier, counts.attribute), NOTHING)


def _band(x: Floats, rates: Rates, alpha: float) -> Interval:
    """The union of the intervals of all classifiers whose rates are those declared, probes × classes."""
    if rates.matrices is not None:
        return declared_band(x, x.shape[1], rates.matrices, level=1 - alpha)
    sensitivity, specificity = rates.ranges
    first = band(x[:, 0], x.sum(axis=1), sensitivity=sensitivity, specificity=specificity, level=1 - alpha)
    return Interval(np.column_stack([first.low, 1 - first.high]), np.column_stack([first.high, 1 - first.low]))
