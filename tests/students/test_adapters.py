"""Low-rank adapters as other projects set them: which layers, how strong; on bases of 8 bits."""

import json

import pytest
from tiny_random import saved, tiny_random

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.files import write_jsonl
from miniluotuo_utils.students import finetune, load_student, merge, save
from miniluotuo_utils.students import loading as loading_module

ROWS = [
    {"instruction": f"数到{n}", "input": "", "output": "一二三四五六七八九"[:n], "source": "x"}
    for n in range(1, 10)
] * 2
SHORT = {"max_steps": 2, "max_length": 256}

# Alpaca-CoT's page and the defaults of its `uniform_finetune.py`; it loads LLaMA and BLOOM in 8
# bits. ChatGLM runs code of its own: its successor splits query_key_value into three layers.
LLAMA = (
    "llama-7b --targets q_proj v_proj --rank 8 --alpha 16 --dropout 0.05 --learning-rate 3e-4 "
    "--batch-size 4 --bits 8"
)
CHATGLM = (
    "glm-4-9b --targets q_proj k_proj v_proj --rank 32 --alpha 32 --dropout 0.1 "
    "--learning-rate 2e-5 --batch-size 2"
)
BLOOM = (
    "bloomz-7b1-mt --targets query_key_value --rank 8 --alpha 16 --dropout 0.05 "
    "--learning-rate 3e-4 --batch-size 4 --bits 8"
)


def logits(student, text="### Response:"):
    """Logits of one text, to compare students by."""
    import torch

    ids = student.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        return student.model(ids, use_cache=False).logits.float()


def small(name, folder, **how):
    """A tiny random student like the zoo's `name`, loaded from a folder of that name."""
    return load_student(saved(tiny_random(name), folder / name), "cpu", **how)


@pytest.mark.parametrize("recipe", [LLAMA, CHATGLM, BLOOM])
def test_a_published_recipe_trains_as_it_is_written(recipe, tmp_path):
    """`--lora_target_modules` and `--lora_alpha` had no counterpart: nobody could repeat a run."""
    if "--bits" in recipe:
        pytest.importorskip("bitsandbytes", reason="8 bits need bitsandbytes")
    name, *options = recipe.split()
    base = saved(tiny_random(name), tmp_path / name)
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    asked = ["train", "--student", base, "--data", tmp_path / "rows.jsonl", "--method", "lora"]
    asked += ["--out", tmp_path / "adapter", "--max-steps", 2, *options]
    assert main([str(word) for word in asked]) == 0

    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    rank, alpha, dropout = (
        options[options.index(f"--{n}") + 1] for n in ("rank", "alpha", "dropout")
    )
    targets = options[1 : options.index("--rank")]
    assert set(config["target_modules"]) == set(targets)
    assert (config["r"], config["lora_alpha"]) == (int(rank), int(alpha))
    assert config["lora_dropout"] == float(dropout)
    log = (tmp_path / "adapter" / "training.jsonl").read_text().splitlines()
    assert len(log) == 2
    model = load_student(tmp_path / "adapter", "cpu").model
    tuned = {
        n.split(".lora_A")[0].rpartition(".")[2]
        for n, _ in model.named_parameters()
        if "lora_A" in n
    }
    assert tuned == set(targets)


def test_alpha_is_over_the_rank_and_left_out_it_is_two_ranks(tmp_path):
    """α 32 at r 32 is a scale of 1; at r 16 it would be another training under the same number."""

    def scale(**how):
        student = finetune(small("llama-7b", tmp_path), ROWS, "lora", **SHORT, **how).student
        layers = [m for m in student.model.modules() if hasattr(m, "lora_A")]
        assert layers
        return {layer.scaling["default"] for layer in layers}

    assert scale() == {2.0}
    assert scale(rank=32, alpha=32) == {1.0}
    assert scale(rank=8, alpha=4, targets=["q_proj"]) == {0.5}


def test_adalora_takes_them_too(tmp_path):
    """Options that one low-rank method reads and another forgets."""
    student = small("llama-7b", tmp_path)
    how = {"rank": 8, "alpha": 4, "dropout": 0.2, "targets": ["v_proj"]}
    found = finetune(student, ROWS, "adalora", **SHORT, **how).student.model.peft_config["default"]
    assert (found.target_r, found.lora_alpha, found.lora_dropout) == (8, 4, 0.2)
    assert found.target_modules == {"v_proj"}


