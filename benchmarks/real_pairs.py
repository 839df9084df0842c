"""What changed between two real sets of images? `python -m benchmarks.real_pairs --data DIR --write`.

DIR holds the folders `images` (300 generated images with people's labels, of
github.com/maximus-powers/img-gen-bias-analysis) and `oracles/fair-diffusion` (counts by occupation, of
github.com/ml-research/Fair-Diffusion). Two comparisons by `audit.compare`, both without pairs: each model's baseline
prompts against its controlled prompts, by what people saw, and the images of Stable Diffusion 1.5 against those of
LAION, by what a classifier saw in faces. With `--write` the figures go to docs/real-pairs.md. It takes half a minute.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import audit
from audit.baseline import write_baseline
from audit.config import slug
from audit.corrections import Evidence
from audit.counting import counts_of
from audit.pairs import Answers
from audit.progress import Progress
from benchmarks.real_draws import MODELS, ROOT, codes
from benchmarks.real_images import percent, rows_of
from probes.probe import Probe

PAGE = ROOT / "docs" / "real-pairs.md"
CONDITIONS = ("baseline", "controlled")
GENDER = {"attribute": "gender", "classes": ["woman", "man"], "ordered": False}
COUNTED = {"laion": "results_fairface_laion.txt", "sd-1.5": "results_fairface_generated_1-5.txt"}
"""Name of a side → its file of counts, the older first."""


def condition_run(folder: Path, condition: str, work: Path) -> audit.Run:
    """The images of one condition as a run, by what people saw: `rolecall import --table CONDITION.csv`.

    The table names the images of the condition and their subjects, so that both conditions are asked about the same
    probes. The table of people's labels is the whole one for both: labels of another table are another instrument.
    """
    labels = next(folder.glob("*.csv"))
    table = work / f"{folder.name}-{condition}.csv"
    work.mkdir(parents=True, exist_ok=True)
    with labels.open(encoding="utf-8-sig", newline="") as file, table.open("w", encoding="utf-8", newline="") as out:
        rows = [row for row in csv.DictReader(file) if row["setting"].strip() == condition]
        csv.writer(out).writerows(
            [("file", "subject"), *((row["image_file"], row["category"].strip()) for row in rows)]
        )
    return audit.import_folder(
        folder,
        name=f"{folder.name} {condition}",
        table=table,
        suite="occupations",
        human_labels=labels,
        codes=codes(work),
        threads=1,
        out=str(work / f"{folder.name}-{condition}"),
        report=False,
        progress=Progress(),
    )


def read_counts(path: Path) -> dict[str, tuple[int, int]]:
    """Occupation → women and men: lines with a name, each followed by `man: 1, woman: 2, except: 0`."""
    found = re.findall(r"^(.+)\nman: (\d+), woman: (\d+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {name.strip(): (int(women), int(men)) for name, men, women in found}


def counted_side(name: str, counts: Mapping[str, Sequence[int]], path: Path) -> Path:
    """Counts that others published as a baseline file: what `audit.compare` needs of a run.

    Args:
        name: of the side.
        counts: occupation → women and men.
        path: the file to write.

    Returns:
        `path`.
    """
    probes = tuple(Probe(slug(each), each, slug(each), "occupation") for each in counts)
    ids = [probe.probe_id for probe in probes]
    table = np.array(list(counts.values()), dtype=np.int64)
    planned = dict(zip(ids, table.sum(axis=1).tolist(), strict=True))
    given = {(j, "gender", c): int(n) for j, row in zip(ids, table, strict=True) for c, n in _by_class(row)}
    frame = pd.DataFrame(
        {
            "probe_id": np.repeat(np.array(ids, dtype=object), table.sum(axis=1)),
            "index": np.concatenate([np.arange(n) for n in table.sum(axis=1)]),
            "attribute": "gender",
            "class": np.concatenate([np.repeat(np.array(["woman", "man"], dtype=object), row) for row in table]),
        }
    )
    outcomes = {(probe, "ok"): number for probe, number in planned.items()}
    counted = counts_of("fairface", GENDER, probes, planned, outcomes, given)
    record = _record(name, len(probes))
    answers = Answers(name, record, probes, {("fairface", "gender"): counted}, {"fairface": frame}, _NO_EVIDENCE)
    return write_baseline(path, answers, {"uniform": ""})


_NO_EVIDENCE = {("fairface", "gender"): Evidence()}


def _by_class(row: np.ndarray[Any, Any]) -> zip[tuple[str, int]]:
    return zip(("woman", "man"), row.tolist(), strict=True)


def _record(name: str, probes: int) -> dict[str, Any]:
    """What a baseline file says of a side that is known by its counts only."""
    entry = {"fingerprint": {"kind": "fairface"}, "questions": [GENDER], "card": {}}
    return {
        "rolecall": "",
        "model": {"name": name, "fingerprint": {"name": name}},
        "suite": {"name": "fair-diffusion", "version": "1", "digest": "", "probes": probes},
        "plan": {"seed": None},
        "classifiers": {"fairface": entry},
        "primary": {"attribute": "gender", "reference": "uniform", "claim": "list"},
    }


def of_conditions(folder: Path, work: Path) -> audit.Comparison:
    """A model's controlled prompts against its baseline prompts, by what people saw."""
    old, new = (condition_run(folder, condition, work) for condition in CONDITIONS)
    return audit.compare(new, old, reference=("uniform", "us-labour-2022"))


