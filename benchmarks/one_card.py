"""Which students fit on one card with LoRA, in 4, 8 and 16 bits, and how long a row may be.

    python benchmarks/one_card.py               LLaMA and BLOOMZ on an A100 of 80 GB
    python benchmarks/one_card.py t4 tiny       other students on another card

Nothing is measured: it is what `plan` estimates. A cell is the longest row that fits alone, with
recomputation where it does not fit without, and the largest batch of rows of 512 tokens.
"""

import sys

from miniluotuo_utils.runtime import commit
from miniluotuo_utils.students.planner import plan
from miniluotuo_utils.text import markdown

# Alpaca-CoT's page says that one such card easily trains the three LLaMAs.
STUDENTS = ("llama-7b", "llama-13b", "llama-30b", "bloomz-7b1-mt")
LENGTH = 512  # tokens, its `cutoff_len`
BITS = (4, 8, 16)


def cell(student: str, bits: int, gpu: str) -> str:
    """Return what fits, in a word."""
    found = plan(student, "lora", LENGTH, gpu, bits=bits, longest=True)
    gib = found["memory"]["total"] / 2**30
    if not found["longest"]:
        return f"放不下 does not fit ({gib:.1f} GiB)"
    return f"{found['longest']:,}; {found['largest_batch']} × {LENGTH}"


def line(student: str, gpu: str) -> list[str]:
    """Return the row of a student."""
    return [student, *(cell(student, bits, gpu) for bits in BITS)]


def main(gpu: str, students: list[str]) -> None:
    """Print one row per student."""
    head = ["学生 student", *(f"{bits} 位 bits" for bits in BITS)]
    print(markdown(head, [line(name, gpu) for name in students]))
    print(f"\n{gpu}, commit {commit()}")


if __name__ == "__main__":
    gpu, *named = sys.argv[1:] or ["a100-80"]
    main(gpu, named or [*STUDENTS])
