"""Extract IE records from texts with a student: cut, ask, complete, read. Shown in notebook 05.

In: a student, texts of any length and a schema. Out: `Extraction`, with records that `score` takes.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from miniluotuo_utils import generation
from miniluotuo_utils.choices import check_choice
from miniluotuo_utils.generation.certainty import token_probabilities
from miniluotuo_utils.ie.confidence import certainty_of, with_confidence
from miniluotuo_utils.ie.constraints import grammar
from miniluotuo_utils.ie.instructions import DEFAULT, merged, questions
from miniluotuo_utils.ie.names import checked_texts
from miniluotuo_utils.ie.parsing import Parsed, parse
from miniluotuo_utils.ie.schema import Schema, in_schema, labels, ordered
from miniluotuo_utils.ie.spans import POLICIES, alike, places, to_record
from miniluotuo_utils.ie.windows import Piece, whole, windows
from miniluotuo_utils.records import mentions
from miniluotuo_utils.tokens import prompt_ids, prompts_of
from miniluotuo_utils.tokens.vocabulary import kind_of

LEAST = 16  # tokens of text that a prompt must have room for
ANSWER = 96  # tokens that a decoder's context keeps for the answer when a text is cut to fit


@dataclass
class Extraction:
    """What a student found.

    records: one per text.
    ambiguous: per text, the names that stand in it more than once, so that their place is a guess.
    rows, answers: the questions asked, one for each slice of the schema and piece of a text (`text`
      is the number of the text), and the answers as they came.
    unread: numbers of the texts with an answer that could not be read.
    certainty: with `confidence`, per text the probability of the least certain token of its
      answers; else [].

    counts, of answers: `answers`; `unparsable`, nothing could be read; `repaired`, read after a
    repair; `cut`, a constrained answer that max_new_tokens or a loop cut off (its complete items
    count); `looped`, one that said the same over and over (once is kept). Of items: `not_in_text`,
    a name that its text does not hold (its pos is null); `respelt`, one that its text spells in
    another width, spacing, case or script (named as there); `off_schema`, a type or role that the
    schema does not know; `ambiguous`. Items that are not in the text or off the schema stay in the
    records and count as wrong.
    """

    records: list[dict]
    ambiguous: list[list[str]]
    rows: list[dict]
    answers: list[str]
    unread: list[int]
    counts: dict[str, int]
    certainty: list[float] = field(default_factory=list)


def extract(
    student: Any,
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
    confidence: bool = False,
    generate: Callable[..., list[str]] | None = None,
) -> Extraction:
    """Return what a student finds in each text, asked greedily with the prompts of its training.

    student: whatever `generation.generate` takes.
    policy: which place a name gets that stands more than once, see `locate`; with `every` head and
      tail of a relation stand in their nearest pairs of places, see `to_record`.
    style, language, descriptions, slice_size: the form of the prompts, see `build_instructions`.
      Every slice of the schema is asked for; the answers come together in one record.
    window, overlap: a text of more than `window` characters is read in pieces that share up to
      `overlap` characters. None cuts only what the student's context cannot hold beside an answer
      of `ANSWER` tokens.
    constrained: let the student write only what can be right: JSON, the types asked for, pieces of
      the text (`constraints.grammar`). An answer that max_new_tokens cuts off keeps its complete
      items.
    confidence: give every item its `confidence`, the probability of its tokens, from 0 to 1
      (`confidence.confidences`), and every text its `certainty`. It needs the student itself.
    generate: a function that answers in place of `generation.generate`, with the same arguments.

    Raises ValueError where a prompt leaves no room for text, for a single text in place of a list,
    and for `constrained` with another style than json or with `generate`; DataError, naming the
    number of the text, for one that no record can hold. Warns of types that a student cannot write.
    """
    check_way(policy, constrained, style, generate, confidence)
    sentences, schema = checked_texts(sentences), ordered(schema)
    form = dict(style=style, language=language, descriptions=descriptions, slice_size=slice_size)

    # Only a student has a context: whatever answers in its place takes texts of any length.
    room = None
    if generate is None and window is None:
        room = room_for_text(student, questions(["。"], schema, task, **form), max_new_tokens)

    pieces = [cut(student, text, window, overlap, room) for text in sentences]
    parts = [text[a:b] for text, places in zip(sentences, pieces, strict=True) for a, b in places]
    rows = ask(parts, pieces, schema, task, form)

    # What follows the JSON costs time and says nothing; a grammar ends the answer by itself.
    options = dict(max_new_tokens=max_new_tokens, batch_size=batch_size)
    if constrained:
        warn_unsayable(student, schema)
        options["grammar"] = [
            grammar(parts[row["record"]], row["types"], task, schema) for row in rows
        ]
    elif style == "json":
        options["stop_at_json"] = True
    answers = complete(student, rows, generate, **options)

    parsed = [
        parse(answer, task, style, asked_of(row["types"], schema))
        for answer, row in zip(answers, rows, strict=True)
    ]
    items = merged(rows, [p.items for p in parsed])
    records = read(sentences, pieces, parts, items, task, policy)
    found = summary(records, rows, answers, parsed, schema, task, policy, constrained)
    found.counts["respelt"] = respelt(parts, items)
    return weighed(student, found, [p.items for p in parsed], task) if confidence else found


def weighed(
    student: Any, found: Extraction, items: Sequence[Sequence[dict]], task: str
) -> Extraction:
    """Return an extraction with the confidence of every item and the certainty of every text."""
    tokens = token_probabilities(student, found.rows, found.answers)
    found.records = with_confidence(found.records, found.rows, found.answers, items, tokens, task)
    found.certainty = [1.0] * len(found.records)
    for row, said in zip(found.rows, tokens, strict=True):
        found.certainty[row["text"]] = min(found.certainty[row["text"]], certainty_of(said))
    return found


def check_way(
    policy: str,
    constrained: bool,
    style: str,
    generate: Callable | None,
    confidence: bool = False,
) -> None:
    """Raise ValueError, before hours of asking, for options that do not go together."""
    check_choice("policy", policy, POLICIES)
    if confidence and generate is not None:
        raise ValueError("confidence is of the student's own tokens; found generate beside it")
    if constrained and (style != "json" or generate is not None):
        given = f"style {style!r}" + (", generate" if generate is not None else "")
        raise ValueError(f"constrained is for style json and the student itself; found {given}")


def asked_of(types: Sequence[str], schema: Schema) -> Schema:
    """Return the part of a schema that one row asked for: for EE its types with their roles."""
    return {kind: schema[kind] for kind in types} if isinstance(schema, Mapping) else types


def warn_unsayable(student: Any, schema: Schema) -> None:
    """Warn of types and roles with spaces where a student's WordPiece vocabulary writes none."""
    tokenizer = getattr(student, "tokenizer", None)
    if tokenizer is None or kind_of(tokenizer) != "WordPiece":
        return
    roles = (
        [role for kind in schema for role in schema[kind]] if isinstance(schema, Mapping) else []
    )
    spaced = sorted({label for label in [*schema, *roles] if re.search(r"\s", label)})
    if spaced:
        warnings.warn(
            f"the student's WordPiece vocabulary writes no spaces, so under the grammar it can say "
            f"nothing of {', '.join(map(repr, spaced[:5]))}: name them without spaces, or extract "
            "with constrained=False",
            stacklevel=3,
        )


