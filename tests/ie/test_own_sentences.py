"""A reader's own sentences: split, proposed, parted, forecast."""

import random
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import Server, completion

from miniluotuo_utils.data import convert, read_any
from miniluotuo_utils.files import DataError, read_jsonl, write_jsonl
from miniluotuo_utils.ie.corrections import Corrections
from miniluotuo_utils.ie.forecast import forecast, forecast_words, gains
from miniluotuo_utils.ie.proposing import ask_teacher, joined
from miniluotuo_utils.ie.sentences import (
    decoded,
    groups_of,
    part,
    read_records,
    split_sentences,
)
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.teacher import Teacher

GARDEN = ["植物", "园区", "活动", "时间"]


def sentences(path):
    """The sentences of a file, without their documents."""
    return [record["sentence"] for record in read_records(path, say=None)]


def plain(sentence, *entities):
    found = []
    for name, kind in entities:
        start = sentence.index(name)
        found.append({"name": name, "type": kind, "pos": [start, start + len(name)]})
    return {"sentence": sentence, "entities": found}


# ---- sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  \n\n。！？\n——\n", []),
        ("第一行\n第二行", ["第一行", "第二行"]),
        ("气温3.5度。走吗？！走……好", ["气温3.5度。", "走吗？！", "走……", "好"]),
        ("（见图。下同。）开花。", ["（见图。下同。）", "开花。"]),
        ("他说：“没关上\n下一行。", ["他说：“没关上", "下一行。"]),
        ("同一句。同一句。", ["同一句。"]),
        ("多了一个”引号。还有一句。", ["多了一个”引号。", "还有一句。"]),
        ("雨停了。\ufeff雨停了。雨\u200b停了。", ["雨停了。"]),
        ("一行\r二行\u2028三行\f四行\x85五行\r\n六行", [f"{n}行" for n in "一二三四五六"]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text, expected):
    """Cut inside a quotation, half of it was labelled in a sentence that nobody wrote."""
    assert split_sentences(text) == expected


def test_a_text_of_a_hundred_thousand_characters_without_an_end():
    """One endless line would be one sentence that no student can read."""
    found = split_sentences("花" * 100_000)
    assert max(map(len, found)) <= 200
    pieces = split_sentences("花开，" * 30_000 + "，".join(f"第{n}朵" for n in range(900)))
    assert max(map(len, pieces)) <= 200


def test_a_long_sentence_is_not_cut_within_a_time_or_a_number():
    """8:30 came in two: no student finds a time of which half stands in another sentence."""
    found = split_sentences("活动8:30开始，门票1,000元，" * 20, 50)
    assert "".join(found).count("8:30") == "".join(found).count("1,000") > 0
    assert all(piece.count("8") == piece.count("8:30") for piece in found)
    assert all(piece.count("000") == piece.count("1,000") for piece in found)


def test_half_a_surrogate_pair_is_named():
    """Half a character came out of a broken export, and the journal failed an hour later."""
    with pytest.raises(DataError, match="character 2 is half"):
        split_sentences("开花\ud83d。")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_a_file_is_read_in_the_encodings_that_people_have(tmp_path, encoding):
    """Notepad's files came in as rubbish, or not at all."""
    path = tmp_path / "a.txt"
    path.write_bytes("蜡梅开了。\r\n梅园人多。".encode(encoding))
    assert sentences(path) == ["蜡梅开了。", "梅园人多。"]


CHINESE = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=4)


@given(CHINESE, st.data())
def test_a_damaged_file_is_never_read_as_something_else(text, data):
    """A file whose last byte was cut off came in as GB18030: rubbish, seen after three machines had
    read it."""
    whole = f"{text}。\n{text}，{text}。".encode()
    at = data.draw(st.integers(12, len(whole) - 1))
    for bytes_ in (whole[:at], whole[:at] + whole[at + 1 :], whole[:at] + b"\xff" + whole[at:]):
        try:
            assert decoded(bytes_, "a")[1] == "UTF-8"
        except DataError as error:
            place = re.search(r"第 (\d+) 个字节", str(error))[1]
            assert 12 < int(place) <= at + 1


