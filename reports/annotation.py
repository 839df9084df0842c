"""The labelling sheet: one offline HTML file on which people say what they perceive in a run's images."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from reports.view import Picture
from reports.words import ReportError, Words, load_words

if TYPE_CHECKING:
    from PIL import Image

HERE = Path(__file__).parent
SIDE = 512
"""Longest side of a picture on the sheet in pixels: enough to judge a face, small enough for a hundred in one file."""
LIMIT = 30_000_000
"""Bytes of a sheet: it still passes by mail and opens on a phone."""
SMALL = 128
"""Pictures up to this side are kept without loss: they weigh nothing, and have no pixel to spare."""
KEYS = "123456789qwertyiopadfghjklzxcvbm"
"""Keys of the classes, in order; n, s and u have meanings of their own."""


@dataclass(frozen=True)
class Item:
    """One picture to be labelled."""

    sample_id: str
    picture: Picture
    code: str
    """What stands for the stratum it was drawn from."""
    chance: float
    """Probability with which it was drawn."""


@dataclass(frozen=True)
class LabellingSheet:
    """What a sheet asks, of which pictures, in which order."""

    digest: str
    items: Sequence[Item]
    questions: Sequence[tuple[str, Sequence[str]]]
    """Attributes with their classes."""
    sensitive: bool = False
    """True if some of the pictures come from sensitive prompts."""
    phantom: bool = False
    """True if the pictures are the phantom's drawings."""


def write_sheet(sheet: LabellingSheet, path: Path, *, lang: str = "en") -> int:
    """Write a labelling sheet and return its bytes.

    The file refers to no other file or host, and forbids its reader's browser to load anything. It holds neither
    prompts nor what a classifier answered.

    Args:
        sheet: what it asks.
        path: where to write; replaced in one step if it exists.
        lang: `en` or `de`.

    Raises:
        ReportError: if there is no such language, a picture cannot be read, or the sheet would be larger than 30 MB.
    """
    text = render(sheet, lang=lang).encode()
    if len(text) > LIMIT:
        fits = int(len(sheet.items) * LIMIT / len(text) * 0.95)
        raise ReportError(
            f"{len(sheet.items)} pictures make a sheet of {len(text) / 1e6:.0f} MB, more than the "
            f"{LIMIT / 1e6:.0f} MB that a browser opens well. Ask for --images {max(fits, 1)}, "
            "and with another --seed for a further sheet."
        )
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(text)
        draft.replace(path)
    except OSError as error:
        raise ReportError(f"{path} could not be written: {error.strerror or error}. Choose another --out.") from None
    finally:
        if draft.is_file():
            draft.unlink()
    return len(text)


def render(sheet: LabellingSheet, *, lang: str = "en") -> str:
    """The sheet as text; see `write_sheet`."""
    words = load_words(lang)
    questions = [_question(words, attribute, classes) for attribute, classes in sheet.questions]
    data = {
        "sheet": sheet.digest[:8],
        "questions": [{**each, "classes": [c["value"] for c in each["classes"]]} for each in questions],
        "items": [_entry(item) for item in sheet.items],
        "words": {key: words.entries[f"annotate.{key}"] for key in ("picture", "alt", "done", "start", "go_on")},
    }
    script = (HERE / "static" / "annotate.js").read_text("utf-8").strip()
    return (
        _template().render(
            w=words,
            sheet=sheet,
            name=sheet.digest[:8],
            questions=questions,
            attributes=", ".join(each["name"] for each in questions),
            side=SIDE,
            script=Markup(script),
            digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
            style=Markup((HERE / "static" / "annotate.css").read_text("utf-8").strip()),
            data=Markup(json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")),
        )
        + "\n"
    )


def encoded(image: Image.Image) -> bytes:
    """A picture as WebP with a longest side of at most 512 pixels; small ones as they are."""
    from PIL import Image

    image = image.convert("RGB")
    scale = SIDE / max(image.size)
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if max(image.size) <= SMALL:
        image.save(buffer, "WEBP", lossless=True, method=4)
    else:
        image.save(buffer, "WEBP", quality=80, method=4)
    return buffer.getvalue()


def _entry(item: Item) -> list[str]:
    """sample_id, code of the stratum, probability, data URI."""
    try:
        data = encoded(item.picture.open())
    except OSError as error:
        raise ReportError(
            f"{item.picture.path} cannot be read: {error.strerror or 'it holds no whole image'}. "
            "A sheet needs the images of the run: restore them."
        ) from None
    return [item.sample_id, item.code, repr(item.chance), f"data:image/webp;base64,{base64.b64encode(data).decode()}"]


def _question(words: Words, attribute: str, classes: Sequence[str]) -> dict[str, Any]:
    named = [
        {"value": name, "name": words.name("class", name), "key": key}
        for name, key in zip(classes, KEYS.ljust(len(classes)), strict=False)
    ]
    named.append({"value": "unclear", "name": words.plain("annotate.unclear"), "key": "0"})
    return {"attribute": attribute, "name": words.name("attribute", attribute), "classes": named}


@cache
def _template() -> jinja2.Template:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("annotate.html.j2")
