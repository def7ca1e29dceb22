"""Recognise what a file holds by looking at its first units.

In: a file. Out: the format that fits best, or a DataError that shows the shape seen and the way
out. Used by `read_any`; data/README.md lists the formats.
"""

import csv
import json
import re
from ast import literal_eval
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from miniluotuo_utils.choices import choices
from miniluotuo_utils.data.opening import AnyFile
from miniluotuo_utils.data.readers import (
    READERS,
    Reader,
    annotated,
    dialogues,
    native,
    standoff,
    tokens,
)
from miniluotuo_utils.data.readers.native import Unit
from miniluotuo_utils.files import DataError, json_line, parsed
from miniluotuo_utils.records import TASKS

SAMPLE = 200  # units that are looked at
ENOUGH = 0.5  # of them must have the shape
Units = Callable[[], Iterator[Unit]]


@dataclass(frozen=True)
class Shape:
    """How a format is recognised: what people call it, and a test of one unit.

    `offsets` is how its tool counts places beyond the basic plane where the file does not show it;
    "" where a place needs no conversion.
    """

    title: str
    looks: Callable[[Any], bool]
    offsets: str = ""


def has(**fields: type | tuple[type, ...]) -> Callable[[Any], bool]:
    """Return a test for a JSON object with these fields, of these types.

    >>> has(text=str, label=list)({"text": "a", "label": [], "id": 1})
    True
    """

    def looks(unit: Any) -> bool:
        return isinstance(unit, Mapping) and all(
            isinstance(unit.get(name), kind) for name, kind in fields.items()
        )

    return looks


def both(*tests: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return the test that all tests hold."""
    return lambda unit: all(test(unit) for test in tests)


def listing(field: str, *needed: str) -> Callable[[Any], bool]:
    """Return a test for a list, perhaps empty, of objects that have these fields."""
    return lambda unit: (
        isinstance(unit.get(field), list)
        and all(isinstance(one, Mapping) and set(needed) <= set(one) for one in unit[field])
    )


def any_of(*fields: str) -> Callable[[Any], bool]:
    """Return a test for at least one of the fields."""
    return lambda unit: any(field in unit for field in fields)


def triples(unit: Mapping) -> bool:
    """Return whether doccano's labels are there: [start, end, type], or objects with offsets."""
    fields = ("label", "labels", "entities", "spans", "ents")
    told = next((unit[name] for name in fields if name in unit), None)
    text = next((unit[name] for name in annotated.TEXT if name in unit), None)
    if not isinstance(told, list) or not isinstance(text, str):
        return False
    return all(isinstance(one, list) and is_triple_of_places(one) for one in told)


def is_triple_of_places(one: Sequence) -> bool:
    """Return whether start, end and type stand in a row, however a table wrote the numbers."""
    if len(one) != 3 or not isinstance(one[2], str | int):
        return False
    return [type(annotated.number(place)) for place in one[:2]] == [int, int]


def offsets(unit: Mapping) -> bool:
    """Return whether the entities are doccano's: with start_offset and end_offset."""
    told = next((unit[name] for name in ("entities", "annotations") if name in unit), None)
    return isinstance(told, list) and all(
        isinstance(one, Mapping) and {"start_offset", "end_offset", "label"} <= set(one)
        for one in told
    )


def span_list(unit: Mapping) -> bool:
    """Return whether a text and a list of places are there, whatever they are called."""
    text = next((unit[name] for name in annotated.TEXT if name in unit), None)
    told = next((unit[name] for name in annotated.LISTS if name in unit), None)
    return isinstance(text, str) and isinstance(told, list) and all(map(is_place, told))


def is_place(one: Any) -> bool:
    """Return whether an object says start, end and type, by any of their names."""
    wanted = (annotated.START, annotated.END, annotated.KIND)
    return isinstance(one, Mapping) and all(not set(names).isdisjoint(one) for names in wanted)


def regions(value: Any) -> bool:
    """Return whether a value is a list of Label Studio's regions, perhaps as JSON in a cell."""
    return annotated.is_regions(annotated.opened_list(value))


def named_relations(unit: Mapping) -> bool:
    """Return whether a text and relations between names are there, whatever they are called."""
    text = next((unit[name] for name in annotated.TEXT if name in unit), None)
    told = next((unit[name] for name in annotated.PAIRS if name in unit), None)
    alone = not any(name in unit for name in annotated.NAMES) or named_entities(unit)
    whole = isinstance(told, list) and all(map(is_triple, told))
    return isinstance(text, str) and whole and alone


def is_triple(one: Any) -> bool:
    """Return whether three texts stand in a row, or head, relation and tail in an object."""
    if isinstance(one, list):
        return [*map(type, one)] == [str, str, str]
    sides = (annotated.HEAD, annotated.RELATION, annotated.TAIL)
    return isinstance(one, Mapping) and all(holds_text(one, names) for names in sides)


def holds_text(one: Mapping, names: Sequence[str]) -> bool:
    """Return whether an object has a text under one of these names."""
    return any(isinstance(one.get(name), str) for name in names)


def named_entities(unit: Mapping) -> bool:
    """Return whether a text and names with their types are there, whatever they are called."""
    text = next((unit[name] for name in annotated.TEXT if name in unit), None)
    told = next((unit[name] for name in annotated.NAMES if name in unit), None)
    if isinstance(told, Mapping):
        kinds = (list, str, type(None))
        return isinstance(text, str) and all(isinstance(names, kinds) for names in told.values())
    return isinstance(text, str) and isinstance(told, list) and all(map(is_named, told))


def is_named(one: Any) -> bool:
    """Return whether an object has a name and a type."""
    wanted = (annotated.NAME, annotated.KIND)
    return isinstance(one, Mapping) and all(not set(names).isdisjoint(one) for names in wanted)


def spacy_like(unit: Any) -> bool:
    """Return whether a unit is spaCy's pair of a text and {"entities": …}."""
    return (
        isinstance(unit, Sequence)
        and len(unit) == 2
        and isinstance(unit[0], str)
        and isinstance(unit[1], Mapping)
        and isinstance(unit[1].get("entities"), list)
    )


def tagged(unit: Mapping) -> bool:
    """Return whether tokens and as many tags are there."""
    words, tags, field = tokens.tokens_and_tags(unit)
    if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags):
        return False
    # What stands as a text might be anything: its tags must be tags, and a row no lone token.
    split = words not in unit.values() or tags != unit[field]
    if split and (len(words) < 2 or not tokens.are_tags(tags)):
        return False
    texts = all(isinstance(word, str) for word in words)
    return texts and all(isinstance(tag, str | int) for tag in tags)


