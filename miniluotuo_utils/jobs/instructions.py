"""Write one large instruction set from every extraction source of the catalog that is at hand.

In: names of sources. Out: a folder with `train.jsonl` or `train.parquet`, `stats.json` and the card
`README.md`. Shown in notebook 05b; from a shell: `python -m miniluotuo_utils instructions`.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import field as option
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from miniluotuo_utils.choices import check_choice
from miniluotuo_utils.data.anyfile import open_data, read_any
from miniluotuo_utils.data.catalog import CATALOG, Card, card
from miniluotuo_utils.data.decontamination import evaluation_splits
from miniluotuo_utils.data.loading import read, renamed
from miniluotuo_utils.data.publishing import front_matter
from miniluotuo_utils.data.steps import HAN
from miniluotuo_utils.files import batches, file_sha256, write_jsonl, written_whole
from miniluotuo_utils.ie.instructions import DEFAULT, build_instructions
from miniluotuo_utils.ie.schema import distinct, labels, schema_of
from miniluotuo_utils.ie.slicing import hard_negatives
from miniluotuo_utils.progress import progress_bar
from miniluotuo_utils.records import TASKS
from miniluotuo_utils.runtime import commit
from miniluotuo_utils.text import folded, markdown
from miniluotuo_utils.writing import Touched, claimed

FORMATS = ("jsonl", "parquet")
OWN = "own file"  # the reader of a card that stands for a person's file
BATCH = 5_000  # records, or rows, that are in memory at once

Numbered = tuple[int, dict]  # a record and its place in the split as read, from 0


@dataclass(frozen=True)
class Options:
    """What an instruction set is made of; `instruction_set` says what each option means.

    The command `instructions` has the same options; `metadata` is what its `--help` prints.
    """

    names: Sequence[str] | None = None
    split: str = option(default="train", metadata={"help": "切分 the split of every source"})
    per_type: int | None = option(
        default=None,
        metadata={
            "help": "每类上限 stop taking records of types that stand in so many; left out: never"
        },
    )
    limit: int | None = option(
        default=None, metadata={"help": "每源上限 records of each source at most; left out: all"}
    )
    seed: int = option(default=0, metadata={"help": "随机种子 draws records and templates"})
    style: Literal["json", "yayi", "instructuie", "plain"] = option(
        default="json", metadata={"help": "答案的写法 how answers are written"}
    )
    slice_size: int | str | None = DEFAULT
    pure_negative: float | None = option(
        default=0.25,
        metadata={"help": "空答案比例 largest share of prompts with an empty answer"},
    )
    format: Literal["jsonl", "parquet"] = option(
        default="jsonl", metadata={"help": "文件格式 of the rows"}
    )

    def __post_init__(self) -> None:
        """Raise ValueError for options that make no sense, before anything is read."""
        for name in ("per_type", "limit", "slice_size"):
            value = getattr(self, name)
            if value not in (None, DEFAULT) and not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{name} is {value!r}; expected a whole number of at least 1")
        if isinstance(self.names, str):
            raise ValueError(f"names is the text {self.names!r}; expected a list of names")
        check_choice("format", self.format, FORMATS)
        for name in self.names or ():
            if not set(tasks := source_card(name).tasks) & set(TASKS):
                raise ValueError(
                    f"{name} has the tasks {', '.join(tasks)}; expected one of {', '.join(TASKS)}: "
                    "records of what a text holds, of which rows are made"
                )
        if self.split.split("_")[-1] in ("dev", "test"):
            raise ValueError(
                f"split is {self.split!r}; what stands in an evaluation split "
                "is never made into training rows"
            )


def instruction_set(
    out: Path | str,
    names: Sequence[str] | None = None,
    *,
    say: Callable[[str], None] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> dict:
    """Write the instruction rows of the sources `names` and return the statistics.

    names: of the catalog, or files of IE records in any format; None takes every source of the
      catalog with an extraction task.
    say: called with a line of progress after each source.

    The options and their defaults are the fields of `Options`:

    split: of every source, by default "train".
    limit: at most so many records of each source, drawn by `seed`.
    per_type: a record, in drawn order, is kept while one of its types stands in fewer; frequent
      types may pass it in company of rare ones.
    style, slice_size: as `build_instructions` takes them.
    pure_negative: the largest share of prompts of which no type occurs, by default 0.25.
    format: "jsonl" or "parquet".

    Each source is asked in its own language with the schema and the hard negatives of its own
    `split`. Left out, and counted: records that are malformed, have a type without a name, stand in
    an evaluation split of the sources used (same text but for white space, width, case and
    punctuation), or repeat an earlier sentence. Records that label one given pair are joined by
    sentence and asked only for the relations that they label, never for others: silence says
    nothing there. Sources that cannot be had are listed with the reason.

    Rows stand source by source, in the order of the records, and have three more fields than any
    instruction row: `record` (place in the split as read, from 0), `types` (those asked for) and
    `task`. The folder appears when it is complete; `Taken` (a ValueError) keeps one that is there,
    unless `overwrite` is given and an earlier run wrote all of it. ValueError for a name or an
    option that is unknown, and where no source can be had.
    """
    # What cannot work is refused before an hour of reading.
    chosen = Options(names, **options)
    with claimed([Touched("out", Path(out), "folder")], overwrite):
        return written_set(Path(out), chosen, say, overwrite)


def written_set(
    out: Path, chosen: Options, say: Callable[[str], None] | None, overwrite: bool
) -> dict:
    """Write the set into a place that is free, and return its statistics."""
    names = chosen.names
    # What cannot be had is listed with its reason, and costs nobody the rest.
    wanted = [found for found in CATALOG.values() if set(found.tasks) & set(TASKS)]
    if names is not None:
        wanted = [source_card(name) for name in dict.fromkeys(names)]
    # A file is called by its name: the card goes to others, whose folders are not ours.
    told = None if names is None else [found.name for found in wanted]
    missing = {found.name: unavailable(found, chosen.split) for found in wanted}
    wanted = [found for found in wanted if not missing[found.name]]
    held, unguarded = evaluation_keys(wanted)
    stats = {
        "options": {**asdict(chosen), "names": told},
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit(),
        "absent": {name: reason for name, reason in missing.items() if reason},
        "unguarded": unguarded,
        "sources": [],
    }

    # Source by source, so that no more than one is in memory.
    with written_whole(out, overwrite) as partial:
        partial.mkdir(parents=True)
        file = partial / f"train.{chosen.format}"
        each = (source_rows(found, held, chosen, stats["sources"], say) for found in wanted)
        write_rows(file, chain.from_iterable(each))
        stats["rows"] = sum(one["rows"] for one in stats["sources"])
        if not stats["rows"]:
            # written_whole then leaves no folder, so nobody takes an empty set for a finished one.
            raise ValueError(
                f"no row from {', '.join(names or ['the catalog'])}; not to be had: "
                f"{stats['absent']}. Set MINILUOTUO_MIRROR or name other sources"
            )
        stats["sha256"] = file_sha256(file)
        (partial / "stats.json").write_text(
            json.dumps(stats, ensure_ascii=False, indent=1), encoding="utf-8"
        )
        (partial / "README.md").write_text(instruction_card(stats), encoding="utf-8")
    return stats


def source_card(name: str) -> Card:
    """Return the card of a name of the catalog, or one that stands for a file of IE records."""
    path = Path(name)
    if name in CATALOG or not path.exists():
        return card(name)
    reading = open_data(path, say=None)
    chinese = any(HAN.search(record.get("sentence", "")) for record in islice(reading, 20))
    return Card(
        name=path.name.partition(".")[0],
        title=path.name,
        language="CN" if chinese else "EN",
        domain="",
        tasks=[reading.task or "instruction"],
        made="",
        collections=(),
        licence="没有写明 none stated",
        terms="none stated",
        homepage="",
        citation="自己的文件 a file of one's own",
        records={"stated": None, "verified": None},
        reader=OWN,
        splits={"train": [{"url": str(path)}]},
    )


def records_of(found: Card, split: str, faults: list) -> Iterator[dict]:
    """Yield the records of a split, of a file all that it holds; bad ones go to `faults`."""
    if found.reader == OWN:
        return iter(read_any(found.splits[split][0]["url"], faults=faults, say=None))
    return read(found.name, split, progress=False, faults=faults)


def unavailable(found: Card, split: str) -> str:
    """Return why a split cannot be had, "" where it can."""
    if not found.splits:
        return "目录里只有说明，没有地址 only described, no address"
    if split not in found.splits:
        return f"没有这个切分 no such split: {split} ({', '.join(found.splits)})"
    try:
        next(records_of(found, split, []), None)
    except FileNotFoundError:
        return "文件不在手边，也取不到 files not at hand and not to be had"
    return ""


def key(sentence: str) -> str:
    """Return what sentences that count as the same share."""
    return folded(sentence) or sentence


def evaluation_keys(cards: Sequence[Card]) -> tuple[set[str], list[str]]:
    """Return the keys of the sources' evaluation sentences, and the splits that cannot be had."""
    keys, absent = set(), []
    for found, split in evaluation_splits():
        if found not in cards:
            continue
        try:
            records = read(found.name, split, progress=False, faults=[])
            keys.update(key(record["sentence"]) for record in records)
        except FileNotFoundError:
            absent.append(f"{found.name}/{split}")
    return keys, absent


