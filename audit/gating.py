"""`rolecall gate` in Python: a stored run and a baseline → a verdict.

Needs no generator, no classifier, no network, unless it is to make more images.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from audit.baseline import read_baseline, write_baseline
from audit.errors import UsageError
from audit.looks import further
from audit.pairs import Answers, read_answers
from audit.parts import sha256_of, write_bytes
from audit.policy import Policy, read_policy
from audit.record import check_complete
from audit.reference import Reference, load_reference, reference_names
from audit.statistics.noninferiority import INCONCLUSIVE
from audit.store import Store, now
from audit.verdict import Verdict, decide, default_policy

if TYPE_CHECKING:
    from audit.progress import Progress
    from audit.results import Run

FILE = "verdict.json"
"""Where a run keeps the last verdict on it."""


def gate(
    run: str | Path | Run,
    *,
    baseline: str | Path | Run | None = None,
    policy: str | Path | Policy | None = None,
    check: bool = True,
    make_more: int | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Whether a run keeps to a policy: pass, fail or inconclusive.

    With `make_more`, further images of an inconclusive run are made with its own model and labelled, and it is judged
    again: at the numbers of images that the policy declares, or at three up to `make_more`. All looks together keep to
    the error rates of the policy. A call that was interrupted continues when it is made again.

    Args:
        run: the run to be judged, complete.
        baseline: another run, or a baseline file of one, for the lines that compare.
        policy: a `Policy`, or the path of a gate.yaml or of a pyproject.toml with a table `tool.rolecall.gate`. Without
            one the gap of each attribute may worsen by .05 against the baseline.
        check: compare the files of the runs with the digests in run.json first.
        make_more: images a probe that the run may be extended to.
        progress: what is said while images are made; nothing by default.

    Returns:
        The verdict; it is also written to verdict.json in the run. An earlier one is removed first, so that none stays
        where this call is refused.

    Raises:
        UsageError: if a run, baseline or policy cannot be used, or they do not fit; in one line.
    """
    withdraw(run)
    store = _store(run)
    maker = None
    if make_more is not None:
        from audit.make_more import Maker

        maker = Maker(store, progress)
        maker.finish()
    new = answers_of(store, check=check)
    old = read_side(baseline, check=check) if baseline is not None else None
    if policy is None:
        references = references_of(store, store.record()["references"])
        chosen = default_policy(new.record, list(new.counts.values()), new.probes, references)
    else:
        chosen = policy if isinstance(policy, Policy) else read_policy(Path(policy))
        references = references_of(store, (line.reference for line in chosen.lines if line.reference))
    chosen = chosen.with_more(make_more)
    while True:
        verdict = decide(new, old, chosen, references)
        _remember(store, verdict)
        size = next_size(verdict, old, make_more)
        if maker is None or size is None:
            break
        maker.extend(size)
        new = answers_of(store, check=check)
    write_bytes(store.root / FILE, (json.dumps(verdict.to_dict(), indent=2, ensure_ascii=False) + "\n").encode())
    return verdict


def withdraw(run: str | Path | Run) -> None:
    """Remove the last verdict on a run, if `run` is one: no verdict may stay where a later call is refused."""
    root = Path(run) if isinstance(run, str | Path) else run.path
    if (root / "run.json").is_file():
        (root / FILE).unlink(missing_ok=True)


def next_size(verdict: Verdict, old: Answers | None, make_more: int | None) -> int | None:
    """Images a probe of the next look; None if there is none, or if no further image can decide a line."""
    looks = verdict.looks
    if verdict.found != INCONCLUSIVE or not any(further(line, looks, old) for line in verdict.lines):
        return None
    return next((size for size in looks.sizes if looks.images < size <= (make_more or 0)), None)


def _remember(store: Store, verdict: Verdict) -> None:
    """Keep in run.json at how many images and at which error rates the run was judged: later verdicts count that."""
    looks = store.record().get("looks") or []
    rates = {"images": verdict.looks.images, "alpha": verdict.looks.alpha, "wrong_pass": verdict.looks.wrong_pass}
    if not any(rates.items() <= look.items() for look in looks):
        store.update(looks=[*looks, {"time": now(), **rates, "found": verdict.found}])


