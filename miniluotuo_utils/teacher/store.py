"""Keep the teacher's replies in one sqlite file, so that nothing is ever paid for twice.

In: a request and its reply. Out: the reply again, for the same request, after any crash, in any
number of processes. Shown in notebook 02.
"""

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

from miniluotuo_utils.files import DataError, batches, write_jsonl, written_whole
from miniluotuo_utils.text import declines, names_itself

TABLES = """CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, text TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, model TEXT NOT NULL, created REAL NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (
    key TEXT PRIMARY KEY, owner TEXT NOT NULL, beat REAL NOT NULL) WITHOUT ROWID;"""
COLUMNS = "text, finish_reason, prompt_tokens, completion_tokens, model"

# One statement, so that no other process can come between look and claim: a key is taken if it has
# no reply yet, and nobody's claim but that of an owner who has been silent for too long.
CLAIM = """INSERT INTO claims SELECT :key, :owner, :now
    WHERE NOT EXISTS (SELECT 1 FROM replies WHERE key = :key)
    ON CONFLICT(key) DO UPDATE SET owner = excluded.owner, beat = excluded.beat
    WHERE claims.beat < :now - :stale"""
BEAT = 5  # seconds between the signs of life of an owner of claims
STALE = 30  # seconds of silence after which its claims are anybody's

MARKS = {"length": "cut", "content_filter": "filtered", "not_recorded": "not recorded"}

# sqlite's names of an error (or how they begin) -> errno (None: the file is damaged), what to do
PROBLEMS = {
    ("SQLITE_NOTADB", "SQLITE_CORRUPT"): (
        None,
        "{name}: found a damaged file ({error}), expected a store of teacher replies (sqlite). "
        "Move it away or put a copy back, then run again",
    ),
    ("SQLITE_FULL",): (
        errno.ENOSPC,
        "disk full while writing {name}; the replies before this one are kept. "
        "Free some space, then run again: only what is missing is asked",
    ),
    ("SQLITE_BUSY",): (
        errno.EBUSY,
        "{name}: another program holds it for longer than 10 seconds; stop that one, then run "
        "again",
    ),
    ("SQLITE_CANTOPEN", "SQLITE_READONLY"): (
        errno.EACCES,
        "{name}: {error}; expected a file that can be written. Choose another folder for the store",
    ),
}


@dataclass
class Reply:
    """One reply of the teacher.

    `error` is None where the teacher answered; tokens are None where it did not count.
    """

    text: str
    finish_reason: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    model: str = ""
    error: str | None = None
    cached: bool = False

    @property
    def usable(self) -> bool:
        """Whether the reply is complete: no error, finished by itself, not empty.

        >>> Reply("答案", "stop").usable, Reply("答", "length").usable, Reply("", "stop").usable
        (True, False, False)
        """
        return self.error is None and self.finish_reason == "stop" and bool(self.text.strip())

    def mark(self, prompt: str = "") -> str:
        """Return what the reply to `prompt` is, in a word.

        `usable`, `failed` (an error), `empty`, `cut` (at max_tokens), `filtered`, `not recorded`
        (by the stand-in), or `refused` (it declines the task, or names itself).

        >>> Reply("抱歉，我无法提供实时信息。", "stop").mark("今天几号？")
        'refused'
        >>> Reply("答", "length").mark()
        'cut'
        """
        if self.error is not None:
            return "failed"
        if not self.text.strip():
            return "empty"
        if self.finish_reason != "stop":
            return MARKS.get(self.finish_reason, f"finish_reason {self.finish_reason!r}")
        return "refused" if declines(prompt, self.text) or names_itself(self.text) else "usable"

    def why_unusable(self, prompt: str = "") -> str | None:
        """Return the reason not to learn from the reply to `prompt`, None for a usable one.

        >>> Reply("答", "length").why_unusable(), Reply("答案", "stop").why_unusable()
        ("finish_reason 'length', expected 'stop'", None)
        """
        reasons = {
            "usable": None,
            "failed": self.error,
            "empty": f"empty reply (finish_reason {self.finish_reason!r})",
            "not recorded": "the recorded teacher has no answer to it",
            "refused": "the teacher refused, or named itself",
        }
        other = f"finish_reason {self.finish_reason!r}, expected 'stop'"
        return reasons.get(self.mark(prompt), other)


