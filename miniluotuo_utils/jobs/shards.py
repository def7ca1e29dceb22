"""Map a command over shards of its file on datatrove's executor; a killed run goes on.

In: a file of rows and what is done to some of them. Out: what would come out in one piece, whatever
the number of workers. Used by `shards` of the command line.

datatrove keeps which shards are done, and the log of each, as plain files, and runs the same
pipeline under Slurm and Ray; it is two small packages beside what is here already. Ray Data, the
other engine that was looked at, is 79 MB and starts a cluster on every laptop; a run that was
killed as a whole is not gone on with.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

from miniluotuo_utils.data import read_any
from miniluotuo_utils.data.plain import asked_rows
from miniluotuo_utils.files import (
    DataError,
    Journal,
    file_sha256,
    read_jsonl,
    write_jsonl,
    written_whole,
)
from miniluotuo_utils.jobs.annotate import sentences
from miniluotuo_utils.jobs.clean import clean_part, clean_together
from miniluotuo_utils.jobs.predict import check_asked
from miniluotuo_utils.jobs.respond import REPLACE, questions
from miniluotuo_utils.records import TASKS
from miniluotuo_utils.students.loading import folders_read
from miniluotuo_utils.teacher.address import checked_address, server_of
from miniluotuo_utils.writing import Taken, Touched, claimed, remove

ROWS, STATUS, LOG = "rows.jsonl", "status.json", "log.txt"
TRIES = 3  # times that a killed worker is replaced before the run gives up


@dataclass(frozen=True)
class Work:
    """What is mapped: `run(shard, outs)` reads the rows of a shard and writes its outputs.

    rows: give the rows of the whole file, each checked: an error names file and line. made_by: all
    that an output depends on but the rows. outs: the files of the whole run, OUT first. keeps: how
    an output with other lines is replaced all the same, "" where the file just may be replaced.
    join: makes an output of those of the shards.
    """

    name: str
    source: Path
    outs: tuple[Path, ...]
    rows: Callable[[], Iterable[Mapping]]
    run: Callable[[Path, list[Path]], int]
    made_by: Mapping[str, Any]
    ours: Callable[[dict], object] = bool
    keeps: str | None = None
    join: Callable[[list[Path], Path], None] | None = None

    @property
    def folder(self) -> Path:
        """Where the shards stand until the work is done."""
        return self.outs[0].with_name(f"{self.outs[0].name}.shards")

    @property
    def touched(self) -> list[Touched]:
        """The paths that are read and written."""
        role = "file" if self.keeps is None else "again"
        outs = [Touched(("OUT", "rejected")[n > 0], out, role, self.ours) for n, out in self.made]
        return [Touched("IN", self.source, "reads"), *outs]

    @property
    def made(self) -> Iterator[tuple[int, Path]]:
        """The outputs with their numbers."""
        return enumerate(self.outs)


def sharded(
    work: Work,
    shards: int = 8,
    workers: int = 1,
    overwrite: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> int:
    """Do the work over so many shards, by so many processes; return the largest exit status.

    Shards are rows that follow each other, put together again in their order, so neither number
    changes what is written. They stand in `OUT.shards` until OUT is whole. After a kill the same
    call does what is missing; DataError where rows, options or the number of shards are others.
    A worker that is killed is replaced, and its shard done again. Raises `Taken` where an output is
    there, DataError that names the line of the file that was given.
    """
    check_numbers(shards, workers)
    if work.source.is_dir() and work.name != "clean":
        raise DataError(
            f"{work.source.name} 是文件夹，要一个文件。 is a folder, expected a file; one file "
            "after the other, or put them together first"
        )
    engine()  # said before anything is read where it is not installed
    with claimed(work.touched, overwrite):
        total, count = begin(work, shards)
        say(f"{work.source.name}: {total:,} 行 rows, {count} 份 shards, {workers} 个进程 processes")
        run_all(work, count, workers, say)
        statuses = [
            json.loads((place(work, n) / STATUS).read_text(encoding="utf-8")) for n in range(count)
        ]
        put_together(work, count, overwrite)
        say(f"{work.outs[0].name}: {total:,} 行做完了 rows done")
    return max(statuses)


def check_numbers(shards: int, workers: int) -> None:
    """Raise ValueError for numbers that nothing can be divided by."""
    for name, number in (("shards", shards), ("workers", workers)):
        if number < 1:
            raise ValueError(f"{name}：要是正整数。 {name}: found {number}, expected 1 or more")


def place(work: Work, number: int) -> Path:
    """Return the folder of a shard."""
    return work.folder / f"{number:05d}"


# ---- cut


def begin(work: Work, shards: int) -> tuple[int, int]:
    """Cut the rows into shards, or prove that those of an earlier run are theirs; return how many
    rows and how many shards there are: no more shards than rows.

    All rows are checked first. Raises DataError for a faulty row, for no row, and where something
    else than this work was begun; `Taken` for a folder that is not ours.
    """
    # A bad line at the end must not be found after an hour of work on the others.
    total = sum(1 for _ in work.rows())
    if not total:
        raise DataError(f"{work.source.name}: 里面没有可做的行。 found no row, expected one a line")
    count = min(shards, total)

    # Any folder may stand there: nothing is written into it before it is known to be ours.
    journal = Journal(work.folder / "shards.jsonl", made_by(work, count))
    folder = work.folder
    if folder.exists() and not journal.path.is_file() and any(folder.iterdir()):
        raise Taken(
            f"{folder.name} 已经有了，不是这里写下的。 is there and no folder of shards: choose "
            "another OUT, or move it elsewhere"
        )
    try:
        journal.append()  # begins it, or proves that it is ours
    except DataError as error:
        raise DataError(f"{error}. 或者删掉 Or delete the folder {folder.name}") from None
    if journal.lines():
        return total, count

    # Every shard whole, then a line that says that all are there.
    rows = iter(work.rows())
    for number in range(count):
        size = total * (number + 1) // count - total * number // count
        place(work, number).mkdir(exist_ok=True)
        write_jsonl(place(work, number) / ROWS, islice(rows, size), overwrite=True)
    journal.append({"rows": total})
    return total, count


def made_by(work: Work, count: int) -> dict:
    """Return all that the outputs depend on, as JSON gives it back."""
    data = file_sha256(work.source) if work.source.is_file() else work.source.name
    facts = {"command": work.name, "data": data, "shards": count, **work.made_by}
    return json.loads(json.dumps(facts, default=str))


# ---- map


def engine() -> Any:
    """Return datatrove's executor; ModuleNotFoundError says how to get it."""
    from datatrove.executor import LocalPipelineExecutor

    return LocalPipelineExecutor


