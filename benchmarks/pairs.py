"""Distil the four pairs of the course: what each would need, and the training, as a GPU runs it.

    python benchmarks/pairs.py                                the table of memory and hours
    python benchmarks/pairs.py luotuo-312m --rows ROWS --out OUT [--teacher T] [--student S]
        [--epochs 3] [--max-steps N] [--batch-size 8] [--max-length 512]

ROWS: a file of any format that `read_any` knows; for T5 in English, since its vocabulary has no
Chinese characters. OUT: a folder; killed, the same command goes on, and the teacher is asked about
no row twice. T, S: zoo names, hub ids or folders in the place of the pair's, such as a teacher that
was fine-tuned first. Out: `OUT/student`. Nothing of the real size has been run: the table is
arithmetic, and `tests/benchmarks/test_pairs.py` runs every pair on tiny random models.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from miniluotuo_utils.data import read_any
from miniluotuo_utils.generation import generate
from miniluotuo_utils.students import ZOO, Student, distill, load_student, save
from miniluotuo_utils.students.devices import GIB, half, own_device
from miniluotuo_utils.students.loading import fingerprint
from miniluotuo_utils.students.planner import GPUS, plan, room_and_peak
from miniluotuo_utils.text import markdown
from miniluotuo_utils.tokens import prompt_of
from miniluotuo_utils.writing import Touched, guard


class Pair(NamedTuple):
    """Who teaches whom, and how: "labels" where the vocabularies are not the same."""

    teacher: str
    student: str
    method: str


PAIRS = {
    pair.student: pair
    for pair in (
        Pair("wenzhong-3.5b", "wenzhong-110m", "logits"),
        Pair("wenzhong-3.5b", "luotuo-312m", "labels"),
        Pair("gpt2-1.5b", "gpt2-124m", "logits"),
        Pair("t5-738m", "t5-61m", "logits"),
    )
}
TOP_K = 32  # tokens of a distribution that are kept: 194 bytes a label, of 100 KB
ANSWER = 128  # tokens of a teacher's answer

# What the table is about: rows, tokens of one with its prompt, and of the longest, on this GPU.
ROWS, TOKENS, LONGEST, GPU = 100_000, 200, 512, "a100-80"


# ---- what it needs


def needs(pair: Pair) -> list[str]:
    """Return a line of the table: memory with both models there, and minutes of one epoch."""
    teacher, student = ZOO[pair.teacher].parameters, ZOO[pair.student].parameters
    planned = plan(pair.student, "full", LONGEST, GPU, rows=ROWS, row_tokens=TOKENS)
    memory = planned["memory"]["total"] + 2 * teacher  # the teacher in half precision

    # A forward pass is a third of a step. What a teacher writes token by token is not estimated.
    looked = 60 * planned["hours"] * teacher / (3 * student)
    room = {gpu: room_and_peak(gpu)[0] for gpu in GPUS}
    return [
        pair.teacher,
        pair.student,
        pair.method,
        f"{memory / GIB:.1f}",
        min((gpu for gpu in room if room[gpu] >= memory), key=room.__getitem__, default="–"),
        f"{60 * planned['hours']:.0f}",
        f"{looked:.0f}" if pair.method == "logits" else "– 它要写 it writes",
    ]


def table() -> str:
    """Return the pairs as Markdown, with what is assumed."""
    head = ["教师 teacher", "学生 student", "教法 how", "内存 GiB", "最小的卡 smallest card"]
    head += ["一遍的分钟 minutes an epoch", "教师看一遍 teacher, once"]
    assumed = (
        f"算出来的，没有跑过：{ROWS:,} 行，每行 {TOKENS} 个词元，最长 {LONGEST}；{GPU}，MFU 41%；"
        f"学生全参数，一行一批，教师半精度。 Computed, not run: {ROWS:,} rows of {TOKENS} tokens, "
        f"{LONGEST} at most; {GPU} at an MFU of 41 %; full training, one row at a time, the "
        "teacher in half precision."
    )
    return f"{markdown(head, [needs(pair) for pair in PAIRS.values()])}\n\n{assumed}"


# ---- the training


def run(pair: Pair, options: argparse.Namespace) -> None:
    """Distil a pair, and write the student."""
    # Said before gigabytes are loaded: what it writes takes no other files' place.
    out = options.out
    guard([Touched("rows", options.rows, "reads"), Touched("out", out / "student", "folder")])
    rows = list(read_any(options.rows))
    device = own_device()
    student = load_student(options.student or pair.student, device)
    precision = "float32" if device == "cpu" else half(device)
    teacher = load_student(options.teacher or pair.teacher, device, precision)

    # Kept in the folder: the answers or the distributions, the checkpoints.
    how: dict[str, Any] = {"folder": out / "training", "epochs": options.epochs}
    how |= {"max_steps": options.max_steps, "batch_size": options.batch_size}
    how |= {"max_length": options.max_length, "method": pair.method}
    if pair.method == "logits":
        how |= {"teacher": teacher, "top_k": TOP_K, "kept": out / "kept"}
    else:
        rows = answerable(teacher, rows)
        how |= {"teacher": Answers(teacher)}
    training = distill(student, rows, **how)
    save(student, out / "student", training.log)
    print(f"{training.steps} steps, {training.tokens:,} tokens: {out.name}/student")


class Answers:
    """A teacher that writes: rows in, the same rows with its answers out."""

    def __init__(self, teacher: Student) -> None:
        self.teacher, self.fingerprint = teacher, fingerprint(teacher)

    def __call__(self, rows: Sequence[Mapping]) -> list[dict]:
        """Return rows with the teacher's greedy answers."""
        prompts = [prompt_of(self.teacher, row) for row in rows]
        answers = generate(self.teacher, prompts, max_new_tokens=ANSWER)
        return [{**row, "output": text} for row, text in zip(rows, answers, strict=True)]


def answerable(teacher: Student, rows: Sequence[Mapping]) -> list[Mapping]:
    """Return the rows whose prompt leaves a teacher room for an answer, and say how many do not."""
    prompts = [prompt_of(teacher, row) for row in rows]
    sizes = [len(ids) for ids in teacher.tokenizer(prompts)["input_ids"]]
    room = teacher.context - ANSWER
    kept = [row for row, size in zip(rows, sizes, strict=True) if size <= room]
    if len(kept) < len(rows):
        print(f"{len(rows) - len(kept):,} 行太长，教师没有地方写。 Too long for the teacher.")
    return kept


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pair", nargs="?", choices=list(PAIRS), help="by its student")
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--teacher")
    parser.add_argument("--student")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--max-steps", type=int)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--max-length", type=int, default=LONGEST)
    options = parser.parse_args(arguments)
    if options.pair and not (options.rows and options.out):
        parser.error("a pair needs --rows FILE and --out FOLDER")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or distil one pair."""
    options = parsed(arguments)
    if options.pair:
        run(PAIRS[options.pair], options)
    else:
        print(table())


if __name__ == "__main__":
    main()
