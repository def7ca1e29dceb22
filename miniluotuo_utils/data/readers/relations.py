"""Readers of relation data: one native record in, one IE record with `relations` out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from miniluotuo_utils.data.readers.spans import columns, joined, named, record, tagged
from miniluotuo_utils.files import DataError


def relation(sentence: str, head: str, kind: str, tail: str) -> dict:
    """A relation between two names; `pos` is null unless the sentence holds the name exactly once."""
    return {"head": named(sentence, head), "type": kind, "tail": named(sentence, tail)}


def finre(native: str) -> Iterator[dict]:
    """FinRE, SanWen: `head<TAB>tail<TAB>relation<TAB>text`, one pair per row, `unknown` where the pair has no relation."""
    parts = [part.strip() for part in native.split("\t")]
    if len(parts) != 4:
        raise DataError(f"found {len(parts)} columns, expected head, tail, relation, text")
    head, tail, kind, text = parts
    relations = [] if kind in ("unknown", "Unknown") else [relation(text, head, kind, tail)]
    yield record(text, "one-pair", relations=relations)


def deepke_csv(native: Mapping) -> Iterator[dict]:
    """DeepKE's CSV `sentence,relation,head,head_offset,tail,tail_offset`, one pair per row."""
    text, kind = native["sentence"], native["relation"]
    head, tail = (
        at_offset(text, native[side], native[f"{side}_offset"]) for side in ("head", "tail")
    )
    yield record(
        text,
        "one-pair",
        relations=[] if kind == "None" else [{"head": head, "type": kind, "tail": tail}],
    )


def at_offset(sentence: str, name: str, offset: str) -> dict:
    """The name at its stated offset where it really stands there, else where the sentence holds it exactly once."""
    start = int(offset) if offset.strip().isdecimal() else -1
    if start >= 0 and sentence[start : start + len(name)] == name:
        return {"name": name, "type": "", "pos": [start, start + len(name)]}
    return named(sentence, name)


def spo_list(native: Mapping) -> Iterator[dict]:
    """DuIE 1.0 and 2.0, CMeIE: `text, spo_list[{predicate,subject,subject_type,object,object_type}]`, no offsets.

    An object is a text (DuIE 1.0) or slots: `@value` is the tail, the others become `slots` (DuIE 2.0).
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
    """CoNLL04: `index token B-Loc ['Located_In'] [22]`; the numbers are the last tokens of the tails."""
    numbers, words, tags, kinds, tails = columns(native, 5)
    sentence, spans = joined(words, " ")
    if [int(n) for n in numbers] != list(range(len(words))):
        raise DataError(
            f"token numbers {numbers[0]} to {numbers[-1]}, expected 0 to {len(words) - 1}"
        )
    by_end = {e["pos"][1]: e for e in tagged(sentence, spans, tags)}
    relations = []
    for i, (names, ends) in enumerate(zip(map(listed, kinds), map(listed, tails), strict=True)):
        for kind, end in zip(names, ends, strict=True):
            if kind != "N":
                head, tail = (
                    by_end.get(spans[i][1]),
                    by_end.get(spans[int(end)][1])
                    if end.isdecimal() and int(end) < len(words)
                    else None,
                )
                if head is None or tail is None:
                    raise DataError(
                        f"relation {kind} between tokens {i} and {end}, expected the last tokens of two entities"
                    )
                relations.append({"head": head, "type": kind, "tail": tail})
    yield record(sentence, relations=relations)


def listed(text: str) -> list[str]:
    """The items of CoNLL04's lists.

    >>> listed("['Live_In', 'Work_For']"), listed("[2, 7]")
    (['Live_In', 'Work_For'], ['2', '7'])
    """
    if not re.fullmatch(r"\[('?)[\w-]+\1(, ?('?)[\w-]+\3)*\]", text):
        raise DataError(f"found {text[:40]!r}, expected a list such as ['Live_In'] or [2, 7]")
    return [item.strip().strip("'") for item in text[1:-1].split(",")]


def semeval(native: str) -> Iterator[dict]:
    """SemEval-2010 task 8: `e1<TAB>e2<TAB>Relation(e2,e1)<TAB>text with <e1></e1> and <e2></e2>`; `Other` is no relation.

    >>> next(semeval("key\\tdoor\\tInstrument-Agency(e1,e2)\\tA <e1>key</e1> opens the <e2>door</e2>."))["relations"][0]["tail"]
    {'name': 'door', 'type': '', 'pos': [16, 20]}
    """
    parts = native.split("\t")
    if len(parts) != 4:
        raise DataError(f"found {len(parts)} columns, expected e1, e2, relation, text")
    sentence, found, at = "", {}, 0
    for mark in re.finditer(r"<(e[12])>(.*?)</\1>", parts[3]):
        sentence += parts[3][at : mark.start()]
        found[mark[1]] = {
            "name": mark[2],
            "type": "",
            "pos": [len(sentence), len(sentence) + len(mark[2])],
        }
        sentence, at = sentence + mark[2], mark.end()
    sentence += parts[3][at:]
    kind = re.fullmatch(r"(.+)\((e[12]),(?!\2)(e[12])\)", parts[2].strip())
    if set(found) != {"e1", "e2"} or not (kind or parts[2].strip() == "Other"):
        raise DataError(
            f"found relation {parts[2]!r} and marks {sorted(found)}, expected Relation(e1,e2) or Other, and e1 and e2"
        )
    relations = [{"head": found[kind[2]], "type": kind[1], "tail": found[kind[3]]}] if kind else []
    yield record(sentence, "one-pair", relations=relations)
