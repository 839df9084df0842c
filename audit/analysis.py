"""Labels → counts → tables → what a report shows. Works from the run directory alone: no generator, no GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audit import other_images
from audit.agreements import agreement_table
from audit.amplified import claim as claim_amplification
from audit.calibration import Calibration, calibration_table, calibrations, errors_table
from audit.compared import GAPS, Settings
from audit.comparison import compare_conditions
from audit.corrections import Evidence
from audit.counting import count
from audit.counts import Counts
from audit.disagreement import disagreement_tables
from audit.duplicates import duplicates_table
from audit.findings import SHARES, find
from audit.origins import origin_tables
from audit.people import people_table
from audit.pictures import decode
from audit.rates import Rates, rates_of, read_rates
from audit.record import check_names
from audit.reference import Reference, expand, load_reference, reference_names
from audit.reference_files import files_of
from audit.rewriting import rewriting_table
from audit.sequential import table as sequential_table
from audit.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from audit.config import Config
    from probes.probe import Probe
    from reports.view import Picture, View


MORE = (
    *("overall", "heterogeneity", "amplification", "intersections", "comparison", "sequential", "rewriting"),
    *("calibration", "errors", "agreement", "confusion", "spread", "disagreements"),
    "people",
    *("duplicates", "origins", "provenance"),
)
"""Tables besides shares, gaps and missing; a run has those that apply to it."""
CORRECTED = ("gap_corrected", "gap_corrected_low", "gap_corrected_high")
"""Columns of gaps.csv that take a classifier to err alike in all subjects."""


def analyze(store: Store, references: Sequence[str], claim: str, settings: Config) -> None:
    """Make the tables of the audit and record their digests in run.json."""
    record = store.record()
    loaded = [_reference(store, name) for name in expand(references)]
    check_names([reference.name for reference in loaded])
    counted = {classifier: count(store, classifier) for classifier in store.classifiers()}
    counts = [each for tables, _ in counted.values() for each in tables]
    joint = [each for _, tables in counted.values() for each in tables]
    found = calibrations(store, settings.calibration or ())
    primary = record.get("primary") or {}
    evidence = _evidence(store, record, counts, found, settings)
    chosen = Settings(
        claim=claim,
        declared=(
            str((record.get("sequential") or {}).get("classifier") or next(iter(record["classifiers"]), "")),
            str(primary.get("attribute")),
            str(primary.get("reference")),
        ),
        alpha=settings.alpha,
        delta=settings.delta,
        draws=settings.draws,
        seed=settings.seed,
        sequential=bool(record.get("sequential")),
    )
    probes = store.probes()
    tables = find(counts, probes, loaded, **chosen._asdict(), evidence=evidence, joint=joint)
    for reference in loaded:
        if reference.name not in reference_names():
            store.keep_reference(files_of(reference))
    claimed = claim_amplification(tables.amplification, counts, probes, loaded, evidence, chosen)
    errors = errors_table(found, {probe.probe_id: probe.subject for probe in probes}, chosen)
    tables = replace(tables, amplification=claimed, gaps=_where_errors_are_alike(tables.gaps, errors))
    for name, table in vars(tables).items():
        store.write_csv(name, table)
    store.write_csv("calibration", calibration_table(found))
    if len(errors) or store.has_table("errors"):
        store.write_csv("errors", errors)
    store.write_csv("agreement", agreement_table(store))
    people = people_table(store, counts, probes, alpha=chosen.alpha, sequential=chosen.sequential)
    if len(people) or store.has_table("people"):
        store.write_csv("people", people)
    for name, table in disagreement_tables(store, tables.shares, tables.overall).items():
        store.write_csv(name, table)
    if not chosen.sequential:
        store.write_csv("comparison", compare_conditions(counts, probes, chosen, known=evidence))
    _write_details(store, record, probes, 1 - settings.alpha)
    if record.get("sequential"):
        stopped = sequential_table(counts, probes, loaded, sequential=record["sequential"])
        store.write_csv("sequential", stopped)
    others = other_images.keep(settings.calibration or (), store)
    store.update(
        calibration=others,
        references=[reference.name for reference in loaded],
        reference_cards={reference.name: _card(reference) for reference in loaded},
        reference_digests={reference.name: reference.digest() for reference in loaded},
        files=store.digests(),
    )


def _where_errors_are_alike(gaps: pd.DataFrame, errors: pd.DataFrame) -> pd.DataFrame:
    """Gaps that are corrected only where no subject is shown to have errors of its own: all are taken to be alike."""
    rows = errors[errors["flagged"].astype(bool)]
    flagged = set(zip(rows["classifier"], rows["attribute"], strict=True))
    apart = np.array([key in flagged for key in zip(gaps["classifier"], gaps["attribute"], strict=True)], dtype=bool)
    kept: pd.DataFrame = gaps.assign(**{name: gaps[name].mask(apart) for name in CORRECTED})
    return kept


def _write_details(store: Store, record: Mapping[str, Any], probes: Sequence[Probe], level: float) -> None:
    """The tables of what the details of the samples say.

    Forgotten samples have no details any more, and the counts are to stay as they were: a table of counts that is there
    is not made again.
    """
    store.write_csv("duplicates", duplicates_table(store))
    tables = {"rewriting": rewriting_table(store, probes, level=level)}
    if (record.get("plan") or {}).get("seed") is None:
        tables |= origin_tables(store)
    for name, table in tables.items():
        if not (record.get("forgotten") and store.has_table(name)):
            store.write_csv(name, table)


def _evidence(
    store: Store,
    record: Mapping[str, Any],
    counts: Sequence[Counts],
    found: Mapping[tuple[str, str], Calibration],
    settings: Config,
) -> dict[tuple[str, str], Evidence]:
    """What is known of the errors of each instrument: people's labels, else rates that user or card declare."""
    evidence = {}
    declared: dict[str, Rates] = {}
    kept = store.keep_error_rates(Path(settings.error_rates) if settings.error_rates else None)
    if kept is not None:
        declared = read_rates(kept, {each.attribute: each.classes for each in counts})
    for each in counts:
        card = record["classifiers"][each.classifier]["card"]
        rates = declared.get(each.attribute)
        known = (card.get("error_rates") or {}).get(each.attribute)
        if rates is None and known:
            rates = rates_of(each.attribute, each.classes, known, "card", f"card of {each.classifier}")
        pair = (each.classifier, each.attribute)
        evidence[pair] = Evidence(found.get(pair), rates, people=bool(card.get("people")))
    return evidence


