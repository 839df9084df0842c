"""What the page of a comparison shows, from two stored runs and the tables that were made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from audit.analysis import Pictures
from audit.cells import VARIED
from audit.grid import relative
from audit.pairs import Answers
from audit.provenance import version
from audit.store import Store
from reports.comparison import ComparisonView, Side

if TYPE_CHECKING:
    from audit.comparing import Comparison


def view_of(
    found: Comparison, sides: tuple[Answers, Answers], stores: tuple[Store | None, Store | None], target: Path
) -> ComparisonView:
    """The comparison as its page, to be written at `target`, shows it."""
    old, new = sides
    theirs = {probe.probe_id for probe in new.probes}
    names = (found.old, found.new)
    apart = _apart(sides)
    one, two = (_side(*each, target) for each in zip(names, sides, stores, apart, strict=True))
    settings = found.settings
    return ComparisonView(
        old=one,
        new=two,
        version=version(),
        probes=pd.DataFrame([vars(probe) for probe in old.probes if probe.probe_id in theirs]),
        questions={pair: counts.classes for pair, counts in old.counts.items()},
        declared=settings.declared,
        claim=settings.claim,
        alpha=settings.alpha,
        delta=settings.delta,
        titles={each.name: str(dict(each.card).get("title") or each.name) for each in found.references},
        unpaired=found.unpaired,
        left_out=found.left_out,
        tables={name: found.table(name) for name in ("gap_changes", "changes", "lost_changes", "error_changes")},
    )


def _apart(sides: tuple[Answers, Answers]) -> list[dict[str, Any]]:
    """What each side sets otherwise than the other about the model and how it is asked; baseline files do not say."""
    kept = [(each.record.get("config") or {}).get("resolved") or {} for each in sides]
    if not all("model" in each for each in kept):
        return [{}, {}]
    differ = [key for key in VARIED if key != "model" and kept[0].get(key) != kept[1].get(key)]
    return [{key: _named(each[key]) for key in differ if each.get(key) not in (None, [])} for each in kept]


def _named(value: Any) -> Any:
    """Files by their names: a page says nothing of the machine that it was written on."""
    if isinstance(value, list):
        return [_named(each) for each in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _side(name: str, answers: Answers, store: Store | None, settings: Mapping[str, Any], target: Path) -> Side:
    record = answers.record
    plan: dict[str, Any] = record.get("plan") or {}
    page = store.root / "report.html" if store is not None else None
    return Side(
        name=name,
        model=str((record.get("model") or {}).get("name", "")),
        settings=settings,
        images=plan.get("images"),
        seed=plan.get("seed"),
        finished=str(record.get("finished") or record.get("created") or ""),
        link=relative(page, target.parent) if page is not None and page.is_file() else "",
        pictures=None if store is None else Pictures(store, store.classifiers()),
    )
