"""End served answers as the OpenAI protocol does: without the stop text, with a last event.

In: what `transformers serve` sends. Out: the same, ended as clients expect. Used by `serve`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

LAST = "data: [DONE]\n\n"


def before_stop(text: str, stops: Sequence[str]) -> str:
    """Return a text up to the first of several stop texts.

    >>> before_stop("您好。我是", ["是", "。"]), before_stop("您好", ["。"])
    ('您好', '您好')
    """
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places, default=len(text))]


def sure(text: str, stops: Sequence[str]) -> str:
    """Return as much of a growing text as no stop text can take back any more.

    >>> sure("一二", ["二三"]), sure("一二四", ["二三"]), sure("一二三四", ["二三"])
    ('一', '一二四', '一')
    """
    whole = before_stop(text, stops)
    if whole != text:
        return whole
    begun = (n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
    return text[: len(text) - max(begun, default=0)]


def ended(answer: dict, stops: Sequence[str]) -> dict:
    """Return a completion whose text ends before the first stop text."""
    [choice] = answer["choices"]
    said = choice["message"].get("content") or ""
    choice["message"]["content"] = before_stop(said, stops)
    if choice["message"]["content"] != said:
        choice["finish_reason"] = "stop"
    return answer


@dataclass
class Stream:
    """What was made of a streamed answer so far, and how many characters of it were sent."""

    stops: Sequence[str]
    text: str = ""
    sent: int = 0

    def passed_on(self, chunk: dict) -> list[dict]:
        """Return the chunks to send in place of one, its text held back where a stop may begin."""
        choices = chunk.get("choices")
        if not choices:
            return [chunk]
        # All text so far, for a stop text may come in several pieces.
        [choice] = choices
        self.text += choice["delta"].get("content") or ""
        over = choice.get("finish_reason")
        safe = (before_stop if over else sure)(self.text, self.stops)
        piece, self.sent = safe[self.sent :], max(self.sent, len(safe))
        if not over:
            silent = choice["delta"].get("content") and not piece
            choice["delta"] |= {"content": piece} if piece else {}
            return [] if silent else [chunk]

        # What was held back comes before the end.
        if safe != self.text:
            choice["finish_reason"] = "stop"
        rest = {**choice, "delta": {"content": piece}, "finish_reason": None}
        before = {name: value for name, value in chunk.items() if name != "usage"}
        return [{**before, "choices": [rest]}, chunk] if piece else [chunk]


async def streamed(
    parts: AsyncGenerator[str, None], stops: Sequence[str] = ()
) -> AsyncIterator[str]:
    """Yield a stream of events as clients expect it: no stop text, errors as JSON, a last event."""
    stream = Stream(stops)
    # Closed with this one: a client that goes away ends the answer.
    async with aclosing(parts):
        async for part in parts:
            for event in filter(None, part.split("\n\n")):
                for chunk in stream.passed_on(chunk_of(event)):
                    yield f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
    yield LAST


def chunk_of(event: str) -> dict[str, Any]:
    """Return the JSON of an event; an error's words stand in it as they are, quotes and all.

    >>> chunk_of('data: {"error": "no "x" here"}')["error"]["message"]
    'no "x" here'
    """
    told = event.removeprefix("data: ")
    try:
        value = json.loads(told)
    except ValueError:
        value = {"error": told.removeprefix('{"error": "').removesuffix('"}')}
    if isinstance(value.get("error"), str):
        value["error"] = {"message": value["error"], "type": "server_error"}
    return value
