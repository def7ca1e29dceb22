"""Ask a paid teacher over the OpenAI chat protocol: many questions at once, none of them twice.

In: an iterable of message lists. Out: `Reply`s in the same order, each stored as it arrives. Shown
in notebook 02.

`Teacher` holds what stays (address, limits, store, what was spent), `Run` is one call of its `ask`.
The way of one request is read from top to bottom in `Run`: answer → pay → send → retried.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from miniluotuo_utils.prompts import joined
from miniluotuo_utils.teacher.limits import Budget, Concurrency, Ledger, RateLimit
from miniluotuo_utils.teacher.store import BEAT, Reply, Store, new_owner, request_key

if TYPE_CHECKING:  # openai takes half a second to import: loaded with the first question
    from openai import AsyncOpenAI

Messages = list[dict[str, str]]

# the variables that a teacher is set by, with what each may look like
EXAMPLES = {
    "TEACHER_BASE_URL": "https://api.deepseek.com/v1",
    "TEACHER_MODEL": "deepseek-chat",
    "TEACHER_API_KEY": "sk-...",
}
NO_KEY = "no-key-needed"
NOT_IN_BODY = ("stream", "n", "extra_headers", "extra_query", "timeout")
SURROGATES = re.compile("[\ud800-\udfff]")  # half of a pair, as in "好\ud83d"

# "doubtful": tries of the current request that may have been billed though we saw no usage. Every
# worker is a task with a context of its own and sends one request at a time, so the HTTP hooks find
# the right one here.
TRIES: ContextVar[Counter[str]] = ContextVar("tries")


class Teacher:
    """A model behind an OpenAI-compatible address; `ask` is all there is to it.

    What is not given comes from TEACHER_BASE_URL, TEACHER_MODEL and TEACHER_API_KEY; only a teacher
    on this machine needs no key. `store` is a `Store`, a path, or None (replies live as long as the
    teacher). At most `concurrency` requests are open, fewer while the server refuses (429, 503).
    `requests_per_minute` counts retries too, `tokens_per_minute` the usage that the server reports.
    `budget` stops the run before it is passed, judged by what this object spent. `timeout` is in
    seconds per try. `max_retries` apply to 408, 409, 429, 5xx, lost connections and replies that
    are no chat completion; they wait as long as the server's Retry-After says. Raises ValueError
    for a missing variable.
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
        self._key = given("TEACHER_API_KEY", api_key, NO_KEY if self.local else None)
        # The key goes into an HTTP header; this error must not show it.
        if not (self._key.isascii() and self._key.isprintable() and " " not in self._key):
            raise ValueError(
                "TEACHER_API_KEY: found a character that no key has (a space or not ASCII), "
                "expected the key alone. Copy it again"
            )
        self.store = store if isinstance(store, Store) else Store(store)
        if concurrency < 1:
            raise ValueError(
                f"concurrency: found {concurrency}, expected 1 or more requests at a time"
            )
        self.concurrency, self.budget = concurrency, budget or Budget()
        self.requests, self.tokens = RateLimit(requests_per_minute), RateLimit(tokens_per_minute)
        self.timeout, self.max_retries = timeout, max_retries
        self.ledger = Ledger()
        self.spent = self.ledger.spent

    def __repr__(self) -> str:
        return f"Teacher({self.where}, {self.store!r})"

    @property
    def where(self) -> str:
        """Model and host, as a reader may see them."""
        return f"{self.model} @ {urlsplit(self.base_url).hostname}"

    def ask(
        self, requests: Iterable[Messages], progress: bool = True, **sampling: Any
    ) -> list[Reply]:
        """Return one reply per list of messages, in order; synchronous, also inside Jupyter.

        `requests` is read lazily, `concurrency` at a time. `sampling` is sent as it stands
        (temperature, top_p, max_tokens, ...) and is part of a reply's key. What the store knows is
        not asked again. A request that fails after all retries comes back with `error`, is not
        stored, and costs no other reply. A refused key or an unknown model ends the run at once
        (ValueError), and so does a budget that the next request might pass (BudgetReached); what
        was answered is in the store.
        """
        replies: dict[int, Reply] = {}
        run_to_end(Run(self, sampling).answer_all, requests, progress, replies.__setitem__)
        return [replies[place] for place in range(len(replies))]

    def fill(
        self, requests: Iterable[Messages], progress: bool = True, **sampling: Any
    ) -> dict[str, int]:
        """`ask` for millions of requests: replies go to the store only, and memory stays constant.

        Returns how many were `answered` and how many `failed`; `stored` gives each reply
        afterwards.
        """
        counts = {"answered": 0, "failed": 0}

        def count(place: int, reply: Reply) -> None:
            counts["answered" if reply.error is None else "failed"] += 1

        run_to_end(Run(self, sampling).answer_all, requests, progress, count)
        return counts

    def stored(self, messages: Messages, **sampling: Any) -> Reply | None:
        """Return the reply that the store holds for a request, or None; asks nobody."""
        return self.store.get(request_key(self.request(messages, checked_sampling(sampling))))

    def ask_one(self, message: str, system: str | None = None, **sampling: Any) -> Reply:
        """Return the reply to one message, with an optional system message."""
        return self.ask([chat(message, system)], progress=False, **sampling)[0]

    def estimate(
        self, requests: Sequence[Messages], sample: int = 20, seed: int = 0, **sampling: Any
    ) -> dict[str, float]:
        """Ask a random sample and project its cost to all requests.

        The sample is kept in the store, so it is paid for only once.
        Returns `requests, sampled, prompt_tokens, completion_tokens, cost`; the last three are
        projections, tokens as the server counts them, cost at the budget's prices. Raises
        ValueError where no sampled request was answered.
        """
        chosen = random.Random(seed).sample(list(requests), min(sample, len(requests)))
        replies = [r for r in self.ask(chosen, progress=False, **sampling) if r.error is None]
        if not replies:
            raise ValueError(
                f"estimate: none of {len(chosen)} sampled requests was answered; ask one by hand "
                "with ask_one to see why"
            )
        scale = len(requests) / len(replies)
        prompt = scale * sum(r.prompt_tokens or 0 for r in replies)
        completion = scale * sum(r.completion_tokens or 0 for r in replies)
        return {
            "requests": len(requests),
            "sampled": len(replies),
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "cost": self.budget.cost(prompt, completion),
        }

    def request(self, messages: Messages, sampling: Mapping[str, Any]) -> dict:
        """Return a request as it is sent and as its key is made."""
        return {"model": self.model, "messages": messages, **sampling}


