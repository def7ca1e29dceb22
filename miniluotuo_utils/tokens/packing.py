"""Pack rows into full sequences, and collate sequences into tensors.

No row is cut, none sees another. In: rows of ids and labels. Out: sequences, batches of tensors.
Shown in notebook 03.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING

from miniluotuo_utils.tokens.encoding import IGNORED

if TYPE_CHECKING:
    import numpy as np
    import torch

WINDOW = 10_000  # rows that `pack_stream` holds at once
WINDOWED = 50  # batches that `by_length` sorts at once: as many as transformers' own sampler


def best_fit(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Return which sizes share a bin of `length`, by best-fit decreasing, as lists of numbers.

    Equal sizes keep their order.

    >>> best_fit([2, 3, 4], 5)
    [[2], [1, 0]]
    """
    bins: list[list[int]] = []
    free: list[list[int]] = [[] for _ in range(length + 1)]  # space left -> bins that have so much
    there = 0  # bit s is set where free[s] is not empty
    for number in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        size = sizes[number]
        if size > length:
            raise ValueError(
                f"row {number} has {size} tokens, more than the packed length {length}; "
                "encode with that max_length"
            )

        # The best fit is the lowest bit from `size` on; where there is none, begin a new bin.
        if fits := there >> size:
            space = size + (fits & -fits).bit_length() - 1
            where = free[space].pop()
            if not free[space]:
                there ^= 1 << space
        else:
            where, space = len(bins), length
            bins.append([])

        # The bin that took the row has less space than before: note it there.
        bins[where].append(number)
        free[space - size].append(where)
        there |= 1 << space - size
    return bins


def sequence_of(rows: Sequence[Mapping]) -> dict[str, list[int]]:
    """Return rows as one sequence, with `position_ids` that restart at each row.

    A row's first token has no label: another row would predict it.
    """
    labels: list[int] = []
    for row in rows:
        if len(row["labels"]) != len(row["input_ids"]):
            raise ValueError(
                "only a decoder's rows can be packed: input_ids and labels must be equally long"
            )
        labels += [IGNORED, *row["labels"][1:]]
    positions = (range(len(row["input_ids"])) for row in rows)
    return {
        "input_ids": list(chain.from_iterable(row["input_ids"] for row in rows)),
        "labels": labels,
        "position_ids": list(chain.from_iterable(positions)),
    }


def pack(rows: Sequence[Mapping], length: int) -> list[dict[str, list[int]]]:
    """Return rows put together into sequences of at most `length` tokens, by best-fit decreasing.

    `position_ids` restart, which tells the attention where one row ends: transformers masks across
    the restarts when no attention mask is given and `use_cache` is off, so rows do not see each
    other. A model that takes no positions (BLOOM, T5) cannot be trained on packed rows. The result
    is deterministic. Raises ValueError for a row that is longer than `length`.

    >>> packed = pack([{"input_ids": [i] * i, "labels": [i] * i} for i in (2, 3, 4)], length=5)
    >>> [p["input_ids"] for p in packed], packed[1]["position_ids"], packed[1]["labels"]
    ([[4, 4, 4, 4], [3, 3, 3, 2, 2]], [0, 1, 2, 0, 1], [-100, 3, 3, -100, 2])
    """
    return list(pack_stream(rows, length, window=len(rows) + 1))


def pack_stream(
    rows: Iterable[Mapping], length: int, window: int = WINDOW
) -> Iterator[dict[str, list[int]]]:
    """Yield what `pack` returns for any number of rows, never more than `window` rows in memory.

    Each time the window is full it is packed; the fullest sequences leave it, and the rows of the
    emptiest (at most a quarter of the window) are packed again with the next rows. Deterministic;
    `pack` of the same rows gives other sequences.
    """
    source, waiting = iter(rows), []
    while True:
        waiting += islice(source, window - len(waiting))
        sizes = [len(row["input_ids"]) for row in waiting]
        bins = best_fit(sizes, length)

        # The source has run dry: all that is left leaves as it is.
        if len(waiting) < window:
            for chosen in bins:
                yield sequence_of([waiting[i] for i in chosen])
            return

        # Fullest first, until the rows of the rest are few enough to be packed again.
        bins.sort(key=lambda chosen: sum(sizes[i] for i in chosen))
        left = len(waiting)
        while left > window // 4:
            chosen = bins.pop()
            left -= len(chosen)
            yield sequence_of([waiting[i] for i in chosen])
        waiting = [waiting[i] for i in sorted(chain.from_iterable(bins))]


def packing_efficiency(sequences: Iterable[Mapping], length: int) -> float:
    """Return the share of a batch of `length`-token rows that is not padding.

    >>> packing_efficiency([{"input_ids": [1, 2, 3]}, {"input_ids": [1]}], 4)
    0.5
    """
    sizes = [len(sequence["input_ids"]) for sequence in sequences]
    return sum(sizes) / (length * len(sizes)) if sizes else 0.0


def by_length(sizes: np.ndarray, batch_size: int, seed: int) -> np.ndarray:
    """Return an order of rows, int64 [rows], in which `batch_size` after each other have about one
    length.

    `WINDOWED` batches of rows are drawn at a time and sorted; then the batches are shuffled, so
    that long and short ones follow each other by chance. A batch that is not full comes last.

    >>> import numpy as np
    >>> order = by_length(np.array([1, 9, 1, 9]), 2, 0)
    >>> sorted(order.tolist()), sorted(order[:2].tolist()) in ([0, 2], [1, 3])
    ([0, 1, 2, 3], True)
    """
    import numpy as np

    draw = np.random.default_rng(seed)
    order = draw.permutation(len(sizes))
    for start in range(0, len(order), WINDOWED * batch_size):
        window = order[start : start + WINDOWED * batch_size]
        window[:] = window[np.argsort(sizes[window], kind="stable")]
    draw.shuffle(order[: len(order) // batch_size * batch_size].reshape(-1, batch_size))
    return order


def collate(
    batch: Sequence[Mapping], pad_id: int, encoder_decoder: bool = False
) -> dict[str, torch.Tensor]:
    """Return rows as int64 tensors [rows, longest]; padding never has a label.

    A decoder's batch has `position_ids`, and needs no attention mask: padding stands behind all
    that could see it. Behind packed rows its positions restart, as theirs do. An encoder–decoder's
    has an `attention_mask`, and labels [rows, longest answer].
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    def padded(rows: Iterable[Sequence[int]], value: int) -> torch.Tensor:
        tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
        return pad_sequence(tensors, batch_first=True, padding_value=value)

    ids = padded((row["input_ids"] for row in batch), pad_id)
    tensors = {"input_ids": ids, "labels": padded((row["labels"] for row in batch), IGNORED)}
    sizes = [len(row["input_ids"]) for row in batch]
    if encoder_decoder:
        return tensors | {"attention_mask": padded(([1] * size for size in sizes), 0)}
    # Positions that restart tell the model to mask: rows that stand alone spare it the work.
    width = ids.shape[1]
    positions = [
        [*row["position_ids"], *range(width - size)] if "position_ids" in row else [*range(width)]
        for row, size in zip(batch, sizes, strict=True)
    ]
    return tensors | {"position_ids": torch.tensor(positions, dtype=torch.long)}
