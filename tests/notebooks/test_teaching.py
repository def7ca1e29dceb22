"""The lecturer's page: its lessons name sections that are there, and last as long as they say."""

import re
from pathlib import Path

import draw_ideas
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "notebooks" / "TEACHING.md"
TEXT = PAGE.read_text(encoding="utf-8")
LESSONS = re.split(r"^## ", TEXT, flags=re.MULTILINE)
LESSON = 45  # minutes
ROW = re.compile(r"^\| \[(\w+)\]\(([\w.]+)\) \| (.+?) \| (\d+|课后) \|", re.MULTILINE)
MINUTES = re.compile(r"^\|[^|]*\|[^|]*\| (\d+) \|", re.MULTILINE)
BOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def sections(book: Path) -> list[str]:
    """The numbered headings of a notebook, in Chinese."""
    cells = nbformat.read(book, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return [title.partition(" · ")[0] for title in re.findall(r"^## (\d.*)$", text, re.MULTILINE)]


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_every_section_has_its_place_in_a_lesson(book):
    """A section was renamed, and the lecturer looked for it in front of forty people."""
    named = [row[2] for row in ROW.findall(TEXT) if row[1] == book.name]
    assert sorted(named) == sorted(sections(book))


def test_the_page_names_no_other_notebook():
    """A notebook that was split left its old name in the plan."""
    assert {row[1] for row in ROW.findall(TEXT)} == {book.name for book in BOOKS}
    assert all(row[1].startswith(row[0]) for row in ROW.findall(TEXT))


def test_eight_lessons_of_45_minutes():
    """Minutes that were added one by one made a lesson of an hour."""
    lessons = [part for part in LESSONS if part.startswith("第 ")]
    assert len(lessons) == 8
    for part in lessons:
        assert sum(map(int, MINUTES.findall(part))) == LESSON, part.splitlines()[0]


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_three_questions_with_answers_for_each_notebook(book):
    """A quiz without its answers is work for the evening before."""
    number = book.stem.partition("_")[0]
    (quiz,) = re.findall(rf"<summary>小测 {number}，.*?</details>", TEXT, re.DOTALL)
    questions = re.findall(r"^\d\. .*？——.+", quiz, re.MULTILINE)
    assert len(questions) == 3


def test_lessons_agree_with_the_readmes():
    """The README said lesson 4, the plan lesson 5."""
    plan = {}
    for number, part in enumerate((p for p in LESSONS if p.startswith("第 ")), 1):
        for row in ROW.findall(part):
            if row[3] != "课后":
                plan.setdefault(row[1], {})[str(number)] = row[2]
    for name in ("README.md", "README_zh.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        found = re.findall(r"\(notebooks/(\w+\.ipynb)\).*\| ([\d, ]+) \|", text)
        assert found
        for book, lessons in found:
            assert list(plan[book]) == lessons.split(", "), book


def test_the_picture_of_ideas_is_of_these_notebooks():
    """An arrow from an idea that was taken out ended the script in a KeyError."""
    ideas = {idea for column in draw_ideas.IDEAS.values() for idea in column}
    assert {idea for arrow in draw_ideas.NEEDS for idea in arrow} <= ideas
    assert set(draw_ideas.IDEAS) <= {book.name[:2] for book in BOOKS}
