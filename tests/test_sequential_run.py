"""Runs that stop each probe when it is decided: what is asked, what is recorded, and the same after any kill."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from commands import call, contents, refused, start
from helpers import Noise, Tint, probes, record, rows
from PIL import Image

import audit
from audit.progress import Progress
from audit.runner import make, make_in_rounds
from audit.sequential import Answers, Rule, decide_all
from audit.sources import GeneratedSource, RoundSource
from audit.statistics.multiplicity import e_benjamini_hochberg
from audit.store import Store
from probes.generators.base import Request, Result
from probes.generators.registry import load_generator
from probes.plan import Plan
from probes.suite import load_suite

HALF = np.array([0.5, 0.5])
NOTHING = np.array([np.nan, np.nan])


class Tinted(Noise):
    """Noise whose first prompt is always red; stops with an error after so many calls, as a kill would."""

    def __init__(self, calls: int | None = None) -> None:
        super().__init__()
        self.calls = calls

    def generate(self, requests: Sequence[Request]) -> list[Result]:
        if self.calls == 0:
            raise KeyboardInterrupt
        if self.calls is not None:
            self.calls -= 1
        return super().generate(requests)

    def _one(self, request: Request) -> Result:
        made = super()._one(request)
        if made.image is None or "job 0" not in request.prompt:
            return made
        red = np.asarray(made.image).copy()
        red[..., 0] = 255
        return Result("ok", Image.fromarray(red), details=made.details)


def rule_of(plan: Plan, *, delta: float = 0.05) -> Rule:
    """Against ½ for the first two probes; the reference does not know the third."""
    whole = np.array([HALF, HALF, NOTHING])
    names = tuple(probe.probe_id for probe in plan.probes)
    return Rule(names, "tint", "gender", ("woman", "man"), "half", whole, np.full((3, 2), np.nan), 0.05, delta)


def stopped(root: Path, *, images: int = 30, calls: int | None = None, step: int = 8) -> Store:
    """Make (or continue) a run of three probes that stops when decided."""
    generator = Tinted(calls)
    plan = Plan(probes(3), images, 1, generator.batch_size, generator.fingerprint())
    rule, source, tint = rule_of(plan), RoundSource(plan, generator, step), Tint()
    content = {**record(plan, [tint]), "sequential": {**rule.entry(), "round_images": source.step}}
    content["identity"]["sequential"] = content["sequential"]
    store = Store.create(root, content, plan.probes, {probe.probe_id: images for probe in plan.probes})
    make_in_rounds(store, source, [tint], rule, progress=Progress())
    return store


def test_a_decided_probe_stops_and_an_open_one_runs_to_the_most(tmp_path: Path) -> None:
    store = stopped(tmp_path / "run")
    asked = store.planned()
    assert list(asked.values()) == [8, 30, 30]
    found = list(rows(store).values())
    assert {(row["probe_id"], row["index"]) for row in found} == {
        (name, index) for name, images in asked.items() for index in range(images)
    }
    said = store.record()
    assert said["plan"]["samples"] == len(found) == 68
    assert said["plan"]["batches"] == len(store.samples.batches()) == 2 + 8 + 8
    assert said["sequential"]["decided"] == {"differs": 1, "close": 0, "open": 2}
    assert said["sequential"]["images"] == {"at_most": 90, "made": 68, "saved": 22}
    assert said["sequential"]["rounds"] == 4
    assert said["identity"]["plan" if "plan" in said["identity"] else "images"] == 30


def test_images_are_those_of_a_run_that_makes_all_of_them(tmp_path: Path) -> None:
    some = rows(stopped(tmp_path / "some"))
    generator = Tinted()
    plan = Plan(probes(3), 30, 1, generator.batch_size, generator.fingerprint())
    planned = {probe.probe_id: 30 for probe in plan.probes}
    whole = Store.create(tmp_path / "whole", record(plan, [Tint()]), plan.probes, planned)
    assert make(whole, GeneratedSource(plan, generator), [Tint()], progress=Progress())
    every = rows(whole)
    assert set(some) < set(every)
    assert {key: row["sha256"] for key, row in some.items()} == {key: every[key]["sha256"] for key in some}


def test_stopped_at_any_batch_it_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole = stopped(tmp_path / "whole")
    expected = {path.removeprefix(str(whole.root)): digest for path, digest in contents(whole.root).items()}
    for calls in (1, 5, 6, 9, 12, 16):
        root = tmp_path / f"after-{calls}"
        with pytest.raises(KeyboardInterrupt):
            stopped(root, calls=calls)
        stopped(root)
        assert {path.removeprefix(str(root)): digest for path, digest in contents(root).items()} == expected


def test_a_complete_run_whose_parts_are_merged_is_left_as_it_is(tmp_path: Path) -> None:
    store = stopped(tmp_path / "run")
    store.merge()
    before, said = contents(store.root), store.record()["sequential"]
    stopped(tmp_path / "run", calls=0)
    assert contents(store.root) == before
    assert store.record()["sequential"] == said


def test_labels_of_a_batch_that_was_in_flight_do_not_count_twice(tmp_path: Path) -> None:
    whole = stopped(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        stopped(tmp_path / "run", calls=5)
    store = Store.open(tmp_path / "run")
    last = store.samples.present()[-1].path
    last.unlink()  # as if killed after its labels and before its samples
    stopped(tmp_path / "run")
    assert rows(store).keys() == rows(whole).keys()
    assert store.planned() == whole.planned()


def test_a_batch_may_be_read_twice_and_a_round_ends_where_it_ends(tmp_path: Path) -> None:
    store = stopped(tmp_path / "run")
    plan = Plan(probes(3), 30, 1, 4, Tinted().fingerprint())
    answers = Answers(rule_of(plan), 4, 8, 30)
    for _ in range(2):
        for table in store.label_parts("tint"):
            answers.add(table)
    labels = [row for table in store.label_parts("tint") for row in table.to_pylist()]
    for rounds in (1, 2, 4):
        counts = answers.counts(rounds)
        for j, probe in enumerate(plan.probes):
            own = [row["class"] for row in labels if row["probe_id"] == probe.probe_id and row["index"] < rounds * 8]
            assert counts[j].tolist() == [own.count("woman"), own.count("man")]
    assert answers.counts(4).sum() == len(labels)


@pytest.mark.parametrize(("asked", "batch", "step"), [(10, 4, 8), (10, 10, 10), (10, 16, 16), (24, 16, 32), (1, 1, 1)])
def test_rounds_are_whole_batches(asked: int, batch: int, step: int) -> None:
    source = RoundSource(Plan(probes(2), 100, 0, batch, {}), Tinted(), asked)
    assert source.step == step
    assert len(source.ask(0, [0, 1])) == 2 * step // batch
    assert source.asked() == [step, step]
    assert len(source.ask(1, [1])) == step // batch
    assert source.asked() == [step, 2 * step]


def test_classes_that_overlap_are_decided_one_by_one() -> None:
    counts = np.array([[40.0, 3], [20, 20]])
    single = np.array([[0.5, np.nan], [np.nan, np.nan]])
    whole = np.array([NOTHING, HALF])
    found = decide_all(counts, whole, single, 0.05, 0.05)
    assert found.state.tolist() == ["differs", "open"]


PAINTER = """
import os, time
from probes.generators.base import Request
from probes.phantom.drawn import PhantomDrawn

