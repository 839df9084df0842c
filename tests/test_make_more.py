"""`rolecall gate --make-more`: a real model makes further images of its run; what stays the same, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import call, contents, refused
from helpers import probes, rows
from hypothesis import given
from hypothesis import strategies as st
from stored import CLASSES, drawn, store_run

import audit
from audit.policy import Line, More, Policy
from audit.progress import Progress, Task
from audit.store import Store
from probes.plan import Plan

UNDECIDED = """
more: {images: 24}
lines:
  - {measure: gap, attribute: gender, reference: phantom-world, within: 0.05}
  - {measure: gap, attribute: gender, reference: uniform, below: 0.97}
"""
"""The gap of nurse and builder from ½ is near 1: shown to be neither below .97 nor above it by a few images."""


class Killed(Progress):
    """Stops the process that reports to it, as a kill would, after so many batches."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.batches = batches

    @contextmanager
    def task(self, title: str, total: int, done: int = 0) -> Iterator[Task]:
        yield self

    def advance(self, count: int) -> None:
        self.batches -= 1
        if not self.batches:
            raise KeyboardInterrupt


def pictures(path: Path) -> dict[str, Any]:
    """What was made, by sample id."""
    kept = ("probe_id", "index", "seed", "outcome", "sha256")
    return {key: tuple(row[name] for name in kept) for key, row in rows(Store.open(path)).items()}


def test_an_inconclusive_run_grows_as_if_it_had_been_asked_for_more_at_once(tmp_path: Path) -> None:
    some = {
        "model": "phantom",
        "subjects": "nurse,builder",
        "languages": "en",
        "steps": 4,
        "threads": 1,
        "report": False,
    }
    base, new = (audit.run(**some, images=images, out=str(tmp_path / f"v{images}")).path for images in (24, 8))
    (tmp_path / "gate.yaml").write_text(UNDECIDED)
    command = ("gate", new, "--baseline", base, "--policy", tmp_path / "gate.yaml")
    before = contents(new / "images")
    with pytest.raises(KeyboardInterrupt):  # in the second batch of the second extension
        audit.gate(new, baseline=base, policy=tmp_path / "gate.yaml", make_more=24, progress=Killed(2))
    said = refused(call(*command))
    assert said.endswith("3 of 4 batches are made. Run rolecall gate with --make-more again to continue.")
    assert not (new / "verdict.json").exists()
    answer = call(*command, "--make-more", 24, "--quiet")
    assert (answer.code, answer.err) == (4, ""), answer
    assert pictures(new) == pictures(base)
    assert before.items() <= contents(new / "images").items()
    record = json.loads((new / "run.json").read_text())
    assert [(each["from"], each["images"], each["first_batch"]) for each in record["extended"]] == [
        (8, 14, 1),
        (14, 24, 2),
    ]
    assert [look["images"] for look in record["looks"]] == [8, 14, 24]
    assert record["plan"]["samples"] == 48 and record["identity"]["plan"]["samples"] == 16
    assert set(Store.open(new).planned().values()) == {24}
    run = audit.open(new)
    assert run.complete and (new / "report.html").exists()
    assert run.missing()["asked"].eq(24).all()
    verdict = json.loads((new / "verdict.json").read_text())
    assert (verdict["images"], verdict["looks"]["sizes"]) == (24, [8, 14, 24])
    assert verdict["looks"]["total"] == {"alpha": pytest.approx(0.05), "wrong_pass": pytest.approx(0.05)}
    assert [line["verdict"] for line in verdict["lines"]] == ["pass", "inconclusive"]
    assert verdict["notes"][1:] == [
        "gap gender uniform below 0.97: not decided by 24 images a probe, the most that were declared."
    ]
    again = audit.run(**some, images=8, out=str(new))  # the command that began it finds nothing to make
    assert len(again.samples()) == 48 and again.complete
    assert call(*command, "--make-more", 24).code == 4


def test_a_decided_run_is_not_extended_and_no_model_is_loaded(tmp_path: Path) -> None:
    run = whole(tmp_path / "run", 20)
    policy = Policy(more=More(images=80), lines=(Line(measure="missing", below=0.9),))
    verdict = audit.gate(run, policy=policy, make_more=80)
    assert (verdict.found, verdict.looks.images, verdict.looks.sizes) == ("pass", 20, (20, 40, 80))
    assert verdict.lines[0].high < 0.02
    assert verdict.notes[0].startswith("Judged with 20 images a probe. Looks are declared at 20, 40 and 80; each is ")


def answers(images: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"gender": drawn(np.full((15, 2), 0.5), images, CLASSES["gender"], rng)}


def whole(folder: Path, images: int, seed: int = 0) -> Path:
    """A stored run that could be extended, had it a model."""
    run = store_run(folder, answers(images, seed))
    record = json.loads((run / "run.json").read_text())
    record["identity"]["classifiers"] = {"chosen": {"kind": "chosen"}}
    (run / "run.json").write_text(json.dumps(record))
    return run


