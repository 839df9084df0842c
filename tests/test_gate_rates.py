"""Whole gates, of three lines, on models whose shares are known: how often they fail and pass wrongly.

The rates of one line are simulated by `benchmarks/experiments/gate.py`; here the verdict of the policy is judged, which
holds for all lines together (Holm). The oracle is the binomial distribution of so many gates at the promised rate.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats
from stored import CLASSES, probes_of

from audit.corrections import Evidence
from audit.counts import Counts
from audit.pairs import Answers
from audit.policy import Line, Policy
from audit.reference import load_reference
from audit.verdict import Verdict, decide

PROBES, IMAGES, GATES = 24, 30, 250
TIED = 0.5
"""Part of the images of the two runs that come from the same random number."""
ALPHA, DELTA = 0.05, 0.05
GAP, LOST = 0.5, 0.1
MOST = int(stats.binom.isf(1e-3, GATES, ALPHA))
"""Errors at the promised rate that are exceeded once in a thousand tests."""
QUESTION = {"attribute": "gender", "classes": list(CLASSES["gender"]), "ordered": False}
ASKED = tuple(probes_of(PROBES))
NAMES = [probe.probe_id for probe in ASKED]
LETTERS = np.array([*CLASSES["gender"], "no_person"], dtype=object)
WAY = np.random.default_rng(3).uniform(0.5, 1.5, PROBES)
"""How far the share of each prompt lies from ½, in parts of the gap."""


TABLE = pd.DataFrame({"probe_id": NAMES, "subject": NAMES, "asked": IMAGES, "made": IMAGES}).assign(
    kind="occupation", language="en", form="", template="", people="one", refused=0, failed=0, unclear=0
)
LABELS = pd.DataFrame(
    {"probe_id": np.repeat(NAMES, IMAGES), "index": np.tile(np.arange(IMAGES), PROBES), "attribute": "gender"}
)
ABOUT = {"measure": "gap", "attribute": "gender", "reference": "uniform"}


def run(name: str, answers: np.ndarray) -> Answers:
    """A run in memory; `answers`, prompts × images, are places in `LETTERS`."""
    number = (answers[:, :, None] == np.arange(3)).sum(axis=1).T
    table = TABLE.assign(several_people=0, no_person=number[2], class__woman=number[0], class__man=number[1])
    counts = Counts("chosen", "gender", CLASSES["gender"], False, table)
    labels = LABELS.assign(**{"class": LETTERS[answers.ravel()]})
    record = {
        "name": name,
        "primary": {"attribute": "gender", "reference": "uniform"},
        "plan": {"seed": 0, "images": IMAGES},
        "model": {"name": name, "fingerprint": {"name": name}},
        "suite": {"name": "chosen", "version": "1", "digest": ""},
        "classifiers": {"chosen": {"fingerprint": {}, "questions": [QUESTION], "card": {}}},
    }
    key = ("chosen", "gender")
    return Answers(name, record, ASKED, {key: counts}, {"chosen": labels}, {key: Evidence()})


def play(worse: float, lines: tuple[Line, ...], seed: int) -> list[Verdict]:
    """Gates on pairs of models, the new one with a gap worse by so much; a gap is √ of the mean of (2p − 1)²."""
    rng = np.random.default_rng([seed, 5])
    policy, references = Policy(alpha=ALPHA, lines=lines), {"uniform": load_reference("uniform")}
    way = WAY / np.sqrt((WAY**2).mean())
    verdicts = []
    for _ in range(GATES):
        old, new = rng.random((2, 2, PROBES, IMAGES))
        numbers = (old, np.where(rng.random((PROBES, IMAGES)) < TIED, old, new))
        runs = []
        for name, gap, (face, lost) in zip(("old", "new"), (GAP, GAP + worse), numbers, strict=True):
            woman = (1 + gap * way) / 2
            runs.append(run(name, np.where(lost < LOST, 2, (face > woman[:, None]).astype(int))))
        verdicts.append(decide(runs[1], runs[0], policy, references))
    return verdicts


def test_without_a_change_three_lines_together_fail_as_rarely_as_one_may() -> None:
    at_the_limit = (
        Line(**ABOUT, within=DELTA),
        Line(**ABOUT, below=GAP),
        Line(measure="missing", attribute="gender", below=LOST),
    )
    verdicts = play(0.0, at_the_limit, seed=4)
    assert sum(each.found == "fail" for each in verdicts) <= MOST
    beyond = [[line.low > (line.line.below or 0) for line in each.lines] for each in verdicts]
    assert sum(map(any, beyond)) > MOST, "line by line, without Holm, they would fail too often"


def test_a_gap_worse_by_what_is_tolerated_is_hardly_ever_passed() -> None:
    others_hold = (
        Line(**ABOUT, within=DELTA),
        Line(**ABOUT, below=0.9),
        Line(measure="missing", attribute="gender", within=DELTA),
    )
    verdicts = play(DELTA, others_hold, seed=2)
    assert sum(each.found == "pass" for each in verdicts) <= MOST
    others = [{line.verdict for line in each.lines[1:]} for each in verdicts]
    assert sum(each == {"pass"} for each in others) > 0.9 * GATES, "it is the one line that keeps them from passing"
    assert sum(each.found == "fail" for each in verdicts) > MOST
