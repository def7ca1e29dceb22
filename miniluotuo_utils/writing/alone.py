"""Let one process at a time write a path, and tell the others who it is.

In: a path. Out: a lock beside it. Used by the commands, by journals and by downloads.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Self

from miniluotuo_utils.writing.guard import WHOLE, Taken, Touched, cannot_write, guard

SHARED = 0o666  # whoever may write into the folder may open the lock


class Alone:
    """Keep other writers from a path, of this machine or of another that shares the folder.

    `with Alone(path):` raises `Taken`, which says who writes it, after waiting `wait` seconds
    (negative: for ever). The lock is a hidden file beside the path, which any user may open who may
    write there, and the system frees it when its holder dies, even by kill -9. Entered again by the
    same object, it stays locked until it is left as often.
    """

    def __init__(self, path: Path | str, wait: float = 0) -> None:
        self.name, self.path, self.wait = Path(path).name, Path(os.path.realpath(path)), wait
        self.note = self.path.with_name(f".{self.path.name}.lock.json")
        self.put(self.path.with_name(f".{self.path.name}.lock"))
        self.depth = 0

    def put(self, file: Path) -> None:
        """Choose the file that is locked."""
        from filelock import FileLock

        self.file = file
        self.lock = FileLock(file, mode=SHARED, thread_local=False)

    def __enter__(self) -> Self:
        if not self.depth:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            end = time.monotonic() + self.wait
            while not self.acquired(end):
                pass
            with suppress(OSError, Taken):
                refuse_own(self.note, "pid")
                self.note.write_text(json.dumps(holder(), ensure_ascii=False), encoding="utf-8")
        self.depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.depth -= 1
        if not self.depth:
            # Deleted while it is held; who has waited for it sees that in `acquired`.
            with suppress(OSError, Taken):
                refuse_own(self.note, "pid")
                self.note.unlink(missing_ok=True)
            with suppress(OSError):
                self.file.unlink(missing_ok=True)
            self.lock.release()

    def acquired(self, end: float) -> bool:
        """Lock the file, and return whether it is the one that stands at its path."""
        from filelock import Timeout

        # Whoever waits may get the lock of a file that was deleted meanwhile, and tries again.
        left = -1 if self.wait < 0 else max(0, end - time.monotonic())
        try:
            self.begin()
            found = self.file.stat()
            self.lock.acquire(timeout=left)
            if os.path.samestat(found, self.file.stat()):
                return True
        except FileNotFoundError:
            pass  # deleted by who held it
        except Timeout:
            raise Taken(self.told()) from None
        except NotImplementedError:
            self.put(self.elsewhere())
        # `refuse_own` and `told` have said already what is in the way.
        except OSError as error:
            raise error if isinstance(error, Taken) else cannot_write(error, self.name) from None
        self.lock.release()
        return False

    def elsewhere(self) -> Path:
        """Return the place of the lock where the disk has none: for one user and machine."""
        name = sha256(str(self.path).encode()).hexdigest()[:16]
        user = os.getuid() if hasattr(os, "getuid") else ""
        return Path(tempfile.gettempdir()) / f"miniluotuo-{user}-{name}.lock"

    def begin(self) -> None:
        """Make the lock's file, if need be, so that any user may open it; `Taken` for another's."""
        refuse_own(self.file)
        with suppress(FileExistsError):
            os.close(os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, SHARED))
            with suppress(OSError):
                self.file.chmod(SHARED)  # what the user's mask took away

    def told(self) -> str:
        """Say who writes the path, as far as it is known."""
        who = ""
        with suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(self.note.read_text(encoding="utf-8"))
            who = " (process {pid} on {host} since {since}: {command})".format(**note)
        return f"another process is writing {self.name}: let it finish, or choose another file{who}"


@contextmanager
def claimed(touched: Sequence[Touched], overwrite: bool = False) -> Iterator[None]:
    """Check the paths that a command touches, and keep other writers off while the block runs.

    Raises what `guard` raises, and `Taken` where another process writes one of them.
    """
    guard(touched, overwrite)
    with ExitStack() as locks:
        for one in touched:
            if one.role in WHOLE:
                locks.enter_context(Alone(one.path))
        # Another one may have finished in between.
        guard(touched, overwrite)
        yield


def refuse_own(path: Path, word: str = "") -> None:
    """Raise `Taken` for a person's own file where a lock goes, which is empty or holds `word`."""
    # Windows lets nobody read what another process has locked: an empty file is not opened.
    full = path.is_file() and path.stat().st_size > 0
    text = path.read_text(encoding="utf-8", errors="replace") if full else ""
    if path.is_symlink() or path.is_dir() or (text and not (word and f'"{word}"' in text)):
        raise Taken(f"{path.name} is there and is no lock of ours: choose another name")


def holder() -> dict[str, object]:
    """Return who this process is, for those that it keeps waiting."""
    # Others read it, and an argument may hold a key: of them only the command is told.
    program, *arguments = sys.argv or [""]
    ours = program.endswith("__main__.py")
    name = " ".join(["miniluotuo_utils", *arguments[:1]]) if ours else Path(program).name
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
        "command": name[:200],
    }
