"""Put the questions: how a prompt asks for each task, in Chinese and in English, in our own words.

In: types of a schema, a task, a style and a language. Out: the text of an instruction. Shown in
notebook 05. What an answer looks like stands in `styles`: questions are tables, answers are code.
"""

import re
from collections.abc import Mapping, Sequence

from miniluotuo_utils.files import expect

# What is asked, ten ways or more for each task. What stands before the bar is the question, what
# stands after it names the schema: the published layouts need the two apart.
LEADS = {
    "zh": {
        "NER": (
            "找出句子里的实体|，类型有：{schema}。",
            "从句子中抽取实体|，只看这些类型：{schema}。",
            "句子里提到了哪些实体|？类型限于：{schema}。",
            "读下面的句子，把其中的实体标出来|，只标这些类型：{schema}。",
            "做一次命名实体识别|，要识别的类型是：{schema}。",
            "把句子里的专名按类型归类|，可用的类型：{schema}。",
            "看看句子写到了什么人、事、物，逐个摘出来|，类型不出这个范围：{schema}。",
            "像填表一样，把句子里的实体填到对应的类型下|，表头是：{schema}。",
            "帮我圈出句子中的实体|，我只关心：{schema}。",
            "识别文本里的实体，照抄原文的写法|，候选类型：{schema}。",
            "下面这句话里有没有值得记下的名称，有就列出|，分成这几类：{schema}。",
        ),
        "RE": (
            "找出句子里的关系|，关系有：{schema}。",
            "从句子中抽取实体之间的关系|，只看这些：{schema}。",
            "句子里的哪些实体之间有关系|？关系限于：{schema}。",
            "读下面的句子，把有关系的头实体和尾实体配成对|，只配这些关系：{schema}。",
            "做一次关系抽取|，要抽取的关系是：{schema}。",
            "句子说明了谁和谁、什么和什么有关|？可用的关系：{schema}。",
            "把句子改写成一条条知识，每条连起两个实体|，关系从这里选：{schema}。",
            "给知识图谱补边，边的两头都要出自句子|，边的种类：{schema}。",
            "帮我理清句子里实体之间的联系|，我只关心：{schema}。",
            "识别文本里的关系三元组，实体照抄原文|，候选关系：{schema}。",
            "下面这句话讲到了哪些关系，连同两端的实体一起写出|，不出这个范围：{schema}。",
        ),
        "EE": (
            "找出句子里的事件|，类型和角色有：{schema}。",
            "从句子中抽取事件|，只看这些类型和角色：{schema}。",
            "句子里发生了什么事件|？类型和角色限于：{schema}。",
            "读下面的句子，写出每个事件的触发词和论元|，只写这些类型和角色：{schema}。",
            "做一次事件抽取|，事件类型和各自的角色是：{schema}。",
            "句子讲了哪些事，谁参与，何时何地|？按这些类型和角色回答：{schema}。",
            "把句子里的每件事记成一张卡片|，卡片的种类和栏目是：{schema}。",
            "先找点明事件的词，再找参与事件的各方|，类型和角色从这里选：{schema}。",
            "帮我整理句子里的事件|，我只关心这些类型和角色：{schema}。",
            "识别文本里的事件，触发词和论元都照抄原文|，候选类型和角色：{schema}。",
            "下面这句话报道了什么，按事件拆开|，可用的类型和角色：{schema}。",
        ),
    },
    "en": {
        "NER": (
            "Find the entities in the sentence|. Types: {schema}.",
            "Extract entities from the sentence|, of these types only: {schema}.",
            "Which entities does the sentence mention|? The types are {schema}.",
            "Read the sentence below and mark every entity|. Mark only: {schema}.",
            "Do named entity recognition|. Types to recognise: {schema}.",
            "Sort the names in the sentence by type|. Available types: {schema}.",
            (
                "Pick out the people, places and things that the sentence names"
                "|, within this range of types: {schema}."
            ),
            "Fill the entities of the sentence into a form|. Its headings are {schema}.",
            "Help me spot the entities in this sentence|. I only care about {schema}.",
            "Recognise the entities, spelt exactly as in the text|. Candidate types: {schema}.",
        ),
        "RE": (
            "Find the relations in the sentence|. Relations: {schema}.",
            "Extract relations between entities from the sentence|, these only: {schema}.",
            "Which entities in the sentence are related|? The relations are {schema}.",
            (
                "Read the sentence below and pair head entities with tail entities"
                "|. Use only: {schema}."
            ),
            "Do relation extraction|. Relations to extract: {schema}.",
            (
                "Who or what is connected with whom or what in the sentence"
                "|? Available relations: {schema}."
            ),
            (
                "Rewrite the sentence as facts that link two entities each"
                "|. Choose the relation from {schema}."
            ),
            (
                "Add edges to a knowledge graph, both ends taken from the sentence"
                "|. Kinds of edges: {schema}."
            ),
            "Help me sort out how the entities are linked|. I only care about {schema}.",
            (
                "Recognise relation triples, entities spelt exactly as in the text"
                "|. Candidate relations: {schema}."
            ),
        ),
        "EE": (
            "Find the events in the sentence|. Types and roles: {schema}.",
            "Extract events from the sentence|, of these types and roles only: {schema}.",
            "What happens in the sentence|? The event types and roles are {schema}.",
            (
                "Read the sentence below and write the trigger and arguments of every event"
                "|. Use only: {schema}."
            ),
            "Do event extraction|. Event types with their roles: {schema}.",
            (
                "Which events are told, who takes part, when and where"
                "|? Answer with these types and roles: {schema}."
            ),
            (
                "Note each event of the sentence on a card"
                "|. Kinds of cards and their fields: {schema}."
            ),
            (
                "First find the word that names the event, then those who take part"
                "|. Choose types and roles from {schema}."
            ),
            (
                "Help me list the events of this sentence"
                "|. I only care about these types and roles: {schema}."
            ),
            (
                "Recognise events, triggers and arguments spelt exactly as in the text"
                "|. Candidate types and roles: {schema}."
            ),
        ),
    },
}

