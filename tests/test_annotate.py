"""`rolecall annotate`: which images people are asked about, what the sheet says and does not say, and the way back."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import call, contents, refused
from helpers import noise_run
from hypothesis import given
from hypothesis import strategies as st

import audit
from audit import human
from audit.annotation import allot, choose, draw
from audit.errors import UsageError
from audit.store import Store
from reports import annotation
from reports.words import ReportError

SUBJECTS = "nurse,builder,office,team"
"""Two prompts for one person, one for nobody, one for several people."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the drawn phantom, never changed: 2 probes for one person × 24 images, and two others."""
    out = tmp_path_factory.mktemp("made") / "run"
    audit.run(
        model="phantom-drawn", subjects=SUBJECTS, languages="en", images=24, draws=200, threads=1, out=str(out),
        report=False,
    )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def labelled(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another copy, with a sheet of 12 images of which ben has labelled 6. Never changed."""
    folder = tmp_path_factory.mktemp("labelled")
    run = Path(shutil.copytree(made, folder / "run"))
    audit.annotate(run, images=12)
    audit.read_labels(run, [write(folder / "good.csv", labels(run, "ben"))], report=False)
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return Path(shutil.copytree(made, tmp_path / "run"))


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """120 images of noise, labelled by their colour; some are refused."""
    return noise_run(tmp_path_factory.mktemp("noise") / "run", images=40)[0]


def sheet_of(run: Path) -> pd.DataFrame:
    (path,) = (run / "human").glob("sheet-*.csv")
    return pd.read_csv(path)


Labels = Iterable[Sequence[object]]


def write(path: Path, rows: Labels, columns: Sequence[str] = human.COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def labels(run: Path, rater: str = "anna", answer: str = "woman", images: int = 6) -> list[list[object]]:
    """What a rater would give back for the first images of the run's only sheet."""
    rows = sheet_of(run).head(images).itertuples()
    return [[row.sample_id, rater, "gender", answer, row.code, row.sampling_probability] for row in rows]


def test_every_image_of_one_person_has_the_same_probability(made: Path) -> None:
    store = Store.open(made)
    drawn = draw(store, 12, seed=3)
    assert drawn.images == 48
    assert drawn.table["sampling_probability"].unique().tolist() == [12 / 48]
    assert set(drawn.table["stratum"]) == set(drawn.table["code"]) == {"all"}
    assert drawn.table["sample_id"].is_unique
    assert {probe.split(".")[0] for probe in drawn.table["probe_id"]} == {"nurse", "builder"}
    assert [name for name, _ in drawn.questions] == ["gender", "age", "ethnicity"]
    assert draw(store, 12, seed=3).digest() == drawn.digest()
    assert draw(store, 12, seed=4).digest() != drawn.digest()
    whole = draw(store, 1000, seed=3).table
    assert len(whole) == 48
    assert (whole["sampling_probability"] == 1).all()


def test_simple_draws_hold_the_predicted_classes_in_proportion() -> None:
    women = np.arange(120) < 36
    rng = np.random.default_rng(1)
    found = [women[choose(["all"] * 120, 20, rng)[0]].mean() for _ in range(1000)]
    error = np.sqrt(0.3 * 0.7 / 20 * (1 - 20 / 120) / len(found))
    assert abs(np.mean(found) - 0.3) < 4 * error
    assert np.var(found) == pytest.approx(1000 * error**2, rel=0.15)  # as hypergeometric counts vary


def test_weighted_by_the_inverse_probability_stratified_draws_are_right_on_average() -> None:
    strata = ["woman"] * 20 + ["man"] * 90 + ["unclear"] * 10
    marked = np.random.default_rng(0).random(120) < np.repeat([0.8, 0.2, 0.5], [20, 90, 10])
    rng = np.random.default_rng(1)
    weighted, plain = [], []
    for _ in range(1000):
        places, chances = choose(strata, 24, rng)
        weighted.append((marked[places] / chances).sum() / 120)
        plain.append(marked[places].mean())
    error = np.std(weighted) / np.sqrt(1000)
    assert abs(np.mean(weighted) - marked.mean()) < 4 * error
    assert abs(np.mean(plain) - marked.mean()) > 10 * error


def test_stratified_draws_hold_equally_many_of_every_answer(noise: Store) -> None:
    drawn = draw(noise, 20, seed=1, stratified=True).table
    answers = human.predictions(noise, "tint", draw(noise, 999, 0).table["sample_id"]).set_index("sample_id")
    assert drawn["stratum"].tolist() == answers.loc[drawn["sample_id"], "predicted"].tolist()
    assert drawn["stratum"].value_counts().to_dict() == {"woman": 10, "man": 10}
    sizes = answers["predicted"].value_counts()
    assert np.allclose(drawn["sampling_probability"], 10 / sizes[drawn["stratum"]].to_numpy())


def test_codes_do_not_tell_the_strata(noise: Store) -> None:
    pairs = {tuple(draw(noise, 20, seed, stratified=True).table[["stratum", "code"]].iloc[0]) for seed in range(12)}
    assert pairs == {("woman", "s1"), ("woman", "s2"), ("man", "s1"), ("man", "s2")}


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 50), min_size=1, max_size=6), st.integers(0, 300)
)
def test_places_are_given_out_evenly_and_none_is_lost(sizes: dict[str, int], images: int) -> None:
    places = allot(sizes, images)
    assert sum(places.values()) == min(images, sum(sizes.values()))
    assert all(0 <= places[name] <= size for name, size in sizes.items())
    short = [places[name] for name in sizes if places[name] < sizes[name]]
    assert not short or max(places.values()) <= min(short) + 1


