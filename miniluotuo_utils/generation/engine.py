"""Decode one batch of prompts with a cache that rows can leave early.

In: ids of prompts. Out: ids of answers. Used by `generate` and `stream`, which notebook 00 shows.
This module imports torch and transformers at once, so import it where it is used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from os.path import commonprefix
from random import Random
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig
from transformers.cache_utils import DynamicLayer

from miniluotuo_utils.generation.batching import end_ids
from miniluotuo_utils.generation.constrained import Constraint
from miniluotuo_utils.generation.presets import Preset, processors
from miniluotuo_utils.students import Student
from miniluotuo_utils.students.devices import quiet

WORTH_SHARING = 8  # tokens; fewer cost as much in a call of their own as in every row


@dataclass
class Batch:
    """The rows that are still being answered, and what belongs to each of them.

    `rows`: their numbers among the prompts. `tokens` and `mask`: int64 [rows, tokens], prompts
    and, for a decoder, the answers so far. `cache`: keys and values of all tokens but the last, or
    None where the model makes its own. Answers begin at token `start` and have at most `room`.
    """

    rows: list[int]
    tokens: torch.Tensor
    mask: torch.Tensor
    draws: Sequence[Random | None]
    constraints: Sequence[Constraint | None]
    cache: Any
    start: int
    room: int

    def keep(self, places: list[int], tokens: torch.Tensor) -> None:
        """Go on from `tokens` with the rows at `places`; the cache forgets the others too."""
        new = self.mask.new_ones(len(tokens), tokens.shape[1] - self.mask.shape[1])
        self.tokens, self.mask = tokens[places], torch.cat([self.mask, new], 1)[places]
        self.rows = [self.rows[place] for place in places]
        self.draws = [self.draws[place] for place in places]
        self.constraints = [self.constraints[place] for place in places]
        self.cache.batch_select_indices(torch.tensor(places, device=tokens.device))


def decode_batch(
    student: Student,
    ids: Sequence[Sequence[int]],
    preset: Preset,
    room: int,
    draws: Sequence[Random | None],
    constraints: Sequence[Constraint | None] = (),
    listener: Callable[..., torch.Tensor] | None = None,
) -> list[list[int]]:
    """Return the ids of each answer, at most `room`, up to its end token.

    `draws` has one generator per row, `constraints` one entry per row or none at all. `listener`,
    a stopping criterion of transformers, is called after each token with the ids so far.
    """
    ends = end_ids(student)
    batch = prefill(student, ids, room, draws, constraints or [None] * len(ids))
    answers: list[list[int]] = [[] for _ in ids]
    while True:
        tokens = decode(student, batch, preset, listener)
        for row, answer in zip(batch.rows, tokens[:, batch.start :].tolist(), strict=True):
            answers[row] = answer

        # A row that has ended would be computed along with the others to the end of the longest.
        going = [place for place, row in enumerate(batch.rows) if not set(ends) & set(answers[row])]
        full = tokens.shape[1] == batch.start + room
        if not going or full or not shrinks(batch.cache):
            return [list(takewhile(lambda token: token not in ends, answer)) for answer in answers]
        batch.keep(going, tokens)


def prefill(
    student: Student,
    ids: Sequence[Sequence[int]],
    room: int,
    draws: Sequence[Random | None],
    constraints: Sequence[Constraint | None],
) -> Batch:
    """Return the prompts as a batch, with what all of them share already in its cache."""
    # An encoder–decoder's answer stands apart from the prompt, behind a start token of its own.
    model = student.model
    start = 1 if model.config.is_encoder_decoder else max(map(len, ids))
    cache = kv_cache(model, start + room)

    # Instruction and schema are the same in all prompts of an extraction: once through the model.
    # Not where a layer attends to so many places back, as GPT-Neo's local layers do: padding inside
    # a prompt would push the prompt's start out of sight.
    local = "local" in getattr(model.config, "attention_layers", ())
    shared = shared_start(ids) if shrinks(cache) and not local else 0
    tokens, mask = padded(student, ids, shared)
    if shared:
        with torch.inference_mode():
            model(tokens[:1, :shared], past_key_values=cache, use_cache=True)
        # The one row that is cached, once for every prompt.
        cache.batch_select_indices(tokens.new_zeros(len(ids)))
    return Batch(list(range(len(ids))), tokens, mask, draws, constraints, cache, start, room)


def shared_start(ids: Sequence[Sequence[int]]) -> int:
    """Return how many tokens at their start all of several rows share, 0 if few.

    One token of each row is left over: the model goes on from it.

    >>> shared_start([[7] * 20 + [1, 2], [7] * 20 + [3]])
    20
    >>> shared_start([[7, 1], [7, 2]]), shared_start([[7] * 20])
    (0, 0)
    """
    common = min(len(commonprefix(list(ids))), min(map(len, ids)) - 1)
    return common if len(ids) > 1 and common >= WORTH_SHARING else 0


def padded(
    student: Student, ids: Sequence[Sequence[int]], shared: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and mask, int64 [rows, longest], so that all answers start at the same place.

    Encoders are padded at the end, decoders between the `shared` tokens and the rest of each row.
    """
    pad = pad_id(student)
    longest = max(map(len, ids))
    tokens, mask = [], []
    for row in ids:
        place = len(row) if student.model.config.is_encoder_decoder else shared
        gap = longest - len(row)
        tokens.append([*row[:place], *[pad] * gap, *row[place:]])
        mask.append([1] * place + [0] * gap + [1] * (len(row) - place))
    device = student.model.device
    return torch.tensor(tokens, device=device), torch.tensor(mask, device=device)


