"""Scoring: hand counts for every mode and task, agreement with other scorers, and invariants."""

import json
import random
import statistics
import subprocess
import sys

import numpy as np
import pytest
from examples import BOOK, EXAMPLES, LAUNCH, LIBAI, SPACE, event, ner, random_record, rel
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.files import DataError, write_jsonl
from miniluotuo_utils.ie import (
    compare,
    errors,
    interval,
    micro,
    over_orders,
    score,
    score_files,
    table,
)
from miniluotuo_utils.ie.modes import MODES
from miniluotuo_utils.records import TASKS, check_record

PAIRS = [(task, mode) for mode in MODES for task in MODES[mode].parts]


def spo(sentence, *triples, **slots):
    """A record from (head, head type, relation, tail, tail type);
    the slots go to every relation. No places.
    """

    def thing(name, kind):
        return {"name": name, "type": kind, "pos": None}

    made = [{"head": thing(h, a), "type": t, "tail": thing(o, b)} for h, a, t, o, b in triples]
    extra = {"slots": {slot: thing(name, "") for slot, name in slots.items()}} if slots else {}
    return check_record({"sentence": sentence, "relations": [r | extra for r in made]})


def counted(gold, pred, task="NER", mode="span", **asked):
    """(tp, pred, gold) of each part."""
    return [
        (m["tp"], m["pred"], m["gold"]) for _, m in micro(score(gold, pred, task, mode, **asked))
    ]


BRIDGE = "南京市长江大桥"
NESTED = ner(BRIDGE, ("南京市", "地点", 0), ("长江", "地点", 3), ("长江大桥", "建筑", 3))
SHIFTED = ner(BRIDGE, ("南京", "地点", 0), ("长江", "建筑", 3), ("长江大桥", "建筑", 3))
PRIZE = "1988年张艺谋的《红高粱》获金熊奖，红高粱获奖"


# ---- hand counts, mode by mode


@pytest.mark.parametrize(
    "mode, expected",
    [
        ("span", [(1, 3, 3)]),
        ("string", [(1, 3, 3)]),
        ("iepile", [(1, 3, 3)]),
        ("instructuie", [(1, 3, 3)]),
        ("overlap", [(1, 3, 3), (2, 3, 3), (2.5, 3, 3), (2, 3, 3)]),
    ],
)
def test_nested_and_shifted_entities(mode, expected):
    """A nested entity is one of its own, and an overlap is a match in overlap mode alone (strict,
    exact, partial, type).
    """
    assert counted([NESTED], [SHIFTED], mode=mode) == expected


@pytest.mark.parametrize(
    "mode, once, twice",
    [
        ("span", (1, 1, 4), (1, 1, 4)),
        ("string", (1, 1, 3), (1, 1, 3)),
        ("iepile", (1, 1, 4), (2, 2, 4)),
        ("instructuie", (1, 1, 3), (1, 1, 3)),
    ],
)
def test_one_name_at_two_places(mode, once, twice):
    """Published CLUENER figures are span counts, IEPile counts names as often as listed:
    mixing them shifts F1 by points.
    """
    one = ner(LIBAI["sentence"], ("李白", "人物", 0))
    two = ner(LIBAI["sentence"], ("李白", "人物", 0), ("李白", "人物", 0))
    assert counted([LIBAI], [one], mode=mode) == [once]
    assert counted([LIBAI], [two], mode=mode) == [twice]
    assert score([LIBAI], [LIBAI], "NER", "string")["gold_duplicates"] == 1


def test_without_a_position_nothing_is_right_by_span():
    """null = null would credit every made-up name that gold could not place either."""
    record = ner("南京与南京", ("南京", "地点", None))
    assert counted([record], [record]) == [(0, 1, 1)]
    assert counted([record], [record], mode="overlap") == [(0, 1, 1)] * 4
    assert (
        counted([record], [record], mode="string")
        == counted([record], [record], mode="iepile")
        == [(1, 1, 1)]
    )
    assert score([record], [record], "NER")["gold_no_position"] == 1


def test_overlap_uses_each_entity_once_and_takes_the_exact_one_first():
    """nervaluate lets an early overlap use up the entity that a later prediction equals:
    strict 0 instead of 1.
    """
    gold = ner(BRIDGE, ("长江大桥", "建筑", 3))
    pred = ner(BRIDGE, ("长江", "建筑", 3), ("长江大桥", "建筑", 3), ("大桥", "建筑", 5))
    assert counted([gold], [pred], mode="overlap") == [(1, 3, 1)] * 4
    assert counted([pred], [gold], mode="overlap") == [(1, 1, 3)] * 4
    result = score([gold], [ner(BRIDGE, ("长江", "建筑", 3))], "NER", "overlap")
    assert result["partial"]["micro"] == {
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "tp": 0.5,
        "pred": 1,
        "gold": 1,
    }
    two = ner(BRIDGE, ("南京市", "地点", 0), ("长江大", "地点", 3))
    closest = ner(
        BRIDGE, ("市长江", "地点", 2), ("大桥", "地点", 5)
    )  # the first is closer to 长江大, which the second then cannot have
    assert counted([two], [closest], mode="overlap") == [(0, 2, 2), (0, 2, 2), (1, 2, 2), (1, 2, 2)]
    assert result["type"]["per_type"]["建筑"]["tp"] == 1
    assert result["exact"]["per_type"]["建筑"]["tp"] == 0


def test_instructuie_writes_names_its_way_and_gives_nothing_for_nothing():
    """Its own code counts "None" = "None" as right: a right empty and a wrong entity made 0.5."""
    gold = ner("他住在New York (US)", ("New York (US)", "Location", 3))
    pred = ner("他住在New York (US)", ("new york(us)", "location", None))
    assert counted([gold], [pred], mode="string") == [(0, 1, 1)]
    assert counted([gold], [pred], mode="instructuie") == [(1, 1, 1)]
    nothing, wrong = ner("李白走了"), ner("李白走了", ("李白", "地点", 0))
    assert counted([nothing, nothing], [nothing, wrong], mode="instructuie") == [(0, 1, 0)]


@pytest.mark.parametrize(
    "gold, pred, expected",
    [
        (["NA"], [], (1, 1, 1)),  # not contradicted: credited
        (["NA"], ["NA"], (1, 1, 1)),
        (["NA"], ["作者"], (0, 1, 0)),  # contradicted: a false positive, not also a miss
        (["作者"], ["NA"], (0, 1, 1)),
        ([], ["NA"], (0, 0, 0)),  # costs nothing, gains nothing
        (["作者"], ["作者", "NA"], (1, 2, 1)),
    ],
)
def test_instructuie_counts_na_relations(gold, pred, expected):
    """Most sentences of its sets hold no relation:
    without its NA rule its published figures cannot be compared with.
    """
    records = [
        rel(BOOK["sentence"], *(("红楼梦", kind, "曹雪芹") for kind in kinds))
        for kinds in (gold, pred)
    ]
    assert counted([records[0]], [records[1]], "RE", "instructuie") == [expected]
    pooled = counted([records[0], BOOK], [records[1], BOOK], "RE", "instructuie")
    assert pooled == [tuple(n + 2 for n in expected)]


def test_relations_count_by_pair_and_type():
    """Direction counts, and in span mode so does the place of each side."""
    text = BOOK["sentence"]
    assert counted([BOOK], [rel(text, ("红楼梦", "作者", "曹雪芹"))], "RE") == [(1, 1, 2)]
    assert counted([BOOK], [rel(text, ("曹雪芹", "作者", "红楼梦"))], "RE") == [(0, 1, 2)]
    other = json.loads(json.dumps(BOOK))
    other["relations"][0]["head"]["pos"] = [12, 15]
    assert counted([BOOK], [other], "RE") == [(1, 2, 2)]
    for mode in ("string", "iepile", "instructuie", "duie"):
        assert counted([BOOK], [other], "RE", mode) == [(2, 2, 2)]


