"""Fine-tune a student: TRL and PEFT behind one function. Shown in notebook 04.

In: a student and instruction rows (or token rows). Out: the trained student and its log.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.choices import MORE, PART, WHOLE, check_amounts, check_choice
from miniluotuo_utils.files import write_jsonl
from miniluotuo_utils.students.bases import weights_fingerprint
from miniluotuo_utils.students.checkpoints import (
    LOG,
    check_progress,
    checkpoint_error,
    last_checkpoint,
    open_folder,
    say_room,
    settings_of,
)
from miniluotuo_utils.students.devices import (
    cut_up,
    first_process,
    memory_of,
    quiet,
    world_size,
)
from miniluotuo_utils.students.estimate import training_memory
from miniluotuo_utils.students.folder import complete_folder
from miniluotuo_utils.students.given import given_rows, refuse_silver
from miniluotuo_utils.students.internals import load_checkpoint, tied_names
from miniluotuo_utils.students.lessons import note_lesson, sources_of, write_lessons
from miniluotuo_utils.students.loading import Student
from miniluotuo_utils.students.loop import build_trainer, trainer_arguments
from miniluotuo_utils.students.methods import (
    LOW_RANK,
    METHODS,
    RANK,
    TOKENS,
    VIRTUAL,
    Adapter,
    attach,
    bits_of,
    check_targets,
    check_trainable,
    not_cut_up,
    peak_rate,
)
from miniluotuo_utils.students.planner import advice
from miniluotuo_utils.students.training import Options, Schedule, Throughput, Training
from miniluotuo_utils.tokens import collate, encode, pack
from miniluotuo_utils.tokens.columns import as_dataset, columns_of, flat, has_labels, sizes_of
from miniluotuo_utils.tokens.template import say_template
from miniluotuo_utils.writing import Alone, Taken, check_folder, written_whole

if TYPE_CHECKING:
    from datasets import Dataset

REPORTERS = ("none", "tensorboard", "trackio")  # none of them asks for a key
FEW = 30  # steps, below which a training changes hardly anything
# What an amount must be; one that is left out is not looked at.
SENSE = {
    **dict.fromkeys(("epochs", "minutes", "learning_rate", "alpha"), MORE),
    **dict.fromkeys(("max_steps", "batch_size", "accumulate", "max_length"), WHOLE),
    **dict.fromkeys(("rank", "checkpoints"), WHOLE),
    **dict.fromkeys(("evaluation", "dropout"), PART),
}


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
    alpha: float | None = None,
    dropout: float | None = None,
    targets: Sequence[str] | None = None,
    evaluation: float = 0.0,
    checkpointing: bool | None = None,
    seed: int = 42,
    folder: Path | None = None,
    checkpoints: int = 10,
    half: bool | None = None,
    report_to: str = "none",
    show: Callable[[Training], None] | None = None,
    objective: Any = None,
) -> Training:
    """Train `student` in place on `rows` and return it with its log.

    `rows` are instruction rows, or token rows of `tokens.encode` or `tokens.pack`: a list, a
    DataFrame or a `Dataset` (`given_rows`). A batch holds `batch_size` packed sequences of up to
    `max_length` tokens on a GPU, and as many single rows of about one length on a CPU (`packs`).
    The training ends after `epochs`, `max_steps` or `minutes`, whichever comes first, and the
    learning rate falls with that. `evaluation` is the share of rows kept out for an evaluation
    loss; silver rows (`"annotation": "silver"`) are refused with it. A student that was loaded with
    an adapter has that trained further.

    A low-rank adapter has `rank`, `alpha` (its scale is alpha / rank; 2 × rank where None),
    `dropout` (0.05) and `targets`, the names of the linear layers that get one (all but the output
    layer), as in `["q_proj", "v_proj"]`. `checkpointing` recomputes activations to save memory;
    None does so only where the estimate says that memory would not do. Half precision is used where
    the device computes it itself, a CPU too; `half=False` stays with float32: slower, and equal to
    a loop written by hand.

    With `folder`, every step is a line of `folder/training.jsonl` and ten checkpoints stand beside
    it (`checkpoints` sets how many): a killed training that is called again goes on from the last
    one, to the same loss (with `minutes` only nearly, since wall time differs; AdaLoRA begins anew,
    because PEFT does not save its importance scores). `show` is called after each step and at the
    end; its method `begin`, if it has one, before the first, with the number of steps.
    `objective` is what `distill` has it learn beside the labels.

    Raises ValueError where no token is supervised, or where `folder` holds another training;
    FloatingPointError as soon as the loss is not a number; MemoryError with advice where memory
    runs out.
    """
    options = Options(
        method=method,
        epochs=epochs,
        max_steps=max_steps,
        minutes=minutes,
        max_length=max_length,
        batch_size=batch_size,
        accumulate=accumulate,
        learning_rate=learning_rate,
        rank=rank,
        alpha=alpha,
        dropout=dropout,
        targets=[*targets] if targets and not isinstance(targets, str) else targets,
        evaluation=evaluation,
        checkpointing=checkpointing,
        seed=seed,
        checkpoints=checkpoints,
        half=half,
    )
    # Refused now, rather than after minutes of encoding.
    refuse(student, options, report_to, folder)
    if folder:
        check_progress(folder)
    rows = given_rows(rows)
    refuse_silver(rows, evaluation)
    # Several processes of one launch write through the first one.
    with Alone(folder) if folder and first_process() else nullcontext():
        try:
            training = trained(student, rows, options, folder, report_to, show, objective)
            note_lesson(training, sources_of(rows), objective)
            return training
        finally:
            if objective:
                objective.end(student)


def trained(
    student: Student,
    rows: Sequence[Mapping],
    options: Options,
    folder: Path | None,
    report_to: str,
    show: Callable[[Training], None] | None,
    objective: Any = None,
) -> Training:
    """Encode the rows, attach the method, and train; see `finetune`.

    `objective` is what is learned beside the labels (`objectives`), None for them alone.
    """
    method, seed = options.method, options.seed
    sequences, held_out, dropped = training_rows(
        student,
        rows,
        method,
        options.max_length,
        options.evaluation,
        seed,
        alone=bool(objective) and objective.alone,
    )

    longest = int(sizes_of(sequences).max())

    # A checkpoint belongs to what was asked for, and to the student before its adapter.
    settings = settings_of(student, options, sequences, objective) if folder else {}
    if objective:
        sequences = objective.begin(student, sequences, options)
    steps = steps_of(len(sequences), options)
    options = settled(student, options, longest)
    with quiet():
        attach(student, method, seed, steps, adapter_of(options))

    training = begun(student, method, longest, dropped)

    # Without a folder, what the library insists on writing goes with the training.
    with tempfile.TemporaryDirectory() as scratch, quiet():
        where = folder or Path(scratch)
        journal = open_folder(folder, settings, training) if folder else None
        if journal and method != "adalora":
            say_room(student, where)
        arguments = trainer_arguments(student, options, str(where), report_to, objective)
        schedule = Schedule(options.minutes, options.checkpoints)
        trainer = build_trainer(
            training, schedule, sequences, held_out, arguments, journal, show, objective
        )
        train(trainer, last_checkpoint(where), steps)

    student.model.eval()
    if show and training.log:
        show(training)
    return training


def adapter_of(options: Options) -> Adapter:
    """Return what the options say of a low-rank adapter."""
    return Adapter(*(getattr(options, name) for name in Adapter._fields))


def steps_of(sequences: int, options: Options) -> int:
    """Return how many steps a training takes; say where its epochs make too few to learn from."""
    if options.max_steps:
        return options.max_steps
    steps = planned_steps(sequences, options.batch_size, options.accumulate, options.epochs)
    if first_process() and steps < FEW:
        print(
            f"一共只有 {steps} 步，多半学不到什么：把 epochs 加大，或多给些行。 "
            f"Only {steps} steps in all: raise epochs=…, or give more rows."
        )
    return steps


def begun(student: Student, method: str, longest: int, dropped: dict[str, int]) -> Training:
    """Return the record of a training that has no step yet; its longest row says what is fast."""
    model, pad_id = student.model, student.tokenizer.pad_token_id
    return Training(
        student,
        method,
        Throughput(model.config, longest, method, model.device, pad_id),
        dropped=dropped,
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
    )


def refuse(student: Student, options: Options, report_to: str, folder: Path | None) -> None:
    """Raise ValueError for what cannot be trained, before anything is encoded."""
    check_options(**options._asdict(), report_to=report_to, folder=folder)
    config, method = student.model.config, options.method
    if cut_up() and (reason := not_cut_up(config, method, bits_of(student.model))):
        raise ValueError(
            f"{student.name} ({config.model_type}), method {method!r}: {reason}; "
            "train it with accelerate/ddp.yaml（FSDP 切不开，换 ddp.yaml）"
        )
    if student.is_adapter and (given := given_of(options._asdict())):
        raise ValueError(
            f"{student.name} has an adapter already, whose own {', '.join(given)} stay: leave them "
            "out to train it further, or merge(student) first"
        )
    check_trainable(student, method)
    check_targets(student, options.targets)


def given_of(options: Mapping[str, Any]) -> list[str]:
    """Return which options of a low-rank adapter somebody gave; a rank has a default."""
    return [name for name in Adapter._fields[1:] if options.get(name) is not None]


def check_options(
    method: str = "full",
    evaluation: float = 0.0,
    checkpointing: bool | None = None,
    report_to: str = "none",
    folder: Path | None = None,
    **others: Any,
) -> None:
    """Raise ValueError for options that no student can be trained with, before one is loaded.

    `others` are more of `finetune`'s options; what is left out is not looked at.
    """
    check_choice("method", method, METHODS)
    check_choice("report_to", report_to, REPORTERS)
    amounts = {name: value for name, value in others.items() if name in SENSE}
    check_amounts(SENSE, evaluation=evaluation, **amounts)
    given, targets = given_of(others), others.get("targets")

    # Whether a rule is broken, and what is said then; the first one is told.
    rules = [
        (
            bool(given) and method not in LOW_RANK,
            f"{', '.join(given)}: expected a low-rank method ({', '.join(LOW_RANK)}), found "
            f"{method!r}, which has no such adapter",
        ),
        (
            targets is not None and (isinstance(targets, str) or not targets),
            f"targets is {targets!r}; expected a list of names of linear layers",
        ),
        (
            checkpointing and method in VIRTUAL,
            f"method {method!r} learns virtual tokens, which recomputation cannot see: "
            "leave checkpointing out",
        ),
        (
            report_to in REPORTERS[1:] and not find_spec(report_to),
            f"report_to is {report_to!r}, which is not installed: pip install {report_to}",
        ),
        (
            report_to == "tensorboard" and folder is None,
            "report_to is 'tensorboard'; expected a folder, beside which it writes",
        ),
    ]
    for broken, message in rules:
        if broken:
            raise ValueError(message)


# ---- rows


def training_rows(
    student: Student,
    rows: Sequence[Mapping],
    method: str,
    max_length: int,
    evaluation: float,
    seed: int,
    alone: bool = False,
) -> tuple[Dataset, Dataset, dict]:
    """Return token rows to train on, those kept out, and what was left out by reason.

    Rows share sequences where `packs` says so and not `alone`, and are taken apart else. A
    `Dataset` that needs neither stays on its disk.
    """
    # A dataset is never turned into a list: it may hold more rows than memory.
    length, dropped = row_length(student, method, max_length), {}
    encoded = rows if hasattr(rows, "column_names") else list(rows)
    if "input_ids" not in columns_of(encoded):
        say_template(student.name, student.tokenizer)
        both = student.encoder_decoder
        made = encode(encoded, student.tokenizer, length, encoder_decoder=both)
        encoded, dropped = made.rows, dict(made.dropped)
    encoded = as_dataset(encoded)
    check_vocabulary(student, encoded)

    parts = split(encoded, evaluation, seed)

    # A row that shared a sequence may be too long beside virtual tokens.
    packed = "position_ids" in encoded.column_names
    together = not alone and packs(student, method)
    if packed and not together:
        single = [unpack(part) for part in parts]
        kept = [up_to(length, part) for part in single]
        if longer := sum(map(len, single)) - sum(map(len, kept)):
            dropped = {**dropped, f"over {length} tokens": longer}
        parts = [as_dataset(part) for part in kept]
    elif together and not packed:
        parts = [as_dataset(pack(part, length)) for part in parts]

    kept_out, learned = parts
    if not has_labels(learned):
        raise ValueError(
            f"no token of {len(rows)} rows is supervised (left out: {dropped or 'nothing'}); "
            f"the loss would be NaN. {student.name} has room for {student.context:,} tokens and "
            f"max_length is {max_length:,}: shorten the rows, or raise it; give each an output"
            "（没有一个要学的词元：每一行都要有回答，放得下）"
        )
    return learned, kept_out, dropped


def split(rows: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Return a share of the rows, drawn at random, and the others: none and all for share 0."""
    count = len(rows)
    # At least one row stays to be learned from.
    first = min(max(1, round(share * count)), count - 1) if share else 0
    if first <= 0:
        return rows.select([]), rows
    order = random.Random(seed).sample(range(count), count)
    return rows.select(order[:first]), rows.select(order[first:])


