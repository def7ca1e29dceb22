"""Fine-tuning on the same real rows: `finetune`, the Llama-X recipe and TRL's own loss, in turns.

    MINILUOTUO_MIRROR=… python benchmarks/finetune_speed.py [PAIRS] [ROWS]

Llama-X's recipe: every batch is 16 random rows padded to its longest, plain `transformers.Trainer`,
logits at every position. Ours puts rows of about one length together and makes logits only where a
label is. TRL's loss is ours but for that: SFTTrainer's `compute_loss` on the same batches. Student
(tiny), precision, optimizer, learning rate, schedule, rows and rows of a step are the same, nothing
is recomputed. Prints supervised tokens per second, and the loss on 200 rows kept out after equally
many supervised tokens.
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
from miniluotuo_utils.students import finetune, load_student, loop, training
from miniluotuo_utils.students.internals import cpu_computes_bf16
from miniluotuo_utils.students.loop import summed_loss
from miniluotuo_utils.tokens import IGNORED, collate, encode

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


def ours(rows: list[dict]) -> tuple[object, float]:
    """One epoch of `finetune`, with a flat learning rate as in the recipe."""
    training.WARM_UP, training.FALL = 1e-9, 1e-9
    made = finetune(load_student("tiny"), rows, batch_size=BATCH, learning_rate=RATE, seed=42)
    return made.student, made.seconds


def trl_loss(rows: list[dict]) -> tuple[object, float]:
    """`ours` with the loss that TRL computes."""
    own = loop.Step.compute_loss

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        self.record.meter.count(inputs)
        above = super(loop.Step, self)
        return above.compute_loss(model, inputs, return_outputs, num_items_in_batch)

    loop.Step.compute_loss = compute_loss
    try:
        return ours(rows)
    finally:
        loop.Step.compute_loss = own


def held_out_loss(student: object, rows: list[dict]) -> float:
    """Mean loss per supervised token, in float32."""
    student.model.eval()
    total, items = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(rows), 20):
            batch = collate(rows[start : start + 20], student.tokenizer.pad_token_id)
            total += float(summed_loss(student.model, batch, 1))
            items += int((batch["labels"][:, 1:] != IGNORED).sum())
    return total / items


def main(pairs: int, number: int) -> None:
    """Take the three in turns and print the table."""
    tokenizer = load_student("tiny").tokenizer
    raw = load("alpaca-chinese", "train", errors="collect")[0].select(range(number + 1200))
    rows = encode(raw, tokenizer, LENGTH).rows
    held_out, rows = rows[:200], rows[200 : number + 200]
    supervised = sum(label != IGNORED for row in rows for label in row["labels"])
    processor, threads = platform.processor() or platform.machine(), torch.get_num_threads()
    print(f"{processor}, {threads} threads, {time.strftime('%Y-%m-%d')}, commit {commit()}")
    print(
        f"{len(rows):,} rows of alpaca-chinese, {supervised:,} supervised tokens; "
        f"steps of {BATCH} rows"
    )

    runs = {
        "Llama-X recipe": recipe,
        "TRL's loss": trl_loss,
        "finetune": ours,
    }
    speeds, losses = {name: [] for name in runs}, {}
    # In turns: whatever else the machine does meets all of them.
    for _ in range(pairs):
        for name, run in runs.items():
            student, seconds = run(rows)
            speeds[name].append(supervised / seconds)
            losses[name] = held_out_loss(student, held_out)

    for name, values in speeds.items():
        speed = f"{statistics.median(values):>9,.0f} supervised tokens/s"
        print(f"{name:<16} {speed}   loss kept out {losses[name]:.3f}")
    for name in ("Llama-X recipe", "TRL's loss"):
        pairs_of = zip(speeds[name], speeds["finetune"], strict=True)
        ratios = [b / a for a, b in pairs_of]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f} in {pairs} pairs"
        print(f"finetune / {name:<16} {statistics.median(ratios):>6.2f}   ({spread})")


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 3,
        int(sys.argv[2]) if len(sys.argv) > 2 else 1500,
    )
