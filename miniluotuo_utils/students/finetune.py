"""Fine-tune a student: TRL and PEFT behind one function. Shown in notebook 04.

In: a student and instruction rows (or token rows). Out: the trained student and its log.
"""

from __future__ import annotations

import json
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from miniluotuo_utils.files import written_whole
from miniluotuo_utils.moved import names as moved_names
from miniluotuo_utils.runtime import peak_memory_mib
from miniluotuo_utils.students.checkpoints import identity, last_checkpoint, open_folder
from miniluotuo_utils.students.devices import quiet
from miniluotuo_utils.students.loading import Student
from miniluotuo_utils.students.loop import (
    build_trainer,
    check_reporter,
    four_bits_on_cpu,
    trainer_arguments,
)
from miniluotuo_utils.students.methods import METHODS, RANK, TOKENS, VIRTUAL, attach, peak_rate
from miniluotuo_utils.students.training import Throughput, Training, Watch
from miniluotuo_utils.tokens import IGNORED, collate, encode, pack


def finetune(
    student: Student,
    rows: Sequence[Mapping],
    method: str = "full",
    *,
    epochs: float = 1.0,
    max_steps: int | None = None,
    minutes: float | None = None,
    max_length: int = 512,
    batch_size: int = 8,
    accumulate: int = 1,
    learning_rate: float | None = None,
    rank: int = RANK,
    evaluation: float = 0.0,
    checkpointing: bool | None = None,
    seed: int = 42,
    folder: Path | None = None,
    checkpoints: int = 10,
    report_to: str = "none",
    show: Callable[[Training], None] | None = None,
) -> Training:
    """Train `student` in place on `rows` and return it with its log.

    `rows` are instruction rows, or token rows of `tokens.encode` or `tokens.pack`. The training ends after `epochs`,
    `max_steps` or `minutes`, whichever comes first, and the learning rate falls with that. `evaluation` is the share of rows kept
    out for an evaluation loss. With `folder`, every step is a line of `folder/training.jsonl` and ten checkpoints stand
    beside it (`checkpoints` sets how many): a killed training that is called again goes on from the last one, to the same loss (with
    `minutes` only nearly, since wall time differs; AdaLoRA begins anew, because PEFT does not save its importance scores).
    `show` is called after each step and at the end. `checkpointing` recomputes activations to save memory; None does so
    only where the estimate says that memory would not do.

    Raises ValueError where no token is supervised, or where `folder` holds another training; FloatingPointError as soon
    as the loss is not a number; MemoryError with advice where memory runs out.
    """
    options = {
        k: v
        for k, v in locals().items()
        if k not in ("student", "rows", "folder", "show", "report_to")
    }
    refuse(student, report_to, folder, **options)
    sequences, held_out, dropped = training_rows(
        student, rows, method, max_length, evaluation, seed
    )
    settings = {**options, **identity(student)}
    steps = max_steps or planned_steps(len(sequences), batch_size, accumulate, epochs)
    rate = learning_rate or peak_rate(student, method)
    with quiet():
        attach(student, method, seed, steps, rank)
    length = max(len(s["input_ids"]) for s in sequences)
    if checkpointing is None:
        checkpointing = needs_checkpointing(student, method, length, batch_size)
    training = Training(
        student,
        method,
        Throughput(
            student.model.config,
            length,
            method,
            student.model.device,
            student.tokenizer.pad_token_id,
        ),
        dropped=dropped,
    )
    training.trainable = sum(p.numel() for p in student.model.parameters() if p.requires_grad)
    with tempfile.TemporaryDirectory() as scratch:
        where = open_folder(folder, training, settings, sequences) if folder else Path(scratch)
        watch = Watch(
            training, minutes, checkpoints, where / "training.jsonl" if folder else None, show
        )
        watch.evaluates, watch.saves = bool(held_out), folder is not None and method != "adalora"
        with quiet():
            arguments = trainer_arguments(
                student,
                str(where),
                epochs=epochs,
                max_steps=max_steps,
                batch_size=batch_size,
                accumulate=accumulate,
                rate=rate,
                seed=seed,
                checkpointing=checkpointing,
                report_to=report_to,
            )
            trainer = build_trainer(student, sequences, held_out, arguments, watch, method)
            train(trainer, watch, last_checkpoint(where), steps, length, batch_size)
    student.model.eval()
    if show and training.log:
        show(training)
    return training


def refuse(student: Student, report_to: str, folder: Path | None, **options: Any) -> None:
    """ValueError for what cannot be trained, before anything is loaded or encoded."""
    method, both = options["method"], student.model.config.is_encoder_decoder
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    for name in (
        "epochs",
        "max_steps",
        "minutes",
        "batch_size",
        "accumulate",
        "learning_rate",
        "max_length",
        "rank",
        "checkpoints",
    ):
        if options[name] is not None and options[name] <= 0:
            raise ValueError(f"{name} is {options[name]}; expected more than 0")
    if not 0 <= options["evaluation"] < 1:
        raise ValueError(
            f"evaluation is {options['evaluation']}; expected a share of the rows, from 0 to below 1"
        )
    if options["checkpointing"] and method in VIRTUAL:
        raise ValueError(
            f"method {method!r} learns virtual tokens, which recomputation cannot see: leave checkpointing out"
        )
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true" and (
        both or method == "adalora"
    ):
        raise ValueError(
            f"{student.name} with method {method!r} cannot be cut up by FSDP (shared embeddings, changing ranks): use ddp.yaml"
        )
    check_reporter(report_to, folder)


