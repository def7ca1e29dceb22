"""Plan a training before anything is loaded: memory, time and money; and what to change when memory runs out.

In: a student's name or configuration, a method, a length, a GPU. Out: an estimate. Shown in notebook 04 and by `plan` from a shell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.students.devices import GIB, known_peak, measured_peak, memory_of
from miniluotuo_utils.students.estimate import (
    flops_per_token,
    parameter_count,
    trainable_parameters,
    training_memory,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig

MIXTURE = 683_235  # rows of the whole Mini-Luotuo mixture
RESERVE = 1 * GIB  # kept free on a GPU: CUDA's own context and the allocator's gaps; an assumption
MFU = 0.41  # an assumption: the low end of 41 to 47 % published for 1 to 8 B students in bfloat16 on an H100
# mean tokens of 2,999 rows of alpaca-chinese v3, prompt and answer, in GPT-2's English BPE and the tiny student's Chinese one, by
# `benchmarks/planner_check.py rows`; the mixture itself was not at hand
TOKENS_PER_ROW = {"gpt2": 248.2, "chinese": 143.6}


@dataclass(frozen=True)
class Gpu:
    """A GPU: its name in `throughput.PEAK_FLOPS`, and its usable memory in bytes, a little under the nominal size."""

    name: str
    memory: int


GPUS: dict[str, Gpu] = {
    "t4": Gpu("T4", 15 * GIB),
    "v100": Gpu("V100", 16 * GIB),
    "l4": Gpu("L4", 22 * GIB),
    "rtx4090": Gpu("RTX 4090", 23 * GIB),
    "a100-40": Gpu("A100", 39 * GIB),
    "a100-80": Gpu("A100", 79 * GIB),
    "h100": Gpu("H100", 79 * GIB),
    "h200": Gpu("H200", 139 * GIB),
}


def room_and_peak(gpu: str) -> tuple[int, float]:
    """Bytes that training may take, and peak FLOP/s, of a GPU of `GPUS` or of this machine (`cpu`).

    Raises ValueError for a name that is not in the table.
    """
    if gpu == "cpu":
        return int(0.9 * memory_of("cpu")), measured_peak()
    if gpu not in GPUS:
        raise ValueError(f"gpu is {gpu!r}; expected one of {', '.join(GPUS)} or cpu")
    return GPUS[gpu].memory - RESERVE, known_peak(GPUS[gpu].name) or 0.0


def configuration(student: str | PretrainedConfig) -> PretrainedConfig:
    """The configuration of a zoo name, or the one that was given. Raises ValueError for a name that is not in the zoo."""
    if not isinstance(student, str):
        return student
    from miniluotuo_utils.students.zoo import ZOO

    if student not in ZOO:
        raise ValueError(f"student is {student!r}; expected a name of the zoo: {', '.join(ZOO)}")
    return ZOO[student].config()


def largest_batch(
    config: PretrainedConfig,
    method: str,
    length: int,
    room: int,
    checkpointing: bool,
    half: bool = True,
) -> int:
    """How many rows of `length` tokens fit into `room` bytes at once; 0 where not one does. Memory grows by the same amount with every row."""
    one, two = (
        training_memory(config, method, length, batch, checkpointing, half=half)["total"]
        for batch in (1, 2)
    )
    return max(0, 1 + (room - one) // (two - one)) if room >= one else 0


def tokens_per_row(config: PretrainedConfig) -> float:
    """Mean tokens of one instruction row: about 248 in GPT-2's English vocabulary, 144 in a Chinese one."""
    return TOKENS_PER_ROW[
        "gpt2" if config.model_type == "gpt2" and 50257 <= config.vocab_size <= 50304 else "chinese"
    ]


def plan(
    student: str | PretrainedConfig,
    method: str = "full",
    length: int = 1024,
    gpu: str = "t4",
    *,
    epochs: float = 1.0,
    rows: int = MIXTURE,
    row_tokens: float | None = None,
    mfu: float = MFU,
    price: float | None = None,
) -> dict[str, Any]:
    """What a training on one GPU will take: memory by part for one row, the largest batch, whether recomputation is needed, hours, money.

    Rows are packed, so none of the time goes to padding. Time is FLOPs (recomputation and every logit included) over `mfu` of the GPU's
    peak: an assumption, not a measurement, and a small student or an old GPU stays below it. `price` is per hour of the GPU.
    Raises ValueError for an unknown student, method or GPU.
    """
    config = configuration(student)
    room, peak = room_and_peak(gpu)
    half = gpu != "cpu"
    batches = {
        again: largest_batch(config, method, length, room, again, half) for again in (False, True)
    }
    checkpointing = batches[False] == 0
    speed = peak * mfu / flops_per_token(config, length, method, checkpointing)
    tokens = rows * epochs * (row_tokens or tokens_per_row(config))
    hours = tokens / speed / 3600
    return {
        "student": student if isinstance(student, str) else config.model_type,
        "parameters": parameter_count(config),
        "method": method,
        "trainable": trainable_parameters(config, method),
        "length": length,
        "gpu": gpu,
        "room": room,
        "fits": max(batches.values()) > 0,
        "checkpointing": checkpointing,
        "largest_batch": batches[checkpointing],
        "memory": training_memory(config, method, length, 1, checkpointing, half=half),
        "mfu": mfu,
        "tokens_per_second": speed,
        "rows": rows,
        "epochs": epochs,
        "tokens": tokens,
        "hours": hours,
        "money": None if price is None else hours * price,
    }


