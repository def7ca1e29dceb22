"""The question box: a menu, a field for other questions, a true page where it cannot run."""

import pytest

from miniluotuo_utils.generation import generate
from miniluotuo_utils.show import plain, question_box
from miniluotuo_utils.tokens import prompt_of

QUESTIONS = ["列出保存茶叶的三个要点", "为什么中秋节要吃月饼？"]


@pytest.fixture(scope="module")
def answer(tiny):
    """What the student says to the first question."""
    return generate(tiny, [prompt_of(tiny, {"instruction": QUESTIONS[0]})], "chat")[0]


def test_a_page_that_cannot_run_shows_a_true_answer(tiny, answer, monkeypatch):
    """A published page had an empty place where the box should be."""
    monkeypatch.setenv("MINILUOTUO_HEADLESS", "1")
    page = plain(question_box(tiny, QUESTIONS).data)
    assert page.startswith(f"问 {QUESTIONS[0]}\n答 {answer.splitlines()[0]}")
    assert page.endswith(f"还可以问 also: {QUESTIONS[1]}")
    assert "还可以问" not in plain(question_box(tiny).data)


def test_a_question_of_the_menu_is_asked(tiny, answer, monkeypatch, capsys):
    """A menu that is picked and then not asked; an empty question that the student answers."""
    monkeypatch.delenv("MINILUOTUO_HEADLESS", raising=False)
    menu, line, _ = question_box(tiny, QUESTIONS).children
    field, button = line.children
    button.click()
    assert "先写一个问题" in capsys.readouterr().out
    menu.value = QUESTIONS[0]
    assert field.value == QUESTIONS[0]
    button.click()
    assert answer in capsys.readouterr().out
    assert len(question_box(tiny).children) == 2
