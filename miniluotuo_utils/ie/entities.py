"""Read entities in any shape: under their types, as objects, pairs or texts. Shown in notebook 05.

In: a value, what was asked for. Out: NER items; what was forgiven is counted in `repairs`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from miniluotuo_utils.ie.doubts import is_rejected
from miniluotuo_utils.ie.keys import Asked, is_word, rank
from miniluotuo_utils.ie.names import is_text, kept, name_of, no_name
from miniluotuo_utils.ie.shapes import (
    SENTENCE,
    bare,
    by_shape,
    column_pairs,
    explained_pair,
    is_list,
    is_place,
    may_be_type,
    oriented,
    part,
    several,
    text_pair,
    texts_of,
    typed,
    wrapped,
)
from miniluotuo_utils.ie.tolerant import Number, Pairs

NUMBERED = re.compile(r"[A-Za-z_]{0,8}[-_]?\d+\Z")
TAGGED = re.compile(r"([BIMESLU])[-_](.+)")


def read_entities(value: object, asked: Asked, repairs: Counter, depth: int = 0) -> Iterator[dict]:
    """Yield NER items."""
    return by_shape(value, asked, repairs, depth, (entity_object, entity_list))


def entity_object(value: Pairs, asked: Asked, repairs: Counter, depth: int) -> Iterator[dict]:
    """Yield the items of one object: an item, a wrapper, columns, or names under their types."""
    # A key that was asked for is a type, whatever else it may mean.
    known = any(asked.known(key) is not None for key, _ in value)
    if not known and not is_item_of_ner(value, repairs):
        return
    lists = known and all(is_list(found) for _, found in value)
    found = None if lists else entity_item(value, asked)
    if found:
        repairs["single_value"] += not depth
        yield from entities(*found, asked, repairs)
        yield from nested_items(value, found[0], asked, repairs, depth)
        return
    held = [] if known else [inner for key, inner in value if holds_items(key, inner, asked)]
    inner = None if known else wrapped(value, "NER")
    columns = None if known else entity_columns(value)

    # `{"实体": [...], "类型": [...]}`, `{"entities": …}`, else names under their types.
    if columns:
        repairs["columns"] += 1
        yield from entity_list(columns, asked, repairs, depth + 1)
    elif held or inner is not None:
        repairs["wrapper"] += 1
        for one in held or [inner]:
            yield from read_entities(one, asked, repairs, depth + 1)
    else:
        yield from under_types(value, asked, repairs)


def under_types(value: Pairs, asked: Asked, repairs: Counter) -> Iterator[dict]:
    """Yield the items of an object of types, each over its names."""
    if are_counts(value, asked):
        repairs["dropped_item"] += len(value)
        return
    repairs["repeated_key"] += len(value) - len({str(key) for key, _ in value})
    beside = repairs["extra_key"]
    for key, names in value:
        yield from entities_under(key, names, asked, repairs)
    repairs["dropped_item"] += 0 < len(value) == repairs["extra_key"] - beside


def nested_items(
    value: Pairs, name: object, asked: Asked, repairs: Counter, depth: int
) -> Iterator[dict]:
    """Yield the items inside of an item: `{"name": …, "type": …, "nested": [{…}]}`."""
    for key, inner in value if is_text(name) else ():
        if rank(key, "meta") is None and inner is not name and holds_items(key, inner, asked):
            repairs["nested"] += 1
            yield from read_entities(inner, asked, repairs, depth + 1)


def are_counts(value: Pairs, asked: Asked) -> bool:
    """Tell whether only numbers stand under several types: how many, or how sure."""
    told = [names for key, names in value if asked.is_type(key)]
    return len(told) > 1 and all(isinstance(one, Number | bool) for one in told)


def is_item_of_ner(value: Pairs, repairs: Counter) -> bool:
    """Tell whether an object may be or hold entities and is no event."""
    event = part(value, "trigger", is_text), part(value, "arguments", lambda v: isinstance(v, list))
    repairs["dropped_item"] += None not in event
    return None in event


def entity_columns(value: Pairs) -> list[Pairs] | None:
    """Return the items of columns: `{"entities": ["李白"], "labels": ["人物"]}`."""
    names = column_pairs(value, ("name", "type"))
    if names:
        return names
    lists = column_pairs(value, ("NER", "type"))
    return [Pairs([("name", one[0][1]), one[1]]) for one in lists] if lists else None


def holds_items(key: object, value: object, asked: Asked) -> bool:
    """Tell whether whole items stand under a key, whatever it is called: `{"1": {item}}`."""
    if rank(key, "RE") is not None or rank(key, "EE") is not None or is_rejected(key):
        return False
    found = value if is_list(value) else [value]
    return any(isinstance(one, Pairs) and entity_item(one, asked) for one in found)


def entity_item(value: Pairs, asked: Asked) -> tuple[object, object] | None:
    """Return (names, type) of an object that is one item, or one type with its names."""
    kinds = [kind_in(v, asked) for key, v in value if rank(key, "type") is not None]
    kinds = [kind for kind in kinds if is_text(kind) and not isinstance(kind, Number)]
    names = [key for key, v in value if rank(key, "name") is not None and is_text(v)]
    # LangChain's graphs: `{"id": "李白", "type": "人物"}`.
    if not names and kinds and len(value) <= 3:
        names = [key for key, v in value if key == "id" and is_text(v) and not NUMBERED.match(v)]
    # transformers: `{"entity": "PER", "word": "李白"}`; elsewhere an entity is a name.
    if not kinds and len(names) > 1 and part(value, "type", is_text) is None:
        texts = [value.get(key) for key in names]
        kinds = [text for text in texts if asked.is_type(text)]
        names = [key for key in names if value.get(key) not in kinds]
    if len(kinds) > 1:
        key = part(value, "type", is_text)
        kinds = [kind for kind in kinds if asked.is_type(kind)] or [value.get(key) or kinds[0]]
    if kinds and names:
        return value.get(min(names, key=lambda key: rank(key, "name") or 0)), kinds[0]
    if kinds:
        # `{"type": "人物", "entities": ["李白"]}`
        lists = [
            v
            for key, v in value
            if is_list(v)
            and not is_place(v)
            and (rank(key, "name") is not None or rank(key, "NER") is not None)
        ]
        if lists:
            return lists[0], kinds[0]
    return lone_pair(value, asked)


def kind_in(value: object, asked: Asked) -> object:
    """Return the type under a key for it: a text, a list of one, or an object that names a type."""
    kind = bare(value, "type")
    if not is_text(kind) and isinstance(value, Pairs):
        kind = bare(value)
    return kind if is_text(value) or asked.is_type(kind) else None


def lone_pair(value: Pairs, asked: Asked) -> tuple[object, object] | None:
    """Return (name, type) where keys say little, but one of two texts is a type beyond doubt."""
    texts = [
        text
        for key, text in value
        if is_text(text) and not isinstance(text, Number) and rank(key, "meta") is None
    ]
    kinds = [text for text in texts if asked.is_type(text)]
    keyed = any(asked.is_type(key) for key, _ in value)
    if len(texts) != 2 or len(kinds) != 1 or keyed:
        return None
    words = [key for key, text in value if text in texts and is_word(key)]
    return (texts[1 - texts.index(kinds[0])], kinds[0]) if words else None


def entities(names: object, kind: object, asked: Asked, repairs: Counter) -> Iterator[dict]:
    """Yield the items of one type."""
    label = typed(kind, asked, repairs)
    for name in names if isinstance(names, list) else [names]:
        name = name_of(bare(name), repairs)
        if name != "" and kept(repairs, label, name):
            yield {"name": name, "type": label}


def entities_under(key: object, value: object, asked: Asked, repairs: Counter) -> Iterator[dict]:
    """Yield the items under a key that is a type, or under a name whose type stands there."""
    if asked.known(key) is None:
        if swapped := named_by_key(key, value, asked, repairs):
            yield from entities(*swapped, asked, repairs)
            return
        if is_word(key) or attribute(key) or is_rejected(key):
            # What is said beside the items is left out; names under no type are lost.
            lost = is_list(value) and bool(value) and rank(key, "meta") is None
            lost = lost and not is_rejected(key)
            repairs["dropped_item" if lost else "extra_key"] += 1
            return
        doubtful = is_text(value) and not asked.is_type(key)
        if not may_be_type(key, asked) or doubtful or sentences(value):
            repairs["dropped_item"] += 1
            return
    yield from entities(several(value, repairs), key, asked, repairs)


def named_by_key(
    key: object, value: object, asked: Asked, repairs: Counter
) -> tuple[str, str] | None:
    """Return (name, type) where a key is the name, `{"李白": "人物"}`, or leads to both."""
    # `**李白**（人物）：唐代诗人` holds both in its key.
    for text in (value if is_word(key) else None, None if asked.is_type(key) else key):
        pair = text_pair(text) if is_text(text) else None
        at = oriented(*pair, asked.is_type) if pair else None
        if at is not None:
            repairs["pairs"] += 1
            return pair[1 - at], pair[at]

    # `{"李白": ["人物"]}`, `{"李白": {"type": "人物"}}`, `李白：人物，唐代人`
    kind = bare(value, "type")
    if is_text(kind) and not asked.is_type(kind):
        kind = re.split(r"[，,（(。]", kind)[0]
    may_swap = is_text(key) and not asked.is_type(key) and not is_word(key)
    if may_swap and is_text(kind) and asked.is_type(kind):
        repairs["swapped"] += 1
        return key, kind
    return None


def attribute(key: object) -> bool:
    """Tell whether a key is LangExtract's `人物_attributes`."""
    return isinstance(key, str) and key.endswith("_attributes")


