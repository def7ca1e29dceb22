"""Keep a run within its limits: requests and tokens per minute, requests at once, a budget.

In: what is about to be asked, and what the server reported. Out: the right moment to ask, or
`BudgetReached`. Shown in notebook 02.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class BudgetReached(ValueError):
    """The next request might pass the budget; what was asked before is stored."""


class RateLimit:
    """At most `per_minute` of something, spread evenly; None is no limit.

    `wait` returns once all earlier amounts are paid off, and books its own, which later calls wait
    off. `correct` books the difference once the server has reported the true amount.
    """

    def __init__(self, per_minute: float | None) -> None:
        if per_minute is not None and per_minute <= 0:
            raise ValueError(
                f"per minute: found {per_minute}, expected a number above 0, or None for no limit"
            )
        self.rate = (per_minute or float("inf")) / 60  # per second
        self.free_at = 0.0  # the moment at which all that was booked is paid off

    async def wait(self, amount: float) -> None:
        """Wait until earlier amounts are paid off, then book `amount`."""
        begins = max(time.monotonic(), self.free_at)
        self.free_at = begins + amount / self.rate
        await asyncio.sleep(begins - time.monotonic())

    def correct(self, difference: float) -> None:
        """Book `difference` more, or less where it is negative."""
        self.free_at += difference / self.rate


class Concurrency:
    """`async with` for one request: at most `most` are open, fewer while the server refuses.

    Additive increase, multiplicative decrease, as TCP does: a refusal (429 or 503) halves the
    limit, each round of successes adds one. After a Retry-After no request starts before its time.
    """

    def __init__(self, most: int) -> None:
        self.most, self.limit, self.open = most, float(most), 0
        self.closed_until = self.halved_at = 0.0
        self.changed = asyncio.Condition()

    async def __aenter__(self) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.open < int(self.limit))
            self.open += 1
        # A refusal that comes in during the pause may make it longer.
        while (pause := self.closed_until - time.monotonic()) > 0:
            await asyncio.sleep(pause)

    async def __aexit__(self, *_: object) -> None:
        async with self.changed:
            self.open -= 1
            self.changed.notify(2)  # for its own place, and for the one that its success may add

    def refused(self, retry_after: float | None, now: float | None = None) -> None:
        """Halve the limit after a 429 or 503, but once a second: a burst of them is one refusal.

        >>> open_requests = Concurrency(16)
        >>> for moment in (10.0, 10.5, 11.5):
        ...     open_requests.refused(None, moment)
        >>> open_requests.limit
        4.0
        """
        now = time.monotonic() if now is None else now
        if now - self.halved_at >= 1:
            self.limit, self.halved_at = max(1.0, self.limit / 2), now
        if retry_after:
            self.closed_until = max(self.closed_until, now + retry_after)

    def succeeded(self) -> None:
        """Raise the limit by one for as many successes as may be open.

        >>> open_requests = Concurrency(4)
        >>> open_requests.limit = 2.0
        >>> open_requests.succeeded(), open_requests.succeeded(), open_requests.limit
        (None, None, 2.9)
        """
        self.limit = min(self.most, round(self.limit + 1 / self.limit, 6))


@dataclass
class Budget:
    """What a teacher may spend: `tokens`, or `money` at `prices`, or both.

    `prices` are {"prompt": …, "completion": …} per million tokens.

    >>> Budget(money=1.0, prices={"prompt": 2.0, "completion": 8.0}).cost(100_000, 50_000)
    0.6
    """

    tokens: int | None = None
    money: float | None = None
    prices: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for name, value in {
            "tokens": self.tokens,
            "money": self.money,
            **(self.prices or {}),
        }.items():
            if value is not None and not value >= 0:
                raise ValueError(f"budget, {name}: found {value}, expected 0 or more")
        if self.money is not None and set(self.prices or ()) != {"prompt", "completion"}:
            raise ValueError(
                f"prices: found {self.prices}, expected {{'prompt': …, 'completion': …}} per "
                "million tokens, which a budget in money needs (in the shell --price-in and "
                "--price-out)"
            )

    @property
    def limited(self) -> bool:
        """Whether there is anything to keep to."""
        return self.tokens is not None or self.money is not None

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return the price of so many tokens; 0 without prices."""
        prices = self.prices or {"prompt": 0.0, "completion": 0.0}
        return (prompt_tokens * prices["prompt"] + completion_tokens * prices["completion"]) / 1e6

    def allows(self, prompt_tokens: float, completion_tokens: float) -> bool:
        """Whether so much in all stays within the budget."""
        return (self.tokens is None or prompt_tokens + completion_tokens <= self.tokens) and (
            self.money is None or self.cost(prompt_tokens, completion_tokens) <= self.money
        )


