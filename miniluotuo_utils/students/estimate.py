"""Estimate what a student is and what a training step costs, from its configuration alone.

In: a transformers configuration. Out: parameters, FLOPs and bytes. Facts stand here; what follows
from them for one GPU, the verdict, stands in `planner`. Nothing is loaded: see `meta`. Shown in
notebook 04.
"""

from __future__ import annotations

import copy
import json
from collections import namedtuple
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.choices import check_choice
from miniluotuo_utils.students.internals import linear_types
from miniluotuo_utils.students.methods import LOW_RANK, METHODS, RANK

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# QLoRA (Dettmers et al. 2023): an 8-bit scale per 64 weights, a 32-bit scale per 256 of those.
NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)
# LLM.int8 (Dettmers et al. 2022) has a scale per output, too, which is less than a thousandth.
PACKED = {4: NF4_BITS, 8: 8}
# Bytes of a weight that is unpacked: in half precision, or in that of what comes in.
UNPACKED = {4: 2, 8: 4}
# Float32 logits, their log-softmax and its gradient: all there when backward begins.
LOGIT_BYTES = 12


def kept_by_configuration(function: Callable) -> Callable:
    """Decorate a function of a configuration so that asking twice costs nothing.

    Configurations cannot be keys of a cache themselves. What says that weights are packed in 4 bits
    is left out: they would be counted at half their number.
    """

    @lru_cache(maxsize=256)
    def from_text(kind: type, text: str, *rest: Any, **named: Any) -> Any:
        return function(kind.from_dict(json.loads(text)), *rest, **named)

    @wraps(function)
    def asked(config: PreTrainedConfig, *rest: Any, **named: Any) -> Any:
        facts = config.to_dict()
        facts.pop("quantization_config", None)
        text = json.dumps(facts, sort_keys=True, default=str)
        return from_text(type(config), text, *rest, **named)

    return asked


# What a model consists of, in numbers of weights. `parameters` counts tied weights once. `linear`
# are all linear layers but the output layer: what QLoRA stores in 4 bits. Of these, `source` run on
# the prompt's tokens of an encoder–decoder and on all tokens elsewhere, and `target` on the
# answer's. `widest` is the largest of them, `layers` their number and `ends` the sum of their
# inputs and outputs. `head` is the output layer, with `vocabulary` rows.
Anatomy = namedtuple(
    "Anatomy", "parameters linear source target widest layers ends head vocabulary"
)


@kept_by_configuration
def anatomy(config: PreTrainedConfig) -> Anatomy:
    """Return the numbers of weights of the model that `config` describes.

    >>> from transformers import GPT2Config
    >>> small = anatomy(GPT2Config())
    >>> small.parameters
    124439808
    >>> small.linear == 12 * 12 * 768**2  # layers × (attention 4 + MLP 8) × width²
    True
    """
    from miniluotuo_utils.students.meta import meta_model

    model = meta_model(config)
    head = model.get_output_embeddings()
    linear = {
        name: module.weight
        for name, module in model.named_modules()
        if isinstance(module, linear_types()) and module is not head
    }
    sizes = [weight.numel() for weight in linear.values()]
    target = 0
    if config.is_encoder_decoder:
        target = sum(w.numel() for name, w in linear.items() if not on_source(name))
    return Anatomy(
        parameters=sum(p.numel() for p in model.parameters()),
        linear=sum(sizes),
        source=sum(sizes) - target,
        target=target,
        widest=max(sizes),
        layers=len(sizes),
        ends=sum(sum(weight.shape) for weight in linear.values()),
        head=head.weight.numel(),
        vocabulary=len(head.weight),
    )


def on_source(name: str) -> bool:
    """Return whether an encoder–decoder's layer runs on the prompt's tokens: the encoder, and the
    keys and values of the decoder's look at it.

    >>> on_source("encoder.block.0.layer.1.DenseReluDense.wi")
    True
    >>> on_source("decoder.block.0.layer.1.EncDecAttention.q")
    False
    >>> on_source("decoder.layers.0.encoder_attn.k_proj")
    True
    """
    if "EncDecAttention" in name or "encoder_attn" in name:
        return name.rpartition(".")[2] in ("k", "v", "k_proj", "v_proj")
    return "encoder." in name and "decoder." not in name


