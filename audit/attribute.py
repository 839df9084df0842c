"""Attribute sets: the classes of each perceived attribute and the wordings that stand for them.

Wordings are part of the instrument: the same CLIP model recalls "White" at .107 with ethnicity-only wordings and at
.510 with joint ones. So a set has a name, a version, a card and a digest, and lives in a YAML file of its own.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from string import Formatter

import yaml

from audit.classifiers.base import NOT_MEASURED, ClassifierError

_BUILT_IN = Path(__file__).parent / "attributes"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class WordingsError(ClassifierError):
    """An attribute set cannot be used. The message is one line and names the file."""


@dataclass(frozen=True)
class AttributeSpec:
    """One perceived attribute: its classes and how they are asked for."""

    name: str
    classes: Mapping[str, tuple[str, ...]]
    """Class → its wordings, in fixed order (ascending if ordered). In a joint set the wordings are the terms that
    fill the joint templates."""
    ordered: bool = False
    margin: float = 0.0
    """The answer is `unclear` if the highest score leads the second by less than this (0 to 1)."""
    from_years: tuple[int, ...] = ()
    """For age: the youngest age in years of each class, ascending from 0, for instruments that estimate years."""
    known_error: str = ""
    """What is known of the error rates, in one or two sentences; empty if nothing is."""


@dataclass(frozen=True)
class Persons:
    """Wordings for one person, none and several, asked before any attribute."""

    one: tuple[str, ...]
    none: tuple[str, ...]
    several: tuple[str, ...]
    margin: float = 0.0
    """All attributes are `unclear` if the highest of the three leads the second by less than this (0 to 1)."""


@dataclass(frozen=True)
class Joint:
    """Wordings that name a class of several attributes at once; shares of one attribute are the sums over the rest."""

    attributes: tuple[str, ...]
    templates: tuple[str, ...]
    """Texts with one `{attribute}` for each of the attributes."""


@dataclass(frozen=True)
class Wordings:
    """A named, versioned attribute set."""

    name: str
    version: str
    card: Mapping[str, object]
    """`title`, `source`, `construct`, `caveats` (list of sentences), `error_rates` (attribute → rates as `audit.rates`
    reads them), `measured_with` (the classifier that the known error rates belong to; empty if there are none)."""
    attributes: tuple[AttributeSpec, ...]
    persons: Persons | None = None
    """None: every image is taken to show one person."""
    joint: Joint | None = None

    def digest(self) -> str:
        """SHA-256 (hexadecimal) of everything that labels depend on: classes, wordings, order, margins, templates."""
        value = {
            "attributes": [
                {**asdict(a), "classes": list(a.classes.items()), "known_error": None} for a in self.attributes
            ],
            "persons": asdict(self.persons) if self.persons else None,
            "joint": asdict(self.joint) if self.joint else None,
        }
        return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def pick(self, attributes: Sequence[str] | None = None, margin: float | None = None) -> tuple[AttributeSpec, ...]:
        """The attributes named (all if None), with `margin` in place of each one's own if given.

        Raises:
            WordingsError: for an attribute that the set does not have, one named twice, or a margin outside 0 to 1.
        """
        known = {a.name: a for a in self.attributes}
        names = list(known) if attributes is None else list(attributes)
        for name in names:
            if name not in known:
                raise WordingsError(f"wordings {self.name}: {_unknown('attribute', name, known)}")
        if len(set(names)) < len(names) or not names:
            raise WordingsError(f"attributes must name at least one attribute, each once (got {', '.join(names)}).")
        if margin is None:
            return tuple(known[name] for name in names)
        return tuple(replace(known[name], margin=_margin(margin, "margin")) for name in names)


def wordings_names() -> list[str]:
    """Names of the attribute sets that come with Rolecall."""
    return sorted(path.stem for path in _BUILT_IN.glob("*.yaml"))


def load_wordings(name_or_path: str) -> Wordings:
    """Read an attribute set: a built-in name, or the path of a YAML file.

    Raises:
        WordingsError: if there is no such set (the nearest known one is named), or the file is not a valid one.
    """
    path = _BUILT_IN / f"{name_or_path}.yaml"
    if not _NAME.fullmatch(name_or_path) or not path.is_file():
        path = Path(name_or_path)
        if not path.is_file():
            raise WordingsError(_unknown("wordings", name_or_path, wordings_names()) + " Or give the path of a file.")
    where = path.name
    try:
        given = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise WordingsError(f"{where} cannot be read as YAML: {' '.join(str(error).split())}") from None
    try:
        return _wordings(given, path.stem)
    except WordingsError as error:
        raise WordingsError(f"{where}: {error}") from None


class _Loader(yaml.SafeLoader):
    """The safe loader, which also refuses a key given twice: a class would silently lose its wordings."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"the key {key!r} is given twice, at line {node.start_mark.line + 1} or below")
        return super().construct_mapping(node, deep)


