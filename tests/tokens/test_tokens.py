"""Tokens: the mask covers the prompt and nothing else, every vocabulary kind says what it loses,
packing loses nothing and leaks nothing."""

import copy
import gc
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils.data import available
from miniluotuo_utils.files import write_jsonl
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.tokens import (
    IGNORED,
    byte_level_bpe,
    collate,
    encode,
    encoded_dataset,
    gpt2_tokenizer,
    pack,
    pack_stream,
    packing_efficiency,
    prompt_ids,
    prompt_of,
    refuse_lossy,
    text_of,
    tokens_per_character,
    what_is_lost,
)
from miniluotuo_utils.tokens.columns import as_dataset, digest_of, has_labels, sizes_of
from miniluotuo_utils.tokens.dataset import write_entry
from miniluotuo_utils.tokens.packing import by_length

ALPHABET = '骆驼在沙漠里走，日出 \n{}[]":,a1😀'
SAID = [
    "骆驼在沙漠里走，日出。",
    '{"人物":["李白"],"地点":[]}',
    "Below is an instruction that describes a task.\n\n### Instruction:\n",
    "camel 12 a1",
]


@pytest.fixture(scope="module")
def tiny():
    """The embedded student's model and tokenizer, loaded with plain transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = EMBEDDED / "student"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    return SimpleNamespace(model=model, tokenizer=AutoTokenizer.from_pretrained(folder))


def bert(**how):
    """A BERT tokenizer with the characters of ALPHABET and a few words."""
    from transformers import BertTokenizer

    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *dict.fromkeys(ALPHABET.replace(" ", "").replace("\n", "")),
        "李",
        "白",
        "ab",
        "##c",
        "b",
        "##1",
    ]
    return BertTokenizer(vocab={word: i for i, word in enumerate(words)}, **how)


def unigram(eos=True):
    """A SentencePiece-style Unigram vocabulary as T5 has it: dummy space first, `</s>` put last,
    no byte fallback."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.Unigram())
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    inner.decoder = decoders.Metaspace(prepend_scheme="always")
    special = ["<pad>", "</s>", "<unk>"]
    inner.train_from_iterator(
        [*SAID, ALPHABET],
        trainers.UnigramTrainer(
            vocab_size=300,
            special_tokens=special,
            unk_token="<unk>",
            initial_alphabet=sorted(set(ALPHABET)),
            show_progress=False,
        ),
    )
    inner.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    )


