"""Serve recorded answers over the OpenAI chat protocol: a stand-in for a paid teacher.

In: the bank, rows of `instruction, input, output, topic`. Out: the protocol on 127.0.0.1, so that
the code which asks a paid teacher is the code that runs offline too, in classes and in CI. Shown in
notebook 02.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.teacher.client import STAND_IN, Teacher, question_of
from miniluotuo_utils.teacher.store import Store, request_key

if TYPE_CHECKING:  # a quarter of a second to import: loaded with the first server
    from aiohttp.web import Request, StreamResponse

MODEL = STAND_IN
NOT_RECORDED = "这里只是录制的替身教师，没有录下这条指令的回答。"

LOG_IN = "<html>请先登录。 Please log in.</html>"  # what a proxy sends in place of an answer

# the parts of a guided prompt that the stand-in reads, each with an example
PROMPT = {
    "given": re.compile(
        r"^<example>(.*?)</example>", re.DOTALL | re.MULTILINE
    ),  # <example>写一首诗</example>
    "count": re.compile(r"(?:Generate|生成)\s*(\d+)"),  # 生成 20 个多样的示例
    "topics": re.compile(r"(?:topics?|主题是)\s*[\"“]([^\"”]+)[\"”]"),  # 主题是“茶叶、高铁”
    "between topics": re.compile(r"\s*[,，、]\s*"),  # 茶叶、高铁
}


class Bank:
    """What the recorded teacher knows. The same request always gets the same answer."""

    def __init__(self, rows: Sequence[Mapping]) -> None:
        self.topic_of = {question_of(row): row.get("topic", "") for row in rows}
        self.answers = {question_of(row): row["output"] for row in rows}

    def answer(self, request: Mapping) -> str | None:
        """Return one reply: examples for a guided prompt, else the recorded output, else None."""
        asked = [m["content"] for m in request["messages"] if m["role"] == "user"]
        message = asked[-1]
        if "<example>" not in message:
            # An output that is a list answers turn by turn: first this, when asked again that.
            begun = self.answers.get(asked[0].strip())
            turns = dict(enumerate(begun, 1)) if isinstance(begun, list) else {}
            return turns.get(len(asked)) if turns else self.answers.get(message.strip())
        chosen = self.examples(message, random.Random(request_key(request)))
        lines = [f"<example>{text}</example>" for text in chosen]
        # Real teachers number their examples now and then; parsers must live with that.
        if random.Random(request_key(request)).random() < 0.3:
            lines = [f"{number}. {line}" for number, line in enumerate(lines, 1)]
        return "\n".join(lines) or None

    def examples(self, message: str, chance: random.Random) -> list[str]:
        """Return as many new instructions as the prompt asks for, of its topics if it has some."""
        given = {text.strip() for text in PROMPT["given"].findall(message)}
        orders = PROMPT["given"].sub("", message)
        count, named = PROMPT["count"].search(orders), PROMPT["topics"].search(orders)
        free = [text for text in self.answers if text not in given]
        chance.shuffle(free)
        if named:
            topics = PROMPT["between topics"].split(named[1])
            mentions = re.compile("|".join(map(re.escape, topics)))
            # First those filed under a topic, then those that mention one; others do not fit.
            filed = [text for text in free if self.topic_of[text] in topics]
            others = [text for text in free if self.topic_of[text] not in topics]
            free = filed + [text for text in others if mentions.search(text)]
        return free[: int(count[1]) if count else 20]


FAULTS = ("429", "500", "503", "hang", "reset", "not json", "cut", "slow")


@dataclass
class Faults:
    """What goes wrong: a share `rate` of requests, by one of `kinds`, drawn from `seed`.

    429 and 503 come with Retry-After. `hang` says nothing for `hang` seconds and hangs up. `reset`
    breaks the connection in the middle of the body. `not json` is a log-in page with status 200.
    `cut` ends the reply at half with finish_reason length. `slow` drips the body.
    """

    rate: float = 0.0
    kinds: Sequence[str] = FAULTS
    seed: int = 0
    retry_after: float = 0.05
    hang: float = 3.0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.kinds) - set(FAULTS))
        if unknown:
            raise ValueError(f"kinds: found {unknown}, expected some of {', '.join(FAULTS)}")
        self.chance = random.Random(self.seed)

    def next(self) -> str | None:
        """Return the fault of the next request, None where all goes well."""
        faulty = self.chance.random() < self.rate
        return self.chance.choice(list(self.kinds)) if faulty else None


class RecordedTeacher:
    """`with RecordedTeacher(rows) as server:` serves them at `server.base_url`.

    An `output` that is a list holds the answers of a conversation, turn by turn.
    The model name to ask for is `server.model`. Tokens in `usage` are characters: it has no
    tokenizer. `latency` seconds pass before each answer. `server.faults` may be replaced at
    any time, so that a lecturer can show failure live; `server.answered` counts the answers sent,
    by the key of their request.
    """

    def __init__(
        self,
        bank_rows: Sequence[Mapping],
        faults: Faults | None = None,
        latency: float = 0.0,
    ) -> None:
        # The name changes with the bank: a store must not answer from an older one.
        version = request_key({"bank": [dict(row) for row in bank_rows]})[:8]
        self.bank, self.model = Bank(bank_rows), f"{MODEL}@{version}"
        self.faults, self.latency = faults or Faults(), latency
        self.answered: Counter[str] = Counter()

    def __enter__(self) -> RecordedTeacher:
        from aiohttp import web
        from anyio.from_thread import start_blocking_portal

        app = web.Application(client_max_size=2**30)
        app.router.add_post("/{path:.*}", self.respond)
        # A notebook's output is no server log, and a client that hangs up is no news.
        silent = logging.Logger(MODEL, logging.CRITICAL + 1)
        runner = web.AppRunner(app, access_log=None, logger=silent, shutdown_timeout=0)

        # The server lives in a thread beside the notebook, with an event loop of its own.
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            portal.call(runner.setup)
            stack.callback(portal.call, runner.cleanup)
            # Port 0 is any free one.
            portal.call(web.TCPSite(runner, "127.0.0.1", 0, backlog=256).start)
            self.stack = stack.pop_all()
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    async def respond(self, http: Request) -> StreamResponse:
        """Send one chat completion, the protocol's error for a bad request, or a fault."""
        if http.path != "/v1/chat/completions":
            return failure(404, f"found POST {http.path}, expected POST /v1/chat/completions")
        try:
            request = checked_request(json.loads(await http.read()))
        except ValueError as error:
            return failure(400, f"{error}; expected a chat completion request in JSON")

        # Faults come after the request was understood, as they do at a busy provider.
        await asyncio.sleep(self.latency)
        fault = self.faults.next()
        if fault in ("429", "500", "503"):
            return failure(
                int(fault),
                f"a fault on purpose: {fault}",
                {"Retry-After": str(self.faults.retry_after)},
            )
        if fault == "hang":
            await asyncio.sleep(self.faults.hang)
            http.transport.abort()
            return failure(500, "hung up")  # reaches nobody

        # Only what reaches the client whole is paid for, and counts as answered.
        if fault not in ("reset", "not json"):
            self.answered[request_key(request)] += 1
        answer = completion(request, self.bank.answer(request), self.model, cut=fault == "cut")
        text = LOG_IN if fault == "not json" else json.dumps(answer, ensure_ascii=False)
        return await sent(http, text.encode("utf-8"), fault)


