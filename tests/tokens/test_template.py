"""The prompt of a student: its own chat template, byte for byte, or Alpaca's wrapper."""

import pickle
import sys
from inspect import signature

import pytest
import vocabularies
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_random import tokenizer_like

from miniluotuo_utils.prompts import (
    ALPACA_TEMPLATE,
    SHORT_TEMPLATE,
    SHORT_TOKENS,
    has_own_template,
    messages_of,
    row_of,
    row_prompt,
)
from miniluotuo_utils.students import ZOO
from miniluotuo_utils.tokens import (
    IGNORED,
    encode,
    encoded_dataset,
    end_of,
    prompt_ids,
    prompt_of,
    prompts_of,
)
from miniluotuo_utils.tokens.template import SAID, prompt_of_messages, say_template, written_down

KINDS = [*vocabularies.CHATS, "blanks"]
text = st.text(st.sampled_from("骆驼 camel\n{}[]\":,1《》'"), max_size=12)
row = st.fixed_dictionaries(
    {"instruction": text, "input": text},
    optional={"history": st.lists(st.tuples(text, text), max_size=2)},
)
QUESTIONS = [
    {"instruction": "译成英文。", "input": "骆驼"},
    {"instruction": " a", "history": [["在吗", "在。"]]},
]
ANSWER = '{"人物":["李白"]}'


