"""Servers as they are met: gateways, redirects, odd addresses, answers in strange wrappings.

What is held: the key and the questions go to the server that was named and to no other, no secret
stands in a message, nothing is paid for over and over, half an answer is no answer.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress

import pytest
from loopback import Sent, Server, completion

from miniluotuo_utils.teacher import Teacher
from miniluotuo_utils.teacher.client import chat
from miniluotuo_utils.teacher.wire import Failure, broken, recoded, refusal, retry_after, to_reply

KEY = "sk-very-secret-4711"
BUSY = {"error": {"message": "slow down"}}


@pytest.fixture(autouse=True)
def no_teacher_variables(monkeypatch):
    """No teacher and no proxy of the person who runs the tests is asked."""
    for name in ("TEACHER_BASE_URL", "TEACHER_MODEL", "TEACHER_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def ask_at(address: str, **options):
    """The reply of a teacher at an address to one question."""
    teacher = Teacher(address, "m", KEY, **{"max_retries": 8, **options})
    return teacher.ask([chat("问")], progress=False)[0]


# ---- addresses


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("/v1?api-version=3", "/v1/chat/completions?api-version=3"),
        ("/a/chat/completions?api-version=3", "/a/chat/completions?api-version=3"),
        ("/v1/#top", "/v1/chat/completions"),
        ("", "/chat/completions"),
    ],
)
def test_addresses_as_manuals_give_them(written, path):
    """`…/v1?api-version=3` was asked at `/v1?api-version=3/chat/completions`, the whole URL of the
    service at `/chat/completions/chat/completions`."""
    with Server(lambda request, times: completion()) as server:
        assert ask_at(server.root + written).text == "好。"
        assert [request["path"] for request in server.asked] == [path]


@pytest.mark.parametrize(
    "address",
    [
        "http://me:hidden-word@127.0.0.1:{port}/v1",
        "ftp://me:hidden-word@127.0.0.1/v1",
        "http://127.0.0.1:99999/v1?key=hidden-word",
        "http://[::1/v1?key=hidden-word",
    ],
)
def test_an_address_that_cannot_be_asked_is_refused_and_shows_no_secret(address):
    """A name and a password were tried nine times a row, and stood in every message."""
    with (
        Server(lambda request, times: completion()) as server,
        pytest.raises(ValueError, match="TEACHER_BASE_URL") as error,
    ):
        ask_at(address.format(port=server.http.server_address[1]))
    assert "hidden-word" not in str(error.value)
    assert not server.asked


@pytest.mark.parametrize(
    "address",
    [
        "host/v1?key=hidden-word",
        "host/v1？key=hidden-word",
        "htps://host/v1?key=hidden-word",
        "me:hidden-word@host/v1",
        "http:/me:hidden-word@host/v1",
        "http://me:hidden-word/7@host/v1",
        "http://me:hidden-word 7@host/v1",
    ],
)
def test_an_address_with_a_slip_in_it_shows_no_secret(address):
    """Only behind a whole http:// was a key or a password taken out of the message."""
    with pytest.raises(ValueError, match="TEACHER_BASE_URL.*host/v1") as error:
        Teacher(address, "m", KEY)
    assert "hidden-word" not in str(error.value)


@pytest.mark.parametrize(
    "sent",
    [
        Sent({"error": "no key hidden-word"}, 400),
        Sent(b"<p>POST /v1?key=hidden-word", 404, "text/html"),
        Sent({"error": "bad"}, 301, headers={"Location": "http://else/v1?key=hidden-word"}),
        Sent(completion(), headers={"Content-Encoding": "gzip"}),
    ],
)
def test_no_secret_of_an_address_stands_in_a_message(sent):
    """Some servers want their key in the query."""
    with Server(lambda request, times: sent) as server:
        try:
            said = ask_at(f"{server.base_url}?key=hidden-word").error
        except ValueError as error:
            said = str(error)
    assert "hidden-word" not in said
    assert server.base_url in said


