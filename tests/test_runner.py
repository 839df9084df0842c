"""The same run in any order, on any number of workers, killed anywhere: the same images, nothing lost or twice."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from helpers import Noise, Tint, noise_run, probes, rows, slow_noise_run

from audit.errors import UsageError
from audit.pictures import decode, load
from audit.progress import Progress
from audit.runner import label
from audit.store import Store
from probes.plan import Plan, seed_of


def test_a_run_holds_every_sample_once_with_its_outcome(tmp_path: Path) -> None:
    store, complete = noise_run(tmp_path / "run")
    found = list(rows(store).values())
    assert complete
    assert len(found) == 15
    assert {(row["probe_id"], row["index"]) for row in found} == {
        (probe.probe_id, index) for probe in probes() for index in range(5)
    }
    for row in found:
        assert row["seed"] == seed_of(1, row["probe_id"], row["index"])
        assert row["outcome"] == ("refused" if row["seed"] % 10 == 3 else "ok")
        if row["outcome"] == "ok":
            data = load(store.root, store.place(row))
            assert hashlib.sha256(data).hexdigest() == row["sha256"]
            assert decode(data).getpixel((0, 0))[0] == json.loads(row["details"])["first"]  # type: ignore[index]
        else:
            assert row["file"] == "" and row["reason"] == "the filter said no"


def test_order_of_batches_shards_and_store_do_not_change_images(tmp_path: Path) -> None:
    plain, _ = noise_run(tmp_path / "plain")
    turned, _ = noise_run(tmp_path / "turned", order=[3, 0, 2, 1])
    _, done = noise_run(tmp_path / "shards", shard=(2, 2))
    assert not done
    second, done = noise_run(tmp_path / "shards", shard=(1, 2))
    assert done
    tar, _ = noise_run(tmp_path / "tar", image_store="tar")
    expected = {key: row["sha256"] for key, row in rows(plain).items()}
    for other in (turned, second, tar):
        assert {key: row["sha256"] for key, row in rows(other).items()} == expected


def test_tar_archives_hold_the_images_at_their_offsets_and_open_as_tar(tmp_path: Path) -> None:
    store, _ = noise_run(tmp_path / "run", image_store="tar")
    for row in rows(store).values():
        if row["outcome"] == "ok":
            assert hashlib.sha256(load(store.root, store.place(row))).hexdigest() == row["sha256"]
    (archive,) = (store.root / "images").glob("*.tar")
    with tarfile.open(archive) as tar:
        assert len(tar.getnames()) == sum(row["outcome"] == "ok" for row in rows(store).values())


def test_finished_batches_are_not_made_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    noise_run(tmp_path / "run", log=log)
    before = log.read_text()
    _, complete = noise_run(tmp_path / "run", log=log)
    assert complete and log.read_text() == before


@pytest.mark.parametrize("kind", ["files", "tar"])
def test_killed_at_random_moments_only_the_batch_in_flight_is_lost(tmp_path: Path, kind: str) -> None:
    log, root = tmp_path / "log", tmp_path / "run"
    # Processes forked from one that holds the libraries are processes of their own, without seconds of imports each.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["audit.runner", "audit.sources", "pandas", "PIL.Image", "pyarrow.parquet"])
    clock = random.Random(7)
    kills = 0
    for _ in range(60):
        made_before = Store(root).samples.batches() if root.exists() else set()
        process = processes.Process(target=slow_noise_run, args=(root, log, kind))
        process.start()
        if kills < 20:
            while process.is_alive() and not (log.exists() and len(Store(root).samples.batches()) > len(made_before)):
                time.sleep(0.01)
            time.sleep(clock.uniform(0, 0.12))
            if process.is_alive():
                process.kill()
                kills += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        assert made_before <= Store(root).samples.batches()
        if process.exitcode == 0:
            break
    assert kills == 20
    store = Store.open(root)
    assert len(store.samples.batches()) == 200
    calls = log.read_text().split()
    assert len(set(calls)) == 200
    assert len(calls) <= 200 + kills
    whole, _ = noise_run(tmp_path / "whole", images=40, count=20)
    assert {k: r["sha256"] for k, r in rows(store).items()} == {k: r["sha256"] for k, r in rows(whole).items()}


def test_a_directory_of_another_configuration_is_refused_and_says_what_differs(tmp_path: Path) -> None:
    noise_run(tmp_path / "run")
    with pytest.raises(UsageError, match="images was 5, now 6"):
        noise_run(tmp_path / "run", images=6)
    with pytest.raises(UsageError, match="seed was 1, now 2"):
        noise_run(tmp_path / "run", seed=2)


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="no run directory and not empty"):
        noise_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_newer_schema_is_refused_and_a_damaged_record_named(tmp_path: Path) -> None:
    store, _ = noise_run(tmp_path / "run")
    path = store.root / "run.json"
    path.write_text(json.dumps({**store.record(), "schema": 99}))
    with pytest.raises(UsageError, match=r"written by a newer Rolecall: its schema is 99"):
        Store.open(store.root)
    path.write_text("{")
    with pytest.raises(UsageError, match="damaged"):
        Store.open(store.root)


def test_two_workers_on_one_shard_are_refused(tmp_path: Path) -> None:
    store, _ = noise_run(tmp_path / "run")
    with store.lock("shard-1-of-1"), pytest.raises(UsageError, match="another process"):
        noise_run(tmp_path / "run")


def test_merging_keeps_every_row_and_may_be_killed_anywhere(tmp_path: Path) -> None:
    store, _ = noise_run(tmp_path / "run", images=40)
    before = rows(store)
    small = {path.name: path.read_bytes() for path in store.samples.folder.iterdir()}
    store.merge()
    assert len(list(store.samples.folder.iterdir())) == 1
    for name, data in small.items():  # as if killed after writing the merged part, before removing the small ones
        (store.samples.folder / name).write_bytes(data)
    assert rows(store) == before
    store.merge()
    assert len(list(store.samples.folder.iterdir())) == 1
    assert rows(store) == before
    assert noise_run(tmp_path / "run", images=40)[1]


def test_relabelling_from_embeddings_needs_no_image(tmp_path: Path) -> None:
    store, _ = noise_run(tmp_path / "run", images=40)
    store.merge()
    again = Tint()
    again.name = "again"
    for image in (store.root / "images").rglob("*.webp"):
        image.unlink()
    label(store, again, progress=Progress())
    assert again.embedded == 0
    first = [row for table in store.label_parts("tint") for row in table.to_pylist()]
    second = [row for table in store.label_parts("again") for row in table.to_pylist()]
    assert sorted(first, key=str) == sorted(second, key=str)


def test_relabelling_from_stored_images_gives_the_labels_given_from_memory(tmp_path: Path) -> None:
    store, _ = noise_run(tmp_path / "run")
    other = Tint()
    other.name, other.embedding_name = "other", "other-colour"
    label(store, other, progress=Progress())
    assert other.embedded == sum(row["outcome"] == "ok" for row in rows(store).values())
    first = [row for table in store.label_parts("tint") for row in table.to_pylist()]
    second = [row for table in store.label_parts("other") for row in table.to_pylist()]
    assert sorted(first, key=str) == sorted(second, key=str)


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    script = f"""
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import helpers
from audit.errors import UsageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
root = Path({str(tmp_path / "run")!r})
helpers.noise_run(root, order=[0, 1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    helpers.noise_run(root)
except UsageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "the disk is full" in done.stdout and len(done.stdout.splitlines()) == 1
    store = Store.open(tmp_path / "run")
    assert store.samples.batches() == {0, 1}
    assert noise_run(tmp_path / "run")[1]


def test_seeds_pair_models_and_are_never_shared_by_prompts() -> None:
    seeds = {seed_of(0, f"p{probe}", index) for probe in range(100) for index in range(100)}
    assert len(seeds) == 10_000
    assert all(0 <= seed < 2**63 for seed in seeds)
    one = Plan(probes(), 5, 0, 4, Noise().fingerprint())
    two = Plan(probes(), 5, 0, 8, {"kind": "another model"})
    assert [s.seed for b in range(len(one)) for s in one.batch(b).samples] == [
        s.seed for b in range(len(two)) for s in two.batch(b).samples
    ]
    assert {s.sample_id for s in one.batch(0).samples}.isdisjoint(s.sample_id for s in two.batch(0).samples)
