"""Measure reading, cleaning and sampling: rates in one run, and the memory of a large sample.

    MINILUOTUO_MIRROR=folder python benchmarks/data_speed.py [LINES of the sampled file]

1. Reading all of alpaca-chinese v3 to unified rows, against `json.load` of the same files alone,
   in pairs, the order changing.
2. Cleaning the same rows with every step, near duplicates and leaks against every evaluation set
   at hand.
3. Drawing 150,000 rows out of a file in baike2018qa's format, by default of 1,425,000 lines, made
   here of random words: time and peak memory of a fresh process.
"""

import json
import multiprocessing
import random
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from miniluotuo_utils.data import clean, files
from miniluotuo_utils.data.decontamination import Leaks, evaluation_sentences
from miniluotuo_utils.data.loading import read
from miniluotuo_utils.data.mixture import draw
from miniluotuo_utils.data.readers import READERS, read_file
from miniluotuo_utils.runtime import commit

PAIRS = 7


def timed(function) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def reading() -> None:
    """Table 1."""
    paths = files("alpaca-chinese", progress=False)["train"]

    def plain() -> None:
        for path in paths:
            with open(path, encoding="utf-8") as file:
                json.load(file)

    def unified() -> None:
        for path in paths:
            for _ in read_file(path, READERS["alpaca_parallel_all"], "alpaca-chinese"):
                pass

    plain(), unified()
    pairs = [
        (timed(plain), timed(unified)) if i % 2 else tuple(reversed((timed(unified), timed(plain))))
        for i in range(PAIRS)
    ]
    ratios = sorted(a / b for a, b in pairs)
    print(
        f"reading 52,002 rows: json.load {min(a for a, _ in pairs):.3f} s, "
        f"to unified rows {min(b for _, b in pairs):.3f} s; "
        f"rate against json.load alone: median {statistics.median(ratios):.2f}, "
        f"from {ratios[0]:.2f} to {ratios[-1]:.2f} in {PAIRS} pairs"
    )


def cleaning() -> None:
    """Table 2."""
    rows = list(read("alpaca-chinese", "train", False, reader="alpaca_parallel_all"))
    sets, absent = evaluation_sentences(progress=False)
    start = time.perf_counter()
    leaks = Leaks(sets)
    built = time.perf_counter() - start
    print(
        f"evaluation index: {len(leaks.sentences):,} sentences of {len(sets)} splits "
        f"({len(absent)} splits not at hand) in {built:.1f} s"
    )
    start = time.perf_counter()
    kept, report = clean(rows, against=leaks)
    seconds = time.perf_counter() - start
    removed = ", ".join(f"{step} {n}" for step, n in report.removed.items() if n)
    print(f"cleaning {len(rows):,} rows: {seconds:.1f} s, {len(kept):,} left; removed {removed}")


def sampled(path: Path, count: int) -> None:
    """Draw `count` rows of a file and print time and peak memory of this process."""
    start = time.perf_counter()
    rows = draw(read_file(path, READERS["baike"], "baike2018qa"), count, 42)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{len(rows):,} rows drawn in {time.perf_counter() - start:.1f} s, peak memory {peak:,} MiB"
    )


def sampling(lines: int) -> None:
    """Table 3."""
    words, dice = [chr(c) for c in range(0x4E00, 0x4E00 + 3000)], random.Random(42)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "baike_qa_train.json"
        with open(path, "w", encoding="utf-8") as file:
            for number in range(lines):
                row = {"qid": f"q{number}", "category": ""}
                for field, length in (("title", 15), ("desc", 30), ("answer", 180)):
                    row[field] = "".join(dice.choices(words, k=length))
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        print(f"{lines:,} lines, {path.stat().st_size >> 20:,} MiB: ", end="", flush=True)
        worker = multiprocessing.get_context("spawn").Process(target=sampled, args=(path, 150_000))
        worker.start()
        worker.join()


if __name__ == "__main__":
    print(f"commit {commit()}")
    reading()
    cleaning()
    sampling(int(sys.argv[1]) if sys.argv[1:] else 1_425_000)
