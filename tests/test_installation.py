"""The package as people install it: a wheel alone, its extras, and the blocks of the READMEs."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import metadata, packages_distributions, requires
from pathlib import Path

import pytest
from install import LEAST, NETWORK
from packaging.specifiers import SpecifierSet
from readme_blocks import blocks

from miniluotuo_utils import __main__ as commands
from miniluotuo_utils.extras import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL = {name: PROJECT["optional-dependencies"][name] for name in EXTRAS}


def normal(requirement: str) -> str:
    """A requirement as one spelling: no spaces, one kind of quotes."""
    return re.sub(r"\s+", "", requirement.partition("#")[0]).replace('"', "'").lower()


def distribution(requirement: str) -> str:
    """The name of what a requirement installs."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].replace("_", "-").lower()


def brought(requirements: Iterable[str]) -> set[str]:
    """Every distribution that comes with `requirements`, at any depth."""
    found, waiting = set(), {distribution(r) for r in requirements}
    waiting |= {distribution(r) for requirement in requirements for r in asked_extras(requirement)}
    while waiting:
        name = waiting.pop()
        found.add(name)
        needed = [r for r in requires(name) or [] if "extra ==" not in r]
        waiting |= {distribution(r) for r in needed if is_installed(distribution(r))} - found
    return found


def asked_extras(requirement: str) -> list[str]:
    """What the extras of one requirement bring: aiohttp for `openai[aiohttp]`."""
    asked = re.search(r"\[(.*?)\]", requirement)
    if not asked:
        return []
    names = "|".join(asked[1].split(","))
    marker = re.compile(rf"""extra == ['"]({names})['"]""")
    return [line for line in requires(distribution(requirement)) or [] if marker.search(line)]


def is_installed(name: str) -> bool:
    """Whether a distribution is there (markers leave some out)."""
    try:
        requires(name)
    except ModuleNotFoundError:
        return False
    return True


def test_extras_are_parts_of_the_requirements():
    """Two lists of versions drift apart, and what CI proved is then not what people install."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    known = {normal(line) for line in lines}
    for name, wanted in OPTIONAL.items():
        assert {normal(r) for r in wanted} <= known, name
    assert {normal(r) for r in PROJECT["dependencies"]} <= known


@pytest.mark.parametrize("extra", list(EXTRAS))
def test_an_extra_brings_the_modules_that_name_it(extra):
    """`pip install miniluotuo-utils[ie]` did as it was told, and the same message came again."""
    there = brought(OPTIONAL[extra])
    owners = packages_distributions()
    for module in EXTRAS[extra]:
        names = {name.replace("_", "-").lower() for name in owners[module]}
        assert names & there, f"{module} does not come with [{extra}]"


def test_every_library_that_the_package_imports_is_in_an_extra():
    """A new import that no extra brings fails on everybody's machine but ours."""
    known = {module for modules in EXTRAS.values() for module in modules} | {
        "filelock",
        "httpx",
    }  # httpx: an older openai
    owners = packages_distributions()
    brings = brought([r for wanted in OPTIONAL.values() for r in wanted])
    for path in (ROOT / "miniluotuo_utils").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in {m.partition(".")[0] for m in modules}:
                if module in sys.stdlib_module_names or module in ("", "miniluotuo_utils"):
                    continue
                names = {name.replace("_", "-").lower() for name in owners.get(module, ())}
                assert module in known or names & brings, f"{path.name} imports {module}"


def pip(*arguments: object) -> subprocess.CompletedProcess:
    """Run this environment's pip, blind to the clone that the tests run in."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "pip", *map(str, arguments), "--quiet"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The package as a wheel; skipped where the builder cannot be fetched."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "miniluotuo_utils", source / "miniluotuo_utils")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    done = pip("wheel", "--no-deps", source, "-w", folder)
    # Only a builder that cannot be had is no fault of ours: a wheel that does not build is one.
    if done.returncode and any(sign in done.stderr for sign in NETWORK):
        pytest.skip(f"no network to fetch the builder from: {done.stderr.strip()[-300:]}")
    assert not done.returncode, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The Python of an empty environment that holds the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    places = (folder / "bin" / "python", folder / "Scripts" / "python.exe")
    python = next(path for path in places if path.exists())
    done = pip("--python", python, "install", "--no-deps", wheel)
    assert not done.returncode, done.stderr
    return python


def run(python: Path, code: str, folder: Path, libraries: bool) -> subprocess.CompletedProcess:
    """Run code in a folder outside the clone, with this environment's libraries or without any."""
    theirs = [path for path in sys.path if path.endswith("site-packages")]
    head = f"import sys; sys.path.extend({theirs if libraries else []!r})\n"
    environment = {"PATH": "", "HF_HUB_OFFLINE": "1", "HOME": str(folder)}
    return subprocess.run(
        [str(python), "-c", head + code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_alone_scores_and_names_the_extra_it_lacks(installed, tmp_path):
    """Somebody with two files of records installs 8 MB, not torch; who wants more is told the word
    for it."""
    first, *_ = blocks(ROOT / "README.md")
    done = run(installed, first.code, tmp_path, libraries=False)
    assert done.stdout == first.output, done.stderr
    asks = "from miniluotuo_utils.students import load_student; load_student('tiny')"
    done = run(installed, asks, tmp_path, libraries=False)
    assert "pip install 'miniluotuo-utils[students]'" in done.stderr


READMES = (
    "README.md",
    "README_zh.md",
    "miniluotuo_utils/students/README.md",
    "miniluotuo_utils/embedded/student/README.md",
)


@pytest.mark.parametrize("readme", READMES)
def test_the_wheel_runs_the_readmes(readme, installed, tmp_path):
    """Data that is in the clone and not in the wheel: found only by those who install it."""
    for block in blocks(ROOT / readme):
        done = run(installed, block.code, tmp_path, libraries=True)
        assert done.stdout == block.output, done.stderr
    place = run(installed, "import miniluotuo_utils as m; print(m.__file__)", tmp_path, True)
    assert str(installed.parent.parent) in place.stdout


def test_a_command_without_its_extra_is_told_in_one_line(monkeypatch, capsys):
    """`shards` without datatrove ended in a traceback, the way out in its last line."""

    def missing():
        raise ModuleNotFoundError("没有装 datatrove，装上它：pip install …", name="datatrove")

    monkeypatch.setattr(commands, "zoo_table", missing)
    assert commands.main(["zoo"]) == 2
    assert capsys.readouterr().err == "error: 没有装 datatrove，装上它：pip install …\n"


@pytest.mark.parametrize("python", [LEAST, (3, 12), (3, 13)])
def test_every_pinned_release_takes_the_first_of_each_python(python):
    # One that wants 3.11.5 sends the pip of Debian 12, whose Python is 3.11.2, round for ever.
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    names = [distribution(line) for line in lines if "==" in line]
    taken = {name: metadata(name)["Requires-Python"] for name in names if is_installed(name)}
    first = "{}.{}.0".format(*python)
    refused = {
        name: asked
        for name, asked in taken.items()
        if asked and not SpecifierSet(asked).contains(first)
    }
    assert len(taken) > 100
    assert refused == {}
