"""The figures of a report, as matplotlib figures that need no display and as SVG that follows the page's colours.

Figures are made without pyplot: nothing global is changed, and the same table always gives the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from reports.view import probe_names, records
from reports.words import load_words

# Blue and vermilion of Okabe and Ito's palette (told apart by colour-blind readers), darkened for thin lines on white.
# On a page each becomes a CSS variable, so that the figure follows the page into the dark.
INK, SOFT, RULE, MARK, REFERENCE = "#1c1b19", "#66635c", "#dedbd3", "#0a5f9e", "#b84a00"
VARIABLES = {INK: "--ink", SOFT: "--soft", RULE: "--rule", MARK: "--mark", REFERENCE: "--reference"}
ROW = 0.205  # inches a probe: 8-point labels with air between them
ROW_OF_TWO = 0.27  # the same where a probe has two marks
APART = 0.21  # rows between the middle and each of two marks
WIDTH = 7.2
STYLE: Any = {
    **sns.axes_style("white"),
    "font.size": 8,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.titlesize": 8.5,
    "axes.linewidth": 0.7,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": SOFT,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "rolecall",
}


def shares_figure(
    shares: pd.DataFrame,
    attribute: str,
    *,
    classifier: str | None = None,
    reference: str | None = None,
    reference_label: str | None = None,
    classes: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
    order: Sequence[str] | None = None,
    lang: str = "en",
    alpha: float = 0.05,
    early: bool = False,
) -> Figure:
    """Shares of the classes of one attribute by probe, with both intervals and the reference.

    Two classes are one panel (the first class), more are one panel a class. The thick line is the interval of one
    share (`share_low`, `share_high`), the thin one holds for all shares of the probe at once. Below them a hollow
    diamond is the share corrected for label error, with its interval; where error rates are only declared, a pale bar
    is what they leave possible.

    Args:
        shares: rows of `shares.csv`.
        attribute: which attribute to draw.
        classifier: whose labels; the first in the table if not given.
        reference: which reference to mark; the first in the table if not given.
        reference_label: how the legend names it.
        classes: classes in their order; as in the table if not given.
        names: probe_id → what to write beside the row.
        order: probe ids from top to bottom; by the share of the first class if not given, drawn towards the common
            share (`shrunk`) where the table has that.
        lang: language of the few words in the figure.
        alpha: the intervals of the table are at level 1 − alpha.
        early: the run stopped early: `share_low_all` and `share_high_all` are confidence sequences.

    Raises:
        ValueError: if the table has no such rows.
    """
    words = load_words(lang)
    rows = shares[shares["attribute"] == attribute]
    rows = rows[rows["classifier"] == (classifier or (rows["classifier"].iloc[0] if len(rows) else ""))]
    if rows.empty:
        raise ValueError(f"shares must have rows of attribute {attribute!r} (got {sorted(set(shares['attribute']))}).")
    classes = list(classes or rows["class"].drop_duplicates())
    marked = rows["reference"].dropna()
    reference = reference or (str(marked.iloc[0]) if len(marked) else None)
    names = names or probe_names(rows)
    values = _by_probe(rows, classes, reference)
    if order is None:
        ranking = values["shrunk"].fillna(values["share"])[classes[0]]
        order = list(ranking.sort_values(ascending=False, kind="stable").index)
    shown = classes[:1] if len(classes) == 2 else classes

    labels = [_clip(names.get(probe_id, probe_id)) for probe_id in order]
    left = min(2.9, 0.25 + 0.068 * max(len(label) for label in labels))
    corrected, band = (bool(values[column].notna().to_numpy().any()) for column in ("corrected", "band_low"))
    head, foot = 0.52, 0.8 if corrected or band else 0.62
    height = head + foot + (ROW_OF_TWO if corrected else ROW) * len(order)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        figure.subplots_adjust(left / WIDTH, foot / height, 1 - 0.16 / WIDTH, 1 - head / height, wspace=0.13)
        for axes, name in zip(panels, shown, strict=True):
            picked = {column: table[name].reindex(list(order)).to_numpy(float) for column, table in values.items()}
            _panel(axes, picked, narrow=len(shown) > 1, apart=APART if corrected else 0.0)
            axes.set_ylim(len(order) - 0.4, -0.6)
            title = words.plain("figure.share_of", answer=words.name("as_class", name))
            axes.set_title(
                title if len(shown) == 1 else f"{words.name('class', name)}, %", loc="left", color=INK, pad=22
            )
        panels[0].set_yticks(range(len(order)), labels)
        marked_as = reference_label or (words.name("reference", reference) if reference else None)
        level = words.level(alpha)
        shown_as = {
            "share": words.plain("figure.share_alone") if early else words.plain("figure.share", level=level),
            "all": words.plain("figure.sequence" if early else "figure.all", level=level),
            "corrected": words.plain("figure.corrected", level=level) if corrected else "",
            "band": words.plain("figure.band") if band else "",
            "reference": words.plain("figure.reference", reference=marked_as) if marked_as else "",
        }
        _legend(figure, shown_as, 0.12 / height, line=not early)
    return figure


def gap_figure(
    gaps: pd.DataFrame,
    *,
    primary: Mapping[str, str] | None = None,
    labels: Sequence[str] | None = None,
    lang: str = "en",
) -> Figure:
    """Gaps with their intervals on the scale from 0 to 1, one row for each row of the table; below a gap, as a diamond,
    the one corrected for label error, where there is one.

    Args:
        gaps: rows of `gaps.csv`, in the order to draw.
        primary: `attribute`, `reference` and `claim` declared before the first image; its row is drawn full, the
            others, which are exploratory, hollow.
        labels: what to write beside the rows; attribute, reference and claim if not given.
        lang: language of the few words in the figure.

    Raises:
        ValueError: if the table has no rows.
    """
    words = load_words(lang)
    if gaps.empty:
        raise ValueError("gaps must have at least one row (got none).")
    rows = records(gaps)
    if labels is None:
        labels = [
            f"{words.name('attribute', row['attribute'])} · {row['reference']} · {words.name('claim', row['claim'])}"
            for row in rows
        ]
    labels = [_clip(label, 64) for label in labels]
    left = min(4.2, 0.25 + 0.064 * max(len(label) for label in labels))
    height = 0.72 + 0.24 * len(rows)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.subplots()
        figure.subplots_adjust(left / WIDTH, 0.5 / height, 1 - 0.22 / WIDTH, 1 - 0.16 / height)
        _grid(axes, np.arange(0, 1.01, 0.25), len(rows))
        for place, row in enumerate(rows):
            first = all(row[key] == value for key, value in primary.items() if key in row) if primary else True
            axes.plot([row["gap_low"], row["gap_high"]], [place] * 2, color=MARK, lw=2.2 if first else 1.1, zorder=3)
            fill = MARK if first else "white"
            axes.plot(row["gap"], place, "o", ms=5, mec=MARK, mfc=fill, mew=1.1, zorder=4)
            if not pd.isna(row.get("gap_corrected", np.nan)):
                ends = [row["gap_corrected_low"], row["gap_corrected_high"]]
                axes.plot(ends, [place + 0.38] * 2, color=INK, lw=1.1, zorder=3)
                axes.plot(row["gap_corrected"], place + 0.38, "D", ms=3.6, mec=INK, mfc="white", mew=1, zorder=4)
        axes.set_yticks(range(len(rows)), labels)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(-0.02, 1.02)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.number(value, 2)))
        axes.set_xlabel(words.plain("figure.gap_scale"), color=SOFT, loc="right")
    return figure


def svg(figure: Figure, *, prefix: str, title: str) -> str:
    """A figure as an inline `<svg>`: text stays text, colours are CSS variables, ids begin with `prefix`.

    Args:
        figure: any figure of this module.
        prefix: different for every figure of a page, since ids in a page must differ.
        title: what the figure shows, for readers who do not see it; unescaped.
    """
    buffer = io.StringIO()
    papers = [figure.patch, *(axes.patch for axes in figure.axes)]
    for paper in papers:  # the page's own paper shows through
        paper.set_visible(False)
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # A prompt may be written in signs that matplotlib's own font lacks; the reader's browser has them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    for paper in papers:
        paper.set_visible(True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r' (?:xmlns:xlink|version)="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'\b(d|x|y|transform|width|height)="[^"]*"', _shorten, text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{prefix}-", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable}, {colour})")
    text = re.sub(r"#ffffff|\bwhite\b(?=[;\"])", "var(--paper, #ffffff)", text)
    text = re.sub(r"font-family: [^;\"]*; | transform=\"rotate\(-0 [^\"]*\"", "", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    text = re.sub(r"\n\s*", "\n", text)
    name = escape(title)
    return text.replace("<svg", f'<svg role="img" font-family="sans-serif" aria-label="{name}"', 1).strip()


def _shorten(match: re.Match[str]) -> str:
    """Coordinates with two decimals: a hundredth of a point is finer than any printer, and 40 % of the bytes go."""
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", match[0])


def _by_probe(rows: pd.DataFrame, classes: Sequence[str], reference: str | None) -> dict[str, pd.DataFrame]:
    """Column name → probes × classes; `reference_share` only from the rows of that reference."""
    columns = ["share", "share_low", "share_high", "share_low_all", "share_high_all"]
    columns += ["shrunk", "corrected", "corrected_low", "corrected_high", "band_low", "band_high"]
    once = rows.drop_duplicates(["probe_id", "class"]).set_index(["probe_id", "class"]).reindex(columns=columns)
    tables = {column: once[column].unstack("class").reindex(columns=list(classes)) for column in columns}
    theirs = rows[rows["reference"] == reference].drop_duplicates(["probe_id", "class"])
    marks = theirs.set_index(["probe_id", "class"])["reference_share"].unstack("class")
    tables["reference"] = marks.reindex(index=tables["share"].index, columns=list(classes))
    return tables


def _panel(axes: Axes, values: Mapping[str, np.ndarray[Any, Any]], *, narrow: bool, apart: float) -> None:
    """One class: a row a probe. Lines of all probes are one path with breaks, which keeps the SVG small."""
    places = np.arange(len(values["share"]), dtype=float)
    upper, lower = places - apart, places + apart
    _grid(axes, np.array([0, 0.5, 1]) if narrow else np.arange(0, 1.01, 0.25), len(places))
    axes.plot(
        *_segments(values["band_low"], values["band_high"], upper), color=RULE, lw=6, solid_capstyle="butt", zorder=2
    )
    for low, high, width in (("share_low_all", "share_high_all", 0.7), ("share_low", "share_high", 1.9)):
        axes.plot(*_segments(values[low], values[high], upper), color=MARK, lw=width, solid_capstyle="butt", zorder=3)
    marks = values["reference"]
    x = np.column_stack([marks, marks, np.full_like(marks, np.nan)]).ravel()
    y = np.column_stack([places - 0.36, places + 0.36, places]).ravel()
    axes.plot(x, y, color=REFERENCE, lw=1.8, solid_capstyle="butt", zorder=4)
    axes.plot(values["share"], upper, "o", color=MARK, ms=5.4, mec="white", mew=0.9, zorder=5, clip_on=False)
    if apart:
        ends = _segments(values["corrected_low"], values["corrected_high"], lower)
        axes.plot(*ends, color=INK, lw=1.1, solid_capstyle="butt", zorder=3)
        axes.plot(values["corrected"], lower, "D", mfc="white", mec=INK, ms=3.6, mew=1, zorder=5, clip_on=False)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:.0f}" if narrow else f"{100 * value:.0f}\u00a0%")
    )
    axes.tick_params(axis="x", labeltop=True, pad=3)
    axes.tick_params(axis="y", pad=7)


def _segments(low: np.ndarray[Any, Any], high: np.ndarray[Any, Any], places: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Horizontal lines from `low` to `high`, one a row, with breaks between them."""
    gap = np.full_like(places, np.nan)
    return np.column_stack([low, high, gap]).ravel(), np.column_stack([places, places, gap]).ravel()


