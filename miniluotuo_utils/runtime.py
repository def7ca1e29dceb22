"""Where am I: scale, folders, device, mirror, seed, fonts. No heavy imports; every notebook starts here.

In: the parameter `SCALE` and the environment. Out: a `Runtime`. Shown in every notebook's first cells.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from miniluotuo_utils.files import file_sha256, written_whole
from miniluotuo_utils.moved import names as moved_names

SCALES = ("smoke", "cpu", "t4", "full")
PACKAGE = Path(__file__).resolve().parent
EMBEDDED = PACKAGE / "embedded"
VERSIONS_WORTH_KEEPING = (
    "miniluotuo-utils",
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "tokenizers",
)
CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "Noto Sans SC",
    "Noto Sans Mono CJK SC",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
)


def repository() -> Path | None:
    """The clone's root, or None where the package was installed without its notebooks.

    >>> root = repository()
    >>> root is None or (root / "notebooks").is_dir()
    True
    """
    root = PACKAGE.parent
    return root if (root / "notebooks").is_dir() else None


def runs_root() -> Path:
    """Where `runs/` stands: `$MINILUOTUO_RUNS`, else the clone's root, else the working directory."""
    if chosen := os.environ.get("MINILUOTUO_RUNS"):
        return Path(chosen).expanduser().resolve()
    return (repository() or Path.cwd()) / "runs"


def gpu_memory_gib() -> float:
    """Memory of the first NVIDIA GPU in GiB, 0.0 where there is none. Asks `nvidia-smi`, so torch stays unloaded."""
    if not shutil.which("nvidia-smi"):
        return 0.0
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
    return float(answer[0]) / 1024 if answer and answer[0].isdigit() else 0.0


@dataclass
class Runtime:
    """What `setup` found out: `scale`, `seed`, `folder` (`runs/<scale>/`), `font`, `gpu_gib`."""

    scale: str
    seed: int
    folder: Path
    font: str | None
    gpu_gib: float
    started: float = field(default_factory=time.time)

    def path(self, *parts: str) -> Path:
        """`runs/<scale>/<parts>`, with its parent folder made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def shown(self, path: Path) -> str:
        """`path` as a reader should see it: from `runs/` on, never this machine's absolute path."""
        try:
            return "runs/" + Path(path).resolve().relative_to(self.folder.parent).as_posix()
        except ValueError:
            return Path(path).name

    @cached_property
    def device(self) -> str:
        """`cuda` or `cpu` (imports torch on first use)."""
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    @cached_property
    def dtype(self) -> str:
        """`bfloat16` where the GPU really computes it, `float16` on older GPUs (T4), else `float32`."""
        import torch

        if self.device != "cuda":
            return "float32"
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def setup(scale: str = "smoke", seed: int = 42) -> Runtime:
    """Prepare one notebook: seed the generators, find a Chinese font, say in one line where we are.

    `scale` is one of smoke, cpu, t4, full. Must run before any Hugging Face import, because `huggingface_hub`
    reads `HF_HUB_OFFLINE` and `HF_ENDPOINT` only once. Raises ValueError for an unknown scale.
    """
    if scale not in SCALES:
        raise ValueError(
            f"SCALE is {scale!r}; expected one of {', '.join(SCALES)}. Change it in the parameters cell."
        )
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    go_offline(scale == "smoke")
    seed_everything(seed)
    gpu = gpu_memory_gib()
    runtime = Runtime(scale, seed, runs_root() / scale, chinese_font(), gpu)
    runtime.folder.mkdir(parents=True, exist_ok=True)
    print(describe(runtime))
    return runtime


def go_offline(offline: bool) -> None:
    """Keep Hugging Face off the network at smoke; at other scales say when this kernel is offline already, which only a restart undoes."""
    if offline:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    elif os.environ.get("HF_HUB_OFFLINE") == "1" and "huggingface_hub" in sys.modules:
        print(
            "这个内核在 smoke 下断开了网络：先重启内核，再换规模。 This kernel is offline since smoke: restart it first."
        )


