"""The steps of cleaning, one small function each: what an instruction row or an IE record must be to stay.

In: a row or record. Out: the row mended (a fix), or whether it must go (a drop). Shown in notebook 01.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from html import unescape
from typing import Any, Literal

from miniluotuo_utils.files import DataError
from miniluotuo_utils.records import TASKS, check_record, mentions
from miniluotuo_utils.text import declines, names_itself

TEXTS = ("instruction", "input", "output")
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
LETTER = re.compile(r"[^\W\d_]")
INVISIBLE = re.compile(
    "[\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\x00-\x08\x0e-\x1f\x7f]|(?<![\u2190-\U0001faff\ufe0f])\u200d"
)
LINE_END = re.compile("\r\n|[\r\u2028\u2029\x0b\x0c\x85]")


@dataclass(frozen=True)
class Step:
    """A named step: a `fix` gives the row back, mended or as it was; a `drop` says whether the row must go."""

    name: str
    chinese: str
    kind: Literal["fix", "drop"]
    function: Callable[[dict], Any]


def mended(row: dict, function: Callable[[str], str]) -> dict:
    """A row with each of its texts put through `function`, its history too."""
    history = (
        {"history": [[function(t) for t in turn] for turn in row["history"]]}
        if row.get("history")
        else {}
    )
    return row | {field: function(row[field]) for field in TEXTS} | history


def normal_text(text: str) -> str:
    r"""Unicode NFC, `\n` as line end, no invisible characters but those that join emoji, no outer white space.

    >>> normal_text(" cafe\u0301\u200b \r\n")
    'café'
    """
    return unicodedata.normalize("NFC", INVISIBLE.sub("", LINE_END.sub("\n", text))).strip()


def normal(row: dict) -> dict:
    """The row in normal form."""
    return mended(row, normal_text)


@cache
def converter() -> Callable[[str], str]:
    """OpenCC's traditional → simplified conversion, with its phrases."""
    from opencc import OpenCC

    return OpenCC("t2s").convert


SHARE_TRADITIONAL = 0.15  # of the Chinese characters; simplified text that quotes some stays, text in traditional Chinese has 0.3 and more


def traditional(text: str) -> bool:
    """Whether a text is written in traditional Chinese, by the share of its Chinese characters that conversion changes.

    >>> traditional("機器學習是人工智能的一個分支"), traditional("“龍”字有十六畫"), traditional("乾隆皇帝")
    (True, False, False)
    """
    han = len(HAN.findall(text))
    changed = sum(a != b for a, b in zip(text, converter()(text), strict=False)) if han else 0
    return changed > 2 and changed >= SHARE_TRADITIONAL * han


OTHER_SCRIPT = re.compile(
    "[繁正][体體]|[简簡][体體]|日[语語文]|粤语|粵語|文言|[\u3041-\u30ff]"
)  # 日语 is full of characters that t2s would change


def simplified(row: dict) -> dict:
    """A row in traditional Chinese as simplified; one about the two scripts, about Japanese or with kana in it stays as it is."""
    text = "\n".join(row[field] for field in TEXTS)
    return row if OTHER_SCRIPT.search(text) or not traditional(text) else mended(row, converter())


NO_INPUT = re.compile(
    r"[<＜(（\[]?(?:no ?input|无输入|没有输入|无需输入|不适用|无|n/?a|none)[。.]?[>＞)）\]]?",
    re.IGNORECASE,
)


def without_placeholder(row: dict) -> dict:
    """A row whose input says that there is none, with an empty one.

    >>> without_placeholder({"instruction": "问好", "input": "&lt;无输入&gt;", "output": "你好"})["input"]
    ''
    """
    return row | {"input": ""} if NO_INPUT.fullmatch(unescape(row["input"]).strip()) else row


def id_number(match: re.Match) -> str:
    """`<身份证号>` for 18 digits whose last is the check digit of GB 11643, else the digits as they are."""
    digits = match[0]
    total = sum(
        int(d) * w
        for d, w in zip(digits, (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), strict=False)
    )
    return "<身份证号>" if digits[17].upper() == "10X98765432"[total % 11] else digits


MEASURES = "年元人字个吨米里亿万次件块%％"


def phone_number(match: re.Match) -> str:
    """`<手机号>` for a mobile number; a round number, or one that a measure word follows, is none."""
    rest = match.string[match.end() : match.end() + 2].lstrip()
    return (
        match[0]
        if match[0].endswith("000000") or rest[:1] in tuple(MEASURES) or rest.startswith("公里")
        else "<手机号>"
    )


def masked_text(text: str) -> str:
    """Mainland mobile numbers, ID numbers and e-mail addresses as `<手机号>`, `<身份证号>`, `<邮箱>`.

    >>> masked_text("电话13800138000，邮箱是a.b@example.com，宇宙年龄13800000000年，圆周率 3.14159265358979")
    '电话<手机号>，邮箱是<邮箱>，宇宙年龄13800000000年，圆周率 3.14159265358979'
    """
    before = None
    while text != before:  # of two numbers side by side the second is masked first
        before, text = text, masked_once(text)
    return text


