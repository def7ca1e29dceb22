"""Stage 02 against real loopback servers: the recorded
teacher for behaviour, pytest-httpserver for faults.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from miniluotuo_utils.files import DataError, read_jsonl
from miniluotuo_utils.prompts import joined
from miniluotuo_utils.records import check_row
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.teacher import (
    RecordedTeacher,
    Store,
    Teacher,
    diversity,
    example_guided,
    nearest_seed,
    open_teacher,
    parse_examples,
    respond,
    topic_guided,
)
from miniluotuo_utils.teacher.client import chat
from miniluotuo_utils.teacher.diversity import mattr
from miniluotuo_utils.teacher.guided import EXAMPLE_GUIDED, TOPIC_GUIDED_EN
from miniluotuo_utils.teacher.recorded import MODEL, NOT_RECORDED
from miniluotuo_utils.teacher.store import Reply, request_key
from miniluotuo_utils.text import folded

KEY = "sk-very-secret-4711"
BANK = [
    {
        "instruction": f"说说{topic}的第{i}个特点。",
        "input": "",
        "output": f"{topic}特点{i}。",
        "topic": topic,
    }
    for topic in ("茶叶", "高铁", "月亮")
    for i in range(8)
]
BANK.append({"instruction": "翻译成英文：", "input": "骆驼", "output": "camel", "topic": "语言"})
SEEDS = [{"instruction": f"种子问题{i}？", "input": ""} for i in range(5)]


@pytest.fixture(scope="session")
def make_httpserver():
    """The plugin's server answers one request at a time,
    so that nothing could ever arrive out of order.
    """
    with HTTPServer(host="127.0.0.1", threaded=True) as server:
        yield server


@pytest.fixture(autouse=True)
def no_teacher_variables(monkeypatch):
    """Tests see no teacher of the person who runs
    them, and no rate or money of theirs is touched.
    """
    for name in ("TEACHER_BASE_URL", "TEACHER_MODEL", "TEACHER_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def answer(text: str = "好。", finish_reason: str = "stop") -> dict:
    """A chat completion as a paid server sends it."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m-1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def serve(httpserver, script):
    """Answer with `script(question, how_often_asked)`, a dict,
    a Response or a status; returns the list of questions.
    """
    asked: list[str] = []
    lock = threading.Lock()

    def handler(request: Request) -> Response:
        question = request.get_json()["messages"][-1]["content"]
        with lock:
            asked.append(question)
            often = asked.count(question)
        result = script(question, often)
        if isinstance(result, int):
            error = {
                "error": {"message": f"status {result} for {request.headers.get('Authorization')}"}
            }
            return Response(
                json.dumps(error), result, {"Retry-After": "0.01"}, content_type="application/json"
            )
        return (
            result
            if isinstance(result, Response)
            else Response(json.dumps(result), content_type="application/json")
        )

    httpserver.expect_request("/v1/chat/completions", method="POST").respond_with_handler(handler)
    return asked


def teacher_at(httpserver, store=None, **options) -> Teacher:
    """A teacher on the faulty server."""
    return Teacher(httpserver.url_for("/v1"), "m", KEY, store, **{"max_retries": 2, **options})


def ask(teacher: Teacher, questions, **sampling) -> list[Reply]:
    """Plain questions, no progress bar."""
    return teacher.ask((chat(q) for q in questions), progress=False, **sampling)


def test_replies_keep_the_order_of_the_questions(httpserver):
    """Answers in the order of arrival would put every output beside somebody else's instruction."""

    def slow_first(question, often):
        time.sleep(0.2 if question == "0" else 0)
        return answer(f"答{question}")

    serve(httpserver, slow_first)
    assert [r.text for r in ask(teacher_at(httpserver), map(str, range(12)))] == [
        f"答{i}" for i in range(12)
    ]


