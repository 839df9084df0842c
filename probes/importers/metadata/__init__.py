"""What generated images say of how they were made: prompt, seed, model, in the forms that programs write.

The families are asked in the order of `FAMILIES`, since their keys collide; `docs/metadata.md` says why it is this one.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from probes.importers.metadata import (
    automatic1111,
    comfyui,
    easydiffusion,
    fooocus,
    generic,
    invokeai,
    midjourney,
    novelai,
    swarmui,
)
from probes.importers.metadata.chunks import read_texts
from probes.importers.metadata.record import Fields, Metadata, MetadataError

__all__ = ["FAMILIES", "Metadata", "MetadataError", "read_metadata", "read_name"]

FAMILIES = (invokeai, swarmui, fooocus, novelai, easydiffusion, automatic1111, comfyui, midjourney, generic)
"""The readers, in the order in which they are asked; the first that knows its own writing answers."""
read_name = midjourney.read_name


def read_metadata(path_or_bytes: Path | str | bytes, name: str = "") -> Metadata | None:
    """What an image says of how it was made; None if it says nothing. No pixel is decoded, nothing is changed.

    Args:
        path_or_bytes: a file, or the content of one. Files other than PNG, JPEG and WebP say nothing.
        name: name of the file, for content; Midjourney's names hold words of the prompt, and are asked last.

    Raises:
        MetadataError: if the file cannot be read, or what it says is damaged, too large or contradicts itself; in one
            line. Nothing else is raised, whatever the file holds.
    """
    source = path_or_bytes if isinstance(path_or_bytes, bytes) else Path(path_or_bytes)
    texts = read_texts(source)
    found, problems = _ask(texts.fields, texts.problems)
    if found is None or not found.prompt:
        found = read_name(name or (source.name if isinstance(source, Path) else "")) or found
    if problems and (found is None or not found.prompt):
        raise MetadataError(f"{problems[0]} Save the image again, or give its prompt in a table beside it.")
    if found is not None and problems:
        return replace(found, details={**found.details, "damaged": problems})
    return found


def _ask(fields: Fields, problems: list[str]) -> tuple[Metadata | None, list[str]]:
    if not fields:
        return None, problems
    unfolded = _unfolded(fields)
    for family in FAMILIES:
        try:
            found = family.read(unfolded)
        except MetadataError as error:
            return None, [*problems, str(error)]
        except RecursionError:
            return None, [*problems, f"the metadata of {family.__name__.rpartition('.')[2]} is nested too deeply."]
        if found is not None:
            return found, problems
    return None, problems


def _unfolded(fields: Fields) -> Fields:
    """The fields, and those in a JSON object that stands in EXIF's UserComment for lack of a better place."""
    comment = fields.get("exif:UserComment", "")
    if not comment.lstrip().startswith("{"):
        return fields
    try:
        inside = json.loads(comment)
    except (ValueError, RecursionError):
        return fields
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in inside.items()}
    return {**texts, **fields}
