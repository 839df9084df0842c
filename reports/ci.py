"""What CI shows of a verdict: JUnit XML, and Markdown for a step's summary or a comment.

A verdict comes as the mapping of verdict.json.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

COMMENT_LIMIT = 65_536
"""Characters of a comment that GitHub takes; a step's summary may have 1 MiB."""
MARKS = {"pass": "✅", "fail": "❌", "inconclusive": "❔"}
LIMITS = (
    "A run as good as its baseline fails in at most {alpha} of the cases; a line that is worse by what is tolerated "
    "passes in at most {wrong_pass}. "
    "What is measured is what a classifier perceives in pictures, not anyone's identity."
)
_BAR = 20
"""Characters of a chart's line."""


def junit(verdict: Mapping[str, Any]) -> str:
    """JUnit XML: one suite, a test case a line. `fail` is a failure, `inconclusive` a skipped case.

    Where the policy makes something else of an inconclusive gate, its inconclusive lines are passed or failed cases.
    """
    lines = verdict["lines"]
    states = [_state(verdict, line) for line in lines]
    counts = {
        "tests": len(lines),
        "failures": states.count("fail"),
        "errors": 0,
        "skipped": states.count("inconclusive"),
    }
    attributes = {
        "name": f"rolecall gate {_clean(verdict['run'])}",
        **{key: str(n) for key, n in counts.items()},
        "time": "0",
    }
    root = ElementTree.Element("testsuites", attributes)
    suite = ElementTree.SubElement(root, "testsuite", attributes)
    properties = ElementTree.SubElement(suite, "properties")
    for key in ("verdict", "found", "baseline", "alpha", "wrong_pass", "images", "images_needed", "notes"):
        value = " ".join(verdict[key]) if key == "notes" else verdict[key]
        ElementTree.SubElement(properties, "property", name=key, value=_clean(value))
    for line, state in zip(lines, states, strict=True):
        name = _clean(line["name"])
        case = ElementTree.SubElement(suite, "testcase", classname="rolecall.gate", name=name, time="0")
        text = _clean(sentence(line))
        if state == "fail":
            ElementTree.SubElement(case, "failure", message=text, type=line["verdict"]).text = text
        elif state == "inconclusive":
            ElementTree.SubElement(case, "skipped", message=text)
        ElementTree.SubElement(case, "system-out").text = text
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _state(verdict: Mapping[str, Any], line: Mapping[str, Any]) -> str:
    state = str(line["verdict"])
    return str(verdict["inconclusive"]) if state == "inconclusive" else state


def sentence(line: Mapping[str, Any]) -> str:
    """One line in words, such as `gap of perceived gender from uniform: 0.312 (0.280 to 0.341), bound 0.3: fail`."""
    what = {
        "gap": "gap",
        "worst_probe": "largest gap of a probe",
        "missing": "images without a class",
        "worst_missing": "images without a class in the worst probe",
    }[line["measure"]]
    of = (
        f" of perceived {line['attribute']}"
        if line["measure"] in ("gap", "worst_probe")
        else f" (perceived {line['attribute']})"
    )
    since = f" from {line['reference']}" if line.get("reference") else ""
    if line["value"] is None:
        return f"{what}{of}{since}: no probe has enough images to say: {line['verdict']}"
    within = "within" in line
    rule = f"tolerated {line['within']:g}" if within else f"bound {line['below']:g}"
    value = f"changed by {_signed(line['value'])}" if within else _number(line["value"])
    needed = f"; about {line['images_needed']:,} images a probe would decide it" if line["images_needed"] else ""
    return f"{what}{of}{since}: {value} ({_span(line, within)}), {rule}: {line['verdict']}{needed}"


def summary(verdict: Mapping[str, Any], *, limit: int = COMMENT_LIMIT) -> str:
    """Markdown with the verdict, the figures of every line and small charts, within `limit` characters.

    Where it would be longer, lines that pass are left out first, and their number is said.
    """
    lines = sorted(verdict["lines"], key=lambda line: {"fail": 0, "inconclusive": 1, "pass": 2}[line["verdict"]])
    for shown in range(len(lines), -1, -1):
        text = _markdown(verdict, lines[:shown], len(lines) - shown)
        if len(text) <= limit:
            return text
    return text[:limit]


