"""Cleaning: every step finds what it is for and nothing else, duplicates near and exact, leaks, and
IE records whose spans stay true."""

import json
import random
import re
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils.data import clean
from miniluotuo_utils.data.cleaning import sieved
from miniluotuo_utils.data.decontamination import Leaks, evaluation_sentences, evaluation_splits
from miniluotuo_utils.data.loading import read
from miniluotuo_utils.data.steps import RECORD_STEPS, ROW_STEPS, TEXTS, converter, malformed, moved
from miniluotuo_utils.files import DataError, read_jsonl
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.text import NearDuplicates, folded, jaccard, shingle_hashes, shingles

ROWS = [
    {"instruction": f"问题{i}", "input": "", "output": f"回答{i}。", "source": "s"}
    for i in range(20)
]
DIRTY = read_jsonl(EMBEDDED / "dirty.jsonl")
STAYS = {"", "masked", "simplified", "unicode"}


def test_cleaning_counts_what_it_removes_and_keeps_the_first():
    """Rows once vanished without an account."""
    rows = [
        *ROWS[:2],
        {**ROWS[0], "instruction": "问题0！", "output": "另一个"},
        {**ROWS[2], "output": "坏\ufffd字"},
        {**ROWS[3], "output": " "},
        {**ROWS[4], "output": "长" * 2001},
    ]
    kept, report = clean(rows)
    assert kept == ROWS[:2]
    assert report.before == 6
    assert report.after == 2
    assert {s: n for s, n in report.removed.items() if n} == {
        "broken characters": 1,
        "no answer": 1,
        "too long": 1,
        "same question": 1,
    }
    assert report.mended["normal form"] == 1
    assert report.examples["same question"][0]["because"] == ROWS[0]


@pytest.mark.parametrize(
    "row", DIRTY, ids=lambda r: f"{r['fault'] or 'good'}: {r['instruction'][:12]}"
)
def test_each_dirty_row_is_found_by_its_own_step(row):
    """A step that finds too much eats good rows: poems, one-character answers, quoted refusals,
    digits of π."""
    kept, report = clean([row], near=None)
    removed = [step for step, n in report.removed.items() if n]
    if row["fault"] in STAYS or row["fault"].endswith("duplicate"):
        assert removed == []
        assert len(kept) == 1
        mended = {"masked": "masked", "simplified": "simplified", "unicode": "normal form"}.get(
            row["fault"]
        )
        assert mended is None or report.mended[mended] == 1
    else:
        assert removed == [row["fault"]]
        assert kept == []


@pytest.mark.parametrize(
    ("answer", "step"),
    [
        ("我是一名助理教授，教古代汉语。", None),
        ("作为助理，我协助经理安排会议。", None),
        ("机器学习作为人工智能的分支，发展很快。", None),
        ("我是ChatGPT。", "self-identification"),
        ("我是一个由OpenAI训练的大型语言模型。", "self-identification"),
        ("作为一个 AI 语言模型，我没有感情。", "self-identification"),
        ("I can't wait to see you tomorrow!", None),
        ("我无法按时完成项目，这给我带来了很大的压力。", None),
        ("我无法用言语表达我对您提供的帮助的感激之情。", None),
        ("无法回答该问题。", "refusal"),
        ("您好，很抱歉，我无法提供实时天气。", "refusal"),
        ("抱歉，该任务需要模型无法生成的视觉输出。", "refusal"),
        ("作为文心一言，我可以帮你写作。", "self-identification"),
        ("作为通义千问，我会回答你的问题。", "self-identification"),
        ("身为一个AI助手，我无法品尝。", "self-identification"),
        ("我是由一支独立团队开发的大模型。", "self-identification"),
        ("我是由清华大学和智谱AI共同训练的语言模型。", "self-identification"),
        ("我是 Qwen2.5，由阿里云开发。", "self-identification"),
        ("我是您的AI助手，有什么可以帮您？", "self-identification"),
        ("我的开发者是OpenAI。", "self-identification"),
        ("ChatGPT作为一个大型语言模型，可以生成文本。", None),
        ("作为人工智能助手，Siri可以帮助用户设置闹钟。", None),
        ("作为文心一言的用户，我觉得它很好用。", None),
        ("文心一言是由百度开发的大语言模型。", None),
        ("我是AI产品经理。", None),
        ("我是星火小学的学生。", None),
        ("我是由外婆带大的。", None),
    ],
)
def test_what_sounds_alike(answer, step):
    """Each of these was on the wrong side once: good answers went, and plain refusals stayed."""
    _, report = clean([{"instruction": "造句", "input": "", "output": answer, "source": "s"}])
    assert [s for s, n in report.removed.items() if n] == ([step] if step else [])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("我的邮箱是zhangsan@qq.com", "我的邮箱是<邮箱>"),
        ("电话13800138000或008613800138000", "电话<手机号>或<手机号>"),
        ("宇宙的年龄约为13800000000年", None),
        ("营收15912345678元", None),
        ("git clone git@github.com:user/repo.git", None),
        (
            "110101199003070003和11010119000205000X11010119000205000X",
            "<身份证号>和<身份证号><身份证号>",
        ),
    ],
)
def test_masks(text, masked):
    """`是` before an address counted as a letter of it, and every large number was somebody's
    telephone."""
    [row], _ = clean([{"instruction": "问", "input": "", "output": f"答：{text}。", "source": "s"}])
    assert row["output"] == f"答：{masked or text}。"


