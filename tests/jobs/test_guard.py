"""No command writes over a file: every pair of its paths, through every other name of a file.

The table is made from the commands' own options, so a new command without a guard fails here.
"""

import dataclasses
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from miniluotuo_utils import __main__ as cli
from miniluotuo_utils.files import read_jsonl, write_jsonl

ROW = {"instruction": "问好", "input": "", "output": "你好。", "source": "自写"}
WHOLE = ("file", "again", "folder", "whole")
WRITES = (*WHOLE, "store", "grows")


def paths_of(command):
    """The options of a command that are paths, by name, with their roles."""
    return {
        one.name: one.metadata["role"]
        for one in dataclasses.fields(command)
        if one.metadata.get("role")
    }


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.__name__)
def test_every_path_of_a_command_has_a_role_and_a_way_to_replace(command):
    """The guard compared the paths that somebody had thought of; the next command had others."""
    roles, names = paths_of(command), {one.name for one in dataclasses.fields(command)}
    for one in dataclasses.fields(command):
        of_paths = Path in (one.type, *get_args(one.type))
        student = "folder or hub id" in one.metadata.get("help", "")
        assert not (of_paths or student) or one.name in roles, (
            f"{command.__name__}.{one.name} is a path without a role: see writing.Touched"
        )
        assert not student or roles[one.name] == "student"
    assert set(roles.values()) <= {*WRITES, "reads", "student"}
    assert not set(WHOLE) & set(roles.values()) or {"overwrite", "replace"} & names


# ---- every pair of paths


class World:
    """A folder with something of a person's own at every path that a command reads."""

    def __init__(self, root):
        self.root = root
        self.home = root / "mine"
        self.home.mkdir(parents=True)

    def make(self, name, role):
        """The path for an option; what is read is there."""
        path = self.home / f"{name}.jsonl"
        if role == "reads":
            write_jsonl(path, [ROW])
        elif role == "store":
            path = self.home / "store.sqlite"
            connection = sqlite3.connect(path)
            connection.execute("CREATE TABLE replies (key)")
            connection.execute("INSERT INTO replies VALUES ('paid')")
            connection.commit()
            connection.close()
        elif role == "student":
            base, path = self.home / "base", self.home / name
            for folder in (base, path):
                folder.mkdir()
                (folder / "model.safetensors").write_bytes(b"weights")
            (base / "config.json").write_text("{}")
            note = {"base_model_name_or_path": "./base"}
            (path / "adapter_config.json").write_text(json.dumps(note))
        return path

    def photograph(self):
        """Every file with its bytes, and every link with its target."""
        found = {}
        for path in sorted(self.home.rglob("*")):
            name = path.relative_to(self.home).as_posix()
            if path.is_symlink():
                found[name] = os.readlink(path)
            elif path.is_file():
                found[name] = path.read_bytes()
        return found


def dots(world, path):
    """A way through another folder and back."""
    (path.parent / "aside").mkdir(exist_ok=True)
    return path.parent / "aside" / ".." / path.name


def link(world, path):
    """A symbolic link, perhaps to what is not there yet."""
    found = world.root / f"link-to-{path.name}"
    found.symlink_to(path)
    return found


def folder_link(world, path):
    """The same name in a folder that is a link."""
    (world.root / "elsewhere").symlink_to(path.parent)
    return world.root / "elsewhere" / path.name


def hard_link(world, path):
    """A second name of the very file, which must be there."""
    found = world.root / f"hard-{path.name}"
    os.link(path, found)
    return found


def capitals(world, path):
    """A name that differs in case, which is the same file on some systems.

    Of a file that is there the system tells whether it is.
    """
    return path.with_name(path.name.upper())


ALIASES = {
    "same": lambda world, path: path,
    **{alias.__name__: alias for alias in (dots, link, folder_link, hard_link, capitals)},
}
PAIRS = [
    (command, writer, other)
    for command in cli.COMMANDS
    for writer, role in paths_of(command).items()
    for other, theirs in paths_of(command).items()
    if role in WRITES and writer != other and not role == theirs == "grows"
]


