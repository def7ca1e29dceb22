"""Encode instruction rows as ids and labels: the prompt masked, answer and end token supervised.

In: instruction rows and a tokenizer. Out: rows of ids and labels; every row that is left out is
counted. Shown in notebook 03.
"""

from __future__ import annotations

import gc
from collections import Counter, namedtuple
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from miniluotuo_utils.tokens.template import end_of, prompt_of, prompts_of
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
POLICIES = {"too_long": ("drop", "cut_input", "error"), "lossy": ("drop", "keep")}

# How rows become ids; types, defaults and their meaning stand at `encode`.
Options = namedtuple("Options", "max_length encoder_decoder too_long lossy")


@dataclass
class Encoded:
    """Encoded rows, and what happened to the others.

    `rows`: `{"input_ids", "labels"}`. `kept`: the row numbers they came from. `dropped`: reason to
    number of rows. `cut`: rows kept with a shorter input. `lost`: what the vocabulary could not
    give back to number of rows (one row may count in several).
    """

    rows: list[dict[str, list[int]]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    dropped: Counter = field(default_factory=Counter)
    cut: int = 0
    lost: Counter = field(default_factory=Counter)

    @property
    def supervised(self) -> int:
        """The number of tokens that the loss is computed on."""
        return supervised(self.rows)


def supervised(rows: Iterable[Mapping]) -> int:
    """Return the number of tokens in `rows` that have a label.

    >>> supervised([{"labels": [-100, -100, 7, 0]}, {"labels": [5]}])
    3
    """
    return sum(len(row["labels"]) - row["labels"].count(IGNORED) for row in rows)


def encode(
    rows: Iterable[Mapping],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int = 512,
    *,
    encoder_decoder: bool = False,
    too_long: str = "drop",
    lossy: str = "drop",
) -> Encoded:
    """Return the ids and labels of instruction rows (dialogues too: `history` is in the prompt).

    A decoder's row is prompt, answer, end token, the prompt's labels -100. An encoder–decoder's
    `input_ids` are the prompt and an end token, its `labels` the answer and an end token. The
    prompt is the tokenizer's (`template.prompt_of`), and so is the end token (`template.end_of`).
    Prompt and answer are tokenised apart, so that the prompt has the ids of generation whatever the
    answer begins with (`vocabulary.prompt_ids`); blanks that a template would write around an
    answer (Llama 2) are not learned.

    Left out and counted in `dropped` are rows with an empty answer ("no supervised token"), rows
    whose answer the vocabulary does not give back exactly ("loses text"; `lossy="keep"` checks
    nothing), and rows over `max_length` tokens ("over … tokens"). `too_long` says what happens to
    the last: "drop"; "cut_input" shortens the row's `input` from its end, at a token's boundary
    between two characters, until the row fits, never the answer or the template; "error" raises
    ValueError for the first.

    Raises ValueError for a row of another shape, for a tokenizer without an end token and for a
    vocabulary that cannot write JSON or loses most answers.
    """
    rows, options = list(rows), Options(max_length, encoder_decoder, too_long, lossy)
    for number, row in enumerate(rows):
        if not {"instruction", "output"} <= set(row):
            raise ValueError(
                f"row {number} has {', '.join(row)}; expected instruction, input, output; read_any "
                "reads files of other shapes（要有 instruction、input、output；"
                "别的格式用 read_any 读）"
            )
    check_tokenizer(tokenizer, [row["output"] for row in spread(rows)], options)
    return encode_checked(rows, tokenizer, options)


def check_tokenizer(
    tokenizer: PreTrainedTokenizerBase, answers: Sequence[str], options: Options
) -> None:
    """Raise ValueError for options or a tokenizer that no row could be encoded with."""
    for policy, known in POLICIES.items():
        found = getattr(options, policy)
        if found not in known:
            raise ValueError(f"{policy} is {found!r}; expected one of {', '.join(known)}")

    name = name_of(tokenizer)
    if tokenizer.eos_token_id is None:
        sep = tokenizer.sep_token
        advice = (
            f" (a BERT vocabulary may use its {sep}: tokenizer.eos_token = tokenizer.sep_token)"
            if sep
            else ""
        )
        raise ValueError(f"{name} has no end token; set tokenizer.eos_token first{advice}")
    if options.too_long == "cut_input" and not tokenizer.is_fast:
        raise ValueError(
            f"{name} is no fast tokenizer and does not say which characters a token covers; "
            "use too_long='drop'"
        )
    if options.lossy == "drop":
        refuse_lossy(tokenizer, answers)


def encode_checked(
    rows: Sequence[Mapping], tokenizer: PreTrainedTokenizerBase, options: Options, first: int = 0
) -> Encoded:
    """Encode rows with a tokenizer that `check_tokenizer` let through.

    `first` is the number of the first row in messages.
    """
    texts = [row["output"] for row in rows]
    with no_collection():
        prompts = prompt_ids(tokenizer, prompts_of(tokenizer, rows), options.encoder_decoder)
        answers = tokenised(tokenizer, texts)
        lost = losses(tokenizer, texts, answers) if options.lossy == "drop" else {}
        encoded = supervised_rows(rows, prompts, answers, lost, tokenizer, options, first)
    encoded.lost.update(chain.from_iterable(lost.values()))
    return encoded


@contextmanager
def no_collection() -> Iterator[None]:
    """Switch off Python's search for cycles.

    It would walk through every list of ids again and again, a fifth of the time.
    """
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
    lost: Mapping[int, Mapping],
    tokenizer: PreTrainedTokenizerBase,
    options: Options,
    first: int,
) -> Encoded:
    """Put prompts and answers together, and count every row that is left out."""
    encoded, end = Encoded(), end_of(tokenizer)
    for number, (before, answer) in enumerate(zip(prompts, answers, strict=True)):
        # Without a supervised token the loss is NaN; what does not come back would be learned.
        if not answer or number in lost:
            encoded.dropped["loses text" if number in lost else "no supervised token"] += 1
            continue

        # Only the prompt can give way: an answer without its end teaches to stop in the middle.
        room = room_for_prompt(answer, options)
        if len(before) > room or len(answer) >= options.max_length:
            before = shortened(rows[number], before, answer, tokenizer, options, number + first)
            if before is None:
                encoded.dropped[f"over {options.max_length} tokens"] += 1
                continue
            encoded.cut += 1
        encoded.rows.append(labelled(before, [*answer, end], options.encoder_decoder))
        encoded.kept.append(number + first)
    return encoded


