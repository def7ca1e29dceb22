"""Stage 02 under strain: faults of every kind, kills, several processes
on one store, rates, budgets, and what a store may never show.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from pathlib import Path

import pytest

from miniluotuo_utils.files import DataError, read_jsonl, write_jsonl
from miniluotuo_utils.jobs.respond import grow_file, respond_file
from miniluotuo_utils.teacher import RecordedTeacher, Store, Teacher, client
from miniluotuo_utils.teacher.client import chat
from miniluotuo_utils.teacher.limits import Budget, BudgetReached, Concurrency
from miniluotuo_utils.teacher.recorded import FAULTS, Faults
from miniluotuo_utils.teacher.store import Reply, dead, new_owner, request_key
from miniluotuo_utils.writing import Taken
from miniluotuo_utils.writing.temporary import machine

BANK = [
    {
        "instruction": f"第{i}个问题",
        "input": "",
        "output": f"第{i}个回答，一共十来个字。",
        "topic": "数",
    }
    for i in range(3000)
]
KEY = "sk-never-seen-0815"


@pytest.fixture(autouse=True)
def no_teacher_variables(monkeypatch):
    """No teacher of the person who runs the tests is asked."""
    for name in ("TEACHER_BASE_URL", "TEACHER_MODEL", "TEACHER_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def questions(count: int, start: int = 0):
    """The bank's questions as requests, lazily."""
    return (chat(row["instruction"]) for row in BANK[start : start + count])


def at(server: RecordedTeacher, store=None, **options) -> Teacher:
    """A teacher on that server."""
    return Teacher(server.base_url, server.model, KEY, store, **options)


def test_faults_of_every_kind_lose_no_answer(tmp_path):
    """A third of all requests going wrong, each in its own way,
    is a bad night at a real provider; every row must be answered.
    """
    # Long enough for a busy machine, and tries enough that chance spares every row.
    patience = {"timeout": 2, "max_retries": 30}
    with RecordedTeacher(BANK, faults=Faults(0.3, seed=1, hang=3)) as server:
        teacher = at(server, tmp_path / "s.sqlite", concurrency=64, **patience)
        replies = teacher.ask(questions(2000), progress=False)
        # Who hung twice is asked again by the next run, and no sooner: it may have been billed.
        assert all("Timeout" in reply.error for reply in replies if reply.error)
        assert sum(reply.error is not None for reply in replies) < 20
        replies = teacher.ask(questions(2000), progress=False)
    assert [r.error for r in replies if r.error] == []
    assert len(replies) == 2000
    whole = [(r, row) for r, row in zip(replies, BANK, strict=False) if r.finish_reason == "stop"]
    assert all(r.text == row["output"] for r, row in whole)
    assert {r.mark() for r in replies} == {"usable", "cut"}
    assert teacher.store.counts()["replies"] == 2000


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_alone(kind):
    """Each switchable fault is what it says: retried until answered, or kept and marked."""
    with RecordedTeacher(BANK, faults=Faults(1.0, [kind], hang=0.3)) as server:
        teacher = at(server, max_retries=1)
        teacher.timeout = 0.2 if kind == "hang" else 60
        reply = teacher.ask_one(BANK[0]["instruction"])
        teacher.timeout = 60
        assert reply.mark() == {"cut": "cut", "slow": "usable"}.get(kind, "failed"), reply
        server.faults = Faults()
        assert teacher.ask_one(BANK[1]["instruction"]).text == BANK[1]["output"], (
            "switched off while it runs"
        )
    with pytest.raises(ValueError, match="kinds: found .'fire'.*429"):
        Faults(0.1, ["fire"])


WORKER = """
import sys
from miniluotuo_utils.files import iter_jsonl
from miniluotuo_utils.teacher import Teacher
from miniluotuo_utils.teacher.client import chat
base, model, store, questions = sys.argv[1:5]
teacher = Teacher(base, model, "sk-never-seen-0815", store, concurrency=32)
print("begun", flush=True)
counts = teacher.fill((chat(row["q"]) for row in iter_jsonl(questions)), progress=False)
print(counts, teacher.spent["asked"], flush=True)
"""


