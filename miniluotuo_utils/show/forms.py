"""Show forms in a live notebook, and plain tables in their place where it runs headless.

In: records, sheets, trainings. Out: widgets or HTML. Shown in notebooks 00, 01, 02, 04 and 05b.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from itertools import combinations
from typing import TYPE_CHECKING, Any

import ipywidgets

from miniluotuo_utils.evaluation.grading import GRADES, agreement, asked_text, item_key
from miniluotuo_utils.records import TASKS
from miniluotuo_utils.show.html import folded, highlight, html, lines, shown, table
from miniluotuo_utils.show.page import Page
from miniluotuo_utils.show.plots import COLOURS
from miniluotuo_utils.show.words import figure

if TYPE_CHECKING:
    from miniluotuo_utils.evaluation.grading import Sheet
    from miniluotuo_utils.students import Student, Training


def explorer(sources: Mapping[str, Sequence[Mapping]], count: int = 3, seed: int = 42) -> Any:
    """Show random rows of a source, of one type if wanted, with their spans in colour.

    Headless: `count` rows of each source, drawn with `seed`.
    """
    groups = dict(sources)
    for name, rows in sources.items():
        of_type: dict[str, list[Mapping]] = {}
        for row in rows:
            for kind in types_of(row):
                of_type.setdefault(kind, []).append(row)
        groups |= {f"{name} · {kind}": of_type[kind] for kind in sorted(of_type)}
    return samples(groups, list(sources), shown, "来源 source", count, seed)


def types_of(row: Mapping) -> set[str]:
    """Return the types that the items of an IE record have; no other row has any.

    >>> types_of({"sentence": "去大理", "entities": [{"name": "大理", "type": "地点"}]})
    {'地点'}
    """
    return {item["type"] for field in TASKS.values() for item in row.get(field) or []}


def error_examples(
    found: Sequence[Mapping], names: Mapping[str, str], count: int = 3, seed: int = 42
) -> Any:
    """Show sentences for each kind of error of `ie.errors` (NER), with the item in colour.

    `names` gives each kind the words that stand for it. Headless: `count` sentences of each.
    """
    texts: dict[str, list[str]] = {kind: [] for kind in names}
    for sentence in found:
        for item in sentence["entities"]:
            sides = {"标准 gold": item["gold"], "学生 student": item["pred"]}
            parts = [
                f"<b>{side}</b> {highlight({**sentence, 'entities': [thing]})}"
                for side, thing in sides.items()
                if thing
            ]
            texts.setdefault(item["kind"], []).append("<br>".join(parts))
    groups = {f"{name}（{len(texts[kind])}）": texts[kind] for kind, name in names.items()}
    return samples(groups, list(groups), str, "错误 error", count, seed)


def samples(
    groups: Mapping[str, Sequence],
    printed: Sequence[str],
    as_html: Callable[[Any], str],
    label: str,
    count: int,
    seed: int,
) -> Any:
    """Show a few random members of a group: a choice with a button for more.

    Headless: a static table of the `printed` groups.
    """
    # A page that is printed must come out the same each time.
    if os.environ.get("MINILUOTUO_HEADLESS"):
        parts = []
        for name in printed:
            drawn = random.Random(seed).sample(list(groups[name]), min(count, len(groups[name])))
            parts.append(f"<p><b>{escape(name)}</b><br>{'<br>'.join(map(as_html, drawn))}</p>")
        return html("".join(parts))

    choice = ipywidgets.Dropdown(options=list(groups), description=label)
    button, out = ipywidgets.Button(description="换一批 more"), ipywidgets.HTML()

    # Anew at every click, so the draw has no seed.
    def draw(_: object = None) -> None:
        group = groups[choice.value]
        drawn = random.sample(list(group), min(count, len(group)))
        out.value = "".join(f"<p>{as_html(member)}</p>" for member in drawn)

    choice.observe(draw, "value")
    button.on_click(draw)
    draw()
    return ipywidgets.VBox([ipywidgets.HBox([choice, button]), out])


def rating_form(sheet: Sheet) -> Any:
    """Grade all answers to an item blind, side by side, by a click or by typing the letters.

    Each grade is on disk at once; "next" opens when every answer has one. The form begins at the
    first item without all its grades and ends with the table, the first place that names the
    students; from there no way leads back. Headless: a static table of the first open items.
    """
    if not os.environ.get("MINILUOTUO_HEADLESS"):
        return RatingForm(sheet).box
    return final_table(sheet) if sheet.done else open_items(sheet)


def agreement_table(*sheets: Sheet) -> Page:
    """Show how far the raters of some sheets agree: κ of each two, and the letters of the first.

    In the square a row is a letter of the first rater, a column one of the second; equal letters
    stand in its diagonal, in bold. What the two see differently is behind a fold.
    """
    pairs = []
    for one, two in combinations(sheets, 2):
        found = agreement([*one.so_far(), *two.so_far()])
        pairs.append(
            {
                "评分人 raters": f"{one.rater} · {two.rater}",
                "都评过 graded by both": found["pairs"],
                "等级相同 equal": figure(found["equal"]),
                "κ kappa": figure(found["kappa"]),
            }
        )
    first, second = sheets[:2]
    given = {row["item"]: row["grade"] for row in second.so_far()}
    both = [(row["item"], row["grade"], given.get(row["item"])) for row in first.so_far()]
    seen = f"<p>行 rows：{escape(first.rater)}；列 columns：{escape(second.rater)}</p>"
    square = letters_square([(a, b) for _, a, b in both if b])

    # Where two people differ is what they talk about next.
    differing = {item: f"{a} / {b}" for item, a, b in both if b and a != b}
    asked = [{"等级 grades": differing[key], **row} for key, row in texts_of(first, differing)]
    words = f"看法不同的 {len(asked)} 个 the answers on which the two differ"
    fold = folded(words, table(asked)).data if asked else ""
    return html(table(pairs).data + seen + square.data + fold)


def letters_square(pairs: Sequence[tuple[str, str]]) -> Page:
    """Return how often one letter of the first rater met one of the second."""
    rows = []
    for a in GRADES:
        counts = {b: str(pairs.count((a, b))) for b in GRADES}
        bold = Page(f"<b>{counts[a]}</b>")
        rows.append({" ": a, **counts, a: bold})
    return table(rows)


def texts_of(sheet: Sheet, keys: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return question and answer of some of a sheet's answers, in its order, without names."""
    found = []
    for name in sheet.items:
        item = sheet.item(name)
        for text in item["answers"].values():
            key = item_key({**item, "output": text})
            if key in keys:
                found.append((key, {"问 asked": asked_text(item), "答 answered": text}))
    return found


