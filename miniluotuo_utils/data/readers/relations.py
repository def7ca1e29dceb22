"""Read relation data: one native record in, one IE record with `relations` out.

In: a unit of `native`. Out: records, whose source the caller adds. Shown in notebook 01.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from miniluotuo_utils.data.readers.spans import columns, entity, joined, named, record, tagged
from miniluotuo_utils.files import DataError


def relation(sentence: str, head: str, kind: str, tail: str) -> dict:
    """Return a relation of two names; `pos` is null unless the sentence holds one exactly once."""
    return {"head": named(sentence, head), "type": kind, "tail": named(sentence, tail)}


def finre(native: str) -> Iterator[dict]:
    """Read FinRE, SanWen: `head<TAB>tail<TAB>relation<TAB>text`, one pair per row.

    `unknown` says that the pair has no relation.
    """
    parts = [part.strip() for part in native.split("\t")]
    if len(parts) != 4:
        raise DataError(f"found {len(parts)} columns, expected head, tail, relation, text")
    head, tail, kind, text = parts
    relations = [] if kind in ("unknown", "Unknown") else [relation(text, head, kind, tail)]
    yield record(text, "one-pair", relations=relations)


def deepke_csv(native: Mapping) -> Iterator[dict]:
    """Read DeepKE's CSV `sentence,relation,head,head_offset,tail,tail_offset`, a pair per row."""
    text, kind = native["sentence"], native["relation"]
    head = at_offset(text, native["head"], native["head_offset"])
    tail = at_offset(text, native["tail"], native["tail_offset"])
    relations = [] if kind == "None" else [{"head": head, "type": kind, "tail": tail}]
    yield record(text, "one-pair", relations=relations)


def at_offset(sentence: str, name: str, offset: str) -> dict:
    """Return the name at its stated offset if it stands there, else where it stands once."""
    start = int(offset) if offset.strip().isdecimal() else -1
    if start >= 0 and sentence.startswith(name, start):
        return entity(sentence, start, start + len(name))
    return named(sentence, name)


def spo_list(native: Mapping) -> Iterator[dict]:
    """Read DuIE 1.0 and 2.0, CMeIE; no offsets.

    `text, spo_list[{predicate,subject,subject_type,object,object_type}]`. An object is a text
    (DuIE 1.0) or slots: `@value` is the tail, the others become `slots` (DuIE 2.0).
    """
    text, relations = native["text"], []
    for spo in native["spo_list"]:
        objects, kinds = spo["object"], spo["object_type"]
        if isinstance(objects, str):
            objects, kinds = {"@value": objects}, {"@value": kinds}
        slots = {
            slot: named(text, name, kinds[slot])
            for slot, name in objects.items()
            if slot != "@value" and name
        }
        found = {
            "head": named(text, spo["subject"], spo["subject_type"]),
            "type": spo["predicate"],
            "tail": named(text, objects["@value"], kinds["@value"]),
        }
        relations.append(found | ({"slots": slots} if slots else {}))
    yield record(text, relations=relations)


def conll04(native: Sequence[Sequence[str]]) -> Iterator[dict]:
    """Read CoNLL04: `index token B-Loc ['Located_In'] [22]`.

    Its numbers are those of the last tokens of the tails.
    """
    numbers, words, tags, kinds, tails = columns(native, 5)
    sentence, spans = joined(words, " ")
    if list(numbers) != [str(number) for number in range(len(words))]:
        last = len(words) - 1
        raise DataError(f"token numbers {numbers[0]} to {numbers[-1]}, expected 0 to {last}")

    # A relation names an entity by its last token.
    by_end = {one["pos"][1]: one for one in tagged(sentence, spans, tags)}
    ending = {n: by_end.get(end) for n, (_, end) in zip(numbers, spans, strict=True)}
    relations = []
    # A token holds as many relations as entities it is the head of; N stands for none.
    for number, names, ends in zip(numbers, map(listed, kinds), map(listed, tails), strict=True):
        for kind, end in zip(names, ends, strict=True):
            head, tail = ending[number], ending.get(end)
            if kind != "N" and not (head and tail):
                raise DataError(
                    f"relation {kind} between tokens {number} and {end}, "
                    "expected the last tokens of two entities"
                )
            if kind != "N":
                relations.append({"head": head, "type": kind, "tail": tail})
    yield record(sentence, relations=relations)


def listed(text: str) -> list[str]:
    """Return the items of CoNLL04's lists.

    >>> listed("['Live_In', 'Work_For']"), listed("[2, 7]")
    (['Live_In', 'Work_For'], ['2', '7'])
    """
    if not re.fullmatch(r"\[('?)[\w-]+\1(, ?('?)[\w-]+\3)*\]", text):
        raise DataError(f"found {text[:40]!r}, expected a list such as ['Live_In'] or [2, 7]")
    return [item.strip().strip("'") for item in text[1:-1].split(",")]


def semeval(native: str) -> Iterator[dict]:
    r"""Read SemEval-2010 task 8: `e1<TAB>e2<TAB>Relation(e2,e1)<TAB>text with <e1></e1> …`.

    `Other` is no relation.

    >>> line = "key\tdoor\tInstrument-Agency(e1,e2)\tA <e1>key</e1> opens the <e2>door</e2>."
    >>> next(semeval(line))["relations"][0]["tail"]
    {'name': 'door', 'type': '', 'pos': [16, 20]}
    """
    parts = native.split("\t")
    if len(parts) != 4:
        raise DataError(f"found {len(parts)} columns, expected e1, e2, relation, text")

    # Texts, names of marks and marked texts in turn: "A ", "e1", "key", " opens the ", …
    pieces = re.split(r"<(e[12])>(.*?)</\1>", parts[3])
    sentence, found = pieces[0], {}
    for mark, name, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        start, end = len(sentence), len(sentence) + len(name)
        sentence += name + text
        found[mark] = entity(sentence, start, end)
    kind = re.fullmatch(r"(.+)\((e[12]),(?!\2)(e[12])\)", parts[2].strip())
    if set(found) != {"e1", "e2"} or not (kind or parts[2].strip() == "Other"):
        raise DataError(
            f"found relation {parts[2]!r} and marks {sorted(found)}, "
            "expected Relation(e1,e2) or Other, and e1 and e2"
        )
    relations = [{"head": found[kind[2]], "type": kind[1], "tail": found[kind[3]]}] if kind else []
    yield record(sentence, "one-pair", relations=relations)
