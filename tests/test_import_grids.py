"""Grids of Midjourney, imported: four samples each, their pixels as they were; all else whole."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import WORDINGS, call, contents
from PIL import Image, PngImagePlugin

import audit

JOB = "8b1f2c3d-1111-4222-8333-444455556666"


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    """A smooth picture with noise."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return Image.fromarray(
        np.clip(np.asarray(small) + rng.normal(0, 4, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
    )


def grid(first: int) -> Image.Image:
    whole = Image.new("RGB", (512, 384))
    for place in range(4):
        whole.paste(picture(first + place, (256, 192)), (place % 2 * 256, place // 2 * 192))
    return whole


def described(prompt: str) -> PngImagePlugin.PngInfo:
    """What Midjourney writes into a picture."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Description", f"{prompt} --v 6.1 Job ID: {JOB}")
    return info


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid and a single picture of Midjourney's, and somebody's collage."""
    made = tmp_path_factory.mktemp("exports")
    grid(1).save(made / "janedoe_grid.png", pnginfo=described("a photo of a nurse"))
    picture(9, (512, 384)).save(made / "single.png", pnginfo=described("a photo of a nurse"))
    (made / "nurse").mkdir()
    grid(1).save(made / "nurse" / "collage.png")
    return made


@pytest.fixture(scope="module")
def run(folder: Path, small_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> audit.Run:
    place = tmp_path_factory.mktemp("run")
    (place / "plain.yaml").write_text(WORDINGS)
    before = contents(folder)
    answer = call(
        "import", folder, "--suite", "occupations", "--classifier", f"local-dir:{small_clip}", "--wordings",
        place / "plain.yaml", "--attributes", "gender", "--draws", 200, "--threads", 1, "--out", place / "out",
        "--quiet",
    )  # fmt: skip
    assert answer.code == 0, answer
    assert contents(folder) == before
    return audit.open(place / "out")


def test_a_grid_becomes_four_samples_and_nothing_else_is_split(run: audit.Run, folder: Path) -> None:
    samples = run.samples()
    assert len(samples) == 6
    assert samples["sample_id"].is_unique
    assert set(samples["outcome"]) == {"ok"}
    assert samples.duplicated(["probe_id", "index"]).sum() == 0
    tiles = samples[samples["details"].str.contains('"tile"')]
    details = [json.loads(text) for text in tiles["details"]]
    assert [each["tile"] for each in details] == [0, 1, 2, 3]
    original = (folder / "janedoe_grid.png").read_bytes()
    assert {each["grid_of"] for each in details} == {hashlib.sha256(original).hexdigest()}
    assert {each["generator"] for each in details} == {"midjourney"}
    assert set(zip(tiles["width"], tiles["height"], strict=True)) == {(256, 192)}
    whole = Image.open(io.BytesIO(original))
    corners = [(0, 0), (256, 0), (0, 192), (256, 192)]
    for file, (left, top) in zip(tiles["file"], corners, strict=True):
        assert file.endswith(".webp")
        with Image.open(run.path / file) as stored:
            assert np.array_equal(np.asarray(stored), np.asarray(whole.crop((left, top, left + 256, top + 192))))
    others = samples.drop(tiles.index)
    assert {hashlib.sha256((run.path / file).read_bytes()).hexdigest() for file in others["file"]} == {
        hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("single.png", "nurse/collage.png")
    }


def test_no_name_of_a_maker_is_kept(run: audit.Run) -> None:
    for path in run.path.rglob("*"):
        if path.is_file():
            assert b"janedoe" not in path.read_bytes(), path


def test_each_picture_is_labelled_and_counted(run: audit.Run) -> None:
    assert run.missing()["asked"].sum() == 6
    assert len(run.labels()) == 6
    assert run.table("duplicates").empty  # a grid and a picture of it are not the same
    origins = run.table("origins")
    assert dict(zip(origins["generator"].fillna(""), origins["images"], strict=True)) == {"midjourney": 5, "": 1}


def test_the_report_names_the_program(run: audit.Run) -> None:
    page = (run.path / "report.html").read_text("utf-8")
    assert "Midjourney (5), not said (1)." in page
    assert "What the files say of themselves" in page
    assert "The same picture more than once" not in page
    german = run.report(run.path / "de.html", lang="de").read_text("utf-8")
    assert "Midjourney (5), nicht gesagt (1)." in german


def test_split_pictures_that_are_the_same_as_others_are_flagged(
    folder: Path, run: audit.Run, small_clip: Path, tmp_path: Path
) -> None:
    tile = grid(1).crop((256, 0, 512, 192))
    more = shutil.copytree(folder, tmp_path / "exports")
    tile.save(more / "nurse" / "upscaled.png")
    out = tmp_path / "out"
    answer = call(
        "import", more, "--suite", "occupations", "--classifier", f"local-dir:{small_clip}", "--wordings",
        run.path.parent / "plain.yaml", "--attributes", "gender", "--draws", 200, "--threads", 1, "--out", out,
        "--quiet",
    )  # fmt: skip
    assert answer.code == 0, answer
    (row,) = audit.open(out).table("duplicates").to_dict("records")
    samples = audit.open(out).samples().set_index(["probe_id", "index"])
    pair = [samples.loc[(row[f"{of}probe_id"], row[f"{of}index"]), "details"] for of in ("", "first_")]
    assert {json.loads(text).get("tile") for text in pair} == {1, None}
