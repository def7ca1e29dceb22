"""How well a student knows answers it never saw: its loss on them, and how near its own answers come. In: held-out rows. Out: numbers.

Neither replaces a person's grade (`rating`): both reward the reference's wording. Shown in notebook 05.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miniluotuo_utils.students import Student


def held_out(student: Student, rows: Sequence[Mapping], batch_size: int = 16) -> dict:
    """The student's loss on the answers of instruction rows, given their prompts.

    `loss`: mean nats per supervised token (the end token is one), `perplexity`: its exponential; both depend on the tokenizer.
    `bits_per_character`: all nats in bits over the answers' characters, which compares students with different tokenizers, on the same rows.
    `rows`, `tokens`, `characters`: of what was measured. `kept`: the numbers of those rows; `dropped`: reason → rows that `tokens.encode`
    left out (the vocabulary loses text, or the context is too short). Raises ValueError where no row is left.
    """
    import torch

    from miniluotuo_utils.students.devices import quiet
    from miniluotuo_utils.students.loop import summed_loss
    from miniluotuo_utils.tokens import collate, encode

    model, tokenizer, both = student.model, student.tokenizer, student.encoder_decoder
    encoded = encode(rows, tokenizer, student.context, encoder_decoder=both)
    if not encoded.rows:
        raise ValueError(
            f"none of {len(rows)} rows can be measured ({dict(encoded.dropped)}); give rows with answers that fit the context"
        )
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    ordered, total, was_training = (
        sorted(encoded.rows, key=lambda row: -len(row["input_ids"])),
        0.0,
        model.training,
    )
    model.eval()
    try:
        with (
            torch.inference_mode(),
            quiet(),
        ):  # transformers warns of padding without a mask; right of a row it changes nothing
            for at in range(0, len(ordered), batch_size):
                batch = collate(ordered[at : at + batch_size], pad, both)
                total += summed_loss(
                    model, {name: tensor.to(model.device) for name, tensor in batch.items()}, 1
                ).item()
    finally:
        model.train(was_training)
    return {
        **figures(total, encoded.supervised, sum(len(rows[n]["output"]) for n in encoded.kept)),
        "rows": len(ordered),
        "kept": list(encoded.kept),
        "dropped": dict(encoded.dropped),
    }


def figures(nats: float, tokens: int, characters: int) -> dict:
    """The three ways to state a summed loss, and what it is a sum over.

    >>> figures(math.log(2) * 12, 6, 4)["bits_per_character"], round(figures(math.log(2) * 12, 6, 4)["perplexity"], 9)
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
    """chrF2 of answers against one reference each, 0 to 100, over the whole list (sacrebleu: n-grams of 1 to 6 characters, no spaces, no words).

    Orders that an answer or its reference is too short for do not count, so short answers are judged by short n-grams.
    Popović 2015. ValueError unless there are as many answers as references, at least one.

    >>> round(chrf(["我爱京"], ["我爱北京"]), 4)  # P = (3/3 + 1/2 + 0/1) / 3, R = (3/4 + 1/3 + 0/2) / 3, 5PR / (4P + R)
    38.2353
    """
    from sacrebleu import CHRF

    if not answers or len(answers) != len(references):
        raise ValueError(
            f"found {len(answers)} answers and {len(references)} references; expected as many of each, at least one"
        )
    return CHRF().corpus_score(list(answers), [list(references)]).score
