"""Builds a diffusers pipeline as the settings ask, and refuses what it would not heed."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch

from probes.generators.base import GeneratorError
from probes.generators.weights import PICKLES, Source, check_safetensors, one_line, pipeline_class

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BATCH_SIZE = 8
"""Images made at once if nothing else is asked for."""


@dataclass(frozen=True)
class Settings:
    """How a pipeline is sampled. None leaves a setting to the pipeline's own default."""

    dtype: str = "fp32"
    """`fp32`, `bf16` or `fp16`: of the weights and the computation."""
    device: str = "cpu"
    """Device as torch names it, such as `cpu`, `cuda` or `cuda:1`."""
    scheduler: str | None = None
    """Class name of a scheduler of diffusers, set up with the configuration of the pipeline's own."""
    steps: int | None = None
    """Number of denoising steps, at least 1."""
    guidance: float | None = None
    """Guidance scale; in most pipelines 1 or less switches guidance off."""
    width: int | None = None
    """Pixels; given together with `height` or not at all."""
    height: int | None = None
    """Pixels."""
    negative_prompt: str | None = None
    """Text that guidance leads away from, the same for every image."""
    lora: tuple[str, ...] = ()
    """LoRA weights as `path` or `path:weight`, merged into the pipeline's weights in this order."""
    batch_size: int = BATCH_SIZE
    """Images made at once; an image depends on it."""
    allow_pickle: bool = False
    """Also read pickled weights, which can run code."""


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings, logs or progress bars of the libraries while this lasts."""
    import transformers
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    logs = (diffusers.utils.logging, transformers.utils.logging)
    levels = [log.get_verbosity() for log in logs]
    bars = [log.is_progress_bar_enabled() for log in logs]
    hub_bars = not are_progress_bars_disabled()
    for log in logs:
        log.set_verbosity(50)
        log.disable_progress_bar()
    disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level, bar in zip(logs, levels, bars, strict=True):
            log.set_verbosity(level)
            if bar:
                log.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()


def check(settings: Settings) -> None:
    """Check what can be checked without the pipeline.

    Raises:
        GeneratorError: if a setting has no meaning, or the device is not there.
    """
    if settings.dtype not in DTYPES:
        raise GeneratorError(f"dtype must be one of {', '.join(DTYPES)} (got {settings.dtype!r}).")
    for name in ("batch_size", "steps", "width", "height"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise GeneratorError(f"{name} must be at least 1 (got {value}).")
    if (settings.width is None) != (settings.height is None):
        raise GeneratorError(f"width and height go together (got {settings.width} and {settings.height}). Give both.")
    if settings.scheduler is not None:
        _scheduler_class(settings.scheduler)
    try:
        torch.empty(0, device=settings.device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise GeneratorError(
            f"device {settings.device!r} is not available here ({one_line(error, 120)}). Ask for cpu."
        ) from None


def load(source: Source, settings: Settings) -> Any:
    """The pipeline with its weights, on its device.

    Raises:
        GeneratorError: if diffusers cannot load it, in the words of diffusers.
    """
    name = pipeline_class(source.folder)
    kind = getattr(diffusers, name, None)
    if kind is None:
        near = get_close_matches(name, [key for key in dir(diffusers) if key.endswith("Pipeline")], n=1)
        hint = f" The nearest known one is {near[0]}." if near else ""
        raise GeneratorError(f"pipeline class {name!r} is unknown to diffusers {diffusers.__version__}.{hint}")
    options: dict[str, Any] = {"torch_dtype": DTYPES[settings.dtype], "local_files_only": True}
    try:
        if source.file is not None:
            pipeline = kind.from_single_file(str(source.file), config=str(source.folder), **options)
        else:
            safe = None if settings.allow_pickle else True
            pipeline = kind.from_pretrained(str(source.folder), variant=source.variant, use_safetensors=safe, **options)
        pipeline.set_progress_bar_config(disable=True)
        _align(pipeline)
        return pipeline.to(settings.device)
    except Exception as error:  # what a broken folder raises depends on the component, the library and its version
        raise GeneratorError(f"model {source.model!r} cannot be loaded: {one_line(error)}") from error


def _align(pipeline: Any) -> None:
    """Copy the weights out of the mapped file to addresses that torch's allocator chose.

    In a mapped file nearly every tensor lies at an address that is no multiple of 64, and some kernels then add up in
    another order: the same weights gave images one grey level apart as a single file and as a folder, and equal ones
    after this copy. So an image depends on the values of the weights, and not on where a file happens to keep them.
    """
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            for tensor in (*part.parameters(), *part.buffers()):
                tensor.data = tensor.data.clone()


def _scheduler_class(name: str) -> Any:
    known = [key for key in dir(diffusers) if key.endswith("Scheduler") and not key.startswith("Flax")]
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.0)
        raise GeneratorError(f"scheduler {name!r} is unknown. The nearest known one is {near[0]}.")
    return getattr(diffusers, name)


def new_scheduler(name: str, own: Any) -> Any:
    """The scheduler of this class name, set up with the configuration of the pipeline's own one.

    Raises:
        GeneratorError: if diffusers has no such class, or it cannot be set up so.
    """
    try:
        return _scheduler_class(name).from_config(own.config)
    except (TypeError, ValueError, AttributeError, ImportError, NotImplementedError) as error:
        raise GeneratorError(
            f"scheduler {name!r} cannot be set up with the pipeline's configuration: {one_line(error)}"
        ) from error


def call_arguments(pipeline: Any, settings: Settings) -> dict[str, Any]:
    """Arguments of every call, without the negative prompt.

    Raises:
        GeneratorError: for a setting that the pipeline does not know or would ignore.
    """
    call = inspect.signature(type(pipeline).__call__).parameters
    kind = type(pipeline).__name__
    given = {
        "steps": ("num_inference_steps", settings.steps),
        "guidance": ("guidance_scale", settings.guidance),
        "width": ("width", settings.width),
        "height": ("height", settings.height),
        "negative_prompt": ("negative_prompt", settings.negative_prompt),
    }
    for needed in ("prompt", "generator", "output_type"):
        if needed not in call:
            raise GeneratorError(f"{kind} takes no {needed}: it is no text-to-image pipeline that can be audited.")
    for name, (argument, value) in given.items():
        if value is not None and argument not in call:
            raise GeneratorError(f"{kind} takes no {name} (got {value!r}). Omit it.")
    if settings.negative_prompt is not None:
        scale = settings.guidance if settings.guidance is not None else call["guidance_scale"].default
        if "true_cfg_scale" in call:
            scale = call["true_cfg_scale"].default
        if isinstance(scale, int | float) and scale <= 1:
            raise GeneratorError(f"negative_prompt has no effect in {kind} at guidance {scale:g}. Omit it.")
    return {
        argument: value for name, (argument, value) in given.items() if value is not None and name != "negative_prompt"
    }


def parse_lora(text: str, allow_pickle: bool) -> tuple[Path, float]:
    """File and weight of `path[:weight]`; a folder stands for its `pytorch_lora_weights.safetensors`.

    Raises:
        GeneratorError: if the file is missing, cut short, or pickled without leave.
    """
    head, _, tail = text.rpartition(":")
    try:
        path, weight = (Path(head), float(tail)) if head else (Path(text), 1.0)
    except ValueError:
        path, weight = Path(text), 1.0
    path = path.expanduser()
    if path.is_dir():
        path = path / "pytorch_lora_weights.safetensors"
    if not path.is_file():
        raise GeneratorError(f"LoRA weights {text!r} do not exist. Give a file as path or path:weight.")
    if path.suffix in PICKLES and not allow_pickle:
        raise GeneratorError(f"LoRA weights {path.name!r} are pickled, which can run code. Ask for allow_pickle.")
    if path.suffix == ".safetensors":
        check_safetensors(path, path.name)
    return path, weight


def merge_loras(pipeline: Any, loras: Sequence[tuple[Path, float]], settings: Settings) -> None:
    """Merge LoRA weights into the pipeline, so that they cost nothing per image.

    Raises:
        GeneratorError: if the pipeline takes none, or they do not fit it.
    """
    if not loras:
        return
    kind = type(pipeline).__name__
    if not hasattr(pipeline, "load_lora_weights"):
        raise GeneratorError(f"{kind} takes no LoRA weights (got {settings.lora[0]!r}). Omit lora.")
    names = [f"lora{i}" for i in range(len(loras))]
    try:
        for name, (file, _) in zip(names, loras, strict=True):
            pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=name)
            if not any(name in adapters for adapters in pipeline.get_list_adapters().values()):
                raise ValueError(f"{file.name} has no weights for any layer of {kind}")
        pipeline.set_adapters(names, [weight for _, weight in loras])
        pipeline.fuse_lora(adapter_names=names)
        pipeline.unload_lora_weights()
    except Exception as error:  # peft, diffusers and torch raise many kinds for weights of another model
        raise GeneratorError(f"LoRA weights do not fit {kind}: {one_line(error)}") from error


def token_limits(pipeline: Any) -> dict[str, tuple[Callable[[str], int], int]]:
    """For each tokenizer of the pipeline: how to count the tokens of a prompt, and how many its encoder sees."""
    default = inspect.signature(type(pipeline).__call__).parameters.get("max_sequence_length")
    longest = default.default if default is not None and isinstance(default.default, int) else None
    limits: dict[str, tuple[Callable[[str], int], int]] = {}
    for name, tokenizer in pipeline.components.items():
        if not name.startswith("tokenizer") or not callable(tokenizer):
            continue
        limit = int(tokenizer.model_max_length)
        if longest is not None and "CLIP" not in type(tokenizer).__name__:
            limit = min(limit, longest)
        limits[name] = (partial(_count, tokenizer), limit)
    return limits


def _count(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, truncation=False).input_ids)
