"""The teacher over files of any size: rows in, the same rows with answers out; seeds in, a grown set out.

In: JSON Lines. Out: JSON Lines, in the same order, written whole or not at all. Used by `respond` and `instruct` of the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from miniluotuo_utils.files import DataError, iter_jsonl, write_jsonl, written_whole
from miniluotuo_utils.prompts import joined
from miniluotuo_utils.teacher.client import Messages, Teacher, chat
from miniluotuo_utils.teacher.guided import RESPOND_SYSTEM, Grown, grow, of_language, why_unusable


def asked_rows(path: Path) -> Iterator[dict]:
    """Rows with an `instruction` (and an `input`), one at a time; DataError names the line of one without."""
    for number, row in enumerate(iter_jsonl(path), 1):
        if (
            not isinstance(row, dict)
            or not isinstance(row.get("instruction"), str)
            or not (row["instruction"] + str(row.get("input") or "")).strip()
        ):
            raise DataError(
                f"{path.name}, line {number}: found no instruction, expected a row with the text field instruction"
            )
        yield row


def question(row: Mapping, system: str) -> Messages:
    """What a row asks the teacher."""
    return chat(joined(row["instruction"], row.get("input") or ""), system)


def respond_file(
    teacher: Teacher,
    source: Path,
    target: Path,
    rejected: Path | None = None,
    language: str = "zh",
    progress: bool = True,
    **sampling: Any,
) -> dict[str, int]:
    """Fill the `output` of every row of `source` and write them to `target`, in order, in constant memory.

    Rows without a usable answer go to `rejected` with their `reason`; without that path nothing is written while one is missing.
    What was answered is in the store either way, so a second run asks only for what has no reply. Returns `answered` and `unanswered`.
    """
    if len({path.resolve() for path in (source, target, rejected) if path}) < 2 + (
        rejected is not None
    ):
        raise ValueError(
            f"{target.name}: found one file named twice, expected rows, answers and rejected rows in files of their own"
        )
    system = of_language(RESPOND_SYSTEM, language)
    for _ in asked_rows(source):  # a bad line at the end must not be found after an hour of paying
        pass
    teacher.fill((question(row, system) for row in asked_rows(source)), progress, **sampling)
    counts = {"answered": 0, "unanswered": 0, "without reply": 0}
    judge = partial(judged, teacher, system, sampling, counts)
    if rejected is not None:
        write_jsonl(rejected, (row for row, good in map(judge, asked_rows(source)) if not good))
        counts = dict.fromkeys(counts, 0)
        judge = partial(judged, teacher, system, sampling, counts)
    with written_whole(target) as whole:
        write_jsonl(whole, (row for row, good in map(judge, asked_rows(source)) if good))
        if counts["unanswered"] and rejected is None:
            raise DataError(
                f"{counts['unanswered']:,} of {counts['answered'] + counts['unanswered']:,} rows have no usable answer, so {target.name} was not "
                f"written; what was answered is stored. {counts['without reply']:,} have no reply yet: run again to ask for them. The others' replies "
                "are cut, empty or refusals: ask with other parameters, or give --rejected FILE to write these rows there"
            )
    return counts


def judged(
    teacher: Teacher, system: str, sampling: Mapping[str, Any], counts: dict[str, int], row: dict
) -> tuple[dict, bool]:
    """A row with its answer and True, or with the reason why there is none and False; counted."""
    reply = teacher.stored(question(row, system), **sampling)
    reason = (
        why_unusable(reply, joined(row["instruction"], row.get("input") or ""))
        if reply
        else "no answer after all retries"
    )
    counts["unanswered" if reason else "answered"] += 1
    counts["without reply"] += reply is None
    return (
        ({**row, "reason": reason}, False)
        if reason
        else ({**row, "output": reply.text.strip(), "source": row.get("source") or "teacher"}, True)
    )


def topic_lines(path: Path) -> list[str]:
    """Topics: one per line, or JSON Lines with a field `topic` or `word`."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines or not lines[0].startswith("{"):
        return lines
    rows = list(iter_jsonl(path))
    if unnamed := [
        n for n, row in enumerate(rows, 1) if not isinstance(row.get("topic", row.get("word")), str)
    ]:
        raise DataError(f"{path.name}, line {unnamed[0]}: found no field topic or word")
    return [row.get("topic", row.get("word")) for row in rows]


def grow_file(
    teacher: Teacher,
    seeds: Path,
    target: Path,
    count: int,
    topics: Path | None = None,
    **options: Any,
) -> Grown:
    """Grow a set from a file of seeds and write its rows to `target`."""
    grown = grow(
        teacher, list(asked_rows(seeds)), count, topic_lines(topics) if topics else None, **options
    )
    write_jsonl(target, grown.rows)
    return grown
