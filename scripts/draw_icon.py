"""Draw `images/icon.png`, a small camel on a token: the repository's icon.

python scripts/draw_icon.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import Circle, Ellipse, FancyBboxPatch, Polygon

from miniluotuo_utils.runtime import repository
from miniluotuo_utils.show.plots import COLOURS

SAND, GROUND, EYE = COLOURS[2], COLOURS[1], "#2d3047"
LEGS = ((0.30, 0.16), (0.40, 0.16), (0.58, 0.16), (0.68, 0.16))  # left edges and feet
NECK = ((0.66, 0.46), (0.76, 0.40), (0.86, 0.66), (0.78, 0.72))


def main(target: Path) -> None:
    """Draw the camel from its parts, back to front."""
    figure, axes = plt.subplots(figsize=(1.6, 1.6), dpi=160)
    axes.set_xlim(0.04, 1.04)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.add_patch(Circle((0.54, 0.5), 0.49, facecolor=GROUND, edgecolor="none"))
    for x, foot in LEGS:
        axes.add_patch(
            FancyBboxPatch(
                (x, foot), 0.055, 0.28, boxstyle="round,pad=0.008", facecolor=SAND, edgecolor="none"
            )
        )
    body = ((0.50, 0.46, 0.50, 0.26), (0.42, 0.59, 0.22, 0.26), (0.60, 0.58, 0.18, 0.22))
    for x, y, width, height in body:
        axes.add_patch(Ellipse((x, y), width, height, facecolor=SAND, edgecolor="none"))
    axes.add_patch(Polygon(NECK, facecolor=SAND, edgecolor="none", joinstyle="round"))
    axes.add_patch(Ellipse((0.845, 0.715), 0.20, 0.11, angle=-12, facecolor=SAND, edgecolor="none"))
    axes.add_patch(Ellipse((0.785, 0.78), 0.035, 0.07, angle=15, facecolor=SAND, edgecolor="none"))
    axes.add_patch(Circle((0.845, 0.735), 0.012, facecolor=EYE, edgecolor="none"))
    figure.savefig(target, transparent=True, bbox_inches="tight", pad_inches=0.02)
    print(f"{target.name} written")


if __name__ == "__main__":
    main(repository() / "images" / "icon.png")
