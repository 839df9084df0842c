"""The run directory on disk. This is the only module that knows its layout (see docs/architecture.md)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from audit.classifiers.base import Labels
from audit.errors import UsageError
from audit.parts import FORGOTTEN, Part, Parts, cannot_write, sha256_of, write_atomically, write_bytes
from audit.pictures import FileStore, NoStore, Place, TarStore
from audit.schema import TEXTS, labels_schema, probe_table, samples_schema
from probes.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

SCHEMA = 1
"""Version of the run directory. Older ones are read; newer ones are refused."""
KEYS = ("sample_id", "probe_id", "index")
"""Columns that say which image a label belongs to."""


def now() -> str:
    """This moment in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_table(table: pa.Table, file: BinaryIO) -> None:
    """A table as Parquet (zstd)."""
    import pyarrow.parquet as pq

    pq.write_table(table, file, compression="zstd")


def _join_tables(paths: Iterable[Path], file: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_table(pa.concat_tables([pq.read_table(path) for path in paths]), file)


def _join_arrays(paths: Iterable[Path], file: BinaryIO) -> None:
    import numpy as np

    np.save(file, np.concatenate([np.load(path) for path in paths]))


class Store:
    """Reads and writes one run directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.samples = Parts(root / "samples", ".parquet")

    # -- run.json ------------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls, root: Path, record: Mapping[str, Any], probes: Sequence[Probe], planned: Mapping[str, int]
    ) -> Store:
        """Create a run directory, or open the one that is there if it has the same identity.

        `record` is the content of run.json; its key `identity` holds all that images and labels depend on.
        `planned` gives the images asked for, by probe.

        Raises:
            UsageError: if `root` holds another run, or something else than a run.
        """
        store = cls(root)
        path = root / "run.json"
        if not path.exists():
            if root.is_file() or (root.is_dir() and any(root.iterdir()) and not (root / "probes.parquet").exists()):
                raise UsageError(f"{root} is no run directory and not empty. Choose another --out.")
            write_atomically(root / "probes.parquet", lambda file: write_table(probe_table(probes, planned), file))
            draft = root / f".run.{os.getpid()}.tmp"
            write_bytes(draft, _json({"schema": SCHEMA, **record}))
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
        old, new = store.record().get("identity", {}), record["identity"]
        if old != new:
            what = "; ".join(_difference(old, new))
            raise UsageError(
                f"{root} holds a run of another configuration: {what}. "
                "Choose another --out, or give the configuration that the run was made with."
            )
        return store

    @classmethod
    def open(cls, root: Path) -> Store:
        """Open an existing run directory.

        Raises:
            UsageError: if there is none, or it was written by a newer Rolecall.
        """
        if not (root / "run.json").is_file():
            raise UsageError(f"{root} is no run directory: it has no run.json. Give the folder that a run was made in.")
        store = cls(root)
        store.record()
        return store

    def record(self) -> dict[str, Any]:
        """The content of run.json.

        Raises:
            UsageError: if it is damaged or of a newer schema.
        """
        path = self.root / "run.json"
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UsageError(f"{path} cannot be read: it is damaged. Restore it from a copy of the run.") from None
        schema = record.get("schema")
        if not isinstance(schema, int) or schema > SCHEMA:
            raise UsageError(
                f"{self.root} was written by a newer Rolecall: its schema is {schema}, this version reads up to "
                f"{SCHEMA}. Install a newer rolecall."
            )
        return record

    def update(self, **changes: Any) -> None:
        """Change keys of run.json."""
        with self.lock("record"):
            record = {**self.record(), **changes}
            write_bytes(self.root / "run.json", _json(record))

    def log(self, **event: Any) -> None:
        """Append one event, with its time, to log.jsonl: which process worked on the run, when, with what."""
        line = json.dumps({"time": now(), **event}, ensure_ascii=False) + "\n"
        path = self.root / "log.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise cannot_write(path, error) from error

    @contextlib.contextmanager
    def lock(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Hold the lock `name` of this run; it is released when the process ends, however it ends.

        Raises:
            UsageError: if another process holds it and `wait` is false.
        """
        with (self.root / f".{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise UsageError(
                    f"another process is making the same part of {self.root} ({name}). "
                    "Wait for it, or give each worker its own --shard."
                ) from None
            yield

    # -- probes --------------------------------------------------------------------------------------------------

    def probes(self) -> tuple[Probe, ...]:
        """The probes of the run, in order."""
        import pyarrow.parquet as pq

        rows = pq.read_table(self.root / "probes.parquet").to_pylist()
        probes = []
        for row in rows:
            row.pop("asked_images")
            probes.append(Probe(**{**row, "keys": json.loads(row["keys"]), "asked": json.loads(row["asked"])}))
        return tuple(probes)

    def settle(self, asked: Mapping[str, int]) -> None:
        """State the images that were asked for, by probe, once a run that stops early has stopped."""
        table = probe_table(self.probes(), asked)
        write_atomically(self.root / "probes.parquet", lambda file: write_table(table, file))

    def planned(self) -> dict[str, int]:
        """Images asked for, by probe."""
        import pyarrow.parquet as pq

        table = pq.read_table(self.root / "probes.parquet", columns=["probe_id", "asked_images"])
        counts = dict(zip(*(column.to_pylist() for column in table.columns), strict=True))
        return {str(probe): int(count) for probe, count in counts.items()}

    # -- samples, images, embeddings, labels ---------------------------------------------------------------------

    def image_store(self, kind: str, batch: int) -> FileStore | TarStore | NoStore:
        """Where images go: `files`, `tar` or `none`; `batch` is the first batch that this process writes."""
        if kind == "none":
            return NoStore()
        return TarStore(self.root, batch) if kind == "tar" else FileStore(self.root)

    def write_samples(self, number: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store the samples of batch `number`. This comes last: a batch counts as made once its samples are there."""
        import pyarrow as pa

        table = pa.Table.from_pylist([dict(row) for row in rows], schema=samples_schema())
        self.samples.write(number, lambda file: write_table(table, file))

    def labels(self, classifier: str) -> Parts:
        """The parts of the labels of one classifier."""
        return Parts(self.root / "labels" / classifier, ".parquet")

    def write_labels(
        self, classifier: str, first: int, last: int, keys: Mapping[str, Sequence[Any]], labels: Sequence[Labels]
    ) -> None:
        """Store the labels of the images of the batches `first` to `last`.

        `keys` holds `sample_id`, `probe_id` and `index` of these images, in the order of the labels.
        """
        import pyarrow as pa

        columns = {name: pa.array(keys[name], labels_schema().field(name).type) for name in KEYS}
        count = len(columns["sample_id"])
        tables = []
        for label in labels:
            width = label.scores.shape[1]
            offsets = pa.array(range(0, (count + 1) * width, width) if width else [0] * (count + 1), pa.int32())
            scores = pa.ListArray.from_arrays(offsets, pa.array(label.scores.ravel(), pa.float32()))
            answers = {"attribute": [label.attribute] * count, "class": list(label.answer), "scores": scores}
            tables.append(pa.Table.from_pydict({**columns, **answers}, schema=labels_schema()))
        table = pa.concat_tables(tables) if tables else labels_schema().empty_table()
        self.labels(classifier).write(first, lambda file: write_table(table, file), last)

    def people(self, classifier: str) -> Parts:
        """The parts of the people whom one classifier tells apart, beside its labels."""
        return Parts(self.root / "people" / classifier, ".parquet")

    def embeddings(self, name: str) -> Parts:
        """The parts of the embeddings of one image tower: one row per image with outcome `ok`, in order."""
        return Parts(self.root / "embeddings" / name, ".npy")

    def write_embeddings(self, name: str, number: int, array: npt.NDArray[np.float16]) -> None:
        """Store the embeddings (n × d, fp16) of the images of batch `number`."""
        import numpy as np

        self.embeddings(name).write(number, lambda file: np.save(file, array))

    def embeddings_of(self, name: str, first: int, last: int) -> npt.NDArray[np.float16] | None:
        """Embeddings of the images of the batches `first` to `last`, or None if they are not all stored."""
        import numpy as np

        parts = [part for part in self.embeddings(name).present() if part.first <= last and part.last >= first]
        if not parts or parts[0].first != first or parts[-1].last != last:
            return None
        return np.concatenate([np.load(part.path) for part in parts])

    def sample_parts(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, int, pa.Table]]:
        """The samples (all columns, or some), a part at a time: first batch, last batch, table.

        Where `file` or `details` is named, forgotten samples are left out: these went with their images. Where `file`
        is named, so are images that the run does not keep.
        """
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        kept = ~pc.starts_with(pc.field("sample_id"), FORGOTTEN) if {"file", "details"} & set(columns or ()) else None
        if kept is not None and "file" in (columns or ()):
            kept = kept & ((pc.field("outcome") != "ok") | (pc.field("file") != ""))
        for part in self.samples.present():
            names = None if columns is None else list(columns)
            yield part.first, part.last, pq.read_table(part.path, columns=names, filters=kept)

    def images_of(self, part: Part) -> pa.Table:
        """The rows of the images (outcome `ok`, not forgotten) of one part of the samples, in order."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        kept = ~pc.starts_with(pc.field("sample_id"), FORGOTTEN)
        return pq.read_table(part.path, filters=(pc.field("outcome") == "ok") & kept)

    def labels_of(self, classifier: str, number: int) -> pa.Table:
        """The labels of one classifier for batch `number`, before parts are merged."""
        import pyarrow.parquet as pq

        return pq.read_table(self.labels(classifier).path(number, number))

    def label_parts(self, classifier: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The labels of one classifier (all columns, or some), a part at a time."""
        import pyarrow.parquet as pq

        for part in self.labels(classifier).present():
            yield pq.read_table(part.path, columns=None if columns is None else list(columns))

    def classifiers(self) -> list[str]:
        """Names of the classifiers whose labels are complete."""
        made = self.samples.batches()
        folder = self.root / "labels"
        names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        known = self.record()["classifiers"]
        return [name for name in names if name in known and made <= self.labels(name).batches()]

    def place(self, row: Mapping[str, Any]) -> Place:
        """Where the image of a sample lies."""
        return Place(row["file"], row["offset"], row["length"])

    # -- completion ----------------------------------------------------------------------------------------------

    def merge(self) -> None:
        """Merge small parts into large ones. Only for a complete run, under the lock `analysis`."""
        self.samples.merge(_join_tables)
        for folder in sorted((*(self.root / "labels").glob("*"), *(self.root / "people").glob("*"))):
            Parts(folder, ".parquet").merge(_join_tables)
        for folder in sorted((self.root / "embeddings").glob("*")):
            Parts(folder, ".npy").merge(_join_arrays)

    def tables_folder(self) -> Path:
        """Where the tables of the audit lie."""
        return self.root / "tables"

    def reference(self, name: str) -> Path | None:
        """The CSV of an own reference that this run was compared with before, by its name."""
        path = self.root / "references" / f"{name}.csv"
        return path if path.is_file() else None

    def keep_reference(self, files: Mapping[str, bytes]) -> None:
        """Keep the files of a reference that is not built in (name → content) in references/."""
        for name, content in files.items():
            write_bytes(self.root / "references" / name, content)

    def keep_error_rates(self, path: Path | None) -> Path | None:
        """Keep a copy of a file of declared error rates; where the copy lies, or None if there is none."""
        kept = self.root / "error-rates.yaml"
        if path is not None and path.is_file():
            write_bytes(kept, path.read_bytes())
        return kept if kept.is_file() else None

    def human_folder(self) -> Path:
        """Where the labels of people lie, and which images each labelling sheet holds."""
        return self.root / "human"

    def calibration_folder(self) -> Path:
        """Where the calibrations from other images lie that this run was analysed with."""
        return self.root / "calibration"

    def write_csv(self, name: str, table: pd.DataFrame) -> None:
        """Store one table of the audit as tables/NAME.csv."""
        text = table.to_csv(index=False, lineterminator="\n")
        write_bytes(self.tables_folder() / f"{name}.csv", text.encode())

    def has_table(self, name: str) -> bool:
        """True if this table of the audit was made."""
        return (self.tables_folder() / f"{name}.csv").is_file()

    def table(self, name: str) -> pd.DataFrame:
        """One table of the audit.

        Raises:
            UsageError: if it was not made yet.
        """
        import pandas as pd

        path = self.tables_folder() / f"{name}.csv"
        if not path.is_file():
            raise UsageError(
                f"{self.root} has no tables/{name}.csv yet. Finish the run, or run: rolecall analyze {self.root}"
            )
        table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={**TEXTS, "reference": "str"})
        texts = [name for name in TEXTS if name in table]
        return table.fillna(dict.fromkeys(texts, ""))

    def digests(self) -> dict[str, str]:
        """SHA-256 of every part and table, by path in the run directory."""
        folders = ("samples", "embeddings", "labels", "people", "human", "references", "calibration", "tables")
        paths = [self.root / "probes.parquet"]
        for folder in folders:
            paths += sorted(path for path in (self.root / folder).rglob("*") if path.is_file())
        return {
            path.relative_to(self.root).as_posix(): sha256_of(path) for path in paths if not path.name.startswith(".")
        }


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _difference(old: object, new: object, where: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(set(old) | set(new)):
            if old.get(key) != new.get(key):
                yield from _difference(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    else:
        yield f"{where} was {_short(old)}, now {_short(new)}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