def train(
    trainer: Any, watch: Watch, checkpoint: Path | None, planned: int, length: int, batch_size: int
) -> None:
    """Run the trainer from a checkpoint or from the start, and note seconds and memory."""
    import torch

    training, student = watch.training, watch.training.student
    watch.begin()
    try:
        if checkpoint and training.steps >= planned:  # killed between its last step and `save`
            trainer._load_from_checkpoint(str(checkpoint))
        else:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        from miniluotuo_utils.students.devices import memory_of
        from miniluotuo_utils.students.planner import advice

        checkpointing = trainer.args.gradient_checkpointing
        raise MemoryError(
            advice(
                student.model.config,
                training.method,
                length,
                batch_size,
                memory_of(student.model.device),
                checkpointing,
            )
        ) from error
    if trainer.is_fsdp_enabled:
        training.state = trainer.accelerator.get_state_dict(trainer.model)
        for tied in getattr(student.model, "_tied_weights_keys", None) or ():
            if training.state and student.model.config.tie_word_embeddings:
                training.state.pop(tied, None)  # else the file holds the embeddings twice
    # accelerate leaves its mixed-precision wrapper around forward, and the saved student would not equal this one
    student.model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    if hasattr(student.model, "peft_config"):
        student.model.peft_config[
            "default"
        ].base_model_name_or_path = student.name  # never an absolute path
    training.seconds = time.time() - watch.started
    training.peak_mib = peak_memory_mib()


def planned_steps(rows: int, batch_size: int, accumulate: int, epochs: float) -> int:
    """Optimizer steps of a training, the last of an epoch perhaps on fewer rows; processes of `accelerate launch` share the rows.

    >>> planned_steps(10, 4, 1, 2)
    6
    """
    batches = math.ceil(rows / (batch_size * int(os.environ.get("WORLD_SIZE", 1))))
    return max(1, math.ceil(epochs * math.ceil(batches / accumulate)))


def training_rows(
    student: Student,
    rows: Sequence[Mapping],
    method: str,
    max_length: int,
    evaluation: float,
    seed: int,
) -> tuple[list, list, dict]:
    """Token rows to train on, those kept out, and what encoding left out; packed where the student keeps packed rows apart."""
    rows, length = list(rows), row_length(student, method, max_length)
    both = student.model.config.is_encoder_decoder
    encoded, dropped = (
        (rows, {}) if rows and "input_ids" in rows[0] else encoded_rows(student, rows, length)
    )
    check_vocabulary(student, encoded)
    kept_out = min(max(1, round(evaluation * len(encoded))), len(encoded) - 1) if evaluation else 0
    if kept_out > 0:
        encoded = random.Random(seed).sample(list(encoded), len(encoded))
    held_out, encoded = encoded[:kept_out], encoded[kept_out:]
    apart = method in VIRTUAL or both or not isolates_packed_rows(student)
    if apart and encoded and "position_ids" in encoded[0]:
        rows_apart = [unpack(part) for part in (encoded, held_out)]
        encoded, held_out = (
            [row for row in part if len(row["input_ids"]) <= length] for part in rows_apart
        )
        if longer := sum(map(len, rows_apart)) - len(encoded) - len(held_out):
            dropped = {**dropped, f"over {length} tokens": longer}
    elif not apart and encoded and "position_ids" not in encoded[0]:
        encoded, held_out = pack(encoded, length), pack(held_out, length)
    if not any(label != IGNORED for s in encoded for label in s["labels"]):
        raise ValueError(
            f"no token of {len(rows)} rows is supervised (left out: {dropped or 'nothing'}); the loss would be NaN. "
            f"Shorten the prompts or raise max_length (now {length})"
        )
    return encoded, held_out, dropped


def row_length(student: Student, method: str, max_length: int) -> int:
    """How many tokens a row may have: `max_length`, or what the student's context leaves beside learned virtual tokens."""
    return min(max_length, student.context - (TOKENS if method in VIRTUAL else 0))


def check_vocabulary(student: Student, rows: Sequence[Mapping]) -> None:
    """ValueError for token rows with an id that the student does not have: they were encoded with another vocabulary."""
    largest = max((max(row["input_ids"]) for row in rows if row["input_ids"]), default=0)
    size = student.model.get_input_embeddings().num_embeddings
    if largest >= size:
        raise ValueError(
            f"the rows hold token {largest:,}, {student.name} knows {size:,}: they were encoded for another student; "
            "encode them with this one's tokenizer"
        )


