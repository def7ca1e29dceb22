"""Millions of rows to token rows on disk: in several processes, in bounded memory, and read again while nothing has changed.

In: rows or JSON Lines files. Out: a `datasets.Dataset` and a report. A cache entry is a folder named after the sha256 of all that
its content depends on.
"""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from miniluotuo_utils.files import iter_jsonl, remove, written_whole
from miniluotuo_utils.prompts import prompt
from miniluotuo_utils.records import check_row
from miniluotuo_utils.tokens.encoding import (
    IGNORED,
    Encoded,
    Options,
    check_tokenizer,
    encode_checked,
)
from miniluotuo_utils.tokens.packing import pack_stream
from miniluotuo_utils.tokens.vocabulary import spread

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

CHUNK = 4096  # rows per task
BATCH = 1024  # rows or packed sequences per record batch


def encoded_dataset(
    rows: Sequence[Mapping] | Path | Sequence[Path],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int = 512,
    *,
    packed: int | None = None,
    encoder_decoder: bool = False,
    too_long: str = "drop",
    lossy: str = "drop",
    processes: int = 1,
    cache: Path | None = None,
) -> tuple[Dataset, dict]:
    """`encode`, and `pack_stream` to `packed` tokens where given, as a `datasets.Dataset`, and a report of what happened.

    `rows` are rows or JSON Lines files of rows. `cache` is a folder: an entry there is read when rows, vocabulary, options,
    prompt template and this package's code are the same, and written whole otherwise, in memory bounded by `CHUNK` rows; without
    it the dataset is in memory. `processes` changes only the time. The columns are `input_ids`, `labels` and, if packed,
    `position_ids`. The report counts `rows`, `kept`, `cut`, `tokens`, `supervised`, `sequences`, and has `dropped`, `lost` (as
    `Encoded`), `key` and `from_cache`. Raises what `encode` raises.
    """
    if packed and encoder_decoder:
        raise ValueError(
            "packing is for decoders: an encoder would see the rows beside; leave packed out"
        )
    if packed and packed < max_length:
        raise ValueError(
            f"packed is {packed}, less than max_length {max_length}: a row might not fit"
        )
    options, source = Options(max_length, encoder_decoder, too_long, lossy), row_source(rows)
    report: dict = {
        "rows": 0,
        "kept": 0,
        "cut": 0,
        "dropped": Counter(),
        "lost": Counter(),
        "tokens": 0,
        "supervised": 0,
        "sequences": 0,
    }
    report["key"] = content_key(source(), tokenizer, options, packed)
    entry = None if cache is None else Path(cache) / report["key"]
    if entry and (entry / "report.json").is_file():
        return read_entry(entry)
    sample = (
        rows
        if isinstance(rows, Sequence) and rows and isinstance(rows[0], Mapping)
        else list(islice(source(), CHUNK))
    )
    check_tokenizer(tokenizer, [row["output"] for row in spread(sample)], options)
    batches = record_batches(
        encoded_chunks(source(), tokenizer, options, processes), packed, report
    )
    if entry:
        write_entry(entry, batches, packed, report)
        return read_entry(entry)[0], report | {"from_cache": False}
    import pyarrow as pa
    from datasets import Dataset

    return Dataset(pa.Table.from_batches(batches, schema(packed))), report | {"from_cache": False}


def row_source(rows: Sequence[Mapping] | Path | Sequence[Path]) -> Callable[[], Iterator[Mapping]]:
    """A function that begins the rows anew each time."""
    parts = [rows] if isinstance(rows, str | Path) else rows
    if len(parts) and isinstance(parts[0], str | Path):
        return lambda: chain.from_iterable(iter_jsonl(Path(path), check_row) for path in parts)
    return lambda: iter(parts)


def content_key(
    rows: Iterable[Mapping],
    tokenizer: PreTrainedTokenizerBase,
    options: Options,
    packed: int | None,
) -> str:
    """sha256, as 64 hexadecimal digits, of all that token rows depend on: rows, vocabulary, options, template, this code."""
    import tokenizers

    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is not None:
        inner.no_truncation()  # what an earlier call set is no part of the vocabulary
        inner.no_padding()
    vocabulary = (
        inner.to_str()
        if inner is not None
        else json.dumps([type(tokenizer).__name__, tokenizer.get_vocab()], sort_keys=True)
    )
    special = [
        tokenizer.eos_token_id,
        tokenizer.bos_token_id,
        tokenizer.unk_token_id,
        tokenizer.cls_token_id,
        sorted(tokenizer.all_special_ids),
    ]
    template = [
        prompt("\0", text, history) for text in ("", "\1") for history in ((), (("\2", "\3"),))
    ]
    code = [file.read_text(encoding="utf-8") for file in sorted(Path(__file__).parent.glob("*.py"))]
    start = tokenizer("a")[
        "input_ids"
    ]  # special tokens that are put first, for a slow tokenizer too
    digest = sha256(
        json.dumps(
            [
                tokenizers.__version__,
                vocabulary,
                special,
                start,
                asdict(options),
                packed,
                template,
                code,
            ]
        ).encode()
    )
    for row in rows:
        turns = [list(turn) for turn in row.get("history") or ()]
        digest.update(
            repr((row["instruction"], row.get("input") or "", row["output"], turns)).encode()
        )
    return digest.hexdigest()


