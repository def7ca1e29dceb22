"""Turn IE records into instructions: a sentence names the schema, the answer lists what it holds. Shown in notebook 05.

In: IE records, a task (NER, RE, EE) and a schema. Out: instruction rows, for training and for extraction alike.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from miniluotuo_utils.files import DataError
from miniluotuo_utils.ie.schema import (
    Schema,
    check_schema,
    distinct,
    field_of,
    in_schema,
    labels,
    order,
)
from miniluotuo_utils.ie.slicing import SLICE_SIZES, Confusable, asked_types, sliced
from miniluotuo_utils.ie.styles import check_style, filled, kind_of, schema_text, wordings, written
from miniluotuo_utils.moved import names as moved_names

DEFAULT = "default"  # slice_size: 6 types for NER, 4 for RE and EE


@dataclass
class Asking:
    """How rows ask: everything that is the same for all of them."""

    task: str
    schema: Schema
    style: str = "json"
    language: str = "zh"
    descriptions: Mapping[str, str] | None = None
    slice_size: int | str | None = DEFAULT
    part: str = "both"
    empty_types: bool = False
    kind: str = field(init=False)
    texts: list[str] = field(init=False)

    def __post_init__(self) -> None:
        check_schema(self.schema, self.task)
        check_style(self.style, self.language)
        self.kind = kind_of(self.task, self.part)
        self.texts = wordings(self.kind, self.style, self.language)
        if self.empty_types and self.style != "json":
            raise ValueError(
                f"empty_types is for style json, found style {self.style!r}; leave it out"
            )
        if self.slice_size == DEFAULT:
            self.slice_size = SLICE_SIZES[self.task]

    def row(
        self,
        record: Mapping,
        types: Sequence[str],
        items: Sequence[Mapping],
        text: str,
        event: Mapping | None = None,
    ) -> dict:
        """One row: the instruction `text` filled in, the answer that `items` give."""
        roles = self.schema if self.task == "EE" else {}
        values = {
            "schema": schema_text(types, self.kind, roles, self.style, self.language),
            "notes": notes(types, self.descriptions or {}, self.language),
            "text": record["sentence"],
            **(
                {
                    "type": event["type"],
                    "trigger": shown_trigger(record["sentence"], event, self.language),
                }
                if event
                else {}
            ),
        }
        inside = "{text}" in text  # the published prompts of yayi and instructuie hold the sentence
        return {
            "instruction": filled(text, values),
            "input": "" if inside else record["sentence"],
            "output": written(items, self.kind, self.style, types, self.empty_types),
            "source": record.get("source", ""),
        }


def build_instructions(
    records: Sequence[Mapping],
    task: str,
    schema: Schema,
    seed: int = 0,
    paraphrases: bool = True,
    *,
    style: str = "json",
    language: str = "zh",
    descriptions: Mapping[str, str] | None = None,
    slice_size: int | str | None = DEFAULT,
    confusable: Confusable | None = None,
    pure_negative: float | None = None,
    part: str = "both",
    empty_types: bool = False,
) -> list[dict]:
    """IE records as training rows: a slice of the schema in the instruction, the sentence, the answer.

    Each row also has `record` (the number of its record, from 0) and `types` (its slice), so that `merged` can put the
    answers of one record together. The rows of a record depend on `seed` and its number alone, `pure_negative` aside.

    style, language: see `styles.wordings` and `styles.written`. In yayi and instructuie the sentence stands inside the
      instruction, as published, and `input` is "".
    paraphrases: one of ten or more wordings, drawn for each row, and the types shuffled before they are sliced.
      False: the first wording, types in schema order, as `questions` asks.
    descriptions: type (or role) -> one sentence, written below the instruction for the types of the slice.
    slice_size: types in one prompt, by default 6 for NER, 4 for RE and EE, remainders as `slicing.sliced` says; None:
      the whole schema in one prompt.
    confusable: a `confusability` table; a record is then asked for its own types, its hardest negatives and a few others
      (`slicing.asked_types`) instead of the whole schema.
    pure_negative: at most this share of the rows, 0 to 1, has an empty answer (IEPile: a quarter to a third); the
      surplus is left out at random by `seed`. None keeps all.
    part: for EE `both`, `trigger` alone, or `argument` alone: one row for each event, which it names; its `types` are
      that type's roles, not sliced, and a further field `event` holds type, trigger and pos. Events of one type on one
      trigger share their row; a type without roles gives none.
    empty_types: style json writes the types without an item too, as [] (IEPile's form). By default only types that
      occur are written, `{}` when none does: a tiny student writes character by character, and the empty keys would
      be most of its answer.

    The answer is keyed in the order of the slice, each name once, in the order of the sentence. A name that stands
    twice is written once, so the answer does not say which place is meant (`locate` decides), and `slots` are not
    written. A type outside the schema raises DataError.
    """
    ask = Asking(task, schema, style, language, descriptions, slice_size, part, empty_types)
    if pure_negative is not None and not 0 <= pure_negative <= 1:
        raise ValueError(
            f"pure_negative is {pure_negative!r}; expected a share from 0 to 1, or None for all"
        )
    rows, empty = [], []
    for number, record in enumerate(records, 1):
        check_labels(record, number, task, schema)
        draw = random.Random(f"{seed}:{number}")
        for event, types, items in asked(record, ask, confusable, draw, paraphrases):
            text = draw.choice(ask.texts) if paraphrases else ask.texts[0]
            rows.append(
                ask.row(record, types, items, text, event) | {"record": number - 1, "types": types}
            )
            rows[-1] |= {"event": event} if event else {}
            empty.append(not items)
    return rows if pure_negative is None else thinned(rows, empty, pure_negative, seed)


def questions(
    sentences: Sequence[str],
    schema: Schema,
    task: str,
    *,
    style: str = "json",
    language: str = "zh",
    descriptions: Mapping[str, str] | None = None,
    slice_size: int | str | None = DEFAULT,
    part: str = "both",
    events: Sequence[Sequence[Mapping]] | None = None,
) -> list[dict]:
    """The rows that ask for the sentences' items: first wording, schema order, every slice of every sentence, empty answers.

    With part `argument`, `events` holds for each sentence the events found so far (`type`, `trigger`, perhaps `pos`),
    such as `merged` or an EE record's `events`; a row asks for the arguments of each.

    >>> [row["types"] for row in questions(["李白走了"], list("甲乙丙丁戊己庚辛壬"), "NER")]
    [['甲', '乙', '丙', '丁', '戊', '己'], ['庚', '辛', '壬']]
    """
    if isinstance(sentences, str):
        raise ValueError(f"sentences is the text {sentences[:20]!r}; expected a list of texts")
    if (part == "argument") != (events is not None):
        raise ValueError(
            f"part is {part!r} and events is {'none' if events is None else 'given'}; "
            "part argument needs the events of each sentence, the others take none"
        )
    given = (
        [[]] * len(sentences)
        if events is None
        else [
            [{"type": e["type"], "trigger": e["trigger"], "pos": e.get("pos")} for e in found]
            for found in events
        ]
    )
    asking = [
        {"sentence": s, field_of(task): found} for s, found in zip(sentences, given, strict=True)
    ]
    return build_instructions(
        asking,
        task,
        schema,
        paraphrases=False,
        style=style,
        language=language,
        descriptions=descriptions,
        slice_size=slice_size,
        part=part,
    )


def merged(
    rows: Sequence[Mapping], found: Sequence[Sequence[Mapping]], records: int | None = None
) -> list[list[dict]]:
    """What was found for each row (`parse(...).items`) as one list for each record.

    The slices follow each other in row order; an answer that lists a name
    twice may mean two mentions (`locate`), so both stay; what an earlier slice found already does not come again. Arguments alone become events with the type and trigger of their row.
    `records`: how many lists, where the last records may have no row; by default up to the last that has one.

    >>> rows = [{"record": 0}, {"record": 0}, {"record": 1}]
    >>> merged(rows, [[{"name": "李白", "type": "人物"}], [{"name": "长安", "type": "地点"}], []])
    [[{'name': '李白', 'type': '人物'}, {'name': '长安', 'type': '地点'}], []]
    """
    count = max((row["record"] + 1 for row in rows), default=0) if records is None else records
    lists: list[list[dict]] = [[] for _ in range(count)]
    for row, items in zip(rows, found, strict=True):
        if event := row.get("event"):
            items = [
                {"type": event["type"], "trigger": event["trigger"], "arguments": distinct(items)}
            ]
        before = list(lists[row["record"]])
        lists[row["record"]] += [item for item in items if item not in before]
    return lists


def check_labels(record: Mapping, number: int, task: str, schema: Schema) -> None:
    """A DataError for a type or role that the schema does not know."""
    for place, label in labels(record, task):
        if not in_schema(label, schema):
            known = schema_text(list(schema), task, schema if task == "EE" else {})
            raise DataError(
                f"record {number}, field {place}: found {label[-1]!r}, expected one of the schema's: "
                f"{known}. Add it to the schema or take the record out"
            )


def asked(
    record: Mapping, ask: Asking, confusable: Confusable | None, draw: random.Random, shuffle: bool
) -> Iterator[tuple[dict | None, list[str], list[dict]]]:
    """What a record is asked: (event or None, the types or roles, their items) for each of its rows."""
    if ask.part == "argument":
        yield from asked_arguments(record, ask.schema, draw, shuffle)
        return
    found: dict[str, list[dict]] = {}
    for item in answer_items(record, ask.task, ask.schema, ask.part):
        found.setdefault(item["type"], []).append(item)
    types = list(dict.fromkeys(ask.schema))
    if confusable is not None:
        types = asked_types(types, found, confusable, ask.slice_size or SLICE_SIZES[ask.task], draw)
    if shuffle:
        draw.shuffle(types)
    for part in sliced(types, ask.slice_size):
        yield None, part, [item for kind in part for item in found.get(kind, ())]


def asked_arguments(
    record: Mapping, schema: Mapping[str, Sequence[str]], draw: random.Random, shuffle: bool
) -> Iterator[tuple[dict, list[str], list[dict]]]:
    """The arguments of each event: (event, its roles, its arguments); events of one type on one trigger are one."""
    sentence = record["sentence"]
    groups: dict[tuple, list[Mapping]] = {}
    for event in sorted(record["events"], key=lambda event: order(sentence, event)):
        groups.setdefault((event["type"], shown_trigger(sentence, event, "zh")), []).append(event)
    for (kind, _), events in groups.items():
        roles = list(dict.fromkeys(schema[kind]))
        if shuffle:
            draw.shuffle(roles)
        if roles:
            arguments = [argument for event in events for argument in event.get("arguments") or ()]
            first = {"type": kind, "trigger": events[0]["trigger"], "pos": events[0].get("pos")}
            yield first, roles, by_role(sentence, arguments, roles)


def answer_items(record: Mapping, task: str, schema: Schema, part: str = "both") -> list[dict]:
    """A record's items as an answer names them: in the order of the sentence, each once, without places.

    >>> answer_items({"sentence": "李白和杜甫", "entities": [{"name": "杜甫", "type": "人物", "pos": [3, 5]},
    ...     {"name": "李白", "type": "人物", "pos": [0, 2]}]}, "NER", ["人物"])
    [{'name': '李白', 'type': '人物'}, {'name': '杜甫', 'type': '人物'}]
    """
    sentence = record["sentence"]
    found = sorted(record[field_of(task)], key=lambda item: order(sentence, item))
    if task == "NER":
        return distinct({"name": e["name"], "type": e["type"]} for e in found)
    if task == "RE":
        return distinct(
            {"head": r["head"]["name"], "type": r["type"], "tail": r["tail"]["name"]} for r in found
        )
    return distinct(
        {
            "type": e["type"],
            "trigger": e["trigger"],
            "arguments": by_role(sentence, e.get("arguments") or (), schema[e["type"]])
            if part == "both"
            else [],
        }
        for e in found
    )


def by_role(sentence: str, arguments: Sequence[Mapping], roles: Sequence[str]) -> list[dict]:
    """Arguments in the order of `roles`, those of one role in the order of the sentence, each once."""
    found = sorted(arguments, key=lambda argument: order(sentence, argument))
    return distinct(
        {"name": a["name"], "role": a["role"]} for role in roles for a in found if a["role"] == role
    )


def notes(types: Sequence[str], descriptions: Mapping[str, str], language: str) -> str:
    r"""The descriptions of a slice's types, a line for each that has one.

    >>> notes(["人物", "地点"], {"人物": "人的名字。"}, "zh")
    '\n人物：人的名字。'
    """
    colon = "：" if language == "zh" else ": "
    return "".join(f"\n{kind}{colon}{descriptions[kind]}" for kind in types if kind in descriptions)


def shown_trigger(sentence: str, event: Mapping, language: str) -> str:
    """A trigger as a prompt names it: with its number where the sentence holds the word more than once.

    >>> shown_trigger("发射成功，再次发射", {"trigger": "发射", "pos": [7, 9]}, "zh")
    '发射（第2处）'
    """
    trigger, pos = event["trigger"], event.get("pos")
    if not pos or sentence.count(trigger) < 2:
        return trigger
    number = sentence.count(trigger, 0, pos[0]) + 1
    return f"{trigger}（第{number}处）" if language == "zh" else f"{trigger} (occurrence {number})"


def thinned(rows: Sequence[dict], empty: Sequence[bool], share: float, seed: int) -> list[dict]:
    """The rows in their order, of the `empty` ones at most so many that they are `share` of what is kept.

    >>> [row["record"] for row in thinned([{"record": n} for n in range(5)], [False, False, True, True, True], 1 / 3, 0)]
    [0, 1, 3]
    """
    part = Fraction(share).limit_denominator(10_000)
    where = [at for at, bare in enumerate(empty) if bare]
    room = len(where) if part == 1 else int(part / (1 - part) * (len(rows) - len(where)))
    kept = set(random.Random(f"{seed}:pure_negative").sample(where, min(room, len(where))))
    return [
        row
        for at, (row, bare) in enumerate(zip(rows, empty, strict=True))
        if not bare or at in kept
    ]


__getattr__ = moved_names(__name__)
