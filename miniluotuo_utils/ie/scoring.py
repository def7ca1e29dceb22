"""Score predicted IE records: precision, recall and F1 in several modes. Shown in notebook 05.

In: gold and predicted records, aligned by line, in memory or in two files. Out: one result dict of
unrounded figures in 0-1, its table, and for NER what kind of error each entity is. Needs
nothing but Python.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat, zip_longest
from operator import add
from pathlib import Path
from typing import Any

from miniluotuo_utils.files import DataError, iter_jsonl
from miniluotuo_utils.ie.modes import MODES, Counts, Rule, Unit, once, pairs_of, ruled
from miniluotuo_utils.ie.schema import Schema, check_schema, check_thing, field_of, in_schema
from miniluotuo_utils.records import check_record, map_mentions, mentions
from miniluotuo_utils.terminal import columns

RATES = ("precision", "recall", "f1")
COUNTS = ("tp", "pred", "gold", "found")
# counts of items beside the score; off_schema only where a schema is given, misplaced of files
NOTES = (
    "no_position",
    "gold_no_position",
    "not_in_text",
    "duplicates",
    "gold_duplicates",
    "off_schema",
    "misplaced",
)


END: Any = object()  # in place of a record behind the end of the shorter side


class Misaligned(DataError):
    """Gold and prediction are not of the same sentences; names the line, but not the files."""


def score(
    gold: Iterable[Mapping],
    pred: Iterable[Mapping],
    task: str,
    mode: str = "span",
    schema: Schema | None = None,
    *,
    typed: bool = False,
    aliases: Mapping[str, Sequence[str]] | None = None,
    strict: bool = False,
) -> dict:
    """Score predictions against gold records of the same sentences in the same order.

    gold, pred: IE records; lists, or iterators, which are read once. A prediction without a
      sentence takes that of its gold record, but not if `strict`.
    mode: what must be equal. `span`: NER start, end, type; RE head span, relation, tail span; EE
      trigger span and event type, and apart from it argument span, role and event type. `string`:
      the same with names in place of spans. Each item counts once per sentence. `iepile`,
      `instructuie`, `duie` (RE only), `duee` (EE only) and `overlap` (NER only) follow published
      scorers, see `ie/modes.py`.
    schema: the types (EE: event type -> roles) that were asked for, to count what is off it.
    typed (RE; span, string, iepile, duie): the types of head and tail must be equal too. A type ""
      never is, so records that `extract` located have no right relation then.
    aliases (duie, duee): name -> list of equal names.

    An item without a position is never right by span, so there `score(x, x)` is 1 only if every
    gold item has one. `slots` are compared by duie alone. One-pair gold counts what its source left
    unlabelled as wrong.

    Returns `task`, `mode`, `typed` if so, then for NER and RE the fields below; for EE the same
    under `trigger` and `argument`, for overlap under `strict`, `exact`, `partial` and `type`.

    micro: {precision, recall, f1, tp, pred, gold}, for duie also `found`, the gold items that
      recall counts. tp is an int, but for duee's arguments and overlap's partial a sum of credits.
    macro: {precision, recall, f1}, the mean over the types in gold or pred.
    per_type: {type: like micro}, most frequent first.
    no_position, gold_no_position: items without a position.
    not_in_text: predicted items with a name that is not in the sentence.
    duplicates, gold_duplicates: items beyond the first of their kind.
    misplaced: predicted places of a file that do not cut their names out, see `predicted`.
    off_schema: predicted items with a label that the schema does not have, if `schema` is given.

    Rates are 0 to 1, unrounded; 0/0 is 0.0, also where gold and prediction are both empty.

    Raises ValueError for a mode that is not defined for the task, or does not take `typed` or
    `aliases`, and for a schema of another task's shape; DataError, naming the first line, for
    records that are not of the same sentence and task, and for silver gold.
    """
    rule = ruled(field_of(task) and task, mode, typed, aliases)
    if schema is not None:
        check_schema(schema, task)
    tallies = {part: Tally(rule, part, schema) for part in rule.parts}
    for g, p in aligned(gold, pred, task, strict):
        for tally in tallies.values():
            tally.add(g, p)
    return nested(rule, {part: tally.result() for part, tally in tallies.items()})


def nested(rule: Rule, parts: Mapping[str, dict]) -> dict:
    """Return the one form of a result: task and mode, then the only part's fields, or the parts."""
    top = {"task": rule.task, "mode": rule.name} | ({"typed": True} if rule.typed else {})
    return top | (dict(parts) if len(parts) > 1 else next(iter(parts.values())))


