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
from miniluotuo_utils.ie.corrections import (
    ELSEWHERE,
    Corrections,
    added,
    changes,
    removed,
    retyped,
)
from miniluotuo_utils.show.colours import shade_of
from miniluotuo_utils.show.page import Page, html
from miniluotuo_utils.show.spans import highlight

SCRIPT = Path(__file__).with_suffix(".js")
HELP = (
    "先点一下这里，再按键 click here first · Enter 对，下一句 accept · N 跳过 skip · "
    "B 上一句 back · ← → 移动，按住 Shift 选字 select · Esc 不选了 let go · "
    "1–9 标成第几种，第十种起按按钮 type · Delete 去掉 remove · Z 撤销 undo"
)


class Form:
    """The state of a form, and what each action of its reader does to it.

    `said` is the line that it shows: what went wrong, or "". `turn` counts the sentences that were
    shown: what a browser sends is meant for the one that it draws, and may arrive late.
    """

    def __init__(self, corrections: Corrections) -> None:
        self.corrections, self.said = corrections, "\n".join(corrections.notes)
        self.sentence: str | None = None
        self.entities: list[dict] = []
        self.earlier: list[list[dict]] = []  # entities before each change, to undo
        self.seen: dict | None = None  # the correction on disk that the reader has seen
        self.drafts: dict[str, tuple] = {}  # changed and not accepted: entities, earlier, seen
        self.turn = 0
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

        `{"do": "add", "start", "end", "type"}`, `{"do": "remove", "start", "end"}`,
        `{"do": "retype", "start", "end", "type"}`, and `accept`, `skip`, `back`, `undo`. One that
        is none of these changes nothing and is said; one of an earlier `turn` changes nothing.
        """
        if isinstance(message, Mapping) and message.get("turn", self.turn) != self.turn:
            return self.state()
        self.said = ""
        try:
            self.corrections.refresh()
            self.actions[message["do"]](message)
        except (KeyError, TypeError, ValueError) as error:
            told = str(error) if isinstance(error, DataError) else f"{message!r:.80}"
            self.said = f"没有做：{told} Nothing was done."
        except OSError as error:
            self.said = f"没有存上：{error} Not saved."
        return self.state()

    def turn_to(self, sentence: str | None) -> None:
        """Show a sentence, None for the end; what was changed and not accepted is kept."""
        self.drafts |= self.draft()
        self.turn, self.sentence = self.turn + 1, sentence
        seen = self.corrections.corrected.get(sentence)
        fresh = [] if sentence is None else self.corrections.entities(sentence)
        self.entities, self.earlier, self.seen = self.drafts.pop(sentence, (fresh, [], seen))

    def draft(self) -> dict[str, tuple]:
        """Return the changes of the sentence that is shown, {} where there are none."""
        return {self.sentence: (self.entities, self.earlier, self.seen)} if self.earlier else {}

    def accept(self, message: Mapping) -> None:
        """Save the sentence as it stands; turn to the next open one."""
        if self.sentence is None:
            return
        now = self.corrections.corrected.get(self.sentence)
        if now != self.seen and now["entities"] != self.entities:
            self.seen = now
            self.change(self.corrections.entities(self.sentence))
            raise DataError(f"{ELSEWHERE} 这是那边的，Z 换回你的 (theirs is shown, Z: yours).")
        self.corrections.save(self.sentence, self.entities)
        self.earlier = []
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
        """Take the entity at a place out."""
        if (number := self.at(message)) is not None:
            self.change(removed(self.entities, number))

    def retype(self, message: Mapping) -> None:
        """Give the entity at a place another type."""
        kind, number = self.known(message["type"]), self.at(message)
        if number is not None:
            self.change(retyped(self.entities, number, kind))

    def undo(self, message: Mapping) -> None:
        """Take the last change of this sentence back."""
        if self.earlier:
            self.entities = self.earlier.pop()

    def at(self, message: Mapping) -> int | None:
        """Return the number of the entity that a message means; None where it is gone already."""
        place = [whole(message["start"]), whole(message["end"])]
        places = [list(entity["pos"]) for entity in self.entities]
        return places.index(place) if place in places else None

    def change(self, entities: list[dict]) -> None:
        """Take over new entities, and keep the old ones for `undo`."""
        if entities != self.entities:
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
            "drafts": len(self.drafts | self.draft()),
            "turn": self.turn,
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
    """Return the first open sentences with their proposals, and how far the work is, as a page.

    Where none is open, the last sentences as they were corrected.
    """
    done, total = corrections.progress
    texts = corrections.open[:count] or corrections.order[-count:]
    shown = [highlight({"sentence": s, "entities": corrections.entities(s)}) for s in texts]
    notes = map(escape, corrections.notes)
    parts = [*notes, f"<b>改好 corrected {done} / {total}</b>", *shown]
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
