"""How large a student is and what a training step costs: parameters, FLOPs and bytes, from its configuration alone.

In: a transformers configuration. Out: numbers. Nothing is loaded: the model is built on torch's meta device, without weights.
Shown in notebook 04.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig

NF4_BITS = (
    4 + 8 / 64 + 32 / (64 * 256)
)  # QLoRA (Dettmers et al. 2023): one 8-bit scale per 64 weights, one 32-bit scale per 256 of those
LOW_RANK = ("lora", "qlora", "adalora")
LOGIT_BYTES = (
    12  # float32 logits, their log-softmax and its gradient, all there when backward begins
)


@dataclass(frozen=True)
class Linear:
    """One linear layer: its name and widths."""

    name: str
    inputs: int
    outputs: int

    @property
    def weights(self) -> int:
        """Entries of the weight matrix, which is also the multiply-adds per token."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Anatomy:
    """What the meta model says: `parameters` (tied ones once), the `linear` layers without the output layer, and the output layer's `head`."""

    parameters: int
    linear: tuple[Linear, ...]
    head: Linear

    @property
    def matmul(self) -> int:
        """Weights of all linear layers without the output layer."""
        return sum(layer.weights for layer in self.linear)


def anatomy(config: PretrainedConfig) -> Anatomy:
    """The linear layers and parameters of the model that `config` describes (kept, so that asking twice costs nothing)."""
    return _anatomy(
        type(config), json.dumps(unquantised(config).to_dict(), sort_keys=True, default=str)
    )


def unquantised(config: PretrainedConfig) -> PretrainedConfig:
    """A copy of the configuration of the same model in full precision: packed 4-bit weights would be counted at half their number."""
    plain = copy.deepcopy(config)
    plain.__dict__.pop("quantization_config", None)
    return plain


@lru_cache(maxsize=64)
def _anatomy(kind: type, text: str) -> Anatomy:
    import torch
    from transformers.pytorch_utils import Conv1D

    model = meta_model(kind.from_dict(json.loads(text)))
    head, found = model.get_output_embeddings(), []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head:
            wide = (
                tuple(module.weight.shape)
                if isinstance(module, Conv1D)
                else tuple(module.weight.shape)[::-1]
            )
            found.append(Linear(name, *wide))
    return Anatomy(
        sum(p.numel() for p in model.parameters()),
        tuple(found),
        Linear("head", head.weight.shape[1], head.weight.shape[0]),
    )


def parameter_count(config: PretrainedConfig) -> int:
    """Parameters of the model that `config` describes, tied weights once.

    >>> from transformers import GPT2Config
    >>> parameter_count(GPT2Config())  # GPT-2 small
    124439808
    """
    return anatomy(config).parameters


def linear_parameters(config: PretrainedConfig) -> int:
    """Weights of all linear layers but the output layer: what LoRA adapts and QLoRA stores in 4 bits.

    >>> from transformers import GPT2Config
    >>> linear_parameters(GPT2Config()) == 12 * 12 * 768**2  # layers × (attention 4 + MLP 8) × width²
    True
    """
    return anatomy(config).matmul


def lora_parameters(config: PretrainedConfig, rank: int = 16) -> int:
    """Trainable parameters of LoRA on all linear layers but the output layer: rank × (inputs + outputs) each.

    >>> from transformers import GPT2Config
    >>> lora_parameters(GPT2Config(), 16) == 12 * 16 * (768 * 4 + 768 * 2 + 768 * 5 * 2)  # c_attn, c_proj, c_fc and the MLP's c_proj
    True
    """
    return sum(rank * (layer.inputs + layer.outputs) for layer in anatomy(config).linear)


def trainable_parameters(
    config: PretrainedConfig, method: str, rank: int = 16, tokens: int = 20
) -> int:
    """How many parameters a method of `finetune` trains, with `tokens` virtual tokens for prefix, prompt and p_tuning.

    Raises ValueError for an unknown method.
    """
    both = 2 if config.is_encoder_decoder else 1
    width = config.hidden_size
    if method == "full":
        return parameter_count(config)
    if method in ("lora", "qlora"):
        return lora_parameters(config, rank)
    if method == "adalora":  # starts at 1.5 × rank, and has a third factor, the singular values
        start = rank * 3 // 2
        return lora_parameters(config, start) + start * len(anatomy(config).linear)
    if method == "prefix":  # keys and values of every layer; PEFT gives them to the decoder alone
        return tokens * 2 * kv_width(config) * config.num_hidden_layers
    if method == "prompt":
        return tokens * width * both
    if method == "p_tuning":  # an embedding and a perceptron of three layers, 128 wide inside
        return (
            tokens * width * both + (width * 128 + 128) + (128 * 128 + 128) + (128 * width + width)
        )
    raise ValueError(
        f"method is {method!r}; expected one of full, lora, qlora, adalora, prefix, prompt, p_tuning"
    )


