"""Tiny random models: a student of a zoo row's own class and settings, two layers deep, with random
weights.

In: a zoo name. Out: a `Student` that trains and generates in seconds, so that every row of the zoo
is tried without a download.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
)

from miniluotuo_utils.prompts import WITH_INPUT, WITHOUT_INPUT, turn
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.students import ZOO, Student
from miniluotuo_utils.students.zoo import SIZES, Spec
from miniluotuo_utils.tokens import byte_level_bpe

WIDTH, LAYERS, HEADS, CONTEXT = 64, 2, 4, 512
SMALL: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": CONTEXT,
}
SMALL_NEO = {"window_size": 32, "attention_types": [[["global", "local"], LAYERS // 2]]}
SPECIAL: dict[str, dict[str, str]] = {
    "gpt2": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
    "bloom": {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"},
    "t5": {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
    "llama": {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
    "glm": {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
    "qwen2": {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
    "ernie4_5": {
        "pad_token": "<unk>",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
    },
    "wordpiece": {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "eos_token": "[SEP]",
    },
}
SHARED = {"gpt_neo": "gpt2", "mt5": "t5", "qwen3": "qwen2"}  # special tokens are the other family's
# how a text is framed by special tokens; "$A" is the text
FRAMES = {
    "t5": "$A </s>",
    "llama": "<s> $A",
    "ernie4_5": "<s> $A",
    "glm": "[gMASK] <sop> $A",
    "wordpiece": "[CLS] $A [SEP]",
}


def tiny_random(name: str, seed: int = 0, **other: Any) -> Student:
    """Make a tiny student like the zoo's `name`: same class, same special settings, two layers of
    width 64, random weights.

    The same name and seed give the same student; `other` changes its configuration. Its vocabulary
    has 600 to 2,000 entries. It is called `tiny-random-NAME`, which nobody can load: give a test
    that needs `load_student` the folder that `saved` writes.
    """
    facts = ZOO[name]
    tokenizer = tokenizer_like(facts)
    # `tiny` itself is a folder of the package, whose sizes stand in its configuration.
    if not facts.hub:
        facts = replace(facts, hub="tiny-random", sizes=own_sizes(facts))
    small = replace(facts, sizes={**settings(facts, tokenizer), **other})
    config = small.config()
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto.from_config(config)
        # As in the checkpoint; transformers keeps two different embeddings apart when it loads.
        if facts.own_head:
            own = torch.randn_like(model.shared.weight) * config.hidden_size**-0.5
            model.lm_head.weight = torch.nn.Parameter(own)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return Student(f"tiny-random-{name}", model.eval(), tokenizer)


def saved(student: Student, folder: Path) -> Path:
    """Write a student as a plain transformers folder, for `load_student`; return the folder."""
    student.model.save_pretrained(folder)
    student.tokenizer.save_pretrained(folder)
    return folder


def own_sizes(facts: Spec) -> dict[str, Any]:
    """Return what the zoo's table would hold of a student whose configuration says it."""
    config = facts.config()
    found = {name: getattr(config, name, None) for name in (*SIZES, "tie_word_embeddings")}
    return {name: value for name, value in found.items() if value is not None}


