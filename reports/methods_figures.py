"""What a methods section says of the figures: references, gap, intervals and tests, or the rule of a run that stops."""

from __future__ import annotations

from reports.citing import Citations
from reports.phrases import Facts, code, count, flat, listed, number, percent, points, word

GROUNDS = {
    "people": "the test is significant and the interval lies beyond the reference",
    "calibration": "the same test of the corrected share is significant and its interval lies beyond the reference",
    "elsewhere": "the same test of the corrected share is significant and its interval lies beyond the reference",
    "declared": "the test is significant and the whole band lies beyond the reference",
    "classifier": "the test is significant and the interval lies beyond the reference by more than {}",
}
"""What labels rest on → what a claim needs."""


def compared(f: Facts, cite: Citations) -> list[str]:
    """The references, each of which is in the list with its source."""
    named = []
    for each in f["references"]:
        title, year = flat(each["title"] or each["name"]), str(each["year"] or "")
        digest = f", SHA-256 {code(each['digest'])}" if each["digest"] else ""
        named.append(f"{code(each['name'])} ({title.rstrip('.')}{digest})")
        if each["source"] and each["name"] != "uniform":
            entry = {"type": "misc", "title": title, "year": year, "note": flat(each["source"]), "url": each["url"]}
            cite.add(f"data-{each['name']}", entry)
    return [f"Shares were compared with {listed(named)}."]


def fixed(f: Facts, cite: Citations) -> list[str]:
    """Gap, intervals and tests of a run with a fixed number of images."""
    did, claim = f["analysis"], f["primary"]["claim"]
    said = []
    if did["gap"]:
        ordered = listed([word(name) for name in did["ordered"]])
        said.append(
            "The gap *G* is the root of the mean over prompts of the squared distance between shares and reference, "
            "estimated without bias and divided by the largest distance there is: 0 if every prompt matches its "
            "reference, 1 if every prompt shows only the class farthest from it"
            + (f"; shares of ordered classes ({ordered}) are cumulated." if ordered else ".")
        )
    parts = [
        *([f"Wilson's for one share ({cite('wilson1927')})"] if did["intervals"] else []),
        *([f"Jeffreys' for all shares of a prompt at once ({cite('brown2001')})"] if did["at_once"] else []),
    ]
    if did["gap"] and claim in did["claims"]:
        parts.append(
            f"for the gap, as a claim about prompts like these, Student's *t* over "
            f"{count(did['subjects'], 'subject')} on the squared scale, corrected for skewness ({cite('hall1992')})"
            if claim == "population"
            else "for the gap, as a claim about these very prompts, a normal one on the squared scale with the "
            f"variance of the estimate ({cite('hoeffding1948')})"
        )
    said += [f"Intervals are at {percent(f['level'])}: {'; '.join(parts)}."] if parts else []
    if did["gap_corrected"]:
        said.append("The gap was corrected for label error too, its interval with the sampling of images and labels.")
    return [*said, *_tests(f, cite), *_explored(did, cite)]


def _tests(f: Facts, cite: Citations) -> list[str]:
    did, both = f["analysis"], f["analysis"]["exact"] and f["analysis"]["monte_carlo"]
    tests = []
    if did["exact"]:
        kinds = [*(["two classes"] if did["two"] else []), *(["one class against the rest"] if did["single"] else [])]
        told = f" ({listed(kinds, 'or')})" if both or did["single"] else ""
        tests.append(f"an exact binomial test{told}")
    if did["monte_carlo"]:
        tests.append(f"a Monte-Carlo χ² test with {number(f['draws'])} draws ({cite('davison1997')})")
    said = []
    if tests:
        adjusted = (
            f", adjusted over the prompts of a classifier, attribute and reference ({cite('benjamini1995')}) at "
            f"α = {f['alpha']:g}"
        )
        said.append(
            f"Each prompt was tested against its reference by {listed(tests, 'or')}"
            f"{adjusted if did['adjusted'] else ''}."
        )
    if did["conclusions"]:
        grounds: dict[str, list[str]] = {}
        for each in f["evidence"]:
            ground = GROUNDS[each["kind"]].format(points(f["delta"]))
            grounds.setdefault(ground, []).append(word(each["attribute"]))
        rules = [f"{ground} ({listed(dict.fromkeys(names))})" for ground, names in grounds.items()]
        said.append(
            f"A difference was claimed only if {listed(rules)}; differences of up to "
            f"{points(f['delta'])} are taken not to matter."
        )
    return said


def _explored(did: Facts, cite: Citations) -> list[str]:
    """Further tables, each with its method."""
    told = {
        "heterogeneity": (
            "whether prompts differ (χ² with Monte-Carlo margins, {}; Cramér's V, {})",
            ("patefield1981", "bergsma2013"),
        ),
        "amplification": ("slopes of shares on a reference (quasi-binomial, Firth's penalty, {})", ("firth1993",)),
        "intersections": ("shares by several attributes at once", ()),
        "comparison": ("differences between conditions (score intervals, {})", ("miettinen1985",)),
    }
    found = [text.format(*map(cite, keys)) for name, (text, keys) in told.items() if did[name]]
    return [f"Also computed, as exploration: {'; '.join(found)}."] if found else []


def stopped(f: Facts, cite: Citations) -> list[str]:
    """The rule of a run that stops each prompt when it is decided."""
    rule, did = f["sequential"], f["analysis"]
    keys = [
        *(["robbins1970"] if did["two_sequential"] else []),
        *(["lindon2022"] if did["more_sequential"] else []),
    ]
    said = [
        f"Each prompt stopped as soon as its question (perceived {word(rule['attribute'])} against "
        f"{code(rule['reference'])}) was decided: as different, once its e-value reached {1 / rule['alpha']:g}, or as "
        f"close, once the confidence sequences of all classes lay within {points(rule['delta'])} of the reference.",
    ]
    if keys:
        said.append(
            f"E-values and confidence sequences mix over all shares ({cite(*keys)}) and hold at every look; over the "
            f"prompts of a question e-values were adjusted by e-BH ({cite('wang2022')})."
        )
    if rule.get("images"):
        images, decided = rule["images"], rule["decided"]
        said.append(
            f"{number(images['made'])} of at most {number(images['at_most'])} images were asked for; prompts were "
            f"decided as different ({number(decided['differs'])}) or close ({number(decided['close'])}), or stayed "
            f"open ({number(decided['open'])})."
        )
    return [*said, "Intervals, tests and gaps that hold only for a number of images fixed beforehand are not given."]


def gate(f: Facts, cite: Citations) -> list[str]:
    """The last verdict of the gate on this run."""
    found = f["verdict"]
    if not found:
        return []
    lines = count(found["lines"], "line")
    return [f"A gate of {lines}, a failure of any of which holds for all together ({cite('holm1979')}), said "
            f"{code(found['verdict'])}."]  # fmt: skip