def respelt(parts: Sequence[str], items: Sequence[Sequence[Mapping]]) -> int:
    """Return how many names their texts spell in another width, spacing, case or script."""
    count = 0
    for text, found in zip(parts, items, strict=True):
        names = {name for item in found for name in names_in(item) if name not in text}
        count += sum(bool(alike(text, name)) for name in names)
    return count


def names_in(item: Mapping) -> Iterator[str]:
    """Yield the names of a parsed item: its own, head and tail, trigger and arguments."""
    yield from (item[part] for part in ("name", "head", "tail", "trigger") if part in item)
    yield from (argument["name"] for argument in item.get("arguments", ()))


def room_for_text(student: Any, rows: Sequence[Mapping], max_new_tokens: int) -> int:
    """Return how many tokens of text fit into every prompt of `rows`, with room for an answer.

    The rows hold next to no text. Raise ValueError for a room of fewer than `LEAST` tokens.
    """
    both = student.model.config.is_encoder_decoder
    longest = max(map(len, prompt_ids(student.tokenizer, prompts_of(student, rows), both)))
    answer = 0 if both else min(max_new_tokens, ANSWER)
    room = student.context - longest - answer
    if room < LEAST:
        raise ValueError(
            f"the prompt takes {longest} of the student's {student.context} tokens and the answer "
            f"at least {answer}, which leaves {room} for the text: take a smaller slice_size or "
            "shorter descriptions"
        )
    return room


