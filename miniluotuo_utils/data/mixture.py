"""Mix sources by a recipe: a small table of sources, numbers and a seed.

In: a recipe and its sources. Out: one shuffled list of instruction rows; the same recipe always
gives the same rows in the same order. Shown in notebook 01.
"""

import csv
import heapq
import json
import re
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import count
from operator import attrgetter
from pathlib import Path

from miniluotuo_utils.choices import choices
from miniluotuo_utils.data.catalog import card
from miniluotuo_utils.data.loading import read
from miniluotuo_utils.data.shelf import Shelf
from miniluotuo_utils.data.steps import TEXTS
from miniluotuo_utils.files import DataError

RECIPES = Path(__file__).parent / "recipes"
USABLE = ("permissive", "share-alike")
# What stands in each column of a recipe, as a pattern and in words.
COLUMNS = {
    "source": (r".+", "a name"),
    "split": (r".+", "a name"),
    "take": (r"all|sample", "all or sample"),
    "rows": (r"\d+", "a number"),
    "seed": (r"\d+", "a number"),
}


@dataclass(frozen=True)
class Portion:
    """One line of a recipe.

    `take` is `all` (the split must hold exactly `rows`) or `sample` (a random `rows` of it).
    """

    source: str
    split: str
    take: str
    rows: int
    seed: int


def recipe(name: str | Path, seed: int | None = None) -> list[Portion]:
    """Return a recipe by name, or by the path of a table like ours; `seed` replaces its own.

    Ours are `embedded`, `cpu`, `t4`, `mini-luotuo-683k` and `mini-luotuo-files`.

    >>> sum(portion.rows for portion in recipe("mini-luotuo-683k"))
    683235
    """
    path = Path(name) if str(name).endswith(".tsv") else RECIPES / f"{name}.tsv"
    if not path.is_file():
        ours = sorted(path.stem for path in RECIPES.glob("*.tsv"))
        raise ValueError(f"no recipe {str(name)!r}; {choices(name, ours)}, or the path of a .tsv")
    with open(path, encoding="utf-8", newline="") as file:
        lines = enumerate(csv.DictReader(file, delimiter="\t"), 2)
        portions = [portion(line, f"{path.name}, line {number}") for number, line in lines]
    return portions if seed is None else [replace(part, seed=seed) for part in portions]


def portion(line: Mapping[str, str | None], place: str) -> Portion:
    """Return one line of a recipe, checked; DataError names the place and the field."""
    for field, (pattern, wanted) in COLUMNS.items():
        value = line.get(field)
        if not re.fullmatch(pattern, value or ""):
            raise DataError(
                f"{place}, field {field}: found {value!r}, expected {wanted}, between tabs"
            )
    return Portion(
        line["source"], line["split"], line["take"], int(line["rows"]), int(line["seed"])
    )


def hash_key(row: Mapping, seed: int | str) -> int:
    """Return a 64-bit hash of the seed and of what the row says.

    Rows are sampled and shuffled by it, so that the order of files does not count.
    """
    said = [str(seed), *(row[field] for field in TEXTS), json.dumps(row.get("history") or [])]
    data = "\x1f".join(said).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest())


def draw(rows: Iterable[Mapping], number: int, seed: int) -> list[dict]:
    """Return the `number` rows with the smallest hash keys: a random sample decided by the seed.

    Only the sample is held in memory, not the rows.

    >>> rows = [{"instruction": str(i), "input": "", "output": ""} for i in range(100)]
    >>> draw(rows, 3, 1) == draw(rows[::-1], 3, 1) != draw(rows, 3, 2)
    True
    """
    shelf = Shelf()
    return list(shelf.pick(drawn(rows, number, seed, shelf)))


def drawn(rows: Iterable[Mapping], number: int, seed: int, shelf: Shelf) -> list[int]:
    """Put on a shelf at least the rows that `draw` returns; return their numbers there."""
    # The largest key in front. Of equal ones, which are equal rows, the later one has to go.
    held: list[tuple[int, int]] = []
    for row in rows if number else ():
        key = -hash_key(row, seed)
        if len(held) < number:
            heapq.heappush(held, (key, -shelf.append(row)))
        elif key > held[0][0]:
            heapq.heapreplace(held, (key, -shelf.append(row)))
    return [-place for _, place in sorted(held, reverse=True)]


def mix(
    portions: Sequence[Portion], sources: Mapping[str, Iterable[Mapping]] | None = None
) -> list[dict]:
    """Return the rows of a recipe, shuffled by their hash keys.

    `sources` gives rows in place of the catalog's, by name. A source that holds another number of
    rows than the recipe states is a DataError.

    >>> rows = [{"instruction": str(i), "input": "", "output": "好"} for i in range(9)]
    >>> mixed = mix([Portion("甲", "train", "sample", 3, 42)], {"甲": rows})
    >>> sorted(row["instruction"] for row in mixed)
    ['1', '3', '8']
    """
    return list(mixed(portions, sources))


def mixed(
    portions: Sequence[Portion], sources: Mapping[str, Iterable[Mapping]] | None = None
) -> Shelf:
    """Return the rows of `mix` on a shelf: memory holds less than a hundred bytes of each."""
    import numpy as np

    shelf, places, keys = Shelf(), array("q"), array("Q")
    # In the order of the sources' names, which decides between equal keys.
    for part in sorted(portions, key=attrgetter("source")):
        given = (sources or {}).get(part.source)
        rows = read(part.source, part.split, progress=False) if given is None else given
        # zip takes a row before its number, so the next number is how many rows there were.
        number = count()
        counted = (row for row, _ in zip(rows, number, strict=False))
        if part.take == "all":
            chosen: Sequence[int] = array("q", map(shelf.append, counted))
        else:
            chosen = drawn(counted, part.rows, part.seed, shelf)
        check_size(part, next(number))
        # Another key than the draw's: by the same one, samples would stand in front of all others.
        for place in chosen:
            places.append(place)
            keys.append(hash_key(shelf[place], f"order {part.seed}"))
    order = np.argsort(np.array(keys, np.uint64), kind="stable")
    return shelf.pick(places[number] for number in order)


def check_size(part: Portion, found: int) -> None:
    """Raise DataError where a source has another number of rows than the recipe states.

    A truncated file would make a smaller mixture under the same name.
    """
    if found < part.rows or (part.take == "all" and found > part.rows):
        wanted = f"{part.rows:,}" if part.take == "all" else f"at least {part.rows:,}"
        raise DataError(
            f"{part.source} {part.split}: found {found:,} rows, the recipe expects {wanted}. "
            "Is the file whole, and of the version that the recipe means? If it is, state its "
            "rows in a recipe of your own: mix(recipe('mine.tsv'))"
        )


def permitted(
    portions: Sequence[Portion], terms: Collection[str] = USABLE
) -> tuple[list[Portion], list[Portion]]:
    """Return the portions whose sources' licences are among `terms`, and those left out.

    `terms` is the catalog's reading of each licence, no legal advice.

    >>> [[p.source for p in side] for side in permitted(recipe("t4"))]
    [['embedded-instructions', 'hikariming', 'oasst-zh'], ['alpaca-chinese']]
    """
    kept = [part for part in portions if card(part.source).terms in terms]
    return kept, [part for part in portions if part not in kept]
