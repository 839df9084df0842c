"""duplicates.csv: images of a run that show the very same pixels as another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from audit.store import Store

DUPLICATES = ("probe_id", "index", "first_probe_id", "first_index")
"""Columns of duplicates.csv."""
_PIXELS = r'"pixels": "(?P<digest>[0-9a-f]{64})"'
"""The digest of the pixels in `details` (see `audit.sources`); quotes within texts are escaped there."""


def duplicates_table(store: Store) -> pd.DataFrame:
    """The images of a run that show the same pixels as an earlier one.

    Imported images are compared by the digest of their pixels. Images that a generator made, and imported ones of runs
    without this digest, are compared by that of their bytes, which for lossless WebP comes to the same. Images that the
    run does not hold, as those of forgotten samples, are in no row.

    Returns:
        As `copies`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = ["probe_id", "index", "outcome", "sha256", "details"]
    parts = [_digests(table.filter(pc.equal(table["outcome"], "ok"))) for *_, table in store.sample_parts(columns)]
    return copies(
        pa.concat_tables(parts) if parts else pa.table({name: [] for name in ("probe_id", "index", "digest")})
    )


def copies(images: pa.Table) -> pd.DataFrame:
    """Those of some images that are the same as an earlier one.

    Args:
        images: columns probe_id, index and digest, in any order.

    Returns:
        Columns `DUPLICATES`, in the order of probe and index: one row for each image but the first of those that are
        the same. The image named first is the first one of the same probe or, for the first one there, of all probes.
    """
    import pandas as pd
    import pyarrow as pa

    codes = images["digest"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    found = pd.Series(codes)
    found = found[found.duplicated(keep=False)]
    rows = images.take(pa.array(found.index, pa.int64())).select(["probe_id", "index"]).to_pandas()
    rows = rows.assign(code=found.to_numpy()).sort_values(["probe_id", "index"], ignore_index=True)
    first = rows.drop_duplicates("code").set_index("code")
    home = rows.groupby(["code", "probe_id"])["index"].transform("first")
    again = home != rows["index"]
    rows["first_probe_id"] = rows["probe_id"].where(again, rows["code"].map(first["probe_id"]))
    rows["first_index"] = home.where(again, rows["code"].map(first["index"]))
    same = (rows["probe_id"] == rows["first_probe_id"]) & (rows["index"] == rows["first_index"])
    table: pd.DataFrame = rows.loc[~same, list(DUPLICATES)].reset_index(drop=True)
    return table


def _digests(table: pa.Table) -> pa.Table:
    """Probe, index and what the image is compared by, of the images that have such a digest."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pixels = pc.struct_field(pc.extract_regex(table["details"], _PIXELS), "digest")
    digest = pc.coalesce(pixels, table["sha256"])
    images = pa.table({"probe_id": table["probe_id"], "index": table["index"], "digest": digest})
    return images.filter(pc.not_equal(digest, ""))
