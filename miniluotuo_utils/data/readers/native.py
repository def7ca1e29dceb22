"""Cut native files into units: a JSON object, a line, a block of tagged tokens, a row of a table.

In: a path. Out: `(place, value)`, where the value is a `DataError` if that unit cannot be read, so
that the units after it still can. Used by every reader.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from miniluotuo_utils.files import ESCAPE, DataError, parsed, reason, whole_characters

Unit = tuple[str, Any]
LONGEST_LINE = 64 << 20  # bytes; a longer line is a damaged or hostile file
# What a malformed unit raises, whoever reads it.
UNREADABLE = (
    DataError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    SyntaxError,
    RecursionError,
    MemoryError,
)


def attempt(function: Callable, value: Any) -> Any:
    """Return a function of a value, or, as a value, the DataError that says why there is none.

    A value that is such an error already comes back.
    """
    if isinstance(value, DataError):
        return value
    try:
        return function(value)
    except UNREADABLE as error:
        return DataError(reason(error))


def text_lines(path: Path) -> Iterator[tuple[int, str | DataError]]:
    """Yield (line number, text) of every line, without its end and without a byte order mark."""
    with open(path, "rb") as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE + 1), b""), 1):
            if len(line) > LONGEST_LINE:
                yield (
                    number,
                    DataError(
                        f"longer than {LONGEST_LINE >> 20} MiB, the rest of the file was not read; "
                        "is it one record per line?"
                    ),
                )
                return
            encoding = "utf-8-sig" if number == 1 else "utf-8"
            yield number, attempt(partial(str, encoding=encoding), line.rstrip(b"\r\n"))


def whole_text(path: Path) -> str:
    """Return the text of a file with its line ends as they are, without a byte order mark."""
    return path.read_bytes().decode("utf-8-sig")


def json_objects(path: Path) -> Iterator[Unit]:
    """Yield the items of one JSON list, the one object that stands over all lines, or JSON Lines.

    The beginning tells them apart, because endings lie (`zh_seed_tasks.json`).
    """
    with open(path, "rb") as file:
        start = file.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] == b"[":
        yield from json_list(path)
    elif start.partition(b"\n")[0].strip() == b"{":
        yield "line 1", attempt(parsed, attempt(whole_text, path))
    else:
        yield from ((place, attempt(parsed, line)) for place, line in lines(path))


def json_list(path: Path) -> Iterator[Unit]:
    """Yield the items of a file that is one JSON list.

    Of a broken list the items before the break come, then the fault.
    """
    text, number = attempt(whole_text, path), 0
    if isinstance(text, DataError):
        yield "file", text
        return
    # All at once costs two thirds of one by one, which only a broken list needs.
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        items = list_items(text)
    check = whole_characters if ESCAPE.search(text) else None
    try:
        for number, item in enumerate(items, 1):
            yield f"item {number}", attempt(check, item) if check else item
    except json.JSONDecodeError as error:
        yield (
            f"line {error.lineno}",
            DataError(
                f"{error.msg.removesuffix(' at')} at column {error.colno}: "
                "the list cannot be read from here on"
            ),
        )
    except (ValueError, RecursionError) as error:
        yield f"item {number + 1}", DataError(reason(error))


def list_items(text: str) -> Iterator[Any]:
    """Yield the items of a JSON list one by one, and raise JSONDecodeError where it breaks.

    >>> list(list_items('[{"a": 1}, 2]'))
    [{'a': 1}, 2]
    """
    decode, comma = json.JSONDecoder().raw_decode, re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
    at = re.match(r"\s*\[[ \t\r\n]*", text).end()
    more = text[at : at + 1] != "]"
    while more:
        item, at = decode(text, at)
        yield item
        more = comma.match(text, at)
        at = more.end() if more else at
    rest = text[at:].lstrip(" \t\r\n")
    if rest.rstrip(" \t\r\n") != "]":
        raise json.JSONDecodeError("Expecting ',' delimiter", text, len(text) - len(rest))


def lines(path: Path) -> Iterator[Unit]:
    """Yield lines that are not empty."""
    for number, line in text_lines(path):
        if isinstance(line, DataError) or line.strip():
            yield f"line {number}", line


def named_lines(path: Path) -> Iterator[Unit]:
    """Yield lines as `(stem, line)` where the file's name says what its lines are.

    Some end with a bare `\\r` (THUOCL_diming).
    """
    for place, line in lines(path):
        if isinstance(line, DataError):
            yield place, line
        else:
            yield from ((place, (path.stem, part)) for part in line.split("\r") if part.strip())


def blocks(path: Path) -> Iterator[Unit]:
    """Yield runs of lines between empty lines, each line split at tabs or else at white space.

    The place is the run's first line. `#doc 1537` lines (CoNLL04) part runs as empty lines do; a
    token `#doctor` (WNUT17) does not.
    """

    def parts(pair: tuple[int, str | DataError]) -> bool:
        return isinstance(pair[1], str) and re.fullmatch(r"\s*|#doc \d+", pair[1]) is not None

    for empty, group in groupby(text_lines(path), parts):
        if empty:
            continue
        run = list(group)
        faults = [pair for pair in run if isinstance(pair[1], DataError)]
        number, value = (faults or run)[0]
        if not faults:
            value = [line.split("\t" if "\t" in line else None) for _, line in run]
        yield f"line {number}", value


def csv_rows(path: Path) -> Iterator[Unit]:
    """Yield the rows of a CSV file with a header, as dicts."""
    text = attempt(whole_text, path)
    if isinstance(text, DataError):
        yield "file", text
        return
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        for row in filter(None, reader):
            fault = DataError(
                f"found {len(row)} fields, expected {len(header)} as in the header; "
                "is a comma or a quote astray?"
            )
            whole = len(row) == len(header)
            yield f"line {reader.line_num}", dict(zip(header, row, strict=True)) if whole else fault
    except csv.Error as error:
        yield f"line {reader.line_num}", DataError(f"{error}: the file cannot be read from here on")


def parquet_rows(path: Path) -> Iterator[Unit]:
    """Yield the rows of a Parquet file as dicts, a batch in memory at a time."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield f"row {number}", row
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        yield "file", DataError(f"not a whole Parquet file ({str(error)[:80]})")
