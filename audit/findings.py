"""Labels → the tables of the audit: shares, gaps and what is missing. See docs/tables.md for every column.

The counts of probes × classes that come in are the narrow waist of an audit: nothing here knows an image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.statistics.gap import Gap, gap_of_list, gap_of_population
from audit.statistics.intervals import Floats, shares, simultaneous, wilson, worst_case
from audit.statistics.multiplicity import benjamini_hochberg
from audit.statistics.significance import Comparison, binomial, compare_with_reference

if TYPE_CHECKING:
    from audit.reference import Reference
    from probes.suite import Probe

CLAIMS = ("list", "population")
"""About these probes, or about probes such as these."""
LOST = ("refused", "failed", "no_person", "several_people", "unclear")
"""Columns of images that have no class."""
SHARES = (
    *("classifier", "probe_id", "subject", "language", "template", "attribute", "class", "count", "n", "share"),
    *("share_low", "share_high", "share_low_all", "share_high_all", "reference", "reference_share", "difference"),
    *("p_value", "p_adjusted"),
)
"""Columns of shares.csv."""
GAPS = (
    *("classifier", "attribute", "reference", "claim", "gap", "gap_low", "gap_high", "gap_squared", "shared_tilt"),
    *("direction", "between_probes", "tvd", "tvd_floor", "probes", "images", "p_value"),
)
"""Columns of gaps.csv."""
MISSING = (
    *("classifier", "attribute", "probe_id", "subject", "language", "template", "people", "asked", "made"),
    *(*LOST, "labelled", "lost", "lost_share", "class", "worst_low", "worst_high"),
)
"""Columns of missing.csv."""


@dataclass(frozen=True)
class Counts:
    """Answers of one classifier to one question, counted by probe.

    Raises:
        ValueError: if the table lacks a column, or a probe has more labelled images than were asked for.
    """

    classifier: str
    attribute: str
    classes: tuple[str, ...]
    ordered: bool
    table: pd.DataFrame
    """One row a probe, in the order of the plan: probe_id, subject, kind, language, form, template, people; asked
    (images planned), made, refused, failed, no_person, several_people, unclear; and one column a class, named
    `class__NAME`."""

    def __post_init__(self) -> None:
        wanted = ["probe_id", "subject", "language", "template", "people", "asked", "made", *LOST, *self.columns]
        lacking = [name for name in wanted if name not in self.table]
        if lacking:
            raise ValueError(f"counts of {self.attribute!r} lack the column {lacking[0]!r}. Give every column.")
        over = self.table["asked"].to_numpy() < self.array().sum(axis=1)
        if over.any():
            probe = self.table["probe_id"].to_numpy()[over][0]
            raise ValueError(f"probe {probe!r} has more labelled images than were asked for. Count each image once.")

    @property
    def columns(self) -> list[str]:
        """Names of the columns of the classes, in the order of the classes."""
        return [f"class__{name}" for name in self.classes]

    def array(self) -> Floats:
        """Counts, probes × classes."""
        return self.table[self.columns].to_numpy(dtype=np.float64)


@dataclass(frozen=True)
class Tables:
    """The tables of an audit, one row a fact."""

    shares: pd.DataFrame
    """classifier × probe × attribute × class × reference."""
    gaps: pd.DataFrame
    """classifier × attribute × reference × claim."""
    missing: pd.DataFrame
    """classifier × attribute × probe."""


def find(
    counts: Sequence[Counts],
    probes: Sequence[Probe],
    references: Sequence[Reference],
    *,
    claim: str,
    alpha: float = 0.05,
    draws: int = 10_000,
    seed: int = 0,
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
        alpha: intervals are at level 1 − alpha.
        draws: simulated sets of counts per probe and reference.
        seed: seed of the simulations.

    Returns:
        The tables.

    Raises:
        ValueError: if the claim is unknown or a probe of the counts is not among `probes`.
    """
    if claim not in CLAIMS:
        raise ValueError(f"claim must be list or population (got {claim!r}).")
    claims = (claim, *(other for other in CLAIMS if other != claim))
    known = {probe.probe_id: probe for probe in probes}
    found, gaps = [], []
    for each in counts:
        strangers = [name for name in each.table["probe_id"] if name not in known]
        if strangers:
            raise ValueError(f"counts name the probe {strangers[0]!r}, which the run does not have.")
        own = [known[name] for name in each.table["probe_id"]]
        base = _base(each, alpha)
        blocks = []
        for place, reference in enumerate(references):
            matched = _match(each, own, reference)
            if matched.says_nothing():
                continue
            tested, rows = _compare(each, matched, reference.name, claims, alpha, draws, seed)
            blocks.append(_with_reference(base, matched, tested, reference.name).assign(_reference=place))
            gaps += rows
        shown = _eligible(each, own) if blocks else np.zeros(len(own), dtype=bool)
        found.append(_in_order([*blocks, _without_reference(base, shown)]))
    return Tables(
        shares=_frame(found, SHARES),
        gaps=pd.DataFrame(gaps, columns=list(GAPS)),
        missing=_frame([_missing(each) for each in counts], MISSING),
    )


class _Matched(NamedTuple):
    """What a reference says of the probes. All of it is NaN where it says nothing."""

    eligible: npt.NDArray[np.bool_]
    """Probes shown beside the reference."""
    whole: Floats
    """Shares of all classes, probes × classes: rows add up to 1."""
    single: Floats
    """Shares of classes that may overlap, each against the rest, for probes without whole shares."""

    def says_nothing(self) -> bool:
        """Whether the reference knows none of the probes."""
        return bool(np.isnan(self.whole).all() and np.isnan(self.single).all())


