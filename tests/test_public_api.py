"""What `import audit` offers: each part says what goes in, what comes out and what can go wrong."""

from __future__ import annotations

import inspect
import json
import pydoc
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import audit

HEAVY = {
    "torch", "torchvision", "diffusers", "open_clip", "transformers", "matplotlib", "seaborn", "pandas", "scipy",
    "pyarrow", "pydantic", "numpy", "PIL", "yaml", "jinja2", "click",
}  # fmt: skip
PUBLIC = {name: getattr(audit, name) for name in audit.__all__}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isroutine(value)}
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}


def sections(function: Callable[..., Any]) -> dict[str, str]:
    """The docstring of a function by its sections; what comes first is ``."""
    text = inspect.getdoc(function) or ""
    parts = re.split(r"^(Args|Returns|Raises|Yields):\n", text, flags=re.M)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def entries(section: str) -> dict[str, str]:
    """Name → description of the entries of a section."""
    return dict(re.findall(r"^    \*{0,2}(\w+): (\S.*)$", section, re.M))


def test_all_that_is_offered_is_a_function_or_a_class_and_sorted() -> None:
    assert set(FUNCTIONS) | set(CLASSES) == set(audit.__all__)
    assert list(audit.__all__) == sorted(audit.__all__) == dir(audit)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_takes_gives_and_refuses(name: str) -> None:
    function = FUNCTIONS[name]
    said = sections(function)
    assert said[""][:1].isupper()
    assert list(entries(said.get("Args", ""))) == list(inspect.signature(function).parameters)
    assert said.get("Returns", "").strip(), "what it returns"
    errors = entries(said.get("Raises", ""))
    assert "UsageError" in errors
    for error in errors:
        assert error.endswith("Error")
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_describes_itself_and_its_members(name: str) -> None:
    offered = CLASSES[name]
    assert inspect.getdoc(offered)
    own = [member for kind in offered.__mro__ if kind.__module__.startswith("audit") for member in vars(kind)]
    for member in own:
        value = inspect.getattr_static(offered, member)
        if not member.startswith("_") and (inspect.isroutine(value) or isinstance(value, property)):
            assert inspect.getdoc(value), f"{name}.{member}"


def test_help_shows_the_whole_of_it() -> None:
    page = pydoc.render_doc(audit, renderer=pydoc.plaintext)
    for name in FUNCTIONS:
        assert re.search(rf"^    {name}\(", page, re.M), name
    for name in CLASSES:
        assert re.search(rf"^    class {name}\(", page, re.M), name
    for name in audit.__all__:
        assert re.search(rf"`(audit\.)?{name}\b", audit.__doc__ or "") or name in ("Comparison", "Grid", "Run"), name


def test_importing_it_is_light_and_what_is_not_there_is_said() -> None:
    script = "import sys, json, audit; dir(audit); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout))
    assert not {module.split(".")[0] for module in modules} & HEAVY
    assert {module for module in modules if module.startswith("audit")} == {"audit"}
    with pytest.raises(AttributeError, match="has no attribute 'unbiased'"):
        audit.unbiased  # noqa: B018
