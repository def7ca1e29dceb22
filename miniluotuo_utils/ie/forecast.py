"""Say what further labelled sentences would bring: a learning curve, extended with an interval.

In: what students of one recipe, trained on more and more sentences, found in the same test. Out:
the gain to expect, with an interval. Shown in notebook 07.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from miniluotuo_utils.files import DataError

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.8  # of the interval: "in four cases of five"


def forecast(
    gold: Sequence[Mapping],
    found: Mapping[int, Sequence[Mapping]],
    more: int = 100,
    task: str = "NER",
    mode: str = "span",
    samples: int = 1000,
    seed: int = 0,
) -> dict:
    """Return what `more` further sentences are expected to bring, in F1.

    `found[n]` are the records of a student that was trained on n sentences; three sizes or more,
    all of the same test, `gold`. F1 = a + b · log n is fitted by least squares: each doubling
    brings as much as the one before. That flatters a curve that flattens, so a forecast far
    beyond twice the largest size should not be believed.

    The interval (80 %) has two parts: other test sentences (bootstrap, the same draw for all
    sizes), and other trainings of the same sizes, as far as the points lie off the fitted line
    (`gains`). Few points, or points in disorder, give a wide one, and that is the truth.

    Returns `size` and `f1` of the largest n, `at` = n + more, `gain`, `interval` of the gain,
    `line` {size: fitted F1}. DataError for fewer than three sizes.
    """
    import numpy as np

    from miniluotuo_utils.ie.modes import ruled
    from miniluotuo_utils.ie.resampling import counts_by_sentence, rates_of, resampled

    sizes = sorted(found)
    if len(sizes) < 3 or sizes[0] < 1:
        raise DataError(
            f"found the sizes {sizes}; expected three or more, from 1 on"
            "（至少要有三个大小，才画得出一条线）"
        )
    # All sizes side by side, so that one draw of sentences serves them all.
    rule = ruled(task, mode, False, None)
    part = rule.parts[0]
    counts = [counts_by_sentence(gold, found[size], rule)[part] for size in sizes]
    sums = [np.hstack([one.sum(axis=0) for one in counts])[None]]
    sums.append(resampled(np.hstack(counts), samples, seed))
    f1 = np.stack([rates_of(one)[2] for one in np.hsplit(np.vstack(sums), len(sizes))])

    # Of the points as they are and of every draw; then without what cannot be: less than no F1,
    # more than all of it.
    fitted, gain, drawn = gains(sizes, f1, more, seed)
    now = float(f1[-1, 0])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {
        "size": sizes[-1],
        "f1": now,
        "at": sizes[-1] + more,
        "gain": within(gain, now),
        "interval": [within(float(low), now), within(float(high), now)],
        "line": dict(zip(sizes, fitted.tolist(), strict=True)),
    }


def gains(
    sizes: Sequence[int], f1: np.ndarray, more: int, seed: int
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the fitted line (sizes), the gain expected of it, and gains as they may turn out.

    `f1` is (sizes, 1 + samples): the points, and those of every draw of test sentences. Each draw
    has its own slope; to it comes the luck of trainings, as large as the points lie off the line
    (Student's t, two degrees of freedom less than points).
    """
    import numpy as np

    # Least squares in log n.
    x = np.log(sizes)
    away = x - x.mean()
    spread, last = away @ away, away[-1]
    slopes = away @ f1 / spread
    step = np.log((sizes[-1] + more) / sizes[-1])
    fitted = f1[:, 0].mean() + slopes[0] * away

    # Both ends of a gain have luck: the new training, and the last one, which pulls the slope too.
    free = len(sizes) - 2
    rest = ((f1[:, 0] - fitted) ** 2).sum() / free
    noise = np.sqrt(rest * (2 + step**2 / spread + 2 * step * last / spread))
    luck = np.random.default_rng(seed).standard_t(free, f1.shape[1] - 1)
    return fitted, float(slopes[0] * step), slopes[1:] * step + noise * luck


def within(gain: float, now: float) -> float:
    """Return a gain that leaves F1 between 0 and 1.

    >>> within(0.5, 0.75), within(-1.0, 0.75)
    (0.25, -0.75)
    """
    return min(max(gain, -now), 1 - now)


def forecast_words(made: Mapping) -> str:
    """Return a forecast as a sentence, in both languages.

    >>> made = {"size": 80, "f1": 0.5, "at": 180, "gain": 0.06, "interval": [-0.02, 0.11]}
    >>> print(forecast_words(made))
    再标 100 句：F1 大约 +0.06，八成会在 -0.02 和 +0.11 之间，也可能一点不涨。
    100 more: expect about +0.06, in four cases of five -0.02 to +0.11; perhaps nothing at all.
    """
    more = made["at"] - made["size"]
    gain, (low, high) = made["gain"], made["interval"]
    doubt, doubts = ("，也可能一点不涨", "; perhaps nothing at all") if low <= 0 else ("", "")
    return (
        f"再标 {more} 句：F1 大约 {gain:+.2f}，八成会在 {low:+.2f} 和 {high:+.2f} 之间"
        f"{doubt}。\n"
        f"{more} more: expect about {gain:+.2f}, in four cases of five {low:+.2f} to {high:+.2f}"
        f"{doubts}."
    )
