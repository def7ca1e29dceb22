"""Read what annotation tools and other projects write: entities, relations and events of a text.

In: a unit. Out: documents: a sentence with entities, relations and events side by side, of which
`read_any` makes records of one task. A name that a format does not hold is "", for `read_any` cuts
it out; what a record cannot hold is named in `notes`. Shown in data/README.md.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from miniluotuo_utils.data.readers.native import Unit, attempt, json_objects, lines
from miniluotuo_utils.data.readers.relations import relation
from miniluotuo_utils.data.readers.spans import named, record
from miniluotuo_utils.files import DataError, parsed
from miniluotuo_utils.records import ANNOTATIONS

TEXT = ("text", "content", "sentence", "originalText", "raw_text", "文本", "data")
START = ("start", "start_offset", "start_pos", "start_idx", "start_index", "begin", "开始")
END = ("end", "end_offset", "end_pos", "end_idx", "end_index", "stop", "结束")
KIND = ("label", "type", "label_type", "entity_type", "labels", "tag", "category", "类型")
NAME = ("text", "name", "entity", "word", "mention", "span")
DOCCANO = ("entities", "label", "labels", "annotations", "spans", "ents")
LISTS = (
    "entities",
    "spans",
    "ents",
    "label",
    "labels",
    "annotations",
    "entity_list",
    "ner",
    "实体",
)


def thing(start: int, end: int, kind: str = "", name: str | None = None) -> dict:
    """Return an entity by its place; the caller cuts its name out where it has none."""
    return {"name": name or "", "type": kind, "pos": [start, end]}


def first(native: Mapping, names: Sequence[str]) -> Any:
    """Return the value of the first of these fields that a record has; KeyError without one."""
    return native[next((name for name in names if name in native), names[0])]


def listed(native: Mapping, names: Sequence[str]) -> list:
    """Return the list under the first of these names; DataError without one, or for null."""
    name = next((name for name in names if name in native), None)
    found = native.get(name)
    if not isinstance(found, list):
        what = f"found {found!r:.40} in {name}" if name else f"found none of {', '.join(names)}"
        raise DataError(f"{what}, expected a list, [] for a text in which there is nothing")
    return found


def kind_of(kind: Any) -> str:
    """Return a type that stands as a text, a number, or an object with its name.

    >>> kind_of("人物"), kind_of(3), kind_of({"id": 3, "name": "人物"})
    ('人物', '3', '人物')
    """
    if isinstance(kind, Mapping):
        kind = next((kind[name] for name in ("name", "text", "label") if name in kind), None)
    if not isinstance(kind, str | int) or isinstance(kind, bool):
        raise DataError(f"found the type {kind!r:.40}, expected a text")
    return str(kind)


def carried(native: Mapping) -> dict:
    """Return the id, the source and the mark of silver or one pair that a native record has."""
    kept = {name: native[name] for name in ("id", "source") if name in native}
    found = {name: value for name, value in kept.items() if isinstance(value, str | int)}
    mark = native.get("annotation")
    return found | ({"annotation": mark} if mark in ANNOTATIONS else {})


def document(text: str, notes: Sequence[str] = (), **found: Any) -> dict:
    """Return a document; what is None is no field of it."""
    fields = {name: value for name, value in found.items() if value is not None}
    return record(text, **fields) | ({"notes": list(notes)} if notes else {})


# ---- doccano, Label Studio


def doccano(native: Mapping) -> Iterator[dict]:
    """Read doccano, of both kinds of project; ends exclusive.

    `text, label[[start, end, type]]`, or with relations
    `text, entities[{id, start_offset, end_offset, label}], relations[{from_id, to_id, type}]`.
    """
    text, told = first(native, TEXT), listed(native, DOCCANO)
    found = {}
    # Ids may be numbers in one list and texts in the other.
    for count, one in enumerate(told):
        if isinstance(one, Mapping):
            start, end, kind = one["start_offset"], one["end_offset"], one["label"]
            id_ = str(one.get("id", f"number {count}"))
        else:
            (start, end, kind), id_ = one, f"number {count}"
        found[id_] = thing(number(start), number(end), kind_of(kind))
    relations = None
    if "relations" in native:
        relations = [
            linked(found, r["from_id"], r["type"], r["to_id"]) for r in native["relations"]
        ]
    unit = {"offsets": native["offset_unit"]} if "offset_unit" in native else {}
    yield document(text, entities=[*found.values()], relations=relations) | carried(native) | unit


def linked(things: Mapping, head: Any, kind: str, tail: Any) -> dict:
    """Return a relation between two things by their ids."""
    for id_ in (head, tail):
        if str(id_) not in things:
            raise DataError(f"relation {kind}: found no entity with the id {id_!r}")
    return {"head": things[str(head)], "type": kind, "tail": things[str(tail)]}


def label_studio(native: Mapping) -> Iterator[dict]:
    """Read a task of Label Studio's JSON export: `data{text}, annotations[{result[…]}]`.

    Of several annotations the first that was not cancelled counts. A task with predictions alone
    is a silver record, one with nothing is left out.
    """
    # What a person did comes before what a model guessed.
    done = native.get("annotations") or native.get("completions") or []
    done = [one for one in done if not (one.get("was_cancelled") or one.get("skipped"))]
    guessed = [] if done else native.get("predictions") or []
    if not done + guessed:
        yield {"notes": ["a task without an annotation, left out"]}
        return
    # Of several the one that was chosen as the truth, else the first.
    both = sorted(done + guessed, key=lambda one: not one.get("ground_truth"))
    results, *others = [one["result"] for one in both]
    notes = ["a further annotation of the same task, left out"] * len(others)

    if guessed:
        notes.append("a task with predictions alone, read as silver")

    # Relations name their ends by the ids of regions, and a region with two labels is two entities.
    found = regions(results, notes)
    ends = {str(id_): things[0] for id_, things in found.items()}
    links = [one for one in results if one["type"] == "relation"]
    relations = [
        linked(ends, head, kind, tail)
        for one in links
        for head, tail in directed(one)
        for kind in one.get("labels") or [""]
    ]
    entities = [one for things in found.values() for one in things]
    text = text_of(native["data"], entities)
    silver = {"annotation": "silver"} if guessed else {}
    carry = carried(native["data"]) or carried(native)
    yield document(text, notes, entities=entities, relations=relations or None) | carry | silver


UNLABELLED = "a region without a label: its type is empty"
AGAIN = "again"  # marks a row whose task stands in an earlier one
REGIONS = ("labels", "hypertextlabels", "paragraphlabels")


def regions(results: Sequence[Mapping], notes: list[str]) -> dict[Any, list[dict]]:
    """Return the entities of Label Studio's results by the id of their region."""
    found = defaultdict(list)
    for one in results:
        if one["type"] in REGIONS:
            value = one["value"]
            place = value.get("globalOffsets", value)
            notes += [UNLABELLED] * (not value.get(one["type"]))
            for kind in value.get(one["type"]) or [""]:
                span = thing(place["start"], place["end"], kind, value.get("text"))
                found[one.get("id")].append(span)
        elif one["type"] != "relation":
            notes.append(f"an item of the type {one['type']}, left out")
    return found


