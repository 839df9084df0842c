"""What people answered: human/labels.csv of a run, how files come into it, and one answer an image out of several."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from audit.classifiers.base import NO_PERSON, NOT_MEASURED, SEVERAL_PEOPLE, UNCLEAR
from audit.errors import UsageError, nearest
from audit.parts import write_bytes
from audit.rows import Row, probability, read_rows

if TYPE_CHECKING:
    import pandas as pd

    from audit.progress import Progress
    from audit.results import Run
    from audit.store import Store

COLUMNS = ("sample_id", "rater", "attribute", "class", "stratum", "sampling_probability")
"""Columns of human/labels.csv and of the files that a labelling sheet gives."""
TRUTH = "truth"
"""The rater whose answers are the known truth of drawn images."""
EVERY = "all"
"""The stratum of images that were drawn from all images alike."""
SHEET = ("sample_id", "stratum", "code", "sampling_probability", "seed")
"""Columns of human/sheet-DIGEST.csv: which images a sheet holds. `code` stands for the stratum on the sheet, so that
nobody who labels can read there what was predicted."""


def read_labels(
    path: str | Path, files: Sequence[str | Path], *, progress: Progress | None = None, report: bool = True
) -> Run:
    """Take labels of people back into a run, and make its tables again.

    All files are checked before anything is changed; labels that were read before change nothing.

    Args:
        path: the run.
        files: CSVs with the columns sample_id, rater, attribute, class, stratum, sampling_probability.
        progress: told what is odd, but no fault: raters who have no image in common.
        report: write the report again as well.

    Returns:
        The run.

    Raises:
        UsageError: for anything that the caller can mend, in one line.
    """
    from audit.progress import Progress
    from audit.store import Store
    from audit.verbs import analyze

    progress = progress or Progress()
    store = Store.open(Path(path))
    rows = [(line, file) for file in map(Path, files) for line in read_rows(file, COLUMNS)]
    _same_run(store, rows)
    checked = _checked(store, [line for line, _ in rows])
    _add(store, checked, progress)
    return analyze(path, progress=progress, report=report)


def add_truth(store: Store, drawn: pd.DataFrame, attributes: Sequence[str], progress: Progress) -> None:
    """Take the known truth of some drawn images into human/labels.csv, as the rater `truth`.

    Args:
        store: the run.
        drawn: which images: sample_id, stratum, sampling_probability.
        attributes: which attributes.
        progress: told how many labels came in.

    Raises:
        UsageError: if the model does not record what its images show.
    """
    known = truth_labels(store).drop(columns=["stratum", "sampling_probability"])
    chosen = drawn[["sample_id", "stratum", "sampling_probability"]].merge(known, on="sample_id")
    rows = chosen[chosen["attribute"].isin(list(attributes))]
    _add(store, _listed(rows, "the truth"), progress)


def labels(store: Store) -> pd.DataFrame:
    """The content of human/labels.csv: one row a rater, image and attribute. Without rows if there are no labels.

    Raises:
        UsageError: if the file is damaged.
    """
    import pandas as pd

    path = store.human_folder() / "labels.csv"
    if not path.is_file():
        return frame([])
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(COLUMNS[:-1], "str"), keep_default_na=False)
        return table[list(COLUMNS)].astype({COLUMNS[-1]: np.float64})
    except (OSError, ValueError, KeyError):
        raise UsageError(f"{path} is damaged. Restore it from a copy of the run, or read the files again.") from None


def answers_of_people(store: Store) -> pd.DataFrame:
    """Labels of people for images of the run: human/labels.csv, else those that were imported with the images.

    The latter are answers for all images, by a rater of the instrument's name; columns as human/labels.csv.

    Raises:
        UsageError: if human/labels.csv is damaged.
    """
    found = labels(store)
    if not found.empty:
        return found
    cards = {name: entry.get("card", {}) for name, entry in store.record()["classifiers"].items()}
    rows = [
        (sample, name, attribute, answer, EVERY, 1.0)
        for name in ordered_classifiers(store)
        if cards[name].get("people")
        for part in store.label_parts(name, ["sample_id", "attribute", "class"])
        for sample, attribute, answer in zip(*(column.to_pylist() for column in part.columns), strict=True)
    ]
    return frame(dict(zip(COLUMNS, row, strict=True)) for row in rows)


def write(store: Store, table: pd.DataFrame) -> None:
    """Replace human/labels.csv, whole or not at all."""
    text = table[list(COLUMNS)].to_csv(index=False, lineterminator="\n")
    write_bytes(store.human_folder() / "labels.csv", text.encode())


def frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of labels as a table with all columns of human/labels.csv."""
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    return table.astype({**dict.fromkeys(COLUMNS[:-1], "object"), COLUMNS[-1]: np.float64})


