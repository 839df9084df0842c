"""Which file a cell of a table names, and subjects that are called otherwise than in the suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from importers.metadata_files import png
from labelled import labelled_folder

from probes.importers.folder import FolderError, read_folder
from probes.importers.tables import header_of, matches_of, name_of, places_of, rows_of
from probes.suite import load_suite

FILES = ["ceo/baseline/0.jpg", "ceo/baseline/1.jpg", "ceo/controlled/0.jpg", "nurse/2.c2pa.png", "nurse/2.png"]


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("/ceo/baseline/0.jpg", ["ceo/baseline/0.jpg"]),
        ("ceo\\baseline\\0.png", ["ceo/baseline/0.jpg"]),
        ("ceo/baseline/0", ["ceo/baseline/0.jpg"]),
        ("1.png", ["ceo/baseline/1.jpg"]),
        ("elsewhere/1.jpg", ["ceo/baseline/1.jpg"]),
        ("0.jpg", ["ceo/baseline/0.jpg", "ceo/controlled/0.jpg"]),
        ("/nurse/2.webp", ["nurse/2.png"]),
        ("3.jpg", []),
    ],
)
def test_which_files_a_cell_may_mean(cell: str, found: list[str]) -> None:
    assert matches_of(places_of(FILES), name_of(cell)) == found


def test_rows_have_their_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('\ufefffile;note\r\na.png; "two\r\nlines" \r\nb.png;x\r\n', encoding="utf-8", newline="")
    assert list(rows_of(path))[-1][1] == {"file": "b.png", "note": "x"}
    path.write_text("file\tnote\n a.png \t x \n", encoding="utf-8")
    assert list(rows_of(path)) == [(2, {"file": "a.png", "note": "x"})]


def test_subjects_are_called_as_in_the_suite(tmp_path: Path) -> None:
    """The probe keeps its id and takes the suite's subject with its keys."""
    images, _, _ = labelled_folder(tmp_path)
    meant = {"SWE": "software_developer"}
    found = read_folder(images, folders="subject/condition", suite=load_suite("occupations"), subjects=meant)
    probes = {probe.probe_id: (probe.subject, dict(probe.keys)) for probe in found.probes}
    assert probes == {
        "nurse.baseline": ("nurse", {"us-labour-2022": "Registered nurses"}),
        "swe.baseline": ("software_developer", {"us-labour-2022": "Software developers"}),
    }
    alone = read_folder(images, folders="subject/condition", subjects=meant)
    assert [probe.subject for probe in alone.probes] == ["nurse", "software_developer"]
    plain = read_folder(images, folders="subject/condition")
    assert [probe.probe_id for probe in plain.probes] == [probe.probe_id for probe in found.probes]
    with pytest.raises(FolderError, match="'swe' is said to be the subject 'developer', which the suite 'occupations'"):
        read_folder(images, folders="subject/condition", suite=load_suite("occupations"), subjects={"swe": "developer"})


