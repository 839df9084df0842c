"""Images with captions in folders, tables, WebDataset tars and Parquet files, whole and damaged.

Oracles: webdataset writes and reads the tars; pyarrow the Parquet files, in the layout of Hugging Face's `datasets`.
"""

from __future__ import annotations

import gc
import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from probes.importers.collections import Entry, braces, caption_of, find_collection
from probes.importers.tables import FolderError

CAPTIONS = ("a nurse", "eine Ärztin, die lächelt", 'a "chef", 厨师 😀', "a baker\nand her bread")


def png(number: int) -> bytes:
    """A small image, another one for every number."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (9, 7, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def read(where: str | Path) -> list[tuple[str, bytes | str]]:
    """Caption and image (or the reason) of every entry."""
    return [(entry.caption, shown(entry)) for entry in find_collection(where).entries()]


def shown(entry: Entry) -> bytes | str:
    if entry.reason or entry.read is None:
        return entry.reason
    try:
        return entry.read()
    except OSError as error:
        return str(error)


EXPECTED = [(caption, png(number)) for number, caption in enumerate(CAPTIONS)]


def tar(path: Path, first: int = 0, count: int = len(CAPTIONS)) -> Path:
    """A tar as webdataset writes it."""
    with webdataset.TarWriter(str(path)) as sink:
        for number in range(first, first + count):
            sink.write({"__key__": f"{number:05d}", "png": png(number), "txt": CAPTIONS[number % len(CAPTIONS)]})
    return path


def parquet(path: Path, columns: dict[str, object], rows_a_group: int = 3) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=rows_a_group)
    return path


HUGGING_FACE = {
    "image": pa.array(
        [{"bytes": png(number), "path": f"{number}.png"} for number in range(len(CAPTIONS))],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    ),
    "text": pa.array(CAPTIONS),
}


# -- whole -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["txt", "caption", "json"])
def test_a_folder_of_images_with_captions_beside_them(tmp_path: Path, ending: str) -> None:
    for number, caption in enumerate(CAPTIONS):
        place = tmp_path / str(number // 2)
        place.mkdir(exist_ok=True)
        (place / f"{number}.png").write_bytes(png(number))
        text = json.dumps({"caption": caption, "url": "http://x"}) if ending == "json" else caption
        (place / f"{number}.{ending}").write_bytes(("\ufeff" + text).encode())
    assert find_collection(tmp_path).kind == "folder"
    assert read(tmp_path) == EXPECTED


@pytest.mark.parametrize("name", ["metadata.jsonl", "captions.csv"])
def test_a_table_of_files_and_captions(tmp_path: Path, name: str) -> None:
    (tmp_path / "train").mkdir()
    rows = [{"file_name": f"sub/{number}.png", "text": caption} for number, caption in enumerate(CAPTIONS)]
    (tmp_path / "train" / "sub").mkdir()
    for number in range(len(CAPTIONS)):
        (tmp_path / "train" / "sub" / f"{number}.png").write_bytes(png(number))
    if name.endswith("jsonl"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        quoted = [f'{row["file_name"]},"{row["text"].replace(chr(34), chr(34) * 2)}"' for row in rows]
        text = "\n".join(["file_name,text", *quoted])
    (tmp_path / "train" / name).write_text(text, encoding="utf-8")
    assert read(tmp_path) == EXPECTED
    assert read(tmp_path / "train" / name) == EXPECTED


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset closes no file
def test_tars_as_webdataset_writes_and_reads_them(tmp_path: Path) -> None:
    for shard in range(3):
        tar(tmp_path / f"train-{shard:03d}.tar", first=shard * 3, count=3)
    shards = [str(path) for path in sorted(tmp_path.glob("*.tar"))]
    known = webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).to_tuple("txt", "png")
    expected = [(text.decode(), image) for text, image in known]
    del known
    gc.collect()
    assert len(expected) == 9
    assert read(tmp_path) == expected
    assert read(tmp_path / "train-{000..002}.tar") == expected
    assert read(tmp_path / "train-001.tar") == expected[3:6]


def test_samples_whose_captions_are_in_json_or_that_have_several_parts(tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as sink:
        sink.write({"__key__": "a/1", "seg.png": png(8), "png": png(1), "json": {"caption": "a nurse", "width": 3}})
        sink.write({"__key__": "a/2", "txt": "a baker", "json": {"url": "http://x/y.png"}})
        sink.write({"__key__": "a/3", "png": png(3)})
        sink.write({"__key__": "a/4", "txt": "a chef"})
    assert read(tmp_path / "a.tar") == [
        ("a nurse", png(1)),
        ("a baker", "only an address is given, and nothing is downloaded"),
        ("", "there is no caption"),
        ("a chef", "there is no image beside the caption"),
    ]


def test_parquet_as_hugging_face_writes_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    parquet(tmp_path / "data" / "train-00000-of-00001.parquet", HUGGING_FACE)
    assert read(tmp_path) == EXPECTED


@pytest.mark.parametrize(("image", "caption"), [("jpg", "TEXT"), ("Image_Bytes", "Caption"), ("pixels", "top_caption")])
def test_parquet_with_a_column_of_bytes(tmp_path: Path, image: str, caption: str) -> None:
    images = [png(number) for number in range(len(CAPTIONS))]
    path = parquet(tmp_path / "a.parquet", {"id": list(range(4)), image: images, caption: list(CAPTIONS)})
    assert read(path) == EXPECTED


def test_images_are_read_in_any_order_and_only_if_asked_for(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", HUGGING_FACE, rows_a_group=4)
    entries = list(zip(find_collection(path).entries(), range(4), strict=True))
    held = []
    for entry in find_collection(path).entries():
        held.append(entry)
        if len(held) in (2, 4):
            assert [shown(each) for each in reversed(held)] == [png(n) for n in reversed(range(len(held)))]
    assert [entry.caption for entry, _ in entries] == list(CAPTIONS)


def test_what_is_only_an_address_or_has_no_image(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"URL": ["http://x/1.jpg"], "TEXT": ["a nurse"]})
    assert read(path) == [("a nurse", "only an address is given, and nothing is downloaded")]
    (tmp_path / "metadata.jsonl").write_text(
        '{"file_name": "http://x/1.png", "text": "a nurse"}\n{"text": "a baker"}\nnot json\n[1]\n\n'
        '{"file_name": "../../etc/passwd", "text": "a chef"}\n{"file_name": "gone.png", "text": "a pilot"}\n'
    )
    assert read(tmp_path / "metadata.jsonl") == [
        ("a nurse", "only an address is given, and nothing is downloaded"),
        ("a baker", "the row names no file"),
        ("", "a line of the table is no JSON object"),
        ("", "a line of the table is no JSON object"),
        ("a chef", "its name leads out of the folder"),
        ("a pilot", "file not found"),
    ]


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(png(1))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.png").symlink_to(tmp_path / "outside.png")
    (folder / "a.txt").write_text("a nurse")
    assert read(folder) == [("a nurse", "its name leads out of the folder")]


# -- damaged ---------------------------------------------------------------------------------------------------------


def test_a_cut_tar_gives_what_is_whole(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar")
    whole = path.read_bytes()
    last = whole.rindex(b"\x89PNG")
    path.write_bytes(whole[: last + 20])
    found = read(path)
    assert found[:3] == EXPECTED[:3]
    assert all(isinstance(reason, str) for _, reason in found[3:])


def test_damaged_files_stop_nothing(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar", count=2)
    (tmp_path / "b.tar").write_bytes(b"\x1f\x8b not a tar")
    (tmp_path / "c.tar").write_bytes(b"")
    tar(tmp_path / "d.tar", first=2, count=2)
    found = read(tmp_path)
    assert [each for each in found if each[0]] == EXPECTED
    assert [reason for caption, reason in found if not caption] == ["a tar of the collection cannot be read"] * 2
    assert read(tmp_path / "{a,z}.tar")[-1] == ("", "a file of the collection is missing")


def test_a_damaged_parquet_file_gives_its_other_parts(tmp_path: Path) -> None:
    columns = {"image": [png(n) for n in range(8)], "text": [f"a nurse {n}" for n in range(8)]}
    path = parquet(tmp_path / "a.parquet", columns, rows_a_group=4)
    data = bytearray(path.read_bytes())
    group = pq.ParquetFile(path).metadata.row_group(0)
    text = group.column(1)
    start = text.dictionary_page_offset or text.data_page_offset
    data[start : start + text.total_compressed_size] = b"\xff" * text.total_compressed_size
    path.write_bytes(bytes(data))
    entries = list(find_collection(path).entries())
    assert [entry.caption for entry in entries if entry.caption] == [f"a nurse {n}" for n in range(4, 8)]
    assert [(entry.reason, entry.rows) for entry in entries if entry.reason] == [
        ("a part of a Parquet file cannot be read", 4)
    ]
    path.write_bytes(bytes(data[:-20]))
    assert read(path) == [("", "a Parquet file of the collection cannot be read")]


def test_a_parquet_file_whose_images_are_damaged_has_captions(tmp_path: Path) -> None:
    columns = {"image": [png(n) for n in range(4)], "text": list(CAPTIONS)}
    path = parquet(tmp_path / "a.parquet", columns)
    data = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(bytes(data))
    found = read(path)
    assert [caption for caption, _ in found] == list(CAPTIONS)
    assert [image for _, image in found] == ["the Parquet file is damaged there"] * 3 + [png(3)]


@given(st.binary(max_size=400))
def test_any_bytes_in_a_tar_are_entries_with_reasons(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "a.tar"
    path.write_bytes(data)
    assert all(isinstance(image, str) for _, image in read(path))


def test_no_captions_in_a_parquet_file(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"image": [png(0)] * 5, "label": [1] * 5})
    (entry,) = find_collection(path).entries()
    assert (entry.reason, entry.rows) == ("a Parquet file of the collection has no column of captions", 5)


@pytest.mark.parametrize("name", ["nowhere", "nowhere/{000..003}.tar", "a.zip", "empty"])
def test_what_is_no_collection(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.md").write_text("none")
    with pytest.raises(FolderError) as caught:
        find_collection(tmp_path / name)
    assert "\n" not in str(caught.value)


# -- parts -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 120), st.integers(0, 40), st.integers(1, 6))
def test_braces_with_numbers(first: int, more: int, width: int) -> None:
    found = braces(f"a/{{{first:0{width}d}..{first + more}}}.tar")
    assert found == [f"a/{number:0{width}d}.tar" for number in range(first, first + more + 1)]


def test_braces_with_words() -> None:
    assert braces("{a,b}-{0..1}.tar") == ["a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"]
    assert braces("plain.tar") == ["plain.tar"]
    with pytest.raises(FolderError, match="stands for more than"):
        braces("{0..999999999}.tar")


def test_a_caption_is_the_best_text_of_a_cell() -> None:
    assert caption_of(["", "a nurse", "a baker"]) == "a nurse"
    assert caption_of({"url": "x", "TEXT": "a nurse", "caption": None}) == "a nurse"
    assert caption_of(None) == caption_of(3) == caption_of([]) == ""


def test_memory_is_that_of_a_row_group(tmp_path: Path) -> None:
    """512 images of 100 kB, 51 MB, in row groups of 3 MB."""
    rng = np.random.default_rng(0)
    images = [rng.bytes(100_000) for _ in range(512)]
    path = tmp_path / "a.parquet"
    parquet(path, {"image": images, "text": ["a nurse"] * 512}, rows_a_group=32)
    del images
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    most = 0
    for entry in find_collection(path).entries():
        assert len(shown(entry)) == 100_000
        most = max(most, pa.total_allocated_bytes() - before)
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()
    assert most < 15e6
