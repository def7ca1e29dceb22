"""The rules by which one sentence is counted: our `span` and `string`, and those of published scorers. Shown in notebook 05.

In: a gold record and its prediction. Out: for each type how many items are right, predicted and in gold. Every published
rule is written anew from its definition; what its own code gets wrong is said in the docstring and not repeated.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from miniluotuo_utils.records import TASKS

PARTS = {"NER": ("entity",), "RE": ("relation",), "EE": ("trigger", "argument")}
OVERLAPS = ("strict", "exact", "partial", "type")
# type -> [right, predicted, gold], for duie a fourth: gold found; under None their sum, where it is not the sum of the types
Counts = dict[str | None, list[float]]


class Unit(NamedTuple):
    """One thing to find. Equal keys match, key[0] is the type; `label` is (type,) or (event type, role); `things` its mentions."""

    key: tuple
    label: tuple[str, ...]
    things: tuple[Mapping, ...]
    placed: bool  # every mention has a position
    able: bool  # may be right: in span mode only if placed, typed only if no argument type is ""


def by_key(wanted: Sequence[Unit], found: Sequence[Unit], rule: Rule, part: str) -> Counts:
    """`span` and `string`: items with equal keys, each once per sentence. The key is the type, then spans or names.

    span: NER start, end, type; RE head span, relation, tail span; EE trigger span and event type, apart from it argument
    span, role and event type. string: names in place of spans. What seqeval and conlleval count on tags is span; they
    differ where an I- has no B-: conlleval, and seqeval by default, open a chunk there, seqeval's strict schemes do not.
    """
    gold, pred = {u.key: u.able for u in wanted}, {u.key for u in found}
    return summed([key for key in pred if gold.get(key)], pred, gold)


def iepile(wanted: Sequence[Unit], found: Sequence[Unit], rule: Rule, part: str) -> Counts:
    """IEPile's evaluator (`ie2instruction/eval`): names, as multisets; an argument named NAN is skipped.

    NER (name, type), RE (head, relation, tail), trigger (event type, trigger), argument (event type, name, role). A name
    that gold lists twice must be predicted twice. Not repeated: it joins rows by a hash of their text, so a sentence that
    occurs twice pools its predictions against one gold; SPO keyed by the predicate alone, so that a second type signature
    empties the first; precision and recall are rounded to two places before F1 is made of them.
    """
    gold, pred = (
        Counter(u.key for u in side if len(u.label) == 1 or u.things[0]["name"] != "NAN")
        for side in (wanted, found)
    )
    able = {u.key for u in wanted if u.able}
    right = Counter({key: count for key, count in (gold & pred).items() if key in able})
    return summed(right.elements(), pred.elements(), gold.elements())


def instructuie(wanted: Sequence[Unit], found: Sequence[Unit], rule: Rule, part: str) -> Counts:
    """InstructUIE's evaluator (`src/evaluation/evaluator.py`): names and types in lower case, without spaces at punctuation.

    A gold relation NA says that a pair has none: it is right unless another relation is predicted for the pair, and then
    it is not missed either; a predicted NA costs only where gold has a relation. Not repeated: "None" equals "None", so
    that an empty answer to an empty gold is a true positive; "location" becomes "located"; items are split at ";" and
    fields at ",", also inside names; events of a sentence are right or wrong as a whole. Its macro is over data sets,
    ours over types.
    """
    gold, pred = {u.key for u in wanted}, {u.key for u in found}
    if part != "relation":
        return summed(gold & pred, pred, gold)
    related, claimed = ({key[1:] for key in side if key[0] != "na"} for side in (gold, pred))
    gold = {key for key in gold if key[0] != "na" or key[1:] not in claimed}
    denied = {key for key in pred if key[0] == "na" and key[1:] in related}
    credited = {key for key in gold if key[0] == "na"}
    pred = {key for key in pred if key[0] != "na"} | denied | credited
    return summed(gold & pred, pred, gold)


def duie(wanted: Sequence[Unit], found: Sequence[Unit], rule: Rule, part: str) -> Counts:
    """DuIE's official rule (`re_official_evaluation.py`): lower case, 《》 stripped, every slot of the object, aliases.

    Two names are equal if one is an alias of the other (or the same). Of equal triples of one side only one counts.
    Precision is the share of predicted triples that equal a gold one, recall the share of gold triples that a prediction
    equals; with aliases the two have different numerators, so the result has `found` beside `tp`. Right ones are kept
    before wrong ones, for two equals of one triple need not equal each other. Not repeated: sentences
    are keyed by their text, so a repeated one overwrites the first; a subject's aliases are read in one direction and an
    object's must stand in both; aliases keep their 《》; precision, recall and F1 are rounded to four places.
    """
    gold, pred = ({u.key for u in side} for side in (wanted, found))
    able = {u.key for u in wanted if u.able}
    right = {key for key in pred if any(rule.equal(key, k) for k in able)}
    met = {key for key in able if any(rule.equal(key, k) for k in pred)}
    golds, preds = unequal(gold, met, rule), unequal(pred, right, rule)
    return summed(
        [key for key in preds if key in right], preds, golds, [key for key in golds if key in met]
    )


def unequal(keys: Iterable[tuple], first: Container[tuple], rule: Rule) -> list[tuple]:
    """Keys of which no two are equal by duie's rule; each left out equals one that is there. Those in `first` are kept first."""
    kept: list[tuple] = []
    for key in sorted(keys, key=lambda key: (key not in first, repr(key))):
        if not any(rule.equal(key, k) for k in kept):
            kept.append(key)
    return kept


