"""The baseline file: all that a comparison needs of a run, without images, in a JSON that can live in git.

It holds the answers by probe and index, what is known of the errors of the classifiers, and where all of it comes from;
no image, no sample id, no path.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.calibration import Calibration
from audit.classifiers.base import NOT_MEASURED
from audit.corrections import Evidence
from audit.counting import counts_of
from audit.errors import UsageError
from audit.pairs import Answers
from audit.parts import write_bytes
from probes.probe import Probe

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
KIND = "rolecall-baseline"
NO_ANSWER = "."
"""Stands for an image that has no answer: refused, failed or forgotten."""
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_RECORD = ("rolecall", "created", "finished", "primary", "plan", "threads", "dtype", "device", "sequential")
_SETTINGS = ("alpha", "delta", "draws", "seed")
"""Keys of the configuration that a comparison needs."""
_OUTCOMES = ("ok", "refused", "failed")


def write_baseline(path: Path, answers: Answers, references: Mapping[str, str]) -> Path:
    """Write the baseline file of a run.

    Args:
        path: the file; replaced in one step if it exists.
        answers: of the run.
        references: name → digest of the references that the run was compared with.

    Returns:
        `path`.
    """
    content = _content(answers, references)
    content["digest"] = _digest(content)
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items()]
    write_bytes(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
    return path


def read_baseline(path: Path) -> Answers:
    """The answers in a baseline file.

    Raises:
        UsageError: if it is none, was changed by hand, or a newer Rolecall wrote it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}."
        ) from None
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{path} is no JSON (line {error.lineno}). Write it again: rolecall export RUN --baseline FILE"
        ) from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise UsageError(f"{path} is no baseline file. Write one: rolecall export RUN --baseline {path.name}")
    if not isinstance(content.get("schema"), int) or content["schema"] > SCHEMA:
        raise UsageError(
            f"{path} was written by a newer Rolecall (schema {content.get('schema')}). Install a newer rolecall."
        )
    if content.pop("digest", None) != _digest(content):
        raise UsageError(
            f"{path} was changed after it was written: its digest does not match. Write it again from its run."
        )
    return _answers(content)


def _content(answers: Answers, references: Mapping[str, str]) -> dict[str, Any]:
    record = answers.record
    return {
        "kind": KIND,
        "schema": SCHEMA,
        "name": answers.name,
        **{key: record[key] for key in _RECORD if key in record},
        "config": {"resolved": _settings(record)},
        "model": record["model"],
        "suite": {key: record["suite"][key] for key in ("name", "version", "digest")},
        "classifiers": {
            name: {
                "fingerprint": record["classifiers"][name]["fingerprint"],
                "questions": record["classifiers"][name]["questions"],
                "people": bool(record["classifiers"][name]["card"].get("people")),
            }
            for name in answers.labels
        },
        "references": dict(references),
        "probes": [_probe(probe) for probe in answers.probes],
        "images": _images(answers),
        "answers": {
            name: {
                question["attribute"]: _coded(answers, labels, question)
                for question in record["classifiers"][name]["questions"]
            }
            for name, labels in answers.labels.items()
        },
        "calibrations": [
            _calibration(each.calibration) for each in answers.evidence.values() if each.calibration is not None
        ],
    }


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    resolved = (record.get("config") or {}).get("resolved") or {}
    return {key: resolved[key] for key in _SETTINGS if key in resolved}


def _probe(probe: Probe) -> dict[str, Any]:
    own = {field.name: getattr(probe, field.name) for field in dataclasses.fields(probe)}
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in own.items()}


def _images(answers: Answers) -> list[list[int]]:
    """Images asked for, made, refused and failed, by probe."""
    table = next(iter(answers.counts.values())).table
    rows: list[list[int]] = table[["asked", "made", "refused", "failed"]].to_numpy(dtype=np.int64).tolist()
    return rows