@pytest.mark.parametrize("mode", ["string", "iepile", "instructuie", "duie"])
def test_one_predicate_with_two_type_signatures(mode):
    """Keyed by the predicate alone (IEPile's SPO), the second signature overwrites the first with
    nothing.
    """
    person, film = (
        ("张艺谋", "人物", "获奖", "金熊奖", "奖项"),
        ("红高粱", "作品", "获奖", "金熊奖", "奖项"),
    )
    gold = spo(PRIZE, person, film)
    assert counted([gold], [gold], "RE", mode) == [(2, 2, 2)]
    assert counted([gold], [spo(PRIZE, person)], "RE", mode) == [(1, 1, 2)]
    assert counted([gold], [spo(PRIZE, film)], "RE", mode) == [(1, 1, 2)]


def test_typed_relations_need_the_types_of_both_sides():
    """A record that extract located has no types:
    silently right, or silently compared as "" = "", it would mislead.
    """
    gold = spo(PRIZE, ("张艺谋", "人物", "获奖", "金熊奖", "奖项"))
    other, bare = (
        spo(PRIZE, ("张艺谋", "作品", "获奖", "金熊奖", "奖项")),
        spo(PRIZE, ("张艺谋", "", "获奖", "金熊奖", "")),
    )
    for mode in ("string", "iepile", "duie"):
        assert counted([gold], [gold], "RE", mode, typed=True) == [(1, 1, 1)]
        for pred in (other, bare):
            assert counted([gold], [pred], "RE", mode) == [(1, 1, 1)]
            assert counted([gold], [pred], "RE", mode, typed=True) == [(0, 1, 1)]
        for half in (
            bare,
            spo(PRIZE, ("张艺谋", "人物", "获奖", "金熊奖", "")),
            spo(PRIZE, ("张艺谋", "", "获奖", "金熊奖", "奖项")),
        ):
            assert counted([half], [half], "RE", mode, typed=True) == [(0, 1, 1)]
    assert counted([BOOK], [BOOK], "RE", typed=True) == [(0, 2, 2)]
    assert table(score([gold], [gold], "RE", "string", typed=True)).startswith("RE · string typed")


def test_duie_wants_every_slot_and_forgives_case_and_book_marks():
    """A prize without its work is another fact;
    《》 and case are how people write, not what they mean.
    """
    triple = ("张艺谋", "", "获奖", "金熊奖", "")
    gold = spo(PRIZE, triple, inWork="红高粱", onDate="1988年")
    assert counted(
        [gold], [spo(PRIZE, triple, onDate="1988年", inWork="《红高粱》")], "RE", "duie"
    ) == [(1, 1, 1)]
    assert counted([gold], [spo(PRIZE, triple, inWork="红高粱")], "RE", "duie") == [(0, 1, 1)]
    assert counted([gold], [spo(PRIZE, triple)], "RE", "duie") == [(0, 1, 1)]
    assert counted([gold], [spo(PRIZE, triple)], "RE", "string") == [(1, 1, 1)]
    swapped = spo(PRIZE, triple, inWork="1988年", onDate="红高粱")
    assert counted([gold], [swapped], "RE", "duie") == [(0, 1, 1)]


def test_duie_aliases_count_precision_and_recall_apart():
    """With aliases two predictions may both be right by one gold triple:
    one numerator for both rates would make recall 2.
    """
    text = "北京大学（北大、PKU）在北京"
    gold = spo(text, ("北京大学", "", "位于", "北京", ""))
    pred = spo(
        text,
        ("北大", "", "位于", "北京", ""),
        ("pku", "", "位于", "北京", ""),
        ("北大", "", "位于", "上海", ""),
    )
    aliases = {"北京大学": ["北大", "PKU"]}
    assert score([gold], [pred], "RE", "duie")["micro"]["tp"] == 0
    found = score([gold], [pred], "RE", "duie", aliases=aliases)["micro"]
    assert found == {
        "precision": 2 / 3,
        "recall": 1.0,
        "f1": 0.8,
        "tp": 2,
        "pred": 3,
        "gold": 1,
        "found": 1,
    }
    turned = score([pred], [gold], "RE", "duie", aliases=aliases)["micro"]
    assert (turned["precision"], turned["recall"], turned["f1"]) == (1.0, 2 / 3, 0.8)
    both = spo(text, ("北大", "", "位于", "北京", ""), ("北京大学", "", "位于", "北京", ""))
    assert counted([gold], [both], "RE", "duie", aliases=aliases) == [
        (1, 1, 1)
    ]  # equal predictions count once


def test_duie_keeps_right_triples_where_equality_is_not_transitive():
    """丙 equals 乙, 乙 equals 甲, 丙 does not equal 甲:
    dropped for the wrong 丙, the right 甲 and 乙 left F1 at 0 instead of 1.
    """
    one, three = (
        spo("甲乙丙在京", *((name, "", "位于", "京", "") for name in names))
        for names in ("甲", "甲乙丙")
    )
    for gold, pred in ((one, three), (three, one)):
        found = score([gold], [pred], "RE", "duie", aliases={"乙": ["甲", "丙"]})["micro"]
        assert (found["tp"], found["pred"], found["gold"], found["found"], found["f1"]) == (
            1,
            1,
            1,
            1,
            1.0,
        )
    two = spo("甲乙丙在京", ("甲", "", "位于", "京", ""), ("丙", "", "位于", "京", ""))
    found = score([one], [two], "RE", "duie", aliases={"乙": ["甲", "丙"]})["micro"]
    assert (found["tp"], found["pred"], found["gold"], found["found"]) == (
        1,
        2,
        1,
        1,
    )  # without 乙 the wrong 丙 counts


def test_alias_entries_are_written_like_names_and_joined():
    """Entries that are one name once 《》 and case are gone overwrote each other;
    as written, they would match nothing.
    """
    gold, pred = (
        spo("红楼梦在京", (name, "", "位于", "京", "")) for name in ("《红楼梦》", "石头记")
    )
    for aliases in (
        {"红楼梦": ["石头记"], "《红楼梦》": ["金玉缘"]},
        {"《红楼梦》": ["《石头记》"]},
    ):
        assert counted([gold], [pred], "RE", "duie", aliases=aliases) == [(1, 1, 1)]


def test_triggers_and_arguments_are_counted_apart():
    """One pooled figure hides that arguments are the hard part."""
    pred = event(
        LAUNCH, ("发射", "发射", {"航天器": "长征"}), ("会议", "成功", {"航天器": "神舟五号"})
    )
    for mode in ("span", "string", "iepile", "instructuie"):
        expected = [(1, 2, 2 if mode in ("span", "iepile") else 1), (0, 2, 2)]
        assert counted([SPACE], [pred], "EE", mode) == expected
    result = score([SPACE], [SPACE], "EE", schema={"发射": ["火箭"]})
    assert result["argument"]["off_schema"] == 1
    assert result["trigger"]["off_schema"] == 0
    assert [label for label, _ in micro(result)] == ["EE trigger", "EE argument"]


def test_iepile_skips_arguments_named_nan():
    """IEPile writes NAN for a role without an argument:
    counted, a model that says "none" everywhere would score.
    """
    gold = event(LAUNCH, ("发射", "发射", {"航天器": "神舟五号", "地点": "NAN"}))
    pred = event(LAUNCH, ("发射", "发射", {"航天器": "NAN", "地点": "NAN"}))
    assert counted([gold], [pred], "EE", "iepile") == [(1, 1, 1), (0, 0, 1)]
    assert counted([gold], [pred], "EE", "string") == [(1, 1, 1), (1, 2, 2)]
    named = ner("他写NAN", ("NAN", "标签", 2))
    assert counted([named], [named], mode="iepile") == [(1, 1, 1)]