def up_to(length: int, rows: Sequence[Mapping]) -> list[Mapping]:
    """Return the rows of at most `length` tokens."""
    return [row for row in rows if len(row["input_ids"]) <= length]


def row_length(student: Student, method: str, max_length: int) -> int:
    """Return how many tokens a row may have: `max_length`, or what the context has room for.

    Virtual tokens take places of the context.
    """
    return min(max_length, student.context - (TOKENS if method in VIRTUAL else 0))


def check_vocabulary(student: Student, rows: Dataset) -> None:
    """Raise ValueError for token rows that were encoded with another student's vocabulary."""
    largest = max((int(ids.max()) for ids in flat(rows, "input_ids")), default=0)
    size = student.model.get_input_embeddings().num_embeddings
    if largest >= size:
        raise ValueError(
            f"the rows hold token {largest:,}, {student.name} knows {size:,}: "
            "they were encoded for another student; encode them with this one's tokenizer"
        )


def packs(student: Student, method: str) -> bool:
    """Return whether rows share sequences in a training; else rows of one length share a batch.

    A CPU has no attention that skips what a row must not see: there a packed row pays for the whole
    sequence, which costs more than a little padding (`benchmarks/row_shapes.py`).
    """
    if on_cpu(student) or method in VIRTUAL or student.encoder_decoder:
        return False
    return isolates_packed_rows(student)


