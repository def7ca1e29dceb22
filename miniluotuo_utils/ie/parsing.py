"""A student's or teacher's answer read back into items, forgiving what small models get wrong. Shown in notebook 05.

In: any string and a task. Out: `Parsed`, with every forgiveness named and counted. Strict JSON is read as it stands.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from miniluotuo_utils.ie.lines import READERS, is_text, kept, stripped
from miniluotuo_utils.ie.schema import Schema, field_of
from miniluotuo_utils.ie.styles import EMPTY_WORDS, FIELDS, NOTHING, check_style, kind_of

# Structural marks by the JSON mark that they stand for; a Python tuple is read as a list.
MARKS = {
    "{": "{",
    "｛": "{",
    "}": "}",
    "｝": "}",
    "[": "[",
    "［": "[",
    "(": "[",
    "（": "[",
    "]": "]",
    "］": "]",
    ")": "]",
    "）": "]",
    ",": ",",
    "，": ",",
    "、": ",",
    ";": ",",
    "；": ",",
    ":": ":",
    "：": ":",
}
FAMILIES = ('"＂“”', "'‘’", "「」")  # a quote is closed by one of its own family
FAMILY = {quote: family for family in FAMILIES for quote in family}
OPENING, CLOSING = "“‘「", "”’」"
START = re.compile(r"[{\[｛［]")
WORD = re.compile(
    r"[^\[\]{}［］｛｝,，、;；:：\"＂“”「」\n]+"
)  # an apostrophe may stand inside a word
NEXT = re.compile(r"\s*(.?)", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
DEEPEST = 32  # brackets within brackets; a repeated "[" must not exhaust Python's stack
JSONS = ("json", "yayi")
JSON_LINE = re.compile(r"^[ \t]*(?:[{\[｛［]|```)", re.MULTILINE)
ENDING = re.compile(r"(?:<\|\w{1,30}\|>|</s>)\s*\Z")
KINDS, HEADS, TAILS = (
    ("type", "relation", "关系", "类型"),
    ("head", "头实体"),
    ("tail", "尾实体"),
)  # keys of objects, as published
READINGS = 8  # places of one answer where an object or a list may begin


@dataclass
class Parsed:
    """An answer as read: `items`, `repairs` (name -> how often), `ok` False only when nothing could be read."""

    items: list[dict]
    repairs: dict[str, int]
    ok: bool


class Pairs(list):
    """A JSON object as [(key, value), ...]: a student that repeats a key loses nothing."""

    def get(self, *keys: str) -> object:
        """The first value under one of `keys`, or None."""
        return next((v for k, v in self if k in keys), None)


class Cut(Exception):
    """The answer ended inside a name."""


def parse(
    answer: str, task: str, style: str = "json", schema: Schema | None = None, *, part: str = "both"
) -> Parsed:
    """Read an answer of a style; never raises, whatever the string.

    Items: NER `{name, type}`, RE `{head, type, tail}`, EE `{type, trigger, arguments: [{name, role}]}`; EE with part
    `trigger` the same without arguments, with part `argument` the arguments alone, `{name, role}`.
    `schema`: the types that were asked for (part `argument`: the roles), such as a row's `types`. The line styles,
    instructuie and plain, use it to tell a type from a name; a type outside of it stays what it is, and is not hidden.

    An answer in another style is read too, as repair other_style. Repairs of JSON: prefix_text, suffix_text, code_fence,
    punctuation, quotes, comma, colon, bracket, truncated, bare_word, number, python_literal, repeated_key, object_list,
    single_value, bare_trigger, null_value, dropped_item. Of lines: code_fence, suffix_text, punctuation, quotes, comma, bullet,
    empty_word, null_value, swapped (type and name), line_break (a missing one), truncated, dropped_item. What
    a line style cannot tell is where a cut name ended: its last name may be half a name.

    >>> parse("答案：{'人物'：[“李白”，“杜", "NER").items
    [{'name': '李白', 'type': '人物'}]
    >>> parse("作者: 静夜思, 李白", "RE", "plain")
    Parsed(items=[{'head': '静夜思', 'type': '作者', 'tail': '李白'}], repairs={'other_style': 1}, ok=True)
    """
    field_of(task)
    kind = kind_of(task, part)
    check_style(style)
    known = frozenset(schema or ())
    found = []
    for reading in sequence(answer, kind, style):
        own = reading == style
        parsed = (
            json_answer(answer, kind, style)
            if reading in JSONS
            else line_answer(answer, kind, reading, known, own)
        )
        if (
            not own
            and (reading in JSONS) != (style in JSONS)
            or {reading, style} == {"plain", "instructuie"}
        ):
            parsed.repairs["other_style"] = 1
        found.append(parsed)
        if parsed.items and not parsed.repairs.get("dropped_item"):
            break
    return max(found, key=lambda parsed: (bool(parsed.items), parsed.ok))  # the first of the best


def sequence(answer: str, kind: str, style: str) -> list[str]:
    """The styles to read an answer as, in turn: its own, unless it wears the marks of another.

    >>> sequence('{"人物":["李白"]}', "NER", "plain"), sequence("人物：李白", "NER", "json")
    (['json', 'plain', 'instructuie'], ['json', 'plain', 'instructuie'])
    """
    bracketed = re.search(r"[(（]\s{0,9}type\s{0,9}[:：]", answer) is not None
    lines = (
        ["instructuie", "plain"]
        if bracketed or ("：" not in answer and "→" not in answer)
        else ["plain", "instructuie"]
    )
    if style in JSONS:
        return [style] if START.search(answer) else [style, *lines]
    other = {"plain": "instructuie", "instructuie": "plain"}[style]
    doubtful = (
        bracketed
        if kind == "EE"
        else kind in FIELDS and (";" in answer if style == "plain" else ":" not in answer)
    )
    ordered = lines if doubtful else [style, other]
    return ["json", *ordered] if JSON_LINE.search(answer) else ordered


def json_answer(answer: str, kind: str, style: str) -> Parsed:
    """The best reading of an answer as JSON; a list of objects is no repair where yayi asks for one."""
    found = [Parsed([], {}, False)]
    for value, repairs in islice(readings(answer), READINGS):
        items = list(COLLECTORS[kind](value, repairs))
        ok = bool(items) or not (repairs["dropped_item"] or repairs["truncated"])
        if style == "yayi" and kind in ("RE", "EE", "EE trigger"):
            repairs["other_style"] += bool(items) and not repairs["object_list"]
            repairs["object_list"] = 0
        found.append(Parsed(items, dict(+repairs), ok))  # + leaves out what counted 0
    return max(found, key=lambda parsed: (bool(parsed.items), parsed.ok))  # the first of the best


def line_answer(answer: str, kind: str, style: str, known: frozenset[str], own: bool) -> Parsed:
    """An answer in a line style. One that should have been in another style counts only if every line of it fits."""
    repairs: Counter = Counter()
    text = bare(answer, repairs)
    if text in EMPTY_WORDS:
        repairs["empty_word"] += text != NOTHING[style]
        return Parsed([], dict(+repairs), text in (NOTHING[style] if own else ("无", "None")))
    items = list(READERS[style](text, kind, known, repairs))
    if not own and (repairs["dropped_item"] or not all(plausible(item, known) for item in items)):
        return Parsed([], {}, False)
    ok = bool(items) or bool(repairs["null_value"]) and not repairs["dropped_item"]
    return Parsed(items, dict(+repairs), ok)


def bare(answer: str, repairs: Counter) -> str:
    """A line answer without what wraps it: a code fence, a token that ends texts, spaces."""
    text = re.sub(r"```\w*", "", answer)
    repairs["code_fence"] += text != answer
    shorter = ENDING.sub("", text)
    repairs["suffix_text"] += shorter != text
    return stripped(shorter)


def plausible(item: Mapping, known: frozenset[str]) -> bool:
    """Whether the label of a line may be a type: one of the schema, or without a schema a short text that is no sentence."""
    label = item.get("type", item.get("role", ""))
    return (
        label in known if known else len(label) <= 16 and not re.search(r"[，。？！,?!\s]", label)
    )


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


def words(value: object, repairs: Counter, name: str, label: str) -> Iterator[dict]:
    """Items of a label and a word: `{"label": ["word"]}`, or a list of objects."""
    for kind, found in keyed(value, (name,), KINDS if label == "type" else (label,), repairs):
        for word in listed(found, is_text, repairs):
            word = word.get(name) if isinstance(word, Pairs) else word
            if kept(repairs, kind, word):
                yield {name: word, label: kind}


def entities(value: object, repairs: Counter) -> Iterator[dict]:
    """NER items: `{"type": ["name"]}`, or a list of `{"name", "type"}`."""
    return words(value, repairs, "name", "type")


def relations(value: object, repairs: Counter) -> Iterator[dict]:
    """RE items: `{"type": [["head", "tail"]]}`, or a list of `{"head", "type", "tail"}`."""
    for kind, pairs in keyed(value, HEADS, KINDS, repairs):
        for pair in listed(pairs, is_pair, repairs):
            pair = [pair.get(*HEADS), pair.get(*TAILS)] if isinstance(pair, Pairs) else pair
            if kept(
                repairs, kind, *(pair if isinstance(pair, list) and len(pair) == 2 else [None])
            ):
                yield {"head": pair[0], "type": kind, "tail": pair[1]}


def events(value: object, repairs: Counter) -> Iterator[dict]:
    """EE items: `{"type": [{"trigger", "arguments": {"role": ["name"]}}]}`, or a list of events with their `type`."""
    for kind, found in keyed(value, ("trigger",), KINDS, repairs):
        for event in listed(found, lambda value: is_object(value) or is_text(value), repairs):
            if is_text(event):  # `{"type": ["trigger"]}`
                repairs["bare_trigger"] += 1
                event = Pairs([("trigger", event)])
            trigger = event.get("trigger") if isinstance(event, Pairs) else None
            if kept(repairs, kind, trigger):
                yield {
                    "type": kind,
                    "trigger": trigger,
                    "arguments": list(arguments(event.get("arguments"), repairs)),
                }


def triggers(value: object, repairs: Counter) -> Iterator[dict]:
    """Events without arguments: `{"type": ["trigger"]}`, or a list of `{"type", "trigger"}`."""
    for item in words(value, repairs, "trigger", "type"):
        yield {"type": item["type"], "trigger": item["trigger"], "arguments": []}


def arguments(value: object, repairs: Counter) -> Iterator[dict]:
    """Arguments of one event: `{"role": ["name"]}`, or a list of `{"name", "role"}`; None where there are none."""
    return words([] if value is None else value, repairs, "name", "role")


COLLECTORS = {
    "NER": entities,
    "RE": relations,
    "EE": events,
    "EE trigger": triggers,
    "EE argument": arguments,
}


def keyed(
    value: object, names: tuple[str, ...], labels: tuple[str, ...], repairs: Counter
) -> Iterator[tuple[object, object]]:
    """(label, what stands under it): an object's pairs, or each object of a list by its own label, under a key of `labels`."""
    keys = {key for key, _ in value if is_text(key)} if isinstance(value, Pairs) else set()
    flat = bool(keys.intersection(names) and keys.intersection(labels))
    if isinstance(value, Pairs) and not flat:
        repairs["repeated_key"] += len(value) - len({str(key) for key, _ in value})
        yield from value
        return
    if flat:
        repairs["single_value"] += 1
    for item in [value] if flat else value if isinstance(value, list) else [None]:
        nested = isinstance(item, Pairs)
        if nested and is_text(item.get(*labels)):
            repairs["object_list"] += 1
            yield item.get(*labels), [item]
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


def is_pair(value: object) -> bool:
    """`["head", "tail"]` or `{"head", "tail"}`."""
    return (
        is_object(value) or isinstance(value, list) and len(value) == 2 and all(map(is_text, value))
    )


def is_object(value: object) -> bool:
    """A JSON object."""
    return isinstance(value, Pairs)
