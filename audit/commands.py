"""The commands that speak of a finished run: `rolecall gate`, `rolecall card`. `audit.cli` adds them to the others."""

from __future__ import annotations

import json
from pathlib import Path

import click


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
    init: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Whether RUN keeps to a policy: pass (exit code 0), fail (3) or inconclusive (4).

    Without a policy the gap of each attribute may worsen by .05 against the baseline. From stored runs this needs
    neither model nor classifier nor network.

    \b
    rolecall gate RUN --baseline baseline.json
    rolecall gate RUN --init
    """
    from audit.gating import gate as judge
    from audit.gating import write_policy
    from audit.policy import find_policy
    from reports import ci

    if init:
        print(f"Policy: {write_policy(run, policy or Path('gate.yaml'))}")
        return
    verdict = judge(run, baseline=baseline, policy=policy or find_policy(Path()))
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
        for line in () if quiet else said["lines"]:
            print(f"  {ci.sentence(line)}")
    raise SystemExit(verdict.exit_code)


FORMS = ("markdown", "model-index", "eval-results", "every-eval-ever")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--form", type=click.Choice(FORMS), default="markdown", show_default=True, help="Which form.")
@click.option("--out", type=click.Path(path_type=Path), help="Write here; by default it is printed.")
@click.option("--model", help="Name of the model in model-index; by default that of the run.")
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
    if out is None:
        print(text, end="")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    print(f"Card: {out}")
