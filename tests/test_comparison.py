"""Oracles: statistics called by hand, StratifiedTable of statsmodels and chi2_contingency of scipy on real images."""

import csv
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable, mcnemar
from statsmodels.stats.multitest import multipletests

from audit.calibration import Calibration
from audit.compared import Settings
from audit.comparison import COMPARISON, compare_conditions, compare_counts
from audit.corrections import Evidence
from audit.counts import LOST, Counts
from audit.statistics.change import sign_flip, stratified_permutation
from audit.statistics.difference import difference_unpaired
from probes.probe import Probe

GENDER = ("woman", "man")
PEOPLE = Evidence(people=True)
SETTINGS = Settings(claim="list", declared=("", "", ""), alpha=0.05, delta=0.05, draws=2000, seed=0, sequential=False)


def probes(*names, **fields):
    """Probes named SUBJECT.TEMPLATE."""
    return [
        Probe(
            probe_id=name,
            text=f"a {name}",
            subject=name.split(".")[0],
            kind="occupation",
            **{"template": name.split(".")[1], **fields},
        )
        for name in names
    ]


def counts(plan, x, classes=GENDER, *, classifier="faces", attribute="gender"):
    rows = []
    for probe, row in zip(plan, x, strict=True):
        known = {name: getattr(probe, name) for name in ("probe_id", "subject", "kind", "language", "form", "template")}
        own = dict(zip([f"class__{c}" for c in classes], row, strict=True))
        rows.append(
            {**known, "people": probe.people, "asked": sum(row), "made": sum(row), **dict.fromkeys(LOST, 0), **own}
        )
    return Counts(classifier, attribute, tuple(classes), False, pd.DataFrame(rows))


def only(table, **values):
    for column, value in values.items():
        table = table[table[column] == value]
    return table


PLAN = probes("nurse.plain", "chef.plain", "guard.plain", "nurse.asked", "chef.asked", "guard.asked")
X = [[45, 5], [20, 30], [26, 24], [20, 30], [22, 28], [25, 25]]