def test_scripts_placeholders_histories_and_emoji():
    """Kanji became simplified, `無輸入` needed two cleanings, histories were not read, and a family
    fell apart."""
    answer = {
        "instruction": "译成日语。",
        "input": "我想学机器学习",
        "output": "私は機械学習を勉強したいです。時間が必要です。",
        "source": "s",
    }
    assert clean([answer])[0] == [answer]
    [row], report = clean(
        [
            {
                "instruction": "請寫一個關於機器學習的問題",
                "input": "無輸入",
                "output": "機器學習與統計學有什麼關係？",
                "source": "s",
            }
        ]
    )
    assert row["input"] == ""
    assert "机器学习" in row["output"]
    assert clean([row])[0] == [row]
    assert report.mended["placeholder"] == 1
    talk = {**ROWS[0], "history": [["你是谁？", "我是ChatGPT。"]]}
    assert clean([talk])[1].removed["self-identification"] == 1
    assert clean([{**talk, "history": [["嗨", "坏\ufffd"]]}])[1].removed["broken characters"] == 1
    [row], _ = clean(
        [{**ROWS[0], "output": "一家人👨\u200d👩\u200d👧在\u200b这里。第一行\u2028第二行"}]
    )
    assert row["output"] == "一家人👨\u200d👩\u200d👧在这里。第一行\n第二行"


def test_formulas_and_code_are_not_folded_into_one_another():
    """`(3+4)*2` was a duplicate of `3+4*2`, and `-2` of `2`."""
    for one, other in (
        ("计算 3+4*2", "计算 (3+4)*2"),
        ("2的绝对值", "-2的绝对值"),
        ("23 等于几", "2³ 等于几"),
        ("x>1", "x>-1"),
        ("计算 5", "计算 5!"),
        ("ai", "a[i]"),
    ):
        assert folded(one) != folded(other)
    for one, other in (
        ("写一首诗。", "写一首诗！"),
        ("列出：苹果,梨", "列出:苹果，梨"),
        ("“你好”吗?", "你好吗"),
        ("问题0！", "问题0"),
    ):
        assert folded(one) == folded(other)


def test_bad_rows_are_named_before_anything_is_cleaned():
    """A null output in row 70,000 ended an hour of work with an AttributeError."""
    with pytest.raises(DataError, match="output of row 1: found None"):
        clean([ROWS[0], {**ROWS[1], "output": None}])
    with pytest.raises(DataError, match="instruction of row 1: found None"):
        clean([ROWS[0], {"sentence": "x"}])
    with pytest.raises(
        DataError, match="rows: found dict with train, expected the rows of one split"
    ):
        clean({"train": ROWS})


def test_templates_do_not_make_near_duplicates_quadratic():
    """Every exam question begins with the same sixty characters: 2,000 such rows once took 13
    seconds, 150,000 would take a day."""
    head = (
        "请阅读下面的材料，根据材料内容选出最符合题意的一项，并说明理由，"
        "注意答案要写清楚步骤和依据，不能只写选项字母。题目："
    )
    words, draw = "春夏秋冬山水风云花鸟虫鱼日月星辰江河湖海", random.Random(1)
    near = NearDuplicates(0.8)
    near.add([head + "".join(draw.choices(words, k=24)) for _ in range(600)])
    assert max(len(held) for held in near.buckets.values() if type(held) is tuple) <= 32
    with pytest.raises(ValueError, match="threshold: found 1.2"):
        NearDuplicates(1.2)


row = st.fixed_dictionaries(
    {k: st.text(max_size=8) for k in ("instruction", "input", "output")} | {"source": st.just("s")}
)

