"""Pictures of a grid side by side: the same few probes and seeds in every cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.contact_sheet import thumbnail
from reports.sentences import picture_text
from reports.view import Picture, records
from reports.words import Words

if TYPE_CHECKING:
    from reports.contact_sheet import Thumb
    from reports.grid import GridView

IMAGES = 6
"""Pictures of a probe and cell: the first ones."""
PROBES = 5
"""Probes at most, spread evenly over the suite."""
MOST = 360
"""Pictures of the page at most; with many cells fewer probes are shown."""
SIDE = 104
"""Longest side of a picture in pixels."""
BUDGET = 2_600_000
"""Bytes for all pictures."""


def rows(grid: GridView, words: Words, names: Mapping[str, str], *, blur: bool) -> list[dict[str, Any]]:
    """For a few probes that ask for one person, and are not sensitive, the first images of every cell.

    Nothing is picked by hand or by score: probes are spread evenly over the suite, images are the first by index. A
    place without an image stays empty.
    """
    shown, left = [], BUDGET
    for probe in _chosen(grid):
        places = [thumbs(cell.view.pictures, probe["probe_id"], words, names, blur=blur) for cell in grid.cells]
        lines = [{"cell": cell.name, "thumbs": line} for cell, line in zip(grid.cells, places, strict=True)]
        left -= sum(len(thumb.source) + 200 for line in places for thumb in line if thumb)
        if left < 0:
            break
        shown.append({"name": names.get(probe["probe_id"], probe["probe_id"]), **probe, "lines": lines})
    return shown


def _chosen(grid: GridView) -> list[dict[str, Any]]:
    probes = [
        row
        for row in records(grid.first.probes)
        if row.get("people", "one") == "one" and not bool(row.get("sensitive", False))
    ]
    number = max(1, min(PROBES, len(probes), MOST // (IMAGES * len(grid.cells))))
    return [probes[i * len(probes) // number] for i in range(number)] if probes else []


def thumbs(
    pictures: Callable[[str], Sequence[Picture]],
    probe_id: str,
    words: Words,
    names: Mapping[str, str],
    *,
    blur: bool,
    side: int = SIDE,
) -> list[Thumb | None]:
    """The first images of a probe by index; None where there is none, or it cannot be read."""
    stored = {picture.index: picture for picture in pictures(probe_id)}
    found: list[Thumb | None] = []
    for index in range(IMAGES):
        picture = stored.get(index)
        try:
            seen: Sequence[str] = list(dict.fromkeys(picture.labels.values())) if picture else ()
            text = picture_text(words, names.get(probe_id, probe_id), index, seen)
            found.append(thumbnail(picture, side, blur=blur, text=text) if picture else None)
        except OSError:
            found.append(None)
    return found
