"""Images that others made: `rolecall import` in Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.config import read_config, resolve, slug
from audit.progress import Progress
from audit.record import check_evidence, check_references, declared, new_record, settle_threads
from audit.store import Store
from audit.verbs import carry_out

if TYPE_CHECKING:
    from audit.results import Run


def import_folder(
    folder: str | Path,
    *,
    suite: str | None = None,
    table: str | Path | None = None,
    file_column: str | None = None,
    prompt_column: str | None = None,
    folders: str | None = None,
    human_labels: str | Path | None = None,
    codes: str | Path | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    report: bool = True,
    **options: Any,
) -> Run:
    """Audit images that others made: the same tables and report as for a run.

    The originals are read, never changed; their bytes are copied into the run directory. The prompt of an image comes
    from a column of a CSV (`table`, `file_column`, `prompt_column`) or from the names of the folders it lies in
    (`folders`, such as "subject/condition"). With `suite`, subjects that the suite knows take over its rows of
    references. Labels that people gave to the images are read from the CSV `human_labels`, whose cells the YAML
    `codes` explains; they are one more classifier, `human`, and by default the only one. `options` are keys of the
    configuration that concern labels, references and the run directory.

    Raises:
        UsageError: for anything that the caller can mend, in one line.
    """
    from audit.classifiers.codes import codes_for
    from audit.classifiers.human import NAME, read_imported
    from audit.classifiers.registry import load_classifier
    from audit.sources import ImportedSource
    from probes.importers.folder import read_folder
    from probes.plan import digest_of
    from probes.suite import load_suite

    progress = progress or Progress()
    source = Path(folder)
    label = name or source.resolve().name
    usual = NAME if human_labels else "faces"
    options = {"model": label, "suite": "imported", "classifier": (usual,), "threads": None, **options}
    options.setdefault("out", str(Path("runs") / f"{slug(label)}-imported"))
    given = read_config(None, options)
    settings = resolve(given)
    known = load_suite(suite) if suite else None
    meaning = codes_for(human_labels, codes)
    imported = read_folder(
        source,
        table=Path(table) if table else None,
        file_column=file_column,
        prompt_column=prompt_column,
        folders=folders,
        suite=known,
        subjects=meaning.subjects if meaning else None,
    )
    if known is not None and given.reference is None and any(probe.keys for probe in imported.probes):
        names = sorted({key for probe in imported.probes for key in probe.keys})
        settings = settings.model_copy(update={"reference": (*names, "uniform")})
    if imported.unmatched:
        progress.say(f"{len(imported.unmatched)} files were left out, the first: {imported.unmatched[0]}")
    threads = settle_threads(settings, Path(str(settings.out)))
    machines = [each for each in settings.classifier or () if meaning is None or each != NAME]
    classifiers = [load_classifier(each, **settings.classifier_options()) for each in machines]
    strangers: tuple[str, ...] = ()
    if meaning is not None:
        human = read_imported(Path(str(human_labels)), meaning, imported, source)
        classifiers.append(human)
        settings = settings.model_copy(update={"classifier": (*machines, NAME)})
        strangers = human.unmatched
    if strangers:
        progress.say(f"{len(strangers)} rows of human labels belong to no image, the first: {strangers[0]}")
    settings = settings.model_copy(update={"primary": declared(settings, classifiers), "threads": threads})
    probes = tuple(imported.probes)
    check_references(settings, probes, classifiers)
    check_evidence(settings, classifiers)
    card = {
        "title": f"Images imported from the folder {label}",
        "source": "Images made by others; prompts as the importer found them.",
        "construct": "What viewers would perceive in these images.",
        "caveats": ["Nothing is known here of how these images were chosen before they were imported."],
    }
    entry = {
        "name": "imported",
        "version": "1",
        "digest": digest_of(
            [{**vars(probe), "keys": dict(probe.keys), "asked": dict(probe.asked)} for probe in probes]
        ),
        "card": card,
        "probes": len(probes),
        "languages": sorted({probe.language for probe in probes}),
    }
    planned = {probe.probe_id: 0 for probe in probes}
    for image in imported.images:
        planned[image.probe_id] += 1
    images = ImportedSource(imported)
    files = [[image.probe_id, image.index, Path(image.path).name, image.reason] for image in images.images]
    plan = {
        "images": max(planned.values()),
        "seed": None,
        "batch_size": images.batch_size,
        "batches": len(images),
        "samples": len(files),
    }
    fingerprint = {"imported": label, "files": digest_of(files)}
    record = {
        **new_record(given, settings, entry, classifiers),
        "model": {"name": label, "fingerprint": fingerprint},
        "plan": plan,
        "left_out": [*map(str, imported.unmatched), *strangers],
    }
    record["identity"]["model"] = fingerprint
    store = Store.create(Path(str(settings.out)), record, probes, planned)
    return carry_out(store, images, classifiers, settings, (1, 1), None, progress, report)
