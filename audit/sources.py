"""Where the images of a run come from: made by a generator, or imported from a folder."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from audit.pictures import decode_foreign, encode
from probes.generators.base import Generator, Outcome, Request
from probes.importers.filenames import shown
from probes.importers.grids import tile_of
from probes.importers.provenance import read_provenance
from probes.plan import Plan, Sample, digest_of

if TYPE_CHECKING:
    from probes.importers.folder import Import, ImportedImage


@dataclass(frozen=True)
class Made:
    """One sample with its outcome, and the bytes and pixels of its image if there is one."""

    sample_id: str
    probe_id: str
    index: int
    seed: int
    outcome: Outcome
    reason: str = ""
    data: bytes = b""
    suffix: str = ".webp"
    image: Image.Image | None = None
    details: dict[str, Any] = field(default_factory=dict)


class Source(Protocol):
    """Samples cut into numbered batches; any batch can be made alone, and is then the same."""

    title: str
    """What is being done, for the progress bar."""
    counts_only: bool
    """Whether nothing of single images may be kept: no image, embedding, person or score."""

    def __len__(self) -> int:
        """Number of batches."""
        ...

    def size(self, number: int) -> int:
        """Number of samples in batch `number`."""
        ...

    def make(self, number: int) -> list[Made]:
        """The samples of batch `number`."""
        ...


class GeneratedSource:
    """Images made by a generator according to a plan."""

    counts_only = False

    def __init__(self, plan: Plan, generator: Generator) -> None:
        self.plan = plan
        self.generator = generator
        self.title = f"Asking {generator.name} and labelling"

    def __len__(self) -> int:
        return len(self.plan)

    def size(self, number: int) -> int:
        """Number of samples in batch `number`."""
        return min(self.plan.batch_size, self.plan.samples - number * self.plan.batch_size)

    def make(self, number: int) -> list[Made]:
        """The samples of batch `number`; a short last batch is padded with copies, which are thrown away."""
        return self._made(self.plan.batch(number).samples)

    def _made(self, samples: Sequence[Sample]) -> list[Made]:
        requests = [Request(sample.prompt, sample.seed) for sample in samples]
        if self.generator.fixed_batches:
            requests += [requests[-1]] * (self.plan.batch_size - len(requests))
        results = self.generator.generate(requests)[: len(samples)]
        made = []
        for sample, result in zip(samples, results, strict=True):
            row = Made(
                sample.sample_id,
                sample.probe_id,
                sample.index,
                sample.seed,
                result.outcome,
                result.reason,
                details=dict(result.details),
            )
            if result.image is not None and result.outcome == "ok":
                image = result.image.convert("RGB")
                row = dataclasses.replace(row, data=encode(image), image=image)
            made.append(row)
        return made


class RoundSource(GeneratedSource):
    """Images made in rounds: each round asks the next images of the probes that are still open.

    A batch holds images of one probe only, and batches are numbered in the order in which they are asked for. With a
    generator of fixed batches an image is the same as in a run that makes all of them, since batches are padded to the
    same size and neighbours do not matter.
    """

    def __init__(self, plan: Plan, generator: Generator, round_images: int) -> None:
        super().__init__(plan, generator)
        self.step = max(1, round(round_images / plan.batch_size)) * plan.batch_size
        """Images of an open probe per round: whole batches, as near to `round_images` as they come."""
        self._places: list[tuple[int, int]] = []

    def ask(self, rounds: int, probes: Sequence[int]) -> range:
        """Ask the next images of these probes, by position, after so many rounds: the numbers of the new batches."""
        before = len(self._places)
        last = min((rounds + 1) * self.step, self.plan.images)
        for probe in probes:
            self._places += [(probe, first) for first in range(rounds * self.step, last, self.plan.batch_size)]
        return range(before, len(self._places))

    def asked(self) -> list[int]:
        """Images asked so far, by probe."""
        images = [0] * len(self.plan.probes)
        for number, (probe, _) in enumerate(self._places):
            images[probe] += self.size(number)
        return images

    def __len__(self) -> int:
        return len(self._places)

    def size(self, number: int) -> int:
        """Number of samples in batch `number`."""
        return min(self.plan.batch_size, self.plan.images - self._places[number][1])

    def make(self, number: int) -> list[Made]:
        """The samples of batch `number`."""
        return self._made(self.plan.part(number, *self._places[number]).samples)


def imported_id(item: ImportedImage) -> str:
    """The `sample_id` of an imported image: of a part of a grid or of an archive another than that of the whole."""
    named: dict[str, Any] = {"imported": shown(Path(item.path).name), "probe": item.probe_id, "index": item.index}
    if item.length:
        named["member"] = PurePosixPath(item.name).name
    if item.tile is not None:
        named["tile"] = item.tile
    return digest_of(named)


class ImportedSource:
    """Images that others made. Their bytes are kept as they are; of a grid, each picture is kept for itself."""

    batch_size = 16
    counts_only = False

    def __init__(self, imported: Import) -> None:
        self.images: Sequence[ImportedImage] = tuple(imported.images)
        self.title = "Reading and labelling"

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def size(self, number: int) -> int:
        """Number of samples in batch `number`."""
        return len(self._batch(number))

    def make(self, number: int) -> list[Made]:
        """The samples of batch `number`; a file that is no whole image is `failed`, with the reason.

        `details` gain `pixels`, a digest of what is seen; `provenance`, what Content Credentials in the file say; and
        `grid_of` (SHA-256 of the file, whose name may hold its maker's) and `tile` for a picture of a grid.
        """
        return [_imported(item) for item in self._batch(number)]

    def _batch(self, number: int) -> Sequence[ImportedImage]:
        return self.images[number * self.batch_size : (number + 1) * self.batch_size]


def _imported(item: ImportedImage) -> Made:
    name = item.name or Path(item.path).name
    details = dict(item.details)
    row = Made(imported_id(item), item.probe_id, item.index, 0, "failed", item.reason, details=details)
    if item.reason:
        return row
    try:
        data = item.read()
        if not data:
            raise OSError("the file is empty")
        said = read_provenance(data)
        if said is not None:
            details["provenance"] = said.entry()
        image = decode_foreign(data)
    except OSError as error:
        return dataclasses.replace(row, reason=f"the image cannot be read: {error.strerror or error}")
    suffix = PurePosixPath(name).suffix.lower()
    if item.tile is not None:
        details |= {"grid_of": hashlib.sha256(data).hexdigest(), "tile": item.tile}
        image = tile_of(image, item.tile)
        data, suffix = encode(image), ".webp"
    details["pixels"] = pixel_digest(image)
    return dataclasses.replace(row, outcome="ok", data=data, suffix=suffix, image=image)


def pixel_digest(image: Image.Image) -> str:
    """SHA-256 of width, height and RGB pixels: the same for all files that show exactly the same."""
    digest = hashlib.sha256(b"%dx%d:" % image.size)
    digest.update(image.tobytes())
    return digest.hexdigest()
