"""Write THE prompt: the same bytes for training, teacher, evaluation and demo.

In: an instruction row. Out: the text before the answer. The wrapper is Stanford Alpaca's, which the
Luotuo students were trained on; like their training (and unlike their published inference script)
it ends right after `### Response:`. Ground floor, shown in notebook 03.
"""

from collections.abc import Mapping, Sequence

WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
)
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
)


def turn(instruction: str, input: str = "") -> str:
    """Return one question in the Alpaca layout, up to where its answer begins.

    >>> turn("把下面的词译成英文", "骆驼")
    '### Instruction:\\n把下面的词译成英文\\n\\n### Input:\\n骆驼\\n\\n### Response:'
    """
    middle = f"### Input:\n{input}\n\n" if input else ""
    return f"### Instruction:\n{instruction}\n\n{middle}### Response:"


def prompt(instruction: str, input: str = "", history: Sequence[Sequence[str]] = ()) -> str:
    """Return all that stands before the answer; `history` is `[[user, assistant], ...]`.

    >>> print(prompt("你好", history=[["在吗", "在。"]]).split("request.")[1].strip())
    ### Instruction:
    在吗
    <BLANKLINE>
    ### Response:在。
    <BLANKLINE>
    ### Instruction:
    你好
    <BLANKLINE>
    ### Response:
    """
    earlier = "".join(f"{turn(user)}{assistant}\n\n" for user, assistant in history)
    return (WITH_INPUT if input else WITHOUT_INPUT) + earlier + turn(instruction, input)


def row_prompt(row: Mapping) -> str:
    """Return the `prompt` of an instruction row; its `input` and `history` may be missing."""
    return prompt(row["instruction"], row.get("input") or "", row.get("history") or ())


def joined(instruction: str, input: str = "") -> str:
    """Return instruction and input as one message for a teacher, joined as by LaMini-LM.

    >>> joined("翻译成英文：", "你好")
    '翻译成英文：\\n你好'
    """
    return f"{instruction}\n{input}" if input else instruction