def test_the_command_writes_one_blind_sheet_and_keeps_what_was_drawn(run: Path, tmp_path: Path) -> None:
    answer = call("annotate", run, "--images", 10, "--quiet")
    assert answer == (0, f"Sheet: {run / 'annotate.html'}\n", "")
    page = (run / "annotate.html").read_text(encoding="utf-8")
    drawn = sheet_of(run)
    assert list(drawn) == list(human.SHEET)
    assert len(drawn) == 10
    assert re.search(r"labelling sheet ([0-9a-f]{8})", page)[1] in next((run / "human").glob("*.csv")).name  # type: ignore[index]
    assert "default-src 'none'; img-src data:" in page
    assert not re.search(r"https?://|<link(?! rel=\"icon\" href=\"data:,\")", page)
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])  # type: ignore[index]
    assert [item[0] for item in data["items"]] == drawn["sample_id"].tolist()
    blind = re.sub(r"data:image/webp;base64,[^\"]*", "", page)
    for word in ("nurse", "builder", "portrait of", "phantom", "000001"):
        assert word not in blind
    once = page
    out = tmp_path / "deep" / "sheet.html"
    assert call("annotate", run, "--images", 10, "--lang", "de", "--out", out, "--quiet").code == 0
    assert 'lang="de"' in out.read_text(encoding="utf-8")
    assert len(list((run / "human").glob("sheet-*.csv"))) == 1
    assert call("annotate", run, "--images", 10, "--quiet").code == 0
    assert (run / "annotate.html").read_text(encoding="utf-8") == once
    assert json.loads(call("annotate", run, "--images", 3, "--json").out) == {"sheet": str(run / "annotate.html")}


