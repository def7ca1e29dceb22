"""Files that are whole or absent, JSON Lines, and the one error about data. Ground floor, shown in notebook 01.

In: paths and rows. Out: the same rows, or a `DataError` that says file, line, field, what was found, what was expected.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from pathlib import Path


class DataError(ValueError):
    """Data that is not what its shape promises; the message names the place and the next step."""


class Shown(str):
    """A text that an error message prints as it is, without quotes."""

    __repr__ = str.__str__


def expect(good: object, field: str, found: object, expected: str) -> None:
    """Raise the one form of `DataError` unless `good`."""
    if not good:
        shown = repr(found)
        raise DataError(
            f"field {field}: found {shown if len(shown) < 90 else shown[:87] + '...'}, expected {expected}"
        )


def iter_jsonl(path: Path | str, check: Callable[[Mapping], dict] | None = None) -> Iterator[dict]:
    """The objects of a JSON Lines file, one at a time. An empty or malformed line is an error that names it; a BOM is not."""
    path = Path(path)
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(BOM_UTF8)
            try:
                expect(
                    line.strip(),
                    "line",
                    line.decode(errors="replace"),
                    "a JSON object (delete the empty line)",
                )
                value = json.loads(line.decode("utf-8"))
                if (
                    b"\\u" in line
                ):  # half of a surrogate pair could not be written back; better said now than after hours
                    json.dumps(value, ensure_ascii=False).encode()
                yield check(value) if check else value
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path.name}, line {number}: not UTF-8 ({error.reason}); save the file as UTF-8"
                ) from None
            except json.JSONDecodeError as error:
                what = f"{error.msg} at column {error.colno}, expected one JSON object per line"
                raise DataError(f"{path.name}, line {number}: {what}") from None
            except DataError as error:
                raise DataError(f"{path.name}, line {number}, {error}") from None
            except (
                ValueError,
                RecursionError,
            ) as error:  # a number of too many digits, JSON nested too deep
                raise DataError(
                    f"{path.name}, line {number}: not data ({str(error)[:80]})"
                ) from None


def read_jsonl(path: Path | str, check: Callable[[Mapping], dict] | None = None) -> list[dict]:
    """The whole of `iter_jsonl` as a list; `check` is `check_row`, `check_record` or None."""
    return list(iter_jsonl(path, check))


def batches(rows: Iterable, size: int) -> Iterator[list]:
    """Rows in lists of `size`, the last one shorter.

    >>> list(batches("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch


def write_jsonl(path: Path | str, rows: Iterable[Mapping]) -> int:
    """Write rows as JSON Lines (beside, then renamed) and return how many."""
    count = 0
    with written_whole(path) as partial, open(partial, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


@contextmanager
def written_whole(path: Path | str) -> Iterator[Path]:
    """A path beside `path` to write to, file or folder; it takes the place of `path` only if the block ends well.

    So a killed run leaves `<name>.partial`, which nothing reads, and never a half-written `<name>`.
    A full disk raises OSError that names the file and the space left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    remove(partial)
    try:
        yield partial
        put_in_place(partial, path)
    except OSError as error:
        remove(partial)
        if error.errno == errno.ENOSPC:
            free = shutil.disk_usage(path.parent).free >> 20
            raise OSError(
                errno.ENOSPC,
                f"disk full while writing {path.name} ({free} MiB free in its folder). "
                "Free some space or set MINILUOTUO_RUNS to another disk, then run again",
            ) from error
        raise
    except BaseException:
        remove(partial)
        raise


def put_in_place(partial: Path, path: Path) -> None:
    """Rename `partial` to `path`; a folder that stands there already is moved aside first, since rename refuses it."""
    if partial.is_dir() and path.exists():
        old = path.with_name(path.name + ".old.partial")
        remove(old)
        path.rename(old)
        partial.rename(path)
        remove(old)
    else:
        os.replace(partial, path)


def remove(path: Path) -> None:
    """Delete a file or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def file_sha256(path: Path | str) -> str:
    """SHA-256 of a file, read in pieces.

    >>> import tempfile; f = Path(tempfile.mkdtemp()) / "a"; _ = f.write_bytes(b"abc"); file_sha256(f)[:8]
    'ba7816bf'
    """
    digest = sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
