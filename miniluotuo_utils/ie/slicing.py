"""Which types one prompt asks for: slices of the schema, and the types that are hard to tell apart. Shown in notebook 05.

In: the types of a schema, IE records. Out: lists of types, a confusability table.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from miniluotuo_utils.files import DataError
from miniluotuo_utils.records import TASKS

SLICE_SIZES = {"NER": 6, "RE": 4, "EE": 4}  # IEPile's
Confusable = Mapping[str, Mapping[str, float]]


def sliced(types: Sequence[str], size: int | None) -> list[list[str]]:
    """Types in slices of `size`, in their order, each in exactly one; None: all in one.

    The remainder rule is IEPile's (`split_total_by_num` in zjunlp/IEPile): what is left over after the full slices
    becomes a slice of its own if it is at least half of `size`, and joins the last full slice if it is less.

    >>> [len(s) for s in sliced("abcdefgh", 6)], [len(s) for s in sliced("abcdefghi", 6)]
    ([8], [6, 3])
    """
    if size is not None and (type(size) is not int or size < 1):
        raise ValueError(
            f"slice_size is {size!r}; expected a number from 1, or None for the whole schema in one prompt"
        )
    if size is None or len(types) <= size:
        return [list(types)]
    full = len(types) // size * size
    slices = [list(types[at : at + size]) for at in range(0, full, size)]
    rest = list(types[full:])
    if len(rest) >= max(1, size // 2):
        return [*slices, rest]
    return [*slices[:-1], slices[-1] + rest]


def asked_types(
    types: Sequence[str],
    own: Collection[str],
    confusable: Confusable,
    size: int,
    draw: random.Random,
) -> list[str]:
    """The types that a training record is asked for, in the order of `types`: its own, its hardest negatives, a few others.

    Hard negatives: those most confusable with any of its own, as many as fill its slices of `size` (at least one).
    Others, drawn at random: what hard negatives do not fill, and half a slice more. A record without items: one slice at random.

    >>> asked_types("abcdefgh", {"a"}, {"a": {"c": 0.9, "h": 0.1}}, 2, random.Random(0))
    ['a', 'c', 'f']
    """
    known = [kind for kind in types if kind in own]
    room = size - len(known) % size
    score = {
        kind: max((confusable.get(mine, {}).get(kind, 0.0) for mine in known), default=0.0)
        for kind in types
        if kind not in own
    }
    hard = sorted(
        (kind for kind, value in score.items() if value > 0), key=lambda kind: -score[kind]
    )[:room]
    rest = [kind for kind in score if kind not in hard]
    others = draw.sample(rest, min(len(rest), room - len(hard) + (size // 2 if known else 0)))
    picked = {*known, *hard, *others}
    return [kind for kind in types if kind in picked]


def confusability(records: Iterable[Mapping], task: str) -> dict[str, dict[str, float]]:
    """How easily each type is taken for each other one, by what their items share in `records`; each type's values sum to 1.

    The cues of an item: NER its name and the name's last character (in Chinese the head of the word: 大学, 公司); RE the
    pair of names and the pair of entity types; EE the trigger and each of its characters. The raw value of type a
    towards b is the share of a's cues that b's items show too, each as often as both have it; a type that shares
    nothing has an empty dict. Hardest first. The table belongs to the training records: built from a test
    split, it would tell the prompts what that split confuses.

    >>> rows = [{"entities": [{"name": "南京", "type": "地点"}, {"name": "南京", "type": "机构"}, {"name": "李白", "type": "人物"}]}]
    >>> confusability(rows, "NER")
    {'地点': {'机构': 1.0}, '机构': {'地点': 1.0}, '人物': {}}
    """
    if task not in TASKS:
        raise ValueError(f"task is {task!r}; expected one of {', '.join(TASKS)}")
    cues: defaultdict[tuple, Counter] = defaultdict(Counter)  # cue -> type -> how often
    totals: Counter = Counter()
    for record in records:
        if TASKS[task] not in record:
            raise DataError(
                f"field {TASKS[task]}: found none, expected the {task} items of {record.get('sentence')!r}"
            )
        for item in record[TASKS[task]]:
            for cue in cues_of(item):
                cues[cue][item["type"]] += 1
                totals[item["type"]] += 1
    shared: dict[str, Counter] = {kind: Counter() for kind in totals}
    for counts in cues.values():
        for one in counts:
            shared[one].update(
                {other: min(counts[one], counts[other]) for other in counts if other != one}
            )
    return {
        kind: {other: n / sum(counts.values()) for other, n in counts.most_common()}
        for kind, counts in shared.items()
    }


def cues_of(item: Mapping) -> Iterator[tuple]:
    """What an item shows of its type."""
    if "head" in item:
        head, tail = item["head"], item["tail"]
        yield "names", head["name"], tail["name"]
        if head.get("type") and tail.get("type"):
            yield "types", head["type"], tail["type"]
    elif "trigger" in item:
        yield "trigger", item["trigger"]
        yield from (("character", character) for character in dict.fromkeys(item["trigger"]))
    else:
        yield "name", item["name"]
        yield "ending", item["name"][-1]
