"""Mark the spans of a sentence: a box each, its type beside the name.

In: IE records. Out: HTML. Shown in every notebook.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from miniluotuo_utils.show.colours import GREY, INK, shade_of
from miniluotuo_utils.show.page import lines, unstyled

BOX = (
    f"display:inline-block;margin:1px 2px;padding:0 4px;border:1px {{line}} {{edge}};"
    f"border-radius:4px;line-height:1.6;background:{{fill}};color:{INK}"
)
LABEL = (
    "display:inline-block;white-space:nowrap;margin-left:4px;font-size:80%;"
    "font-weight:bold;color:{edge}"
)


def highlight(record: Mapping) -> str:
    """Return the sentence of an IE record as HTML, each name in a box with its type beside it.

    One colour per type, everywhere. Without styles it reads `［神农架｜地点］`. A name whose place
    the source leaves open has a grey box (`有歧义`); one that the sentence does not hold, or that
    lies half in another, stands behind it.

    >>> from miniluotuo_utils.show.page import plain
    >>> entity = {"name": "李白", "type": "人物", "pos": [0, 2]}
    >>> plain(highlight({"sentence": "李白<杜甫", "entities": [entity]}))
    '［李白｜人物］<杜甫'
    """
    sentence = record["sentence"]
    marks, absent = marks_of(record)
    crossing: list[str] = []
    kept: list[tuple[int, int]] = []
    opened, closed = [""] * (len(sentence) + 1), [""] * (len(sentence) + 1)

    # The outer before the inner: it opens first, and closes last.
    for (start, end), kinds in sorted(marks.items(), key=lambda one: (one[0][0], -one[0][1])):
        if any(start < other < end for _, other in kept):
            crossing += [f"{sentence[start:end]}｜{label}" for label in kinds]
            continue
        opening, closing = box(kinds)
        opened[start] += opening
        closed[end] = closing + closed[end]
        kept.append((start, end))

    # At each place the boxes that end there close before others open.
    texts = [*map(lines, sentence), ""]
    whole = "".join(map("".join, zip(closed, opened, texts, strict=True)))
    notes = {"不在句中 not in the sentence": absent, "交叠 overlaps": crossing}
    told = [f"（{words}：{escape('、'.join(names))}）" for words, names in notes.items() if names]
    return whole + "".join(told)


def box(kinds: Mapping[str, str]) -> tuple[str, str]:
    """Return what opens and what closes the box of a span; `kinds[label]` is its type."""
    first = next(iter(kinds.values()))
    shade, line = (shade_of(first), "solid") if first else (GREY, "dashed")
    style = BOX.format(line=line, edge=shade.edge, fill=shade.fill)
    label = f'<small style="{LABEL.format(edge=shade.edge)}">{escape("、".join(kinds))}</small>'
    opening = f'<mark style="{style}">{unstyled("［")}'
    return opening, f"{unstyled('｜')}{label}{unstyled('］')}</mark>"


def marks_of(record: Mapping) -> tuple[dict[tuple[int, int], dict[str, str]], list[str]]:
    """Return the labels of each span of a record, and each `name｜label` that has no span.

    `marks[start, end][label]` is the type whose colour the label takes, "" for a name that stands
    in the sentence without a place of its own.
    """
    sentence = record["sentence"]
    marks: dict[tuple[int, int], dict[str, str]] = {}
    # One span may have several labels: a name can be the head of two relations.
    without = []
    for thing, kind, label in labelled(record):
        if pos := thing.get("pos"):
            marks.setdefault((pos[0], pos[1]), {})[label] = kind
        else:
            without.append((thing.get("name") or thing.get("trigger") or "", label))

    # The source may mean any of these: unmarked, they would look as if we had lost them.
    absent = {}
    for name, label in without:
        found = [place.span() for place in re.finditer(re.escape(name), sentence)] if name else []
        for span in found:
            marks.setdefault(span, {"有歧义" if len(found) > 1 else "没有位置": ""})
        if not found:
            absent[f"{name}｜{label}"] = None
    return marks, list(absent)


def labelled(record: Mapping) -> list[tuple[Mapping, str, str]]:
    """Return (thing, type, label) for all that a record names: things have `pos` and a name."""
    found = [(one, one["type"], one["type"]) for one in record.get("entities") or []]
    for relation in record.get("relations") or []:
        kind = relation["type"]
        sides = {"头": relation["head"], "尾": relation["tail"], **(relation.get("slots") or {})}
        found += [(thing, kind, f"{kind}·{side}") for side, thing in sides.items()]
    for event in record.get("events") or []:
        found.append((event, event["type"], event["type"]))
        found += [(one, one["role"], one["role"]) for one in event.get("arguments") or []]
    return found