def llama():
    """A SentencePiece-style BPE as Llama has it: dummy space first, byte fallback, `<s>` put
    first."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{b:02X}>" for b in range(256)),
        "▁",
        "骆",
        "驼",
        "骆驼",
        "a",
        "▁a",
    ]
    merges = [("骆", "驼"), ("▁", "a")]
    inner = Tokenizer(
        models.BPE(
            {p: i for i, p in enumerate(pieces)},
            merges,
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    inner.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    inner.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


@pytest.fixture(scope="module")
def kinds(tiny):
    """One tokenizer of every kind, and whether any text at all comes back from it."""
    return {
        "bytes": (tiny.tokenizer, True),
        "gpt2": (gpt2_tokenizer(available("gpt2-tokenizer"))[0], True),
        "llama": (llama(), True),
        "unigram": (unigram(), False),
        "wordpiece": (bert(eos_token="[SEP]", do_lower_case=False), False),
    }


chinese = st.text(st.sampled_from(ALPHABET), max_size=12)
turns = st.lists(st.tuples(chinese, chinese), max_size=2)
instruction_row = st.fixed_dictionaries(
    {"instruction": chinese, "input": chinese, "output": chinese, "source": st.just("x")},
    optional={"history": turns},
)


@pytest.mark.parametrize("kind", ["bytes", "gpt2", "llama", "unigram", "wordpiece"])
@pytest.mark.parametrize("encoder_decoder", [False, True])
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(instruction_row, min_size=1, max_size=4))
def test_the_prompt_of_training_is_the_prompt_of_generation(kinds, kind, encoder_decoder, rows):
    """Training and generation prefixes that differ by one token cost the published demo its
    quality; every kind, every template."""
    tokenizer, any_text = kinds[kind]
    good = {
        "instruction": "",
        "input": "",
        "output": "骆驼",
        "source": "x",
    }  # more than half must come back
    rows = [*rows, *[good] * len(rows)]
    encoded = encode(rows, tokenizer, 2000, encoder_decoder=encoder_decoder)
    assert len(encoded.rows) + sum(encoded.dropped.values()) == len(rows)
    assert set(encoded.dropped) <= {"no supervised token"} or not any_text
    for row, number in zip(encoded.rows, encoded.kept, strict=True):
        asked = prompt_ids(tokenizer, [prompt_of(tokenizer, rows[number])], encoder_decoder)[0]
        size = 0 if encoder_decoder else len(asked)
        assert row["input_ids"][: len(asked)] == asked
        assert row["labels"][:size] == [IGNORED] * size
        assert encoder_decoder == (asked[-1] == tokenizer.eos_token_id)
        assert encoder_decoder or row["input_ids"][size:] == row["labels"][size:]
        *answer, end = row["labels"][size:]
        assert end == tokenizer.eos_token_id
        assert end not in answer
        assert text_of(tokenizer, answer) == rows[number]["output"]


def test_only_start_tokens_are_put_before_a_prompt(kinds):
    """BERT's `[CLS] … [SEP]` frame ended every prompt of the published recipe; Llama without its
    `<s>` is not the Llama it was."""
    starts = {
        kind: tokenizer.convert_ids_to_tokens(prompt_ids(tokenizer, ["骆驼"])[0])[0]
        for kind, (tokenizer, _) in kinds.items()
    }
    assert starts["llama"] == "<s>"
    assert starts["wordpiece"] == "骆"
    assert starts["unigram"].startswith("▁")
    assert kinds["wordpiece"][0].sep_token_id not in prompt_ids(kinds["wordpiece"][0], ["骆驼"])[0]
    plain = kinds["bytes"][0]("骆驼\n", add_special_tokens=False)["input_ids"]
    assert prompt_ids(kinds["bytes"][0], ["骆驼\n", ""]) == [plain, []]


def test_an_end_token_in_the_text_is_text(kinds):
    """Somebody's "<|endoftext|>" inside an answer ended it there, in training and on the screen."""
    for kind, end in (("bytes", "<|endoftext|>"), ("llama", "</s>"), ("gpt2", "<|endoftext|>")):
        tokenizer = kinds[kind][0]
        row = encode(
            [{"instruction": end, "input": "", "output": f"a{end}1", "source": "x"}],
            tokenizer,
            2000,
        ).rows[0]
        assert row["input_ids"].count(tokenizer.eos_token_id) == 1
        assert row["input_ids"][-1] == tokenizer.eos_token_id


def test_long_and_empty_rows_are_left_out_and_counted(tiny):
    """Prompts that fill the context leave no supervised token, and the loss is NaN."""
    row = {"instruction": "写", "input": "", "output": "好", "source": "x"}
    encoded = encode(
        [row, {**row, "output": ""}, {**row, "output": "长" * 600}], tiny.tokenizer, 512
    )
    assert encoded.kept == [0]
    assert encoded.dropped == {"no supervised token": 1, "over 512 tokens": 1}
    assert encoded.supervised == 2
    assert encode([], tiny.tokenizer).rows == []
    assert gc.isenabled()
    with pytest.raises(
        ValueError, match="too_long is 'cut'; expected one of drop, cut_input, error"
    ):
        encode([row], tiny.tokenizer, too_long="cut")
    with pytest.raises(ValueError, match="row 1 has [0-9]+ tokens, max_length is 512"):
        encode([row, {**row, "output": "长" * 600}], tiny.tokenizer, 512, too_long="error")
    with pytest.raises(ValueError, match="row 1 has messages; expected instruction"):
        encode([row, {"messages": []}], tiny.tokenizer)


