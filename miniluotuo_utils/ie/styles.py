"""The four ways to ask and to answer: json, yayi, instructuie, plain. Shown in notebook 05.

In: items, types, a kind of question (a task, for EE with its part). Out: the text of a prompt, the text of an answer.
An item is what `parse` returns: NER `{name, type}`, RE `{head, type, tail}`, EE `{type, trigger, arguments: [{name, role}]}`,
and for arguments alone `{name, role}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from miniluotuo_utils.ie.templates import FORMS, LEADS

STYLES = ("json", "yayi", "instructuie", "plain")
LANGUAGES = ("zh", "en")
PARTS = {
    "both": "EE",
    "trigger": "EE trigger",
    "argument": "EE argument",
}  # part of an event -> kind of question
FIELDS = {
    "NER": ("type", "name"),
    "EE trigger": ("type", "trigger"),
    "EE argument": ("role", "name"),
}  # label and word of an item

YAYI = {
    "zh": {
        "NER": "文本：{text}\n【实体抽取】{lead}{comma}以json{{schema}：[实体]}格式输出。{notes}",
        "RE": "文本：{text}\n【关系抽取】已知关系列表是[{schema}]。{lead}{comma}按照json[{'relation':'', 'head':'', 'tail':''}, ]的格式输出。{notes}",
        "EE": "文本：{text}\n【事件抽取】已知事件类型和论元角色列表是[{schema}]。{lead}{comma}"
        "按照json[{'type':'', 'trigger':'', 'arguments':{角色:[论元]}}, ]的格式输出。{notes}",
        "EE trigger": "文本：{text}\n【事件检测】已知事件类型列表是[{schema}]。{lead}{comma}按照json[{'type':'', 'trigger':''}, ]的格式输出。{notes}",
        "EE argument": "文本：{text}\n【论元抽取】已知论元角色列表是[{schema}]。{lead}{comma}以json{角色:[论元]}格式输出。{notes}",
    },
    "en": {
        "NER": "Text: {text}\n[Entity Extraction] {lead}{stop} Output json{{schema}: [entity]}.{notes}",
        "RE": "Text: {text}\n[Relation Extraction] Relations: [{schema}]. {lead}{stop} Output json[{'relation':'', 'head':'', 'tail':''}, ].{notes}",
        "EE": "Text: {text}\n[Event Extraction] Event types and roles: [{schema}]. {lead}{stop} "
        "Output json[{'type':'', 'trigger':'', 'arguments':{role:[argument]}}, ].{notes}",
        "EE trigger": "Text: {text}\n[Event Detection] Event types: [{schema}]. {lead}{stop} Output json[{'type':'', 'trigger':''}, ].{notes}",
        "EE argument": "Text: {text}\n[Argument Extraction] Roles: [{schema}]. {lead}{stop} Output json{role:[argument]}.{notes}",
    },
}
OUTPUTS = {
    "zh": {
        "NER": "类型: 词语; 类型: 词语",
        "RE": "关系: 头, 尾; 关系: 头, 尾",
        "EE trigger": "类型: 触发词; 类型: 触发词",
        "EE": "(type:类型, trigger:触发词, arguments:(name:论元,role:角色))",
        "EE argument": "论元: 角色; 论元: 角色",
    },
    "en": {
        "NER": "type: word; type: word",
        "RE": "relation: head, tail; relation: head, tail",
        "EE trigger": "type: trigger; type: trigger",
        "EE": "(type:type, trigger:trigger, arguments:(name:argument,role:role))",
        "EE argument": "name: role; name: role",
    },
}
INSTRUCTUIE = {
    "zh": "{lead}{stop}输出格式：“{output}”，没有就写None。\n选项：{schema}{notes}\n文本：{text}\n答案：",
    "en": '{lead}{stop} Output format is "{output}", None if there is nothing.\nOption: {schema}{notes}\nText: {text}\nAnswer:',
}

# What an answer in a line style must not hold as it stands: a backslash goes before it, `\n` and `\r` stand for line ends.
COMMA = r"，|(?<!\d),|,(?!\d)"  # 1,000 is one word
LISTS = rf"[\\、；;\n\r]|{COMMA}"
ESCAPED = {
    ("plain", "word"): re.compile(LISTS),
    ("plain", "label"): re.compile(rf"{LISTS}|[：:=＝]"),
    ("plain", "end"): re.compile(rf"{LISTS}|→|-(?=>)"),  # head or tail
    ("instructuie", "word"): re.compile(r"[\\；;\n\r]"),
    ("instructuie", "label"): re.compile(r"[\\；;：:\n\r]"),
    ("instructuie", "end"): re.compile(rf"[\\；;\n\r]|{COMMA}"),
    ("instructuie", "event"): re.compile(r"[\\,，()（）\n\r]"),
}
BULLET = r"(?:[-*•·]|#+|\d{1,3}[.、)）])\s"
WORD_EDGES = re.compile(
    r"\A(?=[\s\"'“‘「])|(?=[\s。]\Z)"
)  # a reader strips spaces, quotes around a name, a full stop
LABEL_EDGES = re.compile(
    rf"\A(?=[\s\"'“‘「\[{{［｛`]|{BULLET})|(?=[\s。]\Z)"
)  # at the start of a line also the marks of JSON and of lists
NOTHING = {"json": "{}", "yayi": "{}", "instructuie": "None", "plain": "无"}
EMPTY_WORDS = ("无", "没有", "空", "None", "NONE")
LINE_ENDS = {"\n": "\\n", "\r": "\\r"}


def kind_of(task: str, part: str = "both") -> str:
    """The kind of question: the task, for EE with the part of the event that is asked for.

    >>> kind_of("EE", "trigger")
    'EE trigger'
    """
    if part not in PARTS or (part != "both" and task != "EE"):
        raise ValueError(
            f"part is {part!r} for task {task}; expected one of {', '.join(PARTS)} for EE, both for NER and RE"
        )
    return task if part == "both" else PARTS[part]


def check_style(style: str, language: str = "zh") -> None:
    """A ValueError for a style or a language that is not there."""
    if style not in STYLES:
        raise ValueError(f"style is {style!r}; expected one of {', '.join(STYLES)}")
    if language not in LANGUAGES:
        raise ValueError(f"language is {language!r}; expected one of {', '.join(LANGUAGES)}")


def wordings(kind: str, style: str = "json", language: str = "zh") -> list[str]:
    """The instructions of a kind of question, each with one {schema}; the first is the one that extraction uses.

    In yayi and instructuie the sentence stands inside the instruction, at its published place: {text}. {notes} are the
    descriptions of types; arguments alone name the {type} and the {trigger} of their event.

    yayi: the prompts of the README of wenge-research/YAYI-UIE: the text first, then the task in brackets, the types
    joined by slashes inside `json{...}` (NER) or as a list (RE, argument roles). It publishes none for
    whole events and for triggers: those follow its RE form. instructuie: `src/uie_dataset.py` and
    `configs/instruction_config.json` of BeyonderXX/InstructUIE: instruction, output format, Option, Text, Answer. The
    layout is theirs, the words are ours.

    >>> wordings("NER")[0]
    '找出句子里的实体，类型有：{schema}。用JSON回答。{notes}'
    """
    leads = [lead.split("|") for lead in LEADS[language][kind]]
    if style == "instructuie":
        values = {"output": OUTPUTS[language][kind]}
        return [
            filled(INSTRUCTUIE[language], values | {"lead": lead} | ending(tail, language))
            for lead, tail in leads
        ]
    if style == "yayi":  # here the text stands above
        leads = [
            [lead.replace("下面", "上面").replace("below", "above"), tail] for lead, tail in leads
        ]
        return [
            filled(YAYI[language][kind], {"lead": lead} | ending(tail, language))
            for lead, tail in leads
        ]
    forms = FORMS[language, style][kind]
    space = " " if language == "en" else ""
    return [
        f"{lead}{tail}{space}{forms[k % len(forms)]}{{notes}}"
        for k, (lead, tail) in enumerate(leads)
    ]


def ending(tail: str, language: str) -> dict[str, str]:
    """The marks that may follow a lead alone: a question keeps its question mark.

    >>> ending("？类型限于：{schema}。", "zh")
    {'stop': '？', 'comma': '？'}
    """
    question = tail[0] if tail[0] in "？?" else ""
    return {"stop": question or ("。" if language == "zh" else "."), "comma": question or "，"}


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with each {name} of `values` put in, in one pass: braces inside a value or outside of `values` stay.

    >>> filled("json{{schema}：[实体]}", {"schema": "人物/{schema}"})
    'json{人物/{schema}：[实体]}'
    """
    return re.sub("{(" + "|".join(values) + ")}", lambda found: values[found[1]], text)


