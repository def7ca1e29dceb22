"""Find the parts of an item in a value: under which key the name stands, which text is the type.

In: objects as `Pairs`, lists, texts. Out: parts. `entities`, `relations` and `events` read items
with it: a word becomes a type only where it was asked for, or where the shape leaves no doubt; what
nobody can tell counts as `dropped_item`. Shown in notebook 05.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from miniluotuo_utils.ie.keys import Asked, is_word, rank
from miniluotuo_utils.ie.names import is_label, is_text, no_name
from miniluotuo_utils.ie.tolerant import Number, Pairs

DEEPEST = 6  # wrappers within wrappers
LONGEST = 200  # characters of a text that may hold a pair, or a triple
SENTENCE = re.compile(r"[，。？！；,?!;\n]")
JOINED = re.compile(
    r"《[^》]*》|“[^”]*”|\"[^\"]*\"|（[^）]*）|\([^)]*\)|(、|；|;|，|(?<!\d),|,(?!\d)|\s/\s)"
)


def by_shape(
    value: object,
    asked: Asked,
    repairs: Counter,
    depth: int,
    readers: tuple[Callable[..., Iterator[dict]], Callable[..., Iterator[dict]]],
) -> Iterator[dict]:
    """Yield the items of an object or of a list, by the reader of each; what is neither counts."""
    of_object, of_list = readers
    if (inner := named_wrapper(value, asked)) is not None:
        repairs["wrapper"] += 1
        value = inner
    if isinstance(value, Pairs) and depth <= DEEPEST:
        yield from of_object(value, asked, repairs, depth)
    elif isinstance(value, list) and depth <= DEEPEST:
        yield from of_list(value, asked, repairs, depth)
    else:
        repairs["null_value" if value is None or no_name(value) else "dropped_item"] += 1


def part(found: Pairs, name: str, good: Callable[[object], bool] = bool) -> str | None:
    """Return the key of an object that stands for a part and holds something good; the likeliest.

    >>> part(Pairs([("text", "李白生于碎叶"), ("entity", "李白")]), "name")
    'entity'
    """
    ranks = [(rank(key, name), key) for key, value in found if good(value)]
    return min((pair for pair in ranks if pair[0] is not None), default=(0, None))[1]


def wrapped(found: Pairs, task: str) -> object:
    """Return what stands around nothing but all items: under `entities`, `result`, …; else None."""
    # A call of a tool: `{"name": "extract", "arguments": {"entities": […]}}`.
    for name in (task, "any", "arguments"):
        key = part(found, name, lambda value: isinstance(value, list))
        if key is not None:
            return found.get(key)
    return None


def named_wrapper(value: object, asked: Asked) -> Pairs | None:
    """Return the object of an object that only names it: `{"MedicalEntities": {"疾病": […]}}`."""
    if not isinstance(value, Pairs) or len(value) != 1 or not isinstance(value[0][1], Pairs):
        return None
    name, inner = value[0]
    if asked.known(name) is not None:
        return None
    # `{"李白": {"出生地": ["碎叶"]}}` is a head with its relations, over lists of texts.
    whole = [key for key, held in inner if is_list(held) and not all(map(is_text, held))]
    return (
        inner
        if any(asked.known(key) or rank(key, asked.task) is not None for key in whole)
        else None
    )


def bare(value: object, name: str = "name") -> object:
    """Return the text of a name that stands in an object or a list of one: `{"text": "李白"}`.

    >>> bare(Pairs([("@value", "李白")])), bare(["李白"]), bare("李白")
    ('李白', '李白', '李白')
    """
    if isinstance(value, Pairs):
        key = part(value, name, is_text)
        if key is not None:
            return value.get(key)
        # `{"姓名": "李白"}`: one text in all.
        texts = [text for k, text in value if is_text(text) and rank(k, "meta") is None]
        return texts[0] if len(texts) == 1 and not isinstance(texts[0], Number) else None
    if isinstance(value, list):
        texts = [one for one in value if is_text(one) and not isinstance(one, Number)]
        return (
            texts[0] if len(texts) == 1 and not any(isinstance(v, Pairs) for v in value) else None
        )
    return value


def several(value: object, repairs: Counter, name: str = "name") -> list:
    """Return the names under one key: of a list, of a text that joins some, of one, of none."""
    if isinstance(value, Pairs):
        if bare(value, name) is not None:
            repairs["single_value"] += 1
            return [bare(value, name)]
        # `{"names": ["李白"], "count": 1}`
        keys = (part(value, of, is_list) for of in (name, "NER"))
        if (key := next((key for key in keys if key is not None), None)) is not None:
            return several(value.get(key), repairs, name)
        # CLUENER: `{"李白": [[0, 1]]}`.
        repairs["places"] += 1
        return [
            key if is_place(places) and may_be_name(key, places) else None for key, places in value
        ]
    if isinstance(value, list):
        # `["李白", 0, 2]` is one name with its place, `[["李白", 0, 2]]` a list of one.
        numbers = sum(isinstance(one, Number) for one in value)
        if numbers and numbers == len(value) - 1 and bare(value) is not None:
            repairs["places"] += 1
            return [bare(value)]
        nothing = bool(value) and all(one is None for one in value)
        repairs["null_value"] += nothing
        return [] if nothing else [bare(one, name) for one in value]
    if is_text(value):
        repairs["single_value"] += 1
        names = split_names(value)
        repairs["joined_names"] += len(names) > 1
        return names
    repairs["null_value" if value is None else "dropped_item"] += 1
    return []


def split_names(text: str) -> list[str]:
    """Split names that one text joins, but not inside of quotes and brackets.

    >>> split_names("《静夜思、春望》、1,000人，李白")
    ['《静夜思、春望》', '1,000人', '李白']
    """
    if len(text) > 20 * LONGEST:
        return [text]
    ends = [m.span() for m in JOINED.finditer(text) if m[1]]
    starts = [0, *(end for _, end in ends)]
    stops = [*(start for start, _ in ends), len(text)]
    pieces = [text[a:b].strip() for a, b in zip(starts, stops, strict=True)]
    return [piece for piece in pieces if piece] or [text]


def is_place(value: object) -> bool:
    """Tell whether a value is numbers only, or says nothing: `[[0, 1]]`, `{}`, null."""
    if isinstance(value, Pairs):
        return all(rank(key, "meta") is not None for key, _ in value)
    if isinstance(value, list):
        return all(isinstance(one, Number) or (is_list(one) and is_place(one)) for one in value)
    return value is None or isinstance(value, Number)


def may_be_name(key: object, places: object) -> bool:
    """Tell whether a key over places or a number is a name, and no measure: `{"recall": 0.8}`."""
    return rank(key, "meta") is None or isinstance(places, list)


def is_list(value: object) -> bool:
    """Tell whether a value is a list and no object."""
    return isinstance(value, list) and not isinstance(value, Pairs)


def texts_of(value: Sequence) -> list[str] | None:
    """Return the texts of a flat list without its numbers; None where other things stand in it."""
    if not all(is_text(one) or one is None for one in value):
        return None
    return [one for one in value if one is not None and not isinstance(one, Number)]


def oriented(one: str, other: str, is_type: Callable[[object], bool]) -> int | None:
    """Return which of two texts is the type: 1 for the second, 0 for the first, None in doubt."""
    first, second = is_type(one), is_type(other)
    return None if first == second else int(second)


def may_be_type(label: object, asked: Asked) -> bool:
    """Tell whether a key under which names stand may be a type that nobody asked for."""
    if asked.strict and asked.task != "EE":
        return asked.is_type(label)
    plain = is_label(label) and not is_word(label) and len(label) <= 16
    return plain and not SENTENCE.search(label)


def typed(label: object, asked: Asked, repairs: Counter) -> str | None:
    """Return a label as a type; one that was not asked for is counted."""
    if not is_label(label):
        return None
    kind = asked.label(label)
    repairs["unasked_type"] += bool(asked.types) and asked.known(label) is None
    return kind


# The type behind a name may hold brackets of its own: `乳酸酸中毒（疾病（诊断））`.
BRACKETED = re.compile(
    r"(.+?)\s*[（(\[【<〈「［]((?:[^（(\[【]|[（(][^()（）]{1,16}[)）])+?)[)）\]】>〉」］]。?\Z",
    re.DOTALL,
)
BETWEEN = re.compile(
    r"\s*(?:=>|->|→|⇒|——|--+|—|–|\||｜|\t|：|:|=|＝|/|#|，|,|~|\s-\s|(?<=\S)-(?=\S)| {1,4})\s*"
)
IS_A = re.compile(
    r"(.+?)\s*(?:是一个|是一种|是一位|属于|是|为|的类型是|的类型为)\s*(.+?)(?:类型|类)?\s*。?\Z"
)


def text_pair(text: str) -> tuple[str, str] | None:
    """Return the two texts that one text holds: `李白（人物）`, `李白 - 人物`, `李白：人物`.

    >>> text_pair("李白（人物）"), text_pair("李白 | 人物"), text_pair("(李白, 人物)")
    (('李白', '人物'), ('李白', '人物'), ('李白', '人物'))
    """
    if len(text) > LONGEST:
        return None
    text = stripped_brackets(text)
    found = BRACKETED.fullmatch(text)
    if found and not re.search(r"[)）\]】]\s*[、，,；;]", found[1]):
        return found[1].strip(QUOTED), found[2].strip(QUOTED)
    pieces = [piece.strip(QUOTED) for piece in BETWEEN.split(text)]
    if len(pieces) == 2 and all(pieces):
        return pieces[0], pieces[1]
    found = None if re.search("不是|不属于|并非|不为", text) else IS_A.fullmatch(text)
    return (found[1].strip(QUOTED), found[2].strip(QUOTED)) if found else None


def explained_pair(one: object, is_type: Callable[[object], bool]) -> tuple[str, str] | None:
    """Return the first two of three texts or more where one of them is the type, the rest said why.

    >>> explained_pair("李白 - 人物 - 唐代诗人", lambda text: text == "人物")
    ('李白', '人物')
    """
    if is_list(one):
        pieces = texts_of(one) or []
    elif is_text(one) and len(one) <= LONGEST:
        pieces = [piece.strip(QUOTED) for piece in re.split(r"\s+[-–—|｜]+\s+|——|[|｜\t]", one)]
    else:
        return None
    sure = [n for n, piece in enumerate(pieces) if is_type(piece)]
    if len(pieces) < 3 or len(sure) != 1 or sure[0] > 1 or not all(pieces[:2]):
        return None
    return pieces[0], pieces[1]


QUOTED = " \t\"'“”‘’「」*`。"
ENCLOSED = {"(": ")", "（": "）", "[": "]", "<": ">", "〈": "〉", "【": "】", "［": "］"}


def stripped_brackets(text: str) -> str:
    """Return a text without the brackets around all of it.

    >>> stripped_brackets("（李白, 人物）"), stripped_brackets("(a)-(b)")
    ('李白, 人物', '(a)-(b)')
    """
    text = text.strip().rstrip(",，;；。").strip()
    closer = ENCLOSED.get(text[:1])
    if closer and text.endswith(closer) and text.count(text[0]) == text.count(closer) == 1:
        return text[1:-1].strip()
    return text


def column_pairs(value: Pairs, parts: Sequence[str]) -> list[Pairs] | None:
    """Return the objects of an object of columns: `{"实体": ["李白"], "类型": ["人物"]}`."""
    keys = [part(value, name, lambda v: is_list(v) and texts_of(v) is not None) for name in parts]
    columns = [value.get(key) for key in keys if key is not None]
    if len(set(keys)) != len(parts) or None in keys or len({len(c) for c in columns}) != 1:
        return None
    return [Pairs(zip(parts, row, strict=True)) for row in zip(*columns, strict=True)]
