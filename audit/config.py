"""The configuration of a run: one flat mapping, the same keys in YAML, on the command line and in Python."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from audit.errors import UsageError, nearest

PHANTOMS = ("phantom", "phantom-drawn")
DEFAULT_CLASSIFIER = "ViT-L-14/openai"
"""The CLIP whose error rates on FairFace are published."""


_OFFICIAL = {
    "occupations": ("us-labour-2022",),
    "identities": ("us-labour-2022",),
    "berufe": ("de-women-share",),
}
"""Statistics that have rows for the subjects of a suite."""


def _listed(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""Several names: a list, or one string with commas."""


def _named(value: object) -> object:
    """A mapping from NAME=VALUE, with commas; numbers, true and false are read as such."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(name.strip() and text.strip() for name, _, text in pairs):
        raise ValueError("give NAME=VALUE, with commas between several")
    return {name.strip(): _value(text.strip()) for name, _, text in pairs}


def _value(text: str) -> object:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


Options = Annotated[dict[str, bool | int | float | str], BeforeValidator(_named)]
"""Values by name: a mapping, or one string of NAME=VALUE with commas."""


class Primary(BaseModel):
    """The one statement that the run is made for, declared before the first image; all others are exploratory."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    attribute: str | None = None
    """The perceived attribute; by default the first one asked."""
    reference: str | None = None
    """The reference compared with; by default the first one named."""
    claim: Literal["list", "population"] = "list"
    """`list`: about these probes; `population`: about probes like these."""


def _declared(value: object) -> object:
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",")]
        return dict(zip(("attribute", "reference", "claim"), parts, strict=False))
    return value


class Config(BaseModel):
    """What a run is made of. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: str = "phantom"
    """`phantom`, `phantom-drawn`, a hub id, a folder, a single file, `python:module:function`, `openai:MODEL_ID`."""
    suite: str | None = None
    """A suite's name, or the path of a YAML file, `prompts.txt` or `prompts.csv`."""
    images: int = Field(default=40, ge=2)
    """Images per probe, at least 2."""
    stop_when_decided: bool = False
    """Make images in rounds and stop each probe once the primary question is decided; `images` is then the most."""
    round_images: int = Field(default=10, ge=1)
    """Images of each open probe per round, as near as whole batches come to it."""
    seed: int = Field(default=0, ge=0)
    """Seed of the run; the seed of every image follows from it."""
    out: str | None = None
    """The run directory; by default runs/MODEL-SUITE."""
    languages: Names | None = None
    """Only the probes in these languages."""
    templates: Names | None = None
    """Only the probes of these templates."""
    subjects: Names | None = None
    """Only the probes of these subjects."""

    classifier: Names | None = None
    """Instruments: `phantom`, `faces`, `skin_tone`, `MODEL/CHECKPOINT` of open_clip, `local-dir:PATH`."""
    wordings: str | None = None
    """The attribute set of zero-shot classifiers: a name or the path of a YAML file."""
    attributes: Names | None = None
    """Perceived attributes to label; by default all of the attribute set."""
    margin: float | None = Field(default=None, ge=0, le=1)
    """Smallest lead of the best class over the second; below it the answer is `unclear`."""
    label_dtype: Literal["fp32", "bf16"] = "fp32"
    """Weights of the classifier's image tower."""
    label_batch_size: int | None = Field(default=None, ge=1)
    """Images labelled at once."""

    reference: Names | None = None
    """References: names that `rolecall references` lists, the path of a CSV, `run:PATH` or `training:PATH`."""
    calibration: Names | None = None
    """Error rates from other images: paths of CSVs (attribute, true, predicted) or of runs that people labelled."""
    primary: Annotated[Primary, BeforeValidator(_declared)] = Primary()
    """What is declared beforehand: ATTRIBUTE, or ATTRIBUTE,REFERENCE, or ATTRIBUTE,REFERENCE,CLAIM."""
    error_rates: str | None = None
    """A YAML file with the classifier's error rates by attribute, for runs without human labels."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Level of the tests; intervals are at level 1 − alpha."""
    delta: float = Field(default=0.05, ge=0, lt=1)
    """Largest difference of a share that does not matter."""
    draws: int = Field(default=10_000, ge=200)
    """Monte-Carlo draws of tests without a closed form."""

    revision: str | None = None
    """Revision of the model on its hub."""
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the model."""
    device: str = "cpu"
    """`cpu`, `cuda`, `cuda:1` …"""
    threads: int | None = Field(default=None, ge=1)
    """Threads per worker; images depend on it in the last bit."""
    scheduler: str | None = None
    """Class name of a diffusers scheduler."""
    steps: int | None = Field(default=None, ge=1)
    """Denoising steps."""
    guidance: float | None = Field(default=None, ge=0)
    """Guidance scale."""
    width: int | None = Field(default=None, ge=8)
    """Width of an image in pixels."""
    height: int | None = Field(default=None, ge=8)
    """Height of an image in pixels."""
    negative_prompt: str | None = None
    """What the images shall not show."""
    intervention: str | None = Field(default=None, pattern=r"\S")
    """Text added to every prompt after a comma, or where the text says {prompt}; the probes stay as they are."""
    lora: Names = ()
    """LoRA weights, `PATH` or `PATH:WEIGHT`."""
    batch_size: int | None = Field(default=None, ge=1)
    """Images made at once; images depend on it in the last bit."""
    pipeline_config: str | None = None
    """Folder with the configuration of a single-file model."""
    allow_pickle: bool = False
    """Load weights that are not safetensors; such files can run code when loaded."""
    api_base_url: str | None = None
    """Address of an images API, such as http://localhost:8000/v1; by default OpenAI's."""
    api_key_variable: str | None = None
    """Environment variable that holds the key of the API; by default OPENAI_API_KEY. Never the key itself."""
    api_options: Options | None = None
    """What else the API is asked: quality=…, background=…, moderation=…, output_format=…"""
    api_images_per_request: int | None = Field(default=None, ge=1)
    """Images of one request, where the service allows more than 1; they may share a rewritten prompt."""
    api_timeout: float | None = Field(default=None, gt=0)
    """Seconds to wait for an answer of the API; by default 180."""
    api_tries: int | None = Field(default=None, ge=1)
    """Requests for one image before it counts as failed; by default 6."""
    concurrency: int | None = Field(default=None, ge=1)
    """Requests to the API at the same time; by default 4."""
    max_images: int | None = Field(default=None, ge=1)
    """Refuse to begin a run of more images than this."""
    price_per_image: float | None = Field(default=None, ge=0)
    """Price of one image, in any currency, for the estimate of what a run costs."""
    image_store: Literal["files", "tar", "none"] = "files"
    """One file an image, tar archives with byte offsets, or no images at all: only what was answered for them."""

    @property
    def phantom(self) -> bool:
        """True if the model is one of the embedded phantoms."""
        return self.model in PHANTOMS

    def generator_options(self) -> dict[str, Any]:
        """The keys that a generator takes, as keyword arguments."""
        return {
            "revision": self.revision,
            "dtype": self.dtype,
            "device": self.device,
            "scheduler": self.scheduler,
            "steps": self.steps,
            "guidance": self.guidance,
            "width": self.width,
            "height": self.height,
            "negative_prompt": self.negative_prompt,
            "lora": self.lora,
            "batch_size": self.batch_size,
            "config": self.pipeline_config,
            "allow_pickle": self.allow_pickle,
            "api_base_url": self.api_base_url,
            "api_key_variable": self.api_key_variable,
            "api_options": self.api_options,
            "api_images_per_request": self.api_images_per_request,
            "api_timeout": self.api_timeout,
            "api_tries": self.api_tries,
            "concurrency": self.concurrency,
            "threads": self.threads,
        }

    def classifier_options(self) -> dict[str, Any]:
        """The keys that a classifier takes, as keyword arguments."""
        return {
            "wordings": self.wordings,
            "attributes": self.attributes,
            "margin": self.margin,
            "device": self.device,
            "dtype": self.label_dtype,
            "batch_size": self.label_batch_size,
        }