def schema_text(
    types: Sequence[str],
    kind: str,
    roles: Mapping[str, Sequence[str]],
    style: str = "json",
    language: str = "zh",
) -> str:
    """A slice of the schema as it stands in an instruction; `roles` (event type -> roles) counts for whole events alone.

    >>> schema_text(["航天发射", "会议"], "EE", {"航天发射": ["航天器", "地点"], "会议": []})
    '航天发射（航天器、地点）；会议'
    """
    if style == "instructuie":
        names = (
            list(dict.fromkeys(role for kind_ in types for role in roles[kind_]))
            if kind == "EE"
            else []
        )
        return (
            f"Event type: {','.join(types)}, Arguments type: {','.join(names)}."
            if kind == "EE"
            else ",".join(types)
        )
    if kind != "EE":
        yayi = {"NER": "/", "EE argument": "，"}.get(kind, ",")
        return (yayi if style == "yayi" else "、" if language == "zh" else ", ").join(types)
    between, opening, closing, after = (
        ("、", "（", "）", "；") if language == "zh" else (", ", " (", ")", "; ")
    )
    return after.join(
        name + (f"{opening}{between.join(roles[name])}{closing}" if roles[name] else "")
        for name in types
    )


def written(
    items: Sequence[Mapping],
    kind: str,
    style: str = "json",
    types: Sequence[str] = (),
    empty_types: bool = False,
) -> str:
    """The answer that a student should write. `types` orders the keys of json; with `empty_types` those without an item stay, as [].

    json: compact, keyed by type (arguments alone: by role). yayi: NER the same, RE and events a list of objects (see
    `wordings` for the source). instructuie: `type: word; type: word`, `relation: head, tail; ...`,
    `(type:..., trigger:..., arguments:(name:...,role:...), ...)`, triggers `type: word`, arguments `name: role`, and `None`;
    the source as in `wordings`. plain, our own: a line for each type (`人物：李白、杜甫`, `作者：静夜思→李白`) or event
    (`发射：升空；航天器=神舟五号`), and 无.

    Names and types come back from `parse` as they were: json escapes as JSON does; in the two line styles a mark that
    would separate something gets a backslash, which the published instructuie does not have.

    >>> items = [{"name": "静夜思、春望", "type": "作品"}, {"name": "李白", "type": "人物"}]
    >>> print(written(items, "NER", "plain"))
    作品：静夜思\\、春望
    人物：李白
    >>> written([{"head": "静夜思", "type": "作者", "tail": "李白"}], "RE", "instructuie")
    '作者: 静夜思, 李白'
    """
    if style in ("json", "yayi"):
        objects = style == "yayi" and kind in ("RE", "EE", "EE trigger")
        value = (
            listed_objects(items, kind)
            if objects
            else keyed(items, kind, types if empty_types else ())
        )
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    write = {"plain": plain_lines, "instructuie": instructuie_parts}[style]
    return ("\n" if style == "plain" else ", " if kind == "EE" else "; ").join(
        write(items, kind)
    ) or NOTHING[style]


