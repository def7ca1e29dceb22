"""Draw pictures with Chinese labels, one small function each.

In: plain dicts and lists. Out: a shown figure. Shown in notebooks 01 to 05.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (
    "#c8553d",
    "#588b8b",
    "#f28f3b",
    "#2d3047",
    "#93b7be",
    "#8a5a83",
    "#6a994e",
    "#bc6c25",
    "#4361ee",
    "#adb5bd",
)


def new(title: str, x: str = "", y: str = "", size: tuple[float, float] = (8, 3.2)) -> Axes:
    """Return an empty picture with its labels; `size` in inches."""
    _, axes = plt.subplots(figsize=size, dpi=80)
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.set_prop_cycle(color=COLOURS)  # the colours that several series take, one after the other
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def finish() -> None:
    """Show the current picture."""
    plt.tight_layout()
    plt.show()
    plt.close("all")


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
) -> None:
    """Draw horizontal bars, largest on top, the number at each.

    `groups` maps a bar to the group whose colour it takes. `kinds` fixes the order of the groups,
    so that a group has one colour in several pictures.
    """
    names = sorted(values, key=values.get)
    # Many bars are drawn thinner, or the picture outgrows the page.
    height, letters = (0.32, 10) if len(names) < 20 else (0.2, 7)
    axes = new(title, x, size=(8, max(1.8, height * len(names) + 1)))
    axes.tick_params(axis="y", labelsize=letters)

    # Groups of a picture that `kinds` does not name come after those that it does.
    groups = groups or {}
    kinds = list(dict.fromkeys([*kinds, *groups.values()]))
    colour_of = {kind: COLOURS[at % len(COLOURS)] for at, kind in enumerate(kinds)}
    colours = [colour_of[groups[name]] if groups else COLOURS[1] for name in names]
    drawn = axes.barh(names, [values[name] for name in names], color=colours, log=log)
    axes.bar_label(drawn, [number(values[name]) for name in names], padding=3, fontsize=8)
    if kinds:
        there = [kind for kind in kinds if kind in groups.values()]
        boxes = [plt.Rectangle((0, 0), 1, 1, color=colour_of[kind]) for kind in there]
        axes.legend(boxes, there, fontsize=8, loc="lower right", frameon=False)
    axes.margins(x=0.12)
    finish()


def grouped_bars(table: Mapping[str, Mapping[str, float]], title: str, y: str) -> None:
    """Draw groups of upright bars: `table[series][group]`, one colour per series.

    What a series lacks has no bar.
    """
    groups = list(dict.fromkeys(group for row in table.values() for group in row))
    # As wide as its bars or its name need, in inches; a Chinese character is about two letters.
    longest = max(
        (len(line.encode()) for group in groups for line in group.splitlines()), default=0
    )
    wide = max(0.35 + 0.28 * len(table), 0.09 * longest) * len(groups)
    axes = new(title, "", y, size=(min(14.0, max(4.0, wide) + 3), 3.2))  # 3: axis and legend

    # Side by side round the group's place, whichever series have a bar there.
    width = 0.8 / max(1, len(table))
    for i, (series, row) in enumerate(table.items()):
        shift = (i - (len(table) - 1) / 2) * width
        places = [place + shift for place, group in enumerate(groups) if group in row]
        heights = [row[group] for group in groups if group in row]
        drawn = axes.bar(places, heights, width, label=series, color=COLOURS[i % len(COLOURS)])
        axes.bar_label(drawn, map(number, heights), fontsize=7, padding=1)
    axes.set_xticks(range(len(groups)), groups)
    axes.margins(y=0.15)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    finish()


def histogram(series: Mapping[str, Sequence[float]], title: str, x: str, bins: int = 40) -> None:
    """Draw histograms of several series over one another, as shares of each series."""
    axes = new(title, x, "占比 share")
    # The same edges for all series, or their bars cannot be compared.
    everything = [value for values in series.values() for value in values]
    least, width = min(everything), max(everything) - min(everything) or 1
    edges = [least + width * i / bins for i in range(bins + 1)]
    for name, values in series.items():
        label, weights = f"{name}（{len(values):,}）", [1 / len(values)] * len(values)
        axes.hist(values, edges, weights=weights, alpha=0.6, label=label)
    axes.legend(fontsize=8)
    finish()


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str, x: str, y: str
) -> None:
    """Draw curves: `series[name] = (xs, ys)`."""
    axes = new(title, x, y)
    for name, (xs, ys) in series.items():
        # A curve of one point is invisible without a mark.
        axes.plot(xs, ys, label=name, marker="o" if len(xs) < 3 else None)
    axes.legend(fontsize=8)
    finish()


def loss_curve(log: Sequence[Mapping], title: str) -> None:
    """Draw the loss of every logged step, and its running mean over a tenth of them."""
    steps, losses = [line["step"] for line in log], [line["loss"] for line in log]
    width = max(1, len(losses) // 10)
    smooth = [fmean(losses[max(0, end - width) : end]) for end in range(1, len(losses) + 1)]
    lines(
        {"每步 each step": (steps, losses), "滑动平均 running mean": (steps, smooth)},
        title,
        "步 step",
        "损失 loss",
    )


def batch_picture(batches: Mapping[str, Sequence[Sequence[int]]], length: int, title: str) -> None:
    """Draw batches as rows of pixels, `length` tokens wide; what is white is padding.

    `batches[name]` holds for every row one number per token: the segment that it belongs to.
    """
    import numpy as np
    from matplotlib.colors import to_rgb

    _, axes = plt.subplots(1, len(batches), figsize=(8.5, 3), dpi=80, squeeze=False)
    for column, (name, rows) in zip(axes[0], batches.items(), strict=True):
        picture = np.ones((len(rows), length, 3))
        # Pixel by pixel: a colour map would give equal segments of two pictures other colours.
        for row, segments in enumerate(rows):
            for token, segment in enumerate(segments[:length]):
                picture[row, token] = to_rgb(COLOURS[segment % len(COLOURS)])

        column.imshow(picture, aspect="auto", interpolation="nearest")
        share = sum(min(len(row), length) for row in rows) / (length * len(rows))
        column.set_title(f"{name}：有用 {share:.0%}", fontsize=9)
        # Rows have no order worth a label.
        column.set_xlabel("位置 token position", fontsize=8)
        column.set_yticks([])
    plt.suptitle(title)
    finish()


def funnel(steps: Mapping[str, int], before: int, title: str) -> None:
    """Draw how many rows are left after each step, from the top down, and how many it removed."""
    left, values, labels = before, {"读入 rows in": before}, [f"{before:,}"]
    for name, removed in steps.items():
        left -= removed
        values[name] = left
        labels.append(f"{left:,}（−{removed:,}）" if removed else f"{left:,}")
    axes = new(title, "条数 rows", size=(8, 0.3 * len(values) + 1))
    colours = [COLOURS[3], *[COLOURS[1]] * len(steps)]
    drawn = axes.barh(list(values), list(values.values()), color=colours)
    axes.invert_yaxis()  # the first on top
    axes.bar_label(drawn, labels, padding=3, fontsize=8)
    axes.margins(x=0.16)
    finish()


def scatter(series: Mapping[str, Sequence[Sequence[float]]], title: str) -> None:
    """Draw points of several series on one map: `series[name]` holds (x, y), without a unit."""
    axes = new(title, size=(7, 4))
    for name, points in series.items():
        label = f"{name}（{len(points):,}）"
        axes.scatter(*zip(*points, strict=True), s=9, alpha=0.6, label=label, linewidths=0)
    axes.set(xticks=[], yticks=[])
    axes.legend(fontsize=8, markerscale=2)
    finish()