def _markdown(verdict: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], left: int) -> str:
    state = str(verdict["verdict"])
    against = f" against `{_code(verdict['baseline'])}`" if verdict["baseline"] else ""
    parts = [f"### {MARKS[state]} Rolecall: {state}", "", f"`{_code(verdict['run'])}`{against}."]
    if verdict["found"] != state:
        parts[-1] += f" Found to be {verdict['found']}; the policy takes that as {state}."
    if verdict["unpaired"]:
        parts[-1] += f" Images are not compared in pairs: {_text(verdict['unpaired'])}."
    if lines:
        parts += ["", "| | measure | value | one-sided bounds | rule | p | images |", "|---|---|--:|---|---|--:|--:|"]
        parts += [_row(line) for line in lines]
        charts = [chart for line in lines if (chart := _chart(line))]
        if charts:
            parts += ["", "```text", *charts, "```"]
    if left:
        parts += ["", f"{left} more lines are left out here; all are in verdict.json."]
    if verdict["images_needed"]:
        parts += ["", f"About {verdict['images_needed']:,} images a probe and run would decide what is inconclusive."]
    for note in verdict["notes"]:
        parts += ["", _text(note)]
    rates = {name: f"{100 * rate:.3g} %" for name, rate in verdict["looks"]["total"].items()}
    parts += ["", LIMITS.format(**rates)]
    return "\n".join(parts) + "\n"


def _row(line: Mapping[str, Any]) -> str:
    within = "within" in line
    rule = f"worsen by less than {line['within']:g}" if within else f"below {line['below']:g}"
    name = " ".join(
        _text(part)
        for part in (line["measure"].replace("_", " "), line["attribute"], line.get("reference") or "")
        if part
    )
    value = "–" if line["value"] is None else _signed(line["value"]) if within else _number(line["value"])
    p = "–" if line["p_value"] is None else f"{line['p_value']:.3f}"
    needed = f"{line['images_needed']:,}" if line["images_needed"] else ""
    cells = (f"{MARKS[line['verdict']]} {line['verdict']}", name, value, _span(line, within), rule, p, needed)
    return f"| {' | '.join(cells)} |"


def _chart(line: Mapping[str, Any]) -> str:
    """The bounds and the limit on a line: `gender  |····├──●──┤···:·|`."""
    if line["value"] is None:
        return ""
    within = "within" in line
    limit = float(line["within"] if within else line["below"])
    values = [float(line[key]) for key in ("low", "value", "high")]
    least, most = min(0.0, values[0]), max(limit * 1.2, values[2])
    places = [round((each - least) / (most - least) * (_BAR - 1)) for each in (*values, limit)]
    cells = ["·"] * _BAR
    cells[places[3]] = "┊"
    for place in range(places[0], places[2] + 1):
        cells[place] = "─" if place != places[3] else "┼"
    cells[places[1]] = "●"
    name = f"{line['measure']} {line['attribute']}"[:28]
    return f"{name:<28} {least:+.2f} {''.join(cells)} {most:+.2f}"


def _span(line: Mapping[str, Any], signed: bool) -> str:
    if line["low"] is None or line["high"] is None:
        return "–"
    show = _signed if signed else _number
    return f"{show(line['low'])} to {show(line['high'])}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\u2212")


def _clean(value: object) -> str:
    """Text that XML can hold: without control characters and lone surrogates."""
    text = "" if value is None else str(value)
    return "".join(
        sign
        for sign in text
        if sign in "\t\n" or (sign >= " " and not "\ud800" <= sign <= "\udfff" and sign not in "\ufffe\uffff")
    )


def _code(value: object) -> str:
    return _clean(value).replace("`", "'").replace("\n", " ")


def _text(value: object) -> str:
    """Text in a cell of a Markdown table, without effect."""
    cleaned = _clean(value).replace("\n", " ")
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]<>#|~@" else sign for sign in cleaned)
