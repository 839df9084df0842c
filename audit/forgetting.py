"""Forgets samples: their images and all that was derived from them goes, the counts stay (docs/export.md)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import UsageError, nearest
from audit.parts import FORGOTTEN, Parts, cannot_write, write_atomically, write_bytes
from audit.store import Store, write_table
from probes.plan import digest_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from audit.parts import Part
    from audit.progress import Progress

JOURNAL = ".forgetting.json"
"""What is being forgotten: there from the first change to the last, so that a killed `forget` can be finished."""
REASON = "forgotten"
"""Stands in `reason` of a forgotten sample."""
SHEET = "annotate.html"
"""The labelling sheet in a run; it holds images."""
_LABELS_KEEP = ("sample_id", "probe_id", "index", "attribute", "class")
_PEOPLE_KEEP = ("sample_id", "probe_id", "index", "person", "counted", "answers")
_SAMPLES_KEEP = ("batch", "sample_id", "probe_id", "index", "seed", "outcome", "reason")


@dataclass(frozen=True)
class Target:
    """One sample to be forgotten."""

    sample_id: str
    probe_id: str
    index: int
    file: str
    offset: int
    length: int
    sha256: str

    @property
    def after(self) -> str:
        """Its id afterwards: a digest of its probe and index, which leads back to no image, file or request."""
        return FORGOTTEN + digest_of({"probe": self.probe_id, "index": self.index})[:32]


@dataclass(frozen=True)
class Forgotten:
    """What a `forget` came to."""

    path: Path
    """The run."""
    samples: int
    """Samples that were forgotten now."""
    images: int
    """Images of them whose bytes were removed now."""
    copies: tuple[str, ...] = ()
    """Other samples of the run with the same bytes: sample ids. They are still there."""
    pages: tuple[str, ...] = ()
    """Pages in the run that may show the images and that Rolecall cannot write again: file names."""

    def __str__(self) -> str:
        return f"Forgotten samples: {self.samples}, images: {self.images}. The counts of {self.path} are as they were."

    def _repr_html_(self) -> str:
        return f"<p>{escape(str(self))}</p>"


def forget(
    path: str | Path, samples: Iterable[str], *, progress: Progress | None = None, report: bool = True
) -> Forgotten:
    """Remove images of a run and all that was derived from them, and leave the counts as they are.

    All samples are looked up before anything is changed. A `forget` that was killed is finished by the next one.

    Args:
        path: the run.
        samples: ids of samples, or PROBE/INDEX as images are filed.
        progress: told how far it is, and of what is left to do by hand.
        report: write report.html again, if there is one.

    Returns:
        What was removed.

    Raises:
        UsageError: if a sample is not in the run, or another process is working on the run; nothing is changed then.
    """
    from audit.progress import Progress

    progress = progress or Progress()
    store = Store.open(Path(path))
    wanted = list(dict.fromkeys(samples))
    if not wanted:
        raise UsageError("no sample was named. Give ids of samples, or PROBE/INDEX: rolecall forget RUN nurse.en.a/12")
    with _alone(store):
        begun = _read_journal(store)
        targets, copies = _find(store, wanted, begun)
        done = images = 0
        for group in (begun, targets):
            if group:
                images += _forget(store, group, progress)
                done += len(group)
        pages: tuple[str, ...] = ()
        if done:
            _record(store)
            pages = _pages(store, [*begun, *targets], report=report, progress=progress)
            store.log(event="forget", samples=done)
            (store.root / JOURNAL).unlink()
    for sample in copies:
        progress.say(f"{sample} holds the same bytes as a forgotten image and is still there.")
    for page in pages:
        progress.say(f"{page} may show forgotten images: delete it, or write it again.")
    return Forgotten(store.root, done, images, copies, pages)


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Hold all locks of the run, so that nobody makes, labels or analyzes while rows are rewritten."""
    known = {path.name[1:-5] for path in store.root.glob(".*.lock")} - {"record"}
    with ExitStack() as locks:
        for name in sorted({*known, "analysis", "human"}):
            locks.enter_context(store.lock(name, wait=False))
        yield


