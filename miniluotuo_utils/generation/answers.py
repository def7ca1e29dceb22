"""Answer prompts in batches: any decoder or encoder–decoder, any tokenizer, any preset. Shown in notebooks 00 and 05.

In: a student and prompts. Out: answers of whole characters.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.generation.constrained import grammars, json_ends
from miniluotuo_utils.generation.engine import asked_ids, batches_of, draws_of, end_ids, run
from miniluotuo_utils.generation.presets import Preset, preset_of
from miniluotuo_utils.generation.streaming import whole_text

if TYPE_CHECKING:
    from miniluotuo_utils.generation.constrained import Guide
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
    for rows, texts in answered(
        student, ids, chosen, max_new_tokens, batch_size, seed, guides=guides
    ):
        for row, text in zip(rows, texts, strict=True):
            answers[row] = text
    return answers


def answered(
    student: Student,
    ids: Sequence[Sequence[int]],
    preset: Preset,
    max_new_tokens: int,
    batch_size: int,
    seed: int | None,
    done: Container[int] = (),
    guides: Sequence[Guide] = (),
) -> Iterator[tuple[list[int], list[str]]]:
    """Batch after batch: row numbers and their answers; rows in `done` are left out."""
    draws = draws_of(ids, seed)
    for room, planned in batches_of(student, ids, max_new_tokens, batch_size):
        if rows := [row for row in planned if row not in done]:
            lead = [guides[row] for row in rows] if guides else []
            out = run(
                student,
                [ids[row] for row in rows],
                preset,
                room,
                [draws[row] for row in rows],
                guides=lead,
            )
            texts = (
                [guide.text(answer) for guide, answer in zip(lead, out, strict=True)]
                if lead
                else [None] * len(out)
            )
            yield (
                rows,
                [
                    whole_text(student.tokenizer, answer) if text is None else text
                    for text, answer in zip(texts, out, strict=True)
                ],
            )


def guides_of(
    student: Student, count: int, grammar: Sequence[str] | None, stop_at_json: bool
) -> Sequence[Guide]:
    """One guide per prompt, or none."""
    size = (
        student.model.get_output_embeddings().weight.shape[0]
        if grammar is not None or stop_at_json
        else 0
    )
    if grammar is None:
        return json_ends(student.tokenizer, end_ids(student), size, count) if stop_at_json else []
    if isinstance(grammar, str) or len(grammar) != count:
        raise ValueError(
            f"grammar is {'a text' if isinstance(grammar, str) else f'{len(grammar)} texts'}; expected {count} texts, one per prompt"
        )
    return grammars(student.tokenizer, end_ids(student), size, grammar)
