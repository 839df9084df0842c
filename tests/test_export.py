"""Exports hold every sample once, byte for byte, with its labels; images that the run made say so."""

from __future__ import annotations

import io
import json
import re
import shutil
import tracemalloc
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from commands import call, contents, refused
from helpers import noise_run
from hypothesis import given
from hypothesis import strategies as st
from labelled import labelled_folder
from noise_audit import PROMPTS, noise_audit
from PIL import Image

import audit
from audit import human
from audit.exporting import WITHOUT, field_names
from audit.marks import DRAWN, TRAINED, packet, with_xmp
from audit.pictures import encode, load
from audit.store import Store, write_table

SPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "iptc": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of noise. Never changed."""
    return noise_audit(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight JPEGs that others made, with labels that people gave. Never changed."""
    folder = tmp_path_factory.mktemp("imported")
    images, table, codes = labelled_folder(folder)
    out = folder / "run"
    options: dict[str, Any] = {"draws": 200, "threads": 1, "reference": ("uniform",)}
    audit.import_folder(images, folders="subject/condition", human_labels=table, codes=codes, out=str(out), **options)
    return out


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().decode("utf-8").split("\n") if line]


def fields(data: bytes) -> dict[str, str | None]:
    """What the XMP of an image says, read by Pillow and an XML parser."""
    with Image.open(io.BytesIO(data)) as image:
        (found,) = ET.fromstring(image.info["xmp"]).iterfind(".//rdf:Description", SPACES)
    names = ("iptc:DigitalSourceType", "iptc:AISystemUsed", "iptc:AIPromptInformation", "xmp:CreatorTool")
    return {
        **{name: found.findtext(name, namespaces=SPACES) for name in names},
        "dc:description": found.findtext("dc:description/rdf:Alt/rdf:li", namespaces=SPACES),
    }


def pixels(data: bytes) -> tuple[str, tuple[int, int], bytes]:
    with Image.open(io.BytesIO(data)) as image:
        return image.mode, image.size, image.tobytes()


def stored(run: Path) -> dict[str, bytes]:
    store = Store.open(run)
    rows = [row for *_, table in store.sample_parts() for row in table.to_pylist()]
    return {row["sample_id"]: load(run, store.place(row)) for row in rows if row["outcome"] == "ok"}


