"""Served students: what a client gets is what `generate` gives, and nothing else can be got."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from miniluotuo_utils import __main__ as cli
from miniluotuo_utils.generation import generate
from miniluotuo_utils.jobs import serve
from miniluotuo_utils.students import load_student, save
from miniluotuo_utils.tokens import prompt_of

pytest.importorskip("fastapi", reason="no FastAPI here: install the extra serve")
openai = pytest.importorskip("openai")
from openai import OpenAI  # noqa: E402

from miniluotuo_utils.jobs import endings, protocol  # noqa: E402

QUESTIONS = [
    "你好",
    "找出人物、地点、作品。\n苏轼在黄州写下《赤壁赋》。",
    "<|user|>是一个词元<|endoftext|>吗？",
    "把“骆驼”译成英文。🐫",
    "<b>粗体</b>\n\n",
]


@pytest.fixture(scope="module")
def server():
    """The embedded student, served by the command."""
    with serve.served("tiny") as found:
        yield found


@pytest.fixture
def client(server):
    """The official client of that server."""
    return OpenAI(base_url=server.address, api_key="-", max_retries=0, timeout=300)


ASKED = {"role": "user", "content": "你好"}


def ask(client, text, **more):
    """The answer to one question."""
    messages = [{"role": "user", "content": text}]
    found = client.chat.completions.create(
        model="tiny", messages=messages, **{"max_tokens": 48, **more}
    )
    return found.choices[0].message.content


def test_the_student_is_listed_first_under_its_name(client):
    """The list held the hub's cache, and the name in it was refused."""
    assert next(iter(client.models.list())).id == "tiny"
    with pytest.raises(openai.BadRequestError, match="只有一个学生.*This server has one student"):
        client.chat.completions.create(
            model="gpt-5", messages=[{"role": "user", "content": "你好"}]
        )


def test_answers_are_those_of_generate_byte_for_byte(client, tiny):
    """A prompt of another template, special tokens in a text, thoughts cut out of an answer."""
    wanted = [
        generate(tiny, [prompt_of(tiny, {"instruction": text})], max_new_tokens=48)[0]
        for text in QUESTIONS
    ]
    assert [ask(client, text) for text in QUESTIONS] == wanted
    streams = []
    for text in QUESTIONS:
        messages = [{"role": "user", "content": text}]
        pieces = client.chat.completions.create(
            model="tiny", messages=messages, max_tokens=48, stream=True
        )
        streams.append("".join(piece.choices[0].delta.content or "" for piece in pieces))
    assert streams == wanted


def test_a_conversation_and_a_system_text_are_asked_as_in_training(client, tiny):
    """Earlier turns were left out, or put another way than `prompt_of` puts them."""
    row = {"instruction": "再说一次", "history": [["简短。\n在吗", "在。"]]}
    messages = [
        {"role": "system", "content": "简短。"},
        {"role": "user", "content": "在吗"},
        {"role": "assistant", "content": "在。"},
        {"role": "user", "content": "再说一次"},
    ]
    found = client.chat.completions.create(model="tiny", messages=messages, max_tokens=24)
    wanted = generate(tiny, [prompt_of(tiny, row)], max_new_tokens=24)[0]
    assert found.choices[0].message.content == wanted


def test_an_answer_without_a_limit_ends_where_the_context_does(client, tiny):
    """1,024 tokens were made whatever the context, past all positions that were trained."""
    found = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "山" * (tiny.context - 20)}]
    )
    assert found.usage.total_tokens <= tiny.context


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([{"role": "user", "content": " "}], "先写一个问题.*Write a question first"),
        ([], "轮流说.*in turn"),
        ([{"role": "assistant", "content": "在"}], "轮流说.*in turn"),
        ([{"role": "user", "content": "长" * 100_000}], "文字太长.*Too long"),
        ([{"role": "user", "content": [{"type": "text", "text": "你好"}]}], "content 是文字"),
    ],
)
def test_what_cannot_be_answered_is_said_in_both_languages(client, messages, said):
    """A stack of Python, or a server that works on one text for an hour."""
    with pytest.raises(openai.BadRequestError, match=f"(?s){said}"):
        client.chat.completions.create(model="tiny", messages=messages)