def meaningful(alias, role):
    """Whether what a path of this role leads to can have another name of this kind."""
    if alias == "hard_link":
        return role in ("reads", "store")
    return alias != "capitals" or role not in ("reads", "store", "student")


TRIED = [(*pair, a) for pair in PAIRS for a in ALIASES if meaningful(a, paths_of(pair[0])[pair[2]])]


def arguments(command, world, chosen):
    """The arguments of a command: what it needs, and `chosen` paths."""
    roles, first, rest = paths_of(command), [], []
    for one in dataclasses.fields(command):
        how, role = one.metadata, roles.get(one.name)
        if not (how.get("required") or how.get("positional") or one.name in chosen):
            continue
        if how.get("nargs") == "*":
            continue
        value = chosen.get(one.name) or (role and world.make(one.name, role))
        if not value:
            value = get_args(one.type)[0] if get_origin(one.type) is Literal else 3
        value = ["tiny"] if one.type == list[str] else [str(value)]
        flag = [] if how.get("positional") else ["--" + one.name.replace("_", "-")]
        (first if how.get("positional") else rest).extend([*flag, *value])
    return [command.__name__.lower(), *first, *rest]


@pytest.fixture
def nothing_begins(monkeypatch):
    """Loading a student, asking a teacher and annotating fail the test."""

    def begun(*_, **__):
        raise AssertionError("work began before the paths were compared")

    for place in (
        "miniluotuo_utils.__main__.load_student",
        "miniluotuo_utils.jobs.train.load_student",
        "miniluotuo_utils.teacher.Teacher",
        "miniluotuo_utils.jobs.annotate.Annotator",
        "miniluotuo_utils.jobs.download.downloaded",
    ):
        monkeypatch.setattr(place, begun)


@pytest.mark.usefixtures("nothing_begins")
@pytest.mark.parametrize(
    ("command", "writer", "other", "alias"),
    TRIED,
    ids=[f"{command.__name__}-{'-'.join(rest)}" for command, *rest in TRIED],
)
def test_two_paths_of_a_command_are_two_files(command, writer, other, alias, tmp_path, capsys):
    """`respond in.jsonl shared.sqlite --store shared.sqlite` replaced the paid store by its output,
    `instruct seeds.jsonl --seeds seeds.jsonl` emptied the seeds."""
    world = World(tmp_path)
    mine = world.make(other, paths_of(command)[other])
    asked = arguments(command, world, {other: mine, writer: ALIASES[alias](world, mine)})
    before = world.photograph()
    assert cli.main(asked) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert world.photograph() == before


