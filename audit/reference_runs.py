"""Another run as a reference: what its pictures have shown, probe by probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.config import slug
from audit.errors import UsageError
from audit.reference import PROBE, Reference, ReferenceDataError
from audit.reference_files import Nested, from_counts
from audit.store import Store
from probes.probe import nearest

if TYPE_CHECKING:
    import pandas as pd


def read_run(where: str) -> Reference:
    """The labelled images of another run as a reference: `PATH`, or `PATH@CLASSIFIER` if it has several classifiers.

    A probe is compared with the probe of the same id, else with all probes of its subject together. Images without a
    class (unclear, no person, several people) are left out, as they are from shares; so is a probe without any label.

    Raises:
        ReferenceDataError: if there is no run with tables there, or it does not have this classifier, or has several.
    """
    path, _, classifier = where.rpartition("@") if "@" in where and not Path(where).is_dir() else (where, "", "")
    try:
        store = Store.open(Path(path))
        record, shares = store.record(), store.table("shares")
    except UsageError as error:
        raise ReferenceDataError(f"reference run:{where}: {error}") from None
    names = list(dict.fromkeys(shares["classifier"]))
    name = _classifier(where, classifier, names)
    table = _counts(shares[shares["classifier"] == name])
    if not table:
        raise ReferenceDataError(f"reference run:{where} has no labelled image. Compare with another run.")
    title = f"run-{slug(str(record['name']))}" + (f"-{slug(name)}" if len(names) > 1 else "")
    reference = from_counts(Reference(title, {}, table), title)
    return replace(reference, card=_card(record, name, reference.sizes))


def _classifier(where: str, given: str, names: list[str]) -> str:
    if given and given not in names:
        raise ReferenceDataError(f"reference run:{where} has no labels of {given!r}: {nearest(given, names)}")
    if not given and len(names) != 1:
        raise ReferenceDataError(
            f"reference run:{where} has labels of {len(names)} classifiers ({', '.join(names)}). "
            f"Say whose: run:{where}@{names[0] if names else 'CLASSIFIER'}."
        )
    return given or names[0]


def _counts(shares: pd.DataFrame) -> Nested:
    """attribute → row → class → count; rows are probes and, over all their probes together, subjects."""
    columns = ["probe_id", "subject", "attribute", "class", "count", "n"]
    once = shares[columns].drop_duplicates(["probe_id", "attribute", "class"])
    once = once[once["n"] > 0]
    table: Nested = {}
    for probe, subject, attribute, name, count in once[columns[:-1]].itertuples(index=False, name=None):
        rows = table.setdefault(attribute, {})
        for row in (PROBE + probe, subject):
            counts = rows.setdefault(row, {})
            counts[name] = counts.get(name, 0) + int(count)
    return table


def _card(record: dict[str, Any], classifier: str, sizes: Mapping[str, Mapping[str, int]]) -> dict[str, object]:
    model, suite = record["model"]["name"], record["suite"]["name"]
    images = sorted(n for rows in sizes.values() for row, n in rows.items() if row.startswith(PROBE))
    number = f"{images[0]} to {images[-1]}" if images[0] < images[-1] else str(images[0])
    return {
        "title": f"The run {record['name']}",
        "source": f"Images of {model} for the suite {suite}, as labelled by {classifier}.",
        "year": str(record["created"])[:4],
        "universe": "The labelled images of that run; those without a class are left out.",
        "mapping": [
            "A probe is compared with the probe of the same id, else with all probes of its subject together.",
            "Classes are compared by name, and must be the same in both runs.",
        ],
        "caveats": [
            f"The reference is itself counted, on {number} labelled images a probe. This sampling error of its own is "
            "not in the tests and intervals: distances from it come out too large, and p-values too small.",
            f"The shares are what {classifier} perceived. Where another instrument labels the run that is compared, "
            "part of a distance may be the instruments'.",
            "Two runs with the same seeds are compared more sharply pair by pair than through a reference.",
        ],
    }
