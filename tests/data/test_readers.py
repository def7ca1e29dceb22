"""Readers: every native format as its fixture holds it, what is special in each, malformed files,
and the counts of the real ones."""

import json
import tempfile
from collections import Counter
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils.data.catalog import CATALOG
from miniluotuo_utils.data.loading import files, load, read
from miniluotuo_utils.data.readers import OWN, READERS, Fault, examples, native, read_file
from miniluotuo_utils.data.readers.spans import joined, places, record, tagged
from miniluotuo_utils.files import DataError
from miniluotuo_utils.records import TASKS, check_record, check_row
from miniluotuo_utils.runtime import EMBEDDED

FIXTURES = examples() | {
    "unified_rows": EMBEDDED / "bank.jsonl",
    "unified_records": EMBEDDED / "ner_test.jsonl",
    "alpaca_parallel_all": examples()["alpaca_parallel"],
}
HEAD, PAIR = "sentence,relation,head,head_offset,tail,tail_offset\n", "甲和乙,作者,甲,0,乙,2\n"
TEXTS = sorted(set(FIXTURES) - {"lamini"})  # the formats that are text


def fixture(reader):
    """What a reader makes of its fixture, which must be without faults."""
    return list(read_file(FIXTURES[reader], READERS[reader], "s"))


@pytest.fixture
def reading(tmp_path):
    """Write text, bytes or a list of objects (as JSON Lines) to the file `x.txt`, and read it."""

    def read_it(reader, content, faults=None):
        if isinstance(content, list):
            content = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in content)
        path = tmp_path / "x.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_file(path, READERS[reader], "s", faults))

    return read_it


def found(one, field="entities"):
    """(name, type, pos) of a record's entities."""
    return [(e["name"], e["type"], e["pos"]) for e in one[field]]


def sides(one):
    """(head, type, tail) of a record's relations, as names."""
    return [(r["head"]["name"], r["type"], r["tail"]["name"]) for r in one["relations"]]


def arguments(event):
    """The arguments of an event: role → (name, pos)."""
    return {a["role"]: (a["name"], a["pos"]) for a in event["arguments"]}


def test_every_reader_has_a_fixture():
    """A reader that no file tries breaks unseen; a fixture without a reader tries nothing."""
    assert set(FIXTURES) == set(READERS) - set(OWN), "people's own: test_own_files"
    assert all(path.is_file() for path in FIXTURES.values())
    assert FIXTURES["cmeee"].name == "cmeee.txt"
    assert FIXTURES["cmeee_json"].name == "cmeee.json"


@pytest.mark.parametrize("reader", sorted(FIXTURES))
def test_a_fixture_reads_without_faults_and_its_rows_hold_what_rows_promise(reader):
    """A reader whose rows miss a field, or whose spans cut other words out, spoils training far
    downstream."""
    faults = []
    rows = list(read_file(FIXTURES[reader], READERS[reader], "s", faults))
    assert rows
    assert not faults
    assert rows == fixture(reader)
    for one in rows:
        assert one["source"].split("/")[0] == "s"
        if reader == "word_list":
            assert set(one) == {"word", "frequency", "source"}
            assert one["word"] == one["word"].strip()
        elif any(field in one for field in TASKS.values()):
            assert READERS[reader].check is check_record
            assert check_record(one) == one
        else:
            assert READERS[reader].check is check_row
            assert check_row(one) == one
            assert set(one) - {"history"} == {"instruction", "input", "output", "source"}


@pytest.mark.parametrize("reader", TEXTS)
def test_a_file_saved_on_windows_reads_as_the_same(reader, tmp_path):
    """A byte order mark as the first character of a sentence, a \\r as the last of a relation."""
    raw = FIXTURES[reader].read_bytes()
    for name, changed in (
        ("mark", b"\xef\xbb\xbf" + raw),
        ("ends", raw.replace(b"\n", b"\r\n")),
        ("no end", raw.rstrip(b"\n")),
    ):
        path = tmp_path / name / FIXTURES[reader].name
        path.parent.mkdir()
        path.write_bytes(changed)
        assert list(read_file(path, READERS[reader], "s")) == fixture(reader), name


@pytest.mark.parametrize("reader", TEXTS)
@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_gives_nothing(reader, content, reading):
    """A StopIteration or an IndexError for a file that is only empty."""
    faults = []
    assert reading(reader, content, faults) == [] == faults


