"""Write the answers: the four forms that a student can answer in, json, yayi, instructuie, plain.

In: items, a task and a style. Out: the text of an answer. Shown in notebook 05b.
An item is what `parse` returns: NER `{name, type}`, RE `{head, type, tail}`,
EE `{type, trigger, arguments: [{name, role}]}`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from miniluotuo_utils.choices import check_choice
from miniluotuo_utils.ie.keys import bare_label
from miniluotuo_utils.ie.names import guarded, no_name

STYLES = ("json", "yayi", "instructuie", "plain")
LANGUAGES = ("zh", "en")
NOTHING = {"json": "{}", "yayi": "{}", "instructuie": "None", "plain": "无"}

# What a line style must not hold as it stands, by style and place: a backslash goes before it. A
# comma between digits is no mark, so 1,000 is one word. An "end" is the head or tail of a
# relation.
COMMA = r"，|(?<!\d),|,(?!\d)"
LISTS = rf"[\\、；;\n\r]|{COMMA}"
SEPARATORS = {
    ("plain", "word"): LISTS,
    ("plain", "label"): rf"{LISTS}|[：:=＝]",
    ("plain", "end"): rf"{LISTS}|→|-(?=>)",
    ("instructuie", "word"): r"[\\；;\n\r]",
    ("instructuie", "label"): r"[\\；;：:\n\r]",
    ("instructuie", "end"): rf"[\\；;\n\r]|{COMMA}",
    ("instructuie", "event"): r"[\\,，()（）\n\r]",
}
# A reader takes off what wraps an answer: a code fence anywhere, a token that ends a text at its
# end. In a name they are no wrapping.
FENCE = r"```\w*"
TEXT_END = r"(?:<\|\w{1,30}\|>|</s>)"  # `<|endoftext|>`, `</s>`
WRAPPINGS = rf"(?=```)`|(?={TEXT_END}\Z)<"
ESCAPED = {place: re.compile(f"{marks}|{WRAPPINGS}") for place, marks in SEPARATORS.items()}
LINE_ENDS = {"\n": "\\n", "\r": "\\r"}

# Where a text needs a backslash because of its place: a reader strips spaces, quotes around a name
# and a full stop at its end, takes a bracket at its start for another layout, and
# `- ` or `1. ` at the start of a line for the mark of a list.
BULLET = r"(?:[-*•·]|#+|\d{1,3}[.、)）])\s"
WORD_EDGES = re.compile(r"\A(?=[\s\"'“‘「\[{［｛])|(?=[\s。]\Z)")
LABEL_EDGES = re.compile(rf"\A(?=[\s\"'“‘「\[{{［｛`]|{BULLET})|(?=[\s。]\Z)")


def check_style(style: str, language: str = "zh") -> None:
    """Raise ValueError for an unknown style or language."""
    check_choice("style", style, STYLES)
    check_choice("language", language, LANGUAGES)


def written(items: Sequence[Mapping], task: str, style: str = "json") -> str:
    """Return the answer that a student should write.

    json: compact, keyed by type. yayi: NER the same, RE and EE a list of objects.
    instructuie: `type: word; type: word`, `relation: head, tail; ...`,
    `(type:..., trigger:..., arguments:(name:...,role:...), ...)`, and `None`.
    plain, our own: a line for each type (`人物：李白、杜甫`, `作者：静夜思→李白`) or event
    (`发射：升空；航天器=神舟五号`), and 无.

    `parse` returns names and types as they were: json escapes as JSON does; in the two line styles
    a mark that would separate something gets a backslash, which InstructUIE itself does not have.

    >>> items = [{"name": "静夜思、春望", "type": "作品"}, {"name": "李白", "type": "人物"}]
    >>> print(written(items, "NER", "plain"))
    作品：静夜思\\、春望
    人物：李白
    >>> written([{"head": "静夜思", "type": "作者", "tail": "李白"}], "RE", "instructuie")
    '作者: 静夜思, 李白'
    """
    if style == "plain":
        return "\n".join(plain_lines(items, task)) or NOTHING[style]
    if style == "instructuie":
        between = ", " if task == "EE" else "; "
        return between.join(instructuie_part(item, task) for item in items) or NOTHING[style]
    items = [guarded_item(item, task) for item in items]
    answer: object = grouped((item["type"], json_value(item, task)) for item in items)
    if style == "yayi" and task == "RE":
        answer = [{"relation": r["type"], "head": r["head"], "tail": r["tail"]} for r in items]
    elif style == "yayi" and task == "EE":
        answer = [{"type": event["type"]} | json_value(event, task) for event in items]
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def guarded_item(item: Mapping, task: str) -> dict:
    r"""Return an item as JSON is given it: what would be read as something else gets a guard.

    >>> guarded_item({"name": "无", "type": "字"}, "NER")
    {'name': '\\无', 'type': '字'}
    """
    names = {key: guarded(item[key]) for key in ("name", "head", "tail", "trigger") if key in item}
    found = {**item, **names, "type": guarded(item["type"], bare_label)}
    if task == "EE":
        found["arguments"] = [
            {"name": guarded(one["name"]), "role": guarded(one["role"], bare_label)}
            for one in item["arguments"]
        ]
    return found


def grouped(pairs: Iterable[tuple[str, object]]) -> dict[str, list]:
    """Collect what stands under each label; labels keep the order in which they come first.

    >>> grouped([("人物", "李白"), ("地点", "长安"), ("人物", "杜甫")])
    {'人物': ['李白', '杜甫'], '地点': ['长安']}
    """
    found: dict[str, list] = {}
    for label, value in pairs:
        found.setdefault(label, []).append(value)
    return found


def json_value(item: Mapping, task: str) -> Any:
    """Return an item as it stands under its type in json."""
    if task == "NER":
        return item["name"]
    if task == "RE":
        return [item["head"], item["tail"]]
    return {"trigger": item["trigger"], "arguments": names_by_role(item)}


def names_by_role(event: Mapping) -> dict[str, list[str]]:
    """Return the names of an event's arguments under their roles."""
    return grouped((argument["role"], argument["name"]) for argument in event["arguments"])


