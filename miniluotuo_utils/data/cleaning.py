"""Cleaning as a list of named steps that count what they remove, and mixing by name and number.

In: instruction rows. Out: fewer, cleaner rows and a report. Shown in notebook 01.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from miniluotuo_utils.dedup import folded

LEAST_ANSWER, MOST_ANSWER = 2, 2000  # characters


@dataclass
class Report:
    """What cleaning did: rows in, rows out, and per step how many rows it removed with up to three examples."""

    before: int = 0
    after: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[dict]] = field(default_factory=dict)


def normal(row: Mapping) -> dict:
    """The row with its texts in Unicode NFC and without outer white space.

    >>> normal({"instruction": " 问好 ", "input": "", "output": "你好。", "source": "自写"})["instruction"]
    '问好'
    """
    texts = {k: unicodedata.normalize("NFC", row[k]).strip() for k in ("instruction", "input", "output")}
    return {**row, **texts}


def broken(row: Mapping) -> bool:
    """U+FFFD stands where bytes were lost on the way."""
    return "\ufffd" in row["instruction"] + row["input"] + row["output"]


def unanswered(row: Mapping) -> bool:
    """No instruction, or an answer too short to learn from."""
    return not row["instruction"] or len(row["output"]) < LEAST_ANSWER


def overlong(row: Mapping) -> bool:
    """An answer that no student here could write."""
    return len(row["output"]) > MOST_ANSWER


STEPS: dict[str, Callable[[Mapping], bool]] = {"broken characters": broken, "no answer": unanswered, "too long": overlong}


def clean(rows: Iterable[Mapping]) -> tuple[list[dict], Report]:
    """Clean rows in their order: normal form, the steps of `STEPS`, then exact duplicates of instruction + input.

    The first of a set of duplicates stays. Cleaning twice changes nothing more.

    >>> row = {"instruction": "问好", "input": "", "output": "你好。", "source": "自写"}
    >>> kept, report = clean([row, {**row, "instruction": "问好！"}, {**row, "instruction": "再见", "output": ""}])
    >>> len(kept), report.removed
    (1, {'broken characters': 0, 'no answer': 1, 'too long': 0, 'duplicate': 1})
    """
    report = Report(removed=dict.fromkeys([*STEPS, "duplicate"], 0))
    seen: set[tuple[str, str]] = set()
    kept = []
    for row in map(normal, rows):
        report.before += 1
        key = (folded(row["instruction"]) or row["instruction"], folded(row["input"]) or row["input"])
        step = next((name for name, bad in STEPS.items() if bad(row)), "duplicate" if key in seen else None)
        if step is None:
            seen.add(key)
            kept.append(row)
        else:
            report.removed[step] += 1
            report.examples.setdefault(step, []).extend([row][: 3 - len(report.examples.get(step, []))])
    report.after = len(kept)
    return kept, report


def mix(sources: Mapping[str, Iterable[Mapping]], counts: Mapping[str, int] | None = None, seed: int = 42) -> list[dict]:
    """Rows of several sources in one shuffled list; `counts` limits a source to a random sample of that many.

    The draw of one source does not depend on the others. Raises ValueError for a count of an unknown source.

    >>> [r["n"] for r in mix({"a": [{"n": 1}, {"n": 2}, {"n": 3}]}, {"a": 2}, seed=1)]
    [3, 1]
    """
    counts = counts or {}
    if unknown := set(counts) - set(sources):
        raise ValueError(f"counts name {sorted(unknown)}, which are not among the sources {sorted(sources)}")
    mixed: list[dict] = []
    for name in sorted(sources):
        rows = list(sources[name])
        chosen = random.Random(f"{seed}-{name}").sample(range(len(rows)), min(counts.get(name, len(rows)), len(rows)))
        mixed.extend(dict(rows[i]) for i in sorted(chosen))
    random.Random(seed).shuffle(mixed)
    return mixed
