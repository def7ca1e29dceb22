"""The catalog: one card per source, and `load`, which turns a card into a table.

In: a name. Out: a `datasets` table of instruction rows or IE records. Shown in notebook 01.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from miniluotuo_utils.data.download import fetch_all, members
from miniluotuo_utils.data.readers import READERS, Fault, read_file
from miniluotuo_utils.records import TASKS, DataError, batches, read_jsonl

if TYPE_CHECKING:
    import datasets

    from miniluotuo_utils.runtime import Runtime

CARDS = Path(__file__).parent / "cards"
TERMS = ("permissive", "share-alike", "non-commercial", "none stated", "contradictory", "not looked up")


@dataclass(frozen=True)
class Card:
    """One source as it describes itself.

    `licence` is what the source states, `terms` our reading of it (one of `TERMS`). `records` holds the number that the
    source states and the number that our reader counted in the real files. `splits` maps a split to its files, each
    `{"url", "bytes", "sha256"}`; a null there was never read from the real file. `obtain` says how a person gets a source
    without addresses. `type_names` gives Chinese names to types that the source writes in English, one each.
    """

    name: str
    title: str
    language: str
    domain: str
    tasks: tuple[str, ...]
    made: str
    collections: tuple[str, ...]
    licence: str
    terms: str
    homepage: str
    citation: str
    records: Mapping[str, int | None]
    reader: str | None
    splits: Mapping[str, tuple[Mapping, ...]]
    obtain: str = ""
    note: str = ""
    type_names: Mapping[str, str] | None = None

    @property
    def pins(self) -> list[Mapping]:
        """Every file of the card."""
        return [pin for files in self.splits.values() for pin in files]

    @property
    def state(self) -> str:
        """`embedded`, `verified` (each file has a size and a SHA-256 that somebody read from it), `unverified`, `manual`, `described`."""
        if not self.pins:
            return "described"
        schemes = {pin["url"].split(":")[0] for pin in self.pins}
        if schemes == {"package"}:
            return "embedded"
        if all(pin["bytes"] and pin["sha256"] for pin in self.pins):
            return "verified"
        return "manual" if schemes == {"manual"} else "unverified"


def read_catalog(folder: Path = CARDS) -> dict[str, Card]:
    """Every card of a folder by name."""
    cards = {}
    for path in sorted(folder.glob("*.json")):
        value = json.loads(path.read_text(encoding="utf-8"))
        lists = {"splits": {split: tuple(files) for split, files in value["splits"].items()},
                 "tasks": tuple(value["tasks"]), "collections": tuple(value["collections"])}  # fmt: skip
        cards[value["name"]] = Card(**value | lists)
    return cards


CATALOG = read_catalog()


STATES = {"embedded": "随包 embedded", "verified": "已核实 verified", "unverified": "未核实 unverified",
          "manual": "自取 by hand", "described": "仅说明 described"}  # fmt: skip
ORDER = ("instruction", "NER", "RE", "EE", "topics", "tokenizer")


def catalog_table(cards: Mapping[str, Card] = CATALOG) -> list[dict[str, str]]:
    """The catalog as it is shown in the notebook and in the READMEs: one dict of texts per card, instruction data first.

    >>> [row["名字 name"] for row in catalog_table({"resume": CATALOG["resume"]})]
    ['resume']
    """

    def count(number: int | None) -> str:
        return f"{number:,}" if number is not None else "—"

    ordered = sorted(cards.values(), key=lambda c: (ORDER.index(c.tasks[0]), c.state == "described", c.name))
    return [
        {"名字 name": c.name, "数据集 data set": c.title, "语言": c.language, "领域": c.domain, "任务 tasks": "、".join(c.tasks),
         "声明条数 stated": count(c.records["stated"]), "核对条数 counted": count(c.records["verified"]), "做法 made": c.made,
         "许可证 licence": c.licence, "文件 files": STATES[c.state]}
        for c in ordered
    ]  # fmt: skip


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    >>> print(markdown(["名字", "条数"], [["resume", "4,761"]]))
    | 名字 | 条数 |
    | --- | --- |
    | resume | 4,761 |
    """
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def card(name: str) -> Card:
    """The card of that name; ValueError lists the names there are."""
    if name not in CATALOG:
        raise ValueError(f"no data set {name!r} in the catalog; there are: {', '.join(CATALOG)}")
    return CATALOG[name]


def loadable(name: str, split: str | None = None) -> Card:
    """The card of a source that can be loaded; DataError says where to get one that cannot, ValueError which splits there are."""
    found = card(name)
    if not found.splits:
        raise DataError(f"{name}: the catalog has no address to load, only this description. Get it from {found.homepage}. {found.obtain}")
    if split is not None and split not in found.splits:
        raise ValueError(f"{name} has no split {split!r}; it has: {', '.join(found.splits)}")
    return found


def files(name: str, split: str | None = None, progress: bool = True, network: bool = True) -> dict[str, list[Path]]:
    """The local, verified files of a source by split, fetched four at a time, an archive's members in its place.

    Raises FileNotFoundError that lists every file that is missing, and how a person gets it.
    """
    found = loadable(name, split)
    chosen = {s: pins for s, pins in found.splits.items() if split in (None, s)}
    try:
        paths = iter(fetch_all([pin for pins in chosen.values() for pin in pins], progress, network))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{name}: {error}" + (f" {found.obtain}" if found.obtain else "")) from None
    return {s: [member for _ in pins for member in members(next(paths))] for s, pins in chosen.items()}


def read(name: str, split: str, progress: bool = True, faults: list[Fault] | None = None, reader: str | None = None) -> Iterator[dict]:
    """The rows or records of one split, one at a time, in constant memory.

    A malformed record raises DataError; with a list `faults` it is put there. `reader` takes another than the card's.
    """
    found = loadable(name, split)
    if (reader or found.reader) is None:
        raise DataError(f"{name}: no reader; `files({name!r})` gives its files as they are")
    for path in files(name, split, progress)[split]:
        yield from read_file(path, READERS[reader or found.reader], name, faults)


def load(
    name: str, split: str | None = None, errors: Literal["raise", "collect"] = "raise", progress: bool = True
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
    return Dataset(pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({}))


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
    """An IE record whose types and roles carry other names; those without one stay.

    >>> renamed({"sentence": "高勇", "entities": [{"name": "高勇", "type": "NAME", "pos": [0, 2]}]}, {"NAME": "姓名"})["entities"]
    [{'name': '高勇', 'type': '姓名', 'pos': [0, 2]}]
    """

    def new(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {k: new(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [new(v) for v in value]
        return names.get(value, value) if key in ("type", "role") else value

    return record | {f: new(record[f]) for f in TASKS.values() if record.get(f) is not None} if names else record
