"""Precision, recall and F1 of predicted IE records, in several modes. Shown in notebook 05.

In: gold and predicted records, aligned by line, in memory or in two files. Out: one result dict of unrounded figures in
0-1, its table, and for NER and RE what kind of error each item is. Needs nothing but Python.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from miniluotuo_utils.files import DataError, iter_jsonl
from miniluotuo_utils.ie.modes import Counts, Rule, Unit, ruled
from miniluotuo_utils.ie.schema import Schema, check_schema, field_of, in_schema
from miniluotuo_utils.records import check_record

RATES = ("precision", "recall", "f1")
COUNTS = ("tp", "pred", "gold", "found")
NOTES = (
    "no_position",
    "gold_no_position",
    "not_in_text",
    "duplicates",
    "gold_duplicates",
    "off_schema",
)
Pair = tuple[Mapping, Mapping]  # a gold record and its prediction


class Misaligned(DataError):
    """Gold and prediction are not of the same sentences; the message names the line, but not the files."""


def score(
    gold: Iterable[Mapping],
    pred: Iterable[Mapping],
    task: str,
    mode: str = "span",
    schema: Schema | None = None,
    *,
    typed: bool = False,
    aliases: Mapping[str, Sequence[str]] | None = None,
) -> dict:
    """Score predictions against gold records of the same sentences in the same order; lists, or iterators read once.

    What must be equal in `span` mode: NER start, end, type; RE head span, relation, tail span; EE trigger span and
    event type, and apart from it argument span, role and event type. In `string` mode the names stand for the spans.
    Each counts once per sentence. An item without a position is never right in span mode, so `score(x, x)` is 1 there
    only if every gold item has one. `slots` are compared by duie alone. One-pair gold counts what its source left
    unlabelled as wrong. Modes `iepile`, `instructuie`, `duie` (RE only), `duee` (EE only) and `overlap` (NER only)
    follow published scorers; each is described in `ie/modes.py`.

    `typed` (RE; span, string, iepile, duie): the types of head and tail must be equal too. One that is "" never is, so
    records that `extract` located have no right relation then. `aliases` (duie, duee): name -> list of equal names.

    Result: `task`, `mode`, `typed` if so, then for NER and RE these fields, for EE the same under `trigger` and under
    `argument`, for overlap under `strict`, `exact`, `partial` and `type`: `micro` {precision, recall, f1, tp, pred,
    gold}, for duie also `found`, the gold items that recall counts; `macro` {precision, recall, f1}, the mean over types
    in gold or pred; `per_type` {type: like micro}, most frequent first; and counts of items: `no_position`,
    `gold_no_position`, `not_in_text` (a predicted name is not in its sentence), `duplicates`, `gold_duplicates` (beyond
    the first), and `off_schema` if `schema` is given. tp is an int but for duee's arguments and overlap's partial, where
    it is a sum of credits. 0/0 is 0.0, also when gold and prediction are both empty.

    A task without the mode, a mode without `typed` or `aliases`, or a schema of another task's shape is a ValueError;
    records that are not of the same sentence and task are a DataError that names the first line.
    """
    rule = ruled(field_of(task) and task, mode, typed, aliases)
    if schema is not None:
        check_schema(schema, task)
    tallies = {part: Tally(rule, part, schema) for part in rule.parts}
    for g, p in aligned(gold, pred, task):
        for tally in tallies.values():
            tally.add(g, p)
    return nested(rule, {part: tally.result() for part, tally in tallies.items()})


def nested(rule: Rule, parts: Mapping[str, dict]) -> dict:
    """The one form of a result: task and mode, then the fields of the only part, or the parts by name."""
    top = {"task": rule.task, "mode": rule.name} | ({"typed": True} if rule.typed else {})
    return top | (dict(parts) if len(parts) > 1 else next(iter(parts.values())))


def parts_of(result: Mapping) -> list[tuple[str, Mapping]]:
    """(label, fields) of each part of a result: one, two for EE, four for overlap."""
    if "micro" in result:
        return [(result["task"], result)]
    return [
        (f"{result['task']} {name}", part)
        for name, part in result.items()
        if isinstance(part, Mapping) and "micro" in part
    ]


def aligned(gold: Iterable[Mapping], pred: Iterable[Mapping], task: str) -> Iterator[Pair]:
    """The records pair by pair; DataError at the first line where they are not of the same sentence and task."""
    golds, preds = iter(gold), iter(pred)
    for line, (g, p) in enumerate(zip_longest(golds, preds), 1):
        for side, record in (("gold", g), ("prediction", p)):
            if record is not None:
                check_side(record, f"line {line}: the {side}", task)
        if g is None or p is None:
            more = line + sum(1 for _ in (preds if g is None else golds))
            found = (line - 1, more) if g is None else (more, line - 1)
            raise Misaligned(
                f"line {line}: there is no {'gold' if g is None else 'prediction'} ({found[0]} gold, {found[1]} "
                "predicted records); expected one prediction per gold line"
            )
        if g["sentence"] != p["sentence"]:
            raise Misaligned(
                f"line {line}: found the prediction of {p['sentence'][:30]!r}, expected that of "
                f"{g['sentence'][:30]!r}; keep one prediction per gold line, in its order"
            )
        yield g, p


def check_side(record: Mapping, side: str, task: str) -> None:
    """Misaligned for a record without a sentence or without the task's list; whether its items are whole, `check_record` says."""
    for name, kind, what in (
        (field_of(task), (list, tuple), "a list"),
        ("sentence", str, "a text"),
    ):
        if not isinstance(record, Mapping) or name not in record:
            raise Misaligned(f"{side} has no field {name}, expected it for task {task}")
        if not isinstance(record[name], kind):
            raise Misaligned(f"{side}'s field {name} is {record[name]!r:.60}, expected {what}")


