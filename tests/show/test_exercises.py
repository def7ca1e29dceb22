"""`check`: nobody who did nothing is told 对, what learners really type gets its reason, and
nothing that they type stops Run all or makes the right answer known."""

from __future__ import annotations

import math
from functools import cache
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.show.exercises import OPEN, RIGHT, check, is_open, verdict


def said(capsys, *arguments, **options) -> str:
    """The line that `check` prints; it is one line, whatever the answer."""
    assert check(*arguments, **options) is None
    line = capsys.readouterr().out
    assert line.endswith("\n")
    assert line.count("\n") == 1
    return line[:-1]


def blank(text): ...


def documented(text):
    """Count something."""


def passed(text):
    pass


def half(gold, pred):
    right = ...
    return right / len(pred)


def ends(gold, pred):
    print(gold, pred)
    ...


def returned(text):
    return ...


class Half:
    """A class of which one method is still to be written."""

    def __init__(self, rank):
        self.rank = rank

    def __call__(self, x): ...


@pytest.mark.parametrize(
    "answer",
    [..., [1, ...], (..., 2), {"人物": ...}, {"a": [{"b": ...}]}, blank, documented, passed, half],
)
@pytest.mark.parametrize("expected", [3, "茶", [1, 2], [("茶", 1)], lambda answer: True])
def test_a_blank_is_never_right_nor_wrong(capsys, answer, expected):
    """The course printed 通过 to learners who had typed nothing."""
    assert said(capsys, answer, expected) == OPEN


@pytest.mark.parametrize(
    "answer",
    [ends, returned, Half, lambda text: ..., lambda text: [..., 1], Half(4), Half(4).__call__],
)
def test_a_blank_inside_is_met(capsys, answer):
    """A scaffold that is filled to the half is not wrong yet."""
    assert said(capsys, answer, [("茶", 1)]) == OPEN


def test_a_blank_that_other_lines_compute_with_is_met(capsys):
    """`right / total` of two blanks raises, and the learner saw an error that is not their own."""
    namespace = {}
    exec(
        "def f(n):\n    x = helper(n)\n    return x * 2\ndef helper(n):\n    return ...", namespace
    )
    assert said(capsys, namespace["f"], [(2, 4)]) == OPEN
    assert said(capsys, namespace["f"], lambda f: f(2) == 4) == OPEN


def test_a_blank_behind_a_decorator_is_met(capsys):
    """`@torch.no_grad()` and `@cache` stand above what learners write, too."""
    assert said(capsys, torch.no_grad()(blank), [("茶", 1)]) == OPEN
    assert said(capsys, cache(half), [((1, [2]), 1)]) == OPEN


def test_a_thing_with_an_empty_method_is_no_blank(capsys):
    """Models and tokenizers of libraries have methods that do nothing."""

    class Model:
        def post_init(self):
            pass

        def __call__(self, x):
            return 2 * x

    assert said(capsys, Model(), [(2, 4)]) == RIGHT
    assert said(capsys, torch.nn.Identity(), [(2, 2)]) == RIGHT


def test_an_ellipsis_that_selects_is_no_blank(capsys):
    """`logits[..., :-1, :]` is what the shift is written with."""

    def shift(logits):
        return logits[..., :-1, :]

    assert not is_open(shift)
    logits = torch.arange(12.0).reshape(1, 3, 4)
    assert said(capsys, shift, [(logits, logits[:, :2])]) == RIGHT


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (0.571428, 4 / 7),
        (np.float32(0.1), 0.1),
        (torch.tensor(2.5, requires_grad=True), 2.5),
        (2.0, 2),
        (6.999999999, 7),
        (np.int64(7), 7),
        (math.nan, math.nan),
        ((0, 2), [0, 2]),
        ([1, 2], torch.tensor([1, 2])),
        (torch.tensor([1, 2]), [1, 2]),
        (torch.tensor([0.5], dtype=torch.bfloat16), np.array([0.5])),
        ({"地点": ("北京",)}, {"地点": ["北京"]}),
        ({1, 2}, {2, 1}),
        (True, True),
        (None, None),
        ("", ""),
        (np.array(["茶"]), np.array(["茶"])),
    ],
)
def test_what_means_the_same_is_right(capsys, answer, expected):
    """A right answer that is refused for its type teaches distrust."""
    assert said(capsys, answer, expected) == RIGHT