GAMES = "2004年刘翔在雅典奥运会（Athens Games）夺冠"


def test_duee_pays_arguments_by_character_f1():
    """DuEE's published figures give part of a point for part of a name, whatever the trigger."""
    gold = event(
        GAMES, ("夺冠", "夺冠", {"冠军": "刘翔", "夺冠赛事": "雅典奥运会", "时间": "2004年"})
    )
    pred = event(
        GAMES,
        ("夺冠", "冠", {"冠军": "刘翔", "夺冠赛事": "奥运会", "地点": "2004年"}),
        ("退役", "夺冠", {"冠军": "刘翔"}),
    )
    trigger, argument = counted([gold], [pred], "EE", "duee")
    assert trigger == (0, 2, 1)
    assert argument == (1.75, 4, 3)  # 1 + 2·3/(5+3)
    assert isinstance(argument[0], float)
    result = score([gold], [pred], "EE", "duee")["argument"]["micro"]
    assert (result["precision"], result["recall"], result["f1"]) == (1.75 / 4, 1.75 / 3, 0.5)
    assert "1.75" in table(score([gold], [pred], "EE", "duee"))


def test_duee_takes_the_best_mention_and_lets_each_gold_argument_pay_once():
    """A prediction that lists every part of one name would be paid for each, and recall would pass
    1.
    """
    gold = event(GAMES, ("夺冠", "夺冠", {"夺冠赛事": "雅典奥运会"}))
    english = event(GAMES, ("夺冠", "夺冠", {"夺冠赛事": "athens games"}))
    assert counted([gold], [english], "EE", "duee")[1][0] == 0
    assert counted([gold], [english], "EE", "duee", aliases={"雅典奥运会": ["Athens Games"]})[
        1
    ] == (
        1.0,
        1,
        1,
    )
    gold["events"][0]["arguments"][0]["alias"] = ["ATHENS GAMES"]
    assert counted([gold], [english], "EE", "duee")[1] == (1.0, 1, 1)
    several = event(
        GAMES, *(("夺冠", "夺冠", {"夺冠赛事": name}) for name in ("奥运会", "雅典奥运会", "雅典"))
    )
    assert counted([gold], [several], "EE", "duee")[1] == (1.0, 3, 1)


@pytest.mark.parametrize("task, mode", PAIRS)
def test_empty_gold_and_both_empty(task, mode):
    """ "Nothing" = "nothing" as a true positive (InstructUIE) lets a student that never answers
    score 0.5.
    """
    something = EXAMPLES[task]
    nothing = dict(something, **{TASKS[task]: []})
    for m in (m for _, m in micro(score([nothing], [nothing], task, mode))):
        assert {m[key] for key in m} == {0}
        assert m["f1"] == 0.0
    for (tp, pred, gold), (one, none, there) in zip(
        counted([nothing], [something], task, mode),
        counted([something], [nothing], task, mode),
        strict=True,
    ):
        assert tp == one == gold == none == 0
        assert pred == there > 0
    assert all(part[1]["f1"] == 0.0 for part in micro(score([], [], task, mode)))


@pytest.mark.parametrize("task, mode", PAIRS)
def test_repeated_sentences_stay_apart(task, mode):
    """Joined by their text (IEPile, DuIE), two equal sentences would share their predictions, or
    the last would stand for both.
    """
    full = EXAMPLES[task]
    empty = dict(full, **{TASKS[task]: []})
    for (tp, pred, gold), (one, made, there) in zip(
        counted([full, full], [full, empty], task, mode),
        counted([full, empty], [empty, full], task, mode),
        strict=True,
    ):
        assert tp == pred > 0
        assert gold == 2 * pred
        assert one == 0
        assert made == there == pred


def test_what_a_mode_is_not_made_for_is_refused():
    """DuIE's rule on entities, or an alias table that a mode ignores, would give a figure that
    means nothing.
    """
    for task, mode, asked, words in (
        (
            "NER",
            "duie",
            {},
            "duie is defined for RE, not for NER; "
            "expected for it one of span, string, iepile, instructuie, overlap",
        ),
        ("RE", "duee", {}, "duee is defined for EE"),
        ("EE", "overlap", {}, "overlap is defined for NER"),
        (
            "RE",
            "span",
            {"aliases": {"甲": ["乙"]}},
            "span does not take aliases; expected one of duie, duee",
        ),
        ("RE", "instructuie", {"typed": True}, "instructuie does not take typed"),
        ("NER", "span", {"typed": True}, "for RE, not for NER"),
        *(
            (
                "RE",
                "duie",
                {"aliases": {"乙": ["丙"], "甲": wrong}},
                f"aliases of '甲': found {wrong!r}, expected a list of names".replace("[", r"\["),
            )
            for wrong in ("乙丙", 5, None, [5])
        ),
        ("EE", "duee", {"aliases": {5: ["乙"]}}, "aliases of 5: found"),
        (
            "EE",
            "span",
            {"schema": ["获奖"]},
            r"schema is \['获奖'\]; for EE expected event type -> list of roles",
        ),
        *(
            (
                "EE",
                "span",
                {"schema": {"获奖": roles}},
                f"schema of '获奖': found {roles!r}, expected a list of roles".replace("[", r"\["),
            )
            for roles in (5, "时间", [5])
        ),
        ("NER", "span", {"schema": {"人物": []}}, "for NER expected a list of types"),
        ("RE", "span", {"schema": [5]}, "expected a list of types"),
        ("NER", "exact", {}, "mode is 'exact'; expected one of span, string"),
        ("ner", "span", {}, "expected one of NER, RE, EE"),
    ):
        with pytest.raises(ValueError, match=words):
            score([], [], task, mode, **asked)


@pytest.mark.mirror
def test_cluener_has_fewer_names_than_spans(mirror):
    """3,072 gold items by span, 2,982 by string:
    published CLUENER figures are of the former, generated answers of the latter.
    """
    from miniluotuo_utils.data import load

    gold = load("cluener", "dev", progress=False)
    for mode, items in (("span", 3072), ("string", 2982), ("iepile", 3072)):
        m = score(gold, gold, "NER", mode)["micro"]
        assert (m["tp"], m["pred"], m["gold"], m["f1"]) == (items, items, items, 1.0)


# ---- figures, notes, files


def test_hand_counted_rates():
    """P, R, F1, macro and the counts beside them, worked on paper."""
    gold = [LIBAI, ner("下雨了")]
    pred = [
        ner(
            LIBAI["sentence"],
            ("李白", "人物", 0),
            ("李白", "人物", 0),
            ("长安", "人物", 6),
            ("苏轼", "诗人", None),
            ("苏轼", "诗人", None),
        ),
        ner("下雨了", ("雨", "天气", None)),
    ]
    result = score(gold, pred, "NER", schema=["人物", "地点"])
    assert result["micro"] == {
        "precision": 1 / 4,
        "recall": 1 / 4,
        "f1": 1 / 4,
        "tp": 1,
        "pred": 4,
        "gold": 4,
    }
    assert list(result["per_type"]) == ["人物", "地点", "天气", "诗人"]
    assert result["per_type"]["人物"] == {
        "precision": 1 / 2,
        "recall": 1 / 3,
        "f1": 2 / 5,
        "tp": 1,
        "pred": 2,
        "gold": 3,
    }
    assert result["macro"] == {"precision": 1 / 8, "recall": 1 / 12, "f1": 1 / 10}
    notes = {
        k: result[k]
        for k in ("duplicates", "no_position", "not_in_text", "off_schema", "gold_no_position")
    }
    assert notes == {
        "duplicates": 2,
        "no_position": 2,
        "not_in_text": 1,
        "off_schema": 2,
        "gold_no_position": 0,
    }
    assert "off_schema" not in score(gold, pred, "NER")
    two_of_b = score(
        [ner("下雨了")], [ner("下雨了", ("下", "A", 0), ("雨", "B", 1), ("了", "B", 2))], "NER"
    )
    assert list(two_of_b["per_type"]) == ["B", "A"]  # none in gold: more predicted first
    assert (
        score(iter(gold), iter(pred), "NER", schema=["人物", "地点"]) == result
    )  # read once, never held


