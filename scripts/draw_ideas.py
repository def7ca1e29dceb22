"""Draw the ideas of the course and what each of them needs: images/ideas.png.

    python scripts/draw_ideas.py

In: the two tables below. Out: a picture, one column a notebook. Shown in notebooks/TEACHING.md.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt

from miniluotuo_utils.runtime import chinese_font

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "images" / "ideas.png"
IDEAS = {
    "00": ("贪心解码", "半个字", "解码预设"),
    "01": ("位置", "来历、许可证", "清洗", "近似重复", "泄漏"),
    "02": ("引导", "只付一次", "先估价", "标注器", "一致性 κ"),
    "03": ("词元", "监督掩码", "错位和损失", "填充、打包"),
    "04": ("训练循环", "LoRA", "算内存", "断点续训"),
    "05": ("解析、定位", "F1", "区间、置换检验", "错在哪里", "每字比特"),
    "06": ("银标", "温度", "T² · KL", "评判", "隐状态、关系"),
    "07": ("先标后改", "按组分开", "学习曲线", "可靠性曲线", "先标哪一句"),
}
# What is needed -> what is built on it.
NEEDS = (
    ("贪心解码", "解析、定位"),
    ("半个字", "词元"),
    ("来历、许可证", "引导"),
    ("位置", "解析、定位"),
    ("清洗", "近似重复"),
    ("近似重复", "泄漏"),
    ("近似重复", "引导"),
    ("泄漏", "F1"),
    ("引导", "只付一次"),
    ("只付一次", "先估价"),
    ("标注器", "错在哪里"),
    ("一致性 κ", "错在哪里"),
    ("词元", "监督掩码"),
    ("监督掩码", "错位和损失"),
    ("错位和损失", "填充、打包"),
    ("错位和损失", "训练循环"),
    ("错位和损失", "每字比特"),
    ("训练循环", "LoRA"),
    ("LoRA", "算内存"),
    ("算内存", "断点续训"),
    ("训练循环", "F1"),
    ("解析、定位", "F1"),
    ("F1", "区间、置换检验"),
    ("区间、置换检验", "错在哪里"),
    ("温度", "T² · KL"),
    ("T² · KL", "评判"),
    ("F1", "银标"),
    ("解析、定位", "先标后改"),
    ("先标后改", "按组分开"),
    ("错在哪里", "可靠性曲线"),
    ("可靠性曲线", "先标哪一句"),
    ("区间、置换检验", "学习曲线"),
)
# Arrows across that would run through the box of another idea bend elsewhere.
BENDS = {
    ("半个字", "词元"): 0.0,
    ("泄漏", "F1"): 0.0,
    ("一致性 κ", "错在哪里"): 0.1,
    ("错位和损失", "每字比特"): 0.23,
    ("解析、定位", "先标后改"): -0.2,
    ("区间、置换检验", "学习曲线"): -0.22,
    ("错在哪里", "可靠性曲线"): -0.2,
}
SHADES = ("#dbe9f6", "#e6f2dc", "#fdebd0", "#f4dcec", "#e2def3", "#d9f0ee", "#f9dcdc", "#eae3d2")
DARKER = ("#6d9cc9", "#86b062", "#dba14c", "#c77cae", "#8d80c4", "#5fada6", "#c77a7a", "#a89a72")


def places() -> dict[str, tuple[float, float]]:
    """Return where each idea stands: a column a notebook, from the top down.

    >>> places()["半个字"]
    (0.0, -1.0)
    """
    found = {}
    for column, ideas in enumerate(IDEAS.values()):
        for row, idea in enumerate(ideas):
            found[idea] = (float(column), -float(row))
    return found


def draw(target: Path) -> None:
    """Draw all ideas and their arrows into a file."""
    chinese_font()
    figure, axes = plt.subplots(figsize=(1.84 * len(IDEAS), 4.6), dpi=144)
    axes.set_xlim(-0.6, len(IDEAS) - 0.4)
    axes.set_ylim(-4.6, 1.1)
    axes.axis("off")
    where = places()
    for column, (book, ideas) in enumerate(IDEAS.items()):
        axes.text(column, 0.75, book, ha="center", fontsize=13, color="#333333")
        for idea in ideas:
            box = {"boxstyle": "round,pad=0.35", "facecolor": SHADES[column], "edgecolor": "#888"}
            axes.text(*where[idea], idea, ha="center", va="center", fontsize=11, bbox=box)

    # Down a column an arrow is short and straight; across it bends, so that two do not cover.
    for needed, built in NEEDS:
        same = where[needed][0] == where[built][0]
        bend = 0 if same else BENDS.get((needed, built), -0.12)
        style = {"arrowstyle": "-|>", "connectionstyle": f"arc3,rad={bend}"}
        # Where two cross, the colour of the notebook that it comes from tells them apart.
        style |= {"color": DARKER[int(where[needed][0])], "linewidth": 1.4}
        # A box is as high as a line, and as wide as its word.
        style |= {"shrinkA": 15 if same else 6 * len(needed) + 9}
        style |= {"shrinkB": 15 if same else 6 * len(built) + 10}
        axes.annotate("", where[built], where[needed], arrowprops=style, zorder=0)
    figure.savefig(target, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    draw(TARGET)
