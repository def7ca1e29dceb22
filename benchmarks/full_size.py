"""Students of their real size on a CPU, with random weights: train, save, reload, merge, generate.

    python benchmarks/full_size.py FOLDER [NAME ...]

Each student of `CASES` is made from its configuration, trained for two steps on short rows, saved,
read back, merged where it has an adapter, and generates eight tokens. Wenzhong 3.5B takes LoRA on
weights in bfloat16, the smaller ones full fine-tuning in float32. That is three processes: one
makes, one trains, one reads back. Each leaves its figures in FOLDER, and the student a file in
`results/full_size/`; what has one is not run again. Prints a Markdown table: seconds and peak
memory (resident set) of each stage, and what the planner says of the training.

FOLDER takes up to 22 GB, all of which is removed in the end. The weights are random, so the answers
are worth nothing; that they are the same before saving and after loading is checked.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from results import hardware

from miniluotuo_utils.files import written_whole
from miniluotuo_utils.runtime import commit
from miniluotuo_utils.students.devices import GIB
from miniluotuo_utils.writing import remove

RESULTS = Path(__file__).with_name("results") / "full_size"
STEPS, BATCH, LENGTH, TOKENS = 2, 2, 64, 8
STAGES = ("make", "load", "train", "save", "reload", "merge", "generate")
# Short rows of the student that lends its vocabulary.
ROWS = [
    {"instruction": f"{n}加一是多少？", "input": "", "output": f"是{n + 1}。", "source": "made up"}
    for n in range(STEPS * BATCH)
]


class Case(NamedTuple):
    """How a student of the zoo is trained."""

    method: str
    dtype: str


CASES = {
    "wenzhong-110m": Case("full", "float32"),
    "luotuo-312m": Case("full", "float32"),
    "wenzhong-3.5b": Case("lora", "bfloat16"),
}


# ---- one student, in a process of its own


def status(field: str) -> int:
    """Return a number of this process's status in bytes: VmRSS is held now, VmHWM was at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))


@contextmanager
def stage(name: str, found: dict[str, Any]) -> Iterator[None]:
    """Note the seconds and the peak memory of a block; the peak is reset at its start."""
    Path("/proc/self/clear_refs").write_text("5")
    began, before = time.time(), status("VmRSS")
    yield
    found[name] = {
        "seconds": round(time.time() - began, 1),
        "before": before,
        "peak": status("VmHWM"),
    }
    print(name, found[name], file=sys.stderr, flush=True)


def make(name: str, case: Case, folder: Path) -> None:
    """Write the student with random weights, as `save` does."""
    import torch
    from transformers import AutoModelForCausalLM

    from miniluotuo_utils.students import ZOO, Student, load_student, save

    torch.manual_seed(0)
    dtype = getattr(torch, case.dtype)
    model = AutoModelForCausalLM.from_config(ZOO[name].config(), dtype=dtype)
    save(Student(name, model, load_student("tiny").tokenizer), folder)


def made(name: str, folder: Path) -> dict[str, Any]:
    """Write the student; return what it cost."""
    found: dict[str, Any] = {}
    with stage("make", found):
        make(name, CASES[name], folder / name)
    return found


def trained(name: str, folder: Path) -> dict[str, Any]:
    """Train the student and save it; return what each cost, what is planned and what it says."""
    from miniluotuo_utils.generation import generate
    from miniluotuo_utils.students import finetune, load_student, save
    from miniluotuo_utils.students.estimate import training_memory
    from miniluotuo_utils.tokens import prompts_of

    # A small one first, so that everything is imported before memory is read.
    case, found = CASES[name], {}
    finetune(load_student("tiny"), ROWS, max_steps=1)
    gc.collect()
    found["free"] = status("VmRSS")
    with stage("load", found):
        student = load_student(folder / name, dtype=case.dtype)
    with stage("train", found):
        training = finetune(
            student, ROWS, case.method, max_steps=STEPS, batch_size=BATCH, max_length=LENGTH
        )
    with stage("save", found):
        save(student, folder / f"{name}-trained", training.log)

    found["answer"] = generate(student, prompts_of(student, ROWS[:1]), max_new_tokens=TOKENS)[0]
    found["facts"] = training.metrics() | {"length": training.meter.length}
    half = case.dtype != "float32"
    found["planned"] = training_memory(
        student.model.config, case.method, training.meter.length, BATCH, half=half
    )
    return found


