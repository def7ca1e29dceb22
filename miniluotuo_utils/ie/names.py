r"""Tell names from what is none: blanks, words for nothing, punctuation. Shown in notebook 05.

In: what stands in the place of a name. Out: the name without what hangs on it. In JSON a backslash
guards a name that would be taken for something else, as in the line styles.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable

from miniluotuo_utils.files import expect

EMPTY_WORDS = ("无", "没有", "空", "None", "NONE")
# White space, and characters that nobody sees (json_repair, langextract and others meet them).
BLANK = " \t\r\n\v\f\u00a0\u3000\u200b\u200c\u200d\u2060"
SAID_NONE = """
    nan null nil n/a na nothing 暂无 没有提到 未提及 未提到 未提供 未找到 不存在 无相关
    无相关实体 无相关信息 无实体 无关系 无事件 没有实体 没有关系 没有事件 无结果 找不到
    未知 不详 不明 不确定 未说明 未明确 无法确定 无法判断 unknown unspecified no_relation
"""
NO_NAMES = {word.casefold() for word in (*EMPTY_WORDS, *SAID_NONE.split())}
NOBODY = re.compile(
    r"not (?:mentioned|found|specified|available|applicable|provided)\.?"
    r"|(?:(?:该|本|上|原)?(?:文|句|文本|句子)中?)?(?:并?未|没有?|无)(?:明确|直接|具体)?"
    r"(?:提及|提到|提供|出现|涉及|说明|找到|指出|给出|体现)"
)
SURROGATE = re.compile("[\ud800-\udfff]")

# An answer that says in a sentence that there is nothing (文中没有相关的实体。) is made of these.
WORDS = """
    根据 在 从 上述 以上 给定 提供 输入 所给 该 本 这 那 此 上面 下面 一 个 条 句子 文本 文章
    文字 文 句 原 话 段 内容 描述 来看 中 里 内 之 的 ， , 、 ： : 并 都 均 也 我 暂 时 似乎
    因此 所以 故 答案 是 为 没有 没 未 无 不 空 能 有 存在 包含 含 涉及 提及 提到 出现 发现
    找到 找不到 识别 抽取 提取 检测 出 到 任何 可 可以 需要 需 要 明确 符合 满足 要求 条件 相关 相应
    对应 所列 指定 目标 类型 类 种 命名 和 或 及 与 人物 地点 机构 组织 时间 作品 实体 关系
    事件 三元组 信息 结果 论元 触发词
