"""Write for a terminal: columns, wrapped text, and where long work is.

In: texts, counts. Out: lines no wider than the terminal, progress on stderr. Ground floor, used by
every long command.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator
from threading import Lock
from types import TracebackType
from typing import Any, Self, TextIO

PARTS = 10  # lines of progress where no terminal shows them
PAUSE = 1.0  # seconds between two of those lines at least: short work needs none
EVERY = 30.0  # seconds between two lines where nobody knows how much there is
REDRAWN = 0.1  # seconds between two looks of a terminal's line
# Chinese breaks anywhere but before a closing mark; other words stay whole.
OPENING = "(（《「『【"
CLOSING = "，。、；：！？）》」』】…”’"
PIECES = re.compile(
    rf"\s+|[{OPENING}]*[\u2e80-\u9fff\uff00-\uffef][{CLOSING}]*|[^\s\u2e80-\u9fff\uff00-\uffef]+"
)


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes; a Chinese character takes two.

    >>> columns("F1 值")
    5
    """
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def width(most: int = 100) -> int:
    """Return the columns of the terminal, at most `most`; 80 where there is none."""
    return min(most, shutil.get_terminal_size((80, 24)).columns)


def wrapped(text: str, size: int) -> list[str]:
    """Return a text as lines of at most `size` columns, if no word of it is longer.

    >>> wrapped("微调一个学生 fine-tune a student", 12)
    ['微调一个学生', 'fine-tune a', 'student']
    >>> wrapped("步数 steps (默认 default: 1)", 12)
    ['步数 steps', '(默认', 'default: 1)']
    """
    lines = [""]
    for piece in PIECES.findall(text):
        if columns(lines[-1] + piece.rstrip()) > size and lines[-1].strip():
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        lines[-1] += piece if lines[-1] or piece.strip() else ""
    lines[-1] = lines[-1].rstrip()
    return lines


def clipped(text: str, size: int) -> str:
    """Return the beginning of a text that fits into `size` columns.

    >>> clipped("步数 step", 6)
    '步数 s'
    """
    kept = ""
    for char in text:
        if columns(kept + char) > size:
            break
        kept += char
    return kept


def span(seconds: float) -> str:
    """Return a length of time for a reader.

    >>> span(8), span(200), span(7400)
    ('8 s', '3 min 20 s', '2 h 3 min')
    """
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Progress:
    """Say on stderr where long work is: how much is done, how fast, how long it still takes.

    On a terminal one line is rewritten. Elsewhere, as in a log, every tenth is a line, or every
    half minute where `total` is None. `kept` was done by an earlier run and takes no time. `pause`
    is how many seconds are between two lines at least; `size` is how many make one `unit` (bytes a
    MiB); `shown=False` says nothing at all.
    """

    def __init__(
        self,
        total: int | None,
        unit: str = "行 rows",
        kept: int = 0,
        *,
        size: int = 1,
        pause: float = PAUSE,
        shown: bool = True,
        file: TextIO | None = None,
    ) -> None:
        self.total, self.unit, self.shown = total, unit, shown
        self.size, self.pause, self.lock = size, pause, Lock()
        self.file = file or sys.stderr
        self.terminal = self.file.isatty()
        self.drawn = False
        self.begin(kept)

    def begin(self, kept: int = 0) -> None:
        """Start the clock; so many were done before."""
        self.begun = self.last = time.monotonic()
        self.kept, self.done, self.part = kept, kept, self.parts(kept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def at(self, done: int, *notes: str, left: float | None = None, rate: str = "") -> None:
        """Say that so many are done, where it is time to; `notes` stand between count and time.

        `left` (seconds) and `rate` take the place of what the counts alone would say.
        """
        now = time.monotonic()
        self.done = done
        if not (self.shown and self.due(now)):
            return
        text = self.line(now, notes, left, rate)
        self.last, self.drawn = now, True
        if self.terminal:
            text = "\r" + clipped(text, width(200) - 1) + "\x1b[K"
        print(text, end="" if self.terminal else "\n", file=self.file, flush=True)

    def update(self, count: int) -> None:
        """Say that so many more are done; several threads may."""
        with self.lock:
            self.at(self.done + count)

    def due(self, now: float) -> bool:
        """Return whether it is time for a line."""
        ended = self.done == self.total
        if self.terminal:
            return ended or now - self.last >= REDRAWN
        if self.total is None:
            return now - self.last >= EVERY
        before, self.part = self.part, self.parts(self.done)
        due = self.part > before and now - self.last >= self.pause
        # A part that came too soon is said with the next one.
        self.part = self.part if due else before
        return due

    def elapsed(self) -> float:
        """Return the seconds since the work began."""
        return time.monotonic() - self.begun

    def parts(self, done: int) -> int:
        """Return how many tenths are over."""
        return PARTS * done // self.total if self.total else 0

    def line(self, now: float, notes: Iterable[str], left: float | None, rate: str) -> str:
        """Return the line: count, notes, rate, time left."""
        new, seconds = self.done - self.kept, max(1e-9, now - self.begun)
        speed = new / seconds
        if left is None and self.total and new:
            left = (self.total - self.done) / speed
        of = f"/{self.total / self.size:,.0f}" if self.total else ""
        count = f"{self.done / self.size:,.0f}{of} {self.unit}"
        said = [count, *notes, rate or per_second(speed / self.size)]
        said += [f"还剩 left {span(left)}"] if left is not None else []
        return " · ".join(part for part in said if part)

    def over(self, items: Iterable[Any]) -> Iterator[Any]:
        """Pass items on and count them."""
        with self:
            for done, item in enumerate(items, self.kept + 1):
                yield item
                self.at(done)

    def close(self) -> None:
        """End a terminal's line, so that what comes next has one of its own."""
        if self.terminal and self.drawn:
            print(file=self.file, flush=True)
        self.drawn = False


def per_second(speed: float) -> str:
    """Return a rate for a reader.

    >>> per_second(1234.5), per_second(0.25)
    ('1,234/s', '15/min')
    """
    if speed < 1:
        return f"{speed * 60:,.0f}/min"
    return f"{speed:,.1f}/s" if speed < 10 else f"{speed:,.0f}/s"
