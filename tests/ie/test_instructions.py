"""Instructions from records and answers read back: every style, slices, negatives, damage."""

import json
import random

import pytest
from examples import BOOK, SPACE, event
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils.ie import (
    build_instructions,
    dictionary_baseline,
    hard_negatives,
    parse,
    schema_of,
    score,
)
from miniluotuo_utils.ie.instructions import DEFAULT, answer_items, merged, questions
from miniluotuo_utils.ie.names import EMPTY_WORDS
from miniluotuo_utils.ie.schema import distinct
from miniluotuo_utils.ie.slicing import SLICE_SIZES, asked_types, sliced
from miniluotuo_utils.ie.spans import to_record
from miniluotuo_utils.ie.styles import LANGUAGES, STYLES, written
from miniluotuo_utils.ie.templates import templates_of
from miniluotuo_utils.records import TASKS, check_record, check_row


def ner(sentence, *entities):
    """A record from (name, type), each name at its first place."""
    return check_record(
        to_record(sentence, [{"name": n, "type": t} for n, t in entities], "NER", source="test")
    )


LIBAI = ner(
    "李白和杜甫在长安，李白走了",
    ("杜甫", "人物"),
    ("李白", "人物"),
    ("长安", "地点"),
    ("李白", "人物"),
)
EXAMPLES = {"NER": LIBAI, "RE": BOOK, "EE": SPACE}


# ---- instructions


def test_the_answer_is_compact_ordered_and_without_empty_types():
    """Another order than the sentence's, or empty keys, cost a tiny student most of its letters."""
    row = build_instructions([LIBAI], "NER", ["时间", "地点", "人物"], paraphrases=False)[0]
    assert row["output"] == '{"地点":["长安"],"人物":["李白","杜甫"]}'
    assert row["input"] == LIBAI["sentence"]
    assert row["source"] == "test"
    assert row["instruction"] == "找出句子里的实体，类型有：时间、地点、人物。用JSON回答。"
    row = build_instructions([BOOK], "RE", schema_of([BOOK], "RE"), paraphrases=False)[0]
    assert row["output"] == '{"作者":[["红楼梦","曹雪芹"]],"编者":[["红楼梦","曹雪芹"]]}'
    row = build_instructions([SPACE], "EE", {"发射": ["火箭", "航天器"]})[0]
    assert json.loads(row["output"]) == {
        "发射": [
            {"trigger": "发射", "arguments": {"航天器": ["神舟五号"]}},
            {"trigger": "发射", "arguments": {"火箭": ["长征"]}},
        ]
    }


def test_a_record_with_nothing_asks_and_answers_with_empty_braces():
    """A student that never saw an empty answer finds something in every sentence."""
    row = build_instructions([ner("下雨了")], "NER", ["人物"])[0]
    assert check_row(row)["output"] == "{}"


@pytest.mark.parametrize("task", TASKS)
def test_paraphrases_depend_on_seed_and_row_alone(task):
    """A re-run notebook that trains on other prompts cannot be compared with yesterday's."""
    record, schema = EXAMPLES[task], schema_of([EXAMPLES[task]], task)
    rows = build_instructions([record] * 40, task, schema, seed=3)
    assert rows == build_instructions([record] * 40, task, schema, seed=3)
    assert rows[:7] == build_instructions([record] * 7, task, schema, seed=3)
    assert rows != build_instructions([record] * 40, task, schema, seed=4)
    assert len({row["instruction"].split("：")[0] for row in rows}) > 5
    fixed = build_instructions([record] * 9, task, schema, paraphrases=False)
    assert len({row["instruction"] for row in fixed}) == 1


def test_schema_of_keeps_the_order_of_first_sight():
    """A schema that changes its order between runs changes every prompt."""
    assert schema_of([LIBAI], "NER") == ["人物", "地点"]
    assert schema_of([BOOK, BOOK], "RE") == ["作者", "编者"]
    assert schema_of([SPACE], "EE") == {"发射": ["航天器", "火箭"]}
    assert schema_of([ner("下雨了")], "NER") == []


@pytest.mark.parametrize(
    "record, task, schema, words",
    [
        (LIBAI, "NER", ["人物"], ["record 2", "'地点'", "entities[2].type"]),
        (SPACE, "EE", {"发射": ["火箭"]}, ["record 2", "'航天器'", "events[0].arguments[0].role"]),
        (BOOK, "NER", ["人物"], ["entities", BOOK["sentence"]]),
    ],
)
def test_a_label_outside_the_schema_is_named(record, task, schema, words):
    """Left out silently, it would teach the student to overlook that type."""
    empty = {"sentence": "空", TASKS[task]: []}
    with pytest.raises(ValueError) as error:
        build_instructions([empty, record], task, schema)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    "task, schema", [("NER", []), ("NER", "人物"), ("EE", ["发射"]), ("RE", {"作者": []})]
)
def test_a_schema_of_the_wrong_shape_is_refused(task, schema):
    """A string as schema would be spelt out letter by letter: 人、物."""
    with pytest.raises(ValueError, match="schema is"):
        build_instructions([], task, schema)


