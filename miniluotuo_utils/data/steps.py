"""Clean one row at a time: what an instruction row or an IE record must be to stay.

In: a row or record. Out: the row mended (a fix), or whether it must go (a drop). What needs all
rows at once (duplicates, leaks) is in `cleaning`. Shown in notebook 01.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from html import unescape
from typing import Any, Literal

from miniluotuo_utils.data.markup import about_markup, has_code, without_markup
from miniluotuo_utils.data.masks import masked_together
from miniluotuo_utils.data.prose import cut_json, is_json, prose, unfenced
from miniluotuo_utils.files import DataError
from miniluotuo_utils.records import check_record, map_mentions, mentions
from miniluotuo_utils.text import declines, names_itself

TEXTS = ("instruction", "input", "output")
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
KANA = re.compile("[\u3041-\u30ff]")
LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Step:
    """A named step: a `fix` returns the row, mended or as it was; a `drop` whether it must go."""

    name: str
    chinese: str
    kind: Literal["fix", "drop"]
    function: Callable[[dict], Any]


def row_texts(row: Mapping) -> list[str]:
    """Return all texts of a row, those of its history first."""
    said = [text for turn in row.get("history") or [] for text in turn]
    return said + [row[field] for field in TEXTS]


# ---- fixes of a row


def mended(row: dict, function: Callable[[str], str]) -> dict:
    """Return a row with each of its texts, its history too, put through `function`.

    An answer that is JSON stays as it is where it would be none any more.
    """
    new: dict[str, Any] = {field: function(row[field]) for field in TEXTS}
    if is_json(row["output"]) and not is_json(new["output"]):
        new["output"] = row["output"]
    if row.get("history"):
        new["history"] = [list(map(function, turn)) for turn in row["history"]]
    return row | new


LINE_END = re.compile("\r\n|[\r\u2028\u2029\x0b\x0c\x85]")
INVISIBLE = re.compile(
    "[\u200b\u200c\u200e\u200f\u2060-\u2064\ufeff"  # zero width
    "\u202a-\u202e"  # direction of writing
    "\x00-\x08\x0e-\x1f\x7f]"  # control characters
    "|(?<![\u2190-\U0001faff\ufe0f])\u200d"  # a joiner, but not between emoji: a family
)


def normal_text(text: str) -> str:
    r"""Return a text in NFC, with `\n` as line end, no invisible characters, no outer white space.

    >>> normal_text(" cafe\u0301\u200b \r\n")
    'café'
    """
    return unicodedata.normalize("NFC", INVISIBLE.sub("", LINE_END.sub("\n", text))).strip()


@cache
def converter() -> Callable[[str], str]:
    """Return OpenCC's conversion from traditional to simplified Chinese, with its phrases."""
    from opencc import OpenCC

    return OpenCC("t2s").convert


# Of the Chinese characters. Simplified text that quotes some stays below, text in traditional
# Chinese has 0.3 and more.
SHARE_TRADITIONAL = 0.15


def traditional(text: str) -> bool:
    """Return whether a text is in traditional Chinese, by the share that conversion changes.

    >>> [traditional(t) for t in ("機器學習是人工智能的一個分支", "“龍”字有十六畫", "乾隆皇帝")]
    [True, False, False]
    """
    han = len(HAN.findall(text))
    changed = sum(a != b for a, b in zip(text, converter()(text), strict=False)) if han else 0
    return changed > 2 and changed >= SHARE_TRADITIONAL * han


# A text about the two scripts, or about Japanese, which is full of characters that t2s changes.
OTHER_SCRIPT = re.compile(f"[繁正][体體]|[简簡][体體]|日[语語文]|粤语|粵語|文言|{KANA.pattern}")


def simplified(row: dict) -> dict:
    """Return a row in traditional Chinese as simplified, unless it is about the script itself."""
    text = "\n".join(row[field] for field in TEXTS)
    return row if OTHER_SCRIPT.search(text) or not traditional(text) else mended(row, converter())


