"""Cleaning: every step finds what it is for and nothing else, duplicates near and exact, leaks, and IE records whose spans stay true."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils.data import clean
from miniluotuo_utils.data.catalog import read
from miniluotuo_utils.data.leakage import Leaks, evaluation_sentences, evaluation_splits
from miniluotuo_utils.data.steps import RECORD_STEPS, ROW_STEPS, converter, moved, valid
from miniluotuo_utils.dedup import NearDuplicates, folded, jaccard, shingle_hashes, shingles
from miniluotuo_utils.records import read_jsonl
from miniluotuo_utils.runtime import EMBEDDED

ROWS = [{"instruction": f"问题{i}", "input": "", "output": f"回答{i}。", "source": "s"} for i in range(20)]
DIRTY = read_jsonl(EMBEDDED / "dirty.jsonl")
STAYS = {"", "masked", "simplified", "unicode"}


def test_cleaning_counts_what_it_removes_and_keeps_the_first():
    """Rows once vanished without an account."""
    rows = [*ROWS[:2], {**ROWS[0], "instruction": "问题0！", "output": "另一个"}, {**ROWS[2], "output": "坏\ufffd字"},
            {**ROWS[3], "output": " "}, {**ROWS[4], "output": "长" * 2001}]  # fmt: skip
    kept, report = clean(rows)
    assert kept == ROWS[:2] and report.before == 6 and report.after == 2
    assert {s: n for s, n in report.removed.items() if n} == {"broken characters": 1, "no answer": 1, "too long": 1, "duplicate": 1}
    assert report.mended["normal form"] == 1 and report.examples["duplicate"][0]["because"] == ROWS[0]


@pytest.mark.parametrize("row", DIRTY, ids=lambda r: f"{r['fault'] or 'good'}: {r['instruction'][:12]}")
def test_each_dirty_row_is_found_by_its_own_step(row):
    """A step that finds too much eats good rows: poems, one-character answers, quoted refusals, digits of π."""
    kept, report = clean([row], near=None)
    removed = [step for step, n in report.removed.items() if n]
    if row["fault"] in STAYS or row["fault"].endswith("duplicate"):
        assert removed == [] and len(kept) == 1
        mended = {"masked": "masked", "simplified": "simplified", "unicode": "normal form"}.get(row["fault"])
        assert mended is None or report.mended[mended] == 1
    else:
        assert removed == [row["fault"]] and kept == []


def test_the_dirty_rows_together():
    """The duplicates are found only beside their originals, and the originals stay."""
    kept, report = clean(DIRTY)
    wanted = Counter(row["fault"] for row in DIRTY)
    assert report.removed == {step: wanted[step] for step in report.removed} and sum(report.removed.values()) == len(DIRTY) - len(kept)
    text = json.dumps(kept, ensure_ascii=False)
    assert "13800138000" not in text and "@example.com" not in text and "\u200b" not in text and "機" not in text


row = st.fixed_dictionaries({k: st.text(max_size=8) for k in ("instruction", "input", "output")} | {"source": st.just("s")})
dirty_row = st.one_of(row, st.sampled_from(DIRTY), st.tuples(st.sampled_from(DIRTY), st.text(max_size=3)).map(lambda p: {**p[0], "output": p[0]["output"] + p[1]}))


@settings(max_examples=60, deadline=None)
@given(st.lists(dirty_row, max_size=12))
def test_cleaning_twice_is_cleaning_once(rows):
    """A fix that feeds another step, or a step that makes new duplicates, would show here."""
    kept, report = clean(rows)
    again, second = clean(kept)
    assert again == kept and not any(second.mended.values()) and report.before == report.after + sum(report.removed.values())


def test_processes_change_nothing(monkeypatch):
    """Two processes once finished in another order than they began."""
    monkeypatch.setattr("miniluotuo_utils.data.cleaning.CHUNK", 7)
    assert clean(DIRTY, processes=2) == clean(DIRTY, processes=1)


def test_near_duplicates_match_exactly_what_jaccard_says():
    """MinHash proposes, the exact similarity decides: no row is lost to a chance collision."""
    texts = [row["output"] for row in DIRTY if row["output"]]
    near = NearDuplicates(0.8)
    for i, match in enumerate(near.add(texts)):
        if match:
            a, b = (shingles(folded(texts[n]) or texts[n]) for n in (i, match.number))
            assert jaccard(a, b) == match.similarity >= 0.8 and match.number < i
    assert near.lookup([texts[0]])[0].similarity == 1.0 and near.count == len(texts)


@given(st.lists(st.text(max_size=9), min_size=1, max_size=8))
def test_shingle_hashes_are_those_of_each_text_alone(texts):
    """A short text's shingle once took in the first characters of the next text."""
    hashes, offsets = shingle_hashes(texts)
    alone = [shingle_hashes([text])[0].tolist() for text in texts]
    assert [hashes[int(a) : int(b)].tolist() for a, b in zip(offsets, offsets[1:], strict=False)] == alone
    assert all(len(set(h)) == len(shingles(t)) for h, t in zip(alone, texts, strict=True))