def encoded_rows(
    student: Student, rows: Sequence[Mapping], length: int
) -> tuple[list[dict], dict[str, int]]:
    """Rows as ids, and what was left out by reason."""
    encoded = encode(
        rows, student.tokenizer, length, encoder_decoder=student.model.config.is_encoder_decoder
    )
    return encoded.rows, dict(encoded.dropped)


def isolates_packed_rows(student: Student) -> bool:
    """Whether two rows in one sequence give the logits that each gives alone: tried, since some architectures (ALiBi, GPT-Neo) look across."""
    import torch

    if four_bits_on_cpu(student.model):
        return False
    first, second = [5, 6, 7, 8, 9, 10], [11, 12, 13]
    both = collate(pack([{"input_ids": r, "labels": r} for r in (first, second)], 16), 0)
    model, device = student.model.eval(), student.model.device
    with torch.inference_mode():
        try:
            joint = model(
                both["input_ids"].to(device),
                position_ids=both["position_ids"].to(device),
                use_cache=False,
            ).logits[0, len(first) :]
        except TypeError:  # takes no position ids
            return False
        alone = model(torch.tensor([second], device=device), use_cache=False).logits[0]
    return bool((joint - alone).abs().max() < 1e-2 * alone.abs().max())


def unpack(sequences: Sequence[Mapping]) -> list[dict[str, list[int]]]:
    """Packed sequences as their rows again.

    >>> unpack(pack([{"input_ids": [1, 2], "labels": [1, 2]}, {"input_ids": [3], "labels": [3]}], 4))
    [{'input_ids': [1, 2], 'labels': [-100, 2]}, {'input_ids': [3], 'labels': [-100]}]
    """
    rows = []
    for sequence in sequences:
        starts = [i for i, p in enumerate(sequence["position_ids"]) if p == 0]
        for a, b in zip(starts, [*starts[1:], len(sequence["input_ids"])], strict=True):
            rows.append(
                {"input_ids": sequence["input_ids"][a:b], "labels": sequence["labels"][a:b]}
            )
    return rows


def needs_checkpointing(student: Student, method: str, length: int, batch_size: int) -> bool:
    """Whether the estimate without recomputation is above nine tenths of the GPU's memory; never on a CPU."""
    device = student.model.device
    if method in VIRTUAL or device.type != "cuda":
        return False  # recomputation and learned past keys exclude each other
    import torch

    from miniluotuo_utils.students.estimate import training_memory

    there = torch.cuda.get_device_properties(device).total_memory
    return (
        training_memory(student.model.config, method, length, batch_size, checkpointing=False)[
            "total"
        ]
        > 0.9 * there
    )


def save(
    student: Student, folder: Path, log: Sequence[Mapping] = (), state: Mapping | None = None
) -> Path:
    """Write a student (or its adapter) as safetensors with its tokenizer and its log, beside and then renamed.

    `state` is `Training.state`: the whole weights of a training that cut them over several processes.
    """
    check_target(folder)
    with written_whole(folder) as partial_folder, quiet():
        partial_folder.mkdir(parents=True)
        adapter = (
            {"save_embedding_layers": False} if hasattr(student.model, "peft_config") else {}
        )  # else PEFT asks the hub about the base
        student.model.save_pretrained(
            partial_folder, **({} if state is None else {"state_dict": state}), **adapter
        )
        student.tokenizer.save_pretrained(partial_folder)
        (partial_folder / "README.md").unlink(
            missing_ok=True
        )  # PEFT's card names the base by its path on this machine
        lines = "".join(json.dumps(line) + "\n" for line in log)
        (partial_folder / "training.jsonl").write_text(lines, encoding="utf-8")
    return folder


def check_target(folder: Path) -> None:
    """ValueError for a folder that holds something other than a student: saving there would delete it."""
    marks = ("config.json", "adapter_config.json", "run.json")
    if folder.exists() and not (
        folder.is_dir()
        and (not any(folder.iterdir()) or any((folder / m).is_file() for m in marks))
    ):
        raise ValueError(
            f"{folder.name} is there and is no student folder; expected a new name or a student to replace"
        )


def merge(student: Student) -> Student:
    """The student with its adapter added into its weights: a plain transformers model again.

    Raises ValueError for a student that has no adapter, and for virtual tokens, which stand before the prompt and not in the weights.
    """
    if not hasattr(student.model, "peft_config"):
        raise ValueError(
            f"{student.name} has no adapter to merge; load an adapter folder with load_student"
        )
    if not hasattr(student.model, "merge_and_unload"):
        kind = student.model.peft_config["default"].peft_type.value
        raise ValueError(
            f"{student.name} learned virtual tokens ({kind}), which cannot be merged into weights: keep the adapter folder, load_student reads it"
        )
    return Student(student.name, student.model.merge_and_unload().eval(), student.tokenizer)


__getattr__ = moved_names(__name__)
