"""Measure how much memory `train` takes for few rows and for many, and when it goes on.

    python benchmarks/train_memory.py [ROWS ...]

Rows are made up here: short questions with numbers in them. Each training runs in a process of its
own for four steps; the one with the most rows is then killed after its second checkpoint and gone
on with. Prints a Markdown table of peak memory (resident set), hardware, date and commit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from results import hardware

from miniluotuo_utils.files import write_jsonl
from miniluotuo_utils.runtime import commit

ROWS = (1_000, 683_235)  # the larger one is the size of the largest catalog set people train on
STEPS = 4


def made_up(count: int) -> Iterator[dict]:
    """Yield instruction rows of some thirty tokens each, no two alike."""
    for number in range(count):
        yield {
            "instruction": f"第{number}题：{number}加一是多少？",
            "input": "",
            "output": f"{number}加一等于{number + 1}。",
            "source": "made up",
        }


def command(data: Path, out: Path, steps: int) -> list[str]:
    """Return the command of a training."""
    told = {"student": "tiny", "data": data, "out": out, "max-steps": steps, "batch-size": 4}
    options = [f"--{name}={value}" for name, value in told.items()]
    return [sys.executable, "-m", "miniluotuo_utils", "train", *options]


def peak(arguments: list[str]) -> tuple[float, float]:
    """Run a command; return its peak memory in MiB and its seconds."""
    # A process of its own: what its children took at most is all that this one hears.
    code = (
        "import json, resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(json.dumps(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))"
    )
    began = time.time()
    told = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    return json.loads(told.stdout.splitlines()[-1]) / 1024, time.time() - began


def killed(arguments: list[str], checkpoint: Path) -> None:
    """Start a training and kill it as soon as a checkpoint is whole."""
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while run.poll() is None and not (checkpoint / "trainer_state.json").is_file():
            time.sleep(0.2)
        run.kill()


def main(counts: list[int]) -> None:
    """Print the table."""
    print(f"{hardware()}, {datetime.now(UTC):%Y-%m-%d}, commit {commit()}\n")
    print("| rows | training | peak MiB | seconds |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            data, out = Path(folder) / f"{count}.jsonl", Path(folder) / f"student-{count}"
            write_jsonl(data, made_up(count))
            mib, seconds = peak(command(data, out, STEPS))
            print(f"| {count:,} | {STEPS} steps | {mib:,.0f} | {seconds:.0f} |", flush=True)

        again = out.with_name("again")
        killed(command(data, again, 10), again.with_name("again.training") / "checkpoint-2")
        mib, seconds = peak(command(data, again, 10))
        print(f"| {counts[-1]:,} | killed, gone on with | {mib:,.0f} | {seconds:.0f} |")


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or list(ROWS))
