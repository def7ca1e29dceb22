"""Read event data, and IEPile, which holds all three tasks: native records in, IE records out.

In: a unit of `native`. Out: records, whose source the caller adds. Shown in notebook 01.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from miniluotuo_utils.data.readers.native import Unit, attempt, json_objects
from miniluotuo_utils.data.readers.relations import relation
from miniluotuo_utils.data.readers.spans import named, record
from miniluotuo_utils.files import DataError, parsed


def fewfc(native: Mapping) -> Iterator[dict]:
    """Read FewFC: `content, events[{type, mentions[{word, span, role}]}]`, ends exclusive.

    The trigger is the mention with that role.
    """
    events = []
    for event in native["events"]:
        mentions = [
            {"name": m["word"], "role": m["role"], "pos": m["span"]} for m in event["mentions"]
        ]
        triggers = [mention for mention in mentions if mention["role"] == "trigger"]
        if len(triggers) != 1:
            raise DataError(
                f"event {event['type']}: found {len(triggers)} mentions with role trigger, "
                "expected 1"
            )
        [trigger] = triggers
        events.append(
            {
                "type": event["type"],
                "trigger": trigger["name"],
                "pos": trigger["pos"],
                "arguments": [mention for mention in mentions if mention is not trigger],
            }
        )
    yield record(native["content"], events=events) | {"id": native["id"]}


def duee(native: Mapping) -> Iterator[dict]:
    """Read DuEE 1.0, and DuEE-fin, which is the same for documents and without offsets.

    `text, event_list[{event_type, trigger, trigger_start_index,
    arguments[{role, argument, argument_start_index}]}]`. A name without an offset is looked for in
    the text. An argument's other mentions stay, as `alias`.
    """
    text, events = native["text"], []

    def place(name: str, start: int | None) -> list[int] | None:
        return named(text, name)["pos"] if start is None else [start, start + len(name)]

    for one in native.get("event_list", []):
        arguments = []
        for a in one["arguments"]:
            pos = place(a["argument"], a.get("argument_start_index"))
            alias = {"alias": a["alias"]} if a.get("alias") else {}
            arguments.append({"name": a["argument"], "role": a["role"], "pos": pos} | alias)
        events.append(
            {
                "type": one["event_type"],
                "trigger": one["trigger"],
                "pos": place(one["trigger"], one.get("trigger_start_index")),
                "arguments": arguments,
            }
        )
    yield record(text, events=events) | {"id": native["id"]}


def iepile_rows(path: Path) -> Iterator[Unit]:
    """Yield IEPile rows with the same input, which are slices of one sentence's schema, together.

    The place is that of the first.
    """

    def sentence(unit: Unit) -> object:
        value = unit[1]
        return id(value) if isinstance(value, DataError) else (value["input"], value["instruction"])

    opened = ((place, attempt(iepile_row, native)) for place, native in json_objects(path))
    for _, group in groupby(opened, sentence):
        places, values = zip(*group, strict=True)
        yield places[0], values[0] if isinstance(values[0], DataError) else list(values)


def iepile_row(native: Mapping) -> dict:
    """Return a row with its JSON texts opened: `{instruction, schema, input, answer}`."""
    asked = parsed(native["instruction"])
    answer = parsed(native["output"] if "output" in native else native["label"])
    return {field: asked[field] for field in ("instruction", "schema", "input")} | {
        "answer": answer
    }


def iepile(native: Sequence[Mapping]) -> Iterator[dict]:
    """Read IEPile: the slices of one sentence, back to one record.

    Training rows answer by type, test rows with one list for all slices.
    """
    text, asked = native[0]["input"], native[0]["instruction"]
    tasks = [task for word, task in IEPILE.items() if word in asked]
    if not tasks:
        raise DataError(f"instruction {asked[:40]!r}, expected one about 实体, 关系 or 事件")
    field, items = tasks[0]
    # In a test row every slice repeats the whole answer.
    found: list[dict] = []
    for one in native:
        found += [item for item in items(text, one["answer"]) if item not in found]
    yield record(text, **{field: found})


def iepile_entities(text: str, answer: dict | list) -> list[dict]:
    """Return the entities of `{type: [name, …]}`, or of `[{"entity", "entity_type"}]`."""
    if isinstance(answer, list):
        return [named(text, one["entity"], one["entity_type"]) for one in answer]
    return [named(text, name, kind) for kind, names in answer.items() for name in names]


def iepile_relations(text: str, answer: dict | list) -> list[dict]:
    """Return the relations of `{relation: [{"subject", "object"}]}`, or of a list.

    Some pairs have `head` and `tail` instead, as the list's `{"head", "relation", "tail"}`.
    """
    if isinstance(answer, list):
        return [relation(text, one["head"], one["relation"], one["tail"]) for one in answer]
    return [
        relation(text, p.get("subject", p.get("head")), kind, p.get("object", p.get("tail")))
        for kind, pairs in answer.items()
        for p in pairs
    ]


def iepile_events(text: str, answer: dict | list) -> list[dict]:
    """Return the events of `{type: [{"trigger", "arguments": {role: name, names or "NAN"}}]}`.

    Or of `[{"event_trigger", "event_type", "arguments": [{"argument", "role"}]}]`.
    """
    if isinstance(answer, list):
        return [
            event(
                text,
                one["event_type"],
                one["event_trigger"],
                map(itemgetter("argument", "role"), one["arguments"]),
            )
            for one in answer
        ]
    found = []
    for kind, one in ((kind, one) for kind, events in answer.items() for one in events):
        # Some events are only a trigger.
        trigger, pairs = (
            (one, {}) if isinstance(one, str) else (one["trigger"], one.get("arguments"))
        )
        found.append(event(text, kind, trigger, roles(pairs or {})))
    return found


def event(text: str, kind: str, trigger: str, arguments: Iterable[tuple[str, str]]) -> dict:
    """Return an event of its type, its trigger and the (name, role) of its arguments."""
    return {
        "type": kind,
        "trigger": trigger,
        "pos": named(text, trigger)["pos"],
        "arguments": [
            {"name": name, "role": role, "pos": named(text, name)["pos"]}
            for name, role in arguments
        ],
    }


def roles(arguments: Mapping) -> Iterator[tuple[str, str]]:
    """Yield (name, role) of IEPile's `{role: name, names, or "NAN" where the event has none}`.

    >>> list(roles({"时间": "5月份", "裁员方": "NAN", "地点": ["北京", "上海"]}))
    [('5月份', '时间'), ('北京', '地点'), ('上海', '地点')]
    """
    for role, names in arguments.items():
        for name in names if isinstance(names, list) else [names]:
            if name != "NAN":
                yield name, role


# A word of the instruction -> the field of a record and what reads an answer into it.
IEPILE = {
    "实体": ("entities", iepile_entities),
    "关系": ("relations", iepile_relations),
    "事件": ("events", iepile_events),
}
