"""THE prompt functions: the same bytes for training, teacher, evaluation and demo. Floor 0, shown in notebook 03.

In: an instruction row. Out: the text before the answer. The wrapper is Stanford Alpaca's, which the Luotuo students
were trained on; like their training (and unlike their published inference script) it ends right after `### Response:`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
)
WITHOUT_INPUT = "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"


def turn(instruction: str, input: str = "") -> str:
    """One question in the Alpaca layout, up to where its answer begins.

    >>> turn("把下面的词译成英文", "骆驼")
    '### Instruction:\\n把下面的词译成英文\\n\\n### Input:\\n骆驼\\n\\n### Response:'
    """
    middle = f"### Input:\n{input}\n\n" if input else ""
    return f"### Instruction:\n{instruction}\n\n{middle}### Response:"


def prompt(instruction: str, input: str = "", history: Sequence[Sequence[str]] = ()) -> str:
    """Everything that stands before the answer; `history` is `[[user, assistant], ...]`, oldest first.

    >>> prompt("你好", history=[["在吗", "在。"]]).split("request.")[1]
    '\\n\\n### Instruction:\\n在吗\\n\\n### Response:在。\\n\\n### Instruction:\\n你好\\n\\n### Response:'
    """
    earlier = "".join(f"{turn(user)}{assistant}\n\n" for user, assistant in history)
    return (WITH_INPUT if input else WITHOUT_INPUT) + earlier + turn(instruction, input)


def row_prompt(row: Mapping) -> str:
    """`prompt` of an instruction row (its `history` may be missing)."""
    return prompt(row["instruction"], row.get("input") or "", row.get("history") or ())


def joined(instruction: str, input: str = "") -> str:
    """Instruction and input as one message for a teacher: LaMini-LM joins them with a line break.

    >>> joined("翻译成英文：", "你好")
    '翻译成英文：\\n你好'
    """
    return f"{instruction}\n{input}" if input else instruction