def test_a_stratified_sheet_does_not_show_the_strata(run: Path) -> None:
    assert call("annotate", run, "--images", 10, "--stratified", "--attributes", "gender,age", "--quiet").code == 0
    drawn = sheet_of(run)
    assert drawn["stratum"].value_counts().to_dict() == {"woman": 5, "man": 5}
    page = (run / "annotate.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])  # type: ignore[index]
    assert {item[1] for item in data["items"]} == {"s1", "s2"}
    assert [each["attribute"] for each in data["questions"]] == ["gender", "age"]


def test_sensitive_prompts_make_the_warning_plainer(run: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    call("annotate", run, "--images", 4, "--quiet")
    assert "this sheet holds sensitive content" not in (run / "annotate.html").read_text(encoding="utf-8")
    rows = [{**row, "sensitive": True} for row in pq.read_table(run / "probes.parquet").to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows), run / "probes.parquet")
    call("annotate", run, "--images", 4, "--quiet")
    assert "this sheet holds sensitive content" in (run / "annotate.html").read_text(encoding="utf-8")


def test_labels_are_read_back_once_and_tables_follow(run: Path, tmp_path: Path) -> None:
    call("annotate", run, "--images", 12, "--stratified", "--quiet")
    anna = write(tmp_path / "anna.csv", labels(run))
    ben = write(tmp_path / "ben.csv", labels(run, "ben", "man"))
    answer = call("annotate", run, "--read", anna, ben, "--quiet")
    assert (answer.code, answer.err) == (0, ""), answer
    table = pd.read_csv(run / "human" / "labels.csv")
    assert list(table) == list(human.COLUMNS)
    assert table.groupby("rater").size().to_dict() == {"anna": 6, "ben": 6}
    merged = table.merge(sheet_of(run), on="sample_id")
    assert (merged["stratum_x"] == merged["stratum_y"]).all()  # the code stands for the predicted class again
    assert np.allclose(merged["sampling_probability_x"], merged["sampling_probability_y"])
    calibration = pd.read_csv(run / "tables" / "calibration.csv")
    assert calibration["count"].sum() == pytest.approx(6)
    assert set(calibration.query("count > 0")["viewer"]) == {"unclear"}  # anna and ben never agree
    assert "human/labels.csv" in audit.open(run).record["files"]
    before = contents(run / "human")
    assert call("annotate", run, "--read", anna, "--quiet").code == 0
    assert contents(run / "human") == before
    more = write(tmp_path / "more.csv", labels(run, images=9))
    assert call("annotate", run, "--read", more, "--quiet").code == 0
    assert len(pd.read_csv(run / "human" / "labels.csv")) == 15


def test_own_labels_of_images_on_no_sheet_are_taken(run: Path, tmp_path: Path) -> None:
    samples = audit.open(run).samples().query("probe_id == 'nurse.en.portrait'")["sample_id"].head(4)
    rows = [[sample, "ann, the first", "age", "no_person", "", 1] for sample in samples]
    read = audit.read_labels(run, [write(tmp_path / "own.csv", rows)], report=False)
    table = human.labels(Store.open(read.path))
    assert table["stratum"].tolist() == ["all"] * 4
    assert table["rater"].tolist() == ["ann, the first"] * 4


def test_raters_with_no_image_in_common_are_told(run: Path, tmp_path: Path) -> None:
    call("annotate", run, "--images", 12, "--quiet")
    rows = labels(run, images=12)
    one, two = write(tmp_path / "1.csv", rows[:5]), write(tmp_path / "2.csv", [[r[0], "ben", *r[2:]] for r in rows[6:]])
    answer = call("annotate", run, "--read", one, two, "--json")
    assert answer.code == 0
    said = [json.loads(line)["text"] for line in answer.err.splitlines() if "text" in line]
    assert "11 new labels; 11 in all, by anna, ben." in said
    assert any(
        text.startswith("anna and ben have no image in common: their agreement cannot be computed.") for text in said
    )


Change = Callable[[list[list[object]]], Labels]


def cell(column: str, value: object) -> Change:
    """Another value in one column of the third line."""

    def change(rows: list[list[object]]) -> Labels:
        rows[1][human.COLUMNS.index(column)] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cell("sample_id", "abc"), r"^bad.csv: line 3: \S+ has no image 'abc'\. Remove the line"),
        (cell("class", "womn"), r"^bad.csv: line 3: 'womn' is no class of 'gender'\. Did you mean 'woman'\?"),
        (cell("class", "young"), r"^bad.csv: line 3: 'young' is no class of 'gender'\. Known: .*woman"),
        (cell("attribute", "gendr"), r"^bad.csv: line 3: unknown attribute 'gendr'\. Did you mean 'gender'\?"),
        (cell("rater", " "), r"^bad.csv: line 3 names no rater"),
        (cell("sampling_probability", 0), r"line 3: sampling_probability must be above 0 and at most 1 \(got '0'"),
        (cell("sampling_probability", 1.5), r"sampling_probability must be above 0 and at most 1 \(got '1.5'\)"),
        (cell("sampling_probability", "half"), r"sampling_probability must be above 0 and at most 1 \(got 'half'\)"),
        (cell("sampling_probability", "nan"), r"sampling_probability must be above 0 and at most 1 \(got 'nan'\)"),
        (cell("sampling_probability", 0.9), r"has the stratum 'all' and .* 0.9, but was drawn otherwise \('all', 0.25"),
        (cell("stratum", "s9"), r"has the stratum 's9'.*Leave these columns as the sheet gave them"),
        (lambda rows: [*rows, [*rows[0][:3], "man", *rows[0][4:]]], r"^bad.csv: line 8: anna labelled .* 'man' in 'ge"),
        (lambda rows: [["0" * 64, *row[1:]] for row in rows], r"^bad.csv holds labels of another run: none of its"),
        (lambda rows: [row[:5] for row in rows], r"^bad.csv: line 2 has not as many cells as the header"),
        (lambda rows: [], r"^bad.csv holds no line below its header"),
    ],
)  # fmt: skip
def test_bad_labels_are_refused_and_nothing_is_lost(
    labelled: Path, tmp_path: Path, change: Change, message: str
) -> None:
    before = contents(labelled)
    good = write(tmp_path / "good.csv", labels(labelled, "carla"))
    bad = write(tmp_path / "bad.csv", change(labels(labelled)))
    line = refused(call("annotate", labelled, "--read", good, bad, "--quiet"))
    assert re.search(message, line), line
    assert contents(labelled) == before


