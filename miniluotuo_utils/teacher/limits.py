"""How fast and how far: requests and tokens per minute, an adaptive number of open requests, and a budget that is never passed.

In: what is about to be asked, and what the server reported. Out: the right moment to ask, or `BudgetReached`. Shown in notebook 02.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass


class BudgetReached(ValueError):
    """The next request might pass the budget; what was asked before is stored."""


class Pace:
    """At most `per_minute` of something, spread evenly; None is no limit.

    `take` waits until nothing is owed and then books its amount, which may leave a debt that the next ones wait off;
    `correct` books the difference once the server has reported the true amount.
    """

    def __init__(self, per_minute: float | None) -> None:
        if per_minute is not None and per_minute <= 0:
            raise ValueError(
                f"per minute: found {per_minute}, expected a number above 0, or None for no limit"
            )
        self.rate = per_minute / 60 if per_minute else None  # per second
        self.free_at = 0.0  # the moment at which nothing is owed

    async def take(self, amount: float) -> None:
        """Wait for the debt to be paid off, then owe `amount`."""
        if self.rate is None:
            return
        begins = max(time.monotonic(), self.free_at)
        self.free_at = begins + amount / self.rate
        await asyncio.sleep(begins - time.monotonic())

    def correct(self, difference: float) -> None:
        """Owe `difference` more, or less where it is negative."""
        if self.rate is not None:
            self.free_at += difference / self.rate


class Gate:
    """At most `most` requests at once, and fewer while the server refuses: halved at 429 or 503, then one more per round of successes.

    After a Retry-After nothing new is asked before its time.
    """

    def __init__(self, most: int) -> None:
        self.most, self.limit, self.busy = most, float(most), 0
        self.closed_until = self.halved_at = 0.0
        self.waiting: deque[asyncio.Future] = deque()

    async def __aenter__(self) -> None:
        while True:
            if (pause := self.closed_until - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            elif self.busy < int(self.limit):
                break
            else:
                self.waiting.append(asyncio.get_running_loop().create_future())
                await self.waiting[-1]
        self.busy += 1

    async def __aexit__(self, *_: object) -> None:
        self.busy -= 1
        self.wake()

    def wake(self) -> None:
        """Let as many wait no longer as there is room for."""
        room = int(self.limit) - self.busy
        while room > 0 and self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                room -= 1

    def refused(self, retry_after: float | None, now: float | None = None) -> None:
        """The server said 429 or 503. A burst of refusals is one refusal: the requests of one second halve the limit once.

        >>> gate = Gate(16); gate.refused(None, 10.0); gate.refused(None, 10.5); gate.refused(None, 11.5); gate.limit
        4.0
        """
        now = time.monotonic() if now is None else now
        if now - self.halved_at >= 1:
            self.limit, self.halved_at = max(1.0, self.limit / 2), now
        if retry_after:
            self.closed_until = max(self.closed_until, now + retry_after)

    def went_well(self) -> None:
        """The server answered: one more at once after as many answers as may be open.

        >>> gate = Gate(4); gate.limit = 2.0; gate.went_well(); gate.went_well(); gate.limit
        2.9
        """
        if self.limit < self.most:
            self.limit = min(self.most, self.limit + 1 / self.limit)
            self.limit = round(self.limit, 6)
            self.wake()


@dataclass
class Budget:
    """What a teacher may spend: `tokens`, or `money` at `prices` = {"prompt": …, "completion": …} per million tokens, or both.

    >>> Budget(money=1.0, prices={"prompt": 2.0, "completion": 8.0}).cost(100_000, 50_000)
    0.6
    """

    tokens: int | None = None
    money: float | None = None
    prices: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if self.money is not None and set(self.prices or ()) != {"prompt", "completion"}:
            raise ValueError(
                f"prices: found {self.prices}, expected {{'prompt': …, 'completion': …}} per million tokens, which a budget in money needs"
            )

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Money for so many tokens; 0 without prices."""
        prices = self.prices or {"prompt": 0.0, "completion": 0.0}
        return (prompt_tokens * prices["prompt"] + completion_tokens * prices["completion"]) / 1e6

    def allows(self, prompt_tokens: float, completion_tokens: float) -> bool:
        """Whether so much in all stays within the budget."""
        return (self.tokens is None or prompt_tokens + completion_tokens <= self.tokens) and (
            self.money is None or self.cost(prompt_tokens, completion_tokens) <= self.money
        )