def counted_sides(folder: Path, work: Path) -> tuple[Path, Path]:
    """The published counts of LAION and of Stable Diffusion 1.5 as baseline files, the older first."""
    work.mkdir(parents=True, exist_ok=True)
    laion, generated = (
        counted_side(name, read_counts(folder / file), work / f"{name}.json") for name, file in COUNTED.items()
    )
    return laion, generated


def of_counts(folder: Path, work: Path) -> dict[str, audit.Comparison]:
    """Stable Diffusion 1.5 against LAION, by claim: about these occupations, and about occupations like these."""
    old, new = counted_sides(folder, work)
    return {claim: audit.compare(new, old, reference="uniform", claim=claim) for claim in ("list", "population")}


# -- the page ----------------------------------------------------------------------------------------------------------


def signed(value: float, digits: int = 3) -> str:
    """A change with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")


def changed(row: Mapping[str, Any], scale: float = 1, digits: int = 3) -> str:
    """A change with its interval."""
    key = "change" if "change" in row else "difference"
    value, low, high = (signed(scale * row[each], digits) for each in (key, "low", "high"))
    return f"{value} ({low} to {high})"


def gap_rows(found: Mapping[str, audit.Comparison]) -> str:
    """Gaps of perceived gender, and images without a class."""
    cells = []
    for name, each in found.items():
        lost = each.lost().query("attribute == 'gender'").iloc[0]
        missing = [f"{lost[f'{side}_lost']} of {lost[f'{side}_asked']}" for side in ("baseline", "other")]
        for row in each.gaps().query("attribute == 'gender'").to_dict("records"):
            gaps = (f"{row['baseline_gap']:.2f}", f"{row['other_gap']:.2f}", changed(row, digits=2))
            first = row["reference"] == "uniform"
            several = (*missing, changed(lost, 100, 0)) if first else ("", "", "")
            cells.append((MODELS[name], row["reference"], row["probes"], *gaps, row["conclusion"], *several))
    heads = (
        *("model", "gap from", "occupations", "baseline", "controlled", "change", "conclusion"),
        *("several people, baseline", "controlled", "change in points"),
    )
    return rows_of(cells, heads)


def occupation_rows(found: Mapping[str, audit.Comparison]) -> str:
    """Shares of women by occupation, and over all of them."""
    cells = []
    for name, each in found.items():
        table = each.changes().query("attribute == 'gender' and `class` == 'woman'")
        for row in table.to_dict("records"):
            whose = row["subject"].replace("_", " ") or "**mean of all**"
            sides = [f"{row[f'{side}_count']} of {row[f'{side}_n']}" for side in ("baseline", "other")]
            p = f"{row['p_adjusted']:.2g}"
            cells.append((MODELS[name], whose, *sides, changed(row, 100, 0), p, row["conclusion"]))
    heads = ("model", "occupation", "women, baseline", "controlled", "change in points", "p, adjusted", "conclusion")
    return rows_of(cells, heads)


def counts_rows(found: Mapping[str, audit.Comparison]) -> str:
    """Gap and mean share of women, for both claims."""
    cells = []
    for claim, each in found.items():
        (gap,) = each.gaps().to_dict("records")
        share = each.changes().query("`class` == 'woman' and probe_id == ''").iloc[0]
        shares = (percent(share["baseline_share"], 1), percent(share["other_share"], 1), changed(share, 100, 1))
        gaps = (f"{gap['baseline_gap']:.3f}", f"{gap['other_gap']:.3f}", changed(gap))
        cells += [
            ("gap from even shares", claim, gap["probes"], *gaps, gap["conclusion"]),
            ("mean share of women", claim, 153, *shares, share["conclusion"]),
        ]
    return rows_of(cells, ("measure", "claim", "occupations", "LAION", "SD 1.5", "change", "conclusion"))


def moved_rows(each: audit.Comparison, most: int = 5) -> str:
    """The occupations whose share of women moved most to either side."""
    table = each.changes().query("`class` == 'woman' and probe_id != '' and conclusion in ('higher', 'lower')")
    table = table.sort_values("difference", kind="stable")
    cells = [
        (
            row["subject"].replace("-", " "),
            *(f"{percent(row[f'{side}_share'])} of {row[f'{side}_n']:,}" for side in ("baseline", "other")),
            changed(row, 100, 0),
        )
        for row in pd.concat([table.head(most), table.tail(most)]).to_dict("records")
    ]
    return rows_of(cells, ("occupation", "women, LAION", "women, SD 1.5", "change in points"))


def page(conditions: Mapping[str, audit.Comparison], counts: Mapping[str, audit.Comparison], command: str) -> str:
    """docs/real-pairs.md."""
    single = counts["list"].changes().query("`class` == 'woman' and probe_id != ''")
    number = single["conclusion"].value_counts()
    return TEMPLATE.format(
        command=command,
        gaps=gap_rows(conditions),
        occupations=occupation_rows(conditions),
        counts=counts_rows(counts),
        moved=moved_rows(counts["list"]),
        sizes=f"{single['baseline_n'].sum():,} faces of LAION, {single['other_n'].sum():,} of SD 1.5",
        **{word: int(number.get(word, 0)) for word in ("higher", "lower", "close", "inconclusive")},
    )


TEMPLATE = """# Real pairs: what `rolecall compare` says of sets that others made

