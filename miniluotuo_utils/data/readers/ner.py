"""Readers of named-entity data: one native record in, one IE record with `entities` out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from miniluotuo_utils.data.readers.spans import columns, joined, record, tagged
from miniluotuo_utils.files import DataError


def unified_records(native: dict) -> Iterator[dict]:
    """Records in our own shape already, of any task."""
    yield native | {"source": ""}


def entity(sentence: str, start: int, end: int, kind: str) -> dict:
    """The entity that stands at `[start, end)`."""
    return {"name": sentence[start:end], "type": kind, "pos": [start, end]}


def cluener(native: dict) -> Iterator[dict]:
    """CLUENER2020: `{"text", "label": {type: {name: [[start, end], …]}}}`; its end is inclusive, ours is not."""
    entities = [
        {"name": name, "type": kind, "pos": [start, end + 1]}
        for kind, names in native["label"].items()
        for name, places in names.items()
        for start, end in places
    ]
    entities.sort(key=lambda e: e["pos"])
    yield record(native["text"], entities=entities)


def tag_columns(native: Sequence[Sequence[str]]) -> Iterator[dict]:
    """`字 B-NAME` per line, BMES or BIO tags, an empty line between sentences (Resume, MSRA, People's Daily)."""
    characters, tags = columns(native, 2)
    sentence, spans = joined(characters)
    yield record(sentence, entities=tagged(sentence, spans, tags))


def weibo_columns(native: Sequence[Sequence[str]]) -> Iterator[dict]:
    """Weibo (golden-horse): `科0<TAB>B-ORG.NAM`: a character with its index in its word, which is cut off."""
    characters, tags = columns(native, 2)
    sentence, spans = joined([re.sub(r"(?<=.)\d$", "", character) for character in characters])
    yield record(sentence, entities=tagged(sentence, spans, tags))


def bio_words(native: Sequence[Sequence[str]]) -> Iterator[dict]:
    """WNUT17: `token<TAB>B-location`; tokens are words, joined by one space."""
    words, tags = columns(native, 2)
    sentence, spans = joined(words, " ")
    yield record(sentence, entities=tagged(sentence, spans, tags))


def entity_list(native: dict) -> Iterator[dict]:
    """boson, video-music-book, tianchi: `text, entity_list[{entity_index{begin,end},entity_type,entity}]`, end exclusive."""
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
    """CMeEE as text: `text|||start    end    type|||…`; ends inclusive, may nest.

    >>> next(cmeee("患儿咳嗽|||0    1    bod|||2    3    sym|||"))["entities"][1]
    {'name': '咳嗽', 'type': 'sym', 'pos': [2, 4]}
    """
    sentence, *parts = native.split("|||")
    if not parts:
        raise DataError(f"found {native[:40]!r}, expected the sentence, ||| and its entities")
    found = []
    for part in filter(str.strip, parts):
        fields = part.split()
        if (
            len(fields) != 3
            or not (fields[0].isdecimal() and fields[1].isdecimal())
            or int(fields[1]) >= len(sentence)
        ):
            raise DataError(
                f"found {part[:40]!r}, expected start, end (inclusive, under {len(sentence)}) and type"
            )
        found.append(entity(sentence, int(fields[0]), int(fields[1]) + 1, fields[2]))
    yield record(sentence, entities=found)


def cmeee_json(native: dict) -> Iterator[dict]:
    """CMeEE as JSON: `text, entities[{start_idx,end_idx,type,entity}]`; ends inclusive, may nest."""
    found = [
        {"name": e["entity"], "type": e["type"], "pos": [e["start_idx"], e["end_idx"] + 1]}
        for e in native["entities"]
    ]
    yield record(native["text"], entities=found)
