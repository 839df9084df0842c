"""How long all tables of an audit take: 150 probes × (2, 9, 7) classes × 100 images, with 100 labels of people."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from audit.calibration import tabulate
from audit.classifiers.base import NOT_MEASURED, Question
from audit.corrections import Evidence
from audit.counts import Counts, JointCounts
from audit.findings import find
from audit.reference import load_reference
from benchmarks.common import Row, interleaved
from probes.probe import Probe

PROBES, IMAGES, LABELS = 150, 100, 100
QUESTIONS = {"gender": (2, False), "age": (9, True), "ethnicity": (7, False)}
FIELDS = ("probe_id", "subject", "kind", "language", "form", "template", "people")


def rows(repeats: int, seed: int) -> list[Row]:
    """Seconds of all tables, given as a ratio to ten seconds."""
    rng = np.random.default_rng(seed)
    probes = [Probe(f"p{j:03d}.en.t", f"a p{j}", f"p{j:03d}", "occupation", template="t") for j in range(PROBES)]
    owner = np.repeat(np.arange(PROBES), IMAGES)
    answers = {}
    for name, (k, _) in QUESTIONS.items():
        chances = rng.dirichlet(np.full(k, 2.0), PROBES).cumsum(axis=1)[owner]
        answers[name] = (rng.random(len(owner))[:, None] > chances).sum(axis=1).clip(0, k - 1)
    classes = {name: tuple(f"{name}_{c}" for c in range(k)) for name, (k, _) in QUESTIONS.items()}
    counts, evidence = [], {}
    chosen = rng.choice(len(owner), LABELS, replace=False)
    for name, (k, ordered) in QUESTIONS.items():
        table = pd.DataFrame([{f: getattr(probe, f) for f in FIELDS} for probe in probes])
        table = table.assign(asked=IMAGES, made=IMAGES, refused=0, failed=0, **dict.fromkeys(NOT_MEASURED, 0))
        x = np.zeros((PROBES, k), dtype=int)
        np.add.at(x, (owner, answers[name]), 1)
        own = pd.DataFrame(x, columns=[f"class__{c}" for c in classes[name]])
        counts.append(Counts("clip", name, classes[name], ordered, pd.concat([table, own], axis=1)))
        seen = np.where(rng.random(LABELS) < 0.9, answers[name][chosen], rng.integers(k, size=LABELS))
        labelled = {
            "true": np.array(classes[name])[seen],
            "predicted": np.array(classes[name])[answers[name][chosen]],
            "probe_id": [probes[j].probe_id for j in owner[chosen]],
            "sampling_probability": LABELS / len(owner),
        }
        question = Question(name, classes[name], ordered)
        evidence["clip", name] = Evidence(tabulate("clip", question, pd.DataFrame(labelled), "audited", ["anna"]))
    joint = []
    for group in [pair for size in (2, 3) for pair in combinations(QUESTIONS, size)]:
        cells = np.zeros((PROBES, *(QUESTIONS[name][0] for name in group)))
        np.add.at(cells, (owner, *(answers[name] for name in group)), 1)
        names = tuple(probe.probe_id for probe in probes)
        joint.append(JointCounts("clip", group, tuple(classes[name] for name in group), names, cells))
    uniform = load_reference("uniform")

    def ours() -> None:
        find(counts, probes, [uniform], claim="list", evidence=evidence, joint=joint, seed=seed)

    seconds = interleaved({"ours": ours}, max(1, repeats // 3))["ours"]
    name = f"10 s ÷ all tables of {PROBES} probes × (2, 9, 7) classes × {IMAGES} images"
    return [Row(name, 10 / seconds, 1.0, seconds < 10, f"{seconds:.1f} s, 10,000 draws, {LABELS} labels of people")]
