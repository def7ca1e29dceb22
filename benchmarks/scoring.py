"""Measure seconds and memory of `score_files` on two large files, in a process of its own.

    python benchmarks/scoring.py [SENTENCES] [SPANS]

The files are made at random in a temporary folder: four in five predicted spans are those of gold.
Prints a table with hardware, date and commit.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from results import hardware

from miniluotuo_utils.files import write_jsonl
from miniluotuo_utils.runtime import commit

TYPES = ("人物", "地点", "组织", "书名", "职位", "公司", "游戏", "电影", "政府", "景点")
CHILD = """
import json, sys, time
clock, cpu = time.perf_counter(), time.process_time()
from miniluotuo_utils.ie import score_files
result = score_files(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4])
seconds = {"seconds": time.perf_counter() - clock, "cpu": time.process_time() - cpu}
status = open("/proc/self/status")  # ru_maxrss would be the parent's
peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({**seconds, "mib": peak / 1024, "f1": result["micro"]["f1"]}))
"""
COLUMNS = ("mode 模式", "sentences 句", "spans each 每句片段", "file 文件", "seconds 秒")
COLUMNS += ("CPU seconds", "peak memory 内存峰值", "F1")


def records(sentences: int, spans: int) -> Iterator[dict]:
    """Gold records, one at a time: in every six characters one span of two to four."""
    draw = random.Random(0)
    for _ in range(sentences):
        text = "".join(chr(draw.randint(0x4E00, 0x9FA5)) for _ in range(6 * spans))
        yield {
            "sentence": text,
            "source": "random",
            "entities": [entity(draw, text, 6 * i) for i in range(spans)],
        }


def entity(draw: random.Random, text: str, at: int) -> dict:
    """A span at or beside `at`."""
    start = at + draw.randint(0, 1)
    end = start + draw.randint(2, 4)
    return {"name": text[start:end], "type": draw.choice(TYPES), "pos": [start, end]}


def predicted(gold: Iterable[dict]) -> Iterator[dict]:
    """Predictions, one span in five drawn anew."""
    draw = random.Random(1)
    for g in gold:
        yield dict(
            g,
            entities=[
                e if draw.random() < 0.8 else entity(draw, g["sentence"], 6 * i)
                for i, e in enumerate(g["entities"])
            ],
        )


def main(sentences: int, spans: int) -> None:
    """Write the two files, score them in a child process in both of our modes, and print what it
    took.
    """
    print(row(COLUMNS), row(["---"] * len(COLUMNS)), sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        gold, pred = (Path(folder) / f"{name}.jsonl" for name in ("gold", "pred"))
        write_jsonl(gold, records(sentences, spans))
        write_jsonl(pred, predicted(records(sentences, spans)))
        size = f"{gold.stat().st_size / 1e6:.0f} MB"
        for mode in ("span", "string"):
            command = [sys.executable, "-c", CHILD, str(gold), str(pred), "NER", mode]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            took = json.loads(done.stdout)
            figures = [f"{took['seconds']:.1f}", f"{took['cpu']:.1f}", f"{took['mib']:.0f} MiB"]
            print(row([f"`{mode}`", f"{sentences:,}", spans, size, *figures, f"{took['f1']:.4f}"]))
    print(
        f"\nNER, two files of IE records, one process, Python {sys.version.split()[0]}, "
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {hardware()}"
    )


def row(cells: Iterable[object]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 100_000,
        int(sys.argv[2]) if len(sys.argv) > 2 else 10,
    )
