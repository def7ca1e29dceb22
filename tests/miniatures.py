"""Miniatures: students of a zoo row's own class and settings, two layers deep, with random weights and a vocabulary of the same kind.

In: a zoo name. Out: a `Student` that trains and generates in seconds, so that every row of the zoo is tried without a download.
Shown in notebook 04.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.prompts import WITH_INPUT, WITHOUT_INPUT, turn
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.students.loading import MINIATURE, Student
from miniluotuo_utils.students.zoo import ZOO, Spec
from miniluotuo_utils.tokens import byte_level_bpe

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

WIDTH, LAYERS, HEADS, CONTEXT = 64, 2, 4, 512
ROPE = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 2 * WIDTH,
    "max_position_embeddings": CONTEXT,
}
T5 = {
    "d_model": WIDTH,
    "num_layers": LAYERS,
    "num_heads": HEADS,
    "d_kv": WIDTH // HEADS,
    "d_ff": 2 * WIDTH,
    "n_positions": CONTEXT,
}
TINY: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": CONTEXT},
    "gpt_neo": {
        "hidden_size": WIDTH,
        "num_layers": LAYERS,
        "num_heads": HEADS,
        "max_position_embeddings": CONTEXT,
        "window_size": 32,
        "attention_types": [[["global", "local"], LAYERS // 2]],
    },
    "bloom": {"hidden_size": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "seq_length": CONTEXT},
    "t5": T5,
    "mt5": T5,
    "llama": ROPE,
    "qwen2": ROPE,
    "qwen3": ROPE,
    "glm": ROPE,
    "ernie4_5": ROPE,
}
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
FRAMES = {
    "t5": "$A </s>",
    "llama": "<s> $A",
    "ernie4_5": "<s> $A",
    "glm": "[gMASK] <sop> $A",
    "wordpiece": "[CLS] $A [SEP]",
}


def miniature(name: str, seed: int = 0) -> Student:
    """A tiny student like the zoo's `name`: same class, same special settings, two layers of width 64, random weights.

    The same name and seed give the same student, so an adapter on it can be loaded again (`load_student("miniature:t5-61m")`). Its
    vocabulary has 600 to 2,000 entries. Raises ValueError for a name that the zoo does not have.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    if name not in ZOO:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(ZOO)}")
    spec = ZOO[name]
    tokenizer = tokenizer_like(spec)
    config = AutoConfig.for_model(spec.architecture, **settings(spec, tokenizer))
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto.from_config(config)
        if spec.own_head:  # as in the checkpoint; transformers keeps two different embeddings apart when it loads them
            model.lm_head.weight = torch.nn.Parameter(
                torch.randn_like(model.shared.weight) * config.hidden_size**-0.5
            )
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return Student(f"{MINIATURE}{name}" + (f":{seed}" if seed else ""), model.eval(), tokenizer)