def read_side(where: str | Path | Run, *, check: bool = True) -> Answers:
    """The answers of a run, or of a baseline file.

    Raises:
        UsageError: if it is neither, or cannot be used.
    """
    if isinstance(where, str | Path) and Path(where).is_file():
        return read_baseline(Path(where))
    return answers_of(_store(where), check=check)


def answers_of(store: Store, *, check: bool = True) -> Answers:
    """The answers of a stored run that is complete and as it was written.

    Raises:
        UsageError: if it is still being made, stopped its probes early, holds no label, or its files were changed.
    """
    record = store.record()
    check_complete(store, record)
    if record.get("sequential"):
        raise UsageError(
            f"{store.root} stopped its probes when they were decided: how many images each has depends on what "
            "they show, which a comparison does not allow for. Make a run with a fixed number of images."
        )
    if not record.get("finished"):
        raise UsageError(f"{store.root} has no tables yet. Make them: rolecall analyze {store.root}")
    if check:
        check_digests(store)
    answers = read_answers(store)
    if not any(counts.array().sum() for counts in answers.counts.values()):
        raise UsageError(f"{store.root} has no image with a class: there is nothing to judge. See its missing.csv.")
    return answers


def check_digests(store: Store) -> None:
    """Refuse a run whose samples, labels or probes are not those that run.json names.

    Raises:
        UsageError: naming the first file that differs.
    """
    named = store.record().get("files", {})
    for parts in (store.samples, *map(store.labels, store.classifiers())):
        for part in parts.present():
            if part.path.relative_to(store.root).as_posix() not in named:
                raise UsageError(
                    f"{part.path} was added after the run was analysed: run.json does not name it. Remove it, or make "
                    f"the tables again: rolecall analyze {store.root}"
                )
    for name, digest in named.items():
        if name.split("/")[0] not in ("samples", "labels", "human", "calibration", "references", "probes.parquet"):
            continue
        path = store.root / name
        if not path.is_file():
            raise UsageError(f"{path} is missing, but run.json names it. Restore the run, or analyze it again.")
        if sha256_of(path) != digest:
            raise UsageError(
                f"{path} was changed after the run was analysed: its SHA-256 is not the one in run.json. Restore it, "
                f"or make the tables again: rolecall analyze {store.root}"
            )


def references_of(store: Store, names: Iterable[str]) -> dict[str, Reference]:
    """References by name: own ones as the run keeps them, then built-in ones and paths.

    Raises:
        ReferenceDataError: if there is no such reference.
    """
    found = {}
    for name in dict.fromkeys(names):
        kept = None if name in reference_names() else store.reference(name)
        found[name] = load_reference(name if kept is None else str(kept))
    return found


def export_baseline(run: str | Path | Run, path: str | Path) -> Path:
    """Write the baseline file of a run: all that gate and comparison need of it, without images, for git.

    Args:
        run: a complete run.
        path: the file; replaced in one step if it exists.

    Returns:
        `path`.

    Raises:
        UsageError: if the run cannot be used.
    """
    store = _store(run)
    return write_baseline(Path(path), answers_of(store), store.record().get("reference_digests") or {})


def write_policy(run: str | Path | Run, path: Path) -> Path:
    """Write a commented policy that `run` itself keeps to.

    Raises:
        UsageError: if there is a file already, or the run cannot be used.
    """
    from audit.policy_draft import draft

    if path.exists():
        raise UsageError(f"{path} is there already. Remove it, or write elsewhere with --policy FILE.")
    store = _store(run)
    references = references_of(store, store.record()["references"])
    write_bytes(path, draft(answers_of(store), references).encode())
    return path


def _store(run: str | Path | Run) -> Store:
    return Store.open(Path(run) if isinstance(run, str | Path) else run.path)
