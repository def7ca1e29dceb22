"""Windows, as far as it can be held without one: names, line ends, encodings, locks, signals."""

import ast
import io
import ntpath
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import install
import pytest

from miniluotuo_utils.data import CATALOG
from miniluotuo_utils.data.download import mirrored
from miniluotuo_utils.teacher import store
from miniluotuo_utils.terminal import never_fails
from miniluotuo_utils.writing import Alone, Taken, alone, temporary, whole

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$')
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
ABSENT = ("fcntl", "resource", "pwd", "grp", "termios")  # what Python has on Unix only
LONGEST = 160  # characters of a path in the clone or the mirror; Windows takes 260 in all


def tracked() -> list[str]:
    """The files of the clone, as git names them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    ).stdout.decode()
    if not listed:
        pytest.skip("not in a clone of git")
    return listed.strip("\0").split("\0")


def sources() -> list[Path]:
    """Every Python file of the package and of the scripts that keep a clone."""
    return [*sorted((ROOT / "miniluotuo_utils").rglob("*.py")), *(ROOT / "scripts").glob("*.py")]


def test_every_file_of_the_clone_can_stand_on_windows():
    """A clone that has `a:b` or both `A` and `a` stops in the middle on Windows."""
    names = tracked()
    for name in names:
        for part in name.split("/"):
            assert not FORBIDDEN.search(part), name
            assert not RESERVED.fullmatch(part), name
        assert len(name) < LONGEST, name
    assert len({name.casefold() for name in names}) == len(names)


def test_every_address_of_the_catalog_is_a_file_name_on_windows():
    """`file.json?download=1` cannot be written to a stick that Windows formatted."""
    for card in CATALOG.values():
        for pin in card.pins:
            if pin["url"].startswith("package:"):
                continue
            place = mirrored(pin["url"])
            assert not any(FORBIDDEN.search(part) for part in place.split("/")), place
            assert len(place) < LONGEST, place


def test_line_ends_are_the_same_on_every_system():
    """git for Windows turns line ends around: what is hashed then has another hash."""
    tracked()
    told = subprocess.run(
        ["git", "check-attr", "eol", "text", "--", "miniluotuo_utils/embedded/bank.jsonl"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    ).stdout.decode()
    assert "eol: lf" in told
    assert "text: auto" in told, "a picture is no text"


def without_encoding(tree: ast.AST) -> list[int]:
    """The lines that read or write text in whatever encoding the system has."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        given = {keyword.arg for keyword in node.keywords}
        modes = [part for argument in node.args[1:] for part in ast.walk(argument)]
        binary = any("b" in str(getattr(part, "value", "")) for part in modes)
        by_place = {"read_text": 1, "write_text": 2}.get(name)
        if by_place and len(node.args) < by_place and not {"encoding", None} & given:
            found.append(node.lineno)
        built_in = isinstance(node.func, ast.Name) and name == "open"
        if built_in and not binary and not {"encoding", None} & given:
            found.append(node.lineno)
        if name in ("run", "Popen", "check_output") and "text" in given and "errors" not in given:
            found += [node.lineno] * ("encoding" not in given)
    return found


# ASCII alone: install.py's own stamps, which an old Python must be able to write; a cgroup's number
PLAIN = {"install.py": 4, "devices.py": 1, "notebooks.py": 1, "check_exports.py": 1}


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_text_is_utf_8_whatever_the_system_says(path):
    """A Chinese Windows reads GBK unless it is told: the first file with a Chinese word fails."""
    lines = without_encoding(ast.parse(path.read_text(encoding="utf-8")))
    assert len(lines) <= PLAIN.get(path.name, 0), f"{path.name}: lines {lines}"


def test_the_package_runs_without_what_only_unix_has():
    """One `import resource` kept a room of Windows machines from the first cell."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({ABSENT}))\n"
        "from miniluotuo_utils import __main__, data, teacher, writing, runtime\n"
        "print(runtime.peak_memory_mib())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert done.stdout.strip() == "{}", done.stderr


def windows(**more) -> SimpleNamespace:
    """An `os` that says it is Windows, where os.kill ends the process that it asks about."""

    def kill(*_):
        raise AssertionError("on Windows this ends the process")

    return SimpleNamespace(name="nt", kill=kill, path=ntpath, **more)


def test_the_environment_is_found_where_windows_keeps_it(monkeypatch):
    """`.venv/bin/python` was not found, and pip then wrote into the system's own Python."""
    monkeypatch.setattr(install, "os", windows())
    assert install.python_of(".venv") == r".venv\Scripts\python.exe"


def test_nobody_is_ended_by_being_asked_for(monkeypatch):
    """Signal 0 only asks on Unix; on Windows os.kill ends the other process."""
    monkeypatch.setattr(temporary, "os", windows(readlink=temporary.os.readlink))
    assert not store.dead(f"{temporary.machine()}:1:x")
    assert temporary.runs(1)


def test_a_lock_without_user_numbers(monkeypatch, tmp_path):
    """Windows has no os.getuid."""
    lock = Alone(tmp_path / "a")
    place = {"path": alone.os.path, "getpid": alone.os.getpid}
    monkeypatch.setattr(alone, "os", SimpleNamespace(name="nt", **place))
    assert lock.elsewhere().name.startswith("miniluotuo--")


def test_a_locked_file_is_not_read(monkeypatch, tmp_path):
    """Windows refuses to read what another one has locked: "cannot be written" was then said, and
    not who writes it."""
    (tmp_path / ".a.lock").touch()
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("a locked file was read"))
    alone.refuse_own(tmp_path / ".a.lock")
    monkeypatch.undo()
    (tmp_path / ".a.lock").write_text("我的", encoding="utf-8")
    with pytest.raises(Taken):
        alone.refuse_own(tmp_path / ".a.lock")


def test_an_open_file_is_waited_for_and_then_named(monkeypatch, tmp_path):
    """A virus scanner holds a new file for a moment, and an hour of training was lost to it."""
    tries = []

    def replace(*_):
        tries.append(1)
        if len(tries) < 3:
            raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(whole, "os", SimpleNamespace(name="nt", replace=replace))
    whole.when_free(tmp_path / "partial", tmp_path / "a", waits=(0, 0))
    assert len(tries) == 3

    monkeypatch.setattr(whole.os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13)))
    with pytest.raises(PermissionError, match="打开着"):
        whole.when_free(tmp_path / "partial", tmp_path / "a", waits=(0,))
    monkeypatch.setattr(whole.os, "name", "posix")
    with pytest.raises(PermissionError, match="13"):
        whole.when_free(tmp_path / "partial", tmp_path / "a", waits=(60,))


def test_an_open_folder_is_waited_for_and_then_named(monkeypatch, tmp_path):
    """A folder that took the place of another one was not waited for as a file is."""
    tries = []

    def rename(*_):
        tries.append(1)
        if len(tries) != 3:
            raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(whole, "os", SimpleNamespace(name="nt", replace=None))
    monkeypatch.setattr(Path, "rename", rename)
    places = tmp_path / "a", tmp_path / "a.1.old"
    whole.when_free(*places, waits=(0, 0), folder=tmp_path / "a")
    assert len(tries) == 3
    with pytest.raises(PermissionError, match="a 正被别的程序打开着"):
        whole.when_free(*places, waits=(0,), folder=tmp_path / "a")


def test_a_character_that_the_system_lacks_ends_nothing():
    """A Chinese sentence into a pipe of an English Windows: UnicodeEncodeError."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    never_fails(stream, io.StringIO())
    print("骆驼 camel", file=stream, flush=True)
    assert stream.buffer.getvalue() == b"?? camel\n"
