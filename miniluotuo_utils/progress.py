"""Show where long work is: tqdm's bar on a terminal, a line for every tenth in a log.

In: items, or counts. Out: lines on stderr. Used by every long command.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

PAUSE = 1.0  # seconds before the first line of a log, and between two: short work needs none
EVERY = 30.0  # seconds between two lines of a log where nobody knows how much there is


def progress_bar(
    items: Iterable | None = None,
    total: int | None = None,
    unit: str = "行 rows",
    kept: int = 0,
    *,
    shown: bool = True,
    **more: Any,
) -> tqdm:
    """Return tqdm on stderr, as our commands show it.

    `kept` was done by an earlier run and takes no time; `shown=False` says nothing at all. Other
    options are tqdm's.
    """
    # Only here: files are scored where tqdm is not installed.
    from tqdm import tqdm

    file = more.pop("file", None) or sys.stderr
    if not file.isatty():
        # tqdm would add lines as fast as it redraws one; its monitor would ask for more.
        often = {"miniters": total / 10, "mininterval": PAUSE} if total else {"miniters": 1}
        more = {"mininterval": EVERY, "maxinterval": float("inf"), "delay": PAUSE} | often | more
        file = Lines(file)
    more = {"initial": kept, "unit": f" {unit}", "disable": not shown, "file": file} | more
    return tqdm(items, total=total, dynamic_ncols=True, **more)


class Lines:
    """A log to tqdm: what redraws a terminal's line becomes a line of its own."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.encoding, self.last = file, file.encoding, ""

    def write(self, text: str) -> None:
        """Print a line, unless the last one had the same count: tqdm ends with one more."""
        text = text.strip()
        before, last = self.last, text.partition("[")[0]
        if text and last != before:
            self.last = last
            print(text, file=self.file)

    def flush(self) -> None:
        """Flush the log."""
        self.file.flush()
