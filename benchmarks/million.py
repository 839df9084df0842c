"""Tables of one million labelled images: `python -m benchmarks.million --folder FOLDER`.

Makes a run directory of 1,000 probes with 1,000 images each, synthetic labels of 2, 9 and 7 classes and no images, and
measures `rolecall analyze` on it as a whole process: seconds, and the most memory it held.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from audit.config import Config, Primary, resolve
from audit.record import new_record
from audit.schema import labels_schema, samples_schema
from audit.store import Store, write_table
from benchmarks.common import Row, table
from probes.probe import Probe

QUESTIONS = {"gender": (2, False), "age": (9, True), "ethnicity": (7, False)}
BATCH = 16
PART = 256 * BATCH
"""Images of one merged part."""


def classes_of(attribute: str) -> tuple[str, ...]:
    """Names of its classes."""
    return tuple(f"{attribute}_{c}" for c in range(QUESTIONS[attribute][0]))


def make_run(folder: Path, probes: int, images: int, seed: int) -> Store:
    """A complete run without images, its labels drawn from shares that differ by probe."""
    rng = np.random.default_rng(seed)
    asked = [
        Probe(f"subject-{j:04d}.en.portrait", f"a portrait of subject {j}", f"subject-{j:04d}", "occupation")
        for j in range(probes)
    ]
    total = probes * images
    settings = resolve(Config(model="synthetic", suite="synthetic", out=str(folder), reference=("uniform",)))
    settings = settings.model_copy(update={"primary": Primary(attribute="gender", reference="uniform")})
    suite = {"name": "synthetic", "version": "1", "digest": "", "card": {}, "probes": probes, "languages": ["en"]}
    record: dict[str, Any] = new_record(settings, settings, suite, ())
    record["classifiers"] = {
        "synthetic": {
            "fingerprint": {"kind": "synthetic", "seed": seed},
            "questions": [
                {"attribute": name, "classes": list(classes_of(name)), "ordered": ordered}
                for name, (_, ordered) in QUESTIONS.items()
            ],
            "card": {"source": "synthetic", "construct": "none", "caveats": [], "known_error": {}},
        }
    }
    plan = {"images": images, "seed": seed, "batch_size": BATCH, "batches": -(-total // BATCH), "samples": total}
    record |= {"model": {"name": "synthetic", "fingerprint": {}}, "plan": plan}
    store = Store.create(folder, record, asked, {probe.probe_id: images for probe in asked})
    shares = {name: rng.dirichlet(np.full(k, 2.0), probes).cumsum(axis=1) for name, (k, _) in QUESTIONS.items()}
    for start in range(0, total, PART):
        _write_part(store, asked, images, np.arange(start, min(start + PART, total)), shares, rng)
    return store


def _write_part(
    store: Store, probes: list[Probe], images: int, numbers: np.ndarray, shares: dict[str, np.ndarray], rng: Any
) -> None:
    count, owner = len(numbers), numbers // images
    names = np.array([probe.probe_id for probe in probes], dtype=object)[owner]
    keys = {
        "sample_id": [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers],
        "probe_id": names,
        "index": numbers % images,
    }
    first, last = int(numbers[0]) // BATCH, int(numbers[-1]) // BATCH
    columns = {field.name: [""] * count if field.type == pa.string() else [0] * count for field in samples_schema()}
    columns |= {**keys, "batch": numbers // BATCH, "outcome": ["ok"] * count}
    samples = pa.Table.from_pydict(columns, schema=samples_schema())
    store.samples.write(first, lambda file: write_table(samples, file), last)
    tables = []
    for name, (k, _) in QUESTIONS.items():
        drawn = (rng.random(count)[:, None] > shares[name][owner]).sum(axis=1).clip(0, k - 1)
        answers = np.array(classes_of(name), dtype=object)[drawn]
        answers[rng.random(count) < 0.05] = "unclear"
        scores = pa.array(rng.random((count, k)).astype(np.float32).tolist(), pa.list_(pa.float32()))
        columns = {**keys, "attribute": [name] * count, "class": answers, "scores": scores}
        tables.append(pa.Table.from_pydict(columns, schema=labels_schema()))
    labels = pa.concat_tables(tables)
    store.labels("synthetic").write(first, lambda file: write_table(labels, file), last)


def measure(folder: Path) -> tuple[float, float]:
    """Seconds and gigabytes of `audit.analyze` on a run, without its report, as a process of its own."""
    script = (
        "import resource, sys, audit; audit.analyze(sys.argv[1], report=False); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return time.perf_counter() - start, float(done.stdout.split()[-1])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the run is made (about 1 GB)")
    parser.add_argument("--probes", type=int, default=1000)
    parser.add_argument("--images", type=int, default=1000, help="images a probe")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if not (given.folder / "run.json").is_file():
        make_run(given.folder, given.probes, given.images, given.seed)
    seconds, memory = measure(given.folder)
    number = f"{given.probes * given.images:,} labelled images, {given.probes:,} probes × (2, 9, 7) classes"
    print(
        table(
            [
                Row(f"60 s ÷ tables of {number}", 60 / seconds, 1, seconds < 60, f"{seconds:.0f} s"),
                Row("3 GB ÷ most memory held", 3 / memory, 1, memory < 3, f"{memory:.1f} GB"),
            ]
        )
    )


if __name__ == "__main__":
    main()
