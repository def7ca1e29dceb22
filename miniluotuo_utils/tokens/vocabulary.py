"""Turn text into ids and ids into text, and say which vocabulary cannot give a text back.

In: texts or ids, and a tokenizer. Out: ids or texts. Shown in notebook 03. Every id of this project
that becomes text goes through `text_of`, every prompt through `prompt_ids`: training, generation
and the round-trip check see the same thing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import chain
from os.path import commonprefix
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from miniluotuo_utils.prompts import WITH_INPUT, WITHOUT_INPUT, Prompt, has_own_template

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

# What the stand-in of GPT-2's vocabulary learns from: English, and not to be edited, since every
# number of tokens that is counted with it would change.
ENGLISH = f"""{WITH_INPUT}{WITHOUT_INPUT}\
Vocabularies: how text becomes ids and ids become text, \
and which vocabulary cannot give the text back.

Every id of this project that becomes text goes through `text_of`, every prompt through \
`prompt_ids`: training, generation and the
round-trip check see the same thing.
"""
JSON_FRAME = '{"":["",""],"":[]}'  # what every extraction answer consists of besides its words
SAMPLE = 256  # answers on which a vocabulary is judged as a whole
# How special tokens are read is set on the tokenizer, which a server's threads share.
ONE_AT_A_TIME = Lock()
CONTINUES = "##"  # a WordPiece that goes on with the word before it
# A kind of loss -> its Chinese; the keys are those of `faults`.
LOST = {
    "unknown characters": "有字不认识",
    "line breaks": "丢了换行",
    "capital letters": "大写变小写",
    "folded characters": "字被换成了别的写法",
    "spaces": "空格多了或少了",
    "other": "变了样",
}


def kind_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the model behind a vocabulary: `BPE`, `WordPiece`, `Unigram` or `WordLevel`.

    `slow` stands for a tokenizer that is not built on the library tokenizers.
    """
    inner = getattr(tokenizer, "backend_tokenizer", None)
    return type(inner.model).__name__ if inner is not None else "slow"