def duee(wanted: Sequence[Unit], found: Sequence[Unit], rule: Rule, part: str) -> Counts:
    """DuEE 1.0's official rule: an argument is worth the character F1 of its name, where event type and role are equal.

    The trigger plays no part in an argument's worth. A gold argument's mentions are its name, its `alias` list and the
    alias table's entries; the best one counts; case does not. tp is the sum of these F1 (a float), over the number of
    predicted arguments, then of gold ones. Characters in common are counted as a multiset. The page of the task leaves
    open whether one gold argument may pay for several predictions: here each pays once, best pairs first, so recall
    cannot exceed 1. The trigger part, which the official score does not have, is by string.
    """
    if part == "trigger":
        return by_key(wanted, found, rule, part)
    gold, pred = {u.key: mentions_of(u, rule) for u in wanted}, {u.key: u for u in found}
    pairs = [
        (max(character_f1(name, p[2]) for name in gold[g]), sorted((g[2], p[2])), g, p)
        for g in gold
        for p in pred
        if g[:2] == p[:2]
    ]
    counts = summed((), pred, gold)
    used: set[tuple] = set()
    for worth, _, g, p in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:])):
        if ("gold", g) not in used and ("pred", p) not in used:
            counts[g[0]][0] += worth
            used |= {("gold", g), ("pred", p)}
    return counts


def mentions_of(unit: Unit, rule: Rule) -> set[str]:
    """All ways in which a gold argument may be named."""
    name = unit.key[2]
    return {
        name,
        *map(rule.mode.written, unit.things[0].get("alias") or ()),
        *rule.aliases.get(name, ()),
    }


def character_f1(gold: str, pred: str) -> float:
    """2 × characters in common / characters of both.

    >>> character_f1("雅典奥运会", "奥运会")
    0.75
    """
    return 2 * sum((Counter(gold) & Counter(pred)).values()) / (len(gold) + len(pred))


def overlap(wanted: Sequence[Unit], found: Sequence[Unit], rule: Rule, part: str) -> Counts:
    """SemEval-2013 task 9.1, in the four schemas of nervaluate: strict, exact (span), partial (half), type (spans overlap).

    strict: span and type equal. exact: span equal, any type. partial: exact 1, an overlap 1/2, any type. type: spans that
    overlap, type equal. Each entity is used once: equal span and type first, then (exact, partial) equal spans, then the
    predictions from left to right take the first gold entity that they overlap (type: the one of their type with the
    closest boundaries). tp is the credit, so a float for partial. A type's row is counted among its entities alone, as
    nervaluate does, so the rows do not add up to micro. nervaluate 1.2.1 agrees on entities that do not overlap each
    other; not repeated: it takes predictions in the order of the list, so that an early overlap uses up the gold entity
    that a later one equals; an overlap below 1 % of the gold entity is none.
    """
    gold, pred = ({u.key: u for u in side} for side in (wanted, found))
    counts: Counts = {None: credit(gold, pred, part)}
    for kind in {key[0] for key in [*gold, *pred]}:
        counts[kind] = credit(
            *({k: u for k, u in side.items() if k[0] == kind} for side in (gold, pred)), part
        )
    return counts