def on_cpu(student: Student) -> bool:
    """Return whether a student is trained on a CPU."""
    return student.model.device.type == "cpu"


def isolates_packed_rows(student: Student) -> bool:
    """Return whether two rows in one sequence give the logits that each gives alone.

    Tried, since some architectures (ALiBi, GPT-Neo) look across.
    """
    import torch

    first, second = [5, 6, 7, 8, 9, 10], [11, 12, 13]
    both = collate(pack([{"input_ids": r, "labels": r} for r in (first, second)], 16), 0)
    both = {name: both[name].to(student.model.device) for name in ("input_ids", "position_ids")}
    model = student.model.eval()
    with torch.inference_mode():
        try:
            joint = model(**both, use_cache=False).logits[0, len(first) :]
        except TypeError:  # takes no position ids
            return False
        alone = model(both["input_ids"][:, len(first) :], use_cache=False).logits[0]
    return bool((joint - alone).abs().max() < 1e-2 * alone.abs().max())


def unpack(sequences: Sequence[Mapping]) -> list[dict[str, list[int]]]:
    """Return the rows of packed sequences, each on its own again.

    >>> rows = [{"input_ids": [1, 2], "labels": [1, 2]}, {"input_ids": [3], "labels": [3]}]
    >>> unpack(pack(rows, 4))
    [{'input_ids': [1, 2], 'labels': [-100, 2]}, {'input_ids': [3], 'labels': [-100]}]
    """
    rows = []
    for sequence in sequences:
        starts = [i for i, p in enumerate(sequence["position_ids"]) if p == 0]
        for a, b in zip(starts, [*starts[1:], None], strict=True):
            rows.append({name: sequence[name][a:b] for name in ("input_ids", "labels")})
    return rows


