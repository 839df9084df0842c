"""Folders of images that others made: which probe each image belongs to, and what is left out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from probes.importers.folder import FolderError, Import, read_folder, slug
from probes.probe import Probe
from probes.suite import Suite, load_suite


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(path)
    return folder


def names(found: Import, folder: Path) -> list[tuple[str, int, str]]:
    return [(image.probe_id, image.index, image.path.relative_to(folder).as_posix()) for image in found.images]


def test_folder_names_are_subject_and_condition(tmp_path: Path) -> None:
    fill(tmp_path, "ceo/baseline/b.jpg", "ceo/baseline/a.png", "ceo/long/run/c.webp", "nurse/d.jpeg", "e.png")
    fill(tmp_path, ".hidden/x.png", "nurse/._d.png")
    (tmp_path / "notes.txt").write_text("no image")
    found = read_folder(tmp_path)
    assert names(found, tmp_path) == [
        ("ceo.baseline", 0, "ceo/baseline/a.png"),
        ("ceo.baseline", 1, "ceo/baseline/b.jpg"),
        ("ceo.long-run", 0, "ceo/long/run/c.webp"),
        ("nurse", 0, "nurse/d.jpeg"),
        (slug(tmp_path.name), 0, "e.png"),
    ]
    probe = found.probes[0]
    assert (probe.subject, probe.template, probe.kind, probe.text) == ("ceo", "baseline", "imported", "")
    assert probe.notes == "The prompt is not known."
    assert found.unmatched == ()


def test_folders_say_what_each_level_is(tmp_path: Path) -> None:
    fill(tmp_path, "x/de/Ärztin bei der Arbeit/1.png", "y/en/a doctor/1.png", "z/2.png")
    found = read_folder(tmp_path, folders="*/language/prompt")
    assert [(p.probe_id, p.language, p.text, p.subject) for p in found.probes] == [
        ("a-doctor.en", "en", "a doctor", "a-doctor"),
        ("aerztin-bei-der-arbeit.de", "de", "Ärztin bei der Arbeit", "aerztin-bei-der-arbeit"),
    ]
    assert found.unmatched == ("z/2.png (lies 1 folders deep, --folders has 3)",)


def test_a_table_names_files_in_spite_of_slashes_endings_and_a_mark(tmp_path: Path) -> None:
    fill(tmp_path, "a/one.jpg", "a/two.jpg", "b/two.png", "b/three.webp", "extra.png")
    rows = [
        "﻿Image_File;Prompt;rater",
        "/a/one.png;A CEO;x",
        "two;A nurse;y",
        "three.jpg;A nurse;z",
        "gone.png;A nurse;z",
    ]
    rows += ["a/one.jpg;A CEO;again", "a/two.jpg;;x"]
    (tmp_path / "prompts.csv").write_text("\n".join(rows), encoding="utf-8")
    found = read_folder(tmp_path)
    assert [(i.probe_id, i.index, i.path.name, i.reason) for i in found.images] == [
        ("a-ceo", 0, "one.jpg", ""),
        ("a-nurse", 0, "three.webp", ""),
        ("a-nurse", 1, "gone.png", "file not found"),
        ("a-nurse", 2, "two", "2 files could be meant: a/two.jpg, b/two.png"),
    ]
    assert [(p.text, p.subject) for p in found.probes] == [("A CEO", "a-ceo"), ("A nurse", "a-nurse")]
    assert found.images[0].details["rater"] == "x"
    assert found.unmatched == (
        "a/one.jpg (prompts.csv, line 6 names it again, after line 2)",
        "a/two.jpg (prompts.csv, line 7 names no prompt)",
        "a/two.jpg (not in prompts.csv)",
        "b/two.png (not in prompts.csv)",
        "extra.png (not in prompts.csv)",
    )


def test_columns_may_be_named(tmp_path: Path) -> None:
    fill(tmp_path, "one.png")
    table = tmp_path / "list.csv"
    table.write_text("datei,frage,occupation,language\none.png,Ein Arzt,doctor,de\n", encoding="utf-8")
    found = read_folder(tmp_path, table=table, file_column="Datei", prompt_column="frage")
    (probe,) = found.probes
    assert (probe.probe_id, probe.text, probe.subject, probe.language) == ("doctor.de", "Ein Arzt", "doctor", "de")
    with pytest.raises(FolderError, match=r"no column 'dateii' for --file-column; did you mean 'datei'"):
        read_folder(tmp_path, table=table, file_column="dateii")
    with pytest.raises(FolderError, match=r"no column names the files \(got datei, frage, occupation, language\)"):
        read_folder(tmp_path, table=table)


def test_different_prompts_of_one_subject_are_different_probes(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "2.png")
    (tmp_path / "t.csv").write_text("file,prompt,subject\n1.png,a nurse at work,nurse\n2.png,a nurse at home,nurse\n")
    found = read_folder(tmp_path)
    assert len({probe.probe_id for probe in found.probes}) == 2
    assert all(probe.probe_id.startswith("nurse.") and probe.subject == "nurse" for probe in found.probes)
    assert read_folder(tmp_path) == found


def test_a_suite_lends_its_rows_of_references(tmp_path: Path) -> None:
    fill(tmp_path, "Chief Executive/1.png", "other/1.png")
    keys = {"us-labour-2022": "Chief executives"}
    known = Probe("chief_executive.en", "a photo of a boss", "chief_executive", "occupation", keys=keys, sensitive=True)
    suite = load_suite("neutral")
    found = read_folder(tmp_path, suite=Suite("own", "1", suite.card, (known,)))
    chief, other = found.probes
    assert (chief.keys, chief.subject, chief.sensitive) == (keys, "chief_executive", True)
    assert other.keys == {}
    (tmp_path / "t.csv").write_text("file,prompt\nother/1.png,A photo of  a boss\n")
    (by_prompt,) = read_folder(tmp_path, suite=Suite("own", "1", suite.card, (known,))).probes
    assert by_prompt.keys == keys


def test_what_cannot_be_imported_is_said(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="is no folder"):
        read_folder(tmp_path / "gone")
    with pytest.raises(FolderError, match=r"no images that belong to a prompt \(got 0 images"):
        read_folder(tmp_path)
    fill(tmp_path, "a/1.png")
    with pytest.raises(FolderError, match=r"unknown level 'subjekt' in --folders 'subjekt': did you mean 'subject'"):
        read_folder(tmp_path, folders="subjekt")
    with pytest.raises(FolderError, match="must name a subject or a prompt"):
        read_folder(tmp_path, folders="condition")
    with pytest.raises(FolderError, match="has no table for the columns"):
        read_folder(tmp_path, prompt_column="prompt")
    (tmp_path / "bad.csv").write_bytes(b"file,prompt\n\xff\xfe,x\n")
    with pytest.raises(FolderError, match=r"bad\.csv cannot be read as CSV in UTF-8"):
        read_folder(tmp_path)
    with pytest.raises(FolderError, match=r"none\.csv cannot be read"):
        read_folder(tmp_path, table=tmp_path / "none.csv")
    (tmp_path / "bad.csv").write_text("file,prompt\na/1.png,x\n")
    (tmp_path / "too.csv").write_text("file,prompt\na/1.png,x\n")
    with pytest.raises(FolderError, match=r"several tables of images \(bad.csv, too.csv\). Name one with --table"):
        read_folder(tmp_path)


@given(st.text(max_size=80))
def test_any_text_becomes_part_of_an_id(text: str) -> None:
    made = slug(text)
    assert made
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert slug(made) == made


@pytest.mark.parametrize("name", ["dall_e_3", "flux_dev", "sdxl_turbo"])
def test_real_images_by_their_table_and_by_their_folders(shared_data: Path, name: str) -> None:
    folder = shared_data / "images" / name

    def state() -> str:
        digest = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            digest.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
        return digest.hexdigest()

    before = state()
    by_table, by_folder = read_folder(folder), read_folder(folder, folders="subject/condition")
    assert state() == before
    for found in (by_table, by_folder):
        assert len(found.images) == 100
        assert not any(image.reason for image in found.images)
        assert len(found.probes) == 10
        assert [image.index for image in found.images] == list(range(10)) * 10
    assert names(by_table, folder) == names(by_folder, folder)
    assert by_table.probes == by_folder.probes
    assert by_table.images[0].details["setting"] == "baseline"
    assert [line.split(" ")[0] for line in by_table.unmatched] == (
        ["ceo_baseline_s0.c2pa.png"] if name == "dall_e_3" else []
    )
