"""Keep what a student has learned from, training after training, so that its card can say it.

In: the rows of a training. Out: `learned.json` in the folder that `save` writes, which
`load_student` reads back. Shown in notebook 07.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import DataError, json_file

if TYPE_CHECKING:
    from datasets import Dataset

NOTE = "learned.json"


def sources_of(rows: Sequence[Mapping] | Dataset) -> dict[str, int]:
    """Return how many rows name which `source`; token rows name none, which is "".

    >>> sources_of([{"source": "coig/exam"}, {"source": None}, {"source": "coig/exam"}])
    {'coig/exam': 2, '': 1}
    """
    if hasattr(rows, "column_names"):
        told = rows["source"] if "source" in rows.column_names else [""] * len(rows)
    else:
        told = (row.get("source") for row in rows)
    return dict(Counter(source or "" for source in told))


def note_lesson(training: Any, sources: Mapping[str, int], beside: Any) -> None:
    """Note on the student what a `Training` did, on rows of which `sources`.

    `beside` is what was learned beside the labels (`objectives`), None for them alone.
    """
    student = training.student
    lesson = {
        "base": student.name,
        "revision": student.revision,
        "method": training.method,
        "steps": training.steps,
        "tokens": training.tokens,
        "seconds": round(training.seconds, 1),
        "sources": dict(sources),
        **({"distillation": beside.settings} if beside else {}),
    }
    student.lessons = [*student.lessons, lesson]


def write_lessons(folder: Path, lessons: Sequence[Mapping]) -> None:
    """Write what a student has learned into its folder; nothing for one that was never trained."""
    if lessons:
        text = json.dumps(list(lessons), ensure_ascii=False, indent=1)
        (folder / NOTE).write_text(text, encoding="utf-8")


def lessons_in(folder: Path) -> list[dict]:
    """Return what a folder says that its student has learned; [] where it says nothing.

    Raises DataError, which names the field, where it says so otherwise than `note_lesson`.
    """
    path = folder / NOTE
    lessons = json_file(path, list) if path.is_file() else []
    check_lessons(lessons, f"{folder.name}/{NOTE}")
    return lessons


def check_lessons(lessons: Sequence, name: str) -> None:
    """Raise DataError for a record that a card could not be written from: a licence could hide."""
    kinds = {"base": str, "sources": dict, "method": str, "steps": int, "tokens": int}
    kinds |= {"seconds": float | int}
    for number, lesson in enumerate(lessons, 1):
        for field, kind in kinds.items():
            found = lesson.get(field) if isinstance(lesson, dict) else None
            if not isinstance(found, kind):
                raise DataError(
                    f"{name} 第 {number} 次训练的记录缺了 {field}：从原来的文件夹拷一份完整的。 "
                    f"{name}, training {number}, field {field}: found {found!r}, expected what "
                    "`save` writes: copy the file from the folder that it came from"
                )
        for teacher in lesson.get("teachers", ()):
            check_lessons(teacher["lessons"], name)