LONG_TASK = (
    "请阅读下面这则公司公告，找出其中所有的质押事件，写出质押方、质权方和质押的股数，"
    "每个事件占一行，没有质押事件的公告就回答没有，不要写别的内容，也不要解释："
)
APPLES = (
    "果园里第一天收了{0}筐苹果，第二天收的比第一天多{1}筐，第三天收的是前两天的总和。"
    "三天一共收了多少筐苹果？写出每一步的算式，最后用一句话回答这个问题。"
)


def pair(one: tuple[str, str, str], other: tuple[str, str, str]) -> int:
    """Return how many of two rows stay."""
    fields = ("instruction", "input", "output")
    return len(clean([dict(zip(fields, row, strict=True)) for row in (one, other)])[0])


def test_rows_of_one_long_instruction_are_compared_by_what_they_ask():
    """Twenty rows of other companies and other sums: sixteen were near duplicates of the first."""
    rows = [
        {
            "instruction": LONG_TASK,
            "input": f"{name}股份向{name}银行质押{n * 37}万股。",
            "output": f"{name}股份，{name}银行，{n * 37}万股",
            "source": "s",
        }
        for n, name in enumerate("天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往", 3)
    ]
    assert clean(rows)[0] == rows
    told = {"instruction": LONG_TASK.replace("请", "麻烦你", 1), "output": rows[0]["output"] + "。"}
    assert len(clean([*rows, rows[0] | told])[0]) == len(rows)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # (question, answer) of rows that say nearly the same in characters and not in meaning
        ((APPLES.format(12, 5), "58筐。"), (APPLES.format(14, 5), "66筐。")),
        ((APPLES.format("十二", "五"), "五十八筐。"), (APPLES.format("十四", "五"), "六十六筐。")),
        ((LONG_TASK + "甲", "无"), (LONG_TASK.replace("质押事件", "减持事件") + "甲", "无")),
        ((LONG_TASK + "北京到上海", "无"), (LONG_TASK + "上海到北京", "无")),
        ((LONG_TASK + "这句话是对的吗", "对"), (LONG_TASK + "这句话是不对的吗", "对")),
        ((LONG_TASK + "他在2019年5月出生", "无"), (LONG_TASK + "他在2019年6月出生", "无")),
        ((LONG_TASK + "Python 3.10 版", "无"), (LONG_TASK + "Python 3.11 版", "无")),
        ((LONG_TASK + "长3.5公里", "无"), (LONG_TASK + "长3.5公斤", "无")),
        (("译成英文：" + LONG_TASK, "Read it."), ("译成法文：" + LONG_TASK, "Read it.")),
        ((LONG_TASK + "三个月以后", "无"), (LONG_TASK + "三月以后", "无")),
        ((LONG_TASK + "一共有五位数", "无"), (LONG_TASK + "一共有五个数", "无")),
        ((LONG_TASK + "张三", "见公告"), (LONG_TASK + "李四", "见公告")),
    ],
)
def test_other_numbers_names_and_words_are_other_rows(one, other):
    """Word problems with other numbers and other answers went at a similarity of 0.89."""
    texts = [shingles(folded("".join(row))) for row in (one, other)]
    assert jaccard(*texts) > 0.7, "alike enough to be mistaken"
    assert pair((one[0], "", one[1]), (other[0], "", other[1])) == 2
    assert pair(("回答问题。", one[0], one[1]), ("回答问题。", other[0], other[1])) == 2


@pytest.mark.parametrize(
    "other",
    [
        "请你" + APPLES.format(12, 5),
        APPLES.format(12, 5).replace("最后用", "最后使用"),
        APPLES.format(12, 5).replace("一共收了", "一共收"),
        APPLES.format(12, 5).replace("写出", "写明"),
    ],
)
def test_other_manners_are_the_same_row(other):
    """Politeness, particles and words that say the same make no second example."""
    assert pair((APPLES.format(12, 5), "", "58筐。"), (other, "", "58筐。")) == 1


@given(st.lists(row, max_size=8))
def test_near_duplicates_never_differ_in_a_digit(rows):
    """Whatever the texts are."""
    _, report = clean(rows)
    for example in report.examples.get("near duplicate", []):
        told = ["".join(example[which][f] for f in TEXTS) for which in ("row", "because")]
        assert len({tuple(re.findall(r"\d", text)) for text in told}) == 1


