"""Turn IE records into instructions: a sentence names the schema, the answer lists what it holds.

In: IE records, a task (NER, RE, EE) and a schema. Out: instruction rows, for training and for
extraction alike. Shown in notebook 05.
"""

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction

from miniluotuo_utils.files import DataError
from miniluotuo_utils.ie.schema import (
    Schema,
    checked_schema,
    distinct,
    field_of,
    in_schema,
    labels,
    order,
    whole_records,
)
from miniluotuo_utils.ie.slicing import SLICE_SIZES, HardNegatives, asked_types, sliced
from miniluotuo_utils.ie.styles import check_style, grouped, written
from miniluotuo_utils.ie.templates import filled, notes, schema_text, templates_of
from miniluotuo_utils.moved import names as moved_names

DEFAULT = "default"  # slice_size: 6 types for NER, 4 for RE and EE


def build_instructions(
    records: Sequence[Mapping],
    task: str,
    schema: Schema,
    seed: int | str = 0,
    paraphrases: bool = True,
    *,
    style: str = "json",
    language: str = "zh",
    descriptions: Mapping[str, str] | None = None,
    slice_size: int | str | None = DEFAULT,
    hard_negatives: HardNegatives | None = None,
    pure_negative: float | None = None,
) -> list[dict]:
    """Turn IE records into training rows: a slice of the schema, the sentence, the answer.

    Each row also has `record` (the number of its record, from 0) and `types` (its slice), so that
    `merged` can put the answers of one record together; of a silver record it also has
    `"annotation": "silver"`, so that nobody keeps it out for an evaluation. The rows of a record
    depend on `seed` and its number alone, `pure_negative` aside.

    style, language: see `templates.templates_of` and `styles.written`. In yayi and instructuie the
      sentence stands inside the instruction, as published, and `input` is "".
    paraphrases: one of ten or more templates, drawn for each row, and the types shuffled before
      they are sliced. False: the first template, types in schema order, as `questions` asks.
    descriptions: type -> one sentence, written below the instruction for the types of the slice.
    slice_size: types in one prompt, by default 6 for NER, 4 for RE and EE, remainders as
      `slicing.sliced` says; None: the whole schema in one prompt.
    hard_negatives: a table of `slicing.hard_negatives`; a record is then asked for its own types,
      its hardest negatives and a few others (`slicing.asked_types`) instead of the whole schema.
    pure_negative: at most this share of the rows, 0 to 1, has an empty answer (IEPile: a quarter
      to a third); the surplus is left out at random by `seed`. None keeps all.

    The answer is keyed in the order of the slice, each name once, in the order of the sentence.
    Only types that occur are written, `{}` when none does: a tiny student writes character by
    character, and empty keys would be most of its answer. A name that stands twice is written
    once, so the answer does not say which place is meant (`locate` decides), and `slots` are not
    written. A type outside the schema raises DataError.
    """
    schema = checked_schema(schema, task)
    check_style(style, language)
    if pure_negative is not None and not 0 <= pure_negative <= 1:
        raise ValueError(
            f"pure_negative is {pure_negative!r}; expected a share from 0 to 1, or None for all"
        )
    size = SLICE_SIZES[task] if slice_size == DEFAULT else slice_size
    templates = templates_of(task, style, language)
    rows = []
    for number, record in enumerate(whole_records(records, task, text=True)):
        check_labels(record, number + 1, task, schema)
        items = grouped((item["type"], item) for item in answer_items(record, task, schema))
        types = list(dict.fromkeys(schema))

        # Each record has a generator of its own: its rows are the same whatever stands before it.
        draw = random.Random(f"{seed}:{number + 1}")
        if hard_negatives is not None:
            types = asked_types(types, items, hard_negatives, size or SLICE_SIZES[task], draw)
        # A student that sees one order alone reads positions, not names.
        if paraphrases:
            draw.shuffle(types)

        for part in sliced(types, size):
            template = draw.choice(templates) if paraphrases else templates[0]
            values = {
                "schema": schema_text(part, task, schema, style, language),
                "notes": notes(part, descriptions or {}, language),
                "text": record["sentence"],
            }
            found = [item for kind in part for item in items.get(kind, ())]
            rows.append(
                {
                    "instruction": filled(template, values),
                    "input": "" if "{text}" in template else record["sentence"],
                    "output": written(found, task, style),
                    "source": record.get("source", ""),
                    "record": number,
                    "types": part,
                    **mark_of(record),
                }
            )
    if pure_negative is None:
        return rows
    return thinned(rows, written([], task, style), pure_negative, seed)


