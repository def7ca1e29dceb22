"""Give an answer piece by piece, in whole characters. Shown in notebook 00.

In: tokens as they are made. Out: pieces of text.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.generation.engine import asked_ids, batches_of, draws_of, end_ids, run
from miniluotuo_utils.generation.presets import Preset, preset_of
from miniluotuo_utils.tokens import text_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from miniluotuo_utils.students import Student

BROKEN = "\ufffd"  # what a decoder shows in place of bytes that are no whole character


def stream(
    student: Student,
    prompt: str,
    preset: str = "chat",
    max_new_tokens: int = 128,
    seed: int | None = None,
    **overrides: Any,
) -> Iterator[str]:
    """The answer that `generate` gives, piece by piece, whole characters only.

    Generation runs in a thread of its own; closing the iterator (or leaving the loop) ends it within one token, and its errors
    surface in the loop. Raises as `generate` does.
    """
    chosen, ids = preset_of(preset, **overrides), asked_ids(student, [prompt])
    room, _ = batches_of(student, ids, max_new_tokens, 1)[0]

    def pieces() -> Iterator[str]:
        with closing(arriving(student, ids, chosen, room, draws_of(ids, seed))) as tokens:
            yield from whole_characters(student.tokenizer, tokens)

    return pieces()


def whole_text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Ids as text without special tokens; bytes that make no whole character are left out. Equals the pieces of `whole_characters`."""
    text = text_of(tokenizer, ids)
    return "".join(whole_characters(tokenizer, ids)) if BROKEN in text else text


def whole_characters(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> Iterator[str]:
    """Text as its tokens arrive, holding back a token that is only part of a character until the rest is there.

    A Chinese character is three bytes in UTF-8, and a byte-level vocabulary may spread them over two or three tokens.
    Bytes that are never completed are left out. Each piece is decoded together with the one before it, since whether a
    space belongs between two tokens only shows where they stand side by side.
    """
    before: list[int] = []  # the tokens of the last piece
    waiting: list[int] = []  # those that are no text yet
    for token in ids:
        waiting.append(token)
        if not (text := text_of(tokenizer, before + waiting)).endswith(BROKEN):
            if piece := added(tokenizer, before, waiting, text):
                yield piece
                before, waiting = waiting, []
            elif text:  # a special token, or lost bytes: they change nothing that follows
                waiting = []
    if piece := added(tokenizer, before, waiting, text_of(tokenizer, before + waiting)):
        yield piece


def added(
    tokenizer: PreTrainedTokenizerBase, before: list[int], waiting: list[int], text: str
) -> str:
    """What `waiting` adds to the text of `before`, where `text` is that of both."""
    known = text_of(tokenizer, before)
    new = (
        text[len(known) :] if text.startswith(known) else text_of(tokenizer, waiting)
    )  # broken bytes spoil a run of byte tokens as a whole
    return new.replace(BROKEN, "")


class Stopped(Exception):
    """Nobody reads the stream any more."""


class TokenQueue:
    """What `model.generate(streamer=…)` hands its tokens to: the prompt's ids first, then each new token."""

    def __init__(self) -> None:
        self.queue: Queue = Queue()
        self.prompt_seen = self.stopped = False

    def put(self, value: Any) -> None:
        """Called by transformers inside the generating thread; the exception is what ends it early."""
        if self.stopped:
            raise Stopped
        if self.prompt_seen:
            self.queue.put(int(value.flatten()[-1]))
        self.prompt_seen = True

    def end(self) -> None:
        """Called by transformers after the last token; `arriving` says so itself, errors included."""


def arriving(
    student: Student,
    ids: Sequence[Sequence[int]],
    preset: Preset,
    room: int,
    draws: Sequence[random.Random],
) -> Iterator[int]:
    """The tokens of one answer as they are made, in a thread that ends when this iterator is closed."""
    tokens, ends = TokenQueue(), end_ids(student)

    def work() -> None:
        try:
            run(student, ids, preset, room, draws, tokens)
        except Stopped:
            pass
        except BaseException as error:
            tokens.queue.put(error)
        finally:
            tokens.queue.put(None)

    worker = Thread(target=work, name="stream", daemon=True)
    worker.start()
    try:
        while (token := tokens.queue.get()) is not None:
            if isinstance(token, BaseException):
                raise token
            if token not in ends:
                yield token
    finally:
        tokens.stopped = True
        worker.join()
