"""Draw `images/pipeline.png`, the README's picture of how data flows through the notebooks.

python scripts/draw_pipeline.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from miniluotuo_utils.runtime import chinese_font, repository
from miniluotuo_utils.show.plots import COLOURS

STAGES = [
    ("01 数据", "Data", "下载 核对\n统一 清洗", "data/"),
    ("02 教师", "Teacher", "引导指令\n收集回答", "teacher/"),
    ("03 词元", "Tokens", "掩码 打包\n比较词表", "tokens/"),
    ("04 微调", "Fine-tune", "450 万 → 35 亿\nfull LoRA QLoRA", "students/"),
    ("05 评测", "Evaluate", "抽取 解析\n按位置计分", "evaluation/"),
]


def main(target: Path) -> None:
    """One row of boxes, what each leaves below it, the quickstart before them."""
    chinese_font()
    figure, axes = plt.subplots(figsize=(11, 3.5), dpi=110)
    axes.set_xlim(-0.3, 11.4)
    axes.set_ylim(0, 3.5)
    axes.axis("off")
    for i, (chinese, english, what, leaves) in enumerate(STAGES):
        x = 0.1 + i * 2.25
        colour = COLOURS[i]
        axes.add_patch(
            FancyBboxPatch(
                (x, 1.15), 1.75, 1.55, boxstyle="round,pad=0.06", facecolor=colour, edgecolor="none"
            )
        )
        axes.text(x + 0.87, 2.44, chinese, ha="center", va="center", color="white", fontsize=14)
        axes.text(x + 0.87, 2.12, english, ha="center", va="center", color="white", fontsize=9)
        axes.text(x + 0.87, 1.58, what, ha="center", va="center", color="white", fontsize=9.5)
        axes.text(
            x + 0.87,
            0.72,
            f"runs/<scale>/\n{leaves}",
            ha="center",
            va="center",
            fontsize=8.5,
            color="#444",
            family="monospace",
        )
        if i:
            axes.add_patch(
                FancyArrowPatch(
                    (x - 0.43, 1.92),
                    (x - 0.05, 1.92),
                    arrowstyle="-|>",
                    mutation_scale=16,
                    color="#333",
                )
            )
    axes.text(
        5.5,
        3.2,
        "迷你骆驼 Mini-Luotuo：小中文模型是怎样做出来的 how small Chinese models are made",
        ha="center",
        fontsize=12,
    )
    axes.text(
        5.5,
        0.15,
        "00 快速开始 quickstart：装载一个学生，和它说话 load a student, talk to it      每本笔记本都能单独运行 every notebook runs alone",
        ha="center",
        fontsize=8.5,
        color="#555",
    )
    figure.savefig(target, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    main(repository() / "images" / "pipeline.png")
