"""Tables of codes: what the cells of a table of human labels mean, in a YAML file that is kept beside the results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from audit.classifiers.base import NOT_MEASURED, SEVERAL_PEOPLE, UNCLEAR, ClassifierError, Question
from probes.expand import read_mapping
from probes.plan import digest_of
from probes.probe import SuiteError, nearest

_KEYS = ("card", "file", "subjects", "attributes")
_CARD_KEYS = ("title", "source", "raters", "caveats")
_ATTRIBUTE_KEYS = ("column", "codes", "ordered")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SUBJECT = re.compile(r"[a-z0-9][a-z0-9._-]*")


class CodesError(ClassifierError):
    """A table of codes, or a label that it does not know. The message is one line and names the file."""


@dataclass(frozen=True)
class Coded:
    """One attribute: the column that holds it and what its cells mean."""

    question: Question
    column: str
    codes: Mapping[str, str]
    """Folded cell (see `fold`) → class, or one of `unclear`, `no_person`, `several_people`."""
    among: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Folded cell that means several people → the classes that are among them, all of them; `unclear` stands for
    people of whom the cell does not say."""

    def identity(self) -> list[object]:
        """All that labels depend on, JSON-able."""
        among = [sorted((cell, list(classes)) for cell, classes in self.among.items())] if self.among else []
        return [vars(self.question), self.column, sorted(self.codes.items()), *among]


