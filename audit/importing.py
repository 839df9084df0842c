"""Images that others made: `rolecall import` in Python."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from audit.config import read_config, resolve, slug
from audit.errors import UsageError
from audit.parts import write_bytes
from audit.progress import Progress
from audit.record import check_evidence, check_references, declared, new_record, settle_threads
from audit.store import Store
from audit.verbs import carry_out

if TYPE_CHECKING:
    from audit.results import Run
    from probes.importers.folder import Grids, Import, LeftOut
    from probes.suite import Suite

FEW = 10
"""So many files left out are named in run.json only; more have a CSV in the run, and a line in the report."""
LEFT_OUT = "left_out.csv"
"""Table in the run directory: file, reason."""
_KINDS = 4


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
    grids: Grids | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    report: bool = True,
    **options: Any,
) -> Run:
    """Audit images that others made: the same tables and report as for a run.

    The originals are read, never changed; their bytes are copied into the run directory. The prompt of an image comes
    from a column of a table, from the image itself, from the names of the folders it lies in, or from its own name;
    `docs/importing.md` says how these are weighed.

    Args:
        folder: the folder of the images; archives in it are read too.
        suite: its subjects are looked for in prompts and names, and take over their rows of references.
        table: a CSV or JSONL that says which image has which prompt.
        file_column: the column of `table` with the names of the files.
        prompt_column: the column of `table` with the prompt or subject.
        folders: what the names of the folders say, such as "subject/condition".
        human_labels: a CSV of labels that people gave to the images: one more classifier, `human`, and by default the
            only one. Grids are then left whole, as they were labelled.
        codes: the YAML that says what the cells of `human_labels` mean.
        grids: whose pictures are split if they are grids of four: `midjourney` (the default), `always` or `never`.
        name: what the model is called in tables and report; by default the name of the folder.
        progress: told how far it is, and what was left out.
        report: write report.html.
        **options: keys of the configuration that concern labels, references and the run directory.

    Returns:
        The run.

    Raises:
        UsageError: for anything that the caller can mend, in one line.
    """
    from audit.classifiers.codes import codes_for
    from audit.classifiers.human import NAME, read_imported
    from audit.classifiers.registry import load_classifier
    from audit.sources import ImportedSource
    from probes.importers.filenames import shown
    from probes.importers.folder import read_folder
    from probes.plan import digest_of
    from probes.suite import load_suite

    progress = progress or Progress()
    if human_labels and grids not in (None, "never"):
        raise UsageError("--human-labels are given to whole files, so grids cannot be split. Leave --grids out.")
    source = Path(folder)
    label = name or shown(source.resolve().name)
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
        grids=grids or ("never" if human_labels else "midjourney"),
    )
    if known is not None and given.reference is None and any(probe.keys for probe in imported.probes):
        names = sorted({key for probe in imported.probes for key in probe.keys})
        settings = settings.model_copy(update={"reference": (*names, "uniform")})
    for line in _said(imported, known, Path(str(settings.out))):
        progress.say(line)
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
    many = len(imported.left_out) > FEW
    card = {
        "title": f"Images imported from the folder {label}",
        "source": "Images made by others; prompts as the importer found them.",
        "construct": "What viewers would perceive in these images.",
        "caveats": [
            "Nothing is known here of how these images were chosen before they were imported.",
            *([f"{left_out_in_words(imported.left_out)}; all are in {LEFT_OUT}."] if many else []),
        ],
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
    files = [
        [image.probe_id, image.index, PurePosixPath(image.name).name, image.reason]
        + ([] if image.tile is None else [image.tile])
        for image in images.images
    ]
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
        "left_out": [*imported.unmatched, *strangers],
        "other_files": dict(imported.others),
    }
    record["identity"]["model"] = fingerprint
    store = Store.create(Path(str(settings.out)), record, probes, planned)
    if many:
        write_bytes(store.root / LEFT_OUT, _as_csv(imported.left_out))
    return carry_out(store, images, classifiers, settings, (1, 1), None, progress, report)


def left_out_in_words(left_out: Sequence[LeftOut]) -> str:
    """How many files were left out, by reason: the commonest reasons, numbers and names in them passed over."""
    kinds = Counter(re.sub(r"\d[\d,]*", "…", each.reason.partition(":")[0]) for each in left_out)
    told = [f"{count:,}: {kind}" for kind, count in kinds.most_common(_KINDS)]
    rest = len(left_out) - sum(count for _, count in kinds.most_common(_KINDS))
    told += [f"{rest:,} for other reasons"] if rest else []
    return f"{len(left_out):,} files were left out: {'; '.join(told)}"


def _said(imported: Import, suite: Suite | None, out: Path) -> list[str]:
    """What a person should know of the files before they are labelled: one line each."""
    lines = []
    if len(imported.left_out) > FEW:
        lines.append(f"{left_out_in_words(imported.left_out)}; all in {out / LEFT_OUT}")
    elif imported.left_out:
        lines.append(f"{len(imported.left_out)} files were left out, the first: {imported.left_out[0]}")
    if imported.others:
        lines.append(f"{sum(imported.others.values()):,} other files are no images: {_listed(imported.others)}")
    own = sorted({probe.subject for probe in imported.probes} - set(suite.subjects)) if suite else []
    if own and suite:
        names = ", ".join(own[:_KINDS]) + (" …" if len(own) > _KINDS else "")
        lines.append(f"{len(own):,} subjects are not in the suite {suite.name}, and have no row of references: {names}")
    return lines


def _listed(counts: Mapping[str, int]) -> str:
    most = Counter(counts).most_common(_KINDS)
    rest = sum(counts.values()) - sum(count for _, count in most)
    return ", ".join([f"{count:,} {kind}" for kind, count in most] + ([f"{rest:,} more"] if rest else []))


def _as_csv(left_out: Sequence[LeftOut]) -> bytes:
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("file", "reason"), *left_out])
    return table.getvalue().encode()
