"""Train step by step: rows, batch, forward pass, masked loss, backward pass, log.

In: a student with its method attached, and rows of ids. Out: a trainer to call `train` on, TRL's
SFTTrainer (transformers' Trainer for encoder–decoders) with our loss. Shown in notebook 04.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.students.checkpoints import note_divergence
from miniluotuo_utils.students.devices import cut_up, half
from miniluotuo_utils.students.internals import cpu_computes_bf16, cut_up_on_cpu, use_one_gpu
from miniluotuo_utils.students.loading import Student
from miniluotuo_utils.students.methods import bits_of, train_in_float32
from miniluotuo_utils.students.training import Options, Schedule, Training
from miniluotuo_utils.tokens import IGNORED, collate
from miniluotuo_utils.tokens.columns import sizes_of
from miniluotuo_utils.tokens.packing import by_length

if TYPE_CHECKING:
    from datasets import Dataset

NUMBER = "number"  # the column that says which row a row is, where a teacher's say is kept
NOBODY = -1  # the number of a row that fills up

# ---- 1. rows → batch


def evened(rows: Dataset, size: int, pad_id: int) -> Dataset:
    """Fill rows up to a multiple of `size` with rows that nothing is learned from.

    Else several processes train the first rows a second time, to be equally long at work.

    >>> from miniluotuo_utils.tokens.columns import as_dataset
    >>> len(evened(as_dataset([{"input_ids": [5], "labels": [5]}] * 3), 4, 0))
    4
    """
    from datasets import Dataset, concatenate_datasets

    values = {"input_ids": pad_id, "labels": IGNORED, NUMBER: NOBODY}
    empty = {name: [[values.get(name, 0)]] * (-len(rows) % size) for name in rows.column_names}
    return concatenate_datasets([rows, Dataset.from_dict(empty, features=rows.features)])


class RowsByLength:
    """A sampler: in every epoch another order of rows, with rows of about one length together.

    It depends on `seed` and epoch alone, so that a killed training goes on with the rows that it
    would have met; transformers' own draws from the generator that it also loads anew. The rows
    behind the first `real` fill up, and come last: several processes make the batches of one.
    """

    def __init__(self, rows: Dataset, batch_size: int, seed: int, real: int) -> None:
        self.sizes, self.real = sizes_of(rows), real
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Be told by the trainer which epoch begins."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[int]:
        sizes = self.sizes[: self.real]
        order = by_length(sizes, self.batch_size, [self.seed, self.epoch])
        return chain(map(int, order), range(self.real, len(self)))


# ---- 2. forward pass → masked loss


def summed_loss(
    model: Any, inputs: Mapping, items: Any = None, plain: bool = False, processes: int = 1
) -> Any:
    """Return the cross-entropy of the supervised tokens, summed and divided by `items`.

    `items` is their number in the whole optimizer step, over all its batches and processes; None
    counts those of `inputs`. With several processes a step's loss is multiplied by their number,
    because gradients are averaged over them. `plain` says that `has_plain_head` holds.
    """
    # The wrapper of several processes must see the forward pass.
    logits, labels, _ = at_labels(model, inputs, plain and processes == 1)
    return per_item(entropy(logits, labels), len(labels), items, processes)


def entropy(logits: Any, labels: Any) -> Any:
    """Return the cross-entropy of `labels` [n] under `logits` [n, vocabulary], summed."""
    import torch

    return torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")


def per_item(total: Any, count: int, items: Any = None, processes: int = 1) -> Any:
    """Return a sum over `count` tokens divided by `items`, see `summed_loss`."""
    return total / max(1, count) if items is None else total / items * processes


def at_labels(model: Any, inputs: Mapping, plain: bool = False, **more: Any) -> tuple:
    """Return logits [labels, vocabulary], labels [labels] and what else the model gave.

    With `plain` (`has_plain_head` holds) logits are made only where a label is. Made for every
    position, they are most of a small student's time where prompts are long. `more` goes to the
    model, such as `output_hidden_states=True`.
    """
    labels = inputs["labels"]
    both = unwrapped(model).config.is_encoder_decoder

    # Without labels a decoder makes no loss of its own; an encoder–decoder needs them as its input.
    body = inputs if both else {name: value for name, value in inputs.items() if name != "labels"}
    if plain:
        outputs = base_of(model).base_model(**body, use_cache=False, **more)
        found = outputs[0]  # [rows, tokens, width]
    else:
        outputs = model(**body, use_cache=False, **more)
        found = outputs.logits  # [rows, tokens, vocabulary]
        found = found[:, -labels.shape[1] :]  # virtual tokens may stand before the row

    # A decoder predicts the next token: what it says at one position is about the label after it.
    if not both:
        found, labels = found[:, :-1], labels[:, 1:]
    wanted = labels != IGNORED
    logits = found[wanted]  # [labels, …]
    if plain:
        logits = base_of(model).get_output_embeddings()(logits)
    return logits, labels[wanted], outputs


def has_plain_head(student: Student) -> bool:
    """Return whether logits are just the output embedding of the last hidden state.

    Tried on a few tokens, since some architectures scale, cap or transform them. Never so with
    learned virtual tokens, which the model inside PEFT's does not see.
    """
    import torch

    model, whole = student.model, base_of(student.model)
    if student.encoder_decoder or four_bits_on_cpu(model) or has_virtual_tokens(model):
        return False
    ids = torch.arange(5, 13, device=model.device)[None]
    model.eval()  # without dropout
    with torch.inference_mode():
        direct = whole.get_output_embeddings()(whole.base_model(ids, use_cache=False)[0])
        logits = whole(ids, use_cache=False).logits
    return bool((direct - logits).abs().max() <= 1e-2 * logits.abs().max())


def has_virtual_tokens(model: Any) -> bool:
    """Return whether learned tokens or states stand before whatever a model reads."""
    adapters = getattr(model, "peft_config", {}).values()
    return any(adapter.is_prompt_learning for adapter in adapters)


def four_bits_on_cpu(model: Any) -> bool:
    """Return whether nothing may be tried on a model before it is trained.

    bitsandbytes repacks 4-bit weights at the first evaluation on a CPU and cannot train them then.
    """
    return bits_of(model) == 4 and model.device.type == "cpu"


def base_of(model: Any) -> Any:
    """Return the transformers model inside PEFT's."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def unwrapped(model: Any) -> Any:
    """Return the model inside the wrapper of several processes."""
    return getattr(model, "module", model)


