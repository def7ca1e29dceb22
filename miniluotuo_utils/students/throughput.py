"""A meter for training: tokens per second, share of non-padding, MFU and peak memory.

In: the batches. Out: rates for the log and for `run.json`. Shown in notebook 04.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.runtime import peak_memory_mib
from miniluotuo_utils.students.sizes import training_flops

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

IGNORED = -100  # tokens.IGNORED; the meter stands apart from the tokenizers
PEAK_FLOPS = {  # dense half-precision FLOP/s of the makers' data sheets, float32 sums; longer names first
    "H200": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12,
    "V100": 125e12, "T4": 65e12, "RTX 4090": 165e12, "RTX 3090": 71e12,
}  # fmt: skip


def known_peak(name: str) -> float | None:
    """Peak half-precision FLOP/s of a GPU by the name that its driver gives, None for one that is not in the table.

    >>> known_peak("NVIDIA A100-SXM4-80GB") == known_peak("NVIDIA A100-PCIE-40GB") == 312e12
    True
    >>> known_peak("NVIDIA L40S"), known_peak("Tesla T4"), known_peak("Graphics of the future")
    (362000000000000.0, 65000000000000.0, None)
    """
    return next((peak for part, peak in PEAK_FLOPS.items() if part in name), None)


@lru_cache(maxsize=4)
def measured_peak(dtype: str = "float32", size: int = 1024, tries: int = 5) -> float:
    """FLOP/s of this processor on one `size`³ matrix product, best of `tries`: what a CPU's share is taken of, since no sheet says."""
    import torch

    a = torch.ones(size, size, dtype=getattr(torch, dtype))  # not random: drawing would move the generator that dropout uses
    a @ a  # the first one prepares
    best = float("inf")
    for _ in range(tries):
        started = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def peak_of(device: torch.device) -> tuple[float | None, str]:
    """Peak FLOP/s of a device and where the number is from: `datasheet`, `measured` (CPU) or `unknown`."""
    import torch

    if device.type == "cuda":
        peak = known_peak(torch.cuda.get_device_name(device))
        return peak, "datasheet" if peak else "unknown"
    if device.type != "cpu":
        return None, "unknown"
    from miniluotuo_utils.students.trainer import cpu_computes_bf16

    return measured_peak("bfloat16" if cpu_computes_bf16() else "float32"), "measured"


def world_size() -> int:
    """How many processes train together."""
    import torch.distributed as group

    return group.get_world_size() if group.is_available() and group.is_initialized() else 1


def over_processes(counts: list[int], device: torch.device) -> list[int]:
    """Counts summed over all processes of `accelerate launch`; every process must call it."""
    import torch

    if world_size() == 1:
        return counts
    summed = torch.tensor(counts, device=device)
    torch.distributed.all_reduce(summed)
    return summed.tolist()


RATES = ("tokens_per_second", "supervised_per_second", "mfu")


@dataclass
class Mark:
    """What was counted until one moment."""

    seconds: float
    tokens: int = 0
    supervised: int = 0


class Throughput:
    """Counts what a training sees. `count` after every batch, `totals` after every optimizer step, `figures` at the end.

    A token is a position that is not padding: `attention_mask` says so where the batch has one, else its id is not `pad_id` or it
    has a label (packed rows have no mask, and an end id may serve as padding). Counting never waits for a GPU: sums
    stay on the device and are read by `totals`, where the loss is read anyway. Rates run from the first optimizer step
    to the last, evaluation and checkpoints included; the first step, which warms up, is left out unless it is the only one.
    """

    def __init__(
        self, config: PretrainedConfig, length: int, method: str, device: torch.device, pad_id: int | None = None
    ) -> None:
        self.config, self.length, self.method, self.device, self.pad_id = config, length, method, device, pad_id
        self.positions, self.rows, self.answer_positions = 0, 0, 0
        self.waiting: list[Any] = []  # [tokens, supervised] of batches that nobody has read yet
        self.first = self.last = Mark(time.perf_counter())
        self.ticks, self.before = 0, {}

    def count(self, inputs: Mapping[str, torch.Tensor]) -> None:
        """Add one batch: `input_ids` and `labels` [rows, tokens], perhaps `attention_mask`; an encoder–decoder's labels are its answers."""
        import torch

        ids, labels = inputs["input_ids"], inputs["labels"]
        both, mask = self.config.is_encoder_decoder, inputs.get("attention_mask")
        wanted = labels != IGNORED
        if mask is not None and mask.shape == ids.shape:
            real = mask != 0
        elif self.pad_id is None:
            real = torch.ones_like(ids, dtype=torch.bool)
        else:
            real = ids != self.pad_id
        if not both:
            real = real | wanted
        supervised = wanted.sum() if both else wanted[:, 1:].sum()
        self.waiting.append(torch.stack([real.sum() + supervised * both, supervised]))
        self.positions += (ids.numel() + labels.numel() * both) * world_size()  # about: other processes' batches may be wider or narrower
        self.rows += len(ids)
        self.answer_positions += labels.numel() * both

    def totals(self) -> dict[str, Any]:
        """One optimizer step is over: what was counted until now, and the rates, for the log."""
        tokens, supervised = over_processes([sum(int(pair[i]) for pair in self.waiting) for i in (0, 1)], self.device)
        self.waiting.clear()
        self.last = Mark(time.perf_counter(), self.last.tokens + tokens, self.last.supervised + supervised)
        self.ticks += 1
        rates = self.rates()
        if self.ticks == 1:
            self.first, self.before = self.last, rates
        return {"tokens": self.last.tokens, "supervised": self.last.supervised, "positions": self.positions, **rates}

    def resume(self, line: Mapping[str, Any]) -> None:
        """Go on from the last line of an earlier log; rates speak of this process only."""
        self.positions, self.before = line["positions"], {name: line.get(name) for name in RATES}
        self.first = self.last = Mark(time.perf_counter(), line["tokens"], line["supervised"])

    def rates(self) -> dict[str, float | None]:
        """Tokens and supervised tokens per second, and MFU: our FLOP count over the peak of the device, 0 to 1."""
        seconds, tokens = self.last.seconds - self.first.seconds, self.last.tokens - self.first.tokens
        supervised = self.last.supervised - self.first.supervised
        if not tokens:  # one step, or none after a restart: what the log said last
            return self.before or dict.fromkeys(RATES)
        peak = peak_of(self.device)[0]
        mfu = self.flops(tokens, supervised) / seconds / (peak * world_size()) if peak else None
        return {"tokens_per_second": tokens / seconds, "supervised_per_second": supervised / seconds, "mfu": mfu}

    def flops(self, tokens: int, supervised: int) -> float:
        """FLOPs of training on so many tokens, by `sizes.training_flops`; recomputation is not counted, as MFU's definition has it."""
        if not self.config.is_encoder_decoder:
            return training_flops(self.config, tokens, supervised, self.length, self.method)
        answers = self.answer_positions / max(1, self.rows)
        return training_flops(
            self.config,
            tokens - supervised,
            supervised,
            self.length,
            self.method,
            target_tokens=supervised,
            target_length=answers,
        )

    def figures(self) -> dict[str, Any]:
        """The whole training as one flat dict for `run.json`: rates, share of non-padding, FLOPs, peak memory in bytes."""
        return {
            **self.rates(), "mfu_peak": peak_of(self.device)[1], "non_padding": self.last.tokens / self.positions if self.positions else None,
            "flops": self.flops(self.last.tokens, self.last.supervised), "peak_memory_bytes": peak_memory_mib().get("gpu" if self.device.type == "cuda" else "ram", 0) << 20,
        }  # fmt: skip
