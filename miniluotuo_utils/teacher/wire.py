"""Read what a teacher's server sends: completions in any wrapping, and failures in one line.

In: the status, headers and bytes of one try. Out: a `Reply`, or a `Failure` that says whether
another try makes sense and whether this one may have been billed. Shown in notebook 02.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from miniluotuo_utils.teacher.store import Reply
from miniluotuo_utils.text import split_thoughts

SURROGATES = re.compile("[\ud800-\udfff]")  # half of a pair, as in "好\ud83d"
LONGEST = 300  # characters of a server's own words in a message

# What a kind of failure asks the user to do.
HINTS = {
    "key": "Check TEACHER_API_KEY, TEACHER_MODEL and TEACHER_BASE_URL",
    "address": "Check TEACHER_BASE_URL, which usually ends in /v1, and TEACHER_MODEL",
    "quota": "The account has no money or quota left: top it up, then run again",
    "busy": "The server refuses for now: run again later, or with less at a time (concurrency=…)",
    "server": "The server has a fault of its own: run again later",
    "timeout": "Answers take longer than the time limit: raise timeout=…",
    "connection": "Check TEACHER_BASE_URL: the scheme (http or https), the host and the port",
    "no completion": "Something else than a teacher answers there, such as a log-in page: check "
    "TEACHER_BASE_URL, which usually ends in /v1",
    "odd answer": "The server answers in a form that is no chat completion: check TEACHER_MODEL",
    "request": "Change what it names (temperature, max_tokens, the length of the rows)",
    "too long": "These rows are longer than the model takes: shorten them or leave them out",
    "filtered": "The server's content filter refuses these rows: leave them out",
}

# What servers say, whatever their status, when the money is gone, and when a filter has struck.
QUOTA = re.compile(
    "insufficient_quota|exceeded your current quota|insufficient (?:balance|credit|funds)|"
    "billing|arrear|payment required|余额不足|欠费|额度不足|额度已用",
    re.IGNORECASE,
)
FILTERED = re.compile(
    "content[ _]?filter|content management policy|data_inspection_failed|inappropriate|"
    "content_policy|sensitive|safety|敏感|不合规|违规|安全审核|风险内容",
    re.IGNORECASE,
)
TOO_LONG = re.compile(
    "context.{0,10}length|maximum.{0,20}(?:length|tokens)|too (?:long|large)|too many tokens|"
    "input length|过长|超长|超过.{0,12}(?:长度|限制)|长度.{0,6}超",
    re.IGNORECASE,
)
KINDS = {401: "key", 403: "key", 404: "address", 405: "address", 402: "quota", 429: "busy"}


class Failure(Exception):
    """One try that brought no reply.

    `kind` is one of `HINTS`, `most` how often it may be tried again (None: as often as the teacher
    allows), `wait` the seconds that the server asked for, `billed` whether it may cost money.
    """

    def __init__(
        self, kind: str, said: str, most: int | None = None, wait: float | None = None, **more: bool
    ) -> None:
        super().__init__(said)
        self.kind, self.most, self.wait = kind, most, wait
        self.billed = more.get("billed", False)


def masked(text: str, key: str) -> str:
    """Return a text without the key, which servers echo; no key is as short as the word EMPTY."""
    return text.replace(key, "***") if len(key) > 5 else text


def refusal(
    status: int, body: bytes, url: str, wait: float | None = None, key: str = ""
) -> Failure:
    """Return the failure that a status of 400 or more is, with the server's own words.

    >>> failure = refusal(404, b'{"detail": "Not Found"}', "http://h/chat/completions")
    >>> failure.kind, str(failure)
    ('address', "404 from http://h/chat/completions: 'Not Found'")
    """
    # First the key, then the cut: half a key is a leak, too.
    text = masked(readable(body), key)
    said = f"{status} from {url}: {words(text)!r}"
    if status < 500 and status != 429 and FILTERED.search(text):
        return Failure("filtered", said, 0)
    if status == 413 or (status in (400, 422) and TOO_LONG.search(text)):
        return Failure("too long", said, 0)
    if QUOTA.search(text) and status < 500:
        return Failure("quota", said, 0)
    if status in (408, 409) or status >= 500:
        return Failure("server", said, None, wait)
    # A passing 401 is tried once more; another request that it cannot take fails at once.
    most = {"busy": None, "key": 1}.get(KINDS.get(status, "request"), 0)
    return Failure(KINDS.get(status, "request"), said, most, wait)


def readable(body: bytes) -> str:
    """Return a body as text, with characters in place of JSON's escapes."""
    text = body.decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), ensure_ascii=False)
    return SURROGATES.sub("\ufffd", text)


