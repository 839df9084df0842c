"""What was asked for an image, and whom of a suite that means."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from probes.importers.filenames import words_of
from probes.importers.subjects import Match, Subjects
from probes.importers.tables import FolderError
from probes.importers.walking import File
from probes.probe import Probe, nearest

if TYPE_CHECKING:
    from probes.suite import Suite

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of the request for an image; what is not is empty."""

    subject: str = ""
    condition: str = ""
    prompt: str = ""
    language: str = ""

    def texts(self) -> tuple[str, str, str, str]:
        """The four of them."""
        return self.subject, self.condition, self.prompt, self.language


@dataclass(frozen=True, slots=True)
class Found:
    """An image file with its request."""

    asked: Asked
    file: File
    name: str
    """Relative path, as it can be shown; images of a probe are numbered in its order."""
    details: Mapping[str, object] = field(default_factory=dict)


class Matcher:
    """Finds the suite's subject that somebody's words mean; without a suite every word stands for itself."""

    def __init__(self, suite: Suite | None, called: Mapping[str, str]) -> None:
        """`called` says what a subject that is called otherwise here is called in the suite.

        Raises:
            FolderError: if the suite does not have one of them.
        """
        for name, meant in called.items():
            if suite is not None and meant not in suite.subjects:
                raise FolderError(
                    f"{name!r} is said to be the subject {meant!r}, which the suite {suite.name!r} does not have: "
                    f"{nearest(meant, suite.subjects)}"
                )
        self._called = {slug(name): meant for name, meant in called.items()}
        self._subjects = Subjects(suite) if suite is not None else None
        probes = suite.probes if suite is not None else ()
        self._by_subject = {slug(probe.subject): probe for probe in reversed(probes)}
        self._by_text = {_plain(probe.text): probe for probe in reversed(probes)}

    def probe(self, probe_id: str, asked: Asked) -> Probe:
        """The probe of a request, with the keys of references of the suite's subject if it has one."""
        subject = slug(asked.subject or asked.prompt)
        subject = self._called.get(subject, subject)
        known = self._known(subject, asked.subject) or self._known_prompt(asked.prompt)
        return Probe(
            probe_id=probe_id,
            text=asked.prompt,
            subject=known.subject if known else subject,
            kind="imported",
            language=asked.language or "en",
            template=slug(asked.condition) if asked.condition else "",
            sensitive=known.sensitive if known else False,
            keys=dict(known.keys) if known else {},
            notes="" if asked.prompt else "The prompt is not known.",
        )

    def by_prompt(self, asked: Asked) -> Asked | str:
        """The request with the suite's subject that its prompt names, or why it names none."""
        if self._subjects is None:
            return asked
        exact = self._by_text.get(_plain(asked.prompt))
        match = Match(exact.subject, "", exact.language) if exact else self._subjects.match(asked.prompt)
        if match.subject is None:
            return match.reason
        return Asked(match.subject, asked.condition, asked.prompt, asked.language or match.language)

    @property
    def suited(self) -> bool:
        """Whether there is a suite."""
        return self._subjects is not None

    def by_names(self, folder: str, parents: Sequence[str], words: str, prompt: Asked | None = None) -> Asked | str:
        """The request for an image that says nothing itself: folders first, from the top, then the file's words.

        Without a suite the first folder is the subject and the others are the condition. With a suite the first that
        names one of its subjects is the subject; an image whose folder names none, as does its name, keeps the first
        folder below `folder` as a subject of its own. `prompt` is what a name that is known to hold a prompt says.
        """
        if self._subjects is None:
            return Asked(parents[0], "/".join(parents[1:])) if parents else Asked(folder)
        for place, parent in enumerate(parents):
            if self._named(parent):
                return Asked(parent, "/".join((*parents[:place], *parents[place + 1 :])))
        if self._named(folder):
            return Asked(folder, "/".join(parents))
        if prompt is not None:
            return self.by_prompt(prompt)
        match = self._subjects.match(words) if words else Match(None)
        if match.subject is not None:
            return Asked(match.subject, "/".join(parents), words, match.language)
        if parents:
            return Asked(parents[0], "/".join(parents[1:]))
        several = match.reason.replace("the prompt", "the file's name") if "subjects" in match.reason else ""
        return several or "neither the names of its folder and file nor itself name a subject of the suite"

    def _named(self, words: str) -> Probe | None:
        subject = slug(words)
        return self._known(self._called.get(subject, subject), words)

    def _known(self, subject: str, words: str) -> Probe | None:
        known = self._by_subject.get(slug(subject))
        if known is None and words and self._subjects is not None:
            known = self._by_subject.get(slug(self._subjects.match(words.replace("_", " ")).subject or ""))
        return known

    def _known_prompt(self, prompt: str) -> Probe | None:
        if not prompt or self._subjects is None:
            return None
        return self._by_text.get(_plain(prompt)) or self._known("", prompt)


def file_words(name: str) -> str:
    """The words in a file's name, by its relative path."""
    return words_of(name.rpartition("/")[2])


def slug(text: str) -> str:
    """`text` as part of a probe's id: small letters, digits and dashes; a digest if nothing of it can be kept."""
    plain = unicodedata.normalize("NFKD", text.lower().translate(_UMLAUTS))
    kept = re.sub(r"[^a-z0-9]+", "-", "".join(c for c in plain if not unicodedata.combining(c))).strip("-")
    return kept or hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
