"""Write the grammar of a right answer: the schema's keys, pieces of the text. Shown in notebook 05.

In: a text, a slice of the schema and a task. Out: a grammar in Lark, as llguidance reads it, for
`generation.generate(grammar=...)`.
"""

import json
import re
from collections.abc import Sequence

from miniluotuo_utils.ie.schema import Schema, field_of

# what stands in a type's list; the roles of event type number N are the rule "rolesN"
ITEMS = {
    "NER": "name",
    "RE": '"[" name "," name "]"',
    "EE": '"{{\\"trigger\\":" name ",\\"arguments\\":{{" roles{number} "}}}}"',
}
# What a name is made of: whole numbers, as `spans.is_part` says what one is, and characters.
PIECES = re.compile(r"[0-9]+(?:[.,][0-9]+)*|.", re.DOTALL)
# Pieces of the text in a row; what they are follows as JSON. No name is made of white space
# and punctuation alone, but for a title in 《》; none ends in white space, or begins with it or
# with the end of a sentence: what a loop makes (。他。他) is no name.
NAME = r"""MARKS: /(\s|\\[nrtbf]|\\u[0-9a-f]{4}|\p{P})+/ & ~/《(.|\n)+》/
ENDS: /(\s|\\[nrt]|[。！？])(.|\n)*/
BLANK: /(.|\n)*(\s|[^\\]\\[nrt])/
NAME: /(.|\n)+/ & ~MARKS & ~ENDS & ~BLANK & %regex """


def grammar(text: str, types: Sequence[str], task: str, schema: Schema | None = None) -> str:
    r"""Return the grammar of the answers (style json) that `text` allows.

    Each type stands at most once, in the order given; its list is not empty; every name is a piece
    of the text. For EE `schema` maps each event type to its roles, and each role stands at most
    once, in order. Raises ValueError for an unknown task.

    >>> print(grammar("李白", ["人物"], "NER"))
    start: " "? "{" types "}"
    types: | any0
    any0: first0
    first0: "\"人物\":[" item0 ("," item0)* "]"
    item0: name
    name: "\"" NAME "\""
    MARKS: /(\s|\\[nrtbf]|\\u[0-9a-f]{4}|\p{P})+/ & ~/《(.|\n)+》/
    ENDS: /(\s|\\[nrt]|[。！？])(.|\n)*/
    BLANK: /(.|\n)*(\s|[^\\]\\[nrt])/
    NAME: /(.|\n)+/ & ~MARKS & ~ENDS & ~BLANK & %regex {"substring_chunks": ["李", "白"]}
    """
    field_of(task)
    entries = [entry(kind, f"item{number}") for number, kind in enumerate(types)]
    rules = ['start: " "? "{" types "}"', *chain("types", entries, "")]
    for number, kind in enumerate(types):
        rules.append(f"item{number}: {ITEMS[task].format(number=number)}")
        if task == "EE":
            roles = [entry(role, "name") for role in dict.fromkeys((schema or {}).get(kind, ()))]
            rules += chain(f"roles{number}", roles, f"role{number}_")

    # Piece by piece as JSON writes them: a name never begins or ends inside an escape or a number.
    chunks = [json.dumps(piece, ensure_ascii=False)[1:-1] for piece in PIECES.findall(text)]
    names = NAME + json.dumps({"substring_chunks": chunks}, ensure_ascii=False)
    return "\n".join([*rules, 'name: "\\"" NAME "\\""', names])


def entry(key: str, item: str) -> str:
    r"""Return the rule of a key and its list of at least one item.

    >>> print(entry("人物", "name"))
    "\"人物\":[" name ("," name)* "]"
    """
    opening = json.dumps(json.dumps(key, ensure_ascii=False) + ":[", ensure_ascii=False)
    return f'{opening} {item} ("," {item})* "]"'


def chain(name: str, entries: Sequence[str], prefix: str) -> list[str]:
    """Return rules for any choice of `entries` in their order, with commas between them.

    `any` i chooses from entry i on, `first` i is entry i and what may follow it, `later` i goes on
    with a comma or ends.

    >>> print("\\n".join(chain("types", ['"a"', '"b"'], "")))
    types: | any0
    any0: first0 | any1
    first0: "a" later1
    later1: | "," any1
    any1: first1
    first1: "b"
    """
    rules = [f"{name}: | {prefix}any0" if entries else f"{name}: "]
    for i, text in enumerate(entries[:-1]):
        rules += [
            f"{prefix}any{i}: {prefix}first{i} | {prefix}any{i + 1}",
            f"{prefix}first{i}: {text} {prefix}later{i + 1}",
            f'{prefix}later{i + 1}: | "," {prefix}any{i + 1}',
        ]
    if entries:
        last = len(entries) - 1
        rules += [f"{prefix}any{last}: {prefix}first{last}", f"{prefix}first{last}: {entries[-1]}"]
    return rules
