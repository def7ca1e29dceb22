"""Information extraction: what a hand count gives, what must never happen, and an independent count of F1."""

import json
import random
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils import ie
from miniluotuo_utils.ie import (
    build_instructions,
    dictionary_baseline,
    errors,
    extract,
    headline,
    interval,
    locate,
    parse,
    schema_of,
    score,
    score_files,
    table,
)
from miniluotuo_utils.ie.instructions import PARAPHRASES
from miniluotuo_utils.ie.spans import to_record
from miniluotuo_utils.prompts import row_prompt
from miniluotuo_utils.records import TASKS, DataError, check_record, check_row, write_jsonl

LAUNCH = "神舟五号发射成功，长征火箭再次发射"


def ner(sentence, *entities):
    """A record from (name, type, start); start None leaves the place open."""
    found = [
        {"name": name, "type": kind, "pos": None if start is None else [start, start + len(name)]}
        for name, kind, start in entities
    ]
    return check_record({"sentence": sentence, "source": "test", "entities": found})


def rel(sentence, *triples):
    """A record from (head, type, tail), each name at its first place."""
    items = [{"head": h, "type": t, "tail": o} for h, t, o in triples]
    return check_record(to_record(sentence, items, "RE", source="test"))


def event(sentence, *events):
    """A record from (type, trigger, {role: name}), each name at its first place."""
    items = [
        {"type": t, "trigger": w, "arguments": [{"name": n, "role": r} for r, n in roles.items()]} for t, w, roles in events
    ]
    return check_record(to_record(sentence, items, "EE", source="test"))


def micro(gold, pred, task="NER", mode="span"):
    """(tp, pred, gold) of each part."""
    return [(m["tp"], m["pred"], m["gold"]) for _, m in headline(score(gold, pred, task, mode))]


LIBAI = ner("李白和杜甫在长安，李白走了", ("杜甫", "人物", 3), ("李白", "人物", 0), ("长安", "地点", 6), ("李白", "人物", 9))
BOOK = rel("曹雪芹写了红楼梦，也改了红楼梦", ("红楼梦", "作者", "曹雪芹"), ("红楼梦", "编者", "曹雪芹"))
SPACE = event(LAUNCH, ("发射", "发射", {"航天器": "神舟五号"}), ("发射", "发射", {"火箭": "长征"}))
EXAMPLES = {"NER": LIBAI, "RE": BOOK, "EE": SPACE}


# ---- instructions


def test_the_answer_is_compact_ordered_and_without_empty_types():
    """An answer in another order than the sentence, or with empty keys, costs the tiny student most of its letters."""
    row = build_instructions([LIBAI], "NER", ["时间", "地点", "人物"], paraphrases=False)[0]
    assert row["output"] == '{"地点":["长安"],"人物":["李白","杜甫"]}'
    assert row["input"] == LIBAI["sentence"] and row["source"] == "test"
    assert row["instruction"] == "找出句子里的实体，类型有：时间、地点、人物。用JSON回答。"
    row = build_instructions([BOOK], "RE", schema_of([BOOK], "RE"))[0]
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
    """A shuffled or re-run notebook that trains on other prompts cannot be compared with yesterday's."""
    record, schema = EXAMPLES[task], schema_of([EXAMPLES[task]], task)
    rows = build_instructions([record] * 40, task, schema, seed=3)
    assert rows == build_instructions([record] * 40, task, schema, seed=3)
    assert rows[:7] == build_instructions([record] * 7, task, schema, seed=3)
    assert rows != build_instructions([record] * 40, task, schema, seed=4)
    assert len({row["instruction"] for row in rows}) == len(set(PARAPHRASES[task])) == 4
    assert len({r["instruction"] for r in build_instructions([record] * 9, task, schema, paraphrases=False)}) == 1


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


@pytest.mark.parametrize("task, schema", [("NER", []), ("NER", "人物"), ("EE", ["发射"]), ("RE", {"作者": []})])
def test_a_schema_of_the_wrong_shape_is_refused(task, schema):
    """A string as schema would be spelt out letter by letter: 人、物."""
    with pytest.raises(ValueError, match="schema is"):
        build_instructions([], task, schema)


