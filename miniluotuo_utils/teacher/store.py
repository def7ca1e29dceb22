"""Keep the teacher's replies in one sqlite file, so that nothing is ever paid for twice.

In: a request and its reply. Out: the reply again, for the same request, after any crash, in any
number of processes. Shown in notebook 02.
"""

import errno
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from miniluotuo_utils.files import DataError, batches, write_jsonl, written_whole
from miniluotuo_utils.text import declines, names_itself, split_thoughts
from miniluotuo_utils.writing.temporary import machine, runs

TABLES = """CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, text TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, model TEXT NOT NULL, created REAL NOT NULL,
    thoughts TEXT, server TEXT)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS earlier (
    key TEXT NOT NULL, request TEXT NOT NULL, text TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, model TEXT NOT NULL, created REAL NOT NULL,
    thoughts TEXT, server TEXT);
CREATE TABLE IF NOT EXISTS claims (
    key TEXT PRIMARY KEY, owner TEXT NOT NULL, beat REAL NOT NULL) WITHOUT ROWID;"""
COLUMNS = "text, finish_reason, prompt_tokens, completion_tokens, model, created"
NEWER = ("thoughts", "server")  # columns that stores of earlier versions lack

# One statement, so that no other process can come between look and claim: a key is taken if it has
# no reply yet but one that is to be replaced, and nobody's claim but that of an owner who has been
# silent for too long.
CLAIM = """INSERT INTO claims SELECT :key, :owner, :now
    WHERE NOT EXISTS (SELECT 1 FROM replies WHERE key = :key AND created > :instead_of)
    ON CONFLICT(key) DO UPDATE SET owner = excluded.owner, beat = excluded.beat
    WHERE claims.beat < :now - :stale"""
BEAT = 5  # seconds between the signs of life of an owner of claims
STALE = 30  # seconds of silence after which its claims are anybody's

# What servers call an end that came too early; an unknown reason with a text is a good end.
CUT = """length max_tokens model_length max_length max_output_tokens token_limit incomplete abort
aborted cancelled canceled error network_error insufficient_system_resource
model_context_window_exceeded"""
FILTERED = "content_filter content_filtered safety sensitive recitation blocklist"
MARKS = {
    **dict.fromkeys(CUT.split(), "cut"),
    **dict.fromkeys(FILTERED.split(), "filtered"),
    "refusal": "refused",
    "not_recorded": "not recorded",
}
KNOWN = ("stop", "end_turn", "stop_sequence", "eos", "")

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
# whatever else sqlite cannot do to a file, such as SQLITE_IOERR and SQLITE_PROTOCOL
ELSE = (
    "{name}: {error}: is a quota used up, does the disk fail, or is it a network folder? What was "
    "stored before is kept. Put the store on a local disk with room (store=FILE), then run again"
    "（存储读写不了：把它放到本机的盘上）"
)
NO_LOG = ("SQLITE_IOERR", "SQLITE_PROTOCOL")  # of a folder whose files cannot be shared memory


@dataclass
class Reply:
    """One reply of the teacher.

    `text` is the answer, `thoughts` what a reasoning teacher thought before it. `error` is None
    where the teacher answered; tokens are None where it did not count; `created` is in seconds
    since 1970.
    """

    text: str
    finish_reason: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    model: str = ""
    error: str | None = None
    cached: bool = False
    created: float = 0.0
    thoughts: str = ""

    @property
    def ending(self) -> str:
        """What the finish_reason says in a word of `MARKS`, "" for a good or an unknown one.

        >>> Reply("答", "MAX_TOKENS").ending, Reply("答案", "eos").ending
        ('cut', '')
        """
        return MARKS.get(self.finish_reason.lower(), "")

    @property
    def usable(self) -> bool:
        """Whether the reply is complete: no error, finished by itself, not empty.

        >>> Reply("答案", "stop").usable, Reply("答", "length").usable, Reply("", "stop").usable
        (True, False, False)
        """
        return self.error is None and not self.ending and bool(self.text.strip())

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
        refused = declines(prompt, self.text) or names_itself(self.text, prompt)
        return self.ending or ("refused" if refused else "usable")

    def why_unusable(self, prompt: str = "", accept: Collection[str] = ()) -> str | None:
        """Return the reason not to learn from the reply to `prompt`, None for a usable one.

        `accept` names marks that are good enough, such as `refused`.

        >>> Reply("答", "length").why_unusable(), Reply("答案", "stop").why_unusable()
        ("finish_reason 'length', expected 'stop'", None)
        """
        told = f"finish_reason {self.finish_reason!r}"
        reasons = {
            "usable": None,
            "failed": self.error,
            "empty": f"empty reply ({told})",
            "cut": f"{told}, expected 'stop'",
            "filtered": f"{told}: the server's content filter cut it",
            "not recorded": "the recorded teacher has no answer to it",
            "refused": "the teacher refused, or named itself",
        }
        mark = self.mark(prompt)
        if mark == "empty" and self.thoughts:
            return f"all tokens went into reasoning ({told})"
        return None if mark in accept else reasons[mark]


