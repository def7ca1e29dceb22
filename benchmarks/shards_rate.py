"""Measure what a second process brings: `annotate` over shards by one worker and by two.

    python benchmarks/shards_rate.py [SENTENCES] [PAIRS]

The sentences are the embedded ones, over and over. Runs come in pairs, the order changing; prints
seconds of each and the ratios. Needs two idle cores.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

from results import hardware

from miniluotuo_utils.runtime import EMBEDDED, commit

SHARDS = 8


def seconds(source: Path, workers: int) -> float:
    """Return how long a run takes, imports of every process included."""
    out = source.with_name(f"{workers}.jsonl")
    command = [sys.executable, "-m", "miniluotuo_utils", "shards", "annotate", source, out]
    began = time.time()
    subprocess.run(
        [*map(str, command), f"--shards={SHARDS}", f"--workers={workers}"],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    taken = time.time() - began
    out.rename(out.with_suffix(".last"))
    return taken


def main(count: int, pairs: int) -> None:
    """Print the table."""
    sentences = (EMBEDDED / "unlabelled.txt").read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.txt"
        source.write_text("\n".join(islice(cycle(sentences), count)), encoding="utf-8")
        found = []
        for pair in range(pairs):
            order = (1, 2) if pair % 2 else (2, 1)
            taken = {workers: seconds(source, workers) for workers in order}
            found.append(taken[1] / taken[2])
            print(f"1 worker {taken[1]:.0f} s, 2 workers {taken[2]:.0f} s", flush=True)
        one, two = (Path(folder, f"{workers}.last").read_bytes() for workers in (1, 2))
        assert one == two, "other rows"
    print(
        f"{count:,} sentences in {SHARDS} shards: two workers {statistics.median(found):.2f} times "
        f"as fast ({min(found):.2f} to {max(found):.2f} in {pairs} pairs)\n"
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {hardware()}"
    )


if __name__ == "__main__":
    told = [int(number) for number in sys.argv[1:]]
    main(*(told + [200_000, 3][len(told) :]))
