"""Counts beside one reference: which probes it knows, the tests, and the gaps for both claims."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.corrections import Evidence, correct_gap, status
from audit.counts import Counts
from audit.statistics.gap import Gap, gap_of_list, gap_of_population
from audit.statistics.intervals import Floats
from audit.statistics.multiplicity import benjamini_hochberg
from audit.statistics.noisy_gap import CorrectedGap
from audit.statistics.significance import Comparison, binomial, compare_with_reference

if TYPE_CHECKING:
    from audit.reference import Reference
    from probes.suite import Probe

CLAIMS = ("list", "population")
"""About these probes, or about probes such as these."""
GAPS = (
    *("classifier", "attribute", "reference", "claim", "gap", "gap_low", "gap_high", "gap_squared", "gap_corrected"),
    *("gap_corrected_low", "gap_corrected_high", "shared_tilt", "direction", "between_probes", "tvd", "tvd_floor"),
    *("probes", "images", "p_value", "status"),
)
"""Columns of gaps.csv."""


class Settings(NamedTuple):
    """What all tables depend on besides the counts."""

    claim: str
    declared: tuple[str, str, str]
    """Classifier, attribute and reference of the statement declared before the first image."""
    alpha: float
    delta: float
    draws: int
    seed: int
    sequential: bool

    def rng(self, *names: str) -> np.random.Generator:
        """Random numbers for one purpose: they depend on the seed and these names alone."""
        digest = hashlib.sha256("|".join([str(self.seed), *names]).encode()).digest()
        return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


class Matched(NamedTuple):
    """What a reference says of the probes. All of it is NaN where it says nothing."""

    reference: str
    eligible: npt.NDArray[np.bool_]
    """Probes shown beside the reference."""
    whole: Floats
    """Shares of all classes, probes × classes: rows add up to 1."""
    single: Floats
    """Shares of classes that may overlap, each against the rest, for probes without whole shares."""
    sizes: Floats
    """People or images that the reference counts for each probe; infinite where its shares are taken as exact."""

    @property
    def known(self) -> Floats:
        """Shares of classes, whole or each against the rest."""
        return np.where(np.isnan(self.whole), self.single, self.whole)

    def says_nothing(self) -> bool:
        """Whether the reference knows none of the probes."""
        return bool(np.isnan(self.known).all())


class Tested(NamedTuple):
    """p-values of the probes of one attribute against one reference."""

    p_value: Floats
    """Probes × classes."""
    p_adjusted: Floats


def match(counts: Counts, probes: Sequence[Probe], shown: npt.NDArray[np.bool_], reference: Reference) -> Matched:
    """What a reference says of the probes that may be compared.

    Args:
        counts: answers of a classifier.
        probes: its probes, in the same order.
        shown: whether each probe may be compared.
        reference: the reference.
    """
    whole = np.full((len(probes), len(counts.classes)), np.nan)
    single = whole.copy()
    sizes = np.full(len(probes), np.inf)
    for j, probe in enumerate(probes):
        if not shown[j]:
            continue
        question = (counts.attribute, counts.classes)
        row_of: dict[str, Any] = {"subject": probe.subject, "keys": probe.keys, "probe_id": probe.probe_id}
        sizes[j] = reference.size(counts.attribute, **row_of) or np.inf
        row = reference.shares(*question, **row_of)
        if row is not None:
            whole[j] = row
            continue
        row = reference.one_vs_rest(*question, **row_of)
        if row is not None:
            single[j] = row
    return Matched(reference.name, shown, whole, single, sizes)


def compare(counts: Counts, matched: Matched, settings: Settings) -> tuple[Tested, Comparison]:
    """Tests of each probe against the reference, and of all together (`Comparison` in the order of the probes' names).

    Probes with whole shares have one test each, those whose reference classes overlap one a class; together they are
    one family (Benjamini–Hochberg).
    """
    x = counts.array()
    names = counts.table["probe_id"].to_numpy()
    # Sums of floats depend on their order in the last digit; probes are added up by name, whatever their order.
    order = np.argsort(names, kind="stable")
    rngs = [settings.rng(counts.classifier, counts.attribute, matched.reference, name) for name in names[order]]
    compared = compare_with_reference(
        x[order], matched.whole[order], ordered=counts.ordered, draws=settings.draws, rngs=rngs
    )
    whole = np.empty(len(names))
    whole[order] = compared.p_value
    each = binomial(x, np.broadcast_to(x.sum(axis=1, keepdims=True), x.shape), matched.single)
    adjusted = benjamini_hochberg(np.column_stack([whole, each]))
    single = ~np.isnan(each)
    tested = Tested(np.where(single, each, whole[:, None]), np.where(single, adjusted[:, 1:], adjusted[:, :1]))
    return tested, compared


def gaps(
    counts: Counts, matched: Matched, compared: Comparison, evidence: Evidence, settings: Settings
) -> pd.DataFrame:
    """The gaps of one attribute from one reference, the declared claim first; none where classes overlap."""
    if np.isnan(matched.whole).all():
        return pd.DataFrame(columns=list(GAPS))
    order = np.argsort(counts.table["probe_id"].to_numpy(), kind="stable")
    x, reference = counts.array()[order], matched.whole[order]
    subjects = counts.table["subject"].to_numpy()[order]
    level = 1 - settings.alpha
    measured = {
        "list": gap_of_list(x, reference, ordered=counts.ordered, level=level),
        "population": gap_of_population(x, reference, subjects, ordered=counts.ordered, level=level),
    }
    names = (counts.classifier, counts.attribute, matched.reference)
    clusters = {"list": None, "population": counts.table["subject"].to_numpy()}
    corrected = {
        claim: correct_gap(counts, matched.whole, evidence, subjects=clusters[claim], alpha=settings.alpha)
        for claim in CLAIMS
    }
    used = (x.sum(axis=1) > 1) & ~np.isnan(compared.floor)
    rows = [
        {
            **dict(zip(("classifier", "attribute", "reference"), names, strict=True)),
            "claim": claim,
            **_gap_row(measured[claim], claim, counts.classes, compared, used, subjects),
            **_corrected(corrected[claim]),
            "status": status(settings.declared == names and claim == settings.claim),
        }
        for claim in (settings.claim, *(other for other in CLAIMS if other != settings.claim))
    ]
    return pd.DataFrame(rows, columns=list(GAPS))


def _corrected(found: CorrectedGap | None) -> dict[str, float]:
    names = ("gap_corrected", "gap_corrected_low", "gap_corrected_high")
    values = (np.nan,) * 3 if found is None else (found.value, found.low, found.high)
    return dict(zip(names, values, strict=True))


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
