"""Models that are no diffusers pipelines: Python callables and installed entry points."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import cast

from PIL import Image

from probes.generators.base import Generator, GeneratorError, Request, Result

GROUP = "rolecall.generators"
"""Group of the entry points: each is a function without required arguments that returns a `Generator`."""
PREFIX = "python:"
BATCH_SIZE = 8
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")

ImageFunction = Callable[[list[str], list[int]], Sequence[Image.Image | None]]
"""Prompts and seeds of a batch in, one image each out, in order; None where the model refuses."""


class FunctionGenerator:
    """A Python callable `f(prompts, seeds)` as a generator.

    The callable must make each image from its own prompt and seed alone. It is always called with a full batch, because
    images of most models depend on the batch size; a callable for which this is not so (a paid service, say) has an
    attribute `fixed_batches = False`. None in place of an image counts as refused.
    """

    def __init__(self, function: ImageFunction, spec: str, *, batch_size: int = BATCH_SIZE) -> None:
        if batch_size < 1:
            raise GeneratorError(f"batch_size must be at least 1 (got {batch_size}).")
        self._function = function
        module, _, attribute = spec.removeprefix(PREFIX).rpartition(":")
        self._callable = f"{Path(module).name if module.endswith('.py') else module}:{attribute}"
        self.name = attribute.replace(".", "-").replace("_", "-").strip("-") or "function"
        self.batch_size = batch_size
        self.fixed_batches = bool(getattr(function, "fixed_batches", True))

    def fingerprint(self) -> dict[str, object]:
        """Module and name of the callable, the digest of its source file, the batch size."""
        digest = None
        try:
            file = inspect.getsourcefile(inspect.unwrap(self._function))
        except TypeError:  # an instance with __call__
            file = inspect.getsourcefile(type(self._function))
        if file is not None:
            digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        return {"kind": "python", "callable": self._callable, "source": digest, "batch_size": self.batch_size}

    def generate(self, requests: Sequence[Request]) -> list[Result]:
        """Call the function once for all requests.

        Raises:
            GeneratorError: if it raises, or returns anything but one image or None per prompt.
        """
        try:
            images = self._function([request.prompt for request in requests], [request.seed for request in requests])
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            raise GeneratorError(f"{self._callable} raised {type(error).__name__}: {said}") from error
        if not isinstance(images, Sequence) or len(images) != len(requests):
            got = f"{len(images)}" if isinstance(images, Sequence) else type(images).__name__
            raise GeneratorError(f"{self._callable} must return a list of {len(requests)} images (got {got}).")
        return [self._result(image) for image in images]

    def _result(self, image: object) -> Result:
        if image is None:
            return Result("refused", reason="the callable returned no image")
        if not isinstance(image, Image.Image) or image.mode not in _MODES:
            got = f"mode {image.mode}" if isinstance(image, Image.Image) else type(image).__name__
            raise GeneratorError(f"{self._callable} must return 8-bit PIL images or None (got {got}).")
        return Result("ok", image.convert("RGB"))


def load_function(spec: str, *, batch_size: int | None = None) -> FunctionGenerator:
    """The generator of `python:module:callable` or `python:path.py:callable`.

    Raises:
        GeneratorError: if there is no such module, file or callable, or the module cannot be imported.
    """
    target, _, attribute = spec.removeprefix(PREFIX).rpartition(":")
    if not target or not attribute:
        raise GeneratorError(f"model {spec!r} must be python:MODULE:CALLABLE or python:FILE.py:CALLABLE.")
    function: object = _import_file(Path(target)) if target.endswith(".py") else _import_module(target)
    for name in attribute.split("."):
        function = getattr(function, name, None)
    if not callable(function):
        state = "is not callable" if function is not None else "does not exist"
        raise GeneratorError(f"{attribute!r} of {target!r} {state}. Give a callable f(prompts, seeds) -> images.")
    try:
        inspect.signature(function).bind([], [])
    except TypeError:
        raise GeneratorError(f"{attribute!r} of {target!r} must take prompts and seeds, two lists.") from None
    except ValueError:  # built in, without a signature
        pass
    return FunctionGenerator(function, spec, batch_size=BATCH_SIZE if batch_size is None else batch_size)


def entry_point_names() -> list[str]:
    """Names of the installed generators, sorted."""
    return sorted(point.name for point in entry_points(group=GROUP))


def load_entry_point(name: str, options: Mapping[str, object]) -> Generator:
    """The generator that an installed package offers under this name.

    `options` are the ones that the user gave; they are passed on to the factory by name.

    Raises:
        GeneratorError: if the package cannot be imported, takes no such option or returns no generator.
    """
    point = next(point for point in entry_points(group=GROUP) if point.name == name)
    factory = _load_factory(point)
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        raise GeneratorError(f"generator {name!r} ({point.value}) cannot be made so: {error}.") from None
    generator = factory(**options)
    if not isinstance(generator, Generator):
        raise GeneratorError(
            f"generator {name!r} ({point.value}) must return an object with name, batch_size, fixed_batches, "
            f"fingerprint and generate (got {type(generator).__name__})."
        )
    return generator


def _load_factory(point: EntryPoint) -> Callable[..., object]:
    try:
        factory = point.load()
    except Exception as error:  # importing code of others
        raise GeneratorError(f"generator {point.name!r} ({point.value}) cannot be imported: {error}") from error
    if not callable(factory):
        raise GeneratorError(f"generator {point.name!r} ({point.value}) must be a function that returns a generator.")
    return cast("Callable[..., object]", factory)


def _import_module(name: str) -> ModuleType:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except Exception as error:  # importing code of others
        raise GeneratorError(f"module {name!r} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(here)


def _import_file(path: Path) -> ModuleType:
    file = path.expanduser()
    if not file.is_file():
        raise GeneratorError(f"file {str(path)!r} does not exist. Check the path.")
    name = f"rolecall_generator_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise GeneratorError(f"file {str(path)!r} is no Python module.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # importing code of others
        del sys.modules[name]
        raise GeneratorError(f"file {path.name!r} cannot be imported: {type(error).__name__}: {error}") from error
    return module