def sentences(value: object) -> bool:
    """Tell whether a value holds sentences where names should be."""
    texts = value if is_list(value) else [value]
    return any(is_text(text) and len(text) > 30 and SENTENCE.search(text) for text in texts)


def entity_list(value: list, asked: Asked, repairs: Counter, depth: int) -> Iterator[dict]:
    """Yield the items of a list: of objects, of pairs, or of texts that hold both."""
    texts = texts_of(value)
    # `["李白", "人物"]` alone is one pair.
    if texts is not None and len(texts) == 2 and oriented(*texts, asked.is_type) is not None:
        value = [value]
    value = joined_tags(value)
    pairs = [pair_in(one) or explained_pair(one, asked.is_type) for one in value]
    sides = {oriented(*pair, asked.is_type) for pair in pairs if pair} - {None}
    # One pair in doubt is read as the others are.
    side = sides.pop() if len(sides) == 1 else None
    for one, pair in zip(value, pairs, strict=True):
        if pair:
            repairs["pairs"] += 1
            own = oriented(*pair, asked.is_type)
            at = side if own is None else own
            names = [None, None] if at is None else [pair[1 - at], pair[at]]
            yield from entities(*names, asked, repairs)
        elif isinstance(one, Pairs):
            repairs["object_list"] += 1
            yield from entity_object(one, asked, repairs, depth + 1)
        elif is_list(one) and any(isinstance(inner, list) for inner in one):
            yield from read_entities(one, asked, repairs, depth + 1)
        else:
            yield from lone_name(one, asked, repairs)