def test_ends_inclusive_and_exclusive_and_entities_that_nest(reading):
    """CLUENER and CMeEE count the last character in, boson does not: read alike, every entity of
    one loses or gains a character."""
    assert found(fixture("cluener")[0]) == [
        ("杭州", "address", [1, 3]),
        ("西湖", "scene", [3, 5]),
        ("中国茶叶博物馆", "organization", [10, 17]),
        ("西湖", "scene", [28, 30]),
    ]
    first, second = fixture("cmeee")
    assert found(first)[:2] == [("右上腹疼痛", "sym", [2, 7]), ("右上腹", "bod", [2, 5])]
    assert ("肺", "bod", [10, 11]) in found(second)
    assert found(fixture("cmeee_json")[0])[3:] == [
        ("心脏杂音", "sym", [17, 21]),
        ("心脏", "bod", [17, 19]),
    ]
    assert reading("cmeee", "无实体|||\n")[0]["entities"] == []
    assert found(fixture("entity_list")[0])[:2] == [
        ("老舍", "person_name", [0, 2]),
        ("《茶馆》", "product_name", [5, 9]),
    ]


def test_weibo_loses_its_index_and_keeps_a_digit_of_the_text(reading):
    """`50` is the digit 5 at index 0, a bare `5` is the digit itself; a greedy pattern takes both
    away."""
    first, second = fixture("weibo_columns")
    assert first["sentence"] == "周末5点就起床，去国家图书馆占座！"
    assert found(first) == [("国家图书馆", "ORG.NAM", [9, 14])]
    assert ("老师", "PER.NOM", [1, 3]) in found(second)
    assert reading("weibo_columns", "5\tO\n月0\tO\n10\tB-X.NAM\n81\tI-X.NAM\n")[0]["entities"] == [
        {"name": "18", "type": "X.NAM", "pos": [2, 4]}
    ]


def test_neighbours_of_one_type_stay_two_entities():
    """鲁迅 and 许广平, both PER, side by side."""
    first, second, third = fixture("bio_columns")
    assert found(second) == [
        ("鲁迅", "PER", [8, 10]),
        ("许广平", "PER", [10, 13]),
        ("上海", "LOC", [15, 17]),
    ]
    assert third["entities"] == []
    assert found(first)[-2:] == [("广州", "LOC", [15, 17]), ("中山大学", "ORG", [17, 21])]
    assert ("茅", "NAME", [13, 14]) in found(fixture("bmes_columns")[1])


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("I-A I-A O", [(0, 2, "A")]),  # nothing to continue: begins
        ("B-A I-B I-B", [(0, 1, "A"), (1, 3, "B")]),  # of another type: begins
        ("O I-A B-A", [(1, 2, "A"), (2, 3, "A")]),
        ("O B-A M-A", [(1, 3, "A")]),  # the sentence's end cuts it off
        ("M-A E-A E-A", [(0, 2, "A"), (2, 3, "A")]),
        ("B-A O I-A", [(0, 1, "A"), (2, 3, "A")]),
        ("S-A I-A O", [(0, 1, "A"), (1, 2, "A")]),
        ("B-creative-work I-creative-work O", [(0, 2, "creative-work")]),
    ],
)
def test_tags_that_do_not_fit_are_read_as_conlleval_reads_them(tags, spans):
    """Four entities of Resume are cut in two by an empty line; a reader that drops them scores
    unlike conlleval and seqeval."""
    sentence, where = joined("甲乙丙")
    assert tagged(sentence, where, tags.split()) == [
        {"name": sentence[s:e], "type": kind, "pos": [s, e]} for s, e, kind in spans
    ]


@pytest.mark.parametrize("tag", ["X-PER", "B", "B-", "O-PER", "B_PER", "PER", ""])
def test_an_unknown_tag_is_an_error(tag):
    """Tags of another scheme, read as O, give a data set without entities and without a word of
    warning."""
    with pytest.raises(DataError, match=r"found the tag .* at '乙', expected O or B-"):
        tagged(*joined("甲乙"), ["O", tag])


def test_words_are_joined_by_spaces_and_only_doc_lines_part_blocks(reading):
    """A tweet that holds the token `#doctor` must not end there."""
    assert found(fixture("bio_words")[1]) == [
        ("Tiananmen Square", "location", [15, 31]),
        ("Great Hall of the People", "location", [39, 63]),
    ]
    records = reading("bio_words", "a\tO\n#doctor\tB-x\n#doc\tO\n#doc 12\nb\tO\n \t \nc\tO\n")
    assert [r["sentence"] for r in records] == ["a #doctor #doc", "b", "c"]
    assert found(records[0]) == [("#doctor", "x", [2, 9])]


