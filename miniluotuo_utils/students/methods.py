"""Choose what a method trains: every weight, or a small adapter of PEFT's on a frozen base.

In: a student and a method's name. Out: the same student, ready to train. Shown in notebook 04.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from miniluotuo_utils.choices import choices
from miniluotuo_utils.students.internals import linear_types
from miniluotuo_utils.students.loading import Student
from miniluotuo_utils.students.zoo import ZOO

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedConfig

METHODS = ("full", "lora", "qlora", "adalora", "prefix", "prompt", "p_tuning")
# These learn virtual tokens before the prompt; they cannot be merged or packed.
VIRTUAL = ("prefix", "prompt", "p_tuning")
LOW_RANK = ("lora", "qlora", "adalora")
GPT2_LINEAR = ["c_attn", "c_proj", "c_fc"]  # PEFT's own default for GPT-2 is c_attn alone
RANK, DROPOUT, TOKENS = 16, 0.05, 20
RATES = {"prefix": 1e-2, "prompt": 3e-2, "p_tuning": 1e-2}  # as in PEFT's examples


class Adapter(NamedTuple):
    """What a low-rank adapter is like: how `finetune` takes its four options."""

    rank: int = RANK
    alpha: float | None = None  # what its product is scaled by, over the rank; None: 2 × rank
    dropout: float | None = None  # of its input; None: 0.05
    targets: Sequence[str] | None = None  # names of linear layers; None: all but the output layer


USUAL = Adapter()


def bits_of(model: Any) -> int | None:
    """Return in how many bits a model's linear layers are stored, 4 or 8; None for whole ones."""
    return next((bits for bits in (4, 8) if getattr(model, f"is_loaded_in_{bits}bit", False)), None)


def check_bits(method: str, bits: int | None) -> None:
    """Raise ValueError for a method that cannot train weights of so many bits (None: whole ones).

    >>> check_bits("lora", 8)
    >>> check_bits("qlora", 8)
    Traceback (most recent call last):
    ValueError: method 'qlora' needs a 4-bit student: load it with bits=4, or use method 'lora'
    """
    if method == "qlora" and bits != 4:
        instead = ", or use method 'lora'" if bits else ""
        raise ValueError(f"method 'qlora' needs a 4-bit student: load it with bits=4{instead}")
    if method == "full" and bits in (4, 8):
        own = "qlora" if bits == 4 else "lora"
        raise ValueError(
            f"{bits}-bit weights cannot be trained: use method {own!r}, "
            f"or load the student without bits={bits}"
        )


def check_targets(student: Student, targets: Sequence[str] | None) -> None:
    """Raise ValueError for a target that no linear layer of the student is called.

    PEFT says so only where not one of them is found, and leaves the others out without a word.
    """
    model = student.model
    layers = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, linear_types()) and module is not model.get_output_embeddings()
    }
    for name in targets or ():
        if name not in layers:
            raise ValueError(
                f"targets：{student.name} 没有叫 {name} 的线性层。 targets: found {name!r}, and no "
                f"linear layer of {student.name} is called so; {choices(name, sorted(layers))}"
            )


def peak_rate(student: Student, method: str) -> float:
    """Return the peak learning rate where none is given: the zoo's for full fine-tuning, ten times
    that for low-rank adapters (at most 3e-3), and 1e-2 to 3e-2 for virtual tokens.
    """
    full = ZOO[student.name].learning_rate if student.name in ZOO else 2e-5
    return RATES.get(method) or (full if method == "full" else min(10 * full, 3e-3))


def check_trainable(student: Student, method: str) -> None:
    """Raise ValueError for a method that cannot train the student's bits or its adapter."""
    model, bits = student.model, bits_of(student.model)
    if hasattr(model, "peft_config"):
        check_adapter(student, method)
    check_bits(method, bits)

    # bitsandbytes repacks 4-bit weights at the first forward pass on a CPU, and then has no
    # gradient for them.
    states = [getattr(p, "quant_state", None) for p in model.parameters()] if bits == 4 else []
    if any(getattr(state, "packing_format_for_cpu", False) for state in states):
        raise ValueError(
            f"{student.name} has generated in 4 bits on a CPU, "
            "after which bitsandbytes cannot train it: load it again"
        )


