"""Find out where we are: scale, folders, device, seed, fonts. Every notebook starts here.

In: the parameter `SCALE` and the environment. Out: a `Runtime`. No heavy imports. Shown in every
notebook's first cells.
"""

import importlib.util
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from miniluotuo_utils.files import file_sha256, written_whole
from miniluotuo_utils.moved import names as moved_names
from miniluotuo_utils.writing import Taken, cannot_write, is_run_note

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
    """Return the clone's root, or None where the package was installed without its notebooks.

    >>> root = repository()
    >>> root is None or (root / "notebooks").is_dir()
    True
    """
    return PACKAGE.parent if (PACKAGE.parent / "notebooks").is_dir() else None


def runs_root() -> Path:
    """Return where `runs/` stands: `$MINILUOTUO_RUNS`, else in the clone, else where we are."""
    if chosen := os.environ.get("MINILUOTUO_RUNS", "").strip():
        return Path(chosen).expanduser().resolve()
    return (repository() or Path.cwd()) / "runs"


def mirror() -> str:
    """Return `$MINILUOTUO_MIRROR`: a folder or a base URL, "" where it is not set, or empty.

    A file:// address is a folder.

    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, MINILUOTUO_MIRROR="file:///media/my%20stick/"):
    ...     mirror()
    '/media/my stick'
    """
    chosen = os.environ.get("MINILUOTUO_MIRROR", "").strip()
    if chosen.startswith("file:"):
        from urllib.request import url2pathname

        chosen = url2pathname(chosen.removeprefix("file://").removeprefix("localhost"))
    return chosen if chosen == "/" else chosen.rstrip("/")


def gpu_memory_gib() -> float:
    """Return the memory of the first NVIDIA GPU in GiB, 0.0 where there is none.

    Asks `nvidia-smi`, so that torch stays unloaded.
    """
    answer = printed_by(
        "nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"
    ).split()
    return float(answer[0]) / 1024 if answer and answer[0].isdigit() else 0.0


def printed_by(*command: str, folder: Path | None = None) -> str:
    """Return what a command prints, "" where its program is not installed."""
    if not shutil.which(command[0]):
        return ""
    run = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    return run.stdout.decode("utf-8", "replace").strip()