def pair_in(one: object) -> tuple[str, str] | None:
    """Return the two texts of a list element: `["李白", "人物"]`, or of a text: `李白（人物）`."""
    if is_list(one):
        texts = texts_of(one)
        return (texts[0], texts[1]) if texts is not None and len(texts) == 2 else None
    return text_pair(one) if is_text(one) and not isinstance(one, Number) else None


def lone_name(one: object, asked: Asked, repairs: Counter) -> Iterator[dict]:
    """Yield a name of a list without types: its type is the one that was asked for, if only one."""
    if one is None or no_name(one):
        repairs["null_value"] += 1
    elif (
        not asked.strict
        and asked.only() is not None
        and (is_text(one) or is_list(one))
        and bare(one) is not None
    ):
        repairs["only_type"] += 1
        yield from entities(bare(one), asked.only(), asked, repairs)
    else:
        repairs["dropped_item"] += 1


def joined_tags(value: list) -> list:
    """Join tokens tagged by BIO, one object or pair each, into names; other lists stay.

    >>> joined_tags([["李", "B-人物"], ["白", "I-人物"], ["在", "O"]])
    [['李白', '人物']]
    """
    tokens = [token_of(one) for one in value]
    if len(tokens) < 2 or not all(tokens) or not any(tag != "O" for _, tag in tokens):
        return value
    names: list[list[str]] = []
    open_kind = None
    for word, tag in tokens:
        found = TAGGED.fullmatch(tag)
        mark, kind = found.groups() if found else ("O", None)
        if mark in "IMEL" and kind == open_kind and names:
            names[-1][0] += word.removeprefix("##")
        elif found:
            names.append([word, kind])
        open_kind = kind if mark in "BIM" else None
    return names


def token_of(one: object) -> tuple[str, str] | None:
    """Return a token and its BIO tag, None where something else stands."""
    if isinstance(one, Pairs):
        texts = [text for key, text in one if is_text(text) and not isinstance(text, Number)]
    else:
        texts = texts_of(one) if is_list(one) else None
    tags = [text for text in texts or () if TAGGED.fullmatch(text) or text == "O"]
    words = [text for text in texts or () if text not in tags]
    return (words[0], tags[0]) if len(tags) == 1 and len(words) == 1 else None
