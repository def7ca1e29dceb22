"""Rows put together into full sequences, and sequences into tensors: no row is cut, none sees another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING

from miniluotuo_utils.tokens.encoding import IGNORED

if TYPE_CHECKING:
    import torch

WINDOW = 10_000  # rows that `pack_stream` holds at once


def best_fit(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Best-fit decreasing: which sizes share a bin of `length`, as lists of their numbers. Equal sizes keep their order.

    >>> best_fit([2, 3, 4], 5)
    [[2], [1, 0]]
    """
    bins: list[list[int]] = []
    free: list[list[int]] = [[] for _ in range(length + 1)]  # space left -> bins that have so much
    there = (
        0  # bit s is set where free[s] is not empty: the best fit is the lowest bit from `size` on
    )
    for number in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        size = sizes[number]
        if size > length:
            raise ValueError(
                f"row {number} has {size} tokens, more than the packed length {length}; encode with that max_length"
            )
        if fits := there >> size:
            space = size + (fits & -fits).bit_length() - 1
            where = free[space].pop()
            if not free[space]:
                there ^= 1 << space
        else:
            where, space = len(bins), length
            bins.append([])
        bins[where].append(number)
        free[space - size].append(where)
        there |= 1 << space - size
    return bins


def joined(rows: Sequence[Mapping]) -> dict[str, list[int]]:
    """Rows as one sequence whose `position_ids` restart and whose rows' first tokens have no label: another row would predict them."""
    sizes = [len(row["input_ids"]) for row in rows]
    labels: list[int] = []
    for row, size in zip(rows, sizes, strict=True):
        if len(row["labels"]) != size:
            raise ValueError(
                "only a decoder's rows can be packed: input_ids and labels must be equally long"
            )
        labels.append(IGNORED)
        labels += row["labels"][1:]
    ids = list(chain.from_iterable(row["input_ids"] for row in rows))
    return {
        "input_ids": ids,
        "labels": labels,
        "position_ids": list(chain.from_iterable(map(range, sizes))),
    }


def pack(rows: Sequence[Mapping], length: int) -> list[dict[str, list[int]]]:
    """Rows put together into sequences of at most `length` tokens by best-fit decreasing, with `position_ids` that restart.

    The restarts tell the attention where one row ends (transformers masks across them when no attention mask is given
    and `use_cache` is off), so rows do not see each other. A model that takes no positions (BLOOM, T5) cannot be trained on
    packed rows. Deterministic. Raises ValueError for a row that is longer than `length`.

    >>> packed = pack([{"input_ids": [i] * i, "labels": [i] * i} for i in (2, 3, 4)], length=5)
    >>> [p["input_ids"] for p in packed], packed[1]["position_ids"], packed[1]["labels"]
    ([[4, 4, 4, 4], [3, 3, 3, 2, 2]], [0, 1, 2, 0, 1], [-100, 3, 3, -100, 2])
    """
    return [
        joined([rows[i] for i in chosen])
        for chosen in best_fit([len(row["input_ids"]) for row in rows], length)
    ]


def pack_stream(
    rows: Iterable[Mapping], length: int, window: int = WINDOW
) -> Iterator[dict[str, list[int]]]:
    """`pack` for any number of rows: sequences as they become full, never more than `window` rows in memory.

    Each time the window is full it is packed; the fullest sequences leave it, and the rows of the emptiest (at most a quarter
    of the window) are packed again with the next rows. Deterministic; `pack` of the same rows gives other sequences.
    """
    source, waiting = iter(rows), []
    while True:
        waiting += islice(source, window - len(waiting))
        sizes = [len(row["input_ids"]) for row in waiting]
        bins = best_fit(sizes, length)
        if len(waiting) < window:
            yield from (joined([waiting[i] for i in chosen]) for chosen in bins)
            return
        bins.sort(key=lambda chosen: sum(sizes[i] for i in chosen))
        left = len(waiting)
        while left > window // 4:
            left -= len(bins[-1])
            yield joined([waiting[i] for i in bins.pop()])
        waiting = [waiting[i] for i in sorted(chain.from_iterable(bins))]


def fill(sequences: Iterable[Mapping], length: int) -> float:
    """Share of a batch of `length`-token rows that is not padding.

    >>> fill([{"input_ids": [1, 2, 3]}, {"input_ids": [1]}], 4)
    0.5
    """
    sizes = [len(s["input_ids"]) for s in sequences]
    return sum(sizes) / (length * len(sizes)) if sizes else 0.0


def collate(
    batch: Sequence[Mapping], pad_id: int, encoder_decoder: bool = False
) -> dict[str, torch.Tensor]:
    """Rows as int64 tensors [rows, longest]; padding never has a label.

    A decoder's batch has `position_ids` (padding has positions of its own, so no attention mask is needed); an
    encoder–decoder's has an `attention_mask`, and labels [rows, longest answer].
    """
    import torch

    def padded(rows: Iterable[Sequence[int]], value: int) -> torch.Tensor:
        rows = [list(row) for row in rows]
        longest = max(map(len, rows))
        return torch.tensor(
            [row + [value] * (longest - len(row)) for row in rows], dtype=torch.long
        )

    ids, labels = (
        padded((row["input_ids"] for row in batch), pad_id),
        padded((row["labels"] for row in batch), IGNORED),
    )
    sizes, longest = [len(row["input_ids"]) for row in batch], ids.shape[1]
    if encoder_decoder:
        mask = padded(([1] * size for size in sizes), 0)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}
    counted = [
        [*(row.get("position_ids") or range(n)), *range(longest - n)]
        for row, n in zip(batch, sizes, strict=True)
    ]
    return {
        "input_ids": ids,
        "labels": labels,
        "position_ids": torch.tensor(counted, dtype=torch.long),
    }
