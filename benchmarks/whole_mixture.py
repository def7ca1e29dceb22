"""Send a made-up mixture of the real size through clean, mix, encode, pack and two training steps.

    python benchmarks/whole_mixture.py FOLDER [--rows N ...] [--results FILE]

Five files stand in for the five sources of the recipe `mini-luotuo-683k`: in their native formats,
in their proportions, with texts of about their lengths. Those of Alpaca's kind have the lengths
that were counted in alpaca-chinese v3 and in 1,000 rows of alpaca-zh; COIG's follow from the size
of its files; those of the two scraped sources, which were not at hand, are guessed. The texts are
clauses of our own in a random order. Some rows are planted: two in a hundred repeat another one,
one asks the same in other words, one in two hundred has no answer.

Each stage runs in a process of its own and leaves its figures in FOLDER; what has some is not run
again. Prints a Markdown table for each number of rows: rows, seconds of all cores, which hardly
depend on what else the machine does, rows per such second, peak memory (resident set) and how much
of it files were mapped to, where that was watched; and by how many bytes the peak without these
grows with a row from the first number to the last; and the bytes that each row takes in FOLDER.
That is about 4 GB for the whole number. `--results` keeps the same figures as JSON: `on_paper.py`
goes on from them.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from full_size import status
from results import hardware

from miniluotuo_utils.files import iter_jsonl, read_jsonl, write_jsonl, written_whole
from miniluotuo_utils.runtime import EMBEDDED, commit

WHOLE = 683_235
LENGTH = 512  # tokens of a row, at most; a packed sequence has twice as many
MIB = 1 << 20
WATCHED = 0.05  # seconds between two looks at the memory


class Texts(NamedTuple):
    """Lengths in characters: mean and deviation of their logarithm, and the share of rows that have
    such a text at all."""

    mean: float
    deviation: float
    share: float = 1.0


class Source(NamedTuple):
    """A source of the recipe: its rows there, the fields of its format, and their texts."""

    rows: int
    fields: tuple[str, str, str]
    asked: Texts
    given: Texts
    answered: Texts


ALPACA = ("instruction", "input", "output")
# Counted in alpaca-chinese v3 (47,485 rows) and in a sample of alpaca-zh (1,000 rows).
ASKED, GIVEN = Texts(2.79, 0.35), Texts(2.61, 0.94, 0.37)
SOURCES = {
    "luotuo-all": Source(168_886, ALPACA, ASKED, GIVEN, Texts(3.89, 1.23)),
    "alpaca-gpt4-zh": Source(48_818, ALPACA, ASKED, Texts(3.08, 0.71, 0.14), Texts(4.84, 1.07)),
    # 850 bytes a row in the translated part.
    "coig": Source(
        165_531,
        ("trans_instruction", "trans_input", "trans_output"),
        Texts(3.6, 0.5),
        Texts(3.5, 0.7, 0.5),
        Texts(5.0, 0.7),
    ),
    "baike2018qa": Source(
        150_000, ("title", "desc", "answer"), Texts(2.7, 0.4), Texts(3.3, 0.6, 0.5), Texts(5.0, 0.7)
    ),
    "webtext2019zh": Source(
        150_000,
        ("title", "desc", "content"),
        Texts(3.0, 0.4),
        Texts(3.5, 0.7, 0.5),
        Texts(4.8, 0.9),
    ),
}
LONGEST = 1_500  # characters: what is over 2,000 would be taken out


# ---- rows that are made up


@cache
def clauses() -> list[str]:
    """Return short pieces of our own sentences."""
    texts = (EMBEDDED / "unlabelled.txt").read_text(encoding="utf-8").splitlines()
    texts += [row["output"] for row in read_jsonl(EMBEDDED / "bank.jsonl")]
    pieces = (piece for text in texts for piece in re.split(r"[，。！？；：、\s]", text))
    return sorted({piece for piece in pieces if re.fullmatch("[\u4e00-\u9fff]{4,14}", piece)})


def text_of(chance: random.Random, lengths: Texts) -> str:
    """Return clauses put together to a random length, "" where the row has no such text."""
    if chance.random() >= lengths.share:
        return ""
    wanted = min(math.exp(chance.gauss(lengths.mean, lengths.deviation)), LONGEST)
    pieces = [chance.choice(clauses())]
    while sum(map(len, pieces)) + len(pieces) < wanted:
        pieces.append(chance.choice(clauses()))
    return "，".join(pieces) + "。"


def texts_of(name: str, number: int) -> tuple[str, str, str]:
    """Return question, input and answer of a row, in which it may repeat an earlier one."""
    source, chance = SOURCES[name], random.Random(f"{name} {number}")
    match number % 100:
        case 24 | 74:
            asked, given, answer = texts_of(name, number - 7)
            return asked.replace("，", " "), given, answer
        case 49:
            asked, given, answer = texts_of(name, number - 7)
            return f"请{asked}", given, answer
    # Its number makes every question another one.
    asked = f"{name}第{number}题，{text_of(chance, source.asked)}"
    answer = "" if number % 200 == 99 else text_of(chance, source.answered)
    return asked, text_of(chance, source.given), answer


def native(name: str, count: int) -> Iterator[dict]:
    """Yield the rows of a source in its format."""
    for number in range(count):
        yield dict(zip(SOURCES[name].fields, texts_of(name, number), strict=True))


def counts(rows: int) -> dict[str, int]:
    """Return how many of so many rows each source has.

    >>> sum(counts(WHOLE).values()), counts(2_000)["coig"]
    (683235, 485)
    """
    return {name: round(source.rows * rows / WHOLE) for name, source in SOURCES.items()}


# ---- stages: rows in, rows out


def make(folder: Path, rows: int) -> tuple[int, int]:
    """Write the five files."""
    wanted = counts(rows)
    for name, count in wanted.items():
        write_jsonl(folder / f"{name}.json", native(name, count))
    return 0, sum(wanted.values())


def clean(folder: Path, rows: int, name: str) -> tuple[int, int]:
    """Clean a file with every step, near duplicates too."""
    from miniluotuo_utils.data.catalog import card
    from miniluotuo_utils.data.cleaning import sieved
    from miniluotuo_utils.data.readers import READERS, read_file

    read = read_file(folder / f"{name}.json", READERS[card(name).reader], name)
    kept, report = sieved(read)
    write_jsonl(folder / f"{name}.clean.jsonl", kept)
    print(name, {step: n for step, n in report.removed.items() if n}, file=sys.stderr)
    return report.before, report.after


def mix(folder: Path, rows: int) -> tuple[int, int]:
    """Mix what is left by the recipe, with the numbers of rows that are left."""
    from miniluotuo_utils.data.mixture import mixed, recipe

    paths = {name: folder / f"{name}.clean.jsonl" for name in SOURCES}
    left = {name: sum(1 for _ in iter_jsonl(path)) for name, path in paths.items()}
    parts = [
        replace(part, rows=left[part.source], take="all") for part in recipe("mini-luotuo-683k")
    ]
    found = mixed(parts, {name: iter_jsonl(path) for name, path in paths.items()})
    return sum(left.values()), write_jsonl(folder / "mixture.jsonl", found)


def encode(folder: Path, rows: int) -> tuple[int, int]:
    """Encode the mixture for the embedded student."""
    return encoded(folder, None)


def pack(folder: Path, rows: int) -> tuple[int, int]:
    """Encode and pack it, which is one run over the rows."""
    return encoded(folder, 2 * LENGTH)


def encoded(folder: Path, packed: int | None) -> tuple[int, int]:
    """Write the token rows, packed where asked."""
    from miniluotuo_utils.students import load_student
    from miniluotuo_utils.tokens import encoded_dataset

    tokenizer = load_student("tiny").tokenizer
    how = {"packed": packed, "cache": folder / "tokens"}
    _, report = encoded_dataset(folder / "mixture.jsonl", tokenizer, LENGTH, **how)
    return report["rows"], report["sequences"]


def train(folder: Path, rows: int) -> tuple[int, int]:
    """Train the embedded student for two steps on the encoded rows."""
    from miniluotuo_utils.students import finetune, load_student
    from miniluotuo_utils.tokens import encoded_dataset

    student = load_student("tiny")
    found, report = encoded_dataset(
        folder / "mixture.jsonl", student.tokenizer, LENGTH, cache=folder / "tokens"
    )
    assert report["from_cache"], "the rows were encoded again"
    finetune(student, found, max_steps=2, max_length=LENGTH, folder=folder / "training")
    return len(found), len(found)


STAGES = {
    "make": make,
    **{f"clean {name}": partial(clean, name=name) for name in SOURCES},
    **{one.__name__: one for one in (mix, encode, pack, train)},
}


# ---- all of them


def measured(stage: str, folder: Path, rows: int) -> dict[str, float]:
    """Return the figures of a stage from its file; run it in a process where there is none."""
    path = folder / f"{stage}.figures.json"
    if not path.is_file():
        command = [sys.executable, __file__, str(folder), "--stage", stage, "--rows", str(rows)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        with written_whole(path) as partial:
            partial.write_text(done.stdout.splitlines()[-1], encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def run(stage: str, folder: Path, rows: int) -> dict[str, float]:
    """Run a stage in this process; return its rows in and out, core-seconds and peak memory."""
    began, mapped = time.process_time(), [0]
    Thread(target=watch_mapped, args=(mapped,), daemon=True).start()
    before, after = STAGES[stage](folder, rows)
    seconds = time.process_time() - began
    memory = {"peak": status("VmHWM"), "mapped": mapped[0]}
    return {"in": before, "out": after, "seconds": seconds} | memory


def watch_mapped(most: list[int]) -> None:
    """Keep the largest part of the memory that files are mapped to, as long as the process lives.

    The system takes such pages back when it needs them.
    """
    while True:
        most[0] = max(most[0], status("RssFile"))
        time.sleep(WATCHED)


def own_memory(one: dict[str, float]) -> float:
    """Return the peak of a stage without the pages of mapped files.

    >>> own_memory({"peak": 900, "mapped": 400}), own_memory({"peak": 900})
    (500, 900)
    """
    return one["peak"] - one.get("mapped", 0)


def main(folder: Path, sizes: list[int], results: Path | None = None) -> None:
    """Print the table; keep the figures where a file is named."""
    head = [
        "stage 阶段",
        "rows in 读入行",
        "rows out 写出行",
        "core-seconds 核秒",
        "rows per core-second 行/核秒",
    ]
    head += ["peak MiB 内存峰值", "mapped from files 其中映射自文件"]
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    found, on_disk = {}, {}
    for size in sizes:
        place = folder / str(size)
        place.mkdir(parents=True, exist_ok=True)
        for stage in STAGES:
            one = found[size, stage] = measured(stage, place, size)
            rate = max(one["in"], one["out"]) / one["seconds"]
            cells = [stage, f"{one['in']:,}", f"{one['out']:,}", f"{one['seconds']:.0f}"]
            cells += [f"{rate:,.0f}", f"{one['peak'] / MIB:,.0f}"]
            cells += [f"{one['mapped'] / MIB:,.0f}" if "mapped" in one else "–"]
            print(f"| {' | '.join(cells)} |", flush=True)
    first, last = sizes[0], sizes[-1]
    for stage in STAGES if first < last else ():
        more = own_memory(found[last, stage]) - own_memory(found[first, stage])
        print(f"\n{stage}: {more / (last - first):,.0f} bytes a row", end="")
    for size in sizes:
        on_disk[size] = sum(file.stat().st_size for file in (folder / str(size)).rglob("*"))
        print(f"\n{size:,} rows on disk: {on_disk[size] / size:,.0f} bytes a row", end="")
    said = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit(), "hardware": hardware()}
    print(f"\n\n{said['date']}, commit {said['commit']}, {said['hardware']}")
    if results:
        figures = [{"rows": size, "stage": stage} | one for (size, stage), one in found.items()]
        with written_whole(results) as path:
            text = json.dumps(said | {"disk": on_disk, "stages": figures}, indent=1)
            path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[WHOLE // 10, WHOLE])
    parser.add_argument("--results", type=Path)
    parser.add_argument("--stage", choices=STAGES)
    asked = parser.parse_args()
    if asked.stage:
        print(json.dumps(run(asked.stage, asked.folder, asked.rows[0])))
    else:
        main(asked.folder, asked.rows, asked.results)