`{command}` made this page.

Two comparisons of images, or counts of images, that nobody on this project made. In both the images are other ones on
either side, so nothing is paired. All intervals are at 95 %. `tests/test_real_pairs.py` computes the same figures from
the published tables by other means (statsmodels, scipy, enumeration) and holds them against these.

All shares are shares of what a viewer, or a classifier, perceived in pictures. They say nothing of who anybody is, and
nothing of people in these occupations.

## A sentence added to the prompt

300 images of three models (github.com/maximus-powers/img-gen-bias-analysis): five occupations, ten images each asked
for plainly (*baseline*) and ten with a sentence that asks for a single person and for diversity across the batch
(*controlled*). Labels are those of people; nothing is known of who they were, and each image has one label.

The two conditions are other prompts. They are compared by subject: each is imported as a run of its own, with a table
that names its images and their occupations, and with the same table of people's labels.

    rolecall import IMAGES/dall_e_3 --table baseline.csv --suite occupations \\
      --human-labels IMAGES/dall_e_3/gpt.csv --codes codes.yaml --out runs/baseline
    rolecall import IMAGES/dall_e_3 --table controlled.csv --suite occupations \\
      --human-labels IMAGES/dall_e_3/gpt.csv --codes codes.yaml --out runs/controlled
    rolecall compare runs/controlled runs/baseline --reference uniform,us-labour-2022

`baseline.csv` has the columns `file` and `subject` and the 50 rows of its condition; `codes.yaml` stands in
[human-labels.md](human-labels.md). An image of several people has no class of gender: it is missing; so is one whose
ethnicity is given as `mixed`. An occupation needs four images with a class on both sides to count in the gap. Of these
five, `us-labour-2022` knows three.

{gaps}

{occupations}

What can be read from it:

* **More images are missing.** With the added sentence, which asks for a single person, DALL·E 3 and FLUX.1-dev drew
  several people more often than without it. These images leave the shares: of DALL·E 3's software developers two are
  left. Read this before any gap.
* **A gap can stay where everything turned.** To people the athletes of SDXL Turbo are ten men with the one prompt and
  ten women with the other. Their distance from even shares is the same, 1. The gap of all five became smaller by what
  changed for CEOs and software developers.
* **Inconclusive is the usual answer here.** With ten images an occupation most intervals reach from a decrease that
  would matter to an increase that would matter. That no change is shown does not mean that there is none.

## From LAION to Stable Diffusion 1.5

Women and men in 153 occupations, as the authors of Fair Diffusion counted them with a classifier of faces (FairFace;
github.com/ml-research/Fair-Diffusion): {sizes}. The counts are
made into two baseline files, which are compared as two runs are.

{counts}

*These occupations* (`list`) takes the sampling of images into account; *occupations like these* (`population`) also
takes the occupations for a sample of others. An occupation with fewer than four images on a side is left out of the
gap; there is one, in LAION.

By occupation the share of women is higher for {higher}, lower for {lower}, close (within 5 points) for {close} and
inconclusive for {inconclusive}: labels are a classifier's, so that a change must be larger than 5 points with its whole
interval. The five largest changes either way:

{moved}

What can be read from it:

* The mean share of women moved by a point or two and is concluded to be close, while the distance from even shares
  grew. Changes in both directions cancel in a mean over occupations.
* The classifier may err otherwise on generated faces than on photographs, and people labelled neither side. The change
  is one of what this classifier perceives.
* Which images of LAION stand for an occupation was the authors' choice. They are no sample of what the model saw of it,
  and none of people who work in it. That the one came from the other is not shown by such counts.
"""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_pairs", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder with `images` and `oracles`")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "real-pairs", help="where the runs are kept")
    parser.add_argument("--write", action="store_true", help="write docs/real-pairs.md")
    given = parser.parse_args()
    conditions = {name: of_conditions(given.data / "images" / name, given.work) for name in MODELS}
    counts = of_counts(given.data / "oracles" / "fair-diffusion", given.work)
    text = page(conditions, counts, "python -m benchmarks.real_pairs --data DIR --write")
    print(text)
    if given.write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
