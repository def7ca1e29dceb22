"""Take the rows of a training as people hold them, or say what they are and what was expected.

In: a list, a DataFrame, a `datasets.Dataset` or a reading. Out: rows that can be encoded, or token
rows as they are. Used by `finetune`, which notebook 04 shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import DataError

if TYPE_CHECKING:
    from datasets import Dataset

NEEDED, TOKENS = ("instruction", "output"), ("input_ids", "labels")
WAY = "`read_any(FILE)` of miniluotuo_utils.data reads files of other shapes as such rows"


def given_rows(rows: Any) -> Sequence[Mapping] | Dataset:
    """Return instruction rows, or token rows, as a list; a `Dataset` stays one, on its disk.

    A missing `input` is "". Raises DataError, before anything is encoded, for what is no rows, for
    none at all, and for a row without the fields.

    >>> given_rows({"instruction": "数", "output": "一"} for _ in range(1))
    [{'input': '', 'instruction': '数', 'output': '一'}]
    """
    if isinstance(rows, str | Path):
        raise DataError(f"rows: found a path, expected rows: give `list(read_any({str(rows)!r}))`")
    if not isinstance(rows, Iterable):
        raise DataError(f"rows: found {type(rows).__name__}, expected a list of rows")
    if isinstance(rows, Mapping):
        whole = set(NEEDED) <= set(rows)
        way = "give [row]" if whole else f"give one of its parts, rows[{next(iter(rows), '…')!r}]"
        kind = f"one {type(rows).__name__} with {', '.join(map(str, rows)) or 'nothing'}"
        raise DataError(f"rows: found {kind}, expected a list of rows: {way}")
    if hasattr(rows, "column_names"):
        check_columns(rows.column_names, len(rows))
        absent = "input_ids" not in rows.column_names and "input" not in rows.column_names
        return rows.add_column("input", [""] * len(rows)) if absent else rows
    return listed(rows)


def listed(rows: Iterable) -> list[Mapping]:
    """Return rows as a list, each proven to have its fields."""
    rows = one_by_one(rows)
    first = rows[0] if rows else {}
    if not isinstance(first, Mapping):
        kind = type(first).__name__
        raise DataError(
            f"rows: found {kind} in place 0, expected a row with {fields_of(NEEDED)}; {WAY}"
        )
    check_columns(first if rows else NEEDED, len(rows))
    if "input_ids" in first:
        return rows
    filled = [{"input": ""} | dict(row) for row in rows]
    for number, row in enumerate(filled):
        check_texts(row, number)
    return filled


def one_by_one(rows: Iterable) -> list:
    """Return rows as a list; a DataFrame iterates over its columns, and writes nothing as NaN."""
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        rows = rows.astype(object).where(rows.notna(), "").to_dict("records")
    return list(rows)


def check_texts(row: Mapping, number: int) -> None:
    """Raise DataError, with the row's number, for a field that is no text."""
    for name in (*NEEDED, "input"):
        text = row.get(name)
        if not isinstance(text, str):
            found = "nothing" if text is None else f"{type(text).__name__} {text!r:.40}"
            raise DataError(f"row {number}, field {name}: found {found}, expected a string")


def check_columns(names: Iterable[str], count: int) -> None:
    """Raise DataError for no row at all, and for columns that no row of ours has."""
    names = list(names)
    if not count:
        raise DataError("rows: found none, expected at least one row to learn from")
    needed = TOKENS if "input_ids" in names else NEEDED
    if missing := [name for name in needed if name not in names]:
        found = ", ".join(map(str, names))
        raise DataError(
            f"rows: found the columns {found}, {' and '.join(missing)} missing; "
            f"expected {fields_of(NEEDED)}, or {fields_of(TOKENS)} of `encode`. Rename them; {WAY}"
        )


def refuse_silver(rows: Iterable[Mapping] | Dataset, share: float) -> None:
    """Raise DataError for rows that a model labelled, where a share is kept out to judge by."""
    columns = getattr(rows, "column_names", None)
    if not share or (columns is not None and "annotation" not in columns):
        return
    marks = (row.get("annotation") for row in rows) if columns is None else rows["annotation"]
    number = next((n for n, mark in enumerate(marks) if mark == "silver"), None)
    if number is not None:
        raise DataError(
            f"row {number}, field annotation: found 'silver', and evaluation is {share:g}; "
            "expected gold rows, for a loss on a model's labels says how well that is copied. "
            "Leave evaluation out, and score the student on gold records of your own"
            "（银标不能当考题：不要 evaluation，另留一份标准答案来评）"
        )


def fields_of(names: Sequence[str]) -> str:
    """Return names as a message lists them.

    >>> fields_of(("instruction", "output"))
    'instruction and output'
    """
    return " and ".join(names)
