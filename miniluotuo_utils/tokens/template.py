"""Ask a student in its own template: its chat template where it has one, else Alpaca's wrapper.

In: a student (or its tokenizer) and instruction rows. Out: prompts, and the token that ends an
answer. Training, generation, extraction and the command line take their prompts from here.
Shown in notebook 03.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.prompts import (
    ALPACA_TEMPLATE,
    SHORT_TEMPLATE,
    SHORT_TOKENS,
    WITHOUT_INPUT,
    Prompt,
    has_own_template,
    in_short_template,
    joined,
    messages_of,
    row_of,
    row_prompt,
)
from miniluotuo_utils.tokens.vocabulary import start_ids, tokenised

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Unicode keeps these for a program's own use: no text should hold them.
FENCES = [chr(code) for code in range(0xFDD0, 0xFDF0)]
SAID: set[str] = set()  # what was told already
WRAPPER = WITHOUT_INPUT.partition(".")[0]  # how both forms of Alpaca's wrapper begin


def prompt_of(student: Any, row: Mapping) -> str:
    """Return THE prompt of an instruction row for a student: all that stands before the answer.

    `student` is a student or its tokenizer; what is neither is asked in Alpaca's wrapper. `input`
    and `history` of a row may be missing. It is what the student's `apply_chat_template` gives for
    the row's messages (`prompts.messages_of`) with the generation prompt and, where the template
    knows it, without thinking. Hand it to `generate`, `stream` or `tokens.prompt_ids` as it is:
    they know which special tokens the template wrote, and that those in the row's texts are text.

    >>> prompt_of(None, {"instruction": "问好"}).endswith("问好\\n\\n### Response:")
    True
    """
    return prompts_of(student, [row])[0]


def prompts_of(student: Any, rows: Sequence[Mapping]) -> list[str]:
    """Return the `prompt_of` of every row, rendered in one go."""
    tokenizer = getattr(student, "tokenizer", student)
    if has_own_template(tokenizer):
        return rendered(tokenizer, [messages_of(row) for row in rows])
    texts = [row_prompt(row) for row in rows]
    start = wrapper_start(tokenizer)
    if not start:
        return texts
    # Plain text gets its dummy space by itself.
    return [Prompt(start + text, (start.removesuffix(" "), text)) for text in texts]


def prompt_of_messages(student: Any, messages: Sequence[Mapping]) -> str:
    """Return the prompt of a conversation that a client sent: what `prompt_of` gives for its row.

    A system message goes where the student's own template puts it; our two templates put it before
    the next user text. Raises ValueError where no user text is last.
    """
    if in_our_template(student):
        return prompt_of(student, row_of(messages))
    row_of(messages)
    # What else a client writes into a message is not for the template, which may know its name.
    plain = [
        {"role": said["role"], "content": joined(said["content"], said.get("input", ""))}
        for said in messages
    ]
    return rendered(getattr(student, "tokenizer", student), [plain])[0]


def in_our_template(student: Any) -> bool:
    """Whether a student is asked in Alpaca's wrapper or in our short template."""
    tokenizer = getattr(student, "tokenizer", student)
    short = str(getattr(tokenizer, "chat_template", "")).rstrip() == SHORT_TEMPLATE
    return short or not has_own_template(tokenizer)


def rendered(
    tokenizer: PreTrainedTokenizerBase, asked: Sequence[Sequence[Mapping[str, str]]]
) -> list[str]:
    """Return conversations as the tokenizer's own chat template writes them, up to the answer."""
    markers = re.compile("|".join(map(re.escape, special_texts(tokenizer))) or "(?!)")
    talks, fences = [], []
    for messages in asked:
        talk, fence = fenced(messages, markers)
        talks.append(talk)
        fences.append(fence)
    texts = written(tokenizer, talks, ask=True)

    # Between two fences stands what the row's text held, and not the template.
    found = []
    for text, fence in zip(texts, fences, strict=True):
        pieces = text.split(fence) if fence else ()
        found.append(Prompt("".join(pieces) or text, pieces))
    return found


def written(
    tokenizer: PreTrainedTokenizerBase, talks: Sequence[Sequence[Mapping]], ask: bool = False
) -> list[str]:
    """Return conversations as the tokenizer's own chat template writes them, without thinking.

    `ask` ends them where an answer begins.
    """
    if not talks:
        return []
    if str(tokenizer.chat_template).rstrip() == SHORT_TEMPLATE:
        ending = SHORT_TOKENS[1] if ask else ""
        return [in_short_template(talk) + ending for talk in talks]
    return tokenizer.apply_chat_template(
        list(talks), tokenize=False, add_generation_prompt=ask, enable_thinking=False
    )


