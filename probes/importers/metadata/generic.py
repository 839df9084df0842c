"""Any other image: a description in EXIF, XMP or a PNG text, taken as the prompt."""

from __future__ import annotations

from probes.importers.metadata.record import Fields, Metadata, details, looks_like_json, mapping, text, whole
from probes.importers.metadata.xmp import Xmp, read_xmp

_PLACES = ("prompt", "Prompt", "exif:ImageDescription", "exif:UserComment", "exif:XPComment")
_LATER = ("Description", "Comment", "Title")


def read(fields: Fields) -> Metadata | None:
    """The first description of an image; None if it has none.

    Raises:
        MetadataError: if the only description is damaged, or JSON that is.
    """
    found = next(((key, fields[key]) for key in _PLACES if fields.get(key, "").strip()), None)
    packet = read_xmp(fields["xmp"]) if found is None and "xmp" in fields else Xmp()
    if found is None and packet.description:
        found = ("xmp", packet.description)
    if found is None:
        found = next(((key, fields[key]) for key in _LATER if fields.get(key, "").strip()), None)
    if found is None:
        return None
    place, given = found
    if looks_like_json(given):
        given = text(mapping(given, place.removeprefix("exif:")).get("prompt"))
        if not given:
            return None
    software = fields.get("Software") or fields.get("exif:Software") or packet.tool
    return Metadata(
        generator="generic",
        prompt=given,
        negative_prompt=fields.get("negative_prompt", ""),
        seed=whole(fields.get("seed")),
        steps=whole(fields.get("steps")),
        details=details({"prompt_from": place, "software": software, "source_type": packet.source_type}),
    )
