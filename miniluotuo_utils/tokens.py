"""From instruction rows to what the loss sees: token ids, supervised-token mask, packed batches.

In: instruction rows and a tokenizer. Out: rows of ids and labels. Shown in notebook 03.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from miniluotuo_utils.prompts import WITH_INPUT, WITHOUT_INPUT, row_prompt

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

ENGLISH = f"{WITH_INPUT}{WITHOUT_INPUT}{__doc__}"  # what the miniature of GPT-2's vocabulary learns from
IGNORED = -100  # the label that cross-entropy leaves out
SAMPLE = 64  # rows on which a vocabulary must show that it can round-trip the text


@dataclass
class Encoded:
    """`rows`: `{"input_ids", "labels"}`, equally long lists. `kept`: the row numbers they came from. `dropped`: reason → count."""

    rows: list[dict[str, list[int]]]
    kept: list[int]
    dropped: Counter

    @property
    def supervised(self) -> int:
        """How many tokens the loss is computed on."""
        return sum(label != IGNORED for row in self.rows for label in row["labels"])


def encode(rows: Iterable[Mapping], tokenizer: PreTrainedTokenizerBase, max_length: int = 512) -> Encoded:
    """Ids and labels of instruction rows: the prompt masked, the answer and one end token supervised.

    Prompt and answer are tokenised apart and without special tokens, so that the prompt has the same ids as at
    generation time, whatever the answer begins with. A row over `max_length` tokens is left out, not cut: half an answer
    would teach broken JSON. An empty answer leaves nothing to learn and is left out too. Both are counted.

    Raises ValueError for a tokenizer without an end token or one that cannot give the rows' text back.
    """
    rows = list(rows)
    if tokenizer.eos_token_id is None:
        raise ValueError(f"{tokenizer.name_or_path or 'this tokenizer'} has no end token; set tokenizer.eos_token first")
    refuse_lossy(tokenizer, [row["output"] for row in rows[:SAMPLE]])
    if not rows:
        return Encoded([], [], Counter())
    prompts = tokenizer([row_prompt(row) for row in rows], add_special_tokens=False)["input_ids"]
    answers = tokenizer([row["output"] for row in rows], add_special_tokens=False)["input_ids"]
    encoded = Encoded([], [], Counter())
    for number, (before, answer) in enumerate(zip(prompts, answers, strict=True)):
        if not answer:
            encoded.dropped["no supervised token"] += 1
        elif len(before) + len(answer) + 1 > max_length:
            encoded.dropped[f"over {max_length} tokens"] += 1
        else:
            supervised = answer + [tokenizer.eos_token_id]
            encoded.rows.append({"input_ids": before + supervised, "labels": [IGNORED] * len(before) + supervised})
            encoded.kept.append(number)
    return encoded


def refuse_lossy(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> None:
    """ValueError if the tokenizer does not give every text back character by character."""
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        back = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        if back != text:
            at = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), min(len(text), len(back)))
            raise ValueError(
                f"{tokenizer.name_or_path or 'this tokenizer'} loses text: {text[at : at + 12]!r} comes back as "
                f"{back[at : at + 12]!r} (character {at}). Choose a byte-level or byte-fallback vocabulary"
            )


def pack(rows: Sequence[Mapping], length: int) -> list[dict[str, list[int]]]:
    """Rows put together into sequences of at most `length` tokens by best-fit decreasing, with `position_ids` that restart.

    The restarts tell the attention where one row ends (transformers masks across them when no attention mask is given
    and `use_cache` is off), so rows do not see each other. Deterministic: equal rows in equal order pack equally.

    >>> packed = pack([{"input_ids": [i] * i, "labels": [i] * i} for i in (2, 3, 4)], length=5)
    >>> [p["input_ids"] for p in packed], packed[1]["position_ids"], packed[1]["labels"]
    ([[4, 4, 4, 4], [3, 3, 3, 2, 2]], [0, 1, 2, 0, 1], [-100, 3, 3, -100, 2])
    """
    sequences: list[dict[str, list[int]]] = []
    with_space: list[list[int]] = [[] for _ in range(length + 1)]  # free tokens -> sequences that have so many
    for number in sorted(range(len(rows)), key=lambda i: (-len(rows[i]["input_ids"]), i)):
        row, size = rows[number], len(rows[number]["input_ids"])
        if size > length:
            raise ValueError(f"row {number} has {size} tokens, more than the packed length {length}; encode with that max_length")
        space = next((s for s in range(size, length + 1) if with_space[s]), None)
        if space is None:
            sequences.append({"input_ids": [], "labels": [], "position_ids": []})
            where, space = len(sequences) - 1, length
        else:
            where = with_space[space].pop()
        sequence = sequences[where]
        sequence["input_ids"] += row["input_ids"]
        sequence["labels"] += [IGNORED, *row["labels"][1:]]  # the first token would be predicted from another row
        sequence["position_ids"] += range(size)
        with_space[space - size].append(where)
    return sequences


def fill(sequences: Sequence[Mapping], length: int) -> float:
    """Share of a batch of `length`-token rows that is not padding.

    >>> fill([{"input_ids": [1, 2, 3]}, {"input_ids": [1]}], 4)
    0.5
    """
    return sum(len(s["input_ids"]) for s in sequences) / (length * len(sequences)) if sequences else 0.0


def collate(batch: Sequence[Mapping], pad_id: int) -> dict[str, torch.Tensor]:
    """Rows as int64 tensors [rows, longest]. Padding has no label and positions of its own, so no attention mask is needed."""
    import torch

    longest = max(len(row["input_ids"]) for row in batch)
    columns: dict[str, list[list[int]]] = {"input_ids": [], "labels": [], "position_ids": []}
    for row in batch:
        size = len(row["input_ids"])
        rest = longest - size
        columns["input_ids"].append([*row["input_ids"], *[pad_id] * rest])
        columns["labels"].append([*row["labels"], *[IGNORED] * rest])
        columns["position_ids"].append([*(row.get("position_ids") or range(size)), *range(rest)])
    return {name: torch.tensor(rows, dtype=torch.long) for name, rows in columns.items()}


def tokens_per_character(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> float:
    """Mean number of tokens that one character costs."""
    ids = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return sum(map(len, ids)) / max(1, sum(map(len, texts)))


def gpt2_tokenizer(network: bool = False) -> tuple[PreTrainedTokenizerBase, bool]:
    """GPT-2's byte-level BPE and True; where its file is in no mirror or cache, a miniature of the same build and False.

    The miniature learns 2,000 merges from English text, so Chinese falls apart into bytes as it does in the real one.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from miniluotuo_utils.data.catalog import files

    try:
        inner, real = Tokenizer.from_file(str(files("gpt2-tokenizer", network=network)["train"][0])), True
    except FileNotFoundError:
        inner, real = byte_level_bpe([ENGLISH * 3], 2000), False
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|endoftext|>", clean_up_tokenization_spaces=False), real


def byte_level_bpe(texts: Iterable[str], size: int) -> Tokenizer:
    """A byte-level BPE vocabulary of at most `size` entries learned from `texts`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learned.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learned.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False))  # fmt: skip
    return learned
