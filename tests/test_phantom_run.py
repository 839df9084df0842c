"""Whole audits of the phantom: a real diffusion pipeline and a real CLIP, from prompts to report."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers import rows
from PIL import Image

import audit
from audit.store import Store

SMALL = {"model": "phantom", "subjects": "nurse,builder", "languages": "en", "images": 24, "threads": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> audit.Run:
    """Two occupations, 24 images each: 48 samples in three batches."""
    return audit.run(**SMALL, out=str(tmp_path_factory.mktemp("runs") / "phantom"))


def images_of(path: Path) -> dict[str, str]:
    return {key: row["sha256"] for key, row in rows(Store.open(path)).items()}


def test_the_audit_finds_the_planted_tilt(run: audit.Run) -> None:
    women = run.shares("gender").query("`class` == 'woman'").set_index("subject")["share"]
    assert women["nurse"] > 0.75
    assert women["builder"] < 0.25
    assert (run.path / "report.html").stat().st_size < 3_000_000


def test_every_table_stands_and_its_digest_is_recorded(run: audit.Run) -> None:
    record = json.loads((run.path / "run.json").read_text())
    for name in ("shares", "gaps", "missing"):
        assert not pd.read_csv(run.path / "tables" / f"{name}.csv").empty
        assert f"tables/{name}.csv" in record["files"]
    assert record["primary"] == {"attribute": "gender", "reference": "phantom-world", "claim": "list"}
    assert record["finished"]
    assert record["model"]["fingerprint"] and record["packages"]["torch"]


def test_a_run_shows_itself_in_a_notebook(run: audit.Run) -> None:
    page = run._repr_html_()
    assert "<table" in page and "phantom" in page and "gender" in page
    assert "complete" in repr(run)


def test_samples_and_labels_are_frames(run: audit.Run) -> None:
    samples, labels = run.samples(), run.labels("phantom")
    assert len(samples) == 48
    assert set(labels["attribute"]) == {"gender", "age", "ethnicity"}
    assert len(labels) == 3 * (samples["outcome"] == "ok").sum()
    with Image.open(run.path / samples.loc[0, "file"]) as image:
        assert image.size == (64, 64)


def test_batches_in_another_order_give_identical_images(run: audit.Run, tmp_path: Path) -> None:
    other = audit.run(**SMALL, out=str(tmp_path / "turned"), order=[2, 0, 1], report=False)
    assert images_of(other.path) == images_of(run.path)


def test_two_shards_give_identical_images_and_tables(run: audit.Run, tmp_path: Path) -> None:
    out = str(tmp_path / "shards")
    first = audit.run(**SMALL, out=out, shard=(2, 2), report=False)
    assert not first.complete
    second = audit.run(**SMALL, out=out, shard=(1, 2), report=False)
    assert second.complete
    assert images_of(second.path) == images_of(run.path)
    for name in ("shares", "gaps", "missing"):
        ours, theirs = (each.path / "tables" / f"{name}.csv" for each in (second, run))
        assert ours.read_bytes() == theirs.read_bytes()


def test_relabelling_with_a_wide_margin_makes_more_unclear(run: audit.Run) -> None:
    again = audit.label(run.path, margin=0.999, report=False)
    missing = again.missing().query("attribute == 'age'").groupby("classifier")["unclear"].sum()
    assert missing["phantom-margin-0.999"] >= missing["phantom"]
    same = audit.label(run.path, report=False)
    assert sorted(same.record["classifiers"]) == ["phantom", "phantom-margin-0.999"]
