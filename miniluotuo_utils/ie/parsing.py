"""A student's or teacher's answer read back into items, forgiving what small models get wrong. Shown in notebook 05.

In: any string and a task. Out: `Parsed`, with every forgiveness named and counted. Strict JSON is read as it stands.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from miniluotuo_utils.ie.instructions import field_of

# Structural marks by the JSON mark that they stand for; a Python tuple is read as a list.
MARKS = {
    "{": "{", "｛": "{", "}": "}", "｝": "}",
    "[": "[", "［": "[", "(": "[", "（": "[", "]": "]", "］": "]", ")": "]", "）": "]",
    ",": ",", "，": ",", "、": ",", ";": ",", "；": ",", ":": ":", "：": ":",
}  # fmt: skip
FAMILIES = ("\"＂“”", "'‘’", "「」")  # a quote is closed by one of its own family
FAMILY = {quote: family for family in FAMILIES for quote in family}
OPENING, CLOSING = "“‘「", "”’」"
START = re.compile(r"[{\[｛［]")
WORD = re.compile(r"[^\[\]{}［］｛｝,，、;；:：\"＂“”「」\n]+")  # an apostrophe may stand inside a word
NEXT = re.compile(r"\s*(.?)", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
DEEPEST = 32  # brackets within brackets; a repeated "[" must not exhaust Python's stack
READINGS = 8  # places of one answer where an object or a list may begin


@dataclass
class Parsed:
    """An answer as read: `items`, `repairs` (name -> how often), `ok` False only when nothing could be read."""

    items: list[dict]
    repairs: dict[str, int]
    ok: bool


class Pairs(list):
    """A JSON object as [(key, value), ...]: a student that repeats a key loses nothing."""

    def get(self, key: str) -> object:
        """The first value under `key`, or None."""
        return next((v for k, v in self if k == key), None)


class Cut(Exception):
    """The answer ended inside a name."""


def parse(answer: str, task: str) -> Parsed:
    """Read an answer; never raises, whatever the string.

    Items: NER `{name, type}`, RE `{head, type, tail}`, EE `{type, trigger, arguments: [{name, role}]}`.
    Repairs: prefix_text, suffix_text, code_fence, punctuation, quotes, comma, colon, bracket, truncated, bare_word,
    number, python_literal, repeated_key, object_list, single_value, null_value, dropped_item.

    >>> parse("答案：{'人物'：[“李白”，“杜", "NER").items
    [{'name': '李白', 'type': '人物'}]
    """
    collect = {"entities": entities, "relations": relations, "events": events}[field_of(task)]
    found = [Parsed([], {}, False)]
    for value, repairs in islice(readings(answer), READINGS):
        items = list(collect(value, repairs))
        ok = bool(items) or not (repairs["dropped_item"] or repairs["truncated"])
        found.append(Parsed(items, dict(+repairs), ok))  # + leaves out what counted 0
    return max(found, key=lambda parsed: (bool(parsed.items), parsed.ok))  # the first of the best


def readings(answer: str) -> Iterator[tuple[object, Counter]]:
    """The values that an answer may hold, each with its repairs: all of it if it is JSON, else from each bracket on."""
    repairs: Counter = Counter()

    def number(text: str) -> str:
        repairs["number"] += 1
        return text

    try:
        value = json.loads(answer, object_pairs_hook=Pairs, parse_int=number, parse_float=number)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, list):
        yield value, repairs
        return
    at = 0
    while start := START.search(answer, at):
        reader = Reader(answer, start.start())
        value, at = reader.value(), reader.at
        for name, text in (("prefix_text", answer[: start.start()]), ("suffix_text", answer[at:])):
            rest = re.sub(r"```\w*", "", text)
            reader.repairs["code_fence"] |= rest != text  # its two ends are one fence
            reader.repairs[name] += bool(rest.strip())
        yield value, reader.repairs


class Reader:
    """One tolerant pass over `text` from `at`, an opening bracket; `repairs` counts what it forgave."""

    def __init__(self, text: str, at: int):
        self.text, self.at = text, at
        self.repairs: Counter = Counter()
        self.closers: list[str] = []  # of the brackets that are open, outermost first

    def peek(self) -> str:
        """The next character but spaces, as the JSON mark that it stands for; "" at the end."""
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
        """A list, Pairs, text or literal; None where a value should stand and a mark does."""
        mark = self.peek()
        if mark and mark in "[{":
            return self.container()
        if mark and mark in "]},:":
            return None
        return self.string() if mark in FAMILY else self.word()

    def container(self) -> list:
        """A list or an object; where the text ends first, what was complete by then."""
        opener = self.take()
        found, closer = (Pairs(), "}") if opener == "{" else ([], "]")
        self.closers.append(closer)
        after_comma, deep = True, len(self.closers) > DEEPEST
        while mark := "" if deep else self.peek():
            if mark == closer:
                self.take()
                self.repairs["comma"] += after_comma and bool(found)
                break
            if mark in "]}":
                self.repairs["bracket"] += 1
                if mark in self.closers:  # its own closer is missing
                    break
                self.at += 1
            elif mark in ",:":
                self.repairs["comma" if mark == "," else "colon"] += after_comma or mark == ":"
                self.take()
                after_comma = True
            else:
                self.repairs["comma"] += bool(found) and not after_comma
                after_comma = not self.add(found)
        else:
            self.repairs["truncated"] = 1
            self.at = len(self.text)
        self.closers.pop()
        return found

    def add(self, found: list) -> bool:
        """Read one member into `found`; False where the text ends inside it."""
        try:
            found.append(self.pair() if isinstance(found, Pairs) else self.value())
            return True
        except Cut:
            self.at = len(self.text)
            return False

    def pair(self) -> tuple[object, object]:
        """A key and its value."""
        key = self.value()
        mark = self.peek()
        if not mark:
            raise Cut
        if mark == ":":
            self.take()
        else:
            self.repairs["colon"] += 1
        if not self.peek():
            raise Cut
        return key, self.value()

    def string(self) -> str:
        """A quoted text. It ends at a quote of its family that a mark follows, so a name may hold quotes of its own."""
        opener = self.text[self.at]
        self.repairs["quotes"] += opener != '"'
        letters, inner = [], 0
        at = self.at + 1
        while at < len(self.text):
            char = self.text[at]
            if char == "\\":
                letter, at = unescape(self.text, at)
                letters.append(letter)
                continue
            at += 1
            if char in FAMILY[opener]:
                if char in CLOSING and inner:
                    inner -= 1
                elif self.ends(opener, char, at):
                    self.at = at
                    return "".join(letters)
                inner += char in OPENING
            letters.append(char)
        raise Cut

    def ends(self, opener: str, quote: str, after: int) -> bool:
        """Whether a quote closes a text: a mark or the end follows it, or (a forgotten comma) another opening quote."""
        follows = NEXT.match(self.text, after).group(1)
        if not follows or MARKS.get(follows, "[") not in "[{":
            return True
        partner = CLOSING[OPENING.index(opener)] if opener in OPENING else opener
        return quote == partner and follows in FAMILY and follows not in CLOSING

    def word(self) -> object:
        """A literal, a number or an unquoted text up to the next mark."""
        word = WORD.match(self.text, self.at)
        if not word or word.end() == len(self.text):
            raise Cut
        self.at, text = word.end(), word.group().strip()
        if text in LITERALS:
            self.repairs["python_literal"] += text[0].isupper()
            return LITERALS[text]
        self.repairs["number" if re.fullmatch(r"-?\d+(\.\d+)?", text) else "bare_word"] += 1
        return text


def unescape(text: str, at: int) -> tuple[str, int]:
    r"""The character that the backslash at `at` writes, and where the text goes on.

    >>> unescape(r"\u674e白", 0)
    ('李', 6)
    """
    code = text[at + 2 : at + 6]
    if text[at + 1 : at + 2] == "u" and re.fullmatch(r"[0-9a-fA-F]{4}", code):
        return chr(int(code, 16)), at + 6
    letter = text[at + 1 : at + 2]
    return ESCAPES.get(letter, letter), at + 2


def entities(value: object, repairs: Counter) -> Iterator[dict]:
    """NER items: `{"type": ["name"]}`, or a list of `{"name", "type"}`."""
    for kind, names in keyed(value, "name", "type", repairs):
        for name in listed(names, is_text, repairs):
            name = name.get("name") if isinstance(name, Pairs) else name
            if kept(repairs, kind, name):
                yield {"name": name, "type": kind}


def relations(value: object, repairs: Counter) -> Iterator[dict]:
    """RE items: `{"type": [["head", "tail"]]}`, or a list of `{"head", "type", "tail"}`."""
    for kind, pairs in keyed(value, "head", "type", repairs):
        for pair in listed(pairs, is_pair, repairs):
            pair = [pair.get("head"), pair.get("tail")] if isinstance(pair, Pairs) else pair
            if kept(repairs, kind, *(pair if isinstance(pair, list) and len(pair) == 2 else [None])):
                yield {"head": pair[0], "type": kind, "tail": pair[1]}


def events(value: object, repairs: Counter) -> Iterator[dict]:
    """EE items: `{"type": [{"trigger", "arguments": {"role": ["name"]}}]}`, or a list of events with their `type`."""
    for kind, found in keyed(value, "trigger", "type", repairs):
        for event in listed(found, is_object, repairs):
            trigger = event.get("trigger") if isinstance(event, Pairs) else None
            if kept(repairs, kind, trigger):
                yield {"type": kind, "trigger": trigger, "arguments": list(arguments(event.get("arguments"), repairs))}


def arguments(value: object, repairs: Counter) -> Iterator[dict]:
    """Arguments of one event: `{"role": ["name"]}`, or a list of `{"name", "role"}`; None where there are none."""
    for role, names in keyed([] if value is None else value, "name", "role", repairs):
        for name in listed(names, is_text, repairs):
            name = name.get("name") if isinstance(name, Pairs) else name
            if kept(repairs, role, name):
                yield {"name": name, "role": role}


def keyed(value: object, name: str, label: str, repairs: Counter) -> Iterator[tuple[object, object]]:
    """(label, what stands under it): an object's pairs, or each object of a list by its own `label`."""
    flat = isinstance(value, Pairs) and {name, label} <= {key for key, _ in value if is_text(key)}
    if isinstance(value, Pairs) and not flat:
        repairs["repeated_key"] += len(value) - len({str(key) for key, _ in value})
        yield from value
        return
    if flat:
        repairs["single_value"] += 1
    for item in [value] if flat else value if isinstance(value, list) else [None]:
        nested = isinstance(item, Pairs)
        if nested and is_text(item.get(label)):
            repairs["object_list"] += 1
            yield item.get(label), [item]
        elif nested:  # [{"type": ["name"]}, ...]
            repairs["object_list"] += 1
            yield from item
        else:
            repairs["dropped_item"] += 1


def listed(value: object, single: Callable[[object], bool], repairs: Counter) -> list:
    """The items under one key: a list, or one item that stands there without its list, or null."""
    if single(value):
        repairs["single_value"] += 1
        return [value]
    if isinstance(value, list) and not isinstance(value, Pairs):
        return value
    repairs["null_value" if value is None else "dropped_item"] += 1
    return []


def is_text(value: object) -> bool:
    """A text that a record can hold: not blank, and no half of a surrogate pair (a cut `\\ud83d`)."""
    return isinstance(value, str) and bool(value.strip()) and not re.search("[\ud800-\udfff]", value)


def is_pair(value: object) -> bool:
    """`["head", "tail"]` or `{"head", "tail"}`."""
    return is_object(value) or isinstance(value, list) and len(value) == 2 and all(map(is_text, value))


def is_object(value: object) -> bool:
    """A JSON object."""
    return isinstance(value, Pairs)


def kept(repairs: Counter, kind: object, *names: object) -> bool:
    """Whether an item is whole: a label (`""` where a source names none) and names; if not, it counts as dropped."""
    whole = (kind == "" or is_text(kind)) and all(map(is_text, names))
    repairs["dropped_item"] += not whole
    return whole
