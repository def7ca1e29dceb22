"""Say how sure a score is: bootstrap intervals, paired tests, spread over schema orders.

In: gold and predicted records, or several results of `score`. Out: dicts nested like those of
`score`. All of them work on the counts of each sentence, so they hold for every mode. Shown in
notebook 05.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev

from miniluotuo_utils.ie.modes import ruled
from miniluotuo_utils.ie.scoring import RATES, micro, nested


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
    from miniluotuo_utils.ie.resampling import counts_by_sentence, middle, rates_of, resampled

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
    from miniluotuo_utils.ie.resampling import contrast, counts_by_sentence

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