def orthogonality_loss(model: Any) -> Any:
    """Return AdaLoRA's pull of its factors towards orthogonal rows, times `orth_reg_weight`.

    PEFT adds the same to a model's own loss, which is not computed here.
    """
    import torch

    terms = []
    for name, weight in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            square = weight @ weight.T if "lora_A" in name else weight.T @ weight
            one = torch.eye(len(square), device=square.device)
            terms.append(torch.linalg.matrix_norm(square - one))
    return model.peft_config["default"].orth_reg_weight * sum(terms) / len(terms)


# ---- 3. loss → backward pass, optimizer step, log


class Bookkeeping:
    """What a training is beside its loss, for a library's trainer to inherit: rate, stops, log.

    For each micro-batch the library calls `compute_loss` and goes backward; then it clips the
    gradients, steps the optimizer and the scheduler, and calls the rest in the order below. The
    trainer is its own callback. `objective` is what is learned beside the labels, None for them
    alone; the log then holds its part of the loss, too.
    """

    def __init__(
        self,
        training: Training,
        schedule: Schedule,
        journal: Path | None,
        show: Callable[[Training], None] | None,
        objective: Any = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.record, self.schedule, self.journal, self.show = training, schedule, journal, show
        self.objective = objective
        # TRL casts the adapters of a 4-bit student to bfloat16.
        train_in_float32(self.model)
        self.add_callback(self)

    def create_scheduler(self, num_training_steps, optimizer=None):
        """Make the learning rate follow the schedule."""
        from torch.optim.lr_scheduler import LambdaLR

        self.schedule.planned = num_training_steps
        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, self.schedule.factor)
        return self.lr_scheduler

    def on_train_begin(self, args, state, control, **_):
        """Tell a `show` that wants to know how many steps there will be."""
        if self.is_world_process_zero() and (begin := getattr(self.show, "begin", None)):
            begin(self.record, state.max_steps)

    def on_optimizer_step(self, args, state, control, model=None, **_):
        """Let AdaLoRA move ranks between matrices, while the gradients are still there."""
        if self.record.method == "adalora":
            unwrapped(model).base_model.update_and_allocate(state.global_step)

    def on_step_end(self, args, state, control, **_):
        """Say whether to save, to evaluate, and to stop."""
        self.schedule.tick()
        due = self.schedule.due(state.global_step)
        # PEFT does not save AdaLoRA's importance scores: a checkpoint could not be gone on from.
        saves = self.journal is not None and self.record.method != "adalora"
        control.should_save |= due and saves
        control.should_evaluate |= due and self.eval_dataset is not None
        control.should_training_stop |= self.schedule.over()

    def log(self, logs, start_time=None):
        """Keep the line of a step or of an evaluation."""
        super().log(logs, start_time)
        step, record = self.state.global_step, self.record
        # The library logs three things: an evaluation, a step, and a summary at the end.
        if "eval_loss" in logs:
            line = {"step": step, "eval_loss": float(logs["eval_loss"])}
            record.evaluations.append(line)
        elif "loss" in logs:
            line = self.line_of(step, float(logs["loss"]), logs["learning_rate"])
            record.log.append(line)
        else:
            return

        # Every process has the same line: the first one tells it.
        if self.is_world_process_zero():
            if self.journal:
                with open(self.journal, "a", encoding="utf-8") as out:
                    out.write(json.dumps(line) + "\n")
            if self.show and "loss" in line:
                self.show(record)

    def create_model_card(self, *_, **__):
        """Write no page: TRL would put one over whatever README.md is in the folder."""

    def line_of(self, step: int, loss: float, rate: float) -> dict[str, Any]:
        """Return a step's line of the log; FloatingPointError if its loss is not a number."""
        # Every later step would be lost as well, however long it took.
        if not math.isfinite(loss):
            if self.journal:
                note_divergence(self.journal.parent, step)
            raise FloatingPointError(
                f"the loss is {loss} at step {step}: lower learning_rate "
                f"({self.args.learning_rate:g} at its peak), or look for rows without an answer"
                + ("; a training with other options begins anew there" if self.journal else "")
                + "（损失不是数了：学习率调小，或者看看有没有空的回答）"
            )
        return {
            "step": step,
            "loss": loss,
            "learning_rate": rate,
            "seconds": time.time() - self.schedule.started,
            **(self.objective.told() if self.objective else {}),
            **self.record.meter.totals(),
        }