def keyed(items: Iterable[Mapping], kind: str, types: Iterable[str]) -> dict[str, list]:
    """The items by type (arguments by role); `types` are there even without an item."""
    found: dict[str, list] = {name: [] for name in types}
    for item in items:
        found.setdefault(item["role" if kind == "EE argument" else "type"], []).append(
            shape(item, kind)
        )
    return found


def shape(item: Mapping, kind: str) -> object:
    """An item under its type: a name, `[head, tail]`, a trigger or `{trigger, arguments: {role: [name]}}`."""
    if kind == "RE":
        return [item["head"], item["tail"]]
    if kind == "EE":
        return {
            "trigger": item["trigger"],
            "arguments": keyed(item["arguments"], "EE argument", ()),
        }
    return item[FIELDS[kind][1]]


def listed_objects(items: Iterable[Mapping], kind: str) -> list[dict]:
    """The items as objects, one after the other."""
    if kind == "RE":
        return [
            {"relation": item["type"], "head": item["head"], "tail": item["tail"]} for item in items
        ]
    triggers = [{"type": item["type"], "trigger": item["trigger"]} for item in items]
    if kind == "EE trigger":
        return triggers
    return [
        t | {"arguments": keyed(item["arguments"], "EE argument", ())}
        for t, item in zip(triggers, items, strict=True)
    ]


