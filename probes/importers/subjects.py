"""Which subject of a suite a prompt names: whole words, in the singular and the plural, in English and German.

The words of a subject are its id and what its prompts have that the others of the same template do not. The longest
match counts: in "a nurse practitioner" nobody asked for a nurse. Two subjects in one prompt are nobody's.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from probes.probe import Probe
    from probes.suite import Suite

_ARTICLES = {
    "en": frozenset(("a", "an", "the")),
    "de": frozenset(
        ("ein", "eine", "einen", "einem", "einer", "eines", "ein*e", "der", "die", "das", "den", "dem", "des")
    ),
}
_BEFORE_REST = {
    "en": frozenset(("of", "in", "at", "for", "with", "on", "from", "to")),
    "de": frozenset(
        ("in", "im", "am", "an", "auf", "aus", "für", "mit", "von", "vom", "zur", "zum", "bei", "des", "der")
    ),
}
"""Words that begin what follows a noun: in "member of the public" the noun is "member"."""
_STAR = re.compile(r"(?<=\w)(?:[*:·/_]|/-)(?=in(?:nen)?\b)", re.IGNORECASE)
_INNER_I = re.compile(r"(?<=[a-zäöüß])I(?=n(?:nen)?\b)")
_TAG = re.compile(r"<(?:lora|lyco|hypernet|lycoris):[^<>]*>", re.IGNORECASE)
_FLAGS = re.compile(r"\s(?:--|—)[a-z]+\b.*$", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"[^\W_]+(?:\*[^\W_]+)*")
_POSSESSIVE = re.compile(r"(?<=\w)['’]s?\b", re.IGNORECASE)
_IRREGULAR = {"person": ("persons", "people"), "child": ("children",), "thief": ("thieves",)}
_UMLAUTS = {"a": "ä", "o": "ö", "u": "ü"}


@dataclass(frozen=True)
class Match:
    """What a prompt names."""

    subject: str | None
    """Id of the subject, or None if the prompt names none, or several."""
    words: str = ""
    """The words of the prompt that name it, in small letters."""
    language: str = ""
    """Language of the wording that was found; empty where the subject's id was."""
    reason: str = ""
    """Why there is no subject; empty if there is one."""


@dataclass(frozen=True)
class _Phrase:
    """Words that name a subject: for every place the forms that may stand there."""

    subject: str
    language: str
    places: tuple[frozenset[str], ...]


class Subjects:
    """The subjects of a suite, made ready to be looked for in many prompts."""

    def __init__(self, suite: Suite) -> None:
        self._phrases: dict[str, list[_Phrase]] = defaultdict(list)
        for subject, language, words in dict.fromkeys(_wordings(suite)):
            places = _forms(words, language)
            for form in places[-1]:  # the noun is often last, and the last word of a prompt is the rarest
                self._phrases[form].append(_Phrase(subject, language, places))

    def match(self, prompt: str) -> Match:
        """The one subject that a prompt names; tags of LoRAs and flags of Midjourney name nobody."""
        words = tokens(_FLAGS.sub("", _TAG.sub(" ", prompt)))
        found = [
            (end - len(phrase.places), end, phrase)
            for end, word in enumerate(words, 1)
            for phrase in self._phrases.get(word, ())
            if len(phrase.places) <= end
            and all(words[end - len(phrase.places) + step] in place for step, place in enumerate(phrase.places))
        ]
        longest = [
            (start, end, phrase)
            for start, end, phrase in found
            if not any(a <= start and end <= b and b - a > end - start for a, b, _ in found)
        ]
        subjects = list(dict.fromkeys(phrase.subject for _, _, phrase in longest))
        if len(subjects) == 1:
            start, end, phrase = longest[0]
            language = next((other.language for _, _, other in longest if other.language), "")
            return Match(phrase.subject, " ".join(words[start:end]), language)
        if subjects:
            return Match(None, reason=f"the prompt names {len(subjects)} subjects: {', '.join(subjects[:4])}")
        return Match(None, reason="the prompt names no subject of the suite" if words else "the prompt is empty")


