"""Show a form in which a person corrects entities, by mouse or by keyboard.

In: `ie.corrections.Corrections`. Out: a widget in JupyterLab and Colab, a static page where nobody
can click. `Form` is what it does, without a browser; `correcting.js` only draws it. Shown in
notebook 07.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from miniluotuo_utils.files import DataError
from miniluotuo_utils.ie.corrections import Corrections, added, changes, removed, retyped
from miniluotuo_utils.show.colours import shade_of
from miniluotuo_utils.show.page import Page, html
from miniluotuo_utils.show.spans import highlight

SCRIPT = Path(__file__).with_suffix(".js")
HELP = (
    "Enter 对，下一句 accept · N 跳过 skip · B 上一句 back · ← → 移动，按住 Shift 选字 select · "
    "1–9 标成第几种 type · Delete 去掉 remove · Z 撤销 undo"
)


class Form:
    """The state of a form, and what each action of its reader does to it.

    `said` is the line that it shows: what went wrong, or "".
    """

    def __init__(self, corrections: Corrections) -> None:
        self.corrections, self.said = corrections, ""
        self.sentence: str | None = None
        self.entities: list[dict] = []
        self.earlier: list[list[dict]] = []  # entities before each change, to undo
        self.actions: dict[str, Callable[[Mapping], None]] = {
            "accept": self.accept,
            "skip": self.skip,
            "back": self.back,
            "add": self.add,
            "remove": self.remove,
            "retype": self.retype,
            "undo": self.undo,
        }
        self.turn_to(corrections.next())

    def handle(self, message: object) -> dict:
        """Do what a message of the browser says, and return the new state.

        `{"do": "add", "start", "end", "type"}`, `{"do": "remove", "at"}`,
        `{"do": "retype", "at", "type"}`, and `accept`, `skip`, `back`, `undo`. One that is none of
        these changes nothing and is said.
        """
        self.said = ""
        try:
            self.actions[message["do"]](message)
        except (KeyError, TypeError, ValueError) as error:
            told = str(error) if isinstance(error, DataError) else f"{message!r:.80}"
            self.said = f"没有做：{told} Nothing was done."
        except OSError as error:
            self.said = f"没有存上：{error} Not saved."
        return self.state()

    def turn_to(self, sentence: str | None) -> None:
        """Show a sentence, None for the end."""
        self.sentence, self.earlier = sentence, []
        self.entities = [] if sentence is None else self.corrections.entities(sentence)

    def accept(self, message: Mapping) -> None:
        """Save the sentence as it stands; turn to the next open one."""
        if self.sentence is not None:
            self.corrections.save(self.sentence, self.entities)
            self.turn_to(self.corrections.next(self.sentence))

    def skip(self, message: Mapping) -> None:
        """Leave the sentence open, and turn to the next open one."""
        self.turn_to(self.corrections.next(self.sentence))

    def back(self, message: Mapping) -> None:
        """Turn to the sentence before, corrected or not; from the end to the last one."""
        order = self.corrections.order
        at = len(order) if self.sentence is None else order.index(self.sentence)
        self.turn_to(order[max(0, at - 1)] if order else None)

    def add(self, message: Mapping) -> None:
        """Mark the characters from start to end as a name of a type."""
        start, end = whole(message["start"]), whole(message["end"])
        kind = self.known(message["type"])
        self.change(added(self.sentence or "", self.entities, start, end, kind))

    def remove(self, message: Mapping) -> None:
        """Take an entity out."""
        self.change(removed(self.entities, whole(message["at"])))

    def retype(self, message: Mapping) -> None:
        """Give an entity another type."""
        kind = self.known(message["type"])
        self.change(retyped(self.entities, whole(message["at"]), kind))

    def undo(self, message: Mapping) -> None:
        """Take the last change of this sentence back."""
        if self.earlier:
            self.entities = self.earlier.pop()

    def change(self, entities: list[dict]) -> None:
        """Take over new entities, and keep the old ones for `undo`."""
        self.earlier.append(self.entities)
        self.entities = entities

    def known(self, kind: object) -> str:
        """Return a type that the form has; ValueError for another."""
        if kind not in self.corrections.types:
            raise ValueError(kind)
        return kind

    def state(self) -> dict[str, Any]:
        """Return all that the browser draws, as plain data; texts in it are text, never HTML."""
        done, count = self.corrections.progress
        places = [
            {"start": e["pos"][0], "end": e["pos"][1], "type": e["type"]} for e in self.entities
        ]
        proposal = [] if self.sentence is None else self.corrections.proposal(self.sentence)
        made = changes(proposal, self.entities)
        return {
            "characters": list(self.sentence or ""),
            "entities": places,
            "types": [
                {"name": kind, "fill": shade_of(kind).fill, "edge": shade_of(kind).edge}
                for kind in self.corrections.types
            ],
            "done": done,
            "count": count,
            "corrected": self.sentence in self.corrections.corrected,
            "changed": sum(made.values()) - made["kept"],
            "ended": self.sentence is None,
            "said": self.said,
            "help": HELP,
        }


def whole(number: object) -> int:
    """Return a whole number of a message; ValueError for anything else."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueError(number)
    return number


def correction_form(corrections: Corrections, count: int = 3) -> Any:
    """Return the form as a widget; headless, a page with the first `count` open sentences.

    Every sentence is on disk before the next one shows. The cell may be run again at any time, and
    in a new kernel: it goes on at the first sentence that is open.
    """
    if os.environ.get("MINILUOTUO_HEADLESS"):
        return open_sentences(corrections, count)
    return widget_class()(Form(corrections))


def open_sentences(corrections: Corrections, count: int) -> Page:
    """Return the first open sentences with their proposals, and how far the work is, as a page."""
    done, total = corrections.progress
    open_ = [one for one in corrections.order if one not in corrections.corrected][:count]
    shown = [highlight({"sentence": s, "entities": corrections.proposal(s)}) for s in open_]
    parts = [f"<b>改好 corrected {done} / {total}</b>", *shown]
    types = " · ".join(f"{n} {escape(kind)}" for n, kind in enumerate(corrections.types, 1))
    return html("<br>".join([*parts, f"<small>{types}<br>{escape(HELP)}</small>"]))


@cache
def widget_class() -> type:
    """Return the class of the widget, made once: anywidget is imported where a form is shown."""
    import anywidget
    import traitlets

    class CorrectionForm(anywidget.AnyWidget):
        """Draws a `Form` in the browser, and hands it what its reader does."""

        _esm = SCRIPT
        state = traitlets.Dict().tag(sync=True)

        def __init__(self, form: Form) -> None:
            super().__init__(state=form.state())
            self.form = form
            self.on_msg(self.told)

        def told(self, _: Any, message: object, buffers: Sequence) -> None:
            """Hand a message of the browser to the form; draw what becomes of it."""
            self.state = self.form.handle(message)

    return CorrectionForm
