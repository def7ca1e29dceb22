"""Choose the next token: three named presets that fix every choice, and how they are carried out.

In: a preset's name. Out: its `Preset`, and processors of a student's scores. Shown in notebook 00.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.choices import check_choice
from miniluotuo_utils.generation.constrained import constrain

if TYPE_CHECKING:
    import torch

    from miniluotuo_utils.generation.constrained import Constraint, Processor


@dataclass(frozen=True)
class Preset:
    """One way to choose the next token; never beam search.

    `do_sample`: draw it (True) or take the likeliest (False, greedy). `temperature` flattens (> 1)
    or sharpens (< 1) what is drawn from; `top_p` keeps the likeliest tokens that together hold
    this share. `repetition_penalty` (> 1) lowers tokens that stand in the answer already
    (https://arxiv.org/abs/1909.05858); `no_repeat_ngram_size` forbids that n tokens in a row come
    twice, 0 is off. Both look at the answer alone: a copied span of the prompt costs nothing.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0


KINDS = {bool: (bool,), int: (int,), float: (int, float)}  # what a field takes, by its default

PRESETS = {
    "extract": Preset(),
    "chat": Preset(repetition_penalty=1.1),
    "creative": Preset(do_sample=True, temperature=0.8, top_p=0.9),
}
WHY = {
    "extract": (
        "抽取：每步取最可能的词元；JSON 要重复键名、照抄原文，所以没有任何重复惩罚\n"
        "extraction: greedy; JSON repeats keys and copies spans, so nothing is penalised"
    ),
    "chat": (
        "对话：同样的问题总得同样的回答；轻微的重复惩罚让小模型不绕圈\n"
        "chat: greedy; a slight penalty keeps small students out of loops"
    ),
    "creative": (
        "创作：抽样，给定 seed 就可重现；没有惩罚\n"
        "writing: sampled, reproducible with a seed, nothing penalised"
    ),
}

# https://github.com/PhoebusSi/Alpaca-CoT, utils/config.py; the last row as its README advertises
# it, second hand.
ALPACA_COT = [
    {
        "preset": "Alpaca-CoT GENERATE_CONFIG",
        "do_sample": False,
        "temperature": 0.1,
        "top_p": 0.75,
        "top_k": 40,
        "beams": 4,
        "max_new_tokens": 512,
        "why": (
            "没有 do_sample：这是束宽 4 的束搜索，温度、top_p、top_k 都不起作用\n"
            "without do_sample this is beam search, and its sampling numbers do nothing"
        ),
    },
    {
        "preset": "Alpaca-CoT GENERATE_CONFIG_4_firefly",
        "do_sample": True,
        "temperature": 0.35,
        "top_p": 0.85,
        "repetition_penalty": 1.2,
        "max_new_tokens": 200,
        "why": "抽样，和上一行相反\nsampled, the opposite of the row above",
    },
    {
        "preset": "Alpaca-CoT advertised",
        "repetition_penalty": 1.8,
        "no_repeat_ngram_size": 6,
        "why": (
            "重复的键名和照抄的名字都要受罚，甚至不许写\n"
            "repeated keys and copied names are penalised or even forbidden"
        ),
    },
]


def preset_table() -> list[dict[str, Any]]:
    """Return our presets beside Alpaca-CoT's published ones, one dict per row.

    A field is "" where a source does not say; `why` has a line of Chinese and one of
    English. `max_new_tokens` of ours is the caller's.

    >>> [row["preset"] for row in preset_table()][:3]
    ['extract', 'chat', 'creative']
    """
    columns = ("preset", "why", *(field.name for field in fields(Preset)))
    unsaid = dict.fromkeys((*columns, "top_k", "beams", "max_new_tokens"), "")
    ours = [
        unsaid | {"preset": name, "why": WHY[name], **vars(preset), "beams": 1}
        for name, preset in PRESETS.items()
    ]
    return ours + [unsaid | row for row in ALPACA_COT]


def preset_of(name: str, **overrides: Any) -> Preset:
    """Return the named preset with some of its fields replaced.

    Raises ValueError for an unknown name or field, and for fields that contradict each other.

    >>> preset_of("creative", temperature=1.2).top_p
    0.9
    >>> preset_of("extract", temperature=0.1)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: temperature and top_p choose among drawn tokens, but extract takes the likeliest...
    """
    check_choice("preset", name, PRESETS)
    known = [field.name for field in fields(Preset)]
    if unknown := [field for field in overrides if field not in known]:
        raise ValueError(f"found {', '.join(unknown)}; a preset's fields are {', '.join(known)}")

    # From a command line or a client: `temperature=hot` is a text.
    for field, value in overrides.items():
        kinds = KINDS[type(getattr(PRESETS[name], field))]
        if not isinstance(value, kinds) or isinstance(value, bool) != (bool in kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{field} 的值不对。 {field}: found {value!r}, expected {names}")

    # Together they must mean something.
    chosen = replace(PRESETS[name], **overrides)
    if not chosen.do_sample and (chosen.temperature, chosen.top_p) != (1.0, 1.0):
        raise ValueError(
            f"temperature and top_p choose among drawn tokens, but {name} takes the likeliest: "
            "add do_sample=True or leave them out"
        )
    drawable = chosen.temperature > 0 and 0 < chosen.top_p <= 1
    if not (drawable and chosen.repetition_penalty > 0 and chosen.no_repeat_ngram_size >= 0):
        raise ValueError(
            f"found {chosen}; expected temperature > 0, 0 < top_p <= 1, repetition_penalty > 0, "
            "no_repeat_ngram_size >= 0"
        )
    return chosen


def processors(
    preset: Preset,
    start: int,
    draws: Sequence[Random | None],
    constraints: Sequence[Constraint | None],
) -> list[Processor]:
    """Return what `preset` does to the scores of each step, in order.

    The answer starts at token `start`; `draws` and `constraints` have one entry per row. A row's
    answer hangs on that row alone: transformers' own sampling would see the whole batch.
    """
    from transformers import (
        NoRepeatNGramLogitsProcessor,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopPLogitsWarper,
    )

    steps: list[Processor] = []
    if preset.repetition_penalty != 1:
        penalty = float(preset.repetition_penalty)
        steps.append(RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=start))
    if preset.no_repeat_ngram_size:
        # transformers has no such option here: let it see the answer alone.
        forbid = NoRepeatNGramLogitsProcessor(preset.no_repeat_ngram_size)
        steps.append(lambda ids, scores: forbid(ids[:, start:], scores))

    # Before the draw, so that it draws from what is allowed.
    if any(constraints):
        steps.append(constrain(constraints, start))

    if preset.do_sample:
        if preset.temperature != 1:
            steps.append(TemperatureLogitsWarper(float(preset.temperature)))
        if preset.top_p != 1:
            steps.append(TopPLogitsWarper(float(preset.top_p)))
        steps.append(drawn(draws))
    return steps


def drawn(draws: Sequence[Random]) -> Processor:
    """Return a processor that leaves one token per row, drawn with the row's own generator."""
    import torch

    def draw(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        shares = scores.float().softmax(-1).cumsum(-1)  # [rows, vocabulary], rising to 1
        whole = shares[:, -1:]
        points = torch.tensor([[row.random()] for row in draws], device=scores.device) * whole

        # Rounding must not reach past the last token.
        points = torch.minimum(points, torch.nextafter(whole, torch.zeros_like(whole)))
        chosen = (shares <= points).sum(-1, keepdim=True)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)

    return draw
