"""Read an answer back into items, forgiving what small models get wrong. Shown in notebook 05.

In: any string and a task. Out: `Parsed`, with every forgiveness named and counted. Strict JSON is
read as it stands. Top to bottom: which style an answer is in, the answers in JSON, the tolerant
reader of JSON; `lines` reads the other styles.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from miniluotuo_utils.ie.lines import READERS, is_label, is_text, kept, stripped
from miniluotuo_utils.ie.schema import Schema, field_of
from miniluotuo_utils.ie.styles import EMPTY_WORDS, FENCE, NOTHING, TEXT_END, check_style

# Which style an answer is in.
JSONS = ("json", "yayi")
JSON_LINE = re.compile(r"^[ \t]*(?:[{\[｛［]|```)", re.MULTILINE)  # a line that begins as JSON does
BRACKETED = re.compile(r"[(（]\s{0,9}type\s{0,9}[:：]")  # instructuie's `(type:发射, ...`

# What wraps an answer in lines, and what a backslash guards, so that it is not taken for that.
GUARDED = re.compile(r"\\.", re.DOTALL)
FENCES = re.compile(rf"({GUARDED.pattern})|{FENCE}", re.DOTALL)
ENDING = re.compile(rf"({GUARDED.pattern})|{TEXT_END}\s*\Z", re.DOTALL)

# Answers in JSON: keys of objects, as YAYI-UIE and others publish them.
TYPE_KEYS = ("type", "relation", "关系", "类型")
HEAD_KEYS = ("head", "头实体")
TAIL_KEYS = ("tail", "尾实体")
READINGS = 8  # places of one answer where an object or a list may begin

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
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
DEEPEST = 32  # brackets within brackets; a repeated "[" must not exhaust Python's stack


@dataclass
class Parsed:
    """An answer as read: `items`, and `repairs` (name -> how often).

    `ok` is False only when nothing could be read.
    """

    items: list[dict]
    repairs: dict[str, int]
    ok: bool


class Pairs(list):
    """A JSON object as [(key, value), ...]: a student that repeats a key loses nothing."""

    def get(self, *keys: str) -> object:
        """Return the first value under one of `keys`, or None."""
        return next((value for key, value in self if key in keys), None)


class Cut(Exception):
    """The answer ended inside a name."""


# ---- which style an answer is in


def parse(answer: str, task: str, style: str = "json", schema: Schema | None = None) -> Parsed:
    """Read an answer of a style; never raises, whatever the string.

    Items: NER `{name, type}`, RE `{head, type, tail}`,
    EE `{type, trigger, arguments: [{name, role}]}`.
    `schema`: the types that were asked for, such as a row's `types`. The line styles, instructuie
    and plain, use it to tell a type from a name; a type outside of it stays what it is, and is not
    hidden.

    An answer in another style is read too, as repair other_style. Repairs of JSON: prefix_text,
    suffix_text, code_fence, punctuation, quotes, comma, colon, bracket, truncated, bare_word,
    number, python_literal, repeated_key, object_list, single_value, bare_trigger, null_value,
    dropped_item. Of lines: code_fence, suffix_text, punctuation, quotes, comma, bullet, empty_word,
    null_value, swapped (type and name), line_break (a missing one), truncated, dropped_item.
    What a line style cannot tell is where a cut name ended: its last name may be half a name.

    >>> parse("答案：{'人物'：[“李白”，“杜", "NER").items
    [{'name': '李白', 'type': '人物'}]
    >>> parsed = parse("作者: 静夜思, 李白", "RE", "plain")
    >>> parsed.items, parsed.repairs
    ([{'head': '静夜思', 'type': '作者', 'tail': '李白'}], {'other_style': 1})
    """
    field_of(task)
    check_style(style)
    known = frozenset(schema or ())
    found = []
    for reading in likely_styles(answer, task, style):
        parsed = (
            json_answer(answer, task, reading)
            if reading in JSONS
            else line_answer(answer, task, reading, known, reading == style)
        )
        if reading != style:
            parsed.repairs["other_style"] = 1
        found.append(parsed)
        # Another style could read no more than everything.
        if parsed.items and not parsed.repairs.get("dropped_item"):
            break
    return best(found)


def best(found: Sequence[Parsed]) -> Parsed:
    """Return the first reading that has items, else the first that is ok, else the first."""
    return max(found, key=lambda parsed: (bool(parsed.items), parsed.ok))


def likely_styles(answer: str, task: str, style: str) -> list[str]:
    """Return the styles to read an answer as, in turn: its own, unless it has marks of another.

    >>> likely_styles('{"人物":["李白"]}', "NER", "plain")
    ['json', 'plain', 'instructuie']
    >>> likely_styles("人物：李白", "NER", "json")
    ['json', 'plain', 'instructuie']
    """
    # A Chinese colon or an arrow is a mark of plain, brackets with a type are of instructuie.
    bare = GUARDED.sub("", answer)
    bracketed = BRACKETED.search(bare) is not None
    looks_plain = not bracketed and ("：" in bare or "→" in bare)
    by_marks = ["plain", "instructuie"] if looks_plain else ["instructuie", "plain"]
    if style in JSONS:
        return [style] if START.search(answer) else [style, *by_marks]

    # A relation reads alike in both line styles, so its own comes first whatever the marks.
    doubtful = task == "EE" and bracketed
    if task == "NER":
        doubtful = ";" in bare if style == "plain" else ":" not in bare
    own_first = sorted(by_marks, key=lambda other: other != style)
    lines = by_marks if doubtful else own_first
    return ["json", *lines] if JSON_LINE.search(answer) else lines


def line_answer(answer: str, task: str, style: str, known: frozenset[str], own: bool) -> Parsed:
    """Read an answer in a line style. Not in its `own` style, it counts only if every line fits."""
    # What wraps the lines goes first: a code fence, a token that ends texts, spaces.
    unfenced = FENCES.sub(r"\1", answer)
    text = ENDING.sub(r"\1", unfenced)
    repairs: Counter = Counter()
    repairs["code_fence"] += unfenced != answer
    repairs["suffix_text"] += text != unfenced
    text = stripped(text)
    if text in EMPTY_WORDS:
        repairs["empty_word"] += text != NOTHING[style]
        # Another style's 没有 is more likely the beginning of a sentence than an answer.
        accepted = (NOTHING[style],) if own else ("无", "None")
        return Parsed([], dict(+repairs), text in accepted)

    items = list(READERS[style](text, task, known, repairs))
    if not own and (repairs["dropped_item"] or not all(plausible(item, known) for item in items)):
        return Parsed([], {}, False)
    nothing_told = bool(repairs["null_value"]) and not repairs["dropped_item"]
    return Parsed(items, dict(+repairs), bool(items) or nothing_told)


def plausible(item: Mapping, known: frozenset[str]) -> bool:
    """Tell whether a line's label may be a type: one of the schema, or else short, no sentence."""
    label = item["type"]
    if known:
        return label in known
    return len(label) <= 16 and not re.search(r"[，。？！,?!\s]", label)


