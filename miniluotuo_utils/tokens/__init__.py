"""Turn instruction rows into what the loss sees: token ids, a mask of labels, packed batches.

In: instruction rows and a tokenizer. Out: rows of ids and labels. Shown in notebook 03.
"""

from miniluotuo_utils.moved import names as moved_names
from miniluotuo_utils.tokens.dataset import encoded_dataset
from miniluotuo_utils.tokens.encoding import IGNORED, Encoded, encode
from miniluotuo_utils.tokens.packing import collate, pack, pack_stream, packing_efficiency
from miniluotuo_utils.tokens.template import end_of, prompt_of, prompts_of
from miniluotuo_utils.tokens.vocabulary import (
    byte_level_bpe,
    gpt2_tokenizer,
    prompt_ids,
    refuse_lossy,
    text_of,
    tokens_per_character,
    what_is_lost,
)

__all__ = [
    "IGNORED",
    "Encoded",
    "byte_level_bpe",
    "collate",
    "encode",
    "encoded_dataset",
    "end_of",
    "gpt2_tokenizer",
    "pack",
    "pack_stream",
    "packing_efficiency",
    "prompt_ids",
    "prompt_of",
    "prompts_of",
    "refuse_lossy",
    "text_of",
    "tokens_per_character",
    "what_is_lost",
]
__getattr__ = moved_names(__name__)
