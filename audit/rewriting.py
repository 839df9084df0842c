"""rewriting.csv: what a service made of the prompts before its model saw them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from probes.importers.subjects import tokens

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from audit.store import Store
    from probes.probe import Probe

REWRITING = (
    *("probe_id", "subject", "language", "template", "images", "told", "rewritten", "rewritten_share"),
    *("rewritten_low", "rewritten_high", "texts", "prompt_words", "words", "added_words", "status"),
)
"""Columns of rewriting.csv."""
ADDED = 8
"""Added words that are named for each probe."""
_WORDS = """
a about above across after against all along also among an and any are around as at be been before behind below beneath
beside between both but by can down each either few for from has have how i in inside into is it its itself many may
more most near no nor not of off on one or other others out outside over own per so some such than that the then there
these this those through to toward towards under up upon was were what when where which while who whose with within
without you your
als am an auf aus bei das dem den der des die ein eine einem einen einer eines es für hat im in ist mit nach neben nicht
oder sich sind über um und unter vom von vor während wie wird zu zum zur
"""
_PLAIN = frozenset(_WORDS.split())
"""Words that say nothing of what is seen. `her`, `his`, `they` and the like do, and are not among them."""


@dataclass
class _Tally:
    """What is known of the rewriting of one probe, or of all."""

    images: int = 0
    told: int = 0
    rewritten: int = 0
    words: int = 0
    texts: set[str] = field(default_factory=set)
    added: Counter[str] = field(default_factory=Counter)

    def add(self, prompt: str, revised: str) -> None:
        self.told += 1
        before, after = tokens(prompt), tokens(revised)
        self.words += len(after)
        self.texts.add(" ".join(revised.split()))
        if after == before:
            return
        self.rewritten += 1
        self.added.update(set(after) - set(before) - _PLAIN)


def rewriting_table(store: Store, probes: Sequence[Probe], *, level: float = 0.95) -> pd.DataFrame:
    """How often, and with which words, a service rewrote the prompts.

    A prompt counts as rewritten if its words differ, whatever their case and punctuation. `told` are the images whose
    service said what it used; the others are not known and in no share.

    Args:
        store: a run.
        probes: its probes.
        level: confidence level of the intervals.

    Returns:
        Columns `REWRITING`: all probes together first (with an empty `probe_id`), then each that has an image. No row
        where no image says what was made of its prompt.
    """
    import pandas as pd

    known = {probe.probe_id: probe for probe in probes}
    images: Counter[str] = Counter()
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    whole = _Tally()
    for table in _made(store):
        images.update({row["values"]: row["counts"] for row in table["probe_id"].value_counts().to_pylist()})
        for probe_id, revised in _rewritten(table):
            if known[probe_id].text:
                for tally in (tallies[probe_id], whole):
                    tally.add(known[probe_id].text, revised)
    if not whole.told:
        return pd.DataFrame(columns=list(REWRITING))
    whole.images = images.total()
    for probe_id, count in images.items():
        tallies[probe_id].images = count
    rows = [_row(None, whole, _mean_words(probes, tallies), level)]
    rows += [
        _row(probe, tallies[probe.probe_id], len(tokens(probe.text)), level)
        for probe in probes
        if probe.probe_id in tallies
    ]
    return pd.DataFrame(rows, columns=list(REWRITING))


def _mean_words(probes: Sequence[Probe], tallies: Mapping[str, _Tally]) -> float:
    """Mean number of words of the prompts, over the images whose service said what it used."""
    pairs = [(len(tokens(probe.text)), tallies[probe.probe_id].told) for probe in probes if probe.probe_id in tallies]
    return sum(words * told for words, told in pairs) / sum(told for _, told in pairs)


def _made(store: Store) -> Iterator[pa.Table]:
    """The samples that have an image, a part at a time."""
    import pyarrow.compute as pc

    for *_, table in store.sample_parts(["probe_id", "outcome", "details"]):
        yield table.filter(pc.equal(table["outcome"], "ok"))


def _rewritten(table: pa.Table) -> Iterator[tuple[str, str]]:
    """Probe and rewritten prompt of the images whose service said what it used."""
    import pyarrow.compute as pc

    told = table.filter(pc.match_substring(table["details"], '"revised_prompt"'))
    for probe_id, details in zip(told["probe_id"].to_pylist(), told["details"].to_pylist(), strict=True):
        if revised := json.loads(details).get("revised_prompt"):
            yield probe_id, str(revised)


def _row(probe: Probe | None, tally: _Tally, prompt_words: float, level: float) -> tuple[Any, ...]:
    from audit.statistics.intervals import wilson

    ends = wilson(tally.rewritten, tally.told, level)
    told = tally.told or float("nan")
    added = sorted(tally.added.items(), key=lambda item: (-item[1], item[0]))[:ADDED]
    return (
        *((probe.probe_id, probe.subject, probe.language, probe.template) if probe else ("", "", "", "")),
        *(tally.images, tally.told, tally.rewritten, tally.rewritten / told),
        *((float(ends.low), float(ends.high)) if tally.told else (float("nan"), float("nan"))),
        *(len(tally.texts), prompt_words, tally.words / told),
        ", ".join(f"{word} {count}" for word, count in added),
        "exploratory",
    )