# ---- training


def planned_steps(rows: int, batch_size: int, accumulate: int, epochs: float) -> int:
    """Return the optimizer steps of a training, the last of an epoch perhaps on fewer rows.

    The processes of `accelerate launch` share the rows.

    >>> planned_steps(10, 4, 1, 2)
    6
    """
    batches = math.ceil(rows / (batch_size * world_size()))
    return max(1, math.ceil(epochs * math.ceil(batches / accumulate)))


def settled(student: Student, options: Options, length: int) -> Options:
    """Fill in what was left open: the learning rate, and whether to recompute activations."""
    method, checkpointing = options.method, options.checkpointing
    if checkpointing is None:
        checkpointing = needs_checkpointing(student, method, length, options.batch_size)
    rate = options.learning_rate or peak_rate(student, method)
    return options._replace(learning_rate=rate, checkpointing=checkpointing)


def needs_checkpointing(student: Student, method: str, length: int, batch_size: int) -> bool:
    """Return whether training without recomputation would take over nine tenths of the GPU."""
    # Recomputation and learned past keys exclude each other; a CPU has memory to spare.
    device = student.model.device
    if method in VIRTUAL or device.type != "cuda":
        return False
    bits, parts = bits_of(student.model), world_size() if cut_up() else 1
    needed = training_memory(
        student.model.config, method, length, batch_size, bits=bits, processes=parts
    )
    return needed["total"] > 0.9 * memory_of(device)


