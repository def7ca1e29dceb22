"""Plots: they can be read from the third row, saved, and do not say more than their numbers."""

from __future__ import annotations

import io
import subprocess
import sys
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Text
from PIL import Image

from miniluotuo_utils.data.catalog import TERMS
from miniluotuo_utils.show import plots
from miniluotuo_utils.show.colours import LICENCES

SCORES = {"词典": {"实体": 0.0, "关系": 0.25}, "学生": {"实体": 0.5}}
DRAWN = {
    "bars": lambda: plots.bars({"甲": 3, "乙": 1500}, "题", "个"),
    "many bars": lambda: plots.bars({f"名字{n}": n + 1 for n in range(40)}, "题", "个", log=True),
    "grouped": lambda: plots.grouped_bars(SCORES, "题", "F1"),
    "histogram": lambda: plots.histogram({"字": [1, 2, 2], "词元": [1, 2, 2]}, "题", "长度"),
    "lines": lambda: plots.lines(
        {"线": ([0, 5], [0, 3])}, "题", "横", "纵", diagonal="全是新的", limits={"停": 3}
    ),
    "whiskers": lambda: plots.lines(
        {"线": ([1, 2], [0, 3])},
        "题",
        "横",
        "纵",
        intervals={"线": [(0, 1), (2, 4)]},
        ticks={"十": 1},
    ),
    "loss": lambda: plots.loss_curve([{"step": n, "loss": 2 / n} for n in range(1, 30)], "损失"),
    "batch": lambda: plots.batch_picture({"补齐": [[0] * 3, [1] * 9]}, 10, "批次").axes[0],
    "funnel": lambda: plots.funnel({"太短": 2, "重复": 0}, 10, "题"),
    "clouds": lambda: plots.clouds({"图": {"甲": [(0, 1)], "乙": [(1, 0)]}}, "题").axes[0],
    "panels": lambda: plots.panels({"甲": {"人物": 3}, "乙": {"收购": 2}}, "题", "个").axes[0],
    "stacked": lambda: plots.stacked_bars({"全量": {"权重": 3}}, "题", "GiB", {"T4": 14}),
}


@pytest.fixture(params=list(DRAWN))
def axes(request):
    """The axes of each kind of picture."""
    return DRAWN[request.param]()


def test_letters_are_large_and_the_picture_can_be_saved(axes, tmp_path):
    """Labels of 7 points at 80 dpi were fuzzy from the third row, and None cannot be saved."""
    texts = [text for text in axes.figure.findobj(Text) if text.get_text().strip()]
    assert min(text.get_fontsize() for text in texts) >= 10
    assert axes.figure.dpi == 144
    axes.figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5_000
    # Shown once, by the function: the last line of a cell must not print `<Axes: ...>` below it.
    assert axes._ipython_display_() is axes.figure._ipython_display_() is None


def test_a_picture_is_small_enough_for_a_history(axes):
    """A committed output may hold 50 KB; at 144 dpi the pictures of before had up to 140."""
    png = plots.small_png(axes.figure)
    assert len(png) < 50_000
    picture = Image.open(io.BytesIO(png))
    assert picture.width <= 10.5 * 144
    assert picture.mode == "P"


def test_a_notebook_shows_a_picture_once_and_with_its_title(monkeypatch):
    """Shown by the function and again as what it returns, it stood twice; and nobody who cannot
    see it knew what it was."""
    shown = []
    monkeypatch.setattr(plots, "get_ipython", lambda: SimpleNamespace(kernel=True))
    monkeypatch.setattr(plots, "display", shown.append)
    plots.bars({"甲": 3}, "骆驼的数目", "个")
    plots.batch_picture({"补齐": [[0] * 3]}, 10, "一个批次")
    assert [picture.alt for picture in shown] == ["骆驼的数目", "一个批次"]


def test_other_peoples_figures_stay_open():
    """`plt.close("all")` closed what a user was drawing."""
    mine = plt.figure()
    plots.bars({"甲": 3}, "题", "个")
    assert plt.fignum_exists(mine.number)
    plt.close(mine)


