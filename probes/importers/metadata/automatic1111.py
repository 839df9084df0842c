"""Automatic1111, Forge and all that write as they do: prompt, negative prompt and one line of settings.

The text stands in the PNG text `parameters`, in JPEG and WebP in EXIF's UserComment. The line of settings is the last
one that begins with `Steps:` and holds at least three settings, so that a prompt may say `Steps:` too.
"""

from __future__ import annotations

import json
import re

from probes.importers.metadata.record import Fields, Metadata, details, looks_like_json, number, size, whole

_STEPS = re.compile(r"^Steps: *\d+ *,", re.MULTILINE)
_NEGATIVE = re.compile(r"^Negative prompt: ?", re.MULTILINE)
_KEY = re.compile(r"\s*([^,:\"{}]{1,80}?)\s*:\s*")
_FEWEST = 3
"""Settings that make a line one of settings."""
_KNOWN = ("Steps", "Sampler", "CFG scale", "Seed", "Size", "Model", "Model hash")
_DECODER = json.JSONDecoder()


def read(fields: Fields) -> Metadata | None:
    """What `parameters`, or a UserComment with a line of settings, says; None if there is neither."""
    given = fields.get("parameters")
    if given is not None and (not looks_like_json(given) or _settings_line(given) is not None):
        return parse(given)
    for key in ("exif:UserComment", "exif:ImageDescription"):
        comment = fields.get(key)
        if comment is not None and _settings_line(comment) is not None:
            return parse(comment)
    return None


def parse(given: str, generator: str = "automatic1111") -> Metadata:
    """The parts of a text of parameters; without a line of settings all of it is prompt and negative prompt."""
    given = given.replace("\r\n", "\n")
    place = _settings_line(given)
    head, below = (given, "") if place is None else (given[: max(place - 1, 0)], given[place:])
    line, _, after = below.partition("\n")
    found = settings(line)
    for further in after.split("\n"):  # extensions put templates below the line
        found |= {key: value for key, value in settings(further).items() if key not in found}
    mark = _NEGATIVE.search(head)
    prompt = head if mark is None else head[: max(mark.start() - 1, 0)]
    width, height = size(found.get("Size", ""))
    return Metadata(
        generator=generator,
        prompt=prompt,
        negative_prompt=head[mark.end() :] if mark else "",
        seed=whole(found.get("Seed")),
        sampler=found.get("Sampler", ""),
        steps=whole(found.get("Steps")),
        guidance=number(found.get("CFG scale")),
        model=found.get("Model", ""),
        model_hash=found.get("Model hash", ""),
        width=width,
        height=height,
        details=details(found, _KNOWN),
    )


def settings(line: str) -> dict[str, str]:
    """`Key: value, Key: "value, with commas", Key: {…}` by key; values in quotes are read as JSON reads them."""
    found: dict[str, str] = {}
    place = 0
    while match := _KEY.match(line, place):
        value, place = _value(line, match.end())
        found.setdefault(match.group(1), value)
        place = _after_comma(line, place)
    return found


def _value(line: str, place: int) -> tuple[str, int]:
    if line[place : place + 1] in {'"', "{", "["}:
        try:
            value, end = _DECODER.raw_decode(line, place)
        except ValueError:
            pass
        else:
            if not line[end:].strip() or line[end:].lstrip().startswith(","):
                return (value if isinstance(value, str) else line[place:end]), end
    end = line.find(",", place)
    end = len(line) if end < 0 else end
    return line[place:end].strip(), end


def _after_comma(line: str, place: int) -> int:
    end = line.find(",", place)
    return len(line) if end < 0 else end + 1


def _settings_line(given: str) -> int | None:
    """Where the line of settings begins."""
    for match in reversed(list(_STEPS.finditer(given))):
        end = given.find("\n", match.start())
        if len(settings(given[match.start() : end if end >= 0 else len(given)])) >= _FEWEST:
            return match.start()
    return None