def train(trainer: Any, checkpoint: Path | None, planned: int) -> None:
    """Run the trainer from a checkpoint or from the start; note seconds, memory and weights."""
    import torch

    training, student = trainer.record, trainer.record.student
    trainer.schedule.begin(training.log[-1]["seconds"] if training.log else 0.0)
    try:
        # Killed between its last step and `save`: the library would train one step more.
        if checkpoint and training.steps >= planned:
            load_checkpoint(trainer, checkpoint)
        else:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    # safetensors' errors are of no type that Python has.
    except Exception as error:
        if full := checkpoint_error(error, student, Path(trainer.args.output_dir)):
            raise full from error
        # A GPU says so by the type, a CPU in words.
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise MemoryError(memory_advice(trainer)) from error
    finally:
        # A trainer that is its own callback would keep the optimizer's memory for a while.
        trainer.remove_callback(trainer)

    # FSDP cut the weights over processes. Gathered, a tied embedding is a copy that would be saved
    # twice.
    if trainer.is_fsdp_enabled:
        state, tied = trainer.accelerator.get_state_dict(trainer.model), tied_names(student.model)
        training.state = {name: state[name] for name in state or () if name not in tied}
    # accelerate leaves its mixed-precision wrapper around `forward`: the student would not equal
    # the one that is saved.
    student.model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    # An adapter that holds this machine's path loads nowhere else.
    if hasattr(student.model, "peft_config"):
        student.model.peft_config["default"].base_model_name_or_path = student.name
        student.model.peft_config["default"].revision = student.revision
    training.seconds = time.time() - trainer.schedule.started


