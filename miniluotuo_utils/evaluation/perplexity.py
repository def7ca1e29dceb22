"""Measure a student on held-out answers: its loss, its perplexity, and chrF of what it answers.

In: a student and rows it never saw; answers and references. Out: numbers. None of them replaces a
person's grade (`grading`): all reward the reference's wording. Shown in notebooks 05 and 05b.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from miniluotuo_utils.files import batches

if TYPE_CHECKING:
    from miniluotuo_utils.students import Student
    from miniluotuo_utils.tokens.encoding import Encoded


def held_out(student: Student, rows: Sequence[Mapping], batch_size: int = 16) -> dict:
    """Return a student's loss on the answers of instruction rows, given their prompts.

    `loss` is in nats per supervised token (the end token is one), `perplexity` its exponential;
    both depend on the tokenizer. `bits_per_character` spreads all nats, in bits, over the answers'
    characters: it compares students with different tokenizers on the same rows.

    `rows`, `tokens` and `characters` count what was measured, `kept` holds the numbers of those
    rows, `dropped` reason → rows that `tokens.encode` left out (the vocabulary loses text, or the
    context is too short). Raises ValueError where no row is left.
    """
    encoded, nats = nats_of_rows(student, rows, batch_size)
    if not encoded.rows:
        raise ValueError(
            f"none of {len(rows)} rows can be measured ({dict(encoded.dropped)}); give rows with "
            "answers that fit the context"
        )
    characters = sum(len(rows[number]["output"]) for number in encoded.kept)
    return {
        **metrics(sum(nats), encoded.supervised, characters),
        "rows": len(encoded.rows),
        "kept": list(encoded.kept),
        "dropped": dict(encoded.dropped),
    }


def bits_of_rows(
    student: Student, rows: Sequence[Mapping], batch_size: int = 16
) -> list[float | None]:
    """Return the bits per character of each row's answer, given its prompt.

    None stands for a row that `tokens.encode` left out. High is what a student did not expect:
    broken text, or an answer to another question; `data.quality` learns what that means.
    """
    found: list[float | None] = [None] * len(rows)
    encoded, nats = nats_of_rows(student, rows, batch_size)
    for number, total in zip(encoded.kept, nats, strict=True):
        found[number] = total / math.log(2) / max(1, len(rows[number]["output"]))
    return found


def nats_of_rows(
    student: Student, rows: Sequence[Mapping], batch_size: int
) -> tuple[Encoded, list[float]]:
    """Return the encoded rows, and what the supervised tokens of each cost, in nats.

    The student is measured without dropout and left as it was.
    """
    import torch

    from miniluotuo_utils.students.devices import quiet
    from miniluotuo_utils.tokens import encode

    model, both = student.model, student.encoder_decoder
    encoded = encode(rows, student.tokenizer, student.context, encoder_decoder=both)
    nats, was_training = [0.0] * len(encoded.rows), model.training

    # Longest first: memory runs out in the first batch or never.
    sizes = [len(row["input_ids"]) for row in encoded.rows]
    order = sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True)
    model.eval()
    try:
        # Quiet: transformers warns of padding without a mask; right of a row it changes nothing.
        with torch.inference_mode(), quiet():
            for part in batches(order, batch_size):
                found = nats_of_batch(student, [encoded.rows[n] for n in part])
                for n, own in zip(part, found, strict=True):
                    nats[n] = own
    finally:
        model.train(was_training)
    return encoded, nats


def nats_of_batch(student: Student, rows: Sequence[Mapping]) -> list[float]:
    """Return what the supervised tokens of each encoded row cost."""
    import torch

    from miniluotuo_utils.students.loop import at_labels
    from miniluotuo_utils.tokens import collate
    from miniluotuo_utils.tokens.encoding import supervised

    tokenizer = student.tokenizer
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    tensors = collate(rows, pad, student.encoder_decoder).items()
    batch = {name: tensor.to(student.model.device) for name, tensor in tensors}
    logits, labels, _ = at_labels(student.model, batch)
    losses = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")

    # [tokens], the first row's before the second's.
    sizes = [supervised([row]) for row in rows]
    return [own.sum().item() for own in losses.split(sizes)]


def metrics(nats: float, tokens: int, characters: int) -> dict:
    """Return the three ways to state a summed loss, and what it is a sum over.

    >>> found = metrics(math.log(2) * 12, 6, 4)
    >>> found["bits_per_character"], round(found["perplexity"], 9)
    (3.0, 4.0)
    """
    loss = nats / tokens
    return {
        "loss": loss,
        "perplexity": math.exp(loss),
        "bits_per_character": nats / math.log(2) / characters,
        "tokens": tokens,
        "characters": characters,
    }


def chrf(answers: Sequence[str], references: Sequence[str]) -> float:
    """Return chrF2 of answers against one reference each, from 0 to 100 (Popović 2015).

    The whole list is scored at once, by sacrebleu: n-grams of 1 to 6 characters, no spaces, no
    words. Orders for which an answer or its reference is too short do not count, so short answers
    are judged by short n-grams. ValueError unless there are as many answers as references.

    >>> round(chrf(["我爱京"], ["我爱北京"]), 4)  # P = (3/3 + 1/2 + 0/1) / 3, R = (3/4 + 1/3) / 3
    38.2353
    """
    from sacrebleu import CHRF

    if not answers or len(answers) != len(references):
        raise ValueError(
            f"found {len(answers)} answers and {len(references)} references; expected as many of "
            "each, at least one"
        )
    return CHRF().corpus_score(list(answers), [list(references)]).score
