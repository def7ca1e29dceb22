"""The line styles, instructuie and plain, read back; `parsing` chooses between them and JSON.

In: an answer, a kind of question, the types that were asked for. Out: items; what was forgiven is counted in `repairs`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from miniluotuo_utils.ie.styles import BULLET, COMMA, EMPTY_WORDS, FIELDS

LISTS = rf"、|；|;|{COMMA}"
VALUE = r"((?:\\.|[^\\,，()（）])*)"  # of an event in brackets
EVENT = re.compile(
    rf"[(（]\s*type\s*[:：]{VALUE}[,，]\s*trigger\s*[:：]{VALUE}(?=[,，)）]|\Z)|[(（]\s*name\s*[:：]{VALUE}[,，]\s*role\s*[:：]{VALUE}[)）]",
    re.DOTALL,
)
QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」"}


def is_text(value: object) -> bool:
    """A text that a record can hold: not blank, and no half of a surrogate pair (a cut `\\ud83d`)."""
    return (
        isinstance(value, str) and bool(value.strip()) and not re.search("[\ud800-\udfff]", value)
    )


def kept(repairs: Counter, kind: object, *names: object) -> bool:
    """Whether an item is whole: a label (`""` where a source names none) and names; if not, it counts as dropped."""
    whole = (kind == "" or is_text(kind)) and all(map(is_text, names))
    repairs["dropped_item"] += not whole
    return whole


def cut(text: str, marks: str, most: int = 0) -> tuple[list[str], list[str]]:
    r"""`text` split at the marks (a pattern) that no backslash guards, at most `most` times: its pieces, and the marks.

    >>> cut(r"春望、静\、夜思", "、")
    (['春望', '静\\、夜思'], ['、'])
    """
    pieces, seen, start = [], [], 0
    for found in re.finditer(rf"\\.|({marks})", text, re.DOTALL):
        if found[1] is not None:
            pieces.append(text[start : found.start()])
            seen.append(found[1])
            start = found.end()
            if len(seen) == most:
                break
    return [*pieces, text[start:]], seen


def clean(piece: str, repairs: Counter) -> str:
    r"""A name or label as it was before it was escaped; spaces, a full stop and quotes around it go.

    >>> clean(r" “静\、夜思”。", Counter())
    '静、夜思'
    """
    piece = stripped(piece)
    if piece.endswith("。") and guards(piece[:-1]) % 2 == 0:
        repairs["punctuation"] += 1
        piece = stripped(piece[:-1])
    if len(piece) > 2 and QUOTES.get(piece[0]) == piece[-1]:
        repairs["quotes"] += 1
        piece = stripped(piece[1:-1])
    return re.sub(
        r"\\(.)", lambda mark: {"n": "\n", "r": "\r"}.get(mark[1], mark[1]), piece, flags=re.DOTALL
    )


def stripped(piece: str) -> str:
    """Without the spaces at its ends, but for one that a backslash guards."""
    short = piece.rstrip()
    return (short + piece[len(short) : len(short) + 1] if guards(short) % 2 else short).lstrip()


def guards(text: str) -> int:
    """How many backslashes end a text."""
    return len(text) - len(text.rstrip("\\"))


def plain(text: str, kind: str, known: frozenset[str], repairs: Counter) -> Iterator[dict]:
    """Items of style plain: a line for each type, or for each event."""
    for line in cut(text, r"\n")[0]:
        if not line.strip():
            continue
        line = unbulleted(line, repairs)
        (label, *rest), colon = cut(line, "[：:]", 1)
        if not rest:
            repairs["dropped_item"] += 1
            continue
        repairs["punctuation"] += colon[0] == ":"
        label = clean(label, repairs)
        yield from (
            plain_event(label, rest[0], repairs)
            if kind == "EE"
            else plain_line(label, rest[0], kind, known, repairs)
        )


def plain_line(
    label: str, values: str, kind: str, known: frozenset[str], repairs: Counter
) -> Iterator[dict]:
    """The items of one type: `李白、杜甫`, of a relation `静夜思→李白`. A type of the schema after a semicolon begins a line of its own."""
    pieces, marks = cut(values, LISTS)
    if not values.strip() or values.strip() in EMPTY_WORDS:
        repairs["null_value"] += 1
        return
    repairs["punctuation"] += sum(mark != "、" for mark in marks)
    for number, piece in enumerate(pieces):
        (first, *rest), _ = cut(piece, "[：:]", 1)
        if number and rest and marks[number - 1] in "；;" and first.strip() in known:
            repairs["line_break"] += 1
            label, piece = first.strip(), rest[0]
        if not piece.strip():
            repairs["comma"] += 1
            continue
        yield from item(label, piece, kind, known, repairs, "→|->")


def item(
    label: str, value: str, kind: str, known: frozenset[str], repairs: Counter, between: str
) -> Iterator[dict]:
    """One item from a label and what stands after it; type and name change places where only that fits the schema."""
    if kind == "RE":
        names = [clean(piece, repairs) for piece in cut(value, between)[0]]
        if kept(repairs, label, *(names if len(names) == 2 else [None])):
            yield {"head": names[0], "type": label, "tail": names[1]}
        return
    name = clean(value, repairs)
    if label not in known and name in known:
        repairs["swapped"] += 1
        label, name = name, label
    if kept(repairs, label, name):
        at, word = FIELDS[kind]
        yield {at: label, word: name} | ({"arguments": []} if kind == "EE trigger" else {})


def plain_event(label: str, values: str, repairs: Counter) -> Iterator[dict]:
    """The event of a line: `升空；航天器=神舟五号、神舟六号；地点=酒泉`."""
    (trigger, *roles), marks = cut(values, "[；;]")
    if not roles and trigger.strip() in ("", *EMPTY_WORDS):
        repairs["null_value"] += 1
        return
    repairs["punctuation"] += marks.count(";")
    arguments = []
    for part in roles:
        (role, *rest), _ = cut(part, "[=＝：:]", 1)
        if not part.strip():
            repairs["comma"] += 1
            continue
        role = clean(role, repairs)
        names = [clean(piece, repairs) for piece in cut(rest[0], LISTS)[0]] if rest else [None]
        arguments += [{"name": name, "role": role} for name in names if kept(repairs, role, name)]
    trigger = clean(trigger, repairs)
    if kept(repairs, label, trigger):
        yield {"type": label, "trigger": trigger, "arguments": arguments}


def unbulleted(line: str, repairs: Counter) -> str:
    """A line without the mark of a list (`- `, `1. `)."""
    bullet = re.match(rf"\s*{BULLET}", line)
    repairs["bullet"] += bullet is not None
    return line[bullet.end() :] if bullet else line


def instructuie(text: str, kind: str, known: frozenset[str], repairs: Counter) -> Iterator[dict]:
    """Items of style instructuie: `type: word; type: word`, `relation: head, tail`, events in brackets."""
    if kind == "EE":
        yield from bracketed(text, repairs)
        return
    pieces, marks = cut(text, r"[；;]|\n")
    repairs["punctuation"] += sum(mark != ";" for mark in marks)
    for piece in pieces:
        if not piece.strip():
            repairs["comma"] += 1
            continue
        (left, *rest), colon = cut(unbulleted(piece, repairs), "[：:]", 1)
        if not rest:
            repairs["dropped_item"] += 1
            continue
        repairs["punctuation"] += colon[0] == "："
        if kind == "EE argument":  # here the name comes first
            left, rest = rest[0], [left]
        yield from item(clean(left, repairs), rest[0], kind, known, repairs, COMMA)


def bracketed(text: str, repairs: Counter) -> Iterator[dict]:
    """Events: `(type:发射, trigger:升空, arguments:(name:神舟五号,role:航天器))`; an argument belongs to the event before it."""
    event: dict = {}
    for found in EVENT.finditer(text):
        kind, trigger, name, role = (
            None if value is None else clean(value, repairs) for value in found.groups()
        )
        if kind is None:
            if kept(repairs, role, name) and event:
                event["arguments"].append({"name": name, "role": role})
            continue
        if event:
            yield event
        event = (
            {"type": kind, "trigger": trigger, "arguments": []}
            if kept(repairs, kind, trigger)
            else {}
        )
    if event:
        yield event
    opened = len(re.findall(r"[(（]\s*(?:type|name)\s*[:：]", text))
    repairs["dropped_item"] += max(0, opened - sum(1 for _ in EVENT.finditer(text))) or not opened
    repairs["truncated"] += bool(opened) and not text.endswith((")", "）"))


READERS = {"plain": plain, "instructuie": instructuie}