def reply_of(row: Sequence) -> Reply:
    """Return a row of the store: the columns of `COLUMNS` and `NEWER`."""
    *answer, created, thoughts, _ = row
    text, *rest = answer
    # What an earlier version stored has its thoughts in the text.
    if thoughts is None:
        thoughts, text = split_thoughts(text)
    return Reply(text, *rest, cached=True, created=created, thoughts=thoughts)


def canonical(request: Mapping) -> str:
    """Return a request as the one JSON text that its key is made of: sorted names, no spaces.

    >>> canonical({"temperature": 0, "model": "m"})
    '{"model":"m","temperature":0}'
    """
    return json.dumps(request, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def request_key(request: Mapping, server: str = "") -> str:
    """Return the SHA-256 of the request: model, messages and sampling parameters as sent.

    With `server` it is another one for each server: two of them may give one name to two models.

    >>> request_key({"model": "m", "messages": []}) == request_key({"messages": [], "model": "m"})
    True
    """
    if server:
        request = {"request": request, "server": server}
    # A lone surrogate is no UTF-8: its request fails at the client with a clear error, not here
    # with the whole run.
    return sha256(canonical(request).encode("utf-8", "surrogatepass")).hexdigest()


def new_owner() -> str:
    """Return a name for one run that asks: machine, process and a number of its own."""
    return f"{machine()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def dead(owner: str) -> bool:
    """Whether the owner of a claim was a process of this machine that has ended.

    Of other machines and containers nobody can tell, nor of owners that an earlier version named.

    >>> dead(new_owner()), dead("elsewhere:1:x")
    (False, False)
    """
    where, number, _ = owner.rsplit(":", 2)
    return where == machine() and not runs(int(number))


class Store:
    """Replies by request, in one sqlite file (write-ahead log).

    Safe to use from several threads and several processes. A process that wants to ask claims the
    key first; claims keep two processes from paying for one request. `path=None` keeps the replies
    in memory, for as long as this object lives. A store that cannot be written, as on a read-only
    disk, is read; OSError says so where something is to be stored. Raises DataError for a damaged
    file and for another program's database, OSError for a full disk and for one that fails; what
    was stored before stays readable. Stores of earlier versions are read and get the columns that
    they lack.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path) if path is not None else None
        self.name = self.path.name if self.path else "the store in memory"
        self.lock = threading.RLock()
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self.read_only = False
        with self.told_clearly():
            try:
                self.open_for_writing()
            except sqlite3.OperationalError as error:
                unwritable = error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANT"))
                if not (unwritable and self.open_for_reading()):
                    raise
            here = {row[1] for row in self.connection.execute("PRAGMA table_info(replies)")}
            self.columns = ", ".join([COLUMNS, *(c if c in here else "NULL" for c in NEWER)])

    def open_for_writing(self) -> None:
        """Open the file, make what a store needs, and add the columns that an older one lacks."""
        self.connect()
        try:
            self.refuse_others()
            self.begin_log()
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(NO_LOG):
                raise
            self.do_without_log()
        self.connection.executescript(TABLES)
        for column in NEWER:
            # It is there already, or another process adds it at this moment.
            with suppress(sqlite3.OperationalError):
                self.connection.execute(f"ALTER TABLE replies ADD COLUMN {column} TEXT")

    def connect(self) -> None:
        """Open the file, or the memory."""
        place = self.path or ":memory:"
        self.connection = sqlite3.connect(place, timeout=10, check_same_thread=False)

    def refuse_others(self) -> None:
        """Raise DataError for a database that holds rows of another program."""
        found = self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {name for (name,) in found} - {"sqlite_sequence"}
        if "replies" in tables or "claims" in tables:
            return
        for name in sorted(tables):
            quoted = name.replace('"', '""')
            if self.connection.execute(f'SELECT 1 FROM "{quoted}" LIMIT 1').fetchone():
                raise DataError(
                    f"{self.name}: found the database of another program (table {name}), expected "
                    "a store of teacher replies. Choose another file for the store"
                )

    def open_for_reading(self) -> bool:
        """Open a file that cannot be written, and return whether it holds a store."""
        if self.path is None or not self.path.is_file():
            return False
        # `immutable` reads without the log's files, which nobody can make on such a disk.
        for how in ("mode=ro", "immutable=1"):
            self.connection = sqlite3.connect(
                f"{self.path.resolve().as_uri()}?{how}", uri=True, check_same_thread=False
            )
            with suppress(sqlite3.OperationalError):
                self.connection.execute("SELECT key FROM replies LIMIT 1").fetchone()
                self.read_only = True
                break
        return self.read_only

    def begin_log(self) -> None:
        """Turn the write-ahead log on, where the folder can have one.

        While another process turns it on too, sqlite says `locked` at once, whatever the timeout:
        so we wait here.
        """
        last = time.monotonic() + 10
        while True:
            try:
                [mode] = self.connection.execute("PRAGMA journal_mode=WAL").fetchone()
                self.connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # opens it
                # With the log this is enough: a kill loses no commit.
                if mode == "wal":
                    self.connection.execute("PRAGMA synchronous=NORMAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > last:
                    raise
            time.sleep(0.05)

    def do_without_log(self) -> None:
        """Open the file again with the plain journal, which many network folders alone can have."""
        self.connection.close()
        self.connect()
        # For its only user sqlite can read a log that was begun, and end it.
        for how in ("locking_mode=EXCLUSIVE", "journal_mode=DELETE", "locking_mode=NORMAL"):
            self.connection.execute(f"PRAGMA {how}")
        self.refuse_others()

    def __repr__(self) -> str:
        return f"Store({self.path.name if self.path else 'in memory'})"

    def get(self, key: str) -> Reply | None:
        """Return the stored reply of a key (`cached` is True), None where there is none."""
        with self.told_clearly():
            row = self.connection.execute(
                f"SELECT {self.columns} FROM replies WHERE key = ?", (key,)
            ).fetchone()
        return reply_of(row) if row else None

    def put(
        self,
        key: str,
        request: Mapping,
        reply: Reply,
        server: str | None = None,
        replacing: bool = False,
    ) -> None:
        """Commit one reply, and end the claim on its key.

        A second reply to a key is dropped; with `replacing` it takes the first one's place, and
        that one is kept in the table `earlier`: it was paid for.
        """
        # A lone surrogate cannot be stored.
        text = canonical(request).encode("utf-8", "replace").decode("utf-8")
        tokens = (reply.prompt_tokens, reply.completion_tokens)
        values = (key, text, reply.text, reply.finish_reason, *tokens, reply.model, time.time())
        names = (
            "key, request, text, finish_reason, prompt_tokens, completion_tokens, model, created"
        )
        names += ", thoughts, server"
        self.refuse_writing()
        with self.told_clearly(), self.connection:
            if replacing:
                self.connection.execute(
                    f"INSERT INTO earlier ({names}) SELECT {names} FROM replies WHERE key = ?",
                    (key,),
                )
                self.connection.execute("DELETE FROM replies WHERE key = ?", (key,))
            self.connection.execute(
                f"INSERT OR IGNORE INTO replies ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, reply.thoughts, server),
            )
            self.connection.execute("DELETE FROM claims WHERE key = ?", (key,))

    def refuse_writing(self) -> None:
        """Raise OSError where the store can only be read."""
        if self.read_only:
            raise OSError(
                errno.EROFS,
                f"{self.name} can be read and not written, and not every request has a reply in "
                "it. Copy it to a disk that can be written, then run again",
            )

    def claim(self, key: str, owner: str, instead_of: float = -1) -> bool:
        """Whether `owner` (of `new_owner`) may ask for a key now.

        `instead_of` is the time of a stored reply that is to be replaced.

        True once, until `put` or `release`. False while another asks for it, and where its reply
        has just arrived. The claim of a process that died, or gave no sign of life for `STALE`
        seconds, is taken over.
        """
        names = {
            "key": key,
            "owner": owner,
            "now": time.time(),
            "stale": STALE,
            "instead_of": instead_of,
        }
        self.refuse_writing()
        with self.told_clearly(), self.connection:
            held = self.connection.execute(
                "SELECT owner FROM claims WHERE key = ?", (key,)
            ).fetchone()
            if held and dead(*held):
                self.connection.execute("DELETE FROM claims WHERE owner = ?", held)
            return bool(self.connection.execute(CLAIM, names).rowcount)

    def release(self, owner: str, key: str | None = None) -> None:
        """Give an owner's claim back, or all of its claims, unanswered."""
        if self.read_only:
            return
        with self.told_clearly(), self.connection:
            self.connection.execute(
                "DELETE FROM claims WHERE owner = ? AND (key = ? OR ? IS NULL)", (owner, key, key)
            )

    def beat(self, owner: str) -> None:
        """Give a sign of life for an owner's claims."""
        if self.read_only:
            return
        with self.told_clearly(), self.connection:
            self.connection.execute(
                "UPDATE claims SET beat = ? WHERE owner = ?", (time.time(), owner)
            )

    def rows(self) -> Iterator[dict]:
        """Return every reply with its request, in the order of their time.

        Fields: key, messages, sampling, text, thoughts, mark, tokens, models asked and answering,
        time and server.
        """
        with self.told_clearly():
            cursor = self.connection.execute(
                f"SELECT key, request, {self.columns} FROM replies ORDER BY created, key"
            )
        for key, request, *columns in cursor:
            settings, reply = json.loads(request), reply_of(columns)
            model, messages = settings.pop("model", ""), settings.pop("messages", [])
            prompt = messages[-1].get("content", "") if messages else ""
            yield {
                "key": key,
                "model": model,
                "messages": messages,
                "sampling": canonical(settings),
                "text": reply.text,
                "thoughts": reply.thoughts,
                "mark": reply.mark(prompt),
                "finish_reason": reply.finish_reason,
                "prompt_tokens": reply.prompt_tokens,
                "completion_tokens": reply.completion_tokens,
                "answered_by": reply.model,
                "created": reply.created,
                "server": columns[-1] or "",
            }

    def export(self, path: Path | str, overwrite: bool | None = None) -> int:
        """Write every reply to `path`, JSON Lines or Parquet by its ending, and return how many.

        The file appears when it is complete. One that is there is replaced where it holds nothing
        else, as `write_jsonl` does, or is an earlier Parquet export; else `Taken`, a ValueError.
        `overwrite=True` replaces any file, False none. Raises ValueError for another ending.
        """
        path = Path(path)
        if path.suffix == ".jsonl":
            return write_jsonl(path, self.rows(), overwrite)
        if path.suffix != ".parquet":
            raise ValueError(
                f"{path.name}: found the ending {path.suffix!r}, expected .jsonl or .parquet"
            )
        import pyarrow as pa
        import pyarrow.parquet as parquet

        # A schema by hand, for replies without tokens would give columns without a type; and
        # batches, so that memory stays flat: `Dataset.from_generator` takes a third more of both
        # memory and time.
        text = ("key", "model", "sampling", "text", "thoughts", "mark", "finish_reason")
        message = pa.struct({"role": pa.string(), "content": pa.string()})
        schema = pa.schema(
            dict.fromkeys((*text, "answered_by", "server"), pa.string())
            | {"messages": pa.list_(message)}
            | dict.fromkeys(("prompt_tokens", "completion_tokens"), pa.int64())
            | {"created": pa.float64()}
        )
        count = 0
        # What another program wrote has its notes in the schema.
        if overwrite is None:
            with suppress(OSError, pa.ArrowInvalid):
                found = parquet.read_schema(path)
                overwrite = found.equals(schema) and not found.metadata
        with (
            written_whole(path, bool(overwrite)) as partial,
            parquet.ParquetWriter(partial, schema) as writer,
        ):
            for batch in batches(self.rows(), 10_000):
                writer.write_table(pa.Table.from_pylist(batch, schema))
                count += len(batch)
        return count

    def counts(self) -> dict[str, int]:
        """Return how many replies there are, how many finished, and the tokens that they cost.

        Replies that others took the place of are counted in the cost.
        """
        names = ("replies", "finished", "prompt_tokens", "completion_tokens")
        early = ", ".join(f"'{reason}'" for reason in MARKS)
        finished = f"SUM(text != '' AND lower(finish_reason) NOT IN ({early}))"
        tokens = "SUM(prompt_tokens), SUM(completion_tokens)"
        with self.told_clearly():
            row = self.connection.execute(
                f"SELECT COUNT(*), {finished}, {tokens} FROM replies"
            ).fetchone()
            tables = self.connection.execute("SELECT name FROM sqlite_master").fetchall()
            replaced = (None, None)
            if ("earlier",) in tables:
                replaced = self.connection.execute(f"SELECT {tokens} FROM earlier").fetchone()
        sums = [(a or 0) + (b or 0) for a, b in zip(row, (0, 0, *replaced), strict=True)]
        return dict(zip(names, sums, strict=True))

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
                # Any other kind of error is a fault of ours, which its traceback tells best.
                if not isinstance(error, sqlite3.OperationalError):
                    raise
                raise OSError(errno.EIO, ELSE.format(name=self.name, error=error)) from error
