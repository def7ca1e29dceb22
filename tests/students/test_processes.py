"""Several processes: the shipped configurations train, save and go on as one process does."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import several
from safetensors.torch import load_file
from tiny_random import tiny_random
from torch.multiprocessing import ProcessExitedException

from miniluotuo_utils.files import write_jsonl
from miniluotuo_utils.jobs.train import train_files
from miniluotuo_utils.students import ZOO, finetune, load_student
from miniluotuo_utils.students import __file__ as students
from miniluotuo_utils.students.loop import RowsByLength, evened
from miniluotuo_utils.tokens.columns import as_dataset

README = Path(students).with_name("README.md")


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """The students to train, as folders."""
    folder = tmp_path_factory.mktemp("bases")
    several.write_bases(folder)
    return folder


@pytest.fixture(scope="module")
def alone(bases):
    """The losses and the weights of every shape, trained in this process."""
    found = {name: several.train(bases / name) for name in several.SHAPES}
    return {
        name: ([line["loss"] for line in training.log], training.student.model.state_dict())
        for name, training in found.items()
    }


@pytest.fixture
def server(monkeypatch):
    """A process that has imported everything, of which the others are forks."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    multiprocessing.set_forkserver_preload(["several"])


def losses(folder: Path) -> list[float]:
    """The losses of a saved student's log, each of its steps there once."""
    log = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, 9))
    return [line["loss"] for line in log]


@pytest.mark.parametrize(
    ("config", "kills"),
    [("ddp.yaml", ["bloom-560m"]), ("fsdp2.yaml", ["gpt2-124m", "bloom-560m"])],
)
def test_the_shipped_configurations_train_like_one_process(
    config, kills, bases, alone, server, tmp_path
):
    """Cut up or whole, all weights or an adapter, killed in the middle of an epoch or not: with
    equal global batch every step has the loss of one process. A launch is killed in a full training
    or in LoRA, and the next one goes on."""
    for killed in kills:
        with pytest.raises(ProcessExitedException, match="SIGKILL"):
            several.launch(config, bases, tmp_path, killed)
        assert not (tmp_path / f"{killed}-trained").exists()
    several.launch(config, bases, tmp_path, killed="")

    for name, method in several.SHAPES.items():
        # An adapter's dropout draws other numbers in each process: about 1e-4 of a loss.
        close = 1e-5 if method == "full" else 1e-3
        expected, weights = alone[name]
        folder = tmp_path / f"{name}-trained"
        assert losses(folder) == pytest.approx(expected, rel=close), name
        assert {p.suffix for p in folder.iterdir()} <= {
            *(".json", ".jsonl", ".safetensors", ".jinja", ".md")
        }
        if method == "full":
            found = load_student(folder).model.state_dict()
        else:
            saved = load_file(folder / "adapter_model.safetensors")
            found = {key.replace(".weight", ".default.weight"): w for key, w in saved.items()}
            assert found.keys() == {key for key in weights if "lora_" in key}
        for key, weight in found.items():
            assert weight.shape == weights[key].shape
            assert (weight - weights[key]).abs().max() < 100 * close, (name, key)

    # BLOOM has its queries, keys and values in one matrix, GLM in three.
    for name, matrix in (("bloom-560m", "query_key_value"), ("glm-edge-1.5b", "k_proj")):
        assert any(f".{matrix}.lora_A" in key for key in alone[name][1])


def slurm_lines() -> str:
    """The job script of the README, for two machines that are both this one."""
    script = re.search(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", README.read_text(), re.DOTALL)
    shims = f"""
    scontrol() {{ echo 127.0.0.1; }}
    accelerate() {{ {sys.executable} -m accelerate.commands.accelerate_cli "$@"; }}
    export -f accelerate
    srun() {{
        SLURM_NODEID=1 "$@" 2> other & SLURM_NODEID=0 "$@" && wait
    }}
    """
    return shims + script[1]


def test_the_slurm_lines_train_like_one_process(tmp_path):
    """Lines for a cluster that nobody can try before the queue lets them in: here `srun` starts
    both machines' commands on this one, cut up by FSDP2."""
    write_jsonl(tmp_path / "rows.jsonl", several.ROWS)
    how = {"max_steps": 6, "minutes": 5, "evaluation": 0.0, "max_length": 64, "seed": 3}
    one = train_files("tiny", [tmp_path / "rows.jsonl"], tmp_path / "one", batch_size=4, **how)

    options = " ".join(f"--{name.replace('_', '-')}={value}" for name, value in how.items())
    package = README.parents[1]
    script = slurm_lines().replace("miniluotuo_utils/", f"{package}/")
    script = script.replace("wenzhong-3.5b", f"tiny {options} --batch-size=2")
    place = f"--main_process_port {several.free_port()} --machine_rank"
    script = script.replace("--machine_rank", place)
    environment = {
        **os.environ,
        **{"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        **{"SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "1", "SLURM_JOB_NODELIST": "here"},
        "PYTHONPATH": str(package.parent),
    }
    done = subprocess.run(
        ["bash", "-c", script],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]

    log = [json.loads(line) for line in (tmp_path / "student" / "training.jsonl").open()]
    # Half precision rounds batches of another shape otherwise, and each step carries that on; other
    # rows in a step would change its loss by several times.
    expected = [line["loss"] for line in one.log]
    assert [line["loss"] for line in log] == pytest.approx(expected, rel=0.1)
    assert log[0]["loss"] == pytest.approx(expected[0], rel=1e-3)
    assert len(log) == 6
    assert not (tmp_path / "student.training").exists()
    assert len(done.stdout.splitlines()) == 1
    assert json.loads(done.stdout)["supervised_tokens"] == one.metrics()["supervised_tokens"]
    assert load_student(tmp_path / "student").parameters == load_student("tiny").parameters


def test_each_configuration_says_what_its_comment_says():
    """A field that accelerate no longer knows is an error, or is passed over."""
    assert several.environment_of("fsdp2.yaml")["FSDP_VERSION"] == "2"
    assert several.environment_of("fsdp2.yaml")["ACCELERATE_USE_FSDP"] == "true"
    for config in ("ddp.yaml", "cpu.yaml"):
        assert "ACCELERATE_USE_FSDP" not in several.environment_of(config)
        assert several.environment_of(config)["ACCELERATE_MIXED_PRECISION"] == "no"


@pytest.mark.parametrize(("name", "method"), [("t5-61m", "full"), ("gpt2-124m", "adalora")])
def test_what_cannot_be_cut_up_is_refused_by_name(name, method, monkeypatch):
    """An error deep inside FSDP, after the rows were encoded."""
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    kind = ZOO[name].architecture
    with pytest.raises(ValueError, match=rf"{name} \({kind}\), .*{method}.* ddp.yaml"):
        finetune(tiny_random(name), several.ROWS, method)


def test_rows_that_fill_up_do_not_change_the_batches():
    """Sorted by length among the others, they gave the steps of several processes other rows than
    those of one."""
    rows = as_dataset([{"input_ids": [5] * n, "labels": [5] * n} for n in range(2, 9)])
    one = list(RowsByLength(rows, 4, 1, 7))
    assert list(RowsByLength(evened(rows, 4, 0), 4, 1, 7)) == [*one, 7]
