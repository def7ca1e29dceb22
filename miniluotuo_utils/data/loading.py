"""Load a source: from its verified files to rows or records of one shape. Shown in notebook 01.

In: a name and a split. Out: rows or records, checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from miniluotuo_utils.data.catalog import Card, card
from miniluotuo_utils.data.download import fetch_all, members
from miniluotuo_utils.data.opening import opened
from miniluotuo_utils.data.readers import READERS, Fault, finished, read_file, read_units
from miniluotuo_utils.data.recognition import reader_of, recognised
from miniluotuo_utils.files import DataError, batches, read_jsonl
from miniluotuo_utils.records import map_mentions

if TYPE_CHECKING:
    import datasets

    from miniluotuo_utils.runtime import Runtime


ANY = "any"  # the reader of a card whose files come in a format that nobody stated


def load(
    name: str,
    split: str | None = None,
    errors: Literal["raise", "collect"] = "raise",
    progress: bool = True,
) -> datasets.DatasetDict | datasets.Dataset | tuple[Any, list[Fault]]:
    """Return a source as a `DatasetDict` by split, or as one `Dataset` when `split` is given.

    `errors="raise"` stops at the first malformed record with a DataError that names file, place
    and reason. `errors="collect"` returns `(data, faults)`. Raises ValueError for an unknown name
    or split, DataError for a damaged file, FileNotFoundError where a file cannot be had.
    """
    from datasets import DatasetDict

    if errors not in ("raise", "collect"):
        raise ValueError(f'errors is {errors!r}; expected "raise" or "collect"')
    faults: list[Fault] | None = [] if errors == "collect" else None
    splits = [split] if split else loadable(name).splits
    tables = {part: table_of(read(name, part, progress, faults)) for part in splits}
    data = tables[split] if split else DatasetDict(tables)
    return data if faults is None else (data, faults)


def loadable(name: str, split: str | None = None) -> Card:
    """Return the card of a source that can be loaded.

    Raises DataError that says where to get a source without addresses, and ValueError that lists
    the splits where `split` is none of them.
    """
    found = card(name)
    if not found.splits:
        raise DataError(
            f"{name}: the catalog has no address to load, only this description. "
            f"Get it from {found.homepage}. {found.obtain}（目录里只有说明，没有地址）"
        )
    if split is not None and split not in found.splits:
        raise ValueError(
            f"{name} has no split {split!r}; it has: {', '.join(found.splits)}（没有这个切分）"
        )
    return found


def read(
    name: str,
    split: str,
    progress: bool = True,
    faults: list[Fault] | None = None,
    reader: str | None = None,
) -> Iterator[dict]:
    """Yield the rows or records of one split, one at a time, in constant memory.

    A malformed record raises DataError; with a list `faults` it is put there instead.
    `reader` takes the place of the card's own.
    """
    found = card(name)
    chosen = reader or found.reader
    if found.splits and chosen is None:
        raise DataError(f"{name}: no reader; `files({name!r})` gives its files as they are")
    rest = f'`load({name!r}, errors="collect")` reads the rest and returns the faults beside it'
    for path in files(name, split, progress)[split]:
        if chosen == ANY:
            yield from inferred(path, name, faults, rest)
        else:
            yield from read_file(path, READERS[chosen], name, faults, rest)


def inferred(path: Path, name: str, faults: list[Fault] | None, rest: str) -> Iterator[dict]:
    """Yield the rows or records of a file whose format no card states: its shape tells."""
    found = recognised(opened(path))
    reader = reader_of(found.reader)
    finish = partial(finished, reader=reader, source=name)
    return read_units(found.units(), reader.convert, finish, path.name, rest, faults)


def files(
    name: str, split: str | None = None, progress: bool = True, network: bool = True
) -> dict[str, list[Path]]:
    """Return the local, verified files of a source by split, an archive as its members.

    Raises FileNotFoundError that lists every file that is missing, and how a person gets it.
    """
    found = loadable(name, split)
    chosen = {part: pins for part, pins in found.splits.items() if split in (None, part)}
    try:
        # All splits in one call: their files are fetched side by side, and all that lack are named.
        paths = iter(
            fetch_all([pin for pins in chosen.values() for pin in pins], progress, network)
        )
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{name}: {error} {found.obtain}".rstrip()) from None
    local = {}
    for part, pins in chosen.items():
        local[part] = [member for _ in pins for member in members(next(paths))]
    return local


def available(name: str, split: str = "train", network: bool = False) -> Path | None:
    """Return the first file of a split if it is at hand: mirror, cache, with `network` the net."""
    try:
        return files(name, split, network=network)[split][0]
    except FileNotFoundError:
        return None


def table_of(rows: Iterable[Mapping]) -> datasets.Dataset:
    """Return rows or records as a `Dataset`; a field that some rows lack is null there.

    Only a batch of rows is held as Python objects at a time.
    """
    import pyarrow as pa
    from datasets import Dataset

    tables = []
    for batch in batches(rows, 10_000):
        columns: dict[str, list] = {field: [] for row in batch for field in row}
        for field, values in columns.items():
            values.extend(row.get(field) for row in batch)
        tables.append(pa.table(columns))
    return Dataset(
        pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})
    )


def from_previous(runtime: Runtime, name: str, split: str) -> list[dict]:
    """Return a split of a source as notebook 01 left it, else from the catalog, which is said once.

    IE types carry the card's Chinese names.
    """
    path = runtime.path("data", f"{name}_{split}.jsonl")
    if path.is_file():
        return read_jsonl(path)
    say_missing(runtime.shown(path.parent))
    return list(read_named(name, split))


@cache
def say_missing(folder: str) -> None:
    """Say, once a folder, that the catalog stands in for what notebook 01 did not leave there."""
    print(
        f"{folder}/ 里缺 01 的数据，缺的直接从来源读取。 "
        "What notebook 01 did not leave there is read from the catalog."
    )


def read_named(name: str, split: str, progress: bool = True) -> Iterator[dict]:
    """Yield a split as `read`, its IE types and roles under the card's Chinese names: how students
    are taught and asked.
    """
    names = card(name).type_names or {}
    return (renamed(record, names) for record in read(name, split, progress))


def renamed(record: dict, names: Mapping[str, str]) -> dict:
    """Return an IE record whose types and roles carry other names; those without one stay.

    >>> person = {"name": "高勇", "type": "NAME", "pos": [0, 2]}
    >>> renamed({"sentence": "高勇", "entities": [person]}, {"NAME": "姓名"})["entities"]
    [{'name': '高勇', 'type': '姓名', 'pos': [0, 2]}]
    """
    return map_mentions(record, dict, names) if names else record
