"""Plan → images → labels: resumable, on one worker or many.

A batch is made, its images are stored and labelled from memory, and its row of samples is written last. A kill at any
moment loses the batch in flight and nothing else; running again continues with the batches that have no samples yet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from audit.classifiers.base import (
    Classifier,
    EmbeddingClassifier,
    KeyedClassifier,
    KeyedPeopleClassifier,
    Labels,
    PeopleClassifier,
)
from audit.errors import UsageError
from audit.pictures import decode, load
from audit.progress import Progress
from audit.sequential import Answers, outcome
from audit.sources import Made, RoundSource, Source
from audit.store import KEYS, Store
from audit.stored_people import write_people

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

    from audit.parts import Part
    from audit.sequential import Rule


def make(
    store: Store,
    source: Source,
    classifiers: Sequence[Classifier],
    *,
    image_store: str = "files",
    shard: tuple[int, int] = (1, 1),
    order: Iterable[int] | None = None,
    progress: Progress,
) -> bool:
    """Make the batches of one shard that are not made yet, and label their images.

    `order` gives the numbers of the batches in another order. Returns True if the whole run (all shards) is complete.
    """
    part, parts = shard
    with store.lock(f"shard-{part}-of-{parts}", wait=False):
        done = store.samples.batches()
        numbers = list(order) if order is not None else list(range(part - 1, len(source), parts))
        todo = [number for number in numbers if number not in done]
        finished = sum(source.size(number) for number in numbers if number in done)
        total = finished + sum(source.size(number) for number in todo)
        images = None
        try:
            with progress.task(source.title, total, finished) as task:
                for number in todo:
                    if images is None:
                        images = store.image_store(image_store, number)
                    made = source.make(number)
                    _make_batch(store, made, number, classifiers, images, bare=source.counts_only)
                    task.advance(source.size(number))
        finally:
            if images is not None:
                images.close()
    return len(store.samples.batches()) >= len(source)  # more, if further images of the run were made


def make_in_rounds(
    store: Store,
    source: RoundSource,
    classifiers: Sequence[Classifier],
    rule: Rule,
    *,
    image_store: str = "files",
    progress: Progress,
) -> None:
    """Make images in rounds until every probe is decided or has been asked the most images, and label them.

    Which probes are asked again follows from the stored labels of the rounds before. At the end the images that were
    asked for stand in probes.parquet, and what came of it in run.json.
    """
    with store.lock("shard-1-of-1", wait=False):
        done = store.samples.batches()
        answers = Answers(rule, source.plan.batch_size, source.step, source.plan.images)
        for table in store.label_parts(rule.classifier):
            answers.add(table)
        rounds, asked = 0, list(range(len(rule.probe_ids)))
        images = None
        try:
            while numbers := source.ask(rounds, asked):
                todo = [number for number in numbers if number not in done]
                total = sum(source.size(number) for number in numbers)
                left = sum(source.size(number) for number in todo)
                title = f"{source.title}, round {rounds + 1}: {len(asked)} of {len(rule.probe_ids)} probes open"
                if todo:
                    with progress.task(title, total, total - left) as task:
                        for number in todo:
                            if images is None:
                                images = store.image_store(image_store, number)
                            _make_batch(store, source.make(number), number, classifiers, images)
                            answers.add(store.labels_of(rule.classifier, number))
                            task.advance(source.size(number))
                rounds += 1
                asked = answers.still_open(rounds, asked)
        finally:
            if images is not None:
                images.close()
        made = source.asked()
        store.settle(dict(zip(rule.probe_ids, made, strict=True)))
        record = store.record()
        store.update(
            plan={**record["plan"], "batches": len(source), "samples": sum(made)},
            sequential={**record["sequential"], **outcome(answers, made, rounds)},
        )


def _make_batch(
    store: Store,
    made: Sequence[Made],
    number: int,
    classifiers: Sequence[Classifier],
    images: Any,
    *,
    bare: bool = False,
) -> None:
    """Store and label a batch; `bare`: nothing is kept of single images but the answers."""
    images.batch = number
    rows = [_row(number, item, images) for item in made]
    images.sync()
    shown = [(row, item.image) for row, item in zip(rows, made, strict=True) if item.image is not None]
    present = [row for row, _ in shown]
    pictures = [image for _, image in shown]
    for classifier in classifiers:
        labels = _answers(classifier, pictures) if bare else _label(store, classifier, number, present, pictures)
        store.write_labels(classifier.name, number, number, _keys(present), labels)
    store.write_samples(number, rows)


def _row(number: int, item: Made, images: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "batch": number,
        "sample_id": item.sample_id,
        "probe_id": item.probe_id,
        "index": item.index,
        "seed": item.seed,
        "outcome": item.outcome,
        "reason": item.reason,
        "file": "",
        "offset": 0,
        "length": 0,
        "sha256": "",
        "width": 0,
        "height": 0,
        "details": json.dumps(item.details, ensure_ascii=False, sort_keys=True) if item.details else "",
    }
    place = images.put(item.probe_id, item.index, item.suffix, item.data) if item.data else None
    if item.image is not None and place is not None and place.file:
        row.update(file=place.file, offset=place.offset, length=place.length)
        row.update(sha256=hashlib.sha256(item.data).hexdigest(), width=item.image.width, height=item.image.height)
    return row


def _answers(classifier: Classifier, images: Sequence[Image.Image]) -> list[Labels]:
    """The labels without scores, and without embeddings or places of people beside them."""
    return [replace(each, scores=each.scores[:, :0]) for each in (classifier.label(images) if images else ())]


def _label(
    store: Store, classifier: Classifier, number: int, rows: Sequence[dict[str, Any]], images: Sequence[Image.Image]
) -> list[Labels]:
    if isinstance(classifier, KeyedClassifier):
        keys = [row["sample_id"] for row in rows]
        if isinstance(classifier, KeyedPeopleClassifier):
            write_people(store, classifier, number, rows, classifier.people_keys(keys))
        return classifier.label_keys(keys)
    if isinstance(classifier, PeopleClassifier):
        people = classifier.people(images)
        write_people(store, classifier, number, rows, people)
        return classifier.label_people(people)
    if isinstance(classifier, EmbeddingClassifier):
        embeddings = classifier.embed(images)
        store.write_embeddings(classifier.embedding_name, number, embeddings)
        return classifier.label_embeddings(embeddings)
    return classifier.label(images)


def label(store: Store, classifier: Classifier, *, progress: Progress) -> None:
    """Label the stored images of a run with one more classifier.

    From the stored embeddings if the classifier works on embeddings that are there (then neither images nor the image
    tower are needed), else from the stored images.

    Raises:
        UsageError: if images are needed and no longer there.
    """
    with store.lock(f"label-{classifier.name}", wait=False):
        labelled = store.labels(classifier.name).batches()
        done = labelled & store.people(classifier.name).batches() if _tells_apart(classifier) else labelled
        todo = [part for part in store.samples.present() if not set(range(part.first, part.last + 1)) <= done]
        total = sum(part.last - part.first + 1 for part in todo)
        with progress.task(f"Labelling with {classifier.name} (batches)", total) as task:
            for part in todo:
                rows = store.images_of(part)
                if not _label_from_embeddings(store, classifier, part, rows):
                    for number in range(part.first, part.last + 1):
                        if number not in done:
                            _label_from_images(store, classifier, number, rows, labelled=number in labelled)
                task.advance(part.last - part.first + 1)


def _label_from_embeddings(store: Store, classifier: Classifier, part: Part, rows: pa.Table) -> bool:
    if not isinstance(classifier, EmbeddingClassifier):
        return False
    embeddings = store.embeddings_of(classifier.embedding_name, part.first, part.last)
    if embeddings is None or len(embeddings) != rows.num_rows:
        return False
    labels = classifier.label_embeddings(embeddings)
    keys = {name: rows[name].combine_chunks() for name in KEYS}
    store.write_labels(classifier.name, part.first, part.last, keys, labels)
    return True


def _label_from_images(store: Store, classifier: Classifier, number: int, rows: pa.Table, *, labelled: bool) -> None:
    """Label one batch; a part of labels that is there stays as it is, and only the people are added."""
    batch = [row for row in rows.to_pylist() if row["batch"] == number]
    labels = _label(store, classifier, number, batch, [_stored(store, row) for row in batch])
    if not labelled:
        store.write_labels(classifier.name, number, number, _keys(batch), labels)


def _tells_apart(classifier: Classifier) -> bool:
    return isinstance(classifier, PeopleClassifier | KeyedPeopleClassifier)


def _keys(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in KEYS}


def _stored(store: Store, row: dict[str, Any]) -> Image.Image:
    place = store.place(row)
    if not place.file:
        raise UsageError(
            f"{store.root} keeps no images, only counts, so that they cannot be labelled again. Audit the collection "
            "again with the other classifier, and another --out."
        )
    try:
        return decode(load(store.root, place))
    except (OSError, SyntaxError, ValueError) as error:
        raise UsageError(
            f"{store.root / place.file} is needed for this classifier and cannot be read: {error}. "
            "Restore the image, or label from embeddings with another --wordings."
        ) from None