@pytest.mark.usefixtures("nothing_begins")
@pytest.mark.parametrize(
    ("command", "writer"),
    [
        (command, name)
        for command in cli.COMMANDS
        for name, role in paths_of(command).items()
        if role == "folder" and "student" in paths_of(command).values()
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_no_adapter_and_no_merge_takes_its_bases_place(command, writer, tmp_path, capsys):
    """`merge ADAPTER BASE` overwrote the base, and the adapter was later applied twice."""
    world = World(tmp_path)
    [student] = [name for name, role in paths_of(command).items() if role == "student"]
    mine = world.make(student, "student")
    for place in (world.home / "base", link(world, world.home / "base"), world.home):
        asked = arguments(command, world, {student: mine, writer: place})
        before = world.photograph()
        for more in ([], ["--overwrite"]):
            assert cli.main([*asked, *more]) == 2
            assert "error: " in capsys.readouterr().err
        assert world.photograph() == before


STORES = [(c, w) for c, w, o in PAIRS if paths_of(c)[o] == "store" and paths_of(c)[w] in WHOLE]


@pytest.mark.usefixtures("nothing_begins")
@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize(("command", "writer"), STORES)
def test_what_stands_beside_a_store_belongs_to_it(command, writer, ending, tmp_path, capsys):
    """The last replies stand in the store's -wal: an output of that name loses them."""
    world = World(tmp_path)
    store = world.make("store", "store")
    beside = store.with_name(store.name + ending)
    asked = arguments(command, world, {"store": store, writer: beside})
    before = world.photograph()
    assert cli.main(asked) == 2
    assert "found one file named twice" in capsys.readouterr().err
    assert world.photograph() == before


OUTPUTS = [
    (c, n, r) for c in cli.COMMANDS for n, r in paths_of(c).items() if r in (*WHOLE, "store")
]


@pytest.mark.usefixtures("nothing_begins")
@pytest.mark.parametrize(
    ("command", "name", "role"), OUTPUTS, ids=[f"{c.__name__}-{n}" for c, n, _ in OUTPUTS]
)
def test_what_is_not_ours_is_never_replaced(command, name, role, tmp_path, capsys):
    """`train --out proj` deleted a thesis, because a config.json stood beside it."""
    world = World(tmp_path)
    proj = world.home / "proj"
    (proj / "deep").mkdir(parents=True)
    for kept in ("config.json", "run.json", "README.md", "thesis.txt", "deep/chapter.txt"):
        (proj / kept).write_text("years of work")
    sqlite = world.home / "places.sqlite"
    connection = sqlite3.connect(sqlite)
    connection.execute("CREATE TABLE moz_places (url)")
    connection.commit()
    connection.close()
    os.mkfifo(world.home / "pipe")
    for place in (
        proj,
        proj / "thesis.txt",
        sqlite,
        world.home / "pipe",
        proj / "thesis.txt" / "x",
    ):
        chosen = {name: place}
        asked = arguments(command, World(tmp_path / place.name), chosen)
        before = world.photograph()
        told = {"store": [], "again": ["--replace"]}.get(role, ["--overwrite"])
        for more in ([], told):
            assert cli.main([*asked, *more]) == 2, place
            assert "error: " in capsys.readouterr().err
        assert world.photograph() == before


@pytest.mark.usefixtures("nothing_begins")
@pytest.mark.parametrize(
    ("command", "name", "role"), OUTPUTS, ids=[f"{c.__name__}-{n}" for c, n, _ in OUTPUTS]
)
def test_an_output_that_cannot_be_written_is_found_first(command, name, role, tmp_path, capsys):
    """A read-only disk was noticed after everything was paid for."""
    world = World(tmp_path)
    for place in (Path("/proc/nowhere/out.jsonl"), world.home / ("骆" * 86)):
        asked = arguments(command, World(tmp_path / str(len(place.name))), {name: place})
        assert cli.main(asked) == 2
        assert "cannot be written there" in capsys.readouterr().err


# ---- the instances of the field


def shell(*arguments, **environment):
    """A command of the package, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "miniluotuo_utils", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_predict_replaces_its_own_answers_when_told(tmp_path, tiny, monkeypatch):
    """One policy: refused, unless it is said and the file is one that the command writes."""
    from miniluotuo_utils.jobs.predict import predict_file

    monkeypatch.setattr("miniluotuo_utils.__main__.load_student", lambda *_: tiny)
    data, out = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    write_jsonl(data, [ROW])
    predict_file(tiny, data, out, max_new_tokens=2)
    command = ["predict", "--student", "tiny", "--data", data, "--out", out]
    command = [*map(str, command), "--max-new-tokens", "3"]
    before = out.read_bytes()
    assert cli.main(command) == 2
    assert out.read_bytes() == before
    assert cli.main([*command, "--overwrite"]) == 0
    assert len(read_jsonl(out)) == 1
    write_jsonl(out, [{"question": "a table of my own"}], overwrite=True)
    before = out.read_bytes()
    assert cli.main([*command, "--overwrite"]) == 2
    assert out.read_bytes() == before
