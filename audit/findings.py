"""Labels → the tables of the audit. See docs/tables.md for every column.

The counts of probes × classes that come in are the narrow waist of an audit: nothing here knows an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.compared import CLAIMS, GAPS, Matched, Settings, Tested, compare, gaps, match
from audit.corrections import NOTHING, OVERALL, Correction, Evidence, conclude, correct, evidence_of, overall, status
from audit.counts import LOST, Counts, JointCounts, eligible
from audit.patterns import AMPLIFICATION, HETEROGENEITY, INTERSECTIONS, amplify, heterogeneity, intersect
from audit.statistics.intervals import Floats, Interval, shares, simultaneous, wilson, worst_case
from audit.statistics.shrinkage import shrunk

if TYPE_CHECKING:
    from audit.reference import Reference
    from probes.suite import Probe

SHARES = (
    *("classifier", "probe_id", "subject", "language", "template", "attribute", "class", "count", "n", "share"),
    *("share_low", "share_high", "share_low_all", "share_high_all", "corrected", "corrected_low", "corrected_high"),
    *("band_low", "band_high", "shrunk", "reference", "reference_share", "difference", "p_value", "p_adjusted"),
    *("conclusion", "status"),
)
"""Columns of shares.csv."""
MISSING = (
    *("classifier", "attribute", "probe_id", "subject", "language", "template", "people", "asked", "made"),
    *(*LOST, "labelled", "lost", "lost_share", "class", "worst_low", "worst_high"),
)
"""Columns of missing.csv."""


@dataclass(frozen=True)
class Tables:
    """The tables of an audit, one row a fact."""

    shares: pd.DataFrame
    """classifier × probe × attribute × class × reference."""
    gaps: pd.DataFrame
    """classifier × attribute × reference × claim."""
    missing: pd.DataFrame
    """classifier × attribute × probe."""
    overall: pd.DataFrame
    """classifier × attribute × class, over all probes that ask for one person."""
    heterogeneity: pd.DataFrame
    """classifier × attribute: do the probes differ from each other?"""
    amplification: pd.DataFrame
    """classifier × attribute × class × reference that varies by probe."""
    intersections: pd.DataFrame
    """classifier × attributes × probe × cell."""


def find(
    counts: Sequence[Counts],
    probes: Sequence[Probe],
    references: Sequence[Reference],
    *,
    claim: str,
    declared: tuple[str, str, str] = ("", "", ""),
    evidence: Mapping[tuple[str, str], Evidence] | None = None,
    joint: Sequence[JointCounts] = (),
    alpha: float = 0.05,
    delta: float = 0.05,
    draws: int = 10_000,
    seed: int = 0,
    sequential: bool = False,
) -> Tables:
    """Make the tables of an audit.

    A probe is compared with a reference in an attribute if it asks for one person and does not itself name a class of
    the attribute ("a female nurse" is in no gap of perceived gender). Random numbers are drawn per probe from a digest
    of seed, classifier, attribute, reference and probe, so that no result depends on the other probes or their order.

    Args:
        counts: one for each classifier and attribute.
        probes: the probes of the run.
        references: what to compare with, in the order of the tables.
        claim: the declared claim, `list` or `population`; its gap comes before the other one.
        declared: classifier, attribute and reference declared before the first image; all else is exploratory.
        evidence: what is known of the errors of the instruments, by classifier and attribute.
        joint: images counted by the classes of several attributes at once.
        alpha: intervals are at level 1 − alpha.
        delta: largest difference of a share that does not matter.
        draws: simulated sets of counts per probe and reference.
        seed: seed of the simulations.
        sequential: the images were made until each probe was decided: no interval, p-value or gap for a fixed number
            of images is given, for they would be wrong.

    Returns:
        The tables.

    Raises:
        ValueError: if the claim is unknown or a probe of the counts is not among `probes`.
    """
    if claim not in CLAIMS:
        raise ValueError(f"claim must be list or population (got {claim!r}).")
    settings = Settings(claim, declared, alpha, delta, draws, seed, sequential)
    known = {probe.probe_id: probe for probe in probes}
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in Tables.__dataclass_fields__}
    for each in counts:
        strangers = [name for name in each.table["probe_id"] if name not in known]
        if strangers:
            raise ValueError(f"counts name the probe {strangers[0]!r}, which the run does not have.")
        own = [known[name] for name in each.table["probe_id"]]
        _find_one(found, each, own, references, evidence_of(evidence or {}, each), settings)
    for cells in () if sequential else joint:
        found["intersections"].append(intersect(cells, known, settings))
    columns = {
        "shares": SHARES,
        "gaps": GAPS,
        "missing": MISSING,
        "overall": OVERALL,
        "heterogeneity": HETEROGENEITY,
        "amplification": AMPLIFICATION,
        "intersections": INTERSECTIONS,
    }
    return Tables(**{name: _frame(parts, columns[name]) for name, parts in found.items()})


def _find_one(
    found: dict[str, list[pd.DataFrame]],
    counts: Counts,
    probes: Sequence[Probe],
    references: Sequence[Reference],
    evidence: Evidence,
    settings: Settings,
) -> None:
    """The rows of one classifier and attribute, appended to every table."""
    names = (counts.classifier, counts.attribute)
    correction = correct(counts, NOTHING if settings.sequential else evidence, alpha=settings.alpha)
    shown = eligible(counts, probes)
    base = _base(counts, correction, _shrunk(counts, shown), settings)
    blocks = []
    for place, reference in enumerate(references):
        matched = match(counts, probes, shown, reference)
        if matched.says_nothing():
            continue
        primary = settings.declared == (*names, reference.name)
        tested, compared = compare(counts, matched, settings)
        known = NOTHING if reference.images else evidence  # errors on the reference's side are not known
        block = _with_reference(base, matched, tested, known, correction, settings)
        blocks.append(block.assign(_reference=place, status=status(primary)))
        if settings.sequential:
            continue
        found["gaps"].append(gaps(counts, matched, compared, evidence, settings))
        found["amplification"].append(amplify(counts, matched, settings, declared=primary))
    used = shown if blocks else np.zeros(len(probes), dtype=bool)
    found["shares"].append(_in_order([*blocks, _without_reference(base, used)]))
    found["missing"].append(_missing(counts))
    if not settings.sequential:
        primary = settings.declared[:2] == names
        found["overall"].append(overall(counts, shown, evidence, alpha=settings.alpha, declared=primary))
        found["heterogeneity"].append(heterogeneity(counts, shown, settings))


def _shrunk(counts: Counts, shown: npt.NDArray[np.bool_]) -> Floats:
    """Shares drawn towards those of all probes that may be compared, for ranking and display only; else NaN."""
    order = np.argsort(counts.table["probe_id"].to_numpy(), kind="stable")
    order = order[shown[order]]
    found = np.full((len(shown), len(counts.classes)), np.nan)
    # Sums depend on the order of the classes in the last digit.
    found[order] = np.round(shrunk(counts.array()[order]).shares, 9)
    return found


def _base(counts: Counts, correction: Correction, drawn: Floats, settings: Settings) -> pd.DataFrame:
    """Shares with their intervals, one row for each probe and class, before any reference."""
    x = counts.array()
    n = np.broadcast_to(x.sum(axis=1, keepdims=True), x.shape)
    one, every = wilson(x, n, 1 - settings.alpha), simultaneous(x, 1 - settings.alpha)
    if settings.sequential:
        nothing = np.full(x.shape, np.nan)
        one = every = Interval(nothing, nothing)
    k = len(counts.classes)
    probes = counts.table[["probe_id", "subject", "language", "template"]]
    columns: dict[str, Any] = {
        "classifier": counts.classifier,
        "attribute": counts.attribute,
        "class": list(counts.classes) * len(probes),
        "count": x.astype(np.int64).ravel(),
        "n": n.astype(np.int64).ravel(),
        "share": shares(x).ravel(),
        "share_low": one.low.ravel(),
        "share_high": one.high.ravel(),
        "share_low_all": every.low.ravel(),
        "share_high_all": every.high.ravel(),
        "corrected": correction.value.ravel(),
        "corrected_low": correction.low.ravel(),
        "corrected_high": correction.high.ravel(),
        "band_low": correction.band_low.ravel(),
        "band_high": correction.band_high.ravel(),
        "shrunk": drawn.ravel(),
        "_probe": np.repeat(np.arange(len(probes)), k),
        "_class": np.tile(np.arange(k), len(probes)),
        "_reference": 0,
    }
    return probes.loc[probes.index.repeat(k)].assign(**columns)


def _with_reference(
    base: pd.DataFrame,
    matched: Matched,
    tested: Tested,
    evidence: Evidence,
    correction: Correction,
    settings: Settings,
) -> pd.DataFrame:
    """The rows of the probes that are shown beside one reference."""
    shape = matched.known.shape
    interval = Interval(base["share_low"].to_numpy().reshape(shape), base["share_high"].to_numpy().reshape(shape))
    said = conclude(
        interval,
        matched.known,
        tested.p_adjusted,
        correction,
        evidence,
        alpha=settings.alpha,
        delta=settings.delta,
    )
    nothing = np.full(shape, np.nan)
    rows = base.assign(
        reference=matched.reference,
        reference_share=matched.known.ravel(),
        p_value=(nothing if settings.sequential else tested.p_value).ravel(),
        p_adjusted=(nothing if settings.sequential else tested.p_adjusted).ravel(),
        conclusion=np.where(settings.sequential, "", said).ravel(),
    )
    return rows[np.repeat(matched.eligible, shape[1])]


def _without_reference(base: pd.DataFrame, shown: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """The rows of the probes that are shown beside no reference."""
    rows = base[~np.repeat(shown, len(base) // shown.size)]
    return rows.assign(
        reference=np.nan, reference_share=np.nan, p_value=np.nan, p_adjusted=np.nan, conclusion="", status=status(False)
    )


def _in_order(blocks: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows by probe, reference and class, with the difference from the reference."""
    rows = pd.concat([block for block in blocks if len(block)])
    rows = rows.sort_values(["_probe", "_reference", "_class"], kind="stable")
    return rows.assign(difference=rows["share"] - rows["reference_share"])


def _missing(counts: Counts) -> pd.DataFrame:
    """What became of the images that were asked for, one row a probe."""
    x = counts.array()
    labelled = x.sum(axis=1)
    asked = counts.table["asked"].to_numpy(dtype=np.float64)
    most = x.argmax(axis=1)
    bounds = worst_case(x[np.arange(len(x)), most], labelled, asked)
    lost = asked - labelled
    columns: dict[str, Any] = {
        "classifier": counts.classifier,
        "attribute": counts.attribute,
        "labelled": labelled.astype(np.int64),
        "lost": lost.astype(np.int64),
        "lost_share": np.where(asked > 0, lost / np.maximum(asked, 1), np.nan),
        "class": np.where(labelled > 0, np.array(counts.classes, dtype=object)[most], ""),
        "worst_low": bounds.low,
        "worst_high": bounds.high,
    }
    return counts.table.assign(**columns)


def _frame(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """The parts below each other, with these columns."""
    if not parts:
        return pd.DataFrame(columns=list(columns))
    return pd.concat([part[list(columns)] for part in parts], ignore_index=True)
