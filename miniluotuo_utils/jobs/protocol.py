"""Serve a student over the OpenAI protocol with the parts of `transformers serve`.

In: a student. Out: an app whose answers are those of `generate`, byte for byte. Used by `serve`.
This module imports torch, transformers and FastAPI at once, so import it where it is used.

`transformers serve` alone lists the hub's cache and loads whatever it is asked for. What is added:
one student under one name, asked by `prompt_of`, with checks that say what is wrong with a request.
"""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from types import SimpleNamespace
from typing import Any

import torch
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from jinja2 import TemplateError
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from transformers import BatchEncoding, GenerationConfig

from miniluotuo_utils.files import whole_characters
from miniluotuo_utils.generation.batching import end_ids, room_of
from miniluotuo_utils.generation.engine import configuration
from miniluotuo_utils.generation.streaming import BROKEN
from miniluotuo_utils.jobs.endings import ended, streamed
from miniluotuo_utils.students import Student
from miniluotuo_utils.students.folder import LONGEST
from miniluotuo_utils.students.internals import serving
from miniluotuo_utils.tokens import prompt_ids, text_of
from miniluotuo_utils.tokens.template import in_our_template, prompt_of_messages

parts = serving()
# What a client may say; of the last line nothing hangs on an answer.
TAKEN = (
    *("model", "messages", "stream", "max_tokens", "max_completion_tokens", "temperature", "top_p"),
    *("seed", "stop", "frequency_penalty", "logit_bias"),
    *("stream_options", "user", "store", "metadata", "service_tier"),
)
# What clients send though they mean nothing by it; another value would be ignored in silence.
NOTHING = {
    "n": 1,
    "logprobs": False,
    "presence_penalty": 0,
    "response_format": {"type": "text"},
}
UNREAD = (
    "要发一个 JSON 对象，Content-Type 写 application/json。 Expected a JSON object in UTF-8, sent "
    "with Content-Type: application/json."
)
LARGEST = 4 << 20  # bytes of a request: a longer one is refused before it is read to its end
GREEDY = 0.001  # a temperature below this draws nothing but the likeliest, or divides by 0
RANGES = {
    "temperature": (0, 100),
    "top_p": (0, 1),
    "frequency_penalty": (-0.9, 10),
    "seed": (-(2**63), 2**63 - 1),
}
STOPS, STOP_LENGTH = 16, 100  # stop texts of a request, characters of one: more stop everybody
WORDY = 20  # characters of a token: a text with more of them a token fits into no context
# Others load any model, transcribe, or show what a visitor has no use for.
ROUTES = ("/v1/models", "/health")
# Each request runs in a context of its own: set where its client has gone; what ends its answer.
GONE: ContextVar[Event | None] = ContextVar("gone", default=None)
STOPPED_BY: ContextVar[Sequence[str]] = ContextVar("stopped by", default=())


@dataclass
class Served:
    """What `transformers serve` wants of a model."""

    generate: Callable[..., torch.Tensor]
    device: torch.device
    config: Any
    generation_config: GenerationConfig


class OneStudent(parts.ModelManager):
    """A model manager with one student, under whatever name it is asked for."""

    def __init__(self, student: Student, name: str) -> None:
        super().__init__()
        self.student, self.force_model, self.begun = student, name, int(time.time())
        self.served = served(student)
        # A copy: the student's own tokenizer goes on as it was.
        self.tokenizer = copy.copy(student.tokenizer)
        self.tokenizer.apply_chat_template = partial(asked, student)

    def load_model_and_processor(self, *_: Any, **__: Any) -> tuple[Served, Any]:
        """Return the student; nothing else is ever loaded."""
        wanted = partial(while_wanted, self.served.generate, GONE.get(), STOPPED_BY.get())
        return replace(self.served, generate=wanted), self.tokenizer

    def process_model_name(self, name: str) -> str:
        """Return the name as it is; the hub's revision is no part of it."""
        return name

    def get_gen_models(self, *_: Any) -> list[dict]:
        """Return what `GET /v1/models` lists: the student."""
        return [
            {
                "id": self.force_model,
                "object": "model",
                "created": self.begun,
                "owned_by": "mini-luotuo",
            }
        ]


