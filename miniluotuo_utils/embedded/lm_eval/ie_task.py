"""Run the embedded IE tests in lm-evaluation-harness: a document per question, F1 over all.

In: nothing but the package. Out: micro F1 in mode span, as `ie.extract` and `ie.score` give it.
"""

import json
from collections.abc import Mapping, Sequence

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.ie.instructions import merged, questions
from miniluotuo_utils.ie.parsing import parse
from miniluotuo_utils.ie.schema import schema_of
from miniluotuo_utils.ie.scoring import score
from miniluotuo_utils.ie.spans import to_record
from miniluotuo_utils.records import TASKS
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.tokens import prompts_of

METRICS = {"NER": ("f1",), "RE": ("f1",), "EE": ("trigger_f1", "argument_f1")}


def questions_of(task: str, pretrained: str = "", tokenizer: str = "", **_: object) -> dict:
    """Return the test split: a document per sentence and slice of the training split's types.

    A document holds the prompt and, as JSON, the gold of its slice and the slice. The harness hands
    over its `--model_args`: the prompt is that of the tokenizer named there, Alpaca's without one.
    """
    from datasets import Dataset
    from transformers import AutoTokenizer

    field, name = TASKS[task], task.lower()
    train = read_jsonl(EMBEDDED / f"{name}_train.jsonl")
    test = read_jsonl(EMBEDDED / f"{name}_test.jsonl")
    rows = questions([record["sentence"] for record in test], schema_of(train, task), task)
    named = tokenizer or pretrained
    words = AutoTokenizer.from_pretrained(named) if named else None
    docs = []
    for row, prompt in zip(rows, prompts_of(words, rows), strict=True):
        record = test[row["record"]]
        items = [item for item in record[field] if item["type"] in row["types"]]
        gold = {"sentence": record["sentence"], field: items}
        docs.append(
            {
                "task": task,
                "prompt": str(prompt),
                "record": row["record"],
                # As texts: a table's column would give every item the fields of all of them.
                "gold": json.dumps(gold, ensure_ascii=False),
                "types": json.dumps(row["types"], ensure_ascii=False),
            }
        )
    return {"test": Dataset.from_list(docs)}


def answered(doc: Mapping, results: Sequence[str]) -> dict[str, list]:
    """Return what every metric needs of one answer: task, record number, gold, items found."""
    task = doc["task"]
    items = parse(results[0], task, schema=json.loads(doc["types"])).items
    found = [task, doc["record"], json.loads(doc["gold"]), items]
    return dict.fromkeys(METRICS[task], found)


def scored(found: Sequence[Sequence]) -> dict:
    """Return the score of all documents, the slices of a sentence merged again.

    What the harness's `--limit` leaves out is neither asked nor missed.
    """
    # The harness asks the longest documents first; slices must follow each other again.
    found = sorted(found, key=lambda one: one[1])
    task = found[0][0]
    field = TASKS[task]
    sentences = {number: gold["sentence"] for _, number, gold, _ in found}
    places = {number: place for place, number in enumerate(sentences)}
    rows = [{"record": places[number]} for _, number, _, _ in found]

    right = zip(sentences.values(), merged(rows, [g[field] for _, _, g, _ in found]), strict=True)
    told = zip(sentences.values(), merged(rows, [items for *_, items in found]), strict=True)
    gold = [{"sentence": sentence, field: items} for sentence, items in right]
    return score(gold, [to_record(sentence, items, task) for sentence, items in told], task)


def f1(found: Sequence[Sequence]) -> float:
    """Return micro F1, 0 to 1."""
    return scored(found)["micro"]["f1"]


def trigger_f1(found: Sequence[Sequence]) -> float:
    """Return micro F1 of triggers with their event types."""
    return scored(found)["trigger"]["micro"]["f1"]


def argument_f1(found: Sequence[Sequence]) -> float:
    """Return micro F1 of arguments with event type and role."""
    return scored(found)["argument"]["micro"]["f1"]
