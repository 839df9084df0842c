"""What is known of the errors in a run's labels: labels of people, declared rates, or nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.classifiers.base import NOT_MEASURED

if TYPE_CHECKING:
    import pandas as pd

    from audit.calibration import Calibration
    from audit.store import Store
    from reports.view import View


def known_errors(store: Store, view: View, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is known of the errors of each instrument in each attribute, and whence; plain values only.

    Args:
        store: the run.
        view: its tables.
        settings: its configuration as resolved.

    Returns:
        One mapping for each classifier and attribute that has shares: `kind` is one of `reports.evidence.KINDS`.
    """
    from audit.calibration import calibrations
    from audit.human import labels
    from reports.evidence import bases

    others = list(store.record().get("calibration") or [])
    known, imported = calibrations(store, others), labels(store).empty
    named = _declared_rates(store, settings)
    found = []
    for (classifier, attribute), basis in bases(view).items():
        facts: dict[str, Any] = {"classifier": classifier, "attribute": attribute, "kind": basis.name}
        if basis.kind == "calibration" and (classifier, attribute) in known:
            facts |= {"labels": basis.labels, "whole": basis.whole, "others": others, "imported": imported}
            facts |= _labels(known[classifier, attribute], view)
        elif basis.kind == "declared":
            facts |= named(classifier, attribute)
        found.append(facts)
    return found


def _labels(known: Calibration, view: View) -> dict[str, Any]:
    """Who labelled images, how these were drawn, what the labels say, and how shares were corrected with them."""
    from audit.human import TRUTH

    shares = view.shares
    own = (shares["classifier"] == known.classifier) & (shares["attribute"] == known.attribute)
    corrected = set(shares.loc[own & shares["corrected"].notna(), "probe_id"])
    return {
        "raters": len(known.raters),
        "truth": known.raters == (TRUTH,),
        "weighted": known.weighted,
        "alpha": _alpha(view.more.get("agreement"), known.attribute),
        "rates": _rates(view.more.get("calibration"), known.classifier, known.attribute),
        "methods": how_corrected(known, corrected),
    }


def how_corrected(known: Calibration, corrected: Collection[str]) -> list[str]:
    """How `audit.statistics.inversion.corrected_shares` corrected the shares of some probes.

    Args:
        known: what people and the classifier answered for the same images.
        corrected: the probes with a corrected share.

    Returns:
        Of `lang_reiczigel`, `post_stratified` and `score` those that made one of these shares.
    """
    from audit.statistics.inversion import OWN_LABELS

    k = len(known.classes)
    own = {} if known.weighted else known.by_probe
    stratified = {probe for probe, table in own.items() if table[:k].sum() >= OWN_LABELS}
    plain = k == 2 and not known.table[:, k:].any()
    found = {"post_stratified"} if stratified & set(corrected) else set()
    return sorted(found | ({"lang_reiczigel" if plain else "score"} if set(corrected) - stratified else set()))


def _alpha(agreement: pd.DataFrame | None, attribute: str) -> dict[str, float] | None:
    """Krippendorff's α of all raters, where there are several."""
    if agreement is None or agreement.empty:
        return None
    rows = agreement[(agreement["attribute"] == attribute) & (agreement["first"] == "raters")]
    row = None if rows.empty else rows.iloc[0]
    if row is None or row["alpha"] != row["alpha"]:
        return None
    return {name: float(row[name]) for name in ("alpha", "alpha_low", "alpha_high")}


def _rates(calibration: pd.DataFrame | None, classifier: str, attribute: str) -> dict[str, float]:
    """Class → how often the classifier answered it where people saw it; classes that people saw."""
    if calibration is None or calibration.empty:
        return {}
    rows = calibration[(calibration["classifier"] == classifier) & (calibration["attribute"] == attribute)]
    same = rows[(rows["viewer"] == rows["predicted"]) & ~rows["viewer"].isin(NOT_MEASURED) & rows["rate"].notna()]
    return {str(name): float(rate) for name, rate in zip(same["viewer"], same["rate"], strict=True)}


def _declared_rates(store: Store, settings: Mapping[str, Any]) -> Any:
    """A function of classifier and attribute: the declared rates of its classes, and who declares them."""
    from audit.config import read_mapping

    kept = store.keep_error_rates(None)
    given = read_mapping(kept) if kept else {}
    source = str(given.pop("source", Path(str(settings.get("error_rates") or "error-rates.yaml")).name))
    entries = store.record()["classifiers"]

    def named(classifier: str, attribute: str) -> dict[str, Any]:
        card = (entries[classifier].get("card") or {}).get("error_rates") or {}
        rates = given.get(attribute, card.get(attribute)) or {}
        simple = {name: rate for name, rate in rates.items() if not isinstance(rate, Mapping) and name != "matrices"}
        return {
            "rates": {name: rate if isinstance(rate, list) else [rate, rate] for name, rate in simple.items()},
            "matrices": 0 if simple else len(rates.get("matrices") or [rates]),
            "source": source if attribute in given else None,
        }

    return named
