"""Where instruments disagree: confusion.csv, spread.csv and disagreements.csv.

An instrument is a classifier of the run, or `people`: what most raters answered. Instruments that answer the same
question with the same classes are compared. Reads one part of the labels at a time: memory grows with the number of
ways in which the instruments answer together, not with the number of images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from audit import human
from audit.agreements import PEOPLE
from audit.calibration import questions_of
from audit.classifiers.base import NOT_MEASURED
from audit.parts import FORGOTTEN, Part

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from audit.store import Store

CONFUSION = ("attribute", "first", "second", "first_answer", "second_answer", "count", "share")
"""Columns of confusion.csv."""
SPREAD = (
    *("attribute", "class", "probe_id", "subject", "reference", "kind", "instruments"),
    *("lowest", "lowest_by", "highest", "highest_by", "spread", "low", "high", "conclusions", "conclusion_robust"),
)
"""Columns of spread.csv."""
DISAGREEMENTS = ("attribute", "picture", "images", "sample_id", "probe_id", "index", "instrument", "answer")
"""Columns of disagreements.csv."""
SHOWN = 24
"""Images of disagreements.csv, for each attribute."""
KINDS = {"raw": ("share", "share_low", "share_high"), "corrected": ("corrected", "corrected_low", "corrected_high")}
"""`kind` of a row of spread.csv → the columns of shares.csv and overall.csv that it is made from."""
BUFFER = 100_000
"""Images on which instruments disagree that are held at once."""

Pattern = tuple[str | None, ...]
"""The answers of all instruments of a group to one image; None for an instrument without one."""


@dataclass(frozen=True)
class Group:
    """Instruments that answer the same question with the same classes, and how they answered."""

    attribute: str
    classes: tuple[str, ...]
    instruments: tuple[str, ...]
    patterns: Counter[Pattern] = field(default_factory=Counter)
    """How many images got these answers."""
    examples: list[pa.Table] = field(default_factory=list)
    """Images on which instruments disagree: sample_id, probe_id, index, and the answers in columns `0`, `1` …"""

    @property
    def answers(self) -> tuple[str, ...]:
        """The classes, then what is no class."""
        return (*self.classes, *NOT_MEASURED)

    @property
    def columns(self) -> list[str]:
        """Names of the columns of answers."""
        return [str(place) for place in range(len(self.instruments))]


def disagreement_tables(store: Store, shares: pd.DataFrame, overall: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Confusion, spread and disagreements of a run, by the names of their files.

    Args:
        store: the run.
        shares: its shares.csv.
        overall: its overall.csv.

    Returns:
        Three tables, empty where no two instruments answer the same question with the same classes.
    """
    found = groups(store)
    return {
        "confusion": confusion_table(found),
        "spread": spread_table(found, shares, overall),
        "disagreements": disagreements_table(found),
    }


def groups(store: Store) -> list[Group]:
    """The instruments that can be compared, with all of their answers counted. People come first."""
    given = human.labels(store)
    seen = human.majority(given) if len(given) else given
    found = []
    for attribute, names in _comparable(store).items():
        people = seen[seen["attribute"] == attribute] if len(seen) else seen
        for classes, classifiers in names:
            fits = len(people) > 0 and set(people["class"]) <= {*classes, *NOT_MEASURED}
            instruments = (*([PEOPLE] if fits else []), *classifiers)
            if len(instruments) > 1:
                found.append(Group(attribute, classes, instruments))
    for tables in _blocks(store, sorted({name for group in found for name in group.instruments} - {PEOPLE})):
        for group in found:
            _add(group, tables, seen)
    for group in found:
        _reduce(group)
    return found


def _comparable(store: Store) -> dict[str, list[tuple[tuple[str, ...], list[str]]]]:
    """attribute → sets of classes with the classifiers that ask for just these."""
    asked = questions_of(store)
    found: dict[str, dict[frozenset[str], tuple[tuple[str, ...], list[str]]]] = {}
    for name, questions in asked.items():
        for question in questions:
            same = found.setdefault(question.attribute, {})
            same.setdefault(frozenset(question.classes), (question.classes, []))[1].append(name)
    return {attribute: list(same.values()) for attribute, same in found.items()}


def _blocks(store: Store, classifiers: Sequence[str]) -> Iterator[dict[str, pa.Table]]:
    """Labels of all classifiers for the same batches, as few batches at a time as their parts allow."""
    parts = sorted(((part, name) for name in classifiers for part in store.labels(name).present()), key=_first)
    block: list[tuple[Part, str]] = []
    last = -1
    for part, name in parts:
        if block and part.first > last:
            yield _read(block)
            block = []
        block.append((part, name))
        last = max(last, part.last)
    if block:
        yield _read(block)


