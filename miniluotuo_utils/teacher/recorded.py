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
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.prompts import joined
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
        self.topic_of = {
            joined(row["instruction"], row.get("input") or ""): row.get("topic", "") for row in rows
        }
        self.answers = {
            joined(row["instruction"], row.get("input") or ""): row["output"] for row in rows
        }

    def answer(self, request: Mapping) -> str:
        """The content of one reply: examples for a guided prompt, else the recorded output, else NOT_RECORDED."""
        message = [m["content"] for m in request["messages"] if m["role"] == "user"][-1]
        if "<example>" not in message:
            return self.answers.get(message.strip(), NOT_RECORDED)
        chosen = self.examples(message, random.Random(request_key(request)))
        numbered = (
            random.Random(request_key(request)).random() < 0.3
        )  # as real teachers do now and then
        lines = [
            f"{i}. " * numbered + f"<example>{text}</example>" for i, text in enumerate(chosen, 1)
        ]
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
        near = [
            text
            for text in free
            if self.topic_of[text] not in topics and any(t in text for t in topics)
        ]
        return [*named, *near][:count]


FAULTS = ("429", "500", "503", "hang", "reset", "not json", "cut", "slow")


@dataclass
class Faults:
    """What goes wrong, how often (`rate`, a share of requests) and which `kinds` of `FAULTS`; drawn from `seed`.

    429 and 503 come with Retry-After; `hang` says nothing for `hang` seconds and hangs up; `reset` breaks the connection in the middle of
    the body; `not json` is a log-in page with status 200; `cut` ends the reply at half with finish_reason length; `slow` drips the body.
    """

    rate: float = 0.0
    kinds: Sequence[str] = FAULTS
    seed: int = 0
    retry_after: float = 0.05
    hang: float = 3.0

    def __post_init__(self) -> None:
        if unknown := set(self.kinds) - set(FAULTS):
            raise ValueError(
                f"kinds: found {sorted(unknown)}, expected some of {', '.join(FAULTS)}"
            )
        self.chance, self.lock = random.Random(self.seed), threading.Lock()

    def next(self) -> str | None:
        """The fault of the next request, None where all goes well."""
        with self.lock:
            return (
                self.chance.choice(list(self.kinds)) if self.chance.random() < self.rate else None
            )


