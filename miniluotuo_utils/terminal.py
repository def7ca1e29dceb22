"""Write for a terminal: how wide a text is, and where its lines break.

In: texts. Out: lines no wider than the terminal. Ground floor, used by `--help` and the scorers.
"""

from __future__ import annotations

import re
import shutil
import unicodedata
from typing import Any

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


def never_fails(*streams: Any) -> None:
    """Let streams write `?` for a character that they have not; else one of them ends the command.

    A Windows console shows all characters, but what is piped has the system's own letters.
    """
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


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
