"""Say how long a training will be, and where it is.

In: what `finetune` tells its `show`. Out: words before the first step, then a line on stderr. Used
by `train`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from miniluotuo_utils.progress import progress_bar
from miniluotuo_utils.students.devices import world_size

if TYPE_CHECKING:
    from tqdm import tqdm

    from miniluotuo_utils.students.training import Training

SHOWN = "{n_fmt}/{total_fmt}{unit}{postfix}"  # time left is ours: minutes may end a training
FEW = 30  # steps under which a training is worth a word


class Watch:
    """Tell a person how many steps a training will take, then where it is: a `show` of `finetune`.

    `say` is told the first, stderr shows the second.
    """

    def __init__(self, say: Callable[[str], object], options: Mapping) -> None:
        self.say, self.options = say, options
        self.bar: tqdm | None = None

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
        self.bar = progress_bar(
            total=steps,
            unit="步 steps",
            kept=training.steps,
            bar_format=SHOWN,
            delay=0,
            mininterval=0,
        )

    def __call__(self, training: Training) -> None:
        """Show the last step: its loss, the speed, the time left; at the end, close the line."""
        line, speed = training.log[-1], training.meter.rates()["tokens_per_second"]
        minutes, bar = self.options.get("minutes"), self.bar
        # Whoever comes back to a training that had ended is shown no step of it.
        if bar is None:
            return
        # Whichever of steps and minutes ends the training first.
        done, elapsed = line["step"] - bar.initial, bar.format_dict["elapsed"]
        left = (bar.total - line["step"]) * elapsed / max(1, done) if bar.total else 0.0
        if minutes:
            left = min(left, minutes * 60 - line["seconds"])
        rate = f", {speed:,.0f} tokens/s" if speed else ""
        time_left = bar.format_interval(max(0.0, left))
        bar.set_postfix_str(f"loss {line['loss']:.3f}{rate}, 还剩 left {time_left}", refresh=False)
        bar.update(line["step"] - bar.n)
        if training.seconds:
            bar.close()


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