def masked_once(text: str) -> str:
    """One pass of `masked_text`."""
    text = re.sub(
        r"(?<![A-Za-z0-9._%+/-])(?!git@)[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
        "<邮箱>",
        text,
    )
    text = re.sub(
        r"(?<![\d.])[1-9]\d{5}(?:19|20)\d{2}[01]\d[0-3]\d{4}[\dXx](?!\d)", id_number, text
    )
    return re.sub(
        r"(?<![\d.])(?:(?:\+|00)?86[- ]?)?1[3-9]\d(?:\d{8}|-\d{4}-\d{4}| \d{4} \d{4})(?!\d)",
        phone_number,
        text,
    )


def masked(row: dict) -> dict:
    """The row without the phone numbers, ID numbers and e-mail addresses of persons."""
    return mended(row, masked_text)


LATIN_1 = re.compile(
    "[\u0080-\u00ff\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]{3,}"
)


def mojibake(text: str) -> bool:
    """Whether text was read in the wrong encoding: UTF-8 as Latin-1 or Windows-1252, or as GBK, or GBK's classic 锟斤拷.

    >>> [mojibake(t) for t in ("ä½ å¥½，世界", "浣犲ソ锛岃繖鏄竴", "锟斤拷锟斤拷", "你好，café", "联通")]
    [True, True, True, False, False]
    """
    if re.search("锟斤拷|烫烫烫|屯屯屯", text) or any(
        HAN.search(as_bytes(run).decode("utf-8", "ignore")) for run in LATIN_1.findall(text)
    ):
        return True
    return any(
        len(run) >= 4 and misread(run)
        for run in re.findall("[\u3400-\u9fff\ue000-\uf8ff\uff00-\uffef€]+", text)
    )


def as_bytes(run: str) -> bytes:
    """The bytes that Windows-1252 or Latin-1 made these characters of.

    >>> as_bytes("å¥½").decode()
    '好'
    """
    return b"".join(c.encode("cp1252", "ignore") or bytes([ord(c)]) for c in run)


def misread(run: str) -> bool:
    """Whether characters are UTF-8 read as GBK: back in GBK, nearly all their bytes are UTF-8 for common Chinese characters or marks.

    >>> misread("浣犲ソ锛岃繖"), misread("火，尖顶")
    (True, False)
    """
    data = run.encode("gb18030")
    back = data.decode("utf-8", "ignore")
    return len(back.encode()) >= 0.8 * len(data) and bool(
        re.fullmatch(
            "[\u4e00-\u9fff\u3000-\u303f\uff00-\uffef\u2010-\u2026]{2,}", back[:-1] or back
        )
    )


def spoken(row: Mapping) -> str:
    """All texts of a row, its history too."""
    return "\n".join(
        [
            *(text for turn in row.get("history") or [] for text in turn),
            *(row[field] for field in TEXTS),
        ]
    )


def broken(row: Mapping) -> bool:
    """U+FFFD stands where bytes were lost on the way, or the text was read in the wrong encoding."""
    text = spoken(row)
    return "\ufffd" in text or (not text.isascii() and mojibake(text))


def unanswered(row: Mapping) -> bool:
    """Nothing is asked, or nothing is answered: no letter, digit or sign but punctuation, or a word for nothing."""
    answer = row["output"].strip("。.！! ")
    nothing = not re.search(
        r"\w|[+\-*/=<>^√π∞$%&#@|~\U0001F000-\U0001FAFF\u2600-\u27bf]", answer
    ) or answer.lower() in ("n/a", "none", "null", "nan")
    return nothing or not (row["instruction"] or row["input"])


MOST_ASKED, MOST_ANSWERED = 4000, 2000  # characters


def overlong(row: Mapping) -> bool:
    """A question or an answer longer than any student here could read or write."""
    return (
        len(row["output"]) > MOST_ANSWERED
        or len(row["instruction"]) + len(row["input"]) > MOST_ASKED
    )


def repetitive(row: Mapping) -> bool:
    """An answer of 60 letters or more, half of whose runs of ten letters stand in it already; numbers, marks and rules do not count."""
    text = re.sub(r"[\W\d_]+", "", row["output"])
    runs = len(text) - 9
    return len(text) >= 60 and len({text[i : i + 10] for i in range(runs)}) <= runs / 2


def refused(row: Mapping) -> bool:
    """The answer, or an earlier one, begins by declining to do the task. Where the task is about declining, it is an answer."""
    turns = [*(row.get("history") or []), (row["instruction"] + row["input"], row["output"])]
    return any(declines(asked, answer) for asked, answer in turns)


def self_naming(row: Mapping) -> bool:
    """The teacher names itself in the answer or in an earlier one."""
    return any(
        names_itself(answer)
        for answer in [*(turn[1] for turn in row.get("history") or []), row["output"]]
    )


