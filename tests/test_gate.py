"""The gate on stored runs: verdicts, exit codes, what CI reads of them, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from commands import call, refused, spawn
from stored import CLASSES, drawn, probes_of, store_run

import audit
from audit.policy import Line, Policy
from audit.verdict import Verdict

PROBES, IMAGES = 24, 40
POLICY = """
lines:
  - {measure: gap, attribute: gender, reference: uniform, within: 0.05}
  - {measure: missing, within: 0.05}
  - {measure: missing, below: 0.1}
  - {measure: worst_probe, attribute: gender, reference: uniform, below: 1}
  - {measure: worst_missing, below: 0.6}
"""


def answers(seed: int, tilt: float = 0.0, lost: float = 0.0, kept: float = 0.0) -> dict[str, np.ndarray]:
    """Answers of a model whose shares of women lie `tilt` above those of the baseline; `kept` of its images are the
    baseline's (equal seeds)."""
    base = np.random.default_rng(11).uniform(0.35, 0.6, PROBES)
    found = {}
    for name, shares in (
        ("gender", np.column_stack([base + tilt, 1 - base - tilt])),
        ("age", np.tile([0.3, 0.4, 0.3], (PROBES, 1))),
    ):
        rng = np.random.default_rng([seed, len(name)])
        found[name] = drawn(shares, IMAGES, CLASSES[name], rng)
    rng = np.random.default_rng(seed)
    if kept:
        old = answers(1)
        same = rng.random((PROBES, IMAGES)) < kept
        found = {name: np.where(same, old[name], values) for name, values in found.items()}
    gone = rng.random((PROBES, IMAGES)) < lost
    return {name: np.where(gone, "no_person", values) for name, values in found.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline, and versions of it."""
    folder = tmp_path_factory.mktemp("runs")
    store_run(folder / "base", answers(1))
    store_run(folder / "pruned", answers(2, kept=0.97))
    store_run(folder / "skewed", answers(3, tilt=0.3))
    store_run(folder / "empty-rooms", answers(4, lost=0.2, kept=0.9))
    store_run(folder / "reseeded", answers(5), seed=7)
    (folder / "gate.yaml").write_text(POLICY)
    assert call("export", folder / "base", "--baseline", folder / "base.json").code == 0
    return folder


def gate(runs: Path, name: str, *more: object) -> Any:
    return call("gate", runs / name, "--baseline", runs / "base", *more)


@pytest.mark.parametrize(
    ("name", "code"), [("base", 0), ("pruned", 0), ("skewed", 3), ("empty-rooms", 3), ("reseeded", 4)]
)
def test_verdicts_are_exit_codes(runs: Path, name: str, code: int) -> None:
    answer = gate(runs, name, "--policy", runs / "gate.yaml")
    assert answer.code == code, answer
    verdict = json.loads((runs / name / "verdict.json").read_text())
    assert {0: "pass", 3: "fail", 4: "inconclusive"}[code] == verdict["verdict"]
    assert answer.out.splitlines()[0].startswith(verdict["verdict"])


def test_a_run_that_loses_a_fifth_of_its_images_fails_on_them_alone(runs: Path) -> None:
    verdict = audit.gate(runs / "empty-rooms", baseline=runs / "base", policy=runs / "gate.yaml")
    assert [each.verdict for each in verdict.lines][1:3] == ["fail", "fail"]
    assert verdict.lines[0].verdict != "fail"
    assert verdict.lines[1].low > 0.15 and verdict.lines[1].paired


def test_the_baseline_file_says_the_same_as_the_run(runs: Path) -> None:
    for name in ("pruned", "skewed", "reseeded"):
        found = [
            audit.gate(runs / name, baseline=where, policy=runs / "gate.yaml").to_dict()
            for where in (runs / "base", runs / "base.json")
        ]
        assert found[0] == found[1]


def test_without_a_policy_the_gap_of_each_attribute_may_worsen_a_little(runs: Path) -> None:
    verdict = audit.gate(runs / "skewed", baseline=runs / "base")
    assert [(each.attribute, each.line.within, each.line.reference) for each in verdict.lines] == [
        ("gender", 0.05, "uniform"),
        ("age", 0.05, "uniform"),
    ]
    assert verdict.found == "fail"


def test_pairs_make_it_sharper(runs: Path) -> None:
    paired = audit.gate(runs / "pruned", baseline=runs / "base")
    copy = runs / "pruned-elsewhere"
    store_run(copy, answers(2, kept=0.97), seed=99)
    apart = audit.gate(copy, baseline=runs / "base")
    assert not paired.unpaired and "different seeds" in apart.unpaired
    for one, other in zip(paired.lines, apart.lines, strict=True):
        assert one.value == pytest.approx(other.value)
        assert one.high - one.low < 0.6 * (other.high - other.low)


@pytest.mark.parametrize(("taken", "code"), [("pass", 0), ("fail", 3), ("inconclusive", 4)])
def test_the_policy_says_what_an_inconclusive_gate_ends_as(runs: Path, tmp_path: Path, taken: str, code: int) -> None:
    (tmp_path / "gate.yaml").write_text(f"inconclusive: {taken}\n{POLICY}")
    answer = gate(runs, "reseeded", "--policy", tmp_path / "gate.yaml", "--junit", tmp_path / "gate.xml")
    assert answer.code == code
    assert "inconclusive" in answer.out
    assert "images a probe and run would decide" in answer.out
    suite = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert (int(suite.get("failures", 0)) > 0) == (taken == "fail")
    assert (int(suite.get("skipped", 0)) > 0) == (taken == "inconclusive")


def test_a_policy_in_a_pyproject_is_found_where_the_command_is_run(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[[tool.rolecall.gate.lines]]\nmeasure = "missing"\nbelow = 0.9\n', encoding="utf-8"
    )
    answer = spawn("gate", runs / "skewed", cwd=tmp_path)
    assert (answer.code, answer.out.splitlines()[0]) == (0, "pass: 1 line, 1 pass")


def test_what_ci_reads(runs: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / f"out.{name}" for name in ("junit", "summary", "comment")}
    files["summary"].write_text("what was there before\n")
    answer = gate(
        runs,
        "skewed",
        "--policy",
        runs / "gate.yaml",
        *(x for name, path in files.items() for x in (f"--{name}", path)),
    )
    assert answer.code == 3
    suite = ElementTree.parse(files["junit"]).getroot()
    cases = suite.findall(".//testcase")
    assert [case.get("name") for case in cases] == [Line(**line).name for line in yaml.safe_load(POLICY)["lines"]]
    failed = [case.get("name") for case in cases if case.find("failure") is not None]
    assert failed == ["gap gender uniform within 0.05"]
    assert (suite.get("tests"), suite.get("failures")) == ("5", "1")
    summary, comment = (files[name].read_text("utf-8") for name in ("summary", "comment"))
    assert summary == f"what was there before\n{comment}"
    assert comment.startswith("### ❌ Rolecall: fail")
    assert len(comment) <= 65_536
    assert "not anyone's identity" in comment
    assert (
        "fails in at most 5 % of the cases; a line that is worse by what is tolerated passes in at most 5 %" in comment
    )


def test_init_writes_a_policy_that_the_run_itself_passes(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    answer = call("gate", runs / "base", "--init", "--policy", path)
    assert (answer.code, answer.out) == (0, f"Policy: {path}\n"), answer
    assert len(yaml.safe_load(path.read_text())["lines"]) == 3
    assert gate(runs, "base", "--policy", path).code == 0
    said = refused(call("gate", runs / "base", "--init", "--policy", path))
    assert said.startswith(f"{path} is there already")


def test_a_model_without_seeds_is_never_paired(runs: Path, tmp_path: Path) -> None:
    model = {"name": "api", "seeded": False}
    old, new = (store_run(tmp_path / name, answers(1), model=model) for name in ("old", "new"))
    verdict = audit.gate(new, baseline=old)
    assert "takes no seeds" in verdict.unpaired
    assert verdict.found != "fail"


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("lines: [{measure: gap, attribut: gender}]", "unknown key 'attribut' in line 1 of"),
        ("linse: []", "unknown key 'linse' in"),
        ("more: {image: 9}\nlines: [{measure: missing, below: .1}]", "unknown key 'image' in"),
        ("more: {looks: 2}\nlines: [{measure: missing, below: .1}]", "more.images: field required"),
        ("more: {images: 90, looks: 1}\nlines: [{measure: missing, below: .1}]", "more.looks: input should be greater"),
        ("wrong_pass: 0\nlines: [{measure: missing, below: .1}]", "wrong_pass"),
        ("lines: [{measure: gap, attribute: gender, below: .4}]", "gap needs a 'reference'"),
        ("lines: [{measure: worst_probe, attribute: gender, reference: uniform, within: .4}]", "give 'below'"),
        ("lines: [{measure: missing}]", "give either 'within'"),
        ("lines: []", "lines"),
        ("alpha: .7\nlines: [{measure: missing, below: .1}]", "alpha"),
        ("lines: [{measure: gap, attribute: skin, reference: uniform, below: .4}]", "names an attribute that chosen"),
        ("lines: [{measure: gap, attribute: gender, reference: bls, below: .4}]", "unknown reference 'bls'"),
        ("lines: [{measure: missing, classifier: clip, below: .4}]", "names a classifier that"),
        ("lines: [", "is not YAML"),
    ],
)
def test_a_bad_policy_is_one_line_and_never_a_pass(runs: Path, tmp_path: Path, policy: str, said: str) -> None:
    (tmp_path / "gate.yaml").write_text(policy)
    (runs / "base" / "verdict.json").write_text('{"verdict": "pass"}')
    assert said in refused(gate(runs, "base", "--policy", tmp_path / "gate.yaml"))
    assert not (runs / "base" / "verdict.json").exists()


@pytest.fixture
def stale(runs: Path, tmp_path: Path) -> Path:
    """A run that a gate has passed."""
    copy = tmp_path / "stale"
    shutil.copytree(runs / "base", copy)
    assert call("gate", copy, "--baseline", runs / "base").code == 0
    assert json.loads((copy / "verdict.json").read_text())["verdict"] == "pass"
    return copy


def edited(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def no_verdict_stays(run: Path, *options: object, cwd: Path | None = None) -> str:
    """What a gate says that refuses: one line, exit code 2, and no verdict is left in the run."""
    said = refused(call("gate", run, *options) if cwd is None else spawn("gate", run, *options, cwd=cwd))
    assert not (run / "verdict.json").exists()
    return said


def test_no_earlier_pass_stays_in_a_run_that_cannot_be_judged(stale: Path, runs: Path) -> None:
    edited(stale / "run.json", lambda record: record["plan"].update(batches=999))
    assert "is not complete" in no_verdict_stays(stale, "--baseline", runs / "base")


def test_nor_in_one_without_tables(stale: Path, runs: Path) -> None:
    edited(stale / "run.json", lambda record: record.update(finished=None))
    assert "has no tables yet" in no_verdict_stays(stale, "--baseline", runs / "base")


def test_nor_in_one_whose_record_is_damaged(stale: Path, runs: Path) -> None:
    (stale / "run.json").write_text("{")
    assert "it is damaged" in no_verdict_stays(stale, "--baseline", runs / "base")


def test_nor_in_one_of_a_newer_schema(stale: Path, runs: Path) -> None:
    edited(stale / "run.json", lambda record: record.update(schema=99))
    assert "was written by a newer Rolecall" in no_verdict_stays(stale, "--baseline", runs / "base")


def test_nor_in_one_with_parts_that_nobody_named(stale: Path, runs: Path) -> None:
    part = next((stale / "labels" / "chosen").glob("*.parquet"))
    shutil.copy(part, part.with_name("0000900-0000900.parquet"))
    said = no_verdict_stays(stale, "--baseline", runs / "base")
    assert "0000900-0000900.parquet was added after the run was analysed" in said


def test_nor_where_the_policy_of_the_folder_is_no_toml(stale: Path, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool")
    assert "cannot be read as TOML" in no_verdict_stays(stale, "--baseline", runs / "base", cwd=tmp_path)


def test_nor_where_the_baseline_does_not_fit(stale: Path, runs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for change, said in (
        (lambda record: record.update(schema=99), "was written by a newer Rolecall"),
        (
            lambda record: record["classifiers"]["chosen"].update(fingerprint={"kind": "x"}),
            "no classifier and attribute",
        ),
        (lambda record: record["plan"].update(batches=999), "is not complete"),
    ):
        shutil.copytree(runs / "base", other, dirs_exist_ok=True)
        edited(other / "run.json", change)
        (stale / "verdict.json").write_text('{"verdict": "pass"}')
        assert said in no_verdict_stays(stale, "--baseline", other)
    assert "is no run directory" in no_verdict_stays(stale, "--baseline", tmp_path / "nowhere")


def test_a_verdict_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "verdict.json").write_text("mine")
    assert "is no run directory" in refused(call("gate", tmp_path))
    assert (tmp_path / "verdict.json").read_text() == "mine"


def test_a_longer_baseline_is_compared_by_the_images_that_both_have(runs: Path, tmp_path: Path) -> None:
    """The oracles: the same run passes; a baseline cut to as many images says the same; without pairs all count."""
    first = {name: values[:, :25] for name, values in answers(1).items()}
    same = store_run(tmp_path / "same", first, model={"name": "base"})
    found = audit.gate(same, baseline=runs / "base", policy=runs / "gate.yaml")
    assert [each.verdict for each in found.lines][:2] == ["pass", "pass"]
    assert [(each.value, each.low, each.high) for each in found.lines][:2] == [(0, 0, 0), (0, 0, 0)]
    alike = audit.gate(store_run(tmp_path / "alike", first), baseline=runs / "base", policy=runs / "gate.yaml")
    assert all(each.low < each.value == 0 < each.high for each in alike.lines[:2])
    lossy = {name: values[:, :25] for name, values in answers(4, lost=0.2, kept=0.9).items()}
    short = {name: values[:, :25] for name, values in answers(2, lost=0.1).items()}
    new, cut = store_run(tmp_path / "new", lossy), store_run(tmp_path / "cut", short)
    long = store_run(tmp_path / "long", answers(2, lost=0.1))
    assert call("export", long, "--baseline", tmp_path / "long.json").code == 0
    for baseline in (long, tmp_path / "long.json"):
        one, other = (audit.gate(new, baseline=each, policy=runs / "gate.yaml") for each in (baseline, cut))
        assert one.lines == other.lines
        one, other = (audit.gate(each, baseline=new, policy=runs / "gate.yaml") for each in (long, cut))
        assert one.lines[:2] == other.lines[:2]
    apart = store_run(tmp_path / "apart", lossy, seed=9)
    found = audit.gate(apart, baseline=long, policy=runs / "gate.yaml")
    assert found.lines[1].images == pytest.approx((25 + IMAGES) / 2)


def test_it_shows_itself_in_a_notebook_with_whole_numbers_of_images(runs: Path) -> None:
    found = audit.gate(runs / "base", baseline=runs / "base", policy=runs / "gate.yaml")
    lines = (dataclasses.replace(found.lines[0], images_needed=1234), *found.lines[1:])
    shown = dataclasses.replace(found, lines=lines)._repr_html_()
    assert "<td>1,234</td>" in shown and "NA" not in shown and "nan" not in shown


def test_both_error_rates_can_be_asked_for(runs: Path) -> None:
    lines = tuple(Line(**line) for line in yaml.safe_load(POLICY)["lines"])

    def judged(alpha: float, wrong_pass: float | None = None) -> Verdict:
        policy = Policy(lines=lines, alpha=alpha, wrong_pass=wrong_pass)
        return audit.gate(runs / "reseeded", baseline=runs / "base", policy=policy)

    both, lax, strict = judged(0.2, 0.01), judged(0.2), judged(0.01)
    assert [line.high for line in both.lines] == [line.high for line in strict.lines]
    assert [line.low for line in both.lines] == [line.low for line in lax.lines]
    assert both.to_dict()["wrong_pass"] == 0.01
    assert lax.to_dict()["wrong_pass"] == 0.2
    for line, one, other in zip(both.lines, lax.lines, strict.lines, strict=True):
        assert (line.verdict == "pass") == (other.verdict == "pass")
        assert (line.verdict == "fail") == (other.verdict != "pass" and one.p_value <= 0.2)


def test_what_cannot_be_judged_is_refused(runs: Path, tmp_path: Path) -> None:
    assert "compares with a baseline" in refused(call("gate", runs / "base"))
    assert str(tmp_path) in refused(call("gate", tmp_path))
    turned = {name: values[::-1] for name, values in answers(1).items()}
    other = store_run(tmp_path / "other", turned, probes=probes_of(PROBES)[::-1])
    assert call("gate", other, "--baseline", runs / "base").code == 0
    strangers = [p.__class__(**{**vars(p), "probe_id": f"x{p.probe_id}"}) for p in probes_of(PROBES)]
    foreign = store_run(tmp_path / "foreign", answers(1), probes=strangers)
    assert "no probe in common" in refused(call("gate", foreign, "--baseline", runs / "base"))
    fewer = store_run(tmp_path / "fewer", {k: v[1:] for k, v in answers(1).items()}, probes=probes_of(PROBES)[1:])
    said = refused(call("gate", fewer, "--baseline", runs / "base"))
    assert "1 are in one of them only, such as 'subject-000'" in said
    labelled = store_run(tmp_path / "labelled", answers(1), classifier="another")
    assert "no classifier and attribute in common" in refused(call("gate", labelled, "--baseline", runs / "base"))
    nobody = {name: np.full((PROBES, IMAGES), "no_person", dtype=object) for name in CLASSES}
    empty = store_run(tmp_path / "nobody", nobody)
    assert "no image with a class" in refused(call("gate", empty, "--baseline", runs / "base"))


def test_runs_and_baselines_changed_by_hand_are_refused(runs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs / "skewed", copy)
    part = next((copy / "labels" / "chosen").glob("*.parquet"))
    part.write_bytes(next((runs / "base" / "labels" / "chosen").glob("*.parquet")).read_bytes())
    said = refused(call("gate", copy, "--baseline", runs / "base"))
    assert part.name in said and "was changed after the run was analysed" in said
    content = json.loads((runs / "base.json").read_text())
    content["answers"]["chosen"]["gender"][0] = "b" * IMAGES
    (tmp_path / "b.json").write_text(json.dumps(content))
    assert "its digest does not match" in refused(call("gate", runs / "base", "--baseline", tmp_path / "b.json"))
    (tmp_path / "c.json").write_text(json.dumps({"kind": "rolecall-baseline", "schema": 99}))
    assert "newer Rolecall" in refused(call("gate", runs / "base", "--baseline", tmp_path / "c.json"))
    (tmp_path / "d.json").write_text("{")
    assert "is no JSON" in refused(call("gate", runs / "base", "--baseline", tmp_path / "d.json"))
    record = json.loads((copy / "run.json").read_text())
    record["plan"]["batches"] += 1
    (copy / "run.json").write_text(json.dumps(record))
    assert "is not complete" in refused(call("gate", copy, "--baseline", runs / "base"))


def test_the_baseline_file_is_small_and_names_no_image(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    many = {name: drawn(np.full((150, len(c)), 1 / len(c)), 100, c, rng) for name, c in CLASSES.items()}
    many["people"] = drawn(np.full((150, 7), 1 / 7), 100, tuple("abcdefg"), rng)
    run = store_run(tmp_path / "big", many, classes={**CLASSES, "people": tuple("abcdefg")})
    assert call("export", run, "--baseline", tmp_path / "big.json").code == 0
    assert (tmp_path / "big.json").stat().st_size < 1_000_000
    text = (tmp_path / "big.json").read_text()
    ids = audit.open(run).samples()["sample_id"]
    assert not any(sample in text for sample in ids[:200])
    assert str(tmp_path) not in text


def test_holm_over_the_lines_and_the_verdict_in_a_notebook(runs: Path) -> None:
    lines = [Line(measure="missing", below=0.19)] * 3
    alone, three = (
        audit.gate(runs / "empty-rooms", policy=Policy(lines=tuple(lines[:n])), check=False) for n in (1, 3)
    )
    assert three.lines[0].p_value == pytest.approx(min(1, 3 * alone.lines[0].p_value))
    assert "<table" in three._repr_html_() and "missing below 0.19" in three._repr_html_()
    assert list(three.table()["line"]) == ["missing below 0.19"] * 3
