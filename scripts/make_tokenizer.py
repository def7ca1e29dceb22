"""Make the shipped base's tokenizer: characters, a few merges, bytes for the rest.

    python scripts/make_tokenizer.py PARAGRAPHS OUT     (JSON Lines of `scripts/corpus.py`)

In: text. Out: a folder with the tokenizer. It is shaped like Llama's: characters, merges that other
programs find again from the pieces alone, UTF-8 bytes for what has no token. So llama.cpp and
transformers.js, which know few kinds of tokenizers, give the same ids; and no text is lost.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from miniluotuo_utils.data import available, load
from miniluotuo_utils.files import read_jsonl, written_whole
from miniluotuo_utils.ie import build_instructions, schema_of
from miniluotuo_utils.prompts import SHORT_TEMPLATE, SHORT_TOKENS
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.writing import Touched, guard

USER, ASSISTANT, END = SHORT_TOKENS
PAD = "<|pad|>"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SIZE = 6144  # a multiple of 128; what is left after the rest goes to the corpus's characters
WORD_MERGES, SYNTAX_MERGES = 256, 60
EVALUATED = ("cluener", "resume", "duie-sample", "fewfc", "finre")
TASKS = ("NER", "RE", "EE")


def common_characters() -> list[str]:
    """Return ASCII, Chinese punctuation, and the 3,755 characters of GB 2312 level 1."""
    pairs = [bytes([0xB0 + row, 0xA1 + cell]) for row in range(40) for cell in range(94)]
    level_1 = [pair.decode("gb2312", "ignore") for pair in pairs]
    ascii_ = [chr(code) for code in range(32, 127)] + ["\n"]
    return [*ascii_, *"，。！？；：、“”‘’（）《》【】「」…—·～％＋－＝／", *filter(None, level_1)]


def embedded_records(task: str) -> list[dict]:
    """Return the embedded training records of a task."""
    return list(read_jsonl(EMBEDDED / f"{task.lower()}_train.jsonl"))


def evaluated_texts() -> Iterable[str]:
    """Yield the text of the evaluation sets at hand, and of all that is embedded."""
    for path in sorted(EMBEDDED.glob("*.jsonl")):
        yield path.read_text(encoding="utf-8")
    for name in EVALUATED:
        if available(name):
            for rows in load(name, progress=False).values():
                yield from rows["sentence"]


def answer_syntax() -> Iterable[str]:
    """Yield what stands between the names of extraction answers: quotes, brackets, fixed keys.

    >>> re.split(NAMES, '{"人物":["马云","任正非"]}')
    ['{"', '":["', '","', '"]}']
    """
    for task in TASKS:
        records = embedded_records(task)
        for row in build_instructions(records, task, schema_of(records, task), slice_size=None):
            yield from re.split(NAMES, row["output"])


# A name: what stands between quotes, but for the two keys that every event has.
NAMES = r'(?<=")(?!trigger|arguments)[^"{}\[\]:,]+(?=")'


def learned_merges(texts: Iterable[str], split: str, size: int, least: int) -> list[str]:
    """Return the pieces that byte-pair encoding learns from what fits `split` in `texts`."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Split(Regex(split), "removed", invert=True)
    trainer = trainers.BpeTrainer(
        vocab_size=size + 128, min_frequency=least, show_progress=False, limit_alphabet=128
    )
    learner.train_from_iterator(texts, trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    return ["".join(pair) for pair in merges][:size]


def pairs_of(pieces: Iterable[str], known: set[str]) -> list[tuple[str, str]]:
    """Return every way to make each piece of two known ones, in the order of the pieces.

    Programs that are given pieces without merges (llama.cpp) join whatever gives a piece, the first
    piece first: with all ways written down, ours joins the same.

    >>> pairs_of(["th", "the"], {*"the", "he"})
    [('t', 'h'), ('t', 'he'), ('th', 'e')]
    """
    known, pairs = set(known), []
    for piece in pieces:
        known.add(piece)
        cuts = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
        pairs += [(left, right) for left, right in cuts if left in known and right in known]
    return pairs


def make(paragraphs: list[str]) -> PreTrainedTokenizerFast:
    """Return the tokenizer; `paragraphs` decide about English words and rarer characters."""
    syntax = learned_merges(answer_syntax(), r"[^\s\S]|.+", SYNTAX_MERGES, 2)
    words = learned_merges(paragraphs, r"[A-Za-z]{2,}", WORD_MERGES, 20)
    pieces = [*dict.fromkeys([*syntax, *words])]

    # The characters that must be there come first; the corpus's commonest fill what is left.
    needed = {character for text in evaluated_texts() for character in text}
    tokens = dict.fromkeys([END, PAD, USER, ASSISTANT, *BYTES, *common_characters()])
    tokens.update(dict.fromkeys([*sorted(needed), *pieces]))
    counts = Counter(character for text in paragraphs for character in text)
    for character, _ in counts.most_common():
        if len(tokens) >= SIZE:
            break
        tokens.setdefault(character)

    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = pairs_of(pieces, {token for token in tokens if len(token) == 1})
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    special = [
        AddedToken(token, special=True, normalized=False) for token in (END, PAD, USER, ASSISTANT)
    ]
    tokenizer.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=[USER, ASSISTANT],
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
        padding_side="left",
        chat_template=SHORT_TEMPLATE,
    )


def main() -> None:
    """Read the command line, write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paragraphs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=200_000, help="paragraphs to read")
    options = parser.parse_args()
    read, out = Touched("paragraphs", options.paragraphs, "reads"), options.out
    guard([read, Touched("out", out, "folder")])
    rows = islice(read_jsonl(options.paragraphs), options.rows)
    tokenizer = make([row["text"] for row in rows])
    with written_whole(out, overwrite=False) as folder:
        tokenizer.save_pretrained(folder)
    print(f"{len(tokenizer):,} tokens")


if __name__ == "__main__":
    main()
