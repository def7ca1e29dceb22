"""A paid teacher behind the OpenAI chat protocol, asked many questions at once and none of them twice.

In: an iterable of message lists. Out: `Reply`s in the same order, each stored as it arrives. Shown in notebook 02.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from miniluotuo_utils.teacher.limits import Budget, BudgetReached, Gate, Pace
from miniluotuo_utils.teacher.store import BEAT, Reply, Store, new_owner, request_key

if TYPE_CHECKING:  # openai takes half a second to import: loaded with the first question
    from openai import AsyncOpenAI

Messages = list[dict[str, str]]
Result = TypeVar("Result")
EXAMPLES = {
    "TEACHER_BASE_URL": "https://api.deepseek.com/v1",
    "TEACHER_MODEL": "deepseek-chat",
    "TEACHER_API_KEY": "sk-...",
}
NO_KEY = "no-key-needed"
TRIES: ContextVar[dict[str, int]] = ContextVar(
    "tries"
)  # of the request of this task: sent, and refused with an error status
NOT_IN_BODY = ("stream", "n", "extra_headers", "extra_query", "timeout")


class Teacher:
    """A model behind an OpenAI-compatible address; `ask` is all there is to it.

    What is not given comes from TEACHER_BASE_URL, TEACHER_MODEL and TEACHER_API_KEY; only a teacher on this machine needs
    no key. `store` is a `Store`, a path, or None (replies live as long as the teacher). At most `concurrency` requests are
    open, fewer while the server refuses (429, 503). `requests_per_minute` counts retries too, `tokens_per_minute` the usage
    that the server reports. `budget` stops the run before it is passed, judged by what this object spent. `timeout` in seconds
    per try, `max_retries` after 408, 409, 429, 5xx, lost connections and answers that are none, waiting as long as the
    server's Retry-After says. Raises ValueError for a missing variable.
    """

    def __init__(
        self,
        base_url: str | None = None,
        model: str | None = None,
        api_key: str | None = None,
        store: Store | Path | str | None = None,
        concurrency: int = 16,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        budget: Budget | None = None,
        timeout: float = 60,
        max_retries: int = 8,
    ) -> None:
        self.base_url = given("TEACHER_BASE_URL", base_url)
        self.model = given("TEACHER_MODEL", model)
        self.local = urlsplit(self.base_url).hostname in ("127.0.0.1", "localhost", "::1")
        self._key = clean_key(given("TEACHER_API_KEY", api_key, NO_KEY if self.local else None))
        self.store = store if isinstance(store, Store) else Store(store)
        if concurrency < 1:
            raise ValueError(
                f"concurrency: found {concurrency}, expected 1 or more requests at a time"
            )
        self.concurrency, self.budget = concurrency, budget or Budget()
        self.requests, self.tokens = Pace(requests_per_minute), Pace(tokens_per_minute)
        self.timeout, self.max_retries = timeout, max_retries
        self.spent = {
            "asked": 0,
            "from_store": 0,
            "failed": 0,
            "prompt_tokens": 0,
            "completion_tokens": 0,
        }
        self._promised: list[
            tuple[int, int]
        ] = []  # (prompt, completion) tokens that the open requests may still cost
        self._unsure = [
            0,
            0,
        ]  # the same of tries that brought no usage, but may have been answered and billed

    def __repr__(self) -> str:
        return f"Teacher({self.where}, {self.store!r})"

    @property
    def where(self) -> str:
        """Model and host, as a reader may see them."""
        return f"{self.model} @ {urlsplit(self.base_url).hostname}"

    def ask(
        self, requests: Iterable[Messages], progress: bool = True, **sampling: Any
    ) -> list[Reply]:
        """One reply per list of messages, in the same order; synchronous, also inside Jupyter.

        `requests` is read lazily, `concurrency` at a time. `sampling` is sent as it stands (temperature, top_p, max_tokens, ...)
        and is part of a reply's key. What the store knows is not asked again; a request that fails after all retries comes
        back with `error`, is not stored, and costs no other reply. A refused key or an unknown model ends the run at once
        (ValueError), a budget that the next request might pass too (BudgetReached); what was answered is in the store.
        """
        replies: list[Reply] = []

        def keep(place: int, reply: Reply) -> None:
            replies.extend(
                Reply("", "", error="not asked") for _ in range(place + 1 - len(replies))
            )
            replies[place] = reply

        run_to_end(self._ask_all(requests, checked_sampling(sampling), progress, keep))
        return replies

    def fill(
        self, requests: Iterable[Messages], progress: bool = True, **sampling: Any
    ) -> dict[str, int]:
        """`ask` for millions of requests: the replies go to the store and nowhere else, so that memory stays constant.

        Returns how many were `answered` and how many `failed`; `stored` gives each reply afterwards.
        """
        counts = {"answered": 0, "failed": 0}

        def count(place: int, reply: Reply) -> None:
            counts["answered" if reply.error is None else "failed"] += 1

        run_to_end(self._ask_all(requests, checked_sampling(sampling), progress, count))
        return counts

    def stored(self, messages: Messages, **sampling: Any) -> Reply | None:
        """The reply that the store holds for a request, None where there is none; asks nobody."""
        return self.store.get(request_key(self._request(messages, checked_sampling(sampling))))

    def ask_one(self, message: str, system: str | None = None, **sampling: Any) -> Reply:
        """The reply to one message, with an optional system message."""
        return self.ask([chat(message, system)], progress=False, **sampling)[0]

    def estimate(
        self, requests: Sequence[Messages], sample: int = 20, seed: int = 0, **sampling: Any
    ) -> dict[str, float]:
        """A dry run: ask a random sample (kept in the store, so paid for only once) and project tokens and money to all.

        Returns `requests, sampled, prompt_tokens, completion_tokens, cost`; the last three are projections, tokens as the server
        counts them, cost at the budget's prices. Raises ValueError where no sampled request was answered.
        """
        chosen = random.Random(seed).sample(list(requests), min(sample, len(requests)))
        replies = [r for r in self.ask(chosen, progress=False, **sampling) if r.error is None]
        if not replies:
            raise ValueError(
                f"estimate: none of {len(chosen)} sampled requests was answered; ask one by hand with ask_one to see why"
            )
        scale = len(requests) / len(replies)
        prompt, completion = (
            scale * sum(getattr(r, f) or 0 for r in replies)
            for f in ("prompt_tokens", "completion_tokens")
        )
        return {
            "requests": len(requests),
            "sampled": len(replies),
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "cost": self.budget.cost(prompt, completion),
        }

    def _request(self, messages: Messages, sampling: Mapping[str, Any]) -> dict:
        """A request as it is sent and as its key is made."""
        return {"model": self.model, "messages": messages, **sampling}

    async def _ask_all(
        self,
        requests: Iterable[Messages],
        sampling: dict,
        progress: bool,
        take: Callable[[int, Reply], None],
    ) -> None:
        """A fixed set of workers over one shared iterator: never more tasks than `concurrency`. `take` gets every reply and its place."""
        waiting: dict[str, asyncio.Lock] = {}
        broken: list[BaseException] = []
        waiting_requests = enumerate(requests)
        gate, owner = Gate(self.concurrency), new_owner()

        async def work() -> None:
            try:
                while not broken and (following := next(waiting_requests, None)) is not None:
                    place, messages = following
                    take(
                        place,
                        await self._stored_or_asked(
                            client, gate, owner, self._request(messages, sampling), waiting
                        ),
                    )
                    bar.update()
                    if place % 16 == 0:
                        bar.set_postfix(self._progress(), refresh=False)
            except Exception as error:  # of the caller's iterator, the store or the budget: the others finish what is paid for
                broken.append(error)

        with progress_bar(requests, self.model, progress) as bar:
            async with self._open_client(gate) as client:
                beating = asyncio.create_task(self._beat(owner))
                try:
                    await asyncio.gather(*(work() for _ in range(self.concurrency)))
                finally:
                    beating.cancel()
                    self.store.release(owner)
        if broken:
            raise broken[0]

    def _progress(self) -> dict[str, str]:
        """What the progress bar says beside done, rate and remaining time: failures and what was spent."""
        tokens = self.spent["prompt_tokens"] + self.spent["completion_tokens"]
        money = self.budget.cost(self.spent["prompt_tokens"], self.spent["completion_tokens"])
        return {"failed": str(self.spent["failed"]), "tokens": f"{tokens:,}"} | (
            {"spent": f"{money:.2f}"} if self.budget.prices else {}
        )

    async def _beat(self, owner: str) -> None:
        """Signs of life for others on the same store; one that fails is made up for by the next."""
        while True:
            await asyncio.sleep(BEAT)
            with suppress(OSError):
                self.store.beat(owner)

    async def _stored_or_asked(
        self,
        client: AsyncOpenAI,
        gate: Gate,
        owner: str,
        request: dict,
        waiting: dict[str, asyncio.Lock],
    ) -> Reply:
        """The store's reply, else the teacher's, committed before it is returned. Equal requests wait for one another, here and in other processes."""
        key = request_key(request)
        async with waiting.setdefault(key, asyncio.Lock()):
            while (reply := self.store.get(key)) is None:
                if self.store.claim(key, owner):
                    if (
                        reply := self.store.get(key)
                    ) is not None:  # another process answered between the two lines above
                        self.store.release(owner, key)
                    break
                await asyncio.sleep(0.2)  # another process asks for it just now
            if reply is not None:
                self.spent["from_store"] += 1
                await asyncio.sleep(
                    0
                )  # a long stored stretch must not starve the replies in flight
            else:
                reply = await self._within_limits(client, gate, request)
                if reply.error is None:
                    self.store.put(key, request, reply)
                else:
                    self.store.release(owner, key)
        waiting.pop(key, None)
        return reply

    async def _within_limits(self, client: AsyncOpenAI, gate: Gate, request: dict) -> Reply:
        """Ask as soon as the gate, the pace and the budget allow it; book what it cost."""
        promise = (
            worst_case(request)
            if self.budget.tokens is not None or self.budget.money is not None
            else None
        )
        guess = sum(len(str(m["content"])) for m in request["messages"]) + self._mean_completion()
        tries = TRIES.set({"sent": 0, "refused": 0})
        async with gate:
            if promise:
                await self._promise(promise)
            try:
                await self.tokens.take(guess)
                reply = await self._asked(client, request)
                silent = (
                    TRIES.get()["sent"] - TRIES.get()["refused"] - (reply.prompt_tokens is not None)
                )
            finally:
                TRIES.reset(tries)
                if promise:
                    self._promised.remove(promise)
            if promise:
                self._unsure = [
                    known + silent * worst
                    for known, worst in zip(self._unsure, promise, strict=True)
                ]
        if reply.error is None:
            self.tokens.correct((reply.prompt_tokens or 0) + (reply.completion_tokens or 0) - guess)
        return reply

    def _mean_completion(self) -> float:
        """Mean completion tokens so far, 0 at the start: a guess that the server's usage corrects."""
        return self.spent["completion_tokens"] / max(1, self.spent["asked"] - self.spent["failed"])

    async def _promise(self, promise: tuple[int, int]) -> None:
        """Set the worst case of a request aside. Wait while open requests may still cost less than promised; raise when none is open."""
        while True:
            prompt = (
                self.spent["prompt_tokens"]
                + self._unsure[0]
                + promise[0]
                + sum(p for p, _ in self._promised)
            )
            completion = (
                self.spent["completion_tokens"]
                + self._unsure[1]
                + promise[1]
                + sum(c for _, c in self._promised)
            )
            if self.budget.allows(prompt, completion):
                self._promised.append(promise)
                return
            if not self._promised:
                raise BudgetReached(
                    f"budget: {self._progress()} after {self.spent['asked']:,} requests, and the next one may cost up to {promise[0]:,} + "
                    f"{promise[1]:,} tokens more. What was answered is stored; raise the budget and run again: only what is missing is asked"
                )
            await asyncio.sleep(0.05)

    async def _asked(self, client: AsyncOpenAI, request: dict) -> Reply:
        """The teacher's reply; what goes wrong with this one request becomes its `error`, with the key taken out."""
        import openai

        self.spent["asked"] += 1
        for attempt in range(self.max_retries + 1):
            try:
                # Not `chat.completions.create`, which spends half a millisecond per request on types that we do not use.
                reply = to_reply(
                    await client.post("/chat/completions", body=request, cast_to=object), self._key
                )
                break
            except (
                openai.AuthenticationError,
                openai.PermissionDeniedError,
                openai.NotFoundError,
            ) as error:
                raise ValueError(
                    f"{self.where} refuses every request: {self._told(error)}. Check TEACHER_API_KEY, TEACHER_MODEL and "
                    "TEACHER_BASE_URL"
                ) from None
            except (
                ValueError,
                openai.APIResponseValidationError,
            ) as error:  # an answer that is none; the client itself retries the rest
                if attempt == self.max_retries or isinstance(error, UnicodeError):
                    return self._failed(error)
                await asyncio.sleep(min(8, 0.2 * 2**attempt))
            except Exception as error:
                return self._failed(error)
        self.spent["prompt_tokens"] += reply.prompt_tokens or 0
        self.spent["completion_tokens"] += reply.completion_tokens or 0
        return reply

    def _failed(self, error: Exception) -> Reply:
        """A request that brought no reply."""
        self.spent["failed"] += 1
        return Reply("", "", model=self.model, error=self._told(error))

    def _told(self, error: Exception) -> str:
        """An exception in one line, with the key taken out: servers echo it."""
        return f"{type(error).__name__}: {error}".replace(self._key, "***")

    @asynccontextmanager
    async def _open_client(self, gate: Gate) -> AsyncIterator[AsyncOpenAI]:
        """An `AsyncOpenAI` over aiohttp (twice as fast at many requests), whose every try keeps the pace and tells the gate how it went."""
        from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient

        async def before(request: object) -> None:
            await self.requests.take(1)
            TRIES.get()["sent"] += 1

        async def after(response: Any) -> None:
            TRIES.get()["refused"] += response.status_code >= 400
            if response.status_code in (429, 503):
                gate.refused(retry_after(response.headers.get("retry-after")))
            elif response.status_code < 400:
                gate.went_well()

        hooks = {"request": [before], "response": [after]}
        options = {
            "timeout": self.timeout,
            "trust_env": not self.local,
            "event_hooks": hooks,
        }  # no proxy to this machine
        limits = {
            "max_connections": self.concurrency,
            "max_keepalive_connections": self.concurrency,
        }  # None would be aiohttp's 100
        try:
            http = DefaultAioHttpClient(**options, limits=http_limits(limits))
        except RuntimeError:  # openai without its aiohttp extra
            http = DefaultAsyncHttpxClient(**options, limits=http_limits(limits))
        async with AsyncOpenAI(
            base_url=self.base_url,
            api_key=self._key,
            timeout=self.timeout,
            max_retries=self.max_retries,
            http_client=http,
        ) as client:
            yield client


