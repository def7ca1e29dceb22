"""The recorded teacher: a real server of the OpenAI chat protocol whose answers stand in a file, for classes and for CI.

In: the bank, rows of `instruction, input, output, topic`. Out: the protocol on 127.0.0.1, so that the code which asks a
paid teacher is the code that runs offline too. Shown in notebook 02.
"""

from __future__ import annotations

import errno
import json
import os
import random
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from miniluotuo_utils.prompts import joined
from miniluotuo_utils.records import read_jsonl
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.teacher.client import Teacher
from miniluotuo_utils.teacher.store import Store, request_key

MODEL = "recorded-stand-in"
NOT_RECORDED = "这里只是录制的替身教师，没有录下这条指令的回答。"
GIVEN = re.compile(r"^<example>(.*?)</example>", re.DOTALL | re.MULTILINE)
ASKED_FOR = re.compile(r"(?:Generate|生成)\s*(\d+)")
TOPICS = re.compile(r"(?:topics?|主题是)\s*[\"“]([^\"”]+)[\"”]")


class BadRequest(ValueError):
    """A request that is no chat completion; becomes HTTP 400 with the message."""


def bank_version(rows: Sequence[Mapping]) -> str:
    """Eight digits that change with the bank, so that a store never answers from an older one.

    >>> len(bank_version([{"instruction": "问好", "output": "你好。"}]))
    8
    """
    return request_key({"bank": [dict(row) for row in rows]})[:8]


class Bank:
    """What the recorded teacher knows, and how it chooses: the same request always gets the same answer."""

    def __init__(self, rows: Sequence[Mapping]) -> None:
        self.topic_of = {joined(row["instruction"], row.get("input") or ""): row.get("topic", "") for row in rows}
        self.answers = {joined(row["instruction"], row.get("input") or ""): row["output"] for row in rows}

    def answer(self, request: Mapping) -> str:
        """The content of one reply: examples for a guided prompt, else the recorded output, else NOT_RECORDED."""
        message = [m["content"] for m in request["messages"] if m["role"] == "user"][-1]
        if "<example>" not in message:
            return self.answers.get(message.strip(), NOT_RECORDED)
        chosen = self.examples(message, random.Random(request_key(request)))
        numbered = random.Random(request_key(request)).random() < 0.3  # as real teachers do now and then
        lines = [f"{i}. " * numbered + f"<example>{text}</example>" for i, text in enumerate(chosen, 1)]
        return "\n".join(lines) or NOT_RECORDED

    def examples(self, message: str, chance: random.Random) -> list[str]:
        """Up to as many instructions as the prompt asks for, without the given ones, those of its topics first."""
        given = {text.strip() for text in GIVEN.findall(message)}
        orders = GIVEN.sub("", message)
        asked = ASKED_FOR.search(orders)
        count = int(asked[1]) if asked else 20
        free = [text for text in self.answers if text not in given]
        chance.shuffle(free)
        if not (found := TOPICS.search(orders)):
            return free[:count]
        topics = re.split(r"\s*[,，、]\s*", found[1])
        named = [text for text in free if self.topic_of[text] in topics]
        near = [text for text in free if self.topic_of[text] not in topics and any(t in text for t in topics)]
        return [*named, *near][:count]


