"""Ask a teacher over files of any size: answer their rows, or grow a set out of their seeds.

In: JSON Lines. Out: JSON Lines, in the same order; a file appears when it is complete. Used by
`respond` and `instruct` of the command line, shown in notebook 02.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from miniluotuo_utils.files import (
    DataError,
    expect,
    iter_jsonl,
    read_jsonl,
    write_jsonl,
    written_whole,
)
from miniluotuo_utils.teacher.client import Teacher, chat, question_of
from miniluotuo_utils.teacher.guided import RESPOND_SYSTEM, Grown, grow, of_language, verdict
from miniluotuo_utils.writing import Touched, claimed


def check_question(row: Mapping) -> dict:
    """Return a row that asks something by its `instruction` (and `input`), or raise `DataError`."""
    expect(isinstance(row, dict), "row", row, "a JSON object")
    asked = row.get("instruction")
    good = isinstance(asked, str) and (asked + str(row.get("input") or "")).strip()
    expect(good, "instruction", asked, "a text that is not empty")
    return row


def respond_file(
    teacher: Teacher,
    source: Path,
    target: Path,
    rejected: Path | None = None,
    language: str = "zh",
    progress: bool = True,
    replace: bool = False,
    **sampling: Any,
) -> dict[str, int]:
    """Fill the `output` of every row of `source` and write the rows to `target`, in order.

    Rows without a usable answer go to `rejected` with their `reason`; without that path nothing is
    written while one is missing. What was answered is in the store either way, so a second run asks
    only for what has no reply. Memory stays constant. Returns how many rows are `answered` and
    `unanswered`.

    `Taken` (a ValueError), before anything is asked, where two of the paths and the store are one
    file, and where another process writes one. Files of an earlier run of the same command are
    written again: `target` if it loses no line, `rejected` if all its rows are those of `source`.
    Else `Taken`, unless `replace`; what is no such file is never replaced.
    """
    with claimed(touched_by(teacher, source, target, rejected), replace):
        return responded(teacher, source, target, rejected, language, progress, replace, sampling)


def touched_by(
    teacher: Teacher, source: Path, target: Path, rejected: Path | None
) -> list[Touched]:
    """Return the paths that `respond_file` reads and writes."""
    touched = [
        Touched("rows", source, "reads"),
        Touched(
            "out",
            target,
            "again" if made_of(source, target, is_answer) else "file",
            lambda row: {"instruction", "output"} <= row.keys(),
        ),
    ]
    if rejected:
        role = "again" if made_of(source, rejected, is_reject) else "file"
        touched.append(Touched("rejected", rejected, role, lambda row: "reason" in row))
    if teacher.store.path:
        touched.append(Touched("store", teacher.store.path, "store"))
    return touched


def made_of(source: Path, made: Path, by: Callable[[Mapping, Mapping], bool]) -> bool:
    """Return whether a file that is there holds nothing but what was made of rows of `source`.

    Then the same command makes it again.
    """
    if not made.is_file():
        return False
    try:
        rows = iter_jsonl(source)
        for old in iter_jsonl(made):
            # Both are in order, so each search goes on behind the row that was found last.
            if not any(by(old, row) for row in rows):
                return False
    except (DataError, AttributeError, OSError):
        return False
    return True


def is_answer(old: Mapping, row: Mapping) -> bool:
    """Return whether `old` is `row` with an answer.

    >>> is_answer({"instruction": "问好", "output": "你好。"}, {"instruction": "问好"})
    True
    """
    asked = [name for name in row if name not in ("output", "source")]
    return bool(old.get("output")) and all(old.get(name) == row[name] for name in asked)


def is_reject(old: Mapping, row: Mapping) -> bool:
    """Return whether a rejected row is `row` as it was, with what `respond_file` adds.

    >>> is_reject({"instruction": "问好", "reason": "no answer"}, {"instruction": "问好"})
    True
    """
    added = old.keys() - row.keys()
    same = all(old.get(name) == value for name, value in row.items())
    return same and "reason" in old and added <= {"reason", "answer"}


def responded(
    teacher: Teacher,
    source: Path,
    target: Path,
    rejected: Path | None,
    language: str,
    progress: bool,
    replace: bool,
    sampling: dict[str, Any],
) -> dict[str, int]:
    """Ask for what the store lacks, then write the files from it; see `respond_file`."""
    # A bad line at the end must not be found after an hour of paying.
    for _ in iter_jsonl(source, check_question):
        pass

    # First everything goes into the store; then the files are written from there, row by row.
    system, counts = of_language(RESPOND_SYSTEM, language), Counter()
    prompts = (chat(question_of(row), system) for row in iter_jsonl(source, check_question))
    teacher.fill(prompts, progress, **sampling)
    if rejected is not None:
        verdicts = judged(teacher, source, system, sampling, Counter())
        write_jsonl(rejected, (row for row, good in verdicts if not good))
    with written_whole(target, keeps=not replace) as partial:
        verdicts = judged(teacher, source, system, sampling, counts)
        write_jsonl(partial, (row for row, good in verdicts if good))
        if counts["unanswered"] and rejected is None:
            raise DataError(
                f"{counts['unanswered']:,} of {counts['answered'] + counts['unanswered']:,} rows "
                f"have no usable answer, so {target.name} was not written; what was answered is "
                "stored. "
                f"{counts['without reply']:,} have no reply yet: run again to ask for them. The "
                "others' replies are cut, empty or refusals: ask with other parameters, or give "
                "--rejected FILE to write these rows there"
            )
    return counts


def judged(
    teacher: Teacher, source: Path, system: str, sampling: dict, counts: Counter
) -> Iterator[tuple[dict, bool]]:
    """Yield each row with its answer and True, or with the reason why it has none and False."""
    for row in iter_jsonl(source, check_question):
        reply = teacher.stored(chat(question_of(row), system), **sampling)
        added = verdict(row, reply)
        good = "reason" not in added
        counts["answered" if good else "unanswered"] += 1
        counts["without reply"] += reply is None
        yield {**row, **added}, good


def topics_of_file(path: Path) -> list[str]:
    """Read topics: one per line, or JSON Lines with a field `topic` or `word`."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines or not lines[0].startswith("{"):
        return lines
    topics = [row.get("topic", row.get("word")) for row in iter_jsonl(path)]
    for number, topic in enumerate(topics, 1):
        if not isinstance(topic, str):
            raise DataError(f"{path.name}, line {number}: found no field topic or word")
    return topics


def grow_file(
    teacher: Teacher,
    seeds: Path,
    target: Path,
    count: int,
    topics: Path | None = None,
    replace: bool = False,
    **options: Any,
) -> Grown:
    """Grow a set from a file of seeds and write its rows to `target`.

    Raises `Taken` as `respond_file` does: a set of an earlier run may grow, and loses no line.
    """
    touched = [
        Touched("seeds", seeds, "reads"),
        Touched("out", target, "again", lambda row: {"instruction", "source"} <= row.keys()),
    ]
    if topics:
        touched.append(Touched("topics", topics, "reads"))
    if teacher.store.path:
        touched.append(Touched("store", teacher.store.path, "store"))
    with claimed(touched, replace):
        known = read_jsonl(seeds, check_question)
        grown = grow(teacher, known, count, topics_of_file(topics) if topics else None, **options)
        write_jsonl(target, grown.rows, keeps=not replace)
    return grown
