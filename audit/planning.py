"""Planning: how many probes and images find what one wants to find, in words, as tables, and what they cost."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audit.config import explain
from audit.errors import UsageError

if TYPE_CHECKING:
    from audit.statistics.power_gap import Change

LADDER = (10, 25, 50, 100, 200, 400, 800)
"""Images a probe in the tables."""
MOST_CORRECTED = 50_000
"""Images a probe that are tried with corrected shares."""


class Question(BaseModel):
    """What is to be found, and what is assumed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    share: float = Field(default=0.7, ge=0, le=1)
    """True share of a class in one probe."""
    reference_share: float = Field(default=0.5, gt=0, lt=1)
    """Its share in the reference."""
    probes: int = Field(default=50, ge=2)
    """Number of probes."""
    images: int | None = Field(default=None, ge=2)
    """Images a probe, if they are given; else they are planned."""
    gap: float = Field(default=0.3, ge=0, lt=1)
    """Gap of the model from the reference, before a change."""
    difference: float = Field(default=0.05, gt=0, le=1)
    """Change of the gap to be found, between two models or versions; and the worsening that the gate tolerates."""
    between: float | None = Field(default=None, ge=0, le=1)
    """Standard deviation of the tilt between probes; by default half of the squared gap lies between them."""
    paired: bool = False
    """Whether both runs use the same seeds."""
    correlation: float = Field(default=0.5, ge=0, lt=1)
    """Correlation of the classes of two images with the same seed, if they are paired."""
    differing: float = Field(default=0.5, ge=0, le=1)
    """Part of the probes that differ from the reference as much as this one."""
    power: float = Field(default=0.9, gt=0, lt=1)
    """Chance to find it."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Level of the tests."""
    sensitivity: float | None = Field(default=None, ge=0, le=1)
    """Part of the images of the class that the classifier finds."""
    specificity: float | None = Field(default=None, ge=0, le=1)
    """Part of the other images that it leaves."""
    labels: int | None = Field(default=None, ge=4)
    """Images that people label to measure both; without them both are taken as known."""
    seconds_per_image: float | None = Field(default=None, ge=0)
    """Time to make and label an image."""
    cost_per_image: float | None = Field(default=None, ge=0)
    """Price of an image, in any currency."""


@dataclass(frozen=True)
class Table:
    """A small table of a plan."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def lines(self) -> Iterator[str]:
        """The table as aligned text."""
        cells = [self.columns, *(tuple(_cell(value) for value in row) for row in self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        yield self.title
        for row in cells:
            yield "  " + "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))


@dataclass(frozen=True)
class Plan:
    """Images and probes that answer a question, with the chances that they do. Made by `audit.power`."""

    question: Question
    answers: dict[str, Any] = field(default_factory=dict)
    """Planned numbers by name; None where no number of images is enough."""
    sentences: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The plan for programs, JSON-able."""
        tables = [
            {"title": table.title, "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows]}
            for table in self.tables
        ]
        return {"question": self.question.model_dump(), "answers": self.answers, "tables": tables}

    def __str__(self) -> str:
        blocks = ["\n".join(self.sentences), *("\n".join(table.lines()) for table in self.tables)]
        return "\n\n".join(blocks)

    def _repr_html_(self) -> str:
        words = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in self.sentences)
        tables = []
        for table in self.tables:
            head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
            rows = "".join(
                "<tr>" + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row) + "</tr>"
                for row in table.rows
            )
            tables.append(f"<table><caption>{html.escape(table.title)}</caption><tr>{head}</tr>{rows}</table>")
        return words + "".join(tables)


