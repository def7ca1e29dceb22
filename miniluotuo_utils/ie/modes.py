"""Count the items of one sentence by our own rules or by those of published scorers.

In: a gold record and its prediction. Out: for each type how many items are right, predicted and in
gold. Every published rule is written anew from its definition; what its own code gets wrong is said
in the docstring and not repeated. Shown in notebook 05.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from miniluotuo_utils.choices import check_choice

# type -> [right, predicted, gold], for duie a fourth: gold found. Under None stands the sum of all
# types, where it is another than that of the rows.
Counts = dict[str | None, list[float]]


class Unit(NamedTuple):
    """One thing to find: an entity, a relation, a trigger or an argument.

    key: the type, then what a rule compares (spans, or names as it writes them); equal keys match.
    label: (type,), for an argument (event type, role).
    things: its mentions, head before tail.
    placed: whether every mention has a position.
    able: whether it can be right: by span only if placed, typed only if no type of a side is "".
    """

    key: tuple
    label: tuple[str, ...]
    things: tuple[Mapping, ...]
    placed: bool
    able: bool


# ---- the rules: units of gold (wanted) and of the prediction (found) -> Counts


def by_key(wanted: Sequence[Unit], found: Sequence[Unit], rule: Rule, part: str) -> Counts:
    """Count items with equal keys, each once per sentence: our `span` and `string`.

    span: NER start, end, type; RE head span, relation, tail span; EE trigger span and event type,
    apart from it argument span, role and event type. string: names in place of spans. What seqeval
    and conlleval count on tags is span; they differ where an I- has no B-: conlleval, and seqeval
    by default, open a chunk there, seqeval's strict schemes do not.
    """
    gold, pred = {u.key: u.able for u in wanted}, {u.key for u in found}
    return summed([key for key in pred if gold.get(key)], pred, gold)


def iepile(wanted: Sequence[Unit], found: Sequence[Unit], rule: Rule, part: str) -> Counts:
    """Count names as multisets, as IEPile's evaluator does (`ie2instruction/eval`).

    NER (name, type), RE (head, relation, tail), trigger (event type, trigger), argument (event
    type, name, role). A name that gold lists twice must be predicted twice. An argument named NAN
    is skipped.

    Not repeated: rows are joined by a hash of their text, so a sentence that occurs twice pools its
    predictions against one gold; SPO are keyed by the predicate alone, so a second type signature
    empties the first; precision and recall are rounded to two places before F1 is made of them.
    """
    gold, pred = named(wanted), named(found)
    able = {u.key for u in wanted if u.able}
    right = Counter({key: count for key, count in (gold & pred).items() if key in able})
    return summed(right.elements(), pred.elements(), gold.elements())


def named(units: Sequence[Unit]) -> Counter:
    """Return how often each key occurs; arguments named NAN are left out."""
    return Counter(u.key for u in units if len(u.label) == 1 or u.things[0]["name"] != "NAN")


def instructuie(wanted: Sequence[Unit], found: Sequence[Unit], rule: Rule, part: str) -> Counts:
    """Count names and types in lower case, as InstructUIE's `src/evaluation/evaluator.py` does.

    A gold relation NA says that a pair has none: it is right unless another relation is predicted
    for the pair, and then it is not missed either. A predicted NA costs only where gold has a
    relation. How names are written: see `plain`. Its macro is over data sets, ours over types.

    Not repeated: "None" equals "None", so that an empty answer to an empty gold is a true positive;
    "location" becomes "located"; items are split at ";" and fields at ",", also inside names; the
    events of a sentence are right or wrong as a whole.
    """
    gold, pred = {u.key for u in wanted}, {u.key for u in found}
    if part != "relation":
        return summed(gold & pred, pred, gold)

    # An NA key is ("na", head, tail): it stands against any other relation of the same pair.
    related = {key[1:] for key in gold if key[0] != "na"}
    claimed = {key[1:] for key in pred if key[0] != "na"}
    gold = {key for key in gold if key[0] != "na" or key[1:] not in claimed}
    denied = {key for key in pred if key[0] == "na" and key[1:] in related}
    credited = {key for key in gold if key[0] == "na"}
    pred = {key for key in pred if key[0] != "na"} | denied | credited
    return summed(gold & pred, pred, gold)


def duie(wanted: Sequence[Unit], found: Sequence[Unit], rule: Rule, part: str) -> Counts:
    """Count triples with every slot of the object, as DuIE's `re_official_evaluation.py` does.

    Two names are equal if they are the same, as `title` writes them, or if one is an alias of the
    other. Of equal triples of one side only one counts. Precision is the share of predicted triples
    that equal a gold one, recall the share of gold triples that a prediction equals. With aliases
    the two have different numerators, so the result has `found` beside `tp`. Right triples are kept
    before wrong ones, for two that equal a third need not equal each other.

    Not repeated: sentences are keyed by their text, so a repeated one overwrites the first; a
    subject's aliases are read in one direction and an object's must stand in both; aliases keep
    their 《》; precision, recall and F1 are rounded to four places.
    """
    gold, pred = once(wanted), once(found)
    able = {key for key, u in gold.items() if u.able}
    right = {key for key in pred if rule.has_equal(key, able)}
    met = {key for key in able if rule.has_equal(key, pred)}
    golds, preds = unequal(gold, met, rule), unequal(pred, right, rule)
    return summed(right.intersection(preds), preds, golds, met.intersection(golds))


def unequal(keys: Iterable[tuple], first: Container[tuple], rule: Rule) -> list[tuple]:
    """Return keys of which no two are equal by duie's rule, those in `first` kept before others."""
    kept: list[tuple] = []
    for key in sorted(keys, key=lambda key: (key not in first, repr(key))):
        if not rule.has_equal(key, kept):
            kept.append(key)
    return kept


