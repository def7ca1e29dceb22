"""Follow a training: its log, schedule and meter. Shown in notebook 04.

In: batches and losses. Out: one line per step, and rates for `run.json`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.runtime import peak_memory_mib
from miniluotuo_utils.students.devices import over_processes, peak_of, world_size
from miniluotuo_utils.students.estimate import training_flops
from miniluotuo_utils.students.loading import Student
from miniluotuo_utils.tokens import IGNORED

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig


WARM_UP, FALL = (
    0.05,
    0.5,
)  # shares of the training: linear rise at its start, linear fall at its end


class Watch:
    """How far a training is, in steps or minutes; what is due; and what its log says."""

    def __init__(
        self,
        training: Training,
        minutes: float | None,
        checkpoints: int = 10,
        file: Path | None = None,
        show: Callable[[Training], None] | None = None,
    ) -> None:
        self.training, self.limit, self.checkpoints, self.file, self.show = (
            training,
            (minutes or 0) * 60,
            checkpoints,
            file,
            show,
        )
        self.planned, self.started, self.elapsed, self.passed = 1, 0.0, 0.0, -1
        self.saves = self.evaluates = False

    def begin(self) -> None:
        """Start, or go on with the seconds that the log already holds."""
        self.elapsed = self.training.log[-1]["seconds"] if self.training.log else 0.0
        self.started = time.time() - self.elapsed

    def tick(self) -> None:
        """Take the time once per step, the first process's for all: else each would stop, save and slow down at a step of its own."""
        self.elapsed = time.time() - self.started
        if self.limit and world_size() > 1:
            import torch

            shared = torch.tensor([self.elapsed], device=self.training.student.model.device)
            torch.distributed.broadcast(shared, 0)
            self.elapsed = shared.item()

    def share(self, step: int) -> float:
        """The part of the training that is over, 0 to 1."""
        in_time = self.elapsed / self.limit if self.limit else 0.0
        return min(1.0, max(step / max(1, self.planned), in_time))

    def factor(self, step: int) -> float:
        """The learning rate's factor: rise over 5 % (at most 20 steps where minutes end the training), flat, fall over the last half."""
        share, rising = self.share(step), WARM_UP * self.planned
        rise = (step + 1) / max(1.0, min(20.0, rising) if self.limit else rising)
        return min(1.0, rise, max(0.01, (1 - share) / FALL))

    def due(self, step: int) -> bool:
        """Whether another tenth (of `checkpoints`) of the training is over; with fewer steps than that, every step."""
        now = int(self.share(step) * self.checkpoints)
        if self.passed < 0:  # the first step, also after a restart
            self.passed = int(self.share(step - 1) * self.checkpoints)
        is_due, self.passed = now > self.passed, max(now, self.passed)
        return is_due or self.over()

    def over(self) -> bool:
        """Whether the minutes are used up."""
        return bool(self.limit) and self.elapsed >= self.limit

    def note(self, step: int, logs: Mapping, main: bool = True) -> None:
        """Keep one line of the log; a loss that is not a number stops the training at once."""
        if "eval_loss" in logs:
            self.training.evaluations.append({"step": step, "eval_loss": float(logs["eval_loss"])})
            if main:
                self.write(self.training.evaluations[-1])
        if "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} at step {step}: lower learning_rate, or look for rows without an answer"
            )
        line = {
            "step": step,
            "loss": loss,
            "learning_rate": logs.get("learning_rate"),
            "seconds": time.time() - self.started,
            **self.training.meter.totals(),
        }
        self.training.log.append(line)
        if main:
            self.write(line)
            if self.show:
                self.show(self.training)

    def write(self, line: Mapping) -> None:
        """Append one line to the training's file, where there is one."""
        if self.file:
            with open(self.file, "a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")


RATES = ("tokens_per_second", "supervised_per_second", "mfu")


@dataclass
class Mark:
    """What was counted until one moment."""

    seconds: float
    tokens: int = 0
    supervised: int = 0


