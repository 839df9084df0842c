"""Images that show the same: found whatever the file, told apart by probe, flagged and never dropped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from commands import WORDINGS, call
from helpers import record
from hypothesis import given
from hypothesis import strategies as st
from noise_audit import noise_audit
from PIL import Image

import audit
from audit.duplicates import DUPLICATES, copies, duplicates_table
from audit.origins import origin_tables
from audit.store import Store
from probes.plan import Plan
from probes.probe import Probe

Row = tuple[str, int, str]
"""Probe, index, picture."""


def stored(root: Path, batches: Sequence[Sequence[dict[str, Any]]]) -> Store:
    """A run that holds these samples and nothing else."""
    probes = (Probe(probe_id="a", text="a", subject="a", kind="occupation"),)
    store = Store.create(root, record(Plan(probes, 1, 0, 1, {}), []), probes, {"a": 1})
    for number, rows in enumerate(batches):
        filled = {"batch": number, "sample_id": "", "seed": 0, "outcome": "ok", "reason": "", "file": "x"}
        filled |= {"offset": 0, "length": 0, "sha256": "", "width": 1, "height": 1, "details": ""}
        store.write_samples(number, [{**filled, **row} for row in rows])
    return store


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def expected(rows: Sequence[Row]) -> list[tuple[str, int, str, int]]:
    """The definition, word for word."""
    found = []
    for probe, index, picture in sorted(rows):
        same = [(p, i) for p, i, shown in sorted(rows) if shown == picture]
        first = next((pair for pair in same if pair[0] == probe), None)
        if first == (probe, index):
            first = same[0]
        if first is not None and first != (probe, index):
            found.append((probe, index, *first))
    return found


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.sampled_from("uvwxyz")), max_size=14),
    st.randoms(use_true_random=False),
)
def test_every_image_but_the_first_is_named_with_the_first(rows: list[Row], rng: Any) -> None:
    unique = list({(probe, index): (probe, index, shown) for probe, index, shown in rows}.values())
    rng.shuffle(unique)
    columns = zip(*unique, strict=True) if unique else ([], [], [])
    types = (pa.string(), pa.int32(), pa.string())
    arrays = [pa.array(list(column), kind) for column, kind in zip(columns, types, strict=True)]
    table = copies(pa.table(dict(zip(("probe_id", "index", "digest"), arrays, strict=True))))
    assert list(table) == list(DUPLICATES)
    assert list(table.itertuples(index=False, name=None)) == expected(unique)


def test_pixels_come_before_bytes_and_texts_are_no_digests(tmp_path: Path) -> None:
    decoy = {"prompt": f'"pixels": "{digest("decoy")}"'}
    rows: list[dict[str, Any]] = [
        {"sha256": digest("1"), "details": json.dumps({"pixels": digest("x"), **decoy}, sort_keys=True)},
        {"sha256": digest("2"), "details": json.dumps({"pixels": digest("x"), **decoy}, sort_keys=True)},
        {"sha256": digest("3"), "details": json.dumps(decoy)},
        {"sha256": digest("4"), "details": json.dumps(decoy)},
        {"sha256": digest("4"), "details": ""},
    ]
    made = [{"probe_id": "a", "index": index, **row} for index, row in enumerate(rows)]
    table = duplicates_table(stored(tmp_path / "run", [made[:3], made[3:]]))
    assert list(table.itertuples(index=False, name=None)) == [("a", 1, "a", 0), ("a", 4, "a", 3)]


def test_what_has_no_picture_is_no_duplicate(tmp_path: Path) -> None:
    lost = [{"probe_id": "a", "index": i, "outcome": "failed", "sha256": "", "file": ""} for i in range(3)]
    counted = [{"probe_id": "b", "index": i, "sha256": "", "file": ""} for i in range(3)]
    assert duplicates_table(stored(tmp_path / "run", [lost, counted])).empty
    assert duplicates_table(stored(tmp_path / "none", [])).empty


def test_a_run_of_noise_has_none_and_its_report_no_word_of_it(tmp_path: Path) -> None:
    out = noise_audit(tmp_path / "noise")
    assert audit.open(out).table("duplicates").empty
    page = (out / "report.html").read_text("utf-8")
    assert "The same picture more than once" not in page
    assert "What the files say of themselves" not in page
    assert not (out / "tables" / "origins.csv").exists()


STUCK = """
from PIL import Image


def paint(prompts, seeds):
    return [Image.new("RGB", (16, 16), (200, 30, 30)) for _ in seeds]
