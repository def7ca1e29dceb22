"""Rows and records of a source, from its files to one shape. Shown in notebook 01.

In: a name and a split. Out: rows or records, checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from miniluotuo_utils.data.catalog import Card, card
from miniluotuo_utils.data.download import fetch_all, members
from miniluotuo_utils.data.readers import READERS, Fault, read_file
from miniluotuo_utils.files import DataError, batches, read_jsonl
from miniluotuo_utils.records import map_mentions

if TYPE_CHECKING:
    import datasets

    from miniluotuo_utils.runtime import Runtime


def loadable(name: str, split: str | None = None) -> Card:
    """The card of a source that can be loaded; DataError says where to get one that cannot, ValueError which splits there are."""
    found = card(name)
    if not found.splits:
        raise DataError(
            f"{name}: the catalog has no address to load, only this description. Get it from {found.homepage}. {found.obtain}"
        )
    if split is not None and split not in found.splits:
        raise ValueError(f"{name} has no split {split!r}; it has: {', '.join(found.splits)}")
    return found


def files(
    name: str, split: str | None = None, progress: bool = True, network: bool = True
) -> dict[str, list[Path]]:
    """The local, verified files of a source by split, fetched four at a time, an archive's members in its place.

    Raises FileNotFoundError that lists every file that is missing, and how a person gets it.
    """
    found = loadable(name, split)
    chosen = {s: pins for s, pins in found.splits.items() if split in (None, s)}
    try:
        paths = iter(
            fetch_all([pin for pins in chosen.values() for pin in pins], progress, network)
        )
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{name}: {error}" + (f" {found.obtain}" if found.obtain else "")
        ) from None
    return {
        s: [member for _ in pins for member in members(next(paths))] for s, pins in chosen.items()
    }


def available(name: str, split: str = "train", network: bool = False) -> Path | None:
    """The first file of a source's split where it is at hand (mirror, cache, with `network` the net), else None."""
    try:
        return files(name, split, network=network)[split][0]
    except FileNotFoundError:
        return None


def read(
    name: str,
    split: str,
    progress: bool = True,
    faults: list[Fault] | None = None,
    reader: str | None = None,
) -> Iterator[dict]:
    """The rows or records of one split, one at a time, in constant memory.

    A malformed record raises DataError; with a list `faults` it is put there. `reader` takes another than the card's.
    """
    found = loadable(name, split)
    if (reader or found.reader) is None:
        raise DataError(f"{name}: no reader; `files({name!r})` gives its files as they are")
    for path in files(name, split, progress)[split]:
        yield from read_file(path, READERS[reader or found.reader], name, faults)


def load(
    name: str,
    split: str | None = None,
    errors: Literal["raise", "collect"] = "raise",
    progress: bool = True,
) -> datasets.DatasetDict | datasets.Dataset | tuple[Any, list[Fault]]:
    """A source as a `DatasetDict` by split, or one `Dataset` when `split` is given.

    `errors="raise"` stops at the first malformed record with a DataError that names file, place and reason;
    `errors="collect"` returns `(data, faults)`, the faults beside the data. Raises ValueError for an unknown name or split,
    DataError for a damaged file, FileNotFoundError where a file cannot be had.
    """
    from datasets import DatasetDict

    if errors not in ("raise", "collect"):
        raise ValueError(f'errors is {errors!r}; expected "raise" or "collect"')
    splits = loadable(name, split).splits
    faults: list[Fault] | None = [] if errors == "collect" else None
    tables = {s: table_of(read(name, s, progress, faults)) for s in ([split] if split else splits)}
    data = tables[split] if split else DatasetDict(tables)
    return (data, faults) if errors == "collect" else data


def table_of(rows: Iterable[Mapping]) -> datasets.Dataset:
    """Rows or records as a `Dataset`, a batch of Python objects in memory at a time. A field that some rows lack is null there."""
    import pyarrow as pa
    from datasets import Dataset

    tables = []
    for batch in batches(rows, 10_000):
        fields = dict.fromkeys(field for row in batch for field in row)
        tables.append(pa.table({field: [row.get(field) for row in batch] for field in fields}))
    return Dataset(
        pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})
    )


def from_previous(runtime: Runtime, name: str, split: str) -> list[dict]:
    """A split of a source as notebook 01 left it in `runs/<scale>/data/`, else straight from the catalog, said in one line.

    IE types carry the card's Chinese names.
    """
    path = runtime.path("data", f"{name}_{split}.jsonl")
    if path.is_file():
        return read_jsonl(path)
    print(
        f"runs/{runtime.scale}/data/ 里没有 {path.name}，直接从目录读取。 Notebook 01 left no {path.name}; read from the catalog."
    )
    return [renamed(record, card(name).type_names or {}) for record in read(name, split)]


def renamed(record: dict, names: Mapping[str, str]) -> dict:
    """Return an IE record whose types and roles carry other names; those without one stay.

    >>> record = {"sentence": "高勇", "entities": [{"name": "高勇", "type": "NAME", "pos": [0, 2]}]}
    >>> renamed(record, {"NAME": "姓名"})["entities"]
    [{'name': '高勇', 'type': '姓名', 'pos': [0, 2]}]
    """
    return map_mentions(record, dict, names) if names else record
