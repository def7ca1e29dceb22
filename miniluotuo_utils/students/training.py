"""Record a training: what was asked for, its schedule, its speed, its log. Shown in notebook 04.

In: batches, losses and wall time. Out: one line per step, and rates for `run.json`.
"""

from __future__ import annotations

import time
from collections import namedtuple
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.runtime import peak_memory_mib
from miniluotuo_utils.students.devices import peak_of, world_size
from miniluotuo_utils.students.estimate import training_flops
from miniluotuo_utils.students.loading import Student
from miniluotuo_utils.tokens import IGNORED

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

# Shares of the training: the learning rate rises at its start and falls at its end.
WARM_UP = 0.05
FALL = 0.5
LONGEST_RISE = 20  # steps, where minutes end the training and nobody knows how many steps fit


# What `finetune` was asked for; types, defaults and their meaning stand there. A training that goes
# on from a folder must have the options that its `settings.json` holds.
Options = namedtuple(
    "Options",
    "method epochs max_steps minutes max_length batch_size accumulate learning_rate rank "
    "alpha dropout targets evaluation checkpointing seed checkpoints half",
)


@dataclass
class Schedule:
    """Follow a training in steps or minutes: its learning rate, and when to save and to stop.

    The libraries know steps only (`warmup_stable_decay`, `save_steps` below 1). Where `minutes` end
    the training, the rate must fall with wall time, whatever number of steps that allows.
    """

    minutes: float | None
    checkpoints: int
    planned: int = 1  # optimizer steps, if time allows
    started: float = 0.0
    elapsed: float = 0.0  # seconds at the end of the last step
    passed: int = -1  # parts that are over; -1 before the first step of this process

    def begin(self, elapsed: float) -> None:
        """Start the clock, or go on after `elapsed` seconds of an earlier process."""
        self.elapsed = elapsed
        self.started = time.time() - elapsed

    def tick(self) -> None:
        """Take the time, once per step."""
        from accelerate.utils import broadcast_object_list

        # The first process's time is everybody's: else each would stop and save at its own step.
        self.elapsed = broadcast_object_list([time.time() - self.started])[0]

    def share(self, step: int) -> float:
        """Return the part of the training that is over, 0 to 1."""
        in_time = self.elapsed / (self.minutes * 60) if self.minutes else 0.0
        return min(1.0, max(step / max(1, self.planned), in_time))

    def factor(self, step: int) -> float:
        """Return what the peak learning rate is multiplied by: it rises, stays flat, and falls."""
        rising = WARM_UP * self.planned
        if self.minutes:
            rising = min(LONGEST_RISE, rising)
        rise = (step + 1) / max(1.0, rising)
        fall = (1 - self.share(step)) / FALL
        return min(1.0, rise, max(0.01, fall))

    def due(self, step: int) -> bool:
        """Return whether another of the parts is over; with fewer steps than parts, every step."""
        # After a restart, the parts before this step were saved by the process that was killed.
        if self.passed < 0:
            self.passed = int(self.share(step - 1) * self.checkpoints)
        before = self.passed
        self.passed = max(before, int(self.share(step) * self.checkpoints))
        return self.passed > before or self.over()

    def over(self) -> bool:
        """Return whether the minutes are used up."""
        return bool(self.minutes) and self.elapsed >= self.minutes * 60


RATES = ("tokens_per_second", "supervised_per_second", "mfu")

# What was counted until one moment.
Mark = namedtuple("Mark", "seconds tokens supervised", defaults=(0, 0))


