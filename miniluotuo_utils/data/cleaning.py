"""Cleaning: named steps that count what they mend and remove, then duplicates, near duplicates and leaked test sentences.

In: instruction rows or IE records. Out: fewer, cleaner ones and a report. Shown in notebook 01.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from miniluotuo_utils.data.decontamination import Leaks
from miniluotuo_utils.data.steps import RECORD_STEPS, ROW_STEPS, TEXTS, Step
from miniluotuo_utils.files import DataError, batches, expect
from miniluotuo_utils.records import TASKS
from miniluotuo_utils.text import NearDuplicates, folded

NEAR = 0.8  # Jaccard similarity of character 3-grams from which a row counts as a near duplicate
EXAMPLES = 3
CHUNK = 2_000


@dataclass
class Report:
    """What cleaning did: rows in and out, and per step, in order, how many it mended or removed, with up to three examples.

    An example is `{"row", "became"}` for a mended row, `{"row"}` for a removed one, and `{"row", "because"}` for one that
    repeats another, or leaks a test sentence.
    """

    before: int = 0
    after: int = 0
    mended: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[dict]] = field(default_factory=dict)

    def note(self, step: str, kind: str, **example: object) -> None:
        """Count one row of a step and keep it if it is among the first."""
        counts = self.mended if kind == "fix" else self.removed
        counts[step] = counts.get(step, 0) + 1
        if len(shown := self.examples.setdefault(step, [])) < EXAMPLES:
            shown.append(example)


def clean(
    rows: Iterable[Mapping],
    steps: Sequence[Step] | None = None,
    near: float | None = NEAR,
    against: Leaks | None = None,
    schema: Collection[str] | None = None,
    processes: int = 1,
) -> tuple[list[dict], Report]:
    """Clean rows or records in their order: the steps, exact duplicates, near duplicates, leaked test sentences.

    `steps` are `ROW_STEPS` or `RECORD_STEPS` by the shape of the first row; all fixes come before all drops, so cleaning
    twice changes nothing more. `near` is the similarity from which a row repeats an earlier one (rows only; None keeps them).
    `against` holds the evaluation sentences that no row may contain. `schema` names the types that a record may use.
    The first of several duplicates stays. The result does not depend on `processes`.

    >>> row = {"instruction": "问好", "input": "", "output": "你好。", "source": "自写"}
    >>> kept, report = clean([row, {**row, "instruction": "问好！"}, {**row, "instruction": "再见", "output": ""}])
    >>> len(kept), {step: n for step, n in report.removed.items() if n}
    (1, {'no answer': 1, 'duplicate': 1})
    """
    rows = checked(rows)
    records = bool(rows) and "sentence" in rows[0]
    steps = steps if steps is not None else RECORD_STEPS if records else ROW_STEPS
    report = Report(
        before=len(rows),
        mended={s.name: 0 for s in steps if s.kind == "fix"},
        removed={s.name: 0 for s in steps if s.kind == "drop"},
    )
    kept = stepped(rows, sorted(steps, key=lambda s: s.kind == "drop"), report, processes)
    if records:
        kept = drop_repeated_records(drop_off_schema(kept, schema, report), report)
    else:
        kept = drop_near(drop_repeated_rows(kept, report), near, report)
    kept = drop_leaked(kept, against, report)
    report.after = len(kept)
    return kept, report


def checked(rows: Iterable[Mapping]) -> list[Mapping]:
    """The rows as a list; DataError for one that has not the fields of the first one's shape, before anything is cleaned."""
    if isinstance(rows, Mapping):
        raise DataError(
            f"rows: found {type(rows).__name__} with {', '.join(map(str, rows))}, expected the rows of one split"
        )
    rows = list(rows)
    fields = ("sentence",) if rows and "sentence" in rows[0] else TEXTS
    for number, row in enumerate(rows):
        for name in fields:
            expect(
                isinstance(row.get(name), str),
                f"{name} of row {number}",
                row.get(name),
                'a string ("" where there is none)',
            )
    return rows


def stepped(
    rows: list[Mapping], steps: Sequence[Step], report: Report, processes: int
) -> list[dict]:
    """Every row through every step, in as many processes; what happened to each is noted in the order of the rows."""
    chunks = list(batches(rows, CHUNK))
    if processes > 1 and len(chunks) > 1:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            results = list(pool.map(partial(through, steps), chunks))
    else:
        results = [through(steps, chunk) for chunk in chunks]
    kept = []
    for row, (result, events) in zip(
        rows, (one for chunk in results for one in chunk), strict=True
    ):
        for name, kind, became in events:
            report.note(name, kind, row=dict(row), **({"became": became} if kind == "fix" else {}))
        if result is not None:
            kept.append(result)
    return kept