class RecordedTeacher:
    """`with RecordedTeacher(rows) as server:` serves them at `server.base_url` under the model name `server.model`.

    `port=0` takes any free port; a port in use raises OSError. Tokens in `usage` are characters: it has no tokenizer.
    """

    def __init__(self, bank_rows: Sequence[Mapping], port: int = 0) -> None:
        self.bank, self.port = Bank(bank_rows), port
        self.model = f"{MODEL}@{bank_version(bank_rows)}"

    @property
    def base_url(self) -> str:
        """What a client needs, with the port that was found free."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> RecordedTeacher:
        handler = type("Handler", (ChatHandler,), {"bank": self.bank, "model": self.model})
        try:
            self.server = QuietServer(("127.0.0.1", self.port), handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise OSError(errno.EADDRINUSE, f"port {self.port} of 127.0.0.1 is in use, expected a free one. Use port=0 for any "
                          "free port, or stop the program that holds it") from None  # fmt: skip
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()


class QuietServer(ThreadingHTTPServer):
    """One thread per connection; a queue long enough for a client that opens many at once."""

    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


class ChatHandler(BaseHTTPRequestHandler):
    """POST /v1/chat/completions (not streamed) and GET /v1/models."""

    bank: Bank
    model: str
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: apart, they cost 40 ms per reply
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """The one model there is."""
        if self.path != "/v1/models":
            return self.fail(404, f"found GET {self.path}, expected GET /v1/models or POST /v1/chat/completions")
        entry = {"id": self.model, "object": "model", "created": 0, "owned_by": "mini-luotuo"}
        self.send(200, {"object": "list", "data": [entry]})

    def do_POST(self) -> None:
        """One chat completion, or the error that the protocol has for a request that is none."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/v1/chat/completions":
            return self.fail(404, f"found POST {self.path}, expected POST /v1/chat/completions")
        try:
            request = read_request(body)
        except BadRequest as error:
            return self.fail(400, str(error))
        self.send(200, completion(request, self.bank.answer(request), self.model))

    def fail(self, status: int, message: str) -> None:
        """An error in OpenAI's form."""
        self.send(status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}})

    def send(self, status: int, value: dict) -> None:
        """One JSON answer."""
        data = json.dumps(value, ensure_ascii=False).encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing: a notebook's output is no server log."""


def read_request(body: bytes) -> dict:
    """The request of a body; BadRequest says what is wrong with one that cannot be answered."""
    try:
        request = json.loads(body)
    except ValueError as error:
        raise BadRequest(f"body: found no JSON ({error}), expected a chat completion request") from None
    messages = request.get("messages") if isinstance(request, dict) else None
    whole = isinstance(messages, list) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in messages
    )
    if not whole or not any(m["role"] == "user" for m in messages):
        raise BadRequest("messages: expected a list of objects with the strings role and content, one of them of the user")
    if request.get("stream"):
        raise BadRequest("stream: found true, expected false; the recorded teacher does not stream")
    limit = request.get("max_tokens")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise BadRequest(f"max_tokens: found {limit!r}, expected a whole number above 0")
    return request


def completion(request: Mapping, text: str, model: str) -> dict:
    """The chat completion object. A token is a character here, and `max_tokens` cuts as a real teacher would."""
    limit = request.get("max_tokens") or len(text)
    asked = sum(len(m["content"]) for m in request["messages"])
    shown = text[:limit]
    choice = {"index": 0, "message": {"role": "assistant", "content": shown}, "logprobs": None,
              "finish_reason": "stop" if shown == text else "length"}  # fmt: skip
    return {
        "id": f"chatcmpl-{request_key(request)[:24]}", "object": "chat.completion", "created": 0, "model": model,
        "system_fingerprint": MODEL, "choices": [choice],
        "usage": {"prompt_tokens": asked, "completion_tokens": len(shown), "total_tokens": asked + len(shown)},
    }  # fmt: skip


@contextmanager
def open_teacher(
    store_path: Path | str | None, bank: Path | str | Sequence[Mapping] = EMBEDDED / "bank.jsonl", **options: object
) -> Iterator[Teacher]:
    """The paid teacher if TEACHER_BASE_URL is set, else the recorded one; says in one line which of the two it is.

    `bank` is a JSON Lines file or its rows; `options` go to `Teacher` (concurrency, requests_per_minute, ...).
    """
    store = Store(store_path)
    try:
        if os.environ.get("TEACHER_BASE_URL"):
            teacher = Teacher(store=store, **options)
            print(f"教师：{teacher.where}，按用量计费。 Teacher: {teacher.where}; asking it may cost money.")
            yield teacher
            return
        rows = read_jsonl(bank) if isinstance(bank, (str, Path)) else bank
        with RecordedTeacher(rows) as server:
            print("教师：录制的替身，不联网、不花钱（没有设置 TEACHER_BASE_URL）。 "
                  "Teacher: the recorded stand-in, no network, no cost (TEACHER_BASE_URL is not set).")  # fmt: skip
            yield Teacher(server.base_url, server.model, "recorded", store, **options)
    finally:
        store.close()
