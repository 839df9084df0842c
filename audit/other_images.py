"""Calibrations from other images than the run's own: a CSV of true and predicted class, or a run of photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from audit import human
from audit.calibration import Calibration, paired, questions_of, tabulate
from audit.classifiers.base import NOT_MEASURED, Question
from audit.errors import UsageError, nearest
from audit.parts import write_bytes
from audit.rows import Row, probability, read_rows, whole

if TYPE_CHECKING:
    import pandas as pd

    from audit.store import Store


def from_csv(path: Path, question: Question, classifier: str = "") -> Calibration:
    """A calibration from other images: a CSV of what people and what the classifier answered.

    Columns: attribute, true, predicted; where there are any also count (images that the line stands for),
    sampling_probability, and classifier (lines of other classifiers are passed over).

    Raises:
        UsageError: if the file cannot be used, or says nothing of the question; in one line.
    """
    lines = [line for line in _lines(path) if line.cells.get("classifier", classifier) == classifier]
    rows = _checked(lines, [question])
    if rows.empty:
        raise UsageError(f"{path.name} holds no line of {question.attribute!r}. Check its column attribute.")
    return tabulate(classifier, question, rows, "other", note=_note(path.stem))


def load(names: Sequence[str], store: Store) -> dict[tuple[str, str], Calibration]:
    """Calibrations from other images, by classifier and attribute.

    Args:
        names: paths of CSVs (see `from_csv`), paths of runs whose images people have labelled, or names under which
            the run keeps what it was calibrated with before.
        store: the run to calibrate.

    Raises:
        UsageError: if a file or run cannot be used, or two of them calibrate the same; in one line.
    """
    asked = questions_of(store)
    found: dict[tuple[str, str], Calibration] = {}
    for name in names:
        rows = _rows(name, store, asked)
        for (classifier, attribute), part in rows.groupby(["classifier", "attribute"], sort=False):
            key = (str(classifier), str(attribute))
            if key in found:
                raise UsageError(
                    f"two calibrations say what {key[0]} answers for {key[1]!r}, the second is {name}. Give one."
                )
            question = next(each for each in asked[key[0]] if each.attribute == key[1])
            found[key] = tabulate(key[0], question, part, "other", note=_note(short_name(name)))
    return found


def keep(names: Sequence[str], store: Store) -> list[str]:
    """Keep what the run is calibrated with in its folder calibration/, and return the names it is kept under.

    Raises:
        UsageError: as `load`; also if two have the same name.
    """
    short = [short_name(name) for name in names]
    for name in short:
        if short.count(name) > 1:
            raise UsageError(f"two calibrations are called {name!r} (got {', '.join(names)}). Rename one.")
    kept = {name: _rows(path, store, questions_of(store)) for name, path in zip(short, names, strict=True)}
    for name, rows in kept.items():
        keys = ["classifier", "attribute", "true", "predicted", "sampling_probability"]
        table = rows.groupby(keys, sort=False)["count"].sum().reset_index()
        write_bytes(store.calibration_folder() / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
    return short


def short_name(name: str) -> str:
    """The name under which a calibration is kept: that of the CSV without its ending, or of the run's folder."""
    path = Path(name)
    return path.stem if path.suffix == ".csv" else path.resolve().name


def _rows(name: str, store: Store, asked: Mapping[str, Sequence[Question]]) -> pd.DataFrame:
    """What people and classifiers answered, one row for so many images: classifier, attribute, true, predicted, count,
    sampling_probability."""
    import pandas as pd

    path, kept = Path(name), store.calibration_folder() / f"{short_name(name)}.csv"
    if (path / "run.json").is_file() or (path.is_dir() and not kept.is_file()):
        return _rows_of_run(path, store)
    if not path.is_file() and not kept.is_file():
        raise UsageError(f"calibration {name} does not exist. Give the path of a CSV or of a run.")
    lines = _lines(path if path.is_file() else kept)
    if "classifier" not in lines[0].cells:
        if len(asked) > 1:
            raise UsageError(
                f"{path.name} does not say which classifier it is about, and {store.root} has {', '.join(asked)}. "
                "Add a column classifier."
            )
        lines = [line._replace(cells={**line.cells, "classifier": next(iter(asked))}) for line in lines]
    for line in lines:
        if line.cells["classifier"] not in asked:
            raise UsageError(
                f"{line.where}: {store.root} has no labels of {line.cells['classifier']!r}. "
                f"{nearest(line.cells['classifier'], asked)}"
            )
    parts = []
    for classifier, questions in asked.items():
        part = _checked([line for line in lines if line.cells["classifier"] == classifier], questions)
        if not part.empty:
            parts.append(part.assign(classifier=classifier))
    if not parts:
        raise UsageError(f"{path.name} counts no image. Give at least one line with a count above 0.")
    return pd.concat(parts, ignore_index=True)


def _rows_of_run(path: Path, store: Store) -> pd.DataFrame:
    """The same from another run, for every classifier of this run that labelled the other one too."""
    import pandas as pd

    from audit.store import Store

    other = Store.open(path)
    if other.root.resolve() == store.root.resolve():
        raise UsageError(f"{path} is the run itself. Its own labels are used without --calibration.")
    given = human.labels(other)
    if given.empty:
        raise UsageError(f"nobody has labelled images of {path}. Run: rolecall annotate {path}")
    ours, theirs = store.record()["classifiers"], other.record()["classifiers"]
    parts = []
    for classifier in human.ordered_classifiers(store):
        same = [
            name
            for name in human.ordered_classifiers(other)
            if theirs[name]["fingerprint"] == ours[classifier]["fingerprint"]
        ]
        for name in same[:1]:
            rows = paired(other, name, given).assign(classifier=classifier, count=1)
            for question in questions_of(store)[classifier]:
                part = rows[rows["attribute"] == question.attribute]
                if not part.empty and set(part["true"]) <= {*question.classes, *NOT_MEASURED}:
                    parts.append(part)
    if not parts:
        raise UsageError(
            f"{path} was labelled by another instrument ({', '.join(theirs)}) than {store.root} ({', '.join(ours)}): "
            "error rates hold for one instrument with its wordings only. Label it with the same one."
        )
    return pd.concat(parts, ignore_index=True)


def _lines(path: Path) -> list[Row]:
    return read_rows(path, ("attribute", "true", "predicted"), ("count", "sampling_probability", "classifier"))


def _checked(lines: Sequence[Row], questions: Sequence[Question]) -> pd.DataFrame:
    """The lines as a table, every attribute and answer known."""
    import pandas as pd

    known = {each.attribute: (*each.classes, *NOT_MEASURED) for each in questions}
    rows = []
    for line in lines:
        attribute = line.cells["attribute"]
        if attribute not in known:
            raise UsageError(f"{line.where}: unknown attribute {attribute!r}. {nearest(attribute, known)}")
        for column in ("true", "predicted"):
            answer = line.cells[column]
            if answer not in known[attribute]:
                raise UsageError(
                    f"{line.where}: {column} is {answer!r}, which is no class of {attribute!r}. "
                    f"{nearest(answer, known[attribute])}"
                )
        count = whole(line, "count") if "count" in line.cells else 1
        chance = probability(line, "sampling_probability") if "sampling_probability" in line.cells else 1.0
        if count:
            rows.append((attribute, line.cells["true"], line.cells["predicted"], count, chance))
    return pd.DataFrame(rows, columns=["attribute", "true", "predicted", "count", "sampling_probability"])


def _note(name: str) -> str:
    return f"From other images ({name}): it holds if the classifier errs on this run's images as it did on those."