def through(
    steps: Sequence[Step], rows: Sequence[Mapping]
) -> list[tuple[dict | None, list[tuple]]]:
    """Each row as the steps leave it, None where one drops it, with the steps that did something to it."""
    out = []
    for row in rows:
        row, events = dict(row), []
        for step in steps:
            if step.kind == "fix":
                became = step.function(row)
                if became != row:
                    events.append((step.name, "fix", became))
                    row = became
            elif step.function(row):
                events.append((step.name, "drop", None))
                row = None
                break
        out.append((row, events))
    return out


def drop_repeated_rows(rows: list[dict], report: Report) -> list[dict]:
    """Rows that ask what an earlier row asks, but for punctuation, width, case and white space: with the same answer (`duplicate`), or with
    another (`same question`), of which the first stays.
    """
    report.removed |= {"duplicate": 0, "same question": 0}
    first: dict[tuple, dict] = {}
    kept = []
    for row in rows:
        key = (
            *(folded(row[f]) or row[f] for f in TEXTS[:2]),
            json.dumps(row.get("history") or [], ensure_ascii=False),
        )
        if key in first:
            same = folded(first[key]["output"]) == folded(row["output"])
            report.note(
                "duplicate" if same else "same question", "drop", row=row, because=first[key]
            )
        else:
            first[key] = row
            kept.append(row)
    return kept


def drop_near(rows: list[dict], threshold: float | None, report: Report) -> list[dict]:
    """Rows whose texts nearly repeat those of an earlier row that stays."""
    if threshold is None:
        return rows
    report.removed["near duplicate"] = 0
    kept = []
    matches = NearDuplicates(threshold).add(["\n".join(row[f] for f in TEXTS) for row in rows])
    for row, match in zip(rows, matches, strict=True):
        if match is None:
            kept.append(row)
        else:
            report.note(
                "near duplicate",
                "drop",
                row=row,
                because=rows[match.number],
                similarity=match.similarity,
            )
    return kept


def drop_leaked(rows: list[dict], against: Leaks | None, report: Report) -> list[dict]:
    """Rows that hold a sentence of an evaluation set, or nearly repeat one."""
    if against is None:
        return rows
    report.removed["leaked"] = 0
    kept = []
    for row, leak in zip(rows, against.found_in(map(row_parts, rows)), strict=True):
        if leak is None:
            kept.append(row)
        else:
            report.note("leaked", "drop", row=row, because=leak)
    return kept


def row_parts(row: Mapping) -> list[str]:
    """All that a row or record says, text by text."""
    return (
        [row["sentence"]]
        if "sentence" in row
        else [
            *(t for turn in row.get("history") or [] for t in turn),
            *(row[f] for f in TEXTS if row[f]),
        ]
    )


def row_text(row: Mapping) -> str:
    """All that a row or record says, as one text."""
    return "\n".join(row_parts(row))


def drop_off_schema(
    records: list[dict], schema: Collection[str] | None, report: Report
) -> list[dict]:
    """Records with a type that the schema does not know. The whole record goes: without the item it would no longer be exhaustive."""
    if schema is None:
        return records
    report.removed["off schema"] = 0
    kept = []
    for record in records:
        strange = sorted(
            {item["type"] for f in TASKS.values() for item in record.get(f) or []} - set(schema)
        )
        if strange:
            report.note("off schema", "drop", row=record, because=strange)
        else:
            kept.append(record)
    return kept


def drop_repeated_records(records: list[dict], report: Report) -> list[dict]:
    """Records that say the same of the same sentence once more, and all records of a sentence on which they contradict each other.

    Records that label one given pair (`one-pair`) may say different things of one sentence.
    """
    report.removed |= {"duplicate": 0, "contradiction": 0}
    said: dict[
        tuple, dict[str, dict]
    ] = {}  # (sentence, task) -> what is said of it -> the first record that says so
    for record in records:
        said.setdefault(subject(record), {}).setdefault(meaning(record), record)
    kept = []
    for record in records:
        versions = said[subject(record)]
        first = versions[meaning(record)]
        whole = [r for r in versions.values() if r.get("annotation", "exhaustive") == "exhaustive"]
        if first is not record:
            report.note("duplicate", "drop", row=record, because=first)
        elif len(whole) > 1 and record in whole:
            report.note(
                "contradiction",
                "drop",
                row=record,
                because=next(r for r in whole if r is not record),
            )
        else:
            kept.append(record)
    return kept


def subject(record: Mapping) -> tuple[str, str]:
    """What a record speaks of: its sentence and its task."""
    return record["sentence"], next((f for f in TASKS.values() if record.get(f) is not None), "")


def meaning(record: Mapping) -> str:
    """What a record says, whatever the order of its items."""
    items = [
        json.dumps(item, ensure_ascii=False, sort_keys=True)
        for f in TASKS.values()
        for item in record.get(f) or []
    ]
    return json.dumps([record.get("annotation", "exhaustive"), sorted(items)], ensure_ascii=False)
