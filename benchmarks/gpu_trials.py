"""One trial on a GPU, in a process of its own, so that none inherits another's memory or kernels.

    python benchmarks/gpu_trials.py '{"kind": "train", "method": "lora", "batch": 8}'

In: a `Setting` as JSON. Out: the last line printed, as JSON: what was measured, or why it was not.
Weights are random, of the real sizes: speed and memory do not depend on them. Used by `gpu.py`.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from transformers import AutoModelForCausalLM, TrainerCallback

from miniluotuo_utils.students import ZOO, Student, finetune, load_student, loop, save
from miniluotuo_utils.students.devices import GIB, own_device
from miniluotuo_utils.students.planner import TOKENS_PER_ROW
from miniluotuo_utils.students.products import multiply_in_float32

LENGTH = 1024  # tokens of a row
ANSWER = 128  # tokens of an answer
TINY = {"n_layer": 2, "n_embd": 64, "n_head": 2}  # what `--test` makes of every student


@dataclass(frozen=True)
class Setting:
    """What a trial does.

    `kind` is train, trl (its trainer with its defaults), answer, vllm or published. `rows` are
    `full` (of 1,024 tokens, all supervised) or `mixed` (of many lengths). `room` is the memory in
    GiB that a trial may take, None for all. `minutes` end a training; a `tiny` one takes 3 steps.
    """

    kind: str = "train"
    student: str = "wenzhong-3.5b"
    method: str = "full"
    dtype: str = "bfloat16"
    rows: str = "full"
    batch: int = 1
    checkpointing: bool = False
    attention: str = "sdpa"
    compiled: bool = False
    packed: bool = True
    room: float | None = None
    minutes: float = 1.0
    tiny: bool = False


# ---- what is trained


def made(setting: Setting) -> Student:
    """Return the student with random weights, on the device, in the precision of its method."""
    config = ZOO[setting.student].config()
    if setting.tiny:
        config.update(TINY)
    torch.manual_seed(0)
    dtype = torch.float32 if setting.method == "full" else getattr(torch, setting.dtype)
    with torch.device(own_device()):
        model = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=setting.attention
        )
    multiply_in_float32(model)
    student = Student(setting.student, model.eval(), load_student("tiny").tokenizer)
    if setting.method != "qlora":
        return student
    # bitsandbytes quantises what it reads from files.
    with TemporaryDirectory() as folder:
        save(student, Path(folder) / "base")
        del model, student
        return load_student(Path(folder) / "base", own_device(), setting.dtype, bits=4)


def token_rows(setting: Setting, vocabulary: int) -> list[dict[str, list[int]]]:
    """Return rows of random ids, enough for many steps: all of 1,024 tokens, or of the lengths of
    an instruction set, of which the second half is supervised.
    """
    draw = random.Random(0)
    count = setting.batch * (4 if setting.tiny else 64)
    sizes = [LENGTH if not setting.tiny else 64] * count
    if setting.rows == "mixed":
        mean = TOKENS_PER_ROW["gpt2"]
        sizes = [min(size, 8 + int(draw.expovariate(1 / mean))) for size in sizes * 4]
    rows = []
    for size in sizes:
        ids = [draw.randrange(5, vocabulary) for _ in range(size)]
        asked = 0 if setting.rows == "full" else size // 2
        rows.append({"input_ids": ids, "labels": [-100] * asked + ids[asked:]})
    return rows


# ---- trials


def train(setting: Setting) -> dict[str, Any]:
    """Train with `finetune`; return its metrics."""
    student = made(setting)
    rows = token_rows(setting, student.model.config.vocab_size)
    end = {"max_steps": 3} if setting.tiny else {"minutes": setting.minutes}
    if setting.compiled:
        # A test need not wait for a compiler.
        body = loop.base_of(student.model).base_model
        body.compile(backend="eager" if setting.tiny else "inductor")
    with ExitStack() as changed:
        if not setting.packed:
            changed.enter_context(patch.object(sys.modules[finetune.__module__], "packs", never))
        # The precision that a T4 would have.
        if setting.dtype == "float16":
            changed.enter_context(patch.object(loop, "half", lambda device: "float16"))
        training = finetune(
            student,
            rows,
            setting.method,
            epochs=1000,
            batch_size=setting.batch,
            max_length=LENGTH,
            checkpointing=setting.checkpointing,
            **end,
        )
    return training.metrics()


def never(*_: Any) -> bool:
    """Say no."""
    return False


class Clock(TrainerCallback):
    """Note time and tokens after each step of TRL's trainer."""

    def __init__(self) -> None:
        self.ticks: list[tuple[float, float]] = []

    def on_log(self, args, state, control, logs=None, **_):
        if "num_tokens" in (logs or {}):
            self.ticks.append((time.perf_counter(), logs["num_tokens"]))


