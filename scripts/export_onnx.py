"""Write a student as ONNX, with its key-value cache, as transformers.js and onnxruntime take it.

    python scripts/export_onnx.py STUDENT     writes STUDENT/onnx/model.onnx

In: a student folder. Out: one ONNX file of float32 whose inputs and outputs are named as in the
repositories of `onnx-community`; any batch, any length. Needs onnx and onnxscript beside torch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel

from miniluotuo_utils.files import written_whole

Layers = list[tuple[torch.Tensor, torch.Tensor]]


class WithCache(torch.nn.Module):
    """A student that takes its cache as plain tensors and gives it back so."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        past: Layers,
    ) -> tuple[torch.Tensor, Layers]:
        """Return logits [batch, length, vocabulary] and the cache with the new tokens in it."""
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=DynamicCache(past),
            use_cache=True,
        )
        return output.logits, [(at.keys, at.values) for at in output.past_key_values.layers]


def cache_names(prefix: str, layers: int) -> list[str]:
    """Return the names of a cache's tensors, in order.

    >>> cache_names("present", 1)
    ['present.0.key', 'present.0.value']
    """
    return [f"{prefix}.{layer}.{part}" for layer in range(layers) for part in ("key", "value")]


def example(config, batch: int = 2, length: int = 3, past: int = 4) -> tuple:
    """Return inputs of no meaning to trace a student with."""
    size = (batch, config.num_key_value_heads, past, config.head_dim)
    cache = [(torch.randn(size), torch.randn(size)) for _ in range(config.num_hidden_layers)]
    ids = torch.zeros(batch, length, dtype=torch.long)
    mask = torch.ones(batch, past + length, dtype=torch.long)
    positions = torch.arange(past, past + length).repeat(batch, 1)
    return ids, mask, positions, cache


def export(student: Path) -> Path:
    """Write `student/onnx/model.onnx` and return its path; a file that was there is replaced."""
    model = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32)
    layers = model.config.num_hidden_layers
    now = {0: "batch_size", 1: "sequence_length"}
    whole = {0: "batch_size", 1: "total_sequence_length"}
    before = {0: "batch_size", 2: "past_sequence_length"}
    names = ["input_ids", "attention_mask", "position_ids"]
    program = torch.onnx.export(
        WithCache(model).eval(),
        example(model.config),
        dynamo=True,
        dynamic_shapes=(now, whole, now, [(before, before)] * layers),
        input_names=[*names, *cache_names("past_key_values", layers)],
        output_names=["logits", *cache_names("present", layers)],
        external_data=False,
        verbose=False,
    )
    path = student / "onnx" / "model.onnx"
    with written_whole(path) as partial:
        program.save(partial)
    return path


def main() -> None:
    """Read the command line, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", type=Path)
    print(export(parser.parse_args().student))


if __name__ == "__main__":
    main()