"""
# Taken out one by one: as one pattern of repeated words it would take exponential time.
SAID = re.compile("|".join(sorted(map(re.escape, WORDS.split()), key=len, reverse=True)) + r"|\s")
DENIED = re.compile("没|未|无|不|空")
NOUN = re.compile("实体|关系|事件|三元组|信息|结果|内容|人物|地点|机构|组织|时间|作品")
SAID_ENGLISH = re.compile(
    r"(?:there (?:are|is|were) )?(?:no|not any)\b[\w\s'-]{0,60}"
    r"|none|nothing(?: found| to extract)?|not found|n/a|null|nil|nan|empty",
    re.IGNORECASE,
)


def is_text(value: object) -> bool:
    """Tell whether a record can hold a text: not blank, no half of a surrogate pair (`\\ud83d`)."""
    return isinstance(value, str) and bool(value.strip()) and not SURROGATE.search(value)


def is_label(value: object) -> bool:
    """Tell whether a value may be a type or role: a text, or "" as where a source names no type."""
    return value == "" or is_text(value)


def kept(repairs: Counter, label: object, *names: object) -> bool:
    """Tell whether an item has its label and all its names; if not, count it as dropped."""
    whole = is_label(label) and all(map(is_text, names))
    repairs["dropped_item"] += not whole
    return whole


def no_name(value: object) -> bool:
    """Tell whether a text says that there is no name: 无, None, NAN, 未提及.

    >>> no_name("无。"), no_name("NaN"), no_name("无锡")
    (True, True, False)
    """
    if not isinstance(value, str) or len(value) > 40:
        return False
    word = value.strip(BLANK + "。.()（）").casefold()
    return word in NO_NAMES or NOBODY.fullmatch(word) is not None


def is_punctuation(text: str) -> bool:
    """Tell whether a text has no letter, digit or sign in it; a title in 《》 may have none.

    >>> is_punctuation("。，"), is_punctuation("。他"), is_punctuation("《？》")
    (True, False, False)
    """
    if len(text) > 2 and text[0] == "《" and text[-1] == "》":
        return False
    return all(unicodedata.category(char)[0] in "PZC" for char in text)


def tidy(text: str) -> str | None:
    """Return a name without blanks at its ends, "" for a word for nothing, None for none at all."""
    text = text.strip(BLANK).lstrip(BLANK + "\ufeff")
    if no_name(text):
        return ""
    return text if is_text(text) and not is_punctuation(text) else None


def is_odd(text: str, read: Callable[[str], str | None] = tidy) -> bool:
    """Tell whether a text needs a guard: read as it stands it would come back as something else."""
    body = text.lstrip("\\")
    return read(text) != text or read(body) != body


def guarded(text: str, read: Callable[[str], str | None] = tidy) -> str:
    r"""Return a text as JSON is given it: with a backslash in front if it needs one.

    >>> guarded("无"), guarded("李白"), guarded(r"\无")
    ('\\无', '李白', '\\\\无')
    """
    return "\\" + text if is_odd(text, read) else text


def unguarded(text: str, read: Callable[[str], str | None] = tidy) -> str | None:
    r"""Return what `guarded` was given; a text without a guard as `read` reads it.

    >>> unguarded(guarded("无")), unguarded("无"), unguarded(" 李白")
    ('无', '', '李白')
    """
    if text.startswith("\\") and is_odd(text[1:], read):
        return text[1:]
    return read(text)


def name_of(value: object, repairs: Counter) -> str | None:
    r"""Return the name that a value is, "" for one that says there is none, else None.

    >>> name_of(" 李白\u200b", Counter()), name_of("NAN", Counter()), name_of(r"\无", Counter())
    ('李白', '', '无')
    """
    if not isinstance(value, str):
        return None
    name = unguarded(value)
    repairs["null_value"] += name == ""
    repairs["spaces"] += bool(name) and value.strip(BLANK) != value != "\\" + name
    return name


def says_nothing(answer: str) -> bool:
    """Tell whether an answer says in words that there is nothing to find.

    >>> says_nothing("文中没有相关实体。"), says_nothing("No entities found.")
    (True, True)
    >>> says_nothing("没有人来"), says_nothing("没有实体店的公司倒闭了")
    (False, False)
    """
    text = answer.strip(BLANK + "。.!！`*\"'“”")
    if not text or len(text) > 60:
        return False
    chinese = not SAID.sub("", text) and DENIED.search(text) and NOUN.search(text)
    return no_name(text) or bool(chinese) or SAID_ENGLISH.fullmatch(text) is not None


def checked_texts(sentences: Iterable[str]) -> list[str]:
    """Return texts as a list; DataError for one that no record can hold.

    That is none, an empty one, or one with half of a surrogate pair.
    """
    if isinstance(sentences, str):
        raise ValueError(
            f"sentences is the text {sentences[:20]!r}; expected a list of texts（要写成列表）"
        )
    expect(isinstance(sentences, Iterable), "sentences", sentences, "a list of texts")
    texts = list(sentences)
    for number, text in enumerate(texts):
        where = f"sentences[{number}] (text {number + 1})"
        whole_text = isinstance(text, str) and not SURROGATE.search(text)
        expect(whole_text, where, text, "a text of whole characters; leave it out or mend it")
        expect(text.strip(), where, text, "a text that is not empty; leave it out")
    return texts
