"""Write a student as GGUF, the file of llama.cpp.

    python scripts/export_gguf.py STUDENT OUT.gguf

In: a folder with a Qwen3-shaped student and its tokenizer: characters, merges, bytes for the rest.
Out: one file of float32 that llama.cpp, its bindings and its server load. Needs gguf.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from safetensors.torch import load_file
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from miniluotuo_utils.files import DataError, written_whole
from miniluotuo_utils.writing import Touched, guard

CONTROL, NORMAL, USER_DEFINED, BYTE = 3, 1, 4, 6  # llama.cpp's kinds of tokens
BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")
UNMERGED = -1e6  # below the score of every merge


def unfit(tokenizer: dict) -> list[str]:
    """Return what in a tokenizer.json keeps llama.cpp from giving the same ids, a line each.

    >>> unfit({"normalizer": None, "pre_tokenizer": {"type": "Split"}, "model": {"type": "BPE"}})[0]
    'pre_tokenizer: found Split, expected none'
    """
    model = tokenizer["model"]
    wrong = [
        f"{part}: found {tokenizer[part]['type']}, expected none"
        for part in ("normalizer", "pre_tokenizer")
        if tokenizer[part]
    ]
    if model["type"] != "BPE":
        return [*wrong, f"model: found {model['type']}, expected BPE"]
    missing = [
        name for name in map("<0x{:02X}>".format, range(256)) if name not in model.get("vocab", {})
    ]
    if missing or not model.get("byte_fallback"):
        wrong.append(
            f"bytes: {256 - len(missing)} of 256 tokens, byte_fallback {model.get('byte_fallback')}"
        )
    # A space is cut off before merging, see `kind_of`: no longer piece may hold one.
    spaced = [piece for piece in model.get("vocab", {}) if " " in piece and piece != " "]
    return [*wrong, *(f"vocabulary: {piece!r} holds a space" for piece in spaced)]


def kind_of(token: str, special: set[str]) -> int:
    """Return llama.cpp's kind of a token.

    llama.cpp writes a space as "▁" and then cannot tell it from that character. A token that a user
    defined is cut off before that, so the space becomes one.

    >>> kind_of(" ", set()), kind_of("<0x0A>", set()), kind_of("好", set())
    (4, 6, 1)
    """
    if token in special:
        return CONTROL
    if BYTE_TOKEN.fullmatch(token):
        return BYTE
    return USER_DEFINED if token == " " else NORMAL


def scores_of(vocabulary: list[str], merges: list) -> list[float]:
    """Return each token's score: the earlier its first merge, the higher.

    >>> scores_of(["a", "b", "ab", "ba"], [("a", "b"), ("b", "a")])
    [-1000000.0, -1000000.0, 0.0, -1.0]
    """
    order: dict[str, int] = {}
    for left, right in merges:
        order.setdefault(left + right, len(order))
    return [float(-order[token]) if token in order else UNMERGED for token in vocabulary]


def add_tokenizer(writer, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write the vocabulary, its scores, the ids that stop and fill, and the chat template."""
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    if wrong := unfit(whole):
        raise DataError("llama.cpp would give other ids: " + "; ".join(wrong[:5]))
    vocabulary = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    special = {token["content"] for token in whole["added_tokens"]}
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(vocabulary)
    writer.add_token_scores(scores_of(vocabulary, whole["model"]["merges"]))
    writer.add_token_types([kind_of(token, special) for token in vocabulary])
    # llama.cpp's defaults are Llama's: begin-of-text before and a space in front of every text.
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_bos_token_id(tokenizer.eos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def add_shape(writer, config: dict) -> None:
    """Write the numbers of a config.json that llama.cpp builds the graph from."""
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_file_type(0)  # all in float32


def export(student: Path, path: Path) -> Path:
    """Write a student's folder as GGUF. Raises DataError where its shape or tokenizer does not fit.

    The tied embedding is written once: llama.cpp uses it for the output too.
    """
    import gguf

    config = json.loads((student / "config.json").read_text(encoding="utf-8"))
    if config["model_type"] != "qwen3":
        raise DataError(f"{student}/config.json: model_type {config['model_type']}, expected qwen3")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config["num_hidden_layers"])
    with written_whole(path) as partial:
        writer = gguf.GGUFWriter(partial, "qwen3")
        writer.add_name(student.name)
        add_shape(writer, config)
        add_tokenizer(writer, AutoTokenizer.from_pretrained(student))
        for name, weight in load_file(student / "model.safetensors").items():
            writer.add_tensor(names.get_name(name, (".weight",)), weight.float().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return path


def main() -> None:
    """Read the command line, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    guard([Touched("student", options.student, "reads"), Touched("out", options.out, "file")])
    print(export(options.student, options.out))


if __name__ == "__main__":
    main()
