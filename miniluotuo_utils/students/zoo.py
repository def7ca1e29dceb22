"""The zoo of students: one row of published facts each. Shown in notebook 04.

In: a name. Out: a `Spec`: what the hub calls it, its configuration, licence and notes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.moved import names as moved_names
from miniluotuo_utils.runtime import EMBEDDED

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(frozen=True)
class Spec:
    """One student of the zoo.

    `architecture` is transformers' native model type and `sizes` the fields of its published configuration that differ from
    transformers' defaults. `context` counts tokens. `tokenizer` is byte-bpe, wordpiece or sentencepiece. `licence` is what the
    model's page states, `revision` a commit that somebody read from the real repository: None where nobody looked (unverified).
    `learning_rate` is for full fine-tuning.
    """

    hub: str | None
    family: str
    architecture: str
    context: int
    tokenizer: str
    sizes: Mapping[str, Any] = field(default_factory=dict)
    licence: str | None = None
    revision: str | None = None
    learning_rate: float = 2e-5
    note: str = ""
    parameters: int = 0  # as `zoo_memory.json` keeps them, tied embeddings counted once

    @property
    def source(self) -> str:
        """What transformers loads: a hub id, or the folder inside the package."""
        return self.hub or str(EMBEDDED / "student")

    @property
    def link(self) -> str:
        """The model's page; empty for the student inside the package."""
        return f"https://huggingface.co/{self.hub}" if self.hub else ""

    def config(self) -> PreTrainedConfig:
        """The transformers configuration; no network is needed."""
        from transformers import AutoConfig

        return (
            AutoConfig.for_model(self.architecture, **self.sizes)
            if self.hub
            else AutoConfig.from_pretrained(self.source)
        )

    @property
    def own_head(self) -> bool:
        """Whether the checkpoint holds an output embedding of its own (T5 1.1), which transformers' T5 ties where it builds one anew."""
        return self.architecture in ("t5", "mt5") and self.sizes.get("tie_word_embeddings") is False


LUOTUO, BASE, LAMINI, ALPACA_COT, CHINESE = (
    "Mini-Luotuo",
    "Mini-Luotuo 底座 base",
    "LaMini",
    "Alpaca-CoT",
    "中文小模型 Chinese",
)
ENGLISH_BPE = (
    "英文字节级 BPE，一个汉字约两个词元 English BPE, about two tokens per Chinese character"
)
NO_CHINESE = "词表里没有汉字，中文变成 `<unk>` its vocabulary has no Chinese characters"
WENZHONG = "头数是推算的；权重是一个 7 GB 的 .bin heads are inferred; weights are one 7 GB .bin"


def gpt2(
    hub: str,
    family: str,
    layers: int,
    width: int,
    heads: int,
    context: int = 1024,
    vocabulary: int = 50257,
    **more: Any,
) -> dict:
    """Facts of a GPT-2; `settings` are further fields of its configuration."""
    sizes = {
        "n_layer": layers,
        "n_embd": width,
        "n_head": heads,
        "n_positions": context,
        "vocab_size": vocabulary,
        **more.pop("settings", {}),
    }
    return {
        "hub": hub,
        "family": family,
        "architecture": "gpt2",
        "sizes": sizes,
        "context": context,
        "tokenizer": "byte-bpe",
        "note": ENGLISH_BPE,
        **more,
    }


def t5(
    hub: str,
    family: str,
    layers: int,
    width: int,
    heads: int,
    inner: int,
    note: str,
    licence: str | None = None,
    *,
    gated: bool = True,
    architecture: str = "t5",
    vocabulary: int = 32128,
) -> dict:
    """Facts of a T5: `gated` for version 1.1, whose output embedding is its own. LaMini's rate for encoder–decoders."""
    sizes = {
        "num_layers": layers,
        "d_model": width,
        "num_heads": heads,
        "d_ff": inner,
        "d_kv": 64,
        "vocab_size": vocabulary,
        "n_positions": 512,
        "decoder_start_token_id": 0,
        "feed_forward_proj": "gated-gelu" if gated else "relu",
        "tie_word_embeddings": not gated,
    }
    return {
        "hub": hub,
        "family": family,
        "architecture": architecture,
        "sizes": sizes,
        "context": 512,
        "tokenizer": "sentencepiece",
        "licence": licence,
        "learning_rate": 5e-4,
        "note": note,
    }


