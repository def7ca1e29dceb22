"""Measure how many planted faults the quality models find, and how many of their finds are planted.

    MINILUOTUO_MIRROR=… python benchmarks/quality.py labels [--records N] [--folds N] [--epochs N]
    MINILUOTUO_MIRROR=… python benchmarks/quality.py rows [--rows N]

labels: of the CLUENER train split, one label in ten is spoilt, a fourth of them each way: another
type, a border moved by one to three characters, the label taken away, a label where nothing stands.
`ie.suspects` is asked, and its doubts are followed down from the worst. What it names and we did
not plant counts as a mistake, though CLUENER has faults of its own; the worst are printed.
rows: alpaca-chinese, whose copies `data.quality` spoils itself, with the student's bits or not.

Killed, the same command goes on with the next fold, or the next rows (`runs/quality/`).
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from results import hardware

from miniluotuo_utils.data.catalog import card
from miniluotuo_utils.data.loading import read, renamed
from miniluotuo_utils.data.quality import FAULTS, LEAST, judged
from miniluotuo_utils.ie import schema_of
from miniluotuo_utils.ie.spans import Place
from miniluotuo_utils.ie.suspects import Suspect
from miniluotuo_utils.jobs.quality import Quality
from miniluotuo_utils.runtime import commit
from miniluotuo_utils.show.doubts import in_words

SHARE = 0.1  # of the labels
WAYS = ("wrong_type", "wrong_boundary", "spurious", "missed")  # as `errors` names them
POINTS = (0.99, 0.97, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)  # doubts at which the curve is told
RATES = (0.05, 0.02)  # shares of faults for which precision is worked out, too


class Fault(NamedTuple):
    """A label that was spoilt: its record, the way, and the characters that it touches."""

    record: int
    way: str
    place: Place


def spoilt(
    records: Sequence[Mapping], share: float, seed: int = 0
) -> tuple[list[dict], list[Fault]]:
    """Return the records with a share of their labels spoilt, one a record at most, and the faults.

    >>> entity = {"name": "北京", "type": "地址", "pos": [2, 4]}
    >>> made, [fault] = spoilt([{"sentence": "我在北京读书", "entities": [entity]}], 1.0, seed=3)
    >>> fault.way, made[0]["entities"][0]["name"]
    ('wrong_boundary', '北')
    """
    draw, types = random.Random(seed), schema_of(records, "NER")
    wanted = round(share * sum(len(record["entities"]) for record in records))
    order = [n for n, record in enumerate(records) if record["entities"]]
    draw.shuffle(order)
    made, faults = [dict(record) for record in records], []
    for number in order[:wanted]:
        entities = [dict(one) for one in records[number]["entities"]]
        at, way = draw.randrange(len(entities)), draw.choice(WAYS)
        place = spoil(records[number]["sentence"], entities, at, way, types, draw)
        if place:
            made[number]["entities"] = entities
            faults.append(Fault(number, way, place))
    return made, faults


def spoil(
    sentence: str,
    entities: list[dict],
    at: int,
    way: str,
    types: Sequence[str],
    draw: random.Random,
) -> Place | None:
    """Spoil one of the entities in place and return the characters it touches; None: it cannot."""
    one = entities[at]
    start, end = one["pos"]
    taken = {c for n, e in enumerate(entities) if n != at for c in range(*e["pos"])}
    if way == "wrong_type":
        others = [kind for kind in types if kind != one["type"]]
        one["type"] = draw.choice(others or [one["type"]])
        return (start, end) if others else None
    if way == "spurious":
        del entities[at]
        return start, end

    # A border that moves out must not run into a neighbour, one that moves in must leave a name.
    if way == "wrong_boundary":
        moves = [(a, b) for a in range(-3, 4) for b in range(-3, 4) if (a == 0) != (b == 0)]
        spans = [(start + a, end + b) for a, b in moves]
    # A label where nothing stands.
    else:
        taken |= set(range(start, end))
        spans = [(a, a + size) for size in (2, 3, 4) for a in range(len(sentence) - size + 1)]
    spans = [
        (a, b)
        for a, b in spans
        if 0 <= a < b <= len(sentence) and taken.isdisjoint(range(a, b)) and sentence[a:b].isalnum()
    ]
    if not spans:
        return None
    first, last = draw.choice(spans)
    found = {"name": sentence[first:last], "type": one["type"], "pos": [first, last]}
    if way == "missed":
        entities.append(found)
        return first, last
    entities[at] = found
    return min(first, start), max(last, end)


class Found(NamedTuple):
    """A suspect, and the fault that it names; None where we planted none."""

    suspect: Suspect
    fault: int | None


def matched(found: Sequence[Suspect], faults: Sequence[Fault]) -> list[Found]:
    """Return each suspect with the number of the fault that its characters touch."""
    where = {fault.record: n for n, fault in enumerate(faults)}
    pairs = []
    for one in found:
        at = where.get(one.record)
        spans = [side["pos"] for side in (one.labelled, one.read) if side]
        if at is not None:
            start, end = faults[at].place
            at = at if any(a < end and start < b for a, b in spans) else None
        pairs.append(Found(one, at))
    return pairs


def curve(pairs: Sequence[Found], faults: Sequence[Fault], labels: int) -> None:
    """Print precision and recall at falling doubts, and recall by way."""
    count = Counter(fault.way for fault in faults)
    others = "".join(f" | P at {rate:.0%} planted" for rate in RATES)
    ways = " | ".join(f"R {way} ({count[way]})" for way in WAYS)
    print(f"| doubt 可疑 | named 点名 | P | R{others} | {ways} |")
    print("|---" * (4 + len(RATES) + len(WAYS)) + "|")
    for least in POINTS:
        named = [pair for pair in pairs if pair.suspect.doubt >= least]
        print(f"| {least} | {' | '.join(row(named, faults, labels))} |")
    points = walked(pairs, faults)
    recall = max((r for p, r in points if p >= 0.9), default=0.0)
    precision = max((p for p, r in points if r >= 0.5), default=0.0)
    print(f"\nrecall at precision 0.9: {recall:.3f}; precision at recall 0.5: {precision:.3f}")


def row(named: Sequence[Found], faults: Sequence[Fault], labels: int) -> list[str]:
    """Return the figures of one line of the curve."""
    hit = {pair.fault for pair in named if pair.fault is not None}
    right = sum(pair.fault is not None for pair in named)
    recall, wrong = len(hit) / len(faults), len(named) - right
    ways = Counter(fault.way for fault in faults)
    by_way = Counter(faults[one].way for one in hit)

    # With fewer faults there are fewer to be right about, and as many labels to be wrong about.
    thinner = []
    for rate in RATES:
        fewer = right * rate * labels / len(faults)
        thinner.append(fewer / max(1e-9, fewer + wrong))
    shares = [right / max(1, len(named)), recall, *thinner]
    shares += [by_way[way] / max(1, ways[way]) for way in WAYS]
    return [f"{len(named):,}", *(f"{share:.3f}" for share in shares)]


def walked(pairs: Sequence[Found], faults: Sequence[Fault]) -> list[tuple[float, float]]:
    """Return precision and recall after each suspect, from the worst down.

    >>> one = Suspect(0, "missed", None, None, 0.9)
    >>> fault = Fault(0, "missed", (0, 1))
    >>> walked([Found(one, 0), Found(one, None)], [fault, fault])
    [(1.0, 0.5), (0.5, 0.5)]
    """
    hit, right, points = set(), 0, []
    for number, (_, fault) in enumerate(pairs, 1):
        right += fault is not None
        hit |= {fault} - {None}
        points.append((right / number, len(hit) / len(faults)))
    return points


def labels(options: argparse.Namespace) -> None:
    """Spoil labels of CLUENER, ask for suspects, and print the curve and the worst of the rest."""
    names = card("cluener").type_names or {}
    records = [renamed(one, names) for one in read("cluener", "train", progress=False)]
    records = random.Random(0).sample(records, min(options.records, len(records)))
    made, faults = spoilt(records, SHARE)
    count = sum(len(record["entities"]) for record in made)
    judge = Quality(options.student, print, folds=options.folds, epochs=options.epochs)
    began = time.process_time()
    pairs = matched(judge.suspects(made), faults)
    minutes = (time.process_time() - began) / 60
    print(
        f"{len(made):,} records, {count:,} labels, {len(faults):,} spoilt; {options.folds} folds, "
        f"{options.epochs} epochs, {minutes:.1f} core-minutes in this call\n"
    )
    curve(pairs, faults, count)
    print("\nNamed, not planted: 点了名，不是我们埋的：")
    for pair in [pair for pair in pairs if pair.fault is None][:20]:
        why = {"doubt": pair.suspect.doubt, "suspect": pair.suspect}
        print(f"- {in_words(made[pair.suspect.record], why)}")


def rows(options: argparse.Namespace) -> None:
    """Print what the model of rows finds of each planted fault, with the student's bits or not."""
    everything = list(read("alpaca-chinese", "train", progress=False))
    some = random.Random(0).sample(everything, min(options.rows, len(everything)))
    heads = " | ".join(FAULTS)
    print(f"| bits 比特 | {heads} | rows as they are 原来的行 | core-seconds 核秒 |")
    print("|---" * (3 + len(FAULTS)) + "|")
    for label, bits in (("no 没有", None), ("yes 有", Quality(options.student).bits)):
        began = time.process_time()
        found = judged(some, bits)
        taken = time.process_time() - began
        shares = " | ".join(f"{found.tried[fault][1]:.3f}" for fault in FAULTS)
        print(f"| {label} | {shares} | {found.flagged:.3f} | {taken:.0f} |", flush=True)
    print(f"\n{len(some):,} rows of alpaca-chinese, share found at a doubt of {LEAST}")


def main() -> None:
    """Measure one part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("labels", "rows"))
    parser.add_argument("--student", default="tiny")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--rows", type=int, default=2_000)
    options = parser.parse_args()
    {"labels": labels, "rows": rows}[options.part](options)
    print(f"\n`{options.student}`, {datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {hardware()}")


if __name__ == "__main__":
    main()
