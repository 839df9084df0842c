"""Forgotten images are gone from every file of a run, and every count is as it was."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import shutil
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import call, contents, refused, spawn
from helpers import Tint, noise_run
from labelled import labelled_folder
from noise_audit import noise_audit

import audit
from audit import human
from audit.annotation import draw
from audit.forgetting import JOURNAL
from audit.parts import FORGOTTEN
from audit.pictures import decode, load
from audit.progress import Progress
from audit.runner import label
from audit.store import Store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of noise with a labelling sheet of 10 images, 6 of them labelled by two people. Never changed."""
    run = noise_audit(tmp_path_factory.mktemp("made") / "run")
    audit.annotate(run, images=10)
    (sheet,) = (run / "human").glob("sheet-*.csv")
    rows = pd.read_csv(sheet).head(6)
    for rater, answer in (("anna", "woman"), ("ben", "man")):
        given = rows.assign(rater=rater, attribute="gender", **{"class": answer})[list(human.COLUMNS)]
        path = run.parent / f"{rater}.csv"
        given.to_csv(path, index=False)
        audit.read_labels(run, [path])
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def samples(run: Path) -> pd.DataFrame:
    return audit.open(run).samples()


def images(run: Path) -> pd.DataFrame:
    found = samples(run)
    return found[(found["outcome"] == "ok") & ~found["sample_id"].str.startswith(FORGOTTEN)].reset_index(drop=True)


def tables(run: Path) -> dict[str, str]:
    """All tables but those that list images, or what was known of them, which forgotten ones took with them."""
    apart = ("disagreements.csv", "duplicates.csv")
    return {Path(path).name: digest for path, digest in contents(run / "tables").items() if not path.endswith(apart)}


def everywhere(run: Path) -> Iterator[tuple[Path, bytes]]:
    for path in run.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def labelled(run: Path) -> list[str]:
    """Ids of the images that people have labelled."""
    return list(human.labels(Store.open(run))["sample_id"].unique())


def test_an_image_and_all_that_was_derived_from_it_is_gone(run: Path) -> None:
    gone = images(run).set_index("sample_id").loc[labelled(run)[:2]]
    bytes_of = [(run / file).read_bytes() for file in gone["file"]]
    vectors = [np.asarray(Tint().embed([decode(data)])).tobytes() for data in bytes_of]
    thumbnails = re.findall(r"data:image/webp;base64,[^\"]+", (run / "report.html").read_text("utf-8"))
    answer = call("forget", run, *gone.index, "--quiet")
    assert answer.code == 0 and answer.out.startswith("Forgotten samples: 2, images: 2. "), answer
    for path, data in everywhere(run):
        for sample, row in gone.iterrows():
            assert str(sample).encode() not in data, path
            assert str(row["sha256"]).encode() not in data, path
        for image in (*bytes_of, *vectors):
            assert image not in data, path
    after = re.findall(r"data:image/webp;base64,[^\"]+", (run / "report.html").read_text("utf-8"))
    assert set(after) < set(thumbnails) and len(set(after)) == len(set(thumbnails)) - 2
    assert not (run / "annotate.html").exists()
    rows = samples(run)[samples(run)["sample_id"].str.startswith(FORGOTTEN)]
    assert len(rows) == 2
    for row in rows.to_dict("records"):
        assert (row["file"], row["offset"], row["length"], row["sha256"], row["details"]) == ("", 0, 0, "", "")
        assert (row["width"], row["height"], row["reason"], row["outcome"]) == (0, 0, "forgotten", "ok")
    labels = audit.open(run).labels("tint")
    scores = labels[labels["sample_id"].str.startswith(FORGOTTEN)]["scores"]
    assert len(scores) == 2 and all(np.isnan(each).all() and len(each) == 2 for each in scores)


def test_all_tables_are_the_same_after_analyze(run: Path) -> None:
    audit.analyze(run)
    before, shares = tables(run), audit.open(run).shares()
    assert "corrected" in shares and shares["corrected"].notna().any()  # what people said is part of the tables
    some = [*labelled(run)[:2], *images(run)["sample_id"].tail(3)]
    audit.forget(run, some)
    assert tables(run) == before
    audit.analyze(run)
    assert tables(run) == before
    assert len(images(run)) == 15


def test_the_record_counts_forgotten_samples_and_its_digests_hold(run: Path) -> None:
    some = images(run)["sample_id"][:3].tolist()
    audit.forget(run, some[:1])
    audit.forget(run, some[1:])
    record = audit.open(run).record
    assert record["forgotten"] == 3
    for name, digest in record["files"].items():
        assert hashlib.sha256((run / name).read_bytes()).hexdigest() == digest, name
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    found = [event for event in events if event["event"] == "forget"]
    assert [set(event) for event in found] == [{"time", "event", "samples"}] * 2
    assert [event["samples"] for event in found] == [1, 2]


