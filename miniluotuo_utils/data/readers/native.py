"""Cut native files into units: a JSON object, a line, a block of tagged tokens, a row of a table.

In: a path, or what else has `name`, `stem` and `open("rb")`. Out: `(place, value)`, where the value
is a `DataError` if that unit cannot be read, so that the units after it still can. Used by every
reader.
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from miniluotuo_utils.files import (
    ESCAPE,
    STRICT,
    DataError,
    parsed,
    reason,
    way_out,
    whole_characters,
)

Unit = tuple[str, Any]
LONGEST_LINE = 64 << 20  # bytes; a longer line is a damaged or hostile file
PIECE = 1 << 20  # bytes of a JSON list that are decoded at a time
NEAR = 32  # characters: a number, a word or an escape that a piece's end cuts in two is shorter
LENIENT = json.JSONDecoder()
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
    with path.open("rb") as file:
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


def json_objects(path: Path) -> Iterator[Unit]:
    """Yield the items of one JSON list, JSON Lines, or objects that stand over several lines.

    The beginning tells them apart, because endings lie (`zh_seed_tasks.json`).
    """
    with path.open("rb") as file:
        start = file.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] == b"[" and not is_line_of_json(start):
        yield from json_values(path, "item", list_items)
    elif start.partition(b"\n")[0].strip() == b"{":
        yield from json_values(path, "object", values)
    else:
        yield from ((place, attempt(of_line, line)) for place, line in lines(path))


def of_line(line: str) -> Any:
    """Return the JSON value of a line; a mark in front is left of a file that was put behind."""
    return parsed(line.removeprefix("\ufeff"))


def is_line_of_json(start: bytes) -> bool:
    """Return whether a file that begins with `[` has one list a line, as some chat data has.

    >>> is_line_of_json(b'[{"a": 1}]\\n[{"a": 2}]\\n'), is_line_of_json(b'[{"a": 1},\\n{"a": 2}]')
    (True, False)
    """
    first, _, rest = start.partition(b"\n")
    try:
        return rest.lstrip()[:1] == b"[" and isinstance(LENIENT.decode(first.decode()), list)
    except (ValueError, RecursionError):
        return False


class Window:
    """The text of a file from some place on: what was read is let go, more is read when asked for.

    `text[at:]` is what is left of the piece in memory, `line` the number of the line of `at`.
    """

    def __init__(self, file: io.BufferedIOBase) -> None:
        self.file, self.text, self.at, self.line = file, "", 0, 1
        self.read, self.ended = 0, False
        self.gone = 0  # characters of the line in front of `text` that were let go
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()

    def more(self) -> bool:
        """Read more of the file, twice as much each time; False at its end.

        Raises DataError with the place in the file of a byte that is not UTF-8.
        """
        if self.ended:
            return False
        piece = self.file.read(max(PIECE, len(self.text) - self.at))
        begun = self.read - len(self.decoder.getstate()[0])
        self.ended, self.read = not piece, self.read + len(piece)
        try:
            new = self.decoder.decode(piece, final=self.ended)
        except UnicodeDecodeError as error:
            place = f"not UTF-8 at byte {begun + error.start:,} ({error.reason})"
            raise DataError(f"{place}; save the file as UTF-8") from None
        line_end = self.text.rfind("\n", 0, self.at)
        self.gone = self.at - line_end - 1 if line_end >= 0 else self.gone + self.at
        self.text, self.at = self.text[self.at :] + new, 0
        return True

    def next(self) -> str:
        """Return the next character, "" at the end of the file."""
        while self.at == len(self.text) and self.more():
            pass
        return self.text[self.at : self.at + 1]

    def skip(self, characters: str) -> None:
        """Let go of the next characters as long as they are among `characters`."""
        while self.next() and self.next() in characters:
            self.go(self.at + 1)

    def go(self, end: int) -> None:
        """Let go of the text up to `end`."""
        self.line += self.text.count("\n", self.at, end)
        self.at = end

    def column_of(self, place: int) -> int:
        """Return the column of a place in `text`, from 1."""
        line_end = self.text.rfind("\n", 0, place)
        return place - line_end if line_end >= 0 else self.gone + place + 1

    def line_of(self, place: int) -> int:
        """Return the number of the line of a place in `text` that is still ahead."""
        return self.line + self.text.count("\n", self.at, place)

    def value(self) -> Any:
        """Return the JSON value that stands next, and let it go.

        One that could be read but must not be (a key twice, NaN, half a character) comes as a
        DataError. Raises JSONDecodeError or RecursionError where no value stands there.
        """
        while True:
            try:
                value, end = self.decoded()
            except json.JSONDecodeError as error:
                # Cut off by the end of what was read so far, or broken?
                near = len(self.text) - error.pos < NEAR or "Unterminated" in error.msg
                if near and self.more():
                    continue
                raise
            # A number at the very end may go on.
            if end < len(self.text) or not self.more():
                value = whole(value, self.text, self.at, end)
                self.go(end)
                return value

    def decoded(self) -> tuple[Any, int]:
        """Return the value that stands at `at`, or the DataError about it, and where it ends."""
        try:
            return STRICT.raw_decode(self.text, self.at)
        except DataError as error:
            # What may not stand in a value must not hide where it ends.
            return error, LENIENT.raw_decode(self.text, self.at)[1]


def whole(value: Any, text: str, start: int, end: int) -> Any:
    """Return a value, or the DataError for one that holds half of a surrogate pair."""
    return attempt(whole_characters, value) if ESCAPE.search(text, start, end) else value


BLANK = " \t\r\n"


def json_values(path: Path, word: str, cut: Callable[[Window], Iterator]) -> Iterator[Unit]:
    """Yield the values that `cut` finds in a file; where it breaks, those before, then the fault.

    `word` and a number name their places.
    """
    number = 0
    with path.open("rb") as file:
        window = Window(file)
        try:
            for number, item in enumerate(cut(window), 1):
                yield f"{word} {number}", item
        except DataError as error:
            yield "file" if word == "item" and not number else f"line {window.line}", error
        except json.JSONDecodeError as error:
            whole = "list" if word == "item" else "file"
            told = f"{error.msg.removesuffix(' at')} at column {window.column_of(error.pos)}"
            fault = DataError(f"{told}{way_out(error)}: the {whole} cannot be read from here on")
            yield f"line {window.line_of(error.pos)}", fault
        except (ValueError, RecursionError) as error:
            yield f"{word} {number + 1}", DataError(reason(error))


def list_items(window: Window) -> Iterator[Any]:
    """Yield the items of a JSON list one by one, and raise JSONDecodeError where it breaks.

    >>> list(list_items(Window(io.BytesIO(b'[{"a": 1}, 2]'))))
    [{'a': 1}, 2]
    """
    # The bracket was seen before; what stands behind it is an item or the other bracket. Two files
    # that were put together are two lists, one behind the other.
    window.skip(BLANK)
    while window.next() == "[":
        window.go(window.at + 1)
        window.skip(BLANK)
        more = window.next() != "]"
        while more:
            yield window.value()
            window.skip(BLANK)
            more = window.next() == ","
            window.go(window.at + more)
            window.skip(BLANK)
        if window.next() != "]":
            raise json.JSONDecodeError("Expecting ',' delimiter", window.text, window.at)
        window.go(window.at + 1)
        window.skip(BLANK)

    # What else comes behind a list is no part of it, and would be lost in silence.
    if window.next():
        raise json.JSONDecodeError("Extra data", window.text, window.at)


def values(window: Window) -> Iterator[Any]:
    """Yield JSON values that follow one another, each over as many lines as it likes.

    >>> list(values(Window(io.BytesIO(b'{"a":\\n1}\\n{"a":\\n2}\\n'))))
    [{'a': 1}, {'a': 2}]
    """
    window.skip(BLANK)
    while window.next():
        yield window.value()
        window.skip(BLANK)


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


def named_objects(path: Path) -> Iterator[Unit]:
    """Yield objects as `(stem, object)` where the file's name says what part of a source it is."""
    for place, value in json_objects(path):
        yield place, value if isinstance(value, DataError) else (path.stem, value)


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


