"""Forms in a live notebook, and their static tables where it runs headless.

In: records, sheets, trainings. Out: widgets or HTML. Shown in notebooks 00, 01, 02, 04 and 05.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.show.html import html, marked, shown, table
from miniluotuo_utils.show.plots import COLOURS

if TYPE_CHECKING:
    from IPython.display import HTML

    from miniluotuo_utils.evaluation.grading import Sheet
    from miniluotuo_utils.students import Student, Training


def explorer(sources: Mapping[str, Sequence[Mapping]], count: int = 3, seed: int = 42) -> Any:
    """Random rows of a source, of one type if wanted, with their spans in colour: a form in a live notebook, a static table headless."""
    import random

    from miniluotuo_utils.records import TASKS

    if os.environ.get("MINILUOTUO_HEADLESS"):
        picks = {
            name: random.Random(seed).sample(list(rows), min(count, len(rows)))
            for name, rows in sources.items()
        }
        return html(
            "".join(
                f"<p><b>{escape(name)}</b><br>" + "<br>".join(map(shown, rows)) + "</p>"
                for name, rows in picks.items()
            )
        )
    import ipywidgets

    def kinds(row: Mapping) -> set[str]:
        return {item["type"] for field in TASKS.values() for item in row.get(field) or []}

    source = ipywidgets.Dropdown(options=list(sources), description="来源 source")
    kind = ipywidgets.Dropdown(description="类型 type")
    button, out = ipywidgets.Button(description="换一批 more"), ipywidgets.HTML()

    def draw(_: object = None) -> None:
        rows = [
            row
            for row in sources[source.value]
            if kind.value in (None, "全部 all") or kind.value in kinds(row)
        ]
        out.value = "<br>".join(
            f"<p>{shown(row)}</p>" for row in random.sample(rows, min(count, len(rows)))
        )

    def renew(_: object = None) -> None:
        kind.options = [
            "全部 all",
            *sorted({k for row in sources[source.value] for k in kinds(row)}),
        ]
        draw()

    source.observe(renew, "value")
    kind.observe(draw, "value")
    button.on_click(draw)
    renew()
    return ipywidgets.VBox([ipywidgets.HBox([source, kind, button]), out])


def error_examples(
    found: Sequence[Mapping], names: Mapping[str, str], count: int = 3, seed: int = 42
) -> Any:
    """Sentences for each kind of error of `ie.errors` (NER), the item in colour: a choice in a live notebook, a static table headless.

    `names`: kind -> how it is shown.
    """
    import random

    groups: dict[str, list[str]] = {kind: [] for kind in names}
    for sentence in found:
        for item in sentence["entities"]:
            sides = [("标准 gold", item["gold"]), ("学生 student", item["pred"])]
            shown = [
                f"<b>{side}</b> {marked({**sentence, 'entities': [thing]})}{unplaced(thing)}"
                for side, thing in sides
                if thing
            ]
            if item["kind"] in groups:
                groups[item["kind"]].append("<br>".join(shown))
    drawn = {
        kind: random.Random(seed).sample(texts, min(count, len(texts)))
        for kind, texts in groups.items()
    }
    if os.environ.get("MINILUOTUO_HEADLESS"):
        return html(
            "".join(
                f"<p><b>{escape(names[kind])}</b>（{len(groups[kind])}）<br>"
                + "<br>".join(texts)
                + "</p>"
                for kind, texts in drawn.items()
            )
        )
    import ipywidgets

    kind = ipywidgets.Dropdown(
        options=[(f"{name}（{len(groups[k])}）", k) for k, name in names.items()],
        description="错误 error",
    )
    button, out = ipywidgets.Button(description="换一批 more"), ipywidgets.HTML()

    def draw(_: object = None) -> None:
        texts = groups[kind.value]
        out.value = "".join(
            f"<p>{text}</p>" for text in random.sample(texts, min(count, len(texts)))
        )

    kind.observe(draw, "value")
    button.on_click(draw)
    draw()
    return ipywidgets.VBox([ipywidgets.HBox([kind, button]), out])


def unplaced(entity: Mapping) -> str:
    """What is said of an entity that its sentence does not hold; "" of one that has a place.

    >>> unplaced({"name": "杜甫", "type": "人物", "pos": None})
    '（不在句中 not in the sentence：杜甫 · 人物）'
    """
    return (
        ""
        if entity["pos"]
        else f"（不在句中 not in the sentence：{escape(entity['name'])} · {escape(entity['type'])}）"
    )


def rater(items: Sequence[Mapping], path: Path, name: str = "我", seed: int = 42) -> Any:
    """Grade answers A to D without seeing who wrote them: buttons, or type the letter. Each grade is in `path` (JSON Lines) at once.

    The order is shuffled by `seed`; what `name` has graded already is not shown again. Headless: a static table of the first answers.
    """
    import random

    from miniluotuo_utils.evaluation.grading import GRADES, item_key
    from miniluotuo_utils.files import read_jsonl

    done = (
        {row["item"] for row in read_jsonl(path) if row["rater"] == name}
        if path.is_file()
        else set()
    )
    left = [
        item
        for item in random.Random(seed).sample(list(items), len(items))
        if item_key(item) not in done
    ]
    if os.environ.get("MINILUOTUO_HEADLESS"):
        return table(
            [
                {
                    "问 asked": item["instruction"],
                    "答 answered": item["output"],
                    "等级 grade": " / ".join(GRADES),
                }
                for item in left[:3]
            ]
        )
    import ipywidgets

    shown_item, key = (
        ipywidgets.HTML(),
        ipywidgets.Text(placeholder="A B C D", layout={"width": "90px"}),
    )
    buttons = [
        ipywidgets.Button(description=f"{letter} {text.split(' ')[0]}", layout={"width": "auto"})
        for letter, text in GRADES.items()
    ]

    def show() -> None:
        shown_item.value = (
            shown(left[0]) + f"<p>还有 {len(left)} 条 left</p>"
            if left
            else "<b>评完了。 All graded.</b>"
        )

    def grade(letter: str) -> None:
        if left and letter in GRADES:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8") as file:
                file.write(
                    json.dumps(
                        {
                            "rater": name,
                            "item": item_key(left.pop(0)),
                            "grade": letter,
                            "time": time.time(),
                        },
                        ensure_ascii=False,
                    )
                    + "\n"
                )
        show()

    def typed(change: Mapping) -> None:
        if letter := change["new"].strip().upper():
            key.value = ""
            grade(letter[-1])

    for button, letter in zip(buttons, GRADES, strict=True):
        button.on_click(lambda _, letter=letter: grade(letter))
    key.observe(typed, "value")
    show()
    return ipywidgets.VBox([shown_item, ipywidgets.HBox([*buttons, key])])


def rating_form(sheet: Sheet) -> Any:
    """Grade all students' answers to an item blind, side by side: each click is on disk at once, "next" opens when every answer has a grade.

    It begins at the first item without all its grades and ends with the table, the first place that names the students; from there no way
    leads back. Headless: a static table of that item.
    """
    if os.environ.get("MINILUOTUO_HEADLESS"):
        return rating_table(sheet) if sheet.done else rating_page(sheet, sheet.next())
    import ipywidgets

    order, asked, answers, at = list(sheet.items), ipywidgets.HTML(), ipywidgets.VBox(), 0
    back, on = (
        ipywidgets.Button(description="上一题 back"),
        ipywidgets.Button(description="保存，下一题 next", button_style="primary"),
    )

    def show(place: int) -> None:
        nonlocal at
        at, ended = place, place == len(order)
        back.disabled = ended or place == 0
        asked.value = (
            rating_table(sheet).data if ended else asked_html(sheet, sheet.item(order[at]))
        )
        answers.children = () if ended else grade_choices(sheet, order[at], allow)
        allow()

    def allow() -> None:
        on.disabled = at == len(order) or not sheet.complete(order[at])

    def step(button: Any) -> None:
        if not button.disabled:  # a second click may come before the browser shows it grey
            show(at + 1 if button is on else at - 1)

    back.on_click(step)
    on.on_click(step)
    show(len(order) if sheet.done else order.index(sheet.next()["id"]))
    return ipywidgets.VBox([asked, answers, ipywidgets.HBox([back, on])])


def grade_choices(sheet: Sheet, name: str, saved: Callable[[], None]) -> list:
    """The answers to an item, each with radio buttons that show its grade so far and save a new one, then call `saved`."""
    import ipywidgets

    item, options = (
        sheet.item(name),
        [(f"{letter} {meaning}", letter) for letter, meaning in sheet.meanings.items()],
    )
    boxes = []
    for number, text in item["answers"].items():
        radio = ipywidgets.RadioButtons(
            options=options, value=item["grades"].get(number), layout={"width": "max-content"}
        )
        radio.observe(
            lambda change, number=number: (sheet.grade(name, {number: change["new"]}), saved()),
            "value",
        )
        boxes.append(ipywidgets.VBox([ipywidgets.HTML(answer_html(number, text)), radio]))
    return boxes


def asked_html(sheet: Sheet, item: Mapping) -> str:
    """How far the rater is, and what was asked, as HTML; under a question that invites hallucination what a good answer would say."""
    graded, count = sheet.progress
    asked = "<br>".join(
        escape(item[f]).replace("\n", "<br>") for f in ("instruction", "input") if item.get(f)
    )
    expected = (
        f"<br><i>参考 expected：{escape(item['expected'])}</i>" if item.get("expected") else ""
    )
    return f"<p>评完 graded {graded} / {count}</p><p><b>问</b> {asked}{expected}</p>"


def answer_html(number: str, text: str) -> str:
    """A numbered answer as HTML; an empty one says that it is."""
    return f"<b>答 {number}</b> " + (escape(text).replace("\n", "<br>") or "（空 empty）")


def rating_page(sheet: Sheet, item: Mapping) -> HTML:
    """One item as its rater sees it, without the buttons."""
    meanings = "<br>".join(
        f"{letter} {escape(meaning)}" for letter, meaning in sheet.meanings.items()
    )
    return html(
        asked_html(sheet, item)
        + "".join(f"<p>{answer_html(n, t)}</p>" for n, t in item["answers"].items())
        + f"<p>{meanings}</p>"
    )


def rating_table(sheet: Sheet) -> HTML:
    """The end of a sheet: the table of grades, with the students' names."""
    return html("<b>评完了。 All graded.</b>" + table(sheet.table()).data)


