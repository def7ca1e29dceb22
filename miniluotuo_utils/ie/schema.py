"""Say which types a task asks for, and which labels a record holds. Shown in notebook 05.

In: IE records. Out: a schema: a list of types, or for EE event type -> roles.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from miniluotuo_utils.choices import check_choice
from miniluotuo_utils.files import DataError, expect
from miniluotuo_utils.records import OBJECT, TASKS, mentions

Schema = Sequence[str] | Mapping[str, Sequence[str]]  # NER and RE: types; EE: event type -> roles


def field_of(task: str) -> str:
    """Return the field of an IE record that holds the task's items.

    >>> field_of("RE")
    'relations'
    """
    check_choice("task", task, TASKS)
    return TASKS[task]


def items_of(record: Mapping, task: str) -> list[Mapping]:
    """Return a record's items of a task; DataError where it has no such field."""
    field = field_of(task)
    expect(isinstance(record, OBJECT), "record", record, "an IE record, a dict")
    if field not in record:
        raise DataError(
            f"field {field}: found none, expected the {task} items of {record.get('sentence')!r}"
        )
    return record[field]


def whole_records(records: Iterable[Mapping], task: str, text: bool = False) -> Iterator[Mapping]:
    """Yield records whose items of the task are whole, and with `text` whose sentences are texts.

    DataError names record (from 1), field, and what was found and expected.

    >>> list(whole_records([{"sentence": "李白", "entities": "李白"}], "NER"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    miniluotuo_utils.files.DataError: record 1, field entities: found '李白', expected a list...
    """
    if isinstance(records, OBJECT):
        raise DataError("records is one record or a dict; expected a list of IE records")
    for number, record in enumerate(records, 1):
        try:
            items = items_of(record, task)
            listed = isinstance(items, list | tuple)
            expect(listed, field_of(task), items, "a list, [] where there is nothing")
            for thing, place in mentions({field_of(task): list(items)}):
                check_thing(thing, place)
            if text:
                sentence = record.get("sentence")
                expect(isinstance(sentence, str), "sentence", sentence, "a text")
        except DataError as error:
            raise DataError(f"record {number}, {error}") from None
        yield record


def check_thing(thing: object, place: str) -> None:
    """Raise DataError for a thing without a name, or with a place that is none."""
    expect(isinstance(thing, OBJECT), place, thing, "an object with name and pos")
    name, pos, kind = thing.get("name"), thing.get("pos"), thing.get("type", "")
    expect(isinstance(name, str) and name, f"{place}.name", name, "a text that is not empty")
    expect(isinstance(kind, str), f"{place}.type", kind, 'a text ("" where there is none)')
    pair = isinstance(pos, list | tuple) and [*map(type, pos)] == [int, int]
    expect(pos is None or pair, f"{place}.pos", pos, "null or [start, end)")


def labels(record: Mapping, task: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield every label of a record with its place.

    A label is `(type,)`, and `(event type, role)` for each argument of an event.
    """
    field = field_of(task)
    for i, item in enumerate(items_of(record, task)):
        yield f"{field}[{i}].type", (item["type"],)
        arguments = item.get("arguments") or ()
        for j, argument in enumerate(arguments if task == "EE" else ()):
            yield f"{field}[{i}].arguments[{j}].role", (item["type"], argument["role"])


def in_schema(label: tuple[str, ...], schema: Schema) -> bool:
    """Tell whether the schema knows a label.

    >>> in_schema(("发射", "地点"), {"发射": ["航天器"]})
    False
    """
    return label[0] in schema and (len(label) == 1 or label[1] in schema[label[0]])


def only_types(records: Iterable[Mapping], types: Collection[str]) -> list[dict]:
    """Return IE records with the entities, relations and events of some types alone.

    >>> entities = [{"name": "家", "type": "作品"}, {"name": "巴金", "type": "人物"}]
    >>> record = {"sentence": "巴金写《家》。", "entities": entities}
    >>> only_types([record], ["作品"])[0]["entities"]
    [{'name': '家', 'type': '作品'}]
    """
    return [with_types(record, types) for record in records]


def with_types(record: Mapping, types: Collection[str]) -> dict:
    """Return a record with its items of some types alone."""
    made = dict(record)
    for field in set(TASKS.values()) & set(record):
        made[field] = [item for item in record[field] if item["type"] in types]
    return made


def schema_of(records: Iterable[Mapping], task: str) -> list[str] | dict[str, list[str]]:
    """Return the types that occur in `records`, in the order in which they are first seen.

    For EE it is a dict: event type -> roles.

    >>> schema_of([{"sentence": "李白", "entities": [{"name": "李白", "type": "人物"}]}], "NER")
    ['人物']
    """
    seen: dict[str, list[str]] = {}
    for record in whole_records(records, task):
        for _, (kind, *role) in labels(record, task):
            roles = seen.setdefault(kind, [])
            roles += [r for r in role if r not in roles]
    return seen if task == "EE" else list(seen)


def check_schema(schema: Schema, task: str) -> None:
    """Raise ValueError for a schema that is empty, of another shape, or not made of texts."""
    field_of(task)
    if not schema or isinstance(schema, str) or (task == "EE") != isinstance(schema, Mapping):
        shape = "event type -> list of roles" if task == "EE" else "a list of types"
        raise ValueError(
            f"schema is {schema!r}; for {task} expected {shape}, "
            "at least one: schema_of(records, task)（模式要写成列表，事件写成字典，不能是空的）"
        )
    parts = {f" of {kind!r}": schema[kind] for kind in schema} if task == "EE" else {"": schema}
    what = "roles" if task == "EE" else "types"
    for where, names in parts.items():
        # A single text is a collection of texts too, and would be spelt out letter by letter.
        listed = isinstance(names, Collection) and not isinstance(names, str)
        if not listed or not all(isinstance(name, str) for name in names):
            raise ValueError(f"schema{where}: found {names!r}, expected a list of {what}")


def checked_schema(schema: Schema, task: str) -> Schema:
    """Return a schema in an order that stays; ValueError for one that `check_schema` refuses."""
    check_schema(schema, task)
    return ordered(schema)


def ordered(schema: Schema) -> Schema:
    """Return a schema whose sets are sorted lists: a set has another order in every run.

    >>> ordered({"发射": {"航天器", "地点"}}), ordered(["地点", "人物"])
    ({'发射': ['地点', '航天器']}, ['地点', '人物'])
    """
    if isinstance(schema, Mapping):
        return {kind: ordered(schema[kind]) for kind in schema}
    return sorted(schema) if isinstance(schema, (set, frozenset)) else schema


def order(sentence: str, item: Mapping) -> list[int]:
    """Return where an item stands, to sort by: its place, or those of head and tail.

    An item without a place counts as standing where its name is found, or at the end.
    """
    if "head" in item:
        return order(sentence, item["head"]) + order(sentence, item["tail"])
    if item.get("pos"):
        return list(item["pos"])
    name = item["trigger"] if "trigger" in item else item["name"]
    start = sentence.find(name)
    return [start if start >= 0 else len(sentence), start + len(name)]


def distinct(items: Iterable) -> list:
    """Return each of the items once, in the order of their first; they need not be hashable.

    >>> distinct([["a"], ["b"], ["a"]])
    [['a'], ['b']]
    """
    return list({json.dumps(item): item for item in items}.values())