def directed(one: Mapping) -> list[tuple[str, str]]:
    """Return the (head, tail) ids of a relation of Label Studio: an arrow may point both ways."""
    ends = one["from_id"], one["to_id"]
    back = ends[::-1]
    return {"left": [back], "bi": [ends, back]}.get(one.get("direction", "right"), [ends])


def text_of(data: Mapping, entities: Sequence[Mapping]) -> str:
    """Return the text that a task is about: the field `text`, else the one with the entities."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    if not texts:
        raise DataError(f"field data: found {list(data)}, expected a text among them")

    def held(text: str) -> tuple[int, int]:
        return sum(e["name"] in text for e in entities), len(text)

    return texts["text"] if "text" in texts else max(texts.values(), key=held)


def label_studio_min(native: Mapping) -> Iterator[dict]:
    """Read Label Studio's JSON_MIN and CSV: `text, label[{start, end, text, labels[]}]`."""
    if AGAIN in native:
        yield {"notes": ["a further annotation of the same task, left out"]}
        return
    # Each control of the page has a field of its own.
    opened = {key: opened_list(value) for key, value in native.items()}
    loose = "annotation_id" in native
    marked = [one for value in opened.values() if is_regions(value, loose) for one in value]
    texts = {key: native[key] for key in native if isinstance(opened[key], str)}
    notes = [UNLABELLED for one in marked if not one.get("labels")]
    found = [
        thing(one["start"], one["end"], kind, one.get("text"))
        for one in marked
        for kind in one.get("labels") or [""]
    ]
    yield document(text_of(texts, found), notes, entities=found) | carried(native)


