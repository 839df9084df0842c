"""What every instrument that labels images promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image

UNCLEAR = "unclear"
NO_PERSON = "no_person"
SEVERAL_PEOPLE = "several_people"
NOT_MEASURED = (UNCLEAR, NO_PERSON, SEVERAL_PEOPLE)
"""Answers that are no class of an attribute: counted in columns of their own, never dropped."""


class ClassifierError(Exception):
    """A classifier cannot be used as asked. The message is one line: what was wrong, what was got, what to do."""


@dataclass(frozen=True)
class Question:
    """One perceived attribute as a classifier asks it."""

    attribute: str
    classes: tuple[str, ...]
    """Classes in their fixed order (for an ordered attribute: ascending)."""
    ordered: bool = False


@dataclass(frozen=True)
class Labels:
    """Answers to one question for n images."""

    attribute: str
    classes: tuple[str, ...]
    """The k classes of the question, in order."""
    answer: tuple[str, ...]
    """n answers: a class, or one of `unclear`, `no_person`, `several_people`."""
    scores: npt.NDArray[np.float32]
    """n × k scores of the classes, 0 to 1, NaN where the instrument gives none."""


class Person(Protocol):
    """One person whom an instrument tells apart in an image, such as `audit.classifiers.people.Face`."""

    @property
    def answers(self) -> Mapping[str, str]:
        """Attribute → a class or `unclear`."""
        ...

    @property
    def scores(self) -> Mapping[str, Sequence[float]]:
        """Attribute → scores of its classes, in order, NaN where the instrument gives none; empty for none at all."""
        ...

    @property
    def counted(self) -> bool:
        """False if the image may show more people than the instrument names: "several women" says no number."""
        ...

    def place(self) -> Mapping[str, object]:
        """Where the person is, as far as that is known: values of the columns `audit.schema.PLACE`."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """An instrument that says what a viewer would perceive in an image.

    The answer for an image depends on that image and on `fingerprint()` alone.
    """

    name: str
    """Short name for tables and folders, such as `clip-vit-l-14-openai` or `faces`."""
    questions: tuple[Question, ...]

    def fingerprint(self) -> dict[str, object]:
        """Everything that the labels depend on, JSON-able: model, weight digests, wordings, margins, dtype."""
        ...

    def card(self) -> dict[str, object]:
        """What a report says of the instrument, JSON-able: `source`, `construct`, `caveats` (list of sentences),
        `known_error` (attribute → sentence), and, where they are known, `error_rates` (attribute → rates as
        `audit.rates` reads them)."""
        ...

    def label(self, images: Sequence[Image.Image]) -> list[Labels]:
        """Label n images: one `Labels` per question, in the order of `questions`."""
        ...


@runtime_checkable
class EmbeddingClassifier(Classifier, Protocol):
    """A classifier whose answers are a function of one stored embedding per image."""

    embedding_name: str
    """Name of the folder of embeddings: equal for all wordings and margins of one image tower."""

    def embed(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float16]:
        """Embeddings of n images, n × d, as they are stored."""
        ...

    def label_embeddings(self, embeddings: npt.NDArray[np.float16]) -> list[Labels]:
        """The labels of n stored embeddings; `label(images)` is `label_embeddings(embed(images))`."""
        ...


@runtime_checkable
class KeyedClassifier(Classifier, Protocol):
    """An instrument that has seen particular images before, such as people: it answers by their keys, not by pixels."""

    def label_keys(self, keys: Sequence[str]) -> list[Labels]:
        """Label n images by their keys (`sample_id`): one `Labels` per question, in the order of `questions`."""
        ...


@runtime_checkable
class PeopleClassifier(Classifier, Protocol):
    """A classifier that tells the people in an image apart: one look gives them and the labels of the images."""

    def people(self, images: Sequence[Image.Image]) -> Sequence[Sequence[Person]]:
        """The people of n images, the most prominent first, each with an answer to every question. What is found in an
        image depends on that image and on `fingerprint()` alone."""
        ...

    def label_people(self, people: Sequence[Sequence[Any]]) -> list[Labels]:
        """The labels of n images by their people; `label(images)` is `label_people(people(images))`. An image without
        people is `no_person`; one person's class is the image's class."""
        ...


@runtime_checkable
class KeyedPeopleClassifier(KeyedClassifier, Protocol):
    """An instrument that has seen particular images before and tells the people in them apart."""

    def people_keys(self, keys: Sequence[str]) -> Sequence[Sequence[Person]]:
        """The people of n images by their keys (`sample_id`)."""
        ...
