"""The page of a student: typed in, pressed and read in a browser; nothing but itself can be got."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from miniluotuo_utils.export.trying import chromium
from miniluotuo_utils.ie import extract
from miniluotuo_utils.show.page import html, plain
from miniluotuo_utils.show.talk import (
    MOST,
    answer_of,
    checked_text,
    extracted,
    fitting_prompt,
    record_page,
    schema_from,
)

gradio = pytest.importorskip("gradio", reason="no Gradio here: install the extra serve")
from miniluotuo_utils.show import demo  # noqa: E402

BROWSER = chromium()
EVIL = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


@pytest.fixture(scope="module")
def address(tiny):
    """The page of the embedded student, twice, as visitors see it."""
    made = demo.page({"tiny": tiny, "tiny 2": tiny})
    yield demo.opened(made, port=free_port())
    made.close(verbose=False)


def free_port():
    """A port that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here")
    if BROWSER is None:
        pytest.skip("no browser here: install chromium to open the page")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def tab(browser, address):
    """The page, opened; what it asks of other hosts is in `asked`."""
    tab = browser.new_page(viewport={"width": 1100, "height": 900})
    tab.set_default_timeout(120_000)
    tab.asked = []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.goto(address)
    tab.wait_for_selector("#question textarea")
    yield tab
    tab.close()


def test_a_visitor_talks_and_reads_the_answer(tab, tiny, address):
    """A page that loads and answers nothing, or answers what another prompt gives."""
    [*_, wanted] = answer_of(tiny, "你好")
    tab.fill("#question textarea", "你好")
    tab.press("#question textarea", "Enter")
    tab.wait_for_function("text => document.body.innerText.includes(text)", arg=wanted)
    others = [url for url in tab.asked if not url.startswith((address, "data:", "blob:"))]
    assert not others, others


def test_tags_in_a_talk_are_text(tab):
    """`<b>` was bold, and an address in `<img>` was looked up from every visitor's browser."""
    tab.fill("#question textarea", f"<b>粗</b>{EVIL}")
    tab.press("#question textarea", "Enter")
    tab.get_by_text("<b>粗</b>").first.wait_for()
    assert tab.locator("[aria-label*=chatbot] img[src=x], .message b, .message img").count() == 0
    assert tab.title() == "迷你骆驼 Mini-Luotuo"


def test_a_visitor_extracts_and_reads_colours(tab, tiny):
    """Names without their colours, or a text that runs in the page."""
    text = f"苏轼在黄州写下《赤壁赋》。{EVIL}"
    tab.get_by_role("tab", name="抽取").click()
    tab.fill("#text textarea", text)
    tab.fill("#types textarea, #types input", "人物，地点，作品，<b>机构</b>")
    tab.click("#extract")
    tab.wait_for_selector("#found p")
    found = extracted(tiny, text, "人物，地点，作品，<b>机构</b>")
    assert tab.locator("#found mark").count() == plain(record_page(found)).count("［")
    assert "<script>" in tab.inner_text("#found")
    assert tab.title() == "迷你骆驼 Mini-Luotuo"
    colours = tab.eval_on_selector_all("#found mark", "all => all.map(m => m.style.background)")
    assert all(colours)


def test_what_a_visitor_does_wrong_is_said(tab):
    """“Error”, and no word more."""
    tab.get_by_role("tab", name="抽取").click()
    tab.fill("#text textarea", "")
    tab.click("#extract")
    tab.get_by_text("先写一句话").wait_for()
    tab.fill("#text textarea", "长" * 100_000)
    tab.click("#extract")
    tab.get_by_text("太长：100,000 个字").wait_for()


def test_two_students_answer_side_by_side(tab, tiny):
    """The second answer in the first one's place."""
    [*_, wanted] = answer_of(tiny, "你好")
    tab.get_by_role("tab", name="比一比").click()
    tab.fill("#both-question textarea, #both-question input", "你好")
    tab.click("#both-ask")
    for place in ("#left", "#right"):
        tab.wait_for_function(
            "([place, text]) => document.querySelector(place + ' textarea').value === text",
            arg=[place, wanted],
        )


def test_fifty_visitors_wait_and_none_is_lost(address, tiny):
    """The queue turned people away, or mixed their texts up."""
    from concurrent.futures import ThreadPoolExecutor

    from gradio_client import Client

    client = Client(address, verbose=False)
    task = next(iter(demo.TASKS))
    texts = [f"第{number}个人去了大理。" for number in range(50)]
    jobs = [client.submit(text, task, "地点", api_name="/extract") for text in texts]
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda job: job.result(timeout=600), jobs))
    for text, page in zip(texts, found, strict=True):
        assert page == html(record_page(extracted(tiny, text, "地点"))).data


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file=/etc/passwd",
        "file=/etc/passwd",
        "gradio_api/file=README.md",
        "gradio_api/file=pyproject.toml",
        "static/../../../../etc/passwd",
        "theme.css/../../etc/passwd",
    ],
)
def test_no_file_of_the_machine_can_be_got(address, path):
    """A page that lends out the folder in which it was started."""
    import httpx

    assert httpx.get(f"{address}{path}").status_code in (403, 404)


