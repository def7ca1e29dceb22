"""Say how long a training will be, and where it is.

In: what `finetune` tells its `show`. Out: words before the first step, then a line on stderr. Used
by `train`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from miniluotuo_utils.students.devices import world_size
from miniluotuo_utils.terminal import Progress

if TYPE_CHECKING:
    from miniluotuo_utils.students.training import Training

FEW = 30  # steps under which a training is worth a word


class Watch:
    """Tell a person how many steps a training will take, then where it is: a `show` of `finetune`.

    `say` is told the first, stderr shows the second.
    """

    def __init__(self, say: Callable[[str], object], options: Mapping) -> None:
        self.say, self.options = say, options
        self.progress = Progress(None, shown=False)

    def begin(self, training: Training, steps: int) -> None:
        """Say how many steps there will be, and where that is too few to learn from."""
        size, minutes = rows_a_step(self.options), self.options.get("minutes")
        until = f"，最多 {minutes:g} 分钟 or {minutes:g} minutes" if minutes else ""
        on = f"，接着第 {training.steps:,} 步 after step {training.steps:,}" if training.log else ""
        self.say(
            f"训练 {steps:,} 步，每步至多 {size:,} 行{until}{on}。 "
            f"{steps:,} steps of at most {size:,} rows or packed sequences."
        )
        if steps < FEW:
            self.say(few_steps(steps, self.options))
        self.progress = Progress(steps, "步 steps", training.steps, pause=0.0)

    def __call__(self, training: Training) -> None:
        """Show the last step: its loss, the speed, the time left."""
        line, speed = training.log[-1], training.meter.rates()["tokens_per_second"]
        minutes = self.options.get("minutes")
        left = None
        # Whichever of the two ends the training first.
        if minutes:
            done, seconds = line["step"] - self.progress.kept, line["seconds"]
            by_steps = (self.progress.total - line["step"]) * self.progress.elapsed() / max(1, done)
            left = min(by_steps, minutes * 60 - seconds)
        rate = f"{speed:,.0f} tokens/s" if speed else ""
        self.progress.at(line["step"], f"loss {line['loss']:.3f}", left=left, rate=rate)
        if line["step"] == self.progress.total:
            self.progress.close()


def rows_a_step(options: Mapping) -> int:
    """Return how many rows one optimizer step sees at most, over all processes."""
    return options.get("batch_size", 8) * options.get("accumulate", 1) * world_size()


def few_steps(steps: int, options: Mapping) -> str:
    """Return the warning for a training that is too short to learn much, with the way out.

    >>> few_steps(5, {"max_steps": 5}).partition("--")[2]
    'max-steps 30.'
    >>> few_steps(12, {"epochs": 2}).partition("--")[2]
    'epochs 5, or smaller --batch-size and --accumulate.'
    """
    more = f"--epochs {math.ceil(options.get('epochs', 1.0) * FEW / steps)}"
    way = f"{more}, or smaller --batch-size and --accumulate"
    if options.get("max_steps"):
        way = f"--max-steps {FEW}"
    return (
        f"注意 WARNING: 只有 {steps} 步，不到 {FEW}：学习率先升后降，没有几步是全速，学不到多少。 "
        f"Under {FEW} steps the learning rate rises and falls again before much is learned. "
        f"Take more rows, or at least {way}."
    )
