"""Check prompts, sort them into batches, and give each prompt its own randomness.

In: a student and prompts. Out: ids, batches of row numbers, random generators. Used by `generate`
and `stream`, which notebook 00 shows.
"""

import random
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from miniluotuo_utils.files import batches
from miniluotuo_utils.students import Student
from miniluotuo_utils.tokens import prompt_ids
from miniluotuo_utils.tokens.template import all_ends, say_template


def checked_ids(student: Student, prompts: Sequence[str]) -> list[list[int]]:
    """Return the ids of each prompt.

    Raises ValueError, with its number, for the first prompt that is no text, empty or too long.
    """
    if isinstance(prompts, str):
        raise ValueError(f"prompts is the text {prompts[:20]!r}; expected a list of texts")
    for number, text in enumerate(prompts):
        if not isinstance(text, str) or not text:
            raise ValueError(f"prompt {number} is {text!r}; expected a text that is not empty")

    say_template(student.name, student.tokenizer, prompts)
    ids = prompt_ids(student.tokenizer, prompts, student.model.config.is_encoder_decoder)
    if long := too_long(student, ids):
        more = f" ({len(long) - 1} more are too long)" if long[1:] else ""
        raise ValueError(
            f"prompt {long[0]} has {len(ids[long[0]])} tokens, "
            f"the student's context holds {student.context}{more}: shorten the prompt"
        )
    return ids


def too_long(student: Student, ids: Sequence[Sequence[int]]) -> list[int]:
    """Return the numbers of the prompts that leave no room for an answer."""
    return [number for number, row in enumerate(ids) if room_of(student, len(row), 1) < 1]


def room_of(student: Student, size: int, max_new_tokens: int) -> int:
    """Return how many tokens may follow a prompt of `size` tokens; below 1 if it is too long."""
    if student.model.config.is_encoder_decoder:
        return min(max_new_tokens, student.context) if size <= student.context else 0
    return min(max_new_tokens, student.context - size)


def batches_of(
    student: Student, ids: Sequence[Sequence[int]], max_new_tokens: int, batch_size: int
) -> list[tuple[int, list[int]]]:
    """Return batches of rows of like length, each as the room of its answers and its row numbers.

    Rows share a batch only where they have the same room: else a short row's answer would end
    where its longest neighbour's must.
    """
    if max_new_tokens < 1 or batch_size < 1:
        raise ValueError(
            f"max_new_tokens is {max_new_tokens} and batch_size {batch_size}; expected at least 1"
        )
    # Behind learned prompt tokens padding shifts positions: there only equal lengths share one.
    equal = shifts_with_padding(student.model)
    rooms = [room_of(student, len(row), max_new_tokens) for row in ids]
    kinds = [(room, len(row) if equal else 0) for room, row in zip(rooms, ids, strict=True)]

    # Longest first: memory runs out in the first batch or never.
    longest_first = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
    planned = []
    for (room, _), alike in groupby(longest_first, kinds.__getitem__):
        planned += [(room, rows) for rows in batches(alike, batch_size)]
    return planned


def shifts_with_padding(model: Any) -> bool:
    """Return whether padding would stand between learned prompt tokens and the prompt.

    It does so with PEFT's prompt tuning and p-tuning of decoders.
    """
    adapter = getattr(model, "active_peft_config", None)
    if adapter is None or model.config.is_encoder_decoder:
        return False
    return adapter.is_prompt_learning and adapter.peft_type != "PREFIX_TUNING"


def draws_of(ids: Sequence[Sequence[int]], seed: int | None) -> list[random.Random]:
    """Return one random generator per prompt.

    It follows from the seed, the prompt's ids and how often that prompt came before, so that what
    is drawn for a prompt does not hang on its neighbours.
    """
    seed = random.getrandbits(32) if seed is None else seed
    before: Counter = Counter()
    draws = []
    for row in map(tuple, ids):
        draws.append(random.Random(f"{seed} {before[row]} {row}"))
        before[row] += 1
    return draws


def end_ids(student: Student) -> list[int]:
    """Return the ids that end an answer, the one that training puts there first.

    The tokenizer's end token is one of them. Chat checkpoints name several; only special tokens
    count, since a default id of a configuration is an ordinary word of a small vocabulary.
    """
    named = getattr(student.model.generation_config, "eos_token_id", None)
    return all_ends(student.tokenizer, named)
