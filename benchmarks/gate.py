"""What CI waits for: `rolecall gate` and `rolecall compare` on stored runs, as whole processes.

python -m benchmarks.gate [--repeats 7] [--seed 0]

Two runs of 150 probes × 100 images × 3 attributes; the peer is a process that does nothing but import pandas and
scipy.stats. Processes are started in turns; on a busy machine the seconds of the processor say more than those of the
clock, so both are given.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import audit
from audit.classifiers.base import Labels
from audit.config import Config, Primary, resolve
from audit.record import new_record
from audit.store import Store
from benchmarks.common import Row, row, table
from probes.probe import Probe

PROBES, IMAGES = 150, 100
CLASSES = {"gender": 2, "age": 9, "ethnicity": 7}
SHARED = 0.5
"""Part of the images of the new run that are those of the old one."""
TARGET = 1.5
FLOOR = "import pandas, scipy.stats"
Answers = Mapping[str, np.ndarray[Any, Any]]


def rows(repeats: int, seed: int) -> list[Row]:
    """The floor times 1.5 ÷ each command, in seconds of the processor."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        old = _answers(seed, seed)
        other = _answers(seed, seed + 1)
        same = np.random.default_rng(seed).random((PROBES, IMAGES)) < SHARED
        _store(folder / "old", old, seed)
        _store(folder / "new", {key: np.where(same, old[key], other[key]) for key in old}, seed)
        _store(folder / "reseeded", other, seed + 1)
        audit.export_baseline(folder / "old", folder / "baseline.json")
        rolecall = [sys.executable, "-m", "audit"]
        ways = {
            "floor": [sys.executable, "-c", FLOOR],
            "gate NEW --baseline OLD": [*rolecall, "gate", "new", "--baseline", "old"],
            "gate NEW --baseline baseline.json": [*rolecall, "gate", "new", "--baseline", "baseline.json"],
            "compare NEW OLD": [*rolecall, "compare", "new", "old"],
            "compare NEW OLD, other seeds": [*rolecall, "compare", "reseeded", "old"],
        }
        seconds = _measure(ways, max(7, repeats), folder)
    clock, processor = seconds.pop("floor")
    found = []
    for way, (wall, own) in seconds.items():
        note = f"{own / processor:.2f} × its processor time, {wall / clock:.2f} × its wall time"
        found.append(row(f"{TARGET:g} × `{FLOOR}` ÷ `rolecall {way}`", TARGET * processor / own, 1, note))
    return found


def _answers(seed: int, draw: int) -> Answers:
    """Classes of all images, probes × images; the shares of the probes depend on `seed` alone."""
    shares, images = np.random.default_rng(seed), np.random.default_rng([seed, draw])
    answers = {}
    for name, k in CLASSES.items():
        bounds = shares.dirichlet(np.full(k, 2.0), PROBES).cumsum(axis=1)[:, None, :-1]
        answers[name] = (images.random((PROBES, IMAGES, 1)) > bounds).sum(axis=2)
    return answers


def _store(folder: Path, answers: Answers, seed: int) -> None:
    """A complete, analysed run without images, a batch a probe."""
    probes = [Probe(f"p{j:03d}.en", f"a portrait of p{j}", f"p{j:03d}", "occupation") for j in range(PROBES)]
    settings = resolve(Config(model="chosen", suite="chosen", out=str(folder), reference=("uniform",)))
    settings = settings.model_copy(update={"primary": Primary(attribute="gender", reference="uniform")})
    suite = {"name": "chosen", "version": "1", "digest": "", "card": {}, "probes": PROBES, "languages": ["en"]}
    record = new_record(settings, settings, suite, ())
    classes = {name: [f"{name}_{c}" for c in range(k)] for name, k in CLASSES.items()}
    record["classifiers"]["chosen"] = {
        "fingerprint": {},
        "questions": [{"attribute": name, "classes": classes[name], "ordered": name == "age"} for name in CLASSES],
        "card": {"source": "chosen", "construct": "none", "caveats": [], "known_error": {}},
    }
    plan = {"images": IMAGES, "seed": seed, "batch_size": IMAGES, "batches": PROBES, "samples": PROBES * IMAGES}
    record |= {"model": {"name": folder.name, "fingerprint": {}}, "plan": plan}
    store = Store.create(folder, record, probes, {probe.probe_id: IMAGES for probe in probes})
    rng = np.random.default_rng([seed, len(folder.name)])
    for number, probe in enumerate(probes):
        names = [rng.bytes(32).hex() for _ in range(IMAGES)]
        keys = {"sample_id": names, "probe_id": [probe.probe_id] * IMAGES, "index": list(range(IMAGES))}
        labels = [
            Labels(
                name,
                tuple(classes[name]),
                tuple(classes[name][c] for c in values[number]),
                rng.dirichlet(np.ones(CLASSES[name]), IMAGES).astype(np.float32),
            )
            for name, values in answers.items()
        ]
        store.write_labels("chosen", number, number, keys, labels)
        sample = {"batch": number, "probe_id": probe.probe_id, "seed": 0, "outcome": "ok", "reason": "", "file": ""}
        sample |= {"offset": 0, "length": 0, "width": 0, "height": 0, "details": ""}
        store.write_samples(
            number, [{**sample, "sample_id": one, "index": i, "sha256": one} for i, one in enumerate(names)]
        )
    audit.analyze(folder, report=False)


def _measure(ways: Mapping[str, Sequence[str]], repeats: int, folder: Path) -> dict[str, tuple[float, float]]:
    """Median seconds of the clock and of the processor, by way; each is run once before, unmeasured.

    Raises:
        RuntimeError: if a process ends as if it had not understood.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    # Installed packages are compiled; so is this checkout then, after the first round.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for number in range(repeats + 1):
        for name, command in ways.items():
            start = time.perf_counter()
            process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode not in (0, 3, 4):
                raise RuntimeError(f"{' '.join(command)} left with {process.returncode}")
            if number:
                found[name].append(seconds)
    medians = {name: [statistics.median(each) for each in zip(*times, strict=True)] for name, times in found.items()}
    return {name: (clock, processor) for name, (clock, processor) in medians.items()}


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(table(rows(given.repeats, given.seed)))


if __name__ == "__main__":
    main()
