"""A team's CI job, played through with real processes: versions of the phantom, made and judged in shells.

The versions are the phantom itself, the same with other seeds, and three fine-tunes (`probes/phantom/weights/lora`).
All runs are made once a session: `ci_job(tmp_path_factory.getbasetemp())`. Read them only; a gate leaves verdict.json.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
LORA = ROOT / "probes" / "phantom" / "weights" / "lora"
AUDIT = """
model: phantom
languages: en
subjects: [teacher, artist, scientist, doctor, chef, judge]
attributes: gender
images: 16
reference: training:even.csv
draws: 200
threads: 1
"""
"""What the team asks of every version: 96 images."""
EVEN = "subject,attribute,class,count\n*,gender,woman,1000\n*,gender,man,1000\n"
"""Even shares of gender as an own reference: the phantom is compared with its world only, and with own counts."""
POLICY = """
lines:
  - {measure: gap, attribute: gender, reference: even, within: 0.05}
  - {measure: missing, within: 0.05}
"""
FINE_TUNES = ("skewed", "balanced", "fewer-people")
MAKE = {
    "baseline": """
        rolecall run audit.yaml --out runs/base --quiet
        rolecall export runs/base --baseline baseline.json
        rolecall run audit.yaml --seed 1 --out runs/reseeded --quiet
    """,
    "fine-tunes": "rolecall run versions.yaml --quiet",
}
"""Two jobs at the same time. The fine-tunes are the cells of a grid, which saves loading torch three times."""
VERSIONS = {"base": "runs/base", "reseeded": "runs/reseeded", **{name: f"runs/{name}" for name in FINE_TUNES}}
"""Name of a version → its run, in the job's folder."""


class Step(NamedTuple):
    """What a step of a job came to."""

    code: int
    out: str
    err: str
    outputs: Mapping[str, str]
    """What it wrote to GITHUB_OUTPUT."""
    summary: str
    """What it wrote to GITHUB_STEP_SUMMARY."""


def start(script: str, folder: Path, **variables: str) -> subprocess.Popen[str]:
    """A script in bash as GitHub and GitLab call it: it ends at the first command that fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, **variables, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def step(script: str, folder: Path, place: Path, **variables: str) -> Step:
    """A step of a job that runs in `folder`, with the files that GitHub gives a step in `place`."""
    place.mkdir(parents=True, exist_ok=True)
    files = {name: place / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for path in files.values():
        path.touch()
    with start(script, folder, **variables, **{name: str(path) for name, path in files.items()}) as process:
        out, err = process.communicate()
    outputs, summary = (path.read_text("utf-8") for path in files.values())
    return Step(process.returncode, out, err, dict(line.split("=", 1) for line in outputs.splitlines()), summary)


@cache
def ci_job(base: Path) -> Path:
    """The folder of the job, made once under `base`: `runs/NAME` of `VERSIONS`, baseline.json, gate.yaml."""
    folder = base / "ci-job"
    folder.mkdir()
    (folder / "audit.yaml").write_text(AUDIT)
    cells = {name: {"lora": [str(LORA / f"{name}.safetensors")]} for name in FINE_TUNES}
    (folder / "versions.yaml").write_text(AUDIT + yaml.safe_dump({"out": "runs", "grid": cells}))
    (folder / "even.csv").write_text(EVEN)
    (folder / "gate.yaml").write_text(POLICY)
    jobs = {name: start(script, folder) for name, script in MAKE.items()}
    for name, job in jobs.items():
        out, err = job.communicate()
        assert job.returncode == 0, (name, out, err)
    return folder


def verdict_of(run: Path) -> dict[str, Any]:
    """What the last gate said of a run."""
    found: dict[str, Any] = json.loads((run / "verdict.json").read_text("utf-8"))
    return found


def play(action: Mapping[str, Any], folder: Path, place: Path, **inputs: str) -> Step:
    """The steps of a composite action as GitHub runs them: conditions, inputs, outputs. `uses` steps are left out.

    Returns:
        The last step that ran, with the outputs of the action.
    """
    given = {name: str(entry.get("default", "")) for name, entry in action["inputs"].items()}
    required = {name for name, entry in action["inputs"].items() if entry.get("required")}
    assert required <= set(inputs) <= set(given), inputs
    context = {f"inputs.{name}": value for name, value in {**given, **inputs}.items()}
    done = None
    for number, each in enumerate(action["runs"]["steps"]):
        if "run" not in each or not _holds(str(each.get("if", "")), context):
            continue
        assert each["shell"] == "bash"
        variables = {name: _filled(str(value), context) for name, value in each.get("env", {}).items()}
        done = step(_filled(each["run"], context), folder, place / str(number), **variables)
        context |= {f"steps.{each.get('id')}.outputs.{name}": value for name, value in done.outputs.items()}
        if done.code:
            break
    assert done is not None
    outputs = {name: _filled(str(entry["value"]), context) for name, entry in action.get("outputs", {}).items()}
    return done._replace(outputs=outputs)


def _filled(text: str, context: Mapping[str, str]) -> str:
    """With every `${{ … }}` replaced; an output that was not written is empty, an unknown input is an error."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        return context.get(name, "") if name.startswith("steps.") else context[name]

    return re.sub(r"\$\{\{\s*([\w.-]+)\s*\}\}", value, text)


def _holds(condition: str, context: Mapping[str, str]) -> bool:
    """Of the form `inputs.NAME != ''`, the one that the action uses; an empty condition holds."""
    if not condition:
        return True
    found = re.fullmatch(r"(inputs\.[\w-]+) != ''", condition)
    assert found, condition
    return context[found[1]] != ""
