"""Put the names of an answer back into their sentence. Shown in notebook 05.

In: a sentence and parsed items. Out: an IE record whose every `pos` cuts its name out, or is null.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache

from miniluotuo_utils.choices import check_choice
from miniluotuo_utils.files import expect
from miniluotuo_utils.ie.names import SURROGATE
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


def places(sentence: str, name: str) -> list[Place]:
    """Return the places where `name` stands whole, as [start, end), left to right.

    A place inside of a longer number is none, and one inside of a longer word of Latin letters only
    where no other place is: `4/12` does not stand in 14/12, nor `Ann` in Anna beside Ann.

    >>> places("14/12和4/12", "4/12"), places("Anna和Ann", "Ann"), places("vsnec队", "nec队")
    ([(6, 10)], [(5, 8)], [(2, 6)])
    """
    found = spans(sentence, name)
    if not found or not (name[0].isascii() or name[-1].isascii()):
        return found
    parts = [is_part(sentence, *place) for place in found]
    whole = [place for place, part in zip(found, parts, strict=True) if not part]
    return whole or [place for place, part in zip(found, parts, strict=True) if part != "number"]


def is_part(sentence: str, start: int, end: int) -> str:
    """Return whether a place is part of a longer "number" or "word", "" if of neither.

    >>> is_part("14/12", 1, 5), is_part("Anna", 0, 3), is_part("13年", 0, 2)
    ('number', 'word', '')
    """
    before, first = sentence[max(0, start - 2) : start], sentence[start]
    last, after = sentence[end - 1], sentence[end : end + 2]
    edges = [(before[-1:], first), (last, after[:1])]
    if any(kind_of(a) == kind_of(b) == "number" for a, b in edges):
        return "number"
    # 3.14 and 1,000 are one number each.
    left = re.fullmatch(r"[0-9][.,]", before) and kind_of(first) == "number"
    right = re.fullmatch(r"[.,][0-9]", after) and kind_of(last) == "number"
    if left or right:
        return "number"
    return "word" if any(kind_of(a) == kind_of(b) == "word" for a, b in edges) else ""


def kind_of(character: str) -> str:
    """Return "number" for a digit, "word" for a Latin letter, "" for all else."""
    if not character.isascii():
        return ""
    return "number" if character.isdigit() else "word" * character.isalpha()


def locate(sentence: str, names: Sequence[str], policy: str = "first") -> list[list[Place]]:
    """Return the places of each name, `[]` for a name that the sentence does not hold.

    `first`: one place, the first that the same name has not taken yet, or its very first when all
    are taken, so a name listed twice means two mentions. `every`: all its places. See `places` for
    what is one. A name that stands nowhere as it is spelt is looked up again without differences of
    width, space, case and script (`alike`).

    >>> locate("南京市长江大桥在南京", ["南京", "长江", "南京", "南京", "上海"])
    [[(0, 2)], [(3, 5)], [(8, 10)], [(0, 2)], []]
    >>> locate("南京市长江大桥在南京", ["南京"], "every")
    [[(0, 2), (8, 10)]]
    >>> locate("新款小米14Ultra", ["小米14 Ultra"])
    [[(2, 11)]]
    """
    check_choice("policy", policy, POLICIES)
    listed = isinstance(names, Collection) and not isinstance(names, str)
    expect(isinstance(sentence, str), "sentence", sentence, "a text")
    texts = listed and all(isinstance(name, str) for name in names)
    expect(texts, "names", names, "a list of texts")
    found = {name: places(sentence, name) or alike(sentence, name) for name in set(names)}
    if policy == "every":
        return [list(found[name]) for name in names]
    free = {name: list(all_places) for name, all_places in found.items()}
    first = {name: all_places[:1] for name, all_places in found.items()}
    return [[free[name].pop(0)] if free[name] else first[name] for name in names]


def alike(sentence: str, name: str) -> list[Place]:
    """Return the places of a name that the sentence spells in another width, spacing or script.

    >>> alike("ABC公司在臺灣", "ＡＢＣ 公司"), alike("ABC公司在臺灣", "台湾")
    ([(0, 5)], [(6, 8)])
    """
    wanted, _ = same(name)
    if not wanted or not any(char.isalnum() for char in wanted):
        return []
    text, origins = same(sentence)
    return [
        (origins[start], origins[end - 1] + 1)
        for start, end in places(text, wanted)
        if start == 0 or origins[start] != origins[start - 1]
    ]


@cache
def simplified() -> Callable[[str], str]:
    """Return OpenCC's conversion of one character, none where it is not installed."""
    try:
        from opencc import OpenCC
    except ImportError:
        return str
    return cache(OpenCC("t2s").convert)


