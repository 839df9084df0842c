"""What run.json says of a run, and what is settled before the first image."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.config import Config, Primary
from audit.errors import UsageError, nearest
from audit.provenance import environment, version
from audit.store import SCHEMA, Store, now

if TYPE_CHECKING:
    from audit.classifiers.base import Classifier
    from probes.probe import Probe
    from probes.suite import Suite


def new_record(
    given: Config, settings: Config, suite: Mapping[str, Any], classifiers: Sequence[Classifier]
) -> dict[str, Any]:
    """The content of run.json before the first image, without `model` and `plan`."""
    entries = {each.name: classifier_entry(each) for each in classifiers}
    return {
        "rolecall": version(),
        "name": Path(str(settings.out)).name,
        "created": now(),
        "finished": None,
        "config": {
            "given": given.model_dump(mode="json", exclude_unset=True),
            "resolved": settings.model_dump(mode="json"),
        },
        "suite": suite,
        "classifiers": entries,
        "primary": settings.primary.model_dump(),
        "references": [],
        "reference_cards": {},
        "device": settings.device,
        "dtype": settings.dtype,
        "threads": settings.threads,
        **environment(),
        "files": {},
        "identity": {
            "schema": SCHEMA,
            "suite": {"name": suite["name"], "digest": suite["digest"]},
            "image_store": settings.image_store,
            "threads": settings.threads,
            "classifiers": {name: entry["fingerprint"] for name, entry in entries.items()},
        },
    }


def suite_entry(suite: Suite) -> dict[str, Any]:
    """What run.json says of the suite."""
    return {
        "name": suite.name,
        "version": suite.version,
        "digest": suite.digest(),
        "card": dataclasses.asdict(suite.card),
        "probes": len(suite.probes),
        "languages": sorted({probe.language for probe in suite.probes}),
    }


def classifier_entry(classifier: Classifier) -> dict[str, Any]:
    """What run.json says of one classifier."""
    return {
        "fingerprint": classifier.fingerprint(),
        "questions": [dataclasses.asdict(question) for question in classifier.questions],
        "card": classifier.card(),
    }


def declared(settings: Config, classifiers: Sequence[Classifier]) -> Primary:
    """What is declared beforehand, with its defaults.

    Raises:
        UsageError: if the attribute is not labelled or the reference not compared with.
        ReferenceDataError: if a reference cannot be read.
    """
    from audit.reference import expand, load_reference

    asked = [question.attribute for classifier in classifiers for question in classifier.questions]
    attribute = settings.primary.attribute or asked[0]
    if attribute not in asked:
        raise UsageError(f"the primary attribute {attribute!r} is not labelled. {nearest(attribute, asked)}")
    names = [load_reference(name).name for name in expand(settings.reference or ())]
    reference = settings.primary.reference or names[0]
    if reference in (settings.reference or ()):  # an own one may be named by its path
        reference = load_reference(reference).name
    if reference not in names:
        raise UsageError(f"the primary reference {reference!r} is not compared with. {nearest(reference, names)}")
    return Primary(attribute=attribute, reference=reference, claim=settings.primary.claim)


def check_references(settings: Config, probes: Sequence[Probe], classifiers: Sequence[Classifier]) -> None:
    """Refuse, before the first image, references that do not exist or do not fit probes and classes.

    The phantom is compared with its own world only.

    Raises:
        UsageError: if the phantom is to be compared with anything else, or two references have the same name.
        ReferenceDataError: if a reference cannot be read, or a row or class named is not in it.
    """
    from audit.reference import expand, load_reference

    names = expand(settings.reference or ())
    check_world(settings, names)
    questions = {question for classifier in classifiers for question in classifier.questions}
    loaded = [load_reference(name) for name in names]
    check_names([reference.name for reference in loaded])
    for reference, question, probe in product(loaded, questions, probes):
        if probe.people == "one":
            reference.shares(
                question.attribute,
                question.classes,
                subject=probe.subject,
                keys=probe.keys,
                probe_id=probe.probe_id,
            )


def check_evidence(settings: Config, classifiers: Sequence[Classifier]) -> None:
    """Refuse, before the first image, error rates and calibrations that cannot be read or do not fit the questions.

    Raises:
        UsageError: if a file or run is not there, or a rate or class in it does not fit.
    """
    from audit.rates import read_rates

    for name in settings.calibration or ():
        if not Path(name).is_file() and not (Path(name) / "run.json").is_file():
            raise UsageError(f"calibration {name} is neither a CSV nor a run directory. Check the path.")
    if settings.error_rates is not None:
        questions = {each.attribute: each.classes for classifier in classifiers for each in classifier.questions}
        read_rates(Path(settings.error_rates), questions)


def check_complete(store: Store, record: Mapping[str, Any]) -> None:
    """Refuse to analyze a run whose images are not all made.

    Raises:
        UsageError: if batches are missing.
    """
    made, batches = len(store.samples.batches()), record["plan"]["batches"]
    if made < batches:
        again = "the command that began it" if not record.get("extended") else "rolecall gate with --make-more"
        raise UsageError(
            f"{store.root} is not complete: {made} of {batches} batches are made. Run {again} again to continue."
        )


def check_world(settings: Config, names: Sequence[str]) -> None:
    """Refuse to compare the phantom with anything but its own world, or counts of other drawings.

    Raises:
        UsageError: if the names say so.
    """
    known = ("phantom-world", "run:", "training:", "run-", "training-")
    if settings.phantom and not all(name.startswith(known) for name in names):
        raise UsageError(
            "the phantom is compared with its own world only, or with another run or training set of drawings, since "
            f"its figures say nothing about people (got {', '.join(names)}). Leave --reference out."
        )


def check_names(names: Sequence[str]) -> None:
    """Refuse references of the same name: tables could not tell them apart.

    Raises:
        UsageError: if two are equal.
    """
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"two references are called {name!r} (got {', '.join(names)}). Rename one, or name it once."
            )


def settle_threads(settings: Config, out: Path) -> int:
    """Threads per worker: as asked, or as the run in `out` was begun with, or one per core at hand.

    Images depend on them in the last bit, so a run keeps the number it was begun with.
    """
    import torch

    threads = settings.threads
    if threads is None and (out / "run.json").is_file():
        threads = Store.open(out).record().get("threads")
    threads = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    return threads
