"""Data: pins that are checked, readers that keep every span true, cleaning that counts, and the embedded sets."""

import json
import shutil
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.data import CATALOG, clean, handed, load, mix
from miniluotuo_utils.data.catalog import read, renamed
from miniluotuo_utils.data.download import copy_into_mirror, fetch, mirrored, verify
from miniluotuo_utils.data.readers import (
    READERS,
    alpaca_json,
    alpaca_parallel,
    bmes_columns,
    cluener,
    deepke_csv,
    finre,
    word_list,
)
from miniluotuo_utils.records import TASKS, DataError, check_record, check_row, read_jsonl
from miniluotuo_utils.runtime import EMBEDDED, file_sha256, setup


def test_every_card_is_complete_and_nothing_is_half_pinned():
    """A pin with a hash but no size, or a licence left blank, once looked verified."""
    for card in CATALOG.values():
        assert card.licence and card.homepage.startswith("https://") and card.tasks and card.title
        assert card.reader is None or card.reader in READERS
        for pin in (p for pins in card.splits.values() for p in pins):
            assert pin["url"].startswith("package:") or (pin["bytes"] and len(pin["sha256"]) == 64)
    assert sum(CATALOG[n].records["stated"] for n in ("luotuo-all", "alpaca-gpt4-zh", "coig", "baike2018qa", "webtext2019zh")) == 683_235


def test_a_source_without_files_says_where_to_get_it():
    """A KeyError once stood where an address should."""
    with pytest.raises(DataError, match="luotuo-all: .*https://github.com"):
        load("luotuo-all")
    with pytest.raises(ValueError, match="no data set 'cluner' in the catalog; there are: alpaca-chinese"):
        load("cluner")
    with pytest.raises(ValueError, match="embedded-ner has no split 'dev'; it has: train, test"):
        load("embedded-ner", split="dev")


@pytest.fixture
def served(httpserver, tmp_path, monkeypatch):
    """A small mirror over HTTP, an empty cache, and the pin of one file on it."""
    body = '{"text": "骆驼"}\n'.encode()
    httpserver.expect_request("/host.example/data/a.json").respond_with_data(body)
    monkeypatch.setenv("MINILUOTUO_MIRROR", httpserver.url_for("/").rstrip("/"))
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path / "cache"))
    (tmp_path / "b").write_bytes(body)
    return {"url": "https://host.example/data/a.json", "bytes": len(body), "sha256": file_sha256(tmp_path / "b")}


def test_a_file_comes_from_the_mirror_and_then_from_the_cache(served, httpserver):
    """A second load must not download again."""
    path = fetch(served, progress=False)
    assert path == fetch(served, progress=False) and len(httpserver.log) == 1
    path.write_text("damaged")
    assert fetch(served, progress=False).stat().st_size == served["bytes"] and len(httpserver.log) == 2


@pytest.mark.parametrize("wrong", [{"bytes": 3}, {"sha256": "0" * 64}])
def test_a_damaged_download_is_refused_and_not_kept(served, wrong, tmp_path):
    """A truncated file in the cache was once trusted for ever."""
    with pytest.raises(DataError, match=r"a\.json\S*: found .*expected .*damaged or changed"):
        fetch({**served, **wrong}, progress=False)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_a_file_that_is_nowhere_lists_where_it_was_looked_for(tmp_path, monkeypatch):
    """A stack trace of urllib3 said nothing about the mirror."""
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path))
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path / "cache"))
    pin = {"url": "https://127.0.0.1:9/x/y.json", "bytes": 1, "sha256": "0" * 64}
    with pytest.raises(FileNotFoundError, match=r"y\.json could not be had \(mirror folder .*no 127.0.0.1:9/x/y\.json; 127.0.0.1:9: .*smoke"):
        fetch(pin, progress=False)


def test_a_damaged_file_in_a_mirror_folder_is_named(tmp_path, monkeypatch):
    """A class mirror copied from a full stick."""
    pin = CATALOG["resume"].splits["dev"][0]
    target = tmp_path / mirrored(pin["url"])
    target.parent.mkdir(parents=True)
    target.write_text("半个文件")
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path))
    with pytest.raises(DataError, match=r"dev\.char\.bmes: found 12 bytes, expected 120,251"):
        fetch(pin)
    assert verify(target, {"bytes": None, "sha256": None}) == target


