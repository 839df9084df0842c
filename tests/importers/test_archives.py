"""Tar archives read by their headers: the same files as `tarfile` finds, and every trap refused with its reason."""

from __future__ import annotations

import contextlib
import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.importers import archives
from probes.importers.archives import Member, members, read_member
from probes.importers.folder import read_folder
from probes.importers.tables import FolderError

NAMES = st.lists(
    st.text(st.characters(exclude_characters="/\0\\:", exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1)
    .filter(lambda part: part not in {".", ".."} and len(part.encode()) < 256)
    .map(lambda part: part.strip() or "a"),
    min_size=1,
    max_size=4,
).map("/".join)


def tar(path: Path, files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@given(st.dictionaries(NAMES, st.binary(max_size=1500), max_size=5), st.sampled_from([0, 1, 2]))
def test_every_file_is_found_as_tarfile_finds_it(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], form: int
) -> None:
    files = {name: data for name, data in files.items() if form or len(name.encode()) < 100}
    path = tar(tmp_path_factory.getbasetemp() / "some.tar", files, form)
    found = list(members(path))
    with tarfile.open(path) as archive:
        known = [(info.name, info.offset_data, info.size) for info in archive]
    assert [(each.name, each.offset, each.size) for each in found] == known
    assert [read_member(path, each) for each in found] == list(files.values())


@pytest.mark.parametrize(
    "name", ["../a.png", "a/../../b.png", "/etc/a.png", "..", "a\\..\\b.png", "C:\\a.png", "\\a.png"]
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    (found,) = members(tar(tmp_path / "x.tar", {name: b"data"}))
    assert found.reason == "its name leads out of the archive"
    with pytest.raises(OSError, match="leads out"):
        read_member(tmp_path / "x.tar", found)


def test_names_are_plain_and_can_be_shown(tmp_path: Path) -> None:
    found = list(members(tar(tmp_path / "x.tar", {"./a//b.png": b"1", "two\nlines.png": b"2", "caf\udce9.png": b"3"})))
    assert [each.name for each in found] == ["a/b.png", "two\\nlines.png", "caf\\xe9.png"]
    assert [read_member(tmp_path / "x.tar", each) for each in found] == [b"1", b"2", b"3"]


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (header("a", 10**12) + bytes(512), "the archive ends within it: it is cut"),
        (header("a", 700) + bytes(512), "the archive ends within it: it is cut"),
        (header("a", 3, b"S") + bytes(512), "it is stored with holes"),
        (header("a", 3, b"Z") + bytes(512), "it is of an unknown kind"),
        (header("a", 0, tarfile.FIFOTYPE), "it is a device or a pipe"),
    ],
)
def test_files_that_may_not_be_read(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "x.tar").write_bytes(data)
    (found,) = members(tmp_path / "x.tar")
    assert found.reason.startswith(reason)


def test_too_large_files_are_refused_and_holes_cost_nothing(tmp_path: Path) -> None:
    size = archives.LARGEST + 1
    with (tmp_path / "x.tar").open("wb") as file:
        file.write(header("a.png", size))
        file.seek(512 + -(-size // 512) * 512)
        file.write(header("b.png", 3) + b"abc")
        file.truncate(file.tell() + 509)
    large, small = members(tmp_path / "x.tar")
    assert large.reason == "it holds 268,435,457 bytes; at most 268,435,456 are read"
    assert read_member(tmp_path / "x.tar", small) == b"abc"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.tar is empty"),
        (b"\x1f\x8b\x08" + bytes(600), r"x.tar is compressed \(gzip\)"),
        (b"BZh9" + bytes(600), r"compressed \(bzip2\)"),
        (b"PK\3\4" + bytes(600), r"compressed \(zip\)"),
        (b"no tar" * 100, "damaged or no tar"),
        (header("a", 3)[:300], "damaged or no tar"),
        (header("x", 2**40, b"L") + bytes(512), "a header of 1,099,511,627,776 bytes"),
        (header("x", 2000, b"x") + bytes(512), "a header is cut"),
        (header("x", 20, b"x") + b"9 path=\n".ljust(512, b"\0") + b"1 path=a\n".ljust(512), "damaged or no tar"),
        (header("x", 9, b"x") + b"2 path=ab".ljust(512, b"\0"), "a record of pax is damaged"),
    ],
)
def test_what_is_no_tar_is_said_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(FolderError, match=message) as caught:
        list(members(tmp_path / "x.tar"))
    assert "\n" not in str(caught.value)


def test_damage_behind_the_first_file_ends_the_list(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", {"a.png": b"a", "b.png": b"b"})
    data = bytearray(path.read_bytes())
    data[1024 + 20] ^= 1
    path.write_bytes(data)
    first, last = members(path)
    assert first == Member("a.png", 512, 1)
    assert "the archive is damaged" in last.reason
    assert "what follows is not read" in last.reason


@given(st.data())
def test_no_damage_at_all_crashes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tar(tmp_path_factory.getbasetemp() / "hurt.tar", {"a" * 150: b"a" * 600, "é/b.png": b"b"})
    broken = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        broken[data.draw(st.integers(0, 4095))] = data.draw(st.integers(0, 255))
    path.write_bytes(broken[: data.draw(st.integers(0, len(broken)))])
    found = []
    with contextlib.suppress(FolderError):
        found = list(members(path))
    for each in found:
        each.name.encode()
        if not each.reason:
            assert len(read_member(path, each)) == each.size


def test_many_files_are_listed_in_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "x.tar").open("wb") as file:
        for number in range(4_000):
            file.write(header(f"{number:06d}.png", 0))
    tracemalloc.start()
    assert sum(1 for _ in members(tmp_path / "x.tar")) == 4_000
    assert tracemalloc.get_traced_memory()[1] < 2**17
    tracemalloc.stop()


def test_an_archive_is_read_as_a_folder_of_its_name(tmp_path: Path) -> None:
    tar(tmp_path / "nurse.tar", {"day/1.png": b"1", "day/2.png": b"22", "notes.txt": b"x"})
    tar(tmp_path / "two.tar", {"1.png": b"1"}).rename(tmp_path / "Two.TAR")
    (tmp_path / "list.csv").write_text("file,prompt\nnurse.tar/day/2.png,a nurse\n")
    found = read_folder(tmp_path, folders="subject")
    assert [(image.name, image.probe_id, image.read()) for image in found.images] == [
        ("nurse.tar/day/1.png", "nurse", b"1"),
        ("nurse.tar/day/2.png", "nurse", b"22"),
        ("Two.TAR/1.png", "two", b"1"),
    ]
    assert found.others == {".csv": 1, ".txt": 1}
    (image,) = read_folder(tmp_path).images
    assert (image.name, image.path.name, image.length, image.read()) == ("nurse.tar/day/2.png", "nurse.tar", 2, b"22")
