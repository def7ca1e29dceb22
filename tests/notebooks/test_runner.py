"""The runner and the notebooks' common parts: clear failures, one address everywhere, every public
name used."""

import importlib
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import install
import nbformat
import pytest
import run_notebooks as runner

import notebooks as book
from miniluotuo_utils.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A small copy of the repository's texts, with a runner that looks there."""
    root = tmp_path / "clone"
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    for name in ("README.md", "README_zh.md", "CITATION.cff"):
        shutil.copy(ROOT / name, root / name)
    monkeypatch.setattr(runner, "notebooks", lambda: book.notebooks(root))
    monkeypatch.setenv("MINILUOTUO_RUNS", str(tmp_path / "runs"))
    return root


def write_book(root: Path, name: str, *sources: str) -> Path:
    """A notebook whose first code cell is its parameters."""
    cells = [nbformat.v4.new_code_cell(s) for s in sources]
    cells[0].metadata["tags"] = ["parameters"]
    path = root / "notebooks" / name
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=cells,
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            },
        ),
        path,
    )
    return path


def test_a_misspelt_parameter_is_an_error(clone):
    """papermill only logs it and runs at full size."""
    with pytest.raises(ValueError, match="00_quickstart.ipynb has no parameter SCAEL; .*SCALE"):
        runner.run("smoke", only="00", parameters={"SCAEL": "cpu"})
    with pytest.raises(ValueError, match="no notebook begins with '9'"):
        runner.run("smoke", only="9")
    with pytest.raises(ValueError, match="SCALE is 'big'"):
        runner.run("big")


def test_a_failing_notebook_shows_its_cell_and_stops_the_rest(clone, tmp_path, capsys):
    """A failure whose cell had to be searched for in a log of a thousand lines."""
    for path in book.notebooks(clone):
        path.unlink()
    write_book(clone, "00_good.ipynb", "SCALE = 'smoke'", "print('好')")
    write_book(clone, "01_bad.ipynb", "SCALE = 'smoke'", "value = {}\nvalue['骆驼']")
    write_book(clone, "02_never.ipynb", "SCALE = 'smoke'")
    executed = tmp_path / "runs" / "smoke" / "executed"
    executed.mkdir(parents=True)
    (executed / "01_bad.ipynb").write_text("an older run")
    assert runner.run("smoke") == 1
    said = capsys.readouterr().out
    assert "01_bad.ipynb failed in cell" in said
    assert "KeyError" in said
    assert "value['骆驼']" in said
    assert re.search(r"01_bad .*FAILED", said)
    assert re.search(r"02_never .*not run", said)
    assert "1 of 3 ok" in said
    assert sorted(p.name for p in executed.iterdir()) == ["00_good.ipynb", "01_bad.failed.ipynb"]
    pages = executed.parent / "html"
    assert sorted(p.name for p in pages.iterdir()) == ["00_good.html", "index.html"]
    assert not (executed.parent / "times.json").exists()


def test_a_mistake_is_one_line_from_a_shell(capsys):
    """A traceback of forty lines for a misspelt name."""
    assert main(["download", "cluner"]) == 2
    assert capsys.readouterr().err.startswith("error: no data set 'cluner' in the catalog")


def test_scores_from_a_shell(tmp_path, capsys):
    """The scorer must be usable by somebody who has only two files."""
    gold = tmp_path / "gold.jsonl"
    gold.write_text(
        '{"sentence": "李白", "entities": [{"name": "李白", "type": "人物", "pos": [0, 2]}]}\n',
        encoding="utf-8",
    )
    assert main(["score", str(gold), str(gold), "--task", "NER"]) == 0
    assert "1.0000" in capsys.readouterr().out
    assert main(["score", str(gold), str(gold), "--task", "NER", "--json"]) == 0
    assert '"f1": 1.0' in capsys.readouterr().out
    assert main(["score", str(gold), str(tmp_path / "none.jsonl"), "--task", "NER"]) == 2


def test_one_address_stands_in_every_badge_and_setup_cell(clone):
    """A fork whose badges opened somebody else's notebooks."""
    slug, ref = book.address(ROOT)
    for path in book.notebooks(ROOT):
        cells = nbformat.read(path, as_version=4).cells
        assert book.badge(slug, ref, path.name) in cells[0].source
        assert "actions" not in cells[0].source or book.run_link(slug) in cells[0].source
        assert f'SLUG, REF = "{slug}", "{ref}"' in setup_of(path).source
        link = re.search(r"\]\((https://[^)]*)\)\Z", book.badge(slug, ref, path.name))[1]
        for readme in ("README.md", "README_zh.md"):
            text = (ROOT / readme).read_text(encoding="utf-8")
            assert re.search(rf"{re.escape(link)}[)\n]", text), f"{path.name} in {readme}"
    book.write_setup(clone)
    changed = book.write_badges(clone, "my-class/camel", "v2")
    assert len(changed) >= len(book.notebooks(clone)) + 2
    assert book.address(clone) == ("my-class/camel", "v2")
    for path in book.notebooks(clone):
        cells = nbformat.read(path, as_version=4).cells
        assert book.badge("my-class/camel", "v2", path.name) in cells[0].source
        assert f"{slug}/actions" not in cells[0].source
        assert setup_of(path).source == book.setup_cell("my-class/camel", "v2")
    assert f"git clone https://github.com/{slug}" not in (clone / "README.md").read_text(
        encoding="utf-8"
    )
    with pytest.raises(ValueError, match="expected owner/name"):
        book.write_badges(clone, "https://github.com/a/b", "main")