def _find(store: Store, wanted: Sequence[str], begun: Sequence[Target]) -> tuple[list[Target], tuple[str, ...]]:
    """The samples that are meant, and the ids of others that hold the same bytes."""
    names, left = set(wanted), set(wanted)
    left -= {name for each in begun for name in (each.sample_id, each.after, f"{each.probe_id}/{each.index}")}
    found: list[Target] = []
    for row in _samples(store):
        given = {row["sample_id"], f"{row['probe_id']}/{row['index']}", f"{row['probe_id']}/{row['index']:06d}"} & names
        left -= given
        if given and not row["sample_id"].startswith(FORGOTTEN):
            found.append(Target(**{key: row[key] for key in Target.__dataclass_fields__}))
    if left:
        name = min(left, key=wanted.index)
        near = nearest(name.partition("/")[0], [probe.probe_id for probe in store.probes()]) if "/" in name else ""
        raise UsageError(
            f"{store.root} has no sample {name!r}{' (and more)' if len(left) > 1 else ''}; it may have been forgotten "
            f"before. {near or 'Give ids from samples/, or PROBE/INDEX.'} Nothing was changed."
        )
    for each in found:
        if not (store.root / each.file).resolve().is_relative_to(store.root.resolve()):
            raise UsageError(
                f"the image of {each.sample_id} lies outside {store.root}: {each.file}. Mend the run first."
            )
    found = [each for each in found if each.sample_id not in {known.sample_id for known in begun}]
    digests = {each.sha256 for each in (*begun, *found) if each.sha256}
    gone = {each.sample_id for each in (*begun, *found)}
    same = (row["sample_id"] for row in _samples(store) if row["sha256"] in digests and row["sample_id"] not in gone)
    return found, tuple(same)


def _samples(store: Store) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    for part in store.samples.present():
        yield from pq.read_table(part.path, columns=list(Target.__dataclass_fields__)).to_pylist()


def _forget(store: Store, targets: Sequence[Target], progress: Progress) -> int:
    """Remove all of these samples; every step can be done again after a kill. Returns the images removed."""
    write_bytes(store.root / JOURNAL, json.dumps([vars(each) for each in targets], ensure_ascii=False).encode())
    folders = [Parts(path, ".npy") for path in sorted((store.root / "embeddings").glob("*")) if path.is_dir()]
    labels = [store.labels(path.name) for path in sorted((store.root / "labels").glob("*")) if path.is_dir()]
    people = [store.people(path.name) for path in sorted((store.root / "people").glob("*")) if path.is_dir()]
    with progress.task("Forgetting", len(targets) + len(folders) + len(labels) + len(people) + 1) as task:
        images = 0
        for each in targets:
            images += _remove_image(store.root, each)
            task.advance(1)
        _remove_drafts(store.root, [store.samples, *folders, *labels, *people])
        for parts in folders:
            _forget_embeddings(store, parts, targets)
            task.advance(1)
        for parts in labels:
            for part in parts.present():
                _rewrite(part, targets, partial(_blank, keep=_LABELS_KEEP))
            task.advance(1)
        for parts in people:
            for part in parts.present():
                _rewrite(part, targets, _blank_people)
            task.advance(1)
        _forget_raters(store, targets)
        for part in store.samples.present():
            _rewrite(part, targets, _blank_samples)
        task.advance(1)
    return images


def _remove_image(root: Path, target: Target) -> bool:
    """Delete the file of an image, or overwrite its bytes in an archive with zeros: the others stay where they are."""
    path = root / target.file
    if not target.file or not path.is_file():
        return False
    try:
        if not target.length:
            path.unlink()
            return True
        with path.open("r+b") as file:
            file.seek(target.offset)
            there = bool(file.read(target.length).strip(b"\0"))
            file.seek(target.offset)
            file.write(bytes(target.length))
            file.flush()
            os.fsync(file.fileno())
        return there
    except OSError as error:
        raise cannot_write(path, error) from error


def _remove_drafts(root: Path, folders: Iterable[Parts]) -> None:
    """Delete what killed processes left: unfinished files, and parts that larger ones have superseded."""
    for path in root.rglob(".*.tmp"):
        path.unlink(missing_ok=True)
    for parts in folders:
        keep = {part.path for part in parts.present()}
        for path in parts.folder.glob(f"*{parts.suffix}"):
            if path not in keep and re.fullmatch(r"\d+-\d+", path.stem):
                path.unlink()


def _forget_embeddings(store: Store, parts: Parts, targets: Sequence[Target]) -> None:
    """Take the rows of forgotten images out of the embeddings, which then follow the remaining images again."""
    import numpy as np

    gone = {(each.probe_id, each.index) for each in targets}
    afterwards = {each.after for each in targets}
    for part in parts.present():
        kept = [(row["probe_id"], row["index"]) not in gone for row in _images(store, part, afterwards)]
        if all(kept):
            continue
        array = np.load(part.path)
        if len(array) == len(kept):
            write_atomically(part.path, partial(_save, array[kept]))
        elif len(array) != sum(kept):
            raise UsageError(
                f"{part.path} has {len(array)} rows for {len(kept)} images, so that nobody can say which are to be "
                "forgotten. Delete the folder it lies in and give the command again; images can be labelled again."
            )


def _save(array: npt.NDArray[np.float16], file: Any) -> None:
    import numpy as np

    np.save(file, array)


