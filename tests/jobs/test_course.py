"""One folder for a room without a network: what goes in, that it goes on, how a pupil uses it."""

import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import install
import nbformat
import pytest

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.data import CATALOG
from miniluotuo_utils.data.loading import read
from miniluotuo_utils.jobs import course as job
from miniluotuo_utils.jobs.course import DATA, PAGE, course
from miniluotuo_utils.runtime import commit
from miniluotuo_utils.students.loading import trained_student
from miniluotuo_utils.writing import Taken

ROOT = Path(__file__).resolve().parents[2]


# Named by a notebook for their format: the examples are embedded.
FORMATS = {"wnut17", "conll04", "iepile"}
READS = re.compile(r"\b(?:read|load|files|available|from_previous|left)\(|SETS|SCALE ==")


@pytest.fixture
def stick(tmp_path, monkeypatch, runs):
    """An empty folder to fill, one data set to fill it with, and a cache of its own."""
    if not commit():
        pytest.skip("not in a clone of git")
    monkeypatch.setattr(job, "DATA", ("resume",))
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path / "cache"))
    return tmp_path / "stick"


def photograph(folder):
    """Every file with its bytes and the time of its last change."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def student_of(runs, scale, said="{}"):
    """What notebook 04 leaves, as far as this needs it."""
    folder = runs / scale / "students" / "student"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "run.json").write_text(said)
    return folder


def test_the_course_takes_all_data_that_the_notebooks_name():
    """A set that a notebook reads at cpu and that is not in the folder stops forty pupils."""
    named = (ROOT / "miniluotuo_utils" / "data" / "recipes" / "cpu.tsv").read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        # A cell that only shows a card of the catalog reads no file.
        code = [c.source for c in cells if c.cell_type == "code"]
        named += "\n".join(source for source in code if READS.search(source))
    wanted = set()
    for name in re.findall(r"[\w.-]+", named):
        pins = CATALOG[name].pins if name in CATALOG else []
        if any(not pin["url"].startswith("package:") for pin in pins):
            wanted.add(name)
    assert wanted - FORMATS <= set(DATA)


def test_a_folder_is_filled_and_used_without_a_network(stick, mirror, monkeypatch, tmp_path):
    """The lecturer noticed in the room that the mirror lacked the notebooks."""
    told = list(course(stick, wheels=False))
    assert [line.partition("：")[0] for line in told] == ["笔记本 notebooks", "resume", PAGE]
    with zipfile.ZipFile(stick / f"Mini-Luotuo-{commit()}.zip") as archive:
        assert "Mini-Luotuo/notebooks/00_quickstart.ipynb" in archive.namelist()
        assert "Mini-Luotuo/scripts/install.py" in archive.namelist()

    # A pupil's machine: no cache, no network, only the folder.
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(stick))
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path / "pupil"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert sum(1 for _ in read("resume", "dev", False)) == 463


def test_the_same_command_goes_on_and_changes_nothing(stick, mirror):
    """A second run fetched all anew, over a line that had taken the afternoon."""
    list(course(stick, wheels=False))
    before = photograph(stick)
    list(course(stick, wheels=False))
    after = photograph(stick)
    assert after.keys() == before.keys()
    assert all(after[path] == before[path] for path in before if path.name != PAGE)
    assert after[stick / PAGE][0] == before[stick / PAGE][0]


def test_what_is_missing_is_listed_and_the_rest_is_there(stick, monkeypatch, capsys):
    """One host that is down cost the class everything behind it."""
    monkeypatch.delenv("MINILUOTUO_MIRROR", raising=False)
    assert main(["download", "--course", str(stick), "--no-wheels"]) == 2
    printed = capsys.readouterr()
    assert "还缺 1 样" in printed.err
    assert "resume：resume: " in printed.err
    assert PAGE in printed.out
    assert (stick / f"Mini-Luotuo-{commit()}.zip").is_file()


def test_a_folder_or_names_are_asked_for(capsys, tmp_path):
    """Without a word `download` did nothing and said nothing."""
    assert main(["download"]) == 2
    assert "--course DIR" in capsys.readouterr().err
    both = ["download", "--course", str(tmp_path / "a"), "--mirror", str(tmp_path / "b")]
    assert main(both) == 2


def test_a_persons_own_files_stay(stick, mirror):
    """A page and a zip of the lecturer's own were taken for ours."""
    stick.mkdir()
    (stick / PAGE).write_text("我的备课笔记", encoding="utf-8")
    (stick / f"Mini-Luotuo-{commit()}.zip").write_text("不是压缩包", encoding="utf-8")
    before = photograph(stick)
    with pytest.raises(Taken, match="不是我们写的"):
        list(course(stick, wheels=False))
    assert before.items() <= photograph(stick).items()


