"""What a gate asks of a run: the lines of a policy, as they stand in gate.yaml or in pyproject.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from audit.config import read_mapping
from audit.errors import UsageError, nearest

TABLE = "tool.rolecall.gate"
"""Table of a pyproject.toml that holds a policy."""
MEASURES = ("gap", "worst_probe", "missing", "worst_missing")


class Line(BaseModel):
    """One line: what is measured, and what it must keep to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: Literal["gap", "worst_probe", "missing", "worst_missing"]
    """`gap` of all probes, `worst_probe` (the largest gap of a single one), `missing` (the share of images without a
    class), `worst_missing` (that of the probe with the largest)."""
    attribute: str | None = None
    """Perceived attribute; for images without a class by default the primary one."""
    reference: str | None = None
    """Reference that the gap is measured from."""
    classifier: str | None = None
    """Instrument; by default that of the primary statement."""
    within: float | None = Field(default=None, gt=0, le=1)
    """Worsening against the baseline that is tolerated."""
    below: float | None = Field(default=None, gt=0, le=1)
    """What the measure itself must be below."""

    @model_validator(mode="after")
    def _whole(self) -> Line:
        if (self.within is None) == (self.below is None):
            raise ValueError("give either 'within' (a worsening against the baseline) or 'below' (a bound)")
        if self.measure.startswith("worst") and self.below is None:
            raise ValueError(f"{self.measure} takes a bound: give 'below'")
        if self.measure in ("gap", "worst_probe"):
            for name in ("attribute", "reference"):
                if getattr(self, name) is None:
                    raise ValueError(f"{self.measure} needs {'an' if name[0] in 'aeiou' else 'a'} '{name}'")
        elif self.reference is not None:
            raise ValueError(f"{self.measure} is measured without a reference")
        return self

    @property
    def against_baseline(self) -> bool:
        """Whether the line compares with a baseline."""
        return self.within is not None

    @property
    def limit(self) -> float:
        """The number to keep to."""
        return float(self.within if self.within is not None else self.below or 0.0)

    @property
    def name(self) -> str:
        """The line in a few words, such as `gap gender uniform within 0.05`."""
        parts = [self.measure, self.classifier, self.attribute, self.reference]
        rule = "within" if self.against_baseline else "below"
        return " ".join([*(part for part in parts if part), rule, f"{self.limit:g}"])


class More(BaseModel):
    """How a gate may look again at a run that it found inconclusive, declared before its first look."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int = Field(ge=1)
    """Images a probe at most."""
    looks: int = Field(default=3, ge=2, le=20)
    """Looks at most, the first one included; each has its part of the error rates."""


class Policy(BaseModel):
    """All lines of a gate, and the error rates of its verdict."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Chance of a false alarm, of all lines together."""
    wrong_pass: float | None = Field(default=None, gt=0, lt=0.5)
    """Chance of a wrong pass, of each line; by default `alpha`."""
    more: More | None = None
    """Further images that `--make-more` may make; None if the gate looks once."""
    inconclusive: Literal["inconclusive", "pass", "fail"] = "inconclusive"
    """What an inconclusive gate ends as."""
    lines: tuple[Line, ...] = Field(min_length=1)

    @property
    def wrong_pass_rate(self) -> float:
        """Chance of a wrong pass, of each line."""
        return self.alpha if self.wrong_pass is None else self.wrong_pass

    def with_more(self, images: int | None) -> Policy:
        """The same, looking again at up to so many images a probe if it does not say how itself.

        Raises:
            UsageError: if it declares fewer.
        """
        if images is None:
            return self
        if self.more is None:
            return self.model_copy(update={"more": More(images=images)})
        if images > self.more.images:
            raise UsageError(
                f"--make-more {images} is above the {self.more.images} images a probe that the policy declares. Give "
                f"--make-more {self.more.images}, or declare more before a run is first judged."
            )
        return self


def read_policy(path: Path) -> Policy:
    """The policy in a YAML file, or in the table `tool.rolecall.gate` of a pyproject.toml.

    Raises:
        UsageError: if the file cannot be read, or a key or value is not known.
    """
    given = _toml(path) if path.suffix == ".toml" else read_mapping(path)
    try:
        return Policy.model_validate(given)
    except ValidationError as error:
        raise UsageError(_explain(error, str(path))) from None


def find_policy(folder: Path) -> Path | None:
    """The policy that lies in a folder: gate.yaml, or a pyproject.toml that holds one."""
    if (folder / "gate.yaml").is_file():
        return folder / "gate.yaml"
    project = folder / "pyproject.toml"
    return project if project.is_file() and _table(project) is not None else None


def _toml(path: Path) -> Mapping[str, Any]:
    found = _table(path)
    if found is None:
        raise UsageError(f"{path} has no table [{TABLE}]. Write the policy there, or name a gate.yaml with --policy.")
    return found


def _table(path: Path) -> Mapping[str, Any] | None:
    try:
        place: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}") from None
    for name in TABLE.split("."):
        place = place.get(name) if isinstance(place, Mapping) else None
    return place if isinstance(place, Mapping) else None


def _explain(error: ValidationError, origin: str) -> str:
    fault = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")  # what else is amiss may follow
    place = list(fault["loc"])
    where = origin
    if place[:1] == ["lines"] and len(place) > 1:
        where = f"line {int(place[1]) + 1} of {origin}"
        place = place[2:]
    if fault["type"] == "extra_forbidden":
        model = Line if where != origin else More if place[0] == "more" and len(place) > 1 else Policy
        return f"unknown key {place[-1]!r} in {where}. {nearest(str(place[-1]), model.model_fields)}"
    said = str(fault.get("ctx", {}).get("error") or fault["msg"][0].lower() + fault["msg"][1:])
    name = f"{'.'.join(map(str, place))}: " if place else ""
    got = "" if isinstance(fault["input"], (dict, list)) else f" (got {fault['input']!r})"
    return f"{where}: {name}{said}{got}."
