"""The command reference, docs/commands.md: written from the commands and their options.

python -m audit.manual            writes docs/commands.md
python -m audit.manual --check    says whether it is as the code is now
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import BaseModel

from audit import cli as command_line
from audit.config import Config
from audit.planning import Question
from audit.verdict import EXIT_CODES

RENEW = "python -m audit.manual"
ENVIRONMENT: Mapping[str, str] = {
    "OPENAI_API_KEY": "The key of the images API (`--model openai:MODEL_ID`). `--api-key-variable` names another one.",
    "HF_ENDPOINT": "Where models are loaded from instead of the hub; read by huggingface_hub, as its other variables "
    "(`HF_HOME`, `HF_TOKEN`, `HF_HUB_OFFLINE`) are.",
}
"""What is read from the environment."""
_OPENING = f"""\
# Commands

`{RENEW}` writes this page from the code; a test says when it is old.

`rolecall --version` prints the version, and `--help` (or `-h`) after any command what stands here. Options and
arguments may stand in any order. Where several names or paths are asked for, give them with commas.
"""
_CONFIGURATION = """\
## Configuration

The keys of the YAML file that `rolecall run CONFIG` reads, and of `audit.run` in Python. On the command line each is an
option with dashes (`round_images` is `--round-images`), which wins over the file. Several names are a list in YAML, or
one text with commas. An unknown key is refused. A file with the key `grid` describes several runs
([mitigations.md](mitigations.md)).
"""
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
_KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "array": "names",
    "object": "mapping",
}
_COLUMNS = ("value", "default", "meaning")


def manual() -> str:
    """The whole page, as Markdown."""
    commands = command_line.cli.commands
    rows = [(f"[`rolecall {name}`](#rolecall-{name})", _first(command)) for name, command in commands.items()]
    parts = [_OPENING, _table(("command", "what it does"), rows), *_surroundings()]
    parts += [part for name, command in commands.items() for part in _command(name, command)]
    keys = [(f"`{key}`", *_key(Config, key)) for key in Config.model_fields]
    return "\n".join([*parts, _CONFIGURATION, _table(("key", *_COLUMNS), keys)])


def _surroundings() -> Iterator[str]:
    told = re.search(r"Exit codes: (.*?)\.", " ".join((command_line.__doc__ or "").split()))
    codes = {int(code): text for code, text in re.findall(r"(\d+) ([^,]+)", told[1] if told else "")}
    codes |= {code: f"`{verdict}`, the verdict of `rolecall gate`" for verdict, code in EXIT_CODES.items() if code}
    yield "## Exit codes\n"
    yield _table(("code", "meaning"), [(str(code), codes[code]) for code in sorted(codes)])
    yield "An error that you can mend is one line on standard error, and code 2.\n"
    yield "## Environment variables\n"
    yield _table(("variable", "meaning"), [(f"`{name}`", text) for name, text in ENVIRONMENT.items()])


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    parameters = command.get_params(context)
    arguments = [each for each in parameters if isinstance(each, click.Argument)]
    options = [each for each in parameters if isinstance(each, click.Option) and "--help" not in each.opts]
    keys = [each for each in options if _is_key(Config, each)]
    yield f"## rolecall {name}\n"
    yield f"`{' '.join(['rolecall', name, *(each.make_metavar(context) for each in arguments)])}`\n"
    yield from _paragraphs(command)
    own = [_option(each) for each in options if each not in keys]
    if own:
        yield _table(("option", *_COLUMNS), own)
    if len(keys) == len(Config.model_fields):
        yield "Each key of the [configuration](#configuration) is an option too.\n"
    elif keys:
        listed = ", ".join(_flag(each) for each in keys)
        yield f"Options that are keys of the [configuration](#configuration): {listed}.\n"


def _paragraphs(command: click.Command) -> Iterator[str]:
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        verbatim = paragraph.startswith("\b")
        yield f"```\n{paragraph.lstrip(chr(8)).strip()}\n```\n" if verbatim else f"{paragraph}\n"


def _first(command: click.Command) -> str:
    return " ".join(inspect.cleandoc(command.help or "").split("\n\n")[0].split())


def _is_key(model: type[BaseModel], option: click.Option) -> bool:
    field = model.model_fields.get(option.name or "")
    return field is not None and (option.help or "").startswith(str(field.description))


def _option(option: click.Option) -> tuple[str, ...]:
    if _is_key(Question, option) and not option.is_flag:
        return _flag(option), *_key(Question, str(option.name))
    meaning, _, told = (option.help or "").partition(" [default: ")
    given = None if option.is_flag else option.to_info_dict()["default"]
    default = told.removesuffix("]") or ("" if given in (None, ()) else f"`{given}`")
    return _flag(option), _value(option), default, meaning


def _flag(option: click.Option) -> str:
    return ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _value(option: click.Option) -> str:
    kind = option.type
    if option.is_flag:
        return ""
    if isinstance(kind, click.Choice):
        return _choices(kind.choices)
    if option.metavar:
        return f"`{option.metavar}`"
    words = {"integer": "whole number", "integer range": "whole number", "float": "number", "float range": "number"}
    ends = {"minimum": getattr(kind, "min", None), "maximum": getattr(kind, "max", None)}
    return _bounded(words.get(kind.name, "path" if isinstance(kind, click.Path) else "text"), ends)


def _key(model: type[BaseModel], key: str) -> tuple[str, str, str]:
    schema = _schema(model)[key]
    kind = next((part for part in schema.get("anyOf", ()) if part.get("type") != "null"), schema)
    value = _choices(kind["enum"]) if "enum" in kind else _bounded(_KINDS.get(kind.get("type"), "text"), kind)
    default = schema.get("default")
    told = "" if default is None or isinstance(default, list | dict) else f"`{yaml.safe_dump(default).split()[0]}`"
    return value, told, str(model.model_fields[key].description)


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return dict(model.model_json_schema()["properties"])


def _choices(values: Iterable[object]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _bounded(kind: str, ends: Mapping[str, Any]) -> str:
    limits = [f"{words} {ends[name]:g}" for name, words in _BOUNDS.items() if ends.get(name) is not None]
    return ", ".join([kind, *limits])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


@click.command()
@click.argument("file", default="docs/commands.md", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--check", is_flag=True, help="Write nothing; leave with 1 if FILE is not what would be written.")
def main(file: Path, check: bool) -> None:
    """Write the command reference to FILE, by default docs/commands.md."""
    if check:
        if not file.is_file() or file.read_text(encoding="utf-8") != manual():
            raise click.ClickException(f"{file} is old. Renew it: {RENEW}")
        return
    file.write_text(manual(), encoding="utf-8")


if __name__ == "__main__":
    main()
