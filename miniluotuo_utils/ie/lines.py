"""Read the line styles, plain and instructuie; `parsing` chooses between them and JSON.

In: an answer, a task, the types that were asked for. Out: items; what was forgiven is counted in
`repairs`. Shown in notebook 05.
"""

import re
from collections import Counter
from collections.abc import Iterator

from miniluotuo_utils.ie.names import EMPTY_WORDS, kept, no_name
from miniluotuo_utils.ie.styles import BULLET, COMMA

LISTS = rf"、|；|;|{COMMA}"
QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」"}
LINE_ENDS = {"n": "\n", "r": "\r"}

# Style instructuie: `(type:发射, trigger:升空` opens an event, and an argument of it is
# `(name:神舟五号,role:航天器)`.
VALUE = r"(?:\\.|[^\\,，()（）])*"
BRACKET = r"(?<!\\)[(（]"  # with a backslash it is part of a name
EVENT = re.compile(
    rf"""
      {BRACKET} \s*type    \s*[:：] (?P<type>{VALUE})    [,，]
                \s*trigger \s*[:：] (?P<trigger>{VALUE}) (?=[,，)）]|\Z)
    | {BRACKET} \s*name    \s*[:：] (?P<name>{VALUE})    [,，]
                \s*role    \s*[:：] (?P<role>{VALUE})    [)）]
    """,
    re.DOTALL | re.VERBOSE,
)
OPENED = re.compile(rf"{BRACKET}\s*(?:type|name)\s*[:：]")


def cut(text: str, marks: str, most: int = 0) -> tuple[list[str], list[str]]:
    r"""Split `text` at the marks (a pattern) that no backslash guards, at most `most` times.

    Returns the pieces and the marks between them.

    >>> cut(r"春望、静\、夜思", "、")
    (['春望', '静\\、夜思'], ['、'])
    """
    pieces, seen, start = [], [], 0
    # A backslash is read with what it guards, so that the mark behind it is not met.
    for found in re.finditer(rf"\\.|({marks})", text, re.DOTALL):
        if found[1] is not None:
            pieces.append(text[start : found.start()])
            seen.append(found[1])
            start = found.end()
            if len(seen) == most:
                break
    return [*pieces, text[start:]], seen


def clean(piece: str, repairs: Counter) -> str:
    r"""Return a name or label as it was before it was escaped.

    Spaces, a full stop and quotes around it go.

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
    return re.sub(r"\\(.)", lambda mark: LINE_ENDS.get(mark[1], mark[1]), piece, flags=re.DOTALL)


def stripped(piece: str) -> str:
    """Return `piece` without the spaces at its ends, but for one that a backslash guards."""
    short = piece.rstrip()
    if guards(short) % 2:
        short += piece[len(short) : len(short) + 1]
    return short.lstrip()


def guards(text: str) -> int:
    """Count the backslashes that end a text; an odd number guards what follows."""
    return len(text) - len(text.rstrip("\\"))


def labelled(piece: str, colon: str, repairs: Counter) -> tuple[str, str] | None:
    """Split `label: value` at its first colon, `colon` being the style's own; None without one."""
    piece, bullets = re.subn(rf"\A\s*{BULLET}", "", piece)
    repairs["bullet"] += bullets
    (label, *rest), marks = cut(piece, "[：:]", 1)
    if not rest:
        repairs["dropped_item"] += 1
        return None
    repairs["punctuation"] += marks[0] != colon
    return clean(label, repairs), rest[0]


def plain(text: str, task: str, known: frozenset[str], repairs: Counter) -> Iterator[dict]:
    """Yield the items of style plain: a line for each type, for EE one for each event."""
    for line in cut(text, r"\n")[0]:
        found = labelled(line, "：", repairs) if line.strip() else None
        if found and task == "EE":
            yield from plain_event(*found, repairs)
        elif found:
            yield from plain_line(*found, task, known, repairs)


def plain_line(
    label: str, values: str, task: str, known: frozenset[str], repairs: Counter
) -> Iterator[dict]:
    """Yield the items of one type: `李白、杜甫`, of a relation `静夜思→李白`."""
    if not values.strip() or no_name(values):
        repairs["null_value"] += 1
        return
    pieces, marks = cut(values, LISTS)
    repairs["punctuation"] += sum(mark != "、" for mark in marks)
    for mark, piece in zip(["", *marks], pieces, strict=True):
        # `地点：长安；人物：李白`: a type of the schema after a semicolon begins a line of its own.
        (first, *rest), _ = cut(piece, "[：:]", 1)
        if rest and mark in ("；", ";") and first.strip() in known:
            repairs["line_break"] += 1
            label, piece = first.strip(), rest[0]
        if piece.strip():
            yield from item(label, piece, task, known, repairs, "→|->")
        else:
            repairs["comma"] += 1