def test_an_unknown_task_is_refused_everywhere():
    """`task="ner"` must not end in a KeyError deep inside."""
    for call in (
        lambda: build_instructions([], "ner", ["人物"]),
        lambda: schema_of([LIBAI], "ner"),
        lambda: parse("{}", "ner"),
        lambda: score([], [], "ner"),
        lambda: dictionary_baseline([], [], "ner"),
        lambda: to_record("a", [], "ner"),
    ):
        with pytest.raises(ValueError, match="expected one of NER, RE, EE"):
            call()


FIRST = {
    "NER": "找出句子里的实体，类型有：{schema}。用JSON回答。{notes}",
    "RE": "找出句子里的关系，关系有：{schema}。用JSON回答，每条写成头实体和尾实体。{notes}",
    "EE": "找出句子里的事件，类型和角色有：{schema}。用JSON回答触发词和论元。{notes}",
}


@pytest.mark.parametrize("task", TASKS)
def test_the_first_template_is_the_one_students_were_trained_on(task):
    """A comma changed in it, and every trained student answers worse without a word of warning."""
    assert templates_of(task)[0] == FIRST[task]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", TASKS)
def test_there_are_ten_templates_each_with_the_schema_once(style, language, task):
    """A template without the schema asks for nothing; two alike are one."""
    texts = templates_of(task, style, language)
    assert len(set(texts)) == len(texts) >= 10
    for text in texts:
        assert text.count("{schema}") == 1
        assert text.count("{notes}") == 1
        assert text.count("{text}") == (style in ("yayi", "instructuie"))
        assert "{lead}" not in text
        assert "{output}" not in text


def test_published_prompts_keep_their_layout():
    """A prompt in another layout than YAYI-UIE's or InstructUIE's is no comparison with them."""
    ask = {"records": [LIBAI], "task": "NER", "schema": ["人物", "地点"], "paraphrases": False}
    row = build_instructions(**ask, style="yayi")[0]
    assert row["instruction"] == (
        f"文本：{LIBAI['sentence']}\n"
        "【实体抽取】找出句子里的实体，以json{人物/地点：[实体]}格式输出。"
    )
    assert row["input"] == ""
    assert row["output"] == '{"人物":["李白","杜甫"],"地点":["长安"]}'
    row = build_instructions(**ask, style="instructuie", language="en")[0]
    assert row["instruction"].endswith(f"Option: 人物,地点\nText: {LIBAI['sentence']}\nAnswer:")
    assert row["output"] == "人物: 李白; 人物: 杜甫; 地点: 长安"
    assert build_instructions(**ask, style="plain")[0]["output"] == "人物：李白、杜甫\n地点：长安"
    asked = {
        style: build_instructions([BOOK], "RE", ["作者", "编者"], style=style)[0]
        for style in STYLES
    }
    assert json.loads(asked["yayi"]["output"])[0].keys() == {"relation", "head", "tail"}
    assert (
        "按照json[{'relation':'', 'head':'', 'tail':''}, ]的格式输出。"
        in asked["yayi"]["instruction"]
    )
    told = build_instructions([SPACE], "EE", {"发射": ["航天器", "火箭"]}, style="instructuie")[0][
        "output"
    ]
    assert told.startswith(
        "(type:发射, trigger:发射, arguments:(name:神舟五号,role:航天器)), (type:发射"
    )


def test_every_style_says_that_there_is_nothing():
    """An empty text as answer teaches a student to stop at once, also where it should not."""
    rain = [ner("下雨了")]
    told = {
        style: build_instructions(rain, "NER", ["人物"], style=style)[0]["output"]
        for style in STYLES
    }
    assert told == {"json": "{}", "yayi": "{}", "instructuie": "None", "plain": "无"}


def test_descriptions_follow_the_instruction_for_the_types_of_the_slice():
    """A description of a type that is not asked for draws the student away from those that are."""
    ask = {
        "schema": list("甲乙丙"),
        "task": "NER",
        "descriptions": {"乙": "第二个", "丙": "末一个"},
    }
    one = questions(["李白"], slice_size=2, **ask)[0]
    two = questions(["李白"], slice_size=None, style="instructuie", **ask)[0]
    assert one["instruction"].endswith("用JSON回答。\n乙：第二个")  # 3 types, slices of 2: 2 and 1
    assert "选项：甲,乙,丙\n乙：第二个\n丙：末一个\n文本：李白" in two["instruction"]