def check_gold(record: Mapping, line: int, task: str) -> None:
    """Raise DataError for what is no gold record, and for one that nobody looked at but a model."""
    check_side(record, f"line {line}: the gold", task)
    if record.get("annotation") == "silver":
        raise DataError(
            f"line {line}: the gold record is silver: a model labelled it, so a score would say "
            "how well that model is copied. Score against gold, or take 'annotation' out of "
            "records that a person has corrected（银标不能当标准答案；人改过的，先去掉 annotation）"
        )


def parts_of(result: Mapping) -> list[tuple[str, Mapping]]:
    """Return (label, fields) of each part of a result: one, two for EE, four for overlap."""
    if "micro" in result:
        return [(result["task"], result)]
    return [
        (f"{result['task']} {name}", part)
        for name, part in result.items()
        if isinstance(part, Mapping) and "micro" in part
    ]


def aligned(
    gold: Iterable[Mapping], pred: Iterable[Mapping], task: str, strict: bool = False
) -> Iterator[tuple[Mapping, Mapping]]:
    """Yield gold record and prediction pair by pair.

    A prediction without a sentence gets its gold record's, but not if `strict`. Raises DataError at
    the first line where they are not of the same sentence and task, or an item is not whole.
    """
    golds, preds = iter(gold), iter(pred)
    for line, (g, p) in enumerate(zip_longest(golds, preds, fillvalue=END), 1):
        if g is not END:
            check_gold(g, line, task)
        if p is not END:
            p = p if strict or g is END else with_sentence(p, g["sentence"])
            check_side(p, f"line {line}: the prediction", task)

        # The longer side is read to its end: two numbers tell a lost line from the wrong file.
        if g is END or p is END:
            more = line + sum(1 for _ in (preds if g is END else golds))
            lost, found = (
                ("gold", (line - 1, more)) if g is END else ("prediction", (more, line - 1))
            )
            raise Misaligned(
                f"line {line}: there is no {lost} ({found[0]} gold, {found[1]} predicted records); "
                "expected one prediction per gold line（两份的条数不一样）"
            )
        if g["sentence"] != p["sentence"]:
            raise Misaligned(
                f"line {line}: found the prediction of {p['sentence'][:30]!r}, expected that of "
                f"{g['sentence'][:30]!r}; keep one prediction per gold line, in its order"
                "（两份的句子没有对齐）"
            )
        yield g, p


def with_sentence(pred: Mapping, sentence: str) -> Mapping:
    """Return a prediction with the sentence that its gold record has, where it has none."""
    lacks = isinstance(pred, Mapping) and "sentence" not in pred
    return {**pred, "sentence": sentence} if lacks else pred


def check_side(record: Mapping, side: str, task: str) -> None:
    """Raise Misaligned for a record without a sentence, or without whole items of the task.

    Whether their places cut out their names is for `check_record` to say.
    """
    for name, kind, what in (
        (field_of(task), (list, tuple), "a list"),
        ("sentence", str, "a text"),
    ):
        if not isinstance(record, Mapping) or name not in record:
            raise Misaligned(f"{side} has no field {name}, expected it for task {task}")
        if not isinstance(record[name], kind):
            raise Misaligned(f"{side}'s field {name} is {record[name]!r:.60}, expected {what}")
    items = record[field_of(task)]
    try:
        for thing, place in mentions({field_of(task): list(items)}):
            check_thing(thing, place)
    except DataError as error:
        raise Misaligned(f"{side}, {error}") from None


