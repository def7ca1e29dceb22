"""Build the tiny student's tokenizer: one token per Chinese character, whole words for the English
prompt, bytes for the rest.

    python scripts/tiny_tokenizer.py OUT     (called by scripts/pretrain_tiny.py)

Every text comes back character by character, because a character outside the vocabulary becomes its
UTF-8 bytes.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from miniluotuo_utils.prompts import WITH_INPUT, WITHOUT_INPUT, prompt

SPECIAL = ["<|endoftext|>", "<|pad|>"]
BYTES = [f"<0x{b:02X}>" for b in range(256)]
# an English word with its space, a run of #, or one character
WORDS = r" ?[A-Za-z]+| ?[^\S\n]|#+|[\s\S]"
SIZE = 4864


def common_characters() -> list[str]:
    """The 3,755 characters of GB 2312 level 1, ASCII, and the punctuation of Chinese text."""
    hanzi = [
        bytes([0xB0 + r, 0xA1 + c]).decode("gb2312", "ignore") for r in range(40) for c in range(94)
    ]
    ascii_ = [chr(c) for c in range(32, 127)] + ["\n"]
    return (
        [c for c in hanzi if c] + ascii_ + list("，。！？；：、“”‘’（）《》【】「」…—·～％＋－＝／")
    )


def english_merges() -> tuple[list[str], list[tuple[str, str]]]:
    """Tokens and merges that make each word of the Alpaca wrapper one token."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS), "isolated")
    texts = [WITH_INPUT, WITHOUT_INPUT, prompt("a", "b"), '"trigger" "arguments"'] * 20
    learner.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=2000, min_frequency=20, show_progress=False)
    )
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    return list(learner.get_vocab()), merges


def build(texts: list[str]) -> PreTrainedTokenizerFast:
    """The tokenizer; `texts` decide which rarer characters fill the vocabulary up to `SIZE`."""
    pieces, merges = english_merges()
    tokens = dict.fromkeys([*SPECIAL, *BYTES, *common_characters(), *sorted(pieces)])
    for character, _ in Counter("".join(texts)).most_common():
        if len(tokens) == SIZE:
            break
        tokens.setdefault(character)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS), "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=SPECIAL[0],
        pad_token=SPECIAL[1],
        clean_up_tokenization_spaces=False,
        model_max_length=512,
        padding_side="left",
    )


if __name__ == "__main__":
    build([]).save_pretrained(Path(sys.argv[1]))
