"""The correction form in a real Chromium, alone and in JupyterLab: keys, mouse, and what lies on
the disk."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from miniluotuo_utils.export.trying import chromium
from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.ie.corrections import Corrections
from miniluotuo_utils.show.correcting import SCRIPT, Form

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = chromium()
if CHROMIUM is None:
    pytest.skip("no chromium on this machine", allow_module_level=True)

TYPES = ["植物", "园区", "时间"]
WAIT = 180_000  # milliseconds: a busy machine starts JupyterLab and a kernel slowly
CELL = """
from miniluotuo_utils.ie.corrections import Corrections
from miniluotuo_utils.show import correction_form
texts = ["梅园的蜡梅开了。", "😀周六在东门集合。", "<img src=x onerror=alert(1)>闭园。", "雨停了。"]
records = [{"sentence": text, "entities": []} for text in texts]
records[1]["entities"] = [{"name": "周六", "type": "植物", "pos": [1, 3]}]
correction_form(Corrections("mine.jsonl", records, ["植物", "园区", "时间"]))
"""


@contextmanager
def lab(folder: Path):
    """JupyterLab on a free port of this machine, in a folder of its own; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "IPYTHONDIR")
    own = {name: str(folder / name.lower()) for name in places}
    environment = {k: v for k, v in os.environ.items() if k != "MINILUOTUO_HEADLESS"} | own
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([root, environment.get("PYTHONPATH", "")])
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
        *("--IdentityProvider.token=t", f"--ServerApp.root_dir={folder}"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
    ]
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}/lab/tree/form.ipynb?token=t"
    finally:
        server.terminate()
        server.wait(30)


def notebook(path: Path) -> None:
    """Write a notebook of one cell."""
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "source": CELL}
    book = {
        "cells": [cell | {"execution_count": None}],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(book), encoding="utf-8")


def opened(page, address: str):
    """Open the notebook as soon as the server answers, run its cell, and return the form."""
    for _ in range(WAIT // 1000):
        try:
            page.goto(address, timeout=WAIT)
            break
        except playwright.Error:
            time.sleep(1)
    page.locator(".jp-Notebook .cm-content").click(timeout=WAIT)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=WAIT)
    page.keyboard.press("Shift+Enter")
    form = page.locator(".miniluotuo-correcting")
    form.wait_for(timeout=WAIT)
    return form


