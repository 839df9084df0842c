"""`phantom-drawn`: the planted world drawn exactly, with the truth of every picture beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from probes.generators.base import GeneratorError, Request, Result
from probes.phantom.captions import understand
from probes.phantom.data import draw_subject
from probes.phantom.world import World, load_world


class PhantomDrawn:
    """Draws what a prompt asks for with the planted shares: the positive control of an audit.

    Every result carries the truth in its details: `people` (`one`, `none`, `several`) and, for one person, `gender`,
    `age` and `ethnicity`. A prompt that names no subject of the world is refused.
    """

    name = "phantom-drawn"
    fixed_batches = False

    def __init__(self, batch_size: int = 16, world: World | None = None) -> None:
        if batch_size < 1:
            raise GeneratorError(f"batch_size must be at least 1 (got {batch_size}).")
        self.batch_size = batch_size
        self.world = world or load_world()

    def fingerprint(self) -> dict[str, object]:
        """Digests of the world and of the code that draws."""
        world = json.dumps(asdict(self.world), sort_keys=True).encode()
        code = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in _DRAWING)
        return {
            "kind": "phantom-drawn",
            "world": hashlib.sha256(world).hexdigest(),
            "drawing": hashlib.sha256(code).hexdigest(),
        }

    def generate(self, requests: Sequence[Request]) -> list[Result]:
        """One drawing a request; the picture and its truth follow from prompt and seed alone."""
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Result:
        asked = understand(self.world, request.prompt)
        if asked is None:
            return Result("refused", reason="the prompt names no subject of the phantom's world")
        pixels, person = draw_subject(self.world, asked.subject, asked.named, np.random.default_rng(request.seed))
        truth: dict[str, object] = {"people": self.world.subjects[asked.subject].people}
        if person is not None:
            truth.update(asdict(person))
        return Result("ok", Image.fromarray(pixels), details={"truth": truth})


_DRAWING = ("canvas", "figures", "outfits", "people", "scenes", "data", "captions")
