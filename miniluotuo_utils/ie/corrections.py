"""Correct silver records sentence by sentence; each is on disk at once, a killed form goes on.

In: IE records of entities, and the types. Out: the corrected ones, `annotation: "exhaustive"`. The
form that shows them is `show.correction_form`; nothing here needs a browser. Shown in notebook 07.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from math import inf
from pathlib import Path

from miniluotuo_utils.files import DataError, Journal, expect, numbered
from miniluotuo_utils.ie.schema import check_schema
from miniluotuo_utils.records import check_record

Entities = list[dict]
CLOSE = 0.6  # share of equal characters from which a sentence may be another, mended


class Corrections:
    """Sentences with proposed entities, which a person corrects in turn.

    `records` are IE records with `entities`, each sentence once. `certainty`, a number for each
    record, has the least certain offered first; without it they come in their order. `types` are
    those that may be given; a proposal of another type is left out.

    What was corrected is kept in `path` (JSON Lines), on disk when `save` returns. A sentence is
    known by its text: other sentences, other proposals and another order may be given to the same
    file, what was corrected stays. `left` are corrected ones that are not among the sentences; the
    closest open one gets their names proposed. Several of these objects may share a file: each
    takes over what the others saved.

    A file begun with other types stays as it is, since a sentence that was read for some types was
    not read for others: the first free or fitting one of `name-2`, `name-3` … is taken, with what
    was corrected before as proposals. `notes` says, in both languages, what of all this happened.
    `DataError` for a damaged line.
    """

    def __init__(
        self,
        path: Path | str,
        records: Sequence[Mapping],
        types: Sequence[str],
        certainty: Sequence[float] | None = None,
    ) -> None:
        check_schema(types, "NER")
        self.types = list(dict.fromkeys(types))
        if certainty is not None and len(certainty) != len(records):
            raise ValueError(
                f"found {len(records)} records and {len(certainty)} certainties; expected one each"
                "（每句要有一个把握）"
            )

        # A sentence that stands twice is corrected once: its text is all that it is known by.
        self.proposed: dict[str, dict] = {}
        for number, record in enumerate(records, 1):
            try:
                own = check_record(record)
                expect("entities" in own, "entities", None, "a list, [] where there is nothing")
            except DataError as error:
                raise DataError(f"record {number}, {error}") from None
            self.proposed.setdefault(own["sentence"], own)

        # The least certain first: there a correction teaches most.
        order = range(len(records))
        if certainty is not None:
            order = sorted(order, key=lambda number: certainty[number])
        self.order = list(dict.fromkeys(records[number]["sentence"] for number in order))

        # What was corrected in this file, for other types, and in an earlier version of the text.
        self.corrected: dict[str, dict] = {}
        self.size = 0  # bytes of the file that are in `corrected`
        self.notes: list[str] = []
        head, earlier = self._begin(Path(path))
        self.journal = Journal(self.path, head)
        self.refresh()
        self._reopen(earlier)
        self._carry()

    def _begin(self, path: Path) -> tuple[dict, dict[str, dict]]:
        """Choose the file; return its first line, and the corrections in files of other types."""
        head, earlier, fitting = {"corrections": "entities", "types": self.types}, {}, None
        for free in numbered(path):
            if not free.exists():
                break
            found = first_line(free)
            types = found.get("types")
            if found != head | {"types": types} or set(types or ()) == set(self.types):
                # One that is none of ours is refused by its journal.
                fitting = fitting or (free, head | {"types": types or self.types})
            else:
                earlier |= lines_of(Journal(free, found), types)
        self.path, head = fitting or (free, head)
        return head, earlier

    def _reopen(self, earlier: Mapping[str, Mapping]) -> None:
        """Propose, in open sentences, what was corrected there for other types."""
        again = [sentence for sentence in self.open if sentence in earlier]
        for sentence in again:
            # For a type that is new the machines' proposals count, too.
            line, own = earlier[sentence], self.proposed[sentence]["entities"]
            new = [entity for entity in own if entity["type"] not in line["types"]]
            self.proposed[sentence]["entities"] = [*line["entities"], *new]
        if again:
            self.notes.append(
                f"类型变了：改好的 {len(again)} 句要再看一遍，旧的标注当作建议；旧文件留着，"
                f"新的存进 {self.path.name}。 The types have changed: {len(again)} corrected "
                "sentences are open again, with their old names proposed; the old file stays."
            )

    def _carry(self) -> None:
        """Propose, in the closest open sentence, what was corrected in one that is gone."""
        open_ = self.open
        for sentence in self.left:
            if close := closest(sentence, open_):
                moved = carried(self.corrected[sentence]["entities"], sentence, close)
                own = self.proposed[close]["entities"]
                self.proposed[close]["entities"] = [*moved, *own]
        if self.left:
            self.notes.append(
                f"{len(self.left)} 句改好的，这次的文本里没有，先放着。 "
                f"{len(self.left)} corrected sentences are not in this text; they are kept."
            )

    def refresh(self) -> set[str]:
        """Take over what another window has saved since, and return its sentences."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size == self.size:
            return set()
        with self.journal.alone():
            self.size = self.path.stat().st_size if self.path.exists() else 0
            found = lines_of(self.journal, self.types)
        new = {sentence for sentence in found if found[sentence] != self.corrected.get(sentence)}
        self.corrected |= found
        return new

    # ---- what the form shows

    def entities(self, sentence: str) -> Entities:
        """Return the entities of a sentence: as corrected, else as proposed."""
        if sentence in self.corrected:
            return [dict(entity) for entity in self.corrected[sentence]["entities"]]
        return self.proposal(sentence)

    def proposal(self, sentence: str) -> Entities:
        """Return what was proposed and can be saved: placed, of the types, no two that clash."""
        found: Entities = []
        for entity in self.proposed[sentence]["entities"]:
            shown = entity.get("pos") and entity["type"] in self.types
            if shown and not any(clash(entity["pos"], other["pos"]) for other in found):
                found.append(dict(entity))
        return in_order(found)

    @property
    def open(self) -> list[str]:
        """The sentences that are not corrected, in the order in which they are offered."""
        self.refresh()
        return [sentence for sentence in self.order if sentence not in self.corrected]

    @property
    def left(self) -> list[str]:
        """The corrected sentences that are not among those given: another text, or a mended one."""
        return [sentence for sentence in self.corrected if sentence not in self.proposed]

    def offer(self, records: Sequence[Mapping], certainty: Sequence[float]) -> None:
        """Propose other entities in open sentences, and ask the least certain of them first.

        What is corrected stays, and so do sentences of which there is no record, behind the others.
        ValueError unless each record has its certainty.
        """
        sure: dict[str, float] = {}
        open_ = set(self.open)
        for record, number in zip(records, certainty, strict=True):
            if record["sentence"] in open_:
                entities = check_record(record)["entities"]
                self.proposed[record["sentence"]]["entities"] = entities
                sure[record["sentence"]] = number
        self.order.sort(key=lambda sentence: sure.get(sentence, inf))

    def next(self, after: str | None = None) -> str | None:
        """Return the first sentence that is open, behind `after` if there is one; None at the end.

        Behind the last one it begins at the first again.
        """
        self.refresh()
        start = self.order.index(after) + 1 if after in self.proposed else 0
        turned = self.order[start:] + self.order[:start]
        return next((sentence for sentence in turned if sentence not in self.corrected), None)

    @property
    def progress(self) -> tuple[int, int]:
        """How many sentences are corrected, and how many there are."""
        self.refresh()
        return sum(sentence in self.corrected for sentence in self.order), len(self.order)

    # ---- what a person does

    def save(self, sentence: str, entities: Sequence[Mapping]) -> None:
        """Save the entities of a sentence, as they are right; on disk when this returns.

        A later correction takes the place of an earlier one; the same again writes nothing.
        `DataError`, and nothing saved, for a sentence or a type that does not exist, a place that
        does not cut out its name, names that cross, a file that was deleted, and a sentence that
        another window has saved since this one last looked.
        """
        known = isinstance(sentence, str) and sentence in self.proposed
        expect(known, "sentence", sentence, "a sentence of this text（这份文本里的句子）")
        kept = checked({"sentence": sentence, "entities": entities}, self.types)
        with self.journal.alone():
            if sentence in self.refresh():
                raise DataError(ELSEWHERE)
            if sentence in self.corrected and self.corrected[sentence]["entities"] == kept:
                return
            line = {
                "sentence": sentence,
                "entities": kept,
                "changes": changes(self.proposal(sentence), kept),
                "time": round(time.time(), 1),
            }
            self.journal.append(line)
            self.size = self.path.stat().st_size
            self.corrected[sentence] = line | {"types": self.types}

    def records(self) -> list[dict]:
        """Return the corrected sentences as IE records, in the order in which they were given."""
        self.refresh()
        made = []
        for sentence, record in self.proposed.items():
            if sentence in self.corrected:
                kept = {key: record[key] for key in ("id", "document") if key in record}
                found = {"sentence": sentence, "source": record.get("source", ""), **kept}
                entities = self.entities(sentence)
                made.append(found | {"annotation": "exhaustive", "entities": entities})
        return made

    def work(self) -> dict[str, int]:
        """Return what the corrections of all sentences were: `kept`, `added`, and so on."""
        self.refresh()
        total: Counter = Counter(dict.fromkeys(CHANGES, 0))
        for sentence in self.order:
            total.update(self.corrected.get(sentence, {}).get("changes", {}))
        return dict(total)


