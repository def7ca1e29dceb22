"""Draw `images/opener.png`: one sentence, a student's answers before and after, and gold.

    python scripts/draw_opener.py

Two types with surface cues, 作品 and 时间, are picked for it: half a minute teaches them to a small
student. Every answer in the picture is one that the student gave. The sentence is the one with the
most names among those of the test set that it gets right after training and did not before.
"""

from __future__ import annotations

import time
from pathlib import Path

import matplotlib.pyplot as plt

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.ie import build_instructions, extract, score, wholly_right
from miniluotuo_utils.ie.schema import only_types
from miniluotuo_utils.runtime import EMBEDDED, chinese_font, repository
from miniluotuo_utils.show.colours import INK, shade_of
from miniluotuo_utils.students import finetune, load_student

TYPES = ["作品", "时间"]
GREY = "#555555"


def found(record: dict) -> set[tuple]:
    """Return what a record names, as (type, start, end)."""
    return {(e["type"], *e["pos"]) for e in record["entities"] if e["pos"]}


def pieces(record: dict) -> list[tuple[str, str]]:
    """Cut a sentence into (text, type), "" for what is of no type.

    >>> book = {"type": "作品", "name": "史记", "pos": [2, 4]}
    >>> pieces({"sentence": "读《史记》", "entities": [book]})
    [('读《', ''), ('史记', '作品'), ('》', '')]
    """
    at, cut = 0, []
    for kind, start, end in sorted(found(record), key=lambda one: one[1]):
        cut += [(record["sentence"][at:start], ""), (record["sentence"][start:end], kind)]
        at = end
    cut.append((record["sentence"][at:], ""))
    return [piece for piece in cut if piece[0]]


def draw_line(axes: plt.Axes, y: float, title: str, record: dict) -> None:
    """Write one answer: its sentence with the names in boxes of their type's colour."""
    axes.text(0, y, title, color=GREY, fontsize=11, va="center")
    x = 2.6
    if not found(record):
        axes.text(x, y, "（一个也没找到 nothing found）", color=GREY, fontsize=13, va="center")
        return
    for text, kind in pieces(record):
        shown = f"［{text}｜{kind}］" if kind else text
        shade = shade_of(kind)
        box = {"facecolor": shade.fill, "edgecolor": shade.edge, "pad": 2.5} if kind else None
        drawn = axes.text(x, y, shown, fontsize=14, va="center", color=INK, bbox=box)
        extent = drawn.get_window_extent().transformed(axes.transData.inverted())
        x = extent.x1 + 0.04


def main(target: Path) -> None:
    """Train for half a minute, pick the sentence, draw it, and print the numbers below it."""
    train, gold = (
        only_types(read_jsonl(EMBEDDED / f"ner_{part}.jsonl"), TYPES) for part in ("train", "test")
    )
    sentences = [record["sentence"] for record in gold]
    student = load_student("tiny")
    before = extract(student, sentences, TYPES, "NER", slice_size=None).records
    started = time.time()
    rows = build_instructions(train, "NER", TYPES, slice_size=None)
    finetune(student, rows, epochs=6, batch_size=8)
    seconds = time.time() - started
    after = extract(student, sentences, TYPES, "NER", slice_size=None).records

    # The most names show the most; of equals the first of the test set.
    learned = [
        number
        for number, record in enumerate(gold)
        if found(after[number]) == found(record) != found(before[number])
    ]
    number = max(learned, key=lambda at: (len(found(gold[at])), -at))
    rates = [score(gold, records, "NER")["micro"]["f1"] for records in (before, after)]
    right = [sum(wholly_right(gold, records)) for records in (before, after)]

    chinese_font()
    figure, axes = plt.subplots(figsize=(9.6, 2.9), dpi=144)
    axes.set_xlim(0, 12)
    axes.set_ylim(-0.9, 3.4)
    axes.axis("off")
    lines = {
        "训练之前 before": before[number],
        f"{seconds:.0f} 秒之后 after {seconds:.0f} s": after[number],
        "标准答案 gold": gold[number],
    }
    for y, (title, record) in zip((3, 2, 1), lines.items(), strict=True):
        draw_line(axes, y, title, record)
    counts = f"{right[0]} → {right[1]} / {len(gold)}"
    size = student.parameters / 1e6
    axes.text(
        0,
        -0.3,
        f"测试集 test set：F1 {rates[0]:.2f} → {rates[1]:.2f} · 整句全对 wholly right {counts}\n"
        f"{100 * size:.0f} 万参数，两类有标志的名字，2 核 CPU。 "
        f"{size:.1f} M parameters, two types with surface cues, 2 CPU cores.",
        fontsize=9.5,
        color=GREY,
        va="center",
    )
    figure.savefig(target, bbox_inches="tight", pad_inches=0.15)
    print(f"F1 {rates[0]:.3f} -> {rates[1]:.3f}, wholly right {counts}, {seconds:.0f} s")


if __name__ == "__main__":
    main(repository() / "images" / "opener.png")
