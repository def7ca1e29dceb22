"""Measure answers per second and waits: `generate` alone, in batches, and the package's `serve`.

    python benchmarks/serving.py [STUDENT] [SENTENCES]

The same sentences of the embedded NER sets as prompts, greedy, 128 new tokens at most, one run
after a warm-up. A served student is asked by the official client: one question at a time, then by
16 clients at once, who wait for each other. Prints a table with hardware, date and commit.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple

from openai import DefaultHttpxClient, OpenAI
from results import hardware

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.generation import generate
from miniluotuo_utils.ie import build_instructions, schema_of
from miniluotuo_utils.jobs.serve import served
from miniluotuo_utils.prompts import joined
from miniluotuo_utils.runtime import EMBEDDED, commit
from miniluotuo_utils.students import Student, load_student
from miniluotuo_utils.tokens import prompts_of

TOKENS = 128  # of an answer, at most
CLIENTS = 16


class Measured(NamedTuple):
    """Answers, the seconds that each was waited for, and the seconds of all."""

    answers: list[str]
    waits: list[float]
    seconds: float


def timed(ask: Callable[[str], str], texts: Sequence[str], clients: int) -> Measured:
    """Ask one text at a time per client, and say how long each waited for its answer."""

    def one(text: str) -> tuple[str, float]:
        started = time.perf_counter()
        return ask(text), time.perf_counter() - started

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(one, texts))
    seconds = time.perf_counter() - started
    return Measured([answer for answer, _ in found], [wait for _, wait in found], seconds)


def batched(student: Student, prompts: Sequence[str], size: int) -> Measured:
    """Answer in batches: each prompt waits for all of them."""
    started = time.perf_counter()
    answers = generate(student, prompts, max_new_tokens=TOKENS, batch_size=size)
    seconds = time.perf_counter() - started
    return Measured(answers, [seconds] * len(prompts), seconds)


def measured(name: str, rows: Sequence[dict]) -> dict[str, Measured]:
    """Run all ways in turn."""
    student = load_student(name)
    prompts = prompts_of(student, rows)
    texts = [joined(row["instruction"], row["input"]) for row in rows]

    def alone(prompt: str) -> str:
        return generate(student, [prompt], max_new_tokens=TOKENS)[0]

    alone(prompts[0])
    found = {"`generate`, one by one": timed(alone, prompts, 1)}
    for size in (8, 32):
        found[f"`generate`, batches of {size}"] = batched(student, prompts, size)

    # Two processes on few cores would slow each other down: the student here rests.
    with served(name) as server:
        direct = DefaultHttpxClient(trust_env=False, timeout=3600)
        client = OpenAI(
            base_url=server.address, api_key="-", max_retries=0, timeout=3600, http_client=direct
        )

        def reply_to(text: str) -> str:
            messages = [{"role": "user", "content": text}]
            reply = client.chat.completions.create(
                model=server.name, messages=messages, max_tokens=TOKENS
            )
            return reply.choices[0].message.content

        reply_to(texts[0])
        for clients in (1, CLIENTS):
            words = "1 client" if clients == 1 else f"{clients} clients at once"
            found[f"`serve`, {words}"] = timed(reply_to, texts, clients)
    return found


def main(name: str, count: int) -> None:
    """Print the table."""
    files = ("ner_test.jsonl", "ner_train.jsonl")
    records = [record for file in files for record in read_jsonl(EMBEDDED / file)][:count]
    rows = build_instructions(records, "NER", schema_of(records, "NER"), paraphrases=False)[:count]
    found = measured(name, rows)
    base = next(iter(found.values())).answers
    print("| way 方法 | sentences/s 句每秒 | wait, median s 等待 | p95 s | equal 相同回答 |")
    print("|---|---|---|---|---|")
    for way, (answers, waits, seconds) in found.items():
        slow = statistics.quantiles(waits, n=20)[-1]
        equal = sum(a == b for a, b in zip(answers, base, strict=True))
        print(
            f"| {way} | {len(rows) / seconds:.1f} | {statistics.median(waits):.2f} | {slow:.2f} "
            f"| {equal}/{len(rows)} |"
        )
    print(
        f"\n`{name}`, float32, {len(rows)} prompts, one run, {datetime.now(UTC):%Y-%m-%d}, "
        f"commit {commit()}, {hardware()}"
    )


if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else "tiny"
    main(name, int(sys.argv[2]) if len(sys.argv) > 2 else 100)