@dataclass(frozen=True)
class Codes:
    """What the cells of a table of human labels mean."""

    name: str
    """File name, for messages."""
    attributes: tuple[Coded, ...]
    file: str = ""
    """Column of the file names; empty: the first one that has a usual name."""
    subjects: Mapping[str, str] = field(default_factory=dict)
    """Subject as the folders or the table call it → as the suite calls it."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """`title`, `source`, `raters`, `caveats` (list of sentences), as far as they are given."""

    def digest(self) -> str:
        """SHA-256 (hexadecimal) of everything that labels depend on: columns, classes in their order, codes."""
        return digest_of([each.identity() for each in self.attributes] + [self.file])

    def answer(self, coded: Coded, cell: str, where: str) -> str:
        """What a cell means.

        Raises:
            CodesError: if it is no code of this attribute; the message says where it stands and how to add it.
        """
        found = coded.codes.get(fold(cell))
        if found is not None:
            return found
        near = get_close_matches(fold(cell), coded.codes, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(map(repr, coded.codes))}."
        raise CodesError(
            f"{where}: {cell!r} in column {coded.column!r} is no code of {coded.question.attribute}: {hint} "
            f"Correct the cell, or add the code to {self.name} under one of "
            f"{', '.join((*coded.question.classes, *NOT_MEASURED))}."
        )


def fold(cell: str) -> str:
    """A cell as it is compared: without spaces around it, one space between words, in small letters."""
    return " ".join(cell.split()).casefold()


def codes_for(labels: str | Path | None, codes: str | Path | None) -> Codes | None:
    """The table of codes for a table of labels; None where neither is given.

    Raises:
        CodesError: if one is given without the other, or the table of codes cannot be read.
    """
    if codes is None and labels is None:
        return None
    if codes is None:
        raise CodesError(f"--human-labels {labels} needs --codes, a YAML that says what its cells mean. Give both.")
    if labels is None:
        raise CodesError(f"--codes {codes} explains no labels. Give their table with --human-labels.")
    return read_codes(Path(codes))


def read_codes(path: Path) -> Codes:
    """Read a table of codes.

    Raises:
        CodesError: if it cannot be read, or a code stands for two things; in one line that names the file.
    """
    try:
        given = read_mapping(path.read_text(encoding="utf-8-sig"), path.name)
    except SuiteError as error:
        raise CodesError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise CodesError(f"{path.name} cannot be read: {reason}. Give the path of a YAML file.") from None
    try:
        return _codes(given, path.name)
    except CodesError as error:
        raise CodesError(f"{path.name}: {error}") from None


def _codes(given: Mapping[str, object], name: str) -> Codes:
    top = _mapping(given, "the file", _KEYS)
    attributes = _mapping(top.get("attributes") or {}, "attributes")
    if not attributes:
        raise CodesError("attributes is empty. Give each perceived attribute its column and codes.")
    subjects = {
        key: _text(f"subjects.{key}", value) for key, value in _mapping(top.get("subjects") or {}, "subjects").items()
    }
    for key, value in subjects.items():
        if not _SUBJECT.fullmatch(value):
            raise CodesError(f"subjects.{key}: {value!r} is no subject: small letters, digits, '.', '_' and '-' only.")
    card = _mapping(top.get("card") or {}, "card", _CARD_KEYS)
    caveats = card.get("caveats") or []
    if not isinstance(caveats, list):
        raise CodesError("card.caveats must be a list of sentences. Begin each with '- '.")
    return Codes(
        name,
        tuple(_coded(attribute, value) for attribute, value in attributes.items()),
        file=_text("file", top["file"]) if "file" in top else "",
        subjects=subjects,
        card={**card, **({"caveats": [str(caveat) for caveat in caveats]} if caveats else {})},
    )


def _coded(attribute: str, given: object) -> Coded:
    where = f"attributes.{attribute}"
    if not _NAME.fullmatch(attribute):
        raise CodesError(f"{where}: a name has small letters, digits and _ only, and starts with a letter.")
    value = _mapping(given, where, _ATTRIBUTE_KEYS)
    answers = _mapping(value.get("codes") or {}, f"{where}.codes")
    classes = tuple(answer for answer in answers if answer not in NOT_MEASURED)
    if len(classes) < 2:
        raise CodesError(f"{where}.codes must have at least 2 classes (got {', '.join(classes) or 'none'}).")
    codes: dict[str, str] = {}
    among: dict[str, tuple[str, ...]] = {}
    for answer, cells in answers.items():
        if not _NAME.fullmatch(answer):
            raise CodesError(f"{where}.codes: {answer!r} cannot be a class: small letters, digits and _ only.")
        if answer == SEVERAL_PEOPLE and isinstance(cells, Mapping):
            among = _among(f"{where}.codes.{answer}", cells, classes)
            cells = list(cells)
        for cell in _cells(f"{where}.codes.{answer}", cells):
            if codes.setdefault(fold(cell), answer) != answer:
                raise CodesError(f"{where}.codes: {cell!r} stands for {codes[fold(cell)]} and for {answer}. Keep one.")
    ordered = value.get("ordered", False)
    if not isinstance(ordered, bool):
        raise CodesError(f"{where}.ordered must be true or false (got {ordered!r}).")
    column = _text(f"{where}.column", value.get("column", attribute))
    return Coded(Question(attribute, classes, ordered), column, codes, among)


def _among(where: str, given: Mapping[object, object], classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What is said of the people behind each code for several: the classes among them; nothing is `unclear`."""
    among: dict[str, tuple[str, ...]] = {}
    for key, value in given.items():
        cell = _text(where, key, empty=True)
        shown = tuple(_cells(f"{where}.{cell}", [] if value is None else value)) or (UNCLEAR,)
        for name in shown:
            if name not in (*classes, UNCLEAR):
                raise CodesError(f"{where}.{cell}: {name!r} is no class: {nearest(name, (*classes, UNCLEAR))}")
            if shown.count(name) > 1:
                raise CodesError(f"{where}.{cell} names {name} twice. Name each class among the people once.")
        if among.setdefault(fold(cell), shown) != shown:
            raise CodesError(f"{where}: {cell!r} stands for two things. Keep one.")
    return among


def _cells(where: str, given: object) -> list[str]:
    """The codes of one answer; an empty list for a class that could have been chosen and was not."""
    return [
        _text(where, cell, empty=True)
        for cell in (given if isinstance(given, Sequence) and not isinstance(given, str) else [given])
    ]


def _mapping(given: object, where: str, known: Sequence[str] | None = None) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise CodesError(f"{where} must be a mapping of names to values (got {type(given).__name__}).")
    for key in given:
        if not isinstance(key, str):
            raise CodesError(f"{where}: {key!r} is no text. Put it in quotes.")
        if known is not None and key not in known:
            raise CodesError(f"{where}: unknown key {key!r}: {nearest(key, known)}")
    return dict(given)


def _text(where: str, given: object, *, empty: bool = False) -> str:
    """A text, or a number as text; what YAML takes for true, false or nothing has to be put in quotes."""
    if given is None or isinstance(given, bool) or not isinstance(given, str | int):
        raise CodesError(f"{where}: {given!r} is no text. Put it in quotes.")
    if not empty and not str(given).strip():
        raise CodesError(f"{where} is empty. Write a name.")
    return str(given)
