"""The people told apart in images → people.csv: shares by image and by person beside those of single persons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.counts import Counts, eligible
from audit.statistics.clusters import Sums, clustered_share
from audit.statistics.intervals import Floats, wilson
from audit.stored_people import people_parts, tells_apart

if TYPE_CHECKING:
    import pyarrow as pa

    from audit.store import Store
    from probes.probe import Probe

PEOPLE = (
    *("classifier", "attribute", "probe_id", "subject", "language", "template", "class"),
    *("images", "none", "one", "several", "people"),
    *("single_count", "single_n", "single_share", "single_low", "single_high"),
    *("any_count", "any_n", "any_share", "any_low", "any_high", "any_unknown", "any_worst_low", "any_worst_high"),
    *("person_count", "person_n", "person_share", "person_low", "person_high", "status"),
)
"""Columns of people.csv."""
_BY_IMAGE = ("images", "people", "one", "uncounted", "clusters", "m", "mm")
_BY_CLASS = ("shown", "unknown", "x", "xx", "xm")
"""What is summed over the images with people of a probe: these numbers of an image, and these for each class; m are its
people who have a class, x those of the class."""


@dataclass(frozen=True)
class Tally:
    """Sums over the images of J probes (or groups of probes) in which people were told apart."""

    totals: Floats
    """J × (7 + 5 k): the numbers of an image as `_BY_IMAGE` and `_BY_CLASS` name them."""
    classes: int

    def of(self, name: str) -> Floats:
        """One of the sums: J × 1, or J × k for those by class."""
        if name in _BY_IMAGE:
            return self.totals[:, [_BY_IMAGE.index(name)]]
        start = len(_BY_IMAGE) + _BY_CLASS.index(name) * self.classes
        return self.totals[:, start : start + self.classes]

    def pooled(self, groups: Floats) -> Tally:
        """The sums of groups of probes, given as G × J of 0 and 1."""
        return Tally(groups @ self.totals, self.classes)


def people_table(
    store: Store, counts: Sequence[Counts], probes: Sequence[Probe], *, alpha: float, sequential: bool = False
) -> pd.DataFrame:
    """The table people.csv for the classifiers that tell people apart (docs/tables.md).

    Args:
        store: the run.
        counts: its counts, by classifier and attribute.
        probes: its probes, in order.
        alpha: one minus the level of the intervals.
        sequential: the images were made until each probe was decided: no interval for a fixed number holds.
    """
    tables = []
    for classifier in dict.fromkeys(each.classifier for each in counts):
        if tells_apart(store, classifier):
            questions = store.record()["classifiers"][classifier]["questions"]
            order = [question["attribute"] for question in questions]
            for each in (each for each in counts if each.classifier == classifier):
                parts = people_parts(store, classifier, ("probe_id", "index", "counted", "answers"))
                names = [probe.probe_id for probe in probes]
                told = tally(parts, names, order.index(each.attribute), each.classes)
                tables.append(people_rows(each, probes, told, alpha))
    if not tables:
        return pd.DataFrame(columns=list(PEOPLE))
    table = pd.concat(tables, ignore_index=True)[list(PEOPLE)]
    if sequential:
        table[[name for name in PEOPLE if name.endswith(("_low", "_high")) and "worst" not in name]] = np.nan
    return table


def tally(parts: Iterable[pa.Table], probe_ids: Sequence[str], place: int, classes: Sequence[str]) -> Tally:
    """Sum over the stored people of one attribute.

    Args:
        parts: rows of people/, those of one image after each other.
        probe_ids: the probes, in order.
        place: which of the answers is the attribute's.
        classes: its classes, in order.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    totals = np.zeros((len(probe_ids), len(_BY_IMAGE) + len(_BY_CLASS) * len(classes)))
    for table in parts:
        if table.num_rows:
            probe = pc.index_in(table["probe_id"], pa.array(probe_ids)).to_numpy()
            index = table["index"].to_numpy()
            answers = pc.list_element(table["answers"], place)
            code = pc.fill_null(pc.index_in(answers, pa.array(classes, pa.string())), len(classes)).to_numpy()
            new = np.r_[True, (probe[1:] != probe[:-1]) | (index[1:] != index[:-1])]
            counted = np.logical_and.reduceat(table["counted"].to_numpy(), np.flatnonzero(new))
            np.add.at(totals, probe[new], _images(np.cumsum(new) - 1, code, counted, len(classes)))
    return Tally(totals, len(classes))


