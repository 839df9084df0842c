"""Runs of different length as pairs: only the images that both were asked for.

Pairs are worth more than further images of one run alone, as soon as these agree in more than half of what varies; and
a version that draws the same as its baseline is then seen to do so, however many images the baseline has besides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from audit.classifiers.base import NOT_MEASURED
from audit.pairs import Answers, Match, match_runs, unpaired

if TYPE_CHECKING:
    import pandas as pd

    from audit.counts import Counts


def images_of(answers: Answers) -> int:
    """Images asked of a probe; of runs where that differs, the most."""
    return max((int(each.table["asked"].max()) for each in answers.counts.values()), default=0)


def match_shared(baseline: Answers, other: Answers) -> Match:
    """`match_runs`, for runs in pairs by the images alone that both were asked for.

    Raises:
        UsageError: as `match_runs`.
    """
    if unpaired(baseline, other):
        return match_runs(baseline, other)
    sides = shared_images(baseline, other)
    found = match_runs(*sides)
    longer = [own for own, kept in zip((baseline, other), sides, strict=True) if kept is not own]
    said = [f"{each.name} has more images of a probe: those that both have are compared." for each in longer]
    return replace(found, left_out=(*found.left_out, *said))


def shared_images(one: Answers, other: Answers) -> tuple[Answers, Answers]:
    """Both runs with the images alone that both were asked for: the first of each probe.

    Args:
        one: answers of a run whose images are pairs with those of the other.
        other: answers of the other.

    Returns:
        The same, where both have equally many; else with counts and labels of the shared images. How many of these were
        made, refused and failed is not known by image, and NaN.
    """
    asked = [_asked(each) for each in (one, other)]
    both = asked[0].index.intersection(asked[1].index)
    fewest = asked[0][both].combine(asked[1][both], min)
    return _first(one, asked[0], fewest), _first(other, asked[1], fewest)


def _asked(answers: Answers) -> pd.Series:
    table = next(iter(answers.counts.values())).table
    asked: pd.Series = table.set_index("probe_id")["asked"]
    return asked


def _first(answers: Answers, asked: pd.Series, fewest: pd.Series) -> Answers:
    limit = asked.where(~asked.index.isin(fewest.index), fewest.reindex(asked.index))
    if (limit == asked).all():
        return answers
    labels = {
        name: frame[frame["index"] < frame["probe_id"].map(limit).fillna(0)] for name, frame in answers.labels.items()
    }
    counts = {key: _counted(each, labels[key[0]], limit) for key, each in answers.counts.items()}
    return replace(answers, counts=counts, labels=labels)


def _counted(counts: Counts, labels: pd.DataFrame, limit: pd.Series) -> Counts:
    import pandas as pd

    own = labels[labels["attribute"] == counts.attribute]
    found = pd.crosstab(own["probe_id"], own["class"])
    names = counts.table["probe_id"]
    found = found.reindex(index=names, columns=[*NOT_MEASURED, *counts.classes], fill_value=0)
    columns = {name: found[name].to_numpy() for name in NOT_MEASURED}
    columns |= {f"class__{name}": found[name].to_numpy() for name in counts.classes}
    columns |= {"asked": limit.reindex(names).to_numpy(dtype=np.int64)}
    return replace(counts, table=counts.table.assign(made=np.nan, refused=np.nan, failed=np.nan, **columns))
