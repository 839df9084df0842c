"""What of an audit goes onto a model's card: a section in Markdown, and its figures in the forms that others read.

Only figures with an interval and a reference are given, each with what it does not say beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import yaml

from reports.sentences import main_classifier
from reports.view import View, records

TASK = "text-to-image"
SITE = "https://github.com/rolecall/rolecall"
LIMITS = (
    "Labels are what a classifier perceives in generated pictures, not anyone's identity; its classes are coarse.",
    "The gap is a distance from the reference that is named, 0 to 1. No reference says what a model ought to show.",
    "The figures hold for these prompts, these settings and this version of the model.",
    "Images without a class (refused, failed, nobody or several people seen, unclear) are counted, and in no share.",
)


def _rows(view: View) -> list[dict[str, Any]]:
    """Gaps for the declared claim by the first classifier, the declared one first."""
    claim = str((view.run.get("primary") or {}).get("claim") or "list")
    table = view.gaps[(view.gaps["claim"] == claim) & (view.gaps["classifier"] == main_classifier(view))]
    rows = [row for row in records(table) if not math.isnan(float(row["gap"]))]
    return sorted(rows, key=lambda row: row.get("status") != "declared")


def _best(row: Mapping[str, Any]) -> tuple[float, float, float, bool]:
    """Gap and interval, corrected for label error where people have labelled images."""
    corrected = float(row.get("gap_corrected", math.nan) if row.get("gap_corrected") is not None else math.nan)
    names = ("gap", "gap_low", "gap_high") if math.isnan(corrected) else (
        "gap_corrected", "gap_corrected_low", "gap_corrected_high",
    )  # fmt: skip
    gap, low, high = (round(float(row[name]), 4) for name in names)
    return gap, low, high, not math.isnan(corrected)


def _missing(view: View) -> dict[str, tuple[int, int]]:
    """Attribute → images without a class, and images asked for, of probes that ask for one person."""
    table = view.missing[view.missing["classifier"] == main_classifier(view)]
    if "people" in table:
        table = table[table["people"] == "one"]
    sums = table.groupby("attribute", sort=False)[["asked", "labelled"]].sum()
    return {str(name): (int(row["asked"] - row["labelled"]), int(row["asked"])) for name, row in sums.iterrows()}


def markdown(view: View) -> str:
    """A section for the card: what was asked, the gaps with intervals, what is missing, and the limits."""
    run, lost = view.run, _missing(view)
    lines = [
        "## How this model portrays people",
        "",
        f"Audited with [Rolecall]({SITE}) {run.get('rolecall', '')} on {str(run.get('finished') or '')[:10]}: "
        f"{run['suite']['probes']} prompts of the suite `{run['suite']['name']}` (version {run['suite']['version']}), "
        f"{run['plan']['images']} images each, labelled by `{main_classifier(view)}`.",
        "",
        f"| perceived | reference | gap | {1 - view.alpha:.0%} interval | leans to | images without a class |",
        "|---|---|--:|---|---|--:|",
    ]
    for row in _rows(view):
        gap, low, high, corrected = _best(row)
        none, asked = lost.get(str(row["attribute"]), (0, 0))
        share = f"{none / asked:.0%} of {asked:,}" if asked else "–"
        mark = " †" if corrected else ""
        first = " (declared beforehand)" if row.get("status") == "declared" else ""
        name, leans = f"{_cell(row['attribute'])}{first}", _cell(row["direction"] or "–")
        cells = (name, _cell(row["reference"]), f"{gap:.3f}{mark}", f"{low:.3f}–{high:.3f}", leans, share)
        lines.append(f"| {' | '.join(cells)} |")
    if any(_best(row)[3] for row in _rows(view)):
        lines += ["", "† corrected for the classifier's errors with labels of people."]
    lines += ["", *(f"* {sentence}" for sentence in LIMITS)]
    return "\n".join(lines) + "\n"


def model_index(view: View, model: str | None = None) -> str:
    """The block `model-index` for the head of a card, as YAML."""
    name = model or str(view.run["model"]["name"])
    results = [
        {
            "task": {"type": TASK, "name": "Text to image"},
            "dataset": {"type": f"rolecall/{view.run['suite']['name']}", "name": _suite(view)},
            "metrics": [
                {
                    "type": "gap",
                    "name": f"gap of perceived {row['attribute']} from {row['reference']} (0 to 1)",
                    "value": _best(row)[0],
                    "args": _facts(view, row),
                }
            ],
            "source": {"name": "Rolecall", "url": SITE},
        }
        for row in _rows(view)
    ]
    return yaml.safe_dump({"model-index": [{"name": name, "results": results}]}, sort_keys=False, allow_unicode=True)


def eval_results(view: View, dataset: str) -> str:
    """A file for `.eval_results/` of a model repository, as YAML: one result a gap.

    Args:
        view: the run.
        dataset: id of the benchmark's dataset on the hub, `owner/name`; its eval.yaml names a task for each attribute
            and reference, such as `gender.uniform`.
    """
    results = []
    for row in _rows(view):
        gap, low, high, _ = _best(row)
        results.append(
            {
                "dataset": {"id": dataset, "task_id": _task(row)},
                "value": gap,
                "date": str(view.run.get("finished") or view.run.get("created")),
                "source": {"url": SITE, "name": f"Rolecall {view.run.get('rolecall', '')}".strip()},
                "notes": f"gap of perceived {row['attribute']} from {row['reference']}, {1 - view.alpha:.0%} interval "
                f"{low:.3f} to {high:.3f}; 0 is no gap",
            }
        )
    return yaml.safe_dump(results, sort_keys=False, allow_unicode=True)


def every_eval_ever(view: View, *, organization: str, model: str | None = None, relationship: str = "other") -> str:
    """The run as JSON in the form of Every Eval Ever (schema 0.3.0): a result a gap, lower is better.

    Args:
        view: the run.
        organization: who made the audit.
        model: id of the model, `owner/name`; by default its name in the run.
        relationship: of the auditor to the model: `first_party`, `third_party`, `collaborative` or `other`.
    """
    run = view.run
    name = str(run["model"]["name"])
    made = datetime.fromisoformat(str(run.get("finished") or run["created"]))
    lost = _missing(view)
    results = []
    for row in _rows(view):
        gap, low, high, corrected = _best(row)
        none, asked = lost.get(str(row["attribute"]), (0, 0))
        results.append(
            {
                "evaluation_name": f"gap of perceived {row['attribute']} from {row['reference']}",
                "source_data": {
                    "dataset_name": _suite(view),
                    "source_type": "other",
                    "additional_details": {"suite_digest": str(run["suite"]["digest"])},
                },
                "evaluation_timestamp": made.isoformat(),
                "metric_config": {
                    "evaluation_description": "Distance of the shares of perceived classes from the reference.",
                    "metric_id": f"rolecall.gap.{_task(row)}",
                    "metric_name": "gap",
                    "metric_kind": "distance",
                    "metric_unit": "proportion",
                    "lower_is_better": True,
                    "score_type": "continuous",
                    "min_score": 0.0,
                    "max_score": 1.0,
                    "additional_details": {key: str(value) for key, value in _facts(view, row).items()},
                },
                "score_details": {
                    "score": gap,
                    "details": {
                        "images_without_a_class": str(none),
                        "images_asked": str(asked),
                        "corrected_for_label_error": str(corrected).lower(),
                    },
                    "uncertainty": {
                        "confidence_interval": {
                            "lower": low,
                            "upper": high,
                            "confidence_level": round(1 - view.alpha, 6),
                            "method": "analytic",
                        },
                        "num_samples": int(row["images"]),
                    },
                },
            }
        )
    content = {
        "schema_version": "0.3.0",
        "evaluation_id": f"rolecall-{run['suite']['name']}/{model or name}/{made.timestamp():.0f}",
        "evaluation_timestamp": made.isoformat(),
        "retrieved_timestamp": f"{made.timestamp():.0f}",
        "source_metadata": {
            "source_name": "Rolecall",
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": relationship,
            "additional_details": {"limits": " ".join(LIMITS)},
        },
        "eval_library": {"name": "rolecall", "version": str(run.get("rolecall") or "unknown")},
        "model_info": {"name": name, "id": model or name, "additional_details": _model_details(view)},
        "evaluation_results": results,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _model_details(view: View) -> dict[str, str]:
    """Who ran the model, as far as the run knows it; whether its weights are open is not known."""
    known = (view.run["model"] or {}).get("fingerprint") or {}
    kind = str(known.get("kind", ""))
    where = {"": "unknown", "images-api": "externally_managed"}.get(kind, "self_deployed")
    details = {"deployment_type": where, "model_availability": "unknown"}
    return details | {key: str(known[key]) for key in ("revision", "dtype", "steps", "guidance") if known.get(key)}


def _task(row: Mapping[str, Any]) -> str:
    """What is asked of a model: `gender.uniform`."""
    return f"{row['attribute']}.{row['reference']}"


def _facts(view: View, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a figure needs beside it."""
    _, low, high, corrected = _best(row)
    return {
        "interval_low": low,
        "interval_high": high,
        "level": round(1 - view.alpha, 6),
        "claim": str(row["claim"]),
        "classifier": str(row["classifier"]),
        "reference": str(row["reference"]),
        "probes": int(row["probes"]),
        "images": int(row["images"]),
        "corrected_for_label_error": corrected,
        "status": str(row.get("status", "")),
    }


def _suite(view: View) -> str:
    return f"Rolecall suite {view.run['suite']['name']}, version {view.run['suite']['version']}"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
