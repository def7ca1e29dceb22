"""Measure how varied generated instructions are, and how far from their seeds.

Nothing here asks a teacher. In: texts. Out: numbers, in characters because Chinese has no spaces to
count words by, and maps of texts. Shown in notebook 02.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from miniluotuo_utils.text import folded, jaccard

if TYPE_CHECKING:
    import numpy as np


def mattr(tokens: Sequence[str], window: int = 50) -> float:
    """Return the moving-average type-token ratio, times 100, as LaMini-LM reports it.

    It is the mean share of distinct tokens in every window of `window` tokens. Fewer tokens than
    the window: their plain ratio. No tokens: 0.

    >>> mattr("abab", window=2), mattr("aab", window=2), mattr("aab")
    (100.0, 75.0, 66.66666666666667)
    """
    if len(tokens) <= window:
        return 100 * len(set(tokens)) / len(tokens) if tokens else 0.0
    # The window slides by one token: count what comes in and what goes out, not the whole window.
    inside = Counter(tokens[:window])
    total = distinct = len(inside)
    for old, new in zip(tokens, tokens[window:], strict=False):
        distinct += not inside[new]
        inside[new] += 1
        inside[old] -= 1
        distinct -= not inside[old]
        total += distinct
    return 100 * total / (len(tokens) - window + 1) / window


def diversity(texts: Sequence[str], seed: int = 0) -> dict[str, float]:
    """Return `count`, `unique`, `mean_chars`, `mattr` (of characters) and `mattr_words`.

    `unique` is the share of texts that differ when folded. For MATTR the texts are read as one
    running text, so that the window of 50 also covers instructions shorter than that, and in an
    order drawn from `seed`: neighbours of one topic share words, and so the order of a file is no
    measure of its texts.

    >>> diversity(["写诗", "写诗。", "作画"])["unique"]
    0.6666666666666666
    >>> round(diversity(["写诗", "写诗。", "作画"])["mattr"], 1)
    71.4
    """
    count = len(texts)
    texts = random.Random(seed).sample(list(texts), count)
    running = "".join("".join(text.split()) for text in texts)
    return {
        "count": count,
        "unique": len({folded(text) for text in texts}) / count if count else 0.0,
        "mean_chars": sum(map(len, texts)) / count if count else 0.0,
        "mattr": mattr(running),
        "mattr_words": mattr(words(texts)),
    }


def nearest_seed(texts: Sequence[str], seeds: Sequence[str]) -> list[float]:
    """Return the likeness of each text to its nearest seed: Jaccard of character bigrams, 0 to 1.

    >>> nearest_seed(["写一首诗。", "今天几号"], ["写一首诗", "写一首歌"])
    [1.0, 0.0]
    """
    known = [bigrams(seed) for seed in seeds]
    return [max(map(partial(jaccard, bigrams(text)), known), default=0.0) for text in texts]


def words(texts: Iterable[str]) -> list[str]:
    """Return the words of Chinese texts in order, without punctuation and white space.

    They are cut by rjieba, the Rust port of jieba.

    >>> words(["写一首关于春天的诗。"])
    ['写', '一首', '关于', '春天', '的', '诗']
    """
    import rjieba

    cut = chain.from_iterable(map(rjieba.cut, texts))
    return [word for word in cut if any(map(str.isalnum, word))]


def bigrams(text: str) -> set[str]:
    """Return the pairs of neighbouring characters of the folded text, or its only character.

    >>> sorted(bigrams("写一首"))
    ['一首', '写一']
    """
    text = folded(text)
    return set(map("".join, pairwise(text))) or set(text)


def tf_idf(texts: Sequence[str]) -> np.ndarray:
    """Return a vector of each text: its pairs of characters, a rare pair counts more.

    [texts, pairs]; each count times log(texts / texts with that pair).

    >>> [[round(float(number), 2) for number in row] for row in tf_idf(["春天", "春天来"])]
    [[0.0, 0.0], [0.0, 0.69]]
    """
    import numpy as np

    found = [sorted(bigrams(text)) for text in texts]
    held = Counter(chain.from_iterable(found))
    column = {pair: place for place, pair in enumerate(held)}
    vectors = np.zeros((len(texts), len(column)))
    for row, pairs in enumerate(found):
        for pair in pairs:
            vectors[row, column[pair]] = np.log(len(texts) / held[pair])
    return vectors


def nearest_other(vectors: np.ndarray) -> list[int]:
    """Return for each row of `vectors` [texts, width] the other one that points most alike.

    Rows are centred first: what all texts share tells none from another.

    >>> import numpy as np
    >>> nearest_other(np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]]))
    [1, 0, 3, 2]
    """
    import numpy as np

    centred = vectors - vectors.mean(0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -np.inf)
    return alike.argmax(1).tolist()


def flat(vectors: np.ndarray) -> np.ndarray:
    """Return `vectors` [texts, width] as points of a map [texts, 2]: the two directions in which
    they differ most (principal components).

    >>> import numpy as np
    >>> abs(flat(np.array([[0.0, 3.0, 1.0], [0.0, -3.0, 1.0]]))[:, 0]).round(6).tolist()
    [3.0, 3.0]
    """
    import numpy as np

    centred = vectors - vectors.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, :2] * sizes[:2]