def memory_advice(trainer: Any) -> str:
    """Say what to change where memory ran out."""
    model, meter, asked = trainer.record.student.model, trainer.record.meter, trainer.args
    return advice(
        model.config,
        meter.method,
        meter.length,
        asked.per_device_train_batch_size,
        memory_of(model.device),
        asked.gradient_checkpointing,
        bits_of(model),
        world_size() if cut_up() else 1,
    )


# ---- what comes out


def save(
    student: Student,
    folder: Path | str,
    log: Sequence[Mapping] = (),
    state: Mapping | None = None,
    overwrite: bool = True,
) -> Path:
    """Write a student (or its adapter) as safetensors with its tokenizer and its log.

    The folder also says how the student is asked (`folder.complete_folder`): the chat template,
    the settings of generation, an adapter's base and its fingerprint, a README. `learned.json` says
    what the student has learned from (`lessons`).

    Written beside and then renamed, so that `folder` is whole or not there. `state` is
    `Training.state`: the whole weights of a training that cut them over several processes.
    `folder` may hold what an earlier call wrote, as it was written: it is replaced, unless
    `overwrite=False`. Raises `Taken` (a ValueError) where it holds anything else, and where it is
    the base that the student came from.
    """
    folder = Path(folder)
    real = folder.resolve()
    check_folder(real, folder.name, overwrite)
    refuse_origin(student, real)
    with written_whole(folder, overwrite) as whole:
        write_student(student, whole, log, state)
    return folder


def write_student(
    student: Student, folder: Path, log: Sequence[Mapping], state: Mapping | None
) -> None:
    """Make the folder of a student, which nobody has yet."""
    # Else PEFT asks the hub about the base.
    alone = {"save_embedding_layers": False} if student.is_adapter else {}
    folder.mkdir(parents=True)
    with quiet():
        student.model.save_pretrained(folder, state_dict=state, **alone)
        student.tokenizer.save_pretrained(folder)
    complete_folder(student, folder)
    write_lessons(folder, student.lessons)
    if log:
        write_jsonl(folder / LOG, log)


def refuse_origin(student: Student, folder: Path) -> None:
    """Raise `Taken` where `folder` holds the base that a student was trained or merged from.

    A copy of it counts too: names and links do not matter, weights do.
    """
    # Its adapter would point to itself, whatever stands there now.
    itself = student.is_adapter and student.name == f"./{folder.name}"
    changed = student.is_adapter or student.weights != student.origin
    base = changed and student.origin and folder.is_dir()
    if itself or (base and weights_fingerprint(folder) == student.origin):
        raise Taken(lost_base(folder))


def refuse_base(folder: Path, base: Path) -> None:
    """Raise `Taken` where `folder` is the folder of an adapter's base, which would be lost."""
    if folder.is_dir() and folder.resolve() == base.resolve():
        raise Taken(lost_base(folder))


def lost_base(folder: Path) -> str:
    """Say why a folder is not written."""
    return (
        f"{folder.name} is the base that the adapter needs, or that this student was trained from: "
        "name another folder beside it"
    )


def merge(student: Student) -> Student:
    """Return the student with its adapter added into its weights: a plain transformers model.

    Raises ValueError for a student that has no adapter, and for virtual tokens, which stand before
    the prompt and not in the weights.
    """
    if not hasattr(student.model, "peft_config"):
        raise ValueError(
            f"{student.name} has no adapter to merge; load an adapter folder with load_student"
        )
    if not hasattr(student.model, "merge_and_unload"):
        kind = student.model.peft_config["default"].peft_type.value
        raise ValueError(
            f"虚拟词元不在权重里，不能合并，留着适配器文件夹就好：{student.name} learned virtual "
            f"tokens ({kind}), which cannot be merged: keep the adapter folder, "
            "load_student reads it"
        )
    merged = student.model.merge_and_unload().eval()
    more = {"origin": student.origin, "lessons": student.lessons}
    return Student(student.name, merged, student.tokenizer, **more)