@pytest.mark.parametrize("encoding", ["big5", "utf-16-le", "euc_kr", "latin-1"])
def test_another_encoding_is_refused(tmp_path, encoding):
    """Big5 came in as GB18030 without a word."""
    texts = {"euc_kr": "오늘은 비가 온다，내일은。", "latin-1": "déjà vu à Orléans, où ça?"}
    path = tmp_path / "a.txt"
    path.write_bytes(texts.get(encoding, "氣溫三度，明天閉園。").encode(encoding, "ignore"))
    told = []
    try:
        records = read_records(path, say=told.append)
    except DataError as error:
        assert "（" in str(error)
    else:
        # What cannot be told from Chinese by its bytes is at least shown.
        assert encoding in ("euc_kr", "latin-1") and "GB18030" in told[0]
        assert records[0]["sentence"] in told[0]


@pytest.mark.parametrize("name", ["no.txt", "."])
def test_no_file_is_said_in_both_languages(tmp_path, name):
    """A typing error in the path ended in a bare FileNotFoundError, a folder in another."""
    with pytest.raises(DataError, match="no such file（"):
        sentences(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        (
            "甲一。甲二。\n甲三。\n\n乙一。\n \n丙一。丙二。\n\n"
            "丁一。乙一。丁二。\n\n戊。己。庚。\n\n辛。",
            [3, 1, 2, 2, 3, 1],
        ),
        ("甲一。甲二。\n乙一。\n丙一。\n丁一。\n", [2, 1, 1, 1]),
        ("题目\n\n甲一。甲二。\n乙一。\n丙一。\n丁一。\n", [1, 2, 1, 1, 1]),
        ("".join(map(chr, range(0x4E00, 0x4E00 + 450))) + "。\n乙一。\n丙一。", [3, 1, 1]),
    ],
)
def test_paragraphs_are_documents(tmp_path, text, documents):
    """Two sentences of one notice stood on both sides of the split: the F1 was that of memory."""
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    records = read_records(path, say=None)
    assert list(Counter(record["document"] for record in records).values()) == documents
    assert [record["sentence"] for record in records] == split_sentences(text)


def test_documents_go_through_the_form_into_the_split(tmp_path):
    """The documents were thrown away on the way, and the split tied nothing."""
    pieces = read_records(EMBEDDED / "garden.txt", say=None)
    assert len({piece["document"] for piece in pieces}) == 44
    lac = [plain(piece["sentence"]) for piece in pieces]
    found = Corrections(EMBEDDED / "garden_corrections.jsonl", joined(pieces, lac), GARDEN)
    train, test = part(found.records(), 0.3)
    assert not {r["document"] for r in train} & {r["document"] for r in test}
    assert abs(len(test) - 36) <= 2


@pytest.mark.parametrize("data", [b"", b"\n \n", bytes(range(256)), b"PK\x03\x04\0\0\0\0ab\0\0"])
def test_a_file_that_is_no_text_is_refused_in_both_languages(tmp_path, data):
    """A Word file read as text gave forty sentences of signs."""
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(DataError, match="a.txt.*（"):
        sentences(path)


# ---- training and test


def test_no_sentence_of_the_test_is_nearly_one_of_training():
    """A weekly notice with another date stood on both sides: the F1 was that of memory."""
    records = Corrections(EMBEDDED / "garden_corrections.jsonl", garden(), GARDEN).records()
    for seed in range(5):
        train, test = part(records, 0.3, seed)
        assert len(train) + len(test) == len(records) and abs(len(test) - 36) <= 2
        both = groups_of([*train, *test], 0.5)
        assert not set(both[: len(train)]) & set(both[len(train) :])