@pytest.mark.parametrize(
    "count, size, lengths",
    [
        (5, 6, [5]),
        (6, 6, [6]),
        (8, 6, [8]),
        (9, 6, [6, 3]),
        (14, 6, [6, 8]),
        (15, 6, [6, 6, 3]),
        (5, 4, [5]),
        (6, 4, [4, 2]),
        (3, 1, [1, 1, 1]),
        (7, 2, [2, 2, 2, 1]),
        (30, None, [30]),
    ],
)
def test_the_remainder_joins_or_stands_alone_as_in_iepile(count, size, lengths):
    """Other slices than those of training cost a student points: hand-counted cases."""
    types = [str(n) for n in range(count)]
    slices = sliced(types, size)
    assert [len(part) for part in slices] == lengths
    assert sum(slices, []) == types


@pytest.mark.parametrize("size", [0, -1, 2.5, True])
def test_a_slice_size_that_is_none_is_refused(size):
    """Slices of zero types would never end."""
    with pytest.raises(ValueError, match="slice_size is"):
        questions(["李白"], ["人物"], "NER", slice_size=size)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 99),
    st.integers(1, 25),
    st.sampled_from([DEFAULT, None, 1, 3]),
    st.sampled_from(["NER", "EE"]),
)
def test_slices_ask_for_every_type_once_and_no_row_stands_twice(seed, count, size, task):
    """A type in no slice is never found; one in two slices is counted twice."""
    schema = (
        {f"类{n}": ["角色"] for n in range(count)}
        if task == "EE"
        else [f"类{n}" for n in range(count)]
    )
    record = {"sentence": "李白走了", TASKS[task]: []}
    for rows in (
        build_instructions([record] * 3, task, schema, seed, slice_size=size),
        questions(["李白走了"] * 3, schema, task, slice_size=size),
    ):
        for number in range(3):
            mine = [row for row in rows if row["record"] == number]
            assert sorted(sum((row["types"] for row in mine), [])) == sorted(schema)
            assert len({(row["instruction"], row["input"]) for row in mine}) == len(mine)
    whole = (
        1
        if size is None
        else len(sliced(list(schema), SLICE_SIZES[task] if size == DEFAULT else size))
    )
    assert len(rows) == 3 * whole
    assert sum((row["types"] for row in rows[:whole]), []) == list(schema)


def test_training_shuffles_types_and_questions_keep_their_order():
    """A student that saw one order reads positions; an evaluation must not depend on a seed."""
    schema = [f"类{n}" for n in range(12)]
    rows = build_instructions([ner("下雨了")] * 20, "NER", schema, seed=1)
    assert len({tuple(row["types"]) for row in rows}) > 30
    fixed = build_instructions([ner("下雨了")], "NER", schema, paraphrases=False)
    assert [row["types"] for row in fixed] == [schema[:6], schema[6:]]
    assert [{**row, "source": ""} for row in fixed] == questions(["下雨了"], schema, "NER")
    libai = [ner("李白在长安", ("李白", "类1"), ("长安", "类0"))] * 9
    for row in build_instructions(libai, "NER", ["类0", "类1"], seed=2):
        assert list(json.loads(row["output"])) == row["types"]


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"style": "yaml"}, "style is 'yaml'"),
        ({"language": "de"}, "language is 'de'"),
        ({"pure_negative": 2}, "pure_negative is 2"),
    ],
)
def test_an_unknown_choice_is_named(wrong, message):
    """A misspelt style that fell back to json would be an evaluation of something else."""
    with pytest.raises(ValueError, match=message):
        build_instructions([LIBAI], "NER", ["人物", "地点"], **wrong)


def test_merged_puts_the_slices_of_a_record_together():
    """Slices scored one by one would count every entity of the other slices as missed."""
    schema = ["人物", "时间", "地点"]
    rows = questions([LIBAI["sentence"], "下雨了", "长安"], schema, "NER", slice_size=1)
    answers = {
        ("人物", 0): '{"人物":["李白","杜甫"]}',
        ("地点", 0): '{"地点":["长安"],"人物":["李白"]}',
        ("地点", 2): '{"地点":["长安"]}',
    }
    found = [
        parse(answers.get((row["types"][0], row["record"]), "{}"), "NER").items for row in rows
    ]
    assert merged(rows, found) == [
        [
            {"name": "李白", "type": "人物"},
            {"name": "杜甫", "type": "人物"},
            {"name": "长安", "type": "地点"},
        ],
        [],
        [{"name": "长安", "type": "地点"}],
    ]
    # Two mentions: once they were made one, and the second place was missed.
    twice = [{"name": "李白", "type": "人物"}, {"name": "李白", "type": "人物"}]
    assert merged([{"record": 0}], [twice]) == [twice]
    assert merged([], []) == []


