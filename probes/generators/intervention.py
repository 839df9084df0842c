"""A prompt intervention: text added to every prompt of a model, whatever its kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from probes.generators.base import Generator, Request, Result

PLACE = "{prompt}"
"""Stands for the prompt in an intervention that does not simply follow it."""


def added(prompt: str, intervention: str) -> str:
    """The prompt as it is sent: `PROMPT, INTERVENTION`, or the intervention with the prompt in the place of `{prompt}`.

    `a nurse` and `ensure demographic diversity` give `a nurse, ensure demographic diversity`; after a prompt that ends
    with a full stop, an exclamation or a question mark the comma is left out.
    """
    if PLACE in intervention:
        return intervention.replace(PLACE, prompt)
    start, text = prompt.rstrip(), intervention.strip()
    return f"{start} {text}" if start.endswith((".", "!", "?", "…")) else f"{start}, {text}"


class Intervened:
    """A generator that is sent every prompt with an intervention. Seeds stay, so that images are paired with those
    without it. `details` of a result hold the prompt that was sent."""

    def __init__(self, generator: Generator, intervention: str) -> None:
        self._generator, self.intervention = generator, intervention
        self.name = generator.name
        self.batch_size = generator.batch_size
        self.fixed_batches = generator.fixed_batches

    def fingerprint(self) -> dict[str, object]:
        """The fingerprint of the model, and the intervention."""
        return {**self._generator.fingerprint(), "intervention": self.intervention}

    def generate(self, requests: Sequence[Request]) -> list[Result]:
        """Make one result per request, in the order of the requests.

        Raises:
            GeneratorError: if the model cannot make any image.
        """
        sent = [dataclasses.replace(each, prompt=added(each.prompt, self.intervention)) for each in requests]
        results = self._generator.generate(sent)
        return [
            dataclasses.replace(result, details={**result.details, "prompt": request.prompt})
            for request, result in zip(sent, results, strict=True)
        ]


def intervened(generator: Generator, intervention: str | None) -> Generator:
    """The generator itself, or one that is sent every prompt with the intervention."""
    return generator if intervention is None else Intervened(generator, intervention)