def settings(facts: Spec, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return the configuration's fields made small, with the ids of a tokenizer."""
    sizes = facts.sizes
    small = {**sizes, **SMALL, "vocab_size": len(tokenizer)}
    if facts.architecture == "gpt_neo":
        small |= SMALL_NEO
    if "intermediate_size" in sizes:
        small["intermediate_size"] = 2 * WIDTH

    # Shared key heads stay shared, and heads of a width of their own keep one: else it is another
    # architecture.
    if "num_key_value_heads" in sizes:
        shared = sizes["num_key_value_heads"] != sizes["num_attention_heads"]
        small["num_key_value_heads"] = HEADS // 2 if shared else HEADS
    if "head_dim" in sizes:
        wider = sizes["head_dim"] * sizes["num_attention_heads"] != sizes["hidden_size"]
        small["head_dim"] = WIDTH // 2 if wider else WIDTH // HEADS

    for kind in ("bos", "eos", "pad"):
        small[f"{kind}_token_id"] = getattr(tokenizer, f"{kind}_token_id")
    return small


def tokenizer_like(facts: Spec) -> PreTrainedTokenizerBase:
    """Make a small tokenizer of the spec's kind from the package's own Chinese sentences, with its
    architecture's special tokens.

    Where the architecture has no padding token the end token pads, as `load_student` has it.
    """
    family = SHARED.get(facts.architecture, facts.architecture)
    if facts.tokenizer == "wordpiece":
        family = "wordpiece"
    names, frame = SPECIAL[family], FRAMES.get(family, "$A")
    framing = [part for part in frame.split() if part != "$A"]
    special = tuple(dict.fromkeys([*names.values(), *framing]))
    inner = Tokenizer.from_str(learned(facts.tokenizer, special, frame))
    how = {
        "padding_side": "right" if family == "t5" else "left",
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
        **names,
    }

    # transformers always rebuilds Qwen's splitting of a text from its class, so the class must
    # build it here too.
    if family == "qwen2":
        model = json.loads(inner.to_str())["model"]
        return Qwen2Tokenizer(model["vocab"], [tuple(pair) for pair in model["merges"]], **how)

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **how)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@lru_cache
def learned(kind: str, special: tuple[str, ...], frame: str) -> str:
    """Learn a vocabulary of a kind, as tokenizers' JSON; `special` tokens come first, in order,
    where the kind allows it.
    """
    make = {"wordpiece": wordpiece, "sentencepiece": sentencepiece}.get(kind, byte_bpe)
    inner = make(special)
    inner.add_special_tokens(list(special))
    if frame != "$A":
        ids = [(part, inner.token_to_id(part)) for part in frame.split() if part != "$A"]
        inner.post_processor = processors.TemplateProcessing(
            single=frame, pair=f"{frame} $B", special_tokens=ids
        )
    return inner.to_str()


def sentences() -> list[str]:
    """Return what the vocabularies are learned from: the prompt template, JSON's marks and the
    package's own instructions.
    """
    lines = (EMBEDDED / "seeds.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    return [
        WITH_INPUT,
        WITHOUT_INPUT,
        turn("", "#"),
        '{"": ["", ""], "": []}',
        *(json.loads(line)["instruction"] for line in lines),
    ]


def byte_bpe(special: tuple[str, ...]) -> Tokenizer:
    """Learn a byte-level BPE vocabulary (GPT-2, BLOOM, Qwen, GLM-4)."""
    return byte_level_bpe(sentences(), 600)


def wordpiece(special: tuple[str, ...]) -> Tokenizer:
    """Make a BERT-style vocabulary: single Chinese characters, Latin words letter by letter;
    capitals stay.
    """
    texts = sentences()
    # BERT's own has every common character, those of the exams among them.
    exams = (f"{task}_test.jsonl" for task in ("ner", "re", "ee"))
    for name in ("seeds.jsonl", "ner_train.jsonl", *exams):
        texts.append((EMBEDDED / name).read_text(encoding="utf-8"))
    ascii_marks = {chr(code) for code in range(33, 127)}
    characters = sorted({c for c in "".join(texts) if not c.isspace()} | ascii_marks)
    inside = [f"##{c}" for c in characters if c.isascii() and c.isalnum()]
    entries = [*special, *characters, *inside]

    inner = Tokenizer(
        models.WordPiece({entry: i for i, entry in enumerate(entries)}, unk_token="[UNK]")
    )
    inner.normalizer = normalizers.BertNormalizer(lowercase=False)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    return inner


def sentencepiece(special: tuple[str, ...]) -> Tokenizer:
    """Learn a SentencePiece-like Unigram vocabulary with bytes for what it does not know (T5,
    LLaMA, ERNIE).
    """
    spaces = {"replacement": "▁", "prepend_scheme": "first"}
    inner = Tokenizer(models.Unigram())
    inner.pre_tokenizer = pre_tokenizers.Metaspace(**spaces)
    trainer = trainers.UnigramTrainer(
        vocab_size=700, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    inner.train_from_iterator(sentences(), trainer)

    # The trainer cannot make byte tokens: put them before the pieces that it found.
    pieces = json.loads(inner.to_str())["model"]["vocab"]
    entries = [(token, 0.0) for token in special]
    entries += [(f"<0x{byte:02X}>", 0.0) for byte in range(256)]
    entries += [(piece, score) for piece, score in pieces if piece != "<unk>"]
    whole = Tokenizer(models.Unigram(entries, special.index("<unk>"), byte_fallback=True))
    whole.pre_tokenizer = pre_tokenizers.Metaspace(**spaces)
    whole.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    return whole
