"""Suites and references as lines of text, for `rolecall suites` and `rolecall references`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from audit.reference import Reference, Uniform, load_reference, reference_names
from probes.suite import Suite, check_suite, load_suite, suite_names


def list_suites() -> Iterator[str]:
    """One line a suite: name, probes, subjects, languages, title."""
    width = max(len(name) for name in suite_names())
    for name in suite_names():
        suite = load_suite(name)
        yield f"{name:<{width}}  {len(suite.probes):>5} probes  {_languages(suite):<6}  {suite.card.title}"


def show_suite(name: str, *, check: bool) -> Iterator[str]:
    """The card of a suite and its probes; with `check`, what is doubtful in it instead of the probes."""
    suite = load_suite(name)
    yield f"{suite.name} {suite.version}: {suite.card.title}"
    yield f"source: {suite.card.source}"
    yield f"construct: {suite.card.construct}"
    for caveat in suite.card.caveats:
        yield f"caveat: {caveat}"
    kinds = Counter(probe.kind for probe in suite.probes)
    yield f"{len(suite.probes)} probes ({', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))})"
    yield f"digest: {suite.digest()}"
    if check:
        warnings = check_suite(suite)
        yield from warnings
        yield f"checked: {len(warnings)} remarks" if warnings else "checked: nothing to remark"
        return
    width = max(len(probe.probe_id) for probe in suite.probes)
    for probe in suite.probes:
        yield f"  {probe.probe_id:<{width}}  {probe.text}"


def list_references() -> Iterator[str]:
    """One line a reference: name, year, attributes, title."""
    names = reference_names()
    width = max(len(name) for name in names)
    loaded = {name: load_reference(name) for name in names}
    whole = {
        name: "any attribute" if isinstance(each, Uniform) else ", ".join(each.table) for name, each in loaded.items()
    }
    wide = max(len(text) for text in whole.values())
    for name, each in loaded.items():
        year = str(each.card.get("year", ""))
        yield f"{name:<{width}}  {year:<9}  {whole[name]:<{wide}}  {each.card.get('title', '')}"


def show_reference(name: str) -> Iterator[str]:
    """The card of a reference and its rows: the shares of their classes, with the year and source of a row of its own.

    `name` is a built-in one, the path of a CSV, `run:PATH` or `training:PATH`.
    """
    reference = load_reference(name)
    yield f"{reference.name}: {reference.card.get('title', '')}"
    for key in ("source", "year", "universe", "url"):
        if reference.card.get(key):
            yield f"{key}: {reference.card[key]}"
    for key, one in (("mapping", "mapping"), ("caveats", "caveat")):
        lines = reference.card.get(key) or []
        for line in lines if isinstance(lines, list) else [lines]:
            yield f"{one}: {line}"
    for attribute in sorted(reference.overlapping):
        yield f"{attribute}: its classes overlap or leave people out, and are compared one at a time"
    yield f"digest: {reference.digest()}"
    for attribute, rows in reference.table.items():
        yield f"{attribute}: {len(rows)} {'row' if len(rows) == 1 else 'rows'}"
        yield from _reference_rows(reference, attribute)


def _reference_rows(reference: Reference, attribute: str) -> Iterator[str]:
    rows = reference.table[attribute]
    width = max(len(row) for row in rows)
    for row, shares in rows.items():
        text = ", ".join(f"{name} {share:.4g}" for name, share in shares.items())
        size = reference.sizes.get(attribute, {}).get(row)
        origin = reference.origins.get(row)
        yield f"  {row:<{width}}  {text}{f' (n = {size})' if size else ''}{f' [{origin}]' if origin else ''}"


def _languages(suite: Suite) -> str:
    return ",".join(sorted({probe.language for probe in suite.probes}))