def test_rows_have_their_shares_intervals_and_tests():
    table = compare_conditions([counts(PLAN, X)], PLAN, SETTINGS, known={("faces", "gender"): PEOPLE})
    assert tuple(table.columns) == COMPARISON
    assert len(table) == 2 * (1 + 3)
    women = only(table, **{"class": "woman"})
    assert list(women["probe_id"]) == ["", "nurse.plain", "chef.plain", "guard.plain"]
    assert set(zip(table["baseline"], table["other"], strict=True)) == {("plain", "asked")}
    a, b = np.array(X[:3])[:, 0], np.array(X[3:])[:, 0]
    rows = women.iloc[1:]
    np.testing.assert_allclose(rows["difference"], (b - a) / 50)
    ends = difference_unpaired(b, 50, a, 50)
    np.testing.assert_allclose(rows[["low", "high"]], np.column_stack(ends))
    p = [
        StratifiedTable([np.array([[y, 50.0 - y], [x, 50.0 - x]])]).test_null_odds().pvalue
        for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(rows["p_value"], p, atol=1e-10)
    np.testing.assert_allclose(rows["p_adjusted"], multipletests(p, method="fdr_bh")[1], atol=1e-10)
    assert list(rows["conclusion"]) == ["lower", "inconclusive", "inconclusive"]
    whole = women.iloc[0]
    assert (whole["baseline_count"], whole["baseline_n"], whole["other_count"]) == (91, 150, 67)
    assert whole["difference"] == pytest.approx((b - a).mean() / 50)
    men = only(table, **{"class": "man"})
    np.testing.assert_allclose(men["difference"], -women["difference"])
    np.testing.assert_allclose(men["p_value"], women["p_value"])
    assert list(men["conclusion"].iloc[:2]) == ["higher", "higher"]


def test_a_classifiers_labels_must_differ_by_more_than_delta():
    x = [[300, 300], [300, 300], [330, 270], [335, 265]]
    plan = probes("nurse.plain", "chef.plain", "nurse.asked", "chef.asked")
    known = {("faces", "gender"): PEOPLE}
    people = compare_conditions([counts(plan, x)], plan, SETTINGS, known=known)
    machine = compare_conditions([counts(plan, x)], plan, SETTINGS)
    assert people["conclusion"].iloc[0] == "higher"
    assert machine["conclusion"].iloc[0] == "inconclusive"
    np.testing.assert_allclose(machine["p_value"], people["p_value"])
    far = [[300, 300], [300, 300], [400, 200], [400, 200]]
    assert compare_conditions([counts(plan, far)], plan, SETTINGS)["conclusion"].iloc[0] == "higher"
    same = [[3000, 3000]] * 4
    assert set(compare_conditions([counts(plan, same)], plan, SETTINGS)["conclusion"]) == {"close"}


def calibration(by_probe):
    table = sum(by_probe.values())
    return Calibration(
        "faces",
        "gender",
        GENDER,
        GENDER,
        (*GENDER, "unclear", "no_person", "several_people"),
        table,
        table,
        table,
        "audited",
        int(table.sum()),
        by_probe=by_probe,
    )


def labels(right, wrong):
    """People's answers × the classifier's: women taken for men are `wrong`."""
    table = np.zeros((2, 5))
    table[0, 0], table[0, 1], table[1, 1] = right, wrong, right
    return table


def test_labels_on_both_sides_take_out_errors_that_differ():
    """No true difference: half are women, of whom the classifier misses a third in one condition only."""
    plan = probes("nurse.plain", "chef.plain", "nurse.asked", "chef.asked")
    x = [[300, 300], [300, 300], [200, 400], [200, 400]]
    seen = counts(plan, x)
    good, bad = {"nurse.plain": labels(60, 0), "chef.plain": labels(60, 0)}, {"nurse.asked": labels(40, 20)}
    bad["nurse.asked"][1, 1] = 60
    told = compare_conditions(
        [seen], plan, SETTINGS, known={("faces", "gender"): Evidence(calibration=calibration({**good, **bad}))}
    )
    assert compare_conditions([seen], plan, SETTINGS)["conclusion"].iloc[0] == "lower"
    assert told["conclusion"].iloc[0] == "inconclusive"
    assert told["method"].iloc[0] == "cochran_mantel_haenszel, post_stratified"
    one_side = compare_conditions(
        [seen], plan, SETTINGS, known={("faces", "gender"): Evidence(calibration=calibration(good))}
    )
    assert one_side["conclusion"].iloc[0] == "lower"
    assert one_side["method"].iloc[0] == "cochran_mantel_haenszel"


def test_more_classes_are_permuted_with_draws_of_their_own():
    classes = ("young", "middle_aged", "older")
    x = [[30, 10, 10], [20, 20, 10], [5, 25, 20], [20, 20, 10]]
    plan = probes("nurse.plain", "chef.plain", "nurse.asked", "chef.asked")
    table = compare_conditions([counts(plan, x, classes, attribute="age")], plan, SETTINGS)
    assert set(table["method"]) == {"stratified_permutation"}
    nurse = only(table, probe_id="nurse.plain")
    assert nurse["p_value"].nunique() == 1
    chi2 = stats.chi2_contingency([x[0], x[2]]).pvalue
    assert nurse["p_value"].iloc[0] == pytest.approx(max(chi2, 1 / 2001), abs=1e-3)
    again = compare_conditions([counts(plan, x, classes, attribute="age")], plan, SETTINGS)
    pd.testing.assert_frame_equal(table, again)
    low, high = difference_unpaired(5, 50, 30, 50, 1 - 0.05 / 3)
    assert nurse[["low", "high"]].iloc[0].tolist() == pytest.approx([float(low), float(high)])


def test_only_probes_that_differ_in_the_condition_alone_are_compared():
    plan = [
        *probes("nurse.plain", "chef.plain", "crowd.plain"),
        *probes("nurse.asked", "baker.asked", "crowd.asked"),
        *probes("nurse.deutsch", language="de"),
        *probes("nurse.third"),
    ]
    plan = [Probe(**{**vars(probe), "people": "several"}) if probe.subject == "crowd" else probe for probe in plan]
    table = compare_conditions([counts(plan, [[6, 4]] * len(plan))], plan, SETTINGS)
    assert list(zip(table["probe_id"], table["other"], strict=True))[::2] == [
        ("", "asked"),
        ("nurse.plain", "asked"),
        ("", "third"),
        ("nurse.plain", "third"),
    ]
    by_language = [*probes("nurse.plain"), *probes("nurse.plain", language="de")]
    by_language[1] = Probe(**{**vars(by_language[1]), "probe_id": "nurse.de"})
    table = compare_conditions([counts(by_language, [[9, 1], [2, 8]])], by_language, SETTINGS, by="language")
    assert table[["baseline", "other"]].iloc[0].tolist() == ["en", "de"]
    named = probes("nurse.plain", "nurse.asked", asked={"gender": "woman"})
    assert compare_conditions([counts(named, [[9, 1], [2, 8]])], named, SETTINGS).empty
    assert tuple(compare_conditions([], [], SETTINGS).columns) == COMPARISON
    assert compare_conditions([counts(PLAN, X)], PLAN, SETTINGS._replace(sequential=True)).empty


def test_probe_without_a_labelled_image_concludes_nothing():
    plan = probes("nurse.plain", "chef.plain", "nurse.asked", "chef.asked")
    table = compare_conditions([counts(plan, [[9, 1], [0, 0], [5, 5], [6, 4]])], plan, SETTINGS)
    chef = only(table, probe_id="chef.plain")
    assert chef[["difference", "p_value", "p_adjusted"]].isna().all(axis=None)
    assert list(chef["conclusion"]) == ["", ""]
    nurse = only(table, probe_id="nurse.plain")
    assert nurse["p_adjusted"].iloc[0] == nurse["p_value"].iloc[0]
    assert table["difference"].iloc[0] == pytest.approx(-0.4)


def test_pairs_of_two_runs():
    rng = np.random.default_rng(0)
    plan = probes(*(f"{name}.plain" for name in "abcdefg"))
    pairs = rng.multinomial(40, [0.4, 0.25, 0.05, 0.3], size=7).reshape(7, 2, 2)
    old, new = counts(plan, pairs.sum(axis=2)), counts(plan, pairs.sum(axis=1))
    table = compare_counts(old, new, ("v1", "v2"), SETTINGS, paired=pairs, evidence=(PEOPLE, PEOPLE))
    women = only(table, **{"class": "woman"})
    for p, cells in zip(women["p_value"], [pairs.sum(axis=0), *pairs], strict=True):
        exact = mcnemar(cells, exact=True).pvalue
        n, k = cells[0, 1] + cells[1, 0], cells[0, 1]
        assert p == pytest.approx(min(1, exact - stats.binom.pmf(k, n, 0.5)), abs=1e-10) or p == 1
    assert women["conclusion"].iloc[0] == "lower"
    assert set(table["method"]) == {"mcnemar_midp"}
    such = compare_counts(old, new, ("v1", "v2"), SETTINGS._replace(claim="population"), paired=pairs)
    d = (pairs[:, 1, 0] - pairs[:, 0, 1]) / 40
    whole = only(such, **{"class": "woman"}).iloc[0]
    assert whole["method"] == "sign_flip"
    assert whole["p_value"] == pytest.approx(sign_flip(d, 1, rng), abs=1e-12)
    assert [whole["low"], whole["high"]] == pytest.approx(stats.t.interval(0.95, 6, d.mean(), stats.sem(d)))
    three = rng.integers(0, 9, size=(2, 3, 3))
    ages = [counts(plan[:2], x, ("young", "middle", "old")) for x in (three.sum(axis=2), three.sum(axis=1))]
    assert set(compare_counts(*ages, ("v1", "v2"), SETTINGS, paired=three)["method"]) == {"marginal_homogeneity"}


CODES = {"f": "woman", "female": "woman", "females": "woman", "m": "man", "male": "man", "males": "man"}


@pytest.mark.parametrize("model", ["dall_e_3/gpt", "flux_dev/flux", "sdxl_turbo/sdxl"])
def test_real_images_baseline_against_controlled_prompts(shared_data, model):
    """People's labels of 100 images a model: Cochran–Mantel–Haenszel of statsmodels; with 10 a cell most is open."""
    found: Counter = Counter()
    races: Counter = Counter()
    with (shared_data / f"images/{model}.csv").open(encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            cell = row["category"].strip().lower(), row["setting"].strip().lower()
            found[*cell, CODES.get(row["gender"].strip().lower(), "several_people")] += 1
            races[*cell, row["race"].strip().lower()] += 1
    subjects = sorted({subject for subject, _, _ in found})
    assert len(subjects) == 5
    plan = probes(*(f"{s}.{setting}" for setting in ("baseline", "controlled") for s in subjects))
    x = np.array([[found[probe.subject, probe.template, c] for c in GENDER] for probe in plan])
    table = compare_conditions(
        [counts(plan, x, classifier="human")], plan, SETTINGS, known={("human", "gender"): PEOPLE}
    )
    whole = only(table, probe_id="", **{"class": "woman"}).iloc[0]
    strata = [np.array([x[5 + j], x[j]], dtype=float) for j in range(5)]
    expected = StratifiedTable(strata).test_null_odds()
    assert whole["p_value"] == pytest.approx(expected.pvalue, abs=1e-10)
    rows = only(table, **{"class": "woman"}).iloc[1:]
    for p, cells in zip(rows["p_value"], strata, strict=True):
        if (cells.sum(axis=0) == 0).any():
            assert p == 1
            continue
        statistic = stats.chi2_contingency(cells, correction=False).statistic
        assert p == pytest.approx(stats.chi2.sf(statistic * (1 - 1 / cells.sum()), 1), abs=1e-10)
    assert (rows["conclusion"] == "inconclusive").sum() >= 2
    names = sorted({race for *_, race in races})
    y = np.array([[races[probe.subject, probe.template, race] for race in names] for probe in plan])
    table = compare_conditions([counts(plan, y, names, attribute="ethnicity")], plan, SETTINGS)
    again = stratified_permutation(y[5:], y[:5], 4000, np.random.default_rng(1)).p_all
    assert table["p_value"].iloc[0] == pytest.approx(again, abs=0.03)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare_conditions([], [], SETTINGS, by="seed"), "template, language, form"),
        (lambda: compare_conditions([counts(PLAN, X)], PLAN[:2], SETTINGS), "does not have"),
        (
            lambda: compare_counts(counts(PLAN, X), counts(PLAN, X, ("man", "woman")), ("a", "b"), SETTINGS),
            "same classes",
        ),
        (lambda: compare_counts(counts(PLAN, X), counts(PLAN[:2], X[:2]), ("a", "b"), SETTINGS), "row by row"),
        (
            lambda: compare_counts(counts(PLAN, X), counts(PLAN, X), ("a", "b"), SETTINGS, paired=np.ones((2, 2, 2))),
            "pairs must be",
        ),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
