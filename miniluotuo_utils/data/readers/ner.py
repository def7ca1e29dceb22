"""Read named-entity data: one native record in, one IE record with `entities` out.

In: a unit of `native`. Out: records, whose source the caller adds. Shown in notebook 01.
"""

import re
from collections.abc import Iterator, Sequence
from operator import itemgetter

from miniluotuo_utils.data.readers.spans import columns, entity, joined, record, tagged
from miniluotuo_utils.files import DataError
from miniluotuo_utils.records import TASKS


def unified_records(native: dict) -> Iterator[dict]:
    """Read records that are in our own shape already, of any task."""
    yield native | {"source": ""}


def own_records(native: dict) -> Iterator[dict]:
    """Read a person's records in our shape, with the sources that they name.

    A table of several tasks has all their columns, and null in those that are not of a record.
    """
    empty = {field for field in TASKS.values() if native.get(field, 0) is None}
    whole = any(field in native for field in {*TASKS.values()} - empty)
    yield {key: value for key, value in native.items() if not (whole and key in empty)}


def cluener(native: dict) -> Iterator[dict]:
    """Read CLUENER2020: `{"text", "label": {type: {name: [[start, end], …]}}}`.

    Its end is inclusive, ours is not.
    """
    entities = [
        {"name": name, "type": kind, "pos": [start, end + 1]}
        for kind, names in native["label"].items()
        for name, places in names.items()
        for start, end in places
    ]
    yield record(native["text"], entities=sorted(entities, key=itemgetter("pos")))


def tag_columns(native: Sequence[Sequence[str]], between: str = "") -> Iterator[dict]:
    """Read `字 B-NAME` per line, BMES or BIO tags (Resume, MSRA, People's Daily).

    Where tokens are words (WNUT17: `token<TAB>B-location`), a space stands `between` them.
    """
    tokens, tags = columns(native, 2)
    sentence, spans = joined(tokens, between)
    yield record(sentence, entities=tagged(sentence, spans, tags))


def weibo_columns(native: Sequence[Sequence[str]]) -> Iterator[dict]:
    """Read Weibo (golden-horse): `科0<TAB>B-ORG.NAM`; the character's index in its word goes."""
    yield from tag_columns([[re.sub(r"(?<=.)\d$", "", word), *tags] for word, *tags in native])


def entity_list(native: dict) -> Iterator[dict]:
    """Read boson, video-music-book, tianchi; ends exclusive.

    `text, entity_list[{entity_index{begin,end},entity_type,entity}]`
    """
    found = [
        {
            "name": e["entity"],
            "type": e["entity_type"],
            "pos": [e["entity_index"]["begin"], e["entity_index"]["end"]],
        }
        for e in native["entity_list"]
    ]
    yield record(native["text"], entities=found)


def cmeee(native: str) -> Iterator[dict]:
    """Read CMeEE as text: `text|||start    end    type|||…`; ends inclusive, may nest.

    >>> next(cmeee("患儿咳嗽|||0    1    bod|||2    3    sym|||"))["entities"][1]
    {'name': '咳嗽', 'type': 'sym', 'pos': [2, 4]}
    """
    sentence, *parts = native.split("|||")
    if not parts:
        raise DataError(f"found {native[:40]!r}, expected the sentence, ||| and its entities")
    found = []
    for part in filter(str.strip, parts):
        match = re.fullmatch(r"\s*(\d+)\s+(\d+)\s+(\S+)\s*", part)
        if not match or int(match[2]) >= len(sentence):
            raise DataError(
                f"found {part[:40]!r}, expected start, end (inclusive, under {len(sentence)}) "
                "and type"
            )
        found.append(entity(sentence, int(match[1]), int(match[2]) + 1, match[3]))
    yield record(sentence, entities=found)


def cmeee_json(native: dict) -> Iterator[dict]:
    """Read CMeEE as JSON: `text, entities[{start_idx,end_idx,type,entity}]`; ends inclusive."""
    found = [
        {"name": e["entity"], "type": e["type"], "pos": [e["start_idx"], e["end_idx"] + 1]}
        for e in native["entities"]
    ]
    yield record(native["text"], entities=found)
