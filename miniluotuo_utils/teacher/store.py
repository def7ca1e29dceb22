"""The teacher's replies on disk, so that nothing is ever paid for twice: one sqlite file, one commit per reply.

In: a request and its reply. Out: the reply again, for the same request, after any crash, in any number of processes.
Shown in notebook 02.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from miniluotuo_utils.files import DataError, batches, write_jsonl, written_whole
from miniluotuo_utils.text import declines, names_itself

if TYPE_CHECKING:
    import pyarrow

TABLE = """CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, text TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, model TEXT NOT NULL, created REAL NOT NULL) WITHOUT ROWID"""
CLAIMS = "CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL, beat REAL NOT NULL) WITHOUT ROWID"
COLUMNS = "text, finish_reason, prompt_tokens, completion_tokens, model"
BEAT, STALE = (
    5,
    30,
)  # seconds between the signs of life of one who asks, and after which its claims are anybody's


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

    def mark(self, asked: str = "") -> str:
        """What the reply is: `usable`, `failed` (an error), `empty`, `cut` (at max_tokens), `filtered`, or `refused` (it declines to do `asked`).

        >>> Reply("抱歉，我无法提供实时信息。", "stop").mark("今天几号？"), Reply("答", "length").mark()
        ('refused', 'cut')
        """
        if self.error is not None:
            return "failed"
        if not self.text.strip():
            return "empty"
        if self.finish_reason != "stop":
            return {"length": "cut", "content_filter": "filtered"}.get(
                self.finish_reason, f"finish_reason {self.finish_reason!r}"
            )
        return "refused" if declines(asked, self.text) or names_itself(self.text) else "usable"


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


def new_owner() -> str:
    """A name for one run that asks: machine, process and a number of its own."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def dead(owner: str) -> bool:
    """Whether the owner of a claim was a process of this machine that runs no more. Of another machine nobody can tell.

    >>> dead(f"{socket.gethostname()}:{os.getpid()}:x"), dead("elsewhere:1:x")
    (False, False)
    """
    host, number, _ = owner.rsplit(":", 2)
    if host != socket.gethostname() or os.name == "nt":  # on Windows os.kill would end the process
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def parquet_schema() -> pyarrow.Schema:
    """The columns of an export."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    texts = {
        name: pa.string()
        for name in ("key", "model", "sampling", "text", "mark", "finish_reason", "answered_by")
    }
    return pa.schema(
        {
            **texts,
            "messages": pa.list_(message),
            "prompt_tokens": pa.int64(),
            "completion_tokens": pa.int64(),
            "created": pa.float64(),
        }
    )


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
            self.connection = sqlite3.connect(
                self.path or ":memory:", timeout=10, check_same_thread=False
            )
            self.begin_log()
            self.connection.execute(
                "PRAGMA synchronous=NORMAL"
            )  # with the log: a kill loses no commit
            self.connection.execute(TABLE)
            self.connection.execute(CLAIMS)

    def begin_log(self) -> None:
        """Turn the write-ahead log on. While another process turns it on too, sqlite says `locked` at once, whatever the timeout."""
        for _ in range(200):
            try:
                self.connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                time.sleep(0.05)
        raise OSError(
            errno.EBUSY, f"{self.path}: another program holds the store; stop it, then run again"
        )

    def __repr__(self) -> str:
        return f"Store({self.path.name if self.path else 'in memory'})"

    def get(self, key: str) -> Reply | None:
        """The stored reply of a key (`cached` is True), None where there is none."""
        with self.told_clearly():
            row = self.connection.execute(
                f"SELECT {COLUMNS} FROM replies WHERE key = ?", (key,)
            ).fetchone()
        return Reply(*row, cached=True) if row else None

    def put(self, key: str, request: Mapping, reply: Reply) -> None:
        """Commit one reply. A key that is there already keeps its first reply."""
        text = (
            canonical(request).encode("utf-8", "replace").decode("utf-8")
        )  # a lone surrogate cannot be stored
        tokens = (reply.prompt_tokens, reply.completion_tokens)
        values = (key, text, reply.text, reply.finish_reason, *tokens, reply.model, time.time())
        with self.told_clearly(), self.connection:
            self.connection.execute(
                "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values
            )
            self.connection.execute("DELETE FROM claims WHERE key = ?", (key,))

    def claim(self, key: str, owner: str) -> bool:
        """Whether `owner` (of `new_owner`) may ask for a key now: True once, until `put` or `release`; False while another asks for it.

        The claim of a process that died, or gave no sign of life for `STALE` seconds, is taken over.
        """
        now = time.time()
        take = (
            "INSERT INTO claims VALUES (?, ?, ?) ON CONFLICT(key) DO UPDATE SET owner = excluded.owner, beat = excluded.beat "
            "WHERE claims.beat < ?"
        )
        with self.told_clearly(), self.connection:
            if self.connection.execute(take, (key, owner, now, now - STALE)).rowcount:
                return True
            held = self.connection.execute(
                "SELECT owner FROM claims WHERE key = ?", (key,)
            ).fetchone()
            if held and dead(held[0]):
                self.connection.execute("DELETE FROM claims WHERE owner = ?", held)
                return bool(self.connection.execute(take, (key, owner, now, now - STALE)).rowcount)
        return False

    def release(self, owner: str, key: str | None = None) -> None:
        """Give an owner's claim back, or all of its claims, unanswered."""
        with self.told_clearly(), self.connection:
            self.connection.execute(
                "DELETE FROM claims WHERE owner = ? AND (key = ? OR ? IS NULL)", (owner, key, key)
            )

    def beat(self, owner: str) -> None:
        """A sign of life for an owner's claims."""
        with self.told_clearly(), self.connection:
            self.connection.execute(
                "UPDATE claims SET beat = ? WHERE owner = ?", (time.time(), owner)
            )

    def rows(self) -> Iterator[dict]:
        """Every reply with its request, for export: key, messages, text, mark, tokens, model, time; in the order of their time."""
        with self.told_clearly():
            cursor = self.connection.execute(
                f"SELECT key, request, created, {COLUMNS} FROM replies ORDER BY created, key"
            )
        for key, request, created, *columns in cursor:
            sent, reply = json.loads(request), Reply(*columns)
            asked = sent.get("messages", [{}])[-1].get("content", "")
            settings = {
                name: value for name, value in sent.items() if name not in ("messages", "model")
            }
            yield {
                "key": key,
                "model": sent.get("model", ""),
                "messages": sent.get("messages", []),
                "sampling": canonical(settings),
                "text": reply.text,
                "mark": reply.mark(asked),
                "finish_reason": reply.finish_reason,
                "prompt_tokens": reply.prompt_tokens,
                "completion_tokens": reply.completion_tokens,
                "answered_by": reply.model,
                "created": created,
            }

    def export(self, path: Path | str) -> int:
        """Write every reply to `path`, JSON Lines or Parquet by its ending, whole or not at all; returns how many.

        Raises ValueError for another ending.
        """
        path = Path(path)
        if path.suffix == ".jsonl":
            return write_jsonl(path, self.rows())
        if path.suffix != ".parquet":
            raise ValueError(
                f"{path.name}: found the ending {path.suffix!r}, expected .jsonl or .parquet"
            )
        import pyarrow as pa
        import pyarrow.parquet as parquet

        count = 0
        with (
            written_whole(path) as partial,
            parquet.ParquetWriter(partial, parquet_schema()) as writer,
        ):
            for batch in batches(self.rows(), 10_000):
                writer.write_table(pa.Table.from_pylist(batch, parquet_schema()))
                count += len(batch)
        return count

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
                    raise DataError(
                        f"{name}: found a damaged file ({error}), expected a store of teacher replies (sqlite). "
                        "Move it away or put a copy back, then run again"
                    ) from error
                if code == "SQLITE_FULL":
                    raise OSError(
                        errno.ENOSPC,
                        f"disk full while writing {name}; the replies before this one are kept. "
                        "Free some space, then run again: only what is missing is asked",
                    ) from error
                if code.startswith("SQLITE_BUSY"):
                    raise OSError(
                        errno.EBUSY,
                        f"{name}: another program holds it for longer than 10 seconds; stop that one, then run again",
                    ) from error
                if code in ("SQLITE_CANTOPEN", "SQLITE_READONLY"):
                    raise OSError(
                        errno.EACCES,
                        f"{name}: {error}; expected a file that can be written. Choose another folder "
                        "for the store",
                    ) from error
                raise