# ---- rows


def source_rows(
    found: Card,
    held: set[str],
    options: Options,
    sources: list[dict],
    say: Callable[[str], None] | None,
) -> Iterator[dict]:
    """Yield the rows of one source and add the statistics of each of its tasks to `sources`."""
    faults: list = []
    chinese = found.language != "EN"
    records = list(enumerate(records_of(found, options.split, faults)))
    for task, field in TASKS.items():
        mine = [pair for pair in records if field in pair[1]]
        if not mine:
            continue
        # A Chinese prompt asks in Chinese: 人物, where the source writes PER.
        if chinese:
            mine = [(n, renamed(record, found.type_names or {})) for n, record in mine]
        fit, left_out = usable(mine, task, held)
        kept = drawn(fit, task, options.limit, options.per_type, f"{options.seed}:{found.name}")
        left_out["not drawn"] = len(fit) - len(kept)
        stats = {
            "name": found.name,
            "task": task,
            "language": "zh" if chinese else "en",
            "licence": found.licence,
            "terms": found.terms,
            "homepage": found.homepage,
            "citation": found.citation,
            "records": len(mine) + len(faults),
            "left_out": {"malformed": len(faults), **left_out},
            "used": 0,
            "one_pair": sum(is_one_pair(record) for _, record in kept),
            "rows": 0,
            "empty_rows": 0,
            "items": Counter(),
            "asked": Counter(),
        }
        # The card tells what was written, so it is counted on the way out.
        used = set()
        for row, record in told(built(kept, task, options, stats["language"]), len(kept), say):
            count(stats, row, record[field])
            used.add(row["record"])
            yield row | {"source": found.name, "task": task}
        stats["used"] = len(used)
        stats["left_out"]["empty"] = len(kept) - len(used)
        sources.append(stats)
    if say:
        rows = sum(stats["rows"] for stats in sources if stats["name"] == found.name)
        say(f"{found.name}: {rows:,} rows")


