"""Measure what rows of about one length bring against packed rows, for a small model on a CPU.

    python benchmarks/row_shapes.py [ROUNDS]

The same tokens as 64 rows of 128, and packed four to a sequence of 512 with positions that restart:
then attention needs a mask and looks at four times as many places. Prints tokens per core-second
(process time, so that a busy machine matters little), the best of the rounds.
"""

from __future__ import annotations

import platform
import sys
import time

import torch
from torch.nn.functional import cross_entropy
from transformers import Qwen3ForCausalLM

from miniluotuo_utils.runtime import commit
from miniluotuo_utils.students import load_student
from miniluotuo_utils.students.devices import autocast

LENGTH, ROWS, PACKED = 128, 64, 4
SUPERVISED = 0.25  # share of the tokens, as in rows of extraction
STEPS, WARM = 6, 2


def speed(model: Qwen3ForCausalLM, ids: torch.Tensor, positions: torch.Tensor | None) -> float:
    """Return the tokens that one core trains on in a second."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    wanted = torch.rand(ids.shape) < SUPERVISED
    more = {} if positions is None else {"position_ids": positions}
    for step in range(STEPS):
        if step == WARM:
            began = time.process_time()
        with autocast("cpu"):
            body = model.base_model(input_ids=ids, use_cache=False, **more)
            logits = model.lm_head(body.last_hidden_state[wanted])
        cross_entropy(logits.float(), ids[wanted]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return ids.numel() * (STEPS - WARM) / (time.process_time() - began)


def main(rounds: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    student = load_student("tiny")
    model = student.model.float().train()
    ids = torch.randint(len(student.tokenizer), (ROWS, LENGTH))
    restarting = torch.arange(LENGTH).repeat(ROWS // PACKED, PACKED)
    forms = {
        f"{ROWS} rows of {LENGTH}": (ids, None),
        f"{ROWS // PACKED} sequences of {PACKED} rows": (
            ids.view(ROWS // PACKED, PACKED * LENGTH),
            restarting,
        ),
    }
    print(f"{platform.machine()}, one thread, {time.strftime('%Y-%m-%d')}, commit {commit()}")
    best = dict.fromkeys(forms, 0.0)
    for _ in range(rounds):
        for name, form in forms.items():
            best[name] = max(best[name], speed(model, *form))
    for name, value in best.items():
        print(f"{name:<28} {value:8,.0f} tokens per core-second")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