def escaped(text: str, style: str, place: str) -> str:
    """Return a name or label as it may stand at a place of a line style.

    >>> escaped("春望、静夜思", "plain", "word"), escaped("无", "plain", "word")
    ('春望\\\\、静夜思', '\\\\无')
    """
    text = ESCAPED[style, place].sub(lambda mark: LINE_ENDS.get(mark[0], "\\" + mark[0]), text)
    if no_name(text):
        # A backslash before n or r would be a line's end.
        at = text[0] in "nr"
        return text[:at] + "\\" + text[at:]
    edges = LABEL_EDGES if place == "label" else WORD_EDGES
    return edges.sub(r"\\", text)


def plain_lines(items: Iterable[Mapping], task: str) -> list[str]:
    """Return the lines of style plain: one for each type, for EE one for each event."""
    if task == "EE":
        return [plain_event(item) for item in items]
    lines = grouped((item["type"], plain_word(item)) for item in items)
    return [
        f"{escaped(label, 'plain', 'label')}：{'、'.join(words)}" for label, words in lines.items()
    ]


def plain_word(item: Mapping) -> str:
    """Return an entity's name, or a relation's pair as 头→尾."""
    if "head" in item:
        return "→".join(escaped(item[end], "plain", "end") for end in ("head", "tail"))
    return escaped(item["name"], "plain", "word")


def plain_event(event: Mapping) -> str:
    """Return an event as one line: 类型：触发词；角色=论元、论元."""
    word = partial(escaped, style="plain", place="word")
    label = partial(escaped, style="plain", place="label")
    parts = [f"{label(event['type'])}：{word(event['trigger'])}"]
    for role, names in names_by_role(event).items():
        parts.append(f"{label(role)}={'、'.join(map(word, names))}")
    return "；".join(parts)


def instructuie_part(item: Mapping, task: str) -> str:
    """Return one item in style instructuie."""
    if task == "EE":
        return instructuie_event(item)
    label = escaped(item["type"], "instructuie", "label")
    if task == "NER":
        return f"{label}: {escaped(item['name'], 'instructuie', 'word')}"
    end = partial(escaped, style="instructuie", place="end")
    return f"{label}: {end(item['head'])}, {end(item['tail'])}"


def instructuie_event(event: Mapping) -> str:
    """Return an event in brackets, with each of its arguments in brackets."""
    word = partial(escaped, style="instructuie", place="event")
    arguments = [f"(name:{word(a['name'])},role:{word(a['role'])})" for a in event["arguments"]]
    told = ", ".join(arguments) or "None"
    return f"(type:{word(event['type'])}, trigger:{word(event['trigger'])}, arguments:{told})"
