"""Precision, recall and F1 of predicted IE records, counted by span or by string. Shown in notebook 05.

In: gold and predicted records, aligned by line. Out: one result dict of unrounded figures in 0-1, its bootstrap
interval, its table, and for NER what kind of error each one is.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from miniluotuo_utils.ie.instructions import Schema, field_of, in_schema
from miniluotuo_utils.records import DataError, check_record, read_jsonl

MODES = ("span", "string")
PARTS = {"NER": ("entity",), "RE": ("relation",), "EE": ("trigger", "argument")}
RATES = ("precision", "recall", "f1")
COUNTS = ("tp", "pred", "gold")
NOTES = ("no_position", "gold_no_position", "not_in_text", "duplicates", "gold_duplicates", "off_schema")
Pair = tuple[Mapping, Mapping]  # a gold record and its prediction


class Unit(NamedTuple):
    """One thing to find. Equal keys match; `label` is (type,) or (event type, role); `things` its mentions."""

    key: tuple
    label: tuple[str, ...]
    things: tuple[Mapping, ...]

    @property
    def placed(self) -> bool:
        """Whether every mention has a position."""
        return all(thing.get("pos") for thing in self.things)


def units(record: Mapping, part: str, mode: str) -> Iterator[Unit]:
    """What one part of the score counts in a record; the key holds the label, then each mention's span or name."""
    for label, *things in labelled(record, part):
        names = [thing["name"] for thing in things]
        places = [tuple(thing.get("pos") or ("?", thing["name"])) for thing in things]
        yield Unit((*label, *(names if mode == "string" else places)), label, tuple(things))


def labelled(record: Mapping, part: str) -> Iterator[tuple]:
    """(label, mention, ...) of each unit of a record."""
    if part == "entity":
        yield from (((entity["type"],), entity) for entity in record["entities"])
    elif part == "relation":
        yield from (((r["type"],), r["head"], r["tail"]) for r in record["relations"])
    elif part == "trigger":
        yield from (((e["type"],), {"name": e["trigger"], "pos": e.get("pos")}) for e in record["events"])
    else:
        yield from (((e["type"], a["role"]), a) for e in record["events"] for a in e.get("arguments") or ())


def score(
    gold: Sequence[Mapping], pred: Sequence[Mapping], task: str, mode: str = "span", schema: Schema | None = None
) -> dict:
    """Score predictions against gold records of the same sentences in the same order.

    What must be equal in `span` mode: NER start, end, type; RE head span, relation, tail span; EE trigger span and
    event type, and apart from it argument span, role and event type. In `string` mode the names stand for the spans.
    Each counts once per sentence. An item without a position is never right in span mode, so `score(x, x)` is 1 there
    only if every gold item has one. Entity types of heads and tails, and `slots`, are not compared. One-pair
    gold counts what its source left unlabelled as wrong.

    Result: `task`, `mode`, then for NER and RE these fields, for EE the same under `trigger` and under `argument`:
    `micro` {precision, recall, f1, tp, pred, gold}; `macro` {precision, recall, f1}, the mean over types in gold or
    pred; `per_type` {type: like micro}, most frequent first; and counts of items: `no_position`, `gold_no_position`,
    `not_in_text` (a predicted name is not in its sentence), `duplicates`, `gold_duplicates` (beyond the first), and
    `off_schema` if `schema` is given. 0/0 is 0.0, also when gold and prediction are both empty.
    """
    pairs = aligned(gold, pred, task, mode)
    parts = {part: part_score(pairs, part, mode, schema) for part in PARTS[task]}
    return {"task": task, "mode": mode} | (parts if task == "EE" else parts[PARTS[task][0]])


def aligned(gold: Sequence[Mapping], pred: Sequence[Mapping], task: str, mode: str) -> list[Pair]:
    """The records pair by pair; DataError at the first line where they are not of the same sentence and task."""
    field = field_of(task)
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; expected one of {', '.join(MODES)}")
    for line, (g, p) in enumerate(zip_longest(gold, pred), 1):
        for side, record in (("gold", g), ("prediction", p)):
            if record is not None and field not in record:
                raise DataError(f"line {line}: the {side} has no field {field}, expected it for task {task}")
        if g is None or p is None:
            raise DataError(f"line {line}: there is no {'gold' if g is None else 'prediction'} ({len(gold)} gold, "
                            f"{len(pred)} predicted records); expected one prediction per gold line")  # fmt: skip
        if g["sentence"] != p["sentence"]:
            raise DataError(f"line {line}: found the prediction of {p['sentence'][:30]!r}, expected that of "
                            f"{g['sentence'][:30]!r}; keep one prediction per gold line, in its order")  # fmt: skip
    return list(zip(gold, pred, strict=True))


