"""A Kneser-Ney model over characters: what a language model must beat.

Interpolated, with the three modified discounts of each order (Chen and Goodman 1998, TR-10-98).
Every text begins after `order - 1` marks; an n-gram that begins with the mark counts as often as
it stands, any other below the highest order by the different characters before it.

In: texts. Out: bits of every text. All counts are arrays: 50 million characters take minutes and
some gigabytes. Used by `tiny_base.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

MARK, UNKNOWN = 0, 1  # before a text; a character that training has not seen
FALLBACK = (0.5, 1.0, 1.5)  # discounts where there are too few n-grams to estimate them


@dataclass
class Level:
    """The n-grams of one length.

    keys: context · characters + last character, ascending; the context is the number of an n-gram
      one shorter, and the place among the keys is the number of this one.
    above: the discounted count over the total of its context, by n-gram.
    rest: what a context leaves to the shorter n-grams; 1 where nothing follows it.
    """

    keys: np.ndarray
    above: np.ndarray
    rest: np.ndarray


class KneserNey:
    """Probabilities of characters after the `order - 1` before them."""

    def __init__(self, texts: Iterable[str], order: int = 5) -> None:
        texts = list(texts)
        self.order = order
        codes = np.unique(code_points(texts))
        self.ids = np.full(0x110000, UNKNOWN)
        self.ids[codes] = np.arange(2, len(codes) + 2)
        self.size = len(codes) + 2  # characters, the unknown one, and the mark
        self.levels = self.counted(self.symbols(texts))

    def symbols(self, texts: Sequence[str]) -> np.ndarray:
        """Return the texts as numbers in one row, marks before each."""
        lengths = np.array([len(text) for text in texts], np.int64)
        begins = np.cumsum(lengths + self.order - 1) - lengths
        made = np.full(int(lengths.sum()) + (self.order - 1) * len(texts), MARK)
        place = np.repeat(begins - (np.cumsum(lengths) - lengths), lengths)
        made[place + np.arange(lengths.sum())] = self.ids[code_points(texts)]
        return made

    def counted(self, symbols: np.ndarray) -> list[Level]:
        """Return the levels, the shortest n-grams first."""
        real = symbols != MARK  # the mark is context and is never predicted
        levels, ending = [], np.zeros(len(symbols), np.int64)  # n-grams by where they end
        kept, contexts = None, 1
        for length in range(1, self.order + 1):
            context = np.concatenate([[0], ending[:-1]]) if length > 1 else ending
            keys, first, now = np.unique(
                context * self.size + symbols, return_index=True, return_inverse=True
            )
            count = np.bincount(now, real, len(keys)).astype(np.int64)
            if kept is not None:
                # One for each different character before: an n-gram of this length each.
                before = np.bincount(ending[first], real[first], len(kept[0])).astype(np.int64)
                counts = np.where(kept[2], kept[1], before)
                levels.append(level(kept[0], counts, contexts, self.size))
                contexts = len(kept[0])
            starts = symbols[np.maximum(first - length + 1, 0)] == MARK
            kept, ending = (keys, count, starts), now
        levels.append(level(kept[0], kept[1], contexts, self.size))
        return levels

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Return the probability of every character of the texts, in one row."""
        symbols = self.symbols(texts)
        probability = np.full(len(symbols), 1 / (self.size - 1))  # the mark is no character
        ending = np.zeros(len(symbols), np.int64)
        for length, own in enumerate(self.levels, 1):
            context = np.concatenate([[-1], ending[:-1]]) if length > 1 else ending
            key = np.where(context < 0, -1, context * self.size + symbols)
            at = np.searchsorted(own.keys, key)
            at[at == len(own.keys)] = 0
            there = own.keys[at] == key

            # A context that was never seen says nothing: the shorter one decides alone.
            rest = np.where(context < 0, 1.0, own.rest[context])
            probability = np.where(there, own.above[at], 0.0) + rest * probability
            ending = np.where(there, at, -1)
        return probability[symbols != MARK]

    def bits(self, texts: Sequence[str]) -> float:
        """Return bits per character of the texts, their ends not counted."""
        return float(-np.log2(self.probabilities(texts)).mean())


def level(keys: np.ndarray, counts: np.ndarray, contexts: int, size: int) -> Level:
    """Return a level from the n-grams, how often each counts, and how many contexts there are."""
    context = keys // size
    cut = np.array([0.0, *discounts(counts)])[np.minimum(counts, 3)]
    total = np.bincount(context, counts, contexts)
    total_or_one = np.maximum(total, 1)
    left = np.bincount(context, cut, contexts)
    rest = np.where(total > 0, left / total_or_one, 1.0)
    return Level(keys, (counts - cut) / total_or_one[context], rest)


def discounts(counts: np.ndarray) -> tuple[float, float, float]:
    """Return what is taken from counts of 1, 2 and more.

    >>> discounts(np.array([1] * 8 + [2] * 4 + [3] * 2 + [4]))
    (0.5, 1.25, 2.0)
    """
    one, two, three, four = (int((counts == number).sum()) for number in (1, 2, 3, 4))
    if not all((one, two, three, four)):
        return FALLBACK
    share = one / (one + 2 * two)
    found = tuple(
        n - (n + 1) * share * more / less
        for n, less, more in ((1, one, two), (2, two, three), (3, three, four))
    )
    return found if all(0 < cut <= n for n, cut in enumerate(found, 1)) else FALLBACK


def code_points(texts: Iterable[str]) -> np.ndarray:
    """Return the characters of texts as numbers, one after the other.

    >>> code_points(["AB", "C"]).tolist()
    [65, 66, 67]
    """
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
