"""Measure what a grammar costs and gains: tokens per second and span F1, with it and without.

Both ways run in turn, before and after fine-tuning:

    python benchmarks/constrained.py [PAIRS] [SEED]

The embedded test sets, greedy, 160 new tokens at most, batches of 32; the student is trained as
notebook 04 does at `smoke`. Prints a table with hardware, date and commit.
"""

from __future__ import annotations

import statistics
import sys
import time
from datetime import UTC, datetime

from results import hardware
from tiny_base import SETS, records, rows

from miniluotuo_utils.ie import extract, micro, schema_of, score
from miniluotuo_utils.runtime import commit
from miniluotuo_utils.students import Student, finetune, load_student


def measured(student: Student, name: str, pairs: int) -> dict[bool, dict]:
    """Return, for free and constrained answers to one test set, what each way gives.

    `rate`: median tokens per second. `f1`: by label. `broken`: answers that broke a rule.
    """
    gold, task = records(name, "test"), name.upper()
    schema = schema_of(records(name, "train"), task)
    rates: dict[bool, list[float]] = {False: [], True: []}
    made = {}
    for turn in range(pairs + 1):
        for constrained in rates:
            started = time.perf_counter()
            made[constrained] = extract(
                student,
                [r["sentence"] for r in gold],
                schema,
                task,
                max_new_tokens=160,
                slice_size=None,
                constrained=constrained,
            )
            seconds = time.perf_counter() - started
            tokens = sum(
                len(ids) + 1 for ids in student.tokenizer(made[constrained].answers)["input_ids"]
            )
            # The first turn warms up.
            if turn:
                rates[constrained].append(tokens / seconds)
    return {
        constrained: {
            "rate": statistics.median(rates[constrained]),
            "f1": {k: m["f1"] for k, m in micro(score(gold, found.records, task))},
            "broken": sum(
                found.counts[k] for k in ("unparsable", "repaired", "not_in_text", "off_schema")
            ),
        }
        for constrained, found in made.items()
    }


def main(pairs: int, seed: int) -> None:
    """Print the table."""
    after = load_student("tiny")
    train = {name: records(name, "train") for name in SETS}
    finetune(after, rows(seed, train), epochs=2, batch_size=8, seed=seed)
    print(
        "| student 学生 | part 项目 | F1 | F1 grammar 语法 | broken rules 犯规 "
        "| tokens/s | tokens/s grammar | cost 代价 |\n|---|---|---|---|---|---|---|---|"
    )
    for label, student in {"before 微调前": load_student("tiny"), "after 微调后": after}.items():
        for name in SETS:
            found = measured(student, name, pairs)
            free, held = found[False], found[True]
            cost = 1 - held["rate"] / free["rate"]
            for part, f1 in free["f1"].items():
                print(
                    f"| {label} | {part} | {f1:.3f} | {held['f1'][part]:.3f} "
                    f"| {free['broken']} → {held['broken']} "
                    f"| {free['rate']:.0f} | {held['rate']:.0f} | {cost:.0%} |"
                )
    print(
        f"\n`tiny`, float32, seed {seed}, {pairs} pairs, {datetime.now(UTC):%Y-%m-%d}, "
        f"commit {commit()}, {hardware()}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
