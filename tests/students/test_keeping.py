"""Training loses nobody's files: bases, earlier students, checkpoints, folders of other things."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.files import write_jsonl
from miniluotuo_utils.jobs.train import train_files
from miniluotuo_utils.students import finetune, load_student, merge, save
from miniluotuo_utils.students.bases import weights_fingerprint
from miniluotuo_utils.students.checkpoints import checkpoint_bytes, discard, last_checkpoint
from miniluotuo_utils.writing import Taken

ROWS = [
    {"instruction": f"问题{n}：天气怎么样？", "input": "", "output": f"回答{n}。", "source": "自写"}
    for n in range(8)
]
SHORT = {"max_steps": 2, "max_length": 128, "batch_size": 2}


@pytest.fixture
def rows(tmp_path):
    """A file of rows."""
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    return tmp_path / "rows.jsonl"


@pytest.fixture
def base(tmp_path):
    """A base in a folder of one's own."""
    return save(load_student("tiny"), tmp_path / "base")


def contents(folder):
    """Every file of a folder with its bytes."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def command(name, *arguments):
    """Run a command in this process."""
    return main([name, *map(str, arguments)])


@pytest.mark.parametrize("mark", ["config.json", "run.json", "adapter_config.json", "README.md"])
def test_a_folder_of_other_files_is_never_a_student(mark, tmp_path, rows, capsys):
    """`train --out proj` and `merge A proj` deleted proj/thesis.txt, since proj held some
    config.json."""
    proj = tmp_path / "proj"
    proj.mkdir()
    (proj / mark).write_text("{}")
    (proj / "thesis.txt").write_text("years of work")
    before = contents(proj)
    for more in ([], ["--overwrite"]):
        asked = ["--student", "tiny", "--data", rows, "--out", proj, "--max-steps", 1, *more]
        assert command("train", *asked) == 2
        assert "no student folder" in capsys.readouterr().err
        assert command("merge", tmp_path / "none", proj, *more) == 2
    with pytest.raises(ValueError, match="no student folder"):
        save(load_student("tiny"), proj)
    assert contents(proj) == before


def test_a_student_is_replaced_when_told_and_only_as_it_was_written(tmp_path, rows, capsys):
    """`train` replaced an earlier student without a question, `predict` refused in the same
    case."""
    out = tmp_path / "student"
    asked = ["--student", "tiny", "--data", rows, "--max-steps", 1, "--out", out]
    assert command("train", *asked) == 0
    before = contents(out)
    assert command("train", *asked) == 2
    assert "student is there already" in capsys.readouterr().err
    assert contents(out) == before
    assert command("train", *asked, "--learning-rate", 1e-2, "--overwrite") == 0
    after = contents(out)
    assert after["model.safetensors"] != before["model.safetensors"]
    (out / "README.md").write_text("what I found out about it")
    assert command("train", *asked, "--overwrite") == 2
    assert "README.md, which was changed" in capsys.readouterr().err
    assert (out / "README.md").read_text() == "what I found out about it"


def test_no_base_is_lost_to_its_own(base, tmp_path, rows, capsys):
    """`merge ADAPTER BASE` overwrote the base; LoRA onto its own base left an adapter that points
    to itself. Through links and copies, too."""
    before, weights = contents(base), weights_fingerprint(base)
    trained = finetune(load_student(base), ROWS, "lora", **SHORT).student
    adapter = save(trained, tmp_path / "adapter")
    (tmp_path / "link").symlink_to(base)
    copy = shutil.copytree(base, tmp_path / "elsewhere" / "copy")
    for place in (base, tmp_path / "link", copy, tmp_path / "x" / ".." / "base"):
        for student in (trained, merge(load_student(adapter))):
            with pytest.raises(Taken, match="is the base that"):
                save(student, place)
        if place != copy:
            how = ["--student", base, "--data", rows, "--method", "lora", "--max-steps", 1]
            assert command("train", *how, "--out", place, "--overwrite") == 2
            assert command("train", *how[:4], "--out", place, "--overwrite") == 2
        assert command("merge", adapter, place, "--overwrite") == 2
    assert contents(base) == before
    assert weights_fingerprint(base) == weights
    # Merged elsewhere it is one more student, and the adapter still fits its base.
    assert command("merge", adapter, tmp_path / "merged") == 0
    assert load_student(adapter).name == "./base"
    assert "error" in capsys.readouterr().err


def test_a_student_trained_whole_does_not_replace_what_it_came_from(base):
    """The base of everything else was gone, whichever method it was."""
    student = finetune(load_student(base), ROWS, **SHORT).student
    with pytest.raises(Taken):
        save(student, base)
    # Unchanged it may be written again: nothing is lost.
    save(load_student(base), base)


def test_an_adapter_that_is_its_own_base_says_so(tmp_path):
    """RecursionError, where an earlier version had put an adapter over its base."""
    (tmp_path / "base").mkdir()
    note = {"base_model_name_or_path": "./base"}
    (tmp_path / "base" / "adapter_config.json").write_text(json.dumps(note))
    with pytest.raises(ValueError, match="found the adapter's own folder, so its base was lost"):
        load_student(tmp_path / "base")


# ---- the folder of a training


@pytest.mark.parametrize("name", ["checkpoint-9/weights.bin", "training.jsonl", "settings.json"])
def test_checkpoints_of_something_else_stay(name, tmp_path):
    """`finetune(folder=…)` deleted every checkpoint-* that it did not know, and every log."""
    folder = tmp_path / "mine"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("of another program")
    with pytest.raises(ValueError):
        finetune(load_student("tiny"), ROWS, folder=folder, **SHORT)
    assert contents(folder) == {name: b"of another program"}
    assert not list(tmp_path.glob(".*"))


def test_what_somebody_put_into_the_folder_stays(tmp_path):
    """`discard` deleted the whole folder, and a folder beside it called `….deleted`."""
    folder = tmp_path / "student.training"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (tmp_path / "student.training.deleted").mkdir()
    finetune(load_student("tiny"), ROWS, folder=folder, **SHORT)
    assert last_checkpoint(folder)
    discard(folder)
    assert contents(folder) == {"notes.txt": b"mine"}
    assert (tmp_path / "student.training.deleted").is_dir()
    discard(folder)
    (folder / "notes.txt").unlink()
    discard(tmp_path / "not there")


HOLD = """
import sys
from miniluotuo_utils.students import finetune, load_student
finetune(load_student("tiny"), ROWS, folder=__import__("pathlib").Path(sys.argv[1]), max_steps=1,
    max_length=128, show=lambda training: (print("training", flush=True), sys.stdin.readline()))
