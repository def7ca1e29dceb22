"""Show text as HTML: coloured spans, tables, differences, a function's own source.

In: records, rows, tokens. Out: HTML. Shown in every notebook.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.show.plots import COLOURS

if TYPE_CHECKING:
    from IPython.display import HTML, Code

BOX = "padding:1px 3px;border-radius:4px;color:#fff;background:{colour}"


def html(text: str) -> HTML:
    """HTML for a notebook's output."""
    from IPython.display import HTML

    return HTML(
        f'<div style="line-height:2.1;font-size:14px;background:#fff;color:#222;padding:6px">{text}</div>'
    )


def source_of(function: Callable) -> Code:
    """A helper's own source, so that a notebook never shows a second copy."""
    from IPython.display import Code

    return Code(inspect.getsource(function), language="python")


def marked(record: Mapping, kinds: Sequence[str] | None = None) -> str:
    """The sentence of an IE record with its placed names in boxes, one colour per type, as HTML.

    >>> marked({"sentence": "李白<", "entities": [{"name": "李白", "type": "人物", "pos": [0, 2]}]}).split(">")[1]
    '李白<sub'
    """
    things = sorted(placed(record), key=lambda t: (t[0], -t[1]))
    kinds = list(kinds or dict.fromkeys(kind for *_, kind in things))
    out, at = [], 0
    for start, end, kind in things:
        if start < at:
            continue  # nested or overlapping: the outer one is shown
        colour = COLOURS[(kinds.index(kind) if kind in kinds else len(kinds)) % len(COLOURS)]
        box = f'<span style="{BOX.format(colour=colour)}">{escape(record["sentence"][start:end])}<sub> {escape(kind)}</sub></span>'
        out += [escape(record["sentence"][at:start]), box]
        at = end
    return "".join(out) + escape(record["sentence"][at:])


def placed(record: Mapping) -> list[tuple[int, int, str]]:
    """(start, end, label) of everything in a record that has a position."""
    found = [(e.get("pos"), e["type"]) for e in record.get("entities") or []]
    for relation in record.get("relations") or []:
        found += [
            (relation["head"].get("pos"), f"{relation['type']}·头"),
            (relation["tail"].get("pos"), f"{relation['type']}·尾"),
        ]
    for event in record.get("events") or []:
        found.append((event.get("pos"), event["type"]))
        found += [(a.get("pos"), a["role"]) for a in event.get("arguments") or []]
    return list(dict.fromkeys((p[0], p[1], kind) for p, kind in found if p))


def marked_rows(rows: Sequence[tuple[str, Mapping]]) -> HTML:
    """Sentences under one another, each after its label, with the same colour for the same type."""
    kinds = list(dict.fromkeys(kind for _, record in rows for *_, kind in placed(record)))
    return html(
        "<br>".join(f"<b>{escape(label)}</b> {marked(record, kinds)}" for label, record in rows)
    )


def coloured_tokens(tokenizer: Any, ids: Sequence[int], labels: Sequence[int]) -> HTML:
    """Each token in a box: grey where the loss does not look, coloured where it does."""
    from miniluotuo_utils.tokens import text_of

    boxes = []
    for token, label in zip(ids, labels, strict=True):
        text = text_of(tokenizer, [token])
        if (
            not text or "\ufffd" in text
        ):  # a special token, or a part of a character: shown by its name
            text = tokenizer.convert_ids_to_tokens([token])[0]
        text = escape(text).replace("\n", "↵<br>").replace(" ", "&nbsp;")
        colour = "#e9ecef;color:#555" if label == -100 else COLOURS[0] + ";color:#fff"
        boxes.append(
            f'<span style="padding:1px 2px;margin:1px;border-radius:3px;background:{colour}">{text}</span>'
        )
    return html("".join(boxes))


def table(rows: Sequence[Mapping[str, object]]) -> HTML:
    """Rows as a plain table, texts as they are (an `HTML` value keeps its marks)."""
    from IPython.display import HTML

    def cell(value: object) -> str:
        return value.data if isinstance(value, HTML) else escape(str(value)).replace("\n", "<br>")

    head = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in rows[0])
    body = "".join(
        "<tr>"
        + "".join(f"<td style='text-align:left'>{cell(v)}</td>" for v in row.values())
        + "</tr>"
        for row in rows
    )
    return HTML(f"<table style='font-size:13px'><tr>{head}</tr>{body}</table>")


def difference(one: str, other: str) -> HTML:
    """The second text, what is new in it in colour, and what it lacks of the first struck out; invisible characters by their code.

    >>> difference("在家里种薄荷", "在阳台种薄荷").data.count("<b")
    1
    """
    from difflib import SequenceMatcher

    from IPython.display import HTML

    parts = []
    for tag, start, end, new_start, new_end in SequenceMatcher(
        None, one, other, autojunk=False
    ).get_opcodes():
        new, old = escape(other[new_start:new_end]), escape("".join(map(visible, one[start:end])))
        lost = f'<s style="color:#999;font-size:85%">{old}</s>' if tag == "delete" else ""
        parts.append(
            new
            if tag == "equal"
            else lost + (f'<b style="color:{COLOURS[0]}">{new}</b>' if new else "")
        )
    return HTML("".join(parts).replace("\n", "<br>"))


def visible(character: str) -> str:
    """A character as it can be seen: an invisible one by its code.

    >>> visible("字"), visible("\u200b")
    ('字', 'U+200B')
    """
    return (
        character
        if character.isprintable() and not character.isspace()
        else f"U+{ord(character):04X}"
    )


def shown(row: Mapping) -> str:
    """A row or record as HTML: a record with its spans in boxes, a row as question and answer."""
    if "sentence" in row:
        return marked(row)
    asked = "<br>".join(escape(row[f][:300]) for f in ("instruction", "input") if row[f])
    return f"<b>问</b> {asked}<br><b>答</b> {escape(row['output'][:300])}".replace("\n", "<br>")
