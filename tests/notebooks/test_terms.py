"""One term for one thing: the terminology table rules the prose of notebooks and READMEs."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from miniluotuo_utils import ie, setup
from miniluotuo_utils.data import read_any
from miniluotuo_utils.data.loading import read
from miniluotuo_utils.evaluation.grading import example_sheets
from miniluotuo_utils.ie.schema import check_schema
from miniluotuo_utils.students import load_student
from miniluotuo_utils.teacher.client import given

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "notebooks" / "TERMINOLOGY.md"
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.md")),
    *sorted((ROOT / "miniluotuo_utils").rglob("README.md")),
    *sorted((ROOT / "scripts").glob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
# What a learner reads outside a notebook: errors, forms, help.
PACKAGE = sorted((ROOT / "miniluotuo_utils").rglob("*.py"))
CELLS = 4  # of a row of the table


def rows():
    """The rows of the table: Chinese, English, note, and what is not said."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return cells[2:]


def unwanted():
    """What is not said, and the term that is."""
    return {word: row[0] for row in rows() for word in row[3].split("、") if word}


def prose(path):
    """The text of a document, without code and without the table's own last column."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        return "\n".join(cell.source for cell in cells)
    text = path.read_text(encoding="utf-8")
    # A link's address holds names of files, which are no prose.
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return "" if path == TABLE else re.sub(r"(?s)```.*?```", "", text)


def test_the_table_is_whole():
    """A row without its English, or one term twice."""
    assert all(len(row) == CELLS and row[0] and row[1] for row in rows())
    terms = [row[0] for row in rows()]
    assert len(terms) == len(set(terms))
    assert not set(terms) & set(unwanted())


@pytest.mark.parametrize("path", [*NOTEBOOKS, *DOCUMENTS], ids=lambda path: path.name)
def test_one_term_for_one_thing(path):
    """schema was 模式 in one notebook and 类型表 in the next; 口气 is no term at all."""
    text, found = prose(path), []
    for word, term in unwanted().items():
        found += [
            f"{word} -> {term}: …{text[m.start() - 12 : m.end() + 12]}…"
            for m in re.finditer(word, text)
        ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: path.stem)
def test_the_package_says_what_the_table_says(path):
    """A notebook said 填充, and the error of the same cell 补齐."""
    told = [
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    found = [word for word in unwanted() if any(word in text for text in told)]
    assert not found, f"{path.name}: {found}"


MISTAKES = {
    "a scale that is none": lambda folder: setup("big"),
    "a data set that is none": lambda folder: list(read("cluner", "dev")),
    "a split that is none": lambda folder: list(read("embedded-ner", "tset")),
    "a file that is none": lambda folder: read_any(folder / "mine.jsonl"),
    "a student that is none": lambda folder: load_student(folder / "student"),
    "a schema that is empty": lambda folder: check_schema([], "NER"),
    "one sentence for a list": lambda folder: ie.extract(None, "一句", ["人物"], "NER"),
    "one prediction too few": lambda folder: ie.score([RECORD], [], "NER"),
    "another sentence": lambda folder: ie.score([RECORD], [{**RECORD, "sentence": "乙"}], "NER"),
    "a sheet with open items": lambda folder: example_sheets(folder)[2].rows(),
    "no teacher": lambda folder: given("TEACHER_BASE_URL", None),
}
RECORD = {"sentence": "甲", "entities": [{"name": "甲", "type": "人物", "pos": [0, 1]}]}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_an_error_that_a_learner_meets_is_in_both_languages(mistake, tmp_path, monkeypatch):
    """A Chinese lesson that fails in English only: the room waits for the lecturer."""
    monkeypatch.delenv("TEACHER_BASE_URL", raising=False)
    with pytest.raises((ValueError, OSError)) as caught:
        mistake(tmp_path)
    said = str(caught.value)
    assert re.search("[\u4e00-\u9fff]{3}", said.replace("一句", "")), said
    assert re.search("[a-z]{3} [a-z]{2}", said), said


def test_the_rule_finds_what_is_not_said():
    """A test that cannot fail holds nothing."""
    assert any(word in "先装载学生，再补齐" for word in unwanted())
