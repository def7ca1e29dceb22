"""Show where long work is: tqdm's bar on a terminal, a line for every tenth in a log.

In: items, or counts. Out: lines on stderr. Used by every long command.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from tqdm import tqdm

PAUSE = 1.0  # seconds before the first line of a log, and between two: short work needs none
EVERY = 30.0  # seconds between two lines of a log where nobody knows how much there is


class Progress(tqdm):
    """tqdm on stderr, as our commands show it.

    `kept` was done by an earlier run and takes no time; `shown=False` says nothing at all. Other
    options are tqdm's.
    """

    def __init__(
        self,
        items: Iterable | None = None,
        total: int | None = None,
        unit: str = "行 rows",
        kept: int = 0,
        *,
        shown: bool = True,
        **more: Any,
    ) -> None:
        file = more.pop("file", None) or sys.stderr
        if not file.isatty():
            # tqdm would add lines as fast as it redraws one; its monitor would ask for more.
            often = {"miniters": total / 10, "mininterval": PAUSE} if total else {"miniters": 1}
            more = (
                {"mininterval": EVERY, "maxinterval": float("inf"), "delay": PAUSE} | often | more
            )
        more = {"initial": kept, "unit": f" {unit}", "disable": not shown, "file": file} | more
        super().__init__(items, total=total, dynamic_ncols=True, **more)

    @staticmethod
    def status_printer(file: TextIO) -> Callable[[str], None]:
        """Return what shows a text: it takes the place of the last one, or is a line of a log."""
        if file.isatty():
            return tqdm.status_printer(file)
        last = ""

        def show(text: str) -> None:
            """Print a line, unless the last one had the same count: tqdm ends with one more."""
            nonlocal last
            before, last = last, text.partition("[")[0]
            if last.strip() and last != before:
                print(text.strip(), file=file, flush=True)

        return show

    def to(self, done: int) -> None:
        """Say that so many are done in all."""
        self.update(done - self.n)
