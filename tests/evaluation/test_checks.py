"""Questions that a program can judge: our own answers keep their checks, and empty ones do not."""

import pytest

from miniluotuo_utils.data.decontamination import Leaks
from miniluotuo_utils.data.loading import read
from miniluotuo_utils.evaluation.checks import KINDS, SETS, keeps, questions
from miniluotuo_utils.files import DataError, read_jsonl, write_jsonl
from miniluotuo_utils.runtime import EMBEDDED

EVERY = [row for name in SETS for row in questions(name)]


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row["id"])
def test_the_right_answer_is_right_and_no_answer_is_wrong(row):
    """A check that its own answer breaks, or that anything keeps, measures nothing."""
    assert keeps(row["output"], row["checks"])
    for poor in ("", "我不知道", row["instruction"], "好的，没问题。" * 5):
        assert not keeps(poor, row["checks"]), poor


def test_the_questions_are_of_every_kind_and_once_each():
    """A kind of check that no question has is dead code."""
    assert {check["kind"] for row in EVERY for check in row["checks"]} == set(KINDS)
    assert len({row["id"] for row in EVERY}) == len(EVERY) == 68
    assert len({row["instruction"] + row["input"] for row in EVERY}) == len(EVERY)


def test_no_question_stands_in_what_students_are_trained_on():
    """A student that learned the answers by heart scores well."""
    leaks = Leaks({"questions": [row["instruction"] + row["input"] for row in EVERY]})
    trained = [row["instruction"] + row["input"] for row in read_jsonl(EMBEDDED / "bank.jsonl")]
    trained += [row["instruction"] for row in read_jsonl(EMBEDDED / "seeds.jsonl")]
    trained += [row["instruction"] for row in read("embedded-cot", "train", progress=False)]
    assert not any(leaks.found_in([text] for text in trained))


def test_an_unknown_check_names_its_line(tmp_path):
    """A misspelt check was kept by every answer."""
    path = tmp_path / "mine.jsonl"
    write_jsonl(path, [{**EVERY[0], "checks": [{"kind": "nubmer", "value": 3}]}])
    with pytest.raises(DataError, match=r"mine.jsonl, line 1, .*'nubmer'.*number"):
        questions(path)
    with pytest.raises(ValueError, match="questions is 'resoning'"):
        questions("resoning")