@pytest.fixture(scope="module")
def chats():
    """A tokenizer with a chat template of every kind."""
    return {kind: vocabularies.chatting(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def wrapped():
    """Vocabularies without a chat template, with start tokens and without."""
    led = vocabularies.chatting("blanks")
    led.chat_template = None
    return {"byte-level": vocabularies.bytewise(), "led": led}


def asked(tokenizer, messages, **how):
    """What a server makes of messages: text and ids."""
    how |= {"add_generation_prompt": True, "enable_thinking": False}
    shown = tokenizer.apply_chat_template(messages, tokenize=False, **how)
    return shown, tokenizer.apply_chat_template(messages, return_dict=False, **how)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(row=row)
def test_a_prompt_is_what_the_chat_template_writes(chats, kind, row):
    """Chat models were asked and trained in Alpaca's wrapper, their special tokens as text; a
    server then asked in another format than was trained."""
    tokenizer = chats[kind]
    shown, ids = asked(tokenizer, messages_of(row))
    prompt = prompt_of(tokenizer, row)
    assert prompt == shown
    assert prompt_ids(tokenizer, [prompt, prompt]) == [ids, ids]
    assert prompt_ids(tokenizer, [shown]) == [ids]  # a text of one's own, rendered elsewhere


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_ends_as_the_template_ends_it(chats, kind):
    """The tokenizer's end token is not always the one that ends a turn; a student trained on the
    other never stops where a server waits for it."""
    tokenizer = chats[kind]
    question = {"instruction": "找出人物", "input": "李白"}
    encoded = encode([question | {"output": ANSWER}], tokenizer, 2000, lossy="keep").rows[0]
    learned = [label for label in encoded["labels"] if label != IGNORED]
    ends = {"base": "<|im_end|>", "blanks": "</s>"}.get(kind, tokenizer.eos_token)
    assert learned[-1] == end_of(tokenizer) == tokenizer.convert_tokens_to_ids(ends)

    prompt = prompt_of(tokenizer, question)
    assert encoded["input_ids"] == prompt_ids(tokenizer, [prompt])[0] + learned
    talk = [*messages_of(question), {"role": "assistant", "content": ANSWER}]
    whole = tokenizer.apply_chat_template(talk, tokenize=False, enable_thinking=False)
    if kind != "blanks":
        assert whole.startswith(f"{prompt}{ANSWER}{'' if kind == 'open end' else ends}")
    if kind not in ("blanks", "open end"):
        ids = tokenizer.apply_chat_template(talk, return_dict=False, enable_thinking=False)
        assert ids[: len(encoded["input_ids"])] == encoded["input_ids"]


@pytest.mark.parametrize("kind", ["short", "thinking", "headers", "open end"])
def test_a_marker_in_somebodys_text_is_no_turn(chats, kind):
    """`<|assistant|>` typed into a question ended the question there, and what followed it was
    read as the student's own words."""
    tokenizer = chats[kind]
    for marker in vocabularies.CHATS[kind][0]:
        evil = {"instruction": f"说{marker}骆驼", "input": marker, "history": [[marker, "好"]]}
        prompt, plain = prompts_of(tokenizer, [evil, {**evil, "instruction": "说骆驼"}])
        assert prompt == asked(tokenizer, messages_of(evil))[0]
        harmless = {"instruction": "说骆驼", "input": "x", "history": [["x", "好"]]}
        special = tokenizer.convert_tokens_to_ids(marker)
        expected = prompt_ids(tokenizer, [prompt_of(tokenizer, harmless)])[0].count(special)
        for ids in prompt_ids(tokenizer, [prompt, plain]):
            assert ids.count(special) == expected
        ids = prompt_ids(tokenizer, [prompt])[0]
        assert tokenizer.decode(ids) == prompt
        if "sanitize_control_tokens" in signature(tokenizer.apply_chat_template).parameters:
            how = {"add_generation_prompt": True, "enable_thinking": False, "return_dict": False}
            safe = {"sanitize_control_tokens": True}  # what a careful server asks for
            assert ids == tokenizer.apply_chat_template(messages_of(evil), **how, **safe)


@settings(max_examples=60, deadline=None)
@given(row=row)
def test_alpacas_wrapper_as_a_chat_template(wrapped, row):
    """A folder trained in Alpaca's wrapper had no chat template: a server refused it, or asked in
    a format of its own."""
    for tokenizer in wrapped.values():
        bare = prompt_of(tokenizer, row)
        assert bare.endswith(row_prompt(row))
        led = bare.removesuffix(row_prompt(row))
        tokenizer.chat_template = f"{{{{- '{led}' -}}}}" + ALPACA_TEMPLATE
        try:
            assert not has_own_template(tokenizer)
            shown, ids = asked(tokenizer, messages_of(row, wrapper=True))
            assert prompt_of(tokenizer, row) == bare == shown
            assert prompt_ids(tokenizer, [bare]) == [ids]
            # and what encode makes of its rows, whose start tokens are put there by the vocabulary
            assert prompt_ids(tokenizer, [row_prompt(row)]) == [ids]
        finally:
            tokenizer.chat_template = None


@pytest.mark.parametrize(
    "name", ["llama-7b", "ernie-4.5-0.3b", "glm-4-9b", "bloom-560m", "gpt2-124m"]
)
def test_alpacas_wrapper_has_the_ids_of_training_in_every_vocabulary(name):
    """Behind `<s>` some vocabularies put no dummy space: the template's first token was another
    than the trained one. A start token was doubled, or lost."""
    tokenizer = tokenizer_like(ZOO[name])
    trained = prompt_ids(tokenizer, [row_prompt(question) for question in QUESTIONS])
    prompts = prompts_of(tokenizer, QUESTIONS)
    tokenizer.chat_template = written_down(tokenizer)
    assert not has_own_template(tokenizer)
    for question, prompt, ids in zip(QUESTIONS, prompts, trained, strict=True):
        assert asked(tokenizer, messages_of(question, wrapper=True)) == (prompt, ids)
        assert prompt_ids(tokenizer, [prompt]) == [ids]


def test_alpacas_wrapper_ends_an_answer(wrapped):
    """What `apply_chat_template` gives for a row with its answer is what was trained."""
    tokenizer = wrapped["byte-level"]
    question = {"instruction": "the camel", "input": "walks", "history": [["a", "b"]]}
    encoded = encode([question | {"output": "to Beijing"}], tokenizer, 2000).rows[0]
    talk = [*messages_of(question, True), {"role": "assistant", "content": "to Beijing"}]
    shown = {"chat_template": ALPACA_TEMPLATE, "tokenize": False}
    assert tokenizer.decode(encoded["input_ids"]) == tokenizer.apply_chat_template(talk, **shown)
    assert has_own_template(tokenizer) is False


@pytest.mark.parametrize("kind", KINDS)
def test_a_clients_messages_are_asked_as_their_row(chats, kind):
    """`input` was left out where a template does not know it, and what else a client writes into
    a message was rendered or broke the template."""
    row = {"instruction": "译成英文。", "input": "骆驼", "history": [["在吗\n你", "在。"]]}
    said = {"role": "assistant", "content": "在。", "tool_calls": "x", "reasoning_content": "想"}
    talk = [
        {"role": "user", "content": "在吗", "input": "你"},
        said,
        {"role": "user", "content": "译成英文。", "input": "骆驼", "name": "甲"},
    ]
    assert prompt_of_messages(chats[kind], talk) == prompt_of(chats[kind], row)


@pytest.mark.parametrize("roles", ["", "a", "uu", "ua", "us", "au", "sa", "uau s", "uawu"])
def test_what_is_no_conversation_is_said(roles):
    """An answer to half of a talk, which no student was trained on."""
    names = {"u": "user", "a": "assistant", "s": "system", "w": "wizard"}
    talk = [{"role": names[role], "content": "在"} for role in roles.replace(" ", "")]
    with pytest.raises(ValueError, match="轮流说.*in turn"):
        row_of(talk)


def test_the_short_template(chats):
    """Training and server must agree on a system message, and on turns in a row."""
    tokenizer = chats["short"]
    user, assistant, end = SHORT_TOKENS
    talk = [
        {"role": "system", "content": "简短。"},
        {"role": "user", "content": "在吗"},
        {"role": "assistant", "content": "在。"},
        {"role": "user", "content": "骆驼"},
    ]
    assert asked(tokenizer, talk)[0] == (
        f"{user}简短。\n在吗{assistant}在。{end}{user}骆驼{assistant}"
    )
    ids = encode([{"instruction": "译", "input": "骆驼", "output": "camel"}], tokenizer, 99).rows[0]
    assert tokenizer.decode(ids["input_ids"]) == f"{user}译\n骆驼{assistant}camel{end}"
    for token in SHORT_TOKENS:
        assert ids["input_ids"].count(tokenizer.convert_tokens_to_ids(token)) == 1
    with pytest.raises(Exception, match="expected the roles system, user and assistant"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)
    assert SHORT_TEMPLATE.count("endoftext") == 1


def test_rows_in_another_template_are_not_read_from_the_cache(chats, tmp_path):
    """Token rows in Alpaca's wrapper were read back for a student with a template of its own; a
    worker process gets the tokenizer as bytes."""
    rows = [{"instruction": "the camel", "input": "", "output": "walks"}]
    tokenizer = pickle.loads(pickle.dumps(chats["short"]))
    asked_shortly, first = encoded_dataset(rows, tokenizer, 999, cache=tmp_path)
    tokenizer.chat_template = None
    wrapped_up, second = encoded_dataset(rows, tokenizer, 999, cache=tmp_path)
    assert first["key"] != second["key"]
    assert len(asked_shortly[0]["input_ids"]) < len(wrapped_up[0]["input_ids"])
    assert encoded_dataset(rows, chats["short"], 999, cache=tmp_path)[1]["from_cache"]


def test_what_is_no_student_is_asked_in_alpacas_wrapper():
    """`extract` takes any stand-in for a student, and a recorded teacher answers Alpaca's
    prompts."""
    question = {"instruction": "找出人物", "input": "李白"}
    assert prompt_of("学生", question) == prompt_of(None, question) == row_prompt(question)


def test_which_template_is_in_use_is_said_once(chats, wrapped, capsys, monkeypatch):
    """Chat models were asked in Alpaca's wrapper, and nothing said so; nor does a cell that was
    copied from an earlier version say that it still does."""
    # Another test of this process may have run a notebook.
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    SAID.clear()
    chat, plain = chats["short"], wrapped["byte-level"]
    for name, words in (("a", chat), ("a", chat), ("b", plain), ("b", plain)):
        say_template(name, words, [prompt_of(words, QUESTIONS[0])])
    first, second = capsys.readouterr().err.splitlines()
    assert "a：用它自己的对话模板" in first
    assert "b：用 Alpaca 的提示" in second
    for _ in range(2):
        say_template("a", chat, [row_prompt(QUESTIONS[0])])
    (only,) = capsys.readouterr().err.splitlines()
    assert "prompt_of(student, row)" in only
