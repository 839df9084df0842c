"""A whole small audit of noise: images in seconds, with tables, report and all that a run directory holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import Noise, Tint

import audit
from probes.generators.base import Request, Result

PROMPTS = ("a photo of a nurse", 'a photo of a "test" driver, <b>看</b> 😀\u2028')
"""What is asked; one prompt has all that breaks careless writers."""


class Known(Noise):
    """Noise that says what it shows, as the drawn phantom does."""

    def _one(self, request: Request) -> Result:
        found = super()._one(request)
        if found.outcome != "ok":
            return found
        shown = {"people": "one", "gender": "woman" if request.seed % 2 else "man"}
        return Result("ok", found.image, details={"truth": shown, "revised_prompt": f"once more: {request.prompt}"})


def noise_audit(out: Path, **options: Any) -> Path:
    """Audit noise: 2 probes × 12 images (one is refused), labelled by their tint."""
    prompts = out.parent / "prompts.csv"
    prompts.parent.mkdir(parents=True, exist_ok=True)
    quoted = ['"' + text.replace('"', '""') + '"' for text in PROMPTS]
    prompts.write_text("\n".join(["prompt,subject", *(f"{text},s{i}" for i, text in enumerate(quoted))]), "utf-8")
    given = {"images": 12, "seed": 1, "draws": 200, "threads": 1, "reference": ("uniform",), **options}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probes.generators.registry.load_generator", lambda name, **_: Known())
        patch.setattr("audit.classifiers.registry.load_classifier", lambda name, **_: Tint())
        audit.run(model="noise", suite=str(prompts), classifier=("tint",), out=str(out), **given)
    return out
