"""How varied are generated instructions, and how far from their seeds? Nothing here asks a teacher.

In: texts. Out: numbers, in characters because Chinese has no spaces to count words by. Shown in notebook 02.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from miniluotuo_utils.dedup import folded


def mattr(tokens: Sequence[str], window: int = 50) -> float:
    """Moving-average type-token ratio, times 100: the mean share of distinct tokens in every window of `window` tokens.

    The measure LaMini-LM reports. Fewer tokens than the window: their plain ratio. No tokens: 0.

    >>> mattr("abab", window=2), mattr("aab", window=2), mattr("aab")
    (100.0, 75.0, 66.66666666666667)
    """
    if window < 1:
        raise ValueError(f"window: found {window}, expected 1 token or more")
    if len(tokens) <= window:
        return 100 * len(set(tokens)) / len(tokens) if tokens else 0.0
    inside = Counter(tokens[:window])
    total = len(inside)
    for old, new in zip(tokens, tokens[window:], strict=False):
        inside[new] += 1
        inside[old] -= 1
        if not inside[old]:
            del inside[old]
        total += len(inside)
    return 100 * total / (len(tokens) - window + 1) / window


def diversity(texts: Sequence[str]) -> dict[str, float]:
    """`count`, `unique` (share of texts that differ when folded), `mean_chars`, and `mattr` of all their characters.

    The texts are read as one running text, so that the window of 50 also covers instructions shorter than that.

    >>> diversity(["写诗", "写诗。", "作画"])
    {'count': 3, 'unique': 0.6666666666666666, 'mean_chars': 2.3333333333333335, 'mattr': 71.42857142857143}
    """
    count = len(texts)
    running = "".join("".join(text.split()) for text in texts)
    return {
        "count": count,
        "unique": len({folded(text) for text in texts}) / count if count else 0.0,
        "mean_chars": sum(map(len, texts)) / count if count else 0.0,
        "mattr": mattr(running),
    }


def nearest_seed(texts: Sequence[str], seeds: Sequence[str]) -> list[float]:
    """For each text its likeness to the seed nearest to it: the Jaccard index of character bigrams, 0 to 1.

    >>> nearest_seed(["写一首诗。", "今天几号"], ["写一首诗", "写一首歌"])
    [1.0, 0.0]
    """
    known = [bigrams(seed) for seed in seeds]
    return [max((jaccard(bigrams(text), seed) for seed in known), default=0.0) for text in texts]


def bigrams(text: str) -> set[str]:
    """Pairs of neighbouring characters of the folded text; of a text of one character, that character.

    >>> sorted(bigrams("写一首"))
    ['一首', '写一']
    """
    text = folded(text)
    return {text[i : i + 2] for i in range(max(len(text) - 1, min(len(text), 1)))}


def jaccard(one: set[str], other: set[str]) -> float:
    """Shared members over all members; 0 for two empty sets.

    >>> jaccard({"a", "b"}, {"b", "c", "d"})
    0.25
    """
    together = len(one | other)
    return len(one & other) / together if together else 0.0
