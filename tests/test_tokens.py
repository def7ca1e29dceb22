"""Tokens: the mask covers the prompt and nothing else, packing loses nothing and leaks nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils.prompts import row_prompt
from miniluotuo_utils.tokens import IGNORED, byte_level_bpe, collate, encode, fill, gpt2_tokenizer, pack, tokens_per_character

chinese = st.text(st.sampled_from("骆驼在沙漠里走，日出 \n{}[]\":a1龘😀"), max_size=12)
instruction_row = st.fixed_dictionaries({"instruction": chinese, "input": chinese, "output": chinese, "source": st.just("x")})


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(instruction_row, min_size=1, max_size=4))
def test_the_mask_is_the_prompt_and_the_rest_comes_back(tiny, rows):
    """Training and generation prefixes that differ by one token cost the published demo its quality."""
    encoded = encode(rows, tiny.tokenizer)
    assert len(encoded.rows) + sum(encoded.dropped.values()) == len(rows)
    for row, number in zip(encoded.rows, encoded.kept, strict=True):
        prefix = tiny.tokenizer(row_prompt(rows[number]), add_special_tokens=False)["input_ids"]
        assert row["input_ids"][: len(prefix)] == prefix and row["labels"][: len(prefix)] == [IGNORED] * len(prefix)
        answer = row["labels"][len(prefix) :]
        assert answer == row["input_ids"][len(prefix) :] and answer[-1] == tiny.tokenizer.eos_token_id
        assert tiny.tokenizer.decode(answer[:-1]) == rows[number]["output"]


def test_long_and_empty_rows_are_left_out_and_counted(tiny):
    """Prompts that fill the context leave no supervised token, and the loss is NaN."""
    row = {"instruction": "写", "input": "", "output": "好", "source": "x"}
    encoded = encode([row, {**row, "output": ""}, {**row, "output": "长" * 600}], tiny.tokenizer, 512)
    assert encoded.kept == [0] and encoded.dropped == {"no supervised token": 1, "over 512 tokens": 1} and encoded.supervised == 2
    assert encode([], tiny.tokenizer).rows == []


def test_a_lossy_vocabulary_is_refused():
    """A BertTokenizer swallowed newlines, and JSON came back with spaces between its characters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordPiece({"[UNK]": 0, "[SEP]": 1, "好": 2}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    lossy = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", eos_token="[SEP]")
    row = {"instruction": "写", "input": "", "output": "好\n好", "source": "x"}
    with pytest.raises(ValueError, match="loses text"):
        encode([row], lossy)
    with pytest.raises(ValueError, match="no end token"):
        encode([row], PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]"))


sizes = st.lists(st.integers(1, 16), min_size=1, max_size=40)


@given(sizes, st.integers(16, 24))
def test_packing_keeps_every_row_whole(lengths, length):
    """A row that is cut, lost or doubled by packing."""
    rows = [{"input_ids": [i] * n, "labels": [i] * n} for i, n in enumerate(lengths)]
    packed = pack(rows, length)
    assert packed == pack(rows, length) and all(len(s["input_ids"]) <= length for s in packed)
    found = []
    for s in packed:
        starts = [i for i, p in enumerate(s["position_ids"]) if p == 0]
        for a, b in zip(starts, [*starts[1:], len(s["input_ids"])], strict=True):
            assert s["position_ids"][a:b] == list(range(b - a)) and s["labels"][a] == IGNORED
            assert len(set(s["input_ids"][a:b])) == 1 and s["labels"][a + 1 : b] == s["input_ids"][a + 1 : b]
            found.append((s["input_ids"][a], b - a))
    assert sorted(found) == list(enumerate(lengths)) and fill(packed, length) >= fill(rows, length) - 1e-9


def test_packing_refuses_a_row_that_does_not_fit():
    """It was once cut in silence."""
    with pytest.raises(ValueError, match="row 1 has 9 tokens, more than the packed length 8"):
        pack([{"input_ids": [1], "labels": [1]}, {"input_ids": [1] * 9, "labels": [1] * 9}], 8)


def test_packed_rows_do_not_see_each_other(tiny):
    """With use_cache=True, the model's default, packed rows leak into each other by 0.26."""
    import torch

    rows = encode([{"instruction": "数", "input": "", "output": "一二三四", "source": "x"},
                   {"instruction": "写", "input": "山", "output": "高", "source": "x"}], tiny.tokenizer).rows  # fmt: skip
    batch = collate(pack(rows, 256), tiny.tokenizer.pad_token_id)
    model = tiny.model.float()
    with torch.inference_mode():
        together = model(batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits[0]
        apart = [model(torch.tensor([r["input_ids"]]), use_cache=False).logits[0] for r in sorted(rows, key=lambda r: -len(r["input_ids"]))]
    assert (together - torch.cat(apart)).abs().max() < 1e-4
    assert batch["labels"].shape == batch["input_ids"].shape


def test_padding_never_carries_a_label():
    """Padding that is supervised teaches a student to write padding."""
    batch = collate([{"input_ids": [5, 6], "labels": [5, 6]}, {"input_ids": [7], "labels": [7]}], 9)
    assert batch["input_ids"].tolist() == [[5, 6], [7, 9]] and batch["labels"].tolist() == [[5, 6], [7, IGNORED]]
    assert batch["position_ids"].tolist() == [[0, 1], [0, 0]]


def test_chinese_is_dear_in_gpt2s_vocabulary(mirror):
    """The real file, read from the mirror: 50,257 entries, over two tokens per Chinese character."""
    gpt2, real = gpt2_tokenizer()
    assert real and len(gpt2) == 50_257
    cost = tokens_per_character(gpt2, ["詹天佑主持修建京张铁路，火车从北京开往张家口。"])
    learned = byte_level_bpe(["火车开往北京，火车开往张家口。"] * 50, 400)
    assert 2 < cost < 3 and learned.get_vocab_size() <= 400


def test_without_the_file_a_miniature_stands_in(monkeypatch, tmp_path):
    """Notebook 00 must run where neither mirror nor cache has GPT-2's file."""
    monkeypatch.setenv("MINILUOTUO_MIRROR", "")
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path))
    gpt2, real = gpt2_tokenizer()
    assert not real and gpt2.decode(gpt2("鸡蛋")["input_ids"]) == "鸡蛋" and len(gpt2("鸡蛋")["input_ids"]) == 6
