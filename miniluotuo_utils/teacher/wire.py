"""Read what a teacher's server sends: completions in any wrapping, and failures in one line.

In: the status, headers and bytes of one try. Out: a `Reply`, or a `Failure` that says whether
another try makes sense and whether this one may have been billed. Shown in notebook 02.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any
from urllib.parse import quote

from miniluotuo_utils.teacher.address import onward, shown
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
    "gateway": "Something between here and the model does not wait for answers that take so long: "
    "ask for shorter ones (max_tokens), or past it",
    "proxy": "The proxy of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY (one for HTTP, not SOCKS) lets "
    "nothing through: mend it or unset it, or name the teacher's host in NO_PROXY",
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
    "insufficient_quota|insufficient (?:balance|credit|funds)|arrear|payment required|"
    "余额不足|欠费",
    re.IGNORECASE,
)
# Of a minute's quota some say the same; those name the seconds after which there is more.
PERHAPS_QUOTA = re.compile("exceeded your current quota|billing|额度不足|额度已用", re.IGNORECASE)
PAUSE = re.compile(
    r"(?:retry|try again|重试)[^\d.。]{0,12}(?P<m>\d+m(?=\d))?"
    r"(?P<n>\d+(?:\.\d+)?) ?(?P<u>ms|s\b|sec|秒)"
    r"|(?P<zh>\d+(?:\.\d+)?) ?秒[钟之以]?后",
    re.IGNORECASE,
)
FILTERED = re.compile(
    "content[ _]?filter|content management policy|data_inspection_failed|inappropriate|"
    "content_policy|sensitive|safety(?!_?(?:settings|identifier))|敏感|不合规|违规|安全审核|"
    "风险内容",
    re.IGNORECASE,
)
TOO_LONG = re.compile(
    "context.{0,10}length|maximum.{0,20}(?:length|tokens)|too (?:long|large)|too many tokens|"
    "input length|过长|超长|超过.{0,12}(?:长度|限制)|长度.{0,6}超",
    re.IGNORECASE,
)
# These words name a parameter of the run, not the row.
LIMIT = re.compile("max_(?:completion_)?tokens.{0,40}too large", re.IGNORECASE)
MOVED = range(300, 400)
GATEWAY = (504, 524)  # somebody between us and the model waited in vain
SILENCE = 25  # seconds; balancers cut a connection on which nothing is said for longer
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


def masked(text: str, secrets: Collection[str]) -> str:
    """Return a text without secrets, which servers echo; no key is as short as the word EMPTY.

    >>> masked("wrong key sk-1234/5, see ?key=sk-1234%2F5", ["sk-1234/5"])
    'wrong key ***, see ?key=***'
    """
    for secret in secrets:
        if len(secret) > 5:
            text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
    return text


def broken(error: Exception, url: str, waited: float, limit: float) -> Failure:
    """Return the failure that an exception of the HTTP client is, `waited` seconds after sending.

    Its own classes mislead (a lost connection is its ConnectTimeout): the cause below tells.
    """
    cause = error if type(error) is TimeoutError else error.__cause__ or error
    names = {kind.__name__ for kind in type(cause).__mro__}
    where = shown(url)
    said = shown(" ".join(f"{type(cause).__name__}: {error}".split())[:LONGEST])
    said += "" if where in said else f" ({where})"

    # Nobody was reached.
    if {"ClientProxyConnectionError", "ClientHttpProxyError"} & names:
        return Failure("proxy", said)
    if {"ClientConnectorError", "ConnectionTimeoutError", "UnsupportedProtocol"} & names:
        return Failure("connection", said)

    # Somebody was: from here on it may have been billed.
    if {"ServerTimeoutError", "TimeoutException", "TimeoutError"} & names:
        late = f"ReadTimeout: answers take longer than {limit:g} seconds ({where})"
        return Failure("timeout", late, 1, billed=True)
    # It was answered, by something that speaks no HTTP or packs its answers wrongly.
    if {"HttpProcessingError", "DecodingError", "error"} & names:
        return Failure("connection", said, 1, billed=True)
    if waited > SILENCE:
        return Failure("gateway", f"{said} after {waited:.0f} seconds", 1, billed=True)
    return Failure("connection", said, billed=True)


def moved(url: str, status: int, location: str | None) -> str:
    """Return where a redirect of the same server leads; raises `Failure` for any other."""
    target = onward(url, location)
    if target is None:
        to = shown(location or "")[:LONGEST] or "nowhere"
        raise Failure(
            "address",
            f"{status} from {shown(url)}: it leads to {to}, another server, where nothing was sent",
            0,
        )
    return target


def recoded(body: bytes, charset: str | None = None) -> bytes:
    """Return a body in UTF-8: JSON may come in UTF-16, and servers of old in GBK or Big5.

    >>> recoded("好".encode("gbk"), "GBK").decode(), recoded('{"好": 1}'.encode("utf-16")).decode()
    ('好', '{"好": 1}')
    """
    said = (charset or "").lower()
    for name in (json.detect_encoding(body), "gb18030" if said.startswith("gb") else said):
        # Any bytes are text in one-byte charsets, which servers declare without meaning it.
        if name.startswith(("utf", "gb", "big5", "shift_jis", "euc")):
            with suppress(UnicodeDecodeError, LookupError):
                return body.decode(name).encode("utf-8", "replace")
    return body


def refusal(
    status: int,
    body: bytes,
    url: str,
    headers: Mapping[str, str] | None = None,
    secrets: Collection[str] = (),
) -> Failure:
    """Return the failure that a status of 400 or more is, with the server's own words.

    >>> failure = refusal(404, b'{"detail": "Not Found"}', "http://h/chat/completions")
    >>> failure.kind, str(failure)
    ('address', "404 from http://h/chat/completions: 'Not Found'")
    """
    # First the key, then the cut: half a key is a leak, too.
    text = masked(readable(body), secrets)
    said = f"{status} from {shown(url)}: {words(text)!r}"
    wait = retry_after((headers or {}).get("retry-after")) or pause_in(text)
    if status < 500 and status != 429 and FILTERED.search(text):
        return Failure("filtered", said, 0)
    long = TOO_LONG.search(text) and not LIMIT.search(text)
    if status == 413 or (status in (400, 422) and long):
        return Failure("too long", said, 0)
    if status < 500 and (QUOTA.search(text) or (not wait and PERHAPS_QUOTA.search(text))):
        return Failure("quota", said, 0)
    if status in GATEWAY:
        return Failure("gateway", said, 1, wait, billed=True)
    if status in (408, 409, 425) or status >= 500:
        return Failure("server", said, None, wait)
    # A passing 401 is tried once more; another request that it cannot take fails at once.
    most = {"busy": None, "key": 1}.get(KINDS.get(status, "request"), 0)
    return Failure(KINDS.get(status, "request"), said, most, wait)


def readable(body: bytes) -> str:
    """Return a body as text, with characters in place of JSON's escapes, or of HTML's."""
    text = body.decode("utf-8", "replace")
    try:
        text = json.dumps(json.loads(text), ensure_ascii=False)
    except (ValueError, RecursionError):
        text = unescape(text) if text.lstrip().startswith("<") else text
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

    None where it names no time to come: 0, or a date that is past by our clock.

    >>> retry_after("2.5"), retry_after(None), retry_after("soon"), retry_after("0")
    (2.5, None, None, None)
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
    return min(120.0, seconds) if seconds > 0 else None


def pause_in(text: str) -> float | None:
    """Return the seconds after which a server says, in words, to come again; at most two minutes.

    >>> pause_in("Please try again in 1m5.5s."), pause_in("retry in 200ms"), pause_in("20 秒后再试")
    (65.5, 0.2, 20.0)
    """
    found = PAUSE.search(text)
    if found is None:
        return None
    seconds = float(found["n"] or found["zh"]) * (0.001 if found["u"] == "ms" else 1)
    return min(120.0, seconds + 60 * int((found["m"] or "0m")[:-1]))


# ---- completions

SAID = ("message", "delta", "text")  # where a choice has its words
WRITTEN = ("completion_tokens", "output_tokens")  # where usage counts them


@dataclass
class Message:
    """What a completion holds, however it is written."""

    text: str = ""
    thoughts: str = ""


def to_reply(body: bytes, url: str = "", secrets: Collection[str] = ()) -> Reply:
    """Return the body of an answered request as a `Reply`.

    Read whatever its Content-Type: JSON, a stream of events, text in parts, one wrong byte. Odd
    fields become empty. Thoughts are apart from the text. Raises `Failure` where it is no chat
    completion; it was billed where it looks like one.
    """
    value, told = completion(body), masked(readable(body), secrets)
    said = f"200 from {shown(url)}: found {words(told)!r}, expected a chat completion"
    if value is None:
        if '"choices"' in told:
            raise Failure("odd answer", said, 1, billed=True)
        # A page is nobody's answer; an empty body, or half of one, may be one that is paid for.
        page = told.lstrip().startswith("<")
        raise Failure("no completion", said, None if page else 1, billed=not page)
    # Gateways send the errors of the servers behind them with status 200, beside an empty answer or
    # in it. Where tokens were written, it was one all the same.
    choice, usage = first_choice(value), value.get("usage")
    fault = fault_in(value) or fault_in(choice or {})
    written = number(usage, WRITTEN) if isinstance(usage, dict) else None
    if fault and choice and not choice.get("finish_reason"):
        choice = {**choice, "finish_reason": "error"}  # what words there are broke off
    reply = None if choice is None else reply_of(choice, value)
    if reply and (reply.text or reply.thoughts or written or not fault):
        return reply
    if not written and (status := status_in(fault)):
        raise refusal(status, body, url, secrets=secrets)
    if not written and QUOTA.search(told):
        raise Failure("quota", said, 0)
    if written or (not fault and ("choices" in value or usage)):
        raise Failure("odd answer", f"{said} with choices", 1, billed=True)
    raise Failure("no completion", said)


def fault_in(value: Mapping) -> Any:
    """Return the error that a body with status 200 names, in any of the usual fields; else None.

    >>> fault_in({"base_resp": {"status_code": 1008}}), fault_in({"error_code": 0})
    (1008, None)
    """
    base = value.get("base_resp")  # MiniMax's
    base = base.get("status_code") if isinstance(base, dict) else None
    found = (value.get("error"), base, value.get("error_code", value.get("error_msg")))
    return next((one for one in found if one and one != "0"), None)


def status_in(error: Any) -> int | None:
    """Return the status that an error object names as its `code`, None where it names none.

    >>> status_in({"message": "slow down", "code": "429"}), status_in({"code": "rate_limit"})
    (429, None)
    """
    found = [error.get(name) for name in ("code", "status")] if isinstance(error, dict) else []
    codes = [int(code) for code in map(str, found) if re.fullmatch("[45][0-9][0-9]", code)]
    return codes[0] if codes else None


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
        return joined_events(text) or wrapped(text)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else None


def wrapped(text: str) -> dict | None:
    """Return the one completion between lines that are none, such as a gateway's signs of life.

    >>> wrapped(': waiting\\n\\n{"choices": []}\\n<!-- 3 ms -->')
    {'choices': []}
    """
    start = re.search("^ *{", text, re.MULTILINE)
    try:
        value, end = json.JSONDecoder().raw_decode(text, start.end() - 1 if start else 0)
    except (ValueError, RecursionError):
        return None
    # One of several pieces is no answer.
    alone = '"choices"' not in text[end:]
    return value if isinstance(value, dict) and "choices" in value and alone else None


def joined_events(text: str) -> dict | None:
    """Return a stream of events, sent although none was asked for, as one completion.

    One that breaks off, without an end or with an error, was cut: its text is no whole answer.
    """
    # The fields of the whole come piece by piece, as usage does with the last.
    chunks = list(events(text))
    if not chunks:
        return None
    whole: dict[str, Any] = {}
    told, message = {"content": "", "reasoning_content": ""}, Message()
    for chunk in chunks:
        whole |= {name: value for name, value in chunk.items() if value}
        choice = first_choice(chunk) or {}
        if choice.get("index"):  # another answer than the first
            continue
        piece = message_of(choice)
        message.text += piece.text
        message.thoughts += piece.thoughts
        told |= {"finish_reason": choice.get("finish_reason") or told.get("finish_reason")}

    # Without a choice it is an error, or no completion.
    if not any(first_choice(chunk) for chunk in chunks):
        return whole
    if "error" in whole:
        told["finish_reason"] = "error"
    elif not told["finish_reason"] and "[DONE]" not in text[-20:]:
        told["finish_reason"] = "incomplete"
    told |= {"content": message.text, "reasoning_content": message.thoughts}
    return whole | {"choices": [{"message": told, "finish_reason": told["finish_reason"]}]}


def events(text: str) -> Iterator[dict]:
    """Yield the JSON objects of server-sent events."""
    for line in re.split("\r\n|\n|\r", text):
        if line.startswith("data:"):
            try:
                value = json.loads(line[5:])
            except (ValueError, RecursionError):
                continue  # [DONE], or a line that broke off
            if isinstance(value, dict):
                yield value


def first_choice(value: Mapping) -> dict | None:
    """Return the first choice of a completion, None where it has none with a message.

    >>> first_choice({"choices": [{"index": 1, "text": "乙"}, {"index": 0, "text": "甲"}]})["text"]
    '甲'
    """
    choices = value.get("choices")
    found = [choice for choice in as_list(choices) if isinstance(choice, dict)]
    told = [choice for choice in found if any(map(is_said, map(choice.get, SAID)))]
    return min(told, key=lambda choice: choice.get("index") not in (0, None), default=None)


def message_of(choice: Mapping) -> Message:
    """Return text and thoughts of a choice: a message, a piece of a stream or a bare text."""
    said = next(filter(is_said, map(choice.get, SAID)), "")
    if isinstance(said, str):
        return Message(said)
    message = Message()
    add_parts(message, said.get("content"))
    # OpenAI's own refusals stand beside an empty content.
    message.text = message.text or text_in(said.get("refusal"))
    for name in ("reasoning_content", "reasoning", "thinking", "reasoning_details"):
        message.thoughts = message.thoughts or text_in(said.get(name))
    return message


def is_said(value: Any) -> bool:
    """Whether a value is a message or a text."""
    return isinstance(value, dict | str)


def as_list(value: Any) -> list:
    """Return a list as it is, anything else as the one in it."""
    return value if isinstance(value, list) else [value]


def add_parts(message: Message, content: Any) -> None:
    """Add a content to a message: a text, or a list of parts, of which some are thoughts."""
    for part in as_list(content):
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
        number(usage, WRITTEN),
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
