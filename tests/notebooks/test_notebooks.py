"""The notebooks: what every one must have, and that each runs alone, headless, in a fresh folder,
with no network."""

import ast
import json
import os
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
import run_notebooks as runner
from exercises import OPEN_TAG, number_of
from pages import title, write_page
from tiny_random import saved, tiny_random

from miniluotuo_utils.students import ZOO
from miniluotuo_utils.terminal import columns
from notebooks import KEPT, address, notebooks, setup_cell, stripped, tags

ROOT = Path(__file__).resolve().parents[2]
BOOKS = notebooks(ROOT)
IDS = [p.stem for p in BOOKS]
each_book = pytest.mark.parametrize("path", BOOKS, ids=IDS)


def cells(path):
    """The cells of a committed notebook."""
    return nbformat.read(path, as_version=4).cells


def code(path):
    """Its code cells."""
    return [c for c in cells(path) if c.cell_type == "code"]


def test_all_are_there():
    """A notebook that was renamed drops out of every loop below in silence."""
    assert list(map(number_of, BOOKS)) == ["00", "01", "02", "03", "04", "05", "05b", "06", "07"]


@each_book
def test_header(path):
    """One H1 in both languages, the badge, and a table of what it teaches and costs."""
    head = cells(path)[0].source
    assert head.startswith("# ")
    assert head.count("\n# ") == 0
    assert " · " in head.splitlines()[0]
    for row in ("你会学到", "输入 → 输出", "时间", "内存、费用"):
        assert f"| {row}" in head
    assert "Open in Colab" in head


@each_book
def test_setup_and_parameters_come_first(path):
    """papermill injects after the cell tagged parameters; a value that is no literal would go
    stale."""
    first, second = code(path)[:2]
    # Until `notebooks.py setup` has folded them, the cells are as they were.
    folded = "cellView" in first.metadata
    assert not folded or first.source == setup_cell(*address(ROOT))
    assert tags(second) == ["parameters"]
    for node in ast.parse(second.source).body:
        assert isinstance(node, ast.Assign)
        assert isinstance(node.value, ast.Constant)
    assert 'SCALE = "smoke"' in second.source


@each_book
def test_cells_are_short_and_plain(path):
    """`%pip` and `!cmd` leave a cell green when they fail; `input()` and `sys.exit` break a
    headless run; a projector shows 90 columns, and a Chinese character takes two."""
    for cell in code(path):
        assert len(cell.source.splitlines()) <= 25, cell.source[:60]
        assert max(map(columns, cell.source.splitlines())) <= 88, cell.id
        assert not re.search(r"^\s*[%!]|\binput\(|sys\.exit|plt\.show\(", cell.source, re.M), (
            cell.source[:60]
        )


@each_book
def test_a_sentence_stands_before_every_cell_of_code(path):
    """Nobody knew what the second of two such cells was for, and nobody was asked to predict."""
    for before, cell in pairwise(cells(path)):
        if cell.cell_type == "code" and tags(cell) != ["parameters"]:
            assert before.cell_type == "markdown", cell.id
    assert sum("先猜" in cell.source for cell in cells(path)) >= 2


@each_book
def test_only_curated_outputs_are_committed(path):
    """A key, an absolute path or a megabyte of pictures once went into the history."""
    book = nbformat.read(path, as_version=4)
    assert stripped(nbformat.read(path, as_version=4)) == book, (
        "run `python scripts/notebooks.py refresh`, or strip it"
    )
    assert "widgets" not in book.metadata
    for cell in code(path):
        assert not cell.outputs or KEPT in tags(cell)
        assert all(output.output_type != "error" for output in cell.outputs), cell.id


@each_book
def test_chinese_comes_first_and_english_follows(path):
    """Prose in one language shuts half of the readers out."""
    for cell in cells(path)[1:]:
        if cell.cell_type == "markdown" and not cell.source.startswith(("上一本", "下一本")):
            prose = re.sub(r"^#.*$|`[^`]*`", "", cell.source, flags=re.M).strip()
            if prose:
                assert re.search("[\u4e00-\u9fff]", prose[:40]), cell.source[:60]
                assert re.search(r"^\*.*[A-Za-z]{3}.*\*$", prose, re.M), cell.source[:60]


@each_book
def test_no_placeholder_is_left_in_the_prose(path):
    """A table that promised "CPU_MINUTES minutes" was nearly shipped."""
    for cell in cells(path):
        if cell.cell_type == "markdown":
            prose = re.sub(r"`[^`]*`|\(https?:[^)]*\)", "", cell.source)
            assert not re.search(r"\{[A-Z_]+\}|\b[A-Z]+_[A-Z]+\b|CPUMIN|TODO|XXX", prose), (
                cell.source[:80]
            )


@each_book
def test_it_ends_with_summary_exercises_and_links(path):
    """A notebook without a check of its exercises cannot tell a reader that they understood."""
    *_, check, links = cells(path)
    [summary] = [c.source for c in cells(path) if "## 小结" in c.source]
    assert "## 练习" in summary
    # Until its source is written, a notebook has its three exercises as a list and one check.
    tried = [c.source for c in code(path) if OPEN_TAG in tags(c)]
    if tried:
        assert len(tried) == 3
        assert any(re.search("^def ", source, re.M) for source in tried), "one writes a function"
    else:
        assert len(re.findall(r"^\d\. ", summary, re.M)) == 3
        assert "练习" in check.source
    assert "](0" in links.source
    for name in re.findall(r"\]\((\d\d\w+\.ipynb)\)", links.source):
        assert (ROOT / "notebooks" / name).is_file()


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Nothing in runs/, no mirror, hubs out of reach; a missing Chinese glyph is an error."""
    monkeypatch.setenv("MINILUOTUO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MINILUOTUO_MIRROR", "")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PYTHONWARNINGS", "error:Glyph")
    for name in [n for n in os.environ if n.startswith("TEACHER_")]:
        monkeypatch.delenv(name)


@pytest.mark.notebooks
@each_book
def test_it_runs_alone(path, tmp_path, alone):
    """Every badge must work by itself."""
    executed = runner.execute(path, tmp_path, {"SCALE": "smoke"})
    for cell in code(executed):
        texts = [str(o) for o in cell.get("outputs", [])]
        assert not any("\ufffd" in t for t in texts) or "shows-broken-bytes" in tags(cell), (
            f"{cell.id} shows U+FFFD"
        )
    assert title(nbformat.read(executed, as_version=4)) in write_page(
        executed, tmp_path / "html", "https://github.com/a/b/blob/main"
    ).read_text(encoding="utf-8")


@pytest.mark.notebooks
@pytest.mark.parametrize("name", ["luotuo-312m"])  # the others have GPT-2's vocabulary
def test_a_published_student_is_examined_unchanged(name, tmp_path, alone):
    """Room for answers was counted in the vocabulary of `tiny`: GPT-2's, with two tokens for a
    character, cut every long one. A BertTokenizer loses text, and must not stop the lesson."""
    [path] = [book for book in BOOKS if number_of(book) == "05"]
    # Two layers of random weights in the student's own class, vocabulary and context.
    student = tiny_random(name, max_position_embeddings=ZOO[name].context)
    given = saved(student, tmp_path / name)
    runner.execute(path, tmp_path, {"SCALE": "smoke", "LIMIT": 4, "STUDENT": str(given)})
    facts = json.loads((tmp_path / "runs/smoke/evaluation/run.json").read_text(encoding="utf-8"))
    assert facts["student_of_04"] is False
    answers = list((tmp_path / "runs/smoke/evaluation").glob("*_after.jsonl"))
    assert len(answers) == 3
