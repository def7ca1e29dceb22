"""Train tiny random students in several processes, as a launcher would, in a second or two.

In: the environment of one of the shipped configurations. Out: two processes of a server that has
imported the libraries once; a real launch imports them four times.
"""

import os
import signal
import socket
from importlib.resources import files
from pathlib import Path

import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env
from tiny_random import saved, tiny_random
from torch.distributed.tensor import DTensor
from trl import SFTTrainer  # noqa: F401  (it takes seconds: once in the server)

from miniluotuo_utils.students import ZOO, finetune, load_student, save
from miniluotuo_utils.students.devices import cut_up, first_process, world_size
from miniluotuo_utils.students.training import Training

# What each is trained with: all its weights, or LoRA on every matrix.
SHAPES = {"gpt2-124m": "full", "llama-7b": "full", "bloom-560m": "lora", "glm-edge-1.5b": "lora"}
# Processes drop out different numbers; an adapter's own dropout stays.
DRY = {"gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}}
BATCH = 4  # rows of a step, of all processes together
# 14 rows are 4 steps: the last of an epoch has two rows.
ROWS = [
    {"instruction": f"数到{n}", "input": "", "output": "一二三四五六七八九"[:n], "source": "x"}
    for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 4, 6, 8, 9)
]
HOW = dict(epochs=2, max_length=128, learning_rate=1e-3, seed=3, half=False, checkpoints=8)


def write_bases(folder: Path) -> None:
    """Write the students without dropout: a vocabulary is not learned alike in every process."""
    for name in SHAPES:
        saved(tiny_random(name, **DRY.get(ZOO[name].architecture, {})), folder / name)


def train(base: Path, folder: Path | None = None, killed_at: int = 0) -> Training:
    """Train one of the shapes on the rows; with `killed_at`, kill -9 after that step."""

    def show(training: Training) -> None:
        if training.steps == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    method, batch = SHAPES[base.name], BATCH // world_size()
    return finetune(
        load_student(base), ROWS, method, batch_size=batch, folder=folder, show=show, **HOW
    )


def train_all(
    rank: int, environment: dict[str, str], bases: Path, folder: Path, killed: str
) -> None:
    """Train every shape that is not in `folder` yet, one of them to be killed in its second epoch.

    It runs in one process of several.
    """
    torch.set_num_threads(1)
    os.environ |= environment | {"RANK": str(rank), "WORLD_SIZE": "2"}
    for name in SHAPES:
        out = folder / f"{name}-trained"
        if not out.exists():
            at = 6 if name == killed else 0
            training = train(bases / name, folder / f"{name}.training", at)
            parts = [isinstance(w, DTensor) for w in training.student.model.parameters()]
            assert all(parts) if cut_up() else not any(parts), "cut up where it should not, or not"
            if first_process():
                save(training.student, out, training.log, training.state)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def environment_of(config: str) -> dict[str, str]:
    """Return what accelerate's launcher adds to the environment for a shipped configuration."""
    path = files("miniluotuo_utils") / "students" / "accelerate" / config
    told = ["--config_file", str(path), "--num_processes=2", "--main_process_port=0", "script"]
    arguments, *_ = _validate_launch_command(launch_command_parser().parse_args(told))
    found = prepare_multi_gpu_env(arguments)
    return {name: value for name, value in found.items() if os.environ.get(name) != value}


def launch(config: str, bases: Path, folder: Path, killed: str) -> None:
    """Run `train_all` in two processes with the environment of a shipped configuration.

    They are two machines of one process each, as far as a process can tell.
    """
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    environment = {**environment_of(config), **place, "LOCAL_RANK": "0", "CUDA_VISIBLE_DEVICES": ""}
    torch.multiprocessing.start_processes(
        train_all, (environment, bases, folder, killed), nprocs=2, start_method="forkserver"
    )
