"""Read JSON as models write it: full-width marks, lost quotes and commas, comments, a cut end.

In: a text and where a bracket opens. Out: a value, with every forgiveness counted, and where it
ended. `parsing` chooses among the values of an answer. Shown in notebook 05.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

# The tolerant reader. Marks by the JSON mark that they stand for; a tuple is read as a list.
MARKS = {
    **dict.fromkeys("{｛", "{"),
    **dict.fromkeys("}｝", "}"),
    **dict.fromkeys("[［(（", "["),
    **dict.fromkeys("]］)）", "]"),
    **dict.fromkeys(",，、;；", ","),
    **dict.fromkeys(":：", ":"),
}
# A quote is closed by one of its own family; these may also stand inside, in pairs.
FAMILIES = ('"＂“”', "'‘’", "「」")
FAMILY = {quote: family for family in FAMILIES for quote in family}
OPENING, CLOSING = "“‘「", "”’」"
# An escaped quote is found with its backslash, so that it is taken for none.
QUOTES = {family: re.compile(rf"\\.|[{family}]", re.DOTALL) for family in FAMILIES}
START = re.compile(r"[{\[｛［]")
# An unquoted text ends at a mark; an apostrophe may stand inside: O'Neill.
WORD = re.compile(r"[^\[\]{}［］｛｝,，、;；:：\"＂“”「」\n]+")
NEXT = re.compile(r"\s*(.?)", re.DOTALL)
# `// 注释` to the end of its line, `/* … */`, `# …`: no value begins so.
COMMENT = re.compile(r"\s*(?://[^\n]*|/\*.*?\*/|#\s[^\n]*)", re.DOTALL)
# What may stand behind the comma after a text: a value, a closing bracket, a key without quotes.
GOES_ON = re.compile(
    r"\s*(?:\Z|[\[\]{}［］｛｝()（）\"＂“'‘「]|[^\[\]{}［］｛｝,，、;；:：\"＂“”「」\n]+(?:[:：\]}］｝]|\Z))"
)
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
DEEPEST = 32  # brackets within brackets; a repeated "[" must not exhaust Python's stack

READINGS = 64  # places of one answer where an object or a list may begin


class Number(str):
    """A number that stood there without quotes: a name of digits is a name, but a place is none."""


class Pairs(list):
    """A JSON object as [(key, value), ...]: a student that repeats a key loses nothing."""

    def get(self, *keys: str) -> object:
        """Return the first value under one of `keys`, or None."""
        return next((value for key, value in self if key in keys), None)


class Cut(Exception):
    """The answer ended inside a name."""


class Reading(NamedTuple):
    """A value of an answer, where it stands, and what was forgiven."""

    value: object
    start: int
    end: int
    repairs: Counter


def readings(text: str) -> Iterator[Reading]:
    """Yield the values that a text may hold: all of it if it is JSON, else each from its bracket.

    >>> [(found.value, found.start) for found in readings("答案：['李白']，[杜甫]")]
    [(['李白'], 3), (['杜甫'], 10)]
    """
    repairs: Counter = Counter()

    def number(digits: str) -> Number:
        repairs["number"] += 1
        return Number(digits)

    # Strict JSON goes first: the tolerant reader would guess where a quote ends.
    strict = dict(parse_int=number, parse_float=number, parse_constant=lambda _: None)
    try:
        value = json.loads(text, object_pairs_hook=Pairs, **strict)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, list):
        yield Reading(value, 0, len(text), repairs)
        return

    # Small models talk before the answer and after it, and put brackets into what they say.
    at = 0
    for _ in range(READINGS):
        if not (start := START.search(text, at)):
            return
        reader = Reader(text, start.start())
        value, at = reader.value(), reader.at
        yield Reading(value, start.start(), at, reader.repairs)


class Reader:
    """One tolerant pass over `text` from `at`, an opening bracket.

    `repairs` counts what it forgave.
    """

    def __init__(self, text: str, at: int):
        self.text, self.at = text, at
        self.repairs: Counter = Counter()
        self.closers: list[str] = []  # of the brackets that are open, outermost first

    def peek(self) -> str:
        """Skip spaces; return what follows, as the JSON mark that it stands for, "" at the end."""
        while comment := COMMENT.match(self.text, self.at):
            self.repairs["comment"] += 1
            self.at = comment.end()
        self.at = NEXT.match(self.text, self.at).start(1)
        char = self.text[self.at : self.at + 1]
        return MARKS.get(char, char)

    def take(self) -> str:
        """Step over one mark."""
        mark = self.peek()
        self.repairs["punctuation"] += mark != self.text[self.at]
        self.at += 1
        return mark

    def value(self) -> object:
        """Return a list, Pairs, text or literal; None where a mark stands in place of a value."""
        mark = self.peek()
        if mark and mark in "[{":
            return self.container()
        if mark and mark in "]},:":
            return None
        return self.string() if mark in FAMILY else self.word()

    def container(self) -> list:
        """Return a list or an object; where the text ends first, what was complete by then."""
        opener = self.take()
        found, closer = (Pairs(), "}") if opener == "{" else ([], "]")
        self.closers.append(closer)
        if len(self.closers) > DEEPEST or not self.members(found, closer):
            self.repairs["truncated"] = 1
            self.at = len(self.text)
        self.closers.pop()
        return found

    def members(self, found: list, closer: str) -> bool:
        """Read members into `found` and step over the closer; False where the text ends first."""
        after_comma = True  # nothing has to separate the first member
        while mark := self.peek():
            if mark == closer:
                self.take()
                # `["李白",]`: a comma that nothing follows.
                self.repairs["comma"] += after_comma and bool(found)
                return True
            if mark in "]}":
                self.repairs["bracket"] += 1
                # `["李白"}`: its own closer is missing, this one belongs to an outer bracket.
                if mark in self.closers:
                    return True
                self.at += 1
            elif mark in ",:":
                # A comma counts where it is one too many, a colon wherever a comma should stand.
                self.repairs["colon"] += mark == ":"
                self.repairs["comma"] += mark == "," and after_comma
                self.take()
                after_comma = True
            else:
                self.repairs["comma"] += bool(found) and not after_comma
                after_comma = False
                try:
                    found.append(self.pair() if isinstance(found, Pairs) else self.value())
                except Cut:
                    return False
        return False

    def pair(self) -> tuple[object, object]:
        """Return a key and its value."""
        key = self.value()
        mark = self.peek()
        if mark == ":":
            self.take()
        elif mark:
            self.repairs["colon"] += 1
        if not self.peek():
            raise Cut
        return key, self.value()

    def string(self) -> str:
        """Return a quoted text.

        It ends at a quote of its family that a mark follows, so a name may hold quotes of its own.
        """
        # `opened`: an inner quote of the same form stands open; `inner` counts those in pairs.
        opener, begin = self.text[self.at], self.at + 1
        self.repairs["quotes"] += opener != '"'
        inner, opened, passed = 0, False, False
        for found in QUOTES[FAMILY[opener]].finditer(self.text, begin):
            quote = found[0]
            # `"他的“好”，不假"`: a quote that closes an inner one ends nothing.
            if quote in CLOSING and inner:
                inner -= 1
            elif quote in FAMILY and self.ends(opener, quote, found.end(), opened):
                self.at = found.end()
                self.repairs["inner_quotes"] += passed
                return ESCAPE.sub(unescaped, self.text[begin : found.start()])
            elif quote == opener and opener not in OPENING:
                opened, passed = not opened, True
            inner += quote in OPENING
        raise Cut

    def ends(self, opener: str, quote: str, after: int, opened: bool) -> bool:
        """Tell whether a quote closes a text: a mark, the end or an opening quote follows it.

        `opened`: an inner quote of the same form stands open, as in `"他说"好"，走"`. Then a comma
        must be followed by what may follow a text.
        """
        follows = NEXT.match(self.text, after)
        char = follows[1]
        if char and MARKS.get(char, "[") not in "[{":
            closes = char in ",，、;；:："
            return not (opened and closes) or bool(GOES_ON.match(self.text, follows.end()))
        if not char:
            return True
        # `"他说"你好"","李白"`: of two quotes side by side with a mark behind, the second closes.
        if char == quote and follows.start(1) == after:
            behind = NEXT.match(self.text, after + 1)[1]
            if opened or (behind and MARKS.get(behind, "[") not in "[{"):
                return False
        # `"李白" "杜甫"`: a forgotten comma.
        partner = CLOSING[OPENING.index(opener)] if opener in OPENING else opener
        return quote == partner and char in FAMILY and char not in CLOSING

    def word(self) -> object:
        """Return a literal, a number or an unquoted text up to the next mark."""
        word = WORD.match(self.text, self.at)
        if not word or word.end() == len(self.text):
            raise Cut
        self.at = word.end()
        text = word.group().strip()
        if text in LITERALS:
            self.repairs["python_literal"] += text[0].isupper()
            return LITERALS[text]
        if re.fullmatch(r"-?\d+(\.\d+)?", text):
            self.repairs["number"] += 1
            return Number(text)
        self.repairs["bare_word"] += 1
        return text


def unescaped(found: re.Match) -> str:
    r"""Return the character that an escape writes.

    >>> ESCAPE.sub(unescaped, r"\u674e\"白\"")
    '李"白"'
    """
    letter = found[1]
    return chr(int(letter[1:], 16)) if len(letter) > 1 else ESCAPES.get(letter, letter)