def progress_bar(requests: Iterable, name: str, shown: bool) -> Any:
    """Done, rate and remaining time; the rest is in its postfix."""
    from tqdm import tqdm

    return tqdm(
        total=len(requests) if hasattr(requests, "__len__") else None,
        disable=not shown,
        desc=name,
        unit="reply",
    )


def http_limits(limits: Mapping[str, int | None]) -> Any:
    """Connection limits in the class of the HTTP library that this openai stands on."""
    try:
        from httpx2 import Limits
    except ImportError:
        from httpx import Limits
    return Limits(**limits)


def checked_sampling(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Sampling parameters without those that are None; ValueError for one that does not ask for one plain reply."""
    if wrong := [name for name in NOT_IN_BODY if name in sampling]:
        raise ValueError(
            f"sampling: found {wrong[0]}, expected parameters of one plain reply, such as temperature or max_tokens"
        )
    return {name: value for name, value in sampling.items() if value is not None}


def worst_case(request: Mapping[str, Any]) -> tuple[int, int]:
    """(prompt, completion) tokens that a request can cost at most: no tokenizer makes more tokens than bytes.

    >>> worst_case({"messages": [{"role": "user", "content": "你好"}], "max_tokens": 100})
    (38, 100)
    """
    limit = request.get("max_tokens") or request.get("max_completion_tokens")
    if not limit:
        raise ValueError(
            "a budget needs max_tokens in every request, for without it nobody knows what a reply may cost; pass max_tokens=…"
        )
    return sum(
        len(str(m["content"]).encode("utf-8", "replace")) + 32 for m in request["messages"]
    ), limit


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, at most two minutes; None where it is missing or a date.

    >>> retry_after("2.5"), retry_after("Wed, 21 Oct 2026 07:28:00 GMT"), retry_after(None)
    (2.5, None, None)
    """
    try:
        return min(120.0, max(0.0, float(value))) if value else None
    except ValueError:
        return None


def given(variable: str, value: str | None, default: str | None = None) -> str:
    """A value, else the environment variable's, else the default, else an error that says how to set it."""
    found = (value or os.environ.get(variable) or default or "").strip()
    if not found:
        raise ValueError(
            f"{variable} is not set, and a teacher needs it. Set it before this cell, for example "
            f'os.environ["{variable}"] = "{EXAMPLES[variable]}", or export it in the shell'
        )
    return found


def clean_key(key: str) -> str:
    """The key itself if it can stand in an HTTP header; the error for one that cannot does not show it.

    >>> clean_key("sk-，1")
    Traceback (most recent call last):
    ValueError: TEACHER_API_KEY: found a character that no key has (a space or not ASCII), expected the key alone. Copy it again
    """
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError(
            "TEACHER_API_KEY: found a character that no key has (a space or not ASCII), expected the key alone. "
            "Copy it again"
        )
    return key


def chat(message: str, system: str | None = None) -> Messages:
    """One user message, after an optional system message.

    >>> chat("你好")
    [{'role': 'user', 'content': '你好'}]
    """
    before = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": message}]


def to_reply(completion: Any, key: str = NO_KEY) -> Reply:
    """A chat completion (parsed JSON) as a `Reply`; ValueError, without the key, for an answer that is none, as proxies and log-in pages send."""
    choices = completion.get("choices") if isinstance(completion, dict) else None
    if not choices or not isinstance(choices[0].get("message"), dict):
        shown = (
            completion.get("error") or completion if isinstance(completion, dict) else completion
        )
        shown = str(shown).replace(key, "***")[
            :200
        ]  # first the key, then the cut: half a key is a leak, too
        raise ValueError(
            f"found {shown!r}, expected a chat completion with choices. Check TEACHER_BASE_URL; it "
            "usually ends in /v1"
        )
    choice, usage = choices[0], completion.get("usage") or {}
    text = re.sub(
        "[\ud800-\udfff]", "\ufffd", choice["message"].get("content") or ""
    )  # half an emoji, where max_tokens cut it
    return Reply(
        text,
        choice.get("finish_reason") or "",
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        completion.get("model") or "",
    )


def run_to_end(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine from synchronous code; inside Jupyter, whose own loop is running, in a thread beside it.

    An interrupt (the stop button, Ctrl-C) cancels it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    running: Future = Future()

    async def main() -> Result:
        running.set_result((asyncio.get_running_loop(), asyncio.current_task()))
        return await coroutine

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(asyncio.run, main())
        try:
            return future.result()
        except KeyboardInterrupt:
            loop, task = running.result()
            with suppress(RuntimeError):  # it ended in this very moment
                loop.call_soon_threadsafe(task.cancel)
            raise
