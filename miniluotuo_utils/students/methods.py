"""What a method trains: every weight, or a small adapter of PEFT's on a frozen base.

In: a student and a method's name. Out: the same student, ready to train. Shown in notebook 04.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from miniluotuo_utils.students.loading import Student
from miniluotuo_utils.students.zoo import ZOO

if TYPE_CHECKING:
    from peft import PeftConfig

METHODS = ("full", "lora", "qlora", "adalora", "prefix", "prompt", "p_tuning")
VIRTUAL = (
    "prefix",
    "prompt",
    "p_tuning",
)  # these learn virtual tokens before the prompt; they cannot be merged or packed
GPT2_LINEAR = ["c_attn", "c_proj", "c_fc"]  # PEFT's own default for GPT-2 is c_attn alone
RANK, TOKENS = 16, 20
RATES = {"prefix": 1e-2, "prompt": 3e-2, "p_tuning": 1e-2}


def peak_rate(student: Student, method: str) -> float:
    """The peak learning rate where none is given: the zoo's for full fine-tuning, ten times that for low-rank adapters
    (at most 3e-3), and 1e-2 to 3e-2 for virtual tokens, as in PEFT's examples."""
    spec = ZOO.get(student.name)
    full = spec.learning_rate if spec else 2e-5
    return RATES.get(method) or (full if method == "full" else min(10 * full, 3e-3))


def attach(student: Student, method: str, seed: int, steps: int, rank: int = RANK) -> None:
    """Put the method's adapter on the student; every trained weight is kept in float32.

    `steps` is the length of the training, which AdaLoRA's schedule needs. Raises ValueError for a 4-bit method on a
    student that was not loaded in 4-bit, and for a student that has an adapter already.
    """
    from transformers import set_seed

    set_seed(seed)
    if hasattr(student.model, "peft_config"):
        raise ValueError(
            f"{student.name} has an adapter already: load the base again, or merge(student) first"
        )
    four = getattr(student.model, "is_loaded_in_4bit", False)
    if method == "qlora" and not four:
        raise ValueError("method 'qlora' needs a 4-bit student: load_student(name, bits=4)")
    if method == "full" and four:
        raise ValueError(
            "4-bit weights cannot be trained: use method 'qlora', or load the student without bits=4"
        )
    if four and any(
        getattr(getattr(p, "quant_state", None), "packing_format_for_cpu", False)
        for p in student.model.parameters()
    ):
        raise ValueError(
            f"{student.name} has generated in 4 bits on a CPU, after which bitsandbytes cannot train it: load it again"
        )
    if method != "full":
        from peft import get_peft_model, prepare_model_for_kbit_training

        if four:
            student.model = prepare_model_for_kbit_training(
                student.model, use_gradient_checkpointing=False
            )
        student.model = get_peft_model(
            student.model, peft_config(student.model, method, steps, rank)
        )
    train_in_float32(student.model)


def train_in_float32(model: Any) -> None:
    """Every trained weight in float32: small updates vanish in half precision, and the T4's scaler refuses it."""
    import torch

    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()


def peft_config(model: Any, method: str, steps: int, rank: int) -> PeftConfig:
    """PEFT's configuration of a method, with what the architecture needs."""
    import peft

    config = model.config
    task = "SEQ_2_SEQ_LM" if config.is_encoder_decoder else "CAUSAL_LM"
    gpt2 = config.model_type == "gpt2"
    low_rank: dict[str, Any] = {
        "task_type": task,
        "target_modules": GPT2_LINEAR if gpt2 else "all-linear",
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.05,
    }
    if method in ("lora", "qlora"):
        return peft.LoraConfig(r=rank, fan_in_fan_out=gpt2 and method == "lora", **low_rank)
    if method == "adalora":
        if low_rank["target_modules"] == "all-linear":
            low_rank["target_modules"] = linear_names(model)
        start, end = (
            steps // 10,
            steps // 2,
        )  # ranks fall from 1.5 r to r between a tenth and a half of the training
        return peft.AdaLoraConfig(
            init_r=rank * 3 // 2,
            target_r=rank,
            tinit=start,
            tfinal=max(1, steps - end),
            deltaT=max(1, steps // 50),
            total_step=max(steps, start + steps - end + 1),
            fan_in_fan_out=gpt2,
            **low_rank,
        )
    if method == "prefix":
        return peft.PrefixTuningConfig(task_type=task, num_virtual_tokens=TOKENS)
    if method == "prompt":
        return peft.PromptTuningConfig(task_type=task, num_virtual_tokens=TOKENS)
    return peft.PromptEncoderConfig(
        task_type=task, num_virtual_tokens=TOKENS, encoder_hidden_size=128
    )


def linear_names(model: Any) -> list[str]:
    """The last parts of the names of all linear layers but the output layer.

    AdaLoRA does not know PEFT's word "all-linear".
    """
    import torch

    head = model.get_output_embeddings()
    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and module is not head
        }
    )