def predicted(gold: Iterable[Mapping], pred: Iterable[Mapping]) -> Iterator[Mapping]:
    """Yield the predictions of a file as they can be scored, wrong ones as wrong.

    The sentence comes from gold where there is none. A place that does not cut its own name out of
    it (beyond its end, counted in bytes) becomes null, so that the item is wrong by span, and
    counts as `misplaced`.

    >>> gold = [{"sentence": "李白", "entities": []}]
    >>> one = {"entities": [{"name": "李白", "type": "人物", "pos": [0, 9]}]}
    >>> next(predicted(gold, [one]))["entities"]
    [{'name': '李白', 'type': '人物', 'pos': None}]
    """
    golds = iter(gold)
    for one in pred:
        g = next(golds, None)
        if isinstance(one, Mapping) and isinstance(g, Mapping):
            one = with_sentence(one, g.get("sentence"))
        yield placed(one) if isinstance(one, Mapping) else one


def placed(pred: Mapping) -> Mapping:
    """Return a prediction whose places cut out their names or are null, and how many were not."""
    sentence, wrong = pred.get("sentence"), 0
    if not isinstance(sentence, str):
        return pred

    # A place is right only inside of the sentence, and where it cuts out its own name.
    def mended(thing: dict) -> dict:
        nonlocal wrong
        name, pos = thing["name"], thing.get("pos")
        pair = isinstance(pos, (list, tuple)) and [*map(type, pos)] == [int, int]
        inside = pair and 0 <= pos[0] < pos[1] <= len(sentence)
        if not pair or (inside and sentence[pos[0] : pos[1]] == name):
            return thing
        wrong += 1
        # A reader that cut beyond the end has nothing to name.
        return thing | {"pos": None, "name": name or f"[{pos[0]}, {pos[1]})"}

    # A broken item is for `aligned` to name, with its line.
    try:
        made = map_mentions(pred, mended)
    except (AttributeError, TypeError, KeyError):
        return pred
    return made | {"misplaced": wrong} if wrong else pred


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
            self.types[kind] = list(map(add, self.types.get(kind, repeat(0)), row))

        # What a reader should know beside the score, of items that differ.
        golds, preds = once(wanted).values(), once(found).values()
        known, text = self.schema, pred["sentence"]
        self.notes.update(
            no_position=sum([not u.placed for u in preds]),
            gold_no_position=sum([not u.placed for u in golds]),
            not_in_text=len({u.key for u in preds for t in u.things if t["name"] not in text}),
            duplicates=len(found) - len(preds),
            gold_duplicates=len(wanted) - len(golds),
            misplaced=pred.get("misplaced", 0),
            off_schema=0 if known is None else sum([not in_schema(u.label, known) for u in preds]),
        )

    def result(self) -> dict:
        """Return the fields of this part."""
        types = {kind: row for kind, row in self.types.items() if kind is not None}
        order = sorted(types, key=lambda kind: (-types[kind][2], -types[kind][1], kind))
        per_type = {kind: rates(types[kind]) for kind in order}
        macro = {}
        for rate in RATES:
            macro[rate] = ratio(sum(row[rate] for row in per_type.values()), len(per_type))
        notes = {name: self.notes[name] for name in NOTES}
        if self.schema is None:
            del notes["off_schema"]
        if not notes["misplaced"]:
            del notes["misplaced"]
        micro = rates(total(self.types, self.rule))
        return {"micro": micro, "macro": macro, "per_type": per_type, **notes}


def total(counts: Counts, rule: Rule) -> list[float]:
    """Return the counts of all types: right, predicted, gold, for duie also gold found."""
    if None in counts:
        return counts[None]
    nothing = [0] * (4 if rule.name == "duie" else 3)
    return [sum(column) for column in zip(nothing, *counts.values(), strict=True)]


def rates(counts: Sequence[float]) -> dict:
    """Return precision, recall and F1 with the counts that they come from.

    counts: right, predicted, gold, and gold found where it is not the same as right.

    >>> rates([1, 2, 1])
    {'precision': 0.5, 'recall': 1.0, 'f1': 0.6666666666666666, 'tp': 1, 'pred': 2, 'gold': 1}
    >>> rates([2, 2, 2, 1])["recall"]
    0.5
    """
    tp, pred, gold, found = (*counts, counts[0])[:4]
    f1 = ratio(2 * tp * found, tp * gold + found * pred)
    if found == tp:
        f1 = ratio(2 * tp, pred + gold)  # the same with one rounding less
    figures = {"precision": ratio(tp, pred), "recall": ratio(found, gold), "f1": f1}
    return figures | dict(zip(COUNTS, counts, strict=False))


