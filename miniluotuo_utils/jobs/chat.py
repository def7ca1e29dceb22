"""Talk to a student in a terminal: history, presets, an answer as it is written.

In: lines that a person types. Out: answers, piece by piece. Used by `chat` of the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.generation.presets import PRESETS, preset_of
from miniluotuo_utils.show.talk import answer_of

if TYPE_CHECKING:
    from miniluotuo_utils.students import Student

HELP = f"""/clear 忘掉前面说的 forget what was said · /preset NAME 换预设 {", ".join(PRESETS)}
/help 这几行 these lines · /quit 结束 leave（也可以 Ctrl+D Ctrl+D, too）"""


def chat(
    student: Student,
    lines: Iterable[str],
    preset: str = "chat",
    max_new_tokens: int = 128,
    overrides: Mapping[str, Any] | None = None,
    write: Callable[[str], Any] = print,
) -> list[list[str]]:
    """Answer lines one after the other, and return the conversation as `[[user, assistant], …]`.

    A line that begins with `/` is an order. What is wrong with a line is said, and the talk goes
    on. `write` gets pieces of text with their own line breaks.
    """
    history: list[list[str]] = []
    overrides = dict(overrides or {})
    preset_of(preset, **overrides)
    for line in lines:
        # Orders first: they may change how the next question is asked.
        word, _, rest = line.strip().partition(" ")
        if word in ("/quit", "/exit"):
            break
        if word.startswith("/"):
            preset, said = order(word, rest.strip(), preset, history, overrides)
            write(said + "\n")
            continue
        # Only what was answered is remembered.
        answer = ""
        try:
            for whole in answer_of(student, line, history, preset, max_new_tokens, **overrides):
                write(whole[len(answer) :])
                answer = whole
        except ValueError as wrong:
            write(str(wrong))
        else:
            history.append([line, answer])
        write("\n")
    return history


def order(
    word: str, rest: str, preset: str, history: list, overrides: Mapping[str, Any]
) -> tuple[str, str]:
    """Carry out an order, and return the preset from now on and what is said of it.

    >>> order("/clear", "", "chat", [["在吗", "在。"]], {})
    ('chat', '忘掉了。 Forgotten.')
    """
    if word == "/clear":
        history.clear()
        return preset, "忘掉了。 Forgotten."
    if word == "/preset":
        try:
            preset_of(rest, **overrides)
        except ValueError as wrong:
            return preset, str(wrong)
        return rest, f"预设 preset：{rest}"
    return preset, HELP


def typed(prompt: str = "> ") -> Iterable[str]:
    """Yield the lines that a person types, up to Ctrl+D."""
    while True:
        try:
            line = input(prompt)
        except EOFError:
            print()
            return
        if line.strip():
            yield line
