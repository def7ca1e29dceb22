"""Where may be written: nobody's file is lost, whatever it is called and whoever is killed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.files import Journal, write_jsonl, written_whole
from miniluotuo_utils.runtime import record_run, setup
from miniluotuo_utils.writing import Alone, Taken, Touched, claimed, foreign, guard
from miniluotuo_utils.writing.guard import chain_of

ROOT = hasattr(os, "getuid") and os.getuid() == 0


def script(text, *arguments, **how):
    """A Python process that runs `text`."""
    command, pipe = [sys.executable, "-c", text, *map(str, arguments)], subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stdin=pipe, text=True, **how)


# ---- two writers of one file


SLOWLY = """
import sys, time
from miniluotuo_utils.files import json_line, written_whole
path, mark, kind = sys.argv[1:]
with written_whole(path) as partial:
    if kind == "folder":
        partial.mkdir()
    file = open(partial / "rows" if kind == "folder" else partial, "w")
    for number in range(1000):
        file.write(json_line({"mark": mark, "number": number}))
        if number == 60:
            file.flush()
            print("begun", flush=True)
            sys.stdin.readline()
    file.close()
"""


def marks(path):
    """Who wrote a whole file, "" where none is; fails for half of one."""
    rows = path / "rows" if path.is_dir() else path
    if not rows.exists():
        return ""
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [line["number"] for line in lines] == list(range(1000))
    [mark] = {line["mark"] for line in lines}
    return mark


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_two_writers_and_a_kill_leave_one_whole_output(kind, tmp_path):
    """Two writers shared NAME.partial: one renamed the other's half file into place, 60 of 1,000
    lines, while the other was killed."""
    path = tmp_path / "out"
    first, second = script(SLOWLY, path, "1", kind), script(SLOWLY, path, "2", kind)
    for one in (first, second):
        assert one.stdout.readline() == "begun\n"
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert marks(path) == ""
    second.communicate("go\n")
    assert second.returncode == 0
    assert marks(path) == "2"
    third = script(SLOWLY, path, "3", kind)
    third.communicate("go\n")
    assert marks(path) == "3"
    assert [p.name for p in tmp_path.iterdir()] == ["out"], "what the killed one left is removed"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_kill_9_at_any_moment(kind, tmp_path):
    """Whoever is killed and whenever: the output is one of those that were written, whole."""
    draw, path = random.Random(7), tmp_path / "out"
    with written_whole(path) as partial:
        if kind == "folder":
            partial.mkdir()
        rows = partial / "rows" if kind == "folder" else partial
        rows.write_text("".join(f'{{"mark": "0", "number": {n}}}\n' for n in range(1000)))
    for number in range(6):
        pair = [script(SLOWLY, path, f"{number}{side}", kind) for side in "ab"]
        for one in pair:
            one.stdin.write("go\n")
            one.stdin.flush()
        time.sleep(draw.uniform(0.1, 0.5))
        pair[0].send_signal(signal.SIGKILL)
        for one in pair:
            one.communicate()
        assert pair[1].returncode == 0
        assert marks(path)


BETWEEN = """
import os, signal, sys
from pathlib import Path
from miniluotuo_utils.files import written_whole
real, calls = Path.rename, []
def rename(path, target):
    if calls:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(path)
    return real(path, target)
Path.rename = rename
with written_whole(sys.argv[1]) as partial:
    partial.mkdir()
    (partial / "weights").write_text("new")
