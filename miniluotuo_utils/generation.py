"""Answers of a student, in batches or piece by piece: any decoder or encoder–decoder, any tokenizer, any preset.

In: a student and prompts. Out: answers of whole characters. Shown in notebooks 00 and 05.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import closing
from os.path import commonprefix
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.guides import grammars, json_ends
from miniluotuo_utils.presets import Preset, preset_of, processors
from miniluotuo_utils.students.zoo import quiet
from miniluotuo_utils.tokens import prompt_ids, text_of

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedTokenizerBase

    from miniluotuo_utils.guides import Guide
    from miniluotuo_utils.students import Student

WORTH_SHARING = 8  # tokens
BROKEN = "\ufffd"  # what a decoder shows in place of bytes that are no whole character


def generate(
    student: Student, prompts: Sequence[str], preset: str = "extract", max_new_tokens: int = 128, batch_size: int = 32,
    seed: int | None = None, grammar: Sequence[str] | None = None, stop_at_json: bool = False, **overrides: Any,
) -> list[str]:  # fmt: skip
    """The student's answers in the prompts' order, without prompt, special tokens or broken characters.

    `preset` is a name of `presets.PRESETS`, `overrides` replace single fields of it; a checkpoint's own generation_config counts for
    nothing. In float32 a prompt's answer is the same alone and in any batch, drawn ones too, given a `seed` (without one, Python's
    `random` gives it; equal prompts of one call get answers of their own). An answer ends at the end token, after `max_new_tokens`, or
    where the context is full: a decoder's prompt and answer share it, an encoder–decoder has it once for each. `stop_at_json` also ends
    it where its first JSON object or list is closed; `grammar`, one Lark grammar per prompt (`guides.grammars`), lets nothing else be said.
    Raises ValueError for a prompt that is empty or leaves no room for an answer (by number), and for an unknown preset.
    """
    chosen, ids = preset_of(preset, **overrides), asked_ids(student, prompts)
    guides = guides_of(student, len(ids), grammar, stop_at_json)
    answers = [""] * len(ids)
    for rows, texts in answered(student, ids, chosen, max_new_tokens, batch_size, seed, guides=guides):
        for row, text in zip(rows, texts, strict=True):
            answers[row] = text
    return answers


def stream(
    student: Student, prompt: str, preset: str = "chat", max_new_tokens: int = 128, seed: int | None = None, **overrides: Any
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
        raise ValueError(f"max_new_tokens is {max_new_tokens} and batch_size {batch_size}; expected at least 1")
    padding = not shifts_with_padding(student.model)
    batches: list[tuple[int, list[int]]] = []
    for row in sorted(range(len(ids)), key=lambda i: (-len(ids[i]), i)):
        size, room = len(ids[row]), room_of(student, len(ids[row]), max_new_tokens)
        before = batches[-1] if batches else (0, [])
        if before[0] == room and len(before[1]) < batch_size and (padding or len(ids[before[1][0]]) == size):
            before[1].append(row)
        else:
            batches.append((room, [row]))
    return batches


def shifts_with_padding(model: Any) -> bool:
    """Whether padding would stand between learned prompt tokens and the prompt (PEFT's prompt tuning and p-tuning of decoders)."""
    adapter = getattr(model, "active_peft_config", None)
    learned = adapter is not None and adapter.is_prompt_learning and adapter.peft_type != "PREFIX_TUNING"
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


def answered(
    student: Student, ids: Sequence[Sequence[int]], preset: Preset, max_new_tokens: int, batch_size: int, seed: int | None,
    done: Container[int] = (), guides: Sequence[Guide] = (),
) -> Iterator[tuple[list[int], list[str]]]:  # fmt: skip
    """Batch after batch: row numbers and their answers; rows in `done` are left out."""
    draws = draws_of(ids, seed)
    for room, planned in batches_of(student, ids, max_new_tokens, batch_size):
        if rows := [row for row in planned if row not in done]:
            lead = [guides[row] for row in rows] if guides else []
            out = run(student, [ids[row] for row in rows], preset, room, [draws[row] for row in rows], guides=lead)
            texts = [guide.text(answer) for guide, answer in zip(lead, out, strict=True)] if lead else [None] * len(out)
            yield rows, [whole_text(student.tokenizer, answer) if text is None else text for text, answer in zip(texts, out, strict=True)]


def guides_of(student: Student, count: int, grammar: Sequence[str] | None, stop_at_json: bool) -> Sequence[Guide]:
    """One guide per prompt, or none."""
    size = student.model.get_output_embeddings().weight.shape[0] if grammar is not None or stop_at_json else 0
    if grammar is None:
        return json_ends(student.tokenizer, end_ids(student), size, count) if stop_at_json else []
    if isinstance(grammar, str) or len(grammar) != count:
        raise ValueError(f"grammar is {'a text' if isinstance(grammar, str) else f'{len(grammar)} texts'}; expected {count} texts, one per prompt")
    return grammars(student.tokenizer, end_ids(student), size, grammar)


def padded(ids: Sequence[Sequence[int]], pad: int, both: bool, shared: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask [rows, longest], so that all answers start at the same place.

    Encoders are padded at the end, decoders between the `shared` tokens and the rest of each row.
    """
    import torch

    longest = max(map(len, ids))
    places = [len(row) if both else shared for row in ids]  # where a row's padding stands
    tokens = [[*row[:place], *[pad] * (longest - len(row)), *row[place:]] for row, place in zip(ids, places, strict=True)]
    mask = [[1] * place + [0] * (longest - len(row)) + [1] * (len(row) - place) for row, place in zip(ids, places, strict=True)]
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


def run(student: Student, ids: Sequence[Sequence[int]], preset: Preset, room: int, draws: Sequence[random.Random],
        streamer: Any = None, guides: Sequence[Guide] = ()) -> list[list[int]]:  # fmt: skip
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
    draws, guides, answers, rows = list(draws), list(guides), [[] for _ in ids], list(range(len(ids)))
    while rows:  # each time half of the rows have ended, the rest go on alone
        given = {"streamer": streamer, "past_key_values": cache}
        with torch.inference_mode(), quiet():  # transformers drops a mask of ones, then warns that there is none
            out = model.generate(
                input_ids=tokens, attention_mask=mask, logits_processor=processors(preset, start, draws, guides),
                stopping_criteria=[half_ended(start, ends)] if shrinks(cache) else None,
                generation_config=configuration(student, room, pad, ends), **{name: value for name, value in given.items() if value is not None},
            )  # [rows, start + answer]  # fmt: skip
        for row, found in zip(rows, out[:, start:].tolist(), strict=True):
            answers[row] = found
        made = out.shape[1] - tokens.shape[1]
        room -= made
        going = room > 0 and shrinks(cache)
        left = [place for place, row in enumerate(rows) if going and not set(ends) & set(answers[row])]
        if left:
            cache.batch_select_indices(torch.tensor(left, device=model.device))
            tokens, mask = out[left], torch.cat([mask, mask.new_ones(len(mask), made)], 1)[left]
        rows, draws, guides = ([each[place] for place in left] if each else [] for each in (rows, draws, guides))
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
                self.memory = [states.new_empty(*states.shape[:2], capacity, states.shape[-1]) for states in new]
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
            self.memory = [memory.new_empty(len(memory) * repeats, *memory.shape[1:]) for memory in held]
            for memory, one in zip(self.memory, held, strict=True):
                memory[:, :, :end] = one[:, :, :end].repeat_interleave(repeats, 0)
            self.keys, self.values = (memory[:, :, :end] for memory in self.memory)

    adapter, cache = getattr(model, "active_peft_config", None), DynamicCache(config=model.config)
    if (adapter is not None and adapter.is_prompt_learning) or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None  # learned keys stand in the cache first; sliding windows have layers of their own
    cache.layers = [Roomy() for _ in cache.layers]
    return EncoderDecoderCache(cache, DynamicCache(config=model.config)) if model.config.is_encoder_decoder else cache


def configuration(student: Student, room: int, pad: int, ends: list[int]) -> GenerationConfig:
    """transformers' settings of a plain greedy run; drawing and penalties are `presets.processors`.

    A field that nobody set would be filled from the checkpoint's own generation_config (a penalty, a forced first token): not here.
    """
    from transformers import GenerationConfig

    class Sealed(GenerationConfig):
        """Takes nothing from the checkpoint, which is what `allow_custom_entries` stands for inside `generate`."""

        def update(self, defaults_only: bool = False, allow_custom_entries: bool = False, **values: Any) -> dict:
            return {} if allow_custom_entries else super().update(defaults_only=defaults_only, **values)

    model = student.model
    begin = getattr(model.generation_config, "decoder_start_token_id", None)
    begin = getattr(model.config, "decoder_start_token_id", None) if begin is None else begin
    return Sealed(
        do_sample=False, num_beams=1, use_cache=True, max_new_tokens=room, pad_token_id=pad, eos_token_id=ends,
        **({"decoder_start_token_id": pad if begin is None else begin} if model.config.is_encoder_decoder else {}),
    )  # fmt: skip


def end_ids(student: Student) -> list[int]:
    """The ids that end an answer: the tokenizer's end token, and the special tokens that the checkpoint names as ends (chat models have several)."""
    tokenizer = student.tokenizer
    named = getattr(student.model.generation_config, "eos_token_id", None)
    named = named if isinstance(named, list) else [named]
    return [tokenizer.eos_token_id, *(i for i in named if i in tokenizer.all_special_ids and i != tokenizer.eos_token_id)]


def until(ids: list[int], ends: Container[int]) -> list[int]:
    """Ids before the first end token.

    >>> until([5, 6, 0, 1, 1], [0]), until([5, 6], [0])
    ([5, 6], [5, 6])
    """
    return ids[: next((place for place, token in enumerate(ids) if token in ends), len(ids))]


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


def added(tokenizer: PreTrainedTokenizerBase, before: list[int], waiting: list[int], text: str) -> str:
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
    student: Student, ids: Sequence[Sequence[int]], preset: Preset, room: int, draws: Sequence[random.Random]
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