class Throughput:
    """Counts what a training sees. `count` after every batch, `totals` after every optimizer step, `figures` at the end.

    A token is a position that is not padding: `attention_mask` says so where the batch has one, else its id is not `pad_id` or it
    has a label (packed rows have no mask, and an end id may serve as padding). Counting never waits for a GPU: sums
    stay on the device and are read by `totals`, where the loss is read anyway. Rates run from the first optimizer step
    to the last, evaluation and checkpoints included; the first step, which warms up, is left out unless it is the only one.
    """

    def __init__(
        self,
        config: PretrainedConfig,
        length: int,
        method: str,
        device: torch.device,
        pad_id: int | None = None,
    ) -> None:
        self.config, self.length, self.method, self.device, self.pad_id = (
            config,
            length,
            method,
            device,
            pad_id,
        )
        self.positions, self.rows, self.answer_positions = 0, 0, 0
        self.waiting: list[Any] = []  # [tokens, supervised] of batches that nobody has read yet
        self.first = self.last = Mark(time.perf_counter())
        self.ticks, self.before = 0, {}

    def count(self, inputs: Mapping[str, torch.Tensor]) -> None:
        """Add one batch: `input_ids` and `labels` [rows, tokens], perhaps `attention_mask`; an encoder–decoder's labels are its answers."""
        import torch

        ids, labels = inputs["input_ids"], inputs["labels"]
        both, mask = self.config.is_encoder_decoder, inputs.get("attention_mask")
        wanted = labels != IGNORED
        if mask is not None and mask.shape == ids.shape:
            real = mask != 0
        elif self.pad_id is None:
            real = torch.ones_like(ids, dtype=torch.bool)
        else:
            real = ids != self.pad_id
        if not both:
            real = real | wanted
        supervised = wanted.sum() if both else wanted[:, 1:].sum()
        self.waiting.append(torch.stack([real.sum() + supervised * both, supervised]))
        self.positions += (
            ids.numel() + labels.numel() * both
        ) * world_size()  # about: other processes' batches may be wider or narrower
        self.rows += len(ids)
        self.answer_positions += labels.numel() * both

    def totals(self) -> dict[str, Any]:
        """One optimizer step is over: what was counted until now, and the rates, for the log."""
        tokens, supervised = over_processes(
            [sum(int(pair[i]) for pair in self.waiting) for i in (0, 1)], self.device
        )
        self.waiting.clear()
        self.last = Mark(
            time.perf_counter(), self.last.tokens + tokens, self.last.supervised + supervised
        )
        self.ticks += 1
        rates = self.rates()
        if self.ticks == 1:
            self.first, self.before = self.last, rates
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
        """Tokens and supervised tokens per second, and MFU: our FLOP count over the peak of the device, 0 to 1."""
        seconds, tokens = (
            self.last.seconds - self.first.seconds,
            self.last.tokens - self.first.tokens,
        )
        supervised = self.last.supervised - self.first.supervised
        if not tokens:  # one step, or none after a restart: what the log said last
            return self.before or dict.fromkeys(RATES)
        peak = peak_of(self.device)[0]
        mfu = self.flops(tokens, supervised) / seconds / (peak * world_size()) if peak else None
        return {
            "tokens_per_second": tokens / seconds,
            "supervised_per_second": supervised / seconds,
            "mfu": mfu,
        }

    def flops(self, tokens: int, supervised: int) -> float:
        """FLOPs of training on so many tokens, by `sizes.training_flops`; recomputation is not counted, as MFU's definition has it."""
        if not self.config.is_encoder_decoder:
            return training_flops(self.config, tokens, supervised, self.length, self.method)
        answers = self.answer_positions / max(1, self.rows)
        return training_flops(
            self.config,
            tokens - supervised,
            supervised,
            self.length,
            self.method,
            target_tokens=supervised,
            target_length=answers,
        )

    def figures(self) -> dict[str, Any]:
        """The whole training as one flat dict for `run.json`: rates, share of non-padding, FLOPs, peak memory in bytes."""
        return {
            **self.rates(),
            "mfu_peak": peak_of(self.device)[1],
            "non_padding": self.last.tokens / self.positions if self.positions else None,
            "flops": self.flops(self.last.tokens, self.last.supervised),
            "peak_memory_bytes": peak_memory_mib().get(
                "gpu" if self.device.type == "cuda" else "ram", 0
            )
            << 20,
        }


@dataclass
class Training:
    """What came out: the `student`, its `log` (one dict per step), and the figures that a table needs."""

    student: Student
    method: str
    meter: Throughput
    log: list[dict] = field(default_factory=list)
    evaluations: list[dict] = field(default_factory=list)
    seconds: float = 0.0
    trainable: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    peak_mib: dict[str, int] = field(default_factory=dict)
    state: dict | None = (
        None  # the whole state dict, where the weights were cut over several processes
    )

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return self.log[-1]["step"] if self.log else 0

    @property
    def tokens(self) -> int:
        """Tokens seen, without padding."""
        return self.log[-1]["tokens"] if self.log else 0

    @property
    def supervised(self) -> int:
        """Tokens that the loss was computed on."""
        return self.log[-1]["supervised"] if self.log else 0

    def figures(self) -> dict[str, Any]:
        """The numbers as one flat dict, for `run.json` and tables."""
        last = self.evaluations[-1]["eval_loss"] if self.evaluations else None
        return {
            "method": self.method,
            "steps": self.steps,
            "train_seconds": self.seconds,
            "tokens": self.tokens,
            "supervised_tokens": self.supervised,
            "trainable_parameters": self.trainable,
            "parameters": self.student.parameters,
            "dropped": self.dropped,
            "first_loss": self.log[0]["loss"] if self.log else None,
            "last_loss": self.log[-1]["loss"] if self.log else None,
            "eval_loss": last,
            **self.meter.figures(),
        }
