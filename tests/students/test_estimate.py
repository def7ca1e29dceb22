"""Parameters, FLOPs, memory, the meter and the planner: against hand counts, torch's own counter
and real backward passes.
"""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    Gemma3Config,
    GPT2Config,
    LlamaConfig,
    Qwen3Config,
    T5Config,
)
from transformers.utils import logging

from miniluotuo_utils.students import devices, estimate, planner, training
from miniluotuo_utils.students.loading import Student
from miniluotuo_utils.students.methods import METHODS, attach
from miniluotuo_utils.students.zoo import ZOO
from miniluotuo_utils.tokens import IGNORED

GIB = 1 << 30
DRY = {
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def parameters(config) -> int:
    return estimate.anatomy(config).parameters


def gpt2(layers: int = 2, width: int = 64, **more) -> GPT2Config:
    return GPT2Config(
        n_layer=layers, n_embd=width, n_head=4, vocab_size=101, n_positions=128, **(DRY | more)
    )


def llama(layers: int = 2) -> LlamaConfig:
    return LlamaConfig(
        num_hidden_layers=layers,
        hidden_size=64,
        intermediate_size=160,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=101,
        tie_word_embeddings=False,
    )


def qwen3(layers: int = 2) -> Qwen3Config:
    """Heads together wider than the model, two of them to one key, norms on queries and keys."""
    return Qwen3Config(
        num_hidden_layers=layers,
        hidden_size=64,
        intermediate_size=160,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        vocab_size=101,
        tie_word_embeddings=True,
    )


def t5(layers: int = 2) -> T5Config:
    return T5Config(
        num_layers=layers,
        num_decoder_layers=layers + 1,
        d_model=64,
        d_kv=16,
        d_ff=160,
        num_heads=4,
        vocab_size=101,
        decoder_start_token_id=0,
        dropout_rate=0.0,
        n_positions=128,
    )


CONFIGS = {"gpt2": gpt2, "llama": llama, "qwen3": qwen3, "t5": t5}


def build(config, attention: str = "sdpa"):
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    return auto.from_config(config, attn_implementation=attention).train()


@pytest.mark.parametrize("kind", CONFIGS)
def test_parameters_are_those_of_the_real_model(kind):
    """Tied embeddings counted twice, or a 4-bit configuration counted at half its size."""
    config = CONFIGS[kind]()
    real = sum(p.numel() for p in build(config).parameters())
    assert parameters(config) == real
    config.quantization_config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    assert parameters(config) == real


def test_parameters_by_hand():
    """A layer, a bias or the position table forgotten: 101 × 64 words, 128 × 64 positions, two
    layers, one last norm.
    """
    layer = 4 * 64 * 64 + 8 * 64 * 64 + (192 + 64 + 256 + 64) + 4 * 64
    assert parameters(gpt2()) == 101 * 64 + 128 * 64 + 2 * layer + 128
    assert estimate.anatomy(gpt2()).linear == 2 * 12 * 64 * 64


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("full", "qlora")])
def test_trainable_parameters_are_pefts(kind, method):
    """A planner that counts other adapters than `finetune` attaches."""
    config = CONFIGS[kind]()
    student = Student("", build(config), None)
    attach(student, method, seed=0, steps=100)
    assert estimate.trainable_parameters(config, method) == sum(
        p.numel() for p in student.model.parameters() if p.requires_grad
    )


def counted_flops(model, inputs) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model(**inputs, use_cache=False).loss.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen3"])
def test_flops_are_those_that_torch_counts(kind):
    """A matrix forgotten or counted twice (GQA, gated MLP, tied output layer): equal to the last
    FLOP, with eager attention.
    """
    config, ids = CONFIGS[kind](), torch.randint(5, 100, (2, 32))
    assert estimate.flops_per_token(config, 32) * 64 == counted_flops(
        build(config, "eager"), {"input_ids": ids, "labels": ids}
    )


def test_flops_of_encoder_and_decoder_stand_apart():
    """A cross-attention whose keys are counted on the wrong side: sources of 48 tokens and answers
    of 16 tell them apart.
    """
    inputs = {"input_ids": torch.randint(5, 100, (2, 48)), "labels": torch.randint(5, 100, (2, 16))}
    ours = estimate.training_flops(t5(), 96, 32, 48, target_tokens=32, target_length=16)
    assert ours == pytest.approx(counted_flops(build(t5(), "eager"), inputs), rel=0.001)


