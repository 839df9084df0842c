"""What a run costs: the limit before it, the estimates before and during it."""

from __future__ import annotations

import pytest

from audit import spending
from audit.config import Config
from audit.errors import UsageError
from audit.progress import Progress


def test_a_run_larger_than_its_limit_is_refused() -> None:
    message = r"the run asks for 2,000 images, about 80.00, more than max_images 1,999\."
    with pytest.raises(UsageError, match=message):
        spending.watched(Progress(), Config(max_images=1999, price_per_image=0.04), 2000)
    plain = Progress()
    assert spending.watched(plain, Config(max_images=2000), 2000) is plain


def test_the_price_is_told_before_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    progress = spending.watched(Progress("auto"), Config(price_per_image=0.04), 800)
    with progress.task("Asking", 800, 300) as task:
        task.advance(100)
        task.advance(25)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Cost")]
    assert told == [
        "Cost: 300 of 800 are made; 500 to ask for, about 20.00 at 0.04 each.",
        "Cost so far: about 5.00 of 20.00 (125 asked for).",
    ]


def test_the_price_is_told_while_the_run_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending, "EVERY", 0.0)
    with spending.watched(Progress("auto"), Config(price_per_image=1), 3).task("Asking", 3) as task:
        task.advance(1)
        told = capsys.readouterr().err.splitlines()
    assert "Cost so far: about 1.00 of 3.00 (1 asked for)." in told


def test_quiet_runs_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with spending.watched(Progress("quiet"), Config(price_per_image=1), 3).task("Asking", 3) as task:
        task.advance(3)
    assert capsys.readouterr() == ("", "")
