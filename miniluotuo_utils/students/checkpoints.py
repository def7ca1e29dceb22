"""Keep the folder of a training in progress: its settings, one line per step, its checkpoints.

In: a folder and what is to be trained. Out: the folder, ready to go on with. Used by `finetune` and `train`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import written_whole
from miniluotuo_utils.students.devices import first_process
from miniluotuo_utils.students.loading import Student, fingerprint

if TYPE_CHECKING:
    from miniluotuo_utils.students.training import Training


def identity(student: Student) -> dict[str, Any]:
    """What tells one student and one way of running from another: name, fingerprint, bits, processes."""
    four = bool(getattr(student.model, "is_loaded_in_4bit", False))
    return {
        "student": student.name,
        "weights": fingerprint(student),
        "four_bits": four,
        "processes": int(os.environ.get("WORLD_SIZE", 1)),
    }


def open_folder(
    folder: Path, training: Training, settings: Mapping, sequences: Sequence[Mapping]
) -> Path:
    """The folder of a training in progress: new, or with the log up to its last whole checkpoint.

    Raises ValueError, naming the first difference, where it holds a training of other rows or settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ids = hashlib.sha256(
        json.dumps([[s["input_ids"], s["labels"]] for s in sequences]).encode()
    ).hexdigest()
    wanted = json.loads(json.dumps({**settings, "rows": ids}))
    note, log = folder / "settings.json", folder / "training.jsonl"
    if note.is_file():
        refuse_another(folder.name, json.loads(note.read_text(encoding="utf-8")), wanted)
    elif first_process():  # checkpoints of nobody knows what
        for left in folder.glob("checkpoint-*"):
            shutil.rmtree(left, ignore_errors=True)
    lines = lines_until(log, last_checkpoint(folder))
    training.log = [line for line in lines if "loss" in line]
    training.evaluations = [line for line in lines if "eval_loss" in line]
    if training.log:
        training.meter.resume(training.log[-1])
    if first_process():
        for path, text in (
            (log, "".join(json.dumps(line) + "\n" for line in lines)),
            (note, json.dumps(wanted, ensure_ascii=False)),
        ):
            with written_whole(path) as partial:
                partial.write_text(text, encoding="utf-8")
    return folder


def refuse_another(name: str, found: Mapping, wanted: Mapping) -> None:
    """ValueError for the first setting in which two trainings differ."""
    for field in sorted({*found, *wanted}):
        if found.get(field) != wanted.get(field):
            raise ValueError(
                f"{name}/settings.json, field {field}: found {found.get(field)!r}, expected {wanted.get(field)!r}: "
                "another training is in this folder; name a new one or delete it"
            )


def lines_until(log: Path, checkpoint: Path | None) -> list[dict]:
    """The lines of a log up to a checkpoint; none without one, and none that was half written."""
    if not checkpoint or not log.is_file():
        return []
    done = int(checkpoint.name.rpartition("-")[2])
    lines = [
        json.loads(line)
        for line in log.read_text(encoding="utf-8").splitlines()
        if line.endswith("}")
    ]
    return [line for line in lines if line["step"] <= done]


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end (the trainer's state comes last); half-written ones are removed."""
    whole = []
    for found in folder.glob("checkpoint-*"):
        try:
            json.loads((found / "trainer_state.json").read_text(encoding="utf-8"))
            whole.append(found)
        except (OSError, ValueError):
            if first_process():
                shutil.rmtree(found, ignore_errors=True)
    return max(whole, key=lambda p: int(p.name.rpartition("-")[2]), default=None)


def discard(folder: Path) -> None:
    """Delete a training's folder, at once for whoever looks: renamed first, so that a kill in between leaves no half of it."""
    if folder.is_dir():
        away = folder.with_name(folder.name + ".deleted")
        shutil.rmtree(away, ignore_errors=True)
        folder.rename(away)
        shutil.rmtree(away, ignore_errors=True)