def _wordings(given: object, stem: str) -> Wordings:
    top = _mapping(given, "the file", ("name", "version", "card", "persons", "attributes", "joint"), ("attributes",))
    specs = _mapping(top["attributes"], "attributes")
    if not specs:
        raise WordingsError("attributes must have at least one attribute (got none).")
    attributes = tuple(_attribute(name, value) for name, value in specs.items())
    card = _mapping(
        top.get("card") or {},
        "card",
        ("title", "source", "construct", "caveats", "known_error", "error_rates", "measured_with"),
    )
    known_error = _mapping(card.pop("known_error", None) or {}, "card.known_error", tuple(specs))
    attributes = tuple(replace(a, known_error=str(known_error.get(a.name, ""))) for a in attributes)
    error_rates = _mapping(card.get("error_rates") or {}, "card.error_rates", tuple(specs))
    caveats = _texts(card.get("caveats") or [], "card.caveats", empty=True)
    texts = {key: " ".join(str(card.get(key, "")).split()) for key in ("title", "source", "construct", "measured_with")}
    return Wordings(
        name=str(top.get("name", stem)),
        version=str(top.get("version", "")),
        card={**texts, "caveats": list(caveats), "error_rates": error_rates},
        attributes=attributes,
        persons=_persons(top["persons"]) if top.get("persons") is not None else None,
        joint=_joint(top["joint"], attributes) if top.get("joint") is not None else None,
    )


def _attribute(name: str, given: object) -> AttributeSpec:
    where = f"attributes.{name}"
    if not _NAME.fullmatch(name):
        raise WordingsError(f"{where}: a name has small letters, digits and _ only, and starts with a letter.")
    value = _mapping(given, where, ("classes", "ordered", "margin", "from_years"), ("classes",))
    classes = _mapping(value["classes"], f"{where}.classes")
    if len(classes) < 2:
        raise WordingsError(f"{where}.classes must be at least 2 (got {len(classes)}).")
    for label in classes:
        if not _NAME.fullmatch(label) or label in NOT_MEASURED:
            raise WordingsError(
                f"{where}.classes: {label!r} cannot be a class: small letters, digits and _ only, starting with a "
                f"letter, and none of {', '.join(NOT_MEASURED)}."
            )
    ordered = value.get("ordered", False)
    if not isinstance(ordered, bool):
        raise WordingsError(f"{where}.ordered must be true or false (got {ordered!r}).")
    years = _mapping(value.get("from_years") or {}, f"{where}.from_years", tuple(classes))
    starts = tuple(years.get(label) for label in classes) if years else ()
    whole = [s for s in starts if isinstance(s, int) and not isinstance(s, bool)]
    if starts and (len(whole) < len(starts) or whole[0] != 0 or sorted(set(whole)) != whole):
        raise WordingsError(
            f"{where}.from_years must give every class its youngest age, ascending from 0 (got {years})."
        )
    return AttributeSpec(
        name=name,
        classes={label: _texts(texts, f"{where}.classes.{label}") for label, texts in classes.items()},
        ordered=ordered,
        margin=_margin(value.get("margin", 0.0), f"{where}.margin"),
        from_years=tuple(whole),
    )


def _persons(given: object) -> Persons:
    kinds = ("one", "none", "several")
    value = _mapping(given, "persons", (*kinds, "margin"), kinds)
    one, none, several = (_texts(value[kind], f"persons.{kind}") for kind in kinds)
    return Persons(one, none, several, _margin(value.get("margin", 0.0), "persons.margin"))


def _joint(given: object, attributes: tuple[AttributeSpec, ...]) -> Joint:
    value = _mapping(given, "joint", ("attributes", "templates"), ("attributes", "templates"))
    names = _texts(value["attributes"], "joint.attributes")
    known = [a.name for a in attributes]
    for name in names:
        if name not in known:
            raise WordingsError(f"joint.attributes: {_unknown('attribute', name, known)}")
    templates = _texts(value["templates"], "joint.templates")
    for template in templates:
        try:
            fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
        except ValueError as error:
            raise WordingsError(f"joint.templates: {template!r} cannot be filled: {error}") from None
        if sorted(fields) != sorted(names):
            raise WordingsError(
                f"joint.templates: {template!r} must have {', '.join('{' + n + '}' for n in names)}, each once."
            )
    return Joint(names, templates)


def _mapping(
    given: object, where: str, known: Iterable[str] | None = None, needed: Iterable[str] = ()
) -> dict[str, object]:
    if not isinstance(given, dict):
        raise WordingsError(f"{where} must be a mapping of names to values (got {type(given).__name__}).")
    for key in given:
        if not isinstance(key, str):
            raise WordingsError(f"{where}: the key {key!r} is no text. Put it in quotes.")
        if known is not None and key not in known:
            raise WordingsError(f"{where}: {_unknown('key', key, known)}")
    for key in needed:
        if given.get(key) is None:
            raise WordingsError(f"{where} has no {key!r}, which it needs.")
    return dict(given)


def _texts(given: object, where: str, *, empty: bool = False) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not (texts or empty):
        raise WordingsError(f"{where} must be a text or a list of texts (got {given!r}).")
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise WordingsError(f"{where} must hold texts that are not empty (got {text!r}).")
    clean = tuple(" ".join(text.split()) for text in texts)
    if len(set(clean)) < len(clean):
        raise WordingsError(f"{where} holds the same text twice.")
    return clean


def _margin(given: object, where: str) -> float:
    if not isinstance(given, int | float) or isinstance(given, bool) or not math.isfinite(given) or not 0 <= given < 1:
        raise WordingsError(f"{where} must be at least 0 and below 1 (got {given!r}).")
    return float(given)


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, 1, 0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}. {hint}Known: {', '.join(names)}."