def test_an_unknown_task_is_refused_everywhere():
    """`task="ner"` must not end in a KeyError deep inside."""
    for call in (
        lambda: build_instructions([], "ner", ["人物"]), lambda: schema_of([LIBAI], "ner"), lambda: parse("{}", "ner"),
        lambda: score([], [], "ner"), lambda: dictionary_baseline([], [], "ner"), lambda: to_record("a", [], "ner"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="expected one of NER, RE, EE"):
            call()


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
        ('[{"name":"李白","type":"人物"},{"name":"杜甫","type":"人物"}]', ["李白", "杜甫"], {"object_list": 2}),
        ("{人物：[李白、杜甫]}", ["李白", "杜甫"], {"punctuation": 2, "bare_word": 3}),
        ('{"人物":[1984, null, ""]}', ["1984"], {"number": 1, "dropped_item": 2}),
        ('{"人物":["\\u674e白",]}', ["李白"], {"comma": 1}),
    ],
)  # fmt: skip
def test_what_small_models_get_wrong_is_read_and_counted(answer, names, repairs):
    """A strict reader scores a right answer in a code fence as nothing found (so does IEPile's)."""
    parsed = parse(answer, "NER")
    assert parsed.ok and parsed.items == [{"name": name, "type": "人物"} for name in names]
    assert repairs is None or parsed.repairs == repairs


@pytest.mark.parametrize("answer", ["", "没有实体", "{", "```", "12", '"李白"', '{"人物', "[1, 2]", "[[[[", "NaN", "null"])
def test_an_answer_that_holds_nothing_is_not_ok(answer):
    """Counted as an empty answer, noise would look like a student that carefully says nothing."""
    parsed = parse(answer, "NER")
    assert not parsed.ok and parsed.items == []


@pytest.mark.parametrize(
    "answer",
    [
        '{"作者":[["红楼梦","曹雪芹"],["西游记","吴', '{"作者":["红楼梦","曹雪芹"]}', '{"作者":[("红楼梦","曹雪芹")]}',
        '[{"head":"红楼梦","type":"作者","tail":"曹雪芹"}]', '{"作者":[{"head":"红楼梦","tail":"曹雪芹"},["西游记"]]}',
    ],
)  # fmt: skip
def test_relations_are_read_in_the_shapes_that_models_write(answer):
    """A half relation must go, and the whole one before it must stay."""
    assert parse(answer, "RE").items == [{"head": "红楼梦", "type": "作者", "tail": "曹雪芹"}]


@pytest.mark.parametrize(
    "answer",
    [
        '{"发射":[{"trigger":"升空","arguments":{"航天器":["神舟"]}}]}', '{"发射":[{"trigger":"升空","arguments":{"航天器":["神舟"],"地',
        '{"发射":{"trigger":"升空","arguments":{"航天器":"神舟"}}}', '{"发射":[{"trigger":"升空","arguments":{"航天器":["神舟","酒',
        '[{"type":"发射","trigger":"升空","arguments":[{"name":"神舟","role":"航天器"}]}]',
        '{"发射":[{"trigger":"升空","arguments":{"航天器":["神舟"]}},{"trig',
    ],
)  # fmt: skip
def test_events_are_read_in_the_shapes_that_models_write(answer):
    """Events are the longest answers, so the ones that `max_new_tokens` cuts."""
    items = parse(answer, "EE").items
    assert items == [{"type": "发射", "trigger": "升空", "arguments": [{"name": "神舟", "role": "航天器"}]}]


def test_an_event_needs_no_arguments():
    """A trigger alone is worth its point."""
    parsed = parse('{"发射":[{"trigger":"升空"}]}', "EE")
    assert parsed.items == [{"type": "发射", "trigger": "升空", "arguments": []}] and not parsed.repairs


