"""`rolecall report --methods` in Python: how a run was made, labelled and analysed, for the methods section of a paper.

The facts are collected here, from run.json, the tables and people's labels; `reports.methods` puts them into words.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import UsageError, nearest
from audit.known_errors import known_errors
from audit.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from audit.results import Run
    from reports.view import View

FORMS = ("markdown", "bibtex")
DIGITS = 12
"""Digits of a SHA-256 that are quoted."""
OUTCOMES = ("refused", "failed")
UNSEEN = ("no_person", "several_people", "unclear")


def methods(run: str | Path | Run, *, form: str = "markdown") -> str:
    """The methods of an audit in words that a paper can quote, in English, with the references for what was used.

    All figures come from the run. A method is named only where it made a number of this run, a correction only where
    something was corrected.

    Args:
        run: a run whose tables stand, of any age.
        form: `markdown` (paragraphs and their references) or `bibtex` (the entries of the same references).

    Returns:
        The text.

    Raises:
        UsageError: if there is no such form, no run at this place, or the run has no tables; for a grid, which is
            several runs.
    """
    from audit.analysis import view
    from reports import methods as page

    if form not in FORMS:
        raise UsageError(f"no form {form!r} of the methods. {nearest(form, FORMS)}")
    root = Path(run) if isinstance(run, str | Path) else run.path
    if (root / "grid.json").is_file():
        raise UsageError(f"{root} is a grid of runs, each with methods of its own. Give the folder of one run in it.")
    store = Store.open(root)
    facts = describe(store, view(store))
    return page.bibtex(facts) if form == "bibtex" else page.markdown(facts)


def describe(store: Store, view: View) -> dict[str, Any]:
    """What `reports.methods` says of a run: plain values only."""
    record = store.record()
    seed = (record.get("plan") or {}).get("seed")
    settings = (record.get("config") or {}).get("resolved") or {}
    fingerprint = dict((record.get("model") or {}).get("fingerprint") or {})
    return {
        "kind": "training" if record.get("training") else "imported" if seed is None else "generated",
        "rolecall": str(record.get("rolecall") or ""),
        "begun": str(record.get("created") or "")[:10],
        "ended": str(record.get("finished") or record.get("created") or "")[:10],
        "git": record.get("git"),
        "model": {**fingerprint, "name": str(record["model"]["name"]), "digest": _digest(fingerprint)},
        "training": record.get("training"),
        "suite": _suite(record, view),
        "images": _images(record, view),
        "seed": seed,
        "outcomes": _outcomes(view),
        "duplicates": len(view.more.get("duplicates", ())),
        "classifiers": [_classifier(name, entry) for name, entry in record["classifiers"].items()],
        "evidence": known_errors(store, view, settings),
        "references": [_reference(name, record) for name in record["references"]],
        "level": 1 - view.alpha,
        "alpha": view.alpha,
        "delta": view.delta,
        "draws": settings.get("draws"),
        "primary": _primary(record),
        "analysis": _analysis(view),
        "sequential": record.get("sequential"),
        "verdict": _verdict(store),
        "deviations": _deviations(store, record, settings, view),
    }


def _digest(value: object) -> str:
    """The first digits of the SHA-256 of a JSON-able value in canonical form."""
    from probes.plan import digest_of

    return digest_of(value)[:DIGITS]


def _suite(record: Mapping[str, Any], view: View) -> dict[str, Any]:
    suite = record["suite"]
    single = view.probes[view.probes["people"] == "one"]
    return {
        **{key: suite.get(key) for key in ("name", "version", "probes", "languages")},
        "digest": str(suite.get("digest") or "")[:DIGITS],
        "title": (suite.get("card") or {}).get("title"),
        "subjects": int(view.probes["subject"].nunique()),
        "single": len(single),
        "single_subjects": int(single["subject"].nunique()),
    }


def _images(record: Mapping[str, Any], view: View) -> dict[str, int]:
    """Images asked for: of each probe, at least and at most, and of all."""
    asked = _one_a_probe(view)["asked"]
    return {
        "planned": int((record.get("plan") or {}).get("images") or 0),
        "fewest": int(asked.min()),
        "most": int(asked.max()),
        "asked": int(asked.sum()),
    }


def _one_a_probe(view: View) -> pd.DataFrame:
    """One row of `missing` for each probe: what does not depend on classifier and attribute."""
    return view.missing.drop_duplicates("probe_id")


def _outcomes(view: View) -> dict[str, Any]:
    """What became of the images: of all of them, and by question of those that show one person if they do as asked."""
    every = _one_a_probe(view)
    asked = int(every["asked"].sum())
    counts = {name: int(every[name].sum()) for name in ("made", *OUTCOMES)}
    return {
        "asked": asked,
        "shares": {name: _share(number, asked) for name, number in counts.items()},
        **counts,
        "questions": [
            _losses(pair, rows)
            for pair, rows in view.missing[view.missing["people"] == "one"].groupby(
                ["classifier", "attribute"], sort=False
            )
        ],
    }


def _losses(pair: Any, rows: pd.DataFrame) -> dict[str, Any]:
    asked = int(rows["asked"].sum())
    counts = {name: int(rows[name].sum()) for name in ("labelled", *OUTCOMES, *UNSEEN)}
    shares = {name: _share(number, asked) for name, number in counts.items()}
    return {"classifier": str(pair[0]), "attribute": str(pair[1]), "asked": asked, "shares": shares, **counts}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _classifier(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An instrument: its kind, checkpoint and wordings, and what it asks."""
    made, card = entry["fingerprint"], entry.get("card") or {}
    weights, margins = made.get("weights_sha256"), made.get("margins") or {}
    wordings = made.get("wordings")
    return {
        "name": name,
        "kind": made.get("kind"),
        **{key: made.get(key) for key in ("model", "device", "dtype")},
        "weights": weights[:DIGITS] if isinstance(weights, str) else _digest(weights) if weights else "",
        "wordings": wordings and {**wordings, "digest": str(wordings.get("digest") or "")[:DIGITS]},
        "title": card.get("title"),
        "source": card.get("source"),
        "people": bool(card.get("people")),
        "faces": card.get("looks_for") == "faces",
        "questions": [{**each, "margin": margins.get(each["attribute"])} for each in entry["questions"]],
    }