def test_a_bare_text_is_no_request():
    """`ask(["你好"])` said `string indices must be integers`."""
    teacher = Teacher("http://127.0.0.1:9/v1", "m")
    with pytest.raises(ValueError, match="chat\\('你好'\\)"):
        teacher.ask(["你好"], progress=False)


def test_429_waits_as_long_as_retry_after_says(httpserver):
    """A client that hammers a rate-limited teacher is banned; one that gives up loses the row."""
    busy = Response("{}", 429, {"Retry-After": "0.4"}, content_type="application/json")
    asked = serve(httpserver, lambda question, often: busy if often == 1 else answer())
    started = time.perf_counter()
    assert ask(teacher_at(httpserver), ["问"])[0].usable
    assert time.perf_counter() - started >= 0.4
    assert len(asked) == 2


def test_a_request_that_always_fails_costs_no_other_and_shows_no_key(httpserver, tmp_path, caplog):
    """One poisoned row ended a night's run; and servers echo
    the key in their error, which then stood in the notebook.
    """
    caplog.set_level(logging.DEBUG)
    asked = serve(
        httpserver, lambda question, often: 500 if question == "坏" or often == 1 else answer()
    )
    teacher = teacher_at(httpserver, tmp_path / "s.sqlite")
    good, bad, last = ask(teacher, ["好", "坏", "也好"])
    assert good.usable
    assert last.usable
    assert asked.count("坏") == 3
    assert not bad.usable
    assert "500" in bad.error
    assert "***" in bad.error
    assert teacher.spent == {
        "asked": 3,
        "from_store": 0,
        "failed": 1,
        "prompt_tokens": 6,
        "completion_tokens": 4,
    }
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for place in (
        repr(teacher),
        repr(teacher.store),
        bad.error,
        caplog.text,
        stored.decode("utf-8", "replace"),
    ):
        assert KEY not in place
    assert caplog.text
    assert teacher.store.counts()["replies"] == 2


def test_a_failed_request_is_asked_again_next_time(httpserver):
    """A stored failure would stay a failure for ever."""
    serve(httpserver, lambda question, often: 400 if often == 1 else answer())
    teacher = teacher_at(httpserver)
    assert [ask(teacher, ["问"])[0].usable for _ in range(3)] == [False, True, True]
    assert teacher.spent["from_store"] == 1


def test_what_is_no_chat_completion_becomes_an_error(httpserver):
    """A log-in page with status 200, or a gateway's error
    object, must not end the run with an AttributeError.
    """
    page = Response("<html>log in</html>", 200, content_type="text/html")
    serve(
        httpserver,
        lambda question, often: (
            page if question == "页" else {"error": {"message": "no such model"}}
        ),
    )
    for reply in ask(teacher_at(httpserver), ["页", "错"]):
        assert not reply.usable
        assert "expected a chat completion" in reply.error


def test_a_slow_teacher_times_out(httpserver):
    """Without a timeout one hanging connection holds a worker for ever."""

    def hang(question, often):
        time.sleep(0.6)
        return answer()

    serve(httpserver, hang)
    reply = ask(teacher_at(httpserver, timeout=0.2, max_retries=0), ["问"])[0]
    assert "Timeout" in reply.error


def test_after_an_exception_only_what_is_missing_is_asked(httpserver, tmp_path):
    """A bad row in the middle made people pay twice for everything before it."""
    asked = serve(httpserver, lambda question, often: answer(f"答{question}"))

    def broken_rows():
        for i in range(40):
            if i == 25:
                raise KeyError("instruction")
            yield chat(str(i))

    first = teacher_at(httpserver, tmp_path / "s.sqlite", concurrency=4)
    with pytest.raises(KeyError):
        first.ask(broken_rows(), progress=False)
    assert sorted(asked, key=int) == [
        str(i) for i in range(25)
    ]  # what was in flight is finished and kept
    first.store.close()
    again = teacher_at(httpserver, tmp_path / "s.sqlite")
    replies = ask(again, map(str, range(40)))
    assert len(asked) == 40
    assert [r.cached for r in replies] == [i < 25 for i in range(40)]
    assert again.spent["from_store"] == 25


