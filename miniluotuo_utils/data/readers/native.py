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

from miniluotuo_utils.files import DataError

LONGEST_LINE = 64 << 20  # bytes; a longer line is a damaged or hostile file
NESTED = "JSON nested too deep to be data; is the file hostile or damaged?"
UNREADABLE = (
    DataError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    SyntaxError,
    RecursionError,
    MemoryError,
)  # of a malformed unit
Unit = tuple[str, Any]


def text_lines(path: Path) -> Iterator[tuple[int, str | DataError]]:
    """(line number, text) of every line, without its line end and without a byte order mark."""
    with open(path, "rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                yield (
                    number,
                    DataError(
                        f"longer than {LONGEST_LINE >> 20} MiB, the rest of the file was not read; is it one record per line?"
                    ),
                )
                return
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                yield (
                    number,
                    DataError(
                        f"not UTF-8 at byte {error.start} of the line ({error.reason}); save the file as UTF-8"
                    ),
                )


def whole_text(path: Path) -> str:
    """The text of a file; DataError with the byte where it stops being UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"not UTF-8 at byte {error.start:,} ({error.reason}); save the file as UTF-8"
        ) from None


def parsed(text: str) -> Any:
    """A JSON value; DataError says what is wrong and where."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{error.msg.removesuffix(' at')} at column {error.colno}, expected one JSON object"
        ) from None
    except ValueError as error:  # a number of more digits than Python reads
        raise DataError(str(error).split(";")[0]) from None
    except RecursionError:
        raise DataError(NESTED) from None
    return whole_characters(value, text)


def whole_characters(value: Any, text: str) -> Any:
    """A JSON value, unless `text` escapes half of a character outside the basic plane: it could never be written again."""
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DataError(
                "half of a surrogate pair stands in it, expected whole characters"
            ) from None
    return value


def json_objects(path: Path) -> Iterator[Unit]:
    """JSON Lines, or one JSON list or object: told apart by the first character, because endings lie (`zh_seed_tasks.json`)."""
    with open(path, "rb") as file:
        start = file.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
    yield from json_list(path) if start[:1] == b"[" else json_lines(path)


def json_lines(path: Path) -> Iterator[Unit]:
    """One JSON value per line; empty lines are passed over. A file that is one object over several lines is that object."""
    for number, line in text_lines(path):
        if number == 1 and isinstance(line, str) and line.strip() == "{":
            yield "line 1", attempt(lambda: parsed(whole_text(path)))
            return
        if isinstance(line, DataError):
            yield f"line {number}", line
        elif line.strip():
            yield f"line {number}", attempt(parsed, line)


def attempt(function: Any, *arguments: Any) -> Any:
    """What a function returns, or, as a value, the DataError that says why it cannot."""
    try:
        return function(*arguments)
    except UNREADABLE as error:
        return DataError(reason(error))


def reason(error: BaseException) -> str:
    """An exception in words for a reader of data.

    >>> reason(KeyError("text"))
    "the field 'text' is missing"
    """
    if isinstance(error, KeyError):
        return f"the field {error} is missing"
    if isinstance(error, DataError):
        return str(error)
    return f"not in this format ({str(error)[:120]})"


def json_list(path: Path) -> Iterator[Unit]:
    """The items of a file that is one JSON list. Of a broken list the items before the break come, then the fault."""
    text = attempt(whole_text, path)
    if isinstance(text, DataError):
        yield "file", text
        return
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        yield from salvaged(text)
        return
    escaped = "\\ud" in text or "\\uD" in text
    for number, item in enumerate(items, 1):
        yield f"item {number}", attempt(whole_characters, item, "\\ud") if escaped else item


def salvaged(text: str) -> Iterator[Unit]:
    """The whole items at the start of a broken JSON list, and the place where it breaks.

    >>> list(salvaged('[{"a": 1}, {"a" 2}]'))
    [('item 1', {'a': 1}), ('line 1', DataError("Expecting ':' delimiter at column 17: the list cannot be read from here on"))]
    """
    decoder, space = json.JSONDecoder(), re.compile(r"[ \t\r\n]*")
    at, number = space.match(text, text.index("[") + 1).end(), 0
    while True:
        try:
            item, at = decoder.raw_decode(text, at)
            yield f"item {(number := number + 1)}", attempt(whole_characters, item, "\\ud")
            at = space.match(text, at).end()
            if text[at : at + 1] != ",":
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
            at = space.match(text, at + 1).end()
        except json.JSONDecodeError as error:
            fault = f"{error.msg.removesuffix(' at')} at column {error.colno}: the list cannot be read from here on"
            yield f"line {error.lineno}", DataError(fault)
            return
        except (ValueError, RecursionError) as error:
            yield (
                f"item {number + 1}",
                DataError(
                    NESTED if isinstance(error, RecursionError) else str(error).split(";")[0]
                ),
            )
            return


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
        return isinstance(pair[1], str) and (
            not pair[1].strip() or re.fullmatch(r"#doc \d+", pair[1]) is not None
        )

    for empty, group in groupby(text_lines(path), parts):
        run = list(group)
        if not empty:
            number, bad = next(
                ((n, line) for n, line in run if isinstance(line, DataError)), (run[0][0], None)
            )
            yield (
                f"line {number}",
                bad or [line.split("\t") if "\t" in line else line.split() for _, line in run],
            )


def csv_rows(path: Path) -> Iterator[Unit]:
    """The rows of a CSV file with a header, as dicts."""
    text = attempt(whole_text, path)
    if isinstance(text, DataError):
        yield "file", text
        return
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            given = (
                len(row.get(None) or [])
                + sum(value is not None for value in row.values())
                - (None in row)
            )
            fault = DataError(
                f"found {given} fields, expected {len(reader.fieldnames)} as in the header; is a comma or a quote astray?"
            )
            yield f"line {reader.line_num}", row if given == len(reader.fieldnames) else fault
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
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        yield "file", DataError(f"not a whole Parquet file ({str(error)[:80]})")
