"""Columns of the Parquet files in a run directory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from probes.probe import Probe

if TYPE_CHECKING:
    import pyarrow as pa


def samples_schema() -> pa.Schema:
    """Columns of samples/*.parquet."""
    import pyarrow as pa

    return pa.schema(
        [
            ("batch", pa.int32()),
            ("sample_id", pa.string()),
            ("probe_id", pa.string()),
            ("index", pa.int32()),
            ("seed", pa.int64()),
            ("outcome", pa.string()),
            ("reason", pa.string()),
            ("file", pa.string()),
            ("offset", pa.int64()),
            ("length", pa.int64()),
            ("sha256", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("details", pa.string()),
        ]
    )


def labels_schema() -> pa.Schema:
    """Columns of labels/CLASSIFIER/*.parquet."""
    import pyarrow as pa

    return pa.schema(
        [
            ("sample_id", pa.string()),
            ("probe_id", pa.string()),
            ("index", pa.int32()),
            ("attribute", pa.string()),
            ("class", pa.string()),
            ("scores", pa.list_(pa.float32())),
        ]
    )


def probe_table(probes: Sequence[Probe], planned: Mapping[str, int]) -> pa.Table:
    """probes.parquet: one row a probe, with the images asked for in `asked_images`."""
    import pyarrow as pa

    rows = []
    for probe in probes:
        row = dict(vars(probe))
        row["keys"] = json.dumps(dict(probe.keys), sort_keys=True)
        row["asked"] = json.dumps(dict(probe.asked), sort_keys=True)
        row["asked_images"] = planned[probe.probe_id]
        rows.append(row)
    return pa.Table.from_pylist(rows)
