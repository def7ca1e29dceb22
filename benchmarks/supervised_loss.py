"""Training speed with logits made only where there is a label, against TRL's own loss, in pairs in one run.

    python benchmarks/supervised_loss.py [PAIRS]

The tiny student, 40 embedded NER rows packed to 512, one epoch each way in turn; prints the median tokens per second of each.
"""

from __future__ import annotations

import importlib
import statistics
import sys

from miniluotuo_utils.ie import build_instructions, schema_of
from miniluotuo_utils.records import read_jsonl
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.students import load_student


def main(pairs: int) -> None:
    """Alternate between the two losses and print their medians."""
    module = importlib.import_module("miniluotuo_utils.students.finetune")
    records = read_jsonl(EMBEDDED / "ner_train.jsonl")[:80]
    rows = build_instructions(records, "NER", schema_of(records, "NER"))
    plain_head, speeds = module.has_plain_head, {"TRL": [], "supervised only": []}
    for _ in range(pairs + 1):  # the first pair warms up
        for name in speeds:
            module.has_plain_head = plain_head if name == "supervised only" else lambda model: False
            speeds[name].append(module.finetune(load_student("tiny"), rows, batch_size=4, progress=False).figures()["tokens_per_second"])
    medians = {name: statistics.median(values[1:]) for name, values in speeds.items()}
    for name, value in medians.items():
        print(f"{name:<16} {value:>8,.0f} tokens/s")
    print(f"ratio            {medians['supervised only'] / medians['TRL']:>8.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
