"""Clean rows or records: named steps for each, then duplicates and leaked test sentences.

In: instruction rows or IE records. Out: fewer, cleaner ones and a report. The steps for one row
alone are in `steps`. Shown in notebook 01.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from miniluotuo_utils.data.decontamination import Leaks
from miniluotuo_utils.data.steps import RECORD_STEPS, ROW_STEPS, TEXTS, Step, row_texts
from miniluotuo_utils.files import DataError, expect
from miniluotuo_utils.records import TASKS
from miniluotuo_utils.text import folded, jaccard, plain_words, shingles

NEAR = 0.8  # Jaccard similarity of character 3-grams from which a row counts as a near duplicate
EXAMPLES = 3  # kept of each step

# Why a row goes: the step's name and what an example shows beside the row. None: it stays.
Verdict = tuple[str, dict] | None


@dataclass
class Report:
    """What cleaning did: rows in and out, and per step, in order, how many it mended or removed.

    `examples` holds up to three of each step: `{"row", "became"}` of a mended row, `{"row"}` of a
    removed one, and `{"row", "because"}` of one that repeats another or leaks a test sentence. A
    doubtful one has what `quality` says beside its row.
    """

    before: int = 0
    after: int = 0
    mended: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[dict]] = field(default_factory=dict)

    def note(self, counts: dict[str, int], step: str, **example: object) -> None:
        """Count one row of a step in `mended` or `removed`, and keep it if among the first."""
        counts[step] = counts.get(step, 0) + 1
        if len(shown := self.examples.setdefault(step, [])) < EXAMPLES:
            shown.append(example)


def clean(
    rows: Iterable[Mapping],
    steps: Sequence[Step] | None = None,
    near: float | None = NEAR,
    against: Leaks | None = None,
    quality: Callable[[list[dict]], Iterable[Verdict]] | None = None,
) -> tuple[list[dict], Report]:
    """Clean rows or records in their order: steps, exact and near duplicates, test sentences.

    `steps` are `ROW_STEPS` or `RECORD_STEPS` by the shape of the first row. All fixes come before
    all drops, so cleaning twice changes nothing more. `near` is the similarity from which a row
    repeats an earlier one (rows only; None keeps them). `against` holds the evaluation sentences
    that no row may contain. `quality` judges what is left of all that: None for each row that may
    stay, such as `jobs.quality.Quality`, which asks a student. The first of several duplicates
    stays.

    >>> row = {"instruction": "问好", "input": "", "output": "你好。", "source": "自写"}
    >>> rows = [row, row | {"instruction": "问好！"}, row | {"instruction": "再见", "output": ""}]
    >>> kept, report = clean(rows)
    >>> len(kept), {step: n for step, n in report.removed.items() if n}
    (1, {'no answer': 1, 'duplicate': 1})
    """
    rows = checked(rows)
    records = bool(rows) and "sentence" in rows[0]
    if steps is None:
        steps = RECORD_STEPS if records else ROW_STEPS
    report = Report(
        before=len(rows),
        mended={step.name: 0 for step in steps if step.kind == "fix"},
        removed={step.name: 0 for step in steps if step.kind == "drop"},
    )
    kept = stepped(rows, sorted(steps, key=lambda step: step.kind == "drop"), report)

    # A row that goes for its own faults must not stand as the first of its duplicates.
    if records:
        kept = sifted(kept, repeated_records(kept), report, "duplicate", "contradiction")
    else:
        kept = sifted(kept, repeated_rows(kept), report, "duplicate", "same question")
    # Near duplicates come after exact ones: what is left is the costlier question.
    if near is not None and not records:
        kept = sifted(kept, near_duplicates(kept, near), report, "near duplicate")
    if against is not None:
        kept = sifted(kept, leaked(kept, against), report, "leaked")
    # Last, since it learns from what it is given, and costs most.
    if quality is not None:
        kept = sifted(kept, quality(kept), report, "doubtful")
    report.after = len(kept)
    return kept, report


def checked(rows: Iterable[Mapping]) -> list[Mapping]:
    """Return the rows as a list, each proven to have the texts of the first one's shape.

    Raises DataError for one that has not, before an hour of cleaning and not after.
    """
    if isinstance(rows, Mapping):
        raise DataError(
            f"rows: found {type(rows).__name__} with {', '.join(map(str, rows))}, "
            "expected the rows of one split"
        )
    rows = list(rows)
    fields = ("sentence",) if rows and "sentence" in rows[0] else TEXTS
    expected = 'a string ("" where there is none)'
    for number, row in enumerate(rows):
        for name in fields:
            text = row.get(name)
            expect(isinstance(text, str), f"{name} of row {number}", text, expected)
    return rows


def stepped(rows: Iterable[Mapping], steps: Sequence[Step], report: Report) -> list[dict]:
    """Return what the steps leave of the rows, in their order, and note what they did."""
    kept = []
    for original in map(dict, rows):
        row = original
        for step in steps:
            became = step.function(row)
            if step.kind == "drop" and became:
                report.note(report.removed, step.name, row=original)
                break
            if step.kind == "fix" and became != row:
                report.note(report.mended, step.name, row=original, became=became)
                row = became
        # No step dropped it.
        else:
            kept.append(row)
    return kept


def sifted(
    rows: list[dict], verdicts: Iterable[Verdict], report: Report, *steps: str
) -> list[dict]:
    """Return the rows whose verdict is None, and note the others under their step."""
    report.removed |= dict.fromkeys(steps, 0)
    kept = []
    for row, verdict in zip(rows, verdicts, strict=True):
        if verdict is None:
            kept.append(row)
        else:
            step, example = verdict
            report.note(report.removed, step, row=row, **example)
    return kept


def repeated_rows(rows: Iterable[dict]) -> Iterator[Verdict]:
    """Judge rows that ask what an earlier row asks, but for punctuation, width, case and space.

    With the same answer they are a `duplicate`, with another the `same question`.
    """
    first: dict[tuple, dict] = {}
    for row in rows:
        asked = [folded(row[name]) or row[name] for name in TEXTS[:2]]
        key = (*asked, json.dumps(row.get("history") or [], ensure_ascii=False))
        earlier = first.setdefault(key, row)
        if earlier is row:
            yield None
        else:
            same = folded(earlier["output"]) == folded(row["output"])
            yield "duplicate" if same else "same question", {"because": earlier}


def near_duplicates(rows: Iterable[dict], threshold: float) -> Iterator[Verdict]:
    """Judge rows that say in nearly the same characters what an earlier row says.

    Their plain words are the same ones (`text.plain_words`), so that rows with other numbers, names
    or content words are never taken for one another; and the Jaccard similarity of their character
    3-grams is at least the threshold. Rows of one instruction are compared by input and output
    alone: most of a long instruction's 3-grams would be shared by all of them.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"near: found {threshold}, expected a similarity above 0 and up to 1")
    first: dict[bytes, dict] = {}
    for row in rows:
        earlier = first.setdefault(meant(row), row)
        similarity = 0.0 if earlier is row else likeness(earlier, row)
        found = {"because": earlier, "similarity": similarity}
        yield ("near duplicate", found) if similarity >= threshold else None


