"""Measure what the form of the training prompts does to a small student.

    python benchmarks/prompt_choices.py [SEEDS]

In: the embedded sets, `tiny`, two epochs as in notebook 04 at `smoke`; templates, slices of the
schema and hard negatives in turn. Each student is asked in the form that it was trained in.
Out: a table of span F1 over seeds, with hardware, date and commit.
"""

from __future__ import annotations

import statistics
import sys
from datetime import UTC, datetime

from results import hardware
from tiny_base import SETS, f1, records

from miniluotuo_utils.ie import build_instructions, extract, hard_negatives, schema_of
from miniluotuo_utils.runtime import commit
from miniluotuo_utils.students import Student, finetune, load_student

# The names of the ways stand in the table that is printed.
WAYS = {
    "whole schema, eleven templates 整个模式，十一个模板": {"slice_size": None},
    "whole schema, one template 整个模式，一个模板": {"slice_size": None, "paraphrases": False},
    "slices 切片": {"slice_size": "default"},
    "slices, hard negatives, a quarter empty 切片，难负例，四分之一空答案": {
        "slice_size": "default",
        "hard_negatives": True,
        "pure_negative": 0.25,
    },
}
TRAINING = {"epochs": 2, "batch_size": 8}


def rows(seed: int, way: dict) -> list[dict]:
    """Return the training rows of all embedded sets."""
    made = []
    for name in SETS:
        train, task, options = records(name, "train"), name.upper(), dict(way)
        # Each set has a table of its own: what is hard to tell apart differs by schema.
        if way.get("hard_negatives"):
            options["hard_negatives"] = hard_negatives(train, task)
        made += build_instructions(train, task, schema_of(train, task), seed, **options)
    return made


def scores(student: Student, slice_size: int | str | None) -> dict[str, float]:
    """Return span F1 by part."""
    found = {}
    for name in SETS:
        task = name.upper()
        schema = schema_of(records(name, "train"), task)
        gold = records(name, "test")
        sentences = [record["sentence"] for record in gold]
        options = {"max_new_tokens": 160, "slice_size": slice_size}
        found |= f1(gold, extract(student, sentences, schema, task, **options).records, name)
    return found


def main(seeds: int) -> None:
    """Print the table, a line as soon as it is measured."""
    for turn, (label, way) in enumerate(WAYS.items()):
        each: dict[str, list[float]] = {}
        for seed in range(seeds):
            made = rows(seed, way)
            training = finetune(load_student("tiny"), made, seed=seed, **TRAINING)
            for part, value in scores(training.student, way["slice_size"]).items():
                each.setdefault(part, []).append(value)

        # Which parts there are is known only after the first students.
        if not turn:
            print(f"| prompts 提示 | rows 行 | {' | '.join(each)} |\n{'|---' * (len(each) + 2)}|")
        cells = []
        for values in each.values():
            told = ", ".join(f"{value:.3f}" for value in values)
            cells.append(f"{statistics.mean(values):.3f} ({told})")
        print(f"| {label} | {len(made):,} | {' | '.join(cells)} |", flush=True)
    measured = f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {hardware()}"
    print(f"\n`tiny`, float32, {seeds} seeds, {measured}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