def _images(store: Store, part: Part, afterwards: set[str]) -> Iterator[dict[str, Any]]:
    """The images of some batches in order, with those that are being forgotten and without those forgotten before."""
    import pyarrow.parquet as pq

    columns = ["batch", "sample_id", "probe_id", "index", "outcome"]
    for each in store.samples.present():
        if each.first <= part.last and each.last >= part.first:
            for row in pq.read_table(each.path, columns=columns).to_pylist():
                before = row["sample_id"].startswith(FORGOTTEN) and row["sample_id"] not in afterwards
                if part.first <= row["batch"] <= part.last and row["outcome"] == "ok" and not before:
                    yield row


def _rewrite(part: Part, targets: Sequence[Target], blank: Any) -> None:
    """Write a part again, its rows of forgotten samples blanked; a part without such rows is left as it is."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(part.path)
    ids = {each.sample_id: each.after for each in targets}
    found = pc.is_in(table["sample_id"], value_set=pa.array(list(ids), pa.string()))
    if pc.any(found).as_py():
        rows = [
            blank({**row, "sample_id": ids[row["sample_id"]]}) if row["sample_id"] in ids else row
            for row in table.to_pylist()
        ]
        changed = pa.Table.from_pylist(rows, schema=table.schema)
        write_atomically(part.path, partial(write_table, changed))


def _blank(row: Mapping[str, Any], keep: Sequence[str]) -> dict[str, Any]:
    """A row without anything that was measured on the image; numbers without meaning are 0, texts empty."""
    return {name: value if name in keep else _nothing(value) for name, value in row.items()}


def _blank_people(row: Mapping[str, Any]) -> dict[str, Any]:
    """A person of a forgotten image: where they were and how well they were found is gone; the answers were counted."""
    return {name: value if name in _PEOPLE_KEEP else None for name, value in row.items()}


def _blank_samples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**_blank(row, _SAMPLES_KEEP), "reason": REASON}


def _nothing(value: Any) -> Any:
    if isinstance(value, list):
        return [_nothing(each) for each in value]
    if isinstance(value, bool) or value is None:
        return None
    return {int: 0, float: float("nan"), str: ""}.get(type(value))


def _forget_raters(store: Store, targets: Sequence[Target]) -> None:
    """Give the samples their new ids in what people answered, in the lists of the sheets, and in tables."""
    ids = {each.sample_id: each.after for each in targets}
    for folder in (store.human_folder(), store.tables_folder()):
        for path in sorted(folder.glob("*.csv")):
            text = path.read_text(encoding="utf-8")
            changed = re.sub(r"\w+", lambda word: ids.get(word[0], word[0]), text)
            if changed != text:
                write_bytes(path, changed.encode())


def _pages(store: Store, targets: Sequence[Target], *, report: bool, progress: Progress) -> tuple[str, ...]:
    """Write the report again; delete the labelling sheet if it holds one of the images, and pages of comparisons that
    hold any; other pages' names."""
    from audit.comparing import FOLDER
    from audit.results import Run

    page, sheet = store.root / "report.html", store.root / SHEET
    left = [path for path in sorted(store.root.glob("*.html")) if path not in (page, sheet)]
    if report and page.is_file():
        progress.say("Writing the report again.")
        Run(store).report(**_as_written(page.read_text(encoding="utf-8", errors="replace")))
    elif page.is_file():
        left.append(page)
    if sheet.is_file():
        text = sheet.read_text(encoding="utf-8", errors="replace")
        if any(each.sample_id in text for each in targets):
            sheet.unlink()
    for path in sorted((store.root / FOLDER).glob("*/*.html")):
        if "data:image/" in path.read_text(encoding="utf-8", errors="replace"):
            path.unlink()
            progress.say(f"{path} held images and was deleted: rolecall compare writes it again.")
    return tuple(path.name for path in left)


def _as_written(text: str) -> dict[str, Any]:
    """The options with which a report was written: its language, and whether it shows pictures, sharp or blurred."""
    from reports.words import load_words

    found = re.search(r'<html lang="(\w+)"', text)
    language = found[1] if found else "en"
    words, plain = load_words(language), unescape(text)
    told = {name: unescape(str(words(f"notice.{name}"))) in plain for name in ("no_images", "blurred")}
    return {"lang": language, "images": not told["no_images"], "blur": told["blurred"]}


def _record(store: Store) -> None:
    """State in run.json how many samples are forgotten, and the new digests."""
    total = sum(row["sample_id"].startswith(FORGOTTEN) for row in _samples(store))
    files = {"files": store.digests()} if store.record().get("files") else {}
    store.update(forgotten=total, **files)


def _read_journal(store: Store) -> list[Target]:
    path = store.root / JOURNAL
    if not path.is_file():
        return []
    try:
        return [Target(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError):
        raise UsageError(
            f"{path} is damaged. Delete it, and name again the samples that were to be forgotten."
        ) from None