def lines_of(journal: Journal, types: Sequence[str]) -> dict[str, dict]:
    """Return the corrections in a file by their sentence, with its types; the last line counts.

    DataError, which names the line, for one that is damaged.
    """
    found = {}
    for number, line in enumerate(journal.lines(), 2):
        try:
            found[line["sentence"]] = line | {"entities": checked(line, types), "types": [*types]}
        except (DataError, KeyError, TypeError) as error:
            raise DataError(
                f"{journal.path.name}, line {number}, {error}. Mend that line, or delete it and "
                "correct its sentence again（改好这一行，或者删掉它再标一次）"
            ) from None
    return found


def checked(line: Mapping, types: Sequence[str]) -> Entities:
    """Return the entities of a line, in the order of the sentence; DataError for odd ones."""
    entities: Entities = []
    check_record({"sentence": line["sentence"], "entities": line["entities"]})
    for number, entity in enumerate(line["entities"]):
        place, kind = f"entities[{number}]", entity["type"]
        expect(entity.get("pos"), f"{place}.pos", entity.get("pos"), "[start, end)")
        expect(kind in types, f"{place}.type", kind, f"one of {'、'.join(types)}")
        for other in entities:
            if clash(entity["pos"], other["pos"]):
                names = f"{other['name']}、{entity['name']}"
                raise DataError(
                    f"两个名字交叉：{names}，去掉一个。 "
                    f"Two names cross or share a place: {names}; take one out"
                )
        entities.append(bare(entity))
    return in_order(entities)


