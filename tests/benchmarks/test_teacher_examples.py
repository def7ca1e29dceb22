"""What the benchmark of examples counts, on a teacher whose replies are known."""

import pytest
from teacher_examples import MOST, measured

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.teacher import RecordedTeacher, Teacher


@pytest.mark.parametrize("examples", range(MOST + 1))
def test_the_recorded_teacher_writes_well_whatever_it_is_shown(examples):
    """The stand-in keeps to the tags, so every piece counts; without examples it is asked the same
    three times, and a third of what it says is new."""
    bank = read_jsonl(EMBEDDED / "bank.jsonl")
    seeds = read_jsonl(EMBEDDED / "seeds.jsonl")
    with RecordedTeacher(bank) as server:
        teacher = Teacher(server.base_url, server.model)
        rates = measured(teacher, seeds, examples, 3)
    assert rates["written"] == 20
    assert rates["well_formed"] == 1
    assert (rates["new"] == pytest.approx(1 / 3)) == (examples == 0)
    assert 0 < rates["new"] <= 1
