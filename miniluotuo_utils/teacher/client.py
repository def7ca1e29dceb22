"""A paid teacher behind the OpenAI chat protocol, asked many questions at once and none of them twice.

In: an iterable of message lists. Out: `Reply`s in the same order, each stored as it arrives. Shown in notebook 02.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from miniluotuo_utils.teacher.store import Reply, Store, request_key

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
NOT_IN_BODY = ("stream", "n", "extra_headers", "extra_query", "timeout")


class Teacher:
    """A model behind an OpenAI-compatible address; `ask` is all there is to it.

    What is not given comes from TEACHER_BASE_URL, TEACHER_MODEL and TEACHER_API_KEY; only a teacher on this machine needs
    no key. `store` is a `Store`, a path, or None (replies live as long as the teacher). `requests_per_minute` spaces the
    requests of one `ask` evenly, retries included. `timeout` in seconds per try, `max_retries` after 408, 409, 429, 5xx
    and lost connections, waiting as long as the server's Retry-After says. Raises ValueError for a missing variable.
    """

    def __init__(
        self, base_url: str | None = None, model: str | None = None, api_key: str | None = None,
        store: Store | Path | str | None = None, concurrency: int = 16, requests_per_minute: float | None = None,
        timeout: float = 60, max_retries: int = 5,
    ) -> None:  # fmt: skip
        self.base_url = given("TEACHER_BASE_URL", base_url)
        self.model = given("TEACHER_MODEL", model)
        self.local = urlsplit(self.base_url).hostname in ("127.0.0.1", "localhost", "::1")
        self._key = clean_key(given("TEACHER_API_KEY", api_key, NO_KEY if self.local else None))
        self.store = store if isinstance(store, Store) else Store(store)
        if concurrency < 1:
            raise ValueError(f"concurrency: found {concurrency}, expected 1 or more requests at a time")
        self.concurrency, self.requests_per_minute = concurrency, requests_per_minute
        self.timeout, self.max_retries = timeout, max_retries
        self.spent = {"asked": 0, "from_store": 0, "failed": 0, "prompt_tokens": 0, "completion_tokens": 0}

    def __repr__(self) -> str:
        return f"Teacher({self.where}, {self.store!r})"

    @property
    def where(self) -> str:
        """Model and host, as a reader may see them."""
        return f"{self.model} @ {urlsplit(self.base_url).hostname}"

    def ask(self, requests: Iterable[Messages], progress: bool = True, **sampling: Any) -> list[Reply]:
        """One reply per list of messages, in the same order; synchronous, also inside Jupyter.

        `requests` is read lazily, `concurrency` at a time, so a generator over a million rows is fine. `sampling` is sent
        as it stands (temperature, top_p, max_tokens, ...) and is part of a reply's key. What the store knows is not asked
        again; a request that fails after all retries comes back with `error`, is not stored, and costs no other reply.
        """
        if wrong := [name for name in NOT_IN_BODY if name in sampling]:
            raise ValueError(f"sampling: found {wrong[0]}, expected parameters of one plain reply, such as temperature or "
                             "max_tokens")  # fmt: skip
        sampling = {name: value for name, value in sampling.items() if value is not None}
        return run_to_end(self._ask_all(requests, sampling, progress))

    def ask_one(self, message: str, system: str | None = None, **sampling: Any) -> Reply:
        """The reply to one message, with an optional system message."""
        return self.ask([chat(message, system)], progress=False, **sampling)[0]

    async def _ask_all(self, requests: Iterable[Messages], sampling: dict, progress: bool) -> list[Reply]:
        """A fixed set of workers over one shared iterator: never more tasks than `concurrency`."""
        from tqdm import tqdm

        replies: list[Reply] = []
        waiting: dict[str, asyncio.Lock] = {}
        broken: list[BaseException] = []
        waiting_requests = iter(requests)
        total = len(requests) if hasattr(requests, "__len__") else None

        async def work() -> None:
            try:
                while not broken and (messages := next(waiting_requests, None)) is not None:
                    place = len(replies)
                    replies.append(Reply("", "", error="not asked yet"))
                    request = {"model": self.model, "messages": messages, **sampling}
                    replies[place] = await self._stored_or_asked(client, request, waiting)
                    bar.update()
            except Exception as error:  # of the caller's iterator or of the store: the others finish what is paid for
                broken.append(error)

        with tqdm(total=total, disable=not progress, desc=self.model, unit="reply") as bar:
            async with self._open_client() as client:
                await asyncio.gather(*(work() for _ in range(self.concurrency)))
        if broken:
            raise broken[0]
        return replies

    async def _stored_or_asked(self, client: AsyncOpenAI, request: dict, waiting: dict[str, asyncio.Lock]) -> Reply:
        """The store's reply, else the teacher's, committed before it is returned. Equal requests wait for one another."""
        key = request_key(request)
        async with waiting.setdefault(key, asyncio.Lock()):
            if (reply := self.store.get(key)) is not None:
                self.spent["from_store"] += 1
                await asyncio.sleep(0)  # a long stored stretch must not starve the replies in flight
            else:
                reply = await self._asked(client, request)
                if reply.error is None:
                    self.store.put(key, request, reply)
        waiting.pop(key, None)
        return reply

    async def _asked(self, client: AsyncOpenAI, request: dict) -> Reply:
        """The teacher's reply; whatever goes wrong becomes its `error`, with the key taken out."""
        self.spent["asked"] += 1
        try:
            body = {name: value for name, value in request.items() if name not in ("model", "messages")}
            reply = to_reply(await client.chat.completions.create(
                model=request["model"], messages=request["messages"], **body))  # fmt: skip
        except Exception as error:
            self.spent["failed"] += 1
            return Reply("", "", model=self.model, error=f"{type(error).__name__}: {error}".replace(self._key, "***"))
        self.spent["prompt_tokens"] += reply.prompt_tokens or 0
        self.spent["completion_tokens"] += reply.completion_tokens or 0
        return reply

    @asynccontextmanager
    async def _open_client(self) -> AsyncIterator[AsyncOpenAI]:
        """An `AsyncOpenAI` over aiohttp (twice as fast at many requests), slowed down where a rate is given."""
        from aiolimiter import AsyncLimiter
        from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient

        hooks = {}
        if self.requests_per_minute:
            limiter = AsyncLimiter(1, 60 / self.requests_per_minute)  # one at a time: no burst above the rate

            async def wait(request: object) -> None:
                await limiter.acquire()

            hooks = {"request": [wait]}
        options = {"timeout": self.timeout, "trust_env": not self.local, "event_hooks": hooks}  # no proxy to this machine
        try:
            http = DefaultAioHttpClient(**options)
        except RuntimeError:  # openai without its aiohttp extra
            http = DefaultAsyncHttpxClient(**options)
        async with AsyncOpenAI(
            base_url=self.base_url, api_key=self._key, timeout=self.timeout, max_retries=self.max_retries, http_client=http
        ) as client:
            yield client