def open_items(sheet: Sheet) -> Page:
    """Return the first three items that are not fully graded, without the buttons."""
    letters, rows = " / ".join(sheet.meanings), []
    for name in [name for name in sheet.items if not sheet.complete(name)][:3]:
        item = sheet.item(name)
        for text in item["answers"].values():
            rows.append(
                {
                    "问 asked": asked_text(item),
                    "答 answered": text or "（空 empty）",
                    "等级 grade": letters,
                }
            )
    return table(rows)


def final_table(sheet: Sheet) -> Page:
    """Return the end of a sheet: the table of grades, with the students' names."""
    return html("<b>评完了。 All graded.</b>" + table(sheet.table()).data)


class RatingForm:
    """The live form of a grading sheet: one item at a time, in `box`."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet, self.order, self.at = sheet, list(sheet.items), 0
        self.asked, self.answers = ipywidgets.HTML(), ipywidgets.VBox()
        self.back = ipywidgets.Button(description="上一题 back")
        self.next = ipywidgets.Button(description="下一题 next", button_style="primary")
        self.key = ipywidgets.Text(placeholder="A B C D", layout={"width": "90px"})
        self.back.on_click(lambda button: self.step(button, -1))
        self.next.on_click(lambda button: self.step(button, +1))
        self.key.observe(self.typed, "value")
        buttons = ipywidgets.HBox([self.back, self.next, self.key])
        self.box = ipywidgets.VBox([self.asked, self.answers, buttons])
        self.show(len(self.order) if sheet.done else self.order.index(sheet.next()["id"]))

    def show(self, at: int) -> None:
        """Turn to an item, or behind the last one to the table."""
        self.at, ended = at, at == len(self.order)
        self.answers.children = [] if ended else self.choices(self.order[at])
        if ended:
            self.asked.value = final_table(self.sheet).data
        else:
            graded, count = self.sheet.progress
            asked = lines(asked_text(self.sheet.item(self.order[at])))
            self.asked.value = f"<p>评完 graded {graded} / {count}</p><p><b>问</b> {asked}</p>"
        self.back.disabled = ended or at == 0
        self.allow()

    def choices(self, name: str) -> list:
        """Return the answers to an item, each with radio buttons that show and save its grade."""
        item, boxes = self.sheet.item(name), []
        options = [(f"{letter} {text}", letter) for letter, text in self.sheet.meanings.items()]
        for number, text in item["answers"].items():
            radio = ipywidgets.RadioButtons(
                options=options,
                value=item["grades"].get(number),
                layout={"width": "max-content"},
            )
            radio.observe(partial(self.save, name, number), "value")
            answer = ipywidgets.HTML(f"<b>答 {number}</b> {lines(text) or '（空 empty）'}")
            boxes.append(ipywidgets.VBox([answer, radio]))
        return boxes

    def save(self, name: str, number: str, change: Mapping) -> None:
        """Save the grade that a radio button was set to."""
        self.sheet.grade(name, {number: change["new"]})
        self.allow()

    def allow(self) -> None:
        """Open "next" where every answer has its grade."""
        ended = self.at == len(self.order)
        self.next.disabled = ended or not self.sheet.complete(self.order[self.at])

    def step(self, button: Any, by: int) -> None:
        """Turn to the item before or behind this one."""
        # A second click may come before the browser shows the button grey.
        if not button.disabled:
            self.show(self.at + by)

    def typed(self, change: Mapping) -> None:
        """Give the first answer without a grade the letter that was typed; then go on."""
        letter = change["new"].strip().upper()[-1:]
        self.key.value = ""
        radios = [box.children[1] for box in self.answers.children]
        if letter not in self.sheet.meanings or not radios:
            return
        next((radio for radio in radios if radio.value is None), radios[0]).value = letter
        self.step(self.next, +1)


def live_loss() -> Callable[[Training], None]:
    """Return what `finetune(show=…)` takes: it draws the loss as a curve that grows in place.

    Redrawn at most once a second, and at the end.
    """
    from IPython.display import display

    handle, drawn = display(html("…"), display_id=True), [0.0]

    def show(training: Training) -> None:
        # There is no handle outside a notebook.
        if handle and (training.seconds or time.time() - drawn[0] >= 1):
            drawn[0] = time.time()
            losses = [line["loss"] for line in training.log]
            handle.update(html(loss_svg(losses) + loss_words(training)))

    return show


def loss_words(training: Training) -> str:
    """Return step, loss and speed of a training as one line of HTML."""
    last = training.log[-1]
    speed = last["tokens"] / max(last["seconds"], 1e-9)
    return (
        f"<br>第 {last['step']} 步 step · 损失 loss {last['loss']:.3f} · "
        f"{last['tokens']:,} 词元 tokens · {speed:,.0f}/s · {last['seconds']:.0f} s"
    )


def loss_svg(losses: Sequence[float], width: int = 640, height: int = 120) -> str:
    """Return losses as one line of SVG, from left to right, 0 at the bottom.

    >>> loss_svg([2.0, 1.0], 100, 10).split('points="')[1].split('"')[0]
    '0,0.0 100,5.0'
    """
    top, last = max(losses), max(1, len(losses) - 1)
    points = " ".join(
        f"{i * width // last},{height * (1 - loss / top):.1f}" for i, loss in enumerate(losses)
    )
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'style="background:#f7f7f7">'
        f'<polyline fill="none" stroke="{COLOURS[0]}" stroke-width="1.5" points="{points}"/></svg>'
    )


def question_box(student: Student, questions: Sequence[str] = ()) -> Any:
    """Ask the student: a menu of questions, a field for others, the answer as it is written.

    Headless: the menu as a list, and what the student answers to its first question.
    """
    # A page that nobody can click on shows what a click would have brought.
    if os.environ.get("MINILUOTUO_HEADLESS"):
        return asked_once(student, questions)

    # A small student answers few questions well, so those that it knows are there to pick.
    field = ipywidgets.Text(placeholder="问点什么…… ask something", layout={"width": "70%"})
    button, out = ipywidgets.Button(description="问 ask"), ipywidgets.Output()
    options = [("挑一个 pick one", ""), *((question, question) for question in questions)]
    menu = ipywidgets.Dropdown(options=options, layout={"width": "70%"})

    # An empty question would still be answered, with nonsense.
    def ask(_: object) -> None:
        out.clear_output()
        with out:
            if not field.value.strip():
                print("先写一个问题。 Write a question first.")
                return
            for piece in answer_pieces(student, field.value):
                print(piece, end="", flush=True)

    # What was picked can still be changed before it is asked.
    def pick(change: Mapping) -> None:
        field.value = change["new"]

    # Without questions there is no menu.
    menu.observe(pick, "value")
    button.on_click(ask)
    rows = [menu] * bool(questions) + [ipywidgets.HBox([field, button]), out]
    return ipywidgets.VBox(rows)


def asked_once(student: Student, questions: Sequence[str]) -> Page:
    """Return the menu of a question box, and the answer to its first question, as a page."""
    first, *others = questions or ["你好"]
    answer = "".join(answer_pieces(student, first))
    asked = f"<b>问</b> {lines(first)}<br><b>答</b> {lines(answer)}"
    also = f"<br>还可以问 also: {lines(' · '.join(others))}" if others else ""
    return html(asked + also)


def answer_pieces(student: Student, question: str) -> Iterator[str]:
    """Return what the student writes to a question, piece by piece."""
    from miniluotuo_utils.generation import stream
    from miniluotuo_utils.tokens import prompt_of

    return stream(student, prompt_of(student, {"instruction": question}))
