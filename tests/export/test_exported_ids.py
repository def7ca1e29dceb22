"""The exported vocabulary: llama.cpp gets pieces and scores, no merges, and finds the same ids."""

import json
import re

import pytest
from check_exports import NASTY, cut, nasty_texts
from hypothesis import given
from hypothesis import strategies as st
from make_tokenizer import BYTES, pairs_of
from tokenizers import AddedToken, Tokenizer, decoders, models

from miniluotuo_utils.export.vocabulary import (
    BYTE,
    CONTROL,
    NORMAL,
    USER_DEFINED,
    kind_of,
    scores_of,
    unfit,
)

SPECIAL = ["<|endoftext|>", "<|pad|>", "<|user|>", "<|assistant|>"]
LETTERS = [*' "\n:,[]{}abcehnrt', *"人物地点马云好，。"]
PIECES = ['":', '":[', ',"', '","', '":["', "th", "he", "the", "en", "then", "er", "hen", "at"]


def shaped_like_the_base():
    """A small tokenizer, made as the base's: characters, all ways to make each piece, bytes."""
    vocabulary = {token: at for at, token in enumerate([*SPECIAL, *BYTES, *LETTERS, *PIECES])}
    merges = pairs_of(PIECES, set(LETTERS))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return tokenizer


TOKENIZER = shaped_like_the_base()
WHOLE = json.loads(TOKENIZER.to_str())
IDS = WHOLE["model"]["vocab"]
SCORES = dict(zip(IDS, scores_of(list(IDS), WHOLE["model"]["merges"]), strict=True))
APART = [token for token in IDS if kind_of(token, set(SPECIAL)) in (CONTROL, USER_DEFINED)]


def as_llama_cpp(text: str) -> list[int]:
    """Ids as llama.cpp's SPM tokenizer finds them, from pieces, scores and kinds alone."""
    ids = []
    for part in re.split(f"({'|'.join(map(re.escape, APART))})", text):
        if part in APART:
            ids.append(IDS[part])
        else:
            ids += [i for piece in merged(list(part.replace(" ", "▁"))) for i in ids_of(piece)]
    return ids


def merged(pieces: list[str]) -> list[str]:
    """Join the neighbours that give the best piece, the leftmost first, until none does."""
    while True:
        pairs = [a + b for a, b in zip(pieces, pieces[1:], strict=False)]
        known = [at for at, pair in enumerate(pairs) if pair in IDS]
        if not known:
            return pieces
        at = min(known, key=lambda at: (-SCORES[pairs[at]], at))
        pieces[at : at + 2] = [pairs[at]]


def ids_of(piece: str) -> list[int]:
    """A piece's id, or those of its bytes."""
    return [IDS[piece]] if piece in IDS else [IDS[f"<0x{b:02X}>"] for b in piece.encode("utf-8")]


some_text = st.lists(
    st.one_of(st.sampled_from([*PIECES, *LETTERS, *SPECIAL, "▁", "  "]), st.text(max_size=3)),
    max_size=12,
).map("".join)


@given(some_text)
def test_llama_cpp_finds_the_same_ids(text):
    """A GGUF whose tokenizer split words otherwise answered nonsense, with no error anywhere."""
    assert TOKENIZER.encode(text).ids == as_llama_cpp(text)


@given(some_text)
def test_no_text_is_lost(text):
    """A name with a rare character came back without it, and its span was not found."""
    ids = TOKENIZER.encode(text).ids
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("text", [*NASTY, *nasty_texts(PIECES, 50)])
def test_odd_texts(text):
    """Spaces, "▁", controls and emoji are what byte fallback and llama.cpp's spaces trip over."""
    ids = TOKENIZER.encode(text).ids
    assert ids == as_llama_cpp(text)
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == text


def test_kinds_of_tokens():
    """Byte tokens typed as text are written out as `<0xE4>` by llama.cpp."""
    kinds = [kind_of(token, set(SPECIAL)) for token in IDS]
    assert kinds.count(BYTE) == 256
    assert kinds.count(CONTROL) == len(SPECIAL)
    assert kinds.count(USER_DEFINED) == 1  # the space
    assert kinds.count(NORMAL) == len(IDS) - 256 - len(SPECIAL) - 1


def test_a_tokenizer_that_llama_cpp_cannot_follow_is_refused():
    """The earlier base had a split rule that no GGUF can hold: its file loaded, with other ids."""
    assert unfit(WHOLE) == []
    split = WHOLE | {"pre_tokenizer": {"type": "Split"}}
    assert unfit(split) == ["pre_tokenizer: found Split, expected none"]
    spaced = WHOLE | {"model": WHOLE["model"] | {"vocab": IDS | {"a b": len(IDS)}}}
    assert unfit(spaced) == ["vocabulary: 'a b' holds a space"]
    few = {token: at for token, at in IDS.items() if token != "<0x0A>"}
    short = WHOLE | {"model": WHOLE["model"] | {"vocab": few}}
    assert unfit(short) == ["bytes: 255 of 256 tokens, byte_fallback True"]


def test_an_answer_ends_before_its_end_token():
    """Programs that keep the last token and programs that drop it gave the same answer."""
    assert cut([5, 6, 0], 0) == cut([5, 6], 0) == [5, 6]