def test_lora_flops_are_near_those_that_torch_counts():
    """A frozen base charged with gradients of its weights: below by only what the first layer's
    frozen input spares (1 in 12 of a 6-layer base).
    """
    config, ids = gpt2(layers=6), torch.randint(5, 100, (2, 32))
    student = Student("", build(config, "eager"), None)
    attach(student, "lora", seed=0, steps=10)
    real = counted_flops(student.model, {"input_ids": ids, "labels": ids})
    assert estimate.flops_per_token(config, 32, "lora") * 64 == pytest.approx(real, rel=0.03)


def test_checkpointing_adds_one_forward_pass_of_the_layers():
    """Recomputation left out of the estimate, or the output layer recomputed."""
    once = estimate.flops_per_token(gpt2(), 32)
    again = estimate.flops_per_token(gpt2(), 32, checkpointing=True)
    unlabelled = estimate.training_flops(gpt2(), 1, 0.5, 32)
    head = 2 * 64 * 101
    assert once - unlabelled == 1.5 * head
    assert again - once == (once - 3 * head) / 3


def really_kept(config, batch: int, length: int) -> int:
    """Bytes that a real forward pass saves for backward, each storage once, without the model's
    own.
    """
    model, kept = build(config), {}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    ids = torch.randint(5, 100, (batch, length))
    body = {"input_ids": ids} | ({"decoder_input_ids": ids} if config.is_encoder_decoder else {})
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.setdefault(t.untyped_storage().data_ptr(), t) is None or t, lambda t: t
    ):
        model.base_model(**body, use_cache=False)
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in own)


@pytest.mark.parametrize("kind", CONFIGS)
def test_activations_are_those_that_a_real_forward_keeps(kind):
    """A count on tensors without data that drifts from the real pass, or that takes one layer for
    all: within 12 % above, 3 % below.
    """
    config = CONFIGS[kind](layers=4)
    per_row, copies = estimate.activation_memory(config, "full", 64, half=False)
    assert copies == 0
    assert 0.97 < 3 * per_row / really_kept(config, 3, 64) < 1.12


def test_activations_by_hand():
    """The sentence in the docstring: 28 numbers per token, layer and unit of width (and one that a
    CPU's fused attention copies).
    """
    deep, shallow = (
        estimate.activation_memory(gpt2(layers=n), "full", 64, half=False)[0] for n in (5, 4)
    )
    assert 28 <= (deep - shallow) / 4 / 64 / 64 < 30


@settings(max_examples=12, deadline=None)
@given(
    batch=st.integers(1, 64),
    length=st.sampled_from([16, 32, 64]),
    method=st.sampled_from(METHODS),
    again=st.booleans(),
)
def test_memory_grows_with_batch_and_length(batch, length, method, again):
    """A term with the wrong sign, which would tell someone that a larger batch fits."""

    def total(**how):
        return estimate.training_memory(
            gpt2(), method, **({"length": length, "batch": batch, "checkpointing": again} | how)
        )["total"]

    assert total() < total(batch=batch + 1)
    assert total() < total(length=2 * length)
    assert total(checkpointing=True) <= total(checkpointing=False)


def test_parts_add_up_and_methods_differ_as_they_must():
    """Weights, gradients or moments of a frozen base; 4-bit weights that are not about a quarter of
    16-bit ones.
    """
    config = ZOO["wenzhong-3.5b"].config()
    full, lora, qlora = (
        estimate.training_memory(config, method) for method in ("full", "lora", "qlora")
    )
    assert all(sum(parts.values()) == 2 * parts["total"] for parts in (full, lora, qlora))
    assert full["optimizer"] == 8 * parameters(config) == 2 * full["gradients"]
    assert qlora["total"] < lora["total"] < full["total"] / 3
    linear = estimate.anatomy(config).linear
    assert pytest.approx(4.127, abs=0.001) == estimate.NF4_BITS
    assert (
        0.25 * 2 * linear
        < qlora["weights"]
        < 0.25 * 2 * linear + 4 * (parameters(config) - linear) + GIB / 2
    )