def _grid(axes: Axes, ticks: np.ndarray[Any, Any], rows: int) -> None:
    """Upright lines at the ticks and one fine line a row; the latter as one path, since ticks are slow and large."""
    places = np.arange(rows, dtype=float)
    axes.plot(*_segments(np.full(rows, -0.02), np.full(rows, 1.02), places), color=RULE, lw=0.4, zorder=0)
    axes.set_yticks([])
    sns.despine(ax=axes, left=True, bottom=True)
    axes.set_xticks(ticks)
    axes.grid(axis="x", color=RULE, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def _legend(figure: Figure, texts: Mapping[str, str], bottom: float, *, line: bool) -> None:
    """What the marks mean; a mark without a text is not in the figure. `line`: shares have a thick one."""
    marks = {
        "share": Line2D([], [], color=MARK, marker="o", ms=5.4, mec="white", mew=0.9, lw=1.9 if line else 0),
        "all": Line2D([], [], color=MARK, lw=0.8),
        "corrected": Line2D([], [], color=INK, marker="D", ms=3.6, mfc="white", mec=INK, mew=1, lw=1.1),
        "band": Line2D([], [], color=RULE, lw=6),
        "reference": Line2D([], [], color=REFERENCE, marker="|", ms=8, mew=1.8, lw=0),
    }
    shown = [name for name in marks if texts[name]]
    figure.legend(
        handles=[marks[name] for name in shown],
        labels=[texts[name] for name in shown],
        loc="lower center",
        bbox_to_anchor=(0.5, bottom),
        ncols=3 if len(shown) < 4 else 2,
        frameon=False,
        labelcolor=SOFT,
        fontsize=7.5,
        handlelength=2.2,
        columnspacing=1.6,
        borderaxespad=0,
    )


def _clip(label: str, longest: int = 44) -> str:
    text = " ".join(label.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