def ratio(part: float, whole: float) -> float:
    """Return part / whole, 0.0 where the whole is 0."""
    return part / whole if whole else 0.0


def micro(result: Mapping) -> list[tuple[str, dict]]:
    """Return (label, micro figures) of each part of a result: one, two for EE, four for overlap.

    result: what `score`, `interval`, `compare` or `over_orders` returned.

    >>> [label for label, figures in micro(score([], [], "EE"))]
    ['EE trigger', 'EE argument']
    """
    return [(label, part["micro"]) for label, part in parts_of(result)]


def wholly_right(
    gold: Iterable[Mapping], pred: Iterable[Mapping], task: str = "NER", mode: str = "span"
) -> list[bool]:
    """Return for each sentence whether all of it was found and nothing else.

    >>> book = {"name": "家", "type": "作品", "pos": [4, 5]}
    >>> said = [{"sentence": "巴金写《家》", "entities": items} for items in ([book], [])]
    >>> wholly_right(said, [said[0], said[0]])
    [True, False]
    """

    def whole(parts: Sequence[tuple[str, Mapping]]) -> bool:
        return all(m["tp"] == m["pred"] == m["gold"] for _, m in parts)

    pairs = zip(gold, pred, strict=True)
    return [whole(micro(score([wanted], [found], task, mode))) for wanted, found in pairs]


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
    read_pred: Callable[[Path], Iterable[Mapping]] | None = None,
    strict: bool = False,
) -> dict:
    """Score a file of predictions against a file of gold records, as `score` does.

    The files are JSON Lines of IE records, one per sentence, or whatever `read` (for predictions
    `read_pred`, else `read`) reads records from. They are read line by line, so memory stays small.
    A prediction that is slightly off (a place beyond its text, no sentence) is scored, what is
    wrong counted as wrong (`predicted`); `strict` refuses it.

    Raises what `score` raises; a DataError names the file and the line.
    """
    gold, pred = Path(gold_path), Path(pred_path)
    gold_read = read or partial(iter_jsonl, check=check_record)
    pred_read = read_pred or read or partial(iter_jsonl, check=check_record if strict else None)
    preds = pred_read(pred) if strict else predicted(gold_read(gold), pred_read(pred))
    try:
        return score(
            gold_read(gold), preds, task, mode, schema, typed=typed, aliases=aliases, strict=strict
        )
    except Misaligned as error:
        raise DataError(f"{gold.name} against {pred.name}, {error}") from None


def table(result: Mapping) -> str:
    """Return a result of `score` as text: micro, macro, each type, then counts that are not 0."""
    mode = result["mode"] + (" typed" if result.get("typed") else "")
    return "\n\n".join(
        block(f"{label} · {mode}", part, result["mode"]) for label, part in parts_of(result)
    )


def block(title: str, part: Mapping, mode: str) -> str:
    """Return the table of one part of a result."""
    counts = [count for count in COUNTS if count in part["micro"]]
    rows = [("micro", part["micro"]), ("macro", part["macro"]), *part["per_type"].items()]
    width = max(columns(name) for name in [title, *part["per_type"]])
    lines = [line(title, [*RATES, *counts], width)]
    for name, row in rows:
        figures = [f"{row[rate]:.4f}" for rate in RATES]
        figures += [shown(row[count]) for count in counts if count in row]
        lines.append(line(name or '""', figures, width))
    notes = [f"{name} {part[name]}" for name in NOTES if part.get(name)]
    return "\n".join(lines + ([" · ".join(notes)] if notes else []) + hints(part, mode))


def hints(part: Mapping, mode: str) -> list[str]:
    """Return what to do about a part that can hardly be right: no places, types that look alike."""
    found, counts = [], part["micro"]
    gold, pred = part.get("gold_no_position", 0), part.get("no_position", 0)
    if MODES[mode].places and gold:
        found.append(UNPLACED.format("gold", gold, counts["gold"]))
    # A few predictions without a place are the student's fault, all of them the file's.
    elif MODES[mode].places and pred and pred == counts["pred"]:
        found.append(UNPLACED.format("pred", pred, pred))
    # Types that a reader of this table cannot tell apart.
    alike: dict[str, list[str]] = {}
    for name in part["per_type"]:
        seen = "".join(unicodedata.normalize("NFKC", name).casefold().split())
        alike.setdefault(seen, []).append(repr(name))
    return found + [ALIKE_TYPES.format("、".join(names)) for names in alike.values() if names[1:]]


