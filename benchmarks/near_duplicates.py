"""Measure near duplicates: rate against datasketch's, planted recall and precision, cost curve.

    pip install datasketch
    MINILUOTUO_MIRROR=folder python benchmarks/near_duplicates.py [ROWS [LARGEST]]

ROWS, by default 50,000, are planted; the cost curve goes up to LARGEST, by default 1,000,000.

Rows are alpaca-chinese v3 and then hikariming (instruction, input and output together), near
duplicates taken out first. Each gets one planted variant: one edit (a character replaced, dropped
or doubled) per 50 characters, at least one, on rows of 40 characters or more. Both sides run in
one process and one thread, from the text to the answer, shingling included, one after the other;
ratios of the same run.
"""

import os

os.environ["RAYON_NUM_THREADS"] = "1"

import random
import resource
import sys
import time
from itertools import chain

from miniluotuo_utils.data.cleaning import row_parts
from miniluotuo_utils.data.loading import read
from miniluotuo_utils.runtime import commit
from miniluotuo_utils.text import (
    PERMUTATIONS,
    WIDTH,
    NearDuplicates,
    folded,
    jaccard,
    rows_for,
    shingles,
)

THRESHOLD, SHORTEST, EVERY = 0.8, 40, 50


def edited(text: str, draw: random.Random) -> str:
    """`text` with one edit per `EVERY` characters, at least one."""
    characters = list(text)
    for _ in range(max(1, len(text) // EVERY)):
        at = draw.randrange(len(characters))
        kind = draw.choice(("replace", "drop", "double"))
        new = {"replace": draw.choice(text), "drop": "", "double": characters[at] * 2}
        characters[at] = new[kind]
    return "".join(characters)


def planted(count: int) -> list[str]:
    """`count` rows without near duplicates, then a variant of each, in an order of their own."""
    rows = chain(
        read("alpaca-chinese", "train", False, reader="alpaca_parallel_all"),
        read("hikariming", "train", False),
    )
    texts = ["\n".join(row_parts(row)) for row in rows]
    texts = [text for text in texts if len(text) >= SHORTEST]
    matches = NearDuplicates(THRESHOLD).add(texts)
    kept = [text for text, match in zip(texts, matches, strict=True) if match is None][:count]
    draw = random.Random(42)
    return kept + [edited(text, draw) for text in kept]


def ours(texts: list[str]) -> list[int | None]:
    """The number of the earlier text that each repeats, by `miniluotuo_utils.text`."""
    return [match.number if match else None for match in NearDuplicates(THRESHOLD).add(texts)]


def theirs(texts: list[str]) -> list[int | None]:
    """The same by datasketch's MinHash and MinHashLSH, the best estimate among its candidates."""
    from datasketch import MinHash, MinHashLSH

    lsh, kept, found = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS), {}, []
    for number, text in enumerate(texts):
        minhash = MinHash(num_perm=PERMUTATIONS)
        minhash.update_batch([s.encode() for s in shingles(folded(text))])
        near = [(minhash.jaccard(kept[n]), -n) for n in lsh.query(minhash)]
        best = max(near, default=(0.0, 0))
        found.append(-best[1] if best[0] >= THRESHOLD else None)
        if found[-1] is None:
            lsh.insert(number, minhash)
            kept[number] = minhash
    return found


def line(name: str, seconds: float, texts: list[str], found: list[int | None]) -> str:
    """One row of the table: rate, recall of planted pairs, precision of what was flagged."""
    half = len(texts) // 2
    right = sum(match == i for i, match in enumerate(found[half:]))
    flagged = sum(match is not None for match in found)
    sets = [shingles(folded(text)) for text in texts]
    near = [i for i in range(half) if jaccard(sets[i], sets[half + i]) >= THRESHOLD]
    true = sum(found[half + i] == i for i in near)
    return (
        f"| {name} | {seconds:.1f} | {len(texts) / seconds:,.0f} | {right / half:.4f} | "
        f"{true / len(near):.4f} | {right / max(1, flagged):.4f} |"
    )


def peak() -> int:
    """Peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main(count: int = 50_000, largest: int = 1_000_000) -> None:
    texts = planted(count)
    count = len(texts) // 2
    print(
        f"{count:,} rows and {count:,} planted variants, Jaccard of character {WIDTH}-grams >= "
        f"{THRESHOLD}, {PERMUTATIONS} permutations, {PERMUTATIONS // rows_for(THRESHOLD)} bands of "
        f"{rows_for(THRESHOLD)}; commit {commit()}"
    )
    print(
        "| | seconds | rows/s | recall, all planted | recall, planted at or over the threshold | "
        "precision |\n|---|---|---|---|---|---|"
    )
    start = time.perf_counter()
    found = ours(texts)
    mine = time.perf_counter() - start
    print(line("miniluotuo", mine, texts, found), flush=True)
    print(f"peak memory of the whole process so far: {peak():,} MiB")
    start = time.perf_counter()
    found = theirs(texts)
    other = time.perf_counter() - start
    print(line("datasketch", other, texts, found))
    print(f"ratio {other / mine:.1f}\n\n| rows | seconds | rows/s | peak MiB |\n|---|---|---|---|")
    draw, size = random.Random(7), 31_250
    while size <= largest:  # new texts: halves of two rows each, which nearly repeat nothing
        long = [
            texts[draw.randrange(count)][:60] + texts[draw.randrange(count)][-60:]
            for _ in range(size)
        ]
        start = time.perf_counter()
        ours(long)
        seconds = time.perf_counter() - start
        print(f"| {size:,} | {seconds:.1f} | {size / seconds:,.0f} | {peak():,} |", flush=True)
        size *= 2


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