def neo(hub: str, layers: int, width: int, heads: int) -> dict:
    """Facts of a GPT-Neo: every second layer looks back 256 tokens only."""
    sizes = {
        "num_layers": layers,
        "hidden_size": width,
        "num_heads": heads,
        "max_position_embeddings": 2048,
        "vocab_size": 50257,
        "window_size": 256,
        "attention_types": [[["global", "local"], layers // 2]],
    }
    return {
        "hub": hub,
        "family": LAMINI,
        "architecture": "gpt_neo",
        "sizes": sizes,
        "context": 2048,
        "tokenizer": "byte-bpe",
        "note": ENGLISH_BPE,
    }


def bloom(hub: str, layers: int, width: int, heads: int) -> dict:
    """Facts of a BLOOM: positions by ALiBi, trained on 2,048 tokens."""
    sizes = {
        "n_layer": layers,
        "hidden_size": width,
        "n_head": heads,
        "seq_length": 2048,
        "vocab_size": 250880,
    }
    return {
        "hub": hub,
        "family": ALPACA_COT,
        "architecture": "bloom",
        "sizes": sizes,
        "context": 2048,
        "tokenizer": "byte-bpe",
        "licence": "RAIL 1.0",
        "note": "46 种语言，含中文 46 languages, Chinese among them",
    }


def llama(
    hub: str,
    family: str,
    architecture: str,
    layers: int,
    width: int,
    heads: int,
    kv_heads: int,
    inner: int,
    vocabulary: int,
    context: int,
    tokenizer: str = "byte-bpe",
    licence: str | None = None,
    note: str = "",
    **settings: Any,
) -> dict:
    """Facts of a LLaMA-like decoder: rotary positions, gated MLP, shared key heads; `settings` are what makes its family special."""
    sizes = {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": inner,
        "vocab_size": vocabulary,
        "max_position_embeddings": context,
        **settings,
    }
    return {
        "hub": hub,
        "family": family,
        "architecture": architecture,
        "sizes": sizes,
        "context": context,
        "tokenizer": tokenizer,
        "licence": licence,
        "note": note,
    }


QWEN = {"tie_word_embeddings": True, "rms_norm_eps": 1e-6, "rope_theta": 1e6}

HERD: dict[str, dict[str, Any]] = {
    "tiny": {
        "hub": None,
        "family": LUOTUO,
        "architecture": "gpt2",
        "sizes": {},
        "context": 512,
        "tokenizer": "bpe, byte fallback",
        "licence": "Apache-2.0",
        "learning_rate": 5e-4,
        "note": "随包提供，scripts/pretrain_tiny.py 预训练 ships in the package",
    },
    "wenzhong-110m": gpt2(
        "IDEA-CCNL/Wenzhong-GPT2-110M",
        BASE,
        12,
        768,
        12,
        note="名为 110M，实为 124 M；" + ENGLISH_BPE,
    ),
    "wenzhong-3.5b": gpt2(
        "IDEA-CCNL/Wenzhong2.0-GPT2-3.5B-chinese",
        BASE,
        30,
        3072,
        32,
        vocabulary=50304,
        note=WENZHONG,
    ),
    "luotuo-110m": gpt2("Midkey/GPT2-110M-chinese-ft-luotuo", LUOTUO, 12, 768, 12),
    "luotuo-312m": gpt2(
        "Midkey/GPT2-312M-chinese-ft-BertTokenizer-luotuo",
        LUOTUO,
        24,
        1024,
        16,
        vocabulary=8021,
        tokenizer="wordpiece",
        settings={"bos_token_id": None, "eos_token_id": None},
        note="头数是推算的；BertTokenizer 会丢文字 heads are inferred; its BertTokenizer loses text",
    ),
    "luotuo-3.5b": gpt2(
        "Midkey/GPT2-3.5B-chinese-ft-luotuo", LUOTUO, 30, 3072, 32, vocabulary=50304, note=WENZHONG
    ),
    "t5-61m": t5("google-t5/t5-small", LAMINI, 6, 512, 8, 2048, NO_CHINESE, gated=False),
    "t5-223m": t5("google-t5/t5-base", LAMINI, 12, 768, 12, 3072, NO_CHINESE, gated=False),
    "t5-738m": t5("google-t5/t5-large", LAMINI, 24, 1024, 16, 4096, NO_CHINESE, gated=False),
    "flan-t5-77m": t5("google/flan-t5-small", LAMINI, 8, 512, 6, 1024, NO_CHINESE, "Apache-2.0"),
    "flan-t5-248m": t5("google/flan-t5-base", LAMINI, 12, 768, 12, 2048, NO_CHINESE, "Apache-2.0"),
    "flan-t5-783m": t5(
        "google/flan-t5-large", LAMINI, 24, 1024, 16, 2816, NO_CHINESE, "Apache-2.0"
    ),
    "mt5-300m": t5(
        "google/mt5-small",
        CHINESE,
        8,
        512,
        6,
        1024,
        "101 种语言，含中文 101 languages, Chinese among them",
        architecture="mt5",
        vocabulary=250112,
    ),
    "mengzi-t5": t5(
        "Langboat/mengzi-t5-base",
        CHINESE,
        12,
        768,
        12,
        2048,
        "中文 T5；尺寸按 T5 1.1 base，未与其配置文件核对 a Chinese T5; sizes of T5 1.1 "
        "base, not compared with its file",
        "Apache-2.0",
    ),
    "gpt2-124m": gpt2("openai-community/gpt2", LAMINI, 12, 768, 12, licence="MIT"),
    "gpt2-774m": gpt2("openai-community/gpt2-large", LAMINI, 36, 1280, 20, licence="MIT"),
    "gpt2-1.5b": gpt2("openai-community/gpt2-xl", LAMINI, 48, 1600, 25, licence="MIT"),
    "cerebras-111m": gpt2(
        "cerebras/Cerebras-GPT-111M",
        LAMINI,
        10,
        768,
        12,
        2048,
        settings={"activation_function": "gelu"},
        licence="Apache-2.0",
    ),
    "cerebras-256m": gpt2(
        "cerebras/Cerebras-GPT-256M",
        LAMINI,
        14,
        1088,
        17,
        2048,
        settings={"activation_function": "gelu"},
        licence="Apache-2.0",
    ),
    "cerebras-590m": gpt2(
        "cerebras/Cerebras-GPT-590M",
        LAMINI,
        18,
        1536,
        12,
        2048,
        settings={"activation_function": "gelu"},
        licence="Apache-2.0",
    ),
    "cerebras-1.3b": gpt2(
        "cerebras/Cerebras-GPT-1.3B",
        LAMINI,
        24,
        2048,
        16,
        2048,
        settings={"activation_function": "gelu"},
        licence="Apache-2.0",
    ),
    "gpt-neo-125m": neo("EleutherAI/gpt-neo-125m", 12, 768, 12),
    "gpt-neo-1.3b": neo("EleutherAI/gpt-neo-1.3B", 24, 2048, 16),
    "llama-7b": llama(
        "huggyllama/llama-7b",
        ALPACA_COT,
        "llama",
        32,
        4096,
        32,
        32,
        11008,
        32000,
        2048,
        "sentencepiece",
        "非商用 non-commercial bespoke",
        "词表里汉字很少，靠字节补足 few Chinese characters, bytes for the rest",
        rms_norm_eps=1e-6,
    ),
    "bloom-560m": bloom("bigscience/bloom-560m", 24, 1024, 16),
    "bloom-1.1b": bloom("bigscience/bloom-1b1", 24, 1536, 16),
    "bloom-7.1b": bloom("bigscience/bloom-7b1", 30, 4096, 32),
    "glm-4-9b": llama(
        "THUDM/glm-4-9b-chat-hf",
        ALPACA_COT,
        "glm",
        40,
        4096,
        32,
        2,
        13696,
        151552,
        131072,
        note="transformers 自带的 Glm 类，不用远程代码 the native Glm class",
        head_dim=128,
        rms_norm_eps=1.5625e-7,
        partial_rotary_factor=0.5,
        attention_bias=True,
    ),
    "glm-edge-1.5b": llama(
        "THUDM/glm-edge-1.5b-chat",
        CHINESE,
        "glm",
        28,
        2048,
        16,
        4,
        6144,
        59264,
        8192,
        head_dim=128,
        rms_norm_eps=1e-5,
        partial_rotary_factor=1.0,
        attention_bias=False,
        tie_word_embeddings=True,
        pad_token_id=59246,
        eos_token_id=[59246, 59253, 59255],
    ),
    "qwen2.5-0.5b": llama(
        "Qwen/Qwen2.5-0.5B", CHINESE, "qwen2", 24, 896, 14, 2, 4864, 151936, 32768, **QWEN
    ),
    "qwen2.5-1.5b": llama(
        "Qwen/Qwen2.5-1.5B", CHINESE, "qwen2", 28, 1536, 12, 2, 8960, 151936, 131072, **QWEN
    ),
    "qwen3-0.6b": llama(
        "Qwen/Qwen3-0.6B",
        CHINESE,
        "qwen3",
        28,
        1024,
        16,
        8,
        3072,
        151936,
        40960,
        licence="Apache-2.0",
        head_dim=128,
        **QWEN,
    ),
    "qwen3-1.7b": llama(
        "Qwen/Qwen3-1.7B",
        CHINESE,
        "qwen3",
        28,
        2048,
        16,
        8,
        6144,
        151936,
        40960,
        licence="Apache-2.0",
        head_dim=128,
        **QWEN,
    ),
    "ernie-4.5-0.3b": llama(
        "baidu/ERNIE-4.5-0.3B-PT",
        CHINESE,
        "ernie4_5",
        18,
        1024,
        16,
        2,
        3072,
        103424,
        131072,
        "sentencepiece",
        head_dim=128,
        rms_norm_eps=1e-5,
        rope_theta=500000.0,
        tie_word_embeddings=True,
    ),
}

KEPT = Path(__file__).with_name(
    "zoo_memory.json"
)  # what `python scripts/notebooks.py tables` computed
COUNTS = {
    name: kept["parameters"] for name, kept in json.loads(KEPT.read_text(encoding="utf-8")).items()
}
ZOO: dict[str, Spec] = {
    name: Spec(**facts, parameters=COUNTS.get(name, 0)) for name, facts in HERD.items()
}


__getattr__ = moved_names(__name__)
