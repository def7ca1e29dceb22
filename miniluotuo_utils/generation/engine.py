"""Decode one batch of prompts with a cache that rows can leave early. Used by `generate` and `stream`.

In: ids of prompts. Out: ids of answers.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Container, Sequence
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.generation.presets import Preset, processors
from miniluotuo_utils.students.devices import quiet
from miniluotuo_utils.tokens import prompt_ids

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig

    from miniluotuo_utils.generation.constrained import Guide
    from miniluotuo_utils.students import Student


WORTH_SHARING = 8  # tokens


def asked_ids(student: Student, prompts: Sequence[str]) -> list[list[int]]:
    """The ids of each prompt, checked; ValueError names the first prompt that is no text, empty or too long."""
    if isinstance(prompts, str):
        raise ValueError(f"prompts is the text {prompts[:20]!r}; expected a list of texts")
    for number, text in enumerate(prompts):
        if not isinstance(text, str) or not text:
            raise ValueError(f"prompt {number} is {text!r}; expected a text that is not empty")
    ids = prompt_ids(student.tokenizer, prompts, student.model.config.is_encoder_decoder)
    if long := too_long(student, ids):
        more = f" ({len(long) - 1} more are too long)" if long[1:] else ""
        raise ValueError(
            f"prompt {long[0]} has {len(ids[long[0]])} tokens, the student's context holds {student.context}{more}: shorten the prompt"
        )
    return ids


def too_long(student: Student, ids: Sequence[Sequence[int]]) -> list[int]:
    """Numbers of the prompts that leave no room for an answer."""
    return [number for number, row in enumerate(ids) if room_of(student, len(row), 1) < 1]


def room_of(student: Student, size: int, max_new_tokens: int) -> int:
    """How many tokens the answer to a prompt of `size` tokens may have; below 1 where the prompt is too long."""
    if student.model.config.is_encoder_decoder:
        return min(max_new_tokens, student.context) if size <= student.context else 0
    return min(max_new_tokens, student.context - size)


def batches_of(
    student: Student, ids: Sequence[Sequence[int]], max_new_tokens: int, batch_size: int
) -> list[tuple[int, list[int]]]:
    """Rows in batches of like length, longest first (what does not fit in memory fails at once), each with the room of its answers.

    Rows share a batch only where they have the same room: else a short row's answer would end where its longest neighbour's must.
    Behind learned prompt tokens padding would shift positions, so there only rows of equal length share one.
    """
    if max_new_tokens < 1 or batch_size < 1:
        raise ValueError(
            f"max_new_tokens is {max_new_tokens} and batch_size {batch_size}; expected at least 1"
        )
    padding = not shifts_with_padding(student.model)
    batches: list[tuple[int, list[int]]] = []
    for row in sorted(range(len(ids)), key=lambda i: (-len(ids[i]), i)):
        size, room = len(ids[row]), room_of(student, len(ids[row]), max_new_tokens)
        before = batches[-1] if batches else (0, [])
        if (
            before[0] == room
            and len(before[1]) < batch_size
            and (padding or len(ids[before[1][0]]) == size)
        ):
            before[1].append(row)
        else:
            batches.append((room, [row]))
    return batches


def shifts_with_padding(model: Any) -> bool:
    """Whether padding would stand between learned prompt tokens and the prompt (PEFT's prompt tuning and p-tuning of decoders)."""
    adapter = getattr(model, "active_peft_config", None)
    learned = (
        adapter is not None and adapter.is_prompt_learning and adapter.peft_type != "PREFIX_TUNING"
    )
    return learned and not model.config.is_encoder_decoder


def draws_of(ids: Sequence[Sequence[int]], seed: int | None) -> list[random.Random]:
    """One random generator per prompt, from the seed, the prompt's ids and how often that prompt came before."""
    seed = random.getrandbits(32) if seed is None else seed
    before: Counter = Counter()
    draws = []
    for row in map(tuple, ids):
        draws.append(random.Random(f"{seed} {before[row]} {row}"))
        before[row] += 1
    return draws


def padded(
    ids: Sequence[Sequence[int]], pad: int, both: bool, shared: int, device: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask [rows, longest], so that all answers start at the same place.

    Encoders are padded at the end, decoders between the `shared` tokens and the rest of each row.
    """
    import torch

    longest = max(map(len, ids))
    places = [len(row) if both else shared for row in ids]  # where a row's padding stands
    tokens = [
        [*row[:place], *[pad] * (longest - len(row)), *row[place:]]
        for row, place in zip(ids, places, strict=True)
    ]
    mask = [
        [1] * place + [0] * (longest - len(row)) + [1] * (len(row) - place)
        for row, place in zip(ids, places, strict=True)
    ]
    return torch.tensor(tokens, device=device), torch.tensor(mask, device=device)


def shared_start(ids: Sequence[Sequence[int]]) -> int:
    """How many tokens at their start all of several rows share (instruction and schema), one token of each left to go on from; 0 if few.

    >>> shared_start([[7] * 20 + [1, 2], [7] * 20 + [3]]), shared_start([[7, 1], [7, 2]]), shared_start([[7] * 20])
    (20, 0, 0)
    """
    common = min(len(commonprefix(list(ids))), min(map(len, ids)) - 1)
    return common if len(ids) > 1 and common >= WORTH_SHARING else 0


def looks_back_by_place(model: Any) -> bool:
    """Whether a layer attends to so many places back (GPT-Neo's local layers): padding inside a prompt would push its start out of sight."""
    return "local" in getattr(model.config, "attention_layers", ())


def run(
    student: Student,
    ids: Sequence[Sequence[int]],
    preset: Preset,
    room: int,
    draws: Sequence[random.Random],
    streamer: Any = None,
    guides: Sequence[Guide] = (),
) -> list[list[int]]:
    """One batch through the model: the ids of each answer, up to its end token. What a decoder's prompts share goes through it once."""
    import torch

    model, ends = student.model, end_ids(student)
    both, longest = model.config.is_encoder_decoder, max(map(len, ids))
    pad = ends[0] if student.tokenizer.pad_token_id is None else student.tokenizer.pad_token_id
    start = 1 if both else longest  # an encoder–decoder answers after its start token
    cache = cache_of(model, start + room)
    shared = shared_start(ids) if shrinks(cache) and not looks_back_by_place(model) else 0
    tokens, mask = padded(ids, pad, both, shared, model.device)
    if shared:
        with torch.inference_mode():
            model(tokens[:1, :shared], past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(len(ids))
    draws, guides, answers, rows = (
        list(draws),
        list(guides),
        [[] for _ in ids],
        list(range(len(ids))),
    )
    while rows:  # each time half of the rows have ended, the rest go on alone
        given = {"streamer": streamer, "past_key_values": cache}
        with (
            torch.inference_mode(),
            quiet(),
        ):  # transformers drops a mask of ones, then warns that there is none
            out = model.generate(
                input_ids=tokens,
                attention_mask=mask,
                logits_processor=processors(preset, start, draws, guides),
                stopping_criteria=[half_ended(start, ends)] if shrinks(cache) else None,
                generation_config=configuration(student, room, pad, ends),
                **{name: value for name, value in given.items() if value is not None},
            )  # [rows, start + answer]
        for row, found in zip(rows, out[:, start:].tolist(), strict=True):
            answers[row] = found
        made = out.shape[1] - tokens.shape[1]
        room -= made
        going = room > 0 and shrinks(cache)
        left = [
            place for place, row in enumerate(rows) if going and not set(ends) & set(answers[row])
        ]
        if left:
            cache.batch_select_indices(torch.tensor(left, device=model.device))
            tokens, mask = out[left], torch.cat([mask, mask.new_ones(len(mask), made)], 1)[left]
        rows, draws, guides = (
            [each[place] for place in left] if each else [] for each in (rows, draws, guides)
        )
    return [until(answer, ends) for answer in answers]


def shrinks(cache: Any) -> bool:
    """Whether rows can be taken out of a cache while others go on: `cache_of`'s own, of a decoder."""
    return cache is not None and not hasattr(cache, "cross_attention_cache")


def half_ended(start: int, ends: Sequence[int]) -> Callable[..., torch.Tensor]:
    """Stops a batch as soon as half of its rows have ended; their answers start at token `start`."""
    import torch

    def stop(ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        ended = torch.isin(ids[:, start:], torch.tensor(ends, device=ids.device)).any(1)
        return (ended.sum() * 2 >= len(ids)).expand(len(ids))

    return stop


def cache_of(model: Any, capacity: int) -> Any:
    """A cache of keys and values with room for `capacity` tokens from the start, or None where the model needs one of its own.

    transformers' own copies all of it to add one token, which is most of a small student's time (benchmarks/generation.py).
    """
    from transformers import DynamicCache, EncoderDecoderCache
    from transformers.cache_utils import DynamicLayer

    class Roomy(DynamicLayer):
        """One layer's keys and values [rows, heads, tokens, width], written into memory that is there already."""

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            start, new = self.get_seq_length(), (key_states, value_states)
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.memory = [
                    states.new_empty(*states.shape[:2], capacity, states.shape[-1])
                    for states in new
                ]
            end = start + key_states.shape[-2]
            for memory, states in zip(self.memory, new, strict=True):
                memory[:, :, start:end] = states
            self.keys, self.values = (memory[:, :, :end] for memory in self.memory)
            return self.keys, self.values

        def batch_select_indices(self, indices: torch.Tensor) -> None:
            end = self.get_seq_length()
            self.memory = [memory[indices] for memory in self.memory]
            self.keys, self.values = (memory[:, :, :end] for memory in self.memory)

        def batch_repeat_interleave(self, repeats: int) -> None:
            end, held = self.get_seq_length(), self.memory
            self.memory = [
                memory.new_empty(len(memory) * repeats, *memory.shape[1:]) for memory in held
            ]
            for memory, one in zip(self.memory, held, strict=True):
                memory[:, :, :end] = one[:, :, :end].repeat_interleave(repeats, 0)
            self.keys, self.values = (memory[:, :, :end] for memory in self.memory)

    adapter, cache = getattr(model, "active_peft_config", None), DynamicCache(config=model.config)
    if (adapter is not None and adapter.is_prompt_learning) or any(
        type(layer) is not DynamicLayer for layer in cache.layers
    ):
        return (
            None  # learned keys stand in the cache first; sliding windows have layers of their own
        )
    cache.layers = [Roomy() for _ in cache.layers]
    return (
        EncoderDecoderCache(cache, DynamicCache(config=model.config))
        if model.config.is_encoder_decoder
        else cache
    )


def configuration(student: Student, room: int, pad: int, ends: list[int]) -> GenerationConfig:
    """transformers' settings of a plain greedy run; drawing and penalties are `presets.processors`.

    A field that nobody set would be filled from the checkpoint's own generation_config (a penalty, a forced first token): not here.
    """
    from transformers import GenerationConfig

    class Sealed(GenerationConfig):
        """Takes nothing from the checkpoint, which is what `allow_custom_entries` stands for inside `generate`."""

        def update(
            self, defaults_only: bool = False, allow_custom_entries: bool = False, **values: Any
        ) -> dict:
            return (
                {}
                if allow_custom_entries
                else super().update(defaults_only=defaults_only, **values)
            )

    model = student.model
    begin = getattr(model.generation_config, "decoder_start_token_id", None)
    begin = getattr(model.config, "decoder_start_token_id", None) if begin is None else begin
    return Sealed(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        max_new_tokens=room,
        pad_token_id=pad,
        eos_token_id=ends,
        **(
            {"decoder_start_token_id": pad if begin is None else begin}
            if model.config.is_encoder_decoder
            else {}
        ),
    )


def end_ids(student: Student) -> list[int]:
    """The ids that end an answer: the tokenizer's end token, and the special tokens that the checkpoint names as ends (chat models have several)."""
    tokenizer = student.tokenizer
    named = getattr(student.model.generation_config, "eos_token_id", None)
    named = named if isinstance(named, list) else [named]
    return [
        tokenizer.eos_token_id,
        *(i for i in named if i in tokenizer.all_special_ids and i != tokenizer.eos_token_id),
    ]


def until(ids: list[int], ends: Container[int]) -> list[int]:
    """Ids before the first end token.

    >>> until([5, 6, 0, 1, 1], [0]), until([5, 6], [0])
    ([5, 6], [5, 6])
    """
    return ids[: next((place for place, token in enumerate(ids) if token in ends), len(ids))]
