"""Name a native successor for a model that only code from its own repository could run.

In: a hub id, or the model type of a configuration. Out: words for the refusal. Used by
`load_student`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

QWEN = "Qwen2.5 or Qwen3, qwen2.5-0.5b and qwen3-0.6b in the zoo"


class Family(NamedTuple):
    """Models whose repositories bring their code along, and what to take instead."""

    types: tuple[str, ...]  # `model_type` of their configurations
    ids: str  # a pattern of their hub ids
    successor: str


# The zoo holds the ids named here; InternLM3's id stands in transformers' own documentation.
FAMILIES = (
    Family(
        ("chatglm",),
        r"(thudm|zai-org)/(chatglm.*|codegeex.*|glm-4-9b(-chat)?(-1m)?|glm-4v-9b|glm-(10b|2b).*)",
        "GLM-4 in transformers' own form: glm-4-9b in the zoo (THUDM/glm-4-9b-chat-hf); "
        "glm-edge-1.5b is a small one",
    ),
    Family(
        ("moss",),
        r"(fnlp|openmoss-team)/moss-(base|moon)-.*",
        f"no MOSS is part of transformers; another Chinese chat model is {QWEN}",
    ),
    Family(
        ("baichuan",),
        r"baichuan-inc/baichuan2?-(7b|13b).*",
        f"no Baichuan is part of transformers; another Chinese model is {QWEN}",
    ),
    Family(
        ("internlm", "internlm2"),
        r"internlm/internlm(2|2_5)?-.*",
        "a checkpoint with the native class InternLM3ForCausalLM: internlm/internlm3-8b-instruct",
    ),
    Family(
        ("qwen",),
        r"qwen/qwen-(1_8b|7b|14b|72b|vl|audio)(-.*)?",
        f"the first Qwen has a successor: {QWEN}",
    ),
    Family(
        ("minicpm",),
        r"openbmb/minicpm-(1b|2b|s-1b|moe-8x2b)-(?!.*llama).*",
        "a checkpoint with the native class MiniCPM3ForCausalLM: openbmb/MiniCPM3-4B",
    ),
)


def of_id(hub: str) -> Family | None:
    """Return the family that a hub id belongs to, None for any other id.

    >>> of_id("THUDM/chatglm2-6b").types, of_id("Qwen/Qwen-7B-Chat").types
    (('chatglm',), ('qwen',))
    >>> of_id("Qwen/Qwen2.5-7B"), of_id("THUDM/glm-4-9b-chat-hf"), of_id("THUDM/GLM-4-9B-0414")
    (None, None, None)
    """
    return next((one for one in FAMILIES if re.fullmatch(one.ids, hub.lower())), None)


def check_id(hub: str) -> None:
    """Raise ValueError for a hub id whose code would have to be trusted, before it is asked for."""
    if family := of_id(hub):
        raise ValueError(
            f"{hub} brings code of its own, which is never run here. Take instead: "
            f"{family.successor}"
        )


def instead(model_type: object) -> str:
    """Return a sentence on what to take instead of a model type, "" where nothing is known.

    >>> instead("chatglm").startswith(" Take instead: GLM-4"), instead("unheard-of")
    (True, '')
    """
    family = next((one for one in FAMILIES if model_type in one.types), None)
    return f" Take instead: {family.successor}" if family else ""
