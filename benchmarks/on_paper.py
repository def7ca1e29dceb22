"""Reckon, from measured rates, what larger mixtures, students and teachers would take.

    python benchmarks/on_paper.py [--gpu h100] [--gpus 8] [--price P] [--latency 10] [--at-once 256]

Nothing is run. Data stages: rows over the rows per core-second and the memory that
`whole_mixture.py` measured, in a straight line from its two sizes. Training: the planner's FLOPs
over its assumed share of the GPU's peak. Teacher: the share of the ideal rate that
`teacher_rate.py` measured, at a latency that is assumed. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from transformers import LlamaConfig
from whole_mixture import MIB, SOURCES, WHOLE, own_memory

from miniluotuo_utils.students.planner import plan

MEASURED = Path(__file__).parent / "results" / "whole_mixture.json"
ROWS = (WHOLE, 10_000_000, 1_000_000_000)
STAGES = ("clean", "mix", "encode", "pack")
GIB = 1024 * MIB
IDEAL = 0.90  # of the ideal rate at 256 requests in flight: `teacher_rate.py`, in the README
REQUESTS = 270_000  # about as many instructions as LaMini-LM's teacher wrote from examples
WRITTEN = (300, 200)  # tokens of a request and of its answer: assumed
# The sizes of Llama 2's 7 B, with a Chinese vocabulary of 64,000.
SEVEN = {
    "vocab_size": 64_000,
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}


def reckoned(found: Sequence[Mapping[str, Any]], stage: str, rows: int) -> tuple[float, float]:
    """Return the core-hours and the peak memory in bytes of a stage on so many rows.

    found: figures at two sizes, as `whole_mixture.py` keeps them. Sources are cleaned one after the
    other: seconds add up, and the largest memory counts. Memory never shrinks with rows.

    >>> small = {"rows": 10, "stage": "mix", "in": 10, "seconds": 1.0, "peak": 100}
    >>> large = small | {"rows": 20, "in": 20, "seconds": 3.6, "peak": 300}
    >>> reckoned([small, large], "mix", 20_000)
    (1.0, 399900.0)
    """
    first, last = sorted({one["rows"] for one in found})
    own = [one for one in found if one["stage"].split()[0] == stage]  # "clean coig" is of clean
    seconds = sum(one["seconds"] for one in own if one["rows"] == last)
    peaks = [max(own_memory(one) for one in own if one["rows"] == size) for size in (first, last)]
    a_row = max(0.0, (peaks[1] - peaks[0]) / (last - first))
    return seconds / last * rows / 3600, peaks[1] + a_row * (rows - last)


def data_lines(measured: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of the data stages: core-hours and GiB at each number of rows, and the disk
    that all of them take.
    """
    found = measured["stages"]
    yield "| stage 阶段 | " + " | ".join(f"{rows:,}" for rows in ROWS) + " |"
    yield "|---" * (len(ROWS) + 1) + "|"
    for stage in STAGES:
        cells = []
        for rows in ROWS:
            hours, peak = reckoned(found, stage, rows)
            cells.append(f"{hours:,.1f} h, {peak / GIB:,.1f} GiB")
        yield f"| {stage} | " + " | ".join(cells) + " |"
    a_row = measured["disk"][str(WHOLE)] / WHOLE
    cells = [f"{rows * a_row / 1e9:,.0f} GB" for rows in ROWS]
    yield "| disk 硬盘 | " + " | ".join(cells) + " |"


def training_lines(options: argparse.Namespace) -> Iterator[str]:
    """Yield the table of trainings: what one GPU holds, and hours at each number of rows."""
    yield (
        f"| student 学生 | on {options.gpus} × {options.gpu} | GiB a GPU 每块 | "
        + " | ".join(f"{rows:,}" for rows in ROWS)
        + " |"
    )
    yield "|---" * (len(ROWS) + 3) + "|"
    students = {"wenzhong-3.5b": "wenzhong-3.5b", "7 B (Llama)": LlamaConfig(**SEVEN)}
    for (name, student), method in product(students.items(), ("full", "lora", "qlora")):
        made = [
            plan(student, method, gpu=options.gpu, gpus=options.gpus, rows=rows) for rows in ROWS
        ]
        way = (
            "whole on each 各放一份" if made[0]["parts"] == 1 else f"cut in {made[0]['parts']} 切开"
        )
        cells = [spent(one["hours"] * options.gpus, options.price) for one in made]
        if not made[0]["fits"]:
            way, cells = "does not fit 放不下", ["–"] * len(ROWS)
        memory = made[0]["memory"]["total"] / GIB
        yield f"| {name}, {method} | {way} | {memory:.0f} | " + " | ".join(cells) + " |"


def spent(hours: float, price: float | None) -> str:
    """Return GPU-hours, and their price where one is known.

    >>> spent(1200.4, None), spent(10, 2.5)
    ('1,200 GPU-h', '10 GPU-h, 25')
    """
    said = f"{hours:,.0f} GPU-h"
    return said if price is None else f"{said}, {hours * price:,.0f}"


def teacher_line(options: argparse.Namespace) -> str:
    """Return what the teacher's run takes."""
    hours = REQUESTS * options.latency / options.at_once / IDEAL / 3600
    asked, told = (REQUESTS * tokens / 1e6 for tokens in WRITTEN)
    return (
        f"{REQUESTS:,} requests, {options.at_once} at once, {options.latency:g} s each: "
        f"{hours:.1f} hours; {asked:.0f} million tokens read, {told:.0f} million written"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", default="h100")
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--price", type=float, help="of an hour of one GPU, in any money")
    parser.add_argument("--latency", type=float, default=10.0, help="seconds of one answer")
    parser.add_argument("--at-once", type=int, default=256)
    options = parser.parse_args()
    found = json.loads(MEASURED.read_text(encoding="utf-8"))
    print("\n".join(data_lines(found)))
    print("\n" + "\n".join(training_lines(options)))
    print(f"\n{teacher_line(options)}")
    print(f"\n{len(SOURCES)} sources; {found['date']}, commit {found['commit']}")


if __name__ == "__main__":
    main()
