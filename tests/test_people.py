"""People told apart are stored in step with the labels, whatever happens to a run."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crowd import Crowd, crowd_audit, crowd_run, stored_people
from helpers import Tint, noise_run, rows

import audit
from audit.classifiers.base import KeyedPeopleClassifier, Labels, PeopleClassifier
from audit.classifiers.registry import load_classifier
from audit.pictures import decode, load
from audit.progress import Progress
from audit.runner import label
from audit.schema import PLACE
from audit.store import Store
from audit.stored_people import tells_apart


class Mute:
    """`Crowd` as it was before people were told apart: it labels images, no more."""

    name, questions = Crowd.name, Crowd.questions
    fingerprint, card = Crowd.fingerprint, Crowd.card

    def label(self, images: list[object]) -> list[Labels]:
        return Crowd().label(images)  # type: ignore[arg-type]


def labels(store: Store) -> list[dict[str, object]]:
    return sorted((row for table in store.label_parts("crowd") for row in table.to_pylist()), key=str)


def test_who_tells_people_apart() -> None:
    known = load_classifier("faces"), load_classifier("skin_tone"), Crowd()
    assert all(isinstance(each, PeopleClassifier) for each in known)
    assert not isinstance(Tint(), PeopleClassifier | KeyedPeopleClassifier)


def test_one_look_gives_labels_and_people(tmp_path: Path) -> None:
    crowd = Crowd()
    store = crowd_run(tmp_path / "run", classifier=crowd)
    made = [row for row in rows(store).values() if row["outcome"] == "ok"]
    assert crowd.looks == len(made)
    found = stored_people(store)
    assert len(found) < len(made)  # some images show nobody
    assert {len(people) for people in found.values()} == {1, 2, 3}
    for row in made:
        (faces,) = Crowd().people([decode(load(store.root, store.place(row)))])
        kept = found.get(row["sample_id"], [])
        assert [each["person"] for each in kept] == list(range(len(faces)))
        for face, person in zip(faces, kept, strict=True):
            assert person["answers"] == [face.answers["gender"], face.answers["age"]]
            assert person["scores"][0] == pytest.approx(face.scores["gender"], abs=1e-6)
            assert (person["left"], person["bottom"], person["image_width"]) == (face.left, face.bottom, 8)
            assert person["share"] == pytest.approx(face.share)
            assert (person["centre_x"], person["centre_y"]) == pytest.approx(face.centre)
            assert person["counted"] and not person["enlarged"]
        shares = [person["share"] for person in kept]
        assert shares == sorted(shares, reverse=True)
    assert tells_apart(store, "crowd")
    assert not tells_apart(noise_run(tmp_path / "tint")[0], "tint")
    assert not (tmp_path / "tint" / "people").exists()


def test_order_shards_and_merging_change_nobody(tmp_path: Path) -> None:
    plain = crowd_run(tmp_path / "plain")
    expected = stored_people(plain)
    turned = crowd_run(tmp_path / "turned", order=[8, 0, 2, 1, 7, 6, 5, 3, 4], image_store="tar")
    crowd_run(tmp_path / "shards", shard=(2, 2))
    shards = crowd_run(tmp_path / "shards", shard=(1, 2))
    plain.merge()
    assert len(list(plain.people("crowd").folder.iterdir())) == 1
    for store in (plain, turned, shards):
        assert sorted(map(str, stored_people(store).items())) == sorted(map(str, expected.items()))
    names = [name for name in plain.digests() if name.startswith("people/")]
    assert names == ["people/crowd/0000000-0000008.parquet"]
    assert plain.digests()[names[0]] == hashlib.sha256((plain.root / names[0]).read_bytes()).hexdigest()


WORKER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import crowd
look = crowd.Crowd.people
def slowly(self, images):
    time.sleep(0.01)
    return look(self, images)
crowd.Crowd.people = slowly
crowd.crowd_run(Path({root!r}), images=40, count=6)
"""


def test_killed_at_random_moments_people_and_labels_stay_in_step(tmp_path: Path) -> None:
    root = tmp_path / "run"
    script = WORKER.format(tests=str(Path(__file__).parent), root=str(root))
    clock = random.Random(11)
    kills = 0
    for _ in range(6):
        before = len(Store(root).samples.batches())
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
        if kills < 2:
            while process.poll() is None and len(Store(root).samples.batches()) <= before:
                time.sleep(0.01)
            time.sleep(clock.uniform(0, 0.1))
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
        store = Store(root)
        assert store.samples.batches() <= store.labels("crowd").batches() <= store.people("crowd").batches()
        if process.returncode == 0:
            break
    assert kills == 2
    whole = crowd_run(tmp_path / "whole", images=40, count=6)
    assert str(stored_people(Store.open(root))) == str(stored_people(whole))
    assert str(labels(Store.open(root))) == str(labels(whole))


def test_a_run_that_was_labelled_before_gets_its_people_and_keeps_its_labels(tmp_path: Path) -> None:
    store = crowd_run(tmp_path / "run", classifier=Mute())
    assert not tells_apart(store, "crowd")
    store.merge()
    (part,) = store.labels("crowd").present()
    before = part.path.read_bytes()
    crowd = Crowd()
    label(store, crowd, progress=Progress())
    assert tells_apart(store, "crowd")
    assert [(each.path, each.path.read_bytes()) for each in store.labels("crowd").present()] == [(part.path, before)]
    assert str(stored_people(store)) == str(stored_people(crowd_run(tmp_path / "new")))
    looks = crowd.looks
    label(store, crowd, progress=Progress())
    assert crowd.looks == looks  # nothing was left to do


def test_a_run_without_images_keeps_answers_and_no_places(tmp_path: Path) -> None:
    store = crowd_run(tmp_path / "run", identity={"image_store": "none"})
    found = [person for people in stored_people(store).values() for person in people]
    assert found
    for person in found:
        assert {person[name] for name in PLACE} == {None}
        assert person["scores"] == []
        assert person["answers"][0] in ("woman", "man", "unclear")
    placed = stored_people(crowd_run(tmp_path / "other", identity={"image_store": "files"}))
    answers = [[person["answers"] for person in people] for people in placed.values()]
    assert [[person["answers"] for person in people] for people in stored_people(store).values()] == answers


def test_no_crop_and_no_embedding_is_kept(tmp_path: Path) -> None:
    store = crowd_run(tmp_path / "run")
    assert not (store.root / "embeddings").exists()
    for part in store.people("crowd").present():
        for field in pq.read_schema(part.path):
            assert not pa.types.is_binary(field.type) and not pa.types.is_large_binary(field.type)


def test_forgotten_people_leave_answers_and_no_place(tmp_path: Path) -> None:
    run = crowd_audit(tmp_path / "run")
    store = Store.open(run)
    before = {name: (run / "tables" / f"{name}.csv").read_bytes() for name in ("people", "shares", "missing")}
    several = next(sample for sample, people in stored_people(store).items() if len(people) == 3)
    kept = stored_people(store)[several]
    audit.forget(run, [several])
    found = stored_people(store)
    (after,) = (people for sample, people in found.items() if sample.startswith("forgotten:"))
    assert several not in found
    assert [person["answers"] for person in after] == [person["answers"] for person in kept]
    for person in after:
        assert {person[name] for name in (*PLACE, "scores")} == {None}
    audit.analyze(run)
    assert {name: (run / "tables" / f"{name}.csv").read_bytes() for name in before} == before
    record = audit.open(run).record
    for name, digest in record["files"].items():
        assert hashlib.sha256((run / name).read_bytes()).hexdigest() == digest, name