drawn = PhantomDrawn()


def paint(prompts, seeds):
    time.sleep(float(os.environ.get("SLOWLY", 0)))
    return [drawn.generate([Request(prompt, seed)])[0].image for prompt, seed in zip(prompts, seeds)]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sequential")
    (folder / "painter.py").write_text(PAINTER)
    return folder


def command(place: Path, out: str, *more: object) -> tuple[object, ...]:
    return (
        "run", "--model", f"python:{place / 'painter.py'}:paint", "--suite", "phantom", "--subjects",
        "nurse,builder,scientist,office", "--languages", "en", "--classifier", "phantom", "--wordings", "phantom",
        "--reference", "uniform", "--batch-size", 8, "--images", 24, "--draws", 200, "--threads", 1,
        "--stop-when-decided", "--out", place / out, "--quiet", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(place: Path) -> audit.Run:
    """The world's nurses and builders differ from ½ at once, its scientists do not, and no office shows one person."""
    answer = call(*command(place, "run"))
    assert answer == (0, f"Report: {place / 'run' / 'report.html'}\n", "")
    return audit.open(place / "run")


def test_the_tables_of_a_stopped_run_hold_what_may_be_said_of_it(run: audit.Run) -> None:
    table = run._store.table("sequential")
    declared = table[table["status"] == "declared"]
    assert set(declared["attribute"]) == {"gender"} and set(table["attribute"]) == {"gender", "age", "ethnicity"}
    first = declared[declared["class"] == "woman"].set_index("subject")
    assert first["decided"].to_dict() == {"nurse": "differs", "builder": "differs", "scientist": "open"}
    assert first["images"].to_dict() == {"nurse": 16, "builder": 8, "scientist": 24}
    assert ((first["e_value"] >= 20) == (first["decided"] == "differs")).all()
    expected = e_benjamini_hochberg(first["e_value"].to_numpy())
    np.testing.assert_allclose(first["e_adjusted"], expected)
    assert (first["e_adjusted"] <= 0.05).equals(first["decided"] == "differs")
    assert (first["low"] <= first["share"]).all() and (first["share"] <= first["high"]).all()
    shares = run.shares("gender")
    for column in ("p_value", "p_adjusted", "share_low", "share_high"):
        assert shares[column].isna().all(), column
    assert run.gaps().empty


def test_missing_images_are_counted_out_of_those_asked_for(run: audit.Run) -> None:
    missing = run.missing().query("attribute == 'gender'").set_index("subject")
    assert missing.loc[["nurse", "builder", "scientist", "office"], "asked"].tolist() == [16, 8, 24, 24]
    assert (missing["made"] == missing["asked"]).all()


def test_the_record_states_rule_and_savings(run: audit.Run) -> None:
    said = run.record["sequential"]
    assert (said["attribute"], said["reference"], said["alpha"], said["delta"]) == ("gender", "uniform", 0.05, 0.05)
    assert said["round_images"] == 8 and said["rounds"] == 3
    assert said["images"] == {"at_most": 96, "made": 72, "saved": 24}
    assert said["decided"] == {"differs": 2, "close": 0, "open": 2}
    assert run.record["identity"]["plan"]["samples"] == 96 and run.record["plan"]["samples"] == 72
    assert run.complete


def kept(root: Path) -> dict[str, str]:
    folders = ("samples", "labels", "images", "embeddings", "tables")
    found = contents(*(root / name for name in folders))
    return {str(Path(path).relative_to(root)): digest for path, digest in found.items()}


def test_killed_and_continued_it_leaves_the_same_files(run: audit.Run, place: Path) -> None:
    root = place / "killed"
    for number in range(2):
        before = f"import os\nos.environ['SLOWLY'] = '0.3'\nos.environ['N'] = '{number}'"
        with start(*command(place, "killed"), before=before) as process:
            made = len(Store(root).samples.batches())
            while process.poll() is None and len(Store(root).samples.batches()) < made + 2:
                time.sleep(0.02)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            assert process.returncode == -signal.SIGKILL
    assert 0 < len(Store(root).samples.batches()) < len(run._store.samples.batches())
    refusal = refused(call("analyze", root))
    assert "is not complete" in refusal
    assert call(*command(place, "killed")).code == 0
    assert kept(root) == kept(run.path)
    assert audit.open(root).record["sequential"] == run.record["sequential"]
    assert Store(root).planned() == run._store.planned()


def test_the_same_command_again_makes_nothing_new(run: audit.Run, place: Path) -> None:
    before = kept(run.path)
    answer = call(*command(place, "run"))
    assert answer.code == 0
    assert kept(run.path) == before


def test_what_a_stopped_run_cannot_do_is_one_line(run: audit.Run, place: Path) -> None:
    assert "Leave --shard out" in refused(call(*command(place, "other", "--shard", "1/2")))
    assert "sequential.alpha was 0.05, now 0.01" in refused(call(*command(place, "run", "--alpha", "0.01")))
    plain = tuple(part for part in command(place, "run") if part != "--stop-when-decided")
    assert "sequential was {" in refused(call(*plain))
    assert "round_images" in refused(call(*command(place, "other", "--round-images", "0")))
    (place / "own.csv").write_text("subject,attribute,class,share\nnobody,gender,woman,0.5\nnobody,gender,man,0.5\n")
    answer = refused(call(*command(place, "other", "--reference", place / "own.csv")))
    assert "no probe can be decided" in answer and "own" in answer
    assert not (place / "other").exists()


def test_progress_says_how_many_probes_are_open(place: Path) -> None:
    answer = call(*command(place, "said")[:-1], "--json")
    assert answer.code == 0
    events = [json.loads(line) for line in answer.err.splitlines()]
    titles = [event["task"] for event in events if event["event"] == "progress"]
    assert any(title.endswith("round 2: 3 of 4 probes open") for title in titles)
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert any("72 of at most 96 images asked for, 24 saved" in note for note in notes)


def test_images_of_a_diffusion_model_do_not_depend_on_their_neighbours() -> None:
    suite = load_suite("phantom").select(subjects=("nurse", "scientist"), languages=("en",))
    generator = load_generator("phantom", batch_size=4, threads=1)
    plan = Plan(suite.probes, 6, 0, 4, generator.fingerprint())
    whole, rounds = GeneratedSource(plan, generator), RoundSource(plan, generator, 4)
    every = {item.sample_id: item.data for number in range(len(whole)) for item in whole.make(number)}
    some = {item.sample_id: item.data for asked in (0, 1) for b in rounds.ask(asked, [0, 1]) for item in rounds.make(b)}
    assert len(every) == 12 and some == every
