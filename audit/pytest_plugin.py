"""Fixtures for pytest: `rolecall_run` makes or continues a run, `assert_gate` judges one.

They are there as soon as Rolecall is installed:

    def test_the_new_version_portrays_people_no_worse(rolecall_run, assert_gate):
        run = rolecall_run("audit.yaml", lora=["new.safetensors"], out="runs/new")
        assert_gate(run, baseline="baseline.json", policy="gate.yaml")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from audit.results import Run
    from audit.verdict import Verdict


@pytest.fixture(scope="session")
def rolecall_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """`rolecall_run(config=None, **options)`: the run of a configuration, as `audit.run` makes it.

    Without `out` it lies in a temporary folder; with it, a run that is there already is continued or used as it is.
    """

    def make(config: str | Path | None = None, **options: Any) -> Run:
        import audit
        from audit.progress import Progress

        options.setdefault("out", str(tmp_path_factory.mktemp("rolecall") / "run"))
        return audit.run(config, progress=Progress("quiet"), **options)

    return make


@pytest.fixture(scope="session")
def assert_gate() -> Callable[..., Verdict]:
    """`assert_gate(run, *, baseline=None, policy=None)`: judge a run; the verdict, if it is a pass.

    A run that fails fails the test and says which lines of the policy are not kept. An inconclusive one skips it,
    unless the policy takes that for a pass or a fail.
    """

    def check(run: Any, *, baseline: Any = None, policy: Any = None) -> Verdict:
        __tracebackhide__ = True
        import audit
        from reports.ci import sentence

        verdict = audit.gate(run, baseline=baseline, policy=policy)
        if verdict.verdict == "pass":
            return verdict
        lines = [sentence(line) for line in verdict.to_dict()["lines"] if line["verdict"] != "pass"]
        text = "\n".join([str(verdict), *lines])
        if verdict.verdict == "fail":
            pytest.fail(text, pytrace=False)
        pytest.skip(text)

    return check
