"""Prompt embeddings of any diffusers pipeline, computed once a prompt and each prompt by itself."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch

PROMPTS_KEPT = 64
"""Number of prompts whose embeddings are kept: 64 of FLUX in fp32 are half a gigabyte, of SD 1.5 they are 30 MB."""
_SHARED = -1


class RaggedPromptsError(Exception):
    """Prompts of one batch have embeddings of different shapes. `groups` numbers the shape of each prompt."""

    def __init__(self, groups: Sequence[int]) -> None:
        super().__init__("prompts of different shapes in one batch")
        self.groups = tuple(groups)


class PromptCache:
    """Stands in for the `encode_prompt` of one pipeline.

    Each prompt is encoded alone, whatever its neighbours, and remembered; a batch is put together from these. So an
    image cannot depend on the other prompts of its batch, not even through padding to the longest one, and a hundred
    images of a prompt cost one encoding. Which dimension of each output is the batch is found by encoding one prompt
    once and twice: no list of pipelines and of their names for outputs is needed.
    """

    def __init__(self, encode: Callable[..., Any], kept: int = PROMPTS_KEPT) -> None:
        self._encode = encode
        self._signature = inspect.signature(encode)
        self._kept = kept
        self._known: OrderedDict[tuple[object, ...], Any] = OrderedDict()
        self._axes: dict[tuple[object, ...], Any] = {}
        self.encoded = 0
        """Number of prompts that were encoded."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs of `encode_prompt` for a batch of prompts.

        Raises:
            RaggedPromptsError: if the embeddings of the prompts differ in shape.
        """
        given = dict(self._signature.bind(*args, **kwargs).arguments)
        rows = _rows(given)
        if rows is None or any(isinstance(value, torch.Tensor) for value in given.values()):
            return self._encode(*args, **kwargs)
        kind = tuple((key, str(value)) for key, value in given.items() if key not in rows and key != "batch_size")
        size = len(next(iter(rows.values())))
        parts = [self._one(given, {key: row[i] for key, row in rows.items()}, kind) for i in range(size)]
        shapes = [str(_shape(part)) for part in parts]
        if len(set(shapes)) > 1:
            order = list(dict.fromkeys(shapes))
            raise RaggedPromptsError([order.index(shape) for shape in shapes])
        if kind not in self._axes:
            self._axes[kind] = _axes(parts[0], self._batch(given, {key: [row[0]] * 2 for key, row in rows.items()}))
        return _join(parts, self._axes[kind])

    def _one(self, given: dict[str, Any], texts: dict[str, str], kind: tuple[object, ...]) -> Any:
        key = (kind, tuple(texts.items()))
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        self.encoded += 1
        part = self._batch(given, {name: [text] for name, text in texts.items()})
        self._known[key] = part
        while len(self._known) > self._kept:
            self._known.popitem(last=False)
        return part

    def _batch(self, given: dict[str, Any], rows: dict[str, list[str]]) -> Any:
        arguments = {**given, **rows}
        if "batch_size" in given:
            arguments["batch_size"] = len(next(iter(rows.values())))
        return self._encode(**arguments)


def _rows(given: dict[str, Any]) -> dict[str, list[str]] | None:
    """The arguments that hold one text per image; None if there is no batch of prompts."""
    prompt = given.get("prompt")
    if not isinstance(prompt, list):
        return None
    rows = {
        key: list(value)
        for key, value in given.items()
        if isinstance(value, list) and len(value) == len(prompt) and all(isinstance(text, str) for text in value)
    }
    return rows if "prompt" in rows else None


def _shape(part: Any) -> Any:
    if isinstance(part, torch.Tensor):
        return tuple(part.shape)
    if isinstance(part, list | tuple):
        return [_shape(item) for item in part]
    return type(part).__name__


def _axes(one: Any, two: Any) -> Any:
    """Where two prompts take twice the room of one: a dimension, `_SHARED`, or a list of these for a list."""
    if isinstance(one, torch.Tensor):
        grown = [d for d in range(one.ndim) if two.shape[d] == 2 * one.shape[d] and one.shape[d] > 0]
        return grown[0] if grown else _SHARED
    if isinstance(one, list | tuple):
        if len(two) == 2 * len(one):
            return "list"
        return [_axes(a, b) for a, b in zip(one, two, strict=True)]
    return _SHARED


def _join(parts: list[Any], axes: Any) -> Any:
    first = parts[0]
    if axes == _SHARED:
        return first
    if axes == "list":
        return [item for part in parts for item in part]
    if isinstance(axes, list):
        joined = [_join([part[i] for part in parts], axis) for i, axis in enumerate(axes)]
        return tuple(joined) if isinstance(first, tuple) else joined
    return torch.cat(parts, dim=axes)