def questions(
    sentences: Sequence[str],
    schema: Schema,
    task: str,
    *,
    style: str = "json",
    language: str = "zh",
    descriptions: Mapping[str, str] | None = None,
    slice_size: int | str | None = DEFAULT,
) -> list[dict]:
    """Return the rows that ask for the sentences' items: every slice of every sentence, no answers.

    They are worded by the first template, with the types in schema order.

    >>> [row["types"] for row in questions(["李白走了"], list("甲乙丙丁戊己庚辛壬"), "NER")]
    [['甲', '乙', '丙', '丁', '戊', '己'], ['庚', '辛', '壬']]
    """
    return build_instructions(
        [{"sentence": sentence, field_of(task): []} for sentence in sentences],
        task,
        schema,
        paraphrases=False,
        style=style,
        language=language,
        descriptions=descriptions,
        slice_size=slice_size,
    )


def merged(rows: Sequence[Mapping], found: Sequence[Sequence[Mapping]]) -> list[list[dict]]:
    """Join what was found for each row (`parse(...).items`) into one list for each record.

    The slices follow each other in row order. An answer that lists a name twice may mean two
    mentions (`locate`), so both stay; what an earlier slice found already does not come again.
    >>> rows = [{"record": 0}, {"record": 0}, {"record": 1}]
    >>> people, places = [{"name": "李白", "type": "人物"}], [{"name": "长安", "type": "地点"}]
    >>> merged(rows, [people, places, []])
    [[{'name': '李白', 'type': '人物'}, {'name': '长安', 'type': '地点'}], []]
    """
    records = max((row["record"] + 1 for row in rows), default=0)
    lists: list[list[dict]] = [[] for _ in range(records)]
    for row, items in zip(rows, found, strict=True):
        mine = lists[row["record"]]
        # A list first: what this row says twice must not be compared with itself.
        mine += [item for item in items if item not in mine]
    return lists


def check_labels(record: Mapping, number: int, task: str, schema: Schema) -> None:
    """Raise DataError for a type or role that the schema does not know."""
    for place, label in labels(record, task):
        if not in_schema(label, schema):
            known = schema_text(list(schema), task, schema)
            raise DataError(
                f"record {number}, field {place}: found {label[-1]!r}, expected one of the "
                f"schema's: {known}. Add it to the schema or take the record out"
            )


def mark_of(record: Mapping) -> dict[str, str]:
    """Return what the rows of a record say of its annotation: that a model made it, or nothing.

    >>> mark_of({"annotation": "silver"}), mark_of({"annotation": "exhaustive"})
    ({'annotation': 'silver'}, {})
    """
    return {"annotation": "silver"} if record.get("annotation") == "silver" else {}


def answer_items(record: Mapping, task: str, schema: Schema) -> list[dict]:
    """Return a record's items as an answer names them: in sentence order, once, without places.

    >>> answer_items({"sentence": "李白和杜甫", "entities": [
    ...     {"name": "杜甫", "type": "人物", "pos": [3, 5]},
    ...     {"name": "李白", "type": "人物", "pos": [0, 2]}]}, "NER", ["人物"])
    [{'name': '李白', 'type': '人物'}, {'name': '杜甫', 'type': '人物'}]
    """
    sentence = record["sentence"]
    items = []
    for item in sorted(record[field_of(task)], key=lambda item: order(sentence, item)):
        kind = item["type"]
        if task == "NER":
            items.append({"name": item["name"], "type": kind})
        elif task == "RE":
            items.append({"head": item["head"]["name"], "type": kind, "tail": item["tail"]["name"]})
        else:
            arguments = in_role_order(sentence, item.get("arguments") or (), schema[kind])
            items.append({"type": kind, "trigger": item["trigger"], "arguments": arguments})
    return distinct(items)


def in_role_order(sentence: str, arguments: Sequence[Mapping], roles: Sequence[str]) -> list[dict]:
    """Return arguments in the order of `roles`, those of one role in sentence order, each once."""
    by_role = grouped(
        (argument["role"], {"name": argument["name"], "role": argument["role"]})
        for argument in sorted(arguments, key=lambda argument: order(sentence, argument))
    )
    return distinct(argument for role in roles for argument in by_role.get(role, ()))


def thinned(rows: Sequence[dict], empty: str, share: float, seed: int | str) -> list[dict]:
    """Return the rows in their order, those whose answer is `empty` at most `share` of them.

    >>> rows = [{"record": n, "output": answer} for n, answer in enumerate("甲乙无无无")]
    >>> [row["record"] for row in thinned(rows, "无", 1 / 3, 0)]
    [0, 1, 3]
    """
    bare = [at for at, row in enumerate(rows) if row["output"] == empty]
    # As a fraction: with floats, a share of 0.1 would sometimes lose a row to rounding.
    part = Fraction(share).limit_denominator(10_000)
    room = len(bare) if part == 1 else int(part / (1 - part) * (len(rows) - len(bare)))
    draw = random.Random(f"{seed}:pure_negative")
    left_out = set(bare).difference(draw.sample(bare, min(room, len(bare))))
    return [row for at, row in enumerate(rows) if at not in left_out]


__getattr__ = moved_names(__name__)