def told(
    rows: Iterator[tuple[dict, dict]], total: int, say: Callable | None
) -> Iterator[tuple[dict, dict]]:
    """Pass rows on; with `say`, stderr shows of how many records, of `total`, they are so far."""
    seen = set()
    with progress_bar(total=total, unit="条 records", shown=bool(say)) as said:
        for row, record in rows:
            yield row, record
            seen.add(row["record"])
            said.update(len(seen) - said.n)


def usable(
    records: Sequence[Numbered], task: str, held: set[str]
) -> tuple[list[Numbered], Counter]:
    """Return the records that are asked about, and how many were left out for which reason.

    Records of one sentence that each name what the other lacks are joined.
    """
    field = TASKS[task]
    kept: dict[str, Numbered] = {}
    reasons = ("untyped", "evaluation", "repeated", "no relation", "joined")
    left_out = Counter(dict.fromkeys(reasons, 0))
    for number, record in records:
        # Keyed without punctuation and width: another comma makes no other sentence.
        same = key(record["sentence"])
        first, earlier = kept.get(same, (number, None))
        # A type without a name cannot be asked for, so the record's answer would lack its items.
        if not all(label[-1] for _, label in labels(record, task)):
            left_out["untyped"] += 1
        elif same in held:
            left_out["evaluation"] += 1
        elif is_one_pair(record) and not record[field]:
            left_out["no relation"] += 1
        elif earlier is None:
            kept[same] = number, record
        # Places fit the very same text only, and silence means something else in one-pair.
        elif (record["sentence"], is_one_pair(record)) == (
            earlier["sentence"],
            is_one_pair(earlier),
        ):
            kept[same] = first, earlier | {field: distinct(earlier[field] + record[field])}
            left_out["joined"] += 1
        else:
            left_out["repeated"] += 1
    return list(kept.values()), left_out


