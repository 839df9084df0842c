"""The people whom an instrument tells apart, as a run keeps them: people/CLASSIFIER/*.parquet, beside the labels.

No crops, no embeddings: boxes, answers and scores. A run that keeps no images (real people) keeps the answers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from audit.classifiers.base import Classifier, Person
from audit.schema import people_schema
from audit.store import KEYS, Store, write_table

if TYPE_CHECKING:
    import pyarrow as pa


def write_people(
    store: Store,
    classifier: Classifier,
    number: int,
    samples: Sequence[Mapping[str, Any]],
    people: Sequence[Sequence[Person]],
) -> None:
    """Store the people of the images of batch `number`, one row a person, the most prominent first.

    `samples` are the rows of these images, in the order of `people`.
    """
    import pyarrow as pa

    names = [question.attribute for question in classifier.questions]
    placed = (store.record().get("identity") or {}).get("image_store") != "none"
    rows = [
        {
            **{name: sample[name] for name in KEYS},
            "person": place,
            "counted": person.counted,
            **(person.place() if placed else {}),
            "answers": [person.answers[name] for name in names],
            "scores": [list(person.scores.get(name, ())) for name in names] if placed else [],
        }
        for sample, found in zip(samples, people, strict=True)
        for place, person in enumerate(found)
    ]
    table = pa.Table.from_pylist(rows, schema=people_schema())
    store.people(classifier.name).write(number, lambda file: write_table(table, file))


def people_parts(store: Store, classifier: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The people told apart by one classifier (all columns, or some), a part at a time."""
    import pyarrow.parquet as pq

    for part in store.people(classifier).present():
        yield pq.read_table(part.path, columns=None if columns is None else list(columns))


def tells_apart(store: Store, classifier: str) -> bool:
    """True if the people are there for all batches. Runs of earlier versions have none."""
    made = store.samples.batches()
    return bool(made) and made <= store.people(classifier).batches()
