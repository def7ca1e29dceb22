"""Name what is being written, so that no two writers share a name and the dead's is removed.

In: a path. Out: a name beside it. Used by `written_whole`.
"""

from __future__ import annotations

import glob
import os
import shutil
import socket
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path

NUMBERS = count()
ALIVE: set[Path] = set()  # temporary names of this very process


def temporary(path: Path, kind: str) -> Path:
    """Return a name beside `path` that nobody else uses; it holds who does, for `remove_left`.

    Never longer than a name may be, however long that of `path` is.
    """
    found = path.with_name(f"{own_prefix(path)}{os.getpid()}-{next(NUMBERS)}.{kind}")
    ALIVE.add(found)
    return found


def own_prefix(path: Path) -> str:
    """Return how the temporary names of a path begin where process numbers are told as here."""
    digest = sha256(f"{path.name}\n{machine()}".encode()).hexdigest()
    return f"{path.name[:50]}.{digest[:12]}-"


def machine() -> str:
    """Return what a process number belongs to: a machine, or one of the containers on it."""
    numbers = ""
    with suppress(OSError):  # containers of one host name number their processes apart
        numbers = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()}\n{numbers}"


def remove_left(path: Path) -> None:
    """Remove what writers of `path` on this machine left that were killed.

    One that was killed between two renames has the old folder aside: it goes back.
    """
    prefix = own_prefix(path)
    for left in sorted(path.parent.glob(f"{glob.escape(prefix)}*")):
        pid = left.name.removeprefix(prefix).partition("-")[0]
        if left in ALIVE or not pid.isdecimal() or (int(pid) != os.getpid() and runs(int(pid))):
            continue
        with suppress(OSError):
            if left.suffix == ".old" and not path.exists():
                left.rename(path)
            else:
                remove(left)


def runs(pid: int) -> bool:
    """Return whether a process of this machine runs, True where nobody can tell."""
    if os.name == "nt":  # there os.kill would end it
        return True
    try:
        os.kill(pid, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's
    return True


def remove(path: Path) -> None:
    """Delete a file or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
