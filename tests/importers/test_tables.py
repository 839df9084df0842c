"""Which file a cell of a table names, and subjects that are called otherwise than in the suite."""

from __future__ import annotations

from pathlib import Path

import pytest
from labelled import labelled_folder

from probes.importers.folder import FolderError, read_folder
from probes.importers.tables import matches_of, name_of, places_of, rows_of
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