def test_a_key_in_quotes_is_refused():
    """`set TEACHER_API_KEY="sk-..."` keeps the quotes on Windows: every request came back 401."""
    with pytest.raises(ValueError, match="a quote") as error:
        Teacher("http://127.0.0.1:9/v1", "m", f'"{KEY}"')
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    "page",
    [
        "key sk+very/secret==",
        "<a href='/?k=sk%2Bvery%2Fsecret%3D%3D'>",
        "<p>sk&#43;very&#x2F;secret&equals;&equals;</p>",
        '{"error": "sk+very\\/secret\\u003d="}',
    ],
)
def test_a_key_is_masked_however_a_page_writes_it(page):
    """A key of base64 stands in pages with escapes."""
    failure = refusal(401, page.encode(), "http://h/v1", secrets=["sk+very/secret=="])
    assert "secret" not in str(failure)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_what_is_no_json_is_refused_before_it_is_sent(value):
    """`--param temperature=NaN` went out as it was, and came back as status 400 for every row."""
    with pytest.raises(ValueError, match="sampling: .*expected what JSON can hold"):
        Teacher("http://127.0.0.1:9/v1", "m", KEY).ask_one("问", temperature=value)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("max_tokens is too large: 100000. This model supports at most 4096 tokens", "request"),
        ("'max_tokens' or 'max_completion_tokens' is too large: 100000", "request"),
        ("Invalid value for safety_settings", "request"),
        ("Unsupported parameter: safetySettings", "request"),
        ("prompt is too large: 9000 tokens", "too long"),
        ("blocked for SAFETY", "filtered"),
    ],
)
def test_a_parameter_is_no_matter_of_the_row(said, kind):
    """Too large a max_tokens passed for a row that is too long: every row failed, to the last."""
    failure = refusal(400, json.dumps({"error": {"message": said}}).encode(), "http://h")
    assert failure.kind == kind


# ---- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_server_takes_nothing_along(status):
    """The questions went to whatever host a 307 named, and its answers were kept as the teacher's;
    301 became GET."""
    with (
        Server(lambda request, times: completion("别人")) as other,
        Server(
            lambda request, times: Sent(b"", status, headers={"Location": other.base_url})
        ) as server,
    ):
        with pytest.raises(ValueError, match=f"{other.base_url}, another server.*BASE_URL"):
            ask_at(server.base_url)
        assert not other.asked
        assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 308])
def test_a_redirect_of_the_same_server_is_followed_by_post(status):
    """A 301 was followed by GET, without the question."""

    def script(request, times):
        moved = request["path"] == "/v1/chat/completions"
        return Sent(b"", status, headers={"Location": "/v2/x"}) if moved else completion()

    with Server(script) as server:
        assert ask_at(server.base_url).text == "好。"
        assert [request["path"] for request in server.asked] == ["/v1/chat/completions", "/v2/x"]


def test_redirects_in_a_circle_end():
    """Nothing to wait for."""
    moved = Sent(b"", 307, headers={"Location": "/v1/chat/completions"})
    with Server(lambda request, times: moved) as server:
        with pytest.raises(ValueError, match="redirects"):
            ask_at(server.base_url)
        assert len(server.asked) <= 4


# ---- when to come again


