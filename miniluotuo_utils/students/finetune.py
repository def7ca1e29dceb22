"""Fine-tuning a student: TRL's SFTTrainer and PEFT behind one function.

In: a student and instruction rows (or packed token rows). Out: the trained student and its log. Shown in notebook 04.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from miniluotuo_utils.runtime import peak_memory_mib, written_whole
from miniluotuo_utils.students.zoo import ZOO, Student, quiet
from miniluotuo_utils.tokens import IGNORED, collate, encode, pack

METHODS = ("full", "lora", "qlora")
GPT2_LINEAR = ["c_attn", "c_proj", "c_fc"]  # PEFT's own default for GPT-2 is c_attn alone
WARM_UP, FALL = 0.05, 0.5  # shares of the training: linear rise at its start, linear fall at its end


@dataclass
class Training:
    """What came out: the `student`, its `log` (one dict per logged step), and the figures that a table needs."""

    student: Student
    method: str
    log: list[dict] = field(default_factory=list)
    seconds: float = 0.0
    steps: int = 0
    tokens: int = 0
    supervised: int = 0
    trainable: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    peak_mib: dict[str, int] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """The numbers as one flat dict, for `run.json` and tables."""
        return {
            "method": self.method, "steps": self.steps, "train_seconds": self.seconds, "tokens": self.tokens,
            "supervised_tokens": self.supervised, "tokens_per_second": self.tokens / max(self.seconds, 1e-9),
            "trainable_parameters": self.trainable, "parameters": self.student.parameters, "dropped": self.dropped,
            "first_loss": self.log[0]["loss"] if self.log else None, "last_loss": self.log[-1]["loss"] if self.log else None,
        }  # fmt: skip


def finetune(
    student: Student, rows: Sequence[Mapping], method: str = "full", *, epochs: float = 1.0, minutes: float | None = None,
    max_length: int = 512, batch_size: int = 8, accumulate: int = 1, learning_rate: float | None = None, seed: int = 42,
    progress: bool = True,
) -> Training:  # fmt: skip
    """Train `student` in place on `rows` and return it with its log.

    `rows` are instruction rows, or packed rows of `tokens.pack`. `minutes` ends the training early; the learning rate
    falls with whichever of steps and minutes runs out first. Raises ValueError where no token is supervised, and
    FloatingPointError as soon as the loss is not a number.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    sequences, dropped = packed_rows(student, rows, max_length)
    with quiet():
        prepare(student, method, seed)
    spec = ZOO.get(student.name)
    rate = learning_rate or (spec.learning_rate if spec else 2e-5) * (1 if method == "full" else 10)
    training = Training(student, method, dropped=dropped)
    training.trainable = sum(p.numel() for p in student.model.parameters() if p.requires_grad)
    watch = Watch(training, minutes)
    with tempfile.TemporaryDirectory() as scratch:
        with quiet():
            arguments = trainer_arguments(student, scratch, epochs, batch_size, accumulate, rate, seed, progress)
            trainer = build_trainer(student, sequences, arguments, watch)
            started = time.time()
            trainer.train()
        # accelerate leaves its mixed-precision wrapper around forward, and the saved student would not equal this one
        student.model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    training.seconds = time.time() - started
    training.steps = trainer.state.global_step
    seen = min(1.0, training.steps * batch_size * accumulate / len(sequences) / epochs) * epochs
    training.tokens = round(seen * sum(len(s["input_ids"]) for s in sequences))
    training.supervised = round(seen * sum(label != IGNORED for s in sequences for label in s["labels"]))
    training.peak_mib = peak_memory_mib()
    student.model.eval()
    return training


def packed_rows(student: Student, rows: Sequence[Mapping], max_length: int) -> tuple[list[Mapping], dict[str, int]]:
    """Packed sequences of at most the student's context, and what encoding left out."""
    rows, length = list(rows), min(max_length, student.context)
    if rows and "input_ids" in rows[0]:
        sequences, dropped = rows, {}
    else:
        encoded = encode(rows, student.tokenizer, length)
        sequences, dropped = pack(encoded.rows, length), dict(encoded.dropped)
    if not any(label != IGNORED for s in sequences for label in s["labels"]):
        raise ValueError(f"no token of {len(rows)} rows is supervised (left out: {dropped or 'nothing'}); the loss would be NaN. "
                         f"Shorten the prompts or raise max_length (now {length})")  # fmt: skip
    return sequences, dropped


def prepare(student: Student, method: str, seed: int) -> None:
    """Put adapters on the student where the method asks for them, and keep every trained weight in float32."""
    import torch
    from transformers import set_seed

    set_seed(seed)
    if method != "full":
        from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

        if method == "qlora":
            if not getattr(student.model, "is_loaded_in_4bit", False):
                raise ValueError("method 'qlora' needs a 4-bit student: load_student(name, bits=4), on a GPU")
            student.model = prepare_model_for_kbit_training(student.model)
        gpt2 = student.model.config.model_type == "gpt2"
        target = GPT2_LINEAR if gpt2 else "all-linear"
        config = LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, lora_dropout=0.05, target_modules=target, fan_in_fan_out=gpt2)
        student.model = get_peft_model(student.model, config)
        student.model.peft_config["default"].base_model_name_or_path = student.name  # never an absolute path
    for parameter in student.model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()  # small updates vanish in half precision, and the T4's scaler refuses it


