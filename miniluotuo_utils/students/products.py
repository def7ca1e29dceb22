"""Multiply in float32 what is kept in half precision, on a CPU that only imitates half precision.

In: a model. Out: the same, whose frozen layers take half the memory and not thirty times the time.
Used by `load_student`; measured by `benchmarks/full_size.py`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from miniluotuo_utils.students.internals import cpu_computes_bf16, linear_types

HALVES = (torch.bfloat16, torch.float16)


class Product(torch.autograd.Function):
    """`x` [..., in] times a frozen `weight` [in, out], which is float32 only while it is used.

    Autograd would keep that copy from the forward to the backward pass: twice the weights again.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight)
        return (x.float() @ weight.float()).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (weight,) = ctx.saved_tensors
        return (gradient.float() @ weight.float().T).to(gradient.dtype), None


def multiply_in_float32(model: torch.nn.Module) -> None:
    """Let linear layers that are kept in half precision use `Product`, on a CPU that imitates it.

    torch multiplies halves one by one where the second matrix stands untransposed: every layer of
    GPT-2 forward, every other one backward. A layer whose weight is trained stays as it is.
    """
    if model.device.type != "cpu" or cpu_computes_bf16():
        return
    for module in model.modules():
        if isinstance(module, linear_types()) and module.weight.dtype in HALVES:
            module.forward = partial(linear, module)


def linear(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return what a linear layer gives for `x` [..., in]."""
    weight, plain = module.weight, isinstance(module, torch.nn.Linear)
    # Forward alone, torch is fast enough where the weight is used transposed.
    if weight.requires_grad or weight.dtype not in HALVES or (plain and not x.requires_grad):
        return type(module).forward(module, x)
    found = Product.apply(x, weight.T if plain else weight)
    return found if module.bias is None else found + module.bias
