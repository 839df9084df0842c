"""What a service made of the prompts before its model saw them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.view import View, records
from reports.words import Words

LISTED = 200
"""Rows of the table in the page."""


def section(view: View, words: Words, names: Mapping[str, str]) -> dict[str, Any] | None:
    """How often and with which words prompts were rewritten; None if no image says what its prompt became."""
    table = view.table("rewriting")
    if table is None:
        return None
    first, *rows = records(table)
    told, rewritten = int(first["told"]), int(first["rewritten"])
    if rewritten == 0:
        summary = words("rewriting.never", n=told, told=words.number(told))
    else:
        summary = words(
            "rewriting.summary",
            told=words.number(told),
            rewritten=words.number(rewritten),
            share=words.percent(float(first["rewritten_share"])),
            before=words.number(float(first["prompt_words"]), 1),
            after=words.number(float(first["words"]), 1),
        )
    silent = int(first["images"]) - told
    return {
        "summary": summary,
        "silent": words("rewriting.silent", n=silent, silent=words.number(silent)) if silent else "",
        "added": str(first["added_words"]),
        "rewritten": rewritten,
        "all": len(rows),
        "rows": [
            {**row, "name": names.get(str(row["probe_id"]), str(row["probe_id"]))}
            for row in sorted(rows, key=lambda row: -(float(row["rewritten_share"]) if row["told"] else -1.0))[:LISTED]
        ],
    }
