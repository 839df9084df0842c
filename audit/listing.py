"""Suites as lines of text, for `rolecall suites`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

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


def _languages(suite: Suite) -> str:
    return ",".join(sorted({probe.language for probe in suite.probes}))