OPEN_END = re.compile(r"[，、；：（【《“‘「『]$|(?<=[\u4e00-\u9fff])[,;(\[]$")
END_MARKS = "。！？!?…."


def truncated(row: Mapping) -> bool:
    """The answer breaks off: it ends with a comma or an opening mark, in an open bracket or code fence, or in a sentence without its end.

    The last rule asks for two sentences with end marks before it, and for Chinese characters at the very end of a line that is no
    list item: a list of names, a poem or a title ends without a mark.
    """
    text = row["output"].rstrip()
    if text.count("```") % 2 or (len(text) > 20 and OPEN_END.search(text)):
        return True
    last = text.rsplit("\n", 1)[-1]
    if len(text) < 40 or last.endswith(tuple(END_MARKS)):
        return False
    opened = any(last.count(a) > last.count(b) for a, b in ("（）", "《》", "“”"))
    *before, tail = re.split("[。！？]", last)
    return opened or (len(before) >= 2 and len(tail) >= 8 and bool(HAN.match(text[-1])))


LEAST_HAN = 0.1  # of the letters


def chinese(text: str) -> bool:
    """Whether at least a tenth of a text's letters are Chinese characters, and kana are not more than they."""
    letters, han = len(LETTER.findall(text)), len(HAN.findall(text))
    return han >= max(1, LEAST_HAN * letters) and len(re.findall("[\u3041-\u30ff]", text)) <= han


def foreign(row: Mapping) -> bool:
    """Neither the instruction nor the answer is Chinese. Code, or a translation, that is asked for in Chinese stays; so does bare arithmetic."""
    asked = row["instruction"] or row["input"]
    return bool(LETTER.search(asked)) and not chinese(asked) and not chinese(row["output"])


ROW_STEPS = (
    Step("normal form", "统一写法", "fix", normal),
    Step("simplified", "繁体转简体", "fix", simplified),
    Step("placeholder", "“无输入”改成空", "fix", without_placeholder),
    Step("masked", "遮住个人信息", "fix", masked),
    Step("broken characters", "乱码", "drop", broken),
    Step("no answer", "没有回答", "drop", unanswered),
    Step("too long", "太长", "drop", overlong),
    Step("language", "不是中文", "drop", foreign),
    Step("repetition", "反复重复", "drop", repetitive),
    Step("refusal", "拒答", "drop", refused),
    Step("self-identification", "自报家门", "drop", self_naming),
    Step("truncated", "没写完", "drop", truncated),
)


# IE records: the text and its gold spans change together, or not at all.


def moved(record: dict, function: Callable[[str], str]) -> dict:
    """A record whose sentence and names went through `function`, every place moved with them.

    The record comes back as it was where that cannot be proven: where a part of the sentence changes otherwise than the whole does.
    """
    sentence = record["sentence"]
    new = function(sentence)
    if new == sentence:
        return record

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(v) for v in value]
        if not isinstance(value, dict):
            return value
        value = {key: walk(v) for key, v in value.items()}
        name = "trigger" if "trigger" in value else "name"
        if name in value:
            value[name] = function(value[name])
            if value.get("pos"):
                start, end = (len(function(sentence[:p])) for p in value["pos"])
                value |= {"pos": [start, end], name: new[start:end]}
        return value

    changed = (
        record
        | {"sentence": new}
        | {f: walk(record[f]) for f in TASKS.values() if record.get(f) is not None}
    )
    lengths = zip(named_things(record), named_things(changed), strict=True)
    return changed if all(function(a) == b for a, b in lengths) and valid(changed) else record


def named_things(record: Mapping) -> list[str]:
    """Every name of a record, in order."""
    return [thing["name"] for thing, _ in mentions(record)]


def valid(record: Mapping) -> bool:
    """Whether a record keeps its contract."""
    try:
        check_record(record)
    except DataError:
        return False
    return True


def record_normal(record: dict) -> dict:
    """NFC and no invisible characters, in the sentence and its spans together."""
    return (
        moved(record, lambda text: unicodedata.normalize("NFC", INVISIBLE.sub("", text)))
        if valid(record)
        else record
    )


def record_simplified(record: dict) -> dict:
    """A sentence in traditional Chinese and its spans as simplified, together."""
    return (
        moved(record, converter()) if valid(record) and traditional(record["sentence"]) else record
    )


def misplaced(record: Mapping) -> bool:
    """A span does not cut its name out of the sentence, or the record is malformed otherwise."""
    return not valid(record)


def empty(record: Mapping) -> bool:
    """Nothing to read: a sentence without a letter or a digit."""
    return not re.search(r"\w", record.get("sentence") or "")


RECORD_STEPS = (
    Step("normal form", "统一写法", "fix", record_normal),
    Step("simplified", "繁体转简体", "fix", record_simplified),
    Step("empty", "空句子", "drop", empty),
    Step("spans", "位置不对", "drop", misplaced),
)
