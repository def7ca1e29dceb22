"""Run the tasks of lm-evaluation-harness that need no hub on a student; name the others' data.

    pip install lm_eval
    python benchmarks/general_ability.py            tiny, all questions
    python benchmarks/general_ability.py FOLDER 8   another student, eight questions of each task

The command is that of notebook 05b. Beside the harness's F1 stands what `extract` and `score` give
for the same prompts, sentences and slices.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results import hardware

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.ie import extract, micro, schema_of, score
from miniluotuo_utils.records import TASKS
from miniluotuo_utils.runtime import EMBEDDED, commit
from miniluotuo_utils.students import load_student
from miniluotuo_utils.text import markdown

OURS = ("miniluotuo_ner", "miniluotuo_re", "miniluotuo_ee")
# LaMini's fifteen, and two Chinese examinations.
GENERAL = [
    "openbookqa",
    "sciq",
    "race",
    "arc_challenge",
    "piqa",
    "record",
    "sst2",
    "mrpc",
    "rte",
    "mnli",
    "mnli_mismatch",
    "wsc273",
    "winogrande",
    "wic",
    "hellaswag",
    "ceval-valid",
    "cmmlu",
]


def source_of(index: Mapping[str, Any], name: str) -> str:
    """Return the hub's data set that a task reads, "" for one that makes its own.

    `index` is the harness's, from task names to entries; a group reads what its first task reads.
    """
    settings = index[name].cfg or {}
    if "custom_dataset" in settings:
        return ""
    members = settings.get("task")
    if "dataset_path" in settings or not isinstance(members, list):
        return str(settings.get("dataset_path", "?"))
    first = members[0]
    return source_of(index, first if isinstance(first, str) else first["task"])


def harness(folder: str, tasks: Sequence[str], limit: int | None = None) -> dict[str, dict]:
    """Run the harness's command on a student's folder, offline; return its results by task."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--device", "cpu"]
        command += ["--model_args", f"pretrained={folder},dtype=float32", "--batch_size", "8"]
        command += ["--include_path", str(EMBEDDED / "lm_eval"), "--tasks", ",".join(tasks)]
        command += ["--output_path", scratch, *(["--limit", str(limit)] if limit else [])]
        subprocess.run(command, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        [found] = Path(scratch).rglob("results_*.json")
        return json.loads(found.read_text(encoding="utf-8"))["results"]


def own_scores(folder: str, task: str) -> list[float]:
    """Return F1 of our own extraction on an embedded test set: one number, for EE two."""
    train, test = (
        read_jsonl(EMBEDDED / f"{task.lower()}_{split}.jsonl") for split in ("train", "test")
    )
    sentences = [record["sentence"] for record in test]
    found = extract(load_student(folder), sentences, schema_of(train, task), task)
    return [part["f1"] for _, part in micro(score(test, found.records, task))]


def main(folder: str, limit: int | None) -> None:
    """Print a row per task."""
    from lm_eval.tasks import TaskManager

    index, started = TaskManager(include_path=str(EMBEDDED / "lm_eval")).task_index, time.time()
    results, seconds = harness(folder, OURS, limit), time.time() - started
    lines = []
    for name, task in zip(OURS, TASKS, strict=True):
        told = [v for k, v in results[name].items() if "f1" in k and "stderr" not in k]
        own = own_scores(folder, task) if limit is None else []
        cells = (" / ".join(f"{value:.3f}" for value in values) or "–" for values in (told, own))
        lines.append([name, "随包 in the package", *cells])
    lines += [[name, source_of(index, name), "要联网 needs the hub", "–"] for name in GENERAL]
    print(markdown(["任务 task", "数据 data", "lm-eval", "extract + score"], lines))
    print(f"\n{seconds:.0f} s, commit {commit()}, {hardware()}")


if __name__ == "__main__":
    folder, limit = [*sys.argv[1:], *[""] * 2][:2]
    main(folder or str(EMBEDDED / "student"), int(limit) if limit else None)
