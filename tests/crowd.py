"""An instrument that tells people apart, and runs that it labels: it reads people off the pixels of small noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Noise, probes, record
from noise_audit import PROMPTS, Known
from PIL import Image

import audit
from audit.classifiers.base import NO_PERSON, SEVERAL_PEOPLE, Labels, Question
from audit.classifiers.people import Face
from audit.progress import Progress
from audit.runner import make
from audit.sources import GeneratedSource
from audit.store import Store
from probes.plan import Plan


class Crowd:
    """0 to 3 people an image, each a woman, a man or unclear, young or older, in a box of its own."""

    name = "crowd"
    questions = (Question("gender", ("woman", "man")), Question("age", ("young", "older"), ordered=True))

    def __init__(self) -> None:
        self.looks = 0

    def fingerprint(self) -> dict[str, object]:
        return {"kind": "crowd"}

    def card(self) -> dict[str, object]:
        return {"source": "test", "construct": "pixels", "caveats": [], "known_error": {}}

    def people(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        self.looks += len(images)
        return [self._found(image) for image in images]

    def _found(self, image: Image.Image) -> list[Face]:
        pixels = np.asarray(image).astype(int)
        faces = []
        for row in range(1, 1 + pixels[0, 0, 0] % 4):
            (a, b, c), size = pixels[row, 1], int(pixels[row, 2, 0]) % 3 + 1
            answers = {"gender": ("woman", "man", "woman", "man", "unclear")[a % 5], "age": ("young", "older")[b % 2]}
            scores = {"gender": (a / 255, 1 - a / 255), "age": (float("nan"),) * 2}
            left = int(c) % 7 - 1  # some boxes reach over the edge
            faces.append(
                Face(left, row, left + size, row + size, *image.size, confidence=1.0, pose="front", answers=answers,
                     scores=scores)
            )  # fmt: skip
        return sorted(faces, key=lambda face: (-face.share, face.top))

    def label_people(self, people: Sequence[Sequence[Face]]) -> list[Labels]:
        found = []
        for question in self.questions:
            name, k = question.attribute, len(question.classes)
            ones = [each[0] if len(each) == 1 else None for each in people]
            none = [SEVERAL_PEOPLE if each else NO_PERSON for each in people]
            answers = tuple(one.answers[name] if one else other for one, other in zip(ones, none, strict=True))
            rows = [one.scores[name] if one else (float("nan"),) * k for one in ones]
            found.append(Labels(name, question.classes, answers, np.array(rows, np.float32).reshape(-1, k)))
        return found

    def label(self, images: Sequence[Image.Image]) -> list[Labels]:
        return self.label_people(self.people(images))


def crowd_run(
    root: Path, *, images: int = 12, count: int = 3, classifier: Any = None, identity: Any = None, **options: Any
) -> Store:
    """Make (or continue) a run of noise labelled by `Crowd`, without tables."""
    generator, instrument = Noise(), classifier or Crowd()
    plan = Plan(probes(count), images, 1, generator.batch_size, generator.fingerprint())
    content = record(plan, [instrument])
    content["identity"] |= identity or {}
    store = Store.create(root, content, plan.probes, dict.fromkeys((p.probe_id for p in plan.probes), images))
    make(store, GeneratedSource(plan, generator), [instrument], progress=Progress(), **options)
    return store


def crowd_audit(out: Path, **options: Any) -> Path:
    """Audit noise as `Crowd` sees it: 2 probes × 20 images, with tables and report."""
    prompts = out.parent / "prompts.csv"
    prompts.parent.mkdir(parents=True, exist_ok=True)
    quoted = ['"' + text.replace('"', '""') + '"' for text in PROMPTS]
    prompts.write_text("\n".join(["prompt,subject", *(f"{text},s{i}" for i, text in enumerate(quoted))]), "utf-8")
    given = {"images": 20, "seed": 1, "draws": 200, "threads": 1, "reference": ("uniform",), **options}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probes.generators.registry.load_generator", lambda name, **_: Known())
        patch.setattr("audit.classifiers.registry.load_classifier", lambda name, **_: Crowd())
        audit.run(model="noise", suite=str(prompts), classifier=("crowd",), out=str(out), **given)
    return out


def stored_people(store: Store, classifier: str = "crowd") -> dict[str, list[dict[str, Any]]]:
    """The rows of people/ by sample_id, in the order in which they stand."""
    from audit.stored_people import people_parts

    found: dict[str, list[dict[str, Any]]] = {}
    for table in people_parts(store, classifier):
        for row in table.to_pylist():
            found.setdefault(row["sample_id"], []).append(row)
    return found