def test_in_an_archive_bytes_are_zero_and_all_others_stay_where_they_are(tmp_path: Path) -> None:
    run = noise_audit(tmp_path / "made" / "run", image_store="tar")
    before = images(run)
    gone, kept = before.iloc[[0, 4, 19]], before.drop(index=[0, 4, 19])
    sizes = {path: path.stat().st_size for path in (run / "images").iterdir()}
    secrets = [load(run, Store(run).place(row)) for row in gone.to_dict("records")]
    audit.forget(run, gone["sample_id"])
    assert {path: path.stat().st_size for path in (run / "images").iterdir()} == sizes
    for _, data in everywhere(run):
        assert not any(secret in data for secret in secrets)
    for row in gone.to_dict("records"):
        assert set(load(run, Store(run).place(row))) == {0}
    for row in kept.to_dict("records"):
        assert hashlib.sha256(load(run, Store(run).place(row))).hexdigest() == row["sha256"]
    (path,) = sizes
    with tarfile.open(path) as archive:
        assert len(archive.getnames()) == len(before)


def test_labelling_again_passes_over_forgotten_images(run: Path) -> None:
    audit.forget(run, images(run)["sample_id"][[0, 7, 19]])
    store = Store.open(run)
    (part,) = store.embeddings("mean-colour").present()
    assert len(np.load(part.path)) == 17
    again, other = Tint(), Tint()
    again.name, other.name, other.embedding_name = "again", "other", "other-colour"
    for each in (again, other):
        label(store, each, progress=Progress())
    assert again.embedded == 0 and other.embedded == 17
    first = audit.open(run).labels("tint")
    left = first[~first["sample_id"].str.startswith(FORGOTTEN)]
    keys = ["sample_id", "class"]
    for name in ("again", "other"):
        found = pd.concat(table.to_pandas() for table in store.label_parts(name))
        assert found[keys].to_numpy().tolist() == left[keys].to_numpy().tolist()
    audit.forget(run, images(run)["sample_id"][[3]])
    for name in ("mean-colour", "other-colour"):
        assert sum(len(np.load(part.path)) for part in store.embeddings(name).present()) == 16


