"""Look at token rows column by column, so that millions of them stay on their disk.

In: rows of ids and labels, or a `datasets.Dataset` of them. Out: sizes, ids, labels as numpy
arrays, a record batch at a time. Used by `finetune`, which notebook 04 shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from miniluotuo_utils.tokens.encoding import IGNORED

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset

BATCH = 1000  # rows that are looked at in one go
EMPTY = {"input_ids": [], "labels": []}  # the columns of no rows


def columns_of(rows: Sequence[Mapping]) -> list[str]:
    """Return the names of the columns; those of token rows where there is no row at all.

    >>> columns_of([{"instruction": "数"}]), columns_of([])
    (['instruction'], ['input_ids', 'labels'])
    """
    return list(getattr(rows, "column_names", None) or (rows[0] if len(rows) else EMPTY))


def as_dataset(rows: Sequence[Mapping]) -> Dataset:
    """Return token rows as a `Dataset`: the same one, or a new one in memory."""
    from datasets import Dataset

    if isinstance(rows, Dataset):
        return rows
    return Dataset.from_list([dict(row) for row in rows]) if rows else Dataset.from_dict(EMPTY)


def tables(rows: Dataset) -> Iterator[pa.Table]:
    """Yield the rows as Arrow tables of about `BATCH` rows, in order."""
    import pyarrow as pa

    # Every page of a mapped file that is looked at counts as memory; a file that is read does not.
    # Rows that were selected, cut or renamed (`replays`) are not the file's any more.
    path = getattr(rows.data, "path", None)
    if path is None or rows.data.replays or rows._indices is not None:
        yield from rows.with_format("arrow").iter(BATCH)
        return
    with pa.OSFile(path) as file, pa.ipc.open_stream(file) as batches:
        yield from map(pa.Table.from_batches, ([batch] for batch in batches))


def flat(rows: Dataset, column: str) -> Iterator[np.ndarray]:
    """Yield the numbers of a column of lists, one array for each table that has any."""
    for table in tables(rows):
        numbers = table[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        if len(numbers):
            yield numbers


def sizes_of(rows: Dataset) -> np.ndarray:
    """Return the number of tokens of each row, int64 [rows].

    >>> sizes_of(as_dataset([{"input_ids": [5, 6], "labels": [5, 6]}])).tolist()
    [2]
    """
    import numpy as np
    import pyarrow.compute as pc

    lengths = [pc.list_value_length(table["input_ids"]).to_numpy() for table in tables(rows)]
    return np.concatenate(lengths or [[]]).astype(np.int64)


def has_labels(rows: Dataset) -> bool:
    """Return whether any token of any row is learned."""
    return any((labels != IGNORED).any() for labels in flat(rows, "labels"))


def digest_of(rows: Dataset) -> str:
    """Return the sha256 of ids and labels of all rows, as 64 hexadecimal digits.

    >>> one, other = ({"input_ids": [5], "labels": [n]} for n in (5, -100))
    >>> digest_of(as_dataset([one])) == digest_of(as_dataset([other]))
    False
    """
    digest = sha256(sizes_of(rows).tobytes())
    for column in ("input_ids", "labels"):
        for numbers in flat(rows, column):
            digest.update(numbers.astype("<i4").tobytes())
    return digest.hexdigest()
