"""What shows only over many probes or several attributes: heterogeneity, amplification, intersections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.compared import Matched, Settings
from audit.corrections import status
from audit.counts import Counts, JointCounts
from audit.statistics.amplification import amplification
from audit.statistics.heterogeneity import prompts_differ
from audit.statistics.intersections import expected, independence
from audit.statistics.intervals import shares, simultaneous
from audit.statistics.multiplicity import benjamini_hochberg

if TYPE_CHECKING:
    from probes.suite import Probe

HETEROGENEITY = ("classifier", "attribute", "probes", "images", "chi_square", "p_value", "cramers_v", "status")
"""Columns of heterogeneity.csv."""
AMPLIFICATION = (
    *("classifier", "attribute", "class", "reference", "probes", "images", "slope", "slope_low", "slope_high"),
    *("intercept", "dispersion", "slope_p_value", "excess", "excess_low", "excess_high"),
    *("correlation", "correlation_low", "correlation_high"),
    *("difference", "difference_low", "difference_high", "growth", "growth_low", "growth_high"),
    *("evidence", "conclusion", "status"),
)
"""Columns of amplification.csv."""
INTERSECTIONS = (
    *("classifier", "attributes", "probe_id", "subject", "cell", "count", "n", "share"),
    *("share_low_all", "share_high_all", "expected", "independence_p", "independence_p_adjusted", "status"),
)
"""Columns of intersections.csv."""
DRAWS = 2_000
"""Most simulated tables of a test whose tables are costly: of all probes at once, or one a probe and pair."""

SUBJECTS = 8
"""Subjects that it takes to say whether a model follows its reference: over fewer, slopes are anything."""
ENOUGH = 100
"""Simulated tables at least as far from independence after which a test of it ends: p is then within a tenth."""


def heterogeneity(counts: Counts, shown: npt.NDArray[np.bool_], settings: Settings) -> pd.DataFrame:
    """Whether the probes that may be compared differ from each other: one row."""
    names = counts.table["probe_id"].to_numpy()
    order = np.argsort(names, kind="stable")
    x = counts.array()[order][shown[order]]
    found = prompts_differ(
        x, draws=min(settings.draws, DRAWS), rng=settings.rng(counts.classifier, counts.attribute, "heterogeneity")
    )
    row = {
        "classifier": counts.classifier,
        "attribute": counts.attribute,
        "probes": int((x.sum(axis=1) > 0).sum()),
        "images": int(x.sum()),
        "chi_square": found.chi_square,
        "p_value": found.p_value,
        "cramers_v": found.cramers_v,
        "status": status(False),
    }
    return pd.DataFrame([row])


def amplify(counts: Counts, matched: Matched, settings: Settings, *, declared: bool) -> pd.DataFrame:
    """Each class beside a reference that varies by probe; no row where it does not, or for fewer than `SUBJECTS`
    subjects. Two classes are one statement."""
    known = matched.known
    subjects = counts.table["subject"].to_numpy()
    x = counts.array()
    n = x.sum(axis=1)
    rows: list[dict[str, Any]] = []
    k = len(counts.classes)
    for c, name in enumerate(counts.classes if k > 2 else counts.classes[:1]):
        r = known[:, c]
        usable = ~np.isnan(r)
        if np.unique(subjects[usable & (n > 1)]).size < SUBJECTS or np.ptp(r[usable]) < 1e-9:
            continue
        whole = not np.isnan(matched.whole[:, c]).all()
        found = amplification(
            x[:, c],
            n,
            r,
            subjects=subjects,
            reference_n=matched.sizes,
            even=1 / k if whole else 0.5,
            level=1 - settings.alpha,
        )
        rows.append(
            {
                "classifier": counts.classifier,
                "attribute": counts.attribute,
                "class": name,
                "reference": matched.reference,
                **found._asdict(),
                **dict.fromkeys(AMPLIFICATION[-9:-3], np.nan),  # filled where the reference counts images: amplified.py
                **dict.fromkeys(AMPLIFICATION[-3:-1], ""),
                "status": status(declared),
            }
        )
    return pd.DataFrame(rows, columns=list(AMPLIFICATION))


def intersect(cells: JointCounts, probes: Mapping[str, Probe], settings: Settings) -> pd.DataFrame:
    """Shares of the cells of several attributes in the probes of one person, beside the product of their margins.

    A probe that names a class of one of the attributes is left out. Tests of independence are adjusted over the
    probes (Benjamini–Hochberg).
    """
    order = [j for j in np.argsort(np.array(cells.probe_ids), kind="stable") if _may(cells, probes[cells.probe_ids[j]])]
    joint = cells.counts[order]
    if not len(order):
        return pd.DataFrame(columns=list(INTERSECTIONS))
    p = independence(
        joint,
        draws=min(settings.draws, DRAWS),
        rng=settings.rng(cells.classifier, cells.name, "independence"),
        enough=ENOUGH,
    )
    adjusted = benjamini_hochberg(p)
    flat = joint.reshape(len(order), -1)
    ends = simultaneous(flat, 1 - settings.alpha)
    names = np.array([cells.probe_ids[j] for j in order], dtype=object)
    k = flat.shape[1]
    columns: dict[str, Any] = {
        "classifier": cells.classifier,
        "attributes": cells.name,
        "probe_id": names.repeat(k),
        "subject": np.array([probes[name].subject for name in names], dtype=object).repeat(k),
        "cell": list(_cells(cells)) * len(order),
        "count": flat.astype(np.int64).ravel(),
        "n": flat.sum(axis=1).astype(np.int64).repeat(k),
        "share": shares(flat).ravel(),
        "share_low_all": ends.low.ravel(),
        "share_high_all": ends.high.ravel(),
        "expected": expected(joint).reshape(len(order), -1).ravel(),
        "independence_p": p.repeat(k),
        "independence_p_adjusted": adjusted.repeat(k),
        "status": status(False),
    }
    rows = pd.DataFrame(columns)
    place = {name: j for j, name in enumerate(cells.probe_ids)}
    return rows.iloc[np.argsort(rows["probe_id"].map(place).to_numpy(), kind="stable")]


def _may(cells: JointCounts, probe: Probe) -> bool:
    return probe.people == "one" and not set(cells.attributes) & set(probe.asked)


def _cells(cells: JointCounts) -> Iterator[str]:
    return (" × ".join(names) for names in product(*cells.classes))