def canonical(request: Mapping) -> str:
    """Return a request as the one JSON text that its key is made of: sorted names, no spaces.

    >>> canonical({"temperature": 0, "model": "m"})
    '{"model":"m","temperature":0}'
    """
    return json.dumps(request, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def request_key(request: Mapping) -> str:
    """Return the SHA-256 of the request: model, messages and sampling parameters as sent.

    >>> request_key({"model": "m", "messages": []}) == request_key({"messages": [], "model": "m"})
    True
    """
    # A lone surrogate is no UTF-8: its request fails at the client with a clear error, not here
    # with the whole run.
    return sha256(canonical(request).encode("utf-8", "surrogatepass")).hexdigest()


def new_owner() -> str:
    """Return a name for one run that asks: machine, process and a number of its own."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def dead(owner: str) -> bool:
    """Whether the owner of a claim was a process of this machine that has ended.

    Of other machines nobody can tell.

    >>> dead(f"{socket.gethostname()}:{os.getpid()}:x"), dead("elsewhere:1:x")
    (False, False)
    """
    host, number, _ = owner.rsplit(":", 2)
    if host != socket.gethostname() or os.name == "nt":  # on Windows os.kill would end the process
        return False
    try:
        os.kill(int(number), 0)  # signal 0 only asks whether the process is there
    except OSError as error:
        return isinstance(error, ProcessLookupError)  # another user's process is there, too
    return False


class Store:
    """Replies by request, in one sqlite file (write-ahead log).

    Safe to use from several threads and several processes. A process that wants to ask claims the
    key first; claims keep two processes from paying for one request. `path=None` keeps the replies
    in memory, for as long as this object lives. Raises DataError for a damaged file and OSError for
    a full disk; what was stored before stays readable.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path) if path is not None else None
        self.name = self.path.name if self.path else "the store in memory"
        self.lock = threading.RLock()
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.told_clearly():
            self.connection = sqlite3.connect(
                self.path or ":memory:", timeout=10, check_same_thread=False
            )
            self.begin_log()
            # With the log this is enough: a kill loses no commit.
            self.connection.execute("PRAGMA synchronous=NORMAL")
            self.connection.executescript(TABLES)

    def begin_log(self) -> None:
        """Turn the write-ahead log on.

        While another process turns it on too, sqlite says `locked` at once, whatever the timeout:
        so we wait here.
        """
        last = time.monotonic() + 10
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > last:
                    raise
            time.sleep(0.05)

    def __repr__(self) -> str:
        return f"Store({self.path.name if self.path else 'in memory'})"

    def get(self, key: str) -> Reply | None:
        """Return the stored reply of a key (`cached` is True), None where there is none."""
        with self.told_clearly():
            row = self.connection.execute(
                f"SELECT {COLUMNS} FROM replies WHERE key = ?", (key,)
            ).fetchone()
        return Reply(*row, cached=True) if row else None

    def put(self, key: str, request: Mapping, reply: Reply) -> None:
        """Commit one reply, and end the claim on its key; a second reply to a key is dropped."""
        # A lone surrogate cannot be stored.
        text = canonical(request).encode("utf-8", "replace").decode("utf-8")
        values = (
            key,
            text,
            reply.text,
            reply.finish_reason,
            reply.prompt_tokens,
            reply.completion_tokens,
            reply.model,
            time.time(),
        )
        with self.told_clearly(), self.connection:
            self.connection.execute(
                "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values
            )
            self.connection.execute("DELETE FROM claims WHERE key = ?", (key,))

    def claim(self, key: str, owner: str) -> bool:
        """Whether `owner` (of `new_owner`) may ask for a key now.

        True once, until `put` or `release`. False while another asks for it, and where its reply
        has just arrived. The claim of a process that died, or gave no sign of life for `STALE`
        seconds, is taken over.
        """
        names = {"key": key, "owner": owner, "now": time.time(), "stale": STALE}
        with self.told_clearly(), self.connection:
            held = self.connection.execute(
                "SELECT owner FROM claims WHERE key = ?", (key,)
            ).fetchone()
            if held and dead(*held):
                self.connection.execute("DELETE FROM claims WHERE owner = ?", held)
            return bool(self.connection.execute(CLAIM, names).rowcount)

    def release(self, owner: str, key: str | None = None) -> None:
        """Give an owner's claim back, or all of its claims, unanswered."""
        with self.told_clearly(), self.connection:
            self.connection.execute(
                "DELETE FROM claims WHERE owner = ? AND (key = ? OR ? IS NULL)", (owner, key, key)
            )

    def beat(self, owner: str) -> None:
        """Give a sign of life for an owner's claims."""
        with self.told_clearly(), self.connection:
            self.connection.execute(
                "UPDATE claims SET beat = ? WHERE owner = ?", (time.time(), owner)
            )

    def rows(self) -> Iterator[dict]:
        """Return every reply with its request, in the order of their time.

        Fields: key, messages, sampling, text, mark, tokens, models asked and answering, time.
        """
        with self.told_clearly():
            cursor = self.connection.execute(
                f"SELECT key, request, created, {COLUMNS} FROM replies ORDER BY created, key"
            )
        for key, request, created, *columns in cursor:
            settings, reply = json.loads(request), Reply(*columns)
            model, messages = settings.pop("model", ""), settings.pop("messages", [])
            prompt = messages[-1].get("content", "") if messages else ""
            yield {
                "key": key,
                "model": model,
                "messages": messages,
                "sampling": canonical(settings),
                "text": reply.text,
                "mark": reply.mark(prompt),
                "finish_reason": reply.finish_reason,
                "prompt_tokens": reply.prompt_tokens,
                "completion_tokens": reply.completion_tokens,
                "answered_by": reply.model,
                "created": created,
            }

    def export(self, path: Path | str) -> int:
        """Write every reply to `path`, JSON Lines or Parquet by its ending, and return how many.

        The file appears when it is complete. Raises ValueError for another ending.
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

        # A schema by hand, for replies without tokens would give columns without a type; and
        # batches, so that memory stays flat: `Dataset.from_generator` takes a third more of both
        # memory and time.
        text = ("key", "model", "sampling", "text", "mark", "finish_reason", "answered_by")
        message = pa.struct({"role": pa.string(), "content": pa.string()})
        schema = pa.schema(
            dict.fromkeys(text, pa.string())
            | {"messages": pa.list_(message)}
            | dict.fromkeys(("prompt_tokens", "completion_tokens"), pa.int64())
            | {"created": pa.float64()}
        )
        count = 0
        with written_whole(path) as partial, parquet.ParquetWriter(partial, schema) as writer:
            for batch in batches(self.rows(), 10_000):
                writer.write_table(pa.Table.from_pylist(batch, schema))
                count += len(batch)
        return count

    def counts(self) -> dict[str, int]:
        """Return how many replies there are, how many finished, and the tokens that they cost."""
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
        """Let one thread in at a time; make sqlite's errors name the file and the next step."""
        with self.lock:
            try:
                yield
            except sqlite3.Error as error:
                # Extended codes begin with the plain one: SQLITE_BUSY_SNAPSHOT,
                # SQLITE_CANTOPEN_ISDIR.
                code = getattr(error, "sqlite_errorname", "")
                for names, (number, message) in PROBLEMS.items():
                    if code.startswith(names):
                        said = message.format(name=self.name, error=error)
                        raise (OSError(number, said) if number else DataError(said)) from error
                raise