@dataclass
class Tally:
    """The counts of one part, sentence after sentence."""

    rule: Rule
    part: str
    schema: Schema | None
    types: Counts = field(default_factory=dict)
    notes: Counter = field(default_factory=Counter)

    def add(self, gold: Mapping, pred: Mapping) -> None:
        """Count one sentence."""
        wanted, found, counts = self.rule.counted(gold, pred, self.part)
        for kind, row in counts.items():
            self.types[kind] = (
                [a + b for a, b in zip(self.types[kind], row, strict=True)]
                if kind in self.types
                else row
            )
        self.note(wanted, found, pred["sentence"])

    def note(self, wanted: Sequence[Unit], found: Sequence[Unit], sentence: str) -> None:
        """Count what a reader should know beside the score."""
        wanted_once, found_once = {u.key: u for u in wanted}, {u.key: u for u in found}
        self.notes["duplicates"] += len(found) - len(found_once)
        self.notes["gold_duplicates"] += len(wanted) - len(wanted_once)
        self.notes["gold_no_position"] += sum([not u.placed for u in wanted_once.values()])
        self.notes["no_position"] += sum([not u.placed for u in found_once.values()])
        for unit in found_once.values():
            for thing in unit.things:
                if thing["name"] not in sentence:
                    self.notes["not_in_text"] += 1
                    break
        if self.schema is not None:
            self.notes["off_schema"] += sum(
                not in_schema(u.label, self.schema) for u in found_once.values()
            )

    def result(self) -> dict:
        """The fields of this part."""
        types = {kind: row for kind, row in self.types.items() if kind is not None}
        order = sorted(types, key=lambda kind: (-types[kind][2], -types[kind][1], kind))
        per_type = {kind: rates(types[kind]) for kind in order}
        macro = {
            rate: ratio(sum(row[rate] for row in per_type.values()), len(per_type))
            for rate in RATES
        }
        notes = {
            name: self.notes[name] for name in NOTES[: None if self.schema is not None else -1]
        }
        return {
            "micro": rates(total(self.types, self.rule)),
            "macro": macro,
            "per_type": per_type,
            **notes,
        }


def total(counts: Counts, rule: Rule) -> list[float]:
    """The counts of all types together: [right, predicted, gold], for duie also [gold found]."""
    if None in counts:
        return counts[None]
    return (
        [sum(column) for column in zip(*counts.values(), strict=True)]
        if counts
        else [0] * (4 if rule.name == "duie" else 3)
    )


def rates(counts: Sequence[float]) -> dict:
    """Precision, recall, F1 and the counts that they come from: right, predicted, gold, and gold found if it differs.

    >>> rates([1, 2, 1])
    {'precision': 0.5, 'recall': 1.0, 'f1': 0.6666666666666666, 'tp': 1, 'pred': 2, 'gold': 1}
    >>> rates([2, 2, 2, 1])["recall"]
    0.5
    """
    tp, pred, gold, found = (*counts, counts[0])[:4]
    # 2tp/(pred+gold) is 2PR/(P+R) with one rounding less
    f1 = (
        ratio(2 * tp, pred + gold)
        if found == tp
        else ratio(2 * tp * found, tp * gold + found * pred)
    )
    return {"precision": ratio(tp, pred), "recall": ratio(found, gold), "f1": f1} | dict(
        zip(COUNTS, counts, strict=False)
    )


def ratio(part: float, whole: float) -> float:
    """part / whole, 0.0 where the whole is 0."""
    return part / whole if whole else 0.0


def headline(result: Mapping) -> list[tuple[str, dict]]:
    """(label, micro) of each part of a result of `score`, `interval`, `compare` or `over_orders`: one row, two for EE, four for overlap.

    >>> [label for label, micro in headline(score([], [], "EE"))]
    ['EE trigger', 'EE argument']
    """
    return [(label, part["micro"]) for label, part in parts_of(result)]


def score_files(
    gold_path: Path | str,
    pred_path: Path | str,
    task: str,
    mode: str = "span",
    schema: Schema | None = None,
    *,
    typed: bool = False,
    aliases: Mapping[str, Sequence[str]] | None = None,
    read: Callable[[Path], Iterable[Mapping]] | None = None,
) -> dict:
    """`score` of two files, read line by line, so memory stays small; errors name the file and the line.

    The files are JSON Lines of IE records, or of what `read` makes records from, one per sentence.
    """
    gold, pred = Path(gold_path), Path(pred_path)
    sides = [read(path) if read else iter_jsonl(path, check_record) for path in (gold, pred)]
    try:
        return score(*sides, task, mode, schema, typed=typed, aliases=aliases)
    except Misaligned as error:
        raise DataError(f"{gold.name} against {pred.name}, {error}") from None