def tokens(text: str) -> list[str]:
    """The words of a text in small letters; forms with a colon, slash or inner capital are written with a star."""
    plain = unicodedata.normalize("NFC", text)
    plain = _INNER_I.sub("*i", _STAR.sub("*", plain))
    return _WORD.findall(_POSSESSIVE.sub("", plain).casefold())


def _wordings(suite: Suite) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Subject, language and words of every wording of the suite."""
    groups: dict[tuple[str, str], list[Probe]] = defaultdict(list)
    for probe in suite.probes:
        if words := tuple(tokens(probe.subject)):
            yield probe.subject, "", words
        yield probe.subject, probe.language, tuple(tokens(probe.text))
        if probe.template:
            groups[probe.language, probe.template].append(probe)
    for (language, _), probes in groups.items():
        lists = [tokens(probe.text) for probe in probes]
        if len({probe.subject for probe in probes}) < 2:
            continue
        before, after = _common(lists), _common([words[::-1] for words in lists])
        for probe, given in zip(probes, lists, strict=True):
            rest = given[before : len(given) - after]
            while rest and rest[0] in _ARTICLES.get(language, ()):
                rest = rest[1:]
            if rest:
                yield probe.subject, language, tuple(rest)


def _common(lists: Sequence[Sequence[str]]) -> int:
    """How many words all the lists begin with, leaving each at least one."""
    most = min(map(len, lists)) - 1
    return next((place for place in range(most) if len({words[place] for words in lists}) > 1), max(most, 0))


def _forms(words: Sequence[str], language: str) -> tuple[frozenset[str], ...]:
    stop = _BEFORE_REST.get(language, _BEFORE_REST["en"])
    head = next((place - 1 for place, word in enumerate(words) if place and word in stop), len(words) - 1)
    return tuple(
        frozenset(_nouns(word, language) if place == head else _adjectives(word, language) if place < head else (word,))
        for place, word in enumerate(words)
    )


def _nouns(word: str, language: str) -> Iterable[str]:
    """A noun with its plurals and, in German, its cases; forms that no such noun has do no harm."""
    if language == "de":
        return _german(word)
    if language in {"", "en"}:
        return _english(word)
    return (word,)


def _english(word: str) -> Iterator[str]:
    yield word
    yield from _IRREGULAR.get(word, ())
    if word in _IRREGULAR:
        return
    if word.endswith("man") and word != "human":
        yield f"{word[:-3]}men"
    elif re.search(r"[^aeiou]y$", word):
        yield f"{word[:-1]}ies"
    elif re.search(r"(s|x|z|ch|sh)$", word):
        yield f"{word}es"
    elif word.endswith("person"):
        yield from (f"{word}s", f"{word[:-6]}people")
    else:
        yield f"{word}s"


def _german(word: str) -> Iterator[str]:
    if "*" in word:
        yield from (word, f"{word}nen")
        return
    if word.endswith("in"):
        yield from (word, f"{word}nen")
        return
    if word.endswith("mann"):
        yield from (f"{word[:-4]}{end}" for end in ("mann", "manns", "mannes", "männer", "männern", "leute", "leuten"))
        return
    yield from (word + end for end in ("", "e", "en", "n", "s", "es"))
    changed = _umlaut(word)
    if changed != word:
        yield from (changed + end for end in ("e", "en"))


def _umlaut(word: str) -> str:
    """The word with the umlaut of its plural: Arzt, Ärzte; Kraft, Kräfte."""
    for place in range(len(word) - 1, -1, -1):
        if word[place] in _UMLAUTS and not (word[place] == "u" and word[place - 1 : place] in ("a", "e")):
            return word[:place] + _UMLAUTS[word[place]] + word[place + 1 :]
    return word


def _adjectives(word: str, language: str) -> Iterator[str]:
    """A word before the noun; in German with the endings of its cases."""
    yield word
    if language == "de" and len(word) > 3 and word.endswith("e"):
        yield from (word + end for end in "nrms")
