"""Names of files: as they can be shown and stored, and the words that stand in them."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PARTED = re.compile(r"[\s_+.,;()\[\]–—-]+")
_HASH = re.compile(r"[0-9a-f]{8,}", re.IGNORECASE)
_MARKS = frozenset(("copy", "dall·e", "dalle", "grid", "idx", "img", "index", "sample", "seed", "steps", "cfg"))
"""Words that programs put before a counter or a seed; they ask for nothing."""
_HIDDEN = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Categories of characters that are escaped: controls, halves of characters, ends of lines and paragraphs."""


def shown(name: str) -> str:
    """`name` as it can be printed, stored and searched for: bytes that are no UTF-8 and control characters escaped."""
    if name.isprintable():
        return name
    return "".join(_escaped(letter) if unicodedata.category(letter) in _HIDDEN else letter for letter in name)


def _escaped(letter: str) -> str:
    if 0xDC80 <= ord(letter) <= 0xDCFF:  # how Python holds a byte of a name that is no UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def words_of(name: str) -> str:
    """The words of a file's name: without its folders, ending, counters, seeds and hashes at both ends.

    `0001_portrait of a CEO.webp` gives "portrait of a CEO"; empty if no word is left.
    """
    words = [word for word in _PARTED.split(_UUID.sub(" ", PurePosixPath(name).stem)) if word]
    while words and _counts(words[0]):
        del words[0]
    while words and _counts(words[-1]):
        del words[-1]
    return " ".join(words) if any(letter.isalpha() for word in words for letter in word) else ""


def _counts(word: str) -> bool:
    return any(letter.isdigit() for letter in word) or word.lower() in _MARKS or bool(_HASH.fullmatch(word))
