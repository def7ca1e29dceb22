"""Check a learner's answer: not done yet, right, or not right and why, in one printed line.

In: an answer, what it should be, reasons for the usual mistakes. Out: a line. Shown in every
notebook's exercises.
"""

from __future__ import annotations

import ast
import copy
import dis
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from types import FunctionType
from typing import Any

from miniluotuo_utils.show.mistakes import Why, mistake, plain, same, short

OPEN, RIGHT, WRONG = "还没做 · not done yet", "对 · right", "不对，因为"
Reasons = Mapping[Any, str] | Sequence[tuple[Any, str]]


class Unfinished(Exception):
    """A blank was met while an answer was tried."""


def check(answer: object, expected: Any, reasons: Reasons = (), tolerance: float = 1e-4) -> None:
    """Print whether an answer is not done yet, right, or not right and why. Never raises.

    `expected` is the value itself; for a function a list of `(arguments, result)`, where several
    arguments are a tuple; or a test that takes the answer and returns True, False or a reason.
    `reasons` maps a usual wrong value, or a test of the answer, to "中文 · English"; for a function
    it may name a usual wrong function, which is recognised by its results. Numbers agree within
    `tolerance`, relative; whole numbers exactly.

    >>> check(..., 3)
    还没做 · not done yet
    >>> check(3, 3)
    对 · right
    >>> check(9, 3, {9: "数的是字节，不是字 · these are bytes, not characters"})
    不对，因为数的是字节，不是字 · not right: these are bytes, not characters
    >>> check(len, [("茶", 1), ("骆驼", 2)])
    对 · right
    >>> check("北京", lambda name: "山" in name or "要一座山 · a mountain is asked for")
    不对，因为要一座山 · not right: a mountain is asked for
    """
    print(verdict(answer, expected, reasons, tolerance))


def verdict(answer: object, expected: Any, reasons: Reasons, tolerance: float) -> str:
    """Return the line that `check` prints."""
    # A learner's object may fail in any way, and Run all must go on behind it.
    try:
        if is_open(answer):
            return OPEN
        why = fault(answer, expected, reasons, tolerance)
    except Unfinished:
        return OPEN
    except Exception as error:
        if is_of_blank(error):
            return OPEN
        why = raised("检查它", "checking it", error)
    return f"{WRONG}{why.chinese} · not right: {why.english}" if why else RIGHT


def fault(answer: Any, expected: Any, reasons: Reasons, tolerance: float) -> Why | None:
    """Return why an answer is not right, None where it is."""
    if callable(expected):
        found = expected(answer)
        if isinstance(found, str):
            return in_both(found)
        return None if found else value_fault(answer, None, reasons, tolerance)
    if callable(answer) and is_cases(expected):
        return function_fault(answer, expected, reasons, tolerance)
    if same(answer, expected, tolerance):
        return None
    return value_fault(answer, expected, reasons, tolerance)


def is_cases(expected: object) -> bool:
    """Return whether an expectation is a list of pairs: arguments and result."""
    return isinstance(expected, list) and all(
        isinstance(case, tuple) and len(case) == 2 for case in expected
    )


def in_both(words: str) -> Why:
    """Return "中文 · English" as its two parts; words of one language stand for both."""
    chinese, _, english = words.partition(" · ")
    return Why(chinese, english or chinese)


def value_fault(answer: Any, expected: Any, reasons: Reasons, tolerance: float) -> Why:
    """Return why a value is not right: a given reason, a usual mistake, or only that it is not."""
    for wrong, words in listed(reasons):
        if holds(wrong, answer) if callable(wrong) else same(answer, wrong, tolerance):
            return in_both(words)
    usual = None
    if answer is None or expected is not None:
        usual = mistake(answer, expected, tolerance)
    if usual:
        return usual
    answer, expected = plain(answer), plain(expected)
    if isinstance(expected, Real) and not isinstance(expected, bool):
        large = answer > expected
        return Why(
            f"{short(answer)} 太{'大' if large else '小'}了",
            f"{short(answer)} is too {'large' if large else 'small'}",
        )
    return Why(f"答案不是 {short(answer)}", f"the answer is not {short(answer)}")


def listed(reasons: Reasons) -> list[tuple[Any, str]]:
    """Return the reasons as pairs."""
    return list(reasons.items() if isinstance(reasons, Mapping) else reasons)


def holds(test: Callable[[Any], object], answer: object) -> bool:
    """Return whether a test holds of an answer; one that cannot be tried does not."""
    try:
        return bool(test(answer))
    except Exception:
        return False


def function_fault(
    function: Callable, cases: Sequence[tuple], reasons: Reasons, tolerance: float
) -> Why | None:
    """Return the first case in which a function is not right, None where all are."""
    # All cases first: a usual wrong function is known by all of its results.
    results = [outcome(function, given) for given, _ in cases]
    for (given, expected), found in zip(cases, results, strict=True):
        if isinstance(found, Failure):
            return found.why
        if not same(found, expected, tolerance):
            for wrong, words in listed(reasons):
                if same_results(wrong, cases, results, found, tolerance):
                    return in_both(words)
            return case_fault(called(function, given), found, expected, tolerance)
    return None


class Failure:
    """What a call that raised leaves in place of a result."""

    def __init__(self, why: Why) -> None:
        self.why = why


