"""Run a student without its weights, to see what its layers keep for backward.

In: a configuration and a method. Out: a model on torch's meta device; bytes. Nothing is loaded and
nothing is computed. It imports torch, so `estimate` imports it only when asked. Shown in notebook
04.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from peft import get_peft_model
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedConfig,
)

from miniluotuo_utils.students.devices import quiet
from miniluotuo_utils.students.internals import fake_tensors, linear_types
from miniluotuo_utils.students.methods import USUAL, VIRTUAL, peft_config

# What a GPU's autocast computes in float32, as torch's documentation of autocast lists it.
FLOAT32 = {
    torch.pow,
    torch.Tensor.pow,
    torch.Tensor.__pow__,
    functional.layer_norm,
    functional.softmax,
}
# Where the input of a linear layer stands among the arguments, the weight behind it.
LINEAR = {functional.linear: 0, torch.addmm: 1}


def meta_model(config: PreTrainedConfig) -> Any:
    """Build the model that `config` describes, without memory for its weights.

    Raises ValueError for an architecture that writes no text.
    """
    both = config.is_encoder_decoder
    auto = AutoModelForSeq2SeqLM if both else AutoModelForCausalLM
    known = MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING if both else MODEL_FOR_CAUSAL_LM_MAPPING
    if type(config) not in known:
        raise ValueError(
            f"config.json, field model_type: found {config.model_type!r}, expected a decoder or an "
            "encoder–decoder that writes text（这种结构不写文字，没法估）"
        )
    with torch.device("meta"):
        return auto.from_config(config, dtype=torch.float32)


def adapted(model: Any, method: str) -> Any:
    """Return a meta model as `method` trains it: all its weights, or frozen with PEFT's adapter."""
    if method == "full":
        return model
    with quiet(), torch.random.fork_rng(devices=[]):
        return get_peft_model(
            model, peft_config(model.config, method, 100, USUAL), low_cpu_mem_usage=True
        )


def shallow(model: Any, depth: int) -> Any:
    """Keep the first `depth` layers of every stack, that is of every outermost list of modules."""
    for name, child in list(model.named_children()):
        if isinstance(child, torch.nn.ModuleList):
            setattr(model, name, child[:depth])
        else:
            shallow(child, depth)
    return model


def saved_bytes(model: Any, method: str, length: int, half: bool, bits: int | None = None) -> int:
    """Return the bytes that a meta model's layers keep for backward, each storage once.

    It is a real forward pass up to the last hidden state, on tensors without data.
    """
    # Virtual tokens are few; what they cost is a gradient through a frozen model.
    if method in VIRTUAL:
        model.requires_grad_(False)
    else:
        adapted(model, method)
    model.train()
    kept = set()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.add(tensor.untyped_storage())
        return tensor

    with fake_tensors():
        without_data(model, method, half, bits)
        given = one_row(model, length, method in VIRTUAL)
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            AsOnGpu(half, keep if bits == 8 else None),
            torch.autocast("cpu", torch.bfloat16, enabled=half),
        ):
            model.base_model(**given, use_cache=False)

        # Weights are saved for backward too, but they are there anyway.
        weights = {weight.untyped_storage() for weight in model.parameters()}
        return sum(storage.nbytes() for storage in kept - weights)


def without_data(model: Any, method: str, half: bool, bits: int | None) -> None:
    """Give a meta model tensors without data on a device, in the precisions of `finetune`."""
    model.to_empty(device="cpu")
    if not half or method == "full":
        return
    # PEFT prepares a packed base so that all but its linear layers is float32.
    for module in model.modules():
        if bits is None or isinstance(module, linear_types()):
            for weight in module.parameters(recurse=False):
                if not weight.requires_grad:
                    weight.data = weight.data.bfloat16()


def one_row(model: Any, length: int, virtual: bool) -> dict[str, torch.Tensor]:
    """Return the inputs of a forward pass over one row; embeddings that want a gradient, as virtual
    tokens do, for a wholly frozen model.
    """
    ids = torch.zeros(1, length, dtype=torch.long)
    given = {"input_ids": ids}
    if virtual:
        given = {"inputs_embeds": model.get_input_embeddings()(ids).detach().requires_grad_()}
    if model.config.is_encoder_decoder:
        given |= {f"decoder_{name}": value for name, value in given.items()}
    return given


class AsOnGpu(TorchFunctionMode):
    """On tensors without data, keep what a GPU would keep in half precision.

    Its autocast runs powers, norms and softmax in float32. A dropout mask takes one byte, on a CPU
    four. Its fused attention keeps no scores, with dropout or without. `keep` is told what a frozen
    layer of 8 bits keeps itself: its input.
    """

    def __init__(self, half: bool, keep: Callable[[torch.Tensor], object] | None = None) -> None:
        super().__init__()
        self.half, self.keep = half, keep

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self.keep and func in LINEAR and not args[LINEAR[func] + 1].requires_grad:
            self.keep(args[LINEAR[func]])
        if func is functional.scaled_dot_product_attention:
            kwargs = kwargs | {"dropout_p": 0.0}
        if self.half and func is functional.dropout:
            return one_byte_dropout(*args, **kwargs)
        if self.half and func in FLOAT32 and args[0].dtype != torch.float32:
            args = (args[0].float(), *args[1:])
        return func(*args, **kwargs)


def one_byte_dropout(
    tensor: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    """Return dropout whose mask is of booleans."""
    return torch.native_dropout(tensor, p, True)[0] if p and training else tensor
