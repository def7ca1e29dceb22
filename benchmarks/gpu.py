"""Everything that is not measured for want of a GPU, in one command for one data-centre card.

    python benchmarks/gpu.py --minutes 60 [--corpus DIR]     again: goes on where it stopped
    python benchmarks/gpu.py --test                          all of it on tiny students, on a CPU

Parts stand in the order of their worth, and each writes its figures as soon as it ends, to
`results/gpu/CARD/PART.json`; a part that has no time left is for the next call. Trials run one by
one, each in a process of its own (`gpu_trials.py`): Wenzhong 3.5B with random weights, rows of
1,024 tokens. The search changes one thing at a time and ends with the best setting for the card,
`best.json`, which later calls start from. DIR holds `labels.jsonl`, `paragraphs.jsonl` and
`held_out.jsonl` for `scripts/pretrain.py`; without it that part is left out.

Goals on an H100 or H200: full fine-tuning at 55 % of 989 TFLOP/s, LoRA at 1.45 times that rate,
TRL's defaults beaten 1.5 times. Prints the lines of the README's table.

Nothing was measured yet: no GPU was at hand when this was written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from gpu_trials import LENGTH, Setting, tried
from results import hardware

from miniluotuo_utils.files import read_jsonl, write_jsonl, written_whole
from miniluotuo_utils.runtime import EMBEDDED, commit, installed_versions
from miniluotuo_utils.students import ZOO
from miniluotuo_utils.students.devices import GIB, memory_of, own_device
from miniluotuo_utils.students.planner import largest_batch

RESULTS = Path(__file__).with_name("results") / "gpu"
PRETRAIN = Path(__file__).resolve().parents[1] / "scripts" / "pretrain.py"
STARTING = 2.0  # minutes that a trial takes beside its training: imports, weights, kernels
PRETRAINING = 20.0  # minutes
SIXTEEN = 15.0  # GiB that a card of 16 GB leaves to a training
PUBLISHED = ("luotuo-110m", "luotuo-312m", "luotuo-3.5b")
GOALS = {"full": "MFU ≥ 55 %", "lora": "≥ 1.45 × full", "trl": "≥ 1.5 × TRL"}


class NoTime(Exception):
    """The minutes of this call are used up."""


@dataclass
class Run:
    """A run: where figures go, until when, and whether on tiny students."""

    folder: Path
    until: float
    tiny: bool
    corpus: Path | None

    def file(self, part: str) -> Path:
        """Return where the figures of a part stand."""
        return self.folder / f"{part}.json"

    def known(self, part: str) -> dict[str, Any]:
        """Return what is there of a part."""
        path = self.file(part)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"trials": []}

    def write(self, part: str, found: Mapping[str, Any]) -> None:
        """Write what is there of a part, whole."""
        with written_whole(self.file(part)) as partial:
            partial.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")

    def check_time(self, minutes: float) -> None:
        """Raise `NoTime` where so many minutes are not left."""
        if time.time() + 60 * minutes > self.until:
            raise NoTime

    def trial(self, part: str, setting: Setting) -> dict[str, Any]:
        """Return the figures of a trial of a part: those that are there, else measured now."""
        setting = replace(setting, tiny=self.tiny)
        found = self.known(part)
        for one in found["trials"]:
            if one["setting"] == asdict(setting):
                return one["figures"]
        self.check_time(0 if self.tiny else setting.minutes + STARTING)
        # A test starts one process, and spares the imports of the others.
        figures = measured(setting) if part == "full" or not self.tiny else tried(setting)
        found["trials"].append({"setting": asdict(setting), "figures": figures, **stamp()})
        self.write(part, found)
        print(f"  {part} {changed(setting)}: {shown(figures)}", file=sys.stderr, flush=True)
        return figures


def measured(setting: Setting) -> dict[str, Any]:
    """Run a trial in a process of its own; a crash is what it measured."""
    command = [sys.executable, str(Path(__file__).with_name("gpu_trials.py"))]
    done = subprocess.run(
        [*command, json.dumps(asdict(setting))], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        return {"failed": said[-1][:300]}
    return json.loads(done.stdout.splitlines()[-1])


def stamp() -> dict[str, Any]:
    """Return when, by which code and on what something was measured."""
    versions = installed_versions()
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit(), "versions": versions}


def changed(setting: Setting) -> str:
    """Return what of a setting is not its default."""
    plain = asdict(Setting())
    return " ".join(f"{k}={v}" for k, v in asdict(setting).items() if v != plain[k] and k != "tiny")


def shown(figures: Mapping[str, Any]) -> str:
    """Return the figures that matter of a trial, for a reader."""
    if why := figures.get("failed") or figures.get("skipped"):
        return str(why)
    cells = []
    if figures.get("tokens_per_second"):
        cells.append(f"{figures['tokens_per_second']:,.0f} tokens/s")
    if figures.get("mfu"):
        cells.append(f"MFU {figures['mfu']:.1%}")
    if figures.get("peak_memory_bytes"):
        cells.append(f"{figures['peak_memory_bytes'] / GIB:.1f} GiB")
    if figures.get("answers_per_second"):
        cells.append(f"{figures['answers_per_second']:.1f} answers/s")
    if "bits" in figures or "NER" in figures:
        cells += [f"{k} {v:.3f}" for k, v in figures.items() if isinstance(v, float)]
    return ", ".join(cells) or "ran"


# ---- the parts


def planned(run: Run, setting: Setting) -> Setting:
    """Return a setting with the largest batch that the planner allows on this card."""
    if run.tiny:
        return replace(setting, batch=2)
    room = int((setting.room or 0.9 * memory_of(own_device()) / GIB) * GIB)
    config = ZOO[setting.student].config()
    for again in (False, True):
        batch = largest_batch(config, setting.method, LENGTH, room, again)
        if batch:
            break
    return replace(setting, batch=max(1, batch), checkpointing=again)


def fitting(run: Run, part: str, setting: Setting) -> tuple[Setting, dict[str, Any]]:
    """Return the first setting that fits, with smaller batches and then recomputation; figures."""
    while True:
        figures = run.trial(part, setting)
        if figures.get("failed") != "out of memory":
            return setting, figures
        if setting.batch > 1:
            setting = replace(setting, batch=setting.batch // 2)
        elif not setting.checkpointing:
            setting = replace(setting, checkpointing=True)
        else:
            return setting, figures


def best(run: Run, method: str) -> Setting:
    """Return the best setting for this card so far, for a method: the search's, else the plan."""
    path = run.file("best")
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if method in found:
            return Setting(**found[method])
    return planned(run, Setting(method=method))


