"""Small vocabularies and students, one of each kind that people load."""

import json

from miniluotuo_utils.prompts import SHORT_TEMPLATE
from miniluotuo_utils.students import Student
from miniluotuo_utils.tokens import byte_level_bpe

TEXT = (
    "骆驼从北京走到张家口。The camel walks to Beijing in 2023, and the train goes home: "
    "一二三四五六七八九十，你好！"
)


def sentencepiece():
    """A vocabulary as LLaMA's: `▁` for spaces, a dummy one in front, unknown characters as byte
    tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    learned = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    learned.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    learned.train_from_iterator(
        ["the camel walks to beijing and 骆驼 goes home ."] * 3,
        trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=[AddedToken(s, special=s[1:3] != "0x") for s in special],
            show_progress=False,
        ),
    )
    inner = json.loads(learned.to_str())  # byte tokens are ordinary entries of the vocabulary
    inner["added_tokens"] = inner["added_tokens"][:3]
    learned = Tokenizer.from_str(json.dumps(inner))
    learned.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=learned, eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )


def unigram():
    """A vocabulary as T5's: Unigram pieces and `▁`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    learned = Tokenizer(models.Unigram())
    learned.pre_tokenizer, learned.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    learned.train_from_iterator(
        [TEXT] * 20,
        trainers.UnigramTrainer(
            vocab_size=150,
            special_tokens=["<pad>", "</s>", "<unk>"],
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=learned, eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )


def wordpiece():
    """A vocabulary as BERT's: characters, words and `##` pieces."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = [
        "[PAD]",
        "[UNK]",
        "[SEP]",
        "the",
        "camel",
        "walk",
        "##s",
        "##ing",
        "to",
        "in",
        "20",
        "##23",
        *'骆驼走到北京。，,{}[]":abc',
    ]
    learned = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    learned.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(
        tokenizer_object=learned, eos_token="[SEP]", unk_token="[UNK]", pad_token="[PAD]"
    )


def bytewise(texts=("the camel walks",)):
    """A byte-level vocabulary; with the default text it never saw Chinese, so that every
    character is three tokens."""
    from transformers import PreTrainedTokenizerFast

    inner = byte_level_bpe(list(texts) * 3, 300)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )


KINDS = {
    "byte-level": bytewise,
    "SentencePiece": sentencepiece,
    "Unigram": unigram,
    "WordPiece": wordpiece,
}


def decoder(kind, size, end):
    """A random decoder of two layers and 64 positions."""
    import transformers as t

    ends = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    if kind == "gpt2":
        return t.GPT2LMHeadModel(
            t.GPT2Config(vocab_size=size, n_positions=64, n_embd=32, n_layer=2, n_head=2, **ends)
        )
    if kind == "bloom":
        model = t.BloomForCausalLM(
            t.BloomConfig(vocab_size=size, hidden_size=32, n_layer=2, n_head=2, **ends)
        )
        model.config.max_position_embeddings = 64
        return model
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
    }
    if kind == "glm":
        return t.GlmForCausalLM(
            t.GlmConfig(vocab_size=size, max_position_embeddings=64, **sizes, **ends)
        )
    return t.LlamaForCausalLM(
        t.LlamaConfig(vocab_size=size, max_position_embeddings=64, **sizes, **ends)
    )


def student_of(kind):
    """A random student whose answers depend on every token of the prompt and are not one token
    over and over."""
    import torch
    import transformers as t

    torch.manual_seed(7)
    words = {"llama": sentencepiece, "t5": unigram}.get(kind, lambda: bytewise([TEXT]))()
    if kind == "t5":
        model = t.T5ForConditionalGeneration(
            t.T5Config(
                vocab_size=len(words),
                d_model=32,
                d_kv=16,
                d_ff=64,
                num_layers=2,
                num_heads=2,
                decoder_start_token_id=0,
            )
        )
        model.config.max_position_embeddings = 64
    else:
        model = decoder(kind, len(words), words.eos_token_id)
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.normal_(0, 0.4)
    return Student(kind, model.float().eval(), words)


# ---- chat templates, one of each kind that the field has; written for these tests

# Special tokens (the end token first) and the template; `bos` stands first in every text.
CHATML = """{%- for m in messages -%}
{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
# A default system message, as SmolLM2's.
WITH_SYSTEM = (
    """{%- if messages[0].role != 'system' -%}
{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}
{%- endif -%}"""
    + CHATML
)
# Thoughts, as Qwen3's: an empty one is put before the last answer, and none into earlier ones.
THINKING = """{%- for m in messages -%}
{%- set content = m.content.split('</think>')[-1].lstrip('\n') if m.role == 'assistant'
    else m.content -%}
{{ '<|im_start|>' + m.role + '\n' }}
{%- if m.role == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}
{{- content + '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}
{%- endif %}
{%- endif %}"""
# The start token is in the template, texts are trimmed, as Llama 3's.
HEADERS = """{{- bos_token }}
{%- for m in messages %}
{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt -%}
{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}"""
# Nothing ends an answer but the next turn, as GLM-4's.
OPEN_END = """{{- '[gMASK]<sop>' }}
{%- for m in messages %}{{ '<|' + m.role + '|>\n' + m.content }}{% endfor -%}
{%- if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"""
# Blanks around an answer and turns in plain text, as Llama 2's.
BLANKS = """{%- for m in messages -%}
{%- if m.role == 'user' -%}
{{ bos_token + '[INST] ' + m.content | trim + ' [/INST]' }}
{%- else -%}
{{ ' ' + m.content | trim + ' ' + eos_token }}
{%- endif -%}
{%- endfor -%}"""

CHATS = {
    "short": (["<|endoftext|>", "<|user|>", "<|assistant|>"], "", SHORT_TEMPLATE),
    "thinking": (["<|im_end|>", "<|im_start|>", "<|endoftext|>"], "", THINKING),
    "system": (["<|im_end|>", "<|im_start|>"], "", WITH_SYSTEM),
    # A base checkpoint: its end token is not the one that ends a turn.
    "base": (["<|endoftext|>", "<|im_start|>", "<|im_end|>"], "", CHATML),
    "headers": (
        ["<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>"],
        "<|begin_of_text|>",
        HEADERS,
    ),
    "open end": (
        ["<|endoftext|>", "<|user|>", "<|assistant|>", "[gMASK]", "<sop>"],
        "[gMASK] <sop>",
        OPEN_END,
    ),
}


def chatting(kind):
    """A byte-level vocabulary with the special tokens and the chat template of a kind."""
    from tokenizers import AddedToken, processors
    from transformers import PreTrainedTokenizerFast

    if kind == "blanks":
        words = sentencepiece()
        inner = words.backend_tokenizer
        words.bos_token, words.chat_template = "<s>", BLANKS
        first = "<s>"
    else:
        special, first, template = CHATS[kind]
        inner = byte_level_bpe([TEXT] * 3, 400)
        inner.add_special_tokens([AddedToken(text, special=True) for text in special])
        words = PreTrainedTokenizerFast(
            tokenizer_object=inner, eos_token=special[0], pad_token=special[0]
        )
        if kind == "headers":
            words.bos_token = first
        if kind == "thinking":
            words.add_tokens(["<think>", "</think>"])
        words.chat_template = template
    if first:
        # What the vocabulary puts first by itself, which a template that does so too would double.
        parts = first.split()
        ids = [(part, words.convert_tokens_to_ids(part)) for part in parts]
        words.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", special_tokens=ids
        )
    return words