def train_trl(setting: Setting) -> dict[str, Any]:
    """Train with TRL's SFTTrainer, everything but the batch left at its defaults."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    student, clock = made(setting), Clock()
    rows = Dataset.from_list(token_rows(setting, student.model.config.vocab_size))
    cuda = own_device() != "cpu"
    # Its defaults are for GPUs; a test has none.
    here = {} if cuda else {"use_cpu": True, "bf16": False}
    with TemporaryDirectory() as folder:
        arguments = SFTConfig(
            folder,
            per_device_train_batch_size=setting.batch,
            max_steps=3 if setting.tiny else 20,
            logging_steps=1,
            report_to="none",
            **here,
        )
        trainer = SFTTrainer(
            student.model,
            arguments,
            train_dataset=rows,
            processing_class=student.tokenizer,
            peft_config=LoraConfig(task_type="CAUSAL_LM") if setting.method == "lora" else None,
            callbacks=[clock],
        )
        trainer.train()
    # The first step warms up.
    (began, before), *_, (ended, after) = clock.ticks
    peak = torch.cuda.max_memory_allocated() if cuda else 0
    return {"tokens_per_second": (after - before) / (ended - began), "peak_memory_bytes": peak}


def prompts(setting: Setting) -> list[str]:
    """Return prompts to answer."""
    count = 4 if setting.tiny else 256
    return [f"第{number}题：从句子里找出人名和地名。" for number in range(count)]


def answer(setting: Setting) -> dict[str, Any]:
    """Answer with `generate`; return answers per second."""
    from miniluotuo_utils.generation import generate

    student, asked = made(setting), prompts(setting)
    most = 8 if setting.tiny else ANSWER
    generate(student, asked[:2], max_new_tokens=8)
    began = time.perf_counter()
    generate(student, asked, max_new_tokens=most, batch_size=setting.batch)
    return {"answers_per_second": len(asked) / (time.perf_counter() - began), "tokens": most}


def answer_vllm(setting: Setting) -> dict[str, Any]:
    """Answer the same prompts with vLLM, if it is installed."""
    if not find_spec("vllm"):
        return {"skipped": "vLLM is not installed"}
    from vllm import LLM, SamplingParams

    with TemporaryDirectory() as folder:
        save(made(setting), Path(folder) / "base")
        engine = LLM(str(Path(folder) / "base"), dtype=setting.dtype)
        how = SamplingParams(temperature=0, max_tokens=ANSWER, ignore_eos=True)
        engine.generate(prompts(setting)[:2], how)
        began = time.perf_counter()
        engine.generate(prompts(setting), how)
        seconds = time.perf_counter() - began
    return {"answers_per_second": len(prompts(setting)) / seconds, "tokens": ANSWER}


def published(setting: Setting) -> dict[str, Any]:
    """Return a published student's F1 on the embedded test sets, if its weights are at hand."""
    from miniluotuo_utils.files import read_jsonl
    from miniluotuo_utils.ie import extract, micro, schema_of, score
    from miniluotuo_utils.runtime import EMBEDDED

    name = "tiny" if setting.tiny else setting.student
    try:
        student = load_student(name, own_device(), setting.dtype)
    except FileNotFoundError as error:
        return {"skipped": str(error).split(":")[0]}
    found = {}
    for task in ("NER", "RE", "EE"):
        gold = read_jsonl(EMBEDDED / f"{task.lower()}_test.jsonl")[: 4 if setting.tiny else None]
        schema = schema_of(read_jsonl(EMBEDDED / f"{task.lower()}_train.jsonl"), task)
        sentences = [record["sentence"] for record in gold]
        records = extract(student, sentences, schema, task, max_new_tokens=64).records
        found |= {part: m["f1"] for part, m in micro(score(gold, records, task))}
    return found


KINDS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "train": train,
    "trl": train_trl,
    "answer": answer,
    "vllm": answer_vllm,
    "published": published,
}


def tried(setting: Setting) -> dict[str, Any]:
    """Run a trial; where memory does not do, that is what was measured."""
    if setting.room and torch.cuda.is_available():
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, setting.room * GIB / whole))
    try:
        return KINDS[setting.kind](setting)
    except (MemoryError, torch.OutOfMemoryError):
        return {"failed": "out of memory"}


def main(arguments: Sequence[str]) -> None:
    """Print what a trial measured as the last line."""
    print("\n" + json.dumps(tried(Setting(**json.loads(arguments[0]))), default=str))


if __name__ == "__main__":
    main(sys.argv[1:])
