"""Answer a file of rows with a student, in order; a killed run goes on where it stopped.

In: JSON Lines. Out: the same rows with their answers. Used by `predict` of the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.data.plain import asked_rows
from miniluotuo_utils.files import (
    DataError,
    Journal,
    batches,
    expect,
    file_sha256,
    iter_jsonl,
    write_jsonl,
)
from miniluotuo_utils.generation.answers import completions
from miniluotuo_utils.generation.batching import too_long
from miniluotuo_utils.generation.presets import preset_of
from miniluotuo_utils.progress import progress_bar
from miniluotuo_utils.records import check_row
from miniluotuo_utils.students.loading import fingerprint
from miniluotuo_utils.tokens import prompt_ids, prompt_of
from miniluotuo_utils.writing import Touched, claimed

if TYPE_CHECKING:
    from miniluotuo_utils.generation.presets import Preset
    from miniluotuo_utils.students import Student

WINDOW = 4096  # rows that are sorted by length together, and whose ids are in memory


def predict_file(
    student: Student,
    data: Path,
    out: Path,
    preset: str = "extract",
    max_new_tokens: int = 128,
    batch_size: int = 32,
    seed: int = 42,
    overwrite: bool = False,
    progress: bool = False,
    **overrides: Any,
) -> dict[str, int]:
    """Write every row of `data` to `out`, its `output` replaced by the student's answer.

    `overrides` replace single fields of the preset, as in `generate`; ValueError, before anything
    is read, for those that contradict it. However long the file, `WINDOW` rows are in memory at a
    time.

    A row is an instruction row (`input`, `output` and `source` may be missing), asked in the
    student's own template, or `{"prompt": …}`, taken as it stands: there the special tokens of a
    chat template must be written out. All rows are checked before anything is generated: DataError
    names the line.

    Finished batches stand in `<out>.part`. The same command, started again after a kill, generates
    only what is missing and writes the same bytes as an uninterrupted run. What was begun with
    another file, student or option is a ValueError. `out` is written whole. `Taken` (a
    FileExistsError) keeps an older one, unless `overwrite` is given and it holds answers; and says
    who writes it, where another process does. `progress` says on stderr where the work is. Returns
    `answered`, and `kept`: how many of them an earlier run had made.
    """
    touched = [
        Touched("data", data, "reads"),
        Touched("out", out, "file", lambda row: "output" in row),
    ]
    chosen = preset_of(preset, **overrides)
    with claimed(touched, overwrite):
        total = check_rows(student, data)
        how = chosen, max_new_tokens, batch_size, seed
        return predicted(student, data, out, how, overwrite, total if progress else None)


def predicted(
    student: Student,
    data: Path,
    out: Path,
    how: tuple[Preset, int, int, int],
    overwrite: bool,
    total: int | None,
) -> dict[str, int]:
    """Answer checked rows: those that the journal lacks, then all into the file.

    Of `total` rows it is shown how many are answered; None shows nothing.
    """
    preset, max_new_tokens, _, seed = how

    # Everything that an answer depends on: a run with another of these must not go on with it.
    made_by = {
        "data": file_sha256(data),
        "student": fingerprint(student),
        "preset": vars(preset),
        "max_new_tokens": max_new_tokens,
        "prompt": prompt_of(student, {"instruction": "{instruction}", "input": "{input}"}),
        "seed": seed,
    }
    journal = Journal(out.with_name(out.name + ".part"), made_by)
    with journal.alone():
        if journal.path.exists():
            journal.append()  # proves that it is ours, and mends its last line
        answered = kept = sum(1 for _ in answers_in(journal.path))
        with progress_bar(total=total, kept=kept, shown=total is not None) as said:
            for new in missing_answers(student, data, journal.path, kept, how):
                journal.append({"answers": new})
                answered += len(new)
                said.update(len(new))

        # Row numbers are all that ties answers to rows: a file edited meanwhile has other rows.
        if file_sha256(data) != made_by["data"]:
            raise ValueError(
                f"{data.name} changed while its rows were answered: "
                f"delete {journal.path.name} and run again"
            )
        write_jsonl(out, filled(data, journal.path), overwrite)
        journal.path.unlink()
    return {"answered": answered, "kept": kept}


def answers_in(part: Path) -> Iterator[tuple[int, str]]:
    """Yield (row number, answer) of all lines of a journal, one window of rows after the other."""
    lines = islice(iter_jsonl(part), 1, None) if part.exists() else ()
    return ((number, text) for line in lines for number, text in line["answers"])


def filled(data: Path, part: Path) -> Iterator[dict]:
    """Yield the rows with their answers, in order."""
    found = answers_in(part)
    for rows in batches(asked_rows(data, check_asked), WINDOW):
        # A window is answered by length, and whole before the next one begins.
        answers = sorted(islice(found, len(rows)))
        for row, (_, text) in zip(rows, answers, strict=True):
            yield {**row, "output": text}


def missing_answers(
    student: Student,
    data: Path,
    part: Path,
    kept: int,
    how: tuple[Preset, int, int, int],
) -> Iterator[list[tuple[int, str]]]:
    """Yield (row number, answer) of the rows that a journal lacks, a batch at a time.

    It has `kept` answers: all of some windows, and of the next one those that a kill left.
    """
    preset, max_new_tokens, batch_size, seed = how
    whole = kept // WINDOW * WINDOW
    begun = {number - whole for number, _ in islice(answers_in(part), whole, None)}
    rows_left = islice(asked_rows(data, check_asked), whole, None)

    # A window has a seed of its own, so drawn answers do not depend on where a killed run stopped.
    windows = zip(count(whole, WINDOW), batches(rows_left, WINDOW), strict=False)
    for (first, rows), done in zip(windows, chain([begun], repeat(())), strict=False):
        options = preset, max_new_tokens, batch_size, seed + first, done
        for new in completions(student, prompts_of(student, rows), *options):
            yield [(first + number, text) for number, text in new.items()]


def check_asked(row: Mapping) -> dict:
    """Return a row with something to ask: a `prompt`, or an instruction row made complete.

    >>> check_asked({"instruction": "问好"})
    {'instruction': '问好', 'input': '', 'output': '', 'source': ''}
    """
    expect(isinstance(row, Mapping), "row", row, "a JSON object")
    if "prompt" not in row:
        # An empty cell of a table is None.
        texts = {name: row.get(name) for name in ("input", "output", "source")}
        empty = {name: "" for name, text in texts.items() if text is None}
        return check_row({**row, **empty})
    text = row["prompt"]
    expect(isinstance(text, str) and text, "prompt", text, "a text that is not empty")
    return dict(row)


def prompts_of(student: Student, rows: Sequence[Mapping]) -> list[list[int]]:
    """Return the token ids of what checked rows ask; a `prompt` is taken as it stands."""
    texts = [row["prompt"] if "prompt" in row else prompt_of(student, row) for row in rows]
    return prompt_ids(student.tokenizer, texts, student.model.config.is_encoder_decoder)


def check_rows(student: Student, data: Path) -> int:
    """Return how many rows there are.

    Raises `DataError` for a malformed line, a prompt that fills the context, and for no rows.
    """
    seen = 0
    for rows in batches(asked_rows(data, check_asked), WINDOW):
        ids = prompts_of(student, rows)
        if long := too_long(student, ids):
            length, number = len(ids[long[0]]), seen + long[0] + 1
            raise DataError(
                f"{data.name}, row {number}: found a prompt of {length} tokens, the student's "
                f"context holds {student.context}; shorten it or leave the row out"
            )
        seen += len(rows)
    return seen
