"""Nothing is paid twice, nothing that was paid for is lost, and a run that cannot succeed stops.

Every test is a report from somebody who paid; the server is a real one on this machine.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys

import pytest
from loopback import Sent, Server, completion, question

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.files import read_jsonl, write_jsonl
from miniluotuo_utils.jobs.respond import respond_file
from miniluotuo_utils.teacher import Store, Teacher
from miniluotuo_utils.teacher.client import chat
from miniluotuo_utils.teacher.limits import Budget, BudgetReached
from miniluotuo_utils.teacher.store import COLUMNS, Reply, request_key

KEY = "sk-very-secret-4711"


@pytest.fixture(autouse=True)
def only_our_key(monkeypatch):
    """No teacher of the person who runs the tests is asked."""
    for name in ("TEACHER_BASE_URL", "TEACHER_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEACHER_API_KEY", KEY)


def at(server: Server, store=None, **options) -> Teacher:
    """A teacher on that server."""
    return Teacher(server.base_url, "m", KEY, store, **options)


def ask(teacher: Teacher, count: int, **sampling) -> list[Reply]:
    """So many different questions."""
    return teacher.ask([chat(f"问{i}") for i in range(count)], progress=False, **sampling)


def shell(server: Server, *words) -> int:
    """A command of the package, in this process."""
    return main([*map(str, words), "--base-url", server.base_url, "--model", "m"])


def rows_file(folder, count: int):
    """A file of so many questions."""
    path = folder / "rows.jsonl"
    write_jsonl(path, [{"instruction": f"问{i}"} for i in range(count)])
    return path


# ---- answers that take long


def test_an_answer_slower_than_the_limit_is_bought_twice_at_most(capfd):
    """At 3 s a reply and a limit of 1 s, two questions were bought 18 times and none was kept."""
    with Server(lambda request, times: Sent(delay=0.8)) as server:
        teacher = at(server, timeout=0.2)
        replies = ask(teacher, 2)
        assert len(server.asked) == 4
    assert all("answers take longer than 0.2 seconds" in reply.error for reply in replies)
    assert teacher.spent["timed_out"] == teacher.spent["uncounted"] == 4
    assert capfd.readouterr().err.count("raise timeout=") == 1, "said once, not once a try"
    assert Teacher(server.base_url, "m").timeout == 600, "reasoning takes minutes"


def test_one_slow_row_among_quick_ones_is_bought_twice_at_most():
    """The others' success must not make the client generous with the one that costs most."""
    slow = Sent(delay=0.8)
    with Server(
        lambda request, times: slow if question(request) == "问3" else {**completion()}
    ) as s:
        replies = ask(at(s, timeout=0.3, concurrency=2), 8)
        assert [question(r) for r in s.asked].count("问3") == 2
    assert [reply.usable for reply in replies] == [i != 3 for i in range(8)]


@pytest.mark.parametrize("fault", ["time-outs", "half bodies", "no usage"])
def test_every_try_is_set_aside_in_the_budget(fault):
    """A budget of 1,000 tokens let 15 silent answers of up to 136 tokens pass."""
    half = {"headers": {"Content-Encoding": "gzip"}, "body": b"\x1f\x8b"}
    sent = {"time-outs": {"delay": 0.5}, "half bodies": half, "no usage": {}}[fault]
    with Server(lambda request, times: Sent(**{"body": completion(usage=None), **sent})) as server:
        teacher = at(server, timeout=0.15, max_retries=2, budget=Budget(tokens=1000), concurrency=3)
        with pytest.raises((BudgetReached, ValueError)):
            ask(teacher, 40, max_tokens=100)
        worst = 100 + 32 + len("问0".encode())
        assert len(server.asked) * worst <= 1000, len(server.asked)
    assert not [reply for reply in teacher.spent.items() if reply[1] < 0]


# ---- answers in odd wrappings

PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "先想"}]},
    {"type": "text", "text": "答"},
    {"type": "text", "text": "案"},
]
EVENTS = "".join(
    f"data: {json.dumps({'model': 'm-1', 'choices': [{'delta': delta}]})}\n\n"
    for delta in (
        {"role": "assistant"}, {"reasoning_content": "先想"}, {"content": "答"}, {"content": "案"}
    )
)  # fmt: skip  # a table
LAST = {"choices": [], "usage": {"prompt_tokens": "3", "completion_tokens": 2}}
PLAIN = json.dumps(completion("答案"), ensure_ascii=False)
WRAPPINGS = {
    "JSON sent as text": Sent(PLAIN.encode(), kind="text/plain"),
    "JSON without a type": Sent(PLAIN.encode(), kind=""),
    "blank lines before it, as DeepSeek keeps a line open": Sent(b"\n\n\n" + PLAIN.encode()),
    "a byte order mark": Sent(b"\xef\xbb\xbf" + PLAIN.encode()),
    "events, not asked for": Sent(
        (EVENTS + f": ping\n\ndata: {json.dumps(LAST)}\n\ndata: [DONE]\n\n").encode(),
        kind="text/event-stream",
    ),
    "parts, as Mistral's": Sent(completion(PARTS)),
    "a part alone": Sent(completion({"type": "text", "text": "答案"})),
    "parts as texts": Sent(completion(["答", "案"])),
    "a bare text": Sent(completion(choices=[{"text": "答案", "finish_reason": "stop"}])),
    "usage as text": Sent(completion("答案", usage={"prompt_tokens": "3"})),
    "usage as a list": Sent(completion("答案", usage=[1])),
    "usage that is absurd": Sent(completion("答案", usage={"prompt_tokens": -1})),
    "usage beyond sqlite": Sent(completion("答案", usage={"completion_tokens": 1e30})),
    "a model as object": Sent(completion("答案", model={"name": "m"})),
    "a reason as object": Sent(completion("答案", {"type": "stop"})),
    "no reason": Sent(completion("答案", None)),
    "eos": Sent(completion("答案", "eos")),
    "STOP": Sent(completion("答案", "STOP")),
    "end_turn": Sent(completion("答案", "end_turn")),
    "gibberish in model": Sent(completion("答案", model="\ud83d")),
}  # fmt: skip  # a table


@pytest.mark.parametrize("name", WRAPPINGS)
def test_a_paid_answer_is_kept_however_it_is_wrapped(name, tmp_path):
    """Each of these was bought nine times and thrown away, or ended the run with the replies."""
    with Server(lambda request, times: WRAPPINGS[name]) as server:
        teacher = at(server, tmp_path / "s.sqlite")
        replies = ask(teacher, 3)
        assert len(server.paid) == 3
        assert [reply.cached for reply in ask(at(server, tmp_path / "s.sqlite"), 3)] == [True] * 3
    assert {reply.text for reply in replies} == {"答案"}
    assert all(reply.usable for reply in replies)
    assert {reply.thoughts for reply in replies} <= {"", "先想"}
    assert Store(tmp_path / "s.sqlite").export(tmp_path / "all.jsonl") == 3
    assert {row["mark"] for row in read_jsonl(tmp_path / "all.jsonl")} == {"usable"}


def test_one_wrong_byte_spoils_one_character():
    """One invalid byte in the UTF-8 lost the whole answer, on every run."""
    body = (
        json.dumps(completion("一二三"), ensure_ascii=False)
        .encode()
        .replace("二".encode(), b"\xe4")
    )
    with Server(lambda request, times: Sent(body)) as server:
        assert ask(at(server), 1)[0].text == "一�三"
        assert len(server.paid) == 1


