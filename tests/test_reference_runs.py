"""References that are counts: another run, a training set; how they are kept and read again without their origin.

Oracle: the labels of the frozen run, counted with pandas.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import call, refused
from hypothesis import given
from hypothesis import strategies as st
from labelled import ROWS, labelled_folder

import audit
from audit.progress import Progress
from audit.reference import Reference, ReferenceDataError, load_reference
from audit.reference_files import files_of, from_counts, read_reference
from audit.statistics.gap import gap_of_list

FROZEN = Path(__file__).parent / "data" / "run-schema-1"
CLASSES = {
    "gender": ("woman", "man"),
    "age": ("young", "middle_aged", "older"),
    "ethnicity": ("ivory", "honey", "copper", "umber"),
}
HEAD = "subject,attribute,class,count\n"


def women(reference: Reference, probe_id: str, subject: str) -> float | None:
    found = reference.shares("gender", ("woman", "man"), subject=subject, keys={}, probe_id=probe_id)
    return None if found is None else float(found[0])


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A copy of the frozen run, to be changed."""
    return shutil.copytree(FROZEN, tmp_path / "base")


def change(run: Path, rows: pd.DataFrame) -> None:
    rows.to_csv(run / "tables" / "shares.csv", index=False)


# -- another run -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attribute", CLASSES)
def test_a_run_is_what_its_labels_say(attribute: str) -> None:
    reference = load_reference(f"run:{FROZEN}")
    labels = pd.concat(pd.read_parquet(path) for path in (FROZEN / "labels" / "phantom").glob("*.parquet"))
    labels = labels[(labels["attribute"] == attribute) & labels["class"].isin(CLASSES[attribute])]
    counted = pd.crosstab(labels["probe_id"], labels["class"]).reindex(columns=CLASSES[attribute], fill_value=0)
    assert len(counted) >= 2
    for probe, row in counted.iterrows():
        found = reference.shares(attribute, CLASSES[attribute], subject="?", keys={}, probe_id=str(probe))
        assert found is not None
        assert found == pytest.approx(row.to_numpy() / row.sum(), abs=1e-12)
        assert reference.size(attribute, subject="?", keys={}, probe_id=str(probe)) == row.sum()


def test_a_probe_is_matched_by_its_id_and_else_by_its_subject(other: Path) -> None:
    """Two probes of one subject with 6 images each; a third one, not in the run, meets both together."""
    shares = pd.read_csv(other / "tables" / "shares.csv")
    second = shares[shares["probe_id"] == "nurse.en.portrait"].assign(probe_id="nurse.de.portrait")
    second.loc[second["attribute"] == "gender", "count"] = 3
    change(other, pd.concat([shares, second]))
    reference = load_reference(f"run:{other}")
    assert women(reference, "nurse.en.portrait", "nurse") == 1
    assert women(reference, "nurse.de.portrait", "nurse") == 0.5
    assert women(reference, "nurse.fr.portrait", "nurse") == 0.75
    assert reference.size("gender", subject="nurse", keys={}, probe_id="nurse.fr.portrait") == 12
    assert women(reference, "baker.en.portrait", "baker") is None
    assert reference.size("gender", subject="baker", keys={}) is None


def test_rows_beside_several_references_are_counted_once(other: Path) -> None:
    shares = pd.read_csv(other / "tables" / "shares.csv")
    change(other, pd.concat([shares, shares.assign(reference="uniform")]))
    assert load_reference(f"run:{other}").sizes == load_reference(f"run:{FROZEN}").sizes


def test_a_probe_without_a_label_has_no_row(other: Path) -> None:
    shares = pd.read_csv(other / "tables" / "shares.csv")
    shares.loc[shares["probe_id"] == "ceo.en.portrait", ["count", "n"]] = 0
    change(other, shares)
    reference = load_reference(f"run:{other}")
    assert women(reference, "ceo.en.portrait", "ceo") is None
    assert women(reference, "nurse.en.portrait", "nurse") == 1
    change(other, shares.assign(n=0))
    with pytest.raises(ReferenceDataError, match="has no labelled image"):
        load_reference(f"run:{other}")


def test_the_card_says_what_is_not_in_the_tests() -> None:
    card = load_reference(f"run:{FROZEN}").card
    assert "phantom" in str(card["source"])
    caveats = " ".join(card["caveats"])  # type: ignore[arg-type]
    assert "counted, on 6 labelled images a probe. This sampling error of its own is not in the tests" in caveats


def test_the_excess_of_a_counted_reference_is_as_documented() -> None:
    """docs/references.md: (1 − Σ r²)/n on the squared distance, and a gap of .12 where there is none; by simulation."""
    rng, n, probes = np.random.default_rng(5), 50, 4000
    x, y = rng.multinomial(n, [0.5, 0.5], probes), rng.multinomial(n, [0.5, 0.5], probes) / n
    squared = (x * (x - 1) / (n * (n - 1)) - 2 * y * x / n + y**2).sum(axis=1)
    assert squared.mean() == pytest.approx((1 - 0.5) / n, abs=4 * squared.std() / np.sqrt(probes))
    assert gap_of_list(x.astype(float), y).gap == pytest.approx(0.12, abs=0.005)