def test_another_instrument_labels_a_run_with_a_forgotten_image(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit.forget(run, [images(run)["sample_id"][0]])
    monkeypatch.setattr("audit.classifiers.registry.load_classifier", lambda name, **_: Tint(margin=5.0))
    audit.label(run, margin=0.5, name="careful", report=False)
    (row,) = audit.open(run).table("agreement").query("first == 'tint' and second == 'careful'").to_dict("records")
    assert row["images"] == len(images(run))


def test_forgotten_images_are_never_drawn_nor_exported_nor_said_to_be_known(run: Path, tmp_path: Path) -> None:
    audit.forget(run, images(run)["sample_id"][[1, 2]])
    store = Store.open(run)
    drawn = draw(store, 999, seed=0)
    assert drawn.images == 18 and not drawn.table["sample_id"].str.startswith(FORGOTTEN).any()
    assert audit.annotate(run, images=999).is_file()
    assert len(human.truth_labels(store)) == 18
    done = audit.export(run, imagefolder=tmp_path / "out")
    assert (done.images, done.without) == (18, 6)
    rows = [json.loads(line) for line in (tmp_path / "out" / "without_image.jsonl").read_text("utf-8").splitlines()]
    assert [row["tint/gender"] != "" for row in rows if row["reason"] == "forgotten"] == [True, True]


def test_samples_are_named_by_id_or_as_images_are_filed(run: Path) -> None:
    one, two, three = images(run).head(3).to_dict("records")
    paths = [f"{two['probe_id']}/{two['index']}", Path(three["file"]).with_suffix("").relative_to("images").as_posix()]
    answer = call("forget", run, one["sample_id"], *paths, one["sample_id"], "--json")
    assert json.loads(answer.out) == {"path": str(run), "samples": 3, "images": 3, "copies": [], "pages": []}
    assert json.loads(call("forget", run, *paths, "--json").out)["samples"] == 0  # they are forgotten already
    assert audit.open(run).record["forgotten"] == 3
    assert not any((run / row["file"]).exists() for row in (one, two, three))


def test_a_refused_sample_loses_what_the_service_said(run: Path) -> None:
    row = samples(run).query("outcome == 'refused'").iloc[0]
    done = audit.forget(run, [row["sample_id"]])
    assert (done.samples, done.images) == (1, 0)
    after = samples(run).query("probe_id == @row.probe_id and index == @row['index']").iloc[0]
    assert (after["outcome"], after["reason"]) == ("refused", "forgotten")


def test_unknown_samples_are_refused_and_nothing_is_changed(run: Path) -> None:
    before = contents(run)
    known = images(run)["sample_id"][0]
    line = refused(call("forget", run, known, "0" * 64, "--quiet"))
    assert f"has no sample '{'0' * 64}'" in line and "Nothing was changed." in line
    assert "Did you mean 'a-photo-of-a-nurse'?" in refused(call("forget", run, "a-photo-of-nurse/1", "--quiet"))
    assert "has no sample '../../etc/1' (and more)" in refused(call("forget", run, "../../etc/1", "x", "--quiet"))
    assert "Missing argument" in refused(call("forget", run, "--quiet"))
    with pytest.raises(audit.UsageError, match="no sample was named"):
        audit.forget(run, [])
    assert contents(run) == before


def test_while_others_work_on_the_run_nothing_is_forgotten(run: Path) -> None:
    before = contents(run)
    sample = images(run)["sample_id"][0]
    for name in ("analysis", "shard-1-of-1"):
        with Store.open(run).lock(name):
            assert "another process" in refused(call("forget", run, sample, "--quiet"))
    assert contents(run) == before


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it, and no draft is cleared away after it."""


def killing(patch: pytest.MonkeyPatch, left: int) -> None:
    """Let files be given their names or deleted so many times, then never again."""
    counted = iter(range(left))
    for name in ("replace", "unlink"):

        def step(path: Path, *arguments: Any, given: Any, **options: Any) -> Any:
            if next(counted, None) is None:
                raise Killed
            return given(path, *arguments, **options)

        patch.setattr(Path, name, functools.partialmethod(step, given=getattr(Path, name)))


def test_killed_at_any_step_it_is_finished_when_repeated(made: Path, tmp_path: Path) -> None:
    some = [labelled(made)[0], *images(made)["sample_id"][[2, 11]]]
    whole = Path(shutil.copytree(made, tmp_path / "whole"))
    audit.forget(whole, some)
    expected = result(whole)
    for left in range(100):
        run = Path(shutil.copytree(made, tmp_path / f"run{left}"))
        try:
            with pytest.MonkeyPatch.context() as patch:
                killing(patch, left)
                audit.forget(run, some)
            break
        except Killed:
            begun = (run / JOURNAL).exists()
            assert begun == (left > 0)
            audit.forget(run, some[:1] if begun and left % 2 else some)  # one name is enough to finish all
        assert result(run) == expected, left
        assert not (run / JOURNAL).exists()
    assert left > 15


def test_killed_by_the_system_it_is_finished_when_repeated(made: Path, tmp_path: Path) -> None:
    some = images(made)["sample_id"][[2, 11]].tolist()
    run, whole = (Path(shutil.copytree(made, tmp_path / name)) for name in ("run", "whole"))
    audit.forget(whole, some)
    kill = """
import os, signal
import audit.forgetting as module
module._forget_raters = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""
    assert spawn("forget", run, *some, "--quiet", before=kill).code == -signal.SIGKILL
    assert (run / JOURNAL).exists() and result(run) != result(whole)
    assert call("forget", run, *some, "--quiet").code == 0
    assert result(run) == result(whole)


def result(run: Path) -> dict[str, str]:
    """What a run holds, without what tells the time or the place."""
    record = audit.open(run).record
    found = {Path(path).relative_to(run).as_posix(): digest for path, digest in contents(run).items()}
    return {**found, "run.json": json.dumps(record, sort_keys=True), "log.jsonl": ""}


def test_what_killed_processes_left_is_removed_too(run: Path) -> None:
    row = images(run).iloc[0]
    part = next((run / "samples").glob("*.parquet"))
    old = part.with_name("0000001-0000001.parquet")
    draft = run / "images" / row["probe_id"] / ".000000.webp.77.tmp"
    for path, data in ((old, part.read_bytes()), (draft, (run / row["file"]).read_bytes())):
        path.write_bytes(data)
    audit.forget(run, [row["sample_id"]])
    assert part.exists() and not old.exists() and not draft.exists()


@pytest.mark.parametrize("options", [{"lang": "de"}, {"blur": True}, {"images": False, "lang": "de"}])
def test_the_report_is_written_again_as_it_was(run: Path, options: dict[str, Any]) -> None:
    audit.open(run).report(**options)
    before = (run / "report.html").read_text("utf-8")
    audit.forget(run, images(run)["sample_id"][[0]])
    after = (run / "report.html").read_text("utf-8")
    counts = [len(re.findall("<img ", text)) for text in (before, after)]
    assert counts[1] == max(0, counts[0] - 1)
    assert re.findall("<html[^>]*>", after) == re.findall("<html[^>]*>", before)
    largest = max((len(image) for image in re.findall('data:image/[^"]*', before)), default=0)
    assert max((len(image) for image in re.findall('data:image/[^"]*', after)), default=0) <= largest


def test_pages_and_copies_that_are_left_are_named(run: Path) -> None:
    shutil.copy(run / "report.html", run / "for-the-editor.html")
    one, two = images(run).head(2).to_dict("records")
    import pyarrow as pa
    import pyarrow.parquet as pq

    (part,) = (run / "samples").glob("*.parquet")
    rows = [
        {**row, "sha256": one["sha256"]} if row["sample_id"] == two["sample_id"] else row for row in samples_of(part)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(part)), part)
    answer = call("forget", run, one["sample_id"])
    assert f"{two['sample_id']} holds the same bytes as a forgotten image and is still there." in answer.err
    assert "for-the-editor.html may show forgotten images" in answer.err
    assert audit.forget(run, [two["sample_id"]], report=False).pages == ("for-the-editor.html", "report.html")


