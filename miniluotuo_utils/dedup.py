"""What counts as the same text, and as nearly the same. Floor 0, used by data and teacher.

In: texts. Out: the key that exact duplicates share; for near duplicates, which earlier text each one repeats.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

PUNCTUATION = r"""[,.!?;:'"。、“”‘’「」『』《》〈〉【】()\[\]…—~·-]+"""
BETWEEN_DIGITS = re.compile(rf"(?<!\d){PUNCTUATION}|{PUNCTUATION}(?!\d)")  # 3.5 is not 35, and 3-1 is not 31
WIDTH = 3  # characters in a shingle: one changed character of 60 leaves a Jaccard similarity of 0.90, two leave 0.81
PERMUTATIONS, BANDS, ROWS = 128, 21, 6  # a pair at 0.8 shares a band with probability 0.998, one at 0.5 with 0.28
BATCH = 10_000


def folded(text: str) -> str:
    """A text as it is compared: NFKC, lower case, no white space, no punctuation but between digits.

    >>> folded("写一首诗， 题目是“Ｓｕｎ”。"), folded("3.5 + 4 等于几?")
    ('写一首诗题目是sun', '3.5+4等于几')
    """
    joined = re.sub(r"\s+", "", unicodedata.normalize("NFKC", text).casefold())
    return BETWEEN_DIGITS.sub("", joined)


def shingles(text: str) -> set[str]:
    """Every run of `WIDTH` characters of a folded text; a shorter text is its own one shingle.

    >>> sorted(shingles("迷你骆驼")), shingles("骆驼")
    (['你骆驼', '迷你骆'], {'骆驼'})
    """
    return {text[i : i + WIDTH] for i in range(len(text) - WIDTH + 1)} or {text}


def jaccard(a: set, b: set) -> float:
    """Shared elements over all elements.

    >>> jaccard({1, 2, 3}, {2, 3, 4})
    0.5
    """
    return len(a & b) / len(a | b)


class Match(NamedTuple):
    """An earlier text that a text nearly repeats: its number among all texts given so far, and their similarity."""

    number: int
    similarity: float


class NearDuplicates:
    """The texts kept so far; a new one is kept unless it nearly repeats one of them.

    Candidates share a band of a MinHash signature (rensa); each is then compared exactly, by the Jaccard similarity of their shingles,
    so a match is never a false one. Memory: the kept texts and about 2 KB each.

    >>> kept = NearDuplicates(0.6)
    >>> kept.add(["怎样在家里种一盆薄荷", "怎样在阳台种一盆薄荷", "骆驼为什么耐渴", "怎样在家里种一盆薄荷？"])
    [None, None, None, Match(number=0, similarity=1.0)]
    """

    def __init__(self, threshold: float = 0.8, seed: int = 42) -> None:
        self.threshold, self.seed = threshold, seed
        self.count = 0  # texts given so far
        self.texts: dict[int, str] = {}  # number -> folded text, of those kept
        self.buckets: dict[int, tuple[int, ...] | int] = {}  # band -> the kept text that has it, or several

    def add(self, texts: Sequence[str]) -> list[Match | None]:
        """For each text, in order, the kept text that it nearly repeats, or None: then it is kept."""
        return [self._keep(text, bands, self._closest(text, bands)) for text, bands in self._signed(texts)]

    def lookup(self, texts: Sequence[str]) -> list[Match | None]:
        """For each text the kept text that it nearly repeats, or None; keeps nothing."""
        return [self._closest(text, bands) for text, bands in self._signed(texts)]

    def _signed(self, texts: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
        for at in range(0, len(texts), BATCH):
            batch = [folded(text) or text for text in texts[at : at + BATCH]]
            yield from zip(batch, signature_bands(batch, self.seed), strict=True)

    def _closest(self, text: str, bands: list[int]) -> Match | None:
        candidates = {n for band in bands if (held := self.buckets.get(band)) is not None for n in ([held] if type(held) is int else held)}
        own = shingles(text) if candidates else set()
        matches = (Match(n, jaccard(own, shingles(self.texts[n]))) for n in candidates)
        best = max(matches, key=lambda m: (m.similarity, -m.number), default=None)
        return best if best and best.similarity >= self.threshold else None

    def _keep(self, text: str, bands: list[int], match: Match | None) -> Match | None:
        number, self.count = self.count, self.count + 1
        if match is None:
            self.texts[number] = text
            for band in bands:  # nearly every band belongs to one text: a bare number there halves the memory
                held = self.buckets.get(band)
                self.buckets[band] = number if held is None else (held, number) if type(held) is int else (*held, number)
        return match


def signature_bands(texts: Sequence[str], seed: int) -> list[list[int]]:
    """The MinHash signature of each folded text, cut into `BANDS` bands of `ROWS` numbers, each band hashed with its place."""
    import numpy as np
    from rensa import RMinHash

    if not texts:
        return []
    hashes, offsets = shingle_hashes(texts)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, PERMUTATIONS, seed)
    signatures = np.array(matrix.to_rows(), dtype=np.uint64)[:, : BANDS * ROWS].reshape(len(texts), BANDS, ROWS)
    places = np.broadcast_to(np.arange(BANDS, dtype=np.uint64)[None, :, None], (len(texts), BANDS, 1))
    numbered = np.concatenate([places, signatures], axis=2)  # (texts, BANDS, 1 + ROWS)
    return mixed(np.moveaxis(numbered, 2, 0)).tolist()


def shingle_hashes(texts: Sequence[str], width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """A 64-bit hash of every shingle of all texts in one array, and where each text's begin (one number more than texts)."""
    import numpy as np

    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in texts])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    counts = np.maximum(lengths - width + 1, 1)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    rolled = rolling(np.concatenate([codes, np.zeros(width, np.uint64)]), width)
    at = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts[:-1], counts)
    hashes = rolled[np.minimum(at, len(rolled) - 1)]
    for i in np.flatnonzero(lengths < width):  # a short text must not take in the next one's characters
        hashes[offsets[i]] = rolling(np.concatenate([codes[starts[i] : starts[i + 1]], np.zeros(width, np.uint64)]), width)[0]
    return hashes, offsets.astype(np.uint64)


def rolling(codes: np.ndarray, width: int) -> np.ndarray:
    """Hash of every window of `width` code points: (n,) -> (n - width + 1,) uint64."""
    return mixed([codes[i : len(codes) - width + 1 + i] for i in range(width)])


def mixed(parts: Iterable[np.ndarray]) -> np.ndarray:
    """One 64-bit hash of several equally long arrays, element by element; the order of the parts counts."""
    import numpy as np

    value = np.uint64(0)
    with np.errstate(over="ignore"):
        for part in parts:
            value = (value ^ (part.astype(np.uint64) + np.uint64(1))) * np.uint64(0x9E3779B97F4A7C15)
            value = value ^ (value >> np.uint64(29))
    return value