def test_a_rater_who_contradicts_earlier_labels_is_refused(labelled: Path, tmp_path: Path) -> None:
    before = contents(labelled)
    second = write(tmp_path / "second.csv", labels(labelled, "ben", "man"))
    line = refused(call("annotate", labelled, "--read", second))
    assert re.search(r"^second.csv: line 2: ben labelled .* 'man' in 'gender', but 'woman' in human/labels.csv\.", line)
    assert contents(labelled) == before


@pytest.mark.parametrize("column", human.COLUMNS)
def test_a_missing_column_is_named(made: Path, tmp_path: Path, column: str) -> None:
    left = [name for name in human.COLUMNS if name != column]
    path = write(tmp_path / "short.csv", [["x"] * len(left)], left)
    assert refused(call("annotate", made, "--read", path)).startswith(f"short.csv lacks the column {column!r} (it has ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--read"], r"give files with --read"),
        (["labels.csv"], r"give files with --read, and --read with files"),
        (["--read", "nowhere.csv"], r"nowhere.csv cannot be read: No such file"),
        (["--images", 0], r"'--images'"),
        (["--attributes", "gendre"], r"attribute 'gendre' was not labelled in .*Did you mean 'gender'\?"),
        (["--stratified", "--images", 1], r"--stratified needs an image of every answer that occurs: man, woman"),
        (["--out", "/proc/none/sheet.html"], r"/proc/none/sheet.html could not be written"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)  # fmt: skip
def test_wrong_use_is_one_line(made: Path, arguments: list[object], message: str) -> None:
    before = contents(made)
    line = refused(call("annotate", made, *arguments))
    assert re.search(message, line), line
    assert contents(made) == before


def test_no_run_no_images_no_labels(run: Path, tmp_path: Path) -> None:
    assert "is no run directory" in refused(call("annotate", tmp_path / "nothing"))
    image = next((run / "images").rglob("*.webp"))
    image.write_bytes(b"no image")
    assert re.search(r"\.webp cannot be read: it holds no whole image", refused(call("annotate", run, "--images", 999)))
    shutil.rmtree(run / "images")
    assert re.search(r"\.webp cannot be read: No such file", refused(call("annotate", run)))
    assert not (run / "human").exists()
    shutil.rmtree(run / "labels")
    assert "has no complete labels of any classifier" in refused(call("annotate", run))


def test_a_sheet_that_would_be_too_large_says_how_many_fit(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotation, "LIMIT", 60_000)
    line = refused(call("annotate", run, "--images", 40))
    number = int(re.search(r"Ask for --images (\d+)", line)[1])  # type: ignore[index]
    assert 1 <= number < 40
    assert not (run / "annotate.html").exists()
    with pytest.raises(ReportError, match="Unknown report language 'fr'"):
        audit.annotate(run, lang="fr")


def test_known_truth_is_a_rater(run: Path) -> None:
    answer = call("annotate", run, "--truth", "--images", 20, "--quiet")
    assert answer.code == 0, answer
    table = human.labels(Store.open(run))
    assert set(table["rater"]) == {"truth"}
    assert len(table) == 60
    truth = {
        row["sample_id"]: json.loads(row["details"])["truth"] for row in audit.open(run).samples().to_dict("records")
    }
    for row in table.to_dict("records"):
        assert row["class"] == truth[row["sample_id"]][row["attribute"]]
    assert not (run / "annotate.html").exists()


def test_truth_where_there_is_none_is_refused(noise: Store) -> None:
    with pytest.raises(UsageError, match="does not record what its images show; only phantom-drawn does"):
        human.truth_labels(noise)


def test_truth_holds_those_who_are_not_one_person(made: Path) -> None:
    table = human.truth_labels(Store.open(made))
    assert len(table) == 4 * 24 * 3
    assert {"no_person", "several_people", "woman"} <= set(table["class"])


def test_most_raters_decide_and_ties_are_unclear() -> None:
    votes = {
        "a": ["woman", "woman", "man"],
        "b": ["woman", "man"],
        "c": ["unclear"],
        "d": ["man", "man", "woman", "woman", "unclear"],
    }
    rows = [
        [image, f"r{i}", "gender", vote, "all", 0.5] for image, each in votes.items() for i, vote in enumerate(each)
    ]
    table = human.frame(dict(zip(human.COLUMNS, row, strict=True)) for row in rows)
    found = human.majority(table.sample(frac=1, random_state=1)).set_index("sample_id")["class"]
    assert found.to_dict() == {"a": "woman", "b": "unclear", "c": "unclear", "d": "unclear"}
