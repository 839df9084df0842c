"""A small real grid for tests: the drawn phantom behind a Python function, asked in five ways."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import audit

MODEL = """
import os
from pathlib import Path

from probes.generators.base import Request
from probes.phantom.drawn import PhantomDrawn

DRAWN = PhantomDrawn()


def draw(prompts, seeds):
    log = os.environ.get("DRAWN_LOG")
    if log:
        with Path(log).open("a") as file:
            file.write(f"{seeds[0]}\\n")
        if len(Path(log).read_text().splitlines()) == int(os.environ.get("DRAWN_STOP", "0")):
            os._exit(9)
    images = [result.image for result in DRAWN.generate([Request(p, s) for p, s in zip(prompts, seeds)])]
    return [None if "shy" in p and s % 3 == 0 else image for p, s, image in zip(prompts, seeds, images)]


draw.fixed_batches = False
"""
"""Draws what prompt and seed say; asked to be shy it refuses every third seed. Given a log it counts its calls, and
ends the process at the call named by DRAWN_STOP."""
GRID = """
model: python:{model}:draw
suite: phantom
subjects: [nurse, builder, pilot]
languages: en
images: 24
batch_size: 12
classifier: phantom
reference: [phantom-world, uniform]
primary: gender,phantom-world
draws: 300
threads: 1
grid:
  base:
  women: {{intervention: woman}}
  shy: {{intervention: shy}}
  same: {{batch_size: 8}}
  scene: {{intervention: "in an <b>empty office</b>"}}
"""


def written(folder: Path, text: str = GRID) -> Path:
    """The configuration of a grid in a file, with its model beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    model, path = folder / "model.py", folder / "grid.yaml"
    model.write_text(MODEL)
    path.write_text(text.format(model=model))
    return path


@cache
def drawn_grid(folder: Path) -> audit.Grid:
    """The grid of `GRID`, made once in this folder (of all tests). Read it only."""
    out = folder / "drawn-grid" / "out"
    grid = audit.run_grid(written(folder / "drawn-grid"), out=str(out), report=False)
    for name in ("base", "women"):
        grid.runs[name].report()
    grid.report()
    return grid
