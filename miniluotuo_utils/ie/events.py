"""Read events in any shape, with arguments under roles, as objects or flat. Shown in notebook 05.

In: a value, what was asked for. Out: EE items; what was forgiven is counted in `repairs`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from miniluotuo_utils.ie.keys import Asked, bare_label, is_word, rank
from miniluotuo_utils.ie.names import is_label, is_text, kept, name_of, no_name, unguarded
from miniluotuo_utils.ie.shapes import (
    LONGEST,
    QUOTED,
    bare,
    by_shape,
    is_list,
    is_place,
    may_be_type,
    oriented,
    part,
    several,
    split_names,
    text_pair,
    texts_of,
    typed,
    wrapped,
)
from miniluotuo_utils.ie.tolerant import Number, Pairs

SPANS = ("mention", "span", "提及")  # of the trigger, where an event stands under its type
UIE_TRIGGER = re.compile(r"(.+?)(?:触发词|的触发词|_trigger| trigger)\Z")


def read_events(value: object, asked: Asked, repairs: Counter, depth: int = 0) -> Iterator[dict]:
    """Yield EE items."""
    return by_shape(value, asked, repairs, depth, (event_object, event_list))


def event_list(value: list, asked: Asked, repairs: Counter, depth: int) -> Iterator[dict]:
    """Yield the events of a list; rows of one table may belong to one event."""
    found = []
    for one in value:
        repairs["object_list"] += isinstance(one, Pairs)
        found += read_events(one, asked, repairs, depth + 1)
    yield from joined_rows(found) if repairs["rows"] else found


def joined_rows(found: list[dict]) -> list[dict]:
    """Join the events of a table that has one row for each argument."""
    events: dict[tuple, dict] = {}
    for one in found:
        key = (one["type"], one["trigger"])
        held = events.setdefault(key, {**one, "arguments": []})
        held["arguments"] = held["arguments"] + one["arguments"]
    return list(events.values())


def event_object(value: Pairs, asked: Asked, repairs: Counter, depth: int) -> Iterator[dict]:
    """Yield the events of one object: an event, a wrapper, or events under their types."""
    # `{"event": {"type": …, "trigger": …}, "arguments": …}` is one event.
    head = part(value, "event", lambda v: isinstance(v, Pairs) and part(v, "trigger") is not None)
    if head is not None and part(value, "arguments") is not None:
        value = Pairs([*value.get(head), *((k, v) for k, v in value if k != head)])
    trigger, kind = part(value, "trigger", told), part(value, "event", is_label)
    known = any(asked.known(key) is not None for key, _ in value)
    # `发射: 升空 | 航天器: 天目一号`
    flat = known and len(value) > 1 and asked.known(value[0][0]) and is_text(value[0][1])
    if flat and all(asked.is_role(role) for role, _ in value[1:]):
        told_so = Pairs([("trigger", value[0][1]), *value[1:]])
        yield from event(value[0][0], told_so, asked, repairs)
        return
    if kind is not None and (trigger is not None or part(value, "arguments", list_like)):
        repairs["single_value"] += not depth
        yield from event(value.get(kind), value, asked, repairs)
    elif not known and (inner := wrapped(value, "EE")) is not None:
        repairs["wrapper"] += 1
        yield from read_events(inner, asked, repairs, depth + 1)
    else:
        repairs["repeated_key"] += len(value) - len({str(key) for key, _ in value})
        for key, found in value:
            yield from events_under(key, found, asked, repairs)


def told(value: object) -> bool:
    """Tell whether a value says something: a text, or what may hold one."""
    return is_text(value) or (isinstance(value, list) and bool(value))


def list_like(value: object) -> bool:
    """Tell whether a value is a list or an object."""
    return isinstance(value, list)


def events_under(key: object, value: object, asked: Asked, repairs: Counter) -> Iterator[dict]:
    """Yield the events under a type: a list of them, one, or triggers alone."""
    uie = UIE_TRIGGER.fullmatch(key) if isinstance(key, str) and asked.known(key) is None else None
    key = uie[1] if uie else key
    # A word for a part is no type; what it holds may be lost by that.
    if asked.known(key) is None:
        if is_word(key):
            lost = isinstance(value, list) and bool(value) and rank(key, "meta") is None
            repairs["dropped_item" if lost else "extra_key"] += 1
            return
        if not may_be_type(key, asked) or (is_text(value) and not no_name(value)):
            repairs["dropped_item"] += 1
            return
    # One event may stand there without its list, and a trigger without its event.
    # A number alone says how many there are.
    value = False if isinstance(value, Number) else value
    single = is_text(value) or isinstance(value, Pairs)
    repairs["single_value"] += single
    if not single and not isinstance(value, list):
        repairs["null_value" if value is None else "dropped_item"] += 1
        return
    for one in [value] if single else value:
        if is_text(one):
            if no_name(one):
                repairs["null_value"] += 1
                continue
            repairs["bare_trigger"] += 1
            one = Pairs([("trigger", one)])
        yield from event(key, one if isinstance(one, Pairs) else Pairs(), asked, repairs, bool(uie))


def event(
    kind: object, value: Pairs, asked: Asked, repairs: Counter, uie: bool = False
) -> Iterator[dict]:
    """Yield the event of an object, one for each of its triggers."""
    label = typed(kind, asked, repairs)
    key = part(value, "trigger", told)
    if key is None:
        spans = (key for key, said in value if (uie or key in SPANS) and is_text(said))
        key = next((key for key in spans if rank(key, "name") is not None), None)
    arguments = list(arguments_of(value, {key}, asked, repairs))
    found = value.get(key) if key is not None else None
    triggers = [one for one in found if not isinstance(one, Number)] if is_list(found) else [found]
    for trigger in triggers:
        name = name_of(bare(trigger, "argument"), repairs)
        if name != "" and kept(repairs, label, name):
            yield {"type": label, "trigger": name, "arguments": arguments}


def arguments_of(
    value: Pairs, used: set[str | None], asked: Asked, repairs: Counter
) -> Iterator[dict]:
    """Yield the arguments of an event: under a key for them, or under their roles beside it."""
    if (found := gathered(value, used, asked, repairs)) is not None:
        yield from read_arguments(found, asked, repairs)
        return
    # What stands beside type and trigger is a role, if it is no word for something else.
    for role, names in value:
        # A bracket that is open too early makes a list of a key.
        if not isinstance(role, str):
            repairs["dropped_item"] += 1
            continue
        other = is_word(role) and not (asked.roles and asked.is_role(role))
        # 主体 and 客体 are some roles of the schema, but nobody can tell which.
        ends = rank(role, "head") is not None or rank(role, "tail") is not None
        repairs["lost_role"] += other and ends and role not in used and is_text(names)
        if role in used or other or names is None or is_place(names):
            continue
        if asked.roles and not asked.is_role(role):
            repairs["extra_key"] += 1
            continue
        repairs["flat_roles"] += 1
        yield from named_arguments(role, several(names, Counter(), "argument"), asked, repairs)


def gathered(value: Pairs, used: set[str | None], asked: Asked, repairs: Counter) -> object:
    """Return what holds the arguments of an event: a row, two lists or one; None without it."""
    # A row of a table may hold one argument: `| 发射 | 升空 | 地点 | 酒泉 |`.
    names = {of: part(value, of, is_text) for of in ("role", "argument")}
    row = None not in names.values() and rank(names["role"], "event") is None
    if row and names["role"] != names["argument"]:
        repairs["rows"] += 1
        role, name = (value.get(names[of]) for of in ("role", "argument"))
        return Pairs([(role, split_names(name))])
    if (columns := role_columns(value, asked)) is not None:
        repairs["columns"] += 1
        return columns
    # UIE calls the arguments relations.
    keys = [key for key, found in value if rank(key, "arguments") is not None and found is not None]
    keys += [key for key, found in value if key in ("relations", "relation") and key not in used]
    return value.get(keys[0]) if keys else None


def holds_arguments(key: object) -> bool:
    """Tell whether a key is a word for roles, for arguments or for both."""
    return any(rank(key, of) is not None for of in ("role", "argument", "arguments"))


def role_columns(value: Pairs, asked: Asked) -> Pairs | None:
    """Return the arguments of two lists side by side: `{"roles": ["地点"], "values": ["酒泉"]}`."""
    held = [texts_of(found) for key, found in value if is_list(found) and holds_arguments(key)]
    lists = [texts for texts in held if texts]
    roles = [texts for texts in lists if all(map(asked.is_role, texts))]
    if len(lists) != 2 or len(roles) != 1 or len(lists[0]) != len(lists[1]):
        return None
    return Pairs(zip(roles[0], lists[lists[0] is roles[0]], strict=True))


def read_arguments(value: object, asked: Asked, repairs: Counter) -> Iterator[dict]:
    """Yield arguments: `{role: names}`, or a list of objects, pairs or texts."""
    # One object: an argument, or names under their roles.
    if isinstance(value, Pairs):
        role, name = part(value, "role", is_text), part(value, "argument")
        clash = any(asked.roles and asked.is_role(key) for key, _ in value)
        if role is not None and name is not None and role != name and not clash:
            repairs["single_value"] += 1
            yield from named_arguments(value.get(role), [value.get(name)], asked, repairs)
            return
        # A list of names under such a key is a role's; one of items is a wrapper's.
        wrapper = len(value) == 1 and rank(value[0][0], "arguments") is not None
        inside = value[0][1] if wrapper else None
        if is_list(inside) and not all(map(is_text, inside)):
            yield from read_arguments(inside, asked, repairs)
            return
        repairs["repeated_key"] += len(value) - len({str(key) for key, _ in value})
        for key, names in value:
            yield from named_arguments(key, several(names, repairs, "argument"), asked, repairs)
    # A list, or a text that joins several.
    elif is_list(value):
        sides = {side_of(one, asked) for one in value} - {None}
        side = sides.pop() if len(sides) == 1 else None
        for one in value:
            yield from one_argument(one, asked, repairs, side)
    elif is_text(value) and not no_name(value) and len(value) <= 20 * LONGEST:
        for piece in re.split(r"[；;\n]|[，,、](?=[^，,、；;：:=]{1,10}[：:=])", value):
            yield from one_argument(piece, asked, repairs)
    else:
        repairs["null_value" if value is None or no_name(value) else "dropped_item"] += 1


def side_of(one: object, asked: Asked) -> int | None:
    """Return where the role of a pair stands, None in doubt."""
    pair = argument_pair(one)
    return oriented(*pair, asked.is_role) if pair else None


def argument_pair(one: object) -> tuple[str, str] | None:
    """Return the two texts of `["地点", "酒泉"]` or `地点：酒泉`."""
    if is_list(one):
        texts = texts_of(one)
        return (texts[0], texts[1]) if texts is not None and len(texts) == 2 else None
    return role_pair(one) if is_text(one) else None


def one_argument(
    one: object, asked: Asked, repairs: Counter, side: int | None = None
) -> Iterator[dict]:
    """Yield what one element of a list of arguments says."""
    # `{"role": …, "argument": …}`, or `{"地点": "酒泉"}`.
    if isinstance(one, Pairs):
        role, name = part(one, "role", is_label), part(one, "argument")
        if role is not None and name == role:
            name = part(Pairs([pair for pair in one if pair[0] != role]), "argument")
        if role is not None and name is not None:
            repairs["object_list"] += 1
            yield from named_arguments(
                one.get(role), several(one.get(name), Counter(), "argument"), asked, repairs
            )
        else:
            yield from read_arguments_flat(one, asked, repairs)
        return
    # `["地点", "酒泉"]`, `地点：酒泉`: the role is the one that is known.
    # One in doubt is read as the others are.
    pair = argument_pair(one)
    at = oriented(*pair, asked.is_role) if pair else None
    at = side if at is None and pair and not asked.roles else at
    if at is None:
        repairs["lost_role"] += pair is not None
        repairs["null_value" if one is None or no_name(one) else "dropped_item"] += 1
        return
    repairs["pairs"] += 1
    yield from named_arguments(pair[at], split_names(pair[1 - at]), asked, repairs)


def role_pair(text: str) -> tuple[str, str] | None:
    """Return the two texts of `地点：酒泉`, `地点=酒泉`, `酒泉（地点）`."""
    if len(text) > LONGEST:
        return None
    found = re.fullmatch(r"\s*(.+?)\s*(?:[：:=＝]|->|→)\s*(.+?)\s*", text, re.DOTALL)
    return (found[1].strip(QUOTED), found[2].strip(QUOTED)) if found else text_pair(text)


def read_arguments_flat(one: Pairs, asked: Asked, repairs: Counter) -> Iterator[dict]:
    """Yield the arguments of an object in a list, each under its role: `{"地点": "酒泉"}`."""
    for role, names in one:
        if is_word(role) and not (asked.roles and asked.is_role(role)):
            repairs["dropped_item" if is_text(names) else "extra_key"] += 1
            continue
        yield from named_arguments(role, several(names, Counter(), "argument"), asked, repairs)


def named_arguments(
    role: object, names: Sequence, asked: Asked, repairs: Counter
) -> Iterator[dict]:
    """Yield the arguments of one role; a name in an object may bring a role of its own."""
    label = unguarded(role, bare_label) if is_text(role) else role
    for name in names:
        name = name_of(bare(name, "argument"), repairs)
        if name != "" and kept(repairs, label, name):
            yield {"name": name, "role": label}