def _reference(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    card = (record.get("reference_cards") or {}).get(name) or {}
    digest = str((record.get("reference_digests") or {}).get(name) or "")[:DIGITS]
    return {"name": name, "digest": digest, **{key: card.get(key) for key in ("title", "source", "year", "url")}}


def _primary(record: Mapping[str, Any]) -> dict[str, str]:
    """What was declared, with the instrument that answers it."""
    primary = record.get("primary") or {}
    decides = (record.get("sequential") or {}).get("classifier") or next(iter(record["classifiers"]), "")
    return {
        **{key: str(primary.get(key) or "") for key in ("attribute", "reference")},
        "claim": str(primary.get("claim") or "list"),
        "classifier": str(decides),
    }


def _analysis(view: View) -> dict[str, Any]:
    """Which methods made numbers of this run."""
    from reports.view import widened

    shares, gaps = view.shares, view.gaps[view.gaps["gap"].notna()]
    tested = shares[shares["p_value"].notna()]
    single = {
        str(attribute): bool((rows.groupby(["classifier", "reference", "probe_id"])["p_value"].nunique() > 1).any())
        for attribute, rows in tested.groupby("attribute")
    }
    wide = {name for name in single if len(view.questions.get(name, ())) > 2}
    sequential = view.table("sequential")
    classes = [] if sequential is None else [len(view.questions[name]) for name in set(sequential["attribute"])]
    return {
        "intervals": bool(shares["share_low"].notna().any()),
        "at_once": bool(shares["share_low_all"].notna().any()),
        "gap": not gaps.empty,
        "ordered": _ordered(view, set(gaps["attribute"])),
        "subjects": _subjects(view),
        "claims": sorted({str(row) for row in gaps.loc[gaps["gap_low"].notna(), "claim"]}),
        "gap_corrected": "gap_corrected" in gaps and bool(gaps["gap_corrected"].notna().any()),
        "two": bool(set(single) - wide),
        "single": any(single.values()),
        "exact": bool(set(single) - wide) or any(single.values()),
        "monte_carlo": any(not single[name] for name in wide),
        "adjusted": bool(shares["p_adjusted"].notna().any()),
        "corrected": "corrected" in shares and bool(shares["corrected"].notna().any()),
        "pooled": _has(view, "overall", "corrected"),
        "band": "band_low" in shares and bool(shares["band_low"].notna().any()),
        "conclusions": bool((widened(shares)["conclusion"] != "").any()),
        "heterogeneity": _has(view, "heterogeneity", "p_value"),
        "amplification": _has(view, "amplification", "slope"),
        "intersections": _has(view, "intersections", "independence_p"),
        "comparison": _has(view, "comparison", "difference"),
        "two_sequential": 2 in classes,
        "more_sequential": any(number > 2 for number in classes),
    }


def _subjects(view: View) -> int:
    """Subjects in the gap that was declared."""
    first = _primary(view.run)
    rows = view.shares[view.shares["reference_share"].notna() & (view.shares["n"] > 1)]
    for column in ("classifier", "attribute", "reference"):
        rows = rows[rows[column] == first[column]]
    return int(rows["subject"].nunique())


def _ordered(view: View, compared: set[str]) -> list[str]:
    """Attributes with ordered classes that have a gap."""
    questions = [each for entry in view.run["classifiers"].values() for each in entry["questions"]]
    return sorted({str(each["attribute"]) for each in questions if each.get("ordered")} & compared)


def _has(view: View, name: str, column: str) -> bool:
    """Whether a table of the run has a number in a column."""
    table = view.table(name)
    return table is not None and column in table and bool(table[column].notna().any())


def _verdict(store: Store) -> dict[str, Any] | None:
    """The last verdict of the gate on this run."""
    from audit.gating import FILE

    path = store.root / FILE
    if not path.is_file():
        return None
    said = json.loads(path.read_text(encoding="utf-8"))
    return {"verdict": said["verdict"], "lines": len(said["lines"])}


def _deviations(store: Store, record: Mapping[str, Any], settings: Mapping[str, Any], view: View) -> dict[str, Any]:
    """What was otherwise than laid down at the start, as far as the run tells."""
    from audit.other_images import short_name

    first = (record.get("identity") or {}).get("classifiers")
    given = settings.get("reference") or []
    named = record["references"]
    known = [short_name(name) for name in settings.get("calibration") or []]
    every = _one_a_probe(view)
    unmade = int(every["asked"].sum() - every["made"].sum() - sum(every[name].sum() for name in OUTCOMES))
    return {
        "unmade": unmade,
        "classifiers": [name for name in record["classifiers"] if first is not None and name not in first],
        "added": [name for name in named if not any(_same(each, name) for each in given)],
        "dropped": [Path(each).name for each in given if not any(_same(each, name) for name in named)],
        "calibration": [name for name in record.get("calibration") or [] if name not in known],
        "rates": store.keep_error_rates(None) is not None and not settings.get("error_rates"),
        "extended": next((each["from"] for each in record.get("extended") or []), 0),
        "forgotten": int(record.get("forgotten") or 0),
        "left_out": _left_out(store, record),
    }


def _same(given: str, name: str) -> bool:
    """Whether a reference as the configuration gives it has this name in the tables."""
    kind, _, where = given.partition(":")
    if kind in ("run", "training") and where:
        return name.startswith(f"{kind}-") or Path(where).stem == name
    return name in (given, Path(given).stem)


def _left_out(store: Store, record: Mapping[str, Any]) -> int:
    """Files of an import, or images of a collection, that belong to no probe."""
    from audit.importing import LEFT_OUT

    if record.get("training"):
        return sum((record["training"].get("left_out") or {}).values())
    path = store.root / LEFT_OUT
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            return sum(1 for _ in csv.DictReader(file))
    return len(record.get("left_out") or [])