def setup_of(path: Path) -> nbformat.NotebookNode:
    """A notebook's setup cell, which must be its first code cell."""
    cells = nbformat.read(path, as_version=4).cells
    first = next(cell for cell in cells if cell.cell_type == "code")
    assert "setup" in book.tags(first)
    return first


def test_the_setup_cell_is_folded_and_may_be_skipped(clone):
    """The first code that a newcomer met was 14 lines about pip, cut at the right edge."""
    book.write_setup(clone)
    assert not book.write_setup(clone), "a second time changes nothing"
    for path in book.notebooks(clone):
        cells = nbformat.read(path, as_version=4).cells
        at = next(i for i, cell in enumerate(cells) if cell.cell_type == "code")
        assert "在本地跳过" in cells[at - 1].source
        assert cells[at].metadata == book.FOLDED
        assert cells[at].source.startswith("# @title ")
        wide = [sum(1 + (ord(c) > 0x2E7F) for c in line) for line in cells[at].source.splitlines()]
        assert max(wide) <= 88
        assert book.tags(cells[at + 1]) == ["parameters"]
        runner.check_parameters(path, {"SCALE": "smoke"})


def run_setup(folder: Path, git: str, **hosted: str) -> subprocess.CompletedProcess:
    """Run the setup cell in a folder as on a platform without the package; `git` is a script."""
    fake = folder / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n{git}\n")
    fake.chmod(0o755)
    code = (
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'miniluotuo_utils' else find(n, *a)\n"
        + book.setup_cell("nobody/nothing", "main")
        + "\nprint(sys.path[0])"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PATH": f"{fake.parent}:/usr/bin:/bin", **hosted},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_setup_cell_checks_its_exit_codes(tmp_path):
    """`%pip install nosuch` leaves a cell green; here a failing clone must fail."""
    done = run_setup(tmp_path, "exit 7", COLAB_RELEASE_TAG="x")
    assert done.returncode
    assert "returned non-zero exit status 7" in done.stderr


def test_the_setup_cell_does_nothing_on_ones_own_machine(tmp_path):
    """A clone inside a clone, and a torch that was replaced by another."""
    done = run_setup(tmp_path, "exit 7")
    assert not done.returncode, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_the_setup_cell_installs_from_the_clone(tmp_path):
    """What is installed is the script's business: the cell only finds it, and the package."""
    script = 'import sys; print("installed", sys.argv[1:], flush=True)'
    git = f"mkdir -p nothing/scripts && echo '{script}' > nothing/scripts/install.py; echo $@"
    done = run_setup(tmp_path, git, KAGGLE_KERNEL_RUN_TYPE="Interactive")
    assert not done.returncode, done.stderr
    cloned, installed, path = done.stdout.splitlines()
    folder = str(tmp_path / "nothing")
    url = "https://github.com/nobody/nothing"
    assert cloned == f"clone --depth 1 --branch main {url} {folder}"
    assert installed == "installed ['--hosted']"
    assert path == folder


def test_a_platform_keeps_its_torch_and_numpy(monkeypatch):
    """A torch of another build does not fit the platform's GPU, and the kernel runs on the old."""
    calls = []

    def pip(python, *arguments):
        calls.append((python, arguments, Path(arguments[-1]).read_text(encoding="utf-8")))

    monkeypatch.setattr(install, "pip", pip)
    install.hosted()
    (python, arguments, lines) = calls[0]
    assert python == sys.executable
    assert arguments[:3] == ("-r", "requirements.txt", "-c")
    assert f"torch=={version('torch')}\n" in lines
    assert f"numpy=={version('numpy')}\n" in lines
    assert not Path(arguments[-1]).exists()
    assert install.pins(("no-such-package",)) == []


def test_every_public_name_is_used_by_a_notebook_or_the_command_line():
    """The package is thin: it holds what notebooks share, nothing else."""
    sources = [
        c.source
        for p in book.notebooks(ROOT)
        for c in nbformat.read(p, as_version=4).cells
        if c.cell_type == "code"
    ]
    package = ROOT / "miniluotuo_utils"
    commands = [package / "__main__.py", *sorted((package / "jobs").glob("*.py"))]
    text = "\n".join([*sources, *(path.read_text(encoding="utf-8") for path in commands)])
    for module in ("", ".data", ".teacher", ".students", ".ie"):
        for name in importlib.import_module(f"miniluotuo_utils{module}").__all__:
            assert re.search(rf"\b{name}\b", text) or name in ANNOTATIONS, (
                f"{name} of miniluotuo_utils{module} is used nowhere"
            )


ANNOTATIONS = {
    "Runtime",
    "Student",
    "Training",
}  # what public functions return: named for readers' type hints
