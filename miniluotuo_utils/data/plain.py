"""Read what is asked, or sentences, from a file of any kind, one by one, in order.

In: lines of text, JSON, JSON Lines, a table; packed, or in another code. Out: an object for each,
with its place. Used by `predict`, `respond`, `extract`, `annotate`; shown in jobs/README.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from miniluotuo_utils.data.opening import AnyFile, member_name, only_member, opened
from miniluotuo_utils.data.readers import dialogues, native
from miniluotuo_utils.data.readers.native import Unit
from miniluotuo_utils.data.recognition import delimiter_of, header_on, names_in, objects
from miniluotuo_utils.files import DataError

PACKS = (".gz", ".xz", ".bz2", ".zip")
JSON, TABLES, TEXTS = (".json", ".jsonl", ".ndjson"), (".csv", ".tsv"), (".txt", ".md", ".text")
# Of JSON objects, whatever the ending.
BEGINS = re.compile(rb'(\xef\xbb\xbf)?\s*\[?\s*\{\s*("(?:[^"\\]|\\.)*"\s*:|\})')
# What a question is called where nobody named it for us. `prompt` of `predict` is another thing,
# and `user` is often a number.
QUESTIONS = tuple(n for n in dialogues.INSTRUCTION if n not in ("prompt", "user", "human"))
ANSWERS = dialogues.OUTPUT[:8]  # without those that may say something else: a target, a bot


def units_of(path: Path, columns: Sequence[str], way: str = "rename one") -> Iterator[Unit]:
    """Yield the place and the value of all objects, rows or lines of a file.

    columns: what a table must have one of; a line of text, or a text in a list of JSON, is an
      object with the first of them. way: what a person may do about a table that has none.

    A value is a DataError where the file is damaged. Raises DataError for a table without any of
    the columns, and for what is no data at all.
    """
    file = opened(path)
    ending = next((e for e in reversed(suffixes(file)) if e not in PACKS), "")
    found = objects_in(file, ending, columns)
    if found is None and ending in TABLES:
        first = next((line for _, line in native.lines(file)), "")
        raise DataError(
            f"{path.name}, line 1: found {str(first)[:60]!r}, expected names of columns, and "
            f"{' or '.join(columns[:3])} among them ({way})"
        )
    for place, value in native.lines(file) if found is None else found:
        yield place, {columns[0]: value} if isinstance(value, str) else value


def suffixes(file: AnyFile) -> list[str]:
    """Return the endings of a file, in small letters; a link's and an archive's are those within.

    >>> suffixes(AnyFile(Path("rows.CSV.gz")))
    ['.csv', '.gz']
    """
    path = file.path.resolve()
    inside = Path(member_name(path)).suffixes if file.pack is only_member else []
    return [ending.lower() for ending in (*path.suffixes, *inside)]


def objects_in(file: AnyFile, ending: str, columns: Sequence[str]) -> Iterator[Unit] | None:
    """Return the objects, or the rows of a table, that a file holds; None for lines of text."""
    if file.table:
        units, _ = objects(file)
        return ((place, native.attempt(in_json, row)) for place, row in units())
    with file.open() as raw:
        head = raw.read(1 << 16)
    if BEGINS.match(head) or ending in JSON:
        units, _ = objects(file, columns)
        return units() if units else native.json_objects(file)
    delimiter = delimiter_in(head.decode("utf-8-sig", "replace"), file, ending, columns)
    return native.csv_rows(file, delimiter) if delimiter else None


def delimiter_in(head: str, file: AnyFile, ending: str, columns: Sequence[str]) -> str | None:
    """Return what parts the cells of a table that begins so; None for lines of text.

    A line of text may begin with a bracket, or with a word that is the name of a column, too: only
    of a table, and of what Excel calls Unicode text, is one known name enough.
    """
    head = header_on(head)
    excel = file.encoding.startswith("utf-16") and "\t" in head.partition("\n")[0]
    table = ending in TABLES or excel
    if head.lstrip()[:1] in ("{", "["):
        return None
    delimiter = delimiter_of(head, columns if table else ())
    if delimiter is None or table or len(names_in(head, delimiter)) > 1:
        return delimiter
    return None


def asked_rows(
    path: Path, check: Callable[[Mapping], dict], questions: Sequence[str] = QUESTIONS
) -> Iterator[dict]:
    """Yield the rows of a file that ask something, each put through `check`.

    A field with another usual name has ours, too: `问题` is an `instruction`, `上下文` an `input`,
    `答案` an `output`; a line of text is an instruction. All fields stay. Raises DataError that
    names the place, and for a file without rows.
    """
    place = None
    for place, row in units_of(path, (*questions, "prompt")):
        try:
            if isinstance(row, DataError):
                raise row
            yield check(named(row, questions) if isinstance(row, Mapping) else row)
        except DataError as error:
            raise DataError(f"{path.name}, {place}, {error}{way_out(row)}") from None
    if place is None:
        raise DataError(f"{path.name}: found no rows, expected at least one")


def way_out(row: object) -> str:
    """Return what to do about a row of another kind; "" where the fault says it.

    >>> way_out({"messages": []})
    '; these are conversations: `convert IN OUT --to alpaca` makes rows of them'
    """
    turns = isinstance(row, Mapping) and not {*dialogues.TURNS}.isdisjoint(row)
    if not turns and not isinstance(row, list):
        return ""
    return "; these are conversations: `convert IN OUT --to alpaca` makes rows of them"


def named(row: Mapping, questions: Sequence[str] = QUESTIONS) -> dict:
    """Return a row whose question, the text it is about and the answer have our names as well.

    A question beside an instruction is what the instruction is about, as in the rows that are
    trained on (`asked_and_answered`).

    >>> named({"问题": "几点了？", "id": 3})
    {'问题': '几点了？', 'id': 3, 'instruction': '几点了？'}
    >>> named({"instruction": "答题。", "question": "几点了？"})["input"]
    '几点了？'
    >>> named({"prompt": "几点了？", "context": "现在三点。"})
    {'prompt': '几点了？', 'context': '现在三点。'}
    """
    question = dialogues.named_field(row, questions)
    if question is None or "prompt" in row and "prompt" not in questions:
        return dict(row)
    told = {key: value for key, value in row.items() if isinstance(value, str) and value.strip()}
    told.pop(question, None)
    text = dialogues.named_field(told, (*dialogues.INPUT, *dialogues.INSTRUCTION[5:9]))
    answer = dialogues.named_field(told, ANSWERS)
    ours = {"instruction": row[question]} | ({"input": row[text]} if text else {})
    return {**row, **ours, **({"output": row[answer]} if answer else {})}


def in_json(row: Mapping) -> dict:
    """Return a row of a table as JSON can hold it: days and decimals as texts, no number as None.

    Raises TypeError for bytes.

    >>> in_json({"day": date(2026, 5, 1), "n": Decimal("1.5"), "x": float("nan")})
    {'day': '2026-05-01', 'n': '1.5', 'x': None}
    """
    return json.loads(json.dumps(row, default=as_text), parse_constant=lambda _: None)


def as_text(value: Any) -> str:
    """Return a day, a time or a decimal as a text; TypeError for anything else.

    >>> as_text(Decimal("1.50"))
    '1.50'
    """
    if isinstance(value, date | time | timedelta | Decimal):
        return str(value)
    kind = type(value).__name__
    raise TypeError(f"it holds {kind}, expected text or numbers: leave that column out")
