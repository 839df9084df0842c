"""What a report is made from: tables, `run.json`, cards and the places of the images. No run folder is known here."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image


@dataclass(frozen=True)
class Picture:
    """One stored image and what the classifiers answered for it."""

    probe_id: str
    index: int
    """Number of the image within its probe, counted from 0."""
    path: Path
    """The file that holds the image: the image itself, or an archive."""
    offset: int = 0
    """First byte of the image within the file."""
    length: int = 0
    """Number of bytes of the image; 0 means up to the end of the file."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """`classifier/attribute` → answer (a class, `unclear`, `no_person` or `several_people`)."""
    decode: Callable[[bytes], Image.Image] | None = None
    """Makes 8-bit RGB of the bytes of a file, as it was labelled; by default what Pillow makes of it."""

    def open(self) -> Image.Image:
        """The image as 8-bit RGB.

        Raises:
            OSError: if the file is not there or holds no image.
        """
        from PIL import Image

        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.length) if self.length else file.read()
        if self.decode is not None:
            return self.decode(data)
        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB")


@dataclass(frozen=True)
class View:
    """Everything a report shows of one run. The columns of the tables are documented in `docs/tables.md`."""

    run: Mapping[str, Any]
    """`run.json`."""
    probes: pd.DataFrame
    """One row a probe: probe_id, text, subject, kind, language, form, template, people, sensitive."""
    shares: pd.DataFrame
    gaps: pd.DataFrame
    missing: pd.DataFrame
    pictures: Callable[[str], Sequence[Picture]]
    """probe_id → its stored images, in order of index."""
    classifier_cards: Mapping[str, Mapping[str, Any]]
    reference_cards: Mapping[str, Mapping[str, Any]]
    suite_card: Mapping[str, Any]
    questions: Mapping[str, Sequence[str]]
    """attribute → its classes, in order."""
    more: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """The other tables by name (docs/tables.md), those that the run has."""

    @property
    def alpha(self) -> float:
        """Level of the tests; intervals are at level 1 − alpha."""
        return float(self._settings.get("alpha") or 0.05)

    @property
    def delta(self) -> float:
        """Largest difference of a share that does not matter."""
        given = self._settings.get("delta")
        return 0.05 if given is None else float(given)

    @property
    def stopped(self) -> Mapping[str, Any]:
        """What `run.json` says of the rule by which probes stopped early; empty for a fixed number of images."""
        found: Mapping[str, Any] = self.run.get("sequential") or {}
        return found

    @property
    def _settings(self) -> Mapping[str, Any]:
        config = self.run.get("config") or {}
        settings: Mapping[str, Any] = config.get("resolved") or {}
        return settings

    def table(self, name: str) -> pd.DataFrame | None:
        """One of the other tables; None if the run has none, or an empty one."""
        found = self.more.get(name)
        return None if found is None or found.empty else found


NUMBERS = (
    *("corrected", "corrected_low", "corrected_high", "band_low", "band_high", "shrunk"),
    *("gap_corrected", "gap_corrected_low", "gap_corrected_high"),
)
"""Columns of shares and gaps that runs of the first version do not have."""
TEXTS = ("conclusion", "status")


def widened(table: pd.DataFrame) -> pd.DataFrame:
    """A copy of shares or gaps that has the columns of `NUMBERS` and `TEXTS`, empty where the run has none."""
    numbers = {name: float("nan") for name in NUMBERS if name not in table}
    texts = {name: table[name].astype(object).fillna("").astype(str) if name in table else "" for name in TEXTS}
    return table.assign(**numbers, **texts)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as mappings from column to value."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def probe_names(probes: pd.DataFrame) -> dict[str, str]:
    """A short name for every probe: its subject, with as much of language, template and form as it takes to tell the
    probes apart; the probe's id where even that is not enough.

    Args:
        probes: a table with `probe_id` and `subject`; `language`, `template` and `form` where there are any. Several
            rows a probe are allowed.
    """
    columns = [name for name in ("subject", "language", "template", "form") if name in probes]
    rows = probes.drop_duplicates("probe_id")[["probe_id", *columns]].fillna("")
    varied = ["subject"]
    for column in [name for name in columns if name != "subject"]:
        if not rows.duplicated(varied).any():
            break
        if rows.groupby(varied)[column].nunique().gt(1).any():
            varied.append(column)
    if rows.duplicated(varied).any():
        return {str(name): str(name) for name in rows["probe_id"]}
    return {
        str(probe_id): " · ".join(str(part).replace("_", " ") for part in parts if str(part))
        for probe_id, parts in zip(rows["probe_id"], rows[varied].to_numpy().tolist(), strict=True)
    }
