"""Answer prompts in batches: any decoder or encoder–decoder, any tokenizer, any preset.

In: a student and prompts. Out: answers of whole characters. Shown in notebooks 00 and 05.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from miniluotuo_utils.generation.batching import batches_of, checked_ids, draws_of, end_ids
from miniluotuo_utils.generation.constrained import Constraint, grammars, json_ends
from miniluotuo_utils.generation.presets import Preset, preset_of
from miniluotuo_utils.generation.streaming import whole_text
from miniluotuo_utils.students import Student


def generate(
    student: Student,
    prompts: Sequence[str],
    preset: str = "extract",
    max_new_tokens: int = 128,
    batch_size: int = 32,
    seed: int | None = None,
    grammar: Sequence[str] | None = None,
    stop_at_json: bool = False,
    **overrides: Any,
) -> list[str]:
    """Return the student's answers in the prompts' order; `tokens.prompt_of` writes a prompt.

    They hold neither prompt nor special tokens nor broken characters. `preset` is a name of
    `presets.PRESETS`, `overrides` replace single fields of it; a checkpoint's own generation_config
    counts for nothing. In float32 a prompt's answer is the same alone and in any batch. That holds
    for drawn answers too, given a `seed`; without one, Python's `random` gives it. Equal prompts of
    one call get answers of their own.

    An answer ends at the end token, after `max_new_tokens`, or where the context is full: a
    decoder's prompt and answer share it, an encoder–decoder has it once for each. `stop_at_json`
    also ends it where its first JSON object or list is closed. `grammar`, one Lark grammar per
    prompt (`constrained.grammars`), lets nothing else be said.

    Raises ValueError for a prompt that is empty or leaves no room for an answer (by number), and
    for an unknown preset.
    """
    chosen = preset_of(preset, **overrides)
    ids = checked_ids(student, prompts)
    constraints = constraints_of(student, len(ids), grammar, stop_at_json)
    answers: dict[int, str] = {}
    for new in completions(
        student, ids, chosen, max_new_tokens, batch_size, seed, constraints=constraints
    ):
        answers |= new
    return [answers[number] for number in range(len(ids))]


def as_published(
    student: Student,
    prompts: Sequence[str],
    settings: Mapping[str, Any],
    max_new_tokens: int = 128,
    **_: Any,
) -> list[str]:
    """Return the answers of a decoder by transformers' own `generate`, as other projects run it.

    There a penalty looks at the prompt, too: a name that is copied from it counts as said before.
    `settings` are transformers' own, without any they are greedy. All prompts go in one batch, and
    what `generation.generate` takes beside these is not looked at.
    """
    import torch

    from miniluotuo_utils.generation.engine import pad_id, padded
    from miniluotuo_utils.students.devices import quiet

    tokens, mask = padded(student, checked_ids(student, prompts), shared=0)
    ends = dict(eos_token_id=end_ids(student), pad_token_id=pad_id(student))
    with torch.inference_mode(), quiet():
        made = student.model.generate(
            tokens, attention_mask=mask, max_new_tokens=max_new_tokens, **ends, **settings
        )
    return [whole_text(student.tokenizer, row) for row in made[:, tokens.shape[1] :].tolist()]


def constraints_of(
    student: Student, count: int, grammar: Sequence[str] | None, stop_at_json: bool
) -> Sequence[Constraint | None]:
    """Return one constraint per prompt, None where an answer is free."""
    if grammar is None and not stop_at_json:
        return [None] * count
    size = student.model.get_output_embeddings().weight.shape[0]
    ends = end_ids(student)
    if grammar is None:
        return json_ends(student.tokenizer, ends, size, count)
    if isinstance(grammar, str) or len(grammar) != count:
        found = "a text" if isinstance(grammar, str) else f"{len(grammar)} texts"
        raise ValueError(f"grammar is {found}; expected {count} texts, one per prompt")
    return grammars(student.tokenizer, ends, size, grammar)


def completions(
    student: Student,
    ids: Sequence[Sequence[int]],
    preset: Preset,
    max_new_tokens: int,
    batch_size: int,
    seed: int | None,
    done: Container[int] = (),
    constraints: Sequence[Constraint | None] = (),
) -> Iterator[dict[int, str]]:
    """Yield the answers of one batch after the other, by the number of their prompt.

    Prompts in `done` are left out; the others get the answers that they would get with them.
    """
    from miniluotuo_utils.generation.engine import decode_batch

    draws = draws_of(ids, seed)
    constraints = constraints or [None] * len(ids)
    for room, planned in batches_of(student, ids, max_new_tokens, batch_size):
        rows = [row for row in planned if row not in done]
        if not rows:
            continue
        held = [constraints[row] for row in rows]
        answers = decode_batch(
            student,
            [ids[row] for row in rows],
            preset,
            room,
            [draws[row] for row in rows],
            held,
        )
        pairs = zip(answers, held, strict=True)
        yield dict(zip(rows, (answer_text(student, *pair) for pair in pairs), strict=True))


def answer_text(student: Student, answer: list[int], constraint: Constraint | None) -> str:
    """Return the text of an answer: as its constraint reads it, or as the tokenizer does."""
    text = constraint.text(answer) if constraint else None
    return whole_text(student.tokenizer, answer) if text is None else text