ELSEWHERE = (
    "这一句刚在另一个窗口改过，先看一眼再存。 "
    "This sentence was just corrected in another window: look at it first."
)


def first_line(path: Path) -> dict:
    """Return the object in the first line of a file, {} where there is none."""
    with open(path, "rb") as file:
        try:
            found = json.loads(file.readline())
        except ValueError:
            return {}
    return found if isinstance(found, dict) else {}


def bare(entity: Mapping) -> dict:
    """Return an entity with nothing but its name, type and place."""
    return {"name": entity["name"], "type": entity["type"], "pos": list(entity["pos"])}


def closest(sentence: str, others: Sequence[str]) -> str | None:
    """Return which of other sentences nearly repeats one, the nearest; None where none does.

    >>> closest("梅园的腊梅开了。", ["今天闭园。", "梅园的蜡梅开了。"])
    '梅园的蜡梅开了。'
    """
    match = SequenceMatcher(b=sentence, autojunk=False)
    best, found = CLOSE, None
    for other in others:
        match.set_seq1(other)
        # Bounds first, since there may be hundreds of sentences: `ratio` is the slow one.
        if min(match.real_quick_ratio(), match.quick_ratio()) > best and match.ratio() > best:
            best, found = match.ratio(), other
    return found


def carried(entities: Sequence[Mapping], sentence: str, other: str) -> Entities:
    """Return the entities of a sentence that stand, letter for letter, in its mended version.

    >>> carried([{"name": "梅园", "type": "园区", "pos": [0, 2]}], "梅园开了。", "今天梅园开了。")
    [{'name': '梅园', 'type': '园区', 'pos': [2, 4]}]
    """
    moved = []
    for a, b, size in SequenceMatcher(None, sentence, other, autojunk=False).get_matching_blocks():
        for entity in entities:
            start, end = entity["pos"]
            if a <= start and end <= a + size:
                moved.append({**entity, "pos": [start + b - a, end + b - a]})
    return moved


