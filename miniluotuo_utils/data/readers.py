"""Readers: one small function per native format, from a verified file to the shapes of `records`.

In: a path and the source's name. Out: an iterator of instruction rows or IE records. Shown in notebook 01.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from miniluotuo_utils.records import DataError, check_record, check_row, iter_jsonl


def unified_rows(path: Path, source: str) -> Iterator[dict]:
    """JSON Lines that hold instruction rows already."""
    for row in iter_jsonl(path):
        yield check_row({"source": source, **{k: row[k] for k in ("instruction", "input", "output")}})


def unified_records(path: Path, source: str) -> Iterator[dict]:
    """JSON Lines that hold IE records already."""
    yield from iter_jsonl(path, check_record)


def json_list(path: Path) -> list[dict]:
    """A file that is one JSON list; DataError names the file and the place where it breaks."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path.name}, line {error.lineno}: {error.msg}; expected one JSON list") from None
    if not isinstance(value, list):
        raise DataError(f"{path.name}: found a {type(value).__name__}, expected one JSON list")
    return value


def alpaca_json(path: Path, source: str) -> Iterator[dict]:
    """`[{instruction, input, output, history?}]`; a missing input is an empty one."""
    for row in json_list(path):
        unified = {"instruction": row["instruction"], "input": row.get("input") or "", "output": row["output"], "source": source}
        yield unified | ({"history": row["history"]} if row.get("history") else {})


def alpaca_parallel(path: Path, source: str, least_score: int = 4) -> Iterator[dict]:
    """alpaca-chinese v3: English and Chinese side by side with a translation score from 1 to 5, or null.

    Keeps the Chinese side of rows with a score of at least `least_score`; the rest are poor or missing translations.
    """
    for row in json_list(path):
        if (row["metadata"]["score"] or 0) >= least_score:
            yield {"instruction": row["zh_instruction"], "input": row["zh_input"] or "", "output": row["zh_output"], "source": source}


def cluener(path: Path, source: str) -> Iterator[dict]:
    """CLUENER2020: `{"text", "label": {type: {name: [[start, end], …]}}}`; its end is inclusive, ours is not."""
    for row in iter_jsonl(path):
        entities = [
            {"name": name, "type": kind, "pos": [start, end + 1]}
            for kind, names in row["label"].items()
            for name, places in names.items()
            for start, end in places
        ]
        entities.sort(key=lambda e: e["pos"])
        yield ie_record(row["text"], source, entities=entities)


def bmes_columns(path: Path, source: str) -> Iterator[dict]:
    """`字 B-NAME` per line, BMES tags, an empty line between sentences (Resume)."""
    for tagged in blocks(path):
        sentence = "".join(character for character, _ in tagged)
        yield ie_record(sentence, source, entities=bmes_entities(sentence, [tag for _, tag in tagged]))


def blocks(path: Path) -> Iterator[list[tuple[str, str]]]:
    """Runs of `character tag` lines that empty lines part."""
    run: list[tuple[str, str]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() + [""], 1):
        if not line.strip():
            if run:
                yield run
            run = []
            continue
        parts = line.split()
        if len(parts) != 2:
            raise DataError(f"{path.name}, line {number}: found {line[:40]!r}, expected a character, a space and its tag")
        run.append((parts[0], parts[1]))


def bmes_entities(sentence: str, tags: list[str]) -> list[dict]:
    """Entities of one BMES-tagged sentence, one tag per character.

    >>> bmes_entities("高勇男", ["B-NAME", "E-NAME", "O"])
    [{'name': '高勇', 'type': 'NAME', 'pos': [0, 2]}]
    """
    entities, start = [], 0
    for i, tag in enumerate(tags):
        mark, _, kind = tag.partition("-")
        if mark in ("B", "S"):
            start = i
        if mark in ("E", "S"):
            entities.append({"name": sentence[start : i + 1], "type": kind, "pos": [start, i + 1]})
    return entities


def finre(path: Path, source: str) -> Iterator[dict]:
    """FinRE: `head<TAB>tail<TAB>relation<TAB>text`, one pair per row, `unknown` where the pair has no relation."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split("\t")
        if len(parts) != 4:
            raise DataError(f"{path.name}, line {number}: found {len(parts)} columns, expected head, tail, relation, text")
        head, tail, kind, text = (part.strip() for part in parts)
        relations = [] if kind == "unknown" else [relation(text, head, kind, tail)]
        yield ie_record(text, source, annotation="one-pair", relations=relations)


def deepke_csv(path: Path, source: str) -> Iterator[dict]:
    """DeepKE's CSV `sentence,relation,head,head_offset,tail,tail_offset`, one pair per row."""
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            relations = [] if row["relation"] == "None" else [relation(row["sentence"], row["head"], row["relation"], row["tail"])]
            yield ie_record(row["sentence"], source, annotation="one-pair", relations=relations)


def relation(sentence: str, head: str, kind: str, tail: str) -> dict:
    """A relation between two names; `pos` is null unless the sentence holds the name exactly once."""
    return {"head": named(sentence, head), "type": kind, "tail": named(sentence, tail)}


def named(sentence: str, name: str) -> dict:
    """`{name, type, pos}` of a name whose source gives neither type nor place.

    >>> named("长江和长江口", "长江")["pos"] is None
    True
    """
    start = sentence.find(name)
    once = start >= 0 and sentence.find(name, start + 1) < 0
    return {"name": name, "type": "", "pos": [start, start + len(name)] if once else None}


def ie_record(sentence: str, source: str, annotation: str = "exhaustive", **found: list) -> dict:
    """An IE record in its agreed order of fields; `found` is one of entities, relations, events."""
    return {"sentence": sentence, "source": source, "annotation": annotation, **found}


def word_list(path: Path, source: str) -> Iterator[dict]:
    """THUOCL: `词<TAB>document frequency`; gives `{word, frequency, source}`, which are topics, not training rows."""
    for line in path.read_text(encoding="utf-8-sig").split("\n"):
        word, _, frequency = line.strip().partition("\t")
        if word and frequency.strip().isdigit():
            yield {"word": word.strip(), "frequency": int(frequency), "source": f"{source}/{path.stem}"}


READERS: dict[str, Callable[[Path, str], Iterator[dict]]] = {
    f.__name__: f
    for f in (unified_rows, unified_records, alpaca_json, alpaca_parallel, cluener, bmes_columns, finre, deepke_csv, word_list)
}
