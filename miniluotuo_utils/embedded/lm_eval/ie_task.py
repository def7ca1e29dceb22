"""The embedded IE tests as lm-evaluation-harness asks for them: one document per question, F1 over all of them.

In: nothing but the package. Out: micro F1 in mode span, the number that `ie.extract` and `ie.score` give.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.ie.instructions import merged, questions
from miniluotuo_utils.ie.parsing import parse
from miniluotuo_utils.ie.schema import schema_of
from miniluotuo_utils.ie.scoring import score
from miniluotuo_utils.ie.spans import to_record
from miniluotuo_utils.prompts import row_prompt
from miniluotuo_utils.records import TASKS
from miniluotuo_utils.runtime import EMBEDDED

METRICS = {"NER": ("f1",), "RE": ("f1",), "EE": ("trigger_f1", "argument_f1")}


def questions_of(task: str, **_: object) -> dict:
    """The test split: a document per sentence and slice of the schema (the training split's types), with prompt, gold and slice."""
    from datasets import Dataset

    train, test = (
        read_jsonl(EMBEDDED / f"{task.lower()}_{split}.jsonl") for split in ("train", "test")
    )
    rows = questions([record["sentence"] for record in test], schema_of(train, task), task)
    docs = []
    for row in rows:
        record = test[row["record"]]
        gold = {
            "sentence": record["sentence"],
            TASKS[task]: [item for item in record[TASKS[task]] if item["type"] in row["types"]],
        }
        texts = {
            name: json.dumps(value, ensure_ascii=False)
            for name, value in (("gold", gold), ("types", row["types"]))
        }
        docs.append({"task": task, "prompt": row_prompt(row), "record": row["record"], **texts})
    return {"test": Dataset.from_list(docs)}


def answered(doc: Mapping, results: Sequence[str]) -> dict[str, list]:
    """What was read from the answer to one document, for every metric: task, record number, gold of the slice, items."""
    items = parse(results[0], doc["task"], schema=json.loads(doc["types"])).items
    return dict.fromkeys(
        METRICS[doc["task"]], [doc["task"], doc["record"], json.loads(doc["gold"]), items]
    )


def scored(found: Sequence[Sequence]) -> dict:
    """`score` of all documents, the slices of a sentence merged again; what `--limit` leaves out is neither asked nor missed."""
    found = sorted(found, key=lambda one: one[1])
    task, field = found[0][0], TASKS[found[0][0]]
    places = {
        number: place
        for place, number in enumerate(dict.fromkeys(number for _, number, *_ in found))
    }
    rows, sentences = (
        [{"record": places[number]} for _, number, *_ in found],
        list({number: gold["sentence"] for _, number, gold, _ in found}.values()),
    )
    gold = [
        {"sentence": s, field: items}
        for s, items in zip(
            sentences, merged(rows, [gold[field] for *_, gold, _ in found]), strict=True
        )
    ]
    pred = [
        to_record(s, items, task)
        for s, items in zip(sentences, merged(rows, [items for *_, items in found]), strict=True)
    ]
    return score(gold, pred, task)


def f1(found: Sequence[Sequence]) -> float:
    """Micro F1, 0 to 1."""
    return scored(found)["micro"]["f1"]


def trigger_f1(found: Sequence[Sequence]) -> float:
    """Micro F1 of triggers with their event types."""
    return scored(found)["trigger"]["micro"]["f1"]


def argument_f1(found: Sequence[Sequence]) -> float:
    """Micro F1 of arguments with event type and role."""
    return scored(found)["argument"]["micro"]["f1"]