def once_each_task(units: Iterator[Unit]) -> Iterator[Unit]:
    """Yield rows of Label Studio's short form, which has one for each annotation; those behind the
    first of a task are marked."""
    seen: dict[Any, Any] = {}
    for place, row in units:
        if isinstance(row, Mapping) and row.get("id") is not None and "annotation_id" in row:
            first_one = seen.setdefault(str(row["id"]), row["annotation_id"])
            row = row if first_one == row["annotation_id"] else {**row, AGAIN: True}
        yield place, row


def opened_list(value: Any) -> Any:
    """Return a list that stands as JSON in a cell of a table; other values as they are."""
    return attempt(parsed, value) if isinstance(value, str) and value[:2] == "[{" else value


def is_regions(value: Any, loose: bool = False) -> bool:
    """Return whether a value is a list of regions with start, end and labels; `loose` ones may have
    their text alone."""
    needed = {"start", "end"} if loose else {"start", "end", "labels"}
    known = {"labels", "text"}
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and needed <= set(one) for one in value)
        and all(not known.isdisjoint(one) for one in value)
    )


# ---- lists of spans: CCKS, spaCy, Prodigy, and whoever writes start, end and type


def spans(native: Mapping) -> Iterator[dict]:
    """Read a text with a list of places, whatever the fields are called.

    CCKS: `originalText, entities[{label_type, start_pos, end_pos}]`; Prodigy: `text, spans[{start,
    end, label}]`; spaCy's `Doc.to_json`: `text, ents[…]`. Ends are exclusive, unless the names that
    stand beside them say otherwise.
    """
    text, found = first(native, TEXT), []
    linked_up = [one for name in PAIRS for one in native.get(name) or []]
    for one in listed(native, LISTS):
        start, end, kind = number(first(one, START)), number(first(one, END)), first(one, KIND)
        name = next((one[key] for key in NAME if isinstance(one.get(key), str)), None)
        inclusive = name is not None and name == text[start : end + 1] != text[start:end]
        kinds = kind if isinstance(kind, list) else [kind]
        found += [thing(start, end + inclusive, kind_of(one), name) for one in kinds]
    if native.get("answer", "accept") != "accept":
        yield {"notes": ["a text that Prodigy's user did not accept, left out"]}
    else:
        notes = ["a relation in a form that is not known, left out"] * len(linked_up)
        yield document(text, notes, entities=found) | carried(native)


def number(place: Any) -> Any:
    """Return a place that stands as text, or as pandas writes whole numbers, as one; others stay.

    >>> number("12"), number(12.0), number("12.0"), number(1.5), number("甲")
    (12, 12, 12, 1.5, '甲')
    """
    if isinstance(place, str) and re.fullmatch(r"\s*[0-9]+(\.0+)?\s*", place):
        return int(float(place))
    return int(place) if isinstance(place, float) and place.is_integer() else place


def spacy_pair(native: Sequence) -> Iterator[dict]:
    """Read spaCy 2's training pairs: `[text, {"entities": [[start, end, type], …]}]`."""
    text, told = native
    yield document(text, entities=[thing(*one) for one in told["entities"]])


# ---- names without places: what language models and spreadsheets give

HEAD = ("head", "subject", "subj", "h", "主体", "头实体")
RELATION = ("relation", "predicate", "type", "rel", "label", "r", "关系")
TAIL = ("tail", "object", "obj", "t", "客体", "尾实体")
NAMES = ("entities", "ner", "entity", "实体")
PAIRS = ("triple_list", "triples", "relations", "relation", "spo_list", "关系")


def by_name(native: Mapping) -> Iterator[dict]:
    """Read a text with names and relations that have no places, whatever their fields are called.

    `entities[{name, type}]` or `entities{type: [name, …]}`; CasRel's `triple_list[[subject,
    relation, object]]`; InstructIE's `relation[{head, relation, tail}]`. A name has a place if the
    text holds it exactly once.
    """
    text, entities, relations = first(native, TEXT), None, None
    if any(name in native for name in NAMES):
        entities = [named(text, *pair) for pair in named_pairs(first(native, NAMES))]
    if any(name in native for name in PAIRS):
        relations = [triple(text, one) for one in first(native, PAIRS)]
    yield document(text, entities=entities, relations=relations) | carried(native)


