"""A run as analysts hold it: tables as DataFrames, a report, a card that shows itself in a notebook."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.store import Store

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """One run directory. Made by `audit.run`, `audit.import_folder` or `audit.open`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def path(self) -> Path:
        """The run directory."""
        return self._store.root

    @property
    def record(self) -> dict[str, Any]:
        """The content of run.json: configuration, fingerprints, packages, digests."""
        return self._store.record()

    @property
    def complete(self) -> bool:
        """True if every sample that was planned has been made and the tables stand."""
        return bool(self.record.get("finished"))

    def probes(self) -> pd.DataFrame:
        """The probes: one row a prompt."""
        import pandas as pd

        return pd.DataFrame([vars(probe) for probe in self._store.probes()])

    def samples(self) -> pd.DataFrame:
        """The samples: one row an image asked for, with its seed, outcome, file and SHA-256."""
        import pyarrow as pa

        from audit.schema import samples_schema

        tables = [table for *_, table in self._store.sample_parts()]
        joined = pa.concat_tables(tables) if tables else samples_schema().empty_table()
        frame: pd.DataFrame = joined.to_pandas()
        return frame

    def labels(self, classifier: str | None = None) -> pd.DataFrame:
        """The labels: one row an image and attribute, with the scores of all classes. By default of all classifiers."""
        import pandas as pd

        names = self._store.classifiers() if classifier is None else [classifier]
        frames = [
            table.to_pandas().assign(classifier=name) for name in names for table in self._store.label_parts(name)
        ]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def shares(self, attribute: str | None = None) -> pd.DataFrame:
        """Share of every class of every probe with intervals and reference (docs/tables.md).

        Raises:
            UsageError: if the tables were not made yet, or no such attribute was labelled.
        """
        return self._table("shares", attribute)

    def gaps(self, attribute: str | None = None) -> pd.DataFrame:
        """The gap of every attribute from every reference, for both claims (docs/tables.md)."""
        return self._table("gaps", attribute)

    def missing(self) -> pd.DataFrame:
        """Images refused, failed, without a person, with several people or unclear, by probe (docs/tables.md)."""
        return self._table("missing", None)

    def table(self, name: str) -> pd.DataFrame:
        """Any table of the audit by name, such as `overall`, `amplification` or `agreement` (docs/tables.md).

        Raises:
            UsageError: if there is no such table.
        """
        from audit.analysis import MORE
        from audit.errors import UsageError, nearest

        known = ("shares", "gaps", "missing", *MORE)
        if name not in known:
            raise UsageError(f"no table {name!r}. {nearest(name, known)}")
        return self._store.table(name)

    def report(
        self, path: str | Path | None = None, *, images: bool = True, blur: bool = False, lang: str = "en"
    ) -> Path:
        """Write report.html (or `path`) and return where it is."""
        from audit.analysis import view
        from reports.html import write_report

        target = Path(path) if path is not None else self.path / "report.html"
        return write_report(view(self._store), target, images=images, blur=blur, lang=lang)

    def _table(self, name: str, attribute: str | None) -> pd.DataFrame:
        from audit.errors import UsageError, nearest

        table = self._store.table(name)
        if attribute is None:
            return table
        known = set(table["attribute"])
        if attribute not in known:
            raise UsageError(f"no attribute {attribute!r} in {self.path}. {nearest(attribute, known)}")
        return table[table["attribute"] == attribute].reset_index(drop=True)

    def __repr__(self) -> str:
        record = self.record
        state = "complete" if self.complete else "not complete"
        return f"<Run {self.path}: {record['model']['name']}, suite {record['suite']['name']}, {state}>"

    def _repr_html_(self) -> str:
        record = self.record
        plan = record["plan"]
        rows = {
            "model": record["model"]["name"],
            "suite": f"{record['suite']['name']} {record['suite']['version']}",
            "probes": record["suite"]["probes"],
            "samples": plan["samples"],
            "seed": plan["seed"],
            "classifiers": ", ".join(record["classifiers"]),
            "references": ", ".join(record["references"]),
            "finished": record.get("finished") or "not yet: run the same command again to continue",
        }
        cells = "".join(
            f"<tr><th style='text-align:left'>{key}</th><td style='text-align:left'>{html.escape(str(value))}</td></tr>"
            for key, value in rows.items()
            if value not in (None, "")
        )
        head = f"<caption style='text-align:left'><b>Run</b> {html.escape(str(self.path))}</caption>"
        parts = [f"<table>{head}{cells}</table>"]
        if (self._store.tables_folder() / "gaps.csv").is_file():
            gaps = self.gaps()
            columns = ["classifier", "attribute", "reference", "claim", "gap", "gap_low", "gap_high", "direction"]
            parts.append(gaps[columns].to_html(index=False, float_format=lambda value: f"{value:.3f}", na_rep=""))
        return "".join(parts)
