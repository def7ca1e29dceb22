"""Show how well systems did: a table of scores, what is wrong with answers, and what changed.

In: rows of `ie.contest.score_table`, extractions, counts. Out: HTML and text. Shown in notebooks 05
and 05b.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from miniluotuo_utils.show.html import table
from miniluotuo_utils.show.page import Page

if TYPE_CHECKING:
    from miniluotuo_utils.ie.extraction import Extraction

# What `Extraction.counts` counts, in the words of the course.
FAULTS = {
    "answers": "回答 answers",
    "unparsable": "读不懂 unparsable",
    "repaired": "修补过 repaired",
    "cut": "截断 cut",
    "looped": "反复说 looped",
    "not_in_text": "不在句中 not in text",
    "respelt": "写法不同 respelt",
    "off_schema": "类型不对 off schema",
    "ambiguous": "位置靠猜 ambiguous",
}


def scores(rows: Iterable[Mapping], first: int | None = None) -> Page:
    """Return the rows of `score_table` as a table: P, R, F1 with its interval, F1 by name.

    With `first` that many rows are shown, the others behind a fold.
    """
    return table(
        [
            {
                "数据 data": row["data"],
                "项目 part": row["part"],
                "选手 system": row["system"],
                "P": f"{row['precision']:.3f}",
                "R": f"{row['recall']:.3f}",
                "F1": f"{row['f1']:.3f}",
                "95% 区间": f"[{row['low']:.3f}, {row['high']:.3f}]",
                "F1 按名字": f"{row['f1_string']:.3f}",
            }
            for row in rows
        ],
        first,
    )


def faults(extractions: Mapping[tuple[str, str], Extraction], first: int | None = None) -> Page:
    """Return what was wrong with the answers, a row for each (system, data), data by data.

    With `first` that many rows are shown, the others behind a fold.
    """
    rows = []
    for (label, name), found in extractions.items():
        counts = {words: found.counts[key] for key, words in FAULTS.items()}
        rows.append({"数据 data": name, "选手 system": label, **counts})
    # Sorting is stable: the systems stay in their order, and the data in that of their first.
    names = list(dict.fromkeys(row["数据 data"] for row in rows))
    return table(sorted(rows, key=lambda row: names.index(row["数据 data"])), first)


def moved(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """Return which figures rose, which fell and which stayed, with both values of each.

    A figure that was not there before counts as 0.

    >>> print(moved({"精确率": 0.41, "召回率": 0.5}, {"精确率": 0.6, "召回率": 0.4, "漏了": 7}))
    升了 up：精确率 0.410 → 0.600，漏了 0 → 7
    降了 down：召回率 0.500 → 0.400
    """
    ways = {1: "升了 up", -1: "降了 down", 0: "没变 same"}
    groups: dict[str, list[str]] = {way: [] for way in ways.values()}
    for name, new in after.items():
        old = before.get(name, type(new)(0))
        way = ways[(new > old) - (new < old)]
        groups[way].append(f"{name} {figure(old)} → {figure(new)}")
    return "\n".join(f"{way}：{'，'.join(found)}" for way, found in groups.items() if found)


def figure(value: float) -> str:
    """Return a count as it is, a share with three places.

    >>> figure(12), figure(0.5)
    ('12', '0.500')
    """
    return str(value) if isinstance(value, int) else f"{value:.3f}"
