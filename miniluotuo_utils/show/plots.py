"""Draw pictures with Chinese labels, one small function each.

In: plain dicts and lists. Out: a shown picture, and its axes for `axes.figure.savefig(path)`. Shown
in notebooks 01 to 07.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from io import BytesIO
from statistics import fmean
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from IPython import get_ipython
from IPython.display import Image, display
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from miniluotuo_utils.runtime import chinese_font
from miniluotuo_utils.show.colours import COLOURS, GREY, INK, LICENCES, PAPER, Look
from miniluotuo_utils.show.words import named
from miniluotuo_utils.terminal import columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "bars",
    "batch_picture",
    "clouds",
    "funnel",
    "grouped_bars",
    "histogram",
    "lines",
    "loss_curve",
    "panels",
    "score_bars",
    "stacked_bars",
]
DPI = 144  # and letters of 10 points or more, which a class reads from the third row
MARKED = 12  # points of a curve up to which each has its mark
BESIDE = 3  # curves; the names of more stand beside them
STUMP = {"facecolor": "white", "edgecolor": GREY.edge, "hatch": "////", "linewidth": 0.8}
STYLES = ("-", "--", "-.", ":")
MARKS = "osD^vP"
find_font = cache(chinese_font)  # once, on first use: without it Chinese letters are boxes


def new(title: str, x: str = "", y: str = "", size: tuple[float, float] = (8, 3.2)) -> Axes:
    """Return an empty picture with its labels; `size` in inches."""
    find_font()
    _, axes = plt.subplots(figsize=size, dpi=DPI)
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.set_prop_cycle(color=COLOURS)  # the colours that several series take, one after the other
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def finish(axes: Axes) -> Axes:
    """Show a picture, and return its axes, which can still be saved: `axes.figure.savefig(path)`.

    A script with no window shows nothing. Other people's figures stay open.
    """
    figure = axes.figure
    figure.tight_layout()
    if hasattr(get_ipython(), "kernel"):
        # Who cannot see the picture hears its title.
        display(Image(small_png(figure), alt=figure.get_suptitle() or axes.get_title()))
    elif plt.get_backend().lower() != "agg":
        plt.show()
    plt.close(figure)

    # The last line of a cell shows what it returns, and the picture is there already.
    axes._ipython_display_ = figure._ipython_display_ = lambda: None
    return axes


def small_png(figure: Figure) -> bytes:
    """Return a figure as PNG of 128 colours: a third of the bytes, for notebooks in a history."""
    from PIL.Image import Dither
    from PIL.Image import open as opened

    whole, small = BytesIO(), BytesIO()
    figure.savefig(whole, dpi=DPI, bbox_inches="tight", facecolor="white")
    picture = opened(whole).convert("RGB").quantize(128, dither=Dither.NONE)
    picture.save(small, "png", optimize=True)
    return small.getvalue()


def number(value: float) -> str:
    """Return a number as a bar's label: whole numbers whole, shares with two places.

    >>> number(150000), number(0.034), number(3.0)
    ('150,000', '0.03', '3')
    """
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.2f}"


def bars(
    values: Mapping[str, float],
    title: str,
    x: str,
    groups: Mapping[str, str] | None = None,
    log: bool = False,
    kinds: Sequence[str] = (),
    hollow: Collection[str] = (),
    hollow_means: str = "",
) -> Axes:
    """Draw horizontal bars, largest on top, the number at each; dots where the axis is `log`.

    A logarithmic axis has no zero, so the length of a bar on it says nothing. `groups` maps a bar
    to the group whose colour it takes; readings of licences have colours and shapes of their own.
    `kinds` fixes the order of the groups, so that a group has one colour in several pictures.
    `hollow` names bars to be drawn empty, and `hollow_means` says why.
    """
    names = sorted(values, key=values.get)
    # Many bars are drawn thinner, or the picture outgrows the page.
    height = 0.34 if len(names) < 20 else 0.24
    axes = new(title, x, size=(8, max(1.8, height * len(names) + 1)))
    of_group = looks(groups or {}, kinds)
    chosen = [of_group[groups[name]] if groups else Look("", COLOURS[1], "o") for name in names]
    fills = [
        "white" if name in hollow else look.colour for name, look in zip(names, chosen, strict=True)
    ]
    draw = draw_dots if log else draw_bars
    draw(axes, {name: values[name] for name in names}, chosen, fills)

    # The order of the legend is that of the kinds, whichever bar is the longest.
    entries = [(look, look.colour) for look in of_group.values() if look in chosen]
    if set(names) & set(hollow):
        entries.append((Look(hollow_means, GREY.edge, "o"), "white"))
    legend(axes, entries)
    axes.margins(x=0.18)
    return finish(axes)


def looks(groups: Mapping[str, str], kinds: Sequence[str]) -> dict[str, Look]:
    """Return the look of each group: of a licence what it allows, else the next colour.

    Groups of a picture that `kinds` does not name come after those that it does.
    """
    order = list(dict.fromkeys([*kinds, *groups.values()]))
    if all(kind in LICENCES for kind in order):
        return {kind: LICENCES[kind] for kind in order}
    return {kind: Look(kind, COLOURS[at % len(COLOURS)], "o") for at, kind in enumerate(order)}


def draw_bars(
    axes: Axes, values: Mapping[str, float], chosen: Sequence[Look], fills: Sequence[str]
) -> None:
    """Draw a bar for each value, from the bottom up."""
    edges = [look.colour for look in chosen]
    drawn = axes.barh(list(values), list(values.values()), color=fills, edgecolor=edges)
    axes.bar_label(drawn, list(map(number, values.values())), padding=3)


def draw_dots(
    axes: Axes, values: Mapping[str, float], chosen: Sequence[Look], fills: Sequence[str]
) -> None:
    """Draw a dot for each value on a logarithmic axis, from the bottom up."""
    axes.set_xscale("log")
    axes.grid(axis="y", color="#e5e7ea")  # the eye must find the way from a name to its dot
    axes.set_axisbelow(True)
    for (name, value), look, fill in zip(values.items(), chosen, fills, strict=True):
        axes.plot(value, name, look.marker, markersize=8, color=look.colour, markerfacecolor=fill)
        axes.annotate(number(value), (value, name), (8, 0), textcoords="offset points", va="center")
    axes.set_ylim(-0.6, len(values) - 0.4)


def legend(axes: Axes, entries: Sequence[tuple[Look, str]]) -> None:
    """Write what each (look, fill) means below the picture; nothing without words."""
    marks = [
        Line2D([], [], ls="", ms=8, marker=look.marker, color=look.colour, mfc=fill)
        for look, fill in entries
    ]
    if marks:
        words = [look.words for look, _ in entries]
        axes.legend(marks, words, **below(axes, words))


def below(axes: Axes, words: Sequence[str], lines_of_names: int = 1) -> dict[str, Any]:
    """Return where a legend of `words` stands: below the names of the axis, as wide as the picture.

    Beside the picture it would make the page wider, and so all letters smaller.
    """
    width, height = axes.figure.get_size_inches()
    longest = 0.5 + 0.08 * max(map(columns, words), default=0)  # inches: a mark and its word
    return {
        "loc": "upper center",
        "bbox_to_anchor": (0.45, -(0.4 + 0.18 * lines_of_names) / (height - 1)),
        "ncols": max(1, min(3, int(width / longest))),
        "frameon": False,
        "columnspacing": 1.2,
    }


def grouped_bars(
    table: Mapping[str, Mapping[str, float]],
    title: str,
    y: str,
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    missing: str = "未跑 not run",
    kinds: Sequence[str] = (),
) -> Axes:
    """Draw groups of upright bars: `table[series][group]`, one colour per series.

    What a series lacks is a hatched stump that says `missing`, so that it is not taken for a 0.
    `intervals[series][group]` gives a bar its (low, high) whiskers. `kinds` fixes the order of the
    series' colours, so that a series has one colour in several pictures.
    """
    order = list(dict.fromkeys([*kinds, *table]))
    groups = list(dict.fromkeys(group for row in table.values() for group in row))
    # As wide as its bars or its name need, in inches; a Chinese character is about two letters.
    longest = max(
        (len(line.encode()) for group in groups for line in group.splitlines()), default=0
    )
    wide = max(0.3 + 0.4 * len(table), 0.1 * longest) * len(groups)
    axes = new(title, "", y, size=(min(10.0, max(5.0, wide + 0.8)), 3.8))
    highest = max((value or 0 for row in table.values() for value in row.values()), default=1)

    # Side by side round the group's place, whichever series have a bar there.
    width = 0.84 / max(1, len(table))
    for i, (series, row) in enumerate(table.items()):
        shift = (i - (len(table) - 1) / 2) * width
        places = {group: place + shift for place, group in enumerate(groups)}
        there = [group for group in groups if row.get(group) is not None]
        heights = [row[group] for group in there]
        drawn = axes.bar(
            [places[group] for group in there],
            heights,
            width * 0.94,
            label=series,
            color=COLOURS[order.index(series) % len(COLOURS)],
            yerr=whiskers(row, there, (intervals or {}).get(series, {})),
            ecolor=INK,
            capsize=3,
        )
        # In a crowded picture the numbers of neighbours would touch: they are turned.
        axes.bar_label(drawn, map(number, heights), padding=2, rotation=90 * (wide > 9.5))
        stumps(axes, [places[group] for group in groups if group not in there], width, highest)

    entries = axes.get_legend_handles_labels()[0]
    if any(row.get(group) is None for row in table.values() for group in groups):
        entries.append(Patch(label=missing, **STUMP))
    axes.set_xticks(range(len(groups)), groups)
    axes.margins(y=0.15)
    names = max((len(group.splitlines()) for group in groups), default=1)
    words = [entry.get_label() for entry in entries]
    axes.legend(handles=entries, **below(axes, words, names - 1))
    return finish(axes)


def score_bars(rows: Sequence[Mapping], title: str) -> Axes:
    """Draw the F1 of rows of `ie.contest.score_table`, each bar with its 95 % interval."""
    values: dict[str, dict[str, float]] = {}
    bounds: dict[str, dict[str, tuple[float, float]]] = {}
    for row in rows:
        group = f"{row['data']}\n{row['part']}"
        values.setdefault(row["system"], {})[group] = row["f1"]
        bounds.setdefault(row["system"], {})[group] = (row["low"], row["high"])
    absent = "不参加 not entered"
    return grouped_bars(values, title, "F1（span）", intervals=bounds, missing=absent)


def stacked_bars(
    table: Mapping[str, Mapping[str, float]],
    title: str,
    y: str,
    limits: Mapping[str, float] | None = None,
) -> Axes:
    """Draw upright bars of parts on one another, the whole above: `table[bar][part]`.

    `limits` are lines across the picture with their names.
    """
    axes = new(title, "", y, size=(8, 4.2))
    parts = list(dict.fromkeys(part for row in table.values() for part in row))
    bars_of, bottom = list(table), [0.0] * len(table)

    # Each part begins where those below it end.
    for at, part in enumerate(parts):
        heights = [table[name].get(part, 0.0) for name in bars_of]
        colour = COLOURS[at % len(COLOURS)]
        axes.bar(bars_of, heights, 0.62, bottom, label=part, color=colour)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]

    # On paper of their own: a limit may pass behind the number.
    above: dict[str, Any] = {"xytext": (0, 3), "textcoords": "offset points"}
    paper = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}
    for place, whole in enumerate(bottom):
        axes.annotate(number(whole), (place, whole), ha="center", bbox=paper, **above)

    # To the right of the last bar, where no bar hides a name.
    for name, height in (limits or {}).items():
        axes.axhline(height, color=GREY.edge, linestyle="--", linewidth=1)
        axes.annotate(name, (len(bars_of) - 0.55, height), **above)
    axes.set_xlim(-0.6, len(bars_of) - 0.4 + 0.7 * bool(limits))
    axes.margins(y=0.12)
    names = max((len(name.splitlines()) for name in bars_of), default=1)
    axes.legend(**below(axes, parts, names - 1))
    return finish(axes)


def stumps(axes: Axes, places: Sequence[float], width: float, highest: float) -> None:
    """Draw hatched stumps where a series has no bar."""
    axes.bar(places, [0.07 * highest] * len(places), width * 0.94, **STUMP)


def whiskers(
    row: Mapping[str, float],
    groups: Sequence[str],
    intervals: Mapping[str, tuple[float, float]],
) -> list[list[float]] | None:
    """Return how far each bar's interval reaches below and above it, None without intervals.

    >>> whiskers({"甲": 0.5}, ["甲"], {"甲": (0.25, 1.0)})
    [[0.25], [0.5]]
    """
    if not intervals:
        return None
    ends = [(row[group], *intervals.get(group, (row[group], row[group]))) for group in groups]
    below = [max(0.0, value - low) for value, low, _ in ends]
    return [below, [max(0.0, high - value) for value, _, high in ends]]


def histogram(
    series: Mapping[str, Sequence[float]],
    title: str,
    x: str,
    bins: int = 40,
    limits: Mapping[str, float] | None = None,
) -> Axes:
    """Draw histograms of several series over one another, as shares of each series.

    They are outlines, so that two that coincide are still two. `limits` are upright lines with
    their names.
    """
    axes = new(title, x, "占比 share")
    # The same edges for all series, or their bars cannot be compared.
    everything = [value for values in series.values() for value in values]
    least, width = min(everything), max(everything) - min(everything) or 1
    edges = [least + width * i / bins for i in range(bins + 1)]
    for at, (name, values) in enumerate(series.items()):
        look = {"color": COLOURS[at % len(COLOURS)], "weights": [1 / len(values)] * len(values)}
        axes.hist(values, edges, histtype="stepfilled", alpha=0.2 / len(series) ** 2, **look)
        label, style = f"{name}（{len(values):,}）", STYLES[at % len(STYLES)]
        axes.hist(values, edges, histtype="step", linewidth=1.8, ls=style, label=label, **look)

    upright(axes, limits or {}, top=0.98)
    # Inside, the legend could stand on one of the upright lines.
    axes.legend(**below(axes, [*series]) if limits else {"frameon": False})
    return finish(axes)


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    x: str,
    y: str,
    diagonal: str = "",
    limits: Mapping[str, float] | None = None,
    intervals: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    ticks: Mapping[str, float] | None = None,
) -> Axes:
    """Draw curves: `series[name] = (xs, ys)`; with `diagonal`, the line y = x and its name.

    `limits` are upright lines with their names; `intervals[name]` gives each point of a curve its
    (low, high) whiskers; `ticks` names places on the x axis.
    """
    axes = new(title, x, y)
    for at, (name, (xs, ys)) in enumerate(series.items()):
        # Who cannot tell the colours apart goes by dashes and marks.
        [line] = axes.plot(xs, ys, STYLES[at % len(STYLES)], label=name)
        # Of few points each was measured: a line alone would hide which. A level has none.
        few = len(xs) <= MARKED and len(set(ys)) > 1
        line.set_marker(MARKS[at % len(MARKS)] if few else "")
        ends = (intervals or {}).get(name, ())
        if ends:
            axes.vlines(xs, *zip(*ends, strict=True), color=line.get_color(), alpha=0.4)
    if diagonal:
        furthest = max(place for xs, _ in series.values() for place in xs)
        axes.plot([0, furthest], [0, furthest], ":", color=GREY.edge, label=diagonal)
    upright(axes, limits or {}, top=0.08)
    if ticks:
        axes.set_xticks(list(ticks.values()), list(ticks))
    # Many names would lie on the curves.
    beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if len(series) > BESIDE else {}
    axes.legend(frameon=False, **beside)
    return finish(axes)


def upright(axes: Axes, limits: Mapping[str, float], top: float) -> None:
    """Draw upright lines, with their names at `top`, a share of the height."""
    for name, place in limits.items():
        axes.axvline(place, color=GREY.edge, linestyle=":")
        axes.text(place, top, f" {name}", transform=axes.get_xaxis_transform(), va="top")


def loss_curve(log: Sequence[Mapping], title: str) -> Axes:
    """Draw the loss of every logged step, and its running mean over a tenth of them."""
    steps, losses = [line["step"] for line in log], [line["loss"] for line in log]
    width = max(1, len(losses) // 10)
    smooth = [fmean(losses[max(0, end - width) : end]) for end in range(1, len(losses) + 1)]
    axes = new(title, "步 step", "损失 loss")
    axes.plot(steps, losses, label="每步 each step", color=COLOURS[4], linewidth=1)
    axes.plot(steps, smooth, label="滑动平均 running mean", color=COLOURS[0], linewidth=2)
    axes.legend(frameon=False)
    return finish(axes)


def batch_picture(
    batches: Mapping[str, Sequence[Sequence[int]]], length: int, title: str
) -> Figure:
    """Draw batches as rows of pixels, `length` tokens wide; what is white is padding.

    `batches[name]` holds for every row one number per token: the segment that it belongs to.
    """
    import numpy as np
    from matplotlib.colors import to_rgb

    find_font()
    figure, axes = plt.subplots(1, len(batches), figsize=(8.5, 3), dpi=DPI, squeeze=False)
    for column, (name, rows) in zip(axes[0], batches.items(), strict=True):
        picture = np.ones((len(rows), length, 3))
        # Pixel by pixel: a colour map would give equal segments of two pictures other colours.
        for row, segments in enumerate(rows):
            for token, segment in enumerate(segments[:length]):
                picture[row, token] = to_rgb(COLOURS[segment % len(COLOURS)])

        column.imshow(picture, aspect="auto", interpolation="nearest")
        share = sum(min(len(row), length) for row in rows) / (length * len(rows))
        column.set_title(f"{name}：有用 {share:.0%}", fontsize=11)
        # Rows have no order worth a label.
        column.set_xlabel("位置 token position")
        column.set_yticks([])
    figure.suptitle(title)
    finish(axes[0][0])
    return figure


def funnel(steps: Mapping[str, int], before: int, title: str) -> Axes:
    """Draw how many rows are left after each step, from the top down, and how many it removed.

    The steps of `data.clean` are named in both languages.
    """
    left, values, labels = before, {"读入 rows in": before}, [f"{before:,}"]
    for name, removed in steps.items():
        left -= removed
        values[named(name)] = left
        labels.append(f"{left:,}（−{removed:,}）" if removed else f"{left:,}")
    axes = new(title, "条数 rows", size=(8, 0.32 * len(values) + 1))
    colours = [COLOURS[3], *[COLOURS[1]] * len(steps)]
    drawn = axes.barh(list(values), list(values.values()), color=colours)
    axes.invert_yaxis()  # the first on top
    axes.bar_label(drawn, labels, padding=3)
    axes.margins(x=0.2)
    return finish(axes)


def clouds(maps: Mapping[str, Mapping[str, Sequence[Sequence[float]]]], title: str) -> Figure:
    """Draw maps of points side by side: `maps[panel][group] = [(x, y), …]`, a colour and a mark per
    group. What lies together is alike; the axes mean nothing.
    """
    find_font()
    figure, axes = plt.subplots(1, len(maps), figsize=(8.5, 4.4), dpi=DPI, squeeze=False)
    for column, (name, groups) in zip(axes[0], maps.items(), strict=True):
        for at, (group, points) in enumerate(groups.items()):
            xs, ys = zip(*points, strict=True)
            colour, mark = COLOURS[at % len(COLOURS)], MARKS[at % len(MARKS)]
            column.scatter(xs, ys, s=22, color=colour, marker=mark, label=group, alpha=0.8)
        # Empty lines below keep room for the legend, which tight_layout does not see.
        column.set(title=name, xticks=[], yticks=[], xlabel="\n\n")
        column.title.set_fontsize(11)
    marks, names = axes[0][0].get_legend_handles_labels()
    figure.legend(marks, names, loc="lower center", ncols=5, frameon=False)
    figure.suptitle(title)
    finish(axes[0][0])
    return figure


def panels(tables: Mapping[str, Mapping[str, float]], title: str, x: str) -> Figure:
    """Draw several small tables of bars side by side, `tables[panel][bar]`, on one scale."""
    find_font()
    # One scale for all: a small set must not look as large as a big one.
    tallest = max(map(len, tables.values()))
    size = (8.5, 0.32 * tallest + 1.4)
    figure, axes = plt.subplots(1, len(tables), figsize=size, dpi=DPI, squeeze=False, sharex=True)
    for at, (column, (name, values)) in enumerate(zip(axes[0], tables.items(), strict=True)):
        names = sorted(values, key=values.get)
        heights = [values[bar] for bar in names]
        drawn = column.barh(names, heights, color=COLOURS[at % len(COLOURS)])
        column.bar_label(drawn, list(map(number, heights)), padding=2)
        column.set(title=name, xlabel=x)
        column.title.set_fontsize(11)
        column.spines[["top", "right"]].set_visible(False)

        # Bars as thick as in the fullest panel, the largest on top.
        column.set_ylim(len(names) - tallest - 0.6, len(names) - 0.4)
        column.margins(x=0.3)
    figure.suptitle(title)
    finish(axes[0][0])
    return figure