def decode(
    student: Student, batch: Batch, preset: Preset, listener: Callable[..., torch.Tensor] | None
) -> torch.Tensor:
    """Return tokens [rows, start + answer], at most until half of the rows have ended.

    Where rows cannot leave the cache it goes on until all of them have ended.
    """
    room, ends = batch.room, end_ids(student)
    criteria = [listener] if listener else []
    if shrinks(batch.cache):
        room -= batch.tokens.shape[1] - batch.start
        criteria.append(half_ended(batch.start, ends))

    # `quiet`: transformers drops a mask of ones, then warns that there is none.
    with torch.inference_mode(), quiet():
        return student.model.generate(
            input_ids=batch.tokens,
            attention_mask=batch.mask,
            logits_processor=processors(preset, batch.start, batch.draws, batch.constraints),
            stopping_criteria=criteria,
            past_key_values=batch.cache,
            generation_config=configuration(student, room, ends),
        )


def half_ended(start: int, ends: Sequence[int]) -> Callable[..., torch.Tensor]:
    """Return a criterion that stops a batch as soon as half of its rows have ended."""

    def stop(ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        ended = torch.isin(ids[:, start:], torch.tensor(ends, device=ids.device)).any(1)
        return (ended.sum() * 2 >= len(ids)).expand(len(ids))

    return stop


# ---- what differs from transformers


class KVCacheLayer(DynamicLayer):
    """Keys and values of one layer, written into memory that is allocated once.

    transformers' own layer copies all of it to add one token, which is most of a small student's
    time (benchmarks/generation.py). `memory` holds keys and values [rows, heads, capacity, width];
    `keys` and `values` are views of the tokens that are written.
    """

    def __init__(self, capacity: int):
        super().__init__()
        self.capacity = capacity
        self.memory: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write keys and values [rows, heads, new tokens, width]; return all that there are."""
        start, new = self.get_seq_length(), (key_states, value_states)
        end = start + key_states.shape[-2]

        # The first tokens, or other rows than before: allocate, and write the old tokens anew.
        if not self.memory:
            start, new = 0, super().update(key_states, value_states)
            for states in new:
                rows, heads, _, width = states.shape
                self.memory.append(states.new_empty(rows, heads, self.capacity, width))

        for memory, states in zip(self.memory, new, strict=True):
            memory[:, :, start:end] = states
        self.keys, self.values = (memory[:, :, :end] for memory in self.memory)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep the rows at `indices`."""
        super().batch_select_indices(indices)
        self.memory = []


def kv_cache(model: Any, capacity: int) -> DynamicCache | EncoderDecoderCache | None:
    """Return a cache for `capacity` tokens, or None where a model needs one of its own."""
    cache = DynamicCache(config=model.config)
    adapter = getattr(model, "active_peft_config", None)

    # Learned prompt keys stand in the cache first, and sliding windows have layers of their own.
    learned = adapter is not None and adapter.is_prompt_learning
    if learned or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None

    cache.layers = [KVCacheLayer(capacity) for _ in cache.layers]
    if model.config.is_encoder_decoder:
        return EncoderDecoderCache(cache, DynamicCache(config=model.config))
    return cache


def shrinks(cache: Any) -> bool:
    """Return whether rows can leave a cache while others go on: ours can, of a decoder."""
    return isinstance(cache, DynamicCache)


class Sealed(GenerationConfig):
    """A configuration that takes nothing from the checkpoint's own generation_config.

    `generate` fills every field that is None from there: a penalty, a forced first token. It does
    so by `update(..., allow_custom_entries=True)`, and nothing else calls it that way.
    """

    def update(
        self, defaults_only: bool = False, allow_custom_entries: bool = False, **values: Any
    ) -> dict:
        """Do nothing for the checkpoint's fields, and for others what transformers does."""
        if allow_custom_entries:
            return {}
        return super().update(defaults_only=defaults_only, **values)


def configuration(student: Student, room: int, ends: list[int]) -> GenerationConfig:
    """Return the settings of a plain greedy run.

    Drawing and penalties are `presets.processors`, so that a row's answer hangs on that row alone.
    """
    model, pad = student.model, pad_id(student)
    places = (model.generation_config, model.config)
    starts = [getattr(place, "decoder_start_token_id", None) for place in places]
    start = next((token for token in starts if token is not None), pad)
    return Sealed(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        max_new_tokens=room,
        pad_token_id=pad,
        eos_token_id=ends,
        decoder_start_token_id=start if model.config.is_encoder_decoder else None,
    )


def pad_id(student: Student) -> int:
    """Return the id that fills short rows; the end token where a vocabulary has none for it."""
    pad = student.tokenizer.pad_token_id
    return student.tokenizer.eos_token_id if pad is None else pad
