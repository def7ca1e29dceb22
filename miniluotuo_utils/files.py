"""Read and write JSON Lines and journals, whole or not at all, and name faults in data.

In: paths and rows. Out: the same rows, or a `DataError` that says file, line, field, what was
found, what was expected. Ground floor, shown in notebook 01.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any

from miniluotuo_utils.moved import names as moved_names
from miniluotuo_utils.writing import Alone, Taken, written_whole


class DataError(ValueError):
    """Data without the shape it should have; the message names the place and the next step."""


class Shown(str):
    """A text that an error message prints as it is, without quotes."""

    __repr__ = str.__str__


def expect(good: object, field: str, found: object, expected: str) -> None:
    """Raise a `DataError` that names field, what was found and what was expected, unless `good`."""
    if not good:
        raise unexpected(field, found, expected)


def unexpected(field: str, found: object, expected: str) -> DataError:
    """Return the error of `expect`, for where its words would take longer than the question."""
    shown = repr(found) if len(repr(found)) < 90 else f"{found!r:.87}..."
    return DataError(f"field {field}: found {shown}, expected {expected}")


def iter_jsonl(path: Path | str, check: Callable[[Mapping], dict] | None = None) -> Iterator[dict]:
    """Yield the objects of a JSON Lines file, each put through `check` where one is given.

    One whose name ends in .gz or .xz is unpacked. Raises `DataError` that names the line for an
    empty or malformed one. A byte order mark at the beginning is skipped: Notepad and Excel write
    one.
    """
    path = Path(path)
    for number, line in enumerate(byte_lines(path), 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            expect(text.strip(), "line", text, "a JSON object (delete the empty line)")
            value = parsed(text)
            yield check(value) if check else value
        except DataError as error:
            raise DataError(f"{path.name}, line {number}, {error}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path.name}, line {number}: {reason(error)}") from None


def byte_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, unpacked where its name ends in .gz or .xz.

    Raises `DataError` for a packed file that breaks off or holds something else.
    """
    unpack = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix)
    if unpack is None:
        with open(path, "rb") as file:
            yield from file
        return
    try:
        with unpack(path, "rb") as file:
            yield from file
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        raise DataError(
            f"{path.name}: not a whole {path.suffix} file ({error}); get or pack it again"
            "（压缩文件不完整：重新下载或重新打包）"
        ) from None


# What alone can make half of a character outside the basic plane.
ESCAPE = re.compile(r"\\u[dD]")


def parsed(text: str) -> Any:
    """Return the JSON value of a text; ValueError or RecursionError where it has none.

    A key that stands twice in one object and `NaN`, which `json` alone lets pass, are a DataError.

    >>> parsed('{"output": "甲", "output": "乙"}')
    Traceback (most recent call last):
    miniluotuo_utils.files.DataError: the key 'output' stands twice in one object: keep one of them
    """
    value = STRICT.decode(text)
    return whole_characters(value) if ESCAPE.search(text) else value