def test_a_killed_run_keeps_its_replies(tmp_path):
    """Colab kills without a word: a store that commits
    at the end, or in batches, would be empty then.
    """
    with RecordedTeacher(BANK) as server:
        store = str(tmp_path / "s.sqlite")
        script = f"""
import os, sys
from miniluotuo_utils.teacher import Teacher
teacher = Teacher({server.base_url!r}, {server.model!r}, store={store!r}, concurrency=1)
def rows():
    for i in range(8):
        if i == 5: os.kill(os.getpid(), 9)
        yield [{{"role": "user", "content": "说说茶叶的第%d个特点。" % i}}]
teacher.ask(rows(), progress=False)"""
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert Store(tmp_path / "s.sqlite").counts()["replies"] == 5


def test_other_sampling_is_another_question_and_equal_ones_are_asked_once(httpserver):
    """A key without the temperature returns the greedy
    answers for ever; one without sharing pays for duplicates.
    """
    asked = serve(httpserver, lambda question, often: answer())
    teacher = teacher_at(httpserver)
    for sampling in ({"temperature": 0}, {"temperature": 0.7}, {"temperature": 0, "top_p": None}):
        ask(teacher, ["问"] * 5, **sampling)
    assert len(asked) == 2
    assert teacher.spent["from_store"] == 13
    with pytest.raises(ValueError, match="found stream, expected"):
        ask(teacher, ["问"], stream=True)


def test_a_reply_that_was_cut_off_is_not_usable(httpserver):
    """Students that learn from answers cut at max_tokens learn to stop in mid-sentence."""
    serve(httpserver, lambda question, often: answer("半个回", "length"))
    reply = ask(teacher_at(httpserver), ["问"])[0]
    assert reply.text == "半个回"
    assert not reply.usable


def test_half_an_emoji_does_not_break_the_store(httpserver):
    """A reply cut inside a surrogate pair is no
    UTF-8: sqlite refused it, and the whole run ended.
    """
    body = json.dumps(answer("好\ud83d"))
    serve(httpserver, lambda question, often: Response(body, content_type="application/json"))
    teacher = teacher_at(httpserver)
    assert [ask(teacher, ["问"])[0].text for _ in range(2)] == ["好\ufffd"] * 2


def test_rows_are_read_lazily_and_never_more_than_concurrency_at_once(httpserver):
    """A million coroutines at once eat the memory; a
    provider's limit on open requests answers 429 to the rest.
    """
    lock, open_now, most, read = threading.Lock(), 0, 0, 0
    three = threading.Barrier(3)

    def count(question, often):
        nonlocal open_now, most
        with lock:
            open_now += 1
            most = max(most, open_now)
        # The first three wait for each other, so that a slow start shows no fewer.
        if int(question) < 3:
            three.wait(60)
        time.sleep(0.02)
        with lock:
            open_now -= 1
            assert read - len(done) <= 3 + 1
            done.append(question)
        return answer()

    def rows():
        nonlocal read
        for i in range(20):
            read += 1
            yield chat(str(i))

    done: list[str] = []
    serve(httpserver, count)
    replies = teacher_at(httpserver, concurrency=3, max_retries=0).ask(rows(), progress=False)
    assert all(r.usable for r in replies)
    assert most == 3


def test_requests_per_minute_spaces_requests(httpserver):
    """A burst at the start is what rate limits punish; retries count as requests there too."""
    asked = serve(httpserver, lambda question, often: 500 if often == 1 else answer())
    started = time.perf_counter()
    ask(teacher_at(httpserver, requests_per_minute=600), ["一", "二", "三"])
    assert len(asked) == 6
    assert time.perf_counter() - started >= 0.48