def served(student: Student) -> Served:
    """Return a student as transformers serve takes a model, that answers as `generate` does."""
    model = student.model
    # It would look for thoughts and calls of tools in the answers of any Qwen3.
    config = SimpleNamespace(model_type="student") if in_our_template(student) else model.config
    settings = configuration(student, student.context, end_ids(student))
    return Served(model.generate, model.device, config, settings)


def while_wanted(
    generate: Callable[..., torch.Tensor],
    gone: Event | None,
    stops: Sequence[str],
    **settings: Any,
) -> torch.Tensor:
    """Generate up to a stop text, and neither begin nor go on where the client has gone.

    transformers' own stop texts take a pass over the vocabulary each, and must be spelt by it.
    """
    ids, tail = settings["input_ids"], 4 * max(map(len, stops), default=0)

    def listen(ids: torch.Tensor, scores: Any = None, **_: Any) -> torch.Tensor:
        if gone is not None and gone.is_set():
            raise InterruptedError("nobody waits for this answer any more")
        # A character may be of several tokens, never of more than four.
        new = ids[0, max(start, ids.shape[1] - tail) :]
        said = text_of(settings["tokenizer"], new.tolist()) if stops else ""
        found = any(stop in said for stop in stops)
        return torch.full((len(ids),), found, dtype=torch.bool, device=ids.device)

    start = ids.shape[1]
    listen(ids)
    return generate(**settings, stopping_criteria=[listen])


def asked(student: Student, messages: Sequence[Mapping], **_: Any) -> BatchEncoding:
    """Return the ids of a conversation, int64 [1, tokens], asked as `generate` asks."""
    ids = prompt_ids(student.tokenizer, [prompt_of_messages(student, messages)])
    tokens = torch.tensor(ids)
    return BatchEncoding({"input_ids": tokens, "attention_mask": torch.ones_like(tokens)})


class Checked(parts.ChatCompletionHandler):
    """The handler of chat completions, with checks before anything is queued."""

    async def handle_request(self, body: dict, request_id: str) -> Any:
        """Answer one request; HTTP 400 says in Chinese and in English what is wrong with it."""
        manager = self.model_manager
        # What cannot be answered is said before it waits in the queue.
        try:
            room = checked(manager.student, manager.force_model, body)
            told = body.get("max_completion_tokens") or body.get("max_tokens") or LONGEST
            meant = {field: body[field] for field in TAKEN if field in body and field != "stop"}
            # Clients write whole numbers, and transformers takes none.
            if meant.get("logit_bias"):
                meant["logit_bias"] = {k: float(v) for k, v in meant["logit_bias"].items()}
            meant["max_completion_tokens"] = min(told, room)
            stops = stops_of(body)
            STOPPED_BY.set(stops)
            answer = await super().handle_request(meant, request_id)
        except (ValueError, TypeError, TemplateError) as error:
            said = f"这个请求答不了。 This request cannot be answered: {error}"
            raise HTTPException(400, said) from None

        # And ended as clients expect it.
        if isinstance(answer, StreamingResponse):
            answer.body_iterator = streamed(answer.body_iterator, stops)
            return answer
        return JSONResponse(ended(json.loads(answer.body), stops)) if stops else answer

    @staticmethod
    def get_processor_inputs_from_messages(messages: list[dict], _: Any) -> list[dict]:
        """Return the messages as they are: `input`, which Alpaca's wrapper knows, too."""
        return messages

    def _build_generation_config(
        self, body: dict, settings: GenerationConfig, use_cb: bool = False
    ) -> GenerationConfig:
        made = super()._build_generation_config(body, settings, use_cb=use_cb)
        # A client that gives a temperature wants to draw; alone it changes nothing.
        drawn = made.temperature is not None and made.temperature >= GREEDY
        unsaid = body.get("temperature") is None
        made.do_sample = (body.get("top_p") or 1) < 1 if unsaid else drawn
        if made.do_sample:
            made.top_k = 0
        return made

    def _build_completion(self, request_id: str, content: str, *rest: Any, **more: Any) -> dict:
        whole = content.replace(BROKEN, "")
        return super()._build_completion(request_id, whole, *rest, **more)

    def _build_chunk_sse(self, *first: Any, content: str | None = None, **more: Any) -> str:
        whole = content and content.replace(BROKEN, "")
        return super()._build_chunk_sse(*first, content=whole, **more)


