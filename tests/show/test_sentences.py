"""Words: what a notebook prints is a sentence, not a dict of a program."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.data.readers import READERS, examples
from miniluotuo_utils.data.readers.spans import places
from miniluotuo_utils.data.steps import RECORD_STEPS, ROW_STEPS
from miniluotuo_utils.show import native, said
from miniluotuo_utils.show.words import WORDS, cut
from miniluotuo_utils.teacher.guided import STOPPED, Grown
from miniluotuo_utils.teacher.limits import Ledger


def test_counters_are_told_in_chinese():
    """Lessons printed `{'asked': 0, 'from_store': 387}` and `because target`."""
    spent = Ledger().spent
    assert set(spent) <= set(WORDS)
    assert {step.name for step in (*ROW_STEPS, *RECORD_STEPS)} <= set(WORDS)
    assert set(places([])) <= set(WORDS)
    assert said(spent).startswith("问了 0 次，从存储里取了 0 次，失败 0 次")
    assert said({"没见过 new": 23}) == "没见过 new 23。 23 没见过 new."
    assert (
        said({"pairs": 0, "equal": None}) == "两人都评了 0 条，等级相同的占 —。 0 pairs, — equal."
    )


@pytest.mark.parametrize("stopped", ["", *STOPPED])
def test_a_grown_set_says_why_it_stopped(stopped):
    """`因为 target 停下` told a class nothing."""
    curve = [{"requests": 36, "generated": 1720, "unique": 2}]
    told = str(Grown(rows=[{}] * 2, curve=curve, stopped=stopped))
    assert told.startswith("得到 2 条（请求 36 次，生成 1,720 条）；")
    assert "2 rows (36 requests, 1,720 generated); " in told
    assert str(Grown()).startswith("得到 0 条")


def test_a_native_record_stays_whole():
    """A cut at 230 characters left half a JSON object, which nobody can read."""
    for name, path in examples().items():
        unit = next(READERS[name].units(path))[1]
        told = native(unit)
        assert len(told) <= 600, name
        if told.startswith(("{", "[")) and not isinstance(unit, str):
            json.loads(told)


@given(st.recursive(st.integers() | st.text(max_size=99), st.lists, max_leaves=40))
def test_any_json_stays_json(value):
    """A list cut in an inner place must still be closed."""
    assert json.loads(native(json.dumps(value), most=60)) is not None
    assert cut("一二三", 2) == "一二…"
