"""How sure a score is: bootstrap intervals, paired tests between two systems, spread over schema orders. Shown in notebook 05.

In: gold and predicted records, or several results of `score`. Out: dicts nested like those of `score`. All of them work
on the counts of each sentence, so they hold for every mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from miniluotuo_utils.ie.modes import Rule, ruled
from miniluotuo_utils.ie.scoring import RATES, aligned, headline, nested, total

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
    """95 % bootstrap intervals of micro precision, recall and F1: sentences drawn with replacement, `samples` times.

    The result is nested like that of `score`, with `micro` {precision, recall, f1: [low, high]} alone.
    """
    rule = ruled(task, mode, typed, aliases)
    rows = counts_by_sentence(gold, pred, rule)
    return nested(
        rule,
        {part: {"micro": bounds(resampled(table, samples, seed))} for part, table in rows.items()},
    )


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
    """Whether prediction `b` is better than prediction `a` of the same sentences, by micro F1.

    The result is nested like that of `score`, with `micro` alone: `a`, `b` (their F1), `difference` (b - a);
    by paired bootstrap (both on the same resampled sentences) `mean` of the difference, its 95 % `interval` and
    `not_better`, the share of resamples in which b is not better; `p`, the two-sided p-value of a paired permutation
    test: each sentence's two predictions are swapped with probability 1/2, and the p-value is
    (1 + swaps that give at least this difference) / (1 + `samples`).
    """
    rule, gold = ruled(task, mode, typed, aliases), list(gold)
    first, second = (counts_by_sentence(gold, side, rule) for side in (a, b))
    return nested(
        rule,
        {part: {"micro": contrast(first[part], second[part], samples, seed)} for part in first},
    )


def over_orders(results: Sequence[Mapping]) -> dict:
    """Micro precision, recall and F1 of several results of `score`, say one per schema order: {mean, sd} of each.

    `sd` is the sample standard deviation (n - 1). The result is nested like that of `score`, with `runs`, their number.
    ValueError for fewer than two results, or for results of different tasks or modes.
    """
    from statistics import mean, stdev

    kinds = {(r["task"], r["mode"], r.get("typed", False)) for r in results}
    if len(results) < 2 or len(kinds) > 1:
        raise ValueError(
            f"found {len(results)} results of {len(kinds)} kinds of score; expected two or more of one task and mode"
        )
    ((task, mode, typed),) = kinds
    rule, rows = ruled(task, mode, typed), [[micro for _, micro in headline(r)] for r in results]
    spread = [
        {
            rate: {"mean": mean(v), "sd": stdev(v)}
            for rate in RATES
            if (v := [m[rate] for m in column])
        }
        for column in zip(*rows, strict=True)
    ]
    return nested(
        rule, {part: {"micro": micro} for part, micro in zip(rule.parts, spread, strict=True)}
    ) | {"runs": len(results)}


def counts_by_sentence(
    gold: Iterable[Mapping], pred: Iterable[Mapping], rule: Rule
) -> dict[str, ndarray]:
    """For each part the counts of every sentence, (sentences, 3): right, predicted, gold; for duie a fourth, gold found."""
    import numpy as np

    rows: dict[str, list] = {part: [] for part in rule.parts}
    for g, p in aligned(gold, pred, rule.task):
        for part, table in rows.items():
            table.append(total(rule.counted(g, p, part)[2], rule))
    return {
        part: np.array(table, dtype=float).reshape(len(table), 4 if rule.name == "duie" else 3)
        for part, table in rows.items()
    }


def resampled(table: ndarray, samples: int, seed: int) -> ndarray:
    """Sums over sentences drawn with replacement, (samples, columns); one sample at a time, so memory stays small."""
    import numpy as np

    if samples < 1:
        raise ValueError(f"samples is {samples}; expected at least 1")
    size, draw = len(table), np.random.default_rng(seed)
    if not size:
        return np.zeros((samples, table.shape[1]))
    return np.stack(
        [np.bincount(draw.integers(0, size, size), minlength=size) @ table for _ in range(samples)]
    )


def rates_of(sums: ndarray) -> ndarray:
    """Precision, recall and F1 of sums of counts: (n, 3 or 4) -> (3, n); 0/0 is 0."""
    import numpy as np

    right, pred, gold = sums.T[:3]
    found = sums.T[3] if sums.shape[1] == 4 else right
    shares = ((right, pred), (found, gold), (2 * right * found, right * gold + found * pred))
    return np.stack([np.divide(a, b, out=np.zeros(len(sums)), where=b > 0) for a, b in shares])


def bounds(sums: ndarray) -> dict:
    """The middle 95 % of each rate."""
    import numpy as np

    return {
        rate: np.quantile(values, [0.025, 0.975]).tolist()
        for rate, values in zip(RATES, rates_of(sums), strict=True)
    }


def contrast(a: ndarray, b: ndarray, samples: int, seed: int) -> dict:
    """The fields of one part of `compare`; `a` and `b` are the counts of each sentence."""
    import numpy as np

    width = a.shape[1]
    whole = rates_of(np.stack([a.sum(axis=0), b.sum(axis=0)]))[2]
    drawn = resampled(np.hstack([a, b]), samples, seed)
    differences = rates_of(drawn[:, width:])[2] - rates_of(drawn[:, :width])[2]
    return {
        "a": float(whole[0]),
        "b": float(whole[1]),
        "difference": float(whole[1] - whole[0]),
        "mean": float(differences.mean()),
        "interval": np.quantile(differences, [0.025, 0.975]).tolist(),
        "not_better": float((differences <= 0).mean()),
        "p": permutation(a, b, samples, seed),
    }


def permutation(a: ndarray, b: ndarray, samples: int, seed: int) -> float:
    """The two-sided p-value of the difference in F1 when each sentence's two predictions are swapped at random."""
    import numpy as np

    draw, sums = np.random.default_rng(seed), a.sum(axis=0) + b.sum(axis=0)
    swapped = np.stack(
        [a.sum(axis=0)]
        + [a.sum(axis=0) + draw.integers(0, 2, len(a)) @ (b - a) for _ in range(samples)]
    )
    differences = np.abs(
        rates_of(sums - swapped)[2] - rates_of(swapped)[2]
    )  # the first is the one observed
    return float((1 + (differences[1:] >= differences[0] - 1e-12).sum()) / (1 + samples))