@pytest.mark.parametrize(
    "drop, add, words",
    [
        (1, None, "line 2: found the prediction of '三'"),
        (2, None, "line 3: there is no prediction (3 gold, 2"),
        (None, "四", "line 4: there is no gold (3 gold, 4"),
    ],
)
def test_misaligned_files_name_their_first_line(tmp_path, drop, add, words):
    """A lost line shifts all that follow: skipped silently (DeepKE) it looks like a bad student."""
    gold = [ner(text) for text in "一二三"]
    pred = [r for i, r in enumerate(gold) if i != drop] + ([ner(add)] if add else [])
    write_jsonl(tmp_path / "gold.jsonl", gold)
    write_jsonl(tmp_path / "pred.jsonl", pred)
    with pytest.raises(DataError) as error:
        score_files(tmp_path / "gold.jsonl", tmp_path / "pred.jsonl", "NER")
    assert words in str(error.value)
    assert "gold.jsonl against pred.jsonl" in str(error.value)


def test_files_of_another_task_or_a_wrong_place_are_refused(tmp_path):
    """Scored as NER, a file of relations would give 0.0 without a word."""
    write_jsonl(tmp_path / "gold.jsonl", [LIBAI])
    write_jsonl(tmp_path / "re.jsonl", [BOOK])
    with pytest.raises(DataError, match="line 1: the gold has no field relations"):
        score_files(tmp_path / "gold.jsonl", tmp_path / "re.jsonl", "RE")
    write_jsonl(
        tmp_path / "bad.jsonl",
        [{"sentence": "李白", "entities": [{"name": "李白", "type": "", "pos": [0, 1]}]}],
    )
    with pytest.raises(DataError, match=r"bad\.jsonl, line 1, field entities\[0\]\.pos"):
        score_files(tmp_path / "gold.jsonl", tmp_path / "bad.jsonl", "NER", strict=True)
    with pytest.raises(ValueError, match="mode is 'exact'"):
        score([LIBAI], [LIBAI], "NER", "exact")
    assert (
        score_files(tmp_path / "gold.jsonl", tmp_path / "gold.jsonl", "NER")["micro"]["f1"] == 1.0
    )


@pytest.mark.parametrize(
    "record, words",
    [
        ({"entities": []}, "has no field sentence"),
        ({"sentence": None, "entities": []}, "'s field sentence is None, expected a text"),
        ({"sentence": "一", "entities": None}, "'s field entities is None, expected a list"),
        (5, "has no field entities"),
    ],
)
def test_records_in_memory_are_refused_with_their_line(record, words):
    """No file was checked before: a KeyError from inside names neither side nor record."""
    good = ner("一")
    for sides, side in (
        (([good, record], [good, good]), "gold"),
        (([good, good], [good, record]), "prediction"),
    ):
        for scorer in (score, interval):
            with pytest.raises(
                DataError,
                match=f"line 2: the {side}{words}"
                if words[0] == "'"
                else f"line 2: the {side} {words}",
            ):
                if side == "gold" or "no field sentence" not in words:
                    scorer(*sides, "NER")
                else:
                    score(*sides, "NER", strict=True)


@pytest.mark.parametrize(
    "task, item, field",
    [
        ("NER", {"name": "李白", "type": None, "pos": [0, 2]}, r"entities\[0\]\.type"),
        ("NER", {"name": "李白", "pos": [0, 2]}, r"entities\[0\]\.type"),
        ("NER", {"type": "人物", "pos": [0, 2]}, r"entities\[0\]\.name"),
        ("NER", "李白", r"entities\[0\]"),
        ("NER", {"name": "李白", "type": "人物", "pos": "0-2"}, r"entities\[0\]\.pos"),
        ("RE", {"head": "李白", "type": "作者", "tail": "静夜思"}, r"relations\[0\]\.head"),
        ("RE", {"type": "作者", "tail": {"name": "李白"}}, r"relations\[0\]\.head"),
        ("EE", {"type": "写", "trigger": None, "arguments": []}, r"events\[0\]\.trigger\.name"),
        ("EE", {"type": "写", "trigger": "写", "arguments": ["李白"]}, r"arguments\[0\]"),
    ],
)
@pytest.mark.parametrize("side", ["gold", "prediction"])
def test_a_broken_item_in_memory_names_record_and_field(task, item, field, side):
    """One predicted item of type None replaced the totals: F1 1.0 with two of three missed."""
    name = TASKS[task]
    good, bad = ({"sentence": "李白写静夜思", name: items} for items in ([], [item]))
    sides = ([good, bad], [good, good]) if side == "gold" else ([good, good], [good, bad])
    with pytest.raises(DataError, match=f"line 2: the {side}, field .*{field}"):
        score(*sides, task)


def test_a_file_that_is_slightly_off_is_scored_and_the_wrong_item_counted(tmp_path):
    """One span beyond its text (real CMeEE outputs) or no text at all (a CLUENER submission), and
    a whole file could not be scored."""
    gold = [ner("李白在碎叶", ("李白", "人物", 0), ("碎叶", "地点", 3)), ner("下雨了")]
    entities = [
        {"name": "李白", "type": "人物", "pos": [0, 2]},
        {"name": "碎叶", "type": "地点", "pos": [3, 9]},
    ]
    pred = [{"entities": entities}, {"sentence": "下雨了", "entities": []}]
    paths = tmp_path / "gold.jsonl", tmp_path / "pred.jsonl"
    write_jsonl(paths[0], gold)
    write_jsonl(paths[1], pred)
    result = score_files(*paths, "NER")
    assert (result["micro"]["tp"], result["micro"]["pred"], result["micro"]["gold"]) == (1, 2, 2)
    assert (result["misplaced"], result["no_position"]) == (1, 1)
    assert "misplaced 1" in table(result)
    with pytest.raises(DataError, match=r"pred\.jsonl, line 1, field sentence"):
        score_files(*paths, "NER", strict=True)

    whole = [{"sentence": "李白在碎叶", "entities": entities}, pred[1]]
    write_jsonl(paths[1], whole, overwrite=True)
    with pytest.raises(DataError, match=r"pred\.jsonl, line 1, field entities\[1\]\.pos"):
        score_files(*paths, "NER", strict=True)


def test_gold_without_places_names_the_mode_that_can_be_right():
    """F1 0.0000 and a small note: people searched their model for the fault."""
    gold = [ner("李白在碎叶", ("李白", "人物", None))]
    assert "--mode string" in table(score(gold, gold, "NER"))
    assert "--mode string" not in table(score(gold, gold, "NER", "string"))


def test_what_can_hardly_be_right_is_said():
    """A type with a blank behind it looks the same in the table, and everything is 0.0000."""
    name = {"name": "茅以升", "type": "人物", "pos": [0, 3]}
    gold = [{"sentence": "茅以升在杭州", "entities": [name]}]
    blank = [{"sentence": "茅以升在杭州", "entities": [name | {"type": "人物 "}]}]
    assert "'人物'、'人物 '" in table(score(gold, blank, "NER"))
    assert "differ in blanks" not in table(score(gold, gold, "NER"))
    unplaced = [{"sentence": "茅以升在杭州", "entities": [name | {"pos": None}]}]
    assert "pred without places" in table(score(gold, unplaced, "NER"))


