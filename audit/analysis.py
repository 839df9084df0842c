"""Labels → counts → tables → what a report shows. Works from the run directory alone: no generator, no GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.classifiers.base import NOT_MEASURED
from audit.findings import Counts, find
from audit.reference import Reference, load_reference, reference_names
from audit.store import Store

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from reports.view import Picture, View


def count(store: Store, classifier: str) -> list[Counts]:
    """The narrow waist: for each attribute, images by probe and class, and those without a class in their own columns.

    Reads one part at a time; memory does not grow with the number of images.
    """
    import pandas as pd

    probes = store.probes()
    planned = store.planned()
    outcomes = _outcomes(store)
    answers: Counter[tuple[str, str, str]] = Counter()
    for table in store.label_parts(classifier):
        answers += _grouped(table, ["probe_id", "attribute", "class"])
    counts = []
    for question in store.record()["classifiers"][classifier]["questions"]:
        attribute, classes = question["attribute"], tuple(question["classes"])
        rows = []
        for probe in probes:
            name = probe.probe_id
            made = {outcome: outcomes[name, outcome] for outcome in ("ok", "refused", "failed")}
            rows.append(
                {
                    "probe_id": name,
                    "subject": probe.subject,
                    "kind": probe.kind,
                    "language": probe.language,
                    "form": probe.form,
                    "template": probe.template,
                    "people": probe.people,
                    "asked": planned[name],
                    "made": made["ok"],
                    "refused": made["refused"],
                    "failed": made["failed"],
                    **{answer: answers[name, attribute, answer] for answer in NOT_MEASURED},
                    **{f"class__{c}": answers[name, attribute, c] for c in classes},
                }
            )
        counts.append(Counts(classifier, attribute, classes, bool(question["ordered"]), pd.DataFrame(rows)))
    return counts


def _outcomes(store: Store) -> Counter[tuple[str, str]]:
    outcomes: Counter[tuple[str, str]] = Counter()
    for _, _, table in store.sample_parts(["probe_id", "outcome"]):
        outcomes += _grouped(table, ["probe_id", "outcome"])
    return outcomes


def _grouped(table: pa.Table, keys: Sequence[str]) -> Counter[Any]:
    grouped = table.group_by(list(keys)).aggregate([([], "count_all")])
    columns = [grouped[key].to_pylist() for key in keys]
    return Counter(dict(zip(zip(*columns, strict=True), grouped["count_all"].to_pylist(), strict=True)))


def analyze(store: Store, references: Sequence[str], claim: str, draws: int, seed: int) -> None:
    """Make the tables of the audit and record their digests in run.json."""
    loaded = [_reference(store, name) for name in references]
    counts = [each for classifier in store.classifiers() for each in count(store, classifier)]
    tables = find(counts, store.probes(), loaded, claim=claim, draws=draws, seed=seed)
    for name in references:
        if name not in reference_names() and Path(name).is_file():
            store.keep_reference(Path(name))
    for name in ("shares", "gaps", "missing"):
        store.write_csv(name, getattr(tables, name))
    store.update(
        references=[reference.name for reference in loaded],
        reference_cards={reference.name: _card(reference) for reference in loaded},
        reference_digests={reference.name: reference.digest() for reference in loaded},
        files=store.digests(),
    )


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
        if rows is None:
            return []
        labels = self._labels.get(probe_id, {})
        return [
            Picture(probe_id, int(i), self.store.root / f, int(o), int(n), labels.get(int(i), {}))
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
    return View(
        run=record,
        probes=pd.DataFrame([vars(probe) for probe in store.probes()]),
        shares=store.table("shares"),
        gaps=store.table("gaps"),
        missing=store.table("missing"),
        pictures=Pictures(store, classifiers),
        classifier_cards={name: record["classifiers"][name]["card"] for name in classifiers},
        reference_cards=record["reference_cards"],
        suite_card=record["suite"]["card"],
        questions=questions,
    )
