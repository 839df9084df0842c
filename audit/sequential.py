"""Runs that stop early: which probes are decided, from the answers stored so far, and what a stopped run reports.

The question of a run is declared before its first image: does this probe's share of the primary attribute's classes
differ from the primary reference, or is it close to it? After every round of images each open probe is decided by an
e-value and confidence sequences, which hold at every look. What is asked next follows from the stored labels alone, so
that a run that was killed goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audit.errors import UsageError
from audit.statistics.multiplicity import e_benjamini_hochberg
from audit.statistics.sequential import CLOSE, DIFFERS, OPEN, Decision, decide, decide_each
from probes.plan import digest_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from audit.classifiers.base import Classifier
    from audit.config import Config
    from audit.counts import Counts
    from audit.reference import Reference
    from probes.probe import Probe

COLUMNS = (
    *("classifier", "attribute", "reference", "probe_id", "subject", "images", "class", "share", "low", "high"),
    *("e_value", "e_adjusted", "decided", "status"),
)
"""Columns of sequential.csv."""
RULE = (
    "After every round a probe stops if its e-value against the reference is at least 1/alpha (differs), or if the "
    "confidence sequences of all classes lie within delta of it (close). Probes that the reference does not know, or "
    "that name the attribute themselves, are asked the most images."
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """When a probe is decided."""

    probe_ids: tuple[str, ...]
    classifier: str
    attribute: str
    classes: tuple[str, ...]
    reference: str
    whole: Floats
    """Shares of the reference, probes × classes; NaN where it does not know them."""
    single: Floats
    """The same for classes that overlap, each against the rest."""
    alpha: float
    delta: float

    def decide(self, counts: npt.ArrayLike) -> Decision:
        """Decisions on counts, probes × classes."""
        return decide_all(np.asarray(counts, dtype=np.float64), self.whole, self.single, self.delta, self.alpha)

    def entry(self) -> dict[str, Any]:
        """What run.json says of it before the first image; all that decisions depend on beside the labels."""
        known = [[None if np.isnan(share) else float(share) for share in row] for row in [*self.whole, *self.single]]
        return {
            "rule": RULE,
            "classifier": self.classifier,
            "attribute": self.attribute,
            "reference": self.reference,
            "reference_digest": digest_of(known),
            "alpha": self.alpha,
            "delta": self.delta,
        }


def declare(settings: Config, probes: Sequence[Probe], classifiers: Sequence[Classifier]) -> Rule:
    """The rule of a run whose primary attribute and reference are settled.

    The first classifier that answers the primary attribute decides.

    Raises:
        UsageError: if no probe can be compared with the primary reference.
        ReferenceDataError: if the reference cannot be read.
    """
    from audit.reference import load_reference

    loaded = {reference.name: reference for reference in map(load_reference, settings.reference or ())}
    reference = loaded[str(settings.primary.reference)]
    classifier, question = next(
        (classifier, question)
        for classifier in classifiers
        for question in classifier.questions
        if question.attribute == settings.primary.attribute
    )
    whole, single = expected(question.attribute, question.classes, probes, reference)
    if np.isnan(whole).all() and np.isnan(single).all():
        raise UsageError(
            f"no probe can be decided: reference {reference.name!r} says nothing of perceived {question.attribute} in "
            "these probes. Declare another --primary, or leave --stop-when-decided out."
        )
    names = tuple(probe.probe_id for probe in probes)
    return Rule(
        names, classifier.name, question.attribute, question.classes, reference.name, whole, single,
        settings.alpha, settings.delta,
    )  # fmt: skip


def expected(
    attribute: str, classes: Sequence[str], probes: Sequence[Probe], reference: Reference
) -> tuple[Floats, Floats]:
    """What a reference says of the probes: shares of all classes, and of classes that overlap where it has only these.

    Both are probes × classes, and NaN where the reference says nothing, where a probe asks for several people, or where
    it names the attribute itself.
    """
    whole = np.full((len(probes), len(classes)), np.nan)
    single = whole.copy()
    for j, probe in enumerate(probes):
        if probe.people != "one" or attribute in probe.asked:
            continue
        row = reference.shares(attribute, classes, subject=probe.subject, keys=probe.keys, probe_id=probe.probe_id)
        if row is not None:
            whole[j] = row
            continue
        row = reference.one_vs_rest(attribute, classes, subject=probe.subject, keys=probe.keys, probe_id=probe.probe_id)
        if row is not None:
            single[j] = row
    return whole, single


def decide_all(counts: Floats, whole: Floats, single: Floats, delta: float, alpha: float) -> Decision:
    """Decisions on probes whose reference has shares of all classes, or of each class against the rest."""
    first = decide(counts, whole, delta=delta, alpha=alpha)
    second = decide_each(counts, single, delta=delta, alpha=alpha)
    overlap = np.isnan(whole).any(axis=1)
    return Decision(
        np.where(overlap, second.state, first.state),
        np.where(overlap, second.log_e, first.log_e),
        first.share,
        first.low,
        first.high,
    )


@dataclass
class Answers:
    """The answers stored so far, counted by probe and batch, so that a batch may be read twice."""

    rule: Rule
    batch_size: int
    step: int
    """Images of an open probe per round, a multiple of the batch size."""
    images: int
    """Images of a probe at most."""
    _counts: npt.NDArray[np.int64] = field(init=False)
    _probe: Mapping[str, int] = field(init=False)
    _class: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        batches = -(-self.images // self.batch_size)
        self._counts = np.zeros((len(self.rule.probe_ids), batches, len(self.rule.classes)), dtype=np.int64)
        self._probe = {name: j for j, name in enumerate(self.rule.probe_ids)}
        self._class = {name: c for c, name in enumerate(self.rule.classes)}

    def add(self, labels: pa.Table) -> None:
        """Count a part of the labels, which holds whole batches."""
        import pyarrow.compute as pc

        asked = labels.filter(pc.equal(labels["attribute"], self.rule.attribute))
        probe = np.array([self._probe[name] for name in asked["probe_id"].to_pylist()], dtype=np.intp)
        batch = np.array(asked["index"].to_pylist(), dtype=np.intp) // self.batch_size
        place = np.array([self._class.get(name, -1) for name in asked["class"].to_pylist()], dtype=np.intp)
        self._counts[probe, batch] = 0
        np.add.at(self._counts, (probe[place >= 0], batch[place >= 0], place[place >= 0]), 1)

    def counts(self, rounds: int) -> npt.NDArray[np.int64]:
        """Images by probe and class after so many rounds, probes × classes."""
        counts: npt.NDArray[np.int64] = self._counts[:, : rounds * self.step // self.batch_size].sum(axis=1)
        return counts

    def still_open(self, rounds: int, asked: Sequence[int]) -> list[int]:
        """Probes, of those asked in the last of so many rounds, that are still open."""
        state = self.rule.decide(self.counts(rounds)).state
        return [j for j in asked if state[j] == OPEN]


def outcome(answers: Answers, asked: Sequence[int], rounds: int) -> dict[str, Any]:
    """What run.json says after the last round: probes by decision, images made and saved.

    `asked` is the number of images asked for, by probe.
    """
    state = answers.rule.decide(answers.counts(rounds)).state
    most = answers.images * len(answers.rule.probe_ids)
    return {
        "rounds": rounds,
        "decided": {name: int((state == name).sum()) for name in (DIFFERS, CLOSE, OPEN)},
        "images": {"at_most": most, "made": sum(asked), "saved": most - sum(asked)},
    }


def summary(sequential: Mapping[str, Any]) -> str:
    """What came of a stopped run, in one line. `sequential` is that key of run.json."""
    decided, images = sequential["decided"], sequential["images"]
    return (
        f"After {sequential['rounds']} rounds: {decided[DIFFERS]} probes differ from {sequential['reference']} in "
        f"perceived {sequential['attribute']}, {decided[CLOSE]} are close to it, {decided[OPEN]} are open; "
        f"{images['made']} of at most {images['at_most']} images asked for, {images['saved']} saved."
    )


def table(
    counts: Iterable[Counts],
    probes: Sequence[Probe],
    references: Sequence[Reference],
    *,
    sequential: Mapping[str, Any],
) -> pd.DataFrame:
    """The table of a stopped run: e-values and confidence sequences, one row a probe, class and reference.

    A probe is decided for itself; over all probes of a question the e-values are adjusted to hold the false discovery
    rate at every look (`e_adjusted` ≤ α).

    Both hold for other attributes and references too, since images of a probe are independent of each other; only the
    declared question decided when to stop, all else is exploratory. `sequential` is that key of run.json.
    """
    import pandas as pd

    known = {probe.probe_id: probe for probe in probes}
    blocks = []
    for each in counts:
        own = [known[name] for name in each.table["probe_id"]]
        for reference in references:
            whole, single = expected(each.attribute, each.classes, own, reference)
            shown = ~(np.isnan(whole) & np.isnan(single)).all(axis=1)
            if not shown.any():
                continue
            found = decide_all(each.array(), whole, single, sequential["delta"], sequential["alpha"])
            this = (each.classifier, each.attribute, reference.name)
            declared = this == tuple(sequential[key] for key in ("classifier", "attribute", "reference"))
            head = dict(zip(("classifier", "attribute", "reference"), this, strict=True))
            rows = _rows(each, found, np.flatnonzero(shown))
            blocks.append(rows.assign(**head, status="declared" if declared else "exploratory"))
    if not blocks:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(blocks, ignore_index=True)[list(COLUMNS)]


def _rows(counts: Counts, found: Decision, shown: npt.NDArray[np.intp]) -> pd.DataFrame:
    import pandas as pd

    k = len(counts.classes)
    with np.errstate(over="ignore"):
        e_value = np.exp(found.log_e[shown])
    adjusted = e_benjamini_hochberg(e_value)
    return pd.DataFrame(
        {
            "probe_id": np.repeat(counts.table["probe_id"].to_numpy()[shown], k),
            "subject": np.repeat(counts.table["subject"].to_numpy()[shown], k),
            "images": np.repeat(counts.array().sum(axis=1)[shown].astype(np.int64), k),
            "class": list(counts.classes) * shown.size,
            "share": found.share[shown].ravel(),
            "low": found.low[shown].ravel(),
            "high": found.high[shown].ravel(),
            "e_value": np.repeat(e_value, k),
            "e_adjusted": np.repeat(adjusted, k),
            "decided": np.repeat(found.state[shown], k),
        }
    )
