"""Generation: the same answer alone and in any batch, whole characters, streams that stop."""

import threading
import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vocabularies import KINDS, bytewise, student_of

from miniluotuo_utils.generation import engine, generate, stream, streaming, whole_characters
from miniluotuo_utils.generation.batching import batches_of, checked_ids, end_ids
from miniluotuo_utils.generation.presets import PRESETS, preset_of, preset_table
from miniluotuo_utils.generation.streaming import BROKEN, whole_text
from miniluotuo_utils.students import Student
from miniluotuo_utils.tokens import prompts_of, text_of

PROMPTS = [
    "骆驼走",
    "The camel walks to Beijing, and the train",
    "一二三四五六七八九十一二三四五六七八九十",
    "你好",
    "camel",
]


@pytest.fixture(scope="module", params=list(KINDS))
def tokenizer(request):
    """One vocabulary of each kind."""
    return KINDS[request.param]()


@pytest.fixture(scope="module", params=["gpt2", "llama", "bloom", "glm", "t5"])
def student(request):
    """One student of each architecture."""
    return student_of(request.param)


@pytest.fixture(scope="module")
def gpt2():
    """The random GPT-2."""
    return student_of("gpt2")


@pytest.mark.parametrize("preset", list(PRESETS))
def test_an_answer_is_the_same_alone_and_in_any_batch(student, preset):
    """Padding that shifts positions, is attended to, or is penalised as if it were text changes
    every shorter row; one generator for a whole batch makes a drawn answer depend on its
    neighbours."""
    together = generate(student, PROMPTS, preset, max_new_tokens=20, seed=3)
    assert together == [
        generate(student, [p], preset, max_new_tokens=20, seed=3)[0] for p in PROMPTS
    ]
    assert together == generate(student, PROMPTS, preset, max_new_tokens=20, batch_size=2, seed=3)
    assert len({answer for answer in together if answer}) >= 3, (
        f"a test of answers that hardly differ: {together}"
    )


def test_streaming_writes_what_generating_returns(student):
    """A streamer that drops its first or last token, or decodes tokens apart and so loses their
    spaces."""
    for preset in PRESETS:
        for text in PROMPTS[:3]:
            pieces = list(stream(student, text, preset, max_new_tokens=20, seed=5))
            assert (
                "".join(pieces) == generate(student, [text], preset, max_new_tokens=20, seed=5)[0]
            )
            assert all(pieces)
            assert BROKEN not in "".join(pieces)


def test_a_short_prompt_keeps_its_room_beside_a_long_one(gpt2):
    """A batch once gave every row the room of its longest prompt."""
    long = "一二三四五六七八九十" * 10
    size = next(
        n
        for n in range(len(long), 0, -1)
        if len(ids_or_none(gpt2, long[:n]) or []) in range(50, 60)
    )
    prompts = [long[:size], "骆驼走", long[: size - 1], "你好"]
    assert generate(gpt2, prompts, max_new_tokens=40) == [
        generate(gpt2, [p], max_new_tokens=40)[0] for p in prompts
    ]
    rooms = {room for room, _ in batches_of(gpt2, checked_ids(gpt2, prompts), 40, 8)}
    assert max(rooms) == 40
    assert min(rooms) < 15


def ids_or_none(student, text):
    """A prompt's ids, None where it is too long."""
    try:
        return checked_ids(student, [text])[0]
    except ValueError:
        return None


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_learned_prompt_tokens_change_nothing_in_a_batch(kind):
    """PEFT drops the position ids behind prompt-tuning tokens, and padding then stands between
    them and the prompt."""
    from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model

    for config in (PromptTuningConfig, PrefixTuningConfig):
        base = student_of(kind)
        adapted = Student(
            kind,
            get_peft_model(base.model, config(task_type="CAUSAL_LM", num_virtual_tokens=4)).eval(),
            base.tokenizer,
        )
        prompts = ["骆驼走到", "你好", "一二三四五六七八"]
        assert generate(adapted, prompts, max_new_tokens=9) == [
            generate(adapted, [p], max_new_tokens=9)[0] for p in prompts
        ]


def test_a_checkpoint_s_own_generation_config_does_not_leak(gpt2):
    """Chat checkpoints ship temperatures, penalties, forced tokens and a max_length of 20;
    `extract` must not inherit them."""
    from transformers import GenerationConfig

    plain = {
        preset: generate(gpt2, PROMPTS, preset, max_new_tokens=12, seed=1) for preset in PRESETS
    }
    own = gpt2.model.generation_config
    first = gpt2.tokenizer("camel")["input_ids"][0]
    gpt2.model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=5.0,
        top_k=3,
        top_p=0.3,
        repetition_penalty=9.0,
        no_repeat_ngram_size=1,
        max_length=20,
        num_beams=3,
        min_new_tokens=12,
        forced_bos_token_id=first,
        forced_eos_token_id=first,
        suppress_tokens=list(range(200)),
        bad_words_ids=[[first]],
        begin_suppress_tokens=[5],
        stop_strings=["a"],
        eos_token_id=first,
        sequence_bias=[[[first], 90.0]],
        guidance_scale=3.0,
    )
    try:
        assert plain == {
            preset: generate(gpt2, PROMPTS, preset, max_new_tokens=12, seed=1) for preset in PRESETS
        }
    finally:
        gpt2.model.generation_config = own