def test_an_alias_that_is_no_list_is_refused(tmp_path):
    """Read letter by letter, the alias 太白 would pay for a prediction of 白."""
    gold = event(GAMES, ("夺冠", "夺冠", {"夺冠赛事": "雅典奥运会"}))
    for alias in ("雅典", [5]):
        gold["events"][0]["arguments"][0]["alias"] = alias
        write_jsonl(tmp_path / "gold.jsonl", [gold], overwrite=True)
        with pytest.raises(
            DataError,
            match=r"gold\.jsonl, line 1, field events\[0\]\.arguments\[0\]\.alias: "
            ".* expected a list of texts",
        ):
            score_files(tmp_path / "gold.jsonl", tmp_path / "gold.jsonl", "EE", "duee")


def test_table_aligns_chinese_and_shows_counts():
    """A table whose columns drift by one place per Chinese character cannot be read."""
    pred = ner(LIBAI["sentence"], ("李白", "人物", 0), ("苏轼", "", None))
    lines = table(score([LIBAI], [pred], "NER")).splitlines()
    assert lines[0].split() == [
        "NER",
        "·",
        "span",
        "precision",
        "recall",
        "f1",
        "tp",
        "pred",
        "gold",
    ]
    assert lines[1].split() == ["micro", "0.5000", "0.2500", "0.3333", "1", "2", "4"]
    assert lines[-1] == "no_position 1 · not_in_text 1"
    widths = {sum(2 if c > "⺀" else 1 for c in line) for line in lines[:2] + lines[3:-1]}
    assert len(widths) == 1
    assert table(score([SPACE], [SPACE], "EE", "string")).count("micro") == 2


def test_score_files_stops_at_the_first_different_line(tmp_path):
    """Read whole before they are compared, two large files fill the memory, and a wrong file is
    found out after minutes.
    """
    gold, pred = tmp_path / "gold.jsonl", tmp_path / "pred.jsonl"
    write_jsonl(gold, [ner("一"), ner("二")])
    write_jsonl(pred, [ner("一"), ner("三")])
    for path in (gold, pred):
        path.write_text(path.read_text() + "broken\n")
    with pytest.raises(
        DataError, match=r"gold\.jsonl against pred\.jsonl, line 2: found the prediction of '三'"
    ):
        score_files(gold, pred, "NER")
    write_jsonl(pred, [ner("一"), ner("二")], overwrite=True)
    with pytest.raises(DataError, match=r"^gold\.jsonl, line 3: Expecting value"):
        score_files(gold, pred, "NER")


# ---- other people's scorers


def chunks(tags, stray):
    """(type, start, end) of BIO tags; `stray`: an I- without its B- opens a chunk, as in
    conlleval.
    """
    found, kind, begin = [], None, 0
    for at, tag in enumerate([*tags, "O"]):
        if kind is not None and tag != "I-" + kind:
            found.append((kind, begin, at))
            kind = None
        if tag[0] == "B" or (stray and tag[0] == "I" and kind is None):
            kind, begin = tag[2:], at
    return found


def from_bio(tags, stray):
    """Tags as a record, each character its own place."""
    sentence = "".join(chr(0x4E00 + i) for i in range(len(tags)))
    return ner(
        sentence, *((sentence[start:end], kind, start) for kind, start, end in chunks(tags, stray))
    )


def random_tags(draw, length):
    """BIO tags of which some I- have no B-."""
    made = []
    for _ in range(length):
        carried = ["I-" + made[-1][2:]] * 2 if made and made[-1] != "O" else []
        made.append(draw.choice(["O", "O", "B-人物", "B-地点", "I-人物", *carried]))
    return made


@pytest.mark.parametrize("seed", range(20))
def test_span_agrees_with_seqeval(seed):
    """A scorer checked only against itself can be wrong in the same way twice."""
    from seqeval.metrics import classification_report
    from seqeval.scheme import IOB2

    draw = random.Random(seed)
    gold = [random_tags(draw, 12) for _ in range(10)]
    pred = [
        [t if draw.random() < 0.8 else draw.choice(["O", "B-人物", "I-地点"]) for t in line]
        for line in gold
    ]
    for stray, asked in ((True, {}), (False, {"mode": "strict", "scheme": IOB2})):
        theirs = classification_report(gold, pred, output_dict=True, zero_division=0, **asked)
        ours = score([from_bio(t, stray) for t in gold], [from_bio(t, stray) for t in pred], "NER")
        for row, name in (
            (ours["micro"], "micro avg"),
            (ours["macro"], "macro avg"),
            *((r, k) for k, r in ours["per_type"].items()),
        ):
            assert [row[rate] for rate in ("precision", "recall", "f1")] == pytest.approx(
                [theirs[name][rate] for rate in ("precision", "recall", "f1-score")], abs=1e-12
            )
        assert ours["micro"]["tp"]


def test_conlleval_opens_a_chunk_at_a_stray_i_and_rounds_at_the_end():
    """One tag sequence, two F1: 80.00 for conlleval, 66.67 for a strict scheme.
    Published figures are often the former.
    """
    gold = ["B-人", "I-人", "O", "B-地", "I-地", "O"]
    pred = ["I-人", "I-人", "O", "B-地", "I-地", "I-人"]
    shown = {}
    for stray in (True, False):
        m = score([from_bio(gold, stray)], [from_bio(pred, stray)], "NER")["micro"]
        shown[stray] = (
            m["tp"],
            m["pred"],
            m["gold"],
            *(f"{100 * m[rate]:6.2f}" for rate in ("precision", "recall", "f1")),
        )
    assert shown == {
        True: (2, 3, 2, " 66.67", "100.00", " 80.00"),
        False: (1, 1, 2, "100.00", " 50.00", " 66.67"),
    }
    # 1 of 3 and 1 of 7: from rates rounded to two places, as IEPile makes it, F1 would be 0.196
    thirds = score(
        [ner("甲乙丙", ("甲", "x", 0), *((n, "x", i) for n in "乙丙" for i in [1 + (n == "丙")]))],
        [ner("甲乙丙", ("甲", "x", 0), *(("甲", f"y{i}", 0) for i in range(6)))],
        "NER",
    )["micro"]
    assert (thirds["tp"], thirds["pred"], thirds["gold"]) == (1, 7, 3)
    assert thirds["f1"] == 0.2


def flat(draw, sentence):
    """Entities that do not overlap each other, one character apart at most."""
    made, at = [], 0
    while (at := at + draw.randint(0, 2)) < len(sentence):
        end = min(at + draw.randint(1, 4), len(sentence))
        made.append((sentence[at:end], draw.choice(["人物", "地点"]), at))
        at = end
    return ner(sentence, *made)