def test_no_file_of_another_page_can_be_got(address):
    """Gradio lends whatever lies in the folder that all Gradio programs of a person share."""
    import httpx
    from gradio.utils import get_upload_folder

    folder = Path(get_upload_folder()) / "of another page"
    folder.mkdir(parents=True, exist_ok=True)
    other = folder / "a.txt"
    other.write_text("private")
    try:
        found = httpx.get(f"{address}gradio_api/file={other}")
    finally:
        other.unlink()
        folder.rmdir()
    assert found.status_code == 404


def test_no_address_is_fetched_for_a_visitor(address, monkeypatch):
    """`file=https://…` made this machine ask anybody anything."""
    import httpx
    import safehttpx

    looked_up = []
    monkeypatch.setattr(safehttpx, "async_validate_url", looked_up.append)
    for path in ("gradio_api/file=https://example.com", "gradio_api/proxy=https://example.com"):
        assert httpx.get(f"{address}{path}").status_code == 404
    assert not looked_up


def test_the_environment_opens_no_door(tiny, monkeypatch):
    """`GRADIO_ALLOWED_PATHS=/`, set for another program, lent out the whole disk; a page whose name
    is made to point here asked from the reader's browser."""
    import httpx

    monkeypatch.setenv("GRADIO_ALLOWED_PATHS", "/")
    monkeypatch.setenv("GRADIO_MCP_SERVER", "true")
    monkeypatch.setenv("GRADIO_CACHE_EXAMPLES", "true")
    made = demo.page({"tiny": tiny})
    address = demo.opened(made, port=free_port(), hosts=["127.0.0.1"])
    try:
        there = f"{address}gradio_api/file={Path(__file__).resolve()}"
        assert httpx.get(there).status_code == 404
        assert made.blocked_paths == [Path.cwd().anchor]
        assert not made.mcp_server
        assert httpx.get(address, headers={"host": "example.org"}).status_code == 400
        assert httpx.post(address, content=b" " * (5 << 20)).status_code == 413
    finally:
        made.close(verbose=False)


def test_nothing_can_be_left_on_the_machine(address):
    """Visitors filled the disk through a door that the page does not even show."""
    import httpx

    files = {"files": ("a.txt", b"x" * 100_000)}
    assert httpx.post(f"{address}gradio_api/upload", files=files).status_code >= 400


def test_no_file_is_left_in_the_package(address):
    """Gradio writes `demo.pyi` beside a module with a component of its own."""
    assert not list(Path(demo.__file__).parent.glob("*.pyi"))


def test_a_port_in_use_is_said(tiny):
    """A stack of Python for the most ordinary mistake."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        made = demo.page({"tiny": tiny})
        with pytest.raises(ValueError, match="有人在用.*is in use"):
            demo.opened(made, port=held.getsockname()[1])


def test_a_notebook_without_a_reader_leaves_no_page_open(tiny, monkeypatch):
    """A run of all notebooks that never ends, since a server of the kernel still runs."""
    import httpx

    monkeypatch.setenv("MINILUOTUO_HEADLESS", "1")
    with pytest.raises(httpx.ConnectError):
        httpx.get(demo.in_notebook(demo.page({"tiny": tiny})))


def test_a_notebook_shows_one_page(tiny, monkeypatch):
    """A cell that was run twice left the first page open, and its student in memory."""
    import httpx

    monkeypatch.delenv("MINILUOTUO_HEADLESS", raising=False)
    first = demo.in_notebook(demo.page({"tiny": tiny}))
    assert httpx.get(first).is_success
    second = demo.in_notebook(demo.page({"tiny": tiny}))
    assert httpx.get(second).is_success
    if second != first:
        with pytest.raises(httpx.ConnectError):
            httpx.get(first)
    [last] = demo.OPEN
    demo.OPEN.clear()
    last.close(verbose=False)


def test_a_proxy_does_not_stand_before_the_page(tiny, monkeypatch):
    """“When localhost is not accessible, a shareable link must be created”, behind any proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "example.org")
    made = demo.page({"tiny": tiny})
    assert demo.opened(made, port=free_port()).startswith("http://127.0.0.1:")
    made.close(verbose=False)


# ---- what stands behind the page, the boxes and the terminal


