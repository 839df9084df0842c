"""The cells of a grid: one configuration with changes, each of which becomes a run of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from audit.config import Config, explain, read_mapping, resolve, slug
from audit.errors import UsageError, nearest

VARIED = (
    *("model", "revision", "dtype", "scheduler", "steps", "guidance", "width", "height", "negative_prompt"),
    *("intervention", "lora", "batch_size", "pipeline_config", "allow_pickle", "api_base_url", "api_key_variable"),
    *("api_options", "api_images_per_request", "api_timeout", "api_tries", "concurrency", "price_per_image"),
)
"""Keys that a cell may set: what concerns the model and how it is asked."""
SHARED = ("suite", "classifier", "wordings", "reference")
"""Keys whose defaults follow from the model: those of the baseline hold for every cell."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TAKEN = ("tables",)
_LONGEST = 32


@dataclass(frozen=True)
class Cell:
    """One run of a grid."""

    name: str
    """Also the name of its folder."""
    changes: Mapping[str, Any]
    """The keys that it sets, as given; None takes a key back to its default."""
    config: Config
    """The whole configuration of its run."""


@dataclass(frozen=True)
class Cells:
    """A grid as it was asked for."""

    out: Path
    cells: tuple[Cell, ...]
    """At least two, the baseline first."""

    @property
    def baseline(self) -> str:
        """Name of the cell that the others are compared with."""
        return self.cells[0].name


def is_grid(path: Path) -> bool:
    """Whether a YAML file describes a grid.

    Raises:
        UsageError: if it cannot be read.
    """
    return "grid" in read_mapping(path)


def read_cells(config: str | Path | Mapping[str, Any] | None, options: Mapping[str, Any]) -> Cells:
    """The cells of a YAML file or mapping, with `options` on top.

    Raises:
        UsageError: if there is no grid, or a key, value or name in it cannot be used.
    """
    given, origin = dict(config or {}) if not isinstance(config, str | Path) else {}, "the grid"
    if isinstance(config, str | Path):
        given, origin = read_mapping(Path(config)), str(config)
    given |= {key: value for key, value in options.items() if value is not None and value != ()}
    grid, baseline = given.pop("grid", None), given.pop("baseline", None)
    common = _config(given, origin)
    if common.stop_when_decided:
        raise UsageError(
            "a grid compares its cells image by image, so that each asks for the same ones: it cannot stop when "
            "decided. Leave stop_when_decided out."
        )
    named = _named(grid, origin)
    first = _baseline(baseline, list(named), origin)
    shared = _shared(given, named[first], f"cell {first!r} of {origin}")
    out = Path(common.out or f"{resolve(common).out}-grid")
    cells = []
    for name in (first, *(other for other in named if other != first)):
        keys = _set({**given, **named[name], **shared, "out": str(out / name)})
        cells.append(Cell(name, named[name], resolve(_config(keys, f"cell {name!r} of {origin}"))))
    return Cells(out, tuple(cells))


def _shared(given: Mapping[str, Any], changes: Mapping[str, Any], origin: str) -> dict[str, Any]:
    base = resolve(_config(_set({**given, **changes}), origin))
    return {key: getattr(base, key) for key in SHARED}


def _set(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if value is not None}


def _config(keys: Mapping[str, Any], origin: str) -> Config:
    try:
        return Config(**keys)
    except ValidationError as error:
        raise UsageError(explain(error, Config, origin)) from None


def _named(grid: object, origin: str) -> dict[str, dict[str, Any]]:
    """Name → changes, from cells with names or from all combinations of lists of values."""
    if not isinstance(grid, Mapping) or not grid:
        raise UsageError(
            f"{origin} has no cells: grid must hold a name for each cell and the keys that it sets, such as "
            f"'base: {{}}', or a list of values for a key (got {grid!r})."
        )
    lists = [key for key, value in grid.items() if isinstance(value, list)]
    if lists and len(lists) < len(grid):
        other = next(key for key in grid if key not in lists)
        raise UsageError(
            f"grid in {origin} mixes lists of values ({lists[0]}) with named cells ({other}). Name every cell, or give "
            "every key a list."
        )
    cells = dict(_combined(grid) if lists else ((name, changes or {}) for name, changes in grid.items()))
    for name, changes in cells.items():
        _check(name, changes, origin)
    lower = [str(name).lower() for name in cells]
    for name in cells:
        if lower.count(str(name).lower()) > 1:
            raise UsageError(f"two cells of {origin} are called {name!r}, but for capitals. Rename one.")
    if len(cells) < 2:
        raise UsageError(f"a grid needs a baseline and one more cell (got {', '.join(map(str, cells))} in {origin}).")
    return cells


def _check(name: object, changes: object, origin: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.lower() in _TAKEN:
        raise UsageError(
            f"a cell of {origin} cannot be called {name!r}: its name is that of its folder. Use letters, digits, dots "
            "and dashes (and not 'tables')."
        )
    if not isinstance(changes, Mapping):
        raise UsageError(f"cell {name!r} of {origin} must hold the keys that it sets (got {changes!r}).")
    for key in changes:
        if key in VARIED:
            continue
        if key in Config.model_fields:
            raise UsageError(
                f"cell {name!r} of {origin} sets {key}, which must be the same in all cells. Set it once, outside of "
                "grid."
            )
        raise UsageError(f"unknown key {key!r} in cell {name!r} of {origin}. {nearest(str(key), VARIED)}")


def _combined(axes: Mapping[Any, Sequence[Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every combination of the values; the first values of all keys come first."""
    used: set[str] = set()
    for values in product(*axes.values()):
        changes = dict(zip(axes, values, strict=True))
        name = title = "_".join(f"{slug(str(key))}-{_short(value)}" for key, value in changes.items())
        number = 2
        while name in used:
            name, number = f"{title}-{number}", number + 1
        used.add(name)
        yield name, changes


def _short(value: object) -> str:
    """A value as a part of a name: `3`, `none`, the name of a file without its folder and ending."""
    if isinstance(value, list | tuple):
        return "-".join(map(_short, value)) or "none"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if "/" in text:
        text = Path(text.rstrip("/")).name.removesuffix(".safetensors")
    return slug("none" if value is None else text)[:_LONGEST].rstrip("-.")


def _baseline(given: object, names: Sequence[str], origin: str) -> str:
    if given is None:
        return names[0]
    if given not in names:
        raise UsageError(f"baseline {given!r} is no cell of {origin}. {nearest(str(given), names)}")
    return str(given)