def pipeline_of(work: Work) -> list[Callable]:
    """Return the work as a pipeline of datatrove, for any of its executors."""
    return [partial(one_shard, work.run, work.folder, len(work.outs))]


def one_shard(
    run: Callable[[Path, list[Path]], int], folder: Path, outs: int, _: Any, rank: int, world: int
) -> None:
    """Do one shard, as a step of datatrove's pipeline; its exit status stays beside its outputs."""
    shard = folder / f"{rank:05d}"
    # Outputs without a status are of a run that was killed between the two.
    made = [shard / f"{number}.jsonl" for number in range(outs)]
    for path in made:
        path.unlink(missing_ok=True)
    status = run(shard / ROWS, made)
    (shard / STATUS).write_text(json.dumps(status), encoding="utf-8")


def run_all(work: Work, count: int, workers: int, say: Callable[[str], object]) -> None:
    """Run the shards that are not done yet; DataError names what went wrong in a row of the file.

    Each has a process of its own. datatrove's own pool waits for ever for one that was killed.
    """
    logs = str(work.folder / "datatrove")
    executor = engine()(pipeline_of(work), tasks=count, workers=workers, logging_dir=logs)
    todo, failed = executor.get_incomplete_ranks(), []
    with ThreadPoolExecutor(workers) as threads:
        futures = [
            threads.submit(in_process, executor, rank, place(work, rank) / LOG, say)
            for rank in todo
        ]
        try:
            for done, future in enumerate(as_completed(futures), count - len(todo) + 1):
                rank, told = future.result()
                failed += [(rank, told)] if told else []
                say(f"{'没有做成 failed' if told else '做好了 done'}: {rank + 1}; {done} / {count}")
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    if failed:
        raise DataError(original(work, count, *min(failed)))


