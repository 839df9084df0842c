"""A small folder of images with an untidy table of human labels, as data sets come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CODES = """
card:
  title: Labels of nobody in particular
  raters: one made-up rater
  caveats: [The images are noise.]
file: image_file
subjects: {swe: software_developer}
attributes:
  gender:
    column: Gender
    codes: {woman: [F, female], man: [M, male], several_people: [both], no_person: [none], unclear: [""]}
  ethnicity:
    column: race
    codes: {white: [white], black: [black], asian: [asian, "East  Asian"], hispanic: [], several_people: [mixed]}
"""
ROWS = {
    "/nurse/baseline/a0.png": ("F", "white"),
    "/nurse/baseline/a1.png": ("female ", "asian "),
    "nurse\\baseline\\a2.jpg": (" Female", "east asian"),
    "nurse/baseline/a3": ("Both", "mixed"),
    "/swe/baseline/b0.jpg": ("M", "Black"),
    "b1.jpg": (" male", "white"),
    "/swe/baseline/b2.jpg": ("", "white"),
    "/swe/baseline/b3.jpg": ("none", "white"),
}
"""File as the table calls it → cells. Every image is a JPEG; the last two show no woman and no man."""
SEEN = {
    "nurse.baseline": {
        "gender": {"woman": 3, "man": 0, "several_people": 1, "no_person": 0, "unclear": 0},
        "ethnicity": {
            "white": 1,
            "black": 0,
            "asian": 2,
            "hispanic": 0,
            "several_people": 1,
            "no_person": 0,
            "unclear": 0,
        },
    },
    "swe.baseline": {
        "gender": {"woman": 0, "man": 2, "several_people": 0, "no_person": 1, "unclear": 1},
        "ethnicity": {
            "white": 2,
            "black": 1,
            "asian": 0,
            "hispanic": 0,
            "several_people": 0,
            "no_person": 1,
            "unclear": 0,
        },
    },
}
"""What these cells mean, counted by hand."""


def labelled_folder(folder: Path, rows: dict[str, tuple[str, str]] | None = None) -> tuple[Path, Path, Path]:
    """The images, their table with a byte-order mark, and the codes that read it."""
    images = folder / "images"
    rng = np.random.default_rng(7)
    for place in ("nurse/baseline/a", "swe/baseline/b"):
        for number in range(4):
            path = images / f"{place}{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(path)
    lines = [f"{file},{','.join(cells)}" for file, cells in (ROWS if rows is None else rows).items()]
    table, codes = folder / "labels.csv", folder / "codes.yaml"
    table.write_text("\ufeffimage_file,gender,race\r\n" + "\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")
    codes.write_text(CODES, encoding="utf-8")
    return images, table, codes
