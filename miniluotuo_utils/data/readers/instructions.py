"""Read instruction data: one native record in, unified rows out.

In: a unit of `native`. Out: rows, whose source the caller adds. Shown in notebook 01.
"""

import re
from collections.abc import Iterator

from miniluotuo_utils.files import DataError

LEAST_SCORE = 4


def row(instruction: str, given: str | None, output: str, **more: object) -> dict:
    """Return an instruction row; a missing input is an empty one."""
    return {
        "instruction": instruction,
        "input": "" if given is None else given,
        "output": output,
        **more,
    }


def alpaca(native: dict) -> Iterator[dict]:
    """Read `{instruction, input?, output, history?}`; other fields are left behind."""
    history = {"history": native["history"]} if native.get("history") else {}
    yield row(native["instruction"], native.get("input"), native["output"], **history)


def alpaca_parallel(native: dict, least: int = LEAST_SCORE) -> Iterator[dict]:
    """Read alpaca-chinese v3, English and Chinese side by side, with a translation score.

    Yields the Chinese side of rows that score at least `least` of 5; 0 takes all. The rest are poor
    or missing translations, some of which have no score.
    """
    if least == 0 or (native["metadata"]["score"] or 0) >= least:
        yield row(native["zh_instruction"], native["zh_input"], native["zh_output"])


def seeds(native: dict) -> Iterator[dict]:
    """Read self-instruct and BELLE seed tasks: one row per instance."""
    for instance in native["instances"]:
        given = "" if instance["input"] == "<noinput>" else instance["input"]
        yield row(native["instruction"], given, instance["output"])


def coig(native: tuple[str, dict]) -> Iterator[dict]:
    """Read COIG's five forms; the row keeps which file it is from.

    They are exam and human values 2, human values 1 and leetcode, translated, and dialogues.

    >>> exam = {"textbox_q_instruction": "选出正确的一项。", "textbox_q_context": "",
    ...     "textbox_question": "1+1=?", "textbox_answer": "2", "textbox_answer_analysis": "略"}
    >>> [(row["source"], row["output"]) for row in coig(("exam_instructions", exam))]
    [('exam', '2\\n略')]
    """
    name, native = native
    part = {"source": name.replace("_instructions", "")}
    # Exam and human values 2 have one form: a question with or without an instruction above it.
    if "textbox_question" in native:
        asked = native["textbox_q_instruction"]
        given = "\n".join(filter(None, (native["textbox_q_context"], native["textbox_question"])))
        answers = (native["textbox_answer"], native["textbox_answer_analysis"])
        answer = "\n".join(filter(None, answers))
        yield row(asked or given, given if asked else "", answer, **part)
    elif "trans_instruction" in native:
        told = native["trans_instruction"], native["trans_input"], native["trans_output"]
        yield row(*told, **part)
    elif any(key.startswith("round_") for key in native):
        # round_10 comes after round_9.
        rounds = sorted(
            (key for key in native if key.startswith("round_")),
            key=lambda key: int(key.removeprefix("round_")),
        )
        *earlier, last = [[native[key]["prompt"], native[key]["response"]] for key in rounds]
        yield row(last[0], "", last[1], **part, **({"history": earlier} if earlier else {}))
    else:
        yield row(native["instruction"], native["input"], native["output"], **part)


def plain(text: str) -> str:
    """Return the text of a web page with line ends as `\\n`.

    >>> plain("甲<br>乙\\r\\r丙")
    '甲\\n乙\\n丙'
    """
    return re.sub(r"<br\s*/?>|\r\r|\r\n|\r", "\n", text or "").strip()


def web_question(native: dict, answer: str) -> Iterator[dict]:
    """Read baike2018qa and webtext2019zh: `title, desc` and the answer, in the field named so.

    A description that repeats the title is dropped. The row keeps its category, where it has one.
    """
    title, about = plain(native["title"]), plain(native["desc"])
    part = {"source": native["category"]} if native.get("category") else {}
    yield row(title, "" if about == title else about, plain(native[answer]), **part)


def lamini(native: dict) -> Iterator[dict]:
    """Read LaMini-instruction: `instruction, response, instruction_source`.

    The row keeps which of the seven subsets it is from.
    """
    yield row(native["instruction"], "", native["response"], source=native["instruction_source"])


def word_list(native: tuple[str, str]) -> Iterator[dict]:
    """Read THUOCL: `词<TAB>document frequency`, into `{word, frequency}`: topics, not rows.

    `frequency` is null where the file holds no number (four of its 157,172 lines).
    """
    name, line = native
    word, _, frequency = (part.strip() for part in line.rstrip().partition("\t"))
    if not word:
        found = repr(line.strip()[:40])
        raise DataError(f"found {found}, expected a word, a tab and its document frequency")
    frequency = int(frequency) if frequency.isdecimal() else None
    yield {"word": word, "frequency": frequency, "source": name}