@kept_by_configuration
def trainable_parameters(config: PreTrainedConfig, method: str) -> int:
    """Return how many parameters a method of `finetune` trains; ValueError for an unknown method.

    >>> from transformers import GPT2Config
    >>> layer = 768 * 4 + 768 * 2 + 768 * 5 * 2  # inputs + outputs: c_attn, c_proj, c_fc, c_proj
    >>> trainable_parameters(GPT2Config(), "lora") == 12 * RANK * layer
    True
    """
    from miniluotuo_utils.students.meta import adapted, meta_model

    check_choice("method", method, METHODS)
    if method in ("lora", "qlora"):
        return RANK * anatomy(config).ends
    # AdaLoRA starts at 1.5 × rank and has a third factor, the singular values.
    if method == "adalora":
        return RANK * 3 // 2 * (anatomy(config).ends + anatomy(config).layers)
    # All weights, or virtual tokens, which PEFT itself makes of few parameters.
    model = adapted(meta_model(config), method)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def layers_of(config: PreTrainedConfig) -> tuple[int, int]:
    """Return the layers of encoder and decoder; a decoder-only model has no encoder.

    >>> from transformers import GPT2Config, T5Config
    >>> layers_of(GPT2Config()), layers_of(T5Config())
    ((0, 12), (6, 6))
    """
    layers = config.num_hidden_layers
    if not config.is_encoder_decoder:
        return 0, layers
    decoder = getattr(config, "num_decoder_layers", None) or getattr(config, "decoder_layers", None)
    return getattr(config, "encoder_layers", None) or layers, decoder or layers