def test_the_dirty_rows_together():
    """The duplicates are found only beside their originals, and the originals stay."""
    kept, report = clean(DIRTY)
    wanted = Counter(row["fault"] for row in DIRTY)
    assert report.removed == {step: wanted[step] for step in report.removed}
    assert sum(report.removed.values()) == len(DIRTY) - len(kept)
    text = json.dumps(kept, ensure_ascii=False)
    assert "13800138000" not in text
    assert "@example.com" not in text
    assert "\u200b" not in text
    assert "機" not in text


dirty_row = st.one_of(
    row,
    st.sampled_from(DIRTY),
    st.tuples(st.sampled_from(DIRTY), st.text(max_size=3)).map(
        lambda p: {**p[0], "output": p[0]["output"] + p[1]}
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(dirty_row, max_size=12))
def test_cleaning_twice_is_cleaning_once(rows):
    """A fix that feeds another step, or a step that makes new duplicates, would show here."""
    kept, report = clean(rows)
    again, second = clean(kept)
    assert again == kept
    assert not any(second.mended.values())
    assert report.before == report.after + sum(report.removed.values())


def test_near_duplicates_match_exactly_what_jaccard_says():
    """MinHash proposes, the exact similarity decides: no row is lost to a chance collision."""
    texts = [row["output"] for row in DIRTY if row["output"]]
    near = NearDuplicates(0.8)
    for i, match in enumerate(near.add(texts)):
        if match:
            a, b = (shingles(folded(texts[n]) or texts[n]) for n in (i, match.number))
            assert jaccard(a, b) == match.similarity >= 0.8
            assert match.number < i
    assert near.lookup([texts[0]])[0].similarity == 1.0
    assert near.count == len(texts)


@given(st.lists(st.text(max_size=9), min_size=1, max_size=8))
def test_shingle_hashes_are_those_of_each_text_alone(texts):
    """A short text's shingle once took in the first characters of the next text."""
    hashes, offsets = shingle_hashes(texts)
    alone = [shingle_hashes([text])[0].tolist() for text in texts]
    assert [
        hashes[int(a) : int(b)].tolist() for a, b in zip(offsets, offsets[1:], strict=False)
    ] == alone
    assert all(len(set(h)) == len(shingles(t)) for h, t in zip(alone, texts, strict=True))


def test_leaked_sentences_are_found_however_they_are_wrapped():
    """A student that has read the test set scores well and has learned nothing."""
    sentence = "2019年8月，国家图书馆在北京举办了敦煌遗书特展。"
    leaks = Leaks({"test": [sentence, "西湖在杭州。"]})
    texts = [
        f"找出这句话里的实体：{sentence}",
        "西湖在杭州！",
        "国家图书馆在北京举办了一场讲座，内容是敦煌遗书。",
        sentence.replace("8月", "９月"),
        "西湖在杭州的哪一边，怎么走最近，门票多少钱？",
    ]
    assert [bool(leak) for leak in leaks.found_in(texts)] == [True, True, False, True, False]
    kept, report = clean([{**ROWS[0], "input": sentence}, ROWS[1]], against=leaks)
    assert kept == ROWS[1:2]
    assert report.examples["leaked"][0]["because"] == {"source": "test", "sentence": sentence}
    assert clean([{**ROWS[0], "history": [[sentence, "好"]]}], against=leaks)[0] == []
    assert list(Leaks({}).found_in(["任何文字"])) == [None]
    asked = {
        "instruction": "找出这句话里的地点。",
        "input": "西湖在杭州。",
        "output": '{"地点":["西湖","杭州"]}',
        "source": "s",
    }
    assert clean([asked], against=leaks)[0] == [], (
        "a sentence too short for a 13-gram, wrapped in an instruction"
    )


def test_every_evaluation_split_is_guarded(monkeypatch, tmp_path):
    """A new test set in the catalog is decontaminated against without anyone remembering to."""
    names = {f"{card.name}/{split}" for card, split in evaluation_splits()}
    assert {
        "cluener/dev",
        "resume/test",
        "user-oriented/test",
        "embedded-ner/test",
        "duie-sample/dev",
        "iepile/ner_test",
    } <= names
    assert not any(name.endswith("train") for name in names)
    monkeypatch.setenv("MINILUOTUO_MIRROR", "")
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path))
    sets, absent = evaluation_sentences(progress=False)
    assert len(sets["embedded-ner/test"]) == 60
    assert "cluener/dev" in absent
    assert set(sets) | set(absent) == names


# IE records

RECORD = {
    "sentence": "李白生于碎叶，卒于当涂。",
    "source": "s",
    "annotation": "exhaustive",
    "entities": [{"name": "碎叶", "type": "地点", "pos": [4, 6]}],
}