def given_back(name: str, folder: Path) -> dict[str, Any]:
    """Read the trained student, merge its adapter, let it generate; return what each cost."""
    from miniluotuo_utils.generation import generate
    from miniluotuo_utils.students import load_student, merge, save
    from miniluotuo_utils.tokens import prompts_of

    case, found = CASES[name], {}
    load_student("tiny")
    with stage("reload", found):
        student = load_student(folder / f"{name}-trained", dtype=case.dtype)
    asked = prompts_of(student, ROWS[:1])
    said = generate(student, asked, max_new_tokens=TOKENS)[0]
    before = json.loads((folder / f"{name}-trained.json").read_text(encoding="utf-8"))["answer"]
    assert said == before, f"it came back another student: {said!r}, was {before!r}"
    if case.method == "lora":
        with stage("merge", found):
            student = merge(student)
            save(student, folder / f"{name}-merged")
    with stage("generate", found):
        found["answer"] = generate(student, asked, max_new_tokens=TOKENS)[0]
    return found


PARTS = {"made": made, "trained": trained, "given_back": given_back}


# ---- all of them


def measured(name: str, folder: Path) -> dict[str, Any]:
    """Return what a student's file of results holds; run the student where there is none."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        stages: dict[str, Any] = {}
        for part in PARTS:
            stages |= figures(name, part, folder)
        told = {key: stages.pop(key) for key in ("planned", "facts")}
        found = {"name": name, **CASES[name]._asdict(), "stages": stages, **told}
        found |= {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit()}
        with written_whole(path) as partial:
            partial.write_text(json.dumps(found | {"hardware": hardware()}, indent=1) + "\n")
        for left in folder.glob(f"{name}*"):
            remove(left)
    return json.loads(path.read_text(encoding="utf-8"))


def figures(name: str, part: str, folder: Path) -> dict[str, Any]:
    """Return what a part of a student's way cost; run it in a process where that is not known."""
    path = folder / f"{name}-{part}.json"
    if not path.is_file():
        command = [sys.executable, __file__, f"--{part}", name, str(folder)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        with written_whole(path) as partial:
            partial.write_text(done.stdout.splitlines()[-1], encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def row(found: dict[str, Any]) -> str:
    """Return one line of the table; memory is the process's, that before the load included."""
    stages = found["stages"]
    cells = [f"{found['name']}, {found['method']}, {found['dtype']}"]
    for name in STAGES:
        one = stages.get(name)
        cells.append(f"{one['seconds']:.0f} s, {one['peak'] / GIB:.1f}" if one else "–")
    # What the training itself takes: above the process before it had a student.
    taken = stages["train"]["peak"] - stages["free"]
    planned = found["planned"]["total"]
    cells += [f"{planned / GIB:.2f}", f"{taken / GIB:.2f}", f"{planned / taken:.2f}"]
    return f"| {' | '.join(cells)} |"


def main(folder: Path, names: list[str]) -> None:
    """Print the table, a line as soon as it is measured."""
    folder.mkdir(parents=True, exist_ok=True)
    head = ["student 学生", *(f"{name}, GiB" for name in STAGES)]
    head += ["planned 计划 GiB", "measured 实测 GiB", "ratio 比"]
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for name in names:
        found = measured(name, folder)
        print(row(found), flush=True)
    print(f"\n{found['date']}, commit {found['commit']}, {found['hardware']}")


if __name__ == "__main__":
    if sys.argv[1].startswith("--"):
        print(json.dumps(PARTS[sys.argv[1][2:]](sys.argv[2], Path(sys.argv[3]))))
    else:
        main(Path(sys.argv[1]), sys.argv[2:] or list(CASES))