def test_fewer_bits_take_less_and_eight_are_a_byte_a_weight():
    """8-bit bases counted as whole ones, or with half of the gradients of a trained one."""
    config = ZOO["llama-7b"].config()
    four, eight, whole = (
        estimate.training_memory(config, "lora", 512, bits=bits) for bits in (4, 8, None)
    )
    assert four == estimate.training_memory(config, "qlora", 512)
    assert four["total"] < eight["total"] < whole["total"]
    found = estimate.anatomy(config)
    bytes_more = found.linear * (8 - estimate.NF4_BITS) / 8 + 2 * found.widest
    assert eight["weights"] - four["weights"] == pytest.approx(bytes_more, rel=1e-6)
    for part in ("gradients", "optimizer", "logits"):
        assert four[part] == eight[part] == whole[part]


def test_an_eight_bit_layer_keeps_its_input():
    """Per token and layer at most the inputs of q k v, of o, of gate and up, and of down, in
    float32: bitsandbytes keeps them past torch's own count.
    """
    four, eight = (estimate.activation_memory(llama(), "lora", 64, bits=bits)[0] for bits in (4, 8))
    assert 0 < eight - four <= 2 * 64 * (3 * 64 + 160) * 4


def test_the_longest_row_is_the_longest():
    """One step too long ends a training in its first minute; the context ends every search."""
    config = ZOO["gpt2-124m"].config()
    for length, expected in ((500, 448), (512, 512), (513, 512)):
        room = estimate.training_memory(config, "lora", length, 1, True)["total"]
        assert planner.longest_row(config, "lora", room) == expected
    assert planner.longest_row(config, "lora", 8 * GIB) == 1024
    assert planner.longest_row(config, "full", GIB) == 0


def test_bits_of_a_plan_are_those_that_can_be_trained():
    """A plan for a training that `train` would refuse."""
    assert planner.plan("gpt2-124m", "lora", 256, bits=8)["bits"] == 8
    assert planner.plan("gpt2-124m", "qlora", 256)["bits"] == 4
    assert planner.plan("gpt2-124m", "full", 256)["bits"] == 16
    for method, bits, message in (
        ("full", 8, "8-bit weights cannot be trained"),
        ("qlora", 16, "needs a 4-bit student"),
        ("lora", 3, "bits is 3; expected 4, 8 or 16"),
    ):
        with pytest.raises(ValueError, match=message):
            planner.plan("gpt2-124m", method, bits=bits)


def test_a_t4_takes_qlora_of_3_5_billion_and_not_full():
    """The promise of scale t4; and 14 GB of a full training that would be started in vain."""
    small = planner.plan("wenzhong-3.5b", "qlora", 1024, "t4")
    assert small["fits"]
    assert small["largest_batch"] >= 1
    assert (
        estimate.training_memory(ZOO["wenzhong-3.5b"].config(), "qlora", checkpointing=True)[
            "total"
        ]
        < 15 * GIB
    )
    full = planner.plan("wenzhong-3.5b", "full", 1024, "t4")
    assert not full["fits"]
    assert full["largest_batch"] == 0
    assert "放不下" in planner.table(full)
    assert full["memory"]["total"] > 50 * GIB


def test_the_plans_largest_batch_is_the_largest():
    """One row too many (a training that dies after an hour) or too few."""
    config = ZOO["gpt2-124m"].config()
    for again in (False, True):
        room = 8 * GIB
        most = planner.largest_batch(config, "full", 512, room, again)
        assert estimate.training_memory(config, "full", 512, most, again)["total"] <= room
        assert estimate.training_memory(config, "full", 512, most + 1, again)["total"] > room
    assert planner.largest_batch(config, "full", 512, GIB, False) == 0


