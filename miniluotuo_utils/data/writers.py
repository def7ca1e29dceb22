"""Write documents and rows as other tools read them: one small function each.

In: documents (a sentence with entities, relations and events) or instruction rows. Out: what stands
in the other format, and a note for each thing that it cannot hold. Used by `convert`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from miniluotuo_utils.data.offsets import ASTRAL, in_utf16
from miniluotuo_utils.data.readers.annotated import TRIGGER
from miniluotuo_utils.files import DataError

UNTYPED = "实体"
UNPLACED = "a name without a place in the text, left out"
WHOLE = "exhaustive"  # the mark of a record where nothing else is said
Notes = Counter[str]


@dataclass(frozen=True)
class Writer:
    """How a format is written.

    kind: what it holds, rows or records. write: one document or row → one or more items.
    form: how items stand in the file: list (a JSON list), one list (whatever the file is called),
    lines (JSON Lines), text, or folder.
    holds: the fields of a document that it can hold. offsets: how its tool counts places. marks:
    whether it says that an annotation is silver, or of one pair alone.
    """

    kind: str
    write: Callable[[Mapping, Notes], Iterator[Any]]
    form: str
    holds: tuple[str, ...] = ()
    offsets: str = "characters"
    marks: bool = False


# ---- annotated text


def distinct(document: Mapping, notes: Notes) -> dict[tuple, Mapping]:
    """Return every placed thing of a document once, by place and type: entities, then the heads and
    tails of relations."""
    found: dict[tuple, Mapping] = {}
    sides = [r[side] for r in document.get("relations") or [] for side in ("head", "tail")]
    for one in [*(document.get("entities") or []), *sides]:
        if one["pos"] is None:
            notes[UNPLACED] += 1
        else:
            found.setdefault(key_of(one), one)
    return found


def key_of(one: Mapping) -> tuple:
    """Return what tells an entity from others: where it stands, and its type."""
    return (*(one["pos"] or ()), one["type"])


def linkable(document: Mapping, notes: Notes) -> list[Mapping]:
    """Return the relations whose two sides have a place; slots beyond head and tail are noted."""
    found = []
    for one in document.get("relations") or []:
        slots = [slot for slot in (one.get("slots") or {}).values() if slot]
        if slots:
            notes["a further slot of a relation, left out"] += len(slots)
        if one["head"]["pos"] and one["tail"]["pos"]:
            found.append(one)
        else:
            notes["a relation of a name without a place, left out"] += 1
    return found


def kept(document: Mapping) -> dict:
    """Return the id, the source and the mark of a document, for formats that keep further fields.

    Who wrote what is gold unless it is marked.
    """
    told = {name: document[name] for name in ("id", "source") if document.get(name) is not None}
    mark = document.get("annotation", WHOLE)
    return told if mark == WHOLE else told | {"annotation": mark}


def doccano(document: Mapping, notes: Notes) -> Iterator[dict]:
    """Write doccano's JSON Lines: `label` triples, or entities and relations where there are some.

    doccano counts UTF-16 units; a line where that matters says so, and doccano keeps the field.
    """
    text, things = document["sentence"], distinct(document, notes)
    utf16 = document.get("offsets") == "utf16" and ASTRAL.search(text)
    unit = {"offset_unit": "utf16"} if utf16 else {}

    def place(one: Mapping) -> list[int]:
        return in_utf16(text, one["pos"]) if utf16 else list(one["pos"])

    if "relations" not in document:
        label = [[*place(one), one["type"]] for one in things.values()]
        yield kept(document) | {"text": text, "label": label} | unit
        return
    number = {key: count for count, key in enumerate(things, 1)}
    entities = [
        {"id": number[key], "label": one["type"], **offsets_of(place(one), "_offset")}
        for key, one in things.items()
    ]
    relations = [
        {
            "id": count,
            "from_id": number[key_of(one["head"])],
            "to_id": number[key_of(one["tail"])],
            "type": one["type"],
        }
        for count, one in enumerate(linkable(document, notes), 1)
    ]
    yield kept(document) | {"text": text, "entities": entities, "relations": relations} | unit


def offsets_of(pos: Sequence[int], ending: str = "") -> dict[str, int]:
    """Return a place as two fields."""
    return {f"start{ending}": pos[0], f"end{ending}": pos[1]}


def label_studio(document: Mapping, notes: Notes) -> Iterator[dict]:
    """Write a task of Label Studio, for `<Labels name="label" toName="text">` on `$text`.

    Its converter wants a number for every task and annotation.
    """
    # A region for every place and type, which relations name by its id.
    text, things = document["sentence"], distinct(document, notes)
    utf16 = document.get("offsets") == "utf16"
    number = {key: f"r{count}" for count, key in enumerate(things, 1)}
    told = {"from_name": "label", "to_name": "text", "type": "labels"}
    result: list[dict] = []
    for key, one in things.items():
        pos = in_utf16(text, one["pos"]) if utf16 else one["pos"]
        value = offsets_of(pos) | {"text": one["name"], "labels": [one["type"]]}
        result.append({"id": number[key], **told, "value": value})

    # A relation is a further item beside the regions.
    for one in linkable(document, notes):
        ends = {"from_id": number[key_of(one["head"])], "to_id": number[key_of(one["tail"])]}
        link = {"type": "relation", "direction": "right", "labels": [one["type"]]}
        result.append(ends | link)
    # What a model found is a prediction there: a person accepts it or mends it.
    carry = kept(document)
    if silver := carry.get("annotation") == "silver":
        del carry["annotation"]
    done = {"id": document["number"], "was_cancelled": False, "result": result}
    guessed = {"predictions": [{"result": result}], "annotations": []}
    told = guessed if silver else {"annotations": [done]}
    yield {"id": document["number"], "data": {"text": text, **carry}, **told}


def uie(document: Mapping, notes: Notes) -> Iterator[dict]:
    """Write UIE's rows (PaddleNLP): a row for each type, and for each relation of each name.

    A sentence with nothing in it is one row with an empty list, so that it is not lost.
    """
    text, asked = document["sentence"], {}
    for prompt, one in questions(document, notes):
        if one["pos"] is None:
            notes[UNPLACED] += 1
            continue
        found = asked.setdefault(prompt, [])
        result = {"text": one["name"], **offsets_of(one["pos"])}
        if result not in found:
            found.append(result)
    for prompt, found in (asked or {UNTYPED: []}).items():
        yield {"content": text, "result_list": found, "prompt": prompt}


def questions(document: Mapping, notes: Notes) -> Iterator[tuple[str, Mapping]]:
    """Yield (prompt, what it finds) of everything that a document names."""
    for one in distinct(document, notes).values():
        if not one["type"]:
            notes[f"a name without a type, asked for as {UNTYPED}"] += 1
        yield one["type"] or UNTYPED, one

    # A relation and an argument are asked for by the name that they belong to.
    for one in linkable(document, notes):
        if document["sentence"].count(one["head"]["name"]) > 1:
            notes["a relation of a name that stands twice: UIE does not say which"] += 1
        yield f"{one['head']['name']}的{one['type']}", one["tail"]
    for event in document.get("events") or []:
        yield event["type"] + TRIGGER, {"name": event["trigger"], "pos": event["pos"]}
        for argument in event["arguments"]:
            yield f"{event['trigger']}的{argument['role']}", argument


def brat(document: Mapping, notes: Notes) -> Iterator[tuple[str, str]]:
    """Write brat's text and its annotations: T lines, then R and E lines.

    A type or a role holds no blank and no colon there; `_` takes their place.
    """
    marks = Marks(document["sentence"], notes)
    for one in distinct(document, notes).values():
        marks.of(one["type"], one["pos"])
    for count, one in enumerate(linkable(document, notes), 1):
        head, tail = (marks.of(side["type"], side["pos"]) for side in (one["head"], one["tail"]))
        marks.lines.append(f"R{count}\t{word(one['type'], notes)} Arg1:{head} Arg2:{tail}")
    for count, event in enumerate(document.get("events") or [], 1):
        if event["pos"] is None:
            notes["an event whose trigger has no place, left out"] += 1
        else:
            marks.lines.append(f"E{count}\t{' '.join(brat_event(event, marks))}")
    yield document["sentence"], "".join(f"{line}\n" for line in marks.lines)


class Marks:
    """The lines of an .ann file, and the T that stands for each type and place."""

    def __init__(self, text: str, notes: Notes) -> None:
        self.text, self.notes = text, notes
        self.lines: list[str] = []
        self.number: dict[tuple, str] = {}
        self.kinds: dict[tuple, str] = {}  # place -> the type of an entity there

    def of(self, kind: str, pos: Sequence[int], own: bool = False) -> str:
        """Return the T of a type at a place, one of its `own` where asked; a line the first time.

        brat writes the text that stands there on one line.
        """
        key = (kind, *pos, len(self.lines) if own else None)
        if not own:
            self.kinds.setdefault(tuple(pos), kind)
        if key not in self.number:
            self.number[key] = f"T{len(self.number) + 1}"
            name = re.sub(r"[\r\n]", " ", self.text[pos[0] : pos[1]])
            head = f"{self.number[key]}\t{word(kind, self.notes)} {pos[0]} {pos[1]}"
            self.lines.append(f"{head}\t{name}")
        return self.number[key]


def brat_event(event: Mapping, marks: Marks) -> list[str]:
    """Return the parts of an E line: type and trigger, then the roles, numbered from the second."""
    kind = word(event["type"], marks.notes)
    parts, seen = [f"{kind}:{marks.of(event['type'], event['pos'], own=True)}"], Counter()
    for argument in event["arguments"]:
        if argument["pos"] is None:
            marks.notes[UNPLACED] += 1
            continue
        role = word(argument["role"], marks.notes)
        seen[role] += 1
        number = seen[role] if seen[role] > 1 else ""
        kind = marks.kinds.get(tuple(argument["pos"]), argument["role"])
        parts.append(f"{role}{number}:{marks.of(kind, argument['pos'])}")
    return parts


def word(kind: str, notes: Notes) -> str:
    """Return a type as brat can write it."""
    found = re.sub(r"[\s:;]", "_", kind) or "_"
    if found != kind:
        notes["a type with blanks, colons or nothing in it, written with _"] += 1
    return found


# ---- columns

# Scheme -> the marks of the first, an inner, the last and the only token of an entity.
SCHEMES = {"bio": "BIIB", "bmes": "BMES", "bilou": "BILU"}


def columns(scheme: str) -> Callable[[Mapping, Notes], Iterator[str]]:
    """Return what writes a sentence as `字<TAB>tag` lines, one character each, in a scheme."""
    return partial(tag_lines, SCHEMES[scheme])


def tag_lines(marks: str, document: Mapping, notes: Notes) -> Iterator[str]:
    """Write a sentence as lines of a character and its tag, and an empty line."""
    text = document["sentence"]
    tags = ["O"] * len(text)
    # The longest first: of two that overlap, the outer one stays.
    for one in sorted(document["entities"], key=length, reverse=True):
        start, end = one["pos"] or (0, 0)
        if one["pos"] is None:
            notes[UNPLACED] += 1
        elif any(tag != "O" for tag in tags[start:end]):
            notes["an entity inside or across another: columns hold one tag a character"] += 1
        else:
            tags[start:end] = tags_of(one["type"], end - start, marks)

    # A line of the file is a character: one that ends lines or parts cells has no place in it.
    lost = len(re.findall(r"[\n\t\r]", text))
    if lost:
        notes["a line end or a tab in a sentence, written as a space"] += lost
    cells = re.sub(r"[\n\t\r]", " ", text)
    lines = [f"{token}\t{tag}\n" for token, tag in zip(cells, tags, strict=True)]
    yield "".join([*lines, "\n"])


def tags_of(kind: str, size: int, marks: str) -> list[str]:
    """Return the tags of an entity of so many characters.

    >>> tags_of("PER", 3, SCHEMES["bmes"]), tags_of("", 1, SCHEMES["bilou"])
    (['B-PER', 'M-PER', 'E-PER'], ['U'])
    """
    check_tag(kind)
    first, inner, last, alone = marks
    ending = f"-{kind}" if kind else ""
    found = [alone] if size == 1 else [first, *inner * (size - 2), last]
    return [mark + ending for mark in found]


def length(one: Mapping) -> int:
    """Return how many characters an entity has; 0 without a place."""
    return one["pos"][1] - one["pos"][0] if one["pos"] else 0


def check_tag(kind: str) -> None:
    """Raise DataError for a type that no cell of a column can hold."""
    if re.search(r"[\t\n\r]", kind) or kind != kind.strip():
        raise DataError(
            f"found the type {kind!r}, expected one without tabs, line ends, outer blanks"
        )


# ---- instruction rows


def alpaca(row: Mapping, notes: Notes) -> Iterator[dict]:
    """Write Alpaca's three keys; a dialogue has no place in them."""
    if row.get("history"):
        notes["a dialogue, left out: Alpaca's rows hold one turn (--to sharegpt holds all)"] += 1
        return
    yield {name: row[name] for name in ("instruction", "input", "output")}


