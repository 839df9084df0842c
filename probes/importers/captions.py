"""What captions say: the one subject of a suite that they name, and whether they name a gender.

The words are those of `gender_words.yaml`, which has a card. A caption is read and forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from probes.importers.subjects import Subjects, tokens

if TYPE_CHECKING:
    from probes.suite import Suite

NO_GENDER, GENDER = "names-no-gender", "names-gender"
"""Templates of the probes: captions that name no gender, and those that name one."""
NO_SUBJECT = "the caption names no subject of the suite"
SEVERAL_SUBJECTS = "the caption names several subjects"
EMPTY = "there is no caption"

_FEMININE = re.compile(r"[^\W*]{3,}in(?:nen)?")
"""A German noun for a woman; looked for in the words that name a subject only."""


class Named(NamedTuple):
    """What a caption names."""

    subject: str
    """Id of the subject; empty if the caption names none, or several."""
    template: str
    """`NO_GENDER` or `GENDER`."""
    reason: str = ""
    """Why there is no subject; never a word of the caption."""


class _Words(NamedTuple):
    words: frozenset[str]
    endings: tuple[str, ...]
    exceptions: frozenset[str]

    def name(self, word: str) -> bool:
        return word in self.words or (
            len(word) > 4 and word.endswith(self.endings) and word not in self.exceptions and "*" not in word
        )


class Captions:
    """Reads captions for the subjects of one suite."""

    def __init__(self, suite: Suite) -> None:
        self._subjects = Subjects(suite)

    def read(self, caption: str) -> Named:
        """The subject of a caption and the template of its probe."""
        found = self._subjects.match(caption)
        if found.subject is None:
            several = SEVERAL_SUBJECTS if "subjects:" in found.reason else NO_SUBJECT
            return Named("", "", several if caption.strip() else EMPTY)
        german = found.language == "de" and any(_FEMININE.fullmatch(word) for word in found.words.split())
        return Named(found.subject, GENDER if german or names_gender(caption) else NO_GENDER)


def names_gender(caption: str) -> bool:
    """Whether a caption says of anybody in it that they are a woman or a man, in English or German words.

    The function words of a caption say which of the two it is in; without any, or as many of both, it is read in both.
    """
    words = tokens(caption)
    lists, function = _lists()
    german, english = (sum(word in function[language] for word in words) for language in ("de", "en"))
    read = [lists["both"], *([lists["de"]] if german >= english else []), *([lists["en"]] if english >= german else [])]
    return any(each.name(word) for each in read for word in words)


def card() -> Mapping[str, Any]:
    """The card of the lists: title, version, source, construct, caveats."""
    found: Mapping[str, Any] = _file()["card"]
    return found


@cache
def _file() -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.safe_load(
        (Path(__file__).parent / "gender_words.yaml").read_text(encoding="utf-8")
    )
    return content


@cache
def _lists() -> tuple[dict[str, _Words], dict[str, Collection[str]]]:
    content = _file()
    lists = {}
    for language in ("both", "en", "de"):
        part = content[language]
        words, ends, exceptions = (list(_flat(part.get(key, []))) for key in ("words", "endings", "except"))
        lists[language] = _Words(_folded(words), tuple(_folded(ends)), _folded(exceptions))
    return lists, {language: _folded(words) for language, words in content["function_words"].items()}


def _flat(given: Iterable[Any]) -> Iterator[str]:
    for each in given:
        if isinstance(each, list):
            yield from _flat(each)
        else:
            yield str(each)


def _folded(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word.casefold() for word in words)
