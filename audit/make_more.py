"""Further images of a stored run, made with its own model and labelled by its own classifiers: `gate --make-more`.

An extension is a further plan of its own: the images of every probe from the number that there are to a larger one, cut
into batches that are numbered on from the last one. What is begun stands in run.json, as `extended`, before its first
image, so that one that was killed is incomplete like any other run, and the same command continues it. Seeds and sample
ids are those of a run that was asked for so many images at once, and so are the images where they depend on the size of
their batch only, not on its other images, as in runs that stop when decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from audit.config import Config
from audit.errors import UsageError
from audit.progress import Progress
from audit.record import settle_threads
from audit.sources import GeneratedSource, Made
from audit.store import Store, now

if TYPE_CHECKING:
    from audit.classifiers.base import Classifier
    from probes.generators.base import Generator
    from probes.plan import Plan


class FurtherSource(GeneratedSource):
    """The images of a plan that continues a run, in batches numbered on from those it has."""

    def __init__(self, plan: Plan, generator: Generator, before: int) -> None:
        super().__init__(plan, generator)
        self.before = before
        self.title = f"Asking {generator.name} for more, up to {plan.images} images a probe"

    def __len__(self) -> int:
        """Number of batches of the whole run."""
        return self.before + len(self.plan)

    def size(self, number: int) -> int:
        """Number of samples in batch `number`."""
        return super().size(number - self.before)

    def make(self, number: int) -> list[Made]:
        """The samples of batch `number`."""
        return super().make(number - self.before)


class Maker:
    """Extends one run; the model is loaded when the first image is to be made."""

    def __init__(self, store: Store, progress: Progress | None = None) -> None:
        """Look whether a run can be extended.

        Raises:
            UsageError: if its images were made by others, its probes stopped early, or it was labelled again.
        """
        self.store = store
        self.progress = progress or Progress()
        _check(store)
        self._loaded: tuple[Generator, Sequence[Classifier]] | None = None

    def finish(self) -> None:
        """Make what an extension that was interrupted still lacks, and the tables.

        Raises:
            UsageError: as `extend`.
        """
        record = self.store.record()
        if record.get("extended") and not record["finished"]:
            self._make(record["extended"][-1])

    def extend(self, images: int) -> None:
        """Make further images of every probe, up to so many, label them, and make tables and report again.

        Raises:
            UsageError: if the model or a classifier cannot be loaded, is not the one of the run, or the run would hold
                more images than its `max_images`.
        """
        from audit.spending import watched
        from probes.plan import Plan

        with self.store.lock("extension", wait=False):
            record = self.store.record()
            plan = record["plan"]
            self._load()
            probes = self.store.probes()
            further = Plan(probes, images, plan["seed"], plan["batch_size"], {}, plan["images"])
            batches = plan["batches"] + len(further)
            entry = {
                "begun": now(),
                "from": plan["images"],
                "images": images,
                "first_batch": plan["batches"],
                "batches": batches,
                "earlier_finished": record["finished"],
            }
            samples = plan["samples"] + further.samples
            watched(self.progress, Config(**record["config"]["resolved"]), samples)
            self.store.update(
                plan={**plan, "images": images, "batches": batches, "samples": samples},
                extended=[*(record.get("extended") or ()), entry],
                finished=None,
            )
            self._make(entry)

    def _make(self, entry: Mapping[str, Any]) -> None:
        from audit.provenance import packages
        from audit.runner import make
        from audit.spending import watched
        from audit.verbs import analyze
        from probes.plan import Plan

        store = self.store
        record = store.record()
        probes = store.probes()
        store.settle({probe.probe_id: entry["images"] for probe in probes})
        batches = range(entry["first_batch"], entry["batches"])
        if not set(batches) <= store.samples.batches():
            generator, classifiers = self._load()
            settings = Config(**record["config"]["resolved"])
            plan = Plan(
                probes,
                entry["images"],
                record["plan"]["seed"],
                record["plan"]["batch_size"],
                generator.fingerprint(),
                entry["from"],
            )
            store.log(event="start", extended=entry["images"], threads=record["threads"], packages=packages())
            make(
                store,
                FurtherSource(plan, generator, entry["first_batch"]),
                classifiers,
                image_store=settings.image_store,
                order=batches,
                progress=watched(self.progress, settings, record["plan"]["samples"]),
            )
            store.log(event="stop", extended=entry["images"], complete=True)
        analyze(store.root, progress=self.progress)

    def _load(self) -> tuple[Generator, Sequence[Classifier]]:
        """The run's own model and classifiers.

        Raises:
            UsageError: if they cannot be loaded, or are others now.
        """
        if self._loaded is None:
            from audit.classifiers.registry import load_classifier
            from probes.generators.intervention import intervened
            from probes.generators.registry import load_generator

            record = self.store.record()
            settings = Config(**record["config"]["resolved"])
            threads = settle_threads(settings, self.store.root)
            names = settings.classifier or ()
            self.progress.say(f"Loading {settings.model} and {', '.join(names)}.")
            generator = load_generator(settings.model, **{**settings.generator_options(), "threads": threads})
            generator = intervened(generator, settings.intervention)
            classifiers = [load_classifier(name, **settings.classifier_options()) for name in names]
            here = {settings.model: generator.fingerprint(), "batch size": generator.batch_size}
            here |= {each.name: each.fingerprint() for each in classifiers}
            made = {settings.model: record["identity"]["model"], "batch size": record["plan"]["batch_size"]}
            made |= record["identity"]["classifiers"]
            if others := [name for name in made if made[name] != here.get(name)]:
                raise UsageError(
                    f"{self.store.root} cannot be extended: {', '.join(others)} is not what made the run (weights, "
                    "options or versions differ). Restore it, or make a new run with more images."
                )
            self._loaded = generator, classifiers
        return self._loaded


def _check(store: Store) -> None:
    """Refuse runs that cannot be extended.

    Raises:
        UsageError: in one line.
    """
    record = store.record()
    if (record.get("plan") or {}).get("seed") is None:
        raise UsageError(
            f"--make-more cannot make images of {store.root}: they were made by others. Import more of them, or leave "
            "--make-more out."
        )
    if record.get("sequential"):
        raise UsageError(
            f"--make-more cannot extend {store.root}: it stopped its probes when they were decided. Make a run with a "
            "fixed number of images."
        )
    if again := sorted(set(record["classifiers"]) - set(record["identity"]["classifiers"])):
        raise UsageError(
            f"--make-more cannot extend {store.root}: it was labelled again by {', '.join(again)}, and the new images "
            "would lack these labels. Make a new run with more images."
        )