UNPLACED = (
    "{0} 有 {1} / {2} 项没有位置，按位置永远不对：用 --mode string 按名字评。 "
    "{0} without places is never right by span: compare names with --mode string."
)
ALIKE_TYPES = (
    "类型 {0} 只差空格、大小写或全半角，按不同的算：改成一样的再评。 "
    "These types differ in blanks, case or width alone and count as different: make them one."
)


def shown(count: float) -> str:
    """Return a count, or a sum of credits with two places."""
    return f"{count:.2f}" if isinstance(count, float) else str(count)


def line(name: str, figures: Iterable[str], width: int) -> str:
    """Return a row of a table: a name in `width` columns, then figures in ten each."""
    return name + " " * (width - columns(name)) + "".join(f"{figure:>10}" for figure in figures)


# how an item of gold and one of the prediction are alike: the strictest first, so that no good pair
# is broken up; equal keys without a position are not the same place
ALIKE = {
    "right": lambda g, p: g.placed and g.key == p.key,
    "wrong_type": lambda g, p: g.placed and g.key[1:] == p.key[1:],
    "wrong_boundary": lambda g, p: g.label == p.label and g.placed and p.placed and touch(g, p),
}


def errors(
    gold: Iterable[Mapping], pred: Iterable[Mapping], unparsable: Iterable[int] = ()
) -> list[dict]:
    """Return what became of every entity of NER records, by span.

    unparsable: numbers, from 0, of the sentences whose answer could not be read, such as
      `Extraction.unread`.

    For each sentence: {sentence, entities: [{kind, gold, pred}]}, in the order of the sentence,
    each entity used once. The kinds:

    right: equal.
    wrong_type: the same span.
    wrong_boundary: the same type, and the spans overlap.
    missed: gold that nothing was predicted for; pred is None.
    unparsable: missed in a sentence whose answer could not be read; pred is None.
    spurious: predicted where gold has nothing; gold is None.

    Raises ValueError for a number in `unparsable` that is not of a sentence.
    """
    lost, found = set(unparsable), []
    for number, (g, p) in enumerate(aligned(gold, pred, "NER")):
        items = sentence_errors(g, p, "unparsable" if number in lost else "missed")
        found.append({"sentence": g["sentence"], "entities": items})
    unknown = sorted(lost - set(range(len(found))))
    if unknown:
        raise ValueError(
            f"unparsable has {unknown[:3]}; expected numbers of sentences, 0 to {len(found) - 1}"
        )
    return found


def sentence_errors(gold: Mapping, pred: Mapping, missed: str) -> list[dict]:
    """Return the entities of one sentence; `missed` is what gold without a prediction is called."""
    rule = ruled("NER", "span")
    wanted, found = (
        sorted(once(rule.units(record, "entity")).values(), key=start) for record in (gold, pred)
    )
    pairs = []
    for kind, alike in ALIKE.items():
        pairs += [(kind, g, p) for g, p in pairs_of(wanted, found, alike)]
    pairs += [(missed, g, None) for g in wanted] + [("spurious", None, p) for p in found]
    pairs.sort(key=lambda pair: start(pair[1] or pair[2]))
    return [{"kind": kind, "gold": entity(g), "pred": entity(p)} for kind, g, p in pairs]


def entity(unit: Unit | None) -> dict | None:
    """Return the entity of a unit, if there is one."""
    return dict(unit.things[0]) if unit else None


def start(unit: Unit) -> float:
    """Return where an item begins; one without a position comes last."""
    return unit.things[0]["pos"][0] if unit.placed else float("inf")


def touch(gold: Unit, pred: Unit) -> bool:
    """Whether the spans of two entities share a character."""
    (_, (a, b)), (_, (c, d)) = gold.key, pred.key
    return a < d and c < b