def test_spo_lists_of_three_makes(reading):
    """A slot read as the tail; a name that stands twice, or nowhere (`find` gives -1), with a wrong
    place."""
    first, second, third = fixture("spo_list")
    assert first["relations"] == [
        {
            "head": {"name": "骆驼祥子", "type": "图书作品", "pos": [1, 5]},
            "type": "作者",
            "tail": {"name": "老舍", "type": "人物", "pos": None},
        }
    ]
    prize, director = second["relations"]
    assert prize["head"]["pos"] == [6, 9]
    assert prize["tail"] == {"name": "金熊奖", "type": "奖项", "pos": [28, 31]}
    assert prize["slots"] == {
        "inWork": {"name": "红高粱", "type": "作品", "pos": [13, 16]},
        "onDate": {"name": "1988年", "type": "Date", "pos": [0, 5]},
    }
    assert "slots" not in director
    assert director["tail"]["name"] == "张艺谋"
    assert sides(third)[2] == ("缺铁性贫血", "药物治疗", "硫酸亚铁")
    assert [r["head"]["pos"] for r in third["relations"]] == [None] * 3
    assert places([second, third]) == {"placed": 9, "ambiguous": 3, "absent": 0}
    spo = {
        "predicate": "生于",
        "subject": "李白",
        "subject_type": "",
        "object": {"@value": "蜀", "period": ""},
        "object_type": {"@value": "", "period": ""},
    }
    [one] = reading("spo_list", [{"text": "李白生于碎叶", "spo_list": [spo]}])
    assert one["relations"][0]["tail"]["pos"] is None
    assert "slots" not in one["relations"][0]
    assert places([one]) == {"placed": 1, "ambiguous": 0, "absent": 1}


def test_conll04_relations_link_last_tokens():
    """The relation gives the last token of 'Zhejiang Province'; its tail is not 'Province'."""
    first, second, third = fixture("conll04")
    assert sides(first) == [
        ("Shaoxing", "Located_In", "Zhejiang Province"),
        ("Lu Xun", "Live_In", "Shaoxing"),
    ]
    assert sides(second) == [
        ("Palace Museum", "OrgBased_In", "Beijing"),
        ("Palace Museum", "OrgBased_In", "China"),
        ("Beijing", "Located_In", "China"),
    ]
    assert first["relations"][0]["tail"]["type"] == "Loc"
    assert third["relations"] == []
    assert third["sentence"].startswith("The night train")


def test_pairs_one_by_one_their_direction_and_those_without_a_relation(reading):
    """Cause-Effect(e2,e1) read as (e1,e2) says that the flood caused the rain; `unknown` and `None`
    would be the commonest relations."""
    whole, cause, other = fixture("semeval")
    assert sides(whole) == [("handle", "Component-Whole", "teapot")]
    assert sides(cause) == [("rain", "Cause-Effect", "flood")]
    assert cause["relations"][0]["head"]["pos"] == [58, 62]
    assert other["relations"] == []
    assert "<" not in other["sentence"]
    assert [sides(r) for r in fixture("finre")[1:3]] == [
        [("沃尔沃轿车公司", "被收购", "吉利控股集团")],
        [],
    ]
    assert fixture("deepke_csv")[2]["sentence"] == '杜甫，字子美，后人称他为"诗圣"'
    assert sides(fixture("deepke_csv")[0]) == [("边城", "作者", "沈从文")]
    [one] = reading("deepke_csv", f"{HEAD}甲乙,None,甲,0,乙,1\n")
    assert one["relations"] == []
    assert {r["annotation"] for r in (one, whole, fixture("finre")[0])} == {"one-pair"}


def test_triggers_arguments_and_documents_without_offsets():
    """FewFC's trigger, left among the mentions, doubles as an argument; of a name that DuEE-fin's
    text holds twice the first place is a guess."""
    one = fixture("fewfc")[0]
    bought, signed = one["events"]
    assert (bought["trigger"], bought["pos"]) == ("收购", [35, 37])
    assert (signed["trigger"], signed["pos"]) == ("签署", [24, 26])
    assert arguments(signed) == {
        "sub-org": ("吉利控股集团", [11, 17]),
        "obj-org": ("福特汽车公司", [18, 24]),
        "date": ("2010年3月28日", [0, 10]),
    }
    assert one["id"] == "288fecacca7f367ef10fe8277ca7cbed"
    won, retired = fixture("duee")[1]["events"]
    assert won["pos"] == [26, 28]
    assert retired["pos"] == [42, 44]
    assert arguments(retired)["退役者"] == ("刘翔", [8, 10])
    bought, listed, none = fixture("duee_fin")
    assert bought["events"][0]["pos"] is None
    assert arguments(bought["events"][0])["收购方"] == ("联想集团", None)
    assert arguments(bought["events"][0])["收购完成时间"] == ("2005年5月1日", [42, 51])
    assert arguments(listed["events"][0])["环节"] == ("正式上市", None)
    assert none["events"] == []


