"""Measure how varied generated instructions are, and how far from their seeds.

Nothing here asks a teacher. In: texts. Out: numbers, in characters because Chinese has no spaces to
count words by. Shown in notebook 02.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain, pairwise

from miniluotuo_utils.text import folded, jaccard


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
