"""The planner against measurement: memory and time of real training steps, each case in a process
of its own.

    python benchmarks/planner_check.py         memory and speed; on the GPU where there is one
    python benchmarks/planner_check.py rows    mean tokens per row of alpaca-chinese v3

A step is two accumulated batches of 4 rows × 256 tokens with every token supervised, and AdamW.
Memory on a CPU is the peak of the resident set above what a small one of the case took; on a GPU
`torch.cuda.max_memory_allocated`. CPU cases run in float32 without dropout, as
`estimate.training_memory(half=False)` describes it (a CPU's attention with dropout would keep the
scores).
"""

from __future__ import annotations

import json
import os
import platform
import random
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

from miniluotuo_utils.runtime import commit
from miniluotuo_utils.students.devices import known_peak, measured_peak
from miniluotuo_utils.students.estimate import anatomy, flops_per_token, training_memory

LENGTH, BATCH, STEPS = 256, 4, 3


def gpt2(layers: int, width: int, heads: int, vocabulary: int) -> dict[str, Any]:
    """Return the sizes of a GPT-2 without dropout."""
    return {
        "n_layer": layers,
        "n_embd": width,
        "n_head": heads,
        "vocab_size": vocabulary,
        "n_positions": LENGTH,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    }


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3 5.3 M": (
        "qwen3",
        {
            "num_hidden_layers": 5,
            "hidden_size": 256,
            "intermediate_size": 704,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "vocab_size": 6144,
            "tie_word_embeddings": True,
        },
    ),
    "gpt2 4.5 M": ("gpt2", gpt2(layers=4, width=256, heads=4, vocabulary=4864)),
    "gpt2 29 M": ("gpt2", gpt2(layers=8, width=512, heads=8, vocabulary=8000)),
    "gpt2 102 M": ("gpt2", gpt2(layers=12, width=768, heads=12, vocabulary=21128)),
    "llama 31 M": (
        "llama",
        {
            "num_hidden_layers": 8,
            "hidden_size": 512,
            "intermediate_size": 1376,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "vocab_size": 8000,
        },
    ),
    "t5 20 M": (
        "t5",
        {
            "num_layers": 4,
            "d_model": 384,
            "d_kv": 64,
            "d_ff": 1536,
            "num_heads": 6,
            "vocab_size": 8000,
            "decoder_start_token_id": 0,
            "dropout_rate": 0.0,
        },
    ),
}
DEPTH_AND_WIDTH = {
    "gpt2": ("n_layer", "n_embd"),
    "llama": ("num_hidden_layers", "hidden_size"),
    "qwen3": ("num_hidden_layers", "hidden_size"),
    "t5": ("num_layers", "d_model"),
}
METHODS = ("full", "lora")


def config_of(case: str, **other: int) -> Any:
    """Return the configuration of a case, with `other` sizes where given."""
    from transformers import AutoConfig

    kind, sizes = CASES[case]
    return AutoConfig.for_model(kind, **{**sizes, "bos_token_id": 1, "eos_token_id": 2, **other})


def resident() -> int:
    """Return the bytes of memory that this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def train(config: Any, method: str, checkpointing: bool, length: int) -> list[float]:
    """Run a few real training steps of a new model; return the seconds of each."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    from miniluotuo_utils.students.loading import Student
    from miniluotuo_utils.students.loop import summed_loss
    from miniluotuo_utils.students.methods import attach

    # As `finetune` has it: trained weights in float32, a frozen base on a GPU in half precision.
    cuda = torch.cuda.is_available()
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    device = "cuda" if cuda else "cpu"
    dtype = torch.bfloat16 if cuda and method == "lora" else torch.float32
    student = Student("", auto.from_config(config, dtype=dtype).to(device), None)
    attach(student, method, seed=0, steps=100)
    model, times = student.model.train(), []
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    ids = torch.randint(5, config.vocab_size, (BATCH, length), device=device)

    # `finetune` makes logits where a label is, which an encoder–decoder does by itself.
    plain = not config.is_encoder_decoder
    # Two batches a step: the peak is the second backward, beside the gradients of the first.
    for _ in range(STEPS):
        started = time.perf_counter()
        for _ in range(2):
            batch = {"input_ids": ids, "labels": ids}
            with torch.autocast(device, torch.bfloat16, enabled=cuda):
                loss = summed_loss(model, batch, 2 * ids.numel(), plain)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return times


