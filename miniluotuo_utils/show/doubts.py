"""Show rows and labels in doubt, each on one line: what stands there, and what was read instead.

In: what `data.quality` and `ie.suspects` found. Out: text, and a table. Shown in notebook 05b.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from miniluotuo_utils.data.quality import CHINESE
from miniluotuo_utils.ie.suspects import KINDS, Suspect
from miniluotuo_utils.show.html import table
from miniluotuo_utils.show.page import Page

AROUND = 24  # characters beside what is in doubt


def in_words(row: Mapping, why: Mapping) -> str:
    """Return what is in doubt of a row or a record, on one line.

    >>> row = {"instruction": "问好", "input": "", "output": "你"}
    >>> in_words(row, {"doubt": 0.97, "like": "truncated"})
    '0.97 没写完 truncated：问好 → 你'
    """
    if "suspect" in why:
        one = why["suspect"]
        return f"{why['doubt']:.2f} {KINDS[one.kind]}：{stands(row['sentence'], one)}{reads(one)}"
    answer, asked = (" ".join(row[field].split()) for field in ("output", "instruction"))
    if len(answer) > 3 * AROUND:
        answer = f"{answer[: 2 * AROUND]}……{answer[-AROUND:]}"
    like = f"{CHINESE[why['like']]} {why['like']}"
    return f"{why['doubt']:.2f} {like}：{asked[: 2 * AROUND]} → {answer}"


def suspect_table(records: Sequence[Mapping], found: Sequence[Suspect]) -> Page:
    """Return labels in doubt as a table, each in the words around it.

    >>> entity = {"name": "杜鹃", "type": "人物", "pos": [2, 4]}
    >>> one = Suspect(0, "missed", entity, None, 0.95)
    >>> suspect_table([{"sentence": "山上杜鹃开了"}], [one])
    可疑 doubt | 也许 perhaps | 标的 as labelled | 读成 read as
    0.95 | 多标了 no such entity | 山上［杜鹃｜人物］开了 | —
    """
    rows = []
    for one in found:
        read = one.read and f"{one.read['name']}｜{one.read['type']}"
        rows.append(
            {
                "可疑 doubt": f"{one.doubt:.2f}",
                "也许 perhaps": KINDS[one.kind],
                "标的 as labelled": stands(records[one.record]["sentence"], one),
                "读成 read as": read or "—",
            }
        )
    return table(rows, widths={"标的 as labelled": 56, "读成 read as": 18})


def stands(sentence: str, one: Suspect) -> str:
    """Return a label as it stands in its sentence; one that was left out, where it would."""
    start, end = (one.labelled or one.read)["pos"]
    before, after = sentence[max(0, start - AROUND) : start], sentence[end : end + AROUND]
    if one.labelled is None:
        return f"{before}［{one.read['name']}］{after}"
    return f"{before}［{one.labelled['name']}｜{one.labelled['type']}］{after}"


def reads(one: Suspect) -> str:
    """Return what the taggers read, where they read anything."""
    return f" → ［{one.read['name']}｜{one.read['type']}］" if one.read else ""
