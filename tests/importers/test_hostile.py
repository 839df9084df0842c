"""10,000 mixed files and traps: each is accounted for with its reason, nothing leads out, memory stays small."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from importers.mixed_files import HEIC, Mixed, mixed

from audit.sources import ImportedSource
from probes.importers.folder import Import, read_folder
from probes.importers.walking import LeftOut
from probes.suite import load_suite

FILES = 10_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    return mixed(tmp_path_factory.mktemp("mixed"), FILES)


@pytest.fixture(scope="module")
def found(folder: Mixed) -> Import:
    return read_folder(folder.root, suite=load_suite("occupations"))


def explained(left_out: tuple[LeftOut, ...], expected: dict[str, str]) -> bool:
    """Whether all that was left out is expected, and with this reason."""
    assert Counter(each.file for each in left_out) == Counter(dict.fromkeys(expected, 1))
    return all(re.search(expected[each.file], each.reason) for each in left_out)


def test_every_file_is_accounted_for(folder: Mixed, found: Import) -> None:
    assert {image.name for image in found.images} == folder.good | set(folder.bad)
    assert len(found.images) == len(folder.good) + len(folder.bad) > FILES
    assert explained(found.left_out, folder.left_out)
    assert found.others == folder.others


def test_every_picture_is_read_or_fails_with_its_reason(folder: Mixed, found: Import) -> None:
    source = ImportedSource(found)
    rows = [row for number in range(0, len(source), 7) for row in source.make(number)]
    names = {(image.probe_id, image.index): image.name for image in found.images}
    assert len(rows) > FILES // 8
    for row in rows:
        name = names[row.probe_id, row.index]
        assert row.outcome == ("ok" if name in folder.good else "failed"), (name, row.reason)
        assert "\n" not in row.reason
        assert name in folder.good or re.search(folder.bad[name], row.reason), (name, row.reason)


def test_subjects_come_from_prompts_then_folders_then_names(found: Import) -> None:
    subjects = {probe.probe_id: probe.subject for probe in found.probes}
    by_name = {image.name: (subjects[image.probe_id], image.details) for image in found.images}
    assert by_name[first(by_name, "said")][0] == "plumber"
    hurt = first(by_name, "hurt")
    subject, details = by_name[hurt]
    assert (
        subject == {"nurse": "nurse", "Software Developers": "software_developer", "chef": "chef"}[hurt.split("/")[0]]
    )
    assert "invokeai_metadata is no valid JSON" in str(details["metadata_error"])
    assert "give its prompt in a table" in str(details["metadata_error"])
    assert by_name["plumber-3.png"][0] == "plumber"
    assert by_name["0001_portrait of a CEO.webp"][0] == "ceo"
    assert by_name["\\xff\\xfe/a_baker-17.png"][0] == "baker"
    assert by_name["nurse/more.tar/a/1.png"][0] == "nurse"
    json.dumps([dict(details) for _, details in by_name.values()], ensure_ascii=False).encode()


def first(names: Iterable[str], kind: str) -> str:
    return next(name for name in names if f"/{kind}_" in name)


def test_nothing_is_opened_that_could_hang_or_lead_out(folder: Mixed, found: Import) -> None:
    outside = os.path.realpath(folder.outside)
    for image in found.images:
        assert not os.path.realpath(image.path).startswith(outside)
    pipe = next(image for image in found.images if image.name == "plumber-3.png")
    assert pipe.read() == pipe.path.read_bytes()
    with pytest.raises(OSError, match="no regular file"):
        replace(pipe, path=folder.root / "nurse" / "pipe.png").read()


SCRIPT = """
import re, sys
from pathlib import Path
from probes.importers.folder import read_folder
from probes.suite import load_suite

found = [read_folder(Path(folder), suite=load_suite("occupations")) for folder in sys.argv[1:]]
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())  # ru_maxrss counts the parent's, too
print(len(found[-1].images), int(peak[1]) * 1024)
"""


def peak(*folders: Path) -> tuple[int, int]:
    call = [sys.executable, "-c", SCRIPT, *map(str, folders)]
    images, most = subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()
    return int(images), int(most)


def test_memory_grows_by_less_than_3_kilobytes_an_image(folder: Mixed, tmp_path: Path) -> None:
    few = mixed(tmp_path, 2_000)
    (small, before), (large, after) = peak(few.root), peak(folder.root)
    assert large - small == 8_000
    assert (after - before) / (large - small) < 3_000


def test_a_heic_picture_is_a_failed_sample(tmp_path: Path) -> None:
    (tmp_path / "nurse").mkdir()
    (tmp_path / "nurse" / "1.HEIC").write_bytes(HEIC)
    (row,) = ImportedSource(read_folder(tmp_path)).make(0)
    assert row.outcome == "failed"
    assert row.reason