def is_one_pair(record: Mapping) -> bool:
    """Tell whether a record labels one given pair of its sentence only."""
    return record.get("annotation") == "one-pair"


def drawn(
    records: Sequence[Numbered],
    task: str,
    limit: int | None,
    per_type: int | None,
    seed: str,
) -> list[Numbered]:
    """Draw at most `limit` records and return them in their order.

    None of them has only types that stand in `per_type` records drawn before it.

    >>> rows = [(n, {"entities": [{"type": kind}]}) for n, kind in enumerate("aaab")]
    >>> [record["entities"][0]["type"] for _, record in drawn(rows, "NER", None, 1, "0")]
    ['a', 'b']
    """
    seen: Counter[str] = Counter()
    kept: list[Numbered] = []
    for number, record in random.Random(seed).sample(records, len(records)):
        kinds = {item["type"] for item in record[TASKS[task]]} or {""}
        if per_type is None or any(seen[kind] < per_type for kind in kinds):
            seen.update(kinds)
            kept.append((number, record))
        if len(kept) == limit:
            break
    return sorted(kept, key=lambda pair: pair[0])


def built(
    records: Sequence[Numbered], task: str, options: Options, language: str
) -> Iterator[tuple[dict, dict]]:
    """Yield the rows of the records, `record` as each is numbered, each with its record."""
    form = {"style": options.style, "language": language, "slice_size": options.slice_size}
    whole = [pair for pair in records if not is_one_pair(pair[1])]
    schema = schema_of((record for _, record in whole), task)
    table = hard_negatives((record for _, record in whole), task)
    for batch in batches(whole if schema else (), BATCH):
        rows = build_instructions(
            [record for _, record in batch],
            task,
            schema,
            # Templates are drawn by the place in a batch, so each batch has a seed of its own.
            f"{options.seed}:{batch[0][0]}",
            hard_negatives=table,
            pure_negative=options.pure_negative,
            **form,
        )
        for row in rows:
            number, record = batch[row["record"]]
            yield row | {"record": number}, record

    # Each is asked for its own types alone: what else holds in the sentence nobody labelled.
    for number, record in records:
        if is_one_pair(record):
            own, seed = schema_of([record], task), f"{options.seed}:{number}"
            for row in build_instructions([record], task, own, seed, **form):
                yield row | {"record": number}, record


def count(stats: dict, row: Mapping, items: Sequence[Mapping]) -> None:
    """Add a row to the statistics of its source; `items` are those of its record."""
    kinds = [item["type"] for item in items if item["type"] in row["types"]]
    stats["rows"] += 1
    stats["empty_rows"] += not kinds
    stats["items"].update(kinds)
    stats["asked"].update(row["types"])


def write_rows(path: Path, rows: Iterable[dict]) -> None:
    """Write rows as JSON Lines or Parquet, as the name of the file says."""
    if path.suffix == ".jsonl":
        write_jsonl(path, rows)
        return
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    fields = dict.fromkeys(("instruction", "input", "output", "source", "task"), pa.string())
    schema = pa.schema({**fields, "record": pa.int64(), "types": pa.list_(pa.string())})
    # Batch by batch: the rows of the whole catalog do not fit into a laptop's memory.
    with ParquetWriter(path, schema) as file:
        for batch in batches(rows, BATCH):
            file.write_table(pa.Table.from_pylist(batch, schema))