@settings(deadline=None, max_examples=150)
@given(st.one_of(st.text(), st.text(alphabet="{}[]()｛］“”「」'\",，:：、\\ntu0李白-.`" + " \n", max_size=60)), st.sampled_from(list(TASKS)))
def test_parse_never_raises(answer, task):
    """One odd answer out of ten thousand must not end an evaluation of hours; what is read must fit a record's file."""
    parsed = parse(answer, task)
    assert all(count > 0 for count in parsed.repairs.values())
    record = check_record(to_record("李白在长安", parsed.items, task))
    json.dumps(record, ensure_ascii=False).encode("utf-8")


@settings(deadline=None, max_examples=150)
@given(st.data(), st.sampled_from(list(TASKS)))
def test_parse_never_raises_on_damaged_json(data, task):
    """A bracket lost or doubled, an answer cut anywhere: the everyday damage of a small student."""
    text = build_instructions([EXAMPLES[task]], task, schema_of([EXAMPLES[task]], task))[0]["output"]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.sampled_from(["", "{", "]", '"', "，", "“", "\\", "x", "\ud83d"])) + text[at + 1 :]
    parse(text[: data.draw(st.integers(0, len(text)))], task)


@pytest.mark.parametrize("unit", ["[", '"', "{'", '{"a":[', "[]", '[“', '{"a":["" ', "\\", "```{"])
def test_a_student_that_loops_is_read_in_linear_time(unit):
    """A repeated bracket must neither exhaust the stack nor take minutes."""
    began = time.process_time()
    assert len(parse(unit * 20000, "NER").items) <= 1
    assert time.process_time() - began < 5


def test_a_cut_answer_keeps_every_complete_name():
    """However far the student got, what it had finished counts, and no half name is added."""
    answer = '{"人物":["李白","杜甫"],"地点":["长安"]}'
    for end in range(len(answer)):
        found = [item["name"] for item in parse(answer[:end], "NER").items]
        assert found == [name for name in ("李白", "杜甫", "长安") if f'"{name}"' in answer[:end]]


# ---- places


def test_locate_takes_places_in_turn():
    """Putting every mention at the first place loses all but one of a repeated name."""
    text = "南京市长江大桥在南京"
    assert locate(text, ["南京", "南京", "南京", "上海"]) == [[(0, 2)], [(8, 10)], [(0, 2)], []]
    assert locate(text, ["南京", "上海"], "every") == [[(0, 2), (8, 10)], []]
    assert locate("a+b", ["+", ""]) == [[(1, 2)], []]
    with pytest.raises(ValueError, match="expected one of first, every"):
        locate(text, [], "last")


def test_to_record_places_keeps_order_and_removes_duplicates():
    """A name that the student made up has no place, and one that it repeats in a loop counts once."""
    items = [{"name": n, "type": "人物"} for n in ("杜甫", "李白", "李白", "李白", "苏轼", "苏轼")]
    record = check_record(to_record(LIBAI["sentence"], items, "NER", source="x"))
    assert [(e["name"], e["pos"]) for e in record["entities"]] == [
        ("杜甫", [3, 5]), ("李白", [0, 2]), ("李白", [9, 11]), ("苏轼", None),
    ]  # fmt: skip
    every = to_record(LIBAI["sentence"], items[1:2], "NER", "every")
    assert [e["pos"] for e in every["entities"]] == [[0, 2], [9, 11]]


def test_relations_of_one_pair_share_its_places():
    """If a second relation of a pair moved on to the next mention, one of the two would always be wrong."""
    places = {(tuple(r["head"]["pos"]), tuple(r["tail"]["pos"])) for r in BOOK["relations"]}
    assert places == {((5, 8), (0, 3))}
    every = to_record(BOOK["sentence"], [{"head": "红楼梦", "type": "作者", "tail": "曹雪芹"}], "RE", "every")
    assert [r["head"]["pos"] for r in every["relations"]] == [[5, 8], [12, 15]]


def test_two_events_of_one_trigger_word_stand_at_two_places():
    """Otherwise the second event of a sentence can never be right."""
    assert [e["pos"] for e in SPACE["events"]] == [[4, 6], [15, 17]]


# ---- scoring