class Run:
    """One call of `Teacher.ask`: its workers, its HTTP client, and its claims on the store."""

    def __init__(self, teacher: Teacher, sampling: Mapping[str, Any]) -> None:
        self.teacher, self.store, self.ledger = teacher, teacher.store, teacher.ledger
        self.sampling = checked_sampling(sampling)
        self.owner = new_owner()
        self.concurrency = Concurrency(teacher.concurrency)
        self.error: Exception | None = None  # the first one that ends the whole run

    async def answer_all(
        self, requests: Iterable[Messages], progress: bool, take: Callable[[int, Reply], None]
    ) -> None:
        """Answer every request; `take` gets place and reply of each, in the order of arrival."""
        from tqdm import tqdm

        numbered = enumerate(requests)
        self.client = self.open_client()
        with tqdm(requests, self.teacher.model, disable=not progress, unit="reply") as bar:
            async with self.client:
                beating = asyncio.create_task(self.keep_claims())
                try:
                    # A fixed set of workers over one shared iterator: rows are read only as fast
                    # as they are answered, and a million of them are not a million tasks.
                    workers = (self.work(numbered, take, bar) for _ in range(self.concurrency.most))
                    await asyncio.gather(*workers)
                finally:
                    beating.cancel()
                    self.store.release(self.owner)
        if self.error:
            raise self.error

    async def work(
        self, numbered: Iterator[tuple[int, Messages]], take: Callable[[int, Reply], None], bar: Any
    ) -> None:
        """Answer one request after the other until there are no more, or an error ends the run."""
        try:
            for place, messages in numbered:
                take(place, await self.answer(messages))
                bar.update()
                if place % 16 == 0:
                    bar.set_postfix(self.ledger.summary(self.teacher.budget), refresh=False)
                if self.error:
                    return
        except Exception as error:
            # The caller's iterator, the store or the budget: the other workers still finish what is
            # paid for.
            self.error = self.error or error

    async def keep_claims(self) -> None:
        """Give signs of life to others on the same store; after one that fails comes the next."""
        while True:
            await asyncio.sleep(BEAT)
            with suppress(OSError):
                self.store.beat(self.owner)

    async def answer(self, messages: Messages) -> Reply:
        """Return the store's reply, else the teacher's, committed before it is returned."""
        request = self.teacher.request(messages, self.sampling)
        key = request_key(request)
        # Whoever claims the key asks. Equal requests wait here for its reply, in this process and
        # in others: nothing is paid for twice.
        while (reply := self.store.get(key)) is None and not self.store.claim(key, self.owner):
            # The one who holds the claim may just have ended the run, and will not give it back.
            if self.error:
                raise self.error
            await asyncio.sleep(0.2)

        if reply is not None:
            self.ledger.spent["from_store"] += 1
            # A long stretch out of the store must not starve the replies in flight.
            await asyncio.sleep(0)
            return reply
        reply = await self.pay(request)
        if reply.error is None:
            self.store.put(key, request, reply)
        else:
            self.store.release(self.owner, key)
        return reply

    async def pay(self, request: dict) -> Reply:
        """Ask as soon as concurrency, budget and rate limit allow it, and book what it cost."""
        teacher, spent = self.teacher, self.ledger.spent
        worst = worst_case(request) if teacher.budget.limited else {}
        # A character is about a token, and a reply about as long as those before it. The usage that
        # the server reports corrects the guess.
        characters = sum(len(str(m["content"])) for m in request["messages"])
        guess = characters + spent["completion_tokens"] / max(1, spent["asked"] - spent["failed"])
        tries: Counter[str] = Counter()
        TRIES.set(tries)
        async with self.concurrency:
            await self.ledger.reserve(worst, teacher.budget)
            try:
                await teacher.tokens.wait(guess)
                reply = await self.send(request)
                tries["doubtful"] -= reply.prompt_tokens is not None
            finally:
                self.ledger.release(worst, tries["doubtful"])
        if reply.error is None:
            used = (reply.prompt_tokens or 0) + (reply.completion_tokens or 0)
            teacher.tokens.correct(used - guess)
        return reply

    async def send(self, request: dict) -> Reply:
        """Return the teacher's reply; what goes wrong with this one request becomes its `error`."""
        import openai

        spent = self.ledger.spent
        spent["asked"] += 1
        try:
            reply = await self.retried(request)
        except (
            openai.AuthenticationError,
            openai.PermissionDeniedError,
            openai.NotFoundError,
        ) as error:
            raise ValueError(
                f"{self.teacher.where} refuses every request: {self.told(error)}. Check "
                "TEACHER_API_KEY, TEACHER_MODEL and TEACHER_BASE_URL"
            ) from None
        except Exception as error:
            spent["failed"] += 1
            return Reply("", "", model=self.teacher.model, error=self.told(error))
        spent["prompt_tokens"] += reply.prompt_tokens or 0
        spent["completion_tokens"] += reply.completion_tokens or 0
        return reply

    async def retried(self, request: dict) -> Reply:
        """Send a request until a chat completion comes back, or raise the last error.

        The client itself retries refusals and lost connections; left to us are bodies that are no
        completion.
        """
        import openai

        for attempt in itertools.count():
            try:
                # Not `chat.completions.create`: its types, unused here, cost half a millisecond per
                # request.
                body = await self.client.post("/chat/completions", body=request, cast_to=object)
                return to_reply(body, self.teacher._key)
            except (ValueError, openai.APIResponseValidationError) as error:
                # A request that is no UTF-8 fails the same way every time.
                if attempt == self.teacher.max_retries or isinstance(error, UnicodeError):
                    raise
                await asyncio.sleep(min(8, 0.2 * 2**attempt))

    def told(self, error: Exception) -> str:
        """Return an exception in one line, with the key taken out: servers echo it."""
        return f"{type(error).__name__}: {error}".replace(self.teacher._key, "***")

    def open_client(self) -> AsyncOpenAI:
        """Return a client over aiohttp, twice as fast as httpx, with our hooks on every try."""
        from openai import DEFAULT_CONNECTION_LIMITS, AsyncOpenAI, DefaultAioHttpClient

        teacher, most = self.teacher, self.teacher.concurrency
        # httpx has a successor under another name: take the class that this openai stands on.
        limits = type(DEFAULT_CONNECTION_LIMITS)(
            max_connections=most, max_keepalive_connections=most
        )
        http = DefaultAioHttpClient(
            timeout=teacher.timeout,
            limits=limits,
            trust_env=not teacher.local,  # no proxy stands between us and this machine
            event_hooks={"request": [self.before_try], "response": [self.after_try]},
        )
        return AsyncOpenAI(
            base_url=teacher.base_url,
            api_key=teacher._key,
            timeout=teacher.timeout,
            max_retries=teacher.max_retries,
            http_client=http,
        )

    async def before_try(self, request: object) -> None:
        """Keep to the requests per minute; until proven otherwise, what is sent is billed."""
        await self.teacher.requests.wait(1)
        TRIES.get()["doubtful"] += 1

    async def after_try(self, response: Any) -> None:
        """Learn from the status how many requests the server bears; errors are not billed."""
        if response.status_code < 400:
            return self.concurrency.succeeded()
        TRIES.get()["doubtful"] -= 1
        if response.status_code in (429, 503):
            self.concurrency.refused(retry_after(response.headers.get("retry-after")))