def item(
    label: str, value: str, task: str, known: frozenset[str], repairs: Counter, between: str
) -> Iterator[dict]:
    """Yield the one entity or relation of a label and its value, if it is whole.

    `between` (a pattern) stands between head and tail.
    """
    if task == "RE":
        names = [clean(piece, repairs) for piece in cut(value, between)[0]]
        if kept(repairs, label, *(names if len(names) == 2 else [None])):
            yield {"head": names[0], "type": label, "tail": names[1]}
        return
    if no_name(value):
        repairs["null_value"] += 1
        return
    name = clean(value, repairs)
    # `李白：人物`: type and name change places, but only where nothing else fits the schema.
    if label not in known and name in known:
        repairs["swapped"] += 1
        label, name = name, label
    if kept(repairs, label, name):
        yield {"type": label, "name": name}


def plain_event(label: str, values: str, repairs: Counter) -> Iterator[dict]:
    """Yield the event of a line: `升空；航天器=神舟五号、神舟六号；地点=酒泉`."""
    (trigger, *parts), marks = cut(values, "[；;]")
    if not parts and trigger.strip() in ("", *EMPTY_WORDS):
        repairs["null_value"] += 1
        return
    repairs["punctuation"] += marks.count(";")
    arguments = [argument for part in parts for argument in plain_role(part, repairs)]
    trigger = clean(trigger, repairs)
    if kept(repairs, label, trigger):
        yield {"type": label, "trigger": trigger, "arguments": arguments}


def plain_role(part: str, repairs: Counter) -> Iterator[dict]:
    """Yield the arguments of one role: `航天器=神舟五号、神舟六号`."""
    if not part.strip():
        repairs["comma"] += 1
        return
    (role, *rest), _ = cut(part, "[=＝：:]", 1)
    role = clean(role, repairs)
    # A role without an equals sign has one name that is missing: it counts as dropped.
    names = [clean(piece, repairs) for piece in cut(rest[0], LISTS)[0]] if rest else [None]
    for name in names:
        if kept(repairs, role, name):
            yield {"name": name, "role": role}


def instructuie(text: str, task: str, known: frozenset[str], repairs: Counter) -> Iterator[dict]:
    """Yield the items of style instructuie: `type: word; type: word`, `relation: head, tail`."""
    if task == "EE":
        yield from bracketed_events(text, repairs)
        return
    pieces, marks = cut(text, r"[；;]|\n")
    repairs["punctuation"] += sum(mark != ";" for mark in marks)
    for piece in pieces:
        if not piece.strip():
            repairs["comma"] += 1
        elif found := labelled(piece, ":", repairs):
            yield from item(*found, task, known, repairs, COMMA)


def bracketed_events(text: str, repairs: Counter) -> list[dict]:
    """Return the events of `(type:发射, trigger:升空, arguments:(name:神舟五号,role:航天器))`."""
    events: list[dict] = []
    event = None
    matches = list(EVENT.finditer(text))
    # A match is an event's head or an argument, which belongs to the last head.
    for match in matches:
        found = {part: clean(value, repairs) for part, value in match.groupdict("").items()}
        if match["type"] is None:
            if kept(repairs, found["role"], found["name"]) and event:
                event["arguments"].append({"name": found["name"], "role": found["role"]})
        elif kept(repairs, found["type"], found["trigger"]):
            event = {"type": found["type"], "trigger": found["trigger"], "arguments": []}
            events.append(event)
        else:
            event = None  # its arguments go with it

    # What was opened and not read counts as dropped; a text that opens nothing is one loss.
    opened = len(OPENED.findall(text))
    repairs["dropped_item"] += opened - len(matches) if opened else 1
    # `(type:发射, trigger:升空, 地点:酒泉)`: what is not of the style would be lost in silence.
    rest = re.sub(r"\\.|arguments\s*[:：]", "", EVENT.sub("", text), flags=re.DOTALL)
    if opened == len(matches):
        unread = re.findall(r"[^\s:：,，()（）]\s*[:：]\s*[^\s,，()（）]", rest)
        repairs["dropped_item"] += len(unread)
    repairs["truncated"] += bool(opened) and not text.endswith((")", "）"))
    return events


READERS = {"plain": plain, "instructuie": instructuie}
