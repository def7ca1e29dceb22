"""Keep the folder of a training in progress: its settings, one line per step, its checkpoints.

In: a folder and what is to be trained. Out: the folder, ready to go on with. Used by `finetune` and
`train`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import write_jsonl, written_whole
from miniluotuo_utils.students.devices import first_process, world_size
from miniluotuo_utils.students.loading import Student, fingerprint
from miniluotuo_utils.students.training import Options, Training
from miniluotuo_utils.tokens.columns import digest_of
from miniluotuo_utils.writing import Taken, Touched, disk_full, foreign, guard, is_full, remove

if TYPE_CHECKING:
    from datasets import Dataset

SETTINGS, LOG = "settings.json", "training.jsonl"
DIVERGED = "diverged"  # the setting that holds the step at which the loss was no number


def settings_of(
    student: Student, options: Options, rows: Dataset, objective: Any = None
) -> dict[str, Any]:
    """Return what tells one training from another, all of which JSON keeps as it is.

    The student's name and fingerprint, its bits, how many processes, the options, the rows, and
    what is learned beside the labels.
    """
    return {
        **options._asdict(),
        "student": student.name,
        "weights": fingerprint(student),
        "four_bits": bool(getattr(student.model, "is_loaded_in_4bit", False)),
        "processes": world_size(),
        "rows": digest_of(rows),
        **({"distillation": objective.settings} if objective else {}),
    }


def open_folder(folder: Path, settings: Mapping, training: Training) -> Path:
    """Make the folder, or read its log up to the last whole checkpoint; return the log's path.

    One whose loss was no number is begun anew with other settings: nothing of it is worth keeping.
    Raises ValueError, naming the first difference, where it holds another training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note, journal = folder / SETTINGS, folder / LOG
    anew = note.is_file() and diverged(note, settings)
    if note.is_file() and not anew:
        refuse_another(note, settings)
    elif first_process():
        for path in [*folder.glob("checkpoint-*"), journal] if anew else []:
            remove(path)
        # First of all, so that whatever else is here is known to be of this training.
        write_settings(note, settings)

    lines = [] if anew else lines_until(journal, last_checkpoint(folder))
    training.log = [line for line in lines if "loss" in line]
    training.evaluations = [line for line in lines if "eval_loss" in line]
    if training.log:
        training.meter.resume(training.log[-1])

    # Steps after the checkpoint are trained again, and must not stand in the log twice.
    if first_process():
        write_jsonl(journal, lines, overwrite=True)
    return journal


def write_settings(note: Path, settings: Mapping) -> None:
    """Write what a training is, whole."""
    with written_whole(note) as partial:
        partial.write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")


def settings_in(note: Path) -> dict[str, Any]:
    """Return the settings of a training that was begun; `Taken` where finetune did not write it."""
    try:
        return dict(json.loads(note.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise Taken(
            f"{note.parent.name}/{note.name} is not what finetune writes: choose another folder"
        ) from None


def note_divergence(folder: Path, step: int) -> None:
    """Note the step at which the loss of the training in a folder was no number."""
    note = folder / SETTINGS
    if first_process() and note.is_file():
        write_settings(note, {**settings_in(note), DIVERGED: step})


def diverged(note: Path, wanted: Mapping) -> bool:
    """Return whether the training in a folder ended without a loss, and say that it goes.

    The same settings go on from its last checkpoint, as after a kill.
    """
    found = settings_in(note)
    step = found.pop(DIVERGED, None)
    if step is None or found == dict(wanted):
        return False
    if first_process():
        print(
            f"{note.parent.name} 里的训练在第 {step} 步没有了损失（NaN），换了设置，从头训练。 "
            f"The training in this folder lost its loss at step {step}: with other settings it "
            "begins anew.",
            file=sys.stderr,
        )
    return True


def check_progress(folder: Path) -> None:
    """Raise `Taken` where a folder holds checkpoints or a log of something else, which would go.

    OSError where nothing can be written into it.
    """
    guard([Touched("folder", folder, "grows")])
    log = folder / LOG
    found = [path.name for path in sorted(folder.glob("checkpoint-*"))]
    if log.is_file() and log.stat().st_size:
        found.append(LOG)
    if found and not (folder / SETTINGS).is_file():
        raise Taken(
            f"{folder.name} holds {found[0]} and no {SETTINGS}, so it is no training that finetune "
            "began: choose another folder, or move that elsewhere"
        )


def refuse_another(note: Path, wanted: Mapping) -> None:
    """Raise ValueError for the first setting in which a folder's training is another one."""
    found = settings_in(note)
    found.pop(DIVERGED, None)
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
    """Delete what a training left in its folder, and the folder if nothing else is in it.

    The settings go last: a kill in between leaves a training that can be gone on with or discarded.
    """
    mine = folder / SETTINGS
    if mine.is_file():
        for path in [*folder.glob("checkpoint-*"), folder / LOG]:
            remove(path)
    for entry in folder.glob("tokens/*"):
        if entry.is_dir() and not foreign(entry):
            remove(entry)
    mine.unlink(missing_ok=True)
    for empty in (folder / "tokens", folder):
        with suppress(OSError):
            empty.rmdir()


# ---- room on the disk

MOMENTS = 8  # bytes that AdamW keeps for each trained parameter
KEPT = 2  # checkpoints that stay; a third is there while it is written


def checkpoint_bytes(model: Any) -> int:
    """Return how much room a checkpoint takes: weights (an adapter's alone), optimizer."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    saved = trained if hasattr(model, "peft_config") else model.parameters()
    weights = sum(weight.numel() * weight.element_size() for weight in saved)
    return weights + MOMENTS * sum(weight.numel() for weight in trained)


def say_room(student: Student, folder: Path) -> None:
    """Say before a training how much room its checkpoints take, if the disk has too little."""
    one = checkpoint_bytes(student.model)
    there = sum(file.stat().st_size for file in folder.glob("checkpoint-*/*"))
    free = shutil.disk_usage(folder).free + there
    if first_process() and free < (KEPT + 1) * one:
        print(
            f"磁盘可能不够：两个检查点要 {mib(KEPT * one)}，写第三个时要 {mib((KEPT + 1) * one)}，"
            f"只有 {mib(free)}。 The disk may be too small: two checkpoints take "
            f"{mib(KEPT * one)}, {mib((KEPT + 1) * one)} while a third is written, and "
            f"{mib(free)} are free. Free some space or choose a folder on another disk."
        )


def mib(size: int) -> str:
    """Return a size in bytes for a reader.

    >>> mib(54_525_952)
    '52 MiB'
    """
    return f"{size / (1 << 20):,.0f} MiB"


def checkpoint_error(error: Exception, student: Student, folder: Path) -> OSError | None:
    """Return, in one sentence, why a checkpoint could not be written; None for other errors.

    Removes the half of it that was written.
    """
    if not is_full(error):
        return None
    last = last_checkpoint(folder)
    more = f"; one takes {mib(checkpoint_bytes(student.model))}"
    kept = f", which goes on after step {step_of(last)}" if last else ""
    said = disk_full(error, folder / "checkpoint", f"a checkpoint of {folder.name}", more)
    return OSError(said.errno, f"{said.strerror}{kept}")
