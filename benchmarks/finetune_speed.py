"""Fine-tuning on the same real rows: `finetune` against the Llama-X recipe and TRL's own loss, in turns within one run.

    MINILUOTUO_MIRROR=… python benchmarks/finetune_speed.py [PAIRS] [ROWS]

Llama-X's recipe: every batch is 16 random rows padded to its longest, plain `transformers.Trainer`, logits at every position.
Ours packs rows and makes logits only where a label is. Student (tiny), precision, optimizer, learning rate, schedule
and rows are the same, nothing is recomputed in either, and a step holds about as many supervised tokens. Prints
supervised tokens per second, and the loss on 200 rows kept out after equally many supervised tokens.
"""

from __future__ import annotations

import platform
import statistics
import sys
import tempfile
import time
from functools import partial

import torch
from datasets import Dataset
from transformers import Trainer, TrainingArguments

from miniluotuo_utils.data import load
from miniluotuo_utils.runtime import commit
from miniluotuo_utils.students import finetune, load_student
from miniluotuo_utils.students.devices import cpu_computes_bf16
from miniluotuo_utils.students.loop import summed_loss
from miniluotuo_utils.tokens import IGNORED, collate, encode, pack

RATE, LENGTH, BATCH = 5e-4, 512, 16


def padded(batch: list[dict], pad_id: int) -> dict[str, torch.Tensor]:
    """Llama-X's collator: ids, labels and attention mask, to the longest row."""
    made = collate([{k: r[k] for k in ("input_ids", "labels")} for r in batch], pad_id)
    lengths = torch.tensor([len(r["input_ids"]) for r in batch])
    mask = torch.arange(made["input_ids"].shape[1])[None] < lengths[:, None]
    return {"input_ids": made["input_ids"], "labels": made["labels"], "attention_mask": mask.long()}


def recipe(rows: list[dict]) -> tuple[object, float]:
    """One epoch of the recipe: the student and its seconds."""
    student = load_student("tiny")
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            weight_decay=0.01,
            bf16=cpu_computes_bf16(),
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
            remove_unused_columns=False,
            seed=42,
            max_grad_norm=1.0,
        )
        trainer = Trainer(
            model=student.model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            data_collator=partial(padded, pad_id=student.tokenizer.pad_token_id),
        )
        started = time.time()
        trainer.train()
        student.model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
        return student, time.time() - started


def ours(rows: list[dict], batch: int) -> tuple[object, float]:
    """One epoch of `finetune` on the packed rows, with a flat learning rate as in the recipe."""
    from miniluotuo_utils.students import loop as trainer

    trainer.WARM_UP, trainer.FALL = 1e-9, 1e-9
    training = finetune(
        load_student("tiny"), pack(rows, LENGTH), batch_size=batch, learning_rate=RATE, seed=42
    )
    return training.student, training.seconds


def held_out_loss(student: object, rows: list[dict]) -> float:
    """Mean loss per supervised token, in float32."""
    student.model.eval()
    total, items = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(rows), 20):
            batch = collate(rows[start : start + 20], student.tokenizer.pad_token_id)
            count = int((batch["labels"][:, 1:] != IGNORED).sum())
            total, items = (
                total + float(summed_loss(student.model, batch, count)) * count,
                items + count,
            )
    return total / items


def main(pairs: int, number: int) -> None:
    """Alternate the two and print the table."""
    tokenizer = load_student("tiny").tokenizer
    rows = encode(
        load("alpaca-chinese", "train", errors="collect")[0].select(range(number + 1200)),
        tokenizer,
        LENGTH,
    ).rows
    held_out, rows = rows[:200], rows[200 : number + 200]
    supervised = sum(label != IGNORED for r in rows for label in r["labels"])
    packed = pack(rows, LENGTH)
    batch = max(1, round(len(packed) / (len(rows) / BATCH)))
    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {time.strftime('%Y-%m-%d')}, commit {commit()}"
    )
    print(
        f"{len(rows):,} rows of alpaca-chinese, {supervised:,} supervised tokens; steps of {BATCH} padded rows or {batch} packed sequences of {LENGTH}"
    )
    speeds, losses = {"Llama-X recipe": [], "finetune": []}, {}
    for _ in range(pairs):
        for name, run in (("Llama-X recipe", recipe), ("finetune", partial(ours, batch=batch))):
            student, seconds = run(rows)
            speeds[name].append(supervised / seconds)
            losses[name] = held_out_loss(student, held_out)
    for name, values in speeds.items():
        print(
            f"{name:<16} {statistics.median(values):>9,.0f} supervised tokens/s   loss kept out {losses[name]:.3f}"
        )
    ratios = [b / a for a, b in zip(*speeds.values(), strict=True)]
    print(
        f"ratio            {statistics.median(ratios):>9.2f}   ({min(ratios):.2f} to {max(ratios):.2f} in {pairs} pairs)"
    )


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 3,
        int(sys.argv[2]) if len(sys.argv) > 2 else 1500,
    )
