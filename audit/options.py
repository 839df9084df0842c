"""Options of the command line, made from the fields of a model: one for each key of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Literal, get_args, get_origin

import click


class ConfigCommand(click.Command):
    """A command with one option for each of some keys of a model (MODULE:NAME), made when its options are needed."""

    def __init__(
        self, *args: Any, keys: Sequence[str] | None = None, model: str = "audit.config:Config", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._keys, self._model = keys, model
        self._extended = False

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters, then those of the configuration."""
        if not self._extended:
            self.params = [*self.params, *_options(self._keys, self._model)]
            self._extended = True
        return super().get_params(ctx)


def _options(keys: Sequence[str] | None, model: str) -> list[click.Parameter]:
    module, _, name = model.partition(":")
    options: list[click.Parameter] = []
    for key, field in getattr(import_module(module), name).model_fields.items():
        if keys is not None and key not in keys:
            continue
        kind: Any = field.annotation
        if get_origin(kind) is not Literal:
            kind = next((part for part in get_args(kind) if part is not type(None)), kind)
        kwargs: dict[str, Any] = {"type": {int: int, float: float}.get(kind, str)}
        if get_origin(kind) is Literal:
            kwargs["type"] = click.Choice(get_args(kind))
        elif kind is bool:
            kwargs = {"is_flag": True, "default": None}
        default = field.default
        told = isinstance(default, (int, float, str)) and not isinstance(default, bool)
        shown = f" [default: {default}]" if told else ""
        name = f"--{key.replace('_', '-')}"
        options.append(click.Option([name, key], help=f"{field.description}{shown}", **kwargs))
    return options