def samples_of(part: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = pq.read_table(part).to_pylist()
    return found


def test_a_sheet_without_the_image_stays(run: Path) -> None:
    (sheet,) = (run / "human").glob("sheet-*.csv")
    on_sheet = set(pd.read_csv(sheet)["sample_id"])
    other = next(sample for sample in images(run)["sample_id"] if sample not in on_sheet)
    before = contents(run / "human")
    audit.forget(run, [other])
    assert (run / "annotate.html").exists() and contents(run / "human") == before


def test_a_run_that_is_not_whole_yet_goes_on_afterwards(tmp_path: Path) -> None:
    store, complete = noise_run(tmp_path / "run", order=[0, 2])
    assert not complete
    first = next(row for _, _, table in store.sample_parts() for row in table.to_pylist() if row["outcome"] == "ok")
    assert audit.forget(store.root, [first["sample_id"]]).images == 1
    _, complete = noise_run(tmp_path / "run")
    assert complete
    assert not (store.root / first["file"]).exists()
    found = [row["sample_id"] for _, _, table in store.sample_parts() for row in table.to_pylist()]
    assert len(found) == 15 and sum(sample.startswith(FORGOTTEN) for sample in found) == 1


def test_an_imported_image_leaves_no_name_and_does_not_come_back(tmp_path: Path) -> None:
    folder, table, codes = labelled_folder(tmp_path)
    portrait = folder / "nurse" / "baseline" / "anna-example.jpg"
    (folder / "nurse" / "baseline" / "a3.jpg").rename(portrait)
    table.write_text(table.read_text("utf-8").replace("nurse/baseline/a3", "nurse/baseline/anna-example"), "utf-8")
    options: dict[str, Any] = {"draws": 200, "threads": 1, "reference": ("uniform",), "out": str(tmp_path / "run")}
    made = {"folders": "subject/condition", "human_labels": table, "codes": codes, **options}
    run = audit.import_folder(folder, **made).path
    before, secret = tables(run), portrait.read_bytes()
    row = next(row for row in images(run).to_dict("records") if (run / row["file"]).read_bytes() == secret)
    assert audit.forget(run, [row["sample_id"]]).images == 1
    for _ in range(2):
        assert tables(run) == before
        assert not any(secret in data or b"anna" in data for _, data in everywhere(run))
        audit.import_folder(folder, **made)
    assert portrait.read_bytes() == secret


def test_embeddings_that_fit_no_image_are_named(run: Path) -> None:
    (part,) = Store.open(run).embeddings("mean-colour").present()
    np.save(part.path, np.load(part.path)[:5])
    sample = images(run)["sample_id"][0]
    assert "has 5 rows for 20 images" in refused(call("forget", run, sample, "--quiet"))
    shutil.rmtree(part.path.parent)
    assert call("forget", run, sample, "--quiet").code == 0
    assert audit.open(run).record["forgotten"] == 1


def test_a_file_outside_the_run_is_left_alone(run: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (run.parent / "mine.webp").write_bytes(b"mine")
    (part,) = (run / "samples").glob("*.parquet")
    rows = samples_of(part)
    row = next(row for row in rows if row["outcome"] == "ok")
    row["file"] = "../mine.webp"
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(part)), part)
    assert "lies outside" in refused(call("forget", run, row["sample_id"], "--quiet"))
    assert (run.parent / "mine.webp").read_bytes() == b"mine"
    assert not (run / JOURNAL).exists()
