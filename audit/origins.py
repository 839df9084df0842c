"""origins.csv and provenance.csv: what imported files say of themselves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from audit.store import Store

ORIGINS = ("generator", "prompt_source", "images")
"""Columns of origins.csv."""
PROVENANCE = (*("claim_generator", "software_agent", "source_type", "signature", "reason", "issuer", "images"),)
"""Columns of provenance.csv."""


def origin_tables(store: Store) -> dict[str, pd.DataFrame]:
    """How many images say what of how they were made.

    Returns:
        `origins`, with columns `ORIGINS`: images by the program whose metadata they carry and by where their prompt was
        read; empty if neither is known of any image. `provenance`, with columns `PROVENANCE`: images by what their
        Content Credentials say; empty if none has any. The most frequent come first. Images that could not be read, and
        forgotten ones, are not counted.
    """
    import pandas as pd

    origins: Counter[tuple[str, ...]] = Counter()
    claims: Counter[tuple[str, ...]] = Counter()
    for details in _details(store):
        origins[_texts(details, ORIGINS)] += 1
        said = details.get("provenance")
        if isinstance(said, dict):
            claims[_texts(said, PROVENANCE)] += 1
    if not any(map(any, origins)):
        origins.clear()
    made = {}
    for name, columns, counts in (("origins", ORIGINS, origins), ("provenance", PROVENANCE, claims)):
        rows = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        made[name] = pd.DataFrame([(*texts, images) for texts, images in rows], columns=list(columns))
    return made


def _details(store: Store) -> Iterator[Mapping[str, Any]]:
    import pyarrow.compute as pc

    for *_, table in store.sample_parts(["outcome", "details"]):
        for text in table.filter(pc.equal(table["outcome"], "ok"))["details"].to_pylist():
            yield json.loads(text) if text else {}


def _texts(said: Mapping[str, Any], columns: tuple[str, ...]) -> tuple[str, ...]:
    """What is said, by column but the last, which counts."""
    return tuple(" ".join(str(said.get(name) or "").split()) for name in columns[:-1])
