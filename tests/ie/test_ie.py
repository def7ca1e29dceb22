"""Information extraction: places, the dictionary, what is exported. Scoring has its own file."""

import random
import subprocess
import sys

import pytest
from examples import BOOK, KINDS, LAUNCH, LIBAI, SPACE, ner, random_record
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils import ie
from miniluotuo_utils.files import DataError
from miniluotuo_utils.ie import (
    build_instructions,
    dictionary_baseline,
    locate,
    micro,
    parse,
    score,
)
from miniluotuo_utils.ie.spans import to_record
from miniluotuo_utils.records import TASKS, check_record

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
    """A name that the student made up has no place; one that it repeats in a loop counts once."""
    items = [{"name": n, "type": "人物"} for n in ("杜甫", "李白", "李白", "李白", "苏轼", "苏轼")]
    record = check_record(to_record(LIBAI["sentence"], items, "NER", source="x"))
    assert [(e["name"], e["pos"]) for e in record["entities"]] == [
        ("杜甫", [3, 5]),
        ("李白", [0, 2]),
        ("李白", [9, 11]),
        ("苏轼", None),
    ]
    every = to_record(LIBAI["sentence"], items[1:2], "NER", "every")
    assert [e["pos"] for e in every["entities"]] == [[0, 2], [9, 11]]


def test_relations_of_one_pair_share_its_places():
    """A second relation of a pair that moved on to the next mention would always be wrong."""
    places = {(tuple(r["head"]["pos"]), tuple(r["tail"]["pos"])) for r in BOOK["relations"]}
    assert places == {((5, 8), (0, 3))}
    every = to_record(
        BOOK["sentence"], [{"head": "红楼梦", "type": "作者", "tail": "曹雪芹"}], "RE", "every"
    )
    assert [r["head"]["pos"] for r in every["relations"]] == [[5, 8], [12, 15]]


def test_two_events_of_one_trigger_word_stand_at_two_places():
    """Otherwise the second event of a sentence can never be right."""
    assert [e["pos"] for e in SPACE["events"]] == [[4, 6], [15, 17]]


# ---- properties over random records


@settings(deadline=None, max_examples=80)
@given(st.integers(), st.sampled_from(list(TASKS)))
def test_what_is_written_is_read_back(seed, task):
    """If the perfect answer does not score 1.0, no student ever can."""
    draw = random.Random(seed)
    gold = [random_record(draw, task) for _ in range(4)]
    schema = {k: list(KINDS) for k in KINDS} if task == "EE" else list(KINDS)
    parsed = [parse(row["output"], task) for row in build_instructions(gold, task, schema, seed)]
    assert all(p.ok and not p.repairs for p in parsed)
    pred = [
        check_record(to_record(g["sentence"], p.items, task))
        for g, p in zip(gold, parsed, strict=True)
    ]
    for _, m in micro(score(gold, pred, task, "string")):
        assert m["tp"] == m["pred"] == m["gold"]
        assert m["f1"] == float(m["gold"] > 0)


# ---- baseline


def test_dictionary_finds_the_longest_name_at_every_place():
    """A floor that is too low makes any student look good."""
    train = [
        ner("南京市有长江，南京", ("南京市", "地点", 0), ("长江", "地点", 4), ("南京", "地点", 7)),
        ner("长江", ("长江", "水", 0)),
        ner("长江", ("长江", "水", 0)),
    ]
    record = check_record(dictionary_baseline(train, ["南京市长江大桥在南京"], "NER")[0])
    assert [(e["name"], e["type"], e["pos"]) for e in record["entities"]] == [
        ("南京市", "地点", [0, 3]),
        ("长江", "水", [3, 5]),
        ("南京", "地点", [8, 10]),
    ]
    assert dictionary_baseline([], ["南京"], "NER")[0]["entities"] == []


def test_dictionary_of_relations_and_events():
    """Each task needs its floor."""
    found = dictionary_baseline([BOOK], ["红楼梦是曹雪芹的", "红楼梦"], "RE")
    assert [(r["type"], r["head"]["pos"]) for r in found[0]["relations"]] == [
        ("作者", [0, 3]),
        ("编者", [0, 3]),
    ]
    assert found[1]["relations"] == []
    made = dictionary_baseline([SPACE], [LAUNCH, "长征"], "EE")
    assert [(e["type"], e["pos"]) for e in made[0]["events"]] == [
        ("发射", [4, 6]),
        ("发射", [15, 17]),
    ]
    assert {(a["name"], a["role"]) for a in made[0]["events"][0]["arguments"]} == {
        ("神舟五号", "航天器"),
        ("长征", "火箭"),
    }
    assert made[1]["events"] == []
    assert score([SPACE], [check_record(made[0])], "EE")["argument"]["micro"]["f1"] == 1.0


