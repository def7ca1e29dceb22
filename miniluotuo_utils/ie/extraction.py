"""Sentences through a student into IE records: prompt, generate, parse, locate. Shown in notebook 05.

In: a student, sentences and a schema. Out: `Extraction`, records that `score` takes and counts of what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from miniluotuo_utils.ie.instructions import Schema, build_instructions, field_of, in_schema, labels
from miniluotuo_utils.ie.parsing import parse
from miniluotuo_utils.ie.spans import to_record
from miniluotuo_utils.prompts import row_prompt
from miniluotuo_utils.records import mentions


@dataclass
class Extraction:
    """`records` and raw `answers`, one per sentence, and `counts`.

    answers: how many; unparsable: nothing could be read, so the record is empty; repaired: read after a repair;
    not_in_text: names that their sentence does not hold (pos null); off_schema: types and roles that the schema does
    not know. The last two stay in the records and count as wrong.
    """

    records: list[dict]
    answers: list[str]
    counts: dict[str, int]


def extract(
    student: object, sentences: Sequence[str], schema: Schema, task: str, policy: str = "first",
    batch_size: int = 32, max_new_tokens: int = 128, generate: Callable[..., list[str]] | None = None,
) -> Extraction:  # fmt: skip
    """What a student finds in each sentence.

    The prompt is that of training (`build_instructions`, first paraphrase). `student` is whatever
    `miniluotuo_utils.generation.generate` takes; `generate` replaces that function, with the same arguments.
    """
    prompts = [row_prompt(row) for row in questions(sentences, schema, task)]
    if generate is None:
        from miniluotuo_utils.generation import generate
    answers = list(generate(student, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size))
    parsed = [parse(answer, task) for answer in answers]
    records = [to_record(s, p.items, task, policy) for s, p in zip(sentences, parsed, strict=True)]
    counts = {
        "answers": len(answers),
        "unparsable": sum(not p.ok for p in parsed),
        "repaired": sum(p.ok and bool(p.repairs) for p in parsed),
        "not_in_text": sum(thing["pos"] is None for record in records for thing, _ in mentions(record)),
        "off_schema": sum(not in_schema(label, schema) for record in records for _, label in labels(record, task)),
    }
    return Extraction(records, answers, counts)


def questions(sentences: Sequence[str], schema: Schema, task: str) -> list[dict]:
    """The instruction rows that ask for the sentences' items; their output is the empty answer."""
    if isinstance(sentences, str):
        raise ValueError(f"sentences is the text {sentences[:20]!r}; expected a list of texts")
    empty = [{"sentence": sentence, field_of(task): []} for sentence in sentences]
    return build_instructions(empty, task, schema, paraphrases=False)
