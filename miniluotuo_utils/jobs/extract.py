"""Extract from a file of sentences with a student, in order; a killed run goes on where it stopped.

In: lines of text, or JSON Lines. Out: IE records. Used by `extract` of the command line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import DataError, Journal, batches, file_sha256, iter_jsonl
from miniluotuo_utils.ie import extract
from miniluotuo_utils.ie.schema import Schema, checked_schema
from miniluotuo_utils.jobs.annotate import finish, sentences
from miniluotuo_utils.progress import progress_bar
from miniluotuo_utils.records import TASKS
from miniluotuo_utils.students.loading import fingerprint
from miniluotuo_utils.tokens import prompt_of
from miniluotuo_utils.writing import Touched, claimed

if TYPE_CHECKING:
    from miniluotuo_utils.students import Student

SAVED = 256  # sentences that are asked and written together: what a kill costs at most


def extract_file(
    student: Student,
    data: Path,
    out: Path,
    schema: Schema,
    task: str = "NER",
    column: str = "sentence",
    overwrite: bool = False,
    progress: bool = False,
    **options: Any,
) -> dict[str, int]:
    """Write one IE record per sentence of `data` to `out`, in order.

    `data` is as for `annotate_file`: text, a sentence a line, or JSON Lines with the sentence in
    `column`; `id` and `source` of a row stay. `options` are those of `ie.extract`. However long the
    file, `SAVED` sentences are in memory at a time.

    Finished records stand in `<out>.part`. The same command, started again after a kill, extracts
    only what is missing and writes the same bytes; what was begun with another file, student or
    option is a `DataError`. `out` is written whole. `Taken` (a FileExistsError) keeps an older one,
    unless `overwrite` is given and it holds records. Returns `records`, `items`, `kept` (records of
    an earlier run) and, of the answers of this run, `unparsable`.
    """
    schema = checked_schema(schema, task)
    touched = [
        Touched("IN", data, "reads"),
        Touched("OUT", out, "file", lambda row: TASKS[task] in row),
    ]
    with claimed(touched, overwrite):
        total = sum(1 for _ in sentences(data, column))
        if not total:
            raise DataError(
                f"{data.name}: 里面没有句子，一行要有一句。 found no sentence, expected one a line"
            )

        # Everything that a record depends on: a run with another of these must not go on with it.
        # One that was killed for memory goes on with smaller batches.
        made_by = {
            "data": file_sha256(data),
            "student": fingerprint(student),
            "prompt": prompt_of(student, {"instruction": "{instruction}", "input": "{input}"}),
            "schema": schema,
            "task": task,
            "column": column,
            "options": {name: options[name] for name in options if name != "batch_size"},
        }
        journal = Journal(out.with_name(out.name + ".part"), made_by)
        with journal.alone():
            journal.append()  # begins it, or proves that it is ours and mends its last line
            kept = sum(1 for _ in iter_jsonl(journal.path)) - 1
            counts: Counter[str] = Counter(kept=kept)
            with progress_bar(total=total, unit="句 sentences", kept=kept, shown=progress) as said:
                for rows in batches(islice(sentences(data, column), kept, None), SAVED):
                    journal.append(*extracted(student, rows, schema, task, counts, options))
                    said.update(len(rows))

            # A record's place is all that ties it to its line.
            if file_sha256(data) != made_by["data"]:
                raise ValueError(
                    f"{data.name} changed while it was read: "
                    f"delete {journal.path.name} and run again"
                )
            finish(journal.path, out, overwrite)
    items = sum(len(record[TASKS[task]]) for record in iter_jsonl(out))
    return {"records": total, "items": items, **counts}


def extracted(
    student: Student,
    rows: list[dict],
    schema: Schema,
    task: str,
    counts: Counter[str],
    options: dict[str, Any],
) -> Iterator[dict]:
    """Yield the records of some sentences, and count the answers that could not be read."""
    found = extract(student, [row["sentence"] for row in rows], schema, task, **options)
    counts["unparsable"] += found.counts["unparsable"]
    for row, record in zip(rows, found.records, strict=True):
        yield {**row, **record, "source": row["source"], "annotation": "silver"}
