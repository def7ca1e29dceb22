"""One large instruction set from every extraction source of the catalog that is at hand, with its card. Shown in notebook 05.

In: names of sources. Out: a folder with `train.jsonl` or `train.parquet`, `stats.json` and the card `README.md`.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from miniluotuo_utils.data.catalog import CATALOG, Card, card
from miniluotuo_utils.data.decontamination import evaluation_splits
from miniluotuo_utils.data.loading import read, renamed
from miniluotuo_utils.data.publishing import front_matter
from miniluotuo_utils.files import batches, file_sha256, written_whole
from miniluotuo_utils.ie.instructions import DEFAULT, build_instructions
from miniluotuo_utils.ie.schema import distinct, labels, schema_of
from miniluotuo_utils.ie.slicing import hard_negatives
from miniluotuo_utils.records import TASKS
from miniluotuo_utils.runtime import commit
from miniluotuo_utils.text import folded, markdown

FORMATS = ("jsonl", "parquet")
FILES = {"stats.json", "README.md", *(f"train.{ending}" for ending in FORMATS)}
BATCH = 5_000  # records whose rows are in memory at once
NO_ADDRESS, NO_FILES = (
    "目录里只有说明，没有地址 only described, no address",
    "文件不在手边，也取不到 files not at hand and not to be had",
)
NO_SPLIT = "没有这个切分 no such split"


def instruction_set(
    out: Path | str,
    names: Sequence[str] | None = None,
    *,
    split: str = "train",
    per_type: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    style: str = "json",
    slice_size: int | str | None = DEFAULT,
    pure_negative: float | None = 0.25,
    format: str = "jsonl",
    say: Callable[[str], None] | None = None,
) -> dict:
    """Write the instruction rows of the sources `names` (None: every one of the catalog with an extraction task) and return the statistics.

    Each source is asked in its own language with the schema and the confusability of its own `split`. Left out, and counted: records that
    are malformed, have a type without a name, stand in an evaluation split of the sources used (same text but for white space, width, case and
    punctuation), or repeat an earlier sentence. Records that label one given pair are joined by sentence and asked only for the relations that they
    label, never for others: silence says nothing there. Sources that cannot be had are listed with the reason.

    `limit`: at most so many records of each source, drawn by `seed`. `per_type`: a record, in drawn order, is kept while one of its types stands in
    fewer; frequent types may pass it in company of rare ones. `slice_size`: types per prompt, as `build_instructions` takes it. `pure_negative`: the largest share
    of prompts of which no type occurs. Rows stand source by source, in the order of the records, and carry two more fields than any instruction row:
    `record` (place in the split as read, from 0), `types` (those asked for) and `task`. The folder appears whole or not at all; one that is there is
    replaced only if it is such a set. ValueError for a name or an option that is unknown, and where no source can be had.
    """
    options = {k: v for k, v in locals().items() if k not in ("out", "say")}
    check(Path(out), options)
    wanted = (
        [card(name) for name in dict.fromkeys(names)]
        if names is not None
        else [c for c in CATALOG.values() if set(c.tasks) & set(TASKS)]
    )
    absent = {c.name: reason for c in wanted if (reason := unavailable(c, split))}
    wanted = [c for c in wanted if c.name not in absent]
    held, unguarded = evaluation_keys(wanted)
    stats = {
        "options": options,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit(),
        "absent": absent,
        "unguarded": unguarded,
        "sources": [],
    }
    with written_whole(out) as partial:
        partial.mkdir(parents=True)
        with row_writer(partial / f"train.{format}", format) as write:
            for found in wanted:
                stats["sources"] += list(source_rows(found, held, options, write))
                (say or (lambda _: None))(
                    f"{found.name}: {sum(s['rows'] for s in stats['sources'] if s['name'] == found.name):,} rows"
                )
        stats["rows"] = sum(one["rows"] for one in stats["sources"])
        if not stats["rows"]:
            raise ValueError(
                f"no row from {', '.join(names or ['the catalog'])}; not to be had: {absent}. Set MINILUOTUO_MIRROR or name other sources"
            )
        stats["sha256"] = file_sha256(partial / f"train.{format}")
        (partial / "stats.json").write_text(
            json.dumps(stats, ensure_ascii=False, indent=1), encoding="utf-8"
        )
        (partial / "README.md").write_text(instruction_card(stats), encoding="utf-8")
    return stats


def check(out: Path, options: Mapping) -> None:
    """ValueError for options that make no sense, before anything is read, and for a folder that holds something else."""
    for name in ("per_type", "limit", "slice_size"):
        if options[name] not in (None, DEFAULT) and (
            not isinstance(options[name], int) or options[name] < 1
        ):
            raise ValueError(f"{name} is {options[name]!r}; expected a whole number of at least 1")
    if isinstance(options["names"], str):
        raise ValueError(f"names is the text {options['names']!r}; expected a list of names")
    if options["format"] not in FORMATS:
        raise ValueError(f"format is {options['format']!r}; expected one of {', '.join(FORMATS)}")
    for name in options["names"] or ():
        if not set(card(name).tasks) & set(TASKS):
            raise ValueError(
                f"{name} has the tasks {', '.join(card(name).tasks)}; expected one of {', '.join(TASKS)}"
            )
    if options["split"].split("_")[-1] in ("dev", "test"):
        raise ValueError(
            f"split is {options['split']!r}; what stands in an evaluation split is never made into training rows"
        )
    there = (
        {path.name for path in out.iterdir()}
        if out.is_dir()
        else {out.name}
        if out.exists()
        else set()
    )
    if there and not (there <= FILES and "stats.json" in there):
        raise ValueError(
            f"{out.name} is there and is no instruction set; expected a new folder or a set to replace"
        )


def unavailable(found: Card, split: str) -> str:
    """Why a split cannot be had, "" where it can."""
    if not found.splits:
        return NO_ADDRESS
    if split not in found.splits:
        return f"{NO_SPLIT}: {split} ({', '.join(found.splits)})"
    try:
        next(read(found.name, split, progress=False, faults=[]), None)
    except FileNotFoundError:
        return NO_FILES
    return ""


def key(sentence: str) -> str:
    """What sentences that count as the same share."""
    return folded(sentence) or sentence


def evaluation_keys(cards: Sequence[Card]) -> tuple[set[str], list[str]]:
    """The keys of every evaluation sentence of the sources, and the names of the splits that could not be had."""
    keys: set[str] = set()
    absent, used = [], {c.name for c in cards}
    for found, split in evaluation_splits():
        if found.name in used:
            try:
                keys.update(
                    key(record["sentence"])
                    for record in read(found.name, split, progress=False, faults=[])
                )
            except FileNotFoundError:
                absent.append(f"{found.name}/{split}")
    return keys, absent


def source_rows(
    found: Card, held: set[str], options: Mapping, write: Callable[[list[dict]], None]
) -> Iterator[dict]:
    """Write the rows of one source; the statistics of each of its tasks."""
    faults: list = []
    chinese = found.language != "EN"
    records = list(enumerate(read(found.name, options["split"], progress=False, faults=faults)))
    for task, field in TASKS.items():
        mine = [
            (n, renamed(record, found.type_names or {}) if chinese else record)
            for n, record in records
            if field in record
        ]
        if not mine:
            continue
        kept, left_out = usable(mine, task, held)
        kept = drawn(
            kept, task, options["limit"], options["per_type"], f"{options['seed']}:{found.name}"
        )
        left_out["not drawn"] = len(mine) - len(kept) - sum(left_out.values())
        stats = {
            "name": found.name,
            "task": task,
            "language": "zh" if chinese else "en",
            "licence": found.licence,
            "terms": found.terms,
            "records": len(mine) + len(faults),
            "left_out": {"malformed": len(faults), **left_out},
            "used": 0,
            "one_pair": sum(is_one_pair(r) for _, r in kept),
            "rows": 0,
            "empty_rows": 0,
            "items": Counter(),
            "asked": Counter(),
        }
        for batch in built(kept, task, options, stats["language"]):
            write([row | {"source": found.name, "task": task} for row in batch])
            count(stats, batch, dict(kept), task)
        stats["left_out"]["empty"] = len(kept) - stats["used"]
        yield stats


def usable(
    records: Sequence[tuple[int, dict]], task: str, held: set[str]
) -> tuple[list[tuple[int, dict]], Counter]:
    """The numbered records that are asked about, those of one sentence joined, and how many were left out by reason."""
    kept: dict[str, tuple[int, dict]] = {}
    left_out = Counter(
        {"untyped": 0, "evaluation": 0, "repeated": 0, "no relation": 0, "joined": 0}
    )
    for number, record in records:
        same, pair = key(record["sentence"]), is_one_pair(record)
        if any(not label[-1] for _, label in labels(record, task)):
            left_out["untyped"] += 1
        elif same in held:
            left_out["evaluation"] += 1
        elif pair and not record[TASKS[task]]:
            left_out["no relation"] += 1
        elif same not in kept:
            kept[same] = number, record
        elif (
            pair == is_one_pair(kept[same][1]) and kept[same][1]["sentence"] == record["sentence"]
        ):  # each names what the other lacks
            (first, earlier), field = kept[same], TASKS[task]
            kept[same] = first, earlier | {field: distinct(earlier[field] + record[field])}
            left_out["joined"] += 1
        else:
            left_out["repeated"] += 1
    return list(kept.values()), left_out


def is_one_pair(record: Mapping) -> bool:
    """Whether a record labels one given pair of its sentence only."""
    return record.get("annotation") == "one-pair"


def drawn(
    records: Sequence[tuple[int, dict]],
    task: str,
    limit: int | None,
    per_type: int | None,
    seed: str,
) -> list[tuple[int, dict]]:
    """At most `limit` records, none of which has only types that stand in `per_type` drawn before it; in their order.

    >>> rows = [(n, {"entities": [{"type": kind}]}) for n, kind in enumerate("aaab")]
    >>> [record["entities"][0]["type"] for _, record in drawn(rows, "NER", None, 1, "0")]
    ['a', 'b']
    """
    if limit is None and per_type is None:
        return list(records)
    seen: Counter[str] = Counter()
    kept = []
    for number, record in random.Random(seed).sample(records, len(records)):
        kinds = {item["type"] for item in record[TASKS[task]]} or {""}
        if per_type is None or any(seen[kind] < per_type for kind in kinds):
            seen.update(kinds)
            kept.append((number, record))
        if len(kept) == limit:
            break
    return sorted(kept, key=lambda pair: pair[0])


def built(
    records: Sequence[tuple[int, dict]], task: str, options: Mapping, language: str
) -> Iterator[list[dict]]:
    """The rows of the records in batches, `record` as each is numbered."""
    whole = [pair for pair in records if not is_one_pair(pair[1])]
    how = {"style": options["style"], "language": language, "slice_size": options["slice_size"]}
    schema = schema_of((r for _, r in whole), task)
    if schema:
        table = hard_negatives((r for _, r in whole), task)
        for batch in batches(whole, BATCH):
            seed = f"{options['seed']}:{batch[0][0]}"  # wordings go by the place in a batch, so each batch has a seed of its own
            rows = build_instructions(
                [r for _, r in batch],
                task,
                schema,
                seed,
                hard_negatives=table,
                pure_negative=options["pure_negative"],
                **how,
            )
            yield [row | {"record": batch[row["record"]][0]} for row in rows]
    for batch in batches((pair for pair in records if is_one_pair(pair[1])), BATCH):
        rows = (
            row | {"record": n}
            for n, r in batch
            for row in build_instructions(
                [r], task, schema_of([r], task), f"{options['seed']}:{n}", **how
            )
        )
        yield list(rows)


def count(stats: dict, rows: Sequence[Mapping], records: Mapping[int, Mapping], task: str) -> None:
    """Add rows to the statistics of their source: rows, those of which no type occurs, and per type rows and items."""
    stats["rows"] += len(rows)
    stats["used"] += len({row["record"] for row in rows})
    for row in rows:
        kinds = [
            item["type"]
            for item in records[row["record"]][TASKS[task]]
            if item["type"] in row["types"]
        ]
        stats["empty_rows"] += not kinds
        stats["items"].update(kinds)
        stats["asked"].update(row["types"])


@contextmanager
def row_writer(path: Path, format: str) -> Iterator[Callable[[list[dict]], None]]:
    """A function that appends rows to a JSON Lines or Parquet file."""
    if format == "jsonl":
        with open(path, "w", encoding="utf-8") as file:
            yield lambda rows: file.writelines(
                json.dumps(row, ensure_ascii=False) + "\n" for row in rows
            )
        return
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    fields = {
        **dict.fromkeys(("instruction", "input", "output", "source", "task"), pa.string()),
        "record": pa.int64(),
        "types": pa.list_(pa.string()),
    }
    schema = pa.schema(fields)
    with ParquetWriter(path, schema) as file:
        yield lambda rows: file.write_table(pa.Table.from_pylist(rows, schema))


def instruction_card(stats: Mapping) -> str:
    """The data set's card in the hub's form: sources and licences, what was left out, types, options, hash."""
    options, sources = stats["options"], stats["sources"]
    front = front_matter(
        stats["rows"],
        f"train.{options['format']}",
        languages=list(dict.fromkeys(source["language"] for source in sources)),
        tasks=("text-generation", "token-classification"),
    )
    reasons = list(sources[0]["left_out"])
    return "\n".join(
        [
            front + "\n",
            f"# 中文信息抽取指令 · Extraction instructions\n\n{stats['rows']:,} 条指令，由 `python -m miniluotuo_utils instructions` 写成。",
            f"*{stats['rows']:,} instruction rows, written by `python -m miniluotuo_utils instructions`, {stats['date']}, commit {stats['commit']}.*\n",
            "每条：`instruction, input, output, source`，另有 `task`、`record`（在来源切分中的序号，从 0 起）、`types`（问了哪些类型）。各来源的许可证不同，"
            "有的没有写明，以来源为准。",
            "*The licences differ by source and some state none; the source decides.*\n",
            "## 来源 · Sources\n",
            source_table(sources),
            "\n## 没有用的记录 · Records left out\n",
            markdown(
                ["来源 source", "任务", *reasons],
                [
                    [s["name"], s["task"], *(f"{s['left_out'][r]:,}" for r in reasons)]
                    for s in sources
                ],
            ),
            "\nevaluation：句子在所用来源的开发集或测试集里；repeated：同一句重复；joined：同一句的几对关系合并；empty：没有要找的东西，又超过了空答的份额。只标一对关系的来源，只问标了的关系，"
            "句中别的关系没有标，所以答案可能不全。",
            "*evaluation: the sentence stands in a dev or test split of the sources used; repeated: the same sentence again; joined: pairs of one "
            "sentence put together; empty: nothing to find, beyond the share of empty answers. One-pair sources are asked only for what they label, so their answers may be incomplete.*\n",
            f"没有读到的评测切分 *evaluation splits not to be had*：{'、'.join(stats['unguarded']) or '无 none'}\n",
            "## 取不到的来源 · Sources not to be had\n",
            markdown(
                ["来源 source", "原因 reason"],
                [[name, reason] for name, reason in stats["absent"].items()],
            ),
            "\n## 类型 · Types\n",
            "<details>\n",
            type_table(sources),
            "\n</details>\n",
            "## 选项 · Options\n",
            markdown(list(options), [[str(value) for value in options.values()]]),
            f"\n`train.{options['format']}` SHA-256: `{stats['sha256']}`\n",
        ]
    )


def source_table(sources: Sequence[Mapping]) -> str:
    """Sources with their tasks, numbers and licences."""
    head = [
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
    ]
    return markdown(
        head,
        [
            [
                f"[{s['name']}]({CATALOG[s['name']].homepage})",
                s["task"],
                s["language"],
                *(f"{s[k]:,}" for k in ("records", "used", "one_pair", "rows", "empty_rows")),
                str(len(s["asked"])),
                s["licence"],
                CATALOG[s["name"]].citation,
            ]
            for s in sources
        ],
    )


def type_table(sources: Sequence[Mapping]) -> str:
    """Every type of every source with the rows that ask for it and the items that they hold."""
    return markdown(
        ["来源 source", "任务 task", "类型 type", "问到 rows asking", "标注 items"],
        [
            [s["name"], s["task"], kind, f"{n:,}", f"{s['items'][kind]:,}"]
            for s in sources
            for kind, n in s["asked"].most_common()
        ],
    )
