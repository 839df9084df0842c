"""Works that a text cites: how a sentence names them, and their entries in a list of references and in BibTeX.

The works are in `sources.yaml`; data that a run was compared with, and Rolecall itself, come with the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from reports.model_card import SITE

FIELDS = (
    *("author", "title", "journal", "booktitle", "publisher", "edition", "volume", "number", "pages", "year"),
    *("version", "doi", "url", "note"),
)
"""Fields of an entry of BibTeX, in order."""


class Citations:
    """What a text has cited so far."""

    def __init__(self, rolecall: str, year: str) -> None:
        """`rolecall` is the version that made the run, `year` when."""
        self._own = {"rolecall": _rolecall(rolecall, year)}
        self._cited: dict[str, Mapping[str, Any]] = {}

    def __call__(self, *keys: str) -> str:
        """How a sentence names these works; they are in the list from now on."""
        entries = {key: self._own.get(key) or sources()[key] for key in keys}
        self._cited |= entries
        return "; ".join(str(entry["cited"]) for entry in entries.values())

    def add(self, key: str, entry: Mapping[str, Any]) -> None:
        """Put something into the list that no sentence names by author and year."""
        self._cited[key] = entry

    def markdown(self) -> str:
        """The list of references, in the order of its lines."""
        return "\n".join(sorted((f"* {_line(entry)}" for entry in self._cited.values()), key=str.lower))

    def bibtex(self) -> str:
        """The same as BibTeX."""
        return "\n".join(_bibtex(key, self._cited[key]) for key in sorted(self._cited))


@cache
def sources() -> Mapping[str, Mapping[str, Any]]:
    """Key → work, as `sources.yaml` has them."""
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(Path(__file__).with_name("sources.yaml").read_text("utf-8"))
    return found


def _rolecall(version: str, year: str) -> dict[str, Any]:
    return {
        "cited": f"The Rolecall developers {year}",
        "type": "software",
        "author": ["{The Rolecall developers}"],
        "year": year,
        "title": "Rolecall: audits of how text-to-image models portray people",
        "version": version,
        "url": SITE,
    }


def _line(entry: Mapping[str, Any]) -> str:
    """`Wilson, E. B. (1927). Title. *Journal* 22(158), 209–212. https://doi.org/…`"""
    names = [str(name).strip("{}") for name in entry.get("author", ())]
    who = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    head = f"{who} ({entry['year']})." if who and entry.get("year") else f"{who}." if who else ""
    title = f"{entry['title']}{', version ' + entry['version'] if entry.get('version') else ''}"
    if entry.get("edition"):
        title += f" ({entry['edition']} ed.)"
    place = str(entry.get("journal") or entry.get("booktitle") or "")
    place = f"*{place}*" if place else str(entry.get("publisher") or "")
    if entry.get("volume"):
        place += f" {entry['volume']}" + (f"({entry['number']})" if entry.get("number") else "")
    if entry.get("pages"):
        place += f", {entry['pages']}"
    link = f"https://doi.org/{entry['doi']}" if entry.get("doi") else str(entry.get("url") or "")
    parts = [head, *(_ended(text) for text in (title, place, str(entry.get("note") or "")) if text), link]
    return " ".join(part for part in parts if part)


def _ended(text: str) -> str:
    """A text that ends as a sentence does."""
    return text if text[-1] in ".?!" else f"{text}."


def _bibtex(key: str, entry: Mapping[str, Any]) -> str:
    fields = {
        **entry,
        "author": " and ".join(entry.get("author", ())),
        "title": f"{{{_plain(entry['title'])}}}",
        "pages": str(entry.get("pages") or "").replace("–", "--"),
    }
    lines = [f"  {name} = {{{_plain(fields[name])}}}," for name in FIELDS if fields.get(name)]
    return "\n".join([f"@{entry['type']}{{{re.sub(r'[^A-Za-z0-9-]+', '-', key)},", *lines, "}"]) + "\n"


def _plain(value: object) -> str:
    """A value of BibTeX: signs that mean something in TeX are escaped, and braces that do not pair are dropped."""
    text = " ".join(str(value).split())
    if text.count("{") != text.count("}"):
        text = re.sub(r"[{}]", "", text)
    return re.sub(r"(?<!\\)([&%$#_])", r"\\\1", text)
