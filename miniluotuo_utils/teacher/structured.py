"""Ask for structured replies: a pydantic model in, validated objects out.

A reply that does not validate is asked for once more, with its error; then it counts as failed.
In: message lists and a model class. Out: one `Structured` each. Shown in notebook 02.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from miniluotuo_utils.text import split_thoughts

if TYPE_CHECKING:
    from pydantic import BaseModel

    from miniluotuo_utils.teacher.client import Messages, Teacher
    from miniluotuo_utils.teacher.store import Reply

Value = TypeVar("Value", bound="BaseModel")
FORM = "\n\n只输出一个 JSON 对象，符合这个 JSON Schema：\n{schema}"
AGAIN = "这个回答不符合要求：{error}\n请改正，只输出一个 JSON 对象。"


@dataclass
class Structured(Generic[Value]):
    """A validated `value`, or None and the `error` of the last try.

    `reply` is the last one, `tries` 1 or 2.
    """

    value: Value | None
    reply: Reply
    tries: int
    error: str | None = None


def ask_structured(
    teacher: Teacher, requests: Iterable[Messages], model: type[Value], **sampling: Any
) -> list[Structured[Value]]:
    """Return one validated object per request, in order.

    A reply that is no such object is asked for once more, with its validation error.
    """
    form = form_of(model)
    prompts = [[*before, {**last, "content": last["content"] + form}] for *before, last in requests]
    results = [validated(reply, model, 1) for reply in teacher.ask(prompts, **sampling)]

    # The teacher sees its own reply and what is wrong with it. What failed altogether stays failed.
    wrong = [i for i, r in enumerate(results) if r.value is None and r.reply.error is None]
    again = [
        [
            *prompts[i],
            {"role": "assistant", "content": results[i].reply.text},
            {"role": "user", "content": AGAIN.format(error=results[i].error)},
        ]
        for i in wrong
    ]
    for i, reply in zip(wrong, teacher.ask(again, **sampling), strict=True):
        results[i] = validated(reply, model, 2)
    return results


def form_of(model: type[BaseModel]) -> str:
    """Return what is said behind every question: answer in JSON, by the schema of `model`."""
    return FORM.format(schema=json.dumps(model.model_json_schema(), ensure_ascii=False))


def validated(reply: Reply, model: type[Value], tries: int) -> Structured[Value]:
    """Return the object that a reply holds, or say in a line for the teacher why it holds none."""
    from pydantic import ValidationError

    if reply.error is not None:
        return Structured(None, reply, tries, reply.error)
    # Teachers draft before they answer, some in thoughts: the last object that fits is the answer.
    answer = split_thoughts(reply.text)[1]
    for value in reversed(later_objects(answer)):
        with suppress(ValidationError):
            return Structured(model.model_validate(value), reply, tries)
    try:
        return Structured(model.model_validate(first_object(answer)), reply, tries)
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'JSON'}: {e['msg']}" for e in error.errors()[:5]
        )
    except ValueError as error:
        said = str(error)
    return Structured(None, reply, tries, said)


def later_objects(text: str, most: int = 20) -> list[dict]:
    """Return the JSON objects of a text, but for objects inside others, the first one left out.

    >>> later_objects('草稿 {"a": {"b": 1}}，改为 {"a": 2}')
    [{'a': 2}]
    """
    found, at = [], 0
    while len(found) < most and (start := text.find("{", at)) >= 0:
        try:
            value, at = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            at = start + 1
            continue
        found.append(value)
    return found[1:]


def first_object(text: str) -> Any:
    """Return the first JSON object of a text, in a code fence or between other words.

    Raises ValueError where there is none.

    >>> first_object('好的：```json\\n{"a": 1}\\n```')
    {'a': 1}
    """
    start = text.find("{")
    if start < 0:
        raise ValueError("found no JSON object, expected one")
    try:
        return json.JSONDecoder().raw_decode(text, start)[0]
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{error.msg} at character {error.pos - start} of the object, expected one JSON object"
        ) from None
    except RecursionError:
        raise ValueError("JSON nested too deep") from None