def in_process(
    executor: Any, rank: int, log: Path, say: Callable[[str], object]
) -> tuple[int, str]:
    """Do a shard in a process of its own, again where that was killed; return what `attempt` does.

    Raises ChildProcessError where it is killed each time.
    """
    for _ in range(TRIES):
        try:
            with ProcessPoolExecutor(1, get_context("spawn"), begin_work, (log,)) as pool:
                return pool.submit(attempt, executor, rank).result()
        except BrokenProcessPool:
            say(f"第 {rank + 1} 份的进程被杀掉了。 The process of shard {rank + 1} was killed.")
    raise ChildProcessError(
        f"第 {rank + 1} 份的进程被杀掉了 {TRIES} 次，内存够吗？做完的都在，同一条命令接着做。 "
        f"The process of shard {rank + 1} was killed {TRIES} times: is there memory for so many "
        "--workers? What is done is kept, and the same command goes on"
    )


def begin_work(log: Path) -> None:
    """Send what a worker prints into a file, as all speak at once, and let none outlive its parent.

    One that did would keep the shard from the run that goes on.
    """
    sys.stdout = sys.stderr = open(log, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
    Thread(target=follow, daemon=True).start()


def follow() -> None:
    """Wait for the end of the parent, and end."""
    parent_process().join()
    os._exit(1)


def attempt(executor: Any, rank: int) -> tuple[int, str]:
    """Run a shard, unless it is done; return its number, and what a person's data made fail."""
    try:
        executor._run_for_rank(rank, local_rank=1)  # the first one's log goes to the screen, too
        return rank, ""
    except (ValueError, OSError, MemoryError, FloatingPointError) as error:
        return rank, str(error)


def original(work: Work, count: int, rank: int, told: str) -> str:
    """Return an error with the name and the rows of the file that was cut."""
    total = read_jsonl(work.folder / "shards.jsonl")[1]["rows"]
    start = total * rank // count

    def renamed(found: re.Match) -> str:
        return f"{work.source.name}, row {start + int(found[1].replace(',', '')):,}"

    said = re.sub(rf"{ROWS}, line ([\d,]+)", renamed, told).replace(ROWS, work.source.name)
    for number, out in work.made:
        said = said.replace(f"{number}.jsonl", out.name)
    return f"第 {rank + 1} 份没有做成。 Shard {rank + 1} of {count}: {said}"


# ---- join


def put_together(work: Work, count: int, overwrite: bool = False) -> None:
    """Write every output whole, the shards in their order, and delete the shards."""
    with ExitStack() as stack:
        for number, out in work.made:
            parts = [place(work, rank) / f"{number}.jsonl" for rank in range(count)]
            how = (work.keeps is not None or overwrite, work.keeps or "")
            partial_out = stack.enter_context(written_whole(out, *how))
            (work.join or joined)(parts, partial_out)
    remove(work.folder)


def joined(parts: Sequence[Path], out: Path) -> None:
    """Write files one after the other into one; one that was never written has no row."""
    with open(out, "wb") as target:
        for part in (one for one in parts if one.exists()):
            with open(part, "rb") as file:
                shutil.copyfileobj(file, target)


# ---- which commands, and how


# What changes the pace of a run and not its outputs: it may be another one when a run goes on.
PACE = (
    *("overwrite", "replace", "concurrency", "requests_per_minute", "tokens_per_minute"),
    *("timeout", "max_retries", "budget", "budget_tokens", "price_in", "price_out", "retry"),
    *("processes", "store", "batch_size"),
)
WHOLE_NUMBERS = ("concurrency", "budget_tokens")
# Of the processes that run at a time.
SHARED = ("concurrency", "requests_per_minute", "tokens_per_minute")
SPENT = ("budget", "budget_tokens")  # by all shards together


def work_of(
    name: str, command: Any, shards: int, workers: int, say: Callable[[str], object]
) -> Work:
    """Return a command, with the options that a person gave, as work over shards.

    Raises ValueError for a command that is not mapped, and for options that look at all rows.
    """
    if name not in WORKS:
        raise ValueError(
            f"只有这几个命令能分份：{'、'.join(WORKS)}。 {name}: expected one of {', '.join(WORKS)}"
        )
    source, *outs = (field for field in WORKS[name] if getattr(command, field, None) is not None)
    file, *made = (getattr(command, field) for field in (source, *outs))
    run = partial(run_command, slower(command, shards, workers), source, outs)
    work = Work(name, file, tuple(made), tuple, run, facts_of(name, command))

    # How its rows are read and checked, and what its outputs are known by.
    match name:
        case "clean":
            return cleaning(work, command, say)
        case "predict":
            rows = partial(asked_rows, file, check_asked)
            return replace(work, rows=rows, ours=partial(has, "output"))
        case "respond":
            keeps = "" if command.replace else REPLACE
            return replace(work, rows=partial(questions, file), keeps=keeps)
    # Of sentences only these are kept, under one name.
    kind = TASKS[getattr(command, "task", "NER")]
    rows, run = partial(sentences, file, command.column), partial(run, column="sentence")
    return replace(work, rows=rows, run=run, ours=partial(has, kind))


def cleaning(work: Work, command: Any, say: Callable[[str], object]) -> Work:
    """Return `clean` as work: what looks at one row alone over shards, then the rest once."""
    if command.quality:
        raise ValueError(
            "--quality 要看所有的行，分份做不了；先分份 clean，再对结果 clean --quality。 "
            "--quality learns from all rows: leave it out here, and give it to `clean` with what "
            "comes out"
        )
    rows = partial(iter, read_any(work.source, command.format, say=say))
    join = partial(clean_together, near=command.near, name=work.outs[0].name, say=say)
    return replace(work, rows=rows, run=clean_shard, join=join)


# Command -> its input, its first and its other outputs, by all names that its options give them.
WORKS = {
    "clean": ("source", "out"),
    "annotate": ("data", "out"),
    "respond": ("rows", "out", "rejected"),
    "predict": ("source", "data", "target", "out"),
    "extract": ("source", "target"),
}


def facts_of(name: str, command: Any) -> dict[str, Any]:
    """Return the options that the outputs of a command depend on."""
    told = {
        field.name: fact_of(getattr(command, field.name), field.metadata.get("role"))
        for field in fields(command)
        if field.name not in (*PACE, *WORKS[name])
    }
    asked = ("TEACHER_BASE_URL", "TEACHER_MODEL") if name == "respond" else ()
    facts = told | {key: os.environ.get(key) for key in asked}
    # They are written down, and some servers want their key in the address.
    for place in ("base_url", "TEACHER_BASE_URL"):
        if facts.get(place):
            facts[place] = server_of(checked_address(facts[place].strip()))
    return facts


def fact_of(value: Any, role: str | None) -> Any:
    """Return the value of an option; of a file its content, of a student's folder what is in it."""
    if role == "student" and value is not None:
        files = chain.from_iterable(map(files_in, folders_read(value)))
        return [str(value), [[path.name, *path.stat()[6:9:2]] for path in files]]
    return file_sha256(value) if isinstance(value, Path) and value.is_file() else value


def files_in(folder: Path) -> list[Path]:
    """Return the files of a folder, in the order of their names."""
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def slower(command: Any, shards: int, workers: int) -> Any:
    """Return a command for one shard: its share of what all may spend, and of the pace."""
    parts = dict.fromkeys(SHARED, workers) | dict.fromkeys(SPENT, shards)
    given = {name: getattr(command, name, None) for name in parts}
    share = {name: value / parts[name] for name, value in given.items() if value is not None}
    whole = {name: max(1, int(share[name])) for name in WHOLE_NUMBERS if name in share}
    return replace(command, **share | whole)


def run_command(
    command: Any, source: str, outs: Sequence[str], shard: Path, made: list[Path], **more: Any
) -> int:
    """Run a command on a shard instead of its own files; return its exit status."""
    return (
        replace(command, **{source: shard, **dict(zip(outs, made, strict=True)), **more}).run() or 0
    )


def clean_shard(shard: Path, made: list[Path]) -> int:
    """Do to a shard what looks at one row alone."""
    clean_part(shard, made[0])
    return 0


def has(field: str, row: Mapping) -> bool:
    """Return whether a row has a field."""
    return field in row