def encoded_chunks(
    rows: Iterable[Mapping], tokenizer: PreTrainedTokenizerBase, options: Options, processes: int
) -> Iterator[Encoded]:
    """The rows encoded `CHUNK` at a time, in their order whatever the number of processes."""
    rows = iter(rows)
    chunks = enumerate(iter(lambda: list(islice(rows, CHUNK)), []))
    if processes <= 1:
        yield from (
            encode_checked(chunk, tokenizer, options, number * CHUNK) for number, chunk in chunks
        )
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(
        processes, get_context("spawn"), begin_work, (tokenizer, options)
    ) as pool:
        waiting: deque = deque()
        for number, chunk in chunks:
            waiting.append(pool.submit(work, chunk, number * CHUNK))
            if len(waiting) > 2 * processes:  # never the whole file in memory
                yield waiting.popleft().result()
        yield from (future.result() for future in waiting)


def begin_work(tokenizer: PreTrainedTokenizerBase, options: Options) -> None:
    """What a worker process keeps; its tokenizer runs one thread, since there is a process for every core."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    work.tokenizer, work.options = tokenizer, options


def work(rows: list[Mapping], first: int) -> Encoded:
    """One chunk, in a worker process."""
    return encode_checked(rows, work.tokenizer, work.options, first)


def record_batches(
    chunks: Iterable[Encoded], packed: int | None, report: dict
) -> Iterator[pa.RecordBatch]:
    """Encoded chunks, packed where asked, as Arrow record batches; `report` is filled on the way."""
    import pyarrow as pa

    def counted() -> Iterator[dict]:
        for chunk in chunks:
            for name in ("dropped", "lost"):
                report[name].update(getattr(chunk, name))
            report["rows"] += len(chunk.rows) + sum(chunk.dropped.values())
            report["kept"] += len(chunk.rows)
            report["cut"] += chunk.cut
            yield from chunk.rows

    rows = pack_stream(counted(), packed) if packed else counted()
    names = schema(packed).names
    while batch := list(islice(rows, BATCH)):
        report["sequences"] += len(batch)
        report["tokens"] += sum(len(row["input_ids"]) for row in batch)
        report["supervised"] += sum(
            len(row["labels"]) - row["labels"].count(IGNORED) for row in batch
        )
        columns = [pa.array([row[name] for row in batch], pa.list_(pa.int32())) for name in names]
        yield pa.RecordBatch.from_arrays(columns, schema=schema(packed))


def schema(packed: int | None) -> pa.Schema:
    """The columns, each a list of int32."""
    import pyarrow as pa

    return pa.schema(
        [
            (name, pa.list_(pa.int32()))
            for name in ("input_ids", "labels", *(["position_ids"] if packed else []))
        ]
    )


def write_entry(
    entry: Path, batches: Iterable[pa.RecordBatch], packed: int | None, report: dict
) -> None:
    """Write a cache entry whole; of two processes that write the same one, the first wins."""
    import pyarrow as pa

    mine = entry.with_name(
        f"{entry.name}-{uuid4().hex}"
    )  # process numbers repeat on other machines
    with written_whole(mine) as partial:
        partial.mkdir()
        with pa.ipc.new_stream(str(partial / "rows.arrow"), schema(packed)) as writer:
            for batch in batches:
                writer.write_batch(batch)
        (partial / "report.json").write_text(
            json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8"
        )
    if entry.is_dir() and not (entry / "report.json").is_file():
        remove(entry)  # half of one, from an interrupted copy
    try:
        mine.rename(entry)
    except OSError:  # it is there by now
        remove(mine)


def read_entry(entry: Path) -> tuple[Dataset, dict]:
    """The dataset (memory-mapped) and the report of a cache entry."""
    from datasets import Dataset

    report = json.loads((entry / "report.json").read_text(encoding="utf-8"))
    return Dataset.from_file(str(entry / "rows.arrow")), report | {"from_cache": True}
