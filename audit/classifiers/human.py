"""People as an instrument: labels that somebody has given to imported images, read from a table by a table of codes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from audit.classifiers.base import NO_PERSON, SEVERAL_PEOPLE, UNCLEAR, ClassifierError, Labels
from audit.classifiers.codes import Coded, Codes, CodesError, fold
from audit.classifiers.people import Somebody
from audit.sources import imported_id
from probes.importers.tables import FILE_COLUMNS, FolderError, matches_of, name_of, places_of, rows_of
from probes.probe import nearest

if TYPE_CHECKING:
    from probes.importers.folder import Import

NAME = "human"
_WHOLE_IMAGE = (NO_PERSON, SEVERAL_PEOPLE)
"""Answers about the image rather than a person in it: given for one attribute, they hold for all."""


class HumanClassifier:
    """What people have answered for particular images. Satisfies `KeyedPeopleClassifier`."""

    def __init__(
        self,
        codes: Codes,
        answers: Mapping[str, Sequence[str]],
        *,
        source: str,
        digest: str,
        unmatched: Sequence[str] = (),
        among: Mapping[str, Sequence[Sequence[str]]] | None = None,
    ) -> None:
        """Take answers as they were read.

        Args:
            codes: what the codes mean.
            answers: key of an image → its answers, in the order of the attributes of `codes`.
            source: name of the table.
            digest: SHA-256 (hexadecimal) of the table.
            unmatched: rows of the table that belong to no image.
            among: key of an image of several people → the classes among them, attribute by attribute.
        """
        self.name = NAME
        self.questions = tuple(coded.question for coded in codes.attributes)
        self.unmatched = tuple(unmatched)
        self._codes, self._answers, self._source, self._digest = codes, dict(answers), source, digest
        self._among = dict(among or {})

    def fingerprint(self) -> dict[str, object]:
        """Digests of the table and of the codes, and the classes."""
        return {
            "kind": NAME,
            "table_sha256": self._digest,
            "codes_sha256": self._codes.digest(),
            "attributes": {question.attribute: list(question.classes) for question in self.questions},
        }

    def card(self) -> dict[str, object]:
        """Source, construct, caveats and known error, as a report says them; `people` marks answers of people."""
        given = self._codes.card
        raters = str(given.get("raters", ""))
        several = sum(answers[0] == SEVERAL_PEOPLE for answers in self._answers.values())
        return {
            "title": str(given.get("title", "Labels that people gave")),
            "source": str(given.get("source", f"The table {self._source}.")),
            "people": True,
            "construct": "What a person who looked at the image wrote down about who can be seen; never the identity "
            "of anybody.",
            "caveats": [
                f"Each image has one label an attribute{f' ({raters})' if raters else ''}: how far people would agree "
                "cannot be known from this table.",
                f"Codes of the table {self._source} were read by {self._codes.name}; an image that is said to show "
                f"several people or nobody has no class of any attribute ({several} of {len(self._answers)} images "
                "show several people).",
                *(str(caveat) for caveat in given.get("caveats") or ()),
            ],
            "known_error": {
                question.attribute: "These are people's answers; how often others would answer otherwise is not known."
                for question in self.questions
            },
            "codes": {coded.question.attribute: _listed(coded.codes) for coded in self._codes.attributes},
            "among": {
                coded.question.attribute: {cell: list(classes) for cell, classes in coded.among.items()}
                for coded in self._codes.attributes
                if coded.among
            },
        }

    def label(self, images: Sequence[Image.Image]) -> list[Labels]:
        """Refused: people have labelled particular images, and pixels do not say which.

        Raises:
            ClassifierError: always.
        """
        raise ClassifierError(
            "human labels belong to the images they were given to, and cannot label others. Import the images with "
            "--human-labels and --codes."
        )

    def label_keys(self, keys: Sequence[str]) -> list[Labels]:
        """The answers for n images by their keys (`sample_id`): one `Labels` per question, without scores.

        Raises:
            ClassifierError: if an image has no answer.
        """
        self._check(keys)
        return [
            Labels(
                question.attribute,
                question.classes,
                tuple(self._answers[key][place] for key in keys),
                np.full((len(keys), len(question.classes)), np.nan, dtype=np.float32),
            )
            for place, question in enumerate(self.questions)
        ]

    def people_keys(self, keys: Sequence[str]) -> list[list[Somebody]]:
        """The people of n images by their keys, as far as the labels tell them apart. Of an image of several people
        at least one for each class among them, and at least two; how many there are is not said.

        Raises:
            ClassifierError: if an image has no answer.
        """
        self._check(keys)
        return [self._people(key) for key in keys]

    def _people(self, key: str) -> list[Somebody]:
        names = [question.attribute for question in self.questions]
        answers = self._answers[key]
        if NO_PERSON in answers:
            return []
        if SEVERAL_PEOPLE not in answers:
            return [Somebody(dict(zip(names, answers, strict=True)))]
        among = self._among.get(key) or [(UNCLEAR,)] * len(names)
        number = max(2, *map(len, among))
        rows = zip(*([shown[i % len(shown)] for i in range(number)] for shown in among), strict=True)
        return [Somebody(dict(zip(names, row, strict=True)), counted=False) for row in rows]

    def _check(self, keys: Sequence[str]) -> None:
        unknown = [key for key in keys if key not in self._answers]
        if unknown:
            raise ClassifierError(f"{self._source} has no label for the image {unknown[0]}. Import the folder again.")


def read_imported(table: Path, codes: Codes, imported: Import, folder: Path) -> HumanClassifier:
    """Labels of people for the images that were imported from `folder`.

    Raises:
        CodesError: as `read_human_labels`.
    """
    images = [image for image in imported.images if not image.reason]
    return read_human_labels(table, codes, {image.name: imported_id(image) for image in images})


def read_human_labels(table: Path, codes: Codes, images: Mapping[str, str]) -> HumanClassifier:
    """Labels of people for these images.

    The table is a CSV with a header (a byte-order mark, `;` or tabs are fine) with one row an image. A row names its
    image with or without a leading slash or its folders, and with any ending, as long as it is the only one meant.

    Args:
        table: the CSV.
        codes: what its cells mean.
        images: relative path with slashes → key, of every image.

    Raises:
        CodesError: for a code that is not known, an image without a row or with two, or a column that is not there.
    """
    try:
        rows = list(rows_of(table))
        digest = hashlib.sha256(table.read_bytes()).hexdigest()
    except FolderError as error:
        raise CodesError(str(error)) from None
    file, columns = _columns(table.name, rows[0][1] if rows else {}, codes)
    places = places_of(images)
    lines: dict[str, int] = {}
    answers: dict[str, tuple[str, ...]] = {}
    among: dict[str, list[tuple[str, ...]]] = {}
    unmatched = []
    for line, row in rows:
        where = f"{table.name}, line {line}"
        found = matches_of(places, name_of(row[file])) if row[file] else []
        if len(found) > 1:
            raise CodesError(f"{where}: {row[file]!r} may be {' or '.join(found[:3])}. Write the path of one.")
        cells = [row[column] for column in columns]
        given = _answers(codes, cells, where)
        if not found:
            unmatched.append(f"{row[file] or 'a row without a file'} ({where})")
            continue
        image = found[0]
        if image in lines:
            raise CodesError(
                f"{where} labels {image} a second time, after line {lines[image]}. Keep one row an image; answers of "
                "several people are taken in with rolecall annotate --read."
            )
        lines[image], answers[images[image]] = line, given
        if SEVERAL_PEOPLE in given:
            among[images[image]] = [_shown(coded, cell) for coded, cell in zip(codes.attributes, cells, strict=True)]
    missing = [image for image in images if image not in lines]
    if missing:
        raise CodesError(
            f"{table.name} has no row for {len(missing)} of {len(images)} images, the first: {missing[0]}. "
            "Add the rows, or import without these images."
        )
    return HumanClassifier(codes, answers, source=table.name, digest=digest, unmatched=unmatched, among=among)


def _columns(table: str, row: Mapping[str, str], codes: Codes) -> tuple[str, tuple[str, ...]]:
    """The column of the file names, and those of the attributes; capitals and spaces around a name do not matter."""
    known = {fold(name): name for name in row}
    wanted = (codes.file,) if codes.file else FILE_COLUMNS
    file = next((known[fold(name)] for name in wanted if fold(name) in known), None)
    if file is None:
        what = f"has no column {codes.file!r} with" if codes.file else "has no column with"
        raise CodesError(
            f"{table} {what} the names of the images (got {', '.join(row) or 'no rows'}). "
            f"Say which it is in {codes.name}, under file."
        )
    for coded in codes.attributes:
        if fold(coded.column) not in known:
            attribute = coded.question.attribute
            raise CodesError(f"{table} has no column {coded.column!r} for {attribute}: {nearest(coded.column, row)}")
    return file, tuple(known[fold(coded.column)] for coded in codes.attributes)


def _answers(codes: Codes, cells: Iterable[str], where: str) -> tuple[str, ...]:
    """The answers of one row, one an attribute."""
    answers = tuple(codes.answer(coded, cell, where) for coded, cell in zip(codes.attributes, cells, strict=True))
    whole = {answer for answer in answers if answer in _WHOLE_IMAGE}
    if len(whole) > 1:
        raise CodesError(f"{where} says both that nobody and that several people can be seen. Correct one cell.")
    return tuple(whole) * len(answers) if whole else answers


def _shown(coded: Coded, cell: str) -> tuple[str, ...]:
    """The classes among several people; a cell that means one class says nothing of the others."""
    return coded.among.get(fold(cell), (UNCLEAR,))


def _listed(codes: Mapping[str, str]) -> dict[str, list[str]]:
    counts = Counter(codes.values())
    return {answer: [cell for cell, meant in codes.items() if meant == answer] for answer in counts}
