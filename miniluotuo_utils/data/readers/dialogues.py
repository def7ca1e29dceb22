"""Read the instruction rows and dialogues that people bring: one native record in, one row out.

In: a unit of `native`. Out: rows; what a row cannot hold is named in `notes`, which `read_any`
counts. Shown in data/README.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from miniluotuo_utils.data.readers.instructions import row
from miniluotuo_utils.files import DataError, json_line, parsed

# Names of fields, the surest first.
INSTRUCTION = (
    *("instruction", "指令", "prompt", "提示", "提示词", "question", "问题", "query", "提问"),
    *("q", "问", "user", "human"),
)
INPUT = ("input", "输入", "context", "上下文")
OUTPUT = (
    *("output", "输出", "response", "回复", "completion", "answer", "答案", "回答", "target"),
    *("chosen", "reply", "a", "答", "assistant", "bot"),
)
TURNS = (
    *("conversations", "conversation", "messages", "dialogue", "dialog", "turns", "chat"),
    "chosen",
)
ROLE, SAID = ("role", "from", "speaker"), ("content", "value", "text")
ROLES = {
    "user": ("user", "human", "用户", "prompter"),
    "assistant": ("assistant", "gpt", "bot", "chatgpt", "model", "助手"),
    "system": ("system", "developer", "系统"),
}
ROLE_OF = {name: role for role, names in ROLES.items() for name in names}
MEDIA = ("images", "image", "videos", "video", "audios", "audio")
CALLS, THOUGHTS = ("tool_calls", "function_call"), ("reasoning_content", "reasoning", "thinking")
SYSTEM = "a system message, put in front of the question behind it"
UNHEARD = "a system message with no question behind it, left out"
UNASKED = "a first answer without a question, left out"
UNANSWERED = "a last question without an answer, left out"
REJECTED = "a rejected answer, left out"
UNWEIGHTED = "a last answer of weight 0, which nobody should learn, left out"
THOUGHT = "the thoughts of an answer, left out"
AS_JSON = "an answer that is an object, written as JSON"


def named_field(native: Mapping, names: Sequence[str]) -> str | None:
    """Return the first of the names that a record has, however it is written; None without one.

    >>> named_field({"Question ": "1+1?", "Answer": "2"}, INSTRUCTION)
    'Question '
    """
    # Most files write the names as we do: nothing else is tried then.
    exact = next((name for name in names if name in native), None)
    if exact is not None:
        return exact
    written = {str(key).strip().lower(): key for key in reversed(native)}
    return next((written[name] for name in names if name in written), None)


def asked_and_answered(native: Mapping) -> Iterator[dict]:
    """Read an Alpaca row, prompt and response, question and answer: whatever its fields are called.

    Only what is asked and what is answered must be there. `source` stays, and the mark of silver.

    >>> next(asked_and_answered({"question": "1+1=?", "answer": "2"}))
    {'instruction': '1+1=?', 'input': '', 'output': '2'}
    """
    asked, given = named_field(native, INSTRUCTION), named_field(native, INPUT)
    answered = named_field(native, OUTPUT)
    if asked is None:
        asked, given = given, None
    if asked is None or answered is None:
        missing = "what is asked" if asked is None else "what is answered"
        raise DataError(f"found the fields {', '.join(map(str, native))}; none says {missing}")

    # TRL's conversational rows have messages on both sides, or on that of the answer.
    if isinstance(native[asked], list) or talks(native[answered]):
        turns = [*listed(native[asked], "user"), *listed(native[answered], "assistant")]
        rest = {key: value for key, value in native.items() if key not in TURNS}
        yield from conversation({**rest, "messages": turns})
        return

    # An instruction and a question beside it: the question is what the instruction is about.
    if given is None:
        rest = {key: value for key, value in native.items() if key not in (asked, answered)}
        given = named_field(rest, (*INSTRUCTION[5:9], *INPUT))
    texts = native[asked], native[given] if given is not None else "", native[answered]
    one = row(*map(as_text, texts))
    text_alone(native)

    one |= beside(native)
    if isinstance(native[answered], Mapping | list) and native[answered] != one["output"]:
        one["notes"] = [*one.get("notes", []), AS_JSON]
    system = native.get("system")
    yield with_system(one, system) if system else one


def beside(native: Mapping) -> dict:
    """Return what only some rows have: earlier turns, a source, the mark of silver, notes."""
    source, history = native.get("source"), earlier(native.get("history") or [])
    found = {
        "history": history,
        "source": str(source) if isinstance(source, str | int) else "",
        "annotation": "silver" if native.get("annotation") == "silver" else "",
        "notes": [REJECTED] * ("rejected" in native),
    }
    return {name: value for name, value in found.items() if value}


def as_text(value: Any) -> Any:
    """Return a number as text, an object or a list of objects as JSON, other values as they are.

    >>> as_text(2), as_text({"人物": ["李白"]}), as_text(True)
    ('2', '{"人物": ["李白"]}', True)
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    several = isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value)
    return json_line(value).strip() if isinstance(value, Mapping) or several else value


