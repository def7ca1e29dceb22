"""Help the IE readers: records in their order of fields, names found in a sentence, tags read.

In: what a native record says. Out: pieces of an IE record. Shown in notebook 01.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from miniluotuo_utils.files import DataError
from miniluotuo_utils.records import mentions


def record(sentence: str, annotation: str = "exhaustive", **found: list) -> dict:
    """Return an IE record; `found` is one of entities, relations, events.

    Its `source` is added by the caller.
    """
    return {"sentence": sentence, "source": "", "annotation": annotation, **found}


def entity(sentence: str, start: int, end: int, kind: str = "") -> dict:
    """Return the entity that stands at `[start, end)`."""
    return {"name": sentence[start:end], "type": kind, "pos": [start, end]}


def named(sentence: str, name: str, kind: str = "") -> dict:
    """Return `{name, type, pos}` of a name whose source gives no place.

    `pos` is null unless the sentence holds the name exactly once.

    >>> named("长江和长江口", "长江")["pos"] is None, named("长江和黄河", "黄河")["pos"]
    (True, [3, 5])
    """
    start = sentence.find(name)
    once = start >= 0 and sentence.find(name, start + 1) < 0
    return {"name": name, "type": kind, "pos": [start, start + len(name)] if once else None}


def places(records: Iterable[Mapping]) -> dict[str, int]:
    """Return how many names have a place, stand there more than once, or not at all.

    >>> text = "长江和长江口"
    >>> relation = {"head": named(text, "长江"), "type": "", "tail": named(text, "黄河")}
    >>> places([{"sentence": text, "relations": [relation]}])
    {'placed': 0, 'ambiguous': 1, 'absent': 1}
    """
    count = Counter({"placed": 0, "ambiguous": 0, "absent": 0})
    for one in records:
        for thing, _ in mentions(one):
            unplaced = "ambiguous" if thing["name"] in one["sentence"] else "absent"
            count["placed" if thing["pos"] else unplaced] += 1
    return dict(count)


def joined(tokens: Sequence[str], between: str = "") -> tuple[str, list[tuple[int, int]]]:
    """Return a sentence and the [start, end) of each of its tokens.

    >>> joined(["New", "York"], " ")
    ('New York', [(0, 3), (4, 8)])
    """
    spans, at = [], 0
    for token in tokens:
        spans.append((at, at + len(token)))
        at += len(token) + len(between)
    return between.join(tokens), spans


def tagged(sentence: str, spans: Sequence[tuple[int, int]], tags: Sequence[str]) -> list[dict]:
    """Return the entities of a sentence tagged by BIO, BMES or BIOES, one tag per token.

    A tag that continues nothing begins an entity, and an entity that the sentence's end cuts off
    counts as far as it goes: the rule of conlleval and seqeval. (Resume holds four entities that
    an empty line cuts in two.)

    >>> spans, tags = [(0, 1), (1, 2), (2, 3), (3, 4)], ["B-NAME", "E-NAME", "O", "S-RACE"]
    >>> [(e["name"], e["type"]) for e in tagged("高勇男汉", spans, tags)]
    [('高勇', 'NAME'), ('汉', 'RACE')]
    """
    marks = []
    for (start, end), tag in zip(spans, tags, strict=True):
        # A space behind a tag would make another type of it.
        mark, _, kind = tag.strip().partition("-")
        if mark not in tuple("OBIMES") or (mark == "O") == bool(kind):
            raise DataError(
                f"found the tag {tag!r} at {sentence[start:end]!r}, "
                "expected O or B-, I-, M-, E-, S- and a type"
            )
        marks.append((mark, kind))
    return chunks(sentence, spans, marks)


def chunks(
    sentence: str, spans: Sequence[tuple[int, int]], marks: Sequence[tuple[str, str]]
) -> list[dict]:
    """Return the entities of tokens that are marked (O, B, I, M, E or S; type), as `tagged` says.

    >>> marks = [("B", ""), ("I", ""), ("O", "")]
    >>> [one["name"] for one in chunks("甲乙丙", [(0, 1), (1, 2), (2, 3)], marks)]
    ['甲乙']
    """
    found: list[list] = []  # [start, end, type]
    open_kind = None
    for (start, end), (mark, kind) in zip(spans, marks, strict=True):
        if mark in "MIE" and kind == open_kind:
            found[-1][1] = end
        elif mark != "O":
            found.append([start, end, kind])
        # E, S and O close what is open.
        open_kind = kind if mark in "BIM" else None
    return [entity(sentence, start, end, kind) for start, end, kind in found]


def columns(block: Sequence[Sequence[str]], count: int) -> list[tuple[str, ...]]:
    """Return the columns of a block of lines; DataError where a line has another number of them."""
    for line in block:
        if len(line) != count:
            raise DataError(f"found {' '.join(line)[:40]!r}, expected {count} columns")
    return list(zip(*block, strict=True))
