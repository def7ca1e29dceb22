"""What the form of the training prompts does to a small student: wordings, slices of the schema, hard negatives; span F1 over seeds.

    python benchmarks/prompt_choices.py [SEEDS]

The embedded sets, `tiny`, two epochs as in notebook 04 at `smoke`. Each student is asked in the form that it was trained in.
Prints a table with hardware, date and commit.
"""

from __future__ import annotations

import statistics
import sys
from datetime import UTC, datetime

from results import hardware
from tiny_base import SETS, f1, records

from miniluotuo_utils.ie import build_instructions, confusability, extract, schema_of
from miniluotuo_utils.runtime import commit
from miniluotuo_utils.students import Student, finetune, load_student

WAYS = {
    "whole schema, eleven wordings 整张类型表，十一种问法": {"slice_size": None},
    "whole schema, one wording 整张类型表，一种问法": {"slice_size": None, "paraphrases": False},
    "slices 切片": {"slice_size": "default"},
    "slices, hard negatives, a quarter empty 切片，难反例，四分之一空答案": {
        "slice_size": "default",
        "confusable": True,
        "pure_negative": 0.25,
    },
}


def rows(seed: int, way: dict) -> list[dict]:
    """The training rows of all embedded sets."""
    made = []
    for name in SETS:
        train, task = records(name, "train"), name.upper()
        options = way | (
            {"confusable": confusability(train, task)} if way.get("confusable") else {}
        )
        made += build_instructions(train, task, schema_of(train, task), seed, **options)
    return made


def scores(student: Student, slice_size: int | str | None) -> dict[str, float]:
    """Span F1 by part."""
    found = {}
    for name in SETS:
        schema, sentences = (
            schema_of(records(name, "train"), name.upper()),
            [r["sentence"] for r in records(name, "test")],
        )
        found |= f1(
            extract(
                student, sentences, schema, name.upper(), max_new_tokens=160, slice_size=slice_size
            ).records,
            name,
        )
    return found


def main(seeds: int) -> None:
    """Print the table."""
    for turn, (label, way) in enumerate(WAYS.items()):
        each: dict[str, list[float]] = {}
        for seed in range(seeds):
            made = rows(seed, way)
            training = finetune(
                load_student("tiny"), made, epochs=2, batch_size=4, learning_rate=5e-4, seed=seed
            )
            for part, value in scores(training.student, way["slice_size"]).items():
                each.setdefault(part, []).append(value)
        if not turn:
            print(
                "| prompts 提示 | rows 行 | "
                + " | ".join(each)
                + " |\n|---|---|"
                + "---|" * len(each)
            )
        cells = (
            f"{statistics.mean(values):.3f} ({', '.join(f'{v:.3f}' for v in values)})"
            for values in each.values()
        )
        print(f"| {label} | {len(made):,} | " + " | ".join(cells) + " |", flush=True)
    print(
        f"\n`tiny`, float32, {seeds} seeds, {datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {hardware()}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