def table(result: Mapping) -> str:
    """A result of `score` as plain text: micro, macro and each type, then the counts that are not 0."""
    mode = result["mode"] + (" typed" if result.get("typed") else "")
    return "\n\n".join(block(f"{label} · {mode}", part) for label, part in parts_of(result))


def block(title: str, part: Mapping) -> str:
    """The table of one part of a result."""
    rows = [("micro", part["micro"]), ("macro", part["macro"]), *part["per_type"].items()]
    width = max(cells(name) for name in [title, *part["per_type"]])
    counts = [count for count in COUNTS if count in part["micro"]]
    lines = [padded(title, width) + "".join(f"{head:>10}" for head in [*RATES, *counts])]
    for name, row in rows:
        figures = [f"{row[rate]:>10.4f}" for rate in RATES] + [
            figure(row[count]) for count in counts if count in row
        ]
        lines.append(padded(name or '""', width) + "".join(figures))
    notes = [f"{name} {part[name]}" for name in NOTES if part.get(name)]
    return "\n".join(lines + ([" · ".join(notes)] if notes else []))


def figure(count: float) -> str:
    """A count in ten columns; a sum of credits with two places."""
    return f"{count:>10.2f}" if isinstance(count, float) else f"{count:>10}"


def cells(text: str) -> int:
    """How many terminal columns a text takes; a Chinese character takes two.

    >>> cells("F1 值")
    5
    """
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def padded(text: str, width: int) -> str:
    """A text filled with spaces to `width` columns."""
    return text + " " * (width - cells(text))


def errors(
    gold: Iterable[Mapping],
    pred: Iterable[Mapping],
    unparsable: Iterable[int] = (),
    task: str = "NER",
) -> list[dict]:
    """What became of every entity (RE: relation), by span: for each sentence `{sentence, entities: [{kind, gold, pred}]}`.

    Kinds: `right`; `wrong_type` (same span, RE: spans); `wrong_boundary` (same type, spans overlap, RE: both do);
    `missed` (pred is None); `unparsable`: missed in a sentence whose answer could not be read, its number (0-based) in
    `unparsable`; `spurious` (gold is None). Each item is used once; they come in the order of the sentence.
    """
    if task not in ("NER", "RE"):
        raise ValueError(f"task is {task!r}; errors are told apart for NER and RE")
    lost, rule, found = set(unparsable), ruled(task, "span"), []
    for line, (g, p) in enumerate(aligned(gold, pred, task)):
        found.append(
            {
                "sentence": g["sentence"],
                field_of(task): sentence_errors(
                    g, p, rule, "unparsable" if line in lost else "missed"
                ),
            }
        )
    if lost - set(range(len(found))):
        raise ValueError(
            f"unparsable has {sorted(lost - set(range(len(found))))[:3]}; expected numbers of sentences, 0 to {len(found) - 1}"
        )
    return found


def sentence_errors(gold: Mapping, pred: Mapping, rule: Rule, missed: str) -> list[dict]:
    """The items of one sentence, paired in three rounds, the strictest first, so that no good pair is broken up."""
    (part,) = rule.parts
    wanted, found = (
        sorted({u.key: u for u in rule.units(record, part)}.values(), key=start)
        for record in (gold, pred)
    )
    paired = []
    for kind, alike in (
        ("right", same),
        ("wrong_type", same_span),
        ("wrong_boundary", overlapping),
    ):
        for g in list(wanted):
            if (
                p := next((p for p in found if g.placed and p.placed and alike(g, p)), None)
            ) is not None:
                paired.append((g, {"kind": kind, "gold": item(g), "pred": item(p)}))
                wanted.remove(g)
                found.remove(p)
    paired += [(g, {"kind": missed, "gold": item(g), "pred": None}) for g in wanted]
    paired += [(p, {"kind": "spurious", "gold": None, "pred": item(p)}) for p in found]
    return [entry for _, entry in sorted(paired, key=lambda pair: start(pair[0]))]


def item(unit: Unit) -> dict:
    """The entity, or the relation, of a unit."""
    if len(unit.things) == 1:
        return dict(unit.things[0])
    return {"head": unit.things[0], "type": unit.label[0], "tail": unit.things[1]}


def start(unit: Unit) -> float:
    """Where an item begins; one without a position comes last."""
    return unit.things[0]["pos"][0] if unit.placed else float("inf")


def same(gold: Unit, pred: Unit) -> bool:
    """Equal spans and type."""
    return gold.key == pred.key


def same_span(gold: Unit, pred: Unit) -> bool:
    """Equal spans."""
    return gold.key[1:] == pred.key[1:]


def overlapping(gold: Unit, pred: Unit) -> bool:
    """Equal type, and spans that share a character, head with head and tail with tail."""
    return gold.label == pred.label and all(
        a < d and c < b for (a, b), (c, d) in zip(gold.key[1:], pred.key[1:], strict=True)
    )
