"""Decide, before anything is loaded or paid for, whether paths may be written.

In: the paths that a command touches. Out: nothing, or `Taken`, which names the file and the way
out. Used by every command and the functions behind them.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import NamedTuple

from miniluotuo_utils.writing.ours import foreign, is_unfinished
from miniluotuo_utils.writing.temporary import temporary

# The disk, a person's share of it, or the largest file that it takes.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OVERWRITE = "--overwrite (in Python the argument overwrite)"


class Taken(FileExistsError, ValueError):
    """A path that must not be written: something that is there would be lost, or two would write.

    The message names the file, why, and what to do.
    """


# ---- which paths may be written together


class Touched(NamedTuple):
    """A path that a command reads or writes.

    `name` is what the person calls it, e.g. "--out". `role` is one of
    "reads"    a file or folder that must stay as it is
    "file"     a file that is written as a whole
    "again"    the same, where the same command makes again what is in it, and more
    "folder"   a folder that is written as a whole
    "whole"    a file or a folder that is written as a whole
    "store"    a sqlite file, which is added to and has two more beside it
    "grows"    a folder into which files are put beside what is there
    `ours` tells for an existing "file" by its first line, a dict, whether the command writes such.
    """

    name: str
    path: Path
    role: str
    ours: Callable[[dict], object] = bool


WHOLE = ("file", "again", "folder", "whole")
BESIDE = {  # what is written beside a path of a role, by ending
    "store": ("-wal", "-shm", "-journal"),
    "file": (".part",),
    "again": (".part",),
    "folder": (".training", ".tensorboard"),
}


def guard(touched: Sequence[Touched], overwrite: bool = False) -> None:
    """Raise `Taken` where a command would write over something, and OSError where it could not.

    Compared is every path that is written with every other one, through links, other names of one
    file, case and `..`. What is there already is replaced only with `overwrite`, and then only if
    we wrote it. Nothing is created.
    """
    # What is not there cannot be lost; it may be the name of something else.
    touched = [one for one in touched if one.role != "reads" or os.path.lexists(one.path)]
    for one in touched:
        chain_of(one.path)  # says now which name the system does not take
    every = [with_beside(one) for one in touched]
    for number, mine in enumerate(every):
        others = [one for rest in every[:number] + every[number + 1 :] for one in rest]
        for writer, other in product(mine, others):
            if writer.role != "reads":
                refuse_clash(writer, other)
    for one in touched:
        check_target(one, overwrite)


def with_beside(one: Touched) -> list[Touched]:
    """Return a path with those that are written beside it, as files of its option.

    Beside a link we write and beside what it leads to; sqlite writes there.
    """
    found, real = [one], Path(os.path.realpath(one.path))
    for ending, path in product(BESIDE.get(one.role, ()), {Path(os.path.abspath(one.path)), real}):
        if path.name:
            other = path.with_name(path.name + ending)
            found.append(Touched(f"{other.name}, beside {one.name}", other, "file"))
    return found


def refuse_clash(writer: Touched, other: Touched) -> None:
    """Raise `Taken` where writing one path would replace or change another one."""
    mine, theirs = chain_of(writer.path), chain_of(other.path)
    if mine[0] == theirs[0]:
        raise Taken(
            f"{writer.path.name}: found one file named twice ({other.name} and {writer.name}), "
            f"expected files of their own; nothing was touched. Choose another {writer.name}"
        )
    # A file beside what is read, inside its folder, harms nothing; a folder replaced does.
    outer = writer.role in (*WHOLE, "store") and mine[0] in theirs
    inner = other.role in (*WHOLE, "store") and theirs[0] in mine
    if outer or inner:
        one, whole = (other, writer) if outer else (writer, other)
        raise Taken(
            f"{one.path.name} ({one.name}) lies inside {whole.path.name} ({whole.name}), "
            "which is written as a whole; choose a place of its own for each"
        )


Place = tuple[int, int, tuple[str, ...]]


def chain_of(path: Path) -> list[Place]:
    """Return what identifies a path and each folder above it, whatever they are called.

    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> chain_of(folder / "a" / ".." / "New" / "b")[1] == chain_of(folder / "new")[0]
    True
    """
    real = Path(os.path.realpath(path))
    return [place_of(here) for here in (real, *real.parents)]


def place_of(path: Path) -> Place:
    """Return device and number of a file, which all of its names share.

    What is not there yet has those of the nearest folder and the names below it, in small letters
    and one form of accents: some systems take `Out` and `out` for one.
    """
    try:
        found = path.stat()
        return found.st_dev, found.st_ino, ()
    except (FileNotFoundError, NotADirectoryError):
        if path.parent == path:  # a drive that Windows does not have
            return 0, 0, (str(path).casefold(),)
    except OSError as error:
        raise cannot_write(error, path.name) from None
    device, number, names = place_of(path.parent)
    return device, number, (*names, unicodedata.normalize("NFC", path.name).casefold())


# ---- whether a path may be written


def check_target(one: Touched, overwrite: bool = False) -> None:
    """Raise `Taken` or OSError unless a path may be written."""
    real, role = Path(os.path.realpath(one.path)), one.role
    name = one.path.name or str(one.path)
    if role == "whole":
        role = "folder" if real.is_dir() else "file"
    match role:
        case "reads":
            return
        case "folder":
            check_folder(real, name, overwrite)
        case "file" | "again":
            check_ending(name, one.role == "whole")
            check_file(real, name, overwrite or role == "again", one.ours)
        case "store":
            # A store that is there is read from a disk that cannot be written, too.
            if check_store(real, name):
                return
        case "grows":
            if real.exists() and not real.is_dir():
                raise Taken(f"{name} is a file, expected a folder; choose another {one.name}")
    check_writable(real, name)


# Endings of what we do not write: whoever opens such a file by its name is told that it is damaged.
PACKED = (".gz", ".xz")
TABLES = (
    ".csv",
    ".tsv",
    ".xls",
    ".xlsx",
    ".parquet",
    ".arrow",
    ".zip",
    ".bz2",
    ".zst",
    ".7z",
    ".tgz",
)


def check_ending(name: str, packs: bool = False) -> None:
    """Raise `Taken` for the name of a table or an archive; of a packed text too, unless `packs`.

    >>> check_ending("a.jsonl.gz", packs=True)
    >>> check_ending("a.csv")
    Traceback (most recent call last):
    miniluotuo_utils.writing.guard.Taken: a.csv ends in .csv, which this command does not write: \
