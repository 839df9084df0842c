"""The command `rolecall`: options in, one call, exit code out.

Exit codes: 0 done or passed, 1 crashed, 2 wrong use, 130 interrupted. Heavy libraries are imported by the verbs, not
here, so that `rolecall --help` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from audit.commands import card, compare, gate, report
from audit.options import ConfigCommand

if TYPE_CHECKING:
    from audit.grid import Grid
    from audit.progress import Progress
    from audit.results import Run

IMPORT_KEYS = (
    "out",
    "classifier",
    "wordings",
    "attributes",
    "margin",
    "label_dtype",
    "label_batch_size",
    "reference",
    "calibration",
    "primary",
    "error_rates",
    "alpha",
    "delta",
    "draws",
    "seed",
    "device",
    "threads",
    "image_store",
)
TRAINING_KEYS = tuple(key for key in IMPORT_KEYS if key != "image_store")
LABEL_KEYS = ("wordings", "attributes", "margin", "label_dtype", "label_batch_size", "device")


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Progress and result as JSON, for programs."),
        click.option("--quiet", is_flag=True, help="Say nothing while working."),
    ):
        command = option(command)
    return command


def _progress(quiet: bool, as_json: bool) -> Progress:
    from audit.progress import Progress

    return Progress("json" if as_json else "quiet" if quiet else "auto")


def _done(run: Run, as_json: bool) -> None:
    record = run.record
    report = run.path / "report.html"
    if as_json:
        result = {
            "run": str(run.path),
            "complete": run.complete,
            "samples": record["plan"]["samples"],
            "report": str(report) if report.is_file() else None,
        }
        print(json.dumps(result))
    elif report.is_file() and run.complete:
        print(f"Report: {report}")
    else:
        print(f"Run: {run.path}")


def _done_grid(grid: Grid, as_json: bool) -> None:
    page = grid.path / "grid.html"
    if as_json:
        result = {
            "grid": str(grid.path),
            "complete": grid.complete,
            "runs": {name: str(run.path) for name, run in grid.runs.items()},
            "report": str(page) if page.is_file() else None,
        }
        print(json.dumps(result))
    elif page.is_file() and grid.complete:
        print(f"Report: {page}")
    else:
        print(f"Grid: {grid.path}")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="rolecall", message="%(prog)s %(version)s")
def cli() -> None:
    """Audit how text-to-image models portray people.

    `rolecall run` with no argument audits the embedded phantom model: no download, no GPU.
    """


@cli.command(cls=ConfigCommand)
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--shard", default="1/1", metavar="I/N", help="Make the I-th of N parts; the last one makes the tables.")
@_common
def run(config: Path | None, shard: str, quiet: bool, as_json: bool, **options: Any) -> None:
    """Probes → images → labels → tables → report.html.

    CONFIG is a YAML file with the keys below; options win over it. A run that was interrupted continues when the same
    command is given again. With a key `grid` the file describes several runs, which are laid side by side.
    """
    import audit
    from audit.cells import is_grid

    if config is not None and is_grid(config):
        _done_grid(audit.run_grid(config, shard=_shard(shard), progress=_progress(quiet, as_json), **options), as_json)
        return
    _done(audit.run(config, shard=_shard(shard), progress=_progress(quiet, as_json), **options), as_json)


@cli.command("import", cls=ConfigCommand, keys=IMPORT_KEYS)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--table", type=click.Path(path_type=Path), help="A CSV or JSONL: which image has which prompt.")
@click.option("--file-column", help="Column of the table with the file names.")
@click.option("--prompt-column", help="Column of the table with the prompt or subject.")
@click.option("--folders", metavar="LEVELS", help='What the folders\' names say, such as "subject/condition".')
@click.option("--suite", help="A suite whose subjects are looked for, and take over their rows of references.")
@click.option(
    "--grids",
    type=click.Choice(["midjourney", "always", "never"]),
    help="Whose pictures are split if they are grids of 2×2. [default: midjourney; never with --human-labels]",
)
@click.option("--human-labels", type=click.Path(path_type=Path), help="A CSV of labels that people gave to the images.")
@click.option("--codes", type=click.Path(path_type=Path), help="The YAML that says what the cells of that CSV mean.")
@click.option("--name", help="What the model is called in tables and report; by default the folder's name.")
@_common
def import_(folder: Path, quiet: bool, as_json: bool, **options: Any) -> None:
    """The same for images that others made.

    Prompts come from a table, from the images themselves, or from the names of folders and files. The originals are
    never changed.
    """
    import audit

    _done(audit.import_folder(folder, progress=_progress(quiet, as_json), **_set(options)), as_json)


@cli.command("training", cls=ConfigCommand, keys=TRAINING_KEYS)
@click.argument("collection")
@click.option("--suite", default="occupations", show_default=True, help="The suite whose subjects are looked for.")
@click.option("--keep-images", type=int, default=0, metavar="N", help="Keep N random images for people to label.")
@click.option("--name", help="What the collection is called in tables and report; by default its own name.")
@_common
def training_(collection: str, quiet: bool, as_json: bool, **options: Any) -> None:
    """Audit images and captions that a model was trained on, to compare it with: --reference training:RUN.

    COLLECTION is a folder of images with captions, a WebDataset tar, a Parquet file, a folder of these, or a pattern
    such as 'train/{000..127}.tar'. Captions say whom an image shows. Images of real people are counted, not kept.
    """
    import audit

    _done(audit.import_training(collection, progress=_progress(quiet, as_json), **_set(options)), as_json)


@cli.command(cls=ConfigCommand, keys=LABEL_KEYS)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--classifier", help="Another classifier; by default the run's own, with what is changed below.")
@click.option("--name", help="What the new labels are called.")
@_common
def label(run: Path, quiet: bool, as_json: bool, **options: Any) -> None:
    """Label RUN again with other classifiers, attributes or wordings.

    Other wordings, classes or margins work from the stored embeddings; another classifier reads the stored images.
    """
    import audit

    _done(audit.label(run, progress=_progress(quiet, as_json), **_set(options)), as_json)


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--reference", help="References to compare with: names or paths, with commas.")
@click.option("--calibration", help="Labels of other images: CSVs (attribute, true, predicted) or labelled runs.")
@click.option("--error-rates", help="A YAML file with the classifier's error rates, for runs without human labels.")
@click.option("--claim", type=click.Choice(["list", "population"]), help="About these probes, or about such probes.")
@_common
def analyze(
    run: Path, reference: str | None, calibration: str | None, quiet: bool, as_json: bool, **options: Any
) -> None:
    """Make the tables of RUN again, with the same references or others, or with what is known of the labels' errors."""
    import audit

    names, others = (
        [name.strip() for name in given.split(",")] if given else None for given in (reference, calibration)
    )
    progress = _progress(quiet, as_json)
    _done(audit.analyze(run, reference=names, calibration=others, progress=progress, **_set(options)), as_json)


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--images", type=click.IntRange(min=1), default=100, show_default=True, help="How many images.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write it; by default annotate.html in RUN.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the draw.")
@click.option("--stratified", is_flag=True, help="Equally many images of every answer of the classifier.")
@click.option("--attributes", help="Which attributes to ask, with commas; by default all.")
@click.option("--lang", type=click.Choice(["en", "de"]), default="en", show_default=True, help="Language of the sheet.")
@click.option("--read", is_flag=True, help="Take labels back from FILES and make the tables again.")
@click.option("--truth", is_flag=True, help="Label with the known truth instead (phantom-drawn only).")
@_common
def annotate(
    run: Path, files: tuple[Path, ...], read: bool, truth: bool, quiet: bool, as_json: bool, **options: Any
) -> None:
    """Write a sheet on which people label images of RUN, or take their labels back.

    The sheet is one HTML file, used offline by any number of people; each gives back a CSV. With their labels all
    tables carry shares that are corrected for the errors of the classifier.

    \b
    rolecall annotate RUN --images 200
    rolecall annotate RUN --read labels-anna.csv labels-ben.csv
    """
    import audit

    progress = _progress(quiet, as_json)
    if read != bool(files) or (read and truth):
        raise click.UsageError("give files with --read, and --read with files: rolecall annotate RUN --read FILE …")
    if read:
        _done(audit.read_labels(run, files, progress=progress), as_json)
        return
    if truth:
        drawn = {key: options[key] for key in ("images", "seed", "stratified", "attributes")}
        _done(audit.read_truth(run, progress=progress, **drawn), as_json)
        return
    path = audit.annotate(run, progress=progress, **options)
    print(json.dumps({"sheet": str(path)}) if as_json else f"Sheet: {path}")


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--imagefolder", type=click.Path(path_type=Path), metavar="DIR", help="Write a Hugging Face imagefolder.")
@click.option("--fiftyone", type=click.Path(path_type=Path), metavar="DIR", help="Write a folder that FiftyOne reads.")
@click.option("--baseline", type=click.Path(path_type=Path), metavar="FILE", help="Write a baseline file for the gate.")
@click.option("--force", is_flag=True, help="Replace an earlier export in DIR.")
@_common
def export(run: Path, baseline: Path | None, force: bool, quiet: bool, as_json: bool, **options: Any) -> None:
    """Write the images of RUN with their labels for other tools.

    Images that RUN made itself carry the IPTC fields for media made by AI; all others are copied as they are.

    \b
    rolecall export RUN --imagefolder DIR
    rolecall export RUN --fiftyone DIR
    rolecall export RUN --baseline baseline.json
    """
    import audit

    if baseline is not None:
        path = audit.export_baseline(run, baseline)
        print(json.dumps({"baseline": str(path)}) if as_json else f"Baseline: {path}")
        if not _set(options):
            return
    done = audit.export(run, force=force, progress=_progress(quiet, as_json), **_set(options))
    print(json.dumps({**vars(done), "path": str(done.path)}) if as_json else done)


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("samples", nargs=-1, required=True, metavar="SAMPLE...")
@_common
def forget(run: Path, samples: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Remove images from RUN, and all that was derived from them; the counts stay as they are.

    A SAMPLE is its sample_id, or PROBE/INDEX as images are filed. This cannot be undone.
    """
    import audit

    done = audit.forget(run, samples, progress=_progress(quiet, as_json))
    print(json.dumps({**vars(done), "path": str(done.path)}) if as_json else done)


@cli.command("power", cls=ConfigCommand, model="audit.planning:Question")
@click.option("--json", "as_json", is_flag=True, help="The plan as JSON, for programs.")
def power_(as_json: bool, **options: Any) -> None:
    """Probes and images needed to find a difference, and what they cost.

    In words and as tables: for one probe against its reference, for a change of the gap between two runs, for passing
    the gate, and with label noise.
    """
    from audit.planning import power

    plan = power(**options)
    print(json.dumps(plan.to_dict()) if as_json else plan)


@cli.command()
@click.argument("name", required=False)
@click.option("--check", is_flag=True, help="Say what is doubtful in the suite.")
def suites(name: str | None, check: bool) -> None:
    """List the suites, or show and check the suite NAME (or the suite in a file)."""
    from audit.listing import list_suites, show_suite

    for line in show_suite(name, check=check) if name else list_suites():
        print(line)


@cli.command()
@click.argument("name", required=False)
def references(name: str | None) -> None:
    """List the references, or show the card and the rows of NAME (or of a CSV, run:PATH, training:PATH)."""
    from audit.listing import list_references, show_reference

    for line in show_reference(name) if name else list_references():
        print(line)


cli.add_command(gate)
cli.add_command(card)
cli.add_command(report)
cli.add_command(compare)


def _shard(text: str) -> tuple[int, int]:
    try:
        part, parts = (int(number) for number in text.split("/"))
    except ValueError:
        part, parts = 0, 0
    if not 1 <= part <= parts:
        raise click.UsageError(f"--shard must be I/N with 1 ≤ I ≤ N, such as 1/4 (got {text!r}).")
    return part, parts


def _set(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _mendable(error: BaseException) -> bool:
    """True if the error is one that the user can mend: its message is one line and needs no traceback."""
    return any(kind.__name__ in _KINDS and kind.__module__.split(".")[0] in _OURS for kind in type(error).__mro__)


_OURS = ("audit", "probes", "reports")
_KINDS = (
    "UsageError",
    "ReportError",
    "SuiteError",
    "WorldError",
    "GeneratorError",
    "ClassifierError",
    "ReferenceDataError",
)


def _fail(message: str, code: int) -> NoReturn:
    print(f"rolecall: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code."""
    try:
        cli.main(list(arguments) if arguments is not None else None, prog_name="rolecall", standalone_mode=False)
    except click.exceptions.Exit as leave:
        raise SystemExit(leave.exit_code) from None
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted. What was made is kept; run the same command again to continue.", 130)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except OSError as error:
        from errno import EDQUOT, EFBIG, ENOSPC

        if error.errno not in (ENOSPC, EDQUOT, EFBIG):
            raise
        _fail(f"the disk is full: {error.filename or 'a file'} could not be written. Free some room and try again.", 2)
    except Exception as error:
        if not _mendable(error):
            raise
        _fail(str(error), 2)
