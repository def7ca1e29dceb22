"""Plan a training before anything is loaded: memory, time and money; and what to change when memory
runs out.

In: a student's name or configuration, a method, a length, a GPU. Out: a verdict on the facts of
`estimate`. Shown in notebook 04 and by `plan` from a shell.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.choices import MORE, Sense, check_amounts, check_choice, choices
from miniluotuo_utils.students.devices import GIB, known_peak, measured_peak, memory_of
from miniluotuo_utils.students.estimate import (
    anatomy,
    flops_per_token,
    trainable_parameters,
    training_memory,
)
from miniluotuo_utils.students.loading import HUB_ID, UNSTATED, config_of, stated_context
from miniluotuo_utils.students.methods import METHODS, check_bits, not_cut_up
from miniluotuo_utils.students.zoo import ZOO

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

MIXTURE = 683_235  # rows of the whole Mini-Luotuo mixture
# Kept free on a GPU for CUDA's own context and the allocator's gaps: an assumption.
RESERVE = 1 * GIB
# An assumption: the low end of 41 to 47 % published for 1 to 8 B students in bfloat16 on an H100.
MFU = 0.41
# Mean tokens of 2,999 rows of alpaca-chinese v3, prompt and answer, in GPT-2's English BPE with
# Alpaca's wrapper and in the tiny student's vocabulary and template, by
# `benchmarks/planner_check.py rows`; the mixture was not at hand.
TOKENS_PER_ROW = {"gpt2": 248.2, "chinese": 110.3}
# What each part of the memory is called in a table.
PARTS = {
    "weights": "　权重 weights",
    "gradients": "　梯度 gradients",
    "optimizer": "　动量 optimizer",
    "activations": "　激活 activations",
    "logits": "　logits",
    "total": "　合计 total",
}
# Methods that train fewer weights, the gentlest first.
CHEAPER = {"full": ("lora", "qlora"), "lora": ("qlora",), "adalora": ("lora", "qlora")}


STEP = 64  # tokens from one length that `longest_row` tries to the next

# What an amount must be.
SENSE = {
    **dict.fromkeys(("length", "epochs", "rows", "row_tokens", "gpus"), MORE),
    "mfu": Sense(lambda value: 0 < value <= 1, "a share of the GPU's peak, above 0 and up to 1"),
    "price": Sense(lambda value: 0 <= value < math.inf, "0 or more for an hour"),
}


# A GPU's name in `devices.PEAK_FLOPS`, and its usable memory, under the nominal size.
GPUS: dict[str, dict[str, Any]] = {
    "t4": {"name": "T4", "gib": 15},
    "v100": {"name": "V100", "gib": 16},
    "l4": {"name": "L4", "gib": 22},
    "rtx4090": {"name": "RTX 4090", "gib": 23},
    "a100-40": {"name": "A100", "gib": 39},
    "a100-80": {"name": "A100", "gib": 79},
    "h100": {"name": "H100", "gib": 79},
    "h200": {"name": "H200", "gib": 139},
}


def room_and_peak(gpu: str) -> tuple[int, float]:
    """Return the bytes that training may take, and peak FLOP/s, of a GPU of `GPUS` or of this
    machine (`cpu`). Raises ValueError for a name that is not in the table.
    """
    if gpu == "cpu":
        return int(0.9 * memory_of("cpu")), measured_peak()
    check_choice("gpu", gpu, [*GPUS, "cpu"])
    return GPUS[gpu]["gib"] * GIB - RESERVE, known_peak(GPUS[gpu]["name"]) or 0.0


def largest_batch(
    config: PreTrainedConfig,
    method: str,
    length: int,
    room: int,
    checkpointing: bool,
    half: bool = True,
    bits: int | None = None,
    processes: int = 1,
) -> int:
    """Return how many rows of `length` tokens fit into `room` bytes at once; 0 where not one does.

    Memory grows by the same amount with every row.
    """
    one, two = (
        training_memory(config, method, length, batch, checkpointing, half, bits, processes)[
            "total"
        ]
        for batch in (1, 2)
    )
    return max(0, 1 + (room - one) // (two - one))


def longest_row(
    config: PreTrainedConfig,
    method: str,
    room: int,
    bits: int | None = None,
    half: bool = True,
    processes: int = 1,
) -> int:
    """Return how many tokens one row may have to fit into `room` bytes with recomputation, in steps
    of 64 and up to the student's context; 0 where not even the first step fits.
    """
    steps = range(1, (stated_context(config) or UNSTATED) // STEP + 1)

    def too_long(step: int) -> bool:
        found = training_memory(config, method, STEP * step, 1, True, half, bits, processes)
        return found["total"] > room

    return STEP * bisect_left(steps, True, key=too_long)


def ways(
    config: PreTrainedConfig, method: str, gpus: int, bits: int | None = None
) -> list[tuple[int, bool]]:
    """Return how a student can be trained on so many GPUs, the fastest first: into how many parts
    it is cut, and whether activations are recomputed.

    >>> from transformers import GPT2Config
    >>> ways(GPT2Config(), "lora", 8)
    [(1, False), (8, False), (8, True)]
    >>> ways(GPT2Config(), "qlora", 8, bits=4)
    [(1, False), (1, True)]
    """
    if gpus == 1 or not_cut_up(config, method, bits):
        return [(1, False), (1, True)]
    return [(1, False), (gpus, False), (gpus, True)]


def tokens_per_row(config: PreTrainedConfig) -> float:
    """Return the mean tokens of one instruction row: about 248 in GPT-2's English vocabulary, 110
    in a Chinese one with a short template.
    """
    english = config.model_type == "gpt2" and 50257 <= config.vocab_size <= 50304
    return TOKENS_PER_ROW["gpt2" if english else "chinese"]


def plan(
    student: str | Path | PreTrainedConfig,
    method: str = "full",
    length: int = 1024,
    gpu: str = "t4",
    *,
    gpus: int = 1,
    epochs: float = 1.0,
    rows: int = MIXTURE,
    row_tokens: float | None = None,
    mfu: float = MFU,
    price: float | None = None,
    bits: int | None = None,
    longest: bool = False,
) -> dict[str, Any]:
    """Return what a training will take on one GPU or on several: memory of one GPU by part for one
    row, the largest batch of each, whether recomputation is needed, hours, money.

    `bits` are those of a frozen base, 4, 8 or 16; None: 4 for qlora, else 16. Rows are packed, so
    none of the time goes to padding. Time is FLOPs (recomputation and every logit included) over
    `mfu` of the GPUs' peak: an assumption, not a measurement, and a small student, packed weights,
    an old GPU or a slow network between `gpus` stays below it. Several GPUs keep the student whole
    each (`ddp.yaml`) where that fits, else FSDP2 cuts it into so many parts (`fsdp2.yaml`). `price`
    is per hour of one GPU. `student` is a zoo name, a folder or a hub id, of which only the
    configuration is read. With `longest` the longest row that fits is searched for, which takes a
    few seconds.

    Raises ValueError for an unknown student, method or GPU, for an architecture that cannot be
    estimated and for an amount that makes no sense, FileNotFoundError for a hub id that cannot be
    had.
    """
    check_amounts(
        SENSE,
        length=length,
        epochs=epochs,
        rows=rows,
        row_tokens=row_tokens,
        mfu=mfu,
        price=price,
        gpus=gpus,
    )
    bits = check_packing(method, bits)
    named = isinstance(student, str | Path)
    config = configured(student) if named else student
    (room, peak), half = room_and_peak(gpu), gpu != "cpu"

    check_choice("method", method, METHODS)
    try:
        parts, checkpointing, batch = first_way(config, method, length, room, half, gpus, bits)
    # A library may fail in any way on an architecture that it was not written for.
    except Exception as error:
        raise ValueError(not_estimated(config, method, error)) from error

    speed = gpus * peak * mfu / flops_per_token(config, length, method, checkpointing)
    tokens = rows * epochs * (row_tokens or tokens_per_row(config))
    hours = tokens / speed / 3600
    return {
        "student": str(student) if named else config.model_type,
        "parameters": anatomy(config).parameters,
        "method": method,
        "bits": bits or 16,
        "trainable": trainable_parameters(config, method),
        "length": length,
        "gpu": gpu,
        "gpus": gpus,
        "parts": parts,
        "room": room,
        "fits": batch > 0,
        "checkpointing": checkpointing,
        "largest_batch": batch,
        "longest": longest_row(config, method, room, bits, half, parts) if longest else None,
        "memory": training_memory(config, method, length, 1, checkpointing, half, bits, parts),
        "mfu": mfu,
        "tokens_per_second": speed,
        "rows": rows,
        "epochs": epochs,
        "tokens": tokens,
        "hours": hours,
        "money": None if price is None else hours * price * gpus,
    }


def first_way(
    config: PreTrainedConfig,
    method: str,
    length: int,
    room: int,
    half: bool,
    gpus: int,
    bits: int | None,
) -> tuple[int, bool, int]:
    """Return the first of `ways` in which a row fits, else the last, and its largest batch."""
    for parts, checkpointing in ways(config, method, gpus, bits):
        batch = largest_batch(config, method, length, room, checkpointing, half, bits, parts)
        if batch:
            break
    return parts, checkpointing, batch


def not_estimated(config: PreTrainedConfig, method: str, error: Exception) -> str:
    """Say which architecture could not be taken apart, and why."""
    cause, *_ = str(error).strip().splitlines() or [type(error).__name__]
    return (
        f"{config.model_type} with method {method!r} cannot be estimated: {cause} "
        "（这种结构估不了：换一种方法，或者训练几步，量一量）Take another method, or train a few "
        "steps and measure"
    )


def configured(name: str | Path) -> PreTrainedConfig:
    """Return the configuration of a student of the zoo, a folder or the hub; of a model that sees
    and hears, too, that of the part which writes.
    """
    if str(name) not in ZOO and not Path(name).is_dir() and not HUB_ID.fullmatch(str(name)):
        raise ValueError(
            f"student {str(name)!r} is not in the zoo; {choices(name, ZOO)}; "
            "or the folder of a student, or a hub id such as owner/name"
        )
    return config_of(name).get_text_config()


def check_packing(method: str, bits: int | None) -> int | None:
    """Return in how many bits a method's base is packed, 4 or 8, None for whole weights.

    Raises ValueError for other bits and for those that the method cannot train.

    >>> check_packing("qlora", None), check_packing("lora", 8), check_packing("lora", 16)
    (4, 8, None)
    """
    if bits not in (None, 4, 8, 16):
        raise ValueError(f"bits is {bits}; expected 4, 8 or 16")
    packed = 4 if method == "qlora" and bits is None else bits
    check_bits(method, packed)
    return None if packed == 16 else packed


def table(found: Mapping[str, Any]) -> str:
    """Return `plan` as a Markdown table with a line on what was assumed."""
    method = f"{found['method']}（训练 trains {found['trainable']:,}）"
    fits = f"最多 {found['largest_batch']} 行 rows" if found["fits"] else "放不下 does not fit"
    again = "需要 needed" if found["checkpointing"] else "不需要 not needed"
    gpu = found["gpu"] if found["gpus"] == 1 else f"{found['gpus']} × {found['gpu']}，一块 each"
    lines = {
        "学生 student": f"{found['student']} · {found['parameters']:,} 参数 parameters · {method}",
        "底座 base": f"{found['bits']} 位 bits",
        "显存 memory": f"{gpu}：{found['room'] / GIB:.1f} GiB 可用 usable",
        **{PARTS[part]: f"{size / GIB:.2f} GiB" for part, size in found["memory"].items()},
        f"批 batch × {found['length']}": fits,
        "重算激活 checkpointing": again,
    }
    if found["longest"] is not None:
        lines["最长一行 longest row"] = f"{found['longest']:,} tokens"
    # What the GPUs tell each other depends on a network that nobody knows.
    if found["gpus"] > 1:
        file = "fsdp2.yaml" if found["parts"] > 1 else "ddp.yaml"
        lines["怎样分 how it is shared"] = f"{file}；通信没有算 communication is left out"
    # Hours of a training that cannot be would look like an offer.
    if found["fits"]:
        millions, hours = found["tokens"] / 1e6, found["hours"]
        lines |= {
            "速度 speed": f"{found['tokens_per_second']:,.0f} tokens/s",
            f"{found['rows']:,} 行 rows × {found['epochs']:g}": (
                f"{millions:,.0f} M tokens · {hours:,.1f} 小时 hours"
            ),
        }
        if found["money"] is not None:
            lines["费用 cost"] = f"{found['money']:,.2f}"
    body = "\n".join(f"| {name} | {value} |" for name, value in lines.items())
    return (
        f"| | |\n|---|---|\n{body}\n\n"
        f"估计，不是实测：假设 MFU {found['mfu']:.0%}，各部分显存是一行的。\n"
        f"An estimate, not a measurement: MFU {found['mfu']:.0%} is assumed; "
        "memory by part is for one row."
    )


def advice(
    config: PreTrainedConfig,
    method: str,
    length: int,
    batch: int,
    memory_bytes: int,
    checkpointing: bool = False,
    bits: int | None = None,
    processes: int = 1,
) -> str:
    """Return what to change when training ran out of `memory_bytes`, from the gentlest to the
    deepest change, each with its estimated total.

    `processes` are those over which FSDP2 has cut the student; the memory is that of one.
    """
    now = training_memory(
        config, method, length, batch, checkpointing, bits=bits, processes=processes
    )
    needed, room = f"{now.pop('total') / GIB:.1f}", f"{memory_bytes / GIB:.1f}"
    parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in now.items())
    lines = [
        f"内存不够：{method}、batch_size={batch}、长度 {length} 约需 {needed} GiB，"
        f"这里有 {room} GiB（{parts}）。依次试：",
        f"Out of memory: this training takes about {needed} GiB of {room}. Try in this order:",
    ]
    found = changes(config, method, length, batch, memory_bytes, checkpointing, bits, processes)
    for number, (change, total) in enumerate(found.items(), 1):
        verdict = "放得下 fits" if total <= memory_bytes else "仍放不下 still too much"
        lines.append(f"{number}. {change}：{total / GIB:.1f} GiB，{verdict}")
    return "\n".join(lines)


def changes(
    config: PreTrainedConfig,
    method: str,
    length: int,
    batch: int,
    room: int,
    checkpointing: bool,
    bits: int | None = None,
    processes: int = 1,
) -> dict[str, int]:
    """Return the changes that `advice` names, each with the bytes that training would then take."""

    def total(
        method: str = method, length: int = length, batch: int = batch, again: bool = checkpointing
    ) -> int:
        how = (config, method, length, batch, again)
        return training_memory(*how, bits=bits, processes=processes)["total"]

    found = {}
    one_row = f"checkpointing=True, batch_size=1, accumulate={batch}"
    # The gentlest: what is learned stays the same, only later or slower.
    if batch > 1:
        smaller = next(
            (b for b in range(batch // 2, 0, -1) if batch % b == 0 and total(batch=b) <= room), 1
        )
        change = f"batch_size={smaller}, accumulate={batch // smaller}"
        found[f"{change}（全局批不变 same global batch）"] = total(batch=smaller)
    if not checkpointing:
        found["checkpointing=True（慢约三分之一 about a third slower）"] = total(again=True)
        if batch > 1:
            found[one_row] = total(again=True, batch=1)

    # From here on something else is learned.
    found[f"max_length={length // 2}"] = total(length=length // 2)
    for other in CHEAPER.get(method, ()):
        found[f"method={other!r}, {one_row}"] = total(other, batch=1, again=True)
    return found | smaller_student(config, method, length, room, bits)


def smaller_student(
    config: PreTrainedConfig, method: str, length: int, room: int, bits: int | None = None
) -> dict[str, int]:
    """Return the largest student of the zoo with fewer parameters, of the same kind, that fits with
    one row, and the bytes of its training; empty where there is none.
    """
    mine, others = anatomy(config).parameters, {name: spec.config() for name, spec in ZOO.items()}
    sizes = [
        (anatomy(other).parameters, name)
        for name, other in others.items()
        if other.is_encoder_decoder == config.is_encoder_decoder
    ]
    for size, name in sorted(sizes, reverse=True):
        # The weights alone often are too much: that spares the full count, which takes a second.
        if size < mine and (method != "full" or 4 * size <= room):
            total = training_memory(others[name], method, length, 1, bits=bits)["total"]
            if total <= room:
                return {f"学生换成 a smaller student: {name}, batch_size=1": total}
    return {}
