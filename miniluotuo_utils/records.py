"""Check the two record shapes, instruction rows and IE records, and walk over what they name.

In: dicts. Out: the same dicts, proven well-formed, or a `DataError` that says field, what was
found, what was expected. Shown in notebook 01.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from miniluotuo_utils.files import Shown, expect, unexpected
from miniluotuo_utils.moved import names as moved_names

# task -> the field of an IE record that holds it
TASKS = {"NER": "entities", "RE": "relations", "EE": "events"}
# silver: a model labelled it, so some of it is wrong and some is missing
ANNOTATIONS = ("exhaustive", "one-pair", "silver")
TEXTS = ("instruction", "input", "output", "source")
# `dict` first: to ask an abstract class alone takes six times as long.
OBJECT = (dict, Mapping)


def check_row(row: Mapping) -> dict:
    """Return an instruction row, checked: four texts, and optionally a `history` of turns.

    >>> row = {"instruction": "问好", "input": "", "output": "你好。", "source": "自写"}
    >>> check_row(row) == row
    True
    >>> check_row(row | {"output": None})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    miniluotuo_utils.files.DataError: field output: found None, expected a string ("" where ...
    """
    expect(isinstance(row, OBJECT), "row", row, "a JSON object")
    # One question a field, so that the message can name the first field that is wrong.
    for field in TEXTS:
        if not isinstance(row.get(field), str):
            raise unexpected(field, row.get(field), 'a string ("" where there is none)')
    expect(
        (row["instruction"] + row["input"]).strip(),
        "instruction",
        row["instruction"],
        "a text that is not empty, here or in input",
    )

    # Earlier turns of a dialogue; a table of several sources gives every row the column.
    history = row.get("history") or []
    expect(isinstance(history, list), "history", history, "a list of [user, assistant] pairs")
    for number, pair in enumerate(history):
        two = isinstance(pair, list | tuple) and [type(text) for text in pair] == [str, str]
        expect(two, f"history[{number}]", pair, "a [user, assistant] pair of strings")
        spoken = all(map(str.strip, pair))
        expect(spoken, f"history[{number}]", pair, "two turns in which something is said")
        new = not number or list(pair) != list(history[number - 1])
        expect(new, f"history[{number}]", pair, "another turn than the one before; it stands twice")
    return dict(row)


def check_record(record: Mapping) -> dict:
    """Return an IE record, checked: one task's field, and every `pos` cuts its own name out.

    >>> entity = {"name": "李白", "type": "人物", "pos": [0, 3]}
    >>> check_record({"sentence": "李白生于碎叶", "entities": [entity]})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    miniluotuo_utils.files.DataError: field entities[0].pos: found [0, 3] = '李白生', expected ...
    """
    expect(isinstance(record, OBJECT), "record", record, "a JSON object")
    sentence, source = record.get("sentence"), record.get("source", "")
    expect(isinstance(sentence, str) and sentence, "sentence", sentence, "a text")
    expect(isinstance(source, str), "source", source, "a string")
    annotation = record.get("annotation", "exhaustive")
    expect(annotation in ANNOTATIONS, "annotation", annotation, "exhaustive, one-pair or silver")

    fields = [field for field in TASKS.values() if field in record]
    expect(len(fields) == 1, "record", fields, "exactly one of entities, relations, events")
    expect(isinstance(record[fields[0]], list), fields[0], record[fields[0]], "a list")
    for thing, place in mentions(record):
        check_mention(sentence, thing, place)
    return dict(record)


def mentions(record: Mapping) -> Iterator[tuple[Mapping, str]]:
    """Yield every named thing of a record, with its place in the record as text.

    Those are entities, heads, tails, slots, triggers (as `name` and `pos`) and arguments. A part
    without the shape that leads to them is a `DataError`; the things themselves are not checked.

    >>> record = {"sentence": "他到了", "events": [{"type": "到", "trigger": "到", "pos": [1, 2]}]}
    >>> list(mentions(record))
    [({'name': '到', 'pos': [1, 2]}, 'events[0].trigger')]
    """
    yield from items(record, "entities", "type", "an object with name, type, pos")

    for relation, place in items(record, "relations", "type", "an object with head, type, tail"):
        slots = relation.get("slots") or {}
        expect(isinstance(slots, OBJECT), f"{place}.slots", slots, "an object")
        yield relation.get("head"), f"{place}.head"
        yield relation.get("tail"), f"{place}.tail"
        # A table gives every relation every slot of its column: the ones it lacks are null.
        for slot in [slot for slot, thing in slots.items() if thing is not None]:
            yield slots[slot], f"{place}.slots.{slot}"

    # A trigger is two fields of its event: it is handed out in the shape of every other thing.
    for event, place in items(
        record, "events", "type", "an object with type, trigger, pos, arguments"
    ):
        yield {"name": event.get("trigger"), "pos": event.get("pos")}, f"{place}.trigger"
        for argument, inside in items(
            event, "arguments", "role", "an object with name, role, pos", f"{place}."
        ):
            alias = argument.get("alias") or []
            texts = isinstance(alias, list) and all(isinstance(name, str) for name in alias)
            expect(texts, f"{inside}.alias", alias, "a list of texts")
            yield argument, inside


def items(
    holder: Mapping, field: str, label: str, shape: str, at: str = ""
) -> Iterator[tuple[Mapping, str]]:
    """Yield the objects in a list field with their places, each with a text as its label."""
    found = holder.get(field) or []
    expect(isinstance(found, list), f"{at}{field}", found, "a list")
    for number, item in enumerate(found):
        place = f"{at}{field}[{number}]"
        expect(isinstance(item, OBJECT), place, item, shape)
        if not isinstance(item.get(label), str):
            raise unexpected(f"{place}.{label}", item.get(label), "a string")
        yield item, place


def map_mentions(
    record: Mapping, function: Callable[[dict], dict], names: Mapping[str, str] | None = None
) -> dict:
    """Return a copy of a record in which every named thing is `function(thing)`.

    The things are those of `mentions`: a trigger too comes as `name` and `pos`. `names` gives types
    and roles, of things, relations and events, another name; those that it lacks stay. The record
    must be well-formed.

    >>> city = {"name": "大理", "type": "LOC", "pos": [1, 3]}
    >>> record = {"sentence": "去大理", "entities": [city]}
    >>> map_mentions(record, lambda thing: thing | {"pos": None}, {"LOC": "地点"})["entities"]
    [{'name': '大理', 'type': '地点', 'pos': None}]
    """
    names = names or {}

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, list):
            return [walk(part) for part in value]
        if not isinstance(value, OBJECT):
            return names.get(value, value) if key in ("type", "role") else value
        new = {name: walk(part, name) for name, part in value.items()}
        # Slots are keyed by names of their own, so a key alone does not make a thing.
        if isinstance(new.get("name"), str):
            return function(new)
        if isinstance(new.get("trigger"), str):
            trigger = function({"name": new["trigger"], "pos": new.get("pos")})
            new |= {"trigger": trigger["name"], "pos": trigger["pos"]}
        return new

    # Only the task's field is walked: an id or a source may look like a type but is not one.
    fields = TASKS.values()
    return {key: walk(value) if key in fields else value for key, value in record.items()}


def check_mention(sentence: str, thing: object, place: str) -> None:
    """Raise `DataError` unless a thing has a `name`, and a `pos` that is null or cuts it out."""
    # Every mention of every file comes through here: words are made for a fault only.
    if not isinstance(thing, OBJECT):
        raise unexpected(place, thing, "an object with name and pos")
    name, pos = thing.get("name"), thing.get("pos")
    if not isinstance(name, str) or not name:
        raise unexpected(f"{place}.name", name, "a text that is not empty")
    if pos is None:
        return
    pair = isinstance(pos, list | tuple) and [*map(type, pos)] == [int, int]
    if not pair or not 0 <= pos[0] < pos[1] <= len(sentence):
        raise unexpected(
            f"{place}.pos",
            pos,
            f"null or [start, end) with 0 <= start < end <= {len(sentence)}, the sentence's length",
        )
    cut = sentence[pos[0] : pos[1]]
    if cut != name:
        expected = f"the place of {name!r}（位置上的字应当就是名字）"
        raise unexpected(f"{place}.pos", Shown(f"{list(pos)} = {cut!r}"), expected)


__getattr__ = moved_names(__name__)
