"""Draw `images/page_*.png`: the page of a student, typed in and pressed in a real browser.

    python scripts/draw_page.py [FOLDER]

On the page stand the embedded student after some minutes on the embedded questions and names, and
beside it the same as it is shipped. Every answer in the pictures is one that was given. Needs
Chromium and a Chinese font on this machine.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

from miniluotuo_utils.export.trying import chromium
from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.ie import build_instructions, schema_of
from miniluotuo_utils.runtime import EMBEDDED, repository
from miniluotuo_utils.show.demo import opened, page
from miniluotuo_utils.show.talk import answer_of
from miniluotuo_utils.students import finetune, load_student

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from miniluotuo_utils.students import Student

QUESTION = "用一句话介绍杭州。"
TEXT = "1082年，苏轼在黄州写下《赤壁赋》，那时他在东坡上种地。"
TYPES = "人物，地点，作品，时间"
COLOURS = 128  # a page has few: a third of the bytes


def trained() -> Student:
    """Return the embedded student after some minutes of names and questions."""
    records = read_jsonl(EMBEDDED / "ner_train.jsonl")
    rows = build_instructions(records, "NER", schema_of(records, "NER"))
    student = load_student("tiny")
    talk = read_jsonl(EMBEDDED / "bank.jsonl")
    finetune(student, rows + talk, epochs=2, batch_size=8, learning_rate=1e-3)
    return student


def talked(tab: Page, mine: str, _: str) -> None:
    """Ask a question, and wait for the whole answer."""
    tab.fill("#question textarea", QUESTION)
    tab.press("#question textarea", "Enter")
    tab.wait_for_function("text => document.body.innerText.includes(text)", arg=mine)


def extracted(tab: Page, *_: str) -> None:
    """Extract from a text."""
    tab.get_by_role("tab", name="抽取").click()
    tab.fill("#text textarea", TEXT)
    tab.fill("#types textarea, #types input", TYPES)
    tab.click("#extract")
    tab.wait_for_selector("#found p")


def compared(tab: Page, _: str, other: str) -> None:
    """Ask two students the same."""
    tab.get_by_role("tab", name="比一比").click()
    tab.fill("#both-question textarea, #both-question input", QUESTION)
    tab.click("#both-ask")
    done = "text => document.querySelector('#right textarea').value === text"
    tab.wait_for_function(done, arg=other)


def main(folder: Path) -> None:
    """Open the page, use it, and keep a picture of every tab."""
    if chromium() is None:
        raise SystemExit("没有浏览器。 No browser here: install chromium")
    students = {"my-student": trained(), "tiny": load_student("tiny")}
    answers = [[*answer_of(student, QUESTION)][-1] for student in students.values()]
    made = page(students)
    address = opened(made)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 860, "height": 640}, device_scale_factor=2)
        tab.set_default_timeout(300_000)
        tab.goto(address)
        tab.wait_for_selector("#question textarea")
        for name, use in {"chat": talked, "extract": extracted, "both": compared}.items():
            use(tab, *answers)
            tab.wait_for_timeout(1_000)  # for buttons and frames that fade
            target = folder / f"page_{name}.png"
            tab.screenshot(path=target)
            with Image.open(target) as picture:
                picture.convert("RGB").quantize(COLOURS).save(target, optimize=True)
        browser.close()
    made.close(verbose=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else repository() / "images")
