"""Thoughts of reasoning models apart from their answers, however servers hand them over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.text import split_thoughts

HARMONY = (
    "<|channel|>analysis<|message|>先想<|end|><|start|>assistant<|channel|>final<|message|>答案"
)

SHAPES = {
    "R1 and Qwen3": ("<think>\n先想\n</think>\n\n答案", "先想", "答案"),
    "thinking off, Qwen3": ("<think>\n\n</think>\n\n答案", "", "答案"),
    "R1's template has the opening": ("先想\n第二行\n</think>\n\n答案", "先想\n第二行", "答案"),
    "cut in the thoughts": ("<think>\n先想，再", "先想，再", ""),
    "cut after the thoughts": ("先想</think>", "先想", ""),
    "Claude's habit": ("<thinking>先想</thinking>答案", "先想", "答案"),
    "EXAONE": ("<thought>\n先想\n</thought>\n\n答案", "先想", "答案"),
    "capitals and wrapper": ("<Thought>先想</Thought>\n<Output>答案</Output>", "先想", "答案"),
    "trained by GRPO": ("<reasoning>先想</reasoning>\n<answer>\n答案</answer>", "先想", "答案"),
    "answer cut in its wrapper": ("<think>先想</think><answer>答案", "先想", "答案"),
    "full width": ("＜think＞先想＜／think＞答案", "先想", "答案"),
    "in Chinese": ("<思考>先想</思考>答案", "先想", "答案"),
    "with attributes": ('<think time="3 s">先想</think>答案', "先想", "答案"),
    "Kimi": ("◁think▷先想◁/think▷答案", "先想", "答案"),
    "Kimi, closing alone": ("先想◁/think▷答案", "先想", "答案"),
    "Magistral": ("[THINK]先想[/THINK]答案", "先想", "答案"),
    "Seed-OSS": ("<seed:think>先想</seed:think>答案", "先想", "答案"),
    "Sky-T1": (
        "<|begin_of_thought|>先想<|end_of_thought|>\n\n<|begin_of_solution|>答案<|end_of_solution|>",
        "先想",
        "答案",
    ),
    "Command A": (
        "<|START_THINKING|>先想<|END_THINKING|><|START_RESPONSE|>答案<|END_RESPONSE|>",
        "先想",
        "答案",
    ),
    "Gemma 4": ("<|channel>thought\n先想<channel|>答案", "先想", "答案"),
    "MedGemma": ("<unused94>thought\n先想<unused95>答案", "先想", "答案"),
    "Open WebUI": ('<details type="reasoning" done="true">先想</details>\n答案', "先想", "答案"),
    "Granite": ("Here is my thought process:\n先想\n\nHere is my response:\n答案", "先想", "答案"),
    "HuatuoGPT": ("## Thinking\n\n先想\n\n## Final Response\n\n答案", "先想", "答案"),
    "gpt-oss": (HARMONY + "<|return|>", "先想", "答案"),
    "gpt-oss, cut": (HARMONY[:32], "先想"[: len(HARMONY[:32]) - 30], ""),
    "gpt-oss, json": (HARMONY.replace("final", "final json"), "先想", "答案"),
    "gpt-oss, constrained": (
        HARMONY.replace("final", "final <|constrain|>json"),
        "先想",
        "答案",
    ),
    "gpt-oss, opening in the prompt": (HARMONY.partition("<|message|>")[2], "先想", "答案"),
    "gpt-oss by llama.cpp": ("<|channel|>analysis<|message|>先想<|end|>答案", "先想", "答案"),
    "gpt-oss, commentary": (
        HARMONY.replace("<|start|>", "<|channel|>commentary<|message|>旁白<|end|><|start|>"),
        "先想\n旁白",
        "答案",
    ),
    "gpt-oss without marks": ("analysisWe think.assistantfinal答案", "We think.", "答案"),
    "the same, for JSON": ('We think.assistantfinal json{"a": 1}', "We think.", '{"a": 1}'),
    "the same, cut": ("analysisWe think", "We think", ""),
    "twice": ("<think>一</think>甲\n<think>二</think>乙", "一\n二", "甲\n乙"),
    "one in the other": ("<think><think>先想</think>再想</think>答案", "<think>先想\n再想", "答案"),
    "closed twice": ("<think>先想</think>答案</think>", "先想", "答案"),
    "closed by another": ("<think>先想</thinking>答案", "先想", "答案"),
    "after a greeting": ("好的。<think>让我想一想再回答</think>答", "让我想一想再回答", "好的。答"),
    "a draft in JSON": ('<think>{"a": 1}?</think>{"a": 2}', '{"a": 1}?', '{"a": 2}'),
    "a mark in them": ("<think>`</think>` 是结束</think>答", "`</think>` 是结束", "答"),
    "an open fence": ("想 ```json\n{</think>```\n{}\n```", "想 ```json\n{", "```\n{}\n```"),
}  # fmt: skip  # a table


@pytest.mark.parametrize("name", SHAPES)
def test_thoughts_are_split_off(name):
    """A draft inside the thoughts was taken for the answer, and students learned to think aloud."""
    text, thoughts, answer = SHAPES[name]
    assert split_thoughts(text) == (thoughts, answer)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 答案\n",
        "把思考写在 `<think>` 和 `</think>` 之间。",
        "标签“</think>”表示思考结束。",
        "用 <think> 和 </think> 标出思考。",
        "写成 <think>思考过程</think> 的样子。",
        "示例：\n```\n<think>先算三加四，再乘二</think>\n14\n```\n就是这样。",
        "I think </b> is a tag; x < y",
        "## Thinking\n\n思考是人的能力。",
        "analysis 是分析的意思。",
        "analysisResult = 3",
        "<details><summary>更多</summary>内容</details>",
        '{"type": "[think]", "list": ["THINK"]}',
        "<answer>答案</answer>",
    ],
)
def test_an_answer_without_thoughts_stays_as_it_is(text):
    """An answer that explains such marks must not lose its half."""
    assert split_thoughts(text) == ("", text)


@given(st.text('<>/think思考◁▷[]THINK|`\n"“”channel message analysis答', max_size=80))
def test_any_text_is_split(text):
    """Hostile text once raised in code that split by index."""
    thoughts, answer = split_thoughts(text)
    assert len(thoughts) + len(answer) <= len(text) + 1
    split_thoughts(text, whole=False)


@given(st.text("思考、。ab \n", max_size=30), st.text("答案。ab \n", max_size=30))
def test_what_was_wrapped_comes_back(thought, answer):
    """Marks on lines of their own, as R1 writes them."""
    assert split_thoughts(f"<think>\n{thought}\n</think>\n\n{answer}") == (
        thought.strip(),
        answer.lstrip(),
    )


@pytest.mark.parametrize(
    "name", ["R1 and Qwen3", "Kimi", "Magistral", "gpt-oss", "capitals and wrapper"]
)
def test_a_stream_shows_only_what_stays(name):
    """Half a mark, or half a thought, on the screen."""
    text, thoughts, answer = SHAPES[name]
    for end in range(len(text) + 1):
        so_far = split_thoughts(text[:end], whole=False)
        assert answer.startswith(so_far[1]), text[:end]
        assert thoughts.startswith(so_far[0]), text[:end]


@pytest.mark.parametrize(
    "piece",
    ["<think>", "</think>", "a <think>b</think> ", "a <think>", "`<think>` ", "```", "“<think>”",
     "<|channel|>", "<|channel|>final<|message|>a", "assistantfinal", '<details reasoning="1">'],
)  # fmt: skip  # a table
def test_long_hostile_text_takes_no_minutes(piece):
    """A pattern that looks for its end from every beginning takes hours for a megabyte."""
    thoughts, answer = split_thoughts(piece * (40_000 // len(piece)))
    assert len(thoughts) + len(answer) <= 40_000
