"""Give every extracted item a confidence: the probability of the tokens that name it.

In: answers, the probabilities of their tokens, the records that were read from them. Out: the same
records, each item with a `confidence`. Shown in notebook 07.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

from miniluotuo_utils.ie.schema import field_of
from miniluotuo_utils.ie.spans import same

if TYPE_CHECKING:
    from miniluotuo_utils.generation.certainty import Token

Key = tuple[str, ...]


def with_confidence(
    records: Sequence[Mapping],
    rows: Sequence[Mapping],
    answers: Sequence[str],
    items: Sequence[Sequence[Mapping]],
    tokens: Sequence[Sequence[Token] | None],
    task: str,
) -> list[dict]:
    """Return records whose every item has its `confidence`, from 0 to 1, null where none is known.

    `rows`, `answers`, `items` and `tokens` belong together; a row's `text` is the number of its
    record. What several answers say has the highest of their probabilities.
    """
    best: list[dict[Key, float]] = [{} for _ in records]
    for row, answer, found, said in zip(rows, answers, items, tokens, strict=True):
        known = best[row["text"]]
        for item, sure in zip(found, confidences(answer, found, said or []), strict=True):
            if sure is not None:
                key = key_of(item)
                known[key] = max(sure, known.get(key, 0.0))

    field, made = field_of(task), []
    for record, known in zip(records, best, strict=True):
        sure = [{**item, "confidence": known.get(key_of(item))} for item in record[field]]
        made.append({**record, field: sure})
    return made


def confidences(
    answer: str, items: Sequence[Mapping], tokens: Sequence[Token]
) -> list[float | None]:
    """Return the confidence of each item of an answer, None for one that does not stand in it.

    It is the probability of all tokens of its names and of the quotes around them: an opening quote
    says that there is a name at all, a closing one that it ends there. A token that holds more than
    a quote, such as `","`, also says whether another name follows, which is no matter of this one
    (`chance`). The type is not weighed. None too where the places of tokens are not known.

    >>> from miniluotuo_utils.generation.certainty import Token
    >>> tokens = [Token(at, at + 1, 0.5 if at == 8 else 1.0) for at in range(13)]
    >>> confidences('{"人物":["李白"]}', [{"name": "李白", "type": "人物"}], tokens)
    [0.5]
    """
    found: list[float | None] = []
    at, kind = 0, None
    for item in items:
        # A name may stand under several types: it is looked for behind its own.
        if item["type"] != kind:
            kind = item["type"]
            key = answer.find(kind, at)
            at = key + len(kind) if key >= 0 else at
        spans = []
        for name in names_of(item):
            start, end = place_of(answer, name, at)
            at = max(at, end)
            spans.append((start, end))
        found.append(None if (-1, -1) in spans else sureness(answer, spans, tokens))
    return found


def sureness(
    answer: str, spans: Sequence[tuple[int, int]], tokens: Sequence[Token]
) -> float | None:
    """Return the probability of all tokens that touch the spans or the characters beside them."""
    touched = [token for token in tokens if token.start < token.end and touches(token, spans)]
    return prod(chance(answer, token, spans) for token in touched) if touched else None


def chance(answer: str, token: Token, spans: Sequence[tuple[int, int]]) -> float:
    """Return how likely a token is for what it says of the names at `spans`.

    One that begins with a name's closing quote says that the name ends: so do all tokens that begin
    with a quote, and what else they hold is about what follows. One that begins with the quote of
    what stands before says, once that is over, that this name comes.
    """
    if token.quoted is None or answer[token.start] != '"':
        return token.probability
    ends = any(token.start == end for _, end in spans)
    begins = any(token.start < start - 1 and token.end >= start for start, _ in spans)
    together = max(token.quoted, token.probability)
    if ends and not begins:
        return together
    return token.probability / together if begins and not ends else token.probability


def touches(token: Token, spans: Sequence[tuple[int, int]]) -> bool:
    """Return whether a token holds a character of a span or one right beside it."""
    return any(token.start <= end and token.end >= start for start, end in spans)


def place_of(answer: str, name: str, at: int) -> tuple[int, int]:
    """Return where a name stands in an answer from `at` on, else anywhere; (-1, -1) if nowhere.

    >>> place_of('["a", "b"]', "b", 0), place_of("[]", "b", 0)
    ((7, 8), (-1, -1))
    """
    for written in (json.dumps(name, ensure_ascii=False)[1:-1], name):
        for begin in (at, 0):
            start = answer.find(written, begin)
            if start >= 0:
                return start, start + len(written)
    return -1, -1


def names_of(item: Mapping) -> Iterator[str]:
    """Yield the names of a parsed item in the order in which an answer says them."""
    yield from (item[part] for part in ("name", "head", "tail", "trigger") if part in item)
    yield from (argument["name"] for argument in item.get("arguments", ()))


def key_of(item: Mapping) -> Key:
    """Return what is the same of an item in an answer and of the one in a record.

    A record spells a name as its sentence does, so width, case and script do not count.
    """
    if "head" in item:
        sides = [item[side] for side in ("head", "tail")]
        names = [side["name"] if isinstance(side, Mapping) else side for side in sides]
    else:
        names = [item["trigger"] if "trigger" in item else item["name"]]
    return (item["type"], *(same(name)[0] for name in names))


def certainty_of(tokens: Sequence[Token] | None) -> float:
    """Return how sure an answer is: the probability of its least certain token, 0 of none.

    >>> from miniluotuo_utils.generation.certainty import Token
    >>> certainty_of([Token(0, 1, 0.9), Token(1, 2, 0.4)]), certainty_of(None)
    (0.4, 0.0)
    """
    return min((token.probability for token in tokens or ()), default=0.0)