@pytest.mark.parametrize("seed", range(25))
def test_overlap_agrees_with_nervaluate(seed):
    """The four schemas have one definition, and many implementations that differ."""
    from nervaluate.evaluator import Evaluator

    draw = random.Random(seed)
    sentences = ["".join(chr(0x4E00 + draw.randrange(999)) for _ in range(20)) for _ in range(12)]
    gold, pred = ([flat(draw, s) for s in sentences] for _ in range(2))
    listed = [
        [
            [
                {"label": e["type"], "start": e["pos"][0], "end": e["pos"][1] - 1}
                for e in r["entities"]
            ]
            for r in side
        ]
        for side in (gold, pred)
    ]
    theirs = Evaluator(*listed, tags=["人物", "地点"], loader="dict").evaluate()
    ours = score(gold, pred, "NER", "overlap")
    for part, name in (
        ("strict", "strict"),
        ("exact", "exact"),
        ("partial", "partial"),
        ("type", "ent_type"),
    ):
        rows = [(ours[part]["micro"], theirs["overall"][name])]
        rows += [
            (row, theirs["entities"][kind][name]) for kind, row in ours[part]["per_type"].items()
        ]
        for row, result in rows:
            assert (row["tp"], row["pred"], row["gold"]) == (
                result.correct + 0.5 * result.partial,
                result.actual,
                result.possible,
            )
            assert (row["precision"], row["recall"], row["f1"]) == pytest.approx(
                (result.precision, result.recall, result.f1)
            )


# ---- properties over random records


def close(one, other):
    """Equal figures; sums of fractions depend on their order in the last digit."""
    return [m for _, m in one] == [pytest.approx(m, abs=1e-9) for _, m in other]


def random_pairs(seed, task):
    """A random generator, five records with types and slots, and five predictions of the same
    sentences.
    """
    draw = random.Random(seed)
    gold = [random_record(draw, task, full=True) for _ in range(5)]
    return draw, gold, [random_record(draw, task, g["sentence"], full=True) for g in gold]


@settings(deadline=None, max_examples=150)
@given(st.integers(), st.sampled_from(PAIRS))
def test_order_does_not_matter_and_perfect_is_one(seed, pair):
    """Order is not part of an answer; and if the perfect answer does not score 1.0, no student
    ever can.
    """
    (task, mode), (draw, gold, pred) = pair, random_pairs(seed, pair[0])
    asked = (
        {"aliases": {"甲": ["乙", "丙"], "丁": ["丙"]}} if "aliases" in MODES[mode].takes else {}
    )
    result = micro(score(gold, pred, task, mode, **asked))
    pairs = list(zip(gold, pred, strict=True))
    draw.shuffle(pairs)
    turned = [
        [dict(r, **{TASKS[task]: draw.sample(r[TASKS[task]], len(r[TASKS[task]]))}) for r in side]
        for side in zip(*pairs, strict=True)
    ]
    assert close(micro(score(*turned, task, mode, **asked)), result)
    for _, m in micro(
        score(gold, gold, task, mode, typed=task == "RE" and "typed" in MODES[mode].takes)
    ):
        assert m["f1"] == pytest.approx(float(m["gold"] > 0))
        assert m["pred"] == m["gold"]


@settings(deadline=None, max_examples=150)
@given(st.integers(), st.sampled_from(PAIRS))
def test_precision_and_recall_mirror_when_gold_and_prediction_swap(seed, pair):
    """Precision is the recall of the other side.
    In partial and type the first of several overlaps counts, so not there.
    """
    (task, mode), (_, gold, pred) = pair, random_pairs(seed, pair[0])
    asked = {"aliases": {"甲": ["乙", "丙"], "丁": ["丙"]}} if mode == "duie" else {}
    there, back = (
        micro(score(*sides, task, mode, **asked)) for sides in ((gold, pred), (pred, gold))
    )
    for (_, one), (_, other) in list(zip(there, back, strict=True))[
        : 2 if mode == "overlap" else None
    ]:
        assert (one["precision"], one["recall"], one["f1"]) == pytest.approx(
            (other["recall"], other["precision"], other["f1"])
        )
        assert 0 <= one["f1"] <= 1


# ---- how sure


def weather(right):
    """Gold and prediction of ten sentences of one entity, the first `right` of them right."""
    gold = [ner(f"第{i}天下雨", ("下雨", "天气", 3)) for i in range(10)]
    return gold, [
        g if i < right else ner(g["sentence"], ("下", "天气", 3)) for i, g in enumerate(gold)
    ]


def test_interval_holds_the_score_and_is_reproducible():
    """A figure from 60 sentences without its spread is read as a fact."""
    gold = [LIBAI, ner("李白走了", ("李白", "人物", 0)), ner("下雨了")] * 10
    pred = [LIBAI, ner("李白走了"), ner("下雨了", ("雨", "天气", 1))] * 10
    point, spread = score(gold, pred, "NER")["micro"], interval(gold, pred, "NER", samples=200)
    for rate, (low, high) in micro(spread)[0][1].items():
        assert 0 <= low < point[rate] < high <= 1
    assert spread == interval(gold, pred, "NER", samples=200)
    assert spread != interval(gold, pred, "NER", samples=200, seed=1)
    assert micro(interval([LIBAI], [LIBAI], "NER", samples=10))[0][1]["f1"] == [1.0, 1.0]
    assert micro(interval([], [], "EE"))[1][1]["f1"] == [0.0, 0.0]
    with pytest.raises(ValueError, match="samples is 0"):
        interval(gold, pred, "NER", samples=0)


@pytest.mark.parametrize("task, mode", PAIRS)
def test_interval_is_what_scoring_resampled_sentences_gives(task, mode):
    """Counts per sentence that do not add up to the score would give an interval of something
    else.
    """
    draw = random.Random(7)
    gold = [random_record(draw, task, full=True) for _ in range(12)]
    pred = [random_record(draw, task, g["sentence"], full=True) for g in gold]
    dice, found = np.random.default_rng(3), []
    for _ in range(15):
        at = dice.integers(0, 12, 12)
        found.append(
            [
                m["f1"]
                for _, m in micro(score([gold[i] for i in at], [pred[i] for i in at], task, mode))
            ]
        )
    spread = interval(gold, pred, task, mode, samples=15, seed=3)
    for column, (_, m) in zip(zip(*found, strict=True), micro(spread), strict=True):
        assert m["f1"] == pytest.approx(np.quantile(column, [0.025, 0.975]))


def test_compare_draws_the_same_sentences_for_both():
    """Drawn apart, the two would differ by chance;
    and an interval of other bounds is not the 95 % that it is called.
    """
    draw = random.Random(7)
    gold = [random_record(draw, "NER", full=True) for _ in range(12)]
    sides = [[random_record(draw, "NER", g["sentence"], full=True) for g in gold] for _ in range(2)]
    dice, found = np.random.default_rng(3), []
    for _ in range(40):
        at = dice.integers(0, 12, 12)
        a, b = (
            score([gold[i] for i in at], [side[i] for i in at], "NER")["micro"]["f1"]
            for side in sides
        )
        found.append(b - a)
    m = compare(gold, *sides, "NER", samples=40, seed=3)["micro"]
    assert m["interval"] == pytest.approx(np.quantile(found, [0.025, 0.975]))
    assert m["mean"] == pytest.approx(np.mean(found))


@pytest.mark.parametrize("task, mode", PAIRS)
def test_a_system_is_not_better_than_itself(task, mode):
    """A test that finds a difference where there is none would find one anywhere."""
    draw = random.Random(5)
    gold = [random_record(draw, task, full=True) for _ in range(8)]
    pred = [random_record(draw, task, g["sentence"], full=True) for g in gold]
    for (_, m), (_, point) in zip(
        micro(compare(gold, pred, pred, task, mode, samples=50)),
        micro(score(gold, pred, task, mode)),
        strict=True,
    ):
        assert m["a"] == m["b"] == pytest.approx(point["f1"])
        assert {**m, "a": 0, "b": 0} == {
            "a": 0,
            "b": 0,
            "difference": 0.0,
            "mean": 0.0,
            "interval": [0.0, 0.0],
            "not_better": 1.0,
            "p": 1.0,
        }