def layers_of(config: PretrainedConfig) -> tuple[int, int]:
    """Layers of encoder and decoder; a decoder-only model has no encoder.

    >>> from transformers import GPT2Config, T5Config
    >>> layers_of(GPT2Config()), layers_of(T5Config())
    ((0, 12), (6, 6))
    """
    if not config.is_encoder_decoder:
        return 0, config.num_hidden_layers
    decoder = (
        getattr(config, "num_decoder_layers", None)
        or getattr(config, "decoder_layers", None)
        or config.num_hidden_layers
    )
    return getattr(config, "encoder_layers", None) or config.num_hidden_layers, decoder


def head_width(config: PretrainedConfig) -> int:
    """Width of one attention head."""
    found = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    return found or config.hidden_size // config.num_attention_heads


def attention_width(config: PretrainedConfig) -> int:
    """Width of all query heads together."""
    return config.num_attention_heads * head_width(config)


def kv_width(config: PretrainedConfig) -> int:
    """Width of all key heads together, smaller than `attention_width` where heads share keys (GQA)."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return heads * head_width(config)


@dataclass(frozen=True)
class Forward:
    """FLOPs of one forward pass: per source token, per target token (encoder–decoders only), per position of the output layer."""

    source: float
    target: float
    head: float


def forward_flops(config: PretrainedConfig, length: int, target_length: int = 0) -> Forward:
    """FLOPs per token of one forward pass over rows of `length` tokens (and answers of `target_length` for encoder–decoders).

    A linear layer costs 2 per weight and token; attention 4 · length · width per token and layer (scores and sums, not
    halved for the causal mask, and the whole length even where packed rows do not see each other). Norms, activations, softmax
    and position biases are left out. This is PaLM's convention (Chowdhery et al. 2022, appendix B: 6N + 12LHQT for training).
    """
    found, width = anatomy(config), attention_width(config)
    encoder_layers, decoder_layers = layers_of(config)
    if not config.is_encoder_decoder:
        return Forward(
            2 * found.matmul + 4 * length * width * decoder_layers, 0.0, 2 * found.head.weights
        )
    source = sum(layer.weights for layer in found.linear if on_source(layer.name))
    target = found.matmul - source
    across = 4 * length * width * decoder_layers  # every target token looks at the whole source
    return Forward(
        2 * source + 4 * length * width * encoder_layers,
        2 * target + 4 * target_length * width * decoder_layers + across,
        2 * found.head.weights,
    )


def on_source(name: str) -> bool:
    """Whether an encoder–decoder's layer runs on source tokens: the encoder, and the keys and values of the decoder's look at it.

    >>> on_source("encoder.block.0.layer.1.DenseReluDense.wi"), on_source("decoder.block.0.layer.1.EncDecAttention.q")
    (True, False)
    >>> on_source("decoder.block.0.layer.1.EncDecAttention.v"), on_source("model.decoder.layers.0.encoder_attn.k_proj")
    (True, True)
    """
    last = name.rpartition(".")[2]
    across = "EncDecAttention" in name or "encoder_attn" in name
    return (across and last in ("k", "v", "k_proj", "v_proj")) or (
        not across and "encoder." in name and "decoder." not in name
    )


def training_flops(
    config: PretrainedConfig,
    tokens: float,
    supervised: float,
    length: int,
    method: str = "full",
    checkpointing: bool = False,
    target_tokens: float = 0,
    target_length: int = 0,
) -> float:
    """FLOPs of training on `tokens` (source) tokens, of which `supervised` go through the output layer.

    Training every weight costs three forward passes: forward, the gradient of the activations, the gradient of the weights. A
    frozen base costs two, and three for its small adapter; attention, which has no weights, always three. Recomputation
    adds one forward pass of all layers, not of the output layer, which stands outside them.
    """
    once = forward_flops(config, length, target_length)
    frozen = 2.0 if method != "full" else 3.0
    head = once.head * supervised * frozen
    layers = once.source * tokens + once.target * target_tokens
    if method == "full":
        return head + layers * (4 if checkpointing else 3)
    bare = forward_flops(config, 0)
    linear = bare.source * tokens + bare.target * target_tokens
    adapter = linear * adapter_share(config, method)
    return (
        head
        + frozen * linear
        + 3 * (layers - linear)
        + 3 * adapter
        + (layers + adapter if checkpointing else 0)
    )


def adapter_share(config: PretrainedConfig, method: str) -> float:
    """The low-rank adapter's weights as a share of the linear layers' weights; 0 for virtual tokens, which have no matrices."""
    if method in LOW_RANK:
        return trainable_parameters(config, method) / linear_parameters(config)
    return 0.0


def flops_per_token(
    config: PretrainedConfig,
    length: int,
    method: str = "full",
    checkpointing: bool = False,
    supervised_share: float = 1.0,
    target_length: int | None = None,
) -> float:
    """FLOPs of training per token, for rows of `length` tokens of which `supervised_share` go through the output layer.

    For an encoder–decoder: per source token, with answers of `target_length` tokens (as long as the source where not given),
    which are all supervised. GPT-2 3.5 B (30 layers × 3072) at 1,024 tokens: 22.4 GFLOP in full, 15.5 with LoRA of rank 16.

    >>> from transformers import GPT2Config
    >>> large = GPT2Config(n_layer=30, n_embd=3072, n_head=32, vocab_size=50304)
    >>> [round(flops_per_token(large, 1024, method) / 1e9, 1) for method in ("full", "lora")]
    [22.4, 15.5]
    """
    if not config.is_encoder_decoder:
        return training_flops(config, 1, supervised_share, length, method, checkpointing)
    answer = length if target_length is None else target_length
    return training_flops(
        config, 1, answer / length, length, method, checkpointing, answer / length, answer
    )


def training_memory(
    config: PretrainedConfig,
    method: str = "full",
    length: int = 1024,
    batch: int = 1,
    checkpointing: bool = False,
    supervised_share: float = 1.0,
    half: bool = True,
) -> dict[str, int]:
    """Bytes that training takes at its peak, by part: weights, gradients, optimizer, activations, logits, and their `total`.

    It is what `finetune` does: trained weights, their gradients and AdamW's two moments in float32; `half` means autocast on a GPU to
    bfloat16 or float16, with a frozen base in that precision too (qlora: NF4 with double quantisation, all but linear layers in
    float32, as PEFT prepares it); without it everything is float32. `weights` holds autocast's half-precision copies too. Logits
    are made for `supervised_share` of the positions. Activations are not guessed: see `activation_memory`. The peak is the
    start of the second backward of an accumulated step, when everything is there at once; without accumulation the gradients
    take the room that activations leave. Left out: what CUDA itself takes (about half a GiB) and the allocator's gaps. Compared
    with measurement by benchmarks/planner_check.py: so far in float32 on a CPU; on a GPU it was not measured.
    """
    found, trained = anatomy(config), trainable_parameters(config, method)
    per_row, copies = activation_memory(config, method, length, half)
    size = 2 if half else 4
    if method == "full":
        weights = 4 * found.parameters + copies + (2 * found.head.weights if half else 0)
    elif method == "qlora":
        widest = max(layer.weights for layer in found.linear)
        weights = (
            found.matmul * NF4_BITS / 8
            + 4 * (found.parameters - found.matmul)
            + 2 * widest
            + 4 * trained
            + copies
        )
    else:
        weights = size * found.parameters + 4 * trained + copies
    activations = batch * (
        per_row if not checkpointing else checkpointed(config, method, length, half, per_row)
    )
    everywhere = config.is_encoder_decoder or method not in (
        "full",
        "lora",
        "qlora",
    )  # there the model makes its logits itself
    logits = (
        batch
        * length
        * found.head.outputs
        * (LOGIT_BYTES * supervised_share + (size if everywhere else 0))
    )
    parts = {
        "weights": weights,
        "gradients": 4 * trained,
        "optimizer": 8 * trained,
        "activations": activations,
        "logits": logits,
    }
    return {name: int(value) for name, value in parts.items()} | {
        "total": sum(int(value) for value in parts.values())
    }


def checkpointed(
    config: PretrainedConfig, method: str, length: int, half: bool, per_row: float
) -> float:
    """Activations of one row with recomputation: the input of every layer, and one layer's own while it is recomputed."""
    layers = sum(layers_of(config))
    size = (
        2 if half and method not in ("full", "qlora") else 4
    )  # float32 embeddings make a float32 residual stream
    return min(per_row, layers * length * config.hidden_size * size + per_row / layers)


