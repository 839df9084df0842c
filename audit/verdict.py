"""The gate: a run, a baseline and a policy → pass, fail or inconclusive, with known error rates."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.changes import part
from audit.compared import match
from audit.counts import Counts, eligible
from audit.errors import UsageError, nearest
from audit.looks import Looks, looks_of, said, stuck
from audit.pairs import Answers, Match, Question
from audit.policy import Line, Policy
from audit.shared_images import match_shared
from audit.statistics.gap_change import gap_change
from audit.statistics.noninferiority import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    Decision,
    at_rates,
    bound_of_gap,
    bound_of_share,
    decide_worsening,
    with_holm,
)
from audit.statistics.share_change import decide_share_change
from audit.statistics.worst_gap import bound_of_worst_gap

if TYPE_CHECKING:
    import pandas as pd

    from audit.reference import Reference
    from probes.probe import Probe

EXIT_CODES = {PASS: 0, FAIL: 3, INCONCLUSIVE: 4}
"""What `rolecall gate` ends with."""


@dataclass(frozen=True)
class Judged:
    """One line of a policy and what came of it."""

    line: Line
    classifier: str
    attribute: str
    verdict: str
    """`pass`, `fail` or `inconclusive`; a `fail` holds for all lines together (Holm)."""
    value: float
    """The worsening (new − baseline), or the measure itself; NaN where no probe can be used."""
    low: float
    """One-sided lower bound."""
    high: float
    """One-sided upper bound: to pass it must lie below the limit."""
    p_value: float
    """That the line is kept, adjusted over the lines (Holm)."""
    probes: int
    """Probes that were used."""
    images: float
    """Mean number of images a probe and run."""
    paired: bool
    """Whether images with equal seeds were compared."""
    images_needed: int | None
    """Images a probe and run that would decide it with a chance of 80 %; None if decided, or if no number would."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: the rule and the figures."""
        rule = {"name": self.line.name, **self.line.model_dump(exclude_none=True)}
        own = {key: value for key, value in vars(self).items() if key != "line"}
        return {**rule, **{key: None if isinstance(v, float) and np.isnan(v) else v for key, v in own.items()}}