class Throughput:
    """Count what a training sees: `count` after every batch, `totals` after every optimizer step.

    A token is a position that is not padding: `attention_mask` says so where the batch has one,
    else its id is not `pad_id` or it has a label (packed rows have no mask, and an end id may serve
    as padding). Rates run from the first optimizer step to the last, evaluation and checkpoints
    included; the first step, which warms up, is left out unless it is the only one.
    """

    def __init__(
        self,
        config: PretrainedConfig,
        length: int,
        method: str,
        device: torch.device,
        pad_id: int,
    ) -> None:
        self.config, self.length, self.method = config, length, method
        self.device, self.pad_id = device, pad_id
        self.positions, self.rows, self.answer_positions = 0, 0, 0
        self.waiting: list[Any] = []  # tensors [tokens, supervised], one per batch of this step
        self.first = self.last = Mark(time.perf_counter())
        self.warm, self.before = False, dict.fromkeys(RATES)

    def count(self, inputs: Mapping[str, torch.Tensor]) -> None:
        """Add one batch: `input_ids`, `labels` [rows, tokens], and `attention_mask` if it has one.

        An encoder–decoder's labels are its answers [rows, tokens of the longest answer].
        """
        import torch

        ids, labels = inputs["input_ids"], inputs["labels"]
        both, mask = self.config.is_encoder_decoder, inputs.get("attention_mask")
        wanted = labels != IGNORED
        real = ids != self.pad_id if mask is None else mask != 0

        # A decoder's answer stands in its ids, and nothing predicts a row's first token. An
        # encoder–decoder's answer is a sequence of its own, whose first token is predicted too.
        supervised = wanted.sum() if both else wanted[:, 1:].sum()
        tokens = real.sum() + supervised if both else (real | wanted).sum()
        apart = labels.numel() if both else 0

        # The sums stay on the device until `totals`, where the loss is read anyway: reading them
        # here would make a GPU wait. Other processes' batches are about as wide as this one.
        self.waiting.append(torch.stack([tokens, supervised]))
        self.positions += (ids.numel() + apart) * world_size()
        self.answer_positions += apart
        self.rows += len(ids)

    def totals(self) -> dict[str, Any]:
        """End an optimizer step; return for the log what was counted until now, and the rates."""
        import torch
        from accelerate.utils import reduce

        tokens, supervised = reduce(torch.stack(self.waiting).sum(dim=0), "sum").tolist()
        self.waiting.clear()
        self.last = Mark(
            time.perf_counter(), self.last.tokens + tokens, self.last.supervised + supervised
        )
        rates = self.rates()
        if not self.warm:
            self.first, self.before, self.warm = self.last, rates, True
        return {
            "tokens": self.last.tokens,
            "supervised": self.last.supervised,
            "positions": self.positions,
            **rates,
        }

    def resume(self, line: Mapping[str, Any]) -> None:
        """Go on from the last line of an earlier log; rates speak of this process only."""
        self.positions, self.before = line["positions"], {name: line.get(name) for name in RATES}
        self.first = self.last = Mark(time.perf_counter(), line["tokens"], line["supervised"])

    def rates(self) -> dict[str, float | None]:
        """Return tokens and supervised tokens per second, and MFU.

        MFU is our FLOP count over the device's peak, 0 to 1, and None where the peak is unknown.
        """
        ends = zip(self.first, self.last, strict=True)
        seconds, tokens, supervised = (after - before for before, after in ends)
        # After one step, or none since a restart, there is nothing newer than what the log says.
        if not tokens:
            return self.before
        peak = peak_of(self.device)[0]
        mfu = self.flops(tokens, supervised) / seconds / (peak * world_size()) if peak else None
        return {
            "tokens_per_second": tokens / seconds,
            "supervised_per_second": supervised / seconds,
            "mfu": mfu,
        }

    def flops(self, tokens: int, supervised: int) -> float:
        """Return the FLOPs of training on so many tokens, as `estimate.training_flops` counts them.

        What recomputation adds is not counted, as MFU's definition has it.
        """
        if not self.config.is_encoder_decoder:
            return training_flops(self.config, tokens, supervised, self.length, self.method)
        return training_flops(
            self.config,
            tokens - supervised,
            supervised,
            self.length,
            self.method,
            target_tokens=supervised,
            target_length=self.answer_positions / max(1, self.rows),
        )

    def metrics(self) -> dict[str, Any]:
        """Return rates, share of non-padding, FLOPs and peak memory in bytes, for `run.json`."""
        memory = "gpu" if self.device.type == "cuda" else "ram"
        return {
            **self.rates(),
            "mfu_peak": peak_of(self.device)[1],
            "non_padding": self.last.tokens / self.positions if self.positions else None,
            "flops": self.flops(self.last.tokens, self.last.supervised),
            "peak_memory_bytes": peak_memory_mib().get(memory, 0) << 20,
        }


@dataclass
class Training:
    """What came out of `finetune`: the `student`, its `log` (one dict per step), and metrics."""

    student: Student
    method: str
    meter: Throughput
    log: list[dict] = field(default_factory=list)
    evaluations: list[dict] = field(default_factory=list)
    seconds: float = 0.0
    trainable: int = 0  # parameters
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> rows left out
    state: dict | None = None  # the gathered weights, where FSDP had cut them over processes

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return self.log[-1]["step"] if self.log else 0

    @property
    def tokens(self) -> int:
        """Tokens seen, without padding."""
        return self.log[-1]["tokens"] if self.log else 0

    def metrics(self) -> dict[str, Any]:
        """Return the numbers as one flat dict, for `run.json` and tables."""
        losses = [line["loss"] for line in self.log] or [None]
        return {
            "method": self.method,
            "steps": self.steps,
            "train_seconds": self.seconds,
            "tokens": self.tokens,
            "supervised_tokens": self.log[-1]["supervised"] if self.log else 0,
            "trainable_parameters": self.trainable,
            "parameters": self.student.parameters,
            "dropped": self.dropped,
            "first_loss": losses[0],
            "last_loss": losses[-1],
            "eval_loss": self.evaluations[-1]["eval_loss"] if self.evaluations else None,
            **self.meter.metrics(),
        }

    figures = metrics  # the name that earlier versions had
