"""Put the four most useful pictures of a run on slides: one PDF, a picture and its question a page.

    python scripts/draw_slides.py [SCALE]

In: `runs/<scale>/executed`, as `make run` leaves it. Out: `runs/<scale>/slides.pdf`.
"""

from __future__ import annotations

import sys
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
from PIL import Image

from miniluotuo_utils.files import written_whole
from miniluotuo_utils.runtime import chinese_font, runs_root

# The cell that draws a picture -> what a class guesses before it is shown.
SLIDES = {
    "c01-08": ("条数最多的几个来源，许可证是什么颜色？", "Do the largest sources state a licence?"),
    "c03-38": ("一个批次里，有多少位置是空的？", "How much of a batch is empty?"),
    "c04-10": ("35 亿参数，哪种方法放得进哪块卡？", "Which method fits on which card?"),
    "c05-28": ("谁抽得更准？区间有多宽？", "Who extracts better, and how wide are the intervals?"),
}
SIZE, DPI = (13.33, 7.5), 144  # inches of a wide slide


def pictures(executed: Path) -> dict[str, bytes]:
    """Return the first PNG of every cell of a folder's notebooks, by the cell's id."""
    found: dict[str, bytes] = {}
    for path in sorted(executed.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", ()):
                if drawn := output.get("data", {}).get("image/png"):
                    found.setdefault(cell.id, b64decode(drawn))
    return found


def slide(png: bytes, asked: str, english: str) -> Image.Image:
    """Return one page: the question in both languages, the picture below it."""
    figure = plt.figure(figsize=SIZE, dpi=DPI)
    figure.text(0.5, 0.93, asked, ha="center", fontsize=26)
    figure.text(0.5, 0.87, english, ha="center", fontsize=15, color="#57606a")
    axes = figure.add_axes((0.04, 0.03, 0.92, 0.8))
    axes.imshow(plt.imread(BytesIO(png)))
    axes.axis("off")
    page = BytesIO()
    figure.savefig(page, format="png", dpi=DPI, facecolor="white")
    plt.close(figure)
    return Image.open(page).convert("RGB")


def draw(executed: Path, target: Path) -> Path:
    """Write the slides; FileNotFoundError names the cells whose picture the run has not left."""
    found = pictures(executed)
    if absent := [cell for cell in SLIDES if cell not in found]:
        raise FileNotFoundError(
            f"{executed} holds no picture of {', '.join(absent)}; run the notebooks first"
            "（先 make run，把笔记本跑一遍）"
        )
    chinese_font()
    first, *others = [slide(found[cell], *asked) for cell, asked in SLIDES.items()]
    with written_whole(target) as partial:
        first.save(partial, format="PDF", save_all=True, append_images=others, resolution=DPI)
    return target


if __name__ == "__main__":
    folder = runs_root() / (sys.argv[1] if len(sys.argv) > 1 else "smoke")
    print(draw(folder / "executed", folder / "slides.pdf"))