def test_an_imagefolder_holds_every_sample_once_as_datasets_wants_it(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = audit.export(run, imagefolder=out)
    samples = audit.open(run).samples().set_index("sample_id")
    made = samples[samples["outcome"] == "ok"]
    assert (done.images, done.marked, done.without) == (len(made), len(made), len(samples) - len(made))
    assert done.without > 0
    rows = lines(out / "train" / "metadata.jsonl")
    names = [row["file_name"] for row in rows]
    assert len(set(names)) == len(names) == len(made)
    files = {path.relative_to(out / "train").as_posix() for path in (out / "train").rglob("*") if path.is_file()}
    assert files == {*names, "metadata.jsonl"}
    for name in names:  # relative, and nothing that `datasets` would take for the name of a split
        assert re.fullmatch(r"p\d{4}/\d{6}\.webp", name)
    labels = audit.open(run).labels("tint").set_index("sample_id")["class"]
    texts = {probe.probe_id: probe.text for probe in Store.open(run).probes()}
    assert set(texts.values()) == {text.strip() for text in PROMPTS}
    for row in rows:
        sample = made.loc[row["sample_id"]]
        assert row["text"] == texts[sample["probe_id"]] and row["revised_prompt"] == f"once more: {row['text']}"
        assert (row["probe_id"], row["index"], row["seed"], row["outcome"]) == (
            *sample[["probe_id", "index", "seed"]],
            "ok",
        )
        assert row["tint/gender"] == labels[row["sample_id"]]
    assert len({tuple(row) for row in rows}) == 1  # the same columns in the same order, and no type that changes
    assert {tuple(map(type, row.values())) for row in rows} == {(*[str] * 7, int, int, *[str] * 3)}


def test_samples_without_an_image_are_listed_apart(run: Path, tmp_path: Path) -> None:
    audit.export(run, imagefolder=tmp_path / "out")
    rows = lines(tmp_path / "out" / WITHOUT)
    samples = audit.open(run).samples()
    assert {row["sample_id"] for row in rows} == set(samples.loc[samples["outcome"] != "ok", "sample_id"])
    for row in rows:
        assert row["outcome"] == "refused" and row["reason"] == "the filter said no" and row["tint/gender"] == ""
        assert "file_name" not in row


def test_the_readme_of_an_imagefolder_is_a_data_set_card(run: Path, tmp_path: Path) -> None:
    audit.export(run, imagefolder=tmp_path / "out")
    _, head, text = (tmp_path / "out" / "README.md").read_text("utf-8").split("---\n", 2)
    (config,) = yaml.safe_load(head)["configs"]
    assert config["data_files"] == [{"split": "train", "path": "train/**"}]
    assert "perceived gender as answered by tint" in text and "never who anybody is" in text


@pytest.mark.parametrize("layout", ["imagefolder", "fiftyone"])
def test_an_export_names_no_place_on_this_machine(run: Path, tmp_path: Path, layout: str) -> None:
    audit.export(run, **{layout: tmp_path / "out"})  # type: ignore[arg-type]
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert str(tmp_path.parent).encode() not in path.read_bytes(), path


def test_images_the_run_made_say_so_and_keep_every_pixel(run: Path, tmp_path: Path) -> None:
    audit.export(run, imagefolder=tmp_path / "out")
    before = stored(run)
    for row in lines(tmp_path / "out" / "train" / "metadata.jsonl"):
        data = (tmp_path / "out" / "train" / row["file_name"]).read_bytes()
        plain = before[row["sample_id"]]
        assert pixels(data) == pixels(plain)
        assert plain[12:] in data  # the chunk of the pixels, byte for byte
        assert b"XMP " not in plain
        assert fields(data) == {
            "iptc:DigitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
            "iptc:AISystemUsed": "noise",
            "iptc:AIPromptInformation": row["text"],
            "xmp:CreatorTool": "noise",
            "dc:description": row["text"],
        }


def test_drawings_by_a_program_are_not_said_to_come_from_a_trained_model(run: Path, tmp_path: Path) -> None:
    drawn = Path(shutil.copytree(run, tmp_path / "run"))
    record = json.loads((drawn / "run.json").read_text())
    record["identity"]["model"]["kind"] = "phantom-drawn"
    (drawn / "run.json").write_text(json.dumps(record))
    audit.export(drawn, imagefolder=tmp_path / "out")
    data = next((tmp_path / "out" / "train").rglob("*.webp")).read_bytes()
    assert fields(data)["iptc:DigitalSourceType"] == DRAWN != TRAINED


def test_images_in_archives_are_exported_like_files(run: Path, tmp_path: Path) -> None:
    tar = noise_audit(tmp_path / "made" / "run", image_store="tar")
    assert list((tar / "images").glob("*.tar"))
    for name, source in (("files", run), ("tar", tar)):
        assert audit.export(source, imagefolder=tmp_path / name).images == 20
    found = [
        {
            Path(path).relative_to(tmp_path / name): digest
            for path, digest in contents(tmp_path / name / "train").items()
        }
        for name in ("files", "tar")
    ]
    assert found[0] == found[1]


def test_images_that_others_made_are_copied_byte_for_byte(imported: Path, tmp_path: Path) -> None:
    done = audit.export(imported, imagefolder=tmp_path / "out")
    assert (done.images, done.marked, done.without) == (8, 0, 0)
    before = stored(imported)
    rows = lines(tmp_path / "out" / "train" / "metadata.jsonl")
    for row in rows:
        assert (tmp_path / "out" / "train" / row["file_name"]).read_bytes() == before[row["sample_id"]]
        assert row["file_name"].endswith(".jpg")
    assert {row["human/gender"] for row in rows} == {"woman", "man", "several_people", "no_person", "unclear"}


def test_a_fiftyone_folder_has_its_layout_and_classifications(run: Path, tmp_path: Path) -> None:
    done = audit.export(run, fiftyone=tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"data", "samples.json", "metadata.json", "export.json", WITHOUT}
    about = json.loads((tmp_path / "out" / "metadata.json").read_text("utf-8"))
    assert "version" not in about and about["media_type"] == "image"  # so FiftyOne takes it for its portable layout
    assert about["classes"] == {"gender_by_tint": ["woman", "man"]}
    samples = json.loads((tmp_path / "out" / "samples.json").read_text("utf-8"))["samples"]
    assert len(samples) == done.images == len({sample["filepath"] for sample in samples})
    labels = audit.open(run).labels("tint").set_index("sample_id")["class"]
    before = stored(run)
    for sample in samples:
        data = (tmp_path / "out" / sample["filepath"]).read_bytes()
        assert pixels(data) == pixels(before[sample["sample_id"]])
        answer = {"_cls": "Classification", "tags": [], "label": labels[sample["sample_id"]], "confidence": 1.0}
        assert sample["gender_by_tint"] == answer
        assert sample["tags"] == [] and sample["metadata"] is None
        assert all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in sample)


