"""Talk to a student and extract with it in a notebook, by ipywidgets.

In: a student. Out: a box below the cell; headless, what a click in it would have brought. Shown in
notebook 07, where `show.demo` opens the same as a page.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from miniluotuo_utils.generation.presets import PRESETS
from miniluotuo_utils.show.html import html, lines
from miniluotuo_utils.show.page import Page
from miniluotuo_utils.show.talk import answer_of, extracted, record_page

if TYPE_CHECKING:
    from miniluotuo_utils.students import Student

WIDE = {"width": "70%"}


def chat_box(student: Student, questions: Sequence[str]) -> Any:
    """Talk to a student: it remembers what was said, "clear" forgets it.

    Headless: what it answers to the questions, one after the other.
    """
    if os.environ.get("MINILUOTUO_HEADLESS"):
        return spoken(student, questions)
    return ChatBox(student, questions).box


def spoken(student: Student, questions: Sequence[str]) -> Page:
    """Return a conversation as a page: each question is asked after those before it."""
    history: list[list[str]] = []
    for question in questions:
        history.append([question, [*answer_of(student, question, history)][-1]])
    return html(conversation(history))


def conversation(history: Sequence[Sequence[str]]) -> str:
    """Return turns as HTML, texts as they are.

    >>> conversation([["在吗", "<在>"]])
    '<b>问</b> 在吗<br><b>答</b> &lt;在&gt;'
    """
    turns = (f"<b>问</b> {lines(user)}<br><b>答</b> {lines(answer)}" for user, answer in history)
    return "<br>".join(turns)


class ChatBox:
    """The live chat, in `box`."""

    def __init__(self, student: Student, questions: Sequence[str]) -> None:
        self.student, self.history = student, []
        self.said = ipywidgets.HTML()
        self.question = ipywidgets.Combobox(
            options=list(questions), placeholder="问点什么…… ask something", layout=WIDE
        )
        self.preset = ipywidgets.Dropdown(
            options=list(PRESETS), value="chat", description="预设 preset"
        )
        self.ask = ipywidgets.Button(description="问 ask", button_style="primary")
        self.clear = ipywidgets.Button(description="清空 clear")
        self.ask.on_click(self.asked)
        self.clear.on_click(self.cleared)
        rows = [[self.question, self.ask], [self.preset, self.clear]]
        self.box = ipywidgets.VBox([self.said, *map(ipywidgets.HBox, rows)])

    def asked(self, _: object = None) -> None:
        """Ask what stands in the field, and show the answer as it grows; an empty one asks
        nothing, so that a double click is no second question.
        """
        question, answer = self.question.value, ""
        if not question.strip():
            return
        self.ask.disabled = True
        try:
            for answer in answer_of(self.student, question, self.history, self.preset.value):
                self.said.value = html(conversation([*self.history, [question, answer]])).data
        except ValueError as wrong:
            self.said.value = html(f"{conversation(self.history)}<p>{lines(str(wrong))}</p>").data
            return
        finally:
            self.ask.disabled = False
        self.history.append([question, answer])
        self.question.value = ""

    def cleared(self, _: object = None) -> None:
        """Forget what was said."""
        self.history.clear()
        self.said.value = ""


def extraction_box(student: Student, text: str, types: str, task: str = "NER") -> Any:
    """Extract from a text that can be changed, with types that can be changed, in colours.

    Headless: what the student finds in `text`.
    """
    if os.environ.get("MINILUOTUO_HEADLESS"):
        return html(record_page(extracted(student, text, types, task)))
    return ExtractionBox(student, text, types, task).box


class ExtractionBox:
    """The live extraction, in `box`."""

    def __init__(self, student: Student, text: str, types: str, task: str) -> None:
        self.student, self.task = student, task
        self.text = ipywidgets.Textarea(value=text, layout={"width": "95%", "height": "80px"})
        self.types = ipywidgets.Text(value=types, description="类型 types", layout=WIDE)
        self.press = ipywidgets.Button(description="抽取 extract", button_style="primary")
        self.found = ipywidgets.HTML()
        self.press.on_click(self.pressed)
        rows = [self.text, ipywidgets.HBox([self.types, self.press]), self.found]
        self.box = ipywidgets.VBox(rows)

    def pressed(self, _: object = None) -> None:
        """Show what the student finds, or what is wrong with the text."""
        try:
            record = extracted(self.student, self.text.value, self.types.value, self.task)
        except ValueError as wrong:
            self.found.value = html(lines(str(wrong))).data
            return
        self.found.value = html(record_page(record)).data