def name_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return what messages call a tokenizer: its hub id, or the last part of its folder."""
    name = tokenizer.name_or_path or "this tokenizer"
    return Path(name).name if Path(name).is_absolute() else name


def tokenised(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], special: bool = False
) -> list[list[int]]:
    """Return the ids of each text alone; nothing is put before or after it.

    What looks like a special token stays text, unless a template wrote it (`special`).
    """
    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is None:
        return tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    with ONE_AT_A_TIME:
        inner.no_truncation()
        inner.no_padding()
        # "<|endoftext|>" in somebody's text is text, not the end.
        inner.encode_special_tokens = not special
        found = inner.encode_batch_fast(list(texts), add_special_tokens=False)
    return [one.ids for one in found]


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], encoder_decoder: bool = False
) -> list[list[int]]:
    """Return THE ids that a student sees before its answer, one list per prompt.

    They are the same in training and in generation. What `prompt_of` made has the ids that
    `apply_chat_template` gives it, and what looks like a special token in a row's text stays text.
    A text of one's own is taken as it stands: for a tokenizer with a chat template of its own its
    special tokens are special tokens, for any other they are text. A decoder's text gets the
    start tokens that the vocabulary puts first (Llama's `<s>`, GLM's `[gMASK]<sop>`) where it does
    not begin with them, never BERT's `[CLS] … [SEP]` frame. An encoder's prompt ends with the end
    token, as T5 was trained (https://arxiv.org/abs/1910.10683).
    """
    own = has_own_template(tokenizer)
    if encoder_decoder and not own:
        # Start tokens are a decoder's.
        prompts = [text.pieces[-1] if isinstance(text, Prompt) else text for text in prompts]
    if own or any(isinstance(text, Prompt) for text in prompts):
        ids = ids_of_pieces(tokenizer, [pieces_of(text, own) for text in prompts])
    else:
        ids = tokenised(tokenizer, prompts)
    if encoder_decoder:
        return [[*row, tokenizer.eos_token_id] for row in ids]

    start = start_ids(tokenizer)
    return [
        row if isinstance(text, Prompt) or (own and row[: len(start)] == start) else start + row
        for text, row in zip(prompts, ids, strict=True)
    ]


def pieces_of(text: str, own: bool) -> Sequence[str]:
    """Return a prompt as pieces that are a template's and plain text by turns."""
    if isinstance(text, Prompt):
        return text.pieces
    return (text,) if own else ("", text)


def ids_of_pieces(
    tokenizer: PreTrainedTokenizerBase, many: Sequence[Sequence[str]]
) -> list[list[int]]:
    """Return the ids of texts in pieces, each kind of piece tokenised in one go."""
    written = iter(tokenised(tokenizer, [p for row in many for p in row[::2]], special=True))
    plain = iter(tokenised(tokenizer, [p for row in many for p in row[1::2]]))
    rows = []
    for pieces in many:
        parts = (next(plain if place % 2 else written) for place in range(len(pieces)))
        rows.append(list(chain.from_iterable(parts)))
    return rows


def start_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return what a vocabulary itself puts before a text, but for BERT's `[CLS]`."""
    # It shows on one letter.
    framed = tokenizer("a", add_special_tokens=True)["input_ids"]
    alone = tokenised(tokenizer, ["a"])[0]
    first = next((i for i in range(len(framed)) if framed[i : i + len(alone)] == alone), 0)
    return [i for i in framed[:first] if i != tokenizer.cls_token_id]


def text_of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Return THE text of ids, exactly as it was before tokenising.

    There is no clean-up of spaces, no dummy space of SentencePiece, and no space between
    WordPiece's Chinese characters. Special tokens are left out; a caller that stops at the end
    token cuts `ids` there first. Bytes that are no whole character come out as U+FFFD.
    """
    return texts_of(tokenizer, [ids])[0]


def texts_of(tokenizer: PreTrainedTokenizerBase, many: Sequence[Sequence[int]]) -> list[str]:
    """Return `text_of` for many lists of ids at once."""
    kind = kind_of(tokenizer)
    if kind == "slow":
        plain = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        return [tokenizer.decode(list(ids), **plain) for ids in many]
    if kind != "WordPiece":
        lists = [ids if isinstance(ids, list) else list(ids) for ids in many]
        return tokenizer.backend_tokenizer.decode_batch(lists, skip_special_tokens=True)

    # Its own decoder would write a space between any two pieces, and would hide what is unknown.
    hidden = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    texts = []
    for ids in many:
        shown = [i for i in ids if i not in hidden and i < len(tokenizer)]
        texts.append(joined_pieces(tokenizer.convert_ids_to_tokens(shown)))
    return texts


def joined_pieces(pieces: Iterable[str]) -> str:
    """Return WordPieces as text: a space only between two words of Latin letters or digits.

    >>> joined_pieces(["李", "白", "was", "born", "in", "70", "##1", "年", "{", '"'])
    '李白was born in 701年{"'
    """
    text = ""
    for piece in pieces:
        if piece.startswith(CONTINUES) and len(piece) > len(CONTINUES):
            text += piece[len(CONTINUES) :]
        else:
            between_words = is_word(text[-1:]) and is_word(piece[:1])
            text += f" {piece}" if between_words else piece
    return text


def is_word(character: str) -> bool:
    """Return whether a character belongs to a word of Latin letters and digits.

    Such words are written with spaces around them.

    >>> is_word("é"), is_word("7"), is_word("白"), is_word(""), is_word("}")
    (True, True, False, False, False)
    """
    return character.isalnum() and character < "\u0250"  # where Unicode's Latin letters end


def spread(items: Sequence, count: int = SAMPLE) -> list:
    """Return at most `count` items from all over a sequence, in order.

    >>> spread("abcdefgh", 4)
    ['a', 'c', 'e', 'g']
    """
    size = min(count, len(items))
    return [items[i * len(items) // size] for i in range(size)]


def refuse_lossy(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> None:
    """Raise ValueError for a vocabulary that loses more than half of `texts`, or JSON itself.

    The message says what is lost.
    """
    name = name_of(tokenizer)
    advice = (
        "Choose a byte-level or byte-fallback vocabulary, or train on what it can say "
        'with lossy="keep"（换一个字节级的、或者能退回字节的词表）'
    )
    if lost := losses(tokenizer, [JSON_FRAME]):
        raise ValueError(
            f"这个词表会丢字，写不出 JSON：{name} loses text: it cannot write JSON answers, "
            f"{'; '.join(lost[0].values())}. {advice}"
        )

    texts = [text for text in texts if text]
    lost = losses(tokenizer, texts)
    if 2 * len(lost) > len(texts):
        first = min(lost)
        raise ValueError(
            f"这个词表会丢字：{name} loses text: {len(lost)} of {len(texts)} answers looked at "
            f"do not come back, the first ({texts[first][:12]!r}) because "
            f"{'; '.join(lost[first].values())}. {advice}"
        )


def losses(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    ids: Sequence[Sequence[int]] | None = None,
) -> dict[int, dict[str, str]]:
    """Return the numbers of the texts that a vocabulary does not give back exactly.

    Each comes with what is lost (`faults`); `ids` spares tokenising.
    """
    ids = tokenised(tokenizer, texts) if ids is None else ids
    backs = enumerate(zip(texts, texts_of(tokenizer, ids), strict=True))
    return {i: faults(tokenizer, text, back) for i, (text, back) in backs if text != back}


def what_is_lost(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """Return what a vocabulary does not give back of a text, in both languages.

    It is "" where the text comes back exactly.
    """
    found = losses(tokenizer, [text]).get(0, {})
    return "；".join(f"{LOST[kind]} {why}" for kind, why in found.items())


def faults(tokenizer: PreTrainedTokenizerBase, text: str, back: str) -> dict[str, str]:
    """Return why a text comes back as another: kind of loss to an explanation for a reader."""
    found = {}
    if unknown := unknown_characters(tokenizer, text):
        found["unknown characters"] = (
            f"unknown characters ({' '.join(unknown[:5])}) come back as {tokenizer.unk_token}"
        )
    if "\n" in text and "\n" not in back:
        found["line breaks"] = "line breaks are lost"
    if any(c.isupper() for c in text) and not any(c.isupper() for c in back):
        found["capital letters"] = "capital letters become small ones (do_lower_case)"

    # A normaliser writes ， as , and ａ as a: one example is enough.
    folded = [c for c in text if unicodedata.normalize("NFKC", c) != c and c not in back]
    if folded:
        plain = unicodedata.normalize("NFKC", folded[0])
        found["folded characters"] = f"characters are folded ({folded[0]} to {plain!r})"

    # Only where nothing else is wrong can the spaces, or what is left, be the reason.
    if not found and text.replace(" ", "") == back.replace(" ", ""):
        found["spaces"] = "spaces are lost or added"
    if not found:
        at = len(commonprefix([text, back]))
        change = f"{text[at : at + 12]!r} comes back as {back[at : at + 12]!r}"
        found["other"] = f"{change} (character {at})"
    return found


def unknown_characters(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    """Return the characters of a text that the vocabulary can only call unknown."""
    if tokenizer.unk_token_id is None:
        return []
    characters = [c for c in dict.fromkeys(text) if not c.isspace()]
    pairs = zip(characters, tokenised(tokenizer, characters), strict=True)
    return [character for character, ids in pairs if tokenizer.unk_token_id in ids]


def tokens_per_character(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> float:
    """Return the mean number of tokens that one character costs."""
    return sum(map(len, tokenised(tokenizer, texts))) / max(1, sum(map(len, texts)))


def gpt2_tokenizer(file: Path | None = None) -> tuple[PreTrainedTokenizerBase, bool]:
    """Return GPT-2's byte-level BPE from its `tokenizer.json`, and True.

    `data.available("gpt2-tokenizer")` gives the file. Without it, return a stand-in of the same
    build and False: it learns 2,000 merges from English text, so Chinese falls apart into bytes as
    it does in the real one.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer.from_file(str(file)) if file else byte_level_bpe([ENGLISH * 3], 2000)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|endoftext|>", clean_up_tokenization_spaces=False
    )
    return tokenizer, bool(file)


def byte_level_bpe(texts: Iterable[str], size: int) -> Tokenizer:
    """Return a byte-level BPE vocabulary of at most `size` entries learned from `texts`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learned.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learned.train_from_iterator(texts, trainer)
    return learned
