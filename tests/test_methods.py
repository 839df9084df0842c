"""The methods of a run for a paper: every number in it is in run.json or follows from the tables, nothing is said that
the run did not do, and what is cited is listed.

Oracle: the numbers are taken anew from run.json and from the CSV files with pandas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import call, refused
from helpers import Tint
from labelled import labelled_folder
from noise_audit import noise_audit
from PIL import Image
from stored import CLASSES, drawn, store_run

import audit
from audit import human
from audit.annotation import draw
from audit.calibration import tabulate
from audit.classifiers.base import Question
from audit.known_errors import how_corrected
from audit.statistics.inversion import corrected_shares
from audit.store import Store
from probes.plan import digest_of
from reports.citing import sources

OLD = Path(__file__).parent / "data" / "run-schema-1"
DIFFUSERS = {
    "kind": "diffusers", "revision": "abc123", "scheduler": {"class": "DDIMScheduler"}, "steps": 15, "guidance": 7.5,
    "width": 64, "height": 96, "negative_prompt": "nothing", "lora": [{"file": "l.safetensors", "weight": 0.8, "sha256":
    "0123456789abcdef"}], "dtype": "bf16", "device": "cuda", "batch_size": 4, "intervention": "in colour",
}  # fmt: skip
CORRECTED = re.compile("correct|post-strat|inverting|Tenenbein|Lang and|Begg|α of|Krippendorff")


def record_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "run.json").read_text("utf-8")))


def table(run: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(run / "tables" / f"{name}.csv", keep_default_na=False, na_values=[""])


def paragraphs(text: str) -> str:
    """What is said, without the list of references and without names."""
    return re.sub(r"`[^`]*`", "", text.partition("## References")[0])


def figures(text: str) -> set[str]:
    """The numbers in what is said, but for the years of works and those within a word."""
    said = re.sub(r"[a-z.] \d{4}(?=[);,])|SHA-256", "", paragraphs(text))
    return {found.rstrip(",") for found in re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)*", said)}


def shown(numbers: Iterable[float]) -> set[str]:
    return {f"{number:,}" for number in numbers}


def percents(shares: Iterable[float]) -> set[str]:
    return {f"{100 * share:.1f}".removesuffix(".0") for share in shares}


def expected(run: Path) -> set[str]:
    """Every number that may be said of any run, from run.json and the tables."""
    record, missing = record_of(run), table(run, "missing")
    settings = record["config"]["resolved"]
    probes = missing.drop_duplicates("probe_id")
    asked = int(probes["asked"].sum())
    whole = [int(probes[name].sum()) for name in ("made", "refused", "failed")]
    found = shown([*whole, asked, len(probes), probes["subject"].nunique(), len(record["suite"]["languages"])])
    found |= percents(number / asked for number in whole)
    single = missing[missing["people"] == "one"]
    found |= shown([single["probe_id"].nunique()])
    for _, rows in single.groupby(["classifier", "attribute"]):
        for name in ("refused", "failed", "no_person", "several_people", "unclear", "labelled"):
            found |= shown([int(rows[name].sum()), int(rows["asked"].sum())])
            found |= percents([rows[name].sum() / rows["asked"].sum()])
    margins = [each["fingerprint"].get("margins") or {} for each in record["classifiers"].values()]
    found |= {f"{value:g}" for each in margins for value in each.values()}
    wordings = [each["fingerprint"].get("wordings") or {} for each in record["classifiers"].values()]
    found |= set(re.findall(r"[\d.]+", " ".join(each.get("version", "") for each in wordings)))
    found |= set(re.findall(r"\d+", f"{record['created'][:10]} {record['finished'][:10]}"))
    found |= set(re.findall(r"[\d.]+", f"{record['rolecall']} {record['suite']['version']}"))
    found |= {str(record["plan"]["seed"]), f"{settings['draws']:,}", "0", "1"}
    alpha, delta = settings.get("alpha", 0.05), settings.get("delta", 0.05)
    return found | percents([1 - alpha]) | {f"{alpha:g}", f"{100 * delta:g}", str(record["plan"]["images"])}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of which two people labelled 20 images, drawn evenly over the classifier's answers; one is refused."""
    run = noise_audit(tmp_path_factory.mktemp("labelled") / "noise")
    store = Store.open(run)
    rows = draw(store, 12, 0, stratified=True).table.reset_index(drop=True)
    chances = np.where(rows["stratum"] == "woman", 0.8, 0.4)
    answers = [
        (sample, rater, "gender", "man" if place % 4 == 0 or (rater, place) == ("ben", 1) else "woman", stratum, chance)
        for place, (sample, stratum, chance) in enumerate(zip(rows["sample_id"], rows["stratum"], chances, strict=True))
        for rater in ("anna", "ben")
    ]  # fmt: skip
    human.write(store, human.frame(dict(zip(human.COLUMNS, row, strict=True)) for row in answers))
    audit.analyze(run, report=False)
    return run


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stored run of a diffusion model as a claim about such prompts: two attributes, some images without a class."""
    rng = np.random.default_rng(5)
    gender = drawn(np.tile([0.8, 0.2], (12, 1)), 20, CLASSES["gender"], rng)
    gender = np.where(
        rng.random(gender.shape) < 0.1, rng.choice(["refused", "unclear", "no_person"], gender.shape), gender
    )
    age = drawn(np.tile([0.3, 0.4, 0.3], (12, 1)), 20, CLASSES["age"], rng)
    return store_run(tmp_path_factory.mktemp("stored") / "a-model", {"gender": gender, "age": age}, model=DIFFUSERS)


def changed(run: Path, folder: Path, **keys: Any) -> Path:
    """A copy of a run with other keys in run.json."""
    import shutil

    copy = Path(shutil.copytree(run, folder / run.name))
    Store.open(copy).update(**keys)
    return copy


def test_a_run_of_the_first_version(tmp_path: Path) -> None:
    text = audit.methods(OLD)
    record = record_of(OLD)
    assert figures(text) - (expected(OLD)) == set()
    assert f"`{digest_of(record['model']['fingerprint'])[:12]}`" in text
    assert f"SHA-256 `{record['suite']['digest'][:12]}`" in text
    fingerprint = record["classifiers"]["phantom"]["fingerprint"]
    assert f"weights SHA-256 `{fingerprint['weights_sha256'][:12]}`" in text
    assert f"`phantom` 1.0 (SHA-256 `{fingerprint['wordings']['digest'][:12]}`)" in text
    assert f"SHA-256 `{record['reference_digests']['phantom-world'][:12]}`" in text
    assert "4 prompts about 4 subjects in 1 language (en); each was used for 6 images" in text
    assert "age (young, middle aged, older, in this order, unclear with a lead below 0.1)" in text
    assert "For perceived gender, age and ethnicity, the classifier's errors are in no figure." in text
    assert "records no deviation" in text and "invented peoples" in text
    assert not CORRECTED.search(paragraphs(text))


def test_every_number_of_a_run_that_people_labelled(labelled: Path) -> None:
    text, said = audit.methods(labelled), paragraphs(audit.methods(labelled))
    labels = pd.read_csv(labelled / "human" / "labels.csv")
    calibration, agreement = table(labelled, "calibration"), table(labelled, "agreement")
    own = (
        calibration[calibration["viewer"] == calibration["predicted"]].dropna(subset="rate").set_index("viewer")["rate"]
    )
    alpha = agreement[agreement["first"] == "raters"].iloc[0]
    images, raters = labels["sample_id"].nunique(), labels["rater"].nunique()
    known = {f"{alpha[name]:.2f}" for name in ("alpha", "alpha_low", "alpha_high")}
    assert figures(text) - (expected(labelled) | shown([images, raters]) | percents(own) | known | {"20"}) == set()
    assert f"{raters} people labelled {images} images of the run, drawn with unequal probabilities" in said
    assert f"α {alpha['alpha']:.2f}, {alpha['alpha_low']:.2f} to {alpha['alpha_high']:.2f}" in said
    rates = [f"{percents([own[name]]).pop()} % ({name})" for name in ("woman", "man")]
    assert f"the classifier gave the same for {' and '.join(rates)} of these images" in said
    assert "anna" not in text and "ben" not in text
    cited = {"Begg and Greenes 1983", "Krippendorff 2004", "Lang and Reiczigel 2014", "Tenenbein 1970", "Wilson 1927"}
    assert all(name in said for name in cited)
    assert "Davison" not in text and "Monte-Carlo χ² test" not in said  # two classes only: no such test was made
    refused_ = table(labelled, "missing")["refused"].sum()
    assert refused_ > 0 and f"{refused_} ({percents([refused_ / 24]).pop()} %) " in said


def test_labels_that_were_made_later_are_told(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.classifiers.registry.load_classifier", lambda name, **_: Tint(margin=9.0))
    run = audit.label(changed(labelled, tmp_path), margin=0.5, report=False)
    text, missing = audit.methods(run), table(run.path, "missing").query("classifier == 'tint-margin-0.5'")
    assert "Deviations that the run records: labelled later by `tint-margin-0.5` too." in text
    unclear, asked = int(missing["unclear"].sum()), int(missing["asked"].sum())
    assert unclear > 0 and f"{unclear} ({percents([unclear / asked]).pop()} %) unclear)." in text
    for name in ("tint", "tint-margin-0.5"):
        assert f"For perceived gender by `{name}`, 2 people labelled 12 images of the run" in text
    assert "inverting the confusion with a score interval" in text  # the unclear are an answer of their own


def test_labels_of_all_images_and_of_known_truth(labelled: Path, tmp_path: Path) -> None:
    copy = changed(labelled, tmp_path)
    (copy / "human" / "labels.csv").unlink()
    audit.read_truth(copy, images=1000)
    text = paragraphs(audit.methods(copy))
    made = int(table(copy, "missing")["made"].sum())
    assert f"the known truth of all {made} images stands for people's labels" in text
    assert "person labelled" not in text and "at random" not in text and "Krippendorff" not in text


def test_a_stored_run_of_a_diffusion_model(stored: Path) -> None:
    text = audit.methods(stored)
    model = {"15", "7.5", "64", "96", "4", "0.8"}
    assert figures(text) - (expected(stored) | model) == set()
    for said in (
        "revision `abc123`",
        "It ran on cuda, in bf16, with the scheduler `DDIMScheduler`, 15 steps, guidance 7.5, 64 pixels wide, 96 "
        "pixels high, in batches of 4.",
        "The negative prompt was “nothing”.",
        "The LoRA weights `l.safetensors` (SHA-256 `0123456789ab`) entered with the weight 0.8.",
        "“in colour” was added to every prompt.",
        "as a claim about these very prompts, a normal one on the squared scale",
        "an exact binomial test (two classes) or a Monte-Carlo χ² test with 200 draws",
        "shares of ordered classes (age) are cumulated",
        "the interval lies beyond the reference by more than 5 percentage points (gender and age)",
    ):
        assert said in text, said
    missing = table(stored, "missing").query("attribute == 'gender'")
    lost = [f"{missing[way].sum()} ({percents([missing[way].sum() / 240]).pop()} %)" for way in
            ("refused", "no_person", "unclear")]  # fmt: skip
    assert f"(not: {lost[0]} refused, {lost[1]} without a person, {lost[2]} unclear)" in text
    assert not CORRECTED.search(paragraphs(text))


def test_a_claim_about_such_prompts_counts_their_subjects(stored: Path, tmp_path: Path) -> None:
    primary = {"attribute": "age", "reference": "uniform", "claim": "population"}
    text = audit.methods(changed(stored, tmp_path, primary=primary))
    assert "Student's *t* over 12 subjects on the squared scale, corrected for skewness (Hall 1992)" in text
    assert "Hoeffding" not in text
    assert "perceived age by `chosen`, compared with `uniform`, as a claim about prompts like these" in text


def test_declared_rates_and_whatever_came_later_are_told(stored: Path, tmp_path: Path) -> None:
    copy = changed(
        stored, tmp_path, identity={"classifiers": {"chosen": {}}}, forgotten=3, extended=[{"from": 10, "images": 20}]
    )
    rates, own = tmp_path / "rates.yaml", tmp_path / "own.csv"
    rates.write_text("source: a pilot\ngender: {woman: [0.9, 0.97], man: 0.95}\n", "utf-8")
    own.write_text("subject,attribute,class,share\n*,gender,woman,0.4\n*,gender,man,0.6\n", "utf-8")
    audit.analyze(copy, reference=[str(own)], error_rates=rates, report=False)
    said = audit.methods(copy)
    assert (
        "For perceived gender, error rates declared in a pilot (rates of right answers: woman 0.9 to 0.97 and man "
        "0.95) give a band of possible shares (Rogan and Gladen 1978); nobody labelled images of the run." in said
    )
    assert "For perceived age, the classifier's errors are in no figure." in said
    (deviations,) = re.findall(r"Deviations that the run records: (.*?)\. Labels", said)
    assert deviations.split("; ") == [
        "compared later with `own`",
        "no longer compared with `uniform`",
        "error rates declared later",
        "images added after a gate had looked at the first 10 of each prompt",
        "3 images removed after they were counted",
    ]
    assert "the whole band lies beyond the reference (gender)" in said


def test_the_verdict_of_a_gate_is_told(stored: Path, tmp_path: Path) -> None:
    copy = changed(stored, tmp_path)
    verdict = audit.gate(copy, baseline=stored)
    text = audit.methods(copy)
    lines = f"{len(verdict.lines)} line{'s' if len(verdict.lines) > 1 else ''}"
    assert f"A gate of {lines}" in text and f"(Holm 1979), said `{verdict.verdict}`." in text
    assert "Holm" not in audit.methods(stored)


def test_labels_of_other_images_are_told_with_what_they_assume(stored: Path, tmp_path: Path) -> None:
    copy, pilot = changed(stored, tmp_path), tmp_path / "pilot.csv"
    rows = {("woman", "woman"): 45, ("woman", "man"): 5, ("man", "man"): 38, ("man", "woman"): 2}
    lines = [f"gender,{true},{predicted},{count}" for (true, predicted), count in rows.items()]
    pilot.write_text("\n".join(["attribute,true,predicted,count", *lines]), "utf-8")
    audit.analyze(copy, calibration=str(pilot), report=False)
    text = audit.methods(copy)
    assert (
        "For perceived gender, people had labelled 90 images from elsewhere (`pilot`); where they name a class, the "
        "classifier gave the same for 90 % (woman) and 95 % (man) of these images; shares of prompts were corrected by "
        "inverting the confusion of two classes (Lang and Reiczigel 2014), the uncertainty of the labels in every "
        "interval, as if it errs here as it did there." in text
    )
    assert "labels of other images added later (`pilot`)" in text
    assert "Tenenbein" not in text and "of the run, drawn" not in text


@pytest.mark.parametrize(("k", "predicted"), [(2, "man"), (2, "unclear"), (3, "b")])
@pytest.mark.parametrize("labelled_of_last", [0, 25])
def test_how_shares_were_corrected_is_what_the_statistics_say(k: int, predicted: str, labelled_of_last: int) -> None:
    classes = ("woman", "man") if k == 2 else ("a", "b", "c")
    rows = [("p0", classes[0], classes[0])] * 20 + [("p1", classes[0], predicted)] * 3
    rows += [("p1", each, each) for each in classes] + [("p2", classes[1], classes[1])] * labelled_of_last
    frame = pd.DataFrame(rows, columns=["probe_id", "true", "predicted"]).assign(sampling_probability=0.5)
    known = tabulate("tint", Question("gender", classes), frame, "audited", ["anna"])
    for probes in (["p0"], ["p0", "p1"], ["p1", "p2"], ["p2"]):
        own = np.array([known.by_probe.get(probe, np.zeros_like(known.table)) for probe in probes])
        x = np.full((len(probes), len(known.predicted)), 50.0)
        method = corrected_shares(x, known.rows(), k=k, labelled=own).method
        assert set(how_corrected(known, probes)) == {each.replace("score_inversion", "score") for each in method}


def test_a_run_that_stopped_early_has_no_fixed_intervals(tmp_path: Path) -> None:
    run = noise_audit(tmp_path / "noise", images=24, stop_when_decided=True)
    text, rule = audit.methods(run), record_of(run)["sequential"]
    known = {str(rule["round_images"]), f"{1 / rule['alpha']:g}", *map(str, rule["images"].values())}
    assert figures(text) - (expected(run) | known | set(map(str, rule["decided"].values()))) == set()
    assert f"at most {rule['images']['at_most'] // 2} images, in rounds of {rule['round_images']}" in text
    assert "its e-value reached 20" in text and "(Robbins 1970)" in text and "Wang and Ramdas 2022" in text
    for absent in ("Wilson", "gap *G*", "Benjamini", "binomial test", "Lindon", "Jeffreys"):
        assert absent not in text, absent


def test_imported_images_with_the_labels_of_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels, codes = labelled_folder(tmp_path)
    (images / "loose.txt").write_text("no image")
    run = audit.import_folder(
        images, folders="subject/condition", suite="occupations", human_labels=labels, codes=codes, threads=1,
        draws=200, out=tmp_path / "run", report=False,
    )  # fmt: skip
    text = audit.methods(run)
    assert figures(text) - (expected(run.path) | {"2022"}) == set()
    assert "8 images that others had made (`images`, SHA-256 of their fingerprint" in text
    assert "Declared when the images were read in" in text and "seed " not in paragraphs(text)
    assert "For perceived gender and ethnicity, the labels are people's own and nothing was corrected." in text
    assert "Labels are what people perceive" in text and "classifier `" not in text
    assert "by an exact binomial test (two classes or one class against the rest)," in text  # ethnicity overlaps
    assert "US Bureau of Labor Statistics" in text.partition("## References")[2]
    assert "Radford" not in text and "version of the model" not in text
    monkeypatch.setattr("audit.classifiers.registry.load_classifier", lambda name, **_: Tint())
    again = audit.methods(audit.label(run.path, classifier="tint", report=False))
    assert "by `tint`, the labels of people that were imported with all 8 images stand beside its own" in again
    assert "people and classifiers perceive" in again and "person labelled" not in again


def test_training_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "collection"
    folder.mkdir()
    for place, caption in enumerate(["a nurse", "a nurse at work", "a male nurse", "a tree", "a builder"]):
        Image.new("RGB", (8, 8), (200, 20, 20)).save(folder / f"{place}.png")
        (folder / f"{place}.txt").write_text(caption, encoding="utf-8")
    monkeypatch.setattr("audit.classifiers.registry.load_classifier", lambda name, **_: Tint())
    run = audit.import_training(
        folder, suite="phantom", reference=("uniform",), out=tmp_path / "run", threads=1, draws=200, report=False
    )
    text, told = audit.methods(run), record_of(run.path)["training"]
    assert (told["entries"], told["matched"], told["names_gender"]) == (5, 4, 1)
    assert "of 5 images with captions those 4 whose caption names one of 2 subjects (1 of them a gender too)" in text
    assert "1 image left out" in text and "perceives in images" in text
    assert figures(text) - (expected(run.path) | {"5", "4"}) == set()


def test_the_phantom_itself(tmp_path: Path) -> None:
    run = audit.run(
        model="phantom", subjects="nurse", languages="en", images=2, steps=2, threads=1, draws=200, report=False,
        out=tmp_path / "phantom",
    )  # fmt: skip
    text, made = audit.methods(run), record_of(run.path)["model"]["fingerprint"]
    rates = record_of(run.path)["classifiers"]["phantom"]["card"]["error_rates"]["gender"]
    assert f"It ran on cpu, in fp32, with the scheduler `{made['scheduler']['class']}`, 2 steps" in text
    known = {f"{end:g}" for ends in rates.values() for end in ends}
    size = {str(made[key]) for key in ("steps", "width", "height", "batch_size")} | {str(made["guidance"])}
    assert figures(text) - (expected(run.path) | size | known) == set()
    assert "Radford et al. 2021" in text and "Ilharco et al. 2021" in text and "Diffusers" not in text


RUNS: dict[str, Callable[[pytest.FixtureRequest], Path]] = {
    "old": lambda _: OLD,
    "labelled": lambda request: Path(request.getfixturevalue("labelled")),
    "stored": lambda request: Path(request.getfixturevalue("stored")),
}


@pytest.mark.parametrize("name", RUNS)
def test_what_is_cited_is_listed_and_nothing_else(name: str, request: pytest.FixtureRequest) -> None:
    run = RUNS[name](request)
    text, entries = audit.methods(run), audit.methods(run, form="bibtex")
    said, _, listed = text.partition("## References")
    keys = set(re.findall(r"^@\w+\{([^,]+),$", entries, re.M))
    works = keys & set(sources())
    assert works == {key for key, work in sources().items() if work["cited"] in said}
    assert keys - works == {"rolecall", *(f"data-{each}" for each in record_of(run)["references"] if each != "uniform")}
    assert len(re.findall(r"^\* ", listed, re.M)) == len(keys)
    for key in works:
        work = sources()[key]
        assert work["title"] in listed and str(work.get("doi", "")) in listed
    assert entries.count("{") == entries.count("}")


def test_every_work_has_what_a_reference_needs() -> None:
    for key, work in sources().items():
        assert re.fullmatch(r"[a-z]+\d{4}", key) and key.endswith(str(work["year"]))
        assert work["cited"].endswith(str(work["year"])) and work["author"] and work["title"]
        assert work["cited"].startswith(work["author"][0].partition(",")[0])
        assert work["type"] in ("article", "book", "inproceedings", "software")
        assert {"article": "journal", "inproceedings": "booktitle"}.get(work["type"], "publisher") in work
        assert re.fullmatch(r"10\.\d{4,}/\S+", work.get("doi", "10.1234/x"))


def test_the_command_prints_or_writes_them(stored: Path, tmp_path: Path) -> None:
    assert call("report", stored, "--methods") == (0, audit.methods(stored), "")
    out = tmp_path / "paper" / "methods.bib"
    answer = call("report", stored, "--bibtex", "--out", out)
    assert answer == (0, f"Methods: {out}\n", "")
    assert out.read_text("utf-8") == audit.methods(stored, form="bibtex")
    assert not (stored / "report.html").exists()


def test_what_has_no_methods_is_one_line(stored: Path, tmp_path: Path) -> None:
    grid, bare = tmp_path / "grid", tmp_path / "bare"
    grid.mkdir()
    (grid / "grid.json").write_text("{}")
    assert "is a grid of runs" in refused(call("report", grid, "--methods"))
    assert "no run directory" in refused(call("report", tmp_path / "nothing", "--methods"))
    for option in (("--lang", "de"), ("--blur",), ("--no-images",), ("--bibtex",)):
        assert "give --out only" in refused(call("report", stored, "--methods", *option))
    run = changed(stored, bare)
    (run / "tables" / "shares.csv").unlink()
    assert "rolecall analyze" in refused(call("report", run, "--methods"))
    with pytest.raises(audit.UsageError, match="no form 'latex'"):
        audit.methods(stored, form="latex")