def failure(status: int, message: str, headers: Mapping[str, str] | None = None) -> StreamResponse:
    """Return an error in OpenAI's form."""
    from aiohttp import web

    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return web.json_response({"error": error}, status=status, headers=headers)


async def sent(http: Request, body: bytes, fault: str | None) -> StreamResponse:
    """Send a body, in drips or not to its end where that is the fault."""
    from aiohttp import web

    response = web.StreamResponse(
        headers={
            "Content-Length": str(len(body)),
            "Content-Type": "application/json; charset=utf-8",
        }
    )
    await response.prepare(http)
    step = {"reset": len(body) // 2, "slow": 40}.get(fault, len(body))
    for start in range(0, len(body), step):
        await response.write(body[start : start + step])
        # The header has promised the whole body: a client must notice that half of it is missing.
        if fault == "reset":
            http.transport.abort()
            break
        if fault == "slow":
            await asyncio.sleep(0.01)
    return response


def checked_request(request: Any) -> dict:
    """Return a request that can be answered; ValueError says what is wrong with another."""
    messages = request.get("messages") if isinstance(request, dict) else None
    if not isinstance(messages, list) or not all(map(is_message, messages)):
        raise ValueError("messages: found no list of objects with the strings role and content")
    if not any(message["role"] == "user" for message in messages):
        raise ValueError("messages: found none of the user")
    limit = request.get("max_tokens", 1)
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ValueError(f"max_tokens: found {limit!r}, no whole number above 0")
    if request.get("stream"):
        raise ValueError("stream: found true, but one plain reply is all that is recorded")
    return request


def is_message(value: object) -> bool:
    """Whether a value is a message with the texts `role` and `content`."""
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) for name in ("role", "content")
    )


def completion(request: Mapping, answer: str | None, model: str, cut: bool = False) -> dict:
    """Return the chat completion object; a token is a character here.

    `max_tokens` cuts as a real teacher would; `cut` cuts at half. Without an `answer` it says so,
    and its finish_reason is `not_recorded`: no student must learn from that.
    """
    text = NOT_RECORDED if answer is None else answer
    limit = min(request.get("max_tokens") or len(text), len(text) // 2 if cut else len(text))
    shown, prompt = text[:limit], sum(len(m["content"]) for m in request["messages"])
    finish_reason = "stop" if answer is not None else "not_recorded"
    return {
        "id": f"chatcmpl-{request_key(request)[:24]}",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "system_fingerprint": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": shown},
                "logprobs": None,
                "finish_reason": finish_reason if shown == text else "length",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": len(shown),
            "total_tokens": prompt + len(shown),
        },
    }


@contextmanager
def open_teacher(
    store_path: Path | str | None,
    bank: Path | str | Sequence[Mapping] = EMBEDDED / "bank.jsonl",
    **options: object,
) -> Iterator[Teacher]:
    """Open the paid teacher if TEACHER_BASE_URL is set, else the recorded one.

    The first time that a store is opened it says which.
    `bank` is a JSON Lines file or its rows; `options` go to `Teacher` (concurrency,
    requests_per_minute, ...).
    """
    with closing(Store(store_path)) as store:
        if os.environ.get("TEACHER_BASE_URL"):
            teacher = Teacher(store=store, **options)
            announce(
                f"教师：{teacher.where}，按用量计费。 "
                f"Teacher: {teacher.where}; asking it may cost money.",
                str(store_path),
            )
            yield teacher
        else:
            rows = read_jsonl(bank) if isinstance(bank, (str, Path)) else bank
            with RecordedTeacher(rows) as server:
                announce(
                    "教师：录制的替身，不联网、不花钱（没有设置 TEACHER_BASE_URL）。 "
                    "Teacher: the recorded stand-in, no network, no cost (TEACHER_BASE_URL is not "
                    "set).",
                    str(store_path),
                )
                yield Teacher(server.base_url, server.model, "recorded", store, **options)


@cache
def announce(words: str, store: str) -> None:
    """Say who answers, once for each store: a notebook opens one many times."""
    print(words)
