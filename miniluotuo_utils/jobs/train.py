"""Train on files: rows in, a student folder out; also under `accelerate launch`.

In: JSON Lines files. Out: a folder as `save` writes it. Shown in the README.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from miniluotuo_utils.files import file_sha256, written_whole
from miniluotuo_utils.runtime import commit, installed_versions
from miniluotuo_utils.students.checkpoints import discard
from miniluotuo_utils.students.devices import first_process, half, own_device
from miniluotuo_utils.students.finetune import check_target, finetune, refuse_base, row_length, save
from miniluotuo_utils.students.loading import load_student
from miniluotuo_utils.students.training import Training
from miniluotuo_utils.tokens import encoded_dataset


def train_files(
    name: str,
    data: Sequence[Path],
    out: Path,
    *,
    bits: int | None = None,
    processes: int = 1,
    **options: object,
) -> Training:
    """Train student `name` on the instruction rows of all `data` files and write it to `out`.

    The training in progress stands in `<out>.training` (log, checkpoints, encoded rows) until `out`
    is whole: the same command goes on where a killed one stopped. Under `accelerate launch` every
    process reads the rows and the first one writes. `options` are those of `finetune`. Raises
    ValueError for files without a row to learn from, and for an `out` that is no student's.
    """
    out, base, method = Path(out), Path(name), options.get("method", "full")
    check_target(out)
    if base.is_dir() and method != "full":
        check_beside(out, base)

    # What is trained is trained in float32; a frozen base on a GPU does with half the memory.
    bits = 4 if method == "qlora" else bits
    device = own_device()
    frozen = bits is not None or (device != "cpu" and method != "full")
    student = load_student(name, device, dtype=half(device) if frozen else "float32", bits=bits)

    progress = out.with_name(out.name + ".training")
    rows, report = encoded_dataset(
        data,
        student.tokenizer,
        row_length(student, method, options.get("max_length", 512)),
        encoder_decoder=student.encoder_decoder,
        processes=processes,
        cache=progress / "tokens",
    )
    if not report["kept"]:
        raise ValueError(
            f"{', '.join(path.name for path in data)}: found no row to learn from "
            f"(left out: {report['dropped'] or 'nothing'}), "
            "expected instruction rows, one JSON object per line"
        )

    training = finetune(student, rows.to_list(), folder=progress, **options)
    training.dropped = dict(report["dropped"])
    if first_process():
        save(training.student, out, training.log, training.state)
        facts = {
            "student": training.student.name,
            "data": {path.name: file_sha256(path) for path in data},
            "versions": installed_versions(),
            "commit": commit(),
            **training.metrics(),
        }
        # Last, so that a folder with it is whole.
        with written_whole(out / "run.json") as partial:
            partial.write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")
        discard(progress)
    return training


def check_beside(out: Path, base: Path) -> None:
    """Raise ValueError for an adapter's folder that is its base's, or does not stand beside it."""
    refuse_base(out, base)
    if base.resolve().parent != out.resolve().parent:
        raise ValueError(
            f"an adapter finds its base beside it: name an --out in the same folder as {base.name}"
        )
