"""Serve a student over the OpenAI protocol with the parts of `transformers serve`.

In: a student. Out: an app whose answers are those of `generate`, byte for byte. Used by `serve`.
This module imports torch, transformers and FastAPI at once, so import it where it is used.

`transformers serve` alone lists the hub's cache and loads whatever it is asked for. What is added:
one student under one name, asked by `prompt_of`, with checks that say what is wrong with a request.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from jinja2 import TemplateError
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from transformers import BatchEncoding, GenerationConfig

from miniluotuo_utils.files import whole_characters
from miniluotuo_utils.generation.batching import end_ids, room_of
from miniluotuo_utils.generation.engine import configuration
from miniluotuo_utils.generation.presets import preset_of
from miniluotuo_utils.generation.streaming import BROKEN
from miniluotuo_utils.students import Student
from miniluotuo_utils.students.folder import LONGEST
from miniluotuo_utils.students.internals import serving
from miniluotuo_utils.tokens import prompt_ids
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
LARGEST = 4 << 20  # bytes of a request: a longer one is refused before it is read to its end
WORDY = 20  # characters of a token: a text with more of them a token fits into no context
# Others load any model, transcribe, or show what a visitor has no use for.
ROUTES = ("/v1/chat/completions", "/v1/models", "/health")


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
        return self.served, self.tokenizer

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
        try:
            room = checked(manager.student, manager.force_model, body)
            told = body.get("max_completion_tokens") or body.get("max_tokens") or LONGEST
            meant = {field: body[field] for field in TAKEN if field in body}
            meant["max_completion_tokens"] = min(told, room)
            return await super().handle_request(meant, request_id)
        except (ValueError, TypeError, TemplateError) as error:
            said = f"这个请求答不了。 This request cannot be answered: {error}"
            raise HTTPException(400, said) from None

    @staticmethod
    def get_processor_inputs_from_messages(messages: list[dict], _: Any) -> list[dict]:
        """Return the messages as they are: `input`, which Alpaca's wrapper knows, too."""
        return messages

    def _build_generation_config(
        self, body: dict, settings: GenerationConfig, use_cb: bool = False
    ) -> GenerationConfig:
        made = super()._build_generation_config(body, settings, use_cb=use_cb)
        # A client that gives a temperature wants to draw; alone it changes nothing.
        made.do_sample = bool(body.get("temperature")) or (body.get("top_p") or 1) < 1
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

    # How it is drawn has the checks of a preset; a temperature of 0 means the likeliest.
    named = {field: body.get(field) for field in ("temperature", "top_p")}
    preset_of("creative", **{field: value for field, value in named.items() if value})
    return room_for(student, body.get("messages"))


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
    said = getattr(error, "detail", "要发一个 JSON 对象。 Expected a JSON object.")
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
    return app
