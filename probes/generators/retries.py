"""When to ask a service again: back-off with jitter, `Retry-After`, and one pause that all requests keep."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Backoff:
    """How often and after which time one request is made again."""

    tries: int = 6
    """Requests in all, the first one among them."""
    first: float = 1.0
    """Longest wait after the first try, in seconds; it doubles with every further one."""
    longest: float = 60.0
    """The wait grows no longer than this, in seconds."""

    def seconds(self, tried: int, asked: float | None, draw: float) -> float:
        """The wait after `tried` tries, with a jitter from `draw` (0 ≤ draw < 1).

        Between half and all of `first` · 2^(tried − 1), at most `longest`. If the service asked for a wait, never less
        than that, and up to half of the own wait more, so that not all requests come back at once.
        """
        own = min(self.longest, self.first * 2.0 ** min(tried - 1, 60))
        return own * (1 + draw) / 2 if asked is None else asked + own * draw / 2


class Pause:
    """A time before which nothing is asked; shared by all requests of a generator."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = -math.inf
        self._lock = threading.Lock()

    def hold(self, seconds: float) -> None:
        """Nobody asks for so many seconds from now; a longer pause that is on already stays."""
        with self._lock:
            self._until = max(self._until, self._clock() + seconds)

    def wait(self, sleep: Callable[[float], object], rng: random.Random) -> None:
        """Sleep until the pause is over, and up to a second longer if there was one."""
        with self._lock:
            left = self._until - self._clock()
        if left > 0:
            sleep(left + rng.random())


def retry_after(headers: Mapping[str, str], now: Callable[[], datetime] | None = None) -> float | None:
    """Seconds that a service asks to wait, from `retry-after-ms` or `Retry-After` (seconds or a date); None if none.

    Values that are no time are ignored; a date in the past is 0.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        try:
            seconds = float(text) * unit if text else math.nan
        except ValueError:
            seconds = _until(str(text), now)
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def _until(text: str, now: Callable[[], datetime] | None) -> float:
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return math.nan
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now() if now else datetime.now(UTC))).total_seconds())