@pytest.mark.parametrize("kind", ["bytes", "gpt2", "llama", "unigram", "wordpiece"])
@pytest.mark.parametrize("encoder_decoder", [False, True])
def test_a_cut_input_leaves_answer_and_template_whole(kinds, kind, encoder_decoder):
    """Cutting ids from the end cut the answer or the template's tail, and cutting bytes left
    half a character in the prompt."""
    tokenizer = kinds[kind][0]
    row = {"instruction": "走", "input": "骆驼 a1，😀里" * 30, "output": "日出", "source": "x"}
    answer = len(tokenizer("日出", add_special_tokens=False)["input_ids"]) + 1

    def asked_with(text):
        prompt = prompt_of(tokenizer, {**row, "input": text})
        return prompt_ids(tokenizer, [prompt], encoder_decoder)[0]

    least = len(asked_with("骆")) + 12
    for limit in range(least, least + 9):
        encoded = encode(
            [row],
            tokenizer,
            limit,
            encoder_decoder=encoder_decoder,
            too_long="cut_input",
            lossy="keep",
        )
        ids = encoded.rows[0]["input_ids"]
        asked = ids if encoder_decoder else ids[: encoded.rows[0]["labels"].count(IGNORED)]
        wanted = [asked_with(row["input"][:n]) for n in range(1, 60)]
        assert encoded.cut == 1
        assert asked in wanted
        assert limit - 8 < len(ids) <= limit
        assert encoded.supervised == answer
    tight = len(asked_with("")) - 1 + (0 if encoder_decoder else answer)
    short = encode(
        [row, {**row, "input": ""}],
        tokenizer,
        tight,
        encoder_decoder=encoder_decoder,
        too_long="cut_input",
        lossy="keep",
    )
    assert short.rows == []
    assert short.dropped == {f"over {tight} tokens": 2}


def test_a_lossy_vocabulary_is_refused_with_the_reason(kinds):
    """A BertTokenizer swallowed newlines, and JSON came back with spaces between its characters."""
    row = {"instruction": "写", "input": "", "output": "骆驼", "source": "x"}
    wordpiece, sentencepiece = kinds["wordpiece"][0], kinds["unigram"][0]
    for tokenizer, output, why in (
        (wordpiece, "骆\n驼", "line breaks are lost"),
        (wordpiece, "骆龘", r"unknown characters \(龘\) come back as \[UNK\]"),
        (bert(eos_token="[SEP]", do_lower_case=True), "骆驼A", "capital letters become small ones"),
        (wordpiece, "骆 驼", "spaces are lost"),
        (sentencepiece, "龘", r"unknown characters \(龘\)"),
    ):
        with pytest.raises(ValueError, match=f"loses text: 1 of 1 .*{why}"):
            encode([{**row, "output": output}], tokenizer)
        encoded = encode([row, row, {**row, "output": output}], tokenizer)
        assert encoded.kept == [0, 1]
        assert encoded.dropped == {"loses text": 1}
        assert sum(encoded.lost.values()) == 1
        assert len(encode([{**row, "output": output}], tokenizer, lossy="keep").rows) == 1
    with pytest.raises(ValueError, match=r"cannot write JSON answers, unknown characters \({"):
        refuse_lossy(type(wordpiece)(vocab={"[UNK]": 0, "[SEP]": 1, "骆": 2}), ["骆"])


def test_what_is_lost_is_said_in_both_languages(tiny, kinds):
    """The notebook cut the reason out of an English error text, and a learner read no Chinese."""
    wordpiece = kinds["wordpiece"][0]
    assert what_is_lost(wordpiece, "骆\n驼") == "丢了换行 line breaks are lost"
    assert what_is_lost(wordpiece, "骆龘").startswith("有字不认识 unknown characters (龘)")
    assert what_is_lost(tiny.tokenizer, "骆\n驼龘") == ""
    lossy = bert(eos_token="[SEP]", do_lower_case=True)
    for text in ("骆驼A", "骆 驼", "骆驼，Ａ", "骆 驼\nA龘"):
        assert what_is_lost(lossy, text)