def test_a_class_without_a_score_has_no_confidence(imported: Path, tmp_path: Path) -> None:
    audit.export(imported, fiftyone=tmp_path / "out")
    samples = json.loads((tmp_path / "out" / "samples.json").read_text("utf-8"))["samples"]
    assert all(set(sample["gender_by_human"]) == {"_cls", "tags", "label"} for sample in samples)


def test_fields_of_fiftyone_are_never_the_same() -> None:
    columns = [("ViT-L-14/openai", "gender"), ("vit l 14 openai", "gender"), ("faces", "age")]
    found = list(field_names(columns).values())
    assert found == ["gender_by_vit_l_14_openai", "gender_by_vit_l_14_openai_2", "age_by_faces"]


def test_answers_of_people_stand_beside_those_of_classifiers(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    sample = audit.open(run).labels("tint")["sample_id"][0]
    rows = [
        (sample, rater, "gender", answer, "all", 1.0)
        for rater, answer in zip("abc", ("man", "man", "woman"), strict=True)
    ]
    human.write(Store.open(copy), human.frame(dict(zip(human.COLUMNS, row, strict=True)) for row in rows))
    audit.export(copy, imagefolder=tmp_path / "out")
    found = {row["sample_id"]: row["people/gender"] for row in lines(tmp_path / "out" / "train" / "metadata.jsonl")}
    assert found.pop(sample) == "man"
    assert set(found.values()) == {""}


def test_lost_damaged_and_foreign_files_are_no_images(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (tmp_path / "secret.webp").write_bytes(b"secret")
    (part,) = (copy / "samples").glob("*.parquet")
    rows = pq.read_table(part).to_pylist()
    lost, damaged, foreign = [row for row in rows if row["outcome"] == "ok"][:3]
    (copy / lost["file"]).unlink()
    (copy / damaged["file"]).write_bytes(b"RIFF....WEBP")
    foreign["file"] = "../secret.webp"
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(part)), part)
    done = audit.export(copy, imagefolder=tmp_path / "out")
    assert (done.images, done.without) == (17, 7)
    reasons = {row["sample_id"]: row["reason"] for row in lines(tmp_path / "out" / WITHOUT)}
    assert reasons[lost["sample_id"]] == "the image cannot be read: No such file or directory"
    assert "damaged: its SHA-256 is another" in reasons[damaged["sample_id"]]
    assert reasons[foreign["sample_id"]] == "the image lies outside the run"
    assert not any(b"secret" in path.read_bytes() for path in (tmp_path / "out" / "train").rglob("*.webp"))


def test_an_image_with_its_own_prompt_keeps_it(imported: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(imported, tmp_path / "run"))
    (part,) = (copy / "samples").glob("*.parquet")
    rows = pq.read_table(part).to_pylist()
    rows[0]["details"], rows[1]["details"] = '{"prompt": "a nurse, smiling"}', '{"caption": "Our new nurse"}'
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(part)), part)
    audit.export(copy, imagefolder=tmp_path / "out")
    found = [row["text"] for row in lines(tmp_path / "out" / "train" / "metadata.jsonl")]
    probes = {probe.probe_id: probe.text for probe in Store.open(copy).probes()}
    assert found == ["a nurse, smiling", "Our new nurse", *(probes[row["probe_id"]] for row in rows[2:])]


def peak(folder: Path, parts: int) -> int:
    """Bytes at most held while a run of so many parts is exported, each of 256 images."""
    store, _ = noise_run(folder / "run", images=4, count=1)
    row = next(row for *_, table in store.sample_parts() for row in table.to_pylist() if row["outcome"] == "ok")
    label = next(row for table in store.label_parts("tint") for row in table.to_pylist())
    for place in range(parts):
        ids = [{"index": index, "sample_id": str(index)} for index in range(256 * place, 256 * (place + 1))]
        store.write_samples(place, [{**row, **each} for each in ids])
        rows = pa.Table.from_pylist([{**label, **each} for each in ids])
        store.labels("tint").write(place, partial(write_table, rows))
    store.update(plan={"samples": 256 * parts, "seed": None})
    tracemalloc.start()
    try:
        assert audit.export(store.root, fiftyone=folder / "out").images == 256 * parts
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    audit.export(noise_run(tmp_path / "warm")[0].root, fiftyone=tmp_path / "out")
    few, many = (peak(tmp_path / str(parts), parts) for parts in (2, 12))
    assert many < 1.2 * few + 100_000


