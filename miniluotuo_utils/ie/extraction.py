"""Texts through a student into IE records: prompt, generate, parse, locate, put together. Shown in notebook 05.

In: a student, texts of any length and a schema. Out: `Extraction`, records that `score` takes and counts of what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from miniluotuo_utils.ie.constraints import grammar
from miniluotuo_utils.ie.instructions import DEFAULT, merged, questions
from miniluotuo_utils.ie.parsing import Parsed, parse
from miniluotuo_utils.ie.schema import Schema, in_schema, labels
from miniluotuo_utils.ie.spans import spans, to_record
from miniluotuo_utils.ie.styles import written
from miniluotuo_utils.ie.windows import Piece, whole, windows
from miniluotuo_utils.prompts import row_prompt
from miniluotuo_utils.records import mentions

LEAST = 16  # tokens of text that a prompt must have room for
ANSWER = 96  # tokens that a decoder's answer to a long text has at least: a text is cut only where fewer would be left


@dataclass
class Extraction:
    """What was found.

    records: one per text. ambiguous: per text the names that stand in it more than once and whose place is therefore a guess.
    rows, answers: the questions asked (slices and pieces of the texts, `text` is the number of theirs) and the answers as they came.
    unread: numbers of the texts with an answer that could not be read.
    counts, of answers: answers; unparsable: nothing could be read; repaired: read after a repair; cut: a constrained answer that
    max_new_tokens cut off, of which the complete items count. Of items: not_in_text: names that
    their text does not hold (pos null); off_schema: types and roles that the schema does not know; ambiguous. What is not in
    the text or off the schema stays in the records and counts as wrong.
    """

    records: list[dict]
    ambiguous: list[list[str]]
    rows: list[dict]
    answers: list[str]
    unread: list[int]
    counts: dict[str, int]


def extract(
    student: object,
    sentences: Sequence[str],
    schema: Schema,
    task: str,
    policy: str = "first",
    batch_size: int = 32,
    max_new_tokens: int = 128,
    *,
    style: str = "json",
    language: str = "zh",
    descriptions: Mapping[str, str] | None = None,
    slice_size: int | str | None = DEFAULT,
    window: int | None = None,
    overlap: int = 30,
    constrained: bool = False,
    generate: Callable[..., list[str]] | None = None,
) -> Extraction:
    """What a student finds in each text, asked with the prompts of training (`questions`), greedily.

    Every slice of the schema is asked for, and every piece of a text of more than `window` characters (`windows.windows`; None: as long
    as the student's context allows, `ANSWER` tokens of it kept for a decoder's answer); the answers come together in one record. An answer in JSON ends where its JSON ends.
    `constrained` (style json) lets the student say only what can be right: JSON, the types asked for, pieces of the text
    (`constraints.grammar`); an answer that max_new_tokens cuts off keeps its complete items. `policy`: see `locate`. `student` is
    whatever `generation.generate` takes; `generate` replaces that function, with the same arguments. Raises ValueError where a prompt
    leaves no room for text.
    """
    if constrained and (style != "json" or generate is not None):
        raise ValueError(
            f"constrained is for style json and the student itself; found style {style!r}{', generate' * (generate is not None)}"
        )
    asked = {
        "style": style,
        "language": language,
        "descriptions": descriptions,
        "slice_size": slice_size,
    }
    sentences, room = checked(sentences), None
    if generate is None:
        from miniluotuo_utils.generation import generate

        room = (
            room_for_text(student, schema, task, max_new_tokens, asked) if window is None else None
        )
    pieces = [pieces_of(student, text, window, room, overlap) for text in sentences]
    places = [(number, piece) for number, found in enumerate(pieces) for piece in found]
    parts = [sentences[number][start:end] for number, (start, end) in places]
    rows = [
        row | {"text": places[row["record"]][0]} for row in questions(parts, schema, task, **asked)
    ]
    guides = (
        {
            "grammar": [
                grammar(parts[row["record"]], row["types"], task, schema if task == "EE" else None)
                for row in rows
            ]
        }
        if constrained
        else {}
    )
    options = guides or ({"stop_at_json": True} if style == "json" else {})
    answers = list(
        generate(
            student,
            [row_prompt(row) for row in rows],
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            **options,
        )
    )
    read = (
        [closed(answer, row, task) for answer, row in zip(answers, rows, strict=True)]
        if constrained
        else answers
    )
    parsed = [
        parse(answer, task, style, row["types"]) for row, answer in zip(rows, read, strict=True)
    ]
    located = [
        to_record(part, items, task, policy)
        for part, items in zip(
            parts, merged(rows, [p.items for p in parsed], len(parts)), strict=True
        )
    ]
    made = summary(
        together(sentences, pieces, located, task), rows, answers, parsed, schema, task, policy
    )
    made.counts["cut"] = sum(a != b for a, b in zip(answers, read, strict=True))
    return made


def checked(sentences: Sequence[str]) -> list[str]:
    """The texts as a list; ValueError for a single one."""
    if isinstance(sentences, str):
        raise ValueError(f"sentences is the text {sentences[:20]!r}; expected a list of texts")
    return list(sentences)


def room_for_text(
    student: object, schema: Schema, task: str, max_new_tokens: int, asked: Mapping
) -> int:
    """How many tokens of text fit into every prompt of the schema beside the answer."""
    from miniluotuo_utils.tokens import prompt_ids

    both = student.model.config.is_encoder_decoder
    empty = [row_prompt(row) for row in questions(["。"], schema, task, **asked)]
    longest = max(map(len, prompt_ids(student.tokenizer, empty, both)))
    answer = 0 if both else min(max_new_tokens, ANSWER)
    room = student.context - longest - answer
    if room < LEAST:
        raise ValueError(
            f"the prompt takes {longest} of the student's {student.context} tokens and the answer at least {answer}, "
            f"which leaves {room} for the text: take a smaller slice_size or shorter descriptions"
        )
    return room


def pieces_of(
    student: object, text: str, window: int | None, room: int | None, overlap: int
) -> list[Piece]:
    """The pieces of a text: of at most `window` characters, else of at most `room` tokens, else the whole text."""
    if window is not None:
        return (
            windows(text, window, min(overlap, window // 2))
            if len(text) > window
            else [(0, len(text))]
        )
    width, found = len(text), [(0, len(text))]

    def tokens(piece: Piece) -> int:
        return len(
            student.tokenizer(text[slice(*piece)], add_special_tokens=False, verbose=False)[
                "input_ids"
            ]
        )

    while room is not None and width > 1 and (most := max(map(tokens, found))) > room:
        width = max(1, min(int(0.8 * width), width * room // most))
        found = windows(text, width, min(overlap, width // 2))
    return found


def closed(answer: str, row: Mapping, task: str) -> str:
    """A constrained answer as it is; one that was cut off with its complete items alone."""
    parsed = parse(answer, task, "json", row["types"])
    return (
        written(parsed.items, task, "json", row["types"])
        if "truncated" in parsed.repairs or not parsed.ok
        else answer
    )


def together(
    sentences: Sequence[str],
    pieces: Sequence[Sequence[Piece]],
    located: Sequence[Mapping],
    task: str,
) -> list[dict]:
    """One record per text from those of its pieces, which follow each other in `located`."""
    rest = iter(located)
    return [
        whole(text, places, [next(rest) for _ in places], task)
        for text, places in zip(sentences, pieces, strict=True)
    ]


def summary(
    records: list[dict],
    rows: list[dict],
    answers: list[str],
    parsed: Sequence[Parsed],
    schema: Schema,
    task: str,
    policy: str,
) -> Extraction:
    """The records with everything that is counted about them."""
    ambiguous = [guessed(record) if policy == "first" else [] for record in records]
    unread = {row["text"] for row, p in zip(rows, parsed, strict=True) if not p.ok}
    counts = {
        "answers": len(answers),
        "unparsable": sum(not p.ok for p in parsed),
        "repaired": sum(p.ok and bool(p.repairs) for p in parsed),
        "not_in_text": sum(
            thing["pos"] is None for record in records for thing, _ in mentions(record)
        ),
        "off_schema": sum(
            not in_schema(label, schema) for record in records for _, label in labels(record, task)
        ),
        "ambiguous": sum(map(len, ambiguous)),
    }
    return Extraction(records, ambiguous, rows, answers, sorted(unread), counts)


def guessed(record: Mapping) -> list[str]:
    """Names of a record that its text holds at more places than the record names.

    >>> guessed({"sentence": "黄州和黄州", "entities": [{"name": "黄州", "type": "地点", "pos": [0, 2]}]})
    ['黄州']
    """
    named: dict[str, set] = {}
    for thing, _ in mentions(record):
        if thing["pos"]:
            named.setdefault(thing["name"], set()).add(tuple(thing["pos"]))
    return [
        name for name, places in named.items() if len(places) < len(spans(record["sentence"], name))
    ]
