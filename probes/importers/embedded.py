"""What an image itself says of how it was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from probes.importers.metadata import Metadata, MetadataError, read_metadata, read_name
from probes.importers.walking import File

KEPT = (*("generator", "negative_prompt", "seed", "sampler", "steps", "guidance", "model", "model_hash", "job_id"),)
"""What is kept beside the prompt, where it is given."""
LONGEST_PROMPT = 20_000
"""Characters of a prompt that is used."""
LONGEST_DETAILS = 8_192
"""Characters of further settings, as JSON, that are kept with an image."""


@dataclass(frozen=True, slots=True)
class Said:
    """The request for an image, as it stands in the image or its name."""

    prompt: str = ""
    """Empty if neither holds one."""
    named: bool = False
    """True if the prompt is that in a file name of Midjourney's, where words of it are left."""
    details: Mapping[str, object] = field(default_factory=dict)
    """What is known of how it was made; `metadata_error` says what could not be read."""


def read_said(file: File, name: str) -> Said:
    """What the image in `file` says of itself; it is not decoded, and nothing is raised.

    Damaged metadata say nothing but `metadata_error` in the details, so that the other sources are asked.
    """
    if file.reason:
        return Said()
    bare = name.rpartition("/")[2]
    try:
        found = read_metadata(file.read(), bare) if file.length else read_metadata(file.path)
    except (MetadataError, OSError) as error:
        return _said(read_name(bare), str(error))
    return _said(found, "")


def _said(found: Metadata | None, problem: str) -> Said:
    details: dict[str, object] = {}
    prompt, named = "", False
    if found is not None:
        details = {key: getattr(found, key) for key in KEPT if getattr(found, key) not in (None, "")}
        further = dict(found.details)
        prompt, named = found.prompt, further.get("prompt_from") == "file name"
        if len(json.dumps({**details, **further})) <= LONGEST_DETAILS:
            details |= further
        else:
            details = {key: value for key, value in details.items() if len(str(value)) <= LONGEST_DETAILS}
    if len(prompt) > LONGEST_PROMPT:
        problem = problem or (
            f"the prompt has {len(prompt):,} characters; at most {LONGEST_PROMPT:,} are read. "
            "Give a shorter one in a table beside the image."
        )
        prompt = ""
    if problem:
        details["metadata_error"] = problem
    return Said(prompt, named, details)
