"""Complete runs without images, whose answers the tests choose."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import audit
from audit.config import Config, Primary, resolve
from audit.record import new_record
from audit.schema import labels_schema, samples_schema
from audit.store import Store, write_table
from probes.probe import Probe

CLASSES: Mapping[str, tuple[str, ...]] = {"gender": ("woman", "man"), "age": ("young", "middle_aged", "older")}
"""Attributes, unless others are given."""
BATCH = 8


def probes_of(number: int, **changes: Any) -> list[Probe]:
    """Probes of so many subjects."""
    return [
        Probe(f"subject-{j:03d}", f"a portrait of subject {j}", f"subject-{j:03d}", "occupation", **changes)
        for j in range(number)
    ]


def drawn(shares: np.ndarray[Any, Any], images: int, classes: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """Answers of J probes, J × images, from shares J × k."""
    uniform = rng.random((len(shares), images, 1))
    places = (uniform > shares.cumsum(axis=1)[:, None, :-1]).sum(axis=2)
    return np.array(classes, dtype=object)[places]


def store_run(
    folder: Path,
    answers: Mapping[str, np.ndarray[Any, Any]],
    *,
    seed: int | None = 0,
    classes: Mapping[str, Sequence[str]] = CLASSES,
    probes: Sequence[Probe] | None = None,
    model: Mapping[str, Any] | None = None,
    classifier: str = "chosen",
    reference: Sequence[str] = ("uniform",),
) -> Path:
    """A complete run with these answers (attribute → J × n answers; `refused` and `failed` are outcomes), analysed."""
    first = next(iter(answers.values()))
    j, n = first.shape
    asked = list(probes) if probes is not None else probes_of(j)
    settings = resolve(Config(model="chosen", suite="chosen", out=str(folder), reference=tuple(reference), draws=200))
    attribute = next(iter(answers))
    settings = settings.model_copy(update={"primary": Primary(attribute=attribute, reference=Path(reference[0]).stem)})
    suite = {"name": "chosen", "version": "1", "digest": "", "card": {}, "probes": j, "languages": ["en"]}
    record: dict[str, Any] = new_record(settings, settings, suite, ())
    record["classifiers"] = {
        classifier: {
            "fingerprint": {"kind": classifier},
            "questions": [
                {"attribute": name, "classes": list(classes[name]), "ordered": name == "age"} for name in answers
            ],
            "card": {"source": "chosen", "construct": "none", "caveats": [], "known_error": {}},
        }
    }
    plan = {"images": n, "seed": seed, "batch_size": BATCH, "batches": -(-j * n // BATCH), "samples": j * n}
    record |= {"model": {"name": folder.name, "fingerprint": dict(model or {"name": folder.name})}, "plan": plan}
    store = Store.create(folder, record, asked, {probe.probe_id: n for probe in asked})
    _write(store, asked, answers, classifier)
    audit.analyze(folder, report=False)
    return folder


def _write(store: Store, probes: Sequence[Probe], answers: Mapping[str, np.ndarray[Any, Any]], classifier: str) -> None:
    flat = {name: values.ravel() for name, values in answers.items()}
    first = next(iter(flat.values()))
    n = len(first) // len(probes)
    keys: dict[str, Any] = {
        "sample_id": [
            hashlib.sha256(f"{store.root.name} {number}".encode()).hexdigest() for number in range(len(first))
        ],
        "probe_id": np.repeat(np.array([probe.probe_id for probe in probes], dtype=object), n),
        "index": np.tile(np.arange(n), len(probes)),
    }
    outcome = np.where(np.isin(first, ("refused", "failed")), first, "ok")
    columns = {
        each.name: [""] * len(first) if each.type == pa.string() else [0] * len(first) for each in samples_schema()
    }
    columns |= {**keys, "batch": np.arange(len(first)) // BATCH, "outcome": outcome}
    samples = pa.Table.from_pydict(columns, schema=samples_schema())
    last = (len(first) - 1) // BATCH
    store.samples.write(0, lambda file: write_table(samples, file), last)
    made = outcome == "ok"
    tables = []
    for name, values in flat.items():
        rows = {key: np.array(value, dtype=object)[made] for key, value in keys.items()}
        rows["index"] = keys["index"][made]
        scores = pa.array([[] for _ in range(int(made.sum()))], pa.list_(pa.float32()))
        columns = {**rows, "attribute": [name] * int(made.sum()), "class": values[made], "scores": scores}
        tables.append(pa.Table.from_pydict(columns, schema=labels_schema()))
    labels = pa.concat_tables(tables)
    store.labels(classifier).write(0, lambda file: write_table(labels, file), last)
