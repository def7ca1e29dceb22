"""Check any JSON Lines file of rows or records, line by line.

In: a path. Out: what it holds, and every fault with line and field.
Used by `python -m miniluotuo_utils validate`.
"""

from collections import Counter
from pathlib import Path

from miniluotuo_utils.data.readers import Fault
from miniluotuo_utils.data.readers.native import text_lines
from miniluotuo_utils.files import DataError, expect, parsed, reason
from miniluotuo_utils.records import check_record, check_row

CHECKS = {"IE records": check_record, "instruction rows": check_row}


def validated(path: Path) -> tuple[dict[str, int], list[Fault]]:
    """Return how many instruction rows and IE records a file holds, and its faults, in order.

    A line with a `sentence` is an IE record, any other an instruction row; the first line decides
    what the file holds.
    """
    counts: Counter[str] = Counter()
    faults, first = [], None
    for number, line in text_lines(path):
        try:
            if isinstance(line, DataError):
                raise line
            expect(line.strip(), "line", line, "a JSON object (delete the empty line)")
            value = parsed(line)
            expect(isinstance(value, dict), "line", value, "a JSON object")

            # A file of two shapes is two files: no reader could take it.
            kind = "IE records" if "sentence" in value else "instruction rows"
            first = first or kind
            expect(
                kind == first,
                "sentence",
                value.get("sentence"),
                f"one shape per file; its first line is one of the {first}",
            )
            CHECKS[kind](value)
            counts[kind] += 1
        # What json itself raises too: a fault of one line must not end the check of the others.
        except (ValueError, RecursionError) as error:
            faults.append(Fault(path.name, f"line {number}", reason(error), str(line)[:200]))
    return dict(counts), faults
