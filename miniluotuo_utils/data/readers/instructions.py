"""Readers of instruction data: one native record in, unified rows out (their `source` is added by the caller)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from miniluotuo_utils.files import DataError


def row(instruction: str, given: str | None, output: str, **more: object) -> dict:
    """An instruction row; a missing input is an empty one."""
    return {
        "instruction": instruction,
        "input": "" if given is None else given,
        "output": output,
        **more,
    }


def unified_rows(native: dict) -> Iterator[dict]:
    """Rows in our own shape already; fields beyond it are left behind."""
    history = {"history": native["history"]} if native.get("history") else {}
    yield row(native["instruction"], native["input"], native["output"], **history)


def alpaca(native: dict) -> Iterator[dict]:
    """`{instruction, input?, output, history?}`."""
    history = {"history": native["history"]} if native.get("history") else {}
    yield row(native["instruction"], native.get("input"), native["output"], **history)


LEAST_SCORE = 4


def alpaca_parallel(native: dict) -> Iterator[dict]:
    """alpaca-chinese v3: English and Chinese side by side, with a translation score from 1 to 5, or null.

    Gives the Chinese side of rows that score at least `LEAST_SCORE`; the rest are poor or missing translations.
    """
    if (native["metadata"]["score"] or 0) >= LEAST_SCORE:
        yield row(native["zh_instruction"], native["zh_input"], native["zh_output"])


def alpaca_parallel_all(native: dict) -> Iterator[dict]:
    """alpaca-chinese v3 whatever its score."""
    yield row(native["zh_instruction"], native["zh_input"], native["zh_output"])


def seeds(native: dict) -> Iterator[dict]:
    """self-instruct and BELLE seed tasks: one row per instance."""
    for instance in native["instances"]:
        given = "" if instance["input"] == "<noinput>" else instance["input"]
        yield row(native["instruction"], given, instance["output"])


def coig(native: dict) -> Iterator[dict]:
    """COIG's five sub-formats: exam and human values 2, human values 1 and leetcode, translated, dialogues.

    >>> next(coig({"textbox_q_instruction": "选出正确的一项。", "textbox_q_context": "", "textbox_question": "1+1=?", "textbox_answer": "2",
    ...            "textbox_answer_analysis": "略"}))
    {'instruction': '选出正确的一项。', 'input': '1+1=?', 'output': '2\\n略'}
    """
    if "textbox_question" in native:
        given = "\n".join(filter(None, (native["textbox_q_context"], native["textbox_question"])))
        answer = "\n".join(
            filter(None, (native["textbox_answer"], native["textbox_answer_analysis"]))
        )
        yield row(
            native["textbox_q_instruction"] or given,
            given if native["textbox_q_instruction"] else "",
            answer,
        )
    elif "trans_instruction" in native:
        yield row(native["trans_instruction"], native["trans_input"], native["trans_output"])
    elif any(key.startswith("round_") for key in native):
        rounds = sorted(
            (key for key in native if key.startswith("round_")),
            key=lambda key: int(key.removeprefix("round_")),
        )
        turns = [[native[key]["prompt"], native[key]["response"]] for key in rounds]
        yield row(turns[-1][0], "", turns[-1][1], **({"history": turns[:-1]} if turns[1:] else {}))
    else:
        yield row(native["instruction"], native["input"], native["output"])


def plain(text: str) -> str:
    """Text of a web page with line ends as `\\n`.

    >>> plain("甲<br>乙\\r\\r丙")
    '甲\\n乙\\n丙'
    """
    return re.sub(r"<br\s*/?>|\r\r|\r\n|\r", "\n", text or "").strip()


def baike(native: dict) -> Iterator[dict]:
    """baike2018qa: `qid, category, title, desc, answer`, `\\r\\r` as line end; a description that repeats the title is dropped."""
    title, about = plain(native["title"]), plain(native["desc"])
    yield row(title, "" if about == title else about, plain(native["answer"]))


def webtext(native: dict) -> Iterator[dict]:
    """webtext2019zh: `title, desc, content` and more, `<br>` as line end."""
    title, about = plain(native["title"]), plain(native["desc"])
    yield row(title, "" if about == title else about, plain(native["content"]))


def lamini(native: dict) -> Iterator[dict]:
    """LaMini-instruction: `instruction, response, instruction_source`; the row keeps which of the seven subsets it is from."""
    yield row(native["instruction"], "", native["response"], source=native["instruction_source"])


def word_list(native: tuple[str, str]) -> Iterator[dict]:
    """THUOCL: `词<TAB>document frequency`; gives `{word, frequency}`, which are topics, not training rows.

    `frequency` is null where the file holds none that is a number (four of its 157,172 lines).
    """
    name, line = native
    word, _, frequency = (part.strip() for part in line.rstrip().partition("\t"))
    if not word:
        raise DataError(
            f"found {line.strip()[:40]!r}, expected a word, a tab and its document frequency"
        )
    yield {
        "word": word,
        "frequency": int(frequency) if frequency.isdecimal() else None,
        "source": name,
    }
