"""The teacher over files of any size: rows in, the same rows with answers out; seeds in, a grown set out.

In: JSON Lines. Out: JSON Lines, in the same order, written whole or not at all. Used by `respond` and `instruct` of the command line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from miniluotuo_utils.prompts import joined
from miniluotuo_utils.records import DataError, iter_jsonl, write_jsonl
from miniluotuo_utils.runtime import written_whole
from miniluotuo_utils.teacher.client import Messages, Teacher, chat
from miniluotuo_utils.teacher.guided import RESPOND_SYSTEM, Grown, grow, of_language, why_unusable


def asked_rows(path: Path) -> Iterator[dict]:
    """Rows with an `instruction` (and an `input`), one at a time; DataError names the line of one without."""
    for number, row in enumerate(iter_jsonl(path), 1):
        if not isinstance(row, dict) or not isinstance(row.get("instruction"), str) or not (row["instruction"] + str(row.get("input") or "")).strip():
            raise DataError(f"{path.name}, line {number}: found no instruction, expected a row with the text field instruction")
        yield row


def question(row: Mapping, system: str) -> Messages:
    """What a row asks the teacher."""
    return chat(joined(row["instruction"], row.get("input") or ""), system)


def respond_file(teacher: Teacher, source: Path, target: Path, rejected: Path | None = None, language: str = "zh", **sampling: Any) -> dict[str, int]:
    """Fill the `output` of every row of `source` and write them to `target`, in order, in constant memory.

    Rows without a usable answer go to `rejected` with their `reason`; without that path nothing is written while one is missing.
    What was answered is in the store either way, so a second run asks only for the rest. Returns `answered` and `unanswered`.
    """
    system = of_language(RESPOND_SYSTEM, language)
    for _ in asked_rows(source):  # a bad line at the end must not be found after an hour of paying
        pass
    teacher.fill((question(row, system) for row in asked_rows(source)), **sampling)
    counts = {"answered": 0, "unanswered": 0}
    with written_whole(target) as partial, written_whole(target.with_name(target.name + ".rejected")) as without:
        with open(partial, "w", encoding="utf-8") as good, open(without, "w", encoding="utf-8") as bad:
            for row in asked_rows(source):
                reply = teacher.stored(question(row, system), **sampling)
                reason = why_unusable(reply, joined(row["instruction"], row.get("input") or "")) if reply else "no answer after all retries"
                counts["unanswered" if reason else "answered"] += 1
                value = {**row, "reason": reason} if reason else {**row, "output": reply.text.strip(), "source": row.get("source") or "teacher"}
                print(json.dumps(value, ensure_ascii=False), file=bad if reason else good)
        if counts["unanswered"] and rejected is None:
            raise DataError(f"{counts['unanswered']:,} of {sum(counts.values()):,} rows have no usable answer, so {target.name} was not written; what was "
                            "answered is stored. Run again to ask for the rest, or give --rejected FILE to write the others there")  # fmt: skip
    without = target.with_name(target.name + ".rejected")
    if rejected is not None:
        without.replace(rejected)
    else:
        without.unlink()
    return counts


def topic_lines(path: Path) -> list[str]:
    """Topics: one per line, or JSON Lines with a field `topic` or `word`."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines or not lines[0].startswith("{"):
        return lines
    rows = list(iter_jsonl(path))
    if unnamed := [n for n, row in enumerate(rows, 1) if not isinstance(row.get("topic", row.get("word")), str)]:
        raise DataError(f"{path.name}, line {unnamed[0]}: found no field topic or word")
    return [row.get("topic", row.get("word")) for row in rows]


def grow_file(teacher: Teacher, seeds: Path, target: Path, count: int, topics: Path | None = None, **options: Any) -> Grown:
    """Grow a set from a file of seeds and write its rows to `target`."""
    grown = grow(teacher, list(asked_rows(seeds)), count, topic_lines(topics) if topics else None, **options)
    write_jsonl(target, grown.rows)
    return grown
