"""Any text-to-image pipeline of diffusers: hub id, local folder or single file."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from probes.generators.base import GeneratorError, Request, Result
from probes.generators.pipeline import (
    Settings,
    call_arguments,
    check,
    load,
    merge_loras,
    new_scheduler,
    parse_lora,
    quiet,
    token_limits,
)
from probes.generators.prompts import PromptCache, RaggedPromptsError
from probes.generators.weights import Source, digests, file_digest, locate, one_line

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


class DiffusionGenerator:
    """A diffusers pipeline as a generator.

    An image depends on its prompt, its seed and `fingerprint()`: every image has a CPU random generator of its own,
    and every prompt is encoded by itself. `details` of a result says `truncated: True`, with the tokenizers in
    `truncated_by`, where a text encoder saw only the beginning of the prompt.
    """

    fixed_batches = True

    def __init__(self, source: Source, settings: Settings, *, name: str | None = None) -> None:
        """Load the pipeline.

        Raises:
            GeneratorError: if the weights, the device or a setting cannot be used.
        """
        check(settings)
        self.name = name or source.name
        self.batch_size = settings.batch_size
        self._settings = settings
        self._source = source
        self.folder = source.folder
        """Folder of the weights, or of the configuration of a single file."""
        self._files = digests(source, allow_pickle=settings.allow_pickle)
        self._loras = [parse_lora(text, settings.allow_pickle) for text in settings.lora]
        with quiet():
            self._pipeline = load(source, settings)
            merge_loras(self._pipeline, self._loras, settings)
            self._arguments = call_arguments(self._pipeline, settings)
            if settings.scheduler is not None:
                self._pipeline.scheduler = new_scheduler(settings.scheduler, self._pipeline.scheduler)
        self._limits = token_limits(self._pipeline)
        self._cut: dict[str, dict[str, object]] = {}
        self.prompts: PromptCache | None = None
        if hasattr(self._pipeline, "encode_prompt"):
            self.prompts = PromptCache(self._pipeline.encode_prompt)
            self._pipeline.encode_prompt = self.prompts

    def fingerprint(self) -> dict[str, object]:
        """Everything the images depend on besides prompt and seed, JSON-able."""
        settings, call = self._settings, inspect.signature(type(self._pipeline).__call__).parameters
        scheduler = self._pipeline.scheduler
        config = {key: _jsonable(value) for key, value in scheduler.config.items() if not key.startswith("_")}
        defaults = {key: call[key].default for key in ("num_inference_steps", "guidance_scale") if key in call}
        return {
            "kind": "diffusers",
            "model": self._source.model,
            "revision": self._source.revision,
            "files": dict(self._files),
            "pipeline": type(self._pipeline).__name__,
            "scheduler": {"class": type(scheduler).__name__, "config": config},
            "steps": settings.steps if settings.steps is not None else defaults.get("num_inference_steps"),
            "guidance": settings.guidance if settings.guidance is not None else defaults.get("guidance_scale"),
            "width": settings.width,
            "height": settings.height,
            "negative_prompt": settings.negative_prompt,
            "lora": [
                {"file": file.name, "weight": weight, "sha256": file_digest(file)} for file, weight in self._loras
            ],
            "dtype": settings.dtype,
            "device": torch.device(settings.device).type,
            "batch_size": settings.batch_size,
            "safety_checker": getattr(self._pipeline, "safety_checker", None) is not None,
        }

    def generate(self, requests: Sequence[Request]) -> list[Result]:
        """Make one image per request; `requests` must be exactly `batch_size` long.

        Raises:
            GeneratorError: if the number of requests is wrong, memory is short or the pipeline refuses its settings.
        """
        if len(requests) != self.batch_size:
            raise GeneratorError(
                f"a call must have exactly {self.batch_size} requests (got {len(requests)}). Pad the batch with copies."
            )
        with quiet():
            try:
                return self._make(requests)
            except RaggedPromptsError as ragged:
                groups = ragged.groups
            results: list[Result | None] = [None] * len(requests)
            for group in sorted(set(groups)):
                places = [i for i, other in enumerate(groups) if other == group]
                padded = [requests[i] for i in places] + [requests[places[0]]] * (len(requests) - len(places))
                for i, result in zip(places, self._make(padded), strict=False):
                    results[i] = result
            return [result for result in results if result is not None]

    def _make(self, requests: Sequence[Request]) -> list[Result]:
        settings = self._settings
        arguments = dict(self._arguments)
        if settings.negative_prompt is not None:
            arguments["negative_prompt"] = [settings.negative_prompt] * len(requests)
        try:
            output = self._pipeline(
                prompt=[request.prompt for request in requests],
                generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
                output_type="np",
                **arguments,
            )
        except RaggedPromptsError:
            raise
        except (
            MemoryError,
            RuntimeError,
            ValueError,
            TypeError,
            AttributeError,
            KeyError,
            NotImplementedError,
        ) as error:
            raise self._explain(error) from error
        unsafe = getattr(output, "nsfw_content_detected", None) or [False] * len(requests)
        pixels = np.asarray(output.images)
        if pixels.ndim != 4 or pixels.shape[0] != len(requests) or pixels.shape[3] != 3:
            raise GeneratorError(
                f"{type(self._pipeline).__name__} must return {len(requests)} RGB images (got an array of shape "
                f"{pixels.shape}). It is no text-to-image pipeline that can be audited."
            )
        return [
            _result(image, bool(refused), self._truncation(request.prompt))
            for image, refused, request in zip(pixels, unsafe, requests, strict=True)
        ]

    def _explain(self, error: BaseException) -> GeneratorError:
        said = str(error).lower()
        short = isinstance(error, MemoryError | torch.OutOfMemoryError) or any(text in said for text in _NO_MEMORY)
        if not short:
            return GeneratorError(f"{type(self._pipeline).__name__} could not make images: {one_line(error)}")
        size = self.batch_size
        advice = "Ask for a smaller width and height, or dtype bf16."
        if size > 1:
            advice = f"Ask for batch_size {size // 2}; images depend on it, so it is not changed by itself."
        return GeneratorError(
            f"memory of {self._settings.device} is not enough for batch_size {size} ({one_line(error, 120)}). {advice}"
        )

    def _truncation(self, prompt: str) -> dict[str, object]:
        if prompt not in self._cut:
            if len(self._cut) >= 10_000:
                self._cut.clear()
            cut = [name for name, (count, limit) in self._limits.items() if count(prompt) > limit]
            self._cut[prompt] = {"truncated": True, "truncated_by": cut} if cut else {}
        return self._cut[prompt]


def load_diffusion(
    model: str,
    settings: Settings,
    *,
    revision: str | None = None,
    config: str | None = None,
    name: str | None = None,
) -> DiffusionGenerator:
    """The generator of a hub id, a local folder in diffusers' layout, or a single weights file.

    `revision` is a branch, tag or commit on the hub; `config` the configuration folder of a single file; `name` the
    short name, if not the one of the repository, folder or file.

    Raises:
        GeneratorError: if the pipeline cannot be found, read or set up as asked.
    """
    check(settings)
    with quiet():
        source = locate(model, revision=revision, config=config, allow_pickle=settings.allow_pickle)
    return DiffusionGenerator(source, settings, name=name)


def _result(pixels: npt.NDArray[np.floating[Any]], refused: bool, details: Mapping[str, object]) -> Result:
    """Quantise one image (height × width × 3, 0 to 1) to 8 bits, or say why there is none."""
    if refused:
        reason = "blanked by the pipeline's safety checker (nsfw_content_detected)"
        return Result("refused", reason=reason, details=details)
    if not np.isfinite(pixels).all():
        reason = "image has values that are no numbers; the dtype may be too narrow for the VAE (try fp32 or bf16)"
        return Result("failed", reason=reason, details=details)
    quantised = (pixels * 255).round().astype(np.uint8)
    if not quantised.any():
        return Result("failed", reason="image is black in every pixel", details=details)
    return Result("ok", Image.fromarray(quantised), details=details)


def _jsonable(value: object) -> object:
    """The value itself where JSON knows it, lists for tuples, else its text."""
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else str(value)
