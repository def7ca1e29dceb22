"""Say how sure a score is: bootstrap intervals, paired tests, spread over schema orders.

In: gold and predicted records, or several results of `score`. Out: dicts nested like those of
`score`. All of them work on the counts of each sentence, so they hold for every mode. Shown in
notebook 05.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING

from miniluotuo_utils.ie.modes import Rule, ruled
from miniluotuo_utils.ie.scoring import RATES, aligned, micro, nested, total

if TYPE_CHECKING:
    from numpy import ndarray


def interval(
    gold: Iterable[Mapping],
    pred: Iterable[Mapping],
    task: str,
    mode: str = "span",
    samples: int = 1000,
    seed: int = 0,
    *,
    typed: bool = False,
    aliases: Mapping[str, Sequence[str]] | None = None,
) -> dict:
    """Return 95 % bootstrap intervals of micro precision, recall and F1.

    Sentences are drawn with replacement, `samples` times; the same `seed` gives the same intervals.
    The other arguments and the errors are those of `score`; `samples` below 1 is a ValueError too.

    The result is nested like that of `score`, with `micro` {precision, recall, f1: [low, high]}
    alone.
    """
    rule = ruled(task, mode, typed, aliases)
    parts = {}
    for part, counts in counts_by_sentence(gold, pred, rule).items():
        rates = rates_of(resampled(counts, samples, seed))
        parts[part] = {"micro": dict(zip(RATES, map(middle, rates), strict=True))}
    return nested(rule, parts)


def compare(
    gold: Iterable[Mapping],
    a: Iterable[Mapping],
    b: Iterable[Mapping],
    task: str,
    mode: str = "span",
    samples: int = 1000,
    seed: int = 0,
    *,
    typed: bool = False,
    aliases: Mapping[str, Sequence[str]] | None = None,
) -> dict:
    """Compare two predictions `a` and `b` of the same sentences by micro F1.

    The result is nested like that of `score`, with `micro` alone:

    a, b: the F1 of each. difference: b - a.
    mean, interval: of the difference by paired bootstrap, both predictions on the same resampled
      sentences: its mean and its middle 95 %.
    not_better: the share of these resamples in which b is not better.
    p: the two-sided p-value of a paired permutation test. Each sentence's two predictions are
      swapped with probability 1/2; p is (1 + swaps that give at least this difference) /
      (1 + `samples`).

    The other arguments and the errors are those of `interval`.
    """
    rule, gold = ruled(task, mode, typed, aliases), list(gold)
    first, second = counts_by_sentence(gold, a, rule), counts_by_sentence(gold, b, rule)
    parts = {part: contrast(first[part], second[part], samples, seed) for part in first}
    return nested(rule, {part: {"micro": found} for part, found in parts.items()})


def over_orders(results: Sequence[Mapping]) -> dict:
    """Return {mean, sd} of micro precision, recall and F1 over several results of `score`.

    results: of one task and mode, say one per order of the schema. `sd` is the sample standard
    deviation (n - 1).

    The result is nested like that of `score`, with `runs`, the number of results. Raises ValueError
    for fewer than two results, or for results of different tasks or modes.
    """
    kinds = {(r["task"], r["mode"], r.get("typed", False)) for r in results}
    if len(results) < 2 or len(kinds) > 1:
        raise ValueError(
            f"found {len(results)} results of {len(kinds)} kinds of score; expected two or more of "
            "one task and mode"
        )
    ((task, mode, typed),) = kinds
    rule, parts = ruled(task, mode, typed), {}
    for part, runs in zip(rule.parts, zip(*map(micro, results), strict=True), strict=True):
        spread = {}
        for rate in RATES:
            values = [figures[rate] for _, figures in runs]
            spread[rate] = {"mean": mean(values), "sd": stdev(values)}
        parts[part] = {"micro": spread}
    return nested(rule, parts) | {"runs": len(results)}


def counts_by_sentence(
    gold: Iterable[Mapping], pred: Iterable[Mapping], rule: Rule
) -> dict[str, ndarray]:
    """Return for each part the counts of every sentence: (sentences, 3, or 4 for duie)."""
    import numpy as np

    rows: dict[str, list] = {part: [] for part in rule.parts}
    for g, p in aligned(gold, pred, rule.task):
        for part, counts in rows.items():
            counts.append(total(rule.counted(g, p, part)[2], rule))
    width = len(total({}, rule))
    return {part: np.array(rows[part], dtype=float).reshape(-1, width) for part in rows}


def resampled(counts: ndarray, samples: int, seed: int) -> ndarray:
    """Return sums over sentences drawn with replacement: (sentences, n) -> (samples, n)."""
    import numpy as np

    if samples < 1:
        raise ValueError(f"samples is {samples}; expected at least 1")
    size, draw = len(counts), np.random.default_rng(seed)
    if not size:
        return np.zeros((samples, counts.shape[1]))

    # One sample at a time: all at once would hold samples × sentences numbers.
    return np.stack(
        [np.bincount(draw.integers(0, size, size), minlength=size) @ counts for _ in range(samples)]
    )


def rates_of(sums: ndarray) -> ndarray:
    """Return precision, recall and F1 of sums of counts: (n, 3 or 4) -> (3, n); 0/0 is 0."""
    import numpy as np

    # The last column is gold found where there are four, else right stands for it.
    right, pred, gold = sums.T[:3]
    found = sums.T[3] if sums.shape[1] == 4 else right
    shares = ((right, pred), (found, gold), (2 * right * found, right * gold + found * pred))
    return np.stack([np.divide(a, b, out=np.zeros(len(sums)), where=b > 0) for a, b in shares])


def middle(values: ndarray) -> list[float]:
    """Return the bounds of the middle 95 % of some values."""
    import numpy as np

    return np.quantile(values, [0.025, 0.975]).tolist()


def contrast(a: ndarray, b: ndarray, samples: int, seed: int) -> dict:
    """Return the fields of one part of `compare` from the counts of each sentence."""
    import numpy as np

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


def permutation(a: ndarray, b: ndarray, samples: int, seed: int) -> float:
    """Return the two-sided p-value of the difference in F1 when predictions are swapped."""
    import numpy as np

    # What a swap adds to one side it takes from the other, so the sum of both stays.
    draw, start, both = np.random.default_rng(seed), a.sum(axis=0), a.sum(axis=0) + b.sum(axis=0)
    swapped = [start + draw.integers(0, 2, len(a)) @ (b - a) for _ in range(samples)]
    sums = np.stack([start, *swapped])
    differences = np.abs(rates_of(both - sums)[2] - rates_of(sums)[2])

    # The first is the one observed; sums of credits may differ from it in the last digit.
    return float((1 + (differences[1:] >= differences[0] - 1e-12).sum()) / (1 + samples))