def talks(*keys: str) -> Callable[[Any], bool]:
    """Return a test for a conversation whose turns are objects with these fields."""

    def looks(unit: Any) -> bool:
        unit = {"messages": unit} if isinstance(unit, list) else unit
        field = dialogues.named_field(unit, dialogues.TURNS)
        turns = dialogues.opened(unit[field]) if field else None
        return (
            isinstance(turns, list)
            and bool(turns)
            and all(isinstance(turn, Mapping) and set(keys) <= set(turn) for turn in turns)
        )

    return looks


def conversing(unit: Any) -> bool:
    """Return whether a conversation is there at all: pairs, or texts that take turns."""
    field = dialogues.named_field(unit, dialogues.TURNS)
    turns = unit[field] if field else None
    return isinstance(turns, list) and bool(turns) and all(isinstance(t, dict | str) for t in turns)


def asks(names: Sequence[str]) -> Callable[[Any], bool]:
    """Return a test for something asked, by one of these names, and something answered."""
    return lambda unit: (
        dialogues.named_field(unit, names) is not None
        and dialogues.named_field(unit, dialogues.OUTPUT) is not None
    )


def mapping(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a test that is asked of JSON objects alone."""
    return lambda unit: isinstance(unit, Mapping) and test(unit)


def in_json(unit: Mapping) -> bool:
    """Return whether IEPile's instruction is there: JSON with a schema."""
    return str(unit.get("instruction", "")).startswith("{") and '"schema"' in unit["instruction"]


def on_line(pattern: str) -> Callable[[Any], bool]:
    """Return a test for a line of text."""
    return lambda unit: isinstance(unit, str) and re.fullmatch(pattern, unit) is not None


def pair_line(unit: Any) -> bool:
    """Return whether a line has a head, a tail, a relation and a text that holds both names."""
    parts = unit.split("\t") if isinstance(unit, str) else []
    return len(parts) == 4 and all(part.strip() in parts[3] for part in parts[:2])


OURS = mapping(lambda unit: isinstance(unit.get("sentence"), str) and any_of(*TASKS.values())(unit))
ROW = has(instruction=str, input=str, output=str, source=str)

# reader -> shape; what fits a more special one is not asked about those below
OBJECTS: dict[str, Shape] = {
    "own_records": Shape("our IE records", OURS, "characters"),
    "own_rows": Shape("our instruction rows", ROW),
    "iepile": Shape("IEPile", both(has(instruction=str), in_json)),
    "label_studio": Shape(
        "Label Studio's tasks",
        both(has(data=dict), any_of("annotations", "completions", "predictions")),
        "characters",
    ),
    "label_studio_min": Shape(
        "Label Studio's short form (JSON_MIN, CSV)",
        mapping(lambda u: "annotation_id" in u or any(map(regions, u.values()))),
        "characters",
    ),
    "duee": Shape("DuEE", has(text=str, event_list=list)),
    "fewfc": Shape("FewFC", both(has(content=str), listing("events", "type", "mentions"))),
    "uie_structure": Shape(
        "UIE's own format (tokens, entity, relation, event)",
        has(text=str, tokens=list, entity=list, relation=list),
        "characters",
    ),
    "spo_list": Shape("DuIE or CMeIE (spo_list)", has(text=str, spo_list=list)),
    "tplinker": Shape("TPLinker (relation_list)", has(text=str, relation_list=list), "characters"),
    "uie": Shape("UIE (PaddleNLP)", has(content=str, prompt=str, result_list=list), "characters"),
    "cmeee_json": Shape(
        "CMeEE", both(has(text=str), listing("entities", "start_idx", "end_idx", "entity"))
    ),
    "doccano": Shape(
        "doccano", mapping(lambda u: triples(u) or ("text" in u and offsets(u))), "utf16"
    ),
    "cluener": Shape("CLUENER", has(text=str, label=dict)),
    "entity_list": Shape(
        "Boson (entity_list)", both(has(text=str), listing("entity_list", "entity_index"))
    ),
    "w2ner": Shape("W2NER", both(has(sentence=list, ner=list), listing("ner", "index"))),
    "tag_lists": Shape("tokens and tags (Hugging Face)", mapping(tagged)),
    "spacy_pair": Shape("spaCy's pairs", spacy_like, "characters"),
    "spans": Shape("a text and a list of places", mapping(span_list), "characters"),
    "triples": Shape("a text and its relations by name (CasRel)", mapping(named_relations)),
    "names": Shape("a text and the names in it", mapping(named_entities)),
    "deepke_csv": Shape("DeepKE", has(sentence=str, head=str, head_offset=str, tail_offset=str)),
    "pair_rows": Shape(
        "a text, two names and their relation",
        mapping(lambda u: holds_text(u, annotated.TEXT) and is_triple(u)),
    ),
    "alpaca_parallel": Shape("alpaca-chinese v3", has(zh_instruction=str, zh_output=str)),
    "seeds": Shape("seed tasks", both(has(instruction=str), listing("instances", "output"))),
    "coig": Shape("COIG", mapping(any_of("textbox_question", "trans_instruction", "round_1"))),
    "webtext": Shape("webtext2019zh", has(title=str, desc=str, content=str)),
    "baike": Shape("baike2018qa", has(title=str, desc=str, answer=str)),
    "lamini": Shape(
        "LaMini-instruction", has(instruction=str, response=str, instruction_source=str)
    ),
    "sharegpt": Shape("ShareGPT", talks("from", "value")),
    "messages": Shape("OpenAI's messages", talks("role", "content")),
    "conversation": Shape("conversations", mapping(conversing)),
    "alpaca": Shape("Alpaca", mapping(asks(dialogues.INSTRUCTION[:2]))),
    "prompt_response": Shape("prompt and response", mapping(asks(dialogues.INSTRUCTION[2:5]))),
    "question_answer": Shape("questions and answers", mapping(asks(dialogues.INSTRUCTION[5:]))),
    "input_output": Shape("input and output", mapping(asks(dialogues.INPUT))),
}
LINES: dict[str, Shape] = {
    "cmeee": Shape("CMeEE (text|||…)", on_line(r".+\|\|\|(\s*\d+\s+\d+\s+\S+\s*\|\|\|)*")),
    "persons": Shape("relations of people", on_line(r"\d+\s+[^$]+\$[^$]+\$.+")),
    "inline_tags": Shape("a word and its tag in turns", on_line(r"(\S+/[OBIMESLU](-\S+)?\s*)+")),
    "semeval": Shape("SemEval-2010 task 8", on_line(r".+\t.+\t.+\t.*<e1>.*</e1>.*")),
    "finre": Shape("head, tail, relation, text", pair_line),
    "cot_tsv": Shape("question, answer, reasoning", on_line(r"[^\t]{6,}\t[^\t]+\t[^\t]{6,}")),
}
OTHERS: dict[str, Shape] = {
    "conll04": Shape("CoNLL04", on_line(r"\d+\t.+\t(O|[BI]-\S+)\t\[.*\]\t\[.*\]")),
    "weibo_columns": Shape("golden-horse (Weibo)", on_line(r"\S\d\t(O|[BI]-\S+\.(NAM|NOM))")),
    "columns": Shape("columns of tokens and tags (BIO, BMES, BILOU)", lambda _: False),
    "brat": Shape("brat (.txt and .ann)", lambda _: False, "characters"),
    "cec": Shape("CEC (XML)", lambda _: False),
}
SHAPES = {**OBJECTS, **LINES, **OTHERS}
# Other names that people give a format on the command line.
ALIASES = {
    "records": "own_records",
    "unified_records": "own_records",
    "unified_rows": "own_rows",
    "rows": "own_rows",
    "label-studio": "label_studio",
    "ccks": "spans",
    "casrel": "triples",
    "prodigy": "spans",
    "spacy": "spacy_pair",
    "huggingface": "tag_lists",
    "bio": "columns",
    "bmes": "columns",
    "bilou": "columns",
    "conll": "columns",
}


def reader_of(name: str) -> Reader:
    """Return the reader of a format; Alpaca's rows may have other names than a card's."""
    return READERS["own_rows" if name == "alpaca" else name]


@dataclass(frozen=True)
class Found:
    """What a file was taken for: the reader, its units, and how many of the first ones fit.

    `said` tells what was done before: an object was opened, a table cut.
    """

    reader: str
    units: Units
    fit: int = 0
    seen: int = 0
    said: tuple[str, ...] = ()

    @property
    def shape(self) -> Shape:
        """What the format is called, and more."""
        return SHAPES[self.reader]


def recognised(file: AnyFile, wanted: str | None = None) -> Found:
    """Return what a file holds; `wanted` names the reader where a person knows it.

    Raises DataError with the shape that was seen where no format fits, ValueError for an unknown
    reader.
    """
    if wanted is not None and ALIASES.get(wanted, wanted) not in SHAPES:
        raise ValueError(f"no format {wanted!r}; {choices(wanted, [*SHAPES, *ALIASES])}")
    wanted = ALIASES.get(wanted, wanted)

    # What no first byte tells: folders, pairs of files, XML.
    if file.path.is_dir() or file.path.suffix in (".ann", ".xml"):
        return wanted_or(wanted, special(file), file)
    if file.path.suffix == ".txt" and file.path.with_suffix(".ann").is_file():
        return wanted_or(wanted, Found("brat", partial(standoff.brat_texts, file.path), 1, 1), file)

    # What is cut into objects is told by their fields, lines by how they are cut.
    units, said = objects(file)
    if units is None:
        return wanted_or(wanted, None, file) if wanted else lines_of(file)
    if wanted is not None:
        own = reader_of(wanted).units
        reads = units if own is native.json_objects else partial(own, file)
        return Found(wanted, reads, said=said)
    return fitting(file, units, OBJECTS, said)


def wanted_or(wanted: str | None, found: Found | None, file: AnyFile) -> Found:
    """Return what was found, or what a person wants it read as."""
    if wanted is None or (found and found.reader == wanted):
        return found
    return Found(wanted, partial(reader_of(wanted).units, file))


def fitting(file: AnyFile, units: Units, shapes: Mapping[str, Shape], said: tuple = ()) -> Found:
    """Return the format that most of the first units have; of two that fit alike the first."""
    # A damaged unit says nothing about the format.
    sample = list(islice(units(), SAMPLE))
    good = [unit for _, unit in sample if not isinstance(unit, DataError)]
    fits = {name: fitted(shape, good) for name, shape in shapes.items()}
    best = max(fits, key=fits.get)
    if not good:
        place, fault = sample[0] if sample else ("file", "it holds no rows, expected at least one")
        raise DataError(f"{file.name}, {place}: {fault}")
    if fits[best] < ENOUGH * len(good):
        where = f" ({said[0]})" if said[0:1] != ("JSON",) and said else ""
        raise DataError(f"{file.name}{where}: {unknown(good[0])}")

    # Formats whose units are more than one object cut the file themselves.
    own = reader_of(best).units
    reads = units if own in (native.json_objects, native.parquet_rows, native.csv_rows) else None
    if shapes is LINES:
        reads = None
    reads = reads or partial(own, file)
    if best == "label_studio_min":
        cut = reads
        reads = lambda: annotated.once_each_task(cut())  # noqa: E731
    return Found(best, reads, fits[best], len(sample), said)


def fitted(shape: Shape, units: Sequence[Any]) -> int:
    """Return how many units have a shape."""
    return sum(fit(shape.looks, unit) for unit in units)


def fit(looks: Callable[[Any], bool], unit: Any) -> bool:
    """Return whether a unit has a shape; hostile ones have none."""
    try:
        return bool(looks(unit))
    except (TypeError, AttributeError, KeyError, ValueError, RecursionError):
        return False


# ---- what a file is cut into


def objects(file: AnyFile, columns: Sequence[str] = ()) -> tuple[Units | None, tuple[str, ...]]:
    """Return what gives the objects of a file, and what was done; None for a file of lines.

    A table is also known by any one of `columns`, where a person has named what it must have.
    """
    # Tables of their own tell by their first bytes, JSON by its first character.
    if file.table:
        cut = {"parquet": native.parquet_rows, "arrow": native.arrow_rows}[file.table]
        return partial(cut, file), (file.table,)
    with file.open() as raw:
        head = raw.read(1 << 16).decode("utf-8-sig", "replace").lstrip()
    if head[:1] in ("{", "["):
        return inner(file, columns)

    # A table tells by the names of its columns.
    head = header_on(head)
    delimiter = delimiter_of(head, columns)
    if delimiter is None:
        return None, ()
    name = {"\t": "TSV", ",": "CSV"}.get(delimiter, f"a table cut at {delimiter!r}")
    if is_token_table(names_in(head, delimiter)):
        return partial(token_sentences, file, delimiter), (name,)
    return partial(table_rows, file, delimiter), (name,)


def table_rows(file: AnyFile, delimiter: str) -> Iterator[Unit]:
    """Yield the rows of a table, with what its cells hold as lists."""
    for place, row in native.csv_rows(file, delimiter):
        if isinstance(row, DataError):
            yield place, row
        else:
            yield place, {name: cell_of(name, cell) for name, cell in row.items()}


def token_sentences(file: AnyFile, delimiter: str) -> Iterator[Unit]:
    """Yield the sentences of a table with a row a token."""
    return tokens.sentences_of(native.csv_rows(file, delimiter))


def cell_of(name: str, cell: str) -> Any:
    """Return the list or object that a cell of annotations holds, in JSON or as Python prints it.

    >>> cell_of("entities", "[(0, 2, '人物')]"), cell_of("output", "[1]"), cell_of("tags", "[O")
    ([[0, 2, '人物']], '[1]', '[O')
    """
    if name.strip().lower() not in LISTED or cell.strip()[:1] not in ("[", "{", "("):
        return cell
    for way in (parsed, literal_eval):
        found = native.attempt(way, cell.strip())
        if isinstance(found, list | tuple | dict):
            made = native.attempt(lambda value: json.loads(json_line(value)), found)
            return cell if isinstance(made, DataError) else made
    return cell


LISTED = {*annotated.LISTS, *annotated.PAIRS, *annotated.NAMES, *tokens.TAGS, *tokens.TOKENS[:3]}
LISTED |= {"event_list", "relation_list", "result_list", "events"}


def header_on(head: str) -> str:
    """Return the beginning of a table from its header on: Excel's note and empty lines are none.

    >>> header_on("sep=;\\nid;text\\n")
    'id;text\\n'
    """
    return re.sub(r'^"?sep=.?"?\r?\n', "", head).lstrip("\r\n")


def names_in(head: str, delimiter: str) -> list[str]:
    """Return the names of the columns of a table, in small letters."""
    first = head.partition("\n")[0].strip("\r\n")
    try:
        [names] = csv.reader([first], delimiter=delimiter)
    except (csv.Error, ValueError):  # a quote that is none
        names = first.split(delimiter)
    return [name.strip().strip('"').lower() for name in names]


def are_columns(names: Sequence[str], head: str, delimiter: str) -> bool:
    """Return whether a token and its tag stand below the names, and nothing numbers sentences."""
    first, second, _ = ({*names}.isdisjoint(wanted) for wanted in tokens.TABLE)
    tag = head.partition("\n")[2].partition("\n")[0].strip().split(delimiter)[-1].strip()
    alone = re.fullmatch(r"\S+", tag) is not None and tokens.TAG.fullmatch(tag) is not None
    return not (first or second or is_token_table(names)) and alone


def is_token_table(names: Sequence[str]) -> bool:
    """Return whether a table has a row a token: token, tag, and the sentence's number."""
    return all(not {*names}.isdisjoint(wanted) for wanted in tokens.TABLE)


def inner(file: AnyFile, columns: Sequence[str] = ()) -> tuple[Units, tuple[str, ...]]:
    """Return what gives the objects of a JSON file: its own, or those in a list that it holds.

    {"data": [{…}, …]}, {"instruction": ["…", …], "output": ["…", …]}, and pandas' columns.
    """
    units, is_row = partial(native.json_objects, file), partial(fit_any, columns=columns)
    first = list(islice(units(), 2))
    # A file that is one conversation: its items are the turns.
    turns = all(talks("role", "content")([unit]) for _, unit in first) and first
    if turns and not any(holds(unit, columns) for _, unit in first):
        return partial(items_of, [[unit for _, unit in units()]]), ("JSON",)
    # Several lists that were put together, one a line.
    if first and all(
        isinstance(rows, list) and rows and all(map(is_row, rows)) for _, rows in first
    ):
        return partial(flattened, units), ("JSON",)
    if len(first) != 1 or not isinstance(first[0][1], Mapping):
        return units, ("JSON",)

    # One object that is no row itself: its rows stand under one of its names.
    lists = {key: value for key, value in first[0][1].items() if rows_like(value)}
    lists = {key: rows for key, rows in lists.items() if any(map(is_row, rows))}
    if len(lists) > 1 and not is_row(first[0][1]):
        raise DataError(
            f"{file.name}: one object with the lists {', '.join(map(repr, lists))}; save the one "
            "that you mean as a file of its own"
        )
    if len(lists) == 1 and not is_row(first[0][1]):
        [(key, rows)] = lists.items()
        return partial(items_of, rows), (f"the list under {key!r}",)
    # Or it names each of them.
    named = first[0][1].values()
    if not is_row(first[0][1]) and named and all(map(is_row, named)):
        return partial(named_rows, first[0][1]), ("rows by their names",)
    table = columns_of(first[0][1], columns)
    if table:
        return partial(items_of, table), ("columns of a table as JSON",)
    return units, ("JSON",)


def rows_like(value: Any) -> bool:
    """Return whether a value is a list of objects, or of lists as spaCy has them."""
    return (
        isinstance(value, list) and bool(value) and all(isinstance(v, dict | list) for v in value)
    )


def fit_any(unit: Any, columns: Sequence[str] = ()) -> bool:
    """Return whether an object is a row or a record itself, or has a text under one of `columns`.

    >>> fit_any({"评论": "好吃"}), fit_any({"评论": "好吃"}, ["评论"])
    (False, True)
    """
    return holds(unit, columns) or any(fit(shape.looks, unit) for shape in OBJECTS.values())


def holds(unit: Any, columns: Sequence[str]) -> bool:
    """Return whether an object has a text under one of these names, however it is written."""
    name = dialogues.named_field(unit, columns) if isinstance(unit, Mapping) else None
    return name is not None and isinstance(unit[name], str)


def items_of(rows: Sequence) -> Iterator[Unit]:
    """Yield the items of a list with their numbers."""
    yield from ((f"item {number}", row) for number, row in enumerate(rows, 1))


def flattened(units: Units) -> Iterator[Unit]:
    """Yield the items of lists that stand one a line."""
    for place, rows in units():
        if isinstance(rows, list):
            yield from ((f"{place}, {inside}", row) for inside, row in items_of(rows))
        else:
            yield place, rows


def named_rows(rows: Mapping[str, Mapping]) -> Iterator[Unit]:
    """Yield the rows of an object by their names, which are their ids."""
    yield from ((f"key {name!r:.40}", {"id": name, **row}) for name, row in rows.items())


def columns_of(value: Mapping, wanted: Sequence[str] = ()) -> list[dict] | None:
    """Return the rows of a table that stands as one object of columns; None for another object.

    It must have a column of questions, or one of those `wanted`.

    >>> columns_of({"question": {"0": "1+1=?"}, "answer": {"0": "2"}})
    [{'question': '1+1=?', 'answer': '2'}]
    """
    columns = {
        key: list(cells.values()) if isinstance(cells, Mapping) else cells
        for key, cells in value.items()
    }
    asked = (*dialogues.INSTRUCTION, *dialogues.INPUT)
    known = asks(asked)(columns) or dialogues.named_field(columns, wanted) is not None
    if not known or not all(isinstance(cells, list) for cells in columns.values()):
        return None
    cells = [cell for cells in columns.values() for cell in cells]
    if len({len(cells) for cells in columns.values()}) != 1 or any(
        isinstance(cell, dict | list) for cell in cells
    ):
        return None
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def delimiter_of(head: str, columns: Sequence[str] = ()) -> str | None:
    """Return what parts the cells of a table with a header; None for a file that is no table.

    The names in its first line tell: a table of people's data says what is asked or annotated, or
    has one of `columns`.
    """
    wanted = {name.strip().lower() for name in columns}
    known = {*dialogues.INSTRUCTION[:9], *dialogues.INPUT, *dialogues.OUTPUT[:9]}
    known |= {"desc", "title", "source", *annotated.TEXT, *LISTED}
    known |= {*annotated.HEAD, *annotated.RELATION, *annotated.TAIL}
    for delimiter in ("\t", ",", ";", "|"):
        names = names_in(head, delimiter)
        if {*names} & wanted:
            return delimiter
        # Columns of tokens and tags may have names above them, too.
        if are_columns(names, head, delimiter):
            return None
        several = len(names) > 1 and len({*names} & known) > 1
        if several or is_token_table(names) or {*names} & {*dialogues.TURNS}:
            return delimiter
    return None


def lines_of(file: AnyFile) -> Found:
    """Return what a file of lines holds: tags in columns, or a format of one line a record."""
    # Two formats of columns have signs of their own.
    sample = islice(native.lines(file), SAMPLE)
    good = [line for _, line in sample if isinstance(line, str)]
    for name in ("conll04", "weibo_columns"):
        hits = sum(fit(SHAPES[name].looks, line) for line in good)
        if good and hits > 0.9 * sum(not line.startswith("#doc") for line in good):
            return Found(name, partial(reader_of(name).units, file), hits, len(good))

    # A pair of names with its text has four columns too, but no tags.
    found = tokens.columns_of(file)
    if found:
        return Found("columns", partial(tokens.column_blocks, file, *found), len(good), len(good))
    units = partial(annotated.pair_lines, file)
    pairs = [unit for _, unit in islice(units(), SAMPLE) if isinstance(unit, str)]
    marked = any("<e1>" in line for line in good)
    if good and not marked and sum(map(pair_line, pairs)) > 0.9 * len(pairs):
        return Found("finre", units, sum(map(pair_line, pairs)), len(pairs))
    return fitting(file, partial(native.lines, file), LINES)


def special(file: AnyFile) -> Found:
    """Return what a folder holds, or a file that its name alone tells."""
    path = file.path
    if path.suffix == ".xml" or (path.is_dir() and any(path.rglob("*.xml"))):
        return Found("cec", partial(standoff.xml_texts, path), 1, 1)
    if path.suffix == ".ann" or any(path.rglob("*.ann")):
        return Found("brat", partial(standoff.brat_texts, path), 1, 1)

    # `datasets` saves a split in one or more tables of one shape.
    tables = sorted(path.glob("data-*.arrow")) or sorted(path.glob("*.parquet"))
    if not tables:
        inside = ", ".join(sorted(one.name for one in path.iterdir())[:5]) or "nothing"
        if (path / "dataset_dict.json").is_file():
            inside = f"the splits {inside}: name one of them, as {path.name}/train"
        raise DataError(
            f"{path.name}: a folder with {inside}; expected brat's .txt and .ann, CEC's .xml, or "
            "one split of a data set that `datasets` saved. Name a file in it"
        )
    kind = "arrow" if tables[0].suffix == ".arrow" else "parquet"
    cut = {"parquet": native.parquet_rows, "arrow": native.arrow_rows}[kind]

    # Each table numbers its rows from 1.
    def units() -> Iterator[Unit]:
        for table in tables:
            yield from ((f"{table.name}, {place}", unit) for place, unit in cut(table))

    return fitting(file, units, OBJECTS, (f"{len(tables)} tables",))


# ---- what was seen


def unknown(unit: Any) -> str:
    """Return what a file without a known format looks like, and what to do."""
    if isinstance(unit, str) and re.search(r"[,\t;|]", unit):
        return (
            f"no format that we know; it holds lines such as {unit[:60]!r}. A table needs a first "
            "line that names its columns, such as instruction,output; tags need O among them"
        )
    way = (
        "expected instruction rows (instruction and output, prompt and response, conversations, "
        "messages) or annotated text (doccano, Label Studio, brat, UIE, CCKS, tokens and tags, "
        "columns). Rename its fields so, or name its format: --from FORMAT (format=...)"
    )
    hints = {
        "text alone": (
            "text without questions or annotations: there is nothing to learn or to score; "
            "`annotate` marks names in it"
        ),
        "unanswered": (
            "questions without answers teach nothing: `respond` lets a teacher answer them, "
            "`predict` a student"
        ),
        "class": "a label for each text is classification: rename it to output, the text to input",
    }
    return f"no format that we know; it holds {shown(unit)}; {hints.get(unlabelled(unit), way)}"


def unlabelled(unit: Any) -> str:
    """Return what is the matter with a text: it stands alone, has a class, or no answer."""
    if isinstance(unit, Mapping) and dialogues.named_field(unit, dialogues.INSTRUCTION):
        return "unanswered"
    if not isinstance(unit, Mapping) or not any(
        isinstance(unit.get(name), str) for name in annotated.TEXT
    ):
        return ""
    labels = unit.get("label", unit.get("labels"))
    if labels is None:
        return "text alone" if len(unit) < 4 else ""
    texts = labels if isinstance(labels, list) else [labels]
    return "class" if all(isinstance(one, str | int) for one in texts) else ""


def shown(unit: Any) -> str:
    """Return the shape of a unit in words.

    >>> shown({"a": "x", "b": [{"c": 1}]})
    'objects with a (text), b (list of objects with c)'
    """
    if isinstance(unit, Mapping):
        fields = ", ".join(f"{key} ({kind_of(value)})" for key, value in [*unit.items()][:8])
        return f"objects with {fields or 'no fields'}"
    return f"lines such as {unit[:60]!r}" if isinstance(unit, str) else kind_of(unit)


def kind_of(value: Any) -> str:
    """Return what a value is, in words."""
    match value:
        case str():
            return "text"
        case bool() | None:
            return "true, false or null"
        case int() | float():
            return "number"
        case []:
            return "empty list"
        case [dict() as first, *_]:
            return f"list of objects with {', '.join(map(str, [*first][:6]))}"
        case [first, *_]:
            return f"list of {kind_of(first)}s"
        case dict():
            return f"object with {', '.join(map(str, [*value][:6]))}"
    return type(value).__name__
