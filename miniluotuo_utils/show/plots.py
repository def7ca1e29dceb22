"""Pictures with Chinese labels, one small function each. In: plain dicts and lists. Out: a shown figure. Shown in 01-05."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """An empty picture with its labels."""
    _, axes = plt.subplots(figsize=size, dpi=80)
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def finish() -> None:
    """Show the current picture."""
    plt.tight_layout()
    plt.show()
    plt.close("all")


def number(value: float) -> str:
    """A number as a bar's label: whole numbers whole, shares with two places.

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
    """Horizontal bars, largest on top, the number at each; `groups` maps a bar to the group whose colour it takes.

    `kinds` fixes the order of the groups, so that a group has one colour in several pictures.
    """
    names = sorted(values, key=values.get)
    axes = new(title, x, size=(8, max(1.8, (0.32 if len(names) < 20 else 0.2) * len(names) + 1)))
    axes.tick_params(axis="y", labelsize=10 if len(names) < 20 else 7)
    kinds = list(dict.fromkeys([*kinds, *(groups or {}).values()]))
    colours = [
        COLOURS[kinds.index(groups[n]) % len(COLOURS)] if groups else COLOURS[1] for n in names
    ]
    drawn = axes.barh(names, [values[n] for n in names], color=colours)
    axes.bar_label(drawn, [number(values[n]) for n in names], padding=3, fontsize=8)
    if log:
        axes.set_xscale("log")
    if kinds:
        there = [kind for kind in kinds if kind in (groups or {}).values()]
        handles = [
            plt.Rectangle((0, 0), 1, 1, color=COLOURS[kinds.index(kind) % len(COLOURS)])
            for kind in there
        ]
        axes.legend(handles, there, fontsize=8, loc="lower right", frameon=False)
    axes.margins(x=0.12)
    finish()


def grouped_bars(table: Mapping[str, Mapping[str, float]], title: str, y: str) -> None:
    """Groups of upright bars: `table[series][group]`, one colour per series; what a series lacks has no bar."""
    groups = list(dict.fromkeys(g for row in table.values() for g in row))
    longest = max(
        (len(line.encode()) for g in groups for line in g.splitlines()), default=0
    )  # a Chinese character is about two letters wide
    group = max(0.35 + 0.28 * len(table), 0.09 * longest)  # inches
    axes = new(
        title, "", y, size=(min(14.0, max(4.0, group * len(groups)) + 3), 3.2)
    )  # three of them for legend and axis
    width = 0.8 / max(1, len(table))
    for i, (series, row) in enumerate(table.items()):
        there = [
            (place + (i - (len(table) - 1) / 2) * width, row[g])
            for place, g in enumerate(groups)
            if g in row
        ]
        drawn = axes.bar(
            [place for place, _ in there],
            [value for _, value in there],
            width,
            label=series,
            color=COLOURS[i % len(COLOURS)],
        )
        axes.bar_label(drawn, [number(value) for _, value in there], fontsize=7, padding=1)
    axes.set_xticks(range(len(groups)), groups)
    axes.margins(y=0.15)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    finish()


def histogram(series: Mapping[str, Sequence[float]], title: str, x: str, bins: int = 40) -> None:
    """Histograms of several series over one another, as shares of each series."""
    axes = new(title, x, "占比 share")
    everything = [v for values in series.values() for v in values]
    edges = [
        min(everything) + (max(everything) - min(everything) or 1) * i / bins
        for i in range(bins + 1)
    ]
    for i, (name, values) in enumerate(series.items()):
        weights = [1 / len(values)] * len(values)
        axes.hist(
            values,
            edges,
            weights=weights,
            alpha=0.6,
            label=f"{name}（{len(values):,}）",
            color=COLOURS[i % len(COLOURS)],
        )
    axes.legend(fontsize=8)
    finish()


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str, x: str, y: str
) -> None:
    """Curves: `series[name] = (xs, ys)`."""
    axes = new(title, x, y)
    for i, (name, (xs, ys)) in enumerate(series.items()):
        axes.plot(
            xs, ys, label=name, color=COLOURS[i % len(COLOURS)], marker="o" if len(xs) < 3 else None
        )
    axes.legend(fontsize=8)
    finish()


def loss_curve(log: Sequence[Mapping], title: str) -> None:
    """The loss of every logged step, and its running mean over a tenth of them."""
    steps, losses = [line["step"] for line in log], [line["loss"] for line in log]
    width = max(1, len(losses) // 10)
    smooth = [
        sum(losses[max(0, i - width + 1) : i + 1]) / len(losses[max(0, i - width + 1) : i + 1])
        for i in range(len(losses))
    ]
    lines(
        {"每步 each step": (steps, losses), "滑动平均 running mean": (steps, smooth)},
        title,
        "步 step",
        "损失 loss",
    )


def batch_picture(batches: Mapping[str, Sequence[Sequence[int]]], length: int, title: str) -> None:
    """Batches as pixel rows of `length` tokens: `batches[name]` holds one list of segment numbers per row; the rest is padding."""
    import numpy as np

    _, axes = plt.subplots(1, len(batches), figsize=(8.5, 3), dpi=80, squeeze=False)
    for column, (name, rows) in zip(axes[0], batches.items(), strict=True):
        picture = np.ones((len(rows), length, 3))
        for r, row in enumerate(rows):
            for t, segment in enumerate(row[:length]):
                colour = COLOURS[segment % len(COLOURS)].lstrip("#")
                picture[r, t] = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        column.imshow(picture, aspect="auto", interpolation="nearest")
        share = sum(min(len(row), length) for row in rows) / (length * len(rows))
        column.set_title(f"{name}：有用 {share:.0%}", fontsize=9)
        column.set_xlabel("位置 token position", fontsize=8)
        column.set_yticks([])
    plt.suptitle(title)
    finish()


def funnel(steps: Mapping[str, int], before: int, title: str) -> None:
    """How many rows are left after each step that removes some, from the top down, with the number removed beside it."""
    left, names, values, labels = before, ["读入 rows in"], [before], [f"{before:,}"]
    for name, removed in steps.items():
        left -= removed
        names.append(name)
        values.append(left)
        labels.append(f"{left:,}" + (f"（−{removed:,}）" if removed else ""))
    axes = new(title, "条数 rows", size=(8, 0.3 * len(names) + 1))
    drawn = axes.barh(
        names[::-1],
        values[::-1],
        color=[COLOURS[1] if i else COLOURS[3] for i in range(len(names))][::-1],
    )
    axes.bar_label(drawn, labels[::-1], padding=3, fontsize=8)
    axes.margins(x=0.16)
    finish()


def scatter(series: Mapping[str, Sequence[Sequence[float]]], title: str) -> None:
    """Points of several series on one map: `series[name]` holds (x, y) pairs; the axes have no unit."""
    axes = new(title, size=(7, 4))
    for i, (name, points) in enumerate(series.items()):
        xs, ys = zip(*points, strict=True)
        axes.scatter(
            xs,
            ys,
            s=9,
            alpha=0.6,
            label=f"{name}（{len(xs):,}）",
            color=COLOURS[i % len(COLOURS)],
            linewidths=0,
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(fontsize=8, markerscale=2)
    finish()
