"""Suites: named, versioned sets of probes, read from YAML, or from a plain list of prompts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

from probes.probe import FORMS, PEOPLE, Probe, SuiteError, nearest

__all__ = ["FORMS", "PEOPLE", "Probe", "Suite", "SuiteCard", "SuiteError", "check_suite", "load_suite", "suite_names"]

SUITES = Path(__file__).parent / "suites"
_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
_LONGEST_ID = 120
_LONG_PROMPT = 55
"""Words after which a prompt is probably cut by CLIP's text tower (77 tokens)."""


@dataclass(frozen=True)
class SuiteCard:
    """What a report says of a suite."""

    title: str
    source: str = ""
    """Who chose the prompts, from what."""
    construct: str = ""
    """What answers to these prompts can say something about."""
    caveats: tuple[str, ...] = ()
    """Sentences that anybody who cites a result must know."""


@dataclass(frozen=True)
class Suite:
    """A named, versioned set of probes.

    Raises:
        SuiteError: if there is no probe, a prompt is empty, or an id is malformed or occurs twice.
    """

    name: str
    version: str
    card: SuiteCard
    probes: tuple[Probe, ...]
    path: Path | None = None
    """File that the suite was read from; None for a suite made in Python."""

    def __post_init__(self) -> None:
        where = self.path.name if self.path else f"suite {self.name!r}"
        if not self.probes:
            raise SuiteError(f"{where} holds no prompt. Add at least one.")
        seen: dict[str, Probe] = {}
        for probe in self.probes:
            _check_probe(where, probe)
            if probe.probe_id in seen:
                other = seen[probe.probe_id].text
                raise SuiteError(
                    f"{where}: probe id {probe.probe_id!r} occurs twice, for {other!r} and {probe.text!r}. "
                    "Give each probe an id of its own."
                )
            seen[probe.probe_id] = probe

    def digest(self) -> str:
        """SHA-256 (hexadecimal) over the canonical JSON of name, version and probes.

        Ids and seeds do not depend on the order of the probes; the digest does, because the order decides which
        samples share a batch.
        """
        from probes.plan import digest_of  # plan imports this module

        return digest_of({"name": self.name, "version": self.version, "probes": [asdict(p) for p in self.probes]})

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the prompts, in order of appearance."""
        return _unique(p.language for p in self.probes)

    @property
    def templates(self) -> tuple[str, ...]:
        """Ids of the templates, in order of appearance."""
        return _unique(p.template for p in self.probes if p.template)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Ids of the subjects, in order of appearance."""
        return _unique(p.subject for p in self.probes)

    def select(
        self,
        languages: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
        subjects: Sequence[str] | None = None,
    ) -> Suite:
        """The probes of these languages, templates and subjects (None: all), in the order of the suite.

        Raises:
            SuiteError: if a name is unknown, or if nothing is left.
        """
        for word, wanted, known in (
            ("language", languages, self.languages),
            ("template", templates, self.templates),
            ("subject", subjects, self.subjects),
        ):
            for name in wanted or ():
                if name not in known:
                    raise SuiteError(f"suite {self.name!r} has no {word} {name!r}: {nearest(name, known)}")
        kept = tuple(
            p
            for p in self.probes
            if (languages is None or p.language in languages)
            and (templates is None or p.template in templates)
            and (subjects is None or p.subject in subjects)
        )
        if not kept:
            raise SuiteError(
                f"suite {self.name!r} has no prompt of these languages, templates and subjects together. Select more."
            )
        return replace(self, probes=kept)


def suite_names() -> list[str]:
    """Names of the built-in suites, sorted."""
    return sorted(path.stem for path in SUITES.glob("*.yaml"))


def load_suite(name_or_path: str) -> Suite:
    """A built-in suite by name, or an own one by path.

    Own suites are YAML in the format of the built-in ones, a text file with one prompt a line (`#` begins a comment
    line), or a CSV with a column `prompt` and, if wanted, further fields of `Probe`.

    Raises:
        SuiteError: if the name is unknown, or the file cannot be read as a suite; in one line that names the file.
    """
    from probes.expand import read_suite  # expand imports this module

    if name_or_path in suite_names():
        return read_suite(SUITES / f"{name_or_path}.yaml")
    path = Path(name_or_path)
    if path.is_file():
        return read_suite(path)
    if path.suffix in {".yaml", ".yml", ".txt", ".csv"} or len(path.parts) > 1:
        raise SuiteError(f"suite file {name_or_path!r} does not exist. Check the path.")
    raise SuiteError(
        f"unknown suite {name_or_path!r}: {nearest(name_or_path, suite_names())} "
        "An own suite is given by its path (.yaml, .txt or .csv)."
    )


def check_suite(suite: Suite) -> list[str]:
    """What is allowed but probably not meant, one sentence each; empty if nothing was noticed."""
    found: list[str] = []
    texts: dict[str, str] = {}
    for probe in suite.probes:
        first = texts.setdefault(probe.text, probe.probe_id)
        if first != probe.probe_id:
            found.append(f"{probe.probe_id} asks the same as {first}: {probe.text!r}.")
        if probe.text != " ".join(probe.text.split()):
            found.append(f"{probe.probe_id} has spaces too many: {probe.text!r}.")
        if len(probe.text.split()) > _LONG_PROMPT:
            found.append(f"{probe.probe_id} has more than {_LONG_PROMPT} words: CLIP text towers cut after 77 tokens.")
        if probe.language == "en":
            found += [f"{probe.probe_id} says {pair!r}: check the article." for pair in _odd_articles(probe.text)]
    for subject in suite.subjects:
        mine = {p.language for p in suite.probes if p.subject == subject}
        missing = [language for language in suite.languages if language not in mine]
        if missing and any(p.template for p in suite.probes if p.subject == subject):
            found.append(f"subject {subject!r} is not asked in: {', '.join(missing)}.")
    return found


def _check_probe(where: str, probe: Probe) -> None:
    if not _ID.fullmatch(probe.probe_id) or len(probe.probe_id) > _LONGEST_ID:
        raise SuiteError(
            f"{where}: probe id must be at most {_LONGEST_ID} of a-z, 0-9, '.', '_' and '-', beginning with a "
            f"letter or digit (got {probe.probe_id!r}). Rename it."
        )
    if not probe.text.strip():
        raise SuiteError(f"{where}: the prompt of probe {probe.probe_id!r} has no text. Write one or remove the probe.")
    if probe.people not in PEOPLE:
        raise SuiteError(
            f"{where}: people of probe {probe.probe_id!r} must be one of {', '.join(PEOPLE)} (got {probe.people!r})."
        )
    if probe.form and probe.form not in FORMS:
        raise SuiteError(f"{where}: form of probe {probe.probe_id!r} is {probe.form!r}: {nearest(probe.form, FORMS)}")


def _odd_articles(text: str) -> list[str]:
    from probes.expand import article

    return [
        f"{first} {second}"
        for first, second in pairwise(text.split())
        if first.lower() in {"a", "an"} and second.isalpha() and second.islower() and first.lower() != article(second)
    ]


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
