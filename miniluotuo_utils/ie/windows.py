"""Cut long documents into pieces that a student can read, and join what was found in the pieces.

In: a text and how many characters a piece may have. Out: [start, end) of each piece; one IE record
of the whole text. Shown in notebook 05b.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence

from miniluotuo_utils.ie.schema import distinct, field_of
from miniluotuo_utils.records import map_mentions

# As far as the marks that end a sentence, with closing quotes: `走吗？”`; an English full stop ends
# one after a small letter and before a space.
SENTENCE = re.compile(r".*?(?:[。！？!?；;\n]+[”’」』）)]*|(?<=[a-z])\.\s+|\Z)", re.DOTALL)
Piece = tuple[int, int]


def windows(text: str, size: int, overlap: int = 0) -> list[Piece]:
    """Cut `text` where sentences end into pieces of at most `size` characters: their [start, end).

    Together they cover the text. A piece begins with the last whole sentences of the one before, as
    far as they fit into `overlap` characters. A sentence of more than `size` characters is cut
    anywhere, `overlap` characters shared.

    >>> windows("一二三。四五。六七八九。", 8, 3), windows("一二三四五六七", 4, 2)
    ([(0, 7), (4, 12)], [(0, 4), (2, 6), (4, 7)])
    """
    if size < 1 or not 0 <= overlap < size:
        raise ValueError(
            f"size is {size} and overlap {overlap}; "
            "expected a size of at least 1 and an overlap from 0 to below it"
        )
    ends = [end for _, end in sentence_places(text)]

    def reach(start: int) -> int:
        last = bisect_right(ends, start + size) - 1
        if last >= 0 and ends[last] > start:
            return ends[last]
        return min(start + size, len(text))

    pieces, start = [], 0
    while start < len(text):
        end = reach(start)
        pieces.append((start, end))
        # Where a sentence ends, the next piece may begin with any sentence inside the overlap.
        low, high = bisect_left(ends, max(start + 1, end - overlap)), bisect_left(ends, end)
        starts = ends[low:high] if ends[high] == end else [end - overlap]
        # One that reaches no further would be a piece of the same text again.
        start = next((earlier for earlier in starts if reach(earlier) > end), end)
    return pieces


def sentence_places(text: str) -> Iterator[Piece]:
    """Yield [start, end) of each sentence with its closing marks.

    >>> list(sentence_places("他问：“走吗？”走。"))
    [(0, 8), (8, 10)]
    """
    return (match.span() for match in SENTENCE.finditer(text) if match.group())


def whole(text: str, pieces: Sequence[Piece], found: Sequence[Mapping], task: str) -> dict:
    """Join the IE records of a text's pieces into one of `text`, with the places of the whole.

    What two pieces found is there once. An entity gives way to a longer one of its type that begins
    or ends with it (a cut ran through it). Events of one type on one trigger are one event, with
    the arguments of both. An item that one piece could not place gives way to the same one placed
    by another.
    """
    field = field_of(task)
    items: Sequence[Mapping] = [
        item
        for (start, _), record in zip(pieces, found, strict=True)
        for item in shifted(record, start)[field]
    ]
    if len(pieces) > 1:
        items = {"NER": joined_entities, "RE": joined_relations, "EE": joined_events}[task](items)
    return {"sentence": text, "source": "", field: distinct(items)}


def shifted(record: Mapping, by: int) -> dict:
    """Return a record with every place in it moved.

    >>> shifted({"entities": [{"name": "李白", "type": "人物", "pos": [0, 2]}]}, 10)["entities"]
    [{'name': '李白', 'type': '人物', 'pos': [10, 12]}]
    """

    def moved(thing: Mapping) -> dict:
        pos = thing.get("pos")
        return {**thing, "pos": pos and [place + by for place in pos]}

    return map_mentions(record, moved)


def joined_entities(items: Sequence[Mapping]) -> list[Mapping]:
    """Drop the entities that a cut ran through, and the unplaced twins of placed ones."""
    placed = [item for item in items if item["pos"]]
    known = {(item["name"], item["type"]) for item in placed}

    def is_cut(item: Mapping) -> bool:
        alike = (other["pos"] for other in placed if other["type"] == item["type"])
        return any(is_part(item["pos"], place) for place in alike)

    return [
        item
        for item in items
        if (not is_cut(item) if item["pos"] else (item["name"], item["type"]) not in known)
    ]


def is_part(place: Sequence[int], longer: Sequence[int]) -> bool:
    """Tell whether a place is the beginning or the end of a longer one.

    >>> is_part([0, 2], [0, 4]), is_part([1, 2], [0, 4]), is_part([0, 4], [0, 4])
    (True, False, False)
    """
    inside = longer[0] <= place[0] and place[1] <= longer[1]
    return inside and (longer[0] == place[0]) != (longer[1] == place[1])


def joined_relations(items: Sequence[Mapping]) -> list[Mapping]:
    """Drop the relations that lack a place and stand with all places elsewhere."""

    def names(item: Mapping) -> tuple[str, str, str]:
        return item["type"], item["head"]["name"], item["tail"]["name"]

    def is_placed(item: Mapping) -> bool:
        return bool(item["head"]["pos"] and item["tail"]["pos"])

    known = {names(item) for item in items if is_placed(item)}
    return [item for item in items if is_placed(item) or names(item) not in known]


def joined_events(items: Sequence[Mapping]) -> list[dict]:
    """Join the events of one type on one trigger, their arguments each once."""
    events: dict[tuple, dict] = {}
    # Placed ones first: an unplaced trigger joins the first placed one of its type and name.
    for item in sorted(items, key=lambda item: item["pos"] is None):
        name = (item["type"], item["trigger"])
        key = (*name, *(item["pos"] or ()))
        if not item["pos"]:
            key = next((known for known in events if known[:2] == name), name)
        event = events.setdefault(key, {**item, "arguments": []})
        event["arguments"] = distinct([*event["arguments"], *item["arguments"]])
    return list(events.values())