# What the answer should look like in styles json and plain; lead k goes with form k, in turn.
FORMS = {
    ("zh", "json"): {
        "NER": ("用JSON回答。", "答案写成JSON。", "用JSON列出来。", "输出JSON。"),
        "RE": (
            "用JSON回答，每条写成头实体和尾实体。",
            "答案写成JSON，先头实体后尾实体。",
            "用JSON列出头尾实体。",
            "输出JSON。",
        ),
        "EE": (
            "用JSON回答触发词和论元。",
            "触发词和论元写成JSON。",
            "用JSON列出触发词和论元。",
            "输出JSON。",
        ),
    },
    ("en", "json"): {
        "NER": (
            "Answer in JSON.",
            "Write the answer as JSON.",
            "List them as JSON.",
            "Output JSON.",
        ),
        "RE": (
            "Answer in JSON, each as head and tail.",
            "Write JSON, head before tail.",
            "List heads and tails as JSON.",
            "Output JSON.",
        ),
        "EE": (
            "Answer triggers and arguments in JSON.",
            "Write triggers and arguments as JSON.",
            "Output JSON.",
        ),
    },
    ("zh", "plain"): {
        "NER": (
            "每类写一行：类型：名称、名称。没有就写无。",
            "一类一行，写成“类型：名称、名称”，什么都没有写“无”。",
        ),
        "RE": (
            "每种关系写一行：关系：头→尾、头→尾。没有就写无。",
            "一种关系一行，写成“关系：头→尾、头→尾”，什么都没有写“无”。",
        ),
        "EE": (
            "每个事件写一行：类型：触发词；角色=论元、论元。没有就写无。",
            "一个事件一行，写成“类型：触发词；角色=论元”，什么都没有写“无”。",
        ),
    },
    ("en", "plain"): {
        "NER": ("One line per type, 类型：名称、名称; if there is none, 无.",),
        "RE": ("One line per relation, 关系：头→尾、头→尾; if there is none, 无.",),
        "EE": ("One line per event, 类型：触发词；角色=论元、论元; if there is none, 无.",),
    },
}

# The layout of YAYI-UIE's prompts (README of wenge-research/YAYI-UIE): the text, then the task
# in brackets, the types joined by slashes inside `json{...}` (NER) or as a list (RE). It publishes
# none for whole events: those follow its RE form.
YAYI = {
    "zh": {
        "NER": "文本：{text}\n【实体抽取】{lead}{comma}以json{{schema}：[实体]}格式输出。{notes}",
        "RE": (
            "文本：{text}\n【关系抽取】已知关系列表是[{schema}]。{lead}{comma}"
            "按照json[{'relation':'', 'head':'', 'tail':''}, ]的格式输出。{notes}"
        ),
        "EE": (
            "文本：{text}\n【事件抽取】已知事件类型和论元角色列表是[{schema}]。{lead}{comma}"
            "按照json[{'type':'', 'trigger':'', 'arguments':{角色:[论元]}}, ]的格式输出。{notes}"
        ),
    },
    "en": {
        "NER": (
            "Text: {text}\n[Entity Extraction] {lead}{stop} Output json{{schema}: [entity]}.{notes}"
        ),
        "RE": (
            "Text: {text}\n[Relation Extraction] Relations: [{schema}]. {lead}{stop} "
            "Output json[{'relation':'', 'head':'', 'tail':''}, ].{notes}"
        ),
        "EE": (
            "Text: {text}\n[Event Extraction] Event types and roles: [{schema}]. {lead}{stop} "
            "Output json[{'type':'', 'trigger':'', 'arguments':{role:[argument]}}, ].{notes}"
        ),
    },
}