def test_no_row_escapes_the_check(tiny, kinds):
    """Only the first rows were looked at once: a character lost in row 9,000 became training
    data."""
    row = {"instruction": "写", "input": "", "output": "骆驼", "source": "x"}
    rows = [{**row, "output": "骆龘"} if number in (301, 701) else row for number in range(900)]
    assert (
        encode(rows, kinds["wordpiece"][0]).dropped
        == {"loses text": 2}
        == encode(rows, kinds["unigram"][0]).dropped
    )
    assert encode(rows, tiny.tokenizer).dropped == {}


def test_bert_needs_an_end_token_and_gets_no_none():
    """A BertTokenizer has no eos: the published recipe's targets ended in the text "None", and
    `[SEP]` masked the first answer token."""
    row = {"instruction": "写", "input": "", "output": "骆驼", "source": "x"}
    with pytest.raises(
        ValueError, match=r"no end token.*tokenizer\.eos_token = tokenizer\.sep_token"
    ):
        encode([row], bert())
    tokenizer = bert(eos_token="[SEP]", do_lower_case=False)
    ids = encode([row], tokenizer).rows[0]
    assert [
        label for label in ids["labels"] if label != IGNORED
    ] == tokenizer.convert_tokens_to_ids(["骆", "驼", "[SEP]"])


def test_wordpieces_become_text_without_spaces(kinds):
    """`tokenizer.decode` writes `{ " 李 白 " }`; the last of these two words keeps its space,
    and no dummy space comes back."""
    wordpiece = kinds["wordpiece"][0]
    for text in ('{"李":["白"]}', "ab abc b", "李abc白", "a1，b"):
        assert text_of(wordpiece, wordpiece(text)["input_ids"]) == text
    for kind, spaced in (
        ("unigram", "骆驼"),
        ("llama", " 骆驼"),
    ):  # Metaspace keeps one space of two, which the check of every row sees
        tokenizer = kinds[kind][0]
        assert [text_of(tokenizer, tokenizer(text)["input_ids"]) for text in ("骆驼", " 骆驼")] == [
            "骆驼",
            spaced,
        ]


sizes = st.lists(st.integers(1, 16), min_size=1, max_size=40)


@given(sizes, st.integers(16, 24))
def test_packing_keeps_every_row_whole(lengths, length):
    """A row that is cut, lost or doubled by packing."""
    rows = [{"input_ids": [i] * n, "labels": [i] * n} for i, n in enumerate(lengths)]
    packed = pack(rows, length)
    assert packed == pack(rows, length)
    assert all(len(s["input_ids"]) <= length for s in packed)
    found = []
    for s in packed:
        starts = [i for i, p in enumerate(s["position_ids"]) if p == 0]
        for a, b in zip(starts, [*starts[1:], len(s["input_ids"])], strict=True):
            assert s["position_ids"][a:b] == list(range(b - a))
            assert s["labels"][a] == IGNORED
            assert len(set(s["input_ids"][a:b])) == 1
            assert s["labels"][a + 1 : b] == s["input_ids"][a + 1 : b]
            found.append((s["input_ids"][a], b - a))
    assert sorted(found) == list(enumerate(lengths))
    assert packing_efficiency(packed, length) >= packing_efficiency(rows, length) - 1e-9


@given(sizes, st.integers(1, 8), st.integers(0, 99))
def test_rows_of_one_length_share_a_batch(lengths, batch_size, seed):
    """An order that loses a row, or that puts a short batch before others and shifts them all."""
    order = by_length(np.array(lengths), batch_size, seed).tolist()
    assert sorted(order) == list(range(len(lengths)))
    assert order == by_length(np.array(lengths), batch_size, seed).tolist()
    starts = range(0, len(order), batch_size)
    batches = [sorted(lengths[i] for i in order[a : a + batch_size]) for a in starts]
    assert all(len(batch) == batch_size for batch in batches[:-1])
    # Within one window whole batches are cut from the sorted rows, and never overlap.
    whole = sorted(batch for batch in batches if len(batch) == batch_size)
    assert all(one[-1] <= next_[0] for one, next_ in zip(whole, whole[1:], strict=False))


