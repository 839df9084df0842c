"""Runs as references: what the pictures of another run have shown, and what a model was shown in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.config import slug
from audit.counts import ANSWERED
from audit.errors import UsageError
from audit.reference import PARTS, PROBE, RUN, TRAINING, Reference, ReferenceDataError, Seen
from audit.reference_files import Nested, from_counts
from audit.store import Store
from probes.importers.captions import GENDER, NO_GENDER
from probes.probe import nearest

if TYPE_CHECKING:
    import pandas as pd

    from audit.calibration import Calibration

_TEMPLATES = dict(zip(PARTS, (NO_GENDER, GENDER), strict=True))
_TOLD = {
    "": "all captions of that subject",
    "no-gender": "captions of that subject that name no gender",
    "gender": "captions of that subject that name a gender",
}

Cells = dict[str, dict[str, dict[tuple[str, str], tuple[float, float]]]]


def read_run(where: str) -> Reference:
    """The labelled images of another run as a reference: `PATH`, or `PATH@CLASSIFIER` if it has several classifiers.

    A probe is compared with the probe of the same id, else with all probes of its subject together. Images without a
    class (unclear, no person, several people) are left out, as they are from shares; so is a probe without any label.

    Raises:
        ReferenceDataError: if there is no run with tables there, or it does not have this classifier, or has several.
    """
    store, name, alone = _opened(RUN, where)
    record = store.record()
    title = f"run-{slug(str(record['name']))}" + ("" if alone else f"-{slug(name)}")
    reference = _counted(store, RUN + where, name, title, rows=lambda probe, subject: (PROBE + probe, subject))
    return replace(reference, card=_card(record, name, reference.sizes))


def read_training(where: str) -> Reference:
    """An audited training set as a reference: `PATH`, `PATH@CLASSIFIER`, and behind either `#no-gender` or `#gender`.

    A probe is compared with all captions of its subject, or with those that name no gender, or with those that name
    one.

    Raises:
        ReferenceDataError: as `read_run`; if the run is no audit of training data, or there are no such captions.
    """
    path, part = _parted(where)
    if part not in _TOLD:
        raise ReferenceDataError(f"reference {TRAINING}{where}: {part!r} is no part: {nearest(part, PARTS)}")
    store, name, alone = _opened(TRAINING, path)
    record = store.record()
    if not record.get("training"):
        raise ReferenceDataError(
            f"reference {TRAINING}{where} is no audit of training data. Make one with rolecall training, or compare "
            f"with the run itself: {RUN}{path}."
        )
    own = slug(str(record["name"])).removesuffix("-training") or "data"
    title = "-".join(["training", own, *([] if alone else [slug(name)]), *([part] if part else [])])
    chosen = None if not part else _TEMPLATES[part]
    rows = partial(_of_subject, chosen)
    reference = _counted(store, TRAINING + where, name, title, rows=rows)
    return replace(reference, card=_training_card(record, name, part, reference.sizes))


def is_run(where: str) -> bool:
    """Whether `PATH`, `PATH@CLASSIFIER` or `PATH#PART` is a run directory."""
    path = _split(_parted(where)[0])[0]
    return (Path(path) / "run.json").is_file()


def has_parts(where: str) -> bool:
    """Whether this names a whole training run that has labelled images of captions of either kind."""
    if _parted(where)[1] or not is_run(where):
        return False
    try:
        return all(read_training(f"{where}#{part}").sizes for part in PARTS)
    except ReferenceDataError:
        return False


def _parted(where: str) -> tuple[str, str]:
    """Path (with the classifier) and part; a folder whose name has a # is no part."""
    path, mark, part = where.rpartition("#")
    return (path, part) if mark and not Path(where).is_dir() else (where, "")


def _split(where: str) -> tuple[str, str]:
    """Path and classifier."""
    path, _, classifier = where.rpartition("@") if "@" in where and not Path(where).is_dir() else (where, "", "")
    return path, classifier


def _opened(kind: str, where: str) -> tuple[Store, str, bool]:
    """The run, whose labels are taken, and whether it has no others."""
    path, classifier = _split(where)
    try:
        store = Store.open(Path(path))
        names = list(dict.fromkeys(store.table("shares")["classifier"]))
    except UsageError as error:
        raise ReferenceDataError(f"reference {kind}{where}: {error}") from None
    return store, _classifier(kind + where, classifier, names), len(names) == 1


def _classifier(where: str, given: str, names: list[str]) -> str:
    if given and given not in names:
        raise ReferenceDataError(f"reference {where} has no labels of {given!r}: {nearest(given, names)}")
    if not given and len(names) != 1:
        raise ReferenceDataError(
            f"reference {where} has labels of {len(names)} classifiers ({', '.join(names)}). "
            f"Say whose: {where}@{names[0] if names else 'CLASSIFIER'}."
        )
    return given or names[0]


def _of_subject(template: str | None, probe: str, subject: str) -> tuple[str, ...]:
    """The row that the captions of a probe of a training run count in."""
    return (subject,) if template is None or probe == f"{subject}.{template}" else ()