def test_iepile_slices_become_one_record(reading):
    """Slices of one schema would count as sentences, each with most of its entities missing, and
    NAN as a name."""
    entities, relations, events = fixture("iepile")
    assert found(entities) == [
        ("茅以升", "人物", [8, 11]),
        ("杭州", "地理位置", [22, 24]),
        ("钱塘江大桥", "建筑物", [16, 21]),
    ]
    assert sides(relations) == [("茶馆", "作者", "老舍"), ("茶馆", "首演机构", "北京人民艺术剧院")]
    assert [(a["role"], a["name"]) for a in events["events"][0]["arguments"]] == [
        ("冠军", "李婷"),
        ("冠军", "孙甜甜"),
        ("夺冠赛事", "雅典奥运会"),
    ]

    def test_row(what, answer):
        return {
            "instruction": json.dumps(
                {"instruction": f"抽取{what}", "schema": [], "input": f"李白生于碎叶{what}"}
            ),
            "label": json.dumps(answer),
        }

    event = {
        "event_trigger": "生",
        "event_type": "出生",
        "arguments": [{"argument": "李白", "role": "人"}],
    }
    person = test_row("实体", [{"entity": "李白", "entity_type": "人"}])
    one, two, three = reading(
        "iepile",
        [
            person,
            person,
            test_row("关系", [{"head": "李白", "relation": "生于", "tail": "碎叶"}]),
            test_row("事件", [event]),
        ],
    )
    assert found(one) == [("李白", "人", [0, 2])]
    assert sides(two) == [("李白", "生于", "碎叶")]
    assert arguments(three["events"][0]) == {"人": ("李白", [0, 2])}


def test_alpaca_with_history_and_scores_and_seeds_with_instances(reading):
    """A record of hikariming has no `input`; 200 of alpaca-chinese have the score null, and null >=
    4 is a TypeError; a seed is a row per instance."""
    first, second, third = fixture("alpaca")
    assert first["input"] == ""
    assert "history" not in first
    assert second["input"] == "大风吹倒了院子里的旧篱笆。"
    assert "history" not in second
    assert len(third["history"]) == 2
    assert third["history"][1][0] == "夏天多久浇一次水？"
    assert [len(fixture(r)) for r in ("alpaca_parallel", "alpaca_parallel_all")] == [1, 3]
    assert fixture("alpaca_parallel")[0]["output"].startswith("中国最长")
    rows = [
        {"zh_instruction": str(s), "zh_input": "", "zh_output": "", "metadata": {"score": s}}
        for s in (5, 4, 3, 1, None)
    ]
    assert [r["instruction"] for r in reading("alpaca_parallel", rows)] == ["5", "4"]
    assert [(r["input"], r["output"]) for r in fixture("seeds")[1:]] == [
        ("菠菜", "蔬菜"),
        ("枇杷", "水果"),
    ]
    assert (
        reading(
            "seeds",
            [{"instruction": "问好", "instances": [{"input": "<noinput>", "output": "你好"}]}],
        )[0]["input"]
        == ""
    )


def test_coig_in_its_five_forms(reading):
    """A reader of one form drops the others; rounds sorted as text put the tenth before the
    second."""
    exam, value, translated, talk, leetcode = fixture("coig")
    assert exam["instruction"].startswith("阅读材料")
    assert exam["input"].startswith("同一时刻")
    assert "\n造成这一现象" in exam["input"]
    assert exam["output"].startswith("B\n地球自西向东")
    assert leetcode["output"] == "60平方厘米"
    assert value["input"] == "" != value["output"]
    assert translated["input"] == "她把一条蓝色的围巾系在白马的脖子上。"
    assert "history" not in translated
    assert talk["instruction"] == "那后四十回呢？"
    assert talk["history"][0][0] == "《红楼梦》的作者是吴承恩吗？"
    assert len(talk["history"]) == 1
    rounds = {
        f"round_{n}": {"prompt": f"问{n}", "response": f"答{n}"} for n in (10, 2, 1, *range(3, 10))
    }
    bare = {
        "textbox_q_instruction": "",
        "textbox_q_context": "",
        "textbox_question": "1+1",
        "textbox_answer": "2",
        "textbox_answer_analysis": "",
    }
    long, single, short = reading("coig", [rounds, {"round_1": rounds["round_1"]}, bare])
    assert long["instruction"] == "问10"
    assert [pair[0] for pair in long["history"]] == [f"问{n}" for n in range(1, 10)]
    assert "history" not in single
    assert (short["instruction"], short["input"]) == ("1+1", "")


