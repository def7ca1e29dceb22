"""Write a vocabulary as llama.cpp reads it, or say why it would find other ids.

In: a student's tokenizer. Out: pieces, kinds, and scores or merges in a GGUF file. Used by
`export --to gguf`.

llama.cpp knows two kinds that ours can be: characters, merges and byte tokens (its "llama"), where
the merges become scores; and byte-level BPE behind a split that it knows by name (its "gpt2").
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import DataError
from miniluotuo_utils.generation.batching import end_ids
from miniluotuo_utils.tokens.template import written_down

if TYPE_CHECKING:
    from miniluotuo_utils.students import Student

NORMAL, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 3, 4, 5, 6  # llama.cpp's kinds of tokens
ADDED = {True: CONTROL, False: USER_DEFINED}  # what was added to a byte-level BPE, special or not
BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")
UNMERGED = -1e6  # below the score of every merge
# What splits a text before merging -> llama.cpp's name for it. GPT-2's split stands in ByteLevel.
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS = {"": "gpt-2", QWEN: "qwen2"}


def tokenizer_of(student: Student) -> dict[str, Any]:
    """Return a student's tokenizer.json; DataError where llama.cpp would give other ids."""
    inner = getattr(student.tokenizer, "backend_tokenizer", None)
    if inner is None:
        raise DataError(
            f"{student.name}：这个分词器不是快速分词器，用 --to onnx。 {student.name}: found no "
            "fast tokenizer, expected one with a tokenizer.json; take --to onnx"
        )
    whole = json.loads(inner.to_str())
    if wrong := [] if split_of(whole) else unfit(whole):
        raise DataError(
            f"{student.name}：换到 llama.cpp 里，词元编号会不一样，用 --to onnx。 "
            f"{student.name}: llama.cpp would give other ids: {'; '.join(wrong[:5])}; take --to "
            "onnx, which keeps the tokenizer as it is"
        )
    return whole


def split_of(tokenizer: dict) -> str:
    """Return llama.cpp's name for the split of a byte-level BPE, "" for any other tokenizer.

    >>> split_of({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False,
    ...     "use_regex": True}, "model": {"type": "BPE"}})
    'gpt-2'
    >>> split_of({"pre_tokenizer": None, "model": {"type": "BPE"}})
    ''
    """
    outer = tokenizer["pre_tokenizer"] or {}
    parts = outer.get("pretokenizers", [outer])
    *before, last = parts
    plain = last.get("type") == "ByteLevel" and not last.get("add_prefix_space")
    if tokenizer["model"]["type"] != "BPE" or not plain or len(before) > 1:
        return ""
    # ByteLevel splits as GPT-2 does, unless another split stands before it.
    if bool(before) == bool(last.get("use_regex", True)):
        return ""
    pattern = before[0].get("pattern", {}).get("Regex", "?") if before else ""
    return SPLITS.get(pattern, "")


def unfit(tokenizer: dict) -> list[str]:
    """Return what keeps characters, merges and bytes from the same ids in llama.cpp, a line each.

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


def add_tokenizer(writer: Any, student: Student, whole: dict) -> None:
    """Write the vocabulary, what merges it, and `add_ends`.

    `whole` is what `tokenizer_of` returned.
    """
    tokenizer, split = student.tokenizer, split_of(whole)
    size = student.model.get_input_embeddings().weight.shape[0]
    vocabulary = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    special = {token["content"]: token["special"] for token in whole["added_tokens"]}

    # Byte-level BPE is read by its merges, characters and bytes by scores.
    writer.add_tokenizer_model("gpt2" if split else "llama")
    writer.add_tokenizer_pre(split or "default")
    if split:
        kinds = [ADDED.get(special.get(token), NORMAL) for token in vocabulary]
        writer.add_token_merges([" ".join(pair) for pair in whole["model"]["merges"]])
    else:
        kinds = [kind_of(token, set(special)) for token in vocabulary]
        scores = scores_of(vocabulary, whole["model"]["merges"])
        writer.add_token_scores(scores + [UNMERGED] * (size - len(scores)))

    # An embedding may have more rows than the vocabulary: each row is a token to llama.cpp.
    rest = [f"[unused{number}]" for number in range(len(vocabulary), size)]
    writer.add_token_list(vocabulary + rest)
    writer.add_token_types(kinds + [UNUSED] * len(rest))
    add_ends(writer, student)


def add_ends(writer: Any, student: Student) -> None:
    """Write what begins, ends and fills a text, and the chat template."""
    tokenizer = student.tokenizer
    # llama.cpp's defaults are Llama's: begin-of-text before and a space in front of every text.
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    end, *others = end_ids(student)
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    if others:
        writer.add_eot_token_id(others[0])
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(tokenizer.chat_template or written_down(tokenizer))