# ---- the card

FIELDS_NOTE = (
    "每条：`instruction, input, output, source`，另有 `task`、`record`（在来源切分中的序号，从 0 "
    "起）、`types`（问了哪些类型）。各来源的许可证不同，有的没有写明，以来源为准。\n"
    "*The licences differ by source and some state none; the source decides.*"
)
REASONS_NOTE = (
    "evaluation：句子在所用来源的开发集或测试集里；repeated：同一句重复；joined：同一句的几对关系"
    "合并；empty：没有要找的东西，又超过了空答的份额。只标一对关系的来源，只问标了的关系，"
    "句中别的关系没有标，所以答案可能不全。\n"
    "*evaluation: the sentence stands in a dev or test split of the sources used; repeated: the "
    "same sentence again; joined: pairs of one sentence put together; empty: nothing to find, "
    "beyond the share of empty answers. One-pair sources are asked only for what they label, so "
    "their answers may be incomplete.*"
)
SOURCE_HEAD = (
    "来源 source",
    "任务 task",
    "语言",
    "读入 records",
    "用了 used",
    "只标一对 one-pair",
    "条数 rows",
    "空答 empty",
    "类型 types",
    "许可证 licence",
    "引用 citation",
)


def instruction_card(stats: Mapping) -> str:
    """Return the dataset card: front matter, sources, what was left out, types, options, hash."""
    options, sources, rows = stats["options"], stats["sources"], f"{stats['rows']:,}"
    made = f"{stats['date']}, commit {stats['commit']}"
    file = f"train.{options['format']}"
    front = front_matter(
        stats["rows"],
        file,
        languages=list(dict.fromkeys(source["language"] for source in sources)),
        tasks=("text-generation", "token-classification"),
    )
    left_out = [
        [source["name"], source["task"], *map("{:,}".format, source["left_out"].values())]
        for source in sources
    ]
    return f"""{front}

# 中文信息抽取指令 · Extraction instructions

{rows} 条指令，由 `python -m miniluotuo_utils instructions` 写成。
*{rows} instruction rows, written by `python -m miniluotuo_utils instructions`, {made}.*

{FIELDS_NOTE}

## 来源 · Sources

{markdown(SOURCE_HEAD, [source_line(source) for source in sources])}

## 没有用的记录 · Records left out

{markdown(["来源 source", "任务", *sources[0]["left_out"]], left_out)}

{REASONS_NOTE}
没有读到的评测切分 *evaluation splits not to be had*：{"、".join(stats["unguarded"]) or "无 none"}

## 取不到的来源 · Sources not to be had

{markdown(["来源 source", "原因 reason"], list(stats["absent"].items()))}

## 类型 · Types

<details>

{type_table(sources)}

</details>

## 选项 · Options

{markdown(list(options), [list(map(str, options.values()))])}

`{file}` SHA-256: `{stats["sha256"]}`
"""


def source_line(source: Mapping) -> list[str]:
    """Return a source's line of the card: task, numbers, licence."""
    name, homepage = source["name"], source["homepage"]
    numbers = [source[name] for name in ("records", "used", "one_pair", "rows", "empty_rows")]
    return [
        f"[{name}]({homepage})" if homepage else name,
        source["task"],
        source["language"],
        *(f"{number:,}" for number in numbers),
        str(len(source["asked"])),
        source["licence"],
        source["citation"],
    ]


def type_table(sources: Sequence[Mapping]) -> str:
    """Return every type of every source, with the rows that ask for it and the items they hold."""
    lines = [
        [source["name"], source["task"], kind, f"{rows:,}", f"{source['items'][kind]:,}"]
        for source in sources
        for kind, rows in source["asked"].most_common()
    ]
    return markdown(
        ["来源 source", "任务 task", "类型 type", "问到 rows asking", "标注 items"], lines
    )