def test_hours_and_money_by_hand():
    """Epochs, rows or the price left out of the product."""
    config = gpt2()
    found = planner.plan(
        config, "full", 64, "a100-80", epochs=3, rows=1000, row_tokens=100, mfu=0.5, price=2.0
    )
    assert found["tokens"] == 300_000
    assert found["tokens_per_second"] == pytest.approx(
        312e12 * 0.5 / estimate.flops_per_token(config, 64)
    )
    assert found["money"] == pytest.approx(2 * 300_000 / found["tokens_per_second"] / 3600)
    with pytest.raises(ValueError, match="expected one of t4"):
        planner.plan(config, gpu="abacus")
    with pytest.raises(ValueError, match="not in the zoo; the nearest of"):
        planner.plan("no-such-student")


def test_several_gpus_share_a_student_only_where_one_does_not_do():
    """A full training of 3.5 B that was called impossible beside eight empty cards; or a small
    student cut up for nothing."""
    alone = planner.plan("wenzhong-3.5b", "full", gpu="a100-40")
    shared = planner.plan("wenzhong-3.5b", "full", gpu="a100-40", gpus=8, price=2.0)
    assert not alone["fits"]
    assert shared["fits"]
    assert shared["parts"] == 8
    assert "fsdp2.yaml" in planner.table(shared)
    tokens = shared["tokens_per_second"] * shared["hours"] * 3600
    assert tokens == pytest.approx(shared["tokens"])
    assert shared["money"] == pytest.approx(2.0 * 8 * shared["hours"])

    # What is cut is cut evenly; the layers and embeddings that are put together are not.
    whole, part = (
        estimate.training_memory(ZOO["wenzhong-3.5b"].config(), processes=n) for n in (1, 8)
    )
    assert part["optimizer"] == whole["optimizer"] // 8
    assert part["activations"] == whole["activations"]
    gathered = 2 * (2 * 12 * 3072**2 + 3072 * 50304)
    assert part["weights"] == pytest.approx(whole["gradients"] / 8 + gathered, rel=1e-3)

    small = planner.plan("gpt2-124m", "full", gpu="a100-40", gpus=8)
    assert small["parts"] == 1
    assert "ddp.yaml" in planner.table(small)
    for name, method in (("t5-738m", "full"), ("gpt2-1.5b", "qlora")):
        assert planner.plan(name, method, 512, gpu="t4", gpus=8)["parts"] == 1
    with pytest.raises(ValueError, match="gpus is 0; expected more than 0"):
        planner.plan("gpt2-124m", gpus=0)


def test_a_plan_takes_any_folder_and_hub_id(tmp_path, monkeypatch):
    """Names of the zoo alone: the student that somebody has is in none."""
    config = llama()
    config.save_pretrained(tmp_path / "mine")
    place = tmp_path / "huggingface.co" / "somebody" / "model" / "resolve" / "main"
    config.save_pretrained(place)
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path))
    for name in (tmp_path / "mine", "somebody/model"):
        found = planner.plan(name, "lora", 64, gpu="t4")
        assert found["parameters"] == parameters(config)
        assert found["memory"] == planner.plan(config, "lora", 64, gpu="t4")["memory"]
    # What sees, too, is planned by the part that writes.
    seeing = Gemma3Config(text_config={"num_hidden_layers": 2, "vocab_size": 101})
    seeing.save_pretrained(tmp_path / "seeing")
    assert planner.plan(tmp_path / "seeing", "lora", 64)["parameters"] == parameters(
        seeing.text_config
    )
    # One writes nothing, PEFT refuses the other: one sentence each.
    for kind, why in (("clip", "found 'clip.*', expected a decoder or"), ("mamba", "incompatible")):
        AutoConfig.for_model(kind).save_pretrained(tmp_path / kind)
        with pytest.raises(ValueError, match=f"{kind}.* with method 'lora' cannot be.*{why}"):
            planner.plan(tmp_path / kind, "lora")


def test_advice_names_what_fits_in_the_right_order():
    """Advice that does not help: the first change must keep the global batch, and what is said to
    fit must fit.
    """
    config = ZOO["gpt2-124m"].config()
    lines = planner.advice(config, "full", 1024, 16, 15 * GIB).splitlines()[2:]
    assert "batch_size=8, accumulate=2" in lines[0]
    assert "放得下" in lines[0]
    assert "checkpointing=True" in lines[1]
    assert any("method='lora'" in line for line in lines)
    assert "smaller student" in lines[-1]
    assert (
        estimate.training_memory(config, "full", 1024, 8)["total"]
        <= 15 * GIB
        < estimate.training_memory(config, "full", 1024, 16)["total"]
    )
    alone = planner.advice(config, "full", 1024, 1, GIB)
    assert "accumulate=1" not in alone.splitlines()[2]
    assert "checkpointing" in alone.splitlines()[2]
    assert "仍放不下" in alone


