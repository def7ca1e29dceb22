"""Run the training loop under `finetune`: TRL's SFTTrainer (transformers' Trainer for encoder–decoders) with our loss.

In: a student with its method attached, rows of ids. Out: a trainer to call `train` on. Shown in notebook 04.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from miniluotuo_utils.students.devices import cpu_computes_bf16
from miniluotuo_utils.students.loading import Student
from miniluotuo_utils.students.methods import VIRTUAL, train_in_float32
from miniluotuo_utils.students.training import Watch
from miniluotuo_utils.tokens import IGNORED, collate

REPORTERS = ("none", "tensorboard", "trackio")  # none of them asks for a key


def trainer_arguments(
    student: Student,
    folder: str,
    *,
    epochs: float,
    max_steps: int | None,
    batch_size: int,
    accumulate: int,
    rate: float,
    seed: int,
    checkpointing: bool,
    report_to: str,
) -> Any:
    """The configuration for rows that are tokenised already; `folder` takes checkpoints.

    Precision: bfloat16 where the device computes it itself (a T4 and most CPUs only imitate it), float16 with a scaler
    on other GPUs, float32 on other CPUs.
    """
    import torch
    from transformers import TrainingArguments
    from trl import SFTConfig

    if report_to == "tensorboard":  # beside the folder, which goes when the training is done
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(Path(folder).with_suffix(".tensorboard"))
    cuda = student.model.device.type == "cuda"
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else cpu_computes_bf16()
    common = dict(
        output_dir=folder,
        num_train_epochs=epochs,
        max_steps=max_steps or -1,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        gradient_accumulation_steps=accumulate,
        learning_rate=rate,
        weight_decay=0.01,
        max_grad_norm=1.0,
        seed=seed,
        bf16=bf16,
        fp16=cuda and not bf16,
        gradient_checkpointing=checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        remove_unused_columns=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        save_total_limit=2,
        prediction_loss_only=True,
        report_to=report_to,
        disable_tqdm=True,
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        ddp_find_unused_parameters=False,
    )
    if student.model.config.is_encoder_decoder:
        arguments = TrainingArguments(**common)
    else:
        arguments = SFTConfig(
            **common, packing=False, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}
        )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # one process trains on one GPU; several need `accelerate launch`
    return arguments


def check_reporter(report_to: str, folder: Path | None) -> None:
    """ValueError for a logger that is unknown, not installed, or has no place to write."""
    if report_to not in REPORTERS:
        raise ValueError(f"report_to is {report_to!r}; expected one of {', '.join(REPORTERS)}")
    if report_to != "none" and not find_spec(report_to):
        raise ValueError(
            f"report_to is {report_to!r}, which is not installed: pip install {report_to}"
        )
    if report_to == "tensorboard" and folder is None:
        raise ValueError("report_to is 'tensorboard'; expected a folder, beside which it writes")


def build_trainer(
    student: Student,
    rows: Sequence[Mapping],
    held_out: Sequence[Mapping],
    arguments: Any,
    watch: Watch,
    method: str,
) -> Any:
    """A trainer whose learning rate, checkpoints and evaluations follow `watch`, and whose loss is `summed_loss`."""
    from datasets import Dataset
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import PrinterCallback, ProgressCallback, Trainer
    from trl import SFTTrainer

    both = student.model.config.is_encoder_decoder
    plain = method not in VIRTUAL and has_plain_head(student)
    rows = (
        evened(
            rows,
            arguments.per_device_train_batch_size * arguments.world_size,
            student.tokenizer.pad_token_id,
        )
        if arguments.world_size > 1
        else rows
    )

    class PacedTrainer(Trainer if both else SFTTrainer):
        """The library's trainer with a schedule that knows wall time and a loss that counts only labels."""

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            self.model_accepts_loss_kwargs = True  # the loss below is a sum over all items of the step, never a mean to be divided again
            with self.accelerator.autocast():
                loss = summed_loss(
                    model, inputs, num_items_in_batch, plain, self.accelerator.num_processes
                )
                if method == "adalora" and model.training:
                    loss = (
                        loss
                        + penalty(getattr(model, "module", model))
                        / self.current_gradient_accumulation_steps
                    )
            if model.training:
                watch.training.meter.count(inputs)
            return (loss, {}) if return_outputs else loss

        def create_scheduler(self, num_training_steps, optimizer=None):
            watch.planned = num_training_steps
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, watch.factor)
            return self.lr_scheduler

    made = partial(
        batch_of,
        pad_id=student.tokenizer.pad_token_id,
        encoder_decoder=both,
        virtual=method in VIRTUAL,
    )
    trainer = PacedTrainer(
        model=student.model,
        args=arguments,
        train_dataset=Dataset.from_list([dict(s) for s in rows]),
        processing_class=student.tokenizer,
        eval_dataset=Dataset.from_list([dict(s) for s in held_out]) if held_out else None,
        data_collator=made,
        callbacks=[reporter(watch, method)],
    )
    train_in_float32(trainer.model)  # TRL casts the adapters of a 4-bit student to bfloat16
    trainer.model_accepts_loss_kwargs = True
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def batch_of(
    rows: Sequence[Mapping], pad_id: int, encoder_decoder: bool, virtual: bool
) -> dict[str, Any]:
    """`tokens.collate`, without position ids where virtual tokens come first and would shift them."""
    batch = collate(rows, pad_id, encoder_decoder)
    if virtual:
        batch.pop("position_ids", None)
    return batch