@pytest.mark.parametrize(
    ("answer", "expected", "reason"),
    [
        (None, 3, "it is None: print hands nothing over"),
        ("3", 3, "it is text, not a number: leave out the quotes"),
        ((3,), 3, "a comma at the end of the line makes it a tuple"),
        ([3], 3, "it is a list, expected a number"),
        (True, 1, "it is a truth value, expected a number"),
        (len, 3, "it is a function: call it"),
        (4, 3, "off by one"),
        (2, 3, "off by one"),
        (57.142857, 4 / 7, "it is a percentage"),
        (0.42, 42, "it is a share"),
        (-2.3026, 2.302585, "the sign is reversed"),
        (1.75, 4 / 7, "upside down"),
        (0.57, 4 / 7, "rounded too early"),
        (math.nan, 4 / 7, "it is NaN"),
        (math.inf, 4 / 7, "it is infinite"),
        (9, 3, "9 is too large"),
        (-9, 3, "-9 is too small"),
        ("茶圣 ", "茶圣", "only spaces at its ends"),
        ("茶\n圣", "茶圣", "only white space"),
        ("gpt-2", "GPT-2", "upper and lower case"),
        ("（茶）", "(茶)", "the width of characters"),
        ("“茶圣”", "茶圣", "only quotes"),
        ("茶", "茶圣", "only a part"),
        ("茶圣陆羽", "茶圣", "more than that"),
        ("咖啡", "茶圣", "the answer is not '咖啡'"),
        ([2, 1, 3], [1, 2, 3], "their order is not"),
        ([2, 3, 9], [1, 2, 3], "shifted by one place"),
        ([1], [1, 2], "it has 1 items, too few"),
        ([1, 2, 3], [1, 2], "it has 3 items, too many"),
        ([1, "2", 5], [1, 2, 9], "item 1 (counted from 0): it is text"),
        ([1, 7, 5], [1, 2, 9], "item 1 (counted from 0): not right"),
        ({"人物": [], "地点": []}, {"人物": []}, "the key '地点' is too many"),
        ({}, {"人物": []}, "keys that are missing: 1"),
        ({"人物": [1]}, {"人物": []}, "the value of '人物': it has 1 items"),
        ({1, 9}, {1, 2}, "9 is too many"),
        ({1}, {1, 2}, "items that are missing: 1"),
        (torch.ones(2, 3), torch.ones(3, 2), "its shape is (2, 3), expected (3, 2)"),
        (torch.tensor([1.0, 9.0]), torch.ones(2), "1 / 2 of its numbers are not, the first at [1]"),
        (np.array([1.0, np.nan]), np.ones(2), "there are NaN in it"),
        ("茶", np.ones(2), "it is text, expected a tensor or array"),
        ([[1], [1, 2]], np.ones((2, 2)), "it is a list, expected a tensor or array"),
        ({1: 2}, [1, 2], "it is a dictionary, expected a list"),
        (range(3).__iter__(), [0, 1, 2], "it is of type range_iterator, expected a list"),
        (10001, 10000, "off by one"),
        (torch.tensor([10001]), torch.tensor([10000]), "1 / 1 of its numbers"),
    ],
)
def test_what_learners_type_gets_its_reason(capsys, answer, expected, reason):
    """不对 alone sends a class to the lecturer; the reason is nearly always one of these."""
    line = said(capsys, answer, expected)
    assert line.startswith("不对，因为")
    assert reason in line.partition(" · not right: ")[2]


def test_given_reasons_come_first(capsys):
    """What is wrong in the matter says more than what is wrong in the form."""
    by_value = {6: "数的是字节 · these are bytes"}
    assert said(capsys, 6, 2, by_value).endswith("数的是字节 · not right: these are bytes")
    tests = [(lambda n: n > 100, "太多 · too many"), ([1], "一项 · one item"), (7.5, "只有中文")]
    assert said(capsys, 200, 2, tests).endswith("太多 · not right: too many")
    assert said(capsys, [1], 2, tests).endswith("一项 · not right: one item")
    assert said(capsys, 7.5, 2, tests).endswith("只有中文 · not right: 只有中文")
    assert "it is text" in said(capsys, "200", 2, tests), "a test that cannot be tried is passed by"


def macro(pairs):
    """A usual wrong mean."""
    return sum(a / b for a, b in pairs) / len(pairs)


CASES = [([(1, 1)], 1.0), ([(1, 2), (1, 8)], 0.2)]


