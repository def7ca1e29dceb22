"""Put the names of an answer back into their sentence. Shown in notebook 05.

In: a sentence and parsed items. Out: an IE record whose every `pos` cuts its name out, or is null.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from miniluotuo_utils.ie.schema import distinct, field_of

POLICIES = ("first", "every")
Place = tuple[int, int]


def spans(sentence: str, name: str) -> list[Place]:
    """Return every place where `name` stands in `sentence`, as [start, end) in characters.

    They go from left to right and do not overlap.

    >>> spans("南京市长江大桥在南京", "南京")
    [(0, 2), (8, 10)]
    """
    return [m.span() for m in re.finditer(re.escape(name), sentence)] if name else []


def locate(sentence: str, names: Sequence[str], policy: str = "first") -> list[list[Place]]:
    """Return the places of each name, `[]` for a name that the sentence does not hold.

    `first`: one place, the first that the same name has not taken yet, or its very first when all
    are taken, so a name listed twice means two mentions. `every`: all its places.

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
    """Return each name's mentions `{name, pos}`: one for each place, or one whose pos is null."""
    found = []
    for name, places in zip(names, locate(sentence, names, policy), strict=True):
        # A name that the sentence does not hold still counts, as a wrong answer.
        found.append([{"name": name, "pos": place and list(place)} for place in places or [None]])
    return found


def to_record(
    sentence: str, items: Sequence[Mapping], task: str, policy: str = "first", source: str = ""
) -> dict:
    """Turn parsed items into an IE record: located, in their order, exact duplicates removed.

    Entities, and triggers, share the places of their sentence; head and tail those of their
    relation; arguments those of their event. With policy `every` a relation stands once for each
    pair of places.

    >>> to_record("李白生于碎叶", [{"name": "李白", "type": "人物"}], "NER")["entities"]
    [{'name': '李白', 'type': '人物', 'pos': [0, 2]}]
    """
    field = field_of(task)
    located = {"NER": located_entities, "RE": located_relations, "EE": located_events}[task]
    found = distinct(located(sentence, items, policy))
    return {"sentence": sentence, "source": source, field: found}


def located_entities(sentence: str, items: Sequence[Mapping], policy: str) -> Iterator[dict]:
    """Yield entities with their places."""
    found = mentioned(sentence, [item["name"] for item in items], policy)
    for item, things in zip(items, found, strict=True):
        yield from ({"name": t["name"], "type": item["type"], "pos": t["pos"]} for t in things)


def located_relations(sentence: str, items: Sequence[Mapping], policy: str) -> Iterator[dict]:
    """Yield relations with the places of head and tail.

    An answer does not say of which type head and tail are, so their types are "".
    """
    for item in items:
        heads, tails = mentioned(sentence, [item["head"], item["tail"]], policy)
        for head, tail in product(heads, tails):
            yield {
                "head": {"name": head["name"], "type": "", "pos": head["pos"]},
                "type": item["type"],
                "tail": {"name": tail["name"], "type": "", "pos": tail["pos"]},
            }


def located_events(sentence: str, items: Sequence[Mapping], policy: str) -> Iterator[dict]:
    """Yield events with the places of their triggers and arguments."""
    triggers = mentioned(sentence, [item["trigger"] for item in items], policy)
    for item, found in zip(items, triggers, strict=True):
        names = [argument["name"] for argument in item["arguments"]]
        arguments = [
            {"name": thing["name"], "role": argument["role"], "pos": thing["pos"]}
            for argument, things in zip(
                item["arguments"], mentioned(sentence, names, policy), strict=True
            )
            for thing in things
        ]
        for thing in found:
            yield {
                "type": item["type"],
                "trigger": thing["name"],
                "pos": thing["pos"],
                "arguments": distinct(arguments),
            }
