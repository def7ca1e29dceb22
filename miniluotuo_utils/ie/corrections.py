"""Correct silver records sentence by sentence; each is on disk at once, a killed form goes on.

In: IE records of entities, and the types. Out: the corrected ones, `annotation: "exhaustive"`. The
form that shows them is `show.correction_form`; nothing here needs a browser. Shown in notebook 07.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from miniluotuo_utils.files import DataError, Journal, expect
from miniluotuo_utils.ie.schema import check_schema
from miniluotuo_utils.records import check_record

Entities = list[dict]


class Corrections:
    """Sentences with proposed entities, which a person corrects in turn.

    `records` are IE records with `entities`, each sentence once. `certainty`, a number for each
    record, has the least certain offered first; without it they come in their order. `types` are
    those that may be given; a proposal of another type is left out.

    What was corrected is kept in `path` (JSON Lines), on disk when `save` returns. A sentence is
    known by its text: other sentences, other proposals and another order may be given to the same
    file, what was corrected stays. `DataError` for a file begun with other types, since a sentence
    that was read for some types was not read for others, and for a damaged line.
    """

    def __init__(
        self,
        path: Path | str,
        records: Sequence[Mapping],
        types: Sequence[str],
        certainty: Sequence[float] | None = None,
    ) -> None:
        check_schema(types, "NER")
        self.path, self.types = Path(path), list(dict.fromkeys(types))
        if certainty is not None and len(certainty) != len(records):
            raise ValueError(
                f"found {len(records)} records and {len(certainty)} certainties; expected one each"
            )

        # A sentence that stands twice is corrected once: its text is all that it is known by.
        self.proposed: dict[str, dict] = {}
        for number, record in enumerate(records, 1):
            try:
                checked = check_record(record)
                expect("entities" in checked, "entities", None, "a list, [] where there is nothing")
            except DataError as error:
                raise DataError(f"record {number}, {error}") from None
            self.proposed.setdefault(checked["sentence"], checked)

        # The least certain first: there a correction teaches most.
        order = range(len(records))
        if certainty is not None:
            order = sorted(order, key=lambda number: certainty[number])
        self.order = list(dict.fromkeys(records[number]["sentence"] for number in order))
        self.corrected: dict[str, dict] = {}
        self.journal = Journal(self.path, {"corrections": "entities", "types": self.types})
        self._resume()

    def _resume(self) -> None:
        """Take over what was corrected earlier; the last line of a sentence counts."""
        for number, line in enumerate(self.journal.lines(), 2):
            try:
                self.corrected[line["sentence"]] = line | {"entities": self._checked(line)}
            except (DataError, KeyError, TypeError) as error:
                raise DataError(
                    f"{self.path.name}, line {number}, {error}. Mend that line, or delete it and "
                    "correct its sentence again（改好这一行，或者删掉它再标一次）"
                ) from None

    def _checked(self, line: Mapping) -> Entities:
        """Return the entities of a line, in the order of the sentence; DataError for odd ones."""
        entities, seen = line["entities"], set()
        check_record({"sentence": line["sentence"], "entities": entities})
        for number, entity in enumerate(entities):
            place = f"entities[{number}]"
            expect(entity.get("pos"), f"{place}.pos", entity.get("pos"), "[start, end)")
            known = entity.get("type") in self.types
            expect(known, f"{place}.type", entity.get("type"), f"one of {'、'.join(self.types)}")
            key = (*entity["pos"], entity["type"])
            expect(key not in seen, place, entity["name"], "each name of a type once")
            seen.add(key)
        return in_order(entities)

    # ---- what the form shows

    def entities(self, sentence: str) -> Entities:
        """Return the entities of a sentence: as corrected, else as proposed."""
        if sentence in self.corrected:
            return [dict(entity) for entity in self.corrected[sentence]["entities"]]
        return self.proposal(sentence)

    def proposal(self, sentence: str) -> Entities:
        """Return what was proposed and can be shown: placed, of the types, each once."""
        found = {}
        for entity in self.proposed[sentence]["entities"]:
            if entity.get("pos") and entity["type"] in self.types:
                found.setdefault((*entity["pos"], entity["type"]), dict(entity))
        return in_order(found.values())

    def next(self, after: str | None = None) -> str | None:
        """Return the first sentence that is open, behind `after` if there is one; None at the end.

        Behind the last one it begins at the first again.
        """
        start = self.order.index(after) + 1 if after in self.proposed else 0
        turned = self.order[start:] + self.order[:start]
        return next((sentence for sentence in turned if sentence not in self.corrected), None)

    @property
    def progress(self) -> tuple[int, int]:
        """How many sentences are corrected, and how many there are."""
        return sum(sentence in self.corrected for sentence in self.order), len(self.order)

    # ---- what a person does

    def save(self, sentence: str, entities: Sequence[Mapping]) -> None:
        """Save the entities of a sentence, as they are right; on disk when this returns.

        A later correction takes the place of an earlier one. `DataError`, and nothing saved, for a
        sentence or a type that does not exist, a place that does not cut out its name, a file that
        was deleted.
        """
        known = isinstance(sentence, str) and sentence in self.proposed
        expect(known, "sentence", sentence, "a sentence of this file")
        kept = [bare(entity) for entity in entities]
        line = {
            "sentence": sentence,
            "entities": self._checked({"sentence": sentence, "entities": kept}),
            "changes": changes(self.proposal(sentence), kept),
            "time": round(time.time(), 1),
        }
        self.journal.append(line)
        self.corrected[sentence] = line

    def records(self) -> list[dict]:
        """Return the corrected sentences as IE records, in the order in which they were given."""
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
        total: Counter = Counter(dict.fromkeys(CHANGES, 0))
        for sentence in self.order:
            total.update(self.corrected.get(sentence, {}).get("changes", {}))
        return dict(total)


def bare(entity: Mapping) -> dict:
    """Return an entity with nothing but its name, type and place."""
    return {key: entity.get(key) for key in ("name", "type", "pos")}


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
    kept = [
        entity
        for entity in entities
        if list(entity["pos"]) != [start, end] and not crosses(entity["pos"], (start, end))
    ]
    return in_order([*kept, {"name": sentence[start:end], "type": kind, "pos": [start, end]}])


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
