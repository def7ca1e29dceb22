"""Predict by looking up what the training records named: the floor below every student.

In: training records and sentences. Out: predicted IE records, in milliseconds and without a model.
Shown in notebook 05.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from miniluotuo_utils.ie.names import checked_texts
from miniluotuo_utils.ie.schema import field_of, whole_records
from miniluotuo_utils.ie.spans import Place, mentioned, to_record


def dictionary_baseline(
    train: Sequence[Mapping], sentences: Iterable[str], task: str
) -> list[dict]:
    """Return IE records of `sentences`, predicted with what the records of `train` name.

    NER: the names seen in training, longest first, at every place, with their most frequent type.
    RE: the triples seen in training whose head and tail both stand in the sentence.
    EE: the triggers seen, with their most frequent event type; as arguments the names seen in that
    type of event, with their most frequent role.

    Raises ValueError for an unknown task; DataError, naming record and field, or the number of a
    text, for what no record can hold.

    >>> poet = {"name": "李白", "type": "人物", "pos": [0, 2]}
    >>> train = [{"sentence": "李白", "entities": [poet]}]
    >>> dictionary_baseline(train, ["问李白"], "NER")[0]["entities"]
    [{'name': '李白', 'type': '人物', 'pos': [1, 3]}]
    """
    field, sentences = field_of(task), checked_texts(sentences)
    train = list(whole_records(train, task))
    find = {"NER": find_entities, "RE": find_relations, "EE": find_events}[task]
    return [
        {"sentence": sentence, "source": "", field: items}
        for sentence, items in zip(sentences, find(train, sentences), strict=True)
    ]


def most_frequent(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return each name with the label that it carries most often, the first seen of equals.

    >>> most_frequent([("南京", "地点"), ("南京", "机构"), ("南京", "机构")])
    {'南京': '机构'}
    """
    counts: defaultdict[str, Counter] = defaultdict(Counter)
    for name, label in pairs:
        counts[name][label] += 1
    return {name: labels.most_common(1)[0][0] for name, labels in counts.items()}


def longest_matches(sentence: str, names: Collection[str]) -> list[Place]:
    """Return the places of known names, left to right, none overlapping: forward maximum match.

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


def find_entities(train: Sequence[Mapping], sentences: Iterable[str]) -> Iterator[list[dict]]:
    """Yield the known entities of each sentence."""
    types = most_frequent((e["name"], e["type"]) for record in train for e in record["entities"])
    for sentence in sentences:
        yield [
            {"name": sentence[a:b], "type": types[sentence[a:b]], "pos": [a, b]}
            for a, b in longest_matches(sentence, types)
        ]


def find_relations(train: Sequence[Mapping], sentences: Iterable[str]) -> Iterator[list[dict]]:
    """Yield the known relations of each sentence."""
    tails: dict[str, dict] = {}  # head -> {(type, tail): None}, a set that keeps its order
    for relation in (r for record in train for r in record["relations"]):
        known = tails.setdefault(relation["head"]["name"], {})
        known[relation["type"], relation["tail"]["name"]] = None
    for sentence in sentences:
        items = [
            {"head": head, "type": kind, "tail": tail}
            for head in tails
            if head in sentence
            for kind, tail in tails[head]
            if tail in sentence
        ]
        yield to_record(sentence, items, "RE")["relations"]


def find_events(train: Sequence[Mapping], sentences: Iterable[str]) -> Iterator[list[dict]]:
    """Yield the known events of each sentence."""
    events = [event for record in train for event in record["events"]]
    types = most_frequent((event["trigger"], event["type"]) for event in events)
    seen: defaultdict[str, list] = defaultdict(list)
    for event in events:
        arguments = event.get("arguments") or ()
        seen[event["type"]] += [(argument["name"], argument["role"]) for argument in arguments]
    roles = {kind: most_frequent(pairs) for kind, pairs in seen.items()}
    for sentence in sentences:
        places = longest_matches(sentence, types)
        yield [event_at(sentence, start, end, types, roles) for start, end in places]


def event_at(
    sentence: str, start: int, end: int, types: Mapping[str, str], roles: Mapping[str, Mapping]
) -> dict:
    """Return the event of a trigger; its arguments are its type's names that the sentence holds."""
    kind = types[sentence[start:end]]
    known = roles[kind]
    names = list(dict.fromkeys(sentence[a:b] for a, b in longest_matches(sentence, known)))
    arguments = [
        {"name": thing["name"], "role": known[thing["name"]], "pos": thing["pos"]}
        for (thing,) in mentioned(sentence, names, "first")
    ]
    return {
        "type": kind,
        "trigger": sentence[start:end],
        "pos": [start, end],
        "arguments": arguments,
    }
