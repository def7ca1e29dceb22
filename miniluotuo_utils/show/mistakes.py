"""Compare an answer with what it should be, and name the usual mistake behind it.

In: two values. Out: whether they are the same, or why not, in both languages, never the value
itself. Shown in every notebook's exercises.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence, Set
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Why(NamedTuple):
    """A reason in both languages."""

    chinese: str
    english: str


KINDS = (
    (bool, Why("真假值", "a truth value")),
    (Real, Why("数", "a number")),
    (str, Why("文字", "text")),
    (bytes, Why("字节", "bytes")),
    (Sequence, Why("列表", "a list")),
    (Mapping, Why("字典", "a dictionary")),
    (Set, Why("集合", "a set")),
)
ARRAY = Why("张量或数组", "a tensor or array")


def kind(value: object) -> Why:
    """Return what a value is, in a learner's words.

    >>> kind(0.5).english, kind([1]).chinese, kind((1,)).chinese
    ('a number', '列表', '列表')
    """
    if is_array(value):
        return ARRAY
    names = [names for types, names in KINDS if isinstance(value, types)]
    name = type(value).__name__
    return names[0] if names else Why(f" {name}", f"of type {name}")


def is_array(value: object) -> bool:
    """Return whether a value is a tensor or array, without loading torch or numpy."""
    has_both = hasattr(value, "shape") and hasattr(value, "dtype")
    return has_both and not isinstance(value, type)


def as_array(value: Any) -> np.ndarray:
    """Return a tensor, an array or nested lists as an array. ValueError for ragged lists."""
    import numpy as np

    # numpy has no bfloat16, and takes neither gradients nor a GPU's memory.
    return value.detach().double().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


def plain(value: Any) -> Any:
    """Return a tensor or array of no dimension as the number that it holds, all else as it is."""
    return value.item() if is_array(value) and len(value.shape) == 0 else value


def same(found: object, expected: object, tolerance: float) -> bool:
    """Return whether two values agree: numbers up to a relative tolerance, whole numbers exactly.

    A tuple may stand for a list, a list for an array, NaN agrees with NaN.

    >>> same([0.33333, "茶"], (1 / 3, "茶"), 1e-4), same(10001, 10000, 1e-4), same(1, True, 0)
    (True, False, False)
    """
    found, expected = plain(found), plain(expected)
    if is_array(found) or is_array(expected):
        return same_arrays(found, expected, tolerance)
    if kind(found) != kind(expected):
        return False
    if isinstance(expected, Real):
        return same_numbers(found, expected, tolerance)
    if isinstance(expected, Mapping):
        alike = found.keys() == expected.keys()
        return alike and all(same(found[key], expected[key], tolerance) for key in expected)
    if isinstance(expected, Sequence) and not isinstance(expected, str | bytes):
        pairs = zip(found, expected, strict=False)
        return len(found) == len(expected) and all(same(a, b, tolerance) for a, b in pairs)
    return bool(found == expected)


def same_numbers(found: Any, expected: Any, tolerance: float) -> bool:
    """Return whether two numbers agree; near 0 a hundredth of the tolerance is allowed."""
    if isinstance(expected, Integral):
        return abs(found - expected) <= min(tolerance / 100, 1e-6)
    nothing = math.isnan(found) and math.isnan(expected)
    return nothing or math.isclose(found, expected, rel_tol=tolerance, abs_tol=tolerance / 100)


def same_arrays(found: object, expected: object, tolerance: float) -> bool:
    """Return whether two values agree as arrays of one shape."""
    try:
        one, other = as_array(found), as_array(expected)
    except (TypeError, ValueError):
        return False
    return one.shape == other.shape and bool(agreeing(one, other, tolerance).all())


def agreeing(found: np.ndarray, expected: np.ndarray, tolerance: float) -> np.ndarray:
    """Return where two arrays of one shape agree; whole numbers must be equal."""
    import numpy as np

    if found.dtype.kind not in "fiub" or expected.dtype.kind not in "fiub":
        return np.asarray(found == expected)
    # A token id is right or wrong: 10001 is not nearly 10000.
    if np.array_equal(expected, np.round(expected)):
        return np.isclose(found, expected, rtol=0, atol=tolerance / 100)
    return np.isclose(found, expected, rtol=tolerance, atol=tolerance / 100, equal_nan=True)


def mistake(found: object, expected: object, tolerance: float) -> Why | None:
    """Return the usual mistake that turns `expected` into `found`, None for an unusual one.

    >>> mistake("3", 3, 1e-4).english
    'it is text, not a number: leave out the quotes'
    >>> mistake(57.14, 0.5714, 1e-4).english
    'it is a percentage, expected a share between 0 and 1'
    """
    found, expected = plain(found), plain(expected)
    if found is None:
        return Why(
            "它是 None：print 不交出结果，要用 return 或等号",
            "it is None: print hands nothing over; use return, or assign the value",
        )
    if callable(found):
        return Why("它是函数，还没有调用：后面加上括号", "it is a function: call it, with brackets")
    if is_array(expected) or is_array(found):
        return of_array(found, expected, tolerance)
    if kind(found) != kind(expected):
        return of_kind(found, expected)
    for types, look in LOOKS:
        if isinstance(expected, types):
            return look(found, expected, tolerance)
    return None


def of_kind(found: object, expected: object) -> Why:
    """Return what to say of an answer that is another kind of thing."""
    if isinstance(expected, Real) and isinstance(found, str):
        return Why("它是文字，不是数：去掉引号", "it is text, not a number: leave out the quotes")
    if isinstance(found, tuple) and len(found) == 1 and kind(found[0]) == kind(expected):
        return Why(
            "行末多了一个逗号，它成了元组", "a comma at the end of the line makes it a tuple"
        )
    is_, wanted = kind(found), kind(expected)
    return Why(
        f"它是{is_.chinese}，要的是{wanted.chinese}",
        f"it is {is_.english}, expected {wanted.english}",
    )


def of_number(found: Any, expected: Any, tolerance: float) -> Why | None:
    """Return the usual mistake of a number."""
    if math.isnan(found):
        return Why(
            "它是 NaN：是不是除以了零，或者对空的取了平均？",
            "it is NaN: a division by zero, or the mean of nothing?",
        )
    if math.isinf(found):
        return Why("它是无穷大：是不是取了零的对数？", "it is infinite: the logarithm of zero?")
    if isinstance(expected, Integral) and abs(found - expected) == 1:
        return Why(
            "差一：从 0 还是从 1 数起？两头算不算？",
            "it is off by one: does counting begin at 0, are both ends included?",
        )
    for made, why in arithmetic(expected):
        if same_numbers(found, float(made), tolerance):
            return why
    if any(found == round(expected, digits) for digits in range(1, 5)):
        return Why("四舍五入太早，多留几位", "it is rounded too early: keep more digits")
    return None


def arithmetic(expected: Any) -> list[tuple[float, Why]]:
    """Return the numbers that a slip of arithmetic makes of the right one, each with its reason."""
    if not expected or not math.isfinite(expected):
        return []
    slips = [
        (-expected, Why("正负号反了", "the sign is reversed")),
        (1 / expected, Why("除反了：分子和分母对调", "it is upside down: swap what is divided")),
    ]
    share = Why(
        "它是百分数，要的是 0 到 1 的数", "it is a percentage, expected a share between 0 and 1"
    )
    percent = Why("它是 0 到 1 的数，要的是百分数", "it is a share, expected a percentage")
    if abs(expected) <= 1:
        slips.append((100 * expected, share))
    elif abs(expected) <= 100:
        slips.append((expected / 100, percent))
    # 1 is its own inverse, 10 is a hundred times its own.
    return [(made, why) for made, why in slips if made != expected]


def of_text(found: str, expected: str, tolerance: float) -> Why | None:
    """Return the usual mistake of a text."""
    edits = (
        (str.strip, Why("只差首尾的空白", "only spaces at its ends differ")),
        (lambda text: "".join(text.split()), Why("只差空白或换行", "only white space differs")),
        (str.casefold, Why("只差大小写", "only upper and lower case differ")),
        (
            lambda text: unicodedata.normalize("NFKC", text),
            Why("只差全角半角", "only the width of characters differs"),
        ),
        (lambda text: text.strip("\"'“”‘’「」"), Why("只差引号", "only quotes differ")),
    )
    for edit, why in edits:
        if edit(found) == edit(expected):
            return why
    if found and found in expected:
        return Why("它只是答案的一部分", "it is only a part of the answer")
    if expected and expected in found:
        return Why("答案在里面，但还有多余的字", "the answer is in it, and more than that")
    return None


def of_list(found: Sequence, expected: Sequence, tolerance: float) -> Why | None:
    """Return the usual mistake of a list."""
    if len(found) == len(expected) > 2:
        forth, back = (found[1:], expected[:-1]), (found[:-1], expected[1:])
        if any(same(list(a), list(b), tolerance) for a, b in (forth, back)):
            return Why("整个错开了一位", "it is shifted by one place")
    if sorted(map(repr, found)) == sorted(map(repr, expected)):
        return Why("内容对，顺序不对", "its items are right, their order is not")
    if len(found) != len(expected):
        few = len(found) < len(expected)
        return Why(
            f"它有 {len(found)} 项，太{'少' if few else '多'}了",
            f"it has {len(found)} items, too {'few' if few else 'many'}",
        )
    at = next(
        i for i, pair in enumerate(zip(found, expected, strict=True)) if not same(*pair, tolerance)
    )
    inner = mistake(found[at], expected[at], tolerance)
    return within(f"第 {at} 项（从 0 数起）", f"item {at} (counted from 0)", inner)


def of_mapping(found: Mapping, expected: Mapping, tolerance: float) -> Why | None:
    """Return the usual mistake of a dictionary; a key that is missing is not told."""
    extra = [key for key in found if key not in expected]
    if extra:
        return Why(f"多了键 {short(extra[0])}", f"the key {short(extra[0])} is too many")
    missing = len(expected) - len(found)
    if missing:
        return Why(f"少了 {missing} 个键", f"keys that are missing: {missing}")
    key = next(key for key in expected if not same(found[key], expected[key], tolerance))
    inner = mistake(found[key], expected[key], tolerance)
    return within(f"键 {short(key)} 的值", f"the value of {short(key)}", inner)


def of_set(found: Set, expected: Set, tolerance: float) -> Why | None:
    """Return the usual mistake of a set; what is missing is not told."""
    extra, missing = sorted(found - expected, key=repr), len(expected - found)
    if extra:
        return Why(f"多了 {short(extra[0])}", f"{short(extra[0])} is too many")
    return Why(f"少了 {missing} 项", f"items that are missing: {missing}")


def within(chinese: str, english: str, inner: Why | None) -> Why:
    """Return the mistake of a part, with the place of the part."""
    inner = inner or Why("不对", "not right")
    return Why(f"{chinese}：{inner.chinese}", f"{english}: {inner.english}")


def of_array(found: object, expected: object, tolerance: float) -> Why | None:
    """Return the usual mistake of a tensor or array; shapes are told, numbers are not."""
    try:
        one, other = as_array(found), as_array(expected)
    except (TypeError, ValueError):
        return of_kind(found, expected)
    if one.dtype.kind not in "fiub" or is_text(found):
        return of_kind(found, expected)
    if one.shape != other.shape:
        return Why(
            f"它的形状是 {one.shape}，要的是 {other.shape}",
            f"its shape is {one.shape}, expected {other.shape}",
        )
    wrong = ~agreeing(one, other, tolerance)
    if (one != one).sum() > (other != other).sum():
        return Why("里面有 NaN", "there are NaN in it")
    place = tuple(int(at[0]) for at in wrong.nonzero())
    count, first = f"{wrong.sum()} / {one.size}", list(place)
    return Why(
        f"形状对，{count} 个数不对，头一个在 {first}",
        f"its shape is right, {count} of its numbers are not, the first at {first}",
    )


def is_text(value: object) -> bool:
    """Return whether a value is text."""
    return isinstance(value, str | bytes)


def short(value: object, longest: int = 60) -> str:
    """Return a value on one line, cut where it is long.

    >>> short({"茶": [1, 2]}), short("骆" * 99, 6)
    ("{'茶': [1, 2]}", "'骆骆骆骆骆…")
    """
    text = " ".join(repr(plain(value)).split())
    return text if len(text) <= longest else text[:longest] + "…"


LOOKS = (
    (bool, lambda found, expected, tolerance: None),
    (Real, of_number),
    (str, of_text),
    (bytes, lambda found, expected, tolerance: None),
    (Sequence, of_list),
    (Mapping, of_mapping),
    (Set, of_set),
)
