"""The words and numbers of one language: texts from `locales/`, numbers as that language writes them.

The texts of a language are those of `LANG.yaml` and of every `LANG.SUBJECT.yaml`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

LOCALES = Path(__file__).parent / "locales"
MINUS = "\u2212"


class ReportError(Exception):
    """A report cannot be written as asked. The message is one line: what was wrong, what was got, what to do."""


@dataclass(frozen=True)
class Words:
    """The texts of one language by key (`section.key`), and its way of writing numbers."""

    lang: str
    entries: Mapping[str, str]

    def plain(self, key: str, **values: object) -> str:
        """The text of `key` with its places filled, unescaped: for drawings and for escaping later.

        Where the key has the forms `one` and `other`, the value `n` decides between them.

        Raises:
            KeyError: if the locale has no such text.
        """
        return self._text(key, values).format(**values)

    def __call__(self, key: str, **values: object) -> Markup:
        """The same as HTML: marks in the locale's text stand, everything filled in is escaped."""
        return Markup(self._text(key, values)).format(**values)

    def name(self, section: str, word: str) -> str:
        """The name of a class, attribute, kind … in this language; an unknown one is shown as it is written."""
        return self.entries.get(f"{section}.{word}", word.replace("_", " "))

    def number(self, value: float, digits: int = 0) -> str:
        """A number with this language's signs for thousands and decimals; a dash for NaN."""
        if value is None or math.isnan(value):
            return "–"
        text = f"{abs(value):,.{digits}f}"
        swap = {",": self.entries["number.group"], ".": self.entries["number.decimal"]}
        text = "".join(swap.get(sign, sign) for sign in text)
        return MINUS + text if value < 0 and any(sign in "123456789" for sign in text) else text

    def percent(self, share: float) -> str:
        """A share, 0 to 1, in whole per cent; what is not quite 0 or 1 does not look as if it were."""
        if math.isnan(share):
            return "–"
        shown = f"{self.number(100 * share)}\u00a0%"
        if 0 < share < 0.005:
            return "<\u00a01\u00a0%"
        return ">\u00a099\u00a0%" if 0.995 <= share < 1 else shown

    def interval(self, low: float, high: float) -> str:
        """An interval of shares: `86–98 %`."""
        if math.isnan(low) or math.isnan(high):
            return "–"
        return f"{self.number(100 * low)}–{self.number(100 * high)}\u00a0%"

    def points(self, difference: float) -> str:
        """A signed difference of two shares, in percentage points."""
        if math.isnan(difference):
            return "–"
        return f"{'+' if difference >= 0.005 else ''}{self.number(100 * difference)}"

    def span(self, low: float, high: float, digits: int = 2) -> str:
        """An interval of numbers: `0.30–0.52`, with a word between them where one is negative."""
        if math.isnan(low) or math.isnan(high):
            return "–"
        ends = self.number(low, digits), self.number(high, digits)
        negative = any(text.startswith(MINUS) for text in ends)
        return (f" {self.entries['number.to']} " if negative else "–").join(ends)

    def level(self, alpha: float) -> str:
        """The level of intervals in per cent, without the sign: `95`."""
        text = f"{100 * (1 - alpha):.4g}"
        return text.replace(".", self.entries["number.decimal"])

    def p_value(self, value: float) -> str:
        """A p-value with three decimals, or `< 0.001`."""
        if math.isnan(value):
            return "–"
        return f"<\u00a0{self.number(0.001, 3)}" if value < 0.001 else self.number(value, 3)

    def _text(self, key: str, values: Mapping[str, object]) -> str:
        if key in self.entries:
            return self.entries[key]
        return self.entries[f"{key}.{'one' if values.get('n') == 1 else 'other'}"]


def languages() -> tuple[str, ...]:
    """The languages a report can be written in."""
    return tuple(sorted({path.name.split(".")[0] for path in LOCALES.glob("*.yaml")}))


@cache
def load_words(lang: str) -> Words:
    """The words of a language.

    Raises:
        ReportError: if there is no such language.
    """
    import yaml

    if lang not in languages():
        raise ReportError(f"Unknown report language {lang!r}. Choose one of: {', '.join(languages())}.")
    entries: dict[str, str] = {}
    for path in (LOCALES / f"{lang}.yaml", *sorted(LOCALES.glob(f"{lang}.*.yaml"))):
        entries |= flatten(yaml.safe_load(path.read_text("utf-8")))
    return Words(lang, entries)


def flatten(tree: Mapping[str, Any], head: str = "") -> dict[str, str]:
    """A nested mapping as one of dotted keys: `{"a": {"b": 1}}` becomes `{"a.b": "1"}`."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{head}{key}.")
        else:
            flat[f"{head}{key}"] = str(value)
    return flat