def test_ask_works_where_a_loop_is_running(httpserver):
    """In Jupyter a loop runs already: asyncio.run raises
    there, in the one place where the notebooks live.
    """
    serve(httpserver, lambda question, often: answer())

    async def cell():
        return ask(teacher_at(httpserver), ["问"])

    assert asyncio.run(cell())[0].usable


def in_jupyter(function):
    """Call something where a loop runs already, which leaves an interrupt as it is."""

    async def cell():
        function()

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(cell())
    finally:
        loop.close()


def in_a_shell(function):
    """Call something as a command does."""
    function()


@pytest.fixture
def interrupts():
    """Interrupts reach Python, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    yield lambda: signal.pthread_kill(main, signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("called", [in_jupyter, in_a_shell])
def test_the_stop_button_stops_paying(httpserver, interrupts, called, tmp_path):
    """In Jupyter the requests run in a thread, which an interrupt does not reach by itself: it
    went on asking. And what was on its way was paid for twice, as nobody waited for the reply.
    """

    def stop_at_the_tenth(question, often):
        if question == "9":
            interrupts()
        time.sleep(0.3)
        return answer()

    asked = serve(httpserver, stop_at_the_tenth)
    teacher = teacher_at(httpserver, tmp_path / "s.sqlite", concurrency=4)
    with pytest.raises(KeyboardInterrupt):
        called(lambda: ask(teacher, map(str, range(1000))))
    assert 10 <= len(asked) < 20
    assert all(teacher.stored(chat(question)) for question in asked)
    at_the_stop = len(asked)
    time.sleep(0.5)
    assert len(asked) == at_the_stop, "nothing is asked after it"


@pytest.mark.parametrize("called", [in_jupyter, in_a_shell])
def test_a_second_interrupt_waits_for_nothing(httpserver, interrupts, called, capsys):
    held = threading.Event()

    def slow(question, often):
        for wait in (0.3, 0.6):
            threading.Timer(wait, interrupts).start()
        held.wait(30)
        return answer()

    serve(httpserver, slow)
    begun = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        called(lambda: ask(teacher_at(httpserver), ["问"]))
    assert 0.5 < time.perf_counter() - begun < 10
    held.set()
    assert "waiting for 1 replies" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["TEACHER_BASE_URL", "TEACHER_MODEL", "TEACHER_API_KEY"])
def test_a_missing_variable_is_named_with_the_way_to_set_it(monkeypatch, missing):
    """`openai` names OPENAI_API_KEY, which is not the variable that this project reads."""
    values = {
        "TEACHER_BASE_URL": "https://teacher.invalid/v1",
        "TEACHER_MODEL": "m",
        "TEACHER_API_KEY": KEY,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, "" if name == missing else value)
    with pytest.raises(
        ValueError, match=rf'{missing} is not set.*os.environ\["{missing}"\]'
    ) as caught:
        Teacher()
    assert KEY not in str(caught.value)


def test_a_key_that_was_copied_badly_is_refused_without_being_shown():
    """A full-width character in the key fails deep in
    the HTTP library, with the key in the exception.
    """
    with pytest.raises(ValueError, match="TEACHER_API_KEY: found a character") as caught:
        Teacher("https://teacher.invalid/v1", "m", KEY + "，")
    assert KEY not in str(caught.value)
    assert Teacher("https://teacher.invalid/v1", "m", f" {KEY}\n")._key == KEY


def test_store_survives_many_threads(tmp_path):
    """sqlite connections refuse other threads, and
    two writers at once raise `database is locked`.
    """
    store, errors = Store(tmp_path / "s.sqlite"), []

    def write(start):
        try:
            for i in range(start, start + 50):
                store.put(str(i % 120), {"i": i}, Reply(f"答{i % 120}", "stop", 1, 1, "m"))
                assert store.get(str(i % 120)).text == f"答{i % 120}"
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(20 * n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert store.counts() == {
        "replies": 120,
        "finished": 120,
        "prompt_tokens": 120,
        "completion_tokens": 120,
    }


def test_damaged_store_is_named(tmp_path):
    """`file is not a database` says neither which file nor what to do."""
    (tmp_path / "teacher.sqlite").write_bytes(b"not sqlite at all " * 100)
    with pytest.raises(DataError, match=r"teacher\.sqlite: found a damaged file.*then run again"):
        Store(tmp_path / "teacher.sqlite")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder: .*expected a file that can be written"):
        Store(tmp_path / "folder")


def test_full_disk_is_named_and_keeps_what_is_stored(tmp_path):
    """A disk that fills up in the night must not cost the replies of the evening."""
    store = Store(tmp_path / "teacher.sqlite")
    store.put("first", {}, Reply("答", "stop"))
    pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
    store.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(
        OSError, match=r"disk full while writing teacher\.sqlite.*only what is missing"
    ):
        store.put("second", {}, Reply("长" * 100_000, "stop"))
    store.close()
    again = Store(tmp_path / "teacher.sqlite")
    assert again.get("first").text == "答"
    assert again.get("second") is None
    assert again.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_key_does_not_depend_on_where_or_who(tmp_path):
    """A key with the address or the API key in it pays again after every move or key change."""
    with RecordedTeacher(BANK) as one, RecordedTeacher(BANK) as two:
        assert one.model == two.model
        assert one.base_url != two.base_url
        for server, key in ((one, "a"), (two, "b")):
            teacher = Teacher(server.base_url, server.model, key, tmp_path / "s.sqlite")
            reply = teacher.ask_one(BANK[0]["instruction"], system="简洁。")
            teacher.store.close()
    assert reply.cached
    assert reply.text == "茶叶特点0。"
    stored = (
        sqlite3.connect(tmp_path / "s.sqlite")
        .execute("SELECT key, request FROM replies")
        .fetchall()
    )
    assert len(stored) == 1
    assert stored[0][0] == request_key(json.loads(stored[0][1]))


def post(url: str, body: bytes) -> tuple[int, dict]:
    """A raw POST, past the client and past any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, body)) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_recorded_teacher_speaks_the_protocol():
    """A stand-in that is not the real protocol proves
    nothing about the code that asks a paid teacher.
    """
    with RecordedTeacher(BANK) as server:
        url = f"{server.base_url}/chat/completions"
        body = {"model": server.model, "messages": chat("翻译成英文：\n骆驼")}
        status, reply = post(url, json.dumps(body).encode())
        assert status == 200
        assert reply["choices"][0] == {
            "index": 0,
            "message": {"role": "assistant", "content": "camel"},
            "logprobs": None,
            "finish_reason": "stop",
        }
        assert reply["usage"] == {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        assert reply["system_fingerprint"] == MODEL
        assert server.model.startswith(MODEL)
        cut = post(url, json.dumps({**body, "max_tokens": 2}).encode())[1]["choices"][0]
        assert (cut["message"]["content"], cut["finish_reason"]) == ("ca", "length")
        wrong = (
            b"{",
            b"[]",
            b'{"messages": []}',
            b'{"messages": [{"role": "user", "content": 1}]}',
            json.dumps({**body, "max_tokens": 0}).encode(),
            json.dumps({**body, "stream": True}).encode(),
        )
        for bad in wrong:
            status, reply = post(url, bad)
            assert status == 400, bad
            assert "expected" in reply["error"]["message"], bad
        assert post(server.base_url + "/embeddings", b"{}")[0] == 404


@pytest.mark.parametrize("language", ["zh", "en"])
def test_recorded_teacher_puts_the_named_topics_first(language):
    """Topic guidance that changes nothing would make the notebook's picture of topics a lie."""
    with RecordedTeacher(BANK) as server:
        teacher = Teacher(server.base_url, server.model)
        result = topic_guided(
            teacher,
            SEEDS,
            ["茶叶", "月亮"],
            4,
            topics_per_request=1,
            count=6,
            language=language,
            progress=False,
        )
    for row in result.rows:
        topics = [t for t in ("茶叶", "月亮") if f"{t}" in result.prompts[row["request"]]]
        assert len(topics) == 1
        assert topics[0] in row["instruction"]
    assert result.counts["generated"] == 24
    assert "6" in result.prompts[0]


def test_recorded_teacher_is_deterministic_and_never_repeats_the_given_examples():
    """Offline runs whose instructions change from day to day cannot be checked by CI."""
    seeds = [{"instruction": row["instruction"], "input": ""} for row in BANK[:6]]
    runs = []
    for _ in range(2):
        with RecordedTeacher(BANK) as server:
            runs.append(
                example_guided(
                    Teacher(server.base_url, server.model), seeds, 3, examples=6, progress=False
                )
            )
    assert runs[0].rows == runs[1].rows
    assert runs[0].counts["of_seed"] == 0
    assert runs[0].counts["unique"] == len(BANK) - 6


def test_open_teacher_says_which_teacher_it_is(monkeypatch, capsys, tmp_path):
    """Nobody should learn from the bill, or from the
    answers, which of the two teachers was asked.
    """
    monkeypatch.setenv(
        "TEACHER_API_KEY", KEY
    )  # a key alone, as many shells have one, is no paid teacher
    for cached in (False, True):
        with open_teacher(tmp_path / "s.sqlite", BANK) as teacher:
            assert teacher.ask_one(BANK[0]["instruction"]).cached is cached
    assert capsys.readouterr().out.count("录制的替身") == 1, "six times in one notebook"
    changed = [{**BANK[0], "output": "新的回答。"}]
    with open_teacher(
        tmp_path / "s.sqlite", changed
    ) as teacher:  # a store must not answer from an older bank
        assert teacher.ask_one(BANK[0]["instruction"]).text == "新的回答。"
    monkeypatch.setenv("TEACHER_BASE_URL", "https://teacher.invalid/v1")
    monkeypatch.setenv("TEACHER_MODEL", "big")
    capsys.readouterr()
    with open_teacher(tmp_path / "s.sqlite", BANK) as teacher:
        assert "big @ teacher.invalid" in repr(teacher)
    line = capsys.readouterr().out
    assert "big @ teacher.invalid" in line
    assert "cost" in line
    assert KEY not in line


def test_a_teacher_on_this_machine_is_asked_past_any_proxy(monkeypatch):
    """Classrooms set HTTP_PROXY; a request to 127.0.0.1
    then went to the proxy, which cannot reach it.
    """
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with RecordedTeacher(BANK) as server:
        assert (
            Teacher(server.base_url, server.model, max_retries=0)
            .ask_one(BANK[0]["instruction"])
            .usable
        )


def test_respond_gives_instruction_rows_and_says_what_it_left_out():
    """The stand-in's excuse, or half an answer, must not become
    training data; nor may a row vanish without a reason.
    """
    rows = [
        {**BANK[-1], "source": "topic_guided"},
        {"instruction": "没有录过的？", "input": ""},
        BANK[0],
    ]
    with RecordedTeacher(BANK) as server:
        teacher = Teacher(server.base_url, server.model)
        anew = {"overwrite": True, "progress": False}
        good, bad = respond(teacher, rows, **anew)
        cut = respond(teacher, [BANK[0]], **anew, max_tokens=2, language="en")[1]
    assert [check_row(row)["output"] for row in good] == ["camel", "茶叶特点0。"]
    assert good[0] == {
        "instruction": "翻译成英文：",
        "input": "骆驼",
        "output": "camel",
        "source": f"topic_guided+{server.model}",
    }
    assert [row["instruction"] for row in bad] == ["没有录过的？"]
    assert "no answer" in bad[0]["reason"]
    assert "'length'" in cut[0]["reason"]


def test_prompts_are_those_of_lamini():
    """Results are compared with LaMini-LM's: a changed word in its prompt is another experiment."""
    lines = "\n".join(f"<example>{x}</example>" for x in "abc")
    assert EXAMPLE_GUIDED["en"].format(examples=lines, count=20) == (
        "<example>a</example>\n<example>b</example>\n<example>c</example>\n\n"
        "Generate 20 diverse examples that are similar to the provided examples.\n"
        "You do not need to provide a response to the generated examples.\n"
        "Each example must include an instruction.\n"
        "Each generated instruction can be either an imperative sentence or a question.\n"
        'Each example must start with the label "<example>" and end with the label "</example>".'
    )
    assert TOPIC_GUIDED_EN.format(examples=lines, count=20, topics="A, B, C").splitlines()[4] == (
        "Generate 20 diverse examples that are similar to the provided examples "
        'with the topics "A, B, C".'
    )


def test_guided_counts_every_example_once(httpserver):
    """Duplicates of seeds inflated LaMini's 270 K; a count that does not add up hides them."""
    texts = ["新的一问", "种子问题 0?", "新的，一问。", "另一问"]
    reply = "好的：\n" + "\n".join(f"<example>{t}</example>" for t in texts) + "\n<example>没写完"
    serve(httpserver, lambda question, often: answer(reply, "length"))
    result = example_guided(teacher_at(httpserver), SEEDS, 2, progress=False)
    assert [row["instruction"] for row in result.rows] == ["新的一问", "另一问"]
    assert result.rows[0] == {
        "instruction": "新的一问",
        "input": "",
        "source": "example_guided",
        "request": 0,
    }
    assert result.counts == {
        "requests": 2,
        "failed": 0,
        "generated": 8,
        "of_seed": 2,
        "repeated": 4,
        "unique": 2,
        "unparsable": 4,
    }
    assert result.unparsable[:2] == ["好的：", "没写完"]
    assert len(result.prompts) == 2


def test_guided_failures_are_told_and_more_requests_keep_the_first_prompts(httpserver):
    """Prompts that change with the number of requests throw
    away the store; a failed request must not pass as silence.
    """
    serve(httpserver, lambda question, often: 400)
    teacher = teacher_at(httpserver)
    few, more = (example_guided(teacher, SEEDS, n, progress=False) for n in (2, 5))
    assert more.prompts[:2] == few.prompts
    assert len(set(more.prompts)) > 1
    assert more.counts["failed"] == 5
    assert "request 0: 400 from " in more.failures[0]
    with pytest.raises(ValueError, match="seeds: found 2, expected at least the 3"):
        example_guided(teacher, SEEDS[:2], 1)
    with pytest.raises(ValueError, match="language: found 'fr'"):
        example_guided(teacher, SEEDS, 1, language="fr")


@pytest.mark.parametrize(
    ("text", "found", "dropped"),
    [
        ("<example>甲</example>\n<example>乙</example>", ["甲", "乙"], []),
        ("```xml\n1. <example>甲</example>\n2、<Example> 乙 </EXAMPLE >\n```", ["甲", "乙"], []),
        ("<example><example>甲</example></example>", ["甲"], []),
        ("<example>甲\n<example>乙</example>", ["甲", "乙"], []),
        ("<example>甲\n2. <example>乙</example>", ["甲", "乙"], []),
        ("<example>甲</example>\n乙</example>", ["甲", "乙"], []),
        ("<example>1. 甲</example><example>3.5加4等于几？</example>", ["甲", "3.5加4等于几？"], []),
        ("<example>甲</example>\n<example>没写", ["甲"], ["没写"]),
        ("好的，示例如下：\n<example>甲</example>", ["甲"], ["好的，示例如下："]),
        ("好的：\n甲</example>", [], ["好的：\n甲"]),
        ("1. 甲\n2. 乙", ["甲", "乙"], []),
        ("<example></example>", [], []),
        ("", [], []),
    ],
)
def test_parse_examples_by_hand(text, found, dropped):
    """Each of these forms came from a real model, and a parser
    of one regular expression lost or glued its examples.
    """
    assert parse_examples(text) == (found, dropped)


PIECES = st.sampled_from(
    [
        "<example>",
        "</example>",
        "< example >",
        "</Example>",
        "\n",
        "1. ",
        "```",
        "甲",
        "写诗。",
        "<",
        "3.5",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=25).map("".join)))