def test_span_and_string_count_a_repeated_name_differently():
    """Published CLUENER figures are span counts: mixing the two shifts F1 by points."""
    once = ner(LIBAI["sentence"], ("李白", "人物", 0))
    assert micro([LIBAI], [once]) == [(1, 1, 4)]
    assert micro([LIBAI], [once], mode="string") == [(1, 1, 3)]
    assert score([LIBAI], [LIBAI], "NER", "string")["gold_duplicates"] == 1


def test_nested_and_shifted_spans():
    """A nested entity is one of its own, and an overlap is not a match."""
    text = "南京市长江大桥"
    gold = ner(text, ("南京市", "地点", 0), ("长江", "地点", 3), ("长江大桥", "建筑", 3))
    pred = ner(text, ("南京", "地点", 0), ("长江", "建筑", 3), ("长江大桥", "建筑", 3))
    assert micro([gold], [pred]) == micro([gold], [pred], mode="string") == [(1, 3, 3)]


def test_hand_counted_rates():
    """P, R, F1, macro and the counts beside them, worked on paper."""
    gold = [LIBAI, ner("下雨了")]
    pred = [
        ner(LIBAI["sentence"], ("李白", "人物", 0), ("李白", "人物", 0), ("长安", "人物", 6), ("苏轼", "诗人", None)),
        ner("下雨了", ("雨", "天气", None)),
    ]
    result = score(gold, pred, "NER", schema=["人物", "地点"])
    assert result["micro"] == {"precision": 1 / 4, "recall": 1 / 4, "f1": 1 / 4, "tp": 1, "pred": 4, "gold": 4}
    assert list(result["per_type"]) == ["人物", "地点", "天气", "诗人"]
    assert result["per_type"]["人物"] == {"precision": 1 / 2, "recall": 1 / 3, "f1": 2 / 5, "tp": 1, "pred": 2, "gold": 3}
    assert result["macro"] == {"precision": 1 / 8, "recall": 1 / 12, "f1": 1 / 10}
    notes = {k: result[k] for k in ("duplicates", "no_position", "not_in_text", "off_schema", "gold_no_position")}
    assert notes == {"duplicates": 1, "no_position": 2, "not_in_text": 1, "off_schema": 2, "gold_no_position": 0}
    assert "off_schema" not in score(gold, pred, "NER")


def test_without_a_position_nothing_is_right_by_span():
    """null = null would credit every made-up name that gold could not place either."""
    record = ner("南京与南京", ("南京", "地点", None))
    assert micro([record], [record]) == [(0, 1, 1)]
    assert micro([record], [record], mode="string") == [(1, 1, 1)]
    assert score([record], [record], "NER")["gold_no_position"] == 1


def test_relations_count_by_pair_and_type():
    """Keyed by the predicate alone (IEPile's SPO), a second pair overwrites the first; direction counts too."""
    text = BOOK["sentence"]
    assert micro([BOOK], [rel(text, ("红楼梦", "作者", "曹雪芹"))], "RE") == [(1, 1, 2)]
    assert micro([BOOK], [rel(text, ("曹雪芹", "作者", "红楼梦"))], "RE") == [(0, 1, 2)]
    other = json.loads(json.dumps(BOOK))
    other["relations"][0]["head"]["pos"] = [12, 15]
    assert micro([BOOK], [other], "RE") == [(1, 2, 2)]
    assert micro([BOOK], [other], "RE", "string") == [(2, 2, 2)]


def test_triggers_and_arguments_are_counted_apart():
    """One pooled figure hides that arguments are the hard part."""
    pred = event(LAUNCH, ("发射", "发射", {"航天器": "长征"}), ("会议", "成功", {"航天器": "神舟五号"}))
    assert micro([SPACE], [pred], "EE") == [(1, 2, 2), (0, 2, 2)]
    result = score([SPACE], [SPACE], "EE", schema={"发射": ["火箭"]})
    assert result["argument"]["off_schema"] == 1 and result["trigger"]["off_schema"] == 0
    assert [label for label, _ in headline(result)] == ["EE trigger", "EE argument"]


