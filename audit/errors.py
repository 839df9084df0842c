"""Errors that a user can mend: one clear line, exit code 2, no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """Something was asked that cannot be done. The message is one line: what was wrong, what was got, what to do."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence that names the known word nearest to `word`, or lists the known words if none is near."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    if near:
        return f"Did you mean {near[0]!r}?"
    return "Known: " + ", ".join(words) + "."
