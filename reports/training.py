"""What a report says of training data: that real people are counted, and what was left out."""

from __future__ import annotations

from typing import Any

from reports.view import View
from reports.words import Words

LISTED = 12
"""Reasons that are listed."""


def section(view: View, words: Words) -> dict[str, Any] | None:
    """The notice and the numbers; None if the run is no audit of training data."""
    told = view.run.get("training")
    if not told:
        return None
    kept = int(told["kept_images"])
    numbers = {name: words.number(told[name]) for name in ("entries", "matched", "names_gender", "names_no_gender")}
    left_out = list(dict(told["left_out"]).items())
    return {
        "notice": words("training.kept", n=kept, number=words.number(kept)) if kept else words("training.counted"),
        "numbers": words("training.numbers", **numbers),
        "left_out": [{"reason": reason, "number": words.number(number)} for reason, number in left_out[:LISTED]],
    }