def _images(image: npt.NDArray[np.intp], code: npt.NDArray[np.intp], counted: npt.NDArray[np.bool_], k: int) -> Floats:
    """The numbers of each image, from its number and class (k: none) for every person."""
    answers = np.zeros((len(counted), k + 1))
    np.add.at(answers, (image, code), 1)
    x, people = answers[:, :k], answers.sum(axis=1)
    m = x.sum(axis=1)
    unknown = (x == 0) & (answers[:, k:] > 0)
    plain = np.stack([np.ones(len(m)), people, people == 1, ~counted, m > 0, m, m * m], axis=1)
    return np.concatenate([plain, x > 0, unknown, x, x * x, x * m[:, None]], axis=1)


def people_rows(counts: Counts, probes: Sequence[Probe], told: Tally, alpha: float) -> pd.DataFrame:
    """Rows of people.csv for one classifier and attribute: of each probe, of each template (if there are several), of
    all probes. The latter two are of probes that ask for one person and do not name the attribute."""
    single = counts.array()
    none = counts.table["no_person"].to_numpy(np.float64)
    heads = [(probe.probe_id, probe.subject, probe.language, probe.template) for probe in probes]
    one = eligible(counts, probes)
    templates = [name for name in dict.fromkeys(probe.template for probe in probes) if name]
    groups = [one & np.array([probe.template == name for probe in probes]) for name in templates]
    named = [(("", "", "", name), group) for name, group in zip(templates, groups, strict=True) if group.any()]
    pooled = [*(named if len(named) > 1 else []), *([(("", "", "", ""), one)] if one.any() else [])]
    weights = np.array([group for _, group in pooled], dtype=np.float64).reshape(-1, len(probes))
    level = 1 - alpha
    by_probe = _measured(counts, heads, told, single, none, level)
    names = [head for head, _ in pooled]
    together = _measured(counts, names, told.pooled(weights), weights @ single, weights @ none, level)
    return pd.concat([by_probe, together], ignore_index=True)


def _measured(
    counts: Counts, heads: Sequence[tuple[str, ...]], told: Tally, single: Floats, none: Floats, level: float
) -> pd.DataFrame:
    """A row for each head and class."""
    k = told.classes
    n = np.repeat(single.sum(axis=1, keepdims=True), k, axis=1)
    shown, unknown, images, one = (told.of(name) for name in ("shown", "unknown", "images", "one"))
    known = images - unknown
    x, m, all_counted = told.of("x"), told.of("m"), told.of("uncounted") == 0
    alone, some = wilson(single, n, level), wilson(shown, known, level)
    persons = clustered_share(Sums(*map(told.of, ("clusters", "x", "m", "xx", "xm", "mm"))), level)
    columns = {
        "images": images + none[:, None],
        "none": none[:, None],
        "one": one,
        "several": images - one,
        "people": np.where(all_counted, told.of("people"), np.nan),
        "single_count": single,
        "single_n": n,
        "single_share": _ratio(single, n),
        "single_low": np.where(n > 0, alone.low, np.nan),
        "single_high": np.where(n > 0, alone.high, np.nan),
        "any_count": shown,
        "any_n": known,
        "any_share": _ratio(shown, known),
        "any_low": np.where(known > 0, some.low, np.nan),
        "any_high": np.where(known > 0, some.high, np.nan),
        "any_unknown": unknown,
        "any_worst_low": _ratio(shown, images),
        "any_worst_high": _ratio(shown + unknown, images),
        "person_count": np.where(all_counted, x, np.nan),
        "person_n": np.where(all_counted, m, np.nan),
        "person_share": np.where(all_counted, _ratio(x, m), np.nan),
        "person_low": np.where(all_counted & (m > 0), persons.low, np.nan),
        "person_high": np.where(all_counted & (m > 0), persons.high, np.nan),
    }
    given = {
        "classifier": counts.classifier,
        "attribute": counts.attribute,
        **{
            name: np.repeat([head[i] for head in heads], k)
            for i, name in enumerate(("probe_id", "subject", "language", "template"))
        },
        "class": list(counts.classes) * len(heads),
        "status": "exploratory",
    }
    numbers = {name: np.broadcast_to(value, shown.shape).ravel() for name, value in columns.items()}
    table = pd.DataFrame({**given, **numbers})
    whole = [name for name in numbers if not name.endswith(("share", "low", "high"))]
    return table.astype(dict.fromkeys(whole, "Int64"))


def _ratio(count: Floats, n: Floats) -> Floats:
    return np.where(n > 0, count / np.maximum(n, 1), np.nan)
