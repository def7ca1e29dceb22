"""The grammar of a right answer: compact JSON, the schema's keys, strings of the text. Shown in notebook 05.

In: a text, a slice of the schema and a task. Out: a grammar in Lark, as llguidance reads it (`generation.generate(grammar=...)`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from miniluotuo_utils.ie.schema import field_of

ITEMS = {  # what stands in a type's list
    "NER": "name",
    "RE": '"[" name "," name "]"',
    "EE": '"{{\\"trigger\\":" name ",\\"arguments\\":{{" roles{number} "}}}}"',
}
NAME = r"NAME: /(.|\n)+/ & ~/(\s|\\[nrt])+/ & %regex "  # some of the text's characters in a row, not only spaces


def grammar(
    text: str, types: Sequence[str], task: str, roles: Mapping[str, Sequence[str]] | None = None
) -> str:
    r"""The grammar of the answers (style json) that `text` allows.

    Each type at most once, in the order given, its list not empty, every name a piece of the text. `roles`, for EE: event type ->
    roles; each role at most once, in order.

    >>> print(grammar("李白", ["人物"], "NER"))
    start: " "? "{" types "}"
    types: | any0
    any0: first0
    first0: "\"人物\":[" item0 ("," item0)* "]"
    item0: name
    name: "\"" NAME "\""
    NAME: /(.|\n)+/ & ~/(\s|\\[nrt])+/ & %regex {"substring_chunks": ["李", "白"]}
    """
    field_of(task)
    chunks = [
        json.dumps(character, ensure_ascii=False)[1:-1] for character in text
    ]  # an escape is never cut in half
    rules = [
        'start: " "? "{" types "}"',
        *chain("types", [entry(kind, f"item{i}") for i, kind in enumerate(types)], ""),
    ]
    for i, kind in enumerate(types):
        rules.append(f"item{i}: {ITEMS[task].format(number=i) if task == 'EE' else ITEMS[task]}")
        if task == "EE":
            rules += chain(
                f"roles{i}",
                [entry(role, "name") for role in dict.fromkeys((roles or {}).get(kind, ()))],
                f"role{i}_",
            )
    return "\n".join(
        [
            *rules,
            'name: "\\"" NAME "\\""',
            NAME + json.dumps({"substring_chunks": chunks}, ensure_ascii=False),
        ]
    )


def entry(key: str, item: str) -> str:
    """A key and its list of at least one item."""
    written = json.dumps(json.dumps(key, ensure_ascii=False) + ":[", ensure_ascii=False)
    return f'{written} {item} ("," {item})* "]"'


def chain(name: str, entries: Sequence[str], prefix: str) -> list[str]:
    """Rules for any choice of `entries` in their order, commas between them: `any` i chooses from entry i on, `later` i goes on from there.

    >>> print("\\n".join(chain("types", ['"a"', '"b"'], "")))
    types: | any0
    any0: first0 | any1
    first0: "a" later1
    later1: | "," any1
    any1: first1
    first1: "b"
    """
    rules, last = [f"{name}: " + (f"| {prefix}any0" if entries else "")], len(entries) - 1
    for i, text in enumerate(entries):
        rules.append(
            f"{prefix}any{i}: {prefix}first{i}" + (f" | {prefix}any{i + 1}" if i < last else "")
        )
        rules.append(f"{prefix}first{i}: {text}" + (f" {prefix}later{i + 1}" if i < last else ""))
        if i < last:
            rules.append(f'{prefix}later{i + 1}: | "," {prefix}any{i + 1}')
    return rules