def live_loss(every: float = 1.0) -> Callable[[Training], None]:
    """What `finetune(show=…)` takes: the loss as a curve that grows in place, redrawn at most once in `every` seconds and at the end."""
    from IPython.display import display

    handle, drawn = display(html("…"), display_id=True), [0.0]

    def show(training: Training) -> None:
        if training.seconds or time.time() - drawn[0] >= every:
            drawn[0] = time.time()
            if handle:  # None outside a notebook
                handle.update(
                    html(loss_svg([line["loss"] for line in training.log]) + loss_words(training))
                )

    return show


def loss_words(training: Training) -> str:
    """Step, loss and speed of a training in one line of HTML."""
    last = training.log[-1]
    speed = last["tokens"] / max(last["seconds"], 1e-9)
    return f"<br>第 {last['step']} 步 step · 损失 loss {last['loss']:.3f} · {last['tokens']:,} 词元 tokens · {speed:,.0f}/s · {last['seconds']:.0f} s"


def loss_svg(losses: Sequence[float], width: int = 640, height: int = 120) -> str:
    """Losses as one line of SVG, from left to right, 0 at the bottom.

    >>> loss_svg([2.0, 1.0], 100, 10).split('points="')[1].split('"')[0]
    '0,0.0 100,5.0'
    """
    top, last = max(losses), max(1, len(losses) - 1)
    points = " ".join(
        f"{i * width // last},{height * (1 - loss / top):.1f}" for i, loss in enumerate(losses)
    )
    line = f'<polyline fill="none" stroke="{COLOURS[0]}" stroke-width="1.5" points="{points}"/>'
    return f'<svg width="{width}" height="{height}" style="background:#f7f7f7" viewBox="0 0 {width} {height}">{line}</svg>'


def question_box(student: Student) -> Any:
    """A text field and a button: ask the student, read the answer as it is written. Static when run headless."""
    import ipywidgets

    from miniluotuo_utils.generation import stream
    from miniluotuo_utils.prompts import prompt

    field = ipywidgets.Text(placeholder="问点什么…… ask something", layout={"width": "70%"})
    button, out = ipywidgets.Button(description="问 ask"), ipywidgets.Output()

    def ask(_: object) -> None:
        out.clear_output()
        with out:
            for piece in stream(student, prompt(field.value)):
                print(piece, end="", flush=True)

    button.on_click(ask)
    return ipywidgets.VBox([ipywidgets.HBox([field, button]), out])
