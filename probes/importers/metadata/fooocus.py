"""Fooocus: `parameters` with `fooocus_scheme` in PNG, UserComment with a maker note in JPEG and WebP."""

from __future__ import annotations

from dataclasses import replace

from probes.importers.metadata import automatic1111
from probes.importers.metadata.record import Fields, Metadata, details, mapping, number, size, text, whole

_KNOWN = (
    *("prompt", "negative_prompt", "seed", "sampler", "steps", "guidance_scale", "resolution"),
    *("base_model", "base_model_hash", "metadata_scheme"),
)
_OWN_KEYS = ('"full_prompt"', '"base_model"', '"metadata_scheme"')


def read(fields: Fields) -> Metadata | None:
    """What Fooocus wrote, as JSON or in Automatic1111's form; None if it did not.

    Raises:
        MetadataError: if the settings are damaged.
    """
    given = fields.get("parameters") or fields.get("exif:UserComment", "")
    scheme = (fields.get("fooocus_scheme") or fields.get("exif:MakerNote", "")).strip()
    software = fields.get("exif:Software", "")
    is_json = given.lstrip().startswith("{")
    if scheme not in {"fooocus", "a1111"} and not software.startswith("Fooocus"):
        if not is_json or sum(key in given for key in _OWN_KEYS) < 2:
            return None
    elif not given:
        return None
    if scheme == "a1111" or not (is_json or scheme):
        found = automatic1111.parse(given, "fooocus")
        return replace(found, details=details({**found.details, "software": software}))
    return _parse(mapping(given, "Fooocus's parameters"))


def _parse(found: dict[str, object]) -> Metadata:
    width, height = size(text(found.get("resolution")))
    return Metadata(
        generator="fooocus",
        prompt=text(found.get("prompt")),
        negative_prompt=text(found.get("negative_prompt")),
        seed=whole(found.get("seed")),
        sampler=text(found.get("sampler")),
        steps=whole(found.get("steps")),
        guidance=number(found.get("guidance_scale")),
        model=text(found.get("base_model")),
        model_hash=text(found.get("base_model_hash")),
        width=width,
        height=height,
        details=details(found, _KNOWN),
    )
