"""The two record shapes (instruction rows, IE records) and their checks. Shown in notebook 01.

In: dicts. Out: the same dicts, proven well-formed, or a `DataError` that says field, what was found, what was expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from miniluotuo_utils.files import Shown, expect
from miniluotuo_utils.moved import names as moved_names

TASKS = {
    "NER": "entities",
    "RE": "relations",
    "EE": "events",
}  # task -> the field of an IE record that holds it
ANNOTATIONS = ("exhaustive", "one-pair")


def check_row(row: Mapping) -> dict:
    """An instruction row, checked: `instruction, input, output, source` strings, optional `history`.

    >>> check_row({"instruction": "问好", "input": "", "output": "你好。", "source": "自写"})["output"]
    '你好。'
    >>> check_row({"instruction": "问好", "input": "", "output": None, "source": "自写"})
    Traceback (most recent call last):
    miniluotuo_utils.files.DataError: field output: found None, expected a string ("" where there is none)
    """
    expect(isinstance(row, Mapping), "row", row, "a JSON object")
    get = row.get
    if (
        type(get("instruction"))
        is type(get("input"))
        is type(get("output"))
        is type(get("source"))
        is str
        and not get("history")
        and (row["instruction"].strip() or row["input"].strip())
    ):
        return dict(
            row
        )  # the way of nearly every row: the questions below cost three times as much
    for field in ("instruction", "input", "output", "source"):
        expect(
            isinstance(row.get(field), str),
            field,
            row.get(field),
            'a string ("" where there is none)',
        )
    expect(
        (row["instruction"] + row["input"]).strip(),
        "instruction",
        row["instruction"],
        "a text that is not empty, here or in input",
    )
    expect(
        isinstance(row.get("history") or [], list),
        "history",
        row.get("history"),
        "a list of [user, assistant] pairs",
    )
    for number, pair in enumerate(row.get("history") or []):
        good = (
            isinstance(pair, (list, tuple))
            and len(pair) == 2
            and all(isinstance(t, str) for t in pair)
        )
        expect(good, f"history[{number}]", pair, "a [user, assistant] pair of strings")
    return dict(row)


def check_record(record: Mapping) -> dict:
    """An IE record, checked: exactly one of entities, relations, events, and every `pos` cuts its own name out.

    >>> check_record({"sentence": "李白生于碎叶", "source": "自写",
    ...     "entities": [{"name": "李白", "type": "人物", "pos": [0, 3]}]})
    Traceback (most recent call last):
    miniluotuo_utils.files.DataError: field entities[0].pos: found [0, 3] = '李白生', expected the place of '李白'
    """
    expect(isinstance(record, Mapping), "record", record, "a JSON object")
    expect(
        isinstance(record.get("sentence"), str) and record["sentence"],
        "sentence",
        record.get("sentence"),
        "a text",
    )
    expect(isinstance(record.get("source", ""), str), "source", record.get("source"), "a string")
    annotation = record.get("annotation", "exhaustive")
    expect(annotation in ANNOTATIONS, "annotation", annotation, f"one of {ANNOTATIONS}")
    fields = [f for f in TASKS.values() if f in record]
    expect(len(fields) == 1, "record", fields, "exactly one of entities, relations, events")
    expect(isinstance(record[fields[0]], list), fields[0], record[fields[0]], "a list")
    for name, place in mentions(record):
        check_mention(record["sentence"], name, place)
    return dict(record)


def mentions(record: Mapping) -> Iterator[tuple[Mapping, str]]:
    """Every named thing of a record with its place in it: entities, heads, tails, slots, triggers, arguments."""
    for i, entity in enumerate(record.get("entities") or []):
        expect(
            isinstance(entity, Mapping), f"entities[{i}]", entity, "an object with name, type, pos"
        )
        expect(
            isinstance(entity.get("type"), str),
            f"entities[{i}].type",
            entity.get("type"),
            "a string",
        )
        yield entity, f"entities[{i}]"
    for i, relation in enumerate(record.get("relations") or []):
        expect(
            isinstance(relation, Mapping),
            f"relations[{i}]",
            relation,
            "an object with head, type, tail",
        )
        expect(
            isinstance(relation.get("type"), str),
            f"relations[{i}].type",
            relation.get("type"),
            "a string",
        )
        for side in ("head", "tail"):
            yield relation.get(side), f"relations[{i}].{side}"
        expect(
            isinstance(relation.get("slots") or {}, Mapping),
            f"relations[{i}].slots",
            relation.get("slots"),
            "an object",
        )
        for slot, thing in (relation.get("slots") or {}).items():
            if thing is not None:  # a table gives every relation every slot
                yield thing, f"relations[{i}].slots.{slot}"
    for i, event in enumerate(record.get("events") or []):
        expect(
            isinstance(event, Mapping),
            f"events[{i}]",
            event,
            "an object with type, trigger, pos, arguments",
        )
        expect(
            isinstance(event.get("type"), str), f"events[{i}].type", event.get("type"), "a string"
        )
        yield {"name": event.get("trigger"), "pos": event.get("pos")}, f"events[{i}].trigger"
        expect(
            isinstance(event.get("arguments") or [], list),
            f"events[{i}].arguments",
            event.get("arguments"),
            "a list",
        )
        for j, argument in enumerate(event.get("arguments") or []):
            place = f"events[{i}].arguments[{j}]"
            expect(isinstance(argument, Mapping), place, argument, "an object with name, role, pos")
            expect(
                isinstance(argument.get("role"), str),
                f"{place}.role",
                argument.get("role"),
                "a string",
            )
            alias = argument.get("alias") or []
            expect(
                isinstance(alias, list) and all(isinstance(name, str) for name in alias),
                f"{place}.alias",
                alias,
                "a list of texts",
            )
            yield argument, place


def check_mention(sentence: str, thing: object, place: str) -> None:
    """A named thing: `name` a text, `pos` null or `[start, end)` with `sentence[start:end] == name`."""
    if (
        type(thing) is dict
    ):  # the way of nearly every mention; the questions below cost several times as much
        name, pos = thing.get("name"), thing.get("pos")
        if (
            type(name) is str
            and type(pos) is list
            and len(pos) == 2
            and type(pos[0]) is type(pos[1]) is int
            and (
                0 <= pos[0] < pos[1]
                and pos[1] - pos[0] == len(name)
                and sentence[pos[0] : pos[1]] == name
            )
        ):
            return
    expect(isinstance(thing, Mapping), place, thing, "an object with name and pos")
    name, pos = thing.get("name"), thing.get("pos")
    expect(isinstance(name, str) and name, f"{place}.name", name, "a text that is not empty")
    if pos is None:
        return
    whole = isinstance(pos, (list, tuple)) and len(pos) == 2 and all(type(p) is int for p in pos)
    inside = whole and 0 <= pos[0] < pos[1] <= len(sentence)
    expect(
        inside,
        f"{place}.pos",
        pos,
        f"null or [start, end) with 0 <= start < end <= {len(sentence)}, the sentence's length",
    )
    cut = sentence[pos[0] : pos[1]]
    expect(cut == name, f"{place}.pos", Shown(f"{list(pos)} = {cut!r}"), f"the place of {name!r}")


__getattr__ = moved_names(__name__)
