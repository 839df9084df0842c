"""Training data audited as a reference: `rolecall training` in Python (docs/training-data.md).

The images show real people. They are labelled one after the other and only counted: no image, embedding, score, file
name, address or caption goes into the run, but for the images that people are to label, if that was asked for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from audit.config import read_config, resolve, slug
from audit.errors import UsageError
from audit.pictures import decode_foreign, encode
from audit.progress import Progress
from audit.record import check_evidence, check_references, declared, new_record, settle_threads
from audit.sources import Made
from audit.store import Store
from audit.verbs import carry_out
from probes.importers.captions import GENDER, NO_GENDER, Captions
from probes.importers.collections import Collection, Entry, find_collection
from probes.plan import digest_of
from probes.probe import Probe

if TYPE_CHECKING:
    from audit.results import Run
    from probes.suite import Suite

BATCH = 16
"""Images labelled at once."""
KIND = "training"
"""`kind` of the probes."""


@dataclass(frozen=True)
class Planned:
    """What the first pass over the captions found. Nothing of a single image but the places of those to be kept."""

    counts: Counter[tuple[str, str]]
    """subject and template → images."""
    left_out: Counter[str]
    """Why captions have no subject, or parts cannot be read → images."""
    kept: frozenset[int]
    """Places in the collection of the images that are kept."""
    digest: str
    """SHA-256 over names and captions of the collection, in order."""
    entries: int
    """Images in the collection, with those left out."""


class _Place(NamedTuple):
    position: int
    probe_id: str
    number: int
    entry: Entry


class TrainingSource:
    """The images of a collection whose captions name a subject, in the order of the collection.

    Batches are read one after the other; to begin in the middle the captions before it are read again.
    """

    batch_size = BATCH
    counts_only = True
    title = "Reading and labelling"

    def __init__(self, collection: Collection, captions: Captions, planned: Planned) -> None:
        self._collection, self._captions, self._planned = collection, captions, planned
        self._samples = sum(planned.counts.values())
        self._stream: Iterator[_Place] = iter(())
        self._next = -1

    def __len__(self) -> int:
        return -(-self._samples // BATCH)

    def size(self, number: int) -> int:
        """Number of samples in batch `number`."""
        return min(BATCH, self._samples - number * BATCH)

    def make(self, number: int) -> list[Made]:
        """The samples of batch `number`; an image that cannot be read is `failed`, with the reason.

        Raises:
            UsageError: if the collection has changed since it was planned.
        """
        if self._next < 0 or number < self._next:
            self._stream, self._next = self._places(), 0
        skipped = sum(1 for _ in islice(self._stream, (number - self._next) * BATCH))
        made = [self._made(place) for place in islice(self._stream, self.size(number))]
        if skipped < (number - self._next) * BATCH or len(made) < self.size(number):
            raise UsageError("the collection has changed while it was read. Give the command again with another --out.")
        self._next = number + 1
        return made

    def _places(self) -> Iterator[_Place]:
        seen: Counter[str] = Counter()
        for position, entry in enumerate(self._collection.entries()):
            named = self._captions.read(entry.caption)
            if named.subject:
                name = probe_id(named.subject, named.template)
                yield _Place(position, name, seen[name], entry)
                seen[name] += 1

    def _made(self, place: _Place) -> Made:
        sample = digest_of({"training": self._planned.digest, "position": place.position})
        row = Made(sample, place.probe_id, place.number, 0, "failed", place.entry.reason)
        if place.entry.reason or place.entry.read is None:
            return row
        try:
            image = decode_foreign(place.entry.read())
        except OSError as error:
            return dataclasses.replace(row, reason=f"the image cannot be read: {error.strerror or error}")
        data = encode(image) if place.position in self._planned.kept else b""
        return dataclasses.replace(row, outcome="ok", image=image, data=data)


def import_training(
    collection: str | Path,
    *,
    suite: str = "occupations",
    classifier: Sequence[str] | str | None = None,
    out: str | Path | None = None,
    keep_images: int = 0,
    name: str | None = None,
    progress: Progress | None = None,
    report: bool = True,
    **options: Any,
) -> Run:
    """Audit images and captions that a model was trained on; the run can then be a reference: `training:RUN`.

    Each image belongs to the subject of `suite` that its caption names, in the probe `SUBJECT.names-no-gender` or
    `SUBJECT.names-gender`. Only counts are kept of single images: no image, embedding, score, name or caption.
    An image is read once, labelled and forgotten.

    Args:
        collection: a folder of images with captions beside them or in a table, a WebDataset tar, a Parquet file, a
            folder of these, or a pattern such as `train/{000..127}.tar`.
        suite: the suite whose subjects are looked for.
        classifier: instruments; by default `faces`.
        out: the run directory; by default runs/NAME-training.
        keep_images: keep so many random images in the run, for people to label (`rolecall annotate`).
        name: what the collection is called in tables and report; by default its name.
        progress: told how far it is.
        report: write report.html.
        **options: keys of the configuration that concern labels, references and the run directory.

    Returns:
        The run.

    Raises:
        UsageError: for anything that the caller can mend, in one line.
    """
    from audit.classifiers.registry import load_classifier
    from probes.suite import load_suite

    progress = progress or Progress()
    if keep_images < 0:
        raise UsageError(f"keep_images must be 0 or more (got {keep_images}). Leave it out to keep none.")
    found = find_collection(collection)
    label = name or Path(str(collection)).resolve().name.partition("{")[0].rstrip("-_.") or found.root.resolve().name
    known = load_suite(suite)
    options = {"model": label, "classifier": classifier or ("faces",), "threads": None, **options}
    options["out"] = str(out) if out is not None else str(Path("runs") / f"{slug(label)}-training")
    options |= {"suite": "training", "image_store": "files" if keep_images else "none"}
    given = read_config(None, options)
    settings = resolve(given)
    captions = Captions(known)
    progress.say("Reading the captions.")
    planned = plan(found, captions, known, keep_images, settings.seed)
    probes = probes_of(planned, known)
    if given.reference is None:
        names = sorted({key for probe in probes for key in probe.keys})
        settings = settings.model_copy(update={"reference": (*names, "uniform")})
    threads = settle_threads(settings, Path(str(settings.out)))
    classifiers = [load_classifier(each, **settings.classifier_options()) for each in settings.classifier or ()]
    settings = settings.model_copy(update={"primary": declared(settings, classifiers), "threads": threads})
    check_references(settings, probes, classifiers)
    check_evidence(settings, classifiers)
    source = TrainingSource(found, captions, planned)
    fingerprint = {"imported": label, "training": found.kind, "digest": planned.digest, "kept": len(planned.kept)}
    by_probe = {probe_id(*pair): number for pair, number in planned.counts.items()}
    record = {
        **new_record(given, settings, _suite_entry(known, probes, label), classifiers),
        "model": {"name": label, "fingerprint": fingerprint},
        "plan": {
            "images": max(by_probe.values()),
            "seed": None,
            "batch_size": BATCH,
            "batches": len(source),
            "samples": sum(by_probe.values()),
        },
        "training": _told(found.kind, planned),
    }
    record["identity"]["model"] = fingerprint
    for reason, number in planned.left_out.most_common():
        progress.say(f"Left out: {number} ({reason}).")
    store = Store.create(Path(str(settings.out)), record, probes, by_probe)
    return carry_out(store, source, classifiers, settings, (1, 1), None, progress, report)


def plan(collection: Collection, captions: Captions, suite: Suite, keep: int, seed: int) -> Planned:
    """Go through all captions once: how many images each probe has, and which are kept, drawn at random with the seed.

    Raises:
        UsageError: if no caption names a subject.
    """
    counts: Counter[tuple[str, str]] = Counter()
    left_out: Counter[str] = Counter()
    digest = hashlib.sha256()
    draw = random.Random(seed)
    single = {probe.subject for probe in suite.probes if probe.people == "one"}
    kept: list[int] = []
    entries = candidates = 0
    for position, entry in enumerate(collection.entries()):
        entries += entry.rows
        digest.update(f"{entry.key}\0{entry.caption}\0".encode("utf-8", "surrogateescape"))
        named = captions.read(entry.caption)
        if not named.subject:
            left_out[entry.reason or named.reason] += entry.rows
            continue
        counts[named.subject, named.template] += 1
        if keep and named.subject in single and not entry.reason:
            candidates += 1
            place = len(kept) if len(kept) < keep else draw.randrange(candidates)
            kept[place : place + 1] = [position] if place < keep else kept[place : place + 1]
    if not counts:
        why = "; ".join(f"{number}: {reason}" for reason, number in left_out.most_common(3))
        raise UsageError(
            f"no caption of the collection names one subject of the suite {suite.name!r} ({why or 'it is empty'}). "
            "Give another --suite, or a collection whose captions name occupations."
        )
    return Planned(counts, left_out, frozenset(kept), digest.hexdigest(), entries)


def probes_of(planned: Planned, suite: Suite) -> tuple[Probe, ...]:
    """The probes that have an image, in order of their ids; subjects keep their rows of references."""
    first = {probe.subject: probe for probe in reversed(suite.probes)}
    found = []
    for subject, template in sorted(planned.counts):
        known = first[subject]
        found.append(
            Probe(
                probe_id=probe_id(subject, template),
                text="",
                subject=subject,
                kind=KIND,
                language=known.language,
                template=template,
                people=known.people,
                sensitive=known.sensitive,
                keys=dict(known.keys),
                notes=f"Captions that name the subject and {'a' if template == GENDER else 'no'} gender.",
            )
        )
    return tuple(found)


def probe_id(subject: str, template: str) -> str:
    """`nurse.names-no-gender`."""
    return f"{subject}.{template}"


def kept(path: str | Path) -> list[str]:
    """The ids of the samples whose images a run keeps, such as for `audit.forget(run, kept(run))`."""
    store = Store.open(Path(path))
    found = []
    for *_, table in store.sample_parts(["sample_id", "outcome", "file"]):
        files = zip(table["sample_id"].to_pylist(), table["file"].to_pylist(), strict=True)
        found += [str(sample) for sample, file in files if file]
    return found


def check_images(path: str | Path, purpose: str) -> None:
    """Refuse what needs images for a run that keeps none.

    Raises:
        UsageError: if the run keeps no image.
    """
    store = Store.open(Path(path))
    record = store.record()
    if (record.get("training") or (record.get("identity") or {}).get("image_store") == "none") and not kept(path):
        hint = " Make it again with --keep-images N." if record.get("training") else ""
        raise UsageError(f"{store.root} keeps no images, only counts, so that there is nothing {purpose}.{hint}")


def _told(kind: str, planned: Planned) -> dict[str, Any]:
    """What run.json says of the collection: numbers only."""
    return {
        "kind": kind,
        "entries": planned.entries,
        "matched": sum(planned.counts.values()),
        "names_gender": sum(number for (_, template), number in planned.counts.items() if template == GENDER),
        "names_no_gender": sum(number for (_, template), number in planned.counts.items() if template == NO_GENDER),
        "left_out": dict(planned.left_out.most_common()),
        "kept_images": len(planned.kept),
    }


def _suite_entry(suite: Suite, probes: Sequence[Probe], label: str) -> dict[str, Any]:
    caveats = [
        "An image belongs to a subject because its caption names it; most images of such people have no such caption.",
        "Captions that name a gender of anybody are counted apart, by lists of English and German words.",
        "The images are photographs of people, most of whom were not asked. Only counts are kept of them.",
    ]
    return {
        "name": "training",
        "version": "1",
        "digest": digest_of([{**vars(each), "keys": dict(each.keys), "asked": dict(each.asked)} for each in probes]),
        "card": {
            "title": f"Images and captions of {label}",
            "source": f"Captions that name one subject of the suite {suite.name} (version {suite.version}).",
            "construct": "What viewers would perceive in the images that a model was shown for a subject.",
            "caveats": caveats,
        },
        "probes": len(probes),
        "languages": sorted({probe.language for probe in probes}),
    }