def describe(runtime: Runtime) -> str:
    """The set-up line: scale, hardware, folder, and the larger scale that this hardware would allow."""
    hardware = (
        f"GPU {runtime.gpu_gib:.0f} GiB" if runtime.gpu_gib else f"{os.cpu_count()} 核 CPU，无 GPU"
    )
    line = f"迷你骆驼 Mini-Luotuo · scale={runtime.scale} · {hardware} · runs/{runtime.scale}/"
    allowed = "full" if runtime.gpu_gib >= 70 else "t4" if runtime.gpu_gib >= 14 else ""
    if allowed and SCALES.index(runtime.scale) < SCALES.index(allowed):
        line += f'\n这块 GPU 可以跑 SCALE = "{allowed}"。 This GPU allows SCALE = "{allowed}" (restart the kernel first).'
    if runtime.font is None:
        line += "\n没有找到中文字体，图里的汉字会变成方框：装 fonts-noto-cjk，或 pip install mplfonts，再重启内核。"
    return line


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch, the last two only if they are loaded already (loading torch takes seconds)."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def chinese_font() -> str | None:
    """Make matplotlib draw Chinese: a system font, else Noto Sans CJK from the mplfonts wheel; None if neither is there.

    Returns the family's name and sets it first in `font.sans-serif`.
    """
    from matplotlib import font_manager, rcParams

    known = {f.name for f in font_manager.fontManager.ttflist}
    family = next((name for name in CJK_FONTS if name in known), None)
    if family is None and (wheel := importlib.util.find_spec("mplfonts")):
        files = sorted(
            Path(wheel.submodule_search_locations[0]).glob("fonts/NotoSansCJK*Regular.*")
        )
        if files:
            font_manager.fontManager.addfont(str(files[0]))
            family = font_manager.FontProperties(fname=str(files[0])).get_name()
    if family:
        rcParams["font.sans-serif"] = [family, "DejaVu Sans"]
        rcParams["font.family"] = "sans-serif"
    rcParams["axes.unicode_minus"] = False
    return family


def commit() -> str | None:
    """The clone's short commit, None where there is no clone or no git."""
    if repository() is None or not shutil.which("git"):
        return None
    command = ["git", "rev-parse", "--short", "HEAD"]
    return (
        subprocess.run(
            command, cwd=repository(), capture_output=True, text=True, check=False
        ).stdout.strip()
        or None
    )


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that change results."""
    found = {"python": platform.python_version()}
    for name in VERSIONS_WORTH_KEEPING:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def peak_memory_mib() -> dict[str, int]:
    """Peak memory of this process in MiB, and of its GPU if torch has used one."""
    peak = {}
    if importlib.util.find_spec("resource"):  # not on Windows
        import resource

        unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, KiB on Linux
        peak["ram"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit >> 20
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peak["gpu"] = torch.cuda.max_memory_allocated() >> 20
    return peak


def record_run(
    folder: Path, runtime: Runtime, inputs: list[Path] | None = None, **facts: object
) -> dict:
    """Write `run.json` into `folder`, last of its files: scale, seed, versions, seconds, memory, input hashes, `facts`."""
    note = {
        "scale": runtime.scale,
        "seed": runtime.seed,
        "versions": installed_versions(),
        "commit": commit(),
        "machine": {"cpus": os.cpu_count(), "gpu_gib": round(runtime.gpu_gib, 1)},
        "seconds": round(time.time() - runtime.started, 1),
        "peak_mib": peak_memory_mib(),
        "inputs": {Path(p).name: file_sha256(p) for p in inputs or []},
        **facts,
    }
    with written_whole(Path(folder) / "run.json") as partial:
        partial.write_text(json.dumps(note, ensure_ascii=False, indent=1), encoding="utf-8")
    return note


__getattr__ = moved_names(__name__)
