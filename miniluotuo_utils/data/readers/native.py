"""Native files cut into units: one JSON object, one line, one block of tagged tokens, each with its place in the file.

In: a path. Out: `(place, value)`, where the value is a `DataError` if that unit cannot be read, so that the units after
it still can. Used by every reader.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from miniluotuo_utils.records import DataError

LONGEST_LINE = 64 << 20  # bytes; a longer line is a damaged or hostile file
Unit = tuple[str, Any]


def text_lines(path: Path) -> Iterator[tuple[int, str | DataError]]:
    """(line number, text) of every line, without its line end and without a byte order mark."""
    with open(path, "rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                yield number, DataError(f"longer than {LONGEST_LINE >> 20} MiB, the rest of the file was not read; is it one record per line?")
                return
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                yield number, DataError(f"not UTF-8 at byte {error.start} of the line ({error.reason}); save the file as UTF-8")


def whole_text(path: Path) -> str:
    """The text of a file; DataError with the byte where it stops being UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 at byte {error.start:,} ({error.reason}); save the file as UTF-8") from None


def parsed(text: str) -> Any:
    """A JSON value; DataError says what is wrong and where."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{error.msg.removesuffix(' at')} at column {error.colno}, expected one JSON object") from None
    except RecursionError:
        raise DataError("JSON nested too deep to be data; is the file hostile or damaged?") from None


def json_objects(path: Path) -> Iterator[Unit]:
    """JSON Lines, or one JSON list or object: told apart by the first character, because endings lie (`zh_seed_tasks.json`)."""
    with open(path, "rb") as file:
        start = file.read(256).removeprefix(b"\xef\xbb\xbf").lstrip()
    yield from json_list(path) if start[:1] == b"[" else json_lines(path)


def json_lines(path: Path) -> Iterator[Unit]:
    """One JSON value per line; empty lines are passed over. A file that is one object over several lines is that object."""
    for number, line in text_lines(path):
        if number == 1 and isinstance(line, str) and line.strip() == "{":
            yield "line 1", attempt(parsed, whole_text(path))
            return
        if isinstance(line, DataError):
            yield f"line {number}", line
        elif line.strip():
            yield f"line {number}", attempt(parsed, line)


def attempt(function: Any, *arguments: Any) -> Any:
    """What a function returns, or the DataError that it raises, as a value."""
    try:
        return function(*arguments)
    except DataError as error:
        return error


def json_list(path: Path) -> Iterator[Unit]:
    """The items of a file that is one JSON list. Of a broken list the items before the break come, then the fault."""
    text = attempt(whole_text, path)
    if isinstance(text, DataError):
        yield "file", text
        return
    try:
        for number, item in enumerate(json.loads(text), 1):
            yield f"item {number}", item
    except (json.JSONDecodeError, RecursionError):
        yield from salvaged(text)


def salvaged(text: str) -> Iterator[Unit]:
    """The whole items at the start of a broken JSON list, and the place where it breaks.

    >>> list(salvaged('[{"a": 1}, {"a" 2}]'))
    [('item 1', {'a': 1}), ('line 1', DataError("Expecting ':' delimiter at column 17: the list cannot be read from here on"))]
    """
    decoder, at, number = json.JSONDecoder(), text.index("[") + 1, 0
    while True:
        at += len(text[at : at + 4096]) - len(text[at : at + 4096].lstrip(" \t\r\n,"))
        try:
            item, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            fault = f"{error.msg} at column {error.colno}: the list cannot be read from here on"
            yield f"line {error.lineno}", DataError(fault)
            return
        except RecursionError:
            yield f"item {number + 1}", DataError("JSON nested too deep to be data; is the file hostile or damaged?")
            return
        number += 1
        yield f"item {number}", item


def lines(path: Path) -> Iterator[Unit]:
    """Lines that are not empty."""
    for number, line in text_lines(path):
        if isinstance(line, DataError) or line.strip():
            yield f"line {number}", line


def named_lines(path: Path) -> Iterator[Unit]:
    """Lines with the file's name, where the name says what the lines are: `(stem, line)`. Some end with a bare `\\r` (THUOCL_diming)."""
    for place, line in lines(path):
        if isinstance(line, DataError):
            yield place, line
        else:
            yield from ((place, (path.stem, part)) for part in line.split("\r") if part.strip())


def blocks(path: Path) -> Iterator[Unit]:
    """Runs of lines between empty lines, each line split at white space; the place is the run's first line.

    `#doc 1537` lines (CoNLL04) part runs as empty lines do; a token `#doctor` (WNUT17) does not.
    """

    def parts(pair: tuple[int, str | DataError]) -> bool:
        return isinstance(pair[1], str) and (not pair[1].strip() or re.fullmatch(r"#doc \d+", pair[1]) is not None)

    for empty, group in groupby(text_lines(path), parts):
        run = list(group)
        if not empty:
            bad = next((line for _, line in run if isinstance(line, DataError)), None)
            yield f"line {run[0][0]}", bad or [line.split("\t") if "\t" in line else line.split() for _, line in run]


def csv_rows(path: Path) -> Iterator[Unit]:
    """The rows of a CSV file with a header, as dicts."""
    text = attempt(whole_text, path)
    if isinstance(text, DataError):
        yield "file", text
        return
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            yield f"line {reader.line_num}", row
    except csv.Error as error:
        yield f"line {reader.line_num}", DataError(f"{error}: the file cannot be read from here on")


def parquet_rows(path: Path) -> Iterator[Unit]:
    """The rows of a Parquet file as dicts, a batch in memory at a time."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except (pyarrow.ArrowInvalid, OSError) as error:
        yield "file", DataError(f"not a whole Parquet file ({str(error)[:80]})")
