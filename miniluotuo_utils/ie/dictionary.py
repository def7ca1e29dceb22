"""What stands below and above a student: a look-up of what the training records named, and a teacher's recorded answers.

In: training records and sentences, or recorded rows. Out: predicted IE records, or what `extract` takes in place of a student.
No learning, no model, a few milliseconds. Shown in notebook 05.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from miniluotuo_utils.ie.schema import field_of
from miniluotuo_utils.ie.spans import Place, mentioned, to_record


def dictionary_baseline(
    train: Sequence[Mapping], sentences: Iterable[str], task: str
) -> list[dict]:
    """Records of `sentences`, predicted with what `train` names.

    NER: the names seen in training, longest first, at every place, with their most frequent type. RE: the triples
    seen in training whose head and tail both stand in the sentence. EE: the triggers seen, with their most frequent
    event type; as arguments the names seen in that type of event, with their most frequent role.

    >>> train = [{"sentence": "李白", "entities": [{"name": "李白", "type": "人物", "pos": [0, 2]}]}]
    >>> dictionary_baseline(train, ["问李白"], "NER")[0]["entities"]
    [{'name': '李白', 'type': '人物', 'pos': [1, 3]}]
    """
    field = field_of(task)
    predict = {"entities": entity_lookup, "relations": relation_lookup, "events": event_lookup}[
        field
    ](train)
    return [
        {"sentence": sentence, "source": "", field: predict(sentence)} for sentence in sentences
    ]


def most_frequent(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each name with the label that it carries most often, the first seen of equals.

    >>> most_frequent([("南京", "地点"), ("南京", "机构"), ("南京", "机构")])
    {'南京': '机构'}
    """
    counts: defaultdict[str, Counter] = defaultdict(Counter)
    for name, label in pairs:
        counts[name][label] += 1
    return {name: labels.most_common(1)[0][0] for name, labels in counts.items()}


def longest_matches(sentence: str, names: Collection[str]) -> list[Place]:
    """The places of known names, left to right, at each the longest name, none overlapping (forward maximum match).

    >>> longest_matches("南京市长江大桥", {"南京", "南京市", "市长", "长江"})
    [(0, 3), (3, 5)]
    """
    longest = max(map(len, names), default=0)
    found, at = [], 0
    while at < len(sentence):
        ends = range(min(at + longest, len(sentence)), at, -1)
        end = next((end for end in ends if sentence[at:end] in names), None)
        if end:
            found.append((at, end))
        at = end or at + 1
    return found


def entity_lookup(train: Sequence[Mapping]) -> Callable[[str], list[dict]]:
    """A function from a sentence to its entities."""
    types = most_frequent((e["name"], e["type"]) for record in train for e in record["entities"])

    def predict(sentence: str) -> list[dict]:
        names = (
            (sentence[start:end], [start, end]) for start, end in longest_matches(sentence, types)
        )
        return [{"name": name, "type": types[name], "pos": pos} for name, pos in names]

    return predict


def relation_lookup(train: Sequence[Mapping]) -> Callable[[str], list[dict]]:
    """A function from a sentence to its relations."""
    tails: dict[str, dict] = {}  # head -> {(type, tail): None}, a set that keeps its order
    for relation in (r for record in train for r in record["relations"]):
        tails.setdefault(relation["head"]["name"], {})[
            relation["type"], relation["tail"]["name"]
        ] = None

    def predict(sentence: str) -> list[dict]:
        items = [
            {"head": head, "type": kind, "tail": tail}
            for head in tails
            if head in sentence
            for kind, tail in tails[head]
            if tail in sentence
        ]
        return to_record(sentence, items, "RE")["relations"]

    return predict


def event_lookup(train: Sequence[Mapping]) -> Callable[[str], list[dict]]:
    """A function from a sentence to its events."""
    events = [event for record in train for event in record["events"]]
    types = most_frequent((event["trigger"], event["type"]) for event in events)
    seen: defaultdict[str, list] = defaultdict(list)
    for event in events:
        seen[event["type"]] += [
            (argument["name"], argument["role"]) for argument in event.get("arguments") or ()
        ]
    roles = {kind: most_frequent(pairs) for kind, pairs in seen.items()}

    def predict(sentence: str) -> list[dict]:
        return [
            event_at(sentence, start, end, types, roles)
            for start, end in longest_matches(sentence, types)
        ]

    return predict


def event_at(
    sentence: str, start: int, end: int, types: Mapping[str, str], roles: Mapping[str, Mapping]
) -> dict:
    """The event of a trigger, with each of its type's names that the sentence holds as one argument."""
    kind = types[sentence[start:end]]
    known = roles[kind]
    names = list(dict.fromkeys(sentence[a:b] for a, b in longest_matches(sentence, known)))
    things = mentioned(sentence, names, "first")
    arguments = [
        {"name": thing["name"], "role": known[thing["name"]], "pos": thing["pos"]}
        for (thing,) in things
    ]
    return {
        "type": kind,
        "trigger": sentence[start:end],
        "pos": [start, end],
        "arguments": arguments,
    }