def part_score(pairs: Sequence[Pair], part: str, mode: str, schema: Schema | None) -> dict:
    """The fields of one part of the result."""
    tally: dict[str, Counter] = {}
    notes = Counter(dict.fromkeys(NOTES[: None if schema is not None else -1], 0))
    for gold, pred in pairs:
        wanted, found = list(units(gold, part, mode)), list(units(pred, part, mode))
        for kind, counts in sentence_counts(wanted, found, mode).items():
            tally.setdefault(kind, Counter()).update(counts)
        wanted_once, found_once = {u.key: u for u in wanted}.values(), {u.key: u for u in found}.values()
        notes["duplicates"] += len(found) - len(found_once)
        notes["gold_duplicates"] += len(wanted) - len(wanted_once)
        notes["gold_no_position"] += sum(not u.placed for u in wanted_once)
        notes["no_position"] += sum(not u.placed for u in found_once)
        notes["not_in_text"] += sum(any(t["name"] not in pred["sentence"] for t in u.things) for u in found_once)
        if schema is not None:
            notes["off_schema"] += sum(not in_schema(u.label, schema) for u in found_once)
    types = sorted(tally, key=lambda kind: (-tally[kind]["gold"], -tally[kind]["pred"], kind))
    per_type = {kind: rates(tally[kind]) for kind in types}
    micro = rates(sum(tally.values(), Counter()))
    macro = {rate: ratio(sum(row[rate] for row in per_type.values()), len(per_type)) for rate in RATES}
    return {"micro": micro, "macro": macro, "per_type": per_type, **notes}


def sentence_counts(wanted: Sequence[Unit], found: Sequence[Unit], mode: str) -> dict[str, Counter]:
    """tp, pred and gold of one sentence by type."""
    gold, pred = {u.key: u for u in wanted}, {u.key: u for u in found}
    right = [key for key in gold if key in pred and (mode == "string" or gold[key].placed)]
    counts: dict[str, Counter] = {}
    for name, keys in (("gold", gold), ("pred", pred), ("tp", right)):
        for kind, *_ in keys:
            counts.setdefault(kind, Counter())[name] += 1
    return counts


def rates(counts: Mapping[str, int]) -> dict:
    """Precision, recall, F1 and the counts that they come from.

    >>> rates({"tp": 1, "pred": 2, "gold": 1})
    {'precision': 0.5, 'recall': 1.0, 'f1': 0.6666666666666666, 'tp': 1, 'pred': 2, 'gold': 1}
    """
    tp, pred, gold = (counts.get(name, 0) for name in COUNTS)
    # 2tp/(pred+gold) is 2PR/(P+R) with one rounding less
    return {"precision": ratio(tp, pred), "recall": ratio(tp, gold), "f1": ratio(2 * tp, pred + gold),
            "tp": tp, "pred": pred, "gold": gold}  # fmt: skip


def ratio(part: float, whole: float) -> float:
    """part / whole, 0.0 where the whole is 0."""
    return part / whole if whole else 0.0


def headline(result: Mapping) -> list[tuple[str, dict]]:
    """(label, micro) of each part of a result of `score` or `interval`: one row, two for EE.

    >>> [label for label, micro in headline(score([], [], "EE"))]
    ['EE trigger', 'EE argument']
    """
    if result["task"] != "EE":
        return [(result["task"], result["micro"])]
    return [(f"EE {part}", result[part]["micro"]) for part in PARTS["EE"]]


def interval(
    gold: Sequence[Mapping], pred: Sequence[Mapping], task: str, mode: str = "span", samples: int = 1000, seed: int = 0
) -> dict:
    """95 % bootstrap intervals of micro precision, recall and F1: sentences drawn with replacement, `samples` times.

    The result is nested like that of `score`, with `micro` {precision, recall, f1: [low, high]} alone.
    """
    pairs = aligned(gold, pred, task, mode)
    parts = {part: {"micro": part_interval(pairs, part, mode, samples, seed)} for part in PARTS[task]}
    return {"task": task, "mode": mode} | (parts if task == "EE" else parts[PARTS[task][0]])


