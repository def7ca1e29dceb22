"""Read relations in any shape: under their types, as objects, triples or texts. In notebook 05.

In: a value, what was asked for. Out: RE items; what was forgiven is counted in `repairs`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from miniluotuo_utils.ie.keys import Asked, is_word, rank
from miniluotuo_utils.ie.names import is_label, is_text, kept, name_of, no_name
from miniluotuo_utils.ie.shapes import (
    LONGEST,
    QUOTED,
    SENTENCE,
    bare,
    by_shape,
    column_pairs,
    is_list,
    may_be_type,
    part,
    several,
    stripped_brackets,
    texts_of,
    typed,
    wrapped,
)
from miniluotuo_utils.ie.tolerant import Number, Pairs


def read_relations(value: object, asked: Asked, repairs: Counter, depth: int = 0) -> Iterator[dict]:
    """Yield RE items."""
    return by_shape(value, asked, repairs, depth, (relation_object, relation_list))


def relation_object(value: Pairs, asked: Asked, repairs: Counter, depth: int) -> Iterator[dict]:
    """Yield the items of one object: a triple, a wrapper, columns, or pairs under relations."""
    # A key that was asked for is a relation, whatever else it may mean.
    known = any(asked.known(key) is not None for key, _ in value)
    columns = None if known else column_pairs(value, ("head", "relation", "tail"))
    if columns:
        repairs["columns"] += 1
        yield from relation_list(columns, asked, repairs, depth + 1)
    elif ends := ends_of(value):
        repairs["single_value"] += not depth
        yield from relations(relation_in(value, asked), [ends], asked, repairs)
    elif head := head_beside(value, asked):
        own = Pairs((key, tails) for key, tails in value if asked.known(key) is not None)
        yield from under_head(head, own, asked, repairs)
    elif nested := nested_relations(value, known):
        yield from under_head(*nested, asked, repairs)
    elif not known and (held := held_in(value)):
        repairs["wrapper"] += 1
        for inner in held:
            yield from read_relations(with_names(inner, value), asked, repairs, depth + 1)
    elif found := relation_by_types(value, asked):
        yield from relations(found[0], [found[1:]], asked, repairs)
    # Nothing stands around the pairs: each key is a relation, or a head.
    else:
        repairs["repeated_key"] += len(value) - len({str(key) for key, _ in value})
        for key, pairs in value:
            yield from relations_under(key, pairs, asked, repairs)


def head_beside(value: Pairs, asked: Asked) -> object:
    """Return the head of `{"name": "李白", "出生地": "碎叶", "字": "太白"}`; None without one."""
    keys = (part(value, name, is_named) for name in ("head", "name"))
    key = next((key for key in keys if key is not None and asked.known(key) is None), None)
    tails = [held for relation, held in value if asked.known(relation) is not None]
    flat = tails and all(is_text(held) or (is_list(held) and texts_of(held)) for held in tails)
    head = bare(value.get(key)) if key is not None and flat else None
    # A sentence is no head, but what the triples were found in.
    return None if head is None or SENTENCE.search(head) or len(head) > 40 else head


def held_in(value: Pairs) -> list:
    """Return what holds whole triples, whatever its key, else what stands under a known key."""
    held = [inner for key, inner in value if holds_triples(inner)]
    inner = wrapped(value, "RE")
    return held or ([] if inner is None else [inner])


def holds_triples(value: object) -> bool:
    """Tell whether a value is or holds objects with head, relation and tail."""
    return any(
        isinstance(one, Pairs) and ends_of(one) and part(one, "relation", is_text)
        for one in (value if is_list(value) else [value])
    )


def ends_of(value: Pairs) -> tuple[object, object] | None:
    """Return what stands for head and tail of an object, None where one is missing."""
    keys = [part(value, name, lambda v: v is not None) for name in ("head", "tail")]
    return None if None in keys else (value.get(keys[0]), value.get(keys[1]))


def relation_in(value: Pairs, asked: Asked) -> object:
    """Return the relation of a triple: under a key for it, else the one that was asked for."""
    key = part(value, "relation", is_label)
    if key is None:
        inner = next((v for k, v in value if rank(k, "relation") is not None), None)
        return bare(inner, "relation") if isinstance(inner, Pairs) else asked.only()
    return value.get(key)


def relation_by_types(value: Pairs, asked: Asked) -> tuple[str, str, str] | None:
    """Return (relation, head, tail) of `{"人物": "李白", "关系": "出生地", "地点": "碎叶"}`."""
    key = part(value, "relation", asked.is_type)
    others = [text for k, text in value if k != key and is_text(text) and rank(k, "meta") is None]
    return (value.get(key), *others) if key is not None and len(others) == 2 else None


def nested_relations(value: Pairs, known: bool) -> tuple[object, object] | None:
    """Return (head, relations) of `{"text": "李白", "relations": {"出生地": ["碎叶"]}}` (UIE)."""
    inner = part(value, "RE", lambda v: isinstance(v, list))
    names = [part(value, name, is_named) for name in ("head", "name")]
    name = next((key for key in names if key is not None), None)
    if known or inner is None or name is None:
        return None
    # `{"text": sentence, "spo_list": [{subject, predicate, object}]}` is a wrapper.
    found = value.get(inner)
    whole = is_list(found) and any(isinstance(one, Pairs) and ends_of(one) for one in found)
    return None if whole or not found else (bare(value.get(name)), found)


def is_named(value: object) -> bool:
    """Tell whether a value is a name, or an object of one: `{"value": "潮声记"}`."""
    return is_text(value) or isinstance(value, Pairs) and is_text(bare(value))


def under_head(head: str, inner: object, asked: Asked, repairs: Counter) -> Iterator[dict]:
    """Yield the relations of one head: `{relation: tails}`, or objects of relation and tail."""
    repairs["nested"] += 1
    # Either `{"predicate": …, "object": …}`, or `{"出生地": ["碎叶"]}`.
    for one in inner if is_list(inner) else [inner]:
        if not isinstance(one, Pairs):
            repairs["dropped_item"] += 1
            continue
        tail, kind = part(one, "tail"), part(one, "relation", is_label)
        if tail is None:
            tail = part(one, "name")
        if tail is not None and kind is not None:
            pairs = [(head, name) for name in several(one.get(tail), repairs)]
            yield from relations(one.get(kind), pairs, asked, repairs)
            continue
        # Every key is a relation of the head.
        for key, tails in one:
            pairs = [(head, name) for name in several(tails, repairs)]
            yield from relations(key, pairs, asked, repairs)


def with_names(inner: object, outer: Pairs) -> object:
    """Return relations whose ends are numbers with the names of the entities beside them."""
    names: dict[str, str] = {}
    for key, found in outer:
        if rank(key, "NER") is not None and is_list(found):
            names |= numbered_names(found)
    if not names or not is_list(inner):
        return inner

    def named(one: Pairs) -> Pairs:
        return Pairs((k, names.get(v, v) if isinstance(v, str) else v) for k, v in one)

    return [named(one) if isinstance(one, Pairs) else one for one in inner]


def numbered_names(entities: list) -> dict[str, str]:
    """Return number -> name of entities that have both."""
    found = {}
    for one in entities:
        name = part(one, "name", is_text) if isinstance(one, Pairs) else None
        number = one.get("id") if name is not None else None
        if isinstance(number, str):
            found[number] = one.get(name)
    return found


def relations(
    kind: object, pairs: Sequence[tuple], asked: Asked, repairs: Counter
) -> Iterator[dict]:
    """Yield the items of one relation; an end may be several names."""
    label = typed(kind, asked, repairs)
    for head, tail in pairs:
        for one in head if is_list(head) and head else [head]:
            for other in tail if is_list(tail) and tail else [tail]:
                names = [name_of(bare(name), repairs) for name in (one, other)]
                if asked.strict and all(names):
                    names = ends_without_types(*names)
                # A head that is a number points to an entity; a tail may be a year.
                if isinstance(one, Number):
                    names = [None, None]
                if "" not in names and kept(repairs, label, *names):
                    yield {"head": names[0], "type": label, "tail": names[1]}


TYPED = re.compile(r"(.+?)\s*[(（\[【:：]\s*([^()（）\[\]【】:：]+?)\s*[)）\]】]?|()")


def end_of(name: str) -> str:
    """Return an end of a triple in lines without its brackets and its type.

    >>> end_of("(李白)"), end_of("李白[人物]"), end_of("人物:李白"), end_of("李白（字太白）")
    ('李白', '李白', '李白', '李白（字太白）')
    """
    name = stripped_brackets(name)
    found = TYPED.fullmatch(name)
    sure = [COMMON_KINDS(text) for text in found.groups()[:2]] if found and found[1] else []
    if sum(sure) != 1:
        return name
    return found[2] if sure[0] and re.search("[:：]", name) else found[1]


def ends_without_types(head: str, tail: str) -> list[str]:
    """Return the ends of a triple in lines without their types: both, where one surely has one.

    >>> ends_without_types("潮声记:电影", "渡口:小说"), ends_without_types("李白", "3:2")
    (['潮声记', '渡口'], ['李白', '3:2'])
    """
    found = [end_of(head), end_of(tail)]
    apart = [re.split("[:：]", end) for end in (head, tail)]
    both = all(len(pieces) == 2 and all(pieces) for pieces in apart)
    sides = [pieces.index(end) for pieces, end in zip(apart, found, strict=True) if end in pieces]
    return [pieces[sides[0]] for pieces in apart] if both and sides else found


def relations_under(key: object, value: object, asked: Asked, repairs: Counter) -> Iterator[dict]:
    """Yield the items under a key that is a relation, a head, or a type of heads (UIE)."""
    if asked.known(key) is None:
        heads = [one for one in value if isinstance(one, Pairs)] if is_list(value) else []
        nested = [nested_relations(one, False) for one in heads]
        if nested and len(heads) == len(value) and all(nested):
            for head, inner in nested:
                yield from under_head(head, inner, asked, repairs)
            return
        # `{"李白": {"出生地": "碎叶"}}`
        told = isinstance(value, Pairs) and value and all(asked.is_type(k) for k, _ in value)
        # `{"李白": [{"relation": "出生地", "object": "碎叶"}]}`
        told = told or (bool(heads) and len(heads) == len(value) and all(map(half, heads)))
        if told and not is_word(key):
            yield from under_head(str(key), value, asked, repairs)
            return
        # A word for a part is no relation; what it holds may be lost by that.
        if is_word(key):
            lost = isinstance(value, list) and bool(value) and rank(key, "meta") is None
            lost = lost and rank(key, "NER") is None
            repairs["dropped_item" if lost else "extra_key"] += 1
            return
        if not may_be_type(key, asked) or (
            isinstance(value, Pairs) and ends_of(value) is None and not asked.is_type(key)
        ):
            repairs["dropped_item"] += 1
            return
    yield from relations(key, pairs_of(value, key, asked, repairs), asked, repairs)


def half(one: Pairs) -> bool:
    """Tell whether an object has a relation and a tail, but no head."""
    keys = [part(one, name, is_text) is not None for name in ("head", "relation", "tail")]
    return keys == [False, True, True]


def pairs_of(value: object, kind: object, asked: Asked, repairs: Counter) -> list[tuple]:
    """Return the (head, tail) pairs that stand under a relation."""
    # One object: a pair, columns of heads and tails, or `{head: tail}`.
    if isinstance(value, Pairs):
        repairs["single_value"] += 1
        columns = column_pairs(value, ("head", "tail"))
        if columns:
            return [ends_of(one) for one in columns]
        # A word for a part is no head: `{"subject_type": "电影"}` is a schema.
        told = [(None if is_word(key) else key, tail) for key, tail in value]
        return [ends_of(value)] if ends_of(value) else told
    # A list of pairs, or the two ends of one.
    if is_list(value):
        texts = texts_of(value)
        if texts is not None and len(texts) == 2 and not any(map(two_ends, texts)):
            repairs["single_value"] += 1
            return [tuple(texts)]
        told = [one for one in value if not no_name(one)]
        repairs["null_value"] += len(value) - len(told)
        return [pair_under(one, kind, asked, repairs) for one in told]
    if is_text(value) and not no_name(value):
        repairs["single_value"] += 1
        return [pair_under(piece, kind, asked, repairs) for piece in split_pairs(value)]
    repairs["null_value" if value is None or no_name(value) else "dropped_item"] += 1
    return []


def pair_under(one: object, kind: object, asked: Asked, repairs: Counter) -> tuple:
    """Return the (head, tail) of one element under a relation, (None, None) where it has none."""
    if isinstance(one, Pairs):
        if (ends := ends_of(one)) is not None:
            return ends
        return one[0] if len(one) == 1 and not is_word(one[0][0]) else (None, None)
    if is_list(one):
        ends = [bare(end) for end in one if not isinstance(end, Number)]
        label = asked.label(kind) if is_text(kind) else kind
        if len(ends) == 3 and label in ends:  # `["李白", "出生地", "碎叶"]` under 出生地
            ends.remove(label)
        return tuple(ends) if len(ends) == 2 else (None, None)
    return two_ends(one) or (None, None) if is_text(one) else (None, None)


ENDS = re.compile(r"\s*(?:=>|->|→|⇒|——|--+|—|–|\||｜|\t|，|,|/|-)\s*")


def two_ends(text: str) -> tuple[str, str] | None:
    """Return the head and tail that a text joins: `李白→碎叶`, `(李白, 碎叶)`.

    >>> two_ends("李白→碎叶"), two_ends("（李白，碎叶）"), two_ends("李白")
    (('李白', '碎叶'), ('李白', '碎叶'), None)
    """
    if len(text) > LONGEST:
        return None
    pieces = [piece.strip(QUOTED) for piece in ENDS.split(stripped_brackets(text))]
    return (pieces[0], pieces[1]) if len(pieces) == 2 and all(pieces) else None


def split_pairs(text: str) -> list[str]:
    """Split pairs that one text joins: `李白→碎叶、杜甫→巩县`, `(a, b), (c, d)`."""
    if re.search(r"[)）]\s*[,，;；、]?\s*[(（]", text):
        return re.split(r"(?<=[)）])\s*[,，;；、]?\s*(?=[(（])", text)
    return [piece for piece in re.split(r"[；;\n]|、(?=[^、]*(?:→|->))", text) if piece.strip()]


def relation_list(value: list, asked: Asked, repairs: Counter, depth: int) -> Iterator[dict]:
    """Yield the items of a list: of objects, of triples, or of texts that hold all three."""
    texts = texts_of(value)
    if (
        texts is not None
        and len(texts) in (3, 5)
        and triple(texts, asked)
        and not any(map(spelt, texts))
    ):
        value = [value]
    # An element is a triple, a text that spells one out, an object, or a list of those.
    for one in value:
        parts = texts_of(one) if is_list(one) else None
        if is_text(one) and not isinstance(one, Number):
            parts = spelt(one, asked)
        if parts is not None and one:
            repairs["triples"] += 1
            found = triple(parts, asked) or (None, None, None)
            yield from relations(found[1], [(found[0], found[2])], asked, repairs)
        # What is no triple is read as it would be on its own.
        elif isinstance(one, Pairs):
            repairs["object_list"] += 1
            yield from relation_object(one, asked, repairs, depth + 1)
        elif is_list(one) and one:
            yield from read_relations(one, asked, repairs, depth + 1)
        else:
            repairs["null_value" if one is None or no_name(one) else "dropped_item"] += 1


def triple(texts: Sequence[str], asked: Asked) -> tuple[str, str, str] | None:
    """Return (head, relation, tail) of texts in any order that leaves no doubt.

    >>> asked = Asked.of("RE", ["出生地"])
    >>> triple(["李白", "出生地", "碎叶"], asked), triple(["出生地", "李白", "碎叶"], asked)
    (('李白', '出生地', '碎叶'), ('李白', '出生地', '碎叶'))
    """
    sure = [n for n, text in enumerate(texts) if asked.is_type(text)]
    if any(text.count("(") != text.count(")") for text in texts) and asked.strict:
        return None
    if len(texts) == 3:
        # Without a schema the middle is the relation: subject, predicate, object.
        at = 1 if 1 in sure or not (sure or asked.types) else next(iter(sure), None)
        ends = [text for n, text in enumerate(texts) if n != at]
        return None if at is None else (ends[0], texts[at], ends[1])
    if len(texts) == 5:
        # (head, its type, relation, tail, its type), or both types at the end.
        kinds = COMMON_KINDS
        middle = 2 in sure or (not asked.types and kinds(texts[1]) and kinds(texts[4]))
        first = 1 in sure or (not asked.types and kinds(texts[3]) and kinds(texts[4]))
        if middle:
            return texts[0], texts[2], texts[3]
        return (texts[0], texts[1], texts[2]) if first else None
    if len(texts) == 2 and asked.only() is not None:
        return texts[0], asked.only(), texts[1]
    return None


COMMON_KINDS = Asked.of("NER", None).is_type
ARROW = re.compile(
    r"(.+?)\s*[-—–=]+\s*[\[【（(「<]?\s*([^\[\]【】（）()<>「」]+?)\s*[\]】）)」]?\s*[-—–=]*[>→]+\s*(.+)"
)
CALL = re.compile(r"([^()（）\s]+)\s*[(（]\s*([^()（）]+?)\s*[,，]\s*([^()（）]+?)\s*[)）]")
LABELLED = re.compile(r"([^：:（(]{1,16}?)\s*[：:]\s*(.+)")
OF = re.compile(r"(.+?)的(.+?)(?:是|为)([^。]+?)。?")


def spelt(text: str, asked: Asked | None = None) -> list[str] | None:
    """Return the three texts of a triple that one text spells out, None where it is none.

    >>> spelt("(李白, 出生地, 碎叶)"), spelt("李白 --出生地--> 碎叶"), spelt("出生地(李白, 碎叶)")
    (['李白', '出生地', '碎叶'], ['李白', '出生地', '碎叶'], ['出生地', '李白', '碎叶'])
    """
    if len(text) > LONGEST:
        return None
    # Arrows and calls say which part is which; other marks part three texts.
    text = stripped_brackets(text)
    for pattern in (ARROW, CALL):
        if found := pattern.fullmatch(text):
            return [piece.strip(QUOTED) for piece in found.groups()]
    pieces = [piece.strip(QUOTED) for piece in ENDS.split(text)]
    if len(pieces) not in (3, 5) or not all(pieces):
        pieces = [piece.strip(QUOTED) for piece in re.split(r"\s*[、；;：:]\s*|\s+", text)]
    if len(pieces) in (3, 5) and all(pieces):
        return pieces
    # `出生地：李白→碎叶`, and in words `李白的出生地是碎叶`.
    found = LABELLED.fullmatch(text)
    ends = two_ends(found[2]) if found else None
    if ends:
        return [found[1].strip(QUOTED), *ends]
    found = OF.fullmatch(text)
    sure = found and asked is not None and asked.is_type(found[2])
    return [piece.strip(QUOTED) for piece in found.groups()] if sure else None
