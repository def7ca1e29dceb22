"""Write files and folders that are whole or absent.

In: a path. Out: a path beside it to write to, which takes its place in the end. Used wherever the
package writes; shown in notebook 01.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from miniluotuo_utils.writing.guard import FULL, Taken, check_file, check_folder
from miniluotuo_utils.writing.ours import sign
from miniluotuo_utils.writing.temporary import remove, remove_left, temporary


@contextmanager
def written_whole(path: Path | str, overwrite: bool = True, keeps: str = "") -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the place of `path` if the block ends well.

    So a killed run leaves `<name>.….partial`, which nothing reads and the next writer removes, and
    never a half-written `<name>`. Works for files and folders, and through links. Each writer has a
    name of its own: of two, both write whole files and the last one stays.

    `overwrite=False` raises `Taken` where something is there in the end; `keeps` where a file is
    there with a line that the new one lacks, and tells how to have it replaced all the same. A
    folder is replaced only by a folder, and only if we wrote it (`foreign`), else `Taken`. Raises
    OSError that names the file and the space left where the disk is full.
    """
    name, path = Path(path).name, Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left(path)
    # Said before the work, and looked at again after it.
    check_replaced(path, path.is_dir(), overwrite)
    partial = temporary(path, "partial")
    try:
        yield partial
        if keeps and path.is_file():
            check_lines(path, partial, keeps)
        put_in_place(partial, path, overwrite)
    except Exception as error:
        if not is_full(error):
            raise
        raise disk_full(error, path, name) from error
    finally:
        remove(partial)


# What safetensors, torch and numpy say where a disk is full or a file may not grow: no number.
UNWRITTEN = ("No space left", "quota exceeded", "File too large", "PytorchStreamWriter")
UNWRITTEN += ("inline_container", " requested and ")


def is_full(error: BaseException) -> bool:
    """Return whether a library could not write because the disk is full or a file may not grow.

    >>> is_full(OSError("1572864 requested and 1541264 written")), is_full(OSError("no such file"))
    (True, False)
    """
    number = getattr(error, "errno", None)
    return number in FULL or (number is None and any(words in str(error) for words in UNWRITTEN))


def check_lines(path: Path, partial: Path, way: str) -> None:
    """Raise `Taken` unless every line of a file stands in the one that replaces it, in order."""
    with open(path, "rb") as old, open(partial, "rb") as new:
        for number, line in enumerate(old, 1):
            if line not in new:  # reads on, up to that line
                shown = line[:60].decode("utf-8", "replace")
                raise Taken(
                    f"{path.name}, line {number}: found {shown!r}, which this run would not write: "
                    "it was edited, or written with other options. Delete the file, choose another "
                    f"name, or {way}"
                )


def disk_full(error: Exception, path: Path, name: str, more: str = "") -> OSError:
    """Return the error of a full disk: what was written, the room that is left, the way out."""
    free = shutil.disk_usage(path.parent).free >> 20
    return OSError(
        getattr(error, "errno", None) or errno.ENOSPC,
        f"disk full while writing {name} ({free} MiB free in its folder{more}). "
        "Free some space or set MINILUOTUO_RUNS to another disk, then run again",
    )


def check_replaced(path: Path, by_folder: bool, overwrite: bool) -> None:
    """Raise `Taken` for what must not be replaced by a file, or by a folder."""
    if by_folder:
        check_folder(path, path.name, overwrite)
    elif path.exists() and not (overwrite and path.is_file()):
        check_file(path, path.name, overwrite)


def put_in_place(partial: Path, path: Path, overwrite: bool = True) -> None:
    """Rename `partial` to `path`, in place of a file or of a folder of ours that may stand there.

    Raises `Taken` for anything else that is there, though it came while the work went on.
    """
    check_replaced(path, partial.is_dir(), overwrite)
    if partial.is_dir():
        sign(partial)
        replace_folder(partial, path)
    else:
        when_free(partial, path)


def when_free(
    partial: Path,
    path: Path,
    waits: Sequence[float] = (0.1, 0.5, 2.0),
    folder: Path | None = None,
) -> None:
    """Rename a file over another one; on Windows again after `waits` seconds while it is open.

    There no open file can be replaced: a virus scanner lets go in a moment, a person's spreadsheet
    does not. Raises PermissionError that says so. A folder, named as `folder`, replaces no other.
    """
    rename, name = (Path.rename, folder.name) if folder else (os.replace, path.name)
    for wait in (*waits, None):
        try:
            rename(partial, path)
            return
        except PermissionError as error:
            if os.name != "nt":
                raise
            if wait is None:
                raise PermissionError(
                    error.errno,
                    f"{name} 正被别的程序打开着，关掉它再试 is open in another program: "
                    "close it and try again",
                ) from None
            time.sleep(wait)


def replace_folder(partial: Path, path: Path) -> None:
    """Rename a folder over another one, which no system does by itself.

    Where that fails the old one is in its place again, and what made it fail is raised.
    """
    # The old one steps aside. Should we be killed now, `remove_left` puts it back.
    for old in (temporary(path, "old") for _ in range(100)):
        try:
            with suppress(FileNotFoundError):
                when_free(path, old, folder=path)
            when_free(partial, path, folder=path)
        except BaseException as error:
            # A folder that nothing has taken the place of is the only one: it goes back.
            if old.exists() and not path.exists():
                with suppress(OSError):
                    when_free(old, path, folder=path)
            # Another writer was faster: its folder is the older one now.
            if getattr(error, "errno", None) not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        # What is open in it cannot be deleted on Windows: the next writer tries again.
        with suppress(OSError):
            remove(old)
        if not partial.exists():
            return