# ---- negatives


def test_hard_negatives_by_hand():
    """Hard negatives that are not hard make the option worthless."""
    one = ner("南京大学在南京", ("南京大学", "机构"), ("南京", "地点"))
    two = ner("南京赢了北大", ("南京", "机构"), ("北大", "机构"))
    three = ner("李白生于北京", ("李白", "人物"), ("北京", "地点"))
    # 机构: 南京大学 学 南京 京 北大 大; 地点: 南京 京 北京 京; 人物: 李白 白.
    # Shared: 南京 once, 京 once.
    assert hard_negatives([one, two, three], "NER") == {
        "机构": {"地点": 1.0},
        "地点": {"机构": 1.0},
        "人物": {},
    }
    four = ner("王学生于南京", ("王学", "人物"), ("南京", "地点"))
    table = hard_negatives([one, two, three, four], "NER")  # now also 学 once between 机构 and 人物
    assert table["机构"] == {"地点": 2 / 3, "人物": 1 / 3}
    assert table["人物"] == {"机构": 1.0}
    assert hard_negatives([BOOK], "RE") == {"作者": {"编者": 1.0}, "编者": {"作者": 1.0}}
    fire = event("起火了，开火了", ("火灾", "起火", {}), ("开战", "开火", {}), ("开幕", "开", {}))
    # 火灾-开战: 火; 开战-开幕: 开; the trigger 开 of 开幕 is none of 开战's.
    assert hard_negatives([fire], "EE") == {
        "火灾": {"开战": 1.0},
        "开战": {"火灾": 0.5, "开幕": 0.5},
        "开幕": {"开战": 1.0},
    }


def test_a_record_is_asked_for_its_own_types_its_hardest_negatives_and_a_few_others():
    """Without its own types the answer is wrong, without negatives a student answers every type."""
    types = [f"类{n}" for n in range(30)]
    table = {"类3": {f"类{n}": 1 / n for n in range(10, 20)}}
    asked = asked_types(types, {"类3"}, table, 6, random.Random(0))
    assert asked == sorted(asked, key=types.index)
    assert len(asked) == 9
    assert {"类3", "类10", "类11", "类12", "类13", "类14"} <= set(asked)
    assert len(asked_types(types, set(), table, 6, random.Random(0))) == 6
    # Full slices still get negatives.
    assert len(asked_types(types, set(types[:6]), table, 6, random.Random(0))) == 15
    record = ner("李白", ("李白", "类3"))
    rows = build_instructions([record] * 5, "NER", types, hard_negatives=table)
    assert rows[:4] == build_instructions([record] * 2, "NER", types, hard_negatives=table)
    for number in range(5):
        mine = [row for row in rows if row["record"] == number]
        assert [len(row["types"]) for row in mine] == [6, 3]
        assert sum("李白" in row["output"] for row in mine) == 1


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.booleans(), max_size=60),
    st.sampled_from([0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1]),
    st.integers(0, 9),
)
def test_the_share_of_pure_negatives_holds(full, share, seed):
    """Mostly empty answers teach a student that nothing is always right."""
    records = [ner("李白", ("李白", "人物")) if yes else ner("下雨") for yes in full]
    rows = build_instructions(records, "NER", ["人物"], seed, pure_negative=share)
    empty = sum(row["output"] == "{}" for row in rows)
    assert len(rows) - empty == sum(full)
    assert empty <= share * len(rows) + 1e-9
    if empty < len(full) - sum(full):  # one more would be too many
        assert empty + 1 > share * (len(rows) + 1) - 1e-9
    assert [row["record"] for row in rows] == sorted(row["record"] for row in rows)
    assert rows == build_instructions(records, "NER", ["人物"], seed, pure_negative=share)


# ---- parsing