def test_leaked_sentences_are_found_however_they_are_wrapped():
    """A student that has read the test set scores well and has learned nothing."""
    sentence = "2019年8月，国家图书馆在北京举办了敦煌遗书特展。"
    leaks = Leaks({"test": [sentence, "西湖在杭州。"]})
    texts = [f"找出这句话里的实体：{sentence}", "西湖在杭州！", "国家图书馆在北京举办了一场讲座，内容是敦煌遗书。", sentence.replace("8月", "９月"), "西湖在杭州的哪一边，怎么走最近，门票多少钱？"]
    assert [bool(leak) for leak in leaks.found_in(texts)] == [True, True, False, True, False]
    kept, report = clean([{**ROWS[0], "input": sentence}, ROWS[1]], against=leaks)
    assert kept == ROWS[1:2] and report.examples["leaked"][0]["because"] == {"source": "test", "sentence": sentence}
    assert clean([{**ROWS[0], "history": [[sentence, "好"]]}], against=leaks)[0] == []
    assert list(Leaks({}).found_in(["任何文字"])) == [None]


def test_every_evaluation_split_is_guarded(monkeypatch, tmp_path):
    """A new test set in the catalog is decontaminated against without anyone remembering to."""
    names = {f"{card.name}/{split}" for card, split in evaluation_splits()}
    assert {"cluener/dev", "resume/test", "user-oriented/test", "embedded-ner/test", "duie-sample/dev", "iepile/ner_test"} <= names
    assert not any(name.endswith("train") for name in names)
    monkeypatch.setenv("MINILUOTUO_MIRROR", "")
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path))
    sets, absent = evaluation_sentences(progress=False)
    assert len(sets["embedded-ner/test"]) == 60 and "cluener/dev" in absent and set(sets) | set(absent) == names


# IE records

RECORD = {"sentence": "李白生于碎叶，卒于当涂。", "source": "s", "annotation": "exhaustive", "entities": [{"name": "碎叶", "type": "地点", "pos": [4, 6]}]}


def test_record_steps():
    """Spans that do not match, labels outside the schema, contradictions and repeats, each counted."""
    wrong = {**RECORD, "entities": [{"name": "碎叶", "type": "地点", "pos": [3, 5]}]}
    strange = {**RECORD, "sentence": "碎叶", "entities": [{"name": "碎叶", "type": "城市", "pos": [0, 2]}]}
    other = {**RECORD, "entities": []}
    kept, report = clean([RECORD, RECORD, wrong, strange, {**RECORD, "sentence": "……", "entities": []}], schema={"地点"})
    assert kept == [RECORD] and {s: n for s, n in report.removed.items() if n} == {"duplicate": 1, "spans": 1, "off schema": 1, "empty": 1}
    kept, report = clean([RECORD, other, strange])
    assert kept == [strange] and report.removed["contradiction"] == 2
    pair = [{"sentence": "甲和乙", "source": "s", "annotation": "one-pair", "relations": [
        {"head": {"name": "甲", "type": "", "pos": [0, 1]}, "type": kind, "tail": {"name": "乙", "type": "", "pos": [2, 3]}}]} for kind in ("合作", "竞争")]  # fmt: skip
    assert clean(pair)[0] == pair, "two labels of one given pair are no contradiction"


def test_a_traditional_sentence_and_its_spans_change_together():
    """A name converted without its sentence no longer stands in it."""
    record = {"sentence": "臺灣大學的乾燥頭髮實驗室在臺北", "source": "s", "events": [{"type": "t", "trigger": "實驗", "pos": [9, 11],
              "arguments": [{"name": "臺北", "role": "r", "pos": [13, 15]}, {"name": "臺灣大學", "role": "q", "pos": None}]}]}  # fmt: skip
    [new], report = clean([record])
    assert report.mended["simplified"] == 1 and valid(new) and "湾" in new["sentence"] and new["events"][0]["arguments"][1]["name"] == "台湾大学"
    assert new["sentence"][9:11] == new["events"][0]["trigger"] == "实验"


names = st.sampled_from(["臺北", "頭髮", "乾隆", "皇后", "以後", "e\u0301", "\u200b", "A", "中"])


@given(st.lists(names, min_size=1, max_size=8), st.data())
def test_moving_a_record_keeps_every_span_true_or_the_record_as_it_was(parts, data):
    """NFC and OpenCC's phrases change lengths and context; a span must follow or nothing moves."""
    sentence = "".join(parts)
    start = data.draw(st.integers(0, len(sentence) - 1))
    end = data.draw(st.integers(start + 1, len(sentence)))
    record = {"sentence": sentence, "source": "s", "entities": [{"name": sentence[start:end], "type": "t", "pos": [start, end]}]}
    for step in RECORD_STEPS[:2]:
        assert valid(step.function(record))
    assert valid(moved(record, converter()))


def test_the_real_sets_clean(mirror):
    """Steps that eat a tenth of a careful set are wrong; alpaca-chinese of score 4 and 5 loses about one row in three hundred."""
    rows = [r for _, r in zip(range(6000), read("alpaca-chinese", "train", False), strict=False)]
    kept, report = clean(rows)
    assert 0.98 < len(kept) / len(rows) < 1 and clean(kept)[0] == kept
    cluener = list(read("cluener", "dev", False))
    kept, report = clean(cluener)
    assert len(kept) >= 0.99 * len(cluener) and report.removed["spans"] == 0
    assert {s.name for s in ROW_STEPS} <= set(clean(rows[:1])[1].removed) | set(clean(rows[:1])[1].mended)
