"""`rolecall card` in Python: an audit in the forms that a model's card takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from audit.commands import FORMS
from audit.errors import UsageError, nearest
from audit.store import Store

if TYPE_CHECKING:
    from audit.results import Run


def card(
    run: str | Path | Run,
    *,
    form: str = "markdown",
    model: str | None = None,
    dataset: str | None = None,
    organization: str | None = None,
) -> str:
    """An audit for a model's card.

    Args:
        run: a complete run.
        form: `markdown` (a section), `model-index` (YAML for the head of the card), `eval-results` (YAML for
            `.eval_results/`) or `every-eval-ever` (JSON).
        model: name of the model in `model-index` and its id in `every-eval-ever`; by default its name in the run.
        dataset: id of the benchmark's dataset on the hub; `eval-results` needs it.
        organization: who made the audit; `every-eval-ever` needs it.

    Returns:
        The text.

    Raises:
        UsageError: if there is no such form, it lacks what it needs, or the run has no tables.
    """
    from audit.analysis import view
    from reports import model_card

    if form not in FORMS:
        raise UsageError(f"no form {form!r} of a card. {nearest(form, FORMS)}")
    if form == "eval-results" and not dataset:
        raise UsageError("eval-results belong to a dataset on the hub. Name it with --dataset OWNER/NAME.")
    if form == "every-eval-ever" and not organization:
        raise UsageError("every-eval-ever asks who made the audit. Say it with --organization NAME.")
    shown = view(Store.open(Path(run) if isinstance(run, str | Path) else run.path))
    if form == "model-index":
        return model_card.model_index(shown, model)
    if form == "eval-results":
        return model_card.eval_results(shown, str(dataset))
    if form == "every-eval-ever":
        return model_card.every_eval_ever(shown, organization=str(organization), model=model)
    return model_card.markdown(shown)
