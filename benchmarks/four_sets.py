"""Ask the student that notebook 04 left at `cpu` what notebook 05 asks it, and nobody else.

    make run SCALE=cpu ONLY=01,03,04 && python benchmarks/four_sets.py

Notebook 05 has four more contestants sit each exam, the untrained student among them, whose
answers run on to the last token: an hour. This asks the trained one alone, in some minutes.
"""

from __future__ import annotations

import argparse
import json

from miniluotuo_utils import setup
from miniluotuo_utils.data import CATALOG, from_previous
from miniluotuo_utils.ie import build_instructions, extract
from miniluotuo_utils.ie.contest import Paper, answer_room, score_table
from miniluotuo_utils.runtime import Runtime
from miniluotuo_utils.students import Student, load_student

EXAMS = {"duie-sample": "dev", "fewfc": "dev", "cluener": "dev", "resume": "test"}
FEWFC = 500  # sentences; notebook 05 asks as many
FORM = {"slice_size": None}  # all types in one question, as 04 trains


def main() -> None:
    """Print a row of the table for each part of each exam, as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, help="sentences of each exam; left out: notebook 05's")
    limit = parser.parse_args().limit
    runtime = setup("cpu")
    folder = runtime.path("students", "student")
    student = load_student(folder, runtime.device)

    heads = ("data 数据", "part 项目", "P", "R", "F1 `span`", "95 %", "F1 `string`")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for name, split in EXAMS.items():
        paper = exam(runtime, name, split, limit)
        for row in score_table([paper], {("after", name): answers(student, paper)}):
            print(
                f"| {name} | {row['part']} | {row['precision']:.3f} | {row['recall']:.3f} "
                f"| {row['f1']:.3f} | {row['low']:.3f} to {row['high']:.3f} "
                f"| {row['f1_string']:.3f} |",
                flush=True,
            )
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    minutes = run["train_seconds"] / 60
    print(f"\ncommit {run['commit']}, {run['tokens']:,} tokens in {minutes:.1f} minutes")


def exam(runtime: Runtime, name: str, split: str, limit: int | None) -> Paper:
    """Return a set's exam, less the sentences that stand in its training split."""
    train = from_previous(runtime, name, "train")
    learnt = {record["sentence"] for record in train}
    gold = [one for one in from_previous(runtime, name, split) if one["sentence"] not in learnt]
    most = limit or (FEWFC if name == "fewfc" else None)
    return Paper(name, CATALOG[name].tasks[0], train, gold[:most])


def answers(student: Student, paper: Paper) -> list[dict]:
    """Return the student's records, with room for the longest answer of the training split."""
    rows = build_instructions(paper.train, paper.task, paper.schema, paraphrases=False, **FORM)
    room = answer_room(student.tokenizer, rows)
    found = extract(student, paper.sentences, paper.schema, paper.task, max_new_tokens=room, **FORM)
    return found.records


if __name__ == "__main__":
    main()