def majority(table: pd.DataFrame) -> pd.DataFrame:
    """One answer for each image and attribute: what most raters answered; `unclear` where two answers tie.

    Args:
        table: labels, as in human/labels.csv.

    Returns:
        sample_id, attribute, class, sampling_probability (the mean over the image's rows), in order of sample_id and
        attribute.
    """
    keys = ["sample_id", "attribute"]
    votes = table.groupby([*keys, "class"], sort=True).size().rename("votes").reset_index()
    top = votes[votes["votes"] == votes.groupby(keys)["votes"].transform("max")]
    tied = top.duplicated(keys, keep=False)
    answers = top.assign(**{"class": top["class"].mask(tied, UNCLEAR)}).drop_duplicates(keys)
    chance = table.groupby(keys, sort=True)["sampling_probability"].mean().reset_index()
    return answers.drop(columns="votes").merge(chance, on=keys)


def pooled(store: Store, table: pd.DataFrame) -> pd.DataFrame:
    """Labels of simple random draws alone, several of different sizes, with one probability for all of them.

    Every image had the same chance to be in one of the draws. Labels that came without a sheet of this run keep the
    probability that they were given with, and so do all others beside them.

    Args:
        store: the run.
        table: labels, as in human/labels.csv.
    """
    if table["sampling_probability"].nunique() < 2 or not (table["stratum"] == EVERY).all():
        return table
    drawn = {sample for sample, sheets in _sheets(store).items() if any(sheet[0] == EVERY for sheet in sheets)}
    if not (table["sample_id"].isin(drawn) | (table["rater"] == TRUTH)).all():
        return table
    return table.assign(sampling_probability=table["sampling_probability"].mean())


def predictions(store: Store, classifier: str, samples: Iterable[str]) -> pd.DataFrame:
    """What a classifier answered for some images: sample_id, probe_id, attribute, predicted.

    Reads one part of the labels at a time; memory does not grow with the number of images.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(sorted(set(samples)), pa.string())
    columns = ["sample_id", "probe_id", "attribute", "class"]
    parts = [
        table.filter(pc.is_in(table["sample_id"], value_set=wanted)) for table in store.label_parts(classifier, columns)
    ]
    empty = pa.table({name: pa.array([], pa.string()) for name in columns})
    found: pd.DataFrame = pa.concat_tables([empty, *parts]).to_pandas()
    return found.rename(columns={"class": "predicted"})


def truth_labels(store: Store) -> pd.DataFrame:
    """The known truth of every drawn image as labels of the rater `truth`; columns as human/labels.csv.

    Raises:
        UsageError: if the model does not record what its images show.
    """
    import pyarrow.compute as pc

    asked = [attribute for attribute, _ in questions(store)]
    rows = []
    for _, _, table in store.sample_parts(["sample_id", "outcome", "details"]):
        made = table.filter(pc.equal(table["outcome"], "ok"))
        for sample, details in zip(made["sample_id"].to_pylist(), made["details"].to_pylist(), strict=True):
            truth = (json.loads(details) if details else {}).get("truth")
            if truth is None:
                raise UsageError(
                    f"the model of {store.root} does not record what its images show; only phantom-drawn does. "
                    "Leave --truth out, and let people label a sheet."
                )
            for attribute in asked:
                answer = _PEOPLE.get(truth["people"], truth.get(attribute))
                if answer is not None:
                    rows.append((sample, TRUTH, attribute, answer, EVERY, 1.0))
    return frame(dict(zip(COLUMNS, row, strict=True)) for row in rows)


def questions(store: Store) -> list[tuple[str, tuple[str, ...]]]:
    """Attributes and their classes, as the first classifier that asks for each has them."""
    found: dict[str, tuple[str, ...]] = {}
    record = store.record()
    for name in ordered_classifiers(store):
        for question in record["classifiers"][name]["questions"]:
            found.setdefault(question["attribute"], tuple(question["classes"]))
    return list(found.items())


def ordered_classifiers(store: Store) -> list[str]:
    """The classifiers whose labels are complete, in the order in which the run got them."""
    whole = store.classifiers()
    return [name for name in store.record()["classifiers"] if name in whole]


def answers(store: Store) -> dict[str, tuple[str, ...]]:
    """attribute → every answer that a person may give: the classes of all classifiers, then those that are no class."""
    found: dict[str, dict[str, None]] = {}
    record = store.record()
    for name in ordered_classifiers(store):
        for question in record["classifiers"][name]["questions"]:
            found.setdefault(question["attribute"], {}).update(dict.fromkeys(question["classes"]))
    return {attribute: (*classes, *NOT_MEASURED) for attribute, classes in found.items()}


_PEOPLE = {"none": NO_PERSON, "several": SEVERAL_PEOPLE}


class _Label(NamedTuple):
    sample_id: str
    rater: str
    attribute: str
    answer: str
    stratum: str
    chance: float
    where: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.sample_id, self.rater, self.attribute


def _listed(table: pd.DataFrame, where: str) -> list[_Label]:
    return [_Label._make([*row, where]) for row in zip(*(table[name].tolist() for name in COLUMNS), strict=True)]


def _same_run(store: Store, rows: Sequence[tuple[Row, Path]]) -> None:
    """Refuse files of other runs, and images that this run does not have."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = {line.cells["sample_id"] for line, _ in rows}
    wanted = pa.array(sorted(ids), pa.string())
    own: set[str] = set()
    for _, _, table in store.sample_parts(["sample_id", "outcome"]):
        made = table.filter(pc.equal(table["outcome"], "ok"))
        own.update(made["sample_id"].filter(pc.is_in(made["sample_id"], value_set=wanted)).to_pylist())
    for file in dict.fromkeys(file for _, file in rows):
        theirs = {line.cells["sample_id"] for line, each in rows if each == file}
        if not theirs & own:
            raise UsageError(
                f"{file.name} holds labels of another run: none of its {len(theirs)} images is in {store.root}. "
                "Give the run that the sheet was made from."
            )
    for line, _ in rows:
        if line.cells["sample_id"] not in own:
            raise UsageError(
                f"{line.where}: {store.root} has no image {_short(line.cells['sample_id'])!r}. Remove the line, or "
                "give the run that it belongs to."
            )