def lines(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def picture(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png())


def test_jsonl_has_rows_like_a_csv(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "x.jsonl", {"file_name": " a.png ", "text": "half \ud83d", "size": [1, {"a": 2}], "no": None}
    )
    path.write_text("\ufeff" + path.read_text() + "\n  \n" + '{"file_name": "b.png", "more": 1.5}\n', encoding="utf-8")
    assert list(rows_of(path)) == [
        (1, {"file_name": "a.png", "text": "half ?", "size": '[1, {"a": 2}]', "no": ""}),
        (4, {"file_name": "b.png", "more": "1.5"}),
    ]
    assert header_of(path) == ["file_name", "text", "size", "no", "more"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"file_name": "a.png", "text": "x"}\n{"file', "x.jsonl, line 2 is no JSON .Unterminated string"),
        (b"[1, 2]\n", r"x.jsonl, line 1 should be a JSON object \(got list\). Write one JSON object a line"),
        (b'{"a": ' + b"[" * 100_000 + b"\n", r"line 1 is no JSON \(nested too deeply\)"),
        (b'{"a": ' + b"9" * 5000 + b"}\n", "line 1 is no JSON .Exceeds the limit"),
        (b'{"a": "\xff"}\n', "x.jsonl cannot be read as JSONL in UTF-8"),
    ],
)
def test_a_damaged_jsonl_is_said_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(FolderError, match=message) as caught:
        read_folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_metadata_in_every_folder_names_the_files_there(tmp_path: Path) -> None:
    picture(*(tmp_path / name for name in ("train/1.png", "train/2.png", "test/1.png", "test/deep/3.png", "4.png")))
    lines(tmp_path / "train" / "metadata.jsonl", {"file_name": "1.png", "text": "a nurse"}, {"file_name": "9.png"})
    lines(
        tmp_path / "test" / "metadata.jsonl",
        {"file_name": "1.png", "text": "a chef"},
        {"file_name": "deep/3.png", "text": "a chef"},
        {"file_name": "test/1.png", "text": "a baker"},
        {"file_name": "8.png", "text": "a baker"},
    )
    found = read_folder(tmp_path)
    assert {(image.name, image.probe_id, image.reason) for image in found.images} == {
        ("train/1.png", "a-nurse", ""),
        ("test/1.png", "a-chef", ""),
        ("test/deep/3.png", "a-chef", ""),
        ("test/8.png", "a-baker", "file not found"),
    }
    tables = "test/metadata.jsonl, train/metadata.jsonl"
    assert set(found.unmatched) == {
        "9.png (train/metadata.jsonl, line 2 names no prompt)",
        "test/1.png (test/metadata.jsonl, line 3 names it again, after line 1)",
        f"4.png (not in {tables})",
        f"train/2.png (not in {tables})",
    }
    assert found.tables == ("test/metadata.jsonl", "train/metadata.jsonl")
    assert found.others == {}


def test_a_table_in_the_folder_itself_speaks_for_all_of_it(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "1.png")
    lines(tmp_path / "train" / "metadata.jsonl", {"file_name": "1.png", "text": "a nurse"})
    own = lines(tmp_path / "mine.jsonl", {"file": "train/1.png", "prompt": "a chef"})
    assert [probe.text for probe in read_folder(tmp_path).probes] == ["a chef"]
    own.unlink()
    given = lines(tmp_path / "train" / "other.jsonl", {"file": "1.png", "prompt": "a baker"})
    assert [probe.text for probe in read_folder(tmp_path).probes] == ["a nurse"]
    assert [probe.text for probe in read_folder(tmp_path, table=given).probes] == ["a baker"]
    with pytest.raises(FolderError, match=r"no column holds prompts .*Say which with --prompt-column"):
        read_folder(tmp_path, table=lines(tmp_path / "odd.jsonl", {"file": "1.png", "words": "x"}))
    asked = read_folder(tmp_path, table=tmp_path / "odd.jsonl", prompt_column="words")
    assert [probe.text for probe in asked.probes] == ["x"]


def test_prompts_of_a_table_are_looked_through_for_a_subject(tmp_path: Path) -> None:
    picture(*(tmp_path / f"{number}.png" for number in range(4)))
    rows = [
        {"file": "0.png", "prompt": "two nurses, 50 mm"},
        {"file": "1.png", "prompt": "wolves"},
        {"file": "2.png", "subject": "wolf", "prompt": "wolves"},
        {"file": "3.png", "subject": "Chief Executives", "prompt": "x" * 20_001},
    ]
    lines(tmp_path / "t.jsonl", *rows)
    found = read_folder(tmp_path, suite=load_suite("occupations"))
    assert [(probe.subject, probe.text) for probe in found.probes] == [
        ("nurse", "two nurses, 50 mm"),
        ("wolf", "wolves"),
    ]
    assert found.unmatched == (
        "1.png (the prompt names no subject of the suite)",
        "3.png (t.jsonl, line 4 holds more than 20,000 characters in a cell)",
        "3.png (not in t.jsonl)",
    )


def test_a_table_that_names_files_elsewhere_opens_none_of_them(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "1.png", tmp_path / "secret.png")
    names = ("../secret.png", str(tmp_path / "secret.png"), "a\0b.png", "1.png")
    lines(tmp_path / "in" / "t.jsonl", *({"file": name, "prompt": "a nurse"} for name in names))
    found = read_folder(tmp_path / "in")
    assert sorted(image.reason for image in found.images) == ["", *["file not found"] * 3]
