"""Measure what the tiny base is worth: F1 on the embedded test sets before and after fine-tuning.

    python benchmarks/tiny_base.py [SEEDS] [STUDENT]

The training is notebook 04's at `smoke`. `dictionary` looks up the names of the training split.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.ie import (
    build_instructions,
    dictionary_baseline,
    extract,
    micro,
    schema_of,
    score,
)
from miniluotuo_utils.runtime import EMBEDDED, commit
from miniluotuo_utils.students import finetune, load_student

SETS = ("ner", "re", "ee")


def records(name: str, split: str) -> list[dict]:
    """An embedded set."""
    return read_jsonl(EMBEDDED / f"{name}_{split}.jsonl")


def f1(predicted: list[dict], name: str) -> dict[str, float]:
    """Span F1 of predictions on an embedded test set; for events of triggers and of arguments."""
    return {
        label: figures["f1"]
        for label, figures in micro(score(records(name, "test"), predicted, name.upper(), "span"))
    }


def student_f1(student: object, name: str) -> dict[str, float]:
    """Span F1 of a student."""
    sentences = [r["sentence"] for r in records(name, "test")]
    return f1(
        extract(
            student,
            sentences,
            schema_of(records(name, "train"), name.upper()),
            name.upper(),
            slice_size=None,
        ).records,
        name,
    )


def rows(seed: int) -> list[dict]:
    """What notebook 04 trains on at `smoke`."""
    made = list(read_jsonl(EMBEDDED / "bank.jsonl"))
    for name in SETS:
        train = records(name, "train")
        made += build_instructions(
            train, name.upper(), schema_of(train, name.upper()), seed=seed, slice_size=None
        )
    return made


def main(seeds: int, source: str) -> None:
    """Print the table."""
    print(f"{platform.machine()}, {time.strftime('%Y-%m-%d')}, commit {commit()}, student {source}")
    before = {
        label: value
        for name in SETS
        for label, value in student_f1(load_student(source), name).items()
    }
    dictionary = {}
    for name in SETS:
        sentences = [r["sentence"] for r in records(name, "test")]
        dictionary |= f1(dictionary_baseline(records(name, "train"), sentences, name.upper()), name)
    after, seconds = {label: [] for label in before}, []
    for seed in range(seeds):
        training = finetune(
            load_student(source), rows(seed), epochs=2, batch_size=4, learning_rate=5e-4, seed=seed
        )
        seconds.append(training.seconds)
        for name in SETS:
            for label, value in student_f1(training.student, name).items():
                after[label].append(value)
    for label, values in after.items():
        each = ", ".join(f"{v:.3f}" for v in values)
        print(
            f"{label:<12} dictionary {dictionary[label]:.3f}   before {before[label]:.3f}   "
            f"after {statistics.mean(values):.3f} ({each})"
        )
    print(f"training {statistics.mean(seconds):.0f} s per seed")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2] if len(sys.argv) > 2 else "tiny")