def named_pairs(told: Any) -> list[tuple[str, str]]:
    """Return (name, type) of names by type, or of objects with both."""
    if isinstance(told, Mapping):
        lists = {kind: [found] if isinstance(found, str) else found for kind, found in told.items()}
        return [(name, kind) for kind, found in lists.items() for name in found or [] if name]
    return [(first(one, NAME), first(one, KIND)) for one in told]


def triple(text: str, one: Any) -> dict:
    """Return the relation of three texts, or of an object with head, relation and tail."""
    if not isinstance(one, Mapping):
        return relation(text, *one)
    head, kind, tail = (first(one, names) for names in (HEAD, RELATION, TAIL))
    found = relation(text, head, kind, tail)
    found["head"]["type"] = one.get("head_type", one.get("subject_type", ""))
    found["tail"]["type"] = one.get("tail_type", one.get("object_type", ""))
    return found


def pair_row(native: Mapping) -> Iterator[dict]:
    """Read a row of a table with a text, two names in it and their relation."""
    text = first(native, TEXT)
    yield record(text, "one-pair", relations=[triple(text, native)]) | carried(native)


def uie_structure(native: Mapping) -> Iterator[dict]:
    """Read UIE's own format: `text, tokens, entity[{type, offset[]}], relation, event`.

    Offsets number tokens; a relation has two args, an event has its trigger's offset and args.
    """
    # Between tokens there may be blanks, so each is looked for behind the one before.
    text, at, spans = native["text"], 0, []
    for token in native["tokens"]:
        start = text.index(token, at)
        at = start + len(token)
        spans.append((start, at))

    # What is in several pieces reaches from the first to the last of them.
    def place(one: Mapping) -> tuple[int, int]:
        return spans[one["offset"][0]][0], spans[one["offset"][-1]][1]

    entities = [thing(*place(one), one["type"]) for one in native.get("entity") or []]
    relations = []
    for one in native.get("relation") or []:
        head, tail = (thing(*place(side), side["type"]) for side in one["args"])
        relations.append({"head": head, "type": one["type"], "tail": tail})
    events = []
    for one in native.get("event") or []:
        told = [(side["type"], list(place(side))) for side in one["args"]]
        arguments = [{"name": "", "role": role, "pos": pos} for role, pos in told]
        event = {"type": one["type"], "trigger": "", "pos": list(place(one))}
        events.append(event | {"arguments": arguments})
    more = {"relations": relations or None, "events": events or None}
    yield document(text, entities=entities, **more)


# ---- UIE


def uie_contents(path: Path) -> Iterator[Unit]:
    """Yield UIE's rows by their text: a row is one question, and its rows may stand anywhere."""
    texts: dict[str, list] = {}
    for place, row in json_objects(path):
        if isinstance(row, DataError):
            yield place, row
            continue
        told = attempt(uie_row, row)
        if isinstance(told, DataError):
            yield place, told
        else:
            texts.setdefault(told[0], [place]).append(told[1])
    yield from ((place, (text, asked)) for text, (place, *asked) in texts.items())


def uie_row(row: Mapping) -> tuple[str, tuple[str, list]]:
    """Return the text of a row, and what is asked and found; DataError where one is no text."""
    texts = row["content"], row["prompt"]
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"found content and prompt {texts!r:.60}, expected texts")
    return row["content"], (row["prompt"], listed(row, ("result_list",)))


