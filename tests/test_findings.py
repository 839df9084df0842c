"""Tables from counts: against the statistics called by hand, invariants, and the untidy cases of real runs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from audit.agreements import AGREEMENT
from audit.calibration import CONFUSION
from audit.compared import GAPS
from audit.comparison import COMPARISON
from audit.corrections import OVERALL
from audit.counts import Counts
from audit.findings import MISSING, SHARES, Tables, find
from audit.patterns import AMPLIFICATION, HETEROGENEITY, INTERSECTIONS
from audit.reference import Reference, load_reference
from audit.sequential import COLUMNS as SEQUENTIAL
from audit.statistics.gap import gap_of_list, gap_of_population
from probes.suite import Probe

GENDER = ("woman", "man")
AGE = ("young", "middle_aged", "older")
LOST = {"refused": 1, "failed": 0, "no_person": 2, "several_people": 0, "unclear": 1}
UNIFORM = load_reference("uniform")


def probes(*names: str, **fields: object) -> list[Probe]:
    """Probes named SUBJECT.TEMPLATE."""
    return [
        Probe(probe_id=name, text=f"a {name}", subject=name.split(".")[0], kind="occupation", **fields)
        for name in names
    ]


def counts(
    plan: Sequence[Probe],
    x: Sequence[Sequence[int]],
    classes: Sequence[str] = GENDER,
    *,
    attribute: str = "gender",
    ordered: bool = False,
    classifier: str = "faces",
) -> Counts:
    rows = []
    for probe, row in zip(plan, x, strict=True):
        made = sum(row) + LOST["no_person"] + LOST["unclear"]
        known = {
            f: getattr(probe, f) for f in ("probe_id", "subject", "kind", "language", "form", "template", "people")
        }
        own = dict(zip([f"class__{c}" for c in classes], row, strict=True))
        rows.append({**known, "asked": made + LOST["refused"], "made": made, **LOST, **own})
    return Counts(classifier, attribute, tuple(classes), ordered, pd.DataFrame(rows))


def own_reference(folder: Path, text: str, card: str = "") -> Reference:
    path = folder / "own.csv"
    path.write_text(text)
    if card:
        path.with_suffix(".yaml").write_text(card)
    return load_reference(str(path))


def only(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def test_shares_have_their_intervals_and_tests():
    plan = probes("nurse.a", "chef.a", "guard.a")
    x = [[45, 5], [20, 30], [26, 24]]
    tables = find([counts(plan, x)], plan, [UNIFORM], claim="list")
    shares = tables.shares
    assert tuple(shares.columns) == SHARES
    assert len(shares) == 6
    women = only(shares, **{"class": "woman"})
    assert list(women["probe_id"]) == ["nurse.a", "chef.a", "guard.a"]
    assert list(women["count"]) == [45, 20, 26]
    low, high = proportion_confint([45, 20, 26], 50, method="wilson")
    np.testing.assert_allclose(women[["share_low", "share_high"]], np.column_stack([low, high]))
    p = [stats.binomtest(row[0], 50, 0.5).pvalue for row in x]
    np.testing.assert_allclose(women["p_value"], p)
    np.testing.assert_allclose(women["p_adjusted"], multipletests(p, method="fdr_bh")[1])
    np.testing.assert_allclose(women["difference"], women["share"] - 0.5)


def test_gaps_are_those_of_the_statistics_with_the_declared_claim_first():
    plan = probes("nurse.a", "nurse.b", "chef.a", "guard.a")
    x = np.array([[45, 5], [40, 10], [20, 30], [26, 24]])
    gaps = find([counts(plan, x.tolist())], plan, [UNIFORM], claim="population").gaps
    assert tuple(gaps.columns) == GAPS
    assert list(gaps["claim"]) == ["population", "list"]
    population = gap_of_population(x, [0.5, 0.5], [p.subject for p in plan])
    this_list = gap_of_list(x, [0.5, 0.5])
    for (_, row), expected in zip(gaps.iterrows(), (population, this_list), strict=True):
        np.testing.assert_allclose(
            row[["gap", "gap_low", "gap_high", "gap_squared", "between_probes", "tvd"]].to_numpy(float),
            [expected.gap, expected.low, expected.high, expected.squared, expected.between, expected.total_variation],
        )
        assert row["direction"] == "woman"
        assert (row["probes"], row["images"]) == (4, 200)
        assert 0.03 < row["tvd_floor"] < 0.08  # E|p̂ − ½| at 50 images is .056
    assert np.isnan(gaps["p_value"][0])
    assert gaps["p_value"][1] < 0.001


def test_missing_images_are_counted_with_their_worst_case():
    plan = [*probes("nurse.a"), *probes("beach.a", people="none")]
    tables = find([counts(plan, [[57, 3], [0, 0]])], plan, [UNIFORM], claim="list")
    assert tuple(tables.missing.columns) == MISSING
    nurse, beach = tables.missing.to_dict("records")
    assert [nurse[c] for c in ("asked", "made", "refused", "no_person", "unclear", "labelled", "lost")] == [
        *(64, 63, 1, 2, 1, 60, 4)
    ]
    assert nurse["lost_share"] == pytest.approx(4 / 64)
    assert nurse["class"] == "woman"
    assert (nurse["worst_low"], nurse["worst_high"]) == (57 / 64, 61 / 64)
    assert (beach["lost"], beach["class"], beach["worst_low"], beach["worst_high"]) == (4, "", 0, 1)


def test_prompts_without_one_person_or_that_name_the_class_are_in_no_gap():
    plan = [
        *probes("nurse.a", "chef.a"),
        *probes("beach.a", people="none"),
        *probes("crowd.a", people="several"),
        *probes("female-nurse.a", asked={"gender": "woman"}),
    ]
    x = [[45, 5], [20, 30], [1, 1], [3, 3], [50, 0]]
    ages = [[30, 10, 10], [10, 30, 10], [1, 0, 1], [2, 2, 2], [40, 5, 5]]
    both = [counts(plan, x), counts(plan, ages, AGE, attribute="age", ordered=True)]
    tables = find(both, plan, [UNIFORM], claim="list", draws=200)
    gaps = only(tables.gaps, claim="list").set_index("attribute")
    assert (gaps.loc["gender", "probes"], gaps.loc["gender", "images"]) == (2, 100)
    assert (gaps.loc["age", "probes"], gaps.loc["age", "images"]) == (3, 150)
    gender = only(tables.shares, attribute="gender")
    assert list(gender["probe_id"].drop_duplicates()) == [p.probe_id for p in plan]
    apart = gender[gender["probe_id"].isin(["beach.a", "crowd.a", "female-nurse.a"])]
    assert len(apart) == 6
    assert apart[["reference", "reference_share", "difference", "p_value", "p_adjusted"]].isna().all(axis=None)
    assert len(only(tables.missing, attribute="gender")) == 5


def test_a_probe_that_the_reference_does_not_know_is_shown_and_left_out(tmp_path):
    text = "subject,attribute,class,share\nnurse,gender,woman,0.87\nnurse,gender,man,0.13\n"
    own = own_reference(tmp_path, text)
    plan = probes("nurse.a", "poet.a", "nurse.b")
    x = [[45, 5], [20, 30], [1, 0]]
    tables = find([counts(plan, x)], plan, [own, UNIFORM], claim="list")
    assert list(only(tables.gaps, claim="list")["reference"]) == ["own", "uniform"]
    assert list(only(tables.gaps, claim="list")["probes"]) == [1, 2]  # one image has no squared distance
    women = only(tables.shares, **{"class": "woman"})
    assert list(zip(women["probe_id"], women["reference"], strict=True)) == [
        *(("nurse.a", "own"), ("nurse.a", "uniform"), ("poet.a", "own"), ("poet.a", "uniform")),
        *(("nurse.b", "own"), ("nurse.b", "uniform")),
    ]
    poet = only(women, probe_id="poet.a", reference="own").iloc[0]
    assert poet["share"] == 0.4
    assert np.isnan([poet["reference_share"], poet["difference"], poet["p_value"], poet["p_adjusted"]]).all()
    alone = only(women, probe_id="nurse.b", reference="own").iloc[0]
    assert alone["p_value"] == pytest.approx(stats.binomtest(1, 1, 0.87).pvalue)


def test_a_reference_that_says_nothing_of_an_attribute_leaves_no_rows(tmp_path):
    own = own_reference(tmp_path, "subject,attribute,class,share\nnurse,gender,woman,0.87\nnurse,gender,man,0.13\n")
    plan = probes("nurse.a")
    tables = find([counts(plan, [[3, 4, 5]], AGE, attribute="age")], plan, [own], claim="list")
    assert len(tables.gaps) == 0
    assert len(tables.shares) == 3
    assert tables.shares["reference"].isna().all()


def test_overlapping_categories_are_tested_one_by_one_and_have_no_gap(tmp_path):
    text = (
        "subject,attribute,class,share\nnurse,ethnicity,white,0.74\nnurse,ethnicity,black,0.15\n"
        "nurse,ethnicity,hispanic,0.2\n"
    )
    own = own_reference(tmp_path, text, "overlapping: [ethnicity]\n")
    plan = probes("nurse.a", "chef.a")
    classes = ("white", "black", "hispanic", "indian")
    tables = find(
        [counts(plan, [[20, 12, 8, 10], [5, 5, 5, 5]], classes, attribute="ethnicity")], plan, [own], claim="list"
    )
    assert len(tables.gaps) == 0
    nurse = only(tables.shares, probe_id="nurse.a")
    p = [stats.binomtest(x, 50, r).pvalue for x, r in ((20, 0.74), (12, 0.15), (8, 0.2))]
    np.testing.assert_allclose(nurse["p_value"], [*p, np.nan])
    np.testing.assert_allclose(nurse["p_adjusted"], [*multipletests(p, method="fdr_bh")[1], np.nan])
    np.testing.assert_allclose(nurse["reference_share"], [0.74, 0.15, 0.2, np.nan])
    assert only(tables.shares, probe_id="chef.a")["reference_share"].isna().all()


def test_us_labour_statistics_have_rows_for_their_keys():
    key = {"us-labour-2022": "Registered nurses"}
    plan = [*probes("nurse.a", keys=key), *probes("poet.a")]
    reference = load_reference("us-labour-2022")
    tables = find([counts(plan, [[45, 5], [20, 30]])], plan, [reference], claim="list")
    nurse = only(tables.shares, probe_id="nurse.a", **{"class": "woman"}).iloc[0]
    assert 0.8 < nurse["reference_share"] < 0.95
    assert list(tables.gaps["probes"]) == [1, 1]
    assert np.isnan(tables.gaps["gap_high"][1])  # one subject says nothing about a population


def test_nothing_labelled_is_no_error():
    plan = probes("nurse.a", "chef.a")
    tables = find([counts(plan, [[0, 0], [0, 0]])], plan, [UNIFORM], claim="list")
    assert tables.shares["share"].isna().all()
    assert (tables.shares["share_high"] == 1).all()
    assert tables.gaps["gap"].isna().all()
    assert (tables.gaps["probes"] == 0).all()
    assert len(find([], plan, [UNIFORM], claim="list").shares) == 0


def make_tables(plan: Sequence[Probe], x: np.ndarray, classes: Sequence[str], order: Sequence[int]) -> Tables:
    placed = [plan[i] for i in order]
    given = counts(placed, x[list(order)].tolist(), classes, attribute="age")
    return find([given], placed, [UNIFORM], claim="list", draws=60, seed=3)


@settings(max_examples=15)
@given(
    st.lists(st.lists(st.integers(0, 20), min_size=3, max_size=3), min_size=4, max_size=4).map(np.array),
    st.permutations(range(4)),
    st.permutations(range(3)),
)
def test_order_of_probes_and_of_classes_is_irrelevant(x, order, arranged):
    plan = probes("a.x", "a.y", "b.x", "c.x")
    here = make_tables(plan, x, AGE, range(4))
    there = make_tables(plan, x, AGE, order)
    keys = ["probe_id", "class"]
    for name in ("shares", "missing"):
        one, other = (getattr(t, name).sort_values(keys, ignore_index=True) for t in (here, there))
        assert_frame_equal(one, other, check_exact=True)
    assert_frame_equal(here.gaps, there.gaps, check_exact=True)
    turned = make_tables(plan, x[:, list(arranged)], [AGE[i] for i in arranged], range(4))
    one, other = (t.shares.sort_values(keys, ignore_index=True) for t in (here, turned))
    assert_frame_equal(one, other, check_exact=True)
    np.testing.assert_array_equal(here.gaps["p_value"], turned.gaps["p_value"])
    np.testing.assert_allclose(here.gaps["gap_squared"], turned.gaps["gap_squared"], atol=1e-12)


def test_a_probe_alone_has_the_same_numbers_as_among_others_and_the_seed_decides():
    plan = probes("a.x", "b.x", "c.x")
    x = np.array([[9, 4, 2], [3, 3, 9], [5, 5, 5]])
    together = make_tables(plan, x, AGE, range(3)).shares
    alone = make_tables(plan, x, AGE, [1]).shares
    np.testing.assert_array_equal(only(together, probe_id="b.x")["p_value"], alone["p_value"])
    other = find([counts(plan, x.tolist(), AGE, attribute="age")], plan, [UNIFORM], claim="list", draws=60, seed=4)
    assert (other.shares["p_value"] != together["p_value"]).any()


def test_tables_survive_a_csv(tmp_path):
    plan = [*probes("nurse.a", "chef.a"), *probes("beach.a", people="none")]
    tables = find([counts(plan, [[45, 5], [25, 25], [0, 0]])], plan, [UNIFORM], claim="list")
    for name in ("shares", "gaps", "missing"):
        table = getattr(tables, name)
        table.to_csv(tmp_path / "t.csv", index=False)
        texts = [column for column in ("template", "class", "direction", "conclusion") if column in table]
        types = dict.fromkeys(texts, "str")
        again = pd.read_csv(tmp_path / "t.csv", keep_default_na=False, na_values=[""], dtype=types)
        assert_frame_equal(again.fillna(dict.fromkeys(texts, "")), table, check_dtype=False, rtol=1e-12)


def test_every_column_is_documented():
    text = (Path(__file__).parents[1] / "docs" / "tables.md").read_text()
    sections = {part.split("\n")[0].strip(): part for part in text.split("\n## ")}
    known = {
        **{"shares": SHARES, "gaps": GAPS, "missing": MISSING, "overall": OVERALL, "heterogeneity": HETEROGENEITY},
        **{"amplification": AMPLIFICATION, "intersections": INTERSECTIONS, "calibration": CONFUSION},
        **{"sequential": SEQUENTIAL, "agreement": AGREEMENT, "comparison": COMPARISON},
    }
    for name, columns in ((f"{name}.csv", columns) for name, columns in known.items()):
        section = next(part for title, part in sections.items() if title.startswith(f"`{name}`"))
        lacking = [column for column in columns if f"`{column}`" not in section]
        assert not lacking, f"docs/tables.md does not say what {lacking} of {name} means"


def test_bad_input_is_refused():
    plan = probes("nurse.a")
    given = counts(plan, [[3, 4]])
    with pytest.raises(ValueError, match="claim must be list or population"):
        find([given], plan, [UNIFORM], claim="world")
    with pytest.raises(ValueError, match=r"the probe 'nurse\.a'"):
        find([given], probes("chef.a"), [UNIFORM], claim="list")
    with pytest.raises(ValueError, match="lack the column 'refused'"):
        Counts("faces", "gender", GENDER, False, given.table.drop(columns="refused"))
    with pytest.raises(ValueError, match="more labelled images than were asked for"):
        Counts("faces", "gender", GENDER, False, given.table.assign(asked=1))