def worker(server: RecordedTeacher, folder, count: int) -> subprocess.Popen:
    """A process of its own that asks the first `count`
    questions of the bank through the store in `folder`.
    """
    path = folder / "questions.jsonl"
    if not path.is_file():
        path.write_text(
            "".join(json.dumps({"q": row["instruction"]}) + "\n" for row in BANK[:count])
        )
    command = [
        sys.executable,
        "-c",
        WORKER,
        server.base_url,
        server.model,
        str(folder / "s.sqlite"),
        str(path),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    return process


def test_kill_9_five_times_and_nothing_is_paid_twice_or_lost(tmp_path):
    """Colab, a full laptop battery, a cluster's time limit: the run goes on from its store."""
    with RecordedTeacher(BANK, latency=0.05) as server:
        for goal in (60, 200, 330, 600, 700):
            process = worker(server, tmp_path, 1000)
            while (
                server.answered.total() < goal
            ):  # in the middle of asking, however slow the machine
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert sqlite3.connect(tmp_path / "s.sqlite").execute(
                "PRAGMA integrity_check"
            ).fetchone() == ("ok",)
        last = worker(server, tmp_path, 1000)
        assert last.wait(120) == 0
        assert "'answered': 1000, 'failed': 0" in last.stdout.read()
        answered = Counter(server.answered.values())
    # Only what was in flight at a kill is asked again.
    assert server.answered.total() - 1000 <= 5 * 32, answered
    assert len(server.answered) == 1000 == Store(tmp_path / "s.sqlite").counts()["replies"]


def test_two_processes_on_one_store_ask_for_nothing_twice(tmp_path):
    """Two terminals, or two nodes of a cluster on
    one shared file, once paid twice for everything.
    """
    with RecordedTeacher(BANK, latency=0.05) as server:
        both = [worker(server, tmp_path, 600) for _ in range(2)]
        printed = [process.communicate(timeout=120)[0] for process in both]
    assert all("'answered': 600" in text for text in printed)
    assert set(server.answered.values()) == {1}
    assert len(server.answered) == 600
    assert sum(int(text.split()[-1]) for text in printed) == 600
    claims = (
        sqlite3.connect(tmp_path / "s.sqlite").execute("SELECT COUNT(*) FROM claims").fetchone()
    )
    assert claims == (0,), "a finished run leaves no claim behind"


def test_a_new_store_opens_while_another_process_begins_to_write_to_it(tmp_path):
    """Where two processes open a new store together sqlite
    says `database is locked` at once, whatever the timeout.
    """
    other = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE x (a)")
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO x VALUES (1)")
    threading.Timer(0.3, other.rollback).start()
    assert Store(tmp_path / "s.sqlite").counts()["replies"] == 0


def test_a_reply_that_arrives_between_look_and_claim_is_not_asked_for_again(tmp_path, monkeypatch):
    """Nothing there; the other process stores its reply and
    gives its claim back; we claim, and paid a second time.
    """
    claim = Store.claim

    def late(self, key, owner):
        if self.get(key) is None:
            Store(tmp_path / "s.sqlite").put(key, {"model": "m"}, Reply("别人的回答", "stop"))
        return claim(self, key, owner)

    monkeypatch.setattr(Store, "claim", late)
    with RecordedTeacher(BANK) as server:
        teacher = at(server, tmp_path / "s.sqlite")
        assert teacher.ask_one(BANK[0]["instruction"]).text == "别人的回答"
        assert not server.answered
    assert teacher.store.connection.execute("SELECT COUNT(*) FROM claims").fetchone() == (0,)


def test_claims_of_the_dead_and_of_the_silent_are_taken_over(tmp_path):
    """A claim that outlives its process would keep a row unanswered for ever."""
    store, one, two = Store(tmp_path / "s.sqlite"), new_owner(), new_owner()
    assert store.claim("k", one)
    assert not store.claim("k", one)
    assert not store.claim("k", two)
    store.release(two)
    assert not store.claim("k", two), "only its own claims"
    store.release(one, "k")
    assert store.claim("k", two)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    store.connection.execute("UPDATE claims SET owner = ?", (f"{machine()}:{gone.pid}:x",))
    assert store.claim("k", one)
    store.connection.execute(
        "UPDATE claims SET owner = 'elsewhere:1:x', beat = ?", (time.time() - 31,)
    )
    assert store.claim("k", two)
    assert not store.claim("k", one)
    store.put("k", {"model": "m"}, Reply("好", "stop"))
    assert store.get("k").text == "好"


def test_the_living_of_another_container_are_not_dead(monkeypatch):
    """Two containers of one host name number their processes apart: each took the other's claims
    for those of the dead, and what both asked was paid for twice."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with monkeypatch.context() as there:
        there.setattr(os, "getpid", lambda: gone.pid)
        here = new_owner()
        there.setattr(os, "readlink", lambda path: "pid:[1]")
        elsewhere = new_owner()
    assert dead(here)
    assert not dead(elsewhere)


def test_a_sign_of_life_that_fails_is_followed_by_the_next(monkeypatch):
    """An error of sqlite ended them without a word, and others took the claims of the living."""
    beats = []

    def failing(store, owner):
        beats.append(owner)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Store, "beat", failing)
    monkeypatch.setattr(client, "BEAT", 0.05)
    with RecordedTeacher(BANK, latency=0.5) as server:
        assert at(server).ask_one(BANK[0]["instruction"]).usable
    assert len(beats) > 1


def test_two_teachers_on_one_store_object_share_its_claims():
    """Two threads of a notebook with one store once paid
    twice, and the first to end gave the other's claims away.
    """
    store = Store()
    with RecordedTeacher(BANK, latency=0.3) as server:
        teachers = [at(server, store) for _ in range(3)]
        threads = [
            threading.Thread(target=teacher.ask_one, args=(BANK[0]["instruction"],))
            for teacher in teachers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(server.answered.values()) == 1
    assert sum(t.spent["asked"] for t in teachers) == 1


def test_what_was_perhaps_billed_counts_against_the_budget(httpserver):
    """A server without usage, and tries that timed out after
    the server had answered, were free of charge in our books.
    """
    from werkzeug import Response

    asked = []

    def answer(request):
        asked.append(time.sleep(0.25 if len(asked) % 2 else 0))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "好"},
            "finish_reason": "stop",
        }
        return Response(
            json.dumps({"object": "chat.completion", "model": "m", "choices": [choice]}),
            content_type="application/json",
        )

    httpserver.expect_request("/v1/chat/completions").respond_with_handler(answer)
    teacher = Teacher(
        httpserver.url_for("/v1"),
        "m",
        KEY,
        concurrency=2,
        budget=Budget(tokens=2000),
        timeout=0.15,
        max_retries=2,
    )
    with pytest.raises(BudgetReached):
        teacher.ask(questions(500), progress=False, max_tokens=20)
    assert len(asked) * 1.2 >= 2000 / 100, "each try is booked at about 50 + 20 tokens"
    assert len(asked) <= 2000 / 60, "each try is booked at about 50 + 20 tokens"


def test_half_a_key_is_a_leak_too(httpserver):
    """The error text was cut first and masked then:
    the beginning of a key at the cut stayed in it.
    """
    from werkzeug import Response

    httpserver.expect_request("/v1/chat/completions").respond_with_handler(
        lambda request: Response(
            json.dumps({"error": "x" * 180 + request.headers["Authorization"]}),
            content_type="application/json",
        )
    )
    reply = Teacher(httpserver.url_for("/v1"), "m", KEY, max_retries=0).ask_one("问")
    assert "sk-" not in reply.error
    assert "***" in reply.error


def test_an_outage_is_not_a_dry_set(tmp_path):
    """A server that was down once made an empty set that called itself dry, over a good file."""
    old = {"instruction": "旧的", "source": "example_guided"}
    write_jsonl(tmp_path / "new.jsonl", [old])
    (tmp_path / "seeds.jsonl").write_text(
        "".join(json.dumps({"instruction": f"种子{i}"}) + "\n" for i in range(4))
    )
    with (
        RecordedTeacher(BANK, faults=Faults(1, ["500"])) as server,
        pytest.raises(ValueError, match="no request of a whole round was answered .*500"),
    ):
        grow_file(
            at(server, max_retries=0),
            tmp_path / "seeds.jsonl",
            tmp_path / "new.jsonl",
            10,
            progress=False,
        )
    assert read_jsonl(tmp_path / "new.jsonl") == [old]


def test_fewer_requests_are_open_while_the_server_refuses():
    """A fixed number of open requests against a server that says
    429 is a ban; one that never grows again is a lost night.
    """
    faults = Faults(1.0, ["429"], retry_after=0.1)
    with RecordedTeacher(BANK, faults=faults, latency=0.01) as server:
        limits = []
        original = Concurrency.refused

        def seen(self, *values):
            original(self, *values)
            limits.append((self, self.limit))
            if len(limits) == 40:
                server.faults = Faults()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Concurrency, "refused", seen)
            replies = at(server, concurrency=16).ask(questions(400), progress=False)
    assert all(r.usable for r in replies)
    assert min(limit for _, limit in limits) <= 8, "halved while refused"
    assert limits[0][0].limit == 16, "back to all afterwards"


def noted(function, amounts):
    """The function, whose one argument is noted before it is called."""
    return lambda amount: amounts.append(amount) or function(amount)


def test_tokens_per_minute_follow_the_reported_usage(monkeypatch):
    """Providers count tokens as they see them; a
    limit on our own guess alone is passed or wasted.
    """
    with RecordedTeacher(BANK) as server:
        # 600 a second; a question and its answer are about 20.
        teacher = at(server, tokens_per_minute=60 * 600)
        booked = []
        for name in ("wait", "correct"):
            monkeypatch.setattr(teacher.tokens, name, noted(getattr(teacher.tokens, name), booked))
        started = time.monotonic()
        teacher.ask(questions(60), progress=False)
        seconds = time.monotonic() - started
    used = teacher.spent["prompt_tokens"] + teacher.spent["completion_tokens"]
    assert sum(booked) == pytest.approx(used)
    assert seconds >= 0.7 * used / 600, "all but the last are waited off, however fast the machine"


@pytest.mark.parametrize(
    "budget",
    [Budget(tokens=2500), Budget(money=0.0165, prices={"prompt": 2.0, "completion": 10.0})],
    ids=["tokens", "money"],
)
def test_a_budget_is_never_passed_and_what_was_paid_for_is_kept(budget, tmp_path):
    """A loop over a million rows with a mistake in it costs a month's salary."""
    with RecordedTeacher(BANK, latency=0.01) as server:
        teacher = at(server, tmp_path / "s.sqlite", budget=budget)
        with pytest.raises(BudgetReached, match=r"budget: .* after \d+ requests.*raise the budget"):
            teacher.ask(questions(1000), progress=False, max_tokens=40)
        spent = teacher.spent["prompt_tokens"], teacher.spent["completion_tokens"]
        assert budget.allows(*spent)
        assert teacher.store.counts()["replies"] == teacher.spent["asked"] > 50
        assert not budget.allows(*(1.1 * n + 150 for n in spent)), "stopped long before it had to"
        more = at(server, tmp_path / "s.sqlite")
        more.ask(questions(300), progress=False, max_tokens=40)
        assert more.spent["from_store"] >= teacher.spent["asked"] - 20
        assert max(server.answered.values()) == 1
        with pytest.raises(ValueError, match="a budget needs max_tokens"):
            teacher.ask(questions(1), progress=False)
    with pytest.raises(ValueError, match="prices: found None"):
        Budget(money=1.0)


def test_equal_questions_do_not_wait_for_one_that_ended_the_run():
    """Where the budget ended a run, a worker that
    waited for the same question's reply waited on.
    """
    with RecordedTeacher(BANK) as server:
        teacher = at(server, budget=Budget(tokens=10))
        with pytest.raises(BudgetReached):
            teacher.ask([chat(BANK[0]["instruction"])] * 4, progress=False, max_tokens=40)
        assert not server.answered


def test_a_dry_run_projects_from_a_sample_that_is_paid_for_once(tmp_path):
    """An estimate from character counts was three times
    off; a sample that is thrown away is money thrown away.
    """
    with RecordedTeacher(BANK) as server:
        teacher = at(
            server, tmp_path / "s.sqlite", budget=Budget(prices={"prompt": 1.0, "completion": 2.0})
        )
        estimate = teacher.estimate(list(questions(500)), sample=50)
        teacher.ask(questions(500), progress=False)
        true = teacher.budget.cost(
            teacher.spent["prompt_tokens"], teacher.spent["completion_tokens"]
        )
    assert estimate["requests"] == 500
    assert estimate["sampled"] == 50
    assert abs(estimate["cost"] / true - 1) < 0.05
    assert teacher.spent["asked"] == 500
    assert teacher.spent["from_store"] == 50


def test_a_refused_key_stops_the_run_at_once(httpserver, tmp_path):
    """A wrong key once sent two million requests to be refused, one by one."""
    asked = []

    def refuse(request):
        from werkzeug import Response

        asked.append(request)
        return Response(
            json.dumps({"error": {"message": f"bad key {request.headers['Authorization']}"}}),
            401,
            content_type="application/json",
        )

    httpserver.expect_request("/v1/chat/completions").respond_with_handler(refuse)
    teacher = Teacher(httpserver.url_for("/v1"), "m", KEY, tmp_path / "s.sqlite", concurrency=4)
    with pytest.raises(
        ValueError, match=r"m @ localhost refuses every request: .*\*\*\*.*Check TEACHER_API_KEY"
    ) as caught:
        teacher.ask(questions(500), progress=False)
    assert len(asked) <= 4
    assert KEY not in str(caught.value)


class Request(list):
    """A request that can be watched: a plain list cannot."""


def test_fill_keeps_no_request_and_no_reply(tmp_path):
    """A list of a million replies is gigabytes; `fill`
    keeps none, and reads its requests as it goes.
    """
    made, alive = [], []

    def replies() -> int:
        gc.collect()
        return sum(type(value) is Reply for value in gc.get_objects())

    def requests():
        for row in BANK[:600]:
            request = Request(chat(row["instruction"]))
            made.append(weakref.ref(request))
            yield request
        alive.append((sum(ref() is not None for ref in made), replies() - before))

    before = replies()
    with RecordedTeacher(BANK) as server:
        at(server, tmp_path / "s.sqlite").fill(requests(), progress=False)
    open_at_once = 16
    assert max(alive[0]) <= open_at_once + 1


def test_a_full_disk_stops_the_run_and_keeps_the_store(tmp_path):
    """A store that cannot write must not go on paying."""
    with RecordedTeacher(BANK) as server:
        store = Store(tmp_path / "s.sqlite")
        teacher = at(server, store, concurrency=4)
        teacher.ask(questions(50), progress=False)
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(
            OSError, match="disk full while writing s.sqlite; the replies before this one are kept"
        ):
            teacher.ask(questions(2000), progress=False)
        asked = teacher.spent["asked"]
    kept = Store(tmp_path / "s.sqlite")
    assert kept.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert 50 <= kept.counts()["replies"] >= asked - 8
    assert asked < 1000


# Files may not grow beyond what shared memory needs: sqlite then says what it does of a folder that
# has none, and of a quota that is used up.
LIMITED = """
import resource, sys
from miniluotuo_utils.teacher.store import Reply, Store
FILES = resource.RLIMIT_FSIZE
limit = lambda size: resource.setrlimit(FILES, (size, resource.getrlimit(FILES)[1]))
path, early = sys.argv[1], sys.argv[2:]
if early:
    limit(28 << 10)
for key in "ab":
    store = Store(path)
    store.put(key, {}, Reply(key, "stop"))
    limit(28 << 10 if early else 100 << 10)
    print(store.connection.execute("PRAGMA journal_mode").fetchone()[0], store.get("a").text)
    store.close() if early else None
try:
    Store(path).put("c", {}, Reply("c" * 200_000, "stop"))
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize(("early", "mode"), [([], "wal"), (["early"], "delete")])
def test_a_quota_and_a_folder_without_shared_memory(early, mode, tmp_path):
    """A network folder left a store that nothing could open, and a quota ended in a traceback."""
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "s.sqlite"), *early]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.stderr
    *good, said = done.stdout.splitlines()
    assert good == [f"{mode} a"] * 2
    assert said.startswith("[Errno 5] s.sqlite: disk I/O error")
    assert "Put the store on a local disk" in said


def export_twice(store, folder):
    """An export takes the place of an earlier one, and never of a person's own table."""
    import pandas

    assert store.export(folder / "all.jsonl") == store.export(folder / "all.parquet") == 5
    for name in ("all.jsonl", "all.parquet"):
        with pytest.raises(Taken, match="is there already"):
            store.export(folder / name, overwrite=False)
    table = pandas.read_parquet(folder / "all.parquet").assign(text="mine")
    table.to_parquet(folder / "all.parquet")
    (folder / "all.jsonl").write_text("my notes\n", encoding="utf-8")
    for name in ("all.jsonl", "all.parquet"):
        with pytest.raises(Taken, match=name):
            store.export(folder / name)
    assert set(pandas.read_parquet(folder / "all.parquet")["text"]) == {"mine"}
    assert store.export(folder / "all.parquet", overwrite=True) == 5


def test_replies_are_marked_kept_and_exported(tmp_path):
    """Cut, empty and refused replies are paid for:
    they must be found again, and not be learned from.
    """
    store = Store(tmp_path / "s.sqlite")
    replies = {
        "问": Reply("答。", "stop", 3, 2, "m-1"),
        "长": Reply("答", "length", 3, 1),
        "空": Reply(" ", "stop"),
        "天气": Reply("抱歉，我无法提供实时信息。", "stop"),
        "滤": Reply("", "content_filter"),
    }
    for question, reply in replies.items():
        request = {"model": "m", "messages": chat(question), "temperature": 0.7}
        store.put(request_key(request), request, reply)
    assert store.export(tmp_path / "all.jsonl") == 5
    rows = read_jsonl(tmp_path / "all.jsonl")
    assert {r["messages"][-1]["content"]: r["mark"] for r in rows} == {
        "问": "usable",
        "长": "cut",
        "空": "empty",
        "天气": "refused",
        "滤": "empty",
    }
    assert store.export(tmp_path / "all.parquet") == 5
    import pyarrow.parquet

    assert pyarrow.parquet.read_table(tmp_path / "all.parquet").to_pylist() == rows
    with pytest.raises(ValueError, match=r"all.csv: found the ending '.csv'"):
        store.export(tmp_path / "all.csv")
    export_twice(store, tmp_path)
    with pytest.raises(DataError, match="damaged"):
        (tmp_path / "bad.sqlite").write_bytes(b"x" * 5000)
        Store(tmp_path / "bad.sqlite")


# From a shell


def shell(server, *arguments, **more) -> subprocess.CompletedProcess:
    """`python -m miniluotuo_utils …` against a server, with the key in the environment."""
    command = [
        sys.executable,
        "-m",
        "miniluotuo_utils",
        *map(str, arguments),
        "--base-url",
        server.base_url,
        "--model",
        server.model,
    ]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "TEACHER_API_KEY": KEY}, **more
    )