# The layout of InstructUIE's prompts (`src/uie_dataset.py` and `configs/instruction_config.json` of
# BeyonderXX/InstructUIE): instruction, output format, Option, Text, Answer.
INSTRUCTUIE = {
    "zh": (
        "{lead}{stop}输出格式：“{output}”，没有就写None。\n"
        "选项：{schema}{notes}\n文本：{text}\n答案："
    ),
    "en": (
        '{lead}{stop} Output format is "{output}", None if there is nothing.\n'
        "Option: {schema}{notes}\nText: {text}\nAnswer:"
    ),
}
OUTPUTS = {
    "zh": {
        "NER": "类型: 词语; 类型: 词语",
        "RE": "关系: 头, 尾; 关系: 头, 尾",
        "EE": "(type:类型, trigger:触发词, arguments:(name:论元,role:角色))",
    },
    "en": {
        "NER": "type: word; type: word",
        "RE": "relation: head, tail; relation: head, tail",
        "EE": "(type:type, trigger:trigger, arguments:(name:argument,role:role))",
    },
}

# Around the roles of an event type: between two of them, before and after them, between two types.
EVENT_MARKS = {"zh": ("、", "（", "）", "；"), "en": (", ", " (", ")", "; ")}


def templates_of(task: str, style: str = "json", language: str = "zh") -> list[str]:
    """Return the templates of a task's instructions; extraction uses the first.

    Each has one {schema} and one {notes}, the descriptions of its types. In yayi and instructuie
    the sentence stands inside, at its published place: {text}. The layout is theirs, the words are
    ours.

    >>> templates_of("NER")[0]
    '找出句子里的实体，类型有：{schema}。用JSON回答。{notes}'
    """
    leads = [lead.split("|") for lead in LEADS[language][task]]
    if style in ("json", "plain"):
        forms = FORMS[language, style][task]
        space = " " if language == "en" else ""
        return [
            f"{lead}{tail}{space}{forms[k % len(forms)]}{{notes}}"
            for k, (lead, tail) in enumerate(leads)
        ]

    layout = INSTRUCTUIE[language]
    if style == "yayi":
        layout = YAYI[language][task]
        # Its text stands above the question, so a question must not point below.
        leads = [
            (lead.replace("下面", "上面").replace("below", "above"), tail) for lead, tail in leads
        ]
    output = OUTPUTS[language][task]
    return [
        filled(layout, {"lead": lead, "output": output} | ending(tail, language))
        for lead, tail in leads
    ]


def ending(tail: str, language: str) -> dict[str, str]:
    """Return the marks that may follow a lead alone: a question keeps its question mark.

    >>> ending("？类型限于：{schema}。", "zh")
    {'stop': '？', 'comma': '？'}
    """
    question = tail[0] if tail[0] in "？?" else ""
    full_stop = "。" if language == "zh" else "."
    return {"stop": question or full_stop, "comma": question or "，"}


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with each {name} of `values` put in.

    It takes one pass, so braces inside a value, or around other names, stay as they are.

    >>> filled("json{{schema}：[实体]}", {"schema": "人物/{schema}"})
    'json{人物/{schema}：[实体]}'
    """
    return re.sub("{(" + "|".join(values) + ")}", lambda found: values[found[1]], text)


def schema_text(
    types: Sequence[str],
    task: str,
    schema: Sequence[str] | Mapping[str, Sequence[str]],
    style: str = "json",
    language: str = "zh",
) -> str:
    """Return a slice of the schema as an instruction names it; for EE with the roles of each type.

    >>> schema_text(["航天发射", "会议"], "EE", {"航天发射": ["航天器", "地点"], "会议": []})
    '航天发射（航天器、地点）；会议'
    """
    if style == "instructuie":
        kinds = ",".join(types)
        if task != "EE":
            return kinds
        roles = dict.fromkeys(role for kind in types for role in schema[kind])
        return f"Event type: {kinds}, Arguments type: {','.join(roles)}."
    if task == "EE":
        between, opening, closing, after = EVENT_MARKS[language]
        return after.join(
            kind + (f"{opening}{between.join(schema[kind])}{closing}" if schema[kind] else "")
            for kind in types
        )
    if style == "yayi":
        return ("/" if task == "NER" else ",").join(types)
    return ("、" if language == "zh" else ", ").join(types)


def notes(types: Sequence[str], descriptions: Mapping[str, str], language: str) -> str:
    r"""Return the descriptions of a slice's types, a line for each that has one.

    >>> notes(["人物", "地点"], {"人物": "人的名字。"}, "zh")
    '\n人物：人的名字。'
    """
    told = isinstance(descriptions, Mapping)
    expect(told, "descriptions", descriptions, "a dict: type -> one sentence")
    colon = "：" if language == "zh" else ": "
    return "".join(f"\n{kind}{colon}{descriptions[kind]}" for kind in types if kind in descriptions)