class Ledger:
    """What was spent, and what open requests may still cost.

    A try is sent only if its worst case fits beside that of all open ones: so the budget is never
    passed, however long the replies turn out and however often a request is tried.
    """

    def __init__(self) -> None:
        # Beside these: timed_out (tries) and uncounted (tries that may have been billed, by a
        # server that did not say how much), once there are any.
        self.spent = {
            "asked": 0,
            "from_store": 0,
            "failed": 0,
            "prompt_tokens": 0,
            "completion_tokens": 0,
        }
        self.open = 0  # tries that hold a reservation
        self.reserved: Counter[str] = Counter()  # tokens that may still be billed, by kind
        self.reasons: dict[str, str] = {}  # key of a request -> why it has no reply

    def note(self, name: str) -> None:
        """Count something that most runs never see."""
        self.spent[name] = self.spent.get(name, 0) + 1

    async def reserve(self, worst: Mapping[str, int], budget: Budget) -> None:
        """Set the worst case of a try aside as soon as the budget has room for it.

        Raises BudgetReached where it has none and no open try can leave any.
        """
        while not budget.allows(*(self.total(kind, worst) for kind in ("prompt", "completion"))):
            if not self.open:
                raise BudgetReached(self.exhausted(worst, budget))
            # Most replies are far shorter than their worst case, and leave room when they arrive.
            await asyncio.sleep(0.05)
        self.open += 1
        self.reserved.update(worst)

    def exhausted(self, worst: Mapping[str, int], budget: Budget) -> str:
        """Return in words that the budget has no room for another try."""
        told = "; ".join(f"{name} {value}" for name, value in self.summary(budget).items())
        unseen = self.spent.get("uncounted", 0)
        doubt = (
            f" {unseen:,} tries may have been billed unseen (timed out, or without a count of "
            "tokens): they count at their worst."
            if unseen
            else ""
        )
        return (
            f"预算到了：已经问了 {self.spent['asked']:,} 次，再问一次可能超出；问到的都在存储里，"
            f"加大预算再运行，只补没问的。 budget: {told} after {self.spent['asked']:,} requests, "
            f"and the next one may cost up to {worst['prompt']:,} + {worst['completion']:,} tokens "
            f"more.{doubt} What was answered is stored; raise the budget and run again: only what "
            "is missing is asked"
        )

    def total(self, kind: str, worst: Mapping[str, int]) -> int:
        """Return the tokens of a kind that would be spent if all went as badly as it can."""
        return self.spent[f"{kind}_tokens"] + self.reserved[kind] + worst.get(kind, 0)

    def release(self, worst: Mapping[str, int], doubtful: bool) -> None:
        """End a reservation, but keep its amount where the try may have been billed unseen."""
        self.open -= 1
        if doubtful:
            self.note("uncounted")
        else:
            self.reserved.subtract(worst)

    def summary(self, budget: Budget) -> dict[str, str]:
        """Return failures, tokens and (with prices) money, as a progress bar shows them."""
        tokens = self.spent["prompt_tokens"], self.spent["completion_tokens"]
        shown = {"failed": str(self.spent["failed"]), "tokens": f"{sum(tokens):,}"}
        if budget.prices:
            shown["spent"] = f"{budget.cost(*tokens):.2f}"
        if unseen := self.spent.get("uncounted"):
            shown["of unknown cost"] = f"{unseen:,} tries"
        return shown

    def commonest(self, most: int = 3) -> list[str]:
        """Return the commonest reasons without a reply, each with its count and one example."""
        return commonest(self.reasons.values(), most)


VARYING = re.compile(r"[0-9a-fA-F]{8}[0-9a-fA-F-]*|\d+|'[^']{0,80}'(?= in)")


def commonest(reasons: Iterable[str], most: int = 3) -> list[str]:
    """Return the commonest reasons with their counts; those that differ in numbers are one.

    >>> commonest(["400: too long (9 tokens)", "500", "400: too long (8 tokens)"])
    ['2 × 400: too long (9 tokens)', '1 × 500']
    """
    counts: Counter[str] = Counter()
    example: dict[str, str] = {}
    for reason in reasons:
        alike = VARYING.sub("#", reason)
        counts[alike] += 1
        example.setdefault(alike, reason)
    return [f"{count:,} × {example[alike]}" for alike, count in counts.most_common(most)]
