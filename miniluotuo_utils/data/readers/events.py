"""Readers of event data, and of IEPile, which holds all three tasks: one native record in, one IE record out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from miniluotuo_utils.data.readers.native import Unit, attempt, json_objects, parsed
from miniluotuo_utils.data.readers.relations import relation
from miniluotuo_utils.data.readers.spans import named, record
from miniluotuo_utils.files import DataError


def fewfc(native: Mapping) -> Iterator[dict]:
    """FewFC: `content, events[{type, mentions[{word, span, role}]}]`, end exclusive; the trigger is the mention with that role."""
    events = []
    for event in native["events"]:
        triggers = [m for m in event["mentions"] if m["role"] == "trigger"]
        if len(triggers) != 1:
            raise DataError(
                f"event {event['type']}: found {len(triggers)} mentions with role trigger, expected 1"
            )
        arguments = [
            {"name": m["word"], "role": m["role"], "pos": m["span"]}
            for m in event["mentions"]
            if m["role"] != "trigger"
        ]
        events.append(
            {
                "type": event["type"],
                "trigger": triggers[0]["word"],
                "pos": triggers[0]["span"],
                "arguments": arguments,
            }
        )
    yield record(native["content"], events=events) | {"id": native["id"]}


def duee(native: Mapping) -> Iterator[dict]:
    """DuEE 1.0: `text, event_list[{event_type, trigger, trigger_start_index, arguments[{role, argument, argument_start_index}]}]`.

    DuEE-fin is the same for documents and has no offsets: its names are looked for in the text. An argument's other mentions stay, as
    `alias`.
    """
    text = native["text"]

    def place(name: str, start: int | None) -> list[int] | None:
        return named(text, name)["pos"] if start is None else [start, start + len(name)]

    events = [
        {
            "type": e["event_type"],
            "trigger": e["trigger"],
            "pos": place(e["trigger"], e.get("trigger_start_index")),
            "arguments": [
                {
                    "name": a["argument"],
                    "role": a["role"],
                    "pos": place(a["argument"], a.get("argument_start_index")),
                    **({"alias": a["alias"]} if a.get("alias") else {}),
                }
                for a in e["arguments"]
            ],
        }
        for e in native.get("event_list", [])
    ]
    yield record(text, events=events) | {"id": native["id"]}


def iepile_rows(path: Path) -> Iterator[Unit]:
    """IEPile rows with the same input, which are slices of one sentence's schema, together."""

    def opened(unit: Unit) -> Unit:
        place, native = unit
        return place, native if isinstance(native, DataError) else attempt(iepile_row, native)

    def sentence(unit: Unit) -> object:
        return (
            id(unit[1])
            if isinstance(unit[1], DataError)
            else (unit[1]["input"], unit[1]["instruction"])
        )

    for _, group in groupby(map(opened, json_objects(path)), sentence):
        units = list(group)
        yield (
            units[0][0],
            units[0][1] if isinstance(units[0][1], DataError) else [value for _, value in units],
        )


def iepile_row(native: Mapping) -> dict:
    """A row's JSON strings opened: `{instruction, schema, input, answer}`."""
    asked = parsed(native["instruction"])
    return {field: asked[field] for field in ("instruction", "schema", "input")} | {
        "answer": parsed(native["output"] if "output" in native else native["label"])
    }


def iepile(native: Sequence[Mapping]) -> Iterator[dict]:
    """IEPile: the slices of one sentence back to one record. Training rows answer by type, test rows with one list for all slices."""
    text, asked = native[0]["input"], native[0]["instruction"]
    task = next(
        (
            task
            for sign, task in (("实体", "entities"), ("关系", "relations"), ("事件", "events"))
            if sign in asked
        ),
        None,
    )
    if task is None:
        raise DataError(f"instruction {asked[:40]!r}, expected one about 实体, 关系 or 事件")
    opened = {"entities": iepile_entities, "relations": iepile_relations, "events": iepile_events}[
        task
    ]
    found: list[dict] = []
    for one in native:
        found += [item for item in opened(text, one["answer"]) if item not in found]
    yield record(text, **{task: found})


def iepile_entities(text: str, answer: dict | list) -> list[dict]:
    """`{type: [name, …]}`, or `[{"entity", "entity_type"}]`."""
    pairs = (
        [(n, t) for t, names in answer.items() for n in names]
        if isinstance(answer, dict)
        else [(e["entity"], e["entity_type"]) for e in answer]
    )
    return [named(text, name, kind) for name, kind in pairs]


def iepile_relations(text: str, answer: dict | list) -> list[dict]:
    """`{relation: [{"subject", "object"}]}` or with `head` and `tail` in it, or `[{"head", "relation", "tail"}]`."""
    if isinstance(answer, dict):
        pairs = [(kind, pair) for kind, pairs in answer.items() for pair in pairs]
        return [
            relation(text, p.get("subject", p.get("head")), kind, p.get("object", p.get("tail")))
            for kind, p in pairs
        ]
    return [relation(text, r["head"], r["relation"], r["tail"]) for r in answer]


def iepile_events(text: str, answer: dict | list) -> list[dict]:
    """`{type: [{"trigger", "arguments": {role: name, names or "NAN"}}]}`, or `[{"event_trigger", "event_type", "arguments": […]}]`."""
    if isinstance(answer, list):
        found = [
            (
                e["event_type"],
                e["event_trigger"],
                [(a["argument"], a["role"]) for a in e["arguments"]],
            )
            for e in answer
        ]
    else:
        found = [
            (
                kind,
                e if isinstance(e, str) else e["trigger"],
                [] if isinstance(e, str) else list(roles(e.get("arguments", {}))),
            )
            for kind, events in answer.items()
            for e in events
        ]
    return [
        {
            "type": kind,
            "trigger": trigger,
            "pos": named(text, trigger)["pos"],
            "arguments": [
                {"name": n, "role": r, "pos": named(text, n)["pos"]} for n, r in arguments
            ],
        }
        for kind, trigger, arguments in found
    ]


def roles(arguments: Mapping) -> Iterator[tuple[str, str]]:
    """(name, role) of IEPile's `{role: name, names, or "NAN" where the event has none}`.

    >>> list(roles({"时间": "5月份", "裁员方": "NAN", "地点": ["北京", "上海"]}))
    [('5月份', '时间'), ('北京', '地点'), ('上海', '地点')]
    """
    for role, names in arguments.items():
        for name in names if isinstance(names, list) else [names]:
            if name != "NAN":
                yield name, role