"""


def test_killed_between_two_renames_the_old_folder_comes_back(tmp_path):
    """No system renames a folder over another: for a moment there is none, and the old one stood
    under a name that the next run deletes."""
    path = tmp_path / "student"
    with written_whole(path) as partial:
        partial.mkdir()
        (partial / "weights").write_text("old")
    killed = script(BETWEEN, path)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    with pytest.raises(RuntimeError), written_whole(path) as partial:
        raise RuntimeError
    assert (path / "weights").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["student"]


@pytest.mark.parametrize("error", [PermissionError(13, "open elsewhere"), KeyboardInterrupt()])
def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(error, tmp_path, monkeypatch):
    """The second of two renames failed, and both folders were deleted: the old and the new one."""
    path = tmp_path / "student"
    write_folder(path)
    rename = Path.rename

    def failing(one, target):
        if one.suffix == ".partial":
            raise error
        return rename(one, target)

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(Path, "rename", failing)
        write_folder(path)
    assert (path / "new").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["student"]
    write_folder(path)


def test_a_file_of_a_persons_own_is_no_leftover(tmp_path):
    """`out.partial` and `out.old.partial` were deleted, whoever had written them."""
    for name in ("out.partial", "out.old.partial", "out.1234.partial", "out.training.deleted"):
        (tmp_path / name).write_text("mine")
    write_jsonl(tmp_path / "out", [{}])
    assert len(list(tmp_path.iterdir())) == 5


def test_an_output_through_a_link_is_written_where_it_leads(tmp_path):
    """The link was replaced by the output, and the large disk that it led to stayed empty."""
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "out.jsonl").symlink_to(disk / "out.jsonl")
    write_jsonl(tmp_path / "out.jsonl", [{}])
    assert (tmp_path / "out.jsonl").is_symlink()
    assert (disk / "out.jsonl").is_file()


# ---- one writer at a time


HELD = """
import sys
from miniluotuo_utils.writing import Alone
with Alone(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_the_second_is_told_who_writes(tmp_path):
    """Two `train` into one --out: the later one died at its end, after hours."""
    path = tmp_path / "deep" / "out.jsonl"
    first = script(HELD, path)
    assert first.stdout.readline() == "held\n"
    said = rf"is writing out.jsonl: let it finish.* \(process {first.pid} on .* since"
    with pytest.raises(Taken, match=said), claimed([Touched("out", path, "file")]):
        pass
    first.communicate("go\n")
    with claimed([Touched("out", path, "file")]):
        pass
    assert not list(path.parent.iterdir())


def test_no_argument_stands_in_a_lock(tmp_path, monkeypatch):
    """A key in the address of --base-url was told to whoever waited, and to all who read there."""
    words = ["respond", "a.jsonl", "--base-url", "https://h/v1?key=hidden-word"]
    monkeypatch.setattr(sys, "argv", ["miniluotuo_utils/__main__.py", *words])
    with Alone(tmp_path / "out"):
        told = Alone(tmp_path / "out").told()
        assert told.endswith(": miniluotuo_utils respond)")
        assert "hidden-word" not in (tmp_path / ".out.lock.json").read_text()


def test_the_dead_hold_nothing(tmp_path):
    """A lock file of a run that was killed kept everybody out until somebody deleted it."""
    for _ in range(3):
        first = script(HELD, tmp_path / "out")
        assert first.stdout.readline() == "held\n"
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert (tmp_path / ".out.lock").exists()
        with Alone(tmp_path / "out"):
            pass
        assert not list(tmp_path.iterdir())


COUNTING = """
import sys
from pathlib import Path
from miniluotuo_utils.writing import Alone
count = Path(sys.argv[1])
for _ in range(60):
    with Alone(count, wait=-1):
        count.write_text(str(int(count.read_text()) + 1))
"""


def test_the_locks_file_goes_and_still_keeps_everybody_apart(tmp_path):
    """A lock whose file is deleted lets in one who waited for it and one who came later."""
    count = tmp_path / "count"
    count.write_text("0")
    several = [script(COUNTING, count) for _ in range(4)]
    for one in several:
        one.communicate()
        assert one.returncode == 0
    assert count.read_text() == "240"
    assert [p.name for p in tmp_path.iterdir()] == ["count"]


@pytest.mark.skipif(not ROOT or not shutil.which("setpriv"), reason="needs two users")
def test_a_second_user_of_one_cache():
    """The lock stood in the temporary folder and belonged to whoever came first: for the second
    user of a shared cache every download failed."""
    # Not below `tmp_path`, which another user may not enter.
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder)
        shared.chmod(0o777)
        second_user(shared)