def escaped(text: str, style: str, place: str) -> str:
    """A name or label as it may stand at a place of a line style.

    >>> escaped("春望、静夜思", "plain", "word"), escaped("无", "plain", "word")
    ('春望\\\\、静夜思', '\\\\无')
    """
    text = ESCAPED[style, place].sub(lambda mark: LINE_ENDS.get(mark[0], "\\" + mark[0]), text)
    if text in EMPTY_WORDS:
        return "\\" + text
    return (LABEL_EDGES if place == "label" else WORD_EDGES).sub(r"\\", text)


def plain_lines(items: Iterable[Mapping], kind: str) -> list[str]:
    """Style plain: a line for each type, or for each event."""
    if kind == "EE":
        return [plain_event(item) for item in items]
    lines: dict[str, list[str]] = {}
    for item in items:
        label, word = FIELDS.get(kind, ("type", ""))
        words = (
            escaped(item[word], "plain", "word")
            if word
            else "→".join(escaped(item[end], "plain", "end") for end in ("head", "tail"))
        )
        lines.setdefault(item[label], []).append(words)
    return [
        f"{escaped(label, 'plain', 'label')}：{'、'.join(words)}" for label, words in lines.items()
    ]


def plain_event(event: Mapping) -> str:
    """An event as one line: 类型：触发词；角色=论元、论元."""
    roles: dict[str, list[str]] = {}
    for argument in event["arguments"]:
        roles.setdefault(argument["role"], []).append(escaped(argument["name"], "plain", "word"))
    parts = [
        f"{escaped(role, 'plain', 'label')}={'、'.join(names)}" for role, names in roles.items()
    ]
    return "；".join(
        [
            f"{escaped(event['type'], 'plain', 'label')}：{escaped(event['trigger'], 'plain', 'word')}",
            *parts,
        ]
    )


def instructuie_parts(items: Iterable[Mapping], kind: str) -> list[str]:
    """Style instructuie: a part for each item."""
    if kind == "EE":
        return [instructuie_event(item) for item in items]

    def mark(text: str, place: str) -> str:
        return escaped(text, "instructuie", place)

    if kind == "RE":
        return [
            f"{mark(item['type'], 'label')}: {mark(item['head'], 'end')}, {mark(item['tail'], 'end')}"
            for item in items
        ]
    left, right = FIELDS[kind] if kind != "EE argument" else ("name", "role")
    return [f"{mark(item[left], 'label')}: {mark(item[right], 'word')}" for item in items]


def instructuie_event(event: Mapping) -> str:
    """An event in brackets, with each of its arguments in brackets."""

    def mark(text: str) -> str:
        return escaped(text, "instructuie", "event")

    arguments = (
        ", ".join(f"(name:{mark(a['name'])},role:{mark(a['role'])})" for a in event["arguments"])
        or "None"
    )
    return f"(type:{mark(event['type'])}, trigger:{mark(event['trigger'])}, arguments:{arguments})"