def checked(student: Student, name: str, body: Mapping) -> int:
    """Return how many tokens an answer may have; ValueError for a request without an answer."""
    # Half a character anywhere could not even be quoted in an error.
    try:
        whole_characters(body)
    except UnicodeEncodeError:
        raise ValueError(
            "文字里有半个代理字符，改成完整的字符。 The text holds half of a surrogate pair: send "
            "whole characters"
        ) from None

    # What would be ignored in silence.
    said = {field for field, value in body.items() if value not in (None, NOTHING.get(field))}
    if strange := sorted(said - set(TAKEN)):
        raise ValueError(
            f"不认得的字段。 Fields that this server does not take: {', '.join(strange)[:200]}; "
            f"expected some of {', '.join(TAKEN)}"
        )
    if body.get("model") not in (None, name):
        raise ValueError(
            f"这里只有一个学生。 This server has one student: model={name!r}; found "
            f"{str(body['model'])[:60]!r}"
        )
    limits = (body.get(field) for field in ("max_completion_tokens", "max_tokens"))
    limit = next((value for value in limits if value is not None), 1)
    if type(limit) is not int or limit < 1:
        raise ValueError(
            f"max_tokens 要是正整数。 max_tokens: found {limit!r}, expected a whole number above 0"
        )

    check_drawing(student, body)
    stops_of(body)
    return room_for(student, body.get("messages"))


def check_drawing(student: Student, body: Mapping) -> None:
    """Raise ValueError for numbers by which no answer can be drawn."""
    for field, (least, most) in RANGES.items():
        value = body.get(field)
        if value is not None and not (is_number(value) and least <= value <= most):
            raise ValueError(
                f"{field} 要是 {least} 到 {most} 的数。 {field}: found {str(value)[:60]!r}, "
                f"expected a number from {least} to {most}"
            )
    kinds = {"seed": int | None, "stream": bool | None}
    if not all(isinstance(body.get(field), kind) for field, kind in kinds.items()):
        raise ValueError(
            "seed 要是整数，stream 要是 true 或 false。 Expected seed as a whole number, stream as "
            "true or false"
        )
    biases, size = body.get("logit_bias") or {}, len(student.tokenizer)
    if type(biases) is not dict or not all(is_bias(*one, size) for one in biases.items()):
        raise ValueError(
            f"logit_bias 要是 {{词元编号: 数}}。 logit_bias: expected numbers from -100 to 100 by "
            f"the ids of tokens, 0 to {size - 1}"
        )


def is_number(value: Any) -> bool:
    """Whether a value is a number, and no truth value, which Python counts as one."""
    return type(value) in (int, float)


def is_bias(token: str, value: Any, size: int) -> bool:
    """Whether a bias is a number from -100 to 100, for a token of a vocabulary of this size.

    >>> is_bias("5", 2.5, 10), is_bias("10", 2.5, 10), is_bias("5", "x", 10)
    (True, False, False)
    """
    known = token.isascii() and token.isdigit() and len(token) < 9 and int(token) < size
    return known and is_number(value) and abs(value) <= 100


