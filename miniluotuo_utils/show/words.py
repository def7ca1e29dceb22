"""Say in a sentence what a program counts, and in a line what a native record looks like.

In: counters as `ask`, `grow`, `clean`, `encode` and `parse` return them; native records. Out: text.
Shown in notebooks 01, 02, 03 and 05.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from miniluotuo_utils.data.steps import CHINESE

# A counter's name -> its Chinese, {} where the number stands. English is the name itself.
WORDS = {
    # Teacher.spent, Store.counts, Reply.mark, Grown.curve
    "asked": "问了 {} 次",
    "from_store": "从存储里取了 {} 次",
    "failed": "失败 {} 次",
    "prompt_tokens": "提示 {} 个词元",
    "completion_tokens": "回答 {} 个词元",
    "timed_out": "超时 {} 次",
    "uncounted": "花费不明 {} 次",
    "replies": "回复 {} 条",
    "finished": "写完的 {} 条",
    "usable": "可用 {} 条",
    "empty": "空的 {} 条",
    "cut": "没写完 {} 条",
    "filtered": "被拦下 {} 条",
    "refused": "拒答 {} 条",
    "not recorded": "没有录过 {} 条",
    "requests": "请求 {} 次",
    "generated": "生成 {} 条",
    "unique": "新的 {} 条",
    # translate
    "records": "一共 {} 条",
    "translated": "译好 {} 条",
    "asked again": "再问 {} 条",
    "repaired": "救回 {} 条",
    "lost": "没译好 {} 条",
    "found by its name": "按名字找到 {} 处",
    "doubled": "标记写了两遍 {} 处",
    "spelling": "标记写错 {} 处",
    # places, agreement
    "placed": "找到位置 {} 处",
    "ambiguous": "有歧义 {} 处",
    "absent": "不在句中 {} 处",
    "pairs": "两人都评了 {} 条",
    "equal": "等级相同的占 {}",
    "kappa": "κ {}",
    # encode
    "loses text": "词表写不出 {} 条",
    "no supervised token": "没有受监督的词元 {} 条",
    "unknown characters": "不认识的字 {} 条",
    # parse
    "punctuation": "标点 {} 处",
    "quotes": "引号 {} 处",
    "comma": "逗号 {} 处",
    "colon": "冒号 {} 处",
    "bracket": "括号 {} 处",
    "prefix_text": "前面有别的话 {} 处",
    "suffix_text": "后面有别的话 {} 处",
    "code_fence": "代码框 {} 处",
    "loop": "反复说同样的话 {} 处",
}
WORDS |= {name: f"{chinese} {{}} 条" for name, chinese in CHINESE.items()}  # clean


def said(counts: Mapping[str, float | None], zeros: bool = True) -> str:
    """Return counters as a sentence in Chinese and one in English; `zeros=False` leaves zeros out.

    A name that is not known stands as it is.

    >>> said({"asked": 0, "from_store": 1387})
    '问了 0 次，从存储里取了 1,387 次。 0 asked, 1,387 from store.'
    >>> said({"masked": 5, "markup": 0}, zeros=False)
    '遮住个人信息 5 条。 5 masked.'
    >>> said({})
    '一个也没有。 None.'
    """
    shown = {name: value for name, value in counts.items() if zeros or value}
    chinese = [WORDS.get(name, f"{name} {{}}").format(figure(n)) for name, n in shown.items()]
    english = [f"{figure(n)} {name.replace('_', ' ')}" for name, n in shown.items()]
    if not shown:
        return "一个也没有。 None."
    return f"{'，'.join(chinese)}。 {', '.join(english)}."


def named(counter: str) -> str:
    """Return a counter's name in both languages; one that is not known stands as it is.

    >>> named("near duplicate"), named("甲")
    ('近似重复 near duplicate', '甲')
    """
    chinese = WORDS.get(counter, "{}").partition("{}")[0]
    return f"{chinese}{counter}"


def figure(value: float | None) -> str:
    """Return a number as a sentence holds it, — for one that nobody knows.

    >>> figure(1234), figure(0.5), figure(None)
    ('1,234', '0.50', '—')
    """
    if value is None:
        return "—"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def native(unit: object, most: int = 230) -> str:
    """Return a native record in about `most` characters, still whole: JSON stays JSON.

    Long texts in it end in `…`, long lists after their first items.

    >>> native('{"text": "西湖在杭州", "label": [1, 2, 3, 4, 5]}', most=40)
    '{"text": "西湖在杭州", "label": [1, 2, "…"]}'
    >>> native("西 B-LOC\\n湖 I-LOC", most=7)
    '西 B-LOC…'
    """
    if isinstance(unit, str):
        try:
            unit = json.loads(unit)
        except ValueError:
            return cut(unit, most)
    for letters, items in ((most, most), (60, 3), (30, 2), (15, 1)):
        text = json.dumps(smaller(unit, letters, items), ensure_ascii=False, default=str)
        if len(text) <= most:
            break
    return text


def smaller(value: Any, letters: int, items: int) -> Any:
    """Return a JSON value with texts of at most so many letters, and lists of so many items."""
    if isinstance(value, str):
        return cut(value, letters)
    if isinstance(value, Mapping):
        return {key: smaller(inner, letters, items) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [smaller(inner, letters, items) for inner in value[:items]] + ["…"] * (
            len(value) > items
        )
    return value


def cut(text: str, letters: int) -> str:
    """Return the beginning of a text, with `…` where some is left out."""
    return text if len(text) <= letters else f"{text[:letters]}…"