def test_a_student_of_the_class_is_found_by_every_pupil(stick, runs, mirror, monkeypatch, capsys):
    """Forty students trained the same student for twenty minutes each."""
    monkeypatch.setattr("miniluotuo_utils.students.loading.load_student", lambda name, **how: name)
    mine = student_of(runs, "cpu", '{"versions": {}, "commit": "a"}')
    assert any("全班共用" in line for line in course(stick, wheels=False))
    theirs = stick / "runs" / "cpu" / "students" / "student"
    assert trained_student(mine, "tiny") == (mine, True), "the lecturer's own comes first"

    shutil.rmtree(runs)
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(stick))
    assert trained_student(mine, "tiny") == (theirs, True)
    assert "用全班共用的学生" in capsys.readouterr().out
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(mirror))
    assert trained_student(mine, "tiny") == ("tiny", False)


def test_a_newer_student_replaces_an_older_one_and_nothing_else(stick, runs, mirror):
    """The lecturer trained again, and the class kept the student of last year."""
    mine = student_of(runs, "cpu", '{"versions": {}, "commit": "a"}')
    list(course(stick, wheels=False))
    theirs = stick / "runs" / "cpu" / "students" / "student"
    (mine / "run.json").write_text('{"versions": {}, "commit": "b"}')
    list(course(stick, wheels=False))
    assert json.loads((theirs / "run.json").read_text())["commit"] == "b"

    (theirs / "notes.txt").write_text("学员的笔记", encoding="utf-8")
    (mine / "run.json").write_text('{"versions": {}, "commit": "c"}')
    with pytest.raises(FileNotFoundError, match=r"notes\.txt"):
        list(course(stick, wheels=False))
    assert (theirs / "notes.txt").is_file()


# ---- wheels


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """A pip that puts three wheels where it is told, and remembers its commands."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("MINILUOTUO_MIRROR", raising=False)
    monkeypatch.delenv("TORCH_INDEX", raising=False)
    commands = []

    def run(command, **_):
        commands.append(command)
        if "--wheel-dir" in command:
            for name in ("torch-2", "numpy-2", "miniluotuo_utils-1"):
                place = Path(command[command.index("--wheel-dir") + 1])
                (place / f"{name}.whl").write_text("new")
        return type("Done", (), {"returncode": 0, "stderr": ""})

    monkeypatch.setattr(install.subprocess, "run", run)
    return commands


def test_wheels_are_made_once_and_installed_without_a_network(pip, tmp_path, monkeypatch, capsys):
    """pip asked the network in a room that has none."""
    install.make_wheels(str(tmp_path))
    assert sorted(path.name for path in (tmp_path / "wheels").iterdir()) == [
        f"{install.kind()}.json",
        "numpy-2.whl",
        "torch-2.whl",
    ]
    asked = len(pip)
    install.make_wheels(str(tmp_path))
    assert len(pip) == asked
    assert "there already" in capsys.readouterr().out

    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path))
    monkeypatch.setenv("TORCH_INDEX", "https://example.org")
    install.pip(sys.executable, "torch", *install.torch_index(install.wheels_at_hand()))
    assert pip[-1][-4:] == ["--no-index", "--find-links", str(tmp_path / "wheels"), "torch"]


def test_wheels_of_another_system_stay_and_one_that_is_missing_comes_back(pip, tmp_path):
    """The Windows machine's run removed what the Linux machine had put there."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "numpy-2.whl").write_text("old")
    (wheels / "pywinpty-2.whl").write_text("windows")
    install.make_wheels(str(tmp_path))
    (wheels / "torch-2.whl").unlink()
    install.make_wheels(str(tmp_path))
    assert (wheels / "torch-2.whl").read_text() == "new"
    assert (wheels / "numpy-2.whl").read_text() == "old"
    assert (wheels / "pywinpty-2.whl").read_text() == "windows"


def test_wheels_that_do_not_fit_are_said_to(pip, tmp_path, monkeypatch, capsys):
    """ "Is the network up?" is no help in a room without one."""
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "win-amd64-py312.json").write_text("{}")
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path))
    failed = type("Done", (), {"returncode": 1, "stderr": "No matching distribution found"})
    monkeypatch.setattr(install.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SystemExit, match=r"do not fit this system.*win-amd64-py312"):
        install.pip(sys.executable, "torch")
