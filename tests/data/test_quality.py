"""The quality model of rows: faults are what they are called, and the model finds them."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.data import clean
from miniluotuo_utils.data.quality import (
    CHINESE,
    FAULTS,
    FEWEST,
    STIFF,
    TAKEN,
    garbled,
    judged,
    novelty,
    planted,
    translated,
    truncated,
)
from miniluotuo_utils.files import DataError, read_jsonl
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.text import folded

BANK = read_jsonl(EMBEDDED / "bank.jsonl")
PROSE = st.text("叶子变黄，因为天气转凉。我们很喜欢秋天的山和水！", min_size=1, max_size=80)


def row(answer: str) -> dict:
    """A row with this answer."""
    return {"instruction": "问", "input": "", "output": answer, "source": "自写"}


@given(PROSE, st.integers())
def test_a_fault_is_what_its_name_says(answer, seed):
    """A fault that leaves the answer as it was teaches the model that good rows are bad."""
    draw = random.Random(seed)
    mixed = garbled(row(answer), draw)
    assert mixed is None or (len(mixed) == len(answer) and Counter(mixed) == Counter(answer))
    cut = truncated(row(answer), draw)
    assert cut is None or (answer.startswith(cut) and len(cut) < len(answer) and cut[-1].isalnum())
    stiff = translated(row(answer), draw)
    assert stiff is None or sum(stiff.count(words) for words in STIFF.values()) >= 3


def test_faults_are_planted_in_turn_and_the_rows_stay_as_they_are():
    """Copies of other rows under a row's number, or the same fault in all of them."""
    before = [dict(one) for one in BANK]
    made = planted(BANK, seed=1)
    assert before == BANK
    assert made == planted(BANK, seed=1) != planted(BANK, seed=2)
    assert {one.fault for one in made} == set(FAULTS) == set(CHINESE)
    for one in made:
        own = BANK[one.number]
        taken = BANK[one.origin]["output"] == one.row["output"]
        assert taken == (one.fault in TAKEN)
        assert folded(one.row["output"]) != folded(own["output"])
        assert {**one.row, "output": ""} == {**own, "output": ""}
    assert len(planted(BANK, most=50)) <= 50


def test_the_model_finds_more_faults_than_it_flags_good_rows():
    """A model that flags as many good rows as bad ones has learned nothing."""
    found = judged(BANK)
    assert len(found.doubts) == len(found.faults) == len(BANK)
    assert all(0 <= doubt <= 1 for doubt in found.doubts)
    assert found.tried["truncated"][1] > 0.5
    assert found.flagged < 0.1
    assert sum(count for count, _ in found.tried.values()) == len(planted(BANK))


def test_an_answer_that_was_taken_is_no_better_known_than_others():
    """Every pair of its characters stood in the row that it was taken from: nine of ten taken
    answers were found by that, which no wrong answer of a person's file would be."""
    made = [one for one in planted(BANK, seed=1) if one.fault in TAKEN]
    rows = [*BANK, *(one.row for one in made)]
    origins = [*range(len(BANK)), *(one.origin for one in made)]
    for column in novelty(rows, origins):
        of_copies = column[len(BANK) :].tolist()
        assert of_copies == [column[one.origin] for one in made]


def test_rows_that_the_student_cannot_read_are_neither_good_nor_bad():
    """A row too long for the context had no bits, and the table a hole."""
    costs = [None, 2.0, 3.0]
    found = judged(BANK, lambda rows: [costs[n % 3] for n in range(len(rows))])
    assert len(found.doubts) == len(BANK)


def test_too_few_rows_are_refused():
    """Ten rows make a model that knows them by heart."""
    with pytest.raises(DataError, match=f"found 10 rows, expected at least {FEWEST}"):
        judged(BANK[:10])


def test_what_quality_doubts_is_counted_and_shown():
    """Rows went without a word of why."""
    rows = [row(answer) for answer in ("李白是唐代的诗人。", "杜甫也是唐代的诗人。")]
    rows[1]["instruction"] = "另一问"
    doubts = [None, ("doubtful", {"doubt": 0.93, "like": "truncated"})]
    kept, report = clean(rows, quality=lambda left: doubts[: len(left)])
    assert kept == rows[:1]
    assert report.removed["doubtful"] == 1
    assert report.examples["doubtful"] == [{"row": rows[1], "doubt": 0.93, "like": "truncated"}]
    assert "doubtful" not in clean(rows)[1].removed