def duee(wanted: Sequence[Unit], found: Sequence[Unit], rule: Rule, part: str) -> Counts:
    """Count as DuEE 1.0's official score: an argument is worth the character F1 of its name.

    Event type and role must be equal; the trigger plays no part. A gold argument's mentions are its
    name, its `alias` list and the alias table's entries; the best one counts; case does not matter.
    tp is the sum of these F1 (a float), over the number of predicted arguments, then of gold ones.

    The page of the task leaves open whether one gold argument may pay for several predictions: here
    each pays once, best pairs first, so recall cannot exceed 1. The trigger part, which the
    official score does not have, is by string.
    """
    if part == "trigger":
        return by_key(wanted, found, rule, part)
    gold, pred = {u.key: mentions_of(u, rule) for u in wanted}, once(found)
    pairs = []
    for g, p in product(gold, pred):
        if g[:2] == p[:2]:
            worth = max(character_f1(name, p[2]) for name in gold[g])
            pairs.append((-worth, sorted((g[2], p[2])), g, p))

    # Best pairs first; of equally good ones those whose names come first, on whichever side.
    counts = summed((), pred, gold)
    for worth, _, g, p in sorted(pairs):
        if g in gold and p in pred:
            counts[g[0]][0] -= worth
            del gold[g], pred[p]
    return counts


def mentions_of(unit: Unit, rule: Rule) -> set[str]:
    """Return all ways in which a gold argument may be named."""
    own = map(rule.mode.written, unit.things[0].get("alias") or ())
    return {unit.key[2], *own, *rule.aliases.get(unit.key[2], ())}


def character_f1(gold: str, pred: str) -> float:
    """Return 2 × characters in common (as a multiset) / characters of both.

    >>> character_f1("雅典奥运会", "奥运会")
    0.75
    """
    return 2 * (Counter(gold) & Counter(pred)).total() / (len(gold) + len(pred))


def overlap(wanted: Sequence[Unit], found: Sequence[Unit], rule: Rule, part: str) -> Counts:
    """Count as SemEval-2013 task 9.1 in one of nervaluate's four schemas, `part`.

    | part    | right                                    | an overlap of spans is worth |
    |---------|------------------------------------------|------------------------------|
    | strict  | span and type equal                      | 0                            |
    | exact   | span equal, any type                     | 0                            |
    | partial | span equal, any type                     | 1/2, any type                |
    | type    | span and type equal                      | 1 where the types are equal  |

    Each entity is used once: equal span and type first, then (exact, partial) equal spans, then the
    predictions from left to right take the first gold entity that they overlap (type: the one of
    their type with the closest boundaries). tp is the credit, so a float for partial. A type's row
    is counted among its entities alone, as nervaluate does, so the rows do not add up to micro.

    nervaluate 1.2.1 agrees on entities that do not overlap each other. Not repeated: it takes
    predictions in the order of the list, so that an early overlap uses up the gold entity that a
    later one equals; to it an overlap below 1 % of the gold entity is no overlap.
    """
    gold, pred = once(wanted), once(found)
    types = {key[0] for key in [*gold, *pred]}
    return {kind: credit(gold, pred, part, kind) for kind in (None, *types)}