def settings(spec: Spec, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The spec's configuration made small, with the ids of a tokenizer."""
    small = {**spec.sizes, **TINY[spec.architecture], "vocab_size": len(tokenizer)}
    if "num_key_value_heads" in spec.sizes:  # shared key heads stay shared
        small["num_key_value_heads"] = (
            HEADS
            if spec.sizes["num_key_value_heads"] == spec.sizes["num_attention_heads"]
            else HEADS // 2
        )
    if "head_dim" in spec.sizes:  # and heads of a width of their own too
        small["head_dim"] = (
            WIDTH // 2
            if spec.sizes["head_dim"] * spec.sizes["num_attention_heads"]
            != spec.sizes["hidden_size"]
            else WIDTH // HEADS
        )
    return small | {
        f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")
    }


def tokenizer_like(spec: Spec) -> PreTrainedTokenizerBase:
    """A small tokenizer of the spec's kind, learned from the package's own Chinese sentences, with its architecture's special tokens.

    Where the architecture has no padding token the end token pads, as `load_student` has it.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

    family = (
        "wordpiece"
        if spec.tokenizer == "wordpiece"
        else SHARED.get(spec.architecture, spec.architecture)
    )
    names = SPECIAL[family]
    frame = FRAMES.get(family, "$A")
    special = tuple(
        dict.fromkeys([*names.values(), *(part for part in frame.split() if part != "$A")])
    )
    inner = Tokenizer.from_str(learned(spec.tokenizer, special, frame))
    how = {
        "padding_side": "right" if family == "t5" else "left",
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
        **names,
    }
    if (
        family == "qwen2"
    ):  # transformers always rebuilds Qwen's splitting of a text from its class, so the class must build it here too
        model = json.loads(inner.to_str())["model"]
        return Qwen2Tokenizer(model["vocab"], [tuple(pair) for pair in model["merges"]], **how)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **how)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@lru_cache
def learned(kind: str, special: tuple[str, ...], frame: str) -> str:
    """A vocabulary of a kind as tokenizers' JSON; `special` tokens come first, in order, where the kind allows it."""
    from tokenizers import processors

    inner = {
        "byte-bpe": byte_bpe,
        "bpe, byte fallback": byte_bpe,
        "wordpiece": wordpiece,
        "sentencepiece": sentencepiece,
    }[kind](special)
    inner.add_special_tokens(list(special))
    if frame != "$A":
        ids = [(part, inner.token_to_id(part)) for part in frame.split() if part != "$A"]
        inner.post_processor = processors.TemplateProcessing(
            single=frame, pair=f"{frame} $B", special_tokens=ids
        )
    return inner.to_str()


def sentences() -> list[str]:
    """What the vocabularies are learned from: the prompt template, JSON's marks and the package's own Chinese instructions."""
    lines = (EMBEDDED / "seeds.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    return [
        WITH_INPUT,
        WITHOUT_INPUT,
        turn("", "#"),
        '{"": ["", ""], "": []}',
        *(json.loads(line)["instruction"] for line in lines),
    ]


def byte_bpe(special: tuple[str, ...]) -> Tokenizer:
    """A byte-level BPE vocabulary (GPT-2, BLOOM, Qwen, GLM-4)."""
    return byte_level_bpe(sentences(), 600)


def wordpiece(special: tuple[str, ...]) -> Tokenizer:
    """A BERT-style vocabulary: single Chinese characters, Latin words letter by letter; capitals stay."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    texts = [
        *sentences(),
        *(
            (EMBEDDED / name).read_text(encoding="utf-8")
            for name in ("seeds.jsonl", "ner_train.jsonl")
        ),
    ]
    characters = sorted(
        {c for text in texts for c in text if not c.isspace()} | {chr(c) for c in range(33, 127)}
    )
    entries = [
        *special,
        *characters,
        *(f"##{c}" for c in characters if c.isascii() and c.isalnum()),
    ]
    inner = Tokenizer(
        models.WordPiece({entry: i for i, entry in enumerate(entries)}, unk_token="[UNK]")
    )
    inner.normalizer = normalizers.BertNormalizer(lowercase=False)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    return inner


def sentencepiece(special: tuple[str, ...]) -> Tokenizer:
    """A SentencePiece-like Unigram vocabulary with bytes for what it does not know (T5, LLaMA, ERNIE)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    spaces = {"replacement": "▁", "prepend_scheme": "first"}
    inner = Tokenizer(models.Unigram())
    inner.pre_tokenizer = pre_tokenizers.Metaspace(**spaces)
    inner.train_from_iterator(
        sentences(),
        trainers.UnigramTrainer(
            vocab_size=700, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
        ),
    )
    pieces = [
        (piece, score)
        for piece, score in json.loads(inner.to_str())["model"]["vocab"]
        if piece != "<unk>"
    ]
    entries = [
        *((token, 0.0) for token in special),
        *((f"<0x{byte:02X}>", 0.0) for byte in range(256)),
        *pieces,
    ]
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