def words(text: str) -> str:
    """Return a server's own words out of an error body, in one line.

    >>> words('{"error": {"message": "No such model", "type": "x"}}'), words("<h1>Bad</h1> gate")
    ('No such model', 'Bad gate')
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = re.sub(r"(?s)<(script|style).*?</\1>|<[^<>]*>", " ", text)
    # {"error": {"message": "..."}}, {"error": "..."}, {"message": "..."}, {"detail": [...]}, ...
    while isinstance(value, dict) and value:
        inner = [value[name] for name in ("error", "message", "detail", "msg") if value.get(name)]
        value = inner[0] if inner else json.dumps(value, ensure_ascii=False)
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(said.split())[:LONGEST] or "(nothing)"


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date, at most two minutes.

    >>> retry_after("2.5"), retry_after(None), retry_after("soon")
    (2.5, None, None)
    >>> noon = datetime(2026, 10, 21, 12, tzinfo=UTC)
    >>> retry_after("Wed, 21 Oct 2026 12:00:30 GMT", noon)
    30.0
    """
    try:
        seconds = float(value or "")
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - (now or datetime.now(UTC))).total_seconds()
        except (TypeError, ValueError):
            return None
    return min(120.0, max(0.0, seconds)) if seconds == seconds else None


# ---- completions


@dataclass
class Message:
    """What a completion holds, however it is written."""

    text: str = ""
    thoughts: str = ""


def to_reply(body: bytes, url: str = "", key: str = "") -> Reply:
    """Return the body of an answered request as a `Reply`.

    Read whatever its Content-Type: JSON, a stream of events, text in parts, one wrong byte. Odd
    fields become empty. Thoughts are apart from the text. Raises `Failure` where it is no chat
    completion; it was billed where it looks like one.
    """
    value, shown = completion(body), masked(readable(body), key)
    said = f"200 from {url}: found {words(shown)!r}, expected a chat completion"
    if value is None:
        if '"choices"' in shown:
            raise Failure("odd answer", said, 1, billed=True)
        # A page is nobody's answer; an empty body, or half of one, may be.
        raise Failure("no completion", said, billed=not shown.lstrip().startswith("<"))
    choice = first_choice(value)
    if choice is None and ("choices" in value or value.get("usage")):
        raise Failure("odd answer", f"{said} with choices", 1, billed=True)
    if choice is None:
        # Gateways send the errors of the servers behind them with status 200.
        raise Failure("quota", said, 0) if QUOTA.search(shown) else Failure("no completion", said)
    return reply_of(choice, value)


def completion(body: bytes | str) -> dict | None:
    """Return the completion that a body holds as a dict, None where it holds none.

    >>> completion(b'\\n{"a": 1}'), completion("<html>"), completion('data: {"error": "x"}\\n\\n')
    ({'a': 1}, None, {'error': 'x'})
    """
    text = body if isinstance(body, str) else body.decode("utf-8", "replace")
    text = text.lstrip("\ufeff \t\r\n")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return joined_events(text)
    return value if isinstance(value, dict) else None


def joined_events(text: str) -> dict | None:
    """Return a stream of events, sent although none was asked for, as one completion."""
    # The fields of the whole come piece by piece, as usage does with the last.
    chunks = list(events(text))
    if not chunks:
        return None
    whole: dict[str, Any] = {}
    told, message = {"content": "", "reasoning_content": ""}, Message()
    for chunk in chunks:
        whole |= {name: value for name, value in chunk.items() if value}
        choice = first_choice(chunk) or {}
        piece = message_of(choice)
        message.text += piece.text
        message.thoughts += piece.thoughts
        told |= {"finish_reason": choice.get("finish_reason") or told.get("finish_reason")}

    # Without a choice it is an error, or no completion.
    if not any(first_choice(chunk) for chunk in chunks):
        return whole
    told |= {"content": message.text, "reasoning_content": message.thoughts}
    return whole | {"choices": [{"message": told, "finish_reason": told["finish_reason"]}]}


