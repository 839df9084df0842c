"""Which images people are asked to label, and the sheet on which they do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audit import human
from audit.errors import UsageError, nearest
from audit.parts import write_bytes

if TYPE_CHECKING:
    import pandas as pd

    from audit.progress import Progress
    from audit.results import Run
    from audit.store import Store


@dataclass(frozen=True)
class Draw:
    """A random sample of a run's images, in random order."""

    table: pd.DataFrame
    """sample_id, stratum, code, sampling_probability, seed; and file, offset, length, probe_id, index of the image."""
    questions: tuple[tuple[str, tuple[str, ...]], ...]
    """Attributes to be asked, with their classes."""
    images: int
    """Images that could have been drawn."""

    def digest(self) -> str:
        """SHA-256 (hexadecimal) over images, their order, how they were sampled, and the questions."""
        from probes.plan import digest_of

        return digest_of([self.table[list(human.SHEET)].to_dict("list"), self.questions])


def annotate(
    path: str | Path,
    *,
    images: int = 100,
    out: str | Path | None = None,
    seed: int = 0,
    stratified: bool = False,
    attributes: Sequence[str] | str | None = None,
    lang: str = "en",
    progress: Progress | None = None,
) -> Path:
    """Write one HTML sheet on which people label random images of a run, offline, and return where it is.

    Nothing on the sheet says what was asked of the model or what a classifier answered. Which images it holds, and
    with what probability each was drawn, is kept in human/sheet-DIGEST.csv of the run; `read_labels` takes the labels
    back. Any number of people may use the same sheet.

    Args:
        path: the run.
        images: how many; all, if the run has fewer.
        out: where to write; by default annotate.html in the run.
        seed: seed of the draw.
        stratified: as many images of every answer that the first classifier gave to the primary attribute, instead of
            all images alike.
        attributes: which attributes to ask; by default all that were labelled.
        lang: language of the sheet, `en` or `de`.
        progress: told what was written.

    Returns:
        Where the sheet is.

    Raises:
        UsageError: for anything that the caller can mend, in one line.
        ReportError: if there is no such language.
    """
    from audit.pictures import decode
    from audit.progress import Progress
    from audit.store import Store
    from audit.training import check_images
    from reports.annotation import Item, LabellingSheet, write_sheet
    from reports.view import Picture

    progress = progress or Progress()
    check_images(path, "to label")
    store = Store.open(Path(path))
    drawn = draw(store, images, seed, stratified=stratified, attributes=attributes)
    digest = drawn.digest()
    columns = ("sample_id", "probe_id", "index", "file", "offset", "length", "code", "sampling_probability")
    items = tuple(
        Item(sample, Picture(probe, index, store.root / file, offset, length, decode=decode), code, chance)
        for sample, probe, index, file, offset, length, code, chance in zip(
            *(drawn.table[name].tolist() for name in columns), strict=True
        )
    )
    sensitive = any(probe.sensitive for probe in store.probes() if probe.probe_id in set(drawn.table["probe_id"]))
    phantom = "phantom-world" in store.record().get("references", [])
    target = Path(out) if out is not None else store.root / "annotate.html"
    size = write_sheet(LabellingSheet(digest, items, drawn.questions, sensitive, phantom), target, lang=lang)
    text = drawn.table[list(human.SHEET)].to_csv(index=False, lineterminator="\n")
    write_bytes(store.human_folder() / f"sheet-{digest[:8]}.csv", text.encode())
    if len(drawn.table) < images:
        progress.say(f"The run has {drawn.images} images of one person; all are on the sheet.")
    progress.say(
        f"{len(items)} images, {size / 1e6:.1f} MB. Read the labels back with: rolecall annotate {path} --read FILE"
    )
    return target


def read_truth(
    path: str | Path,
    *,
    images: int = 100,
    seed: int = 0,
    stratified: bool = False,
    attributes: Sequence[str] | str | None = None,
    progress: Progress | None = None,
    report: bool = True,
) -> Run:
    """Label random images of a drawn run with their known truth, as a rater called `truth`, and make its tables again.

    Images are drawn as by `annotate`; no sheet is written.

    Args:
        path: the run.
        images: how many; all, if the run has fewer.
        seed: seed of the draw.
        stratified: as in `annotate`.
        attributes: which attributes to label; by default all that were labelled.
        progress: told how far it is.
        report: write report.html again.

    Returns:
        The run, its tables made again.

    Raises:
        UsageError: if the model does not record what its images show (only `phantom-drawn` does), or as `annotate`.
    """
    from audit.progress import Progress
    from audit.store import Store
    from audit.verbs import analyze

    progress = progress or Progress()
    store = Store.open(Path(path))
    drawn = draw(store, images, seed, stratified=stratified, attributes=attributes)
    human.add_truth(store, drawn.table, [attribute for attribute, _ in drawn.questions], progress)
    return analyze(path, progress=progress, report=report)