"""


def test_a_broken_generator_is_found_out(tmp_path: Path, small_clip: Path) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    (tmp_path / "plain.yaml").write_text(WORDINGS)
    out = tmp_path / "run"
    answer = call(
        "run", "--model", f"python:{tmp_path / 'stuck.py'}:paint", "--subjects", "nurse,ceo", "--languages", "en",
        "--templates", "photo", "--suite", "occupations", "--images", 3, "--classifier", f"local-dir:{small_clip}",
        "--wordings", tmp_path / "plain.yaml", "--attributes", "gender", "--draws", 200, "--threads", 1, "--out", out,
        "--quiet",
    )  # fmt: skip
    assert answer.code == 0, answer
    table = audit.open(out).table("duplicates")
    assert len(table) == 5
    assert (table["probe_id"] != table["first_probe_id"]).sum() == 1
    page = (out / "report.html").read_text("utf-8")
    assert "<strong>5 pictures show exactly the same</strong> as an earlier one" in page
    assert "does not draw at random" in page


@pytest.fixture(scope="module")
def imported(small_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> audit.Run:
    """Two subjects: the same pixels as PNG, BMP and WebP under one, and once more under the other."""
    place = tmp_path_factory.mktemp("copies")
    (place / "plain.yaml").write_text(WORDINGS)
    rng = np.random.default_rng(1)
    pictures = [Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)) for _ in range(4)]
    for subject, named in {
        "nurse": [(0, "a.png"), (0, "b.bmp"), (0, "c.webp"), (1, "d.png")],
        "pilot": [(2, "a.png"), (0, "b.png"), (3, "c.png")],
    }.items():
        (place / "in" / subject).mkdir(parents=True)
        for number, name in named:
            options = {"lossless": True} if name.endswith("webp") else {}
            pictures[number].save(place / "in" / subject / name, **options)  # type: ignore[arg-type]
    answer = call(
        "import", place / "in", "--classifier", f"local-dir:{small_clip}", "--wordings", place / "plain.yaml",
        "--attributes", "gender", "--draws", 200, "--threads", 1, "--out", place / "out", "--quiet",
    )  # fmt: skip
    assert answer.code == 0, answer
    return audit.open(place / "out")


def test_imported_copies_are_flagged_within_and_across_probes_and_stay(imported: audit.Run) -> None:
    table = imported.table("duplicates")
    assert list(table.itertuples(index=False, name=None)) == [
        ("nurse", 1, "nurse", 0), ("nurse", 2, "nurse", 0), ("pilot", 1, "nurse", 0),
    ]  # fmt: skip
    assert imported.samples()["outcome"].eq("ok").sum() == 7
    assert imported.missing()["made"].sum() == 7


@pytest.mark.parametrize(
    ("lang", "texts"),
    [
        (
            "en",
            ["3 pictures show exactly the same", "the intervals are too narrow", "1 of them stands under another"],
        ),
        ("de", ["3 Bilder zeigen genau dasselbe", "Intervalle daher zu schmal", "1 davon steht unter einem anderen"]),
    ],
)
def test_the_report_says_so(imported: audit.Run, tmp_path: Path, lang: str, texts: list[str]) -> None:
    page = imported.report(tmp_path / "report.html", lang=lang).read_text("utf-8")
    for text in texts:
        assert text in page


def test_forgotten_samples_are_named_no_more(imported: audit.Run) -> None:
    audit.forget(imported.path, ["nurse/1", "pilot/1"], report=False)
    again = audit.analyze(imported.path, report=False).table("duplicates")
    assert list(again.itertuples(index=False, name=None)) == [("nurse", 2, "nurse", 0)]


def test_origins_and_claims_are_counted(tmp_path: Path) -> None:
    claim = {"signature": "untrusted", "claim_generator": "OpenAI-API", "reason": "a,\nb"}
    details: list[dict[str, object]] = [
        {"generator": "comfyui", "provenance": claim},
        {"generator": "comfyui", "prompt_source": "metadata"},
        {"generator": "comfyui", "provenance": claim},
        {"prompt_source": "folder", "provenance": "of a column of somebody's table"},
        {},
    ]
    rows = [{"probe_id": "a", "index": i, "details": json.dumps(each)} for i, each in enumerate(details)]
    rows.append({"probe_id": "a", "index": 9, "outcome": "failed", "details": json.dumps(details[0])})
    tables = origin_tables(stored(tmp_path / "run", [rows]))
    assert list(tables["origins"].itertuples(index=False, name=None)) == [
        ("comfyui", "", 2), ("", "", 1), ("", "folder", 1), ("comfyui", "metadata", 1),
    ]  # fmt: skip
    (only,) = tables["provenance"].to_dict("records")
    assert only == {**dict.fromkeys(("software_agent", "source_type", "issuer"), ""), **claim, "reason": "a, b"} | {
        "images": 2
    }
    nothing = origin_tables(stored(tmp_path / "none", [[{"probe_id": "a", "index": 0}]]))
    assert all(table.empty for table in nothing.values())


def test_a_hundred_thousand_images_take_a_moment() -> None:
    digests = [digest(str(number // 2)) for number in range(100_000)]
    probes = [f"p{number // 100:04d}" for number in range(100_000)]
    images = pa.table({"probe_id": probes, "index": [number % 100 for number in range(100_000)], "digest": digests})
    begun = time.process_time()
    assert len(copies(images)) == 50_000
    assert time.process_time() - begun < 60