def stops_of(body: Mapping) -> list[str]:
    """Return the texts that end an answer; ValueError for what is none.

    >>> stops_of({"stop": "。"}), stops_of({})
    (['。'], [])
    """
    found = body.get("stop")
    stops = [found] if isinstance(found, str) else found or []
    good = isinstance(stops, list) and len(stops) <= STOPS
    if not good or not all(isinstance(one, str) and 0 < len(one) <= STOP_LENGTH for one in stops):
        raise ValueError(
            f"stop 要是一段文字，或者最多 {STOPS} 段。 stop: expected a text or at most {STOPS} "
            f"texts, each of 1 to {STOP_LENGTH} characters"
        )
    return stops


def room_for(student: Student, messages: Any) -> int:
    """Return how many tokens may follow a conversation; ValueError for one that is none."""
    if not isinstance(messages, list) or not all(map(is_message, messages)):
        raise ValueError(
            "messages 要是一串 {role, content}，content 是文字。 messages: expected a list of "
            '{"role": "user", "content": "…"}, its content a text'
        )
    # Before the queue, since one text that fills the memory would stop everybody's answers; and
    # before it is counted in tokens, which stops them as long as that takes.
    letters = sum(len(said["content"]) + len(said.get("input", "")) for said in messages)
    if letters > WORDY * student.context:
        raise ValueError(
            f"文字太长：{letters:,} 个字，上下文只有 {student.context:,} 个词元。 Too long: "
            f"{letters:,} characters, the student's context holds {student.context:,} tokens"
        )
    size = asked(student, messages)["input_ids"].shape[1]
    room = room_of(student, size, student.context)
    if room < 1:
        raise ValueError(
            f"文字太长：{size:,} 个词元，上下文只有 {student.context:,}。 Too long: the prompt has "
            f"{size:,} tokens, the student's context holds {student.context:,}; cut the text, or "
            "extract from it piece by piece: python -m miniluotuo_utils extract"
        )
    return room


def is_message(value: Any) -> bool:
    """Whether a value is a message of text, as all clients write one."""
    if not isinstance(value, dict):
        return False
    texts = (value.get("role"), value.get("content"), value.get("input", ""))
    return all(isinstance(text, str) for text in texts)


async def as_openai(_: Any, error: HTTPException | RequestValidationError) -> JSONResponse:
    """Return an error in OpenAI's form: in FastAPI's own its client shows no more than a number."""
    said = getattr(error, "detail", UNREAD)
    said = UNREAD if said == "There was an error parsing the body" else said
    told = {"message": said, "type": "invalid_request_error", "param": None, "code": None}
    return JSONResponse({"error": told}, getattr(error, "status_code", 400))


def app_of(student: Student, name: str, hosts: Sequence[str] = ("*",)) -> FastAPI:
    """Return the app that serves a student under a name: chat completions, models, health.

    `hosts` are the names by which it may be called, `*` is any. A request above 4 MiB gets status
    413, one to another name 400.
    """
    manager, state = OneStudent(student, name), parts.GenerationState()
    handler = Checked(manager, state)
    app = parts.build_server(manager, handler, None, None, None, None, generation_state=state)
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, as_openai)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=LARGEST)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    app.router.routes = [route for route in app.router.routes if route.path in ROUTES]

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request, body: dict) -> Response:
        return await unless_gone(handler, request, body)

    return app


async def unless_gone(handler: Checked, request: Request, body: dict) -> Response:
    """Return the answer to a request; where its client goes away, nothing more is computed for it.

    A client that waited too long asks again: without this the server would first make all the
    answers that nobody waits for.
    """
    gone = Event()
    GONE.set(gone)
    answer = asyncio.ensure_future(handler.handle_request(body, request.state.request_id))
    # Behind its body a request has nothing more to say than that its client has gone. (Asked
    # whether it has, it says no: there is a middleware before it.)
    left = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait([answer, left], return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            gone.set()
            await asyncio.wait([answer])
        return answer.result()
    except InterruptedError:
        return Response(status_code=499)  # read by nobody
    except asyncio.CancelledError:  # the server is stopped
        gone.set()
        raise
    finally:
        left.cancel()
        await asyncio.wait([left])