@pytest.mark.parametrize(
    "body",
    [
        completion(choices=[]),
        completion(choices=None),
        completion(choices=[{"index": 0}]),
        completion(choices={"0": 1}),
        {"result": "答案", "usage": {"completion_tokens": 5}},
        b'{"choices": [{"message": {"content": "\xe5\xa5',
    ],
)
def test_an_answer_that_cannot_be_read_is_asked_for_once_more_and_never_again(body, tmp_path):
    """`choices: []` was bought nine times a run, and on every run."""
    with Server(lambda request, times: Sent(body)) as server:
        [reply] = ask(at(server, tmp_path / "s.sqlite"), 1)
        assert len(server.paid) == 2
        assert "expected a chat completion" in reply.error
        again = ask(at(server, tmp_path / "s.sqlite"), 1)[0]
        assert len(server.paid) == 2, "another run does not pay for it unless it is told to"
        assert again.mark() == "empty"
        assert "unreadable" in again.why_unusable()
        server.script = lambda request, times: completion("答案")
        assert ask(at(server, tmp_path / "s.sqlite", retry=["empty"]), 1)[0].text == "答案"


def test_the_reply_is_stored_before_anything_is_counted(tmp_path, monkeypatch):
    """A TypeError in the bookkeeping once cost three paid replies."""
    with Server(lambda request, times: completion("答案")) as server:
        teacher = at(server, tmp_path / "s.sqlite")
        monkeypatch.setattr(teacher.tokens, "correct", lambda difference: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ask(teacher, 1)
        assert ask(at(server, tmp_path / "s.sqlite"), 1)[0].text == "答案"
        assert len(server.paid) == 1


# ---- bad replies


def bad_then_well(request: dict, times: int) -> dict:
    """A server that cuts 问1, says nothing to 问2 and refuses 问3 the first time."""
    bad = {
        "问1": completion("半个回", "length"),
        "问2": completion(None),
        "问3": completion("抱歉，我无法提供帮助。"),
    }
    return bad.get(question(request), completion("好。")) if times == 1 else completion("全。")


def test_bad_replies_are_asked_for_again_alone(tmp_path, capsys):
    """The advice "ask with other parameters" paid for every row once more."""
    rows, out, store = rows_file(tmp_path, 6), tmp_path / "out.jsonl", tmp_path / "s.sqlite"
    with Server(bad_then_well) as server:
        assert shell(server, "respond", rows, out, "--store", store) == 2
        said = capsys.readouterr().err
        assert "--retry cut,empty,refused asks again for just those" in said
        assert "no max_tokens was given" in said
        assert not out.exists()
        assert shell(server, "respond", rows, out, "--store", store, "--retry", "cut") == 2
        assert len(server.paid) == 7
        again = ("--store", store, "--retry", "cut,empty,refused")
        assert shell(server, "respond", rows, out, *again) == 0
        assert len(server.paid) == 9
        assert shell(server, "respond", rows, out, *again) == 0, "what is well now stays"
        assert len(server.paid) == 9
    assert [row["output"] for row in read_jsonl(out)] == [
        "好。",
        "全。",
        "全。",
        "全。",
        "好。",
        "好。",
    ]
    # What was paid for and replaced is still there, and in the sum.
    assert Store(store).counts()["completion_tokens"] == 18
    assert sqlite3.connect(store).execute("SELECT text FROM earlier").fetchall()[0] == ("半个回",)


def test_a_bad_reply_that_stays_bad_is_asked_for_once_a_run(tmp_path):
    """A loop until it is good is a loop that pays for ever."""
    with Server(lambda request, times: completion(" ")) as server:
        teacher = at(server, tmp_path / "s.sqlite", retry=("empty",))
        teacher.ask([chat("问")] * 5, progress=False)
        assert len(server.paid) == 1
        at(server, tmp_path / "s.sqlite", retry=("empty",)).ask([chat("问")] * 5, progress=False)
        assert len(server.paid) == 2
    with pytest.raises(ValueError, match="retry: found short, expected some of cut, empty"):
        Teacher("http://127.0.0.1:9/v1", "m", retry=["short"])


def test_refusals_can_be_taken_as_answers(tmp_path):
    """A set of refusals is what some people want to train on."""
    rows, out = rows_file(tmp_path, 2), tmp_path / "out.jsonl"
    with Server(lambda request, times: completion("抱歉，我无法提供帮助。")) as server:
        words = ("respond", rows, out, "--store", tmp_path / "s.sqlite")
        assert shell(server, *words) == 2
        assert shell(server, *words, "--accept", "refused") == 0
        assert len(server.paid) == 2
    assert len(read_jsonl(out)) == 2


# ---- budgets and parameters


def test_unknown_costs_are_unknown():
    """`estimate` said that 500 answers would cost 0.0: the server had reported no usage."""
    prices = {"prompt": 1.0, "completion": 2.0}
    questions = [chat(f"问{i}") for i in range(10)]
    with Server(lambda request, times: completion(usage=None)) as server:
        found = at(server, budget=Budget(prices=prices)).estimate(questions, sample=3)
        assert (found["sampled"], found["cost"], found["completion_tokens"]) == (3, None, None)
        # Some count, others do not: those that do stand for all.
        server.script = lambda request, times: completion(
            **({"usage": None} if "问1" in question(request) else {})
        )
        found = at(server, budget=Budget(prices=prices)).estimate(questions, sample=10)
        assert found["completion_tokens"] == 20
        assert found["cost"] == pytest.approx((10 * 3 * 1 + 10 * 2 * 2) / 1e6)
        assert at(server).estimate(questions)["cost"] is None, "no prices, no cost"


def test_the_help_says_what_a_budget_counts(capsys):
    """600 tokens allowed, 900 spent in three runs: each began at 0 and nobody had said so."""
    with pytest.raises(SystemExit):
        main(["respond", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("that this run may spend (earlier runs are not counted)") == 2
    for flag in ("--timeout", "--max-retries", "--retry", "--param", "--overwrite", "--accept"):
        assert flag in said


@pytest.mark.parametrize(
    "wrong",
    [{"tokens": -1}, {"money": -0.5, "prices": {"prompt": 1, "completion": 1}},
     {"prices": {"prompt": -1, "completion": 1}}, {"tokens": float("nan")}],
)  # fmt: skip  # a table
def test_a_negative_budget_is_refused(wrong):
    """It passed for no budget at all."""
    with pytest.raises(ValueError, match="expected 0 or more"):
        Budget(**wrong)


def test_extra_body_is_merged_and_part_of_the_key():
    """Every client merges it; here the server got a field *named* extra_body, and thought on."""
    with Server(lambda request, times: completion()) as server:
        teacher = at(server)
        ask(teacher, 1, extra_body={"enable_thinking": False, "top_k": 5}, temperature=0)
        ask(teacher, 1, enable_thinking=False, top_k=5, temperature=0)
        ask(teacher, 1, extra_body={"enable_thinking": True})
        sent = server.asked[0]
        assert (sent["enable_thinking"], sent["top_k"], sent["temperature"]) == (False, 5, 0)
        assert "extra_body" not in sent
        assert len(server.asked) == 2, "written in either way it is the same request"
        with pytest.raises(ValueError, match="found stream"):
            ask(teacher, 1, extra_body={"stream": True})
        with pytest.raises(ValueError, match="extra_body: found 3"):
            ask(teacher, 1, extra_body=3)


def test_parameters_from_the_shell(tmp_path):
    """Newer models demand max_completion_tokens: then neither budget nor limit worked."""
    rows, out = rows_file(tmp_path, 2), tmp_path / "out.jsonl"
    words = ["respond", rows, out, "--store", tmp_path / "s.sqlite", "--budget-tokens", 2000]
    words += ["--param", "max_completion_tokens=50", "--param", "enable_thinking=false"]
    words += ["--param", "reasoning_effort=low", "--param", 'stop=["。"]']
    with Server(lambda request, times: completion()) as server:
        assert shell(server, *words) == 0
        sent = server.asked[0]
        assert shell(server, *words, "--param", "nonsense") == 2
    assert sent["max_completion_tokens"] == 50
    assert sent["enable_thinking"] is False
    assert sent["reasoning_effort"] == "low"
    assert sent["stop"] == ["。"]
    assert "max_tokens" not in sent


def test_messages_speak_shell_in_the_shell_and_python_in_python(tmp_path, capsys):
    """ "pass max_tokens=…" is no option of any command."""
    rows = rows_file(tmp_path, 1)
    with Server(lambda request, times: completion()) as server:
        words = ("respond", rows, tmp_path / "o", "--store", tmp_path / "s", "--budget-tokens", 9)
        assert shell(server, *words) == 2
        assert "pass --max-tokens …" in capsys.readouterr().err
        with pytest.raises(ValueError, match="pass max_tokens=…"):
            ask(at(server, budget=Budget(tokens=9)), 1)
        assert not server.asked


# ---- runs that cannot finish, and runs that can


@pytest.mark.parametrize("status", [403, 404, 401, 400, 422, 413, 405, 418])
@pytest.mark.parametrize("place", [0, 20])
@pytest.mark.parametrize("concurrency", [1, 16])
def test_one_bad_row_never_ends_a_run(status, place, concurrency, tmp_path):
    """One row that a firewall answered 403 or 404 ended every run, and nobody said which row."""

    def script(request, times):
        if question(request) == f"问{place}":
            return Sent({"error": {"message": f"blocked for {KEY}"}}, status)
        return completion()

    rows, out, no = rows_file(tmp_path, 40), tmp_path / "out.jsonl", tmp_path / "no.jsonl"
    with Server(script) as server:
        teacher = at(server, tmp_path / "s.sqlite", concurrency=concurrency)
        counts = respond_file(teacher, rows, out, no, progress=False)
    assert (counts["answered"], counts["unanswered"]) == (39, 1)
    [row] = read_jsonl(no)
    assert row["instruction"] == f"问{place}"
    assert f"{status} from http://127.0.0.1" in row["reason"]
    assert "blocked for ***" in row["reason"]


def test_a_passing_401_costs_nothing():
    """One 401 among 40, while the provider changed its keys, ended the run."""

    def script(request, times):
        passing = question(request) == "问9" and times == 1
        return Sent({"error": "expired"}, 401) if passing else completion()

    with Server(script) as server:
        assert all(reply.usable for reply in ask(at(server, concurrency=2), 40))


def test_a_key_that_is_revoked_later_ends_the_run():
    """After many in a row it is no matter of a row."""

    def script(request, times):
        return completion() if len(server.asked) <= 10 else Sent({"error": "revoked"}, 401)

    with Server(script) as server:
        with pytest.raises(
            ValueError, match="refuses every request: 401 .*revoked.*TEACHER_API_KEY"
        ):
            ask(at(server, concurrency=4), 500)
        assert len(server.asked) < 100


QUOTA = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
HOPELESS = {
    "quota, OpenAI": (Sent(QUOTA, 429), "top it up"),
    "quota, DeepSeek": (Sent({"error": {"message": "Insufficient Balance"}}, 402), "top it up"),
    "quota, in Chinese": (Sent({"error": {"message": "您的账户已欠费"}}, 429), "top it up"),
    "unknown model": (Sent({"error": {"message": "Model Not Exist"}}, 400), "Change what it names"),
    "max_tokens": (Sent({"message": "max_tokens is too large: 9"}, 400), "Change what it names"),
    "unsupported": (Sent({"message": "Unsupported value: temperature"}, 400), "temperature"),
    "log-in page": (Sent(b"<html><title>Log in</title>", kind="text/html"), "log-in page"),
    "down": (Sent({"error": "no GPU"}, 500), "fault of its own"),
    "wrong path": (Sent({"detail": "Not Found"}, 404), "usually ends in /v1"),
}  # fmt: skip  # a table


@pytest.mark.parametrize("name", HOPELESS)
def test_a_run_that_cannot_succeed_stops_after_its_first_few_rows(name, tmp_path, capsys):
    """Quota, a wrong port, a log-in page went through all rows at 35 s each before a word."""
    sent, hint = HOPELESS[name]
    rows, out = rows_file(tmp_path, 300), tmp_path / "out.jsonl"
    words = ["--store", tmp_path / "s.sqlite", "--max-retries", 1, "--concurrency", 2]
    with Server(lambda request, times: sent) as server:
        assert shell(server, "respond", rows, out, *words) == 2
        assert len(server.asked) <= 14
        url = f"{server.base_url}/chat/completions"
    said = capsys.readouterr().err
    assert hint in said
    assert url in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("address", "said"),
    [("http://127.0.0.1:9/v1", "the host and the port"), ("https://127.0.0.1:{port}/v1", "scheme")],
)
def test_a_wrong_port_and_a_wrong_scheme_are_said_soon(address, said):
    """Nine tries a row, for every row."""
    with Server(lambda request, times: completion()) as server:
        address = address.format(port=server.http.server_address[1])
        teacher = Teacher(address, "m", KEY, concurrency=8)
        with pytest.raises(ValueError, match=said):
            ask(teacher, 1000)
        assert teacher.spent["asked"] <= 16


@pytest.mark.parametrize(
    "address", ["api.deepseek.com/v1", "127.0.0.1:8000", "ftp://x/v1", "http:///v1"]
)
def test_an_address_without_scheme_or_host_is_named_at_once(address):
    """It went through all rows, as a connection error each."""
    with pytest.raises(ValueError, match="TEACHER_BASE_URL: found .*expected http://"):
        Teacher(address, "m", KEY)


def test_rows_that_a_filter_refuses_end_no_run(tmp_path):
    """A content filter's 400 on each of the first rows is a matter of those rows."""

    def script(request, times):
        bad = int(question(request)[1:]) < 12
        error = {"error": {"code": "content_filter", "message": "ResponsibleAIPolicyViolation"}}
        return Sent(error, 400) if bad else completion()

    with Server(script) as server:
        replies = ask(at(server, concurrency=3), 30)
    assert sum(reply.usable for reply in replies) == 18


# ---- reasons


def test_the_reasons_are_told_with_counts_and_the_servers_own_words(tmp_path, capsys):
    """ "no answer after all retries" is all that people got for five different mistakes."""

    def script(request, times):
        number = int(question(request)[1:])
        if number < 10:
            return completion()
        if number < 14:
            words = f"too long: {number} tokens, key {KEY}"
            return Sent({"error": {"message": words}}, 413)
        return Sent({"error": "bad input"}, 422) if number < 17 else completion("半", "length")

    rows, out, no = rows_file(tmp_path, 18), tmp_path / "out.jsonl", tmp_path / "no.jsonl"
    words = ("--store", tmp_path / "s.sqlite", "--concurrency", 1)
    with Server(script) as server:
        assert shell(server, "respond", rows, out, *words) == 2
        for _ in range(2):
            said = capsys.readouterr().err
            assert "8 of 18 rows have no usable answer" in said
            assert "4 × 413 from " in said
            assert "too long: 10 tokens, key ***" in said
            assert "3 × 422" in said
            assert "1 × finish_reason 'length'" in said
            assert KEY not in said
            assert shell(server, "respond", rows, out, *words, "--rejected", no) == 1
    bad = read_jsonl(no)
    assert [row["instruction"] for row in bad] == [f"问{i}" for i in range(10, 18)]
    assert bad[-1]["answer"] == "半"
    assert "422" in bad[5]["reason"]
    assert len(read_jsonl(out)) == 10


# ---- the store


def test_another_server_with_the_same_model_name_is_another_teacher(tmp_path):
    """The small model at home answered for the large one that was paid for."""
    with Server(lambda r, t: completion("甲")) as one, Server(lambda r, t: completion("乙")) as two:
        for server, text in ((one, "甲"), (two, "乙"), (one, "甲")):
            assert ask(at(server, tmp_path / "s.sqlite"), 1)[0].text == text
        assert len(one.paid) == len(two.paid) == 1
        slash = Teacher(one.base_url + "/", "m", "another-key", tmp_path / "s.sqlite")
        assert ask(slash, 1)[0].cached, "a slash or another key makes no other server"
    servers = {row["server"] for row in Store(tmp_path / "s.sqlite").rows()}
    assert servers == {one.base_url, two.base_url}


def test_no_secret_of_an_address_is_stored(tmp_path):
    """Some put the key into the address."""
    with Server(lambda request, times: completion()) as server:
        address = f"{server.base_url}?key=hidden-word"
        ask(Teacher(address, "m", KEY, tmp_path / "s.sqlite"), 1)
        assert len(server.paid) == 1
    assert b"hidden-word" not in b"".join(p.read_bytes() for p in tmp_path.glob("s.sqlite*"))


def old_store(path) -> None:
    """A store as earlier versions wrote it, with a reasoning reply in it."""
    old = sqlite3.connect(path)
    old.executescript(
        """CREATE TABLE replies (key TEXT PRIMARY KEY, request TEXT NOT NULL, text TEXT NOT NULL,
        finish_reason TEXT NOT NULL, prompt_tokens INTEGER, completion_tokens INTEGER,
        model TEXT NOT NULL, created REAL NOT NULL) WITHOUT ROWID;
        CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL, beat REAL NOT NULL)
        WITHOUT ROWID;"""
    )
    for number, text in enumerate(["<think>想</think>答0", "答1"]):
        request = {"model": "m", "messages": chat(f"问{number}")}
        values = (request_key(request), json.dumps(request), text, "stop", 3, 2, "m-1", 1.0)
        old.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    old.commit()
    old.close()


def test_old_stores_are_read(tmp_path):
    """A new version that pays again for what an old one bought is no update."""
    old_store(tmp_path / "s.sqlite")
    with Server(lambda request, times: completion("新")) as server:
        replies = ask(at(server, tmp_path / "s.sqlite"), 3)
        assert len(server.paid) == 1
    assert [reply.text for reply in replies] == ["答0", "答1", "新"]
    assert replies[0].thoughts == "想"
    assert Store(tmp_path / "s.sqlite").export(tmp_path / "all.parquet") == 3
    assert COLUMNS.startswith("text")


def test_a_store_on_a_read_only_disk_is_read(tmp_path, monkeypatch):
    """A complete store on a class's shared disk could not be used."""
    old_store(tmp_path / "s.sqlite")

    def refuse(self):
        raise unwritable

    unwritable = sqlite3.OperationalError("attempt to write a readonly database")
    unwritable.sqlite_errorname = "SQLITE_READONLY"
    monkeypatch.setattr(Store, "begin_log", refuse)
    before = (tmp_path / "s.sqlite").read_bytes()
    with Server(lambda request, times: completion("新")) as server:
        teacher = at(server, tmp_path / "s.sqlite")
        assert [reply.text for reply in ask(teacher, 2)] == ["答0", "答1"]
        assert teacher.store.counts()["replies"] == 2
        with pytest.raises(OSError, match="s.sqlite can be read and not written"):
            ask(teacher, 3)
        assert not server.paid, "an answer that cannot be stored is not bought"
    assert (tmp_path / "s.sqlite").read_bytes() == before


def test_another_programs_database_is_no_store(tmp_path):
    """`--store places.sqlite` put our tables into a browser's history."""
    other = sqlite3.connect(tmp_path / "places.sqlite")
    other.execute("CREATE TABLE visits (url TEXT)")
    other.execute("INSERT INTO visits VALUES ('x')")
    other.commit()
    with pytest.raises(ValueError, match="places.sqlite: found the database of another program"):
        Store(tmp_path / "places.sqlite")
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("visits",)]


def test_the_time_left_is_shown(tmp_path):
    """A bar without a total knows no time left."""
    rows = rows_file(tmp_path, 30)
    command = [sys.executable, "-m", "miniluotuo_utils", "respond", rows, tmp_path / "out.jsonl"]
    with Server(lambda request, times: completion()) as server:
        command += ["--store", tmp_path / "s.sqlite", "--base-url", server.base_url, "--model", "m"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert "30/30" in done.stderr
    assert (
        "30 rows answered, 0 not; asked 30, from the store 0; failed 0; tokens 150" in done.stdout
    )