def slug(text: str) -> str:
    """`text` as a folder name: lower case letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "run"


def resolve(config: Config) -> Config:
    """The configuration with every default that depends on other keys filled in."""
    changes: dict[str, Any] = {}
    suite = config.suite or ("phantom" if config.phantom else "occupations")
    changes["suite"] = suite
    changes["classifier"] = config.classifier or (("phantom",) if config.phantom else (DEFAULT_CLASSIFIER,))
    changes["wordings"] = config.wordings or ("phantom" if changes["classifier"] == ("phantom",) else "default")
    if config.reference is None:
        changes["reference"] = ("phantom-world",) if config.phantom else (*_OFFICIAL.get(suite, ()), "uniform")
    if config.out is None:
        model = config.model.rstrip("/").split("/")[-1].removeprefix("openai:")
        if Path(config.model).suffix and not config.model.startswith("openai:"):
            model = Path(config.model).stem
        changes["out"] = str(Path("runs") / f"{slug(model)}-{slug(Path(suite).stem)}")
    return config.model_copy(update=changes)


def read_config(path: Path | None, overrides: Mapping[str, Any] | None = None) -> Config:
    """The configuration of a YAML file (or none) with `overrides` on top; keys whose value is None are not set.

    Raises:
        UsageError: if the file cannot be read, is no mapping, or a key or value is not known.
    """
    given: dict[str, Any] = {}
    origin = "the options"
    if path is not None:
        origin = str(path)
        given = read_mapping(path)
    given.update({key: _plain(value) for key, value in (overrides or {}).items() if value is not None and value != ()})
    if "grid" in given:
        raise UsageError(
            f"{origin} describes a grid of runs, not one run. Make it with audit.run_grid or rolecall run."
        )
    try:
        return Config(**given)
    except ValidationError as error:
        raise UsageError(explain(error, Config, origin)) from None


def _plain(value: Any) -> Any:
    """A path as text, as it stands in a file."""
    return str(value) if isinstance(value, Path) else value


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UsageError: if there is no such file, or it is not YAML, or not a mapping with text keys.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"{path} cannot be read: {reason}. Give the path of a YAML file.") from None
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where is not None else ""
        raise UsageError(f"{path} is not YAML: {getattr(error, 'problem', 'it cannot be parsed')}{line}.") from None
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UsageError(
            f"{path} must hold a mapping of keys to values, such as 'model: phantom' (got a {type(value).__name__})."
        )
    return value


def explain(error: ValidationError, model: type[BaseModel], origin: str) -> str:
    """The first fault that pydantic found, as one line."""
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known: set[str] = set(model.model_fields)
        if len(fault["loc"]) > 1:
            known = set(Primary.model_fields)
        return f"unknown key {where!r} in {origin}. {nearest(str(fault['loc'][-1]), known)}"
    if where == "api_key_variable":
        return (
            f"{where} in {origin} must be the name of an environment variable. What was given is not shown, since it "
            "may be a key; keys are read from the environment only."
        )
    if where == "images":
        return (
            "images must be a whole number of at least 2 per probe, since a gap cannot be estimated from one "
            f"(got {fault['input']!r}). Ask for --images 2 or more."
        )
    return f"{where} in {origin}: {fault['msg'].lower()} (got {fault['input']!r})."
