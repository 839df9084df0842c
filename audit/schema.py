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


PLACE = (
    *("left", "top", "right", "bottom", "image_width", "image_height", "share", "centre_x", "centre_y"),
    *("confidence", "pose", "enlarged"),
)
"""Columns of people/ that say where a person is and how well they were found; empty where that is not known or kept."""


def people_schema() -> pa.Schema:
    """Columns of people/CLASSIFIER/*.parquet, one row a person; answers and scores in the order of the questions."""
    import pyarrow as pa

    return pa.schema(
        [
            ("sample_id", pa.string()),
            ("probe_id", pa.string()),
            ("index", pa.int32()),
            ("person", pa.int32()),
            ("counted", pa.bool_()),
            *((name, pa.int32()) for name in PLACE[:6]),
            *((name, pa.float32()) for name in PLACE[6:10]),
            ("pose", pa.string()),
            ("enlarged", pa.bool_()),
            ("answers", pa.list_(pa.string())),
            ("scores", pa.list_(pa.list_(pa.float32()))),
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


TEXTS = dict.fromkeys(
    (
        *("probe_id", "subject", "language", "template", "form", "class", "direction", "conclusion", "status"),
        *("method", "cell", "attributes", "first", "second", "reading", "viewer", "predicted", "baseline", "other"),
        *("decided", "added_words", "evidence", "first_answer", "second_answer", "instrument", "answer", "lowest_by"),
        *("highest_by", "kind", "conclusions", "conclusion_robust", "first_probe_id", "generator", "prompt_source"),
        *("claim_generator", "software_agent", "source_type", "signature", "reason", "issuer"),
    ),
    "str",
)
"""Columns of tables that hold texts, whatever stands in them."""
