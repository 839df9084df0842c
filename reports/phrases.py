"""Phrases of English texts about a run: numbers, lists and names as Markdown shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Facts = Mapping[str, Any]
"""Facts about a run as `audit.describing` collects them, or a part of them."""


def number(value: float) -> str:
    """`1,234`."""
    return f"{value:,}"


def count(value: int, one: str, many: str | None = None) -> str:
    """`1 image`, `2 images`; `many` where the plural is not made with an s."""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


def percent(share: float) -> str:
    """`4.2 %` of a share between 0 and 1, with one digit where there is one."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def points(share: float) -> str:
    """`5 percentage points`."""
    return f"{100 * share:g} percentage point{'' if share == 0.01 else 's'}"


def span(ends: Sequence[float]) -> str:
    """`0.95 to 0.98`, or one number where both ends are the same."""
    low, high = ends
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def dates(facts: Facts) -> str:
    """When the run was made, by day (UTC)."""
    begun, ended = facts["begun"], facts["ended"]
    return f"on {begun}" if begun == ended else f"from {begun} to {ended}"


def part(counts: Facts, way: str) -> str:
    """`12 (4.2 %)`: a number of images and its share."""
    return f"{number(counts[way])} ({percent(counts['shares'][way])})"


def listed(parts: Iterable[str], last: str = "and") -> str:
    """`a, b and c`."""
    found = list(parts)
    return f" {last} ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def word(name: object) -> str:
    """The name of an attribute or class in a sentence."""
    return str(name).replace("_", " ")


def flat(text: object) -> str:
    """A text of the run on one line."""
    return " ".join(str(text or "").split())


def code(name: object) -> str:
    """A name as it stands, marked so that nothing in it is taken for Markdown."""
    return f"`{flat(name).replace('`', chr(39))}`"
