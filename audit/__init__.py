"""Audits how text-to-image models portray people.

>>> import audit
>>> run = audit.run(images=8)            # the embedded phantom; no download, no GPU
>>> run.shares("gender")                 # a DataFrame: share of each class by probe, with intervals
>>> run.report()                         # one self-contained HTML file

Make: `run` asks a model, `run_grid` one in several ways, `import_folder` takes images that others made,
`import_training` those that a model was trained on; `power` plans images and probes.
Work on: `open` and `open_grid` open what was made; `label` and `analyze` label it and make its tables again;
`annotate` writes a sheet on which people label images, `read_labels` takes their labels back, `read_truth` the known
truth of drawn ones; `forget` removes images.
Judge and tell: `compare` lays two runs side by side, `gate` gives a verdict, `export_baseline` keeps what both need;
`card` and `methods` say it for a model's card and for a paper, `export` for other tools.

Each error that you can mend is a `UsageError` (or a `SuiteError`, `GeneratorError`, `ClassifierError`,
`ReferenceDataError`) of one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.annotation import annotate, read_truth
    from audit.cards import card
    from audit.comparing import Comparison, compare
    from audit.describing import methods
    from audit.errors import UsageError
    from audit.exporting import export
    from audit.forgetting import forget
    from audit.gating import export_baseline, gate
    from audit.grid import Grid, open_grid, run_grid
    from audit.human import read_labels
    from audit.importing import import_folder
    from audit.planning import power
    from audit.results import Run
    from audit.training import import_training
    from audit.verbs import analyze, label, open, run

__all__ = [
    "Comparison",
    "Grid",
    "Run",
    "UsageError",
    "analyze",
    "annotate",
    "card",
    "compare",
    "export",
    "export_baseline",
    "forget",
    "gate",
    "import_folder",
    "import_training",
    "label",
    "methods",
    "open",
    "open_grid",
    "power",
    "read_labels",
    "read_truth",
    "run",
    "run_grid",
]

_HOMES = {
    "Comparison": "audit.comparing",
    "Grid": "audit.grid",
    "Run": "audit.results",
    "UsageError": "audit.errors",
    "analyze": "audit.verbs",
    "annotate": "audit.annotation",
    "card": "audit.cards",
    "compare": "audit.comparing",
    "export": "audit.exporting",
    "export_baseline": "audit.gating",
    "forget": "audit.forgetting",
    "gate": "audit.gating",
    "import_folder": "audit.importing",
    "import_training": "audit.training",
    "label": "audit.verbs",
    "methods": "audit.describing",
    "open": "audit.verbs",
    "open_grid": "audit.grid",
    "power": "audit.planning",
    "read_labels": "audit.human",
    "read_truth": "audit.annotation",
    "run": "audit.verbs",
    "run_grid": "audit.grid",
}


def __getattr__(name: str) -> Any:
    """Load a verb when it is first used, so that `import audit` stays light."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'audit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
