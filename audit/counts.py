"""The narrow waist of an audit: images counted by probe and class. Left of it are images, right of it only counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from probes.suite import Probe

LOST = ("refused", "failed", "no_person", "several_people", "unclear")
"""Columns of images that have no class."""
ANSWERED = ("unclear", "no_person", "several_people")
"""Answers of a classifier that are no class, in the order of the columns of a calibration."""


@dataclass(frozen=True)
class Counts:
    """Answers of one classifier to one question, counted by probe.

    Raises:
        ValueError: if the table lacks a column, or a probe has more labelled images than were asked for.
    """

    classifier: str
    attribute: str
    classes: tuple[str, ...]
    ordered: bool
    table: pd.DataFrame
    """One row a probe, in the order of the plan: probe_id, subject, kind, language, form, template, people; asked
    (images planned), made, refused, failed, no_person, several_people, unclear; and one column a class, named
    `class__NAME`."""

    def __post_init__(self) -> None:
        wanted = ["probe_id", "subject", "language", "template", "people", "asked", "made", *LOST, *self.columns]
        lacking = [name for name in wanted if name not in self.table]
        if lacking:
            raise ValueError(f"counts of {self.attribute!r} lack the column {lacking[0]!r}. Give every column.")
        over = self.table["asked"].to_numpy() < self.array().sum(axis=1)
        if over.any():
            probe = self.table["probe_id"].to_numpy()[over][0]
            raise ValueError(f"probe {probe!r} has more labelled images than were asked for. Count each image once.")

    @property
    def columns(self) -> list[str]:
        """Names of the columns of the classes, in the order of the classes."""
        return [f"class__{name}" for name in self.classes]

    def array(self) -> npt.NDArray[np.float64]:
        """Counts, probes × classes."""
        return self.table[self.columns].to_numpy(dtype=np.float64)

    def answers(self) -> npt.NDArray[np.float64]:
        """All answers of the classifier, probes × (classes, then `ANSWERED`)."""
        return self.table[[*self.columns, *ANSWERED]].to_numpy(dtype=np.float64)


@dataclass(frozen=True)
class JointCounts:
    """Images with a class in each of several attributes, counted by probe: what intersections are made from."""

    classifier: str
    attributes: tuple[str, ...]
    """Two attributes or more, in the order of the classifier's questions."""
    classes: tuple[tuple[str, ...], ...]
    """Classes of each attribute."""
    probe_ids: tuple[str, ...]
    counts: npt.NDArray[np.float64]
    """J × k₁ × k₂ (× …)."""

    @property
    def name(self) -> str:
        """`gender×ethnicity`."""
        return "×".join(self.attributes)


def eligible(counts: Counts, probes: Sequence[Probe]) -> npt.NDArray[np.bool_]:
    """Whether each probe may be compared with a reference: it asks for one person and does not itself name a class of
    the attribute ("a female nurse" is in no gap of perceived gender)."""
    return np.array([probe.people == "one" and counts.attribute not in probe.asked for probe in probes], dtype=bool)