def test_batches_of_long_and_short_rows_are_shuffled():
    """transformers' sampler goes from the longest rows to the shortest, window after window."""
    lengths = list(range(400))
    order = by_length(np.array(lengths), 4, 1)
    firsts = [lengths[order[i]] for i in range(0, 400, 4)]
    assert firsts != sorted(firsts)
    assert firsts != sorted(firsts, reverse=True)


@pytest.mark.parametrize("family", ["tiny", "gpt2"])
def test_padding_is_never_seen(tiny, family):
    """Positions that go on through the padding spare the mask: attention only looks back."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    rows = [{"input_ids": list(range(5, 5 + n)), "labels": list(range(5, 5 + n))} for n in (3, 9)]
    batch = collate(rows, tiny.tokenizer.pad_token_id)
    assert batch["position_ids"].tolist() == [list(range(9))] * 2
    torch.manual_seed(0)
    model = tiny.model
    if family == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2)).eval()
    with torch.inference_mode():
        kept = model(**{k: batch[k] for k in ("input_ids", "position_ids")}, use_cache=False).logits
        alone = model(torch.tensor([rows[0]["input_ids"]]), use_cache=False).logits
    assert (kept[0, :3] - alone[0]).abs().max() < 1e-4


@given(sizes, st.integers(16, 24), st.integers(2, 12))
def test_a_stream_packs_the_same_rows(lengths, length, window):
    """A window that forgets what it could not place, or holds more than it may."""
    rows = [{"input_ids": [i] * n, "labels": [i] * n} for i, n in enumerate(lengths)]
    taken, given_back = 0, 0

    def source():
        nonlocal taken
        for row in rows:
            taken += 1
            yield row

    found = []
    for sequence in pack_stream(source(), length, window):
        starts = sequence["position_ids"].count(0)
        given_back += starts
        assert taken - given_back < window + starts
        assert len(sequence["input_ids"]) <= length
        found += sequence["input_ids"]
    assert sorted(found) == sorted(i for row in rows for i in row["input_ids"])
    assert list(pack_stream(rows, length, window)) == list(pack_stream(rows, length, window))
    assert list(pack_stream(rows, length, len(rows) + 1)) == pack(rows, length)


def test_a_stream_fills_nearly_as_well():
    """A short window that gives away half-empty sequences wastes a tenth of every step."""
    from random import Random

    dice = Random(1)
    rows = [
        {"input_ids": [1] * n, "labels": [1] * n}
        for n in (min(1024, int(dice.lognormvariate(4.8, 0.7)) + 20) for _ in range(6000))
    ]
    assert packing_efficiency(pack_stream(rows, 1024, 1000), 1024) > 0.99
    assert packing_efficiency(pack(rows, 1024), 1024) > 0.99


def test_packing_refuses_a_row_that_does_not_fit():
    """It was once cut in silence."""
    with pytest.raises(ValueError, match="row 1 has 9 tokens, more than the packed length 8"):
        pack([{"input_ids": [1], "labels": [1]}, {"input_ids": [1] * 9, "labels": [1] * 9}], 8)


@pytest.mark.parametrize("family", ["tiny", "gpt2", "llama"])
def test_packed_rows_do_not_see_each_other(tiny, family):
    """With use_cache=True, the model's default, packed rows leak into each other by 0.26."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    rows = encode(
        [
            {"instruction": "数", "input": "", "output": "一二三四", "source": "x"},
            {"instruction": "写", "input": "山", "output": "高", "source": "x"},
        ],
        tiny.tokenizer,
    ).rows
    batch = collate(pack(rows, 256), tiny.tokenizer.pad_token_id)
    model, size = tiny.model, len(tiny.tokenizer)
    torch.manual_seed(0)
    if family == "gpt2":
        config = GPT2Config(vocab_size=size, n_embd=64, n_layer=3, n_head=4)
        model = GPT2LMHeadModel(config).eval()
    if family == "llama":
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=size,
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=2,
            )
        ).eval()
    with torch.inference_mode():
        together = model(
            batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
        ).logits[0]
        apart = [
            model(torch.tensor([r["input_ids"]]), use_cache=False).logits[0]
            for r in sorted(rows, key=lambda r: -len(r["input_ids"]))
        ]
    assert len(batch["input_ids"]) == 1
    assert together.abs().max() > 0.5
    assert (together - torch.cat(apart)).abs().max() < 1e-6 * max(
        10, together.abs().max()
    )  # 1e-5, rounding above logits of 10


