"""Show text as HTML: highlighted spans, tokens, tables, differences, a function's own source.

In: records, rows, tokens. Out: HTML that says the same where a page drops its styles, as GitHub
does. Shown in every notebook.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from html import escape
from itertools import islice
from typing import Any

from IPython.display import HTML

from miniluotuo_utils.show.colours import GREY, INK, PAPER, SHADES, Shade
from miniluotuo_utils.show.page import Page, html, lines, unstyled
from miniluotuo_utils.show.spans import highlight

TAKEN, PLAIN, EDGE = SHADES["red"], Shade(PAPER, INK), "#d0d7de"
TOKEN = (
    "display:inline-block;margin:1px;padding:0 3px;border:1px {line} {edge};border-radius:3px;"
    "line-height:1.6;background:{fill};color:{ink}"
)
CELL = "text-align:center;padding:2px 5px;border:1px solid {edge};background:{fill};color:{ink}"
SPLIT = "¦"  # between two tokens, where a page without styles joins their boxes


def source_of(function: Callable) -> Page:
    """Return a helper's own source, so that a notebook never shows a second copy."""
    from pygments import highlight as coloured
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    # Its colours stand in the page itself: a class needs a style sheet that a page may lack.
    marks = HtmlFormatter(noclasses=True, nowrap=True, style="xcode")
    code = coloured(inspect.getsource(function), PythonLexer(), marks)
    style = (
        f"font-family:monospace;font-size:13px;line-height:1.5;background:{PAPER};color:{INK};"
        f"padding:8px;border:1px solid {EDGE};overflow-x:auto"
    )
    # Notebook pages give `pre` the letters of their prose, but never `code`.
    return Page(f'<pre style="{style}"><code>{code}</code></pre>')


def highlight_rows(rows: Sequence[tuple[str, Mapping]]) -> Page:
    """Return (label, record) pairs under one another."""
    parts = [f"<b>{escape(label)}</b> {highlight(record)}" for label, record in rows]
    return html("<br>".join(parts))


def table(
    rows: Sequence[Mapping[str, object]],
    first: int | None = None,
    fold: str = "",
    widths: Mapping[str, int] | None = None,
) -> Page:
    """Return rows as a plain table, texts as they are (an `HTML` value keeps its marks).

    With `first` that many rows are shown and the others stand behind a fold, whose words are
    `fold`. `widths` gives columns their share of the page, in percent. A page that cannot fold
    shows all rows.

    >>> table([{"数": n} for n in range(4)], first=1)
    数
    0
    还有 3 行 3 more rows
    数
    1
    2
    3
    """
    shown_rows = list(islice(rows, first))
    rest = rows[len(shown_rows) :]
    page = grid(shown_rows, widths or {})
    if rest:
        words = fold or f"还有 {len(rest)} 行 {len(rest)} more rows"
        page += folded(words, HTML(grid(rest, widths or {}))).data
    return Page(page)


def folded(words: str, inside: str | HTML) -> Page:
    """Return a line of words that unfolds a text, or another page.

    >>> folded("46 份不在手边（点开看）", "甲、乙")
    46 份不在手边（点开看）
    甲、乙
    """
    body = inside.data if isinstance(inside, HTML) else f"<div>{lines(inside)}</div>"
    return Page(f"<details><summary>{escape(words)}</summary>{body}</details>")


def grid(rows: Sequence[Mapping[str, object]], widths: Mapping[str, int]) -> str:
    """Return rows as one HTML table with a line of names."""
    left = "style='text-align:left'"
    heads = []
    for name in rows[0]:
        # A long name may break where its words meet, or it takes the room of what stands below.
        text = escape(name).replace("_", "_<wbr>")
        share = f" width='{widths[name]}%'" if name in widths else ""
        heads.append(f"<th {left}{share}{whole(name)}>{text}</th>")

    cells = ["".join(heads)]
    for row in rows:
        texts = [v.data if isinstance(v, HTML) else lines(str(v)) for v in row.values()]
        cells.append("".join(f"<td {left}{whole(text)}>{text}</td>" for text in texts))
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table style='font-size:13px'>{body}</table>"


def whole(text: str) -> str:
    """Return the attribute that keeps a short Chinese word on one line, "" for longer texts."""
    return " nowrap" if len(text) < 5 and not text.isascii() else ""


def difference(one: str, other: str, around: int | None = None) -> Page:
    """Return the second text with what is new in it, and what it lacks of the first struck out.

    Without styles it reads `在[-家里-]{+阳台+}种薄荷`. `around` keeps that many characters beside
    each change and leaves out the others. An invisible character is shown by its code.

    >>> difference("在家里种薄荷", "在阳台种薄荷")
    在[-家里-]{+阳台+}种薄荷
    >>> difference("在家里种薄荷和番茄", "在阳台种薄荷和番茄", around=2)
    在[-家里-]{+阳台+}种薄……
    """
    steps = SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    parts = []
    for number, (tag, start, end, new_start, new_end) in enumerate(steps):
        new = other[new_start:new_end]
        if tag == "equal":
            ends = (number > 0, number < len(steps) - 1)
            parts.append(escape(new if around is None else shortened(new, around, *ends)))
            continue
        old = "".join(map(visible, one[start:end]))
        parts += [changed("del", old, "[-", "-]")] * bool(old)
        parts += [changed("ins", new, "{+", "+}")] * bool(new)
    return Page("".join(parts).replace("\n", "<br>"))


def changed(tag: str, text: str, opening: str, closing: str) -> str:
    """Return text that was taken out (`del`) or put in (`ins`), with marks for a plain page."""
    shade = SHADES["red" if tag == "del" else "green"]
    line = "line-through" if tag == "del" else "underline"
    style = f"background:{shade.fill};color:{shade.edge};text-decoration:{line}"
    return f'<{tag} style="{style}">{unstyled(opening)}{escape(text)}{unstyled(closing)}</{tag}>'


