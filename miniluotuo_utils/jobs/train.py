"""Train on files: rows in, a student folder out; also under `accelerate launch`.

In: files in any format that `read_any` knows, sources, recipes. Out: a folder as `save` writes it.
Shown in the README.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from miniluotuo_utils.data.anyfile import Reading, Together, open_data
from miniluotuo_utils.files import file_sha256
from miniluotuo_utils.jobs.watch import Watch
from miniluotuo_utils.runtime import commit, installed_versions
from miniluotuo_utils.students.checkpoints import SETTINGS, check_progress, discard
from miniluotuo_utils.students.devices import first_process, half, own_device
from miniluotuo_utils.students.finetune import (
    check_options,
    finetune,
    packs,
    refuse_base,
    row_length,
    write_student,
)
from miniluotuo_utils.students.given import refuse_silver
from miniluotuo_utils.students.loading import base_of_adapter, folders_read, load_student
from miniluotuo_utils.students.methods import check_bits, check_targets
from miniluotuo_utils.students.training import Training
from miniluotuo_utils.tokens import encoded_dataset
from miniluotuo_utils.writing import Touched, claimed, written_whole

if TYPE_CHECKING:
    from datasets import Dataset

    from miniluotuo_utils.students import Student


def train_files(
    name: str,
    data: Sequence[Path | str],
    out: Path,
    *,
    bits: int | None = None,
    processes: int = 1,
    say: Callable[[str], object] | None = None,
    overwrite: bool = False,
    **options: object,
) -> Training:
    """Train student `name` on the instruction rows of all `data` and write it to `out`.

    `data` are files of any format that `read_any` knows, and names of the catalog and of recipes.
    `say` is told what each was taken for, what is left out, and how many steps there will be,
    before the training begins; then stderr shows where it is. An adapter's folder as `name` has
    that adapter trained further.

    The training in progress stands in `<out>.training` (log, checkpoints, encoded rows) until `out`
    is whole: the same command goes on where a killed one stopped. Under `accelerate launch` every
    process reads the rows and the first one writes. `options` are those of `finetune`.

    Raises ValueError for options that cannot be, before anything is loaded or written, for files
    without a row to learn from, and `Taken` (a ValueError) for an `out`
    that is there already, unless `overwrite` is given and an earlier run wrote all of it; also
    where another process writes it.
    """
    out, base = Path(out), Path(name)
    options["method"] = method_of(base, options.get("method"), bits)
    check_options(**options, folder=out)
    check_place(out, base, options["method"])
    progress = out.with_name(out.name + ".training")
    touched = [Touched("student", folder, "reads") for folder in folders_read(name)]
    touched += [Touched("data", Path(one), "reads") for one in data]
    touched.append(Touched("out", out, "folder"))

    # Several processes of one launch write through the first one.
    with claimed(touched, overwrite) if first_process() else nullcontext():
        check_progress(progress)
        # Files are looked at first: a large student takes minutes to load.
        readings = [open_data(one, say=say) for one in data]
        for reading in readings:
            check_rows(reading)
        refuse_silver(Together(readings), options.get("evaluation", 0.0))
        training = trained(name, readings, progress, bits, processes, say, options)
        if first_process():
            write_trained(training, readings, progress, out, overwrite)
    return training


def trained(
    name: str,
    readings: Sequence[Reading],
    progress: Path,
    bits: int | None,
    processes: int,
    say: Callable[[str], object] | None,
    options: dict[str, object],
) -> Training:
    """Load the student, encode the rows of the files, and train it on them."""
    method = options.get("method", "full")
    # What is trained is trained in float32; a frozen base on a GPU does with half the memory.
    bits = 4 if method == "qlora" else bits
    device = own_device()
    frozen = bits is not None or (device != "cpu" and method != "full")
    student = load_student(name, device, dtype=half(device) if frozen else "float32", bits=bits)
    # A name that no layer has is told before the rows are encoded, which may take an hour.
    check_targets(student, options.get("targets"))

    asked = options.get("max_length", 512)
    rows, report = encoded_rows(
        student, method, readings, asked, progress / "tokens", processes, say
    )
    if say and first_process():
        options = {"show": Watch(say, options), **options}
    training = finetune(student, rows, folder=progress, **options)
    training.dropped = dict(report["dropped"])
    # Token rows do not say where they are from; the readings have counted it.
    counted = sum((reading.sources for reading in readings), Counter())
    student.lessons[-1]["sources"] = dict(counted)
    return training


def write_trained(
    training: Training, readings: Sequence[Reading], progress: Path, out: Path, overwrite: bool
) -> None:
    """Write the trained student with its `run.json`, and delete what its training left."""
    facts = {
        "student": training.student.name,
        "data": {reading.name: reading.digest for reading in readings},
        "settings": file_sha256(progress / SETTINGS),
        "versions": installed_versions(),
        "commit": commit(),
        **training.metrics(),
    }
    with written_whole(out, overwrite) as whole:
        write_student(training.student, whole, training.log, training.state)
        text = json.dumps(facts, ensure_ascii=False, indent=1)
        (whole / "run.json").write_text(text, encoding="utf-8")
    discard(progress)


def encoded_rows(
    student: Student,
    method: str,
    readings: Sequence[Reading],
    asked: int,
    cache: Path,
    processes: int,
    say: Callable[[str], object] | None,
) -> tuple[Dataset, dict]:
    """Return the encoded rows of all readings and the report of `encoded_dataset`.

    What is cut and left out is said now, before hours of training. ValueError where no row is left.
    """
    length = row_length(student, method, asked)
    if say and length < asked:
        say(
            f"--max-length {asked:,} 减到 {length:,}：{student.name} 的上下文只有这么长。 "
            f"Cut to {length:,} tokens, which is what the student's context has room for."
        )
    rows, report = encoded_dataset(
        Together(readings),
        student.tokenizer,
        length,
        packed=length if packs(student, method) else None,
        encoder_decoder=student.encoder_decoder,
        processes=processes,
        cache=cache,
    )
    names = ", ".join(reading.name for reading in readings)
    check_kept(names, report, length, student.context)
    if say:
        tell(readings, report, say)
    return rows, report


def check_rows(reading: Reading) -> None:
    """Raise ValueError for a file of IE records: what is learned is made of them first."""
    if reading.kind == "records":
        raise ValueError(
            f"{reading.name}: found IE records ({reading.task}), expected instruction rows. "
            "`build_instructions(read_any(FILE), …)` of miniluotuo_utils.ie makes them "
            "(notebook 05); `instructions FILE --out DIR` does so from a shell"
        )


def check_kept(names: str, report: Mapping, length: int, context: int) -> None:
    """Raise ValueError, with the way for each reason, where no row can be learned from."""
    if report["kept"]:
        return
    ways = {
        "no supervised token": "their output is empty; `respond` lets a teacher fill it",
        "loses text": "the student's vocabulary cannot write their output",
        f"over {length} tokens": "shorten them"
        + (f", or raise --max-length, up to {context:,}" if length < context else ""),
    }
    found = [f"{count:,} {why}: {ways[why]}" for why, count in report["dropped"].items()]
    reasons = "; ".join(found) or "it is empty"
    raise ValueError(f"{names}: found no row to learn from among {report['rows']:,}: {reasons}")


def tell(readings: Sequence[Reading], report: Mapping, say: Callable[[str], object]) -> None:
    """Say what the files could not give, and which rows are left out, before hours of training."""
    for line in (line for reading in readings for line in reading.noted):
        say(line)
    lost = report["rows"] - report["kept"]
    if lost:
        why = ", ".join(f"{count:,} {what}" for what, count in report["dropped"].items())
        warning = "注意 WARNING: " if lost > report["kept"] else ""
        say(
            f"{warning}{report['rows']:,} 行里有 {lost:,} 行（{lost / report['rows']:.0%}）没用上。"
            f" {lost:,} of {report['rows']:,} rows are left out: {why}."
        )


def method_of(student: Path, asked: str | None, bits: int | None) -> str:
    """Return the method of a training: the one asked for, else an adapter's own, else full.

    Raises ValueError for one that a packed student or an adapter's folder cannot be trained with.
    """
    config = student / "adapter_config.json"
    own = None
    if config.is_file():
        own = json.loads(config.read_text(encoding="utf-8")).get("peft_type")
    further = "qlora" if bits == 4 else "lora"
    method = asked or (further if own else "full")
    if own and not (own == "LORA" and method in ("lora", "qlora")):
        raise ValueError(
            f"{student.name} is an adapter ({own}), which method {method!r} does not train: "
            + ("leave --method out to train it further, or " if own == "LORA" else "")
            + "`merge` it first and train the merged folder"
        )
    check_bits(method, 4 if method == "qlora" and bits is None else bits)
    return method


def check_place(out: Path, student: Path, method: str) -> None:
    """Raise ValueError for an adapter's folder from which its base could not be found."""
    if not student.is_dir() or method == "full":
        return
    adapter = (student / "adapter_config.json").is_file()
    base = base_of_adapter(student) if adapter else student
    if isinstance(base, Path):
        check_beside(out, base)


def check_beside(out: Path, base: Path) -> None:
    """Raise ValueError for an adapter's folder that is its base's, or does not stand beside it."""
    refuse_base(out, base)
    if base.resolve().parent != out.resolve().parent:
        raise ValueError(
            f"an adapter finds its base beside it: name an --out in the same folder as {base.name}"
        )
