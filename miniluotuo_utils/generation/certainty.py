"""Say how sure a student is of an answer: the probability of each of its tokens.

In: instruction rows and the answers to them, the student's own or anybody's. Out: for each answer
its tokens with their places and probabilities. Shown in notebook 07.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from miniluotuo_utils.files import batches
from miniluotuo_utils.students import Student


class Token(NamedTuple):
    """A token of an answer: it covers [start, end) of the text; how likely the student finds it.

    `quoted`: how likely the student finds, in its place, any token that begins with a quote; None
    where nobody asked. Tokens whose places are not known stand at [-1, -1).
    """

    start: int
    end: int
    probability: float
    quoted: float | None = None


def token_probabilities(
    student: Student, rows: Sequence[Mapping], answers: Sequence[str], batch_size: int = 16
) -> list[list[Token] | None]:
    """Return the tokens of each answer with the probability that the student gives them.

    `rows[i]` is the question of `answers[i]`. Each token's probability is that given the prompt and
    all tokens before it, as in greedy decoding: no preset, no grammar. The last token, of no
    characters, is the end of the answer. All tokens of a batch are read in one pass, so this costs
    a fraction of writing them. None stands for an answer that the student cannot have written: an
    empty one, one that its vocabulary does not hold, one beyond its context.
    """
    from miniluotuo_utils.tokens import IGNORED, encode

    if len(rows) != len(answers):
        raise ValueError(f"found {len(rows)} rows and {len(answers)} answers; expected as many")
    found: list[list[Token] | None] = [None] * len(answers)
    if not any(answers):
        return found

    # What the vocabulary loses is read as far as it can be: one odd answer is no fault.
    both = student.encoder_decoder
    asked = [{**row, "output": answer} for row, answer in zip(rows, answers, strict=True)]
    encoded = encode(asked, student.tokenizer, student.context, encoder_decoder=both, lossy="keep")
    pairs = zip(encoded.kept, encoded.rows, strict=True)

    # Longest first: memory runs out in the first batch or never.
    longest_first = sorted(pairs, key=lambda pair: -len(pair[1]["input_ids"]))
    words = student.tokenizer.convert_ids_to_tokens(range(len(student.tokenizer)))
    quotes = [number for number, word in enumerate(words) if word and word.startswith('"')]
    for part in batches(longest_first, batch_size):
        said = likelihoods(student, [row for _, row in part], quotes)
        for (number, row), likely in zip(part, said, strict=True):
            ids = [label for label in row["labels"] if label != IGNORED]
            found[number] = placed(student, answers[number], ids, likely)
    return found


def likelihoods(
    student: Student, rows: Sequence[Mapping], others: Sequence[int]
) -> list[list[tuple[float, float]]]:
    """Return for each supervised token of each encoded row of a batch its probability, and that of
    all `others`, ids of tokens, together.
    """
    import torch

    from miniluotuo_utils.students.devices import quiet
    from miniluotuo_utils.tokens import IGNORED, collate

    # In training mode dropout would make the student less sure than it is.
    model, both, tokenizer = student.model, student.encoder_decoder, student.tokenizer
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    batch = {k: v.to(model.device) for k, v in collate(rows, pad, both).items()}
    labels = batch["labels"] if both else batch.pop("labels")  # [rows, tokens]
    was_training = model.training
    model.eval()
    with torch.inference_mode(), quiet():
        logits = model(**batch, use_cache=False).logits[:, -labels.shape[1] :]
    model.train(was_training)

    # A decoder's position speaks of the next token.
    if not both:
        logits, labels = logits[:, :-1], labels[:, 1:]
    said = []
    for scores, wanted in zip(logits, labels, strict=True):
        there = wanted != IGNORED
        logs = scores[there].float().log_softmax(-1)  # [answer, vocabulary]
        own = logs.gather(1, wanted[there][:, None])[:, 0].exp()
        together = logs[:, list(others)].exp().sum(-1)
        said.append(list(zip(own.tolist(), together.tolist(), strict=True)))
    return said


def placed(
    student: Student, answer: str, ids: Sequence[int], said: Sequence[tuple[float, float]]
) -> list[Token]:
    """Return the tokens of an answer at their places in its text."""
    places = []
    if student.tokenizer.is_fast:
        read = student.tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)
        places = read["offset_mapping"]
    if len(places) != len(ids) - 1:
        places = [(-1, -1)] * (len(ids) - 1)
    places = [*places, (len(answer), len(answer))]
    pairs = zip(places, said, strict=True)
    return [Token(start, end, *both) for (start, end), both in pairs]