def test_texts_that_cannot_be_asked(tiny):
    """A wait of an hour, a stack of Python, a silence."""
    for text in ("", " \n", "长" * 100_000, "半个\ud83d字"):
        with pytest.raises(ValueError, match="[\u4e00-\u9fff].* [a-z]"):
            checked_text(text)
        with pytest.raises(ValueError, match="[\u4e00-\u9fff].* [a-z]"):
            extracted(tiny, text, "人物")
        with pytest.raises(ValueError, match="[\u4e00-\u9fff].* [a-z]"):
            list(answer_of(tiny, text))
    with pytest.raises(ValueError, match="上下文只有.*context holds"):
        list(answer_of(tiny, "山" * tiny.context))
    with pytest.raises(ValueError, match="收购方"):
        schema_from("收购", "EE")
    with pytest.raises(ValueError, match="写几个类型.*Write some types"):
        schema_from("，，")


def test_a_long_talk_forgets_its_first_turns(tiny):
    """The tenth question of a lesson filled the context, and from then on nothing was answered."""
    history = [[f"第{n}问" + "山" * 300, "好"] for n in range(5)]
    prompt = fitting_prompt(tiny, "还在吗", history)
    assert "第4问" in prompt
    assert "第0问" not in prompt
    assert "第0问" in fitting_prompt(tiny, "还在吗", history[:1])
    assert "第1问" not in fitting_prompt(tiny, "还在吗", history)


def test_a_question_that_was_refused_does_not_shift_the_talk():
    """After one error every question stood in an answer's place."""
    talk = [("user", "长" * 9), ("user", "甲"), ("assistant", "乙"), ("user", "丙")]
    history = [{"role": role, "content": text} for role, text in talk]
    assert demo.turns_of(history) == [["甲", "乙"]]


def test_a_talk_from_a_browser_has_an_end():
    """The question had a limit, what came before it none: a browser may send what it likes."""
    talk = [("user", "问"), ("assistant", "长" * 10_000)] * 200
    turns = demo.turns_of([{"role": role, "content": text} for role, text in talk])
    assert len(turns) == demo.TURNS
    assert {len(text) for turn in turns for text in turn} == {1, MOST}


def test_what_the_page_finds_is_what_extract_finds(tiny):
    """Another prompt behind the button than in notebook 05."""
    text, types = "苏轼在黄州写下《赤壁赋》。", ["人物", "地点"]
    wanted = extract(tiny, [text], types, "NER", confidence=True).records[0]
    assert extracted(tiny, text, "人物、地点") == wanted
    assert all(f"{one['confidence']:.0%}"[:-1] in record_page(wanted) for one in wanted["entities"])


def test_boxes_of_a_notebook_do_the_same(tiny, monkeypatch):
    """A button that shows nothing; a printed notebook that shows an empty box."""
    from miniluotuo_utils.show import boxes

    monkeypatch.setenv("MINILUOTUO_HEADLESS", "1")
    [*_, wanted] = answer_of(tiny, "你好")
    assert wanted in repr(boxes.chat_box(tiny, ["你好"]))
    assert "黄州" in repr(boxes.extraction_box(tiny, "苏轼在黄州。", "地点"))
    monkeypatch.delenv("MINILUOTUO_HEADLESS")

    live = boxes.ChatBox(tiny, ["你好"])
    live.question.value = "你好"
    live.ask.click()
    assert live.history == [["你好", wanted]]
    assert wanted in plain(live.said.value)
    # A double click: the second time the field is empty.
    live.ask.click()
    assert live.history == [["你好", wanted]]
    assert wanted in plain(live.said.value)
    live.question.value = "长" * 10_000
    live.ask.click()
    assert "太长" in live.said.value
    assert not live.ask.disabled
    live.clear.click()
    assert live.history == []

    # While it answers nobody asks.
    monkeypatch.setattr(boxes, "answer_of", lambda *_: iter([f"问得了吗？{not live.ask.disabled}"]))
    live.question.value = "在吗"
    live.ask.click()
    assert live.history == [["在吗", "问得了吗？False"]]
    assert not live.ask.disabled

    form = boxes.ExtractionBox(tiny, EVIL, "地点", "NER")
    form.press.click()
    assert "<script>" not in form.found.value
    form.types.value = ""
    form.press.click()
    assert "Write something first" in form.found.value


def test_a_terminal_remembers_and_forgets(tiny):
    """An order was asked as a question, or a slip ended the talk."""
    from miniluotuo_utils.jobs.chat import chat

    said = []
    lines = ["你好", "/preset nothing", "/preset extract", "长" * 6_000, "/clear", "在吗", "/quit"]
    history = chat(tiny, [*lines, "不再问"], max_new_tokens=12, write=said.append)
    assert [user for user, _ in history] == ["在吗"]
    told = "".join(said)
    for words in ("expected one of extract, chat, creative", "太长", "忘掉了", history[0][1]):
        assert words in told
