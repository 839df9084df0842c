"""Classifiers of other packages: loaded from their entry points, and each answer checked before it is stored."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image

from audit.classifiers.base import (
    NOT_MEASURED,
    Classifier,
    ClassifierError,
    EmbeddingClassifier,
    KeyedClassifier,
    Labels,
    Question,
)

GROUP = "rolecall.classifiers"
"""Entry points of this group are classifiers too: a callable that takes any of the options of `load_classifier` as
keyword arguments and returns a `Classifier`."""
CARD = ("source", "construct", "caveats", "known_error")
"""What every card must say."""
TAKEN = ("human", "people", "raters")
"""Names that stand for people in tables."""


def installed_names() -> list[str]:
    """Names of the classifiers that installed packages offer, sorted."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def load_installed(name: str, options: Mapping[str, Any]) -> Classifier | None:
    """The classifier that an installed package offers under this name; None if none does.

    Args:
        name: of the entry point.
        options: options of `load_classifier`; the entry point is called with those of them that it takes.

    Raises:
        ClassifierError: if two packages offer it, it cannot be loaded, or what it gives is no classifier.
    """
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        return None
    if len(found) > 1:
        raise ClassifierError(
            f"{len(found)} distributions offer a classifier {name!r}: {', '.join(map(_distribution, found))}. "
            "Uninstall all but one."
        )
    where = f"the classifier {name!r} of {found[0].value} (distribution {_distribution(found[0])})"
    try:
        make: Callable[..., object] = found[0].load()
        taken = inspect.signature(make).parameters
        anything = any(p.kind is p.VAR_KEYWORD for p in taken.values())
        made = make(**{key: value for key, value in options.items() if anything or key in taken})
    except ClassifierError:
        raise
    except Exception as error:
        raise ClassifierError(f"{where} could not be loaded: {_said(error)}") from error
    lacking = [each for each in ("name", "questions", "fingerprint", "card", "label") if not hasattr(made, each)]
    if lacking or not isinstance(made, Classifier):
        raise ClassifierError(
            f"{where} gave {type(made).__name__}, which is no classifier: it lacks {', '.join(lacking)}."
        )
    kind = Keyed if isinstance(made, KeyedClassifier) else Installed
    return (Embedding if isinstance(made, EmbeddingClassifier) else kind)(made, where)


class Installed:
    """A classifier of another package. What it gives is checked; what it raises names the package."""

    def __init__(self, own: Any, where: str) -> None:
        self._own, self._where = own, where
        self.name: str = own.name
        if not isinstance(self.name, str) or not re.fullmatch(r"\w[\w.+-]*", self.name) or self.name in TAKEN:
            self._refuse(f"has the name {self.name!r}: give it letters, digits and . + - _, and none of {TAKEN}")
        self.questions = self._asked(own.questions)

    def fingerprint(self) -> dict[str, object]:
        """That of the classifier."""
        return self._mapping("fingerprint")

    def card(self) -> dict[str, object]:
        """That of the classifier, with all that a card must say."""
        card = self._mapping("card")
        lacking = [key for key in CARD if key not in card]
        if lacking:
            self._refuse(f"has a card without {', '.join(lacking)}; a report must be able to say it")
        return card

    def label(self, images: Sequence[Image.Image]) -> list[Labels]:
        """Its answers, checked."""
        return self._checked("label", images)

    def _checked(self, method: str, items: Sequence[Any] | npt.NDArray[Any]) -> list[Labels]:
        given = self._call(method, items)
        if not isinstance(given, list) or len(given) != len(self.questions):
            got = f"{len(given)}" if isinstance(given, Sequence) else type(given).__name__
            self._refuse(f"must give a list of {len(self.questions)} Labels, one a question (got {got})")
        for question, labels in zip(self.questions, given, strict=True):
            self._check(question, labels, len(items))
        return given

    def _check(self, question: Question, labels: Labels, n: int) -> None:
        name = question.attribute
        if not isinstance(labels, Labels):
            self._refuse(f"must give Labels for {name!r} (got {type(labels).__name__})")
        if (labels.attribute, tuple(labels.classes)) != (name, question.classes):
            self._refuse(f"answered {labels.attribute!r} {labels.classes} where it asks {name!r} {question.classes}")
        if len(labels.answer) != n:
            self._refuse(f"gave {len(labels.answer)} answers in {name!r} for {n} images")
        known = {*question.classes, *NOT_MEASURED}
        strange = next((answer for answer in labels.answer if answer not in known), None)
        if strange is not None:
            self._refuse(f"answered {strange!r} in {name!r}; it may answer {', '.join(sorted(known))}")
        scores = np.asarray(labels.scores)
        if scores.shape != (n, len(question.classes)) or scores.dtype.kind != "f":
            self._refuse(
                f"gave scores of shape {scores.shape} ({scores.dtype}) in {name!r}; they must be floats of shape "
                f"{(n, len(question.classes))}, NaN where there are none"
            )
        if ((scores < 0) | (scores > 1)).any():
            self._refuse(f"gave scores outside 0 to 1 in {name!r}")

    def _asked(self, questions: object) -> tuple[Question, ...]:
        if not isinstance(questions, Sequence) or not questions or not all(isinstance(q, Question) for q in questions):
            self._refuse("must have questions, a tuple of at least one Question")
        if len({question.attribute for question in questions}) < len(questions):
            self._refuse("asks for an attribute twice; each question needs an attribute of its own")
        for question in questions:
            classes = question.classes
            if not isinstance(classes, tuple) or len(set(classes)) != len(classes) or len(classes) < 2:
                self._refuse(f"must have a tuple of two different classes or more in {question.attribute!r}")
            if set(classes) & set(NOT_MEASURED):
                self._refuse(f"has {', '.join(NOT_MEASURED)} among its classes; these are answers, and no class")
        return tuple(questions)

    def _mapping(self, method: str) -> dict[str, object]:
        given = self._call(method)
        try:
            if isinstance(given, dict):
                json.dumps(given, allow_nan=False)
                return given
        except (TypeError, ValueError) as error:
            self._refuse(f"gave a {method} that JSON cannot hold: {_said(error)}")
        self._refuse(f"must give its {method} as a dict (got {type(given).__name__})")

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._own, method)(*arguments)
        except ClassifierError:
            raise
        except Exception as error:
            raise ClassifierError(
                f"{self._where} failed in {method}: {type(error).__name__}: {_said(error)}"
            ) from error

    def _refuse(self, what: str) -> NoReturn:
        raise ClassifierError(f"{self._where} {what}.")


class Keyed(Installed):
    """The same for an instrument that answers by keys."""

    def label_keys(self, keys: Sequence[str]) -> list[Labels]:
        """Its answers, checked."""
        return self._checked("label_keys", keys)


class Embedding(Installed):
    """The same for an instrument with embeddings."""

    def __init__(self, own: Any, where: str) -> None:
        super().__init__(own, where)
        self.embedding_name: str = own.embedding_name

    def embed(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float16]:
        """Its embeddings, checked."""
        given = self._call("embed", images)
        if (
            not isinstance(given, np.ndarray)
            or given.dtype != np.float16
            or given.ndim != 2
            or len(given) != len(images)
        ):
            got = f"{given.shape}, {given.dtype}" if isinstance(given, np.ndarray) else type(given).__name__
            self._refuse(f"must embed {len(images)} images as {len(images)} rows of float16 (got {got})")
        return given

    def label_embeddings(self, embeddings: npt.NDArray[np.float16]) -> list[Labels]:
        """Its answers, checked."""
        return self._checked("label_embeddings", embeddings)


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "unknown"


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