it writes lines of text. Name it a.jsonl（结尾和内容对不上：换一个名字）
    """
    path = Path(name)
    path = path.with_suffix("") if packs and path.suffix.lower() in PACKED else path
    if path.suffix.lower() in (*PACKED, *TABLES):
        better = path.with_suffix("").stem + ".jsonl"
        raise Taken(
            f"{name} ends in {path.suffix}, which this command does not write: it writes lines of "
            f"text. Name it {better}（结尾和内容对不上：换一个名字）"
        )


def check_folder(real: Path, name: str, overwrite: bool) -> None:
    """Raise `Taken` for a folder that holds anything but what we wrote, or is no folder."""
    if not real.exists():
        return
    if not real.is_dir():
        raise Taken(f"{name} is there and is no folder; expected a new name")
    if os.path.ismount(real) or real == Path.cwd():
        raise Taken(
            f"{name} is a disk of its own, or the folder that you are in, which nothing can take "
            "the place of: name a folder inside it"
        )
    if not any(real.iterdir()):
        return
    if strange := foreign(real):
        raise Taken(
            f"{name} is there and is no student folder, nor another that we wrote, to replace: "
            f"it holds {strange}. Choose a new name, or move it elsewhere"
        )
    if not overwrite and not is_unfinished(real):
        raise Taken(
            f"{name} is there already, from an earlier run: choose another name, delete it, or "
            f"replace it with {OVERWRITE}"
        )


def check_file(
    real: Path, name: str, overwrite: bool, ours: Callable[[dict], object] = bool
) -> None:
    """Raise `Taken` for a file that is there; with `overwrite` only for one that is not ours."""
    if not real.exists():
        return
    if not real.is_file():
        kind = "a folder" if real.is_dir() else "a device or a pipe"
        raise Taken(f"{name} is {kind}, expected the name of a new file")
    if not overwrite:
        raise Taken(
            f"{name} is there already, and this command writes over no file: choose another name, "
            f"delete it, or replace what an earlier run wrote with {OVERWRITE}"
        )
    with open(real, "rb") as file:
        first = file.readline()
    with suppress(ValueError, RecursionError):
        found = json.loads(first or b"{}")
        if isinstance(found, dict) and (ours(found) or not first):
            return
    raise Taken(
        f"{name} is there and is no file that this command writes (its first line is "
        f"{first[:60].decode('utf-8', 'replace')!r}): choose another name, or delete it yourself"
    )


def check_store(real: Path, name: str) -> bool:
    """Raise `Taken` for a file that is no store of replies; return whether one is there."""
    if not real.exists() or (real.is_file() and real.stat().st_size == 0):
        return False
    if not real.is_file():
        raise Taken(f"{name} is no file, expected a store of replies or a new name")
    with open(real, "rb") as file:
        first = file.read(len(SQLITE))
    if first != SQLITE:
        raise Taken(
            f"{name} is there and is no store of replies: it begins with {first!r}, expected a "
            "sqlite file; choose a new name for the store"
        )
    tables = tables_of(real)
    if tables and "replies" not in tables:
        raise Taken(
            f"{name} is the database of another program (tables {', '.join(sorted(tables))}), "
            "expected a store of replies; choose a new name for the store"
        )
    return True


def tables_of(real: Path) -> set[str]:
    """Return the tables of a sqlite file; none for a damaged one, which is told of later."""
    tables: set[str] = set()
    # Immutable: even looking would else write files beside it.
    with suppress(sqlite3.Error):
        connection = sqlite3.connect(real.as_uri() + "?mode=ro&immutable=1", uri=True)
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        connection.close()
    return tables


SQLITE = b"SQLite format 3\0"


def check_writable(real: Path, name: str) -> None:
    """Raise OSError where nothing can be written at a path; tried with a file that goes at once."""
    above = real if real.is_dir() else real.parent
    while not above.exists():
        above = above.parent
    trial = temporary(above / real.name, "trial")
    try:
        os.close(os.open(trial, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        trial.unlink()
        # Asked so that a name too long for the system is found now.
        real.with_name(f".{real.name}.lock.json").exists()
    except OSError as error:
        raise cannot_write(error, name) from None


def cannot_write(error: OSError, name: str) -> OSError:
    """Return the error of a place that cannot be written, with the way out."""
    return OSError(
        error.errno,
        f"{name} cannot be written there ({error.strerror}): choose another name or place; for "
        "what notebooks and downloads write, set MINILUOTUO_RUNS and MINILUOTUO_HOME",
    )