def full(run: Run) -> None:
    """(a) 3.5 B, all weights."""
    fitting(run, "full", best(run, "full"))


def lora(run: Run) -> None:
    """(b) 3.5 B, LoRA."""
    fitting(run, "lora", best(run, "lora"))


def qlora(run: Run) -> None:
    """(c) 3.5 B, QLoRA in the memory of a 16 GB card."""
    fitting(run, "qlora", planned(run, Setting(method="qlora", room=SIXTEEN)))


def trl(run: Run) -> None:
    """(d) The same rows of many lengths by `finetune` and by TRL with its defaults, in turns."""
    for method in ("lora", "full"):
        ours = replace(best(run, method), rows="mixed")
        fitting(run, "trl", ours)
        # TRL's default batch is eight rows.
        fitting(run, "trl", Setting(kind="trl", method=method, rows="mixed", batch=8))


def axes(run: Run) -> dict[str, list[Any]]:
    """Return what the search tries of each field, one field after the other."""
    kernels = ["flash_attention_2"] if find_spec("flash_attn") else []
    kernels += ["eager"] if run.tiny else ["flex_attention"]
    return {"attention": kernels, "compiled": [True], "packed": [False], "batch": [0.5, 2]}


def search(run: Run) -> None:
    """(e) Kernels, `torch.compile`, packing, batch sizes: the best is kept for this card."""
    kept = {}
    for method in ("full", "lora"):
        # On rows of many lengths, where packing matters.
        start = replace(planned(run, Setting(method=method)), rows="mixed")
        chosen, figures = fitting(run, "search", start)
        for field, values in axes(run).items():
            for value in values:
                if field == "batch":
                    value = max(1, int(chosen.batch * value))
                other = replace(chosen, **{field: value})
                found = run.trial("search", other)
                if found.get("tokens_per_second", 0) > figures.get("tokens_per_second", 0):
                    chosen, figures = other, found
        kept[method] = asdict(replace(chosen, rows="full"))
    run.write("best", kept)