# ---- answers in JSON


def json_answer(answer: str, task: str, style: str) -> Parsed:
    """Return the best reading of an answer as JSON."""
    found = [Parsed([], {}, False)]
    for value, repairs in islice(readings(answer), READINGS):
        items = list(COLLECTORS[task](value, repairs))
        ok = bool(items) or not (repairs["dropped_item"] or repairs["truncated"])
        # A list of objects is no repair where yayi asks for one, and a dict of lists is.
        if style == "yayi" and task != "NER":
            repairs["other_style"] += bool(items) and not repairs["object_list"]
            repairs["object_list"] = 0
        found.append(Parsed(items, dict(+repairs), ok))  # + leaves out what counted 0
    return best(found)


def readings(answer: str) -> Iterator[tuple[object, Counter]]:
    """Yield the values that an answer may hold, each with its repairs.

    That is all of it if it is JSON, else what stands from each bracket on.
    """
    repairs: Counter = Counter()

    # A name of digits is a name: 1984 stays the text "1984", but it should have had quotes.
    def number(text: str) -> str:
        repairs["number"] += 1
        return text

    # Strict JSON goes first: the tolerant reader would guess where a quote ends.
    try:
        value = json.loads(answer, object_pairs_hook=Pairs, parse_int=number, parse_float=number)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, list):
        yield value, repairs
        return

    # Small models talk before the answer and after it, and put brackets into what they say.
    at = 0
    while start := START.search(answer, at):
        reader = Reader(answer, start.start())
        value, at = reader.value(), reader.at
        for name, text in (("prefix_text", answer[: start.start()]), ("suffix_text", answer[at:])):
            rest = re.sub(FENCE, "", text)
            reader.repairs["code_fence"] |= rest != text  # its two ends are one fence
            reader.repairs[name] += bool(rest.strip())
        yield value, reader.repairs


def read_names(
    value: object, repairs: Counter, label: str = "type", keys: tuple[str, ...] = TYPE_KEYS
) -> Iterator[dict]:
    """Yield items of a name and a label: NER items, or the arguments of one event.

    They stand as `{"type": ["name"]}`, or as a list of objects with the label under one of `keys`.
    """
    for kind, found in by_label(value, ("name",), keys, repairs):
        for word in listed(found, is_text, repairs):
            name = word.get("name") if isinstance(word, Pairs) else word
            if kept(repairs, kind, name):
                yield {"name": name, label: kind}