def test_an_answer_stops_at_each_end_token(gpt2, monkeypatch):
    """Chat checkpoints name several end tokens; running past one continues with the user's next
    turn."""
    question = checked_ids(gpt2, PROMPTS[:1])
    ids = engine.decode_batch(gpt2, question, PRESETS["extract"], 12, [None])[0]
    end = next(i for i in ids if i != ids[0])
    for module in (engine, streaming):
        monkeypatch.setattr(module, "end_ids", lambda student: [gpt2.tokenizer.eos_token_id, end])
    assert engine.decode_batch(gpt2, question, PRESETS["extract"], 12, [None]) == [
        ids[: ids.index(end)]
    ]
    short = whole_text(gpt2.tokenizer, ids[: ids.index(end)])
    assert (
        "".join(stream(gpt2, PROMPTS[0], "extract", 12))
        == generate(gpt2, PROMPTS[:1], max_new_tokens=12)[0]
        == short
    )


def test_named_ends_count_only_where_the_vocabulary_knows_them_as_special(gpt2, monkeypatch):
    """A configuration's default end id 2 is an ordinary word of a small vocabulary."""
    monkeypatch.setattr(
        gpt2.model.generation_config, "eos_token_id", [gpt2.tokenizer.eos_token_id, 2]
    )
    assert end_ids(gpt2) == [gpt2.tokenizer.eos_token_id]


def test_a_seed_repeats_and_equal_prompts_differ(gpt2):
    """Five drafts of one prompt that are all the same, or a figure in a notebook that changes
    with every run."""
    drafts = generate(gpt2, ["骆驼走"] * 5, "creative", max_new_tokens=15, seed=1)
    assert drafts == generate(gpt2, ["骆驼走"] * 5, "creative", max_new_tokens=15, seed=1)
    assert len(set(drafts)) > 2
    assert drafts != generate(gpt2, ["骆驼走"] * 5, "creative", max_new_tokens=15, seed=2)


def test_drawing_follows_the_probabilities():
    """An off-by-one in the cumulative sum draws each token's neighbour."""
    import random

    import torch

    from miniluotuo_utils.generation.presets import drawn

    shares = torch.tensor([[0.0, 0.5, 0.0, 0.2, 0.3, 0.0]])
    draw = drawn([random.Random(n) for n in range(4000)])
    found = draw(None, shares.log().expand(4000, -1)).argmax(-1).bincount(minlength=6) / 4000
    assert (found - shares[0]).abs().max() < 0.03
    assert found[[0, 2, 5]].sum() == 0
    highest = drawn([type("Last", (), {"random": lambda self: 1 - 2**-53})()])
    assert highest(None, shares.log()).argmax() == 4, (
        "rounding reached past the last possible token"
    )


def test_presets_say_what_they_do(gpt2):
    """Alpaca-CoT's penalties make an extraction that may not repeat a key; contradictory fields
    do nothing in silence."""
    table = preset_table()
    assert [row["preset"] for row in table[:3]] == list(PRESETS)
    assert {1.8, 1.2} <= {row["repetition_penalty"] for row in table}
    assert all(row["why"] for row in table)
    assert all(row.keys() == table[0].keys() for row in table)
    with pytest.raises(
        ValueError, match="preset is 'greedy'; expected one of extract, chat, creative"
    ):
        generate(gpt2, ["好"], "greedy")
    with pytest.raises(
        ValueError, match="found num_beams; a preset's fields are do_sample, temperature"
    ):
        generate(gpt2, ["好"], num_beams=4)
    with pytest.raises(ValueError, match="extract takes the likeliest"):
        stream(gpt2, "好", "extract", top_p=0.5)
    with pytest.raises(ValueError, match="expected temperature > 0"):
        generate(gpt2, ["好"], "creative", temperature=0)


def test_a_forbidden_repetition_is_forbidden_in_the_answer_alone(gpt2):
    """A penalty that counts the prompt punishes the copied span that an extraction is made of."""
    ids = generate_ids(gpt2, "一二三四五六七八九十", no_repeat_ngram_size=1)
    assert len(ids) == len(set(ids))
    assert set(ids) & set(checked_ids(gpt2, ["一二三四五六七八九十"])[0])


def generate_ids(student, text, **overrides):
    """The ids of one answer."""
    preset = preset_of("extract", **overrides)
    return engine.decode_batch(student, checked_ids(student, [text]), preset, 40, [None])[0]


def test_what_cannot_be_asked_is_named(student):
    """An index error inside the model, or answers to the letters of a text."""
    with pytest.raises(
        ValueError,
        match=r"prompt 1 has \d+ tokens, the student's context holds 64 "
        r"\(1 more are too long\): shorten",
    ):
        generate(student, ["好", "camel 走 " * 60, "骆驼 " * 60])
    with pytest.raises(ValueError, match="prompts is the text '你好'; expected a list"):
        generate(student, "你好")
    for wrong in (None, 3, ""):
        with pytest.raises(ValueError, match=f"prompt 1 is {wrong!r}; expected a text"):
            generate(student, ["好", wrong])
    with pytest.raises(ValueError, match="max_new_tokens is 0"):
        generate(student, ["好"], max_new_tokens=0)
    assert generate(student, []) == []


