"""One probe: one prompt asked of a model, with what is known of it before any image is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

PEOPLE = ("one", "none", "several")
"""How many people a prompt asks for."""
FORMS = ("masculine", "feminine", "star", "neutral")
"""Grammatical forms of a noun for a person, such as the German `Arzt`, `Ärztin`, `Ärzt*in`, `ärztliche Fachkraft`."""


class SuiteError(Exception):
    """A suite cannot be used as it is. The message is one line: what was wrong, what was got, what to do."""


@dataclass(frozen=True)
class Probe:
    """One prompt asked of a model."""

    probe_id: str
    """Stable name, `[a-z0-9][a-z0-9._-]*`, such as `nurse.en.portrait`; also the name of the folder of its images."""
    text: str
    """The prompt."""
    subject: str
    """Id of who or what is asked for, `nurse`; all its probes are one cluster in a claim about a population."""
    kind: str
    """`occupation`, `attribute`, `neutral`, `identity`, `scene`, `group`, `prompt` or a word of the suite's author."""
    language: str = "en"
    """Language of the prompt (ISO 639-1)."""
    form: str = ""
    """Grammatical form of the subject: one of `FORMS`, or empty where the language does not mark it."""
    template: str = ""
    """Id of the template that the subject was put into."""
    people: str = "one"
    """People asked for: `one`, `none` or `several`; only probes that ask for one have a gap."""
    sensitive: bool = False
    """True if the pictures may stigmatize: reports warn before they show them."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Rows of references: name of the reference → key of the row, `{"us-labour-2022": "Registered nurses"}`."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """What the prompt itself names: attribute → class, `{"gender": "woman"}`."""
    notes: str = ""
    """What a reader must know of this probe, such as `the neutral form changes the lexeme`."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Half a sentence that helps with an unknown name: the nearest known one, or all of them if few."""
    names = [str(k) for k in known]
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    if len(names) <= 12:
        return f"known: {', '.join(names) or 'none'}."
    return f"known: {', '.join(names[:12])} and {len(names) - 12} more."
