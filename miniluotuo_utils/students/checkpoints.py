"""Keep the folder of a training in progress: its settings, one line per step, its checkpoints.

In: a folder and what is to be trained. Out: the folder, ready to go on with. Used by `finetune` and
`train`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from miniluotuo_utils.files import write_jsonl, written_whole
from miniluotuo_utils.students.devices import first_process, world_size
from miniluotuo_utils.students.loading import Student, fingerprint
from miniluotuo_utils.students.training import Options, Training


def settings_of(student: Student, options: Options, rows: Sequence[Mapping]) -> dict[str, Any]:
    """Return what tells one training from another, all of which JSON keeps as it is.

    The student's name and fingerprint, its bits, how many processes, the options, and the rows.
    """
    ids = json.dumps([[row["input_ids"], row["labels"]] for row in rows])
    return {
        **options._asdict(),
        "student": student.name,
        "weights": fingerprint(student),
        "four_bits": bool(getattr(student.model, "is_loaded_in_4bit", False)),
        "processes": world_size(),
        "rows": hashlib.sha256(ids.encode()).hexdigest(),
    }


def open_folder(folder: Path, settings: Mapping, training: Training) -> Path:
    """Make the folder, or read its log up to the last whole checkpoint; return the log's path.

    Raises ValueError, naming the first difference, where it holds a training of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note, journal = folder / "settings.json", folder / "training.jsonl"
    if note.is_file():
        refuse_another(note, settings)
    elif first_process():
        # Nobody knows what these checkpoints are of.
        for left in folder.glob("checkpoint-*"):
            shutil.rmtree(left, ignore_errors=True)

    lines = lines_until(journal, last_checkpoint(folder))
    training.log = [line for line in lines if "loss" in line]
    training.evaluations = [line for line in lines if "eval_loss" in line]
    if training.log:
        training.meter.resume(training.log[-1])

    # Steps after the checkpoint are trained again, and must not stand in the log twice.
    if first_process():
        write_jsonl(journal, lines)
        with written_whole(note) as partial:
            partial.write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")
    return journal


def refuse_another(note: Path, wanted: Mapping) -> None:
    """Raise ValueError for the first setting in which a folder's training is another one."""
    found = json.loads(note.read_text(encoding="utf-8"))
    for field in sorted({*found, *wanted}):
        if found.get(field) != wanted.get(field):
            raise ValueError(
                f"{note.parent.name}/{note.name}, field {field}: found {found.get(field)!r}, "
                f"expected {wanted.get(field)!r}: "
                "another training is in this folder; name a new one or delete it"
            )


def lines_until(journal: Path, checkpoint: Path | None) -> list[dict]:
    """Return the lines of a log up to a checkpoint; [] without one."""
    if not checkpoint or not journal.is_file():
        return []
    # The last line may be half written: the process was killed.
    whole = [line for line in journal.read_text(encoding="utf-8").splitlines() if line[-1:] == "}"]
    return [line for line in map(json.loads, whole) if line["step"] <= step_of(checkpoint)]


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that was written to its end; half-written ones are removed.

    transformers' `get_last_checkpoint` takes the newest by name, half-written or not. The trainer's
    state is written last.
    """
    whole = []
    for found in folder.glob("checkpoint-*"):
        try:
            json.loads((found / "trainer_state.json").read_text(encoding="utf-8"))
            whole.append(found)
        except (OSError, ValueError):
            if first_process():
                shutil.rmtree(found, ignore_errors=True)
    return max(whole, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step after which a checkpoint was written.

    >>> step_of(Path("checkpoint-40"))
    40
    """
    return int(checkpoint.name.rpartition("-")[2])


def discard(folder: Path) -> None:
    """Delete a training's folder, at once for whoever looks: a kill in between leaves no half."""
    if folder.is_dir():
        away = folder.with_name(folder.name + ".deleted")
        shutil.rmtree(away, ignore_errors=True)
        folder.rename(away)
        shutil.rmtree(away, ignore_errors=True)
