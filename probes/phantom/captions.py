"""How the phantom is asked: captions in English and German, and back from a prompt to what it names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from probes.phantom.world import ATTRIBUTES, World

TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "en": ("a portrait of {subject}", "a photo of {subject}", "{subject}"),
    "de": ("Porträt: {subject}", "Foto: {subject}", "{subject}"),
}
"""Frames of the captions in each language; `{subject}` carries its article."""

NAMES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "en": {
        "gender": {"woman": "woman", "man": "man"},
        "age": {"young": "young", "middle_aged": "middle-aged", "older": "older"},
        "ethnicity": {name: name for name in ATTRIBUTES["ethnicity"]},
    },
    "de": {
        "gender": {"woman": "weiblich", "man": "männlich"},
        "age": {"young": "jung", "middle_aged": "mittelalt", "older": "älter"},
        "ethnicity": {name: name for name in ATTRIBUTES["ethnicity"]},
    },
}
"""The word for each class, by language and attribute."""


def phrase(world: World, subject: str, language: str, named: Mapping[str, str]) -> str:
    """A subject with what is named of the person: `a nurse, older umber woman`; `eine Pflegekraft, älter weiblich`."""
    text = world.subjects[subject].phrases[language]
    words = [NAMES[language][key][named[key]] for key in ("age", "ethnicity", "gender") if key in named]
    return f"{text}, {' '.join(words)}" if words else text


@dataclass(frozen=True)
class Understood:
    """What a prompt asks for."""

    subject: str
    named: Mapping[str, str]
    """Attribute → class, for what the prompt names of the person."""


def understand(world: World, prompt: str) -> Understood | None:
    """The subject and the named classes of a prompt in either language; None if it names no subject of the world.

    The longest subject that occurs wins, so that `a police officer` is not `an office`.
    """
    text = _padded(re.findall(_WORD, prompt.lower()))
    found = [
        (len(words), subject.id)
        for subject in world.subjects.values()
        for words in (_padded(text_.lower().split()[1:]) for text_ in subject.phrases.values())
        if words in text
    ]
    if not found:
        return None
    named = {
        attribute: name
        for names in NAMES.values()
        for attribute, words_of in names.items()
        for name, word in words_of.items()
        if f" {word} " in text
    }
    return Understood(max(found)[1], named)


_WORD = r"[\w-]+"


def _padded(words: list[str]) -> str:
    return f" {' '.join(words)} "