def test_a_function_is_tried_on_cases(capsys):
    """One lucky number is no function."""
    assert (
        said(capsys, lambda pairs: sum(a for a, _ in pairs) / sum(b for _, b in pairs), CASES)
        == RIGHT
    )
    line = said(capsys, macro, CASES)
    assert "macro([(1, 2), (1, 8)]) should give 0.2, it gave 0.3125" in line
    mean = [(macro, "这是宏平均 · this is the macro mean")]
    assert said(capsys, lambda p: macro(p), CASES, mean).endswith("this is the macro mean")
    assert "macro mean" not in said(capsys, lambda pairs: 0.3125, CASES, mean)
    assert said(capsys, lambda pairs: 0.5, CASES, {0.5: "总是一半 · always a half"}).endswith(
        "a half"
    )
    assert "return the result; printing" in said(capsys, lambda pairs: pairs.clear(), CASES)


def test_a_function_may_change_what_it_is_given(capsys):
    """`pop` emptied the list of the next case, and a right function was called wrong."""
    cases = [([1, 2], 3), ([1, 2], 3)]
    assert said(capsys, lambda numbers: numbers.pop() + numbers.pop(), cases) == RIGHT
    assert cases[0][0] == [1, 2]


def test_several_arguments_are_a_tuple(capsys):
    """Gold and predictions are two things."""
    assert said(capsys, max, [((1, 2), 2), ((5, 3), 5)]) == RIGHT
    assert "max(1, 2) should give 1, it gave 2" in said(capsys, max, [((1, 2), 1)])


def test_an_error_is_told_and_stops_nothing(capsys):
    """A traceback in the middle of Run all ends the lesson for whoever typed it."""

    def wrong(n):
        m = n
        return m[0]

    line = said(capsys, wrong, [(3, 3)])
    assert "wrong(3) raised TypeError: 'int' object is not subscriptable (line 3 of it)" in line
    assert "raised RecursionError" in said(capsys, endless, [(3, 3)])
    assert "raised SystemExit" in said(capsys, lambda n: exit_now(), [(3, 3)])
    broken = Mock(spec=["__eq__"])
    broken.__eq__ = Mock(side_effect=ValueError("no\ncomparison"))
    assert "不对" in said(capsys, broken, 3)
    assert "checking it raised KeyError" in said(capsys, {}, lambda answer: answer["人物"])
    with pytest.raises(KeyboardInterrupt):
        check(interrupted, [(1, 1)])


def endless(n):
    """Never comes to its end."""
    return endless(n)


def exit_now():
    """End the process, as some do."""
    raise SystemExit(0)


def interrupted(n):
    """A learner presses stop."""
    raise KeyboardInterrupt


def test_a_test_may_answer_with_a_reason(capsys):
    """Where many answers are right there is no value to compare with."""
    asked = lambda text: "骆驼" in text or "里面要有骆驼 · a camel is asked for"  # noqa: E731
    assert said(capsys, "一头骆驼", asked) == RIGHT
    assert (
        said(capsys, "一匹马", asked) == "不对，因为里面要有骆驼 · not right: a camel is asked for"
    )
    assert "it is None" in said(capsys, None, lambda text: False)
    assert "the answer is not '马'" in said(capsys, "马", lambda text: False)
    assert said(capsys, 3, lambda n: np.bool_(True)) == RIGHT


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.tuples(inner)
    ),
    max_leaves=6,
)


@given(VALUES, VALUES)
def test_whatever_is_typed_one_line_comes_out(answer, expected):
    """The check of an exercise must never be what fails."""
    line = verdict(answer, expected, (), 1e-4)
    assert line == RIGHT or line.startswith("不对，因为")
    assert "\n" not in line
    assert "报错" not in line
    assert verdict(expected, expected, (), 1e-4) == RIGHT


@given(st.floats(-1e6, 1e6), st.floats(1e3, 1e6) | st.integers(1000, 10**6))
def test_the_right_number_is_not_told(answer, expected):
    """Whoever reads the answer in the error learns to read errors, not to count."""
    line = verdict(answer, expected, (), 1e-4)
    assert line == RIGHT or str(expected) not in line.replace(repr(answer), "")


@given(st.text("茶圣陆羽", min_size=3, max_size=6), st.text("茶圣陆羽 ", min_size=1, max_size=6))
def test_the_right_text_is_not_told(expected, answer):
    """The same for words."""
    line = verdict(answer, expected, (), 1e-4)
    assert line == RIGHT or expected not in line.replace(repr(answer), "")
