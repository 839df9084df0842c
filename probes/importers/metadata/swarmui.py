"""SwarmUI: JSON with `sui_image_params`, in PNG as `parameters`, in JPEG and WebP as UserComment."""

from __future__ import annotations

from probes.importers.metadata.record import Fields, Metadata, details, inner, mapping, number, text, whole

_KNOWN = ("prompt", "negativeprompt", "seed", "sampler", "steps", "cfgscale", "model", "width", "height")


def read(fields: Fields) -> Metadata | None:
    """What SwarmUI wrote; None if it did not.

    Raises:
        MetadataError: if the settings are damaged.
    """
    for key in ("parameters", "exif:UserComment", "exif:ImageDescription", "exif:Model"):
        given = fields.get(key, "")
        if given.lstrip().startswith("{") and '"sui_image_params"' in given:
            return _parse(mapping(given, "SwarmUI's parameters"))
    return None


def _parse(found: dict[str, object]) -> Metadata:
    asked, extra = inner(found.get("sui_image_params")), inner(found.get("sui_extra_data"))
    model = text(asked.get("model"))
    return Metadata(
        generator="swarmui",
        prompt=text(asked.get("prompt")),
        negative_prompt=text(asked.get("negativeprompt")),
        seed=whole(asked.get("seed")),
        sampler=text(asked.get("sampler")),
        steps=whole(asked.get("steps")),
        guidance=number(asked.get("cfgscale")),
        model=model,
        model_hash=_hash(found.get("sui_models")),
        width=whole(asked.get("width")),
        height=whole(asked.get("height")),
        details=details({**extra, **details(asked, _KNOWN)}),
    )


def _hash(models: object) -> str:
    """Hash of the main model; those of LoRAs stand beside it."""
    for model in models if isinstance(models, list) else []:
        if inner(model).get("param") == "model":
            return text(inner(model).get("hash"))
    return ""
