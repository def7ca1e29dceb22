"""Clean rows or records: named steps for each, then duplicates and leaked test sentences.

In: instruction rows or IE records. Out: fewer, cleaner ones and a report. The steps for one row
alone are in `steps`. Shown in notebook 01.
"""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from miniluotuo_utils.data.decontamination import Leaks
from miniluotuo_utils.data.shelf import Shelf
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
    kept, report = sieved(rows, steps, near, against, quality)
    return list(kept), report


def sieved(
    rows: Iterable[Mapping],
    steps: Sequence[Step] | None = None,
    near: float | None = NEAR,
    against: Leaks | None = None,
    quality: Callable[[list[dict]], Iterable[Verdict]] | None = None,
    only_steps: bool = False,
) -> tuple[Shelf, Report]:
    """Return what `clean` does, the rows on a shelf: memory holds some 300 bytes of each.

    All rows are read before the first one is looked at. `quality` alone takes them all into memory.
    `only_steps` does what looks at one row alone: with the same over what is left of all parts of
    a file, and `steps=()`, it comes to what would be done in one go.
    """
    given = Shelf(checked(rows))
    records = len(given) > 0 and "sentence" in given[0]
    if steps is None:
        steps = RECORD_STEPS if records else ROW_STEPS
    report = Report(
        before=len(given),
        mended={step.name: 0 for step in steps if step.kind == "fix"},
        removed={step.name: 0 for step in steps if step.kind == "drop"},
    )
    kept = Shelf(stepped(given, sorted(steps, key=lambda step: step.kind == "drop"), report))
    del given  # its file may be as large as what was read
    if only_steps:
        report.after = len(kept)
        return kept, report

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
        kept = sifted(kept, quality(list(kept)), report, "doubtful")
    report.after = len(kept)
    return kept, report


def checked(rows: Iterable[Mapping]) -> Iterator[Mapping]:
    """Yield the rows, each proven to have the texts of the first one's shape.

    Raises DataError for one that has not; who takes them all before the first is cleaned is told
    before an hour of cleaning and not after.
    """
    if isinstance(rows, Mapping):
        raise DataError(
            f"rows: found {type(rows).__name__} with {', '.join(map(str, rows))}, "
            "expected the rows of one split"
        )
    fields, expected = TEXTS, 'a string ("" where there is none)'
    for number, row in enumerate(rows):
        if not number and "sentence" in row:
            fields = ("sentence",)
        for name in fields:
            text = row.get(name)
            expect(isinstance(text, str), f"{name} of row {number}", text, expected)
        yield row


def stepped(rows: Iterable[Mapping], steps: Sequence[Step], report: Report) -> Iterator[dict]:
    """Yield what the steps leave of the rows, in their order, and note what they did."""
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
            yield row


def sifted(rows: Shelf, verdicts: Iterable[Verdict], report: Report, *steps: str) -> Shelf:
    """Return the rows whose verdict is None, and note the others under their step."""
    report.removed |= dict.fromkeys(steps, 0)
    stay = array("q")
    for number, verdict in zip(range(len(rows)), verdicts, strict=True):
        if verdict is None:
            stay.append(number)
        else:
            step, example = verdict
            report.note(report.removed, step, row=rows[number], **example)
    return rows.pick(stay)


def digest(*said: object) -> bytes:
    """Return 16 bytes that stand for what is said, so that memory need not hold the texts."""
    return blake2b(json.dumps(said).encode(), digest_size=16).digest()


def repeated_rows(rows: Shelf) -> Iterator[Verdict]:
    """Judge rows that ask what an earlier row asks, but for punctuation, width, case and space.

    With the same answer they are a `duplicate`, with another the `same question`.
    """
    first: dict[bytes, int] = {}
    for number, row in enumerate(rows):
        asked = [folded(row[name]) or row[name] for name in TEXTS[:2]]
        at = first.setdefault(digest(*asked, row.get("history") or []), number)
        if at == number:
            yield None
        else:
            earlier = rows[at]
            same = folded(earlier["output"]) == folded(row["output"])
            yield "duplicate" if same else "same question", {"because": earlier}


def near_duplicates(rows: Shelf, threshold: float) -> Iterator[Verdict]:
    """Judge rows that say in nearly the same characters what an earlier row says.

    Their plain words are the same ones (`text.plain_words`), so that rows with other numbers, names
    or content words are never taken for one another; and the Jaccard similarity of their character
    3-grams is at least the threshold. Rows of one instruction are compared by input and output
    alone: most of a long instruction's 3-grams would be shared by all of them.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"near: found {threshold}, expected a similarity above 0 and up to 1")
    first: dict[bytes, int] = {}
    for number, row in enumerate(rows):
        at = first.setdefault(meant(row), number)
        earlier = row if at == number else rows[at]
        similarity = 0.0 if at == number else likeness(earlier, row)
        found = {"because": earlier, "similarity": similarity}
        yield ("near duplicate", found) if similarity >= threshold else None


def meant(row: Mapping) -> bytes:
    """Return a hash of what a row says in plain words, field by field, earlier turns first."""
    return digest(*(plain_words(folded(text)) or text for text in row_texts(row)))


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


def repeated_records(records: Shelf) -> Iterator[Verdict]:
    """Judge records that repeat an earlier one, and all that contradict each other on a sentence.

    Records that label one given pair (`one-pair`) may say different things of one sentence.
    """
    # What is said of a sentence -> the first record that says so; sentence -> those of them that
    # claim to say all.
    first: dict[bytes, int] = {}
    whole: dict[bytes, tuple[int, ...]] = {}
    for number, record in enumerate(records):
        said, told = digest(subject(record)), digest(subject(record), meaning(record))
        new = first.setdefault(told, number) == number
        if new and record.get("annotation", "exhaustive") == "exhaustive":
            whole[said] = (*whole.get(said, ()), number)

    # A second pass, because a contradiction shows only after the first of its records.
    for number, record in enumerate(records):
        at = first[digest(subject(record), meaning(record))]
        versions = whole.get(digest(subject(record)), ())
        others = [one for one in versions if one != number]
        if at != number:
            yield "duplicate", {"because": records[at]}
        elif others and number in versions:
            yield "contradiction", {"because": records[others[0]]}
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