def room_for_prompt(answer: Sequence[int], options: Options) -> int:
    """Return how many tokens a prompt may have; an encoder–decoder's answer takes none of them."""
    return options.max_length - (0 if options.encoder_decoder else len(answer) + 1)


def labelled(before: list[int], after: list[int], encoder_decoder: bool) -> dict[str, list[int]]:
    """Return one row, labels only on what comes after the prompt.

    >>> labelled([5, 6], [7, 0], False)
    {'input_ids': [5, 6, 7, 0], 'labels': [-100, -100, 7, 0]}
    >>> labelled([5, 6], [7, 0], True)
    {'input_ids': [5, 6], 'labels': [7, 0]}
    """
    if encoder_decoder:
        return {"input_ids": before, "labels": after}
    return {"input_ids": before + after, "labels": [IGNORED] * len(before) + after}


def shortened(
    row: Mapping,
    before: list[int],
    answer: list[int],
    tokenizer: PreTrainedTokenizerBase,
    options: Options,
    number: int,
) -> list[int] | None:
    """Return the prompt's ids of a row that is too long, shortened so that it fits.

    None leaves the row out. Raises ValueError where `options.too_long` is "error".
    """
    apart = options.encoder_decoder
    if options.too_long == "error":
        size, more = len(before), len(answer) + 1
        raise ValueError(
            f"row {number} has {f'{size} and {more}' if apart else size + more} tokens, "
            f"max_length is {options.max_length}: raise it, shorten the row, or use "
            "too_long='drop' or 'cut_input'"
        )
    if options.too_long == "drop" or len(answer) >= options.max_length:
        return None

    # What a shorter input costs only shows when it is tokenised: cut, look, and cut again.
    room, text = room_for_prompt(answer, options), row.get("input") or ""
    while text and len(before) > room:
        tokenizer.backend_tokenizer.encode_special_tokens = True
        found = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).offsets
        keep = len(found) - (len(before) - room)
        # The first token that is taken away begins a whole character.
        text = text[: found[keep][0]].rstrip() if keep > 0 else ""
        before = prompt_ids(tokenizer, [prompt_of(tokenizer, {**row, "input": text})], apart)[0]
    return before if text else None