def _coded(answers: Answers, labels: pd.DataFrame, question: Mapping[str, Any]) -> list[str]:
    """One text a probe, one letter an image: the place of the answer among the classes, then what is no class."""
    own = labels[labels["attribute"] == question["attribute"]]
    letters = {name: _LETTERS[place] for place, name in enumerate((*question["classes"], *NOT_MEASURED))}
    texts = []
    rows = {str(probe): part for probe, part in own.groupby("probe_id")}
    for probe, images in zip(answers.probes, _images(answers), strict=True):
        text = [NO_ANSWER] * images[0]
        part = rows.get(probe.probe_id)
        if part is not None:
            for index, answer in zip(part["index"].tolist(), part["class"].tolist(), strict=True):
                text[index] = letters[answer]
        texts.append("".join(text))
    return texts


def _calibration(found: Calibration) -> dict[str, Any]:
    own = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return {key: _plain(value) for key, value in own.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape), "values": value.ravel().tolist()}
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _answers(content: Mapping[str, Any]) -> Answers:
    probes = tuple(Probe(**probe) for probe in content["probes"])
    names = [probe.probe_id for probe in probes]
    images = content["images"]
    planned = {name: row[0] for name, row in zip(names, images, strict=True)}
    outcomes = {
        (name, outcome): row[place]
        for name, row in zip(names, images, strict=True)
        for place, outcome in enumerate(_OUTCOMES, 1)
    }
    labels, counts = {}, {}
    for classifier, entry in content["classifiers"].items():
        frame = _frame(content["answers"][classifier], entry["questions"], names)
        labels[classifier] = frame
        tally = Counter(zip(frame["probe_id"], frame["attribute"], frame["class"], strict=True))
        for question in entry["questions"]:
            made = counts_of(classifier, question, probes, planned, outcomes, tally)
            counts[classifier, question["attribute"]] = made
    known = {(each["classifier"], each["attribute"]): _read(each) for each in content["calibrations"]}
    record = {
        **{key: value for key, value in content.items() if key not in ("probes", "images", "answers", "calibrations")},
        "classifiers": {
            name: {**entry, "card": {"people": entry["people"]}} for name, entry in content["classifiers"].items()
        },
    }
    evidence = {key: Evidence(known.get(key), people=bool(content["classifiers"][key[0]]["people"])) for key in counts}
    return Answers(str(content["name"]), record, probes, counts, labels, evidence)


def _frame(
    coded: Mapping[str, Sequence[str]], questions: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> pd.DataFrame:
    """Labels as they are read of a run: probe_id, index, attribute, class."""
    import pandas as pd

    parts = []
    for question in questions:
        answers = np.array([*question["classes"], *NOT_MEASURED], dtype=object)
        texts = coded[question["attribute"]]
        letters = np.frombuffer("".join(texts).encode("ascii"), dtype=np.uint8)
        places = np.full(256, -1)
        places[np.frombuffer(_LETTERS.encode("ascii"), dtype=np.uint8)[: len(answers)]] = np.arange(len(answers))
        found = places[letters]
        lengths = [len(text) for text in texts]
        index = np.concatenate([np.arange(length) for length in lengths]) if lengths else np.empty(0, dtype=np.int64)
        probe = np.repeat(np.array(names, dtype=object), lengths)
        kept = found >= 0
        columns = {"probe_id": probe[kept], "index": index[kept], "attribute": question["attribute"]}
        parts.append(pd.DataFrame({**columns, "class": answers[found[kept]]}))
    return pd.concat(parts, ignore_index=True)


def _read(entry: Mapping[str, Any]) -> Calibration:
    own = {key: _array(value) for key, value in entry.items()}
    for key in ("classes", "answers", "predicted", "raters"):
        own[key] = tuple(own[key])
    return Calibration(**own)


def _array(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"shape", "values"}:
            return np.array(value["values"], dtype=np.float64).reshape(value["shape"])
        return {key: _array(inner) for key, inner in value.items()}
    return value
