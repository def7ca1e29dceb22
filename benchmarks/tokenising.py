"""Measure tokenising, packing and many processes against TRL's own preparation, in pairs.

    MINILUOTUO_MIRROR=folder python benchmarks/tokenising.py [pairs, default 5]

All 52,002 rows of alpaca-chinese v3 (those with an answer), the tiny student's vocabulary; each
measurement in a fresh process.

1. Rows per second from rows to a `datasets.Dataset` of ids and labels: `encoded_dataset`, against
   what SFTTrainer does with prompt and completion columns (completion-only mask, no packing, no
   length limit, no cache). TRL is given its prompts as finished text; ours makes them, and checks
   that every answer comes back. Both sides have the same threads; rows and labels are asserted
   equal.
2. Share of non-padding at 1,024 tokens of `pack`, `pack_stream` and TRL's `bfd`, with seconds and
   peak memory above the rows'.
3. `pack_stream` on 1,000,000 rows of those lengths.
4. What `processes` and a second call with the same content give.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from datasets import disable_progress_bars
from results import hardware

from miniluotuo_utils.data.loading import read
from miniluotuo_utils.runtime import EMBEDDED, commit
from miniluotuo_utils.tokens import encoded_dataset, pack, pack_stream, prompts_of

LENGTH, NO_LIMIT, MANY = 1024, 1_000_000, 1_000_000


def alpaca() -> list[dict]:
    """The rows of alpaca-chinese v3 that have an answer."""
    return [
        row
        for row in read("alpaca-chinese", "train", False, reader="alpaca_parallel_all")
        if row["output"]
    ]


def student_tokenizer() -> object:
    """The tiny student's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(EMBEDDED / "student", model_max_length=NO_LIMIT)


def timed(function: Callable) -> tuple[float, object]:
    """Seconds of one call, and what it returned."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def trl_preparation(tokenizer: object) -> tuple[Callable, object]:
    """SFTTrainer's own `_prepare_dataset`, of a trainer whose data set was a single finished
    row, and its configuration."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    arguments = SFTConfig(
        output_dir=tempfile.mkdtemp(),
        max_length=None,
        report_to="none",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    )
    ready = Dataset.from_list([{"input_ids": [0], "labels": [0]}])
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(EMBEDDED / "student"),
        arguments,
        train_dataset=ready,
        processing_class=tokenizer,
    )
    trainer.completion_only_loss = (
        True  # what SFTTrainer finds out for itself when its data set has prompt and completion
    )
    return trainer._prepare_dataset, arguments


def against_trl(pairs: int) -> None:
    """Table 1."""
    import datasets
    import transformers

    disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_caching()
    rows, tokenizer = alpaca(), student_tokenizer()
    prepare, arguments = trl_preparation(tokenizer)
    columns = {
        "prompt": prompts_of(tokenizer, rows),
        "completion": [row["output"] for row in rows],
    }
    contestants = {
        "TRL": lambda: prepare(
            datasets.Dataset.from_dict(columns), tokenizer, arguments, False, None, "train"
        ),
        "ours": lambda: encoded_dataset(rows, tokenizer, NO_LIMIT)[0],
    }
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(pairs):
        found = {}
        for name in sorted(contestants, reverse=number % 2 == 0):  # the order changes
            seconds, found[name] = timed(contestants[name])
            rates[name].append(len(rows) / seconds)
        check_equal(found["TRL"], found["ours"], report=number == 0)
    ratios = sorted(ours / trl for ours, trl in zip(rates["ours"], rates["TRL"], strict=True))
    for name, values in rates.items():
        print(f"| {name} | {len(rows):,} | {statistics.median(values):,.0f} |")
    print(
        f"\nratio: median {statistics.median(ratios):.2f}, "
        f"from {ratios[0]:.2f} to {ratios[-1]:.2f} in {pairs} pairs"
    )


def check_equal(trl: object, ours: object, report: bool) -> None:
    """AssertionError unless both hold the same rows and labels in the same order."""
    for name in ("input_ids", "labels"):
        assert trl[name][:] == ours[name][:], f"{name} differ"
    if report:
        tokens = sum(map(len, ours["input_ids"]))
        print(f"{len(ours):,} rows, {tokens:,} tokens: rows and labels equal\n")
        print("| by | rows | rows/s |\n|---|---|---|")