def test_record_steps():
    """Spans that do not match, contradictions and repeats, each counted."""
    wrong = {**RECORD, "entities": [{"name": "碎叶", "type": "地点", "pos": [3, 5]}]}
    strange = {
        **RECORD,
        "sentence": "碎叶",
        "entities": [{"name": "碎叶", "type": "城市", "pos": [0, 2]}],
    }
    other = {**RECORD, "entities": []}
    kept, report = clean(
        [RECORD, RECORD, wrong, {**RECORD, "sentence": "……", "entities": []}],
    )
    assert kept == [RECORD]
    assert {s: n for s, n in report.removed.items() if n} == {
        "duplicate": 1,
        "spans": 1,
        "empty": 1,
    }
    kept, report = clean([RECORD, other, strange])
    assert kept == [strange]
    assert report.removed["contradiction"] == 2
    pair = [
        {
            "sentence": "甲和乙",
            "source": "s",
            "annotation": "one-pair",
            "relations": [
                {
                    "head": {"name": "甲", "type": "", "pos": [0, 1]},
                    "type": kind,
                    "tail": {"name": "乙", "type": "", "pos": [2, 3]},
                }
            ],
        }
        for kind in ("合作", "竞争")
    ]
    assert clean(pair)[0] == pair, "two labels of one given pair are no contradiction"
    both = [
        RECORD,
        {**pair[0], "sentence": RECORD["sentence"], "annotation": "exhaustive", "relations": []},
    ]
    assert clean(both)[0] == both, "two tasks on one sentence are no contradiction"


def test_a_traditional_sentence_and_its_spans_change_together():
    """A name converted without its sentence no longer stands in it."""
    record = {
        "sentence": "臺灣大學的乾燥頭髮實驗室在臺北",
        "source": "s",
        "events": [
            {
                "type": "t",
                "trigger": "實驗",
                "pos": [9, 11],
                "arguments": [
                    {"name": "臺北", "role": "r", "pos": [13, 15]},
                    {"name": "臺灣大學", "role": "q", "pos": None},
                ],
            }
        ],
    }
    [new], report = clean([record])
    assert report.mended["simplified"] == 1
    assert not malformed(new)
    assert "湾" in new["sentence"]
    assert new["events"][0]["arguments"][1]["name"] == "台湾大学"
    assert new["sentence"][9:11] == new["events"][0]["trigger"] == "实验"


names = st.sampled_from(["臺北", "頭髮", "乾隆", "皇后", "以後", "e\u0301", "\u200b", "A", "中"])


@given(st.lists(names, min_size=1, max_size=8), st.data())
def test_moving_a_record_keeps_every_span_true_or_the_record_as_it_was(parts, data):
    """NFC and OpenCC's phrases change lengths and context; a span must follow or nothing moves."""
    sentence = "".join(parts)
    start = data.draw(st.integers(0, len(sentence) - 1))
    end = data.draw(st.integers(start + 1, len(sentence)))
    record = {
        "sentence": sentence,
        "source": "s",
        "entities": [{"name": sentence[start:end], "type": "t", "pos": [start, end]}],
    }
    for step in RECORD_STEPS[:2]:
        assert not malformed(step.function(record))
    assert not malformed(moved(record, converter()))


def test_the_real_sets_clean(mirror):
    """Steps that eat a tenth of a careful set are wrong; alpaca-chinese of score 4 and 5 loses
    about one row in three hundred."""
    rows = [r for _, r in zip(range(6000), read("alpaca-chinese", "train", False), strict=False)]
    kept, report = clean(rows)
    assert 0.98 < len(kept) / len(rows) < 1
    assert clean(kept)[0] == kept
    cluener = list(read("cluener", "dev", False))
    kept, report = clean(cluener)
    assert len(kept) >= 0.99 * len(cluener)
    assert report.removed["spans"] == 0
    assert {s.name for s in ROW_STEPS} <= set(clean(rows[:1])[1].removed) | set(
        clean(rows[:1])[1].mended
    )


def test_memory_does_not_hold_the_rows():
    """Cleaning held every row several times over: 1,100 bytes of one of 200 characters."""

    def rows(count):
        draw = random.Random(count)
        for number in range(count):
            said = ["".join(chr(draw.randrange(0x4E00, 0x9FA5)) for _ in range(90)) for _ in "ab"]
            yield {"instruction": f"{number}{said[0]}", "input": "", "output": said[1]}

    def peak(count):
        tracemalloc.start()
        kept, _ = sieved(rows(count), near=None)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(kept) == count
        return most

    peak(10)
    assert (peak(2_000) - peak(500)) / 1_500 < 400
