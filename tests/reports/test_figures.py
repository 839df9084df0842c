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


def with_error(rows: pd.DataFrame) -> pd.DataFrame:
    share = rows["share"]
    return rows.assign(corrected=share + 0.01, corrected_low=share - 0.2, corrected_high=share + 0.2)


def test_corrected_shares_are_a_second_mark() -> None:
    bare, rows = table(6, 2), with_error(table(6, 2))
    axes = shares_figure(rows, "age", alpha=0.1).axes[0]
    marks = {str(line.get_marker()): line for line in axes.lines if line.get_marker() not in ("None", "", None)}
    order = bare[bare["class"] == "class0"].sort_values("share", ascending=False)
    assert list(marks["o"].get_xdata()) == pytest.approx(list(order["share"]))
    assert list(marks["D"].get_xdata()) == pytest.approx(list(order["share"] + 0.01))
    assert list(marks["o"].get_ydata()) < list(marks["D"].get_ydata())
    text = svg(axes.figure, prefix="f", title="t")
    assert "corrected for label error, 90\u00a0%" in text
    assert "share, 90\u00a0% interval" in text
    assert "corrected" not in svg(shares_figure(bare, "age"), prefix="f", title="t")


def test_a_band_is_drawn_where_error_rates_are_declared() -> None:
    rows = table(6, 3).assign(band_low=0.1, band_high=0.7)
    figure = shares_figure(rows, "age", lang="de")
    wide = [line for line in figure.axes[0].lines if line.get_linewidth() == 6]
    assert [float(x) for x in wide[0].get_xdata()[:2]] == [0.1, 0.7]
    assert "mit den angegebenen Fehlerraten möglich" in svg(figure, prefix="f", title="t")


def test_rows_are_ranked_by_steady_shares_where_there_are_any() -> None:
    rows = table(5, 2)
    first = rows["class"] == "class0"
    rows["shrunk"] = np.where(first, rows["probe_id"].map({f"p{n}": n / 10 for n in range(5)}), 0.5)
    labels = [label.get_text() for label in shares_figure(rows, "age").axes[0].get_yticklabels()]
    assert labels == [f"subject {n}" for n in (4, 3, 2, 1, 0)]


def test_a_run_that_stopped_early_has_sequences() -> None:
    rows = table(5, 2).assign(share_low=np.nan, share_high=np.nan)
    text = svg(shares_figure(rows, "age", early=True), prefix="f", title="t")
    assert "at every look" in text
    assert "interval" not in text


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
    gaps = phantom_view.gaps.assign(gap_corrected=np.nan)
    gaps.loc[gaps.index[0], ["gap_corrected", "gap_corrected_low", "gap_corrected_high"]] = [0.2, 0.1, 0.3]
    drawn = [line for line in gap_figure(gaps).axes[0].lines if line.get_marker() == "D"]
    assert [list(line.get_xdata()) for line in drawn] == [[0.2]]
    with pytest.raises(ValueError, match="at least one row"):
        gap_figure(phantom_view.gaps[:0])