SEP = re.compile(rb'(\xef\xbb\xbf)?"?sep=.?"?\r?\n')  # Excel's note to itself in front of a table
FAILED = {"#REF!", "#N/A", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!"}


def csv_rows(path: Path, delimiter: str = ",") -> Iterator[Unit]:
    """Yield the rows of a table with a header, comma-separated or otherwise, as dicts.

    Rows of empty cells, which spreadsheets leave behind their last one, are none.
    """
    csv.field_size_limit(LONGEST_LINE)  # the answers of a large model are longer than 128 KiB
    with path.open("rb") as binary, io.TextIOWrapper(binary, "utf-8-sig", newline="") as text:
        # What Excel says to itself is no header.
        skipped = SEP.match(binary.peek(16)) is not None
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        rows = filter(any, reader)
        try:
            header = [name.strip() for name in next(rows, [])]
            header = [name.strip() for name in next(rows, [])] if skipped else header
            # Of two columns of one name one would vanish.
            twice = next((name for name in header if name and header.count(name) > 1), None)
            if twice:
                fault = DataError(f"the column {twice!r} stands twice: keep one, or rename it")
                yield f"line {reader.line_num}", fault
                return
            for row in rows:
                yield f"line {reader.line_num}", row_of(header, row)
        except csv.Error as error:
            fault = DataError(f"{error}: the file cannot be read from here on")
            yield f"line {reader.line_num}", fault
        except UnicodeDecodeError:
            # The text is decoded ahead of its rows, so where the byte stands is not known.
            fault = DataError("a character that is not UTF-8; save the file as UTF-8")
            yield f"behind line {reader.line_num}", fault


def row_of(header: Sequence[str], row: Sequence[str]) -> dict | DataError:
    """Return a row of a table by the names of its columns, or the DataError that it is."""
    if len(row) != len(header):
        return DataError(
            f"found {len(row)} fields, expected {len(header)} as in the header; "
            "is a comma or a quote astray?"
        )
    one = dict(zip(header, row, strict=True))
    broken = next((name for name, cell in one.items() if cell.strip() in FAILED), None)
    if broken is not None:
        return DataError(
            f"field {broken}: found {one[broken]!r}, which is a formula that failed; mend it in "
            "the spreadsheet, or leave the row out"
        )
    return one


def parquet_rows(path: Path) -> Iterator[Unit]:
    """Yield the rows of a Parquet file as dicts, a batch in memory at a time."""
    import pyarrow
    import pyarrow.parquet

    try:
        with path.open("rb") as binary, pyarrow.parquet.ParquetFile(binary) as file:
            yield from numbered(file.iter_batches(1000))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        yield "file", DataError(f"not a whole Parquet file ({str(error)[:80]})")


def arrow_rows(path: Path) -> Iterator[Unit]:
    """Yield the rows of an Arrow file or stream (`datasets` saves streams), a batch at a time."""
    import pyarrow as pa

    try:
        with path.open("rb") as binary, arrow_reader(binary) as reader:
            count = getattr(reader, "num_record_batches", None)
            batches = reader if count is None else map(reader.get_batch, range(count))
            yield from numbered(batches)
    except (pa.ArrowException, OSError, ValueError) as error:
        yield "file", DataError(f"not a whole Arrow file ({str(error)[:80]})")


def arrow_reader(binary: io.BufferedIOBase) -> Any:
    """Return a reader of an open Arrow file or stream."""
    import pyarrow as pa

    as_file = binary.read(6) == b"ARROW1"
    binary.seek(0)
    return pa.ipc.open_file(binary) if as_file else pa.ipc.open_stream(binary)


def numbered(batches: Iterator) -> Iterator[Unit]:
    """Yield the rows of Arrow record batches as dicts, with their numbers."""
    rows = (row for batch in batches for row in batch.to_pylist())
    yield from ((f"row {number}", row) for number, row in enumerate(rows, 1))


def label_names(path: Path) -> dict[str, list[str]]:
    """Return the names of the labels of each column that a Parquet or Arrow file describes so.

    Hugging Face `datasets` writes them into the schema (`ClassLabel`).
    """
    found = {}
    for column, feature in told_features(path).items():
        inner = feature.get("feature", feature) if isinstance(feature, Mapping) else {}
        inner = inner[0] if isinstance(inner, Sequence) and inner else inner
        if isinstance(inner, Mapping) and inner.get("names"):
            found[column] = list(inner["names"])
    return found


def told_features(path: Path) -> Mapping:
    """Return what the schema of a Parquet or Arrow file says of its columns, {} where nothing."""
    import pyarrow as pa
    import pyarrow.parquet

    with path.open("rb") as binary:
        parquet = binary.read(4) == b"PAR1"
        binary.seek(0)
        try:
            opened = pa.parquet.ParquetFile(binary) if parquet else arrow_reader(binary)
            schema = opened.schema_arrow if parquet else opened.schema
        except (pa.ArrowException, OSError, ValueError):
            return {}
    told = parsed((schema.metadata or {}).get(b"huggingface", b"{}").decode())
    return told.get("info", {}).get("features", {})
