"""Encode millions of rows to disk: in several processes, in bounded memory, and only once.

In: rows or JSON Lines files. Out: a `datasets.Dataset` and a report. A cache entry is a folder
named after the sha256 of all that its content depends on. Shown in notebook 03.
"""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain, islice, product
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from miniluotuo_utils.files import batches, iter_jsonl, written_whole
from miniluotuo_utils.records import check_row
from miniluotuo_utils.tokens.encoding import (
    Encoded,
    Options,
    check_tokenizer,
    encode_checked,
    supervised,
)
from miniluotuo_utils.tokens.packing import pack_stream
from miniluotuo_utils.tokens.template import end_of, prompts_of
from miniluotuo_utils.tokens.vocabulary import spread
from miniluotuo_utils.writing import remove

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

CHUNK = 4096  # rows per task
BATCH = 1024  # rows or packed sequences per record batch


def encoded_dataset(
    rows: Iterable[Mapping] | Path | Sequence[Path],
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
    """Return encoded rows as a `datasets.Dataset`, and a report of what happened to them.

    They are what `encode` returns and, where `packed` is a number of tokens, `pack_stream` makes of
    it. `rows` are rows, or what gives them anew each time one goes through it (`data.read_any`), or
    JSON Lines files of rows. `cache` is a folder: an entry there is read
    when rows, vocabulary, options, prompt template and this package's code are the same, and
    written whole otherwise, in memory bounded by `CHUNK` rows. Without it the dataset is in memory.
    `processes` changes only the time.

    The columns are `input_ids`, `labels` and, if packed, `position_ids`. The report counts `rows`,
    `kept`, `cut`, `tokens`, `supervised`, `sequences`, and has `dropped`, `lost` (as `Encoded`),
    `key` and `from_cache`. Raises what `encode` raises.
    """
    if packed and encoder_decoder:
        raise ValueError(
            "packing is for decoders: an encoder would see the rows beside; leave packed out"
        )
    if packed and packed < max_length:
        raise ValueError(
            f"packed is {packed}, less than max_length {max_length}: a row might not fit"
        )

    # Files are judged by their beginning: they may be too large to be read once more.
    options = Options(max_length, encoder_decoder, too_long, lossy)
    in_memory = hasattr(rows, "__getitem__") and not are_files(rows)
    sample = rows if in_memory else list(islice(each_row(rows), CHUNK))
    check_tokenizer(tokenizer, [row["output"] for row in spread(sample)], options)

    # What is there already is read, whoever wrote it.
    key = content_key(each_row(rows), tokenizer, options, packed)
    entry = None if cache is None else Path(cache) / key
    if entry and (entry / "report.json").is_file():
        return read_entry(entry)

    report = {
        "rows": 0,
        "kept": 0,
        "cut": 0,
        "dropped": Counter(),
        "lost": Counter(),
        "tokens": 0,
        "supervised": 0,
        "sequences": 0,
        "key": key,
    }
    encoded = encoded_chunks(each_row(rows), tokenizer, options, processes)
    made = record_batches(encoded, packed, report)
    if entry:
        write_entry(entry, made, packed, report)
        return read_entry(entry)[0], report | {"from_cache": False}

    import pyarrow as pa
    from datasets import Dataset

    return Dataset(pa.Table.from_batches(made, schema(packed))), report | {"from_cache": False}


def are_files(rows: object) -> bool:
    """Return whether `rows` is a file or a list of files.

    >>> are_files("rows.jsonl"), are_files([Path("a.jsonl")]), are_files([{}]), are_files([])
    (True, True, False, False)
    """
    if isinstance(rows, str | Path):
        return True
    return isinstance(rows, list | tuple) and len(rows) > 0 and isinstance(rows[0], str | Path)


def each_row(rows: Iterable[Mapping] | Path | Sequence[Path]) -> Iterator[Mapping]:
    """Return an iterator of all rows, from the first on each time."""
    if not are_files(rows):
        return iter(rows)
    files = [rows] if isinstance(rows, str | Path) else rows
    return chain.from_iterable(iter_jsonl(path, check_row) for path in files)


def content_key(
    rows: Iterable[Mapping],
    tokenizer: PreTrainedTokenizerBase,
    options: Options,
    packed: int | None,
) -> str:
    """Return the sha256, as 64 hexadecimal digits, of all that token rows depend on."""
    import tokenizers

    # What an earlier call set is no part of the vocabulary.
    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is None:
        vocabulary = [type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())]
    else:
        inner.no_truncation()
        inner.no_padding()
        vocabulary = inner.to_str()

    # Placeholders show all that a template writes, with an input and a history and without.
    told = ((), (("\2", "\3"),))
    asked = [
        {"instruction": "\0", "input": text, "history": turns}
        for text, turns in product(("", "\1"), told)
    ]
    code = sorted(Path(__file__).parent.glob("*.py"))
    rest = {
        "tokenizers": tokenizers.__version__,
        "vocabulary": vocabulary,
        "special": [
            tokenizer.eos_token_id,
            tokenizer.bos_token_id,
            tokenizer.unk_token_id,
            tokenizer.cls_token_id,
            sorted(tokenizer.all_special_ids),
        ],
        "first": tokenizer("a")["input_ids"],  # what is put first, by a slow tokenizer too
        "options": options._asdict(),
        "packed": packed,
        "template": [prompts_of(tokenizer, asked), end_of(tokenizer)],
        "code": [file.read_text(encoding="utf-8") for file in code],
    }
    digest = sha256(json.dumps(rest).encode())
    for row in rows:
        turns = [list(turn) for turn in row.get("history") or ()]
        shown = (row["instruction"], row.get("input") or "", row["output"], turns)
        digest.update(repr(shown).encode())
    return digest.hexdigest()


