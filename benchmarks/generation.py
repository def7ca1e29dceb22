"""Measure answers per second: batched, one by one, and by transformers' own pipeline.

All ways run in turn, and their answers are compared:

    python benchmarks/generation.py [PAIRS] [STUDENT]

The embedded NER test sentences as prompts, greedy, 128 new tokens at most. Prints a table with
hardware, date and commit.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from results import hardware

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.generation import generate
from miniluotuo_utils.ie import build_instructions, schema_of
from miniluotuo_utils.runtime import EMBEDDED, commit
from miniluotuo_utils.students import Student, load_student
from miniluotuo_utils.tokens import prompts_of


def ways(student: Student, prompts: list[str]) -> dict[str, Callable[[], list[str]]]:
    """What is compared, by name; each gives the answers to all prompts."""
    from transformers import pipeline

    pipe = pipeline("text-generation", model=student.model, tokenizer=student.tokenizer)
    settings = {"do_sample": False, "max_new_tokens": 128, "return_full_text": False}
    return {
        "one by one": lambda: [generate(student, [prompt])[0] for prompt in prompts],
        "batches of 8": lambda: generate(student, prompts, batch_size=8),
        "batches of 32": lambda: generate(student, prompts),
        "batches of 128": lambda: generate(student, prompts, batch_size=128),
        "transformers pipeline, 32": lambda: [
            found[0]["generated_text"] for found in pipe(prompts, batch_size=32, **settings)
        ],
    }


def main(pairs: int, name: str) -> None:
    """Run every way in turn, `pairs` times after a warm-up, and print median rates."""
    records = read_jsonl(EMBEDDED / "ner_test.jsonl")
    student = load_student(name)
    prompts = prompts_of(
        student,
        build_instructions(records, "NER", schema_of(records, "NER"), paraphrases=False),
    )
    contestants, seconds, answers = ways(student, prompts), {}, {}
    for turn in range(pairs + 1):
        for way, run in contestants.items():
            started = time.perf_counter()
            answers[way] = run()
            if turn:
                seconds.setdefault(way, []).append(time.perf_counter() - started)
    base = statistics.median(seconds["one by one"])
    print(
        "| way 方法 | sentences/s 句每秒 | ratio 倍 | equal answers 相同回答 |\n|---|---|---|---|"
    )
    for way, values in seconds.items():
        median = statistics.median(values)
        equal = sum(a == b for a, b in zip(answers[way], answers["one by one"], strict=True))
        rate, ratio = len(prompts) / median, base / median
        print(f"| {way} | {rate:.1f} | {ratio:.1f} | {equal}/{len(prompts)} |")
    print(
        f"\n`{name}`, float32, {len(prompts)} prompts, {pairs} pairs, "
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {hardware()}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2] if len(sys.argv) > 2 else "tiny")
