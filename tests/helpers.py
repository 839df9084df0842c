"""Small real material for tests: a model that is a Python function, and an instrument that reads colours."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from audit.classifiers.base import Labels, Question
from audit.progress import Progress
from audit.runner import make
from audit.sources import GeneratedSource
from audit.store import Store
from probes.generators.base import Request, Result
from probes.plan import Plan
from probes.suite import Probe


class Noise:
    """A generator of coloured noise: every image follows from its seed alone. Odd seeds ending in 3 are refused."""

    name = "noise"
    batch_size = 4
    fixed_batches = True

    def __init__(self, log: Path | None = None, size: int = 8) -> None:
        self.log, self.size = log, size

    def fingerprint(self) -> dict[str, object]:
        return {"kind": "noise", "size": self.size, "batch_size": self.batch_size}

    def generate(self, requests: Sequence[Request]) -> list[Result]:
        if len(requests) != self.batch_size:
            raise ValueError(f"got {len(requests)} requests, not {self.batch_size}")
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{requests[0].seed}\n")
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Result:
        if request.seed % 10 == 3:
            return Result("refused", reason="the filter said no")
        rng = np.random.default_rng(request.seed)
        pixels = rng.integers(0, 256, (self.size, self.size, 3), dtype=np.uint8)
        return Result("ok", Image.fromarray(pixels), details={"first": int(pixels[0, 0, 0])})


class Tint:
    """An instrument with embeddings (mean colour): `woman` if red leads green, `man` if not, `unclear` near it."""

    name = "tint"
    embedding_name = "mean-colour"
    questions = (Question("gender", ("woman", "man")),)

    def __init__(self, margin: float = 0.0) -> None:
        self.margin = margin
        self.embedded = 0

    def fingerprint(self) -> dict[str, object]:
        return {"kind": "tint", "margin": self.margin}

    def card(self) -> dict[str, object]:
        return {"source": "test", "construct": "colour", "caveats": [], "known_error": {}}

    def embed(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float16]:
        self.embedded += len(images)
        rows = [np.asarray(image).reshape(-1, 3).mean(axis=0) for image in images]
        return np.asarray(rows, np.float16).reshape(-1, 3)

    def label_embeddings(self, embeddings: npt.NDArray[np.float16]) -> list[Labels]:
        lead = embeddings[:, 0].astype(np.float32) - embeddings[:, 1].astype(np.float32)
        answers = tuple("unclear" if abs(x) < self.margin else "woman" if x > 0 else "man" for x in lead)
        scores = np.stack([lead > 0, lead <= 0], axis=1).astype(np.float32)
        return [Labels("gender", ("woman", "man"), answers, scores)]

    def label(self, images: Sequence[Image.Image]) -> list[Labels]:
        return self.label_embeddings(self.embed(images))


def probes(count: int = 3) -> tuple[Probe, ...]:
    """`count` probes about occupations."""
    return tuple(
        Probe(probe_id=f"job{i}.en.photo", text=f"a photo of job {i}", subject=f"job{i}", kind="occupation")
        for i in range(count)
    )


def record(plan: Plan, classifiers: Sequence[Any]) -> dict[str, Any]:
    """The content of run.json for a run of `Noise`, as far as the runner needs it."""
    entries = {
        each.name: {
            "fingerprint": each.fingerprint(),
            "questions": [vars(question) for question in each.questions],
            "card": each.card(),
        }
        for each in classifiers
    }
    return {
        "classifiers": entries,
        "plan": {"images": plan.images, "batches": len(plan), "samples": plan.samples},
        "identity": {"model": dict(plan.fingerprint), "images": plan.images, "seed": plan.seed},
    }


def noise_run(
    root: Path, *, images: int = 5, count: int = 3, seed: int = 1, log: Path | None = None, **options: Any
) -> tuple[Store, bool]:
    """Make (or continue) a run of `Noise` labelled by `Tint`. Returns the store and whether it is complete."""
    generator = Noise(log)
    plan = Plan(probes(count), images, seed, generator.batch_size, generator.fingerprint())
    tint = Tint()
    planned = {probe.probe_id: images for probe in plan.probes}
    store = Store.create(root, record(plan, [tint]), plan.probes, planned)
    complete = make(store, GeneratedSource(plan, generator), [tint], progress=Progress(), **options)
    return store, complete


def slow_noise_run(root: Path, log: Path, image_store: str) -> None:
    """A run of 200 batches, 10 ms slower each, for processes that are killed. Leaves with 9 if it is incomplete."""
    make_at_once = Noise.generate

    def slowly(self: Noise, requests: Sequence[Request]) -> list[Result]:
        time.sleep(0.01)
        return make_at_once(self, requests)

    Noise.generate = slowly  # type: ignore[method-assign]
    _, complete = noise_run(root, images=40, count=20, log=log, image_store=image_store)
    sys.exit(0 if complete else 9)


def rows(store: Store) -> dict[str, dict[str, Any]]:
    """All samples of a run by sample_id."""
    return {row["sample_id"]: row for *_, table in store.sample_parts() for row in table.to_pylist()}