def trainer_arguments(student: Student, scratch: str, epochs: float, batch_size: int, accumulate: int, rate: float,
                      seed: int, progress: bool) -> Any:  # fmt: skip
    """TRL's configuration for rows that are tokenised and packed already."""
    import torch
    from trl import SFTConfig

    cuda = student.model.device.type == "cuda"
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else cpu_computes_bf16()
    arguments = SFTConfig(
        output_dir=scratch, num_train_epochs=epochs, per_device_train_batch_size=batch_size, gradient_accumulation_steps=accumulate,
        learning_rate=rate, weight_decay=0.01, max_grad_norm=1.0, seed=seed, bf16=bf16, fp16=cuda and not bf16,
        gradient_checkpointing=cuda and student.parameters > 1e9, packing=False, max_length=None, remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True}, logging_steps=1, save_strategy="no", report_to="none",
        disable_tqdm=not progress, use_cpu=not cuda, dataloader_pin_memory=cuda,
    )  # fmt: skip
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # one process trains on one GPU; several need `accelerate launch`
    return arguments


def cpu_computes_bf16() -> bool:
    """Whether this processor multiplies bfloat16 itself (AVX-512 BF16 or AMX); emulated it would be slower than float32."""
    import torch

    return any(getattr(torch.cpu, name, lambda: False)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def build_trainer(student: Student, sequences: Sequence[Mapping], arguments: Any, watch: Watch) -> Any:
    """An SFTTrainer whose learning rate follows `watch.share`."""
    from datasets import Dataset
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import PrinterCallback, ProgressCallback, TrainerCallback
    from trl import SFTTrainer

    class Reporter(TrainerCallback):
        """Hands the trainer's events to `watch`."""

        def on_step_end(self, args, state, control, **_):
            control.should_training_stop |= watch.over()

        def on_log(self, args, state, control, logs=None, **_):
            watch.note(state.global_step, logs or {})

    class PacedTrainer(SFTTrainer):
        """SFTTrainer with a schedule that knows wall time and logits only where there is a label."""

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            if return_outputs or self.accelerator.num_processes > 1 or not has_plain_head(model):
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            with self.accelerator.autocast():
                return supervised_loss(model, inputs, num_items_in_batch)

        def create_scheduler(self, num_training_steps, optimizer=None):
            watch.planned = num_training_steps
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, watch.factor)
            return self.lr_scheduler

    trainer = PacedTrainer(
        model=student.model, args=arguments, train_dataset=Dataset.from_list([dict(s) for s in sequences]),
        processing_class=student.tokenizer, data_collator=partial(collate, pad_id=student.tokenizer.pad_token_id),
        callbacks=[Reporter()],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def has_plain_head(model: Any) -> bool:
    """Whether logits are just the output embedding of the last hidden state (no encoder, no soft cap)."""
    return not (model.config.is_encoder_decoder or getattr(model.config, "final_logit_softcapping", None))


def supervised_loss(model: Any, inputs: Mapping, items: Any = None) -> Any:
    """Summed cross-entropy over `items` (default: its labels), with logits [labels, vocabulary] made only where a label is.

    TRL makes them for every position; where prompts are long that is most of a small student's time
    (benchmarks/supervised_loss.py).
    """
    import torch

    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    body = {name: value for name, value in inputs.items() if name != "labels"}
    hidden = whole.base_model(**body, use_cache=False)[0][:, :-1]  # [rows, tokens - 1, width]
    labels = inputs["labels"][:, 1:]
    wanted = labels != IGNORED
    logits = whole.get_output_embeddings()(hidden[wanted]).float()
    total = torch.nn.functional.cross_entropy(logits, labels[wanted], reduction="sum")
    return total / (wanted.sum() if items is None else items)


class Watch:
    """How far a training is, in steps or minutes, and what its log says."""

    def __init__(self, training: Training, minutes: float | None) -> None:
        self.training, self.limit, self.planned, self.started = training, (minutes or 0) * 60, 1, 0.0

    def share(self, step: int) -> float:
        """The part of the training that is over, 0 to 1."""
        self.started = self.started or time.time()
        in_time = (time.time() - self.started) / self.limit if self.limit else 0.0
        return min(1.0, max(step / max(1, self.planned), in_time))

    def factor(self, step: int) -> float:
        """The learning rate's factor: rise over 5 %, flat, fall over the last half."""
        share = self.share(step)
        rise = (step + 1) / max(1, WARM_UP * self.planned) if not self.limit else (step + 1) / 20
        return min(1.0, rise, max(0.01, (1 - share) / FALL))

    def over(self) -> bool:
        """Whether the minutes are used up."""
        return bool(self.limit) and time.time() - self.started >= self.limit

    def note(self, step: int, logs: Mapping) -> None:
        """Keep one line of the log; a loss that is not a number stops the training at once."""
        if "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} at step {step}: lower learning_rate, or look for rows without an answer")
        seconds = time.time() - self.started
        self.training.log.append({"step": step, "loss": loss, "learning_rate": logs.get("learning_rate"), "seconds": seconds})


def save(student: Student, folder: Path, log: Sequence[Mapping] = ()) -> Path:
    """Write a student (or its adapter) as safetensors with its tokenizer and its log, beside and then renamed."""
    with written_whole(folder) as partial_folder, quiet():
        partial_folder.mkdir(parents=True)
        student.model.save_pretrained(partial_folder)
        student.tokenizer.save_pretrained(partial_folder)
        lines = "".join(json.dumps(line) + "\n" for line in log)
        (partial_folder / "training.jsonl").write_text(lines, encoding="utf-8")
    return folder


def merge(student: Student) -> Student:
    """The student with its adapter added into its weights: a plain transformers model again.

    Raises ValueError for a student that has no adapter.
    """
    if not hasattr(student.model, "merge_and_unload"):
        raise ValueError(f"{student.name} has no adapter to merge; load an adapter folder with load_student")
    return Student(student.name, student.model.merge_and_unload().eval(), student.tokenizer)
