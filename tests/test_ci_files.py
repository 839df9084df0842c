"""What runs in CI: the steps of action.yml in a shell, the GitLab example, and the fixtures for pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from stored import CLASSES, drawn, store_run

ROOT = Path(__file__).resolve().parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, share, seed in (("base", 0.5, 0), ("skewed", 0.9, 0), ("reseeded", 0.5, 1)):
        rng = np.random.default_rng([seed, int(10 * share)])
        gender = drawn(np.tile([share, 1 - share], (12, 1)), 20, CLASSES["gender"], rng)
        store_run(folder / name, {"gender": gender}, seed=seed)
    return folder


def step(folder: Path, run: Path, baseline: Path, allow: str = "true") -> tuple[int, str]:
    """The gate's step of the action in bash; its exit code and what it put out."""
    (step,) = [each for each in ACTION["runs"]["steps"] if each.get("id") == "gate"]
    given = {name: str(entry.get("default", "")) for name, entry in ACTION["inputs"].items()}
    given |= {"run": str(run), "baseline": str(baseline), "allow-inconclusive": allow}
    variables = {}
    for name, value in step["env"].items():
        variables[name] = given[value.removeprefix("${{ inputs.").removesuffix(" }}")]
    place = {"GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "GITHUB_OUTPUT": str(folder / "output")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={**os.environ, **variables, **place, "PATH": path},
    )
    return done.returncode, (folder / "output").read_text()


@pytest.mark.parametrize(
    ("name", "allow", "code", "verdict"),
    [
        ("base", "true", 0, "pass"),
        ("skewed", "true", 3, "fail"),
        ("reseeded", "true", 0, "inconclusive"),
        ("reseeded", "false", 4, "inconclusive"),
    ],
)
def test_the_action_ends_as_the_gate_does(
    runs: Path, tmp_path: Path, name: str, allow: str, code: int, verdict: str
) -> None:
    assert step(tmp_path, runs / name, runs / "base", allow) == (code, f"verdict={verdict}\n")
    assert f"Rolecall: {verdict}" in (tmp_path / "summary.md").read_text("utf-8")
    assert ElementTree.parse(tmp_path / "rolecall-gate.xml").getroot().tag == "testsuites"


def test_the_action_names_only_inputs_that_it_has() -> None:
    text = (ROOT / "action.yml").read_text("utf-8")
    used = {part.split("}}")[0].strip() for part in text.split("${{ inputs.")[1:]}
    assert used | {"install"} == set(ACTION["inputs"])


TESTS = """
def test_same(assert_gate):
    assert assert_gate({base!r}, baseline={base!r}).verdict == "pass"


def test_skewed(assert_gate):
    assert_gate({skewed!r}, baseline={base!r})


def test_reseeded(assert_gate):
    assert_gate({reseeded!r}, baseline={base!r})


def test_a_run(rolecall_run, assert_gate):
    run = rolecall_run(model="phantom-drawn", subjects=("nurse",), images=4, draws=200)
    assert run.complete
    assert_gate(run, baseline=run)
"""


def test_the_fixtures_pass_fail_and_skip(runs: Path, tmp_path: Path) -> None:
    names = {name: str(runs / name) for name in ("base", "skewed", "reseeded")}
    (tmp_path / "test_model.py").write_text(TESTS.format(**names))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rs",
            "-p",
            "no:cacheprovider",
            "--junitxml",
            "out.xml",
            "test_model.py",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    cases = {case.get("name"): case for case in ElementTree.parse(tmp_path / "out.xml").getroot().iter("testcase")}
    assert list(cases) == ["test_same", "test_skewed", "test_reseeded", "test_a_run"], done.stdout
    state = {name: next((child.tag for child in case), "passed") for name, case in cases.items()}
    assert state == {
        "test_same": "passed",
        "test_skewed": "failure",
        "test_reseeded": "skipped",
        "test_a_run": "passed",
    }
    assert "gap of perceived gender from uniform: changed by" in done.stdout