def test_the_command_says_what_it_did_and_refuses_in_one_line(run: Path, tmp_path: Path) -> None:
    before = contents(run)
    out, full = tmp_path / "out", tmp_path / "full"
    answer = call("export", run, "--imagefolder", out, "--quiet")
    expected = f"Images: 20 (20 marked as made by AI); samples without an image, in {WITHOUT}: 4. Folder: {out}\n"
    assert answer == (0, expected, "")
    assert "holds an earlier export" in refused(call("export", run, "--imagefolder", out, "--quiet"))
    (out / "train" / "stale.webp").write_bytes(b"")
    (out / "mine.txt").write_text("mine")
    answer = call("export", run, "--fiftyone", out, "--force", "--json")
    assert json.loads(answer.out) == {"path": str(out), "images": 20, "marked": 20, "without": 4}
    assert '"event": "progress"' in answer.err
    assert (out / "mine.txt").read_text() == "mine" and not (out / "train").exists()
    assert json.loads((out / "export.json").read_text())["complete"] is True
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    for extra in ((), ("--force",)):
        line = refused(call("export", run, "--imagefolder", full, *extra, "--quiet"))
        assert line == f"{full} is not empty and holds no earlier export. Choose another folder."
    assert [path.name for path in full.iterdir()] == ["thesis.txt"]
    assert "is a file" in refused(call("export", run, "--imagefolder", full / "thesis.txt", "--quiet"))
    assert "lies in the run" in refused(call("export", run, "--imagefolder", run / "export", "--quiet"))
    for both in ((), ("--imagefolder", tmp_path / "a", "--fiftyone", tmp_path / "b")):
        assert "one layout" in refused(call("export", run, *both, "--quiet"))
    assert "no run directory" in refused(call("export", full, "--imagefolder", tmp_path / "a", "--quiet"))
    assert {path.name for path in tmp_path.iterdir()} == {"out", "full"}
    assert contents(run) == before


def test_an_export_that_was_cut_short_says_so_and_is_made_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", lambda path, data: (_ for _ in ()).throw(OSError(28, "No space", str(path))))
        line = refused(call("export", run, "--imagefolder", out, "--quiet"))
    assert "could not be written: No space" in line and "give --force" in line
    assert json.loads((out / "export.json").read_text())["complete"] is False
    assert call("export", run, "--imagefolder", out, "--force", "--quiet").code == 0
    assert len(lines(out / "train" / "metadata.jsonl")) == 20


@given(st.integers(1, 40), st.integers(1, 40), st.booleans(), st.booleans(), st.text(max_size=60), st.integers(0, 9))
def test_any_webp_takes_a_mark_and_keeps_its_pixels(
    width: int, height: int, clear: bool, lossless: bool, prompt: str, seed: int
) -> None:
    shape = (height, width, 3 + clear)
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=lossless, exact=True, exif=b"Exif\0\0MM\0*" if seed % 2 else b"")
    once = with_xmp(buffer.getvalue(), packet("a <model> & \x00co", prompt))
    twice = with_xmp(once, packet("other", prompt))
    assert pixels(once) == pixels(twice) == pixels(buffer.getvalue())
    assert fields(once)["iptc:AISystemUsed"] == "a <model> & co"
    assert fields(twice)["xmp:CreatorTool"] == "other" and twice.count(b"XMP ") == 1
    assert int.from_bytes(twice[4:8], "little") == len(twice) - 8
    with Image.open(io.BytesIO(twice)) as shown:
        assert ("exif" in shown.info) == bool(seed % 2)


@pytest.mark.parametrize("cut", [0, 3, 11, 12, 19, 30])
def test_broken_webp_files_are_refused(cut: int) -> None:
    data = encode(Image.new("RGB", (4, 4), "red"))
    with pytest.raises(ValueError, match="WebP"):
        with_xmp(data[:cut], packet("m", "p"))
    with pytest.raises(ValueError, match="unknown kind"):
        with_xmp(data[:12] + b"VP9 " + data[16:], packet("m", "p"))
