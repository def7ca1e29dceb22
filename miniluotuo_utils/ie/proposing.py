"""Propose entities in a person's own sentences, to be corrected: by a chat teacher, by several.

In: sentences and types, a sentence about each. Out: silver IE records for `corrections`. Shown in
notebook 07.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import expect
from miniluotuo_utils.ie.corrections import clash, in_order, overlaps
from miniluotuo_utils.ie.extraction import Extraction, extract
from miniluotuo_utils.ie.instructions import questions
from miniluotuo_utils.ie.schema import Schema
from miniluotuo_utils.prompts import messages_of

if TYPE_CHECKING:
    from miniluotuo_utils.teacher import Teacher


def ask_teacher(
    teacher: Teacher,
    sentences: Sequence[str],
    schema: Schema,
    task: str = "NER",
    descriptions: Mapping[str, str] | None = None,
    **sampling: Any,
) -> Extraction:
    """Return what a chat teacher finds in sentences, as `extract` does; the records are silver.

    Every sentence is one question, with all types and their `descriptions`. `sampling` is the
    teacher's; without a temperature it is 0. A request that failed counts as an answer that could
    not be read (`unread`, `counts["unparsable"]`), and its sentence has nothing proposed.
    ValueError for descriptions of types that the schema does not have.
    """
    unknown = sorted(set(descriptions or ()) - set(schema))
    if unknown:
        raise ValueError(
            f"descriptions of {'、'.join(unknown)}, which the schema does not have"
            "（模式里没有这些类型）"
        )
    form = dict(descriptions=descriptions, slice_size=None)

    # A chat model is asked in messages, not in a student's template.
    def answers(_: object, prompts: Sequence[str], **options: object) -> list[str]:
        requests = [messages_of(row) for row in questions(sentences, schema, task, **form)]
        replies = teacher.ask(requests, **{"temperature": 0, **sampling})
        return ["" if reply.error else reply.text for reply in replies]

    found = extract(None, sentences, schema, task, **form, generate=answers)
    found.records = [{**record, "annotation": "silver"} for record in found.records]
    return found


def joined(*proposals: Sequence[Mapping], types: Collection[str] | None = None) -> list[dict]:
    """Return records of the same sentences, of entities, joined: those of all, each place once.

    At one place the first proposal's type counts; of two that cross half-way, or of one type, the
    longer one, since a person sooner takes away than finds. With `types` those alone are joined: a
    type that nobody asked for takes no place. What else a record has is the first proposal's.

    >>> short = {"name": "周六", "type": "时间", "pos": [0, 2]}
    >>> long = {"name": "周六上午", "type": "时间", "pos": [0, 4]}
    >>> plant = {"name": "梅", "type": "植物", "pos": [5, 6]}
    >>> one, two = ([{"sentence": "周六上午赏梅", "entities": e}] for e in ([short], [long, plant]))
    >>> [item["name"] for item in joined(one, two)[0]["entities"]]
    ['周六上午', '梅']
    """
    made = []
    for records in zip(*proposals, strict=True):
        sentences = {record["sentence"] for record in records}
        expect(len(sentences) == 1, "sentence", sorted(sentences), "the same in all proposals")
        items = [item for record in records for item in record["entities"] if item.get("pos")]
        items = [item for item in items if types is None or item["type"] in types]
        kept: list[Mapping] = []
        # Sorting is stable: of equally long ones the first proposal's comes first.
        for item in sorted(items, key=lambda item: item["pos"][0] - item["pos"][1]):
            if not any(taken(item, other) for other in kept):
                kept.append(item)
        made.append({**records[0], "annotation": "silver", "entities": in_order(kept)})
    return made


def taken(item: Mapping, other: Mapping) -> bool:
    """Return whether two items share a place or cross half-way, or overlap and are of one type."""
    alike = item["type"] == other["type"] and overlaps(item["pos"], other["pos"])
    return alike or clash(item["pos"], other["pos"])