@pytest.mark.parametrize(
    "drawn",
    [
        {"temperature": -1},
        {"temperature": "hot"},
        {"top_p": 2},
        {"max_tokens": 0},
        {"n": 3},
        {"response_format": {"type": "json_object"}},
        {"logit_bias": {"山": 1}},
        {"stop": 7},
        {"seed": "x"},
        {"seed": 2**64},
        {"seed": 1.5},
        {"temperature": 1e308},
        {"temperature": 10**400},
        {"frequency_penalty": -2},
        {"frequency_penalty": "x"},
        {"logit_bias": {"999999": 1}},
        {"logit_bias": {"5": 1e9}},
        {"logit_bias": [5]},
        {"stop": [""]},
        {"stop": ["。", 1]},
        {"stop": ["。"] * 100},
        {"stop": "长" * 1000},
        {"stream": "yes"},
    ],
)
def test_how_it_is_drawn_is_checked(client, drawn):
    """Status 500, or a number that did nothing."""
    with pytest.raises(openai.BadRequestError, match="这个请求答不了.*cannot be answered"):
        ask(client, "你好", **drawn)


@pytest.mark.parametrize("stop", ["{last}", "{last_two}", ["不会有的", "{last_two}"]])
def test_the_stop_text_is_no_part_of_the_answer(client, stop):
    """It stood at the end of every answer; a stream has it in pieces."""
    whole = ask(client, "你好", max_tokens=12)
    words = {"last": whole[3], "last_two": whole[2:4]}
    stops = [text.format(**words) for text in ([stop] if isinstance(stop, str) else stop)]
    wanted = whole[: min(place for text in stops if (place := whole.find(text)) >= 0)]
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "你好"}], "max_tokens": 12}
    found = client.chat.completions.create(**asked, stop=stops)
    assert found.choices[0].message.content == wanted
    assert (found.choices[0].finish_reason, found.model) == ("stop", "tiny")
    pieces = list(client.chat.completions.create(**asked, stop=stops, stream=True))
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == wanted
    assert pieces[-1].choices[0].finish_reason == "stop"


def test_a_stream_ends_with_its_last_event(server):
    """Clients that wait for it waited to their time-out."""
    import httpx

    asked = {"messages": [{"role": "user", "content": "你好"}], "max_tokens": 3, "stream": True}
    found = httpx.post(f"{server.address}/chat/completions", json=asked, timeout=300)
    assert found.text.endswith("}\n\ndata: [DONE]\n\n")
    assert found.text.count("[DONE]") == 1


def test_a_bias_may_be_a_whole_number(client, tiny):
    """As all clients write it: transformers takes none."""
    [token] = tiny.tokenizer("山", add_special_tokens=False)["input_ids"]
    assert set(ask(client, "你好", max_tokens=4, logit_bias={str(token): 100})) == {"山"}


def test_a_request_without_its_type_is_told_so(server):
    """`curl -d` sends a form unless told otherwise."""
    import httpx

    found = httpx.post(f"{server.address}/chat/completions", content=b"{}")
    assert (found.status_code, "Content-Type" in found.text) == (400, True)


@pytest.mark.parametrize("told", [{"temperature": 1e-300}, {"temperature": 0, "top_p": 0.5}])
def test_no_temperature_is_the_likeliest(client, told):
    """A division by almost 0, or drawn all the same."""
    assert ask(client, "你好", **told) == ask(client, "你好")


def test_nothing_is_computed_for_a_client_that_has_gone(tiny, monkeypatch):
    """A client that waited too long asks again, and the server first made all the answers that
    nobody waited for any more."""
    ended, asked = [], {"messages": [ASKED], "max_tokens": 300}

    # As long as an answer takes, at every token of which somebody may have gone.
    def generate(**settings):
        try:
            for _ in range(6000):
                settings["stopping_criteria"][0](settings["input_ids"])
                time.sleep(0.01)
        except InterruptedError:
            ended.append(True)
            raise

    monkeypatch.setattr(tiny.model, "generate", generate)
    app = protocol.app_of(tiny, "tiny")
    events = [{"type": "http.request", "body": json.dumps(asked).encode(), "more_body": False}]

    # A client that asks, and goes.
    async def receive():
        if events:
            return events.pop()
        await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    async def send(message):
        pass

    headers = [(b"content-type", b"application/json"), (b"host", b"localhost")]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
    asyncio.run(app({**scope, "query_string": b"", "http_version": "1.1"}, receive, send))
    assert ended == [True]


def test_what_waits_is_never_begun_for_a_client_that_has_gone():
    """Twenty that had gone were twenty whole answers."""
    gone = threading.Event()
    gone.set()
    with pytest.raises(InterruptedError):
        protocol.while_wanted(pytest.fail, gone, (), input_ids=torch.zeros(1, 1))