def uie(native: tuple[str, Sequence[tuple[str, Sequence[Mapping]]]]) -> Iterator[dict]:
    """Read UIE (PaddleNLP): `content, prompt, result_list[{text, start, end}]`; ends exclusive.

    A prompt is a type; `X的Y` (`Y of X`) asks for the Y of a name X that another prompt found; a
    type that ends in 触发词 asks for triggers, whose `X的Y` are arguments.
    """
    text, asked = native
    # What is asked about was found by another prompt, wherever that stands.
    subjects = {one["text"] for _, results in asked for one in results if "start" in one}
    entities, relations, events = [], [], []
    for prompt, results in asked:
        found = [thing(one["start"], one["end"], prompt, one["text"]) for one in results]
        if prompt.endswith(TRIGGER) and len(prompt) > len(TRIGGER):
            kind = prompt.removesuffix(TRIGGER)
            events += [
                {"type": kind, "trigger": t["name"], "pos": t["pos"], "arguments": []}
                for t in found
            ]
        elif asks_about(prompt, subjects) is None:
            entities += found
    # Only now are all heads and triggers known.
    for prompt, results in asked:
        pair = asks_about(prompt, subjects)
        if pair:
            found = [thing(one["start"], one["end"], "", one["text"]) for one in results]
            attach(text, pair, found, entities, events, relations)
    more = {"relations": relations or None, "events": events or None}
    yield document(text, entities=sorted(entities, key=itemgetter("pos")), **more)


TRIGGER = "触发词"


def asks_about(prompt: str, subjects: set[str]) -> tuple[str, str] | None:
    """Return the name and the relation that a prompt asks for; None where it asks for a type.

    >>> asks_about("李白的出生地", {"李白"}), asks_about("比赛的名称", {"李白"})
    (('李白', '出生地'), None)
    """
    for found in re.finditer("的", prompt):
        subject, kind = prompt[: found.start()], prompt[found.end() :]
        if subject in subjects and kind:
            return subject, kind
    kind, of, subject = prompt.partition(" of ")
    return (subject, kind) if of and subject in subjects else None


def attach(
    text: str,
    pair: tuple[str, str],
    found: Sequence[dict],
    entities: Sequence[dict],
    events: Sequence[dict],
    relations: list[dict],
) -> None:
    """Put what was found about a name where it belongs: arguments of an event, or relations."""
    subject, kind = pair
    triggers = [event for event in events if event["trigger"] == subject]
    for event in triggers:
        event["arguments"] += [{"name": f["name"], "role": kind, "pos": f["pos"]} for f in found]
    if triggers:
        return
    heads = {tuple(e["pos"]): e for e in entities if e["name"] == subject}
    head = next(iter(heads.values())) if len(heads) == 1 else named(text, subject)
    kinds = {tuple(e["pos"]): e["type"] for e in entities}
    for tail in found:
        tail["type"] = kinds.get(tuple(tail["pos"]), "")
        relations.append({"head": head, "type": kind, "tail": tail})


# ---- relations of other projects


def tplinker(native: Mapping) -> Iterator[dict]:
    """Read TPLinker: `text, relation_list[{subject, subj_char_span, predicate, …}], entity_list`.

    Ends are exclusive.
    """
    text = native["text"]
    entities = [thing(*e["char_span"], e["type"], e["text"]) for e in native.get("entity_list", [])]
    kinds = {tuple(one["pos"]): one["type"] for one in entities}
    relations = []
    for one in native["relation_list"]:
        sides = []
        for name, span in (("subject", "subj_char_span"), ("object", "obj_char_span")):
            place = one.get(span)
            kind = kinds.get(tuple(place or ()), "")
            side = thing(*place, kind, one[name]) if place else named(text, one[name], kind)
            sides.append(side)
        relations.append({"head": sides[0], "type": one["predicate"], "tail": sides[1]})
    yield document(text, entities=entities or None, relations=relations) | carried(native)


PERSONS = re.compile(r"(?P<kind>\S+)\s+(?P<head>[^$]+)\$(?P<tail>[^$]+)\$(?P<text>.+)")


def persons(native: str) -> Iterator[dict]:
    """Read the set of relations of people: `2 甲$乙$text`, one pair a line, relations by number."""
    found = PERSONS.fullmatch(native.strip())
    if not found:
        raise DataError(f"found {native[:40]!r}, expected a number, two names and a text between $")
    text = found["text"].strip()
    pair = relation(text, found["head"].strip(), found["kind"], found["tail"].strip())
    yield record(text, "one-pair", relations=[pair])


def pair_lines(path: Path) -> Iterator[Unit]:
    """Yield lines of head, tail, relation and text with tabs between, whatever stood there."""
    for place, line in lines(path):
        if isinstance(line, DataError) or line.count("\t") == 3:
            yield place, line
        else:
            yield place, "\t".join(line.split(None, 3))
