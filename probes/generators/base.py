"""What every generator of images promises: requests in, one result per request out, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from PIL import Image

Outcome = Literal["ok", "refused", "failed"]
"""`ok`: an image came back; `refused`: the model or its filter said no; `failed`: an error remained after retries."""


class GeneratorError(Exception):
    """A generator cannot be used as asked. The message is one line: what was wrong, what was got, what to do."""


@dataclass(frozen=True)
class Request:
    """One image asked of a model."""

    prompt: str
    """The full text of the prompt."""
    seed: int
    """Seed of this image alone, 0 ≤ seed < 2**63; equal seeds pair the images of two models."""


@dataclass(frozen=True)
class Result:
    """What came back for one request."""

    outcome: Outcome
    image: Image.Image | None = None
    """8-bit RGB image; None unless the outcome is `ok`."""
    reason: str = ""
    """Why there is no image, in the words of the model or its filter; empty if the outcome is `ok`."""
    details: Mapping[str, object] = field(default_factory=dict)
    """What else is known of this image (JSON-able), such as the truth that was drawn or a rewritten prompt."""


@runtime_checkable
class Generator(Protocol):
    """A model that makes images from prompts.

    A result may depend on its own request and on `fingerprint()`, and on nothing else: not on its neighbours in the
    batch, their order, the worker or the time. Where the image depends on the batch size (diffusers pipelines do),
    `fixed_batches` is true and callers always pass exactly `batch_size` requests, padded with copies.
    """

    name: str
    """Short name for tables and file names, such as `phantom` or `sd-turbo`."""
    batch_size: int
    """Number of requests passed at once."""
    fixed_batches: bool
    """True if every call must pass exactly `batch_size` requests."""

    def fingerprint(self) -> dict[str, object]:
        """Everything that the images depend on besides prompt and seed, JSON-able: repository or folder name,
        revision, digests of the weights, sampler settings, size, dtype, batch size."""
        ...

    def generate(self, requests: Sequence[Request]) -> list[Result]:
        """Make one result per request, in the order of the requests.

        Raises:
            GeneratorError: if no image can be made at all (such as not enough memory for the batch size).
        """
        ...
