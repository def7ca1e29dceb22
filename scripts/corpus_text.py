"""Judge and cut the text of a corpus: paragraphs and sentences that are worth training on.

In: paragraphs as a markup left them. Out: clean ones, the sentences in them, and the reason why the
others are left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Literal

from corpus_markup import HAN

Script = Literal["simplified", "traditional", "mixed"]
SHORTEST, LONGEST = 20, 1000  # characters of a paragraph
SENTENCE = (8, 80)  # characters of a sentence that is worth annotating

# ---- one spelling

# Controls, marks of direction, private use, the sign of a broken character.
INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060\ufeff\ufffd\ue000-\uf8ff]"
)
WIDE = "[\u2e80-\u9fff\uff00-\uffef]"
BETWEEN_WIDE = re.compile(f"(?<={WIDE}) (?={WIDE})")
ARTICLE = re.compile(r"^(第[一二三四五六七八九十百千零〇]{1,7}[条章节])(?=[^ 之])")
QUOTES = str.maketrans("「」『』", "“”‘’")
# 著 stays 著 where it means to write or to be known, else it is the particle 着.
PARTICLE = re.compile("(?<![名显原编土论专所合巨遗译卓昭新拙撰])著(?![名作述者有《称录书成文于])")


def normal(text: str, script: Script = "simplified") -> str:
    """Return a paragraph in one spelling: NFC, simplified, no invisible characters, single spaces.

    A text of mixed script is converted if that changes more than 3 % of its characters: to convert
    simplified text would spoil 乾隆.

    >>> normal("駱駝 「走著」\\u200b", "traditional"), normal("乾隆  年间", "mixed")
    ('骆驼“走着”', '乾隆年间')
    """
    visible = unicodedata.normalize("NFC", INVISIBLE.sub("", re.sub(r"\s+", " ", text)))
    text = BETWEEN_WIDE.sub("", re.sub(" +", " ", visible)).strip()
    text = ARTICLE.sub(r"\1 ", text)
    if script == "simplified" or (script == "mixed" and not is_traditional(text)):
        return text
    return PARTICLE.sub("着", simplified(text).translate(QUOTES))


@cache
def converter():
    """Return OpenCC's converter from traditional to simplified characters."""
    from opencc import OpenCC

    return OpenCC("t2s")


def simplified(text: str) -> str:
    """Return a text with simplified characters."""
    return converter().convert(text)


def is_traditional(text: str) -> bool:
    """Return whether more than 3 % of the characters, and at least two, are traditional ones."""
    changed = sum(a != b for a, b in zip(text, simplified(text), strict=False))
    return changed > max(1, 0.03 * len(text))


# ---- worth keeping

STOPS = re.compile("[，。！？；：、,]")
SIGNS = re.compile(r"[|{}<>=\\^~$@#_*]")
ADDRESS = re.compile(r"https?://\S{30,}|[■□◆●▲]")
CODE = re.compile(r"https?:|www\.|[|{}<>=\\@#$_]")


def fault(text: str) -> str | None:
    """Return why a paragraph is no prose to train on, in one or two words, or None.

    >>> fault("迷你骆驼是一套教程，从零开始教人做小小的中文模型。"), fault("骆驼。")
    (None, 'short')
    """
    dense = text.replace(" ", "")
    if not SHORTEST <= len(text) <= LONGEST:
        return "short" if len(text) < SHORTEST else "long"
    if len(HAN.findall(dense)) < 0.5 * len(dense):
        return "few Han"
    if not STOPS.search(text):
        return "no punctuation"
    if len(SIGNS.findall(text)) > max(2, 0.02 * len(text)) or ADDRESS.search(text):
        return "signs"
    if len(set(dense)) < 0.18 * min(len(dense), 100):
        return "repetitive"
    return None


PAIRS = ("“”", "‘’", "「」", "『』", "（）", "《》", "〈〉", "【】")
MIDDLE = set("，。！？；、：）”》…’」』】〉—,.)")


def sentence_fault(text: str) -> str | None:
    """Return why a sentence is not worth annotating, in one or two words, or None.

    >>> sentence_fault("苏轼在黄州写下《赤壁赋》。"), sentence_fault("他说：“走吧，快走吧！")
    (None, 'unpaired')
    """
    least, most = SENTENCE
    if not least <= len(text) <= most:
        return "short" if len(text) < least else "long"
    if len(HAN.findall(text)) < 0.6 * len(text):
        return "few Han"
    if text[0] in MIDDLE:
        return "begins in the middle"
    if any(text.count(opening) != text.count(closing) for opening, closing in PAIRS):
        return "unpaired"
    return "signs" if CODE.search(text) else None


# ---- sentences

OPENING, CLOSING, ENDING = "“‘「『（《〈【(", "”’」』）》〉】)", "。！？；!?…"
MARKS = re.compile(f"[{OPENING}]|[{ENDING}]+[”’」』]*|[{CLOSING}]")
GOES_ON = set("，、：。；）》】,)")  # after a quotation in the middle of a sentence


def sentences(text: str) -> list[str]:
    """Return the sentences of a paragraph; put together again they are the paragraph.

    A sentence ends at 。！？；… with the closing quotes after them, but inside quotes and brackets
    only where it would be longer than a sentence should be.

    >>> sentences("他说：“走吧！快走。”她没动；天黑了……")
    ['他说：“走吧！快走。”', '她没动；', '天黑了……']
    """
    parts = []
    for whole in cut(text, nested=False):
        parts += [whole] if len(whole) <= SENTENCE[1] else cut(whole, nested=True)
    return parts


def cut(text: str, nested: bool) -> list[str]:
    """Return a text cut after each end of a sentence; `nested`: inside quotes and brackets, too."""
    parts, start, depth = [], 0, 0
    for mark in MARKS.finditer(text):
        depth = max(0, depth + count_in(mark[0], OPENING) - count_in(mark[0], CLOSING))
        after = text[mark.end() : mark.end() + 1]
        if mark[0][0] in ENDING and (nested or not depth) and after not in GOES_ON:
            parts.append(text[start : mark.end()])
            start = mark.end()
    return parts + [text[start:]] if start < len(text) else parts


def count_in(marks: str, kind: str) -> int:
    """Return how many of some marks are of a kind."""
    return sum(mark in kind for mark in marks)


def pieces(text: str, longest: int = LONGEST) -> Iterator[str]:
    """Yield a paragraph in pieces of whole sentences; only a sentence itself may be longer.

    >>> list(pieces("骆驼会走。骆驼会跑。骆驼不会飞。", 10))
    ['骆驼会走。骆驼会跑。', '骆驼不会飞。']
    """
    if len(text) <= longest:
        yield text
        return
    piece = ""
    for sentence in sentences(text):
        if piece and len(piece) + len(sentence) > longest:
            yield piece
            piece = ""
        piece += sentence
    yield piece