def credit(
    gold: Mapping[tuple, Unit], pred: Mapping[tuple, Unit], part: str, kind: str | None
) -> list[float]:
    """Return [credit, predictions, gold entities] of one sentence, of a type or (None) of all."""
    # A type's row is counted among its own entities; what has no place is in no round.
    gold = [u for key, u in gold.items() if kind in (None, key[0])]
    pred = [u for key, u in pred.items() if kind in (None, key[0])]
    wanted = sorted((*u.things[0]["pos"], u.key[0]) for u in gold if u.placed)
    left = sorted((*u.things[0]["pos"], u.key[0]) for u in pred if u.placed)

    # Exact ones first, so that no early overlap uses up the entity that a later one equals.
    worth: float = len(pairs_of(left, wanted, lambda p, g: p == g))
    if part in ("exact", "partial"):
        worth += len(pairs_of(left, wanted, lambda p, g: p[:2] == g[:2]))

    for start, end, label in left:
        touching = [g for g in wanted if g[0] < end and start < g[1]]
        same = [g for g in touching if g[2] == label] if part == "type" else []
        if touching:
            closest = min(same or touching[:1], key=lambda g: abs(g[0] - start) + abs(g[1] - end))
            wanted.remove(closest)
            worth += 0.5 if part == "partial" else bool(same)
    return [worth, len(pred), len(gold)]


def once(units: Iterable[Unit]) -> dict[tuple, Unit]:
    """Return units by key: of those with equal keys one, the last."""
    return {u.key: u for u in units}


def pairs_of(one: list, other: list, alike: Callable[[Any, Any], bool]) -> list[tuple]:
    """Move what is alike out of both lists: each item of `one` with the first such one of `other`.

    >>> one, other = [1, 2, 3], [30, 10, 11]
    >>> pairs_of(one, other, lambda a, b: a == b // 10), one, other
    ([(1, 10), (3, 30)], [2], [11])
    """
    pairs = []
    for item in list(one):
        match = next((candidate for candidate in other if alike(item, candidate)), None)
        if match is not None:
            one.remove(item)
            other.remove(match)
            pairs.append((item, match))
    return pairs


def summed(*columns: Iterable[tuple]) -> Counts:
    """Return how many keys there are in each column (right, predicted, gold, ...), by type."""
    counts: Counts = defaultdict(lambda: [0] * len(columns))
    for number, keys in enumerate(columns):
        for key in keys:
            counts[key[0]][number] += 1
    return counts


# ---- how names are written before they are compared


def title(text: str) -> str:
    """Return a name as DuIE compares it.

    >>> title("《Hello World》"), title("论《红楼梦》")
    ('hello world', '论《红楼梦》')
    """
    text = text[1:-1] if text.startswith("《") and text.endswith("》") else text
    return text.lower()


def plain(text: str) -> str:
    """Return a name or type as InstructUIE compares it: lower case, no spaces at punctuation.

    >>> plain("New  York ( {US} )"), plain("O’Brien,, Jr..")
    ('new york(us)', "o'brien,jr.")
    """
    text = re.sub(r"\s*([,:().;'_-])\s*", r"\1", " ".join(text.split())).lower()
    return re.sub(r"([,.;])\1+", r"\1", text.replace("{", "").replace("}", "")).replace("’", "'")


# ---- the table of modes


@dataclass(frozen=True)
class Mode:
    """A rule of counting.

    count: takes units of gold, units of the prediction, the `Rule` and a part; returns `Counts`.
    parts: what it reports apart, for each task that it is defined for.
    places: it compares spans, not names.
    written, labels: how names and labels are written before they are compared.
    takes: which of `typed` and `aliases` it takes.
    """

    count: Callable[[Sequence[Unit], Sequence[Unit], Rule, str], Counts]
    parts: Mapping[str, Sequence[str]]
    places: bool = False
    written: Callable[[str], str] = str
    labels: Callable[[str], str] = str
    takes: Sequence[str] = ()


NER, RE, EE = {"NER": ["entity"]}, {"RE": ["relation"]}, {"EE": ["trigger", "argument"]}
OVERLAPS = {"NER": ["strict", "exact", "partial", "type"]}
MODES = {
    "span": Mode(by_key, NER | RE | EE, places=True, takes=["typed"]),
    "string": Mode(by_key, NER | RE | EE, takes=["typed"]),
    "iepile": Mode(iepile, NER | RE | EE, takes=["typed"]),
    "instructuie": Mode(instructuie, NER | RE | EE, written=plain, labels=plain),
    "duie": Mode(duie, RE, written=title, takes=["typed", "aliases"]),
    "duee": Mode(duee, EE, written=str.lower, takes=["aliases"]),
    "overlap": Mode(overlap, OVERLAPS, places=True),
}


