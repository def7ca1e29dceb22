"""Ask a paid teacher over the OpenAI chat protocol: many questions at once, none of them twice.

In: an iterable of message lists. Out: `Reply`s in the same order, each stored as it arrives. Shown
in notebook 02.

`Teacher` holds what stays (address, limits, store, what was spent), `Run` is one call of its `ask`.
The way of one request is read from top to bottom in `Run`: answer → pay → send → retried.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from miniluotuo_utils.prompts import joined
from miniluotuo_utils.teacher import address
from miniluotuo_utils.teacher.limits import Budget, Concurrency, Ledger, RateLimit, commonest
from miniluotuo_utils.teacher.store import BEAT, Reply, Store, new_owner, request_key
from miniluotuo_utils.teacher.wire import (
    HINTS,
    MOVED,
    Failure,
    broken,
    masked,
    moved,
    recoded,
    refusal,
    to_reply,
)

if TYPE_CHECKING:  # openai takes half a second to import: loaded with the first question
    from openai import DefaultAioHttpClient

Messages = list[dict[str, str]]

# the variables that a teacher is set by, with what each may look like
EXAMPLES = {
    "TEACHER_BASE_URL": address.EXAMPLE,
    "TEACHER_MODEL": "deepseek-chat",
    "TEACHER_API_KEY": "sk-...",
}
NO_KEY = "no-key-needed"
NOT_IN_BODY = ("stream", "n", "extra_headers", "extra_query", "timeout")
STAND_IN = "recorded-stand-in"  # its name tells what it knows, wherever it is served

# A run that cannot succeed ends after so many rows that failed alike: before anything was answered,
# and after that. What is wrong with a row alone ends no run.
FIRST_FEW, IN_A_ROW = 5, 20
REFUSED = ("key", "address")  # here three of the first are enough
OF_A_ROW = ("filtered", "too long")
OF_A_REQUEST = ("request", "odd answer")
WHOLE = 6  # times the longest silence: signs of life of a dead server must not go on for ever
MOVES = 3  # redirects of one request that are followed
# How often is tried again, at most, until something was answered: nobody may be there.
TRIED_FIRST = {"connection": 3, "no completion": 3, "key": 0}


class Teacher:
    """A model behind an OpenAI-compatible address; `ask` is all there is to it.

    What is not given comes from TEACHER_BASE_URL, TEACHER_MODEL and TEACHER_API_KEY; only a teacher
    on this machine needs no key. `store` is a `Store`, a path, or None (replies live as long as the
    teacher). At most `concurrency` requests are open, fewer while the server refuses (429, 503).
    `requests_per_minute` counts retries too, `tokens_per_minute` the usage that the server reports.
    `budget` stops the run before it is passed, judged by what this object spent, or all that share
    a `ledger`: every try counts, at its worst until the server says what it cost. `timeout` is in
    seconds of silence per try, a sixth of what a whole answer may take. `max_retries` apply to 408,
    409, 425, 429, 5xx, lost connections and what is no chat completion; they wait as long as the
    server says. After a time-out, ours or a gateway's, and after an answer that cannot be read,
    there is one retry at most: these may have been billed. A redirect is followed on the same
    server only. Replies whose mark (`cut`, `empty`, `refused`, `filtered`) is in `retry` are asked
    for once more; the new one takes their place. Raises ValueError for a missing variable or an odd
    address.
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
        timeout: float = 600,
        max_retries: int = 8,
        retry: Collection[str] = (),
        ledger: Ledger | None = None,
    ) -> None:
        # Who is asked, with what key.
        self.base_url = address.checked_address(given("TEACHER_BASE_URL", base_url))
        self.model = given("TEACHER_MODEL", model)
        self.local = urlsplit(self.base_url).hostname in ("127.0.0.1", "localhost", "::1")
        self._key = given("TEACHER_API_KEY", api_key, NO_KEY if self.local else None)
        # The key goes into an HTTP header; this error must not show it.
        if not (self._key.isascii() and self._key.isprintable() and not set(" '\"") & {*self._key}):
            raise ValueError(
                "TEACHER_API_KEY: found a character that no key has (a space, a quote or not "
                "ASCII), expected the key alone. Copy it again"
            )
        self._secrets = [self._key, *address.secrets_in(self.base_url)]

        # Where replies are kept, and what may be asked for.
        self.store = store if isinstance(store, Store) else Store(store)
        if concurrency < 1:
            raise ValueError(
                f"concurrency: found {concurrency}, expected 1 or more requests at a time"
            )
        self.concurrency, self.budget = concurrency, budget or Budget()
        self.requests, self.tokens = RateLimit(requests_per_minute), RateLimit(tokens_per_minute)
        expect_above(timeout=timeout)
        self.timeout, self.max_retries, self.retry = timeout, max_retries, marks(retry)
        self.ledger = ledger or Ledger()
        self.spent = self.ledger.spent

    def __repr__(self) -> str:
        return f"Teacher({self.where}, {self.store!r})"

    @property
    def where(self) -> str:
        """Model and host, as a reader may see them."""
        return f"{self.model} @ {urlsplit(self.base_url).hostname}"

    @property
    def server(self) -> str:
        """What the store knows the server by: its address without what is secret in it.

        Two servers may give one name to two models; the stand-in's name tells what it knows.
        """
        return "" if self.model.startswith(STAND_IN) else address.server_of(self.base_url)

    def ask(
        self, requests: Iterable[Messages], progress: bool = True, **sampling: Any
    ) -> list[Reply]:
        """Return one reply per list of messages, in order; synchronous, also inside Jupyter.

        `requests` is read lazily, `concurrency` at a time. `sampling` is sent as it stands
        (temperature, top_p, max_tokens, ...) and is part of a reply's key; what stands in
        `extra_body` is sent beside the others, as the usual client does. What the store knows is
        not asked again. A request that fails after all retries comes back with `error`, is not
        stored, and costs no other reply. A run that cannot succeed ends with ValueError: the first
        few requests all failed alike, as with a wrong key, or many in a row did later. So does a
        budget that the next try might pass (BudgetReached); what was answered is in the store.
        """
        replies: dict[int, Reply] = {}
        run_to_end(Run(self, sampling).answer_all, requests, progress, replies.__setitem__)
        return [replies[place] for place in range(len(replies))]

    def fill(
        self,
        requests: Iterable[Messages],
        progress: bool = True,
        total: int | None = None,
        **sampling: Any,
    ) -> dict[str, int]:
        """`ask` for millions of requests: replies go to the store only, and memory stays constant.

        `total`, where known, lets the progress bar tell the time left. Returns how many were
        `answered` and how many `failed`; `stored` gives each reply afterwards, `why` the reason of
        a failure.
        """
        counts = {"answered": 0, "failed": 0}

        def count(place: int, reply: Reply) -> None:
            counts["answered" if reply.error is None else "failed"] += 1

        run_to_end(Run(self, sampling, total).answer_all, requests, progress, count)
        return counts

    def stored(self, messages: Messages, **sampling: Any) -> Reply | None:
        """Return the reply that the store holds for a request, or None; asks nobody."""
        return self.held(self.request(messages, checked_sampling(sampling)))

    def held(self, request: Mapping) -> Reply | None:
        """Return the stored reply to a request: of this server, else of an old store without one.

        A key of earlier versions says nothing of the server.
        """
        return self.store.get(request_key(request, self.server)) or self.store.get(
            request_key(request)
        )

    def why(self, messages: Messages, **sampling: Any) -> str | None:
        """Return why a request of this object has no reply, None where it has or was not asked."""
        request = self.request(messages, checked_sampling(sampling))
        return self.ledger.reasons.get(request_key(request, self.server))

    def ask_one(self, message: str, system: str | None = None, **sampling: Any) -> Reply:
        """Return the reply to one message, with an optional system message."""
        return self.ask([chat(message, system)], progress=False, **sampling)[0]

    def estimate(
        self, requests: Sequence[Messages], sample: int = 20, seed: int = 0, **sampling: Any
    ) -> dict[str, float | None]:
        """Ask a random sample and project its cost to all requests.

        The sample is kept in the store, so it is paid for only once.
        Returns `requests, sampled, prompt_tokens, completion_tokens, cost`; the last three are
        projections, tokens as the server counts them, cost at the budget's prices. None is unknown:
        the server counts no tokens, or there are no prices. Raises ValueError where no sampled
        request was answered.
        """
        # Without one answer there is nothing to project.
        chosen = random.Random(seed).sample(list(requests), min(sample, len(requests)))
        replies = self.ask(chosen, progress=False, **sampling)
        answered = [reply for reply in replies if reply.error is None]
        if not answered:
            why = "; ".join(commonest(reply.error for reply in replies)) or "there is none"
            raise ValueError(
                f"estimate: none of {len(chosen)} sampled requests was answered: {why}"
            )

        # Those that the server counted stand for all; a cost that nobody knows is not 0.
        counted = [r for r in answered if None not in (r.prompt_tokens, r.completion_tokens)]
        found: dict[str, float | None] = {"requests": len(requests), "sampled": len(answered)}
        found |= dict.fromkeys(("prompt_tokens", "completion_tokens", "cost"))
        if counted:
            scale = len(requests) / len(counted)
            tokens = [sum(r.prompt_tokens for r in counted)]
            tokens.append(sum(r.completion_tokens for r in counted))
            prompt, answer = (scale * count for count in tokens)
            found |= {"prompt_tokens": prompt, "completion_tokens": answer}
            found["cost"] = self.budget.cost(prompt, answer) if self.budget.prices else None
        return found

    def request(self, messages: Messages, sampling: Mapping[str, Any]) -> dict:
        """Return a request as it is sent and as its key is made; ValueError for a bare text."""
        if isinstance(messages, str):
            raise ValueError(
                f"a request is a list of messages; write chat({messages[:20]!r}), or ask_one for a "
                "single question（一句话要先包成消息：chat(句子)；只问一句就用 ask_one）"
            )
        return {"model": self.model, "messages": messages, **sampling}


