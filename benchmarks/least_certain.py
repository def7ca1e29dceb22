"""Measure whether it pays to label the least certain sentences first, and by which certainty.

    python benchmarks/least_certain.py [SEEDS] [STEPS]

In: the 120 sentences of the garden with their corrections, `tiny`, the training of notebook 07.
Each seed (two at least) parts and shuffles them anew, and all its students take as many steps. A
student of the first quarter of the training sentences reads the others, and as many as it was
trained on are added: the next ones at random, or the least certain by each measure. Out: a table of
span F1 of the students trained on both, with hardware, date and commit; the differences are paired
by seed.
"""

from __future__ import annotations

import math
import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from results import hardware

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.generation.certainty import Token, token_probabilities
from miniluotuo_utils.ie import build_instructions, extract, score
from miniluotuo_utils.ie.confidence import certainty_of
from miniluotuo_utils.ie.sentences import part, read_records
from miniluotuo_utils.runtime import EMBEDDED, commit
from miniluotuo_utils.students import Student, finetune, load_student

HEAD, *LINES = read_jsonl(EMBEDDED / "garden_corrections.jsonl")
TYPES = HEAD["types"]
PARAGRAPHS = {r["sentence"]: r for r in read_records(EMBEDDED / "garden.txt", say=None)}
GARDEN = [PARAGRAPHS[line["sentence"]] | {"entities": line["entities"]} for line in LINES]
FLOOR = 1e-9  # of a probability, so that it has a logarithm
RANDOM = "random 随机"
# 97.5 % of Student's t, by degrees of freedom: of a 95 % interval over few seeds.
T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}


def logarithms(tokens: Sequence[Token]) -> list[float]:
    """The logarithm of each token's probability."""
    return [math.log(max(token.probability, FLOOR)) for token in tokens]


MEASURES: dict[str, Callable[[Sequence[Token]], float]] = {
    "least certain token 最没把握的词元": certainty_of,
    "whole answer 整个回答": lambda tokens: sum(logarithms(tokens)),
    "mean token 平均一个词元": lambda tokens: statistics.mean(logarithms(tokens)),
}


def learned(records: Sequence[Mapping], seed: int, steps: int) -> Student:
    """A student trained on records from the base, as in notebook 07."""
    student = load_student("tiny")
    rows = build_instructions(records, "NER", TYPES, seed=seed, slice_size=None)
    finetune(student, rows, max_steps=steps, batch_size=8, seed=seed)
    return student


def f1(student: Student, test: Sequence[Mapping]) -> float:
    """Span F1 of a student on the test sentences."""
    found = extract(student, [r["sentence"] for r in test], TYPES, "NER", slice_size=None)
    return score(test, found.records, "NER")["micro"]["f1"]


def choices(student: Student, left: Sequence[Mapping], count: int) -> dict[str, list[Mapping]]:
    """The sentences that each way would have labelled next; the random ones are the first."""
    found = extract(student, [r["sentence"] for r in left], TYPES, "NER", slice_size=None)
    tokens = token_probabilities(student, found.rows, found.answers)
    chosen = {RANDOM: list(left[:count])}
    for name, measure in MEASURES.items():
        # An answer without tokens is one that the student could not finish.
        sure = [measure(said) if said else -math.inf for said in tokens]
        order = sorted(range(len(left)), key=sure.__getitem__)
        chosen[name] = [left[number] for number in order[:count]]
    return chosen


def one_seed(seed: int, steps: int) -> dict[str, tuple[float, int]]:
    """F1 and the number of entities to label, by way."""
    train, test = part(GARDEN, 0.3, seed)
    random.Random(seed).shuffle(train)
    few = len(train) // 4
    first = learned(train[:few], seed, steps)
    made = {}
    for name, chosen in choices(first, train[few:], few).items():
        work = sum(len(record["entities"]) for record in chosen)
        made[name] = f1(learned([*train[:few], *chosen], seed, steps), test), work
    return made


def main(seeds: int, steps: int) -> None:
    """Print the table; each seed is told as soon as it is measured."""
    made = []
    for seed in range(seeds):
        made.append(one_seed(seed, steps))
        print(f"seed {seed}: {made[-1]}", file=sys.stderr, flush=True)

    columns = ("first to label 先标", "F1", "against random 比随机", "95 %", "entities 实体")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in made[0]:
        values = [run[name][0] for run in made]
        apart = [run[name][0] - run[RANDOM][0] for run in made]
        half = T.get(seeds - 1, 2.0) * statistics.stdev(apart) / math.sqrt(seeds)
        middle = statistics.mean(apart)
        told = "– | –"
        if name != RANDOM:
            told = f"{middle:+.3f} | {middle - half:+.3f} to {middle + half:+.3f}"
        work = statistics.mean(run[name][1] for run in made)
        print(f"| {name} | {statistics.mean(values):.3f} | {told} | {work:.0f} |")
    measured = f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {hardware()}"
    print(f"\n`tiny`, float32, {seeds} seeds, {steps} steps each, {measured}")


if __name__ == "__main__":
    given = [int(value) for value in sys.argv[1:3]]
    main(*given, *(10, 24)[len(given) :])
