"""Read questions with their reasoning, one a line, into rows that think before they answer.

In: a line `question<TAB>answer<TAB>reasoning`. Out: a row. Shown in data/README.md.

FLAN (Longpre et al. 2023) asks each question in a prompt drawn from a dozen and ends each answer in
a sentence that belongs to the prompt. So do these; the words are our own, in the question's
language.
"""

from collections.abc import Iterator
from hashlib import sha256

from miniluotuo_utils.data.readers.instructions import row
from miniluotuo_utils.data.steps import HAN
from miniluotuo_utils.files import DataError

# How a question is put, and how its answer ends.
CHINESE = (
    ("{question}\n先一步一步地想，最后写出答案。", "{reasoning}\n所以答案是：{answer}"),
    ("先说理由，再回答：{question}", "{reasoning}因此，答案是：{answer}"),
    ("{question}把思考的过程也写下来。", "{reasoning}\n答案：{answer}"),
    ("题目：{question}\n思路和答案：", "{reasoning}\n最后的答案是：{answer}"),
    ("下面这道题别急着答，想清楚每一步。\n{question}", "{reasoning}\n答：{answer}"),
    ("{question}\n要写步骤。", "{reasoning}\n这样就得到答案：{answer}"),
    ("请解释你是怎么想的，然后给出结论。{question}", "{reasoning}结论：{answer}"),
    ("想一想：{question}", "{reasoning}\n所以：{answer}"),
)
ENGLISH = (
    ("{question}\n\nWork in small steps and end with the answer.", "{reasoning}\nAnswer: {answer}"),
    ("First the reasons, then the answer. {question}", "{reasoning} Hence the answer is {answer}."),
    ("{question}\nWrite down how you get there.", "{reasoning}\nThat makes the answer {answer}."),
    ("Problem: {question}\nHow it is solved:", "{reasoning}\nThe result is {answer}."),
    ("Do not answer this at once; think it over.\n{question}", "{reasoning}\nI answer: {answer}"),
    ("{question}\nShow each step.", "{reasoning}\nWhich gives {answer}."),
    ("Explain what leads you to your conclusion. {question}", "{reasoning} Conclusion: {answer}"),
    ("Consider this: {question}", "{reasoning}\nSo: {answer}"),
)


def chain_of_thought(line: str) -> Iterator[dict]:
    r"""Read `question<TAB>answer<TAB>reasoning`, in which `\n` stands for a line break.

    The same question always comes in the same prompt.

    >>> [row] = chain_of_thought("一打鸡蛋有几个？\t12个\t一打就是12个。")
    >>> row["instruction"], row["output"]
    ('下面这道题别急着答，想清楚每一步。\n一打鸡蛋有几个？', '一打就是12个。\n答：12个')
    """
    parts = [part.replace("\\n", "\n").strip() for part in line.split("\t")]
    if len(parts) != 3 or not all(parts):
        raise DataError(
            f"found {len(parts)} fields between tabs, {sum(map(bool, parts))} of them filled; "
            "expected question, answer, reasoning"
        )
    question, answer, reasoning = parts
    prompts = CHINESE if HAN.search(question) else ENGLISH
    drawn = sha256(question.encode("utf-8", "surrogatepass")).digest()[0] % len(prompts)
    asked, said = prompts[drawn]
    yield row(
        asked.replace("{question}", question),
        "",
        said.replace("{answer}", answer).replace("{reasoning}", reasoning),
    )
