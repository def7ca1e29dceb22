"""Instruction rows as ids and labels: the prompt masked, the answer and one end token supervised; every row left out is counted."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from miniluotuo_utils.prompts import row_prompt
from miniluotuo_utils.tokens.vocabulary import (
    losses,
    name_of,
    prompt_ids,
    refuse_lossy,
    spread,
    tokenised,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label that cross-entropy leaves out
TOO_LONG = ("drop", "cut_input", "error")
LOSSY = ("drop", "keep")


@dataclass(frozen=True)
class Options:
    """How rows become ids; ValueError for a policy that does not exist."""

    max_length: int = 512
    encoder_decoder: bool = False
    too_long: str = "drop"
    lossy: str = "drop"

    def __post_init__(self) -> None:
        for name, known in (("too_long", TOO_LONG), ("lossy", LOSSY)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}"
                )


@dataclass
class Encoded:
    """`rows`: `{"input_ids", "labels"}`. `kept`: the row numbers they came from. `dropped`: reason → rows.

    `cut`: rows kept with a shorter input. `lost`: what the vocabulary could not give back → rows (one row may count in several).
    """

    rows: list[dict[str, list[int]]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    dropped: Counter = field(default_factory=Counter)
    cut: int = 0
    lost: Counter = field(default_factory=Counter)

    @property
    def supervised(self) -> int:
        """How many tokens the loss is computed on."""
        return sum(len(row["labels"]) - row["labels"].count(IGNORED) for row in self.rows)


def encode(
    rows: Iterable[Mapping],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int = 512,
    *,
    encoder_decoder: bool = False,
    too_long: str = "drop",
    lossy: str = "drop",
) -> Encoded:
    """Ids and labels of instruction rows (dialogues too: `history` is part of the prompt).

    A decoder's row is prompt, answer, end token, the prompt's labels -100. An encoder–decoder's `input_ids` are the prompt and
    an end token, its `labels` the answer and an end token. Prompt and answer are tokenised apart, so that the prompt has the ids
    of generation whatever the answer begins with (`vocabulary.prompt_ids`).

    Left out and counted in `dropped`: rows with an empty answer ("no supervised token"), rows whose answer the vocabulary does
    not give back exactly ("loses text"; `lossy="keep"` checks nothing), and rows over `max_length` tokens ("over … tokens").
    `too_long` says what happens to the last: "drop"; "cut_input" shortens the row's `input` from its end, at a token's boundary
    between two characters, until the row fits, never the answer or the template; "error" raises ValueError for the first.

    Raises ValueError for a tokenizer without an end token and for a vocabulary that cannot write JSON or loses most answers.
    """
    rows, options = list(rows), Options(max_length, encoder_decoder, too_long, lossy)
    check_tokenizer(tokenizer, [row["output"] for row in spread(rows)], options)
    return encode_checked(rows, tokenizer, options)


def check_tokenizer(
    tokenizer: PreTrainedTokenizerBase, answers: Sequence[str], options: Options
) -> None:
    """ValueError for a tokenizer that no row could be encoded with."""
    name = name_of(tokenizer)
    if tokenizer.eos_token_id is None:
        sep = (
            f" (a BERT vocabulary may use its {tokenizer.sep_token}: tokenizer.eos_token = tokenizer.sep_token)"
            if tokenizer.sep_token
            else ""
        )
        raise ValueError(f"{name} has no end token; set tokenizer.eos_token first{sep}")
    if options.too_long == "cut_input" and not tokenizer.is_fast:
        raise ValueError(
            f"{name} is no fast tokenizer and does not say which characters a token covers; use too_long='drop'"
        )
    if options.lossy == "drop":
        refuse_lossy(tokenizer, answers)


def encode_checked(
    rows: Sequence[Mapping], tokenizer: PreTrainedTokenizerBase, options: Options, first: int = 0
) -> Encoded:
    """`encode` for a tokenizer that `check_tokenizer` let through; `first` is the number of the first row in messages."""
    texts = [row["output"] for row in rows]
    with no_collection():
        prompts = prompt_ids(tokenizer, [row_prompt(row) for row in rows], options.encoder_decoder)
        answers = tokenised(tokenizer, texts)
        lost = losses(tokenizer, texts, answers) if options.lossy == "drop" else {}
        encoded = supervised_rows(rows, prompts, answers, lost, tokenizer, options, first)
    encoded.lost.update(kind for found in lost.values() for kind in found)
    return encoded


@contextmanager
def no_collection() -> Iterator[None]:
    """Without Python's search for cycles, which would walk through every list of ids again and again (a fifth of the time)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def supervised_rows(
    rows: Sequence[Mapping],
    prompts: Sequence[list[int]],
    answers: Sequence[list[int]],
    lost: Mapping,
    tokenizer: PreTrainedTokenizerBase,
    options: Options,
    first: int,
) -> Encoded:
    """Prompts and answers put together, and every row that has no place counted."""
    encoded, limit, end = Encoded(), options.max_length, tokenizer.eos_token_id
    for number, (before, answer) in enumerate(zip(prompts, answers, strict=True)):
        if not answer or number in lost:
            encoded.dropped["loses text" if number in lost else "no supervised token"] += 1
            continue
        room = limit if options.encoder_decoder else limit - len(answer) - 1
        if len(before) > room or len(answer) >= limit:
            before = fitting(rows[number], before, answer, tokenizer, options, number + first)
            if before is None:
                encoded.dropped[f"over {limit} tokens"] += 1
                continue
            encoded.cut += 1
        encoded.rows.append(labelled(before, [*answer, end], options.encoder_decoder))
        encoded.kept.append(number + first)
    return encoded


def labelled(
    before: list[int], supervised: list[int], encoder_decoder: bool
) -> dict[str, list[int]]:
    """One row.

    >>> labelled([5, 6], [7, 0], False), labelled([5, 6], [7, 0], True)
    ({'input_ids': [5, 6, 7, 0], 'labels': [-100, -100, 7, 0]}, {'input_ids': [5, 6], 'labels': [7, 0]})
    """
    if encoder_decoder:
        return {"input_ids": before, "labels": supervised}
    return {"input_ids": before + supervised, "labels": [IGNORED] * len(before) + supervised}


def fitting(
    row: Mapping,
    before: list[int],
    answer: list[int],
    tokenizer: PreTrainedTokenizerBase,
    options: Options,
    number: int,
) -> list[int] | None:
    """The prompt's ids of a row that is too long, by `options.too_long`: shortened so that the row fits, or None to leave it out."""
    apart = options.encoder_decoder
    room = options.max_length - (0 if apart else len(answer) + 1)
    if options.too_long == "error":
        size = (
            f"{len(before)} and {len(answer) + 1}" if apart else str(len(before) + len(answer) + 1)
        )
        raise ValueError(
            f"row {number} has {size} tokens, max_length is {options.max_length}: raise it, shorten the row, or use "
            "too_long='drop' or 'cut_input'"
        )
    if options.too_long == "drop" or len(answer) >= options.max_length:
        return None
    text, inner = row.get("input") or "", tokenizer.backend_tokenizer
    while text and len(before) > room:
        starts = [start for start, _ in inner.encode(text, add_special_tokens=False).offsets]
        keep = len(starts) - (len(before) - room)
        text = (
            text[: starts[keep]].rstrip() if keep > 0 else ""
        )  # the first token taken away begins a whole character
        before = prompt_ids(tokenizer, [row_prompt({**row, "input": text})], apart)[0]
    return before if text else None
