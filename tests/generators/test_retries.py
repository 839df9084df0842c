"""When a service is asked again."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from images_server import Clock

from probes.generators.retries import Backoff, Pause, retry_after


def test_retry_after_may_be_a_date() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    later, earlier = (format_datetime(now + timedelta(seconds=each), usegmt=True) for each in (90, -90))
    assert retry_after({"retry-after": later}, lambda: now) == 90
    assert retry_after({"retry-after": earlier}, lambda: now) == 0
    assert [retry_after({"retry-after": text}) for text in ("-3", "nan", "", "in a while")] == [None] * 4


def test_the_own_wait_doubles_up_to_a_limit_with_jitter() -> None:
    backoff = Backoff(first=1, longest=10)
    assert [backoff.seconds(tried, None, 0.0) for tried in (1, 2, 3, 4, 5)] == [0.5, 1, 2, 4, 5]
    assert [backoff.seconds(tried, None, 0.999) for tried in (1, 5)] == pytest.approx([1, 10], rel=0.01)
    assert backoff.seconds(1, 30, 0.5) == 30.25
    assert backoff.seconds(2000, None, 0.0) == 5


def test_a_pause_holds_for_all_and_is_never_shortened() -> None:
    clock = Clock()
    pause = Pause(clock)
    pause.wait(clock.sleep, random.Random(1))
    assert clock.slept == []
    pause.hold(8)
    pause.hold(2)
    pause.wait(clock.sleep, random.Random(1))
    assert 8 <= clock() <= 9
    pause.wait(clock.sleep, random.Random(1))
    assert len(clock.slept) == 1
