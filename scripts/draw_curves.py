"""Draw how the shipped base was pre-trained: `curves.png` beside its `training.jsonl`.

    python scripts/draw_curves.py [STUDENT]

In: the log that `scripts/pretrain.py` writes, copied into the student's folder. Out: the picture.
Left what a token of an answer costs, right what the base can do with text that was kept out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.runtime import EMBEDDED, chinese_font
from miniluotuo_utils.show.plots import COLOURS

COSTS = {
    "loss": "损失，每个受监督的词元 loss, nats per supervised token",
    "bits": "留出的文字，每字比特 kept-out text, bits per character",
}
ABILITIES = {
    "repeated": "没见过的句子，一字不差地重复 sentences repeated exactly",
    "silver_f1": "和标注器 LAC 一致，F1 agreement with the annotator LAC, F1",
}


def panel(axes: plt.Axes, log: Sequence[dict], names: dict[str, str], first: int) -> None:
    """Draw some of the log's numbers over the tokens that were read, in millions."""
    for number, (name, label) in enumerate(names.items(), first):
        points = [(line["tokens"] / 1e6, line[name]) for line in log if name in line]
        axes.plot(*zip(*points, strict=True), color=COLOURS[number], label=label, linewidth=1.4)
    axes.set_xlabel("百万词元 million tokens")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)


def draw(folder: Path) -> Path:
    """Draw the log of a student's folder; return the picture's path.

    Raises ValueError for a log without an evaluation.
    """
    log = read_jsonl(folder / "training.jsonl")
    if missing := [name for name in (*COSTS, *ABILITIES) if not any(name in line for line in log)]:
        raise ValueError(
            f"training.jsonl: found no line with {', '.join(missing)}, expected the log of "
            "scripts/pretrain.py with at least one evaluation"
        )
    chinese_font()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), dpi=100)
    panel(left, log, COSTS, 0)
    panel(right, log, ABILITIES, len(COSTS))
    right.set_ylim(0, 1)
    figure.tight_layout()
    figure.savefig(folder / "curves.png")
    plt.close(figure)
    return folder / "curves.png"


if __name__ == "__main__":
    print(draw(Path(sys.argv[1]) if sys.argv[1:] else EMBEDDED / "student").name, "drawn")