def cut(student: Any, text: str, window: int | None, overlap: int, room: int | None) -> list[Piece]:
    """Return [start, end) of the pieces of a text: `window` characters or `room` tokens at most."""
    size = len(text) if window is None else window
    pieces = [(0, len(text))]
    if len(text) > size:
        pieces = windows(text, size, min(overlap, size // 2))

    # Rare characters take more tokens than others, so no average says where to cut: try, shrink.
    while room is not None and size > 1:
        parts = [text[start:end] for start, end in pieces]
        ids = student.tokenizer(parts, add_special_tokens=False, verbose=False)["input_ids"]
        longest = max(map(len, ids))
        if longest <= room:
            break
        size = max(1, min(int(0.8 * size), size * room // longest))
        pieces = windows(text, size, min(overlap, size // 2))
    return pieces


def ask(
    parts: Sequence[str],
    pieces: Sequence[Sequence[Piece]],
    schema: Schema,
    task: str,
    form: Mapping[str, Any],
) -> list[dict]:
    """Return the questions of every part: `record` is its number, `text` the number of its text."""
    texts = [number for number, places in enumerate(pieces) for _ in places]
    rows = questions(parts, schema, task, **form)
    return [row | {"text": texts[row["record"]]} for row in rows]


def complete(
    student: Any,
    rows: Sequence[Mapping],
    generate: Callable[..., list[str]] | None,
    **options: Any,
) -> list[str]:
    """Return the answers to `rows`, by the student or by what answers in its place."""
    write = generate or generation.generate
    answers = list(write(student, prompts_of(student, rows), **options))
    if len(answers) != len(rows):
        raise ValueError(
            f"generate gave {len(answers)} answers to {len(rows)} prompts; expected one each, in "
            "their order"
        )
    return answers


def read(
    sentences: Sequence[str],
    pieces: Sequence[Sequence[Piece]],
    parts: Sequence[str],
    items: Sequence[Sequence[Mapping]],
    task: str,
    policy: str,
) -> list[dict]:
    """Return one record per text: the items of each part located in it, the parts joined."""
    found = iter([to_record(*pair, task, policy) for pair in zip(parts, items, strict=True)])
    return [
        whole(text, places, list(islice(found, len(places))), task)
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
    constrained: bool,
) -> Extraction:
    """Return the records with everything that is counted about them."""
    # A grammar lets nothing wrong be said: its answers are incomplete only where they were cut off.
    cut_off = [constrained and ("truncated" in p.repairs or not p.ok) for p in parsed]
    broken = [not (p.ok or constrained) for p in parsed]
    # A type that nobody asked for is read as it stands; `off_schema` counts it.
    repaired = [p.ok and bool(p.repairs.keys() - {"unasked_type"}) for p in parsed]
    unread = {row["text"] for row, bad in zip(rows, broken, strict=True) if bad}

    ambiguous = [guessed(record) if policy == "first" else [] for record in records]
    places = [thing["pos"] for record in records for thing, _ in mentions(record)]
    known = [in_schema(label, schema) for record in records for _, label in labels(record, task)]
    counts = {
        "answers": len(answers),
        "unparsable": sum(broken),
        "repaired": sum(r and not c for r, c in zip(repaired, cut_off, strict=True)),
        "not_in_text": places.count(None),
        "off_schema": known.count(False),
        "ambiguous": sum(map(len, ambiguous)),
        "cut": sum(cut_off),
        "looped": sum("loop" in p.repairs for p in parsed),
    }
    return Extraction(records, ambiguous, rows, answers, sorted(unread), counts)


def guessed(record: Mapping) -> list[str]:
    """Return the names of a record that its text holds at more places than the record names.

    >>> place = {"name": "黄州", "type": "地点", "pos": [0, 2]}
    >>> guessed({"sentence": "黄州和黄州", "entities": [place]})
    ['黄州']
    """
    named: dict[str, set] = {}
    for thing, _ in mentions(record):
        if thing["pos"]:
            named.setdefault(thing["name"], set()).add(tuple(thing["pos"]))
    sentence = record["sentence"]
    return [name for name, found in named.items() if len(found) < len(places(sentence, name))]


def recorded(rows: Iterable[Mapping]) -> Callable[..., list[str]]:
    """Return a `generate` for `extract` that plays back a teacher's recorded answers.

    To the prompt of each row of `rows` it answers that row's output. It raises KeyError for any
    other prompt.

    >>> row = {"instruction": "找出人物。", "input": "李白", "output": '{"人物":["李白"]}'}
    >>> recorded([row])(None, prompts_of(None, [row]))
    ['{"人物":["李白"]}']
    """
    rows = list(rows)

    def generate(student: object, prompts: Sequence[str], **_: object) -> list[str]:
        answers = {
            text: row["output"] for text, row in zip(prompts_of(student, rows), rows, strict=True)
        }
        missing = [number for number, text in enumerate(prompts) if text not in answers]
        if missing:
            raise KeyError(
                f"prompt {missing[0]} ({len(missing)} of {len(prompts)}) has no recorded answer: "
                f"{prompts[missing[0]][-60:]!r}; ask with the schema, style and slices of the "
                "recording"
            )
        return [answers[text] for text in prompts]

    return generate