@pytest.mark.parametrize(("reader", "answer"), [("baike", "answer"), ("webtext", "content")])
def test_line_breaks_of_web_pages_and_a_description_that_repeats_the_title(reader, answer, reading):
    """A student that writes <br>, and whose questions are all asked twice."""
    rows = fixture(reader)
    assert not any(
        mark in r["instruction"] + r["input"] + r["output"] for r in rows for mark in ("\r", "<br")
    )
    assert (
        (rows[0]["output"].count("\n") == 3 and rows[1]["input"] == "")
        if reader == "baike"
        else rows[0]["input"].count("\n") == 1
    )
    same, other = reading(
        reader,
        [
            {"title": "问", "desc": "问\r", answer: "甲<br/>乙<br>丙"},
            {"title": "问", "desc": "问甲", answer: "\r\r甲\r\r乙"},
        ],
    )
    assert (same["input"], same["output"], other["input"], other["output"]) == (
        "",
        "甲\n乙\n丙",
        "问甲",
        "甲\n乙",
    )


def test_sources_name_their_part_and_word_lists_have_gaps(reading):
    """THUOCL_diming parts lines with a bare \\r, four words have no frequency; and LaMini's seven
    subsets must stay apart."""
    assert [r["source"] for r in fixture("lamini")] == [
        "s/alpaca",
        "s/alpaca",
        "s/self_instruct_with_topic",
    ]
    assert fixture("word_list")[1] == {"word": "擀面杖", "frequency": 9632, "source": "s/word_list"}
    words = reading("word_list", "长江\t5\r黄河 \t 6\r\n淮河\n海河\t很多\n\n珠江\t")
    assert [(w["word"], w["frequency"]) for w in words] == [
        ("长江", 5),
        ("黄河", 6),
        ("淮河", None),
        ("海河", None),
        ("珠江", None),
    ]


