"""Midjourney: `Description` is the prompt with its flags and the id of the job; else the file's name says something.

A name is made of the user's name, words of the prompt and the id of the job. The user's name is dropped.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from probes.importers.metadata.record import Fields, Metadata, details, whole
from probes.importers.metadata.xmp import read_xmp

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_JOB = re.compile(rf"\s*\bJob ID:\s*({_UUID})\s*$", re.IGNORECASE)
_NAME = re.compile(rf"(?P<user>[^_]+)_(?:(?P<words>.+?)_)?(?P<job>{_UUID})(?:_(?P<index>[0-3]))?(?: \(\d+\))?", re.I)
_FLAGS = (
    *(
        "ar",
        "aspect",
        "v",
        "version",
        "niji",
        "s",
        "stylize",
        "style",
        "c",
        "chaos",
        "q",
        "quality",
        "seed",
        "sameseed",
    ),
    *("no", "iw", "stop", "tile", "raw", "w", "weird", "uplight", "upbeta", "upanime", "test", "testp", "creative"),
    *("hd", "video", "r", "repeat", "sref", "cref", "oref", "sw", "cw", "ow", "sv", "p", "profile", "fast", "relax"),
    *("turbo", "draft", "exp", "public", "stealth", "motion", "loop", "end", "bs", "beta"),
)
_FLAG = re.compile(rf"(?:^|\s)(?:--|—)({'|'.join(sorted(set(_FLAGS), key=len, reverse=True))})(?=\s|$)", re.IGNORECASE)
_LONG = {"aspect": "ar", "version": "v", "stylize": "s", "chaos": "c", "quality": "q", "weird": "w", "profile": "p"}


def read(fields: Fields) -> Metadata | None:
    """What Midjourney wrote; None if it did not.

    Raises:
        MetadataError: if the only hint is an XMP packet that is damaged.
    """
    given = fields.get("Description") or fields.get("exif:ImageDescription", "")
    job = _JOB.search(given)
    packet = fields.get("xmp", "")
    guid = read_xmp(packet).guid if "DigImageGUID" in packet else ""
    if not job and not (guid and given):
        return None
    prompt, flags = split_flags(given[: job.start()] if job else given)
    return Metadata(
        generator="midjourney",
        prompt=prompt,
        negative_prompt=flags.get("no", ""),
        seed=whole(flags.get("seed")),
        model=_model(flags),
        job_id=(job.group(1) if job else guid).lower(),
        details=details({"flags": flags or None, "created": fields.get("Creation Time")}),
    )


def read_name(name: str) -> Metadata | None:
    """What the name of a file says: words of the prompt without their punctuation, often cut; None for other names."""
    match = _NAME.fullmatch(PurePosixPath(name.replace("\\", "/")).stem)
    if match is None:
        return None
    index = match["index"]
    return Metadata(
        generator="midjourney",
        prompt=" ".join((match["words"] or "").replace("_", " ").split()),
        job_id=match["job"].lower(),
        details=details({"prompt_from": "file name", "image_of_job": int(index) if index else None}),
    )


def split_flags(given: str) -> tuple[str, dict[str, str]]:
    """The prompt, and its flags without dashes, in their short names; of flags given twice the last counts."""
    marks = list(_FLAG.finditer(given))
    if not marks:
        return given, {}
    ends = [mark.start() for mark in marks[1:]] + [len(given)]
    flags = {}
    for mark, end in zip(marks, ends, strict=True):
        name = mark.group(1).lower()
        flags[_LONG.get(name, name)] = given[mark.end() : end].strip()
    if "p" in flags:
        flags["p"] = ""  # the code of a profile stands for one person
    return given[: marks[0].start()].rstrip(), flags


def _model(flags: dict[str, str]) -> str:
    if "niji" in flags:
        return f"niji {flags['niji']}".strip()
    return f"v {flags['v']}" if flags.get("v") else ""
