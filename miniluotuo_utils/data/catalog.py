"""The catalog: one pinned card per source, and `load`, which turns a card into a table.

In: a name. Out: a `datasets` table of instruction rows or IE records. Shown in notebook 01.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from miniluotuo_utils.data.download import fetch
from miniluotuo_utils.data.readers import READERS
from miniluotuo_utils.records import TASKS, DataError, read_jsonl

if TYPE_CHECKING:
    import datasets

    from miniluotuo_utils.runtime import Runtime

CARDS = Path(__file__).parent / "cards"


@dataclass(frozen=True)
class Card:
    """One source as it describes itself. `licence` is what the source states; `records` what it states and what we counted.

    `type_names` gives Chinese names to types that the source writes in English, one each, for prompts and pictures.
    `splits` maps a split to its files, each `{"url", "bytes", "sha256"}`; a null there was never read from the real file.
    """

    name: str
    title: str
    language: str
    tasks: tuple[str, ...]
    made: str
    licence: str
    homepage: str
    records: Mapping[str, int | None]
    reader: str | None
    splits: Mapping[str, tuple[Mapping, ...]]
    note: str = ""
    type_names: Mapping[str, str] | None = None

    @property
    def verified(self) -> bool:
        """Whether every file of the card carries a byte count and a SHA-256 that somebody read from it."""
        return bool(self.splits) and all(f["bytes"] and f["sha256"] for files in self.splits.values() for f in files)

    @property
    def embedded(self) -> bool:
        """Whether the data travels inside the package."""
        return any(f["url"].startswith("package:") for files in self.splits.values() for f in files)


def read_catalog(folder: Path = CARDS) -> dict[str, Card]:
    """Every card of a folder by name."""
    cards = {}
    for path in sorted(folder.glob("*.json")):
        value = json.loads(path.read_text(encoding="utf-8"))
        splits = {split: tuple(files) for split, files in value["splits"].items()}
        cards[value["name"]] = Card(**value | {"splits": splits, "tasks": tuple(value["tasks"])})
    return cards


CATALOG = read_catalog()


def card(name: str) -> Card:
    """The card of that name; ValueError lists the names there are."""
    if name not in CATALOG:
        raise ValueError(f"no data set {name!r} in the catalog; there are: {', '.join(CATALOG)}")
    return CATALOG[name]


def loadable(name: str) -> Card:
    """The card of a source whose files have an address; DataError says where to get one that has none."""
    found = card(name)
    if not found.splits:
        raise DataError(f"{name}: no file of it could be verified here, so the catalog has no address to load. "
                        f"Get it from {found.homepage}")  # fmt: skip
    return found


def files(name: str, progress: bool = True, network: bool = True) -> dict[str, list[Path]]:
    """The local, verified files of a source by split, fetched four at a time."""
    with ThreadPoolExecutor(4) as pool:
        return {s: list(pool.map(lambda pin: fetch(pin, progress, network), pins)) for s, pins in loadable(name).splits.items()}


def read(name: str, split: str, progress: bool = True) -> Iterator[dict]:
    """The rows or records of one split, one at a time."""
    reader = READERS[card(name).reader]
    return chain.from_iterable(reader(path, name) for path in files(name, progress)[split])


def load(name: str, split: str | None = None, progress: bool = True) -> datasets.DatasetDict | datasets.Dataset:
    """A source as a `DatasetDict` by split, or one `Dataset` when `split` is given.

    Raises ValueError for an unknown name or split, DataError for a damaged file or record, FileNotFoundError where a
    file cannot be had.
    """
    from datasets import Dataset, DatasetDict

    splits = loadable(name).splits
    if split is not None and split not in splits:
        raise ValueError(f"{name} has no split {split!r}; it has: {', '.join(splits) or 'none that can be loaded'}")
    tables = {s: Dataset.from_list(list(read(name, s, progress))) for s in ([split] if split else splits)}
    return tables[split] if split else DatasetDict(tables)


def handed(runtime: Runtime, name: str, split: str) -> list[dict]:
    """A split of a source as notebook 01 left it in `runs/<scale>/data/`, else straight from the catalog, said in one line.

    IE types carry the card's Chinese names.
    """
    path = runtime.path("data", f"{name}_{split}.jsonl")
    if path.is_file():
        return read_jsonl(path)
    print(f"runs/{runtime.scale}/data/ 里没有 {path.name}，直接从目录读取。 Notebook 01 left no {path.name}; read from the catalog.")
    return [renamed(record, card(name).type_names or {}) for record in read(name, split)]


def renamed(record: dict, names: Mapping[str, str]) -> dict:
    """An IE record whose types carry other names; types without one stay.

    >>> renamed({"sentence": "高勇", "entities": [{"name": "高勇", "type": "NAME", "pos": [0, 2]}]}, {"NAME": "姓名"})["entities"]
    [{'name': '高勇', 'type': '姓名', 'pos': [0, 2]}]
    """
    fields = [f for f in TASKS.values() if record.get(f) is not None]
    return record | {f: [item | {"type": names.get(item["type"], item["type"])} for item in record[f]] for f in fields}