def meant(row: Mapping) -> bytes:
    """Return a hash of what a row says in plain words, field by field, earlier turns first."""
    words = [plain_words(folded(text)) or text for text in row_texts(row)]
    return sha256(json.dumps(words).encode()).digest()


def likeness(one: Mapping, other: Mapping) -> float:
    """Return the Jaccard similarity of two rows, without the instruction where it is the same."""
    fields = TEXTS[folded(one["instruction"]) == folded(other["instruction"]) :]
    texts = ["\n".join(map(row.__getitem__, fields)) for row in (one, other)]
    return jaccard(*(shingles(folded(text) or text) for text in texts))


def leaked(rows: Iterable[dict], against: Leaks) -> Iterator[Verdict]:
    """Judge rows that hold a sentence of an evaluation set, or nearly repeat one."""
    for leak in against.found_in(map(row_parts, rows)):
        yield leak and ("leaked", {"because": leak})


def row_parts(row: Mapping) -> list[str]:
    """Return all that a row or record says, text by text."""
    return [row["sentence"]] if "sentence" in row else list(filter(None, row_texts(row)))


def repeated_records(records: Sequence[dict]) -> Iterator[Verdict]:
    """Judge records that repeat an earlier one, and all that contradict each other on a sentence.

    Records that label one given pair (`one-pair`) may say different things of one sentence.
    """
    # (sentence, task) -> what is said of it -> the first record that says so
    said: dict[tuple, dict[str, dict]] = {}
    for record in records:
        said.setdefault(subject(record), {}).setdefault(meaning(record), record)

    # A second pass, because a contradiction shows only after the first of its records.
    for record in records:
        versions = said[subject(record)]
        first = versions[meaning(record)]
        whole = [r for r in versions.values() if r.get("annotation", "exhaustive") == "exhaustive"]
        others = [r for r in whole if r is not record]
        if first is not record:
            yield "duplicate", {"because": first}
        elif others and record in whole:
            yield "contradiction", {"because": others[0]}
        else:
            yield None


def subject(record: Mapping) -> tuple[str, str]:
    """Return what a record speaks of: its sentence and its task."""
    return record["sentence"], next((f for f in TASKS.values() if record.get(f) is not None), "")


def meaning(record: Mapping) -> str:
    """Return what a record says, whatever the order of its items."""
    texts = sorted(
        json.dumps(item, ensure_ascii=False, sort_keys=True)
        for name in TASKS.values()
        for item in record.get(name) or []
    )
    return json.dumps([record.get("annotation", "exhaustive"), texts], ensure_ascii=False)