def test_padding_never_carries_a_label():
    """Padding that is supervised teaches a student to write padding."""
    batch = collate([{"input_ids": [5, 6], "labels": [5, 6]}, {"input_ids": [7], "labels": [7]}], 9)
    assert batch["input_ids"].tolist() == [[5, 6], [7, 9]]
    assert batch["labels"].tolist() == [[5, 6], [7, IGNORED]]
    assert batch["position_ids"].tolist() == [[0, 1], [0, 1]]


def test_an_encoder_decoders_batch_has_a_mask_and_labels_of_their_own_length():
    """An encoder attends to padding where nobody tells it not to, and labels padded with a real
    id are learned."""
    batch = collate(
        [{"input_ids": [5, 6, 1], "labels": [7, 1]}, {"input_ids": [5, 1], "labels": [7, 8, 9, 1]}],
        0,
        encoder_decoder=True,
    )
    assert batch["input_ids"].tolist() == [[5, 6, 1], [5, 1, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[7, 1, IGNORED, IGNORED], [7, 8, 9, 1]]
    assert set(batch) == {
        "input_ids",
        "attention_mask",
        "labels",
    }
    with pytest.raises(ValueError, match="only a decoder's rows can be packed"):
        pack([{"input_ids": [5, 1], "labels": [7]}], 8)


ROWS = [
    {
        "instruction": f"数到 {n}",
        "input": "",
        "output": "".join(map(str, range(n))) or "",
        "source": "x",
    }
    for n in range(12)
]


def test_equal_content_is_read_again_and_one_character_misses(tiny, tmp_path, monkeypatch):
    """A cache keyed by names or times gives yesterday's rows to today's template."""
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    first, report = encoded_dataset(ROWS, tiny.tokenizer, 128, cache=tmp_path / "c")
    again, read = encoded_dataset(
        [tmp_path / "rows.jsonl"], tiny.tokenizer, 128, cache=tmp_path / "c"
    )
    encoded = encode(ROWS, tiny.tokenizer, 128)
    assert not report["from_cache"]
    assert read == report | {"from_cache": True}
    assert first.to_list() == again.to_list() == encoded.rows
    assert read["dropped"] == encoded.dropped == {"no supervised token": 1}
    assert read["supervised"] == encoded.supervised
    assert read["rows"] == 12
    tiny.tokenizer(
        "骆" * 9, padding="max_length", max_length=4, truncation=True
    )  # leaves its mark in the backend, not in the key
    assert encoded_dataset(ROWS, tiny.tokenizer, 128, cache=tmp_path / "c")[1]["from_cache"]
    changed = [*ROWS[:-1], {**ROWS[-1], "history": [["在", "在。"]]}]
    misses = [
        encoded_dataset(changed, tiny.tokenizer, 128),
        encoded_dataset(ROWS, tiny.tokenizer, 127),
        encoded_dataset(ROWS, gpt2_tokenizer(available("gpt2-tokenizer"))[0], 128),
        encoded_dataset(ROWS, tiny.tokenizer, 128, too_long="cut_input"),
        encoded_dataset(ROWS, tiny.tokenizer, 128, packed=128),
        encoded_dataset(ROWS, tiny.tokenizer, 128, encoder_decoder=True),
    ]
    monkeypatch.setattr("miniluotuo_utils.prompts.WITHOUT_INPUT", "另一套模板。\n\n")
    other = copy.deepcopy(tiny.tokenizer)
    other.chat_template = "{% for m in messages %}问：{{ m['content'] }}\n{% endfor %}答："
    misses.append(encoded_dataset(ROWS, other, 128))
    misses.append(encoded_dataset(ROWS, gpt2_tokenizer(available("gpt2-tokenizer"))[0], 128))
    keys = [report["key"], *(found[1]["key"] for found in misses)]
    assert len(set(keys)) == len(keys)
    assert [p.name for p in (tmp_path / "c").iterdir()] == [report["key"]]


def test_of_two_writers_of_one_entry_the_first_wins(tiny, tmp_path):
    """Several processes of one training encode the same rows at once, and the second rename fell
    over the first one's folder."""
    dataset, report = encoded_dataset(ROWS, tiny.tokenizer, 128, cache=tmp_path)
    write_entry(tmp_path / report["key"], [], None, {"rows": 0})
    again, read = encoded_dataset(ROWS, tiny.tokenizer, 128, cache=tmp_path)
    assert again.to_list() == dataset.to_list()
    assert read["rows"] == 12
    assert len(list(tmp_path.iterdir())) == 1


def test_a_write_that_fails_leaves_no_entry(tiny, tmp_path):
    """Half an entry that the next run takes for whole."""
    with pytest.raises(ValueError, match="row 11 has"):
        encoded_dataset(
            [*ROWS[:11], {**ROWS[1], "output": "长" * 200}],
            tiny.tokenizer,
            128,
            too_long="error",
            cache=tmp_path,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("packed", [None, 256])
def test_processes_change_nothing_but_the_time(tiny, monkeypatch, packed):
    """Workers that answer out of order shuffle the rows."""
    monkeypatch.setattr("miniluotuo_utils.tokens.dataset.CHUNK", 5)
    one, two = (
        encoded_dataset(ROWS, tiny.tokenizer, 128, packed=packed, processes=n) for n in (1, 2)
    )
    assert one[0].to_list() == two[0].to_list()
    assert one[1] == two[1]
    assert json.dumps(one[1])
    assert one[0].column_names == ["input_ids", "labels", *(["position_ids"] if packed else [])]
    assert not packed or one[0].to_list() == pack(encode(ROWS, tiny.tokenizer, 128).rows, 256)
    assert len(encoded_dataset([], tiny.tokenizer, 128)[0]) == 0


def test_chinese_is_dear_in_gpt2s_vocabulary(mirror):
    """The real file, read from the mirror: 50,257 entries, over two tokens per Chinese
    character."""
    gpt2, real = gpt2_tokenizer(available("gpt2-tokenizer"))
    assert real
    assert len(gpt2) == 50_257
    cost = tokens_per_character(gpt2, ["詹天佑主持修建京张铁路，火车从北京开往张家口。"])
    learned = byte_level_bpe(["火车开往北京，火车开往张家口。"] * 50, 400)
    assert 2 < cost < 3
    assert learned.get_vocab_size() <= 400


def test_without_the_file_a_miniature_stands_in(monkeypatch, tmp_path):
    """Notebook 00 must run where neither mirror nor cache has GPT-2's file."""
    monkeypatch.setenv("MINILUOTUO_MIRROR", "")
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path))
    gpt2, real = gpt2_tokenizer(available("gpt2-tokenizer"))
    assert not real
    assert gpt2.decode(gpt2("鸡蛋")["input_ids"]) == "鸡蛋"
    assert len(gpt2("鸡蛋")["input_ids"]) == 6


def test_columns_are_the_same_mapped_selected_and_in_memory(tiny, tmp_path):
    """A file is read beside its mapping: rows that were selected from it must not be its first."""
    from_disk, _ = encoded_dataset(ROWS, tiny.tokenizer, 128, cache=tmp_path / "c")
    backwards = list(range(len(from_disk)))[::-1]
    first, renamed = from_disk.select(range(3)), from_disk.rename_column("labels", "x")
    renamed = renamed.rename_column("x", "labels")
    for rows in (from_disk, from_disk.select(backwards), first, first.select([2, 0]), renamed):
        listed = as_dataset(rows.to_list())
        assert sizes_of(rows).tolist() == [len(row["input_ids"]) for row in rows]
        assert digest_of(rows) == digest_of(listed)
        assert has_labels(rows)
    assert digest_of(from_disk) != digest_of(from_disk.select(backwards))
    assert not has_labels(as_dataset([{"input_ids": [5], "labels": [IGNORED]}]))
    assert not len(as_dataset([]))
