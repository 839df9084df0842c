"""InvokeAI in its three generations: `invokeai_metadata`, before it `sd-metadata`, before that the command `Dream`."""

from __future__ import annotations

import re

from probes.importers.metadata.record import (
    Fields,
    Metadata,
    MetadataError,
    details,
    inner,
    mapping,
    number,
    text,
    whole,
)

_KNOWN = ("positive_prompt", "negative_prompt", "seed", "scheduler", "steps", "cfg_scale", "model", "width", "height")
_KNOWN_IMAGE = ("prompt", "seed", "sampler", "steps", "cfg_scale", "width", "height")
_SWITCH = re.compile(r"\s-([A-Za-z])\s*(\S+)|\s--(\w+)[ =]?([^-\s]\S*)?")
_NEGATIVE = re.compile(r"\[([^\[\]]*)\]")


def read(fields: Fields) -> Metadata | None:
    """What the newest of the three says; None if there is none.

    Raises:
        MetadataError: if it is damaged.
    """
    if "invokeai_metadata" in fields:
        return _third(mapping(fields["invokeai_metadata"], "invokeai_metadata"))
    if "sd-metadata" in fields:
        return _second(mapping(fields["sd-metadata"], "sd-metadata"))
    if "Dream" in fields:
        return _first(fields["Dream"])
    return None


def _third(found: dict[str, object]) -> Metadata:
    model = inner(found.get("model"))
    if "positive_prompt" not in found and "seed" not in found:
        found = {**inner(found.get("image")), **found}  # 3.0 while it was being made
    return Metadata(
        generator="invokeai",
        prompt=text(found.get("positive_prompt")),
        negative_prompt=text(found.get("negative_prompt")),
        seed=whole(found.get("seed")),
        sampler=text(found.get("scheduler")),
        steps=whole(found.get("steps")),
        guidance=number(found.get("cfg_scale")),
        model=text(model.get("model_name") or model.get("name")),
        model_hash=text(model.get("hash")),
        width=whole(found.get("width")),
        height=whole(found.get("height")),
        details=details(found, _KNOWN),
    )


def _second(found: dict[str, object]) -> Metadata:
    image = inner(found.get("image"))
    prompt, negative = _brackets(_prompts(image.get("prompt")))
    return Metadata(
        generator="invokeai",
        prompt=prompt,
        negative_prompt=negative,
        seed=whole(image.get("seed")),
        sampler=text(image.get("sampler")),
        steps=whole(image.get("steps")),
        guidance=number(image.get("cfg_scale")),
        model=text(found.get("model_weights") or found.get("model")),
        model_hash=text(found.get("model_hash")),
        width=whole(image.get("width")),
        height=whole(image.get("height")),
        details=details(
            {**details(image, _KNOWN_IMAGE), **details(found, ("image", "model_weights", "model", "model_hash"))}
        ),
    )


def _prompts(given: object) -> str:
    """The prompt, or its weighted parts in order."""
    if isinstance(given, list):
        return " ".join(filter(None, (text(inner(part).get("prompt")) for part in given)))
    return text(given)


def _first(command: str) -> Metadata:
    """`"a prompt" -s 50 -S 123 -W 512 -H 512 -C 7.5 -A k_lms`; the prompt's own quotes are not escaped."""
    end = command.rfind('"')
    if not command.lstrip().startswith('"') or end == command.find('"'):
        raise MetadataError('Dream should begin with a prompt in quotes (got no closing "): it is cut or damaged.')
    prompt, negative = _brackets(command[command.find('"') + 1 : end])
    found = {
        match.group(1) or match.group(3): match.group(2) or match.group(4) or ""
        for match in _SWITCH.finditer(command[end + 1 :])
    }
    return Metadata(
        generator="invokeai",
        prompt=prompt,
        negative_prompt=negative,
        seed=whole(found.get("S")),
        sampler=found.get("A", ""),
        steps=whole(found.get("s")),
        guidance=number(found.get("C")),
        width=whole(found.get("W")),
        height=whole(found.get("H")),
        details=details(found, ("S", "A", "s", "C", "W", "H")),
    )


def _brackets(prompt: str) -> tuple[str, str]:
    """The prompt without what stands in brackets, which these generations take for the negative prompt, and that."""
    negative = _NEGATIVE.findall(prompt)
    return (re.sub(r"\s*" + _NEGATIVE.pattern, "", prompt).strip(), " ".join(negative)) if negative else (prompt, "")