def measure(case: str, method: str, checkpointing: bool) -> dict[str, float]:
    """Return peak bytes above what a small one of the same case took, and seconds per step after
    the first.
    """
    import torch

    # A small one first, so that everything is imported and warm before memory is read.
    depth, width = DEPTH_AND_WIDTH[CASES[case][0]]
    narrow = 16 * config_of(case).num_attention_heads
    small = config_of(case, **{depth: 1, width: narrow}, vocab_size=64)
    train(small, method, checkpointing, 8)
    cuda, before = torch.cuda.is_available(), resident()
    if cuda:
        torch.cuda.reset_peak_memory_stats()

    times = train(config_of(case), method, checkpointing, LENGTH)
    if cuda:
        peak = torch.cuda.max_memory_allocated()
        rate = known_peak(torch.cuda.get_device_name()) or float("nan")
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        rate = measured_peak("float32")
    return {"peak": peak, "seconds": min(times[1:]), "rate": rate, "cuda": cuda}


def measured(case: str, method: str, checkpointing: bool, returned: bool) -> dict[str, float]:
    """Run `measure` in a fresh process; with `returned`, freed memory goes back to the system at
    once, which is exact but slower.
    """
    environment = {**os.environ, **({"MALLOC_MMAP_THRESHOLD_": "65536"} if returned else {})}
    command = [sys.executable, __file__, "case", case, method, str(int(checkpointing))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(case: str, method: str, checkpointing: bool) -> str:
    """Return one row of the table."""
    config = config_of(case)
    memory = measured(case, method, checkpointing, returned=True)
    speed = measured(case, method, checkpointing, returned=False)
    half = bool(memory["cuda"])
    planned = training_memory(config, method, LENGTH, BATCH, checkpointing, half=half)["total"]
    tokens = 2 * BATCH * LENGTH
    flops = flops_per_token(config, LENGTH, method, checkpointing) * tokens
    cells = [
        case,
        f"{anatomy(config).parameters / 1e6:.1f} M",
        f"{method} + checkpointing" if checkpointing else method,
        f"{planned / 2**20:,.0f}",
        f"{memory['peak'] / 2**20:,.0f}",
        f"{planned / memory['peak']:.2f}",
        f"{tokens / speed['seconds']:,.0f}",
        f"{flops / speed['seconds'] / speed['rate']:.0%}",
    ]
    return f"| {' | '.join(cells)} |"


def tokens_per_row(number: int = 3000) -> None:
    """Print the mean tokens per row, and the share that is supervised, of random rows of
    alpaca-chinese v3 under two vocabularies.
    """
    from miniluotuo_utils.data import available, load
    from miniluotuo_utils.students import load_student
    from miniluotuo_utils.tokens import IGNORED, encode, gpt2_tokenizer

    rows, _ = load("alpaca-chinese", "train", errors="collect")
    chosen = random.Random(0).sample(list(rows), number)
    english, real = gpt2_tokenizer(available("gpt2-tokenizer"))
    vocabularies = {
        f"GPT-2 BPE{'' if real else ' (a small copy)'}": english,
        "tiny": load_student("tiny").tokenizer,
    }
    print("| tokenizer 词表 | rows 行 | tokens per row 每行词元 | supervised 监督 |")
    print("|---|---|---|---|")
    for name, tokenizer in vocabularies.items():
        made = encode(chosen, tokenizer, 1 << 20).rows
        tokens = sum(len(row["input_ids"]) for row in made)
        supervised = sum(len(row["labels"]) - row["labels"].count(IGNORED) for row in made)
        print(f"| {name} | {len(made):,} | {tokens / len(made):.1f} | {supervised / tokens:.1%} |")


def main() -> None:
    """Print the table of all cases."""
    head = [
        "student 学生",
        "parameters 参数",
        "method 方法",
        "planned 计划 MiB",
        "measured 实测 MiB",
        "ratio 比",
        "tokens/s",
        "share of peak 峰值占比",
    ]
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for case in CASES:
        for method in METHODS:
            print(compare(case, method, False), flush=True)
    print(compare("gpt2 102 M", "full", True))
    print(
        f"\n{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, "
        f"{platform.processor() or platform.machine()}, "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')} threads, "
        f"{measured_peak() / 1e9:.0f} GFLOP/s on a float32 product"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["case"]:
        print(json.dumps(measure(sys.argv[2], sys.argv[3], sys.argv[4] == "1")))
    elif sys.argv[1:2] == ["rows"]:
        tokens_per_row()
    else:
        main()
