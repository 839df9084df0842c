"""How much do few labels of people tell of 300 real images? `python -m benchmarks.real_images --data DIR --write`.

DIR holds one folder a model, with images in folders OCCUPATION/CONDITION and a CSV of people's labels: the images of
github.com/maximus-powers/img-gen-bias-analysis. They are imported into runs (`--work`) as `rolecall import` does it and
labelled by `faces` once; a second call reads what is stored. Then 40 of a model's 100 images are drawn again and again:
only their human labels are used, and the tables that Rolecall makes with them are compared with what people said of all
100. With `--write` the figures go to docs/real-images.md. It takes some four minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from audit.counts import LOST
from audit.statistics.intervals import Floats, Interval
from benchmarks.real_draws import (
    LABELS,
    MODELS,
    ROOT,
    Occupations,
    Whole,
    agreement,
    coverage,
    experiment,
    imported,
    paired,
)

PAGE = ROOT / "docs" / "real-images.md"


def losses(images: pd.DataFrame) -> pd.DataFrame:
    """Images by occupation and answer of faces; and those of which people say that they show several people."""
    seen = pd.crosstab(images["subject"], images["predicted"]).reindex(columns=LOST[2:], fill_value=0)
    several = (images["true"] == "several_people").groupby(images["subject"]).sum()
    return seen.assign(asked=images.groupby("subject").size(), several_by_people=several)


def percent(share: float | Floats, digits: int = 0) -> str:
    """A share as people read it."""
    return f"{100 * share:.{digits}f} %"


def span(low: float | Floats, high: float | Floats) -> str:
    """An interval of shares in per cent."""
    return f"{100 * low:.0f}–{100 * high:.0f} %"


def rows_of(cells: Sequence[Sequence[object]], heads: Sequence[str]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *cells]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def width(interval: Interval) -> Floats:
    """Mean width over the draws."""
    found: Floats = (interval.high - interval.low).mean(axis=0)
    return found


def holds(interval: Interval, truth: float) -> str:
    """Whether one interval holds the truth."""
    return "yes" if interval.low <= truth <= interval.high else "no"


def agreement_section(images: Mapping[str, pd.DataFrame]) -> str:
    """How often faces answers what people answer."""
    each = np.array([agreement(table) for table in images.values()])
    names = [*(MODELS[name] for name in images), "**all**"]
    cells = [
        (name, found, found - one, one, same, percent(same / one, 1))
        for name, (found, one, same) in zip(names, [*each, each.sum(axis=0)], strict=True)
    ]
    heads = ("model", "one face found", "people see several", "people see one", "same gender", "agreement")
    return rows_of(cells, heads)


def missing_section(images: Mapping[str, pd.DataFrame]) -> str:
    """What faces could not label, by model and occupation."""
    cells = []
    for name, table in images.items():
        by = losses(table)
        for subject, row in [*by.iterrows(), ("**all**", by.sum())]:
            answers = [int(row[answer]) for answer in LOST[2:]]
            of_model = (MODELS[name], str(subject).replace("_", " "), row["asked"])
            cells.append((*of_model, *answers, percent(sum(answers) / row["asked"]), row["several_by_people"]))
    heads = ("model", "occupation", "images", "no face", "several faces", "unclear", "missing", "people see several")
    return rows_of(cells, heads)


def whole_section(found: Mapping[str, Whole]) -> str:
    """Coverage of the share of images of women among all images."""
    cells = [
        (
            MODELS[name],
            percent(each.human),
            f"**{percent(coverage(each.corrected, each.human), 1)}**",
            f"{100 * width(each.corrected):.0f}",
            percent(coverage(each.labels, each.human), 1),
            f"{100 * width(each.labels):.0f}",
            f"{percent(each.faces_share)} ({span(each.faces.low, each.faces.high)})",
            holds(each.faces, each.human),
            f"{holds(each.faces, each.human_single)} ({percent(each.human_single)})",
        )
        for name, each in found.items()
    ]
    heads = (
        *("model", "people say", "corrected holds it", "width", "labels alone hold it", "width", "faces alone"),
        *("holds it", "holds what people say of images of one person"),
    )
    return rows_of(cells, heads)


def alone(found: Occupations, j: int) -> str:
    """What faces alone says of the j-th occupation."""
    if not found.labelled[j]:
        return "no image has a class"
    ends = span(found.faces_interval.low[j], found.faces_interval.high[j])
    return f"{percent(found.faces[j])} of {found.labelled[j]:.0f} ({ends})"


def occupation_section(found: Mapping[str, Occupations]) -> str:
    """The same by occupation."""
    cells = []
    for name, each in found.items():
        shared, own = coverage(each.corrected, each.human), coverage(each.own, each.human_all)
        for j, subject in enumerate(each.names):
            row = each.errors.set_index("subject").loc[subject]
            cells.append(
                (
                    *(MODELS[name], subject.replace("_", " ")),
                    f"{percent(each.human[j])} of {each.images[j]:.0f}",
                    alone(each, j),
                    f"{percent(shared[j])}, {100 * width(each.corrected)[j]:.0f}",
                    f"{percent(own[j])}, {100 * width(each.own)[j]:.0f}",
                    f"{row['errors']} ({row['expected']:.1f})",
                    f"{'**yes**' if row['flagged'] else 'no'} (p {row['p_adjusted']:.2g})",
                    percent(each.flagged[j]),
                )
            )
    heads = (
        *("model", "occupation", "people say", "faces alone", "corrected, errors as in all", "own labels only"),
        *("errors (expected)", "errors differ", "flagged with the drawn labels"),
    )
    return rows_of(cells, heads)


def page(
    images: Mapping[str, pd.DataFrame], found: Mapping[str, tuple[Whole, Occupations]], draws: int, command: str
) -> str:
    """docs/real-images.md."""
    lowest = min(float(coverage(whole.corrected, whole.human)) for whole, _ in found.values())
    return TEMPLATE.format(
        command=command,
        draws=draws,
        labels=LABELS,
        lowest=percent(lowest, 1),
        corrected_width=f"{100 * np.mean([width(whole.corrected) for whole, _ in found.values()]):.1f}",
        labels_width=f"{100 * np.mean([width(whole.labels) for whole, _ in found.values()]):.1f}",
        agreement=agreement_section(images),
        missing=missing_section(images),
        whole=whole_section({name: whole for name, (whole, _) in found.items()}),
        occupations=occupation_section({name: occupations for name, (_, occupations) in found.items()}),
    )


TEMPLATE = """# Real images

