"""A CI job as a team runs it: a baseline in git, new versions of a model, a verdict for each; real processes only.

What the versions must come to, and how sure it is: in 48 images a prompt from another seed (same prompts, versions and
classifier) the gap of gender from even shares is .41 for the phantom, .87 for `skewed`, .15 for `balanced`, and
`fewer-people` shows nobody in 17 % of its images. Of 1,000 draws of 16 images a prompt out of these 48, `skewed` failed
in all, `fewer-people` on the missing images in 98.4 % and `balanced` in none; the same model with other seeds failed in
2.1 %. The seeds here are fixed: the p-values of the lines that fail are below .002, that of the gap with other seeds is
above .5, and images of another processor differ in their last bits only.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from ci_job import FINE_TUNES, ROOT, VERSIONS, Step, ci_job, play, step, verdict_of
from junitparser import Failure, JUnitXml, Skipped

import audit
from audit.gating import read_side
from audit.policy import read_policy
from audit.reference import load_reference
from audit.verdict import decide

pytestmark = pytest.mark.timeout(1500)  # the first test makes five runs, which takes long on a machine with other work
GATE = """
rolecall gate {run} --baseline baseline.json --junit "$JUNIT" --comment "$COMMENT" --summary "$GITHUB_STEP_SUMMARY"
"""
LINES = ["gap gender even within 0.05", "missing within 0.05"]
CODES = {"pass": 0, "fail": 3, "inconclusive": 4}
ALLOWED = {
    "base": {"pass"},
    "reseeded": {"pass", "inconclusive"},
    "skewed": {"fail"},
    "balanced": {"pass", "inconclusive"},
    "fewer-people": {"fail"},
}
"""What the gate may say of each version."""
LIMIT = 65_536
"""Characters of a comment on GitHub."""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the job, with the run of every version."""
    return ci_job(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def gates(job: Path) -> dict[str, Step]:
    """The gate's step of every version, and what it wrote in gates/NAME."""
    return {name: gate(job, name) for name in VERSIONS}


def gate(job: Path, name: str) -> Step:
    place = job / "gates" / name
    files = {"JUNIT": str(place / "gate.xml"), "COMMENT": str(place / "gate.md")}
    return step(GATE.format(run=VERSIONS[name]), job, place, **files)


def lines_of(job: Path, name: str) -> dict[str, dict[str, Any]]:
    return {line["measure"]: line for line in verdict_of(job / VERSIONS[name])["lines"]}


@pytest.mark.parametrize("name", VERSIONS)
def test_the_verdict_of_a_version_is_its_exit_code(job: Path, gates: dict[str, Step], name: str) -> None:
    done, verdict = gates[name], verdict_of(job / VERSIONS[name])
    assert verdict["verdict"] in ALLOWED[name], done
    assert done.code == CODES[verdict["verdict"]]
    assert done.out.startswith(f"{verdict['verdict']}: 2 lines")
    assert (verdict["run"], verdict["baseline"]) == (Path(VERSIONS[name]).name, "base")
    assert [line["name"] for line in verdict["lines"]] == LINES
    assert bool(verdict["unpaired"]) == (name == "reseeded")
    assert not done.err


def test_a_stronger_skew_fails_on_the_gap_alone(job: Path, gates: dict[str, Step]) -> None:
    lines = lines_of(job, "skewed")
    assert (lines["gap"]["verdict"], lines["missing"]["verdict"]) == ("fail", "pass")
    assert lines["gap"]["low"] > 0.1


def test_balanced_drawings_lower_the_gap(job: Path, gates: dict[str, Step]) -> None:
    gap = lines_of(job, "balanced")["gap"]
    assert gap["value"] < -0.05
    assert gap["verdict"] != "fail"


def test_a_version_that_draws_fewer_people_fails_on_the_missing_images_alone(job: Path, gates: dict[str, Step]) -> None:
    lines = lines_of(job, "fewer-people")
    assert (lines["gap"]["verdict"] != "fail", lines["missing"]["verdict"]) == (True, "fail")
    missing = pd.read_csv(job / VERSIONS["fewer-people"] / "tables" / "missing.csv")
    asked, lost = missing["asked"].sum(), missing["lost"].sum()
    assert lines["missing"]["value"] == pytest.approx(lost / asked)  # the baseline lost none
    assert 0.1 < lost / asked < 0.3


def test_without_a_line_on_missing_images_nobody_would_have_been_told(job: Path) -> None:
    """The gap is that of the images that are left."""
    policy = read_policy(job / "gate.yaml")
    alone = policy.model_copy(update={"lines": policy.lines[:1]})
    run, baseline = job / VERSIONS["fewer-people"], job / "baseline.json"
    references = {"even": load_reference(f"training:{job / 'even.csv'}")}
    assert decide(read_side(run), read_side(baseline), alone, references).found != "fail"


@pytest.mark.parametrize("name", VERSIONS)
def test_a_public_parser_reads_the_junit_back(job: Path, gates: dict[str, Step], name: str) -> None:
    (suite,) = list(JUnitXml.fromfile(str(job / "gates" / name / "gate.xml")))
    verdict = verdict_of(job / VERSIONS[name])
    states = [line["verdict"] for line in verdict["lines"]]
    assert (suite.tests, suite.errors) == (len(LINES), 0)
    assert (suite.failures, suite.skipped) == (states.count("fail"), states.count("inconclusive"))
    assert {each.name: each.value for each in suite.properties()}["verdict"] == verdict["verdict"]
    for case, line in zip(suite, verdict["lines"], strict=True):
        assert (case.classname, case.name) == ("rolecall.gate", line["name"])
        kinds = {"fail": [Failure], "inconclusive": [Skipped], "pass": []}[line["verdict"]]
        assert [type(each) for each in case.result] == kinds
        assert all(each.message == case.system_out for each in case.result)
        assert f"{line['value']:+.3f}".replace("-", "−") in case.system_out


@pytest.mark.parametrize("name", VERSIONS)
def test_summary_and_comment_say_the_verdict_and_the_figures(job: Path, gates: dict[str, Step], name: str) -> None:
    comment = (job / "gates" / name / "gate.md").read_text("utf-8")
    verdict = verdict_of(job / VERSIONS[name])
    assert gates[name].summary == comment  # appended to a file that was empty
    assert len(comment) < LIMIT
    assert re.match(rf"### . Rolecall: {verdict['verdict']}\n", comment)
    assert ("Images are not compared in pairs: the runs have different seeds" in comment) == (name == "reseeded")
    for line in verdict["lines"]:
        (row,) = [each for each in comment.splitlines() if each.startswith("| ") and f" {line['measure']} " in each]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[0].endswith(line["verdict"])
        shown = [float(part.replace("−", "-")) for part in (cells[2], *cells[3].split(" to "))]
        assert shown == pytest.approx([line[key] for key in ("value", "low", "high")], abs=5e-4)
    assert verdict["images_needed"] is None or f"About {verdict['images_needed']:,} images" in comment


def test_the_summary_is_appended_to_what_other_steps_wrote(job: Path, gates: dict[str, Step]) -> None:
    place = job / "gates" / "skewed"
    done = gate(job, "skewed")  # once more, into the same files
    assert done.summary == 2 * gates["skewed"].summary
    (place / "GITHUB_STEP_SUMMARY").write_text(gates["skewed"].summary, "utf-8")
    assert done._replace(summary="") == gates["skewed"]._replace(summary="")  # the same verdict, in every figure


def test_the_baseline_file_stands_for_the_run(job: Path, gates: dict[str, Step]) -> None:
    assert (job / "baseline.json").stat().st_size < 1_000_000
    before = verdict_of(job / VERSIONS["skewed"])
    found = audit.gate(job / VERSIONS["skewed"], baseline=job / "runs" / "base", policy=job / "gate.yaml")
    assert found.to_dict() == before


# -- the action ----------------------------------------------------------------------------------------------------


ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
INPUTS = {"baseline": "baseline.json", "install": ""}


@pytest.mark.parametrize(
    ("name", "more", "code"),
    [
        ("skewed", {}, 3),
        ("reseeded", {}, None),
        ("reseeded", {"allow-inconclusive": "false"}, None),
        ("base", {"junit": "my gate.xml", "comment": "my gate.md", "policy": "a policy.yaml"}, 0),
    ],
)
def test_the_action_played_through(
    job: Path, gates: dict[str, Step], tmp_path: Path, name: str, more: dict[str, str], code: int | None
) -> None:
    (job / "a policy.yaml").write_text((job / "gate.yaml").read_text())
    expected = verdict_of(job / VERSIONS[name])["verdict"]
    if code is None:  # what is allowed to be inconclusive goes on, else it stops
        code = 0 if "allow-inconclusive" not in more else CODES[expected]
    done = play(ACTION, job, tmp_path, run=VERSIONS[name], **INPUTS, **more)
    assert (done.code, done.outputs) == (code, {"verdict": expected}), done
    comment = (job / more.get("comment", "rolecall-gate.md")).read_text("utf-8")
    assert done.summary == comment == gates[name].summary
    assert len(list(JUnitXml.fromfile(str(job / more.get("junit", "rolecall-gate.xml"))))) == 1


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"run": "runs/base", "baseline": "even.csv"}, "even.csv is no JSON"),
        ({"run": "runs/skewed", "baseline": ""}, "compares with a baseline"),
        ({"run": "runs/skewed", "make-more": "many"}, "--make-more"),
    ],
)
def test_the_action_stops_where_nothing_can_be_judged(
    job: Path, tmp_path: Path, inputs: dict[str, str], said: str
) -> None:
    done = play(ACTION, job, tmp_path, **{**INPUTS, **inputs})
    assert (done.code, done.outputs, done.summary) == (2, {"verdict": ""}, ""), done
    assert said in done.err and len(done.err.splitlines()) == 1


def test_the_gitlab_job_of_the_guide(job: Path, gates: dict[str, Step], tmp_path: Path) -> None:
    text = (ROOT / "docs" / "gate.md").read_text("utf-8")
    (entry,) = [
        each["audit"] for each in map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", text, re.S)) if "audit" in each
    ]
    (report,) = entry["artifacts"]["reports"].values()
    (job / "runs" / "new").symlink_to("skewed")
    done = step("\n".join(entry["script"]), job, tmp_path)
    assert done.code == CODES["fail"] not in entry["allow_failure"]["exit_codes"]
    assert CODES["inconclusive"] in entry["allow_failure"]["exit_codes"]
    (suite,) = list(JUnitXml.fromfile(str(job / report)))
    assert suite.failures == 1


def test_the_fine_tunes_are_small(job: Path) -> None:
    assert all((ROOT / f"probes/phantom/weights/lora/{name}.safetensors").stat().st_size < 2**20 for name in FINE_TUNES)
