"""The phantom's world: which subjects it knows, and the shares that were planted in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from probes.phantom.people import AGES, ETHNICITIES, GENDERS, Person

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {"gender": GENDERS, "age": AGES, "ethnicity": ETHNICITIES}
"""The attributes of the world and their classes, in order."""
LANGUAGES = ("en", "de")


class WorldError(ValueError):
    """A world cannot be read. The message is one line: what was wrong, what was got, what to do."""


@dataclass(frozen=True)
class Subject:
    """Something that the phantom can be asked for."""

    id: str
    people: str
    """`one`, `none` or `several`."""
    kind: str
    """`occupation`, `neutral`, `group` or `scene`."""
    phrases: Mapping[str, str]
    """The subject in each language, with its article: `{"en": "a nurse", "de": "eine Pflegekraft"}`."""
    shares: Mapping[str, tuple[float, ...]]
    """Planted share of every class, by attribute; empty unless `people` is `one`."""


@dataclass(frozen=True)
class World:
    """Every subject with its planted shares."""

    version: int
    explicit: float
    """Share of the training captions that name some of what they show."""
    subjects: Mapping[str, Subject]

    def asking(self, people: str) -> tuple[Subject, ...]:
        """The subjects that show `one` person, `none` or `several`."""
        return tuple(subject for subject in self.subjects.values() if subject.people == people)

    def planted(self) -> Iterator[tuple[str, str, str, float]]:
        """Rows of the reference `phantom-world`: subject, attribute, class, share (0 to 1)."""
        for subject in self.asking("one"):
            for attribute, shares in subject.shares.items():
                for name, share in zip(ATTRIBUTES[attribute], shares, strict=True):
                    yield subject.id, attribute, name, share

    def draw_person(self, subject: str, named: Mapping[str, str], rng: np.random.Generator) -> Person:
        """A person as the world has them: what is `named` as named, the rest by the planted shares of the subject."""
        chosen = {}
        for attribute, classes in ATTRIBUTES.items():
            shares = self.subjects[subject].shares.get(attribute) or (1 / len(classes),) * len(classes)
            at = int(np.searchsorted(np.cumsum(shares), rng.random(), side="right"))
            chosen[attribute] = named.get(attribute) or classes[min(at, len(classes) - 1)]
        return Person(**chosen)


_KINDS = {"occupations": "occupation", "neutral": "neutral", "groups": "group", "scenes": "scene"}
_PEOPLE = {"occupation": "one", "neutral": "one", "group": "several", "scene": "none"}


def load_world(path: Path | None = None) -> World:
    """The world in a YAML file; by default the one that the shipped weights were trained on.

    Raises:
        WorldError: if a key is unknown or missing, or shares do not add up to 1.
    """
    return _shipped() if path is None else _read(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))


@cache
def _shipped() -> World:
    source = files("probes.phantom").joinpath("world.yaml")
    return _read(yaml.safe_load(source.read_text(encoding="utf-8")), "world.yaml")


def _read(value: Any, where: str) -> World:
    if not isinstance(value, dict):
        raise WorldError(f"{where} must hold a mapping (got a {type(value).__name__}).")
    unknown = sorted(set(value) - {"version", "explicit", *_KINDS})
    if unknown:
        raise WorldError(f"{where} has the unknown key {unknown[0]!r}. Known: version, explicit, {', '.join(_KINDS)}.")
    subjects = {}
    for section, kind in _KINDS.items():
        for name, entry in value.get(section, {}).items():
            subjects[name] = _subject(name, kind, dict(entry), where)
    return World(int(value["version"]), float(value["explicit"]), subjects)


def _subject(name: str, kind: str, entry: dict[str, Any], where: str) -> Subject:
    people = _PEOPLE[kind]
    wanted = {*LANGUAGES, *(ATTRIBUTES if people == "one" else ())}
    if set(entry) != wanted:
        odd = sorted(set(entry) ^ wanted)[0]
        raise WorldError(f"{where}: {name} has a missing or unknown key {odd!r}. It needs {', '.join(sorted(wanted))}.")
    shares = {}
    if people == "one":
        entry["gender"] = [entry["gender"], 1 - entry["gender"]]
        for attribute, classes in ATTRIBUTES.items():
            numbers = tuple(float(share) for share in entry[attribute])
            if len(numbers) != len(classes) or min(numbers) < 0 or abs(sum(numbers) - 1) > 1e-9:
                raise WorldError(
                    f"{where}: the shares of {attribute} of {name} must be {len(classes)} numbers from 0 to 1 that add "
                    f"up to 1 (got {entry[attribute]})."
                )
            shares[attribute] = numbers
    return Subject(name, people, kind, {language: str(entry[language]) for language in LANGUAGES}, shares)