def test_whose_labels(other: Path) -> None:
    shares = pd.read_csv(other / "tables" / "shares.csv")
    turned = shares.assign(classifier="faces", count=shares["n"] - shares["count"])
    change(other, pd.concat([shares, turned[turned["attribute"] == "gender"]]))
    with pytest.raises(
        ReferenceDataError, match=r"labels of 2 classifiers \(phantom, faces\)\. Say whose: run:.*@phantom"
    ):
        load_reference(f"run:{other}")
    assert women(load_reference(f"run:{other}@faces"), "nurse.en.portrait", "nurse") == 0
    assert load_reference(f"run:{other}@faces").name == "run-run-schema-1-faces"
    with pytest.raises(ReferenceDataError, match=r"has no labels of 'face': did you mean 'faces'\?"):
        load_reference(f"run:{other}@face")


def test_runs_that_are_none(other: Path, tmp_path: Path) -> None:
    with pytest.raises(ReferenceDataError, match=r"reference run:.*is no run directory"):
        load_reference(f"run:{tmp_path}")
    (other / "tables" / "shares.csv").unlink()
    with pytest.raises(ReferenceDataError, match=r"has no tables/shares\.csv yet"):
        load_reference(f"run:{other}")


# -- a training set --------------------------------------------------------------------------------------------------


def own(folder: Path, text: str) -> str:
    (folder / "laion.csv").write_text(text, encoding="utf-8")
    return f"training:{folder / 'laion.csv'}"


def test_counts_of_a_training_set_become_shares(tmp_path: Path) -> None:
    reference = load_reference(own(tmp_path, HEAD + "nurse,gender,woman,90\nnurse,gender,man,30\n*,gender,woman,1.0\n"))
    assert reference.name == "laion"
    assert women(reference, "", "nurse") == 0.75
    assert women(reference, "", "ceo") == 1
    assert reference.size("gender", subject="nurse", keys={}) == 120
    assert reference.card["title"] == "Counts of a training set"
    assert "sampling error is not in the tests" in str(reference.card["caveats"])


def test_its_own_card_comes_first(tmp_path: Path) -> None:
    name = own(tmp_path, HEAD + "nurse,gender,woman,90\nnurse,gender,man,30\n")
    (tmp_path / "laion.yaml").write_text("title: LAION faces\ncaveats: [By FairFace.]\n")
    assert load_reference(name).card["title"] == "LAION faces"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEAD + "nurse,gender,woman,-3\n",
            "line 2: count must be a whole number of 0 or more (got -3). Count each image",
        ),
        (HEAD + "nurse,gender,woman,2.5\n", "count must be a whole number of 0 or more (got 2.5)"),
        (HEAD + "nurse,gender,woman,many\n", "(got many)"),
        (HEAD + "nurse,gender,woman,\n", "(got nothing)"),
        (HEAD + "nurse,gender,woman,inf\n", "(got inf)"),
        (HEAD + "nurse,gender,woman,nan\n", "(got nan)"),
        (HEAD + "nurse,gender,woman,0\nnurse,gender,man,0\n", "counts of 'gender' for 'nurse' add up to 0"),
        ("subject,attribute,class,share\nnurse,gender,woman,1\n", "has no column count, which a training set needs"),
        (HEAD + "nurse,gender,woman,1\nnurse,gender,woman,1\n", "gives 'woman' of 'gender' for 'nurse' a second time"),
    ],
)
def test_counts_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ReferenceDataError) as caught:
        load_reference(own(tmp_path, text))
    assert message in str(caught.value)
    assert "laion.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


# -- kept in a run ---------------------------------------------------------------------------------------------------


def kept(reference: Reference, folder: Path) -> Reference:
    """The reference after it was written and its origin is gone."""
    for name, content in files_of(reference).items():
        (folder / name).write_bytes(content)
    return read_reference(folder / f"{reference.name}.csv")


def test_a_run_is_kept_as_counts(other: Path, tmp_path: Path) -> None:
    reference = load_reference(f"run:{other}")
    shutil.rmtree(other)
    again = kept(reference, tmp_path)
    assert again.digest() == reference.digest()
    assert again.sizes == reference.sizes
    assert again.card == reference.card
    assert load_reference(str(tmp_path / f"{reference.name}.csv")).table == reference.table


def test_a_training_set_is_kept_with_its_card(tmp_path: Path) -> None:
    reference = load_reference(own(tmp_path, HEAD + "nurse,gender,woman,2\nnurse,gender,man,1\n"))
    folder = tmp_path / "references"
    folder.mkdir()
    again = kept(reference, folder)
    assert again.card == reference.card
    assert (again.digest(), again.sizes) == (reference.digest(), reference.sizes)


