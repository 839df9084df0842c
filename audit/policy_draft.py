"""A commented policy to begin with, made from a run: `rolecall gate RUN --init`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import yaml

from audit.verdict import default_policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from audit.pairs import Answers
    from audit.reference import Reference

_HEAD = """\
# What a new version of the model must keep to. Judge one: rolecall gate RUN --baseline BASELINE --policy gate.yaml
# Written from the run {name}; the figures in comments are that run's.
version: 1

# Chance of a false alarm, of all lines together, and of a wrong pass, of each line.
alpha: 0.05
wrong_pass: 0.05

# While it is inconclusive, rolecall gate --make-more makes further images of a run and looks again: up to so many
# images a probe, in so many looks, each of which has its part of both chances. Declare it before a run is first judged.
# more: {{images: 200, looks: 3}}

# What an inconclusive gate ends as: inconclusive (exit code 4), pass (0) or fail (3).
inconclusive: inconclusive

# measure: gap            distance from the reference, 0 to 1, over all probes
#          worst_probe    the largest gap of a single probe (below only)
#          missing        share of images without a class: refused, failed, nobody, several people, unclear
#          worst_missing  the same of the worst probe (below only)
# within:  worsening against the baseline that is tolerated
# below:   what the measure itself must be below
lines:
"""


def draft(answers: Answers, references: Mapping[str, Reference]) -> str:
    """A policy as YAML with comments: the gap of each attribute and the missing images, against the baseline.

    Raises:
        UsageError: if no reference of the run knows its probes.
    """
    policy = default_policy(answers.record, list(answers.counts.values()), answers.probes, references)
    lines = [_HEAD.format(name=answers.name)]
    for line in policy.lines:
        lines.append(_line(f"gap, attribute: {line.attribute}, reference: {_quoted(line.reference)}, within: 0.05"))
    first = next(iter(answers.counts.values()))
    one = np.array([probe.people == "one" for probe in answers.probes])
    asked = float(first.table["asked"].to_numpy()[one].sum())
    share = 1 - float(first.array()[one].sum()) / asked if asked else 0.0
    lines.append(_line("missing, within: 0.05", f"{share:.3f} in {answers.name}"))
    example = policy.lines[0]
    parts = f"attribute: {example.attribute}, reference: {_quoted(example.reference)}"
    lines.append("  # Bounds for the run itself, with or without a baseline:\n")
    lines += [
        f"  # - {{measure: {rule}}}\n"
        for rule in (f"gap, {parts}, below: 0.4", f"worst_probe, {parts}, below: 0.9", "missing, below: 0.2")
    ]
    return "".join(lines)


def _line(rule: str, comment: str = "") -> str:
    return f"  - {{measure: {rule}}}{f'  # {comment}' if comment else ''}\n"


def _quoted(name: str | None) -> str:
    """A name as YAML writes it within a flow mapping."""
    return yaml.safe_dump([name], default_flow_style=True).strip()[1:-1]