def _reference(store: Store, name: str) -> Reference:
    """A reference by its name or path. An own one that was compared with before is kept in the run, by its name."""
    kept = None if name in reference_names() or Path(name).is_file() else store.reference(name)
    return load_reference(name if kept is None else str(kept))


def _card(reference: Reference) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in dict(reference.card).items() if value
    }


@dataclass(frozen=True)
class Pictures:
    """The stored images of a run with their labels, by probe."""

    store: Store
    classifiers: Sequence[str]

    def __call__(self, probe_id: str) -> list[Picture]:
        """The images of one probe in order of their index."""
        from reports.view import Picture

        rows = self._samples.get(probe_id)
        if rows is None or self.store.record().get("training"):  # real people: kept for labelling, not for showing
            return []
        labels = self._labels.get(probe_id, {})
        return [
            Picture(probe_id, int(i), self.store.root / f, int(o), int(n), labels.get(int(i), {}), decode)
            for i, f, o, n in zip(*(rows[c] for c in ("index", "file", "offset", "length")), strict=True)
        ]

    @cached_property
    def _samples(self) -> Mapping[str, pd.DataFrame]:
        import pyarrow as pa
        import pyarrow.compute as pc

        columns = ["probe_id", "index", "outcome", "file", "offset", "length"]
        tables = [table.filter(pc.equal(table["outcome"], "ok")) for *_, table in self.store.sample_parts(columns)]
        if not tables:
            return {}
        frame = pa.concat_tables(tables).to_pandas().sort_values("index", kind="stable")
        return {str(probe): rows for probe, rows in frame.groupby("probe_id")}

    @cached_property
    def _labels(self) -> Mapping[str, dict[int, dict[str, str]]]:
        found: dict[str, dict[int, dict[str, str]]] = {}
        for classifier in self.classifiers:
            for table in self.store.label_parts(classifier):
                columns = (table[name].to_pylist() for name in ("probe_id", "index", "attribute", "class"))
                for probe, index, attribute, answer in zip(*columns, strict=True):
                    found.setdefault(probe, {}).setdefault(index, {})[f"{classifier}/{attribute}"] = answer
        return found


def view(store: Store) -> View:
    """What a report shows of a run.

    Raises:
        UsageError: if its tables were not made yet.
    """
    import pandas as pd

    from reports.view import View

    record = store.record()
    classifiers = store.classifiers()
    questions = {
        question["attribute"]: tuple(question["classes"])
        for name in classifiers
        for question in record["classifiers"][name]["questions"]
    }
    shares, gaps = store.table("shares"), store.table("gaps")
    return View(
        run=record,
        probes=pd.DataFrame([vars(probe) for probe in store.probes()]),
        shares=shares.reindex(columns=[*SHARES, *(c for c in shares if c not in SHARES)]),
        gaps=gaps.reindex(columns=[*GAPS, *(c for c in gaps if c not in GAPS)]),
        missing=store.table("missing"),
        pictures=Pictures(store, classifiers),
        classifier_cards={name: record["classifiers"][name]["card"] for name in classifiers},
        reference_cards=record["reference_cards"],
        suite_card=record["suite"]["card"],
        questions=questions,
        more={name: store.table(name) for name in MORE if store.has_table(name)},
    )
