"""`rolecall compare` in Python: two stored runs, or baseline files of runs → what changed, as tables and a page."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from audit.changes import GAP_CHANGES, LOSSES, gap_changes, lost_changes, share_changes
from audit.compared import CLAIMS, Settings
from audit.comparison import COMPARISON
from audit.config import Config, slug
from audit.corrections import status
from audit.error_changes import ERROR_CHANGES, concluded, error_changes, said
from audit.errors import UsageError, nearest
from audit.gating import read_side
from audit.pairs import Answers
from audit.parts import write_bytes
from audit.record import check_world
from audit.reference import Reference, load_reference, reference_names
from audit.shared_images import match_shared
from audit.statistics.multiplicity import holm
from audit.store import Store
from reports.view import records

if TYPE_CHECKING:
    from audit.results import Run
    from reports.comparison import ComparisonView

TABLES: Mapping[str, Sequence[str]] = {
    "gap_changes": (*GAP_CHANGES, "status"),
    "changes": (*COMPARISON, "baseline_share", "other_share", "pairs"),
    "lost_changes": LOSSES,
    "error_changes": ERROR_CHANGES,
}
"""Name → columns (docs/tables.md)."""
FOLDER = "comparisons"
"""Where comparisons of a run lie in it, a folder for each run that it was compared with."""
PAGE = "compare.html"
TELLING = ("higher", "lower")


class Comparison:
    """What changed from an old run to a new one. Made by `audit.compare`."""

    def __init__(
        self,
        sides: tuple[Answers, Answers],
        stores: tuple[Store | None, Store | None],
        *,
        names: tuple[str, str],
        probes: int,
        unpaired: str,
        left_out: tuple[str, ...],
        references: tuple[Reference, ...],
        settings: Settings,
        tables: Mapping[str, pd.DataFrame],
    ) -> None:
        self._sides, self._stores, self._tables = sides, stores, tables
        self.old, self.new = names
        """Names of the two."""
        self.probes = probes
        """Probes that both have."""
        self.unpaired = unpaired
        """Why images of the two are not pairs, as half a sentence; empty if they are."""
        self.left_out = left_out
        """What could not be compared and why, a sentence each."""
        self.references = references
        """What gaps are measured from."""
        self.settings = settings
        """Level, δ, claim, and what was declared."""
        self.folder: Path | None = None
        """Where tables and page are written by default; None if the new side is a baseline file."""

    @property
    def paired(self) -> bool:
        """Whether images with equal seeds were compared."""
        return not self.unpaired

    def gaps(self) -> pd.DataFrame:
        """The change of the gap of each attribute from each reference."""
        return self.table("gap_changes")

    def changes(self) -> pd.DataFrame:
        """The change of the share of each class, over all probes (with an empty `probe_id`) and by probe."""
        return self.table("changes")

    def lost(self) -> pd.DataFrame:
        """The change of the share of images without a class."""
        return self.table("lost_changes")

    def errors(self) -> pd.DataFrame:
        """Whether the classifier's errors differ between the runs, and how large a difference would make the change."""
        return self.table("error_changes")

    def moved(self) -> pd.DataFrame:
        """The row of `changes` of each probe that moved (adjusted over the probes), the largest change first."""
        table = self.table("changes")
        found = table[(table["probe_id"] != "") & table["conclusion"].isin(TELLING)]
        order = found["difference"].abs().round(9).sort_values(ascending=False, kind="stable").index
        moved: pd.DataFrame = found.loc[order].drop_duplicates([*_QUESTION, "probe_id"]).reset_index(drop=True)
        return moved

    def table(self, name: str) -> pd.DataFrame:
        """A table by its name: `gap_changes`, `changes`, `lost_changes` or `error_changes` (docs/tables.md).

        Raises:
            UsageError: if there is no such table.
        """
        if name not in TABLES:
            raise UsageError(f"no table {name!r} of a comparison. {nearest(name, TABLES)}")
        return self._tables[name].copy()

    def write(self, folder: str | Path | None = None) -> Path:
        """Write the tables as CSV into a folder; by default into comparisons/OLD of the new run.

        Returns:
            The folder.

        Raises:
            UsageError: if no folder is named and the new side is a baseline file, or it cannot be written.
        """
        target = self._target(folder)
        for name, table in self._tables.items():
            write_bytes(target / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
        return target

    def report(
        self, path: str | Path | None = None, *, images: bool = True, blur: bool = False, lang: str = "en"
    ) -> Path:
        """Write the page (by default compare.html in comparisons/OLD of the new run) and return where it is.

        Args:
            path: where to write; replaced in one step if it exists.
            images: show images of a few probes of both runs beside each other. Baseline files have none.
            blur: embed only a few dots of each picture.
            lang: `en` or `de`.

        Raises:
            UsageError: if no path is given and the new side is a baseline file.
            ReportError: if there is no such language.
        """
        from reports.comparison import write_comparison

        target = Path(path) if path is not None else self._target(None) / PAGE
        return write_comparison(self._view(target), target, images=images, blur=blur, lang=lang)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: what was compared and how, and the tables, of the changes those over all probes and those of
        probes that moved."""
        changes = self._tables["changes"]
        shown = {**self._tables, "changes": changes[changes["probe_id"] == ""], "moved": self.moved()}
        rows = {name: table.astype(object).where(table.notna(), None) for name, table in shown.items()}
        return {
            **{"new": self.new, "old": self.old, "probes": self.probes, "paired": self.paired},
            **{"unpaired": self.unpaired, "left_out": list(self.left_out)},
            **{name: table.to_dict("records") for name, table in rows.items()},
        }

    def __str__(self) -> str:
        how = "in pairs with equal seeds" if self.paired else f"not in pairs: {self.unpaired}"
        lines = [f"{self.new} against {self.old}: {self.probes} probes, {how}."]
        lines += [_gap_line(row) for row in records(self._tables["gap_changes"])]
        lines += self._moved_lines()
        lines += [_lost_line(row) for row in records(self._tables["lost_changes"])]
        lines += [said(records(rows)) for _, rows in self._tables["error_changes"].groupby(_QUESTION, sort=False)]
        return "\n".join([*lines, *self.left_out])

    def __repr__(self) -> str:
        return f"<Comparison {self.new} against {self.old}: {self.probes} probes{'' if self.paired else ', unpaired'}>"

    def _repr_html_(self) -> str:
        how = "images with equal seeds in pairs" if self.paired else f"not in pairs: {self.unpaired}"
        head = f"<p><b>{html.escape(self.new)}</b> against <b>{html.escape(self.old)}</b>, {html.escape(how)}</p>"
        columns = ["attribute", "reference", "baseline_gap", "other_gap", "change", "low", "high", "conclusion"]
        table = self._tables["gap_changes"][columns].to_html(index=False, float_format=lambda value: f"{value:.3f}")
        said = [*self._moved_lines(), *self.left_out]
        return f"{head}{table}{''.join(f'<p>{html.escape(line)}</p>' for line in said)}"

    def _moved_lines(self) -> list[str]:
        single = self._tables["changes"]
        single = single[(single["probe_id"] != "") & (single["conclusion"] != "")]
        lines = []
        for (classifier, attribute), rows in single.groupby(_QUESTION, sort=False):
            moved = rows.loc[rows["conclusion"].isin(TELLING), "probe_id"].nunique()
            lines.append(f"{attribute} by {classifier}: {moved} of {rows['probe_id'].nunique()} probes moved.")
        return lines

    def _target(self, folder: str | Path | None) -> Path:
        if folder is not None:
            return Path(folder)
        if self.folder is None:
            raise UsageError(f"{self.new} is a baseline file, and no folder. Say where to write: --out FOLDER")
        return self.folder

    def _view(self, target: Path) -> ComparisonView:
        from audit.comparison_page import view_of

        return view_of(self, self._sides, self._stores, target)


_QUESTION = ["classifier", "attribute"]


def compare(
    new: str | Path | Run,
    old: str | Path | Run,
    *,
    reference: str | Sequence[str] | None = None,
    claim: str | None = None,
    check: bool = True,
) -> Comparison:
    """What changed from an old run to a new one: gaps, shares of each probe, missing images, the classifier's errors.

    Images are compared in pairs where both runs made them from the same seeds. Level, δ and seed of the tests are those
    of the new run, else of the old one. Needs no generator, no classifier and no network.

    Args:
        new: a complete run, or the baseline file of one.
        old: the same.
        reference: names or paths of what gaps are measured from, as in `audit.analyze`; by default all that either run
            was compared with.
        claim: `list` (about these probes) or `population` (about probes like these); by default that of the new run.
        check: compare the files of the runs with the digests in run.json first.

    Returns:
        The comparison. Nothing is written.

    Raises:
        UsageError: if a run or file cannot be used, or suites, attributes or classifiers do not fit; in one line.
        ReferenceDataError: if a reference cannot be read.
    """
    sides = (read_side(old, check=check), read_side(new, check=check))
    stores = (_store(old), _store(new))
    found = compare_answers(sides, stores, reference=reference, claim=claim)
    if stores[1] is not None:
        where = Path(old if isinstance(old, str | Path) else old.path).resolve()
        found.folder = stores[1].root / FOLDER / slug(where.name if stores[0] else where.stem)
    return found


def compare_answers(
    sides: tuple[Answers, Answers],
    stores: tuple[Store | None, Store | None] = (None, None),
    *,
    reference: str | Sequence[str] | None = None,
    claim: str | None = None,
) -> Comparison:
    """The same from what was read of both, the old one first; `stores` are their run directories, where there are any.

    Raises:
        UsageError: as `compare`.
        ReferenceDataError: as `compare`.
    """
    if claim is not None and claim not in CLAIMS:
        raise UsageError(f"no claim {claim!r}. {nearest(claim, CLAIMS)}")
    matched = match_shared(*sides)
    references, apart = _references(sides, stores, [reference] if isinstance(reference, str) else reference)
    settings = _settings(sides, claim)
    both = _names(sides, stores)
    parts: dict[str, list[pd.DataFrame]] = {table: [] for table in TABLES}
    for question in matched.questions:
        changes = share_changes(question, both, settings)
        parts["changes"].append(changes)
        parts["gap_changes"].append(gap_changes(question, references, both, settings))
        parts["lost_changes"].append(lost_changes(question, both, settings))
        parts["error_changes"].append(error_changes(question, changes, both, settings))
    tables = {table: _below(parts[table], columns) for table, columns in TABLES.items()}
    tables["gap_changes"] = _as_a_family(tables["gap_changes"], settings)
    tables["error_changes"] = concluded(tables["error_changes"], settings.alpha)
    return Comparison(
        sides,
        stores,
        names=both,
        probes=len(matched.questions[0].probes),
        unpaired=matched.unpaired,
        left_out=(*matched.left_out, *apart),
        references=references,
        settings=settings,
        tables=tables,
    )


def _names(sides: tuple[Answers, Answers], stores: tuple[Store | None, Store | None]) -> tuple[str, str]:
    """What old and new are called: their own names, where these are the same their folders, else old and new."""
    one, two = (each.name for each in sides)
    if one == two:
        roots = [store.root.resolve() if store else None for store in stores]
        one, two = (
            f"{root.parent.name}/{root.name}" if root else name for root, name in zip(roots, (one, two), strict=True)
        )
    return (one, two) if one != two else (f"{one} (old)", f"{two} (new)")


def _store(where: str | Path | Run) -> Store | None:
    """The run directory; None for a baseline file."""
    if isinstance(where, str | Path):
        return Store.open(Path(where)) if Path(where).is_dir() else None
    return Store.open(where.path)


def _settings(sides: tuple[Answers, Answers], claim: str | None) -> Settings:
    old, new = (each.record for each in sides)
    kept = [(record.get("config") or {}).get("resolved") for record in (new, old)]
    config = Config(**next((each for each in kept if each), {}))
    primary = new.get("primary") or old.get("primary") or {}
    return Settings(
        claim=claim or str(primary.get("claim") or "list"),
        declared=(next(iter(new["classifiers"]), ""), str(primary.get("attribute")), str(primary.get("reference"))),
        **{key: getattr(config, key) for key in ("alpha", "delta", "draws", "seed")},
        sequential=False,
    )


def _references(
    sides: tuple[Answers, Answers], stores: tuple[Store | None, Store | None], given: Sequence[str] | None
) -> tuple[tuple[Reference, ...], list[str]]:
    """References that were asked for, or all that either run was compared with; and those left out, in sentences."""
    known = [_digests(each.record) for each in sides[::-1]]
    if given is not None:
        for each in sides:
            check_world(Config(model=str(each.record["model"]["name"])), list(given))
        return tuple(_load(name, stores) for name in dict.fromkeys(given)), []
    found, apart = [], []
    for name in dict.fromkeys([*known[0], *known[1]]):
        versions = {each[name] for each in known if name in each}
        if len(versions) > 1:
            apart.append(f"The runs were compared with different versions of {name}, which is left out.")
        elif name not in reference_names() and not any(store and store.reference(name) for store in stores):
            apart.append(f"{name} is left out: a baseline file does not hold own references. Name it by its path.")
        else:
            found.append(_load(name, stores))
    return tuple(found), apart


def _load(name: str, stores: tuple[Store | None, Store | None]) -> Reference:
    """A reference: built in, or as one of the runs keeps it, else by its path."""
    if name in reference_names():
        return load_reference(name)
    kept = (store.reference(name) for store in stores[::-1] if store is not None)
    return load_reference(str(next((path for path in kept if path is not None), name)))


def _digests(record: Mapping[str, Any]) -> dict[str, str]:
    """Reference → digest, as the run was last analysed."""
    named = record.get("references")
    return dict(named) if isinstance(named, Mapping) else dict(record.get("reference_digests") or {})


def _as_a_family(table: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """With `status`; exploratory rows are adjusted together (Holm) and conclude no more than that leaves."""
    keys = ("classifier", "attribute", "reference")
    triples = list(zip(*(table[key] for key in keys), strict=True))
    first = np.array([triple == settings.declared for triple in triples], dtype=bool)
    p = table["p_value"].to_numpy(dtype=np.float64)
    adjusted = np.where(first, p, holm(np.where(first, np.nan, p)))
    open_ = table["conclusion"].isin(TELLING) & (adjusted >= settings.alpha)
    return table.assign(
        p_adjusted=adjusted,
        conclusion=table["conclusion"].mask(open_, "inconclusive"),
        status=[status(bool(each)) for each in first],
    )


def _below(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(filled, ignore_index=True).reindex(columns=list(columns))


# -- sentences ---------------------------------------------------------------------------------------------------------

_SAID = {"higher": "larger", "lower": "smaller"}
_LOST = {"higher": "more are lost", "lower": "fewer are lost", "": "unknown"}


def _gap_line(row: Mapping[str, Any]) -> str:
    said = _SAID.get(row["conclusion"], row["conclusion"])
    return (
        f"gap of {row['attribute']} from {row['reference']} by {row['classifier']}: {row['other_gap']:.3f} instead of "
        f"{row['baseline_gap']:.3f}, {said} (change {row['low']:+.3f} to {row['high']:+.3f})."
    )


def _lost_line(row: Mapping[str, Any]) -> str:
    one, two = (row[f"{side}_lost"] / max(row[f"{side}_asked"], 1) for side in ("baseline", "other"))
    said = _LOST.get(row["conclusion"], row["conclusion"])
    return (
        f"images without a class, {row['attribute']} by {row['classifier']}: {two:.1%} instead of {one:.1%}, {said} "
        f"(change {100 * row['low']:+.1f} to {100 * row['high']:+.1f} points)."
    )