def encoded_chunks(
    rows: Iterable[Mapping], tokenizer: PreTrainedTokenizerBase, options: Options, processes: int
) -> Iterator[Encoded]:
    """Yield the rows encoded, `CHUNK` at a time, in order whatever the number of processes."""
    chunks = enumerate(batches(rows, CHUNK))
    if processes <= 1:
        for number, chunk in chunks:
            yield encode_checked(chunk, tokenizer, options, number * CHUNK)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # A queue of few tasks: `map` would read the whole file before its first result.
    waiting: deque = deque()
    # Fresh processes: a forked one would take over the locks of the libraries' threads.
    with ProcessPoolExecutor(
        processes, get_context("spawn"), begin_work, (tokenizer, options)
    ) as pool:
        for number, chunk in chunks:
            waiting.append(pool.submit(work, chunk, number * CHUNK))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        for task in waiting:
            yield task.result()


def begin_work(tokenizer: PreTrainedTokenizerBase, options: Options) -> None:
    """Keep what all tasks of a worker process need, so that it is sent once.

    The tokenizer runs one thread: there is a process for every core.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    work.tokenizer, work.options = tokenizer, options


def work(rows: list[Mapping], first: int) -> Encoded:
    """Encode one chunk in a worker process."""
    return encode_checked(rows, work.tokenizer, work.options, first)


def record_batches(
    chunks: Iterable[Encoded], packed: int | None, report: dict
) -> Iterator[pa.RecordBatch]:
    """Yield encoded chunks, packed where asked, as Arrow record batches.

    `report` is filled on the way, as is fit for what never stands in memory as a whole.
    """
    import pyarrow as pa

    # Packing mixes rows, so what became of them is counted before it.
    def counted() -> Iterator[dict]:
        for chunk in chunks:
            report["rows"] += len(chunk.rows) + chunk.dropped.total()
            report["kept"] += len(chunk.rows)
            report["cut"] += chunk.cut
            report["dropped"].update(chunk.dropped)
            report["lost"].update(chunk.lost)
            yield from chunk.rows

    # And what the model will see is counted after it.
    rows = pack_stream(counted(), packed) if packed else counted()
    for batch in batches(rows, BATCH):
        report["sequences"] += len(batch)
        report["tokens"] += sum(len(row["input_ids"]) for row in batch)
        report["supervised"] += supervised(batch)
        yield pa.RecordBatch.from_pylist(batch, schema(packed))


def schema(packed: int | None) -> pa.Schema:
    """Return the columns, each a list of int32."""
    import pyarrow as pa

    names = ["input_ids", "labels", *(["position_ids"] if packed else [])]
    return pa.schema([(name, pa.list_(pa.int32())) for name in names])


def write_entry(
    entry: Path, made: Iterable[pa.RecordBatch], packed: int | None, report: dict
) -> None:
    """Write a cache entry whole; of two processes that write the same one, the first wins."""
    import pyarrow as pa

    # Not the process number: it repeats on other machines that share the folder.
    mine = entry.with_name(f"{entry.name}-{uuid4().hex}")
    with written_whole(mine) as partial:
        partial.mkdir()
        with pa.ipc.new_stream(str(partial / "rows.arrow"), schema(packed)) as writer:
            for batch in made:
                writer.write_batch(batch)
        (partial / "report.json").write_text(
            json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8"
        )

    # Half of an entry is left from an interrupted copy; a whole one is another process's.
    if entry.is_dir() and not (entry / "report.json").is_file():
        remove(entry)
    try:
        mine.rename(entry)
    except OSError:
        remove(mine)


def read_entry(entry: Path) -> tuple[Dataset, dict]:
    """Return the dataset (memory-mapped) and the report of a cache entry."""
    from datasets import Dataset

    report = json.loads((entry / "report.json").read_text(encoding="utf-8"))
    return Dataset.from_file(str(entry / "rows.arrow")), report | {"from_cache": True}
