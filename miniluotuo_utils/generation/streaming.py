"""Give an answer piece by piece, in whole characters, while it is made.

In: tokens as they are made. Out: pieces of text. Shown in notebook 00.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.generation.batching import batches_of, checked_ids, draws_of, end_ids
from miniluotuo_utils.generation.presets import Preset, preset_of
from miniluotuo_utils.tokens import text_of

if TYPE_CHECKING:
    import torch
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
    """Return the answer that `generate` gives as an iterator of its pieces, whole characters only.

    Generation runs in a thread of its own, begun by the first piece that is asked for. Closing the
    iterator, or leaving the loop, ends it within one token; its errors surface in the loop. Raises
    as `generate` does.
    """
    # Here and not in the generator: what is wrong with a call must not wait for the first piece.
    chosen = preset_of(preset, **overrides)
    ids = checked_ids(student, [prompt])
    room, _ = batches_of(student, ids, max_new_tokens, 1)[0]
    tokens = arriving(student, ids, chosen, room, draws_of(ids, seed))
    return whole_characters(student.tokenizer, tokens)


def arriving(
    student: Student,
    ids: Sequence[Sequence[int]],
    preset: Preset,
    room: int,
    draws: Sequence[random.Random],
) -> Iterator[int]:
    """Yield the tokens of one answer as they are made.

    The thread that makes them ends when this iterator is closed.
    """
    import torch

    from miniluotuo_utils.generation.engine import decode_batch

    tokens: Queue = Queue()
    ends, reading = end_ids(student), True

    # A stopping criterion is called after each token: it hands the token over, and an exception
    # is what ends the thread early.
    def listener(ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        if not reading:
            raise InterruptedError("nobody reads this answer any more")
        tokens.put(int(ids[0, -1]))
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)

    # An error goes the way of the tokens: else the reader would wait for ever.
    def work() -> None:
        try:
            decode_batch(student, ids, preset, room, draws, listener=listener)
            tokens.put(None)
        except BaseException as error:
            tokens.put(error)

    worker = Thread(target=work, name="stream", daemon=True)
    worker.start()
    try:
        for token in iter(tokens.get, None):
            if isinstance(token, BaseException):
                raise token
            if token not in ends:
                yield token
    finally:
        reading = False
        worker.join()


def whole_text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Return ids as text without special tokens and without bytes that make no whole character.

    Equals the pieces of `whole_characters`, put together.
    """
    text = text_of(tokenizer, ids)
    return "".join(whole_characters(tokenizer, ids)) if BROKEN in text else text


def whole_characters(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> Iterator[str]:
    """Yield text as its tokens arrive, in whole characters.

    A Chinese character is three bytes in UTF-8, and a byte-level vocabulary may spread them over
    two or three tokens: a token that is only part of a character waits for the rest. Bytes that
    are never completed are left out. Each piece is decoded together with the one before it, since
    whether a space belongs between two tokens only shows where they stand side by side.
    """
    before: list[int] = []  # the tokens of the last piece
    waiting: list[int] = []  # those that are no text yet
    for token in ids:
        waiting.append(token)
        text = text_of(tokenizer, before + waiting)
        if text.endswith(BROKEN):
            continue
        if piece := added(tokenizer, before, waiting, text):
            yield piece
            before, waiting = waiting, []
        elif text:  # a special token, or lost bytes: they change nothing that follows
            waiting = []

    # What is still incomplete holds whole characters before its broken end.
    if piece := added(tokenizer, before, waiting, text_of(tokenizer, before + waiting)):
        yield piece


def added(
    tokenizer: PreTrainedTokenizerBase, before: list[int], waiting: list[int], text: str
) -> str:
    """Return what `waiting` adds to the text of `before`, where `text` is that of both."""
    known = text_of(tokenizer, before)
    # Broken bytes spoil a run of byte tokens as a whole, and then the two do not add up.
    new = text[len(known) :] if text.startswith(known) else text_of(tokenizer, waiting)
    return new.replace(BROKEN, "")