def power(**options: Any) -> Plan:
    """Plan images and probes: how many are needed to find a difference, and what they cost.

    Args:
        **options: the fields of `audit.planning.Question`, which are the options of `rolecall power`.

    Returns:
        The plan: its tables, and in words as `str`.

    Raises:
        UsageError: if an option is unknown or out of range, or the question asks for something that cannot be found.
    """
    try:
        question = Question(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        raise UsageError(explain(error, Question, "the question")) from None
    _check(question)
    plan = Plan(question)
    try:
        _one_probe(plan)
        if question.sensitivity is not None:
            _corrected(plan)
        _gap(plan)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return plan


def _one_probe(plan: Plan) -> None:
    from audit.statistics.power import images_for_equivalence, images_for_test, power_among_many, power_of_test

    q, answers = plan.question, plan.answers
    pair = q.share, q.reference_share
    level: dict[str, Any] = {"power": q.power, "alpha": q.alpha}
    many: dict[str, Any] = {"probes": q.probes, "differing": q.differing}
    answers["images_alone"] = images_for_test(*pair, **level)
    answers["images_among_many"] = images_for_test(*pair, **{**level, **many})
    answers["images_only_one"] = images_for_test(*pair, **level, probes=q.probes, differing=0.0)
    answers["images_to_show_close"] = images_for_equivalence(q.reference_share, delta=q.difference, **level)
    among = answers["images_among_many"]
    plan.sentences.append(
        f"One probe: a share of {q.share:g} instead of {q.reference_share:g} is found with a chance of {q.power:.0%} "
        f"by {_images(answers['images_alone'])} (exact binomial test, α = {q.alpha:g}). As one of {q.probes} probes of "
        f"which {q.differing:.0%} differ as much it takes {_images(among)} a probe{_all(q, among, q.probes)} "
        "(Benjamini–Hochberg); as the only one that differs, "
        f"{_images(answers['images_only_one'])}."
    )
    plan.sentences.append(
        f"To show that a share of {q.reference_share:g} lies within ±{q.difference:g} of the reference takes "
        f"{_images(answers['images_to_show_close'])} of a probe."
    )
    rows = []
    planned = (q.images, answers["images_alone"], among)
    for images in sorted({*LADDER, *(number for number in planned if number)}):
        alone = float(power_of_test(*pair, images, alpha=q.alpha))
        one_of = power_among_many(*pair, images, **many, alpha=q.alpha)
        only = power_among_many(*pair, images, q.probes, differing=0.0, alpha=q.alpha)
        rows.append((images, alone, one_of, only, images * q.probes))
    plan.tables.append(
        Table(
            f"Chance to find a share of {q.share:g} instead of {q.reference_share:g}",
            ("images a probe", "one probe alone", f"one of {q.probes}", "only one that differs", "images in all"),
            tuple(rows),
        )
    )
    if q.images:
        answers["power_alone"], answers["power_among_many"] = next(row[1:3] for row in rows if row[0] == q.images)
        plan.sentences.append(
            f"With {_images(q.images)} a probe{_all(q, q.images, q.probes)} it is found with a chance of "
            f"{answers['power_alone']:.0%} alone and {answers['power_among_many']:.0%} as one of {q.probes}."
        )


def _corrected(plan: Plan) -> None:
    from audit.statistics.power import first_from_which, images_for_test
    from audit.statistics.power_noise import noise_factor, power_with_noise

    q, answers = plan.question, plan.answers
    se, sp = float(q.sensitivity or 0), float(q.specificity or 0)
    factor = float(noise_factor(q.share, se, sp))
    seen, seen_reference = (p * se + (1 - p) * (1 - sp) for p in (q.share, q.reference_share))
    known = images_for_test(seen, seen_reference, power=q.power, alpha=q.alpha)
    answers["noise_factor"], answers["images_known_errors"] = factor, known
    errors = f"sensitivity {se:g} and specificity {sp:g}"
    text = (
        f"Label noise: with {errors}, known exactly, one probe takes {_images(known)}; its corrected share needs "
        f"{factor:.2f} times as many images as labels without error."
    )
    if q.labels is not None:
        noise: dict[str, Any] = {"sensitivity": se, "specificity": sp, "labels": q.labels, "alpha": q.alpha}

        def found(images: int) -> float:
            return power_with_noise(q.share, q.reference_share, images, **noise)

        needed = first_from_which(lambda images: found(images) >= q.power, most=MOST_CORRECTED)
        answers["images_with_labels"] = needed
        text += f" Measured with {q.labels} human labels, it takes {_images(needed)}"
        text += "." if needed else f": the chance stays at {found(MOST_CORRECTED):.0%} at most. Label more images."
    plan.sentences.append(text)


def _gap(plan: Plan) -> None:
    from audit.statistics.power_gap import images_for_gap, power_of_gap_change, power_of_gate, probes_for_gap

    q, answers = plan.question, plan.answers
    change = _change(q)
    same = change._replace(after=change.before)
    level: dict[str, Any] = {"power": q.power, "alpha": q.alpha}
    answers["images_for_list"] = images_for_gap(change, q.probes, **level)
    answers["images_for_population"] = images_for_gap(change, q.probes, claim="population", **level)
    answers["images_to_pass"] = images_for_gap(same, q.probes, tolerance=q.difference, **level)
    of_list, of_population, to_pass = (answers[f"images_{name}"] for name in ("for_list", "for_population", "to_pass"))
    step = f"{q.gap:g} to {q.gap + q.difference:g}"
    seeds = f"the same seeds, correlation {q.correlation:g}" if q.paired else "other seeds"
    plan.sentences.append(
        f"The gap: a change from {step} between two runs of {q.probes} probes ({seeds}) is found with a chance of "
        f"{q.power:.0%} by {_images(of_list)} a probe and run{_all(q, of_list, 2 * q.probes)}, in a claim about this "
        f"list of probes; about probes such as these, by {_images(of_population)} a probe and run"
        f"{_all(q, of_population, 2 * q.probes)}."
    )
    plan.sentences.append(
        f"The gate: a model that did not worsen passes a tolerance of {q.difference:g} with a chance of {q.power:.0%} "
        f"with {_images(to_pass)} a probe and run{_all(q, to_pass, 2 * q.probes)}."
    )
    budget = q.probes * (q.images or of_population or of_list or 100)
    rows = []
    for probes in sorted({q.probes, *(max(3, round(q.probes * f)) for f in (0.1, 0.2, 0.5, 2, 5))}):
        images = round(budget / probes)
        if images >= 4:
            chances = [
                power_of_gap_change(change, probes, images, claim=c, alpha=q.alpha) for c in ("list", "population")
            ]
            gate = power_of_gate(same, probes, images, tolerance=q.difference, alpha=q.alpha)
            rows.append((probes, images, 2 * probes * images, *chances, gate))
    plan.tables.append(
        Table(
            f"More probes or more images: chance to find the change from {step}",
            ("probes", "images a probe", "images in both", "these probes", "such probes", "gate passes"),
            tuple(rows),
        )
    )
    if q.images:
        answers["probes_for_population"] = probes_for_gap(change, q.images, claim="population", **level)
        plan.sentences.append(
            f"With {_images(q.images)} a probe, a claim about such probes takes "
            f"{_count(answers['probes_for_population'], 'probe')}."
        )


def _change(q: Question) -> Change:
    """Shares of the probes before and after the change: each goes on along its own way from the reference."""
    import numpy as np

    from audit.statistics.power_gap import Change, changed, squared_gap, typical_shares

    reference = np.array([q.reference_share, 1 - q.reference_share])
    target = q.gap + q.difference
    start = q.gap or target
    spread = start * 0.5**0.5 if q.between is None else q.between
    shares = typical_shares(start, spread, q.reference_share)
    before = shares if q.gap else changed(shares, reference, 0.0)
    low, high = 0.0, 1e3
    for _ in range(60):
        middle = (low + high) / 2
        short = squared_gap(changed(shares, reference, middle), reference) < target**2
        low, high = (middle, high) if short else (low, middle)
    after = changed(shares, reference, high)
    if abs(squared_gap(after, reference) ** 0.5 - target) > 1e-3:
        raise ValueError(f"these probes cannot have a gap of {target:g}: ask for a smaller --difference or --between.")
    return Change(before, after, reference, q.correlation if q.paired else 0.0)


def _check(q: Question) -> None:
    """Refuse what no single option says.

    Raises:
        UsageError: if two options do not go together.
    """
    if q.gap + q.difference > 1:
        raise UsageError(
            f"a gap is at most 1: it cannot grow from {q.gap:g} by {q.difference:g}. Ask for a smaller --difference."
        )
    if (q.sensitivity is None) != (q.specificity is None) or (q.labels is not None and q.sensitivity is None):
        raise UsageError("label noise needs --sensitivity and --specificity together, and --labels both of them.")
    if q.sensitivity is not None and q.specificity is not None and q.sensitivity + q.specificity <= 1:
        raise UsageError(
            "a classifier whose sensitivity and specificity add up to 1 or less tells nothing "
            f"(got {q.sensitivity:g} and {q.specificity:g}). Use another classifier."
        )


def _images(count: int | None) -> str:
    return _count(count, "image")


def _count(count: int | None, noun: str) -> str:
    if count is None:
        return f"no number of {noun}s"
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _all(q: Question, images: int | None, probes: int) -> str:
    """The number of images in all, with time and price if these are given."""
    if images is None:
        return ""
    total = images * probes
    parts = [f"{total:,} in all"]
    if q.seconds_per_image is not None:
        parts.append(_duration(total * q.seconds_per_image))
    if q.cost_per_image is not None:
        parts.append(f"at a cost of {total * q.cost_per_image:,.2f}")
    return f" ({', '.join(parts)})"


def _duration(seconds: float) -> str:
    for size, unit in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _cell(value: Any) -> str:
    return f"{value:.0%}" if isinstance(value, float) else f"{value:,}"
