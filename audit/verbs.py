"""The verbs of Rolecall in Python; the command line is a thin layer above them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.config import Config, read_config, resolve, slug
from audit.errors import UsageError
from audit.progress import Progress
from audit.provenance import packages
from audit.record import (
    check_complete,
    check_evidence,
    check_references,
    check_world,
    classifier_entry,
    declared,
    new_record,
    settle_threads,
    suite_entry,
)
from audit.store import Store, now

if TYPE_CHECKING:
    from audit.classifiers.base import Classifier
    from audit.results import Run
    from audit.sequential import Rule
    from audit.sources import RoundSource, Source


def run(
    config: str | Path | Config | None = None,
    *,
    shard: tuple[int, int] = (1, 1),
    order: Iterable[int] | None = None,
    progress: Progress | None = None,
    report: bool = True,
    **options: Any,
) -> Run:
    """Ask a model for images, label them, make the tables and the report.

    With no argument the embedded phantom is audited. A run that was interrupted continues.

    Args:
        config: a YAML file or a `Config`.
        shard: (i, n) makes the i-th of n parts; the last part to finish makes the tables.
        order: the numbers of the batches in another order; the images are the same.
        progress: told how far it is.
        report: write report.html.
        **options: keys of the configuration (`rolecall run --help`); they win over `config`.

    Returns:
        The run.

    Raises:
        UsageError: for anything that the caller can mend, in one line.
    """
    from audit.classifiers.registry import load_classifier
    from audit.sequential import declare
    from audit.sources import GeneratedSource, RoundSource
    from audit.spending import watched
    from probes.generators.intervention import intervened
    from probes.generators.registry import load_generator
    from probes.plan import Plan
    from probes.suite import load_suite

    progress = progress or Progress()
    given = config if isinstance(config, Config) else read_config(Path(config) if config else None, options)
    if isinstance(config, Config) and options:
        given = Config(**{**config.model_dump(), **options})
    settings = resolve(given)
    if settings.stop_when_decided and (shard != (1, 1) or order is not None):
        raise UsageError(
            "a run that stops when decided cannot be shared out or turned around, since the answers of each round say "
            "what is asked next. Leave --shard out, or --stop-when-decided."
        )
    suite = load_suite(str(settings.suite)).select(
        languages=settings.languages, templates=settings.templates, subjects=settings.subjects
    )
    out = Path(str(settings.out))
    threads = settle_threads(settings, out)
    progress.say(f"Loading {settings.model} and {', '.join(settings.classifier or ())}.")
    generator = load_generator(settings.model, **{**settings.generator_options(), "threads": threads})
    generator = intervened(generator, settings.intervention)
    classifiers = [load_classifier(name, **settings.classifier_options()) for name in settings.classifier or ()]
    check_references(settings, suite.probes, classifiers)
    check_evidence(settings, classifiers)
    plan = Plan(suite.probes, settings.images, settings.seed, generator.batch_size, generator.fingerprint())
    progress = watched(progress, settings, plan.samples)
    primary = declared(settings, classifiers)
    settings = settings.model_copy(update={"primary": primary, "threads": threads})
    record = {
        **new_record(given, settings, suite_entry(suite), classifiers),
        "model": {"name": generator.name, "fingerprint": generator.fingerprint()},
        "plan": {
            "images": plan.images,
            "seed": plan.seed,
            "batch_size": plan.batch_size,
            "batches": len(plan),
            "samples": plan.samples,
        },
    }
    record["identity"]["model"] = generator.fingerprint()
    record["identity"]["plan"] = record["plan"]
    planned = {probe.probe_id: plan.images for probe in suite.probes}
    if settings.stop_when_decided:
        source = RoundSource(plan, generator, settings.round_images)
        rule = declare(settings, suite.probes, classifiers)
        record["sequential"] = {**rule.entry(), "round_images": source.step}
        record["identity"]["sequential"] = record["sequential"]
        store = Store.create(out, record, suite.probes, planned)
        return _stop_early(store, source, classifiers, rule, settings, progress, report)
    store = Store.create(out, record, suite.probes, planned)
    return carry_out(store, GeneratedSource(plan, generator), classifiers, settings, shard, order, progress, report)


def open(path: str | Path) -> Run:
    """Open a run directory, made by this version or an older one.

    Args:
        path: the run directory.

    Returns:
        The run; nothing is changed.

    Raises:
        UsageError: if there is no run at `path`, or a newer Rolecall wrote it.
    """
    from audit.results import Run

    return Run(Store.open(Path(path)))


def label(
    path: str | Path,
    *,
    classifier: str | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    report: bool = True,
    **options: Any,
) -> Run:
    """Label a run again: with another classifier, other wordings, classes or margins.

    Other wordings, classes or margins work from the stored embeddings and load the text tower only; another classifier
    reads the stored images. The labels stand beside the earlier ones.

    Args:
        path: the run.
        classifier: another instrument; by default the run's own, with what is changed by `options`.
        name: what the new labels are called; by default it follows from the classifier and what was changed.
        progress: told how far it is.
        report: write report.html again.
        **options: keys of the configuration that concern labels: wordings, attributes, margin, device …

    Returns:
        The run, its tables made again.

    Raises:
        UsageError: for anything that the caller can mend, in one line.
    """
    from audit.classifiers.registry import load_classifier

    progress = progress or Progress()
    store = Store.open(Path(path))
    record = store.record()
    settings = Config(**record["config"]["resolved"])
    chosen = classifier or (settings.classifier or ("",))[0]
    changed = read_config(None, {key: value for key, value in options.items() if value is not None})
    keys = {key: getattr(changed, key) for key in changed.model_fields_set}
    base = {**settings.classifier_options(), "wordings": None} if classifier else settings.classifier_options()
    given = {"label_dtype": "dtype", "label_batch_size": "batch_size"}
    base.update({given.get(key, key): value for key, value in keys.items()})
    instrument = load_classifier(chosen, **base)
    fingerprint = instrument.fingerprint()
    same = [known for known, entry in record["classifiers"].items() if entry["fingerprint"] == fingerprint]
    title = name or (same[0] if same else _free_name(instrument.name, keys, record["classifiers"]))
    if title in record["classifiers"] and record["classifiers"][title]["fingerprint"] != fingerprint:
        raise UsageError(
            f"{store.root} already has labels named {title!r} from another instrument. Give another --name."
        )
    instrument.name = title
    entry = {title: classifier_entry(instrument)}
    store.update(classifiers={**record["classifiers"], **entry})
    from audit.runner import label as label_run

    label_run(store, instrument, progress=progress)
    return analyze(path, progress=progress, report=report)


def analyze(
    path: str | Path,
    *,
    reference: Sequence[str] | str | None = None,
    claim: str | None = None,
    calibration: Sequence[str] | str | None = None,
    error_rates: str | Path | None = None,
    progress: Progress | None = None,
    report: bool = True,
) -> Run:
    """Make the tables again, by default against the same references, or against others.

    What was declared before the first image stays the primary statement; a reference named now is exploratory. Labels
    that people gave to images of this run come before `calibration` and `error_rates`; both are copied into the run.

    Args:
        path: the run.
        reference: names or paths of references; by default those it was compared with before.
        claim: `list` (about these probes) or `population` (about such probes); by default the declared one.
        calibration: CSVs or labelled runs from which the classifier's errors are known.
        error_rates: a YAML file with declared error rates.
        progress: told how far it is.
        report: write report.html again.

    Returns:
        The run, its tables made again.

    Raises:
        UsageError: if samples of the run are still missing, or a reference, calibration or file cannot be used.
    """
    from audit.analysis import analyze as make_tables
    from audit.results import Run

    progress = progress or Progress()
    store = Store.open(Path(path))
    record = store.record()
    check_complete(store, record)
    settings = Config(**record["config"]["resolved"])
    names = [reference] if isinstance(reference, str) else reference
    chosen = tuple(names or record.get("references") or settings.reference or ())
    check_world(settings, [name for name in chosen if name not in record.get("references", ())])
    others = [calibration] if isinstance(calibration, str) else calibration
    settings = settings.model_copy(
        update={
            "calibration": tuple(others or record.get("calibration") or settings.calibration or ()),
            "error_rates": str(error_rates) if error_rates else settings.error_rates,
        }
    )
    with store.lock("analysis"):
        store.merge()
        progress.say("Making the tables.")
        make_tables(store, chosen, claim or settings.primary.claim, settings)
        store.update(finished=record.get("finished") or now())
        result = Run(store)
        if report:
            progress.say("Writing the report.")
            result.report()
    return result


def carry_out(
    store: Store,
    source: Source,
    classifiers: Sequence[Classifier],
    settings: Config,
    shard: tuple[int, int],
    order: Iterable[int] | None,
    progress: Progress,
    report: bool,
) -> Run:
    """Make the batches of a shard, and the tables and the report once all are made."""
    from audit.results import Run
    from audit.runner import make

    part, parts = shard
    if not 1 <= part <= parts:
        raise UsageError(f"shard must be I/N with 1 ≤ I ≤ N (got {part}/{parts}).")
    store.log(event="start", shard=f"{part}/{parts}", threads=settings.threads, packages=packages())
    complete = make(
        store,
        source,
        classifiers,
        image_store=settings.image_store,
        shard=shard,
        order=order,
        progress=progress,
    )
    store.log(event="stop", shard=f"{part}/{parts}", complete=complete)
    if not complete:
        progress.say(f"Shard {part}/{parts} is done; the tables come with the last shard.")
        return Run(store)
    return analyze(store.root, progress=progress, report=report)


def _stop_early(
    store: Store,
    source: RoundSource,
    classifiers: Sequence[Classifier],
    rule: Rule,
    settings: Config,
    progress: Progress,
    report: bool,
) -> Run:
    from audit.runner import make_in_rounds
    from audit.sequential import summary

    store.log(event="start", shard="1/1", threads=settings.threads, packages=packages())
    make_in_rounds(store, source, classifiers, rule, image_store=settings.image_store, progress=progress)
    store.log(event="stop", shard="1/1", complete=True)
    progress.say(summary(store.record()["sequential"]))
    return analyze(store.root, progress=progress, report=report)


def _free_name(name: str, options: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    marks = [slug(Path(str(options["wordings"])).stem)] if "wordings" in options else []
    if "margin" in options:
        marks.append(f"margin-{options['margin']:g}")
    title = "-".join([name, *marks])
    number = 2
    while title in known:
        title = "-".join([name, *marks, str(number)])
        number += 1
    return title
