"""Images with captions in a Parquet file: captions a row group at a time, images in small batches and only if asked
for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from probes.importers.collections import ADDRESSES, CAPTIONS, ONLY_ADDRESS, Entry, caption_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

IMAGES = ("image", "jpg", "jpeg", "png", "webp", "img", "image_bytes", "bytes", "data", "content")
"""Usual names of a column of images, in small letters, best first."""
BATCH = 16
"""Rows whose images are in memory at once, where pages are small; else the page or row group is."""
CAPTION_BATCH = 4096
"""Rows whose captions are."""


class _Columns(NamedTuple):
    caption: str
    image: str
    """Empty if there is none."""
    address: bool


def rows_of_parquet(path: Path) -> Iterator[Entry]:
    """The rows of a Parquet file. What cannot be read is an entry with the reason and the number of its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    broken = (pa.ArrowException, OSError, ValueError)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20))
            columns = _columns(file.schema_arrow)
            groups = file.num_row_groups
        except broken:
            missing = "" if path.is_file() else "a file of the collection is missing"
            yield Entry("end", reason=missing or "a Parquet file of the collection cannot be read")
            return
        if not columns.caption:
            reason = "a Parquet file of the collection has no column of captions"
            yield Entry("end", reason=reason, rows=max(file.metadata.num_rows, 1))
            return
        for group in range(groups):
            done, rows = 0, file.metadata.row_group(group).num_rows
            try:
                for entry in _group(file, group, columns):
                    done += 1
                    yield entry
            except broken:
                pass
            if done < rows:
                reason = "a part of a Parquet file cannot be read"
                yield Entry(f"{group}/end", reason=reason, rows=rows - done)


def _columns(schema: pa.Schema) -> _Columns:
    import pyarrow.types as types

    names = {name.strip().lower(): name for name in reversed(schema.names)}
    caption = next((names[name] for name in CAPTIONS if name in names), "")
    held = [field.name for field in schema if _holds_images(field.type)]
    named = [names[name] for name in IMAGES if names.get(name) in held]
    structs = [name for name in held if types.is_struct(schema.field(name).type)]
    image = next(iter([*named, *structs, *(held if len(held) == 1 else [])]), "")
    return _Columns(caption, image, any(name in names for name in ADDRESSES))


def _holds_images(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _group(file: pq.ParquetFile, group: int, columns: _Columns) -> Iterator[Entry]:
    images = _Images(file, group, columns.image)
    row = 0
    batches = file.iter_batches(CAPTION_BATCH, row_groups=[group], columns=[columns.caption], use_threads=False)
    for batch in batches:
        for given in batch.column(0).to_pylist():
            caption = caption_of(given)
            reason = "" if caption else "there is no caption"
            if not columns.image:
                reason = reason or (ONLY_ADDRESS if columns.address else "the Parquet file has no column of images")
            yield Entry(f"{group}/{row}", caption, partial(images.read, row) if columns.image else None, reason)
            row += 1


class _Images:
    """The images of one row group, read forwards."""

    def __init__(self, file: pq.ParquetFile, group: int, column: str) -> None:
        self._file, self._group, self._column = file, group, column
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._held: Any = None
        self._first = self._next = 0

    def read(self, row: int) -> bytes:
        """The bytes of the image in a row of the group.

        Raises:
            OSError: if there are none, or the file is damaged there.
        """
        import pyarrow as pa

        try:
            if self._held is None or row < self._first:
                self._batches = self._file.iter_batches(
                    BATCH, row_groups=[self._group], columns=[self._column], use_threads=False
                )
                self._first = self._next = 0
            while row >= self._next:
                self._held = next(self._batches).column(0)
                self._first, self._next = self._next, self._next + len(self._held)
            given = self._held[row - self._first].as_py()
        except (pa.ArrowException, OSError, ValueError, StopIteration) as error:
            raise OSError("the Parquet file is damaged there") from error
        data: Any = given.get("bytes") if isinstance(given, dict) else given
        if not data:
            raise OSError("the row holds no image" + (", only a path" if given else ""))
        return bytes(data)
