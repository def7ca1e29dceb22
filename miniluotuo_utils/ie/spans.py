"""Names of an answer put back into their sentence. Shown in notebook 05.

In: a sentence and parsed items. Out: an IE record whose every `pos` cuts its name out, or is null.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from miniluotuo_utils.ie.schema import distinct, field_of

POLICIES = ("first", "every")
Place = tuple[int, int]


def spans(sentence: str, name: str) -> list[Place]:
    """Every place `name` stands in `sentence`, as [start, end) in characters, left to right, not overlapping itself.

    >>> spans("南京市长江大桥在南京", "南京")
    [(0, 2), (8, 10)]
    """
    return [m.span() for m in re.finditer(re.escape(name), sentence)] if name else []


def locate(sentence: str, names: Sequence[str], policy: str = "first") -> list[list[Place]]:
    """The places of each name, `[]` for a name that the sentence does not hold.

    `first`: one place, the first that the same name has not taken yet, or its very first when all are taken, so a
    name listed twice means two mentions. `every`: all its places.

    >>> locate("南京市长江大桥在南京", ["南京", "长江", "南京", "南京", "上海"])
    [[(0, 2)], [(3, 5)], [(8, 10)], [(0, 2)], []]
    >>> locate("南京市长江大桥在南京", ["南京"], "every")
    [[(0, 2), (8, 10)]]
    """
    if policy not in POLICIES:
        raise ValueError(f"policy is {policy!r}; expected one of {', '.join(POLICIES)}")
    if policy == "every":
        return [spans(sentence, name) for name in names]
    free = {name: spans(sentence, name) for name in names}
    first = {name: places[:1] for name, places in free.items()}
    return [[free[name].pop(0)] if free[name] else first[name] for name in names]


def mentioned(sentence: str, names: Sequence[str], policy: str) -> list[list[dict]]:
    """`locate` as mentions: for each name its `{name, pos}`, one with pos null where the sentence does not hold it."""
    located = zip(names, locate(sentence, names, policy), strict=True)
    return [
        [{"name": name, "pos": list(p) if p else None} for p in places or [None]]
        for name, places in located
    ]


def to_record(
    sentence: str, items: Sequence[Mapping], task: str, policy: str = "first", source: str = ""
) -> dict:
    """Parsed items as an IE record: located, in their order, exact duplicates removed.

    Entities, and triggers, share the places of their sentence; head and tail those of their relation; arguments
    those of their event. With policy `every` a relation stands once for each pair of places.

    >>> to_record("李白生于碎叶", [{"name": "李白", "type": "人物"}], "NER")["entities"]
    [{'name': '李白', 'type': '人物', 'pos': [0, 2]}]
    """
    field = field_of(task)
    build = {"entities": entities, "relations": relations, "events": events}[field]
    return {"sentence": sentence, "source": source, field: distinct(build(sentence, items, policy))}


def entities(sentence: str, items: Sequence[Mapping], policy: str) -> Iterable[dict]:
    """Entities with their places."""
    found = mentioned(sentence, [item["name"] for item in items], policy)
    for item, things in zip(items, found, strict=True):
        yield from ({"name": t["name"], "type": item["type"], "pos": t["pos"]} for t in things)


def relations(sentence: str, items: Sequence[Mapping], policy: str) -> Iterable[dict]:
    """Relations with the places of head and tail; their entity types are not in an answer, so they are ""."""
    for item in items:
        heads, tails = mentioned(sentence, [item["head"], item["tail"]], policy)
        for head, tail in product(heads, tails):
            yield {"head": typed(head), "type": item["type"], "tail": typed(tail)}


def typed(thing: Mapping) -> dict:
    """A mention of unknown type."""
    return {"name": thing["name"], "type": "", "pos": thing["pos"]}


def events(sentence: str, items: Sequence[Mapping], policy: str) -> Iterable[dict]:
    """Events with the places of their triggers and arguments."""
    triggers = mentioned(sentence, [item["trigger"] for item in items], policy)
    for item, found in zip(items, triggers, strict=True):
        places = mentioned(sentence, [a["name"] for a in item["arguments"]], policy)
        arguments = [
            {"name": t["name"], "role": a["role"], "pos": t["pos"]}
            for a, things in zip(item["arguments"], places, strict=True)
            for t in things
        ]
        for t in found:
            yield {
                "type": item["type"],
                "trigger": t["name"],
                "pos": t["pos"],
                "arguments": distinct(arguments),
            }
