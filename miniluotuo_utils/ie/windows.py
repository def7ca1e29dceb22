"""Long documents in pieces that a student can read, and what was found in the pieces put back together. Shown in notebook 05.

In: a text and how many characters a piece may have. Out: [start, end) of each piece; one IE record of the whole text.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence

from miniluotuo_utils.ie.schema import distinct, field_of

SENTENCE = re.compile(r".*?(?:[。！？!?；;\n]+[”’」』）)]*|(?<=[a-z])\.\s+|\Z)", re.DOTALL)
Piece = tuple[int, int]


def windows(text: str, size: int, overlap: int = 0) -> list[Piece]:
    """[start, end) of pieces of at most `size` characters that together cover `text`, cut where sentences end.

    A piece begins with the last whole sentences of the one before, as far as they fit into `overlap` characters; a sentence of more
    than `size` characters is cut hard, `overlap` characters shared.

    >>> windows("一二三。四五。六七八九。", 8, 3), windows("一二三四五六七", 4, 2)
    ([(0, 7), (4, 12)], [(0, 4), (2, 6), (4, 7)])
    """
    if size < 1 or not 0 <= overlap < size:
        raise ValueError(
            f"size is {size} and overlap {overlap}; expected a size of at least 1 and an overlap from 0 to below it"
        )
    ends, found, start = [end for _, end in sentence_places(text)], [], 0

    def reach(start: int) -> int:
        last = bisect_right(ends, start + size) - 1
        return ends[last] if last >= 0 and ends[last] > start else min(start + size, len(text))

    while start < len(text):
        end = reach(start)
        found.append((start, end))
        whole_sentences = ends[bisect_left(ends, end)] == end
        starts = (
            ends[bisect_left(ends, max(start + 1, end - overlap)) : bisect_right(ends, end)]
            if whole_sentences
            else [end - overlap]
        )
        start = len(text) if end == len(text) else next((s for s in starts if reach(s) > end), end)
    return found


def sentence_places(text: str) -> Iterator[Piece]:
    """[start, end) of each sentence with its closing marks.

    >>> list(sentence_places("他问：“走吗？”走。"))
    [(0, 8), (8, 10)]
    """
    return (match.span() for match in SENTENCE.finditer(text) if match.group())


def whole(text: str, pieces: Sequence[Piece], found: Sequence[Mapping], task: str) -> dict:
    """The IE record of `text` from those of its pieces: places moved by each piece's start, what two pieces found is there once.

    An entity gives way to a longer one of its type that begins or ends with it (a cut ran through it); events of one type on one trigger are one event,
    with the arguments of both; an item that one piece could not place gives way to the same one placed by another.
    """
    field = field_of(task)
    items = [
        shifted(item, start)
        for (start, _), record in zip(pieces, found, strict=True)
        for item in record[field]
    ]
    if len(pieces) > 1:
        items = {"NER": entities, "RE": relations, "EE": events}[task](items)
    return {"sentence": text, "source": "", field: distinct(items)}


def shifted(item: Mapping, by: int) -> dict:
    """An item with every place in it moved.

    >>> shifted({"name": "李白", "type": "人物", "pos": [0, 2]}, 10)["pos"]
    [10, 12]
    """
    moved = dict(item)
    if item.get("pos"):
        moved["pos"] = [place + by for place in item["pos"]]
    for side in ("head", "tail"):
        if side in item:
            moved[side] = shifted(item[side], by)
    if "arguments" in item:
        moved["arguments"] = [shifted(argument, by) for argument in item["arguments"]]
    return moved


def entities(items: Sequence[Mapping]) -> list[Mapping]:
    """Entities without those that a longer one of the same type covers and shares an end with, and without the unplaced twins of placed ones."""
    placed = [item for item in items if item["pos"]]
    known = {(item["name"], item["type"]) for item in placed}

    def covered(item: Mapping) -> bool:
        (a, b), kind = item["pos"], item["type"]
        others = (
            other["pos"]
            for other in placed
            if other["type"] == kind and other["pos"] != item["pos"]
        )
        return any(c <= a and b <= d and (a == c or b == d) for c, d in others)

    return [
        item
        for item in items
        if (not covered(item) if item["pos"] else (item["name"], item["type"]) not in known)
    ]


def relations(items: Sequence[Mapping]) -> list[Mapping]:
    """Relations without those that lack a place and stand with all places elsewhere."""
    whole_ones = {bare(item) for item in items if item["head"]["pos"] and item["tail"]["pos"]}
    return [
        item
        for item in items
        if (item["head"]["pos"] and item["tail"]["pos"]) or bare(item) not in whole_ones
    ]


def bare(item: Mapping) -> str:
    """A relation without its places, to compare by."""
    return json.dumps([item["type"], item["head"]["name"], item["tail"]["name"]])


def events(items: Sequence[Mapping]) -> list[dict]:
    """Events of one type on one trigger joined, their arguments each once; an unplaced trigger joins the first placed one of its type and name."""
    joined: dict[tuple, dict] = {}
    for item in sorted(items, key=lambda item: item["pos"] is None):
        name = (item["type"], item["trigger"])
        key = (
            (*name, *item["pos"])
            if item["pos"]
            else next((known for known in joined if known[:2] == name), name)
        )
        event = joined.setdefault(key, {**item, "arguments": []})
        event["arguments"] = distinct([*event["arguments"], *item["arguments"]])
    return list(joined.values())