@pytest.mark.parametrize(
    "answer, names, repairs",
    [
        ('{"人物":["李白"]}', ["李白"], {}),
        ("{}", [], {}),
        ("[]", [], {}),
        ('好的：\n```json\n{"人物":["李白"]}\n```', ["李白"], {"prefix_text": 1, "code_fence": 1}),
        ('```json\n{"人物":["李白"]}\n```', ["李白"], {"code_fence": 1}),
        ('{"人物":["李白"]}<|endoftext|>', ["李白"], {"suffix_text": 1}),
        ('答案[1]：{"人物":["李白"]}', ["李白"], {"prefix_text": 1}),
        ("｛“人物”：［“李白”，“杜甫”］｝", ["李白", "杜甫"], {"punctuation": 6, "quotes": 3}),
        ("{「人物」：[「李白」、「杜甫」]}", ["李白", "杜甫"], {"punctuation": 2, "quotes": 3}),
        ('{"人物“：[“李白"]}', ["李白"], {"punctuation": 1, "quotes": 1}),
        ("{'人物': ['李白', \"O'Neill\"]}", ["李白", "O'Neill"], {"quotes": 2}),
        ("{'人物': ('李白', '杜甫'), '地点': None}", ["李白", "杜甫"], None),
        ('{"人物":["李白","杜甫",],}', ["李白", "杜甫"], {"comma": 2}),
        ('{"人物":["李白" "杜甫"]}', ["李白", "杜甫"], {"comma": 1}),
        ('{"人物":["他的“好”，不假",]}', ["他的“好”，不假"], {"comma": 1}),
        ('{"人物":["李白","杜', ["李白"], {"truncated": 1}),
        ('{"人物":["李白"],"地', ["李白"], {"truncated": 1}),
        ('{"人物":["李白"', ["李白"], {"truncated": 1}),
        ('{"人物":["李白"}', ["李白"], {"bracket": 1}),
        ('{"人物":["李白"]]}', ["李白"], {"bracket": 1}),
        ('{"人物":"李白"}', ["李白"], {"single_value": 1}),
        ('{"人物":["李白"],"人物":["杜甫"]}', ["李白", "杜甫"], {"repeated_key": 1}),
        (
            '[{"name":"李白","type":"人物"},{"name":"杜甫","type":"人物"}]',
            ["李白", "杜甫"],
            {"object_list": 2},
        ),
        ("{人物：[李白、杜甫]}", ["李白", "杜甫"], {"punctuation": 2, "bare_word": 3}),
        ('{"人物":[1984, null, ""]}', ["1984"], {"number": 1, "dropped_item": 2}),
        ('{"人物":["\\u674e白",]}', ["李白"], {"comma": 1}),
    ],
)
def test_what_small_models_get_wrong_is_read_and_counted(answer, names, repairs):
    """A strict reader scores a right answer in a code fence as nothing found (so does IEPile's)."""
    parsed = parse(answer, "NER")
    assert parsed.ok
    assert parsed.items == [{"name": name, "type": "人物"} for name in names]
    assert repairs is None or parsed.repairs == repairs


@pytest.mark.parametrize(
    "answer",
    ["", "没有人来过", "{", "```", "12", '"李白"', '{"人物', "[1, 2]", "[[[["],
)
def test_an_answer_that_holds_nothing_is_not_ok(answer):
    """Counted as an empty answer, noise would look like a student that carefully says nothing."""
    parsed = parse(answer, "NER")
    assert not parsed.ok
    assert parsed.items == []


@pytest.mark.parametrize(
    "answer",
    [
        '{"作者":[["红楼梦","曹雪芹"],["西游记","吴',
        '{"作者":["红楼梦","曹雪芹"]}',
        '{"作者":[("红楼梦","曹雪芹")]}',
        '[{"head":"红楼梦","type":"作者","tail":"曹雪芹"}]',
        '{"作者":[{"head":"红楼梦","tail":"曹雪芹"},["西游记"]]}',
    ],
)
def test_relations_are_read_in_the_shapes_that_models_write(answer):
    """A half relation must go, and the whole one before it must stay."""
    assert parse(answer, "RE").items == [{"head": "红楼梦", "type": "作者", "tail": "曹雪芹"}]


@pytest.mark.parametrize(
    "answer",
    [
        '{"发射":[{"trigger":"升空","arguments":{"航天器":["神舟"]}}]}',
        '{"发射":[{"trigger":"升空","arguments":{"航天器":["神舟"],"地',
        '{"发射":{"trigger":"升空","arguments":{"航天器":"神舟"}}}',
        '{"发射":[{"trigger":"升空","arguments":{"航天器":["神舟","酒',
        '[{"type":"发射","trigger":"升空","arguments":[{"name":"神舟","role":"航天器"}]}]',
        '{"发射":[{"trigger":"升空","arguments":{"航天器":["神舟"]}},{"trig',
    ],
)
def test_events_are_read_in_the_shapes_that_models_write(answer):
    """Events are the longest answers, so the ones that `max_new_tokens` cuts."""
    items = parse(answer, "EE").items
    assert items == [
        {"type": "发射", "trigger": "升空", "arguments": [{"name": "神舟", "role": "航天器"}]}
    ]


