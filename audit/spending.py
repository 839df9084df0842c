"""What a run costs that pays for its images: a limit before it, and an estimate before and during it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from audit.errors import UsageError
from audit.progress import Progress, Task

if TYPE_CHECKING:
    from audit.config import Config

EVERY = 60.0
"""Seconds between two estimates while a run is under way."""


class PricedProgress(Progress):
    """The same progress, with the price of what is asked for, and while it goes on of what was asked for.

    The price is images × price per image: refused and failed images are counted as if they were paid, repeated
    requests are not, and what an earlier process asked for is not counted again.
    """

    def __init__(self, progress: Progress, price: float) -> None:
        super().__init__(progress.mode)
        self._progress, self._price = progress, price

    def say(self, text: str) -> None:
        """One line for people (or one JSON object)."""
        self._progress.say(text)

    @contextmanager
    def task(self, title: str, total: int, done: int = 0) -> Iterator[Task]:
        """A piece of work of `total` images, of which `done` were made by an earlier process."""
        left = total - done
        here = f" {done:,} of {total:,} are made;" if done else ""
        if left:
            self.say(f"Cost:{here} {left:,} to ask for, about {left * self._price:,.2f} at {self._price:g} each.")
        with self._progress.task(title, total, done) as task:
            counted = _Counted(self, task, left)
            yield counted
            counted.tell()

    def spent(self, asked: int, left: int) -> None:
        """Say what the images asked for so far cost."""
        self.say(f"Cost so far: about {asked * self._price:,.2f} of {left * self._price:,.2f} ({asked:,} asked for).")


class _Counted:
    def __init__(self, progress: PricedProgress, task: Task, left: int) -> None:
        self._progress, self._task, self._left = progress, task, left
        self._asked = 0
        self._last = time.monotonic()

    def advance(self, count: int) -> None:
        self._task.advance(count)
        self._asked += count
        if time.monotonic() - self._last >= EVERY:
            self.tell()

    def tell(self) -> None:
        self._last = time.monotonic()
        if self._asked:
            self._progress.spent(self._asked, self._left)


def watched(progress: Progress, settings: Config, images: int) -> Progress:
    """The progress of a run of at most `images` images, with its price if one is configured.

    Raises:
        UsageError: if the run is larger than `max_images`.
    """
    price = settings.price_per_image
    if settings.max_images is not None and images > settings.max_images:
        cost = f", about {images * price:,.2f}" if price is not None else ""
        raise UsageError(
            f"the run asks for {images:,} images{cost}, more than max_images {settings.max_images:,}. "
            "Ask for fewer images or probes, or raise --max-images."
        )
    return progress if price is None else PricedProgress(progress, price)