def shortened(text: str, around: int, before: bool, after: bool) -> str:
    """Return a text that did not change with what is near a change `before` or `after` it.

    >>> shortened("和昨天一样的话", 2, before=True, after=True)
    '和昨……的话'
    """
    head, tail = around * before, around * after
    if len(text) <= head + tail:
        return text
    return f"{text[:head]}……{text[len(text) - tail :]}"


def visible(character: str) -> str:
    r"""Return a character as it can be seen: an invisible one by its code.

    >>> visible("字"), visible("\u200b")
    ('字', 'U+200B')
    """
    seen = character.isprintable() and not character.isspace()
    return character if seen else f"U+{ord(character):04X}"


def shown(row: Mapping) -> str:
    """Return a row or record as HTML: a record with its spans in boxes, a row as two parts.

    What is neither, a word of a list, is shown by what it holds.
    """
    if "sentence" in row:
        return highlight(row)
    if "output" not in row:
        return lines("、".join(map(str, row.values())))
    asked = "<br>".join(lines(row[f][:300]) for f in ("instruction", "input") if row[f])
    return f"<b>问</b> {asked}<br><b>答</b> {lines(row['output'][:300])}"


# ---- tokens


def coloured_tokens(tokenizer: Any, ids: Sequence[int], labels: Sequence[int]) -> Page:
    """Return each token in a box: grey where the loss does not look, red where it does.

    Without styles, `¦` parts the tokens and `⟦ ⟧` holds those in the loss. The line breaks at the
    edge of the page.
    """
    from miniluotuo_utils.tokens import IGNORED

    boxes = []
    taken = [label != IGNORED for label in labels]
    for at, (token, inside) in enumerate(zip(ids, taken, strict=True)):
        # A run of tokens in the loss opens before its first and closes after its last.
        opens = inside and not (at and taken[at - 1])
        closes = inside and not (at + 1 < len(taken) and taken[at + 1])
        text = name_of(tokenizer, token)
        boxes.append(unstyled("⟦") * opens + token_box(text, inside) + unstyled("⟧") * closes)
        # A line break of the text is one on the page.
        boxes.append("<br>" if "↵" in text else f"{unstyled(SPLIT)}<wbr>")
    legend = (
        f"{token_box('灰 grey', False)} 不算损失 not in the loss · "
        f"{unstyled('⟦')}{token_box('红 red', True)}{unstyled('⟧')} 算损失 in the loss"
    )
    return html(f"{''.join(boxes)}<br>{legend}")


def shifted_tokens(
    tokenizer: Any,
    ids: Sequence[int],
    labels: Sequence[int],
    start: int = 0,
    more: Mapping[str, Sequence[object]] | None = None,
    width: int = 14,
) -> Page:
    """Return a row as the loss reads it: at each place the token that goes in and its target.

    The target of a place is the label of the next one; -100 is not in the loss, and the last place
    has none. `start` leaves out the places before it; `more` adds lines, a value for each place
    (its loss, say). After `width` places the strip goes on below.
    """
    from miniluotuo_utils.tokens import IGNORED

    # What the student guesses at a place is the label of the next one: that is the shift.
    columns = []
    for at in range(start, len(ids)):
        target = labels[at + 1] if at + 1 < len(labels) else None
        column = [cell(str(at), GREY), cell(name_of(tokenizer, ids[at]))]
        if target is None or target == IGNORED:
            column.append(cell("—" if target is None else str(IGNORED), GREY))
        else:
            column.append(cell(name_of(tokenizer, target), TAKEN))
        columns.append(column + [cell(str(values[at])) for values in (more or {}).values()])

    # A long row goes on below, or the page would be wider than the screen.
    names = ["位置 place", "输入 input", "目标 target", *(more or {})]
    heads = [f"<th style='text-align:left'>{escape(name)}</th>" for name in names]
    strips = []
    for left in range(0, len(columns), width):
        rows = zip(heads, *columns[left : left + width], strict=True)
        body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
        strips.append(f"<table style='font-size:13px'>{body}</table>")
    said = (
        "每个位置看着输入，猜下一个词元；目标是 −100 的不算损失。 "
        "Each place reads its input and guesses the next token; −100 is not in the loss."
    )
    return Page(f"{''.join(strips)}<p>{said}</p>")


def name_of(tokenizer: Any, token: int) -> str:
    """Return a token as it can be seen: its text, or its name where it has no whole character."""
    from miniluotuo_utils.tokens import text_of

    text = text_of(tokenizer, [token])
    if not text or "\ufffd" in text:
        text = tokenizer.convert_ids_to_tokens([token])[0]
    return text.replace("\n", "↵")


def spaced(text: str) -> str:
    """Return text as HTML that keeps its spaces."""
    return escape(text).replace(" ", "&nbsp;")


def token_box(text: str, inside: bool) -> str:
    """Return a token in a box; one `inside` the loss is red."""
    shade, line = (TAKEN, "solid") if inside else (GREY, "dotted")
    style = TOKEN.format(line=line, edge=shade.edge, fill=shade.fill, ink=shade.edge)
    return f'<span style="{style}">{spaced(text)}</span>'


def cell(text: str, shade: Shade = PLAIN) -> str:
    """Return a cell of a strip; a red one is in the loss."""
    style = CELL.format(edge=EDGE, fill=shade.fill, ink=shade.edge)
    inner = f"{unstyled('⟦')}{spaced(text)}{unstyled('⟧')}" if shade == TAKEN else spaced(text)
    return f'<td style="{style}">{inner}</td>'
