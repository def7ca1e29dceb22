"""The shapes that large models answer in: read rightly or refused, never typed by guess."""

import json

import pytest
from answer_shapes import (
    EE_REFUSED,
    EE_SCHEMA,
    EE_SHAPES,
    NER_REFUSED,
    NER_SCHEMA,
    NER_SHAPES,
    RE_REFUSED,
    RE_SCHEMA,
    RE_SHAPES,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils.ie import parse
from miniluotuo_utils.ie.keys import Asked, is_word
from miniluotuo_utils.ie.layouts import layouts
from miniluotuo_utils.ie.names import says_nothing
from miniluotuo_utils.ie.spans import locate, to_record
from miniluotuo_utils.records import check_record

SCHEMAS = {"NER": NER_SCHEMA, "RE": RE_SCHEMA, "EE": EE_SCHEMA}
SHAPES = {"NER": NER_SHAPES, "RE": RE_SHAPES, "EE": EE_SHAPES}
REFUSED = {"NER": NER_REFUSED, "RE": RE_REFUSED, "EE": EE_REFUSED}
CASES = [(task, name) for task, shapes in SHAPES.items() for name in shapes]


def told(task, items):
    """Items as the table writes them, in any order."""
    if task == "NER":
        return sorted((item["name"], item["type"]) for item in items)
    if task == "RE":
        return sorted((item["head"], item["type"], item["tail"]) for item in items)
    return sorted(
        (e["type"], e["trigger"], sorted((a["role"], a["name"]) for a in e["arguments"]))
        for e in items
    )


def wanted(task, name):
    """The reading of a shape in the table, sorted as `told` does."""
    items = SHAPES[task][name][1]
    if task != "EE":
        return sorted(items)
    return sorted((kind, trigger, sorted(arguments)) for kind, trigger, arguments in items)


@pytest.mark.parametrize("task, name", CASES)
def test_a_shape_is_read_with_the_schema(task, name):
    """51 of 78 NER shapes, 21 of 31 RE shapes, 11 of 19 EE shapes were unread or wrongly typed."""
    parsed = parse(SHAPES[task][name][0], task, schema=SCHEMAS[task])
    assert parsed.ok, parsed
    assert told(task, parsed.items) == wanted(task, name), parsed


@pytest.mark.parametrize("task, name", CASES)
def test_a_shape_is_read_without_a_schema_or_refused(task, name):
    """Keys became types: `entities`, `name` and 实体类型 were predicted with ok and no repair."""
    parsed = parse(SHAPES[task][name][0], task)
    if parsed.ok or SHAPES[task][name][2]:
        assert told(task, parsed.items) == wanted(task, name), parsed
    assert parsed.ok >= SHAPES[task][name][2], parsed


@pytest.mark.parametrize("task, name", CASES)
def test_a_shape_is_read_in_every_style_that_was_asked_for(task, name):
    """A chat model that is asked in lines answers in a table all the same."""
    for style in ("plain", "instructuie", "yayi"):
        parsed = parse(SHAPES[task][name][0], task, style, SCHEMAS[task])
        assert not parsed.ok or told(task, parsed.items) == wanted(task, name), (style, parsed)


@pytest.mark.parametrize("with_schema", [True, False])
@pytest.mark.parametrize(
    "task, name", [(t, name) for t, found in REFUSED.items() for name in found]
)
def test_what_nobody_can_tell_is_refused(task, name, with_schema):
    """A type that nobody asked for, read with ok, looks like a right answer."""
    parsed = parse(REFUSED[task][name], task, schema=SCHEMAS[task] if with_schema else None)
    assert not parsed.ok, parsed
    assert not parsed.items


@pytest.mark.parametrize("task", SCHEMAS)
def test_an_answer_of_one_task_is_none_of_another(task):
    """Asked for relations, a model lists entities too: a key of theirs is no relation."""
    for other, shapes in SHAPES.items():
        for name, (answer, items, _) in shapes.items():
            if other == task or not items:
                continue
            kinds = {item["type"] for item in parse(answer, task).items}
            assert not any(map(is_word, kinds)), (name, kinds)


@pytest.mark.parametrize(
    "answer, repairs",
    [
        ('<think>也许{"人物":["杜甫"]}</think>{"人物":["李白"]}', {"thoughts": 1}),
        ('也许{"人物":["杜甫"]}</think>{"人物":["李白"]}', {"thoughts": 1}),
        ('例如 {"人物":["张三"]}，所以答案是 {"人物":["李白"]}', {"draft": 1, "prefix_text": 1}),
        ('{"人物":["张三"]}\n不对，应该是：\n{"人物":["李白"]}', {"draft": 1, "prefix_text": 1}),
        ('输出格式如 {"人物":["某人"]}\n\n结果：{"人物":["李白"]}', {"draft": 1, "prefix_text": 1}),
        ('答案：{"人物":["李白"]}\n（格式示例：{"人物":["张三"]}）', {"draft": 1}),
        (
            'Draft: {"人物":["张三"]}\nFinal answer: {"人物":["李白"]}',
            {"draft": 1, "prefix_text": 1},
        ),
    ],
)
def test_the_last_word_wins(answer, repairs):
    """The first JSON won: a draft, an example or a thought was scored as the answer."""
    parsed = parse(answer, "NER", schema=["人物"])
    assert [item["name"] for item in parsed.items] == ["李白"]
    assert parsed.repairs.items() >= repairs.items()


@pytest.mark.parametrize(
    "answer",
    [
        '{"人物":["李白"]}\n{"人物":["杜甫"]}',
        '{"人物":["李白"]}{"人物":["杜甫"]}',
        '{"人物":["李白"]}, {"人物":["杜甫"]}',
        '1. {"name":"李白","type":"人物"}\n2. {"name":"杜甫","type":"人物"}',
        '```json\n{"人物":["李白"]}\n```\n```json\n{"人物":["杜甫"]}\n```',
        '实体1：{"name":"李白","type":"人物"}\n实体2：{"name":"杜甫","type":"人物"}',
    ],
)
def test_values_side_by_side_are_joined(answer):
    """Of two objects on two lines the second was lost."""
    parsed = parse(answer, "NER", schema=["人物"])
    assert [item["name"] for item in parsed.items] == ["李白", "杜甫"]
    assert parsed.repairs["joined"] == 1


@pytest.mark.parametrize(
    "answer, names, repair",
    [
        ('{"作品":["无"]}', [], "null_value"),
        ('{"作品":["None"]}', [], "null_value"),
        ('{"作品":"NAN"}', [], "null_value"),
        ('{"作品":["未提及"]}', [], "null_value"),
        ('{"作品":["无题"]}', ["无题"], None),
        ('{"作品":[" 春望"]}', ["春望"], "spaces"),
        ('{"作品":["\u200b春望\u3000"]}', ["春望"], "spaces"),
        ('{"作品:":["春望"]}', ["春望"], None),
        ('{"作品":["春望"] // 杜甫写的\n}', ["春望"], "comment"),
        ('{/* 诗 */"作品":["春望"]}', ["春望"], "comment"),
        ('{"作品":["他说"你好"","春望"]}', ['他说"你好"', "春望"], "inner_quotes"),
        ('{"作品":["给"独裁者"，等回复。"]}', ['给"独裁者"，等回复。'], "inner_quotes"),
        ('{"作品":["。","春望"]}', ["春望"], "dropped_item"),
        ('{"作品":["《？》"]}', ["《？》"], None),
    ],
)
def test_what_hangs_on_a_name_goes_and_what_is_none_is_none(answer, names, repair):
    """无, NAN and a full stop were predicted as names; a blank made a right name wrong."""
    parsed = parse(answer, "NER", schema=["作品"])
    assert parsed.ok
    assert [item["name"] for item in parsed.items] == names
    assert repair is None or parsed.repairs[repair]
    assert {item["type"] for item in parsed.items} <= {"作品"}


@pytest.mark.parametrize(
    "answer",
    [
        *[
            "没有实体",
            "无",
            "NAN",
            "没有找到相关实体。",
            "该句子中不包含任何实体",
            "未发现符合条件的实体",
        ],
        *[
            "文本中没有提到任何关系。",
            "无相关事件",
            "No entities.",
            "There are no entities.",
            "N/A",
        ],
    ],
)
@pytest.mark.parametrize("task", SCHEMAS)
def test_nothing_in_words_is_an_empty_answer(answer, task):
    """没有实体 counted as unparsable, as if the model could not follow the format."""
    parsed = parse(answer, task, schema=SCHEMAS[task])
    assert parsed.ok, parsed
    assert not parsed.items


@pytest.mark.parametrize(
    "text", ["没有人来过", "无锡", "没有实体店的公司倒闭了", "", "文中提到了李白"]
)
def test_a_sentence_that_begins_with_no_is_not_nothing(text):
    """Taken for an empty answer, prose would look like a careful student."""
    assert not says_nothing(text)


def test_a_type_that_nobody_asked_for_is_counted():
    """It is not hidden, and it is not a repair of reading."""
    parsed = parse('{"人物":["李白"],"朝代":["唐"]}', "NER", schema=["人物"])
    assert [item["type"] for item in parsed.items] == ["人物", "朝代"]
    assert parsed.repairs == {"unasked_type": 1}


def test_a_schema_may_hold_the_words_for_parts():
    """A type called name or 实体 is a type where it was asked for."""
    schema = ["name", "实体", "entities"]
    for kind in schema:
        parsed = parse(json.dumps({kind: ["李白"]}, ensure_ascii=False), "NER", schema=schema)
        assert parsed.items == [{"name": "李白", "type": kind}]
        assert not parsed.repairs


def test_a_loop_ends_the_answer():
    """17 × 人物 。他 in one answer were 17 predictions."""
    for unit, kept in (('"他"', 1), ('"他","她"', 2)):
        parsed = parse('{"人物":[' + ",".join([unit] * 17) + "]}", "NER")
        assert len(parsed.items) == kept
        assert parsed.repairs["loop"] == 1
    assert len(parse('{"人物":["他","他","他"]}', "NER").items) == 3


# ---- what is no answer, beside one that is

FEW = ["人物", "城市"]
WHO_ONLY = [("林小舟", "人物")]
BESIDE_ANSWERS = {
    "a prompt of its own": '{"人物":["林小舟"]}\n输入：丁一到了成都。\n输出：{"人物":["丁一"]}',
    "a prompt of its own, lines": "人物：林小舟\n\n输入：丁一来了。\n人物：丁一",
    "a draft in lines": "初步识别：\n- 林小舟：城市\n\n**最终答案：**\n- 林小舟：人物",
    "a draft in JSON": '{"城市":["林小舟"]}\n最终结果：\n|实体|类型|\n|--|--|\n|林小舟|人物|',
    "a rejected one": '{"人物":["林小舟"],"城市":[{"name":"船","rejected":true}]}',
    "a verdict": '[{"name":"林小舟","type":"人物"},{"name":"船","type":"城市","判断":"否"}]',
    "what is none": '{"人物":["林小舟"],"以上都不是":["船"]}',
    "a word for not sure": '{"人物":["林小舟"],"城市":["不确定"]}',
}


@pytest.mark.parametrize("answer", BESIDE_ANSWERS.values(), ids=BESIDE_ANSWERS)
def test_what_is_no_answer_is_left_out(answer):
    """Examples that the model made up, drafts and rejected names were items with ok."""
    parsed = parse(answer, "NER", schema=FEW)
    assert [(item["name"], item["type"]) for item in parsed.items] == WHO_ONLY


@pytest.mark.parametrize(
    "answer",
    [
        '{"人物": 0.93, "城市": 0.88}',
        '{"人物": {"precision": 0.9}, "城市": {"count": 3}}',
        "人物：指句子里的人，例如张三\n城市：表示一级行政区的名称",
        '例如 {"人物": ["林小舟"]}\n问：丁一来了。\n答：',
        'def extract(text):\n    return {"人物": [], "城市": []}',
    ],
)
def test_numbers_definitions_and_code_are_no_names(answer):
    """Counts, scores and variables were read as names, and 指有纪念意义的日子 as a day."""
    assert not parse(answer, "NER", schema=FEW).ok


def test_an_item_inside_of_an_item_is_read():
    """The inner name was lost, and nothing said so."""
    answer = '{"name":"成都大学","type":"学校","children":[{"name":"成都","type":"城市"}]}'
    found = parse(answer, "NER", schema=["学校", "城市"])
    assert [item["name"] for item in found.items] == ["成都大学", "成都"]


# ---- places


@pytest.mark.parametrize(
    "text, name, place",
    [
        ("14/12和4/12", "4/12", (6, 10)),
        ("13.5和3.5", "3.5", (5, 8)),
        ("1,000和000", "000", (6, 9)),
        ("Anna认识Ann", "Ann", (6, 9)),
        ("iPhone14和14", "14", (6, 8)),
        ("2024年", "24", None),
        ("3.14米", "14", None),
        ("vsnec尼美根", "nec尼美根", (2, 8)),
        ("北京大学在北京", "北京", (0, 2)),
        ("ABC公司", "ＡＢＣ公司", (0, 5)),
        ("小米14Ultra", "小米14 Ultra", (0, 9)),
        ("臺灣大學", "台湾大学", (0, 4)),
        ("ＧＤＰ增长", "gdp", (0, 3)),
        ("上海", "南京", None),
    ],
)
def test_a_name_is_placed_where_it_stands_whole(text, name, place):
    """4/12 was put inside of 14/12, and a name in another width had no place at all."""
    assert locate(text, [name]) == [[place] if place else []]


def test_a_name_in_another_width_is_named_as_its_text_does():
    """Else the record's pos would not cut its name out."""
    record = to_record("ABC公司在臺灣", [{"name": "ＡＢＣ 公司", "type": "机构"}], "NER")
    assert check_record(record)["entities"] == [{"name": "ABC公司", "type": "机构", "pos": [0, 5]}]


def test_every_place_does_not_multiply():
    """Head places × tail places: 6,173 relations of 3,000 characters, 960 MiB at 1,000 repeats."""
    text = "甲见乙。" * 1000
    relation = {"head": "甲", "type": "见", "tail": "乙"}
    found = to_record(text, [relation], "RE", "every")["relations"]
    assert len(found) <= 2000
    assert all(abs(one["head"]["pos"][0] - one["tail"]["pos"][0]) <= 2 for one in found)
    event = {"type": "见", "trigger": "见", "arguments": [{"name": "乙", "role": "谁"}]}
    events = to_record(text, [event], "EE", "every")["events"]
    assert sum(len(one["arguments"]) for one in events) <= 2000
    few = to_record("甲见乙和乙", [relation], "RE", "every")["relations"]
    assert len(few) == 2


# ---- hostile strings

PIECES = [
    *"{}[]()（）<>【】|｜:：,，、;；\"'“”#*-—→=/\\`\n\t 　.。0一",
    *["人物", "李白", "实体", "类型", "name", "type", "entities", "关系", "head", "tail", "触发词"],
    *["trigger", "arguments", "role", "```", "```json", "|---|---|", "<think>", "</think>", "- "],
    *[
        "### ",
        "**",
        '<entity type="人物">',
        "</entity>",
        "((",
        "答案：",
        "例如",
        "无",
        "NAN",
        "null",
    ],
    *[
        "<extra_id_0>",
        "<extra_id_5>",
        "<triplet>",
        "<subj>",
        "\ud83d",
        "\u200b",
        "B-人物",
        "：\n",
        "1.",
    ],
]


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)),
    st.sampled_from(list(SCHEMAS)),
    st.booleans(),
    st.sampled_from(["json", "yayi", "plain", "instructuie"]),
)
def test_no_shape_ever_raises(answer, task, with_schema, style):
    """One odd answer of ten thousand must not end an evaluation; what is read must fit a record."""
    parsed = parse(answer, task, style, SCHEMAS[task] if with_schema else None)
    assert all(count > 0 for count in parsed.repairs.values())
    assert parsed.ok or not parsed.items
    for policy in ("first", "every"):
        record = check_record(to_record("李白在长安，１２/3 ABC abc", parsed.items, task, policy))
    json.dumps(record, ensure_ascii=False).encode("utf-8")


@settings(deadline=None, max_examples=200)
@given(
    st.text(alphabet="ab12Ａ１ 臺台.,/。é", max_size=30),
    st.lists(st.text(alphabet="ab12Ａ１ 臺台.,/。é", max_size=5), max_size=4),
    st.sampled_from(["first", "every"]),
)
def test_locate_never_raises_and_stays_inside(text, names, policy):
    """A place outside of its text, or an empty one, is refused by every reader of records."""
    for places in locate(text, names, policy):
        assert all(0 <= start < end <= len(text) for start, end in places)


UNITS = [
    "|",
    "| a |\n",
    "<a>",
    "<a ",
    "((",
    "(a",
    "（a, b）",
    "a: ",
    "- ",
    "# ",
    "“a",
    "《",
    "[a|b]",
    "，",
]


@pytest.mark.parametrize("unit", UNITS)
def test_a_loop_in_any_layout_is_read_in_linear_time(unit):
    """In quadratic time a student that repeats itself would take half an hour."""
    for size in (1_000, 20_000):
        list(layouts(unit * size, Asked.of("NER", None)))
        parse(unit * size, "RE")
