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

from miniluotuo_utils.data.opening import AnyFile, opened
from miniluotuo_utils.data.readers import dialogues, native
from miniluotuo_utils.data.readers.native import Unit
from miniluotuo_utils.data.recognition import objects
from miniluotuo_utils.files import DataError

PACKS = (".gz", ".xz", ".bz2", ".zip")
JSON, TABLES, TEXTS = (".json", ".jsonl", ".ndjson"), (".csv", ".tsv"), (".txt", ".md", ".text")
BEGINS = re.compile(rb'(\xef\xbb\xbf)?\s*\[?\s*\{\s*["}]')  # of JSON objects, whatever the ending
# What a question is called where nobody named it for us. `prompt` of `predict` is another thing.
QUESTIONS = tuple(name for name in dialogues.INSTRUCTION if name != "prompt")


def units_of(path: Path, columns: Sequence[str]) -> Iterator[Unit]:
    """Yield the place and the value of all objects, rows or lines of a file.

    columns: what a table must have one of; a line of text is an object with the first of them. A
    value is a DataError where the file is damaged. Raises DataError for a table without any of the
    columns, and for what is no data at all.
    """
    file = opened(path)
    ending = next((e.lower() for e in reversed(path.suffixes) if e.lower() not in PACKS), "")
    found = objects_in(file, ending, columns)
    if found is not None:
        yield from found
        return
    if ending in TABLES:
        first = next((line for _, line in native.lines(file)), "")
        raise DataError(
            f"{path.name}, line 1: found {str(first)[:60]!r}, expected names of columns, and "
            f"{' or '.join(columns[:3])} among them"
        )
    for place, line in native.lines(file):
        yield place, {columns[0]: line} if isinstance(line, str) else line


def objects_in(file: AnyFile, ending: str, columns: Sequence[str]) -> Iterator[Unit] | None:
    """Return the objects, or the rows of a table, that a file holds; None for lines of text."""
    if file.table:
        units, _ = objects(file)
        return ((place, native.attempt(in_json, row)) for place, row in units())
    with file.open() as raw:
        head = raw.read(256)
    if BEGINS.match(head) or ending in JSON:
        units, _ = objects(file, columns)
        return units() if units else native.json_objects(file)
    # A line of text may begin with a bracket, and hold words that could name columns: the columns
    # that are asked for are looked for in a table alone, as Excel's "Unicode text" is one, too.
    table = ending in TABLES or b"\t" in head.partition(b"\n")[0]
    brackets = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
    if brackets or (ending in TEXTS and not table):
        return None
    units, _ = objects(file, columns if table else ())
    return units and units()


def asked_rows(
    path: Path, check: Callable[[Mapping], dict], questions: Sequence[str] = QUESTIONS
) -> Iterator[dict]:
    """Yield the rows of a file that ask something, each put through `check`.

    A field with another usual name has ours, too: `问题` is an `instruction`, `上下文` an `input`;
    a line of text is an instruction. All fields stay. Raises DataError that names the place.
    """
    for place, row in units_of(path, questions):
        try:
            if isinstance(row, DataError):
                raise row
            yield check(named(row, questions) if isinstance(row, Mapping) else row)
        except DataError as error:
            raise DataError(f"{path.name}, {place}, {error}") from None


def named(row: Mapping, questions: Sequence[str] = QUESTIONS) -> dict:
    """Return a row whose question, and the text it is about, have our names as well.

    >>> named({"问题": "几点了？", "id": 3})
    {'问题': '几点了？', 'id': 3, 'instruction': '几点了？'}
    >>> named({"prompt": "几点了？", "context": "现在三点。"})
    {'prompt': '几点了？', 'context': '现在三点。'}
    """
    question = dialogues.named_field(row, questions)
    if question is None:
        return dict(row)
    text = dialogues.named_field(row, dialogues.INPUT)
    ours = {"instruction": row[question]} | ({"input": row[text]} if text else {})
    return {**row, **ours}


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
