"""Set several systems the same papers, and say how well each did. Shown in notebooks 05 and 05b.

In: test sets with the records one may learn from, and functions that answer them. Out: predictions,
rows of scores with intervals, the files that a run leaves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from miniluotuo_utils.files import write_jsonl, written_whole
from miniluotuo_utils.ie.extraction import Extraction
from miniluotuo_utils.ie.schema import Schema, schema_of
from miniluotuo_utils.ie.scoring import micro, score
from miniluotuo_utils.ie.significance import interval

LONGEST = 256  # tokens of an answer that a paper leaves room for
Predictions = Mapping[tuple[str, str], Sequence[Mapping]]  # (system, paper) -> a record a sentence


@dataclass(frozen=True)
class Paper:
    """A test set as every system gets it: `gold` is asked, `train` is what may be learnt from.

    >>> poet = {"name": "李白", "type": "人物", "pos": [0, 2]}
    >>> record = {"sentence": "李白", "entities": [poet]}
    >>> paper = Paper("poets", "NER", [record], [record])
    >>> paper.schema, paper.sentences
    (['人物'], ['李白'])
    """

    name: str
    task: str
    train: Sequence[Mapping]
    gold: Sequence[Mapping]

    @cached_property
    def schema(self) -> Schema:
        """The types that the training records hold."""
        return schema_of(self.train, self.task)

    @cached_property
    def sentences(self) -> list[str]:
        """The sentences that are asked."""
        return [record["sentence"] for record in self.gold]


def answer_room(tokenizer: Any, rows: Iterable[Mapping]) -> int:
    """Return how many tokens the longest answer of instruction rows takes with its end, at most
    `LONGEST`."""
    answers = tokenizer([row["output"] for row in rows])["input_ids"]
    return min(max(map(len, answers)) + 1, LONGEST)


def run_systems(
    papers: Iterable[Paper],
    systems: Mapping[str, Callable[[Paper], Extraction | Sequence[Mapping] | None]],
) -> tuple[dict[tuple[str, str], Sequence[Mapping]], dict[tuple[str, str], Extraction]]:
    """Let every system answer every paper; return predictions and, of students, extractions.

    Both are by (system, name of the paper). A system that gives None does not sit that paper.

    >>> record = {"sentence": "李白", "entities": []}
    >>> paper = Paper("poets", "NER", [record], [record])
    >>> systems = {"答 answers": lambda paper: paper.gold, "缺 absent": lambda paper: None}
    >>> run_systems([paper], systems)
    ({('答 answers', 'poets'): [{'sentence': '李白', 'entities': []}]}, {})
    """
    papers, predictions, extractions = list(papers), {}, {}
    for label, answer in systems.items():
        for paper in papers:
            found = answer(paper)
            if isinstance(found, Extraction):
                extractions[label, paper.name], found = found, found.records
            if found is not None:
                predictions[label, paper.name] = found
    return predictions, extractions


def score_table(
    papers: Iterable[Paper], predictions: Predictions, samples: int = 500, seed: int = 0
) -> list[dict]:
    """Return a row for each system and part of each paper, in the order of the papers.

    A row has `data`, `part` (NER, RE, EE trigger, EE argument), `system`; `precision`, `recall`,
    `f1` by span with its 95 % interval `low` to `high` (`samples` bootstrap samples); and
    `f1_string`, the F1 that compares names.
    """
    rows = []
    for paper in papers:
        mine = {label: p for (label, name), p in predictions.items() if name == paper.name}
        for label, records in mine.items():
            bounds = interval(paper.gold, records, paper.task, samples=samples, seed=seed)
            spans, strings = (
                micro(score(paper.gold, records, paper.task, mode)) for mode in ("span", "string")
            )
            for (part, m), (_, s), (_, b) in zip(spans, strings, micro(bounds), strict=True):
                rates = {rate: m[rate] for rate in ("precision", "recall", "f1")}
                low, high = b["f1"]
                named = {"data": paper.name, "part": part, "system": label}
                rows.append(named | rates | {"low": low, "high": high, "f1_string": s["f1"]})
    # Sorting is stable: the systems of one part stay in their order.
    parts = list(dict.fromkeys((row["data"], row["part"]) for row in rows))
    return sorted(rows, key=lambda row: parts.index((row["data"], row["part"])))


def write_results(folder: Path, papers: Iterable[Paper], predictions: Predictions) -> None:
    """Write gold and predictions as JSON Lines, and `metrics.json`, into a folder.

    A file is named by its paper and by the last word of its system. `metrics.json` holds what
    `score` says of each, by span and by string.
    """
    metrics = {}
    for paper in papers:
        write_jsonl(folder / f"{paper.name}_gold.jsonl", paper.gold, overwrite=True)
        for (label, name), records in predictions.items():
            if name != paper.name:
                continue
            system = label.split()[-1]
            write_jsonl(folder / f"{name}_{system}.jsonl", records, overwrite=True)
            for mode in ("span", "string"):
                found = score(paper.gold, records, paper.task, mode, paper.schema)
                metrics[f"{name} {system} {mode}"] = found
    with written_whole(folder / "metrics.json") as partial:
        text = json.dumps(metrics, ensure_ascii=False, indent=1)
        partial.write_text(text, encoding="utf-8")
