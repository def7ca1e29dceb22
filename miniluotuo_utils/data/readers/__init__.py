"""Read native formats: one small function each, from a verified file to the shapes of `records`.

In: a path and the source's name. Out: instruction rows or IE records, each checked; a malformed one
is an error that names file, place and reason, or is collected beside the others.
Shown in notebook 01.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from miniluotuo_utils.data.readers import (
    annotated,
    dialogues,
    events,
    instructions,
    native,
    ner,
    reasoning,
    relations,
    standoff,
    tokens,
)
from miniluotuo_utils.files import DataError, reason
from miniluotuo_utils.records import check_record, check_row
from miniluotuo_utils.runtime import EMBEDDED


@dataclass(frozen=True)
class Reader:
    """How one native format is read.

    `units` cuts the file, `convert` turns a unit into rows or records, `check` proves them.
    """

    convert: Callable[[Any], Iterator[dict]]
    units: Callable[[Path], Iterator[native.Unit]] = native.json_objects
    check: Callable[[dict], dict] | None = None


@dataclass(frozen=True)
class Fault:
    """A unit that could not be read: the file's name, the place in it, the reason.

    `found` is its first characters where it could be cut out.
    """

    file: str
    place: str
    reason: str
    found: str

    def __str__(self) -> str:
        return f"{self.file}, {self.place}: {self.reason}"


rows, records = partial(Reader, check=check_row), partial(Reader, check=check_record)

READERS: dict[str, Reader] = {
    "unified_rows": rows(instructions.alpaca),
    "unified_records": records(ner.unified_records),
    "alpaca": rows(instructions.alpaca),
    "alpaca_parallel": rows(instructions.alpaca_parallel),
    "alpaca_parallel_all": rows(partial(instructions.alpaca_parallel, least=0)),
    "seeds": rows(instructions.seeds),
    "coig": rows(instructions.coig, native.named_objects),
    "baike": rows(partial(instructions.web_question, answer="answer")),
    "webtext": rows(partial(instructions.web_question, answer="content")),
    "lamini": rows(instructions.lamini, native.parquet_rows),
    "cot_tsv": rows(reasoning.chain_of_thought, native.lines),
    "word_list": Reader(instructions.word_list, native.named_lines),
    "cluener": records(ner.cluener),
    "bmes_columns": records(ner.tag_columns, native.blocks),
    "bio_columns": records(ner.tag_columns, native.blocks),
    "weibo_columns": records(ner.weibo_columns, native.blocks),
    "bio_words": records(partial(ner.tag_columns, between=" "), native.blocks),
    "entity_list": records(ner.entity_list),
    "cmeee": records(ner.cmeee, native.lines),
    "cmeee_json": records(ner.cmeee_json),
    "finre": records(relations.finre, native.lines),
    "deepke_csv": records(relations.deepke_csv, native.csv_rows),
    "spo_list": records(relations.spo_list),
    "conll04": records(relations.conll04, native.blocks),
    "semeval": records(relations.semeval, native.lines),
    "fewfc": records(events.fewfc),
    "duee": records(events.duee),
    "duee_fin": records(events.duee),
    "iepile": records(events.iepile, events.iepile_rows),
    # what people bring, which no card of the catalog has
    "own_rows": rows(dialogues.asked_and_answered),
    "own_records": records(ner.own_records),
    "prompt_response": rows(dialogues.asked_and_answered),
    "question_answer": rows(dialogues.asked_and_answered),
    "input_output": rows(dialogues.asked_and_answered),
    "sharegpt": rows(dialogues.conversation),
    "messages": rows(dialogues.conversation),
    "conversation": rows(dialogues.conversation),
    "doccano": records(annotated.doccano),
    "label_studio": records(annotated.label_studio),
    "label_studio_min": records(annotated.label_studio_min),
    "spans": records(annotated.spans),
    "spacy_pair": records(annotated.spacy_pair),
    "uie": records(annotated.uie, annotated.uie_contents),
    "brat": records(standoff.brat, standoff.brat_texts),
    "names": records(annotated.by_name),
    "triples": records(annotated.by_name),
    "pair_rows": records(annotated.pair_row),
    "uie_structure": records(annotated.uie_structure),
    "tplinker": records(annotated.tplinker),
    "persons": records(annotated.persons, native.lines),
    "cec": records(standoff.cec, standoff.xml_texts),
    "tag_lists": records(tokens.tag_lists),
    "inline_tags": records(tokens.inline_tags, native.lines),
    "w2ner": records(tokens.w2ner),
    "columns": records(tokens.column_pairs, tokens.column_units),
}
# The readers of the catalog's cards; the others are for people's own files.
OWN = [*READERS][[*READERS].index("own_rows") :]


def examples() -> dict[str, Path]:
    """Return a tiny file in each native format, with sentences of our own: reader → path."""
    # CMeEE comes as text and as JSON; every other format has one file, named for its reader.
    return {
        "cmeee_json" if path.name == "cmeee.json" else path.stem: path
        for path in sorted((EMBEDDED / "native").iterdir())
    }


def read_file(
    path: Path,
    reader: Reader,
    source: str,
    faults: list[Fault] | None = None,
    rest: str = "A list as `faults` collects such places, and the rest is read（其余的照读）",
) -> Iterator[dict]:
    """Yield the rows or records of one native file, each checked, with their `source`.

    A malformed unit raises DataError with file, place and reason; with a list `faults` it is put
    there and reading goes on; `rest` tells how.
    """
    finish = partial(finished, reader=reader, source=source)
    yield from read_units(reader.units(path), reader.convert, finish, path.name, rest, faults)


def read_units(
    units: Iterable[native.Unit],
    convert: Callable[[Any], Iterable[dict]],
    finish: Callable[[dict], dict | None],
    file: str,
    rest: str,
    faults: list[Fault] | None = None,
) -> Iterator[dict]:
    """Yield what `convert` makes of units and `finish` of that; None is nothing.

    A malformed unit raises DataError with file, place and reason, and with how the `rest` is read;
    with a list `faults` it is put there and reading goes on.
    """
    for place, unit in units:
        try:
            if isinstance(unit, DataError):
                raise unit
            # All of a unit before any of it: half of a dialogue is no row.
            found = [finish(one) for one in convert(unit)]
        except native.UNREADABLE as error:
            shown = "" if isinstance(unit, DataError) else str(unit)[:200]
            fault = Fault(file, place, reason(error), shown)
            if faults is None:
                raise DataError(f"{fault}. {rest}") from None
            faults.append(fault)
        else:
            yield from (one for one in found if one is not None)


def finished(one: dict, reader: Reader, source: str) -> dict:
    """Return a row or record, checked, with its source.

    The source may name a part of it: `lamini-instruction/alpaca`.
    """
    part = one.get("source")
    one["source"] = f"{source}/{part}" if part and part != source else source
    return reader.check(one) if reader.check else one
