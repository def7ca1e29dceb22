"""Score answers that a program can judge: each question says what its answer must be.

In: questions with `checks`, and answers. Out: of each answer whether it keeps all of them. Shown in
jobs/README.md, with `ablate`.

Instructions whose keeping can be checked are IFEval's idea (Zhou et al. 2023); the questions and
the kinds of checks here are our own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from miniluotuo_utils.choices import check_choice
from miniluotuo_utils.files import expect, read_jsonl
from miniluotuo_utils.runtime import EMBEDDED

FOLDER = EMBEDDED / "questions"
# The sets of questions, and what they ask.
SETS = {
    "reasoning": "推理 reasoning",
    "instructions": "中文指令 Chinese instructions",
    "complex": "复杂指令 complex instructions",
}
HAN = re.compile("[\u4e00-\u9fff]")
NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")
ITEM = re.compile(r"^\s*(?:\d{1,2}|[一二三四五六七八九十])[.、．)）]", re.MULTILINE)
SENTENCE = re.compile(r"[。！？!?]+")


def lines(answer: str) -> list[str]:
    """Return the lines of an answer that hold something, without white space around them."""
    return [line.strip() for line in answer.splitlines() if line.strip()]


def numbers(answer: str) -> list[float]:
    """Return the numbers in an answer, in order.

    >>> numbers("3×4=12 元，一共 1,200.5 元")
    [3.0, 4.0, 12.0, 1200.5]
    """
    return [float(found.replace(",", "")) for found in NUMBER.findall(answer)]


def says(answer: str, any: Sequence[str] = (), all: Sequence[str] = ()) -> bool:
    """Tell whether one of `any` stands in an answer, and each of `all`."""
    some = not any or [word for word in any if word in answer]
    return bool(some) and not [word for word in all if word not in answer]


def counted(count: Callable[[str], int], answer: str, least: int, most: int) -> bool:
    """Tell whether an answer holds at least and at most so many."""
    return least <= count(answer) <= most


def has_keys(answer: str, keys: Sequence[str]) -> bool:
    """Tell whether an answer is one JSON object with these keys and no others.

    >>> has_keys('{"城市": "广州"}', ["城市"]), has_keys("城市：广州", ["城市"])
    (True, False)
    """
    try:
        found = json.loads(answer)
    except ValueError:
        return False
    return isinstance(found, dict) and set(found) == set(keys)


def line_starts(answer: str, any: Sequence[str]) -> bool:
    """Tell whether the lines begin with these words, one each, in order."""
    found = lines(answer)
    pairs = zip(found, any, strict=False)
    return len(found) == len(any) and not [1 for line, word in pairs if not line.startswith(word)]


# The kind of a check -> whether an answer, stripped, keeps it; what else the check holds is given.
KINDS: dict[str, Callable[..., bool]] = {
    "number": lambda answer, value: numbers(answer)[-1:] == [value],
    "equals": lambda answer, any: answer in any,
    "says": says,
    "without": lambda answer, words: not [word for word in words if word in answer],
    "starts": lambda answer, any: answer.startswith(tuple(any)),
    "ends": lambda answer, any: answer.endswith(tuple(any)),
    "last_line": lambda answer, any: bool(answer) and lines(answer)[-1] in any,
    "line_starts": line_starts,
    "line_length": lambda answer, most: max(map(len, lines(answer)), default=0) <= most,
    "lines": partial(counted, lambda answer: len(lines(answer))),
    "items": partial(counted, lambda answer: len(ITEM.findall(answer))),
    "sentences": partial(counted, lambda answer: len(SENTENCE.findall(answer))),
    "characters": partial(counted, lambda answer: len(HAN.findall(answer))),
    "parts": lambda answer, mark, least, most: least <= len(answer.split(mark)) <= most,
    "json": has_keys,
    "no_han": lambda answer: bool(answer) and not HAN.search(answer),
}


def questions(name: str | Path) -> list[dict]:
    """Return a set of questions, by its name in `SETS` or the path of one like ours.

    Each is an instruction row whose `output` is one right answer, with `id` and `checks`. Raises
    ValueError for another name, DataError for a check that nobody knows.

    >>> questions("reasoning")[0]["checks"]
    [{'kind': 'number', 'value': 32}]
    """
    path = Path(name)
    if path.suffix != ".jsonl":
        check_choice("questions", name, SETS)
        path = FOLDER / f"{name}.jsonl"
    return read_jsonl(path, known)


def known(row: Mapping) -> dict:
    """Return a question whose checks are of kinds that we know; DataError for another."""
    for check in row["checks"]:
        kind = check.get("kind")
        expect(kind in KINDS, "kind of a check", kind, "one of " + ", ".join(KINDS))
    return dict(row)


def keeps(answer: str, checks: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether an answer keeps every check.

    >>> keeps("西湖\\n太湖", [{"kind": "lines", "least": 2, "most": 2}])
    True
    >>> keeps("一共要 3×4=12 元", [{"kind": "number", "value": 12}])
    True
    >>> keeps("是的", [{"kind": "equals", "any": ["是"]}])
    False
    """
    for check in checks:
        more = {name: value for name, value in check.items() if name != "kind"}
        if not KINDS[check["kind"]](answer.strip(), **more):
            return False
    return True
