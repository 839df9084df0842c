"""What an image itself says of how it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from probes.importers.metadata import Metadata, MetadataError, read_metadata, read_name
from probes.importers.subjects import Subjects

KEPT = (*("generator", "negative_prompt", "seed", "sampler", "steps", "guidance", "model", "model_hash", "job_id"),)
"""What is kept beside the prompt, where it is given."""


@dataclass(frozen=True)
class Said:
    """The request for an image, as it stands in the image or its name."""

    prompt: str
    subject: str = ""
    """Of the suite; empty without a suite."""
    language: str = ""
    details: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""
    """Why the prompt belongs to no subject of the suite; empty if it does, or if there is none."""


def read_prompt(path: Path, subjects: Subjects | None) -> Said | None:
    """The request for the image at `path`, and the subject that it names.

    Args:
        path: the image; it is not decoded.
        subjects: the subjects of a suite, or None to take the prompt as it is.

    Returns:
        None if neither the image nor its name holds a prompt. Damaged metadata count as none here: what can be read of
        the image otherwise is used.
    """
    found = _read(path)
    if found is None or not found.prompt:
        return None
    details = {name: getattr(found, name) for name in KEPT if getattr(found, name) not in (None, "")}
    details |= dict(found.details)
    if subjects is None:
        return Said(found.prompt, details=details)
    match = subjects.match(found.prompt)
    if match.subject is None:
        return Said(found.prompt, reason=match.reason or "the prompt names no subject of the suite")
    return Said(found.prompt, match.subject, match.language, details)


def _read(path: Path) -> Metadata | None:
    try:
        return read_metadata(path) or read_name(path.name)
    except (MetadataError, OSError):
        return read_name(path.name)
