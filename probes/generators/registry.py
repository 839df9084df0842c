"""From the name of a model to its generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from probes.generators import function
from probes.generators.base import Generator, GeneratorError
from probes.generators.installed import load_installed
from probes.generators.weights import is_hub_id

BUILT_IN = ("phantom", "phantom-drawn")
API = "openai:"
"""What begins the name of a model behind an images API."""
_API = (
    "api_base_url",
    "api_key_variable",
    "api_options",
    "api_images_per_request",
    "api_timeout",
    "api_tries",
    "concurrency",
)
_WEIGHTS = (".safetensors", ".ckpt", ".bin", ".pt", ".pth")


@dataclass(frozen=True)
class _Options:
    """What a user can ask of a generator; a value that differs from its default here was asked for."""

    revision: str | None = None
    dtype: str = "fp32"
    device: str = "cpu"
    scheduler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    width: int | None = None
    height: int | None = None
    negative_prompt: str | None = None
    lora: tuple[str, ...] = ()
    batch_size: int | None = None
    config: str | None = None
    allow_pickle: bool = False
    api_base_url: str | None = None
    api_key_variable: str | None = None
    api_options: Mapping[str, Any] | None = None
    api_images_per_request: int | None = None
    api_timeout: float | None = None
    api_tries: int | None = None
    concurrency: int | None = None

    def given(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        pairs = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return {name: value for name, value, default in pairs if value != default}

    def only(self, model: str, *known: str) -> dict[str, Any]:
        """The options given, all of which the model must know."""
        given = self.given()
        for name in given:
            if name not in known:
                raise GeneratorError(
                    f"model {model!r} takes no {name} (got {given[name]!r}). Omit it; it takes {', '.join(known)}."
                )
        return given


def load_generator(
    model: str,
    *,
    revision: str | None = None,
    dtype: str = "fp32",
    device: str = "cpu",
    scheduler: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    width: int | None = None,
    height: int | None = None,
    negative_prompt: str | None = None,
    lora: Sequence[str] = (),
    batch_size: int | None = None,
    config: str | None = None,
    allow_pickle: bool = False,
    api_base_url: str | None = None,
    api_key_variable: str | None = None,
    api_options: Mapping[str, Any] | None = None,
    api_images_per_request: int | None = None,
    api_timeout: float | None = None,
    api_tries: int | None = None,
    concurrency: int | None = None,
    threads: int | None = None,
) -> Generator:
    """The generator of a model.

    `model` is `phantom` (the shipped diffusion model), `phantom-drawn` (figures with known truth), a folder in
    diffusers' layout, a single weights file, `python:MODULE:CALLABLE`, `python:FILE.py:CALLABLE`, `openai:MODEL_ID`
    behind an images API, the name of an installed entry point of the group `rolecall.generators`, or a hub id
    `owner/name`; the first that fits.

    `revision` is a branch, tag or commit of a hub id. `dtype` is `fp32`, `bf16` or `fp16`. `scheduler` is a class name
    of diffusers. `steps`, `guidance`, `width` and `height` (pixels) and `batch_size` left at None are the model's own.
    `lora` holds `path[:weight]`. `config` is the configuration folder of a single file. `allow_pickle` also reads
    weights that can run code. `concurrency` and what begins with `api_` are for an images API alone (see
    `probes.generators.images_api.ApiSettings`). `threads` sets the number of torch's threads in this process.

    Raises:
        GeneratorError: if the model is unknown, cannot be loaded, or does not take one of the options.
    """
    options = _Options(
        revision, dtype, device, scheduler, steps, guidance, width, height, negative_prompt, tuple(lora), batch_size,
        config, allow_pickle, api_base_url, api_key_variable, api_options or None, api_images_per_request, api_timeout,
        api_tries, concurrency,
    )  # fmt: skip
    if threads is not None:
        _set_threads(threads)
    if model == "phantom-drawn":
        return _drawn(options)
    if model.startswith(API):
        return _images_api(model, options)
    if model.startswith(function.PREFIX):
        return function.load_function(model, **options.only(model, "batch_size"))
    if model == "phantom" or Path(model).expanduser().exists() or Path(model).suffix in _WEIGHTS:
        return _diffusion(model, options)
    if model in (names := function.entry_point_names()):
        return load_installed(model, options.given())
    if is_hub_id(model) or "/" in model:
        return _diffusion(model, options)
    near = get_close_matches(model, [*BUILT_IN, *names], n=1, cutoff=0.0)
    raise GeneratorError(
        f"model {model!r} is unknown. The nearest known one is {near[0]!r}; a hub id has the form owner/name, and a "
        "folder or file must exist."
    )


def _set_threads(threads: int) -> None:
    if threads < 1:
        raise GeneratorError(f"threads must be at least 1 (got {threads}).")
    import torch

    torch.set_num_threads(threads)


def _drawn(options: _Options) -> Generator:
    given = options.only("phantom-drawn", "batch_size")
    import probes.phantom as phantom

    generator: Generator = phantom.PhantomDrawn(**given)
    return generator


def _images_api(model: str, options: _Options) -> Generator:
    given = options.only(model, *_API, "width", "height", "batch_size", "device")
    given.pop("device", None)  # the one of the classifiers; the service has its own
    from probes.generators.images_api import load_images_api

    return load_images_api(model, **given)


def _diffusion(model: str, options: _Options) -> Generator:
    given = options.only(model, *(key for key in vars(options) if key not in _API))
    name = None
    if model == "phantom":
        given = {
            **_phantom(),
            **options.only(model, *(key for key in vars(options) if key not in ("revision", "config", *_API))),
        }
        name, model = model, str(given.pop("model"))
    revision, config = given.pop("revision", None), given.pop("config", None)
    from probes.generators.diffusion import load_diffusion
    from probes.generators.pipeline import Settings

    return load_diffusion(model, Settings(**given), revision=revision, config=config, name=name)


def _phantom() -> dict[str, Any]:
    """Folder of the shipped weights and the settings they were trained for."""
    import probes.phantom as phantom

    return {
        "model": phantom.WEIGHTS,
        "steps": phantom.STEPS,
        "guidance": phantom.GUIDANCE,
        "batch_size": phantom.BATCH_SIZE,
    }