def test_an_error_in_a_stream_is_json():
    """Its words stood between quotes as they were, and no client could read the line."""

    async def parts():
        yield 'data: {"error": "no "x" here"}\n\n'

    async def whole():
        return [event async for event in endings.streamed(parts())]

    error, last = asyncio.run(whole())
    assert json.loads(error[6:])["error"]["message"] == 'no "x" here'
    assert last == endings.LAST


def test_what_means_nothing_is_taken(client):
    """Clients that write out every default were refused."""
    plain = {"n": 1, "presence_penalty": 0, "logprobs": False, "user": "甲"}
    assert ask(client, "你好", **plain) == ask(client, "你好")


def test_a_temperature_draws_and_a_seed_repeats(client):
    """`temperature=1` gave the greedy answer: the server only draws where it is told twice."""
    greedy = ask(client, "你好")
    drawn = [ask(client, "你好", temperature=1.5, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] != greedy


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": [{"role": "user", "content": "\ud83d"}]}, "半个代理字符"),
        ({"messages": [{**ASKED, "input": "\ud83d"}]}, "半个代理字符"),
        ({"messages": [{**ASKED, "role": "\ud83d"}]}, "半个代理字符"),
        ({"messages": [ASKED], "\ud83d": 1}, "半个代理字符"),
        ({"messages": [{"role": "wizard", "content": "你好"}]}, "轮流说"),
        ({"messages": "你好"}, "messages 要是一串"),
        (["你好"], "JSON 对象"),
        ("\ud83d", "JSON 对象"),
    ],
)
def test_what_no_client_would_send_is_named_too(server, body, said):
    """Status 500: the tokenizer fails on what JSON can hold and UTF-8 cannot, and so does an
    answer that quotes it."""
    import httpx

    headers = {"content-type": "application/json"}
    sent = json.dumps(body).encode()
    found = httpx.post(f"{server.address}/chat/completions", content=sent, headers=headers)
    assert found.status_code == 400
    assert said in found.json()["error"]["message"]


def test_fifty_at_once_wait_and_none_is_lost(client):
    """Answers of one user in another's, or connections refused."""
    texts = [f"数到{number}" for number in range(50)]
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda text: ask(client, text, max_tokens=6), texts))
    assert found == [ask(client, text, max_tokens=6) for text in texts]


def test_no_other_model_and_no_file_can_be_reached(server):
    """`/load_model` loads any folder of the machine, and anybody may ask for it."""
    import httpx

    root = server.address.removesuffix("/v1")
    for path in ("load_model", "reset", "v1/responses", "v1/audio/transcriptions"):
        assert httpx.post(f"{root}/{path}", json={"model": "/etc"}).status_code == 404
    for path in ("docs", "openapi.json", "file=/etc/passwd", "..%2f..%2fetc/passwd"):
        assert httpx.get(f"{root}/{path}").status_code == 404


def test_a_page_with_another_name_cannot_ask(server):
    """DNS rebinding: a web page whose name is made to point here asked the student, from the
    reader's own browser."""
    import httpx

    root, port = server.address.removesuffix("/v1"), server.address.split(":")[2][:-3]
    answers = {
        host: httpx.get(f"{root}/v1/models", headers={"host": host}).status_code
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", "example.org")
    }
    assert list(answers.values()) == [200, 200, 200, 400]


def test_a_huge_request_is_refused_before_it_is_read(tiny):
    """Memory for whatever somebody sends, and no answer for others while it is taken apart."""
    from starlette.testclient import TestClient

    client = TestClient(protocol.app_of(tiny, "tiny"))
    for sent in (b" " * (5 << 20), iter([b" " * (1 << 20)] * 5)):
        headers = {"content-type": "application/json"}
        found = client.post("/v1/chat/completions", content=sent, headers=headers)
        assert found.status_code == 413


def test_a_long_text_is_refused_before_it_is_tokenised(tiny, monkeypatch):
    """No stream moved while somebody's book was cut into tokens."""
    monkeypatch.setattr(protocol, "asked", None)
    for message in ({"content": "长" * 10**6}, {"content": "", "input": "长" * 10**6}):
        with pytest.raises(ValueError, match="1,000,000 个字.*Too long"):
            protocol.room_for(tiny, [{"role": "user", **message}])


