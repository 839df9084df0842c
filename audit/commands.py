"""The commands on finished runs: `rolecall gate`, `card`, `compare`, `report`. `audit.cli` adds them to the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from audit.comparing import Comparison
    from audit.grid import Grid
    from audit.results import Run


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--baseline", type=click.Path(path_type=Path), help="The run or baseline file to compare with.")
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    help="A gate.yaml, or a pyproject.toml with [tool.rolecall.gate]; by default the one here.",
)
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML here: a test case a line.")
@click.option("--summary", type=click.Path(path_type=Path), help="Append Markdown here, such as $GITHUB_STEP_SUMMARY.")
@click.option("--comment", type=click.Path(path_type=Path), help="Write Markdown for a comment here.")
@click.option(
    "--make-more",
    type=click.IntRange(min=1),
    metavar="IMAGES",
    help="While it is inconclusive, make further images of RUN, up to so many a probe, and look again.",
)
@click.option("--init", is_flag=True, help="Write a commented policy from RUN instead, to --policy or gate.yaml.")
@click.option("--json", "as_json", is_flag=True, help="The verdict as JSON, for programs.")
@click.option("--quiet", is_flag=True, help="Say nothing but the verdict.")
def gate(
    run: Path,
    baseline: Path | None,
    policy: Path | None,
    junit: Path | None,
    summary: Path | None,
    comment: Path | None,
    make_more: int | None,
    init: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Whether RUN keeps to a policy: pass (exit code 0), fail (3) or inconclusive (4).

    Without a policy the gap of each attribute may worsen by .05 against the baseline. From stored runs this needs
    neither model nor classifier nor network; only --make-more loads the model that made RUN. The looks of such a gate
    share its error rates.

    \b
    rolecall gate RUN --baseline baseline.json
    rolecall gate RUN --baseline baseline.json --make-more 200
    rolecall gate RUN --init
    """
    from audit.gating import gate as judge
    from audit.gating import withdraw, write_policy
    from audit.policy import find_policy
    from audit.progress import Progress
    from reports import ci

    if init:
        print(f"Policy: {write_policy(run, policy or Path('gate.yaml'))}")
        return
    withdraw(run)
    progress = Progress("json" if as_json else "quiet" if quiet else "auto")
    chosen = policy or find_policy(Path())
    verdict = judge(run, baseline=baseline, policy=chosen, make_more=make_more, progress=progress)
    said = verdict.to_dict()
    for path, text in ((junit, ci.junit), (comment, ci.summary)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text(said), encoding="utf-8")
    if summary is not None:
        with summary.open("a", encoding="utf-8") as file:
            file.write(ci.summary(said))
    if as_json:
        print(json.dumps(said))
    else:
        print(verdict)
        for text in () if quiet else (*map(ci.sentence, said["lines"]), *said["notes"]):
            print(f"  {text}")
    raise SystemExit(verdict.exit_code)