ROW = '{"instruction": "甲", "output": "乙"}'
EVENT = '{"id": 1, "content": "甲", "events": %s}'
TOLD = (
    r'{"instruction": "{\"instruction\": \"实体\", \"schema\": [], \"input\": \"甲\"}", '
    r'"output": "{\"x\": [\"甲\"]}"}'
)
CONLL = "0\tA\tO\t['N']\t[0]\n"
MALFORMED = {  # reader, content, how many rows still come, place, reason
    "a broken line": (
        "alpaca",
        f'{ROW}\n{{"instruction": \n{ROW}\n',
        2,
        "line 2",
        "Expecting value at column",
    ),
    "a line cut short": ("alpaca", f"{ROW}\n{ROW}\n{ROW[:26]}", 2, "line 3", "Unterminated string"),
    "a broken list": (
        "alpaca",
        f'[{ROW},\n{ROW},\n{{"instruction" 1}},\n{ROW}]',
        2,
        "line 3",
        "the list cannot be read from here on",
    ),
    "a list without a comma": ("alpaca", f"[{ROW} {ROW},\n{ROW}\n]", 1, "line 1", "cannot be read"),
    "a missing field": (
        "alpaca",
        f'{ROW}\n{{"instruction": "甲"}}\n{ROW}',
        2,
        "line 2",
        "the field 'output' is missing",
    ),
    "a wrong type": (
        "alpaca",
        ROW.replace('"乙"', "null"),
        0,
        "line 1",
        "field output: found None, expected a string",
    ),
    "a number for a row": ("alpaca", f"[{ROW}, 5, {ROW}]", 2, "item 2", "not in this format"),
    "null for events": (
        "fewfc",
        f"{EVENT % '[]'}\n{EVENT % 'null'}",
        1,
        "line 2",
        "not in this format",
    ),
    "no trigger": (
        "fewfc",
        EVENT % '[{"type": "x", "mentions": []}]',
        0,
        "line 1",
        "event x: found 0 mentions with role trigger",
    ),
    "a span of other words": (
        "cluener",
        '{"text": "甲乙丙", "label": {"x": {"甲": [[0, 1]]}}}',
        0,
        "line 1",
        r"field entities\[0\].pos: found \[0, 2\] = '甲乙', expected the place of '甲'",
    ),
    "a span out of the text": (
        "cmeee",
        "甲乙|||0    2    x|||\n甲|||0    0    x|||",
        1,
        "line 1",
        "expected start, end .inclusive, under 2",
    ),
    "GBK lines": (
        "alpaca",
        f'{ROW}\n{{"instruction": "a", "output": "b"}}\n'.encode("gbk"),
        1,
        "line 1",
        "not UTF-8 at byte 17 ",
    ),
    "a GBK list": ("alpaca", f"[{ROW}]".encode("gbk"), 0, "file", "not UTF-8 at byte 18 "),
    "a GBK table": ("deepke_csv", (HEAD + PAIR).encode("gbk"), 0, "behind line 0", "not UTF-8"),
    "a GBK line in a block": (
        "bio_columns",
        b"a\tO\n" + "你\tO\n\n".encode("gbk") + b"b\tO\n",
        1,
        "line 2",
        "not UTF-8 at byte 0 ",
    ),
    "a GBK object over lines": ("alpaca", f"{{\n{ROW[1:]}".encode("gbk"), 0, "line 1", "not UTF-8"),
    "a deep line": ("alpaca", f"{ROW}\n{'[' * 100_000}\n{ROW}", 2, "line 2", "nested too deep"),
    "a deep list": ("alpaca", "[" * 100_000, 0, "item 1", "nested too deep"),
    "a number of 5,000 digits": (
        "alpaca",
        f'{ROW}\n{{"instruction": {"1" * 5000}}}\n{ROW}',
        2,
        "line 2",
        "",
    ),
    "a number of 5,000 digits in a list": ("alpaca", f"[{ROW}, {'1' * 5000}]", 1, "", ""),
    "half a surrogate pair": (
        "alpaca",
        f'{ROW}\n{{"instruction": "\\ud83d", "output": ""}}\n{ROW}',
        2,
        "line 2",
        "",
    ),
    "too few fields": ("deepke_csv", f"{HEAD}甲和乙,作者,甲\n{PAIR}", 1, "line 2", ""),
    "too many fields": ("deepke_csv", f"{HEAD}甲,和乙,作者,甲,0,乙,2\n{PAIR}", 1, "line 2", ""),
    "three columns for two": (
        "bmes_columns",
        "甲 O\n乙 O x\n\n丙 O\n",
        1,
        "line 1",
        "found '乙 O x', expected 2 columns",
    ),
    "a tag of no scheme": (
        "weibo_columns",
        "甲0\tQ-PER\n\n乙0\tO\n",
        1,
        "line 1",
        "found the tag 'Q-PER' at '甲'",
    ),
    "four columns for five": (
        "conll04",
        f"{CONLL}\n#doc 2\n{CONLL[:-5]}\n",
        1,
        "line 4",
        "expected 5 columns",
    ),
    "a relation of a token": (
        "conll04",
        "0\tA\tB-X\t['R']\t[1]\n1\tb\tO\t['N']\t[1]\n",
        0,
        "line 1",
        "expected the last tokens of two entities",
    ),
    "a token lost": (
        "conll04",
        f"{CONLL}{CONLL.replace('0', '2')}",
        0,
        "line 1",
        "token numbers 0 to 2, expected 0 to 1",
    ),
    "a list that is none": ("conll04", f"{CONLL}\n{CONLL.replace('[0]', '[0')}", 1, "line 3", ""),
    "a mark missing": (
        "semeval",
        "a\tb\tR(e1,e2)\tThe <e1>a</e1> b.\n",
        0,
        "line 1",
        r"marks \['e1'\]",
    ),
    "a frequency without a word": ("word_list", "甲\t1\n\t5\n", 1, "line 2", "expected a word"),
    "a task that is none": (
        "iepile",
        TOLD.replace("实体", "摘要"),
        0,
        "line 1",
        "expected one about",
    ),
    "an answer that is no JSON": (
        "iepile",
        f"{TOLD}\n{TOLD.replace('甲', '乙')}\n{json.dumps(json.loads(TOLD) | {'output': '{'})}",
        2,
        "line 3",
        "column",
    ),
    "a slice without an instruction": (
        "iepile",
        f'{TOLD}\n{{"output": "[]"}}',
        1,
        "line 2",
        "instruction",
    ),
    "a slice without an answer": (
        "iepile",
        json.dumps({"instruction": json.loads(TOLD)["instruction"]}),
        0,
        "line 1",
        "label|output",
    ),
    "a slice without an input": ("iepile", TOLD.replace("input", "text"), 0, "line 1", "input"),
    "a number for a slice": ("iepile", f"{TOLD}\n5\n", 1, "line 2", ""),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_unit_is_named_and_the_rest_is_read(case, reading):
    """A bare KeyError says neither file nor line, and one bad line must not cost the whole
    source."""
    reader, content, kept, place, reason = MALFORMED[case]
    with pytest.raises(DataError, match=rf"^x\.txt, {place}.*: .*({reason}).*`faults`"):
        reading(reader, content)
    faults = []
    rows = reading(reader, content, faults)
    assert len(rows) == kept
    assert len(faults) == 1
    assert str(faults[0]).startswith(f"x.txt, {place}")


def test_lines_without_end_and_halves_of_characters(reading, monkeypatch):
    """A file without line ends would be read into memory whole; half a surrogate pair passes every
    check and cannot be written."""
    faults = []
    assert (
        len(reading("alpaca", f'[{{"instruction": "\\ud83d", "output": ""}}, {ROW}, {{', faults))
        == 1
    )
    assert len(faults) == 2
    monkeypatch.setattr(native, "LONGEST_LINE", 60)
    faults = []
    assert len(reading("alpaca", f"{ROW}\n{'x' * 61}\n{ROW}\n", faults)) == 1
    assert [f.place for f in faults] == ["line 2"]
    assert "the rest of the file was not read" in faults[0].reason


def test_a_damaged_parquet_file_is_a_fault(tmp_path):
    """An ArrowInvalid of a download cut short, or a UnicodeDecodeError, says no file name."""
    import pyarrow as pa
    from pyarrow import parquet

    whole = FIXTURES["lamini"].read_bytes()
    text = {
        name: pa.array([b"\xc4\xe3", b"ok"], pa.binary()).view(pa.string())
        for name in ("instruction", "response", "instruction_source")
    }
    parquet.write_table(pa.table(text), tmp_path / "gbk.parquet")
    for number, raw in enumerate(
        (whole[:-20], whole[: len(whole) // 2], b"", b"[]", (tmp_path / "gbk.parquet").read_bytes())
    ):
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(raw)
        with pytest.raises(DataError, match=rf"^{number}\.parquet, (file|row)"):
            list(read_file(path, READERS["lamini"], "s"))
        faults = []
        assert len(list(read_file(path, READERS["lamini"], "s", faults))) <= 1 == len(faults)


kinds = st.sampled_from(["PER.NAM", "creative-work", "地点"])
words = st.text(st.sampled_from("骆驼a1#😀é"), min_size=1, max_size=3)
segments = st.lists(
    st.tuples(st.lists(words, min_size=1, max_size=4), st.none() | kinds), min_size=1, max_size=8
)


@given(segments, st.sampled_from(["BII", "BME S", "BIE S"]), st.sampled_from(["", " "]))
def test_tags_give_back_the_spans_they_were_made_from(parts, scheme, between):
    """Off by one at a neighbour, at the end of a sentence, or at a token of several characters."""
    first, inner, last, alone = (
        scheme[0],
        scheme[1],
        scheme[2],
        scheme[-1] if " " in scheme else "B",
    )
    tokens, tags, ranges = [], [], []
    for words_of, kind in parts:
        marks = [alone] if len(words_of) == 1 else [first, *inner * (len(words_of) - 2), last]
        ranges += [(len(tokens), len(tokens) + len(words_of) - 1, kind)] if kind else []
        tags += [f"{mark}-{kind}" if kind else "O" for mark in marks]
        tokens += words_of
    sentence, spans = joined(tokens, between)
    one = check_record(record(sentence, entities=tagged(sentence, spans, tags)))
    assert found(one) == [
        (between.join(tokens[s : e + 1]), kind, [spans[s][0], spans[e][1]]) for s, e, kind in ranges
    ]


@settings(deadline=None)
@given(
    st.text(st.sampled_from("骆驼a1😀\n"), min_size=1, max_size=20),
    st.sets(st.tuples(st.integers(0, 19), st.integers(0, 19), kinds)),
    st.booleans(),
)
def test_offsets_count_characters_whatever_the_escapes(text, drawn, escaped):
    """Offsets counted in UTF-16 or in bytes are right until the first emoji."""
    spans = {(s, e, kind) for s, e, kind in drawn if s <= e < len(text)}
    label = {}
    for s, e, kind in spans:
        label.setdefault(kind, {}).setdefault(text[s : e + 1], []).append([s, e])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.json"
        path.write_text(
            json.dumps({"text": text, "label": label}, ensure_ascii=escaped), encoding="utf-8"
        )
        [one] = read_file(path, READERS["cluener"], "s")
    assert one["sentence"] == text
    assert {(e["pos"][0], e["pos"][1] - 1, e["type"]) for e in one["entities"]} == spans
    assert len(one["entities"]) == len(spans)
    assert [e["pos"] for e in one["entities"]] == sorted(e["pos"] for e in one["entities"])


JUNK = st.binary(max_size=8) | st.sampled_from(
    [b'"', b"[", b"]", b"{", b"}", b",", b":", b"\t", b"\n", b"null", b"-1", b"1e999", b"\\ud800"]
)


@pytest.mark.parametrize("reader", sorted(FIXTURES))
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=300) | st.tuples(st.floats(0, 1), st.integers(0, 20), JUNK))
def test_whatever_the_bytes_a_reader_gives_faults_and_raises_nothing(reader, damage):
    """`errors="collect"` that raises after all: whole files of junk, and the fixture with one
    damaged place."""
    if isinstance(damage, tuple):
        where, cut, junk = damage
        raw = FIXTURES[reader].read_bytes()[:20_000]
        damage = raw[: int(where * len(raw))] + junk + raw[int(where * len(raw)) + cut :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.txt"
        path.write_bytes(damage)
        faults = []
        for one in read_file(path, READERS[reader], "s", faults):
            assert not READERS[reader].check or READERS[reader].check(one) == one
        assert all(
            isinstance(f, Fault) and f.file == "x.txt" and f.place and f.reason for f in faults
        )
        with pytest.raises(DataError, match=r"^x\.txt, ") if faults else nullcontext():
            list(read_file(path, READERS[reader], "s"))


COUNTS = {  # name and split: rows, and where stated entities, relations or events
    "cluener train": (10_748, 23_972),
    "cluener dev": (1_343, 3_072),
    "resume train": (3_821,),
    "resume dev": (463,),
    "resume test": (477,),
    "duie-sample train": (2_601, 5_293),
    "duie-sample dev": (1_000, 2_073),
    "fewfc train": (2_732, 4_682),
    "fewfc dev": (1_821, 3_320),
    "finre train": (13_486,),
    "finre dev": (1_489,),
    "finre test": (3_727,),
    "deepke-re train": (3_000,),
    "deepke-re dev": (1_000,),
    "deepke-re test": (1_000,),
    "conll04 train": (910,),
    "conll04 dev": (243,),
    "conll04 test": (288,),
    "wnut17 train": (3_394,),
    "wnut17 dev": (1_009,),
    "alpaca-chinese train": (47_485,),
    "thuocl train": (157_172,),
    "belle-seeds train": (175,),
    "self-instruct-seeds train": (175,),
    "user-oriented test": (252,),
    "alpaca-zh-demo train": (1_000,),
    "oasst-zh train": (766,),
    "hikariming train": (12_208,),
}


@cache
def real(name, split):
    """Rows, labelled things and faults of a real split: read once for all tests."""
    faults = []
    rows = list(read(name, split, False, faults))
    things = sum(len(one[field]) for one in rows for field in TASKS.values() if field in one)
    return len(rows), things, len(faults)


@pytest.mark.parametrize("split", COUNTS)
def test_counts_of_the_real_files(mirror, split):
    """A reader that loses a sentence in a hundred looks right on every fixture."""
    rows, things, faults = real(*split.split())
    assert (rows, things)[: len(COUNTS[split])] == COUNTS[split]
    assert faults == 0


def test_counted_means_counted(mirror):
    """Every number shown as counted is what the reader gives for the real files. Those of the
    chain-of-thought sets were counted where they could be fetched, and need not be in a mirror."""
    absent = set()
    for card in CATALOG.values():
        if card.records["verified"] is not None and card.reader:
            try:
                rows = sum(real(card.name, split)[0] for split in card.splits)
            except FileNotFoundError:
                absent.add(card.name)
                continue
            assert rows == card.records["verified"], card.name
    assert {name for name in absent if not name.startswith("cot-")} == set()


def test_what_cards_and_docstrings_say_of_the_real_files(mirror):
    """Scores, histories, words without a frequency, files one by one; of DuIE's heads and tails one
    in thirteen has no sure place."""
    assert (
        sum(1 for _ in read("alpaca-chinese", "train", False, reader="alpaca_parallel_all"))
        == 52_002
    )
    assert sum("history" in row for row in read("oasst-zh", "train", False)) == 524
    assert Counter(word["frequency"] is None for word in read("thuocl", "train", False))[True] == 4
    parts = files("hikariming", "train", False)["train"]
    assert [sum(1 for _ in read_file(path, READERS["alpaca"], "s")) for path in parts] == [
        3_247,
        2_982,
        3_022,
        2_957,
    ]
    records = [one for split in ("train", "dev") for one in read("duie-sample", split, False)]
    assert not any("slots" in r for one in records for r in one["relations"])
    assert places(records) == {"placed": 14_732 - 1_156 - 10, "ambiguous": 1_156, "absent": 10}


def test_load_raises_collects_and_takes_every_split(mirror):
    """hikariming's unfinished translation is invalid JSON in its middle; what stands before the
    break is not lost. IEPile has twelve splits."""
    with pytest.raises(DataError, match=r"alpaca_data-9407-12345\S+, line 14007: "):
        load("hikariming", split="poor", progress=False)
    data, [fault] = load("hikariming", split="poor", errors="collect", progress=False)
    assert fault.place == "line 14007"
    assert fault.file.startswith("alpaca_data-9407-12345")
    assert len(data) == 8_069
    data = load("iepile", progress=False)
    assert set(data) == set(CATALOG["iepile"].splits)
    assert sum(len(split) for split in data.values()) == 70
    assert all(
        sum(len(one[f] or []) for one in split for f in TASKS.values() if f in one) >= 3
        for split in data.values()
    )


def test_a_space_behind_a_tag_makes_no_other_type():
    """`PER ` and `PER` were two types, and the entity was split where the space stood."""
    block = [["李", "B-PER"], ["白", "I-PER "], ["来", "O "]]
    (record,) = READERS["bio_columns"].convert(block)
    assert [(e["name"], e["type"]) for e in record["entities"]] == [("李白", "PER")]