class _Tested(NamedTuple):
    p_value: Floats
    """Probes × classes."""
    p_adjusted: Floats


def _eligible(counts: Counts, probes: Sequence[Probe]) -> npt.NDArray[np.bool_]:
    return np.array([probe.people == "one" and counts.attribute not in probe.asked for probe in probes], dtype=bool)


def _match(counts: Counts, probes: Sequence[Probe], reference: Reference) -> _Matched:
    eligible = _eligible(counts, probes)
    whole = np.full((len(probes), len(counts.classes)), np.nan)
    single = whole.copy()
    for j, probe in enumerate(probes):
        if not eligible[j]:
            continue
        question = (counts.attribute, counts.classes)
        row = reference.shares(*question, subject=probe.subject, keys=probe.keys)
        if row is not None:
            whole[j] = row
            continue
        row = reference.one_vs_rest(*question, subject=probe.subject, keys=probe.keys)
        if row is not None:
            single[j] = row
    return _Matched(eligible, whole, single)


def _compare(
    counts: Counts, matched: _Matched, reference: str, claims: Sequence[str], alpha: float, draws: int, seed: int
) -> tuple[_Tested, list[dict[str, object]]]:
    """Tests of the probes of one attribute against one reference, and the gaps for both claims."""
    x = counts.array()
    n = x.sum(axis=1, keepdims=True)
    names = counts.table["probe_id"].to_numpy()
    # Sums of floats depend on their order in the last digit; probes are added up by name, whatever their order.
    order = np.argsort(names, kind="stable")
    subjects = counts.table["subject"].to_numpy()[order]
    rngs = [_rng(seed, counts.classifier, counts.attribute, reference, name) for name in names[order]]
    compared = compare_with_reference(x[order], matched.whole[order], ordered=counts.ordered, draws=draws, rngs=rngs)
    whole = np.empty(len(names))
    whole[order] = compared.p_value
    each = binomial(x, np.broadcast_to(n, x.shape), matched.single)
    # One family: a p-value a probe, or one a class where the classes of the reference overlap.
    adjusted = benjamini_hochberg(np.column_stack([whole, each]))
    tested = _Tested(
        np.where(np.isnan(each), whole[:, None], each), np.where(np.isnan(each), adjusted[:, :1], adjusted[:, 1:])
    )
    if np.isnan(matched.whole).all():
        return tested, []
    head = {"classifier": counts.classifier, "attribute": counts.attribute, "reference": reference}
    measured = {
        "list": gap_of_list(x[order], matched.whole[order], ordered=counts.ordered, level=1 - alpha),
        "population": gap_of_population(
            x[order], matched.whole[order], subjects, ordered=counts.ordered, level=1 - alpha
        ),
    }
    used = (n[order, 0] > 1) & ~np.isnan(compared.floor)
    return tested, [
        {**head, "claim": name, **_gap_row(measured[name], name, counts.classes, compared, used, subjects)}
        for name in claims
    ]


def _gap_row(
    gap: Gap,
    claim: str,
    classes: Sequence[str],
    compared: Comparison,
    used: npt.NDArray[np.bool_],
    subjects: npt.NDArray[np.object_],
) -> dict[str, object]:
    floors = pd.Series(compared.floor[used])
    floor = floors if claim == "list" else floors.groupby(subjects[used]).mean()
    return {
        "gap": gap.gap,
        "gap_low": gap.low,
        "gap_high": gap.high,
        "gap_squared": gap.squared,
        "shared_tilt": gap.shared_tilt,
        "direction": classes[gap.direction] if gap.direction >= 0 else "",
        "between_probes": gap.between,
        "tvd": gap.total_variation,
        "tvd_floor": floor.mean(),
        "probes": gap.probes,
        "images": gap.images,
        "p_value": compared.p_all if claim == "list" else np.nan,
    }


def _rng(seed: int, *names: str) -> np.random.Generator:
    digest = hashlib.sha256("|".join([str(seed), *names]).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def _base(counts: Counts, alpha: float) -> pd.DataFrame:
    """Shares with their intervals, one row for each probe and class, before any reference."""
    x = counts.array()
    n = np.broadcast_to(x.sum(axis=1, keepdims=True), x.shape)
    one = wilson(x, n, 1 - alpha)
    every = simultaneous(x, 1 - alpha)
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
        "_probe": np.repeat(np.arange(len(probes)), k),
        "_class": np.tile(np.arange(k), len(probes)),
        "_reference": 0,
    }
    return probes.loc[probes.index.repeat(k)].assign(**columns)


def _with_reference(base: pd.DataFrame, matched: _Matched, tested: _Tested, name: str) -> pd.DataFrame:
    """The rows of the probes that are shown beside one reference."""
    known = np.where(np.isnan(matched.whole), matched.single, matched.whole)
    rows = base.assign(
        reference=name,
        reference_share=known.ravel(),
        p_value=tested.p_value.ravel(),
        p_adjusted=tested.p_adjusted.ravel(),
    )
    return rows[np.repeat(matched.eligible, known.shape[1])]


def _without_reference(base: pd.DataFrame, shown: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """The rows of the probes that are shown beside no reference."""
    rows = base[~np.repeat(shown, len(base) // shown.size)]
    return rows.assign(reference=np.nan, reference_share=np.nan, p_value=np.nan, p_adjusted=np.nan)


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