def test_an_event_needs_no_arguments():
    """A trigger alone is worth its point."""
    parsed = parse('{"发射":[{"trigger":"升空"}]}', "EE")
    assert parsed.items == [{"type": "发射", "trigger": "升空", "arguments": []}]
    assert not parsed.repairs


@settings(deadline=None, max_examples=150)
@given(
    st.one_of(
        st.text(), st.text(alphabet="{}[]()｛］“”「」'\",，:：、\\ntu0李白-.`" + " \n", max_size=60)
    ),
    st.sampled_from(list(TASKS)),
)
def test_parse_never_raises(answer, task):
    """One odd answer of ten thousand must not end an evaluation; what is read must fit a record."""
    parsed = parse(answer, task)
    assert all(count > 0 for count in parsed.repairs.values())
    record = check_record(to_record("李白在长安", parsed.items, task))
    json.dumps(record, ensure_ascii=False).encode("utf-8")


@settings(deadline=None, max_examples=150)
@given(st.data(), st.sampled_from(list(TASKS)))
def test_parse_never_raises_on_damaged_json(data, task):
    """A bracket lost or doubled, an answer cut anywhere: the everyday damage of a small student."""
    text = build_instructions([EXAMPLES[task]], task, schema_of([EXAMPLES[task]], task))[0][
        "output"
    ]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + data.draw(st.sampled_from(["", "{", "]", '"', "，", "“", "\\", "x", "\ud83d"]))
            + text[at + 1 :]
        )
    parse(text[: data.draw(st.integers(0, len(text)))], task)


@pytest.mark.parametrize("unit", ["[", '"', "{'", '{"a":[', "[]", "[“", '{"a":["" ', "\\", "```{"])
def test_a_student_that_loops_is_read_in_linear_time(unit):
    """A repeated bracket must not exhaust the stack; in quadratic time this would take hours."""
    assert len(parse(unit * 100_000, "NER").items) <= 2


def test_a_cut_answer_keeps_every_complete_name():
    """However far the student got, what it had finished counts, and no half name is added."""
    answer = '{"人物":["李白","杜甫"],"地点":["长安"]}'
    for end in range(len(answer)):
        found = [item["name"] for item in parse(answer[:end], "NER").items]
        assert found == [name for name in ("李白", "杜甫", "长安") if f'"{name}"' in answer[:end]]


# ---- the styles, there and back

MARKS = list("、，；：;:,.。→=()（）\\\"'“”《》[]{}｛「」`- \n\r\t#1无") + [
    "->",
    "None",
    "name:",
    "(type:",
    "(name:",
    "```",
    "</s>",
    "<|end|>",
    "\u3000",
]
# Keys of the styles may be types, roles and names like any other.
KEYS = ["name", "type", "role", "head", "tail", "relation", "trigger", "arguments", "关系", "类型"]
NAMES = st.one_of(
    st.lists(st.sampled_from([*"李白杜甫天地AB12", *MARKS]), min_size=1, max_size=7).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6),
    st.sampled_from(["无", "None", "没有", "1,000元", "12:30", *KEYS]),
).filter(str.strip)
LABELS = st.one_of(NAMES, st.just(""))  # "": a source that names no type


def drawn_items(data, task, types, roles):
    """Items in the order in which an answer gives them."""
    names = st.sampled_from(data.draw(st.lists(NAMES, min_size=1, max_size=5)))
    few = st.integers(0, 2)

    def item(kind):
        if task == "NER":
            return {"name": data.draw(names), "type": kind}
        if task == "RE":
            return {"head": data.draw(names), "type": kind, "tail": data.draw(names)}
        trigger, arguments = data.draw(names), []
        for role in roles:
            arguments += [{"name": data.draw(names), "role": role} for _ in range(data.draw(few))]
        return {"type": kind, "trigger": trigger, "arguments": distinct(arguments)}

    return distinct(item(kind) for kind in types for _ in range(data.draw(few)))


@settings(deadline=None, max_examples=400)
@given(
    st.data(),
    st.sampled_from(list(TASKS)),
    st.sampled_from(STYLES),
    st.sampled_from(LANGUAGES),
    st.lists(LABELS, min_size=1, max_size=3, unique=True),
    st.lists(LABELS, min_size=1, max_size=2, unique=True),
)
def test_what_is_written_in_any_style_is_read_back(data, task, style, language, types, roles):
    """If the perfect answer does not come back whole, no student can score 1.0."""
    record = to_record("空", drawn_items(data, task, types, roles), task)
    schema = dict.fromkeys(types, roles) if task == "EE" else types
    (row,) = build_instructions(
        [record],
        task,
        schema,
        style=style,
        language=language,
        paraphrases=False,
        slice_size=None,
    )
    parsed = parse(row["output"], task, style, row["types"])
    assert parsed.ok, row["output"]
    assert not parsed.repairs, row["output"]
    wanted = answer_items(record, task, schema)
    assert parsed.items == sorted(wanted, key=lambda item: types.index(item["type"]))