# <noinput>, （无）, N/A, 不适用。
NO_INPUT = re.compile(
    r"""[<＜(（\[]?
    (?: no\ ?input | 无输入 | 没有输入 | 无需输入 | 不适用 | 无 | n/?a | none )
    [。.]? [>＞)）\]]?""",
    re.IGNORECASE | re.VERBOSE,
)


def without_placeholder(row: dict) -> dict:
    """Return a row with an empty input where its input says that there is none.

    >>> row = {"instruction": "问好", "input": "&lt;无输入&gt;", "output": "你好"}
    >>> without_placeholder(row)["input"]
    ''
    """
    return row | {"input": ""} if NO_INPUT.fullmatch(unescape(row["input"]).strip()) else row


def without_html(row: dict) -> dict:
    """Return a row without the HTML that was left in it, unless it is about HTML or code.

    A row that answers in JSON stays: its names must stand in its text.
    """
    asked = (row["instruction"], row["input"], *(turn[0] for turn in row.get("history") or []))
    if about_markup(*asked) or any(map(has_code, row_texts(row))) or prose(row["output"]) == "":
        return row
    return mended(row, without_markup)


def masked(row: dict) -> dict:
    """Return a row without personal data; what one of its texts shows goes from all of them."""
    texts = row_texts(row)
    new = masked_together(texts)
    if new == texts:
        return row
    *said, instruction, given, answer = new
    changed: dict[str, Any] = {"instruction": instruction, "input": given, "output": answer}
    if row.get("history"):
        changed["history"] = list(map(list, zip(said[::2], said[1::2], strict=True)))
    return row | changed


# ---- drops of a row


# What GBK makes of two U+FFFD, and of memory that a debugger has filled.
CLASSIC = re.compile("锟斤拷|烫烫烫|屯屯屯")
# UTF-8 bytes that were read as Windows-1252 or Latin-1: ä½ å¥½
LATIN_1 = re.compile(
    "[\u0080-\u00ff"
    "\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc"
    "\u2013-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]{3,}"
)
# UTF-8 bytes that were read as GBK: 浣犲ソ锛岃繖
GBK = re.compile("[\u3400-\u9fff\ue000-\uf8ff\uff00-\uffef€]{4,}")
COMMON = re.compile("[\u4e00-\u9fff\u3000-\u303f\uff00-\uffef\u2010-\u2026]{2,}")


def mojibake(text: str) -> bool:
    """Return whether text was read in the wrong encoding: UTF-8 as Latin-1, Windows-1252 or GBK.

    >>> [mojibake(t) for t in ("ä½ å¥½，世界", "浣犲ソ锛岃繖鏄竴", "锟斤拷锟斤拷")]
    [True, True, True]
    >>> mojibake("你好，café"), mojibake("联通")
    (False, False)
    """
    return (
        CLASSIC.search(text) is not None
        or any(HAN.search(as_bytes(run).decode("utf-8", "ignore")) for run in LATIN_1.findall(text))
        or any(misread(run) for run in GBK.findall(text))
    )


def as_bytes(run: str) -> bytes:
    """Return the bytes that Windows-1252 or Latin-1 made these characters of.

    >>> as_bytes("å¥½").decode()
    '好'
    """
    return b"".join(c.encode("cp1252", "ignore") or bytes([ord(c)]) for c in run)


def misread(run: str) -> bool:
    """Return whether characters are UTF-8 read as GBK.

    Then, back in GBK, nearly all their bytes are UTF-8 for common Chinese characters or marks.

    >>> misread("浣犲ソ锛岃繖"), misread("火，尖顶")
    (True, False)
    """
    data = run.encode("gb18030")
    back = data.decode("utf-8", "ignore")
    # The last character may have lost a byte at the end of the run.
    common = COMMON.fullmatch(back[:-1] or back)
    return len(back.encode()) >= 0.8 * len(data) and common is not None


def broken(row: Mapping) -> bool:
    """Return whether bytes were lost on the way (U+FFFD), or read in the wrong encoding."""
    text = "\n".join(row_texts(row))
    return "\ufffd" in text or (not text.isascii() and mojibake(text))


