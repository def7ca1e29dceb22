"""Students of their real size on a CPU, with random weights: train, save, reload, merge, generate.

    python benchmarks/full_size.py FOLDER [NAME ...]

Each student of `CASES` is made from its configuration, trained for two steps on short rows, saved,
read back, merged where it has an adapter, and generates eight tokens. Wenzhong 3.5B takes LoRA on
weights in bfloat16, the smaller ones full fine-tuning in float32. Each runs in a process of its own
and leaves a file in `results/full_size/`; what has one is not run again. Prints a Markdown table:
seconds and peak memory (resident set) of each stage, and what the planner says of the training.

FOLDER takes up to 22 GB, all of which is removed again. The weights are random, so the answers are
worth nothing; that they are the same before saving and after loading is checked.
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


def run(name: str, folder: Path) -> dict[str, Any]:
    """Take a student through all stages; return what each cost."""
    from miniluotuo_utils.generation import generate
    from miniluotuo_utils.students import finetune, load_student, merge, save
    from miniluotuo_utils.students.estimate import training_memory
    from miniluotuo_utils.tokens import prompts_of

    case = CASES[name]
    base, out = folder / name, folder / f"{name}-trained"

    # A small one first, so that everything is imported before memory is read.
    finetune(load_student("tiny"), ROWS, max_steps=1)
    found = {}
    with stage("make", found):
        make(name, case, base)
    gc.collect()
    found["free"] = status("VmRSS")
    with stage("load", found):
        student = load_student(base, dtype=case.dtype)
    asked = prompts_of(student, ROWS[:1])
    with stage("train", found):
        training = finetune(
            student, ROWS, case.method, max_steps=STEPS, batch_size=BATCH, max_length=LENGTH
        )
    with stage("save", found):
        save(student, out, training.log)
    before = generate(student, asked, max_new_tokens=TOKENS)
    facts = training.metrics() | {"length": training.meter.length}
    config = student.model.config
    del student, training

    with stage("reload", found):
        student = load_student(out, dtype=case.dtype)
    assert generate(student, asked, max_new_tokens=TOKENS) == before, "it came back another student"
    if case.method == "lora":
        with stage("merge", found):
            student = merge(student)
            save(student, folder / f"{name}-merged")
    with stage("generate", found):
        found["answer"] = generate(student, asked, max_new_tokens=TOKENS)[0]

    planned = training_memory(
        config, case.method, facts["length"], BATCH, half=case.dtype != "float32"
    )
    return {"name": name, **case._asdict(), "stages": found, "planned": planned, "facts": facts}


# ---- all of them


def measured(name: str, folder: Path) -> dict[str, Any]:
    """Return what a student's file of results holds; run the student where there is none."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        command = [sys.executable, __file__, "--one", name, str(folder)]
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        finally:
            for left in folder.glob(f"{name}*"):
                remove(left)
        found = json.loads(done.stdout.splitlines()[-1])
        found |= {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit()}
        with written_whole(path) as partial:
            partial.write_text(json.dumps(found | {"hardware": hardware()}, indent=1) + "\n")
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
    if sys.argv[1] == "--one":
        print(json.dumps(run(sys.argv[2], Path(sys.argv[3]))))
    else:
        main(Path(sys.argv[1]), sys.argv[2:] or list(CASES))