def float16(run: Run) -> None:
    """(f) The precision of a T4, as far as another card can show it."""
    for dtype in ("float16", "bfloat16"):
        fitting(run, "float16", replace(best(run, "lora"), dtype=dtype))


def pretrain(run: Run) -> None:
    """(g) The shipped base, pre-trained for twenty minutes."""
    if run.corpus is None:
        print("  pretrain: left out, give --corpus", file=sys.stderr)
        return
    run.check_time(0 if run.tiny else PRETRAINING + STARTING)
    minutes = 0.05 if run.tiny else PRETRAINING
    names = [run.corpus / f"{name}.jsonl" for name in ("labels", "paragraphs")]
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, PRETRAIN, *names, EMBEDDED / "student", out]
        command += [f"--minutes={minutes}", "--decay"]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        log = read_jsonl(Path(out) / "training.jsonl")
    found = log[-1] | {"tokens_per_second": log[-1]["tokens"] / log[-1]["seconds"]}
    run.write("pretrain", {"trials": [{"setting": {}, "figures": found, **stamp()}]})


def answers(run: Run) -> None:
    """(h) `generate` against vLLM, where it is installed."""
    for kind in ("answer", "vllm"):
        run.trial("answers", Setting(kind=kind, method="lora", batch=64))


def published(run: Run) -> None:
    """(i) The published students on the embedded test sets, where their weights are at hand."""
    for name in PUBLISHED:
        run.trial("published", Setting(kind="published", student=name))


PARTS: tuple[Callable[[Run], None], ...] = (
    full,
    lora,
    qlora,
    trl,
    search,
    float16,
    pretrain,
    answers,
    published,
)


# ---- the table


def rows(run: Run) -> Iterator[str]:
    """Yield the lines of the table."""
    for part in PARTS:
        name = part.__name__
        trials = run.known(name)["trials"]
        if not trials:
            yield f"| {name} | – | 未测 not measured | {GOALS.get(name, '–')} | – |"
        for one in trials:
            told = changed(Setting(**one["setting"])) or "–"
            when = f"{one['date']}, {one['commit']}"
            yield f"| {name} | {told} | {shown(one['figures'])} | {GOALS.get(name, '–')} | {when} |"


def table(run: Run) -> str:
    """Return the table of all that is measured on this card."""
    names = ("part 部分", "setting 设置", "measured 实测", "goal 目标", "when 何时")
    head = f"| {' | '.join(names)} |\n{'|---' * len(names)}|"
    return "\n".join([head, *rows(run), "", f"{run.folder.name}, {hardware()}"])


def toy_corpus(folder: Path) -> Path:
    """Write a corpus for `--test` from the embedded records."""
    records = [
        record | {"annotation": "silver"} for record in read_jsonl(EMBEDDED / "ner_train.jsonl")
    ]
    texts = [{"text": record["sentence"]} for record in records]
    write_jsonl(folder / "labels.jsonl", records * 4)
    for name in ("paragraphs", "held_out"):
        write_jsonl(folder / f"{name}.jsonl", texts)
    return folder


def main() -> None:
    """Run what there is time for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60, help="minutes of this call")
    parser.add_argument("--corpus", type=Path, help="labels, paragraphs, held_out for pre-training")
    parser.add_argument("--test", action="store_true", help="tiny students, nothing is kept")
    options = parser.parse_args()
    if not options.test and not torch.cuda.is_available():
        parser.error("found no GPU; expected one, or --test（没有 GPU：加上 --test）")

    with tempfile.TemporaryDirectory() as scratch:
        card = torch.cuda.get_device_name().replace(" ", "-") if not options.test else "test"
        folder, corpus = RESULTS / card, options.corpus
        if options.test:
            folder, corpus = Path(scratch) / card, toy_corpus(Path(scratch))
        run = Run(folder, time.time() + 60 * options.minutes, options.test, corpus)
        for part in PARTS:
            try:
                print(part.__name__, file=sys.stderr, flush=True)
                part(run)
            except NoTime:
                print("  no time left: the next call goes on", file=sys.stderr)
        print(table(run))


if __name__ == "__main__":
    main()
