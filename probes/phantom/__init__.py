"""The phantom: a small text-to-image model of known make-up, the object that the scanner is tested with.

`WEIGHTS` is a `StableDiffusionPipeline` trained on drawn portraits with planted shares (`world.yaml`); `CLASSIFIER` is
an open_clip model trained on drawings with equal shares. Both come from `python -m probes.phantom.train`.
`PhantomDrawn` draws with exact known truth per image. The figures are calibration objects: their markers are drawing
conventions, the four peoples are invented, and neither says anything about people.
"""

from __future__ import annotations

from pathlib import Path

from probes.phantom.drawn import PhantomDrawn

WEIGHTS = Path(__file__).parent / "weights" / "pipeline"
"""Folder of the diffusion pipeline."""
CLASSIFIER = Path(__file__).parent / "weights" / "clip"
"""Folder of the open_clip model, for `local-dir:`."""
STEPS = 15
"""Denoising steps that the shipped pipeline is used with."""
GUIDANCE = 1.0
"""No guidance: above 1 it sharpens the pictures and skews the shares."""
BATCH_SIZE = 16
"""Images made at once."""

__all__ = ["BATCH_SIZE", "CLASSIFIER", "GUIDANCE", "STEPS", "WEIGHTS", "PhantomDrawn"]