@click.command()
@click.argument("new", type=click.Path(path_type=Path))
@click.argument("old", type=click.Path(path_type=Path))
@click.option("--reference", help="References to measure the gaps from: names or paths, with commas.")
@click.option("--claim", type=click.Choice(["list", "population"]), help="About these probes, or about such probes.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; by default comparisons/OLD in NEW.")
@click.option(
    "--report",
    "with_report",
    is_flag=True,
    help="Also write compare.html: figures, and the same seeds beside each other.",
)
@click.option("--no-images", is_flag=True, help="Leave the images out of the page.")
@click.option("--blur", is_flag=True, help="Blur the images before they are embedded.")
@click.option("--lang", type=click.Choice(["en", "de"]), default="en", help="Language of the page. [default: en]")
@click.option("--json", "as_json", is_flag=True, help="What changed as JSON, for programs.")
@click.option("--quiet", is_flag=True, help="Say nothing but where it was written.")
def compare(
    new: Path,
    old: Path,
    reference: str | None,
    claim: str | None,
    out: Path | None,
    with_report: bool,
    no_images: bool,
    blur: bool,
    lang: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """What changed from the run OLD to the run NEW: gaps, probes that moved, missing images, the classifier's errors.

    Images are compared in pairs where both were made from the same seeds. Either side may be a baseline file. Says what
    changed and writes tables; with --report also a page, which shows the same seeds beside each other.

    \b
    rolecall compare runs/v2 baseline.json
    rolecall compare runs/v2 runs/v1 --report
    """
    from audit.comparing import PAGE
    from audit.comparing import compare as compared

    if not with_report and (no_images or blur or lang != "en"):
        raise click.UsageError("--no-images, --blur and --lang are about the page: give them with --report.")
    names = [name.strip() for name in reference.split(",")] if reference else None
    found = compared(new, old, reference=names, claim=claim)
    folder = found.write(out)
    page = found.report(folder / PAGE, images=not no_images, blur=blur, lang=lang) if with_report else None
    if as_json:
        print(json.dumps({**found.to_dict(), "folder": str(folder), "report": str(page) if page else None}))
        return
    if not quiet:
        print(found)
    print(f"Report: {page}" if page else f"Tables: {folder}")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Where to write it; by default report.html in RUN.")
@click.option("--no-images", is_flag=True, help="Leave the images out.")
@click.option("--blur", is_flag=True, help="Blur the images before they are embedded.")
@click.option("--lang", type=click.Choice(["en", "de"]), default="en", help="Language of the report. [default: en]")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="OLD",
    help="Write the page of `rolecall compare RUN OLD` instead.",
)
@click.option("--methods", is_flag=True, help="Print how RUN was made and analysed instead, for a paper, in English.")
@click.option("--bibtex", is_flag=True, help="Print the references of --methods as BibTeX.")
def report(
    run: Path,
    out: Path | None,
    no_images: bool,
    blur: bool,
    lang: str,
    baseline: Path | None,
    methods: bool,
    bibtex: bool,
) -> None:
    """Write the report of RUN again, or the page of a grid; or say how RUN was made, for a paper.

    \b
    rolecall report RUN --lang de
    rolecall report RUN --baseline baseline.json
    rolecall report RUN --methods
    rolecall report RUN --bibtex --out methods.bib
    """
    import audit

    if methods or bibtex:
        if (methods and bibtex) or no_images or blur or lang != "en" or baseline is not None:
            raise click.UsageError(
                "--methods and --bibtex are English texts, one at a time: with them give --out only."
            )
        _print(audit.methods(run, form="bibtex" if bibtex else "markdown"), out, "Methods")
        return
    found: Comparison | Grid | Run
    if baseline is not None:
        found = audit.compare(run, baseline)
    else:
        found = audit.open_grid(run) if (run / "grid.json").is_file() else audit.open(run)
    print(f"Report: {found.report(out, images=not no_images, blur=blur, lang=lang)}")


FORMS = ("markdown", "model-index", "eval-results", "every-eval-ever")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--form", type=click.Choice(FORMS), default="markdown", show_default=True, help="Which form.")
@click.option("--out", type=click.Path(path_type=Path), help="Write here; by default it is printed.")
@click.option("--model", help="Name or id (OWNER/NAME) of the model; by default that of the run.")
@click.option("--dataset", help="Id of the benchmark's dataset on the hub, for eval-results.")
@click.option("--organization", help="Who made the audit, for every-eval-ever.")
def card(
    run: Path, form: str, out: Path | None, model: str | None, dataset: str | None, organization: str | None
) -> None:
    """What goes onto the model's card: a section in Markdown, or the figures in forms that others read.

    \b
    rolecall card RUN
    rolecall card RUN --form model-index
    rolecall card RUN --form eval-results --dataset OWNER/NAME --out .eval_results/rolecall.yaml
    rolecall card RUN --form every-eval-ever --organization NAME
    """
    import audit

    text = audit.card(run, form=form, model=model, dataset=dataset, organization=organization)
    _print(text, out, "Card")


def _print(text: str, out: Path | None, title: str) -> None:
    """Print a text, or write it and say where."""
    if out is None:
        print(text, end="")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    print(f"{title}: {out}")
