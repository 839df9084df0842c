"""Contact sheets: in order of index, in proportion, within their bytes, and blurred for good."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reports.contact_sheet import Sheet, contact_sheets, thumbnail
from reports.view import Picture


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., list[Picture]]:
    def make(answers: str, probe: str = "p", size: int = 96, seed: int = 0) -> list[Picture]:
        rng = np.random.default_rng(seed)
        made = []
        for index, answer in enumerate(answers):
            path = tmp_path / f"{probe}-{index}.png"
            Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
            made.append(Picture(probe, index, path, labels={"c/gender": answer}))
        return made

    return make


def sheets(found: dict[str, list[Picture]], budget: int, *, blur: bool = False) -> tuple[Sheet, ...]:
    return contact_sheets(
        list(found), lambda name: found[name], ["w", "m"], "c/gender", budget=budget, blur=blur, text=lambda p: "text"
    )


def spent(made: tuple[Sheet, ...]) -> int:
    return sum(len(thumb.source) for sheet in made for row in sheet.rows for thumb in row.thumbs)


def test_places_are_in_proportion_and_filled_in_order(pictures: Callable[..., list[Picture]]) -> None:
    (sheet,) = sheets({"p": pictures("mmw" * 15 + "u")}, 2_000_000)
    assert [(row.answer, row.count) for row in sheet.rows] == [("w", 15), ("m", 30), ("u", 1)]
    shown = {row.answer: [thumb.index for thumb in row.thumbs] for row in sheet.rows}
    assert shown == {"w": [2, 5, 8, 11, 14, 17], "m": [0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16], "u": [45]}
    assert sheet.stored == 46
    assert sheet.shown == 19


@pytest.mark.parametrize("budget", [0, 3_000, 30_000, 300_000])
def test_budget_is_kept_and_used(pictures: Callable[..., list[Picture]], budget: int) -> None:
    found = {f"p{n}": pictures("wwmmmm" * 2, probe=f"p{n}", seed=n) for n in range(6)}
    made = sheets(found, budget)
    assert spent(made) <= budget
    if budget >= 30_000:
        counts = [sheet.shown for sheet in made]
        assert min(counts) > 0
        assert max(counts) - min(counts) <= 1
        assert spent(made) > 0.5 * budget or counts == [12] * 6


def test_small_pictures_are_not_enlarged(pictures: Callable[..., list[Picture]]) -> None:
    (picture,) = pictures("w", size=40)
    thumb = thumbnail(picture, 128, blur=False, text="t")
    assert (thumb.width, thumb.height) == (40, 40)
    assert thumbnail(picture, 32, blur=False, text="t").width == 32


def test_blurring_cannot_be_undone(tmp_path: Path) -> None:
    """Pictures that differ in everything but the means of 8 × 8 fields give the same bytes."""
    rng = np.random.default_rng(0)
    fields = rng.integers(60, 190, (8, 8, 3))
    base = np.kron(fields, np.ones((16, 16, 1), dtype=int))
    checks = np.where(np.indices((128, 128)).sum(axis=0) % 2, 50, -50)[..., None]
    sources = []
    for number, pixels in enumerate((base, base + checks, base - checks)):
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        sources.append(thumbnail(Picture("p", number, path), 128, blur=True, text="t").source)
    assert len(set(sources)) == 1
    embedded = Image.open(io.BytesIO(base64.b64decode(sources[0].split(",")[1])))
    assert max(embedded.size) == 32


def test_a_picture_that_cannot_be_read_is_counted(pictures: Callable[..., list[Picture]]) -> None:
    found = pictures("wwm")
    found[0].path.unlink()
    found[2].path.write_bytes(b"no picture")
    (sheet,) = sheets({"p": found}, 100_000)
    assert (sheet.shown, sheet.unreadable, sheet.stored) == (1, 2, 3)


def test_pictures_within_an_archive(tmp_path: Path, pictures: Callable[..., list[Picture]]) -> None:
    first, second = (picture.path.read_bytes() for picture in pictures("wm"))
    archive = tmp_path / "images.tar"
    archive.write_bytes(b"head" + first + b"between" + second + b"tail")
    picture = Picture("p", 1, archive, offset=4 + len(first) + 7, length=len(second))
    with Image.open(io.BytesIO(second)) as image:
        assert picture.open().tobytes() == image.convert("RGB").tobytes()


def test_no_pictures_at_all() -> None:
    (sheet,) = sheets({"p": []}, 1000)
    assert (sheet.rows, sheet.stored) == ((), 0)