def _counted(store: Store, where: str, classifier: str, title: str, *, rows: Any) -> Reference:
    """The counts of a run by row, with all that is known of its images. `rows` says in which rows a probe counts."""
    from audit.calibration import calibrations

    shares = store.table("shares")
    table = _classes(shares[shares["classifier"] == classifier], rows)
    if not table:
        raise ReferenceDataError(f"reference {where} has no labelled image. Compare with another run.")
    try:
        known = calibrations(store, (), [classifier])
    except UsageError as error:
        raise ReferenceDataError(f"reference {where}: {error}") from None
    entry = store.record()["classifiers"].get(classifier) or {}
    people = bool((entry.get("card") or {}).get("people"))
    subjects = {probe.probe_id: probe.subject for probe in store.probes()}
    labels = {attribute: _labels(found, subjects, rows) for (_, attribute), found in known.items()}
    answers = _answers(store.table("missing"), classifier, table, rows)
    reference = Reference(title, {}, table, images="people" if people else "classifier", seen=Seen(answers, labels))
    return from_counts(reference, title)


def _classes(shares: pd.DataFrame, rows: Any) -> Nested:
    """attribute → row → class → count."""
    columns = ["probe_id", "subject", "attribute", "class", "count", "n"]
    once = shares[columns].drop_duplicates(["probe_id", "attribute", "class"])
    once = once[once["n"] > 0]
    table: Nested = {}
    for probe, subject, attribute, name, count in once[columns[:-1]].itertuples(index=False, name=None):
        for row in rows(probe, subject):
            counts = table.setdefault(attribute, {}).setdefault(row, {})
            counts[name] = counts.get(name, 0) + int(count)
    return table


def _answers(missing: pd.DataFrame, classifier: str, table: Nested, rows: Any) -> Nested:
    """The same with the images that have no class."""
    found: Nested = {a: {row: dict(counts) for row, counts in each.items()} for a, each in table.items()}
    lost = missing[missing["classifier"] == classifier]
    for probe, subject, attribute, *numbers in lost[["probe_id", "subject", "attribute", *ANSWERED]].itertuples(
        index=False, name=None
    ):
        for row in rows(probe, subject):
            if row in found.get(attribute, {}):
                counts = found[attribute][row]
                counts |= {name: counts.get(name, 0) + int(n) for name, n in zip(ANSWERED, numbers, strict=True)}
    return found


def _labels(found: Calibration, subjects: Mapping[str, str], rows: Any) -> dict[str, Any]:
    """row → answers of people and of the classifier → sums of weights and of their squares."""
    cells: dict[str, dict[tuple[str, str], tuple[float, float]]] = {}
    for probe, weights in found.by_probe.items():
        squares = found.squares_by_probe[probe]
        for y, c in np.argwhere(weights > 0):
            pair = (found.answers[y], found.predicted[c])
            for row in rows(probe, subjects[probe]):
                before = cells.setdefault(row, {}).get(pair, (0.0, 0.0))
                cells[row][pair] = (before[0] + float(weights[y, c]), before[1] + float(squares[y, c]))
    return cells


def _card(record: dict[str, Any], classifier: str, sizes: Mapping[str, Mapping[str, int]]) -> dict[str, object]:
    model, suite = record["model"]["name"], record["suite"]["name"]
    images = sorted(n for rows in sizes.values() for row, n in rows.items() if row.startswith(PROBE))
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
            f"The reference is itself counted, on {_number(images)} labelled images a probe. This sampling error of "
            "its own is not in the tests and intervals: distances from it come out too large, and p-values too small.",
            f"The shares are what {classifier} perceived. Where another instrument labels the run that is compared, "
            "part of a distance may be the instruments'.",
            "Two runs with the same seeds are compared more sharply pair by pair than through a reference.",
        ],
    }


def _training_card(
    record: dict[str, Any], classifier: str, part: str, sizes: Mapping[str, Mapping[str, int]]
) -> dict[str, object]:
    images = sorted(n for rows in sizes.values() for n in rows.values())
    beside = {"no-gender": " (captions that name no gender)", "gender": " (captions that name a gender)"}.get(part, "")
    return {
        "title": f"Training data {record['model']['name']}{beside}",
        "source": f"The run {record['name']}, as labelled by {classifier}. {record['suite']['card']['source']}",
        "year": str(record["created"])[:4],
        "universe": "The labelled images whose captions name one subject; those without a class are left out.",
        "mapping": [
            f"A probe is compared with {_TOLD[part]}.",
            "Classes are compared by name, and must be the same in both runs.",
        ],
        "caveats": [
            "Training data say what a model was shown, not what it should show.",
            f"The shares are what {classifier} perceived in photographs, where it errs otherwise than in generated "
            "pictures. That a model amplifies them is claimed with people's labels on both sides, or beyond delta.",
            f"The reference is itself counted, on {_number(images)} labelled images a subject. This sampling error is "
            "in the claims about amplification; it is not in the tests and intervals of single prompts and gaps.",
            "Models are trained on parts of a collection, filtered and weighted; here the collection counts as given.",
        ],
    }


def _number(images: Sequence[int]) -> str:
    return f"{images[0]} to {images[-1]}" if images[0] < images[-1] else str(images[0])