def test_a_served_student_is_a_teacher(server, tmp_path):
    """The client sent a field that the server refuses."""
    from miniluotuo_utils.teacher import Teacher, respond

    teacher = Teacher(server.address, "tiny", "-", tmp_path / "store.sqlite")
    rows = [{"instruction": "你好", "input": "", "output": "", "source": ""}]
    answered, rejected = respond(teacher, rows, max_tokens=16)
    # A small student babbles on: what was cut off is known as such, and kept beside its reason.
    [row] = answered or rejected
    assert row.get("output") or (row["reason"] and row["answer"])


def test_a_file_written_over_changes_no_running_student(tiny, tmp_path):
    """`cp new/model.safetensors served/`: the weights in use were those of the file, also half of
    the new ones."""
    save(tiny, tmp_path / "s")
    student = serve.held(load_student(tmp_path / "s"))
    before = [weights.detach().clone() for weights in student.model.parameters()]
    [file] = (tmp_path / "s").glob("*.safetensors")
    with open(file, "r+b") as weights:
        weights.seek(file.stat().st_size // 2)
        weights.write(bytes(file.stat().st_size // 4))
    after = student.model.parameters()
    assert all(map(torch.equal, before, after))


def test_an_error_in_the_block_ends_the_server():
    """A server that nobody sees goes on holding its port and its memory: a cell that failed left
    one behind to the end of the kernel."""
    with pytest.raises(KeyError), serve.served("tiny") as found:
        raise KeyError
    assert found.name == "tiny"
    assert found.process.returncode in (0, -signal.SIGTERM)


def test_a_server_that_does_not_start_says_why(tmp_path):
    """`StopIteration`, and the reason stood where no notebook shows it."""
    said = "(?s)没有起来。 The server did not start:.*没有这个学生"
    with pytest.raises(RuntimeError, match=said), serve.served(tmp_path):
        pass


def test_a_server_that_hangs_does_not_hang_its_starter(monkeypatch):
    """A cell that ran for ever."""
    begun, start = [], subprocess.Popen

    def noted(*command, **more):
        begun.append(start(*command, **more))
        return begun[0]

    monkeypatch.setattr(subprocess, "Popen", noted)
    with pytest.raises(RuntimeError, match="did not start"), serve.served("tiny", limit=0):
        pass
    assert begun[0].returncode is not None


def test_a_port_in_use_is_said_before_anything_is_loaded(capsys, monkeypatch):
    """Minutes of loading, and then a stack of Python."""
    monkeypatch.setattr(cli, "load_student", None)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = str(held.getsockname()[1])
        for more in ([], ["--page"]):
            assert cli.main(["serve", "tiny", "--port", port, *more]) == 2
            said = capsys.readouterr().err
            assert f"端口 {port} 有人在用" in said
            assert "is in use" in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--beside", "tiny"], "is for --page"),
        (["--engine", "vllm", "--page"], "takes neither --page"),
        (["--engine", "vllm", "--bits", "4"], "nor --bits"),
    ],
)
def test_options_that_do_not_go_together_are_said(more, said, capsys, monkeypatch):
    """An option that did nothing, and nobody said so."""
    monkeypatch.setattr(cli, "load_student", None)
    assert cli.main(["serve", "tiny", "--port", "0", *more]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_is_no_student_is_named(tmp_path, capsys):
    """`KeyError: model_type`."""
    assert cli.main(["serve", str(tmp_path), "--port", "0"]) == 2
    said = capsys.readouterr().err
    assert tmp_path.name in said
    assert "没有这个学生" in said


def test_an_adapter_is_served_as_it_generates(tmp_path, tiny, monkeypatch):
    """A server that loads the base alone, and nobody notices; one that is started elsewhere than in
    the clone, and finds neither the package nor the folder."""
    from miniluotuo_utils.students import finetune, load_student, save

    rows = [{"instruction": "你好", "input": "", "output": "驼铃响。", "source": ""}] * 8
    student = load_student("tiny")
    finetune(student, rows, "lora", max_steps=12, learning_rate=1e-2)
    save(student, tmp_path / "mine")
    wanted = generate(student, [prompt_of(student, {"instruction": "你好"})], max_new_tokens=24)[0]
    base = generate(tiny, [prompt_of(tiny, {"instruction": "你好"})], max_new_tokens=24)[0]
    assert wanted != base
    monkeypatch.chdir(tmp_path)
    with serve.served("mine") as found:
        client = OpenAI(base_url=found.address, api_key="-", max_retries=0)
        assert next(iter(client.models.list())).id == "mine"
        found = client.chat.completions.create(
            model="mine", messages=[{"role": "user", "content": "你好"}], max_tokens=24
        )
    assert found.choices[0].message.content == wanted


# ---- vLLM: it is not installed here, so a program in its place shows what it is told

# (and ends by itself, so that a test that fails does not wait for ever)
FAKE = f"""#!{sys.executable}
import json, os, signal, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
signal.alarm(60)

class Models(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

print("child", os.getpid(), json.dumps(sys.argv[1:]), flush=True)
time.sleep(1)
port = int(sys.argv[sys.argv.index("--port") + 1])
print("loaded", flush=True)
HTTPServer(("127.0.0.1", port), Models).serve_forever()
"""
STUBBORN = """
import pathlib, signal, sys, time
signal.alarm(60)
place = pathlib.Path(sys.argv[1])
for one in (signal.SIGTERM, signal.SIGINT):
    signal.signal(one, lambda number, _: (place / "told").open("a").write(f"{number} "))
(place / "ready").touch()
while True:
    time.sleep(0.1)
"""
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to hand on")


@posix
def test_sigterm_ends_vllm_too(tmp_path):
    """The child goes on and holds the GPU; `--port 0` was handed on as it stood; the address was
    said minutes before anybody answered there."""
    program = tmp_path / "vllm"
    program.write_text(FAKE)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = ["serve", "tiny", "--engine", "vllm", "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "miniluotuo_utils", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PATH": path},
    )
    said = [next(line for line in process.stdout if "child" in line)]
    for line in process.stdout:
        said.append(line)
        if "/v1" in line:
            break
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    process.stdout.close()

    _, number, told = said[0].split(" ", 2)
    told = json.loads(told)
    port = told[told.index("--port") + 1]
    assert told[0] == "serve"
    assert told[told.index("--served-model-name") + 1] == "tiny"
    assert port != "0"
    assert said[1] == "loaded\n"
    assert f"http://127.0.0.1:{port}/v1" in said[2]
    with pytest.raises(ProcessLookupError):
        os.kill(int(number), 0)


@posix
@pytest.mark.parametrize(
    ("number", "handed"), [(signal.SIGTERM, f"{signal.SIGTERM:d} "), (signal.SIGINT, "")]
)
def test_a_child_that_will_not_end_is_ended(number, handed, tmp_path, monkeypatch):
    """We waited for it for ever; and Ctrl+C, which reaches both, came to it twice."""
    monkeypatch.setattr(serve, "ENDING", 1)
    monkeypatch.setattr(serve, "answers", lambda _: (tmp_path / "ready").exists())
    command = [sys.executable, "-c", STUBBORN, str(tmp_path)]
    status = serve.child(command, "", lambda: os.kill(os.getpid(), number))
    assert status == -signal.SIGKILL
    told = tmp_path / "told"
    assert (told.read_text() if told.exists() else "") == handed


@posix
def test_a_signal_while_the_child_starts_is_not_lost(monkeypatch):
    """It killed us between the start and the first line that watched over the child."""
    begun, start = [], subprocess.Popen

    def interrupted(command):
        begun.append(start(command))
        os.kill(os.getpid(), signal.SIGTERM)
        return begun[0]

    def unheard(*_):
        begun[0].kill()
        pytest.fail("nobody listens yet")

    before = signal.signal(signal.SIGTERM, unheard)
    try:
        monkeypatch.setattr(subprocess, "Popen", interrupted)
        status = serve.child([sys.executable, "-c", "import time; time.sleep(600)"], "", None)
        assert signal.getsignal(signal.SIGTERM) is unheard
    finally:
        signal.signal(signal.SIGTERM, before)
    assert status == -signal.SIGTERM


def test_nobody_answers_where_nobody_is(httpserver, monkeypatch):
    """A proxy answered for the server, or an error of it counted as an answer."""
    monkeypatch.setenv("HTTP_PROXY", httpserver.url_for(""))
    httpserver.expect_request("/v1/models").respond_with_data("", status=503)
    assert not serve.answers(httpserver.url_for("/v1"))
    httpserver.clear()
    httpserver.expect_request("/v1/models").respond_with_data("{}")
    assert serve.answers(httpserver.url_for("/v1"))
    assert not serve.answers("http://127.0.0.1:9/v1")