CHANGES = ("kept", "retyped", "moved", "added", "removed")


def changes(before: Sequence[Mapping], after: Sequence[Mapping]) -> dict[str, int]:
    """Return what a person did to the entities of a sentence, as counts.

    `kept`; `retyped`, another type at the same place; `moved`, the same type at a place that
    overlaps; `added`; `removed`.

    >>> old = [{"type": "地点", "pos": [0, 2]}, {"type": "时间", "pos": [5, 7]}]
    >>> new = [{"type": "园区", "pos": [0, 2]}, {"type": "时间", "pos": [5, 8]}]
    >>> {what: count for what, count in changes(old, new).items() if count}
    {'retyped': 1, 'moved': 1}
    """
    counts = dict.fromkeys(CHANGES, 0)
    left, open_ = [*before], [*after]
    alike = {
        "kept": lambda a, b: (*a["pos"], a["type"]) == (*b["pos"], b["type"]),
        "retyped": lambda a, b: list(a["pos"]) == list(b["pos"]),
        "moved": lambda a, b: a["type"] == b["type"] and overlaps(a["pos"], b["pos"]),
    }
    # The closest pairs first, so that no good pair is broken up.
    for what, same in alike.items():
        for one in list(left):
            match = next((other for other in open_ if same(one, other)), None)
            if match is not None:
                left.remove(one)
                open_.remove(match)
                counts[what] += 1
    return counts | {"added": len(open_), "removed": len(left)}


def overlaps(one: Sequence[int], other: Sequence[int]) -> bool:
    """Return whether two places share a character."""
    return one[0] < other[1] and other[0] < one[1]


# ---- the four things that one can do to entities


def added(sentence: str, entities: Sequence[Mapping], start: int, end: int, kind: str) -> Entities:
    """Return entities with a new one, without spaces at its edges.

    One at the same place gets the new type instead; those that it crosses half-way give way.

    >>> added("去 南湖 公园", [], 1, 4, "地点")
    [{'name': '南湖', 'type': '地点', 'pos': [2, 4]}]
    """
    start, end = sorted((max(0, start), min(len(sentence), end)))
    text = sentence[start:end]
    start, end = start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
    if start >= end:
        return in_order(entities)
    kept = [entity for entity in entities if not clash(entity["pos"], (start, end))]
    return in_order([*kept, {"name": sentence[start:end], "type": kind, "pos": [start, end]}])


def clash(one: Sequence[int], other: Sequence[int]) -> bool:
    """Return whether two places are the same, or cross half-way: no format holds both names."""
    return list(one) == list(other) or crosses(one, other)


def crosses(one: Sequence[int], other: Sequence[int]) -> bool:
    """Return whether two places overlap and neither lies within the other."""
    within = (one[0] <= other[0] and other[1] <= one[1]) or (
        other[0] <= one[0] and one[1] <= other[1]
    )
    return overlaps(one, other) and not within


def removed(entities: Sequence[Mapping], number: int) -> Entities:
    """Return entities without the one of a number; all of them where there is no such number."""
    return [dict(entity) for at, entity in enumerate(entities) if at != number]


def retyped(entities: Sequence[Mapping], number: int, kind: str) -> Entities:
    """Return entities of which the one of a number has another type."""
    made = [dict(entity) for entity in entities]
    if 0 <= number < len(made):
        made[number] = {key: made[number][key] for key in ("name", "pos")} | {"type": kind}
    return in_order({(*one["pos"], one["type"]): one for one in made}.values())


def in_order(entities: Iterable[Mapping]) -> Entities:
    """Return entities in the order of their sentence, the outer before the inner."""
    return sorted((dict(one) for one in entities), key=lambda e: (e["pos"][0], -e["pos"][1]))
