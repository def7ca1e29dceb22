"""Reach inside the libraries: every name of torch, transformers and TRL that their documentation
does not promise is used here and nowhere else.

In: their objects. Out: what training and planning need of them. A test names each one that a new
version breaks. Used by notebook 04.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any


def fake_tensors() -> Any:
    """Return a context in which tensors have a shape, a type and a device, but no data."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode(allow_non_fake_inputs=True)  # a model comes from the meta device


def linear_types() -> tuple[type, ...]:
    """Return the classes of linear layers: torch's, and GPT-2's with its turned weight."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return torch.nn.Linear, Conv1D


def cpu_computes_bf16() -> bool:
    """Return whether this processor multiplies bfloat16 itself (AVX-512 BF16 or AMX).

    Emulated, bfloat16 would be slower than float32.
    """
    import torch

    # An older torch lacks one of the two: then it does not use that unit either.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in probes)


def use_one_gpu(arguments: Any) -> None:
    """Keep a trainer's process on one GPU; several GPUs need `accelerate launch`."""
    arguments._n_gpu = min(1, arguments.n_gpu)


def cut_up_on_cpu(arguments: Any) -> None:
    """Let a trainer's processes on a CPU cut a student up, too: accelerate does so for GPUs alone.

    It would keep a whole copy in every process, and say nothing.
    """
    from accelerate.utils import DistributedType

    state = arguments.distributed_state
    if state.distributed_type == DistributedType.MULTI_CPU:
        state.distributed_type = DistributedType.MULTI_GPU


def load_checkpoint(trainer: Any, checkpoint: Path) -> None:
    """Give a trainer's model the weights of a checkpoint, without training."""
    trainer._load_from_checkpoint(str(checkpoint))


def tied_names(model: Any) -> list[str]:
    """Return the names in a state dict that only repeat another weight (tied embeddings)."""
    tied = model.config.tie_word_embeddings
    return list(getattr(model, "_tied_weights_keys", None) or ()) if tied else []


def on_policy_kind(encoded: Sequence[tuple[list[int], list[int]]], own: float) -> type:
    """Return TRL's `DistillationTrainer` for prompts that are tokens already.

    A row's prompt is a number, as text: its place in `encoded`, pairs of the ids of a prompt and of
    an answer. The student answers a share of `own` of them itself.
    """
    import torch
    from trl import DistillationTrainer

    class FromTokens(DistillationTrainer):
        """It asks with our ids, and takes an answer as it stands where it is not the student's."""

        # The library's order of rows comes from a generator that no checkpoint keeps: after a kill
        # every epoch would have the order of the first. Here the epoch decides.
        def _get_train_sampler(self, dataset=None):
            sampler, seed = super()._get_train_sampler(dataset), self.args.seed
            sampler.set_epoch = lambda epoch: sampler.generator.manual_seed(seed + epoch)
            return sampler

        # A number is short to carry, and its tokens are those of training to the last one.
        def _tokenize_prompts(self, prompts):
            self.asked = [int(prompt) for prompt in prompts]
            return [encoded[number][0] for number in self.asked], None, {}

        def _generate_single_turn(self, prompt_ids, *more, **named):
            # Drawn from the generator that a checkpoint keeps.
            written = [number for number, p in enumerate(torch.rand(len(prompt_ids))) if p < own]
            answers = [encoded[number][1] for number in self.asked]
            # The library asks about all that it is given, so it is given only these.
            if written:
                asked = [prompt_ids[number] for number in written]
                found = super()._generate_single_turn(asked, *more, **named)
                for number, answer in zip(written, found, strict=True):
                    answers[number] = answer
            return answers

        _get_last_hidden_state = states_at_own_places

    return FromTokens


def states_at_own_places(_, model, input_ids, attention_mask, logits_to_keep, **__):
    """Return the last hidden states of answers, for TRL's trainer, each prompt at its own places.

    Shorter prompts are padded in front, and the library lets GPT-2 count its places from there; it
    has learned, and answered, with the first token at 0.
    """
    inside = model.get_base_model() if hasattr(model, "get_base_model") else model
    body, more = inside.base_model, {"use_cache": False}
    if "position_ids" in signature(body.forward).parameters:
        more["position_ids"] = (attention_mask.cumsum(-1) - 1).clamp(min=0)
    states = body(input_ids=input_ids, attention_mask=attention_mask, **more)[0]
    return states[:, :-1][:, -logits_to_keep:]


def serving() -> Any:
    """Return the parts of `transformers serve`: model manager, handler, and what joins them."""
    from types import SimpleNamespace

    from transformers.cli.serving.chat_completion import ChatCompletionHandler
    from transformers.cli.serving.model_manager import ModelManager
    from transformers.cli.serving.server import build_server
    from transformers.cli.serving.utils import GenerationState

    return SimpleNamespace(
        ChatCompletionHandler=ChatCompletionHandler,
        GenerationState=GenerationState,
        ModelManager=ModelManager,
        build_server=build_server,
    )