def saved(path: Path, count: int) -> list[dict]:
    """Return the corrections on disk, as soon as there are so many."""
    for _ in range(WAIT // 100):
        lines = read_jsonl(path)[1:] if path.exists() else []
        if len(lines) >= count:
            return lines
        time.sleep(0.1)
    raise AssertionError(f"{count} corrections expected, {len(lines)} on disk")


def select(page, form, text: str) -> None:
    """Draw the mouse over a word of the sentence."""
    shown = form.locator("[data-at]")
    letters = shown.all_inner_texts()
    at = "".join(letters).index(text) if all(len(one) == 1 for one in letters) else None
    at = letters.index(text[0]) if at is None else at
    first, last = shown.nth(at).bounding_box(), shown.nth(at + len(text) - 1).bounding_box()
    page.mouse.move(first["x"] + 1, first["y"] + first["height"] / 2)
    page.mouse.down()
    page.mouse.move(last["x"] + last["width"] - 1, last["y"] + last["height"] / 2, steps=5)
    page.mouse.up()


def names(line: dict) -> list[tuple[str, str]]:
    return [(entity["name"], entity["type"]) for entity in line["entities"]]


# A page that draws the form as anywidget does, within a shadow root as a notebook may. What it
# sends is answered by Python when the test says `answer()`, as by a kernel that was busy.
STAND_IN = """
async ([source, first]) => {
  const drawn = await import("data:text/javascript;charset=utf-8," + encodeURIComponent(source));
  const place = document.createElement("div");
  document.body.append("外面 outside", place);
  const el = document.createElement("div");
  place.attachShadow({ mode: "open" }).appendChild(el);
  let state = first, told = () => {};
  window.sent = [];
  const model = {
    get: () => state, on: (_, act) => { told = act; }, off: () => {},
    send: (message) => window.sent.push(message),
  };
  window.answer = async () => {
    while (window.sent.length) state = await window.handle(window.sent.shift());
    told();
  };
  drawn.default.render({ model, el });
}
"""


@pytest.fixture
def browser():
    """A page of Chromium with room for the form."""
    with playwright.sync_playwright() as engine:
        found = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found.new_page(viewport={"width": 900, "height": 700})
        found.close()


def drawn(page, form: Form):
    """Draw a form in a page, without a notebook."""
    page.expose_function("handle", form.handle)
    page.evaluate(STAND_IN, [SCRIPT.read_text(encoding="utf-8"), form.state()])
    return page.locator(".miniluotuo-correcting")


def press(page, *keys: str) -> None:
    """Press keys one after the other, each answered."""
    for key in keys:
        page.keyboard.press(key)
        page.evaluate("answer()")


def test_the_keyboard_is_enough_and_safe(browser, tmp_path):
    """A key held down, or pressed twice before a busy kernel had answered, accepted sentences that
    nobody saw; with Shift still held 2 was @; nothing said whether keys were the form's."""
    form = Form(Corrections(tmp_path / "a.jsonl", sentences(), TYPES))
    shown = drawn(browser, form)
    outline = "one => getComputedStyle(one).outlineColor"
    before = shown.evaluate(outline)
    browser.keyboard.press("Tab")
    assert shown.evaluate(outline) != before
    assert shown.get_attribute("role") == "application" and shown.get_attribute("aria-label")

    # Shift is held from the selection to the digit; Escape lets go of a selection.
    press(browser, "Shift+ArrowRight", "Escape", "1")
    assert form.entities == []
    browser.keyboard.down("Shift")
    press(browser, "ArrowRight", "ArrowRight", "Digit2")
    browser.keyboard.up("Shift")
    assert form.entities == [{"name": "梅园", "type": "园区", "pos": [0, 2]}]
    assert "梅园 园区" in shown.locator("[aria-live]").inner_text()

    # Twice before the answer, and held down: one sentence each.
    browser.keyboard.press("Enter")
    browser.keyboard.press("Enter")
    browser.evaluate("answer()")
    assert form.corrections.progress == (1, 3)
    for _ in range(3):
        browser.keyboard.down("Enter")
        browser.evaluate("answer()")
    browser.keyboard.up("Enter")
    assert form.corrections.progress == (2, 3)

    # On a button, too, and the keys stay the form's when it is drawn anew.
    shown.get_by_role("button", name="accept").focus()
    press(browser, "Enter", "b")
    assert form.corrections.progress == (3, 3) and form.sentence == "雨停了。"


def test_a_selection_let_go_outside_of_the_form_counts(browser, tmp_path):
    """The mouse left the form before the button was let go, and the selection was lost; within a
    shadow root there was none at all."""
    form = Form(Corrections(tmp_path / "a.jsonl", sentences(), TYPES))
    letters = drawn(browser, form).locator("[data-at]")
    first, last = (letters.nth(at).bounding_box() for at in (3, 7))
    browser.mouse.move(first["x"] + 1, first["y"] + first["height"] / 2)
    browser.mouse.down()
    browser.mouse.move(last["x"] + last["width"] - 1, last["y"] + last["height"] / 2, steps=5)
    browser.mouse.move(last["x"] + last["width"], 690, steps=5)
    browser.mouse.up()
    press(browser, "1")
    [entity] = form.entities
    assert entity["type"] == "植物" and entity["pos"][0] == 3 and entity["pos"][1] >= 5

    # Pressed outside, it is none of the form's.
    browser.mouse.move(5, 5)
    browser.mouse.down()
    browser.mouse.up()
    press(browser, "1")
    assert len(form.entities) == 1


def sentences() -> list[dict]:
    """Three sentences with nothing proposed."""
    texts = ["梅园的蜡梅开了。", "😀周六在东门集合。", "雨停了。"]
    return [{"sentence": text, "entities": []} for text in texts]


def test_a_person_corrects_in_jupyterlab(tmp_path):
    """Keys went to JupyterLab's own commands (D D deletes a cell), and a drawn selection counted 😀
    as two characters."""
    pytest.importorskip("anywidget", reason="anywidget is not installed: no form is drawn")
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
    notebook(tmp_path / "form.ipynb")
    with lab(tmp_path) as address, playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        alerts = []
        page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
        try:
            form, path = opened(page, address), tmp_path / "mine.jsonl"

            # By mouse: draw over a word, press a type.
            select(page, form, "蜡梅")
            form.get_by_role("button", name="1 植物").click()
            form.locator("small", has_text="植物").wait_for(timeout=WAIT)
            # By keyboard: the first two characters.
            form.locator("[data-at]").first.click()
            for key in ("Shift+ArrowRight", "Shift+ArrowRight", "2"):
                page.keyboard.press(key)
            form.locator("small", has_text="园区").wait_for(timeout=WAIT)
            folder = os.environ.get("MINILUOTUO_PICTURES")
            if folder:
                form.screenshot(path=Path(folder) / "form.png")
            page.keyboard.press("Enter")
            [line] = saved(path, 1)
            assert names(line) == [("梅园", "园区"), ("蜡梅", "植物")]

            # Retype at the cursor, add behind an emoji, remove, undo: the keyboard alone.
            form.locator("[data-at]", has_text="😀").wait_for(timeout=WAIT)
            for key in ("ArrowRight", "3"):
                page.keyboard.press(key)
            form.locator("small", has_text="时间").wait_for(timeout=WAIT)
            select(page, form, "东门")
            page.keyboard.press("2")
            form.locator("small", has_text="园区").wait_for(timeout=WAIT)
            page.keyboard.press("Delete")
            form.locator("small", has_text="园区").wait_for(state="detached", timeout=WAIT)
            page.keyboard.press("z")
            form.locator("small", has_text="园区").wait_for(timeout=WAIT)
            page.keyboard.press("Enter")
            assert names(saved(path, 2)[1]) == [("周六", "时间"), ("东门", "园区")]

            # HTML of a sentence is text. Skipped, it stays open.
            form.locator("[data-at]", has_text="<").first.wait_for(timeout=WAIT)
            page.keyboard.press("n")
            form.locator("[data-at]", has_text="雨").wait_for(timeout=WAIT)
            form.get_by_role("button", name="accept").click()
            assert [line["sentence"] for line in saved(path, 3)][2] == "雨停了。"
            form.locator("[data-at]", has_text="<").first.wait_for(timeout=WAIT)
            assert not alerts and form.locator("img").count() == 0

            # Run again: it goes on where it was.
            page.locator(".jp-Notebook .cm-content").first.click()
            page.keyboard.press("Shift+Enter")
            page.get_by_text("3 / 4").first.wait_for(timeout=WAIT)
        finally:
            browser.close()