def talks(value: Any) -> bool:
    """Return whether a value is a list of messages."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(v, Mapping) and named_field(v, ROLE) is not None for v in value)
    )


def text_alone(native: Mapping) -> None:
    """Raise DataError for a row that is about pictures, sound or films."""
    found = next((name for name in MEDIA if native.get(name)), None)
    if found:
        raise DataError(f"found {found}: a row is text alone, and the answer is about more")


def listed(value: Any, role: str) -> list:
    """Return messages as a list; one text is a message of the role."""
    return value if isinstance(value, list) else [{"role": role, "content": value}]


def earlier(history: Any) -> list:
    """Return the earlier turns of a row as [user, assistant] pairs, whatever they stand as."""
    history = opened(history)
    if not isinstance(history, list):
        raise DataError(f"field history: found {history!r:.60}, expected a list of pairs")
    # Pairs stay: `check_row` names what is wrong with them.
    if all(isinstance(item, list | tuple) for item in history):
        return history
    return paired(taken_in_turns(history), "field history, ")


def taken_in_turns(items: Sequence) -> list[tuple[str, str]]:
    """Return (role, text) of the items of a conversation; texts alone take turns."""
    if items and all(isinstance(item, str) for item in items):
        return [(("user", "assistant")[n % 2], text) for n, text in enumerate(items)]
    return [turn for item in items for turn in turns_of(item)]


def with_system(one: dict, system: str) -> dict:
    """Return a row with its system message in front of the first question."""
    notes = [*one.get("notes", []), SYSTEM]
    if one.get("history"):
        (first, answer), *rest = one["history"]
        return one | {"history": [[f"{system}\n\n{first}", answer], *rest], "notes": notes}
    return one | {"instruction": f"{system}\n\n{one['instruction']}", "notes": notes}


def conversation(native: Mapping | list) -> Iterator[dict]:
    """Read ShareGPT's `conversations[{from, value}]`, OpenAI's `messages[{role, content}]`, pairs.

    The last answer is the row's output, the turns before it are its history.

    >>> turns = [{"from": "human", "value": "你好"}, {"from": "gpt", "value": "你好！"}]
    >>> next(conversation({"conversations": turns}))
    {'instruction': '你好', 'input': '', 'output': '你好！'}
    """
    # A line may be the list itself.
    native = {"messages": native} if isinstance(native, list) else native
    text_alone(native)
    turns, notes = turns_in(native)
    system = [("system", native["system"])] if native.get("system") else []
    talk, told = with_systems([*system, *taken_in_turns(turns)])
    notes += told

    # What stands before the first question and after the last answer teaches nothing.
    if talk and talk[0][0] == "assistant":
        talk, notes = talk[1:], [*notes, UNASKED]
    if talk and talk[-1][0] == "user":
        talk, notes = talk[:-1], [*notes, UNANSWERED]
    pairs = paired(talk)
    if not pairs:
        raise DataError("found no question with an answer behind it, expected at least one")
    *before, (asked, answer) = pairs
    one = row(asked, "", answer)
    source = native.get("source")
    named = {"source": str(source)} if isinstance(source, str | int) else {}
    more = {"history": before, "notes": notes, **named}
    yield one | {key: value for key, value in more.items() if value}


def turns_in(native: Mapping) -> tuple[list, list[str]]:
    """Return the turns of a conversation that teach something, and notes of what else was there."""
    field = named_field(native, TURNS)
    turns, notes = opened(native[field]), [REJECTED] * ("rejected" in native)
    # A chosen answer has its question in front of it, beside it, or in the turns of both answers.
    if field == "chosen" and len(turns) == 1 and isinstance(native.get("prompt"), str):
        turns = [{"role": "user", "content": native["prompt"]}, *turns]
    if isinstance(native.get("chosen"), Mapping):
        turns = [*turns, native["chosen"]]

    # Weights are OpenAI's, thoughts what DeepSeek and others give beside an answer.
    while turns and isinstance(turns[-1], Mapping) and turns[-1].get("weight") == 0:
        turns, notes = turns[:-1], [*notes, UNWEIGHTED]
    thoughts = [one for one in turns if isinstance(one, Mapping) and any(map(one.get, THOUGHTS))]
    return turns, notes + [THOUGHT] * len(thoughts)


def with_systems(said: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[str]]:
    r"""Return turns with each system message in front of the question behind it, and notes.

    What was said before it was answered without it.

    >>> with_systems([("user", "问"), ("assistant", "答"), ("system", "说英语"), ("user", "问")])[0]
    [('user', '问'), ('assistant', '答'), ('user', '说英语\n\n问')]
    """
    talk, told, notes = [], [], []
    for role, text in said:
        if role == "system":
            told += [text] * bool(text.strip())
        elif role == "user" and told:
            talk.append((role, "\n".join(told) + f"\n\n{text}"))
            notes, told = [*notes, *[SYSTEM] * len(told)], []
        else:
            talk.append((role, text))
    return talk, [*notes, *[UNHEARD] * len(told)]


def opened(turns: Any) -> Any:
    """Return turns that stand as JSON in a cell of a table as a list; others as they are."""
    return parsed(turns) if isinstance(turns, str) and turns.lstrip()[:1] == "[" else turns


def turns_of(item: Any) -> list[tuple[str, str]]:
    """Return the turns that one item of a conversation holds: one, or question and answer."""
    if not isinstance(item, Mapping):
        return []
    role = named_field(item, ROLE)
    # One side of a talk, whatever the names of the two are.
    if role is not None:
        name, said = str(item[role]).strip().lower(), named_field(item, SAID)
        calls = next((call for call in CALLS if item.get(call)), None)
        if calls:
            raise DataError(f"found {calls} in a turn: calls of tools have no place in a row")
        if name not in ROLE_OF:
            raise DataError(
                f"found a turn of the role {name!r}, expected user, assistant or system: "
                "calls of tools have no place in a row"
            )
        return [(ROLE_OF[name], text_of(item[said] if said is not None else None))]

    # Or both sides at once.
    asked, answered = named_field(item, (*INSTRUCTION, *INPUT)), named_field(item, OUTPUT)
    if asked is None or answered is None:
        raise DataError(f"found a turn with {', '.join(map(str, item))}, expected role and content")
    system = [("system", item["system"])] if item.get("system") else []
    return [*system, ("user", item[asked]), ("assistant", item[answered])]


def text_of(content: Any) -> str:
    """Return the text of a message, whose content may come in parts."""
    if isinstance(content, list):
        kinds = [part.get("type", "text") for part in content if isinstance(part, Mapping)]
        other = next((kind for kind in kinds if kind != "text"), None)
        if other:
            raise DataError(f"found a part of the type {other!r:.60}, expected text alone")
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        if all(isinstance(part, str) for part in parts):
            return "".join(parts)
    if not isinstance(content, str):
        raise DataError(f"found the content {content!r:.60}, expected a text")
    return content


def paired(talk: Sequence[tuple[str, str]], place: str = "") -> list[list[str]]:
    """Return turns as [user, assistant] pairs; DataError where one side speaks twice in a row."""
    for number, (role, _) in enumerate(talk):
        if role != ("user", "assistant")[number % 2]:
            raise DataError(
                f"{place}turn {number + 1}: found {role} twice in a row, expected user and "
                "assistant in turns; join the two turns, or leave one out"
            )
    return [[talk[n][1], talk[n + 1][1]] for n in range(0, len(talk) - 1, 2)]
