"""What an image says of how it was made, and the small readers that all families of metadata share."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from probes.probe import SuiteError

Fields = Mapping[str, str]
"""Texts an image carries, by key: those of PNG by their own, those of EXIF as `exif:UserComment`, XMP as `xmp`."""
AUTHORS = frozenset(
    (
        *("author", "artist", "by-line", "byline", "copyright", "created_by", "created by", "creator", "owner"),
        *("user", "user_id", "user id", "user_name", "username", "email"),
        *("personalnote", "personal_note", "personal note"),
    )
)
"""Keys, in small letters, that name whoever made an image: they are never passed on."""
_LONGEST_NUMBER = 40


class MetadataError(SuiteError):
    """What an image carries cannot be read. The message is one line: what was wrong, what was got, what to do."""


@dataclass(frozen=True)
class Metadata:
    """What an image says of how it was made; what it does not say is empty or None. No author is named."""

    generator: str
    """Family of the metadata, such as `automatic1111`, `comfyui` or `midjourney`; `generic` for a plain description."""
    prompt: str = ""
    """The prompt, letter by letter as it was written."""
    negative_prompt: str = ""
    seed: int | None = None
    sampler: str = ""
    steps: int | None = None
    guidance: float | None = None
    """Scale of classifier-free guidance."""
    model: str = ""
    model_hash: str = ""
    width: int | None = None
    """Width asked for, in pixels; the file's own may differ after scaling."""
    height: int | None = None
    job_id: str = ""
    details: Mapping[str, object] = field(default_factory=dict)
    """Further settings by their own names, JSON-able."""


def whole(value: object) -> int | None:
    """An integer given as a number or as text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value == int(value) else None
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
        plain = value.strip()
        if plain.isascii() and plain.removeprefix("-").isdigit():
            return int(plain)
    return None


def number(value: object) -> float | None:
    """A finite number given as a number or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and (len(value) > _LONGEST_NUMBER or "_" in value):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def text(value: object) -> str:
    """`value` if it is text; numbers as text; otherwise empty."""
    if isinstance(value, str):
        return sound(value)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def sound(value: str) -> str:
    """`value` with halves of characters, which JSON can hold and files cannot, as question marks."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace").decode()
    return value


def size(value: str) -> tuple[int | None, int | None]:
    """Width and height from `512x768` or `(512, 768)`; None, None for anything else."""
    parts = value.strip(" ()[]").lower().replace("×", "x").replace(",", "x").split("x")
    pair = [whole(part) for part in parts]
    return (pair[0], pair[1]) if len(pair) == 2 and None not in pair else (None, None)


def mapping(value: str, what: str) -> dict[str, object]:
    """The JSON object that a text holds; `what` names the text in errors.

    Raises:
        MetadataError: if the text is no JSON object.
    """
    try:
        found = json.loads(value)
    except json.JSONDecodeError as error:
        raise MetadataError(
            f"{what} is no valid JSON: {error.msg} at character {error.pos:,} of {len(value):,}."
        ) from None
    except RecursionError:
        raise MetadataError(f"{what} is JSON nested too deeply to be read.") from None
    except ValueError as error:  # an integer of thousands of digits
        raise MetadataError(f"{what} is JSON that cannot be read: {str(error).split(';')[0]}.") from None
    if not isinstance(found, dict):
        raise MetadataError(f"{what} should be a JSON object (got {type(found).__name__}).")
    return found


def looks_like_json(value: str) -> bool:
    """Whether a text begins as a JSON object does, rather than as a prompt such as `{old|young} nurse`."""
    return re.match(r'\s*\{\s*("[^"\\]*"\s*:|\})', value) is not None


def inner(value: object) -> dict[str, object]:
    """`value` if it is a JSON object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def details(values: Mapping[str, object], known: Collection[str] = ()) -> dict[str, object]:
    """What is left of `values` without the `known` keys, empty values, and at any depth names of authors."""
    kept = {key: _without_authors(value) for key, value in values.items() if key not in known and not _names(key)}
    return {key: value for key, value in kept.items() if value is not None and value != ""}


def _without_authors(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _without_authors(below) for key, below in value.items() if not _names(str(key))}
    if isinstance(value, list):
        return [_without_authors(below) for below in value]
    if isinstance(value, str):
        return sound(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _names(key: str) -> bool:
    return key.strip().lower() in AUTHORS