def meter(config, length: int = 8) -> training.Throughput:
    return training.Throughput(config, length, "full", torch.device("cpu"), pad_id=0)


def test_the_meter_counts_tokens_labels_and_padding():
    """Padding counted as tokens; the first label counted although nothing predicts it; an end id
    that pads and also answers.
    """
    counter = meter(gpt2())
    ids = torch.tensor(
        [[5, 6, 7, 0, 0, 0], [5, 6, 7, 8, 9, 0]]
    )  # the second row's 0 is its answer's end
    labels = torch.tensor(
        [[IGNORED, 6, 7, IGNORED, IGNORED, IGNORED], [5, IGNORED, IGNORED, 8, 9, 0]]
    )
    counter.count({"input_ids": ids, "labels": labels})
    found = counter.totals()
    assert (found["tokens"], found["supervised"], found["positions"]) == (9, 5, 12)
    assert counter.metrics()["non_padding"] == 9 / 12
    assert counter.metrics()["flops"] == estimate.training_flops(gpt2(), 9, 5, 8)


def test_the_meter_knows_encoder_decoders():
    """Answers left out of the tokens, or their padding counted in."""
    counter = meter(t5())
    counter.count(
        {
            "input_ids": torch.tensor([[5, 6, 7, 0]]),
            "attention_mask": torch.tensor([[1, 1, 1, 0]]),
            "labels": torch.tensor([[8, 1, IGNORED]]),
        }
    )
    found = counter.totals()
    assert (found["tokens"], found["supervised"], found["positions"]) == (5, 2, 7)
    assert counter.metrics()["flops"] == estimate.training_flops(
        t5(), 3, 2, 8, target_tokens=2, target_length=3
    )


def test_rates_leave_the_first_step_out_and_resuming_goes_on(monkeypatch):
    """A slow first step, or the tokens of an earlier process, in the rate."""
    now = iter([0.0, 100.0, 101.0, 200.0, 202.0])
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(training, "peak_of", lambda device: (1e12, "measured"))
    ids = torch.full((1, 10), 5)
    counter = meter(gpt2())
    for _ in range(2):
        counter.count({"input_ids": ids, "labels": ids})
        line = counter.totals()
    assert line["tokens"] == 20
    assert line["tokens_per_second"] == 10.0
    assert line["supervised_per_second"] == 9.0
    assert line["mfu"] == pytest.approx(estimate.training_flops(gpt2(), 10, 9, 8) / 1e12)
    counter.resume(line)
    counter.count({"input_ids": ids, "labels": ids})
    again = counter.totals()
    assert again["tokens"] == 30
    assert again["tokens_per_second"] == 5.0


def test_threads_that_are_quiet_together_leave_nothing_changed():
    """Two threads of the page in turn: the second took the silence of the first for how it had
    been, and left it behind for good."""
    before = logging.get_verbosity(), logging.is_progress_bar_enabled(), list(warnings.filters)
    first, second = devices.quiet(), devices.quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert logging.get_verbosity() == logging.ERROR
    second.__exit__(None, None, None)
    after = logging.get_verbosity(), logging.is_progress_bar_enabled(), list(warnings.filters)
    assert after == before


def test_an_unknown_gpu_has_no_mfu(monkeypatch):
    """A share of a peak that somebody invented."""
    monkeypatch.setattr(training, "peak_of", lambda device: (None, "unknown"))
    counter = meter(gpt2())
    assert devices.known_peak("Imagined 9000") is None
    counter.count({"input_ids": torch.full((1, 4), 5), "labels": torch.full((1, 4), 5)})
    found = counter.totals()
    assert found["mfu"] is None
    assert found["tokens_per_second"] > 0
    assert devices.measured_peak() > 0