def part_interval(pairs: Sequence[Pair], part: str, mode: str, samples: int, seed: int) -> dict:
    """The intervals of one part, from its counts per sentence."""
    import numpy as np

    if samples < 1:
        raise ValueError(f"samples is {samples}; expected at least 1")
    rows = []
    for gold, pred in pairs:
        found = sentence_counts(list(units(gold, part, mode)), list(units(pred, part, mode)), mode)
        total = sum(found.values(), Counter())
        rows.append([total["tp"], total["pred"], total["gold"]])
    if not rows:
        return {rate: [0.0, 0.0] for rate in RATES}
    counts, draw = np.array(rows), np.random.default_rng(seed)  # (sentences, 3)
    sums = np.array([counts[draw.integers(0, len(counts), len(counts))].sum(axis=0) for _ in range(samples)])
    tp, pred, gold = sums.T  # (samples,) each
    shares = ((tp, pred), (tp, gold), (2 * tp, pred + gold))
    values = [np.divide(a, b, out=np.zeros(samples), where=b > 0) for a, b in shares]
    return {rate: np.quantile(v, [0.025, 0.975]).tolist() for rate, v in zip(RATES, values, strict=True)}


def score_files(gold_path: Path | str, pred_path: Path | str, task: str, mode: str = "span") -> dict:
    """`score` of two JSON Lines files of IE records; errors name the file and the line."""
    gold, pred = read_jsonl(gold_path, check_record), read_jsonl(pred_path, check_record)
    try:
        return score(gold, pred, task, mode)
    except DataError as error:
        raise DataError(f"{Path(gold_path).name} against {Path(pred_path).name}, {error}") from None


def table(result: Mapping) -> str:
    """A result of `score` as plain text: micro, macro and each type, then the counts that are not 0."""
    if result["task"] != "EE":
        return block(f"{result['task']} · {result['mode']}", result)
    return "\n\n".join(block(f"EE {part} · {result['mode']}", result[part]) for part in PARTS["EE"])


def block(title: str, part: Mapping) -> str:
    """The table of one part of a result."""
    rows = [("micro", part["micro"]), ("macro", part["macro"]), *part["per_type"].items()]
    width = max(cells(name) for name in [title, *part["per_type"]])
    lines = [padded(title, width) + "".join(f"{head:>10}" for head in RATES + COUNTS)]
    for name, row in rows:
        figures = [f"{row[rate]:>10.4f}" for rate in RATES] + [f"{row[count]:>10}" for count in COUNTS if count in row]
        lines.append(padded(name or '""', width) + "".join(figures))
    notes = [f"{name} {part[name]}" for name in NOTES if part.get(name)]
    return "\n".join(lines + ([" · ".join(notes)] if notes else []))


def cells(text: str) -> int:
    """How many terminal columns a text takes; a Chinese character takes two.

    >>> cells("F1 值")
    5
    """
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def padded(text: str, width: int) -> str:
    """A text filled with spaces to `width` columns."""
    return text + " " * (width - cells(text))


def errors(gold: Sequence[Mapping], pred: Sequence[Mapping]) -> list[dict]:
    """What became of every entity (NER, by span): for each sentence `{sentence, entities: [{kind, gold, pred}]}`.

    Kinds: `right`; `wrong_type` (same span); `wrong_boundary` (same type, spans overlap); `missed` (pred is None);
    `spurious` (gold is None). Each entity is used once; they come in the order of the sentence.
    """
    pairs = aligned(gold, pred, "NER", "span")
    return [{"sentence": g["sentence"], "entities": sentence_errors(g, p)} for g, p in pairs]


def sentence_errors(gold: Mapping, pred: Mapping) -> list[dict]:
    """The entities of one sentence, paired in three rounds, the strictest first, so that no good pair is broken up."""
    once = [{u.key: u.things[0] for u in units(record, "entity", "span")} for record in (gold, pred)]
    wanted, found = (sorted(entities.values(), key=start) for entities in once)
    paired = []
    for kind, alike in (("right", same), ("wrong_type", same_span), ("wrong_boundary", overlapping)):
        for g in list(wanted):
            if (p := next((p for p in found if g.get("pos") and p.get("pos") and alike(g, p)), None)) is not None:
                paired.append({"kind": kind, "gold": g, "pred": p})
                wanted.remove(g)
                found.remove(p)
    paired += [{"kind": "missed", "gold": g, "pred": None} for g in wanted]
    paired += [{"kind": "spurious", "gold": None, "pred": p} for p in found]
    return sorted(paired, key=lambda item: start(item["gold"] or item["pred"]))


def start(entity: Mapping) -> float:
    """Where an entity begins; one without a position comes last."""
    return entity["pos"][0] if entity.get("pos") else float("inf")


def same(gold: Mapping, pred: Mapping) -> bool:
    """Equal span and type."""
    return same_span(gold, pred) and gold["type"] == pred["type"]


def same_span(gold: Mapping, pred: Mapping) -> bool:
    """Equal span."""
    return list(gold["pos"]) == list(pred["pos"])


def overlapping(gold: Mapping, pred: Mapping) -> bool:
    """Equal type, and spans that share a character."""
    (a, b), (c, d) = gold["pos"], pred["pos"]
    return gold["type"] == pred["type"] and a < d and c < b
