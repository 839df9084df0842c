"""What the page of a comparison shows, from two stored runs and the tables that were made of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from audit.analysis import Pictures
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
    one, two = (_side(*each, target) for each in zip(names, sides, stores, strict=True))
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


def _side(name: str, answers: Answers, store: Store | None, target: Path) -> Side:
    record = answers.record
    plan: dict[str, Any] = record.get("plan") or {}
    page = store.root / "report.html" if store is not None else None
    return Side(
        name=name,
        model=str((record.get("model") or {}).get("name", "")),
        images=plan.get("images"),
        seed=plan.get("seed"),
        finished=str(record.get("finished") or record.get("created") or ""),
        link=relative(page, target.parent) if page is not None and page.is_file() else "",
        pictures=None if store is None else Pictures(store, store.classifiers()),
    )