def test_compare_sees_a_clear_difference_and_its_direction():
    """All ten sentences better: only all swaps or none give as much, 2 of 1024, so p is near 0.002
    and never 0.
    """
    gold, good = weather(10)
    _, bad = weather(0)
    m = compare(gold, bad, good, "NER", samples=2000)["micro"]
    assert (m["a"], m["b"], m["difference"], m["mean"], m["interval"], m["not_better"]) == (
        0.0,
        1.0,
        1.0,
        1.0,
        [1.0, 1.0],
        0.0,
    )
    assert 1 / 2001 <= m["p"] < 0.01
    back = compare(gold, good, bad, "NER", samples=2000)["micro"]
    assert back["difference"] == -1.0
    assert back["not_better"] == 1.0
    assert back["p"] == m["p"]
    _, seven = weather(7)
    _, six = weather(6)
    close_call = compare(gold, six, seven, "NER", samples=400)["micro"]
    assert close_call["p"] == 1.0
    assert (
        0.2 < close_call["not_better"] < 0.5
    )  # one sentence differs: its swap gives as much; (9/10)^10 = 0.35
    assert close_call == compare(gold, six, seven, "NER", samples=400)["micro"]
    assert close_call != compare(gold, six, seven, "NER", samples=400, seed=1)["micro"]


def test_a_swap_of_everything_gives_the_same_difference():
    """One sentence, swapped or not: p is 1. Credits are thirds here, and a last digit lost made it
    0.3.
    """
    gold, one, two = (
        event(GAMES, ("夺冠", "夺冠", {"冠军": name})) for name in ("刘翔", "刘某某某", "刘翔先生")
    )
    argument = micro(compare([gold], [one], [two], "EE", "duee", samples=20))[1][1]
    assert (argument["a"], argument["b"], argument["p"]) == (
        pytest.approx(1 / 3),
        pytest.approx(2 / 3),
        1.0,
    )


def test_over_orders_gives_mean_and_sample_deviation():
    """One schema order is one draw: a gain smaller than the spread over orders is no gain."""
    gold, _ = weather(10)
    results = [score(gold, weather(right)[1], "NER") for right in (4, 6, 8)]
    spread = over_orders(results)
    assert spread["micro"]["f1"] == {"mean": pytest.approx(0.6), "sd": pytest.approx(0.2)}
    assert spread["runs"] == 3
    assert spread["micro"]["recall"]["sd"] == pytest.approx(statistics.stdev([0.4, 0.6, 0.8]))
    assert [label for label, _ in micro(over_orders([score([SPACE], [SPACE], "EE")] * 2))] == [
        "EE trigger",
        "EE argument",
    ]
    typed, plain = (score([BOOK], [BOOK], "RE", typed=typed) for typed in (True, False))
    assert over_orders([typed, typed])["typed"] is True
    assert "typed" not in over_orders([plain, plain])
    for bad in (results[:1], [results[0], score(gold, gold, "NER", "string")], [typed, plain]):
        with pytest.raises(ValueError, match="expected two or more of one task and mode"):
            over_orders(bad)


# ---- errors


def test_errors_are_told_apart():
    """ "F1 0.4" does not tell a reader whether boundaries, types or recall should be worked on."""
    text = "南京市长江大桥在南京边上，李白"
    gold = ner(
        text,
        ("南京市", "地点", 0),
        ("长江大桥", "建筑", 3),
        ("南京", "地点", 8),
        ("李白", "人物", 13),
    )
    pred = ner(
        text,
        ("南京", "地点", 0),
        ("长江大桥", "地点", 3),
        ("南京", "地点", 8),
        ("边上", "地点", 10),
        ("苏轼", "人物", None),
    )
    (found,) = errors([gold], [pred])
    assert found["sentence"] == text
    assert [item["kind"] for item in found["entities"]] == [
        "wrong_boundary",
        "wrong_type",
        "right",
        "spurious",
        "missed",
        "spurious",
    ]
    assert found["entities"][0]["gold"]["name"] == "南京市"
    assert found["entities"][0]["pred"]["name"] == "南京"
    assert found["entities"][4]["pred"] is None
    assert found["entities"][5]["gold"] is None


def test_errors_do_not_depend_on_the_order_of_the_lists():
    """A student lists its entities in any order:
    of two that overlap a gold one, the left one is its wrong boundary.
    """
    gold = [("长江大桥", "建筑", 3), ("南京市", "地点", 0)]
    pred = [("大桥", "建筑", 5), ("长江", "建筑", 3), ("南京", "地点", 0)]
    listed = [
        errors([ner(BRIDGE, *g)], [ner(BRIDGE, *p)])
        for g in (gold, gold[::-1])
        for p in (pred, pred[::-1])
    ]
    assert all(one == listed[0] for one in listed)
    assert [(e["kind"], e["pred"]["name"]) for e in listed[0][0]["entities"]] == [
        ("wrong_boundary", "南京"),
        ("wrong_boundary", "长江"),
        ("spurious", "大桥"),
    ]


def test_an_unreadable_answer_is_told_from_a_missed_entity():
    """A student that writes broken JSON needs another cure than one that overlooks names."""
    empty = ner(LIBAI["sentence"])
    first, second = errors([LIBAI, LIBAI], [empty, empty], unparsable=[1])
    assert {e["kind"] for e in first["entities"]} == {"missed"}
    assert {e["kind"] for e in second["entities"]} == {"unparsable"}
    assert second["entities"][0] == {
        "kind": "unparsable",
        "gold": LIBAI["entities"][1],
        "pred": None,
    }
    with pytest.raises(
        ValueError, match=r"unparsable has \[2\]; expected numbers of sentences, 0 to 1"
    ):
        errors([LIBAI, LIBAI], [empty, empty], unparsable=[2])


@settings(deadline=None, max_examples=60)
@given(st.integers())
def test_errors_agree_with_the_score(seed):
    """The picture and the table beside it must tell the same story."""
    draw = random.Random(seed)
    gold = [random_record(draw, "NER", full=True) for _ in range(3)]
    pred = [random_record(draw, "NER", g["sentence"], full=True) for g in gold]
    for record in pred:
        for thing in record["entities"][:1]:
            thing["pos"] = None
    m = score(gold, pred, "NER")["micro"]
    items = [item for sentence in errors(gold, pred, [0]) for item in sentence["entities"]]
    assert m["tp"] == sum(item["kind"] == "right" for item in items)
    assert m["gold"] == sum(item["gold"] is not None for item in items)
    assert m["pred"] == sum(item["pred"] is not None for item in items)


# ---- from a shell


def told(capsys, *words):
    """Exit status and what the command printed."""
    status = main(["score", *map(str, words)])
    out = capsys.readouterr()
    return status, out.out + out.err


def scored_with(installed, *words):
    """The `score` command in a Python of its own, where only the standard library, this package
    and `installed` can be imported.
    """
    code = (
        f"import sys\nallowed = sys.stdlib_module_names | {{'miniluotuo_utils', *{installed!r}}}\n"
        "class Only:\n    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] not in allowed: raise ImportError('forbidden: ' + name)\n"
        "sys.meta_path.insert(0, Only())\n"
        "from miniluotuo_utils.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "score", *map(str, words), "--task", "NER"],
        capture_output=True,
        text=True,
    )


def test_two_files_are_scored_where_torch_is_not_installed(tmp_path):
    """Someone with two files and a plain Python must not have to install two gigabytes."""
    path = tmp_path / "gold.jsonl"
    write_jsonl(path, [LIBAI])
    assert "1.0000" in scored_with((), path, path).stdout
    for asked in (["--interval"], ["--against", path]):
        done = scored_with((), path, path, *asked)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "pip install numpy" in done.stderr
    done = scored_with(
        ("numpy",), path, path, "--mode", "span", "--json", "--interval", "--against", path
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)  # exactly one object
    assert result["micro"]["f1"] == 1.0
    assert result["interval"]["micro"]["f1"] == [1.0, 1.0]
    assert result["against"]["micro"]["p"] == 1.0
    assert micro(result) == [("NER", result["micro"])]