@pytest.mark.parametrize("value", ["0", "-3", "nan", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_moment_that_is_past_is_none_to_wait_for(value):
    """`Retry-After: 0`, or a server's clock that is behind: all nine tries within a second."""
    assert retry_after(value) is None


@pytest.mark.parametrize(
    ("status", "said", "kind", "wait"),
    [
        (429, "You exceeded your current quota. Please retry in 23.4s.", "busy", 23.4),
        (429, "You exceeded your current quota, check your billing", "quota", None),
        (429, "Rate limit reached. Please try again in 1m5s", "busy", 65),
        (429, "rate limit: please retry after 10 seconds", "busy", 10),
        (503, "请 20 秒后重试", "server", 20),
        (429, "insufficient_quota; retry in 3s", "quota", 3),
        (425, "too early", "server", None),
    ],
)
def test_a_server_may_say_in_words_when_to_come_again(status, said, kind, wait):
    """A quota of a minute was taken for an empty account: the run ended after five rows."""
    failure = refusal(status, json.dumps({"error": {"message": said}}).encode(), "http://h")
    assert failure.kind == kind
    assert kind == "quota" or failure.wait == wait


# ---- paid for over and over


@pytest.mark.parametrize(
    "sent",
    [
        Sent(b"<h1>Gateway Time-out</h1>", 504, "text/html"),
        Sent(b"error code: 524", 524, "text/plain"),
        Sent(completion(), headers={"Content-Encoding": "gzip"}),
        Sent(completion(), headers={"X Bad": "name"}),
        Sent(completion(), headers={"X-Long": "x" * 20_000}),
    ],
)
def test_what_was_perhaps_paid_for_is_asked_for_twice_at_most(sent):
    """Behind a gateway that waits a minute an answer of two was bought nine times."""
    with Server(lambda request, times: sent) as server:
        reply = ask_at(server.base_url)
        assert reply.error
        assert len(server.asked) == 2


def test_a_connection_that_is_cut_after_a_silence_was_a_gateways():
    """Balancers cut a connection on which nothing is said for a minute."""
    early, late = (broken(ConnectionResetError("x"), "http://h", t, 600) for t in (1, 61))
    assert (early.kind, early.most) == ("connection", None)
    assert (late.kind, late.most, late.billed) == ("gateway", 1, True)


def test_signs_of_life_without_an_answer_end():
    """Gateways send a space or a remark every few seconds while they wait: one dead server behind
    them held the run for ever."""

    def drip(listener):
        connection, _ = listener.accept()
        with connection, suppress(OSError):  # until the client has gone
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                connection.sendall(b" ")
                time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        assert "answers take longer than" in ask_at(address, timeout=0.2, max_retries=0).error


SILENT = [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": None}]


@pytest.mark.parametrize("choices", [{}, {"choices": []}, {"choices": None}, {"choices": SILENT}])
def test_an_error_with_status_200_is_what_its_code_says(choices, tmp_path):
    """With an empty `choices` beside it, it was kept as an answer nobody can read, for ever."""
    error = {"error": {"message": "slow down", "code": 429}, **choices}
    with Server(lambda request, times: Sent(error if times < 4 else completion())) as server:
        assert ask_at(server.base_url, store=tmp_path / "s.sqlite").text == "好。"
    gone = {"error": {"message": "no such model", "code": 404}, **choices}
    with Server(lambda request, times: gone) as server, pytest.raises(ValueError, match="404 from"):
        ask_at(server.base_url)


@pytest.mark.parametrize("more", [{}, {"usage": {"prompt_tokens": 9, "completion_tokens": 0}}])
def test_an_error_in_a_silent_choice_is_an_error(more, tmp_path):
    """Routers put it there; it was kept as an empty answer, for ever."""
    bad = {"error": {"message": "slow down", "code": 429}, "finish_reason": "error"}
    fault = {"choices": [{**SILENT[0], **bad}], **more}
    with Server(lambda request, times: fault if times < 3 else completion()) as server:
        assert ask_at(server.base_url, store=tmp_path / "s.sqlite").text == "好。"


def test_words_beside_an_error_are_half_an_answer():
    """Without an end they were taken for a whole one."""
    choice = {"message": {"content": "一半"}, "finish_reason": None}
    body = json.dumps({"choices": [choice], "error": {"message": "gone"}})
    assert to_reply(body.encode()).mark() == "cut"


def test_a_stream_of_an_error_without_a_word_is_no_answer():
    """It was kept as an empty one, for ever."""
    body = piece("") + '\n\ndata: {"error": {"message": "gone"}}\n\n'
    with pytest.raises(Failure, match="gone"):
        to_reply(body.encode())


EMPTY = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
FAULTS = {
    "OpenAI": {"error": {"message": "slow down", "code": 429}, "choices": []},
    "MiniMax": {"base_resp": {"status_code": 1002, "status_msg": "slow"}, "choices": None},
    "Baidu": {"error_code": 18, "error_msg": "qps limit", "result": ""},
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_error_beside_an_empty_usage_is_an_error(name, tmp_path):
    """With a `usage` beside it, it was kept as an answer nobody can read, for ever."""
    fault = {**FAULTS[name], "usage": EMPTY}
    with Server(lambda request, times: fault if times < 3 else completion()) as server:
        assert ask_at(server.base_url, store=tmp_path / "s.sqlite").text == "好。"


def test_an_empty_account_behind_status_200_is_said_and_not_stored(tmp_path):
    """It was asked for twice a row and stored, row by row, as what nobody can read."""
    told = {"status_code": 1008, "status_msg": "insufficient balance"}
    body = {"choices": None, "usage": EMPTY, "base_resp": told}
    with Server(lambda request, times: body) as server:
        assert "insufficient balance" in ask_at(server.base_url, store=tmp_path / "s").error
        assert len(server.asked) == 1
        server.script = lambda request, times: completion()
        assert ask_at(server.base_url, store=tmp_path / "s").text == "好。"


def test_an_error_behind_tokens_that_were_written_is_an_answer_that_was_paid_for(tmp_path):
    """What the server counted, it bills: such an answer is asked for once more and never again."""
    body = {"error": {"message": "oops"}, "choices": [], "usage": {"completion_tokens": 5}}
    with Server(lambda request, times: body) as server:
        for _ in range(2):
            ask_at(server.base_url, store=tmp_path / "s.sqlite")
        assert len(server.asked) == 2


@pytest.mark.parametrize("body", [b"", b'{"id": "x", "mod'])
def test_half_a_body_was_perhaps_paid_for_and_is_asked_for_twice_at_most(body):
    """An empty body, or half of one, was booked as paid for, and asked for nine times."""
    with Server(lambda request, times: Sent(body)) as server:
        assert "expected a chat completion" in ask_at(server.base_url).error
        assert len(server.asked) == 2


def test_a_proxy_that_is_not_there_is_named_as_one(monkeypatch):
    """The advice was to check the teacher's address."""
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://me:hidden-word@127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    teacher = Teacher("http://teacher.invalid/v1", "m", KEY, max_retries=0)
    with pytest.raises(ValueError, match="HTTPS_PROXY or ALL_PROXY") as error:
        teacher.ask([chat(f"问{i}") for i in range(60)], progress=False)
    assert "hidden-word" not in str(error.value)


# ---- answers in strange wrappings


def piece(text: str, **more: object) -> str:
    """One event of a stream."""
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}, **more}]})


