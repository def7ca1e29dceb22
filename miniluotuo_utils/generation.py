"""Batched and streaming generation with presets per task.

In: a student and prompts. Out: answers of whole characters. Shown in notebooks 00 and 05.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from miniluotuo_utils.students import Student

BROKEN = "\ufffd"  # what a decoder shows in place of bytes that are no whole character
# Extraction must repeat keys and copy spans, so it takes no repetition penalty and no forbidden n-grams.
PRESETS: dict[str, dict[str, Any]] = {
    "chat": {"do_sample": False, "repetition_penalty": 1.1},
    "creative": {"do_sample": True, "temperature": 0.8, "top_p": 0.9},
    "extract": {"do_sample": False},
}


def generate(
    student: Student, prompts: Sequence[str], preset: str = "extract", max_new_tokens: int = 128, batch_size: int = 32
) -> list[str]:
    """The student's answers in the prompts' order, without prompt, special tokens or broken characters.

    Prompts are batched by length and padded on the left. Raises ValueError for a prompt that leaves the student's
    context no room for an answer.
    """
    import torch

    model, tokenizer = student.model, student.tokenizer
    ids = tokenizer(list(prompts), add_special_tokens=False)["input_ids"] if prompts else []
    check_room(ids, student.context)
    answers = [""] * len(ids)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        longest = len(ids[chosen[-1]])
        tokens = torch.tensor([[tokenizer.pad_token_id] * (longest - len(ids[i])) + ids[i] for i in chosen])  # [batch, longest]
        mask = torch.tensor([[0] * (longest - len(ids[i])) + [1] * len(ids[i]) for i in chosen])
        room = min(max_new_tokens, student.context - longest)
        with torch.inference_mode():
            out = model.generate(
                input_ids=tokens.to(model.device), attention_mask=mask.to(model.device), max_new_tokens=room,
                pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, **PRESETS[preset],
            )  # fmt: skip
        for i, row in zip(chosen, out[:, longest:].tolist(), strict=True):
            answers[i] = whole_text(tokenizer, row)
    return answers


def check_room(ids: Sequence[Sequence[int]], context: int) -> None:
    """ValueError for the first prompt that fills the context."""
    for number, row in enumerate(ids):
        if len(row) >= context:
            raise ValueError(f"prompt {number} has {len(row)} tokens, the student's context holds {context}: shorten the prompt")


def whole_text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Ids up to the first end token as text; bytes that make no whole character are left out."""
    ids = list(ids)
    if tokenizer.eos_token_id in ids:
        ids = ids[: ids.index(tokenizer.eos_token_id)]
    return tokenizer.decode(ids, skip_special_tokens=True).replace(BROKEN, "")


def whole_characters(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> Iterator[str]:
    """Text as its tokens arrive, holding back a token that is only part of a character until the rest is there.

    A Chinese character is three bytes in UTF-8, and a byte-level vocabulary may spread them over two or three tokens.
    Bytes that are never completed are left out.
    """
    waiting: list[int] = []
    for token in ids:
        waiting.append(token)
        text = tokenizer.decode(waiting, skip_special_tokens=True)
        if not text.endswith(BROKEN) or len(waiting) >= 8:  # a character has at most four bytes: eight tokens are lost ones
            waiting = []
            if text := text.replace(BROKEN, ""):
                yield text
    if text := tokenizer.decode(waiting, skip_special_tokens=True).replace(BROKEN, ""):
        yield text


def stream(student: Student, prompt: str, preset: str = "chat", max_new_tokens: int = 128) -> Iterator[str]:
    """The student's answer piece by piece, whole characters only."""
    import torch

    tokenizer, model = student.tokenizer, student.model
    tokens = torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]], device=model.device)
    check_room(tokens.tolist(), student.context)
    arriving = TokenQueue()
    options = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "streamer": arriving}
    room = min(max_new_tokens, student.context - tokens.shape[1])

    def run() -> None:
        try:
            mask = torch.ones_like(tokens)
            model.generate(input_ids=tokens, attention_mask=mask, max_new_tokens=room, **options, **PRESETS[preset])
        except BaseException as error:
            arriving.queue.put(error)
        finally:
            arriving.queue.put(None)

    worker = Thread(target=run, daemon=True)
    worker.start()
    yield from whole_characters(tokenizer, (t for t in arriving if t != tokenizer.eos_token_id))
    worker.join()


class TokenQueue:
    """What `model.generate(streamer=…)` hands its tokens to: an iterator over the new ones, without the prompt."""

    def __init__(self) -> None:
        self.queue: Queue = Queue()
        self.prompt_seen = False

    def put(self, value: Any) -> None:
        """Called by transformers with the prompt's ids first, then with each new token."""
        if self.prompt_seen:
            self.queue.put(int(value.flatten()[-1]))
        self.prompt_seen = True

    def end(self) -> None:
        """Called by transformers when generation is over; `stream` closes the queue itself."""

    def __iter__(self) -> Iterator[int]:
        while (item := self.queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