ODD = [
    "",
    *KEYS,
    *EMPTY_WORDS,
    *["(type:", "(name:", "(type:;", "(name:a,role:b)", "(type:a, trigger:b", "\\(type:"],
    *["```", "````json", "a```b", "</s>", "a\\</s>", "李<|end|>", "<|a|></s>", "</s> "],
    *["- a", "1. a", "“a”", "'a'", "a。", "a,", ",1", "1,2", "12", "->", "a\\", "a\nb", "{", "["],
    *["李白: 杜甫", "李白：杜甫", "；李白：a", "null", "true", "\u2028a", "a\x85"],
]


def with_odd_text(task, text):
    """Lists of items with one text as type, role, name, head, tail and trigger."""
    name, plain = text or "名", "李白"
    if task == "NER":
        yield [{"type": text, "name": plain}, {"type": "人物", "name": plain}]
        yield [{"type": "人物", "name": plain}, {"type": text, "name": name}]
        yield [{"type": text, "name": "type"}, {"type": "type", "name": name}]
    elif task == "RE":
        yield [{"type": text, "head": plain, "tail": plain}]
        yield [{"type": "作者", "head": plain, "tail": name}]
        yield [
            {"type": text, "head": name, "tail": name},
            {"type": "type", "head": "a", "tail": "b"},
        ]
    else:
        ends = [{"name": plain, "role": text}, {"name": name, "role": "role"}]
        yield [{"type": text, "trigger": "a", "arguments": []}]
        yield [{"type": text, "trigger": name, "arguments": []}]
        yield [{"type": "发射", "trigger": name, "arguments": distinct(ends)}]
        yield [{"type": text, "trigger": "a", "arguments": ends[:1]}]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("task", TASKS)