def test_a_stream_that_nobody_reads_stops(gpt2, monkeypatch):
    """A chat that was broken off kept a core busy for the rest of its answer, and a generator's
    thread outlived the notebook cell."""
    steps = []
    forward = gpt2.model.forward

    # After a few tokens so slow that a reader, however busy the machine, comes before the end.
    def counted(*args, **options):
        steps.append(threading.current_thread().name)
        if steps.count("stream") > 10 and steps[-1] == "stream":
            time.sleep(0.5)
        return forward(*args, **options)

    # An answer that only its length ends.
    for module in (engine, streaming):
        monkeypatch.setattr(module, "end_ids", lambda student: [10**6])
    monkeypatch.setattr(gpt2.model, "forward", counted)
    answer = stream(gpt2, "骆驼走", max_new_tokens=50)
    assert not any(t.name == "stream" for t in threading.enumerate()), (
        "it must not start before somebody reads"
    )
    next(answer)
    answer.close()
    assert not any(t.name == "stream" for t in threading.enumerate())
    assert len(steps) < 50
    steps.clear()
    assert len(generate_ids(gpt2, "骆驼走")) == 40, "this answer would have ended by itself"
    for piece in stream(gpt2, "骆驼走", max_new_tokens=50):
        assert piece
        break
    assert not any(t.name == "stream" for t in threading.enumerate())


def test_an_error_of_the_worker_surfaces(gpt2, monkeypatch):
    """An out-of-memory in the thread left the reader waiting for ever, or with half an answer
    that looked whole."""

    def broken(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(gpt2.model, "forward", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(stream(gpt2, "骆驼走"))


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_pieces_are_the_whole_text_for_every_vocabulary(tokenizer, data):
    """Tokens decoded apart lose SentencePiece's spaces and gain WordPiece's; random ids hold
    every broken sequence of bytes."""
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=30))
    pieces = list(whole_characters(tokenizer, ids))
    assert all(pieces)
    assert BROKEN not in "".join(pieces)
    assert "".join(pieces) == whole_text(tokenizer, ids)
    if BROKEN not in (text := text_of(tokenizer, ids)):
        assert "".join(pieces) == text


@settings(deadline=None, max_examples=150)
@given(
    text=st.text(st.sampled_from("骆驼走到 thecamlwksb.😀\n"), max_size=25), cut=st.integers(0, 4)
)
def test_whole_characters_never_break(tokenizer, text, cut):
    """`蛋�`: the answer stopped inside a character."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    whole = text_of(tokenizer, ids)
    pieces = list(whole_characters(tokenizer, ids[: max(0, len(ids) - cut)]))
    assert BROKEN not in "".join(pieces)
    assert whole.startswith("".join(pieces))
    assert cut or "".join(pieces) == whole


def test_lost_bytes_do_not_hold_the_stream_back():
    """A stray byte once made everything after it wait for ever."""
    words = bytewise()
    stray = words("蛋")["input_ids"][0]
    assert "".join(whole_characters(words, [stray, *words("camel")["input_ids"]])) == "camel"


def test_decoding_a_stream_costs_the_same_per_token_to_its_end(tokenizer, monkeypatch):
    """Decoding everything again at each token makes a long answer quadratic."""
    sizes = []
    monkeypatch.setattr(
        streaming, "text_of", lambda words, ids: (sizes.append(len(ids)), text_of(words, ids))[-1]
    )
    ids = tokenizer("骆驼走到 the camel walks 北京" * 40, add_special_tokens=False)["input_ids"]
    list(whole_characters(tokenizer, ids))
    assert max(sizes) <= 12
    assert len(sizes) <= 3 * len(ids) + 2


def test_the_embedded_student_answers_the_same_in_a_batch(tiny):
    """What notebooks 00 and 05 rely on, with the real template."""
    rows = [
        {"instruction": "你好"},
        {"instruction": "把下面的词译成英文。", "input": "骆驼"},
        {"instruction": "重复下面这句话。", "input": "火车从北京开往张家口。"},
    ]
    prompts = prompts_of(tiny, rows)
    together = generate(tiny, prompts, max_new_tokens=12)
    assert together == [generate(tiny, [p], max_new_tokens=12)[0] for p in prompts]
    assert (
        "".join(stream(tiny, prompts[0], max_new_tokens=30))
        == generate(tiny, prompts[:1], "chat", max_new_tokens=30)[0]
    )


def test_no_library_warns_about_how_it_is_called(tiny):
    """transformers 5.24 renamed the cache: each notebook then showed a warning per batch."""
    prompts = ["请说出三种水果的名字，用顿号隔开：", "请说出三种水果的颜色，用顿号隔开："]
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        generate(tiny, prompts, max_new_tokens=2)