def test_a_chain_of_neighbours_stays_together():
    """The third was like the second alone, and was parted from it: found only by all pairs."""
    texts = ["甲乙丙丁戊己庚辛", "丙丁戊己庚辛壬癸", "戊己庚辛壬癸子丑"]
    assert groups_of([plain(text) for text in texts], 0.4) == [0, 0, 0]


def test_sentences_of_one_document_stay_together():
    """Two sentences of one notice share names and dates."""
    records = [plain(f"第{n}句说的是{n * 7}") | {"document": n // 3} for n in range(12)]
    train, test = part(records, 0.5)
    assert not {r["document"] for r in train} & {r["document"] for r in test}


@pytest.mark.parametrize("share", [0, 1, -1, 1.5])
def test_a_share_that_is_none_is_refused(share):
    """test=30 was read as thirty times all sentences."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        part([plain("甲"), plain("乙")], share)


def test_what_cannot_be_parted_says_so():
    """All sentences alike, the test came out empty, with an F1 of 0."""
    with pytest.raises(ValueError, match="分不开"):
        part([plain("周六上午开花展，欢迎参观。"), plain("周日上午开花展，欢迎参观。")], 0.5)


# ---- the shipped file


def garden():
    """The shipped sentences as records, with nothing proposed."""
    return [plain(sentence) for sentence in sentences(EMBEDDED / "garden.txt")]


def test_the_shipped_text_and_its_corrections_belong_together():
    """A sentence mended in one of the two files was silently left out of training."""
    found = Corrections(EMBEDDED / "garden_corrections.jsonl", garden(), GARDEN)
    assert found.progress == (120, 120)
    assert {e["type"] for r in found.records() for e in r["entities"]} == set(GARDEN)
    lines = read_jsonl(EMBEDDED / "garden_corrections.jsonl")[1:]
    assert {line["sentence"] for line in lines} == set(found.order)


def test_a_name_is_annotated_wherever_it_stands():
    """A word marked in one sentence and not in the next teaches that it is chance."""
    records = Corrections(EMBEDDED / "garden_corrections.jsonl", garden(), GARDEN).records()
    names = {e["name"] for r in records for e in r["entities"]}
    bare = set()
    for record in records:
        spans = [entity["pos"] for entity in record["entities"]]
        for name in names:
            start = record["sentence"].find(name)
            inside = any(a <= start and start + len(name) <= b for a, b in spans)
            if start >= 0 and not inside:
                bare.add(name)
    # A drink, a morning that is no date of its own, and a span of time.
    assert bare == {"桂花", "上午", "下午"}


@pytest.mark.parametrize("form", ["doccano", "label-studio", "brat"])
def test_corrections_go_to_other_tools_and_come_back(tmp_path, form):
    """What a colleague labels on in another tool must come back with every place."""
    records = Corrections(EMBEDDED / "garden_corrections.jsonl", garden(), GARDEN).records()
    records.append(plain("😀𠮷野樱开了。", ("𠮷野樱", "植物")) | {"annotation": "exhaustive"})
    write_jsonl(tmp_path / "a.jsonl", records)
    convert(tmp_path / "a.jsonl", tmp_path / "out", to=form, say=None)
    back = list(read_any(tmp_path / "out", form, task="NER", say=None))
    assert [r["sentence"] for r in back] == [r["sentence"] for r in records]
    for one, other in zip(back, records, strict=True):
        assert places(one) == places(other)


def places(record):
    return sorted((*e["pos"], e["type"], e["name"]) for e in record["entities"])


# ---- proposals


def test_a_chat_teacher_is_asked_with_the_readers_own_words(tmp_path):
    """Without the description a teacher takes 园区 for an industrial park."""

    def script(request, times):
        text = request["messages"][-1]["content"]
        return completion('{"园区": ["梅园"], "植物": ["蜡梅"]}' if "蜡梅" in text else "不知道")

    with Server(script) as server:
        teacher = Teacher(
            base_url=server.base_url, model="m-1", api_key="k", store=tmp_path / "s.db"
        )
        described = {"园区": "在园子导览图上找得到的地方"}
        found = ask_teacher(
            teacher, ["梅园的蜡梅开了。", "雨停了。"], ["园区", "植物"], descriptions=described
        )
    assert all(described["园区"] in r["messages"][-1]["content"] for r in server.asked)
    assert found.records[0]["annotation"] == "silver"
    assert places(found.records[0]) == [(0, 2, "园区", "梅园"), (3, 5, "植物", "蜡梅")]
    assert found.unread == [1] and found.records[1]["entities"] == []


def test_a_description_of_an_unknown_type_is_refused():
    """A typing error in a type left its description out, and nobody saw it."""
    with pytest.raises(ValueError, match="圆区"):
        ask_teacher(None, ["一"], ["园区"], descriptions={"圆区": "地方"})


def test_proposals_of_other_sentences_are_refused():
    """Two lists out of step gave one sentence the names of another."""
    with pytest.raises(DataError):
        joined([plain("一")], [plain("二")])


def test_proposals_that_cross_and_types_that_nobody_asked_for():
    """The annotator's type took the place of the teacher's, and the form then left it out: nothing
    was proposed. And two that cross became gold."""
    sentence = "周六上午梅园开放"

    def one(kind, start, end):
        entity = {"name": sentence[start:end], "type": kind, "pos": [start, end]}
        return [{"sentence": sentence, "entities": [entity]}]

    both = joined(one("时间", 0, 4), one("日期", 0, 4), types=["日期"])
    assert places(both[0]) == [(0, 4, "日期", "周六上午")]
    both = joined(one("园区", 3, 6), one("时间", 0, 4), one("时辰", 2, 4))
    assert places(both[0]) == [(0, 4, "时间", "周六上午"), (2, 4, "时辰", "上午")]


# ---- forecast


def test_four_of_five_intervals_hold_what_comes():
    """The last point's own luck was left out: of "80 %" intervals 67 % held the gain."""
    draw, sizes, more = np.random.default_rng(0), [10, 21, 42, 84], 100
    for count in (3, 4):
        inside, x = [], np.log([*sizes[:count], sizes[count - 1] + more])
        for seed in range(1500):
            # A true line, and the luck of a training at every size; no bootstrap.
            points = 0.1 + 0.1 * x + 0.03 * draw.standard_normal(count + 1)
            f1 = np.repeat(points[:count, None], 401, axis=1)
            _, gain, drawn = gains(sizes[:count], f1, more, seed)
            low, high = np.quantile(drawn, [0.1, 0.9])
            inside.append(low <= points[-1] - points[-2] <= high)
        assert 0.76 < np.mean(inside) < 0.84, count


def found_at(share, gold, seed):
    """Records in which each item is found with a chance of `share`."""
    draw = random.Random(seed)
    return [{**r, "entities": [e for e in r["entities"] if draw.random() < share]} for r in gold]


def test_a_forecast_carries_the_curve_on_and_says_how_unsure_it_is():
    """A gain without its doubt sent people to label a week for nothing."""
    gold = Corrections(EMBEDDED / "garden_corrections.jsonl", garden(), GARDEN).records()
    shares = {10: 0.3, 20: 0.4, 40: 0.5, 80: 0.6}
    curve = {size: found_at(share, gold, size) for size, share in shares.items()}
    made = forecast(gold, curve, 80)
    low, high = made["interval"]
    assert low < made["gain"] < high and 0.02 < made["gain"] < 0.2
    # Points in disorder give a wider interval.
    curve[20], curve[40] = curve[40], curve[20]
    other = forecast(gold, curve, 80)
    assert other["interval"][1] - other["interval"][0] > high - low
    assert "再标 80 句" in forecast_words(made)


def test_a_forecast_of_two_points_is_refused():
    """Through two points every line fits, and says nothing of its doubt."""
    gold = [plain("蜡梅开了。", ("蜡梅", "植物"))]
    with pytest.raises(DataError, match="three or more"):
        forecast(gold, {10: gold, 20: gold})