def _read(block: Sequence[tuple[Part, str]]) -> dict[str, pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ["sample_id", "probe_id", "index", "attribute", "class"]
    read: dict[str, list[pa.Table]] = {}
    for part, name in block:
        read.setdefault(name, []).append(pq.read_table(part.path, columns=columns))
    return {name: pa.concat_tables(tables) for name, tables in read.items()}


def _first(entry: tuple[Part, str]) -> int:
    return entry[0].first


def _add(group: Group, tables: Mapping[str, pa.Table], seen: pd.DataFrame) -> None:
    """Count the answers of a group for the images of one block, and keep those on which it disagrees."""
    import pyarrow as pa
    import pyarrow.compute as pc

    own = {
        name: tables[name].filter(pc.equal(tables[name]["attribute"], group.attribute))
        for name in group.instruments
        if name in tables
    }
    if not own:
        return
    keys = next(iter(own.values())).select(["sample_id", "probe_id", "index"])
    for other in own.values():
        if not other["sample_id"].equals(keys["sample_id"]):
            lacking = pc.invert(pc.is_in(other["sample_id"], value_set=keys["sample_id"].combine_chunks()))
            keys = pa.concat_tables([keys, other.select(keys.column_names).filter(lacking)])
    ids = keys["sample_id"]
    if PEOPLE in group.instruments:
        rows = seen[seen["attribute"] == group.attribute]
        own[PEOPLE] = pa.table({name: pa.array(rows[name].tolist(), pa.string()) for name in ("sample_id", "class")})
    answers = []
    for name in group.instruments:
        table = own.get(name)
        if table is None:
            answers.append(pa.nulls(len(ids), pa.string()))
        elif table["sample_id"].equals(ids):
            answers.append(table["class"].combine_chunks())
        else:
            places = pc.index_in(ids.combine_chunks(), value_set=table["sample_id"].combine_chunks())
            answers.append(table["class"].combine_chunks().take(places))
    wide = pa.table(answers, names=group.columns)
    counted = wide.group_by(group.columns).aggregate([([], "count_all")])
    patterns = zip(*(counted[name].to_pylist() for name in group.columns), strict=True)
    group.patterns.update(dict(zip(patterns, counted["count_all"].to_pylist(), strict=True)))
    differ = pc.not_equal(pc.min_element_wise(*answers), pc.max_element_wise(*answers))
    kept = pc.and_(differ, pc.invert(pc.starts_with(ids.combine_chunks(), FORGOTTEN)))
    group.examples.append(pa.table([*keys.columns, *answers], names=[*keys.column_names, *group.columns]).filter(kept))
    if sum(table.num_rows for table in group.examples) > BUFFER:
        _reduce(group)


def _reduce(group: Group) -> None:
    """Keep no more examples than may be chosen: of each way to answer those with the lowest digests."""
    import pyarrow as pa

    if group.examples:
        rows = pa.concat_tables(group.examples).to_pandas().sort_values("sample_id", kind="stable")
        rows = rows.groupby(group.columns, dropna=False, sort=False).head(SHOWN)
        group.examples[:] = [pa.Table.from_pandas(rows, schema=group.examples[0].schema, preserve_index=False)]


def confusion_table(found: Sequence[Group]) -> pd.DataFrame:
    """confusion.csv: how often one instrument answered this where another answered that, over all images with both.

    Args:
        found: the instruments and their answers.

    Returns:
        For every pair a row for each two answers; `count` images, and their share of those with the first answer,
        empty where there is none. Pairs without an image in common have no row.
    """
    import pandas as pd

    rows: list[tuple[object, ...]] = []
    for group in found:
        known = {answer: place for place, answer in enumerate(group.answers)}
        for (i, first), (j, second) in combinations(enumerate(group.instruments), 2):
            table = np.zeros((len(known), len(known)), dtype=np.int64)
            for pattern, count in group.patterns.items():
                one, two = known.get(pattern[i] or ""), known.get(pattern[j] or "")
                if one is not None and two is not None:
                    table[one, two] += count
            total = table.sum(axis=1)
            rows += [
                (group.attribute, first, second, a, b, table[x, y], table[x, y] / total[x] if total[x] else np.nan)
                for a, x in known.items()
                for b, y in known.items()
                if table.any()
            ]
    return pd.DataFrame(rows, columns=list(CONFUSION))


def disagreements_table(found: Sequence[Group]) -> pd.DataFrame:
    """disagreements.csv: some images on which instruments disagree, with the answer of each.

    The same images are chosen however the run was made: one for each way to disagree, the most frequent first, then a
    second one, and so on up to `SHOWN`; of each way those whose `sample_id`, a digest, comes first.

    Args:
        found: the instruments and their answers.

    Returns:
        A row for each image and instrument with an answer; `images` is how many images got just these answers.
    """
    import pandas as pd

    rows: list[tuple[object, ...]] = []
    numbers: Counter[str] = Counter()
    for group in found:
        for sample, probe, index, pattern in _chosen(group):
            numbers[group.attribute] += 1
            rows += [
                (group.attribute, numbers[group.attribute], group.patterns[pattern], sample, probe, index, name, answer)
                for name, answer in zip(group.instruments, pattern, strict=True)
                if answer is not None
            ]
    return pd.DataFrame(rows, columns=list(DISAGREEMENTS))


def _chosen(group: Group) -> list[tuple[str, str, int, Pattern]]:
    ways: dict[Pattern, list[tuple[str, str, int, Pattern]]] = {}
    for table in group.examples:
        columns = (table[name].to_pylist() for name in ("sample_id", "probe_id", "index", *group.columns))
        for sample, probe, index, *answers in zip(*columns, strict=True):
            ways.setdefault(tuple(answers), []).append((sample, probe, index, tuple(answers)))
    order = sorted(ways, key=lambda way: (-group.patterns[way], [answer or "" for answer in way]))
    ranked = [(turn, place, image) for place, way in enumerate(order) for turn, image in enumerate(ways[way])]
    return [image for *_, image in sorted(ranked, key=lambda entry: entry[:2])[:SHOWN]]


def spread_table(found: Sequence[Group], shares: pd.DataFrame, overall: pd.DataFrame) -> pd.DataFrame:
    """spread.csv: how far the shares of a class lie apart from instrument to instrument.

    Args:
        found: the instruments that can be compared.
        shares: shares.csv.
        overall: overall.csv.

    Returns:
        For each class a row over all probes, then one for each probe and reference; `raw` as the classifiers give it,
        and `corrected` with people's labels. Only where two instruments or more have a share.
    """
    import pandas as pd

    parts = []
    for group in found:
        for table in (overall, shares):
            rows = table[(table["attribute"] == group.attribute) & table["classifier"].isin(group.instruments)]
            rows = rows.reindex(columns=list(dict.fromkeys([*rows, "probe_id", "subject", "reference", "conclusion"])))
            keys = ["probe_id", "reference", "class"] if table is shares else ["class"]
            place = rows.groupby(keys, sort=False, dropna=False).ngroup()
            parts += [
                part.assign(kind=kind) for kind in KINDS if len(part := _spread(rows.assign(place=place), *KINDS[kind]))
            ]
    if not parts:
        return pd.DataFrame(columns=list(SPREAD))
    return pd.concat(parts, ignore_index=True)[list(SPREAD)]


def _spread(rows: pd.DataFrame, value: str, low: str, high: str) -> pd.DataFrame:
    """One row for each `place` in which two instruments or more have the value."""
    import pandas as pd

    known = rows[rows[value].notna()].sort_values(["place", "classifier"], kind="stable").reset_index(drop=True)
    known = known[known.groupby("place")["classifier"].transform("size") > 1]
    if known.empty:
        return pd.DataFrame()
    by = known.groupby("place")
    least, most = known.loc[by[value].idxmin()], known.loc[by[value].idxmax()]
    words = rows[rows["place"].isin(known["place"])]
    words = words.assign(conclusion=words["conclusion"].astype(object).fillna("").astype(str))
    told = words.drop_duplicates(["place", "conclusion"]).sort_values(["place", "conclusion"]).groupby("place")
    said = told["conclusion"].agg(_joined).to_numpy()
    one = told["place"].size().to_numpy() == 1
    columns = {
        **{name: least[name].to_numpy() for name in ("attribute", "class", "probe_id", "subject", "reference")},
        "instruments": by.size().to_numpy(),
        "lowest": least[value].to_numpy(),
        "lowest_by": least["classifier"].to_numpy(),
        "highest": most[value].to_numpy(),
        "highest_by": most["classifier"].to_numpy(),
        "spread": most[value].to_numpy() - least[value].to_numpy(),
        "low": by[low].min().to_numpy(),
        "high": by[high].max().to_numpy(),
        "conclusions": said,
        "conclusion_robust": np.where(said == "", "", np.where(one, "yes", "no")),
    }
    return pd.DataFrame(columns)


def _joined(conclusions: pd.Series[str]) -> str:
    return ", ".join(word for word in conclusions if word)