@dataclass
class Pending:
    """A request on its way: what is sent, its key, how often it was tried so far.

    `bad` is the stored reply that the new one is to take the place of.
    """

    request: dict
    key: str
    bad: Reply | None = None
    tries: int = 0


class Run:
    """One call of `Teacher.ask`: its workers, its HTTP client, and its claims on the store."""

    def __init__(
        self, teacher: Teacher, sampling: Mapping[str, Any], total: int | None = None
    ) -> None:
        self.teacher, self.store, self.ledger = teacher, teacher.store, teacher.ledger
        self.sampling, self.total = checked_sampling(sampling), total
        self.owner, self.begun = new_owner(), time.time()
        self.concurrency = Concurrency(teacher.concurrency)
        self.error: Exception | None = None  # the first one that ends the whole run
        self.answered = False  # whether the teacher, in this run, has answered anything
        self.alike: list[Failure] = []  # the last failures in a row, all of one kind
        self.open = 0  # requests that wait for a reply or for another try
        self.sent_off: set[asyncio.Task] = set()  # those that the server has now
        self.said: set[str] = set()

    async def answer_all(
        self, requests: Iterable[Messages], progress: bool, take: Callable[[int, Reply], None]
    ) -> None:
        """Answer every request; `take` gets place and reply of each, in the order of arrival."""
        from tqdm import tqdm

        numbered = enumerate(requests)
        self.client = self.open_client()
        shown = {"total": self.total, "disable": not progress, "unit": "reply"}
        with tqdm(requests, self.teacher.model, **shown) as bar:
            async with self.client:
                beating = asyncio.create_task(self.keep_claims())
                try:
                    # A fixed set of workers over one shared iterator: rows are read only as fast
                    # as they are answered, and a million of them are not a million tasks.
                    workers = (self.work(numbered, take, bar) for _ in range(self.concurrency.most))
                    await asyncio.gather(*workers)
                except asyncio.CancelledError:
                    await self.last_replies()
                    raise
                finally:
                    beating.cancel()
                    self.store.release(self.owner)
        # Too few rows to be sure: a refused key is no matter of a row, all the same.
        if not self.error and self.alike and self.alike[-1].kind in REFUSED:
            self.error = self.stopped() if self.nothing_yet() else None
        if self.error:
            raise self.error

    async def work(
        self, numbered: Iterator[tuple[int, Messages]], take: Callable[[int, Reply], None], bar: Any
    ) -> None:
        """Answer one request after the other until there are no more, or an error ends the run."""
        try:
            for place, messages in numbered:
                # Something failed before anything was answered: first see what becomes of those
                # that are on their way.
                while self.alike and self.nothing_yet() and self.open and not self.error:
                    await asyncio.sleep(0.02)
                if self.hopeless():
                    raise self.stopped()
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

    async def last_replies(self) -> None:
        """Wait, after an interrupt, for what the server has: it is paid for, and is stored."""
        from anyio import CancelScope  # it comes with openai

        if count := len(self.sent_off):
            self.tell(
                f"已经发出去的 {count} 条会收钱，等它们回来，存好再停；再按一次马上停。 "
                f"waiting for {count} replies that are paid for; a second interrupt stops at once"
            )
            with CancelScope(shield=True):
                await asyncio.wait(self.sent_off)

    async def keep_claims(self) -> None:
        """Give signs of life to others on the same store; after one that fails comes the next."""
        while True:
            await asyncio.sleep(BEAT)
            with suppress(OSError, sqlite3.Error):
                self.store.beat(self.owner)

    async def answer(self, messages: Messages) -> Reply:
        """Return the store's reply, else the teacher's, committed before it is returned."""
        request = self.teacher.request(messages, self.sampling)
        pending = Pending(request, request_key(request, self.teacher.server))
        # Whoever claims the key asks. Equal requests wait here for its reply, in this process and
        # in others: nothing is paid for twice.
        while not self.good(reply := self.teacher.held(request), messages):
            pending.bad = reply
            instead_of = [reply.created] if reply else []
            if self.store.claim(pending.key, self.owner, *instead_of):
                break
            # The one who holds the claim may just have ended the run, and will not give it back.
            if self.error:
                raise self.error
            await asyncio.sleep(0.2)
        else:
            self.ledger.spent["from_store"] += 1
            # A long stretch out of the store must not starve the replies in flight.
            await asyncio.sleep(0)
            return reply
        reply = await self.pay(pending)
        if reply.error is not None:
            self.store.release(self.owner, pending.key)
        return reply

    def good(self, reply: Reply | None, messages: Messages) -> bool:
        """Whether a stored reply is to be used: there is one, and it is not to be asked again.

        What came in after this run began is not asked for a second time.
        """
        if reply is None or not self.teacher.retry or reply.created >= self.begun:
            return reply is not None
        return reply.mark(text_of(messages[-1].get("content"))) not in self.teacher.retry

    async def pay(self, pending: Pending) -> Reply:
        """Ask as soon as concurrency and rate limit allow it, store the reply, book its cost."""
        teacher, spent, request = self.teacher, self.ledger.spent, pending.request
        # A character is about a token, and a reply about as long as those before it. The usage that
        # the server reports corrects the guess.
        characters = sum(len(str(m["content"])) for m in request["messages"])
        guess = characters + spent["completion_tokens"] / max(1, spent["asked"] - spent["failed"])
        async with self.concurrency:
            await teacher.tokens.wait(guess)
            self.open += 1
            try:
                reply = await self.retried(pending)
            except Failure as failure:
                return self.failed(pending, failure)
            finally:
                self.open -= 1
        used = (reply.prompt_tokens or 0) + (reply.completion_tokens or 0)
        teacher.tokens.correct(used - guess)
        return reply

    def failed(self, pending: Pending, failure: Failure) -> Reply:
        """Count a request that has no reply, keep the reason, and see whether all fail alike."""
        said = masked(str(failure), self.teacher._secrets)
        self.ledger.spent["failed"] += 1
        self.ledger.reasons[pending.key] = said
        # It was answered twice, in a form that nobody can read: no later run pays for that again
        # unless it is told to (retry=empty).
        if failure.kind == "odd answer" and not pending.bad:
            unreadable = Reply("", f"unreadable: {said[:150]}")
            self.store.put(pending.key, pending.request, unreadable, self.teacher.server)
        if self.alike and self.alike[-1].kind != failure.kind:
            self.alike = []
        self.alike.append(failure)
        return Reply("", "", model=self.teacher.model, error=said)

    def nothing_yet(self) -> bool:
        """Whether this teacher has not answered anything so far, nor filled the store earlier."""
        return not self.answered and not self.ledger.spent["from_store"]

    def hopeless(self) -> bool:
        """Whether the run cannot succeed: the first few all failed alike, or many in a row did."""
        if not self.alike or self.alike[-1].kind in OF_A_ROW:
            return False
        if self.nothing_yet():
            return len(self.alike) >= (3 if self.alike[-1].kind in REFUSED else FIRST_FEW)
        return len(self.alike) >= IN_A_ROW and self.alike[-1].kind not in OF_A_REQUEST

    def stopped(self) -> ValueError:
        """Return the error that ends a run which cannot succeed, with the server's own words."""
        last, where = self.alike[-1], self.teacher.where
        said = masked(str(last), self.teacher._secrets)
        if last.kind in REFUSED:
            return ValueError(f"{where} refuses every request: {said}. {HINTS[last.kind]}")
        count = f"the first {len(self.alike)} requests" if self.nothing_yet() else "the last "
        count += "" if self.nothing_yet() else f"{len(self.alike)} requests in a row"
        return ValueError(
            f"{where}: {count} all failed alike, so the run stopped: {said}. {HINTS[last.kind]}. "
            "What was answered is stored"
        )

    async def retried(self, pending: Pending) -> Reply:
        """Send a request until a reply comes back, or raise the last `Failure`.

        Every try is set aside in the budget before it is sent.
        """
        teacher, kinds = self.teacher, Counter()
        worst = worst_case(pending.request) if teacher.budget.limited else {}
        for attempt in itertools.count():
            try:
                return await self.tried(pending, worst)
            except Failure as failure:
                kinds[failure.kind] += 1
                most = teacher.max_retries if failure.most is None else failure.most
                if not self.answered:
                    most = min(most, TRIED_FIRST.get(failure.kind, most))
                if kinds[failure.kind] > most or attempt >= teacher.max_retries or self.error:
                    raise
                pause = min(8, 0.5 * 2**attempt) * random.uniform(0.75, 1)
                await asyncio.sleep(pause if failure.wait is None else failure.wait)

    async def tried(self, pending: Pending, worst: Mapping[str, int]) -> Reply:
        """Send a request once; the reply is stored before anything is counted."""
        # Set aside first: a budget that has room for one try may have none for the next.
        teacher = self.teacher
        await self.ledger.reserve(worst, teacher.budget)
        self.ledger.spent["asked"] += pending.tries == 0
        pending.tries += 1
        billed = False
        try:
            await teacher.requests.wait(1)
            billed = True  # until proven otherwise, what is sent is billed
            reply = await self.delivered(pending)
            billed = None in (reply.prompt_tokens, reply.completion_tokens)
        except Failure as failure:
            billed = failure.billed
            raise
        finally:
            self.ledger.release(worst, billed)

        # The reply is safe by now: an odd number here costs nothing.
        self.answered, self.alike = True, []
        self.ledger.spent["prompt_tokens"] += reply.prompt_tokens or 0
        self.ledger.spent["completion_tokens"] += reply.completion_tokens or 0
        return reply

    async def delivered(self, pending: Pending) -> Reply:
        """Send a request and store its reply, which an interrupt of the run does not stop."""

        async def stored() -> Reply:
            reply = await self.sent(pending.request)
            instead = pending.bad is not None
            self.store.put(pending.key, pending.request, reply, self.teacher.server, instead)
            return reply

        task = asyncio.create_task(stored())
        self.sent_off.add(task)
        task.add_done_callback(self.sent_off.discard)
        return await asyncio.shield(task)

    async def sent(self, request: dict) -> Reply:
        """Post a request and read what comes back; raises `Failure` for all but a reply."""
        # What cannot be sent is a failure of this request alone.
        try:
            body = json.dumps(request, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Failure("request", "half of a surrogate pair stands in the request", 0) from None
        url, response = await self.posted(address.endpoint(self.teacher.base_url), body)

        # The status tells how many requests the server bears.
        secrets = self.teacher._secrets
        told = recoded(response.content, response.charset_encoding)
        if response.status_code >= 400:
            failure = refusal(response.status_code, told, url, response.headers, secrets)
            if response.status_code in (429, 503):
                self.concurrency.refused(failure.wait)
            raise failure
        self.concurrency.succeeded()
        return to_reply(told, url, secrets)

    async def posted(self, url: str, body: bytes) -> tuple[str, Any]:
        """Return the response to a post, and the URL that it came from in the end.

        The client itself would follow a redirect by GET, and to any other host.
        """
        for _ in range(1 + MOVES):
            begun = time.monotonic()
            try:
                post = self.client.post(url, content=body, follow_redirects=False)
                response = await asyncio.wait_for(post, WHOLE * self.teacher.timeout)
            except Exception as error:
                waited = time.monotonic() - begun
                raise self.lost(broken(error, url, waited, self.teacher.timeout)) from None
            if response.status_code not in MOVED:
                return url, response
            url = moved(url, response.status_code, response.headers.get("location"))
        raise Failure("address", f"{MOVES} redirects lead to {address.shown(url)} and on", 0)

    def lost(self, failure: Failure) -> Failure:
        """Count a try that took too long, say so once, and return its failure."""
        if failure.kind == "timeout":
            self.ledger.note("timed_out")
            self.tell(
                f"超过 {self.teacher.timeout:g} 秒没有回答：把 timeout 调大"
                "（命令行里是 --timeout）；这一次可能已经收了钱。 "
                f"answers take longer than {self.teacher.timeout:g} seconds: raise timeout=… (in "
                "the shell --timeout). Such a try may be billed"
            )
        return failure

    def tell(self, line: str) -> None:
        """Say something once, beside the progress bar."""
        if line not in self.said:
            from tqdm import tqdm

            self.said.add(line)
            tqdm.write(line, file=sys.stderr)

    def open_client(self) -> DefaultAioHttpClient:
        """Return an HTTP client over aiohttp, twice as fast as httpx."""
        from openai import DEFAULT_CONNECTION_LIMITS, DEFAULT_TIMEOUT, DefaultAioHttpClient

        teacher, most = self.teacher, self.teacher.concurrency
        # httpx has a successor under another name: take the classes that this openai stands on.
        limits = type(DEFAULT_CONNECTION_LIMITS)(
            max_connections=most, max_keepalive_connections=most
        )
        connect = min(DEFAULT_TIMEOUT.connect or 5, teacher.timeout)
        return DefaultAioHttpClient(
            timeout=type(DEFAULT_TIMEOUT)(teacher.timeout, connect=connect),
            limits=limits,
            trust_env=not teacher.local,  # no proxy stands between us and this machine
            headers={
                "Authorization": f"Bearer {teacher._key}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
        )


def checked_sampling(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return sampling parameters without those that are None, `extra_body` merged into them.

    Raises ValueError for one that does not ask for one plain reply.

    >>> checked_sampling({"top_p": None, "extra_body": {"enable_thinking": False}})
    {'enable_thinking': False}
    """
    sampling = dict(sampling)
    extra = sampling.pop("extra_body", None) or {}
    if not isinstance(extra, Mapping):
        raise ValueError(f"extra_body: found {extra!r}, expected parameters by name")
    sampling |= extra
    if wrong := [name for name in NOT_IN_BODY if name in sampling]:
        raise ValueError(
            f"sampling: found {', '.join(wrong)}, expected parameters of one plain reply, such as "
            "temperature or max_tokens"
        )
    try:
        json.dumps(sampling, allow_nan=False)
    except (TypeError, ValueError) as error:  # a NaN would be sent, and is no JSON
        raise ValueError(f"sampling: {error}; expected what JSON can hold") from None
    return {name: value for name, value in sampling.items() if value is not None}


RETRIED = ("cut", "empty", "refused", "filtered")


def marks(names: Collection[str]) -> frozenset[str]:
    """Return marks of replies; ValueError for one that no reply to be asked again can have."""
    names = [names] if isinstance(names, str) else names
    if strange := sorted(set(names) - set(RETRIED)):
        raise ValueError(
            f"retry: found {', '.join(strange)}, expected some of {', '.join(RETRIED)}"
        )
    return frozenset(names)


def expect_above(**values: float) -> None:
    """Raise ValueError for a number that is not above 0."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}: found {value}, expected a number above 0")


def worst_case(request: Mapping[str, Any]) -> dict[str, int]:
    """Return the tokens that a request can cost at most: no tokenizer makes more tokens than bytes.

    >>> worst_case({"messages": [{"role": "user", "content": "你好"}], "max_tokens": 100})
    {'prompt': 38, 'completion': 100}
    """
    limit = request.get("max_tokens") or request.get("max_completion_tokens")
    if not limit:
        raise ValueError(
            "a budget needs max_tokens (or max_completion_tokens) in every request, for without it "
            "nobody knows what a reply may cost; pass max_tokens=…"
        )
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ValueError(f"max_tokens: found {limit!r}, expected a whole number above 0")
    sizes = (len(str(m["content"]).encode("utf-8", "replace")) for m in request["messages"])
    # 32 tokens of a chat template around each message
    return {"prompt": sum(size + 32 for size in sizes), "completion": limit}


def given(variable: str, value: str | None, default: str | None = None) -> str:
    """Return a value, else the environment variable's, else the default, else say how to set it."""
    found = (value or os.environ.get(variable) or default or "").strip()
    if not found:
        raise ValueError(
            f"{variable} is not set, and a teacher needs it. Set it before this cell, for example "
            f'os.environ["{variable}"] = "{EXAMPLES[variable]}", or export it in the shell'
            "（教师要先设好这个变量）"
        )
    return found


def chat(
    message: str, system: str | None = None, history: Iterable[Sequence[str]] = ()
) -> Messages:
    """Return one user message, after an optional system message and earlier turns.

    `history` holds them as [user, assistant] pairs, oldest first.

    >>> chat("你好")
    [{'role': 'user', 'content': '你好'}]
    >>> [message["role"] for message in chat("那里呢？", "简洁。", [["北京在哪？", "在华北。"]])]
    ['system', 'user', 'assistant', 'user']
    """
    turns = [{"role": "system", "content": system}] if system else []
    for user, assistant in history:
        turns.append({"role": "user", "content": user})
        turns.append({"role": "assistant", "content": assistant})
    return [*turns, {"role": "user", "content": message}]


def chat_of(row: Mapping, system: str | None = None) -> Messages:
    """Return the conversation that a row is to a teacher: its history, then its question."""
    return chat(question_of(row), system, row.get("history") or ())


def question_of(row: Mapping) -> str:
    """Return the one message that a row with `instruction` and `input` is to a teacher.

    >>> question_of({"instruction": "翻译成英文：", "input": "骆驼"})
    '翻译成英文：\\n骆驼'
    """
    return joined(row["instruction"], text_of(row.get("input")))


def text_of(value: Any) -> str:
    """Return a value of a row as text: as it stands, "" for none, JSON for lists and objects.

    >>> text_of(0), text_of(None), text_of(["甲", {"乙": True}])
    ('0', '', '["甲", {"乙": true}]')
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def run_to_end(function: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    """Run an async function from synchronous code, also in Jupyter, whose own loop is running.

    An interrupt (the stop button, Ctrl-C) cancels it, and waits until it has tidied up.
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
