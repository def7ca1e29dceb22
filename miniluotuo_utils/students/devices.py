"""Say what this machine can do: devices, precisions, peak FLOP/s, memory, processes.

In: a device. Out: numbers and names that training and planning need. Shown in notebook 04.
"""

from __future__ import annotations

import os
import timeit
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.students.internals import cpu_computes_bf16

if TYPE_CHECKING:
    import torch

GIB = 1 << 30

# Notes of the libraries to their own developers, about which a reader can do nothing.
NOTES = (
    "fan_in_fan_out",
    "Position ids are not supported",
    "rank_pattern keys",
    "Unable to fetch remote file",
    "Could not find a config file",
)

CHANGING, CHANGED = Lock(), ExitStack()
INSIDE: list[int] = []  # one for each `quiet` that is open

# Dense half-precision FLOP/s of the makers' data sheets, with float32 sums; longer names first.
PEAK_FLOPS = {
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


def first_process() -> bool:
    """Return whether this process writes: the only one, or the first of `accelerate launch`."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries' notes to their own developers; errors stay.

    The settings are the process's: of several threads the first in changes them, and the last out
    puts them back as they were.
    """
    with CHANGING:
        if not INSIDE:
            CHANGED.enter_context(silenced())
        INSIDE.append(1)
    try:
        yield
    finally:
        with CHANGING:
            INSIDE.pop()
            if not INSIDE:
                CHANGED.close()


@contextmanager
def silenced() -> Iterator[None]:
    """Change the settings of `quiet`."""
    from transformers.utils import logging

    kept, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    # A bar for each checkpoint would break our line of progress.
    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message=f".*({'|'.join(NOTES)}).*")
        try:
            yield
        finally:
            logging.set_verbosity(kept)
            if bars:
                logging.enable_progress_bar()


def own_device() -> str:
    """Return the device of this process: its GPU under `accelerate launch`, the first GPU, or the
    CPU. Apple's mps is never chosen: nothing here was tried on it.
    """
    import torch

    kept_off = os.environ.get("ACCELERATE_USE_CPU", "false").lower() == "true"
    if kept_off or not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}"


def half(device: str) -> str:
    """Return the half precision that a device computes itself; bfloat16 on a CPU, where 4 bits are
    for trying out.
    """
    import torch

    own = device == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if own else "float16"


def autocast(device: str) -> torch.autocast:
    """Return the context that computes in bfloat16, or in float32 on a CPU that imitates it.

    >>> import torch
    >>> with autocast("cpu"):
    ...     torch.is_autocast_enabled("cpu") == cpu_computes_bf16()
    True
    """
    import torch

    own = device != "cpu" or cpu_computes_bf16()
    return torch.autocast(device, torch.bfloat16, enabled=own)


def known_peak(name: str) -> float | None:
    """Return the peak half-precision FLOP/s of a GPU by the name that its driver gives, None for
    one that is not in the table.

    >>> known_peak("NVIDIA A100-SXM4-80GB") == known_peak("NVIDIA A100-PCIE-40GB") == 312e12
    True
    >>> known_peak("NVIDIA L40S"), known_peak("Tesla T4"), known_peak("Graphics of the future")
    (362000000000000.0, 65000000000000.0, None)
    """
    return next((peak for part, peak in PEAK_FLOPS.items() if part in name), None)


@cache
def measured_peak(dtype: str = "float32") -> float:
    """Return the FLOP/s of this processor on one product of 1024² matrices, best of five.

    A CPU's share is taken of this, since no data sheet says.
    """
    import torch

    # Not random: drawing would move the generator that dropout uses. The first product prepares.
    a = torch.ones(1024, 1024, dtype=getattr(torch, dtype))
    a @ a
    return 2 * 1024**3 / min(timeit.repeat(lambda: a @ a, number=1, repeat=5))


def peak_of(device: torch.device) -> tuple[float | None, str]:
    """Return the peak FLOP/s of a device and where the number is from: `datasheet`, `measured`
    (CPU) or `unknown`.
    """
    import torch

    if device.type == "cpu":
        return measured_peak("bfloat16" if cpu_computes_bf16() else "float32"), "measured"
    peak = known_peak(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    return peak, "datasheet" if peak else "unknown"


def world_size() -> int:
    """Return how many processes `accelerate launch` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def cut_up() -> bool:
    """Return whether `accelerate launch` cuts the student into one part per process (FSDP)."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def memory_of(device: Any) -> int:
    """Return the bytes of memory of a torch device: the whole GPU's, or for a CPU what this process
    may use of the machine's.
    """
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory

    # Windows has no sysconf: a small machine is a careful guess there.
    whole = 8 * GIB
    if hasattr(os, "sysconf"):
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    # A container's share may be less than the machine.
    limit = Path("/sys/fs/cgroup/memory.max")
    told = limit.read_text().strip() if limit.is_file() else "max"
    return min(whole, int(told)) if told.isdigit() else whole
