"""Figures: the same bytes from the same table, no global state, nothing to load."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from reports.figures import gap_figure, shares_figure, svg
from reports.view import View


def table(probes: int, classes: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(probes):
        shares, reference = rng.dirichlet(np.ones(classes)), rng.dirichlet(np.ones(classes))
        for place in range(classes):
            share = shares[place]
            rows.append(
                {
                    "classifier": "clip",
                    "probe_id": f"p{number}",
                    "subject": f"subject {number}",
                    "language": "en",
                    "template": "portrait",
                    "attribute": "age",
                    "class": f"class{place}",
                    "share": share,
                    "share_low": max(0, share - 0.08),
                    "share_high": min(1, share + 0.08),
                    "share_low_all": max(0, share - 0.12),
                    "share_high_all": min(1, share + 0.12),
                    "reference": "uniform",
                    "reference_share": reference[place],
                }
            )
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("probes", "classes"), [(1, 2), (15, 2), (44, 7), (150, 4)])
def test_shares_of_few_and_many_probes(probes: int, classes: int) -> None:
    figure = shares_figure(table(probes, classes), "age")
    assert len(figure.axes) == (1 if classes == 2 else classes)
    text = svg(figure, prefix="f", title="Shares")
    ElementTree.fromstring(text.replace("<svg", '<svg xmlns:x="x"', 1))
    assert len(text) < 25_000 + 350 * probes * classes
    assert text.count("subject ") >= probes


def test_same_table_same_bytes_and_no_global_state() -> None:
    import matplotlib as mpl
    from matplotlib import pyplot

    before = dict(mpl.rcParams)
    texts = {svg(shares_figure(table(12, 3), "age"), prefix="f", title="Shares") for _ in range(2)}
    assert len(texts) == 1
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == []


def test_svg_follows_the_page_and_refers_to_itself_only() -> None:
    text = svg(shares_figure(table(5, 2), "age"), prefix="one", title='A "title" <b>')
    assert 'aria-label="A &quot;title&quot; &lt;b&gt;"' in text
    assert "var(--mark, #0a5f9e)" in text
    assert "var(--ink, #1c1b19)" in text
    assert re.findall(r'\bid="(?!one-)', text) == []
    assert re.findall(r'href="(?!#one-)', text) == []
    assert "<style" not in text
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", text)


def test_text_from_prompts_stays_text() -> None:
    rows = table(2, 2)
    rows["subject"] = np.where(rows["probe_id"] == "p0", "$\\frac{1}{", "<script>alert(1)</script>")
    text = svg(shares_figure(rows, "age"), prefix="f", title="t")
    assert "<script" not in text
    assert "$\\frac{1}{" in text
    rows["subject"] = np.where(rows["probe_id"] == "p0", "看護師", "👩‍⚕️")
    assert "看護師" in svg(shares_figure(rows, "age"), prefix="f", title="t")


def test_a_missing_reference_is_left_out() -> None:
    rows = table(4, 2)
    rows.loc[rows["probe_id"] == "p1", "reference_share"] = np.nan
    assert "reference" in svg(shares_figure(rows, "age"), prefix="f", title="t")
    bare = rows.assign(reference=None, reference_share=np.nan)
    assert "reference:" not in svg(shares_figure(bare, "age"), prefix="f", title="t")


def test_unknown_attribute_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shares must have rows of attribute 'skin_tone' \(got \['age'\]\)\."):
        shares_figure(table(2, 2), "skin_tone")


def test_gaps(phantom_view: View) -> None:
    figure = gap_figure(phantom_view.gaps, primary=phantom_view.run["primary"], lang="de")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[0] == "Geschlecht · phantom-world · diese Prompts"
    assert len(labels) == len(phantom_view.gaps)
    full = [
        line for line in figure.axes[0].lines if line.get_markerfacecolor() == "#0a5f9e" and line.get_marker() == "o"
    ]
    assert len(full) == 1
    with pytest.raises(ValueError, match="at least one row"):
        gap_figure(phantom_view.gaps[:0])