def same(text: str) -> tuple[str, list[int]]:
    """Return a text without width, space, case and script, and where each character came from.

    >>> same("ＡＢ 臺")
    ('ab台', [0, 1, 3])
    """
    found: list[str] = []
    origins: list[int] = []
    for number, char in enumerate(text):
        plain = unicodedata.normalize("NFKC", char).casefold()
        # OpenCC raises for half of a surrogate pair, which has no other script anyway.
        if ord(char) < 0x2E80 or SURROGATE.match(char):
            plain = "".join(plain.split())
        else:
            plain = simplified()(plain).strip()
        found.append(plain)
        origins += [number] * len(plain)
    return "".join(found), origins


def mentioned(sentence: str, names: Sequence[str], policy: str) -> list[list[dict]]:
    """Return each name's mentions `{name, pos}`: one for each place, or one whose pos is null."""
    found = []
    for name, standing in zip(names, locate(sentence, names, policy), strict=True):
        # A name that the sentence does not hold still counts, as a wrong answer; one that it spells
        # another way is named as it stands there.
        found.append(
            [
                {
                    "name": sentence[place[0] : place[1]] if place else name,
                    "pos": place and [*place],
                }
                for place in standing or [None]
            ]
        )
    return found


def to_record(
    sentence: str, items: Sequence[Mapping], task: str, policy: str = "first", source: str = ""
) -> dict:
    """Turn parsed items into an IE record: located, in their order, exact duplicates removed.

    Entities, and triggers, share the places of their sentence; head and tail those of their
    relation; arguments those of their event. With policy `every` a relation stands once for each
    place of head and tail, beside the nearest place of the other, and an argument beside the
    nearest trigger: all pairs of places would be their product.

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
        for head, tail in nearest(*mentioned(sentence, [item["head"], item["tail"]], policy)):
            yield {
                "head": {"name": head["name"], "type": "", "pos": head["pos"]},
                "type": item["type"],
                "tail": {"name": tail["name"], "type": "", "pos": tail["pos"]},
            }


def nearest(heads: Sequence[dict], tails: Sequence[dict]) -> list[tuple[dict, dict]]:
    """Return each head with its nearest tail, and each tail with its nearest head, once.

    >>> a, b, c = ({"name": "a", "pos": [at, at + 1]} for at in (0, 10, 20))
    >>> [(x["pos"][0], y["pos"][0]) for x, y in nearest([a, c], [b])]
    [(0, 10), (20, 10)]
    """
    return [(heads[a], tails[b]) for a, b in sorted(beside(heads, tails))]


def closest(thing: dict, others: Sequence[dict]) -> int:
    """Return the number of the nearest of several placed things, which stand in order."""
    start = thing["pos"][0]
    at = bisect_left(others, start, key=lambda other: other["pos"][0])
    near = range(max(0, at - 1), min(len(others), at + 1))
    return min(near, key=lambda number: abs(others[number]["pos"][0] - start))


def located_events(sentence: str, items: Sequence[Mapping], policy: str) -> Iterator[dict]:
    """Yield events with the places of their triggers and arguments."""
    triggers = mentioned(sentence, [item["trigger"] for item in items], policy)
    for item, found in zip(items, triggers, strict=True):
        names = [argument["name"] for argument in item["arguments"]]
        arguments: list[list[dict]] = [[] for _ in found]
        for argument, things in zip(
            item["arguments"], mentioned(sentence, names, policy), strict=True
        ):
            for number, thing in sorted(beside(found, things)):
                told = {"name": things[thing]["name"], "role": argument["role"]}
                arguments[number].append(told | {"pos": things[thing]["pos"]})
        for thing, own in zip(found, arguments, strict=True):
            yield {
                "type": item["type"],
                "trigger": thing["name"],
                "pos": thing["pos"],
                "arguments": distinct(own),
            }


def beside(triggers: Sequence[dict], things: Sequence[dict]) -> set[tuple[int, int]]:
    """Return numbers of (trigger, thing): each with the nearest of the other side."""
    if len(triggers) == 1 or len(things) == 1:
        return {(a, b) for a in range(len(triggers)) for b in range(len(things))}
    pairs = {(number, closest(one, things)) for number, one in enumerate(triggers)}
    return pairs | {(closest(one, triggers), number) for number, one in enumerate(things)}
