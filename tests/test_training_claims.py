"""What may be claimed against counted images: the rule holds where a classifier errs differently on the two sides.

Oracle: images simulated with known shares, error rates and labels, so that every false claim is known to be one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audit.amplified import DELTA, LABELS, claim
from audit.calibration import Calibration
from audit.compared import Settings
from audit.corrections import Evidence
from audit.counts import ANSWERED, Counts
from audit.patterns import AMPLIFICATION
from audit.reference import Reference, Seen
from audit.reference_files import from_counts
from audit.statistics.growth import Side, directions, growth, growth_with_labels
from probes.probe import Probe

SUBJECTS = 12
SHARES = np.linspace(0.06, 0.94, SUBJECTS)
MODEL = np.full(SUBJECTS, 40)
TRAINING = np.array([60, 90, 1500, 200, 80, 400, 700, 120, 2000, 100, 300, 1000])
TELLING = Settings("list", ("", "", ""), 0.05, 0.05, 200, 0, False)

Floats = npt.NDArray[np.float64]


def simulated(shares: Floats, images: Any, errors: tuple[float, float], labels: int, rng: np.random.Generator) -> Side:
    """Images of women and men, answered with a sensitivity and a specificity; some of them labelled by people."""
    women = rng.binomial(images, shares)
    hits, misses = rng.binomial(women, errors[0]), rng.binomial(images - women, 1 - errors[1])
    cells = np.stack([hits, women - hits, misses, images - women - misses], axis=1)
    drawn = rng.multivariate_hypergeometric(cells.ravel(), labels, method="marginals") if labels else 0 * cells
    known = np.asarray(drawn, dtype=np.float64).reshape(-1, 2, 2)
    return Side(cells.reshape(-1, 2, 2).sum(axis=1).astype(np.float64), known, known)


def plain(a: Side, b: Side) -> tuple[float, float, float]:
    found = growth(a.answers[:, 0], a.answers.sum(axis=1), b.answers[:, 0], b.answers.sum(axis=1), even=0.5)
    return tuple(float(end) for end in found.growth)  # type: ignore[return-value]


# -- the statistics --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("errors", [((0.97, 0.97), (0.85, 0.85)), ((0.98, 0.90), (0.86, 0.96))])
def test_with_labels_equal_sides_are_claimed_to_differ_in_at_most_5_percent(errors: Any) -> None:
    """Equal perceived shares, other error rates: at most 9 of 100 false claims (P = .03 at a true rate of .05)."""
    rng = np.random.default_rng(1)
    false = told = naive = 0
    for draw in range(100):
        a = simulated(SHARES, MODEL, errors[0], 200, rng)
        b = simulated(SHARES, TRAINING, errors[1], 300, rng)
        found = growth_with_labels(a, b, 0, 2, even=0.5)
        if found is not None:
            told += 1
            false += bool(found.growth.low > 0 or found.growth.high < 0)
        if draw < 30:
            naive += plain(a, b)[1] > 0 or plain(a, b)[2] < 0
    assert told > 80
    assert false <= 9
    if errors[0] == (0.97, 0.97):
        assert naive > 12  # what the rule is there for


def test_with_labels_a_true_growth_is_found() -> None:
    rng = np.random.default_rng(2)
    steeper = 1 / (1 + ((1 - SHARES) / SHARES) ** 2.2)
    truth = float(np.mean(np.sign(SHARES - 0.5) * (steeper - SHARES)))
    covered = 0
    for _ in range(60):
        a = simulated(steeper, MODEL * 3, (0.97, 0.97), 300, rng)
        b = simulated(SHARES, TRAINING, (0.88, 0.88), 500, rng)
        found = growth_with_labels(a, b, 0, 2, even=0.5)
        assert found is not None
        covered += bool(found.growth.low <= truth <= found.growth.high)
    assert truth > 0.08
    assert covered >= 52  # P = .01 at a coverage of 95 %


def test_the_delta_rule_keeps_its_promise() -> None:
    """Errors that move every share by at most δ = .05: at most 2.5 % of claims in either direction (8 of 150)."""
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(150):
        a = simulated(SHARES, MODEL, (0.98, 0.98), 0, rng)
        b = simulated(SHARES, TRAINING, (0.95, 0.95), 0, rng)
        false += plain(a, b)[1] > 0.05 or plain(a, b)[2] < -0.05
    assert false <= 8


def test_the_direction_of_both_sides_makes_neither_lean_further() -> None:
    """Even shares and few images: a direction taken from one side would give −.06 on average."""
    rng = np.random.default_rng(4)
    values, one_sided = [], []
    for _ in range(300):
        a, b = rng.binomial(30, 0.5, SUBJECTS), rng.binomial(60, 0.5, SUBJECTS)
        difference = a / 30 - b / 60
        values.append(np.mean(directions(a, 30 + 0 * a, b, 60 + 0 * b, 0.5) * difference))
        one_sided.append(np.mean(np.where(b >= 30, 1, -1) * difference))
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(300)
    assert np.mean(one_sided) < -0.04


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=20, deadline=None)
def test_the_other_class_and_the_other_side_say_the_same(seed: int, labelled: bool) -> None:
    rng = np.random.default_rng(seed)
    a = simulated(SHARES, MODEL, (0.95, 0.9), 200 * labelled, rng)
    b = simulated(SHARES[::-1].copy(), TRAINING, (0.9, 0.95), 300 * labelled, rng)

    both = a.answers + b.answers
    assume(
        not (both[:, 0] == both[:, 1]).any()
    )  # a subject that leans nowhere counts as leaning to the class asked for

    def told(one: Side, two: Side, c: int) -> Any:
        if labelled:
            return growth_with_labels(one, two, c, 2, even=0.5)
        n = [side.answers.sum(axis=1) for side in (one, two)]
        return growth(one.answers[:, c], n[0], two.answers[:, c], n[1], even=0.5)

    woman, man, turned = told(a, b, 0), told(a, b, 1), told(b, a, 0)
    if woman is not None:
        assert float(woman.difference.value) == pytest.approx(-float(man.difference.value), abs=1e-9)
        assert float(woman.difference.value) == pytest.approx(-float(turned.difference.value), abs=1e-9)
        assert float(woman.growth.low) == pytest.approx(-float(turned.growth.high), abs=1e-3)


def test_few_labels_are_no_labels() -> None:
    rng = np.random.default_rng(5)
    a = simulated(SHARES, MODEL, (0.95, 0.95), 200, rng)
    few = simulated(SHARES, TRAINING, (0.95, 0.95), 12, rng)
    assert growth_with_labels(a, few, 0, 2, even=0.5) is None
    assert growth_with_labels(few, a, 0, 2, even=0.5) is None


# -- the table -------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    counts: Counts
    probes: list[Probe]
    reference: Reference
    evidence: Evidence


def case(shares: Floats, *, labels: int, people: str = "classifier") -> Case:
    """A model of two probes a subject beside a training set in which women are .5 + (share − .5)/2."""
    rng = np.random.default_rng(6)
    model, training = (
        simulated(shares, 2 * MODEL, (0.96, 0.96), labels, rng),
        simulated(0.5 + (shares - 0.5) / 2, TRAINING, (0.9, 0.9), labels, rng),
    )
    names = [f"job{j}" for j in range(SUBJECTS)]
    probes = [Probe(f"{name}.{t}", name, name, "occupation", template=t) for name in names for t in ("a", "b")]
    halves = np.repeat(model.answers / 2, 2, axis=0)
    halves[::2], halves[1::2] = np.floor(halves[::2]), np.ceil(halves[1::2])
    table = pd.DataFrame([{"probe_id": p.probe_id, "subject": p.subject, "language": "en"} for p in probes])
    table = table.assign(template="", people="one", refused=0, failed=0, unclear=0, no_person=0, several_people=0)
    table = table.assign(class__woman=halves[:, 0], class__man=halves[:, 1], asked=1000, made=1000)
    classes = ("woman", "man")
    predicted = (*classes, *ANSWERED)
    wide = np.zeros((SUBJECTS, 2, 5))
    wide[:, :, :2] = model.labels
    by_probe = {f"{name}.a": wide[j] for j, name in enumerate(names)}
    whole = wide.sum(axis=0)
    calibration = Calibration(
        *("machine", "gender", classes, classes, predicted, whole, whole, whole, "audited", labels),
        by_probe=by_probe,
        images_by_probe=by_probe,
        squares_by_probe=by_probe,
    )
    rows = {n: dict(zip(classes, map(float, training.answers[j]), strict=True)) for j, n in enumerate(names)}
    cells = {
        name: {
            (viewer, answer): (float(training.labels[j, y, c]),) * 2
            for y, viewer in enumerate(classes)
            for c, answer in enumerate(classes)
        }
        for j, name in enumerate(names)
    }
    seen = Seen({"gender": rows}, {"gender": cells} if labels else {})
    reference = from_counts(Reference("training-x", {}, {"gender": rows}, images=people, seen=seen), "x")
    counts = Counts("machine", "gender", classes, ordered=False, table=table)
    return Case(counts, probes, reference, Evidence(calibration if labels else None, people=people == "people"))


def told(found: Case, **changes: Any) -> Any:
    """The row of amplification.csv, with its claim."""
    row = {**dict.fromkeys(AMPLIFICATION, np.nan), "classifier": "machine", "attribute": "gender", "class": "woman"}
    row |= {"reference": "training-x", "evidence": "", "conclusion": "", "status": "exploratory"}
    reference = replace(found.reference, **changes)
    evidence = {("machine", "gender"): found.evidence}
    return claim(pd.DataFrame([row]), [found.counts], found.probes, [reference], evidence, TELLING).iloc[0]


def test_an_amplification_is_claimed_with_labels_and_beyond_delta() -> None:
    with_labels, without = told(case(SHARES, labels=400)), told(case(SHARES, labels=0))
    assert (with_labels["evidence"], with_labels["conclusion"]) == (LABELS, "amplified")
    assert (without["evidence"], without["conclusion"]) == (DELTA, "amplified")
    assert with_labels["growth_low"] <= 0.12 <= with_labels["growth_high"]  # the planted growth
    assert abs(with_labels["difference"]) < 0.05


def test_labels_on_one_side_only_are_no_labels() -> None:
    found = case(SHARES, labels=400)
    one = told(found, seen=Seen(found.reference.seen.answers, {}))
    assert one["evidence"] == told(found._replace(evidence=Evidence()))["evidence"] == DELTA
    assert told(found, seen=None)["evidence"] == DELTA


def test_labels_by_people_themselves_need_no_margin() -> None:
    row = told(case(SHARES, labels=0, people="people"))
    assert (row["evidence"], row["conclusion"]) == (LABELS, "amplified")


def test_statistics_are_compared_as_before() -> None:
    row = told(case(SHARES, labels=400), images="")
    assert (row["evidence"], row["conclusion"]) == ("", "")
    assert np.isnan(row["growth"])


def test_probes_of_one_subject_count_the_reference_once() -> None:
    """Two probes a subject, or one with all of its images: the same interval."""
    found = case(SHARES, labels=0)
    table = found.counts.table
    sums = table.groupby("subject", sort=False)[["class__woman", "class__man"]].sum().to_numpy()
    single = table.iloc[::2].reset_index(drop=True).assign(class__woman=sums[:, 0], class__man=sums[:, 1])
    one = told(found._replace(counts=replace(found.counts, table=single), probes=found.probes[::2]))
    assert one["growth_low"] == pytest.approx(told(found)["growth_low"], abs=1e-12)
