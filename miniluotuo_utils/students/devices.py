"""What this machine can do: devices, precisions, peak FLOP/s, processes. Shown in notebook 04.

In: a device. Out: numbers and names that training and planning need.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.students.internals import cpu_computes_bf16

if TYPE_CHECKING:
    import torch


def first_process() -> bool:
    """Whether this is the only process, or the first of `accelerate launch`: the one that writes."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' notes to their own developers, which a reader can do nothing about; errors stay."""
    from transformers.utils import logging as transformers_logging

    kept = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings(
            "ignore",
            message=".*(fan_in_fan_out|Position ids are not supported|rank_pattern keys|Unable to fetch remote file|Could not find a config file).*",
        )
        try:
            yield
        finally:
            transformers_logging.set_verbosity(kept)


def own_device() -> str:
    """The device of this process: its GPU under `accelerate launch`, the first GPU, or the CPU."""
    import torch

    if (
        os.environ.get("ACCELERATE_USE_CPU", "false").lower() == "true"
        or not torch.cuda.is_available()
    ):
        return "cpu"
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}"


def half(device: str) -> str:
    """The half precision that a device computes itself; bfloat16 on a CPU, where 4 bits are for trying out."""
    import torch

    return (
        "bfloat16"
        if device == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
        else "float16"
    )


PEAK_FLOPS = {  # dense half-precision FLOP/s of the makers' data sheets, float32 sums; longer names first
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "V100": 125e12,
    "T4": 65e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


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

    a = torch.ones(
        size, size, dtype=getattr(torch, dtype)
    )  # not random: drawing would move the generator that dropout uses
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
    pass

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


GIB = 1 << 30


def memory_of(device: Any) -> int:
    """Bytes of memory of a torch device: the whole GPU's, or for a CPU what this process may use of the machine's."""
    import torch

    if getattr(device, "type", device) == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    if getattr(device, "type", device) == "mps":
        return torch.mps.recommended_max_memory()
    whole = (
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if hasattr(os, "sysconf")
        else 8 * GIB
    )
    limit = Path("/sys/fs/cgroup/memory.max")  # a container's share
    told = limit.read_text().strip() if limit.is_file() else "max"
    return min(whole, int(told)) if told.isdigit() else whole