@dataclass
class Runtime:
    """What `setup` found out; `folder` is `runs/<scale>/`, `gpu_gib` 0.0 without an NVIDIA GPU."""

    scale: str
    seed: int
    folder: Path
    font: str | None
    gpu_gib: float
    started: float = field(default_factory=time.time)

    def path(self, *parts: str) -> Path:
        """Return `runs/<scale>/<parts>`, with its parent folder made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def own(self, source: Path | str) -> Path:
        """Return `runs/own/<name of a text file>/`, made: for what a person did by hand with it.

        It is the same at every scale. Files of one name in two places have two folders, told apart
        by six digits and `source.txt`; the package's own file needs none.
        """
        place = Path(source).resolve()
        digits = sha256(str(place).encode("utf-8", "surrogateescape")).hexdigest()[:6]
        name = place.stem if PACKAGE in place.parents else f"{place.stem}-{digits}"
        folder = self.folder.parent / "own" / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if PACKAGE not in place.parents:
                (folder / "source.txt").write_text(f"{place}\n", encoding="utf-8", errors="replace")
        except OSError as error:
            raise cannot_write(error, "runs") from error
        return folder

    def shown(self, path: Path) -> str:
        """Return `path` as a reader should see it: from `runs/` on, nothing of this machine."""
        try:
            return "runs/" + Path(path).resolve().relative_to(self.folder.parent).as_posix()
        except ValueError:
            return Path(path).name

    @cached_property
    def device(self) -> str:
        """`cuda` or `cpu` (imports torch on first use).

        Never Apple's `mps`, where torch would offer it: half precision, 4-bit weights and seeds
        behave otherwise there, and nothing here was tried on it. `describe` says so.
        """
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    @cached_property
    def dtype(self) -> str:
        """`bfloat16` where the GPU computes it, `float16` on older ones (T4), else `float32`."""
        import torch

        if self.device != "cuda":
            return "float32"
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def setup(scale: str = "smoke", seed: int = 42) -> Runtime:
    """Prepare one notebook: seed the generators, find a Chinese font, say where we are.

    `scale` is one of smoke, cpu, t4, full. Must run before any Hugging Face import, because
    `huggingface_hub` reads `HF_HUB_OFFLINE` and `HF_ENDPOINT` only once. Raises ValueError for an
    unknown scale.
    """
    if scale not in SCALES:
        raise ValueError(
            f"SCALE is {scale!r}; expected one of {', '.join(SCALES)}. "
            "Change it in the parameters cell.（改参数那一格里的 SCALE）"
        )
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    go_offline(scale == "smoke")
    seed_everything(seed)
    runtime = Runtime(scale, seed, runs_root() / scale, chinese_font(), gpu_memory_gib())
    try:
        runtime.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(error, "runs") from error
    print(describe(runtime))
    return runtime


def go_offline(offline: bool) -> None:
    """Keep Hugging Face off the network at smoke; say so where only a restart undoes it."""
    if offline:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    elif os.environ.get("HF_HUB_OFFLINE") == "1" and "huggingface_hub" in sys.modules:
        print(
            "这个内核在 smoke 下断开了网络：先重启内核，再换规模。 "
            "This kernel is offline since smoke: restart it first."
        )


def describe(runtime: Runtime) -> str:
    """Return the set-up line: scale, hardware, folder, and what a reader may do about them."""
    cpu = f"{os.cpu_count()} 核 CPU，无 GPU"
    hardware = f"GPU {runtime.gpu_gib:.0f} GiB" if runtime.gpu_gib else cpu
    head = f"迷你骆驼 Mini-Luotuo · scale={runtime.scale} · {hardware} · runs/{runtime.scale}/"

    # The larger scale that this hardware would allow, by the memory that its students need.
    sizes = {"full": 70, "t4": 14}  # GiB
    allowed = next((scale for scale, gib in sizes.items() if runtime.gpu_gib >= gib), "smoke")
    advice = (
        (
            bool(os.environ.get("MINILUOTUO_RUNS", "").strip()),
            "这里的 runs/ 是 MINILUOTUO_RUNS 指的文件夹。 "
            "Here runs/ is the folder that MINILUOTUO_RUNS names.",
        ),
        (
            SCALES.index(runtime.scale) < SCALES.index(allowed),
            f'这块 GPU 可以跑 SCALE = "{allowed}"。 '
            f'This GPU allows SCALE = "{allowed}" (restart the kernel first).',
        ),
        (
            (platform.system(), platform.machine()) == ("Darwin", "arm64"),
            "苹果芯片的 GPU（mps）不用，全部在 CPU 上算：这里没有在它上面试过。 "
            "Apple's GPU (mps) is left alone, all runs on the CPU: nothing here was tried on it.",
        ),
        (
            runtime.font is None,
            "没有找到中文字体，图里的汉字会变成方框：装 fonts-noto-cjk，"
            "或 pip install mplfonts，再重启内核。",
        ),
    )
    return "\n".join([head, *[words for holds, words in advice if holds]])


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch, the last two only if loaded already (torch takes seconds)."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def chinese_font() -> str | None:
    """Make matplotlib draw Chinese and return the font family's name, None if there is none.

    Takes a font of the system, else Noto Sans CJK from the mplfonts wheel, and sets it first in
    `font.sans-serif`.
    """
    from matplotlib import font_manager, rcParams

    known = {f.name for f in font_manager.fontManager.ttflist}
    family = next((name for name in CJK_FONTS if name in known), None)

    # Neither Colab nor CI has a Chinese font, and this wheel brings one.
    if family is None and (wheel := importlib.util.find_spec("mplfonts")):
        folder = Path(wheel.submodule_search_locations[0])
        for file in sorted(folder.glob("fonts/NotoSansCJK*Regular.*"))[:1]:
            font_manager.fontManager.addfont(str(file))
            family = font_manager.FontProperties(fname=str(file)).get_name()
    if family:
        rcParams.update({"font.sans-serif": [family, "DejaVu Sans"], "font.family": "sans-serif"})
    rcParams["axes.unicode_minus"] = False
    return family


def commit() -> str | None:
    """Return the clone's short commit, None where there is no clone or no git."""
    root = repository()
    return root and (printed_by("git", "rev-parse", "--short", "HEAD", folder=root) or None)


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that change results."""
    found = {"python": platform.python_version()}
    for name in VERSIONS_WORTH_KEEPING:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def peak_memory_mib() -> dict[str, int]:
    """Return the peak memory of this process in MiB, and of its GPU if torch has used one."""
    peak = {}
    with suppress(ImportError):  # Windows has no `resource`
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
    """Write `run.json` into `folder`, the last of its files, and return what it holds.

    That is scale, seed, versions, seconds, memory, a hash of each input, and `facts`. `Taken` keeps
    a `run.json` that is none of ours.
    """
    target = Path(folder) / "run.json"
    if target.exists() and not is_run_note(target):
        raise Taken(f"{target.parent.name}/run.json is there and not ours: choose another folder")
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
    with written_whole(target) as partial:
        partial.write_text(json.dumps(note, ensure_ascii=False, indent=1), encoding="utf-8")
    return note


__getattr__ = moved_names(__name__)
