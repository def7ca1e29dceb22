"""IE records as instructions: a Chinese sentence names the schema, the answer is compact JSON. Shown in notebook 05.

In: IE records, a task (NER, RE, EE) and a schema. Out: instruction rows, for training and for extraction alike.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from miniluotuo_utils.records import TASKS, DataError

Schema = Sequence[str] | Mapping[str, Sequence[str]]  # NER and RE: types; EE: event type -> roles

# The first of each task is the one that extraction uses.
PARAPHRASES = {
    "NER": (
        "找出句子里的实体，类型有：{schema}。用JSON回答。",
        "从句子中抽取实体，只看这些类型：{schema}。答案写成JSON。",
        "句子里提到了哪些实体？类型限于：{schema}。用JSON列出来。",
        "读下面的句子，把属于这些类型的词语标出来：{schema}。输出JSON。",
    ),
    "RE": (
        "找出句子里的关系，关系有：{schema}。用JSON回答，每条写成头实体和尾实体。",
        "从句子中抽取实体之间的关系，只看这些：{schema}。答案写成JSON，先头实体后尾实体。",
        "句子里的哪些实体之间有关系？关系限于：{schema}。用JSON列出头尾实体。",
        "读下面的句子，按这些关系把头实体和尾实体配成对：{schema}。输出JSON。",
    ),
    "EE": (
        "找出句子里的事件，类型和角色有：{schema}。用JSON回答触发词和论元。",
        "从句子中抽取事件，只看这些类型和角色：{schema}。触发词和论元写成JSON。",
        "句子里发生了什么事件？类型和角色限于：{schema}。用JSON列出触发词和论元。",
        "读下面的句子，按这些类型和角色写出事件的触发词和论元：{schema}。输出JSON。",
    ),
}


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
        raise DataError(f"field {field}: found none, expected the {task} items of {record.get('sentence')!r}")
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


def build_instructions(
    records: Sequence[Mapping], task: str, schema: Schema, seed: int = 0, paraphrases: bool = True
) -> list[dict]:
    """IE records as instruction rows, in the same order: the schema in the instruction, the sentence as input.

    The output is compact JSON keyed by type in schema order, each name once, in the order of the sentence. Only types
    that occur are written, `{}` when none does: a tiny student writes character by character, and the empty keys would
    be most of its answer. A name that stands twice is written once, so the answer does not say which place is meant
    (`locate` decides), and `slots` are not written. One of four paraphrases is picked by `seed` and row number;
    `paraphrases=False` takes the first always, as extraction does. A type outside the schema raises DataError.
    """
    names = schema_text(schema, task)
    rows = []
    for number, record in enumerate(records, 1):
        for place, label in labels(record, task):
            if not in_schema(label, schema):
                raise DataError(f"record {number}, field {place}: found {label[-1]!r}, expected one of the schema's: "
                                f"{names}. Add it to the schema or take the record out")  # fmt: skip
        texts = PARAPHRASES[task]
        text = random.Random(f"{seed}:{number}").choice(texts) if paraphrases else texts[0]
        rows.append({
            "instruction": text.format(schema=names), "input": record["sentence"],
            "output": answer(record, task, schema), "source": record.get("source", ""),
        })  # fmt: skip
    return rows


def schema_text(schema: Schema, task: str) -> str:
    """The schema as it stands in an instruction.

    >>> schema_text({"航天发射": ["航天器", "地点"], "会议": []}, "EE")
    '航天发射（航天器、地点）；会议'
    """
    field_of(task)
    if not schema or isinstance(schema, str) or (task == "EE") != isinstance(schema, Mapping):
        shape = "event type -> list of roles" if task == "EE" else "a list of types"
        raise ValueError(f"schema is {schema!r}; for {task} expected {shape}, at least one: schema_of(records, task)")
    if task != "EE":
        return "、".join(schema)
    return "；".join(kind + (f"（{'、'.join(roles)}）" if roles else "") for kind, roles in schema.items())


def answer(record: Mapping, task: str, schema: Schema) -> str:
    """The answer that a student should write for one record.

    >>> answer({"sentence": "李白和杜甫", "entities": [{"name": "杜甫", "type": "人物", "pos": [3, 5]},
    ...     {"name": "李白", "type": "人物", "pos": [0, 2]}]}, "NER", ["地点", "人物"])
    '{"人物":["李白","杜甫"]}'
    """
    shape = {"NER": entity_answer, "RE": relation_answer, "EE": event_answer}[task]
    items = sorted(record[field_of(task)], key=lambda item: order(record["sentence"], item))
    keyed: dict[str, list] = {kind: [] for kind in schema}
    for item in items:
        keyed[item["type"]].append(shape(record["sentence"], item, schema))
    keyed = {kind: distinct(found) for kind, found in keyed.items() if found}
    return json.dumps(keyed, ensure_ascii=False, separators=(",", ":"))


def order(sentence: str, item: Mapping) -> list[int]:
    """Where an item stands, to sort by: its place, or those of head and tail; without one, where its name is found."""
    if "head" in item:
        return order(sentence, item["head"]) + order(sentence, item["tail"])
    name = item["trigger"] if "trigger" in item else item["name"]
    start = sentence.find(name)
    missing = len(sentence)  # a name that the sentence does not hold comes last
    return list(item.get("pos") or (start if start >= 0 else missing, start + len(name)))


def entity_answer(sentence: str, entity: Mapping, schema: Schema) -> str:
    """An entity in the answer: its name."""
    return entity["name"]


def relation_answer(sentence: str, relation: Mapping, schema: Schema) -> list[str]:
    """A relation in the answer: `[head, tail]`."""
    return [relation["head"]["name"], relation["tail"]["name"]]


def event_answer(sentence: str, event: Mapping, schema: Schema) -> dict:
    """An event in the answer: its trigger, and its arguments by role in schema order."""
    sort = sorted(event.get("arguments") or (), key=lambda argument: order(sentence, argument))
    roles = {role: distinct(a["name"] for a in sort if a["role"] == role) for role in schema[event["type"]]}
    return {"trigger": event["trigger"], "arguments": {role: names for role, names in roles.items() if names}}


def distinct(items: Iterable) -> list:
    """Each of the items once, the first stays; they need not be hashable.

    >>> distinct([["a"], ["b"], ["a"]])
    [['a'], ['b']]
    """
    kept: dict[str, object] = {}
    for item in items:
        kept.setdefault(json.dumps(item), item)
    return list(kept.values())