def activation_memory(
    config: PretrainedConfig, method: str, length: int, half: bool = True
) -> tuple[int, int]:
    """Bytes that the layers keep for backward: per row of `length` tokens, and once (autocast's copies of the weights).

    Counted, not estimated: the real forward pass of the first two layers runs on tensors without data, and what it saves for
    backward is added up, each storage once; the other layers are like the second. For GPT-2 in float32 with no dropout that is
    28 numbers per token, layer and unit of width: 2 inputs of norms, 7 inputs of linear layers, 3 of queries, keys and values, 16
    inside the activation function gelu_new. (Korthikanti et al. 2022 find 34 bytes per layer in half precision with a fused
    activation, plus attention scores, which SDPA no longer keeps.) T5's learned position bias makes SDPA keep its scores.
    """
    key = json.dumps(unquantised(config).to_dict(), sort_keys=True, default=str)
    one, two = (_saved_bytes(type(config), key, method, length, half, depth) for depth in (1, 2))
    stacks = [layers for layers in layers_of(config) if layers]
    saved, copies = round(one + (two - one) * (sum(stacks) / len(stacks) - 1)), 0
    if half and method in ("full", *LOW_RANK):
        copies = 2 * (
            linear_parameters(config) if method == "full" else trainable_parameters(config, method)
        )
    return saved - copies, copies