BROKEN = {  # a record that somebody's script wrote: what is wrong with it, by task
    "NER": [
        (None, "record: found None"),
        ("李白", "record: found '李白'"),
        ({"sentence": "李白"}, "entities: found none"),
        ({"sentence": "李白", "entities": None}, "entities: found None, expected a list"),
        ({"sentence": "李白", "entities": ["李白"]}, r"entities\[0\]: found '李白'"),
        ({"sentence": "李白", "entities": [{"name": "李白"}]}, r"entities\[0\].type: found None"),
        ({"sentence": "李白", "entities": [{"type": "人物"}]}, r"entities\[0\].name: found None"),
    ],
    "RE": [
        ({"sentence": "李白", "relations": [{"type": "字"}]}, r"relations\[0\].head: found None"),
        (
            BOOK | {"relations": [{"head": "他", "type": "字"}]},
            r"relations\[0\].head: found '他'",
        ),
    ],
    "EE": [
        (
            {"sentence": "发射", "events": [{"type": "发射"}]},
            r"events\[0\].trigger.name: found None",
        ),
        (
            {"sentence": "发射", "events": [{"type": "a", "trigger": "发", "arguments": [{}]}]},
            r"events\[0\].arguments\[0\].role: found None",
        ),
    ],
}


@pytest.mark.parametrize(
    ("task", "broken", "said"), [(task, *one) for task in BROKEN for one in BROKEN[task]]
)
def test_a_broken_record_is_named_by_number_and_field(task, broken, said):
    """TypeError: string indices must be integers, from a loop over 100,000 records."""
    good = {"NER": LIBAI, "RE": BOOK, "EE": SPACE}[task]
    records, schema = [good, broken], ie.schema_of([good], task)
    for asked in (
        lambda: ie.schema_of(records, task),
        lambda: build_instructions(records, task, schema),
        lambda: ie.hard_negatives(records, task),
        lambda: dictionary_baseline(records, ["问李白"], task),
    ):
        with pytest.raises(DataError, match=f"record 2, field {said}"):
            asked()
    with pytest.raises(DataError, match="line 2: the gold"):
        score(records, [good, good], task)


def test_other_things_than_records_texts_and_answers_are_named():
    """One record in place of a list was read key by key, a name letter by letter."""
    with pytest.raises(DataError, match="expected a list of IE records"):
        build_instructions(LIBAI, "NER", ["人物"])
    with pytest.raises(DataError, match="record 1, field sentence: found 3, expected a text"):
        build_instructions([{"sentence": 3, "entities": []}], "NER", ["人物"])
    with pytest.raises(DataError, match="descriptions: found .*expected a dict"):
        build_instructions([LIBAI], "NER", ie.schema_of([LIBAI], "NER"), descriptions=["人"])
    with pytest.raises(DataError, match=r"sentences\[1\] \(text 2\): found 7"):
        dictionary_baseline([LIBAI], ["李白", 7], "NER")
    for sentence, names in ((None, ["李白"]), ("李白", "李白"), ("李白", [None]), ("李白", None)):
        with pytest.raises(DataError, match="expected a text|expected a list of texts"):
            locate(sentence, names)
    with pytest.raises(DataError, match="answer: found .*expected the text"):
        parse({"人物": ["李白"]}, "NER")
    with pytest.raises(DataError, match="schema: found '人物', expected a list"):
        parse("{}", "NER", schema="人物")
    assert parse(None, "NER").ok is False, "a server's content: null is no answer"


def test_the_package_is_light_and_exports_what_it_promises():
    """Pulling in torch costs every notebook and every command ten seconds."""
    heavy = "{'torch', 'transformers', 'pandas', 'numpy'}"
    code = f"import sys, miniluotuo_utils.ie; print({heavy} & set(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == "set()"
    assert sorted(ie.__all__) == [
        "build_instructions",
        "compare",
        "dictionary_baseline",
        "errors",
        "extract",
        "hard_negatives",
        "interval",
        "locate",
        "micro",
        "only_types",
        "over_orders",
        "parse",
        "recorded",
        "schema_of",
        "score",
        "score_files",
        "table",
        "train_tagger",
        "wholly_right",
    ]