# A letter, a digit, or a sign that can be a whole answer: "+", "√", an emoji.
SAID = re.compile(r"\w|[+\-*/=<>^√π∞$%&#@|~\U0001F000-\U0001FAFF\u2600-\u27bf]")


NOTHING = ("n/a", "none", "null", "nan", "<nooutput>", "<无输出>", "<无输入>")


def unanswered(row: Mapping) -> bool:
    """Return whether nothing is asked, or the answer is only marks or a word for nothing.

    Empty JSON is an answer: nothing of the kind was found. So is a word that was asked for.
    """
    asked, answer = row["instruction"] + row["input"], row["output"].strip("。.！! ")
    word = answer.lower() in NOTHING
    nothing = (word and answer.lower() not in asked.lower()) or not SAID.search(answer)
    return not asked or (nothing and not is_json(unfenced(answer)))


MOST_ASKED, MOST_ANSWERED = 4000, 2000  # characters


def overlong(row: Mapping) -> bool:
    """Return whether question or answer is longer than any student here could read or write."""
    return len(row["instruction"] + row["input"]) > MOST_ASKED or len(row["output"]) > MOST_ANSWERED


def repetitive(row: Mapping) -> bool:
    """Return whether half of a long answer's runs of ten letters stand in it already.

    Numbers, marks and rules do not count: a table repeats them by nature. JSON repeats its keys.
    """
    text = re.sub(r"[\W\d_]+", "", prose(row["output"]))
    runs = len(text) - 9
    return len(text) >= 60 and len({text[i : i + 10] for i in range(runs)}) <= runs / 2


def refused(row: Mapping) -> bool:
    """Return whether the answer, or an earlier one, begins by declining to do the task."""
    return any(declines(asked, prose(answer)) for asked, answer in turns_of(row))


def self_naming(row: Mapping) -> bool:
    """Return whether the teacher names itself in the answer or in an earlier one."""
    return any(names_itself(prose(answer), asked) for asked, answer in turns_of(row))


def turns_of(row: Mapping) -> list[tuple[str, str]]:
    """Return every question of a row with its answer, earlier ones first."""
    earlier = [(asked, answer) for asked, answer in row.get("history") or []]
    return [*earlier, (row["instruction"] + "\n" + row["input"], row["output"])]


# A comma or an opening mark; an ASCII one counts only after a Chinese character.
OPEN_END = re.compile(r"[，、；：（【《“‘「『]$|(?<=[\u4e00-\u9fff])[,;(\[]$")
# A word that only joins what comes to what was said. After a comma it may be short.
JOINS = re.compile(
    "(?:以及|并且|而且|但是|因为|例如|譬如|比如|诸如|包括|由于|如果|虽然|不仅|无论|尽管|除了|"
    "(?<=[，,；;])(?:和|与|或|及|并|但|而|或者|还有|同时|此外|另外|所以|因此|然后|从而|其中|即|如))$"
    r"|[,;]? (?:and|or|but|such as|including|because|with|the|of)$"
)
# Where words are the subject, one of them may stand at the end.
ABOUT_WORDS = re.compile("词|连接|关联|造句|填空|翻译|语法|虚词|英语|英文|拼音|成语|语言")
END_MARKS = tuple("。！？!?….")


def truncated(row: Mapping) -> bool:
    """Return whether the answer breaks off.

    JSON does so where its end is missing; prose where it ends with a comma, an opening mark or a
    word such as 以及, in an open bracket or code fence, or in a sentence without its end. The last
    rule asks for two sentences with end marks before it, and for a Chinese character at the very
    end: a list of names, a poem or a title ends without a mark.
    """
    whole = row["output"].rstrip()
    text = prose(whole)
    if whole.count("```") % 2 or cut_json(whole):
        return True
    # JSON at the end is whole, whatever leads to it.
    if not text or not whole.endswith(text[-1]):
        return False
    return open_end(text, row["instruction"]) or unfinished(text)