def test_a_text_that_looks_like_the_format_is_read_back(task, style):
    r"""The type `(name:` came back with a repair, a name with ``` cut, a type "" not at all."""
    for items in [items for text in ODD for items in with_odd_text(task, text)]:
        answer = written(items, task, style)
        parsed = parse(answer, task, style, [item["type"] for item in items])
        assert parsed.items == items, answer
        assert parsed.ok, answer
        assert not parsed.repairs, answer


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.text(max_size=80),
        st.lists(
            st.sampled_from(
                [
                    *MARKS,
                    "(type:",
                    ", trigger:",
                    ", arguments:",
                    "(name:",
                    ",role:",
                    "\ud83d",
                    "李白",
                    "人物",
                ]
            ),
            max_size=25,
        ).map("".join),
    ),
    st.sampled_from(list(TASKS)),
    st.sampled_from(STYLES),
    st.sampled_from([None, ["人物"]]),
)
def test_no_style_ever_raises(answer, task, style, schema):
    """One odd answer of ten thousand must not end an evaluation; what is read must fit a record."""
    parsed = parse(answer, task, style, schema)
    assert all(count > 0 for count in parsed.repairs.values())
    record = check_record(to_record("李白在长安", parsed.items, task))
    json.dumps(record, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize(
    "unit",
    [
        "人物：",
        "人物：李白、",
        "人物: a; ",
        "\n",
        " ",
        "\\",
        "- ",
        "(type:a, trigger:b, arguments:",
        "(name:a,role:b)",
        "(type:",
        "，",
        "<|a|>",
        "：",
        "`",
        "```\n",
        "a：b；",
        "。",
        '"',
        "\\ ",
    ],
)
@pytest.mark.parametrize("task", TASKS)
def test_a_loop_in_any_style_is_read_in_linear_time(unit, task):
    """A student repeats itself up to the limit: in quadratic time these take half an hour."""
    for style in ("plain", "instructuie"):
        parse(unit * 10_000, task, style)


@pytest.mark.parametrize("style", ["plain", "instructuie"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("other", ["json", "plain", "instructuie"])
def test_an_answer_in_another_style_is_read_and_counted(style, task, other):
    """Scored as nothing found, a student that changed its style looks as if it knew nothing."""
    schema = schema_of([EXAMPLES[task]], task)
    for row in build_instructions([EXAMPLES[task]], task, schema, style=other):
        wanted = parse(row["output"], task, other, row["types"])
        for asked in (style, "json"):
            found = parse(row["output"], task, asked, row["types"])
            assert found.items == wanted.items
            assert found.ok
            assert bool(found.repairs) == (asked != other)
            if "json" in (asked, other) and asked != other:
                assert set(found.repairs) == {"other_style"}


@pytest.mark.parametrize(
    "answer, style, names, repairs",
    [
        ("人物：李白、杜甫", "plain", ["李白", "杜甫"], {}),
        ("人物:李白，杜甫。", "plain", ["李白", "杜甫"], {"punctuation": 3}),
        (
            "- 人物：“李白”、杜甫、\n- 地点：无",
            "plain",
            ["李白", "杜甫"],
            {"bullet": 2, "quotes": 1, "comma": 1, "null_value": 1},
        ),
        ("好的，我看看\n人物：李白", "plain", ["李白"], {"dropped_item": 1}),
        ("```\n人物：李白\n```", "plain", ["李白"], {"code_fence": 1}),
        ("人物：李白<|endoftext|>", "plain", ["李白"], {"suffix_text": 1}),
        ("李白：人物", "plain", ["李白"], {"swapped": 1}),
        ("地点：；人物：李白", "plain", ["李白"], {"punctuation": 1, "comma": 1, "line_break": 1}),
        ("人物：1,000人、12:30", "plain", ["1,000人", "12:30"], {}),
        ("没有", "plain", [], {"empty_word": 1}),
        ("人物: 李白; 人物: 杜甫", "instructuie", ["李白", "杜甫"], {}),
        ("人物：李白；人物：杜甫；", "instructuie", ["李白"], None),
        ("None", "instructuie", [], {}),
        ("人物: 12:30", "instructuie", ["12:30"], {}),
        ("李白: 人物", "instructuie", ["李白"], {"swapped": 1}),
    ],
)
def test_lines_are_read_tolerantly_and_counted(answer, style, names, repairs):
    """Every forgiveness has a name: silently forgiven, a student looks better than it writes."""
    parsed = parse(answer, "NER", style, ["人物", "地点"])
    assert parsed.ok or not names
    assert [item["name"] for item in parsed.items][: len(names)] == names
    assert repairs is None or parsed.repairs == repairs


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("answer", ["", "李白", "没有人来过", "```", "\\"])
def test_no_style_takes_noise_for_an_empty_answer(answer, style):
    """Counted as an empty answer, noise would look like a student that carefully says nothing."""
    parsed = parse(answer, "NER", style, ["人物"])
    assert not parsed.ok
    assert parsed.items == []


def test_prose_with_a_colon_is_no_answer_in_json():
    """Read as lines, each sentence of a chatty student would be an entity of a type of its own."""
    assert not parse("李白是唐代的诗人，他说：举头望明月", "NER").ok
    assert not parse("备注：没有实体", "NER", schema=["人物"]).items


def test_objects_with_the_published_keys_are_read():
    """YAYI-UIE's README has two sets of keys; one that is not read is a lost comparison."""
    wanted = [{"head": "红楼梦", "type": "作者", "tail": "曹雪芹"}]
    for answer in (
        "[{'relation':'作者','head':'红楼梦','tail':'曹雪芹'}]",
        "[{'关系':'作者','头实体':'红楼梦','尾实体':'曹雪芹'}]",
    ):
        parsed = parse(answer, "RE", "yayi")
        assert parsed.items == wanted
        assert set(parsed.repairs) == {"quotes"}
    keyed = parse('{"作者":[["红楼梦","曹雪芹"]]}', "RE", "yayi")
    assert keyed.items == wanted
    assert keyed.repairs == {"other_style": 1}


def test_a_cut_event_in_brackets_is_counted():
    """Events are the longest answers, so the ones that `max_new_tokens` cuts."""
    parsed = parse(
        "(type:发射, trigger:升空, arguments:(name:神舟,role:航天器), (name:酒", "EE", "instructuie"
    )
    assert parsed.items == [
        {"type": "发射", "trigger": "升空", "arguments": [{"name": "神舟", "role": "航天器"}]}
    ]
    assert parsed.repairs == {"truncated": 1, "dropped_item": 1}
    assert parse('{"发射":["升空"]}', "EE").repairs == {"bare_trigger": 1}


def test_a_set_as_schema_asks_alike_in_every_run():
    """A set has another order in every process: the same student was asked other prompts."""
    types = {"人物", "地点", "时间", "作品"}
    for kinds, task in ((types, "NER"), ({"发射": types}, "EE")):
        (row,) = questions(["下雨了"], kinds, task)
        given = sorted(types) if task == "NER" else {"发射": sorted(types)}
        assert row == questions(["下雨了"], given, task)[0]