def table(found: Mapping[str, Any]) -> str:
    """`plan` as a Markdown table with a line on what was assumed."""
    fits = f"最多 {found['largest_batch']} 行 rows" if found["fits"] else "放不下 does not fit"
    lines = [
        (
            "学生 student",
            f"{found['student']} · {found['parameters']:,} 参数 parameters · {found['method']}（训练 trains {found['trainable']:,}）",
        ),
        ("显存 memory", f"{found['gpu']}：{found['room'] / GIB:.1f} GiB 可用 usable"),
        *((f"　{part}", f"{size / GIB:.2f} GiB") for part, size in found["memory"].items()),
        (f"批 batch × {found['length']}", fits),
        (
            "重算激活 checkpointing",
            "需要 needed" if found["checkpointing"] else "不需要 not needed",
        ),
    ]
    if found["fits"]:
        lines += [
            ("速度 speed", f"{found['tokens_per_second']:,.0f} tokens/s"),
            (
                f"{found['rows']:,} 行 rows × {found['epochs']:g}",
                f"{found['tokens'] / 1e6:,.0f} M tokens · {found['hours']:,.1f} 小时 hours",
            ),
        ]
    if found["fits"] and found["money"] is not None:
        lines.append(("费用 cost", f"{found['money']:,.2f}"))
    body = "\n".join(f"| {name} | {value} |" for name, value in lines)
    return (
        f"| | |\n|---|---|\n{body}\n\n估计，不是实测：假设 MFU {found['mfu']:.0%}，各部分显存是一行的。"
        f"\nAn estimate, not a measurement: MFU {found['mfu']:.0%} is assumed; memory by part is for one row."
    )


def advice(
    config: PretrainedConfig,
    method: str,
    length: int,
    batch: int,
    memory_bytes: int,
    checkpointing: bool = False,
) -> str:
    """What to change when training ran out of `memory_bytes`, from the gentlest to the deepest change, each with its estimated total."""
    now = training_memory(config, method, length, batch, checkpointing)
    parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in now.items() if name != "total")
    lines = [
        f"内存不够：{method}、batch_size={batch}、长度 {length} 约需 {now['total'] / GIB:.1f} GiB，这里有 {memory_bytes / GIB:.1f} GiB（{parts}）。依次试：",
        f"Out of memory: this training takes about {now['total'] / GIB:.1f} GiB of {memory_bytes / GIB:.1f}. Try in this order:",
    ]
    for number, (change, total) in enumerate(
        changes(config, method, length, batch, memory_bytes, checkpointing), 1
    ):
        verdict = "放得下 fits" if total <= memory_bytes else "仍放不下 still too much"
        lines.append(f"{number}. {change}：{total / GIB:.1f} GiB，{verdict}")
    return "\n".join(lines)


def changes(
    config: PretrainedConfig, method: str, length: int, batch: int, room: int, checkpointing: bool
) -> list[tuple[str, int]]:
    """The changes that `advice` names, each with the bytes that training would then take."""

    def total(
        method: str = method, length: int = length, batch: int = batch, again: bool = checkpointing
    ) -> int:
        return training_memory(config, method, length, batch, again)["total"]

    found = []
    if batch > 1:
        fitting = [b for b in range(batch // 2, 0, -1) if batch % b == 0 and total(batch=b) <= room]
        smaller = fitting[0] if fitting else 1
        found.append(
            (
                f"batch_size={smaller}, accumulate={batch // smaller}（全局批不变 same global batch）",
                total(batch=smaller),
            )
        )
    if not checkpointing:
        found.append(("checkpointing=True（慢约三分之一 about a third slower）", total(again=True)))
        if batch > 1:
            found.append(
                (
                    f"checkpointing=True, batch_size=1, accumulate={batch}",
                    total(again=True, batch=1),
                )
            )
    found.append((f"max_length={length // 2}", total(length=length // 2)))
    cheaper = {"full": ("lora", "qlora"), "lora": ("qlora",), "adalora": ("lora", "qlora")}.get(
        method, ()
    )
    found += [
        (
            f"method={other!r}, checkpointing=True, batch_size=1, accumulate={batch}",
            total(other, batch=1, again=True),
        )
        for other in cheaper
    ]
    return found + smaller_student(config, method, length, room)


def smaller_student(
    config: PretrainedConfig, method: str, length: int, room: int
) -> list[tuple[str, int]]:
    """The largest student of the zoo with fewer parameters, of the same kind, that fits with one row, if there is one."""
    from miniluotuo_utils.students.zoo import ZOO

    mine = parameter_count(config)
    others = {name: spec.config() for name, spec in ZOO.items()}
    alike = [
        (parameter_count(c), name)
        for name, c in others.items()
        if c.is_encoder_decoder == config.is_encoder_decoder
    ]
    for size, name in sorted(alike, reverse=True):
        needed = (
            4 * size if size < mine and method == "full" else 0
        )  # the weights alone: spares the full count of what cannot fit
        if (
            size < mine
            and needed <= room
            and (total := training_memory(others[name], method, length, 1)["total"]) <= room
        ):
            return [(f"学生换成 a smaller student: {name}, batch_size=1", total)]
    return []
