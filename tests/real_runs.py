"""Imports of the real images, made once for all tests that read them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import Answer, call, contents

import audit
from benchmarks.real_draws import imported

TABLES = {"dall_e_3": "gpt.csv", "flux_dev": "flux.csv", "sdxl_turbo": "sdxl.csv"}
"""Folder of each model → the table of people's labels in it."""
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "human-labels.md"
_MADE: dict[str, tuple[audit.Run, Answer]] = {}
_LIGHT: dict[str, audit.Run] = {}


def codes_of_the_document(folder: Path) -> Path:
    """The table of codes that docs/human-labels.md shows for these images."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
    path = folder / "codes.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def folder_of(shared_data: Path, model: str) -> Path:
    """The images of a model; skips the test without them."""
    path = shared_data / "images" / model
    if not path.is_dir():
        pytest.skip(f"no folder images/{model} in shared/data")
    return path


def labelled_run(shared_data: Path, model: str, factory: pytest.TempPathFactory) -> tuple[audit.Run, Answer]:
    """100 images, labelled by faces and by people, by the command line; tests must not change it."""
    folder = folder_of(shared_data, model)
    if model not in _MADE:
        out, before = factory.mktemp("real") / model, contents(folder)
        answer = call(
            "import", folder, "--folders", "subject/condition", "--suite", "occupations", "--classifier", "faces",
            "--human-labels", folder / TABLES[model], "--codes", codes_of_the_document(out.parent), "--threads", 1,
            "--draws", 1000, "--out", out,
        )  # fmt: skip
        assert (answer.code, answer.out) == (0, f"Report: {out / 'report.html'}\n"), answer
        assert contents(folder) == before
        _MADE[model] = audit.open(out), answer
    return _MADE[model]


def run_of(shared_data: Path, model: str, factory: pytest.TempPathFactory) -> audit.Run:
    """The same without a report, as the benchmark makes it; what is made already is taken."""
    if model in _MADE:
        return _MADE[model][0]
    if model not in _LIGHT:
        _LIGHT[model] = imported(folder_of(shared_data, model), factory.mktemp("light"))
    return _LIGHT[model]
