"""The teacher's replies on disk, so that nothing is ever paid for twice: one sqlite file, one commit per reply.

In: a request and its reply. Out: the reply again, for the same request, after any crash. Shown in notebook 02.
"""

from __future__ import annotations

import errno
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from miniluotuo_utils.records import DataError

TABLE = """CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, text TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, model TEXT NOT NULL, created REAL NOT NULL) WITHOUT ROWID"""
COLUMNS = "text, finish_reason, prompt_tokens, completion_tokens, model"


@dataclass
class Reply:
    """One reply of the teacher. `error` is None where the teacher answered; tokens are None where it did not count."""

    text: str
    finish_reason: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    model: str = ""
    error: str | None = None
    cached: bool = False

    @property
    def usable(self) -> bool:
        """Whether the answer is whole: no error, finished by itself, not empty.

        >>> Reply("答案", "stop").usable, Reply("答", "length").usable, Reply("", "stop").usable
        (True, False, False)
        """
        return self.error is None and self.finish_reason == "stop" and bool(self.text.strip())


def canonical(request: Mapping) -> str:
    """A request as the one JSON text that its key is made of: sorted names, no spaces.

    >>> canonical({"temperature": 0, "model": "m"})
    '{"model":"m","temperature":0}'
    """
    return json.dumps(request, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def request_key(request: Mapping) -> str:
    """SHA-256 of the canonical request: the model, the messages and every sampling parameter that is sent.

    >>> request_key({"model": "m", "messages": []}) == request_key({"messages": [], "model": "m"})
    True
    """
    # A lone surrogate is no UTF-8: its request fails at the client with a clear error, not here with the whole run.
    return sha256(canonical(request).encode("utf-8", "surrogatepass")).hexdigest()


class Store:
    """Replies by request, in one sqlite file (write-ahead log). Safe from several threads and several processes.

    `path=None` keeps the replies in memory, for as long as this object lives.
    Raises DataError for a damaged file and OSError for a full disk; what was stored before stays readable.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path) if path is not None else None
        self.lock = threading.RLock()
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.told_clearly():
            self.connection = sqlite3.connect(self.path or ":memory:", timeout=30, check_same_thread=False)
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA synchronous=NORMAL")  # with the log: a kill loses no commit
            self.connection.execute(TABLE)

    def __repr__(self) -> str:
        return f"Store({self.path.name if self.path else 'in memory'})"

    def get(self, key: str) -> Reply | None:
        """The stored reply of a key (`cached` is True), None where there is none."""
        with self.told_clearly():
            row = self.connection.execute(f"SELECT {COLUMNS} FROM replies WHERE key = ?", (key,)).fetchone()
        return Reply(*row, cached=True) if row else None

    def put(self, key: str, request: Mapping, reply: Reply) -> None:
        """Commit one reply. A key that is there already keeps its first reply."""
        text = canonical(request).encode("utf-8", "replace").decode("utf-8")  # a lone surrogate cannot be stored
        tokens = (reply.prompt_tokens, reply.completion_tokens)
        values = (key, text, reply.text, reply.finish_reason, *tokens, reply.model, time.time())
        with self.told_clearly(), self.connection:
            self.connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def counts(self) -> dict[str, int]:
        """How many replies, how many of them finished by themselves, and the tokens they cost when they were asked."""
        names = ("replies", "finished", "prompt_tokens", "completion_tokens")
        sums = "COUNT(*), SUM(finish_reason = 'stop'), SUM(prompt_tokens), SUM(completion_tokens)"
        with self.told_clearly():
            row = self.connection.execute(f"SELECT {sums} FROM replies").fetchone()
        return {name: value or 0 for name, value in zip(names, row, strict=True)}

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self.lock:
            self.connection.close()

    @contextmanager
    def told_clearly(self) -> Iterator[None]:
        """One thread at a time, and sqlite's own errors turned into ones that name the file and the next step."""
        name = self.path.name if self.path else "the store in memory"
        with self.lock:
            try:
                yield
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorname", "")
                if code in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
                    raise DataError(f"{name}: found a damaged file ({error}), expected a store of teacher replies (sqlite). "
                                    "Move it away or put a copy back, then run again") from error  # fmt: skip
                if code == "SQLITE_FULL":
                    raise OSError(errno.ENOSPC, f"disk full while writing {name}; the replies before this one are kept. "
                                  "Free some space, then run again: only what is missing is asked") from error  # fmt: skip
                if code in ("SQLITE_CANTOPEN", "SQLITE_READONLY"):
                    raise OSError(errno.EACCES, f"{name}: {error}; expected a file that can be written. Choose another folder "
                                  "for the store") from error  # fmt: skip
                raise