@lru_cache(maxsize=64)
def _two_layers(kind: type, text: str) -> Any:
    return shallow(meta_model(kind.from_dict(json.loads(text))), 2)


@lru_cache(maxsize=256)
def _saved_bytes(kind: type, text: str, method: str, length: int, half: bool, depth: int) -> int:
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    model = adapted(shallow(copy.deepcopy(_two_layers(kind, text)), depth), method)
    with FakeTensorMode():
        model = without_data(model, method, half)
        own = {p.untyped_storage()._cdata for p in model.parameters()}
        kept: dict[int, torch.Tensor] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept.setdefault(tensor.untyped_storage()._cdata, tensor)
            return tensor

        ids = torch.zeros(1, length, dtype=torch.long)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), like_gpu(half):
            run_body(model, ids, frozen=method not in ("full", *LOW_RANK))
        return sum(
            tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own
        )


def meta_model(config: PretrainedConfig) -> Any:
    """The model that `config` describes, without memory for its weights."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):
        return auto.from_config(config, dtype=torch.float32)


def shallow(model: Any, depth: int) -> Any:
    """The meta model with the first `depth` layers of every stack, that is of every outermost list of modules."""
    import torch

    for name, child in list(model.named_children()):
        if isinstance(child, torch.nn.ModuleList):
            setattr(model, name, child[:depth])
        else:
            shallow(child, depth)
    return model


def adapted(model: Any, method: str) -> Any:
    """The meta model as `method` trains it: all its weights, or frozen with a low-rank adapter."""
    from peft import get_peft_model

    from miniluotuo_utils.students.devices import quiet
    from miniluotuo_utils.students.methods import RANK, peft_config

    if method != "full":
        model.requires_grad_(False)
    if method in LOW_RANK:
        with quiet():
            model = get_peft_model(
                model, peft_config(model, method, 100, RANK), low_cpu_mem_usage=True
            )
    return model.train()


def without_data(model: Any, method: str, half: bool) -> Any:
    """The meta model with tensors that know device and type but have no data, in the precisions of `finetune`; under a fake tensor mode."""
    import torch
    from transformers.pytorch_utils import Conv1D

    for module in model.modules():
        halved = (
            half
            and method != "full"
            and (method != "qlora" or isinstance(module, torch.nn.Linear | Conv1D))
        )
        for name, weight in list(module.named_parameters(recurse=False)):
            dtype = torch.bfloat16 if halved and not weight.requires_grad else torch.float32
            module._parameters[name] = torch.nn.Parameter(
                torch.empty(weight.shape, dtype=dtype), requires_grad=weight.requires_grad
            )
        for name, buffer in list(module.named_buffers(recurse=False)):
            module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
    return model


def run_body(model: Any, ids: Any, frozen: bool) -> None:
    """A forward pass up to the last hidden state; a wholly frozen model gets embeddings that want a gradient, as virtual tokens do."""
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    both = model.config.is_encoder_decoder
    given = {"input_ids": ids}
    if frozen:
        given = {"inputs_embeds": whole.get_input_embeddings()(ids).detach().requires_grad_()}
    if both:
        given |= {"decoder_" + name: value for name, value in given.items()}
    whole.base_model(**given, use_cache=False)


@contextmanager
def like_gpu(half: bool) -> Iterator[None]:
    """On tensors without data, what a GPU would keep in `half`: its autocast runs powers, norms and softmax in float32 (torch's documentation
    of autocast lists them), a dropout mask takes one byte (on a CPU four), and its fused attention keeps no scores, with dropout or without."""
    import torch
    from torch.overrides import TorchFunctionMode

    functional = torch.nn.functional
    precise = {
        torch.pow,
        torch.Tensor.pow,
        torch.Tensor.__pow__,
        functional.layer_norm,
        functional.softmax,
    }

    class Mode(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            if half and func is functional.dropout:
                return masked(*args, **kwargs)
            if func is functional.scaled_dot_product_attention:
                kwargs = kwargs | {"dropout_p": 0.0}
            if half and func in precise and args[0].dtype != torch.float32:
                args = (args[0].float(), *args[1:])
            return func(*args, **kwargs)

    def masked(tensor, p=0.5, training=True, inplace=False):
        return torch.native_dropout(tensor, p, True)[0] if p and training else tensor

    with Mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        yield