WHOLE = json.dumps(completion(), ensure_ascii=False)
TWO = [{"index": 1, "message": {"content": "乙"}}, {"index": 0, "message": {"content": "好。"}}]
WRAPPED = {
    "signs of life": ": waiting\n\n" * 9 + WHOLE,
    "a guard": ")]}'\n" + WHOLE,
    "a remark behind": WHOLE + "\n<!-- 3 ms -->",
    "a list of one": f"[{WHOLE}]",
    "UTF-16": WHOLE.encode("utf-16"),
    "GBK": WHOLE.encode("gbk"),
    "several answers": json.dumps({"choices": TWO}),
    "the first is empty": json.dumps({"choices": [{}, TWO[1]]}),
    "lines end in CR": piece("好。") + "\r\rdata: [DONE]\r\r",
    "a stream with an end": piece("好。") + "\n\n" + piece("", finish_reason="stop"),
    "two streams in one": piece("好。") + "\n\n" + piece("坏", index=1) + "\n\ndata: [DONE]",
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_paid_answer_is_read_in_any_wrapping(name):
    """Each of these was paid for twice and lost; in GBK it was kept as broken characters."""
    body = WRAPPED[name]
    body = body if isinstance(body, bytes) else body.encode()
    reply = to_reply(recoded(body, "GBK" if name == "GBK" else None))
    assert (reply.text, reply.usable) == ("好。", True)


@pytest.mark.parametrize(
    "end", ["", "\n\n", '\n\ndata: {"error": {"message": "overloaded"}}\n\n', "\n\n: cut"]
)
def test_a_stream_that_breaks_off_is_no_whole_answer(end):
    """Half an answer was kept as a good one."""
    reply = to_reply((piece("一半") + end).encode())
    assert (reply.text, reply.mark()) == ("一半", "cut")


def test_one_piece_of_many_is_no_answer():
    """A stream of bare JSON lines must not end with its first piece."""
    lines = "\n".join(piece(text)[6:] for text in "好的")
    with pytest.raises(Exception, match="expected a chat completion"):
        to_reply(lines.encode())