def credit(gold: Mapping[tuple, Unit], pred: Mapping[tuple, Unit], part: str) -> list[float]:
    """[credit, predictions, gold entities] of one sentence in one of the four schemas."""
    wanted, left = (
        sorted((*u.things[0]["pos"], key[0]) for key, u in side.items() if u.placed)
        for side in (gold, pred)
    )
    rounds = [lambda g, p: g == p] + [lambda g, p: g[:2] == p[:2]] * (part in ("exact", "partial"))
    worth: float = 0
    for alike in rounds:
        for p in list(left):
            if (g := next((g for g in wanted if alike(g, p)), None)) is not None:
                wanted.remove(g)
                left.remove(p)
                worth += 1
    for p in left:
        touching = [g for g in wanted if g[0] < p[1] and p[0] < g[1]]
        of_type = [g for g in touching if g[2] == p[2]] if part == "type" else []
        if touching:
            wanted.remove(
                min(of_type, key=lambda g: abs(g[0] - p[0]) + abs(g[1] - p[1]))
                if of_type
                else touching[0]
            )
            worth += 0.5 if part == "partial" else bool(of_type)
    return [worth, len(pred), len(gold)]


def summed(
    right: Iterable[tuple], pred: Iterable[tuple], gold: Iterable[tuple], *met: Iterable[tuple]
) -> Counts:
    """How many of each list of keys there are, by type."""
    counts: Counts = {}
    for column, keys in enumerate((right, pred, gold, *met)):
        for key in keys:
            if (row := counts.get(key[0])) is None:
                row = counts[key[0]] = [0] * (3 + len(met))
            row[column] += 1
    return counts


def as_it_is(text: str) -> str:
    """The text."""
    return text


def title(text: str) -> str:
    """A name as DuIE compares it.

    >>> title("《Hello World》"), title("论《红楼梦》")
    ('hello world', '论《红楼梦》')
    """
    text = text[1:-1] if text.startswith("《") and text.endswith("》") else text
    return text.lower()


def plain(text: str) -> str:
    """A name or type as InstructUIE compares it.

    >>> plain("New  York ( {US} )"), plain("O’Brien,, Jr..")
    ('new york(us)', "o'brien,jr.")
    """
    text = re.sub(r"\s*([,:().;'_-])\s*", r"\1", " ".join(text.split())).lower()
    return re.sub(r"([,.;])\1+", r"\1", text.replace("{", "").replace("}", "")).replace("’", "'")


@dataclass(frozen=True)
class Mode:
    """A rule of counting: what it is defined for and how names are written before they are compared."""

    count: Callable[[Sequence[Unit], Sequence[Unit], Rule, str], Counts]
    tasks: tuple[str, ...] = tuple(TASKS)
    places: bool = False  # spans, not names, are compared
    written: Callable[[str], str] = as_it_is
    takes: tuple[str, ...] = ()  # of typed, aliases


MODES = {
    "span": Mode(by_key, places=True, takes=("typed",)),
    "string": Mode(by_key, takes=("typed",)),
    "iepile": Mode(iepile, takes=("typed",)),
    "instructuie": Mode(instructuie, written=plain),
    "duie": Mode(duie, ("RE",), written=title, takes=("typed", "aliases")),
    "duee": Mode(duee, ("EE",), written=str.lower, takes=("aliases",)),
    "overlap": Mode(overlap, ("NER",), places=True),
}