class Step(Bookkeeping):
    """One step on rows with labels, their loss ours, for the library's trainer to inherit."""

    real_rows: int  # those behind them only fill up

    def __init__(self, training: Training, **arguments: Any) -> None:
        super().__init__(training=training, **arguments)
        self.plain = has_plain_head(training.student)
        # The loss is a sum over all items of the step, never a mean to be divided once more.
        self.model_accepts_loss_kwargs = True

    def _get_train_sampler(self, train_dataset=None):
        """Group rows by length, so that little is padded."""
        rows = self.train_dataset if train_dataset is None else train_dataset
        # The processes take turns: what they train on at once is one batch.
        size = self.args.per_device_train_batch_size * self.args.world_size
        self.sampler = RowsByLength(rows, size, self.args.seed, self.real_rows)
        return self.sampler

    def on_epoch_begin(self, args, state, control, **_):
        """Tell the sampler which epoch begins: of several processes that go on after a kill, the
        library reaches it only from the next epoch on.
        """
        self.sampler.set_epoch(int(state.epoch))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return the loss of one micro-batch, and count what it holds."""
        # A kept-out loss is of the labels, whatever is learned beside them.
        learned = self.objective if self.objective and model.training else summed_loss
        with self.accelerator.autocast():
            loss = learned(
                model, inputs, num_items_in_batch, self.plain, self.accelerator.num_processes
            )
            if model.training and self.record.method == "adalora":
                # Once a step, however many micro-batches it has.
                extra = orthogonality_loss(unwrapped(model))
                loss = loss + extra / self.current_gradient_accumulation_steps
        if model.training:
            self.record.meter.count(inputs)
        return (loss, {}) if return_outputs else loss


class OnPolicyStep(Bookkeeping):
    """One step on answers that the student writes itself, TRL's, for its trainer to inherit."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return TRL's loss of one micro-batch, and count what it holds."""
        import torch

        found = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        loss = found[0] if return_outputs else found
        self.objective.note(loss)

        # As rows with labels: the prompt has none, nor has what stands behind an answer's end.
        ids, mask = inputs["completion_ids"], inputs["completion_mask"]
        before = torch.full_like(inputs["prompt_ids"], IGNORED)
        self.record.meter.count(
            {
                "input_ids": torch.cat([inputs["prompt_ids"], ids], 1),
                "labels": torch.cat([before, ids.masked_fill(mask == 0, IGNORED)], 1),
                "attention_mask": torch.cat([inputs["prompt_mask"], mask], 1),
            }
        )
        return found


# ---- 4. the trainer


def trainer_arguments(
    student: Student, options: Options, folder: str, report_to: str, objective: Any = None
) -> Any:
    """Return the configuration for rows that are tokenised already; `folder` takes checkpoints.

    Precision: bfloat16 where the device computes it itself (a T4 and most CPUs only imitate it),
    float16 with a scaler on other GPUs, float32 on other CPUs and where `half` is False.
    """
    # Beside the folder, which goes when the training is done.
    if report_to == "tensorboard":
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(Path(folder).with_suffix(".tensorboard"))
    cuda = student.model.device.type == "cuda"
    on_cpu = "bfloat16" if cpu_computes_bf16() else "float32"
    own = half("cuda") if cuda else on_cpu
    if options.half is False:
        own = "float32"
    arguments = configuration(objective)(
        output_dir=folder,
        num_train_epochs=options.epochs,
        max_steps=options.max_steps or -1,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=options.batch_size,
        gradient_accumulation_steps=options.accumulate,
        learning_rate=options.learning_rate,
        weight_decay=0.01,
        max_grad_norm=1.0,
        seed=options.seed,
        bf16=own == "bfloat16",
        fp16=own == "float16",
        gradient_checkpointing=options.checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        ddp_find_unused_parameters=False,
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        remove_unused_columns=False,
        # Every step is logged, a loss of NaN too; `Bookkeeping` says when to save and to evaluate.
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        save_total_limit=2,
        prediction_loss_only=True,
        report_to=report_to,
        disable_tqdm=True,
    )
    use_one_gpu(arguments)
    if cut_up():
        cut_up_on_cpu(arguments)
    return arguments


def configuration(objective: Any) -> Callable:
    """Return what makes a trainer's configuration: TRL's for on-policy learning, or SFT's."""
    if own := getattr(objective, "configuration", None):
        return own()
    from trl import SFTConfig

    # The rows are ready: nothing is to be tokenised, cut, packed or left out.
    ready = {"packing": False, "max_length": None}
    return partial(SFTConfig, dataset_kwargs={"skip_prepare_dataset": True}, **ready)