def evened(rows: Sequence[Mapping], size: int, pad_id: int) -> list[Mapping]:
    """Rows up to a multiple of `size`, filled with rows that nothing is learned from: else several processes train some rows twice.

    >>> len(evened([{"input_ids": [5], "labels": [5]}] * 3, 4, 0))
    4
    """
    empty = {
        name: [IGNORED if name == "labels" else pad_id if name == "input_ids" else 0]
        for name in rows[0]
    }
    return [*rows, *[empty] * (-len(rows) % size)]


def summed_loss(
    model: Any, inputs: Mapping, items: Any = None, plain: bool = False, processes: int = 1
) -> Any:
    """Cross-entropy of the supervised tokens, summed and divided by `items`, their number in the whole step (default: in `inputs`).

    `plain` takes the shortcut of `supervised_loss`. With several processes a step's loss is multiplied by their number,
    because gradients are averaged over them.
    """
    import torch

    if plain and processes == 1:
        return supervised_loss(model, inputs, items)
    labels = inputs["labels"]
    both = getattr(model, "module", model).config.is_encoder_decoder
    body = inputs if both else {name: value for name, value in inputs.items() if name != "labels"}
    logits = model(**body, use_cache=False).logits[
        :, -labels.shape[1] :
    ]  # virtual tokens may stand before the row
    if not both:
        logits, labels = logits[:, :-1], labels[:, 1:]
    wanted = labels != IGNORED
    total = torch.nn.functional.cross_entropy(
        logits[wanted].float(), labels[wanted], reduction="sum"
    )
    return total / wanted.sum().clamp(min=1) if items is None else total / items * processes


def penalty(model: Any) -> Any:
    """AdaLoRA's pull of its factors towards orthogonal rows, as PEFT adds it to a model's own loss, times `orth_reg_weight`."""
    import torch

    terms = []
    for name, weight in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            square = weight @ weight.T if "lora_A" in name else weight.T @ weight
            terms.append(
                torch.linalg.matrix_norm(square - torch.eye(len(square), device=square.device))
            )
    return model.peft_config["default"].orth_reg_weight * sum(terms) / len(terms)


def four_bits_on_cpu(model: Any) -> bool:
    """Whether nothing may be tried on a model: bitsandbytes repacks 4-bit weights at the first evaluation on a CPU and cannot train them then."""
    return getattr(model, "is_loaded_in_4bit", False) and model.device.type == "cpu"


def has_plain_head(student: Student) -> bool:
    """Whether logits are just the output embedding of the last hidden state: tried, since some architectures scale, cap or transform."""
    import torch

    model = student.model
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    if model.config.is_encoder_decoder or four_bits_on_cpu(model):
        return False
    ids = torch.arange(5, 13, device=model.device)[None]
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        direct = whole.get_output_embeddings()(whole.base_model(ids, use_cache=False)[0])
        logits = whole(ids, use_cache=False).logits
    model.train(was_training)
    return bool((direct - logits).abs().max() <= 1e-2 * logits.abs().max())


def supervised_loss(model: Any, inputs: Mapping, items: Any = None) -> Any:
    """Summed cross-entropy over `items` (default: its labels), with logits [labels, vocabulary] made only where a label is.

    Made for every position they are most of a small student's time where prompts are long.
    """
    import torch

    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    body = {name: value for name, value in inputs.items() if name != "labels"}
    hidden = whole.base_model(**body, use_cache=False)[0][:, :-1]  # [rows, tokens - 1, width]
    labels = inputs["labels"][:, 1:]
    wanted = labels != IGNORED
    logits = whole.get_output_embeddings()(hidden[wanted]).float()
    total = torch.nn.functional.cross_entropy(logits, labels[wanted], reduction="sum")
    return total / (wanted.sum().clamp(min=1) if items is None else items)


def reporter(watch: Watch, method: str) -> Any:
    """A callback that hands the trainer's events to `watch` and tells the trainer when to save, evaluate and stop."""
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        def on_optimizer_step(self, args, state, control, model=None, **_):
            if method == "adalora":
                getattr(model, "module", model).base_model.update_and_allocate(state.global_step)

        def on_step_end(self, args, state, control, **_):
            watch.tick()
            due = watch.due(state.global_step)
            control.should_save |= due and watch.saves
            control.should_evaluate |= due and watch.evaluates
            control.should_training_stop |= watch.over()

        def on_log(self, args, state, control, logs=None, **_):
            watch.note(state.global_step, logs or {}, main=state.is_world_process_zero)

    return Reporter()
