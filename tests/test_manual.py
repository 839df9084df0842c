"""The command reference: it is what the code says now, and holds every command, option and key."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from audit.cli import cli
from audit.config import Config
from audit.manual import ENVIRONMENT, RENEW, main, manual

ROOT = Path(__file__).resolve().parents[1]


@cache
def page() -> str:
    return manual()


def section(title: str) -> str:
    return page().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_page_is_current() -> None:
    written = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert written == manual(), f"docs/commands.md is not what the code says now. Renew it: {RENEW}"


@pytest.mark.parametrize("name", cli.commands)
def test_every_parameter_of_a_command_stands_in_its_section(name: str) -> None:
    told, command = section(f"rolecall {name}"), cli.commands[name]
    keys = {f"--{key.replace('_', '-')}" for key in Config.model_fields} if "Each key of" in told else set()
    for parameter in command.get_params(click.Context(command)):
        if isinstance(parameter, click.Argument):
            assert str(parameter.name).upper().rstrip("S") in told.upper().splitlines()[1], parameter.name
        elif "--help" not in parameter.opts:
            assert all(f"`{flag}`" in told or flag in keys for flag in parameter.opts), parameter.opts
            if isinstance(parameter.type, click.Choice) and parameter.opts[0] not in keys:
                row = next((line for line in told.splitlines() if line.startswith(f"| `{parameter.opts[0]}` ")), "")
                keyed = f"`{parameter.opts[0]}`" in told.splitlines()[-1]
                assert keyed or all(f"`{choice}`" in row for choice in parameter.type.choices), parameter.opts


def test_every_key_stands_with_its_default() -> None:
    rows = {line.split("`")[1]: line for line in section("Configuration").splitlines() if line.startswith("| `")}
    assert list(rows) == list(Config.model_fields)
    assert "| whole number, at least 2 | `40` |" in rows["images"]
    assert "| `true` or `false` | `false` |" in rows["allow_pickle"]
    assert "| number, above 0, below 0.5 | `0.05` |" in rows["alpha"]
    assert "| `files`, `tar`, `none` | `files` |" in rows["image_store"]
    assert "| whole number, at least 1 |  |" in rows["threads"], "the default is that of the machine"


def test_every_exit_code_and_variable_is_named() -> None:
    assert set(re.findall(r"^\| (\d+) ", section("Exit codes"), re.M)) == {"0", "1", "2", "3", "4", "130"}
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("audit", "probes", "reports")
        for path in (ROOT / folder).rglob("*.py")
    )
    read = set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", code))
    read |= set(re.findall(r"^KEY_VARIABLE = \"(\w+)\"", code, re.M))
    assert read == set(ENVIRONMENT)


def test_it_does_not_depend_on_terminal_or_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = page()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.chdir(tmp_path)
    assert manual() == before
    assert str(ROOT) not in before
    assert str(Path.home()) not in before


def test_an_old_page_is_found_and_renewed(tmp_path: Path) -> None:
    path, call = tmp_path / "commands.md", CliRunner().invoke
    path.write_text(page().replace("| `--blur` |", "| `--smear` |"), encoding="utf-8")
    found = call(main, [str(path), "--check"])
    assert found.exit_code == 1
    assert RENEW in found.output
    assert "smear" in path.read_text(encoding="utf-8")
    assert call(main, [str(path)]).exit_code == 0
    assert call(main, [str(path), "--check"]).exit_code == 0
    assert call(main, [str(tmp_path / "none.md"), "--check"]).exit_code == 1
