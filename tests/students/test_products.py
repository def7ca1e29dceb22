"""Weights in half precision on a CPU: as exact as float32 products, in half the memory."""

import pytest
import torch
from tiny_random import saved, tiny_random

from miniluotuo_utils.students import finetune, load_student, merge, products, save

ROW = {"instruction": "数到三", "input": "", "output": "一二三", "source": "x"}


def forward_and_back(model):
    """Logits, the gradient of the input, and types and shapes of what was kept in between."""
    ids, kept = torch.arange(5, 25)[None], set()

    def keep(tensor):
        kept.add((tensor.dtype, tensor.shape))
        return tensor

    embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(inputs_embeds=embedded).logits
    logits.float().square().mean().backward()
    return logits.float(), embedded.grad.float(), kept


@pytest.mark.parametrize("name", ["gpt2-124m", "qwen3-0.6b"])
def test_a_layer_in_half_precision_is_that_of_float32(name, tmp_path, monkeypatch):
    """A 3.5 B student in bfloat16 would have taken hours for one step on a CPU, and a float32 copy
    of every weight that backward keeps is what half precision was to spare."""
    monkeypatch.setattr(products, "cpu_computes_bf16", lambda: False)
    folder = saved(tiny_random(name), tmp_path / name)
    half = load_student(folder, "cpu", "bfloat16").model
    # The same weights, computed in float32 from end to end.
    whole = load_student(folder, "cpu").model
    whole.load_state_dict({key: weight.float() for key, weight in half.state_dict().items()})
    half.requires_grad_(False)
    found = [forward_and_back(model) for model in (half, whole)]
    (logits, gradient, kept), (right, right_gradient, _) = found
    assert (logits - right).abs().max() < 0.03 * right.abs().max()
    assert (gradient - right_gradient).abs().max() < 0.1 * right_gradient.abs().max()
    shapes = {weight.shape for weight in half.parameters() if weight.ndim == 2}
    assert not [shape for dtype, shape in kept if dtype == torch.float32 and shape in shapes]


def test_an_adapter_on_half_precision_comes_back_and_merges(tmp_path, monkeypatch):
    """LoRA on a base in bfloat16: what was saved is what was trained, merged too."""
    monkeypatch.setattr(products, "cpu_computes_bf16", lambda: False)
    folder = saved(tiny_random("gpt2-124m"), tmp_path / "base")
    student = load_student(folder, "cpu", "bfloat16")
    training = finetune(student, [ROW] * 4, "lora", max_steps=3, learning_rate=1e-2)
    assert training.log[-1]["loss"] < training.log[0]["loss"]
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        expected = student.model(ids).logits.float()
        save(student, tmp_path / "adapter")
        again = load_student(tmp_path / "adapter", "cpu", "bfloat16")
        assert torch.equal(again.model(ids).logits.float(), expected)
        merged = merge(again).model(ids).logits.float()
    assert (merged - expected).abs().max() < 0.03 * expected.abs().max()