def attention_width(config: PreTrainedConfig) -> int:
    """Return the width of all query heads together."""
    own = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    return config.num_attention_heads * (own or config.hidden_size // config.num_attention_heads)


def training_flops(
    config: PreTrainedConfig,
    tokens: float,
    supervised: float,
    length: int,
    method: str = "full",
    checkpointing: bool = False,
    target_tokens: float = 0,
    target_length: float = 0,
) -> float:
    """Return the FLOPs of training on `tokens`, of which `supervised` go through the output layer.

    Rows have `length` tokens. An encoder–decoder counts its prompts so, and its answers as
    `target_tokens` in rows of `target_length`.

    A linear layer costs 2 FLOPs per weight and token. Attention costs 4 · length · width per token
    and layer (scores and sums, not halved for the causal mask, and the whole length even where
    packed rows do not see each other). Norms, activations, softmax and position biases are left
    out. This is PaLM's convention (Chowdhery et al. 2022, appendix B: 6N + 12LHQT for training).

    Training every weight costs three forward passes: forward, the gradient of the activations, the
    gradient of the weights. A frozen base costs two, and three for its small adapter; attention,
    which has no weights, always three. Recomputation adds one forward pass of all layers, not of
    the output layer, which stands outside them.
    """
    found, (encoder, decoder) = anatomy(config), layers_of(config)
    head = 2 * found.head * supervised
    source, target = 2 * found.source, 2 * found.target
    linear = source * tokens + target * target_tokens

    # Every target token looks at the whole source too.
    pair = 4 * attention_width(config)
    source += pair * length * (encoder or decoder)
    target += pair * (target_length + length) * decoder
    layers = source * tokens + target * target_tokens
    if method == "full":
        return 3 * head + (4 if checkpointing else 3) * layers

    # Virtual tokens have no matrices.
    adapter = 0.0
    if method in LOW_RANK:
        adapter = linear * (trainable_parameters(config, method) / found.linear)
    again = layers + adapter if checkpointing else 0
    return 2 * head + 2 * linear + 3 * (layers - linear) + 3 * adapter + again


def flops_per_token(
    config: PreTrainedConfig,
    length: int,
    method: str = "full",
    checkpointing: bool = False,
) -> float:
    """Return the FLOPs of training per token, for rows of `length` tokens that all go through the
    output layer.

    For an encoder–decoder: per source token, with answers as long as the source. GPT-2 3.5 B (30
    layers × 3072) at 1,024 tokens: 22.4 GFLOP in full, 15.5 with LoRA of rank 16.

    >>> from transformers import GPT2Config
    >>> large = GPT2Config(n_layer=30, n_embd=3072, n_head=32, vocab_size=50304)
    >>> [round(flops_per_token(large, 1024, method) / 1e9, 1) for method in ("full", "lora")]
    [22.4, 15.5]
    """
    answers = (1, length) if config.is_encoder_decoder else (0, 0)
    return training_flops(config, 1, 1, length, method, checkpointing, *answers)


def training_memory(
    config: PreTrainedConfig,
    method: str = "full",
    length: int = 1024,
    batch: int = 1,
    checkpointing: bool = False,
    half: bool = True,
    bits: int | None = None,
    processes: int = 1,
) -> dict[str, int]:
    """Return the bytes that training takes at its peak, by part: weights, gradients, optimizer,
    activations, logits, and their `total`.

    It is what `finetune` does: trained weights, their gradients and AdamW's two moments in float32.
    `half` means autocast on a GPU to bfloat16 or float16; without it everything is float32. `bits`
    are those of a frozen base's linear layers, 4 or 8; None: whole ones, and 4 for qlora. Logits
    are made for every position. Activations are not guessed: see `activation_memory`. The peak is
    the start of the second backward of an accumulated step, when everything is there at once;
    without accumulation the gradients take the room that activations leave. Left out: what CUDA
    itself takes (about half a GiB) and the allocator's gaps. Compared with measurement by
    benchmarks/planner_check.py and full_size.py: so far on a CPU; on a GPU it was not measured.

    With `processes`, FSDP2 cuts the student into so many parts, and this is what one process takes
    for its `batch`: see `gathered_bytes`.
    """
    bits = 4 if method == "qlora" else bits
    trained, found = trainable_parameters(config, method), anatomy(config)
    per_row, copies = activation_memory(config, method, length, half, bits)
    if checkpointing:
        per_row = checkpointed(config, method, length, half, per_row, bits)

    # There the model makes its logits itself too, in its own precision.
    own = 0
    if config.is_encoder_decoder or method not in ("full", "lora", "qlora"):
        own = 2 if half else 4
    # Autocast copies the output layer, too, which stands outside the layers.
    if half and method == "full":
        copies += 2 * found.head
    # Parts are put together for as long as they are computed with: no copy stays.
    if processes > 1:
        copies = gathered_bytes(config, half)
    parts = {
        "weights": int(weight_bytes(config, method, half, bits) / processes + copies),
        "gradients": 4 * trained // processes,
        "optimizer": 8 * trained // processes,
        "activations": int(batch * per_row),
        "logits": batch * length * found.vocabulary * (LOGIT_BYTES + own),
    }
    return parts | {"total": sum(parts.values())}


def gathered_bytes(config: PreTrainedConfig, half: bool) -> int:
    """Return the bytes of whole weights that FSDP2 holds at a time: the layer that is computed, the
    one that is fetched meanwhile, and the embeddings.

    How far it fetches ahead is read in its documentation, not measured.
    """
    found, layers = anatomy(config), sum(layers_of(config))
    return (2 if half else 4) * (2 * found.linear // layers + found.head)


def weight_bytes(
    config: PreTrainedConfig, method: str, half: bool, bits: int | None = None
) -> float:
    """Return the bytes of the weights: trained ones in float32, a frozen base in half precision."""
    found = anatomy(config)
    if method == "full":
        return 4 * found.parameters
    trained = 4 * trainable_parameters(config, method)
    if bits not in PACKED:
        return (2 if half else 4) * found.parameters + trained

    # PEFT prepares all but the linear layers in float32; one of these is unpacked at a time.
    packed, unpacked = found.linear * PACKED[bits] / 8, UNPACKED[bits] * found.widest
    return packed + 4 * (found.parameters - found.linear) + unpacked + trained


def checkpointed(
    config: PreTrainedConfig,
    method: str,
    length: int,
    half: bool,
    per_row: float,
    bits: int | None = None,
) -> float:
    """Return the activations of one row with recomputation: the input of every layer, and one
    layer's own while it is recomputed.
    """
    layers = sum(layers_of(config))
    # Float32 embeddings make a float32 residual stream.
    size = 2 if half and method != "full" and bits not in PACKED else 4
    return min(per_row, layers * length * config.hidden_size * size + per_row / layers)


@kept_by_configuration
def activation_memory(
    config: PreTrainedConfig, method: str, length: int, half: bool = True, bits: int | None = None
) -> tuple[int, int]:
    """Return the bytes that the layers keep for backward: per row of `length` tokens, and once
    (autocast's copies of the weights).

    Counted, not estimated: the real forward pass of the first two layers runs on tensors without
    data, and what it saves for backward is added up; the other layers are like the second. For
    GPT-2 in float32 with no dropout that is 28 numbers per token, layer and unit of width: 2 inputs
    of norms, 7 inputs of linear layers, 3 of queries, keys and values, 16 inside the activation
    function gelu_new. (Korthikanti et al. 2022 find 34 bytes per layer in half precision with a
    fused activation, plus attention scores, which SDPA no longer keeps.) T5's learned position bias
    makes SDPA keep its scores. An 8-bit layer keeps its input, as it came in.
    """
    from miniluotuo_utils.students.meta import meta_model, saved_bytes, shallow

    deeper = shallow(meta_model(config), 2)
    single = shallow(copy.deepcopy(deeper), 1)
    one, two = (saved_bytes(model, method, length, half, bits) for model in (single, deeper))
    encoder, decoder = layers_of(config)
    depth = (encoder + decoder) / 2 if encoder else decoder
    saved = round(one + (two - one) * (depth - 1))

    # Autocast keeps a half-precision copy of every matrix that is trained, however many rows.
    copies = 0
    if half and method == "full":
        copies = 2 * anatomy(config).linear
    elif half and method in LOW_RANK:
        copies = 2 * trainable_parameters(config, method)
    return saved - copies, copies