def test_respond_fills_a_file_in_order_or_writes_nothing(tmp_path):
    """A half-filled file looks finished; and a key
    among the arguments stands in every process list.
    """
    rows = [{"instruction": row["instruction"], "id": i} for i, row in enumerate(BANK[:60])]
    source, target, store = (
        tmp_path / "prompts.jsonl",
        tmp_path / "replies.jsonl",
        tmp_path / "s.sqlite",
    )
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with RecordedTeacher(BANK) as server:
        done = shell(server, "respond", source, target, "--store", store)
        assert done.returncode == 0
        assert "60 rows answered, 0 not" in done.stdout
        assert KEY not in done.stdout + done.stderr
        assert read_jsonl(target) == [
            {**row, "output": BANK[i]["output"], "source": server.model}
            for i, row in enumerate(rows)
        ]
        with open(source, "a") as file:
            file.write(json.dumps({"instruction": "没有录过的问题"}) + "\n")
        target.unlink()
        done = shell(server, "respond", source, target, "--store", store)
        assert done.returncode == 2
        assert "1 of 61 rows have no usable answer, so replies.jsonl was not written" in done.stderr
        assert not target.exists()
        assert not list(tmp_path.glob("*.rejected"))
        assert sum(server.answered.values()) == 61
        with pytest.raises(ValueError, match="found one file named twice"):
            respond_file(at(server, store), source, target, target)
        done = shell(
            server,
            "respond",
            source,
            target,
            "--store",
            store,
            "--rejected",
            tmp_path / "deep" / "no.jsonl",
        )
        assert done.returncode == 1
        assert len(read_jsonl(target)) == 60
        assert "no answer" in read_jsonl(tmp_path / "deep" / "no.jsonl")[0]["reason"]
        with open(source, "a") as file:
            file.write('{"word": "?"}\n')
        asked = sum(server.answered.values())
        new = tmp_path / "new.jsonl"
        done = shell(server, "respond", source, new, "--store", tmp_path / "new.sqlite")
        assert done.returncode == 2
        assert "prompts.jsonl, line 62, field instruction: found None" in done.stderr
        assert sum(server.answered.values()) == asked, (
            "a bad last line is found before anything is paid for"
        )
    for path in filter(Path.is_file, tmp_path.rglob("*")):
        assert KEY.encode() not in path.read_bytes()