def talk(row: Mapping) -> Iterator[tuple[bool, str]]:
    """Yield (whether the user speaks, what is said) of a row, its earlier turns first."""
    asked = "\n".join(filter(None, (row["instruction"], row["input"])))
    for user, assistant in [*(row.get("history") or []), (asked, row["output"])]:
        yield True, user
        yield False, assistant


def sharegpt(row: Mapping, notes: Notes) -> Iterator[dict]:
    """Write ShareGPT's `conversations[{from, value}]`."""
    turns = [{"from": "human" if asks else "gpt", "value": said} for asks, said in talk(row)]
    yield {"conversations": turns}


def messages(row: Mapping, notes: Notes) -> Iterator[dict]:
    """Write OpenAI's `messages[{role, content}]`."""
    turns = [{"role": "user" if asks else "assistant", "content": said} for asks, said in talk(row)]
    yield {"messages": turns}


def ours(one: Mapping, notes: Notes) -> Iterator[dict]:
    """Write a row or a record in our own shape."""
    yield dict(one)


ALL = ("entities", "relations", "events")
WRITERS: dict[str, Writer] = {
    "records": Writer("both", ours, "lines", ALL, marks=True),
    "doccano": Writer("records", doccano, "lines", ALL[:2], "utf16", marks=True),
    "label-studio": Writer("records", label_studio, "list", ALL[:2], marks=True),
    "brat": Writer("records", brat, "folder", ALL),
    "uie": Writer("records", uie, "lines", ALL),
    **{s: Writer("records", columns(s), "text", ALL[:1]) for s in SCHEMES},
    "alpaca": Writer("rows", alpaca, "one list"),
    "sharegpt": Writer("rows", sharegpt, "list"),
    "messages": Writer("rows", messages, "lines"),
}
