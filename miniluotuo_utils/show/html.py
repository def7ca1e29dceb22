"""Show text as HTML: highlighted spans, tables, differences, a function's own source.

In: records, rows, tokens. Out: HTML. Shown in every notebook.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from html import escape
from typing import Any

from IPython.display import HTML, Code

from miniluotuo_utils.show.plots import COLOURS

BOX = "padding:1px 3px;border-radius:4px;color:#fff;background:{colour}"
TOKEN = "padding:1px 2px;margin:1px;border-radius:3px;background:{colour}"
PAGE = "line-height:2.1;font-size:14px;background:#fff;color:#222;padding:6px"


def html(text: str) -> HTML:
    """Return text with HTML marks as a notebook's output."""
    return HTML(f'<div style="{PAGE}">{text}</div>')


def lines(text: str) -> str:
    r"""Return a text as HTML that shows it as it is, line breaks too.

    >>> lines("1 < 2\n")
    '1 &lt; 2<br>'
    """
    return escape(text).replace("\n", "<br>")


def source_of(function: Callable) -> Code:
    """Return a helper's own source, so that a notebook never shows a second copy."""
    return Code(inspect.getsource(function), language="python")


def highlight(record: Mapping, kinds: Sequence[str] | None = None) -> str:
    """Return the sentence of an IE record as HTML, its placed names in boxes, a colour per type.

    `kinds` fixes which type has which colour, so that several sentences share them.

    >>> entity = {"name": "李白", "type": "人物", "pos": [0, 2]}
    >>> highlight({"sentence": "李白<", "entities": [entity]}).split(">")[1]
    '李白<sub'
    """
    things = sorted(placed(record), key=lambda thing: (thing[0], -thing[1]))
    kinds = list(kinds or dict.fromkeys(kind for *_, kind in things))
    sentence, out, at = record["sentence"], [], 0
    for start, end, kind in things:
        # Of names that overlap, or stand in one another, the outer one is shown.
        if start < at:
            continue
        number = kinds.index(kind) if kind in kinds else len(kinds)
        style = BOX.format(colour=COLOURS[number % len(COLOURS)])
        name = f"{escape(sentence[start:end])}<sub> {escape(kind)}</sub>"
        out += [escape(sentence[at:start]), f'<span style="{style}">{name}</span>']
        at = end
    return "".join(out) + escape(sentence[at:])


def placed(record: Mapping) -> list[tuple[int, int, str]]:
    """Return (start, end, label) of everything in a record that has a position, each once."""
    found = [(entity.get("pos"), entity["type"]) for entity in record.get("entities") or []]
    for relation in record.get("relations") or []:
        for side, word in (("head", "头"), ("tail", "尾")):
            found.append((relation[side].get("pos"), f"{relation['type']}·{word}"))
    for event in record.get("events") or []:
        found.append((event.get("pos"), event["type"]))
        found += [(one.get("pos"), one["role"]) for one in event.get("arguments") or []]
    return list(dict.fromkeys((*pos, label) for pos, label in found if pos))


def highlight_rows(rows: Sequence[tuple[str, Mapping]]) -> HTML:
    """Return (label, record) pairs under one another, the same colour for the same type."""
    kinds = list(dict.fromkeys(kind for _, record in rows for *_, kind in placed(record)))
    parts = [f"<b>{escape(label)}</b> {highlight(record, kinds)}" for label, record in rows]
    return html("<br>".join(parts))


def coloured_tokens(tokenizer: Any, ids: Sequence[int], labels: Sequence[int]) -> HTML:
    """Return each token in a box: grey where the loss does not look, coloured where it does."""
    from miniluotuo_utils.tokens import IGNORED, text_of

    boxes = []
    for token, label in zip(ids, labels, strict=True):
        text = text_of(tokenizer, [token])
        # A special token has no text, a part of a character none of its own: show their names.
        if not text or "\ufffd" in text:
            text = tokenizer.convert_ids_to_tokens([token])[0]
        text = escape(text).replace("\n", "↵<br>").replace(" ", "&nbsp;")
        colour = "#e9ecef;color:#555" if label == IGNORED else f"{COLOURS[0]};color:#fff"
        boxes.append(f'<span style="{TOKEN.format(colour=colour)}">{text}</span>')
    return html("".join(boxes))


def table(rows: Sequence[Mapping[str, object]]) -> HTML:
    """Return rows as a plain table, texts as they are (an `HTML` value keeps its marks)."""
    left = "style='text-align:left'"
    cells = ["".join(f"<th {left}>{escape(name)}</th>" for name in rows[0])]
    for row in rows:
        texts = [v.data if isinstance(v, HTML) else lines(str(v)) for v in row.values()]
        cells.append("".join(f"<td {left}>{text}</td>" for text in texts))
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return HTML(f"<table style='font-size:13px'>{body}</table>")


def difference(one: str, other: str) -> HTML:
    """Return the second text, what is new in it in colour, what it lacks of the first struck out.

    An invisible character is shown by its code.

    >>> difference("在家里种薄荷", "在阳台种薄荷").data.count("<b")
    1
    """
    parts = []
    for tag, start, end, new_start, new_end in SequenceMatcher(
        None, one, other, autojunk=False
    ).get_opcodes():
        new, old = escape(other[new_start:new_end]), escape("".join(map(visible, one[start:end])))
        if tag == "delete":
            parts.append(f'<s style="color:#999;font-size:85%">{old}</s>')
        else:
            parts.append(new if tag == "equal" else f'<b style="color:{COLOURS[0]}">{new}</b>')
    return HTML("".join(parts).replace("\n", "<br>"))


def visible(character: str) -> str:
    r"""Return a character as it can be seen: an invisible one by its code.

    >>> visible("字"), visible("\u200b")
    ('字', 'U+200B')
    """
    seen = character.isprintable() and not character.isspace()
    return character if seen else f"U+{ord(character):04X}"


def shown(row: Mapping) -> str:
    """Return a row or record as HTML: a record with its spans in boxes, a row as two parts."""
    if "sentence" in row:
        return highlight(row)
    asked = "<br>".join(lines(row[f][:300]) for f in ("instruction", "input") if row[f])
    return f"<b>问</b> {asked}<br><b>答</b> {lines(row['output'][:300])}"