def build_trainer(
    training: Training,
    schedule: Schedule,
    rows: Dataset,
    held_out: Dataset,
    arguments: Any,
    journal: Path | None,
    show: Callable[[Training], None] | None,
    objective: Any = None,
) -> Any:
    """Return a trainer that fills `training`, adds its lines to `journal`, and calls `show`.

    It is the library's trainer with `Step` in front of it, and is made here because importing TRL
    takes seconds: whoever only measures a loss with `summed_loss` would wait for it.
    """
    from transformers import PrinterCallback, TrainerCallback

    student, pad_id, real = training.student, training.student.tokenizer.pad_token_id, len(rows)
    if arguments.world_size > 1:
        size = arguments.per_device_train_batch_size * arguments.world_size
        rows = evened(rows, size, pad_id)
    parts = trainer_parts(student, objective)
    kinds = (*parts.pop("kinds"), TrainerCallback)
    trainer = type("StudentTrainer", kinds, {"real_rows": real})(
        training=training,
        schedule=schedule,
        journal=journal,
        show=show,
        objective=objective,
        model=student.model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=held_out if len(held_out) else None,
        processing_class=student.tokenizer,
        **parts,
    )
    # `show` is what a reader sees.
    trainer.remove_callback(PrinterCallback)
    return trainer


def trainer_parts(student: Student, objective: Any) -> dict[str, Any]:
    """Return the classes that a trainer is made of, and what only they are given."""
    if own := getattr(objective, "trainer_parts", None):
        return own()
    from transformers import Trainer
    from trl import SFTTrainer

    both, pad_id = student.encoder_decoder, student.tokenizer.pad_token_id
    collator = partial(collate, pad_id=pad_id, encoder_decoder=both)
    if objective:
        collator = partial(objective.collated, collator)
    return {"kinds": (Step, Trainer if both else SFTTrainer), "data_collator": collator}