def once_each(pairs: list[tuple[str, Any]]) -> dict:
    """Return the pairs of a JSON object as a dict; DataError for a key that stands twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DataError(f"the key {twice!r} stands twice in one object: keep one of them")
    return value


def no_number(name: str) -> Any:
    """Raise a DataError for `NaN` and `Infinity`, which Python writes and JSON does not have."""
    raise DataError(f"found {name}, which is no JSON: write null, or leave the row out")


STRICT = json.JSONDecoder(object_pairs_hook=once_each, parse_constant=no_number)


def whole_characters(value: Any) -> Any:
    """Return a JSON value; UnicodeEncodeError for one that could never be written again.

    Better said now than after hours of work on it.
    """
    json_line(value).encode()
    return value


def reason(error: BaseException) -> str:
    """Return in words for a reader of data why it could not be read.

    >>> reason(KeyError("text"))
    "the field 'text' is missing"
    """
    match error:
        case DataError():
            return str(error)
        case KeyError():
            return f"the field {error} is missing"
        case json.JSONDecodeError():
            return (
                f"{error.msg.removesuffix(' at')} at column {error.colno}, expected one JSON object"
                f"{way_out(error)}"
                "（这一行应当是一个完整的 JSON 对象）"
            )
        case UnicodeDecodeError():
            return f"not UTF-8 at byte {error.start:,} ({error.reason}); save the file as UTF-8"
        case UnicodeEncodeError():
            return "half of a surrogate pair stands in it, expected whole characters"
        case RecursionError():
            return "JSON nested too deep to be data; is the file hostile or damaged?"
    return f"not in this format ({str(error).split(';')[0][:120]})"


def way_out(error: json.JSONDecodeError) -> str:
    """Return what to do about JSON that people and programs commonly get wrong, "" for others.

    >>> way_out(json.JSONDecodeError("", "[{'a': 1}]", 2))
    " (Python's own notation: write it with json.dumps)"
    """
    rest, before = error.doc[error.pos : error.pos + 8].strip(), error.doc[: error.pos].rstrip()
    if rest.startswith(("'", "None", "True", "False")):
        return " (Python's own notation: write it with json.dumps)"
    # A comma with nothing behind it, or with nothing in front.
    comma = rest[:1] == "," or (rest[:1] in ("]", "}") and before[-1:] in (",", ""))
    return " (a comma too many: take it out)" if comma else ""


def json_file(path: Path | None, *kinds: type) -> Any:
    """Return the value of a JSON file, None without one; DataError where it is none of `kinds`."""
    if path is None:
        return None
    name = "/".join(path.parts[-2:])
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path.name} 不是完整的 JSON 文件，重新下载或保存一份。 {name}: not JSON ({error}); "
            "expected one JSON value in UTF-8: get or save the file again"
        ) from None
    if not isinstance(value, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise DataError(
            f"{path.name} 里不是要的东西。 {name}: found a {type(value).__name__}, expected a "
            f"{names}"
        )
    return value


def read_jsonl(path: Path | str, check: Callable[[Mapping], dict] | None = None) -> list[dict]:
    """Return the objects of a JSON Lines file; `check` is `check_row`, `check_record` or None."""
    return list(iter_jsonl(path, check))


def batches(rows: Iterable, size: int) -> Iterator[list]:
    """Yield rows in lists of `size`, the last one shorter.

    >>> list(batches("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch


def json_line(value: object) -> str:
    """Return a value as one line of JSON, Chinese as it is.

    >>> json_line({"a": "骆"})
    '{"a": "骆"}\\n'
    """
    return json.dumps(value, ensure_ascii=False) + "\n"


def write_jsonl(path: Path | str, rows: Iterable[Mapping], overwrite: bool | None = None) -> int:
    """Write rows as JSON Lines, whole or not at all, and return how many.

    A file that is there is replaced where all of its lines are among the new ones, so that a cell
    may be run again; else `Taken`, a ValueError. `overwrite=True` replaces any file, False none.
    """
    count = 0
    keeps = "pass overwrite=True" if overwrite is None else ""
    with (
        written_whole(path, overwrite is not False, keeps) as partial,
        open(partial, "w", encoding="utf-8") as file,
    ):
        for row in rows:
            file.write(json_line(row))
            count += 1
    return count


class Journal:
    """A file of JSON lines that grows as work is done, so that a killed program can go on.

    Its first line, `made_by`, says what the others belong to. A line is on the disk when `append`
    returns. Several processes may append to one journal; one that must be the only writer works
    inside `alone`.
    """

    def __init__(self, path: Path | str, made_by: Mapping) -> None:
        self.path, self.made_by = Path(path), dict(made_by)
        self.begun = False  # whether this object has found or written the first line
        self.lock = Alone(self.path, 5)  # seconds: longer than any single append takes

    def lines(self) -> list[dict]:
        """Return the lines so far, without the first; [] where there is no file yet.

        Raises `DataError`, and leaves the file as it is, where it was begun with something else.
        """
        if not self.path.exists():
            return []
        with self.alone():
            self._check()
        return read_jsonl(self.path)[1:]

    def append(self, *lines: Mapping) -> None:
        """Add lines at the end, the first line before them if there is no file yet.

        Raises `DataError`, and adds nothing, where the file was begun with something else or has
        been deleted since.
        """
        with self.alone():
            if self.begun or self.path.exists():
                self._check()
            else:
                write_jsonl(self.path, [self.made_by])
                self.begun = True
            with open(self.path, "ab") as file:
                file.write("".join(map(json_line, lines)).encode())
                file.flush()
                os.fsync(file.fileno())  # what only the system's cache holds is lost with the power

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes of this machine from the file; `DataError` while one holds it."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self.lock)
            except Taken as error:
                raise DataError(str(error)) from None
            yield

    def _check(self) -> None:
        """Raise `DataError` unless the first line is this journal's; mend a torn last line."""
        name = self.path.name
        if not self.path.exists():
            raise DataError(
                f"{name}: the file is gone, with what was in it. Put it back or begin anew"
                "（文件不见了，里面的东西也没了：放回原处，或者从头再来）"
            )

        # Any file may stand at a path that a person typed: nothing is written before this is read.
        with open(self.path, "rb") as file:
            first = file.readline()
        try:
            found = dict(json.loads(first))
        except (ValueError, TypeError):
            raise DataError(
                f"{name}: found {first[:60]!r} as first line: not a journal; choose another file"
                "（第一行不是这里写下的：换一个文件）"
            ) from None

        # A field that only one of the two has counts too: it may be an option of a later version.
        changed = [
            f"{field} ({found.get(field)!r:.40}, now {self.made_by.get(field)!r:.40})"
            for field in {**found, **self.made_by}
            if found.get(field) != self.made_by.get(field)
        ]
        if changed:
            raise DataError(
                f"{name} was begun with another {', '.join(changed)}: "
                "give the same again to go on, or choose another file"
                "（当初是用别的开始的：要接着做，照原来的给；不然换一个文件）"
            )
        self.begun = True
        end_with_a_line(self.path)


def end_with_a_line(path: Path) -> None:
    """Cut off a last line that a kill or a full disk left half written, and say so.

    A whole one whose line break is missing, as some editors leave it, gets it back.
    """
    with open(path, "rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() == b"\n":
            return
        file.seek(0)
        last = file.read().rpartition(b"\n")[2]
        try:
            json.loads(last)
            file.write(b"\n")
        except ValueError:
            file.truncate(file.tell() - len(last))
            print(f"{path.name}：最后一行没有写完，已删去。 A torn last line was dropped.")


def numbered(path: Path | str) -> Iterator[Path]:
    """Yield a path, and then others of its name with a number: never ends.

    >>> [path.name for path in islice(numbered("a.jsonl"), 3)]
    ['a.jsonl', 'a-2.jsonl', 'a-3.jsonl']
    """
    path = Path(path)
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1


def unused(path: Path | str) -> Path:
    """Return the first `numbered` path at which nothing stands, so that nothing is replaced."""
    return next(other for other in numbered(path) if not other.exists())


def file_sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file as hexadecimal text.

    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "a"
    >>> file.write_bytes(b"abc"), file_sha256(file)[:8]
    (3, 'ba7816bf')
    """
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


__getattr__ = moved_names(__name__)
