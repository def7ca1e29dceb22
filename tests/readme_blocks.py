"""The Python blocks of a README, each with the output that stands below it."""

import re
from pathlib import Path
from typing import NamedTuple

PAIR = re.compile(r"```python\n(.*?)```\n+```text\n(.*?)```", re.DOTALL)


class Block(NamedTuple):
    """One block as printed: its code, and what it says that it prints."""

    code: str
    output: str


def blocks(path: Path) -> list[Block]:
    """Every Python block of a file. A block without its output is an error."""
    text = path.read_text(encoding="utf-8")
    found = [Block(*pair) for pair in PAIR.findall(text)]
    if len(found) != text.count("```python"):
        raise ValueError(f"{path.name}: a Python block has no output (```text) below it")
    return found
