"""Corrected shares, bands and conclusions in the tables, against the functions called by hand and closed forms."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from audit.calibration import Calibration, tabulate
from audit.classifiers.base import Question
from audit.corrections import Correction, Evidence, conclude, corrected_p, shares_of_images
from audit.counts import ANSWERED, Counts, JointCounts
from audit.findings import find
from audit.rates import Rates
from audit.reference import load_reference
from audit.statistics.intervals import Interval, wilson
from audit.statistics.inversion import corrected_shares
from audit.statistics.noise import lang_reiczigel, reweighted
from probes.suite import Probe

GENDER = ("woman", "man")
UNIFORM = load_reference("uniform")
PLAN = [Probe(f"p{j}.a", f"a p{j}", f"p{j}", "occupation") for j in range(6)]
X = np.array([[45, 5], [20, 30], [26, 24], [50, 0], [30, 20], [25, 25]])


def counts(x: np.ndarray = X, classes: Sequence[str] = GENDER, attribute: str = "gender") -> Counts:
    rows = []
    for probe, row in zip(PLAN, x, strict=True):
        known = {
            f: getattr(probe, f) for f in ("probe_id", "subject", "kind", "language", "form", "template", "people")
        }
        own = {f"class__{c}": int(v) for c, v in zip(classes, row, strict=True)}
        lost = dict.fromkeys(("refused", "failed", *ANSWERED), 0)
        rows.append({**known, "asked": int(row.sum()), "made": int(row.sum()), **lost, **own})
    return Counts("clip", attribute, tuple(classes), False, pd.DataFrame(rows))


def labelled(table: np.ndarray, *, source: str = "other") -> Calibration:
    """A calibration with these counts; the labels of audited images lie evenly over the probes."""
    rows = [
        {"true": GENDER[y], "predicted": GENDER[c], "probe_id": PLAN[i % 6].probe_id, "sampling_probability": 0.3}
        for y in range(2)
        for c in range(2)
        for i in range(int(table[y, c]))
    ]
    return tabulate("clip", Question("gender", GENDER), pd.DataFrame(rows), source, ["anna"])


def tables(evidence: Evidence, x: np.ndarray = X):
    return find(
        [counts(x)],
        PLAN,
        [UNIFORM],
        claim="list",
        declared=("clip", "gender", "uniform"),
        evidence={("clip", "gender"): evidence},
        draws=200,
    )


TABLE = np.array([[40, 10], [5, 45]])


def test_labels_of_other_images_give_the_interval_of_lang_and_reiczigel():
    found = tables(Evidence(labelled(TABLE))).shares
    women = found[found["class"] == "woman"]
    by_hand = lang_reiczigel(X[:, 0], X.sum(axis=1), 40, 50, 45, 50)
    np.testing.assert_allclose(women["corrected_low"], by_hand.low)
    np.testing.assert_allclose(women["corrected_high"], by_hand.high)
    plain = np.clip((X[:, 0] / 50 + 0.9 - 1) / (0.8 + 0.9 - 1), 0, 1)  # Rogan–Gladen
    np.testing.assert_allclose(women["corrected"], plain)
    assert found["band_low"].isna().all()


def test_a_classifier_without_error_changes_nothing():
    found = tables(Evidence(labelled(np.diag([50, 50]))))
    np.testing.assert_allclose(found.shares["corrected"], found.shares["share"], atol=1e-12)
    gaps = found.gaps[found.gaps["claim"] == "list"]
    np.testing.assert_allclose(gaps["gap_corrected"], gaps["gap"], atol=1e-12)


def test_labels_of_audited_images_also_correct_all_images_together():
    found = tables(Evidence(labelled(TABLE, source="audited"))).overall
    women = found[found["class"] == "woman"].iloc[0]
    whole = X.sum(axis=0)
    by_hand = (whole[0] * 40 / 45 + whole[1] * 10 / 55) / whole.sum()  # Σ q_c P(woman | c)
    assert women["corrected"] == pytest.approx(by_hand)
    assert women["corrected_low"] < by_hand < women["corrected_high"]
    assert women["human_labels"] == 100
    assert women["method"] == "post_stratified"
    assert women["status"] == "declared"


def test_shares_of_these_images_count_whatever_the_classifier_answered():
    x = counts()
    x.table["no_person"] = [10, 0, 5, 5, 0, 0]
    rows = [
        *[("woman", "woman")] * 40, *[("man", "woman")] * 5, *[("woman", "man")] * 3, *[("man", "man")] * 20,
        *[("woman", "no_person")] * 2, *[("man", "no_person")] * 2, *[("several_people", "no_person")] * 6,
    ]  # fmt: skip
    columns = ["true", "predicted"]
    given = pd.DataFrame(rows, columns=columns).assign(sampling_probability=0.2)
    given["probe_id"] = [PLAN[i % 6].probe_id for i in range(len(given))]
    evidence = Evidence(tabulate("clip", Question("gender", GENDER), given, "audited", ["anna"]))
    found = find(
        [x], PLAN, [UNIFORM], claim="list", evidence={("clip", "gender"): evidence}, draws=200
    ).overall.set_index("class")
    women, men, nobody = 196, 104, 20
    by_hand = (women * 40 / 45 + men * 3 / 23 + nobody * 2 / 10) / 320
    assert found.loc["woman", "images_share"] == pytest.approx(by_hand)
    assert found.loc["man", "images_share"] == pytest.approx((women * 5 / 45 + men * 20 / 23 + nobody * 2 / 10) / 320)
    assert found["images_share"].sum() == pytest.approx(1 - nobody * 6 / 10 / 320)  # the rest shows several people
    assert (found["images_low"] < found["images_share"]).all() and (found["images_share"] < found["images_high"]).all()
    assert found["human_labels"].tolist() == [78, 78]
    wide = found["images_high"] - found["images_low"]
    assert (wide < found["corrected_high"] - found["corrected_low"]).all()  # these images, not the model


def test_with_all_images_labelled_their_shares_are_counted():
    seen = np.array([[130, 10], [66, 94]])  # people × classifier
    calibration = labelled(seen, source="audited")
    x = np.array([calibration.by_probe[probe.probe_id].sum(axis=0)[:2] for probe in PLAN])
    found = tables(Evidence(calibration), x).overall.set_index("class")
    for name, row in zip(GENDER, seen, strict=True):
        for column in ("images_share", "images_low", "images_high"):
            assert found.loc[name, column] == pytest.approx(row.sum() / 300, abs=1e-6)


def test_an_answer_that_nobody_gave_is_still_possible():
    # 20 of 100 images labelled, all of them women: others may show men, or several people.
    found = shares_of_images(np.array([100.0, 0.0]), np.array([[20.0, 0.0], [0.0, 0.0]]), 2, alpha=0.05)
    assert found.value.tolist() == [1, 0]
    assert found.low[0] < 0.9
    assert found.low[0] < 1 - found.high[1]  # not all of what is no woman must be a man


def test_shares_of_these_images_are_there_only_with_labels_of_them():
    columns = ["images_share", "images_low", "images_high"]
    assert tables(Evidence(labelled(TABLE))).overall[columns].isna().all(axis=None)
    assert tables(Evidence()).overall[columns].isna().all(axis=None)
    people = tables(Evidence(people=True)).overall
    for column in columns:
        np.testing.assert_allclose(people[column], X.sum(axis=0) / X.sum())


def test_labels_of_prompts_that_ask_for_several_people_are_left_out_of_the_whole():
    groups = [*PLAN[:5], Probe("p5.a", "a p5", "p5", "group", people="several")]
    calibration = labelled(TABLE, source="audited")
    args = {"claim": "list", "evidence": {("clip", "gender"): Evidence(calibration)}, "draws": 200}
    found = find([counts()], groups, [UNIFORM], **args).overall.set_index("class")
    left = [probe.probe_id for probe in PLAN[:5]]
    table = sum(calibration.by_probe[name] for name in left)
    whole = X[:5].sum(axis=0)
    by_hand = sum(whole[c] * table[0, c] / table[:, c].sum() for c in range(2)) / whole.sum()
    assert found.loc["woman", "images_share"] == pytest.approx(by_hand)
    assert found.loc["woman", "human_labels"] == table.sum()


def test_own_labels_of_a_probe_are_used_where_there_are_20():
    evidence = Evidence(labelled(TABLE * 3, source="audited"))
    x = np.array([[80, 60], [60, 80], [70, 70], [90, 50], [50, 90], [60, 60]])
    found = tables(evidence, x).shares
    own = np.array([evidence.calibration.by_probe[p.probe_id] for p in PLAN])
    by_hand = corrected_shares(counts(x).answers(), evidence.calibration.rows(), k=2, labelled=own)
    assert (by_hand.method == "post_stratified").all()
    np.testing.assert_allclose(found["corrected"], by_hand.value.ravel())


def test_declared_rates_give_a_band_that_holds_the_corrected_share_at_every_corner():
    rates = Rates("gender", "card", ranges=((0.9, 0.98), (0.92, 0.97)))
    found = tables(Evidence(rates=rates)).shares
    women = found[found["class"] == "woman"]
    q = X[:, 0] / 50
    for se in (0.9, 0.98):
        for sp in (0.92, 0.97):
            p = np.clip((q + sp - 1) / (se + sp - 1), 0, 1)
            assert (women["band_low"] <= p + 1e-12).all()
            assert (women["band_high"] >= p - 1e-12).all()
    men = found[found["class"] == "man"]
    np.testing.assert_allclose(1 - men["band_low"].to_numpy(), women["band_high"].to_numpy())
    assert found["corrected"].isna().all()


def test_conclusions_need_the_interval_that_holds_the_label_error():
    nothing = tables(Evidence()).shares
    people = tables(Evidence(people=True)).shares
    wide = tables(Evidence(rates=Rates("gender", "x", ranges=((0.7, 0.9), (0.7, 0.9))))).shares
    said = {
        name: dict(zip(t[t["class"] == "woman"]["probe_id"], t[t["class"] == "woman"]["conclusion"], strict=True))
        for name, t in (("nothing", nothing), ("people", people), ("wide", wide))
    }
    assert said["people"]["p0.a"] == said["nothing"]["p0.a"] == said["wide"]["p0.a"] == "higher"
    assert said["people"]["p5.a"] == "inconclusive"
    ends = wilson(X[:, 0], 50)
    for j, probe in enumerate(PLAN):
        if said["nothing"][probe.probe_id] == "higher":  # without any knowledge of errors: by more than δ
            assert ends.low[j] > 0.55
    assert set(said["wide"].values()) <= {"higher", "inconclusive"}


def test_many_images_at_the_reference_are_close_to_it():
    found = tables(Evidence(people=True), np.full((6, 2), 5000)).shares
    assert set(found["conclusion"]) == {"close"}


def test_a_significant_share_is_not_called_different_if_its_corrected_interval_holds_the_reference():
    # All images are called women; the classifier calls most men women too.
    evidence = Evidence(labelled(np.array([[50, 0], [45, 5]])))
    found = tables(evidence, np.tile([50, 0], (6, 1))).shares
    assert (found["p_adjusted"] < 0.001).all()
    assert set(found["conclusion"]) == {"inconclusive"}


def test_p_values_of_corrected_shares_match_their_interval():
    # Half an interval of 1.96 standard errors, 2 standard errors away from ½: the two-sided normal p-value.
    value = np.array([[0.7, 0.3]])
    half = 1.959963984540054 * 0.1
    correction = Correction(value, value - half, value + half, value, value)
    p = corrected_p(correction, np.full((1, 2), 0.5), 0.05)
    np.testing.assert_allclose(p, 0.04550026389635842)
    held = conclude(
        Interval(value, value), np.full((1, 2), 0.5), p, correction, Evidence(labelled(TABLE)), alpha=0.05, delta=0.05
    )
    assert held.tolist() == [["higher", "lower"]]


def test_no_figure_for_a_fixed_number_of_images_stands_in_a_run_that_stopped_early():
    rates = {("clip", "gender"): Evidence(rates=Rates("gender", "card", ranges=((0.9, 0.98), (0.92, 0.97))))}
    found = find([counts()], PLAN, [UNIFORM], claim="list", evidence=rates, draws=200, sequential=True)
    empty = ["share_low", "share_high", "share_low_all", "share_high_all", "p_value", "p_adjusted", "band_low"]
    assert found.shares[empty].isna().all(axis=None)
    assert set(found.shares["conclusion"]) == {""}
    assert found.gaps.empty
    assert found.overall.empty
    assert found.shares["share"].notna().all()


def test_only_what_was_declared_is_declared():
    found = tables(Evidence())
    assert set(found.shares["status"]) == {"declared"}
    assert list(found.gaps["status"]) == ["declared", "exploratory"]  # the other claim
    other = find([counts()], PLAN, [UNIFORM], claim="list", declared=("clip", "age", "uniform"), draws=200)
    assert set(other.shares["status"]) | set(other.gaps["status"]) == {"exploratory"}


def test_intersections_stand_beside_the_product_of_their_margins():
    joint = np.zeros((6, 2, 2))
    joint[:] = [[20, 5], [5, 20]]
    cells = JointCounts("clip", ("gender", "age"), (GENDER, ("young", "older")), tuple(p.probe_id for p in PLAN), joint)
    found = find([counts()], PLAN, [UNIFORM], claim="list", joint=[cells], draws=500).intersections
    assert list(found["cell"][:4]) == ["woman × young", "woman × older", "man × young", "man × older"]
    np.testing.assert_allclose(found["share"][:4], [0.4, 0.1, 0.1, 0.4])
    np.testing.assert_allclose(found["expected"], 0.25)
    assert (found["independence_p_adjusted"] < 0.01).all()
    assert set(found["attributes"]) == {"gender×age"}


def test_labels_stratified_by_prediction_are_weighted_as_the_simulations_check():
    counted = np.array([[45.0, 12.0], [5.0, 38.0]])  # 50 labels of each answer
    whole = np.array([1000.0, 250.0])
    rows = [
        {"true": GENDER[y], "predicted": GENDER[c], "probe_id": "p0.a", "sampling_probability": 50 / whole[c]}
        for y in range(2)
        for c in range(2)
        for _ in range(int(counted[y, c]))
    ]
    calibration = tabulate("clip", Question("gender", GENDER), pd.DataFrame(rows), "audited", ["anna"])
    by_hand = corrected_shares(X, reweighted(counted, 50 / whole), k=2)
    found = tables(Evidence(calibration)).shares
    np.testing.assert_allclose(found["corrected_low"], by_hand.low.ravel())
    np.testing.assert_allclose(found["corrected_high"], by_hand.high.ravel())
