"""Generators of other packages: loaded from their entry points, and each result checked before it is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn, get_args

from PIL import Image

from probes.generators import function
from probes.generators.base import Generator, GeneratorError, Outcome, Request, Result


def load_installed(name: str, options: Mapping[str, object]) -> Generator:
    """The generator that an installed package offers under this name.

    Args:
        name: of the entry point; there must be one.
        options: what the user asked for; passed to the entry point by name.

    Raises:
        GeneratorError: if two packages offer it, it cannot be loaded, or what it gives is no generator.
    """
    found = list(entry_points(group=function.GROUP, name=name))
    if len(found) > 1:
        raise GeneratorError(
            f"{len(found)} distributions offer a generator {name!r}: {', '.join(map(_distribution, found))}. "
            "Uninstall all but one."
        )
    origin = f"distribution {_distribution(found[0])}"
    try:
        own = function.load_entry_point(name, options)
    except GeneratorError as error:
        raise GeneratorError(f"{_said(error)} ({origin})") from error
    except Exception as error:
        raise GeneratorError(
            f"generator {name!r} ({found[0].value}, {origin}) could not be made: {type(error).__name__}: {_said(error)}"
        ) from error
    return InstalledGenerator(own, f"generator {name!r} ({found[0].value}, {origin})")


class InstalledGenerator:
    """A generator of another package. What it gives is checked; what it raises names the package."""

    def __init__(self, own: Generator, where: str) -> None:
        self._own, self._where = own, where
        self.name, self.batch_size, self.fixed_batches = own.name, own.batch_size, bool(own.fixed_batches)
        if not isinstance(self.name, str) or not self.name:
            self._refuse(f"must have a name (got {self.name!r})")
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            self._refuse(f"must have a batch_size of at least 1 (got {self.batch_size!r})")

    def fingerprint(self) -> dict[str, object]:
        """That of the generator.

        Raises:
            GeneratorError: if it is no mapping that JSON can hold.
        """
        try:
            given = self._own.fingerprint()
            json.dumps(given, allow_nan=False)
        except Exception as error:
            raise GeneratorError(f"{self._where} has no fingerprint that JSON can hold: {_said(error)}") from error
        if not isinstance(given, dict) or not given:
            self._refuse(f"must have a fingerprint, all that its images depend on (got {given!r})")
        return given

    def generate(self, requests: Sequence[Request]) -> list[Result]:
        """Its results, checked.

        Raises:
            GeneratorError: if it raises, or gives anything but one `Result` per request.
        """
        try:
            given = self._own.generate(requests)
        except GeneratorError:
            raise
        except Exception as error:
            raise GeneratorError(f"{self._where} failed: {type(error).__name__}: {_said(error)}") from error
        if not isinstance(given, Sequence) or len(given) != len(requests):
            got = f"{len(given)}" if isinstance(given, Sequence) else type(given).__name__
            self._refuse(f"must give a list of {len(requests)} results, one a request (got {got})")
        for result in given:
            self._check(result)
        return list(given)

    def _check(self, result: Result) -> None:
        if not isinstance(result, Result) or result.outcome not in get_args(Outcome):
            self._refuse(f"must give Results with the outcome ok, refused or failed (got {str(result)[:80]})")
        if result.outcome == "ok" and not (isinstance(result.image, Image.Image) and result.image.mode == "RGB"):
            got = result.image.mode if isinstance(result.image, Image.Image) else type(result.image).__name__
            self._refuse(f"must give an 8-bit RGB image with the outcome ok (got {got})")
        try:
            json.dumps(dict(result.details))
        except (TypeError, ValueError) as error:
            self._refuse(f"gave details that JSON cannot hold: {_said(error)}")

    def _refuse(self, what: str) -> NoReturn:
        raise GeneratorError(f"{self._where} {what}.")


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "unknown"


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
