"""Draw sentences with replacement, and swap two predictions, to see how a score varies.

In: gold and predicted records, counted sentence by sentence. Out: arrays of sums and rates, for
`significance`, which alone imports this: scoring itself needs no numpy. Shown in notebook 05.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from miniluotuo_utils.ie.modes import Rule
from miniluotuo_utils.ie.scoring import aligned, total


def counts_by_sentence(
    gold: Iterable[Mapping], pred: Iterable[Mapping], rule: Rule
) -> dict[str, np.ndarray]:
    """Return for each part the counts of every sentence: (sentences, 3, or 4 for duie)."""
    rows: dict[str, list] = {part: [] for part in rule.parts}
    for g, p in aligned(gold, pred, rule.task):
        for part, counts in rows.items():
            counts.append(total(rule.counted(g, p, part)[2], rule))
    width = len(total({}, rule))
    return {part: np.array(rows[part], dtype=float).reshape(-1, width) for part in rows}


def resampled(counts: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Return sums over sentences drawn with replacement: (sentences, n) -> (samples, n)."""
    if samples < 1:
        raise ValueError(f"samples is {samples}; expected at least 1")
    size, draw = len(counts), np.random.default_rng(seed)
    if not size:
        return np.zeros((samples, counts.shape[1]))

    # One sample at a time: all at once would hold samples × sentences numbers.
    return np.stack(
        [np.bincount(draw.integers(0, size, size), minlength=size) @ counts for _ in range(samples)]
    )


def rates_of(sums: np.ndarray) -> np.ndarray:
    """Return precision, recall and F1 of sums of counts: (n, 3 or 4) -> (3, n); 0/0 is 0."""
    # The last column is gold found where there are four, else right stands for it.
    right, pred, gold = sums.T[:3]
    found = sums.T[3] if sums.shape[1] == 4 else right
    shares = ((right, pred), (found, gold), (2 * right * found, right * gold + found * pred))
    return np.stack([np.divide(a, b, out=np.zeros(len(sums)), where=b > 0) for a, b in shares])


def middle(values: np.ndarray) -> list[float]:
    """Return the bounds of the middle 95 % of some values."""
    return np.quantile(values, [0.025, 0.975]).tolist()


def contrast(a: np.ndarray, b: np.ndarray, samples: int, seed: int) -> dict:
    """Return the fields of one part of `compare` from the counts of each sentence."""
    one, other = rates_of(np.stack([a.sum(axis=0), b.sum(axis=0)]))[2].tolist()

    # Side by side, both are drawn at the same sentences.
    drawn = np.hsplit(resampled(np.hstack([a, b]), samples, seed), 2)
    differences = rates_of(drawn[1])[2] - rates_of(drawn[0])[2]
    return {
        "a": one,
        "b": other,
        "difference": other - one,
        "mean": float(differences.mean()),
        "interval": middle(differences),
        "not_better": float((differences <= 0).mean()),
        "p": permutation(a, b, samples, seed),
    }


def permutation(a: np.ndarray, b: np.ndarray, samples: int, seed: int) -> float:
    """Return the two-sided p-value of the difference in F1 when predictions are swapped."""
    # What a swap adds to one side it takes from the other, so the sum of both stays.
    draw, start, both = np.random.default_rng(seed), a.sum(axis=0), a.sum(axis=0) + b.sum(axis=0)
    swapped = [start + draw.integers(0, 2, len(a)) @ (b - a) for _ in range(samples)]
    sums = np.stack([start, *swapped])
    differences = np.abs(rates_of(both - sums)[2] - rates_of(sums)[2])

    # The first is the one observed; sums of credits may differ from it in the last digit.
    return float((1 + (differences[1:] >= differences[0] - 1e-12).sum()) / (1 + samples))
