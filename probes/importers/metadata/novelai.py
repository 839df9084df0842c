"""NovelAI: `Software` says so, `Comment` holds the settings as JSON, `Description` the prompt."""

from __future__ import annotations

import re

from probes.importers.metadata.record import Fields, Metadata, details, inner, mapping, number, text, whole

_KNOWN = (
    *("prompt", "uc", "seed", "sampler", "steps", "scale", "width", "height", "v4_prompt", "v4_negative_prompt"),
    *("signed_hash", "reference_image_multiple"),
)
_HASH = re.compile(r"\s+([0-9A-F]{8})\s*$")


def read(fields: Fields) -> Metadata | None:
    """What NovelAI wrote; None if it did not.

    Raises:
        MetadataError: if the settings are damaged.
    """
    software, title = fields.get("Software", ""), fields.get("Title", "")
    if software != "NovelAI" and not (title.startswith("NovelAI") and "Comment" in fields):
        return None
    found = mapping(fields["Comment"], "NovelAI's Comment") if "Comment" in fields else {}
    source = fields.get("Source", "")
    mark = _HASH.search(source)
    people = _people(found.get("v4_prompt"))
    return Metadata(
        generator="novelai",
        prompt=_caption(found.get("v4_prompt")) or text(found.get("prompt")) or fields.get("Description", ""),
        negative_prompt=_caption(found.get("v4_negative_prompt")) or text(found.get("uc")),
        seed=whole(found.get("seed")),
        sampler=text(found.get("sampler")),
        steps=whole(found.get("steps")),
        guidance=number(found.get("scale")),
        model=source[: mark.start()] if mark else source,
        model_hash=mark.group(1) if mark else "",
        width=whole(found.get("width")),
        height=whole(found.get("height")),
        details=details({**found, "character_prompts": people or None}, _KNOWN),
    )


def _caption(given: object) -> str:
    return text(inner(inner(given).get("caption")).get("base_caption"))


def _people(given: object) -> list[str]:
    """Prompts of the single characters, which version 4 keeps apart from that of the whole picture."""
    captions = inner(inner(given).get("caption")).get("char_captions")
    return [text(inner(one).get("char_caption")) for one in captions] if isinstance(captions, list) else []