def events(text: str) -> Iterator[dict]:
    """Yield the JSON objects of server-sent events."""
    for line in text.split("\n"):
        if line.startswith("data:"):
            try:
                value = json.loads(line[5:])
            except (ValueError, RecursionError):
                continue  # [DONE], or a line that broke off
            if isinstance(value, dict):
                yield value


def first_choice(value: Mapping) -> dict | None:
    """Return the first choice of a completion, None where it has none with a message."""
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else choices
    if not isinstance(choice, dict):
        return None
    found = [choice.get(name) for name in ("message", "delta", "text")]
    return choice if any(isinstance(one, dict | str) for one in found) else None


def message_of(choice: Mapping) -> Message:
    """Return text and thoughts of a choice: a message, a piece of a stream or a bare text."""
    found = [choice.get(name) for name in ("message", "delta", "text")]
    said = next((one for one in found if isinstance(one, dict | str)), "")
    if isinstance(said, str):
        return Message(said)
    message = Message()
    add_parts(message, said.get("content"))
    # OpenAI's own refusals stand beside an empty content.
    message.text = message.text or text_in(said.get("refusal"))
    for name in ("reasoning_content", "reasoning", "thinking", "reasoning_details"):
        message.thoughts = message.thoughts or text_in(said.get(name))
    return message


def add_parts(message: Message, content: Any) -> None:
    """Add a content to a message: a text, or a list of parts, of which some are thoughts."""
    for part in content if isinstance(content, list) else [content]:
        kind = str(part.get("type", "")) if isinstance(part, dict) else ""
        if "think" in kind or "reason" in kind:
            message.thoughts += text_in(part)
        else:
            message.text += text_in(part)


def text_in(value: Any) -> str:
    """Return the text of a part, however deep it stands.

    >>> text_in([{"type": "thinking", "thinking": [{"type": "text", "text": "想"}]}, "好"])
    '想好'
    """
    if isinstance(value, list):
        return "".join(map(text_in, value[:1000]))
    if isinstance(value, dict):
        found = (
            value[name] for name in ("text", "thinking", "content", "summary") if name in value
        )
        return text_in(next(found, ""))
    return value if isinstance(value, str) else ""


def reply_of(choice: Mapping, body: Mapping) -> Reply:
    """Return a choice as a `Reply`, whatever odd values stand in its fields."""
    message, usage = message_of(choice), body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    # Half an emoji, where max_tokens cut it, is no UTF-8 and could not be stored.
    said, thoughts = (SURROGATES.sub("\ufffd", one) for one in (message.text, message.thoughts))
    inner, answer = split_thoughts(said)
    refused = isinstance(choice.get("message"), dict) and choice["message"].get("refusal")
    reason = choice.get("finish_reason")
    return Reply(
        answer,
        "refusal" if refused else clean(reason),
        number(usage, ("prompt_tokens", "input_tokens")),
        number(usage, ("completion_tokens", "output_tokens")),
        clean(body.get("model")),
        thoughts="\n".join(part for part in (thoughts, inner) if part),
    )


def clean(value: Any) -> str:
    """Return a text that can be stored, "" for any other value."""
    return SURROGATES.sub("\ufffd", value)[:200] if isinstance(value, str) else ""


def number(usage: Mapping, names: Sequence[str]) -> int | None:
    """Return a count of tokens, also one that is written as text; None for no count.

    >>> number({"prompt_tokens": "12"}, ["prompt_tokens"]), number({"n": -1}, ["n"])
    (12, None)
    """
    for name in names:
        try:
            count = int(float(usage[name]))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if not isinstance(usage[name], bool) and 0 <= count < 2**62:
            return count
    return None
