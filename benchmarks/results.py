"""Print the results table from what a run left in `runs/<scale>/`, with intervals and hardware.

make run SCALE=cpu && python benchmarks/results.py cpu
"""

from __future__ import annotations

import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.ie import compare, interval, micro
from miniluotuo_utils.runtime import runs_root


def hardware() -> str:
    """Processor and number of cores."""
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [
            line.split(":")[1].strip()
            for line in cpuinfo.read_text().splitlines()
            if line.startswith("model name")
        ]
        if cpuinfo.exists()
        else []
    )
    return f"{names[0] if names else platform.processor()}, {len(names) or '?'} cores"


def main(scale: str) -> None:
    """One row per data set, part and contestant."""
    folder = runs_root() / scale
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    student = json.loads((folder / "students" / "student" / "run.json").read_text(encoding="utf-8"))
    when = datetime.fromtimestamp((folder / "evaluation" / "run.json").stat().st_mtime, UTC)
    print(
        "| data 数据 | item 项目 | system 选手 | P | R | F1 `span` | 95 % | F1 `string` "
        f"| p, against after 和微调后比 |\n{'|---' * 9}|"
    )
    for key in (k for k in metrics if k.endswith(" span")):
        name, system, _ = key.split()
        strings = dict(micro(metrics[f"{name} {system} string"]))
        gold, pred = (
            read_jsonl(folder / "evaluation" / f"{name}_{which}.jsonl")
            for which in ("gold", system)
        )
        bounds = dict(micro(interval(gold, pred, metrics[key]["task"])))
        # Each contestant is compared with the student without a grammar, on the same sentences.
        plain = read_jsonl(folder / "evaluation" / f"{name}_after.jsonl")
        apart = dict(micro(compare(gold, plain, pred, metrics[key]["task"])))
        for part, figures in micro(metrics[key]):
            low, high = bounds[part]["f1"]
            print(
                f"| {name} | {part} | {system} | {figures['precision']:.3f} "
                f"| {figures['recall']:.3f} | {figures['f1']:.3f} | {low:.3f} to {high:.3f} "
                f"| {strings[part]['f1']:.3f} "
                f"| {'–' if system == 'after' else format(apart[part]['p'], '.3f')} |"
            )
    print(
        f"\n`{scale}`, {when:%Y-%m-%d}, commit {student['commit']}, {hardware()}; "
        f"{student['method']} fine-tuning of `{student['student']}` ({student['parameters']:,} "
        f"parameters) on {student['tokens']:,} tokens ({student['supervised_tokens']:,} "
        f"supervised) in {student['train_seconds'] / 60:.1f} minutes, "
        f"{student['tokens_per_second']:,.0f} tokens/s."
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "smoke")