def test_own_files_are_kept_byte_for_byte(tmp_path: Path) -> None:
    text = "subject,attribute,class,share\r\n*,age,child,.25\r\n*,age,adult,.75\r\n"
    (tmp_path / "mine.csv").write_bytes(text.encode())
    (tmp_path / "mine.yaml").write_text("title: Mine\noptional: {age: [child]}\n")
    files = files_of(load_reference(str(tmp_path / "mine.csv")))
    assert files["mine.csv"] == text.encode()
    assert files["mine.yaml"].startswith(b"title: Mine")


def test_shares_with_all_of_their_card_are_kept(tmp_path: Path) -> None:
    """A reference made in Python has no file: what it depends on is written and read again."""
    reference = Reference(
        "mine",
        {"title": "Mine", "source": "", "year": "2020", "universe": "", "caveats": ["None."]},
        {"age": {"*": {"child": 1 / 3, "adult": 2 / 3}}, "ethnicity": {"*": {"white": 0.7, "hispanic": 0.6}}},
        overlapping=frozenset({"ethnicity"}),
        aliases={"ethnicity": {"latino": "hispanic"}},
        optional={"age": frozenset({"child"})},
    )
    again = kept(reference, tmp_path)
    assert again.digest() == reference.digest()
    assert again.card == reference.card


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=9).filter(any))
def test_counts_survive_being_shares(tmp_path_factory: pytest.TempPathFactory, counts: list[int]) -> None:
    """count → share → count is exact, up to a thousand million images."""
    table = {"gender": {"nurse": {f"c{i}": float(count) for i, count in enumerate(counts)}}}
    reference = from_counts(Reference("r", {}, table), "r")
    lines = files_of(reference)["r.csv"].decode().splitlines()[1:]
    assert [int(line.split(",")[3]) for line in lines] == counts


# -- by the command --------------------------------------------------------------------------------------------------


def test_a_run_against_another_run(tmp_path: Path) -> None:
    """The other run is gone when the tables are made again: its counts are in references/."""
    images, table, codes = labelled_folder(tmp_path)
    options = ("--folders", "subject/condition", "--codes", codes, "--threads", 1, "--draws", 200, "--quiet")
    base, new = tmp_path / "base", tmp_path / "new"
    assert call("import", images, "--human-labels", table, "--out", base, *options).code == 0
    labelled_folder(tmp_path, {**ROWS, "/nurse/baseline/a0.png": ("M", "white")})
    answer = call("import", images, "--human-labels", table, "--out", new, "--reference", f"run:{base}", *options)
    assert answer.code == 0, answer
    before = pd.read_csv(new / "tables" / "shares.csv")
    nurses = before[(before["subject"] == "nurse") & (before["class"] == "woman")]
    assert nurses["reference"].tolist() == ["run-base"]
    assert nurses["reference_share"].item() == 1
    assert nurses["share"].item() == pytest.approx(2 / 3)
    shutil.rmtree(base)
    assert sorted(path.name for path in (new / "references").iterdir()) == [
        *("run-base.answers.csv", "run-base.csv", "run-base.yaml")
    ]
    assert call("analyze", new, "--quiet").code == 0
    pd.testing.assert_frame_equal(pd.read_csv(new / "tables" / "shares.csv"), before)
    record = json.loads((new / "run.json").read_text(encoding="utf-8"))
    assert "labelled by human" in record["reference_cards"]["run-base"]["source"]


def test_references_are_listed_and_shown(tmp_path: Path) -> None:
    listed = call("references")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == [
        *("de-population-2021", "de-women-share", "phantom-world", "uniform", "us-labour-2022"),
        *("us-population-2020", "world-population-2021"),
    ]
    shown = call("references", "de-women-share").out
    assert "caveat: Years, sources and universes differ by row" in shown
    assert "KldB 823 Körperpflege (2022)" in shown
    assert "woman 0.857, man 0.143 [2022, IAB" in shown
    assert "(n = 6)" in call("references", f"run:{FROZEN}").out
    assert "any attribute" in listed.out
    assert "did you mean 'de-women-share'?" in refused(call("references", "de-woman-share"))


def test_a_phantom_beside_counts_of_drawings_can_be_run_again(tmp_path: Path) -> None:
    counts = tmp_path / "even.csv"
    counts.write_text("subject,attribute,class,count\n*,gender,woman,50\n*,gender,man,50\n")
    options = {
        "model": "phantom-drawn",
        "subjects": ("nurse",),
        "images": 4,
        "draws": 200,
        "reference": (f"training:{counts}",),
        "out": tmp_path / "run",
    }
    for _ in range(2):
        run = audit.run(**options, progress=Progress("quiet"))
        assert list(run.gaps("gender")["reference"].unique()) == ["even"]