def test_cluener_end_is_inclusive(tmp_path):
    """Off by one at every entity."""
    path = tmp_path / "c.json"
    path.write_text('{"text": "彭小军在香港，香港", "label": {"name": {"彭小军": [[0, 2]]}, "address": {"香港": [[4, 5], [7, 8]]}}}\n')
    [record] = cluener(path, "x")
    assert check_record(record)["entities"][2] == {"name": "香港", "type": "address", "pos": [7, 9]}


def test_bmes_columns(tmp_path):
    """A file without a last empty line lost its last sentence."""
    path = tmp_path / "r.bmes"
    path.write_text("高 B-NAME\n勇 E-NAME\n男 O\n\n汉 S-RACE\n族 O")
    one, two = bmes_columns(path, "x")
    assert [e["name"] for e in one["entities"]] == ["高勇"] and two["entities"] == [{"name": "汉", "type": "RACE", "pos": [0, 1]}]
    path.write_text("高B-NAME\n")
    with pytest.raises(DataError, match=r"r\.bmes, line 1: found '高B-NAME'"):
        list(bmes_columns(path, "x"))


def test_alpaca_files(tmp_path):
    """A missing input, a null score and broken JSON all occur in the real files."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"instruction": "问", "output": "答"}, {"instruction": "问", "input": "", "output": "答", "history": [["甲", "乙"]]}]))
    one, two = map(check_row, alpaca_json(path, "x"))
    assert one["input"] == "" and "history" not in one and two["history"] == [["甲", "乙"]]
    rows = [{"zh_instruction": str(s), "zh_input": None, "zh_output": "答", "metadata": {"score": s}} for s in (5, 4, 3, None)]
    path.write_text(json.dumps(rows))
    assert [r["instruction"] for r in map(check_row, alpaca_parallel(path, "x"))] == ["5", "4"]
    path.write_text('[{"a": 1},\n{"b" 2}]')
    with pytest.raises(DataError, match=r"a\.json, line 2: .*expected one JSON list"):
        list(alpaca_json(path, "x"))


def test_pairs_of_names_have_a_place_only_if_it_is_certain(tmp_path):
    """A name that stands twice got the place of its first mention."""
    path = tmp_path / "f.txt"
    path.write_text("中行\t工行\t合作\t中行与工行合作，中行受益\n\n甲\t乙\tunknown\t甲和乙\n")
    one, two = map(check_record, finre(path, "x"))
    assert one["relations"][0]["head"]["pos"] is None and one["relations"][0]["tail"]["pos"] == [3, 5] and two["relations"] == []
    assert one["annotation"] == "one-pair"
    path.write_text("sentence,relation,head,head_offset,tail,tail_offset\n李白生于碎叶,出生地,李白,0,碎叶,4\n")
    assert check_record(next(deepke_csv(path, "x")))["relations"][0]["tail"]["pos"] == [4, 6]
    path.write_text("\ufeff骆驼\t10\r\n坏行\n", encoding="utf-8")
    assert list(word_list(path, "t")) == [{"word": "骆驼", "frequency": 10, "source": "t/f"}]


def test_counts_of_the_real_files(mirror):
    """The figures that formats.md states; a reader that loses rows shows here."""
    assert sum(1 for _ in read("alpaca-chinese", "train", False)) == 47_485
    for name, split, rows, items in (("cluener", "train", 10_748, 23_972), ("cluener", "dev", 1_343, 3_072), ("resume", "train", 3_821, 13_438),
                                     ("resume", "dev", 463, 1_497), ("resume", "test", 477, 1_630)):  # fmt: skip
        records = [check_record(r) for r in read(name, split, False)]
        assert (len(records), sum(len(r["entities"]) for r in records)) == (rows, items)
        kinds = {e["type"] for r in records for e in r["entities"]}
        assert kinds <= set(CATALOG[name].type_names)
    assert [sum(1 for _ in read("finre", s, False)) for s in ("train", "dev", "test")] == [13_486, 1_489, 3_727]


def test_a_class_mirror_can_be_built_and_used(mirror, tmp_path, monkeypatch):
    """`download NAME --mirror DIR` must lay files out as MINILUOTUO_MIRROR reads them."""
    copy_into_mirror("resume", tmp_path / "stick")
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path / "stick"))
    assert sum(1 for _ in read("resume", "dev", False)) == 463
    shutil.rmtree(tmp_path / "stick")


ROWS = [{"instruction": f"问题{i}", "input": "", "output": f"回答{i}。", "source": "s"} for i in range(20)]


def test_cleaning_counts_what_it_removes_and_keeps_the_first():
    """Rows once vanished without an account."""
    rows = [*ROWS[:2], {**ROWS[0], "instruction": "问题0！", "output": "另一个"}, {**ROWS[2], "output": "坏\ufffd字"},
            {**ROWS[3], "output": " "}, {**ROWS[4], "output": "长" * 2001}]  # fmt: skip
    kept, report = clean(rows)
    assert kept == ROWS[:2] and report.before == 6 and report.after == 2
    assert report.removed == {"broken characters": 1, "no answer": 1, "too long": 1, "duplicate": 1}
    assert all(len(examples) == 1 for examples in report.examples.values())


row = st.fixed_dictionaries({k: st.text(max_size=6) for k in ("instruction", "input", "output")} | {"source": st.just("s")})


@given(st.lists(row, max_size=12))
def test_cleaning_twice_is_cleaning_once(rows):
    """A step that makes new duplicates would show here."""
    kept, report = clean(rows)
    assert clean(kept)[0] == kept and report.before == report.after + sum(report.removed.values())


def test_mixing_is_decided_by_names_numbers_and_seed_alone():
    """The order of the sources in a dict once changed the mixture."""
    sources = {"a": ROWS[:10], "b": ROWS[10:]}
    assert mix(sources, {"a": 3}, 1) == mix(dict(reversed(sources.items())), {"a": 3}, 1)
    assert Counter(r["instruction"] for r in mix(sources, {"a": 3}, 1)) != Counter(r["instruction"] for r in mix(sources, {"a": 3}, 2))
    assert len(mix(sources, {"a": 3})) == 13
    with pytest.raises(ValueError, match="counts name"):
        mix(sources, {"c": 1})


def test_what_notebook_01_left_is_preferred(runs, capsys):
    """A notebook that ignores its predecessor's output does not show a pipeline."""
    runtime = setup("smoke")
    assert len(handed(runtime, "embedded-ner", "test")) == 60 and "read from the catalog" in capsys.readouterr().out
    runtime.path("data", "embedded-ner_test.jsonl").write_text('{"sentence": "x", "entities": []}\n')
    assert len(handed(runtime, "embedded-ner", "test")) == 1
    record = {"sentence": "ab", "relations": None, "entities": [{"name": "a", "type": "NAME", "pos": [0, 1]}]}
    assert renamed(record, {"NAME": "姓名"})["entities"][0]["type"] == "姓名"