def memory(what: str) -> int:
    """Resident memory of this process in MiB on Linux: "VmRSS" now, "VmHWM" the highest so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0]) >> 10


def packing(name: str, folder: str) -> None:
    """One line of table 2, in a process of its own; the peak is above what the rows take
    already."""
    from datasets import Dataset

    disable_progress_bars()
    table = Dataset.load_from_disk(folder, keep_in_memory=True)
    rows = table if name == "TRL bfd" else table.to_list()
    before = memory("VmRSS")
    if name == "TRL bfd":
        from trl.data_utils import pack_dataset

        before = memory("VmRSS")
        seconds, sequences = timed(lambda: pack_dataset(rows, LENGTH, "bfd"))
    else:
        seconds, sequences = timed(
            lambda: pack(rows, LENGTH) if name == "pack" else list(pack_stream(rows, LENGTH))
        )
    extra = memory("VmHWM") - before
    ids = sequences["input_ids"] if name == "TRL bfd" else [s["input_ids"] for s in sequences]
    tokens = sum(map(len, ids))
    assert tokens == sum(map(len, table["input_ids"]))
    print(
        f"| {name} | {len(table):,} | {len(ids):,} | {tokens / len(ids) / LENGTH:.2%} "
        f"| {seconds:.2f} | {extra:,} |",
        flush=True,
    )


def streaming(sizes: list[int]) -> None:
    """Table 3: rows are made as they are asked for and sequences forgotten as they come, so that
    memory is the packer's own."""
    rows = (
        {"input_ids": list(range(999, 999 + size)), "labels": [7] * size}
        for size in itertools.islice(itertools.cycle(sizes), MANY)
    )
    before, start, count, tokens = memory("VmRSS"), time.perf_counter(), 0, 0
    for sequence in pack_stream(rows, LENGTH):
        count, tokens = count + 1, tokens + len(sequence["input_ids"])
    seconds = time.perf_counter() - start
    print(
        f"pack_stream, {MANY:,} rows: {MANY / seconds:,.0f} rows/s, "
        f"{tokens / seconds / 1e6:.1f} M tokens/s, {tokens / count / LENGTH:.2%} non-padding, "
        f"peak {memory('VmHWM') - before:,} MiB"
    )


def processes_and_cache() -> None:
    """Table 4."""
    rows, tokenizer = alpaca(), student_tokenizer()
    print("| threads | processes | seconds |\n|---|---|---|")
    for threads, processes in (("false", 1), ("true", 1), ("false", 2)):
        os.environ["TOKENIZERS_PARALLELISM"] = threads
        seconds, _ = timed(
            lambda processes=processes: encoded_dataset(
                rows, tokenizer, LENGTH, packed=LENGTH, processes=processes
            )
        )
        print(
            f"| {'on' if threads == 'true' else 'off'} | {processes} | {seconds:.1f} |", flush=True
        )
    with tempfile.TemporaryDirectory() as folder:
        for what in ("written", "read again"):
            seconds, _ = timed(
                lambda: encoded_dataset(rows, tokenizer, LENGTH, packed=LENGTH, cache=Path(folder))
            )
            print(f"| cache {what} | 1 | {seconds:.1f} |")


def alone(function: Callable, *arguments: object) -> None:
    """Run a function in a fresh process."""
    worker = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    worker.start()
    worker.join()
    if worker.exitcode:
        sys.exit(f"{function.__name__} failed")


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    threads = "one thread" if os.environ["TOKENIZERS_PARALLELISM"] == "false" else "all threads"
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {hardware()}, tokenizers on {threads}\n",
        flush=True,
    )
    alone(against_trl, int(sys.argv[1]) if sys.argv[1:] else 5)
    print(
        "\n| packed by | rows | sequences | non-padding | seconds | peak MiB |\n"
        "|---|---|---|---|---|---|",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        disable_progress_bars()
        table = encoded_dataset(alpaca(), student_tokenizer(), LENGTH)[0]
        table.save_to_disk(folder)
        for contestant in ("pack", "pack_stream", "TRL bfd"):
            alone(packing, contestant, folder)
    print(flush=True)
    alone(streaming, [len(ids) for ids in table["input_ids"]])
    print(flush=True)
    alone(processes_and_cache)