def attach(student: Student, method: str, seed: int, steps: int, adapter: Adapter = USUAL) -> None:
    """Put the method's adapter on the student; every trained weight is kept in float32.

    `steps` is the length of the training, which AdaLoRA's schedule needs. Raises ValueError for a
    method that cannot train the student's bits, and for a student whose adapter is of another
    method: its own is trained further.
    """
    from transformers import set_seed

    check_trainable(student, method)
    # An adapter is drawn at random: the same seed must give the same training.
    set_seed(seed)
    model, bits = student.model, bits_of(student.model)
    if method == "full":
        # No folder holds what these weights will be.
        student.weights = ""
    else:
        from peft import get_peft_model, prepare_model_for_kbit_training

        if bits:
            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        if hasattr(model, "peft_config"):
            train_further(model)
        else:
            config = peft_config(model.config, method, steps, adapter, bits)
            student.model = get_peft_model(model, config)
    train_in_float32(student.model)


def not_cut_up(config: PreTrainedConfig, method: str, bits: int | None = None) -> str:
    """Return why FSDP cannot cut a student up over several processes; "" where it can.

    `bits` are those of a packed base, None for whole weights.

    >>> from transformers import GPT2Config
    >>> not_cut_up(GPT2Config(), "lora"), not_cut_up(GPT2Config(), "lora", 8)
    ('', 'FSDP does not cut up weights of 8 bits')
    """
    if config.is_encoder_decoder:
        return "FSDP cannot cut up an encoder and a decoder that share their embeddings"
    if method == "adalora":
        return "FSDP cannot cut up ranks that move between matrices"
    # accelerate keeps such weights whole in every process.
    return f"FSDP does not cut up weights of {bits} bits" if bits else ""


def check_adapter(student: Student, method: str) -> None:
    """Raise ValueError for a student whose adapter a method cannot train further.

    Low-rank ones can be. AdaLoRA's ranks and P-tuning's network are not saved with them.
    """
    own = student.model.peft_config["default"].peft_type.value
    if not (own == "LORA" and method in ("lora", "qlora")):
        further = "method 'lora' trains that further; " if own == "LORA" else ""
        raise ValueError(
            f"{student.name} has an adapter already ({own}), which method {method!r} does not "
            f"train: {further}load the base again, or merge(student) first"
        )


def train_further(model: Any) -> None:
    """Make the low-rank adapter that a student was loaded with trainable, and it alone."""
    model.peft_config["default"].inference_mode = False
    for name, weight in model.named_parameters():
        weight.requires_grad = "lora_" in name


def train_in_float32(model: Any) -> None:
    """Turn every trained weight to float32: small updates vanish in half precision, and the T4's
    scaler refuses it.
    """
    import torch

    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()


def peft_config(
    config: PreTrainedConfig, method: str, steps: int, adapter: Adapter, bits: int | None = None
) -> PeftConfig:
    """Return PEFT's configuration of a method, with what the architecture needs.

    `bits` are those of the base's linear layers, None for whole ones.
    """
    import peft

    task = "SEQ_2_SEQ_LM" if config.is_encoder_decoder else "CAUSAL_LM"
    virtual = {
        "prefix": peft.PrefixTuningConfig,
        "prompt": peft.PromptTuningConfig,
        "p_tuning": partial(peft.PromptEncoderConfig, encoder_hidden_size=128),
    }
    if method in virtual:
        return virtual[method](task_type=task, num_virtual_tokens=TOKENS)

    # GPT-2's weights are turned; packed ones are not.
    gpt2, rank = config.model_type == "gpt2", adapter.rank
    whole = GPT2_LINEAR if gpt2 else "all-linear"
    low_rank: dict[str, Any] = {
        "task_type": task,
        "target_modules": list(adapter.targets or ()) or whole,
        "lora_alpha": adapter.alpha or 2 * rank,
        "lora_dropout": DROPOUT if adapter.dropout is None else adapter.dropout,
        "fan_in_fan_out": gpt2 and bits is None,
    }
    if method in ("lora", "qlora"):
        return peft.LoraConfig(r=rank, **low_rank)

    # Ranks fall from 1.5 r to r between a tenth and a half of the training.
    start, end = steps // 10, steps // 2
    return peft.AdaLoraConfig(
        init_r=rank * 3 // 2,
        target_r=rank,
        tinit=start,
        tfinal=max(1, steps - end),
        deltaT=max(1, steps // 50),
        total_step=max(steps, start + steps - end + 1),
        **low_rank,
    )