def _checked(store: Store, lines: Sequence[Row]) -> list[_Label]:
    known, sheets = answers(store), _sheets(store)
    found = []
    for line in lines:
        cells = line.cells
        attribute, answer = cells["attribute"], cells["class"]
        if attribute not in known:
            raise UsageError(f"{line.where}: unknown attribute {attribute!r}. {nearest(attribute, known)}")
        if answer not in known[attribute]:
            raise UsageError(
                f"{line.where}: {answer!r} is no class of {attribute!r}. {nearest(answer, known[attribute])}"
            )
        if not cells["rater"]:
            raise UsageError(f"{line.where} names no rater. Give every rater a name.")
        chance = probability(line, "sampling_probability")
        stratum = _stratum(line, chance, sheets.get(cells["sample_id"], []), store)
        found.append(_Label(cells["sample_id"], cells["rater"], attribute, answer, stratum, chance, line.where))
    return found


def _stratum(line: Row, chance: float, sheets: Sequence[tuple[str, str, float]], store: Store) -> str:
    """The stratum of a label by its name; how the image was sampled must be what the run knows of it."""
    given = line.cells["stratum"]
    for stratum, code, known in sheets:
        if given in (stratum, code) and np.isclose(chance, known, rtol=1e-6, atol=0):
            return stratum
    if sheets:
        raise UsageError(
            f"{line.where}: image {_short(line.cells['sample_id'])!r} has the stratum {given!r} and the "
            f"sampling_probability {chance:g}, but was drawn otherwise ({sheets[0][1]!r}, {sheets[0][2]:g}). "
            "Leave these columns as the sheet gave them."
        )
    return given or EVERY


def _sheets(store: Store) -> dict[str, list[tuple[str, str, float]]]:
    """sample_id → stratum, code and probability in every sheet that holds the image."""
    found: dict[str, list[tuple[str, str, float]]] = {}
    for path in sorted(store.human_folder().glob("sheet-*.csv")):
        for line in read_rows(path, SHEET):
            drawn = (line.cells["stratum"], line.cells["code"], probability(line, "sampling_probability"))
            found.setdefault(line.cells["sample_id"], []).append(drawn)
    return found


def _add(store: Store, rows: Sequence[_Label], progress: Progress) -> None:
    """Add labels to human/labels.csv; none is lost, none stands twice."""
    with store.lock("human"):
        old = labels(store)
        known: dict[tuple[str, str, str], _Label] = {}
        for label in [*_listed(old, "human/labels.csv"), *rows]:
            other = known.setdefault(label.key, label)
            if other.answer != label.answer:
                raise UsageError(
                    f"{label.where}: {label.rater} labelled image {_short(label.sample_id)!r} {label.answer!r} in "
                    f"{label.attribute!r}, but {other.answer!r} in {other.where}. A rater gives an image one label: "
                    "correct one of them, or use another name."
                )
        whole = frame(dict(zip(COLUMNS, label[:6], strict=True)) for label in known.values())
        if len(whole) > len(old):
            write(store, whole)
    raters = list(dict.fromkeys(whole["rater"]))
    progress.say(f"{len(whole) - len(old)} new labels; {len(whole)} in all, by {', '.join(raters)}.")
    for first, second in strangers(whole):
        progress.say(
            f"{first} and {second} have no image in common: their agreement cannot be computed. Give both one sheet."
        )


def strangers(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of raters who have no image in common."""
    seen = {str(rater): set(rows["sample_id"]) for rater, rows in table.groupby("rater", sort=False)}
    return [(one, two) for one, two in combinations(seen, 2) if not seen[one] & seen[two]]


def _short(sample_id: str) -> str:
    return sample_id if len(sample_id) <= 16 else f"{sample_id[:12]}…"