class RecordedTeacher:
    """`with RecordedTeacher(rows) as server:` serves them at `server.base_url` under the model name `server.model`.

    `port=0` takes any free port; a port in use raises OSError. Tokens in `usage` are characters: it has no tokenizer.
    `latency` seconds pass before each answer. `server.faults` may be replaced at any time, so that a lecturer can show failure
    live; `server.answered` counts the answers sent, by the key of their request.
    """

    def __init__(
        self,
        bank_rows: Sequence[Mapping],
        port: int = 0,
        faults: Faults | None = None,
        latency: float = 0.0,
    ) -> None:
        self.bank, self.port, self.faults, self.latency = (
            Bank(bank_rows),
            port,
            faults or Faults(),
            latency,
        )
        self.model = f"{MODEL}@{bank_version(bank_rows)}"
        self.answered: Counter[str] = Counter()

    @property
    def base_url(self) -> str:
        """What a client needs, with the port that was found free."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> RecordedTeacher:
        handler = type("Handler", (ChatHandler,), {"teacher": self})
        try:
            self.server = QuietServer(("127.0.0.1", self.port), handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise OSError(
                errno.EADDRINUSE,
                f"port {self.port} of 127.0.0.1 is in use, expected a free one. Use port=0 for any "
                "free port, or stop the program that holds it",
            ) from None
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()


class QuietServer(ThreadingHTTPServer):
    """One thread per connection; a queue long enough for a client that opens many at once."""

    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


class ChatHandler(BaseHTTPRequestHandler):
    """POST /v1/chat/completions, plain or streamed, and GET /v1/models."""

    teacher: RecordedTeacher
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: apart, they cost 40 ms per reply
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """The one model there is."""
        if self.path != "/v1/models":
            return self.fail(
                404, f"found GET {self.path}, expected GET /v1/models or POST /v1/chat/completions"
            )
        entry = {
            "id": self.teacher.model,
            "object": "model",
            "created": 0,
            "owned_by": "mini-luotuo",
        }
        self.send(200, {"object": "list", "data": [entry]})

    def do_POST(self) -> None:
        """One chat completion, or the error that the protocol has for a request that is none, or a fault."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/v1/chat/completions":
            return self.fail(404, f"found POST {self.path}, expected POST /v1/chat/completions")
        try:
            request = read_request(body)
        except BadRequest as error:
            return self.fail(400, str(error))
        time.sleep(self.teacher.latency)
        fault = self.teacher.faults.next()
        if fault in ("429", "500", "503"):
            return self.fail(
                int(fault),
                f"a fault on purpose: {fault}",
                {"Retry-After": str(self.teacher.faults.retry_after)},
            )
        if fault == "hang":
            time.sleep(self.teacher.faults.hang)
            return self.hang_up()
        whole = completion(
            request, self.teacher.bank.answer(request), self.teacher.model, cut=fault == "cut"
        )
        if fault != "reset" and fault != "not json":
            self.teacher.answered[request_key(request)] += 1
        if request.get("stream"):
            return self.stream(request, whole)
        self.send(200, whole, fault=fault)

    def fail(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """An error in OpenAI's form."""
        self.send(
            status,
            {
                "error": {
                    "message": message,
                    "type": "invalid_request_error",
                    "param": None,
                    "code": None,
                }
            },
            headers,
        )

    def send(
        self,
        status: int,
        value: dict,
        headers: Mapping[str, str] | None = None,
        fault: str | None = None,
    ) -> None:
        """One JSON answer, or what a fault makes of it."""
        data = json.dumps(value, ensure_ascii=False).encode("utf-8")
        if fault == "not json":
            data = "<html>请先登录。 Please log in.</html>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        if fault == "reset":
            self.wfile.write(data[: len(data) // 2])
            return self.hang_up()
        for piece in (
            [data[i : i + 40] for i in range(0, len(data), 40)] if fault == "slow" else [data]
        ):
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(0.01 if fault == "slow" else 0)

    def stream(self, request: Mapping, whole: Mapping) -> None:
        """The same answer as server-sent events, a few characters each, with the usage in the last where it is asked for."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        choice, text = whole["choices"][0], whole["choices"][0]["message"]["content"]
        head = {name: whole[name] for name in ("id", "created", "model")} | {
            "object": "chat.completion.chunk"
        }
        deltas = [
            ({"role": "assistant", "content": ""}, None),
            *(({"content": text[i : i + 3]}, None) for i in range(0, len(text), 3)),
            ({}, choice["finish_reason"]),
        ]
        events = [
            head | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
            for delta, reason in deltas
        ]
        if (request.get("stream_options") or {}).get("include_usage"):
            events.append(head | {"choices": [], "usage": whole["usage"]})
        for event in [*(json.dumps(e, ensure_ascii=False) for e in events), "[DONE]"]:
            self.wfile.write(f"data: {event}\n\n".encode())
            self.wfile.flush()
        self.close_connection = True

    def hang_up(self) -> None:
        """Break the connection at once, so that the client sees a reset and no end."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing: a notebook's output is no server log."""


def read_request(body: bytes) -> dict:
    """The request of a body; BadRequest says what is wrong with one that cannot be answered."""
    try:
        request = json.loads(body)
    except ValueError as error:
        raise BadRequest(
            f"body: found no JSON ({error}), expected a chat completion request"
        ) from None
    messages = request.get("messages") if isinstance(request, dict) else None
    whole = isinstance(messages, list) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str)
        for m in messages
    )
    if not whole or not any(m["role"] == "user" for m in messages):
        raise BadRequest(
            "messages: expected a list of objects with the strings role and content, one of them of the user"
        )
    limit = request.get("max_tokens")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise BadRequest(f"max_tokens: found {limit!r}, expected a whole number above 0")
    return request


def completion(request: Mapping, text: str, model: str, cut: bool = False) -> dict:
    """The chat completion object. A token is a character here, and `max_tokens` cuts as a real teacher would; `cut` cuts at half."""
    limit = min(request.get("max_tokens") or len(text), len(text) // 2 if cut else len(text))
    asked = sum(len(m["content"]) for m in request["messages"])
    shown = text[:limit]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": shown},
        "logprobs": None,
        "finish_reason": "stop" if shown == text else "length",
    }
    return {
        "id": f"chatcmpl-{request_key(request)[:24]}",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "system_fingerprint": MODEL,
        "choices": [choice],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": len(shown),
            "total_tokens": asked + len(shown),
        },
    }


@contextmanager
def open_teacher(
    store_path: Path | str | None,
    bank: Path | str | Sequence[Mapping] = EMBEDDED / "bank.jsonl",
    **options: object,
) -> Iterator[Teacher]:
    """The paid teacher if TEACHER_BASE_URL is set, else the recorded one; says in one line which of the two it is.

    `bank` is a JSON Lines file or its rows; `options` go to `Teacher` (concurrency, requests_per_minute, ...).
    """
    store = Store(store_path)
    try:
        if os.environ.get("TEACHER_BASE_URL"):
            teacher = Teacher(store=store, **options)
            print(
                f"教师：{teacher.where}，按用量计费。 Teacher: {teacher.where}; asking it may cost money."
            )
            yield teacher
            return
        rows = read_jsonl(bank) if isinstance(bank, (str, Path)) else bank
        with RecordedTeacher(rows) as server:
            print(
                "教师：录制的替身，不联网、不花钱（没有设置 TEACHER_BASE_URL）。 "
                "Teacher: the recorded stand-in, no network, no cost (TEACHER_BASE_URL is not set)."
            )
            yield Teacher(server.base_url, server.model, "recorded", store, **options)
    finally:
        store.close()
