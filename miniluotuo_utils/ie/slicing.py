"""Choose which types one prompt asks for: slices of the schema, and hard negatives.

In: the types of a schema, IE records. Out: lists of types, a table of hard negatives. Shown in
notebook 05b.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import permutations

from miniluotuo_utils.ie.schema import field_of, items_of, whole_records

SLICE_SIZES = {"NER": 6, "RE": 4, "EE": 4}  # IEPile's
HardNegatives = Mapping[str, Mapping[str, float]]  # type -> other type -> how easily it is taken


def sliced(types: Sequence[str], size: int | None) -> list[list[str]]:
    """Cut types into slices of `size`, in their order, each in exactly one; None: all in one slice.

    The remainder rule is IEPile's (`split_total_by_num` in zjunlp/IEPile): what is left over after
    the full slices is a slice of its own if it is at least half of `size`; if less, it joins the
    last.

    >>> [len(s) for s in sliced("abcdefgh", 6)], [len(s) for s in sliced("abcdefghi", 6)]
    ([8], [6, 3])
    """
    if size is not None and (type(size) is not int or size < 1):
        raise ValueError(
            f"slice_size is {size!r}; expected a number from 1, "
            "or None for the whole schema in one prompt"
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
    hard_negatives: HardNegatives,
    size: int,
    draw: random.Random,
) -> list[str]:
    """Return the types that a training record is asked for, in the order of `types`.

    They are its own types; hard negatives, those most easily taken for one of its own, as many as
    fill its slices of `size` (at least one); and others drawn at random: what hard negatives do not
    fill, and half a slice more. A record without items is asked for one slice at random.

    >>> asked_types("abcdefgh", {"a"}, {"a": {"c": 0.9, "h": 0.1}}, 2, random.Random(0))
    ['a', 'c', 'f']
    """
    known = [kind for kind in types if kind in own]
    room = size - len(known) % size
    foreign = [kind for kind in types if kind not in own]
    likeness: Counter = Counter()
    for mine in known:
        likeness |= Counter(hard_negatives.get(mine, {}))  # the greater of two values

    # Sorting keeps the schema's order among equals, so a row depends on nothing but its seed.
    alike = [kind for kind in foreign if likeness[kind]]
    hard = sorted(alike, key=lambda kind: -likeness[kind])[:room]
    rest = [kind for kind in foreign if kind not in hard]

    # A student that meets nothing but hard negatives never learns to pass over the easy ones.
    wanted = room - len(hard) + (size // 2 if known else 0)
    picked = {*known, *hard, *draw.sample(rest, min(len(rest), wanted))}
    return [kind for kind in types if kind in picked]


def hard_negatives(records: Iterable[Mapping], task: str) -> dict[str, dict[str, float]]:
    """Return for each type how easily it is taken for each other one, hardest first.

    The measure is what items of both types share in `records`. The cues of an item: NER its name
    and the name's last character (in Chinese the head of the word: 大学, 公司); RE the pair of
    names and the pair of entity types; EE the trigger and each of its characters. The raw value of
    type a towards b is the share of a's cues that b's items show too, each as often as both have
    it. Each type's values sum to 1; a type that shares nothing has an empty dict.

    The table belongs to the training records: built from a test split, it would tell the prompts
    what that split confuses.

    >>> names = [("南京", "地点"), ("南京", "机构"), ("李白", "人物")]
    >>> record = {"entities": [{"name": name, "type": kind} for name, kind in names]}
    >>> hard_negatives([record], "NER")
    {'地点': {'机构': 1.0}, '机构': {'地点': 1.0}, '人物': {}}
    """
    field_of(task)  # a misspelt task is refused even where there is no record
    cues: defaultdict[tuple, Counter] = defaultdict(Counter)  # cue -> type -> how often
    shared: dict[str, Counter] = {}
    for record in whole_records(records, task):
        for item in items_of(record, task):
            shared.setdefault(item["type"], Counter())
            for cue in cues_of(item):
                cues[cue][item["type"]] += 1

    # Cue by cue and not type by type: few cues have two types, so most cost nothing.
    for counts in cues.values():
        for kind, other in permutations(counts, 2):
            shared[kind][other] += min(counts[kind], counts[other])

    # As shares: a frequent type would otherwise look hard for its number alone.
    table: dict[str, dict[str, float]] = {}
    for kind, counts in shared.items():
        table[kind] = {other: n / counts.total() for other, n in counts.most_common()}
    return table


def cues_of(item: Mapping) -> Iterator[tuple]:
    """Yield what an item shows of its type."""
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


def shared_cues(
    records: Iterable[Mapping], task: str, kind: str, other: str
) -> list[tuple[str, int]]:
    """Return what items of two types share, as (cue, how often both show it), most frequent first.

    The cues are those of `hard_negatives`, as text: a whole name or trigger as it stands, the end
    of a name, or a character of a trigger, behind `…`.

    >>> names = [("泉州", "地点"), ("通州", "地点"), ("神州", "产品")]
    >>> record = {"entities": [{"name": name, "type": kind} for name, kind in names]}
    >>> shared_cues([record], "NER", "地点", "产品")
    [('…州', 1)]
    """
    counts: dict[str, Counter] = {kind: Counter(), other: Counter()}
    for record in whole_records(records, task):
        for item in items_of(record, task):
            if item["type"] in counts:
                counts[item["type"]].update(cues_of(item))
    both = counts[kind] & counts[other]
    return [(cue_text(*cue), n) for cue, n in both.most_common()]


def cue_text(kind: str, *words: str) -> str:
    """Return a cue as a reader sees it.

    >>> cue_text("ending", "州"), cue_text("names", "甲", "乙")
    ('…州', '甲、乙')
    """
    return f"…{words[0]}" if kind in ("ending", "character") else "、".join(words)