def given(variable: str, value: str | None, default: str | None = None) -> str:
    """A value, else the environment variable's, else the default, else an error that says how to set it."""
    found = (value or os.environ.get(variable) or default or "").strip()
    if not found:
        raise ValueError(f"{variable} is not set, and a teacher needs it. Set it before this cell, for example "
                         f'os.environ["{variable}"] = "{EXAMPLES[variable]}", or export it in the shell')  # fmt: skip
    return found


def clean_key(key: str) -> str:
    """The key itself if it can stand in an HTTP header; the error for one that cannot does not show it.

    >>> clean_key("sk-，1")
    Traceback (most recent call last):
    ValueError: TEACHER_API_KEY: found a character that no key has (a space or not ASCII), expected the key alone. Copy it again
    """
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError("TEACHER_API_KEY: found a character that no key has (a space or not ASCII), expected the key alone. "
                         "Copy it again")  # fmt: skip
    return key


def chat(message: str, system: str | None = None) -> Messages:
    """One user message, after an optional system message.

    >>> chat("你好")
    [{'role': 'user', 'content': '你好'}]
    """
    before = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": message}]


def to_reply(completion: Any) -> Reply:
    """A chat completion as a `Reply`; ValueError for an answer that is none, as proxies and log-in pages send."""
    if not getattr(completion, "choices", None):
        shown = getattr(completion, "error", None) or completion
        raise ValueError(f"found {str(shown)[:200]!r}, expected a chat completion with choices. Check TEACHER_BASE_URL; it "
                         "usually ends in /v1")  # fmt: skip
    choice, usage = completion.choices[0], completion.usage
    text = re.sub("[\ud800-\udfff]", "\ufffd", choice.message.content or "")  # half an emoji, where max_tokens cut it
    return Reply(
        text, choice.finish_reason or "", usage and usage.prompt_tokens,
        usage and usage.completion_tokens, completion.model or "",
    )  # fmt: skip


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