def spo_line(text, *triples):
    """A line as CMeIE has it; types by the way."""
    return {
        "text": text,
        "spo_list": [
            {
                "Combined": False,
                "predicate": p,
                "subject": s,
                "subject_type": "疾病",
                "object": {"@value": o},
                "object_type": {"@value": "其他"},
            }
            for s, p, o in triples
        ],
    }


def test_cmeie_files_are_scored_as_they_are(tmp_path, capsys):
    """CBLUE hands out three-sentence example files:
    who has to convert them first converts them wrongly. Counted by hand.
    """
    pneumonia, thyroid = "肺炎链球菌肺炎", "甲状腺功能减退症"
    texts = [
        "肺炎链球菌肺炎的典型症状为寒战、高热，首选青霉素治疗。",
        "甲状腺功能减退症@甲减患者常有怕冷、乏力，检查见TSH升高。",
        "休息后腰痛可以缓解。",
    ]
    gold = [
        (
            (pneumonia, "临床表现", "寒战"),
            (pneumonia, "临床表现", "高热"),
            (pneumonia, "药物治疗", "青霉素"),
        ),
        (
            (thyroid, "同义词", "甲减"),
            (thyroid, "临床表现", "怕冷"),
            (thyroid, "临床表现", "乏力"),
            (thyroid, "实验室检查", "TSH"),
        ),
        (),
    ]
    pred = [
        (
            (pneumonia, "临床表现", "寒战"),
            (pneumonia, "临床表现", "高热"),
            (pneumonia, "药物治疗", "青霉素治疗"),
        ),
        ((thyroid, "同义词", "甲减"), ("甲减", "临床表现", "怕冷"), (thyroid, "实验室检查", "tsh")),
        (("腰痛", "相关", "休息"),),
    ]
    files = [tmp_path / "example_gold.jsonl", tmp_path / "example_pred.jsonl"]
    for path, triples in zip(files, (gold, pred), strict=True):
        write_jsonl(
            path, [spo_line(text, *some) for text, some in zip(texts, triples, strict=True)]
        )
    (tmp_path / "aliases.json").write_text(json.dumps({thyroid: ["甲减"]}), encoding="utf-8")
    for tp, asked in (
        (3, ["--mode", "string"]),
        (3, ["--mode", "span"]),
        (4, ["--mode", "duie"]),
        (5, ["--mode", "duie", "--aliases", tmp_path / "aliases.json"]),
    ):
        status, out = told(capsys, *files, "--task", "RE", "--format", "spo_list", "--json", *asked)
        m = json.loads(out)["micro"]
        assert status == 0
        assert (m["tp"], m["pred"], m["gold"], m["precision"]) == (tp, 7, 7, tp / 7)
    status, out = told(
        capsys, *files, "--task", "RE", "--format", "spo_list", "--against", files[0], "--interval"
    )
    assert status == 0
    assert "RE · span" in out
    assert "example_gold.jsonl against example_pred.jsonl" in out
    assert "RE f1" in out
    assert "no_position 1 · not_in_text 1" in out


def test_the_command_says_what_is_wrong_and_where(tmp_path, capsys):
    """A traceback, or a score of 0 without a word, for a file of the wrong kind."""
    gold, other, bad = tmp_path / "gold.jsonl", tmp_path / "other.jsonl", tmp_path / "bad.json"
    write_jsonl(gold, [LIBAI])
    write_jsonl(other, [LIBAI, LIBAI])
    bad.write_text("{")
    (tmp_path / "schema.json").write_text('"人物"')
    for words, shown in (
        ((gold, gold, "--mode", "exact"), "mode is 'exact'; expected one of span, string"),
        ((gold, gold, "--mode", "duie"), "defined for RE"),
        (
            (gold, gold, "--format", "alpaca"),
            "gold.jsonl: found instruction rows (alpaca), expected IE records",
        ),
        ((gold, gold, "--schema", bad), "bad.json: not JSON"),
        ((gold, tmp_path / "no.jsonl"), "no.jsonl"),
        (
            (gold, gold, "--schema", tmp_path / "schema.json"),
            "schema.json: found a str, expected a list or dict",
        ),
        (
            (gold, gold, "--against", other),
            "gold.jsonl against other.jsonl, line 2: "
            "there is no gold (1 gold, 2 predicted records)",
        ),
        ((gold, gold, "--format", "cluener"), "gold.jsonl, line 1"),
        ((gold, gold, "--format", "clue"), "names are cluener, "),
    ):
        status, out = told(capsys, *words, "--task", "NER")
        assert status == 2
        assert shown in out
    write_jsonl(tmp_path / "events.jsonl", [SPACE])
    for text, shown in (
        ('["发射"]', "for EE expected event type"),
        ('{"发射": 5}', "schema of '发射': found 5, expected a list of roles"),
    ):
        (tmp_path / "roles.json").write_text(text, encoding="utf-8")
        status, out = told(
            capsys,
            *[tmp_path / "events.jsonl"] * 2,
            "--task",
            "EE",
            "--schema",
            tmp_path / "roles.json",
        )
        assert status == 2
        assert shown in out
    status, out = told(capsys, gold, gold, "--task", "NER", "--json")
    assert status == 0
    assert json.loads(out)["micro"]["f1"] == 1.0
    (tmp_path / "schema.json").write_text('["人物"]', encoding="utf-8")
    assert (
        "off_schema 1"
        in told(capsys, gold, gold, "--task", "NER", "--schema", tmp_path / "schema.json")[1]
    )


@pytest.mark.parametrize(
    "gold, pred, misplaced",
    [
        # a CLUENER submission has no text; its end is inclusive
        (
            {
                "text": "李白在碎叶",
                "label": {"人物": {"李白": [[0, 1]]}, "地点": {"碎叶": [[3, 4]]}},
            },
            {"id": 0, "label": {"人物": {"李白": [[0, 1]]}}},
            0,
        ),
        # a span beyond its text, as in real CMeEE outputs
        (
            {
                "text": "李白在碎叶",
                "entities": [{"start_idx": 0, "end_idx": 1, "type": "人物", "entity": "李白"}],
            },
            {
                "text": "李白在碎叶",
                "entities": [
                    {"start_idx": 0, "end_idx": 1, "type": "人物", "entity": "李白"},
                    {"start_idx": 3, "end_idx": 7, "type": "地点", "entity": "碎叶"},
                ],
            },
            1,
        ),
    ],
)
def test_the_command_scores_native_predictions_that_are_slightly_off(
    tmp_path, capsys, gold, pred, misplaced
):
    """A submission file could not be scored at all, however right it was."""
    paths = tmp_path / "gold.jsonl", tmp_path / "pred.jsonl"
    for path, native in zip(paths, (gold, pred), strict=True):
        write_jsonl(path, [native])
    assert main(["score", *map(str, paths), "--task", "NER", "--json"]) in (None, 0)
    result = json.loads(capsys.readouterr().out)
    assert result["micro"]["tp"] == 1
    assert result.get("misplaced", 0) == misplaced
    assert main(["score", *map(str, paths), "--task", "NER", "--strict"]) == 2


def test_silver_gold_is_refused():
    """A student distilled from the annotator would have beaten everything on the annotator's own
    answers."""
    silver = {**EXAMPLES["NER"], "annotation": "silver"}
    with pytest.raises(DataError, match="line 1: the gold record is silver"):
        score([silver], [silver], "NER")
    assert score([EXAMPLES["NER"]], [silver], "NER")["micro"]["pred"] > 0