def test_empty_gold_and_both_empty():
    """ "Nothing" = "nothing" as a true positive (InstructUIE) lets a student that never answers score 0.5."""
    nothing, something = ner("李白走了"), ner("李白走了", ("李白", "人物", 0))
    assert score([nothing], [nothing], "NER")["micro"] == {
        "precision": 0.0, "recall": 0.0, "f1": 0.0, "tp": 0, "pred": 0, "gold": 0,
    }  # fmt: skip
    assert score([], [], "EE")["argument"]["macro"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert micro([nothing], [something]) == [(0, 1, 0)] and micro([something], [nothing]) == [(0, 0, 1)]


def test_repeated_sentences_stay_apart():
    """Joined by their text (IEPile), the predictions of two equal sentences would be merged."""
    full, empty = ner("李白走了", ("李白", "人物", 0)), ner("李白走了")
    assert micro([full, full], [full, empty]) == [(1, 1, 2)]
    assert micro([full, empty], [empty, full]) == [(0, 1, 1)]


@pytest.mark.parametrize(
    "drop, add, words",
    [(1, None, "line 2: found the prediction of '三'"), (2, None, "line 3: there is no prediction (3 gold, 2"),
     (None, "四", "line 4: there is no gold (3 gold, 4")],
)  # fmt: skip
def test_misaligned_files_name_their_first_line(tmp_path, drop, add, words):
    """A lost line shifts all that follow: skipped silently (DeepKE) it looks like a bad student."""
    gold = [ner(text) for text in "一二三"]
    pred = [r for i, r in enumerate(gold) if i != drop] + ([ner(add)] if add else [])
    write_jsonl(tmp_path / "gold.jsonl", gold)
    write_jsonl(tmp_path / "pred.jsonl", pred)
    with pytest.raises(DataError) as error:
        score_files(tmp_path / "gold.jsonl", tmp_path / "pred.jsonl", "NER")
    assert words in str(error.value) and "gold.jsonl against pred.jsonl" in str(error.value)


def test_files_of_another_task_or_a_wrong_place_are_refused(tmp_path):
    """Scored as NER, a file of relations would give 0.0 without a word."""
    write_jsonl(tmp_path / "gold.jsonl", [LIBAI])
    write_jsonl(tmp_path / "re.jsonl", [BOOK])
    with pytest.raises(DataError, match="line 1: the gold has no field relations"):
        score_files(tmp_path / "gold.jsonl", tmp_path / "re.jsonl", "RE")
    write_jsonl(tmp_path / "bad.jsonl", [{"sentence": "李白", "entities": [{"name": "李白", "type": "", "pos": [0, 1]}]}])
    with pytest.raises(DataError, match=r"bad\.jsonl, line 1, field entities\[0\]\.pos"):
        score_files(tmp_path / "gold.jsonl", tmp_path / "bad.jsonl", "NER")
    with pytest.raises(ValueError, match="mode is 'exact'"):
        score([LIBAI], [LIBAI], "NER", "exact")
    assert score_files(tmp_path / "gold.jsonl", tmp_path / "gold.jsonl", "NER")["micro"]["f1"] == 1.0


def test_table_aligns_chinese_and_shows_counts():
    """A table whose columns drift by one place per Chinese character cannot be read."""
    pred = ner(LIBAI["sentence"], ("李白", "人物", 0), ("苏轼", "", None))
    lines = table(score([LIBAI], [pred], "NER")).splitlines()
    assert lines[0].split() == ["NER", "·", "span", "precision", "recall", "f1", "tp", "pred", "gold"]
    assert lines[1].split() == ["micro", "0.5000", "0.2500", "0.3333", "1", "2", "4"]
    assert lines[-1] == "no_position 1 · not_in_text 1"
    widths = {sum(2 if c > "⺀" else 1 for c in line) for line in lines[:2] + lines[3:-1]}
    assert len(widths) == 1
    assert table(score([SPACE], [SPACE], "EE", "string")).count("micro") == 2


def test_interval_holds_the_score_and_is_reproducible():
    """A figure from 60 sentences without its spread is read as a fact."""
    gold = [LIBAI, ner("李白走了", ("李白", "人物", 0)), ner("下雨了")] * 10
    pred = [LIBAI, ner("李白走了"), ner("下雨了", ("雨", "天气", 1))] * 10
    point, spread = score(gold, pred, "NER")["micro"], interval(gold, pred, "NER", samples=200)
    for rate, (low, high) in headline(spread)[0][1].items():
        assert 0 <= low < point[rate] < high <= 1
    assert spread == interval(gold, pred, "NER", samples=200)
    assert spread != interval(gold, pred, "NER", samples=200, seed=1)
    assert headline(interval([LIBAI], [LIBAI], "NER", samples=10))[0][1]["f1"] == [1.0, 1.0]
    assert headline(interval([], [], "EE"))[1][1]["f1"] == [0.0, 0.0]


# ---- properties over random records

LETTERS = "甲乙丙丁，“"
KINDS = ("人物", "地点", "")


def random_record(draw, task):
    """A record whose names are cut from its sentence."""
    sentence = "".join(draw.choices(LETTERS, k=draw.randint(2, 12)))

    def thing(**label):
        start = draw.randrange(len(sentence))
        end = draw.randint(start + 1, min(start + 3, len(sentence)))
        return {"name": sentence[start:end], **label, "pos": [start, end]}

    def item():
        kind = draw.choice(KINDS)
        if task == "NER":
            return thing(type=kind)
        if task == "RE":
            return {"head": thing(type=""), "type": kind, "tail": thing(type="")}
        trigger, arguments = thing(), [thing(role=draw.choice(KINDS)) for _ in range(draw.randint(0, 3))]
        return {"type": kind, "trigger": trigger["name"], "pos": trigger["pos"], "arguments": arguments}

    return check_record({"sentence": sentence, "source": "", TASKS[task]: [item() for _ in range(draw.randint(0, 4))]})


@settings(deadline=None, max_examples=80)
@given(st.integers(), st.sampled_from(list(TASKS)))
def test_what_is_written_is_read_back(seed, task):
    """If the perfect answer does not score 1.0, no student ever can."""
    draw = random.Random(seed)
    gold = [random_record(draw, task) for _ in range(4)]
    schema = {k: list(KINDS) for k in KINDS} if task == "EE" else list(KINDS)
    parsed = [parse(row["output"], task) for row in build_instructions(gold, task, schema, seed)]
    assert all(p.ok and not p.repairs for p in parsed)
    pred = [check_record(to_record(g["sentence"], p.items, task)) for g, p in zip(gold, parsed, strict=True)]
    for _, m in headline(score(gold, pred, task, "string")):
        assert m["tp"] == m["pred"] == m["gold"] and m["f1"] == float(m["gold"] > 0)


@settings(deadline=None, max_examples=80)
@given(st.integers(), st.sampled_from(list(TASKS)), st.sampled_from(["span", "string"]))
def test_scores_do_not_depend_on_order_and_mirror_when_swapped(seed, task, mode):
    """Order is not part of an answer, and precision is the recall of the other side."""
    draw = random.Random(seed)
    gold = [random_record(draw, task) for _ in range(5)]
    pred = [dict(random_record(draw, task), sentence=g["sentence"]) for g in gold]
    result = score(gold, pred, task, mode)
    pairs = list(zip(gold, pred, strict=True))
    draw.shuffle(pairs)
    turned = [[dict(r, **{TASKS[task]: r[TASKS[task]][::-1]}) for r in side] for side in zip(*pairs, strict=True)]
    assert headline(score(*turned, task, mode)) == headline(result)
    for (_, one), (_, other) in zip(headline(result), headline(score(pred, gold, task, mode)), strict=True):
        assert (one["precision"], one["recall"], one["f1"]) == (other["recall"], other["precision"], other["f1"])
    for _, m in headline(score(gold, gold, task, mode)):
        assert m["f1"] == float(m["gold"] > 0)


def bio_f1(gold, pred):
    """F1 of tag sequences, written from the definition alone: a B- opens a chunk, I- of its type carries it on."""
    def chunks(tags):
        found = []
        for at, tag in enumerate([*tags, "O"]):
            if found and found[-1][2] is None and tag != "I-" + found[-1][0]:
                found[-1][2] = at
            if tag.startswith("B-"):
                found.append([tag[2:], at, None])
        return [tuple(c) for c in found]

    right = sum(len(set(chunks(g)) & set(chunks(p))) for g, p in zip(gold, pred, strict=True))
    made, there = (sum(len(chunks(tags)) for tags in side) for side in (pred, gold))
    precision, recall = right / max(made, 1), right / max(there, 1)
    return 2 * precision * recall / (precision + recall) if right else 0.0


def from_bio(tags):
    """Valid BIO tags as a record, each character its own place."""
    sentence, entities = "".join(chr(0x4E00 + i) for i in range(len(tags))), []
    for at, tag in enumerate(tags):
        if tag[0] == "B":
            entities.append((tag[2:], at))
        if tag[0] != "O":
            entities[-1] = (*entities[-1][:2], at + 1)
    return ner(sentence, *((sentence[start:end], kind, start) for kind, start, end in entities))


@pytest.mark.parametrize("seed", range(30))
def test_span_f1_agrees_with_an_independent_count_of_tags(seed):
    """A scorer checked only against itself can be wrong in the same way twice."""
    draw = random.Random(seed)

    def tags(length):
        made = []
        for _ in range(length):
            carried = ["I-" + made[-1][2:]] * 2 if made and made[-1] != "O" else []
            made.append(draw.choice(["O", "O", "B-人物", "B-地点", *carried]))
        return made

    gold = [tags(12) for _ in range(10)]
    # a prediction that shares most of its tags; an I- that lost its B- opens a chunk
    pred = [[t if draw.random() < 0.8 else "O" for t in line] for line in gold]
    pred = [[t if t[0] != "I" or line[i - 1][1:] == t[1:] else "B" + t[1:] for i, t in enumerate(line)] for line in pred]
    result = score([from_bio(t) for t in gold], [from_bio(t) for t in pred], "NER")
    assert result["micro"]["f1"] == pytest.approx(bio_f1(gold, pred), abs=1e-12) and result["micro"]["tp"]


# ---- extraction, baseline, errors


def test_extraction_asks_with_the_bytes_of_training():
    """Luotuo's demo answered badly because its prompt was not the one of its training."""
    asked = []

    def fake(student, prompts, max_new_tokens, batch_size):
        asked.append((student, prompts, max_new_tokens, batch_size))
        return ['{"人物":["李白","苏轼"],"书":["长安"]}', "……", '{"地点":["长安",']

    sentences = [LIBAI["sentence"], "下雨了", "长安"]
    made = extract("学生", sentences, ["人物", "地点"], "NER", batch_size=2, max_new_tokens=9, generate=fake)
    rows = build_instructions([LIBAI, ner("下雨了"), ner("长安")], "NER", ["人物", "地点"], paraphrases=False)
    assert asked == [("学生", [row_prompt(row) for row in rows], 9, 2)]
    assert made.counts == {"answers": 3, "unparsable": 1, "repaired": 1, "not_in_text": 1, "off_schema": 1}
    assert [len(check_record(r)["entities"]) for r in made.records] == [3, 0, 1] and len(made.answers) == 3
    result = score([LIBAI, ner("下雨了"), ner("长安")], made.records, "NER", schema=["人物", "地点"])
    assert (result["off_schema"], result["not_in_text"], result["micro"]["tp"]) == (1, 1, 1)


def test_a_perfect_student_of_each_task_scores_one_by_string():
    """The whole way round: prompt, answer, parse, locate, score."""
    for task, record in EXAMPLES.items():
        schema = schema_of([record], task)
        answer = build_instructions([record], task, schema)[0]["output"]
        made = extract(None, [record["sentence"]], schema, task, generate=lambda *_, text=answer, **__: [text])
        assert all(m["f1"] == 1.0 for _, m in headline(score([record], made.records, task, "string")))
        assert made.counts == {"answers": 1, "unparsable": 0, "repaired": 0, "not_in_text": 0, "off_schema": 0}


def test_one_sentence_instead_of_a_list_is_refused():
    """A text is a sequence too: the student would be asked about each of its letters."""
    with pytest.raises(ValueError, match="expected a list of texts"):
        extract(None, "李白走了", ["人物"], "NER", generate=lambda *_, **__: [])


def test_dictionary_finds_the_longest_name_at_every_place():
    """A floor that is too low makes any student look good."""
    train = [ner("南京市有长江，南京", ("南京市", "地点", 0), ("长江", "地点", 4), ("南京", "地点", 7)), ner("长江", ("长江", "水", 0)),
             ner("长江", ("长江", "水", 0))]  # fmt: skip
    record = check_record(dictionary_baseline(train, ["南京市长江大桥在南京"], "NER")[0])
    assert [(e["name"], e["type"], e["pos"]) for e in record["entities"]] == [
        ("南京市", "地点", [0, 3]), ("长江", "水", [3, 5]), ("南京", "地点", [8, 10]),
    ]  # fmt: skip
    assert dictionary_baseline([], ["南京"], "NER")[0]["entities"] == []


def test_dictionary_of_relations_and_events():
    """Each task needs its floor."""
    found = dictionary_baseline([BOOK], ["红楼梦是曹雪芹的", "红楼梦"], "RE")
    assert [(r["type"], r["head"]["pos"]) for r in found[0]["relations"]] == [("作者", [0, 3]), ("编者", [0, 3])]
    assert found[1]["relations"] == []
    made = dictionary_baseline([SPACE], [LAUNCH, "长征"], "EE")
    assert [(e["type"], e["pos"]) for e in made[0]["events"]] == [("发射", [4, 6]), ("发射", [15, 17])]
    assert {(a["name"], a["role"]) for a in made[0]["events"][0]["arguments"]} == {("神舟五号", "航天器"), ("长征", "火箭")}
    assert made[1]["events"] == []
    assert score([SPACE], [check_record(made[0])], "EE")["argument"]["micro"]["f1"] == 1.0


def test_errors_are_told_apart():
    """ "F1 0.4" does not tell a reader whether boundaries, types or recall should be worked on."""
    text = "南京市长江大桥在南京边上，李白"
    gold = ner(text, ("南京市", "地点", 0), ("长江大桥", "建筑", 3), ("南京", "地点", 8), ("李白", "人物", 13))
    pred = ner(text, ("南京", "地点", 0), ("长江大桥", "地点", 3), ("南京", "地点", 8), ("边上", "地点", 10), ("苏轼", "人物", None))
    (found,) = errors([gold], [pred])
    assert found["sentence"] == text
    assert [item["kind"] for item in found["entities"]] == [
        "wrong_boundary", "wrong_type", "right", "spurious", "missed", "spurious",
    ]  # fmt: skip
    assert found["entities"][0]["gold"]["name"] == "南京市" and found["entities"][0]["pred"]["name"] == "南京"
    assert found["entities"][4]["pred"] is None and found["entities"][5]["gold"] is None


@settings(deadline=None, max_examples=60)
@given(st.integers())
def test_errors_agree_with_the_score(seed):
    """The picture and the table beside it must tell the same story."""
    draw = random.Random(seed)
    gold = [random_record(draw, "NER") for _ in range(3)]
    pred = [
        dict(g, entities=[dict(e, type=draw.choice(KINDS)) for e in g["entities"][1:]] + [dict(e, pos=None) for e in g["entities"][:1]])
        for g in gold
    ]  # fmt: skip
    m = score(gold, pred, "NER")["micro"]
    items = [item for sentence in errors(gold, pred) for item in sentence["entities"]]
    assert m["tp"] == sum(item["kind"] == "right" for item in items)
    assert m["gold"] == sum(item["gold"] is not None for item in items)
    assert m["pred"] == sum(item["pred"] is not None for item in items)


def test_the_package_is_light_and_exports_what_it_promises():
    """`import miniluotuo_utils.ie` that pulls in torch costs every notebook and every command ten seconds."""
    code = "import sys, miniluotuo_utils.ie; print({'torch', 'transformers', 'pandas', 'numpy'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"
    assert sorted(ie.__all__) == [
        "build_instructions", "dictionary_baseline", "errors", "extract", "headline", "interval", "locate", "parse",
        "schema_of", "score", "score_files", "table",
    ]  # fmt: skip
