"""What a run says while it works: a bar on a terminal, plain lines elsewhere, JSON for programs, or nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

Mode = Literal["auto", "quiet", "json"]
EVERY = 15.0
"""Seconds between two plain lines."""


class Task(Protocol):
    """One piece of work that is being done."""

    def advance(self, count: int) -> None:
        """`count` more units are done."""
        ...


class Progress:
    """Says what is being done and how long it will take. All goes to standard error; results go to standard output."""

    def __init__(self, mode: Mode = "quiet") -> None:
        self.mode = mode

    def say(self, text: str) -> None:
        """One line for people (or one JSON object)."""
        if self.mode == "json":
            print(json.dumps({"event": "note", "text": text}), file=sys.stderr, flush=True)
        elif self.mode == "auto":
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def task(self, title: str, total: int, done: int = 0) -> Iterator[Task]:
        """A piece of work of `total` units, of which `done` were done by an earlier process."""
        if self.mode == "auto" and sys.stderr.isatty():
            with _bar(title, total, done) as bar:
                yield bar
        else:
            lines = _Lines(self.mode, title, total, done)
            yield lines
            lines.finish()


@contextmanager
def _bar(title: str, total: int, done: int) -> Iterator[Task]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        key = bars.add_task(title, total=total, completed=done)

        class Bar:
            def advance(self, count: int) -> None:
                bars.advance(key, count)

        yield Bar()


class _Lines:
    def __init__(self, mode: Mode, title: str, total: int, done: int) -> None:
        self.mode, self.title, self.total, self.done = mode, title, total, done
        self.began = self.last = time.monotonic()
        self.here = 0
        self._show()

    def advance(self, count: int) -> None:
        self.done += count
        self.here += count
        if time.monotonic() - self.last >= EVERY:
            self._show()

    def finish(self) -> None:
        if self.here:
            self._show()

    def _show(self) -> None:
        self.last = time.monotonic()
        passed = self.last - self.began
        left = passed / self.here * (self.total - self.done) if self.here else None
        if self.mode == "json":
            event = {"event": "progress", "task": self.title, "done": self.done, "total": self.total}
            print(json.dumps({**event, "seconds_left": left}), file=sys.stderr, flush=True)
        elif self.mode == "auto":
            ending = f", about {_duration(left)} left" if left else ""
            print(f"{self.title}: {self.done} of {self.total}{ending}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