`{command}` made this page.

It imports 300 images (100 a model: five occupations, two conditions, ten images each) of
github.com/maximus-powers/img-gen-bias-analysis with `rolecall import`, labels them with `faces`, and compares what the
tables say with the labels of people, which are known for all of them. One of these runs, with its report:

    rolecall import IMAGES/dall_e_3 --folders subject/condition --suite occupations --classifier faces \\
      --human-labels IMAGES/dall_e_3/gpt.csv --codes codes.yaml

`codes.yaml` is the table of codes in [human-labels.md](human-labels.md). What people wrote as `Both` or `females` is an
image of several people there. Nothing is known of the raters; each image has one label.

## Does `faces` see what people see?

Perceived gender, where exactly one face was found and people see one person. `python -m benchmarks.instruments IMAGES`
counts 94 of 101: it takes `females` for a woman, and the answer of the network where the instrument says `unclear`.

{agreement}

## What is missing

Images that `faces` gives no class. *No face*: no frontal face was found, though somebody may be there. *Unclear*: faces
were found only at twice the size of the image, or gender was not certain. The last column is what people say.

{missing}

## The share of images of women among all images

The question: of all 100 images of a model, how many show one woman, as people see it? Images of several people count
among the 100 and not as images of a woman. The answer is known: *people say*. In each of {draws} draws, {labels} of the
100 images give their human labels to Rolecall, all 100 the answers of `faces` (`no face` and the like among them).
*Corrected* is `images_low` to `images_high` of [`overall.csv`](tables.md#overallcsv): an interval at 95 % for these
very images. It should hold the share that people say in at least 92 % of the draws; the lowest figure is {lowest}.
Widths are means, in percentage points.

{whole}

*Labels alone* are the same {labels} labels without the classifier (Wilson, for these images). *Faces alone* is what one
gets without people: the share among images with a class and Wilson's interval. It is the same in all draws.

The mean width is {corrected_width} points corrected and {labels_width} with the labels alone: so little do the answers
of `faces` add to people's labels where most images have no face that it can label. What labels add to `faces` is that
the statement holds.

## By occupation

Twenty images each, about eight of them labelled in a draw. Two figures in a cell: part of the draws in which the
interval at 95 % holds what people say, and its mean width in points.

* *Faces alone*: share of women among images with a class, and Wilson's interval.
* *Corrected, errors as in all*: `corrected_low` to `corrected_high` of `shares.csv`, share of women among images of one
  person. It assumes that `faces` errs in every occupation as it does in all together.
* *Own labels only*: images of one woman among all images of the occupation, from its own labels; nothing is assumed.
* *Errors*: images of the occupation, with all labels known, for which `faces` answers otherwise than people, and as
  many as there would be if it erred alike in all occupations. *Errors differ*: the test of
  [`errors.csv`](tables.md#errorscsv), adjusted over occupations. Last: part of the draws in which {labels} labels
  show it.

{occupations}

Where errors differ, a corrected share of a single prompt does not rest on what it assumes: use people's labels of these
images. An interval of 80 points or more claims nothing: eight labels and few found faces carry no more.
"""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_images", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds one folder a model")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "real-images", help="where the runs are kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--write", action="store_true", help="write docs/real-images.md")
    given = parser.parse_args()
    images = {name: paired(imported(given.data / name, given.work)) for name in MODELS}
    found = {name: experiment(each, draws=given.draws, labels=LABELS, seed=given.seed) for name, each in images.items()}
    command = f"python -m benchmarks.real_images --data IMAGES --seed {given.seed} --write"
    text = page(images, found, given.draws, command)
    print(text)
    if given.write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