def test_a_chinese_font_is_found_without_setup():
    """In a script that never called `setup()` every Chinese letter was a box."""
    pytest.importorskip("mplfonts")
    code = "from miniluotuo_utils.show import plots; plots.bars({'骆驼': 1}, '题', '个')"
    command = [sys.executable, "-W", "error:Glyph", "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_no_bar_stands_on_a_logarithmic_axis():
    """Such an axis has no zero, so a bar's length on it is arbitrary."""
    axes = plots.bars({"甲": 3, "乙": 3000}, "题", "个", log=True)
    assert axes.get_xscale() == "log"
    assert not axes.patches
    assert [line.get_xdata()[0] for line in axes.lines] == [3, 3000]
    assert len(plots.bars({"甲": 3}, "题", "个").patches) == 1


def test_a_licence_has_the_colour_of_what_it_allows():
    """Permissive was red, contradictory a friendly blue, and the legend English alone."""
    assert list(LICENCES) == list(TERMS)
    terms = {"甲": "permissive", "乙": "contradictory", "丙": "not looked up"}
    values = {"甲": 9, "乙": 5, "丙": 2}
    axes = plots.bars(
        values, "题", "条", terms, log=True, kinds=TERMS, hollow={"甲"}, hollow_means="空心：未核实"
    )
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == [LICENCES[terms[name]].words for name in values] + ["空心：未核实"]
    colours = [line.get_color() for line in axes.lines]  # from the bottom up
    assert colours == [LICENCES[terms[name]].colour for name in ("丙", "乙", "甲")]
    assert axes.lines[-1].get_markerfacecolor() == "white"
    green, red = LICENCES["permissive"].colour, LICENCES["contradictory"].colour
    assert int(green[3:5], 16) > int(green[1:3], 16)
    assert int(red[1:3], 16) > int(red[3:5], 16)
    assert len({licence.marker for licence in LICENCES.values()}) == len(LICENCES)


def test_curves_differ_by_more_than_their_colour():
    """Red, teal and orange curves alike but for the colour: no key for who cannot tell them apart.
    A level drawn with marks looked measured at its ends."""
    xs = [1, 2, 3]
    curves = {"甲": (xs, [1, 2, 4]), "乙": (xs, [1, 3, 9]), "平": ([1, 3], [2, 2])}
    first, second, level = plots.lines(curves, "题", "横", "纵").lines
    assert first.get_linestyle() != second.get_linestyle()
    assert first.get_marker() != second.get_marker()
    assert level.get_marker() == ""


def test_a_series_keeps_its_colour_from_picture_to_picture():
    """The student before training was red, orange and teal in three pictures of one notebook."""
    order = ["甲", "乙", "丙"]
    both = plots.grouped_bars({"甲": {"实体": 1}, "丙": {"实体": 2}}, "题", "F1", kinds=order)
    alone = plots.grouped_bars({"丙": {"实体": 2}}, "题", "F1", kinds=order)
    assert both.patches[1].get_facecolor() == alone.patches[0].get_facecolor()
    assert both.patches[0].get_facecolor() != both.patches[1].get_facecolor()


def test_what_was_not_run_does_not_look_like_a_zero():
    """A missing bar and the dictionary's real 0 were the same empty place."""
    axes = plots.grouped_bars(SCORES, "题", "F1")
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    assert len(hatched) == 1
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["词典", "学生", "未跑 not run"]
    whole = plots.grouped_bars({"词典": {"实体": 0.0}}, "题", "F1")
    assert not any(patch.get_hatch() for patch in whole.patches)
    assert len(whole.get_legend().get_texts()) == 1
    assert plots.grouped_bars({"甲": {"实体": None}, "乙": {"实体": 1}}, "题", "F1").get_legend()


def test_stacked_bars_say_their_whole_and_every_limit():
    """Five bars a method side by side: nobody could add them up, or see whether a T4 takes them."""
    memory = {"全量": {"权重": 3.0, "激活": 1.5}, "LoRA": {"权重": 1.0}}
    axes = plots.stacked_bars(memory, "题", "GiB", {"T4": 2.0, "80 GB": 78.0})
    tops = {(bar.get_x(), bar.get_y() + bar.get_height()) for bar in axes.patches}
    assert max(top for _, top in tops) == 4.5
    words = [text.get_text() for text in axes.texts]
    assert words == ["4.50", "1", "T4", "80 GB"]
    assert axes.get_ylim()[1] > 78
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["权重", "激活"]


def test_intervals_are_drawn():
    """The 95 % intervals were computed and hidden in a table of 21 rows."""
    axes = plots.grouped_bars(SCORES, "题", "F1", intervals={"学生": {"实体": (0.25, 0.75)}})
    (bars,) = [bars for bars in axes.containers if getattr(bars, "errorbar", None)]
    (segment,) = bars.errorbar.lines[2][0].get_segments()
    assert segment[:, 1].tolist() == [0.25, 0.75]


def test_histograms_that_coincide_are_still_two():
    """Two filled series over one another were one grey blob."""
    axes = DRAWN["histogram"]()
    outlines = [patch for patch in axes.patches if not patch.get_fill()]
    assert len({patch.get_linestyle() for patch in outlines}) == 2
    marked = plots.histogram({"字": [1, 600]}, "题", "长度", limits={"512": 512})
    assert marked.lines[0].get_xdata() == [512, 512]
    assert " 512" in [text.get_text() for text in marked.texts]