def second_user(shared):
    """Hold the lock, be refused as another user, die, and be followed by that user."""
    other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c"]
    how = {"stdout": subprocess.PIPE, "stdin": subprocess.PIPE, "text": True}
    first = script(HELD, shared / "file")
    assert first.stdout.readline() == "held\n"
    trying = subprocess.run(
        [*other, HELD, str(shared / "file")], capture_output=True, text=True, check=False
    )
    assert f"(process {first.pid} on" in trying.stderr, trying.stderr
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = subprocess.Popen([*other, HELD, str(shared / "file")], **how)
    assert second.stdout.readline() == "held\n"
    second.communicate("go\n")
    assert second.returncode == 0
    assert not list(shared.iterdir())


def test_a_file_of_ones_own_is_no_lock(tmp_path):
    """A lock is made and deleted: nobody's `.out.lock` may be taken for one."""
    for name in (".out.lock", ".out.lock.json"):
        (tmp_path / name).write_text('{"packages": 1}')
    with (
        pytest.raises(Taken, match=r"\.out\.lock is there and is no lock of ours"),
        Alone(tmp_path / "out"),
    ):
        pass
    (tmp_path / ".out.lock").unlink()
    with Alone(tmp_path / "out"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == [".out.lock.json"]


@pytest.mark.parametrize("place", [".", "..", "/", "/proc", "sub/.."])
def test_no_folder_is_replaced_that_one_stands_in(place, tmp_path, monkeypatch):
    """`--out .` in an empty folder took the folder away from under the shell; a volume of a
    container can not be renamed, which was found at the end."""
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    for role in ("folder", "file", "whole"):
        with pytest.raises((Taken, OSError)):
            guard([Touched("out", Path(place), role)], overwrite=True)


def test_a_store_through_a_link_has_its_log_elsewhere(tmp_path):
    """sqlite writes -wal beside the file that a link leads to."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk" / "s.sqlite")
    store = Touched("store", tmp_path / "store", "store")
    for other in ("disk/s.sqlite-wal", "disk/s.sqlite", "store-shm"):
        with pytest.raises(Taken, match="found one file named twice"):
            guard([Touched("out", tmp_path / other, "file"), store])


def test_a_journal_says_who_holds_it(tmp_path):
    """`another process is writing` left people to search for it."""
    journal = Journal(tmp_path / "a.part", {})
    journal.lock.wait = 0
    first = script(HELD, journal.path)
    assert first.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match=f"process {first.pid}"):
        journal.append({})
    first.communicate("go\n")
    journal.append({})


# ---- what is one file


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "link", "New"]), max_size=6), st.data())
def test_two_ways_to_one_place_are_one(tmp_path_factory, parts, data):
    """Paths were compared as they were written, or as links resolve them: `..` after a link is
    another folder, and a second name of a file is the file."""
    root = tmp_path_factory.mktemp("root")
    for folder in ("a/a", "a/b", "b/a"):
        (root / folder).mkdir(parents=True)
    (root / "a" / "link").symlink_to(root / "b" / "a")
    (root / "link").symlink_to("a")
    path = root.joinpath("a", "b", *parts)
    other = Path(os.path.realpath(path))
    assert chain_of(path)[0] == chain_of(other)[0]
    if not other.exists() and other.parent.is_dir():
        other.write_text("x")
        assert chain_of(path)[0] == chain_of(other)[0]
    step = data.draw(st.integers(0, len(chain_of(path)) - 1))
    assert chain_of(path)[step] in chain_of(path / "below")


# ---- folders of ours


@pytest.fixture
def student(tmp_path):
    """A folder as `save` writes it, as far as this room knows."""
    path = tmp_path / "student"
    with written_whole(path) as partial:
        (partial / "deep").mkdir(parents=True)
        (partial / "config.json").write_text("{}")
        (partial / "deep" / "weights.bin").write_bytes(os.urandom(3 << 20))
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: None, ""),
        (lambda s: (s / ".DS_Store").write_text("x"), ""),
        (lambda s: (s / "deep" / "Thumbs.db").write_text("x"), ""),
        (lambda s: (s / f"cache-{'0' * 16}.arrow").write_text("x"), ""),
        (lambda s: (s / "cache-mine.arrow").write_text("x"), "cache-mine.arrow, which we did not"),
        (lambda s: (s / "config.json").unlink(), ""),
        (lambda s: (s / "thesis.txt").write_text("x"), "thesis.txt, which we did not write"),
        (lambda s: (s / "deep" / "n").write_text("x"), "deep/n, which we did not write"),
        (lambda s: (s / "vocab.txt").symlink_to("/etc/hosts"), "vocab.txt, which we did not write"),
        (lambda s: (s / "config.json").write_text("{ }"), "config.json, which was changed"),
        (lambda s: (s / "deep/weights.bin").write_bytes(os.urandom(3 << 20)), "weights.bin, which"),
        (lambda s: (s / "run.json").write_text("{}"), "run.json, which we did not write"),
        (lambda s: (s / ".mini-luotuo.json").unlink(), "nothing says that we wrote it"),
        (lambda s: (s / ".mini-luotuo.json").write_text("[]"), "nothing says that we wrote it"),
    ],
)
def test_a_folder_is_ours_file_by_file(student, change, said):
    """A folder counted as ours, and was deleted, if it held any file called config.json."""
    change(student)
    assert said in foreign(student)
    assert bool(said) == bool(foreign(student))
    kept = sorted(p.name for p in student.rglob("*"))
    if said:
        with pytest.raises(Taken, match="is there and is no student folder"):
            write_folder(student)
        assert sorted(p.name for p in student.rglob("*")) == kept
    else:
        write_folder(student)
        assert sorted(p.name for p in student.iterdir()) == [".mini-luotuo.json", "new"]


def write_folder(path):
    """Another folder in the place of one."""
    with written_whole(path) as partial:
        partial.mkdir()
        (partial / "new").write_text("new")


def test_what_came_while_the_work_went_on_stays(tmp_path):
    """A night's work took the place of what somebody had put there meanwhile."""
    with pytest.raises(Taken), written_whole(tmp_path / "out") as partial:
        partial.mkdir()
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "notes.txt").write_text("mine")
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    with pytest.raises(Taken), written_whole(tmp_path / "f", overwrite=False) as partial:
        partial.write_text("new")
        (tmp_path / "f").write_text("mine")
    assert (tmp_path / "f").read_text() == "mine"


