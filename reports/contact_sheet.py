"""Contact sheets: small copies of a run's images by probe and by perceived class, within a number of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from reports.view import Picture

SIDES = (128, 112, 96, 80, 64, 48)
"""Longest sides of a thumbnail in pixels, the best first. Shown at 72 CSS pixels, so 128 is sharp on any screen."""
ENOUGH, PLENTY = 12, 18
"""So many pictures a probe are worth smaller thumbnails; more than that many are not shown."""
BLURRED = 8
"""Longest side of what is left of a blurred picture: 64 colours, from which no face comes back."""
TRIED = 24
"""Pictures encoded to learn what a thumbnail weighs."""
MARKUP = 90
"""Bytes of HTML around one thumbnail besides its data and its text."""


@dataclass(frozen=True)
class Thumb:
    """One small picture, ready for an `<img>`."""

    index: int
    source: str
    """A data URI."""
    text: str
    """What it shows, for readers who do not see it."""
    width: int
    height: int


@dataclass(frozen=True)
class Row:
    """The pictures of one probe with the same answer, in order of index."""

    answer: str
    count: int
    """How many pictures the probe has with this answer, shown or not."""
    thumbs: tuple[Thumb, ...]


@dataclass(frozen=True)
class Sheet:
    """All rows of one probe."""

    probe_id: str
    rows: tuple[Row, ...]
    stored: int
    unreadable: int = 0

    @property
    def shown(self) -> int:
        """Number of pictures shown."""
        return sum(len(row.thumbs) for row in self.rows)


def contact_sheets(
    probe_ids: Sequence[str],
    pictures: Callable[[str], Sequence[Picture]],
    answers: Sequence[str],
    key: str,
    *,
    budget: int,
    blur: bool,
    text: Callable[[Picture], str],
) -> tuple[Sheet, ...]:
    """A sheet for every probe, all together within `budget` bytes of HTML.

    Every answer of a probe gets a number of places in proportion to how often it was given, at least one, and fills
    them in order of index: nothing is picked by hand or by score. Where bytes run short, thumbnails become smaller,
    then fewer; they are given out in rounds, one a probe.

    Args:
        probe_ids: which probes, in order.
        pictures: probe_id → its stored images, in order of index.
        answers: the possible answers in the order of the rows; others follow as they come.
        key: `classifier/attribute` whose answers make the rows.
        budget: bytes for all thumbnails, their texts and their marks.
        blur: embed only a few dots of each picture, so that nobody can be seen.
        text: the words for one picture.
    """
    grouped = {probe_id: _by_answer(pictures(probe_id), answers, key) for probe_id in probe_ids}
    side, places = _fit(grouped, budget, blur, text)
    queues = {probe_id: _rounds(groups, places) for probe_id, groups in grouped.items()}
    made: dict[str, dict[str, list[Thumb]]] = {probe_id: {} for probe_id in probe_ids}
    unreadable = dict.fromkeys(probe_ids, 0)
    left = budget
    while queues and left > 0:
        for probe_id in list(queues):
            answer, picture = next(queues[probe_id], ("", None))
            if picture is None:
                del queues[probe_id]
                continue
            try:
                thumb = thumbnail(picture, side, blur=blur, text=text(picture))
            except OSError:
                unreadable[probe_id] += 1
                continue
            left -= _weight(thumb)
            if left < 0:
                break
            made[probe_id].setdefault(answer, []).append(thumb)
    return tuple(
        Sheet(
            probe_id,
            tuple(
                Row(answer, len(group), tuple(sorted(made[probe_id].get(answer, ()), key=lambda thumb: thumb.index)))
                for answer, group in grouped[probe_id].items()
            ),
            sum(len(group) for group in grouped[probe_id].values()),
            unreadable[probe_id],
        )
        for probe_id in probe_ids
    )


def thumbnail(picture: Picture, side: int, *, blur: bool, text: str) -> Thumb:
    """A copy of a picture with a longest side of at most `side` pixels, as WebP in a data URI.

    A blurred picture is averaged down to 8 dots before it is embedded: what was averaged away is not in the file.

    Raises:
        OSError: if the picture cannot be read.
    """
    image = picture.open()
    if blur:
        image = _resized(_resized(image, BLURRED, Image.Resampling.BOX), 32, Image.Resampling.BICUBIC, grow=True)
    else:
        image = _resized(image, side, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=72, method=4)
    source = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return Thumb(picture.index, source, text, image.width, image.height)


def _resized(image: Image.Image, side: int, resample: Image.Resampling, *, grow: bool = False) -> Image.Image:
    scale = side / max(image.size)
    if scale >= 1 and not grow:
        return image
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), resample)


def _weight(thumb: Thumb) -> int:
    return len(thumb.source) + len(thumb.text.encode()) + MARKUP


def _by_answer(pictures: Sequence[Picture], answers: Sequence[str], key: str) -> dict[str, list[Picture]]:
    """Pictures by answer, rows in the order of `answers`; what was not labelled by this key comes last, as ``."""
    groups: dict[str, list[Picture]] = {answer: [] for answer in answers}
    for picture in pictures:
        groups.setdefault(picture.labels.get(key, ""), []).append(picture)
    return {answer: group for answer, group in groups.items() if group}


def _allot(groups: dict[str, list[Picture]], places: int) -> dict[str, int]:
    """Places for every answer: in proportion to its pictures, at least one."""
    stored = sum(len(group) for group in groups.values())
    share = min(1.0, places / stored) if stored else 0.0
    return {answer: max(1, round(share * len(group))) for answer, group in groups.items()}


def _rounds(groups: dict[str, list[Picture]], places: int) -> Iterator[tuple[str, Picture]]:
    """Pictures of a probe as they are given out: the first of every answer, then on evenly through all answers."""
    chosen = [
        ((number + 0.5) / allotted if number else 0.0, answer, group[number])
        for (answer, group), allotted in zip(groups.items(), _allot(groups, places).values(), strict=True)
        for number in range(min(allotted, len(group)))
    ]
    return ((answer, picture) for _, answer, picture in sorted(chosen, key=lambda item: item[0]))


def _fit(
    grouped: dict[str, dict[str, list[Picture]]], budget: int, blur: bool, text: Callable[[Picture], str]
) -> tuple[int, int]:
    """The side of the thumbnails and the places a probe that fit: as large as leaves room for enough of them."""
    stored = {probe_id: sum(map(len, groups.values())) for probe_id, groups in grouped.items()}
    probes = [probe_id for probe_id, number in stored.items() if number]
    if not probes:
        return SIDES[0], 0
    step = max(1, len(probes) // TRIED)
    samples = [next(iter(grouped[probe_id].values()))[0] for probe_id in probes[::step]]
    mean = sum(stored[probe_id] for probe_id in probes) / len(probes)
    places = 1
    for side in SIDES:
        weights = []
        for picture in samples:
            try:
                weights.append(_weight(thumbnail(picture, side, blur=blur, text=text(picture))))
            except OSError:
                continue
        if not weights:  # none of them can be read; the others are weighed as they are given out
            return side, PLENTY
        # A tenth in reserve: rounding up to one picture an answer takes more places than were allotted.
        places = int(0.9 * budget / (len(probes) * sum(weights) / len(weights)))
        if places >= min(ENOUGH, mean) or blur:
            return side, min(PLENTY, max(1, places))
    return SIDES[-1], max(1, places)