@dataclass(frozen=True)
class Rule:
    """One task in one mode, checked by `ruled`."""

    task: str
    name: str
    mode: Mode
    typed: bool
    aliases: Mapping[str, set[str]]

    @property
    def parts(self) -> tuple[str, ...]:
        """What is reported apart."""
        return OVERLAPS if self.name == "overlap" else PARTS[self.task]

    def counted(
        self, gold: Mapping, pred: Mapping, part: str
    ) -> tuple[list[Unit], list[Unit], Counts]:
        """The units of a gold record, of its prediction, and what they count."""
        wanted, found = self.units(gold, part), self.units(pred, part)
        return wanted, found, self.mode.count(wanted, found, self, part)

    def units(self, record: Mapping, part: str) -> list[Unit]:
        """What one part of the score counts in a record."""
        return [
            self.unit(label, things, slots)
            for label, things, slots in labelled(record, part, self.name == "duie")
        ]

    def unit(
        self, label: tuple[str, ...], things: tuple[Mapping, ...], slots: tuple[str, ...]
    ) -> Unit:
        """A unit; its key is the label, then each mention's span or name, then slots and argument types where they count."""
        mode, placed = self.mode, all([thing.get("pos") for thing in things])  # noqa: C419 a generator takes twice as long, millions of times
        kinds = (
            tuple([thing.get("type", "") for thing in things[:2]]) if self.typed else ()
        )  # head and tail
        if mode.places and len(things) == 1 and placed:  # nearly every unit
            key = (*label, tuple(things[0]["pos"]))
        elif mode.places:
            key = (*label, *[tuple(thing.get("pos") or ("?", thing["name"])) for thing in things])
        elif mode.written is as_it_is:
            key = (*label, *[thing["name"] for thing in things])
        else:
            head = tuple(map(plain, label)) if mode.written is plain else label
            key = (*head, *[mode.written(thing["name"]) for thing in things])
        extra = (slots + kinds,) if slots or kinds else ()
        return Unit(key + extra, label, things, placed, (placed or not mode.places) and all(kinds))

    def equal(self, one: tuple, other: tuple) -> bool:
        """Whether two keys of duie are equal but for aliases of names: the relation, and slots and types (a tuple), as they are."""
        alias = self.aliases.get
        return (
            one == other
            or len(one) == len(other)
            and one[0] == other[0]
            and all(
                a == b or b in alias(a, ()) or a in alias(b, ())
                for a, b in zip(one[1:], other[1:], strict=True)
            )
        )


def labelled(
    record: Mapping, part: str, slots: bool
) -> Iterator[tuple[tuple[str, ...], tuple[Mapping, ...], tuple[str, ...]]]:
    """(label, mentions, names of the slots) of each unit of a record; without `slots` the mentions of a relation are head and tail."""
    if part == "relation":
        for r in record["relations"]:
            extra = (
                sorted((s, thing) for s, thing in (r.get("slots") or {}).items() if thing)
                if slots
                else ()
            )
            yield (
                (r["type"],),
                (r["head"], r["tail"], *[thing for _, thing in extra]),
                tuple([s for s, _ in extra]),
            )
    elif part == "trigger":
        for e in record["events"]:
            yield (e["type"],), ({"name": e["trigger"], "pos": e.get("pos")},), ()
    elif part == "argument":
        for e in record["events"]:
            for a in e.get("arguments") or ():
                yield (e["type"], a["role"]), (a,), ()
    else:
        for entity in record["entities"]:
            yield (entity["type"],), (entity,), ()


def ruled(
    task: str, mode: str, typed: bool = False, aliases: Mapping[str, Sequence[str]] | None = None
) -> Rule:
    """The rule for a task and a mode; ValueError where there is none, or where it does not take `typed` or `aliases`."""
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; expected one of {', '.join(MODES)}")
    if task not in MODES[mode].tasks:
        raise ValueError(
            f"mode {mode} is defined for {', '.join(MODES[mode].tasks)}, not for {task}; expected for it one of "
            + ", ".join(name for name, other in MODES.items() if task in other.tasks)
        )
    for name, given in (("typed", typed), ("aliases", aliases)):
        if given and name not in MODES[mode].takes:
            raise ValueError(
                f"mode {mode} does not take {name}; expected one of {', '.join(m for m in MODES if name in MODES[m].takes)}"
            )
    if typed and task != "RE":
        raise ValueError(
            f"typed compares the types of heads and tails, so it is for RE, not for {task}"
        )
    return Rule(task, mode, MODES[mode], typed, alias_table(aliases or {}, MODES[mode].written))


def alias_table(
    aliases: Mapping[str, Sequence[str]], write: Callable[[str], str]
) -> dict[str, set[str]]:
    """The alias table as `write` writes names; entries whose names are then equal are one. ValueError for one that is no list of names.

    >>> sorted(alias_table({"红楼梦": ["石头记"], "《红楼梦》": ["金玉缘"]}, title)["红楼梦"])
    ['石头记', '金玉缘']
    """
    written: dict[str, set[str]] = {}
    for name, names in aliases.items():
        if not isinstance(names, (list, tuple, set, frozenset)) or not all(
            isinstance(n, str) for n in (name, *names)
        ):
            raise ValueError(f"aliases of {name!r}: found {names!r}, expected a list of names")
        written.setdefault(write(name), set()).update(map(write, names))
    return written