def test_a_policy_that_declares_looks_spends_its_rates_on_all_of_them(tmp_path: Path) -> None:
    base, new = whole(tmp_path / "base", 80), whole(tmp_path / "new", 20, seed=1)
    lines = (Line(measure="gap", attribute="gender", reference="uniform", within=0.05),)
    level = {"alpha": 0.06, "wrong_pass": 0.03}
    declared = audit.gate(new, baseline=base, policy=Policy(**level, lines=lines, more=More(images=200)))
    assert declared.looks.sizes == (20, 40, 80)  # no pairs beyond the baseline's
    third = audit.gate(new, baseline=base, policy=Policy(alpha=0.02, wrong_pass=0.01, lines=lines))
    assert declared.lines == third.lines
    mixed = Policy(**level, lines=(*lines, Line(measure="missing", below=0.5)), more=More(images=200, looks=2))
    assert audit.gate(new, baseline=base, policy=mixed).looks.sizes == (20, 200)


def test_looks_beyond_those_declared_are_said_and_counted(tmp_path: Path) -> None:
    run = whole(tmp_path / "run", 20)
    lines = (Line(measure="missing", below=0.9),)
    assert audit.gate(run, policy=Policy(lines=lines)).notes == ()
    later = audit.gate(run, policy=Policy(lines=lines, more=More(images=80)))
    assert later.looks.total == pytest.approx((0.05 + 0.1 / 3, 0.05 + 0.1 / 3))
    assert "a false alarm comes in up to 8.33 % of the cases, a wrong pass in up to 8.33 %." in later.notes[1]
    text = call("gate", run, "--policy", _written(tmp_path, later.policy), "--comment", tmp_path / "comment.md")
    assert later.notes[1] in text.out
    assert "fails in at most 8.33 % of the cases" in (tmp_path / "comment.md").read_text()


def _written(folder: Path, policy: Policy) -> Path:
    (folder / "gate.yaml").write_text(json.dumps(policy.model_dump(exclude_none=True)))
    return folder / "gate.yaml"


def test_where_no_further_image_helps_the_line_and_the_reason_are_said(tmp_path: Path) -> None:
    base, new = whole(tmp_path / "base", 20), whole(tmp_path / "new", 20, seed=1)
    answer = call("gate", new, "--baseline", base, "--make-more", 200)
    assert answer.code == 4, answer
    assert answer.out.splitlines()[-1] == (
        "  gap gender uniform within 0.05: no further image of the run can decide it, since images are compared in "
        "pairs and base has 20 a probe. Make the baseline with more images."
    )


def test_what_cannot_be_extended_is_refused(tmp_path: Path) -> None:
    base = whole(tmp_path / "base", 20)
    assert call("export", base, "--baseline", tmp_path / "base.json").code == 0
    by_others = store_run(tmp_path / "by-others", answers(20), seed=None)
    again = store_run(tmp_path / "again", answers(20))
    early = whole(tmp_path / "early", 20)
    record = json.loads((early / "run.json").read_text())
    (early / "run.json").write_text(json.dumps({**record, "sequential": {"classifier": "chosen"}}))
    for run, said in (
        (by_others, "they were made by others"),
        (again, "it was labelled again by chosen"),
        (early, "it stopped its probes when they were decided"),
        (tmp_path / "base.json", "is no run directory"),
    ):
        assert said in refused(call("gate", run, "--baseline", base, "--make-more", 40))
    other = whole(tmp_path / "other", 20, seed=0)
    (tmp_path / "gate.yaml").write_text("more: {images: 40}\nlines: [{measure: missing, below: .0001}]")
    command = ("gate", other, "--policy", tmp_path / "gate.yaml", "--make-more")
    assert "--make-more 80 is above the 40 images a probe" in refused(call(*command, 80))
    assert "'chosen'" in refused(call(*command, 40, "--quiet"))  # there is no such model
    assert not (other / "verdict.json").exists()
    assert json.loads((other / "run.json").read_text())["plan"]["images"] == 20


@given(st.integers(1, 4), st.integers(0, 9), st.integers(1, 9), st.integers(1, 5))
def test_a_plan_that_continues_another_asks_for_the_rest(count: int, first: int, more: int, batch: int) -> None:
    """The oracle is the plan of all images at once."""
    parts = [Plan(probes(count), n, 3, batch, {}, begin) for n, begin in ((first, 0), (first + more, first))]
    asked = [sample for plan in parts for number in range(len(plan)) for sample in plan.batch(number).samples]
    at_once = Plan(probes(count), first + more, 3, batch, {})
    expected = [sample for number in range(len(at_once)) for sample in at_once.batch(number).samples]
    assert sum(plan.samples for plan in parts) == at_once.samples
    assert {(s.sample_id, s.probe_id, s.index, s.seed) for s in asked} == {
        (s.sample_id, s.probe_id, s.index, s.seed) for s in expected
    }
    assert parts[1].part(7, count - 1, first).samples[0] == next(s for s in asked[::-1] if s.index == first)
