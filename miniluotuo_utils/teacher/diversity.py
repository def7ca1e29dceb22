"""Measure how varied generated instructions are, and how far from their seeds.

Nothing here asks a teacher. In: texts. Out: numbers, in characters because Chinese has no spaces to
count words by. Shown in notebook 02.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain, dropwhile, pairwise
from typing import TYPE_CHECKING
from zlib import crc32

from miniluotuo_utils.text import folded, jaccard

if TYPE_CHECKING:
    import numpy as np

CLAUSE_END = re.compile("[，。！？；：,.!?;:\n]")
# words before the verb that says what to do, which jieba takes for verbs: 请写, 帮我写, 给我写
POLITE = ("请", "帮", "要", "给", "把", "用", "让", "以")


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


def diversity(texts: Sequence[str]) -> dict[str, float]:
    """Return `count`, `unique`, `mean_chars`, `mattr` (of characters) and `mattr_words`.

    `unique` is the share of texts that differ when folded. For MATTR the texts are read as one
    running text, so that the window of 50 also covers instructions shorter than that.

    >>> diversity(["写诗", "写诗。", "作画"])["unique"]
    0.6666666666666666
    >>> round(diversity(["写诗", "写诗。", "作画"])["mattr"], 1)
    71.4
    """
    count = len(texts)
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


def verb_objects(texts: Iterable[str]) -> Counter[tuple[str, str]]:
    """Count how often an instruction's first verb goes with the noun that ends its clause.

    >>> verb_objects(["写一首关于春天的诗。", "请写一首诗", "天为什么是蓝的？"])[("写", "诗")]
    2
    """
    import rjieba

    counts: Counter[tuple[str, str]] = Counter()
    for text in texts:
        tagged = rjieba.tag(CLAUSE_END.split(text)[0])
        pairs = [(word, tag) for word, tag in tagged if word not in POLITE]
        pairs = list(dropwhile(lambda pair: not pair[1].startswith("v"), pairs))
        nouns = [word for word, tag in pairs[1:] if tag[0] in "nt"]
        if nouns:
            counts[pairs[0][0], nouns[-1]] += 1
    return counts


def text_map(texts: Sequence[str]) -> np.ndarray:
    """Return two coordinates per text, (n, 2); near texts share many bigrams.

    TF-IDF of hashed character bigrams, projected on the two directions of most variance. The signs
    of the axes mean nothing; they are fixed so that the same texts give the same picture.
    """
    import numpy as np

    counts = np.zeros((len(texts), 4096), np.float32)
    for row, text in enumerate(map(folded, texts)):
        for pair in map("".join, pairwise(text)):
            counts[row, crc32(pair.encode("utf-8", "replace")) % 4096] += 1
    weights = np.log1p(counts) * np.log((1 + len(texts)) / (1 + (counts > 0).sum(0)))
    weights /= np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-9)
    u, s, _ = np.linalg.svd(weights - weights.mean(0), full_matrices=False)
    places = u[:, :2] * s[:2]
    return places * np.where(places[np.abs(places).argmax(0), range(2)] < 0, -1, 1)


def bigrams(text: str) -> set[str]:
    """Return the pairs of neighbouring characters of the folded text, or its only character.

    >>> sorted(bigrams("写一首"))
    ['一首', '写一']
    """
    text = folded(text)
    return set(map("".join, pairwise(text))) or set(text)