@pytest.mark.parametrize(("task", "train", "test", "types"), [("NER", 250, 60, 8), ("RE", 120, 40, 8), ("EE", 120, 40, 6)])
def test_embedded_records_are_true_and_their_splits_apart(task, train, test, types):
    """Every span is checked; shared sentences or names would make the test split worthless."""
    field, splits = TASKS[task], {}
    for split, count in (("train", train), ("test", test)):
        records = splits[split] = read_jsonl(EMBEDDED / f"{task.lower()}_{split}.jsonl", check_record)
        assert len(records) >= count and all(r["annotation"] == "exhaustive" for r in records)
        assert len({i["type"] for r in records for i in r[field]}) >= types
        assert not any("\ufffd" in r["sentence"] for r in records)
    sentences = [{r["sentence"] for r in splits[s]} for s in ("train", "test")]
    assert not sentences[0] & sentences[1] and len(sentences[0]) == len(splits["train"])
    names = [{t for r in splits[s] for t in names_of(r)} for s in ("train", "test")]
    assert len(names[0] & names[1]) <= 0.25 * len(names[1])


def names_of(record):
    """Every name of a record but the triggers, which repeat by nature."""
    yield from (e["name"] for e in record.get("entities") or [])
    for r in record.get("relations") or []:
        yield from (r["head"]["name"], r["tail"]["name"])
    for e in record.get("events") or []:
        yield from (a["name"] for a in e["arguments"])


def test_embedded_instructions():
    """Numbers that the README states."""
    bank = read_jsonl(EMBEDDED / "bank.jsonl", check_row)
    seeds, topics = read_jsonl(EMBEDDED / "seeds.jsonl"), read_jsonl(EMBEDDED / "topics.jsonl")
    assert len(bank) >= 400 and len(seeds) >= 150 and len(topics) >= 200
    assert len(clean(bank)[0]) == len(bank), "a duplicate in the bank"
    assert len({t["topic"] for t in topics}) == len(topics) and {r["topic"] for r in read_jsonl(EMBEDDED / "bank.jsonl")} <= {t["topic"] for t in topics}
    assert not {s["instruction"] for s in seeds} & {r["instruction"] for r in bank}
