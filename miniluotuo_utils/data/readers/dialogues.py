"""Read the instruction rows and dialogues that people bring: one native record in, one row out.

In: a unit of `native`. Out: rows; what a row cannot hold is named in `notes`, which `read_any`
counts. Shown in data/README.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from miniluotuo_utils.data.readers.instructions import row
from miniluotuo_utils.files import DataError, parsed

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
TURNS = ("conversations", "conversation", "messages", "dialogue", "dialog", "turns", "chat")
ROLE, SAID = ("role", "from", "speaker"), ("content", "value", "text")
ROLES = {
    "user": ("user", "human", "用户", "prompter"),
    "assistant": ("assistant", "gpt", "bot", "chatgpt", "model", "助手"),
    "system": ("system", "developer", "系统"),
}
ROLE_OF = {name: role for role, names in ROLES.items() for name in names}
SYSTEM = "a system message, put in front of the first question"
UNASKED = "a first answer without a question, left out"
UNANSWERED = "a last question without an answer, left out"
REJECTED = "a rejected answer, left out"


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

    # TRL's conversational rows have messages on both sides.
    if isinstance(native[asked], list):
        yield from conversation({"messages": [*native[asked], *listed(native[answered])]})
        return

    # An instruction and a question beside it: the question is what the instruction is about.
    if given is None:
        rest = {key: value for key, value in native.items() if key not in (asked, answered)}
        given = named_field(rest, (*INSTRUCTION[5:9], *INPUT))
    one = row(native[asked], native[given] if given is not None else "", native[answered])

    # What only some rows have.
    if native.get("history"):
        one["history"] = earlier(native["history"])
    if isinstance(native.get("source"), str):
        one["source"] = native["source"]
    if native.get("annotation") == "silver":
        one["annotation"] = "silver"
    if "rejected" in native:
        one["notes"] = [REJECTED]
    system = native.get("system")
    yield with_system(one, system) if system else one


def listed(value: Any) -> list:
    """Return messages as a list; one text is the assistant's."""
    return value if isinstance(value, list) else [{"role": "assistant", "content": value}]


def earlier(history: Any) -> list:
    """Return the earlier turns of a row as [user, assistant] pairs."""
    if not isinstance(history, list):
        raise DataError(f"field history: found {history!r:.60}, expected a list of pairs")
    return [pair_of(pair) if isinstance(pair, Mapping) else pair for pair in history]


def pair_of(turn: Mapping) -> list:
    """Return what was asked and answered in an earlier turn that stands as an object."""
    return [turn[named_field(turn, names)] for names in (INSTRUCTION, OUTPUT)]


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
    turns = opened(native[named_field(native, TURNS)])
    said = [turn for item in turns for turn in turns_of(item)]
    # Texts alone take turns, the user first.
    if turns and all(isinstance(item, str) for item in turns):
        said = [(("user", "assistant")[n % 2], text) for n, text in enumerate(turns)]
    system = [text for role, text in said if role == "system"]
    system += [native["system"]] if native.get("system") else []
    talk, notes = [turn for turn in said if turn[0] != "system"], []

    # What stands before the first question and after the last answer teaches nothing.
    if talk and talk[0][0] == "assistant":
        talk, notes = talk[1:], [UNASKED]
    if talk and talk[-1][0] == "user":
        talk, notes = talk[:-1], [*notes, UNANSWERED]
    pairs = paired(talk)
    if not pairs:
        raise DataError("found no question with an answer behind it, expected at least one")
    *before, (asked, answer) = pairs
    one = row(asked, "", answer)
    more = {"history": before, "notes": notes, "source": native.get("source")}
    one |= {key: value for key, value in more.items() if value}
    yield with_system(one, "\n".join(system)) if system else one


def opened(turns: Any) -> Any:
    """Return turns that stand as JSON in a cell of a table as a list; others as they are."""
    return parsed(turns) if isinstance(turns, str) and turns.lstrip()[:1] == "[" else turns


def turns_of(item: Any) -> list[tuple[str, str]]:
    """Return the turns that one item of a conversation holds: one, or question and answer."""
    if not isinstance(item, Mapping):
        return []
    role = named_field(item, ROLE)
    if role is not None:
        name, said = str(item[role]).strip().lower(), named_field(item, SAID)
        if name not in ROLE_OF:
            raise DataError(
                f"found a turn of the role {name!r}, expected user, assistant or system: "
                "calls of tools have no place in a row"
            )
        return [(ROLE_OF[name], text_of(item[said] if said is not None else None))]
    asked, answered = named_field(item, (*INSTRUCTION, *INPUT)), named_field(item, OUTPUT)
    if asked is None or answered is None:
        raise DataError(f"found a turn with {', '.join(map(str, item))}, expected role and content")
    system = [("system", item["system"])] if item.get("system") else []
    return [*system, ("user", item[asked]), ("assistant", item[answered])]


def text_of(content: Any) -> str:
    """Return the text of a message, whose content may come in parts."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        if all(isinstance(part, str) for part in parts):
            return "".join(parts)
    if not isinstance(content, str):
        raise DataError(f"found the content {content!r:.60}, expected a text")
    return content


def paired(talk: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Return turns as [user, assistant] pairs; DataError where one side speaks twice in a row."""
    for number, (role, _) in enumerate(talk):
        if role != ("user", "assistant")[number % 2]:
            raise DataError(
                f"turn {number + 1}: found {role} twice in a row, expected user and assistant in "
                "turns; join the two turns, or leave one out"
            )
    return [[talk[n][1], talk[n + 1][1]] for n in range(0, len(talk) - 1, 2)]
