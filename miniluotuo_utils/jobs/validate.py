"""Check a file of rows or records in any format, unit by unit.

In: a path. Out: what it holds, and every fault with its place and field.
Used by `python -m miniluotuo_utils validate`.
"""

from collections.abc import Callable
from pathlib import Path

from miniluotuo_utils.data.anyfile import read_any
from miniluotuo_utils.data.readers import Fault
from miniluotuo_utils.jobs.quality import Quality
from miniluotuo_utils.show.doubts import in_words

KINDS = {"rows": "instruction rows", "records": "IE records"}


def validated(
    path: Path, format: str | None = None, say: Callable[[str], object] | None = None
) -> tuple[dict[str, int], list[Fault]]:
    """Return how many instruction rows or IE records a file holds, and its faults, in order.

    `say` is told what the file was taken for, and what rows and records cannot hold of it. Raises
    what `read_any` raises for a file in no format that we know.
    """
    faults: list[Fault] = []
    reading = read_any(path, format, faults=faults, say=say)
    count = sum(1 for _ in reading)
    for line in reading.noted if say else []:
        say(line)
    return ({KINDS[reading.kind]: count} if count else {}), faults


def doubtful(
    path: Path, student: str, format: str | None, most: int, say: Callable[[str], object]
) -> None:
    """Say what a student doubts of the well-formed rows or labels of a file, the worst first.

    A doubt is no fault: somebody has to look. At most `most` of them are named.
    """
    judge = Quality(student, say)
    rows = list(read_any(path, format, faults=[]))
    found = [(row, one[1]) for row, one in zip(rows, judge(rows), strict=True) if one]
    found.sort(key=lambda one: -one[1]["doubt"])
    say(f"可疑的 doubtful: {len(found):,} / {len(rows):,}")
    for row, why in found[:most]:
        say(in_words(row, why))