def test_parse_examples_never_raises_and_leaves_no_tag(text):
    """One odd reply among a hundred thousand must not
    end the run, nor teach a student to write tags.
    """
    found, dropped = parse_examples(text)
    for piece in found + dropped:
        assert piece == piece.strip()
        assert piece
        assert "<example>" not in piece
        assert "</example>" not in piece


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text("甲乙写诗？。abc ", min_size=1).map(str.strip).filter(bool), max_size=8),
    st.booleans(),
)
def test_parse_examples_returns_what_was_wrapped(texts, numbered):
    """A clean reply must come back whole, numbered or not."""
    lines = [f"{i}. " * numbered + f"<example>{text}</example>" for i, text in enumerate(texts, 1)]
    assert parse_examples("\n".join(lines)) == (texts, [])


def test_folding_keeps_numbers_apart():
    """Folding all punctuation made 3.5 and 35, 3-1 and 31 the same question."""
    assert folded("写　一首诗！") == folded("写一首诗")
    assert folded("ＡＢ？") == "ab"
    assert len({folded(t) for t in ("3.5元", "35元", "3-1", "31", "C++", "C")}) == 6


def test_measures_by_hand():
    """A measure that is off by a window cannot be compared with LaMini's table."""
    assert mattr(list("aabb"), 2) == pytest.approx(100 * (1 + 2 + 1) / 3 / 2)
    assert mattr("a" * 60) == pytest.approx(2.0)
    assert mattr([]) == 0.0
    assert mattr("ab", 50) == 100.0
    text = "".join(chr(0x4E00 + i * i % 37) for i in range(200))
    slow = sum(len(set(text[i : i + 50])) / 50 for i in range(151)) / 151 * 100
    assert mattr(text) == pytest.approx(slow)
    assert diversity([]) == {
        "count": 0,
        "unique": 0.0,
        "mean_chars": 0.0,
        "mattr": 0.0,
        "mattr_words": 0.0,
    }
    assert nearest_seed(["写一首诗"], ["写一首歌", "完全不同"]) == [pytest.approx(2 / 4)]
    assert nearest_seed(["甲"], []) == [0.0]


def test_mattr_does_not_measure_the_order_of_a_file():
    """The same 400 instructions had 83.5 in the order of their file and 87.4 shuffled: one order
    was compared with another as if methods differed."""
    rows = [row["instruction"] for row in read_jsonl(EMBEDDED / "bank.jsonl")]
    running = "".join("".join(text.split()) for text in rows)
    there, back = (diversity(texts)["mattr"] for texts in (rows, rows[::-1]))
    assert abs(there - back) < 0.5
    assert there - mattr(running) > 2


def test_the_embedded_bank_answers_itself():
    """A bank row that cannot be found again is an offline notebook full of excuses."""

    rows = read_jsonl(EMBEDDED / "bank.jsonl")
    questions = {joined(row["instruction"], row["input"]) for row in rows}
    assert len(questions) == len(rows)
    assert NOT_RECORDED not in {row["output"] for row in rows}


def test_importing_the_stage_stays_light():
    """openai takes half a second to import: nobody who only parses should wait for it."""
    heavy = ("openai", "aiohttp", "tqdm", "torch")
    script = (
        f"import sys, miniluotuo_utils.teacher; print([m for m in {heavy} if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