def test_instruct_grows_a_set_and_says_why_it_stopped(tmp_path):
    """A set that dries up must not pay for ever, and must not look finished."""
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text(
        "".join(json.dumps({"instruction": f"种子{i}：介绍一样东西"}) + "\n" for i in range(5))
    )
    with RecordedTeacher(
        [
            {"instruction": f"写一写{a}和{b}的不同", "input": "", "output": "好。", "topic": a}
            for a in "茶酒米面糖盐油醋"
            for b in "山水云月花鸟鱼虫"
        ]
    ) as server:
        done = shell(
            server,
            "instruct",
            tmp_path / "new.jsonl",
            "--seeds",
            seeds,
            "--target",
            20,
            "--store",
            tmp_path / "s.sqlite",
        )
        assert done.returncode == 0
        assert "20 instructions" in done.stdout
        assert "stopped: target" in done.stdout
        (tmp_path / "topics.txt").write_text("茶\n酒\n米\n")
        done = shell(
            server,
            "instruct",
            tmp_path / "more.jsonl",
            "--seeds",
            seeds,
            "--target",
            5000,
            "--topics",
            tmp_path / "topics.txt",
            "--store",
            tmp_path / "s.sqlite",
        )
        assert done.returncode == 1
        assert "stopped: dry" in done.stdout
    rows = read_jsonl(tmp_path / "more.jsonl")
    assert 3 <= len(rows) <= 24
    assert len({r["instruction"] for r in rows}) == len(rows)
    assert all(r["source"] == "topic_guided" for r in rows)