"""


def test_two_trainings_do_not_share_a_folder(tmp_path):
    """The later one died at its end, after the same hours."""
    code = HOLD.replace("ROWS", repr(ROWS))
    pipe = subprocess.PIPE
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "p")], stdin=pipe, stdout=pipe, text=True
    )
    while (line := first.stdout.readline()) != "training\n":
        assert line, "it ended"
    with pytest.raises(Taken, match=rf"another process is writing p: .*process {first.pid} on"):
        finetune(load_student("tiny"), ROWS, folder=tmp_path / "p", **SHORT)
    first.communicate("go\n" * 9)
    assert first.returncode == 0
    assert os.listdir(tmp_path) == ["p"]


def test_the_second_train_is_told_before_it_loads_anything(tmp_path, rows, monkeypatch):
    """Two `train` into one --out: no lock, and the later one died at its end."""
    monkeypatch.setattr("miniluotuo_utils.jobs.train.load_student", None)
    code = (
        "import sys; from miniluotuo_utils.writing import Alone\n"
        "with Alone(sys.argv[1]): print(flush=True); sys.stdin.readline()"
    )
    pipe, out = subprocess.PIPE, tmp_path / "student"
    first = subprocess.Popen([sys.executable, "-c", code, str(out)], stdin=pipe, stdout=pipe)
    first.stdout.readline()
    with pytest.raises(Taken, match=rf"another process is writing student: .*{first.pid} on"):
        train_files("tiny", [rows], out)
    first.communicate(b"go\n")
    assert not out.exists()


KILLED_AT = """
import os, signal, sys
from miniluotuo_utils import __main__ as cli
from miniluotuo_utils.jobs import train
place, name = {"before": ("finetune", "train"), "after": ("discard", "train")}[sys.argv[1]], None
def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "after":
    train.discard = killed
else:
    train.write_trained = killed
cli.main(sys.argv[2:])
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_its_last_step_the_same_command_ends_it(moment, tmp_path, rows):
    """Killed between the student and the deletion of its checkpoints, `train` would refuse the
    folder that it had written itself."""
    out = tmp_path / "student"
    asked = ["train", "--student", "tiny", "--data", rows, "--max-steps", 2, "--out", out]
    asked = list(map(str, asked))
    done = subprocess.run([sys.executable, "-c", KILLED_AT, moment, *asked], check=False)
    assert done.returncode == -signal.SIGKILL
    assert out.exists() == (moment == "after")
    assert main(asked) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.jsonl", "student"]
    assert main(asked) == 2


# ---- a full disk


def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_stays(tmp_path, monkeypatch):
    """Thirty lines of traceback, and half a checkpoint that filled the disk."""
    import transformers

    real, calls = transformers.Trainer._save_optimizer_and_scheduler, []

    def full(trainer, folder):
        calls.append(folder)
        if len(calls) == 2:
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
        real(trainer, folder)

    monkeypatch.setattr(transformers.Trainer, "_save_optimizer_and_scheduler", full)
    how = {**SHORT, "checkpoints": 2}
    said = r"disk full while writing a checkpoint of p \(\d+ MiB free .*one takes \d+ MiB\).*step 1"
    with pytest.raises(OSError, match=said) as caught:
        finetune(load_student("tiny"), ROWS, folder=tmp_path / "p", **how)
    assert "\n" not in str(caught.value)
    assert [p.name for p in (tmp_path / "p").glob("checkpoint-*")] == ["checkpoint-1"]
    assert finetune(load_student("tiny"), ROWS, folder=tmp_path / "p", **how).steps == 2


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_room_of_checkpoints_is_said_beforehand(method, tmp_path, monkeypatch, capsys):
    """Two checkpoints take six times the weights, and nothing said so."""
    folder = tmp_path / "p"
    training = finetune(load_student("tiny"), ROWS, method, folder=folder, **SHORT)
    assert "磁盘可能不够" not in capsys.readouterr().out
    expected = checkpoint_bytes(training.student.model)
    taken = sum(len(data) for data in contents(last_checkpoint(folder)).values())
    words = sum(f.stat().st_size for f in last_checkpoint(folder).glob("tokenizer*"))
    assert expected == pytest.approx(taken - words, rel=0.15)
    shutil.rmtree(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 9))
    finetune(load_student("tiny"), ROWS, method, folder=folder, **SHORT)
    assert "two checkpoints take" in capsys.readouterr().out


def test_a_read_only_place_is_found_before_anything_is_loaded(tmp_path, rows, monkeypatch):
    """An hour of training, and then nowhere to write."""
    monkeypatch.setattr("miniluotuo_utils.jobs.train.load_student", None)
    with pytest.raises(OSError, match=r"cannot be written there .*MINILUOTUO_RUNS"):
        train_files("tiny", [rows], tmp_path / "rows.jsonl" / "student")
