"""Write prompts: Alpaca's wrapper, the short template, and both as chat templates.

In: an instruction row. Out: the text before the answer. Which template a student is asked in is
`tokens.prompt_of`'s to say. The wrapper is Stanford Alpaca's, which the Luotuo students were
trained on; like their training (and unlike their published inference script) it ends right after
`### Response:`. Ground floor, shown in notebook 03.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
)
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
)

# `turn` and `prompt` as a chat template (Jinja). A user message may hold the row's `input` under
# that key, beside `content`; a message without it is asked in the form without `### Input:`.
ALPACA_TEMPLATE = r"""{%- set told = namespace(system='', input='') -%}
{%- for message in messages if message['role'] == 'user' -%}
  {%- set told.input = message['input'] or '' -%}
{%- endfor -%}
{%- if told.input -%}
  {{- WITH_INPUT -}}
{%- else -%}
  {{- WITHOUT_INPUT -}}
{%- endif -%}
{%- for message in messages -%}
  {%- if message['role'] == 'system' -%}
    {%- set told.system = told.system + message['content'] + '\n' -%}
  {%- elif message['role'] == 'user' -%}
    {{- '### Instruction:\n' + told.system + message['content'] + '\n\n' -}}
    {%- if message['input'] -%}
      {{- '### Input:\n' + message['input'] + '\n\n' -}}
    {%- endif -%}
    {%- set told.system = '' -%}
  {%- elif message['role'] == 'assistant' -%}
    {{- '### Response:' + message['content'] -}}
    {%- if loop.last -%}
      {{- eos_token -}}
    {%- else -%}
      {{- '\n\n' -}}
    {%- endif -%}
  {%- else -%}
    {{- raise_exception('expected the roles system, user and assistant') -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '### Response:' -}}
{%- endif -%}"""
for name, text in (("WITH_INPUT", WITH_INPUT), ("WITHOUT_INPUT", WITHOUT_INPUT)):
    ALPACA_TEMPLATE = ALPACA_TEMPLATE.replace(name, json.dumps(text))

# A short template of three special tokens, one turn after another: Alpaca's wrapper costs a Chinese
# vocabulary 46 tokens a row. A system message stands before the next user text, on a line of its
# own.
SHORT_TOKENS = ("<|user|>", "<|assistant|>", "<|endoftext|>")  # the last one ends an answer
SHORT_TEMPLATE = r"""{%- set told = namespace(system='') -%}
{%- for message in messages -%}
  {%- if message['role'] == 'system' -%}
    {%- set told.system = told.system + message['content'] + '\n' -%}
  {%- elif message['role'] == 'user' -%}
    {{- '<|user|>' + told.system + message['content'] -}}
    {%- set told.system = '' -%}
  {%- elif message['role'] == 'assistant' -%}
    {{- '<|assistant|>' + message['content'] + '<|endoftext|>' -}}
  {%- else -%}
    {{- raise_exception('expected the roles system, user and assistant') -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|assistant|>' -}}
{%- endif -%}"""


class Prompt(str):
    """A prompt that knows which of its parts a template wrote.

    `pieces` alternate: what a template wrote, where special tokens are special tokens, and what
    is plain text whatever it looks like.
    """

    pieces: tuple[str, ...]

    def __new__(cls, text: str, pieces: Sequence[str] = ()) -> "Prompt":
        """Make a prompt of `text`; without `pieces` a template wrote all of it."""
        made = super().__new__(cls, text)
        made.pieces = tuple(pieces) or (text,)
        return made


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


def has_own_template(tokenizer: Any) -> bool:
    """Return whether a tokenizer has a chat template other than Alpaca's wrapper.

    >>> has_own_template(None)
    False
    """
    template = getattr(tokenizer, "chat_template", None)
    wrapper = isinstance(template, str) and template.rstrip().endswith(ALPACA_TEMPLATE)
    return bool(template) and not wrapper


def in_short_template(messages: Sequence[Mapping[str, str]]) -> str:
    """Return what `SHORT_TEMPLATE` writes of user's and assistant's messages: ten times as fast.

    >>> in_short_template(messages_of({"instruction": "问好", "history": [["在吗", "在。"]]}))
    '<|user|>在吗<|assistant|>在。<|endoftext|><|user|>问好'
    """
    user, assistant, end = SHORT_TOKENS
    return "".join(
        f"{user}{message['content']}"
        if message["role"] == "user"
        else f"{assistant}{message['content']}{end}"
        for message in messages
    )


def messages_of(row: Mapping, wrapper: bool = False) -> list[dict[str, str]]:
    """Return an instruction row, without its answer, as chat messages.

    `wrapper`: for `ALPACA_TEMPLATE`, which takes the input apart from the instruction.

    >>> messages_of({"instruction": "译", "input": "骆驼", "history": [["在吗", "在。"]]})[1:]
    [{'role': 'assistant', 'content': '在。'}, {'role': 'user', 'content': '译\\n骆驼'}]
    """
    messages = []
    for user, assistant in row.get("history") or ():
        messages.append({"role": "user", "content": user})
        messages.append({"role": "assistant", "content": assistant})
    instruction, text = row["instruction"], row.get("input") or ""
    if not wrapper:
        return [*messages, {"role": "user", "content": joined(instruction, text)}]
    asked = {"role": "user", "content": instruction}
    return [*messages, asked | ({"input": text} if text else {})]


def row_of(messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return chat messages as an instruction row: what `messages_of` turns into them.

    A system message stands before the next user text, on a line of its own. Raises ValueError
    unless user and assistant take turns, and a user text that is not empty is last.

    >>> row_of([{"role": "system", "content": "简短。"}, {"role": "user", "content": "在吗"}])
    {'instruction': '简短。\\n在吗', 'input': '', 'history': []}
    """
    # A system text waits for the next user text.
    told, turns = "", []
    for message in messages:
        if message["role"] == "system":
            told += message["content"] + "\n"
        elif message["role"] == "user":
            turns.append({**message, "content": told + message["content"]})
            told = ""
        else:
            turns.append(message)

    # What stands elsewhere was never trained: no answer to it would mean anything.
    roles = [turn["role"] for turn in turns]
    wanted = [("user", "assistant")[place % 2] for place in range(len(turns))]
    if told or len(turns) % 2 == 0 or roles != wanted:
        raise ValueError(
            "对话要由 user 和 assistant 轮流说，最后一句是 user 的。 Expected messages of user and "
            f"assistant in turn, the last one of the user; found {', '.join(roles)[:90] or 'none'}"
        )
    last = turns[-1]
    if not (last["content"] + last.get("input", "")).strip():
        raise ValueError("先写一个问题：文字是空的。 Write a question first: the text is empty")
    pairs = zip(turns[:-1:2], turns[1::2], strict=True)
    history = [
        [joined(user["content"], user.get("input", "")), assistant["content"]]
        for user, assistant in pairs
    ]
    return {"instruction": last["content"], "input": last.get("input", ""), "history": history}