def test_a_folder_of_an_earlier_version_is_known(runs, tmp_path):
    """Runs of last month, without the list of their files, could not be written again."""
    folder = tmp_path / "tiny-lora"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors", "tokenizer.json"):
        (folder / name).write_text("{}")
    assert "nothing that says" in foreign(folder)
    record_run(folder, setup("smoke"))
    assert not foreign(folder)
    (folder / "notes.txt").write_text("mine")
    assert "notes.txt" in foreign(folder)


def test_a_note_of_a_run_keeps_anothers(runs, tmp_path):
    """Other tools call their files run.json, too."""
    (tmp_path / "run.json").write_text('{"lr": 1}')
    with pytest.raises(Taken, match=r"run.json is there and not ours"):
        record_run(tmp_path, setup("smoke"))
    assert (tmp_path / "run.json").read_text() == '{"lr": 1}'


def test_one_option_is_compared_with_itself(tmp_path):
    """Two outputs of one name, one inside the other, and an input twice, which harms nobody."""
    rows, out = tmp_path / "rows", tmp_path / "out"
    rows.write_text("{}")
    guard([Touched("data", rows, "reads"), Touched("data", rows, "reads")])
    for role in ("file", "folder"):
        for below in ("", "below", "BELOW/deep"):
            pair = [Touched("out", out, role), Touched("rejected", out / below, "file")]
            with pytest.raises(Taken):
                guard(pair)
            with pytest.raises(Taken):
                guard(pair[::-1])
