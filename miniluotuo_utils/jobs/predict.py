"""A student over a file: rows in, the same rows with its answers out, in order; killed, it goes on where it stopped.

In: JSON Lines. Out: JSON Lines. Used by `predict` of the command line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING

from miniluotuo_utils.files import DataError, batches, expect, file_sha256, iter_jsonl, write_jsonl
from miniluotuo_utils.generation.answers import answered
from miniluotuo_utils.generation.engine import too_long
from miniluotuo_utils.generation.presets import preset_of
from miniluotuo_utils.prompts import prompt, row_prompt
from miniluotuo_utils.records import check_row
from miniluotuo_utils.students.loading import fingerprint
from miniluotuo_utils.tokens import prompt_ids

if TYPE_CHECKING:
    from miniluotuo_utils.students import Student

WINDOW = 4096  # rows that are sorted by length together; ids of no more than so many are in memory


def predict_file(
    student: Student,
    data: Path,
    out: Path,
    preset: str = "extract",
    max_new_tokens: int = 128,
    batch_size: int = 32,
    seed: int = 42,
) -> dict[str, int]:
    """Write every row of `data` to `out` in order, its `output` replaced by the student's answer; returns `answered` and `kept`.

    Rows are instruction rows (`input`, `output` and `source` may be missing) or `{"prompt": …}`, taken as it stands. All of `data` is
    checked before anything is generated: DataError names the line. Finished batches stand in `<out>.part`, so the same command, started
    again after a kill, generates only what is missing (`kept` counts the rest) and writes the same bytes as an uninterrupted run; what
    was begun with another file, student or option is refused with ValueError. `out` is written whole, and never over an older one.
    """
    part = out.with_name(out.name + ".part")
    if out.exists() or out.resolve() == data.resolve():
        raise FileExistsError(
            f"{out.name} is there already, and predict writes over no file: delete it or choose another --out"
        )
    check_rows(student, data)
    made_by = {
        "data": file_sha256(data),
        "student": fingerprint(student),
        "preset": vars(preset_of(preset)),
        "max_new_tokens": max_new_tokens,
        "prompt": prompt("{instruction}", "{input}"),
        "seed": seed,
    }
    with journal(part, made_by) as (file, answers):
        kept = len(answers)
        for first, rows in zip(count(0, WINDOW), batches(asked_rows(data), WINDOW), strict=False):
            done = {number for number in range(len(rows)) if first + number in answers}
            if len(done) < len(rows):
                ids = prompt_ids(
                    student.tokenizer,
                    [prompt_of(row) for row in rows],
                    student.model.config.is_encoder_decoder,
                )
                for numbers, texts in answered(
                    student, ids, preset_of(preset), max_new_tokens, batch_size, seed + first, done
                ):
                    new = {
                        first + number: text for number, text in zip(numbers, texts, strict=True)
                    }
                    file.write(line_of({"answers": list(new.items())}))
                    file.flush()
                    answers |= new
        if file_sha256(data) != made_by["data"]:
            raise ValueError(
                f"{data.name} changed while its rows were answered: delete {part.name} and run again"
            )
        write_jsonl(
            out, ({**row, "output": answers[number]} for number, row in enumerate(asked_rows(data)))
        )
    part.unlink()
    return {"answered": len(answers), "kept": kept}


def asked_rows(path: Path) -> Iterator[dict]:
    """The rows of a file, checked, one at a time."""
    return iter_jsonl(path, check_asked)


def check_asked(row: Mapping) -> dict:
    """A row with something to ask: a `prompt` as it stands, or an instruction row whose `input`, `output` and `source` may be missing.

    >>> check_asked({"instruction": "问好"})
    {'instruction': '问好', 'input': '', 'output': '', 'source': ''}
    """
    expect(isinstance(row, Mapping), "row", row, "a JSON object")
    if "prompt" not in row:
        return check_row(
            {**row, **{name: row.get(name, "") for name in ("input", "output", "source")}}
        )
    expect(
        isinstance(row["prompt"], str) and row["prompt"],
        "prompt",
        row["prompt"],
        "a text that is not empty",
    )
    return dict(row)


def prompt_of(row: Mapping) -> str:
    """What a checked row asks the student.

    >>> prompt_of({"prompt": "一加一等于"})
    '一加一等于'
    """
    return row["prompt"] if "prompt" in row else row_prompt(row)


def check_rows(student: Student, data: Path) -> None:
    """DataError for the first line that is no row, or whose prompt leaves no room for an answer, and for an empty file."""
    seen = 0
    for rows in batches(asked_rows(data), WINDOW):
        ids = prompt_ids(
            student.tokenizer,
            [prompt_of(row) for row in rows],
            student.model.config.is_encoder_decoder,
        )
        if long := too_long(student, ids):
            found = f"found a prompt of {len(ids[long[0]])} tokens, the student's context holds {student.context}"
            raise DataError(
                f"{data.name}, line {seen + long[0] + 1}: {found}; shorten it or leave the row out"
            )
        seen += len(rows)
    if not seen:
        raise DataError(f"{data.name}: found no rows, expected one JSON object per line")


@contextmanager
def journal(path: Path, made_by: Mapping) -> Iterator[tuple[IO[bytes], dict[int, str]]]:
    """The open file of finished batches, for this process alone, and the answers that it holds by row number.

    Its first line says what it was made from; a half-written last line is cut off. ValueError where another run made it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        hold(file, path)
        file.seek(0)
        whole = [line for line in file if line.endswith(b"\n")]  # only the last one can be half
        if whole:
            refuse_other(path, json.loads(whole[0]), made_by)
        file.truncate(sum(map(len, whole)))
        if not whole:
            file.write(line_of(made_by))
        yield (
            file,
            {number: text for line in whole[1:] for number, text in json.loads(line)["answers"]},
        )


def line_of(value: Mapping) -> bytes:
    """One line of JSON.

    >>> line_of({"a": "骆"}).decode()
    '{"a": "骆"}\\n'
    """
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def hold(file: IO[bytes], path: Path) -> None:
    """Keep other processes of this machine off a file until it is closed or this process dies; nothing on Windows."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f"another process is writing {path.name}: let it finish, or choose another --out"
        ) from None


def refuse_other(path: Path, found: Mapping, made_by: Mapping) -> None:
    """ValueError that names what differs between the run that began a journal and this one."""
    if differing := [name for name in made_by if found.get(name) != made_by[name]]:
        raise ValueError(
            f"{path.name} was begun with another {', '.join(differing)}: give the same again to go on, or delete it to start over"
        )
