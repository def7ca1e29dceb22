"""Any JSON Lines file of rows or records, checked line by line.

In: a path. Out: what it holds, and every fault with line and field. Used by `python -m miniluotuo_utils validate`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from miniluotuo_utils.data.readers import Fault
from miniluotuo_utils.data.readers.native import parsed as parsed_json
from miniluotuo_utils.data.readers.native import text_lines
from miniluotuo_utils.files import DataError, expect
from miniluotuo_utils.records import check_record, check_row


def validated(path: Path) -> tuple[dict[str, int], list[Fault]]:
    """How many instruction rows and IE records a file holds, and its faults, in order.

    A line with a `sentence` is an IE record, any other an instruction row; the first line decides what the file holds.
    """
    counts: Counter[str] = Counter()
    faults, first = [], None
    for number, line in text_lines(path):
        try:
            if isinstance(line, DataError):
                raise line
            expect(line.strip(), "line", line, "a JSON object (delete the empty line)")
            value = parsed_json(line)
            expect(isinstance(value, dict), "line", value, "a JSON object")
            kind = "IE records" if "sentence" in value else "instruction rows"
            first = first or kind
            expect(
                kind == first,
                "sentence",
                value.get("sentence"),
                f"one shape per file; its first line is one of the {first}",
            )
            (check_record if kind == "IE records" else check_row)(value)
            counts[kind] += 1
        except DataError as error:
            faults.append(Fault(path.name, f"line {number}", str(error), str(line)[:200]))
    return dict(counts), faults
