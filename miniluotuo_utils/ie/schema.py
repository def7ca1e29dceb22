"""Which types a task asks for, and which labels a record holds. Shown in notebook 05.

In: IE records. Out: a schema: a list of types, or for EE event type -> roles.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from miniluotuo_utils.files import DataError
from miniluotuo_utils.records import TASKS

Schema = Sequence[str] | Mapping[str, Sequence[str]]  # NER and RE: types; EE: event type -> roles


def field_of(task: str) -> str:
    """The field of an IE record that holds the task's items.

    >>> field_of("RE")
    'relations'
    """
    if task not in TASKS:
        raise ValueError(f"task is {task!r}; expected one of {', '.join(TASKS)}")
    return TASKS[task]


def labels(record: Mapping, task: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every label of a record with its place: `(type,)`, and `(event type, role)` for each argument."""
    field = field_of(task)
    if field not in record:
        raise DataError(
            f"field {field}: found none, expected the {task} items of {record.get('sentence')!r}"
        )
    for i, item in enumerate(record[field]):
        yield f"{field}[{i}].type", (item["type"],)
        for j, argument in enumerate(item.get("arguments") or () if task == "EE" else ()):
            yield f"{field}[{i}].arguments[{j}].role", (item["type"], argument["role"])


def in_schema(label: tuple[str, ...], schema: Schema) -> bool:
    """Whether the schema knows a label.

    >>> in_schema(("发射", "地点"), {"发射": ["航天器"]})
    False
    """
    return label[0] in schema and (len(label) == 1 or label[1] in schema[label[0]])


def schema_of(records: Iterable[Mapping], task: str) -> list[str] | dict[str, list[str]]:
    """The types (EE: event type -> roles) that occur in `records`, in the order in which they are first seen.

    >>> schema_of([{"sentence": "李白", "entities": [{"name": "李白", "type": "人物", "pos": [0, 2]}]}], "NER")
    ['人物']
    """
    seen: dict[str, list[str]] = {}
    for record in records:
        for _, (kind, *role) in labels(record, task):
            roles = seen.setdefault(kind, [])
            roles += [r for r in role if r not in roles]
    return seen if task == "EE" else list(seen)


def check_schema(schema: Schema, task: str) -> None:
    """A ValueError for a schema that is empty, of another shape, or not made of lists of texts."""
    field_of(task)
    if not schema or isinstance(schema, str) or (task == "EE") != isinstance(schema, Mapping):
        shape = "event type -> list of roles" if task == "EE" else "a list of types"
        raise ValueError(
            f"schema is {schema!r}; for {task} expected {shape}, at least one: schema_of(records, task)"
        )
    for kind, names in schema.items() if isinstance(schema, Mapping) else [(None, schema)]:
        if (
            isinstance(names, str)
            or not isinstance(names, Collection)
            or not all(isinstance(name, str) for name in names)
        ):
            where, what = ("", "types") if kind is None else (f" of {kind!r}", "roles")
            raise ValueError(f"schema{where}: found {names!r}, expected a list of {what}")


def order(sentence: str, item: Mapping) -> list[int]:
    """Where an item stands, to sort by: its place, or those of head and tail; without one, where its name is found."""
    if "head" in item:
        return order(sentence, item["head"]) + order(sentence, item["tail"])
    name = item["trigger"] if "trigger" in item else item["name"]
    start = sentence.find(name)
    missing = len(sentence)  # a name that the sentence does not hold comes last
    return list(item.get("pos") or (start if start >= 0 else missing, start + len(name)))


def distinct(items: Iterable) -> list:
    """Each of the items once, the first stays; they need not be hashable.

    >>> distinct([["a"], ["b"], ["a"]])
    [['a'], ['b']]
    """
    kept: dict[str, object] = {}
    for item in items:
        kept.setdefault(json.dumps(item), item)
    return list(kept.values())