def arguments_of(given: object) -> tuple:
    """Return a case's arguments, copied where a function could change them for the next case."""
    arguments = given if isinstance(given, tuple) else (given,)
    changeable = (list, dict, set)
    return tuple(copy.deepcopy(a) if isinstance(a, changeable) else a for a in arguments)


def called(function: Callable, given: object) -> str:
    """Return a call as it would be typed.

    >>> called(max, (1, 2)), called(len, "茶")
    ('max(1, 2)', "len('茶')")
    """
    name = getattr(function, "__name__", type(function).__name__)
    return f"{name}({', '.join(map(short, arguments_of(given)))})"


def outcome(function: Callable, given: object) -> object:
    """Return what a function gives for a case, or the Failure. Raises Unfinished at a blank."""
    try:
        found = function(*arguments_of(given))
    except (Exception, SystemExit) as error:
        if is_of_blank(error):
            raise Unfinished from None
        call = called(function, given)
        return Failure(raised(call, call, error, function))
    if is_open(found):
        raise Unfinished
    return found


def is_of_blank(error: BaseException) -> bool:
    """Return whether a line failed because it computes with a blank.

    >>> is_of_blank(TypeError("unsupported operand type(s) for +: 'int' and 'ellipsis'"))
    True
    """
    return "ellipsis" in str(error).lower()


def raised(
    chinese: str, english: str, error: BaseException, function: Callable | None = None
) -> Why:
    """Return what failed, with which error, and in which line of the function."""
    name, lines = f"{type(error).__name__}: {short_message(error)}", []
    code = getattr(inspect.unwrap(function), "__code__", None) if function else None
    trace = error.__traceback__
    while trace and code:
        if trace.tb_frame.f_code is code:
            lines = [trace.tb_lineno - code.co_firstlineno + 1]
        trace = trace.tb_next
    place, where = (f"（函数第 {lines[0]} 行）", f" (line {lines[0]} of it)") if lines else ("", "")
    return Why(f"{chinese} 报错 {name}{place}", f"{english} raised {name}{where}")


def short_message(error: BaseException) -> str:
    """Return an error's first line, cut where it is long."""
    lines = str(error).splitlines()
    return lines[0][:120] if lines else ""


def same_results(
    wrong: Any, cases: Sequence[tuple], results: Sequence, found: object, tolerance: float
) -> bool:
    """Return whether a usual wrong function gave all these results, or a wrong value this one."""
    if not callable(wrong):
        return same(found, wrong, tolerance)
    try:
        theirs = [wrong(*arguments_of(given)) for given, _ in cases]
    except Exception:
        return False
    return all(same(a, b, tolerance) for a, b in zip(results, theirs, strict=True))


def case_fault(call: str, found: object, expected: object, tolerance: float) -> Why:
    """Return what a case should give and gave, with the usual mistake where it is known."""
    chinese = f"{call} 应得 {short(expected)}，得到的是 {short(found)}"
    english = f"{call} should give {short(expected)}, it gave {short(found)}"
    usual = mistake(found, expected, tolerance)
    if usual and found is None:
        usual = Why(
            "用 return 交出结果，只 print 不算", "return the result; printing it is not enough"
        )
    return (
        Why(f"{chinese}：{usual.chinese}", f"{english}: {usual.english}")
        if usual
        else Why(chinese, english)
    )


# ---- is it still open?


def blank() -> None: ...


def is_open(answer: Any) -> bool:
    """Return whether an answer is still a blank: `...`, a thing that holds one, an empty function.

    >>> is_open([1, ...]), is_open(blank), is_open(0), is_open(len)
    (True, True, False, False)
    """
    if answer is ...:
        return True
    if isinstance(answer, Mapping):
        return any(map(is_open, answer.values()))
    if isinstance(answer, list | tuple | set | frozenset):
        return any(map(is_open, answer))
    if inspect.isclass(answer):
        return any(map(is_open_function, vars(answer).values()))
    # Of a thing that can be called only what a call does: libraries have empty methods, too.
    called_for = [vars(type(answer)).get(name) for name in ("__call__", "forward")]
    return any(map(is_open_function, [answer, *called_for]))


def is_open_function(function: object) -> bool:
    """Return whether a function does nothing, or holds a `...` where a statement or value stands.

    `x[..., 0]` is no blank. Without its source, a function of which only a part is blank is not
    recognised.
    """
    function = inspect.unwrap(function) if callable(function) else function
    function = getattr(function, "__func__", function)
    if not isinstance(function, FunctionType):
        return False
    if steps(function) == steps(blank):
        return True
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False
    return isinstance(tree.body[0], ast.FunctionDef) and any(map(is_blank, ast.walk(tree)))


def steps(function: FunctionType) -> list[tuple[str, object]]:
    """Return what the interpreter does in a function; a docstring changes nothing of it."""
    return [(step.opname, step.argval) for step in dis.get_instructions(function)]


def is_blank(node: ast.AST) -> bool:
    """Return whether a statement is `...`, or assigns or returns it."""
    statements = ast.Expr | ast.Assign | ast.AnnAssign | ast.Return
    value = node.value if isinstance(node, statements) else None
    return isinstance(value, ast.Constant) and value.value is ...
