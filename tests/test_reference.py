"""References: published shares, own files, and what is refused."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.classifiers.base import Question
from audit.reference import (
    REFERENCES,
    Coverage,
    Reference,
    ReferenceDataError,
    coverage,
    load_reference,
    reference_names,
)
from audit.reference_files import read_rows
from probes.probe import Probe

GENDER = ["woman", "man"]
FAIRFACE = ["white", "black", "latino_hispanic", "east_asian", "southeast_asian", "indian", "middle_eastern"]
US = "us-labour-2022"


def shares(reference: Reference, classes: Sequence[str] = GENDER, subject: str = "nurse", **keys: str) -> object:
    found = reference.shares("gender", classes, subject=subject, keys={k.replace("_", "-"): v for k, v in keys.items()})
    return None if found is None else [round(float(x), 6) for x in found]


def own(folder: Path, text: str, name: str = "mine.csv", card: str = "") -> Reference:
    (folder / name).write_text(text, encoding="utf-8")
    if card:
        (folder / name).with_suffix(".yaml").write_text(card, encoding="utf-8")
    return load_reference(str(folder / name))


def test_names() -> None:
    assert reference_names() == [
        *("de-population-2021", "de-women-share", "phantom-world", "uniform", US),
        *("us-population-2020", "world-population-2021"),
    ]


def test_uniform() -> None:
    uniform = load_reference("uniform")
    assert shares(uniform) == [0.5, 0.5]
    assert shares(uniform, ["a", "b", "c", "d"]) == [0.25] * 4
    found = uniform.one_vs_rest("ethnicity", FAIRFACE, subject="nurse", keys={})
    assert found is not None
    assert np.allclose(found, 1 / 7)


def test_us_labour_gender() -> None:
    reference = load_reference(US)
    assert shares(reference, us_labour_2022="Registered nurses") == [0.879, 0.121]
    assert shares(reference, ["man", "woman"], us_labour_2022="Chief executives") == [0.708, 0.292]
    assert shares(reference) is None
    assert shares(reference, ["woman", "man", "nonbinary"], us_labour_2022="Registered nurses") == [0.879, 0.121, 0.0]


def test_us_labour_ethnicity_overlaps() -> None:
    """Each class against the rest; no class of its own for people whom the survey calls Asian."""
    reference, keys = load_reference(US), {US: "Registered nurses"}
    assert reference.shares("ethnicity", FAIRFACE, subject="nurse", keys=keys) is None
    found = reference.one_vs_rest("ethnicity", FAIRFACE, subject="nurse", keys=keys)
    assert found is not None
    assert np.allclose(found, [0.736, 0.145, 0.084, *[np.nan] * 4], equal_nan=True, atol=0.02)
    asian = reference.one_vs_rest("ethnicity", ["asian", "other"], subject="nurse", keys=keys)
    assert asian is not None
    assert not np.isnan(asian[0])
    assert np.isnan(asian[1])
    assert reference.one_vs_rest("ethnicity", ["ivory", "umber"], subject="nurse", keys=keys) is None
    assert reference.one_vs_rest("skin_tone", ["1", "2"], subject="nurse", keys=keys) is None


def test_us_labour_is_the_published_table(shared_data: Path) -> None:
    """Every published share, as it stands in the source, and nothing else."""
    with (shared_data / "references" / "us_bls_cps_table11_2022.csv").open(encoding="utf-8") as file:
        published = [row for row in csv.DictReader(file) if row["women_pct"]]
    with (REFERENCES / f"{US}.csv").open(encoding="utf-8") as file:
        ours = {(r["key"], r["attribute"], r["class"]): float(r["share"]) for r in csv.DictReader(file)}
    assert sum(row["level"] == "detailed" for row in published) == 362
    assert len(ours) == 6 * len(published)
    for row in published:
        key = row["occupation"]
        assert ours[key, "gender", "woman"] == pytest.approx(float(row["women_pct"]) / 100)
        assert ours[key, "gender", "man"] == pytest.approx(1 - float(row["women_pct"]) / 100)
        for name in ("white", "black", "asian", "hispanic"):
            assert ours[key, "ethnicity", name] == pytest.approx(float(row[f"{name}_pct"]) / 100)


@pytest.mark.parametrize("name", reference_names())
def test_cards(name: str) -> None:
    card = load_reference(name).card
    needed = {"title", "source", "year", "universe", "caveats"}
    assert needed <= set(card) <= needed | {"url", "mapping"}
    for key in ("caveats", *({"mapping"} & set(card))):
        sentences = card[key]
        assert isinstance(sentences, list)
        assert sentences
        assert all(isinstance(sentence, str) for sentence in sentences)
    if name not in ("uniform", "phantom-world"):
        assert all(card[key] for key in (*needed, "mapping"))


def test_own_csv(tmp_path: Path) -> None:
    reference = own(
        tmp_path,
        "subject,attribute,class,share\nnurse,gender,woman,.9\nnurse,gender,man,.1\n*,gender,man,.4\n*,gender,woman,.6\n",
    )
    assert reference.name == "mine"
    assert shares(reference) == [0.9, 0.1]
    assert shares(reference, subject="ceo") == [0.6, 0.4]
    assert shares(reference, subject="ceo", mine="nurse") == [0.9, 0.1]
    assert reference.shares("age", ["young", "older"], subject="nurse", keys={}) is None
    assert reference.one_vs_rest("gender", ["woman", "other"], subject="ceo", keys={})[0] == 0.6  # type: ignore[index]


def test_own_csv_with_a_card_may_overlap(tmp_path: Path) -> None:
    text = "key,attribute,class,share\n*,ethnicity,white,.7\n*,ethnicity,hispanic,.5\n"
    reference = own(
        tmp_path, text, card="title: Mine\noverlapping: [ethnicity]\nclasses: {ethnicity: {latino: hispanic}}\n"
    )
    assert reference.card["title"] == "Mine"
    assert "overlapping" not in reference.card
    found = reference.one_vs_rest("ethnicity", ["latino", "white"], subject="x", keys={})
    assert found is not None
    assert found.tolist() == [0.5, 0.7]


def test_rounded_shares_are_scaled_to_one(tmp_path: Path) -> None:
    text = "subject,attribute,class,share\n*,age,a,.333\n*,age,b,.333\n*,age,c,.333\n"
    found = own(tmp_path, text).shares("age", ["a", "b", "c"], subject="x", keys={})
    assert found is not None
    assert found.sum() == pytest.approx(1, abs=1e-15)


def test_the_digest_follows_the_numbers(tmp_path: Path) -> None:
    text = "subject,attribute,class,share\n*,gender,woman,.6\n*,gender,man,.4\n"
    first = own(tmp_path, text, card="title: One\n").digest()
    assert own(tmp_path, text, card="title: Two\n").digest() == first
    assert own(tmp_path, text.replace(".6", ".5").replace(".4", ".5")).digest() != first


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1).filter(
            lambda t: t == t.strip()
        ),
        st.floats(0, 1),
        min_size=1,
    )
)
def test_table_round_trip(rows: dict[str, float]) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["share", "class", "key", "attribute"])
    writer.writerows([repr(share), "woman", key, "gender"] for key, share in rows.items())
    found = read_rows(out.getvalue(), "x.csv")
    assert found.values == {"gender": {key: {"woman": share} for key, share in rows.items()}}


HEAD = "subject,attribute,class,share\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("subject,attribute,class,shares\n", "column 'shares' is unknown: did you mean 'share'?"),
        ("subject,attribute,class,share,note\n", "column 'note' is unknown"),
        (
            "attribute,class,share\n",
            "needs the columns subject (or key), attribute, class and share (or count), once each",
        ),
        ("subject,attribute,class,share,count\n", "needs the columns subject (or key)"),
        ("subject,key,attribute,class,share\n", "needs the columns subject (or key)"),
        ("", "(got none)"),
        (HEAD, "holds no row"),
        (
            HEAD + "nurse,gender,woman,.6\nnurse,gender,man,.6\n",
            "'gender' for 'nurse' add up to 1.2, not 1 (0.2 too much)",
        ),
        (HEAD + "nurse,gender,woman,.6\n", "add up to 0.6, not 1 (0.4 too little). Give the share of every class."),
        (HEAD + "nurse,gender,woman,60\n", "must be from 0 to 1 (got 60). Divide percentages by 100."),
        (HEAD + "nurse,gender,woman,-1\n", "must be from 0 to 1 (got -1)."),
        (HEAD + "nurse,gender,woman,nan\n", "must be from 0 to 1 (got nan)."),
        (HEAD + "nurse,gender,woman,—\n", "line 2: share must be a number from 0 to 1 (got '—'). Leave out rows"),
        (HEAD + "nurse,gender,woman,\n", "must be a number from 0 to 1 (got '')"),
        (
            HEAD + "nurse,gender,woman,.5\nnurse,gender,woman,.5\n",
            "line 3 gives 'woman' of 'gender' for 'nurse' a second time",
        ),
        (HEAD + "nurse,gender,,1\n", "line 2 has an empty cell"),
        (HEAD + "cooks, all,gender,woman,1\n", "Put names with commas in quotes"),
    ],
)
def test_own_csv_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ReferenceDataError) as caught:
        own(tmp_path, text)
    assert message in str(caught.value)
    assert "mine.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("- a", "must be a mapping"),
        ("tittle: x", "unknown key 'tittle': did you mean 'title'?"),
        ("overlapping: gender", "overlapping must be a list"),
        ("optional: {age: child}", "optional must map attributes, each to a list"),
        ("classes: {gender: [woman]}", "classes must map attributes, each to a mapping"),
        ("title: [", "no valid YAML in line 1"),
    ],
)
def test_cards_refused(tmp_path: Path, card: str, message: str) -> None:
    with pytest.raises(ReferenceDataError) as caught:
        own(tmp_path, HEAD + "*,gender,woman,1\n", card=card)
    assert message in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_unknown_classes_are_named(tmp_path: Path) -> None:
    women = own(tmp_path, HEAD + "*,gender,women,.6\n*,gender,men,.4\n")
    with pytest.raises(ReferenceDataError, match=r"names class 'women' of 'gender', .* did you mean 'woman'"):
        shares(women)
    partly = own(tmp_path, HEAD + "*,gender,woman,.6\n*,gender,diverse,.4\n")
    lists = "The reference has woman, diverse; the classifier has woman, man. Use the same classes in both."
    with pytest.raises(ReferenceDataError, match="names class 'diverse' of 'gender'.*" + re.escape(lists)):
        shares(partly)
    other = own(tmp_path, HEAD + "*,gender,ivory,.6\n*,gender,umber,.4\n")
    assert shares(other) is None


def test_unknown_rows_are_named() -> None:
    with pytest.raises(ReferenceDataError, match=r"has no row 'Registerd nurses' .* did you mean 'Registered nurses'"):
        shares(load_reference(US), us_labour_2022="Registerd nurses")


def test_unknown_references(tmp_path: Path) -> None:
    with pytest.raises(ReferenceDataError, match="unknown reference 'us-labor-2022': did you mean 'us-labour-2022'"):
        load_reference("us-labor-2022")
    with pytest.raises(ReferenceDataError, match="cannot be read: No such file"):
        load_reference(str(tmp_path / "nowhere.csv"))
    with pytest.raises(ReferenceDataError, match="has the name of a built-in reference"):
        own(tmp_path, HEAD + "*,gender,woman,1\n", name="uniform.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff")
    with pytest.raises(ReferenceDataError, match="is not UTF-8"):
        load_reference(str(tmp_path / "x.csv"))


def probe(name: str, subject: str = "nurse", **more: object) -> Probe:
    return Probe(name, "", subject, "occupation", **more)  # type: ignore[arg-type]


def test_a_row_of_a_probe_comes_before_that_of_its_subject(tmp_path: Path) -> None:
    """Key, then probe, then subject, then every probe."""
    rows = {"probe:nurse.photo": 0.1, "nurse": 0.2, "*": 0.3, "other": 0.4}
    text = "".join(f"{row},gender,woman,{x}\n{row},gender,man,{1 - x}\n" for row, x in rows.items())
    reference = own(tmp_path, HEAD + text)

    def women(one: Probe) -> float:
        found = reference.shares("gender", GENDER, subject=one.subject, keys=one.keys, probe_id=one.probe_id)
        assert found is not None
        return round(float(found[0]), 6)

    assert women(probe("nurse.photo", keys={"mine": "other"})) == 0.4
    assert women(probe("nurse.photo")) == 0.1
    assert women(probe("nurse.portrait")) == 0.2
    assert women(probe("nurse", "ceo")) == 0.3


def test_coverage_counts_the_probes_that_could_be_compared(tmp_path: Path) -> None:
    reference = own(tmp_path, HEAD + "nurse,gender,woman,.9\nnurse,gender,man,.1\n")
    probes = [
        probe("nurse.photo"),
        probe("ceo.photo", "ceo"),
        probe("nurses", people="several"),
        probe("woman.nurse", asked={"gender": "woman"}),
    ]
    assert coverage(reference, probes, Question("gender", ("woman", "man"))) == Coverage(1, 2)
    assert coverage(reference, probes, Question("age", ("young", "older"))) == Coverage(0, 3)
    assert coverage(load_reference("uniform"), probes, Question("age", ("young", "older"))) == Coverage(3, 3)


def test_coverage_counts_overlapping_classes_too() -> None:
    """Of the people in an occupation the survey knows White, Black, Asian and Hispanic, each against the rest."""
    known = probe("nurse.photo", keys={US: "Registered nurses"})
    question = Question("ethnicity", tuple(FAIRFACE))
    assert coverage(load_reference(US), [known, probe("athlete", "athlete")], question) == Coverage(1, 2)


def test_years_and_sources_of_rows_are_kept(tmp_path: Path) -> None:
    text = "key,attribute,class,share,year,source\na,gender,woman,1,2020,Somebody\nb,gender,woman,1,,\n"
    reference = own(tmp_path, text)
    assert reference.origins == {"a": "2020, Somebody"}


def test_a_class_that_may_be_missing(tmp_path: Path) -> None:
    """Without the class `child` the shares are those among adults; any other missing class is refused."""
    text = HEAD + "*,age,child,.2\n*,age,young,.2\n*,age,older,.6\n"
    reference = own(tmp_path, text, card="optional: {age: [child]}\n")
    found = reference.shares("age", ["young", "older"], subject="x", keys={})
    assert found is not None
    assert found.tolist() == pytest.approx([0.25, 0.75], abs=1e-15)
    whole = reference.shares("age", ["child", "young", "older"], subject="x", keys={})
    assert whole is not None
    assert whole.tolist() == pytest.approx([0.2, 0.2, 0.6], abs=1e-15)
    assert reference.digest() != own(tmp_path, text, name="mine.csv", card="title: x\n").digest()
    with pytest.raises(ReferenceDataError, match="names class 'young' of 'age'"):
        reference.shares("age", ["child", "older"], subject="x", keys={})