def special_texts(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the texts of a tokenizer's special tokens, those that hold others first."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return sorted({*added, *tokenizer.all_special_tokens}, key=len, reverse=True)


def fenced(
    talk: Sequence[Mapping[str, str]], markers: re.Pattern
) -> tuple[Sequence[Mapping[str, str]], str]:
    """Put a fence on either side of what looks like a special token in a conversation's texts.

    Returns the conversation and the fence, a character that stands nowhere in it; as it was and
    "" where nothing does.

    >>> fenced([{"role": "user", "content": "a<s>b"}], re.compile("<s>"))[0][0]["content"]
    'a\\ufdd0<s>\\ufdd0b'
    """
    whole = "".join(message["content"] for message in talk)
    if not markers.search(whole):
        return talk, ""
    fence = next(character for character in FENCES if character not in whole)
    return [
        {**message, "content": markers.sub(rf"{fence}\g<0>{fence}", message["content"])}
        for message in talk
    ], fence


def wrapper_start(tokenizer: Any) -> str:
    """Return what stands before Alpaca's wrapper so that its ids are those of training.

    It is the text of the vocabulary's start tokens, mostly "". Behind them some SentencePiece
    vocabularies put no dummy space by themselves: there a space stands in the text.
    """
    ids = start_ids(tokenizer) if callable(tokenizer) else []
    if not ids:
        return ""
    start = "".join(tokenizer.convert_ids_to_tokens(ids))
    wanted = ids + tokenised(tokenizer, ["Below"])[0]
    spaced = [start, start + " "]
    found = tokenised(tokenizer, [f"{text}Below" for text in spaced], special=True)
    return spaced[found.index(wanted)] if wanted in found else start


def written_down(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return Alpaca's wrapper as the chat template of a tokenizer that has none of its own."""
    start = wrapper_start(tokenizer)
    return (f"{{{{- {json.dumps(start)} -}}}}\n" if start else "") + ALPACA_TEMPLATE


def end_of(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the id that ends an answer: what the tokenizer's own chat template writes after one.

    Where it writes no special token there (GLM), or there is no such template, it is the
    tokenizer's end token; None where it has none.
    """
    if not has_own_template(tokenizer):
        return tokenizer.eos_token_id
    answer = FENCES[0]
    talk = [{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}]
    after = written(tokenizer, [talk])[0].rpartition(answer)[2].lstrip()
    found = [text for text in special_texts(tokenizer) if after.startswith(text)]
    return tokenizer.convert_tokens_to_ids(found[0]) if found else tokenizer.eos_token_id


def all_ends(tokenizer: PreTrainedTokenizerBase, named: int | Sequence[int] | None) -> list[int]:
    """Return all ids that end an answer, `end_of` first, then the tokenizer's and those `named`.

    `named` are a checkpoint's settings: of them only special tokens count.
    """
    given = named if isinstance(named, Sequence) else [named]
    special = [i for i in given if i in tokenizer.all_special_ids]
    return list(dict.fromkeys([end_of(tokenizer), tokenizer.eos_token_id, *special]))


def say_template(
    name: str, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str] = ()
) -> None:
    """Say, once per student, in which template it is asked and trained.

    And say so where a text of one's own among `prompts` is in Alpaca's wrapper and the student has
    a chat template of its own.
    """
    own = has_own_template(tokenizer)
    lines = [
        f"{name}：用它自己的对话模板提问和训练。 asked and trained in its own chat template."
        if own
        else f"{name}：用 Alpaca 的提示提问和训练。 asked and trained in Alpaca's wrapper: "
        "it has no other chat template."
    ]
    if own and any(text.startswith(WRAPPER) for text in prompts):
        lines.append(
            f"{name}：有的问题套着 Alpaca 的提示，它没有这样训练过；用 prompt_of(student, row)。 "
            "asked in Alpaca's wrapper, in which it was not trained: take prompt_of(student, row)."
        )
    for line in lines:
        if line not in SAID:
            SAID.add(line)
            # A command's standard output is its result; in a notebook the other stream looks like a
            # fault.
            print(line, file=sys.stdout if "ipykernel" in sys.modules else sys.stderr)