def draw(
    store: Store,
    images: int,
    seed: int,
    *,
    stratified: bool = False,
    attributes: Sequence[str] | str | None = None,
) -> Draw:
    """Draw images at random from those of the probes that ask for one person (from all, if none does).

    The draw follows from the seed and the run's images alone. Simple random sampling: every image has the same
    probability n/N, so that predicted classes come in proportion. Stratified: the strata are the answers of the first
    classifier to the primary attribute, `unclear` and the like included; every stratum gives as many images as the
    others, or all it has, and each image of stratum s has the probability n_s/N_s.

    Raises:
        UsageError: if the run is not complete or not labelled, has no image, or an attribute is not known.
    """
    if images < 1:
        raise UsageError(f"images must be at least 1 (got {images}). Ask for --images 100.")
    _complete(store)
    questions = _asked(store, attributes)
    table = _candidates(store)
    if table.empty:
        raise UsageError(f"{store.root} has no image that could be labelled: none was made.")
    strata = _strata(store, table["sample_id"].tolist()) if stratified else [human.EVERY] * len(table)
    names = sorted(set(strata))
    if images < len(names):
        raise UsageError(
            f"--stratified needs an image of every answer that occurs: {', '.join(names)} (got images {images}). "
            f"Ask for --images {len(names)} or more."
        )
    rng = np.random.default_rng(seed)
    codes = {name: f"s{number}" for number, name in enumerate(rng.permutation(names).tolist(), 1)}
    places, chances = choose(strata, images, rng)
    picked = [strata[place] for place in places]
    rows = table.iloc[places].assign(
        stratum=picked,
        code=[codes[name] if stratified else human.EVERY for name in picked],
        sampling_probability=chances,
        seed=seed,
    )
    return Draw(rows.reset_index(drop=True), questions, len(table))


def choose(strata: Sequence[str], images: int, rng: np.random.Generator) -> tuple[list[int], list[float]]:
    """Draw at random, without putting back, equally many from each stratum.

    Args:
        strata: the stratum of every image.
        images: how many to draw; all, if there are fewer.
        rng: random numbers.

    Returns:
        Positions of the images drawn, in random order, and the probability n_s/N_s with which each was drawn.
    """
    members: dict[str, list[int]] = {}
    for place, name in enumerate(strata):
        members.setdefault(name, []).append(place)
    shares = allot({name: len(each) for name, each in members.items()}, images)
    drawn = [rng.choice(members[name], shares[name], replace=False) for name in sorted(members)]
    places: list[int] = rng.permutation(np.concatenate(drawn)).tolist()
    return places, [shares[strata[place]] / len(members[strata[place]]) for place in places]


def allot(sizes: Mapping[str, int], images: int) -> dict[str, int]:
    """Places for every stratum: equally many, but none more than it has; what is left over goes to the others."""
    left, places = images, {}
    for rest, name in zip(range(len(sizes), 0, -1), sorted(sizes, key=lambda name: (sizes[name], name)), strict=True):
        places[name] = min(sizes[name], -(-left // rest))
        left -= places[name]
    return places


def _complete(store: Store) -> None:
    made, batches = len(store.samples.batches()), store.record()["plan"]["batches"]
    if made < batches:
        raise UsageError(
            f"{store.root} is not complete: {made} of {batches} batches are made. "
            "Run the command that began it again to continue."
        )
    if not store.classifiers():
        raise UsageError(f"{store.root} has no complete labels of any classifier. Run: rolecall label {store.root}")


def _asked(store: Store, attributes: Sequence[str] | str | None) -> tuple[tuple[str, tuple[str, ...]], ...]:
    known = dict(human.questions(store))
    if isinstance(attributes, str):
        attributes = [part.strip() for part in attributes.split(",") if part.strip()]
    for name in attributes or ():
        if name not in known:
            raise UsageError(f"attribute {name!r} was not labelled in {store.root}. {nearest(name, known)}")
    return tuple((name, known[name]) for name in dict.fromkeys(attributes or known))


def _candidates(store: Store) -> pd.DataFrame:
    """The images that may be drawn, in order of sample_id."""
    import pyarrow as pa
    import pyarrow.compute as pc

    probes = store.probes()
    single = [probe.probe_id for probe in probes if probe.people == "one"] or [probe.probe_id for probe in probes]
    wanted = pa.array(single, pa.string())
    columns = ["sample_id", "probe_id", "index", "outcome", "file", "offset", "length"]
    parts = [
        table.filter(pc.and_(pc.equal(table["outcome"], "ok"), pc.is_in(table["probe_id"], value_set=wanted)))
        for *_, table in store.sample_parts(columns)
    ]
    found: pd.DataFrame = pa.concat_tables(parts).drop_columns(["outcome"]).to_pandas()
    return found.sort_values("sample_id", kind="stable").reset_index(drop=True)


def _strata(store: Store, samples: Sequence[str]) -> list[str]:
    """The answer of the first classifier to the primary attribute for every image."""
    record = store.record()
    attribute = (record.get("primary") or {}).get("attribute")
    for name in human.ordered_classifiers(store):
        asked = [question["attribute"] for question in record["classifiers"][name]["questions"]]
        if attribute is None or attribute in asked:
            found = human.predictions(store, name, samples)
            rows = found[found["attribute"] == (attribute or asked[0])]
            answers = dict(zip(rows["sample_id"].tolist(), rows["predicted"].tolist(), strict=True))
            return [answers[sample] for sample in samples]
    raise UsageError(f"{store.root} has no labels of its primary attribute {attribute!r}. Leave --stratified out.")