@dataclass(frozen=True)
class Verdict:
    """What a gate says of a run."""

    run: str
    baseline: str
    """Name of the run that it was compared with; empty if no line compares."""
    policy: Policy
    found: str
    """`pass`, `fail` or `inconclusive`, as the lines say."""
    lines: tuple[Judged, ...]
    unpaired: str
    """Why images are not pairs, as half a sentence; empty if they are, or if there is no baseline."""
    looks: Looks
    """At how many images a probe it was judged, and at which error rates."""
    notes: tuple[str, ...] = ()
    """What a reader must know of the looks, and of lines that no further image of the run decides; a sentence each."""

    @property
    def verdict(self) -> str:
        """What the gate ends as: what was found, or what the policy makes of an inconclusive gate."""
        return self.policy.inconclusive if self.found == INCONCLUSIVE else self.found

    @property
    def exit_code(self) -> int:
        """0 pass, 3 fail, 4 inconclusive."""
        return EXIT_CODES[self.verdict]

    @property
    def images_needed(self) -> int | None:
        """Images a probe and run that would decide every line that can be decided; None if there is none."""
        return max((each.images_needed for each in self.lines if each.images_needed), default=None)

    def table(self) -> pd.DataFrame:
        """One row a line."""
        import pandas as pd

        return pd.DataFrame([{"line": each.line.name, **each.to_dict()} for each in self.lines]).drop(columns="name")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; what verdict.json holds."""
        return {
            "schema": 1,
            "verdict": self.verdict,
            "found": self.found,
            "run": self.run,
            "baseline": self.baseline,
            "alpha": self.policy.alpha,
            "wrong_pass": self.policy.wrong_pass_rate,
            "images": self.looks.images,
            "looks": self.looks.to_dict(),
            "inconclusive": self.policy.inconclusive,
            "unpaired": self.unpaired,
            "images_needed": self.images_needed,
            "notes": list(self.notes),
            "lines": [each.to_dict() for each in self.lines],
        }

    def __str__(self) -> str:
        count = {name: sum(each.verdict == name for each in self.lines) for name in EXIT_CODES}
        said = ", ".join(f"{number} {name}" for name, number in count.items() if number)
        needed = self.images_needed if self.found == INCONCLUSIVE else None
        more = f"; about {needed:,} images a probe and run would decide it" if needed else ""
        taken = f" (taken as {self.verdict})" if self.verdict != self.found else ""
        return f"{self.found}{taken}: {len(self.lines)} {'line' if len(self.lines) == 1 else 'lines'}, {said}{more}"

    def _repr_html_(self) -> str:
        columns = ["line", "verdict", "value", "low", "high", "p_value", "images_needed"]
        needed = ["" if line.images_needed is None else f"{line.images_needed:,}" for line in self.lines]
        table = (
            self.table()[columns]
            .assign(images_needed=needed)
            .to_html(index=False, float_format=lambda value: f"{value:.3f}", na_rep="")
        )
        against = f" against {html.escape(self.baseline)}" if self.baseline else ""
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<p><b>{self.found}</b>: {html.escape(self.run)}{against}</p>{table}{notes}"


def decide(new: Answers, old: Answers | None, policy: Policy, references: Mapping[str, Reference]) -> Verdict:
    """Judge a run by a policy.

    Lines are decided one by one; `fail` then holds for all of them together (Holm 1979), `pass` needs every line. A
    policy that declares several looks is judged with its part of the error rates at each. Of runs in pairs that have
    different numbers of images, those that both have are compared.

    Args:
        new: answers of the run.
        old: answers of the baseline; None if there is none.
        policy: what is asked.
        references: by name, all that the lines name.

    Returns:
        The verdict.

    Raises:
        UsageError: if a line compares and there is no baseline, names an attribute, classifier or reference that there
            is not, or the two runs do not fit.
    """
    compared = None
    if any(line.against_baseline for line in policy.lines):
        if old is None:
            raise UsageError(
                "the policy compares with a baseline. Name it with --baseline RUN or --baseline FILE.json."
            )
        compared = match_shared(old, new)
        _check_probes(old, new)
    looks = looks_of(policy, new, old if compared else None, paired=compared is not None and not compared.unpaired)
    each = [_judge(line, new, compared, looks, references) for line in policy.lines]
    decisions = with_holm([decision for decision, _ in each], looks.alpha)
    lines = tuple(
        Judged(
            line=line,
            verdict=decision.verdict,
            value=decision.worsening,
            low=decision.low,
            high=decision.high,
            p_value=decision.p_value,
            images_needed=decision.images_needed,
            **facts,
        )
        for line, decision, (_, facts) in zip(policy.lines, decisions, each, strict=True)
    )
    verdicts = {line.verdict for line in lines}
    found = FAIL if FAIL in verdicts else INCONCLUSIVE if INCONCLUSIVE in verdicts else PASS
    against = old if compared is not None else None
    notes = [*said(looks, policy), *stuck(lines, looks, against, policy)]
    name, why = (against.name, compared.unpaired) if against and compared else ("", "")
    return Verdict(new.name, name, policy, found, lines, why, looks, tuple(notes))


def _check_probes(old: Answers, new: Answers) -> None:
    """Refuse runs that were asked other prompts: a probe that was left out could be the one that worsened."""
    sets = [{probe.probe_id for probe in each.probes} for each in (old, new)]
    if apart := sorted(sets[0] ^ sets[1]):
        raise UsageError(
            f"{new.name} and {old.name} were asked different prompts: {len(apart)} are in one of them only, such as "
            f"{apart[0]!r}. Make both with the same suite."
        )


def default_policy(
    record: Mapping[str, Any], counts: Sequence[Counts], probes: Sequence[Probe], references: Mapping[str, Reference]
) -> Policy:
    """The gap of each attribute may worsen by .05 against the baseline.

    From the primary reference, or the first reference of the run that knows the attribute; by the first classifier.

    Raises:
        UsageError: if no reference knows an attribute.
    """
    primary = record.get("primary") or {}
    first = _first(record, {each.classifier for each in counts})
    names = [str(primary.get("reference")), *references]
    lines = []
    for each in counts:
        if each.classifier != first:
            continue
        shown = eligible(each, probes)
        known = (
            name
            for name in dict.fromkeys(names)
            if name in references and not np.isnan(match(each, probes, shown, references[name]).whole).all()
        )
        if (reference := next(known, None)) is not None:
            lines.append(Line(measure="gap", attribute=each.attribute, reference=reference, within=0.05))
    if not lines:
        raise UsageError(
            "no reference of the run knows its probes. Compare with one: rolecall analyze RUN --reference NAME"
        )
    return Policy(lines=tuple(lines))


def _first(record: Mapping[str, Any], known: set[str]) -> str:
    stopped = (record.get("sequential") or {}).get("classifier")
    return str(stopped or next((name for name in record["classifiers"] if name in known), ""))


def _judge(
    line: Line, new: Answers, compared: Match | None, looks: Looks, references: Mapping[str, Reference]
) -> tuple[Decision, dict[str, Any]]:
    counts = _counts_of(line, new)
    facts = {"classifier": counts.classifier, "attribute": counts.attribute, "paired": False}
    if line.against_baseline and compared is not None:
        question = _question_of(counts, compared)
        facts["paired"] = question.pairs is not None
        decision, probes, images = _against(line, question, looks, references)
    else:
        decision, probes, images = _alone(line, counts, new.probes, looks, references)
    return decision, {**facts, "probes": probes, "images": images}


def _counts_of(line: Line, new: Answers) -> Counts:
    """The answers that a line is about."""
    classifiers = {name for name, _ in new.counts}
    classifier = line.classifier or _first(new.record, classifiers)
    if classifier not in classifiers:
        raise UsageError(
            f"the line {line.name!r} names a classifier that {new.name} lacks. {nearest(classifier, classifiers)}"
        )
    attributes = [attribute for name, attribute in new.counts if name == classifier]
    primary = str((new.record.get("primary") or {}).get("attribute"))
    attribute = line.attribute or (primary if primary in attributes else attributes[0])
    if attribute not in attributes:
        raise UsageError(
            f"the line {line.name!r} names an attribute that {classifier} did not label in {new.name}. "
            f"{nearest(attribute, attributes)}"
        )
    return new.counts[classifier, attribute]


def _question_of(counts: Counts, compared: Match) -> Question:
    for question in compared.questions:
        if (question.classifier, question.attribute) == (counts.classifier, counts.attribute):
            return question
    raise UsageError(f"the baseline cannot be compared in {counts.attribute}: {' '.join(compared.left_out)}")


def _reference(line: Line, references: Mapping[str, Reference]) -> Reference:
    name = str(line.reference)
    if name not in references:
        raise UsageError(f"the line {line.name!r} names an unknown reference. {nearest(name, references)}")
    return references[name]


def _against(
    line: Line, question: Question, looks: Looks, references: Mapping[str, Reference]
) -> tuple[Decision, int, float]:
    """A line that compares with the baseline."""
    if line.measure == "gap":
        shown = eligible(question.baseline, question.probes)
        reference = _known(line, question.baseline, question.probes, shown, references)
        change = gap_change(
            question.other.array(),
            question.baseline.array(),
            reference,
            paired=question.pairs,
            ordered=question.baseline.ordered,
            same=question.same,
        )
        decision = _at(looks, lambda alpha: decide_worsening(change, delta=line.limit, alpha=alpha))
        return decision, int(change.probes[0]), float(change.images[0])
    places = np.flatnonzero([probe.people == "one" for probe in question.probes])
    new, old = (_lost(part(each, places)) for each in (question.other, question.baseline))
    pairs = None if question.lost is None else question.lost[places][:, ::-1, ::-1]
    rule: Any = {"paired": pairs, "same": question.same, "delta": line.limit}
    decision = _at(looks, lambda alpha: decide_share_change(*new, *old, **rule, alpha=alpha))
    return decision, len(places), float(np.mean([new[1], old[1]])) if len(places) else float("nan")


def _alone(
    line: Line, counts: Counts, probes: Sequence[Probe], looks: Looks, references: Mapping[str, Reference]
) -> tuple[Decision, int, float]:
    """A line about the run itself."""
    if line.measure in ("gap", "worst_probe"):
        shown = eligible(counts, probes)
        reference = _known(line, counts, probes, shown, references)
        x = counts.array()
        used = (x.sum(axis=1) > 1) & ~np.isnan(reference).any(axis=1)
        bound = bound_of_gap if line.measure == "gap" else bound_of_worst_gap
        decision = _at(looks, lambda alpha: bound(x, reference, line.limit, ordered=counts.ordered, alpha=alpha))
        return decision, int(used.sum()), float(x[used].sum(axis=1).mean()) if used.any() else float("nan")
    places = np.flatnonzero([probe.people == "one" for probe in probes])
    lost, asked = _lost(part(counts, places))
    images = float(asked.mean()) if len(places) else float("nan")
    if line.measure == "missing":
        lost, asked = lost.sum(keepdims=True), asked.sum(keepdims=True)
    return _at(looks, lambda alpha: bound_of_share(lost, asked, line.limit, alpha=alpha)), len(places), images


def _at(looks: Looks, judge: Callable[[float], Decision]) -> Decision:
    return at_rates(judge, looks.alpha, looks.wrong_pass)


def _known(line: Line, counts: Counts, probes: Sequence[Probe], shown: Any, references: Mapping[str, Reference]) -> Any:
    """Shares of the reference, probes × classes.

    Raises:
        UsageError: if it has no whole shares for any of the probes.
    """
    matched = match(counts, probes, shown, _reference(line, references))
    if np.isnan(matched.whole).all():
        raise UsageError(
            f"the line {line.name!r} cannot be decided: {line.reference} has no shares of all classes of "
            f"{counts.attribute} for any probe. Name another reference."
        )
    return matched.whole


def _lost(counts: Counts) -> tuple[Any, Any]:
    """Images without a class, and images asked for, one number a probe."""
    asked = counts.table["asked"].to_numpy(dtype=np.float64)
    return asked - counts.array().sum(axis=1), asked
