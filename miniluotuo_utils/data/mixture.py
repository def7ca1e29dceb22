"""Mixtures: a recipe is a small table of sources, numbers and a seed; the same recipe always gives the same rows in the same order.

In: a recipe and its sources. Out: one shuffled list of instruction rows. Shown in notebook 01.
"""

from __future__ import annotations

import csv
import heapq
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from miniluotuo_utils.data.catalog import card
from miniluotuo_utils.data.loading import read
from miniluotuo_utils.data.steps import TEXTS
from miniluotuo_utils.files import DataError

RECIPES = Path(__file__).parent / "recipes"
USABLE = ("permissive", "share-alike")


@dataclass(frozen=True)
class Portion:
    """One line of a recipe: `take` is `all` (the split must hold exactly `rows`) or `sample` (a random `rows` of it)."""

    source: str
    split: str
    take: str
    rows: int
    seed: int


def recipe(name: str | Path, seed: int | None = None) -> list[Portion]:
    """A recipe by name (`embedded`, `cpu`, `t4`, `mini-luotuo-683k`) or by the path of a table like theirs; `seed` in place of its own.

    >>> sum(portion.rows for portion in recipe("mini-luotuo-683k"))
    683235
    """
    path = Path(name) if str(name).endswith(".tsv") else RECIPES / f"{name}.tsv"
    if not path.is_file():
        raise ValueError(
            f"no recipe {str(name)!r}; there are: {', '.join(sorted(p.stem for p in RECIPES.glob('*.tsv')))}, or the path of a .tsv"
        )
    with open(path, encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    portions = [
        portion(line, f"{path.name}, line {number}") for number, line in enumerate(table, 2)
    ]
    return [replace(part, seed=seed) for part in portions] if seed is not None else portions


def portion(line: Mapping[str, str | None], place: str) -> Portion:
    """One line of a recipe, checked; DataError names the place and the field."""
    for field in ("source", "split", "take", "rows", "seed"):
        value = line.get(field)
        if (
            not value
            or (field in ("rows", "seed") and not value.isdigit())
            or (field == "take" and value not in ("all", "sample"))
        ):
            wanted = {"take": "all or sample", "rows": "a number", "seed": "a number"}.get(
                field, "a name"
            )
            raise DataError(
                f"{place}, field {field}: found {value!r}, expected {wanted}, between tabs"
            )
    return Portion(
        line["source"], line["split"], line["take"], int(line["rows"]), int(line["seed"])
    )


def lot(row: Mapping, seed: int | str) -> int:
    """The lot that a row draws: a 64-bit hash of the seed and of what the row says, so that neither file order nor processes count."""
    said = "\x1f".join(
        [str(seed), *(row[field] for field in TEXTS), json.dumps(row.get("history") or [])]
    )
    return int.from_bytes(blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def draw(rows: Iterable[Mapping], count: int, seed: int) -> list[dict]:
    """The `count` rows with the smallest lots: a random sample that depends on the seed alone. Memory: the sample, not the rows.

    >>> rows = [{"instruction": str(i), "input": "", "output": ""} for i in range(100)]
    >>> draw(rows, 3, 1) == draw(rows[::-1], 3, 1) != draw(rows, 3, 2)
    True
    """
    return heapq.nsmallest(count, rows, key=lambda row: lot(row, seed))


def mix(
    portions: Sequence[Portion],
    sources: Mapping[str, Iterable[Mapping]] | None = None,
    exact: bool = True,
    say: Callable[[str], None] | None = None,
) -> list[dict]:
    """The rows of a recipe, shuffled by their lots.

    `sources` gives rows in place of the catalog's, by name. With `exact`, a source that holds another number than the recipe
    states is a DataError; without, `say` is told, and the rows that are there are taken.

    >>> rows = [{"instruction": str(i), "input": "", "output": "好"} for i in range(9)]
    >>> sorted(row["instruction"] for row in mix([Portion("甲", "train", "sample", 3, 42)], {"甲": rows}))
    ['1', '3', '8']
    """
    mixed: list[tuple[str, int, dict]] = []
    for part in portions:
        given = (sources or {}).get(part.source)
        rows = Counted(read(part.source, part.split, progress=False) if given is None else given)
        chosen = list(rows) if part.take == "all" else draw(rows, part.rows, part.seed)
        short = rows.count < part.rows if part.take == "sample" else rows.count != part.rows
        if short:
            words = (
                f"{part.source} {part.split}: found {rows.count:,} rows, the recipe expects {'at least ' if part.take == 'sample' else ''}"
                f"{part.rows:,}. Is the file whole, and of the version that the recipe means? mix(…, exact=False) takes what is there"
            )
            if exact:
                raise DataError(words)
            (say or print)(words)
        mixed.extend((part.source, part.seed, row) for row in chosen)
    # Another lot than the draw's, whose small ones were taken: by the same one, samples would all stand in front.
    return [
        row
        for source, seed, row in sorted(
            mixed, key=lambda entry: (lot(entry[2], f"order {entry[1]}"), entry[0])
        )
    ]


class Counted:
    """An iterable that knows how many items it gave."""

    def __init__(self, rows: Iterable[Mapping]) -> None:
        self.rows, self.count = rows, 0

    def __iter__(self) -> Iterator[Mapping]:
        for row in self.rows:
            self.count += 1
            yield row


def permitted(
    portions: Sequence[Portion], terms: Collection[str] = USABLE
) -> tuple[list[Portion], list[Portion]]:
    """(the portions whose sources' licences are among `terms`, those that are left out).

    `terms` is the catalog's reading of each licence, no legal advice.

    >>> [[p.source for p in side] for side in permitted(recipe("t4"))]
    [['embedded-instructions', 'hikariming', 'oasst-zh'], ['alpaca-chinese']]
    """
    kept = [part for part in portions if card(part.source).terms in terms]
    return kept, [part for part in portions if part not in kept]
