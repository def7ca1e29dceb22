"""Talk to a student and extract with it: what a terminal, a notebook and a page all do.

In: a student, and what a person typed. Out: answers that grow, records as HTML, or a sentence that
says what is wrong with the text. Shown in notebook 07.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.records import TASKS
from miniluotuo_utils.show.spans import highlight

if TYPE_CHECKING:
    from miniluotuo_utils.students import Student

MOST = 5_000  # characters of a text that somebody waits for; a file of them is for `extract`
LEAST = 32  # tokens of an answer that earlier turns must leave room for
SEPARATED = re.compile(r"[\s,，、;；]+")


def checked_text(text: str, most: int = MOST) -> str:
    """Return a text that a student can be asked about; ValueError says what is wrong with others.

    >>> checked_text(" ")
    Traceback (most recent call last):
    ValueError: 先写一句话：文字是空的。 Write something first: the text is empty.
    """
    if not text.strip():
        raise ValueError("先写一句话：文字是空的。 Write something first: the text is empty.")
    if len(text) > most:
        raise ValueError(
            f"太长：{len(text):,} 个字，这里最多 {most:,} 个；长文件用命令 extract。 Too long: "
            f"{len(text):,} characters, at most {most:,} here; a long file is for the command "
            "extract."
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            "文字里有半个代理字符，删掉它再试。 The text holds half of a surrogate pair: delete it."
        ) from None
    return text


def answer_of(
    student: Student,
    question: str,
    history: Sequence[Sequence[str]] = (),
    preset: str = "chat",
    max_new_tokens: int = 128,
    **overrides: Any,
) -> Iterator[str]:
    """Yield the answer to a question as it grows: each time all of it so far.

    `history` is `[[user, assistant], …]`; where the context is full, its first turns are forgotten.
    Raises ValueError for a text that cannot be asked.
    """
    from miniluotuo_utils.generation import stream

    prompt = fitting_prompt(student, checked_text(question), history)
    so_far = ""
    for piece in stream(student, prompt, preset, max_new_tokens, **overrides):
        so_far += piece
        yield so_far
    if not so_far:  # an answer too, though nobody waits for its first piece
        yield ""


def fitting_prompt(student: Student, question: str, history: Sequence[Sequence[str]]) -> str:
    """Return the prompt of a question with as many of its last turns as leave room for an answer.

    Raises ValueError for a question that is too long alone.
    """
    from miniluotuo_utils.tokens import prompt_ids, prompt_of

    def asked(first: int) -> tuple[str, int]:
        prompt = prompt_of(student, {"instruction": question, "history": history[first:]})
        [ids] = prompt_ids(student.tokenizer, [prompt], student.encoder_decoder)
        return prompt, len(ids)

    # Turns of a whole day are not tried one by one.
    room = student.context - LEAST
    turns = range(len(history))
    prompt, size = asked(bisect_left(turns, True, key=lambda first: asked(first)[1] <= room))
    if size > room:
        raise ValueError(
            f"问题太长：{size:,} 个词元，上下文只有 {student.context:,}。 Too long: {size:,} "
            f"tokens, the student's context holds {student.context:,}."
        )
    return prompt


# ---- extraction


def schema_from(words: str, task: str = "NER") -> list[str] | dict[str, list[str]]:
    """Return the schema that a person typed; ValueError for none.

    Types are parted by commas or spaces. For events there is one on each line, with its roles.

    >>> schema_from("人物，地点 机构")
    ['人物', '地点', '机构']
    >>> schema_from("收购：收购方、被收购方", "EE")
    {'收购': ['收购方', '被收购方']}
    """
    checked_text(words, 500)
    if task != "EE":
        if names := list(dict.fromkeys(filter(None, SEPARATED.split(words)))):
            return names
        raise ValueError("写几个类型，用逗号分开。 Write some types, parted by commas.")
    schema = {}
    for line in filter(str.strip, words.splitlines()):
        kind, _, roles = line.replace("：", ":").partition(":")
        schema[kind.strip()] = [role for role in SEPARATED.split(roles) if role]
    if not all(schema) or not all(schema.values()):
        raise ValueError(
            "事件一行一种，写成“收购：收购方、被收购方”。 Write an event on each line, with its "
            "roles: 收购：收购方、被收购方"
        )
    return schema


def extracted(student: Student, text: str, types: str, task: str = "NER") -> dict:
    """Return the IE record of a text, asked for the types that a person typed; every item has its
    confidence.

    Raises ValueError, in Chinese and English, for a text or types that cannot be asked.
    """
    from miniluotuo_utils.ie import extract

    schema = schema_from(types, task)
    return extract(student, [checked_text(text)], schema, task, confidence=True).records[0]


def record_page(record: Mapping) -> str:
    """Return a record as HTML: its text with every span in colour, below it what was found."""
    rows = "<br>".join(map(escape, found_lines(record)))
    return f"{highlight(record)}<p>{rows or '什么也没有找到。 Nothing was found.'}</p>"


def found_lines(record: Mapping) -> list[str]:
    """Return what a record holds, a line each, with its confidence where it has one.

    >>> names = [{"name": "黄州", "type": "地点", "pos": [3, 5], "confidence": 0.934}]
    >>> found_lines({"sentence": "苏轼在黄州", "entities": names})
    ['黄州｜地点（93 %）']
    """
    lines = []
    for field in TASKS.values():
        for item in record.get(field) or ():
            sure = item.get("confidence")
            told = f"{words_of(item)}｜{item['type']}"
            lines.append(told if sure is None else f"{told}（{sure:.0%}）".replace("%", " %"))
    return lines


def words_of(item: Mapping) -> str:
    """Return the names of an item: its own, head and tail, or trigger and arguments."""
    if "head" in item:
        return f"{item['head']['name']} → {item['tail']['name']}"
    if "trigger" not in item:
        return item["name"]
    told = [f"{argument['role']}＝{argument['name']}" for argument in item["arguments"]]
    return f"{item['trigger']}（{'，'.join(told)}）" if told else item["trigger"]
