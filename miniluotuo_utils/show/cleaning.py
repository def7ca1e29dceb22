"""Show what cleaning did to a file: what it took out and why, and what it mended.

In: a report of `data.clean`. Out: tables. Shown in notebook 01.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from miniluotuo_utils.data.steps import TEXTS, row_texts
from miniluotuo_utils.show.doubts import in_words
from miniluotuo_utils.show.html import difference, table
from miniluotuo_utils.show.page import Page, lines
from miniluotuo_utils.show.words import named

if TYPE_CHECKING:
    from miniluotuo_utils.data.cleaning import Report

AROUND = 8  # characters beside a change
HEAD, TAIL = 60, 12  # characters of a long text that are shown


def removed(report: Report, first: int | None = None, fold: str = "") -> Page:
    """Return a table with an example of what each step removed, and how many it removed.

    Of a row that repeats an earlier one it shows how the two differ. With `first` the steps after
    so many stand behind a fold, whose words are `fold`.

    >>> from miniluotuo_utils.data import clean
    >>> row = {"instruction": "问好", "input": "", "output": "你好。", "source": "自写"}
    >>> removed(clean([row, row | {"instruction": "再见", "output": ""}])[1])
    步骤 step | 条数 rows | 例子 example
    没有回答 no answer | 1 | 问 再见
    答 （空 empty）
    """
    rows = []
    for step, count in report.removed.items():
        for example in report.examples.get(step, [])[:1]:
            rows.append(
                {"步骤 step": named(step), "条数 rows": count, "例子 example": reason(example)}
            )
    return table(rows, first, fold, {"例子 example": 72})


def reason(example: Mapping) -> Page:
    """Return what speaks against a row: its own text, the row it repeats, or the test sentence."""
    because = example.get("because")
    if "doubt" in example:
        return Page(lines(in_words(example["row"], example)))
    if because is None and "sentence" in example["row"]:
        return Page(outline(example["row"]["sentence"]))
    if because is None:
        asked = outline(" ".join(row_texts(example["row"])[:-1]))
        answer = outline(example["row"]["output"]) or "（空 empty）"
        return Page(f"<b>问</b> {asked}<br><b>答</b> {answer}")
    if "sentence" in because:
        return Page(f"<b>考题</b> {lines(because['source'])}<br>{outline(because['sentence'])}")
    return difference(whole(because), whole(example["row"]), around=AROUND)


def mended(report: Report, each: int = 1) -> Page:
    """Return a table with examples of what each step mended: `each` so many, changes marked."""
    rows = []
    for step, count in report.mended.items():
        # The longest tells most: a row of bare white space tells nothing.
        examples = sorted(report.examples.get(step, []), key=lambda one: -len(whole(one["became"])))
        for example in examples[:each]:
            before, after = example["row"], example["became"]
            field = max((f for f in TEXTS if before[f] != after[f]), key=lambda f: len(after[f]))
            what = difference(before[field], after[field], around=AROUND)
            rows.append({"步骤 step": named(step), "条数 rows": count, "改了什么 changed": what})
    return table(rows, widths={"改了什么 changed": 72})


def whole(row: Mapping) -> str:
    """Return all that a row says, a line for each of its texts."""
    return "\n".join(filter(None, row_texts(row)))


def outline(text: str) -> str:
    """Return a long text's beginning and end on one line, a lost character by its code."""
    text = " ".join(text.split())
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]}……{text[-TAIL:]}"
    return lines(text.replace("\ufffd", "〈U+FFFD〉"))