def open_end(text: str, asked: str) -> bool:
    """Return whether a text ends with a mark or a word after which more must come."""
    joins = JOINS.search(text) and not ABOUT_WORDS.search(asked)
    return len(text) > 20 and bool(OPEN_END.search(text) or joins)


def unfinished(text: str) -> bool:
    """Return whether the last line is open: a bracket, or a sentence after two whole ones."""
    last = text.rsplit("\n", 1)[-1]
    if len(text) < 40 or last.endswith(END_MARKS):
        return False
    opened = any(last.count(a) > last.count(b) for a, b in ("（）", "《》", "“”"))
    *before, tail = re.split("[。！？]", last)
    sentence = len(before) >= 2 and len(tail) >= 8 and HAN.match(text[-1]) is not None
    return opened or sentence


LEAST_HAN = 0.1  # of the letters


def chinese(text: str) -> bool:
    """Return whether a tenth of a text's letters are Chinese, and kana are not more than they."""
    letters, han = len(LETTER.findall(text)), len(HAN.findall(text))
    return han >= max(1, LEAST_HAN * letters) and len(KANA.findall(text)) <= han


def foreign(row: Mapping) -> bool:
    """Return whether neither the instruction nor the answer is Chinese.

    Code, or a translation, that is asked for in Chinese stays; so does bare arithmetic.
    """
    asked = row["instruction"] or row["input"]
    return bool(LETTER.search(asked)) and not chinese(asked) and not chinese(row["output"])


ROW_STEPS = (
    Step("normal form", "统一写法", "fix", partial(mended, function=normal_text)),
    Step("markup", "网页残留", "fix", without_html),
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


# ---- IE records: the text and its gold spans change together, or not at all


def moved(record: dict, function: Callable[[str], str]) -> dict:
    """Return a record whose sentence and names went through `function`, every span moved along.

    The record comes back as it was where that cannot be proven: where it is malformed, or where a
    part of the sentence changes otherwise than the whole does.
    """
    sentence = record["sentence"]
    new = function(sentence)
    if new == sentence or malformed(record):
        return record

    def follow(thing: dict) -> dict:
        if not thing.get("pos"):
            return thing | {"name": function(thing["name"])}
        start, end = (len(function(sentence[:place])) for place in thing["pos"])
        return thing | {"name": new[start:end], "pos": [start, end]}

    changed = map_mentions(record, follow) | {"sentence": new}
    pairs = zip(mentions(record), mentions(changed), strict=True)
    proven = all(function(old["name"]) == thing["name"] for (old, _), (thing, _) in pairs)
    return changed if proven and not malformed(changed) else record


def malformed(record: Mapping) -> bool:
    """Return whether a span does not cut its name out, or a record is not one otherwise."""
    try:
        check_record(record)
    except DataError:
        return True
    return False


def record_normal(record: dict) -> dict:
    """Return a record with its sentence and names in NFC, without invisible characters."""
    return moved(record, lambda text: unicodedata.normalize("NFC", INVISIBLE.sub("", text)))


def record_simplified(record: dict) -> dict:
    """Return a record in traditional Chinese as simplified, its names with it."""
    return moved(record, converter()) if traditional(record["sentence"]) else record


def empty(record: Mapping) -> bool:
    """Return whether a sentence holds no letter and no digit."""
    return not re.search(r"\w", record["sentence"])


RECORD_STEPS = (
    Step("normal form", "统一写法", "fix", record_normal),
    Step("simplified", "繁体转简体", "fix", record_simplified),
    Step("empty", "空句子", "drop", empty),
    Step("spans", "位置不对", "drop", malformed),
)

# A counter of `clean` -> its Chinese: the steps, and what goes because of another row or sentence.
CHINESE = {step.name: step.chinese for step in (*ROW_STEPS, *RECORD_STEPS)} | {
    "duplicate": "重复",
    "same question": "同一个问题",
    "near duplicate": "近似重复",
    "leaked": "混进了考题",
    "contradiction": "标注矛盾",
    "doubtful": "可疑",
}