def read_relations(value: object, repairs: Counter) -> Iterator[dict]:
    """Yield RE items of `{"type": [["head", "tail"]]}`, or of a list of objects."""
    for kind, pairs in by_label(value, HEAD_KEYS, TYPE_KEYS, repairs):
        for pair in listed(pairs, is_pair, repairs):
            if isinstance(pair, Pairs):
                pair = [pair.get(*HEAD_KEYS), pair.get(*TAIL_KEYS)]
            whole = isinstance(pair, list) and len(pair) == 2
            if kept(repairs, kind, *(pair if whole else [None])):
                yield {"head": pair[0], "type": kind, "tail": pair[1]}


def read_events(value: object, repairs: Counter) -> Iterator[dict]:
    """Yield EE items of `{"type": [{"trigger", "arguments"}]}`, or of a list of events."""
    for kind, found in by_label(value, ("trigger",), TYPE_KEYS, repairs):
        for event in listed(found, lambda one: isinstance(one, Pairs) or is_text(one), repairs):
            if is_text(event):  # `{"type": ["trigger"]}`
                repairs["bare_trigger"] += 1
                event = Pairs([("trigger", event)])
            trigger = event.get("trigger") if isinstance(event, Pairs) else None
            if kept(repairs, kind, trigger):
                told = event.get("arguments")
                arguments = read_names([] if told is None else told, repairs, "role", ("role",))
                yield {"type": kind, "trigger": trigger, "arguments": list(arguments)}


COLLECTORS = {"NER": read_names, "RE": read_relations, "EE": read_events}


def by_label(
    value: object, names: tuple[str, ...], labels: tuple[str, ...], repairs: Counter
) -> Iterator[tuple[object, object]]:
    """Yield (label, what stands under it) of an object, or of a list of objects with labels.

    `names` and `labels` are the keys under which an object of such a list holds them.
    """
    if isinstance(value, Pairs):
        # Types may themselves be called name and type: under those stand lists, not a label.
        keys = {key for key, _ in value if is_text(key)}
        if keys.isdisjoint(names) or not is_label(value.get(*labels)):
            repairs["repeated_key"] += len(value) - len({str(key) for key, _ in value})
            yield from value
            return
        # `{"name": ..., "type": "人物"}` is one item that stands there without its list.
        repairs["single_value"] += 1
        value = [value]
    for item in value if isinstance(value, list) else [None]:
        if not isinstance(item, Pairs):
            repairs["dropped_item"] += 1
            continue
        repairs["object_list"] += 1
        label = item.get(*labels)
        # Without a label of its own it is `[{"type": ["name"]}, ...]`.
        yield from [(label, [item])] if is_label(label) else item


def listed(value: object, single: Callable[[object], bool], repairs: Counter) -> list:
    """Return the items under one key: a list, one item that stands there without it, or null."""
    if single(value):
        repairs["single_value"] += 1
        return [value]
    if isinstance(value, list) and not isinstance(value, Pairs):
        return value
    repairs["null_value" if value is None else "dropped_item"] += 1
    return []


def is_pair(value: object) -> bool:
    """Tell whether a value is `["head", "tail"]` or an object."""
    pair = isinstance(value, list) and len(value) == 2 and all(map(is_text, value))
    return pair or isinstance(value, Pairs)


# ---- the tolerant reader of JSON


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
        opener, begin = self.text[self.at], self.at + 1
        self.repairs["quotes"] += opener != '"'
        inner = 0
        for found in QUOTES[FAMILY[opener]].finditer(self.text, begin):
            quote = found[0]
            # `"他的“好”，不假"`: a quote that closes an inner one ends nothing.
            if quote in CLOSING and inner:
                inner -= 1
            elif quote in FAMILY and self.ends(opener, quote, found.end()):
                self.at = found.end()
                return ESCAPE.sub(unescaped, self.text[begin : found.start()])
            inner += quote in OPENING
        raise Cut

    def ends(self, opener: str, quote: str, after: int) -> bool:
        """Tell whether a quote closes a text: a mark, the end or an opening quote follows it."""
        follows = NEXT.match(self.text, after).group(1)
        if not follows or MARKS.get(follows, "[") not in "[{":
            return True
        # `"李白" "杜甫"`: a forgotten comma.
        partner = CLOSING[OPENING.index(opener)] if opener in OPENING else opener
        return quote == partner and follows in FAMILY and follows not in CLOSING

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
        self.repairs["number" if re.fullmatch(r"-?\d+(\.\d+)?", text) else "bare_word"] += 1
        return text


def unescaped(found: re.Match) -> str:
    r"""Return the character that an escape writes.

    >>> ESCAPE.sub(unescaped, r"\u674e\"白\"")
    '李"白"'
    """
    letter = found[1]
    return chr(int(letter[1:], 16)) if len(letter) > 1 else ESCAPES.get(letter, letter)