def checked_sampling(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return sampling parameters without those that are None.

    Raises ValueError for one that does not ask for one plain reply.
    """
    if wrong := [name for name in NOT_IN_BODY if name in sampling]:
        raise ValueError(
            f"sampling: found {', '.join(wrong)}, expected parameters of one plain reply, such as "
            "temperature or max_tokens"
        )
    return {name: value for name, value in sampling.items() if value is not None}


def worst_case(request: Mapping[str, Any]) -> dict[str, int]:
    """Return the tokens that a request can cost at most: no tokenizer makes more tokens than bytes.

    >>> worst_case({"messages": [{"role": "user", "content": "你好"}], "max_tokens": 100})
    {'prompt': 38, 'completion': 100}
    """
    limit = request.get("max_tokens") or request.get("max_completion_tokens")
    if not limit:
        raise ValueError(
            "a budget needs max_tokens in every request, for without it nobody knows what a reply "
            "may cost; pass max_tokens=…"
        )
    sizes = (len(str(m["content"]).encode("utf-8", "replace")) for m in request["messages"])
    # 32 tokens of a chat template around each message
    return {"prompt": sum(size + 32 for size in sizes), "completion": limit}


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, at most two minutes; None for none or a date.

    >>> retry_after("2.5"), retry_after("Wed, 21 Oct 2026 07:28:00 GMT"), retry_after(None)
    (2.5, None, None)
    """
    try:
        return min(120.0, max(0.0, float(value))) if value else None
    except ValueError:
        return None


def given(variable: str, value: str | None, default: str | None = None) -> str:
    """Return a value, else the environment variable's, else the default, else say how to set it."""
    found = (value or os.environ.get(variable) or default or "").strip()
    if not found:
        raise ValueError(
            f"{variable} is not set, and a teacher needs it. Set it before this cell, for example "
            f'os.environ["{variable}"] = "{EXAMPLES[variable]}", or export it in the shell'
        )
    return found


def chat(message: str, system: str | None = None) -> Messages:
    """Return one user message, after an optional system message.

    >>> chat("你好")
    [{'role': 'user', 'content': '你好'}]
    """
    before = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": message}]


def question_of(row: Mapping) -> str:
    """Return the one message that a row with `instruction` and `input` is to a teacher.

    >>> question_of({"instruction": "翻译成英文：", "input": "骆驼"})
    '翻译成英文：\\n骆驼'
    """
    return joined(row["instruction"], row.get("input") or "")


def to_reply(completion: Any, key: str = NO_KEY) -> Reply:
    """Return a chat completion (parsed JSON) as a `Reply`.

    Raises ValueError, without the key, for anything else, as proxies and log-in pages send it.
    """
    body = completion if isinstance(completion, dict) else {}
    choices = body.get("choices")
    if not choices or not isinstance(choices[0].get("message"), dict):
        # First the key, then the cut: half a key is a leak, too.
        shown = str(body.get("error") or completion).replace(key, "***")[:200]
        raise ValueError(
            f"found {shown!r}, expected a chat completion with choices. Check TEACHER_BASE_URL; it "
            "usually ends in /v1"
        )
    choice, usage = choices[0], body.get("usage") or {}
    return Reply(
        # Half an emoji, where max_tokens cut it, is no UTF-8 and could not be stored.
        SURROGATES.sub("\ufffd", choice["message"].get("content") or ""),
        choice.get("finish_reason") or "",
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        body.get("model") or "",
    )


def run_to_end(function: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    """Run an async function from synchronous code, also in Jupyter, whose own loop is running.

    An interrupt (the stop button, Ctrl-C) cancels it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(function(*arguments))
    from anyio.from_thread import start_blocking_portal  # anyio comes with openai

    # A loop in a thread beside Jupyter's; leaving the block by an interrupt cancels what still runs
    # in it.
    with start_blocking_portal() as portal:
        return portal.call(function, *arguments)