@dataclass(frozen=True)
class Rule:
    """One task in one mode, checked by `ruled`.

    typed: relations are compared with the types of head and tail.
    aliases: name -> names that are equal to it, all as the mode writes them.
    """

    task: str
    name: str
    mode: Mode
    typed: bool
    aliases: Mapping[str, set[str]]

    @property
    def parts(self) -> Sequence[str]:
        """What is reported apart: one part, two for EE, four for overlap."""
        return self.mode.parts[self.task]

    def counted(
        self, gold: Mapping, pred: Mapping, part: str
    ) -> tuple[list[Unit], list[Unit], Counts]:
        """Return the units of a gold record, those of its prediction, and what they count."""
        wanted, found = self.units(gold, part), self.units(pred, part)
        return wanted, found, self.mode.count(wanted, found, self, part)

    def units(self, record: Mapping, part: str) -> list[Unit]:
        """Return what one part of the score counts in a record."""
        return [self.unit(*one) for one in labelled(record, part)]

    def unit(self, label: tuple[str, ...], things: tuple[Mapping, ...], slots: Mapping) -> Unit:
        """Return a unit: label, spans or names, then slots and types of the sides if they count."""
        # Called millions of times: lists are twice as fast here as generators.
        mode, extra = self.mode, ()
        if slots and self.name == "duie":
            extra = tuple([slot for slot in sorted(slots) if slots[slot]])
            things += tuple([slots[slot] for slot in extra])

        # What stands nowhere equals nothing by span, but two of one name are still duplicates.
        places = [thing.get("pos") for thing in things]
        placed = all(places)
        if not mode.places:
            compared = [mode.written(thing["name"]) for thing in things]
        elif placed:
            compared = map(tuple, places)
        else:
            compared = [tuple(thing.get("pos") or ("?", thing["name"])) for thing in things]

        sides = tuple([thing.get("type", "") for thing in things[:2]]) if self.typed else ()
        head = label if mode.labels is str else map(mode.labels, label)
        last = (extra + sides,) if extra or sides else ()
        able = (placed or not mode.places) and all(sides)
        return Unit((*head, *compared, *last), label, things, placed, able)

    def has_equal(self, key: tuple, others: Iterable[tuple]) -> bool:
        """Whether one of `others` equals a key by duie's rule."""
        return any(self.equal(key, other) for other in others)

    def equal(self, one: tuple, other: tuple) -> bool:
        """Whether two keys of duie are equal but for aliases.

        The relation must be the same, and so must slots and types (a tuple at the end).
        """
        alias = self.aliases.get
        return (
            one[0] == other[0]
            and len(one) == len(other)
            and all(
                a == b or b in alias(a, ()) or a in alias(b, ())
                for a, b in zip(one[1:], other[1:], strict=True)
            )
        )


def labelled(record: Mapping, part: str) -> list[tuple[tuple[str, ...], tuple, Mapping]]:
    """Return (label, mentions, slots) of each thing that a part counts in a record."""
    if part == "relation":
        return [((r["type"],), (r["head"], r["tail"]), r.get("slots")) for r in record["relations"]]
    if part == "trigger":
        return [
            ((e["type"],), ({"name": e["trigger"], "pos": e.get("pos")},), None)
            for e in record["events"]
        ]
    if part == "argument":
        return [
            ((e["type"], a["role"]), (a,), None)
            for e in record["events"]
            for a in e.get("arguments") or ()
        ]
    return [((entity["type"],), (entity,), None) for entity in record["entities"]]


def ruled(
    task: str, mode: str, typed: bool = False, aliases: Mapping[str, Sequence[str]] | None = None
) -> Rule:
    """Return the rule for a task and a mode.

    Raises ValueError where there is none, and where it does not take `typed` or `aliases`.
    """
    check_choice("mode", mode, MODES)
    chosen = MODES[mode]
    if task not in chosen.parts:
        others = ", ".join(name for name, other in MODES.items() if task in other.parts)
        raise ValueError(
            f"mode {mode} is defined for {', '.join(chosen.parts)}, not for {task}; "
            f"expected for it one of {others}"
        )
    for name, given in (("typed", typed), ("aliases", aliases)):
        if given and name not in chosen.takes:
            takers = ", ".join(other for other in MODES if name in MODES[other].takes)
            raise ValueError(f"mode {mode} does not take {name}; expected one of {takers}")
    if typed and task != "RE":
        raise ValueError(
            f"typed compares the types of heads and tails, so it is for RE, not for {task}"
        )
    return Rule(task, mode, chosen, typed, alias_table(aliases or {}, chosen.written))


def alias_table(
    aliases: Mapping[str, Sequence[str]], write: Callable[[str], str]
) -> dict[str, set[str]]:
    """Return an alias table as `write` writes names; entries whose names are then equal are joined.

    Raises ValueError for an entry that is not a list of names.

    >>> aliases = {"红楼梦": ["石头记"], "《红楼梦》": ["金玉缘"]}
    >>> sorted(alias_table(aliases, title)["红楼梦"])
    ['石头记', '金玉缘']
    """
    written: dict[str, set[str]] = {}
    for name, names in aliases.items():
        listed = isinstance(names, (list, tuple, set, frozenset))
        if not listed or not all(isinstance(n, str) for n in (name, *names)):
            raise ValueError(f"aliases of {name!r}: found {names!r}, expected a list of names")
        written.setdefault(write(name), set()).update(map(write, names))
    return written