def test_a_layer_that_is_not_there_is_named_with_those_that_are(tmp_path):
    """PEFT leaves out a misspelt target without a word, as long as it finds another."""
    student = small("glm-4-9b", tmp_path)
    expected = (
        "targets: found 'query_key_value', and no linear layer of .* is called so; expected one"
    )
    with pytest.raises(ValueError, match=f"{expected} of down_proj, .*q_proj, v_proj"):
        finetune(student, ROWS, "lora", targets=["q_proj", "query_key_value"])
    assert not hasattr(student.model, "peft_config")


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("full", {"alpha": 16}, "alpha: expected a low-rank method .lora, qlora, adalora., found"),
        (
            "prefix",
            {"dropout": 0.1, "targets": ["q_proj"]},
            "dropout, targets: expected a low-rank",
        ),
        ("lora", {"alpha": 0}, "alpha is 0; expected more than 0"),
        ("lora", {"dropout": 1.0}, "dropout is 1.0; expected a share, from 0 to below 1"),
        ("lora", {"targets": "q_proj"}, "targets is 'q_proj'; expected a list of names"),
        ("lora", {"targets": []}, "targets is ..; expected a list of names"),
    ],
)
def test_what_means_nothing_is_refused(method, options, message):
    """An option that is taken and read by nobody."""
    with pytest.raises(ValueError, match=message):
        finetune(load_student("tiny"), ROWS, method, **options)


def test_an_adapter_keeps_what_it_is(tmp_path):
    """Trained further with another α, a LoRA folder would say one thing and hold another."""
    trained = finetune(load_student("tiny"), ROWS, "lora", **SHORT, alpha=8, folder=tmp_path / "p")
    again = load_student(save(trained.student, tmp_path / "adapter"))
    with pytest.raises(ValueError, match="has an adapter already, whose own alpha, dropout stay"):
        finetune(again, ROWS, "lora", **SHORT, alpha=16, dropout=0.0)
    with pytest.raises(ValueError, match="field alpha: found 8, expected 9: another training"):
        finetune(load_student("tiny"), ROWS, "lora", **SHORT, alpha=9, folder=tmp_path / "p")


# ---- 8 bits


@pytest.mark.parametrize("name", ["llama-7b", "gpt2-124m", "bloom-560m"])
def test_lora_trains_on_eight_bits_and_reads_back_the_same(name, tmp_path):
    """GPT-2's turned weights are straight in 8 bits; an adapter turned for them is no product."""
    pytest.importorskip("bitsandbytes", reason="8 bits need bitsandbytes")
    how = {"max_steps": 4, "max_length": 256, "batch_size": 4, "learning_rate": 1e-2}
    training = finetune(small(name, tmp_path, bits=8), ROWS, "lora", **how)
    before, plain = logits(training.student), logits(small(name, tmp_path, bits=8))
    assert (before - plain).abs().max() > 1e-3, "the training changed nothing"
    frozen = [w for n, w in training.student.model.named_parameters() if "lora_" not in n]
    assert not any(weight.requires_grad for weight in frozen)
    folder = save(training.student, tmp_path / "adapter")
    assert (logits(load_student(folder, "cpu", bits=8)) - before).abs().max() < 1e-3

    # On the whole base it is nearly the same student, and can be merged.
    whole = merge(load_student(folder, "cpu"))
    assert (logits(whole) - before).abs().mean() < 0.1 * before.std()


def test_eight_bits_are_refused_by_name_where_they_cannot(tmp_path, monkeypatch):
    """A library's error from deep inside, after minutes of loading."""
    pytest.importorskip("bitsandbytes", reason="8 bits need bitsandbytes")
    student = small("llama-7b", tmp_path, bits=8)
    with pytest.raises(ValueError, match="8-bit weights cannot be trained: use method 'lora'"):
        finetune(student, ROWS, "full", **SHORT)
    with pytest.raises(ValueError, match="'qlora' needs a 4-bit student.*or use method 'lora'"):
        finetune(student, ROWS, "qlora", **SHORT)
    monkeypatch.setattr(loading_module, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="bits is 8, which needs bitsandbytes, not installed here"):
        load_student("tiny", bits=8)


@pytest.mark.parametrize(
    ("method", "message"),
    [("full", "8-bit weights cannot be trained"), ("qlora", "needs a 4-bit student")],
)
def test_the_shell_refuses_them_before_it_reads_a_row(method, message, tmp_path, capsys):
    """`--method qlora --bits 8` once silently became 4 bits."""
    asked = ["train", "--student", "tiny", "--data", "missing.jsonl", "--out", str(tmp_path / "x")]
    assert main([*asked, "--method", method, "--bits", "8"]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "--bits" in told
    assert "missing.jsonl" not in told
